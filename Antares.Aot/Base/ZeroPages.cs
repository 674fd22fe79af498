using System.Runtime.InteropServices;
using Antares.Interop;

namespace Antares.Aot.Base;

/// <summary>
/// Zeroed memory straight from the kernel, for tables of tens of kilobytes that mostly stay untouched: a page costs nothing before it
/// is written. calloc would clear a block of that size at once, and those page faults were a third of a mount's start.
/// </summary>
public static unsafe class ZeroPages
{
    /// <summary>Memory that reads as zero.</summary>
    /// <param name="size">Bytes; at least 1.</param>
    /// <returns>The memory, page-aligned; given back by <see cref="Free"/> with the same size.</returns>
    /// <exception cref="OutOfMemoryException">None to be had, as <see cref="NativeMemory"/> would throw.</exception>
    public static void* Allocate(nuint size)
    {
        const int Flags = Memory.MAP_PRIVATE | Memory.MAP_ANONYMOUS | Memory.MAP_NORESERVE;
        var error = Memory.Mmap(null, size, Memory.PROT_READ | Memory.PROT_WRITE, Flags, -1, 0, out var memory);
        return error == Errno.None ? memory : throw new OutOfMemoryException();
    }

    /// <summary>Gives the pages back to the kernel and keeps the addresses, which read as zero again.</summary>
    /// <param name="memory">From <see cref="Allocate"/>.</param>
    /// <param name="size">As given there.</param>
    public static void Drop(void* memory, nuint size) =>
        _ = Memory.Madvise(memory, size, Memory.MADV_DONTNEED); // fails only for memory that is locked or not mapped

    /// <param name="memory">From <see cref="Allocate"/>, or null.</param>
    /// <param name="size">As given there.</param>
    public static void Free(void* memory, nuint size)
    {
        if (memory != null)
        {
            _ = Memory.Munmap(memory, size); // fails only for an address that was never mapped
        }
    }
}
