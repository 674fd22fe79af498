using System.Runtime.CompilerServices;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay;

/// <summary>
/// Which object a name leads to in the merged tree, and which parts it has: the upper first, then the layers below, until a whiteout,
/// an opaque directory or a non-directory ends the search.
/// </summary>
/// <remarks>
/// Called with <see cref="Gate"/> held, but for <see cref="TryPure"/>, which needs no lock: an object without a record in the bottom
/// layer is exactly what that layer says.
/// </remarks>
public sealed unsafe class MergedTree : IDisposable
{
    private const string ClaimedTwice = "one lower directory under two names (lower changed between mounts?)";

    private readonly DirectoryLayer? _upper;

    public MergedTree(ILayer[] lowers, DirectoryLayer? upper)
    {
        _upper = upper;
        Gate = upper?.Gate ?? new object();
        Lowers = new LowerLayers(lowers, Gate);
        Counts = new LookupCounts(lowers.Length);
        Records = new InodeRecords(Counts, upper);
    }

    /// <summary>The lock of the merged tree; it is the upper's own.</summary>
    public object Gate { get; }

    public LookupCounts Counts { get; }

    /// <summary>The layers below the upper. Members here that ask them answer ERESTART where these do.</summary>
    public LowerLayers Lowers { get; }

    public InodeRecords Records { get; }

    /// <summary>The upper; only with <see cref="HasUpper"/>.</summary>
    public DirectoryLayer Upper => _upper ?? throw new InvalidOperationException("a read-only tree has no upper");

    public bool HasUpper => _upper != null;

    /// <summary>A lower layer was made to show other things while the mount was in use (<see cref="LowerExchange"/>).</summary>
    public bool WasExchanged { get; set; }

    /// <summary>Reserves the side tables and makes the root.</summary>
    public Errno Open()
    {
        // As in kernel overlayfs the roots of all layers are merged, whatever marks they carry.
        LowerRef* roots = stackalloc LowerRef[Lowers.Count];
        for (uint slot = 1; slot <= Lowers.Count; slot++)
        {
            Errno error = Counts.Reserve(slot);
            if (error != Errno.None)
            {
                return error;
            }

            // An image says how many there are; what is loaded bit by bit is looked at as it comes.
            if (Lowers[slot] is ImageLayer image && (ulong)image.NodeCount >= Counts.LengthOf(slot))
            {
                return Failure.Note("overlay", "a tree of more nodes than addresses could be reserved for", Errno.EOVERFLOW);
            }

            roots[slot - 1] = new LowerRef(slot, ILayer.RootNode);
        }

        uint record = Records.Add(NodeId.Root, roots, Lowers.Count);
        System.Diagnostics.Debug.Assert(record == InodeRecords.Root, "the root comes first");
        if (_upper != null)
        {
            Records.SetUpper(record, ILayer.RootNode);
        }

        return Errno.None;
    }

    /// <summary>The layer and node of an id that is still exactly a node of a lower layer; false: resolve it with the gate held.</summary>
    public bool TryPure(ulong nodeId, out ILayer layer, out uint node, out uint slot)
    {
        slot = NodeId.SlotOf(nodeId);
        node = NodeId.NodeOf(nodeId);
        if (NodeId.IsUpper(nodeId) || !Counts.InRange(slot, node) || Counts.IsTouched(slot, node))
        {
            layer = null!;
            return false;
        }

        layer = Lowers[slot];
        return true;
    }

    /// <summary>True for a lower node of which the overlay has no record: the object is what its layer says.</summary>
    public bool IsPure(LowerRef node) => Counts.InRange(node.Slot, node.Node) && !Counts.IsTouched(node.Slot, node.Node);

    /// <summary>True for the slot below which nothing lies, so that its directories need no merging.</summary>
    public bool IsBottom(uint slot) => slot == (uint)Lowers.Count;

    /// <summary>The object of an id.</summary>
    /// <returns>None; ESTALE: no such object (any more).</returns>
    public Errno Resolve(ulong nodeId, out Target target)
    {
        target = default;
        target.NodeId = nodeId;
        if (nodeId == NodeId.Root)
        {
            FromRecord(InodeRecords.Root, ref target);
            return Errno.None;
        }

        uint node = NodeId.NodeOf(nodeId);
        if (NodeId.IsUpper(nodeId))
        {
            if (_upper == null || !_upper.Table.IsNode(node)
                || (_upper.Table.Node(node)->Generation & ((1u << 30) - 1)) != NodeId.GenerationOf(nodeId))
            {
                return Failure.Note("overlay", "unknown node", Errno.ESTALE);
            }

            target.Upper = node;
            return Errno.None;
        }

        uint slot = NodeId.SlotOf(nodeId);
        if (!Counts.InRange(slot, node))
        {
            return Failure.Note("overlay", "unknown node", Errno.ESTALE);
        }

        FromLower(new LowerRef(slot, node), ref target);
        return Errno.None;
    }

