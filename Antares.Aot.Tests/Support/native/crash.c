/* A load whose every step is one call, chosen by a seed and by what the steps before left; and the check of what is there after the server
   was killed: all acknowledged steps, and the one that was on its way wholly or not at all (of a write, a first part). */
#include "fsprobe.h"
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/vfs.h>

enum { DIRS = 6, FILES = 10, OBJECTS = 256, ROOM = 1 << 16, LOWER_DIRS = 3, LOWER_FILES = 6, HELD = 4 };

typedef enum { CREATE, APPEND, WRITE, TRUNCATE, RENAME, EXCHANGE, UNLINK, LINK, SYMLINK, CHMOD, FSYNC, MKDIR, RMDIR, RENAME_DIR, EXCHANGE_DIRS, KINDS } Kind;
static const char *kind_names[] = { "create", "append", "write", "truncate", "rename", "exchange", "unlink", "link", "symlink", "chmod", "fsync", "mkdir", "rmdir", "rename-dir", "exchange-dirs" };

typedef struct { bool used, is_link; unsigned mode, names; size_t size; unsigned char *data; } Object;
typedef struct { bool exists; int file[FILES]; } Dir;
typedef struct { Kind kind; int dir, file, to_dir, to_file, object; size_t offset, length; unsigned mode; } Step;

static Object objects[OBJECTS];
static Dir dirs[DIRS];
static uint64_t state;
static long done;
static int held[HELD] = { -1, -1, -1, -1 };
static char trouble[600];

static uint64_t roll(uint64_t below)
{
    state += 0x9E3779B97F4A7C15ull;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return (z ^ (z >> 31)) % below;
}

static int new_object(void)
{
    for (int i = 0; i < OBJECTS; i++)
        if (!objects[i].used) {
            unsigned char *data = objects[i].data ? objects[i].data : malloc(ROOM);
            memset(data, 0, ROOM);
            objects[i] = (Object) { .used = true, .mode = 0644, .data = data };
            return i;
        }
    fprintf(stderr, "fsprobe: too many objects\n");
    exit(2);
}

static void put_name(int dir, int file, int object) { dirs[dir].file[file] = object; objects[object].names++; }

static void drop_name(int dir, int file)
{
    int object = dirs[dir].file[file];
    dirs[dir].file[file] = -1;
    if (object >= 0 && --objects[object].names == 0) objects[object].used = false;
}

static size_t lower_size(int dir, int file) { return (size_t)(dir * 9001 + file * 5003) % 50000 + 1; }

static void start_model(uint64_t seed)
{
    state = seed * 0x2545F4914F6CDD1Dull + 99;
    for (int d = 0; d < DIRS; d++) {
        dirs[d].exists = d < LOWER_DIRS;
        for (int f = 0; f < FILES; f++) dirs[d].file[f] = -1;
        for (int f = 0; d < LOWER_DIRS && f < LOWER_FILES; f++) {
            int object = new_object();
            objects[object].size = lower_size(d, f);
            pattern((char *)objects[object].data, objects[object].size, 0, (uint64_t)(d * 100 + f));
            put_name(d, f, object);
        }
    }
}

static bool is_empty(int dir)
{
    for (int f = 0; f < FILES; f++) if (dirs[dir].file[f] >= 0) return false;
    return true;
}

static bool possible(Step *s)
{
    bool there = dirs[s->dir].exists, target = dirs[s->to_dir].exists;
    int object = there ? dirs[s->dir].file[s->file] : -1, over = target ? dirs[s->to_dir].file[s->to_file] : -1;
    s->object = object;
    bool regular = object >= 0 && !objects[object].is_link;
    switch (s->kind) {
        case CREATE: case SYMLINK: return there && object < 0;
        case APPEND: if (regular && objects[object].size + s->length > ROOM) return false; s->offset = regular ? objects[object].size : 0; return regular;
        case WRITE: if (regular) s->offset = objects[object].size ? s->offset % objects[object].size : 0; return regular && s->offset + s->length <= ROOM;
        case TRUNCATE: case CHMOD: case FSYNC: return regular;
        case RENAME: return object >= 0 && target && object != over;
        case EXCHANGE: return object >= 0 && over >= 0 && object != over;
        case UNLINK: return object >= 0;
        case LINK: return regular && target && over < 0;
        case MKDIR: return !there;
        case RMDIR: return there && is_empty(s->dir);
        case RENAME_DIR: return there && s->dir != s->to_dir && (!target || is_empty(s->to_dir));
        case EXCHANGE_DIRS: return there && target && s->dir != s->to_dir;
        default: return false;
    }
}

