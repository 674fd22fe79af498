using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>
/// New names in the upper: objects made, staged objects put in place, hard links. What cannot be made complete in one system call is made
/// ready in the work directory and moved by one rename.
/// </summary>
/// <remarks>All members are called with the layer's gate held.</remarks>
public sealed unsafe class UpperCreation
{
    private const uint TypeMask = 0xF000;

    /// <summary>Names of a lower layer may lie where somebody writes to them: they are copied, and the copy is what is checked and used.</summary>
    private const string NoEntry = "a name that no directory may hold";

    private readonly DirectoryLayer _layer;
    private readonly DirectoryTable _table;
    private readonly FolderAccess _access;
    private readonly FdCache _fds;
    private readonly UpperWriter _writer;
    private readonly Orphans _orphans;

    internal UpperCreation(DirectoryLayer layer, UpperWriter writer)
    {
        _layer = layer;
        _table = layer.Table;
        _access = layer.Access;
        _fds = layer.Access.Cache;
        _writer = writer;
        _orphans = writer.Orphans;
    }

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

        bool inherits = _writer.InheritsAcl(directory);
        bool isStaged = whiteout || what.Opaque;
        error = isStaged
            ? CreateStaged(directory, at.Fd, name, in what, inherits, whiteout, out int fd, attributes)
            : NodeMaker.Make(at.Fd, name, in what, at.Fd, inherits, out fd, attributes);
        if (error == Errno.None && isStaged)
        {
            // The time of change is that of the mark and of the rename, which came after it was made.
            stat now;
            if (Antares.Interop.Attributes.Fstatat(at.Fd, name.Pointer, &now, Fcntl.AT_SYMLINK_NOFOLLOW) == Errno.None)
            {
                *attributes = now;
            }
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

        uint number = _writer.Work.Take();
        error = StageNode(directory, number, in what, at.Fd, _writer.InheritsAcl(directory), out int fd, attributes);
        _fds.Release(at);
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
    /// <returns>None; EIO: no name that a directory may hold; EEXIST, ENOSPC and others of the file system.</returns>
    public Errno Publish(uint number, int fd, uint directory, ByteName name, ulong stIno, FileType type, out uint node)
    {
        node = 0;
        byte* own = stackalloc byte[ByteName.MaxLength + 1];
        if (!name.TryCopy(own, out name))
        {
            return Failure.Note("upper", NoEntry, Errno.EIO);
        }

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
                    _writer.Work.Fd, FolderAccess.WorkName(number, workName), at.Fd, name, Fcntl.RENAME_NOREPLACE, type == FileType.Directory, directory));
        }

        if (error == Errno.None)
        {
            UpperWriter.RestoreTimes(at.Fd, in parent);
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
    /// <returns>None; EEXIST; EIO: no name that a directory may hold; ENOENT, EMLINK, ENOSPC and others of the file system.</returns>
    public Errno Link(uint node, uint directory, ByteName name, bool keepTimes)
    {
        byte* own = stackalloc byte[ByteName.MaxLength + 1];
        if (!name.TryCopy(own, out name))
        {
            return Failure.Note("upper", NoEntry, Errno.EIO);
        }

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

        error = _layer.OwnMarks.RequireContent(node);
        if (error != Errno.None)
        {
            return error;
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
                ByteName link = FolderAccess.WorkName(_writer.Work.Take(), targetWork);
                error = PathOps.Linkat(from.Fd, source.Pointer, _writer.Work.Fd, link.Pointer, 0);
                if (error == Errno.None)
                {
                    error = PathOps.Renameat2(_writer.Work.Fd, link.Pointer, at.Fd, name.Pointer, 0);
                    if (error != Errno.None)
                    {
                        _ = PathOps.Unlinkat(_writer.Work.Fd, link.Pointer, 0);
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
            UpperWriter.RestoreTimes(at.Fd, in parent);
        }

        _access.Release(at);
        _access.Release(from);
        if (error != Errno.None)
        {
            return Failure.Note("upper", "linkat", error);
        }

        if (record->Place == NodePlace.InWork)
        {
            _writer.Work.Remove(record->WorkName);
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

    private uint Adopt(FileType type, stat* attributes, int fd)
    {
        uint node = _table.NewNode(type);
        FolderNode* record = _table.Node(node);
        record->BackingIno = attributes->st_ino;
        record->StIno = _layer.Numbers.StInoOf(in *attributes);
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
        uint directory, int atFd, ByteName name, in NewNode what, bool inherits, bool whiteout, out int fd, stat* attributes)
    {
        uint number = _writer.Work.Take();
        Errno error = StageNode(directory, number, in what, atFd, inherits, out fd, attributes);
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
            FolderXattrs.ProcPath(_writer.Work.Fd, staged, path);
            bool widened = Widen(_writer.Work.Fd, staged, out uint mode, out _);
            error = Failure.Note("upper", "lsetxattr (opaque)", Xattrs.Lsetxattr(path, _layer.Marks.Opaque, &value, 1, 0));
            if (widened && error == Errno.None)
            {
                error = Failure.Note("work", "fchmodat", Antares.Interop.Attributes.Fchmodat(_writer.Work.Fd, staged.Pointer, mode, Fcntl.AT_SYMLINK_NOFOLLOW));
            }
        }

        if (error == Errno.None)
        {
            uint flags = whiteout ? (isDirectory ? Fcntl.RENAME_EXCHANGE : 0) : Fcntl.RENAME_NOREPLACE;
            error = Failure.Note("upper", "renameat2 (create)", MoveStaged(_writer.Work.Fd, staged, atFd, name, flags, isDirectory, directory));
        }

        if (error != Errno.None)
        {
            if (fd >= 0)
            {
                _ = Fd.Close(fd);
                fd = -1;
            }

            _ = _writer.Work.RemoveTree(number);
        }
        else if (isDirectory && whiteout)
        {
            _writer.Work.Remove(number);
        }

        return error;
    }

    // Makes an object in the work directory as if it were made in the directory itself: where the directory has a default ACL, inside
    // a temporary directory that has the same one, so that the file system does the inheriting.
    private Errno StageNode(
        uint directory, uint number, in NewNode what, int parentFd, bool inherits, out int fd, stat* attributes)
    {
        byte* workName = stackalloc byte[16];
        ByteName staged = FolderAccess.WorkName(number, workName);
        if (!inherits)
        {
            return NodeMaker.Make(_writer.Work.Fd, staged, in what, parentFd, false, out fd, attributes);
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
        uint holderNumber = _writer.Work.Take();
        ByteName holder = FolderAccess.WorkName(holderNumber, holderName);
        error = PathOps.Mkdirat(_writer.Work.Fd, holder.Pointer, 0x1C0);
        if (error != Errno.None)
        {
            return Failure.Note("work", "mkdirat", error);
        }

        error = FolderAccess.OpenBeneath(_writer.Work.Fd, holder, Fcntl.O_RDONLY | Fcntl.O_DIRECTORY, out int holderFd);
        if (error == Errno.None)
        {
            error = Xattrs.Fsetxattr(holderFd, aclName, acl, (nuint)length, 0);
            if (error == Errno.None)
            {
                error = NodeMaker.Make(holderFd, staged, in what, parentFd, true, out fd, attributes);
            }

            if (error == Errno.None)
            {
                error = MoveStaged(holderFd, staged, _writer.Work.Fd, staged, 0, (what.Mode & TypeMask) == 0x4000, 0);
            }

            _ = Fd.Close(holderFd);
        }

        if (error != Errno.None && fd >= 0)
        {
            _ = Fd.Close(fd);
            fd = -1;
        }

        _ = _writer.Work.RemoveTree(holderNumber);
        return Failure.Note("work", "create with default ACL", error);
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
            note = _access.Loans!.TakeNote(directory, name, inode, mode, mode | ModeLoans.All);
        }

        Errno error = PathOps.Renameat2(fromFd, staged.Pointer, toFd, name.Pointer, flags);
        if (widened)
        {
            Errno narrowed = error == Errno.None
                ? Antares.Interop.Attributes.Fchmodat(toFd, name.Pointer, mode, Fcntl.AT_SYMLINK_NOFOLLOW)
                : Antares.Interop.Attributes.Fchmodat(fromFd, staged.Pointer, mode, Fcntl.AT_SYMLINK_NOFOLLOW);
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
        return (mode & ModeLoans.All) != ModeLoans.All && ModeLoans.KeepsMode(in attributes)
            && Antares.Interop.Attributes.Fchmodat(directoryFd, staged.Pointer, mode | ModeLoans.All, Fcntl.AT_SYMLINK_NOFOLLOW) == Errno.None;
    }
}
