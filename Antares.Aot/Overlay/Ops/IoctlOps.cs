using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay.Ops;

/// <summary>IOCTL: the inode flags of chattr and lsattr and the project id, as far as the upper's file system has them.</summary>
public sealed unsafe class IoctlOps
{
    // linux/fs.h: _IOR('f', 1, long), _IOW('f', 2, long), _IOR('X', 31, struct fsxattr), _IOW('X', 32, struct fsxattr)
    private const uint GetFlags = 0x80086601;
    private const uint SetFlags = 0x40086602;
    private const uint GetExtended = 0x801C581F;
    private const uint SetExtended = 0x401C5820;
    private const int ExtendedSize = 28;
    private const int Room = 64;

    private readonly MergedTree _tree;
    private readonly CopyUp _copyUp;

    public IoctlOps(MergedTree tree, CopyUp copyUp)
    {
        _tree = tree;
        _copyUp = copyUp;
    }

    /// <summary>Runs one of the four known commands on the object's own file.</summary>
    /// <param name="caller">Who asks.</param>
    /// <param name="nodeId">File or directory.</param>
    /// <param name="command">ioctl number.</param>
    /// <param name="input">What the caller gave.</param>
    /// <param name="inputSize">Its length.</param>
    /// <param name="output">Receives the result.</param>
    /// <param name="outputCapacity">Room there.</param>
    /// <param name="outputSize">Bytes of the result.</param>
    /// <returns>None; ENOTTY: any other command; EINVAL: sizes; EOPNOTSUPP, EPERM and others of the file system.</returns>
    public Errno Ioctl(
        in Caller caller, ulong nodeId, uint command, byte* input, nuint inputSize, byte* output, nuint outputCapacity, out nuint outputSize)
    {
        _ = caller;
        outputSize = 0;
        bool get = command is GetFlags or GetExtended;
        bool set = command is SetFlags or SetExtended;
        if (!get && !set)
        {
            return Errno.ENOTTY;
        }

        int size = command is GetExtended or SetExtended ? ExtendedSize : sizeof(int);
        if ((get && outputCapacity < (nuint)size) || (set && inputSize < (nuint)size))
        {
            return Errno.EINVAL;
        }

        byte* buffer = stackalloc byte[Room];
        new Span<byte>(buffer, Room).Clear();
        if (set)
        {
            new ReadOnlySpan<byte>(input, size).CopyTo(new Span<byte>(buffer, Room));
        }

        Errno error = Run(nodeId, command, buffer, set);
        if (error == Errno.None && get)
        {
            // The command's name says "long", the kernel's flags are an int; the rest of the caller's room is left zero.
            nuint given = command == GetFlags ? Math.Min(outputCapacity, sizeof(long)) : (nuint)size;
            new ReadOnlySpan<byte>(buffer, (int)given).CopyTo(new Span<byte>(output, (int)given));
            outputSize = given;
        }

        return error;
    }

    private Errno Run(ulong nodeId, uint command, byte* buffer, bool set)
    {
        FdLease lease;
        lock (_tree.Gate)
        {
            Errno error = _tree.Resolve(nodeId, out Target target);
            if (error == Errno.None && set)
            {
                error = _copyUp.Ensure(ref target, CopyUp.Whole, out _);
            }

            if (error != Errno.None)
            {
                return error;
            }

            FileType type = _tree.TypeOf(in target);
            if (type is not (FileType.Regular or FileType.Directory))
            {
                return Errno.ENOTTY;
            }

            if (!target.HasUpper)
            {
                // A lower object has no flags of its own.
                return Errno.None;
            }

            error = type == FileType.Directory
                ? _tree.Upper.Access.PinDirectory(target.Upper, out lease)
                : _tree.Upper.PinFile(target.Upper, false, out lease);
            if (error != Errno.None)
            {
                return error;
            }
        }

        Errno result = FileIo.Ioctl(lease.Fd, command, buffer, out _);
        _tree.Upper.Access.Cache.Release(lease);
        return Failure.Note("upper", "ioctl", result);
    }
}
