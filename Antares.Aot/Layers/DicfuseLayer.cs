using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse;
using Antares.Aot.Dicfuse.Content;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Sources;
using Antares.Aot.Dicfuse.Tree;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>The lowest layer: a read-only tree, loaded as it is touched, with its contents in packed frames.</summary>
/// <remarks>
/// Beyond what <see cref="ILayer"/> names, EACCES says that this process may not read the source, and ESTALE that a node index was
/// never handed out. A node that turned out to be a further name of a hard link is taken for the object in every member.
/// </remarks>
public sealed unsafe class DicfuseLayer : ILayer
{
    private readonly DicfuseTree _tree;
    private readonly DicfuseOptions _options;
    private readonly SourceContent _content;
    private readonly FrameStore _frames;
    private readonly MegaSource? _server;
    private readonly AccessRecord? _record;
    private bool _started;
    private bool _disposed;

    /// <param name="name">Name for messages, as the tree was made with.</param>
    /// <param name="tree">Disposed with the layer.</param>
    /// <param name="options">How it is kept and shown.</param>
    public DicfuseLayer(string name, DicfuseTree tree, DicfuseOptions options)
    {
        Name = name;
        _tree = tree;
        _options = options;
        _server = tree.Source as MegaSource;
        _record = options.Recorded is null ? null : new AccessRecord();
        _content = new SourceContent(name, tree);
        _frames = new FrameStore(_content, options.MemoryLimitBytes, options.StorePath, options.StoreLimitBytes);
    }

    public string Name { get; }

    public bool IsReadOnly => true;

    /// <summary>Tree slot of this layer in the mount's node ids.</summary>
    public uint Slot => _options.Slot;

    /// <summary>Nodes known, the root included.</summary>
    public long NodeCount => _tree.NodeCount;

    /// <summary>Bytes of nodes and of the name indices of big directories.</summary>
    public ulong ArenaBytes => _tree.ArenaBytes;

    /// <summary>Bytes of names and link targets.</summary>
    public ulong NameBytes => _tree.NameBytes;

    /// <summary>Bytes of the tree's hash tables.</summary>
    public long TableBytes => _tree.TableBytes;

    /// <summary>Directories listed at the source.</summary>
    public long DirectoryLoads => _tree.DirectoryLoads;

    /// <summary>Nodes whose attributes were asked for one by one.</summary>
    public long AttributeLoads => _tree.AttributeLoads;

    /// <summary>Descriptors of the source kept open, without the root's.</summary>
    public long OpenFds => _tree.Source is FolderSource folder ? folder.OpenFds : 0;

    /// <summary>Frames held in any form.</summary>
    public long FramesHeld => _frames.FramesHeld;

    /// <summary>Unpacked length of the frames held.</summary>
    public long FrameRawBytes => _frames.RawBytes;

    /// <summary>Packed bytes of frames in memory.</summary>
    public long FramePackedBytes => _frames.PackedBytes;

    /// <summary>Packed bytes of frames in the store file.</summary>
    public long FrameSpilledBytes => _frames.SpilledBytes;

    /// <summary>Native memory of packed frames and their table.</summary>
    public long FrameMemoryBytes => _frames.MemoryBytes;

    /// <summary>Frames, or parts of one, served from what is held.</summary>
    public long FrameHits => _frames.Hits;

    /// <summary>Frames, or parts of one, read from the source.</summary>
    public long FrameLoads => _frames.Loads;

    /// <summary>Frames given up for lack of memory.</summary>
    public long FramesEvicted => _frames.Evicted;

    /// <summary>Frames moved to the store file.</summary>
    public long FramesSpilled => _frames.Spilled;

    /// <summary>Held frames whose checksum was wrong; they were read from the source again.</summary>
    public long FramesDamaged => _frames.Damaged;

    /// <summary>How often a file of the source was found to be another than its node says.</summary>
    public long SourceChanges => _content.Changed;

    /// <summary>To be told the node of a file of which other attributes were shown than it has; the right ones are in the node by then.</summary>
    public Action<uint>? AttributesCorrected
    {
        set
        {
            if (_server is not null)
            {
                _server.SizeCorrected = value;
            }
        }
    }

    internal DicfuseTree Tree => _tree;

    internal FrameStore Frames => _frames;

    /// <summary>Requests that wait for the source without a thread.</summary>
    public int RequestsWaiting => _tree.Places?.Waiting ?? 0;

    /// <summary>To be called before somebody is waited for who may be asking the source: as <see cref="RequestWait.Enter"/>.</summary>
    public Errno EnterSource() => RequestWait.Enter(_tree.Places);

