using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>The mounts of one state file: listing them, finding the one meant, cleaning up after dead ones.</summary>
public sealed class MountDirectory(StateFile state)
{
    /// <summary>All mounts in the order in which they were made.</summary>
    public List<KnownMount> All() => [.. state.Read().Select(Know)];

    /// <summary>What an argument names: a mount point, an id, a workspace (its folder or name), or a job, which may have several mounts.</summary>
    /// <returns>The mounts; none when nothing fits. A killed mount that was set aside is not meant by the name of another one, nor by the path of one that lives.</returns>
    /// <exception cref="MountProblem">Usage: it names a job and the mount point of another mount.</exception>
    public List<KnownMount> Find(string target)
    {
        var found = FindAlsoSetAside(target);
        return found.Exists(mount => !IsSetAside(mount)) ? found.FindAll(mount => !IsSetAside(mount)) : found;
    }

    // See SetAside.
    private static bool IsSetAside(KnownMount mount) =>
        mount is { IsStale: true, Record: { Device: null, Workspace: { } workspace } record } && record.MountPoint == workspace + Workspace.MountPointName;

    private List<KnownMount> FindAlsoSetAside(string target)
    {
        var all = All();
        var id = Workspace.IdOf(target.TrimEnd('/')) ?? target;
        var named = all.FindAll(mount => mount.Record.Id == id || mount.Record.Job == target);
        _ = HostPath.RealPath(target, out var real); // without links where it exists, else made absolute
        if (named.Count > 0)
        {
            return MountTable.Find(real) is { IsOurs: true } there && !named.Exists(mount => mount.Record.Device == there.Device)
                ? throw MountProblem.Usage(
                    $"'{target}' names {(named[0].Record.Job == target ? "a job" : "a mount")} ({string.Join(", ", named.Select(mount => mount.Record.MountPoint))})"
                    + $" and is also the mount point {real}: name the one that is meant by its path ({real}, {named[0].Record.MountPoint}) or by its id")
                : named;
        }

        var found = all.FindAll(mount => mount.Record.MountPoint == real || mount.Record.Workspace == real)
            .ConvertAll(mount => mount with { IsByPath = mount.Record.MountPoint == real });

        // A mount that was detached while in use lives on under its old path: what is to be seen there now is meant.
        // Of a dead one only the device is known, which the next mount may have got.
        var seen = found.FindAll(mount => mount.Record.IsInPlace);
        found = seen.Count > 0 ? seen : found;
        return found.Exists(mount => !mount.IsStale) ? found.FindAll(mount => !mount.IsStale) : found;
    }

    /// <summary>There is a record of it.</summary>
    public bool Knows(string id) => state.Read().Exists(record => record.Id == id);

    /// <summary>The one mount that an argument names.</summary>
    /// <exception cref="MountProblem">Host: none; Usage: several.</exception>
    public KnownMount Single(string target)
    {
        var found = Find(target);
        found = found.Count(mount => !mount.IsStale) == 1 ? found.FindAll(mount => !mount.IsStale) : found;
        return found.Count switch
        {
            1 => found[0],
            0 => throw MountProblem.Host($"'{target}' is no mount point, workspace or job of antares-aot; antares-aot list shows them"),
            _ => throw MountProblem.Usage($"job '{target}' has {found.Count} mounts: name one by its mount point ({string.Join(", ", found.Select(mount => mount.Record.MountPoint))})"),
        };
    }

