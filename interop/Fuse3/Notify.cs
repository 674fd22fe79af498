using System.Runtime.InteropServices;

namespace Antares.Interop.Fuse3;

/// <summary>
/// Notifications to the kernel. Each may wait for locks that a request of the same mount holds: never from a thread that
/// handles requests. 0, or a negative errno: -ENOENT: the kernel does not know the node or name (harmless), -ENOSYS: too old.
/// </summary>
public static unsafe partial class Notify
{
    /// <summary>Attributes, and pages from <paramref name="offset"/> (negative: attributes only; length 0: to the end).</summary>
    [LibraryImport("libfuse3")]
    public static partial int fuse_lowlevel_notify_inval_inode(fuse_session* session, ulong ino, long offset, long length);

    /// <summary>A name (without NUL, <paramref name="nameLength"/> bytes).</summary>
    [LibraryImport("libfuse3")]
    public static partial int fuse_lowlevel_notify_inval_entry(
        fuse_session* session, ulong parent, byte* name, nuint nameLength);

    /// <summary>Lets the name be asked for again without dropping what is below (FUSE_LL_EXPIRE_ONLY).</summary>
    [LibraryImport("libfuse3")]
    public static partial int fuse_lowlevel_notify_expire_entry(
        fuse_session* session, ulong parent, byte* name, nuint nameLength, uint flags);

    /// <summary>As the form above, and watchers hear of a deletion if the name still means <paramref name="child"/>.</summary>
    [LibraryImport("libfuse3")]
    public static partial int fuse_lowlevel_notify_delete(
        fuse_session* session, ulong parent, ulong child, byte* name, nuint nameLength);

    /// <summary>Puts data into the kernel's page cache.</summary>
    [LibraryImport("libfuse3")]
    public static partial int fuse_lowlevel_notify_store(
        fuse_session* session, ulong ino, long offset, fuse_bufvec* buffers, uint flags);

    /// <summary>
    /// Makes every name that the kernel has cached be asked for again, at once (Linux 6.16; libfuse 3.14 does not know it).
    /// </summary>
    /// <param name="deviceFd">The session's descriptor.</param>
    /// <returns>EINVAL: the kernel is older; ENODEV: no longer mounted.</returns>
    public static Errno IncEpoch(int deviceFd)
    {
        fuse_out_header header = new()
        {
            len = (uint)sizeof(fuse_out_header),
            error = (int)fuse_notify_code.FUSE_NOTIFY_INC_EPOCH,
        };
        return FileIo.Write(deviceFd, &header, (nuint)sizeof(fuse_out_header), out _);
    }
}
