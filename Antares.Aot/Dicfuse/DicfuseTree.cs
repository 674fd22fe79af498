using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Sources;
using Antares.Aot.Dicfuse.Tree;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse;

/// <summary>
/// A read-only tree that is loaded from its source as it is touched: names of a directory at its first lookup or listing,
/// attributes of a node when they are first asked for. What is loaded stays, is found without a lock, and is no managed object.
/// </summary>
/// <remarks>
/// Order: the load of one directory, of one node's attributes, the link table's locks; the source's own locks are innermost. Node 0 is none, 1 the root.
/// A node index that was never handed out is ESTALE.
/// </remarks>
public sealed unsafe class DicfuseTree : IDisposable
{
    private const uint SectorBytes = 512;
    private const int PreferredIo = 4096;

    /// <summary>Cookies from here on are those of names that the source does not list (<see cref="TreeEdit.Serial"/>).</summary>
    private const ulong AddedNames = 1UL << (ListingOrder.CookieBits - 1);

    private readonly NodeStore _store;
    private readonly ITreeSource _source;
    private readonly OwnerTable _owners;
    private readonly StInoSet _numbers;
    private readonly LinkTable _links;
    private readonly AttributeLoader _attributes;
    private readonly DirectoryLoader _directories;
    private readonly LinkTargets _targets;
    private TreeEdits? _edits;

    /// <param name="layer">Name of the layer, for failure notes.</param>
    /// <param name="store">New and empty; the tree disposes it.</param>
    /// <param name="source">Reads from <paramref name="store"/> where nodes lie; the tree disposes it.</param>
    /// <param name="numberMask">Bits of a st_ino; narrower than usual only to make collisions happen.</param>
    /// <param name="places">How many requests may ask the source at a time; null: no bound.</param>
    /// <param name="moves">Of a source that can move to another revision.</param>
    internal DicfuseTree(
        string layer, NodeStore store, ITreeSource source, ulong numberMask = StInoSet.DefaultMask, RequestPlaces? places = null, RevisionGate? moves = null)
    {
        _store = store;
        _source = source;
        Places = places;
        _owners = new OwnerTable();
        _numbers = new StInoSet(store.Nodes, numberMask);
        _links = new LinkTable(store.Nodes);
        _attributes = new AttributeLoader(layer, store, source, places, _owners, _links, _numbers);
        _directories = new DirectoryLoader(layer, store, source, places, _numbers, _links, _attributes, moves);
        _targets = new LinkTargets(layer, store, source, places);
        Growth = new NodeGrowth(layer, store, _numbers);
        Xattrs = new TreeXattrs(store, source, places);
    }

    /// <summary>Nodes known, the root included.</summary>
    public long NodeCount => _directories.Nodes + Growth.Count;

    /// <summary>Bytes of nodes, and of the name indices of big directories.</summary>
    public ulong ArenaBytes => _store.Nodes.Bytes;

    /// <summary>Bytes of names and link targets.</summary>
    public ulong NameBytes => _store.Names.Bytes;

    /// <summary>Bytes of the tables by st_ino and by the source's inode numbers.</summary>
    public long TableBytes => _numbers.Bytes + _links.Bytes;

    /// <summary>Listings asked of the source.</summary>
    public long DirectoryLoads => _directories.Loads;

    /// <summary>Single nodes' attributes asked of the source.</summary>
    public long AttributeLoads => _attributes.Loads;

    internal NodeStore Store => _store;

    internal ITreeSource Source => _source;

    internal RequestPlaces? Places { get; }

    internal LinkTable Links => _links;

    internal TreeXattrs Xattrs { get; }

    internal NodeGrowth Growth { get; }

    /// <summary>Names that lead elsewhere than the source says; null: none. Set as a whole, seen by the next question of each thread.</summary>
    internal TreeEdits? Edits
    {
        get => Volatile.Read(ref _edits);
        set => Volatile.Write(ref _edits, value);
    }

    /// <inheritdoc cref="ILayer.Find"/>
    public Errno Find(uint directory, ByteName name, out uint node)
    {
        node = 0;
        Errno error = Loaded(directory, out NodeRecord* record);
        if (error != Errno.None)
        {
            return error;
        }

        if (Edits is { } edits && edits.TryFind(directory, name, out TreeEdit edit))
        {
            node = edit.Node;
            return node == 0 ? Errno.ENOENT : Errno.None;
        }

        return FindListed(record, name, out node) ? Errno.None : Errno.ENOENT;
    }

