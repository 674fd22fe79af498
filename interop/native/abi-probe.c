/* The libc part of the probe, and its main; see abi-probe.h. */
#define _GNU_SOURCE
#include "abi-probe.h"
#include "given.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

/* In no header that can be included beside glibc's, or meant otherwise by glibc: the kernel's own numbers. */
#define KERNEL_O_LARGEFILE 00100000
#define KERNEL_FMODE_EXEC 0x20
#ifndef XATTR_NAME_MAX
#include <linux/limits.h>
#endif
#ifndef EXFAT_SUPER_MAGIC
#define EXFAT_SUPER_MAGIC 0x2011BAB0
#endif
#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif
#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

/* glibc has the function but no header for it. */
extern int capget(struct __user_cap_header_struct *, struct __user_cap_data_struct *);

static void structs(void)
{
    SIZE(timespec);
    FIELD(timespec, tv_sec); FIELD(timespec, tv_nsec);
    SIZE(stat);
    FIELD(stat, st_dev); FIELD(stat, st_ino); FIELD(stat, st_nlink); FIELD(stat, st_mode); FIELD(stat, st_uid);
    FIELD(stat, st_gid); FIELD(stat, st_rdev); FIELD(stat, st_size); FIELD(stat, st_blksize); FIELD(stat, st_blocks);
    FIELD(stat, st_atim); FIELD(stat, st_mtim); FIELD(stat, st_ctim);
    SIZE(statvfs);
    FIELD(statvfs, f_bsize); FIELD(statvfs, f_frsize); FIELD(statvfs, f_blocks); FIELD(statvfs, f_bfree);
    FIELD(statvfs, f_bavail); FIELD(statvfs, f_files); FIELD(statvfs, f_ffree); FIELD(statvfs, f_favail);
    FIELD(statvfs, f_fsid); FIELD(statvfs, f_flag); FIELD(statvfs, f_namemax);
    SIZE(statfs);
    FIELD(statfs, f_type); FIELD(statfs, f_bsize); FIELD(statfs, f_blocks); FIELD(statfs, f_bfree);
    FIELD(statfs, f_bavail); FIELD(statfs, f_files); FIELD(statfs, f_ffree); FIELD(statfs, f_fsid);
    FIELD(statfs, f_namelen); FIELD(statfs, f_frsize); FIELD(statfs, f_flags); FIELD(statfs, f_spare);
    SIZE(statx_timestamp);
    FIELD(statx_timestamp, tv_sec); FIELD(statx_timestamp, tv_nsec);
    SIZE(statx);
    FIELD(statx, stx_mask); FIELD(statx, stx_blksize); FIELD(statx, stx_attributes); FIELD(statx, stx_nlink);
    FIELD(statx, stx_uid); FIELD(statx, stx_gid); FIELD(statx, stx_mode); FIELD(statx, stx_ino);
    FIELD(statx, stx_size); FIELD(statx, stx_blocks); FIELD(statx, stx_attributes_mask); FIELD(statx, stx_atime);
    FIELD(statx, stx_btime); FIELD(statx, stx_ctime); FIELD(statx, stx_mtime); FIELD(statx, stx_rdev_major);
    FIELD(statx, stx_rdev_minor); FIELD(statx, stx_dev_major); FIELD(statx, stx_dev_minor); FIELD(statx, stx_mnt_id);
    FIELD(statx, stx_dio_mem_align); FIELD(statx, stx_dio_offset_align);
    SIZE(open_how);
    FIELD(open_how, flags); FIELD(open_how, mode); FIELD(open_how, resolve);
    SIZE(iovec);
    FIELD(iovec, iov_base); FIELD(iovec, iov_len);
    SIZE(pollfd);
    FIELD(pollfd, fd); FIELD(pollfd, events); FIELD(pollfd, revents);
    SIZE(sockaddr_un);
    FIELD(sockaddr_un, sun_family); FIELD(sockaddr_un, sun_path);
    SIZE(ucred);
    FIELD(ucred, pid); FIELD(ucred, uid); FIELD(ucred, gid);
    SIZE(dirent64);
    FIELD(dirent64, d_ino); FIELD(dirent64, d_off); FIELD(dirent64, d_reclen); FIELD(dirent64, d_type);
    FIELD(dirent64, d_name);
    SIZE(rlimit);
    FIELD(rlimit, rlim_cur); FIELD(rlimit, rlim_max);
    SIZE_OF_TYPE(sigset_t);
    SIZE(signalfd_siginfo);
    FIELD(signalfd_siginfo, ssi_signo); FIELD(signalfd_siginfo, ssi_errno); FIELD(signalfd_siginfo, ssi_code);
    FIELD(signalfd_siginfo, ssi_pid); FIELD(signalfd_siginfo, ssi_uid); FIELD(signalfd_siginfo, ssi_fd);
    FIELD(signalfd_siginfo, ssi_tid); FIELD(signalfd_siginfo, ssi_band); FIELD(signalfd_siginfo, ssi_overrun);
    FIELD(signalfd_siginfo, ssi_trapno); FIELD(signalfd_siginfo, ssi_status); FIELD(signalfd_siginfo, ssi_int);
    FIELD(signalfd_siginfo, ssi_ptr); FIELD(signalfd_siginfo, ssi_utime); FIELD(signalfd_siginfo, ssi_stime);
    FIELD(signalfd_siginfo, ssi_addr); FIELD(signalfd_siginfo, ssi_addr_lsb); FIELD(signalfd_siginfo, ssi_syscall);
    FIELD(signalfd_siginfo, ssi_call_addr); FIELD(signalfd_siginfo, ssi_arch);
    SIZE(fsxattr);
    FIELD(fsxattr, fsx_xflags); FIELD(fsxattr, fsx_extsize); FIELD(fsxattr, fsx_nextents); FIELD(fsxattr, fsx_projid);
    FIELD(fsxattr, fsx_cowextsize); FIELD(fsxattr, fsx_pad);
    SIZE_OF_TYPE(posix_spawn_file_actions_t);
    SIZE_OF_TYPE(posix_spawnattr_t);
    SIZE(__user_cap_header_struct);
    FIELD(__user_cap_header_struct, version); FIELD(__user_cap_header_struct, pid);
    SIZE(__user_cap_data_struct);
    FIELD(__user_cap_data_struct, effective); FIELD(__user_cap_data_struct, permitted);
    FIELD(__user_cap_data_struct, inheritable);
}

