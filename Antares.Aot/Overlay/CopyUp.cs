using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay;

/// <summary>
/// Brings a lower object into the upper, once and atomically: made whole in the work directory, then given its name in one rename.
/// Until that rename the lower object is what everybody sees, and on any failure it stays so.
/// </summary>
/// <remarks>
/// Called with the gate held exactly once. Data are copied with the gate released, so callers must look again at what they resolved
/// before when <c>released</c> comes back true. Directories are copied without releasing it.
/// </remarks>
public sealed unsafe class CopyUp
{
    /// <summary>Copy all of the file.</summary>
    public const ulong Whole = ulong.MaxValue;

    private readonly MergedTree _tree;
    private readonly MergedAttributes _attributes;
    private readonly ulong[] _copying = new ulong[512];
    private long _copies;
    private long _bytes;

    public CopyUp(MergedTree tree, MergedAttributes attributes)
    {
        _tree = tree;
        _attributes = attributes;
    }

    /// <summary>Objects copied up.</summary>
    public long Copies => Interlocked.Read(ref _copies);

    /// <summary>Bytes of content copied.</summary>
    public long Bytes => Interlocked.Read(ref _bytes);

    /// <summary>Makes sure that an object has an upper copy.</summary>
    /// <param name="target">The object; resolved anew when the gate was released.</param>
    /// <param name="limit">Bytes of content that are wanted (0 when the file is about to be truncated).</param>
    /// <param name="released">True when the gate was released in between.</param>
    /// <returns>None; EROFS: no upper; ENOSPC, EDQUOT, EIO and others: nothing was changed.</returns>
    public Errno Ensure(ref Target target, ulong limit, out bool released)
    {
        released = false;
        if (!_tree.HasUpper)
        {
            return Errno.EROFS;
        }

        while (true)
        {
            if (target.HasUpper)
            {
                return Errno.None;
            }

            if (_tree.TypeOf(in target) == FileType.Directory)
            {
                Errno made = EnsureDirectory(ref target);
                if (made != Errno.ERESTART)
                {
                    return made;
                }

                released = true;
                made = _tree.Lowers.LoadLacking(ref made) ? _tree.Resolve(target.NodeId, out target) : made;
                if (made != Errno.None)
                {
                    return made;
                }

                continue;
            }

            int slot = FindSlot(target.NodeId, out bool busy);
            if (!busy)
            {
                _copying[slot] = target.NodeId;
                released = true;
                try
                {
                    return CopyFile(ref target, limit);
                }
                finally
                {
                    _copying[slot] = 0;
                    Monitor.PulseAll(_tree.Gate);
                }
            }

            // Somebody copies this very file (or all places are taken): wait, then look what came of it.
            released = true;
            Errno resolved = _tree.Lowers.EnterSource(target.Lower);
            if (resolved != Errno.None)
            {
                return resolved;
            }

            _ = RequestWait.Announce(); // waits in any case
            _ = Monitor.Wait(_tree.Gate);
            resolved = _tree.Resolve(target.NodeId, out target);
            if (resolved != Errno.None)
            {
                return resolved;
            }
        }
    }

    /// <summary>Makes sure that a directory, and all above it, exist in the upper. Never releases the gate.</summary>
    /// <returns>None; ERESTART (<see cref="LowerLayers"/>); ENOENT: its layer shows it no more; EROFS, ENOSPC, EIO and others: this one was not made.</returns>
    public Errno EnsureDirectory(ref Target target)
    {
        if (!_tree.HasUpper)
        {
            return Errno.EROFS;
        }

        while (!target.HasUpper)
        {
            // Resolved before something else was copied up, the target may be out of date.
            Errno current = _tree.Resolve(target.NodeId, out target);
            if (current != Errno.None || target.HasUpper)
            {
                return current;
            }

            // Up to the nearest directory whose parent has an upper, then make that one, and so on down: no recursion, a tree may be deep.
            Target lacking = target;
            Target parent = default;
            ByteName name;
            while (true)
            {
                uint cursor = 0;
                LowerRef lower = lacking.Lower;
                if ((lacking.Record != 0 && _tree.Records[lacking.Record]->Unlinked)
                    || !_tree.Lowers[lower.Slot].NextName(lower.Node, ref cursor, out uint directory, out name))
                {
                    return CopyUnlinkedDirectory(ref target, ref lacking);
                }

                Errno error = IsStillThere(lower, directory, name);
                error = error == Errno.None ? _tree.ResolveOwner(new LowerRef(lower.Slot, directory), out parent) : error;
                if (error != Errno.None)
                {
                    return error;
                }

                if (parent.HasUpper)
                {
                    break;
                }

                lacking = parent;
            }

            Errno made = CopyDirectory(ref lacking, ref parent, name);
            if (made == Errno.None)
            {
                made = _tree.Resolve(target.NodeId, out target);
            }

            if (made != Errno.None)
            {
                return made;
            }
        }

        return Errno.None;
    }

