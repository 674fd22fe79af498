using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>Rights that an object of the upper has for a moment; give it back with <see cref="ModeLoans.Return"/>.</summary>
/// <param name="Fd">The object, open (O_PATH is enough) until the loan is returned.</param>
/// <param name="Mode">Its own mode.</param>
/// <param name="Note">Number of the note in the work directory, 0 without one.</param>
/// <param name="MovedNote">Number of a second note, for the place that it is about to be moved to; 0 without one.</param>
/// <param name="Active">False: nothing was lent.</param>
public readonly record struct ModeLoan(int Fd, uint Mode, uint Note, uint MovedNote, bool Active);

/// <summary>
/// Lends the owner's rights that an object of the upper lacks, for the length of one change. A server without privilege needs them where
/// the caller did not: a read-only directory is copied up with its entries, gets a new name, or is moved into the work
/// directory. Whether the caller may do what it asks for was checked by the kernel before.
/// </summary>
/// <remarks>
/// Called with the layer's gate held, under which attributes are shown too, so nobody in the mount sees a mode that is lent. A note
/// in the work directory (<see cref="LoanNotes"/>) outlives a crash in between, and the next mount gives the mode back
/// (<see cref="LoanRecovery"/>). Nothing is lent to a server that modes do not bind, nor for objects of other owners, nor where chmod
/// would take a set-group-id bit away for good.
/// </remarks>
public sealed unsafe class ModeLoans
{
    public const uint Read = 0x100;
    public const uint Write = 0x80;
    public const uint Search = 0x40;
    public const uint Change = Write | Search;
    public const uint All = Read | Write | Search;
    private const uint SetGroupId = 0x400;

    private readonly DirectoryTable _table;
    private readonly LoanNotes _notes;
    private readonly uint _user = Process.Geteuid();
    private int _active;

    /// <param name="table">Nodes of the upper.</param>
    /// <param name="workFd">Its work directory.</param>
    public ModeLoans(DirectoryTable table, int workFd)
    {
        _table = table;
        _notes = new LoanNotes(workFd);
    }

    /// <summary>
    /// False when a change of the mode would clear the set-group-id bit, as chmod does for those who are not in the object's group: such a
    /// mode could not be given back.
    /// </summary>
    public static bool KeepsMode(in stat attributes) =>
        (attributes.st_mode & SetGroupId) == 0 || Process.IsInGroup(attributes.st_gid) || Process.HasCapability(Process.CAP_FSETID);

    /// <summary>Lends what is lacking. Should it fail, the call that needs the rights says so.</summary>
    /// <param name="node">The object.</param>
    /// <param name="fd">A descriptor of it.</param>
    /// <param name="rights">Of <see cref="Read"/>, <see cref="Write"/>, <see cref="Search"/>.</param>
    /// <param name="loan">To be returned, also when nothing was lent.</param>
    public void Lend(uint node, int fd, uint rights, out ModeLoan loan) => Lend(node, fd, rights, 0, default, out loan);

    /// <summary>As above, for an object that is moved while it has the rights.</summary>
    /// <param name="node">The object.</param>
    /// <param name="fd">A descriptor of it.</param>
    /// <param name="rights">What it needs.</param>
    /// <param name="newDirectory">Directory that it is moved to; 0: the work directory, or it stays.</param>
    /// <param name="newName">Its name there.</param>
    /// <param name="loan">To be returned.</param>
    public void Lend(uint node, int fd, uint rights, uint newDirectory, ByteName newName, out ModeLoan loan)
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

        if ((attributes.st_mode & rights) == rights || !KeepsMode(in attributes))
        {
            return;
        }

        uint mode = attributes.st_mode & LoanNote.PermissionMask;
        uint note = TakeNote(node, default, attributes.st_ino, mode, mode | rights);
        uint moved = newDirectory == 0 ? 0 : TakeNote(newDirectory, newName, attributes.st_ino, mode, mode | rights);
        if (Attributes.Fchmodat(fd, Literal.Pointer(""u8), mode | rights, Fcntl.AT_EMPTY_PATH) != Errno.None)
        {
            DropNote(note);
            DropNote(moved);
            return;
        }

        _active++;
        loan = new ModeLoan(fd, mode, note, moved, true);
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
                DropNote(loan.MovedNote);
            }
        }
    }

    /// <summary>Notes the mode that an object is to have, before it is changed for a moment.</summary>
    /// <param name="node">A directory, or the object itself.</param>
    /// <param name="name">Name in that directory under which the object is or will be; default: the object itself.</param>
    /// <param name="inode">Inode number of the object in the upper's file system.</param>
    /// <param name="mode">Its mode.</param>
    /// <param name="lent">The mode that it gets for the moment.</param>
    /// <returns>Number for <see cref="DropNote"/>; 0: no note (the path is too long for one, or the object has none).</returns>
    public uint TakeNote(uint node, ByteName name, ulong inode, uint mode, uint lent)
    {
        byte* target = stackalloc byte[LoanNotes.Room];
        int at = LoanNotes.Room - 1;
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

        if (at == LoanNotes.Room - 1)
        {
            target[--at] = (byte)'.';
        }

        return _notes.Write(new LoanNote(mode, lent, inode), target, at);
    }

    /// <summary>The mode is as it should be again.</summary>
    public void DropNote(uint number) => _notes.Remove(number);

    private static bool Prepend(byte* target, ref int at, ByteName name)
    {
        if (at - name.Length - 1 < LoanNotes.NumbersRoom)
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
}
