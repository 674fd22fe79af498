using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Overlay;

/// <summary>The owner ids within POSIX ACLs, which are mapped as the owners of files are.</summary>
/// <remarks>Source: include/uapi/linux/posix_acl_xattr.h: a version of 4 bytes, then entries of tag (2), permissions (2) and id (4).</remarks>
internal static unsafe class AclIds
{
    private const int HeaderSize = 4;
    private const int EntrySize = 8;
    private const uint Version = 2;
    private const ushort User = 0x02;
    private const ushort Group = 0x08;

    /// <summary>Turns the ids of an ACL from a caller into those to be stored, in place.</summary>
    /// <returns>None; EINVAL: an id that is not mapped; a value that is no ACL stays as it is, for the file system to judge.</returns>
    public static Errno ToLayer(byte* value, int length, IdMap uids, IdMap gids)
    {
        for (int at = First(value, length); at + EntrySize <= length; at += EntrySize)
        {
            uint* id = (uint*)(value + at + 4);
            ushort tag = *(ushort*)(value + at);
            IdMap? map = tag == User ? uids : tag == Group ? gids : null;
            if (map != null && !map.TryToLayer(*id, out *id))
            {
                return Errno.EINVAL;
            }
        }

        return Errno.None;
    }

    /// <summary>Turns the ids of a stored ACL into those that the mount shows, in place.</summary>
    public static void ToMount(byte* value, int length, IdMap uids, IdMap gids)
    {
        for (int at = First(value, length); at + EntrySize <= length; at += EntrySize)
        {
            uint* id = (uint*)(value + at + 4);
            ushort tag = *(ushort*)(value + at);
            if (tag == User)
            {
                *id = uids.AclToMount(*id);
            }
            else if (tag == Group)
            {
                *id = gids.AclToMount(*id);
            }
        }
    }

    /// <summary>Takes the names of ACLs out of a list of names, in place.</summary>
    /// <returns>The new length in bytes.</returns>
    public static int HideNames(byte* list, int length)
    {
        int kept = 0;
        for (int at = 0; at < length;)
        {
            int size = 0;
            while (at + size < length && list[at + size] != 0)
            {
                size++;
            }

            size = Math.Min(size + 1, length - at);
            if (!Literal.StartsWith(list + at, "system.posix_acl_"u8))
            {
                Buffer.MemoryCopy(list + at, list + kept, length - kept, size);
                kept += size;
            }

            at += size;
        }

        return kept;
    }

    private static int First(byte* value, int length) => length >= HeaderSize && *(uint*)value == Version ? HeaderSize : length;
}
