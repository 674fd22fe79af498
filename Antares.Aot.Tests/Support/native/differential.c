/* Calls of the differential test: answers that are the same on every correct file system, and differ where one is not.
   Times of the years 2024 to 2039 are "now": the layers and utimens use others, so that a time that should have stayed, or moved, is seen. */
#include "fsprobe.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

char type_letter(mode_t mode);

int print_time(char *out, size_t size, long long seconds, unsigned nanoseconds)
{
    if (seconds > 1704067200ll && seconds < 2208988800ll) return snprintf(out, size, "now");
    return snprintf(out, size, "%lld.%09u", seconds, nanoseconds);
}

/* "#ino.generation": which object it is. The generation tells two objects apart that had one number after each other; 0 where no handle is given. */
int print_identity(char *out, size_t size, int fd, const char *path, int flags, unsigned long long ino)
{
    union { struct file_handle handle; unsigned char room[sizeof(struct file_handle) + MAX_HANDLE_SZ]; } u = { .handle.handle_bytes = MAX_HANDLE_SZ };
    int mount;
    unsigned generation = 0;
    if (name_to_handle_at(fd, path, &u.handle, &mount, flags & AT_EMPTY_PATH) == 0 && u.handle.handle_type == 1)
        memcpy(&generation, u.handle.f_handle + 4, 4);
    return snprintf(out, size, "#%llu.%x", ino, generation);
}

static void say_object(int fd, const char *path, int flags)
{
    struct statx x;
    if (statx(fd, path, flags | AT_STATX_SYNC_AS_STAT, STATX_BASIC_STATS, &x) < 0) { say_errno(); return; }
    char modified[48], accessed[48], identity[48];
    print_time(modified, sizeof modified, x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec);
    print_time(accessed, sizeof accessed, x.stx_atime.tv_sec, x.stx_atime.tv_nsec);
    print_identity(identity, sizeof identity, fd, path, flags, x.stx_ino);
    say("%c %o n%u %u:%u", type_letter(x.stx_mode), x.stx_mode & 07777, x.stx_nlink, x.stx_uid, x.stx_gid);
    if (!S_ISDIR(x.stx_mode)) say("s%llu", (unsigned long long)x.stx_size);
    if (S_ISCHR(x.stx_mode) || S_ISBLK(x.stx_mode)) say("%u,%u", x.stx_rdev_major, x.stx_rdev_minor);
    say("m%s a%s %s", modified, accessed, identity);
}

/* Open directories that are read a little at a time while names come and go. */
typedef struct { uint64_t ino; int64_t off; uint16_t reclen; uint8_t type; char name[]; } Entry;

typedef struct { size_t count, capacity; char **name; } Names;

static struct Scan { char name[16]; int fd; Names first, seen; size_t marked; int64_t at, mark; } scans[16];

static void names_add(Names *names, const char *name)
{
    if (names->count == names->capacity) names->name = realloc(names->name, sizeof *names->name * (names->capacity = names->capacity * 2 + 32));
    names->name[names->count++] = strdup(name);
}

static int names_count(const Names *names, const char *name)
{
    int times = 0;
    for (size_t i = 0; i < names->count; i++) times += strcmp(names->name[i], name) == 0;
    return times;
}

static void names_cut(Names *names, size_t keep)
{
    while (names->count > keep) free(names->name[--names->count]);
    if (keep == 0) { free(names->name); memset(names, 0, sizeof *names); }
}

static struct Scan *scan_named(const char *name)
{
    for (int i = 0; i < 16; i++) if (scans[i].name[0] && strcmp(scans[i].name, name) == 0) return &scans[i];
    return NULL;
}

static void scan_open(const char *name, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) { say_errno(); return; }
    for (int i = 0; i < 16; i++)
        if (!scans[i].name[0]) {
            memset(&scans[i], 0, sizeof scans[i]);
            snprintf(scans[i].name, sizeof scans[i].name, "%s", name);
            scans[i].fd = fd;
            DIR *all = opendir(path);
            for (struct dirent *entry; all && (entry = readdir(all));) names_add(&scans[i].first, entry->d_name);
            if (all) closedir(all);
            say("ok");
            return;
        }
    close(fd);
    say("too-many");
}

/* At most so many getdents calls, each of a few entries; false at an error. */
static bool scan_read(struct Scan *scan, long calls)
{
    char buffer[600];
    while (calls-- > 0) {
        long n = syscall(SYS_getdents64, scan->fd, buffer, sizeof buffer);
        if (n < 0) return false;
        if (n == 0) break;
        for (long at = 0; at < n; at += ((Entry *)(buffer + at))->reclen) {
            Entry *entry = (Entry *)(buffer + at);
            names_add(&scan->seen, entry->name);
            scan->at = entry->off;
        }
    }
    return true;
}

/* scanend NAME names…: reads the rest; how often each name was seen, "-" for one that was not there from the beginning to the end. */
static void scan_end(struct Scan *scan, const Line *line)
{
    if (!scan_read(scan, 1000000)) say_errno();
    for (int i = 2; i < line->count; i++) {
        struct stat st;
        bool stayed = names_count(&scan->first, line->word[i]) && fstatat(scan->fd, line->word[i], &st, AT_SYMLINK_NOFOLLOW) == 0;
        if (stayed) say("%d", names_count(&scan->seen, line->word[i]));
        else say("-");
    }
    say("end");
    names_cut(&scan->first, 0);
    names_cut(&scan->seen, 0);
    close(scan->fd);
    scan->name[0] = 0;
}

