using System.Runtime.InteropServices;
using Tmds.Linux;

namespace Antares.Interop;

/// <summary>Attributes of files and file systems. Names are NUL-terminated. EINTR is retried inside.</summary>
public static unsafe partial class Attributes
{
    private const long SYS_fchmodat2 = 452;

    /// <summary>Attributes of an open file (O_PATH included).</summary>
    public static Errno Fstat(int fd, stat* st)
    {
        long result;
        do
        {
            result = fstat_native(fd, st);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>Attributes by name; flags AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_NO_AUTOMOUNT.</summary>
    public static Errno Fstatat(int dirfd, byte* name, stat* st, int flags)
    {
        long result;
        do
        {
            result = fstatat_native(dirfd, name, st, flags);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>The attributes that <paramref name="mask"/> (STATX_*) asks for; stx_mask tells which came.</summary>
    public static Errno Statx(int dirfd, byte* name, int flags, uint mask, statx* buffer)
    {
        long result;
        do
        {
            result = LibC.statx(dirfd, name, flags, mask, (Tmds.Linux.statx*)buffer);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>Sizes and limits of the file system of <paramref name="fd"/>.</summary>
    public static Errno Fstatvfs(int fd, statvfs* result)
    {
        long answer;
        do
        {
            answer = LibC.fstatvfs(fd, (Tmds.Linux.statvfs*)result);
        }
        while (Returned.Interrupted(answer));

        return Returned.Of(answer);
    }

    /// <summary>As <see cref="Fstatvfs"/>, with the kind of file system in f_type.</summary>
    public static Errno Fstatfs(int fd, statfs* result)
    {
        long answer;
        do
        {
            answer = fstatfs_native(fd, result);
        }
        while (Returned.Interrupted(answer));

        return Returned.Of(answer);
    }

    /// <summary>Mode (07777 of it) of an open file; EBADF for an O_PATH descriptor.</summary>
    public static Errno Fchmod(int fd, uint mode)
    {
        long result;
        do
        {
            result = LibC.fchmod(fd, (ushort)mode);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>
    /// Mode by name; flags AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH (with name "": also of an O_PATH descriptor). With flags the
    /// kernel's fchmodat2 (6.6) is asked first; before it, what glibc does through /proc.
    /// </summary>
    /// <returns>EOPNOTSUPP: a symlink; EPERM: not the owner; EROFS.</returns>
    public static Errno Fchmodat(int dirfd, byte* name, uint mode, int flags)
    {
        long result;
        if (flags != 0)
        {
            do
            {
                result = fchmodat2_syscall(SYS_fchmodat2, dirfd, name, mode, flags);
            }
            while (Returned.Interrupted(result));

            Errno error = Returned.Of(result);
            if (error is not (Errno.ENOSYS or Errno.EPERM))
            {
                return error;
            }

            // EPERM may be a seccomp filter that does not know the call; what is truly not permitted is refused again.
            if ((flags & Fcntl.AT_EMPTY_PATH) != 0 && name[0] == 0)
            {
                byte* path = stackalloc byte[ProcFd.Capacity];
                ProcFd.Write(path, dirfd);
                return Fchmodat(Fcntl.AT_FDCWD, path, mode, 0);
            }

            flags &= ~Fcntl.AT_EMPTY_PATH;
        }

        do
        {
            result = LibC.fchmodat(dirfd, name, (ushort)mode, flags);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>Owner and group of an open file; uint.MaxValue leaves one as it is. Clears suid and sgid of files.</summary>
    public static Errno Fchown(int fd, uint uid, uint gid)
    {
        long result;
        do
        {
            result = LibC.fchown(fd, uid, gid);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>As <see cref="Fchown"/> by name; flags AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH.</summary>
    public static Errno Fchownat(int dirfd, byte* name, uint uid, uint gid, int flags)
    {
        long result;
        do
        {
            result = LibC.fchownat(dirfd, name, uid, gid, flags);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>
    /// Access time two[0] and change time two[1] (UTIME_NOW, UTIME_OMIT in tv_nsec; null: both now); flags AT_SYMLINK_NOFOLLOW,
    /// AT_EMPTY_PATH (Linux 5.8, also of an O_PATH descriptor).
    /// </summary>
    public static Errno Utimensat(int dirfd, byte* name, timespec* two, int flags)
    {
        long result;
        do
        {
            result = LibC.utimensat(dirfd, name, (Tmds.Linux.timespec*)two, flags);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>As <see cref="Utimensat"/> of an open file.</summary>
    public static Errno Futimens(int fd, timespec* two)
    {
        long result;
        do
        {
            result = LibC.futimens(fd, (Tmds.Linux.timespec*)two);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>May the caller (real ids; AT_EACCESS: effective) do <paramref name="mode"/> (R_OK, W_OK, X_OK)?</summary>
    /// <returns>EACCES, EROFS: no; ENOENT …: the path.</returns>
    public static Errno Faccessat(int dirfd, byte* name, int mode, int flags)
    {
        long result;
        do
        {
            result = LibC.faccessat(dirfd, name, mode, flags);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>Sets the umask of the whole process and answers the old one; cannot fail.</summary>
    public static uint Umask(uint mask) => (ushort)LibC.umask((ushort)mask);

    // Tmds.LibC goes through __fxstat and __fxstatat, which a static glibc no longer has.
    [LibraryImport("libc", EntryPoint = "fstat", SetLastError = true)]
    private static partial int fstat_native(int fd, stat* st);

    [LibraryImport("libc", EntryPoint = "fstatat", SetLastError = true)]
    private static partial int fstatat_native(int dirfd, byte* name, stat* st, int flags);

    [LibraryImport("libc", EntryPoint = "fstatfs", SetLastError = true)]
    private static partial int fstatfs_native(int fd, statfs* result);

    // The libc of 2023 has no wrapper; its fchmodat emulates AT_SYMLINK_NOFOLLOW and knows no AT_EMPTY_PATH.
    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial long fchmodat2_syscall(long number, int dirfd, byte* name, uint mode, int flags);
}
