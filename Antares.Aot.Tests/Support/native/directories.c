/* Listings: what is there, and what readdir promises while names come and go. */
#include "fsprobe.h"
#include <limits.h>
#include <sys/syscall.h>

char type_letter(mode_t mode);

typedef struct { uint64_t ino; int64_t off; uint16_t reclen; uint8_t type; char name[]; } Entry;

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static char dtype_letter(unsigned char type) { return type == DT_UNKNOWN ? '?' : type_letter(DTTOIF(type)); }

static void list(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) { say_errno(); return; }
    size_t count = 0, capacity = 0;
    char **names = NULL;
    struct dirent *entry;
    errno = 0;
    while ((entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (count == capacity) names = realloc(names, sizeof *names * (capacity = capacity * 2 + 64));
        char *text = malloc(strlen(entry->d_name) + 3);
        sprintf(text, "%s:%c", entry->d_name, dtype_letter(entry->d_type));
        names[count++] = text;
    }
    int error = errno;
    closedir(dir);
    if (error) { errno = error; say_errno(); return; }
    qsort(names, count, sizeof *names, by_text);
    uint64_t h = 0;
    say("[%zu]", count);
    for (size_t i = 0; i < count; i++) {
        if (count <= 24) say_bytes(names[i], strlen(names[i]));
        h = hash_bytes(h, names[i], strlen(names[i]) + 1);
    }
    if (count > 24) say("%016llx", (unsigned long long)h);
    for (size_t i = 0; i < count; i++) free(names[i]);
    free(names);
}

/* Each d_ino equals st_ino, each d_type is the object's type, "." and ".." are there once. */
static void check_inos(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) { say_errno(); return; }
    long count = 0, wrong = 0, dots = 0;
    struct dirent *entry;
    char first[300] = "";
    while ((entry = readdir(dir))) {
        struct stat st;
        bool dot = !strcmp(entry->d_name, "."), dotdot = !strcmp(entry->d_name, "..");
        dots += dot || dotdot;
        count++;
        if (dotdot) continue;
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != entry->d_ino || (mode_t)DTTOIF(entry->d_type) != (st.st_mode & S_IFMT)) {
            /* The first by name: listings need not come in the same order. */
            if (!wrong++ || strcmp(entry->d_name, first) < 0) snprintf(first, sizeof first, "%s", entry->d_name);
        }
    }
    closedir(dir);
    if (wrong) say("wrong %ld, first %s", wrong, first);
    else say(dots == 2 ? "ok" : "dots:%ld", dots);
    (void)count;
}

/* Each position that telldir gave leads back to the entry that followed it. */
static void check_telldir(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) { say_errno(); return; }
    size_t count = 0, capacity = 1024;
    long *positions = malloc(sizeof *positions * capacity);
    char **names = malloc(sizeof *names * capacity);
    for (;;) {
        long at = telldir(dir);
        struct dirent *entry = readdir(dir);
        if (!entry) break;
        if (count == capacity) { capacity *= 2; positions = realloc(positions, sizeof *positions * capacity); names = realloc(names, sizeof *names * capacity); }
        positions[count] = at;
        names[count++] = strdup(entry->d_name);
    }
    long wrong = 0;
    for (size_t step = 0; step < count && step < 3000; step++) {
        size_t i = (step * 7919) % count;
        seekdir(dir, positions[i]);
        struct dirent *entry = readdir(dir);
        if (!entry || strcmp(entry->d_name, names[i])) wrong++;
    }
    rewinddir(dir);
    size_t again = 0;
    while (readdir(dir)) again++;
    closedir(dir);
    for (size_t i = 0; i < count; i++) free(names[i]);
    free(names);
    free(positions);
    if (wrong || again != count) say("wrong %ld of %zu, again %zu", wrong, count, again);
    else say("ok");
}

