using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>
/// An upper that the kernel's overlay writes to: checked, locked and put in order as if it were to be used here, and cleaned up when the
/// kernel is done with it. So both engines keep the same rules, and either takes up what the other left.
/// </summary>
/// <remarks>The locks are on the open folders: they last as long as the caller's descriptors.</remarks>
public sealed class UpperClaim
{
    private readonly int _upperFd;
    private readonly int _workFd;
    private readonly UpperOptions _options;

    private UpperClaim(int upperFd, int workFd, UpperOptions options)
    {
        _upperFd = upperFd;
        _workFd = workFd;
        _options = options;
    }

    /// <summary>Takes an upper and its work folder, before the kernel gets them.</summary>
    /// <param name="upperFd">The upper folder, O_RDONLY|O_DIRECTORY; stays the caller's and must stay open.</param>
    /// <param name="workFd">The work folder, likewise.</param>
    /// <param name="options">How it is used.</param>
    /// <param name="claim">The claim, or null.</param>
    /// <param name="problem">What is wrong, for the user, when the result is not None.</param>
    /// <returns>As <see cref="DirectoryLayer.OpenUpper"/>.</returns>
    public static Errno Take(int upperFd, int workFd, UpperOptions options, out UpperClaim? claim, out string? problem)
    {
        claim = null;

        // The mark of a volatile mount is the kernel's to set: it refuses an upper that has it.
        Errno error = UpperSetup.Prepare(upperFd, workFd, options with { Volatile = false }, out int innerFd, out _, out problem);
        if (error != Errno.None)
        {
            return error;
        }

        using var inner = new OwnedFd(innerFd);
        if (LoanRecovery.LeftNotes(innerFd))
        {
            problem = "its work folder holds notes of modes lent by a plain user's mount that was killed, which the kernel's overlay would throw away; "
                + "let that user mount once, or give --engine fuse";
            return Errno.EOPNOTSUPP;
        }

        var work = new WorkDirectory(innerFd, new OverlayMarks(options.UserXattrs));
        error = work.TryMarks(out problem);
        if (error == Errno.None)
        {
            error = KernelUpper.Try(workFd, work, out problem);
        }

        if (error == Errno.None)
        {
            claim = new UpperClaim(upperFd, workFd, options);
        }

        return error;
    }

    /// <summary>Marks the folders as the kernel's, until <see cref="Release"/>: see <see cref="KernelUse.Mark"/>.</summary>
    public Errno Mark(string mount) => KernelUse.Mark(_upperFd, _workFd, new OverlayMarks(_options.UserXattrs), mount);

    /// <summary>Leaves the sign of marks under user.*, as <see cref="UpperWriter.SignUserMarks()"/> does.</summary>
    public void SignUserMarks() => UpperWriter.SignUserMarks(_upperFd, _options.UserXattrs);

    /// <summary>Asks the kernel whether its overlay still has the folders, or one of them; what cannot be asked counts as in use.</summary>
    public bool IsInUse() => KernelUse.Ask(_upperFd) != Errno.None || KernelUse.Ask(_workFd) != Errno.None;

    /// <summary>Cleans the work folder after the kernel's overlay has ended, and takes its marks away, that of a volatile mount once all is on the disk.</summary>
    /// <param name="sync">False: the upper is thrown away, and need not be on the disk.</param>
    /// <returns>None; another errno: a mark stays, and the next mount asks for --recover, or the kernel.</returns>
    public Errno Release(bool sync)
    {
        var marks = new OverlayMarks(_options.UserXattrs);
        Errno error = UpperSetup.OpenInner(_workFd, out int innerFd);
        if (error == Errno.None)
        {
            using var inner = new OwnedFd(innerFd);
            error = Clean(new WorkDirectory(innerFd, marks), sync);
        }

        Errno unmarked = KernelUse.Clear(_upperFd, _workFd, marks);
        return error is Errno.None or Errno.ENOENT ? unmarked : error;
    }

    private Errno Clean(WorkDirectory work, bool sync)
    {
        Errno error = work.Clean();
        if (error == Errno.None && _options.Volatile && sync)
        {
            error = FileIo.Syncfs(_upperFd);
        }

        return error == Errno.None ? work.ClearVolatileMark() : error;
    }
}
