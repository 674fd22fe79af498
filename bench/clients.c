/*
 * clients KIND CLIENTS TOTAL FOLDER [LIST]: a fixed amount of work, done together by that many client processes; prints the microseconds from the
 * word to all of them until the last is done.
 *   stat, read     TOTAL times the attributes, or open, read and close, of the files of LIST (paths below FOLDER, one on each line)
 *   write          TOTAL files made, written and removed, each client in a folder of its own below FOLDER
 *   write-shared   the same in one folder
 * Each client has a share that lies together. Any call that fails ends the program with an error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char **paths;
static long path_count;

static void die(const char *what, const char *path)
{
    fprintf(stderr, "clients: %s %s: %s\n", what, path, strerror(errno));
    exit(1);
}

static void load(const char *list)
{
    FILE *in = fopen(list, "r");
    char *line = NULL;
    size_t room = 0;
    long most = 0;
    ssize_t length;
    if (in == NULL)
        die("open", list);
    while ((length = getline(&line, &room, in)) > 0) {
        if (line[length - 1] == '\n')
            line[length - 1] = 0;
        if (path_count == most) {
            most = most ? most * 2 : 1024;
            paths = realloc(paths, (size_t)most * sizeof *paths);
        }
        if (paths == NULL || (paths[path_count++] = strdup(line)) == NULL)
            die("load", list);
    }
    fclose(in);
    free(line);
    if (path_count == 0) {
        fprintf(stderr, "clients: %s is empty\n", list);
        exit(1);
    }
}

static void look(int folder, long i)
{
    struct stat st;
    const char *path = paths[i % path_count];
    if (fstatat(folder, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
        die("stat", path);
}

static void read_one(int folder, long i)
{
    static char buffer[1 << 16];
    const char *path = paths[i % path_count];
    int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
    ssize_t got;
    if (fd < 0)
        die("open", path);
    while ((got = read(fd, buffer, sizeof buffer)) > 0)
        ;
    if (got < 0 || close(fd) != 0)
        die("read", path);
}

static void write_one(int folder, long i)
{
    static const char text[1000] = "some text";
    char name[32];
    snprintf(name, sizeof name, "f%ld", i);
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        die("create", name);
    if (write(fd, text, sizeof text) != (ssize_t)sizeof text || close(fd) != 0)
        die("write", name);
    if (unlinkat(folder, name, 0) != 0)
        die("unlink", name);
}

int main(int argc, char **argv)
{
    const char *kind = argc > 4 ? argv[1] : "";
    long clients = argc > 4 ? atol(argv[2]) : 0, total = argc > 4 ? atol(argv[3]) : 0;
    int own = strcmp(kind, "write") == 0, begin[2];
    void (*work)(int, long) = strcmp(kind, "stat") == 0 ? look : strcmp(kind, "read") == 0 ? read_one : strncmp(kind, "write", 5) == 0 ? write_one : NULL;
    if (work == NULL || clients < 1 || total < clients || (work != write_one && argc != 6)) {
        fprintf(stderr, "usage: clients stat|read|write|write-shared CLIENTS TOTAL FOLDER [LIST]\n");
        return 2;
    }
    if (work != write_one)
        load(argv[5]);
    if (pipe(begin) != 0)
        die("pipe", "");
    for (long c = 0; c < clients; c++) {
        pid_t pid = fork();
        if (pid < 0)
            die("fork", "");
        if (pid == 0) {
            char folder[4096], byte;
            snprintf(folder, sizeof folder, own ? "%s/client-%ld" : "%s", argv[4], c);
            if (own && mkdir(folder, 0755) != 0 && errno != EEXIST)
                die("mkdir", folder);
            int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (fd < 0)
                die("open", folder);
            close(begin[1]);
            if (read(begin[0], &byte, 1) != 0) /* until all have begun */
                die("wait", "");
            for (long i = total * c / clients; i < total * (c + 1) / clients; i++)
                work(fd, i);
            _exit(0);
        }
    }
    usleep(100000 + 1000 * (useconds_t)clients); /* each has its folder open */
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    close(begin[1]);
    int bad = 0, status;
    for (long c = 0; c < clients; c++)
        if (wait(&status) < 0 || status != 0)
            bad = 1;
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (bad)
        return 1;
    printf("%lld\n", (end.tv_sec - start.tv_sec) * 1000000LL + (end.tv_nsec - start.tv_nsec) / 1000);
    return 0;
}