    /// <summary>Cleans up after a mount whose process is gone: the dead mount, its workspace and its record.</summary>
    /// <param name="record">The mount.</param>
    /// <param name="lazy">
    /// Take an overlay of the kernel's, which goes on without its process, out of sight although it is in use: its workspace then stays, and its record.
    /// </param>
    /// <returns>Null, or what could not be removed and why.</returns>
    public string? Clean(MountRecord record, bool lazy = false)
    {
        if (TakeDead(record, lazy) is { } problem)
        {
            return problem;
        }

        if (record is { Workspace: { } workspace, Keep: false })
        {
            if (WhoUses(record, workspace) is { } use)
            {
                if (!lazy)
                {
                    return $"the workspace {workspace} stays: {use}; unmount that, or end who uses it, first";
                }

                SetAside(record);
                return null;
            }

            var error = Workspace.Remove(workspace);
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
    public List<string> CleanUnrecorded()
    {
        var cleaned = new List<string>();
        var served = All().FindAll(mount => !mount.IsStale);
        foreach (var mount in MountTable.Read().Where(mount => mount.IsOurs && !served.Exists(other => other.Record.Device == mount.Device)))
        {
            var answer = mount.IsKernelEngine ? MountProbe.AskLower(mount.MountPoint) : MountProbe.Ask(mount.MountPoint);
            if (answer == MountAnswer.Dead && Unmounter.Detach(mount.MountPoint) == Errno.None)
            {
                cleaned.Add(mount.MountPoint);
            }
        }

        return cleaned;
    }

    /// <summary>
    /// Waits a moment for mounts of an upper or work folder that were unmounted already and whose process is about to end: until it has, both
    /// are locked.
    /// </summary>
    /// <param name="upper">Path without links; null: none.</param>
    /// <param name="work">Likewise.</param>
    public void WaitForEnding(string? upper, string? work)
    {
        const int PatienceMs = 5_000;
        const int PauseMs = 5;
        var deadline = Environment.TickCount64 + PatienceMs;
        while (Environment.TickCount64 < deadline && All().Exists(IsEndingHolder))
        {
            Thread.Sleep(PauseMs);
        }

        bool IsEndingHolder(KnownMount mount) =>
            !mount.IsStale
            && mount.Record.Device is not null
            && ((upper is not null && mount.Record.Upper == upper) || (work is not null && mount.Record.Work == work))
            && mount.Place() == MountPlace.Detached;
    }

    /// <summary>
    /// Frees a mount point that a dead mount of ours still covers, so that the next mount can have it. A workspace in which something was written stays, as
    /// that of a stale mount of its own folder, also if the mount was unmounted by hand since.
    /// </summary>
    /// <param name="mountPoint">As the user gave it.</param>
    /// <param name="tell">Hears where writes stay.</param>
    /// <exception cref="MountProblem">Host: the dead mount is not ours, or cannot be removed, or does not answer.</exception>
    public void FreeMountPoint(string mountPoint, Action<string> tell)
    {
        _ = HostPath.RealPath(mountPoint, out var real); // a dead mount still has its path
        if (!MountTable.IsMountPoint(mountPoint))
        {
            // Unmounted by hand since, or by the end of a container: what it wrote must not go with the mount that comes.
            foreach (var record in state.Read().Where(record => record.MountPoint == real && Workspace.ThrownAwayWrites(record) is not null && Know(record).IsStale))
            {
                MakeWay(record, tell);
            }

            return;
        }

        var entry = MountTable.Find(real);
        if (entry is { IsKernelEngine: true })
        {
            FreeOfKernelOverlay(entry, tell);
            return;
        }

        var all = All();
        if (entry is not null && all.Exists(mount => !mount.IsStale && mount.Record.Device == entry.Device))
        {
            if (MountProbe.Ask(mountPoint) == MountAnswer.Silent)
            {
                throw MountProblem.Host($"mount point {mountPoint} is a mount of antares-aot already, whose server does not answer; antares-aot umount it first");
            }

            return; // served; that it is there is told when the mount point is looked at
        }

        var answer = MountProbe.Ask(mountPoint);
        if (answer == MountAnswer.Served)
        {
            return;
        }

        if (entry is { IsOurs: false } other)
        {
            throw MountProblem.Host($"mount point {mountPoint} is a dead mount of another program ({other.Type}); umount {mountPoint} first");
        }

        foreach (var mount in all.Where(mount => mount.IsStale && mount.Record.MountPoint == real))
        {
            MakeWay(mount.Record, tell);
        }

        if (!MountTable.IsMountPoint(mountPoint))
        {
            return;
        }

        answer = MountProbe.Ask(mountPoint);
        if (answer == MountAnswer.Silent)
        {
            throw MountProblem.Host($"mount point {mountPoint} is a mount that does not answer (its process is stopped, or stuck); umount -l {mountPoint} first, or choose another folder");
        }

        if (answer == MountAnswer.Dead && Unmounter.Detach(real) is var error and not Errno.None)
        {
            throw MountProblem.Host($"mount point {mountPoint} is a dead mount and cannot be unmounted", error);
        }
    }

    /// <summary>
    /// A process that cannot be seen may live in another pid namespace (a container that shares the state folder). Its socket tells: a dead
    /// process listens no more. What is stale gets removed, so both must agree.
    /// </summary>
    internal static KnownMount Know(MountRecord record)
    {
        if (record.Process.IsAlive())
        {
            return new KnownMount(record, IsStale: false) { ServerPid = record.Process.Pid };
        }

        // A child that the process left behind may still have the socket open. With the id on record it would be the process on record,
        // which is gone: another process has got that id since.
        var listener = ControlClient.Listener(record);
        var lives = listener is { } pid && (pid == 0 || (pid != record.Process.Pid && ProcessIdentity.IsAlive(pid)));
        return new KnownMount(record, !lives) { ServerPid = lives ? listener ?? 0 : 0 };
    }

    /// <summary>
    /// True when the dead mount of a record is still there. Its device number alone does not tell: once it was unmounted, the next mount may
    /// have got the same number, and the same path.
    /// </summary>
    internal static bool LeftItsMount(MountRecord record) =>
        MountTable.Find(record.MountPoint) is { IsOurs: true } entry
        && (entry.IsKernelEngine ? entry.IsOf(record.Id) : MayBeOf(entry, record) && MountProbe.Ask(record.MountPoint) == MountAnswer.Dead);

    private static bool MayBeOf(MountEntry entry, MountRecord record) => record.Device is null || record.Device == entry.Device;

    /// <summary>
    /// A mount whose process is gone, but not its connection, since another process has the device open: nobody will ever answer there, and who
    /// asks can't even be killed. It is cut off.
    /// </summary>
    /// <returns>Null, or why it could not be.</returns>
    private string? CutOffSilent(MountRecord record)
    {
        if (MountTable.Find(record.MountPoint) is not { IsOurs: true, IsKernelEngine: false } entry
            || record.Device != entry.Device
            || MountProbe.MayBeServed(entry.Device)
            || All().Exists(mount => !mount.IsStale && mount.Record.Device == entry.Device)
            || MountProbe.Ask(record.MountPoint) != MountAnswer.Silent)
        {
            return null;
        }

        var error = MountProbe.CutOff(entry.Device);
        return error == Errno.None
            ? null
            : $"the mount at {record.MountPoint} does not answer, though its process is gone, and its connection cannot be cut off ({ErrnoText.Of(error)}):"
                + $" as root, write 1 to /sys/fs/fuse/connections/{entry.Device.Minor}/abort, then try again";
    }

    /// <summary>Unmounts what a process that is gone has left.</summary>
    /// <returns>Null, or why it could not be.</returns>
    private string? TakeDead(MountRecord record, bool lazy)
    {
        if (CutOffSilent(record) is { } problem)
        {
            return problem;
        }

        if (LeftItsMount(record) && Unmounter.TakeLeft(record.MountPoint, lazy) is var error and not Errno.None
            && (error != Errno.EINVAL || LeftItsMount(record))) // gone meanwhile: its connection was cut off, or somebody else unmounted it
        {
            return error == Errno.EBUSY
                ? $"the mount at {record.MountPoint} goes on without its process, and is {BusyProcesses.Describe(record.MountPoint, record.Device)}; "
                    + $"end or unmount them, or take it out of sight: antares-aot umount --lazy {record.MountPoint}"
                : $"cannot unmount the dead mount at {record.MountPoint}: {ErrnoText.Of(error)}";
        }

        return null;
    }

    /// <summary>
    /// As <see cref="Clean"/>, for a mount that comes to the place. Whoever mounts again after a crash has not asked for the end of what was written: it
    /// stays, known as a stale mount of its own folder, until <c>umount --stale</c>.
    /// </summary>
    /// <exception cref="MountProblem">Host: it cannot be cleaned up.</exception>
    private void MakeWay(MountRecord record, Action<string> tell)
    {
        // The kernel's overlay can be written to until it is gone: only then the look into its upper counts.
        if ((TakeDead(record, lazy: false) ?? (Workspace.ThrownAwayWrites(record) is null ? Clean(record, lazy: true) : null)) is { } problem)
        {
            throw MountProblem.Host(problem);
        }

        if (Workspace.ThrownAwayWrites(record) is { } upper)
        {
            SetAside(record);
            tell($"the mount that was at {record.MountPoint} has lost its process; what was written there is in {upper} until antares-aot umount --stale removes it"
                + $" (to go on with it: --upper {upper} --work {record.Work})");
        }
        else if (Workspace.KeptText(record) is { } kept)
        {
            tell(kept);
        }
    }

    /// <summary>A stale mount makes its place free for others, and stays known.</summary>
    private void SetAside(MountRecord record) => state.Update(records =>
    {
        var at = records.FindIndex(other => other.Id == record.Id);
        if (at >= 0)
        {
            records[at] = record with { MountPoint = record.Workspace + Workspace.MountPointName, Device = null };
        }
    });

    // A process that was killed holds its locks until the last of its threads is gone.
    private static bool TryLock(int fd)
    {
        const int PatienceMs = 2_000;
        const int PauseMs = 5;
        var deadline = Environment.TickCount64 + PatienceMs;
        while (Fd.Flock(fd, Fcntl.LOCK_EX | Fcntl.LOCK_NB) == Errno.EAGAIN)
        {
            if (Environment.TickCount64 >= deadline)
            {
                return false;
            }

            Thread.Sleep(PauseMs);
        }

        return true;
    }

    /// <summary>Who has a killed mount's upper: another mount of ours that goes on with it, or the kernel's overlay, somewhere.</summary>
    /// <returns>A clause for the user; null: nobody that can be seen.</returns>
    private string? WhoUses(MountRecord record, string workspace)
    {
        if (All().Find(mount => !mount.IsStale && mount.Record.Id != record.Id
            && ((mount.Record.Upper is { } upper && HostPath.IsSameOrInside(upper, workspace)) || (mount.Record.Work is { } work && HostPath.IsSameOrInside(work, workspace)))) is { } user)
        {
            return $"the mount at {user.Record.MountPoint} has its upper or work folder there";
        }

        return WhoUses(record, record.Upper, workspace) ?? WhoUses(record, record.Work, workspace);
    }

    private static string? WhoUses(MountRecord record, string? folder, string workspace)
    {
        if (folder is null || !HostPath.IsSameOrInside(folder, workspace) || HostPath.OpenFolder(folder, out var fd) != Errno.None)
        {
            return null;
        }

        using var owned = new OwnedFd(fd);
        if (!TryLock(fd))
        {
            return $"another mount has {folder}";
        }

        // Another mount may have gone on with it, and the kernel's overlay needs no process.
        return KernelUse.Ask(fd) switch
        {
            Errno.None => null,
            Errno.EBUSY => $"an overlay of the kernel's that is still in use has {folder}",
            var error when record.Engine == "kernel" => $"the kernel does not tell whether its overlay still has {folder} ({ErrnoText.Of(error)})",
            _ => null,
        };
    }

    /// <summary>The kernel's overlay goes on without the process that made it; only its record tells that this is gone.</summary>
    /// <exception cref="MountProblem">Host: it cannot be cleaned up.</exception>
    private void FreeOfKernelOverlay(MountEntry entry, Action<string> tell)
    {
        if (All().Find(mount => mount.IsStale && entry.IsOf(mount.Record.Id)) is { } stale)
        {
            MakeWay(stale.Record, tell);
        }
    }
}
