using System.Runtime.InteropServices;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>malloc that answers false where the runtime's wrapper throws: no memory is an errno here, not an exception.</summary>
internal static unsafe class NativeBlock
{
    public static bool TryAlloc(nuint bytes, out byte* block)
    {
        try
        {
            block = (byte*)NativeMemory.Alloc(bytes);
            return true;
        }
        catch (OutOfMemoryException)
        {
            block = null;
            return false;
        }
    }

    public static bool TryAllocZeroed(nuint bytes, out byte* block)
    {
        try
        {
            block = (byte*)NativeMemory.AllocZeroed(bytes);
            return true;
        }
        catch (OutOfMemoryException)
        {
            block = null;
            return false;
        }
    }

    /// <summary>On failure <paramref name="block"/> stays what and where it was.</summary>
    public static bool TryGrow(ref byte* block, nuint bytes)
    {
        try
        {
            block = (byte*)NativeMemory.Realloc(block, bytes);
            return true;
        }
        catch (OutOfMemoryException)
        {
            return false;
        }
    }
}
