using System.Runtime.CompilerServices;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>
/// The bytes of all names, each followed by a NUL so that a pointer into the heap goes to a system call as it is, and the link
/// targets that were read, each behind two bytes of its length. A place (name ref) is a byte offset; 0 is none and reads as "".
/// </summary>
internal sealed unsafe class NameHeap : IDisposable
{
    /// <summary>Address space asked for: all that a 32-bit place can reach.</summary>
    public const ulong DefaultReservation = 4UL << 30;

    private readonly NativeRange _range;
    private readonly byte* _bytes;
    private readonly Lock _growth = new();
    private ulong _used = 1;

    private NameHeap(NativeRange range)
    {
        _range = range;
        _bytes = range.Base;
    }

    /// <summary>Bytes in use.</summary>
    public ulong Bytes => Volatile.Read(ref _used);

    /// <returns>None; ENOMEM.</returns>
    public static Errno Create(ulong reservation, out NameHeap? heap)
    {
        heap = null;
        Errno error = NativeRange.Reserve(reservation, out NativeRange? range);
        if (error != Errno.None)
        {
            return error;
        }

        error = range!.Commit(1);
        if (error != Errno.None)
        {
            range.Dispose();
            return error;
        }

        heap = new NameHeap(range);
        return Errno.None;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* At(uint place) => _bytes + place;

    /// <summary>Takes <paramref name="count"/> bytes, to be filled before any node that refers to them is published.</summary>
    /// <returns>None; ENOMEM: the heap or the memory is full (nothing is taken).</returns>
    public Errno Allocate(ulong count, out uint place)
    {
        lock (_growth)
        {
            place = 0;
            ulong end = _used + count;
            if (end > uint.MaxValue)
            {
                return Errno.ENOMEM;
            }

            Errno error = _range.Commit(end);
            if (error == Errno.None)
            {
                place = (uint)_used;
                Volatile.Write(ref _used, end);
            }

            return error;
        }
    }

    /// <summary>Gives bytes back that nothing refers to, if they are the last ones; otherwise they stay taken.</summary>
    public void GiveBack(uint place, ulong count)
    {
        lock (_growth)
        {
            if (place + count == _used)
            {
                Volatile.Write(ref _used, place);
            }
        }
    }

    public void Dispose() => _range.Dispose();
}