static void fcntl_constants(void)
{
    CONST(O_RDONLY); CONST(O_WRONLY); CONST(O_RDWR); CONST(O_ACCMODE); CONST(O_CREAT); CONST(O_EXCL); CONST(O_NOCTTY);
    CONST(O_TRUNC); CONST(O_APPEND); CONST(O_NONBLOCK); CONST(O_DSYNC); CONST(O_ASYNC); CONST(O_DIRECT);
    CONST(O_DIRECTORY); CONST(O_NOFOLLOW); CONST(O_NOATIME); CONST(O_CLOEXEC); CONST(O_SYNC); CONST(O_PATH);
    CONST(O_TMPFILE); CONST(KERNEL_O_LARGEFILE); CONST(KERNEL_FMODE_EXEC); CONST(AT_FDCWD);
    CONST(AT_SYMLINK_NOFOLLOW); CONST(AT_REMOVEDIR); CONST(AT_EACCESS); CONST(AT_SYMLINK_FOLLOW);
    CONST(AT_NO_AUTOMOUNT); CONST(AT_EMPTY_PATH); CONST(AT_STATX_SYNC_AS_STAT); CONST(AT_STATX_FORCE_SYNC);
    CONST(AT_STATX_DONT_SYNC); CONST(RENAME_NOREPLACE); CONST(RENAME_EXCHANGE); CONST(RENAME_WHITEOUT);
    CONST(RESOLVE_NO_XDEV); CONST(RESOLVE_NO_MAGICLINKS); CONST(RESOLVE_NO_SYMLINKS); CONST(RESOLVE_BENEATH);
    CONST(RESOLVE_IN_ROOT); CONST(RESOLVE_CACHED); CONST(FALLOC_FL_KEEP_SIZE); CONST(FALLOC_FL_PUNCH_HOLE);
    CONST(FALLOC_FL_COLLAPSE_RANGE); CONST(FALLOC_FL_ZERO_RANGE); CONST(FALLOC_FL_INSERT_RANGE);
    CONST(FALLOC_FL_UNSHARE_RANGE); CONST(LOCK_SH); CONST(LOCK_EX); CONST(LOCK_NB); CONST(LOCK_UN); CONST(SEEK_SET);
    CONST(SEEK_CUR); CONST(SEEK_END); CONST(SEEK_DATA); CONST(SEEK_HOLE); CONST(F_DUPFD); CONST(F_GETFD);
    CONST(F_SETFD); CONST(F_GETFL); CONST(F_SETFL); CONST(F_DUPFD_CLOEXEC); CONST(F_SETPIPE_SZ); CONST(F_GETPIPE_SZ);
    CONST(F_OFD_SETLK); CONST(F_WRLCK); CONST(F_UNLCK);
    CONST(F_ADD_SEALS); CONST(F_GET_SEALS); CONST(F_SEAL_SEAL); CONST(F_SEAL_SHRINK); CONST(F_SEAL_GROW);
    CONST(F_SEAL_WRITE); CONST(FD_CLOEXEC); CONST(POSIX_FADV_NORMAL); CONST(POSIX_FADV_RANDOM);
    CONST(POSIX_FADV_SEQUENTIAL); CONST(POSIX_FADV_WILLNEED); CONST(POSIX_FADV_DONTNEED); CONST(F_OK); CONST(X_OK);
    CONST(W_OK); CONST(R_OK); CONST(MFD_CLOEXEC); CONST(MFD_ALLOW_SEALING); CONST(EFD_CLOEXEC); CONST(EFD_NONBLOCK);
}

