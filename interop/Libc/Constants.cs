namespace Antares.Interop;

/// <summary>Constants of fcntl.h, linux/openat2.h and their kin (x64).</summary>
public static class Fcntl
{
    public const int O_RDONLY = 0;
    public const int O_WRONLY = 1;
    public const int O_RDWR = 2;
    public const int O_ACCMODE = 3;
    public const int O_CREAT = 0x40;
    public const int O_EXCL = 0x80;
    public const int O_NOCTTY = 0x100;
    public const int O_TRUNC = 0x200;
    public const int O_APPEND = 0x400;
    public const int O_NONBLOCK = 0x800;
    public const int O_DSYNC = 0x1000;
    public const int O_ASYNC = 0x2000;
    public const int O_DIRECT = 0x4000;
    public const int O_DIRECTORY = 0x10000;
    public const int O_NOFOLLOW = 0x20000;
    public const int O_NOATIME = 0x40000;
    public const int O_CLOEXEC = 0x80000;
    public const int O_SYNC = 0x101000;
    public const int O_PATH = 0x200000;
    public const int O_TMPFILE = 0x410000;

    /// <summary>O_LARGEFILE as the kernel writes it into a FUSE request; glibc's own O_LARGEFILE is 0 on x64.</summary>
    public const int KERNEL_O_LARGEFILE = 0x8000;

    /// <summary>The kernel's __FMODE_EXEC, seen in the flags of a FUSE OPEN that comes from exec.</summary>
    public const int KERNEL_FMODE_EXEC = 0x20;

    public const int AT_FDCWD = -100;
    public const int AT_SYMLINK_NOFOLLOW = 0x100;
    public const int AT_REMOVEDIR = 0x200;
    public const int AT_EACCESS = 0x200;
    public const int AT_SYMLINK_FOLLOW = 0x400;
    public const int AT_NO_AUTOMOUNT = 0x800;
    public const int AT_EMPTY_PATH = 0x1000;
    public const int AT_STATX_SYNC_AS_STAT = 0;
    public const int AT_STATX_FORCE_SYNC = 0x2000;
    public const int AT_STATX_DONT_SYNC = 0x4000;

    public const uint RENAME_NOREPLACE = 1;
    public const uint RENAME_EXCHANGE = 2;
    public const uint RENAME_WHITEOUT = 4;

    public const ulong RESOLVE_NO_XDEV = 0x01;
    public const ulong RESOLVE_NO_MAGICLINKS = 0x02;
    public const ulong RESOLVE_NO_SYMLINKS = 0x04;
    public const ulong RESOLVE_BENEATH = 0x08;
    public const ulong RESOLVE_IN_ROOT = 0x10;
    public const ulong RESOLVE_CACHED = 0x20;

    public const int FALLOC_FL_KEEP_SIZE = 0x01;
    public const int FALLOC_FL_PUNCH_HOLE = 0x02;
    public const int FALLOC_FL_COLLAPSE_RANGE = 0x08;
    public const int FALLOC_FL_ZERO_RANGE = 0x10;
    public const int FALLOC_FL_INSERT_RANGE = 0x20;
    public const int FALLOC_FL_UNSHARE_RANGE = 0x40;

    public const int LOCK_SH = 1;
    public const int LOCK_EX = 2;
    public const int LOCK_NB = 4;
    public const int LOCK_UN = 8;

    public const int SEEK_SET = 0;
    public const int SEEK_CUR = 1;
    public const int SEEK_END = 2;
    public const int SEEK_DATA = 3;
    public const int SEEK_HOLE = 4;

    public const int F_DUPFD = 0;
    public const int F_GETFD = 1;
    public const int F_SETFD = 2;
    public const int F_GETFL = 3;
    public const int F_SETFL = 4;
    public const int F_DUPFD_CLOEXEC = 1030;
    public const int F_SETPIPE_SZ = 1031;
    public const int F_GETPIPE_SZ = 1032;
    public const int F_ADD_SEALS = 1033;
    public const int F_GET_SEALS = 1034;
    public const int F_OFD_SETLK = 37;
    public const short F_WRLCK = 1;
    public const short F_UNLCK = 2;
    public const int F_SEAL_SEAL = 1;
    public const int F_SEAL_SHRINK = 2;
    public const int F_SEAL_GROW = 4;
    public const int F_SEAL_WRITE = 8;
    public const int FD_CLOEXEC = 1;

