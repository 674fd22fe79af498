using Antares.Interop;

namespace Antares.Aot.Overlay;

/// <summary>Which fields of a <see cref="SetattrRequest"/> are meant; the bits are those of FATTR_* in linux/fuse.h.</summary>
[Flags]
public enum SetattrFields : uint
{
    None = 0,
    Mode = 1 << 0,
    Uid = 1 << 1,
    Gid = 1 << 2,
    Size = 1 << 3,
    AccessTime = 1 << 4,
    ModifyTime = 1 << 5,
    AccessTimeNow = 1 << 7,
    ModifyTimeNow = 1 << 8,
    ChangeTime = 1 << 10,

    /// <summary>Clear set-user-id, and set-group-id where the group may execute (FATTR_KILL_SUIDGID).</summary>
    KillSuidGid = 1 << 11,
}

/// <summary>A request to change attributes (chmod, chown, truncate, utimensat).</summary>
public struct SetattrRequest
{
    public SetattrFields Fields;
    public uint Mode;

    /// <summary>Owner as seen in the mount.</summary>
    public uint Uid;

    /// <summary>Group as seen in the mount.</summary>
    public uint Gid;

    /// <summary>New size in bytes.</summary>
    public ulong Size;
    public timespec AccessTime;
    public timespec ModifyTime;
}