    /// <summary>The merged object of which a lower node is a part.</summary>
    public Errno ResolveOwner(LowerRef lower, out Target target) => Resolve(Records.OwnerOf(lower), out target);

    /// <summary>Id of an object of the upper.</summary>
    public ulong IdOfUpper(uint node)
    {
        FolderNode* record = Upper.Table.Node(node);
        return record->Tag != 0 ? Records[record->Tag]->NodeId : NodeId.Upper(record->Generation, node);
    }

    /// <summary>The object of a node of the upper whose parts are known.</summary>
    public Target OfUpper(uint node)
    {
        Target target = default;
        uint tag = Upper.Table.Node(node)->Tag;
        if (tag != 0)
        {
            target.NodeId = Records[tag]->NodeId;
            FromRecord(tag, ref target);
        }
        else
        {
            target.NodeId = NodeId.Upper(Upper.Table.Node(node)->Generation, node);
            target.Upper = node;
        }

        return target;
    }

    /// <summary>Type of an object.</summary>
    public FileType TypeOf(in Target target) =>
        target.HasUpper ? Upper.TypeOf(target.Upper) : Lowers[target.Lower.Slot].TypeOf(target.Lower.Node);

    /// <summary>The lower parts of an object, topmost first; a pure lower object has itself.</summary>
    /// <param name="target">The object; must stay where it is while the result is used.</param>
    public ReadOnlySpan<LowerRef> LowersOf(ref readonly Target target)
    {
        if (target.Record != 0)
        {
            InodeRecord* record = Records[target.Record];
            return new ReadOnlySpan<LowerRef>(record->Lowers, record->LowerCount);
        }

        return target.HasLower ? new ReadOnlySpan<LowerRef>(in target.Lower) : default;
    }

    /// <summary>References that the kernel holds.</summary>
    public uint LookupsOf(in Target target) =>
        NodeId.IsUpper(target.NodeId)
            ? Upper.Table.Node(target.Upper)->Lookups
            : target.NodeId == NodeId.Root ? 1 : Counts.CountOf(NodeId.SlotOf(target.NodeId), NodeId.NodeOf(target.NodeId));

    /// <summary>Counts one more reference of the kernel.</summary>
    public void RaiseLookups(in Target target)
    {
        if (NodeId.IsUpper(target.NodeId))
        {
            if (Upper.Table.Node(target.Upper)->Lookups++ == 0)
            {
                Counts.CountHeld(1);
            }
        }
        else if (target.NodeId != NodeId.Root)
        {
            Counts.Raise(NodeId.SlotOf(target.NodeId), NodeId.NodeOf(target.NodeId));
        }
    }

    /// <summary>Finds what a name leads to.</summary>
    /// <param name="directory">A directory.</param>
    /// <param name="name">Name in it.</param>
    /// <param name="child">The object.</param>
    /// <returns>
    /// None; ENOENT: nothing; ERESTART; ESTALE: a directory of the upper shows this lower directory elsewhere, as in kernel overlayfs whoever comes second
    /// is refused; EIO and others: a layer could not be read.
    /// </returns>
    public Errno FindChild(ref readonly Target directory, ByteName name, out Target child)
    {
        child = default;
        if (directory.HasUpper)
        {
            Errno error = Upper.Find(directory.Upper, name, out uint node);
            if (error == Errno.None)
            {
                return node == DirectoryTable.WhiteoutNode ? Errno.ENOENT : ChildInUpper(in directory, name, node, out child);
            }

            if (error != Errno.ENOENT)
            {
                return error;
            }
        }

        LowerRef* found = stackalloc LowerRef[Lowers.Count];
        Errno result = FindInLowers(LowersOf(in directory), name, found, out int count, out FileType type);
        if (result == Errno.None && type != FileType.Directory)
        {
            result = Lowers.Settle(ref found[0]);
        }

        if (result != Errno.None)
        {
            return result;
        }

        if (count > 1 && Records.Find(found[0].NodeId) == 0)
        {
            _ = Records.Add(found[0].NodeId, found, count);
        }

        child.NodeId = found[0].NodeId;
        FromLower(found[0], ref child);
        if (type == FileType.Directory && child.Record != 0 && (child.HasUpper || Records[child.Record]->Unlinked))
        {
            // The upper has the directory elsewhere, or removed it, and nothing under this name that hides the lower one.
            child = default;
            return Failure.Note("upper", ClaimedTwice, Errno.ESTALE);
        }

        return Errno.None;
    }