static void stat_constants(void)
{
    CONST(S_IFMT); CONST(S_IFSOCK); CONST(S_IFLNK); CONST(S_IFREG); CONST(S_IFBLK); CONST(S_IFDIR); CONST(S_IFCHR);
    CONST(S_IFIFO); CONST(S_ISUID); CONST(S_ISGID); CONST(S_ISVTX); CONST(S_IRWXU); CONST(S_IRUSR); CONST(S_IWUSR);
    CONST(S_IXUSR); CONST(S_IRWXG); CONST(S_IRGRP); CONST(S_IWGRP); CONST(S_IXGRP); CONST(S_IRWXO); CONST(S_IROTH);
    CONST(S_IWOTH); CONST(S_IXOTH); CONST(UTIME_NOW); CONST(UTIME_OMIT); CONST(STATX_TYPE); CONST(STATX_MODE);
    CONST(STATX_NLINK); CONST(STATX_UID); CONST(STATX_GID); CONST(STATX_ATIME); CONST(STATX_MTIME);
    CONST(STATX_CTIME); CONST(STATX_INO); CONST(STATX_SIZE); CONST(STATX_BLOCKS); CONST(STATX_BASIC_STATS);
    CONST(STATX_BTIME); CONST(STATX_MNT_ID); CONST(STATX_DIOALIGN); CONST(STATX_ATTR_COMPRESSED);
    CONST(STATX_ATTR_IMMUTABLE); CONST(STATX_ATTR_APPEND); CONST(STATX_ATTR_NODUMP); CONST(STATX_ATTR_MOUNT_ROOT);
    CONST(DT_UNKNOWN); CONST(DT_FIFO); CONST(DT_CHR); CONST(DT_DIR); CONST(DT_BLK); CONST(DT_REG); CONST(DT_LNK);
    CONST(DT_SOCK); CONST(DT_WHT);
    CONST(XATTR_CREATE); CONST(XATTR_REPLACE); CONST(XATTR_NAME_MAX); CONST(XATTR_SIZE_MAX); CONST(XATTR_LIST_MAX);
}

