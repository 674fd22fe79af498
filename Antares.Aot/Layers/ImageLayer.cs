using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Remote;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Store;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>A read-only layer that is an image: nothing is loaded, everything is read where it lies. Each write is EROFS.</summary>
/// <remarks>
/// Beyond what <see cref="ILayer"/> names, each member that reads gives EIO for a damaged image, with the section noted. st_ino is the node
/// index, so it is the same at each mount; above other layers it is marked with the place in the stack, as those of folders are.
/// </remarks>
public sealed unsafe class ImageLayer : ILayer
{
    private readonly ImageFile _image;
    private readonly ImageTree _tree;
    private readonly ImageContent _content;
    private readonly ImageXattrs _xattrs;
    private readonly IdMap _uids;
    private readonly IdMap _gids;
    private readonly ulong _numberMark;
    private readonly RemoteFrames? _remote;
    private readonly AccessRecord? _record;
    private readonly Action<NativeBody>? _recorded;
    private readonly Prefetcher? _prefetcher;
    private bool _started;
    private bool _disposed;

    /// <param name="image">Disposed with the layer.</param>
    /// <param name="uids">Users of the image as the mount shows them.</param>
    /// <param name="gids">Groups of the image as the mount shows them.</param>
    /// <param name="numberMark">Bits set in each st_ino.</param>
    /// <param name="remote">Where the rest of it is; null: all is here.</param>
    internal ImageLayer(ImageFile image, IdMap uids, IdMap gids, ulong numberMark, RemoteParts? remote = null)
    {
        _numberMark = numberMark;
        _image = image;
        _tree = new ImageTree(image);
        _recorded = remote?.Recorded;
        _record = _recorded is null ? null : new AccessRecord();
        _remote = remote?.Pinned is { } pinned ? new RemoteFrames(pinned, image, remote.Places) : null;
        _content = new ImageContent(image, _remote);
        _prefetcher = _remote is not null && remote?.Ahead is { } plan
            ? new Prefetcher(new RemoteAhead(this, _remote), plan, _remote.Client.Options.Concurrency, remote.Log)
            : null;
        _xattrs = new ImageXattrs(image);
        _uids = uids;
        _gids = gids;
    }

    public string Name => ImageFile.LayerName;

    public bool IsReadOnly => true;

    /// <summary>Nodes, the root included.</summary>
    public long NodeCount => _tree.Count - 1;

    /// <summary>Bytes of the file that are mapped.</summary>
    public long MetadataBytes => (long)_image.Header.MetadataBytes;

    /// <summary>Parts of frames served from the few that are kept unpacked.</summary>
    public long FrameHits => _content.Hits;

    /// <summary>Frames read and unpacked.</summary>
    public long FrameLoads => _content.Loads;

    /// <summary>Frames that could not be read or were damaged.</summary>
    public long FrameFailures => _content.Failures;

    /// <summary>Native bytes of the frames kept unpacked.</summary>
    public long FrameHeldBytes => _content.HeldBytes;

    /// <summary>How patches name this image.</summary>
    internal string PatchName => ImageProvenance.NameOf(_image.Header);

    /// <summary>True for an image that is of no use without the one that it is a patch of.</summary>
    internal bool IsPatch => (_image.Header.Features & ImageFormat.PatchFeature) != 0;

    /// <summary>Name of the image that this one is a patch of; null: it does not say.</summary>
    /// <exception cref="ImageException">Damaged.</exception>
    internal string? PatchedName => ImageProvenance.Read(_image).Find(line => line.Key == ImageProvenance.BaseKey).Value;

    /// <summary>Brings what is not here; null: all is here.</summary>
    internal RemoteFrames? Remote => _remote;

    /// <summary>Fetches before somebody asks; null: nothing does.</summary>
    internal Prefetcher? Prefetcher => _prefetcher;

    internal ImageTree Tree => _tree;

    internal ImageContent Content => _content;

    internal ImageXattrs Xattrs => _xattrs;

    internal ImageFile Image => _image;

    /// <summary>Opens an image as a layer.</summary>
    /// <param name="fd">A regular file, open for reading. On success the layer owns it; on failure it stays the caller's.</param>
    /// <param name="uids">Users of the image as the mount shows them.</param>
    /// <param name="gids">Groups of the image as the mount shows them.</param>
    /// <param name="layerNumber">0 for the bottom of the stack; else the place in it, 1 to 255, the same at each mount.</param>
    /// <exception cref="ImageException">What is wrong with it.</exception>
    public static ImageLayer Open(int fd, IdMap uids, IdMap gids, uint layerNumber = 0) => Open(fd, uids, gids, layerNumber, null);

