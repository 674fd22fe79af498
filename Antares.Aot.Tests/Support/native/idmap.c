/* A bind mount whose owners the kernel maps: the oracle of --uid-map and --gid-map, and a way to see our own mount so. */
#include "fsprobe.h"
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static bool write_map(pid_t pid, const char *file, const char *stored, const char *shown, const char *count)
{
    char path[64], text[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    int length = snprintf(text, sizeof text, "%s %s %s\n", stored, shown, count), fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, (size_t)length) == length;
    if (fd >= 0) close(fd);
    return done;
}

/* idmap SOURCE TARGET STORED SHOWN COUNT: ends with 0, or prints what failed with which errno and ends with 1 */
int idmap_main(int argc, char **argv)
{
    if (argc != 7) { fprintf(stderr, "usage: fsprobe idmap SOURCE TARGET STORED SHOWN COUNT\n"); return 2; }
    int ready[2], result = 1;
    char byte;
    if (pipe2(ready, O_CLOEXEC) < 0) return 2;
    pid_t pid = fork();
    if (pid == 0) {
        byte = unshare(CLONE_NEWUSER) == 0 ? 'y' : 'n';
        (void)!write(ready[1], &byte, 1);
        pause();
        _exit(0);
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };
    int tree = -1;
    if (read(ready[0], &byte, 1) != 1 || byte != 'y') fprintf(stderr, "unshare\n");
    else if (!write_map(pid, "uid_map", argv[4], argv[5], argv[6]) || !write_map(pid, "gid_map", argv[4], argv[5], argv[6])) perror("uid_map");
    else if ((int)(attr.userns_fd = (uint64_t)open(path, O_RDONLY | O_CLOEXEC)) < 0) perror("ns/user");
    else if ((tree = (int)syscall(SYS_open_tree, AT_FDCWD, argv[2], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)) < 0) perror("open_tree");
    else if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0) perror("mount_setattr");
    else if (syscall(SYS_move_mount, tree, "", AT_FDCWD, argv[3], MOVE_MOUNT_F_EMPTY_PATH) < 0) perror("move_mount");
    else result = 0;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return result;
}
