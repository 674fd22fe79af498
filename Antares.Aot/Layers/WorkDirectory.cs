using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>
/// The place where changes to an upper are made ready before one rename or link puts them in place: temporary objects, files without
/// a name, and the whiteout that all whiteouts are hard links of. It is <c>work/</c> in the folder given as work directory, as kernel
/// overlayfs has it, which therefore cleans up after us and we after it.
/// </summary>
/// <remarks>Every name handed out by <see cref="Take"/> has an owner that publishes it or removes it. Used with the layer's lock held.</remarks>
public sealed unsafe class WorkDirectory
{
    private const uint ModeTypeChar = 0x2000;

    private readonly int _fd;
    private readonly OverlayMarks _marks;
    private uint _next;
    private uint _master;
    private bool _markedWhiteouts;

    /// <param name="fd">The directory, open for reading; owned by the caller.</param>
    /// <param name="marks">Names of the overlay's attributes.</param>
    public WorkDirectory(int fd, OverlayMarks marks)
    {
        _fd = fd;
        _marks = marks;
    }

    public int Fd => _fd;

    /// <summary>True when whiteouts are empty files with an attribute, since no device node may be made here.</summary>
    public bool MarkedWhiteouts => _markedWhiteouts;

    /// <summary>A number for a new temporary name.</summary>
    public uint Take() => Interlocked.Increment(ref _next);

    /// <summary>Removes a temporary file; it may be gone already.</summary>
    public void Remove(uint number)
    {
        byte* buffer = stackalloc byte[16];
        // A leftover is harmless: the next mount cleans the work directory.
        _ = PathOps.Unlinkat(_fd, FolderAccess.WorkName(number, buffer).Pointer, 0);
    }

    /// <summary>Removes a temporary directory with all that is in it.</summary>
    public Errno RemoveTree(uint number)
    {
        byte* buffer = stackalloc byte[16];
        return RemoveTree(_fd, FolderAccess.WorkName(number, buffer), 0);
    }

    /// <summary>
    /// Removes what an earlier mount left here (of ours or of kernel overlayfs), all but the mark of a volatile mount and notes of modes
    /// lent that still say what is to be done.
    /// </summary>
    public Errno Clean() => RemoveContents(_fd, 0, keepMarks: true);

    /// <summary>Puts a whiteout at a name that is free or taken by a non-directory, in one atomic step.</summary>
    /// <param name="directoryFd">Directory in the upper.</param>
    /// <param name="name">Name in it.</param>
    /// <param name="replace">True when something that is no directory has the name.</param>
    public Errno PlaceWhiteout(int directoryFd, ByteName name, bool replace)
    {
        byte* masterName = stackalloc byte[16];
        byte* linkName = stackalloc byte[16];
        for (int attempt = 0; ; attempt++)
        {
            Errno error = EnsureMaster();
            if (error != Errno.None)
            {
                return error;
            }

            // The directory is marked first: without the mark a whiteout in attribute form would be read as an empty file.
            error = MarkDirectory(directoryFd);
            if (error != Errno.None)
            {
                return error;
            }

            ByteName master = FolderAccess.WorkName(_master, masterName);
            if (!replace)
            {
                error = PathOps.Linkat(_fd, master.Pointer, directoryFd, name.Pointer, 0);
            }
            else
            {
                ByteName link = FolderAccess.WorkName(Take(), linkName);
                error = PathOps.Linkat(_fd, master.Pointer, _fd, link.Pointer, 0);
                if (error == Errno.None)
                {
                    error = PathOps.Renameat2(_fd, link.Pointer, directoryFd, name.Pointer, 0);
                    if (error != Errno.None)
                    {
                        _ = PathOps.Unlinkat(_fd, link.Pointer, 0);
                    }
                }
            }

            // The file system bounds the number of links of one inode: go on with a fresh whiteout.
            if (error is Errno.EMLINK or Errno.ENOENT && attempt == 0)
            {
                Remove(_master);
                _master = 0;
                continue;
            }

            return Failure.Note("work", "linkat (whiteout)", error);
        }
    }

    /// <summary>Makes a whiteout under a temporary name (for an exchange).</summary>
    public Errno MakeWhiteout(out uint number)
    {
        number = 0;
        Errno error = EnsureMaster();
        if (error != Errno.None)
        {
            return error;
        }

        byte* masterName = stackalloc byte[16];
        byte* linkName = stackalloc byte[16];
        number = Take();
        error = PathOps.Linkat(
            _fd, FolderAccess.WorkName(_master, masterName).Pointer, _fd, FolderAccess.WorkName(number, linkName).Pointer, 0);
        if (error == Errno.EMLINK)
        {
            Remove(_master);
            _master = 0;
            error = EnsureMaster();
            if (error == Errno.None)
            {
                error = PathOps.Linkat(
                    _fd, FolderAccess.WorkName(_master, masterName).Pointer, _fd, FolderAccess.WorkName(number, linkName).Pointer, 0);
            }
        }

        return Failure.Note("work", "linkat (whiteout)", error);
    }

