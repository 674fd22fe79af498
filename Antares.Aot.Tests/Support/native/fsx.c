/* fsx: random calls on one file through several descriptors and a mapping that stays, each judged by an image in memory. */
#include "fsprobe.h"
#include <stdarg.h>
#include <sys/mman.h>

enum { PAGE = 4096, DIRECT_ROOM = 1 << 16, LOG = 24, COPY_SIZE = 300000 };
enum { FIRST, SECOND, APPEND, DIRECT, DESCRIPTORS };

static char path[PATH_MAX], other[PATH_MAX];
static unsigned char *image, *held, *aligned;
static size_t size, most;
static int fds[DESCRIPTORS] = { -1, -1, -1, -1 }, copy_fd = -1;
static bool unlinked, no_direct, no_collapse, no_insert;
static uint64_t state;
static long step;
static char journal[LOG][200];

static uint64_t roll(uint64_t below)
{
    state += 0x9E3779B97F4A7C15ull;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return below ? (z ^ (z >> 31)) % below : 0;
}

static void note(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = snprintf(journal[step % LOG], sizeof journal[0], "%ld: ", step);
    vsnprintf(journal[step % LOG] + n, sizeof journal[0] - (size_t)n, format, list);
    va_end(list);
}

static void broken(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fprintf(stderr, "fsx: %s: ", path);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, "\nthe last calls:\n");
    for (long i = step - LOG + 1; i <= step; i++) if (i >= 0) fprintf(stderr, "  %s\n", journal[i % LOG]);
    exit(1);
}

static void same(const unsigned char *got, size_t offset, size_t length, const char *how)
{
    if (memcmp(got, image + offset, length) == 0) return;
    size_t at = 0, end = length;
    while (got[at] == image[offset + at]) at++;
    while (got[end - 1] == image[offset + end - 1]) end--;
    broken("%s %zu+%zu differs from byte %zu to %zu: %02x instead of %02x", how, offset, length, offset + at, offset + end, got[at], image[offset + at]);
}

/* Beyond the end the image is zero, always: growing needs no filling. */
static void set_size(size_t to)
{
    if (to < size) memset(image + to, 0, size - to);
    size = to;
}

static void reopen(int which)
{
    static const int flags[] = { O_RDWR, O_RDWR, O_RDWR | O_APPEND, O_RDWR | O_DIRECT };
    char by_fd[64];
    const char *name = path;
    if (unlinked) {
        int from = fds[which == FIRST ? SECOND : FIRST];
        snprintf(by_fd, sizeof by_fd, "/proc/self/fd/%d", from);
        name = by_fd;
    }
    int fd = open(name, flags[which] | O_CLOEXEC);
    if (fd < 0 && which == DIRECT && errno == EINVAL) { no_direct = true; return; }
    if (fd < 0) broken("open: %s", strerror(errno));
    if (fds[which] >= 0 && close(fds[which]) < 0) broken("close: %s", strerror(errno));
    fds[which] = fd;
}

static void map_again(void)
{
    if (held && munmap(held, most) < 0) broken("munmap: %s", strerror(errno));
    held = mmap(NULL, most, PROT_READ | PROT_WRITE, MAP_SHARED, fds[FIRST], 0);
    if (held == MAP_FAILED) broken("mmap: %s", strerror(errno));
}

static size_t some_length(void) { return 1 + (size_t)roll(roll(4) ? 8000 : 70000); }

/* A place within the file or, when growing is allowed, a little behind it. */
static size_t some_offset(bool beyond)
{
    size_t room = size + (beyond ? (roll(4) ? 0 : 20000) : 0);
    if (room >= most) room = most - 1;
    return (size_t)roll(room + 1);
}

static void fill(unsigned char *bytes, size_t length) { for (size_t i = 0; i < length; i++) bytes[i] = (unsigned char)(1 + ((step * 31 + (long)i * 7) ^ (long)(i >> 8)) % 251); }

static void wrote(size_t offset, const unsigned char *bytes, size_t length)
{
    memcpy(image + offset, bytes, length);
    if (offset + length > size) size = offset + length;
}

static void do_write(unsigned char *buffer)
{
    int which = (int)roll(2);
    size_t offset = some_offset(true), length = some_length();
    if (offset + length > most) length = most - offset;
    fill(buffer, length);
    note("pwrite fd%d %zu+%zu, size was %zu", which, offset, length, size);
    if (pwrite(fds[which], buffer, length, (off_t)offset) != (ssize_t)length) broken("pwrite: %s", strerror(errno));
    wrote(offset, buffer, length);
}

