using System.Buffers.Text;

namespace Antares.Interop;

/// <summary>
/// The path /proc/self/fd/N, by which calls without an O_PATH form reach a descriptor (and a descriptor is opened again with
/// other flags). It follows to the file itself even where that is a symlink's target no more, unlinked or renamed.
/// </summary>
public static unsafe class ProcFd
{
    /// <summary>Bytes that <see cref="Write"/> may need, the NUL included.</summary>
    public const int Capacity = 32;

    /// <summary>Writes the path, NUL-terminated; <paramref name="buffer"/> has <see cref="Capacity"/> bytes.</summary>
    public static void Write(byte* buffer, int fd)
    {
        ReadOnlySpan<byte> prefix = "/proc/self/fd/"u8;
        Span<byte> target = new(buffer, Capacity);
        prefix.CopyTo(target);
        // Ten digits at most: always fits.
        _ = Utf8Formatter.TryFormat(fd, target[prefix.Length..], out int digits);
        target[prefix.Length + digits] = 0;
    }
}