    /// <summary>True when a layer below the upper shows the name, so that removing it takes a whiteout.</summary>
    /// <param name="directory">The directory.</param>
    /// <param name="name">The name.</param>
    /// <param name="type">Type of what is shown.</param>
    /// <param name="shown">The answer.</param>
    public Errno ShownBelow(ref readonly Target directory, ByteName name, out FileType type, out bool shown)
    {
        LowerRef* found = stackalloc LowerRef[Lowers.Count];
        Errno error = FindInLowers(LowersOf(in directory), name, found, out int count, out type);
        shown = error == Errno.None && count > 0;
        return error == Errno.ENOENT ? Errno.None : error;
    }

    /// <summary>True when the upper hides a name: it has a whiteout there.</summary>
    public bool IsHidden(ref readonly Target directory, ByteName name) =>
        directory.HasUpper && Upper.Find(directory.Upper, name, out uint node) == Errno.None && node == DirectoryTable.WhiteoutNode;

    /// <summary>True when the layers below the upper show a directory at a path from their roots, so that a redirect to it will find it.</summary>
    /// <param name="path">Names with a slash before each.</param>
    /// <param name="directory">Its topmost part.</param>
    /// <param name="shown">The answer.</param>
    public Errno IsShownAt(ReadOnlySpan<byte> path, LowerRef directory, out bool shown)
    {
        LowerRef* found = stackalloc LowerRef[Lowers.Count];
        int count = 0;
        Errno error = WalkBelow(1, path, found, ref count);
        shown = error == Errno.None && found[0].NodeId == directory.NodeId;
        return error == Errno.ENOENT ? Errno.None : error;
    }

    /// <summary>Makes sure that a lower object has a record.</summary>
    public uint EnsureRecord(ref Target target)
    {
        if (target.Record == 0)
        {
            LowerRef lower = target.Lower;
            target.Record = Records.Add(target.NodeId, &lower, 1);
        }

        return target.Record;
    }

    /// <summary>To be called when a directory was emptied and made opaque: it has no lower parts any more.</summary>
    public void DetachLowers(ref readonly Target directory)
    {
        if (directory.Record != 0)
        {
            Records.DetachLowers(directory.Record);
        }
    }

    public void Dispose()
    {
        Records.Dispose();
        Counts.Dispose();
    }

    // A child that the upper has. A directory may have lower parts: by its name, by a redirect, or none when it is opaque. That is
    // found out once; the tag of the upper node (or MergeChecked) remembers it.
    private Errno ChildInUpper(ref readonly Target directory, ByteName name, uint node, out Target child)
    {
        FolderNode* record = Upper.Table.Node(node);
        if (record->Type == FileType.Directory && record->Tag == 0 && (record->Flags & FolderNodeFlags.MergeChecked) == 0)
        {
            Errno error = AttachLowers(in directory, name, node);
            if (error != Errno.None)
            {
                child = default;
                return error;
            }
        }

        child = OfUpper(node);
        return Errno.None;
    }

    [SkipLocalsInit]
    private Errno AttachLowers(ref readonly Target directory, ByteName name, uint node)
    {
        const int RedirectRoom = 4096;
        byte* redirect = stackalloc byte[RedirectRoom + 1];
        Errno error = Upper.Merging(node, out bool opaque, redirect, RedirectRoom, out int length);
        if (error != Errno.None)
        {
            return error;
        }

        int count = 0;
        FileType type = FileType.Directory;
        LowerRef* found = stackalloc LowerRef[Lowers.Count];

        // Opaque counts before a redirect, as in the kernel: a directory that was merged once and made opaque later has both.
        if (!opaque && length > 0 && redirect[0] == (byte)'/')
        {
            error = WalkBelow(1, new ReadOnlySpan<byte>(redirect, length), found, ref count);
        }
        else if (!opaque)
        {
            if (length > ByteName.MaxLength)
            {
                return Failure.Note("upper", "redirect", Errno.EIO);
            }

            redirect[length] = 0;
            ByteName lowerName = length > 0 ? new ByteName(redirect, length) : name;
            error = FindInLowers(LowersOf(in directory), lowerName, found, out count, out type);
        }

        if (error != Errno.None && error != Errno.ENOENT)
        {
            return error;
        }

        Upper.Table.Node(node)->Flags |= FolderNodeFlags.MergeChecked;
        if (count == 0 || type != FileType.Directory)
        {
            return Errno.None;
        }

        uint known = Records.Find(found[0].NodeId);
        if ((known != 0 && (Records[known]->Upper != 0 || Records[known]->Unlinked)) || (length > 0 && Counts.CountOf(found[0].Slot, found[0].Node) != 0))
        {
            // Two directories of the upper claim one lower directory, or the kernel knows it under its own name, which nothing hides: the upper is
            // damaged, or the lower is another one than it was made over. Serving both as one would mix them up.
            Upper.Table.Node(node)->Flags &= ~FolderNodeFlags.MergeChecked;
            return Failure.Note("upper", ClaimedTwice, Errno.ESTALE);
        }

        Records.SetUpper(known != 0 ? known : Records.Add(found[0].NodeId, found, count), node);
        return Errno.None;
    }

