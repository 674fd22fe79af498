using System.Text;
using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>
/// The mark on the root of an upper, and of its work folder, that the kernel's overlay has them: it outlives the process that made it, and with that
/// process its lock. Whoever finds the mark asks the kernel whether it still holds.
/// </summary>
/// <remarks>Used with both folders locked, so that the mark is not that of a mount whose process lives.</remarks>
internal static unsafe class KernelUse
{
    private const int MostBytes = 512;
    private const int PatienceMs = 500;
    private const int PauseMs = 10;

    /// <summary>Marks both folders. To be called when the overlay is made and nobody can use it yet: until then it ends with its maker.</summary>
    /// <param name="upperFd">The upper, opened for reading.</param>
    /// <param name="workFd">The work folder, likewise.</param>
    /// <param name="marks">Names of the overlay's attributes.</param>
    /// <param name="mount">Tells the mount to whoever finds the mark: <see cref="UpperOptions.UsersOf"/> gets it.</param>
    /// <returns>None; ENOSPC, EDQUOT, EROFS: it cannot be marked.</returns>
    public static Errno Mark(int upperFd, int workFd, OverlayMarks marks, string mount)
    {
        byte[] text = Encoding.UTF8.GetBytes($"{SmallFile.BootId()} {mount}");
        fixed (byte* value = text)
        {
            nuint length = (nuint)Math.Min(text.Length, MostBytes);
            Errno error = Xattrs.Fsetxattr(upperFd, marks.KernelUse, value, length, 0);
            error = error == Errno.None ? Xattrs.Fsetxattr(workFd, marks.KernelUse, value, length, 0) : error;
            if (error == Errno.None && !marks.IsUser)
            {
                // For those who cannot see trusted.*; on the upper's root it would show in the mount. Not every file system has such attributes.
                _ = Xattrs.Fsetxattr(workFd, new OverlayMarks(user: true).KernelUse, value, length, 0);
            }

            return error;
        }
    }

    /// <summary>Takes the marks away, once the overlay has ended.</summary>
    /// <returns>None, also when there were none.</returns>
    public static Errno Clear(int upperFd, int workFd, OverlayMarks marks)
    {
        Errno first = Absent(Xattrs.Fremovexattr(upperFd, marks.KernelUse));
        Errno second = Absent(Xattrs.Fremovexattr(workFd, marks.KernelUse));
        if (!marks.IsUser)
        {
            _ = Xattrs.Fremovexattr(workFd, new OverlayMarks(user: true).KernelUse); // may not be there; one that stays is asked about
        }

        return first == Errno.None ? second : first;
    }

