/*
 * files create|rename|unlink|append …: the small-file work of a build, in one process, so that no shell is measured.
 *   create FOLDER N         makes FOLDER/f0 … f(N-1), 100 bytes in each
 *   rename FROM TO N        moves FROM/f… to TO/f…
 *   unlink FOLDER N         removes FOLDER/f…
 *   append N FILE …         adds a line to each
 * Any call that fails ends the program.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void die(const char *what, const char *path)
{
    fprintf(stderr, "files: %s %s: %s\n", what, path, strerror(errno));
    exit(1);
}

static void name(char *path, size_t room, const char *folder, long i)
{
    snprintf(path, room, "%s/f%ld", folder, i);
}

static void put(const char *path, int flags, const char *text, size_t length)
{
    int fd = open(path, flags | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0)
        die("open", path);
    if (write(fd, text, length) != (ssize_t)length)
        die("write", path);
    if (close(fd) != 0)
        die("close", path);
}

int main(int argc, char **argv)
{
    char path[4096], to[4096];
    static char text[100];
    memset(text, 'x', sizeof text);
    if (argc == 4 && strcmp(argv[1], "create") == 0) {
        for (long i = 0; i < atol(argv[3]); i++) {
            name(path, sizeof path, argv[2], i);
            put(path, O_CREAT | O_EXCL, text, sizeof text);
        }
    } else if (argc == 5 && strcmp(argv[1], "rename") == 0) {
        for (long i = 0; i < atol(argv[4]); i++) {
            name(path, sizeof path, argv[2], i);
            name(to, sizeof to, argv[3], i);
            if (rename(path, to) != 0)
                die("rename", path);
        }
    } else if (argc == 4 && strcmp(argv[1], "unlink") == 0) {
        for (long i = 0; i < atol(argv[3]); i++) {
            name(path, sizeof path, argv[2], i);
            if (unlink(path) != 0)
                die("unlink", path);
        }
    } else if (argc > 3 && strcmp(argv[1], "append") == 0) {
        for (int i = 3; i < argc && i - 3 < atol(argv[2]); i++)
            put(argv[i], O_APPEND, "one more line\n", 14);
    } else {
        fprintf(stderr, "usage: files create FOLDER N | rename FROM TO N | unlink FOLDER N | append N FILE…\n");
        return 2;
    }
    return 0;
}
