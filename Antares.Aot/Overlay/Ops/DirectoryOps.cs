using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay.Ops;

/// <summary>READDIR, READDIRPLUS and FSYNCDIR.</summary>
public sealed unsafe class DirectoryOps
{
    private readonly MergedTree _tree;
    private readonly MergedAttributes _attributes;
    private readonly MergedListing _listing;
    private readonly CopyUp _copyUp;

    public DirectoryOps(MergedTree tree, MergedAttributes attributes, MergedListing listing, CopyUp copyUp)
    {
        _tree = tree;
        _attributes = attributes;
        _listing = listing;
        _copyUp = copyUp;
    }

    /// <summary>Lists a directory from a cookie on.</summary>
    /// <param name="nodeId">The directory.</param>
    /// <param name="cookie">0, or the cookie of the entry after which to go on.</param>
    /// <param name="plus">True to give each entry with its attributes and count a reference to it.</param>
    /// <param name="add">Takes one entry; false when there is no room for it (it is not counted then).</param>
    /// <param name="context">Handed to <paramref name="add"/>.</param>
    /// <param name="end">With no entry taken and no error: how to tell that there is none.</param>
    /// <returns>None, also when the room was used up; ESTALE; EIO: a layer could not be read.</returns>
    public Errno Readdir(
        ulong nodeId, ulong cookie, bool plus, delegate*<void*, DirectoryItem*, bool> add, void* context, out ListingEnd end)
    {
        var reader = new Reader
        {
            Round = ListingRound.Of(cookie),
            Place = ListingRound.PlaceOf(cookie),
            GivenPlace = ListingRound.PlaceOf(cookie),
            Plus = plus,
            Add = add,
            Context = context,
        };
        end = ListingEnd.Plain;
        Errno error;

        // A directory of the bottom layer that nobody changed is read without the lock; once loaded, its listing changes with an exchange alone.
        if (_tree.TryPure(nodeId, out _, out uint node, out uint slot) && _tree.IsBottom(slot))
        {
            Target pure = new() { NodeId = nodeId, Lower = new LowerRef(slot, node) };
            error = List(in pure, ref reader);
            return error == Errno.None && !reader.Gave ? EndOfLower(in pure, out end) : error;
        }

        reader.Locked = true;
        lock (_tree.Gate)
        {
            do
            {
                // Goes on after the last entry that was given away.
                error = _tree.Resolve(nodeId, out Target directory);
                if (error == Errno.None && reader.Place == 0 && directory.HasUpper)
                {
                    error = _tree.Upper.BeginReader(directory.Upper, out reader.Round);
                }

                error = error == Errno.None ? List(in directory, ref reader) : error;
                if (error == Errno.None && !reader.Gave)
                {
                    error = EndOf(in directory, in reader, out end);
                }
            }
            while (_tree.Lowers.LoadLacking(ref error));

            return error;
        }
    }

    /// <summary>Makes a directory's names durable.</summary>
    public Errno Fsyncdir(ulong nodeId, bool dataOnly)
    {
        if (_tree.TryPure(nodeId, out _, out _, out _) || !_tree.HasUpper || _tree.Upper.Writer.Options.Volatile)
        {
            return Errno.None;
        }

        FdLease lease;
        lock (_tree.Gate)
        {
            Errno error = _tree.Resolve(nodeId, out Target directory);
            if (error != Errno.None || !directory.HasUpper)
            {
                return error;
            }

            error = _tree.Upper.Access.PinDirectory(directory.Upper, out lease);
            if (error != Errno.None)
            {
                return error;
            }
        }

        SyncWait wait = _tree.Upper.Writer.SyncWait;
        long began = wait.Begin();
        Errno synced = dataOnly ? FileIo.Fdatasync(lease.Fd) : FileIo.Fsync(lease.Fd);
        if (synced == Errno.EBADF)
        {
            // A directory that may be searched but not read has only an O_PATH descriptor: sync the file system instead, which is always long.
            _ = RequestWait.Announce(); // waits in any case
            synced = FileIo.Syncfs(_tree.Upper.Access.RootFd);
        }

        wait.End(began);
        _tree.Upper.Access.Cache.Release(lease);
        return Failure.Note("upper", "fsync (directory)", synced);
    }

    // Nothing was left to give: with each answer there is room for one entry at least.
    private Errno EndOf(ref readonly Target directory, ref readonly Reader reader, out ListingEnd end)
    {
        if (!directory.HasUpper)
        {
            return EndOfLower(in directory, out end);
        }

        end = _tree.Upper.Table.IsLoaded(directory.Upper)
            ? _tree.Upper.Table.Listing(directory.Upper)->Kept.End(reader.Round, reader.GivenPlace)
            : ListingEnd.KeepNothing;
        return Errno.None;
    }

