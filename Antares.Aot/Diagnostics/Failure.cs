using Antares.Interop;

namespace Antares.Aot.Diagnostics;

/// <summary>
/// What went wrong last on this thread, told by the code nearest to the fault: the layer and the system call that failed. The Fuse
/// room clears it when a request starts and reads it when it must reply an error, for the ring of recent failures.
/// </summary>
public static class Failure
{
    [ThreadStatic]
    private static string? s_layer;

    [ThreadStatic]
    private static string? s_call;

    /// <summary>Layer of the last failure noted on this thread ("upper", "work", "lower0", "dicfuse" …), or null.</summary>
    public static string? Layer => s_layer;

    /// <summary>System call (or check) that failed, or null.</summary>
    public static string? Call => s_call;

    /// <summary>Notes the place and hands the errno through, so that a call can be wrapped in one expression.</summary>
    /// <param name="layer">A constant string: nothing is allocated.</param>
    /// <param name="call">A constant string such as "openat".</param>
    /// <param name="error">The errno that the call gave; <see cref="Errno.None"/> notes nothing.</param>
    public static Errno Note(string layer, string call, Errno error)
    {
        if (error != Errno.None)
        {
            s_layer = layer;
            s_call = call;
        }

        return error;
    }

    public static void Clear()
    {
        s_layer = null;
        s_call = null;
    }
}
