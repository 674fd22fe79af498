using System.Runtime.InteropServices;

namespace Antares.Interop.Fuse3;

/// <summary>What libfuse has to say, which goes to stderr unless a function is set.</summary>
public static unsafe partial class Log
{
    /// <summary>Null brings back stderr. The function is called on any thread, with a level of syslog.h (3 error, 7 debug).</summary>
    [LibraryImport("libfuse3")]
    [SuppressGCTransition]
    public static partial void fuse_set_log_func(delegate* unmanaged[Cdecl]<int, byte*, void*, void> function);

    /// <summary>
    /// Formats such a message into <paramref name="buffer"/>, NUL-terminated and cut to <paramref name="size"/>. A va_list is
    /// passed as a pointer on x64 and on arm64.
    /// </summary>
    /// <returns>Bytes without the NUL that the whole message has, or negative.</returns>
    [LibraryImport("libc")]
    public static partial int vsnprintf(byte* buffer, nuint size, byte* format, void* arguments);
}
