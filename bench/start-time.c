/*
 * start-time [--each] [--list] ROUNDS MOUNTPOINT [FILE] -- COMMAND … [-- COMMAND …]…
 * A COMMAND may begin with @FILE, in place of FILE for itself. With --list the time goes on until the root is listed; with --each every time is
 * printed, in microseconds, the commands in turns, instead of what is said below.
 * Runs mount commands in turn, each time from exec to the answer of the mounted root, or with FILE (a path in the mount) to its first
 * byte, and unmounts after each. Prints one line per
 * command: least and median milliseconds. Turns, not blocks, so that a noisy moment of the machine hits all alike.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
enum { MOST = 8, REST_US = 20000 };

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int first_byte(const char *mountpoint, const char *file)
{
    char path[8192], byte;
    snprintf(path, sizeof path, "%s/%s", mountpoint, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, &byte, 1);
    close(fd);
    return got == 1 ? 0 : -1;
}

static int list(const char *mountpoint)
{
    DIR *root = opendir(mountpoint);
    if (root == NULL)
        return -1;
    errno = 0;
    while (readdir(root) != NULL)
        ;
    int bad = errno;
    return closedir(root) == 0 && bad == 0 ? 0 : -1;
}

static double once(char **command, const char *mountpoint, const char *file, int listed)
{
    posix_spawn_file_actions_t actions;
    struct stat root;
    pid_t pid;
    int status;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    double start = now_ms();
    if (posix_spawnp(&pid, command[0], &actions, NULL, command, environ) != 0 || waitpid(pid, &status, 0) != pid || status != 0
        || (file ? first_byte(mountpoint, file) : listed ? list(mountpoint) : stat(mountpoint, &root)) != 0) {
        fprintf(stderr, "start-time: %s did not mount\n", command[0]);
        exit(1);
    }
    double took = now_ms() - start;
    posix_spawn_file_actions_destroy(&actions);
    if (umount2(mountpoint, 0) != 0) {
        perror("start-time: umount");
        exit(1);
    }
    usleep(REST_US); /* the server ends meanwhile */
    return took;
}

int main(int argc, char **argv)
{
    char **commands[MOST];
    int each = 0, listed = 0;
    for (; argc > 1 && strncmp(argv[1], "--", 2) == 0 && argv[1][2] != 0; argc--, argv++) {
        each |= strcmp(argv[1], "--each") == 0;
        listed |= strcmp(argv[1], "--list") == 0;
    }
    int count = 0, rounds = argc > 3 ? atoi(argv[1]) : 0;
    const char *file = argc > 3 && strcmp(argv[3], "--") != 0 ? argv[3] : NULL;
    for (int i = 3; i < argc && count < MOST; i++)
        if (strcmp(argv[i], "--") == 0) {
            argv[i] = NULL;
            commands[count++] = argv + i + 1;
        }
    const char *files[MOST];
    for (int c = 0; c < count; c++) {
        int own = commands[c][0] && commands[c][0][0] == '@';
        files[c] = own ? commands[c][0] + 1 : file;
        commands[c] += own;
    }
    double *times = calloc((size_t)(rounds * count) + 1, sizeof *times);
    if (rounds < 1 || count < 1 || times == NULL) {
        fprintf(stderr, "usage: start-time [--each] [--list] ROUNDS MOUNTPOINT [FILE] -- COMMAND … [-- COMMAND …]…\n");
        return 2;
    }
    for (int r = 0; r < rounds; r++)
        for (int c = 0; c < count; c++)
            times[c * rounds + r] = once(commands[c], argv[2], files[c], listed);
    if (each) {
        for (int r = 0; r < rounds; r++)
            for (int c = 0; c < count; c++)
                printf("%.0f\n", times[c * rounds + r] * 1e3);
        return 0;
    }
    for (int c = 0; c < count; c++) {
        qsort(times + c * rounds, (size_t)rounds, sizeof *times, ascending);
        printf("%.2f %.2f\n", times[c * rounds], times[c * rounds + rounds / 2]);
    }
    return 0;
}
