using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>
/// A layer that is a folder of the host: the writable upper, a changelist's files, or a plain lower folder. Its directories are
/// loaded when first touched; contents are read straight from the files.
/// </summary>
/// <remarks>
/// <see cref="Gate"/> protects everything here. The overlay holds the upper's gate as its own lock, so that an operation on the
/// merged tree and the upper is one step; a lower folder's gate is taken for the length of one call.
/// </remarks>
public sealed unsafe class DirectoryLayer : ILayer
{
    // st_ino of a folder layer: bit 60, the layer's number in bits 59..52, the file's own number below. Numbers that do not fit and
    // files on another device are hashed under bit 61. Dicfuse numbers lie below bit 60, so the three never meet.
    private const ulong FolderBit = 1UL << 60;
    private const ulong HashedBit = 1UL << 61;
    private const ulong NumberMask = (1UL << 52) - 1;

    private readonly DirectoryTable _table = new();
    private readonly FolderAccess _access;
    private readonly FolderXattrs _xattrs;
    private readonly FolderLoader _loader;
    private readonly OverlayMarks _marks;
    private readonly NativeMap _links = new();
    private readonly UpperWriter? _writer;
    private readonly UpperAttributes? _change;
    private readonly FolderOptions _options;
    private readonly uint _number;
    private readonly ulong _device;

    private DirectoryLayer(
        string name, int rootFd, int workFd, in stat root, uint number, OverlayMarks marks, UpperOptions? upper, FdCache fds, FolderOptions options)
    {
        Name = name;
        _marks = marks;
        _options = options;
        _number = number;
        _device = root.st_dev;
        _access = new FolderAccess(name, rootFd, workFd, _table, fds, Process.HasCapability(Process.CAP_DAC_OVERRIDE));
        _xattrs = new FolderXattrs(_table, _access);
        _loader = new FolderLoader(name, _table, _access, _xattrs, options.ReadsAufsWhiteouts);
        FolderNode* record = _table.Node(ILayer.RootNode);
        record->BackingIno = root.st_ino;
        record->StIno = StInoOf(root);
        record->Flags |= FolderNodeFlags.Identified;
        if (upper != null)
        {
            _writer = new UpperWriter(this, new WorkDirectory(workFd, marks), upper);
            _change = new UpperAttributes(this);
        }
    }

    public string Name { get; }

    public bool IsReadOnly => _writer == null;

    /// <summary>Protects this layer (and, for an upper, the whole merged tree).</summary>
    public object Gate { get; } = new();

    public DirectoryTable Table => _table;

    public FolderAccess Access => _access;

    public FolderXattrs Xattrs => _xattrs;

    public OverlayMarks Marks => _marks;

    /// <summary>Changes to the folder; only an upper has it.</summary>
    public UpperWriter Writer => _writer ?? throw new InvalidOperationException("a read-only layer has no writer");

    /// <summary>Opens a read-only folder layer.</summary>
    /// <param name="name">Name for messages, such as "lower0".</param>
    /// <param name="rootFd">The folder, opened O_RDONLY|O_DIRECTORY|O_CLOEXEC; owned by the layer from now on, also on failure.</param>
    /// <param name="layerNumber">Place in the stack, from 1 on: part of st_ino, so it must be the same at each mount.</param>
    /// <param name="fds">Shared cache.</param>
    /// <param name="options">How it is read.</param>
    /// <param name="layer">The layer.</param>
    public static Errno OpenLower(string name, int rootFd, uint layerNumber, FdCache fds, FolderOptions options, out DirectoryLayer? layer)
    {
        layer = null;
        stat root;
        Errno error = Antares.Interop.Attributes.Fstat(rootFd, &root);
        if (error != Errno.None)
        {
            _ = Fd.Close(rootFd);
            return error;
        }

        layer = new DirectoryLayer(name, rootFd, -1, in root, layerNumber, new OverlayMarks(user: false), null, fds, options);
        return Errno.None;
    }

