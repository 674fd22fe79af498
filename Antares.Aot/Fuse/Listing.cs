using Antares.Aot.Base;
using Antares.Aot.Overlay;
using Antares.Aot.Overlay.Ops;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

/// <summary>A READDIR or READDIRPLUS reply while it is filled.</summary>
internal unsafe struct Listing
{
    public byte* Buffer;
    public nuint Capacity;
    public nuint Used;
    public double CacheSeconds;
    public ulong Generation;

    /// <summary>Each directory shows one link.</summary>
    public bool StaticLinks;

    /// <summary>For <see cref="DirectoryOps"/>: takes one entry with names only; false when the buffer is full.</summary>
    public static bool Add(void* context, DirectoryItem* item)
    {
        var listing = (Listing*)context;
        nuint left = listing->Capacity - listing->Used;
        nuint size = Direntry.fuse_add_direntry(
            null, listing->Buffer + listing->Used, left, item->Name.Pointer, &item->Attributes, (long)item->NextCookie);
        if (size > left)
        {
            return false;
        }

        listing->Used += size;
        return true;
    }

    /// <summary>As <see cref="Add"/>, with attributes; an entry without a node id is listed and nothing else.</summary>
    public static bool AddPlus(void* context, DirectoryItem* item)
    {
        var listing = (Listing*)context;
        nuint left = listing->Capacity - listing->Used;
        fuse_entry_param entry;
        entry.ino = item->NodeId;
        entry.generation = listing->Generation;
        entry.attr = item->Attributes;
        if (listing->StaticLinks)
        {
            KernelAttributes.HideLinks(&entry.attr);
        }

        entry.attr_timeout = listing->CacheSeconds;
        entry.entry_timeout = listing->CacheSeconds;
        nuint size = Direntry.fuse_add_direntry_plus(
            null, listing->Buffer + listing->Used, left, item->Name.Pointer, &entry, (long)item->NextCookie);
        if (size > left)
        {
            return false;
        }

        listing->Used += size;
        return true;
    }

    /// <summary>
    /// An end that the kernel does not take for the end of what it kept: less than the head of an entry, in which it looks for none, and not
    /// nothing, which would tell it (fuse_readdir_uncached and parse_dirfile of fs/fuse/readdir.c).
    /// </summary>
    public void EndUnkept()
    {
        *(ulong*)Buffer = 0;
        Used = sizeof(ulong);
    }

    /// <summary>Gives back the lookup counts of a READDIRPLUS reply that did not reach the kernel.</summary>
    public readonly void ForgetAll(LookupOps lookups)
    {
        nuint at = 0;
        while (at + (nuint)sizeof(fuse_direntplus) <= Used)
        {
            var entry = (fuse_direntplus*)(Buffer + at);
            if (entry->entry_out.nodeid != NodeId.None)
            {
                lookups.Forget(entry->entry_out.nodeid, 1);
            }

            at += ((nuint)sizeof(fuse_direntplus) + entry->dirent.namelen + 7) & ~(nuint)7;
        }
    }
}