    // What no upper has does not change, unless a layer was exchanged: then somebody may stand at a place that is no more.
    private Errno EndOfLower(ref readonly Target directory, out ListingEnd end)
    {
        end = ListingEnd.Plain;
        if (!_tree.WasExchanged)
        {
            return Errno.None;
        }

        ulong bytes = KeptListing.After(KeptListing.After(0, 1), 2);
        ulong place = 0;
        Errno error;
        while ((error = _listing.Next(in directory, place, out MergedName name)) == Errno.None)
        {
            bytes = KeptListing.After(bytes, name.Name.Length);
            place = name.Cookie;
        }

        end = KeptListing.FillsPages(bytes) ? ListingEnd.DropKept : ListingEnd.Plain;
        return error == Errno.ENOENT ? Errno.None : error;
    }

    private bool Give(ref readonly Target directory, ref Reader reader, DirectoryItem* item, ulong place)
    {
        item->NextCookie = place | ListingRound.Bits(reader.Round);
        if (!reader.Add(reader.Context, item))
        {
            return false;
        }

        if (directory.HasUpper && _tree.Upper.Table.IsLoaded(directory.Upper))
        {
            _tree.Upper.Table.Listing(directory.Upper)->Kept.Gave(reader.Round, reader.GivenPlace, place, item->Name.Length);
        }

        reader.Place = place;
        reader.GivenPlace = place;
        reader.Gave = true;
        return true;
    }

    private Errno List(ref readonly Target directory, ref Reader reader)
    {
        DirectoryItem item = default;
        if (reader.Place < 2)
        {
            Errno error = Dots(in directory, ref reader, &item, out bool full);
            if (error != Errno.None || full)
            {
                return error;
            }
        }

        while (true)
        {
            Errno error = _listing.Next(in directory, reader.Place <= 2 ? 0 : reader.Place, out MergedName name);
            if (error == Errno.ENOENT)
            {
                return Errno.None;
            }

            if (error != Errno.None)
            {
                return error;
            }

            error = Fill(in directory, in name, reader.Plus, reader.Locked, &item, out Target child);
            if (error == Errno.ESTALE)
            {
                error = NameAlone(in name, &item, ref child);
            }

            if (error == Errno.ENOENT)
            {
                // Gone from a folder that was changed behind our back.
                reader.Place = name.Cookie;
                continue;
            }

            if (error != Errno.None)
            {
                return error;
            }

            if (item.NodeId != NodeId.None)
            {
                // Counted before the entry can reach the kernel, taken back when there was no room for it.
                _tree.RaiseLookups(in child);
            }

            if (!Give(in directory, ref reader, &item, name.Cookie))
            {
                if (item.NodeId != NodeId.None)
                {
                    TakeBack(in child);
                }

                return Errno.None;
            }
        }
    }

    private void TakeBack(ref readonly Target child)
    {
        if (NodeId.IsUpper(child.NodeId))
        {
            if (--_tree.Upper.Table.Node(child.Upper)->Lookups == 0)
            {
                _tree.Counts.CountHeld(-1);
            }
        }
        else
        {
            _ = _tree.Counts.Lower(NodeId.SlotOf(child.NodeId), NodeId.NodeOf(child.NodeId), 1);
        }
    }

    private Errno Dots(ref readonly Target directory, ref Reader reader, DirectoryItem* item, out bool full)
    {
        full = false;
        stat attributes;
        ulong above = 0;
        Errno error = _attributes.Get(in directory, &attributes);
        if (error == Errno.None)
        {
            error = ParentIno(in directory, attributes.st_ino, reader.Locked, out above);
        }

        if (error != Errno.None)
        {
            return error;
        }

        while (reader.Place < 2)
        {
            byte* text = Literal.Pointer(reader.Place == 0 ? "."u8 : ".."u8);
            item->Name = new ByteName(text, (int)reader.Place + 1);
            item->NodeId = NodeId.None;
            item->Type = FileType.Directory;
            item->StIno = reader.Place == 0 ? attributes.st_ino : above;
            item->Attributes = default;
            item->Attributes.st_ino = item->StIno;
            item->Attributes.st_mode = FileTypes.ToMode(FileType.Directory);
            if (!Give(in directory, ref reader, item, reader.Place + 1))
            {
                full = true;
                return Errno.None;
            }
        }

        return Errno.None;
    }

    // st_ino of the directory above; its own for the root and for a directory that lies in no other.
    private Errno ParentIno(ref readonly Target directory, ulong own, bool locked, out ulong above)
    {
        above = own;
        if (directory.NodeId == NodeId.Root)
        {
            return Errno.None;
        }

        stat attributes = default;
        lock (_tree.Gate)
        {
            Errno error;
            do
            {
                error = Above(in directory, out Target parent);
                error = error == Errno.None ? _attributes.Get(in parent, &attributes) : error;
            }
            while (!locked && _tree.Lowers.LoadLacking(ref error));

            if (error != Errno.None)
            {
                // A number that is not known hinders nobody from listing.
                return error is Errno.ERESTART or RequestWait.NoPlace ? error : Errno.None;
            }
        }

        above = attributes.st_ino;
        return Errno.None;
    }

