using Antares.Aot.Fuse;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>What became of an unmount.</summary>
public enum UnmountOutcome
{
    /// <summary>Unmounted; the process has ended and the workspace is gone (or kept, as asked).</summary>
    Done,

    /// <summary>Out of sight; its process goes on until the last user lets go.</summary>
    Detached,

    /// <summary>The process was gone already; what it left was cleaned up.</summary>
    Cleaned,
}

/// <summary>Unmounts from outside of the process that serves.</summary>
public static unsafe class Unmounter
{
    private const int PatienceMs = 300_000;
    private const int EndingPatienceMs = 1_000;
    private const int SilentMs = 2_000;
    private const int KeptPatienceMs = 10_000;

    /// <summary>Unmounts one mount and waits for its process to clean up.</summary>
    /// <param name="mounts">The state.</param>
    /// <param name="mount">The mount.</param>
    /// <param name="lazy">Take it out of sight although it is in use.</param>
    /// <param name="tell">Hears what is waited for, when that takes long, and what goes on after it.</param>
    /// <exception cref="MountProblem">Host: busy (with who), no permission, or the process does not end.</exception>
    public static UnmountOutcome Unmount(MountDirectory mounts, KnownMount mount, bool lazy, Action<string>? tell = null)
    {
        var record = mount.Record;
        if (mount.IsStale)
        {
            return mounts.Clean(record, lazy) is { } problem ? throw MountProblem.Host(problem)
                : mounts.Knows(record.Id) ? UnmountOutcome.Detached
                : UnmountOutcome.Cleaned;
        }

        if (record.IsInPlace)
        {
            Check(record.MountPoint, record.Device, Unmount(record.MountPoint, lazy));
        }
        else if (!lazy && mount.Place() == MountPlace.Detached && WaitForEnd(record, EndingPatienceMs))
        {
            return UnmountOutcome.Done; // unmounted by somebody else a moment ago
        }
        else if (mount.IsByPath)
        {
            throw MountProblem.Host(NotHere(mount));
        }
        else
        {
            AskToEnd(mount, lazy);
        }

        if (lazy)
        {
            return UnmountOutcome.Detached;
        }

        return WaitForEnd(record, SilentMs) ? UnmountOutcome.Done : WaitForLate(mount, tell ?? (static _ => { }));
    }

    /// <summary>
    /// The mount is gone from here, its process is not. While another mount namespace keeps the mount that may take for ever, and nobody here can
    /// hasten it: it is left alone after a while.
    /// </summary>
    /// <exception cref="MountProblem">Host: nobody has it, and still its process does not end.</exception>
    private static UnmountOutcome WaitForLate(KnownMount mount, Action<string> tell)
    {
        var record = mount.Record;
        var server = mount.ServerPid != 0 ? mount.ServerPid : record.Process.Pid;
        if (record.Device is { } device && BusyProcesses.InOtherNamespaces(device) is { } keeper)
        {
            tell($"{record.MountPoint} is unmounted here, but {keeper} still has it: waiting up to {KeptPatienceMs / 1000} s for its end");
            if (WaitForEnd(record, KeptPatienceMs))
            {
                return UnmountOutcome.Done;
            }

            keeper = BusyProcesses.InOtherNamespaces(device);
            if (keeper is not null)
            {
                tell($"{record.MountPoint} is unmounted here, and served on for {keeper}: its process {server} ends, and its workspace and upper folder come free, when that one lets go{Ending(mount)}");
                return UnmountOutcome.Detached;
            }
        }

        tell($"{record.MountPoint} is unmounted; waiting for its process {server} to end: something still has a file of it open, or its workspace is being removed");
        return WaitForEnd(record, PatienceMs)
            ? UnmountOutcome.Done
            : throw MountProblem.Host($"{record.MountPoint} is unmounted, but its process {server} has not ended for {PatienceMs / 1000} s: a process that cannot be seen from here (another container's) still has the mount, or the workspace is still being removed; antares-aot list shows it until then{Ending(mount)}");
    }

    private static string Ending(KnownMount mount) => mount.ServerPid == 0 ? "" : $"; to end it now: kill {mount.ServerPid}";

    /// <summary>Unmounts a mount of this program that the state does not know.</summary>
    /// <exception cref="MountProblem">Host: as above.</exception>
    public static void UnmountUnknown(string mountPoint, bool lazy) =>
        Check(mountPoint, MountTable.Find(mountPoint)?.Device, Unmount(mountPoint, lazy));

