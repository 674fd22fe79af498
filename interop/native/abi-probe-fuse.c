/* The FUSE protocol part of the probe, and all FUSE flags; see abi-probe.h. */
#define _GNU_SOURCE
#include "abi-probe.h"

#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <sys/ioctl.h>

/*
 * What the kernel has and older headers have not, written down from its protocol notes. Where a header is new enough its
 * own declarations are used, and the same comparison then checks these notes.
 */
#if FUSE_KERNEL_MINOR_VERSION < 39
enum { FUSE_STATX = 52, FUSE_EXT_GROUPS = 32 };
#define FUSE_CREATE_SUPP_GROUP (1ULL << 34)
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
struct fuse_supp_groups { uint32_t nr_groups; uint32_t groups[]; };
struct fuse_sx_time { int64_t tv_sec; uint32_t tv_nsec; int32_t __reserved; };
struct fuse_statx {
    uint32_t mask, blksize;
    uint64_t attributes;
    uint32_t nlink, uid, gid;
    uint16_t mode, __spare0[1];
    uint64_t ino, size, blocks, attributes_mask;
    struct fuse_sx_time atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
    uint64_t __spare2[14];
};
struct fuse_statx_in { uint32_t getattr_flags, reserved; uint64_t fh; uint32_t sx_flags, sx_mask; };
struct fuse_statx_out { uint64_t attr_valid; uint32_t attr_valid_nsec, flags; uint64_t spare[2]; struct fuse_statx stat; };
#endif
#if FUSE_KERNEL_MINOR_VERSION < 40
enum { FUSE_NOTIFY_RESEND = 7 };
#define FUSE_PASSTHROUGH (1ULL << 37)
#define FUSE_NO_EXPORT_SUPPORT (1ULL << 38)
#define FUSE_HAS_RESEND (1ULL << 39)
#define FUSE_UNIQUE_RESEND (1ULL << 63)
#define FOPEN_PASSTHROUGH (1 << 7)
struct fuse_backing_map { int32_t fd; uint32_t flags; uint64_t padding; };
#define FUSE_DEV_IOC_BACKING_OPEN _IOW(FUSE_DEV_IOC_MAGIC, 1, struct fuse_backing_map)
#define FUSE_DEV_IOC_BACKING_CLOSE _IOW(FUSE_DEV_IOC_MAGIC, 2, uint32_t)
struct new_fuse_open_out { uint64_t fh; uint32_t open_flags; int32_t backing_id; };
#define fuse_open_out new_fuse_open_out
#endif
#if FUSE_KERNEL_MINOR_VERSION < 41
#define FUSE_ALLOW_IDMAP (1ULL << 40)
#define FUSE_INVALID_UIDGID ((uint32_t)(-1))
#endif
#if FUSE_KERNEL_MINOR_VERSION < 42
#define FUSE_OVER_IO_URING (1ULL << 41)
#endif
#if FUSE_KERNEL_MINOR_VERSION < 43
#define FUSE_REQUEST_TIMEOUT (1ULL << 42)
/* The old header's unused tail is cut up: max_stack_depth from 7.40 on, request_timeout from 7.43 on. */
_Static_assert(sizeof(struct fuse_init_out) == 64, "the size of a reply to INIT");
struct new_fuse_init_out {
    uint32_t major, minor, max_readahead, flags;
    uint16_t max_background, congestion_threshold;
    uint32_t max_write, time_gran;
    uint16_t max_pages, map_alignment;
    uint32_t flags2, max_stack_depth;
    uint16_t request_timeout, unused[11];
};
#define fuse_init_out new_fuse_init_out
#endif
#if FUSE_KERNEL_MINOR_VERSION < 44
enum { FUSE_NOTIFY_INC_EPOCH = 8 };
#endif
#if FUSE_KERNEL_MINOR_VERSION < 45
enum { FUSE_COPY_FILE_RANGE_64 = 53, FUSE_NOTIFY_PRUNE = 9 };
struct fuse_copy_file_range_out { uint64_t bytes_copied; };
struct fuse_notify_prune_out { uint32_t count, padding; uint64_t spare; };
#define FUSE_DEV_IOC_SYNC_INIT _IO(FUSE_DEV_IOC_MAGIC, 3)
#endif

/* The header makes this one of an int, which turns negative. */
#undef FUSE_INIT_RESERVED
#define FUSE_INIT_RESERVED (1ULL << 31)