    private Errno Above(ref readonly Target directory, out Target parent)
    {
        if (directory.HasUpper)
        {
            uint first = _tree.Upper.Table.Node(directory.Upper)->FirstName;
            uint node = first == 0 ? 0 : _tree.Upper.Table.Name(first)->Parent;
            if (node is 0 or ILayer.RootNode)
            {
                return _tree.Resolve(node == 0 ? directory.NodeId : NodeId.Root, out parent);
            }

            parent = _tree.OfUpper(node);
            return Errno.None;
        }

        uint cursor = 0;
        LowerRef lower = directory.Lower;
        return _tree.Lowers[lower.Slot].NextName(lower.Node, ref cursor, out uint above, out _)
            ? _tree.ResolveOwner(new LowerRef(lower.Slot, above), out parent)
            : _tree.Resolve(directory.NodeId, out parent);
    }

    private Errno Fill(ref readonly Target directory, ref readonly MergedName name, bool plus, bool locked, DirectoryItem* item, out Target child)
    {
        item->Name = name.Name;
        item->Type = name.Type;
        item->NodeId = NodeId.None;
        child = default;
        bool withNode = plus;

        // Without attributes the kernel looks such a name up when somebody wants to know more than that it is there.
        bool namesOnly = !plus || (name.Upper == 0 && !_tree.Lowers[name.Lower.Slot].AttributesAreAtHand(name.Lower.Node));
        if (namesOnly && name.Upper == 0 && name.StIno != 0)
        {
            item->StIno = name.StIno;
            item->Attributes = default;
            item->Attributes.st_ino = name.StIno;
            item->Attributes.st_mode = FileTypes.ToMode(name.Type);
            return Errno.None;
        }

        // An object that the overlay has nothing to do with. Its attributes may tell that the name is a further one of an object that it has.
        Errno error = Errno.None;
        bool pure = !locked && name.Upper == 0 && _tree.IsPure(name.Lower);
        if (pure)
        {
            child.Lower = name.Lower;
            error = _tree.Lowers.Getattr(child.Lower, true, &item->Attributes);
            error = error == Errno.None ? _tree.Lowers.Settle(ref child.Lower) : error;
            child.NodeId = child.Lower.NodeId;
            pure = error != Errno.None || _tree.IsPure(child.Lower);
        }

        if (!pure)
        {
            lock (_tree.Gate)
            {
                do
                {
                    error = FillMerged(in directory, name.Name, item, out child, ref withNode);
                }
                while (!locked && _tree.Lowers.LoadLacking(ref error));
            }
        }

        if (error == Errno.None)
        {
            item->StIno = item->Attributes.st_ino;
            item->NodeId = withNode ? child.NodeId : NodeId.None;
        }

        return error;
    }

    // A name whose object is refused, since another one claims its lower directory: listed all the same, so that the others can be seen.
    private Errno NameAlone(ref readonly MergedName name, DirectoryItem* item, ref Target child)
    {
        ulong number = name.StIno;
        if (name.Upper != 0)
        {
            FolderNode* upper = _tree.Upper.Table.Node(name.Upper);
            number = upper->StIno != 0 ? upper->StIno : upper->BackingIno;
        }

        child = default;
        Failure.Clear();
        item->NodeId = NodeId.None;
        item->StIno = number != 0 ? number : 1;
        item->Attributes = default;
        item->Attributes.st_ino = item->StIno;
        item->Attributes.st_mode = FileTypes.ToMode(name.Type);
        return Errno.None;
    }

    private Errno FillMerged(ref readonly Target directory, ByteName name, DirectoryItem* item, out Target child, ref bool withNode)
    {
        Errno error = _tree.FindChild(in directory, name, out child);
        if (error == Errno.None)
        {
            error = _attributes.Get(in child, &item->Attributes);

            // A name that the upper still has to be given: whoever uses it must look it up.
            withNode = withNode && !_copyUp.LacksHardLink(in directory, name, in child);
        }

        return error;
    }

    /// <summary>One READDIR while it is served.</summary>
    private ref struct Reader
    {
        public uint Round;

        /// <summary>Of the last entry that was looked at.</summary>
        public ulong Place;

        /// <summary>Of the last entry that was given.</summary>
        public ulong GivenPlace;
        public bool Plus;
        public delegate*<void*, DirectoryItem*, bool> Add;
        public void* Context;

        /// <summary>The gate is held.</summary>
        public bool Locked;

        /// <summary>An entry was given.</summary>
        public bool Gave;
    }
}
