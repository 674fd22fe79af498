using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay.Ops;

/// <summary>READ, WRITE, FSYNC, FALLOCATE, LSEEK and COPY_FILE_RANGE. Data move without the gate, through descriptors that are lent.</summary>
public sealed unsafe partial class DataOps
{
    private const int CopyChunk = 1 << 20;

    private readonly MergedTree _tree;
    private readonly CopyUp _copyUp;

    public DataOps(MergedTree tree, CopyUp copyUp)
    {
        _tree = tree;
        _copyUp = copyUp;
    }

    /// <summary>Set where the kernel collects writes; null: what it hands over late is only what mappings changed.</summary>
    internal CollectedWrites? Collected { get; set; }

    /// <summary>
    /// Told of a file that lost its set-id bits to a write, before the write is answered and with no lock held: who keeps modes must drop this
    /// one, or the changed program would still be run with them.
    /// </summary>
    public Action<ulong>? ModeChanged { get; set; }

    /// <summary>Reads. Which layer has the content is decided at this moment, so every descriptor sees what was written last.</summary>
    /// <returns>None; ESTALE; EISDIR; EIO: the source is gone, changed or damaged.</returns>
    public Errno Read(ulong nodeId, ulong offset, byte* buffer, uint size, out uint got)
    {
        got = 0;
        if (offset > long.MaxValue)
        {
            return Errno.EINVAL;
        }

        if (_tree.TryPure(nodeId, out ILayer layer, out uint node, out _))
        {
            return layer.Read(node, offset, buffer, size, out got);
        }

        Errno error = Pin(nodeId, out FdLease lease, out Target target);
        if (error != Errno.None)
        {
            return error;
        }

        if (!target.HasUpper)
        {
            return _tree.Lowers[target.Lower.Slot].Read(target.Lower.Node, offset, buffer, size, out got);
        }

        error = FileIo.ReadFull(lease.Fd, buffer, size, (long)offset, out nuint read);
        _tree.Upper.Access.Cache.Release(lease);
        got = (uint)read;
        return Failure.Note("upper", "pread", error);
    }

    /// <summary>Writes all of the data; a lower file is copied up first.</summary>
    /// <param name="caller">Who writes.</param>
    /// <param name="nodeId">The file.</param>
    /// <param name="offset">Byte offset.</param>
    /// <param name="data">Bytes, or room for them if they are still in <paramref name="piped"/>.</param>
    /// <param name="size">Their number.</param>
    /// <param name="piped">What holds them all; null: they are in memory. They stay there if the write fails before it gets to the file.</param>
    /// <param name="killSuidGid">True when set-id bits must go with this write.</param>
    /// <param name="late">
    /// What the kernel hands over some time after it was written (FUSE_WRITE_CACHE): all or an error, since nobody waits for a count any more.
    /// </param>
    /// <param name="written">Bytes written: <paramref name="size"/>, or fewer when the disk became full.</param>
    /// <returns>None; EROFS; ENOSPC, EDQUOT, EFBIG, EIO.</returns>
    public Errno Write(in Caller caller, ulong nodeId, ulong offset, byte* data, uint size, PipedData? piped, bool killSuidGid, bool late, out uint written)
    {
        _ = caller;
        written = 0;
        if (offset > (ulong)long.MaxValue - size)
        {
            return Errno.EFBIG;
        }

        Errno error = PinForWriting(nodeId, CopyUp.Whole, out FdLease lease);
        if (error != Errno.None)
        {
            return error;
        }

        bool changed = false;
        error = killSuidGid ? UpperAttributes.KillSetId(lease.Fd, out changed) : Errno.None;
        if (error == Errno.None && late && Collected is { } order)
        {
            lock (order.Of(nodeId))
            {
                error = WriteKeepingTime(lease.Fd, offset, data, size, piped, out written);
            }
        }
        else if (error == Errno.None)
        {
            error = UpperAttributes.Write(lease.Fd, offset, data, size, piped, false, late, out written);
        }

        _tree.Upper.Access.Cache.Release(lease);
        TellMode(nodeId, changed);
        return error;
    }

