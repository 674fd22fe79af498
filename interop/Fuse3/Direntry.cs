using System.Runtime.InteropServices;

namespace Antares.Interop.Fuse3;

/// <summary>
/// Records of READDIR and READDIRPLUS replies. Both answer the size of the record; if that is more than
/// <c>bufferSize</c>, nothing was written. Names are NUL-terminated.
/// </summary>
public static unsafe partial class Direntry
{
    /// <param name="request">Unused by libfuse.</param>
    /// <param name="buffer">Where the record goes.</param>
    /// <param name="bufferSize">Bytes left there.</param>
    /// <param name="name">The name.</param>
    /// <param name="attributes">Only st_ino and the type bits of st_mode are used.</param>
    /// <param name="offset">Cookie of the next entry.</param>
    [LibraryImport("libfuse3")]
    [SuppressGCTransition]
    public static partial nuint fuse_add_direntry(
        fuse_req* request, byte* buffer, nuint bufferSize, byte* name, stat* attributes, long offset);

    /// <summary>As <see cref="fuse_add_direntry"/>; a record with ino not 0 that is sent counts as one lookup.</summary>
    [LibraryImport("libfuse3")]
    [SuppressGCTransition]
    public static partial nuint fuse_add_direntry_plus(
        fuse_req* request, byte* buffer, nuint bufferSize, byte* name, fuse_entry_param* entry, long offset);
}