    /// <summary>Opens a writable upper with its work directory, cleans what an earlier mount left in work, and locks both.</summary>
    /// <param name="upperFd">The upper folder, O_RDONLY|O_DIRECTORY|O_CLOEXEC; owned from now on, also on failure.</param>
    /// <param name="workFd">The work folder on the same file system, likewise.</param>
    /// <param name="options">How it is used.</param>
    /// <param name="fds">Shared cache.</param>
    /// <param name="reading">How it is read.</param>
    /// <param name="layer">The layer.</param>
    /// <param name="problem">What is wrong, for the user, when the result is not None.</param>
    /// <returns>None; EBUSY: in use by a live mount; EXDEV: two file systems; EINVAL: left by a crashed volatile mount; others.</returns>
    public static Errno OpenUpper(
        int upperFd, int workFd, UpperOptions options, FdCache fds, FolderOptions reading, out DirectoryLayer? layer, out string? problem)
    {
        layer = null;
        int innerFd = -1;
        Errno error = UpperSetup.Prepare(upperFd, workFd, options, out innerFd, out stat root, out problem);
        if (error != Errno.None)
        {
            _ = Fd.Close(upperFd);
            _ = Fd.Close(workFd);
            return error;
        }

        layer = new DirectoryLayer("upper", upperFd, innerFd, in root, 0, new OverlayMarks(options.UserXattrs), options, fds, reading);
        layer.Writer.KeepOpen(workFd);
        error = layer.Writer.Start(out problem);
        if (error != Errno.None)
        {
            layer.Dispose();
            layer = null;
        }

        return error;
    }

    public Errno Find(uint directory, ByteName name, out uint node)
    {
        lock (Gate)
        {
            node = 0;
            Errno error = LoadDirectory(directory);
            if (error != Errno.None)
            {
                return error;
            }

            uint dentry = _table.Find(directory, name);
            if (dentry == 0)
            {
                error = _table.Listing(directory)->Unlistable ? _loader.FindUnlisted(directory, name, out dentry) : Errno.ENOENT;
            }

            return error == Errno.None ? Canonical(dentry, out node) : error;
        }
    }

    public Errno Next(uint directory, ulong cookie, out LayerEntry entry)
    {
        lock (Gate)
        {
            entry = default;
            Errno error = LoadDirectory(directory);
            if (error != Errno.None)
            {
                return error;
            }

            if (_table.Listing(directory)->Unlistable)
            {
                return Failure.Note(Name, "getdents64", Errno.EACCES);
            }

            while (_table.Next(directory, cookie, out uint dentry))
            {
                error = Canonical(dentry, out uint node);
                Dentry* name = _table.Name(dentry);
                if (error == Errno.ENOENT)
                {
                    cookie = name->Cookie;
                    continue;
                }

                if (error != Errno.None)
                {
                    return error;
                }

                entry.Cookie = name->Cookie;
                entry.Node = node;
                entry.Name = name->ByteName;
                entry.Type = _table.Node(node)->Type;
                entry.StIno = _table.Node(node)->StIno;
                return Errno.None;
            }

            return Errno.ENOENT;
        }
    }

    public FileType TypeOf(uint node) => _table.Node(node)->Type;

    /// <inheritdoc/>
    /// <remarks><see cref="Find"/> and <see cref="Next"/> have looked at the file: the node is the object.</remarks>
    public uint ObjectOf(uint node) => node;

    public bool IsLoaded(uint node, LayerPart part) => true;

    public Errno Load(uint node, LayerPart part) => Errno.None;

    public Errno Merging(uint directory, out bool opaque, byte* redirect, int capacity, out int length)
    {
        lock (Gate)
        {
            FolderNode* record = _table.Node(directory);
            length = 0;
            opaque = false;
            if ((record->Flags & FolderNodeFlags.MarksKnown) == 0)
            {
                Errno known = ReadMarks(directory, record);
                if (known != Errno.None)
                {
                    return known;
                }
            }

            opaque = (record->Flags & FolderNodeFlags.Opaque) != 0;
            if ((record->Flags & FolderNodeFlags.HasRedirect) == 0)
            {
                return Errno.None;
            }

            if (!_options.FollowsRedirects)
            {
                return Failure.Note(Name, "redirect not followed", Errno.EPERM);
            }

            // The attribute asks for the right to read the directory.
            Errno error = _access.PinDirectory(directory, ModeLoans.Read | ModeLoans.Search, out DirectoryLease readable);
            if (error != Errno.None)
            {
                return error;
            }

            error = _xattrs.Get(directory, Literal.Pointer("trusted.overlay.redirect"u8), redirect, (nuint)capacity, out length);
            if (error is Errno.ENODATA or Errno.EOPNOTSUPP or Errno.EPERM)
            {
                error = _xattrs.Get(directory, Literal.Pointer("user.overlay.redirect"u8), redirect, (nuint)capacity, out length);
            }

            _access.Release(readable);
            return Failure.Note(Name, "fgetxattr (redirect)", error);
        }
    }