static void request_structs(void)
{
    SIZE(fuse_file_lock);
    FIELD(fuse_file_lock, start); FIELD(fuse_file_lock, end); FIELD(fuse_file_lock, type); FIELD(fuse_file_lock, pid);
    SIZE(fuse_in_header);
    FIELD(fuse_in_header, len); FIELD(fuse_in_header, opcode); FIELD(fuse_in_header, unique);
    FIELD(fuse_in_header, nodeid); FIELD(fuse_in_header, uid); FIELD(fuse_in_header, gid); FIELD(fuse_in_header, pid);
    FIELD(fuse_in_header, total_extlen); FIELD(fuse_in_header, padding);
    SIZE(fuse_init_in);
    FIELD(fuse_init_in, major); FIELD(fuse_init_in, minor); FIELD(fuse_init_in, max_readahead);
    FIELD(fuse_init_in, flags); FIELD(fuse_init_in, flags2); FIELD(fuse_init_in, unused);
    SIZE(fuse_forget_in);
    FIELD(fuse_forget_in, nlookup);
    SIZE(fuse_forget_one);
    FIELD(fuse_forget_one, nodeid); FIELD(fuse_forget_one, nlookup);
    SIZE(fuse_batch_forget_in);
    FIELD(fuse_batch_forget_in, count); FIELD(fuse_batch_forget_in, dummy);
    SIZE(fuse_getattr_in);
    FIELD(fuse_getattr_in, getattr_flags); FIELD(fuse_getattr_in, dummy); FIELD(fuse_getattr_in, fh);
    SIZE(fuse_mknod_in);
    FIELD(fuse_mknod_in, mode); FIELD(fuse_mknod_in, rdev); FIELD(fuse_mknod_in, umask);
    FIELD(fuse_mknod_in, padding);
    SIZE(fuse_mkdir_in);
    FIELD(fuse_mkdir_in, mode); FIELD(fuse_mkdir_in, umask);
    SIZE(fuse_rename_in);
    FIELD(fuse_rename_in, newdir);
    SIZE(fuse_rename2_in);
    FIELD(fuse_rename2_in, newdir); FIELD(fuse_rename2_in, flags); FIELD(fuse_rename2_in, padding);
    SIZE(fuse_link_in);
    FIELD(fuse_link_in, oldnodeid);
    SIZE(fuse_setattr_in);
    FIELD(fuse_setattr_in, valid); FIELD(fuse_setattr_in, padding); FIELD(fuse_setattr_in, fh);
    FIELD(fuse_setattr_in, size); FIELD(fuse_setattr_in, lock_owner); FIELD(fuse_setattr_in, atime);
    FIELD(fuse_setattr_in, mtime); FIELD(fuse_setattr_in, ctime); FIELD(fuse_setattr_in, atimensec);
    FIELD(fuse_setattr_in, mtimensec); FIELD(fuse_setattr_in, ctimensec); FIELD(fuse_setattr_in, mode);
    FIELD(fuse_setattr_in, unused4); FIELD(fuse_setattr_in, uid); FIELD(fuse_setattr_in, gid);
    FIELD(fuse_setattr_in, unused5);
    SIZE(fuse_open_in);
    FIELD(fuse_open_in, flags); FIELD(fuse_open_in, open_flags);
    SIZE(fuse_create_in);
    FIELD(fuse_create_in, flags); FIELD(fuse_create_in, mode); FIELD(fuse_create_in, umask);
    FIELD(fuse_create_in, open_flags);
    SIZE(fuse_release_in);
    FIELD(fuse_release_in, fh); FIELD(fuse_release_in, flags); FIELD(fuse_release_in, release_flags);
    FIELD(fuse_release_in, lock_owner);
    SIZE(fuse_flush_in);
    FIELD(fuse_flush_in, fh); FIELD(fuse_flush_in, unused); FIELD(fuse_flush_in, padding);
    FIELD(fuse_flush_in, lock_owner);
    SIZE(fuse_read_in);
    FIELD(fuse_read_in, fh); FIELD(fuse_read_in, offset); FIELD(fuse_read_in, size); FIELD(fuse_read_in, read_flags);
    FIELD(fuse_read_in, lock_owner); FIELD(fuse_read_in, flags); FIELD(fuse_read_in, padding);
    SIZE(fuse_write_in);
    FIELD(fuse_write_in, fh); FIELD(fuse_write_in, offset); FIELD(fuse_write_in, size);
    FIELD(fuse_write_in, write_flags); FIELD(fuse_write_in, lock_owner); FIELD(fuse_write_in, flags);
    FIELD(fuse_write_in, padding);
    SIZE(fuse_fsync_in);
    FIELD(fuse_fsync_in, fh); FIELD(fuse_fsync_in, fsync_flags); FIELD(fuse_fsync_in, padding);
    SIZE(fuse_setxattr_in);
    FIELD(fuse_setxattr_in, size); FIELD(fuse_setxattr_in, flags); FIELD(fuse_setxattr_in, setxattr_flags);
    FIELD(fuse_setxattr_in, padding);
    SIZE(fuse_getxattr_in);
    FIELD(fuse_getxattr_in, size); FIELD(fuse_getxattr_in, padding);
    SIZE(fuse_access_in);
    FIELD(fuse_access_in, mask); FIELD(fuse_access_in, padding);
    SIZE(fuse_lk_in);
    FIELD(fuse_lk_in, fh); FIELD(fuse_lk_in, owner); FIELD(fuse_lk_in, lk); FIELD(fuse_lk_in, lk_flags);
    FIELD(fuse_lk_in, padding);
    SIZE(fuse_interrupt_in);
    FIELD(fuse_interrupt_in, unique);
    SIZE(fuse_ioctl_in);
    FIELD(fuse_ioctl_in, fh); FIELD(fuse_ioctl_in, flags); FIELD(fuse_ioctl_in, cmd); FIELD(fuse_ioctl_in, arg);
    FIELD(fuse_ioctl_in, in_size); FIELD(fuse_ioctl_in, out_size);
    SIZE(fuse_fallocate_in);
    FIELD(fuse_fallocate_in, fh); FIELD(fuse_fallocate_in, offset); FIELD(fuse_fallocate_in, length);
    FIELD(fuse_fallocate_in, mode); FIELD(fuse_fallocate_in, padding);
    SIZE(fuse_lseek_in);
    FIELD(fuse_lseek_in, fh); FIELD(fuse_lseek_in, offset); FIELD(fuse_lseek_in, whence);
    FIELD(fuse_lseek_in, padding);
    SIZE(fuse_copy_file_range_in);
    FIELD(fuse_copy_file_range_in, fh_in); FIELD(fuse_copy_file_range_in, off_in);
    FIELD(fuse_copy_file_range_in, nodeid_out); FIELD(fuse_copy_file_range_in, fh_out);
    FIELD(fuse_copy_file_range_in, off_out); FIELD(fuse_copy_file_range_in, len);
    FIELD(fuse_copy_file_range_in, flags);
    SIZE(fuse_syncfs_in);
    FIELD(fuse_syncfs_in, padding);
    SIZE(fuse_secctx);
    FIELD(fuse_secctx, size); FIELD(fuse_secctx, padding);
    SIZE(fuse_secctx_header);
    FIELD(fuse_secctx_header, size); FIELD(fuse_secctx_header, nr_secctx);
    SIZE(fuse_ext_header);
    FIELD(fuse_ext_header, size); FIELD(fuse_ext_header, type);
    SIZE(fuse_statx_in);
    FIELD(fuse_statx_in, getattr_flags); FIELD(fuse_statx_in, reserved); FIELD(fuse_statx_in, fh);
    FIELD(fuse_statx_in, sx_flags); FIELD(fuse_statx_in, sx_mask);
    SIZE(fuse_supp_groups);
    FIELD(fuse_supp_groups, nr_groups);
}

