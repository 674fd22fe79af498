using System.Runtime.InteropServices;
using Tmds.Linux;

namespace Antares.Interop;

/// <summary>
/// Names: making, removing, moving and reading them, relative to a directory descriptor. Names are NUL-terminated; no call
/// follows a symlink in the last component, unless its flags say so. EINTR is retried inside.
/// </summary>
public static unsafe partial class PathOps
{
    /// <summary>Makes a directory; the process umask applies to <paramref name="mode"/>. EEXIST: the name is taken.</summary>
    public static Errno Mkdirat(int dirfd, byte* name, uint mode)
    {
        long result;
        do
        {
            result = LibC.mkdirat(dirfd, name, (ushort)mode);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>Makes a file, FIFO, socket or device. EPERM: a device without CAP_MKNOD (a 0:0 character device needs none since Linux 5.8).</summary>
    public static Errno Mknodat(int dirfd, byte* name, uint mode, ulong dev)
    {
        long result;
        do
        {
            result = mknodat_native(dirfd, name, mode, dev);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>Removes a name (AT_REMOVEDIR: an empty directory). ENOTEMPTY, EISDIR, ENOTDIR, EBUSY: a mount point.</summary>
    public static Errno Unlinkat(int dirfd, byte* name, int flags)
    {
        long result;
        do
        {
            result = LibC.unlinkat(dirfd, name, flags);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>Renames (RENAME_*).</summary>
    /// <returns>EXDEV: another file system; EEXIST: with RENAME_NOREPLACE; EINVAL: flag unknown to the file system, or into itself; ENOTEMPTY.</returns>
    public static Errno Renameat2(int oldDir, byte* oldName, int newDir, byte* newName, uint flags)
    {
        long result;
        do
        {
            result = renameat2_native(oldDir, oldName, newDir, newName, flags);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>
    /// A second name. AT_EMPTY_PATH (oldName "") links the descriptor itself and needs CAP_DAC_READ_SEARCH; AT_SYMLINK_FOLLOW
    /// with /proc/self/fd/N does the same without it.
    /// </summary>
    /// <returns>EXDEV, EMLINK, EPERM (directory, or protected_hardlinks), ENOENT (also: an O_TMPFILE made with O_EXCL).</returns>
    public static Errno Linkat(int oldDir, byte* oldName, int newDir, byte* newName, int flags)
    {
        long result;
        do
        {
            result = LibC.linkat(oldDir, oldName, newDir, newName, flags);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>Makes a symlink that says <paramref name="target"/> (1–4,095 bytes).</summary>
    public static Errno Symlinkat(byte* target, int dirfd, byte* name)
    {
        long result;
        do
        {
            result = LibC.symlinkat(target, dirfd, name);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>
    /// Reads a symlink without a NUL at the end; a <paramref name="length"/> equal to <paramref name="capacity"/> may mean that
    /// it was cut. An empty name reads the symlink that <paramref name="dirfd"/> (O_PATH|O_NOFOLLOW) is.
    /// </summary>
    /// <returns>EINVAL: not a symlink.</returns>
    public static Errno Readlinkat(int dirfd, byte* name, byte* buffer, nuint capacity, out int length)
    {
        long result;
        do
        {
            result = LibC.readlinkat(dirfd, name, buffer, (size_t)(ulong)capacity);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result, out length);
    }

    // Tmds.LibC goes through __xmknodat, which a static glibc no longer has.
    [LibraryImport("libc", EntryPoint = "mknodat", SetLastError = true)]
    private static partial int mknodat_native(int dirfd, byte* name, uint mode, ulong dev);

    [LibraryImport("libc", EntryPoint = "renameat2", SetLastError = true)]
    private static partial int renameat2_native(int oldDir, byte* oldName, int newDir, byte* newName, uint flags);
}
