using Antares.Aot.Fuse;

namespace Antares.Aot.Mounts;

/// <summary>What the state file knows of one mount. Also what <c>list --json</c> and <c>mount --json</c> show.</summary>
public sealed record MountRecord
{
    /// <summary>Id of the mount and of its workspace.</summary>
    public required string Id { get; init; }

    /// <summary>Name given by <c>--job</c>.</summary>
    public string? Job { get; init; }

    /// <summary>Process that serves the mount, and its start time (see <see cref="ProcessIdentity"/>).</summary>
    public required ProcessIdentity Process { get; init; }

    /// <summary>Engine that serves, as <c>--engine</c> spells it.</summary>
    public string Engine { get; init; } = "fuse";

    /// <summary>Path without links. Of a killed mount that made way for another one (<see cref="MountDirectory.FreeMountPoint"/>): a folder of its workspace.</summary>
    public required string MountPoint { get; init; }

    /// <summary>Tells the mount from others at the same path; null: not mounted yet.</summary>
    public DeviceNumber? Device { get; init; }

    /// <summary>The layers as SOURCE is written, top first, the last is SOURCE itself; paths without links.</summary>
    public required IReadOnlyList<string> Lowers { get; init; }

    /// <summary>Changelist that is shown; null: none.</summary>
    public string? Changelist { get; init; }

    /// <summary>Folder of the writes; null: read-only.</summary>
    public string? Upper { get; init; }

    public string? Work { get; init; }

    /// <summary>Folder to remove at the end; null: none was made.</summary>
    public string? Workspace { get; init; }

    /// <summary>The workspace stays after the unmount.</summary>
    public bool Keep { get; init; }

    /// <summary>Control socket.</summary>
    public required string Socket { get; init; }

    /// <summary>UTC, ISO 8601.</summary>
    public required string Created { get; init; }

    /// <summary>The mount is what is uppermost at its mount point, as this process sees it.</summary>
    public bool IsInPlace => Device is { } device && device.IsAt(MountPoint);
}
