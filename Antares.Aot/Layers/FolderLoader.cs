using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>
/// Reads a directory of a folder layer into the <see cref="DirectoryTable"/>: names and types only, no stat of any sibling but those
/// that may be whiteouts (character devices, and empty files in a directory marked "x").
/// </summary>
public sealed unsafe class FolderLoader : IDisposable
{
    private const int BufferSize = 64 * 1024;

    private readonly string _layer;
    private readonly DirectoryTable _table;
    private readonly FolderAccess _access;
    private readonly FolderXattrs _xattrs;
    private readonly bool _readsAufs;
    private byte* _buffer;

    /// <param name="layer">Name for messages.</param>
    /// <param name="table">Filled.</param>
    /// <param name="access">To the folder.</param>
    /// <param name="xattrs">Of the folder.</param>
    /// <param name="readsAufs">True: files named .wh.NAME are whiteouts, and are not shown.</param>
    public FolderLoader(string layer, DirectoryTable table, FolderAccess access, FolderXattrs xattrs, bool readsAufs)
    {
        _readsAufs = readsAufs;
        _layer = layer;
        _table = table;
        _access = access;
        _xattrs = xattrs;
    }

    /// <summary>
    /// Loads a directory unless it is loaded. A failure leaves nothing behind and is not remembered. One that this process may not read
    /// counts as loaded, without names: see <see cref="FindUnlisted"/>.
    /// </summary>
    /// <returns>None; what opening or reading the directory gave (EACCES, EIO, ENOMEM …).</returns>
    public Errno Load(uint directory)
    {
        if (_table.IsLoaded(directory))
        {
            return Errno.None;
        }

        Errno error = _access.PinDirectory(directory, ModeLoans.Read | ModeLoans.Search, out DirectoryLease lease);
        if (error != Errno.None)
        {
            return error;
        }

        // Opened O_PATH when it could not be read; perhaps it can now.
        int fd = lease.Fd;
        byte* here = stackalloc byte[] { (byte)'.', 0 };
        if (FolderXattrs.IsPathOnly(fd)
            && FolderAccess.OpenBeneath(fd, new ByteName(here, 1), Fcntl.O_RDONLY | Fcntl.O_DIRECTORY, out int readable) == Errno.None)
        {
            fd = readable;
        }

        _table.BeginListing(directory);
        if (_buffer == null)
        {
            _buffer = (byte*)NativeMemory.Alloc(BufferSize);
        }

        bool markedWhiteouts = HoldsMarkedWhiteouts(directory);
        error = FileIo.Lseek(fd, 0, Fcntl.SEEK_SET, out _);
        while (error == Errno.None)
        {
            error = Directories.Getdents64(fd, _buffer, BufferSize, out int length);
            if (error != Errno.None || length == 0)
            {
                break;
            }

            error = AddAll(directory, fd, length, markedWhiteouts);
        }

        if (fd != lease.Fd)
        {
            _ = Fd.Close(fd);
        }

        _access.Release(lease);
        if (error == Errno.EBADF)
        {
            // O_PATH is how a directory is opened that may not be read.
            _table.Listing(directory)->Unlistable = true;
            error = Errno.None;
        }

        if (error != Errno.None)
        {
            _table.AbandonListing(directory);
        }

        return Failure.Note(_layer, "getdents64", error);
    }

    /// <summary>Looks for one name in a directory that may be searched but not read, and enters it when it is there.</summary>
    /// <param name="directory">A loaded directory whose listing is marked so.</param>
    /// <param name="name">A name that is not entered yet.</param>
    /// <param name="dentry">The new entry.</param>
    /// <returns>None; ENOENT: no such name; EACCES: not to be searched either; EIO and others.</returns>
    public Errno FindUnlisted(uint directory, ByteName name, out uint dentry)
    {
        dentry = 0;
        if (_readsAufs && AufsMarks.IsReserved(name))
        {
            return Errno.ENOENT;
        }

        Errno error = _access.PinDirectory(directory, out FdLease lease);
        if (error != Errno.None)
        {
            return error;
        }

        FileType type = FileType.Unknown;
        bool marked = false;
        error = Examine(lease.Fd, name, false, ref type);
        if (_readsAufs && error is Errno.None or Errno.ENOENT)
        {
            Errno looked = LookForWhiteoutOf(lease.Fd, name, out marked);
            error = looked != Errno.None ? looked : marked ? Errno.None : error;
            type = marked && type == FileType.Unknown ? FileType.Whiteout : type;
        }

        _access.Cache.Release(lease);
        if (error == Errno.None)
        {
            uint node = type == FileType.Whiteout ? DirectoryTable.WhiteoutNode : _table.NewNode(type);
            dentry = _table.Add(directory, name, node);
            if (marked && type == FileType.Directory)
            {
                // What lies beside a whiteout of its own name was made after it.
                _table.Node(node)->Flags |= FolderNodeFlags.HiddenBelow;
            }
        }

        return error == Errno.ENOENT ? error : Failure.Note(_layer, "fstatat", error);
    }