    /// <summary>Tells readers that this directory holds whiteouts in xattr form ("x"); does nothing where they are device nodes.</summary>
    public Errno MarkDirectory(int directoryFd)
    {
        if (!_markedWhiteouts)
        {
            return Errno.None;
        }

        byte value = (byte)'x';
        byte present;
        if (Xattrs.Fgetxattr(directoryFd, _marks.Opaque, &present, 1, out int length) == Errno.None && length == 1)
        {
            // An opaque directory has a mark of its own for it.
            return present == (byte)'x' ? Errno.None
                : Failure.Note("upper", "fsetxattr (whiteouts)", Xattrs.Fsetxattr(directoryFd, OverlayMarks.WhiteoutsLeft(_marks.IsUser), &present, 1, 0));
        }

        return Failure.Note("upper", "fsetxattr (opaque)", Xattrs.Fsetxattr(directoryFd, _marks.Opaque, &value, 1, 0));
    }

    /// <summary>Checks that the file system takes the overlay's marks.</summary>
    /// <param name="problem">What is wrong, for the user.</param>
    /// <returns>None; EOPNOTSUPP: the file system keeps no such attributes; EPERM: this process may not set them.</returns>
    public Errno TryMarks(out string? problem)
    {
        problem = null;
        byte value = (byte)'n';
        Errno error = Xattrs.Fsetxattr(_fd, _marks.Opaque, &value, 1, 0);
        if (error == Errno.None)
        {
            error = Xattrs.Fremovexattr(_fd, _marks.Opaque);
        }

        if (error != Errno.None)
        {
            string prefix = _marks.IsUser ? "user" : "trusted";
            problem = $"the upper's file system does not take the extended attributes ({prefix}.overlay.*) that an overlay keeps there "
                + $"({error}); choose an upper on another file system";
        }

        return error;
    }

    /// <summary>Tries a rename that leaves a whiteout behind (RENAME_WHITEOUT).</summary>
    /// <returns>None; EINVAL: the file system has none; another errno of the calls.</returns>
    public Errno TryRenameWhiteout()
    {
        byte* first = stackalloc byte[16];
        byte* second = stackalloc byte[16];
        ByteName from = FolderAccess.WorkName(Take(), first);
        ByteName to = FolderAccess.WorkName(Take(), second);
        Errno error = Antares.Interop.Fd.Openat(_fd, from.Pointer, Fcntl.O_CREAT | Fcntl.O_EXCL | Fcntl.O_RDWR | Fcntl.O_CLOEXEC, 0x180, out int fd);
        if (error != Errno.None)
        {
            return error;
        }

        _ = Antares.Interop.Fd.Close(fd); // nothing was written
        error = PathOps.Renameat2(_fd, from.Pointer, _fd, to.Pointer, Fcntl.RENAME_WHITEOUT);
        _ = PathOps.Unlinkat(_fd, from.Pointer, 0); // what stays is taken away by the next mount
        if (error == Errno.None)
        {
            _ = PathOps.Unlinkat(_fd, to.Pointer, 0);
        }

        return error;
    }

    /// <summary>The mark that kernel overlayfs and we leave while an upper is used without syncing.</summary>
    public bool HasVolatileMark() => StatPath("incompat/volatile"u8) == Errno.None;

    public Errno SetVolatileMark()
    {
        Errno error = PathOps.Mkdirat(_fd, Literal.Pointer("incompat"u8), 0x1C0);
        if (error is Errno.None or Errno.EEXIST)
        {
            error = PathOps.Mkdirat(_fd, Literal.Pointer("incompat/volatile"u8), 0x1C0);
        }

        return error == Errno.EEXIST ? Errno.None : error;
    }

    /// <summary>Takes the mark away. Kernel overlayfs keeps a directory more in it than we do.</summary>
    public Errno ClearVolatileMark()
    {
        byte* name = Literal.Pointer("incompat"u8);
        return RemoveTree(_fd, new ByteName(name, 8), 0);
    }

    private Errno StatPath(ReadOnlySpan<byte> path)
    {
        stat attributes;
        return Antares.Interop.Attributes.Fstatat(_fd, Literal.Pointer(path), &attributes, Fcntl.AT_SYMLINK_NOFOLLOW);
    }