    /// <summary>A directory that its layer shows no more, though somebody is in it, is as one that was removed; the kernel does not know that.</summary>
    private Errno IsStillThere(LowerRef directory, uint parent, ByteName name)
    {
        Errno error = _tree.Lowers.Find(new LowerRef(directory.Slot, parent), name, out LowerRef there, out _);
        return error is Errno.None or Errno.ENOENT && there != directory ? Failure.Note("overlay", "directory removed below", Errno.ENOENT) : error;
    }

    private Errno CopyUnlinkedDirectory(ref Target target, ref Target lacking)
    {
        if (lacking.NodeId != target.NodeId)
        {
            return Failure.Note("overlay", "parent removed", Errno.ENOENT);
        }

        Errno error = StageDirectory(in lacking, out uint number, out stat attributes);
        if (error == Errno.None)
        {
            uint node = _tree.Upper.Writer.Creation.AdoptUnnamed(number, -1, attributes.st_ino, FileType.Directory);
            _tree.Records.SetUpper(_tree.EnsureRecord(ref lacking), node);
            error = _tree.Resolve(target.NodeId, out target);
        }

        return error;
    }

    private Errno CopyDirectory(ref Target directory, ref Target parent, ByteName name)
    {
        Errno error = StageDirectory(in directory, out uint number, out stat attributes);
        if (error != Errno.None)
        {
            return error;
        }

        UpperWriter writer = _tree.Upper.Writer;
        error = writer.Creation.Publish(number, -1, parent.Upper, name, attributes.st_ino, FileType.Directory, out uint node);
        if (error != Errno.None)
        {
            _ = writer.Work.RemoveTree(number);
            return error;
        }

        _tree.Records.SetUpper(_tree.EnsureRecord(ref directory), node);
        _attributes.CountOverlap(in parent);
        _ = Interlocked.Increment(ref _copies);
        return Errno.None;
    }

    private Errno StageDirectory(ref readonly Target directory, out uint number, out stat attributes)
    {
        WorkDirectory work = _tree.Upper.Writer.Work;
        number = 0;
        stat lower = default;
        Errno error = _tree.Lowers.Require(directory.Lower, LayerPart.Xattrs);
        if (error == Errno.None)
        {
            error = _tree.Lowers.Getattr(directory.Lower, false, &lower);
        }

        attributes = lower;
        if (error != Errno.None)
        {
            return error;
        }

        number = work.Take();
        byte* buffer = stackalloc byte[16];
        ByteName name = FolderAccess.WorkName(number, buffer);
        error = Failure.Note("work", "mkdirat (copy-up)", PathOps.Mkdirat(work.Fd, name.Pointer, 0x1C0));
        if (error != Errno.None)
        {
            return error;
        }

        error = FolderAccess.OpenBeneath(work.Fd, name, Fcntl.O_RDONLY | Fcntl.O_DIRECTORY, out int fd);
        if (error == Errno.None)
        {
            error = StagedAttributes.Apply(_tree.Lowers[directory.Lower.Slot], directory.Lower.Node, fd, work.Fd, name, in lower, _tree.Upper.Marks, _tree.Upper.Writer.Options);
            _ = Fd.Close(fd);
        }

        if (error != Errno.None)
        {
            _ = work.RemoveTree(number);
        }

        return error;
    }