static void do_append(unsigned char *buffer)
{
    size_t length = some_length() / 4 + 1;
    if (size + length > most) return note("append: full");
    fill(buffer, length);
    note("append %zu+%zu", size, length);
    if (write(fds[APPEND], buffer, length) != (ssize_t)length) broken("append: %s", strerror(errno));
    wrote(size, buffer, length);
}

static void do_read(unsigned char *buffer)
{
    int which = (int)roll(3);
    size_t offset = some_offset(false), length = some_length(), there = offset >= size ? 0 : size - offset;
    note("pread fd%d %zu+%zu, size %zu", which, offset, length, size);
    ssize_t got = pread(fds[which], buffer, length, (off_t)offset);
    if (got < 0) broken("pread: %s", strerror(errno));
    if ((size_t)got != (length < there ? length : there)) broken("pread %zu+%zu gave %zd bytes, size is %zu", offset, length, got, size);
    same(buffer, offset, (size_t)got, "pread");
}

static void do_direct(bool writing)
{
    size_t offset = some_offset(writing) / PAGE * PAGE, length = (1 + (size_t)roll(DIRECT_ROOM / PAGE)) * PAGE;
    if (no_direct || offset + length > most) return note("direct: not here");
    note("direct %s %zu+%zu, size %zu", writing ? "write" : "read", offset, length, size);
    if (writing) {
        fill(aligned, length);
        if (pwrite(fds[DIRECT], aligned, length, (off_t)offset) != (ssize_t)length) broken("direct write: %s", strerror(errno));
        wrote(offset, aligned, length);
        return;
    }
    size_t there = offset >= size ? 0 : size - offset;
    ssize_t got = pread(fds[DIRECT], aligned, length, (off_t)offset);
    if (got < 0) broken("direct read: %s", strerror(errno));
    if ((size_t)got != (length < there ? length : there)) broken("direct read %zu+%zu gave %zd bytes, size is %zu", offset, length, got, size);
    same(aligned, offset, (size_t)got, "direct read");
}

/* Through the mapping that stays, or one made for this call only. Bytes behind the end, in the last page, must be zero. */
static void do_map(bool writing)
{
    size_t offset = some_offset(false), length = some_length();
    bool fresh = roll(3) == 0;
    if (offset >= size) return note("map: nothing there");
    if (offset + length > size) length = size - offset;
    note("%s map %s %zu+%zu, size %zu", fresh ? "fresh" : "held", writing ? "write" : "read", offset, length, size);
    size_t start = offset / PAGE * PAGE, span = offset + length - start;
    unsigned char *at = held + start;
    if (fresh && (at = mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_SHARED, fds[roll(2)], (off_t)start)) == MAP_FAILED) broken("mmap: %s", strerror(errno));
    if (writing) {
        fill(at + (offset - start), length);
        memcpy(image + offset, at + (offset - start), length);
    } else {
        size_t tail = offset + length == size ? (PAGE - size % PAGE) % PAGE : 0;
        same(at + (offset - start), offset, length + tail, "map");
    }
    if (writing && roll(4) == 0 && msync(at, span, roll(2) ? MS_SYNC : MS_ASYNC) < 0) broken("msync: %s", strerror(errno));
    if (fresh && munmap(at, span) < 0) broken("munmap: %s", strerror(errno));
}

static void do_truncate(void)
{
    size_t to = roll(8) == 0 ? 0 : (size_t)roll(roll(3) ? size + 1 : most);
    int how = (int)roll(unlinked ? 2 : 4);
    note("%s %zu -> %zu", how < 2 ? "ftruncate" : how == 2 ? "truncate" : "O_TRUNC", size, how == 3 ? 0 : to);
    int fd = -1;
    if (how == 3) {
        fd = open(path, O_RDWR | O_TRUNC | O_CLOEXEC);
        to = 0;
    }
    if (how == 3 ? fd < 0 || close(fd) < 0 : how == 2 ? truncate(path, (off_t)to) < 0 : ftruncate(fds[how], (off_t)to) < 0) broken("truncate: %s", strerror(errno));
    set_size(to);
}

