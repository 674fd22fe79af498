using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>Checks and locks an upper and its work folder before they are used, and opens the inner work directory.</summary>
internal static unsafe class UpperSetup
{
    /// <summary>What is told of folders that a live mount holds.</summary>
    public const string InUse = "the upper (or its work folder) is in use by another live mount; unmount that one first or choose another upper";

    /// <returns>See <see cref="DirectoryLayer.OpenUpper"/>.</returns>
    public static Errno Prepare(int upperFd, int workFd, UpperOptions options, out int innerFd, out stat root, out string? problem)
    {
        innerFd = -1;
        problem = null;
        stat upper = default;
        stat work = default;
        root = default;
        Errno error = Antares.Interop.Attributes.Fstat(upperFd, &upper);
        if (error == Errno.None)
        {
            error = Antares.Interop.Attributes.Fstat(workFd, &work);
        }

        if (error != Errno.None)
        {
            problem = $"the upper or work folder cannot be read ({error})";
            return error;
        }

        if (upper.st_dev != work.st_dev)
        {
            problem = "the work folder is on another file system than the upper; choose one beside the upper (--work)";
            return Errno.EXDEV;
        }

        root = upper;

        // Found out now rather than at the first write of the job.
        byte* here = Literal.Pointer("."u8);
        error = Antares.Interop.Attributes.Faccessat(upperFd, here, Fcntl.W_OK | Fcntl.X_OK, Fcntl.AT_EACCESS);
        if (error == Errno.EACCES && upper.st_uid == Process.Geteuid())
        {
            // The mode of the mount's root, which its owner may have made read-only: the right is lent for each change.
            error = Errno.None;
        }

        if (error == Errno.None)
        {
            error = Antares.Interop.Attributes.Faccessat(workFd, here, Fcntl.W_OK | Fcntl.X_OK, Fcntl.AT_EACCESS);
        }

        if (error != Errno.None)
        {
            problem = error == Errno.EROFS
                ? "the upper is on a read-only file system; choose a writable one, or mount with --read-only"
                : $"the upper or its work folder is not writable for this user ({error}); choose another or change its owner";
            return error;
        }

        // An flock on the folder itself: it goes with the process, however that ends, and says nothing to anyone else.
        error = Fd.Flock(upperFd, Fcntl.LOCK_EX | Fcntl.LOCK_NB);
        if (error == Errno.None)
        {
            error = Fd.Flock(workFd, Fcntl.LOCK_EX | Fcntl.LOCK_NB);
        }

        if (error == Errno.EAGAIN)
        {
            problem = InUse;
            return Errno.EBUSY;
        }

        if (error != Errno.None)
        {
            problem = $"the upper cannot be locked ({error})";
            return error;
        }

        error = KernelUse.Check(upperFd, workFd, options, out bool kernelEnded, out problem);
        if (error != Errno.None)
        {
            return error;
        }

        byte* name = Literal.Pointer("work"u8);
        error = PathOps.Mkdirat(workFd, name, 0x1C0);
        if (error is not (Errno.None or Errno.EEXIST))
        {
            problem = $"the work folder is not writable ({error})";
            return error;
        }

        error = OpenInner(workFd, out innerFd);
        if (error != Errno.None)
        {
            problem = $"the work directory cannot be opened ({error})";
            return error;
        }

        var directory = new WorkDirectory(innerFd, new OverlayMarks(options.UserXattrs));
        if (directory.HasVolatileMark())
        {
            // The kernel's overlay ended as it should, only without the process that would have taken its mark away: nothing is lost that reached the upper's file
            // system, and what did not get to the disk, syncfs tells.
            if (!options.Recover && !(kernelEnded && FileIo.Syncfs(upperFd) == Errno.None))
            {
                problem = "the upper was left by a volatile mount that did not end cleanly: some of its last writes may be lost; "
                    + "use a fresh upper, or --recover to accept it as it is";
                _ = Fd.Close(innerFd);
                innerFd = -1;
                return Errno.EINVAL;
            }

            error = directory.ClearVolatileMark();
        }

        if (error == Errno.None)
        {
            LoanRecovery.Run(innerFd, upperFd, options.Log);
            error = directory.Clean();
        }

        if (error == Errno.None && options.Volatile)
        {
            error = directory.SetVolatileMark();
        }

        if (error != Errno.None)
        {
            problem = $"the work directory cannot be cleaned ({error})";
            _ = Fd.Close(innerFd);
            innerFd = -1;
        }

        return error;
    }

    /// <summary>Opens the inner work directory.</summary>
    /// <returns>None; ENOENT: there is none; another errno of open.</returns>
    public static Errno OpenInner(int workFd, out int innerFd)
    {
        byte* name = Literal.Pointer("work"u8);
        Errno error = FolderAccess.OpenBeneath(workFd, new ByteName(name, 4), Fcntl.O_RDONLY | Fcntl.O_DIRECTORY, out innerFd);
        if (error == Errno.EACCES)
        {
            // Kernel overlayfs leaves it with mode 0.
            _ = Antares.Interop.Attributes.Fchmodat(workFd, name, 0x1C0, 0);
            error = FolderAccess.OpenBeneath(workFd, new ByteName(name, 4), Fcntl.O_RDONLY | Fcntl.O_DIRECTORY, out innerFd);
        }

        return error;
    }
}