    /// <summary>Refuses folders that an overlay of the kernel's still uses, and takes away the marks of one that does not.</summary>
    /// <param name="upperFd">The upper, opened for reading.</param>
    /// <param name="workFd">The work folder, likewise.</param>
    /// <param name="options">Whether what cannot be known is accepted, and who can tell of users.</param>
    /// <param name="problem">What is wrong, for the user.</param>
    /// <param name="endedSince">
    /// An overlay had the folders since the machine was started, and has ended, whatever became of the process that made it: all that was written is there.
    /// </param>
    /// <returns>None; EBUSY: in use, or for all that this process can find out.</returns>
    public static Errno Check(int upperFd, int workFd, UpperOptions options, out bool endedSince, out string? problem)
    {
        endedSince = false;
        problem = null;
        bool found = false;
        bool isWorkMarked = false;
        byte* value = stackalloc byte[MostBytes];
        foreach (int fd in (ReadOnlySpan<int>)[upperFd, workFd])
        {
            for (int form = 0; form < 2; form++)
            {
                var marks = new OverlayMarks(user: form == 1);
                Errno error = Xattrs.Fgetxattr(fd, marks.KernelUse, value, MostBytes, out int length);
                if (error is Errno.ENODATA or Errno.EOPNOTSUPP or Errno.EPERM or Errno.EACCES || (error is not (Errno.None or Errno.ERANGE) && marks.IsUser != options.UserXattrs))
                {
                    continue; // none; or of the form that this mount would not use, and none that this process could see
                }

                if (error is not (Errno.None or Errno.ERANGE))
                {
                    problem = $"whether the kernel's overlay still has the upper or its work folder cannot be read ({error})";
                    return error;
                }

                length = error == Errno.None ? length : 0; // not by us: too long
                error = Ask(fd);
                string mark = Encoding.UTF8.GetString(value, length);
                int space = mark.IndexOf(' ', StringComparison.Ordinal);
                string bootId = SmallFile.BootId();
                bool isOfThisStart = space > 0 && mark[..space] == bootId;
                bool isOfAnother = bootId.Length > 0 && space == bootId.Length && !isOfThisStart; // then the overlay is gone with that start
                if (error == Errno.EBUSY)
                {
                    string folder = fd == upperFd ? "the upper" : "the work folder";
                    problem = $"{folder} is still in use by the kernel's overlay of an earlier mount, which goes on without the process that made it: "
                        + ((isOfThisStart ? options.UsersOf?.Invoke(mark[(space + 1)..]) : null) ?? "unmount it, and end who uses it");
                    return error;
                }

                if (error != Errno.None && !isOfAnother && !options.Recover)
                {
                    problem = "the upper (or its work folder) was left by a mount of the kernel engine that did not end cleanly, and whether the kernel's overlay still writes to it cannot be found out here "
                        + $"(fsopen and what follows: {error}; it takes the right to mount, CAP_SYS_ADMIN): mount once as root; or, where that overlay is surely gone (unmounted, its users ended, or the machine started anew since), accept it with --recover";
                    return Errno.EBUSY;
                }

                endedSince = error == Errno.None && isOfThisStart && (endedSince || !found);
                found = true;
                isWorkMarked |= fd == workFd;
                _ = Xattrs.Fremovexattr(fd, marks.KernelUse); // without a right to: the next mount asks once more
            }
        }

        endedSince &= isWorkMarked;
        return Errno.None;
    }

    private static Errno Absent(Errno error) => error is Errno.ENODATA ? Errno.None : error;

    /// <summary>As <see cref="Probe"/>, with a moment for a mount that is about to end.</summary>
    /// <returns>None: no overlay has it; EBUSY: one has; others: it cannot be asked.</returns>
    public static Errno Ask(int fd)
    {
        Errno error = Probe(fd);
        for (long deadline = Environment.TickCount64 + PatienceMs; error == Errno.EBUSY && Environment.TickCount64 < deadline; error = Probe(fd))
        {
            Thread.Sleep(PauseMs);
        }

        return error;
    }

    /// <summary>
    /// Asks the kernel whether an overlay has a folder as its upper or its work folder, by an overlay that can never be made: its upper and its work
    /// folder are one. With index=on the kernel looks first whether the upper is in use (EBUSY), and then at the work folder (EINVAL).
    /// </summary>
    /// <returns>None: not in use; EBUSY: in use; EPERM and others: it cannot be asked.</returns>
    /// <remarks>
    /// EINVAL would also be the answer about a folder that the kernel takes for no upper at all: asked is only about folders that it did take once.
    /// One millisecond or two, and a line in the kernel's log: not for every mount.
    /// </remarks>
    private static Errno Probe(int fd)
    {
        Errno error = MountContexts.Open(Literal.Pointer("overlay"u8), out int context);
        if (error == Errno.ENODEV)
        {
            return Errno.None; // no overlay of this kernel's, so none that is in use
        }

        if (error != Errno.None)
        {
            return error;
        }

        using var owned = new OwnedFd(context);
        byte* path = stackalloc byte[ProcFd.Capacity];
        ProcFd.Write(path, fd);
        error = MountContexts.SetString(context, Literal.Pointer("index"u8), Literal.Pointer("on"u8));
        if (error == Errno.None)
        {
            error = MountContexts.SetString(context, Literal.Pointer("lowerdir"u8), path);
        }

        if (error == Errno.None)
        {
            error = MountContexts.SetString(context, Literal.Pointer("upperdir"u8), path);
        }

        if (error == Errno.None)
        {
            error = MountContexts.SetString(context, Literal.Pointer("workdir"u8), path);
        }

        if (error != Errno.None)
        {
            return error == Errno.EBUSY ? Errno.EIO : error; // an answer to nothing that was asked yet
        }

        error = MountContexts.Create(context);
        return error switch
        {
            Errno.EINVAL => Errno.None,
            Errno.None => Errno.EIO, // never
            _ => error,
        };
    }
}
