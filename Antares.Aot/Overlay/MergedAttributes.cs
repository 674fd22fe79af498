using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay;

/// <summary>The attributes of a merged object: those of its topmost part, with the stable st_ino and the link count that its names make.</summary>
public sealed unsafe class MergedAttributes
{
    private readonly MergedTree _tree;

    public MergedAttributes(MergedTree tree) => _tree = tree;

    /// <summary>Fills what the kernel is shown. Called with the gate held unless the object is pure lower.</summary>
    public Errno Get(ref readonly Target target, stat* attributes)
    {
        if (!target.HasUpper)
        {
            return GetLower(in target, attributes);
        }

        Errno error = _tree.Upper.GetattrWithMapping(target.Upper, true, attributes);
        if (error != Errno.None || target.Record == 0)
        {
            if (error == Errno.None && FileTypes.FromMode(attributes->st_mode) == FileType.Directory && attributes->st_nlink != 0)
            {
                attributes->st_nlink = DirectoryLinks(in target);
            }

            return error;
        }

        InodeRecord* record = _tree.Records[target.Record];
        if (record->StIno == 0)
        {
            stat lower;
            error = _tree.Layer(target.Lower.Slot).GetattrWithMapping(target.Lower.Node, false, &lower);
            if (error != Errno.None)
            {
                return error;
            }

            record->StIno = lower.st_ino;
        }

        attributes->st_ino = record->StIno;
        if (FileTypes.FromMode(attributes->st_mode) == FileType.Directory)
        {
            attributes->st_nlink = attributes->st_nlink == 0 ? 0 : DirectoryLinks(in target);
        }
        else
        {
            attributes->st_nlink += record->MissingNames;
        }

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
        Errno error = _tree.Layer(target.Lower.Slot).GetattrWithMapping(target.Lower.Node, true, attributes);
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
    private ulong DirectoryLinks(ref readonly Target target)
    {
        DirectoryLayer upper = _tree.Upper;
        if (upper.Load(target.Upper) != Errno.None)
        {
            return 1;
        }

        uint own = upper.Table.Listing(target.Upper)->Subdirectories;
        if (target.Record == 0)
        {
            return 2UL + own;
        }

        InodeRecord* record = _tree.Records[target.Record];
        if (record->LowerCount != 1)
        {
            return 1;
        }

        LowerRef lower = record->Lowers[0];
        ILayer layer = _tree.Layer(lower.Slot);
        stat below;
        if (layer.GetattrWithMapping(lower.Node, false, &below) != Errno.None || below.st_nlink < 2)
        {
            return 1;
        }

        if (!record->OverlapKnown)
        {
            record->Overlap = 0;
            ulong cookie = 0;
            while (upper.Table.Next(target.Upper, cookie, out uint dentry))
            {
                Dentry* entry = upper.Table.Name(dentry);
                cookie = entry->Cookie;
                if (layer.Find(lower.Node, entry->ByteName, out uint node) == Errno.None && layer.TypeOf(node) == FileType.Directory)
                {
                    record->Overlap++;
                }
            }

            record->OverlapKnown = true;
        }

        return (ulong)Math.Max(2, 2L + own + ((long)below.st_nlink - 2) - record->Overlap);
    }
}