static Step next_step(void)
{
    for (;;) {
        Step s = { .kind = (Kind)roll(KINDS), .dir = (int)roll(DIRS), .file = (int)roll(FILES), .to_dir = (int)roll(DIRS), .to_file = (int)roll(FILES),
            .offset = roll(ROOM), .length = 1 + roll(roll(3) ? 3000 : 30000), .mode = 0600 | (unsigned)roll(0100) };
        if (possible(&s)) return s;
    }
}

static void step_data(unsigned char *bytes, size_t length) { pattern((char *)bytes, length, 0, 5000 + (uint64_t)done); }

static void step_model(const Step *s)
{
    Object *object = s->object >= 0 ? &objects[s->object] : NULL;
    int over, made;
    Dir keep;
    switch (s->kind) {
        case CREATE: put_name(s->dir, s->file, new_object()); break;
        case SYMLINK: made = new_object(); objects[made].is_link = true; put_name(s->dir, s->file, made); break;
        case APPEND: case WRITE:
            step_data(object->data + s->offset, s->length);
            if (s->offset + s->length > object->size) object->size = s->offset + s->length;
            break;
        case TRUNCATE:
            if (s->length < object->size) memset(object->data + s->length, 0, object->size - s->length);
            object->size = s->length;
            break;
        case RENAME: drop_name(s->to_dir, s->to_file); put_name(s->to_dir, s->to_file, s->object); drop_name(s->dir, s->file); break;
        case EXCHANGE: over = dirs[s->to_dir].file[s->to_file]; dirs[s->to_dir].file[s->to_file] = s->object; dirs[s->dir].file[s->file] = over; break;
        case UNLINK: drop_name(s->dir, s->file); break;
        case LINK: put_name(s->to_dir, s->to_file, s->object); break;
        case CHMOD: object->mode = s->mode; break;
        case MKDIR: dirs[s->dir].exists = true; break;
        case RMDIR: dirs[s->dir].exists = false; break;
        case RENAME_DIR: dirs[s->to_dir] = dirs[s->dir]; dirs[s->dir].exists = false; for (int f = 0; f < FILES; f++) dirs[s->dir].file[f] = -1; break;
        case EXCHANGE_DIRS: keep = dirs[s->dir]; dirs[s->dir] = dirs[s->to_dir]; dirs[s->to_dir] = keep; break;
        default: break;
    }
}

