using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay.Ops;

/// <summary>LOOKUP and FORGET: names to objects, and the references that the kernel holds on them.</summary>
public sealed unsafe class LookupOps
{
    private readonly MergedTree _tree;
    private readonly MergedAttributes _attributes;
    private readonly CopyUp _copyUp;

    public LookupOps(MergedTree tree, MergedAttributes attributes, CopyUp copyUp)
    {
        _tree = tree;
        _attributes = attributes;
        _copyUp = copyUp;
    }

    /// <summary>Finds a name.</summary>
    /// <param name="caller">Who asks.</param>
    /// <param name="parent">Directory.</param>
    /// <param name="name">Name in it.</param>
    /// <param name="reply">The object, its lookup count raised by one; id 0 when there is no such name (to be cached).</param>
    /// <returns>None; ENAMETOOLONG: over 255 bytes; ESTALE; EIO: a layer could not be read.</returns>
    public Errno Lookup(in Caller caller, ulong parent, ByteName name, ref EntryReply reply)
    {
        _ = caller;
        reply.NodeId = NodeId.None;
        if (name.Length > ByteName.MaxLength)
        {
            return Errno.ENAMETOOLONG;
        }

        // An untouched directory of the bottom layer: no lock, and no system call once it is loaded.
        if (_tree.TryPure(parent, out ILayer layer, out uint directory, out uint slot) && _tree.IsBottom(slot))
        {
            Errno error = _tree.Lowers.Find(new LowerRef(slot, directory), name, out LowerRef found, out FileType type);
            if (error != Errno.None)
            {
                return error == Errno.ENOENT ? Errno.None : error;
            }

            if (type == FileType.Whiteout)
            {
                return Errno.None;
            }

            error = PureReply(layer, found, ref reply, out bool done);
            if (done)
            {
                return error;
            }
        }

        lock (_tree.Gate)
        {
            Errno error;
            do
            {
                error = LookupMerged(parent, name, ref reply);
            }
            while (_tree.Lowers.LoadLacking(ref error));

            return error;
        }
    }

    /// <summary>Fills a reply for an object and counts the reference. Called with the gate held.</summary>
    public Errno Reply(ref readonly Target child, ref EntryReply reply)
    {
        fixed (stat* attributes = &reply.Attributes)
        {
            Errno error = _attributes.Get(in child, attributes);
            if (error != Errno.None)
            {
                return error;
            }
        }

        reply.NodeId = child.NodeId;
        _tree.RaiseLookups(in child);
        return Errno.None;
    }

    /// <summary>The kernel gives references back; an object without a name and without references ends here.</summary>
    /// <param name="nodeId">The object.</param>
    /// <param name="count">References given back.</param>
    public void Forget(ulong nodeId, ulong count)
    {
        if (nodeId == NodeId.Root || nodeId == NodeId.None)
        {
            return;
        }

        uint node = NodeId.NodeOf(nodeId);
        if (!NodeId.IsUpper(nodeId))
        {
            uint slot = NodeId.SlotOf(nodeId);
            if (!_tree.Counts.InRange(slot, node) || !_tree.Counts.Lower(slot, node, count))
            {
                return;
            }

            lock (_tree.Gate)
            {
                EndLower(nodeId, slot, node);
            }

            return;
        }

        lock (_tree.Gate)
        {
            if (_tree.Resolve(nodeId, out Target target) != Errno.None)
            {
                return;
            }

            FolderNode* record = _tree.Upper.Table.Node(target.Upper);
            bool held = record->Lookups > 0;
            record->Lookups = count >= record->Lookups ? 0 : record->Lookups - (uint)count;
            if (held && record->Lookups == 0)
            {
                _tree.Counts.CountHeld(-1);
                if (record->Place is NodePlace.HeldByFd or NodePlace.InWork)
                {
                    _tree.Upper.Writer.Orphans.Release(target.Upper);
                }
            }
        }
    }

    private Errno LookupMerged(ulong parent, ByteName name, ref EntryReply reply)
    {
        Errno error = _tree.Resolve(parent, out Target directory);
        if (error != Errno.None)
        {
            return error;
        }

        error = _tree.FindChild(in directory, name, out Target child);
        if (error == Errno.ENOENT)
        {
            return Errno.None;
        }

        if (error == Errno.None && _copyUp.KeepHardLink(in directory, name, in child) is not Errno.None and var kept)
        {
            if (kept == Errno.ERESTART)
            {
                return kept;
            }

            // Should it fail (disk full), the name leads to the copy all the same while this mount lives.
            Failure.Clear();
        }

        return error == Errno.None ? Reply(in child, ref reply) : error;
    }

    // Not done: the object is no longer just what the layer says.
    private Errno PureReply(ILayer layer, LowerRef found, ref EntryReply reply, out bool done)
    {
        done = false;
        if (!_tree.IsPure(found))
        {
            return Errno.None;
        }

        fixed (stat* attributes = &reply.Attributes)
        {
            Errno error = layer.GetattrWithMapping(found.Node, true, attributes);
            if (error != Errno.None)
            {
                done = true;
                return error;
            }
        }

        // The attributes may have told that the name is a further one of an object known by another.
        found = new LowerRef(found.Slot, layer.ObjectOf(found.Node));
        if (_tree.IsPure(found))
        {
            done = true;
            reply.NodeId = found.NodeId;
            _tree.Counts.Raise(found.Slot, found.Node);
        }

        return Errno.None;
    }

    private void EndLower(ulong nodeId, uint slot, uint node)
    {
        // Looked up again in the meantime: the next forget comes back here.
        if (_tree.Counts.CountOf(slot, node) != 0)
        {
            return;
        }

        uint index = _tree.Records.Find(nodeId);
        if (index == 0)
        {
            return;
        }

        InodeRecord* record = _tree.Records[index];
        if (record->Upper != 0)
        {
            FolderNode* upper = _tree.Upper.Table.Node(record->Upper);
            if (upper->Place is NodePlace.HeldByFd or NodePlace.InWork && record->MissingNames == 0)
            {
                _tree.Upper.Writer.Orphans.Release(record->Upper);
                _tree.Records.Remove(index);
            }
        }
        else if (record->Unlinked)
        {
            _tree.Records.Remove(index);
        }
    }
}