    public bool NextName(uint node, ref uint cursor, out uint directory, out ByteName name)
    {
        lock (Gate)
        {
            cursor = cursor == 0 ? _table.Node(node)->FirstName : _table.Name(cursor)->NextName;
            if (cursor == 0)
            {
                directory = 0;
                name = default;
                return false;
            }

            directory = _table.Name(cursor)->Parent;
            name = _table.Name(cursor)->ByteName;
            return true;
        }
    }

    public Errno GetattrWithMapping(uint node, bool mapping, stat* attributes)
    {
        lock (Gate)
        {
            FolderNode* record = _table.Node(node);
            Errno error = _access.Stat(node, attributes);
            if (error != Errno.None)
            {
                return error;
            }

            if (record->StIno == 0)
            {
                record->StIno = StInoOf(in *attributes);
                record->Flags |= FolderNodeFlags.Identified;
            }

            attributes->st_ino = record->StIno;
            attributes->st_dev = 0;
            if (mapping)
            {
                attributes->st_uid = _options.Uids.ToMount(attributes->st_uid);
                attributes->st_gid = _options.Gids.ToMount(attributes->st_gid);
            }

            return Errno.None;
        }
    }

    public bool AttributesAreAtHand(uint node) => true;

    public Errno Readlink(uint node, byte* buffer, int capacity, out int length)
    {
        lock (Gate)
        {
            length = 0;
            FolderNode* record = _table.Node(node);
            if (record->Type != FileType.Symlink)
            {
                return Errno.EINVAL;
            }

            if (record->Place == NodePlace.HeldByFd)
            {
                return Failure.Note(
                    Name, "readlinkat", PathOps.Readlinkat(record->OrphanFd, Literal.Pointer(""u8), buffer, (nuint)capacity, out length));
            }

            byte* workName = stackalloc byte[16];
            Errno error = _access.Locate(node, workName, out DirectoryLease directory, out ByteName name);
            if (error != Errno.None)
            {
                return error;
            }

            error = PathOps.Readlinkat(directory.Fd, name.Pointer, buffer, (nuint)capacity, out length);
            _access.Release(directory);
            return Failure.Note(Name, "readlinkat", error);
        }
    }

    public Errno Read(uint node, ulong offset, byte* buffer, uint size, out uint got)
    {
        got = 0;
        Errno error = PinFile(node, false, out FdLease lease);
        if (error != Errno.None)
        {
            return error;
        }

        error = FileIo.ReadFull(lease.Fd, buffer, size, (long)offset, out nuint read);
        got = (uint)read;
        _access.Cache.Release(lease);
        return Failure.Note(Name, "pread", error);
    }

    /// <summary>Lends the descriptor of a regular file, so that data can be moved without the gate.</summary>
    /// <returns>None; EISDIR, EINVAL: no regular file; what opening it gave.</returns>
    public Errno PinFile(uint node, bool writable, out FdLease lease)
    {
        lock (Gate)
        {
            FileType type = _table.Node(node)->Type;
            if (type != FileType.Regular)
            {
                lease = default;
                return type == FileType.Directory ? Errno.EISDIR : Errno.EINVAL;
            }

            Errno error = _access.PinFile(node, writable, out lease);
            if (error == Errno.None)
            {
                error = CheckContent(node, lease.Fd);
                if (error != Errno.None)
                {
                    _access.Cache.Release(lease);
                }
            }

            return error;
        }
    }

    /// <summary>
    /// Refuses a file that has attributes only, while its content is still in a layer below (kernel overlayfs' metacopy): it cannot be read
    /// here, and must stay under its name, by which that content is found.
    /// </summary>
    /// <returns>
    /// None, also for one that this process may not open, which tells nobody what it has; EIO: the content is elsewhere; EMFILE and others:
    /// the file could not be looked at.
    /// </returns>
    public Errno RequireContent(uint node)
    {
        FolderNode* record = _table.Node(node);
        if (record->Type != FileType.Regular || (record->Flags & FolderNodeFlags.MarksKnown) != 0)
        {
            return Errno.None;
        }

        Errno error = _access.PinFile(node, false, out FdLease lease);
        if (error != Errno.None)
        {
            return error is Errno.EACCES or Errno.EPERM ? Errno.None : error;
        }

        error = CheckContent(node, lease.Fd);
        _access.Cache.Release(lease);
        return error;
    }

