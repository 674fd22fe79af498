using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>
/// Changes to the upper: the overlay's marks here, its names in <see cref="Creation"/>, <see cref="Removal"/> and <see cref="UpperRename"/>.
/// Each change of a name is one system call that the file system makes atomic (a link or a rename), with what must be ready before it
/// made in the work directory. The in-memory table changes only after the file system has.
/// </summary>
/// <remarks>All members are called with the layer's gate held, but those about clones.</remarks>
public sealed unsafe class UpperWriter : IDisposable
{
    private readonly DirectoryLayer _layer;
    private readonly DirectoryTable _table;
    private readonly FolderAccess _access;
    private readonly FdCache _fds;
    private readonly Orphans _orphans;
    private int _outerWorkFd = -1;
    private bool _hasNoClones;
    private ulong _noClonesFrom;

    public UpperWriter(DirectoryLayer layer, WorkDirectory work, UpperOptions options)
    {
        _layer = layer;
        _table = layer.Table;
        _access = layer.Access;
        _fds = layer.Access.Cache;
        Work = work;
        Options = options;
        _orphans = new Orphans(layer, work);
        Creation = new UpperCreation(layer, this);
        Removal = new UpperRemoval(layer, this);
        Conversion = new UpperConversion(layer, this);
    }

    public WorkDirectory Work { get; }

    public UpperOptions Options { get; }

    /// <summary>Of the upper's disk.</summary>
    public SyncWait SyncWait { get; } = new();

    /// <summary>False: the upper's file system has no reflinks, and is not asked for one for each file.</summary>
    public bool MayClone => !Volatile.Read(ref _hasNoClones);

    /// <summary>False: it has given none of a file on this device.</summary>
    /// <param name="device">st_dev of the source, which is never 0.</param>
    public bool MayCloneFrom(ulong device) => Volatile.Read(ref _noClonesFrom) != device;

    /// <summary>
    /// What FICLONE (ioctl_ficlone(2)) said of a file. Some answers are taken to hold for others: what is believed wrongly costs the time of a copy.
    /// </summary>
    /// <param name="device">st_dev of the source.</param>
    /// <param name="answer">
    /// EXDEV: another file system, or before Linux 5.18 another mount of this one; EOPNOTSUPP, ENOTTY: no reflinks on this one (the kernel looks for two file
    /// systems first); others are the file's own.
    /// </param>
    public void NoteClone(ulong device, Errno answer)
    {
        if (answer == Errno.EXDEV)
        {
            Volatile.Write(ref _noClonesFrom, device);
        }
        else if (answer is Errno.EOPNOTSUPP or Errno.ENOTTY)
        {
            Volatile.Write(ref _hasNoClones, true);
        }
    }

    /// <summary>Objects without a name that are still in use.</summary>
    public Orphans Orphans => _orphans;

    /// <summary>New names.</summary>
    public UpperCreation Creation { get; }

    /// <summary>Names taken away.</summary>
    public UpperRemoval Removal { get; }

    /// <summary>Marks of the other form, brought into the one that is written.</summary>
    public UpperConversion Conversion { get; }

    /// <summary>True: the folder is thrown away after the mount, so closing it need not make it durable.</summary>
    public bool DiscardOnClose { get; set; }

    /// <summary>
    /// Leaves a sign on the upper's root, where its marks are under <c>user.</c>, for those who keep to <c>trusted.</c>. When the mount is up: one that was never there
    /// has left no marks. Where this fails no mark can be made either, which is told then.
    /// </summary>
    public void SignUserMarks() => SignUserMarks(_access.RootFd, _layer.Marks.IsUser);

    internal static void SignUserMarks(int upperFd, bool areUserMarks)
    {
        if (areUserMarks)
        {
            byte yes = (byte)'y';
            _ = Xattrs.Fsetxattr(upperFd, OverlayMarks.UserMarksUsed, &yes, 1, 0);
        }
    }

    /// <summary>Marks a directory so that nothing below its name is merged in.</summary>
    public Errno SetOpaque(uint directory)
    {
        FolderNode* record = _table.Node(directory);
        if ((record->Flags & (FolderNodeFlags.MarksKnown | FolderNodeFlags.Opaque)) == (FolderNodeFlags.MarksKnown | FolderNodeFlags.Opaque))
        {
            return Errno.None;
        }

        return WriteOpaque(directory);
    }

    /// <summary>As <see cref="SetOpaque"/>, also where the directory is known to be opaque by another mark.</summary>
    public Errno WriteOpaque(uint directory)
    {
        FolderNode* record = _table.Node(directory);
        byte value;
        Errno error = Errno.None;
        if (_layer.Xattrs.Get(directory, _layer.Marks.Opaque, &value, 1, out int length) == Errno.None && length == 1 && value == (byte)'x')
        {
            error = Failure.Note("upper", "fsetxattr (whiteouts)", SetMark(directory, OverlayMarks.WhiteoutsLeft(_layer.Marks.IsUser), &value, 1));
        }

        value = (byte)'y';
        error = error == Errno.None ? Failure.Note("upper", "fsetxattr (opaque)", SetMark(directory, _layer.Marks.Opaque, &value, 1)) : error;
        if (error == Errno.None)
        {
            record->Flags |= FolderNodeFlags.Opaque;
        }

        return error;
    }

