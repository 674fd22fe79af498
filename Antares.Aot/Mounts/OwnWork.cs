using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>
/// The work folder that a mount makes beside its upper and takes away at its end. The end of one mount and the begin of the next may meet:
/// it is removed by whoever holds its lock (flock(2)), and used by whoever holds the lock of a folder that still has its name.
/// </summary>
internal static unsafe class OwnWork
{
    private const int PauseMs = 5;

    // How long one who removes the folder may hold it; who uses it holds it for longer.
    private const int PatienceMs = 300;

    /// <summary>Opens the folder, made if need be, with its lock held.</summary>
    /// <param name="path">The folder.</param>
    /// <param name="isMade">True: it was not there.</param>
    /// <exception cref="MountProblem">Host: it cannot be made, is not this user's own, or a live mount uses it.</exception>
    public static int Open(string path, out bool isMade)
    {
        var deadline = Environment.TickCount64 + PatienceMs;
        while (true)
        {
            var error = HostPath.MakeFolder(path, Modes.Private);
            if (error is not (Errno.None or Errno.EEXIST))
            {
                throw MountProblem.Host($"cannot make a work folder beside the upper ({path}): {ErrnoText.Of(error)}; name one on the upper's file system with --work");
            }

            isMade = error == Errno.None;
            error = OpenOwn(path, mayBeOthers: !isMade, out var fd);
            if (error == Errno.ENOENT)
            {
                continue; // the mount before has just removed it
            }

            if (error != Errno.None)
            {
                throw MountProblem.Host(error is Errno.EPERM or Errno.ELOOP or Errno.ENOTDIR
                    ? $"work folder {path} is another user's, a link, or open to writing by others: it would be emptied; remove it, or name one with --work"
                    : $"work {path}: {ErrnoText.Of(error)}; name another one with --work");
            }

            error = Fd.Flock(fd, Fcntl.LOCK_EX | Fcntl.LOCK_NB);
            if (error != Errno.EAGAIN && HasName(path, fd))
            {
                return fd; // with other errors the opening of the upper ends, and tells them
            }

            _ = Fd.Close(fd); // somebody else's, or without a name
            if (error == Errno.EAGAIN)
            {
                if (Environment.TickCount64 >= deadline)
                {
                    throw MountProblem.Host($"work {path}: {UpperSetup.InUse}");
                }

                Thread.Sleep(PauseMs);
            }
        }
    }

    /// <summary>Removes the folder, unless another mount uses it already.</summary>
    /// <param name="path">The folder.</param>
    /// <param name="whatItHolds">False: not when the next mount must see what is in its work directory.</param>
    /// <returns>True: it is gone.</returns>
    public static bool Remove(string path, bool whatItHolds)
    {
        if (HostPath.Open(path, Fcntl.O_RDONLY | Fcntl.O_DIRECTORY | Fcntl.O_NOFOLLOW, 0, out var fd) != Errno.None)
        {
            return false;
        }

        using var folder = new OwnedFd(fd);
        return Fd.Flock(fd, Fcntl.LOCK_EX | Fcntl.LOCK_NB) == Errno.None
            && HasName(path, fd)
            && (whatItHolds || HoldsNothing($"{path}/work"))
            && TreeRemover.Remove(path) == Errno.None;
    }

    // By what has the name now: not every file system tells by the count of links that a folder was removed (overlayfs: 1, always, of a merged one).
    private static bool HasName(string path, int fd)
    {
        stat opened;
        return Attributes.Fstat(fd, &opened) != Errno.None
            || (HostPath.Stat(path, out var named, follow: false) == Errno.None && named.st_ino == opened.st_ino && named.st_dev == opened.st_dev);
    }

    private static bool HoldsNothing(string folder)
    {
        var error = HostPath.OpenFolder(folder, out var fd);
        if (error != Errno.None)
        {
            return error == Errno.ENOENT;
        }

        using var owned = new OwnedFd(fd);
        return HostPath.List(fd, 1, out var names) == Errno.None && names.Count == 0;
    }

    // A mount empties it: where others may write beside the upper, somebody could have put a link, or a folder of his own, in its place.
    // None; EPERM: it is not this user's own; others as openat(2).
    private static Errno OpenOwn(string path, bool mayBeOthers, out int fd)
    {
        const uint WritableByOthers = 0x12; // 0022
        var error = HostPath.Open(path, Fcntl.O_RDONLY | Fcntl.O_DIRECTORY | Fcntl.O_NOFOLLOW, 0, out fd);
        if (error != Errno.None || !mayBeOthers || HostPath.IsOwnAndClosed(fd, WritableByOthers))
        {
            return error;
        }

        _ = Fd.Close(fd); // only looked at
        fd = -1;
        return Errno.EPERM;
    }
}
