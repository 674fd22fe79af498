using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Antares.Interop;

/// <summary>
/// Reads the outcome of a libc call that answers -1 and sets errno. To be used in the statement after the call: anything
/// in between (a write to Console, an allocation that collects) may set the stored errno again.
/// </summary>
internal static class Returned
{
    /// <summary>The call was interrupted by a signal and may be made again.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Interrupted(long result) => result == -1 && Marshal.GetLastPInvokeError() == (int)Errno.EINTR;

    /// <summary>The errno of a call that answered <paramref name="result"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Errno Of(long result) => result == -1 ? (Errno)Marshal.GetLastPInvokeError() : Errno.None;

    /// <summary>As <see cref="Of(long)"/>, with the count that the call answered (0 on failure).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Errno Of(long result, out nuint count)
    {
        if (result == -1)
        {
            count = 0;
            return (Errno)Marshal.GetLastPInvokeError();
        }

        count = (nuint)result;
        return Errno.None;
    }

    /// <summary>As <see cref="Of(long)"/>, with the number that the call answered (0 on failure).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Errno Of(long result, out int number)
    {
        if (result == -1)
        {
            number = 0;
            return (Errno)Marshal.GetLastPInvokeError();
        }

        number = (int)result;
        return Errno.None;
    }

    /// <summary>As <see cref="Of(long)"/> for a call that makes a descriptor (-1 on failure, so that nothing closes fd 0 by mistake).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Errno Descriptor(long result, out int fd)
    {
        fd = (int)result;
        return result == -1 ? (Errno)Marshal.GetLastPInvokeError() : Errno.None;
    }
}
