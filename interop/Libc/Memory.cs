using System.Runtime.InteropServices;
using Tmds.Linux;

namespace Antares.Interop;

/// <summary>Mapped memory. Lengths are bytes; addresses are page-aligned where the man page says so.</summary>
public static unsafe partial class Memory
{
    public const int PROT_NONE = 0;
    public const int PROT_READ = 1;
    public const int PROT_WRITE = 2;
    public const int PROT_EXEC = 4;

    public const int MAP_SHARED = 1;
    public const int MAP_PRIVATE = 2;
    public const int MAP_FIXED = 0x10;
    public const int MAP_ANONYMOUS = 0x20;
    public const int MAP_NORESERVE = 0x4000;
    public const int MAP_POPULATE = 0x8000;
    public const int MAP_FIXED_NOREPLACE = 0x100000;

    public const int MADV_NORMAL = 0;
    public const int MADV_RANDOM = 1;
    public const int MADV_SEQUENTIAL = 2;
    public const int MADV_WILLNEED = 3;
    public const int MADV_DONTNEED = 4;
    public const int MADV_FREE = 8;
    public const int MADV_REMOVE = 9;
    public const int MADV_DONTFORK = 10;
    public const int MADV_HUGEPAGE = 14;
    public const int MADV_NOHUGEPAGE = 15;
    public const int MADV_DONTDUMP = 16;
    public const int MADV_COLD = 20;
    public const int MADV_PAGEOUT = 21;
    public const int MADV_POPULATE_READ = 22;

    /// <summary>Maps a file or anonymous memory; <paramref name="result"/> is null on failure. ENOMEM, ENODEV, EACCES, EINVAL.</summary>
    public static Errno Mmap(void* address, nuint length, int protection, int flags, int fd, long offset, out void* result)
    {
        void* mapped = LibC.mmap(address, (size_t)(ulong)length, protection, flags, fd, offset);
        if ((nint)mapped == -1)
        {
            result = null;
            return Returned.Of(-1);
        }

        result = mapped;
        return Errno.None;
    }

    public static Errno Munmap(void* address, nuint length) =>
        Returned.Of(LibC.munmap(address, (size_t)(ulong)length));

    public static Errno Mprotect(void* address, nuint length, int protection) =>
        Returned.Of(LibC.mprotect(address, (size_t)(ulong)length, protection));

    /// <summary>Tells the kernel how a range will be used (MADV_*).</summary>
    public static Errno Madvise(void* address, nuint length, int advice) =>
        Returned.Of(LibC.madvise(address, (size_t)(ulong)length, advice));

    /// <summary>Gives back to the kernel what the C heap holds without need, in all of its arenas: some milliseconds for a large heap.</summary>
    public static void TrimHeap() => _ = malloc_trim_native(0); // says only whether there was anything to give

    [LibraryImport("libc", EntryPoint = "malloc_trim")]
    private static partial int malloc_trim_native(nuint pad);
}