    /// <summary>Takes away what a dead process left mounted: a FUSE mount that nobody serves whoever uses it, the kernel's overlay, in which work goes on, when it is not in use.</summary>
    /// <param name="mountPoint">Where.</param>
    /// <param name="lazy">The overlay too whoever uses it.</param>
    /// <returns>None; EBUSY: the overlay is in use; others of umount(2).</returns>
    public static Errno TakeLeft(string mountPoint, bool lazy) => Unmount(mountPoint, lazy || MountTable.Find(mountPoint) is not { IsKernelEngine: true });

    /// <summary>Takes a mount out of sight whoever uses it.</summary>
    public static Errno Detach(string mountPoint) => Unmount(mountPoint, lazy: true);

    /// <summary>
    /// For a mount that is not to be seen here (detached, or in another mount namespace): its own process can unmount it there. It is not torn
    /// away from its users; a signal to its process does that.
    /// </summary>
    /// <exception cref="MountProblem">Host: it is in use, with who uses it; or its process does not answer.</exception>
    private static void AskToEnd(KnownMount mount, bool lazy)
    {
        if (mount.Record.Device is null && mount.ServerPid != 0)
        {
            // Still starting: nobody uses it yet. The start time on record keeps a process apart that only has the same id.
            var error = (mount.Record.Process with { Pid = mount.ServerPid }).Signal(Signals.SIGTERM);
            if (error == Errno.ESRCH)
            {
                throw MountProblem.Host($"the process that was mounting {mount.Record.MountPoint} has ended; antares-aot list shows what is left, umount --stale cleans up after it");
            }

            Check(mount.Record.MountPoint, null, error);
            return;
        }

        _ = ControlClient.Ask(mount.Record, lazy ? ControlQuestion.Detach : ControlQuestion.Unmount);
    }

    /// <summary>Why a path that is recorded as a mount point is none here.</summary>
    private static string NotHere(KnownMount mount)
    {
        var path = mount.Record.MountPoint;
        return mount.Place() switch
        {
            MountPlace.Here => mount.Record.Device is null
                ? $"{path} is still being mounted by process {mount.ServerPid}; wait for it, or kill {mount.ServerPid}"
                : $"{path} was moved elsewhere: antares-aot umount {mount.Record.Id}",
            MountPlace.Detached => $"{path} is not mounted here: {MountEnd.StillUsedText(mount.Record, mount.ServerPid)}",
            MountPlace.Elsewhere => $"{path} is not mounted here, but in the mount namespace (container) of process {mount.ServerPid}:"
                + $" nsenter -t {mount.ServerPid} -m -- antares-aot umount {path}",
            _ => $"{path} is not mounted here, but served in another container (or namespace): unmount it from there",
        };
    }

    /// <summary>By the system call, or as a plain user by fusermount3.</summary>
    /// <returns>None; EBUSY: in use; EPERM: not the user who mounted; EINVAL: no mount point.</returns>
    private static Errno Unmount(string mountPoint, bool lazy)
    {
        fixed (byte* path = HostPath.Bytes(mountPoint))
        {
            var error = Mounting.Umount2(path, MountFlags.UMOUNT_NOFOLLOW | (lazy ? MountFlags.MNT_DETACH : 0));
            return error == Errno.EPERM ? Fusermount.Unmount(mountPoint, lazy) : error;
        }
    }

    private static void Check(string mountPoint, DeviceNumber? device, Errno error)
    {
        switch (error)
        {
            case Errno.None:
                return;
            case Errno.EBUSY:
                throw MountProblem.Host($"{mountPoint} is {BusyProcesses.Describe(mountPoint, device)}; end or unmount them, or take it out of sight with --lazy");
            case Errno.EPERM:
                throw MountProblem.Host($"no permission to unmount {mountPoint}: run as the user who mounted it");
            default:
                throw MountProblem.Host($"cannot unmount {mountPoint}", error);
        }
    }

    private static bool WaitForEnd(MountRecord record, int patienceMs)
    {
        var deadline = Environment.TickCount64 + patienceMs;
        for (var pauseMs = 1; !MountDirectory.Know(record).IsStale; pauseMs = Math.Min(pauseMs * 2, 50))
        {
            if (Environment.TickCount64 > deadline)
            {
                return false;
            }

            Thread.Sleep(pauseMs);
        }

        return true;
    }
}