    public Errno OpenContent(uint node, out int fd)
    {
        lock (Gate)
        {
            FolderNode* record = _table.Node(node);
            if (record->Place == NodePlace.HeldByFd)
            {
                return Fd.DupCloexec(record->OrphanFd, out fd);
            }

            Errno error = _access.OpenFile(node, false, out fd);
            if (error == Errno.None)
            {
                error = CheckContent(node, fd);
                if (error != Errno.None)
                {
                    _ = Fd.Close(fd); // only opened
                    fd = -1;
                }
            }

            return error;
        }
    }

    public Errno Getxattr(uint node, byte* name, byte* value, nuint size, out int length)
    {
        byte* escaped = stackalloc byte[272];
        lock (Gate)
        {
            // Each first write to a file asks for its capabilities, each first access for its ACL.
            if ((_table.Node(node)->Flags & FolderNodeFlags.Unadorned) != 0
                && (Literal.StartsWith(name, "security.capability"u8) || Literal.StartsWith(name, "system.posix_acl_"u8)))
            {
                length = 0;
                return Errno.ENODATA;
            }

            return _xattrs.Get(node, OverlayMarks.Escape(name, escaped), value, size, out length);
        }
    }

    public Errno Listxattr(uint node, byte* list, nuint size, out int length)
    {
        lock (Gate)
        {
            Errno error = _xattrs.List(node, list, size, out length);
            if (error == Errno.None && size > 0)
            {
                length = OverlayMarks.FilterList(list, length);
            }

            return error;
        }
    }

    public Errno Create(uint directory, ByteName name, in NewNode what, out uint node, stat* attributes)
    {
        node = 0;
        lock (Gate)
        {
            return _writer == null ? Errno.EROFS : _writer.Creation.Create(directory, name, in what, out node, attributes);
        }
    }

    public Errno Link(uint node, uint directory, ByteName name, bool keepTimes)
    {
        lock (Gate)
        {
            return _writer == null ? Errno.EROFS : _writer.Creation.Link(node, directory, name, keepTimes);
        }
    }

    public Errno Unlink(uint directory, ByteName name, bool whiteout, bool keep)
    {
        lock (Gate)
        {
            return _writer == null ? Errno.EROFS : _writer.Removal.Unlink(directory, name, whiteout, keep);
        }
    }

    public Errno Rmdir(uint directory, ByteName name, bool whiteout, bool keep)
    {
        lock (Gate)
        {
            return _writer == null ? Errno.EROFS : _writer.Removal.Rmdir(directory, name, whiteout, keep);
        }
    }

    public Errno Write(uint node, ulong offset, byte* data, uint size, bool killSetId, out uint written)
    {
        written = 0;
        if (_change == null)
        {
            return Errno.EROFS;
        }

        Errno error = PinFile(node, true, out FdLease lease);
        if (error == Errno.None)
        {
            error = UpperAttributes.Write(lease.Fd, offset, data, size, killSetId, out written);
            _access.Cache.Release(lease);
        }

        return error;
    }

    public Errno Truncate(uint node, long size)
    {
        lock (Gate)
        {
            if (_change == null)
            {
                return Errno.EROFS;
            }

            Errno error = RequireContent(node);
            return error == Errno.None ? _change.Truncate(node, size) : error;
        }
    }

    public Errno Chmod(uint node, uint mode)
    {
        lock (Gate)
        {
            _table.Node(node)->Flags &= ~FolderNodeFlags.OwnerUnbound;
            return _change == null ? Errno.EROFS : _change.Chmod(node, mode);
        }
    }

    public Errno Chown(uint node, uint uid, uint gid)
    {
        lock (Gate)
        {
            _table.Node(node)->Flags &= ~FolderNodeFlags.OwnerUnbound;
            return _change == null ? Errno.EROFS : _change.Chown(node, uid, gid);
        }
    }

