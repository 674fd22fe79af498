using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>
/// Changes to the upper's names, each one system call that the file system makes atomic (a link or a rename), with what must be ready
/// before it made in the work directory. The in-memory table changes only after the file system has.
/// </summary>
/// <remarks>All members are called with the layer's gate held.</remarks>
public sealed unsafe class UpperWriter : IDisposable
{
    private const uint TypeMask = 0xF000;

    private readonly DirectoryLayer _layer;
    private readonly DirectoryTable _table;
    private readonly FolderAccess _access;
    private readonly FdCache _fds;
    private readonly Orphans _orphans;
    private int _outerWorkFd = -1;

    public UpperWriter(DirectoryLayer layer, WorkDirectory work, UpperOptions options)
    {
        _layer = layer;
        _table = layer.Table;
        _access = layer.Access;
        _fds = layer.Access.Cache;
        Work = work;
        Options = options;
        _orphans = new Orphans(layer, work);
    }

    public WorkDirectory Work { get; }

    public UpperOptions Options { get; }

    /// <summary>Objects without a name that are still in use.</summary>
    public Orphans Orphans => _orphans;

    /// <summary>True: the folder is thrown away after the mount, so closing it need not make it durable.</summary>
    public bool DiscardOnClose { get; set; }

    /// <summary>Makes an object under a name that is free or a whiteout.</summary>
    /// <param name="directory">Loaded directory of the upper.</param>
    /// <param name="name">Name in it.</param>
    /// <param name="what">What to make.</param>
    /// <param name="node">The new node; a regular file's descriptor is cached.</param>
    /// <param name="attributes">Its attributes as stored, st_ino as shown.</param>
    /// <returns>None; EEXIST; ENOSPC, EDQUOT, EROFS, EPERM (owner not allowed) and others of the file system.</returns>
    public Errno Create(uint directory, ByteName name, in NewNode what, out uint node, stat* attributes)
    {
        node = 0;
        Errno error = _layer.Load(directory);
        if (error != Errno.None)
        {
            return error;
        }

        uint dentry = _table.Find(directory, name);
        bool whiteout = dentry != 0 && _table.Name(dentry)->Node == DirectoryTable.WhiteoutNode;
        if (dentry != 0 && !whiteout)
        {
            return Errno.EEXIST;
        }

        error = _access.PinDirectory(directory, ModeLoans.Change, out DirectoryLease at);
        if (error != Errno.None)
        {
            return error;
        }

        stat parent;
        error = Failure.Note("upper", "fstat", Antares.Interop.Attributes.Fstat(at.Fd, &parent));
        int fd = -1;
        bool inherits = InheritsAcl(directory);
        if (error == Errno.None)
        {
            error = whiteout || what.Opaque
                ? CreateStaged(directory, at.Fd, name, in what, in parent, inherits, whiteout, out fd, attributes)
                : NodeMaker.Make(at.Fd, name, in what, in parent, inherits, out fd, attributes);
        }

        _access.Release(at);
        if (error != Errno.None)
        {
            return error;
        }

        node = Adopt(FileTypes.FromMode(what.Mode), attributes, fd);
        FolderNode* record = _table.Node(node);
        record->Flags |= FolderNodeFlags.MergeChecked;
        record->Flags |= what.Opaque ? FolderNodeFlags.Opaque : 0;
        record->Flags |= inherits ? 0 : FolderNodeFlags.Unadorned;
        if (whiteout)
        {
            _table.Repoint(dentry, node);
        }
        else
        {
            _ = _table.Add(directory, name, node);
        }

        attributes->st_ino = record->StIno;
        return Errno.None;
    }

