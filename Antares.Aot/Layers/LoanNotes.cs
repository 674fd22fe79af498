using System.Buffers.Text;
using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>What a note says of an object whose mode was lent rights.</summary>
/// <param name="Mode">Its own mode, 07777 of it.</param>
/// <param name="Lent">The mode that it was given for the moment.</param>
/// <param name="Inode">Its inode number in the upper's file system.</param>
internal readonly record struct LoanNote(uint Mode, uint Lent, ulong Inode)
{
    private const uint OwnerRights = 0x1C0;

    /// <summary>True when a loan can have written this: it adds rights of the owner, and changes nothing else.</summary>
    public bool IsLoan => Lent <= PermissionMask && (Mode & ~Lent) == 0 && Lent != Mode && (Lent & ~Mode & ~OwnerRights) == 0;

    /// <summary>Bits of a mode that chmod sets.</summary>
    public const uint PermissionMask = 0xFFF;
}

/// <summary>
/// The notes of modes lent, for whoever comes after a crash: symbolic links <c>lent-N</c> in the work directory, made and removed by one
/// atomic call each, whose target is "mode lent-mode inode path", numbers in decimal, the path from the upper's root.
/// </summary>
/// <param name="workFd">The work directory.</param>
internal sealed unsafe class LoanNotes(int workFd)
{
    /// <summary>Bytes of a buffer in which a note is put together, the NUL included.</summary>
    public const int Room = 4096;

    /// <summary>Bytes at the front of that buffer that the numbers may need.</summary>
    public const int NumbersRoom = 36;

    /// <summary>Bytes that a name may need.</summary>
    public const int NameRoom = 16;

    private const uint LargestNumber = 0xFFFFFF;
    private const int Attempts = 256;

    private uint _last;

    /// <summary>How the name of a note begins.</summary>
    public static ReadOnlySpan<byte> Prefix => "lent-"u8;

    /// <summary>Writes a note.</summary>
    /// <param name="note">What to note.</param>
    /// <param name="buffer">Holds the path from <paramref name="at"/> on, NUL-terminated; its front is written over.</param>
    /// <param name="at">Where the path begins, at least <see cref="NumbersRoom"/>.</param>
    /// <returns>Number for <see cref="Remove"/>; 0: it could not be made.</returns>
    public uint Write(in LoanNote note, byte* buffer, int at)
    {
        Prepend(buffer, ref at, note.Inode);
        Prepend(buffer, ref at, note.Lent);
        Prepend(buffer, ref at, note.Mode);
        byte* name = stackalloc byte[NameRoom];
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            _last = _last >= LargestNumber ? 1 : _last + 1;
            NameOf(_last, name);
            Errno error = PathOps.Symlinkat(buffer + at, workFd, name);
            if (error != Errno.EEXIST)
            {
                return error == Errno.None ? _last : 0;
            }

            // A note kept from an earlier mount has this number.
        }

        return 0;
    }

    /// <summary>Removes a note; 0 is none.</summary>
    public void Remove(uint number)
    {
        if (number != 0)
        {
            byte* name = stackalloc byte[NameRoom];
            NameOf(number, name);
            // One that stays is harmless: the object no longer has the mode that it says was lent.
            _ = PathOps.Unlinkat(workFd, name, 0);
        }
    }

    /// <summary>Reads the number from a name; false for other names.</summary>
    public static bool TryParseName(ReadOnlySpan<byte> name, out uint number)
    {
        number = 0;
        if (!name.StartsWith(Prefix)
            || !Utf8Parser.TryParse(name[Prefix.Length..], out number, out _)
            || number is 0 or > LargestNumber)
        {
            return false;
        }

        // One spelling for each number: what has another is no note of ours, and would not be found again by its number.
        byte* own = stackalloc byte[NameRoom];
        NameOf(number, own);
        return name.SequenceEqual(System.Runtime.InteropServices.MemoryMarshal.CreateReadOnlySpanFromNullTerminated(own));
    }

    /// <summary>Reads a note.</summary>
    /// <param name="number">Its number.</param>
    /// <param name="buffer">At least <see cref="Room"/> bytes; receives the target, NUL-terminated.</param>
    /// <param name="note">What it says; not checked but for its form.</param>
    /// <param name="path">The path, within the buffer: not empty, not absolute.</param>
    /// <returns>False: there is none, or it is in no form of ours.</returns>
    public bool TryRead(uint number, byte* buffer, out LoanNote note, out ByteName path)
    {
        note = default;
        path = default;
        byte* name = stackalloc byte[NameRoom];
        NameOf(number, name);
        if (PathOps.Readlinkat(workFd, name, buffer, Room - 1, out int length) != Errno.None || length >= Room - 1)
        {
            return false;
        }

        buffer[length] = 0;
        int at = 0;
        if (!TryTake(buffer, length, ref at, out ulong mode) || !TryTake(buffer, length, ref at, out ulong lent)
            || !TryTake(buffer, length, ref at, out ulong inode) || mode > uint.MaxValue || lent > uint.MaxValue
            || at >= length || buffer[at] == (byte)'/')
        {
            return false;
        }

        note = new LoanNote((uint)mode, (uint)lent, inode);
        path = new ByteName(buffer + at, length - at);
        return true;
    }

    /// <summary>Name of a note, NUL-terminated.</summary>
    public static void NameOf(uint number, byte* name)
    {
        var target = new Span<byte>(name, NameRoom);
        Prefix.CopyTo(target);
        // Eight digits at most: always fits.
        _ = Utf8Formatter.TryFormat(number, target[Prefix.Length..], out int digits);
        name[Prefix.Length + digits] = 0;
    }

    private static bool TryTake(byte* text, int length, ref int at, out ulong number)
    {
        bool taken = Utf8Parser.TryParse(new ReadOnlySpan<byte>(text + at, length - at), out number, out int used)
            && at + used < length && text[at + used] == (byte)' ';
        at += used + 1;
        return taken;
    }

    private static void Prepend(byte* target, ref int at, ulong number)
    {
        target[--at] = (byte)' ';
        do
        {
            target[--at] = (byte)('0' + (number % 10));
            number /= 10;
        }
        while (number != 0);
    }
}