    private Errno CopyFile(ref Target target, ulong limit)
    {
        ulong nodeId = target.NodeId;
        LowerRef lower = target.Lower;
        UpperWriter writer = _tree.Upper.Writer;
        Errno error;
        uint number = 0;
        int fd = -1;
        stat attributes;
        Monitor.Exit(_tree.Gate);
        try
        {
            error = FileStage.Make(_tree.Lowers[lower.Slot], lower.Node, writer, _tree.Upper.Marks, limit, out number, out fd, &attributes, out long copied);
            _ = Interlocked.Add(ref _bytes, copied);
        }
        finally
        {
            Monitor.Enter(_tree.Gate);
        }

        if (error == Errno.None)
        {
            do
            {
                error = _tree.Resolve(nodeId, out target);
                error = error == Errno.None ? PublishFile(ref target, number, fd, in attributes) : error;
            }
            while (_tree.Lowers.LoadLacking(ref error));

            if (error != Errno.None)
            {
                if (fd >= 0)
                {
                    _ = Fd.Close(fd);
                }

                writer.Work.Remove(number);
            }
        }

        if (error == Errno.None)
        {
            _ = Interlocked.Increment(ref _copies);
            error = _tree.Resolve(nodeId, out target);
        }

        return error;
    }

    // Gives the staged copy every name under which the lower object is visible now (hard links stay links); without any it stays a
    // file without a name in the work directory. ERESTART: nothing was changed.
    private Errno PublishFile(ref Target target, uint number, int fd, in stat attributes)
    {
        UpperWriter writer = _tree.Upper.Writer;
        FileType type = FileTypes.FromMode(attributes.st_mode);
        bool links = attributes.st_nlink > 1;
        LowerRef lower = target.Lower;
        ILayer layer = _tree.Lowers[lower.Slot];
        uint node = 0;
        uint names = 0;
        uint cursor = 0;
        Errno error;

        // The last name was removed, and perhaps its directory too, together with what hid the lower name there.
        bool nameless = target.Record != 0 && _tree.Records[target.Record]->Unlinked;
        if (links && !nameless)
        {
            // What a later name needs of a lower is loaded before the first one is made. Any other failure shows again below.
            while (layer.NextName(lower.Node, ref cursor, out uint lowerDirectory, out ByteName name))
            {
                error = FindVisible(in target, links, lowerDirectory, name, out Target parent, out bool shown);
                error = error == Errno.None && shown ? EnsureDirectory(ref parent) : error;
                if (error == Errno.ERESTART)
                {
                    return error;
                }
            }

            cursor = 0;
        }

        uint known = 0;
        while (!nameless && layer.NextName(lower.Node, ref cursor, out uint lowerDirectory, out ByteName name))
        {
            known++;
            error = FindVisible(in target, links, lowerDirectory, name, out Target parent, out bool shown);
            if (error == Errno.None && !shown)
            {
                continue;
            }

            if (error == Errno.None)
            {
                error = EnsureDirectory(ref parent);
            }

            if (error == Errno.None)
            {
                error = node == 0
                    ? writer.Creation.Publish(number, fd, parent.Upper, name, attributes.st_ino, type, out node)
                    : _tree.Upper.Link(node, parent.Upper, name, keepTimes: true);
            }

            if (error != Errno.None)
            {
                if (node == 0)
                {
                    return error;
                }

                // The copy is in place under another name; this name, and those after it, are made when they are looked up.
                break;
            }

            names++;
            if (names == 1)
            {
                _tree.Records.SetUpper(_tree.EnsureRecord(ref target), node);
            }
        }

        if (node == 0)
        {
            node = writer.Creation.AdoptUnnamed(number, fd, attributes.st_ino, type);
            _tree.Records.SetUpper(_tree.EnsureRecord(ref target), node);
        }

        InodeRecord* record = _tree.Records[target.Record];
        uint all = (uint)Math.Min(attributes.st_nlink, uint.MaxValue);

        // Without a name so far it may have one where nobody has looked yet, unless every name is known.
        bool isGone = nameless || (names == 0 && known >= all);
        record->MissingNames = isGone || all <= names + record->RemovedNames ? 0 : all - names - record->RemovedNames;
        NoteMissing(target.Record, links);
        return Errno.None;
    }

