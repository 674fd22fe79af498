using Antares.Aot.Dicfuse.Image.Pack;

namespace Antares.Aot.Mounts;

/// <summary>Whether writes are made durable as they are made.</summary>
public enum Durability
{
    /// <summary>A copy-up is synced before it shows (the default of <c>mount</c>).</summary>
    Fsync,

    /// <summary>No sync; the work directory is marked until the unmount (the default of <c>run</c>).</summary>
    Volatile,
}

/// <summary>What a user asks of a mount, as the command line says it: nothing checked against the host yet.</summary>
public sealed record MountRequest
{
    /// <summary>The lower layers, top first; at least one.</summary>
    public required IReadOnlyList<SourceSpec> Lowers { get; init; }

    /// <summary>The mount point; null: one in a workspace.</summary>
    public string? MountPoint { get; init; }

    /// <summary>The folder that receives the writes; null: one in a workspace.</summary>
    public string? Upper { get; init; }

    /// <summary>The overlay's working folder; null: made beside the upper.</summary>
    public string? Work { get; init; }

    public bool ReadOnly { get; init; }

    /// <summary>Keep the workspace after the unmount.</summary>
    public bool Keep { get; init; }

    public Durability Durability { get; init; }

    public EngineWish Engine { get; init; }

    /// <summary>Let the kernel collect writes (FUSE engine; the kernel's overlay always does).</summary>
    public bool Writeback { get; init; }

    /// <summary>Take up an upper that a crashed volatile mount left behind.</summary>
    public bool Recover { get; init; }

    /// <summary>Folder for the workspace.</summary>
    public string WorkspaceRoot { get; init; } = "/tmp";

    /// <summary>Name that the CI system gives the job; null: none.</summary>
    public string? Job { get; init; }

    /// <summary>Let other users in; null: as root yes, otherwise no.</summary>
    public bool? AllowOther { get; init; }

    /// <summary>Marks of the upper as user.overlay.* instead of trusted.overlay.*; null: as the process may.</summary>
    public bool? UserXattrs { get; init; }

    /// <summary>The kernel engine has the kernel's EROFS read its image (<see cref="ErofsLower"/>); null: where that is to be had.</summary>
    public bool? Erofs { get; init; }

    /// <summary>Ask the kernel for quick wake-ups while requests are dense; null: unless the machine has many processors.</summary>
    public bool? QuickWakeUps { get; init; }

    /// <summary>Threads that serve requests.</summary>
    public int Threads { get; init; } = 2;

    /// <summary>Bound of cached open files; null: from the limit of open files.</summary>
    public int? FdCache { get; init; }

    /// <summary>INIT flags that the kernel's offer is cut down to; null: all.</summary>
    public ulong? InitMask { get; init; }

    /// <summary>First column of /proc/mounts; null: the lowest layer.</summary>
    public string? FsName { get; init; }

    /// <summary>How objects are shown and kept.</summary>
    public MountBehaviour Behaviour { get; init; } = new();

    /// <summary>Options of another overlay that need nothing here as long as the overlay is ours; kernel overlayfs would not keep what they ask for.</summary>
    public IReadOnlyList<string> KeptByFuse { get; init; } = [];

    /// <summary>For a source of the kind <see cref="SourceKind.Mega"/>.</summary>
    public MegaRequest Mega { get; init; } = new();

    /// <summary>Told how far the packing of a source is, where one must be packed; null: nobody.</summary>
    public Action<PackProgress>? Progress { get; init; }

    /// <summary>Options for the mount itself, as mount(8) spells them: noatime, nosuid, noexec …</summary>
    public IReadOnlyList<string> MountOptions { get; init; } = [];
}