static void mount_constants(void)
{
    CONST(MS_RDONLY); CONST(MS_NOSUID); CONST(MS_NODEV); CONST(MS_NOEXEC); CONST(MS_SYNCHRONOUS); CONST(MS_REMOUNT);
    CONST(MS_MANDLOCK); CONST(MS_DIRSYNC); CONST(MS_NOATIME); CONST(MS_NODIRATIME); CONST(MS_BIND); CONST(MS_MOVE);
    CONST(MS_REC); CONST(MS_SILENT); CONST(MS_UNBINDABLE); CONST(MS_PRIVATE); CONST(MS_SLAVE); CONST(MS_SHARED);
    CONST(MS_RELATIME); CONST(MS_STRICTATIME); CONST(MS_LAZYTIME); CONST(MNT_FORCE); CONST(MNT_DETACH);
    CONST(MNT_EXPIRE); CONST(UMOUNT_NOFOLLOW);
    CONST(FSOPEN_CLOEXEC); CONST(FSMOUNT_CLOEXEC); CONST(FSCONFIG_SET_FLAG); CONST(FSCONFIG_SET_STRING);
    CONST(FSCONFIG_SET_FD); CONST(FSCONFIG_CMD_CREATE); CONST(MOVE_MOUNT_F_EMPTY_PATH);
    CONST(MOUNT_ATTR_NOSUID); CONST(MOUNT_ATTR_NODEV); CONST(MOUNT_ATTR_NOEXEC); CONST(MOUNT_ATTR_NOATIME);
    CONST(IN_CLOEXEC); CONST(IN_DELETE_SELF); CONST(IN_UNMOUNT); CONST(IN_IGNORED); CONST(IN_ONLYDIR);
    CONST(FUSE_SUPER_MAGIC); CONST(OVERLAYFS_SUPER_MAGIC); CONST(TMPFS_MAGIC); CONST(EXT4_SUPER_MAGIC);
    CONST(XFS_SUPER_MAGIC); CONST(BTRFS_SUPER_MAGIC); CONST(NFS_SUPER_MAGIC); CONST(PROC_SUPER_MAGIC);
    CONST(F2FS_SUPER_MAGIC); CONST(ECRYPTFS_SUPER_MAGIC); CONST(MSDOS_SUPER_MAGIC); CONST(EXFAT_SUPER_MAGIC);
    CONST(ST_RDONLY); CONST(ST_NOSUID); CONST(ST_NODEV); CONST(ST_NOEXEC); CONST(ST_SYNCHRONOUS); CONST(ST_NOATIME);
    CONST(ST_NODIRATIME); CONST(ST_RELATIME);
    CONST(FICLONE); CONST(FICLONERANGE); CONST(FS_IOC_GETFLAGS); CONST(FS_IOC_SETFLAGS); CONST(FS_IOC_GETVERSION);
    CONST(FS_IOC_FSGETXATTR); CONST(FS_IOC_FSSETXATTR); CONST(FIONREAD); CONST(FS_SYNC_FL); CONST(FS_IMMUTABLE_FL);
    CONST(FS_APPEND_FL); CONST(FS_NODUMP_FL); CONST(FS_NOATIME_FL); CONST(FS_XFLAG_IMMUTABLE); CONST(FS_XFLAG_APPEND);
}

