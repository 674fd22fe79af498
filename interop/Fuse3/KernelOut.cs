namespace Antares.Interop.Fuse3;

// What we write: bodies of replies and notifications, each after a fuse_out_header. Compared with linux/fuse.h by
// native/abi-probe.c; members newer than the header stand below with their Linux version.

/// <summary>Attributes as the kernel takes them; blocks in 512-byte units, rdev in the kernel's 32-bit form (minor 0–7, major 8–19, minor 20–31).</summary>
public struct fuse_attr
{
    public ulong ino;
    public ulong size;
    public ulong blocks;
    public ulong atime;
    public ulong mtime;
    public ulong ctime;
    public uint atimensec;
    public uint mtimensec;
    public uint ctimensec;
    public uint mode;
    public uint nlink;
    public uint uid;
    public uint gid;
    public uint rdev;
    public uint blksize;
    public uint flags;
}

public unsafe struct fuse_kstatfs
{
    public ulong blocks;
    public ulong bfree;
    public ulong bavail;
    public ulong files;
    public ulong ffree;
    public uint bsize;
    public uint namelen;
    public uint frsize;
    public uint padding;
    public fixed uint spare[6];
}

/// <summary>Begins every reply (unique as in the request, error 0 or a negative errno) and every notification (unique 0, error a positive fuse_notify_code).</summary>
public struct fuse_out_header
{
    public uint len;
    public int error;
    public ulong unique;
}

/// <summary>Reply to FUSE_INIT, 64 bytes. The last members are newer than the header of Linux 6.1, where their place is the unused tail.</summary>
public unsafe struct fuse_init_out
{
    public uint major;
    public uint minor;
    public uint max_readahead;
    public uint flags;
    public ushort max_background;
    public ushort congestion_threshold;
    public uint max_write;
    public uint time_gran;
    public ushort max_pages;
    public ushort map_alignment;
    public uint flags2;

    /// <summary>Depth of file systems that a backing file may have, 1 or 2 (0: no passthrough); Linux 6.9.</summary>
    public uint max_stack_depth;

    /// <summary>Seconds after which the kernel aborts the connection; Linux 6.14.</summary>
    public ushort request_timeout;
    public fixed ushort unused[11];
}

/// <summary>Reply to LOOKUP and all that make a name; nodeid 0: there is none, and that may be cached for entry_valid.</summary>
public struct fuse_entry_out
{
    public ulong nodeid;
    public ulong generation;
    public ulong entry_valid;
    public ulong attr_valid;
    public uint entry_valid_nsec;
    public uint attr_valid_nsec;
    public fuse_attr attr;
}

public struct fuse_attr_out
{
    public ulong attr_valid;
    public uint attr_valid_nsec;
    public uint dummy;
    public fuse_attr attr;
}

/// <summary>Reply to OPEN, OPENDIR; open_flags FOPEN_*; backing_id counts with FOPEN_PASSTHROUGH.</summary>
public struct fuse_open_out
{
    public ulong fh;
    public uint open_flags;
    public int backing_id;
}

/// <summary>Reply to WRITE and COPY_FILE_RANGE.</summary>
public struct fuse_write_out
{
    public uint size;
    public uint padding;
}

public struct fuse_statfs_out
{
    public fuse_kstatfs st;
}

public struct fuse_getxattr_out
{
    public uint size;
    public uint padding;
}

public struct fuse_lk_out
{
    public fuse_file_lock lk;
}

public struct fuse_ioctl_out
{
    public int result;
    public uint flags;
    public uint in_iovs;
    public uint out_iovs;
}

/// <summary>One record of a READDIR reply: this header of 24 bytes, the name without NUL, padding to 8 bytes.</summary>
public struct fuse_dirent
{
    public ulong ino;
    public ulong off;
    public uint namelen;
    public uint type;
}

/// <summary>One record of a READDIRPLUS reply.</summary>
public struct fuse_direntplus
{
    public fuse_entry_out entry_out;
    public fuse_dirent dirent;
}

public struct fuse_lseek_out
{
    public ulong offset;
}

/// <summary>off negative: attributes only; len 0 or negative: to the end.</summary>
public struct fuse_notify_inval_inode_out
{
    public ulong ino;
    public long off;
    public long len;
}

/// <summary>Followed by the name and a NUL (namelen without it); flags FUSE_EXPIRE_ONLY.</summary>
public struct fuse_notify_inval_entry_out
{
    public ulong parent;
    public uint namelen;
    public uint flags;
}

/// <summary>Followed by the name and a NUL (namelen without it).</summary>
public struct fuse_notify_delete_out
{
    public ulong parent;
    public ulong child;
    public uint namelen;
    public uint padding;
}

public struct fuse_notify_store_out
{
    public ulong nodeid;
    public ulong offset;
    public uint size;
    public uint padding;
}

public struct fuse_notify_retrieve_out
{
    public ulong notify_unique;
    public ulong nodeid;
    public ulong offset;
    public uint size;
    public uint padding;
}

/// <summary>A time inside <see cref="fuse_statx"/> (Linux 6.6).</summary>
public struct fuse_sx_time
{
    public long tv_sec;
    public uint tv_nsec;
    public int __reserved;
}

/// <summary>Attributes in the reply to FUSE_STATX (Linux 6.6), 256 bytes.</summary>
public unsafe struct fuse_statx
{
    public uint mask;
    public uint blksize;
    public ulong attributes;
    public uint nlink;
    public uint uid;
    public uint gid;
    public ushort mode;
    public ushort __spare0;
    public ulong ino;
    public ulong size;
    public ulong blocks;
    public ulong attributes_mask;
    public fuse_sx_time atime;
    public fuse_sx_time btime;
    public fuse_sx_time ctime;
    public fuse_sx_time mtime;
    public uint rdev_major;
    public uint rdev_minor;
    public uint dev_major;
    public uint dev_minor;
    public fixed ulong __spare2[14];
}

/// <summary>Reply to FUSE_STATX (Linux 6.6).</summary>
public unsafe struct fuse_statx_out
{
    public ulong attr_valid;
    public uint attr_valid_nsec;
    public uint flags;
    public fixed ulong spare[2];
    public fuse_statx stat;
}

/// <summary>Reply to FUSE_COPY_FILE_RANGE_64 (Linux 6.18).</summary>
public struct fuse_copy_file_range_out
{
    public ulong bytes_copied;
}

/// <summary>Of FUSE_NOTIFY_PRUNE (Linux 6.18), followed by count nodeids.</summary>
public struct fuse_notify_prune_out
{
    public uint count;
    public uint padding;
    public ulong spare;
}

/// <summary>Argument of FUSE_DEV_IOC_BACKING_OPEN (Linux 6.9).</summary>
public struct fuse_backing_map
{
    public int fd;
    public uint flags;
    public ulong padding;
}
