namespace Antares.Aot.Layers;

/// <summary>An object to be made in an upper layer.</summary>
public unsafe struct NewNode
{
    /// <summary>Type and permission bits, the umask not yet taken off.</summary>
    public uint Mode;

    /// <summary>umask of the caller; does not apply where the directory has a default ACL.</summary>
    public uint Umask;

    /// <summary>Owner as stored in the layer.</summary>
    public uint Uid;

    /// <summary>Group as stored in the layer, unless the directory is set-group-id.</summary>
    public uint Gid;

    /// <summary>Device number of a device node.</summary>
    public ulong Rdev;

    /// <summary>Target of a symbolic link, NUL-terminated.</summary>
    public byte* Target;

    /// <summary>A directory that hides what lies below its name.</summary>
    public bool Opaque;
}
