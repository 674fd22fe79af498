namespace Antares.Interop.Fuse3;

/// <summary>
/// Flag bits of linux/fuse.h, fuse_lowlevel.h and fuse_common.h, by their C names. Compared with the headers by
/// native/abi-probe.c, except those newer than the header, which name their Linux version.
/// </summary>
public static class Flags
{
    public const ulong FUSE_ROOT_ID = 1;
    public const uint FUSE_KERNEL_VERSION = 7;

    // INIT flags as one 64-bit word: fuse_init_in.flags below, flags2 above. FUSE_CAP_* further down are libfuse's own
    // numbers for the same things and differ in some bits: never mix them.
    public const ulong FUSE_ASYNC_READ = 1UL << 0;
    public const ulong FUSE_POSIX_LOCKS = 1UL << 1;
    public const ulong FUSE_FILE_OPS = 1UL << 2;
    public const ulong FUSE_ATOMIC_O_TRUNC = 1UL << 3;
    public const ulong FUSE_EXPORT_SUPPORT = 1UL << 4;
    public const ulong FUSE_BIG_WRITES = 1UL << 5;
    public const ulong FUSE_DONT_MASK = 1UL << 6;
    public const ulong FUSE_SPLICE_WRITE = 1UL << 7;
    public const ulong FUSE_SPLICE_MOVE = 1UL << 8;
    public const ulong FUSE_SPLICE_READ = 1UL << 9;
    public const ulong FUSE_FLOCK_LOCKS = 1UL << 10;
    public const ulong FUSE_HAS_IOCTL_DIR = 1UL << 11;
    public const ulong FUSE_AUTO_INVAL_DATA = 1UL << 12;
    public const ulong FUSE_DO_READDIRPLUS = 1UL << 13;
    public const ulong FUSE_READDIRPLUS_AUTO = 1UL << 14;
    public const ulong FUSE_ASYNC_DIO = 1UL << 15;
    public const ulong FUSE_WRITEBACK_CACHE = 1UL << 16;
    public const ulong FUSE_NO_OPEN_SUPPORT = 1UL << 17;
    public const ulong FUSE_PARALLEL_DIROPS = 1UL << 18;
    public const ulong FUSE_HANDLE_KILLPRIV = 1UL << 19;
    public const ulong FUSE_POSIX_ACL = 1UL << 20;
    public const ulong FUSE_ABORT_ERROR = 1UL << 21;
    public const ulong FUSE_MAX_PAGES = 1UL << 22;
    public const ulong FUSE_CACHE_SYMLINKS = 1UL << 23;
    public const ulong FUSE_NO_OPENDIR_SUPPORT = 1UL << 24;
    public const ulong FUSE_EXPLICIT_INVAL_DATA = 1UL << 25;
    public const ulong FUSE_MAP_ALIGNMENT = 1UL << 26;
    public const ulong FUSE_SUBMOUNTS = 1UL << 27;
    public const ulong FUSE_HANDLE_KILLPRIV_V2 = 1UL << 28;
    public const ulong FUSE_SETXATTR_EXT = 1UL << 29;
    public const ulong FUSE_INIT_EXT = 1UL << 30;
    public const ulong FUSE_INIT_RESERVED = 1UL << 31;
    public const ulong FUSE_SECURITY_CTX = 1UL << 32;
    public const ulong FUSE_HAS_INODE_DAX = 1UL << 33;
    public const ulong FUSE_HAS_EXPIRE_ONLY = 1UL << 35;

    /// <summary>Linux 6.3.</summary>
    public const ulong FUSE_CREATE_SUPP_GROUP = 1UL << 34;

    /// <summary>Linux 6.6.</summary>
    public const ulong FUSE_DIRECT_IO_ALLOW_MMAP = 1UL << 36;

    /// <summary>Linux 6.9.</summary>
    public const ulong FUSE_PASSTHROUGH = 1UL << 37;

    /// <summary>Linux 6.9.</summary>
    public const ulong FUSE_NO_EXPORT_SUPPORT = 1UL << 38;

    /// <summary>Linux 6.9.</summary>
    public const ulong FUSE_HAS_RESEND = 1UL << 39;

    /// <summary>Linux 6.12.</summary>
    public const ulong FUSE_ALLOW_IDMAP = 1UL << 40;

    /// <summary>Linux 6.14.</summary>
    public const ulong FUSE_OVER_IO_URING = 1UL << 41;

    /// <summary>Linux 6.14.</summary>
    public const ulong FUSE_REQUEST_TIMEOUT = 1UL << 42;

