/* fsprobe digest ROOT [options]: one line per object of a tree, sorted, so that two trees are equal exactly when the texts are.
   Options, letters in one word: t no times, T no times of directories, n no nlink of files, D nlink of directories too, o no owner, x no xattrs,
   i st_ino too, w times of now as "now" and access times too, I which object it is (differential.c) and that d_ino is its st_ino. Left out always: trusted.overlay.* (the layers' own marks),
   and of the content of files over a GiB what hash_fd passes over. */
#include "fsprobe.h"
#include <sys/sysmacros.h>
#include <sys/xattr.h>

char type_letter(mode_t mode);
int print_time(char *out, size_t size, long long seconds, unsigned nanoseconds);
int print_identity(char *out, size_t size, int fd, const char *path, int flags, unsigned long long ino);
static const char *options = "";

typedef struct { char *text; ino_t ino; } Name;

static bool with(char letter) { return strchr(options, letter) == NULL; }

static void print_escaped(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c > 32 && c < 127 && c != '\\') putchar(c);
        else printf("\\x%02x", c);
    }
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void print_xattrs(int parent, const char *name)
{
    /* an O_PATH descriptor's magic link: works for any type but symlinks, which carry only trusted.* and security.* */
    static char list[65536], value[65536];
    char path[64];
    int fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) { printf(" xattr:open:%s", strerrorname_np(errno)); return; }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = listxattr(path, list, sizeof list);
    char *names[512];
    int count = 0;
    for (char *p = list; length > 0 && p < list + length && count < 512; p += strlen(p) + 1)
        if (strncmp(p, "trusted.overlay.", 16) && strcmp(p, "security.selinux")) names[count++] = p;
    qsort(names, (size_t)count, sizeof *names, by_text);
    for (int i = 0; i < count; i++) {
        ssize_t n = getxattr(path, names[i], value, sizeof value);
        printf(" %s=", names[i]);
        if (n < 0) printf("%s", strerrorname_np(errno));
        else if (n > 64) printf("%zd:%016llx", n, (unsigned long long)hash_bytes(0, value, (size_t)n));
        else for (ssize_t k = 0; k < n; k++) printf("%02x", (unsigned char)value[k]);
    }
    close(fd);
}

static int by_name(const void *a, const void *b) { return strcmp(((const Name *)a)->text, ((const Name *)b)->text); }

static long long ns(struct timespec t) { return (long long)t.tv_sec * 1000000000ll + t.tv_nsec; }

static void print_times(const struct stat *st)
{
    char modified[48], accessed[48];
    print_time(modified, sizeof modified, st->st_mtim.tv_sec, (unsigned)st->st_mtim.tv_nsec);
    print_time(accessed, sizeof accessed, st->st_atim.tv_sec, (unsigned)st->st_atim.tv_nsec);
    printf(" m%s a%s", modified, accessed);
}

static void object(int parent, const char *name, const char *path, size_t path_length, ino_t listed)
{
    struct stat st;
    print_escaped(path, path_length);
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) { printf(" %s\n", strerrorname_np(errno)); return; }
    printf(" %c %o", type_letter(st.st_mode), st.st_mode & 07777);
    if (with('o')) printf(" %u:%u", st.st_uid, st.st_gid);
    if (!S_ISDIR(st.st_mode)) printf(" %lld", (long long)st.st_size);
    if (S_ISDIR(st.st_mode) ? !with('D') : with('n')) printf(" n%lu", (unsigned long)st.st_nlink);
    if (!with('w')) print_times(&st);
    else if (with('t') && (with('T') || !S_ISDIR(st.st_mode))) printf(" %lld", ns(st.st_mtim));
    if (!with('i')) printf(" i%llu", (unsigned long long)st.st_ino);
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) printf(" %u,%u", major(st.st_rdev), minor(st.st_rdev));
    if (S_ISLNK(st.st_mode)) {
        static char target[8192]; /* not on the stack: trees are hundreds of levels deep */
        ssize_t n = readlinkat(parent, name, target, sizeof target);
        printf(" ->");
        if (n < 0) printf("%s", strerrorname_np(errno));
        else print_escaped(target, (size_t)n);
    }
    if (S_ISREG(st.st_mode)) {
        uint64_t size = 0;
        int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) printf(" open:%s", strerrorname_np(errno));
        else {
            uint64_t h = hash_fd(fd, &size);
            if (size == UINT64_MAX) printf(" read-failed");
            else printf(" %016llx%s", (unsigned long long)h, size == (uint64_t)st.st_size ? "" : " SIZE-DIFFERS");
            close(fd);
        }
    }
    if (with('x')) print_xattrs(parent, name);
    if (!with('I')) {
        char identity[64];
        if (listed != 0 && listed != st.st_ino) printf(" LISTED-AS-ANOTHER");
        print_identity(identity, sizeof identity, parent, name, 0, st.st_ino);
        printf(" %s", identity);
    }
    putchar('\n');
    if (!S_ISDIR(st.st_mode)) return;

    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) { print_escaped(path, path_length); printf(" opendir:%s\n", strerrorname_np(errno)); return; }
    size_t count = 0, capacity = 0;
    Name *names = NULL;
    struct dirent *entry;
    errno = 0;
    while ((entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (count == capacity) names = realloc(names, sizeof *names * (capacity = capacity * 2 + 16));
        names[count++] = (Name){ strdup(entry->d_name), entry->d_ino };
    }
    if (errno) { print_escaped(path, path_length); printf(" readdir:%s\n", strerrorname_np(errno)); }
    qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(names[i].text);
        char *child = malloc(path_length + length + 2);
        memcpy(child, path, path_length);
        child[path_length] = '/';
        memcpy(child + path_length + 1, names[i].text, length + 1);
        object(fd, names[i].text, child, path_length + 1 + length, names[i].ino);
        free(child);
        free(names[i].text);
    }
    free(names);
    closedir(dir);
}

/* The tree below the current folder, and "END". */
void digest_here(const char *with_options)
{
    options = with_options;
    int root = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) printf(". %s\n", strerrorname_np(errno));
    else {
        object(root, ".", ".", 1, 0);
        close(root);
    }
    puts("END");
    fflush(stdout);
}

int digest_main(int argc, char **argv)
{
    static char buffer[1 << 16];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    if (argc > 3) options = argv[3];
    int root = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) { fprintf(stderr, "fsprobe digest: %s: %s\n", argv[2], strerror(errno)); return 1; }
    object(root, ".", ".", 1, 0);
    return 0;
}