    private static Errno WriteKeepingTime(int fd, ulong offset, byte* data, uint size, PipedData? piped, out uint written)
    {
        written = 0;
        stat before;
        Errno error = Failure.Note("upper", "fstat", Antares.Interop.Attributes.Fstat(fd, &before));
        error = error == Errno.None ? UpperAttributes.Write(fd, offset, data, size, piped, false, whole: true, out written) : error;
        if (error != Errno.None && written == 0)
        {
            return error;
        }

        timespec* times = stackalloc timespec[2];
        times[0] = new timespec { tv_nsec = StatMode.UTIME_OMIT };
        times[1] = before.st_mtim;
        Errno kept = Antares.Interop.Attributes.Futimens(fd, times);

        // A part may be there (the disk is full), and the rest come with a second try. Who may write a file need not be allowed to choose its times.
        return error != Errno.None ? error : kept is Errno.EPERM or Errno.EACCES ? Errno.None : Failure.Note("upper", "futimens", kept);
    }

    /// <summary>Makes a file's data durable. A lower file is so already; a volatile mount promises nothing.</summary>
    public Errno Fsync(ulong nodeId, bool dataOnly)
    {
        if (_tree.TryPure(nodeId, out _, out _, out _) || !_tree.HasUpper || _tree.Upper.Writer.Options.Volatile)
        {
            return Errno.None;
        }

        Errno error = Pin(nodeId, out FdLease lease, out Target target);
        if (error == Errno.EINVAL)
        {
            // A FIFO or device: nothing to write back.
            return Errno.None;
        }

        if (error != Errno.None || !target.HasUpper)
        {
            return error;
        }

        SyncWait wait = _tree.Upper.Writer.SyncWait;
        long began = wait.Begin();
        error = dataOnly ? FileIo.Fdatasync(lease.Fd) : FileIo.Fsync(lease.Fd);
        wait.End(began);
        _tree.Upper.Access.Cache.Release(lease);
        return Failure.Note("upper", "fsync", error);
    }

    /// <summary>Reserves, punches, zeroes, collapses or inserts a range, as far as the upper's file system can.</summary>
    public Errno Fallocate(in Caller caller, ulong nodeId, int mode, ulong offset, ulong length)
    {
        if (offset > long.MaxValue || length > (ulong)long.MaxValue - offset)
        {
            return Errno.EFBIG;
        }

        Errno error = PinForWriting(nodeId, CopyUp.Whole, out FdLease lease);
        if (error == Errno.None)
        {
            error = KillSetIdFor(in caller, lease.Fd, out bool changed);
            error = error == Errno.None ? FileIo.Fallocate(lease.Fd, mode, (long)offset, (long)length) : error;
            _tree.Upper.Access.Cache.Release(lease);
            TellMode(nodeId, changed);
        }

        return Failure.Note("upper", "fallocate", error);
    }