    // fuse_setattr_in.valid
    public const uint FATTR_MODE = 1u << 0;
    public const uint FATTR_UID = 1u << 1;
    public const uint FATTR_GID = 1u << 2;
    public const uint FATTR_SIZE = 1u << 3;
    public const uint FATTR_ATIME = 1u << 4;
    public const uint FATTR_MTIME = 1u << 5;
    public const uint FATTR_FH = 1u << 6;
    public const uint FATTR_ATIME_NOW = 1u << 7;
    public const uint FATTR_MTIME_NOW = 1u << 8;
    public const uint FATTR_LOCKOWNER = 1u << 9;
    public const uint FATTR_CTIME = 1u << 10;
    public const uint FATTR_KILL_SUIDGID = 1u << 11;

    // fuse_open_out.open_flags
    public const uint FOPEN_DIRECT_IO = 1u << 0;
    public const uint FOPEN_KEEP_CACHE = 1u << 1;
    public const uint FOPEN_NONSEEKABLE = 1u << 2;
    public const uint FOPEN_CACHE_DIR = 1u << 3;
    public const uint FOPEN_STREAM = 1u << 4;
    public const uint FOPEN_NOFLUSH = 1u << 5;
    public const uint FOPEN_PARALLEL_DIRECT_WRITES = 1u << 6;

    /// <summary>Linux 6.9.</summary>
    public const uint FOPEN_PASSTHROUGH = 1u << 7;

    // fuse_release_in.release_flags
    public const uint FUSE_RELEASE_FLUSH = 1u << 0;
    public const uint FUSE_RELEASE_FLOCK_UNLOCK = 1u << 1;

    // fuse_getattr_in.getattr_flags
    public const uint FUSE_GETATTR_FH = 1u << 0;

    // fuse_lk_in.lk_flags
    public const uint FUSE_LK_FLOCK = 1u << 0;

    // fuse_write_in.write_flags
    public const uint FUSE_WRITE_CACHE = 1u << 0;
    public const uint FUSE_WRITE_LOCKOWNER = 1u << 1;
    public const uint FUSE_WRITE_KILL_SUIDGID = 1u << 2;

    // fuse_read_in.read_flags
    public const uint FUSE_READ_LOCKOWNER = 1u << 1;

    // fuse_fsync_in.fsync_flags
    public const uint FUSE_FSYNC_FDATASYNC = 1u << 0;

    // fuse_attr.flags
    public const uint FUSE_ATTR_SUBMOUNT = 1u << 0;
    public const uint FUSE_ATTR_DAX = 1u << 1;

    // fuse_open_in.open_flags
    public const uint FUSE_OPEN_KILL_SUIDGID = 1u << 0;

    // fuse_setxattr_in.setxattr_flags
    public const uint FUSE_SETXATTR_ACL_KILL_SGID = 1u << 0;

    // fuse_notify_inval_entry_out.flags
    public const uint FUSE_EXPIRE_ONLY = 1u << 0;

    // fuse_ioctl_in.flags
    public const uint FUSE_IOCTL_COMPAT = 1u << 0;
    public const uint FUSE_IOCTL_UNRESTRICTED = 1u << 1;
    public const uint FUSE_IOCTL_RETRY = 1u << 2;
    public const uint FUSE_IOCTL_32BIT = 1u << 3;
    public const uint FUSE_IOCTL_DIR = 1u << 4;
    public const uint FUSE_IOCTL_COMPAT_X32 = 1u << 5;
    public const uint FUSE_IOCTL_MAX_IOV = 256;

    /// <summary>Type of fuse_ext_header (Linux 6.3).</summary>
    public const uint FUSE_EXT_GROUPS = 32;
    public const uint FUSE_MAX_NR_SECCTX = 31;

    /// <summary>In fuse_in_header.unique of a request that the kernel sends again (Linux 6.9).</summary>
    public const ulong FUSE_UNIQUE_RESEND = 1UL << 63;

    /// <summary>In fuse_in_header.uid and gid when FUSE_ALLOW_IDMAP was agreed and the ids cannot be told (Linux 6.12).</summary>
    public const uint FUSE_INVALID_UIDGID = uint.MaxValue;

    public const uint FUSE_MIN_READ_BUFFER = 8192;

    // ioctls on /dev/fuse
    public const uint FUSE_DEV_IOC_CLONE = 0x8004E500;

    /// <summary>With <see cref="fuse_backing_map"/>; answers the backing id (Linux 6.9).</summary>
    public const uint FUSE_DEV_IOC_BACKING_OPEN = 0x4010E501;

