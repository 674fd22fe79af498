using System.Runtime.InteropServices;
using Tmds.Linux;

namespace Antares.Interop;

/// <summary>
/// Contents of files. Counts and offsets are bytes. EINTR is retried inside; a short count is an answer, not an error,
/// except in the <c>…Full</c> forms. Calls may block: none of them holds up the collector.
/// </summary>
public static unsafe partial class FileIo
{
    /// <summary>Reads at <paramref name="offset"/>; <paramref name="got"/> is 0 at the end of the file.</summary>
    /// <returns>EISDIR: a directory; ESPIPE: not seekable; EIO: the medium; EBADF: not open for reading.</returns>
    public static Errno Pread(int fd, void* buf, nuint count, long offset, out nuint got)
    {
        long result;
        do
        {
            result = LibC.pread(fd, buf, (size_t)(ulong)count, offset);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result, out got);
    }

    /// <summary>Writes at <paramref name="offset"/> (with O_APPEND: at the end, whatever the offset says).</summary>
    /// <returns>ENOSPC, EDQUOT, EFBIG, EIO, EBADF, as pwrite(2).</returns>
    public static Errno Pwrite(int fd, void* buf, nuint count, long offset, out nuint put)
    {
        long result;
        do
        {
            result = LibC.pwrite(fd, buf, (size_t)(ulong)count, offset);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result, out put);
    }

    /// <summary>Reads at the file position. From /dev/fuse: ENODEV when unmounted, ENOENT when the request was taken back.</summary>
    public static Errno Read(int fd, void* buf, nuint count, out nuint got)
    {
        long result;
        do
        {
            result = LibC.read(fd, buf, (size_t)(ulong)count);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result, out got);
    }

    /// <summary>Writes at the file position. EPIPE: no reader (SIGPIPE is ignored by the runtime).</summary>
    public static Errno Write(int fd, void* buf, nuint count, out nuint put)
    {
        long result;
        do
        {
            result = LibC.write(fd, buf, (size_t)(ulong)count);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result, out put);
    }

    /// <summary>Writes <paramref name="count"/> pieces (at most 1,024) as one.</summary>
    public static Errno Writev(int fd, iovec* pieces, int count, out nuint put)
    {
        long result;
        do
        {
            result = writev_native(fd, pieces, count);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result, out put);
    }

    /// <summary>Reads until <paramref name="count"/> bytes or the end of the file; less than count means the end.</summary>
    public static Errno ReadFull(int fd, void* buf, nuint count, long offset, out nuint got)
    {
        got = 0;
        while (got < count)
        {
            Errno error = Pread(fd, (byte*)buf + got, Piece(count - got), offset + (long)got, out nuint piece);
            if (error != Errno.None)
            {
                return error;
            }

            if (piece == 0)
            {
                break;
            }

            got += piece;
        }

        return Errno.None;
    }

    /// <summary>Writes all of <paramref name="count"/> bytes at <paramref name="offset"/>, or fails; on failure some may be written.</summary>
    /// <returns>EIO also when the kernel accepts no byte without naming an error; otherwise as <see cref="Pwrite"/>.</returns>
    public static Errno WriteFull(int fd, void* buf, nuint count, long offset)
    {
        nuint done = 0;
        while (done < count)
        {
            Errno error = Pwrite(fd, (byte*)buf + done, Piece(count - done), offset + (long)done, out nuint piece);
            if (error != Errno.None)
            {
                return error;
            }

            if (piece == 0)
            {
                return Errno.EIO;
            }

            done += piece;
        }

        return Errno.None;
    }

    // Short counts are rare and their loop would hardly ever run: a debug build asks for half each time.
    private static nuint Piece(nuint left) =>
#if DEBUG
        left > 1 ? left / 2 : left;
#else
        left;
#endif