    /// <summary>Copies a range from one file to another within the server.</summary>
    public Errno CopyFileRange(
        in Caller caller, ulong nodeIn, ulong offsetIn, ulong nodeOut, ulong offsetOut, ulong length, uint flags, out ulong copied)
    {
        copied = 0;
        if (flags != 0 || offsetIn > long.MaxValue || offsetOut > long.MaxValue || length > (ulong)long.MaxValue - Math.Max(offsetIn, offsetOut))
        {
            return Errno.EINVAL;
        }

        Errno error = PinForWriting(nodeOut, CopyUp.Whole, out FdLease to);
        if (error != Errno.None)
        {
            return error;
        }

        error = KillSetIdFor(in caller, to.Fd, out bool changed);
        FdLease from = default;
        Target source = default;
        error = error == Errno.None ? Pin(nodeIn, out from, out source) : error;
        if (error == Errno.None)
        {
            int content = -1;
            error = source.HasUpper
                ? Errno.None
                : _tree.Lowers[source.Lower.Slot].OpenContent(source.Lower.Node, out content);
            if (error == Errno.None)
            {
                error = CopyBetween(source.HasUpper ? from.Fd : content, to.Fd, (long)offsetIn, (long)offsetOut, length, out copied);
            }

            if (content >= 0)
            {
                _ = Fd.Close(content);
            }

            if (source.HasUpper)
            {
                _tree.Upper.Access.Cache.Release(from);
            }

            if (error is Errno.EXDEV or Errno.EOPNOTSUPP or Errno.ENOSYS && copied == 0)
            {
                error = CopyThroughMemory(nodeIn, to.Fd, offsetIn, offsetOut, length, out copied);
            }
        }

        _tree.Upper.Access.Cache.Release(to);
        TellMode(nodeOut, changed);
        return copied > 0 ? Errno.None : error;
    }

    // These two requests carry no word about set-id bits, unlike WRITE: who lacks CAP_FSETID loses them, as on a local disk.
    private static Errno KillSetIdFor(in Caller caller, int fd, out bool changed)
    {
        changed = false;
        stat attributes;
        Errno error = Failure.Note("upper", "fstat", Antares.Interop.Attributes.Fstat(fd, &attributes));
        bool has = error == Errno.None && UpperAttributes.WithoutSetId(attributes.st_mode) != attributes.st_mode;
        return has && !CallerRights.MayKeepSetId(in caller) ? UpperAttributes.KillSetId(fd, out changed) : error;
    }

    private void TellMode(ulong nodeId, bool changed)
    {
        if (changed)
        {
            ModeChanged?.Invoke(nodeId);
        }
    }

    private Errno Pin(ulong nodeId, out FdLease lease, out Target target)
    {
        lock (_tree.Gate)
        {
            lease = default;
            Errno error = _tree.Resolve(nodeId, out target);
            if (error != Errno.None || !target.HasUpper)
            {
                return error;
            }

            return _tree.Upper.PinFile(target.Upper, false, out lease);
        }
    }

    private Errno PinForWriting(ulong nodeId, ulong limit, out FdLease lease)
    {
        lock (_tree.Gate)
        {
            lease = default;
            Errno error = _tree.Resolve(nodeId, out Target target);
            if (error == Errno.None)
            {
                error = _copyUp.Ensure(ref target, limit, out _);
            }

            return error == Errno.None ? _tree.Upper.PinFile(target.Upper, true, out lease) : error;
        }
    }

    private static Errno CopyBetween(int from, int to, long offsetIn, long offsetOut, ulong length, out ulong copied)
    {
        copied = 0;
        while (copied < length)
        {
            Errno error = FileIo.CopyFileRange(from, &offsetIn, to, &offsetOut, (nuint)(length - copied), 0, out nuint moved);
            if (error != Errno.None)
            {
                return error;
            }

            if (moved == 0)
            {
                break;
            }

            copied += moved;
        }

        return Errno.None;
    }

    private Errno CopyThroughMemory(ulong nodeIn, int to, ulong offsetIn, ulong offsetOut, ulong length, out ulong copied)
    {
        byte* buffer = (byte*)NativeMemory.Alloc(CopyChunk);
        Errno error = Errno.None;
        copied = 0;
        while (copied < length)
        {
            uint wanted = (uint)Math.Min(CopyChunk, length - copied);
            error = Read(nodeIn, offsetIn + copied, buffer, wanted, out uint got);
            if (error != Errno.None || got == 0)
            {
                break;
            }

            error = FileIo.WriteFull(to, buffer, got, (long)(offsetOut + copied));
            if (error != Errno.None)
            {
                break;
            }

            copied += got;
        }

        NativeMemory.Free(buffer);
        return error;
    }
}
