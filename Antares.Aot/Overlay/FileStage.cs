using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay;

/// <summary>Makes a whole copy of a lower non-directory in the work directory: data, owner, extended attributes, mode, times.</summary>
internal static unsafe class FileStage
{
    // Copying so much takes longer than fetching another thread for the other requests.
    private const ulong LongCopyBytes = 1 << 20;

    private const int ChunkSize = 1 << 20;
    private const int SparseBlock = 4096;

    /// <summary>Makes the copy. Called without the gate.</summary>
    /// <param name="layer">Layer of the lower object.</param>
    /// <param name="node">Its node.</param>
    /// <param name="writer">Upper to copy into.</param>
    /// <param name="marks">Names of the overlay's attributes.</param>
    /// <param name="limit">Bytes of content wanted.</param>
    /// <param name="number">Work name of the copy; on failure nothing is left under it.</param>
    /// <param name="fd">O_RDWR descriptor of a regular file, owned by the caller; otherwise -1.</param>
    /// <param name="attributes">Attributes of the lower object as stored.</param>
    /// <param name="copied">Bytes of content copied.</param>
    public static Errno Make(
        ILayer layer, uint node, UpperWriter writer, OverlayMarks marks, ulong limit, out uint number, out int fd, stat* attributes, out long copied)
    {
        fd = -1;
        copied = 0;
        number = 0;
        Errno error = layer.GetattrWithMapping(node, false, attributes);
        if (error != Errno.None)
        {
            return error;
        }

        int workFd = writer.Work.Fd;
        byte* buffer = stackalloc byte[16];
        number = writer.Work.Take();
        ByteName name = FolderAccess.WorkName(number, buffer);
        error = Begin(layer, node, workFd, name, in *attributes, out fd);
        if (error == Errno.None && fd >= 0)
        {
            ulong size = Math.Min(limit, (ulong)attributes->st_size);
            if (size > LongCopyBytes)
            {
                _ = RequestWait.Announce(); // waits in any case
            }

            error = CopyContent(layer, node, writer, fd, size, (ulong)attributes->st_blocks * 512 < size);
            copied = error == Errno.None ? (long)size : 0;

            // A copy made for a truncation is published at its new size: extended back to the old one it would, should anything
            // go wrong before the truncation itself, show zeros where data were.
        }

        if (error == Errno.None)
        {
            // Such a copy is another content, so it has another time of change from its first moment: who compares times must not
            // take it for the lower file should the server be killed before the truncation itself.
            stat staged = *attributes;
            staged.st_mtim.tv_nsec = fd >= 0 && limit < (ulong)attributes->st_size ? StatMode.UTIME_NOW : staged.st_mtim.tv_nsec;
            error = StagedAttributes.Apply(layer, node, fd, workFd, name, in staged, marks, writer.Options);
        }

        if (error == Errno.None && fd >= 0 && !writer.Options.Volatile)
        {
            long began = writer.SyncWait.Begin();
            error = Failure.Note("work", "fsync (copy-up)", FileIo.Fsync(fd));
            writer.SyncWait.End(began);
        }

        if (error != Errno.None)
        {
            if (fd >= 0)
            {
                _ = Fd.Close(fd);
                fd = -1;
            }

            writer.Work.Remove(number);
        }

        return error;
    }

    private static Errno Begin(ILayer layer, uint node, int workFd, ByteName name, in stat attributes, out int fd)
    {
        fd = -1;
        uint type = attributes.st_mode & FileTypes.FormatMask;
        if (type == 0x8000)
        {
            return Failure.Note(
                "work",
                "openat (copy-up)",
                Fd.Openat(workFd, name.Pointer, Fcntl.O_CREAT | Fcntl.O_EXCL | Fcntl.O_RDWR | Fcntl.O_CLOEXEC, 0x180, out fd));
        }

        if (type == 0xA000)
        {
            const int Room = 4096;
            byte* target = stackalloc byte[Room + 1];
            Errno error = layer.Readlink(node, target, Room, out int length);
            if (error != Errno.None)
            {
                return error;
            }

            target[length] = 0;
            return Failure.Note("work", "symlinkat (copy-up)", PathOps.Symlinkat(target, workFd, name.Pointer));
        }

        return Failure.Note(
            "work", "mknodat (copy-up)", PathOps.Mknodat(workFd, name.Pointer, attributes.st_mode & 0xFFFF, attributes.st_rdev));
    }

    private static Errno CopyContent(ILayer layer, uint node, UpperWriter writer, int fd, ulong size, bool sparse)
    {
        if (size == 0)
        {
            return Errno.None;
        }

        Errno error = layer.OpenContent(node, out int source);
        if (error == Errno.None)
        {
            error = CopyFromFile(source, writer, fd, size, sparse);
            _ = Fd.Close(source);
            return error;
        }

        return error == Errno.EOPNOTSUPP ? CopyByReading(layer, node, fd, size, sparse) : error;
    }