/* The range of fallocate's modes; what the file system does not have is tried once. */
static void do_fallocate(void)
{
    int which = (int)roll(2), kind = (int)roll(7);
    size_t offset = some_offset(kind < 4), length = some_length();
    if (offset + length > most) length = most - offset;
    if (length == 0) return note("fallocate: full");
    switch (kind) {
        case 0: case 1: {
            bool keep = kind == 1;
            note("fallocate%s %zu+%zu, size %zu", keep ? " keep" : "", offset, length, size);
            if (fallocate(fds[which], keep ? FALLOC_FL_KEEP_SIZE : 0, (off_t)offset, (off_t)length) < 0) broken("fallocate: %s", strerror(errno));
            if (!keep && offset + length > size) set_size(offset + length);
            return;
        }
        case 2: case 3: {
            bool keep = kind == 3;
            note("zero%s %zu+%zu, size %zu", keep ? " keep" : "", offset, length, size);
            if (fallocate(fds[which], FALLOC_FL_ZERO_RANGE | (keep ? FALLOC_FL_KEEP_SIZE : 0), (off_t)offset, (off_t)length) < 0) broken("zero range: %s", strerror(errno));
            memset(image + offset, 0, length);
            if (!keep && offset + length > size) set_size(offset + length);
            return;
        }
        case 4:
            note("punch %zu+%zu, size %zu", offset, length, size);
            if (fallocate(fds[which], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length) < 0) broken("punch: %s", strerror(errno));
            memset(image + offset, 0, length);
            return;
        case 5:
            offset = offset / PAGE * PAGE;
            length = (length + PAGE - 1) / PAGE * PAGE;
            note("collapse %zu+%zu, size %zu", offset, length, size);
            if (no_collapse || offset + length >= size) return;
            if (fallocate(fds[which], FALLOC_FL_COLLAPSE_RANGE, (off_t)offset, (off_t)length) < 0) {
                if (errno != EOPNOTSUPP) broken("collapse: %s", strerror(errno));
                no_collapse = true;
                return;
            }
            memmove(image + offset, image + offset + length, size - offset - length);
            set_size(size - length);
            return;
        default:
            offset = offset / PAGE * PAGE;
            length = (length + PAGE - 1) / PAGE * PAGE;
            note("insert %zu+%zu, size %zu", offset, length, size);
            if (no_insert || offset >= size || size + length > most) return;
            if (fallocate(fds[which], FALLOC_FL_INSERT_RANGE, (off_t)offset, (off_t)length) < 0) {
                if (errno != EOPNOTSUPP) broken("insert: %s", strerror(errno));
                no_insert = true;
                return;
            }
            memmove(image + offset + length, image + offset, size - offset);
            memset(image + offset, 0, length);
            size += length;
    }
}

/* Within the file, from one descriptor to the other, or from the second file, whose content is a pattern. */
static void do_copy(unsigned char *buffer)
{
    bool outside = copy_fd >= 0 && roll(2);
    size_t from = outside ? (size_t)roll(COPY_SIZE) : some_offset(false), to = some_offset(true), length = some_length();
    size_t limit = outside ? COPY_SIZE : size;
    if (from >= limit) return note("copy: nothing there");
    if (from + length > limit) length = limit - from;
    if (to + length > most) length = most - to;
    if (length == 0 || (!outside && from < to + length && to < from + length)) return note("copy: overlaps");
    note("copy %s %zu -> %zu+%zu, size %zu", outside ? "from outside" : "within", from, to, length, size);
    off_t in = (off_t)from, out = (off_t)to;
    for (size_t left = length; left > 0;) {
        ssize_t n = copy_file_range(outside ? copy_fd : fds[FIRST], &in, fds[SECOND], &out, left, 0);
        if (n < 0 && errno == EXDEV && outside && getenv("FSX_COPY_MAY_BE_REFUSED") != NULL) {
            // Kernel overlayfs cannot copy between file systems, which a served lower and the upper are; programs copy by read and write then.
            n = pread(copy_fd, buffer, left, in);
            if (n > 0 && pwrite(fds[SECOND], buffer, (size_t)n, out) != n) broken("pwrite after EXDEV: %s", strerror(errno));
            in += n, out += n;
        }
        if (n <= 0) broken("copy_file_range: %zd %s", n, n < 0 ? strerror(errno) : "");
        left -= (size_t)n;
    }
    if (outside) pattern((char *)buffer, length, from, 2);
    else memcpy(buffer, image + from, length);
    wrote(to, buffer, length);
}

static void do_seek(void)
{
    size_t offset = some_offset(false);
    bool hole = roll(2);
    note("seek %s %zu, size %zu", hole ? "hole" : "data", offset, size);
    off_t got = lseek(fds[FIRST], (off_t)offset, hole ? SEEK_HOLE : SEEK_DATA);
    if (got < 0 && errno != ENXIO) broken("lseek: %s", strerror(errno));
    if (offset >= size) { if (got >= 0) broken("lseek behind the end gave %lld", (long long)got); return; }
    if (hole) {
        if (got < (off_t)offset || (size_t)got > size) broken("SEEK_HOLE gave %lld", (long long)got);
        return;
    }
    size_t data = got < 0 ? size : (size_t)got;
    if (data < offset || data > size) broken("SEEK_DATA gave %lld", (long long)got);
    for (size_t i = offset; i < data; i++) if (image[i]) broken("SEEK_DATA skipped data at %zu", i);
}