static void process_constants(void)
{
    CONST(PROT_NONE); CONST(PROT_READ); CONST(PROT_WRITE); CONST(PROT_EXEC); CONST(MAP_SHARED); CONST(MAP_PRIVATE);
    CONST(MAP_FIXED); CONST(MAP_ANONYMOUS); CONST(MAP_NORESERVE); CONST(MAP_POPULATE); CONST(MAP_FIXED_NOREPLACE);
    CONST(MADV_NORMAL); CONST(MADV_RANDOM); CONST(MADV_SEQUENTIAL); CONST(MADV_WILLNEED); CONST(MADV_DONTNEED);
    CONST(MADV_FREE); CONST(MADV_REMOVE); CONST(MADV_DONTFORK); CONST(MADV_HUGEPAGE); CONST(MADV_NOHUGEPAGE);
    CONST(MADV_DONTDUMP); CONST(MADV_COLD); CONST(MADV_PAGEOUT); CONST(MADV_POPULATE_READ);
    CONST(RLIMIT_NOFILE); CONST(RLIMIT_CORE); CONST(RLIM_INFINITY); CONST(WNOHANG); CONST(WUNTRACED);
    CONST(PR_SET_PDEATHSIG); CONST(PR_SET_DUMPABLE); CONST(PR_SET_NAME); CONST(PR_SET_CHILD_SUBREAPER);
    CONST(PR_SET_NO_NEW_PRIVS); CONST(PR_GET_NO_NEW_PRIVS); CONST(PR_SET_IO_FLUSHER); CONST(CAP_CHOWN);
    CONST(CAP_DAC_OVERRIDE); CONST(CAP_DAC_READ_SEARCH); CONST(CAP_FOWNER); CONST(CAP_FSETID); CONST(CAP_SETGID);
    CONST(CAP_SETUID); CONST(CAP_SYS_ADMIN); CONST(CAP_SYS_RESOURCE); CONST(CAP_MKNOD);
    CONST(POSIX_SPAWN_SETPGROUP); CONST(POSIX_SPAWN_SETSIGDEF); CONST(POSIX_SPAWN_SETSIGMASK);
    CONST(POSIX_SPAWN_SETSID);
    CONST(SIGHUP); CONST(SIGINT); CONST(SIGQUIT); CONST(SIGABRT); CONST(SIGKILL); CONST(SIGUSR1); CONST(SIGSEGV);
    CONST(SIGUSR2); CONST(SIGPIPE); CONST(SIGALRM); CONST(SIGTERM); CONST(SIGCHLD); CONST(SIGCONT); CONST(SIGSTOP);
    CONST(SIGTSTP); CONST(SIGXFSZ); CONST(SIGWINCH); CONST(SIG_BLOCK); CONST(SIG_UNBLOCK); CONST(SIG_SETMASK);
    CONST(SFD_CLOEXEC); CONST(SFD_NONBLOCK); CONST(POLLIN); CONST(POLLPRI); CONST(POLLOUT); CONST(POLLERR);
    CONST(POLLHUP); CONST(POLLNVAL);
    CONST(AF_UNIX); CONST(SOCK_STREAM); CONST(SOCK_CLOEXEC); CONST(SOCK_NONBLOCK); CONST(SOL_SOCKET);
    CONST(SO_PEERCRED); CONST(SHUT_RD); CONST(SHUT_WR); CONST(SHUT_RDWR);
    /* The numbers of system calls without a wrapper, and the version word of capget. */
    CONST(SYS_openat2); CONST(SYS_close_range); CONST(CLOSE_RANGE_UNSHARE); CONST(SYS_fchmodat2); CONST(SYS_pidfd_open); CONST(SYS_pidfd_send_signal);
    CONST(_LINUX_CAPABILITY_VERSION_3);
    CONST(PRIO_PROCESS);
}