    /// <summary>Makes a regular file without a name (O_TMPFILE): it lies in the work directory until it is linked or forgotten.</summary>
    public Errno CreateUnnamed(uint directory, in NewNode what, out uint node, stat* attributes)
    {
        node = 0;
        Errno error = _access.PinDirectory(directory, out FdLease at);
        if (error != Errno.None)
        {
            return error;
        }

        stat parent;
        error = Failure.Note("upper", "fstat", Antares.Interop.Attributes.Fstat(at.Fd, &parent));
        _fds.Release(at);
        if (error != Errno.None)
        {
            return error;
        }

        uint number = Work.Take();
        error = StageNode(directory, number, in what, in parent, InheritsAcl(directory), out int fd, attributes);
        if (error != Errno.None)
        {
            return error;
        }

        node = Adopt(FileType.Regular, attributes, fd);
        FolderNode* record = _table.Node(node);
        record->Place = NodePlace.InWork;
        record->WorkName = number;
        _orphans.CountInWork(1);
        attributes->st_ino = record->StIno;
        attributes->st_nlink = 0;
        return Errno.None;
    }

    /// <summary>Puts an object that lies ready in the work directory under a free name; the directory's times stay as they were.</summary>
    /// <param name="number">Its work name.</param>
    /// <param name="fd">Descriptor of a regular file, cached from now on, or -1.</param>
    /// <param name="directory">Loaded directory.</param>
    /// <param name="name">Free name.</param>
    /// <param name="stIno">st_ino to show: the one of the lower object.</param>
    /// <param name="type">Its type.</param>
    /// <param name="node">The new node.</param>
    public Errno Publish(uint number, int fd, uint directory, ByteName name, ulong stIno, FileType type, out uint node)
    {
        node = 0;
        Errno error = _layer.Load(directory);
        if (error != Errno.None)
        {
            return error;
        }

        error = _access.PinDirectory(directory, ModeLoans.Change, out DirectoryLease at);
        if (error != Errno.None)
        {
            return error;
        }

        byte* workName = stackalloc byte[16];
        stat parent;
        error = Failure.Note("upper", "fstat", Antares.Interop.Attributes.Fstat(at.Fd, &parent));
        if (error == Errno.None)
        {
            error = Failure.Note(
                "upper",
                "renameat2 (copy-up)",
                MoveStaged(
                    Work.Fd, FolderAccess.WorkName(number, workName), at.Fd, name, Fcntl.RENAME_NOREPLACE, type == FileType.Directory, directory));
        }

        if (error == Errno.None)
        {
            RestoreTimes(at.Fd, in parent);
        }

        _access.Release(at);
        if (error == Errno.None)
        {
            node = _table.NewNode(type);
            FolderNode* record = _table.Node(node);
            record->StIno = stIno;
            record->Flags = FolderNodeFlags.Identified | FolderNodeFlags.MarksKnown;
            if (type == FileType.Directory)
            {
                _table.BeginListing(node);
            }

            _ = _table.Add(directory, name, node);
            if (fd >= 0)
            {
                _fds.Release(_fds.Insert(&record->FdSlot, fd, true));
            }
        }

        return error;
    }

    /// <summary>Takes over an object in the work directory as one without a name (copy-up of an unlinked file).</summary>
    public uint AdoptUnnamed(uint number, int fd, ulong stIno, FileType type)
    {
        uint node = _table.NewNode(type);
        FolderNode* record = _table.Node(node);
        record->StIno = stIno;
        record->Flags = FolderNodeFlags.Identified | FolderNodeFlags.MarksKnown;
        record->Place = NodePlace.InWork;
        record->WorkName = number;
        _orphans.CountInWork(1);
        if (type == FileType.Directory)
        {
            _table.BeginListing(node);
        }

        if (fd >= 0)
        {
            _fds.Release(_fds.Insert(&record->FdSlot, fd, true));
        }

        return node;
    }

