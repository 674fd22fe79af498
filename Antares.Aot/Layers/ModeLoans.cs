using System.Buffers.Text;
using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>Rights that an object of the upper has for a moment; give it back with <see cref="ModeLoans.Return"/>.</summary>
/// <param name="Fd">The object, open (O_PATH is enough) until the loan is returned.</param>
/// <param name="Mode">Its own mode.</param>
/// <param name="Note">Number of the note in the work directory, 0 without one.</param>
/// <param name="Active">False: nothing was lent.</param>
public readonly record struct ModeLoan(int Fd, uint Mode, uint Note, bool Active);

/// <summary>
/// Lends the owner's rights that an object of the upper lacks, for the length of one change. A server without privilege needs them where
/// the caller did not: a read-only directory is copied up with its entries, gets a new name, or is moved into the work
/// directory. Whether the caller may do what it asks for was checked by the kernel before.
/// </summary>
/// <remarks>
/// Called with the layer's gate held, under which attributes are shown too, so nobody in the mount sees a mode that is lent. A note
/// in the work directory (a symbolic link whose target is mode, inode number and path) outlives a crash in between, and the next
/// mount gives the mode back. Nothing is lent to a server that modes do not bind, nor for objects of other owners.
/// </remarks>
public sealed unsafe class ModeLoans
{
    public const uint Read = 0x100;
    public const uint Write = 0x80;
    public const uint Search = 0x40;
    public const uint Change = Write | Search;

    private const uint All = Read | Write | Search;
    private const uint PermissionMask = 0xFFF;
    private const int NoteRoom = 4096;
    private const int MostNotes = 16;

    private readonly DirectoryTable _table;
    private readonly int _workFd;
    private readonly uint _user = Process.Geteuid();
    private uint _next;
    private int _active;

    /// <param name="table">Nodes of the upper.</param>
    /// <param name="workFd">Its work directory.</param>
    public ModeLoans(DirectoryTable table, int workFd)
    {
        _table = table;
        _workFd = workFd;
    }

    private static ReadOnlySpan<byte> NotePrefix => "lent-"u8;

    /// <summary>Lends what is lacking. Should it fail, the call that needs the rights says so.</summary>
    /// <param name="node">The object.</param>
    /// <param name="fd">A descriptor of it.</param>
    /// <param name="rights">Of <see cref="Read"/>, <see cref="Write"/>, <see cref="Search"/>.</param>
    /// <param name="loan">To be returned, also when nothing was lent.</param>
    public void Lend(uint node, int fd, uint rights, out ModeLoan loan)
    {
        loan = default;
        FolderNode* record = _table.Node(node);
        stat attributes;
        if ((record->Flags & FolderNodeFlags.OwnerUnbound) != 0 || Attributes.Fstat(fd, &attributes) != Errno.None)
        {
            return;
        }

        if (attributes.st_uid != _user || (attributes.st_mode & All) == All)
        {
            // Within another loan this may be its doing.
            record->Flags |= _active == 0 ? FolderNodeFlags.OwnerUnbound : 0;
            return;
        }

        if ((attributes.st_mode & rights) == rights)
        {
            return;
        }

        uint mode = attributes.st_mode & PermissionMask;
        uint note = TakeNote(node, default, attributes.st_ino, mode);
        if (Attributes.Fchmodat(fd, Literal.Pointer(""u8), mode | rights, Fcntl.AT_EMPTY_PATH) != Errno.None)
        {
            DropNote(note);
            return;
        }

        _active++;
        loan = new ModeLoan(fd, mode, note, true);
    }

    /// <summary>Gives the object its own mode back.</summary>
    public void Return(in ModeLoan loan)
    {
        if (loan.Active)
        {
            _active--;
            Errno error = Attributes.Fchmodat(loan.Fd, Literal.Pointer(""u8), loan.Mode, Fcntl.AT_EMPTY_PATH);
            if (Failure.Note("upper", "fchmodat (mode lent)", error) == Errno.None)
            {
                DropNote(loan.Note);
            }
        }
    }

    /// <summary>Notes the mode that an object is to have, before it is changed for a moment.</summary>
    /// <param name="node">A directory, or the object itself.</param>
    /// <param name="name">Name in that directory under which the object is or will be; default: the object itself.</param>
    /// <param name="inode">Inode number of the object in the upper's file system.</param>
    /// <param name="mode">Its mode.</param>
    /// <returns>Number for <see cref="DropNote"/>; 0: no note (the path is too long for one, or the object has none).</returns>
    public uint TakeNote(uint node, ByteName name, ulong inode, uint mode)
    {
        byte* target = stackalloc byte[NoteRoom];
        int at = NoteRoom - 1;
        target[at] = 0;
        if (name.Length > 0 && !Prepend(target, ref at, name))
        {
            return 0;
        }

        for (uint current = node; current != ILayer.RootNode;)
        {
            FolderNode* record = _table.Node(current);
            if (record->Place != NodePlace.Linked || record->FirstName == 0
                || !Prepend(target, ref at, _table.Name(record->FirstName)->ByteName))
            {
                return 0;
            }

            current = _table.Name(record->FirstName)->Parent;
        }

        if (at == NoteRoom - 1)
        {
            target[--at] = (byte)'.';
        }

        PrependNumber(target, ref at, inode);
        PrependNumber(target, ref at, mode);
        byte* noteName = stackalloc byte[16];
        uint number = ++_next;
        NoteName(number, noteName);
        return PathOps.Symlinkat(target + at, _workFd, noteName) == Errno.None ? number : 0;
    }