    /// <summary>Opens a folder as a tree (<c>dir:PATH</c>); nothing of it is read but its own attributes.</summary>
    /// <param name="name">Name for messages.</param>
    /// <param name="rootFd">The folder, O_PATH or better. On success the layer owns it; on failure it stays the caller's.</param>
    /// <param name="options">How it is kept and shown.</param>
    /// <param name="layer">The layer, to be disposed by the caller.</param>
    /// <returns>None; ENOTDIR: no folder; EACCES: it may not be listed; ENOMEM; else as openat(2) and fstat(2).</returns>
    public static Errno OpenFolder(string name, int rootFd, DicfuseOptions options, out DicfuseLayer? layer)
    {
        layer = null;
        Errno error;
        int readable;
        fixed (byte* self = "."u8)
        {
            const int Flags = Fcntl.O_RDONLY | Fcntl.O_DIRECTORY | Fcntl.O_CLOEXEC;
            error = Failure.Note(name, "openat", Fd.Openat(rootFd, self, Flags, 0, out readable));
        }

        if (error != Errno.None)
        {
            return error;
        }

        stat attributes;
        error = Failure.Note(name, "fstat", Attributes.Fstat(readable, &attributes));
        NodeStore? store = null;
        if (error == Errno.None)
        {
            error = Failure.Note(
                name, "mmap", NodeStore.Create(TreeArena.DefaultReservation, NameHeap.DefaultReservation, out store));
        }

        if (error != Errno.None)
        {
            // Open for reading only: closing can lose nothing.
            _ = Fd.Close(readable);
            return error;
        }

        FolderSource source = new(name, readable, store!, options.FdCapacity);
        layer = new DicfuseLayer(name, new DicfuseTree(name, store!, source, places: options.Places), options);
        // As above; the folder has its own descriptor now.
        _ = Fd.Close(rootFd);
        return Errno.None;
    }

    /// <summary>Opens a directory of a monorepo server as a tree (<c>mega:</c>).</summary>
    /// <param name="name">Name for messages.</param>
    /// <param name="pinned">Asked already. On success the layer owns it; on failure it stays the caller's.</param>
    /// <param name="options">How it is kept and shown.</param>
    /// <param name="layer">The layer, to be disposed by the caller.</param>
    /// <returns>None; ENOMEM.</returns>
    internal static Errno OpenServer(string name, PinnedMega pinned, DicfuseOptions options, out DicfuseLayer? layer) =>
        OpenServer(name, pinned, options, null, Log.Off, out layer);

    /// <inheritdoc cref="OpenServer(string, PinnedMega, DicfuseOptions, out DicfuseLayer?)"/>
    /// <param name="name">As above.</param>
    /// <param name="pinned">As above.</param>
    /// <param name="options">As above.</param>
    /// <param name="ahead">What to fetch from <see cref="StartOthers"/> on; null: nothing.</param>
    /// <param name="log">Hears of that.</param>
    /// <param name="layer">As above.</param>
    internal static Errno OpenServer(string name, PinnedMega pinned, DicfuseOptions options, PrefetchPlan? ahead, Log log, out DicfuseLayer? layer)
    {
        layer = null;
        Errno error = Failure.Note(
            name, "mmap", NodeStore.Create(TreeArena.DefaultReservation, NameHeap.DefaultReservation, out NodeStore? store));
        if (error == Errno.None)
        {
            var source = new MegaSource(name, store!, pinned);
            var tree = new DicfuseTree(name, store!, source, places: options.Places, moves: source.Moves);
            source.Prefetcher = ahead is null ? null : new Prefetcher(new MegaAhead(tree, source), ahead, pinned.Options.Concurrency, log);
            layer = new DicfuseLayer(name, tree, options);
        }

        return error;
    }

    /// <summary>Starts what goes on beside the requests, when the mount is up. Once.</summary>
    public void StartOthers()
    {
        _started = true;
        _server?.Prefetcher?.Start();
    }

    public Errno Find(uint directory, ByteName name, out uint node)
    {
        Errno error = _tree.Find(directory, name, out node);
        if (error is Errno.None or Errno.ENOENT)
        {
            _record?.Touch(directory);
        }

        return error;
    }

    public Errno Next(uint directory, ulong cookie, out LayerEntry entry)
    {
        Errno error = _tree.Next(directory, cookie, out entry);
        if (error is Errno.None or Errno.ENOENT)
        {
            _record?.Touch(directory);
        }

        return error;
    }

    public FileType TypeOf(uint node) => _tree.TypeOf(node);

    public uint ObjectOf(uint node) => _tree.Store.Nodes.Contains(node) ? _tree.Store.Canonical(node) : node;