/* Writes everything out and has the kernel forget the pages: what is read next comes from below. */
static void do_drop(void)
{
    note("fsync and drop");
    if ((roll(2) ? fsync(fds[roll(2)]) : fdatasync(fds[roll(2)])) < 0) broken("fsync: %s", strerror(errno));
    if (held) { munmap(held, most); held = NULL; }
    if (posix_fadvise(fds[FIRST], 0, 0, POSIX_FADV_DONTNEED)) broken("fadvise failed");
    map_again();
}

static void do_names(void)
{
    if (unlinked) return note("names: none");
    note("rename there and back");
    if (rename(path, other) < 0 || rename(other, path) < 0) broken("rename: %s", strerror(errno));
}

static void check_size(void)
{
    struct stat st;
    int how = (int)roll(unlinked ? 2 : 3);
    if ((how == 2 ? stat(path, &st) : fstat(fds[how], &st)) < 0) broken("stat: %s", strerror(errno));
    if ((size_t)st.st_size != size) broken("size is %lld, should be %zu", (long long)st.st_size, size);
    if (st.st_nlink != (unlinked ? 0 : 1)) broken("nlink is %ld", (long)st.st_nlink);
}

static void check_all(unsigned char *buffer)
{
    check_size();
    for (size_t at = 0; at < size; at += 65536) {
        size_t length = size - at < 65536 ? size - at : 65536;
        if (pread(fds[FIRST], buffer, length, (off_t)at) != (ssize_t)length) broken("final pread: %s", strerror(errno));
        same(buffer, at, length, "final pread");
    }
}

static void save_image(const char *name)
{
    int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, image, size) != (ssize_t)size || close(fd) < 0) broken("image %s: %s", name, strerror(errno));
}

/* fsx FILE SEED CALLS MOST [IMAGE [unlink]]: CALLS random calls on FILE, which never gets longer than MOST bytes. A FILE that is there holds
   the pattern of seed 1; FILE.copy, where it is there, 300,000 bytes of the pattern of seed 2. The content at the end is written to IMAGE. With
   "unlink" the file loses its name after a third of the calls. */
int fsx_main(int argc, char **argv)
{
    if (argc < 6) { fprintf(stderr, "usage: fsx FILE SEED CALLS MOST [IMAGE [unlink]]\n"); return 2; }
    snprintf(path, sizeof path, "%s", argv[2]);
    snprintf(other, sizeof other, "%.4000s.other", argv[2]);
    state = strtoull(argv[3], NULL, 10) * 0x2545F4914F6CDD1Dull + 1;
    long calls = atol(argv[4]);
    most = (size_t)strtoull(argv[5], NULL, 10) / PAGE * PAGE;
    bool unlinks = argc > 7 && strcmp(argv[7], "unlink") == 0;
    image = calloc(1, most + PAGE);
    aligned = aligned_alloc(PAGE, DIRECT_ROOM);
    unsigned char *buffer = malloc(1 << 18);
    struct stat st;
    if (stat(path, &st) == 0) {
        if ((size_t)st.st_size > most) broken("%s is longer than %zu", path, most);
        size = (size_t)st.st_size;
        pattern((char *)image, size, 0, 1);
    } else if (close(open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644)) < 0) broken("create: %s", strerror(errno));
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%.4000s.copy", path);
    copy_fd = open(copy, O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < DESCRIPTORS; i++) reopen(i);
    map_again();
    for (step = 0; step < calls; step++) {
        if (unlinks && step == calls / 3) {
            note("unlink");
            if (unlink(path) < 0) broken("unlink: %s", strerror(errno));
            unlinked = true;
            check_size();
            continue;
        }
        uint64_t kind = roll(100);
        if (kind < 18) do_write(buffer);
        else if (kind < 38) do_read(buffer);
        else if (kind < 48) do_map(true);
        else if (kind < 58) do_map(false);
        else if (kind < 62) do_append(buffer);
        else if (kind < 66) do_direct(true);
        else if (kind < 70) do_direct(false);
        else if (kind < 76) do_truncate();
        else if (kind < 86) do_fallocate();
        else if (kind < 91) do_copy(buffer);
        else if (kind < 94) do_seek();
        else if (kind < 96) do_drop();
        else if (kind < 97) do_names();
        else if (kind < 98) { note("map again"); map_again(); }
        else { int which = (int)roll(no_direct ? 3 : DESCRIPTORS); note("reopen fd%d", which); reopen(which); if (which == FIRST) map_again(); }
        check_size();
    }
    step = calls;
    note("end");
    do_drop();
    check_all(buffer);
    if (argc > 6) save_image(argv[6]);
    printf("ok %ld%s%s\n", calls, no_collapse ? " without-collapse" : "", no_direct ? " without-direct" : "");
    return 0;
}