    /// <inheritdoc cref="Open(int, IdMap, IdMap, uint)"/>
    /// <param name="fd">As above; of a part that is here open for writing too.</param>
    /// <param name="uids">As above.</param>
    /// <param name="gids">As above.</param>
    /// <param name="layerNumber">As above.</param>
    /// <param name="remote">Of an image on a server; on success the layer owns what is in it.</param>
    internal static ImageLayer Open(int fd, IdMap uids, IdMap gids, uint layerNumber, RemoteParts? remote) =>
        new(ImageFile.Open(fd, grows: remote?.Pinned is not null), uids, gids, layerNumber == 0 ? 0 : FolderNumbers.NumberMark(layerNumber), remote);

    /// <summary>To be called before somebody is waited for who may be asking the server: as <see cref="RequestWait.Enter"/>.</summary>
    public Errno EnterSource() => _remote?.Enter() ?? Errno.None;

    /// <summary>Starts what goes on beside the requests, when the mount is up. Once.</summary>
    public void StartOthers()
    {
        _started = true;
        _prefetcher?.Start();
    }

    /// <summary>True when a file begins as an image does.</summary>
    /// <param name="fd">A regular file, open for reading.</param>
    public static bool IsImage(int fd) => ImageFile.HasMagic(fd);

    public Errno Find(uint directory, ByteName name, out uint node)
    {
        Errno error = FindUnrecorded(directory, name, out node);
        if (error is Errno.None or Errno.ENOENT)
        {
            _record?.Touch(directory);
        }

        return error;
    }

    public Errno Next(uint directory, ulong cookie, out LayerEntry entry)
    {
        Errno error = NextUnrecorded(directory, cookie, out entry);
        if (error is Errno.None or Errno.ENOENT)
        {
            _record?.Touch(directory);
        }

        return error;
    }

    /// <summary>Notes that a directory was looked at.</summary>
    internal void Touch(uint directory) => _record?.Touch(directory);

    /// <summary>The image that a layer shows or is a view of; null: none.</summary>
    internal static ImageLayer? Of(ILayer layer) => layer as ImageLayer ?? (layer as ErofsFileLayer)?.Image;

    /// <inheritdoc cref="Find"/>
    internal Errno FindUnrecorded(uint directory, ByteName name, out uint node)
    {
        node = 0;
        Errno error = _tree.Find(directory, name, out uint child);
        return _image.Sound(error == Errno.None ? _tree.GetObject(child, out node, out _) : error);
    }

    /// <inheritdoc cref="Next"/>
    internal Errno NextUnrecorded(uint directory, ulong cookie, out LayerEntry entry)
    {
        entry = default;
        Errno error = _tree.Directory(directory, out ImageNode record);
        if (error == Errno.None && cookie >= record.Extra)
        {
            error = Errno.ENOENT;
        }

        if (error != Errno.None)
        {
            return _image.Sound(error);
        }

        uint child = record.Body + (uint)cookie;
        error = _tree.GetChild(directory, child, out ImageNode named);
        ByteName name = default;
        if (error == Errno.None)
        {
            error = _tree.NameOf(named, out name);
        }

        uint node = 0;
        if (error == Errno.None)
        {
            error = _tree.GetObject(child, out node, out _);
        }

        FileType type = ImageTree.TypeOf(named);
        if (error == Errno.None && type == FileType.Unknown)
        {
            error = ImageFile.Note("nodes: type");
        }

        if (error == Errno.None)
        {
            entry.Cookie = cookie + 1;
            entry.StIno = _numberMark | node;
            entry.Node = node;
            entry.Type = type;
            entry.Name = name;
        }

        return _image.Sound(error);
    }

    public FileType TypeOf(uint node) =>
        _tree.GetObject(node, out _, out ImageNode record) == Errno.None ? ImageTree.TypeOf(record) : FileType.Unknown;

    public uint ObjectOf(uint node) => _tree.GetObject(node, out uint found, out _) == Errno.None ? found : node;

    /// <inheritdoc/>
    /// <remarks>The metadata of an image are on this machine: there is nothing to load.</remarks>
    public bool IsLoaded(uint node, LayerPart part) => true;

    public Errno Load(uint node, LayerPart part) => Errno.None;

    public bool AttributesAreAtHand(uint node) => true;

    /// <inheritdoc/>
    /// <remarks>An image holds no redirects.</remarks>
    public Errno Merging(uint directory, out bool opaque, byte* redirect, int capacity, out int length)
    {
        length = 0;
        Errno error = _tree.Directory(directory, out ImageNode record);
        opaque = (record.Flags & ImageNode.Opaque) != 0;
        return _image.Sound(error);
    }