static void errno_values(void)
{
    CONST(EPERM); CONST(ENOENT); CONST(ESRCH); CONST(EINTR); CONST(EIO); CONST(ENXIO); CONST(E2BIG); CONST(ENOEXEC);
    CONST(EBADF); CONST(ECHILD); CONST(EAGAIN); CONST(ENOMEM); CONST(EACCES); CONST(EFAULT); CONST(ENOTBLK);
    CONST(EBUSY); CONST(EEXIST); CONST(EXDEV); CONST(ENODEV); CONST(ENOTDIR); CONST(EISDIR); CONST(EINVAL);
    CONST(ENFILE); CONST(EMFILE); CONST(ENOTTY); CONST(ETXTBSY); CONST(EFBIG); CONST(ENOSPC); CONST(ESPIPE);
    CONST(EROFS); CONST(EMLINK); CONST(EPIPE); CONST(EDOM); CONST(ERANGE); CONST(EDEADLK); CONST(ENAMETOOLONG);
    CONST(ENOLCK); CONST(ENOSYS); CONST(ENOTEMPTY); CONST(ELOOP); CONST(ENOMSG); CONST(EIDRM); CONST(ECHRNG);
    CONST(EL2NSYNC); CONST(EL3HLT); CONST(EL3RST); CONST(ELNRNG); CONST(EUNATCH); CONST(ENOCSI); CONST(EL2HLT);
    CONST(EBADE); CONST(EBADR); CONST(EXFULL); CONST(ENOANO); CONST(EBADRQC); CONST(EBADSLT); CONST(EBFONT);
    CONST(ENOSTR); CONST(ENODATA); CONST(ETIME); CONST(ENOSR); CONST(ENONET); CONST(ENOPKG); CONST(EREMOTE);
    CONST(ENOLINK); CONST(EADV); CONST(ESRMNT); CONST(ECOMM); CONST(EPROTO); CONST(EMULTIHOP); CONST(EDOTDOT);
    CONST(EBADMSG); CONST(EOVERFLOW); CONST(ENOTUNIQ); CONST(EBADFD); CONST(EREMCHG); CONST(ELIBACC); CONST(ELIBBAD);
    CONST(ELIBSCN); CONST(ELIBMAX); CONST(ELIBEXEC); CONST(EILSEQ); CONST(ERESTART); CONST(ESTRPIPE); CONST(EUSERS);
    CONST(ENOTSOCK); CONST(EDESTADDRREQ); CONST(EMSGSIZE); CONST(EPROTOTYPE); CONST(ENOPROTOOPT);
    CONST(EPROTONOSUPPORT); CONST(ESOCKTNOSUPPORT); CONST(EOPNOTSUPP); CONST(EPFNOSUPPORT); CONST(EAFNOSUPPORT);
    CONST(EADDRINUSE); CONST(EADDRNOTAVAIL); CONST(ENETDOWN); CONST(ENETUNREACH); CONST(ENETRESET);
    CONST(ECONNABORTED); CONST(ECONNRESET); CONST(ENOBUFS); CONST(EISCONN); CONST(ENOTCONN); CONST(ESHUTDOWN);
    CONST(ETOOMANYREFS); CONST(ETIMEDOUT); CONST(ECONNREFUSED); CONST(EHOSTDOWN); CONST(EHOSTUNREACH);
    CONST(EALREADY); CONST(EINPROGRESS); CONST(ESTALE); CONST(EUCLEAN); CONST(ENOTNAM); CONST(ENAVAIL); CONST(EISNAM);
    CONST(EREMOTEIO); CONST(EDQUOT); CONST(ENOMEDIUM); CONST(EMEDIUMTYPE); CONST(ECANCELED); CONST(ENOKEY);
    CONST(EKEYEXPIRED); CONST(EKEYREVOKED); CONST(EKEYREJECTED); CONST(EOWNERDEAD); CONST(ENOTRECOVERABLE);
    CONST(ERFKILL); CONST(EHWPOISON);
}

