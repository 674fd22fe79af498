using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>One name as a source lists it, 24 bytes.</summary>
internal struct ListedName
{
    /// <summary>The first eight bytes as a big-endian number, short names filled with zeros: compares as the bytes do.</summary>
    public ulong Prefix;

    /// <summary>Inode number that the listing gave, 0 if it gave none.</summary>
    public ulong Inode;

    /// <summary>Where the name is in the listing's bytes; a NUL follows it.</summary>
    public uint Offset;
    public byte Length;
    public FileType Type;

    /// <summary>Once the name is in the tree: a node that may be the same object, 0 for none. It takes the place of the inode number.</summary>
    public uint Suspect
    {
        readonly get => (uint)Inode;
        set => Inode = value;
    }
}

/// <summary>The names of one directory on their way into the tree: filled by a source, sorted, copied, freed.</summary>
/// <remarks>Not for two threads at once. Owns native memory until disposed.</remarks>
internal unsafe struct DirectoryListing : IDisposable
{
    private byte* _bytes;
    private uint _used;
    private uint _room;
    private byte* _items;
    private int _itemRoom;

    /// <summary>Attributes of the directory itself, told by the source together with the names.</summary>
    public stat Directory;

    /// <summary>True when <see cref="Directory"/> is set.</summary>
    public bool HasDirectory;

    /// <summary>False when the inode numbers listed are not those that a stat of the names shows.</summary>
    public bool InodesReliable;

    /// <summary>
    /// Bytes that the source keeps with each name, set before the first is added: they go with the name into the heap, where
    /// <see cref="NodeStore.PayloadOf"/> finds them.
    /// </summary>
    public byte PayloadBytes;

    /// <summary>True when one name twice is damage (<see cref="Sort"/> then answers EIO), not the mark of a listing that changed meanwhile.</summary>
    public bool NamesAreUnique;

    public int Count { get; private set; }

    /// <summary>Bytes of all names with their NULs and payloads.</summary>
    public readonly ulong NameBytes
    {
        get
        {
            ulong bytes = 0;
            for (int i = 0; i < Count; i++)
            {
                bytes += Items[i].Length + 1u + PayloadBytes;
            }

            return bytes;
        }
    }

    public readonly ListedName* Items => (ListedName*)_items;

    public readonly ByteName NameOf(int index) => new(_bytes + Items[index].Offset, Items[index].Length);

    /// <summary>Adds one name. "." and ".." are passed over.</summary>
    /// <param name="name">1 to 255 bytes without NUL and '/': names of a source are data and are checked here.</param>
    /// <param name="type">Its type, not <see cref="FileType.Unknown"/>.</param>
    /// <param name="inode">Inode number in the source, 0 if the listing does not tell.</param>
    /// <param name="payload">Exactly <see cref="PayloadBytes"/> bytes.</param>
    /// <returns>None; EIO: not a name; ENOMEM.</returns>
    public Errno Add(ByteName name, FileType type, ulong inode, ReadOnlySpan<byte> payload = default)
    {
        if (name.IsDotOrDotDot)
        {
            return Errno.None;
        }

        if (name.Length is < 1 or > ByteName.MaxLength || name.Span.ContainsAny((byte)'/', (byte)0))
        {
            return Errno.EIO;
        }

        uint needed = _used + (uint)name.Length + 1 + PayloadBytes;
        if (needed < _used || (needed > _room && !Grow(ref _bytes, ref _room, needed)) || (Count == _itemRoom && !GrowItems()))
        {
            return Errno.ENOMEM;
        }

        name.Span.CopyTo(new Span<byte>(_bytes + _used, name.Length));
        _bytes[_used + name.Length] = 0;
        payload.CopyTo(new Span<byte>(_bytes + _used + name.Length + 1, PayloadBytes));
        Items[Count++] = new ListedName
        {
            Prefix = PrefixOf(name),
            Inode = inode,
            Offset = _used,
            Length = (byte)name.Length,
            Type = type,
        };
        _used = needed;
        return Errno.None;
    }