    /// <summary>Records where the lower part of a directory lies that is about to get another path.</summary>
    /// <param name="directory">A directory of the upper.</param>
    /// <param name="path">Absolute path from the root of the layers below.</param>
    /// <param name="length">Its length in bytes.</param>
    public Errno SetRedirect(uint directory, byte* path, int length)
    {
        Errno error = Failure.Note("upper", "fsetxattr (redirect)", SetMark(directory, _layer.Marks.Redirect, path, length));
        if (error == Errno.None)
        {
            _table.Node(directory)->Flags |= FolderNodeFlags.HasRedirect;
        }

        return error;
    }

    /// <summary>The st_ino that an object is marked to show, 0 when there is none.</summary>
    public ulong KeptStIno(uint node)
    {
        ulong kept;
        Errno error = _layer.Xattrs.Get(node, _layer.Marks.StIno, (byte*)&kept, sizeof(ulong), out int length);
        if (error == Errno.EACCES && LendFile(node, ModeLoans.Read, out DirectoryLease file))
        {
            error = _layer.Xattrs.Get(node, _layer.Marks.StIno, (byte*)&kept, sizeof(ulong), out length);
            _access.Release(file);
        }

        return error == Errno.None && length == sizeof(ulong) ? kept : 0;
    }

    /// <summary>Marks an object to show this st_ino in later mounts. Best effort: without it the object has another number then.</summary>
    public void KeepStIno(uint node, ulong stIno)
    {
        Errno error = _layer.Xattrs.Set(node, _layer.Marks.StIno, (byte*)&stIno, sizeof(ulong), 0);
        if (error == Errno.EACCES && LendFile(node, ModeLoans.Write, out DirectoryLease file))
        {
            _ = _layer.Xattrs.Set(node, _layer.Marks.StIno, (byte*)&stIno, sizeof(ulong), 0);
            _access.Release(file);
        }
    }

    /// <summary>True when children of the directory inherit a default ACL, so that the umask does not apply.</summary>
    public bool InheritsAcl(uint directory)
    {
        if (_layer.Load(directory) != Errno.None)
        {
            return false;
        }

        FolderListing* listing = _table.Listing(directory);
        if (listing->DefaultAcl == 0)
        {
            Errno error = _layer.Xattrs.Get(directory, Literal.Pointer("system.posix_acl_default"u8), null, 0, out int length);
            listing->DefaultAcl = (byte)(error == Errno.None && length > 0 ? 2 : 1);
        }

        return listing->DefaultAcl == 2;
    }

    /// <summary>To be called when the ACLs of a directory may have changed.</summary>
    public void AclChanged(uint directory)
    {
        if (_table.Node(directory)->Type == FileType.Directory && _table.IsLoaded(directory))
        {
            _table.Listing(directory)->DefaultAcl = 0;
        }
    }

    /// <summary>A name of an object without a name came up (hard link in a directory loaded later).</summary>
    public void Revive(uint node) => _orphans.Revive(node);

    /// <summary>Checks that the upper can carry the overlay's marks, so that the first rename or removal does not find out.</summary>
    /// <param name="problem">What is wrong, for the user.</param>
    /// <returns>None; EOPNOTSUPP: the file system keeps no such attributes; EPERM: this process may not set them.</returns>
    public Errno Start(out string? problem) => Work.TryMarks(out problem);

    internal void KeepOpen(int outerWorkFd) => _outerWorkFd = outerWorkFd;

    public void Dispose()
    {
        _orphans.Dispose();
        Errno cleaned = Work.Clean();
        if (Options.Volatile)
        {
            // The mark goes only when all that was written is safe; an upper that is thrown away need not be.
            bool safe = DiscardOnClose || FileIo.Syncfs(_access.RootFd) == Errno.None;
            if (safe && cleaned == Errno.None)
            {
                _ = Work.ClearVolatileMark();
            }
        }

        if (_outerWorkFd >= 0)
        {
            _ = Fd.Close(_outerWorkFd);
        }
    }

    internal static void RestoreTimes(int directoryFd, in stat before)
    {
        timespec* times = stackalloc timespec[2];
        times[0] = before.st_atim;
        times[1] = before.st_mtim;
        // Best effort: a directory of another owner may refuse, and a build then looks at a newer directory, no more.
        _ = Antares.Interop.Attributes.Utimensat(directoryFd, Literal.Pointer("."u8), times, 0);
    }

    private Errno SetMark(uint directory, byte* mark, byte* value, int length)
    {
        Errno error = _access.PinDirectory(directory, ModeLoans.Change, out DirectoryLease writable);
        if (error == Errno.None)
        {
            error = _layer.Xattrs.Set(directory, mark, value, (nuint)length, 0);
            _access.Release(writable);
        }

        return error;
    }

    // Rights of a regular file for a moment: its attributes ask for them even through an open descriptor.
    private bool LendFile(uint node, uint rights, out DirectoryLease file)
    {
        file = default;
        if (_access.Loans == null || _table.Node(node)->Type != FileType.Regular || _access.PinFile(node, false, out FdLease lease) != Errno.None)
        {
            return false;
        }

        _access.Loans.Lend(node, lease.Fd, rights, out ModeLoan loan);
        file = new DirectoryLease(lease, loan);
        return true;
    }
}
