/* Loads: many files, many open files, many mixed requests, and the readers of the request counts. */
#include "fsprobe.h"
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static int fail(const char *what, const char *path)
{
    fprintf(stderr, "fsprobe: %s %s: %s\n", what, path, strerror(errno));
    return 1;
}

/* create DIR PREFIX COUNT: COUNT files of a few bytes, in sub-directories of 1,000 */
static int create(const char *dir, const char *prefix, long count)
{
    char path[PATH_MAX];
    for (long i = 0; i < count; i++) {
        if (i % 1000 == 0) {
            snprintf(path, sizeof path, "%s/%s%ld", dir, prefix, i / 1000);
            if (mkdir(path, 0755) < 0 && errno != EEXIST) return fail("mkdir", path);
        }
        snprintf(path, sizeof path, "%s/%s%ld/f%ld", dir, prefix, i / 1000, i);
        int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
        if (fd < 0) return fail("create", path);
        int n = snprintf(path, sizeof path, "file %ld\n", i);
        if (write(fd, path, (size_t)n) != n) return fail("write", "");
        if (close(fd) < 0) return fail("close", "");
    }
    printf("ok %ld\n", count);
    return 0;
}

static long expected_text(char *text, size_t room, const char *prefix, long i, int pass) { return snprintf(text, room, "%s %ld pass %d", prefix, i, pass); }

static int unlinked_pass(const int *fds, const char *prefix, long count, int pass)
{
    char text[64], back[64];
    for (long i = 0; i < count; i++) {
        struct stat st;
        long n = expected_text(text, sizeof text, prefix, i, pass);
        if (pwrite(fds[i], text, (size_t)n, pass * 100) != n) return fail("write to unlinked", text);
        if (fstat(fds[i], &st) < 0 || st.st_nlink != 0) { fprintf(stderr, "fsprobe: nlink %ld of unlinked %s\n", (long)st.st_nlink, text); return 1; }
    }
    for (int p = 0; p <= pass; p++)
        for (long i = 0; i < count; i++) {
            long n = expected_text(text, sizeof text, prefix, i, p);
            if (pread(fds[i], back, (size_t)n, p * 100) != n || memcmp(text, back, (size_t)n)) { fprintf(stderr, "fsprobe: read back differs: %s\n", text); return 1; }
        }
    return 0;
}

/* unlinked DIR PREFIX COUNT: holds COUNT open files, all unlinked; writes, reads back; says "held"; at the end of stdin does it again */
static int unlinked(const char *dir, const char *prefix, long count)
{
    char path[PATH_MAX];
    int *fds = malloc(sizeof *fds * (size_t)count);
    for (long i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s%ld", dir, prefix, i);
        fds[i] = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644);
        if (fds[i] < 0) return fail("create", path);
        if (i % 2 && unlink(path) < 0) return fail("unlink", path);
    }
    for (long i = 0; i < count; i += 2) {
        snprintf(path, sizeof path, "%s/%s%ld", dir, prefix, i);
        if (unlink(path) < 0) return fail("unlink", path);
    }
    if (unlinked_pass(fds, prefix, count, 0)) return 1;
    printf("held\n");
    fflush(stdout);
    char c;
    while (read(0, &c, 1) > 0) { }
    if (unlinked_pass(fds, prefix, count, 1)) return 1;
    printf("ok %ld\n", count);
    return 0;
}

static uint64_t random_state;
static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* mixed DIR ROUNDS SEED: each round is about ten requests of many kinds over 200 names; what is read back is checked */
static int mixed(const char *dir, long rounds, uint64_t seed)
{
    if (chdir(dir) < 0) return fail("chdir", dir);
    random_state = seed * 2654435761u + 88172645463325252ull;
    char name[64], other[64], text[512], back[512];
    for (long i = 0; i < rounds; i++) {
        unsigned slot = (unsigned)(next_random() % 200);
        snprintf(name, sizeof name, "m%llu-%u", (unsigned long long)seed, slot);
        snprintf(other, sizeof other, "o%llu-%u", (unsigned long long)seed, slot);
        int fd = open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
        if (fd < 0) return fail("open", name);
        size_t length = 1 + next_random() % sizeof text;
        pattern(text, length, (uint64_t)i, seed);
        if (pwrite(fd, text, length, 0) != (ssize_t)length) return fail("write", name);
        if (next_random() % 4 == 0 && ftruncate(fd, (off_t)length) < 0) return fail("truncate", name);
        if (next_random() % 8 == 0 && fsync(fd) < 0) return fail("fsync", name);
        if (pread(fd, back, length, 0) != (ssize_t)length || memcmp(text, back, length)) { fprintf(stderr, "fsprobe: %s reads back differently\n", name); return 1; }
        close(fd);
        struct stat st;
        switch (next_random() % 8) {
            case 0: if (unlink(name) < 0) return fail("unlink", name); break;
            case 1: if (rename(name, other) < 0) return fail("rename", name); if (unlink(other) < 0) return fail("unlink", other); break;
            case 2: if (mkdir(other, 0755) < 0) return fail("mkdir", other); if (rmdir(other) < 0) return fail("rmdir", other); break;
            case 3: if (symlink("target", other) < 0) return fail("symlink", other); if (unlink(other) < 0) return fail("unlink", other); break;
            case 4: if (link(name, other) < 0) return fail("link", other); if (unlink(other) < 0) return fail("unlink", other); break;
            case 5: if (chmod(name, 0600 + (mode_t)(i & 077)) < 0) return fail("chmod", name); break;
            case 6: snprintf(text, sizeof text, "absent-%ld", i); if (stat(text, &st) == 0) return fail("absent file found", text); break;
            default: { DIR *d = opendir("."); if (!d) return fail("opendir", dir); while (readdir(d)) { } closedir(d); }
        }
    }
    printf("ok %ld\n", rounds);
    return 0;
}

