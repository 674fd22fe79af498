namespace Antares.Interop.Fuse3;

// Structs of libfuse 3.14, in the layout that its headers have with FUSE_USE_VERSION 314.

/// <summary>A request; opaque, gone once it is answered.</summary>
public readonly struct fuse_req;

/// <summary>A session; opaque.</summary>
public readonly struct fuse_session;

/// <summary>Opaque.</summary>
public readonly struct fuse_pollhandle;

/// <summary>What a lookup found. ino 0 with an entry_timeout: a negative entry to be cached. Timeouts in seconds.</summary>
public struct fuse_entry_param
{
    public ulong ino;
    public ulong generation;
    public stat attr;
    public double attr_timeout;
    public double entry_timeout;
}

/// <summary>Who asks. pid is 0 for the kernel itself (mmap writeback), otherwise a thread's id.</summary>
public struct fuse_ctx
{
    public uint uid;
    public uint gid;
    public int pid;
    public uint umask;
}

/// <summary>
/// Of an open file. The C struct has a 32-bit word of bit fields; here it is <see cref="bits"/> with a mask for each:
/// writepage 0, direct_io 1, keep_cache 2, flush 3, nonseekable 4, flock_release 5, cache_readdir 6, noflush 7.
/// </summary>
public struct fuse_file_info
{
    public const uint Writepage = 1u << 0;
    public const uint DirectIo = 1u << 1;
    public const uint KeepCache = 1u << 2;
    public const uint Flush = 1u << 3;
    public const uint Nonseekable = 1u << 4;
    public const uint FlockRelease = 1u << 5;
    public const uint CacheReaddir = 1u << 6;
    public const uint Noflush = 1u << 7;

    public int flags;
    public uint bits;
    public uint padding2;
    public ulong fh;
    public ulong lock_owner;
    public uint poll_events;
}

/// <summary>One piece of data: memory, or with FUSE_BUF_IS_FD a descriptor (read at pos with FUSE_BUF_FD_SEEK).</summary>
public unsafe struct fuse_buf
{
    public nuint size;
    public uint flags;
    public void* mem;
    public int fd;
    public long pos;
}

/// <summary>Pieces of data; count is 1 in this form, more pieces follow in memory.</summary>
public struct fuse_bufvec
{
    public nuint count;
    public nuint idx;
    public nuint off;
    public fuse_buf buf;
}

/// <summary>Command line of fuse_session_new; argv[0] is the program. allocated 0: libfuse does not free it.</summary>
public unsafe struct fuse_args
{
    public int argc;
    public byte** argv;
    public int allocated;
}

/// <summary>What init may read and change; capable and want are FUSE_CAP_*.</summary>
public unsafe struct fuse_conn_info
{
    public uint proto_major;
    public uint proto_minor;
    public uint max_write;
    public uint max_read;
    public uint max_readahead;
    public uint capable;
    public uint want;
    public uint max_background;
    public uint congestion_threshold;
    public uint time_gran;
    public fixed uint reserved[22];
}

public struct fuse_forget_data
{
    public ulong ino;
    public ulong nlookup;
}

/// <summary>A POSIX lock (struct flock of fcntl.h).</summary>
public struct flock
{
    public short l_type;
    public short l_whence;
    public long l_start;
    public long l_len;
    public int l_pid;
}

/// <summary>Own reads and writes of a session (fuse_session_custom_io).</summary>
public unsafe struct fuse_custom_io
{
    // writev(fd, iov, count, userdata)
    public delegate* unmanaged[Cdecl]<int, iovec*, int, void*, nint> writev;

    // read(fd, buf, buf_len, userdata)
    public delegate* unmanaged[Cdecl]<int, void*, nuint, void*, nint> read;

    // splice_receive(fdin, offin, fdout, offout, len, flags, userdata)
    public delegate* unmanaged[Cdecl]<int, long*, int, long*, nuint, uint, void*, nint> splice_receive;

    // splice_send(fdin, offin, fdout, offout, len, flags, userdata)
    public delegate* unmanaged[Cdecl]<int, long*, int, long*, nuint, uint, void*, nint> splice_send;
}
