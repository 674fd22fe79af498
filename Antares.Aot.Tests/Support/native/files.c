/* Calls on descriptors: open, read, write, seek, allocate, copy, lock. */
#include "fsprobe.h"
#include <linux/falloc.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

int waiting;

long flags_of(const char *text)
{
    static const struct { const char *name; long value; } known[] = {
        { "RDONLY", O_RDONLY }, { "WRONLY", O_WRONLY }, { "RDWR", O_RDWR }, { "CREAT", O_CREAT }, { "EXCL", O_EXCL }, { "TRUNC", O_TRUNC },
        { "APPEND", O_APPEND }, { "DIRECTORY", O_DIRECTORY }, { "NOFOLLOW", O_NOFOLLOW }, { "PATH", O_PATH }, { "TMPFILE", O_TMPFILE },
        { "DIRECT", O_DIRECT }, { "SYNC", O_SYNC }, { "NONBLOCK", O_NONBLOCK }, { "NOATIME", O_NOATIME },
    };
    long flags = 0;
    char copy[256];
    snprintf(copy, sizeof copy, "%s", text);
    for (char *save, *word = strtok_r(copy, "|", &save); word; word = strtok_r(NULL, "|", &save)) {
        size_t i = 0;
        while (i < sizeof known / sizeof *known && strcmp(known[i].name, word)) i++;
        if (i == sizeof known / sizeof *known) { fprintf(stderr, "fsprobe: no flag %s\n", word); exit(97); }
        flags |= known[i].value;
    }
    return flags;
}

static char *room(size_t size)
{
    static char *buffer;
    static size_t capacity;
    if (size > capacity) { free(buffer); if (posix_memalign((void **)&buffer, 4096, capacity = size + 4096)) exit(96); }
    return buffer;
}

static void say_read(ssize_t n, const char *buffer)
{
    if (n < 0) say_errno();
    else say_bytes(buffer, (size_t)n);
}

static void cat(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO without writer is empty, not a wait */
    if (fd < 0) { say_errno(); return; }
    char *buffer = room(1 << 20);
    size_t at = 0;
    ssize_t n;
    while (at < (1 << 20) && (n = read(fd, buffer + at, (1 << 20) - at)) > 0) at += (size_t)n;
    if (n < 0) say_errno();
    else say_bytes(buffer, at);
    close(fd);
}

/* Compares a piece of a file with the pattern it was made of. */
static void check_pattern(int fd, long offset, long length, long seed)
{
    char *expected = malloc((size_t)length), *buffer = room((size_t)length);
    pattern(expected, (size_t)length, (uint64_t)offset, (uint64_t)seed);
    ssize_t n = pread(fd, buffer, (size_t)length, offset);
    if (n < 0) say_errno();
    else if (n != length) say("short:%zd", n);
    else say(memcmp(expected, buffer, (size_t)length) ? "differs" : "ok");
    free(expected);
}

static int fallocate_mode(const char *text)
{
    int mode = 0;
    if (strstr(text, "KEEP")) mode |= FALLOC_FL_KEEP_SIZE;
    if (strstr(text, "PUNCH")) mode |= FALLOC_FL_PUNCH_HOLE;
    if (strstr(text, "ZERO")) mode |= FALLOC_FL_ZERO_RANGE;
    if (strstr(text, "COLLAPSE")) mode |= FALLOC_FL_COLLAPSE_RANGE;
    if (strstr(text, "INSERT")) mode |= FALLOC_FL_INSERT_RANGE;
    return mode;
}

static int whence_of(const char *text)
{
    return !strcmp(text, "CUR") ? SEEK_CUR : !strcmp(text, "END") ? SEEK_END : !strcmp(text, "DATA") ? SEEK_DATA : !strcmp(text, "HOLE") ? SEEK_HOLE : SEEK_SET;
}

