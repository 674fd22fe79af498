using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>
/// A stretch of address space reserved once, whose front part becomes usable memory as it is needed: what lies in it never moves.
/// Reserving touches no page and counts against no limit but RLIMIT_AS.
/// </summary>
internal sealed unsafe class NativeRange : IDisposable
{
    private const ulong SmallestReservation = 1UL << 20;
    private const ulong SmallestStep = 64UL << 10;
    private const ulong LargestStep = 8UL << 20;

    private byte* _base;
    private ulong _committed;

    private NativeRange(byte* start, ulong reserved)
    {
        _base = start;
        Reserved = reserved;
    }

    public byte* Base => _base;

    /// <summary>Bytes of address space.</summary>
    public ulong Reserved { get; }

    /// <summary>Bytes from the start that may be read and written; the kernel gives a page at its first touch.</summary>
    public ulong Committed => Volatile.Read(ref _committed);

    /// <summary>
    /// Reserves <paramref name="wanted"/> bytes. Where the address space is bounded (RLIMIT_AS) and that does not fit, takes half of
    /// the largest fourth-part of it that does, so that others find room too.
    /// </summary>
    /// <returns>None; ENOMEM: not even 1 MiB could be reserved.</returns>
    public static Errno Reserve(ulong wanted, out NativeRange? range)
    {
        range = null;
        ulong size = wanted;
        while (true)
        {
            Errno error = Map(size, out byte* start);
            if (error == Errno.None && size != wanted && size / 2 >= SmallestReservation)
            {
                // SAFETY: nothing was ever put into this mapping; it is its upper half.
                error = Memory.Munmap(start + (size / 2), (nuint)(size / 2));
                size /= 2;
            }

            if (error == Errno.None)
            {
                range = new NativeRange(start, size);
                return Errno.None;
            }

            size /= 4;
            if (size < SmallestReservation)
            {
                return error;
            }
        }
    }

    /// <summary>Makes at least the first <paramref name="bytes"/> usable. Not for two threads at once.</summary>
    /// <returns>None; ENOMEM: the reservation is full, or the machine's memory.</returns>
    public Errno Commit(ulong bytes)
    {
        ulong committed = _committed;
        if (bytes <= committed)
        {
            return Errno.None;
        }

        if (bytes > Reserved)
        {
            return Errno.ENOMEM;
        }

        // Steps grow with what is there, so that a big tree asks seldom and a small one does not own much.
        ulong step = Math.Clamp(committed / 2, SmallestStep, LargestStep);
        ulong target = Math.Max(bytes, committed + step);
        target = Math.Min((target + SmallestStep - 1) & ~(SmallestStep - 1), Reserved);
        Errno error = Memory.Mprotect(_base + committed, (nuint)(target - committed), Memory.PROT_READ | Memory.PROT_WRITE);
        if (error == Errno.None)
        {
            Volatile.Write(ref _committed, target);
        }

        return error;
    }

    public void Dispose()
    {
        if (_base != null)
        {
            // Can only fail for a range that is none; the memory is given back either way when the process ends.
            _ = Memory.Munmap(_base, (nuint)Reserved);
            _base = null;
        }
    }

    private static Errno Map(ulong size, out byte* start)
    {
        Errno error = Memory.Mmap(
            null,
            (nuint)size,
            Memory.PROT_NONE,
            Memory.MAP_PRIVATE | Memory.MAP_ANONYMOUS | Memory.MAP_NORESERVE,
            -1,
            0,
            out void* mapped);
        start = (byte*)mapped;
        return error;
    }
}