    // Whether a lower name of an object still leads to it, and the directory that has the name. "Could not look" is not "nobody sees it".
    private Errno FindVisible(
        ref readonly Target target, bool links, uint lowerDirectory, ByteName name, out Target parent, out bool shown)
    {
        shown = false;
        Errno error = _tree.ResolveOwner(new LowerRef(target.Lower.Slot, lowerDirectory), out parent);
        if (error != Errno.None)
        {
            return error;
        }

        error = _tree.FindChild(in parent, name, out Target visible);
        if (error == Errno.None)
        {
            shown = visible.NodeId == target.NodeId
                || (!visible.HasUpper && visible.HasLower && _tree.Lowers.IsSame(visible.Lower, target.Lower));
            error = shown && links ? CheckReachable(parent, out shown) : Errno.None;
        }

        return error == Errno.ENOENT ? Errno.None : error;
    }

    /// <summary>
    /// Gives the upper a further name of a lower hard link whose copy it has already, so that the link holds after the next mount.
    /// </summary>
    /// <param name="directory">Directory of the name.</param>
    /// <param name="name">A lower name of the object.</param>
    /// <param name="child">The object as the name was resolved.</param>
    /// <returns>None, also when there was nothing to do; ENOSPC and others: the name leads to the copy only while this mount lives.</returns>
    public Errno KeepHardLink(ref readonly Target directory, ByteName name, ref readonly Target child)
    {
        if (!LacksHardLink(in directory, name, in child))
        {
            return Errno.None;
        }

        Target parent = directory;
        Errno error = EnsureDirectory(ref parent);
        if (error == Errno.None)
        {
            error = _tree.Upper.Link(child.Upper, parent.Upper, name, keepTimes: true);
        }

        if (error == Errno.None)
        {
            _tree.Records[child.Record]->MissingNames--;
            NoteMissing(child.Record, hardLink: true);
        }

        return error;
    }

    /// <summary>True for a name of a lower hard link that the upper's copy does not have yet: see <see cref="KeepHardLink"/>.</summary>
    public bool LacksHardLink(ref readonly Target directory, ByteName name, ref readonly Target child) =>
        child.Record != 0 && child.Upper != 0 && _tree.Records[child.Record]->MissingNames != 0
        && !(directory.HasUpper && _tree.Upper.Find(directory.Upper, name, out _) == Errno.None);

    // The upper's copy of a hard link keeps the lower st_ino only once it has all names: otherwise the names that still lead to the
    // lower file would, after the next mount, be another file with the same number.
    private void NoteMissing(uint index, bool hardLink)
    {
        InodeRecord* record = _tree.Records[index];
        FolderNode* upper = _tree.Upper.Table.Node(record->Upper);
        if (record->MissingNames > 0)
        {
            upper->Flags |= FolderNodeFlags.NamesMissing;
            return;
        }

        upper->Flags &= ~FolderNodeFlags.NamesMissing;
        if (hardLink)
        {
            _tree.Upper.Writer.KeepStIno(record->Upper, upper->StIno);
        }
    }

    // True when a directory can still be reached from the root; a lower directory that was removed is not, though its own entries
    // know nothing of it.
    private Errno CheckReachable(Target directory, out bool reachable)
    {
        reachable = false;
        while (directory.NodeId != NodeId.Root)
        {
            if (directory.HasUpper)
            {
                reachable = _tree.Upper.Table.Node(directory.Upper)->Place == NodePlace.Linked;
                return Errno.None;
            }

            uint cursor = 0;
            ILayer layer = _tree.Lowers[directory.Lower.Slot];
            if (!layer.NextName(directory.Lower.Node, ref cursor, out uint lowerParent, out ByteName name))
            {
                return Errno.None;
            }

            Errno error = _tree.ResolveOwner(new LowerRef(directory.Lower.Slot, lowerParent), out Target parent);
            if (error == Errno.None)
            {
                error = _tree.FindChild(in parent, name, out Target seen);
                if (error == Errno.None && seen.NodeId != directory.NodeId)
                {
                    return Errno.None;
                }
            }

            if (error != Errno.None)
            {
                return error == Errno.ENOENT ? Errno.None : error;
            }

            directory = parent;
        }

        reachable = true;
        return Errno.None;
    }

    private int FindSlot(ulong nodeId, out bool busy)
    {
        int free = Array.IndexOf(_copying, 0UL);
        busy = free < 0 || Array.IndexOf(_copying, nodeId) >= 0;
        return free;
    }
}
