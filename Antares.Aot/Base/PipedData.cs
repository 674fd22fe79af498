using Antares.Interop;

namespace Antares.Aot.Base;

/// <summary>
/// The data of a large write on its way from the device to a file, in a pipe: the kernel hands over the pages themselves, where a read into memory
/// copies them. One for each thread that serves requests; what is not moved on is taken into memory or dropped before the next request.
/// </summary>
/// <remarks>Not for use by two threads. splice(2); fuse_dev_splice_read and iter_file_splice_write of Linux.</remarks>
public sealed unsafe class PipedData : IDisposable
{
    private const int PlaceBytes = 4096;

    private readonly OwnedFd _readEnd;
    private readonly OwnedFd _writeEnd;

    private PipedData(int readEnd, int writeEnd)
    {
        _readEnd = new OwnedFd(readEnd);
        _writeEnd = new OwnedFd(writeEnd);
    }

    /// <summary>Bytes that lie in the pipe.</summary>
    public nuint Left { get; private set; }

    /// <summary>Bytes of the same request that have got to their file.</summary>
    public nuint Moved { get; private set; }

    /// <summary>The device gives nothing to a pipe, or what lies in it belongs to nobody: of no use from now on.</summary>
    public bool IsRefused { get; private set; }

    /// <summary>Makes one.</summary>
    /// <param name="places">How many pieces of a request, each a page or a part of one, it has to hold at a time.</param>
    /// <param name="piped">Null when it was not to be had.</param>
    /// <returns>None; EMFILE, ENFILE, ENOMEM; EPERM: the pipe may not be so large (pipe-max-size, or what the user's pipes may have together: pipe(7)).</returns>
    public static Errno TryMake(int places, out PipedData? piped)
    {
        piped = null;
        int* ends = stackalloc int[2];
        Errno error = Fd.TryPipe2(ends, Fcntl.O_CLOEXEC | Fcntl.O_NONBLOCK);
        if (error != Errno.None)
        {
            return error;
        }

        var made = new PipedData(ends[0], ends[1]);

        int wanted = checked(places * PlaceBytes); // pipe(7): the size is told as that of so many pages
        error = Fd.Control(ends[1], Fcntl.F_SETPIPE_SZ, wanted, out int size);
        if (error == Errno.None && size >= wanted)
        {
            piped = made;
            return Errno.None;
        }

        made.Dispose();
        return error == Errno.None ? Errno.EPERM : error;
    }

    /// <summary>Waits for a request and takes it from the device; the pipe is empty before.</summary>
    /// <param name="device">/dev/fuse.</param>
    /// <param name="most">As much as the largest request.</param>
    /// <param name="got">Its bytes, all of them in the pipe.</param>
    /// <returns>
    /// None; EAGAIN, ENODEV, ENOENT as read(2) of the device; EINVAL, EPERM, ENOSYS: it gives nothing to a pipe, <see cref="IsRefused"/>; ENOMEM: no page for the pipe, and the
    /// kernel may have answered the request with EIO.
    /// </returns>
    public Errno Fill(int device, nuint most, out nuint got)
    {
        Errno error = FileIo.Splice(device, null, _writeEnd.Value, null, most, 0, out got);
        IsRefused |= error is Errno.EINVAL or Errno.EPERM or Errno.ENOSYS; // what a filter of system calls that knows no splice answers
        Moved = 0;
        Left = got;
        return error;
    }

    /// <summary>Moves what is in the pipe to a file, as far as the file takes it.</summary>
    /// <param name="fd">Open for writing, without O_APPEND.</param>
    /// <param name="offset">Where to.</param>
    /// <returns>
    /// None: all of it, or as far as <see cref="Moved"/> tells, and who writes the rest (<see cref="Take"/>) meets what is wrong; ENOSPC, EDQUOT, EFBIG, EIO: as pwrite(2), and
    /// perhaps told this once only.
    /// </returns>
    public Errno MoveTo(int fd, long offset)
    {
        while (Left > 0)
        {
            Errno error = FileIo.Splice(_readEnd.Value, null, fd, &offset, Left, 0, out nuint piece);
            if (error != Errno.None || piece == 0 || piece > Left)
            {
                return error is Errno.ENOSPC or Errno.EDQUOT or Errno.EFBIG or Errno.EIO ? error : Errno.None;
            }

            Left -= piece;
            Moved += piece;
        }

        return Errno.None;
    }

    /// <summary>Takes bytes out of the pipe.</summary>
    /// <param name="memory">Room for them.</param>
    /// <param name="count">At most <see cref="Left"/>.</param>
    /// <returns>None; EIO: they are not there.</returns>
    public Errno Take(void* memory, nuint count)
    {
        nuint done = 0;
        while (done < count)
        {
            Errno error = FileIo.Read(_readEnd.Value, (byte*)memory + done, count - done, out nuint piece);
            if (error != Errno.None || piece == 0)
            {
                IsRefused = true; // what lies in it now belongs to nobody
                return Errno.EIO;
            }

            done += piece;
            Left -= piece;
        }

        return Errno.None;
    }

    public void Dispose()
    {
        _readEnd.Dispose();
        _writeEnd.Dispose();
    }
}
