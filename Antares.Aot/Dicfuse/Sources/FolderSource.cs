using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Tree;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Sources;

/// <summary>
/// A folder of this machine (<c>dir:</c>). Each node is reached from the root's descriptor, name by name, following no symlink: a path
/// may be longer than PATH_MAX, and nothing in the folder leads out of it. Mount points inside are crossed, as a user expects.
/// </summary>
/// <remarks>
/// Descriptors open at a time: the root's, at most the capacity of the cache, and two more per request at work. The folder is taken
/// to stand still while it is mounted; what is noticed to have changed is EIO, by whoever compares the attributes told here.
/// </remarks>
internal sealed unsafe class FolderSource : ITreeSource
{
    private const int DirectoryFlags =
        Fcntl.O_RDONLY | Fcntl.O_DIRECTORY | Fcntl.O_NOFOLLOW | Fcntl.O_CLOEXEC | Fcntl.O_NONBLOCK;

    // O_NONBLOCK: what was a regular file may be a FIFO by now, whose open would wait for a writer.
    private const int ContentFlags =
        Fcntl.O_RDONLY | Fcntl.O_NOFOLLOW | Fcntl.O_CLOEXEC | Fcntl.O_NONBLOCK | Fcntl.O_NOCTTY;

    private const int StatFlags = Fcntl.AT_SYMLINK_NOFOLLOW | Fcntl.AT_NO_AUTOMOUNT;

    /// <summary>Names walked down at a time; deeper nodes take several rounds.</summary>
    private const int WalkWindow = 256;

    private const string MetacopyNote = "read (metacopy)";

    private readonly string _layer;
    private readonly NodeStore _store;
    private readonly SourceFds _fds;
    private readonly int _root;
    private readonly FolderListing _listing;
    private readonly FolderXattrs _xattrs;
    private readonly SourceErrors _open;
    private readonly SourceErrors _stat;
    private readonly SourceErrors _read;
    private readonly SourceErrors _readlink;
    private bool _noOpenat2;
    private bool _disposed;

    /// <param name="layer">Name of the layer for failure notes.</param>
    /// <param name="rootFd">The folder, readable; the source closes it at the end.</param>
    /// <param name="store">The nodes that will be asked for.</param>
    /// <param name="fdCapacity">Most descriptors kept open between requests.</param>
    public FolderSource(string layer, int rootFd, NodeStore store, int fdCapacity)
    {
        _layer = layer;
        _store = store;
        _root = rootFd;
        _fds = new SourceFds(fdCapacity);
        _listing = new FolderListing(layer);
        _xattrs = new FolderXattrs(layer);
        _open = new SourceErrors(layer, "openat2");
        _stat = new SourceErrors(layer, "fstatat");
        _read = new SourceErrors(layer, "pread");
        _readlink = new SourceErrors(layer, "readlinkat");
        _ = Fd.Setfl(rootFd, Fcntl.O_NOATIME); // as in OpenName
    }

    /// <summary>Descriptors kept open between requests, without the root's.</summary>
    public int OpenFds => _fds.Open;

    public Errno List(uint directory, ref DirectoryListing listing)
    {
        Errno error = PinDirectory(directory, out FdPin pin);
        if (error != Errno.None)
        {
            return error;
        }

        error = _listing.List(pin.Fd, ref listing);
        _fds.Release(pin);
        return error;
    }

    public Errno Attributes(uint node, stat* attributes)
    {
        if (node == ILayer.RootNode)
        {
            return _stat.Map(Interop.Attributes.Fstat(_root, attributes));
        }

        NodeRecord* record = _store[node];
        Errno error = PinDirectory(record->Parent, out FdPin pin);
        if (error != Errno.None)
        {
            return error;
        }

        error = Interop.Attributes.Fstatat(pin.Fd, _store.NameOf(record).Pointer, attributes, StatFlags);
        _fds.Release(pin);
        return _stat.Map(error);
    }

    public bool AttributesAreAtHand(uint node) => true;

    public Errno Readlink(uint node, byte* buffer, int capacity, out int length)
    {
        length = 0;
        NodeRecord* record = _store[node];
        Errno error = PinDirectory(record->Parent, out FdPin pin);
        if (error != Errno.None)
        {
            return error;
        }

        error = PathOps.Readlinkat(pin.Fd, _store.NameOf(record).Pointer, buffer, (nuint)capacity, out length);
        _fds.Release(pin);
        return _readlink.Map(error);
    }