    /// <inheritdoc cref="ILayer.Next"/>
    public Errno Next(uint directory, ulong cookie, out LayerEntry entry)
    {
        entry = default;
        Errno error = Loaded(directory, out NodeRecord* record);
        if (error != Errno.None)
        {
            return error;
        }

        TreeEdits? edits = Edits is { } all && all.Concern(directory) ? all : null;
        for (; cookie < record->Extra; cookie++)
        {
            uint child = record->Body + (uint)cookie;
            if (edits == null || !edits.TryFind(directory, _store.NameOf(_store[child]), out TreeEdit edit))
            {
                Show(child, cookie + 1, out entry);
                return Errno.None;
            }

            if (edit.Node != 0)
            {
                Show(edit.Node, cookie + 1, out entry);
                return Errno.None;
            }
        }

        uint after = cookie < AddedNames ? 0 : (uint)Math.Min(cookie - AddedNames, uint.MaxValue);
        if (edits == null || !edits.TryNextAdded(directory, after, out TreeEdit added))
        {
            return Errno.ENOENT;
        }

        Show(added.Node, AddedNames + added.Serial, out entry);
        return Errno.None;
    }

    /// <summary>Moves a directory's time of modification, since it shows other names from now on.</summary>
    /// <returns>As <see cref="Resolve"/>.</returns>
    internal Errno Touch(uint directory, timespec time)
    {
        Errno error = Resolve(directory, out uint node, out NodeRecord* record);
        if (error == Errno.None && node == directory)
        {
            Volatile.Write(ref record->Time, PackedTime.Pack(time));
        }

        return error;
    }

    /// <inheritdoc cref="ILayer.TypeOf"/>
    /// <remarks>A 0:0 character device is a whiteout, as in every overlay layer: kernel overlayfs on top would hide it too.</remarks>
    public FileType TypeOf(uint node)
    {
        if (!_store.Nodes.Contains(node))
        {
            return FileType.Unknown;
        }

        FileType type = _store[node]->Type;
        if (type != FileType.CharDevice)
        {
            return type;
        }

        // A device that cannot be asked is none that hides anything; whoever wants its attributes gets the reason.
        return Resolve(node, out _, out NodeRecord* record) == Errno.None && record->Size == 0 ? FileType.Whiteout : type;
    }

    /// <inheritdoc cref="ILayer.IsLoaded"/>
    public bool IsLoaded(uint node, LayerPart part)
    {
        if (!_store.Nodes.Contains(node))
        {
            return true;
        }

        NodeRecord* record = _store[node];
        return part switch
        {
            LayerPart.Names => !record->IsDirectory || record->Has(NodeFlags.ChildrenLoaded),
            LayerPart.Type => record->Type != FileType.CharDevice || HasAttributes(node),
            LayerPart.Attributes => HasAttributes(node),
            _ => Xattrs.AreLoaded(_store.Canonical(node)),
        };
    }

    /// <inheritdoc cref="ILayer.Load"/>
    public Errno Load(uint node, LayerPart part)
    {
        if (!_store.Nodes.Contains(node))
        {
            return Errno.ESTALE;
        }

        return part switch
        {
            LayerPart.Names => _directories.Ensure(node),
            LayerPart.Type or LayerPart.Attributes => Resolve(node, out _, out _),
            _ => Xattrs.Load(_store.Canonical(node)),
        };
    }

    /// <inheritdoc cref="ILayer.NextName"/>
    public bool NextName(uint node, ref uint cursor, out uint directory, out ByteName name)
    {
        directory = 0;
        name = default;
        if (!_store.Nodes.Contains(node) || node == ILayer.RootNode)
        {
            return false;
        }

        uint first = _store.Canonical(node);
        uint next = first;
        if (cursor != 0)
        {
            next = _store[cursor]->IsDirectory ? 0 : Volatile.Read(ref _store[cursor]->Extra);
            if (next == 0 || next == first)
            {
                return false;
            }
        }

        cursor = next;
        directory = _store[next]->Parent;
        name = _store.NameOf(_store[next]);
        return true;
    }