static void reply_structs(void)
{
    SIZE(fuse_attr);
    FIELD(fuse_attr, ino); FIELD(fuse_attr, size); FIELD(fuse_attr, blocks); FIELD(fuse_attr, atime);
    FIELD(fuse_attr, mtime); FIELD(fuse_attr, ctime); FIELD(fuse_attr, atimensec); FIELD(fuse_attr, mtimensec);
    FIELD(fuse_attr, ctimensec); FIELD(fuse_attr, mode); FIELD(fuse_attr, nlink); FIELD(fuse_attr, uid);
    FIELD(fuse_attr, gid); FIELD(fuse_attr, rdev); FIELD(fuse_attr, blksize); FIELD(fuse_attr, flags);
    SIZE(fuse_kstatfs);
    FIELD(fuse_kstatfs, blocks); FIELD(fuse_kstatfs, bfree); FIELD(fuse_kstatfs, bavail); FIELD(fuse_kstatfs, files);
    FIELD(fuse_kstatfs, ffree); FIELD(fuse_kstatfs, bsize); FIELD(fuse_kstatfs, namelen); FIELD(fuse_kstatfs, frsize);
    FIELD(fuse_kstatfs, padding); FIELD(fuse_kstatfs, spare);
    SIZE(fuse_out_header);
    FIELD(fuse_out_header, len); FIELD(fuse_out_header, error); FIELD(fuse_out_header, unique);
    SIZE(fuse_init_out);
    FIELD(fuse_init_out, major); FIELD(fuse_init_out, minor); FIELD(fuse_init_out, max_readahead);
    FIELD(fuse_init_out, flags); FIELD(fuse_init_out, max_background); FIELD(fuse_init_out, congestion_threshold);
    FIELD(fuse_init_out, max_write); FIELD(fuse_init_out, time_gran); FIELD(fuse_init_out, max_pages);
    FIELD(fuse_init_out, map_alignment); FIELD(fuse_init_out, flags2); FIELD(fuse_init_out, max_stack_depth);
    FIELD(fuse_init_out, request_timeout); FIELD(fuse_init_out, unused);
    SIZE(fuse_entry_out);
    FIELD(fuse_entry_out, nodeid); FIELD(fuse_entry_out, generation); FIELD(fuse_entry_out, entry_valid);
    FIELD(fuse_entry_out, attr_valid); FIELD(fuse_entry_out, entry_valid_nsec);
    FIELD(fuse_entry_out, attr_valid_nsec); FIELD(fuse_entry_out, attr);
    SIZE(fuse_attr_out);
    FIELD(fuse_attr_out, attr_valid); FIELD(fuse_attr_out, attr_valid_nsec); FIELD(fuse_attr_out, dummy);
    FIELD(fuse_attr_out, attr);
    SIZE(fuse_open_out);
    FIELD(fuse_open_out, fh); FIELD(fuse_open_out, open_flags); FIELD(fuse_open_out, backing_id);
    SIZE(fuse_write_out);
    FIELD(fuse_write_out, size); FIELD(fuse_write_out, padding);
    SIZE(fuse_statfs_out);
    FIELD(fuse_statfs_out, st);
    SIZE(fuse_getxattr_out);
    FIELD(fuse_getxattr_out, size); FIELD(fuse_getxattr_out, padding);
    SIZE(fuse_lk_out);
    FIELD(fuse_lk_out, lk);
    SIZE(fuse_ioctl_out);
    FIELD(fuse_ioctl_out, result); FIELD(fuse_ioctl_out, flags); FIELD(fuse_ioctl_out, in_iovs);
    FIELD(fuse_ioctl_out, out_iovs);
    SIZE(fuse_dirent);
    FIELD(fuse_dirent, ino); FIELD(fuse_dirent, off); FIELD(fuse_dirent, namelen); FIELD(fuse_dirent, type);
    SIZE(fuse_direntplus);
    FIELD(fuse_direntplus, entry_out); FIELD(fuse_direntplus, dirent);
    SIZE(fuse_lseek_out);
    FIELD(fuse_lseek_out, offset);
    SIZE(fuse_notify_inval_inode_out);
    FIELD(fuse_notify_inval_inode_out, ino); FIELD(fuse_notify_inval_inode_out, off);
    FIELD(fuse_notify_inval_inode_out, len);
    SIZE(fuse_notify_inval_entry_out);
    FIELD(fuse_notify_inval_entry_out, parent); FIELD(fuse_notify_inval_entry_out, namelen);
    FIELD(fuse_notify_inval_entry_out, flags);
    SIZE(fuse_notify_delete_out);
    FIELD(fuse_notify_delete_out, parent); FIELD(fuse_notify_delete_out, child);
    FIELD(fuse_notify_delete_out, namelen); FIELD(fuse_notify_delete_out, padding);
    SIZE(fuse_notify_store_out);
    FIELD(fuse_notify_store_out, nodeid); FIELD(fuse_notify_store_out, offset); FIELD(fuse_notify_store_out, size);
    FIELD(fuse_notify_store_out, padding);
    SIZE(fuse_notify_retrieve_out);
    FIELD(fuse_notify_retrieve_out, notify_unique); FIELD(fuse_notify_retrieve_out, nodeid);
    FIELD(fuse_notify_retrieve_out, offset); FIELD(fuse_notify_retrieve_out, size);
    FIELD(fuse_notify_retrieve_out, padding);
    SIZE(fuse_sx_time);
    FIELD(fuse_sx_time, tv_sec); FIELD(fuse_sx_time, tv_nsec);
    SIZE(fuse_statx);
    FIELD(fuse_statx, mask); FIELD(fuse_statx, blksize); FIELD(fuse_statx, attributes); FIELD(fuse_statx, nlink);
    FIELD(fuse_statx, uid); FIELD(fuse_statx, gid); FIELD(fuse_statx, mode); FIELD(fuse_statx, ino);
    FIELD(fuse_statx, size); FIELD(fuse_statx, blocks); FIELD(fuse_statx, attributes_mask); FIELD(fuse_statx, atime);
    FIELD(fuse_statx, btime); FIELD(fuse_statx, ctime); FIELD(fuse_statx, mtime); FIELD(fuse_statx, rdev_major);
    FIELD(fuse_statx, rdev_minor); FIELD(fuse_statx, dev_major); FIELD(fuse_statx, dev_minor);
    SIZE(fuse_statx_out);
    FIELD(fuse_statx_out, attr_valid); FIELD(fuse_statx_out, attr_valid_nsec); FIELD(fuse_statx_out, flags);
    FIELD(fuse_statx_out, spare); FIELD(fuse_statx_out, stat);
    SIZE(fuse_copy_file_range_out);
    FIELD(fuse_copy_file_range_out, bytes_copied);
    SIZE(fuse_notify_prune_out);
    FIELD(fuse_notify_prune_out, count); FIELD(fuse_notify_prune_out, padding); FIELD(fuse_notify_prune_out, spare);
    SIZE(fuse_backing_map);
    FIELD(fuse_backing_map, fd); FIELD(fuse_backing_map, flags); FIELD(fuse_backing_map, padding);
}

