/*
 * invented-tree NODES MOUNTPOINT: a read-only tree of about NODES names that exists nowhere: every answer is computed from the inode number. Folders of
 * 100 empty files, 100 folders in each group, the groups in the root. What mounts over it is measured without a disk below.
 * It serves in the background until it is unmounted, and keeps nothing for any name.
 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { EACH = 100 };
static unsigned long files, folders, groups;

/* Inodes: 1 the root, then the groups, the folders, the files. */
static unsigned long group_inode(unsigned long g) { return 2 + g; }
static unsigned long folder_inode(unsigned long d) { return 2 + groups + d; }
static unsigned long file_inode(unsigned long f) { return 2 + groups + folders + f; }

/* What a directory holds: COUNT entries, the first of them the FIRST of its kind. */
static int contents(unsigned long inode, unsigned long *first, unsigned long *count, unsigned long (**of)(unsigned long), const char **letters)
{
    unsigned long all;
    if (inode == FUSE_ROOT_ID) {
        *first = 0, *count = groups, *of = group_inode, *letters = "group";
        return 0;
    }
    if (inode < folder_inode(0)) {
        *first = (inode - group_inode(0)) * EACH, all = folders, *of = folder_inode, *letters = "folder";
    } else if (inode < file_inode(0)) {
        *first = (inode - folder_inode(0)) * EACH, all = files, *of = file_inode, *letters = "file";
    } else {
        return -1;
    }
    *count = all - *first < EACH ? all - *first : EACH;
    return 0;
}

static int describe(unsigned long inode, struct stat *st)
{
    memset(st, 0, sizeof *st);
    if (inode < FUSE_ROOT_ID || inode >= file_inode(files))
        return -1;
    st->st_ino = inode;
    st->st_mode = inode < file_inode(0) ? S_IFDIR | 0755 : S_IFREG | 0644;
    st->st_nlink = inode < file_inode(0) ? 2 : 1;
    st->st_blksize = 4096;
    st->st_mtim.tv_sec = st->st_ctim.tv_sec = st->st_atim.tv_sec = 1700000000;
    return 0;
}

static void entry(unsigned long inode, struct fuse_entry_param *e)
{
    memset(e, 0, sizeof *e);
    describe(inode, &e->attr);
    e->ino = inode;
    e->attr_timeout = e->entry_timeout = 1e9;
}

static void init(void *data, struct fuse_conn_info *conn)
{
    (void)data;
    conn->want &= ~FUSE_CAP_READDIRPLUS_AUTO;
}

static void lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param e;
    unsigned long first, count, i, (*of)(unsigned long);
    const char *letters;
    char *end;
    if (contents(parent, &first, &count, &of, &letters) == 0 && strncmp(name, letters, strlen(letters)) == 0 && name[strlen(letters)] == '-') {
        i = strtoul(name + strlen(letters) + 1, &end, 10);
        if (*end == 0 && end > name + strlen(letters) + 1 && i >= first && i < first + count) {
            entry(of(i), &e);
            fuse_reply_entry(request, &e);
            return;
        }
    }
    fuse_reply_err(request, ENOENT);
}

static void getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    struct stat st;
    (void)file;
    if (describe(inode, &st) != 0)
        fuse_reply_err(request, ENOENT);
    else
        fuse_reply_attr(request, &st, 1e9);
}

static void list(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, int plus)
{
    unsigned long first, count, (*of)(unsigned long);
    const char *letters;
    char name[64], *buffer = malloc(size);
    size_t used = 0;
    if (buffer == NULL || contents(inode, &first, &count, &of, &letters) != 0) {
        free(buffer);
        fuse_reply_err(request, buffer == NULL ? ENOMEM : ENOTDIR);
        return;
    }
    for (unsigned long i = (unsigned long)offset; i < count; i++) {
        struct fuse_entry_param e;
        entry(of(first + i), &e);
        snprintf(name, sizeof name, "%s-%lu", letters, first + i);
        size_t length = plus ? fuse_add_direntry_plus(request, buffer + used, size - used, name, &e, (off_t)i + 1)
                             : fuse_add_direntry(request, buffer + used, size - used, name, &e.attr, (off_t)i + 1);
        if (length > size - used)
            break;
        used += length;
    }
    fuse_reply_buf(request, buffer, used);
    free(buffer);
}

static void readdir_plain(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *file)
{
    (void)file;
    list(request, inode, size, offset, 0);
}

static void readdir_plus(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *file)
{
    (void)file;
    list(request, inode, size, offset, 1);
}

static void open_any(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    (void)inode;
    file->keep_cache = 1;
    fuse_reply_open(request, file);
}

static void open_folder(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file)
{
    (void)inode;
    file->cache_readdir = 1;
    file->keep_cache = 1;
    fuse_reply_open(request, file);
}

static void read_nothing(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *file)
{
    (void)inode, (void)size, (void)offset, (void)file;
    fuse_reply_buf(request, NULL, 0);
}

int main(int argc, char **argv)
{
    static const struct fuse_lowlevel_ops operations = {
        .init = init, .lookup = lookup, .getattr = getattr, .readdir = readdir_plain, .readdirplus = readdir_plus,
        .open = open_any, .opendir = open_folder, .read = read_nothing,
    };
    char *words[] = { argv[0], "-oallow_other,ro,fsname=invented-tree", NULL };
    struct fuse_args arguments = FUSE_ARGS_INIT(2, words);
    unsigned long nodes = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
    if (nodes < 10) {
        fprintf(stderr, "usage: invented-tree NODES MOUNTPOINT\n");
        return 2;
    }
    files = nodes * 10000 / 10101;
    folders = (files + EACH - 1) / EACH;
    groups = (folders + EACH - 1) / EACH;
    struct fuse_session *session = fuse_session_new(&arguments, &operations, sizeof operations, NULL);
    if (session == NULL || fuse_set_signal_handlers(session) != 0 || fuse_session_mount(session, argv[2]) != 0)
        return 1;
    fuse_daemonize(0);
    int status = fuse_session_loop_mt(session, NULL);
    fuse_session_unmount(session);
    fuse_remove_signal_handlers(session);
    fuse_session_destroy(session);
    fuse_opt_free_args(&arguments);
    return status == 0 ? 0 : 1;
}