    /// <summary>Gives an object a further name, free or a whiteout. An object without a name in the work directory gets its first.</summary>
    /// <param name="node">Any object but a directory.</param>
    /// <param name="directory">Loaded directory.</param>
    /// <param name="name">The name.</param>
    /// <param name="keepTimes">True to leave the directory's times alone (a lower hard link that is being kept).</param>
    public Errno Link(uint node, uint directory, ByteName name, bool keepTimes)
    {
        Errno error = _layer.Load(directory);
        if (error != Errno.None)
        {
            return error;
        }

        uint dentry = _table.Find(directory, name);
        bool whiteout = dentry != 0 && _table.Name(dentry)->Node == DirectoryTable.WhiteoutNode;
        if (dentry != 0 && !whiteout)
        {
            return Errno.EEXIST;
        }

        FolderNode* record = _table.Node(node);
        if (record->Place == NodePlace.HeldByFd)
        {
            return Errno.ENOENT;
        }

        byte* sourceWork = stackalloc byte[16];
        byte* targetWork = stackalloc byte[16];
        error = _access.Locate(node, sourceWork, out DirectoryLease from, out ByteName source);
        if (error != Errno.None)
        {
            return error;
        }

        error = _access.PinDirectory(directory, ModeLoans.Change, out DirectoryLease at);
        if (error != Errno.None)
        {
            _access.Release(from);
            return error;
        }

        stat parent = default;
        error = keepTimes ? Antares.Interop.Attributes.Fstat(at.Fd, &parent) : Errno.None;
        if (error == Errno.None)
        {
            if (whiteout)
            {
                ByteName link = FolderAccess.WorkName(Work.Take(), targetWork);
                error = PathOps.Linkat(from.Fd, source.Pointer, Work.Fd, link.Pointer, 0);
                if (error == Errno.None)
                {
                    error = PathOps.Renameat2(Work.Fd, link.Pointer, at.Fd, name.Pointer, 0);
                    if (error != Errno.None)
                    {
                        _ = PathOps.Unlinkat(Work.Fd, link.Pointer, 0);
                    }
                }
            }
            else
            {
                error = PathOps.Linkat(from.Fd, source.Pointer, at.Fd, name.Pointer, 0);
            }
        }

        if (error == Errno.None && keepTimes)
        {
            RestoreTimes(at.Fd, in parent);
        }

        _access.Release(at);
        _access.Release(from);
        if (error != Errno.None)
        {
            return Failure.Note("upper", "linkat", error);
        }

        if (record->Place == NodePlace.InWork)
        {
            Work.Remove(record->WorkName);
            record->Place = NodePlace.Linked;
            _orphans.CountInWork(-1);
        }

        if (whiteout)
        {
            _table.Repoint(dentry, node);
        }
        else
        {
            _ = _table.Add(directory, name, node);
        }

        return Errno.None;
    }

    /// <summary>Hides a name that only layers below have.</summary>
    public Errno AddWhiteout(uint directory, ByteName name)
    {
        Errno error = _layer.Load(directory);
        if (error != Errno.None)
        {
            return error;
        }

        error = _access.PinDirectory(directory, ModeLoans.Change, out DirectoryLease at);
        if (error != Errno.None)
        {
            return error;
        }

        error = Work.PlaceWhiteout(at.Fd, name, replace: false);
        _access.Release(at);
        if (error == Errno.None)
        {
            _ = _table.Add(directory, name, DirectoryTable.WhiteoutNode);
        }

        return error;
    }

    /// <summary>Removes the name of a non-directory, leaving a whiteout where a layer below has the name.</summary>
    /// <param name="directory">Loaded directory.</param>
    /// <param name="name">A name of the upper, no whiteout.</param>
    /// <param name="whiteout">True to leave a whiteout.</param>
    /// <param name="keep">True when the object may still be in use and must live on without a name.</param>
    public Errno Unlink(uint directory, ByteName name, bool whiteout, bool keep)
    {
        uint dentry = _table.Find(directory, name);
        uint node = _table.Name(dentry)->Node;
        bool last = _table.Node(node)->Names == 1;
        Errno error = _access.PinDirectory(directory, ModeLoans.Change, out DirectoryLease at);
        if (error != Errno.None)
        {
            return error;
        }

        OrphanHold hold = default;
        if (keep && last)
        {
            error = _orphans.Hold(node, at.Fd, name, out hold);
        }

        if (error == Errno.None)
        {
            error = whiteout
                ? Work.PlaceWhiteout(at.Fd, name, replace: true)
                : Failure.Note("upper", "unlinkat", PathOps.Unlinkat(at.Fd, name.Pointer, 0));
            if (error != Errno.None)
            {
                _orphans.Cancel(node, hold);
            }
        }

        _access.Release(at);
        if (error != Errno.None)
        {
            return error;
        }

        if (whiteout)
        {
            _table.Repoint(dentry, DirectoryTable.WhiteoutNode);
        }
        else
        {
            _table.Remove(dentry);
        }

        if (last)
        {
            _orphans.LostLastName(node, hold);
        }

        return Errno.None;
    }

