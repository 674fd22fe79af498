using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>All nodes of one tree: index 0 is none, 1 the root. Blocks are handed out one after
/// another; only the last one, should it turn out not to be needed, can be given back.</summary>
internal sealed unsafe class TreeArena : IDisposable
{
    /// <summary>Address space asked for: room for 89 million nodes.</summary>
    public const ulong DefaultReservation = 4UL << 30;

    /// <summary>Bound of the node indices: what <see cref="NodeSlots"/> has bits for.</summary>
    public const uint MostNodes = 1u << NodeSlots.NodeBits;

    private readonly NativeRange _range;
    private readonly NodeRecord* _nodes;
    private readonly Lock _growth = new();
    private uint _used = 2;

    private TreeArena(NativeRange range)
    {
        _range = range;
        _nodes = (NodeRecord*)range.Base;
    }

    /// <summary>Bytes of nodes and of the hash indices between them.</summary>
    public ulong Bytes => (ulong)Volatile.Read(ref _used) * NodeRecord.Bytes;

    /// <returns>None; ENOMEM.</returns>
    public static Errno Create(ulong reservation, out TreeArena? arena)
    {
        arena = null;
        Errno error = NativeRange.Reserve(reservation, out NativeRange? range);
        if (error != Errno.None)
        {
            return error;
        }

        error = range!.Commit(2 * NodeRecord.Bytes);
        if (error != Errno.None)
        {
            range.Dispose();
            return error;
        }

        arena = new TreeArena(range);
        return Errno.None;
    }

    /// <summary>The record of a node index that <see cref="Contains"/> knows.</summary>
    public NodeRecord* this[uint node]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _nodes + node;
    }

    /// <summary>True for each index handed out so far.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Contains(uint node) => node - 1 < Volatile.Read(ref _used) - 1;

    /// <summary>Takes a block of <paramref name="count"/> zeroed records with following indices.</summary>
    /// <returns>None; ENOMEM: the reservation or the memory is used up (nothing is taken).</returns>
    public Errno Allocate(uint count, out uint first)
    {
        lock (_growth)
        {
            first = 0;
            ulong end = (ulong)_used + count;
            if (end > MostNodes)
            {
                return Errno.ENOMEM;
            }

            Errno error = _range.Commit(end * NodeRecord.Bytes);
            if (error == Errno.None)
            {
                first = _used;
                Volatile.Write(ref _used, (uint)end);
            }

            return error;
        }
    }

    /// <summary>Gives a block back that no node index leads to, if it is the last one.</summary>
    /// <returns>False: another was taken after it, so it stays taken.</returns>
    public bool TryGiveBack(uint first, uint count)
    {
        lock (_growth)
        {
            if (first + count != _used)
            {
                return false;
            }

            NativeMemory.Clear(_nodes + first, (nuint)count * NodeRecord.Bytes);
            Volatile.Write(ref _used, first);
            return true;
        }
    }

    public void Dispose() => _range.Dispose();
}
