using System.Runtime.CompilerServices;
using Antares.Aot.Base;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>
/// Finds a name among the children of a loaded directory: by binary search in the sorted block, or, from 32 names on, by a hash
/// index that lies in the arena right behind the block (so that it is published with it and costs no table of its own).
/// </summary>
/// <remarks>
/// <code>
/// names            slot      position + 1   tag from the hash
/// 32 to 254        16 bits   bits 7..0      bits 15..8
/// 255 to 4,094     16 bits   bits 11..0     bits 15..12
/// to 131,070       24 bits   bits 16..0     bits 23..17
/// to 16,777,214    32 bits   bits 23..0     bits 31..24
/// </code>
/// A slot of 0 is free; linear probing, 4/5 full, so 2.5 to 5 bytes a name. The hash is XXH64(name, st_ino of the directory), of
/// which a directory's st_ino was cut. Measured over a million nodes in directories of a hundred (random names, nothing in the
/// processor's caches): 310 ns against 600 ns for binary search; in the caches the two are equal at 32 names and 25 against 140 ns
/// at 4,000.
/// </remarks>
internal static unsafe class NameIndex
{
    /// <summary>Directories with at least as many names are indexed.</summary>
    public const uint Threshold = 32;

    private const uint LargestIndexed = (1u << 24) - 2;

    public static bool Wanted(uint count) => count is >= Threshold and <= LargestIndexed;

    /// <summary>Arena records that the index of <paramref name="count"/> names takes.</summary>
    public static uint RecordsFor(uint count)
    {
        Shape shape = new(count);
        return (uint)((((ulong)shape.Room * shape.SlotBytes) + NodeRecord.Bytes - 1) / NodeRecord.Bytes);
    }

    /// <summary>Enters one child.</summary>
    /// <param name="index">The records behind the block, all zero at first.</param>
    /// <param name="count">Names in the directory.</param>
    /// <param name="position">Place of the child among them.</param>
    /// <param name="hash">Hash of its name.</param>
    public static void Enter(NodeRecord* index, uint count, uint position, ulong hash)
    {
        Shape shape = new(count);
        uint at = shape.Home(hash);
        while (shape.Get(index, at) != 0)
        {
            at = shape.After(at);
        }

        shape.Set(index, at, (shape.Tag(hash) << shape.PositionBits) | (position + 1));
    }

    /// <summary>Position of a name among the children of a directory whose block is loaded, or -1.</summary>
    public static long Find(NodeStore store, NodeRecord* directory, ByteName name)
    {
        uint count = directory->Extra;
        return directory->Has(NodeFlags.Indexed)
            ? Probe(store, directory, count, name)
            : Search(store, store[directory->Body], count, name);
    }

    /// <summary>Binary search, for directories of any size.</summary>
    public static long Search(NodeStore store, NodeRecord* children, uint count, ByteName name)
    {
        uint low = 0;
        uint high = count;
        while (low < high)
        {
            uint middle = low + ((high - low) / 2);
            int order = store.NameOf(children + middle).CompareBytes(name);
            if (order == 0)
            {
                return middle;
            }

            if (order < 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return -1;
    }

    private static long Probe(NodeStore store, NodeRecord* directory, uint count, ByteName name)
    {
        NodeRecord* children = store[directory->Body];
        NodeRecord* index = children + count;
        Shape shape = new(count);
        ulong hash = StInoSet.HashOf(directory->StIno, name);
        uint tag = shape.Tag(hash);
        for (uint at = shape.Home(hash); ; at = shape.After(at))
        {
            uint slot = shape.Get(index, at);
            if (slot == 0)
            {
                return -1;
            }

            if (slot >> shape.PositionBits == tag)
            {
                uint position = (slot & ((1u << shape.PositionBits) - 1)) - 1;
                if (store.NameOf(children + position).SameBytes(name))
                {
                    return position;
                }
            }
        }
    }

    /// <summary>How the index of a directory is laid out: follows from the number of names alone.</summary>
    private readonly struct Shape
    {
        public Shape(uint count)
        {
            Room = count + (count / 4) + 1;
            (SlotBytes, PositionBits) = count switch
            {
                <= 254 => (2u, 8),
                <= 4094 => (2u, 12),
                <= 131_070 => (3u, 17),
                _ => (4u, 24),
            };
        }

        public uint Room { get; }

        public uint SlotBytes { get; }

        public int PositionBits { get; }

        public uint Tag(ulong hash) => (uint)(hash >> 52) & ((1u << ((8 * (int)SlotBytes) - PositionBits)) - 1);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public uint Home(ulong hash) => (uint)(((hash & uint.MaxValue) * Room) >> 32);

        public uint After(uint at) => at + 1 == Room ? 0 : at + 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public uint Get(NodeRecord* index, uint at)
        {
            byte* slot = (byte*)index + ((ulong)at * SlotBytes);
            return SlotBytes switch
            {
                2 => *(ushort*)slot,
                3 => *(ushort*)slot | ((uint)slot[2] << 16),
                _ => *(uint*)slot,
            };
        }

        public void Set(NodeRecord* index, uint at, uint value)
        {
            byte* slot = (byte*)index + ((ulong)at * SlotBytes);
            for (uint i = 0; i < SlotBytes; i++)
            {
                slot[i] = (byte)(value >> (8 * (int)i));
            }
        }
    }
}