    public Errno ReadContent(uint node, ulong offset, byte* buffer, uint size, out uint got, stat* after)
    {
        got = 0;
        Errno error = PinContent(node, out FdPin pin, out _);
        if (error != Errno.None)
        {
            return error;
        }

        error = FileIo.ReadFull(pin.Fd, buffer, size, (long)offset, out nuint read);
        if (error == Errno.None)
        {
            error = Interop.Attributes.Fstat(pin.Fd, after);
        }

        _fds.Release(pin);
        got = (uint)read;
        return _read.Map(error);
    }

    public Errno OpenContent(uint node, out int fd, stat* attributes)
    {
        fd = -1;
        NodeRecord* record = _store[node];
        Errno error = PinDirectory(record->Parent, out FdPin pin);
        if (error != Errno.None)
        {
            return error;
        }

        error = OpenName(pin.Fd, _store.NameOf(record), ContentFlags, out fd);
        _fds.Release(pin);
        if (error != Errno.None)
        {
            return _open.Map(error);
        }

        error = Interop.Attributes.Fstat(fd, attributes);
        bool lacking = error == Errno.None && LacksContent(fd);
        if (error != Errno.None || lacking)
        {
            // Open for reading only: closing can lose nothing.
            _ = Fd.Close(fd);
            fd = -1;
        }

        return lacking ? Failure.Note(_layer, MetacopyNote, Errno.EIO) : _stat.Map(error);
    }

    /// <summary>
    /// True for a file of which kernel overlayfs left the content in a layer below (<c>metacopy=on</c>): it is a hole that reads as zeros, which
    /// nobody must take for its content. One call for a file without attributes, when it is opened.
    /// </summary>
    private static bool LacksContent(int fd) =>
        Xattrs.Flistxattr(fd, null, 0, out int names) == Errno.None && names > 0
        && (Xattrs.Fgetxattr(fd, Literal.Pointer("trusted.overlay.metacopy"u8), null, 0, out _) == Errno.None
            || Xattrs.Fgetxattr(fd, Literal.Pointer("user.overlay.metacopy"u8), null, 0, out _) == Errno.None);

    public Errno Getxattr(uint node, byte* name, byte* value, nuint size, out int length)
    {
        length = 0;
        Errno error = PinForXattrs(node, out FdPin pin, out byte* entry);
        if (error == Errno.None)
        {
            error = _xattrs.Get(pin.Fd, entry, name, value, size, out length);
            _fds.Release(pin);
        }

        return error;
    }

