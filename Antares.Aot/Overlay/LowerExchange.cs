using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay;

/// <summary>A name of a directory of a lower layer that leads elsewhere, or is about to.</summary>
/// <param name="Directory">The directory's node in that layer.</param>
/// <param name="Name">The name; valid as long as the layer.</param>
/// <param name="IsThere">The layer has something under it afterwards.</param>
/// <param name="IsDirectory">And that is a directory.</param>
public readonly record struct LowerName(uint Directory, ByteName Name, bool IsThere, bool IsDirectory);

/// <summary>What the upper has under a name that a lower layer changes.</summary>
public enum InUpper : byte
{
    /// <summary>Nothing: what the lower layer has is shown.</summary>
    None,

    /// <summary>A directory, which is merged with what the lower layer has.</summary>
    Merged,

    /// <summary>Something of its own, which stays in front.</summary>
    Changed,

    /// <summary>A whiteout: the name stays hidden.</summary>
    Removed,
}

/// <summary>Where a name of a lower layer is to be seen in the mount.</summary>
/// <param name="Directory">Id of the merged directory.</param>
/// <param name="InUpper">What the upper has there.</param>
/// <param name="IsNewObject">A directory of the upper has become one that is merged, and goes by another id now.</param>
public readonly record struct ShownName(ulong Directory, InUpper InUpper, bool IsNewObject = false);

/// <summary>
/// Lets a lower layer show other things under names of its directories while the mount is in use. Ids of directories stay; the upper
/// stays, and what it has under such a name stays in front.
/// </summary>
/// <remarks>
/// The layer's nodes keep what they lead to, so whoever has one open goes on with it. Only for layers whose directories are loaded where
/// names change, and that have nothing between them and the upper: of directories merged from several lower layers the parts are not looked for anew.
/// </remarks>
public sealed unsafe class LowerExchange(MergedTree tree)
{
    private readonly MergedTree _tree = tree;

    /// <summary>Exchanges what is shown.</summary>
    /// <param name="slot">The layer.</param>
    /// <param name="names">The names, those of a directory after its own.</param>
    /// <param name="show">
    /// Makes the layer show the new things; null: only look. Called with the gate held, so that no change of the mount falls in between. False: they
    /// were made for what is there no more.
    /// </param>
    /// <param name="shown">Receives for each name where it is to be seen.</param>
    /// <returns>None; EAGAIN: refused by <paramref name="show"/>; EIO and others: a layer could not be read. Nothing was exchanged then.</returns>
    public Errno Exchange(uint slot, ReadOnlySpan<LowerName> names, Func<bool>? show, Span<ShownName> shown)
    {
        Errno error = FindDirectories(slot, names);
        if (error != Errno.None)
        {
            return error;
        }

        lock (_tree.Gate)
        {
            if (show != null && !show())
            {
                return Errno.EAGAIN;
            }

            _tree.WasExchanged |= show != null;
            for (int i = 0; i < names.Length; i++)
            {
                shown[i] = Look(slot, names[i], show != null);
            }
        }

        return Errno.None;
    }

    /// <summary>
    /// True when a directory of a lower layer must not be shown again under its name: the upper shows it elsewhere, or removed it while somebody still
    /// held it, and has nothing that hides its name.
    /// </summary>
    public bool IsClaimedElsewhere(uint slot, uint directory)
    {
        lock (_tree.Gate)
        {
            uint record = _tree.Records.Find(new LowerRef(slot, directory).NodeId);
            if (record == 0 || (_tree.Records[record]->Upper == 0 && !_tree.Records[record]->Unlinked))
            {
                return false;
            }

            uint cursor = 0;
            return !_tree.Lowers[slot].NextName(directory, ref cursor, out uint above, out ByteName name)
                || _tree.ResolveOwner(new LowerRef(slot, above), out Target parent) != Errno.None
                || !parent.HasUpper
                || _tree.Upper.Find(parent.Upper, name, out _) != Errno.None;
        }
    }

