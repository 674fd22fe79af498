/* Calls on names: create, remove, rename, link. */
#include "fsprobe.h"
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/un.h>

static unsigned rename_flags(const char *text)
{
    unsigned flags = 0;
    if (strstr(text, "NOREPLACE")) flags |= 1;
    if (strstr(text, "EXCHANGE")) flags |= 2;
    if (strstr(text, "WHITEOUT")) flags |= 4;
    return flags;
}

static long put(const char *path, int flags, const void *data, size_t length)
{
    int fd = open(path, flags | waiting, 0644);
    if (fd < 0) return -1;
    ssize_t n = write(fd, data, length);
    int error = errno;
    if (close(fd) < 0) return -1;
    errno = error;
    return n == (ssize_t)length ? 0 : -1;
}

/* Makes each directory of a path of any length, one component at a time. */
static long make_path(const char *path)
{
    int dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char name[512];
    while (dir >= 0 && *path) {
        size_t n = strcspn(path, "/");
        if (n > 0 && n < sizeof name) {
            memcpy(name, path, n);
            name[n] = 0;
            if (mkdirat(dir, name, 0755) < 0 && errno != EEXIST) { close(dir); return -1; }
            int next = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            close(dir);
            dir = next;
        }
        path += n;
        while (*path == '/') path++;
    }
    if (dir < 0) return -1;
    close(dir);
    return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/*
 * Removes a tree of any depth. Root unlinks names while the directory is being read. Another user may be refused in the middle, so
 * that names go in their order, whatever the listing's: what is left then does not depend on the file system.
 */
static long remove_tree(int parent, const char *name)
{
    if (unlinkat(parent, name, 0) == 0) return 0;
    if (errno != EISDIR && errno != EPERM) return -1;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return -1;
    long result = 0;
    if (geteuid() != 0) {
        struct dirent **names;
        int count = scandirat(fd, ".", &names, NULL, by_name), error = errno;
        result = count < 0 ? -1 : 0;
        for (int i = 0; i < count; i++) {
            const char *each = names[i]->d_name;
            if (result == 0 && strcmp(each, ".") && strcmp(each, "..") && remove_tree(fd, each) < 0) {
                error = errno;
                result = -1;
            }
            free(names[i]);
        }
        if (count >= 0) free(names);
        close(fd);
        errno = error;
        return result < 0 ? -1 : unlinkat(parent, name, AT_REMOVEDIR);
    }
    DIR *dir = fdopendir(fd);
    struct dirent *entry;
    while ((entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") && remove_tree(fd, entry->d_name) < 0) {
            int error = errno;
            closedir(dir);
            errno = error;
            return -1;
        }
    closedir(dir);
    return unlinkat(parent, name, AT_REMOVEDIR);
}

static long socket_bind(const char *path, bool connecting)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    long result = connecting ? connect(fd, (void *)&address, sizeof address) : bind(fd, (void *)&address, sizeof address);
    if (result < 0) { int error = errno; close(fd); errno = error; return -1; }
    if (!connecting) listen(fd, 5);
    fd_store(connecting ? "conn" : "sock", fd);
    return 0;
}

static long gen(const char *path, long size, long seed)
{
    static char buffer[1 << 16];
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | waiting, 0644);
    if (fd < 0) return -1;
    for (long at = 0; at < size; ) {
        size_t n = (size_t)(size - at) < sizeof buffer ? (size_t)(size - at) : sizeof buffer;
        pattern(buffer, n, (uint64_t)at, (uint64_t)seed);
        ssize_t w = write(fd, buffer, n);
        if (w <= 0) { close(fd); return -1; }
        at += w;
    }
    return close(fd);
}

bool path_command(const Line *line)
{
    const char *a = arg(line, 1), *b = arg(line, 2);
    if (is(line, "mkdir")) say_result(mkdir(a, (mode_t)(line->count > 2 ? strtol(b, NULL, 8) : 0755)));
    else if (is(line, "mkdirp")) say_result(make_path(a));
    else if (is(line, "rmdir")) say_result(rmdir(a));
    else if (is(line, "unlink")) say_result(unlink(a));
    else if (is(line, "rmtree")) say_result(remove_tree(AT_FDCWD, a));
    else if (is(line, "rename")) say_result(line->count > 3 ? syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, rename_flags(arg(line, 3))) : rename(a, b));
    else if (is(line, "link")) say_result(link(a, b));
    else if (is(line, "linkfollow")) say_result(linkat(AT_FDCWD, a, AT_FDCWD, b, AT_SYMLINK_FOLLOW));
    else if (is(line, "symlink")) say_result(symlink(a, b));
    else if (is(line, "readlink")) {
        char target[8192];
        ssize_t n = readlink(a, target, sizeof target);
        if (n < 0) say_errno();
        else say_bytes(target, (size_t)n);
    }
    else if (is(line, "mkfifo")) say_result(mkfifo(a, (mode_t)(line->count > 2 ? strtol(b, NULL, 8) : 0644)));
    else if (is(line, "mknod")) {
        /* mknod PATH c|b|s|f|r MODE MAJOR MINOR */
        mode_t type = *b == 'c' ? S_IFCHR : *b == 'b' ? S_IFBLK : *b == 's' ? S_IFSOCK : *b == 'f' ? S_IFIFO : S_IFREG;
        say_result(mknod(a, type | (mode_t)strtol(arg(line, 3), NULL, 8), makedev((unsigned)number(line, 4, 0), (unsigned)number(line, 5, 0))));
    }
    else if (is(line, "put")) say_result(put(a, O_CREAT | O_TRUNC | O_WRONLY, b, line->count > 2 ? line->length[2] : 0));
    else if (is(line, "putx")) say_result(put(a, O_CREAT | O_EXCL | O_WRONLY, b, line->count > 2 ? line->length[2] : 0));
    else if (is(line, "app")) say_result(put(a, O_APPEND | O_WRONLY, b, line->count > 2 ? line->length[2] : 0));
    else if (is(line, "gen")) say_result(gen(a, number(line, 2, 0), number(line, 3, 1)));
    else if (is(line, "many")) {
        /* many DIRECTORY PREFIX COUNT: makes COUNT empty files */
        char path[PATH_MAX];
        long made = 0, wanted = number(line, 3, 0);
        for (; made < wanted; made++) {
            snprintf(path, sizeof path, "%s/%s%ld", a, b, made);
            int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
            if (fd < 0) break;
            close(fd);
        }
        if (made < wanted) say_errno();
        else say("ok");
    }
    else if (is(line, "sockbind")) say_result(socket_bind(a, false));
    else if (is(line, "sockconnect")) say_result(socket_bind(a, true));
    else if (is(line, "chdir")) say_result(chdir(a));
    else if (is(line, "access")) {
        int mode = (strchr(b, 'r') ? R_OK : 0) | (strchr(b, 'w') ? W_OK : 0) | (strchr(b, 'x') ? X_OK : 0);
        say_result(faccessat(AT_FDCWD, a, mode, AT_EACCESS));
    }
    else return false;
    return true;
}
