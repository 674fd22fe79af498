namespace Antares.Interop.Fuse3;

// What the kernel writes: bodies of requests, each after a fuse_in_header. Compared with linux/fuse.h by native/abi-probe.c;
// members newer than the header stand below with their Linux version.

public struct fuse_file_lock
{
    public ulong start;
    public ulong end;
    public uint type;
    public uint pid;
}

/// <summary>Begins every request; len counts it too. total_extlen (in 8-byte units) is what extensions add at the end.</summary>
public struct fuse_in_header
{
    public uint len;
    public uint opcode;
    public ulong unique;
    public ulong nodeid;
    public uint uid;
    public uint gid;
    public uint pid;
    public ushort total_extlen;
    public ushort padding;
}

/// <summary>Of FUSE_INIT; flags2 holds bits 32–63 and counts only with FUSE_INIT_EXT in flags. A kernel before 5.17 sends the first 16 bytes.</summary>
public unsafe struct fuse_init_in
{
    public uint major;
    public uint minor;
    public uint max_readahead;
    public uint flags;
    public uint flags2;
    public fixed uint unused[11];
}

public struct fuse_forget_in
{
    public ulong nlookup;
}

public struct fuse_forget_one
{
    public ulong nodeid;
    public ulong nlookup;
}

public struct fuse_batch_forget_in
{
    public uint count;
    public uint dummy;
}

public struct fuse_getattr_in
{
    public uint getattr_flags;
    public uint dummy;
    public ulong fh;
}

public struct fuse_mknod_in
{
    public uint mode;
    public uint rdev;
    public uint umask;
    public uint padding;
}

public struct fuse_mkdir_in
{
    public uint mode;
    public uint umask;
}

public struct fuse_rename_in
{
    public ulong newdir;
}

public struct fuse_rename2_in
{
    public ulong newdir;
    public uint flags;
    public uint padding;
}

public struct fuse_link_in
{
    public ulong oldnodeid;
}

/// <summary>Of SETATTR; valid FATTR_*.</summary>
public struct fuse_setattr_in
{
    public uint valid;
    public uint padding;
    public ulong fh;
    public ulong size;
    public ulong lock_owner;
    public ulong atime;
    public ulong mtime;
    public ulong ctime;
    public uint atimensec;
    public uint mtimensec;
    public uint ctimensec;
    public uint mode;
    public uint unused4;
    public uint uid;
    public uint gid;
    public uint unused5;
}

public struct fuse_open_in
{
    public uint flags;
    public uint open_flags;
}

public struct fuse_create_in
{
    public uint flags;
    public uint mode;
    public uint umask;
    public uint open_flags;
}

public struct fuse_release_in
{
    public ulong fh;
    public uint flags;
    public uint release_flags;
    public ulong lock_owner;
}

public struct fuse_flush_in
{
    public ulong fh;
    public uint unused;
    public uint padding;
    public ulong lock_owner;
}

public struct fuse_read_in
{
    public ulong fh;
    public ulong offset;
    public uint size;
    public uint read_flags;
    public ulong lock_owner;
    public uint flags;
    public uint padding;
}

/// <summary>Of WRITE, before the data; write_flags FUSE_WRITE_*.</summary>
public struct fuse_write_in
{
    public ulong fh;
    public ulong offset;
    public uint size;
    public uint write_flags;
    public ulong lock_owner;
    public uint flags;
    public uint padding;
}

public struct fuse_fsync_in
{
    public ulong fh;
    public uint fsync_flags;
    public uint padding;
}

/// <summary>Of SETXATTR; only the first 8 bytes without FUSE_SETXATTR_EXT.</summary>
public struct fuse_setxattr_in
{
    public uint size;
    public uint flags;
    public uint setxattr_flags;
    public uint padding;
}

public struct fuse_getxattr_in
{
    public uint size;
    public uint padding;
}

public struct fuse_access_in
{
    public uint mask;
    public uint padding;
}

public struct fuse_lk_in
{
    public ulong fh;
    public ulong owner;
    public fuse_file_lock lk;
    public uint lk_flags;
    public uint padding;
}

public struct fuse_interrupt_in
{
    public ulong unique;
}

public struct fuse_ioctl_in
{
    public ulong fh;
    public uint flags;
    public uint cmd;
    public ulong arg;
    public uint in_size;
    public uint out_size;
}

public struct fuse_fallocate_in
{
    public ulong fh;
    public ulong offset;
    public ulong length;
    public uint mode;
    public uint padding;
}

public struct fuse_lseek_in
{
    public ulong fh;
    public ulong offset;
    public uint whence;
    public uint padding;
}

/// <summary>Of COPY_FILE_RANGE and COPY_FILE_RANGE_64.</summary>
public struct fuse_copy_file_range_in
{
    public ulong fh_in;
    public ulong off_in;
    public ulong nodeid_out;
    public ulong fh_out;
    public ulong off_out;
    public ulong len;
    public ulong flags;
}

public struct fuse_syncfs_in
{
    public ulong padding;
}

public struct fuse_secctx
{
    public uint size;
    public uint padding;
}

public struct fuse_secctx_header
{
    public uint size;
    public uint nr_secctx;
}

public struct fuse_ext_header
{
    public uint size;
    public uint type;
}

/// <summary>Of FUSE_STATX (Linux 6.6).</summary>
public struct fuse_statx_in
{
    public uint getattr_flags;
    public uint reserved;
    public ulong fh;
    public uint sx_flags;
    public uint sx_mask;
}

/// <summary>Extension FUSE_EXT_GROUPS with FUSE_CREATE_SUPP_GROUP (Linux 6.3), after its fuse_ext_header: this, then the groups.</summary>
public struct fuse_supp_groups
{
    public uint nr_groups;
}