    [SkipLocalsInit]
    private Errno FindInLowers(ReadOnlySpan<LowerRef> parents, ByteName name, LowerRef* found, out int count, out FileType shown)
    {
        const int RedirectRoom = 4096;
        count = 0;
        shown = FileType.Unknown;
        byte* redirect = stackalloc byte[RedirectRoom + 1];
        byte* renamed = stackalloc byte[ByteName.MaxLength + 1];
        foreach (LowerRef parent in parents)
        {
            Errno error = Lowers.Find(parent, name, out LowerRef node, out FileType type);
            if (error == Errno.ENOENT)
            {
                continue;
            }

            if (error != Errno.None)
            {
                return error;
            }

            if (!Counts.InRange(node.Slot, node.Node))
            {
                return Failure.Note("overlay", "a tree of more nodes than addresses could be reserved for", Errno.EOVERFLOW);
            }

            if (type == FileType.Whiteout)
            {
                break;
            }

            if (type != FileType.Directory)
            {
                if (count == 0)
                {
                    shown = type;
                    found[count++] = node;
                }

                break;
            }

            shown = FileType.Directory;
            found[count++] = node;
            if (IsBottom(parent.Slot))
            {
                break;
            }

            ILayer layer = Lowers[node.Slot];
            error = layer.Merging(node.Node, out bool opaque, redirect, RedirectRoom, out int length);
            if (error != Errno.None)
            {
                return error;
            }

            if (opaque)
            {
                break;
            }

            if (length > 0 && redirect[0] == (byte)'/')
            {
                return WalkBelow(parent.Slot + 1, new ReadOnlySpan<byte>(redirect, length), found, ref count);
            }

            if (length > 0)
            {
                if (length > ByteName.MaxLength)
                {
                    return Failure.Note(layer.Name, "redirect", Errno.EIO);
                }

                // From here on the directory goes by this name in the layers below.
                new ReadOnlySpan<byte>(redirect, length).CopyTo(new Span<byte>(renamed, length));
                renamed[length] = 0;
                name = new ByteName(renamed, length);
            }
        }

        return count == 0 ? Errno.ENOENT : Errno.None;
    }

    // Adds the directories that an absolute redirect leads to in the layers from a slot on downwards. Each component is looked up in
    // all of them at once, as any name is, so that whiteouts, opaque directories and further redirects on the way count.
    private Errno WalkBelow(uint fromSlot, ReadOnlySpan<byte> path, LowerRef* found, ref int count)
    {
        int layers = Lowers.Count;
        LowerRef* parents = stackalloc LowerRef[layers];
        LowerRef* children = stackalloc LowerRef[layers];
        byte* component = stackalloc byte[ByteName.MaxLength + 1];
        int width = 0;
        for (uint slot = fromSlot; slot <= (uint)layers; slot++)
        {
            parents[width++] = new LowerRef(slot, ILayer.RootNode);
        }

        while (!path.IsEmpty && width > 0)
        {
            if (path[0] == (byte)'/')
            {
                path = path[1..];
                continue;
            }

            int end = path.IndexOf((byte)'/');
            int length = end < 0 ? path.Length : end;
            var name = new ByteName(component, length);
            if (length > ByteName.MaxLength)
            {
                return Failure.Note("overlay", "redirect", Errno.EIO);
            }

            path[..length].CopyTo(new Span<byte>(component, length));
            component[length] = 0;
            path = path[length..];
            if (name.IsDotOrDotDot)
            {
                return Failure.Note("overlay", "redirect", Errno.EIO);
            }

            Errno error = FindInLowers(new ReadOnlySpan<LowerRef>(parents, width), name, children, out width, out FileType type);
            if (error == Errno.ENOENT || (error == Errno.None && type != FileType.Directory))
            {
                width = 0;
                break;
            }

            if (error != Errno.None)
            {
                return error;
            }

            new ReadOnlySpan<LowerRef>(children, width).CopyTo(new Span<LowerRef>(parents, width));
        }

        for (int i = 0; i < width && count < layers; i++)
        {
            found[count++] = parents[i];
        }

        return count == 0 ? Errno.ENOENT : Errno.None;
    }

    private void FromLower(LowerRef lower, ref Target target)
    {
        if (Counts.IsTouched(lower.Slot, lower.Node))
        {
            uint record = Records.Find(lower.NodeId);
            if (record != 0)
            {
                FromRecord(record, ref target);
                return;
            }
        }

        target.Lower = lower;
    }

    private void FromRecord(uint index, ref Target target)
    {
        InodeRecord* record = Records[index];
        target.Record = index;
        target.Upper = record->Upper;
        target.Lower = record->Lowers[0];
    }
}