    /// <summary>Removes a directory whose merged view is empty (it may hold whiteouts), leaving a whiteout where one is needed.</summary>
    public Errno Rmdir(uint directory, ByteName name, bool whiteout, bool keep)
    {
        uint dentry = _table.Find(directory, name);
        uint node = _table.Name(dentry)->Node;
        Errno error = _layer.Load(node);
        if (error == Errno.None)
        {
            error = _access.PinDirectory(directory, ModeLoans.Change, out DirectoryLease at);
            if (error == Errno.None)
            {
                error = RemoveDirectory(at.Fd, name, node, whiteout, keep, out OrphanHold hold);
                _access.Release(at);
                if (error == Errno.None)
                {
                    ForgetWhiteouts(node);
                    if (whiteout)
                    {
                        _table.Repoint(dentry, DirectoryTable.WhiteoutNode);
                    }
                    else
                    {
                        _table.Remove(dentry);
                    }

                    _orphans.LostLastName(node, hold);
                }
            }
        }

        return error;
    }

    /// <summary>Removes the whiteouts of a directory whose merged view is empty, marking it opaque first so that nothing shows through.</summary>
    public Errno ClearWhiteouts(uint directory)
    {
        Errno error = _layer.Load(directory);
        if (error != Errno.None || _table.Listing(directory)->Live == 0)
        {
            return error;
        }

        error = SetOpaque(directory);
        if (error != Errno.None)
        {
            return error;
        }

        error = _access.PinDirectory(directory, ModeLoans.Change, out DirectoryLease at);
        ulong cookie = 0;
        while (error == Errno.None && _table.Next(directory, cookie, out uint dentry))
        {
            Dentry* entry = _table.Name(dentry);
            cookie = entry->Cookie;
            error = Failure.Note("upper", "unlinkat (whiteout)", PathOps.Unlinkat(at.Fd, entry->Name, 0));
            if (error == Errno.None)
            {
                _table.Remove(dentry);
            }
        }

        _access.Release(at);
        return error;
    }

