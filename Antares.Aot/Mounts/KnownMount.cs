using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>Where a mount that is served is to be seen.</summary>
public enum MountPlace
{
    /// <summary>In this mount namespace, at its mount point or moved elsewhere.</summary>
    Here,

    /// <summary>In the mount namespace of its server, which is another one.</summary>
    Elsewhere,

    /// <summary>Nowhere: unmounted while in use, or about to end.</summary>
    Detached,

    /// <summary>Not here, and its server's mount namespace cannot be looked at.</summary>
    Unknown,
}

/// <summary>A recorded mount and whether its process still lives.</summary>
/// <param name="Record">From the state file.</param>
/// <param name="IsStale">The process is gone; what it left is to be cleaned up.</param>
public sealed record KnownMount(MountRecord Record, bool IsStale)
{
    /// <summary>The server's process as it is seen from here; 0: in another pid namespace, or gone.</summary>
    public int ServerPid { get; init; }

    /// <summary>It was named by its mount point, not by its id, job or workspace.</summary>
    public bool IsByPath { get; init; }

    /// <summary>One word for people and programs.</summary>
    public string State => IsStale ? "stale" : Record.Device is null ? "starting" : Place() == MountPlace.Detached ? "detached" : "mounted";

    /// <summary>Where the mount is, by the tables of this process and of the server.</summary>
    public MountPlace Place()
    {
        if (Record.Device is not { } device)
        {
            return IsServerHere() ? MountPlace.Here : MountPlace.Unknown;
        }

        if (MountTable.Read().Exists(entry => entry.Device == device))
        {
            return MountPlace.Here;
        }

        if (IsServerHere())
        {
            return MountPlace.Detached;
        }

        return ServerPid == 0 || MountTable.ReadOf(ServerPid) is not { Count: > 0 } theirs ? MountPlace.Unknown
            : theirs.Exists(entry => entry.Device == device) ? MountPlace.Elsewhere
            : MountPlace.Detached;
    }

    /// <summary>The server lives in this mount namespace.</summary>
    private bool IsServerHere() =>
        ServerPid != 0
        && HostPath.ReadLink("/proc/self/ns/mnt", out var ours) == Errno.None
        && HostPath.ReadLink($"/proc/{ServerPid}/ns/mnt", out var theirs) == Errno.None
        && ours == theirs;
}
