/* Memory mappings. A touch past the end of the file is told as SIGBUS instead of ending the probe. */
#include "fsprobe.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static struct { char name[16]; char *at; size_t length; } maps[32];
static sigjmp_buf out_of_range;

static void on_bus(int signal_number) { (void)signal_number; siglongjmp(out_of_range, 1); }

static __attribute__((noinline)) int find(const char *name)
{
    for (int i = 0; i < 32; i++) if (maps[i].at && strcmp(maps[i].name, name) == 0) return i;
    return -1;
}

/* The last page is changed through a mapping while a write makes the file longer and another process has it written out: both must be there. */
static void check_tail(const char *path, long rounds)
{
    enum { HEAD = 2703, TAIL = 207 };
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), end = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0 || end < 0) { say_errno(); return; }
    pid_t syncer = fork();
    if (syncer == 0) for (;;) sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    char head[HEAD], tail[TAIL], got[HEAD + TAIL];
    memset(head, 'h', HEAD);
    memset(tail, 't', TAIL);
    long wrong = 0;
    for (long i = 0; i < rounds; i++) {
        if (ftruncate(fd, 0) < 0 || pwrite(fd, head, HEAD, 0) != HEAD) break;
        char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) break;
        map[100] = 'x';
        bool written = write(end, tail, TAIL) == TAIL;
        bool lost = memcmp(map + HEAD, tail, TAIL) != 0;
        munmap(map, 4096);
        if (i % 16 == 0) { fsync(fd); posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); }
        lost |= pread(fd, got, sizeof got, 0) != sizeof got || memcmp(got + HEAD, tail, TAIL) || got[100] != 'x';
        wrong += lost || !written;
    }
    kill(syncer, SIGKILL);
    waitpid(syncer, NULL, 0);
    close(fd);
    close(end);
    say("%ld wrong", wrong);
}

bool map_command(const Line *line)
{
    const char *a = arg(line, 1);
    if (is(line, "tail")) {
        /* tail PATH ROUNDS */
        check_tail(a, number(line, 2, 0));
        return true;
    }
    if (is(line, "mmap")) {
        /* mmap NAME FD LENGTH r|rw|rx shared|private [OFFSET] */
        int prot = (strchr(arg(line, 4), 'r') ? PROT_READ : 0) | (strchr(arg(line, 4), 'w') ? PROT_WRITE : 0) | (strchr(arg(line, 4), 'x') ? PROT_EXEC : 0);
        int flags = *arg(line, 5) == 's' ? MAP_SHARED : MAP_PRIVATE;
        void *at = mmap(NULL, (size_t)number(line, 3, 4096), prot, flags, fd_named(arg(line, 2)), number(line, 6, 0));
        if (at == MAP_FAILED) { say_errno(); return true; }
        for (int i = 0; i < 32; i++)
            if (!maps[i].at) { maps[i].at = at; maps[i].length = (size_t)number(line, 3, 4096); snprintf(maps[i].name, sizeof maps[i].name, "%s", a); break; }
        say("ok");
        return true;
    }
    bool mine = is(line, "mget") || is(line, "mput") || is(line, "msync") || is(line, "munmap") || is(line, "madvise");
    if (!mine) return false;
    volatile int i = find(a);
    if (i < 0) { say("NO-MAP"); return true; }
    struct sigaction act = { .sa_handler = on_bus, .sa_flags = SA_NODEFER };
    sigaction(SIGBUS, &act, NULL);
    if (sigsetjmp(out_of_range, 1)) { say("SIGBUS"); return true; }
    if (is(line, "mget")) {
        char copy[128];
        size_t n = (size_t)number(line, 3, 1) < sizeof copy ? (size_t)number(line, 3, 1) : sizeof copy;
        memcpy(copy, maps[i].at + number(line, 2, 0), n);
        say_bytes(copy, n);
    }
    else if (is(line, "mput")) { memcpy(maps[i].at + number(line, 2, 0), arg(line, 3), line->length[3]); say("ok"); }
    else if (is(line, "msync")) say_result(msync(maps[i].at, maps[i].length, MS_SYNC));
    else if (is(line, "madvise")) say_result(madvise(maps[i].at, maps[i].length, MADV_DONTNEED));
    else { say_result(munmap(maps[i].at, maps[i].length)); maps[i].at = NULL; }
    return true;
}
