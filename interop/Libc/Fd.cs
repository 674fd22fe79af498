using System.Runtime.InteropServices;
using Tmds.Linux;

namespace Antares.Interop;

/// <summary>
/// Opening, duplicating and closing descriptors. Every <c>out fd</c> is -1 when the call failed. EINTR is retried inside, and
/// EMFILE and ENFILE once, when <see cref="DescriptorRelief"/> found idle descriptors to give up.
/// Nothing here adds O_CLOEXEC by itself, except where the name says so.
/// </summary>
public static unsafe partial class Fd
{
    private const long SYS_openat2 = 437;
    private const long SYS_close_range = 436;
    private const uint CLOSE_RANGE_UNSHARE = 1 << 1;

    /// <summary>Opens <paramref name="path"/> (NUL-terminated); <paramref name="mode"/> counts only with O_CREAT or O_TMPFILE.</summary>
    /// <returns>ENOENT: no such path; ENOTDIR, ELOOP, EACCES, EMFILE, ENAMETOOLONG, EROFS … as open(2).</returns>
    public static Errno Open(byte* path, int flags, uint mode, out int fd)
    {
        bool relieved = false;
        long result;
        do
        {
            result = LibC.open(path, flags, (ushort)mode);
        }
        while (Returned.Interrupted(result) || DescriptorRelief.Helps(result, ref relieved));

        return Returned.Descriptor(result, out fd);
    }

    /// <summary>As <see cref="Open"/>, relative to <paramref name="dirfd"/>.</summary>
    public static Errno Openat(int dirfd, byte* name, int flags, uint mode, out int fd)
    {
        bool relieved = false;
        long result;
        do
        {
            result = LibC.openat(dirfd, name, flags, (ushort)mode);
        }
        while (Returned.Interrupted(result) || DescriptorRelief.Helps(result, ref relieved));

        return Returned.Descriptor(result, out fd);
    }

    /// <summary>Opens with the kernel's checks on how the path is walked (RESOLVE_*).</summary>
    /// <returns>
    /// EXDEV: the path leaves <paramref name="dirfd"/> (RESOLVE_BENEATH) or crosses a mount (RESOLVE_NO_XDEV);
    /// ELOOP: a symlink with RESOLVE_NO_SYMLINKS; EAGAIN: a rename elsewhere raced with a <c>..</c> of the path, or with
    /// RESOLVE_CACHED the answer is not in the cache; EINVAL: an unknown bit, or mode without O_CREAT; ENOSYS: kernel
    /// before 5.6, or a seccomp filter that pretends to be one; otherwise as open(2).
    /// </returns>
    public static Errno Openat2(int dirfd, byte* path, in open_how how, out int fd)
    {
        fixed (open_how* pointer = &how)
        {
            bool relieved = false;
            long result;
            do
            {
                result = openat2_syscall(SYS_openat2, dirfd, path, pointer, (nuint)sizeof(open_how));
            }
            while (Returned.Interrupted(result) || DescriptorRelief.Helps(result, ref relieved));

            return Returned.Descriptor(result, out fd);
        }
    }

    /// <summary>
    /// Closes <paramref name="fd"/>. EINTR is answered as success: Linux has released the number by then, and a second close
    /// could hit a descriptor that another thread has just been given.
    /// </summary>
    /// <returns>EBADF: not open (an error in the caller); EIO, ENOSPC, EDQUOT: an earlier write failed late.</returns>
    public static Errno Close(int fd)
    {
        Errno error = Returned.Of(LibC.close(fd));
        return error == Errno.EINTR ? Errno.None : error;
    }

    /// <summary>
    /// From here on the calling thread has descriptors of its own, at first those below 3: what the process has open it no longer keeps open. Not to be undone, so
    /// for a thread that ends soon. Source: close_range(2).
    /// </summary>
    /// <returns>None; ENOSYS: before Linux 5.9; EMFILE; ENOMEM.</returns>
    public static Errno LeaveAll() => Returned.Of(close_range_syscall(SYS_close_range, 3, uint.MaxValue, CLOSE_RANGE_UNSHARE));

    /// <summary>A second descriptor, number <paramref name="least"/> or higher, close-on-exec.</summary>
    /// <returns>None; EINVAL: that is not below the limit of open files; EMFILE; ENOMEM.</returns>
    public static Errno DupFrom(int fd, int least, out int newFd) => Returned.Descriptor(LibC.fcntl(fd, Fcntl.F_DUPFD_CLOEXEC, least), out newFd);

    /// <summary>A second descriptor, number 3 or higher, close-on-exec.</summary>
    public static Errno DupCloexec(int fd, out int newFd)
    {
        bool relieved = false;
        long result;
        do
        {
            result = LibC.fcntl(fd, Fcntl.F_DUPFD_CLOEXEC, 3);
        }
        while (DescriptorRelief.Helps(result, ref relieved));

        return Returned.Descriptor(result, out newFd);
    }

