namespace Antares.Interop;

// Layouts of glibc on x64 (arm64 has another `stat`, of 128 bytes). Each one is compared with the C compiler's in the
// tests (native/abi-probe.c); a field is only believed because of that.

/// <summary>Seconds and nanoseconds (0–999,999,999, or UTIME_NOW / UTIME_OMIT where a call takes them).</summary>
public struct timespec
{
    public long tv_sec;
    public long tv_nsec;
}

/// <summary>The 64-bit stat of x64, 144 bytes.</summary>
public unsafe struct stat
{
    public ulong st_dev;
    public ulong st_ino;
    public ulong st_nlink;
    public uint st_mode;
    public uint st_uid;
    public uint st_gid;
    public int __pad0;
    public ulong st_rdev;
    public long st_size;
    public long st_blksize;

    /// <summary>In units of 512 bytes, whatever st_blksize says.</summary>
    public long st_blocks;
    public timespec st_atim;
    public timespec st_mtim;
    public timespec st_ctim;
    public fixed long __glibc_reserved[3];
}

/// <summary>Answer of statvfs; sizes in units of f_frsize.</summary>
public unsafe struct statvfs
{
    public ulong f_bsize;
    public ulong f_frsize;
    public ulong f_blocks;
    public ulong f_bfree;
    public ulong f_bavail;
    public ulong f_files;
    public ulong f_ffree;
    public ulong f_favail;
    public ulong f_fsid;
    public ulong f_flag;
    public ulong f_namemax;
    public fixed int __f_spare[6];
}

/// <summary>Answer of statfs; f_type tells the file system (<see cref="FileSystemMagic"/>).</summary>
public unsafe struct statfs
{
    public long f_type;
    public long f_bsize;
    public ulong f_blocks;
    public ulong f_bfree;
    public ulong f_bavail;
    public ulong f_files;
    public ulong f_ffree;
    public fixed int f_fsid[2];
    public long f_namelen;
    public long f_frsize;
    public long f_flags;
    public fixed long f_spare[4];
}

public struct statx_timestamp
{
    public long tv_sec;
    public uint tv_nsec;
    public int __reserved;
}

/// <summary>Answer of statx, 256 bytes.</summary>
public unsafe struct statx
{
    public uint stx_mask;
    public uint stx_blksize;
    public ulong stx_attributes;
    public uint stx_nlink;
    public uint stx_uid;
    public uint stx_gid;
    public ushort stx_mode;
    public ushort __spare0;
    public ulong stx_ino;
    public ulong stx_size;
    public ulong stx_blocks;
    public ulong stx_attributes_mask;
    public statx_timestamp stx_atime;
    public statx_timestamp stx_btime;
    public statx_timestamp stx_ctime;
    public statx_timestamp stx_mtime;
    public uint stx_rdev_major;
    public uint stx_rdev_minor;
    public uint stx_dev_major;
    public uint stx_dev_minor;
    public ulong stx_mnt_id;
    public uint stx_dio_mem_align;
    public uint stx_dio_offset_align;
    public fixed ulong __spare3[12];
}

/// <summary>Arguments of openat2; a bit that the kernel does not know is EINVAL, and mode must be 0 without O_CREAT or O_TMPFILE.</summary>
public struct open_how
{
    public ulong flags;
    public ulong mode;
    public ulong resolve;
}

public unsafe struct iovec
{
    public void* iov_base;
    public nuint iov_len;
}

public struct pollfd
{
    public int fd;
    public short events;
    public short revents;
}

/// <summary>Address of a unix socket; sun_path holds at most 107 bytes and a NUL.</summary>
public unsafe struct sockaddr_un
{
    public ushort sun_family;
    public fixed byte sun_path[108];
}

/// <summary>Who is at the other end of a unix socket (SO_PEERCRED), as of its connect.</summary>
public struct ucred
{
    public int pid;
    public uint uid;
    public uint gid;
}

/// <summary>
/// One record of getdents64: this header, whose last member is where the NUL-terminated name begins. The next record is
/// d_reclen bytes on. The struct's own size is not the record's.
/// </summary>
public unsafe struct dirent64
{
    public ulong d_ino;
    public long d_off;
    public ushort d_reclen;
    public byte d_type;
    public fixed byte d_name[256];
}

public struct rlimit
{
    public ulong rlim_cur;
    public ulong rlim_max;
}

/// <summary>Set of signals, one bit each; made by <see cref="Signals.SetOf"/>.</summary>
public unsafe struct sigset_t
{
    public fixed ulong __val[16];
}

/// <summary>One record read from a signalfd.</summary>
public unsafe struct signalfd_siginfo
{
    public uint ssi_signo;
    public int ssi_errno;
    public int ssi_code;
    public uint ssi_pid;
    public uint ssi_uid;
    public int ssi_fd;
    public uint ssi_tid;
    public uint ssi_band;
    public uint ssi_overrun;
    public uint ssi_trapno;
    public int ssi_status;
    public int ssi_int;
    public ulong ssi_ptr;
    public ulong ssi_utime;
    public ulong ssi_stime;
    public ulong ssi_addr;
    public ushort ssi_addr_lsb;
    public ushort __pad2;
    public int ssi_syscall;
    public ulong ssi_call_addr;
    public uint ssi_arch;
    public fixed byte __pad[28];
}

/// <summary>Of FS_IOC_FSGETXATTR and FS_IOC_FSSETXATTR, 28 bytes.</summary>
public unsafe struct fsxattr
{
    public uint fsx_xflags;
    public uint fsx_extsize;
    public uint fsx_nextents;
    public uint fsx_projid;
    public uint fsx_cowextsize;
    public fixed byte fsx_pad[8];
}

/// <summary>Opaque to us; made and destroyed by libc within one spawn.</summary>
internal unsafe struct posix_spawn_file_actions_t
{
    private fixed ulong _opaque[10];
}

/// <summary>Opaque to us; made and destroyed by libc within one spawn.</summary>
internal unsafe struct posix_spawnattr_t
{
    private fixed ulong _opaque[42];
}

internal struct __user_cap_header_struct
{
    public uint version;
    public int pid;
}

// Filled by the kernel only.
#pragma warning disable CS0649
internal struct __user_cap_data_struct
{
    public uint effective;
    public uint permitted;
    public uint inheritable;
}
#pragma warning restore CS0649