    public void Dispose()
    {
        NativeMemory.Free(_buffer);
        _buffer = null;
    }

    // struct linux_dirent64 { u64 d_ino; s64 d_off; u16 d_reclen; u8 d_type; char d_name[]; }
    private Errno AddAll(uint directory, int directoryFd, int length, bool markedWhiteouts)
    {
        for (int at = 0; at + 19 < length;)
        {
            byte* record = _buffer + at;
            int size = *(ushort*)(record + 16);
            if (size < 20 || size > length - at)
            {
                return Errno.EIO;
            }

            at += size;
            var name = ByteName.FromNulTerminated(record + 19);
            if (name.IsDotOrDotDot)
            {
                continue;
            }

            if (name.Length is 0 or > ByteName.MaxLength)
            {
                return Errno.EIO;
            }

            if (_readsAufs && AufsMarks.IsReserved(name))
            {
                AddMark(directory, name);
                continue;
            }

            var type = (FileType)record[18];
            bool suspect = type is FileType.Unknown or FileType.CharDevice || (markedWhiteouts && type == FileType.Regular);
            if (suspect)
            {
                Errno error = Examine(directoryFd, name, markedWhiteouts, ref type);
                if (error == Errno.ENOENT)
                {
                    continue;
                }

                if (error != Errno.None)
                {
                    return error;
                }
            }

            uint node = type == FileType.Whiteout ? DirectoryTable.WhiteoutNode : _table.NewNode(type);
            if (node != DirectoryTable.WhiteoutNode)
            {
                _table.Node(node)->BackingIno = *(ulong*)record;
            }

            uint marked = _readsAufs ? _table.Find(directory, name) : 0;
            if (marked == 0)
            {
                _ = _table.Add(directory, name, node);
                continue;
            }

            // Its mark came first: what lies beside a whiteout of its own name was made after it.
            _table.Repoint(marked, node);
            if (type == FileType.Directory)
            {
                _table.Node(node)->Flags |= FolderNodeFlags.HiddenBelow;
            }
        }

        return Errno.None;
    }

    private void AddMark(uint directory, ByteName mark)
    {
        _table.Listing(directory)->HasAufsMarks = true;
        if (!AufsMarks.TryHiddenName(mark, out ByteName hidden))
        {
            return;
        }

        uint beside = _table.Find(directory, hidden);
        if (beside == 0)
        {
            _ = _table.Add(directory, hidden, DirectoryTable.WhiteoutNode);
        }
        else if (_table.Node(_table.Name(beside)->Node)->Type == FileType.Directory)
        {
            _table.Node(_table.Name(beside)->Node)->Flags |= FolderNodeFlags.HiddenBelow;
        }
    }

    // "Could not look" is not "there is none": what it hides would come back.
    private static Errno LookForWhiteoutOf(int directoryFd, ByteName name, out bool found)
    {
        byte* mark = stackalloc byte[ByteName.MaxLength + 1];
        stat attributes;
        Errno error = AufsMarks.TryMarkOf(name, mark)
            ? Antares.Interop.Attributes.Fstatat(directoryFd, mark, &attributes, Fcntl.AT_SYMLINK_NOFOLLOW)
            : Errno.ENOENT;
        found = error == Errno.None;
        return error == Errno.ENOENT ? Errno.None : error;
    }

    private Errno Examine(int directoryFd, ByteName name, bool markedWhiteouts, ref FileType type)
    {
        stat attributes;
        Errno error = Antares.Interop.Attributes.Fstatat(directoryFd, name.Pointer, &attributes, Fcntl.AT_SYMLINK_NOFOLLOW);
        if (error != Errno.None)
        {
            return error;
        }

        type = FileTypes.FromMode(attributes.st_mode);
        if (type == FileType.CharDevice && attributes.st_rdev == 0)
        {
            type = FileType.Whiteout;
        }
        else if (markedWhiteouts && type == FileType.Regular && attributes.st_size == 0)
        {
            byte* path = stackalloc byte[320];
            FolderXattrs.ProcPath(directoryFd, name, path);
            byte* value = stackalloc byte[8];
            if (Xattrs.Lgetxattr(path, Literal.Pointer("trusted.overlay.whiteout"u8), value, 8, out _) == Errno.None
                || Xattrs.Lgetxattr(path, Literal.Pointer("user.overlay.whiteout"u8), value, 8, out _) == Errno.None)
            {
                type = FileType.Whiteout;
            }
        }

        return Errno.None;
    }

    private bool HoldsMarkedWhiteouts(uint directory)
    {
        byte* value = stackalloc byte[8];
        for (int form = 0; form < 2; form++)
        {
            if (_xattrs.Get(directory, OverlayMarks.OtherOpaque(form), value, 8, out int length) == Errno.None && length == 1
                && (value[0] == (byte)'x'
                    || (value[0] == (byte)'y' && _xattrs.Get(directory, OverlayMarks.WhiteoutsLeft(user: form == 1), value, 8, out length) == Errno.None)))
            {
                return true;
            }
        }

        return false;
    }
}
