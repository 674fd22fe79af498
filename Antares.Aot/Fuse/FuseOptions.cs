namespace Antares.Aot.Fuse;

/// <summary>What a FUSE mount is to be like.</summary>
public sealed record FuseOptions
{
    /// <summary>An existing directory.</summary>
    public required string MountPoint { get; init; }

    /// <summary>First column of /proc/mounts; any text, escaped on the way.</summary>
    public required string FsName { get; init; }

    /// <summary>Let other users in (needs root, or user_allow_other in fuse.conf).</summary>
    public bool AllowOther { get; init; }

    /// <summary>MS_RDONLY: the kernel answers each write EROFS, already at open. Always so when the overlay has no upper.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Threads that wait for requests while these are long; while they are short it is one (<see cref="ReaderMode"/>).</summary>
    public int Threads { get; init; } = 2;

    /// <summary>Bound for the threads that are added while others are stuck in a long operation or at a source, those of <see cref="Threads"/> included.</summary>
    public int MaxThreads { get; init; } = 8;

    /// <summary>
    /// INIT flags that the mount may see of what the kernel offers; null: all. <see cref="InitFlags.Linux515"/> makes a 5.15 kernel of any
    /// newer one, for tests.
    /// </summary>
    public ulong? InitMask { get; init; }

    /// <summary>False: the kernel neither checks nor caches ACLs.</summary>
    public bool Acls { get; init; } = true;

    /// <summary>
    /// The kernel collects writes and hands them over when the file is closed, synced, or later (FUSE_WRITEBACK_CACHE). Size and times of
    /// regular files are then the kernel's while it keeps the node.
    /// </summary>
    public bool Writeback { get; init; }

    /// <summary>
    /// While requests are dense, ask the kernel for quick wake-ups (<see cref="WakeUps"/>; null: unless the machine has many processors), and look for the next
    /// request before sleeping (<see cref="ReaderMode"/>; null: yes).
    /// </summary>
    public bool? QuickWakeUps { get; init; }

    /// <summary>Further options as <c>mount -o</c> takes them, one each ("noexec", "nosuid"); they win over ours.</summary>
    public string[] ExtraMountOptions { get; init; } = [];

    /// <summary>Names what a request was about, for the list of failures; null: the overlay does.</summary>
    internal PathDescriber? DescribePath { get; init; }

    /// <summary>How long the kernel may keep names and attributes. Everything changes through us, so: for good. Shorter only to measure requests.</summary>
    internal double CacheSeconds { get; init; } = 1e9;
}
