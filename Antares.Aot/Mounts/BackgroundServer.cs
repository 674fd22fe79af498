using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>The process behind <c>mount</c>: tells that it is ready, gives the caller its shell back and serves until the mount ends.</summary>
public static unsafe class BackgroundServer
{
    private const int UsersPatienceMs = 5_000;

    /// <summary>Serves a mount to its end, then disposes it.</summary>
    /// <param name="mount">Just started.</param>
    /// <param name="report">Who waits to hear that it is ready; null: nobody (then the text is not printed).</param>
    /// <param name="text">What the command prints when the root answers.</param>
    /// <param name="foreground">Stay with the terminal and the working folder.</param>
    /// <param name="log">The log.</param>
    /// <returns>True: the mount ended by an unmount; false: it was never wanted, or its users were cut off.</returns>
    public static bool Serve(ServedMount mount, ReadyReport? report, string text, bool foreground, Log log)
    {
        using var owned = mount;
        using var events = new MountEvents(mount, Signals.SIGTERM, Signals.SIGINT, Signals.SIGQUIT, Signals.SIGHUP, Signals.SIGCHLD);
        mount.Clock.Step("waiting for signals");
        var isWanted = report is null || (report.End(0, text) && report.IsAnswered());
        mount.Complete();
        if (!isWanted)
        {
            return MountEnd.TakeDown(mount, events, log, usersPatienceMs: 0) && false;
        }

        mount.Clock.Step("the root answered");
        if (!foreground)
        {
            LeaveTerminal(log);
        }

        while (true)
        {
            var next = events.Wait();
            switch (next.Kind)
            {
                case MountEventKind.Ended when mount.TakeAwayDead():
                    return false;
                case MountEventKind.Ended:
                    log.Info($"{mount.MountPoint} was unmounted");
                    return true;
                case MountEventKind.Detached:
                    log.Warn(MountEnd.DetachedText(mount.MountPoint));
                    break;
                case MountEventKind.Signal when next.Signal == Signals.SIGCHLD:
                    _ = Process.Waitpid(-1, out _, Process.WNOHANG); // the reporter of --foreground has printed and ended
                    break;
                case MountEventKind.Signal:
                    log.Info($"signal {next.Signal}: unmounting {mount.MountPoint}");
                    return MountEnd.TakeDown(mount, events, log, UsersPatienceMs);
                default:
                    break;
            }
        }
    }

    /// <summary>Lets go of what would hold up the caller: its pipes, and the file system of its working folder.</summary>
    private static void LeaveTerminal(Log log)
    {
        // Where there is no /dev/null (a chroot), a folder keeps the numbers taken: writing to it fails and harms nobody.
        if (HostPath.Open("/dev/null", Fcntl.O_RDWR, 0, out var silence) != Errno.None
            && HostPath.Open("/", Fcntl.O_RDONLY | Fcntl.O_DIRECTORY, 0, out silence) != Errno.None)
        {
            return;
        }

        using var owned = new OwnedFd(silence);
        for (var standard = 0; standard <= 2; standard++)
        {
            var error = Fd.Dup3(silence, standard, 0);
            if (error != Errno.None)
            {
                log.Warn($"cannot let go of descriptor {standard}: {ErrnoText.Of(error)}");
            }
        }

        fixed (byte* root = "/\0"u8)
        {
            _ = Process.Chdir(root); // if not, the working folder's file system stays busy, no more
        }
    }
}