static void flags(void)
{
    CONST(FUSE_ROOT_ID); CONST(FUSE_KERNEL_VERSION); CONST(FUSE_ASYNC_READ); CONST(FUSE_POSIX_LOCKS);
    CONST(FUSE_FILE_OPS); CONST(FUSE_ATOMIC_O_TRUNC); CONST(FUSE_EXPORT_SUPPORT); CONST(FUSE_BIG_WRITES);
    CONST(FUSE_DONT_MASK); CONST(FUSE_SPLICE_WRITE); CONST(FUSE_SPLICE_MOVE); CONST(FUSE_SPLICE_READ);
    CONST(FUSE_FLOCK_LOCKS); CONST(FUSE_HAS_IOCTL_DIR); CONST(FUSE_AUTO_INVAL_DATA); CONST(FUSE_DO_READDIRPLUS);
    CONST(FUSE_READDIRPLUS_AUTO); CONST(FUSE_ASYNC_DIO); CONST(FUSE_WRITEBACK_CACHE); CONST(FUSE_NO_OPEN_SUPPORT);
    CONST(FUSE_PARALLEL_DIROPS); CONST(FUSE_HANDLE_KILLPRIV); CONST(FUSE_POSIX_ACL); CONST(FUSE_ABORT_ERROR);
    CONST(FUSE_MAX_PAGES); CONST(FUSE_CACHE_SYMLINKS); CONST(FUSE_NO_OPENDIR_SUPPORT);
    CONST(FUSE_EXPLICIT_INVAL_DATA); CONST(FUSE_MAP_ALIGNMENT); CONST(FUSE_SUBMOUNTS); CONST(FUSE_HANDLE_KILLPRIV_V2);
    CONST(FUSE_SETXATTR_EXT); CONST(FUSE_INIT_EXT); CONST(FUSE_INIT_RESERVED); CONST(FUSE_SECURITY_CTX);
    CONST(FUSE_HAS_INODE_DAX); CONST(FUSE_HAS_EXPIRE_ONLY); CONST(FUSE_CREATE_SUPP_GROUP);
    CONST(FUSE_DIRECT_IO_ALLOW_MMAP); CONST(FUSE_PASSTHROUGH); CONST(FUSE_NO_EXPORT_SUPPORT); CONST(FUSE_HAS_RESEND);
    CONST(FUSE_ALLOW_IDMAP); CONST(FUSE_OVER_IO_URING); CONST(FUSE_REQUEST_TIMEOUT); CONST(FATTR_MODE);
    CONST(FATTR_UID); CONST(FATTR_GID); CONST(FATTR_SIZE); CONST(FATTR_ATIME); CONST(FATTR_MTIME); CONST(FATTR_FH);
    CONST(FATTR_ATIME_NOW); CONST(FATTR_MTIME_NOW); CONST(FATTR_LOCKOWNER); CONST(FATTR_CTIME);
    CONST(FATTR_KILL_SUIDGID); CONST(FOPEN_DIRECT_IO); CONST(FOPEN_KEEP_CACHE); CONST(FOPEN_NONSEEKABLE);
    CONST(FOPEN_CACHE_DIR); CONST(FOPEN_STREAM); CONST(FOPEN_NOFLUSH); CONST(FOPEN_PARALLEL_DIRECT_WRITES);
    CONST(FOPEN_PASSTHROUGH); CONST(FUSE_RELEASE_FLUSH); CONST(FUSE_RELEASE_FLOCK_UNLOCK); CONST(FUSE_GETATTR_FH);
    CONST(FUSE_LK_FLOCK); CONST(FUSE_WRITE_CACHE); CONST(FUSE_WRITE_LOCKOWNER); CONST(FUSE_WRITE_KILL_SUIDGID);
    CONST(FUSE_READ_LOCKOWNER); CONST(FUSE_FSYNC_FDATASYNC); CONST(FUSE_ATTR_SUBMOUNT); CONST(FUSE_ATTR_DAX);
    CONST(FUSE_OPEN_KILL_SUIDGID); CONST(FUSE_SETXATTR_ACL_KILL_SGID); CONST(FUSE_EXPIRE_ONLY);
    CONST(FUSE_IOCTL_COMPAT); CONST(FUSE_IOCTL_UNRESTRICTED); CONST(FUSE_IOCTL_RETRY); CONST(FUSE_IOCTL_32BIT);
    CONST(FUSE_IOCTL_DIR); CONST(FUSE_IOCTL_COMPAT_X32); CONST(FUSE_IOCTL_MAX_IOV); CONST(FUSE_EXT_GROUPS);
    CONST(FUSE_MAX_NR_SECCTX); CONST(FUSE_UNIQUE_RESEND); CONST(FUSE_INVALID_UIDGID); CONST(FUSE_MIN_READ_BUFFER);
    CONST(FUSE_DEV_IOC_CLONE); CONST(FUSE_DEV_IOC_BACKING_OPEN); CONST(FUSE_DEV_IOC_BACKING_CLOSE);
    CONST(FUSE_DEV_IOC_SYNC_INIT); CONST(FUSE_SET_ATTR_MODE); CONST(FUSE_SET_ATTR_UID); CONST(FUSE_SET_ATTR_GID);
    CONST(FUSE_SET_ATTR_SIZE); CONST(FUSE_SET_ATTR_ATIME); CONST(FUSE_SET_ATTR_MTIME); CONST(FUSE_SET_ATTR_ATIME_NOW);
    CONST(FUSE_SET_ATTR_MTIME_NOW); CONST(FUSE_SET_ATTR_FORCE); CONST(FUSE_SET_ATTR_CTIME);
    CONST(FUSE_SET_ATTR_KILL_SUID); CONST(FUSE_SET_ATTR_KILL_SGID); CONST(FUSE_SET_ATTR_FILE);
    CONST(FUSE_SET_ATTR_KILL_PRIV); CONST(FUSE_SET_ATTR_OPEN); CONST(FUSE_SET_ATTR_TIMES_SET);
    CONST(FUSE_SET_ATTR_TOUCH); CONST(FUSE_CAP_ASYNC_READ); CONST(FUSE_CAP_POSIX_LOCKS);
    CONST(FUSE_CAP_ATOMIC_O_TRUNC); CONST(FUSE_CAP_EXPORT_SUPPORT); CONST(FUSE_CAP_DONT_MASK);
    CONST(FUSE_CAP_SPLICE_WRITE); CONST(FUSE_CAP_SPLICE_MOVE); CONST(FUSE_CAP_SPLICE_READ);
    CONST(FUSE_CAP_FLOCK_LOCKS); CONST(FUSE_CAP_IOCTL_DIR); CONST(FUSE_CAP_AUTO_INVAL_DATA);
    CONST(FUSE_CAP_READDIRPLUS); CONST(FUSE_CAP_READDIRPLUS_AUTO); CONST(FUSE_CAP_ASYNC_DIO);
    CONST(FUSE_CAP_WRITEBACK_CACHE); CONST(FUSE_CAP_NO_OPEN_SUPPORT); CONST(FUSE_CAP_PARALLEL_DIROPS);
    CONST(FUSE_CAP_POSIX_ACL); CONST(FUSE_CAP_HANDLE_KILLPRIV); CONST(FUSE_CAP_CACHE_SYMLINKS);
    CONST(FUSE_CAP_NO_OPENDIR_SUPPORT); CONST(FUSE_CAP_EXPLICIT_INVAL_DATA); CONST(FUSE_CAP_EXPIRE_ONLY);
    CONST(FUSE_BUF_IS_FD); CONST(FUSE_BUF_FD_SEEK); CONST(FUSE_BUF_FD_RETRY); CONST(FUSE_BUF_NO_SPLICE);
    CONST(FUSE_BUF_FORCE_SPLICE); CONST(FUSE_BUF_SPLICE_MOVE); CONST(FUSE_BUF_SPLICE_NONBLOCK);
    CONST(FUSE_LL_EXPIRE_ONLY);
}