    /// <summary>Contents and metadata to the disk.</summary>
    public static Errno Fsync(int fd)
    {
        long result;
        do
        {
            result = LibC.fsync(fd);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>Contents to the disk, and of the metadata what reading them needs.</summary>
    public static Errno Fdatasync(int fd)
    {
        long result;
        do
        {
            result = LibC.fdatasync(fd);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>The whole file system of <paramref name="fd"/> to the disk.</summary>
    public static Errno Syncfs(int fd)
    {
        long result;
        do
        {
            result = LibC.syncfs(fd);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>Cuts or extends (with a hole) to <paramref name="length"/> bytes.</summary>
    public static Errno Ftruncate(int fd, long length)
    {
        long result;
        do
        {
            result = LibC.ftruncate(fd, length);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>Reserves, punches or zeroes a range (FALLOC_FL_*).</summary>
    /// <returns>EOPNOTSUPP: the file system knows neither this mode nor fallocate; ENOSPC, EFBIG, EINVAL as fallocate(2).</returns>
    public static Errno Fallocate(int fd, int mode, long offset, long length)
    {
        long result;
        do
        {
            result = LibC.fallocate(fd, mode, offset, length);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>Moves the file position (SEEK_*). ENXIO: no data, or no hole, at or after the offset.</summary>
    public static Errno Lseek(int fd, long offset, int whence, out long position)
    {
        position = LibC.lseek(fd, offset, whence);
        if (position != -1)
        {
            return Errno.None;
        }

        position = 0;
        return Returned.Of(-1);
    }

    /// <summary>
    /// Copies inside the kernel, by reflink where it can; the offsets are advanced (null: the file position is used and moved).
    /// </summary>
    /// <returns>EXDEV, EOPNOTSUPP, EINVAL: not for these two files (copy by hand); ENOSPC, EDQUOT, EFBIG, EIO.</returns>
    public static Errno CopyFileRange(int fdIn, long* offIn, int fdOut, long* offOut, nuint length, uint flags, out nuint copied)
    {
        long result;
        do
        {
            result = copy_file_range_native(fdIn, offIn, fdOut, offOut, length, flags);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result, out copied);
    }

    /// <summary>Moves up to <paramref name="length"/> bytes between a pipe and something else without a copy in between (splice(2)).</summary>
    /// <param name="fdIn">Where from.</param>
    /// <param name="offIn">Its offset, moved on; null for a pipe and for the file position.</param>
    /// <param name="fdOut">Where to.</param>
    /// <param name="offOut">As <paramref name="offIn"/>.</param>
    /// <param name="length">Bytes at most.</param>
    /// <param name="flags">SPLICE_F_*.</param>
    /// <param name="moved">Bytes moved; 0: the end.</param>
    /// <returns>EINVAL: one of them cannot, or is O_APPEND; EAGAIN: would wait and is O_NONBLOCK; otherwise as reading and writing them.</returns>
    public static Errno Splice(int fdIn, long* offIn, int fdOut, long* offOut, nuint length, uint flags, out nuint moved)
    {
        long result;
        do
        {
            result = splice_native(fdIn, offIn, fdOut, offOut, length, flags);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result, out moved);
    }

    /// <summary>Makes <paramref name="dst"/> share all blocks of <paramref name="src"/>.</summary>
    /// <returns>EOPNOTSUPP, EXDEV, EINVAL, ENOTTY: no reflink here (copy instead).</returns>
    public static Errno Ficlone(int dst, int src)
    {
        long result;
        do
        {
            result = ioctl_native(dst, Ioctls.FICLONE, (void*)src);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }

    /// <summary>Any ioctl whose argument is a pointer or a number in its place.</summary>
    /// <returns>ENOTTY: not known to this file or file system.</returns>
    public static Errno Ioctl(int fd, nuint request, void* argument, out int result)
    {
        long answer;
        do
        {
            answer = ioctl_native(fd, request, argument);
        }
        while (Returned.Interrupted(answer));

        return Returned.Of(answer, out result);
    }

    /// <summary>Tells the kernel how a range will be used (POSIX_FADV_*); length 0 means to the end.</summary>
    public static Errno PosixFadvise(int fd, long offset, long length, int advice) =>
        // Answers the error itself and leaves errno alone.
        (Errno)LibC.posix_fadvise(fd, offset, length, advice);

    [LibraryImport("libc", EntryPoint = "writev", SetLastError = true)]
    private static partial nint writev_native(int fd, iovec* pieces, int count);

    [LibraryImport("libc", EntryPoint = "copy_file_range", SetLastError = true)]
    private static partial nint copy_file_range_native(int fdIn, long* offIn, int fdOut, long* offOut, nuint length, uint flags);

    [LibraryImport("libc", EntryPoint = "splice", SetLastError = true)]
    private static partial nint splice_native(int fdIn, long* offIn, int fdOut, long* offOut, nuint length, uint flags);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static partial int ioctl_native(int fd, nuint request, void* argument);
}