    /// <summary>Makes sure of a node's attributes and gives the node that stands for the object.</summary>
    /// <returns>None; ESTALE: no node; ENOMEM; EACCES; EIO.</returns>
    internal Errno Resolve(uint node, out uint canonical, out NodeRecord* record)
    {
        canonical = 0;
        record = null;
        if (!_store.Nodes.Contains(node))
        {
            return Errno.ESTALE;
        }

        Errno error = _attributes.Ensure(node);
        if (error == Errno.None)
        {
            canonical = _store.Canonical(node);
            record = _store[canonical];
            if (canonical != node)
            {
                // The first name is known for the object before its own attributes stand in the node.
                error = _attributes.Ensure(canonical);
            }
        }

        return error;
    }

    /// <inheritdoc cref="ILayer.AttributesAreAtHand"/>
    internal bool AttributesAreAtHand(uint node) =>
        !_store.Nodes.Contains(node) || _store[node]->Has(NodeFlags.AttributesLoaded) || _source.AttributesAreAtHand(node);

    /// <summary>Fills attributes; owner ids pass through the maps.</summary>
    /// <returns>As <see cref="Resolve"/>.</returns>
    internal Errno Getattr(uint node, IdMap uids, IdMap gids, stat* attributes)
    {
        Errno error = Resolve(node, out _, out NodeRecord* record);
        if (error != Errno.None)
        {
            return error;
        }

        FileType type = record->Type;
        bool device = type is FileType.CharDevice or FileType.BlockDevice;
        timespec time = PackedTime.Unpack(record->Time);
        (uint uid, uint gid) = _owners[record->Owner];
        *attributes = default;
        attributes->st_ino = record->StIno;
        attributes->st_nlink = record->Nlink;
        attributes->st_mode = record->Mode;
        attributes->st_uid = uids.ToMount(uid);
        attributes->st_gid = gids.ToMount(gid);
        attributes->st_rdev = device ? record->Size : 0;
        attributes->st_size = device ? 0 : (long)record->Size;
        attributes->st_blksize = PreferredIo;
        attributes->st_blocks = Blocks(record, type);
        attributes->st_atim = time;
        attributes->st_mtim = time;
        attributes->st_ctim = time;
        return Errno.None;
    }

    /// <inheritdoc cref="ILayer.Readlink"/>
    internal Errno Readlink(uint node, byte* buffer, int capacity, out int length)
    {
        length = 0;
        Errno error = Resolve(node, out uint link, out NodeRecord* record);
        if (error != Errno.None)
        {
            return error;
        }

        return record->Type == FileType.Symlink ? _targets.Read(link, buffer, capacity, out length) : Errno.EINVAL;
    }

    public void Dispose()
    {
        _source.Dispose();
        Xattrs.Dispose();
        _links.Dispose();
        _numbers.Dispose();
        _owners.Dispose();
        _store.Dispose();
    }

    /// <summary>Blocks as the source has them where that is known (sparse files), else the size in sectors.</summary>
    private static long Blocks(NodeRecord* record, FileType type) => type switch
    {
        FileType.Regular when record->Has(NodeFlags.BodyIsBlocks) => record->Body,
        FileType.Regular or FileType.Directory or FileType.Symlink => (long)((record->Size + SectorBytes - 1) / SectorBytes),
        _ => 0,
    };

    private Errno Loaded(uint directory, out NodeRecord* record)
    {
        if (!_store.Nodes.Contains(directory))
        {
            record = null;
            return Errno.ESTALE;
        }

        record = _store[directory];
        return _directories.Ensure(directory);
    }

    private void Show(uint child, ulong cookie, out LayerEntry entry)
    {
        uint node = _store.Canonical(child);
        NodeRecord* listed = _store[node];
        bool told = listed->IsDirectory || !_attributes.ListingsUnreliable || listed->Has(NodeFlags.AttributesLoaded);
        entry.Cookie = cookie;
        // Where listings proved to tell other numbers, only the attributes tell the object's.
        entry.StIno = told ? listed->StIno : 0;
        entry.Node = node;
        entry.Type = IsLoaded(node, LayerPart.Type) ? TypeOf(node) : listed->Type;
        entry.Name = _store.NameOf(_store[child]);
    }

    private bool FindListed(NodeRecord* directory, ByteName name, out uint node)
    {
        long position = NameIndex.Find(_store, directory, name);
        node = position < 0 ? 0 : _store.Canonical(directory->Body + (uint)position);
        return position >= 0;
    }

    private bool HasAttributes(uint node)
    {
        if (!_store[node]->Has(NodeFlags.AttributesLoaded))
        {
            return false;
        }

        uint canonical = _store.Canonical(node);
        return canonical == node || _store[canonical]->Has(NodeFlags.AttributesLoaded);
    }
}