static void opcodes(void)
{
    CONST(FUSE_LOOKUP); CONST(FUSE_FORGET); CONST(FUSE_GETATTR); CONST(FUSE_SETATTR); CONST(FUSE_READLINK);
    CONST(FUSE_SYMLINK); CONST(FUSE_MKNOD); CONST(FUSE_MKDIR); CONST(FUSE_UNLINK); CONST(FUSE_RMDIR);
    CONST(FUSE_RENAME); CONST(FUSE_LINK); CONST(FUSE_OPEN); CONST(FUSE_READ); CONST(FUSE_WRITE); CONST(FUSE_STATFS);
    CONST(FUSE_RELEASE); CONST(FUSE_FSYNC); CONST(FUSE_SETXATTR); CONST(FUSE_GETXATTR); CONST(FUSE_LISTXATTR);
    CONST(FUSE_REMOVEXATTR); CONST(FUSE_FLUSH); CONST(FUSE_INIT); CONST(FUSE_OPENDIR); CONST(FUSE_READDIR);
    CONST(FUSE_RELEASEDIR); CONST(FUSE_FSYNCDIR); CONST(FUSE_GETLK); CONST(FUSE_SETLK); CONST(FUSE_SETLKW);
    CONST(FUSE_ACCESS); CONST(FUSE_CREATE); CONST(FUSE_INTERRUPT); CONST(FUSE_BMAP); CONST(FUSE_DESTROY);
    CONST(FUSE_IOCTL); CONST(FUSE_POLL); CONST(FUSE_NOTIFY_REPLY); CONST(FUSE_BATCH_FORGET); CONST(FUSE_FALLOCATE);
    CONST(FUSE_READDIRPLUS); CONST(FUSE_RENAME2); CONST(FUSE_LSEEK); CONST(FUSE_COPY_FILE_RANGE);
    CONST(FUSE_SETUPMAPPING); CONST(FUSE_REMOVEMAPPING); CONST(FUSE_SYNCFS); CONST(FUSE_TMPFILE); CONST(FUSE_STATX);
    CONST(FUSE_COPY_FILE_RANGE_64); CONST(FUSE_NOTIFY_POLL); CONST(FUSE_NOTIFY_INVAL_INODE);
    CONST(FUSE_NOTIFY_INVAL_ENTRY); CONST(FUSE_NOTIFY_STORE); CONST(FUSE_NOTIFY_RETRIEVE); CONST(FUSE_NOTIFY_DELETE);
    CONST(FUSE_NOTIFY_RESEND); CONST(FUSE_NOTIFY_INC_EPOCH); CONST(FUSE_NOTIFY_PRUNE);
}

void probe_fuse(void)
{
    request_structs();
    reply_structs();
    flags();
    opcodes();
}
