using System.Runtime.CompilerServices;
using Antares.Aot.Base;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>
/// Finds a name among the children of a loaded directory: by binary search in the sorted block, or in a big directory by a hash
/// index that lies in the arena right behind the block (so that it is published with it and costs no table of its own).
/// </summary>
/// <remarks>
/// A slot of the index is 4 bytes: bits 31..24 a tag from the hash, bits 23..0 the child's position + 1; 0 is free. Linear
/// probing, 4/5 full. The hash is XXH64(name, st_ino of the directory), of which the child's st_ino was cut.
/// </remarks>
internal static unsafe class NameIndex
{
    /// <summary>Directories with at least as many names are indexed.</summary>
    public const uint Threshold = 256;

    private const int PositionBits = 24;
    private const uint PositionMask = (1u << PositionBits) - 1;

    public static bool Wanted(uint count) => count >= Threshold && count < PositionMask;

    /// <summary>Arena records that the index of <paramref name="count"/> names takes.</summary>
    public static uint RecordsFor(uint count) => ((Room(count) * sizeof(uint)) + NodeRecord.Bytes - 1) / NodeRecord.Bytes;

    /// <summary>Enters one child; the slots behind the block are zero at first.</summary>
    public static void Enter(uint* slots, uint count, uint position, ulong hash)
    {
        uint room = Room(count);
        uint at = Home(hash, room);
        while (slots[at] != 0)
        {
            at = After(at, room);
        }

        slots[at] = (Tag(hash) << PositionBits) | (position + 1);
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
        uint* slots = (uint*)(children + count);
        uint room = Room(count);
        ulong hash = StInoSet.HashOf(directory->StIno, name);
        uint tag = Tag(hash);
        for (uint at = Home(hash, room); slots[at] != 0; at = After(at, room))
        {
            uint slot = slots[at];
            if (slot >> PositionBits == tag)
            {
                uint position = (slot & PositionMask) - 1;
                if (store.NameOf(children + position).SameBytes(name))
                {
                    return position;
                }
            }
        }

        return -1;
    }

    private static uint Room(uint count) => count + (count / 4) + 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Home(ulong hash, uint room) => (uint)(((hash & uint.MaxValue) * room) >> 32);

    private static uint After(uint at, uint room) => at + 1 == room ? 0 : at + 1;

    private static uint Tag(ulong hash) => (uint)(hash >> 52) & 0xFF;
}