    private static Errno CopyFromFile(int source, UpperWriter writer, int fd, ulong size, bool sparse)
    {
        // A reflink shares the blocks and costs nothing, where the file system can.
        stat attributes;
        if (writer.MayClone
            && Antares.Interop.Attributes.Fstat(source, &attributes) == Errno.None
            && (ulong)attributes.st_size == size
            && writer.MayCloneFrom(attributes.st_dev))
        {
            Errno cloned = FileIo.Ficlone(fd, source);
            if (cloned == Errno.None)
            {
                return StillHas(source, size);
            }

            writer.NoteClone(attributes.st_dev, cloned);
        }

        long offset = 0;
        while ((ulong)offset < size)
        {
            long end = (long)size;
            if (sparse)
            {
                Errno sought = FileIo.Lseek(source, offset, Fcntl.SEEK_DATA, out long data);
                if (sought == Errno.ENXIO)
                {
                    break;
                }

                if (sought == Errno.None)
                {
                    offset = data;
                    if (FileIo.Lseek(source, offset, Fcntl.SEEK_HOLE, out long hole) == Errno.None)
                    {
                        end = Math.Min(end, hole);
                    }
                }
            }

            Errno error = CopyExtent(source, fd, ref offset, end);
            if (error != Errno.None)
            {
                return error;
            }
        }

        // A hole at the end has the file's length all the same.
        Errno sized = sparse ? Failure.Note("work", "ftruncate (copy-up)", FileIo.Ftruncate(fd, (long)size)) : Errno.None;
        return sized == Errno.None ? StillHas(source, size) : sized;
    }

    // A file cut off meanwhile looks, from its new end on, like one hole, and what was under way to the copy from there on may have become zeros: the kernel
    // hands pages over by reference, and shortens a file before it clears them.
    private static Errno StillHas(int source, ulong size)
    {
        stat attributes;
        Errno error = Failure.Note("lower", "fstat", Antares.Interop.Attributes.Fstat(source, &attributes));
        return error == Errno.None && (ulong)attributes.st_size < size
            ? Failure.Note("lower", "fstat: file became shorter than its size", Errno.EIO)
            : error;
    }

    private static Errno CopyExtent(int source, int fd, ref long offset, long end)
    {
        while (offset < end)
        {
            long from = offset;
            long to = offset;
            nuint wanted = (nuint)Math.Min(end - offset, 1L << 30);
            Errno error = FileIo.CopyFileRange(source, &from, fd, &to, wanted, 0, out nuint copied);
            if (error is Errno.EXDEV or Errno.EINVAL or Errno.EOPNOTSUPP or Errno.ENOSYS or Errno.EBADF)
            {
                return CopyThroughMemory(source, fd, ref offset, end);
            }

            if (error != Errno.None)
            {
                return Failure.Note("work", "copy_file_range", error);
            }

            if (copied == 0)
            {
                return Failure.Note("lower", "copy_file_range: file is shorter than its size", Errno.EIO);
            }

            offset += (long)copied;
        }

        return Errno.None;
    }

    private static Errno CopyThroughMemory(int source, int fd, ref long offset, long end)
    {
        byte* buffer = (byte*)NativeMemory.Alloc(ChunkSize);
        Errno error = Errno.None;
        while (offset < end)
        {
            nuint wanted = (nuint)Math.Min(end - offset, ChunkSize);
            error = Failure.Note("lower", "pread", FileIo.ReadFull(source, buffer, wanted, offset, out nuint got));
            if (error == Errno.None && got == 0)
            {
                error = Failure.Note("lower", "pread: file is shorter than its size", Errno.EIO);
            }

            if (error == Errno.None)
            {
                error = Failure.Note("work", "pwrite", FileIo.WriteFull(fd, buffer, got, offset));
            }

            if (error != Errno.None)
            {
                break;
            }

            offset += (long)got;
        }

        NativeMemory.Free(buffer);
        return error;
    }

    private static Errno CopyByReading(ILayer layer, uint node, int fd, ulong size, bool sparse)
    {
        byte* buffer = (byte*)NativeMemory.Alloc(ChunkSize);
        Errno error = Errno.None;
        ulong offset = 0;
        while (offset < size)
        {
            uint wanted = (uint)Math.Min(size - offset, ChunkSize);
            error = layer.Read(node, offset, buffer, wanted, out uint got);
            if (error == Errno.None && got == 0)
            {
                error = Failure.Note(layer.Name, "file is shorter than its size", Errno.EIO);
            }

            if (error == Errno.None)
            {
                error = sparse ? WriteSparse(fd, buffer, got, offset) : WriteAll(fd, buffer, got, offset);
            }

            if (error != Errno.None)
            {
                break;
            }

            offset += got;
        }

        NativeMemory.Free(buffer);
        return error == Errno.None ? Failure.Note("work", "ftruncate (copy-up)", FileIo.Ftruncate(fd, (long)size)) : error;
    }

    private static Errno WriteSparse(int fd, byte* data, uint size, ulong offset)
    {
        for (uint at = 0; at < size; at += SparseBlock)
        {
            uint length = Math.Min(SparseBlock, size - at);
            if (new ReadOnlySpan<byte>(data + at, (int)length).ContainsAnyExcept((byte)0))
            {
                Errno error = WriteAll(fd, data + at, length, offset + at);
                if (error != Errno.None)
                {
                    return error;
                }
            }
        }

        return Errno.None;
    }

    private static Errno WriteAll(int fd, byte* data, uint size, ulong offset) =>
        Failure.Note("work", "pwrite", FileIo.WriteFull(fd, data, size, (long)offset));
}