    public const int POSIX_FADV_NORMAL = 0;
    public const int POSIX_FADV_RANDOM = 1;
    public const int POSIX_FADV_SEQUENTIAL = 2;
    public const int POSIX_FADV_WILLNEED = 3;
    public const int POSIX_FADV_DONTNEED = 4;

    public const int F_OK = 0;
    public const int X_OK = 1;
    public const int W_OK = 2;
    public const int R_OK = 4;

    public const uint MFD_CLOEXEC = 1;
    public const uint MFD_ALLOW_SEALING = 2;

    public const int EFD_CLOEXEC = 0x80000;
    public const int EFD_NONBLOCK = 0x800;
}

/// <summary>Mode bits and time marks of sys/stat.h, and the mask bits of statx.</summary>
public static class StatMode
{
    public const uint S_IFMT = 0xF000;
    public const uint S_IFSOCK = 0xC000;
    public const uint S_IFLNK = 0xA000;
    public const uint S_IFREG = 0x8000;
    public const uint S_IFBLK = 0x6000;
    public const uint S_IFDIR = 0x4000;
    public const uint S_IFCHR = 0x2000;
    public const uint S_IFIFO = 0x1000;

    public const uint S_ISUID = 0x800;
    public const uint S_ISGID = 0x400;
    public const uint S_ISVTX = 0x200;

    public const uint S_IRWXU = 0x1C0;
    public const uint S_IRUSR = 0x100;
    public const uint S_IWUSR = 0x80;
    public const uint S_IXUSR = 0x40;
    public const uint S_IRWXG = 0x38;
    public const uint S_IRGRP = 0x20;
    public const uint S_IWGRP = 0x10;
    public const uint S_IXGRP = 0x8;
    public const uint S_IRWXO = 0x7;
    public const uint S_IROTH = 0x4;
    public const uint S_IWOTH = 0x2;
    public const uint S_IXOTH = 0x1;

    public const long UTIME_NOW = 0x3FFFFFFF;
    public const long UTIME_OMIT = 0x3FFFFFFE;

    public const uint STATX_TYPE = 0x1;
    public const uint STATX_MODE = 0x2;
    public const uint STATX_NLINK = 0x4;
    public const uint STATX_UID = 0x8;
    public const uint STATX_GID = 0x10;
    public const uint STATX_ATIME = 0x20;
    public const uint STATX_MTIME = 0x40;
    public const uint STATX_CTIME = 0x80;
    public const uint STATX_INO = 0x100;
    public const uint STATX_SIZE = 0x200;
    public const uint STATX_BLOCKS = 0x400;
    public const uint STATX_BASIC_STATS = 0x7FF;
    public const uint STATX_BTIME = 0x800;
    public const uint STATX_MNT_ID = 0x1000;
    public const uint STATX_DIOALIGN = 0x2000;
    public const ulong STATX_ATTR_COMPRESSED = 0x4;
    public const ulong STATX_ATTR_IMMUTABLE = 0x10;
    public const ulong STATX_ATTR_APPEND = 0x20;
    public const ulong STATX_ATTR_NODUMP = 0x40;
    public const ulong STATX_ATTR_MOUNT_ROOT = 0x2000;

    public static bool IsDirectory(uint mode) => (mode & S_IFMT) == S_IFDIR;

    public static bool IsRegular(uint mode) => (mode & S_IFMT) == S_IFREG;

    public static bool IsSymlink(uint mode) => (mode & S_IFMT) == S_IFLNK;
}

/// <summary>Values of d_type.</summary>
public static class DirentType
{
    public const byte DT_UNKNOWN = 0;
    public const byte DT_FIFO = 1;
    public const byte DT_CHR = 2;
    public const byte DT_DIR = 4;
    public const byte DT_BLK = 6;
    public const byte DT_REG = 8;
    public const byte DT_LNK = 10;
    public const byte DT_SOCK = 12;
    public const byte DT_WHT = 14;
}

