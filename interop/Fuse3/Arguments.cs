using System.Runtime.InteropServices;

namespace Antares.Interop.Fuse3;

/// <summary>Memory of argument lists.</summary>
public static unsafe partial class Arguments
{
    /// <summary>
    /// Frees what libfuse made of an argument list: fuse_session_new replaces the caller's list by a copy (allocated 1). Does nothing to a
    /// list that is still the caller's.
    /// </summary>
    [LibraryImport("libfuse3")]
    public static partial void fuse_opt_free_args(fuse_args* arguments);
}