    public Errno Listxattr(uint node, byte* list, nuint size, out int length)
    {
        length = 0;
        Errno error = PinForXattrs(node, out FdPin pin, out byte* entry);
        if (error == Errno.None)
        {
            error = _xattrs.List(pin.Fd, entry, list, size, out length);
            _fds.Release(pin);
        }

        return error;
    }

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            _fds.Dispose();
            _listing.Dispose();
            // Open for reading only: closing can lose nothing.
            _ = Fd.Close(_root);
        }
    }

    /// <summary>
    /// What the extended attributes of a node are read through: the descriptor of its content or directory (<paramref name="entry"/> null), or
    /// that of the directory it is in together with its name, for what cannot be opened for reading.
    /// </summary>
    private Errno PinForXattrs(uint node, out FdPin pin, out byte* entry)
    {
        entry = null;
        NodeRecord* record = _store[node];
        FileType type = record->Type;
        if (type == FileType.Directory)
        {
            return PinDirectory(node, out pin);
        }

        if (type == FileType.Regular)
        {
            Errno error = PinContent(node, out pin, out bool lacking);
            if (error != Errno.EACCES && !lacking)
            {
                return error;
            }
        }

        entry = _store.NameOf(record).Pointer;
        return PinDirectory(record->Parent, out pin);
    }

    // No descriptor of a file that lacks its content gets into the cache.
    private Errno PinContent(uint node, out FdPin pin, out bool lacking)
    {
        lacking = false;
        if (_fds.TryPin(node, out pin))
        {
            return Errno.None;
        }

        NodeRecord* record = _store[node];
        Errno error = PinDirectory(record->Parent, out FdPin directory);
        if (error != Errno.None)
        {
            return error;
        }

        error = OpenName(directory.Fd, _store.NameOf(record), ContentFlags, out int fd);
        _fds.Release(directory);
        if (error == Errno.None)
        {
            lacking = LacksContent(fd);
            if (lacking)
            {
                // Open for reading only: closing can lose nothing.
                _ = Fd.Close(fd);
                return Failure.Note(_layer, MetacopyNote, Errno.EIO);
            }

            pin = _fds.Adopt(node, fd);
        }

        return _open.Map(error);
    }

    /// <summary>
    /// Pins a directory's descriptor: from the cache, or by walking down from its nearest ancestor that is there (at last the root).
    /// It is open for reading, or, where this process may not list it, O_PATH only.
    /// </summary>
    private Errno PinDirectory(uint node, out FdPin pin)
    {
        pin = new FdPin(_root, FdPin.Lent);
        if (node == ILayer.RootNode || _fds.TryPin(node, out pin))
        {
            return Errno.None;
        }

        int depth = 0;
        uint anchor = node;
        do
        {
            anchor = _store[anchor]->Parent;
            depth++;
        }
        while (anchor != ILayer.RootNode && !_fds.TryPin(anchor, out pin));

        if (anchor == ILayer.RootNode)
        {
            pin = new FdPin(_root, FdPin.Lent);
        }

        uint* chain = stackalloc uint[WalkWindow];
        while (depth > 0)
        {
            int take = Math.Min(depth, WalkWindow);
            uint walker = node;
            for (int up = 0; up < depth - take; up++)
            {
                walker = _store[walker]->Parent;
            }

            for (int i = take - 1; i >= 0; i--)
            {
                chain[i] = walker;
                walker = _store[walker]->Parent;
            }

            Errno error = WalkDown(chain, take, ref pin);
            if (error != Errno.None)
            {
                return error;
            }

            depth -= take;
        }

        return Errno.None;
    }

    /// <summary>Opens a chain of names one in the other; <paramref name="pin"/> is released at each step and is the last one's at the end.</summary>
    private Errno WalkDown(uint* chain, int count, ref FdPin pin)
    {
        for (int i = 0; i < count; i++)
        {
            ByteName name = _store.NameOf(_store[chain[i]]);
            Errno error = OpenName(pin.Fd, name, DirectoryFlags, out int fd);
            if (error == Errno.EACCES)
            {
                // It may still be searched.
                error = OpenName(pin.Fd, name, (DirectoryFlags & ~Fcntl.O_NONBLOCK) | Fcntl.O_PATH, out fd);
            }

            if (error != Errno.None)
            {
                _fds.Release(pin);
                return _open.Map(error);
            }

            FdPin next = _fds.Adopt(chain[i], fd);
            _fds.Release(pin);
            pin = next;
        }

        return Errno.None;
    }

    /// <summary>
    /// Opens one name of a directory. Where a seccomp filter forbids openat2 (ENOSYS, in older ones EPERM), O_NOFOLLOW on one name that is
    /// not ".." is as tight.
    /// </summary>
    private Errno OpenName(int directory, ByteName name, int flags, out int fd)
    {
        Errno error = TryOpenName(directory, name, flags, out fd);
        if (error == Errno.None)
        {
            // Reading a source moves no access time in it; where that is not ours to ask (EPERM), it is read all the same.
            _ = Fd.Setfl(fd, Fcntl.O_NOATIME);
        }

        return error;
    }

    private Errno TryOpenName(int directory, ByteName name, int flags, out int fd)
    {
        if (!Volatile.Read(ref _noOpenat2))
        {
            open_how how = new()
            {
                flags = (ulong)flags,
                resolve = Fcntl.RESOLVE_BENEATH | Fcntl.RESOLVE_NO_SYMLINKS | Fcntl.RESOLVE_NO_MAGICLINKS,
            };
            Errno error = Fd.Openat2(directory, name.Pointer, how, out fd);
            if (error is not (Errno.ENOSYS or Errno.EPERM))
            {
                return error;
            }

            Volatile.Write(ref _noOpenat2, true);
        }

        return Fd.Openat(directory, name.Pointer, flags, 0, out fd);
    }
}
