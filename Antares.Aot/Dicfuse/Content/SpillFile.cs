using System.Text;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Content;

/// <summary>
/// The file for packed frames that memory has no room for: written from front to end, then from the front again over the frames
/// written first. It has no name, so that nothing is left behind when the process dies.
/// </summary>
/// <remarks>
/// <see cref="Reserve"/> is called under the frame table's gate, by the packing thread alone; writing and reading need no lock, since a
/// frame that is being read is pinned and its place is not given away.
/// </remarks>
internal sealed unsafe class SpillFile : IDisposable
{
    private readonly string _folder;
    private readonly long _limit;
    private long _head;
    private long _lap;
    private int _fd = -1;
    private bool _failed;

    public SpillFile(string folder, long limitBytes)
    {
        _folder = folder;
        _limit = limitBytes;
    }

    /// <summary>False once the file could not be made or written: frames are dropped from then on.</summary>
    public bool Usable => !Volatile.Read(ref _failed);

    /// <summary>Bytes that the file takes on its disk at most so far.</summary>
    public long FileBytes => Volatile.Read(ref _lap);

    /// <summary>Finds the next place for <paramref name="bytes"/>; the frames in its way leave the table.</summary>
    /// <returns>-1: larger than the file may be, or a frame in the way is being read.</returns>
    public long Reserve(FrameTable table, int bytes)
    {
        if (bytes > _limit)
        {
            return -1;
        }

        if (_head + bytes > _limit)
        {
            // What is left of the last lap behind the head is older than anything at the front.
            while (table.OldestSpilled != 0 && table[table.OldestSpilled]->SpillOffset >= _head)
            {
                if (!TryForget(table, table.OldestSpilled))
                {
                    return -1;
                }
            }

            _head = 0;
        }

        while (table.OldestSpilled != 0 && Overlaps(table[table.OldestSpilled], bytes))
        {
            if (!TryForget(table, table.OldestSpilled))
            {
                return -1;
            }
        }

        long place = _head;
        _head += bytes;
        Volatile.Write(ref _lap, Math.Max(_lap, _head));
        return place;
    }

    /// <summary>Writes packed bytes to a reserved place; the first call makes the file.</summary>
    public bool TryWrite(byte* packed, int bytes, long place)
    {
        if (_fd < 0 && Open(out _fd) != Errno.None)
        {
            Volatile.Write(ref _failed, true);
            return false;
        }

        if (FileIo.WriteFull(_fd, packed, (nuint)bytes, place) != Errno.None)
        {
            // A full disk: what is there stays readable, nothing more is written.
            Volatile.Write(ref _failed, true);
            return false;
        }

        return true;
    }

    /// <summary>Reads packed bytes back; what comes is checked by the frame's checksum.</summary>
    public bool TryRead(byte* packed, int bytes, long place) =>
        FileIo.ReadFull(_fd, packed, (nuint)bytes, place, out nuint got) == Errno.None && got == (nuint)bytes;

    public void Dispose()
    {
        if (_fd >= 0)
        {
            // The file is gone with its last descriptor; a late write error has no reader.
            _ = Fd.Close(_fd);
            _fd = -1;
        }
    }

    /// <summary>Takes the descriptor, for tests that damage the file.</summary>
    internal int Descriptor => _fd;

    private bool Overlaps(FrameSlot* frame, int bytes) =>
        frame->SpillOffset < _head + bytes && frame->SpillOffset + frame->PackedBytes > _head;

    private static bool TryForget(FrameTable table, int slot)
    {
        if (table[slot]->Pins != 0)
        {
            return false;
        }

        table.DropPacked(slot);
        if (table[slot]->RawBuffer < 0)
        {
            table.Remove(slot);
        }

        return true;
    }

    private Errno Open(out int fd)
    {
        const uint Mode = StatMode.S_IRUSR | StatMode.S_IWUSR;
        byte[] folder = Encoding.UTF8.GetBytes(_folder + '\0');
        fixed (byte* path = folder)
        {
            Errno error = Fd.Open(path, Fcntl.O_TMPFILE | Fcntl.O_RDWR | Fcntl.O_CLOEXEC, Mode, out fd);
            if (error is not (Errno.EOPNOTSUPP or Errno.EISDIR or Errno.EINVAL))
            {
                return error;
            }
        }

        // The file system has no O_TMPFILE: a name that lives for a moment.
        byte[] named = Encoding.UTF8.GetBytes($"{_folder}/.antares-frames-{Environment.ProcessId:x}-{Environment.TickCount64:x}-{Random.Shared.NextInt64():x}\0");
        fixed (byte* path = named)
        {
            const int Flags = Fcntl.O_CREAT | Fcntl.O_EXCL | Fcntl.O_RDWR | Fcntl.O_CLOEXEC | Fcntl.O_NOFOLLOW;
            Errno error = Fd.Open(path, Flags, Mode, out fd);
            if (error != Errno.None)
            {
                return error;
            }

            error = PathOps.Unlinkat(Fcntl.AT_FDCWD, path, 0);
            if (error != Errno.None)
            {
                // Without the unlink it would be left behind.
                _ = Fd.Close(fd);
                fd = -1;
            }

            return error;
        }
    }
}
