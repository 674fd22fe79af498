using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Sources;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>Loads the attributes of a node when they are first asked for, and finds out then which names are one object.</summary>
/// <remarks>
/// One load per node at a time (<see cref="LoadGate"/>); readers of loaded attributes take no lock. A node is loaded within the load of
/// a directory, never the other way round, and before the locks of <see cref="LinkTable"/> are taken. A failure leaves the node as it
/// was, to be asked again.
/// </remarks>
internal sealed unsafe class AttributeLoader
{
    private readonly string _layer;
    private readonly NodeStore _store;
    private readonly ITreeSource _source;
    private readonly RequestPlaces? _places;
    private readonly OwnerTable _owners;
    private readonly LinkTable _links;
    private readonly StInoSet _numbers;
    private readonly LoadGate _gate;
    private long _loads;
    private bool _listingsUnreliable;

    public AttributeLoader(
        string layer, NodeStore store, ITreeSource source, RequestPlaces? places, OwnerTable owners, LinkTable links, StInoSet numbers)
    {
        _layer = layer;
        _store = store;
        _source = source;
        _places = places;
        _owners = owners;
        _links = links;
        _numbers = numbers;
        _gate = new LoadGate(store, NodeFlags.AttributesLoading, NodeFlags.AttributesLoaded);
    }

    /// <summary>How often the source was asked for one node's attributes.</summary>
    public long Loads => Volatile.Read(ref _loads);

    /// <summary>
    /// True once the source was seen to list other inode numbers than it stats: hard links and st_ino are then told by attributes alone,
    /// so that a listing tells no number for a name that was not asked for them.
    /// </summary>
    public bool ListingsUnreliable => Volatile.Read(ref _listingsUnreliable);

    public void DistrustListings() => Volatile.Write(ref _listingsUnreliable, true);

    /// <summary>Makes sure that the attributes of a node are there.</summary>
    /// <returns>None; ENOMEM; EACCES; EIO: the source is gone, or shows another type of file.</returns>
    public Errno Ensure(uint node)
    {
        NodeRecord* record = _store[node];
        if (record->Has(NodeFlags.AttributesLoaded))
        {
            return Errno.None;
        }

        Errno entered = RequestWait.Enter(_places);
        if (entered != Errno.None)
        {
            return entered;
        }

        entered = _gate.Enter(node, out bool isMine);
        if (!isMine)
        {
            return entered;
        }

        // Only a counter for people: its sum is right, its moment does not matter.
        _ = Interlocked.Increment(ref _loads);
        try
        {
            stat attributes;
            Errno error = _source.Attributes(node, &attributes);
            return error == Errno.None ? Publish(node, record, &attributes) : error;
        }
        finally
        {
            _gate.Leave(node);
        }
    }

    /// <summary>Takes attributes that were learnt on the way, unless the node has them already.</summary>
    /// <returns>As <see cref="Ensure"/>.</returns>
    public Errno Offer(uint node, stat* attributes)
    {
        Errno entered = _gate.Enter(node, out bool isMine);
        if (!isMine)
        {
            return entered;
        }

        try
        {
            return Publish(node, _store[node], attributes);
        }
        finally
        {
            _gate.Leave(node);
        }
    }

    private Errno Publish(uint node, NodeRecord* record, stat* attributes)
    {
        FileType type = FileTypes.FromMode(attributes->st_mode);
        if (type != record->Type)
        {
            return Failure.Note(_layer, "source changed: type", Errno.EIO);
        }

        Errno error = _owners.IndexOf(attributes->st_uid, attributes->st_gid, out ushort owner);
        if (error != Errno.None)
        {
            return Failure.Note(_layer, "owner table full", error == Errno.ENOMEM ? error : Errno.EIO);
        }

        ulong time = PackedTime.Pack(attributes->st_mtim);
        record->Mode = (ushort)attributes->st_mode;
        record->Owner = owner;
        if (type == FileType.Directory)
        {
            record->Nlink = (ushort)(attributes->st_nlink is 0 or > 65_534 ? 1 : attributes->st_nlink);
            record->Size = (ulong)attributes->st_size;
            record->Time = time;
            record->Publish(NodeFlags.AttributesLoaded);
            return Errno.None;
        }

        record->Nlink = (ushort)Math.Clamp(attributes->st_nlink, 1, ushort.MaxValue);
        NodeFlags flags = NodeFlags.AttributesLoaded;
        uint primary = node;
        Identify(record, attributes);
        if (attributes->st_nlink > 1)
        {
            error = _links.Join(node, attributes->st_dev, attributes->st_ino, out primary);
            if (error != Errno.None)
            {
                return error;
            }
        }

        ulong size = (ulong)attributes->st_size;
        if (primary != node)
        {
            record->Body = primary;
            flags |= NodeFlags.Alias;
        }
        else if (type == FileType.Regular)
        {
            record->Body = (uint)Math.Clamp(attributes->st_blocks, 0, uint.MaxValue);
            flags |= attributes->st_blocks is >= 0 and <= uint.MaxValue ? NodeFlags.BodyIsBlocks : NodeFlags.None;
        }
        else if (type is FileType.CharDevice or FileType.BlockDevice)
        {
            size = attributes->st_rdev;
        }

        _links.Publish(node, size, time, flags);
        return Errno.None;
    }

    // A listing that told another object, or none, gave the node another number than the object has. That another device shows is a
    // mount point on this one name; otherwise the source's listings tell numbers of their own, and are not believed any more.
    private void Identify(NodeRecord* record, stat* attributes)
    {
        bool severalNames = attributes->st_nlink > 1;
        bool differs = record->Size == 0
            ? severalNames
            : record->Size != attributes->st_ino || record->Time != attributes->st_dev;
        if (!differs)
        {
            return;
        }

        if (severalNames || record->Time == attributes->st_dev)
        {
            DistrustListings();
        }

        record->StIno = _numbers.OfObject(attributes->st_dev, attributes->st_ino);
    }
}
