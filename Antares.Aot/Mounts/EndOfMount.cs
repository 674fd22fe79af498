using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>The end of a mount as something that can be polled beside signals and questions.</summary>
internal static unsafe class EndOfMount
{
    /// <summary>A descriptor for <see cref="TellBy"/>.</summary>
    /// <exception cref="MountProblem">Host: none to be had.</exception>
    public static OwnedFd NewEvent()
    {
        var error = Fd.Eventfd(0, Fcntl.EFD_CLOEXEC, out var fd);
        return error == Errno.None ? new OwnedFd(fd) : throw MountProblem.Host("cannot make an eventfd", error);
    }

    /// <summary>Makes an event readable when a wait is over.</summary>
    /// <param name="ended">From <see cref="NewEvent"/>.</param>
    /// <param name="wait">Returns at the end of the mount.</param>
    public static void TellBy(OwnedFd ended, Action wait)
    {
        new Thread(() =>
        {
            wait();
            ulong one = 1;
            _ = FileIo.Write(ended.Value, &one, sizeof(ulong), out _); // fails only when nobody waits any more
        })
        {
            IsBackground = true,
            Name = "end of mount",
        }.Start();
    }

    /// <summary>A descriptor that is readable when a file system is gone for good: unmounted, and its last user away.</summary>
    /// <param name="root">Its root, mounted somewhere or nowhere yet.</param>
    /// <exception cref="MountProblem">Host: the kernel gives no further watch.</exception>
    public static OwnedFd Watch(OwnedFd root)
    {
        var error = TryWatch(root, out var watch);
        return watch ?? throw MountProblem.Host("cannot watch for the end of the mount (inotify; see fs.inotify.max_user_instances and max_user_watches)", error);
    }

    /// <summary>As <see cref="Watch"/>.</summary>
    /// <param name="root">As there.</param>
    /// <param name="watch">Null: none.</param>
    /// <returns>EMFILE, ENOSPC: the user has as many as allowed.</returns>
    public static Errno TryWatch(OwnedFd root, out OwnedFd? watch)
    {
        watch = null;
        var error = Watches.Open(out var fd);
        if (error != Errno.None)
        {
            return error;
        }

        var path = stackalloc byte[ProcFd.Capacity];
        ProcFd.Write(path, root.Value);
        error = Watches.Add(fd, path, Watches.IN_DELETE_SELF | Watches.IN_ONLYDIR);
        if (error == Errno.None)
        {
            watch = new OwnedFd(fd);
        }
        else
        {
            _ = Fd.Close(fd); // only tried
        }

        return error;
    }

    /// <summary>Waits until a descriptor of the end is readable.</summary>
    /// <returns>False: not within that time.</returns>
    public static bool WaitFor(OwnedFd ended, int timeoutMs)
    {
        var wait = new pollfd { fd = ended.Value, events = Signals.POLLIN };
        return Signals.Poll(&wait, 1, timeoutMs, out var ready) == Errno.None && ready > 0;
    }
}
