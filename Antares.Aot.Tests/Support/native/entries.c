/* entries: one directory with many entries, each kind of call timed; and the time of one rename. */
#include "fsprobe.h"
#include <sys/syscall.h>
#include <time.h>

static double seconds(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) < 0) { perror("fsprobe: clock_gettime"); exit(1); }
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double now(void) { return seconds(CLOCK_MONOTONIC); }

static int fail(const char *what, const char *name)
{
    fprintf(stderr, "fsprobe: %s %s: %s\n", what, name, strerror(errno));
    return 1;
}

/* Reads the names of a directory from its start; returns their number, or -1. */
static long list(int dir, long limit, char first[NAME_MAX + 1])
{
    static char buffer[1 << 15];
    long count = 0;
    if (lseek(dir, 0, SEEK_SET) < 0) return -1;
    for (;;) {
        long n = syscall(SYS_getdents64, dir, buffer, sizeof buffer);
        if (n < 0) return -1;
        if (n == 0) return count;
        for (long at = 0; at < n;) {
            struct { uint64_t ino; int64_t off; unsigned short length; unsigned char type; char name[]; } *entry = (void *)(buffer + at);
            at += entry->length;
            if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0) continue;
            if (count == 0 && first) snprintf(first, NAME_MAX + 1, "%.255s", entry->name);
            if (++count == limit) return count;
        }
    }
}

static clockid_t server_clock;
static bool has_server;

/* Processor time of this process and of the server: other work on the machine does not count. */
static double spent(void) { return seconds(CLOCK_PROCESS_CPUTIME_ID) + (has_server ? seconds(server_clock) : 0); }

/* entries DIR COUNT [PID]: makes COUNT files, lists them, stats each, takes the first of the listing away 1,000 times (as a queue is emptied), and
   removes the rest. Prints "create list stat take-first remove" in microseconds of processor time for one entry, that of the server PID included,
   then "wall" and the same by the clock. */
int entries_main(int argc, char **argv)
{
    if (argc < 4) { fprintf(stderr, "usage: entries DIR COUNT [PID]\n"); return 2; }
    has_server = argc > 4;
    if (has_server && (errno = clock_getcpuclockid(atoi(argv[4]), &server_clock))) return fail("clock of", argv[4]);
    long count = atol(argv[3]), pops = 1000 < count ? 1000 : count;
    if (mkdir(argv[2], 0755) < 0) return fail("mkdir", argv[2]);
    int dir = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return fail("open", argv[2]);
    char name[64], first[NAME_MAX + 1];
    double wall[6] = { now() }, times[6] = { spent() };
    for (long i = 0; i < count; i++) {
        snprintf(name, sizeof name, "entry-%06ld", i);
        int fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
        if (fd < 0 || close(fd) < 0) return fail("create", name);
    }
    wall[1] = now();
    times[1] = spent();
    long listed = list(dir, LONG_MAX, NULL);
    if (listed != count) { fprintf(stderr, "fsprobe: %ld entries listed, %ld made\n", listed, count); return 1; }
    wall[2] = now();
    times[2] = spent();
    struct stat st;
    for (long i = 0; i < count; i++) {
        snprintf(name, sizeof name, "entry-%06ld", i);
        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return fail("stat", name);
    }
    wall[3] = now();
    times[3] = spent();
    for (long i = 0; i < pops; i++) {
        if (list(dir, 1, first) != 1) return fail("list", argv[2]);
        if (unlinkat(dir, first, 0) < 0) return fail("unlink", first);
    }
    wall[4] = now();
    times[4] = spent();
    for (long i = 0; i < count; i++) {
        snprintf(name, sizeof name, "entry-%06ld", i);
        if (unlinkat(dir, name, 0) < 0 && errno != ENOENT) return fail("unlink", name);
    }
    if (list(dir, LONG_MAX, NULL) != 0) { fprintf(stderr, "fsprobe: entries are left\n"); return 1; }
    wall[5] = now();
    times[5] = spent();
    if (rmdir(argv[2]) < 0) return fail("rmdir", argv[2]);
    for (int i = 0; i < 5; i++) printf("%.2f ", (times[i + 1] - times[i]) * 1e6 / (double)(i == 3 ? pops : count));
    printf("wall");
    for (int i = 0; i < 5; i++) printf(" %.2f", (wall[i + 1] - wall[i]) * 1e6 / (double)(i == 3 ? pops : count));
    printf("\n");
    return 0;
}

/* renametime FROM TO: renames; prints the microseconds that the call took. */
int rename_time_main(int argc, char **argv)
{
    if (argc != 4) { fprintf(stderr, "usage: renametime FROM TO\n"); return 2; }
    double start = now();
    if (rename(argv[2], argv[3]) < 0) return fail("rename", argv[2]);
    printf("%.0f\n", (now() - start) * 1e6);
    return 0;
}
