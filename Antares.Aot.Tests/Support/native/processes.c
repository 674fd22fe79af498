/* Identity, running programs, and small races between processes. */
#include "fsprobe.h"
#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static void run(const Line *line)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[MAX_ARGS + 1] = { 0 };
        for (int i = 1; i < line->count; i++) argv[i - 1] = line->word[i];
        int quiet = open("/dev/null", O_RDWR);
        dup2(quiet, 0);
        dup2(quiet, 1);
        execv(argv[0], argv);
        _exit(errno == ETXTBSY ? 126 : errno == ENOEXEC ? 125 : errno == EACCES ? 124 : errno == EIO ? 123 : 127);
    }
    int status;
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) say("signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) == 126) say("ETXTBSY");
    else if (WEXITSTATUS(status) == 124) say("EACCES");
    else if (WEXITSTATUS(status) == 123) say("EIO");
    else say("exit %d", WEXITSTATUS(status));
}

static void copy_self(const char *path, bool close_before)
{
    static char buffer[1 << 16];
    int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), out = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0755);
    if (in < 0 || out < 0) { say_errno(); return; }
    ssize_t n;
    while ((n = read(in, buffer, sizeof buffer)) > 0)
        if (write(out, buffer, (size_t)n) != n) { say_errno(); return; }
    close(in);
    if (close_before) close(out);
    else fd_store("exe", out);
    say("ok");
}

/* Two processes append COUNT records each with O_APPEND; every record must be there once and whole. "clear": how the two mixed is chance, so
   the records are taken away again. */
static void append_race(const char *path, long count, long length, bool clear)
{
    fflush(stdout);
    struct stat before = { 0 };
    stat(path, &before);
    pid_t pids[2];
    for (int p = 0; p < 2; p++)
        if ((pids[p] = fork()) == 0) {
            int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | waiting);
            char *record = malloc((size_t)length);
            memset(record, 'A' + p, (size_t)length);
            record[length - 1] = '\n';
            for (long i = 0; i < count; i++) {
                char digits[24];
                snprintf(digits, sizeof digits, "%08ld", i);
                memcpy(record + 1, digits, 8);
                if (fd < 0 || write(fd, record, (size_t)length) != length) _exit(1);
            }
            _exit(0);
        }
    bool failed = false;
    for (int p = 0; p < 2; p++) { int status; waitpid(pids[p], &status, 0); failed |= status != 0; }
    if (failed) {
        if (clear && truncate(path, before.st_size) < 0) say_errno();
        say("writer-failed");
        return;
    }
    FILE *in = fopen(path, "r");
    if (!in) { say_errno(); return; }
    fseek(in, before.st_size, SEEK_SET);
    long next[2] = { 0, 0 }, torn = 0;
    char *record = malloc((size_t)length + 1);
    while (fread(record, 1, (size_t)length, in) == (size_t)length) {
        int p = record[0] - 'A';
        if (p < 0 || p > 1 || record[length - 1] != '\n' || strtol(record + 1, NULL, 10) != next[p]) { torn++; break; }
        next[p]++;
    }
    fclose(in);
    free(record);
    struct stat after;
    stat(path, &after);
    if (torn || next[0] != count || next[1] != count || after.st_size != before.st_size + 2 * count * length)
        say("torn %ld, got %ld and %ld, size %lld", torn, next[0], next[1], (long long)after.st_size);
    else if (clear && truncate(path, before.st_size) < 0) say_errno();
    else say("ok");
}

/* COUNT processes start at once; each writes one byte of its own into the same file, which causes its copy-up. All bytes must stay. */
static void copy_up_race(const char *path, long count)
{
    fflush(stdout);
    volatile int *go = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (long p = 0; p < count; p++)
        if (fork() == 0) {
            int fd = open(path, O_RDWR | O_CLOEXEC | waiting);
            while (!*go) { }
            char c = (char)('0' + p);
            _exit(fd >= 0 && pwrite(fd, &c, 1, p * 4096 + p) == 1 ? 0 : 1);
        }
    *go = 1;
    long failed = 0;
    for (long p = 0; p < count; p++) { int status; wait(&status); failed += status != 0; }
    munmap((void *)go, 4096);
    int fd = open(path, O_RDONLY | O_CLOEXEC | waiting);
    long lost = 0;
    for (long p = 0; p < count; p++) { char c = 0; if (pread(fd, &c, 1, p * 4096 + p) != 1 || c != '0' + p) lost++; }
    close(fd);
    if (failed || lost) say("failed %ld, lost %ld", failed, lost);
    else say("ok");
}

/* One process renames a file back and forth over another while a second reads it by name: it must never be missing or mixed. */
static void replace_race(const char *path, const char *temp, long rounds)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        for (long i = 0; i < rounds; i++) {
            int fd = open(temp, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
            char text[4096];
            memset(text, 'a' + (int)(i % 26), sizeof text);
            if (fd < 0 || write(fd, text, sizeof text) != sizeof text || close(fd) < 0 || rename(temp, path) < 0) _exit(1);
        }
        _exit(0);
    }
    long bad = 0;
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        int fd = open(path, O_RDONLY | O_CLOEXEC | waiting);
        char text[4097];
        if (fd < 0) { bad++; continue; }
        ssize_t n = read(fd, text, sizeof text);
        close(fd);
        if (n != 4096) { bad++; continue; }
        for (int i = 1; i < 4096; i++) if (text[i] != text[0]) { bad++; break; }
    }
    if (status || bad) say("status %d, bad reads %ld", status, bad);
    else say("ok");
}

bool process_command(const Line *line)
{
    const char *a = arg(line, 1);
    if (is(line, "umask")) { umask((mode_t)strtol(a, NULL, 8)); say("ok"); }
    else if (is(line, "ids")) {
        /* ids UID GID [GROUP...]: gives up root for good */
        gid_t groups[16];
        int count = 0;
        for (int i = 3; i < line->count && count < 16; i++) groups[count++] = (gid_t)number(line, i, 0);
        uid_t uid = (uid_t)number(line, 1, 0);
        gid_t gid = (gid_t)number(line, 2, 0);
        say_result(setgroups((size_t)count, groups) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0 ? -1 : 0);
    }
    else if (is(line, "run")) run(line);
    else if (is(line, "copyself")) copy_self(a, true);
    else if (is(line, "copyselfopen")) copy_self(a, false);
    else if (is(line, "sleep")) {
        long ms = number(line, 1, 1);
        struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
        nanosleep(&t, NULL);
        say("ok");
    }
    else if (is(line, "fsize")) { struct rlimit r = { (rlim_t)number(line, 1, 0), RLIM_INFINITY }; signal(SIGXFSZ, SIG_IGN); say_result(setrlimit(RLIMIT_FSIZE, &r)); }
    else if (is(line, "appendrace")) append_race(a, number(line, 2, 100), number(line, 3, 64), strcmp(arg(line, 4), "clear") == 0);
    else if (is(line, "copyuprace")) copy_up_race(a, number(line, 2, 8));
    else if (is(line, "replacerace")) replace_race(a, arg(line, 2), number(line, 3, 200));
    else return false;
    return true;
}