static void record_lock(const Line *line, int set, int get)
{
    const char *kind = arg(line, 2);
    struct flock lock = { .l_type = (short)(*kind == 'r' ? F_RDLCK : *kind == 'w' ? F_WRLCK : F_UNLCK), .l_whence = SEEK_SET,
                          .l_start = number(line, 3, 0), .l_len = number(line, 4, 0) };
    if (get == 0) { say_result(fcntl(fd_named(arg(line, 1)), set, &lock)); return; }
    if (fcntl(fd_named(arg(line, 1)), get, &lock) < 0) say_errno();
    else say(lock.l_type == F_UNLCK ? "free" : lock.l_type == F_RDLCK ? "read-locked" : "write-locked");
}

bool file_command(const Line *line)
{
    const char *a = arg(line, 1), *b = arg(line, 2);
    int fd = line->count > 1 ? fd_named(a) : -1;
    if (is(line, "nonblock")) { waiting = O_NONBLOCK; say("ok"); }
    else if (is(line, "open")) {
        /* open NAME PATH FLAGS [MODE] */
        int opened = open(b, (int)flags_of(arg(line, 3)) | O_CLOEXEC | waiting, (mode_t)(line->count > 4 ? strtol(arg(line, 4), NULL, 8) : 0644));
        if (opened >= 0) fd_store(a, opened);
        say_result(opened);
    }
    else if (is(line, "reopen")) {
        /* reopen NAME NEW FLAGS: through /proc/self/fd */
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        int opened = open(path, (int)flags_of(arg(line, 3)) | O_CLOEXEC | waiting);
        if (opened >= 0) fd_store(b, opened);
        say_result(opened);
    }
    else if (is(line, "linkfd")) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        say_result(linkat(AT_FDCWD, path, AT_FDCWD, b, AT_SYMLINK_FOLLOW));
    }
    else if (is(line, "linkempty")) say_result(linkat(fd, "", AT_FDCWD, b, AT_EMPTY_PATH));
    else if (is(line, "close")) { fd_forget(a); say("ok"); }
    else if (is(line, "read")) { size_t n = (size_t)number(line, 2, 0); char *p = room(n); say_read(read(fd, p, n), p); }
    else if (is(line, "pread")) { size_t n = (size_t)number(line, 2, 0); char *p = room(n); say_read(pread(fd, p, n, number(line, 3, 0)), p); }
    else if (is(line, "write")) say_result(write(fd, b, line->length[2]) == (ssize_t)line->length[2] ? 0 : -1);
    else if (is(line, "pwrite")) say_result(pwrite(fd, b, line->length[2], number(line, 3, 0)) == (ssize_t)line->length[2] ? 0 : -1);
    else if (is(line, "fill")) {
        /* fill NAME OFFSET LENGTH SEED */
        size_t n = (size_t)number(line, 3, 0);
        char *p = room(n);
        pattern(p, n, (uint64_t)number(line, 2, 0), (uint64_t)number(line, 4, 1));
        say_result(pwrite(fd, p, n, number(line, 2, 0)) == (ssize_t)n ? 0 : -1);
    }
    else if (is(line, "check")) check_pattern(fd, number(line, 2, 0), number(line, 3, 0), number(line, 4, 1));
    else if (is(line, "cat")) cat(a);
    else if (is(line, "hash")) {
        uint64_t size;
        int opened = open(a, O_RDONLY | O_CLOEXEC | waiting);
        if (opened < 0) { say_errno(); return true; }
        uint64_t h = hash_fd(opened, &size);
        close(opened);
        say("%llu:%016llx", (unsigned long long)size, (unsigned long long)h);
    }
    else if (is(line, "truncate")) say_result(truncate(a, number(line, 2, 0)));
    else if (is(line, "ftruncate")) say_result(ftruncate(fd, number(line, 2, 0)));
    else if (is(line, "fallocate")) say_result(fallocate(fd, fallocate_mode(b), number(line, 3, 0), number(line, 4, 0)));
    else if (is(line, "seek")) {
        off_t at = lseek(fd, number(line, 2, 0), whence_of(arg(line, 3)));
        if (at < 0) say_errno();
        else say("%lld", (long long)at);
    }
    else if (is(line, "copyrange")) {
        /* copyrange IN OFFSET OUT OFFSET LENGTH */
        loff_t in = number(line, 2, 0), out = number(line, 4, 0);
        ssize_t n = copy_file_range(fd, &in, fd_named(arg(line, 3)), &out, (size_t)number(line, 5, 0), 0);
        if (n < 0) say_errno();
        else say("%zd", n);
    }
    else if (is(line, "fsync")) say_result(fsync(fd));
    else if (is(line, "fdatasync")) say_result(fdatasync(fd));
    else if (is(line, "syncfs")) say_result(syncfs(fd));
    else if (is(line, "flock")) {
        int op = *b == 's' ? LOCK_SH : *b == 'e' ? LOCK_EX : LOCK_UN;
        say_result(flock(fd, op | LOCK_NB));
    }
    else if (is(line, "lock")) record_lock(line, F_SETLK, 0);
    else if (is(line, "getlk")) record_lock(line, 0, F_GETLK);
    else if (is(line, "ofdlock")) record_lock(line, F_OFD_SETLK, 0);
    else if (is(line, "ofdgetlk")) record_lock(line, 0, F_OFD_GETLK);
    else if (is(line, "getflags")) {
        int flags;
        if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0) say_errno();
        else say("%x", flags & (FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NOATIME_FL | FS_NODUMP_FL));
    }
    else if (is(line, "setflags")) {
        int flags, wanted = (int)strtol(b, NULL, 16), mask = FS_NOATIME_FL | FS_NODUMP_FL | FS_IMMUTABLE_FL | FS_APPEND_FL;
        if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0) { say_errno(); return true; }
        flags = (flags & ~mask) | wanted;
        say_result(ioctl(fd, FS_IOC_SETFLAGS, &flags));
    }
    else if (is(line, "getproject")) {
        struct fsxattr extended;
        if (ioctl(fd, FS_IOC_FSGETXATTR, &extended) < 0) say_errno();
        else say("%u%s", extended.fsx_projid, extended.fsx_xflags & FS_XFLAG_NODUMP ? " nodump" : "");
    }
    else if (is(line, "setproject")) {
        /* setproject FD ID [nodump] */
        struct fsxattr extended;
        if (ioctl(fd, FS_IOC_FSGETXATTR, &extended) < 0) { say_errno(); return true; }
        extended.fsx_projid = (unsigned)number(line, 2, 0);
        extended.fsx_xflags = (extended.fsx_xflags & ~(unsigned)FS_XFLAG_NODUMP) | (line->count > 3 ? FS_XFLAG_NODUMP : 0);
        say_result(ioctl(fd, FS_IOC_FSSETXATTR, &extended));
    }
    else if (is(line, "readnow")) {
        char byte;
        struct iovec to = { &byte, 1 };
        say_result(preadv2(fd, &to, 1, 0, RWF_NOWAIT));
    }
    else if (is(line, "ioctl")) { char space[4096]; say_result(ioctl(fd, (unsigned long)number(line, 2, 0), space)); }
    else if (is(line, "namemax")) {
        struct statvfs fs;
        if (statvfs(a, &fs) < 0) say_errno();
        else say("%lu", fs.f_namemax);
    }
    else if (is(line, "space")) {
        struct statvfs fs;
        if (statvfs(a, &fs) < 0) say_errno();
        else say(fs.f_blocks > 0 && fs.f_bfree > 0 && fs.f_bavail <= fs.f_bfree && fs.f_bfree <= fs.f_blocks && fs.f_bsize > 0 && fs.f_files >= fs.f_ffree ? "ok" : "odd");
    }
    else return false;
    return true;
}
