using System.Runtime.InteropServices;

namespace Antares.Interop;

/// <summary>inotify, for the one event that nothing else tells: a file system is gone for good (IN_UNMOUNT).</summary>
public static unsafe partial class Watches
{
    public const int IN_CLOEXEC = 0x80000;
    public const uint IN_DELETE_SELF = 0x400;
    public const uint IN_UNMOUNT = 0x2000;
    public const uint IN_IGNORED = 0x8000;
    public const uint IN_ONLYDIR = 0x1000000;

    /// <summary>A descriptor that is readable once something happened.</summary>
    /// <returns>EMFILE: the user has as many as allowed (fs.inotify.max_user_instances).</returns>
    public static Errno Open(out int fd) => Returned.Of(inotify_init1(IN_CLOEXEC), out fd);

    /// <summary>Watches an object; that keeps no file system busy. IN_UNMOUNT is told whatever the mask.</summary>
    /// <returns>ENOSPC: the user has as many as allowed (fs.inotify.max_user_watches); ENOENT, EACCES.</returns>
    public static Errno Add(int fd, byte* path, uint mask) => Returned.Of(inotify_add_watch(fd, path, mask));

    [LibraryImport("libc", SetLastError = true)]
    private static partial int inotify_init1(int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int inotify_add_watch(int fd, byte* path, uint mask);
}