/* Between small reads other names come and go; each name that starts with "s" must be seen exactly once. */
static void check_churn(const char *path, long stable)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) { say_errno(); return; }
    char buffer[512], name[64];
    unsigned char *seen = calloc((size_t)stable, 1);
    long round = 0, unknown = 0, twice = 0;
    for (;;) {
        long n = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
        if (n < 0) { say_errno(); close(fd); free(seen); return; }
        if (n == 0) break;
        for (long at = 0; at < n; at += ((Entry *)(buffer + at))->reclen) {
            Entry *entry = (Entry *)(buffer + at);
            if (entry->name[0] != 's') continue;
            long i = strtol(entry->name + 1, NULL, 10);
            if (i < 0 || i >= stable) unknown++;
            else if (seen[i]++) twice++;
        }
        if (round < 2000) {
            snprintf(name, sizeof name, "a%ld", round);
            int made = openat(fd, name, O_CREAT | O_EXCL | O_WRONLY, 0644);
            if (made >= 0) close(made);
            snprintf(name, sizeof name, "r%ld", round);
            unlinkat(fd, name, 0);
            snprintf(name, sizeof name, "a%ld", round - 3);
            unlinkat(fd, name, 0);
        }
        round++;
    }
    close(fd);
    long missed = 0;
    for (long i = 0; i < stable; i++) missed += !seen[i];
    free(seen);
    if (missed || twice || unknown) say("missed %ld, twice %ld, unknown %ld", missed, twice, unknown);
    else say("ok");
}

/* What one reader saw of the names c0, c1, … (made), n0, … (old) and g0, … (gone). */
enum { MADE = 25, OLD = 40, GONE = 8 };
typedef struct { int made[MADE], old[OLD], gone[GONE]; long names; } Seen;

/* Reads until at least so many names were seen; few of them with each call. False at the end. */
static bool read_some(int fd, Seen *seen, long names)
{
    char buffer[200];
    while (seen->names < names) {
        long n = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
        if (n <= 0) return false;
        for (long at = 0; at < n; at += ((Entry *)(buffer + at))->reclen) {
            const char *name = ((Entry *)(buffer + at))->name;
            int number = atoi(name + 1);
            seen->names++;
            if (name[0] == 'c') seen->made[number % MADE]++;
            else if (name[0] == 'n') seen->old[number % OLD]++;
            else if (name[0] == 'g') seen->gone[number % GONE]++;
        }
    }
    return true;
}

static bool make_some(const char *path, char letter, int count, bool take_away)
{
    char name[PATH_MAX];
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s/%c%d", path, letter, i);
        int fd = take_away ? -1 : open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
        if (take_away ? unlink(name) < 0 : fd < 0) return false;
        if (fd >= 0) close(fd);
    }
    return true;
}

/*
 * tworeaders DIRECTORY: one reads a half of it, names are made and others removed, a second begins, the first comes to its end, and then the
 * second. That one must see each name that was there when it began, once, and none that was not; whoever begins after them too.
 */
static void two_readers(const char *path)
{
    Seen first = { 0 }, second = { 0 }, third = { 0 };
    if (!make_some(path, 'n', OLD, false) || !make_some(path, 'g', GONE, false)) { say_errno(); return; }
    int a = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    read_some(a, &first, (OLD + GONE) / 2);
    if (!make_some(path, 'c', MADE, false) || !make_some(path, 'g', GONE, true)) { say_errno(); return; }
    int b = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    read_some(b, &second, 6);
    read_some(a, &first, LONG_MAX);
    read_some(b, &second, LONG_MAX);
    int c = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    read_some(c, &third, LONG_MAX);
    close(a); close(b); close(c);
    long missing = 0, twice = 0, ghosts = 0;
    for (int i = 0; i < MADE; i++) { missing += !second.made[i] + !third.made[i]; twice += (second.made[i] > 1) + (third.made[i] > 1); }
    for (int i = 0; i < OLD; i++) { missing += !first.old[i] + !second.old[i] + !third.old[i]; twice += (first.old[i] > 1) + (second.old[i] > 1) + (third.old[i] > 1); }
    for (int i = 0; i < GONE; i++) ghosts += second.gone[i] + third.gone[i];
    if (missing || twice || ghosts) say("missing %ld, twice %ld, ghosts %ld", missing, twice, ghosts);
    else say("ok");
}

