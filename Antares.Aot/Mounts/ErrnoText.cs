using System.Runtime.InteropServices;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>Words for an <see cref="Errno"/> in messages to people.</summary>
public static class ErrnoText
{
    /// <summary>The C library's sentence and the name: "Permission denied (EACCES)".</summary>
    public static string Of(Errno error) => $"{Marshal.GetPInvokeErrorMessage((int)error)} ({error})";
}