    /// <summary>Marks a directory so that nothing below its name is merged in.</summary>
    public Errno SetOpaque(uint directory)
    {
        FolderNode* record = _table.Node(directory);
        if ((record->Flags & (FolderNodeFlags.MarksKnown | FolderNodeFlags.Opaque)) == (FolderNodeFlags.MarksKnown | FolderNodeFlags.Opaque))
        {
            return Errno.None;
        }

        byte value = (byte)'y';
        Errno error = Failure.Note("upper", "fsetxattr (opaque)", SetMark(directory, _layer.Marks.Opaque, &value, 1));
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
    public Errno Start(out string? problem)
    {
        problem = null;
        byte value = (byte)'n';
        Errno error = Xattrs.Fsetxattr(Work.Fd, _layer.Marks.Opaque, &value, 1, 0);
        if (error == Errno.None)
        {
            error = Xattrs.Fremovexattr(Work.Fd, _layer.Marks.Opaque);
        }

        if (error != Errno.None)
        {
            string prefix = _layer.Marks.IsUser ? "user" : "trusted";
            problem = $"the upper's file system does not take the extended attributes ({prefix}.overlay.*) that an overlay keeps there "
                + $"({error}); choose an upper on another file system";
        }

        return error;
    }

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

    private uint Adopt(FileType type, stat* attributes, int fd)
    {
        uint node = _table.NewNode(type);
        FolderNode* record = _table.Node(node);
        record->BackingIno = attributes->st_ino;
        record->StIno = _layer.StInoOf(in *attributes);
        record->Flags = FolderNodeFlags.Identified | FolderNodeFlags.MarksKnown;
        if (type == FileType.Directory)
        {
            _table.BeginListing(node);
        }

        if (fd >= 0)
        {
            _fds.Release(_fds.Insert(&record->FdSlot, fd, true));
        }

        return node;
    }

    private Errno CreateStaged(
        uint directory, int atFd, ByteName name, in NewNode what, in stat parent, bool inherits, bool whiteout, out int fd, stat* attributes)
    {
        uint number = Work.Take();
        Errno error = StageNode(directory, number, in what, in parent, inherits, out fd, attributes);
        if (error != Errno.None)
        {
            return error;
        }

        byte* workName = stackalloc byte[16];
        ByteName staged = FolderAccess.WorkName(number, workName);
        bool isDirectory = (what.Mode & TypeMask) == 0x4000;
        if (isDirectory && what.Opaque)
        {
            byte value = (byte)'y';
            byte* path = stackalloc byte[320];
            FolderXattrs.ProcPath(Work.Fd, staged, path);
            bool widened = Widen(Work.Fd, staged, out uint mode, out _);
            error = Failure.Note("upper", "lsetxattr (opaque)", Xattrs.Lsetxattr(path, _layer.Marks.Opaque, &value, 1, 0));
            if (widened && error == Errno.None)
            {
                error = Failure.Note("work", "fchmodat", Antares.Interop.Attributes.Fchmodat(Work.Fd, staged.Pointer, mode, 0));
            }
        }

        if (error == Errno.None)
        {
            uint flags = whiteout ? (isDirectory ? Fcntl.RENAME_EXCHANGE : 0) : Fcntl.RENAME_NOREPLACE;
            error = Failure.Note("upper", "renameat2 (create)", MoveStaged(Work.Fd, staged, atFd, name, flags, isDirectory, directory));
        }

        if (error != Errno.None)
        {
            if (fd >= 0)
            {
                _ = Fd.Close(fd);
                fd = -1;
            }

            _ = Work.RemoveTree(number);
        }
        else if (isDirectory && whiteout)
        {
            Work.Remove(number);
        }

        return error;
    }

    // Makes an object in the work directory as if it were made in the directory itself: where the directory has a default ACL, inside
    // a temporary directory that has the same one, so that the file system does the inheriting.
    private Errno StageNode(
        uint directory, uint number, in NewNode what, in stat parent, bool inherits, out int fd, stat* attributes)
    {
        byte* workName = stackalloc byte[16];
        ByteName staged = FolderAccess.WorkName(number, workName);
        if (!inherits)
        {
            return NodeMaker.Make(Work.Fd, staged, in what, in parent, false, out fd, attributes);
        }

        fd = -1;
        const int AclRoom = 4096;
        byte* acl = stackalloc byte[AclRoom];
        byte* aclName = Literal.Pointer("system.posix_acl_default"u8);
        Errno error = _layer.Xattrs.Get(directory, aclName, acl, AclRoom, out int length);
        if (error != Errno.None)
        {
            return Failure.Note("upper", "fgetxattr (default ACL)", error);
        }

        byte* holderName = stackalloc byte[16];
        uint holderNumber = Work.Take();
        ByteName holder = FolderAccess.WorkName(holderNumber, holderName);
        error = PathOps.Mkdirat(Work.Fd, holder.Pointer, 0x1C0);
        if (error != Errno.None)
        {
            return Failure.Note("work", "mkdirat", error);
        }

        error = FolderAccess.OpenBeneath(Work.Fd, holder, Fcntl.O_RDONLY | Fcntl.O_DIRECTORY, out int holderFd);
        if (error == Errno.None)
        {
            error = Xattrs.Fsetxattr(holderFd, aclName, acl, (nuint)length, 0);
            if (error == Errno.None)
            {
                error = NodeMaker.Make(holderFd, staged, in what, in parent, true, out fd, attributes);
            }

            if (error == Errno.None)
            {
                error = MoveStaged(holderFd, staged, Work.Fd, staged, 0, (what.Mode & TypeMask) == 0x4000, 0);
            }

            _ = Fd.Close(holderFd);
        }

        if (error != Errno.None && fd >= 0)
        {
            _ = Fd.Close(fd);
            fd = -1;
        }

        _ = Work.RemoveTree(holderNumber);
        return Failure.Note("work", "create with default ACL", error);
    }

    private Errno RemoveDirectory(int atFd, ByteName name, uint node, bool whiteout, bool keep, out OrphanHold hold)
    {
        hold = default;
        bool holdsWhiteouts = _table.Listing(node)->Live > 0;
        Errno error = keep ? _orphans.HoldDirectory(node, atFd, name, out hold) : Errno.None;
        if (error != Errno.None)
        {
            return error;
        }

        if (!whiteout && !holdsWhiteouts && !hold.InWork)
        {
            error = Failure.Note("upper", "unlinkat (directory)", PathOps.Unlinkat(atFd, name.Pointer, Fcntl.AT_REMOVEDIR));
        }
        else
        {
            byte* workName = stackalloc byte[16];
            uint number;
            _access.LendToMove(node, atFd, name, out DirectoryLease moved);
            if (whiteout)
            {
                error = Work.MakeWhiteout(out number);
                if (error == Errno.None)
                {
                    error = Work.MarkDirectory(atFd);
                    if (error == Errno.None)
                    {
                        error = PathOps.Renameat2(
                            Work.Fd, FolderAccess.WorkName(number, workName).Pointer, atFd, name.Pointer, Fcntl.RENAME_EXCHANGE);
                    }

                    if (error != Errno.None)
                    {
                        Work.Remove(number);
                    }
                }
            }
            else
            {
                number = Work.Take();
                error = PathOps.Renameat2(atFd, name.Pointer, Work.Fd, FolderAccess.WorkName(number, workName).Pointer, 0);
            }

            _access.Release(moved);
            error = Failure.Note("upper", "renameat2 (rmdir)", error);
            if (error == Errno.None)
            {
                if (hold.InWork)
                {
                    hold = new OrphanHold(-1, number, true);
                }
                else
                {
                    // What is left of it is whiteouts in the work directory; the next mount removes what stays.
                    _ = Work.RemoveTree(number);
                }
            }
        }

        if (error != Errno.None)
        {
            _orphans.Cancel(node, hold);
        }

        return error;
    }

    private void ForgetWhiteouts(uint directory)
    {
        ulong cookie = 0;
        while (_table.Next(directory, cookie, out uint dentry))
        {
            cookie = _table.Name(dentry)->Cookie;
            _table.Remove(dentry);
        }
    }

    // A directory that its owner may not write cannot get another parent: it has that right while it is moved. A crash in
    // between leaves it in work, where it is removed, or in place with a note of its mode.
    private Errno MoveStaged(int fromFd, ByteName staged, int toFd, ByteName name, uint flags, bool isDirectory, uint directory)
    {
        uint mode = 0;
        ulong inode = 0;
        uint note = 0;
        bool widened = isDirectory && Widen(fromFd, staged, out mode, out inode);
        if (widened && directory != 0)
        {
            note = _access.Loans!.TakeNote(directory, name, inode, mode);
        }

        Errno error = PathOps.Renameat2(fromFd, staged.Pointer, toFd, name.Pointer, flags);
        if (widened)
        {
            Errno narrowed = error == Errno.None
                ? Antares.Interop.Attributes.Fchmodat(toFd, name.Pointer, mode, 0)
                : Antares.Interop.Attributes.Fchmodat(fromFd, staged.Pointer, mode, 0);
            if (Failure.Note("upper", "fchmodat (mode lent)", narrowed) == Errno.None)
            {
                _access.Loans!.DropNote(note);
            }
        }

        return error;
    }

    // Gives the owner of a staged directory all rights; false when it has them, or modes do not bind this process.
    private bool Widen(int directoryFd, ByteName staged, out uint mode, out ulong inode)
    {
        mode = 0;
        inode = 0;
        stat attributes;
        if (_access.Loans == null
            || Antares.Interop.Attributes.Fstatat(directoryFd, staged.Pointer, &attributes, Fcntl.AT_SYMLINK_NOFOLLOW) != Errno.None)
        {
            return false;
        }

        mode = attributes.st_mode & 0xFFF;
        inode = attributes.st_ino;
        return (mode & 0x1C0) != 0x1C0
            && Antares.Interop.Attributes.Fchmodat(directoryFd, staged.Pointer, mode | 0x1C0, 0) == Errno.None;
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
