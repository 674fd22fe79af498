/* fsprobe: a small interpreter of file system calls. Each line of a script is one call; each prints one line: what came back. */
#pragma once
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { MAX_ARGS = 32 };

/* One parsed line: words with escapes undone. */
typedef struct {
    int count;
    char *word[MAX_ARGS];
    size_t length[MAX_ARGS];
} Line;

/* The answer being built; printed as one line. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void say_bytes(const void *data, size_t length);
void say_errno(void);
/* "ok" when result is not negative, else the errno's name. */
void say_result(long result);

/* Named descriptors and mappings. */
int fd_named(const char *name);
void fd_store(const char *name, int fd);
void fd_forget(const char *name);
void fd_close_all(void);

long flags_of(const char *text);
/* O_NONBLOCK once "nonblock" was said: no call on a FIFO may wait then. */
extern int waiting;
uint64_t hash_bytes(uint64_t seed, const void *data, size_t length);
uint64_t hash_fd(int fd, uint64_t *size);
void pattern(char *buffer, size_t length, uint64_t offset, uint64_t seed);

/* Each room answers true when the command was its own. */
bool path_command(const Line *line);
bool file_command(const Line *line);
bool map_command(const Line *line);
bool attribute_command(const Line *line);
bool directory_command(const Line *line);
bool process_command(const Line *line);
bool watch_command(const Line *line);
bool differential_command(const Line *line);

int digest_main(int argc, char **argv);
void digest_here(const char *options);
int load_main(int argc, char **argv);
int idmap_main(int argc, char **argv);
int linux515_main(int argc, char **argv);
int fsx_main(int argc, char **argv);
int crash_main(int argc, char **argv);
int entries_main(int argc, char **argv);
int rename_time_main(int argc, char **argv);

static inline bool is(const Line *line, const char *name) { return strcmp(line->word[0], name) == 0; }
static inline const char *arg(const Line *line, int i) { return i < line->count ? line->word[i] : ""; }
static inline long number(const Line *line, int i, long otherwise) { return i < line->count ? strtol(line->word[i], NULL, 0) : otherwise; }
