using System.Runtime.InteropServices;
using Antares.Aot.Layers;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>
/// An open-addressed set of nodes by a hash that the caller can compute again from the node: 4 bytes a slot, at most 7/8 full.
/// </summary>
/// <remarks>
/// <code>
/// bits 31..27  tag: bits 36..32 of the hash, so that a probe seldom has to look at a node that is not the one
/// bits 26..0   node index (the arena holds no more); 0: free
/// </code>
/// Linear probing from the place that bits 31..0 of the hash give. What is removed keeps its slot, as the root, which is in no set, until
/// the set is made anew. Not for two threads at once.
/// </remarks>
internal unsafe struct NodeSlots
{
    public const int NodeBits = 27;

    private const uint NodeMask = (1u << NodeBits) - 1;
    private const uint Removed = ILayer.RootNode;

    private uint* _slots;
    private uint _room;
    private uint _used;

    public readonly long Bytes => _room * (long)sizeof(uint);

    /// <summary>Slots, free or not.</summary>
    public readonly uint Room => _room;

    /// <summary>True when one more would be too many.</summary>
    public readonly bool IsFull => (_used + 1) * 8L > _room * 7L;

    /// <summary>The room that a set should grow to: by 3/16, so that it is never less than 3/4 full for long; at least 16.</summary>
    public readonly uint NextRoom => Math.Max(16, _room + ((_room / 16) * 3));

    /// <summary>An empty set.</summary>
    /// <returns>False: no memory.</returns>
    public static bool TryMake(uint room, out NodeSlots slots)
    {
        bool made = NativeBlock.TryAllocZeroed(room * (nuint)sizeof(uint), out byte* block);
        slots = new NodeSlots { _slots = (uint*)block, _room = made ? room : 0 };
        return made;
    }

    /// <summary>Where a walk over the nodes of one hash begins.</summary>
    public readonly uint Start(ulong hash) => (uint)(((hash & uint.MaxValue) * _room) >> 32);

    /// <summary>The next node that may have this hash; the caller looks at the node itself.</summary>
    /// <param name="hash">The hash looked for.</param>
    /// <param name="at">From <see cref="Start"/>, then as the last call left it.</param>
    /// <returns>0 when there is no further one.</returns>
    public readonly uint Next(ulong hash, ref uint at)
    {
        if (_room == 0)
        {
            return 0;
        }

        uint tag = Tag(hash);
        while (true)
        {
            uint slot = _slots[at];
            at = After(at);
            if (slot == 0 || (slot >> NodeBits == tag && (slot & NodeMask) != Removed))
            {
                return slot & NodeMask;
            }
        }
    }

    /// <summary>Enters a node; there must be room.</summary>
    public void Add(ulong hash, uint node)
    {
        uint at = Start(hash);
        while (_slots[at] != 0)
        {
            at = After(at);
        }

        _slots[at] = (Tag(hash) << NodeBits) | node;
        _used++;
    }

    /// <summary>Takes a node out that was entered under this hash; does nothing when it was not.</summary>
    public readonly void Remove(ulong hash, uint node)
    {
        if (_room == 0)
        {
            return;
        }

        uint tag = Tag(hash) << NodeBits;
        for (uint at = Start(hash); _slots[at] != 0; at = After(at))
        {
            if (_slots[at] == (tag | node))
            {
                _slots[at] = tag | Removed;
                return;
            }
        }
    }

    /// <summary>The node in slot <paramref name="at"/>, or 0: for walks over all.</summary>
    public readonly uint NodeAt(uint at) => (_slots[at] & NodeMask) is var node and not Removed ? node : 0;

    public void Free()
    {
        NativeMemory.Free(_slots);
        this = default;
    }

    private static uint Tag(ulong hash) => (uint)(hash >> 32) & 31;

    private readonly uint After(uint at) => at + 1 == _room ? 0 : at + 1;
}