    public Errno Utimens(uint node, timespec* times)
    {
        lock (Gate)
        {
            return _change == null ? Errno.EROFS : _change.Utimens(node, times);
        }
    }

    public Errno Setxattr(uint node, byte* name, byte* value, nuint size, int flags)
    {
        byte* escaped = stackalloc byte[272];
        lock (Gate)
        {
            if (_writer == null)
            {
                return Errno.EROFS;
            }

            _table.Node(node)->Flags &= ~FolderNodeFlags.Unadorned;
            Errno error = _xattrs.Set(node, OverlayMarks.Escape(name, escaped), value, size, flags);

            // Only now: on the way to the object its mode was looked at, which an ACL changes.
            _table.Node(node)->Flags &= ~FolderNodeFlags.OwnerUnbound;
            _writer.AclChanged(node);
            return Failure.Note(Name, "setxattr", error);
        }
    }

    public Errno Removexattr(uint node, byte* name)
    {
        byte* escaped = stackalloc byte[272];
        lock (Gate)
        {
            if (_writer == null)
            {
                return Errno.EROFS;
            }

            Errno error = _xattrs.Remove(node, OverlayMarks.Escape(name, escaped));
            _table.Node(node)->Flags &= ~FolderNodeFlags.OwnerUnbound;
            _writer.AclChanged(node);
            return Failure.Note(Name, "removexattr", error);
        }
    }

    /// <summary>The bits of st_ino that keep a layer's numbers apart from those of all other layers.</summary>
    /// <param name="layerNumber">Place in the stack, 1 to 255.</param>
    public static ulong NumberMark(uint layerNumber) => FolderBit | ((ulong)(layerNumber & 0xFF) << 52);

    /// <summary>st_ino shown for an object of this folder.</summary>
    public ulong StInoOf(in stat attributes)
    {
        if (attributes.st_dev == _device && attributes.st_ino <= NumberMask && _number <= byte.MaxValue)
        {
            return NumberMark(_number) | attributes.st_ino;
        }

        ulong* key = stackalloc ulong[2];
        key[0] = attributes.st_dev;
        key[1] = attributes.st_ino;
        return HashedBit | (new ByteName((byte*)key, 16).Hash(_number) & (FolderBit - 1));
    }

    /// <summary>Called when a node loses its last name for good, before its slot is given back.</summary>
    public void DropLink(uint node)
    {
        FolderNode* record = _table.Node(node);
        if ((record->Flags & FolderNodeFlags.InLinkMap) != 0)
        {
            _ = _links.Remove(LinkKey(record->StIno, record->BackingIno));
            record->Flags &= ~FolderNodeFlags.InLinkMap;
        }
    }

    /// <summary>Loads a directory; a loaded one is authoritative.</summary>
    public Errno Load(uint directory)
    {
        lock (Gate)
        {
            return LoadDirectory(directory);
        }
    }

    public void Dispose()
    {
        lock (Gate)
        {
            _writer?.Dispose();
            _access.Dispose();
            _loader.Dispose();
            _links.Dispose();
            _table.Dispose();
        }
    }

    // An upper is brought into the one form that is written, so that later changes need to know of no other.
    private Errno LoadDirectory(uint directory)
    {
        bool fresh = !_table.IsLoaded(directory);
        Errno error = _loader.Load(directory);
        return fresh && error == Errno.None && _writer != null && _table.Listing(directory)->HasAufsMarks
            ? _writer.Conversion.Convert(directory)
            : error;
    }

    // Names of one file on disk lead to one node, found by its (device, number) the first time each name is looked at.
    private Errno Canonical(uint dentry, out uint node)
    {
        node = _table.Name(dentry)->Node;
        FolderNode* record = _table.Node(node);
        if (node == DirectoryTable.WhiteoutNode
            || (record->Flags & FolderNodeFlags.Identified) != 0)
        {
            return Errno.None;
        }

        stat attributes;
        Errno error = _access.Stat(node, &attributes);
        if (error != Errno.None)
        {
            return error;
        }

        FileType type = FileTypes.FromMode(attributes.st_mode);
        if (type != record->Type)
        {
            return Failure.Note(Name, "changed while mounted", Errno.EIO);
        }

        ulong number = StInoOf(in attributes);
        if (_writer != null && type != FileType.Directory)
        {
            ulong kept = _writer.KeptStIno(node);
            number = kept != 0 ? kept : number;
        }

        record->BackingIno = attributes.st_ino;
        record->StIno = number;
        record->Flags |= FolderNodeFlags.Identified;
        if (type != FileType.Directory && attributes.st_nlink > 1)
        {
            ulong key = LinkKey(number, attributes.st_ino);
            if (_links.TryGet(key, out ulong known) && _table.Node((uint)known)->BackingIno == attributes.st_ino)
            {
                _table.Repoint(dentry, (uint)known);
                _access.Cache.Drop(&record->FdSlot);
                _table.FreeNode(node);
                node = (uint)known;
                _writer?.Revive(node);
                return Errno.None;
            }

            _links.Set(key, node);
            record->Flags |= FolderNodeFlags.InLinkMap;
        }

        return Errno.None;
    }

