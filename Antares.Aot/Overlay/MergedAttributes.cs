using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay;

/// <summary>The attributes of a merged object: those of its topmost part, with the stable st_ino and the link count that its names make.</summary>
public sealed unsafe class MergedAttributes
{
    private readonly MergedTree _tree;
    private readonly bool _staticLinks;

    /// <param name="tree">The tree.</param>
    /// <param name="staticLinks">True: links of directories are not counted, since nobody is shown them.</param>
    public MergedAttributes(MergedTree tree, bool staticLinks)
    {
        _tree = tree;
        _staticLinks = staticLinks;
    }

    /// <summary>Fills what the kernel is shown. Called with the gate held unless the object is pure lower.</summary>
    /// <returns>None; ERESTART (<see cref="LowerLayers"/>); EIO and others: a layer could not be read.</returns>
    public Errno Get(ref readonly Target target, stat* attributes)
    {
        if (!target.HasUpper)
        {
            return GetLower(in target, attributes);
        }

        Errno error = _tree.Upper.GetattrWithMapping(target.Upper, true, attributes);
        if (error != Errno.None || target.Record == 0)
        {
            return error == Errno.None ? CountDirectoryLinks(in target, attributes) : error;
        }

        InodeRecord* record = _tree.Records[target.Record];
        if (record->StIno == 0)
        {
            stat lower;
            error = _tree.Lowers.Getattr(target.Lower, false, &lower);
            if (error != Errno.None)
            {
                return error;
            }

            record->StIno = lower.st_ino;
        }

        attributes->st_ino = record->StIno;
        if (FileTypes.FromMode(attributes->st_mode) == FileType.Directory)
        {
            return CountDirectoryLinks(in target, attributes);
        }

        attributes->st_nlink += record->MissingNames;
        return Errno.None;
    }

    /// <summary>To be called when a name of the upper comes to lie over a lower directory that it had no entry for.</summary>
    public void CountOverlap(ref readonly Target directory)
    {
        if (directory.Record != 0 && _tree.Records[directory.Record]->OverlapKnown)
        {
            _tree.Records[directory.Record]->Overlap++;
        }
    }

    private Errno GetLower(ref readonly Target target, stat* attributes)
    {
        Errno error = _tree.Lowers.Getattr(target.Lower, true, attributes);
        if (error == Errno.None && target.Record != 0)
        {
            InodeRecord* record = _tree.Records[target.Record];
            if (FileTypes.FromMode(attributes->st_mode) == FileType.Directory)
            {
                attributes->st_nlink = record->Unlinked ? 0 : record->LowerCount > 1 ? 1 : attributes->st_nlink;
            }
            else
            {
                ulong removed = Math.Min(attributes->st_nlink, record->RemovedNames);
                attributes->st_nlink -= removed;
            }
        }

        return error;
    }

    // 2 and one for each sub-directory, as ext4 has it; 1 ("unknown", which find and others respect) where the layers do not tell.
    private Errno CountDirectoryLinks(ref readonly Target target, stat* attributes)
    {
        if (FileTypes.FromMode(attributes->st_mode) != FileType.Directory || attributes->st_nlink == 0)
        {
            return Errno.None;
        }

        attributes->st_nlink = 1;
        DirectoryLayer upper = _tree.Upper;
        if (_staticLinks || upper.Load(target.Upper) != Errno.None)
        {
            return Errno.None;
        }

        uint own = upper.Table.Listing(target.Upper)->Subdirectories;
        if (target.Record == 0)
        {
            attributes->st_nlink = 2UL + own;
            return Errno.None;
        }

        InodeRecord* record = _tree.Records[target.Record];
        if (record->LowerCount != 1)
        {
            return Errno.None;
        }

        stat below;
        Errno error = _tree.Lowers.Getattr(record->Lowers[0], false, &below);
        if (error != Errno.None || below.st_nlink < 2)
        {
            return error == Errno.ERESTART ? error : Errno.None;
        }

        error = FindOverlap(target.Upper, record);
        if (error == Errno.None)
        {
            attributes->st_nlink = (ulong)Math.Max(2, 2L + own + ((long)below.st_nlink - 2) - record->Overlap);
        }

        return error == Errno.ERESTART ? error : Errno.None;
    }

    // Counts the names that are a lower directory too.
    private Errno FindOverlap(uint directory, InodeRecord* record)
    {
        if (record->OverlapKnown)
        {
            return Errno.None;
        }

        DirectoryTable table = _tree.Upper.Table;
        int overlap = 0;
        ulong cookie = 0;
        while (table.Next(directory, cookie, out uint dentry))
        {
            Dentry* entry = table.Name(dentry);
            cookie = entry->Cookie;
            Errno error = _tree.Lowers.Find(record->Lowers[0], entry->ByteName, out _, out FileType type);
            if (error is not (Errno.None or Errno.ENOENT))
            {
                return error;
            }

            overlap += error == Errno.None && type == FileType.Directory ? 1 : 0;
        }

        record->Overlap = overlap;
        record->OverlapKnown = true;
        return Errno.None;
    }
}
