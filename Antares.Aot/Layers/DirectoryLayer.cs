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
    private readonly DirectoryTable _table = new();
    private readonly FolderAccess _access;
    private readonly FolderXattrs _xattrs;
    private readonly FolderLoader _loader;
    private readonly OverlayMarks _marks;
    private readonly UpperWriter? _writer;
    private readonly UpperAttributes? _change;
    private readonly FolderOptions _options;
    private readonly FolderMarks _ownMarks;
    private readonly FolderNumbers _numbers;

    private DirectoryLayer(
        string name, int rootFd, int workFd, in stat root, uint number, OverlayMarks marks, UpperOptions? upper, FdCache fds, FolderOptions options)
    {
        Name = name;
        _marks = marks;
        _options = options;
        _access = new FolderAccess(name, rootFd, workFd, _table, fds, Process.HasCapability(Process.CAP_DAC_OVERRIDE));
        _xattrs = new FolderXattrs(_table, _access);
        _loader = new FolderLoader(name, _table, _access, _xattrs, options.ReadsAufsWhiteouts);
        _ownMarks = new FolderMarks(name, _table, _access, _xattrs, options);
        _numbers = new FolderNumbers(name, _table, _access, number, in root);
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

    internal FolderMarks OwnMarks => _ownMarks;

    internal FolderNumbers Numbers => _numbers;

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

            return error == Errno.None ? _numbers.Canonical(dentry, _writer, out node) : error;
        }
    }

    /// <summary>A reader begins to list a directory (<see cref="KeptListing"/>).</summary>
    /// <param name="directory">The directory.</param>
    /// <param name="round">Its round; 0 with an error.</param>
    /// <returns>None; EIO and others: the directory could not be loaded.</returns>
    public Errno BeginReader(uint directory, out uint round)
    {
        lock (Gate)
        {
            Errno error = LoadDirectory(directory);
            round = error == Errno.None ? _table.BeginReader(directory) : 0;
            return error;
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
                error = _numbers.Canonical(dentry, _writer, out uint node);
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
            return _ownMarks.Merging(directory, out opaque, redirect, capacity, out length);
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
            Errno error = _numbers.TrySeen(node, attributes) ? Errno.None : _access.Stat(node, attributes);
            if (error != Errno.None)
            {
                return error;
            }

            if (record->StIno == 0)
            {
                record->StIno = _numbers.StInoOf(in *attributes);
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
                error = _ownMarks.CheckContent(node, lease.Fd);
                if (error != Errno.None)
                {
                    _access.Cache.Release(lease);
                }
            }

            return error;
        }
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

            Errno error = _access.OpenContent(node, out fd);
            if (error == Errno.None)
            {
                error = _ownMarks.CheckContent(node, fd);
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
            error = UpperAttributes.Write(lease.Fd, offset, data, size, null, killSetId, whole: false, out written);
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

            Errno error = _ownMarks.RequireContent(node);
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
        _access.Cache.Retire();
        lock (Gate)
        {
            _writer?.Dispose();
            _access.Dispose();
            _loader.Dispose();
            _numbers.Dispose();
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
}