/*
 * fullpages DIRECTORY: a reader stands behind a name that is removed, and somebody else lists the directory, whose entries fill a page to its last byte.
 * The reader must see every other name once. Also with one entry more and one less, and with two pages.
 */
static void full_pages(const char *path)
{
    enum { ENTRY = 32, MOST = 1200 }; /* of a name of 1 to 8 bytes */
    long page = sysconf(_SC_PAGESIZE), wrong = 0;
    static int seen[MOST + 1];
    char name[PATH_MAX], buffer[200], whole[32768];
    for (int more = -1; more <= 1; more++) {
        int count = (int)(page / ENTRY) * (more == 1 ? 2 : 1) - 2 + (more == -1 ? -1 : 0), made = 0, last = -1;
        if (count > MOST) { say("pages of %ld bytes are too large for this", page); return; }
        for (; made < count; made++) {
            snprintf(name, sizeof name, "%s/f%06d", path, made);
            int fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
            if (fd < 0) { say_errno(); return; }
            close(fd);
        }
        memset(seen, 0, sizeof seen);
        int reader = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), other;
        for (int rest = 0; rest < 2; rest++) {
            long n;
            while ((n = syscall(SYS_getdents64, reader, buffer, sizeof buffer)) > 0) {
                for (long at = 0; at < n; at += ((Entry *)(buffer + at))->reclen) {
                    const char *found = ((Entry *)(buffer + at))->name;
                    if (found[0] == 'f') seen[last = atoi(found + 1)]++;
                }
                if (!rest && last >= 0) break;
            }
            if (rest) break;
            snprintf(name, sizeof name, "%s/f%06d", path, last);
            if (unlink(name) < 0) { say_errno(); close(reader); return; }
            snprintf(name, sizeof name, "%s/f%06d", path, count);
            int fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
            if (fd >= 0) close(fd);
            for (int time = 0; time < 2; time++) {
                other = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                while (syscall(SYS_getdents64, other, whole, sizeof whole) > 0) { }
                close(other);
            }
        }
        close(reader);
        for (int i = 0; i < count; i++) wrong += seen[i] != 1;
        wrong += seen[count] > 1;
        for (int i = 0; i <= count; i++) {
            snprintf(name, sizeof name, "%s/f%06d", path, i);
            unlink(name);
        }
    }
    if (wrong) say("wrong %ld", wrong);
    else say("ok");
}

/*
 * Changes each name as it is seen, in one pass of small reads: to a new name ("rename"), to another file under the same name ("remake": by
 * unlink and creation, "replace": by a rename over it). The pass must end, and with "replace" show each name once, since none was ever away.
 */