    private Errno EnsureMaster()
    {
        if (_master != 0)
        {
            return Errno.None;
        }

        byte* buffer = stackalloc byte[16];
        uint number = Take();
        ByteName name = FolderAccess.WorkName(number, buffer);
        if (!_markedWhiteouts)
        {
            Errno error = PathOps.Mknodat(_fd, name.Pointer, ModeTypeChar, 0);
            if (error == Errno.None)
            {
                _master = number;
                return Errno.None;
            }

            if (error is not (Errno.EPERM or Errno.EACCES or Errno.EOPNOTSUPP or Errno.EINVAL))
            {
                return Failure.Note("work", "mknodat (whiteout)", error);
            }
        }

        // An upper on overlayfs, or a host that allows no device node at all: an empty file with an attribute (Linux 6.7's form).
        Errno made = Antares.Interop.Fd.Openat(
            _fd, name.Pointer, Fcntl.O_CREAT | Fcntl.O_EXCL | Fcntl.O_RDWR | Fcntl.O_CLOEXEC, 0x180, out int fd);
        if (made != Errno.None)
        {
            return Failure.Note("work", "openat (whiteout)", made);
        }

        byte yes = (byte)'y';
        made = Xattrs.Fsetxattr(fd, _marks.Whiteout, &yes, 1, 0);
        _ = Antares.Interop.Fd.Close(fd);
        if (made != Errno.None)
        {
            _ = PathOps.Unlinkat(_fd, name.Pointer, 0);
            return Failure.Note("work", "fsetxattr (whiteout)", made);
        }

        _markedWhiteouts = true;
        _master = number;
        return Errno.None;
    }

    private static Errno RemoveTree(int parentFd, ByteName name, int depth)
    {
        Errno error = PathOps.Unlinkat(parentFd, name.Pointer, Fcntl.AT_REMOVEDIR);
        if (error is Errno.None or Errno.ENOENT)
        {
            return Errno.None;
        }

        if (error == Errno.ENOTDIR)
        {
            return PathOps.Unlinkat(parentFd, name.Pointer, 0);
        }

        if (error is Errno.ENOTEMPTY or Errno.EEXIST)
        {
            // A directory made without permission bits (kernel overlayfs' work/work has mode 0) must be opened all the same.
            error = FolderAccess.OpenBeneath(parentFd, name, Fcntl.O_RDONLY | Fcntl.O_DIRECTORY, out int fd);
            if (error == Errno.EACCES)
            {
                _ = Antares.Interop.Attributes.Fchmodat(parentFd, name.Pointer, 0x1C0, Fcntl.AT_SYMLINK_NOFOLLOW);
                error = FolderAccess.OpenBeneath(parentFd, name, Fcntl.O_RDONLY | Fcntl.O_DIRECTORY, out fd);
            }

            if (error == Errno.None)
            {
                error = RemoveContents(fd, depth + 1, keepMarks: false);
                _ = Antares.Interop.Fd.Close(fd);
            }

            if (error == Errno.None)
            {
                error = PathOps.Unlinkat(parentFd, name.Pointer, Fcntl.AT_REMOVEDIR);
            }
        }

        return error;
    }

    private static Errno RemoveEntry(int fd, ByteName name, byte type, int depth) =>
        type == (byte)FileType.Directory ? RemoveTree(fd, name, depth) : PathOps.Unlinkat(fd, name.Pointer, 0);

    private static bool IsMark(ReadOnlySpan<byte> name) => name.SequenceEqual("incompat"u8) || LoanNotes.TryParseName(name, out _);

    private static Errno RemoveContents(int fd, int depth, bool keepMarks)
    {
        if (depth > 64)
        {
            // Directories that go to work are empty but for whiteouts; nothing of ours is this deep.
            return Errno.ELOOP;
        }

        const int Size = 16 * 1024;
        byte* buffer = (byte*)NativeMemory.Alloc(Size);
        Errno error = Errno.None;
        bool removed = true;
        while (error == Errno.None && removed)
        {
            removed = false;
            error = FileIo.Lseek(fd, 0, Fcntl.SEEK_SET, out _);
            int length = 0;
            while (error == Errno.None
                && (error = Directories.Getdents64(fd, buffer, Size, out length)) == Errno.None
                && length > 0)
            {
                for (int at = 0; at + 19 < length && error == Errno.None;)
                {
                    byte* record = buffer + at;
                    int size = *(ushort*)(record + 16);
                    if (size < 20 || size > length - at)
                    {
                        error = Errno.EIO;
                        break;
                    }

                    at += size;
                    var name = ByteName.FromNulTerminated(record + 19);
                    if (name.IsDotOrDotDot || (keepMarks && IsMark(name.Span)))
                    {
                        continue;
                    }

                    error = RemoveEntry(fd, name, record[18], depth);
                    if (error == Errno.EACCES && Antares.Interop.Attributes.Fchmod(fd, 0x1C0) == Errno.None)
                    {
                        // A read-only directory that was thrown away with what it holds.
                        error = RemoveEntry(fd, name, record[18], depth);
                    }

                    removed = true;
                }
            }
        }

        NativeMemory.Free(buffer);
        return error;
    }
}
