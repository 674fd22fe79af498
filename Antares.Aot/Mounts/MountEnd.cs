using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>How a mount is taken down by its own process: politely, then out of sight, and told as it was.</summary>
internal static class MountEnd
{
    private const int NormalPatienceMs = 5_000;

    /// <summary>Unmounts: normally; when in use, lazily.</summary>
    /// <param name="mount">The mount.</param>
    /// <param name="events">Where its end shows.</param>
    /// <param name="log">Told when it was not the normal way.</param>
    /// <param name="usersPatienceMs">How long users of a mount taken out of sight may go on before they are cut off.</param>
    /// <returns>True: the mount ended. False: it is out of sight but still in use; the end of this process cuts its users off.</returns>
    public static bool TakeDown(ServedMount mount, MountEvents events, Log log, int usersPatienceMs)
    {
        if (mount.HasEnded)
        {
            return true;
        }

        var error = mount.Unmount(lazy: false);
        if (error == Errno.None)
        {
            var hasEnded = WaitForEnd(events, NormalPatienceMs);
            if (!hasEnded)
            {
                log.Warn($"{mount.MountPoint} is unmounted here, but another mount namespace (a container) still has it: its users there {EndOfUsers(mount)}");
            }

            return hasEnded;
        }

        if (!mount.KeepsUpper && !mount.DiscardsUpper && error is not (Errno.EINVAL or Errno.ENOENT))
        {
            CollectedWrites.Fetch(mount, log);
        }

        var end = usersPatienceMs > 0 ? $"its users have {usersPatienceMs / 1000} s" : mount.KeepsUpper ? $"and its users {EndOfUsers(mount)}" : "and its users are cut off";
        if (error is Errno.EINVAL or Errno.ENOENT)
        {
            log.Warn($"{mount.MountPoint} is out of sight already (a lazy unmount, or moved), but still in use: {end}");
        }
        else if (!TakeOutOfSight(mount, error, log, end))
        {
            return false;
        }

        if (WaitForEnd(events, usersPatienceMs))
        {
            return true;
        }

        if (usersPatienceMs > 0)
        {
            log.Warn($"{mount.MountPoint} is still in use: its users {EndOfUsers(mount)}");
        }

        return false;
    }

    /// <summary>What becomes of users when this process ends.</summary>
    private static string EndOfUsers(ServedMount mount)
    {
        var users = mount.GoesOnAlone
            ? "go on in the kernel's overlay without antares-aot"
            : "are cut off now (\"Transport endpoint is not connected\")";
        return !mount.KeepsUpper ? users
            : mount.DiscardsUpper ? users + ", and the workspace with the upper is removed"
            : $"{users}, and the upper {mount.Record.Upper} is in use until the last of them ends";
    }

    /// <summary>What is logged when the mount goes on without being seen.</summary>
    public static string DetachedText(string mountPoint) =>
        $"{mountPoint} is not mounted here any more, but still in use (a lazy unmount, or another mount namespace such as a container's has it): it is served until its last user lets go; to end it now: kill {Process.Getpid()}";

    /// <summary>Why a mount that is out of sight has not ended, for who asks it to.</summary>
    /// <param name="record">The mount.</param>
    /// <param name="pid">The process that serves it, as seen from here.</param>
    public static string StillUsedText(MountRecord record, int pid) =>
        $"it is detached (a lazy unmount, or another mount namespace such as a container's has it) and still {BusyProcesses.Describe(record.MountPoint, record.Device)};"
        + $" it ends by itself with its last user; to end its server now, process {pid}: kill {pid}";

    private static bool TakeOutOfSight(ServedMount mount, Errno refusal, Log log, string end)
    {
        var users = BusyProcesses.Describe(mount.MountPoint, mount.Record.Device);
        log.Warn($"{mount.MountPoint} cannot be unmounted normally ({refusal}), it is {users}: it is taken out of sight (lazy unmount), {end}");
        var error = mount.Unmount(lazy: true);
        if (error != Errno.None)
        {
            log.Error($"{mount.MountPoint} cannot be unmounted: {ErrnoText.Of(error)}; when this process ends it will be a dead mount: umount -l {mount.MountPoint}");
        }

        return error == Errno.None;
    }

    /// <summary>Waits for the end; another signal to end makes it wait no longer.</summary>
    private static bool WaitForEnd(MountEvents events, int patienceMs)
    {
        var deadline = Environment.TickCount64 + patienceMs;
        while (true)
        {
            var next = events.Wait((int)Math.Max(0, deadline - Environment.TickCount64));
            switch (next.Kind)
            {
                case MountEventKind.Ended:
                    return true;
                case MountEventKind.Timeout:
                    return false;
                case MountEventKind.Signal when next.Signal is Signals.SIGTERM or Signals.SIGINT or Signals.SIGQUIT or Signals.SIGHUP:
                    return false;
                default:
                    break;
            }
        }
    }
}