    /// <summary>The mode is as it should be again.</summary>
    public void DropNote(uint number)
    {
        if (number != 0)
        {
            byte* name = stackalloc byte[16];
            NoteName(number, name);
            // A note that stays is harmless: it says what the mode is.
            _ = PathOps.Unlinkat(_workFd, name, 0);
        }
    }

    /// <summary>Gives back the modes that a server noted and, having crashed, did not give back itself. Before the work directory is cleaned.</summary>
    public static void Recover(int workFd, int upperFd)
    {
        byte* buffer = (byte*)NativeMemory.Alloc(NoteRoom);
        int* fds = stackalloc int[MostNotes];
        uint* modes = stackalloc uint[MostNotes];
        uint* numbers = stackalloc uint[MostNotes];
        int count = 0;
        Errno error = FileIo.Lseek(workFd, 0, Fcntl.SEEK_SET, out _);
        while (error == Errno.None && Directories.Getdents64(workFd, buffer, NoteRoom, out int length) == Errno.None && length > 0)
        {
            for (int at = 0; at + 19 < length; at += Math.Max((int)*(ushort*)(buffer + at + 16), 20))
            {
                var name = ByteName.FromNulTerminated(buffer + at + 19);
                if (count < MostNotes && name.Span.StartsWith(NotePrefix)
                    && Utf8Parser.TryParse(name.Span[NotePrefix.Length..], out numbers[count], out _)
                    && OpenNoted(workFd, name, upperFd, out fds[count], out modes[count]))
                {
                    count++;
                }
            }
        }

        NativeMemory.Free(buffer);

        // All are open before the first mode is given back: without it a directory may bar the way to the next. The oldest note of an
        // object comes last: it has the mode that was the object's own.
        for (; count > 0; count--)
        {
            int newest = 0;
            for (int i = 1; i < count; i++)
            {
                newest = numbers[i] > numbers[newest] ? i : newest;
            }

            _ = Failure.Note(
                "upper", "fchmodat (mode lent)", Attributes.Fchmodat(fds[newest], Literal.Pointer(""u8), modes[newest], Fcntl.AT_EMPTY_PATH));
            _ = Fd.Close(fds[newest]);
            fds[newest] = fds[count - 1];
            modes[newest] = modes[count - 1];
            numbers[newest] = numbers[count - 1];
        }
    }

    private static bool OpenNoted(int workFd, ByteName note, int upperFd, out int fd, out uint mode)
    {
        byte* target = stackalloc byte[NoteRoom];
        fd = -1;
        mode = 0;
        if (PathOps.Readlinkat(workFd, note.Pointer, target, NoteRoom - 1, out int length) != Errno.None)
        {
            return false;
        }

        target[length] = 0;
        var text = new ReadOnlySpan<byte>(target, length);
        if (!Utf8Parser.TryParse(text, out mode, out int used) || used + 1 >= length
            || !Utf8Parser.TryParse(text[(used + 1)..], out ulong inode, out int more) || used + more + 2 >= length)
        {
            return false;
        }

        byte* path = target + used + more + 2;
        var how = new open_how
        {
            flags = Fcntl.O_PATH | Fcntl.O_NOFOLLOW | Fcntl.O_CLOEXEC,
            resolve = Fcntl.RESOLVE_BENEATH | Fcntl.RESOLVE_NO_SYMLINKS | Fcntl.RESOLVE_NO_MAGICLINKS,
        };
        if (Fd.Openat2(upperFd, path, in how, out fd) != Errno.None)
        {
            return false;
        }

        // Another object has come to this place: the note is not about it.
        stat attributes;
        if (mode <= PermissionMask && Attributes.Fstat(fd, &attributes) == Errno.None && attributes.st_ino == inode
            && FileTypes.FromMode(attributes.st_mode) is FileType.Directory or FileType.Regular)
        {
            return true;
        }

        _ = Fd.Close(fd);
        return false;
    }

    private static bool Prepend(byte* target, ref int at, ByteName name)
    {
        // Room for "mode inode " stays.
        if (at - name.Length - 1 < 32)
        {
            return false;
        }

        if (target[at] != 0)
        {
            target[--at] = (byte)'/';
        }

        at -= name.Length;
        name.Span.CopyTo(new Span<byte>(target + at, name.Length));
        return true;
    }

    private static void PrependNumber(byte* target, ref int at, ulong number)
    {
        target[--at] = (byte)' ';
        do
        {
            target[--at] = (byte)('0' + (number % 10));
            number /= 10;
        }
        while (number != 0);
    }

    private static void NoteName(uint number, byte* name)
    {
        NotePrefix.CopyTo(new Span<byte>(name, 16));
        _ = Utf8Formatter.TryFormat(number & 0xFFFFFF, new Span<byte>(name + NotePrefix.Length, 10), out int digits);
        name[NotePrefix.Length + digits] = 0;
    }
}