/// <summary>Flags of setxattr and the size limits of linux/limits.h.</summary>
public static class Xattr
{
    public const int XATTR_CREATE = 1;
    public const int XATTR_REPLACE = 2;
    public const int XATTR_NAME_MAX = 255;
    public const int XATTR_SIZE_MAX = 65536;
    public const int XATTR_LIST_MAX = 65536;
}

/// <summary>Flags of mount and umount2.</summary>
public static class MountFlags
{
    public const ulong MS_RDONLY = 1;
    public const ulong MS_NOSUID = 2;
    public const ulong MS_NODEV = 4;
    public const ulong MS_NOEXEC = 8;
    public const ulong MS_SYNCHRONOUS = 16;
    public const ulong MS_REMOUNT = 32;
    public const ulong MS_MANDLOCK = 64;
    public const ulong MS_DIRSYNC = 128;
    public const ulong MS_NOATIME = 1024;
    public const ulong MS_NODIRATIME = 2048;
    public const ulong MS_BIND = 4096;
    public const ulong MS_MOVE = 8192;
    public const ulong MS_REC = 16384;
    public const ulong MS_SILENT = 32768;
    public const ulong MS_UNBINDABLE = 1 << 17;
    public const ulong MS_PRIVATE = 1 << 18;
    public const ulong MS_SLAVE = 1 << 19;
    public const ulong MS_SHARED = 1 << 20;
    public const ulong MS_RELATIME = 1 << 21;
    public const ulong MS_STRICTATIME = 1 << 24;
    public const ulong MS_LAZYTIME = 1 << 25;

    public const int MNT_FORCE = 1;
    public const int MNT_DETACH = 2;
    public const int MNT_EXPIRE = 4;
    public const int UMOUNT_NOFOLLOW = 8;
}

/// <summary>Values of statfs.f_type.</summary>
public static class FileSystemMagic
{
    public const long FUSE_SUPER_MAGIC = 0x65735546;
    public const long OVERLAYFS_SUPER_MAGIC = 0x794c7630;
    public const long TMPFS_MAGIC = 0x01021994;
    public const long EXT4_SUPER_MAGIC = 0xEF53;
    public const long XFS_SUPER_MAGIC = 0x58465342;
    public const long BTRFS_SUPER_MAGIC = 0x9123683E;
    public const long NFS_SUPER_MAGIC = 0x6969;
    public const long PROC_SUPER_MAGIC = 0x9fa0;
    public const long F2FS_SUPER_MAGIC = 0xF2F52010;
    public const long ECRYPTFS_SUPER_MAGIC = 0xF15F;
    public const long MSDOS_SUPER_MAGIC = 0x4D44;
    public const long EXFAT_SUPER_MAGIC = 0x2011BAB0;
}

/// <summary>Flags of fstatvfs' f_flag.</summary>
public static class StatvfsFlags
{
    public const ulong ST_RDONLY = 1;
    public const ulong ST_NOSUID = 2;
    public const ulong ST_NODEV = 4;
    public const ulong ST_NOEXEC = 8;
    public const ulong ST_SYNCHRONOUS = 16;
    public const ulong ST_NOATIME = 1024;
    public const ulong ST_NODIRATIME = 2048;
    public const ulong ST_RELATIME = 4096;
}

/// <summary>Request numbers of ioctl, and the inode flags that FS_IOC_GETFLAGS speaks in.</summary>
public static class Ioctls
{
    public const uint FICLONE = 0x40049409;
    public const uint FICLONERANGE = 0x4020940D;
    public const uint FS_IOC_GETFLAGS = 0x80086601;
    public const uint FS_IOC_SETFLAGS = 0x40086602;
    public const uint FS_IOC_GETVERSION = 0x80087601;
    public const uint FS_IOC_FSGETXATTR = 0x801C581F;
    public const uint FS_IOC_FSSETXATTR = 0x401C5820;
    public const uint FIONREAD = 0x541B;

    public const uint FS_SYNC_FL = 0x8;
    public const uint FS_IMMUTABLE_FL = 0x10;
    public const uint FS_APPEND_FL = 0x20;
    public const uint FS_NODUMP_FL = 0x40;
    public const uint FS_NOATIME_FL = 0x80;
    public const uint FS_XFLAG_IMMUTABLE = 0x8;
    public const uint FS_XFLAG_APPEND = 0x10;
}
