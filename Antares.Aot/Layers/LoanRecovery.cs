using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;
using Attributes = Antares.Interop.Attributes;

namespace Antares.Aot.Layers;

/// <summary>Gives back the modes that a server without privilege lent, noted and, having been killed, did not give back itself.</summary>
/// <remarks>
/// A work directory is data, perhaps somebody else's: a note is obeyed only by a server that lends itself, when the note, the work
/// directory and the object belong to that server's user, and only to take away rights of the owner that a loan can have added.
/// A note that cannot be followed now is kept for the next mount; one that proves void or not a loan's is removed.
/// </remarks>
internal sealed unsafe class LoanRecovery
{
    private const uint SearchByOwner = 0x40;

    /// <summary>Notes looked at in one mount; a server has a handful at a time.</summary>
    private const int Most = 1024;

    private readonly int _workFd;
    private readonly int _upperFd;
    private readonly uint _user = Process.Geteuid();
    private readonly LoanNotes _notes;
    private int _givenBack;
    private int _refused;

    private LoanRecovery(int workFd, int upperFd)
    {
        _workFd = workFd;
        _upperFd = upperFd;
        _notes = new LoanNotes(workFd);
    }

    private enum Outcome
    {
        GivenBack,
        Void,
        Refused,

        /// <summary>Another mode than the one that was lent: another note of the same object may come first.</summary>
        OtherMode,

        /// <summary>It could not be looked at, or the mode not be changed.</summary>
        Later,
    }

    /// <summary>True when notes were left for a later mount.</summary>
    public static bool LeftNotes(int workFd) => List(workFd).Count > 0;

    /// <summary>To be called before the work directory is cleaned, with the upper locked.</summary>
    /// <param name="workFd">The work directory.</param>
    /// <param name="upperFd">The upper's root.</param>
    /// <param name="log">Told in one line of each kind of note that there was.</param>
    public static void Run(int workFd, int upperFd, Log log)
    {
        List<uint> numbers = List(workFd);
        if (numbers.Count == 0)
        {
            return;
        }

        string notes = $"{numbers.Count} notes of modes lent by a server without privilege that was killed (lent-* in {PathOf(workFd)})";
        if (Process.HasCapability(Process.CAP_DAC_OVERRIDE))
        {
            log.Warn($"{notes} are left alone: mount the upper once as the user of that server, who gets the modes back");
            return;
        }

        stat work;
        if (Attributes.Fstat(workFd, &work) != Errno.None || work.st_uid != Process.Geteuid())
        {
            log.Warn($"{notes} are left alone: the work directory belongs to another user");
            return;
        }

        new LoanRecovery(workFd, upperFd).Follow(numbers, log);
    }

    private void Follow(List<uint> numbers, Log log)
    {
        byte* buffer = (byte*)NativeMemory.Alloc(LoanNotes.Room);
        byte* prefix = (byte*)NativeMemory.Alloc(LoanNotes.Room);

        // Loans of one object lie in each other; each note names the mode that the one before it left, so they undo each other in turn.
        numbers.Sort((a, b) => b.CompareTo(a));
        int before;
        do
        {
            before = _givenBack;
            _ = numbers.RemoveAll(number => Settle(number, Apply(number, buffer, prefix)));
        }
        while (_givenBack > before && numbers.Count > 0);

        // What no note explains is a mode that somebody chose since.
        _ = numbers.RemoveAll(number => Apply(number, buffer, prefix) == Outcome.OtherMode && Settle(number, Outcome.Void));
        NativeMemory.Free(prefix);
        NativeMemory.Free(buffer);
        if (_givenBack > 0)
        {
            log.Info($"{_givenBack} modes that a server had lent when it was killed were given back");
        }

        if (_refused > 0)
        {
            log.Warn($"{_refused} notes in {PathOf(_workFd)} (lent-*) were removed unheeded: they are another user's, or ask for more than a server lends");
        }

        if (numbers.Count > 0)
        {
            log.Warn($"{numbers.Count} notes of modes lent (lent-* in {PathOf(_workFd)}) could not be followed and are kept for the next mount: {Failure.Layer}: {Failure.Call}");
        }
    }

    private bool Settle(uint number, Outcome outcome)
    {
        _givenBack += outcome == Outcome.GivenBack ? 1 : 0;
        _refused += outcome == Outcome.Refused ? 1 : 0;
        bool settled = outcome is Outcome.GivenBack or Outcome.Void or Outcome.Refused;
        if (settled)
        {
            _notes.Remove(number);
        }

        return settled;
    }

    private Outcome Apply(uint number, byte* buffer, byte* prefix)
    {
        byte* name = stackalloc byte[LoanNotes.NameRoom];
        LoanNotes.NameOf(number, name);
        stat attributes;
        if (Attributes.Fstatat(_workFd, name, &attributes, Fcntl.AT_SYMLINK_NOFOLLOW) != Errno.None)
        {
            return Outcome.Void;
        }

        if (attributes.st_uid != _user || !_notes.TryRead(number, buffer, out LoanNote note, out ByteName path) || !note.IsLoan)
        {
            return Outcome.Refused;
        }

        Errno error = Walk(path, prefix, out int fd);
        if (error != Errno.None)
        {
            // Nothing there, or something else: ENOTDIR, a symbolic link, a way out of the upper.
            return error is Errno.ENOENT or Errno.ENOTDIR or Errno.ELOOP or Errno.EXDEV or Errno.ENAMETOOLONG ? Outcome.Void : Outcome.Later;
        }

        Outcome outcome = Outcome.Later;
        if (Attributes.Fstat(fd, &attributes) == Errno.None)
        {
            outcome = Judge(in attributes, in note);
        }

        if (outcome == Outcome.GivenBack
            && Failure.Note("upper", "fchmodat (mode lent)", Attributes.Fchmodat(fd, Literal.Pointer(""u8), note.Mode, Fcntl.AT_EMPTY_PATH)) != Errno.None)
        {
            outcome = Outcome.Later;
        }

        _ = Fd.Close(fd);
        return outcome;
    }