    private static ulong LinkKey(ulong stIno, ulong backingIno)
    {
        ulong* key = stackalloc ulong[2];
        key[0] = stIno;
        key[1] = backingIno;
        return new ByteName((byte*)key, 16).Hash(1) | 1;
    }

    // A file with a metacopy mark reads as zeros, which nobody must take for its content.
    private Errno CheckContent(uint node, int fd)
    {
        FolderNode* record = _table.Node(node);
        if ((record->Flags & FolderNodeFlags.MarksKnown) != 0)
        {
            return Errno.None;
        }

        for (int form = 0; form < 2; form++)
        {
            byte* mark = Literal.Pointer(form == 0 ? "trusted.overlay.metacopy"u8 : "user.overlay.metacopy"u8);
            if (Antares.Interop.Xattrs.Fgetxattr(fd, mark, null, 0, out _) == Errno.None)
            {
                return Failure.Note(Name, "read (metacopy)", Errno.EIO);
            }
        }

        record->Flags |= FolderNodeFlags.MarksKnown;
        return Errno.None;
    }

    // A directory that may not be read tells no marks (EACCES); kernel overlayfs takes it for one without, too. One of the upper's own is
    // lent the right to be read.
    private Errno ReadMarks(uint directory, FolderNode* record)
    {
        Errno error = _access.PinDirectory(directory, ModeLoans.Read | ModeLoans.Search, out DirectoryLease readable);
        if (error == Errno.None)
        {
            error = ReadReadableMarks(directory, readable.Fd, record);
            _access.Release(readable);
        }

        return error;
    }

    private Errno ReadReadableMarks(uint directory, int directoryFd, FolderNode* record)
    {
        byte* value = stackalloc byte[8];
        FolderNodeFlags found = FolderNodeFlags.MarksKnown;
        stat attributes;
        if ((record->Flags & FolderNodeFlags.HiddenBelow) != 0
            || (_options.ReadsAufsWhiteouts
                && Antares.Interop.Attributes.Fstatat(directoryFd, AufsMarks.OpaqueMark, &attributes, Fcntl.AT_SYMLINK_NOFOLLOW) == Errno.None))
        {
            found |= FolderNodeFlags.Opaque;
        }

        for (int form = 0; form < OverlayMarks.OpaqueForms; form++)
        {
            Errno error = _xattrs.Get(directory, OverlayMarks.OtherOpaque(form), value, 8, out int length);
            if (error == Errno.None && length == 1 && value[0] == (byte)'y')
            {
                found |= FolderNodeFlags.Opaque;
            }
            else if (error is not (Errno.None or Errno.ENODATA or Errno.EOPNOTSUPP or Errno.EPERM or Errno.EACCES or Errno.ERANGE))
            {
                return Failure.Note(Name, "fgetxattr (opaque)", error);
            }
        }

        for (int form = 0; form < 2; form++)
        {
            byte* mark = Literal.Pointer(form == 0 ? "trusted.overlay.redirect"u8 : "user.overlay.redirect"u8);
            Errno error = _xattrs.Get(directory, mark, null, 0, out int length);
            if (error == Errno.None && length > 0)
            {
                found |= FolderNodeFlags.HasRedirect;
            }
            else if (error is not (Errno.None or Errno.ENODATA or Errno.EOPNOTSUPP or Errno.EPERM or Errno.EACCES))
            {
                return Failure.Note(Name, "fgetxattr (redirect)", error);
            }
        }

        record->Flags |= found;
        return Errno.None;
    }
}
