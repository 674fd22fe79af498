using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay.Ops;

/// <summary>UNLINK and RMDIR.</summary>
public sealed unsafe class RemoveOps
{
    private readonly MergedTree _tree;
    private readonly MergedAttributes _attributes;
    private readonly MergedListing _listing;
    private readonly CopyUp _copyUp;

    public RemoveOps(MergedTree tree, MergedAttributes attributes, MergedListing listing, CopyUp copyUp)
    {
        _tree = tree;
        _attributes = attributes;
        _listing = listing;
        _copyUp = copyUp;
    }

    /// <summary>Removes the name of a non-directory. Who has it open goes on using it.</summary>
    /// <returns>None; ENOENT; EISDIR; EROFS; ENOSPC (no room for the whiteout) and others: the name is still there.</returns>
    public Errno Unlink(ulong parent, ByteName name) => Remove(parent, name, directoryWanted: false);

    /// <summary>Removes an empty directory.</summary>
    /// <returns>None; ENOENT; ENOTDIR; ENOTEMPTY; EROFS; ENOSPC and others.</returns>
    public Errno Rmdir(ulong parent, ByteName name) => Remove(parent, name, directoryWanted: true);

    /// <summary>None when no name is visible in a directory, otherwise ENOTEMPTY.</summary>
    public Errno CheckEmpty(ref readonly Target directory)
    {
        Errno error = _listing.Next(in directory, 0, out _);
        return error == Errno.ENOENT ? Errno.None : error == Errno.None ? Errno.ENOTEMPTY : error;
    }

    /// <summary>After a name of an object went: notes what no name leads to any more.</summary>
    /// <param name="child">The object as it was resolved before.</param>
    /// <param name="viaUpper">True when the name was one of the upper's.</param>
    /// <param name="freed">True when the upper node was given back since nothing refers to it.</param>
    public void NameGone(ref Target child, bool viaUpper, bool freed)
    {
        if (child.Lower.IsNone)
        {
            return;
        }

        if (freed)
        {
            if (child.Record != 0)
            {
                _tree.Records.Remove(child.Record);
            }

            return;
        }

        if (viaUpper)
        {
            if (_tree.TypeOf(in child) == FileType.Directory)
            {
                _tree.Records[child.Record]->Unlinked = true;
            }

            return;
        }

        InodeRecord* record = _tree.Records[_tree.EnsureRecord(ref child)];
        if (child.HasUpper)
        {
            record->MissingNames = record->MissingNames == 0 ? 0 : record->MissingNames - 1;
            return;
        }

        // Whoever resolved the name has loaded the attributes: this asks no source.
        record->RemovedNames++;
        stat attributes;
        bool known = _tree.Lowers.Getattr(child.Lower, false, &attributes) == Errno.None;
        bool isDirectory = _tree.TypeOf(in child) == FileType.Directory;
        record->Unlinked = isDirectory || !known || attributes.st_nlink <= record->RemovedNames;
        if (record->Unlinked && _tree.LookupsOf(in child) == 0)
        {
            _tree.Records.Remove(child.Record);
        }
    }

    private Errno Remove(ulong parent, ByteName name, bool directoryWanted)
    {
        if (!_tree.HasUpper)
        {
            return Errno.EROFS;
        }

        lock (_tree.Gate)
        {
            Errno error;
            do
            {
                error = RemoveMerged(parent, name, directoryWanted);
            }
            while (_tree.Lowers.LoadLacking(ref error));

            return error;
        }
    }

    private Errno RemoveMerged(ulong parent, ByteName name, bool directoryWanted)
    {
        Errno error = _tree.Resolve(parent, out Target directory);
        if (error != Errno.None)
        {
            return error;
        }

        error = _tree.FindChild(in directory, name, out Target child);
        if (error != Errno.None)
        {
            return error;
        }

        bool isDirectory = _tree.TypeOf(in child) == FileType.Directory;
        if (isDirectory != directoryWanted)
        {
            return isDirectory ? Errno.EISDIR : Errno.ENOTDIR;
        }

        error = isDirectory ? CheckEmpty(in child) : Errno.None;
        if (error == Errno.None)
        {
            error = _tree.ShownBelow(in directory, name, out _, out bool shown);
            if (error == Errno.None && shown)
            {
                error = _copyUp.EnsureDirectory(ref directory);
            }

            if (error == Errno.None)
            {
                error = RemoveFrom(ref directory, name, ref child, isDirectory, shown);
            }
        }

        return error;
    }

    private Errno RemoveFrom(ref Target directory, ByteName name, ref Target child, bool isDirectory, bool shown)
    {
        UpperWriter writer = _tree.Upper.Writer;
        bool inUpper = directory.HasUpper && _tree.Upper.Find(directory.Upper, name, out _) == Errno.None;
        Errno error;
        if (!inUpper)
        {
            error = writer.Removal.AddWhiteout(directory.Upper, name);
            if (error == Errno.None)
            {
                if (isDirectory)
                {
                    _attributes.CountOverlap(in directory);
                }

                NameGone(ref child, viaUpper: false, freed: false);
            }

            return error;
        }

        bool keep = _tree.LookupsOf(in child) > 0;
        bool last = _tree.Upper.Table.Node(child.Upper)->Names == 1;
        error = isDirectory
            ? _tree.Upper.Rmdir(directory.Upper, name, shown, keep)
            : _tree.Upper.Unlink(directory.Upper, name, shown, keep);
        if (error == Errno.None)
        {
            NameGone(ref child, viaUpper: true, freed: last && !keep);
        }

        return error;
    }
}
