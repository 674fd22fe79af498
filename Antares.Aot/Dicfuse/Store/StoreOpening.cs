using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Store;

/// <summary>Makes sure that a folder is a store, and this user's own, before anything in it is believed.</summary>
internal static unsafe class StoreOpening
{
    public const uint FolderMode = 0x1C0; // 0700

    /// <summary>A part of a name that nobody else takes.</summary>
    public static string RandomPart()
    {
        Span<byte> bytes = stackalloc byte[12];
        RandomNumberGenerator.Fill(bytes);
        return Convert.ToHexStringLower(bytes);
    }

    /// <summary>Content is believed by the names of files: nobody else may be able to put them there.</summary>
    /// <returns>None; EPERM: another user's, or others may write into it; as fstat(2).</returns>
    public static Errno CheckOwner(int root, ref string problem)
    {
        const uint WritableByOthers = 0x12; // 0022
        stat attributes;
        Errno error = Attributes.Fstat(root, &attributes);
        if (error != Errno.None)
        {
            return error;
        }

        if (attributes.st_uid != Process.Geteuid())
        {
            problem += string.Create(CultureInfo.InvariantCulture, $": belongs to user {attributes.st_uid}, and this is user {Process.Geteuid()}");
            return Errno.EPERM;
        }

        bool open = (attributes.st_mode & WritableByOthers) != 0;
        problem += open ? ": others may write into it (chmod go-w)" : "";
        return open ? Errno.EPERM : Errno.None;
    }

    /// <summary>Checks what the folder is; an empty one becomes a store.</summary>
    /// <returns>None; EPROTO: something else, or another version; otherwise as the system call that failed.</returns>
    public static Errno CheckFormat(int root, ref string problem) => CheckFormat(root, ref problem, isSecondLook: false);

    private static Errno CheckFormat(int root, ref string problem, bool isSecondLook)
    {
        const int Room = 64;
        byte* found = stackalloc byte[Room];
        fixed (byte* name = "format\0"u8)
        {
            Errno error = Fd.Openat(root, name, Fcntl.O_RDONLY | Fcntl.O_CLOEXEC, 0, out int fd);
            if (error == Errno.ENOENT)
            {
                return MakeFormat(root, ref problem, isSecondLook);
            }

            if (error != Errno.None)
            {
                problem += "/format";
                return error;
            }

            using var file = new OwnedFd(fd);
            error = FileIo.ReadFull(fd, found, Room, 0, out nuint got);
            if (error != Errno.None)
            {
                problem += "/format";
                return error;
            }

            bool ours = new ReadOnlySpan<byte>(found, (int)got).SequenceEqual(Encoding.ASCII.GetBytes(ObjectStore.FormatText));
            problem += ours ? "" : "/format: not a store of this version";
            return ours ? Errno.None : Errno.EPROTO;
        }
    }

    // A folder that holds anything else is somebody's: the store grows and is cleaned without asking.
    private static Errno MakeFormat(int root, ref string problem, bool isSecondLook)
    {
        Errno error = FolderIsEmpty(root, out bool empty);
        if (error == Errno.None && !empty && !isSecondLook)
        {
            // Another process may have made it between the two looks.
            return CheckFormat(root, ref problem, isSecondLook: true);
        }

        if (error != Errno.None || !empty)
        {
            problem += error == Errno.None ? ": neither empty nor a store" : "";
            return error == Errno.None ? Errno.EPROTO : error;
        }

        string temporary = $"format.{RandomPart()}";
        problem += "/" + temporary;
        using CString name = new(temporary);
        error = Fd.Openat(root, name, Fcntl.O_WRONLY | Fcntl.O_CREAT | Fcntl.O_TRUNC | Fcntl.O_CLOEXEC, 0x180, out int fd);
        if (error != Errno.None)
        {
            return error;
        }

        using (var file = new OwnedFd(fd))
        {
            byte[] text = Encoding.ASCII.GetBytes(ObjectStore.FormatText);
            fixed (byte* bytes = text)
            {
                error = FileIo.WriteFull(fd, bytes, (nuint)text.Length, 0);
            }
        }

        using CString final = new("format");
        return error == Errno.None ? PathOps.Renameat2(root, name, root, final, 0) : error;
    }

    private static Errno FolderIsEmpty(int root, out bool empty)
    {
        const int Room = 1024;
        byte* buffer = stackalloc byte[Room];
        empty = false;
        Errno error = FileIo.Lseek(root, 0, Fcntl.SEEK_SET, out _);
        int length = 0;
        if (error == Errno.None)
        {
            error = Directories.Getdents64(root, buffer, Room, out length);
        }

        if (error != Errno.None)
        {
            return error;
        }

        empty = true;
        for (int at = 0; at < length;)
        {
            var entry = (dirent64*)(buffer + at);
            at += entry->d_reclen;
            Base.ByteName name = Base.ByteName.FromNulTerminated(entry->d_name);
            // Another process may be making the same store.
            empty &= name.IsDotOrDotDot || name.Span.StartsWith("format."u8);
        }

        return Errno.None;
    }

    /// <summary>Makes a folder of the store unless it is there.</summary>
    public static Errno MakeFolder(int root, string name, ref string problem)
    {
        using CString path = new(name);
        Errno error = PathOps.Mkdirat(root, path, FolderMode);
        if (error is Errno.None or Errno.EEXIST)
        {
            return Errno.None;
        }

        problem += "/" + name;
        return error;
    }

    /// <summary>Opens a file of the store, and makes it where it is not there.</summary>
    public static Errno OpenFile(int root, string name, ref string problem, out OwnedFd? file)
    {
        using CString path = new(name);
        Errno error = Fd.Openat(root, path, Fcntl.O_RDWR | Fcntl.O_CREAT | Fcntl.O_CLOEXEC, 0x180, out int fd);
        file = error == Errno.None ? new OwnedFd(fd) : null;
        problem += error == Errno.None ? "" : "/" + name;
        return error;
    }
}
