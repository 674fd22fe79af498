/*
 * make-tree REFERENCE TARGET NODES [BYTES]
 *
 * Makes a tree of about NODES names below TARGET, with the name lengths, depths and directory sizes of REFERENCE: copies of it, one
 * folder each, whose letters are turned by another number of places, so that no copy shares its names. A file gets its path and at
 * most BYTES (default 100) of the file that it stands for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *reference, *target;
static size_t reference_length;
static long nodes, most_nodes, most_bytes = 100;
static int copy;
static char *room;

static void die(const char *what)
{
    fprintf(stderr, "make-tree: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void turn(char *text)
{
    for (; *text; text++) {
        if (*text >= 'a' && *text <= 'z')
            *text = 'a' + (*text - 'a' + copy) % 26;
        else if (*text >= 'A' && *text <= 'Z')
            *text = 'A' + (*text - 'A' + copy) % 26;
    }
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    char made[8192], link[4096], rest[4096];
    (void)ftw;
    if (nodes >= most_nodes)
        return 1;
    snprintf(rest, sizeof rest, "%s", path + reference_length);
    turn(rest);
    snprintf(made, sizeof made, "%s/copy-%02d%s", target, copy, rest);
    if (type == FTW_D) {
        if (mkdir(made, 0755) != 0)
            die(made);
    } else if (type == FTW_SL) {
        ssize_t length = readlink(path, link, sizeof link - 1);
        if (length < 0)
            die(path);
        link[length] = 0;
        turn(link);
        if (symlink(link, made) != 0)
            die(made);
    } else if (type == FTW_F && S_ISREG(st->st_mode)) {
        int out = open(made, O_WRONLY | O_CREAT | O_EXCL, st->st_mode & 0777), in = open(path, O_RDONLY);
        if (out < 0 || in < 0)
            die(made);
        int length = snprintf(room, 8192, "%d %s\n", copy, rest);
        ssize_t got = read(in, room + length, most_bytes);
        if (got < 0 || write(out, room, length + got) != length + got)
            die(made);
        close(in);
        close(out);
    } else {
        return 0;
    }
    nodes++;
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 5) {
        fprintf(stderr, "usage: make-tree REFERENCE TARGET NODES [BYTES]\n");
        return 2;
    }
    reference = argv[1];
    reference_length = strlen(reference);
    target = argv[2];
    most_nodes = atol(argv[3]);
    if (argc == 5)
        most_bytes = atol(argv[4]);
    room = malloc(8192 + most_bytes);
    if (mkdir(target, 0755) != 0 && errno != EEXIST)
        die(target);
    umask(0);
    for (copy = 0; nodes < most_nodes; copy++) {
        long before = nodes;
        if (nftw(reference, visit, 200, FTW_PHYS) < 0)
            die(reference);
        if (nodes == before) {
            fprintf(stderr, "make-tree: %s is empty\n", reference);
            return 1;
        }
    }
    printf("%ld names in %d copies\n", nodes, copy);
    return 0;
}