static bool step_real(const Step *s)
{
    char from[64], to[64], dir[32], to_dir[32];
    static unsigned char bytes[ROOM];
    snprintf(dir, sizeof dir, "D%d", s->dir);
    snprintf(to_dir, sizeof to_dir, "D%d", s->to_dir);
    snprintf(from, sizeof from, "%s/f%d", dir, s->file);
    snprintf(to, sizeof to, "%s/f%d", to_dir, s->to_file);
    int fd;
    bool ok;
    switch (s->kind) {
        case CREATE: return (fd = open(from, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644)) >= 0 && close(fd) == 0;
        case SYMLINK: return symlink("target", from) == 0;
        case APPEND: case WRITE:
            if ((fd = open(from, O_WRONLY | O_CLOEXEC | (s->kind == APPEND ? O_APPEND : 0))) < 0) return false;
            step_data(bytes, s->length);
            ok = (s->kind == APPEND ? write(fd, bytes, s->length) : pwrite(fd, bytes, s->length, (off_t)s->offset)) == (ssize_t)s->length;
            close(fd);
            return ok;
        case TRUNCATE: return truncate(from, (off_t)s->length) == 0;
        case RENAME: return rename(from, to) == 0;
        case EXCHANGE: return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0;
        case UNLINK:
            /* Some stay open: the server keeps their content somewhere until they are closed. */
            fd = open(from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
            if (unlink(from) < 0) return false;
            if (fd >= 0) { if (held[done % HELD] >= 0) close(held[done % HELD]); held[done % HELD] = fd; }
            return true;
        case LINK: return link(from, to) == 0;
        case CHMOD: return chmod(from, s->mode) == 0;
        case FSYNC:
            if ((fd = open(from, O_RDWR | O_CLOEXEC)) < 0) return false;
            ok = fsync(fd) == 0;
            close(fd);
            return ok;
        case MKDIR: return mkdir(dir, 0755) == 0;
        case RMDIR: return rmdir(dir) == 0;
        case RENAME_DIR: return rename(dir, to_dir) == 0;
        case EXCHANGE_DIRS: return renameat2(AT_FDCWD, dir, AT_FDCWD, to_dir, RENAME_EXCHANGE) == 0;
        default: return false;
    }
}

static bool wrong(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(trouble, sizeof trouble, format, list);
    va_end(list);
    return false;
}

/* The content is the model's; of the write in step, a first part is enough. */
static bool same_content(const char *path, const Object *object, const Step *partial)
{
    static unsigned char got[ROOM + 1], bytes[ROOM];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return wrong("%s: %s", path, strerror(errno));
    ssize_t n = read(fd, got, sizeof got);
    close(fd);
    if (n < 0) return wrong("read %s: %s", path, strerror(errno));
    if ((size_t)n == object->size && memcmp(got, object->data, object->size) == 0) return true;
    if (partial) {
        step_data(bytes, partial->length);
        size_t k = 0;
        while (k < partial->length && partial->offset + k < (size_t)n && got[partial->offset + k] == bytes[k]) k++;
        size_t size = partial->offset + k > object->size ? partial->offset + k : object->size;
        if ((size_t)n == size && memcmp(got, object->data, partial->offset < object->size ? partial->offset : object->size) == 0
            && (partial->offset + k >= object->size || memcmp(got + partial->offset + k, object->data + partial->offset + k, object->size - partial->offset - k) == 0)) return true;
    }
    for (size_t i = 0; i < object->size && i < (size_t)n; i++) if (got[i] != object->data[i]) return wrong("%s: %zd bytes, should be %zu; the first wrong one is %zu", path, n, object->size, i);
    return wrong("%s: %zd bytes, should be %zu", path, n, object->size);
}

static bool same_tree(const Step *partial)
{
    char path[64];
    struct stat st;
    for (int d = 0; d < DIRS; d++) {
        snprintf(path, sizeof path, "D%d", d);
        if (lstat(path, &st) < 0) {
            if (dirs[d].exists || errno != ENOENT) return wrong("%s: %s", path, strerror(errno));
            continue;
        }
        if (!dirs[d].exists) return wrong("%s should not be there", path);
        long names = 0, entries = 0;
        for (int f = 0; f < FILES; f++) {
            snprintf(path, sizeof path, "D%d/f%d", d, f);
            int object = dirs[d].file[f];
            if (lstat(path, &st) < 0) {
                if (object >= 0 || errno != ENOENT) return wrong("%s: %s", path, strerror(errno));
                continue;
            }
            if (object < 0) return wrong("%s should not be there", path);
            names++;
            Object *o = &objects[object];
            if (S_ISLNK(st.st_mode) != o->is_link) return wrong("%s is of another type", path);
            if (o->is_link) continue;
            if ((st.st_mode & 07777) != o->mode || st.st_nlink != o->names) return wrong("%s: mode %o, %ld names; should be %o, %u", path, st.st_mode & 07777, (long)st.st_nlink, o->mode, o->names);
            if (!same_content(path, o, partial && partial->object == object ? partial : NULL)) return false;
        }
        snprintf(path, sizeof path, "D%d", d);
        DIR *dir = opendir(path);
        if (!dir) return wrong("opendir %s: %s", path, strerror(errno));
        for (struct dirent *e; (e = readdir(dir));) if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) entries++;
        closedir(dir);
        if (entries != names) return wrong("%s lists %ld entries, %ld are known", path, entries, names);
    }
    return true;
}

