using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>A recorded mount and whether its process still lives.</summary>
/// <param name="Record">From the state file.</param>
/// <param name="IsStale">The process is gone; what it left is to be cleaned up.</param>
public sealed record KnownMount(MountRecord Record, bool IsStale)
{
    /// <summary>One word for people and programs.</summary>
    public string State => IsStale ? "stale" : Record.Device is null ? "starting" : "mounted";
}

/// <summary>The mounts of one state file: listing them, finding the one meant, cleaning up after dead ones.</summary>
public sealed class MountDirectory(StateFile state)
{
    /// <summary>All mounts in the order in which they were made.</summary>
    public List<KnownMount> All() => [.. state.Read().Select(record => new KnownMount(record, IsStale(record)))];

    /// <summary>What an argument names: a mount point, an id, a workspace (its folder or name), or a job, which may have several mounts.</summary>
    /// <returns>The mounts; none when nothing fits.</returns>
    public List<KnownMount> Find(string target)
    {
        var all = All();
        var id = Workspace.IdOf(target.TrimEnd('/')) ?? target;
        var found = all.FindAll(mount => mount.Record.Id == id || mount.Record.Job == target);
        if (found.Count == 0)
        {
            _ = HostPath.RealPath(target, out var real); // without links where it exists, else made absolute
            found = all.FindAll(mount => mount.Record.MountPoint == real || mount.Record.Workspace == real);

            // A mount that was detached while in use lives on under its old path: what is to be seen there now is meant.
            var seen = found.Count > 1 ? found.FindAll(mount => mount.Record.IsInPlace) : [];
            found = seen.Count > 0 ? seen : found;
        }

        return found;
    }

    /// <summary>The one mount that an argument names.</summary>
    /// <exception cref="MountProblem">Host: none; Usage: several.</exception>
    public KnownMount Single(string target)
    {
        var found = Find(target);
        return found.Count switch
        {
            1 => found[0],
            0 => throw MountProblem.Host($"'{target}' is no mount point, workspace or job of antares-aot; antares-aot list shows them"),
            _ => throw MountProblem.Usage($"job '{target}' has {found.Count} mounts: name one by its mount point ({string.Join(", ", found.Select(mount => mount.Record.MountPoint))})"),
        };
    }

    /// <summary>Cleans up after a mount whose process is gone: the dead mount, its workspace and its record.</summary>
    /// <returns>Null, or what could not be removed and why.</returns>
    public string? Clean(MountRecord record)
    {
        if (LeftItsMount(record) && Unmounter.Detach(record.MountPoint) is var error and not Errno.None)
        {
            return $"cannot unmount the dead mount at {record.MountPoint}: {ErrnoText.Of(error)}";
        }

        if (record is { Workspace: { } workspace, Keep: false })
        {
            error = Workspace.Remove(workspace);
            if (error != Errno.None)
            {
                return $"cannot remove the workspace {workspace}: {ErrnoText.Of(error)}";
            }
        }

        state.Remove(record.Id);
        return null;
    }

    /// <summary>Takes away dead mounts of this program that no record tells of: their process was killed in the moment of starting.</summary>
    /// <returns>Their mount points.</returns>
    public static List<string> CleanUnrecorded()
    {
        var cleaned = new List<string>();
        foreach (var mount in MountTable.Read().Where(mount => mount.IsOurs))
        {
            var isDead = mount.IsKernelEngine ? HasDeadLower(mount.MountPoint) : IsDead(mount.MountPoint);
            if (isDead && Unmounter.Detach(mount.MountPoint) == Errno.None)
            {
                cleaned.Add(mount.MountPoint);
            }
        }

        return cleaned;
    }

    /// <summary>Frees a mount point that a dead mount of ours still covers, so that the next mount can have it.</summary>
    /// <exception cref="MountProblem">Host: the dead mount is not ours, or cannot be removed.</exception>
    public void FreeMountPoint(string mountPoint)
    {
        if (!IsDead(mountPoint))
        {
            FreeOfKernelOverlay(mountPoint);
            return;
        }

        _ = HostPath.RealPath(mountPoint, out var real); // a dead mount still has its path
        if (MountTable.Find(real) is { IsOurs: false } other)
        {
            throw MountProblem.Host($"mount point {mountPoint} is a dead mount of another program ({other.Type}); umount {mountPoint} first");
        }

        foreach (var mount in All().Where(mount => mount.IsStale && mount.Record.MountPoint == real))
        {
            if (Clean(mount.Record) is { } problem)
            {
                throw MountProblem.Host(problem);
            }
        }

        if (IsDead(mountPoint) && Unmounter.Detach(real) is var error and not Errno.None)
        {
            throw MountProblem.Host($"mount point {mountPoint} is a dead mount and cannot be unmounted", error);
        }
    }

    /// <summary>
    /// A process that cannot be seen may live in another pid namespace (a container that shares the state folder). Its socket tells: a dead
    /// process listens no more. What is stale gets removed, so both must agree.
    /// </summary>
    private static bool IsStale(MountRecord record) => !record.Process.IsAlive() && !ControlClient.IsListening(record);

    /// <summary>
    /// True when the dead mount of a record is still there. Its device number alone does not tell: once it was unmounted, the next mount may
    /// have got the same number, and the same path.
    /// </summary>
    internal static bool LeftItsMount(MountRecord record) =>
        MountTable.Find(record.MountPoint) is { IsOurs: true } entry
        && (entry.IsKernelEngine
            ? entry.IsOf(record.Id)
            : (record.Device is null || record.Device == entry.Device) && IsDead(record.MountPoint));

    /// <summary>The kernel's overlay goes on without the process that made it; only its record tells that this is gone.</summary>
    /// <exception cref="MountProblem">Host: it cannot be cleaned up.</exception>
    private void FreeOfKernelOverlay(string mountPoint)
    {
        if (!MountTable.IsMountPoint(mountPoint))
        {
            return;
        }

        _ = HostPath.RealPath(mountPoint, out var real); // it is there
        if (MountTable.Find(real) is { IsKernelEngine: true } entry
            && All().Find(mount => mount.IsStale && entry.IsOf(mount.Record.Id)) is { } stale
            && Clean(stale.Record) is { } problem)
        {
            throw MountProblem.Host(problem);
        }
    }

    /// <summary>True for a mount of the kernel engine whose lower layer was served by a process that is gone: a name that nobody asked for before tells.</summary>
    private static bool HasDeadLower(string mountPoint) =>
        HostPath.Stat($"{mountPoint}/.antares-{Workspace.NewId()}", out _) is Errno.ENOTCONN or Errno.ECONNABORTED;

    /// <summary>
    /// True for the mount point of a mount whose process is gone. The size of the file system is asked for, which no kernel caches: attributes
    /// and listings may still be, and directories open without a request.
    /// </summary>
    private static unsafe bool IsDead(string mountPoint)
    {
        var error = HostPath.Open(mountPoint, Fcntl.O_PATH | Fcntl.O_DIRECTORY, 0, out var fd);
        if (error == Errno.None)
        {
            using var owned = new OwnedFd(fd);
            statfs any;
            error = Attributes.Fstatfs(fd, &any);
        }

        return error is Errno.ENOTCONN or Errno.ECONNABORTED; // the second: it died while it was asked
    }
}