    private Outcome Judge(in stat attributes, in LoanNote note)
    {
        uint mode = attributes.st_mode & LoanNote.PermissionMask;
        if (attributes.st_ino != note.Inode)
        {
            return Outcome.Void;
        }

        if (attributes.st_uid != _user || FileTypes.FromMode(attributes.st_mode) is not (FileType.Directory or FileType.Regular))
        {
            return Outcome.Refused;
        }

        if (mode == note.Lent)
        {
            return ModeLoans.KeepsMode(in attributes) ? Outcome.GivenBack : Outcome.Refused;
        }

        return mode == note.Mode ? Outcome.Void : Outcome.OtherMode;
    }

    /// <summary>Opens what a path of the upper leads to, name by name; a directory that its owner may not search is lent that right.</summary>
    /// <param name="path">Relative; its slashes are written over.</param>
    /// <param name="prefix">Room for the path of each directory on the way.</param>
    /// <param name="fd">O_PATH descriptor, owned by the caller.</param>
    private Errno Walk(ByteName path, byte* prefix, out int fd)
    {
        fd = -1;
        int directory = _upperFd;
        for (int at = 0; ;)
        {
            int end = at;
            while (end < path.Length && path.Pointer[end] != (byte)'/')
            {
                end++;
            }

            bool last = end == path.Length;
            path.Pointer[end] = 0;
            var name = new ByteName(path.Pointer + at, end - at);
            Errno error = name.Length == 0 ? Errno.ENOENT : OpenBeneath(directory, name, new ReadOnlySpan<byte>(path.Pointer, Math.Max(0, at - 1)), prefix, out fd);
            if (directory != _upperFd)
            {
                _ = Fd.Close(directory);
            }

            if (!last)
            {
                // As it was, for the paths of the directories further down.
                path.Pointer[end] = (byte)'/';
            }

            if (error != Errno.None || last)
            {
                return Failure.Note("upper", "openat2 (mode lent)", error);
            }

            directory = fd;
            at = end + 1;
        }
    }

    private Errno OpenBeneath(int directory, ByteName name, ReadOnlySpan<byte> path, byte* prefix, out int fd)
    {
        Errno error = FolderAccess.OpenBeneath(directory, name, Fcntl.O_PATH, out fd);
        stat attributes;
        if (error != Errno.EACCES || Attributes.Fstat(directory, &attributes) != Errno.None
            || attributes.st_uid != _user || (attributes.st_mode & SearchByOwner) != 0 || !ModeLoans.KeepsMode(in attributes))
        {
            return error;
        }

        // Noted as any loan, since this process may be killed too.
        uint mode = attributes.st_mode & LoanNote.PermissionMask;
        int length = path.Length == 0 ? 1 : path.Length;
        int at = LoanNotes.Room - 1 - length;
        if (at < LoanNotes.NumbersRoom)
        {
            return error;
        }

        prefix[at] = (byte)'.';
        path.CopyTo(new Span<byte>(prefix + at, length));
        prefix[at + length] = 0;
        uint note = _notes.Write(new LoanNote(mode, mode | SearchByOwner, attributes.st_ino), prefix, at);
        if (note == 0)
        {
            return error;
        }

        Errno lent = Attributes.Fchmodat(directory, Literal.Pointer(""u8), mode | SearchByOwner, Fcntl.AT_EMPTY_PATH);
        if (lent == Errno.None)
        {
            error = FolderAccess.OpenBeneath(directory, name, Fcntl.O_PATH, out fd);
            lent = Failure.Note("upper", "fchmodat (mode lent)", Attributes.Fchmodat(directory, Literal.Pointer(""u8), mode, Fcntl.AT_EMPTY_PATH));
        }

        if (lent == Errno.None)
        {
            _notes.Remove(note);
        }

        return error;
    }

    private static List<uint> List(int workFd)
    {
        const int Size = 16 * 1024;
        var numbers = new List<uint>();
        byte* buffer = (byte*)NativeMemory.Alloc(Size);
        Errno error = FileIo.Lseek(workFd, 0, Fcntl.SEEK_SET, out _);
        while (error == Errno.None && Directories.Getdents64(workFd, buffer, Size, out int length) == Errno.None && length > 0)
        {
            // SAFETY: the kernel fills whole records, each with d_reclen bytes and a NUL-terminated name.
            for (int at = 0; at < length;)
            {
                var entry = (dirent64*)(buffer + at);
                at += entry->d_reclen;
                if (LoanNotes.TryParseName(ByteName.FromNulTerminated(entry->d_name).Span, out uint number) && numbers.Count < Most)
                {
                    numbers.Add(number);
                }
            }
        }

        NativeMemory.Free(buffer);
        return numbers;
    }

    private static string PathOf(int fd)
    {
        byte* link = stackalloc byte[ProcFd.Capacity];
        byte* target = stackalloc byte[LoanNotes.Room];
        ProcFd.Write(link, fd);
        return PathOps.Readlinkat(Fcntl.AT_FDCWD, link, target, LoanNotes.Room, out int length) == Errno.None
            ? System.Text.Encoding.UTF8.GetString(target, length)
            : "the work directory";
    }
}
