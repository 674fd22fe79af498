using System.Runtime.InteropServices;

namespace Antares.Interop;

/// <summary>
/// Extended attributes. Names are NUL-terminated (1–255 bytes). With size 0 the length alone is answered. No call works on an
/// O_PATH descriptor (EBADF): use the path form with <see cref="ProcFd"/>, or the L form with a path.
/// </summary>
/// <remarks>
/// Common to all: ENODATA: no such attribute; ERANGE: the buffer is too small; EOPNOTSUPP: the file system has none of this
/// kind; E2BIG: larger than 64 KiB; EPERM: user.* on a symlink or special file, trusted.* changed without CAP_SYS_ADMIN.
/// </remarks>
public static unsafe partial class Xattrs
{
    /// <summary>Value of an attribute of an open file.</summary>
    public static Errno Fgetxattr(int fd, byte* name, void* value, nuint size, out int length)
    {
        long result;
        do
        {
            result = fgetxattr_native(fd, name, value, size);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result, out length);
    }

    /// <summary>Sets an attribute of an open file; flags XATTR_CREATE (EEXIST), XATTR_REPLACE (ENODATA) or 0. ENOSPC, EDQUOT.</summary>
    public static Errno Fsetxattr(int fd, byte* name, void* value, nuint size, int flags)
    {
        long result;
        do
        {
            result = fsetxattr_native(fd, name, value, size, flags);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>Names of an open file, each with its NUL.</summary>
    public static Errno Flistxattr(int fd, byte* list, nuint size, out int length)
    {
        long result;
        do
        {
            result = flistxattr_native(fd, list, size);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result, out length);
    }

    /// <summary>Removes an attribute of an open file.</summary>
    public static Errno Fremovexattr(int fd, byte* name)
    {
        long result;
        do
        {
            result = fremovexattr_native(fd, name);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>By path, following symlinks: for /proc/self/fd/N of an O_PATH descriptor.</summary>
    public static Errno Getxattr(byte* path, byte* name, void* value, nuint size, out int length)
    {
        long result;
        do
        {
            result = getxattr_native(path, name, value, size);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result, out length);
    }

    /// <summary>By path, following symlinks: for /proc/self/fd/N of an O_PATH descriptor.</summary>
    public static Errno Setxattr(byte* path, byte* name, void* value, nuint size, int flags)
    {
        long result;
        do
        {
            result = setxattr_native(path, name, value, size, flags);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>By path, following symlinks: for /proc/self/fd/N of an O_PATH descriptor.</summary>
    public static Errno Listxattr(byte* path, byte* list, nuint size, out int length)
    {
        long result;
        do
        {
            result = listxattr_native(path, list, size);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result, out length);
    }

    /// <summary>By path, following symlinks: for /proc/self/fd/N of an O_PATH descriptor.</summary>
    public static Errno Removexattr(byte* path, byte* name)
    {
        long result;
        do
        {
            result = removexattr_native(path, name);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>As <see cref="Fgetxattr"/> by path, not following a last symlink.</summary>
    public static Errno Lgetxattr(byte* path, byte* name, void* value, nuint size, out int length)
    {
        long result;
        do
        {
            result = lgetxattr_native(path, name, value, size);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result, out length);
    }

    /// <summary>As <see cref="Fsetxattr"/> by path, not following a last symlink.</summary>
    public static Errno Lsetxattr(byte* path, byte* name, void* value, nuint size, int flags)
    {
        long result;
        do
        {
            result = lsetxattr_native(path, name, value, size, flags);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>As <see cref="Flistxattr"/> by path, not following a last symlink.</summary>
    public static Errno Llistxattr(byte* path, byte* list, nuint size, out int length)
    {
        long result;
        do
        {
            result = llistxattr_native(path, list, size);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result, out length);
    }

    /// <summary>As <see cref="Fremovexattr"/> by path, not following a last symlink.</summary>
    public static Errno Lremovexattr(byte* path, byte* name)
    {
        long result;
        do
        {
            result = lremovexattr_native(path, name);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    [LibraryImport("libc", EntryPoint = "fgetxattr", SetLastError = true)]
    private static partial nint fgetxattr_native(int fd, byte* name, void* value, nuint size);

    [LibraryImport("libc", EntryPoint = "fsetxattr", SetLastError = true)]
    private static partial int fsetxattr_native(int fd, byte* name, void* value, nuint size, int flags);

    [LibraryImport("libc", EntryPoint = "flistxattr", SetLastError = true)]
    private static partial nint flistxattr_native(int fd, byte* list, nuint size);

    [LibraryImport("libc", EntryPoint = "fremovexattr", SetLastError = true)]
    private static partial int fremovexattr_native(int fd, byte* name);

    [LibraryImport("libc", EntryPoint = "getxattr", SetLastError = true)]
    private static partial nint getxattr_native(byte* path, byte* name, void* value, nuint size);

    [LibraryImport("libc", EntryPoint = "setxattr", SetLastError = true)]
    private static partial int setxattr_native(byte* path, byte* name, void* value, nuint size, int flags);

    [LibraryImport("libc", EntryPoint = "listxattr", SetLastError = true)]
    private static partial nint listxattr_native(byte* path, byte* list, nuint size);

    [LibraryImport("libc", EntryPoint = "removexattr", SetLastError = true)]
    private static partial int removexattr_native(byte* path, byte* name);

    [LibraryImport("libc", EntryPoint = "lgetxattr", SetLastError = true)]
    private static partial nint lgetxattr_native(byte* path, byte* name, void* value, nuint size);

    [LibraryImport("libc", EntryPoint = "lsetxattr", SetLastError = true)]
    private static partial int lsetxattr_native(byte* path, byte* name, void* value, nuint size, int flags);

    [LibraryImport("libc", EntryPoint = "llistxattr", SetLastError = true)]
    private static partial nint llistxattr_native(byte* path, byte* list, nuint size);

    [LibraryImport("libc", EntryPoint = "lremovexattr", SetLastError = true)]
    private static partial int lremovexattr_native(byte* path, byte* name);
}