    /// <summary>Makes <paramref name="newFd"/> mean what <paramref name="oldFd"/> means, atomically; flags: O_CLOEXEC or 0.</summary>
    public static Errno Dup3(int oldFd, int newFd, int flags)
    {
        long result;
        do
        {
            result = LibC.dup3(oldFd, newFd, flags);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>Status flags and access mode of the open file (F_GETFL).</summary>
    public static Errno Getfl(int fd, out int flags) => Returned.Of(LibC.fcntl(fd, Fcntl.F_GETFL), out flags);

    /// <summary>Sets O_APPEND, O_NONBLOCK, O_DIRECT, O_NOATIME; other bits are ignored by the kernel (F_SETFL).</summary>
    public static Errno Setfl(int fd, int flags) => Returned.Of(LibC.fcntl(fd, Fcntl.F_SETFL, flags));

    /// <summary>FD_CLOEXEC or 0 (F_GETFD).</summary>
    public static Errno Getfd(int fd, out int flags) => Returned.Of(LibC.fcntl(fd, Fcntl.F_GETFD), out flags);

    /// <summary>Sets or clears FD_CLOEXEC (F_SETFD).</summary>
    public static Errno Setfd(int fd, int flags) => Returned.Of(LibC.fcntl(fd, Fcntl.F_SETFD, flags));

    /// <summary>Any other fcntl command with an int argument, e.g. F_ADD_SEALS, F_SETPIPE_SZ.</summary>
    public static Errno Control(int fd, int command, int argument, out int result) =>
        Returned.Of(LibC.fcntl(fd, command, argument), out result);

    /// <summary>Locks the open file (LOCK_SH, LOCK_EX, LOCK_UN, with LOCK_NB).</summary>
    /// <returns>EAGAIN: held elsewhere and LOCK_NB was given.</returns>
    public static Errno Flock(int fd, int op)
    {
        long result;
        do
        {
            result = flock_native(fd, op);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>
    /// Takes the write lock of a range of bytes for the open file (not for the process: threads that share <paramref name="fd"/> do not
    /// keep each other out). It goes with the last descriptor of the open file.
    /// </summary>
    /// <param name="fd">Open for writing.</param>
    /// <param name="start">First byte; it need not be there.</param>
    /// <param name="length">Number of bytes, at least 1.</param>
    /// <returns>EAGAIN: held by another open file; ENOLCK, EINVAL, ENOSYS: the file system knows no such locks.</returns>
    public static Errno TryLockRange(int fd, long start, long length) => SetLock(fd, Fcntl.F_WRLCK, start, length);

    /// <summary>Gives back what <see cref="TryLockRange"/> took.</summary>
    public static Errno UnlockRange(int fd, long start, long length) => SetLock(fd, Fcntl.F_UNLCK, start, length);

    private static Errno SetLock(int fd, short type, long start, long length)
    {
        Fuse3.flock range = new() { l_type = type, l_start = start, l_len = length };
        Errno error = Returned.Of(fcntl_lock(fd, Fcntl.F_OFD_SETLK, &range));
        return error == Errno.EACCES ? Errno.EAGAIN : error;
    }

    /// <summary>two[0] is read from, two[1] written to; flags O_CLOEXEC, O_NONBLOCK. Both are -1 on failure.</summary>
    public static Errno Pipe2(int* two, int flags)
    {
        bool relieved = false;
        long result;
        do
        {
            result = LibC.pipe2(two, flags);
        }
        while (DescriptorRelief.Helps(result, ref relieved));

        return OfPipe(result, two);
    }

    /// <summary>As <see cref="Pipe2"/>, but nothing is given up for it where descriptors are short.</summary>
    public static Errno TryPipe2(int* two, int flags) => OfPipe(LibC.pipe2(two, flags), two);

    private static Errno OfPipe(long result, int* two)
    {
        Errno error = Returned.Of(result);
        if (error != Errno.None)
        {
            two[0] = -1;
            two[1] = -1;
        }

        return error;
    }

    /// <summary>An anonymous file in memory (MFD_*); its st_nlink is 0.</summary>
    public static Errno Memfd(byte* name, uint flags, out int fd)
    {
        bool relieved = false;
        long result;
        do
        {
            result = LibC.memfd_create(name, flags);
        }
        while (DescriptorRelief.Helps(result, ref relieved));

        return Returned.Descriptor(result, out fd);
    }

    /// <summary>A counter to wake a poll with (EFD_*).</summary>
    public static Errno Eventfd(uint initial, int flags, out int fd)
    {
        bool relieved = false;
        long result;
        do
        {
            result = LibC.eventfd(initial, flags);
        }
        while (DescriptorRelief.Helps(result, ref relieved));

        return Returned.Descriptor(result, out fd);
    }

    // openat2 has no wrapper in glibc 2.36.
    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial long openat2_syscall(long number, int dirfd, byte* path, open_how* how, nuint size);

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial long close_range_syscall(long number, uint first, uint last, uint flags);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int fcntl_lock(int fd, int command, Fuse3.flock* range);

    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    private static partial int flock_native(int fd, int op);
}