    /// <summary>Sorts by name bytes and drops the second of two equal names (a listing may show one twice while it changes).</summary>
    /// <returns>None; ENOMEM; EIO: one name twice, where <see cref="NamesAreUnique"/>.</returns>
    public Errno Sort()
    {
        if (Count < 2)
        {
            return Errno.None;
        }

        if (!NativeBlock.TryAlloc((nuint)Count * (nuint)sizeof(ListedName), out byte* spare))
        {
            return Errno.ENOMEM;
        }

        ListedName* from = Items;
        ListedName* to = (ListedName*)spare;
        SortRuns(from);
        for (int width = RunLength; width < Count; width *= 2)
        {
            for (int start = 0; start < Count; start += 2 * width)
            {
                Merge(from, to, start, Math.Min(start + width, Count), Math.Min(start + (2 * width), Count));
            }

            ListedName* swap = from;
            from = to;
            to = swap;
        }

        int kept = 1;
        for (int i = 1; i < Count; i++)
        {
            if (Compare(from[i], from[kept - 1]) != 0)
            {
                from[kept++] = from[i];
            }
        }

        NativeMemory.Free(to);
        _items = (byte*)from;
        _itemRoom = Count;
        bool twice = kept != Count;
        Count = kept;
        return twice && NamesAreUnique ? Errno.EIO : Errno.None;
    }

    public void Dispose()
    {
        NativeMemory.Free(_bytes);
        NativeMemory.Free(_items);
        this = default;
    }

    private const int RunLength = 8;

    private readonly void SortRuns(ListedName* items)
    {
        for (int start = 0; start < Count; start += RunLength)
        {
            int end = Math.Min(start + RunLength, Count);
            for (int i = start + 1; i < end; i++)
            {
                ListedName moving = items[i];
                int at = i;
                for (; at > start && Compare(items[at - 1], moving) > 0; at--)
                {
                    items[at] = items[at - 1];
                }

                items[at] = moving;
            }
        }
    }

    private readonly void Merge(ListedName* from, ListedName* to, int start, int middle, int end)
    {
        int left = start;
        int right = middle;
        for (int at = start; at < end; at++)
        {
            bool takeLeft = left < middle && (right >= end || Compare(from[left], from[right]) <= 0);
            to[at] = takeLeft ? from[left++] : from[right++];
        }
    }

    private readonly int Compare(in ListedName a, in ListedName b)
    {
        if (a.Prefix != b.Prefix)
        {
            return a.Prefix < b.Prefix ? -1 : 1;
        }

        if (a.Length <= sizeof(ulong) || b.Length <= sizeof(ulong))
        {
            // Names hold no NUL, so equal prefixes of which one is the whole name differ in length alone.
            return a.Length - b.Length;
        }

        ReadOnlySpan<byte> restOfA = new(_bytes + a.Offset + sizeof(ulong), a.Length - sizeof(ulong));
        ReadOnlySpan<byte> restOfB = new(_bytes + b.Offset + sizeof(ulong), b.Length - sizeof(ulong));
        return restOfA.SequenceCompareTo(restOfB);
    }

    private static ulong PrefixOf(ByteName name)
    {
        if (name.Length >= sizeof(ulong))
        {
            return BinaryPrimitives.ReadUInt64BigEndian(name.Span);
        }

        ulong prefix = 0;
        for (int i = 0; i < name.Length; i++)
        {
            prefix |= (ulong)name.Pointer[i] << (56 - (8 * i));
        }

        return prefix;
    }

    private static bool Grow(ref byte* block, ref uint room, uint needed)
    {
        ulong wanted = Math.Min(Math.Max(Math.Max(needed, room * 2UL), 1024), uint.MaxValue);
        if (!NativeBlock.TryGrow(ref block, (nuint)wanted))
        {
            return false;
        }

        room = (uint)wanted;
        return true;
    }

    private bool GrowItems()
    {
        long wanted = Math.Max(32, _itemRoom * 2L);
        if (wanted > int.MaxValue || !NativeBlock.TryGrow(ref _items, (nuint)wanted * (nuint)sizeof(ListedName)))
        {
            return false;
        }

        _itemRoom = (int)wanted;
        return true;
    }
}
