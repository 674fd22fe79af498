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

    /// <summary>Unmounts one mount and waits for its process to clean up.</summary>
    /// <param name="mounts">The state.</param>
    /// <param name="mount">The mount.</param>
    /// <param name="lazy">Take it out of sight although it is in use.</param>
    /// <exception cref="MountProblem">Host: busy (with who), no permission, or the process does not end.</exception>
    public static UnmountOutcome Unmount(MountDirectory mounts, KnownMount mount, bool lazy)
    {
        var record = mount.Record;
        if (mount.IsStale)
        {
            return mounts.Clean(record) is { } problem ? throw MountProblem.Host(problem) : UnmountOutcome.Cleaned;
        }

        Check(record.MountPoint, record.IsInPlace ? Unmount(record.MountPoint, lazy) : AskToEnd(record));
        if (lazy)
        {
            return UnmountOutcome.Detached;
        }

        return WaitForEnd(record.Process)
            ? UnmountOutcome.Done
            : throw MountProblem.Host($"{record.MountPoint} is unmounted, but its process {record.Process.Pid} has not ended yet: another mount namespace (a container) still has the mount, or the workspace is still being removed");
    }

    /// <summary>Unmounts a mount of this program that the state does not know.</summary>
    /// <exception cref="MountProblem">Host: as above.</exception>
    public static void UnmountUnknown(string mountPoint, bool lazy) => Check(mountPoint, Unmount(mountPoint, lazy));

    /// <summary>Takes a mount out of sight whoever uses it.</summary>
    public static Errno Detach(string mountPoint) => Unmount(mountPoint, lazy: true);

    /// <summary>For a mount that is not to be seen here (detached, or in another mount namespace): its own process can unmount it.</summary>
    /// <exception cref="MountProblem">Host: the process is not to be seen either; its id may be another process's here.</exception>
    private static Errno AskToEnd(MountRecord record) =>
        record.Process.IsAlive()
            ? Process.Kill(record.Process.Pid, Signals.SIGTERM)
            : throw MountProblem.Host($"{record.MountPoint} is mounted and served in another container (or namespace): unmount it from there");

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

    private static void Check(string mountPoint, Errno error)
    {
        switch (error)
        {
            case Errno.None:
                return;
            case Errno.EBUSY:
                throw MountProblem.Host($"{mountPoint} is {BusyProcesses.Describe(mountPoint)}; end them, or take it out of sight with --lazy");
            case Errno.EPERM:
                throw MountProblem.Host($"no permission to unmount {mountPoint}: run as the user who mounted it");
            default:
                throw MountProblem.Host($"cannot unmount {mountPoint}", error);
        }
    }

    private static bool WaitForEnd(ProcessIdentity process)
    {
        var deadline = Environment.TickCount64 + PatienceMs;
        for (var pauseMs = 1; process.IsAlive(); pauseMs = Math.Min(pauseMs * 2, 50))
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
