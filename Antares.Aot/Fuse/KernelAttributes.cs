using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

/// <summary>Attributes in the form of the protocol, for replies that libfuse does not write.</summary>
internal static unsafe class KernelAttributes
{
    /// <summary>One link for a directory, however many sub-directories it has; none for one that was removed.</summary>
    public static void HideLinks(stat* attributes)
    {
        if ((attributes->st_mode & StatMode.S_IFMT) == StatMode.S_IFDIR && attributes->st_nlink > 1)
        {
            attributes->st_nlink = 1;
        }
    }

    /// <summary>Fills an entry that may be kept for <paramref name="cacheSeconds"/>.</summary>
    public static void FillEntry(fuse_entry_out* entry, ulong nodeId, in stat attributes, ulong generation, double cacheSeconds)
    {
        entry->nodeid = nodeId;
        entry->generation = generation;
        entry->entry_valid = (ulong)cacheSeconds;
        entry->attr_valid = (ulong)cacheSeconds;
        entry->entry_valid_nsec = 0;
        entry->attr_valid_nsec = 0;
        Fill(&entry->attr, attributes);
    }

    public static void Fill(fuse_attr* target, in stat source)
    {
        target->ino = source.st_ino;
        target->size = (ulong)source.st_size;
        target->blocks = (ulong)source.st_blocks;
        target->atime = (ulong)source.st_atim.tv_sec;
        target->mtime = (ulong)source.st_mtim.tv_sec;
        target->ctime = (ulong)source.st_ctim.tv_sec;
        target->atimensec = (uint)source.st_atim.tv_nsec;
        target->mtimensec = (uint)source.st_mtim.tv_nsec;
        target->ctimensec = (uint)source.st_ctim.tv_nsec;
        target->mode = source.st_mode;
        target->nlink = (uint)source.st_nlink;
        target->uid = source.st_uid;
        target->gid = source.st_gid;
        target->rdev = (uint)source.st_rdev;
        target->blksize = (uint)source.st_blksize;
        target->flags = 0;
    }
}
