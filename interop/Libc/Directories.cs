using System.Runtime.InteropServices;

namespace Antares.Interop;

/// <summary>Listing directories.</summary>
public static unsafe partial class Directories
{
    /// <summary>
    /// Fills <paramref name="buffer"/> (8-byte aligned) with whole <see cref="dirent64"/> records, <c>.</c> and <c>..</c>
    /// included; <paramref name="length"/> is 0 at the end. To begin anew: lseek to 0.
    /// </summary>
    /// <returns>ENOTDIR; EINVAL: the buffer is too small for one record; ENOENT: the directory is gone.</returns>
    public static Errno Getdents64(int fd, byte* buffer, nuint size, out int length)
    {
        long result;
        do
        {
            result = getdents64_native(fd, buffer, size);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result, out length);
    }

    [LibraryImport("libc", EntryPoint = "getdents64", SetLastError = true)]
    private static partial nint getdents64_native(int fd, byte* buffer, nuint size);
}
