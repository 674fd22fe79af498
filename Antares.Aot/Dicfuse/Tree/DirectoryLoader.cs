using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Sources;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>Loads the names of a directory when it is first touched: lists, sorts, appends one block, publishes it by one store.</summary>
/// <remarks>
/// One load per directory at a time (<see cref="LoadGate"/>); while the source works only those wait who need this directory, and
/// readers of loaded directories take no lock. A failed load leaves the directory unloaded and nothing in the tables: the next touch tries again. The names'
/// attributes are not asked for, except where a listing suggests that two names are one object.
/// </remarks>
internal sealed unsafe class DirectoryLoader
{
    private readonly string _layer;
    private readonly NodeStore _store;
    private readonly ITreeSource _source;
    private readonly RequestPlaces? _places;
    private readonly StInoSet _numbers;
    private readonly LinkTable _links;
    private readonly AttributeLoader _attributes;
    private readonly LoadGate _gate;
    private readonly RevisionGate? _moves;
    private long _loads;
    private long _nodes = 1;

    public DirectoryLoader(
        string layer, NodeStore store, ITreeSource source, RequestPlaces? places, StInoSet numbers, LinkTable links, AttributeLoader attributes, RevisionGate? moves)
    {
        _moves = moves;
        _layer = layer;
        _store = store;
        _source = source;
        _places = places;
        _numbers = numbers;
        _links = links;
        _attributes = attributes;
        _gate = new LoadGate(store, NodeFlags.ChildrenLoading, NodeFlags.ChildrenLoaded);
    }

    /// <summary>How often the source was asked for a listing.</summary>
    public long Loads => Volatile.Read(ref _loads);

    /// <summary>Nodes known so far, the root included.</summary>
    public long Nodes => Volatile.Read(ref _nodes);

    /// <summary>Makes sure that the children of a directory are there.</summary>
    /// <returns>None; ENOTDIR; ENOMEM; EACCES; EIO: the source is gone, or damaged.</returns>
    public Errno Ensure(uint directory)
    {
        NodeRecord* record = _store[directory];
        if (record->Has(NodeFlags.ChildrenLoaded))
        {
            return Errno.None;
        }

        return record->IsDirectory ? Load(directory, record) : Errno.ENOTDIR;
    }

    private Errno Load(uint directory, NodeRecord* record)
    {
        Errno entered = RequestWait.Enter(_places);
        if (entered != Errno.None)
        {
            return entered;
        }

        entered = _gate.Enter(directory, out bool isMine);
        if (!isMine)
        {
            return entered;
        }

        // Only a counter for people: its sum is right, its moment does not matter.
        _ = Interlocked.Increment(ref _loads);
        try
        {
            Errno error;
            while (!TryLoad(directory, record, out error))
            {
                Failure.Clear();
            }

            return error;
        }
        finally
        {
            _gate.Leave(directory);
        }
    }

    /// <returns>False: the source has moved to another revision meanwhile.</returns>
    private bool TryLoad(uint directory, NodeRecord* record, out Errno error)
    {
        long moves = _moves?.Moves ?? 0;
        DirectoryListing listing = default;
        try
        {
            error = _source.List(directory, ref listing);
            if (error == Errno.None)
            {
                error = Failure.Note(_layer, "names", listing.Sort());
            }

            if (_moves == null)
            {
                // Not under a lock: it may ask the source once more.
                error = error == Errno.None ? Append(directory, record, ref listing) : error;
                return true;
            }

            lock (_moves.Lock)
            {
                _moves.WaitReleased();
                if (_moves.Moves != moves)
                {
                    return false;
                }

                error = error == Errno.None ? Append(directory, record, ref listing) : error;
                return true;
            }
        }
        finally
        {
            listing.Dispose();
        }
    }

    private Errno Append(uint directory, NodeRecord* record, ref DirectoryListing listing)
    {
        uint count = (uint)listing.Count;
        uint first = 0;
        bool indexed = NameIndex.Wanted(count);
        if (count != 0)
        {
            Errno error = Place(directory, record, ref listing, indexed, out first);
            if (error != Errno.None)
            {
                return Failure.Note(_layer, "tree is full", error);
            }
        }

        if (!listing.InodesReliable)
        {
            _attributes.DistrustListings();
        }

        SettleSuspects(first, ref listing);
        if (listing.HasDirectory)
        {
            stat own = listing.Directory;
            // Learnt on the way; if they cannot be taken, whoever asks for them gets the reason.
            _ = _attributes.Offer(directory, &own);
        }

        record->Body = first;
        record->Extra = count;
        // Only a counter for people.
        _ = Interlocked.Add(ref _nodes, count);
        record->Publish(NodeFlags.ChildrenLoaded | (indexed ? NodeFlags.Indexed : NodeFlags.None));
        return Errno.None;
    }

