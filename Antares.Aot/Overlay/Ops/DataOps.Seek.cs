using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay.Ops;

/// <summary>LSEEK: where a file has data and where it has holes.</summary>
public sealed unsafe partial class DataOps
{
    private const int MostSteps = 64;

    private readonly Lock _writingOut = new();

    /// <summary>
    /// Makes whoever keeps pages of a file write the changed ones of a range out, before it returns (node, first byte, length). What a mapping
    /// was told is with the kernel, which passes SEEK_DATA and SEEK_HOLE on without looking there: a hole of the disk may be full of data.
    /// </summary>
    public Action<ulong, long, long>? WriteOut { get; set; }

    /// <summary>SEEK_DATA and SEEK_HOLE. A lower file without a file of its own is all data up to its end.</summary>
    /// <returns>None; ENXIO: no data after the offset; EINVAL: other whence.</returns>
    public Errno Lseek(ulong nodeId, long offset, int whence, out long result)
    {
        result = 0;
        if (whence is not (Fcntl.SEEK_DATA or Fcntl.SEEK_HOLE))
        {
            return Errno.EINVAL;
        }

        Errno error = SeekStored(nodeId, offset, whence, out result);
        for (int step = 0; WriteOut is { } writeOut && step < MostSteps; step++)
        {
            // Only an answer that rests on a hole can be wrong; nearly no file has any.
            if (!RestsOnHole(nodeId, offset, whence, error, result, out long start, out long end, out long size))
            {
                return error;
            }

            // One at a time: the pages come as requests to write, for which other threads must be left.
            if (!_writingOut.TryEnter())
            {
                break;
            }

            try
            {
                if (step == 0 && !RequestWait.Announce())
                {
                    break;
                }

                writeOut(nodeId, start, end - start);
            }
            finally
            {
                _writingOut.Exit();
            }

            long before = result;
            Errno errorBefore = error;
            error = SeekStored(nodeId, offset, whence, out result);
            if (whence == Fcntl.SEEK_DATA || (error == errorBefore && result == before))
            {
                return error;
            }
        }

        if (WriteOut is null || !RestsOnHole(nodeId, offset, whence, error, result, out _, out _, out long length))
        {
            return error;
        }

        // That all is data is true of every file, holes being data too.
        result = whence == Fcntl.SEEK_DATA ? offset : length;
        return Errno.None;
    }

    private bool RestsOnHole(ulong nodeId, long offset, int whence, Errno error, long result, out long start, out long end, out long size)
    {
        start = end = size = 0;
        if ((error == Errno.None && whence == Fcntl.SEEK_DATA && result == offset) || error is not (Errno.None or Errno.ENXIO)
            || SeekStored(nodeId, 0, Fcntl.SEEK_END, out size) != Errno.None || offset < 0 || offset >= size)
        {
            return false;
        }

        if (whence == Fcntl.SEEK_DATA)
        {
            start = offset;
            end = error == Errno.None ? result : size;
        }
        else
        {
            start = result;
            Errno next = result < size ? SeekStored(nodeId, result, Fcntl.SEEK_DATA, out end) : Errno.ENXIO;
            end = next == Errno.None ? end : size;
        }

        return start < end;
    }

    private Errno SeekStored(ulong nodeId, long offset, int whence, out long result)
    {
        result = 0;
        Errno error = Pin(nodeId, out FdLease lease, out Target target);
        if (error != Errno.None)
        {
            return error;
        }

        if (target.HasUpper)
        {
            error = FileIo.Lseek(lease.Fd, offset, whence, out result);
            _tree.Upper.Access.Cache.Release(lease);
            return error;
        }

        ILayer layer = _tree.Lowers[target.Lower.Slot];
        error = layer.OpenContent(target.Lower.Node, out int fd);
        if (error == Errno.None)
        {
            error = FileIo.Lseek(fd, offset, whence, out result);
            _ = Fd.Close(fd);
            return error;
        }

        stat attributes = default;
        error = error == Errno.EOPNOTSUPP ? layer.GetattrWithMapping(target.Lower.Node, false, &attributes) : error;
        if (error != Errno.None)
        {
            return error;
        }

        if (whence == Fcntl.SEEK_END)
        {
            result = attributes.st_size;
            return Errno.None;
        }

        if (offset < 0 || offset >= attributes.st_size)
        {
            return Errno.ENXIO;
        }

        result = whence == Fcntl.SEEK_DATA ? offset : attributes.st_size;
        return Errno.None;
    }
}