/* walk ROOT stat|readlink|read|list [LIMIT]: one call of that kind per object below ROOT; "read" opens, reads to the end and closes */
static long walked;
static int walk(int parent, const char *name, const char *kind, long limit)
{
    static char buffer[1 << 16];
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fail("opendir", name);
    DIR *dir = fdopendir(fd);
    struct dirent *entry;
    while ((entry = readdir(dir)) && walked < limit) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        struct stat st;
        if (!strcmp(kind, "stat")) { walked++; if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) return fail("stat", entry->d_name); }
        if (!strcmp(kind, "readlink") && entry->d_type == DT_LNK) { walked++; if (readlinkat(fd, entry->d_name, buffer, sizeof buffer) < 0) return fail("readlink", entry->d_name); }
        if (!strcmp(kind, "read") && entry->d_type == DT_REG) {
            int file = openat(fd, entry->d_name, O_RDONLY | O_CLOEXEC);
            if (file < 0) return fail("open", entry->d_name);
            ssize_t n;
            while ((n = read(file, buffer, sizeof buffer)) > 0) { }
            if (n < 0 || close(file) < 0) return fail("read", entry->d_name);
            walked++;
        }
        if (!strcmp(kind, "list")) walked++;
        if (entry->d_type == DT_DIR && walk(fd, entry->d_name, kind, limit)) return 1;
    }
    closedir(dir);
    return 0;
}

/* appendall DIR COUNT TEXT: appends TEXT to each of the files f0… of DIR, which copies each up */
static int append_all(const char *dir, long count, const char *text)
{
    char path[PATH_MAX];
    for (long i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/f%ld", dir, i);
        int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        if (fd < 0) return fail("open", path);
        if (write(fd, text, strlen(text)) < 0) return fail("write", path);
        if (close(fd) < 0) return fail("close", path);
        printf("%ld\n", i);
        fflush(stdout);
    }
    return 0;
}

/* mapheld PATH: maps a file shared by two processes, each stores, each sees the other's store */
static int map_held(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || ftruncate(fd, 32768) < 0) return fail("open", path);
    volatile int *words = mmap(NULL, 32768, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (words == MAP_FAILED) return fail("mmap", path);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int again = open(path, O_RDWR | O_CLOEXEC);
        volatile int *mine = mmap(NULL, 32768, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0);
        if (mine == MAP_FAILED) _exit(1);
        for (int i = 1; i <= 1000; i++) { while (mine[0] != i) { } mine[1024] = i; }
        _exit(0);
    }
    int status = 0;
    for (int i = 1; i <= 1000; i++) {
        words[0] = i;
        while (words[1024] != i) if (waitpid(pid, &status, WNOHANG) == pid && status) { fprintf(stderr, "fsprobe: the second process could not map %s\n", path); return 1; }
    }
    waitpid(pid, &status, 0);
    printf("ok\n");
    return status ? 1 : 0;
}

/* spawntime COUNT PROGRAM ARGS…: the shortest time from spawn to exit, in microseconds */
static int spawn_time(long count, char **argv)
{
    volatile long best = LONG_MAX;
    for (volatile long i = 0; i < count; i++) {
        struct timespec a, b;
        int status;
        clock_gettime(CLOCK_MONOTONIC, &a);
        pid_t pid = vfork();
        if (pid == 0) {
            int quiet = open("/dev/null", O_RDWR);
            dup2(quiet, 1);
            execv(argv[0], argv);
            _exit(127);
        }
        waitpid(pid, &status, 0);
        clock_gettime(CLOCK_MONOTONIC, &b);
        if (status) { fprintf(stderr, "fsprobe: %s ended with status %d\n", argv[0], status); return 1; }
        long us = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
        if (us < best) best = us;
    }
    printf("%ld\n", best);
    return 0;
}

int load_main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    if (!strcmp(verb, "create") && argc == 5) return create(argv[2], argv[3], atol(argv[4]));
    if (!strcmp(verb, "unlinked") && argc == 5) return unlinked(argv[2], argv[3], atol(argv[4]));
    if (!strcmp(verb, "mixed") && argc == 5) return mixed(argv[2], atol(argv[3]), strtoull(argv[4], NULL, 10));
    if (!strcmp(verb, "walk") && argc >= 4) {
        int result = walk(AT_FDCWD, argv[2], argv[3], argc > 4 ? atol(argv[4]) : LONG_MAX);
        if (!result) printf("ok %ld\n", walked);
        return result;
    }
    if (!strcmp(verb, "appendall") && argc == 5) return append_all(argv[2], atol(argv[3]), argv[4]);
    if (!strcmp(verb, "spawntime") && argc > 3) return spawn_time(atol(argv[2]), argv + 3);
    if (!strcmp(verb, "mapheld") && argc == 3) return map_held(argv[2]);
    fprintf(stderr, "usage: fsprobe run ROOT | digest ROOT [OPTIONS] | create DIR PREFIX N | unlinked DIR PREFIX N | mixed DIR ROUNDS SEED |\n"
                    "       walk ROOT KIND [LIMIT] | appendall DIR N TEXT | mapheld PATH | spawntime N PROGRAM… | exit N\n");
    return 2;
}