/* The holes that SEEK_HOLE and SEEK_DATA tell of must read as zeros, and the two must agree; where they lie is the file system's affair. */
static void compare_holes(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0) { say_errno(); return; }
    if (!S_ISREG(st.st_mode)) { say("no file"); return; }
    static char buffer[1 << 16];
    off_t at = 0;
    while (at < st.st_size) {
        off_t data = lseek(fd, at, SEEK_DATA);
        if (data < 0 && errno != ENXIO) { say_errno(); return; }
        if (data < 0) data = st.st_size;
        if (data < at) { say("data-before"); return; }
        while (at < data) {
            size_t want = data - at < (off_t)sizeof buffer ? (size_t)(data - at) : sizeof buffer;
            ssize_t n = pread(fd, buffer, want, at);
            if (n <= 0) { say("hole-unreadable"); return; }
            for (ssize_t i = 0; i < n; i++) if (buffer[i]) { say("hole-holds-data at %lld", (long long)(at + i)); return; }
            at += n;
        }
        if (at >= st.st_size) break;
        off_t hole = lseek(fd, at, SEEK_HOLE);
        if (hole <= at || hole > st.st_size) { say("odd-hole %lld", (long long)hole); return; }
        at = hole;
    }
    say("ok");
}

static void check_holes(int fd)
{
    off_t at = lseek(fd, 0, SEEK_CUR);
    compare_holes(fd);
    /* where the search ended is the file system's affair, where the next write goes is not */
    lseek(fd, at, SEEK_SET);
}

/* Mappings: dmap NAME FD LENGTH r|rw shared|private; dput and dget stay within the file, since what lies beyond its end is nobody's. */
static struct { char name[16]; char *at; size_t length; int fd; bool shared; } maps[32];
static sigjmp_buf out_of_range;

static void on_bus(int signal_number) { (void)signal_number; siglongjmp(out_of_range, 1); }

static __attribute__((noinline)) int map_named(const char *name)
{
    for (int i = 0; i < 32; i++) if (maps[i].at && strcmp(maps[i].name, name) == 0) return i;
    return -1;
}

static void map_open(const Line *line)
{
    int prot = (strchr(arg(line, 4), 'r') ? PROT_READ : 0) | (strchr(arg(line, 4), 'w') ? PROT_WRITE : 0);
    bool shared = *arg(line, 5) == 's';
    size_t length = (size_t)number(line, 3, 4096);
    int fd = fd_named(arg(line, 2));
    void *at = mmap(NULL, length, prot, shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED) { say_errno(); return; }
    for (int i = 0; i < 32; i++)
        if (!maps[i].at) {
            snprintf(maps[i].name, sizeof maps[i].name, "%s", arg(line, 1));
            maps[i].at = at;
            maps[i].length = length;
            maps[i].fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
            maps[i].shared = shared && (prot & PROT_WRITE);
            say("ok");
            return;
        }
    munmap(at, length);
    say("too-many");
}

static void map_use(const Line *line)
{
    volatile int i = map_named(arg(line, 1));
    if (i < 0) { say("NO-MAP"); return; }
    struct sigaction act = { .sa_handler = on_bus, .sa_flags = SA_NODEFER };
    sigaction(SIGBUS, &act, NULL);
    if (sigsetjmp(out_of_range, 1)) { say("SIGBUS"); return; }
    size_t at = (size_t)number(line, 2, 0);
    struct stat st;
    if (fstat(maps[i].fd, &st) < 0) { say_errno(); return; }
    size_t size = (size_t)st.st_size < maps[i].length ? (size_t)st.st_size : maps[i].length;
    if (is(line, "dput")) {
        /* written out at once: until then the time of the change is not defined */
        if (at + line->length[3] > size) { say("beyond"); return; }
        memcpy(maps[i].at + at, arg(line, 3), line->length[3]);
        say_result(maps[i].shared ? msync(maps[i].at, maps[i].length, MS_SYNC) : 0);
    } else {
        size_t n = (size_t)number(line, 3, 1);
        if (at + n > size) { say("beyond"); return; }
        static char copy[1 << 16];
        memcpy(copy, maps[i].at + at, n < sizeof copy ? n : sizeof copy);
        say_bytes(copy, n < sizeof copy ? n : sizeof copy);
    }
}

bool differential_command(const Line *line)
{
    const char *a = arg(line, 1);
    if (is(line, "st")) say_object(AT_FDCWD, a, AT_SYMLINK_NOFOLLOW);
    else if (is(line, "fst")) say_object(fd_named(a), "", AT_EMPTY_PATH);
    else if (is(line, "holes")) check_holes(fd_named(a));
    else if (is(line, "scan")) scan_open(a, arg(line, 2));
    else if (is(line, "scanread") || is(line, "scanmark") || is(line, "scanback") || is(line, "scanend")) {
        struct Scan *scan = scan_named(a);
        if (!scan) say("NO-SCAN");
        else if (is(line, "scanread")) { if (scan_read(scan, number(line, 2, 1))) say("ok"); else say_errno(); }
        else if (is(line, "scanmark")) { scan->mark = scan->at; scan->marked = scan->seen.count; say("ok"); }
        else if (is(line, "scanback")) {
            names_cut(&scan->seen, scan->marked);
            scan->at = scan->mark;
            /* whether a removed directory still has places to go to is the file system's affair */
            say(lseek(scan->fd, scan->mark, SEEK_SET) < 0 && errno == EBADF ? "EBADF" : "ok");
        }
        else scan_end(scan, line);
    }
    else if (is(line, "dmap")) map_open(line);
    else if (is(line, "dput") || is(line, "dget")) map_use(line);
    else if (is(line, "dunmap")) {
        int i = map_named(a);
        if (i < 0) { say("NO-MAP"); return true; }
        say_result(munmap(maps[i].at, maps[i].length));
        close(maps[i].fd);
        maps[i].at = NULL;
    }
    else return false;
    return true;
}