static void check_change_scan(const char *path, const char *how)
{
    enum { MANY = 50000 };
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) { say_errno(); return; }
    char buffer[4096], name[64];
    static long names; /* never used twice in a run */
    long n, changed = 0, before = 0, twice = 0;
    bool replace = strcmp(how, "replace") == 0;
    unsigned char *seen = calloc(MANY, 1);
    while ((n = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0 && changed < MANY)
        for (long at = 0; at < n; at += ((Entry *)(buffer + at))->reclen) {
            Entry *entry = (Entry *)(buffer + at);
            if (entry->name[0] == '.' || entry->name[0] == '-') continue;
            if (replace) {
                long i = strtol(entry->name + 1, NULL, 10);
                if (i >= 0 && i < MANY && seen[i]++) twice++;
                before++;
            }
            changed++;
            snprintf(name, sizeof name, replace ? "-" : "q%ld", names++);
            if (strcmp(how, "rename") == 0) renameat(fd, entry->name, fd, name);
            else if (strcmp(how, "remake") == 0) {
                unlinkat(fd, entry->name, 0);
                close(openat(fd, entry->name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644));
            } else {
                close(openat(fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644));
                renameat(fd, name, fd, entry->name);
            }
        }
    free(seen);
    long left = 0;
    lseek(fd, 0, SEEK_SET);
    long more;
    while ((more = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < more; at += ((Entry *)(buffer + at))->reclen) left += ((Entry *)(buffer + at))->name[0] != '.';
    if (n < 0) say_errno();
    else if (n > 0) say("no end");
    else if (replace && (twice || before != left)) say("%ld of %ld seen, %ld twice", before, left, twice);
    else say("%ld there", left);
    close(fd);
}

/* Unlinks each name as it is seen, in one pass of small reads, as rm -rf does; then the directory must be empty. */
static void check_unlink_scan(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) { say_errno(); return; }
    char buffer[2048];
    long n, removed = 0;
    while ((n = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < n; at += ((Entry *)(buffer + at))->reclen) {
            Entry *entry = (Entry *)(buffer + at);
            if (!strcmp(entry->name, ".") || !strcmp(entry->name, "..")) continue;
            if (unlinkat(fd, entry->name, entry->type == DT_DIR ? AT_REMOVEDIR : 0) < 0) { say_errno(); say("%s", entry->name); close(fd); return; }
            removed++;
        }
    close(fd);
    say("%ld", removed);
    say_result(rmdir(path));
}

/* After rewinddir a directory stream shows what was made and not what was removed meanwhile. */
static void check_rewind(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) { say_errno(); return; }
    while (readdir(dir)) { }
    int fd = openat(dirfd(dir), "rewind-new", O_CREAT | O_WRONLY, 0644);
    if (fd >= 0) close(fd);
    unlinkat(dirfd(dir), "rewind-old", 0);
    rewinddir(dir);
    bool made = false, old = false;
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        made |= !strcmp(entry->d_name, "rewind-new");
        old |= !strcmp(entry->d_name, "rewind-old");
    }
    closedir(dir);
    say(made && !old ? "ok" : "made %d old %d", made, old);
}

bool directory_command(const Line *line)
{
    const char *a = arg(line, 1);
    if (is(line, "ls")) list(a);
    else if (is(line, "dino")) check_inos(a);
    else if (is(line, "telldir")) check_telldir(a);
    else if (is(line, "churn")) check_churn(a, number(line, 2, 0));
    else if (is(line, "tworeaders")) two_readers(a);
    else if (is(line, "fullpages")) full_pages(a);
    else if (is(line, "changescan")) check_change_scan(a, arg(line, 2));
    else if (is(line, "unlinkscan")) check_unlink_scan(a);
    else if (is(line, "rewind")) check_rewind(a);
    else if (is(line, "dents")) {
        /* dents FD: one getdents64 on an open directory; the number of entries besides the dots */
        char buffer[32768];
        long n = syscall(SYS_getdents64, fd_named(a), buffer, sizeof buffer), count = 0;
        if (n < 0) { say_errno(); return true; }
        for (long at = 0; at < n; at += ((Entry *)(buffer + at))->reclen) {
            Entry *entry = (Entry *)(buffer + at);
            count += strcmp(entry->name, ".") && strcmp(entry->name, "..");
        }
        say("%ld", count);
    }
    else if (is(line, "statat")) {
        struct stat st;
        if (fstatat(fd_named(a), arg(line, 2), &st, AT_SYMLINK_NOFOLLOW) < 0) say_errno();
        else say("%c", type_letter(st.st_mode));
    }
    else if (is(line, "openat")) {
        /* openat DIRFD NAME PATH FLAGS */
        int fd = openat(fd_named(a), arg(line, 3), (int)flags_of(arg(line, 4)) | O_CLOEXEC | waiting, 0644);
        if (fd >= 0) fd_store(arg(line, 2), fd);
        say_result(fd);
    }
    else return false;
    return true;
}
