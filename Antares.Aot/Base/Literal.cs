using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Antares.Aot.Base;

/// <summary>Pointers to UTF-8 literals: <c>Literal.Pointer("user.x"u8)</c> gives a NUL-terminated C string that never moves.</summary>
public static unsafe class Literal
{
    /// <param name="text">A <c>u8</c> literal: it lies in the program image, fixed, with a NUL after its last byte.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* Pointer(ReadOnlySpan<byte> text) => (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(text));

    /// <summary>True when the NUL-terminated string begins with the literal.</summary>
    public static bool StartsWith(byte* text, ReadOnlySpan<byte> prefix)
    {
        for (int i = 0; i < prefix.Length; i++)
        {
            if (text[i] != prefix[i])
            {
                return false;
            }
        }

        return true;
    }
}
