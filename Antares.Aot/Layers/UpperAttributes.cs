using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>Changes attributes and content of objects of the upper, with or without a name, never through a symbolic link.</summary>
/// <remarks>Called with the layer's gate held, but for <see cref="Write"/>, which needs only a lent descriptor.</remarks>
public sealed unsafe class UpperAttributes
{
    private const uint SetUserId = 0x800;
    private const uint SetGroupId = 0x400;
    private const uint GroupExecute = 0x8;

    private readonly FolderAccess _access;
    private readonly DirectoryTable _table;

    public UpperAttributes(DirectoryLayer layer)
    {
        _access = layer.Access;
        _table = layer.Table;
    }

    /// <summary>chmod; EOPNOTSUPP for a symbolic link, as Linux has it.</summary>
    public Errno Chmod(uint node, uint mode)
    {
        if (_table.Node(node)->Type == FileType.Symlink)
        {
            return Errno.EOPNOTSUPP;
        }

        byte* workName = stackalloc byte[16];
        Errno error = Reach(node, workName, out DirectoryLease lease, out ByteName name, out bool isOpen);
        if (error == Errno.None)
        {
            error = isOpen
                ? Attributes.Fchmod(lease.Fd, mode & 0xFFF)
                : name.Length == 0
                ? Attributes.Fchmodat(lease.Fd, Literal.Pointer(""u8), mode & 0xFFF, Fcntl.AT_EMPTY_PATH) // perhaps O_PATH
                : Attributes.Fchmodat(lease.Fd, name.Pointer, mode & 0xFFF, Fcntl.AT_SYMLINK_NOFOLLOW);
            _access.Release(lease);
        }

        return Failure.Note("upper", isOpen ? "fchmod" : "fchmodat", error);
    }

    /// <summary>chown; an id of uint.MaxValue stays.</summary>
    public Errno Chown(uint node, uint uid, uint gid)
    {
        byte* workName = stackalloc byte[16];
        Errno error = Reach(node, workName, out DirectoryLease lease, out ByteName name, out bool isOpen);
        if (error == Errno.None)
        {
            error = isOpen
                ? Attributes.Fchown(lease.Fd, uid, gid)
                : name.Length == 0
                ? Attributes.Fchownat(lease.Fd, Literal.Pointer(""u8), uid, gid, Fcntl.AT_EMPTY_PATH)
                : Attributes.Fchownat(lease.Fd, name.Pointer, uid, gid, Fcntl.AT_SYMLINK_NOFOLLOW);
            _access.Release(lease);
        }

        return Failure.Note("upper", isOpen ? "fchown" : "fchownat", error);
    }

    /// <summary>Sets access and modification time; UTIME_NOW and UTIME_OMIT as in utimensat(2).</summary>
    public Errno Utimens(uint node, timespec* times)
    {
        byte* workName = stackalloc byte[16];
        Errno error = Reach(node, workName, out DirectoryLease lease, out ByteName name, out bool isOpen);
        if (error == Errno.None)
        {
            error = isOpen
                ? Attributes.Futimens(lease.Fd, times)
                : name.Length == 0
                ? Attributes.Utimensat(lease.Fd, Literal.Pointer(""u8), times, Fcntl.AT_EMPTY_PATH)
                : Attributes.Utimensat(lease.Fd, name.Pointer, times, Fcntl.AT_SYMLINK_NOFOLLOW);
            _access.Release(lease);
        }

        return Failure.Note("upper", isOpen ? "futimens" : "utimensat", error);
    }

    /// <summary>Sets the size of a regular file.</summary>
    public Errno Truncate(uint node, long size)
    {
        Errno error = _access.PinFile(node, true, out FdLease lease);
        if (error == Errno.None)
        {
            error = FileIo.Ftruncate(lease.Fd, size);
            _access.Cache.Release(lease);
        }

        return Failure.Note("upper", "ftruncate", error);
    }

    /// <summary>Writes through a lent descriptor; what got to the file counts, an error that lasts comes with the next write.</summary>
    /// <param name="fd">Open for writing.</param>
    /// <param name="offset">Byte offset.</param>
    /// <param name="data">Bytes, or room for them if they are still in <paramref name="piped"/>.</param>
    /// <param name="size">Their number.</param>
    /// <param name="piped">What holds them all; null: they are in memory.</param>
    /// <param name="killSetId">True when set-id bits must go with this write.</param>
    /// <param name="whole">All or an error: whoever hands over collected writes looks at no count.</param>
    /// <param name="written">Bytes written.</param>
    public static Errno Write(int fd, ulong offset, byte* data, uint size, PipedData? piped, bool killSetId, bool whole, out uint written)
    {
        written = 0;
        Errno error = killSetId ? KillSetId(fd, out _) : Errno.None;
        if (error == Errno.None && piped != null)
        {
            error = Failure.Note("upper", "splice", piped.MoveTo(fd, (long)offset));
            written = (uint)piped.Moved;

            // Also after an error: it may be served again.
            Errno taken = piped.Take(data + written, piped.Left);
            error = error == Errno.None ? taken : error;
        }

        while (error == Errno.None && written < size)
        {
            error = FileIo.Pwrite(fd, data + written, size - written, (long)(offset + written), out nuint put);
            if (error == Errno.None && put == 0)
            {
                error = Errno.EIO;
            }

            written += (uint)put;
        }

        return written > 0 && !(whole && written < size) ? Errno.None : Failure.Note("upper", "pwrite", error);
    }

    /// <summary>The mode after a change by somebody who may not keep set-id bits (setattr_should_drop_suidgid of Linux).</summary>
    public static uint WithoutSetId(uint mode)
    {
        mode &= ~SetUserId;
        return (mode & GroupExecute) != 0 ? mode & ~SetGroupId : mode;
    }

    /// <summary>Clears the set-id bits of an open file that a change by an ordinary user clears.</summary>
    /// <param name="fd">The file.</param>
    /// <param name="changed">True when it had such bits.</param>
    public static Errno KillSetId(int fd, out bool changed)
    {
        changed = false;
        stat attributes;
        Errno error = Attributes.Fstat(fd, &attributes);
        if (error != Errno.None)
        {
            return Failure.Note("upper", "fstat", error);
        }

        uint kept = WithoutSetId(attributes.st_mode);
        if (kept == attributes.st_mode)
        {
            return Errno.None;
        }

        changed = true;
        return Failure.Note("upper", "fchmod", Attributes.Fchmod(fd, kept & 0xFFF));
    }

    // A descriptor of the object itself (name empty; isOpen: not by O_PATH) or of its directory with its name.
    private Errno Reach(uint node, byte* workName, out DirectoryLease lease, out ByteName name, out bool isOpen)
    {
        FolderNode* record = _table.Node(node);
        name = default;
        FdLease opened = default;
        isOpen = record->Type == FileType.Regular && record->Place != NodePlace.HeldByFd && _access.Cache.TryPin(&record->FdSlot, false, out opened);
        if (isOpen)
        {
            lease = new DirectoryLease(opened, default);
            return Errno.None;
        }

        if (node == ILayer.RootNode)
        {
            lease = new DirectoryLease(FdLease.Borrow(_access.RootFd), default);
            return Errno.None;
        }

        if (record->Place == NodePlace.HeldByFd)
        {
            lease = new DirectoryLease(FdLease.Borrow(record->OrphanFd), default);
            return Errno.None;
        }

        return _access.Locate(node, workName, out lease, out name);
    }
}