    public bool IsLoaded(uint node, LayerPart part) => _tree.IsLoaded(node, part);

    public Errno Load(uint node, LayerPart part) => _tree.Load(node, part);

    /// <inheritdoc/>
    /// <remarks>A Dicfuse directory is merged like any other: the overlay marks of a source are data of another overlay, and not shown.</remarks>
    public Errno Merging(uint directory, out bool opaque, byte* redirect, int capacity, out int length)
    {
        opaque = false;
        length = 0;
        return Errno.None;
    }

    public bool NextName(uint node, ref uint cursor, out uint directory, out ByteName name) =>
        _tree.NextName(node, ref cursor, out directory, out name);

    public Errno GetattrWithMapping(uint node, bool mapping, stat* attributes)
    {
        if (!mapping)
        {
            return _tree.Getattr(node, IdMap.Identity, IdMap.Identity, attributes);
        }

        _server?.NoteShown(node);
        return _tree.Getattr(node, _options.Uids, _options.Gids, attributes);
    }

    public bool AttributesAreAtHand(uint node) => _tree.AttributesAreAtHand(node);

    public Errno Readlink(uint node, byte* buffer, int capacity, out int length)
    {
        Errno error = _tree.Readlink(node, buffer, capacity, out length);
        if (error == Errno.None)
        {
            _record?.Touch(ObjectOf(node));
        }

        return error;
    }

    public Errno Read(uint node, ulong offset, byte* buffer, uint size, out uint got)
    {
        got = 0;
        Errno error = ResolveFile(node, out uint file, out NodeRecord* record);
        if (error != Errno.None || offset >= record->Size)
        {
            return error;
        }

        uint wanted = (uint)Math.Min(size, record->Size - offset);
        error = _frames.Read(file, record->Size, offset, buffer, wanted);
        if (error == Errno.None)
        {
            got = wanted;
            _record?.Touch(file);
        }

        return error;
    }

    public Errno OpenContent(uint node, out int fd)
    {
        fd = -1;
        Errno error = ResolveFile(node, out uint file, out _);
        return error == Errno.None ? _content.Open(file, out fd) : error;
    }

    public Errno Getxattr(uint node, byte* name, byte* value, nuint size, out int length)
    {
        length = 0;
        return _tree.Store.Nodes.Contains(node)
            ? _tree.Xattrs.Get(_tree.Store.Canonical(node), name, value, size, out length)
            : Errno.ESTALE;
    }

    public Errno Listxattr(uint node, byte* list, nuint size, out int length)
    {
        length = 0;
        return _tree.Store.Nodes.Contains(node)
            ? _tree.Xattrs.List(_tree.Store.Canonical(node), list, size, out length)
            : Errno.ESTALE;
    }

    public Errno Create(uint directory, ByteName name, in NewNode what, out uint node, stat* attributes)
    {
        node = 0;
        return Errno.EROFS;
    }

    public Errno Link(uint node, uint directory, ByteName name, bool keepTimes) => Errno.EROFS;

    public Errno Unlink(uint directory, ByteName name, bool whiteout, bool keep) => Errno.EROFS;

    public Errno Rmdir(uint directory, ByteName name, bool whiteout, bool keep) => Errno.EROFS;

    public Errno Write(uint node, ulong offset, byte* data, uint size, bool killSetId, out uint written)
    {
        written = 0;
        return Errno.EROFS;
    }

    public Errno Truncate(uint node, long size) => Errno.EROFS;

    public Errno Chmod(uint node, uint mode) => Errno.EROFS;

    public Errno Chown(uint node, uint uid, uint gid) => Errno.EROFS;

    public Errno Utimens(uint node, timespec* times) => Errno.EROFS;

    public Errno Setxattr(uint node, byte* name, byte* value, nuint size, int flags) => Errno.EROFS;

    public Errno Removexattr(uint node, byte* name) => Errno.EROFS;

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            // A mount that did not come to be leaves the list of an earlier one.
            if (_started && _record?.ToText(_tree.Store) is { } text)
            {
                using (text)
                {
                    _options.Recorded!(text);
                }
            }

            _frames.Dispose();
            _tree.Dispose();
        }
    }

    private Errno ResolveFile(uint node, out uint file, out NodeRecord* record)
    {
        Errno error = _tree.Resolve(node, out file, out record);
        if (error != Errno.None)
        {
            return error;
        }

        return record->Type switch
        {
            FileType.Regular => Errno.None,
            FileType.Directory => Errno.EISDIR,
            _ => Errno.EINVAL,
        };
    }
}