static int report(const char *which, const char *dir)
{
    fprintf(stderr, "fsprobe: %s %s: after %ld steps: %s\n", which, dir, done, trouble);
    return 1;
}

/* crashlower DIR: the files that the load starts from.
   crashload DIR SEED COUNTER: steps until one fails; the number of those that were acknowledged stands in the file COUNTER.
   crashcheck DIR SEED COUNTER: DIR is what those steps left, or with the next one. */
int crash_main(int argc, char **argv)
{
    if (argc < 3) { fprintf(stderr, "usage: crashlower DIR | crashload DIR SEED COUNTER | crashcheck DIR SEED COUNTER\n"); return 2; }
    if (strcmp(argv[1], "crashlower") == 0) {
        start_model(1);
        for (int d = 0; d < LOWER_DIRS; d++) {
            char path[PATH_MAX];
            snprintf(path, sizeof path, "%s/D%d", argv[2], d);
            if (mkdir(path, 0755) < 0) { perror(path); return 1; }
            for (int f = 0; f < LOWER_FILES; f++) {
                snprintf(path, sizeof path, "%s/D%d/f%d", argv[2], d, f);
                Object *o = &objects[dirs[d].file[f]];
                int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
                if (fd < 0 || write(fd, o->data, o->size) != (ssize_t)o->size || close(fd) < 0) { perror(path); return 1; }
            }
        }
        return 0;
    }
    if (argc != 5) return 2;
    int fd = open(argv[4], O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    long *counter;
    if (fd < 0 || ftruncate(fd, 4096) < 0 || (counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED) { perror(argv[4]); return 2; }
    if (chdir(argv[2]) < 0) { perror(argv[2]); return 2; }
    start_model(strtoull(argv[3], NULL, 10));
    if (strcmp(argv[1], "crashload") == 0) {
        umask(022);
        for (done = 0;; done++) {
            Step s = next_step();
            errno = 0;
            if (!step_real(&s)) {
                /* A write that was cut short has no errno; whether its server died, a call without a cache tells. */
                struct statfs fs;
                if (errno == 0 && statfs(".", &fs) == 0) errno = EDOM;
                if (errno == ENOTCONN || errno == ECONNABORTED || errno == EIO) return 0;
                wrong("%s D%d/f%d D%d/f%d: %s", kind_names[s.kind], s.dir, s.file, s.to_dir, s.to_file, strerror(errno));
                return report("crashload", argv[2]);
            }
            step_model(&s);
            *counter = done + 1;
        }
    }
    for (done = 0; done < *counter; done++) { Step s = next_step(); step_model(&s); }
    if (same_tree(NULL)) { printf("ok %ld\n", done); return 0; }
    char before[sizeof trouble];
    memcpy(before, trouble, sizeof before);
    Step s = next_step();
    if ((s.kind == APPEND || s.kind == WRITE) && same_tree(&s)) { printf("ok %ld partly %s\n", done, kind_names[s.kind]); return 0; }
    step_model(&s);
    if (same_tree(NULL)) { printf("ok %ld and %s\n", done, kind_names[s.kind]); return 0; }
    fprintf(stderr, "fsprobe: without the next step: %s\nwith it, %s D%d/f%d D%d/f%d:\n", before, kind_names[s.kind], s.dir, s.file, s.to_dir, s.to_file);
    return report("crashcheck", argv[2]);
}