static void calls(void)
{
    CALL(capget, int, struct __user_cap_header_struct *, struct __user_cap_data_struct *);
    CALL(copy_file_range, ssize_t, int, off_t *, int, off_t *, size_t, unsigned);
    CALL(splice, ssize_t, int, off_t *, int, off_t *, size_t, unsigned);
    CALL(fgetxattr, ssize_t, int, const char *, void *, size_t);
    CALL(flistxattr, ssize_t, int, char *, size_t);
    CALL(flock, int, int, int);
    CALL(fremovexattr, int, int, const char *);
    CALL(fsconfig, int, int, unsigned, const char *, const void *, int);
    CALL(fsetxattr, int, int, const char *, const void *, size_t, int);
    CALL(fsmount, int, int, unsigned, unsigned);
    CALL(fsopen, int, const char *, unsigned);
    CALL(fstat, int, int, struct stat *);
    CALL(fstatat, int, int, const char *, struct stat *, int);
    CALL(fstatfs, int, int, struct statfs *);
    CALL(getdents64, ssize_t, int, void *, size_t);
    CALL(getgroups, int, int, gid_t *);
    CALL_NO_ARGUMENTS(gettid, pid_t);
    CALL(getxattr, ssize_t, const char *, const char *, void *, size_t);
    CALL(inotify_add_watch, int, int, const char *, uint32_t);
    CALL(inotify_init1, int, int);
    CALL(lgetxattr, ssize_t, const char *, const char *, void *, size_t);
    CALL(listxattr, ssize_t, const char *, char *, size_t);
    CALL(llistxattr, ssize_t, const char *, char *, size_t);
    CALL(lremovexattr, int, const char *, const char *);
    CALL(lsetxattr, int, const char *, const char *, const void *, size_t, int);
    CALL(malloc_trim, int, size_t);
    CALL(mknodat, int, int, const char *, mode_t, dev_t);
    CALL(move_mount, int, int, const char *, int, const char *, unsigned);
    CALL(poll, int, struct pollfd *, nfds_t, int);
    CALL(posix_spawn_file_actions_addchdir_np, int, posix_spawn_file_actions_t *, const char *);
    CALL(posix_spawn_file_actions_addclose, int, posix_spawn_file_actions_t *, int);
    CALL(posix_spawn_file_actions_adddup2, int, posix_spawn_file_actions_t *, int, int);
    CALL(posix_spawn_file_actions_destroy, int, posix_spawn_file_actions_t *);
    CALL(posix_spawn_file_actions_init, int, posix_spawn_file_actions_t *);
    CALL(posix_spawnattr_destroy, int, posix_spawnattr_t *);
    CALL(posix_spawnattr_init, int, posix_spawnattr_t *);
    CALL(posix_spawnattr_setflags, int, posix_spawnattr_t *, short);
    CALL(posix_spawnattr_setsigdefault, int, posix_spawnattr_t *, const sigset_t *);
    CALL(posix_spawnattr_setsigmask, int, posix_spawnattr_t *, const sigset_t *);
    CALL(posix_spawnp, int, pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const *, char *const *);
    CALL(ppoll, int, struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
    CALL(prlimit, int, pid_t, enum __rlimit_resource, const struct rlimit *, struct rlimit *);
    CALL(pthread_sigmask, int, int, const sigset_t *, sigset_t *);
    CALL(removexattr, int, const char *, const char *);
    CALL(renameat2, int, int, const char *, int, const char *, unsigned);
    CALL(setpriority, int, enum __priority_which, id_t, int);
    CALL(setxattr, int, const char *, const char *, const void *, size_t, int);
    CALL(signalfd, int, int, const sigset_t *, int);
    CALL_NO_ARGUMENTS(antares_argv, char **);
    CALL_NO_ARGUMENTS(antares_environ, char **);
    CALL_NO_ARGUMENTS(antares_ignored_signals, uint64_t);
    CALL(antares_guard, volatile int *, void *, size_t);
    CALL_NO_RESULT(antares_unguard, void *);
    CALL(sigwaitinfo, int, const sigset_t *, siginfo_t *);
    CALL(waitpid, pid_t, pid_t, int *, int);
    CALL(writev, ssize_t, int, const struct iovec *, int);
}

void print_kinds(const char *name, ...)
{
    va_list kinds;
    va_start(kinds, name);
    printf("%s ", name);
    const char *separator = "";
    for (const char *kind; (kind = va_arg(kinds, const char *)) != NULL; separator = ",")
        printf("%s%s", separator, kind);
    printf("\n");
    va_end(kinds);
}

void probe_libc(void)
{
    structs();
    fcntl_constants();
    stat_constants();
    mount_constants();
    process_constants();
    errno_values();
    calls();
}

int main(void)
{
    probe_libc();
    probe_libfuse();
    probe_fuse();
    return 0;
}