    public bool NextName(uint node, ref uint cursor, out uint directory, out ByteName name)
    {
        directory = 0;
        name = default;
        if (node == ILayer.RootNode || _tree.GetObject(node, out uint next, out ImageNode record) != Errno.None)
        {
            return false;
        }

        if (cursor != 0)
        {
            if (!_tree.Contains(cursor) || _tree.Get(cursor, out record) != Errno.None || ImageTree.TypeOf(record) == FileType.Directory)
            {
                return false;
            }

            // Names of an object lie in rising order, so this ends whatever the image says.
            next = record.Extra;
            if (next <= cursor || !_tree.Contains(next) || _tree.Get(next, out record) != Errno.None)
            {
                return false;
            }
        }

        directory = record.Parent;
        cursor = next;
        return directory != 0 && directory < next && _tree.NameOf(record, out name) == Errno.None;
    }

    public Errno GetattrWithMapping(uint node, bool mapping, stat* attributes)
    {
        Errno error = _tree.Attributes(node, attributes, out ImageNode record);
        if (error == Errno.None && (record.Flags & ImageNode.Sparse) != 0 && ImageTree.TypeOf(record) == FileType.Regular)
        {
            error = _content.Zeros(record, out ulong zeros);
            attributes->st_blocks = (long)((record.Size - zeros + 511) / 512);
        }

        attributes->st_ino |= _numberMark;
        if (error == Errno.None && mapping)
        {
            attributes->st_uid = _uids.ToMount(attributes->st_uid);
            attributes->st_gid = _gids.ToMount(attributes->st_gid);
        }

        return _image.Sound(error);
    }

    public Errno Readlink(uint node, byte* buffer, int capacity, out int length) =>
        _image.Sound(_tree.Readlink(node, buffer, capacity, out length));

    public Errno Read(uint node, ulong offset, byte* buffer, uint size, out uint got)
    {
        got = 0;
        Errno error = _tree.GetObject(node, out uint found, out ImageNode record);
        FileType type = ImageTree.TypeOf(record);
        if (error == Errno.None && type != FileType.Regular)
        {
            error = type == FileType.Directory ? Errno.EISDIR : Errno.EINVAL;
        }

        if (error != Errno.None)
        {
            return _image.Sound(error);
        }

        if (offset >= record.Size)
        {
            return _image.Sound(Errno.None);
        }

        uint wanted = (uint)Math.Min(size, record.Size - offset);
        error = _image.Sound(_content.Read(record, offset, buffer, wanted));
        got = error == Errno.None ? wanted : 0;
        if (error == Errno.None)
        {
            _record?.Touch(found);
        }

        return error;
    }

    /// <inheritdoc/>
    /// <remarks>Always EOPNOTSUPP: contents are packed.</remarks>
    public Errno OpenContent(uint node, out int fd)
    {
        fd = -1;
        return Errno.EOPNOTSUPP;
    }

    public Errno Getxattr(uint node, byte* name, byte* value, nuint size, out int length)
    {
        length = 0;
        Errno error = _tree.GetObject(node, out uint found, out ImageNode record);
        return _image.Sound(error == Errno.None ? _xattrs.Get(found, record, name, value, size, out length) : error);
    }

    public Errno Listxattr(uint node, byte* list, nuint size, out int length)
    {
        length = 0;
        Errno error = _tree.GetObject(node, out uint found, out ImageNode record);
        return _image.Sound(error == Errno.None ? _xattrs.List(found, record, list, size, out length) : error);
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
            _prefetcher?.Stop();

            // A mount that did not come to be leaves the list of an earlier one.
            if (_started && _record?.ToText(_tree) is { } text)
            {
                using (text)
                {
                    _recorded!(text);
                }
            }

            _remote?.BreakOff();
            _prefetcher?.Join();
            _content.Dispose();
            _image.Dispose();
            _remote?.Dispose();
        }
    }
}

/// <summary>What an image on a server needs beside its file.</summary>
/// <param name="Pinned">The server; null: all of the image is here.</param>
/// <param name="Places">How many requests may wait for it.</param>
/// <param name="Recorded">Takes the list of what was touched (<see cref="AccessRecord"/>) when the layer is closed; null: none is kept.</param>
/// <param name="Ahead">What to fetch before somebody asks; null: nothing.</param>
/// <param name="Log">Hears of that.</param>
internal sealed record RemoteParts(PinnedImage? Pinned, RequestPlaces? Places, Action<NativeBody>? Recorded, PrefetchPlan? Ahead, Log Log);