    /// <summary>Puts the names into the store and the tables. A failure leaves nothing there, so that the next attempt numbers them alike.</summary>
    private Errno Place(uint directory, NodeRecord* record, ref DirectoryListing listing, bool indexed, out uint first)
    {
        uint count = (uint)listing.Count;
        uint records = count + (indexed ? NameIndex.RecordsFor(count) : 0);
        ulong bytes = listing.NameBytes;
        first = 0;
        Errno error = _store.Names.Allocate(bytes, out uint place);
        if (error != Errno.None)
        {
            return error;
        }

        error = _store.Nodes.Allocate(records, out first);
        bool unused = error != Errno.None;
        if (error == Errno.None)
        {
            long suspicions = _links.Suspicions;
            error = Fill(directory, record, ref listing, first, place, indexed, out uint filled);
            if (error != Errno.None)
            {
                for (uint i = 0; i < filled; i++)
                {
                    _numbers.Withdraw(first + i);
                    if (!_store[first + i]->IsDirectory)
                    {
                        _links.Withdraw(first + i);
                    }
                }

                // Another directory's load that was told of one of these nodes may be about to ask for its attributes: they stay.
                unused = _links.Suspicions == suspicions && _store.Nodes.TryGiveBack(first, records);
            }
        }

        if (unused)
        {
            _store.Names.GiveBack(place, bytes);
        }

        return error;
    }

    private Errno Fill(uint directory, NodeRecord* record, ref DirectoryListing listing, uint first, uint place, bool indexed, out uint filled)
    {
        filled = 0;
        uint count = (uint)listing.Count;
        ulong device = listing.HasDirectory ? listing.Directory.st_dev : 0;
        if (directory == ILayer.RootNode)
        {
            _numbers.Device = device;
        }

        NodeRecord* index = _store[first + count];
        for (uint i = 0; i < count; i++)
        {
            ListedName item = listing.Items[i];
            NodeRecord* child = _store[first + i];
            filled = i + 1;
            // SAFETY: the places taken from the heap are NameBytes in all, the sum of these lengths; NUL and payload follow the name in both.
            int bytes = item.Length + 1 + listing.PayloadBytes;
            new ReadOnlySpan<byte>(listing.NameOf((int)i).Pointer, bytes).CopyTo(new Span<byte>(_store.Names.At(place), bytes));
            child->Parent = directory;
            child->Name = place;
            child->NameLength = item.Length;
            child->Mode = (ushort)FileTypes.ToMode(item.Type == FileType.Whiteout ? FileType.CharDevice : item.Type);
            place += (uint)bytes;

            ByteName name = _store.NameOf(child);
            ulong hash = StInoSet.HashOf(record->StIno, name);
            Errno error = Errno.None;
            uint suspect = 0;
            if (!child->IsDirectory)
            {
                child->Size = item.Inode;
                child->Time = device;
            }

            if (child->IsDirectory || item.Inode == 0)
            {
                error = _numbers.Claim(first + i, record->StIno, name, hash);
            }
            else
            {
                child->StIno = _numbers.OfObject(device, item.Inode);
                error = _links.EnterPending(first + i, out suspect);
            }

            listing.Items[i].Suspect = suspect;
            if (error != Errno.None)
            {
                return error;
            }

            if (indexed)
            {
                NameIndex.Enter(index, count, i, hash);
            }
        }

        return Errno.None;
    }

    /// <summary>Where the listing suggests that a name is one of an object already known, asks for the attributes of both.</summary>
    /// <remarks>
    /// Suspects wait in the listing, which is this thread's own, and not in the nodes: a node that was entered as pending may be
    /// another directory's suspect at once, before its own directory is published, and that thread then writes what the attributes of the
    /// node tell, the ring of its names in <see cref="NodeRecord.Extra"/> among it.
    /// </remarks>
    private void SettleSuspects(uint first, ref DirectoryListing listing)
    {
        for (int i = 0; i < listing.Count; i++)
        {
            uint suspect = listing.Items[i].Suspect;
            if (suspect != 0)
            {
                // A name that cannot be asked now stays a node of its own, and whoever asks for it gets the reason.
                _ = _attributes.Ensure(suspect);
                _ = _attributes.Ensure(first + (uint)i);
            }
        }
    }
}
