using System.Runtime.CompilerServices;
using K4os.Hash.xxHash;

namespace Antares.Aot.Base;

/// <summary>
/// A file name (or a link target) as the kernel gave it: bytes, no encoding assumed, no NUL inside and always a NUL byte right
/// after the last one, so that <see cref="Pointer"/> can be handed to a system call as it is.
/// </summary>
/// <remarks>Borrows the memory it points at: valid for the request it came with, or for the life of the heap that holds it.</remarks>
public readonly unsafe struct ByteName
{
    /// <summary>Longest name of one path component, in bytes (NAME_MAX).</summary>
    public const int MaxLength = 255;

    public ByteName(byte* pointer, int length)
    {
        Pointer = pointer;
        Length = length;
    }

    /// <summary>First byte; the byte at <see cref="Length"/> is NUL.</summary>
    public byte* Pointer { get; }

    /// <summary>Length in bytes without the NUL.</summary>
    public int Length { get; }

    public ReadOnlySpan<byte> Span => new(Pointer, Length);

    /// <summary>True for "." and "..".</summary>
    public bool IsDotOrDotDot =>
        (Length == 1 && Pointer[0] == (byte)'.') || (Length == 2 && Pointer[0] == (byte)'.' && Pointer[1] == (byte)'.');

    /// <summary>True for what a directory may hold: 1 to 255 bytes, neither "." nor "..", no slash and no NUL.</summary>
    public bool IsEntry => Length is > 0 and <= MaxLength && !IsDotOrDotDot && !Span.ContainsAny((byte)'/', (byte)0);

    /// <summary>
    /// Copies a name and checks the copy, so that what was checked is what is used: the bytes of an image's name are those of a file that
    /// somebody may be writing to.
    /// </summary>
    /// <param name="room">Room for 256 bytes; the copy is valid as long as it is.</param>
    /// <param name="copy">The copy, with a NUL behind it.</param>
    /// <returns>False: no name of an entry (<see cref="IsEntry"/>).</returns>
    public bool TryCopy(byte* room, out ByteName copy)
    {
        int length = Math.Min(Length, MaxLength);
        bool isWhole = Length == length; // the caller may give this name's own place for the copy
        new ReadOnlySpan<byte>(Pointer, length).CopyTo(new Span<byte>(room, length));
        room[length] = 0;
        copy = new ByteName(room, length);
        return isWhole && copy.IsEntry;
    }

    /// <summary>Measures a NUL-terminated string; <paramref name="pointer"/> must not be null.</summary>
    public static ByteName FromNulTerminated(byte* pointer) =>
        new(pointer, System.Runtime.InteropServices.MemoryMarshal.CreateReadOnlySpanFromNullTerminated(pointer).Length);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool SameBytes(ByteName other) => Span.SequenceEqual(other.Span);

    /// <summary>Order by unsigned bytes, as memcmp; a prefix sorts first.</summary>
    public int CompareBytes(ByteName other) => Span.SequenceCompareTo(other.Span);

    /// <summary>XXH64 of the bytes; <paramref name="seed"/> mixes in the directory.</summary>
    public ulong Hash(ulong seed) => XXH64.DigestOf(Pointer, Length, seed);
}