    /// <summary>With a pointer to the backing id (Linux 6.9).</summary>
    public const uint FUSE_DEV_IOC_BACKING_CLOSE = 0x4004E502;

    /// <summary>Mount waits until INIT is answered (Linux 6.18).</summary>
    public const uint FUSE_DEV_IOC_SYNC_INIT = 0xE503;

    // to_set of the setattr op (libfuse)
    public const int FUSE_SET_ATTR_MODE = 1 << 0;
    public const int FUSE_SET_ATTR_UID = 1 << 1;
    public const int FUSE_SET_ATTR_GID = 1 << 2;
    public const int FUSE_SET_ATTR_SIZE = 1 << 3;
    public const int FUSE_SET_ATTR_ATIME = 1 << 4;
    public const int FUSE_SET_ATTR_MTIME = 1 << 5;
    public const int FUSE_SET_ATTR_ATIME_NOW = 1 << 7;
    public const int FUSE_SET_ATTR_MTIME_NOW = 1 << 8;
    public const int FUSE_SET_ATTR_FORCE = 1 << 9;
    public const int FUSE_SET_ATTR_CTIME = 1 << 10;
    public const int FUSE_SET_ATTR_KILL_SUID = 1 << 11;
    public const int FUSE_SET_ATTR_KILL_SGID = 1 << 12;
    public const int FUSE_SET_ATTR_FILE = 1 << 13;
    public const int FUSE_SET_ATTR_KILL_PRIV = 1 << 14;
    public const int FUSE_SET_ATTR_OPEN = 1 << 15;
    public const int FUSE_SET_ATTR_TIMES_SET = 1 << 16;
    public const int FUSE_SET_ATTR_TOUCH = 1 << 17;

    // fuse_conn_info.capable and want (libfuse; not the INIT bits)
    public const uint FUSE_CAP_ASYNC_READ = 1u << 0;
    public const uint FUSE_CAP_POSIX_LOCKS = 1u << 1;
    public const uint FUSE_CAP_ATOMIC_O_TRUNC = 1u << 3;
    public const uint FUSE_CAP_EXPORT_SUPPORT = 1u << 4;
    public const uint FUSE_CAP_DONT_MASK = 1u << 6;
    public const uint FUSE_CAP_SPLICE_WRITE = 1u << 7;
    public const uint FUSE_CAP_SPLICE_MOVE = 1u << 8;
    public const uint FUSE_CAP_SPLICE_READ = 1u << 9;
    public const uint FUSE_CAP_FLOCK_LOCKS = 1u << 10;
    public const uint FUSE_CAP_IOCTL_DIR = 1u << 11;
    public const uint FUSE_CAP_AUTO_INVAL_DATA = 1u << 12;
    public const uint FUSE_CAP_READDIRPLUS = 1u << 13;
    public const uint FUSE_CAP_READDIRPLUS_AUTO = 1u << 14;
    public const uint FUSE_CAP_ASYNC_DIO = 1u << 15;
    public const uint FUSE_CAP_WRITEBACK_CACHE = 1u << 16;
    public const uint FUSE_CAP_NO_OPEN_SUPPORT = 1u << 17;
    public const uint FUSE_CAP_PARALLEL_DIROPS = 1u << 18;
    public const uint FUSE_CAP_POSIX_ACL = 1u << 19;
    public const uint FUSE_CAP_HANDLE_KILLPRIV = 1u << 20;
    public const uint FUSE_CAP_CACHE_SYMLINKS = 1u << 23;
    public const uint FUSE_CAP_NO_OPENDIR_SUPPORT = 1u << 24;
    public const uint FUSE_CAP_EXPLICIT_INVAL_DATA = 1u << 25;
    public const uint FUSE_CAP_EXPIRE_ONLY = 1u << 26;

    // fuse_buf.flags and the flags of fuse_reply_data
    public const uint FUSE_BUF_IS_FD = 1u << 1;
    public const uint FUSE_BUF_FD_SEEK = 1u << 2;
    public const uint FUSE_BUF_FD_RETRY = 1u << 3;
    public const uint FUSE_BUF_NO_SPLICE = 1u << 1;
    public const uint FUSE_BUF_FORCE_SPLICE = 1u << 2;
    public const uint FUSE_BUF_SPLICE_MOVE = 1u << 3;
    public const uint FUSE_BUF_SPLICE_NONBLOCK = 1u << 4;

    // fuse_lowlevel_notify_expire_entry
    public const uint FUSE_LL_EXPIRE_ONLY = 1u << 0;
}