    /// <summary>Looks the directories up, so that it is known which of them are merged with one of the upper.</summary>
    private Errno FindDirectories(uint slot, ReadOnlySpan<LowerName> names)
    {
        uint last = 0;
        var path = new List<ByteName>();
        foreach (LowerName name in names)
        {
            if (name.Directory == last)
            {
                continue;
            }

            last = name.Directory;
            PathOf(slot, last, path);
            lock (_tree.Gate)
            {
                Errno error;
                do
                {
                    error = Walk(path);
                }
                while (_tree.Lowers.LoadLacking(ref error));

                // ESTALE: a name that the mount refuses, so that nothing is to be seen below it.
                if (error is not (Errno.None or Errno.ENOENT or Errno.ENOTDIR or Errno.ESTALE))
                {
                    return error;
                }
            }
        }

        return Errno.None;
    }

    private void PathOf(uint slot, uint directory, List<ByteName> path)
    {
        path.Clear();
        for (uint cursor = 0; directory != ILayer.RootNode && _tree.Lowers[slot].NextName(directory, ref cursor, out uint above, out ByteName name); cursor = 0)
        {
            path.Add(name);
            directory = above;
        }

        path.Reverse();
    }

    private Errno Walk(List<ByteName> path)
    {
        Errno error = _tree.Resolve(NodeId.Root, out Target at);
        foreach (ByteName name in path)
        {
            if (error != Errno.None || _tree.TypeOf(in at) != FileType.Directory)
            {
                return error == Errno.None ? Errno.ENOTDIR : error;
            }

            error = _tree.FindChild(in at, name, out Target child);
            at = child;
        }

        return error;
    }

    private ShownName Look(uint slot, in LowerName name, bool isChange)
    {
        var part = new LowerRef(slot, name.Directory);
        ulong id = _tree.Records.OwnerOf(part);
        var result = new ShownName(id, InUpper.None);
        if (_tree.Resolve(id, out Target directory) != Errno.None || !directory.HasUpper || !_tree.LowersOf(in directory).Contains(part))
        {
            return result;
        }

        if (isChange && _tree.Upper.Table.IsLoaded(directory.Upper))
        {
            _tree.Upper.Table.Listing(directory.Upper)->Kept.Changed = true;
        }

        if (directory.Record != 0)
        {
            // Counted over the names that the lower directory had.
            _tree.Records[directory.Record]->OverlapKnown = false;
        }

        if (_tree.Upper.Find(directory.Upper, name.Name, out uint node) != Errno.None)
        {
            return result;
        }

        if (node == DirectoryTable.WhiteoutNode)
        {
            return result with { InUpper = InUpper.Removed };
        }

        if (_tree.Upper.TypeOf(node) != FileType.Directory)
        {
            return result with { InUpper = InUpper.Changed };
        }

        if (isChange && name.IsDirectory && _tree.Upper.Table.Node(node)->Tag == 0)
        {
            // It was found to have no lower part; now it may have one. Found out at once, so that the names below find their directory; a layer
            // that would have to be asked first is asked at the next lookup.
            ForgetMerging(node);
            _ = _tree.FindChild(in directory, name.Name, out _);
            result = result with { IsNewObject = true };
        }

        return result with { InUpper = name.IsThere && (!name.IsDirectory || IsAlone(node, part, name.Name)) ? InUpper.Changed : InUpper.Merged };
    }

    /// <summary>A directory that had no lower part is looked at anew, and so is what is below it. In memory alone.</summary>
    private void ForgetMerging(uint directory)
    {
        DirectoryTable table = _tree.Upper.Table;
        var waiting = new Stack<uint>([directory]);
        while (waiting.TryPop(out uint node))
        {
            table.Node(node)->Flags &= ~FolderNodeFlags.MergeChecked;
            for (ulong cookie = 0; table.IsLoaded(node) && table.Next(node, cookie, out uint name); cookie = table.Name(name)->Cookie)
            {
                uint child = table.Name(name)->Node;
                if (table.Node(child)->Type == FileType.Directory && table.Node(child)->Tag == 0)
                {
                    waiting.Push(child);
                }
            }
        }
    }

    /// <summary>Whether a directory of the upper shows nothing of the lower one of its name: it is opaque, or came there with another lower part.</summary>
    private bool IsAlone(uint node, LowerRef directory, ByteName name)
    {
        FolderNode* own = _tree.Upper.Table.Node(node);
        if (own->Tag == 0)
        {
            return (own->Flags & FolderNodeFlags.MergeChecked) != 0;
        }

        InodeRecord* record = _tree.Records[own->Tag];
        return record->LowerCount == 0
            || (_tree.Lowers.Find(directory, name, out LowerRef lower, out _) == Errno.None && _tree.Records.OwnerOf(lower) != record->NodeId);
    }
}
