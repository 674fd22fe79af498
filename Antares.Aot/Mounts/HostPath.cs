using System.Text;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>
/// Paths of the host as the user gave them: the few system calls on them that preparing a mount needs, with managed strings in and
/// an <see cref="Errno"/> out. Cold path: allocates.
/// </summary>
/// <remarks>
/// Not <see cref="System.IO"/>: that folds errnos into fewer exceptions, and a mount's error message has to tell ENOENT, ENOTDIR,
/// EACCES and ENOTCONN apart.
/// </remarks>
public static unsafe class HostPath
{
    /// <summary>The bytes of a path with a NUL at the end.</summary>
    public static byte[] Bytes(string path)
    {
        var bytes = new byte[Encoding.UTF8.GetByteCount(path) + 1];
        _ = Encoding.UTF8.GetBytes(path, bytes); // the length is known
        return bytes;
    }

    /// <summary>An absolute path without "." and ".." and without a slash at the end; links are not followed.</summary>
    public static string Absolute(string path)
    {
        var full = Path.GetFullPath(path);
        return full.Length > 1 ? full.TrimEnd('/') is { Length: > 0 } trimmed ? trimmed : "/" : full;
    }

    /// <summary>The attributes of what a path leads to (<paramref name="follow"/>) or of the path itself.</summary>
    public static Errno Stat(string path, out stat attributes, bool follow = true)
    {
        fixed (byte* name = Bytes(path))
        fixed (stat* result = &attributes)
        {
            return Attributes.Fstatat(Fcntl.AT_FDCWD, name, result, follow ? 0 : Fcntl.AT_SYMLINK_NOFOLLOW);
        }
    }

    /// <summary>True when the path leads to something that can be asked for its attributes.</summary>
    public static bool Exists(string path) => Stat(path, out _) == Errno.None;

    /// <summary>Opens a path.</summary>
    /// <param name="path">Absolute or relative path.</param>
    /// <param name="flags">O_ flags; O_CLOEXEC is added.</param>
    /// <param name="mode">Mode of a file that is made.</param>
    /// <param name="fd">The descriptor; the caller closes it.</param>
    public static Errno Open(string path, int flags, uint mode, out int fd)
    {
        fixed (byte* name = Bytes(path))
        {
            return Fd.Open(name, flags | Fcntl.O_CLOEXEC, mode, out fd);
        }
    }

    /// <summary>Opens a folder for reading.</summary>
    public static Errno OpenFolder(string path, out int fd) =>
        Open(path, Fcntl.O_RDONLY | Fcntl.O_DIRECTORY, 0, out fd);

    /// <summary>Asks whether this process may make and remove files in a folder, or may give itself that right as its owner.</summary>
    /// <returns>None; EACCES; EROFS: a read-only file system.</returns>
    public static Errno MayWrite(string folder)
    {
        Errno error;
        fixed (byte* name = Bytes(folder))
        {
            error = Attributes.Faccessat(Fcntl.AT_FDCWD, name, Fcntl.R_OK | Fcntl.W_OK | Fcntl.X_OK, Fcntl.AT_EACCESS);
        }

        return error == Errno.EACCES && Stat(folder, out var attributes) == Errno.None && attributes.st_uid == Process.Geteuid()
            ? Errno.None
            : error;
    }

    /// <summary>True for a file of this process's user that none of the given permission bits opens to others.</summary>
    public static bool IsOwnAndClosed(int fd, uint permissions)
    {
        stat attributes;
        return Attributes.Fstat(fd, &attributes) == Errno.None && attributes.st_uid == Process.Geteuid() && (attributes.st_mode & permissions) == 0;
    }

    public static Errno MakeFolder(string path, uint mode)
    {
        fixed (byte* name = Bytes(path))
        {
            return PathOps.Mkdirat(Fcntl.AT_FDCWD, name, mode);
        }
    }

    /// <summary>Makes a folder and those above it that are missing. One that is there already is success.</summary>
    public static Errno MakeFolders(string path, uint mode)
    {
        var error = MakeFolder(path, mode);
        if (error == Errno.ENOENT && Path.GetDirectoryName(path) is { Length: > 0 } above)
        {
            error = MakeFolders(above, mode);
            if (error == Errno.None)
            {
                error = MakeFolder(path, mode);
            }
        }

        return error == Errno.EEXIST ? Errno.None : error;
    }

    public static Errno RemoveFile(string path)
    {
        fixed (byte* name = Bytes(path))
        {
            return PathOps.Unlinkat(Fcntl.AT_FDCWD, name, 0);
        }
    }

    public static Errno RemoveFolder(string path)
    {
        fixed (byte* name = Bytes(path))
        {
            return PathOps.Unlinkat(Fcntl.AT_FDCWD, name, Fcntl.AT_REMOVEDIR);
        }
    }

    public static Errno Rename(string from, string to)
    {
        fixed (byte* old = Bytes(from))
        fixed (byte* now = Bytes(to))
        {
            return PathOps.Renameat2(Fcntl.AT_FDCWD, old, Fcntl.AT_FDCWD, now, 0);
        }
    }

    public static Errno ReadLink(string path, out string target)
    {
        const int Room = 4096;
        var buffer = stackalloc byte[Room];
        fixed (byte* name = Bytes(path))
        {
            var error = PathOps.Readlinkat(Fcntl.AT_FDCWD, name, buffer, Room, out var length);
            target = error == Errno.None ? Encoding.UTF8.GetString(buffer, length) : "";
            return error;
        }
    }

    /// <summary>
    /// The path without links that an open descriptor stands for. Without /proc the given path stands: then overlaps through links are
    /// not seen.
    /// </summary>
    public static string RealPathOf(int fd, string otherwise) =>
        ReadLink($"/proc/self/fd/{fd}", out var target) == Errno.None && target.StartsWith('/') ? target : Absolute(otherwise);

    /// <summary>The path without links; works for the mount point of a dead mount too.</summary>
    public static Errno RealPath(string path, out string real)
    {
        var error = Open(path, Fcntl.O_PATH, 0, out var fd);
        if (error != Errno.None)
        {
            real = Absolute(path);
            return error;
        }

        using var owned = new OwnedFd(fd);
        real = RealPathOf(fd, path);
        return Errno.None;
    }

    /// <summary>False for a path that was read from bytes that are not UTF-8: it names something else now.</summary>
    public static bool IsFaithful(string path) => !path.Contains('\uFFFD');

    /// <summary>True when <paramref name="path"/> is <paramref name="folder"/> or lies in it. Both real paths.</summary>
    public static bool IsSameOrInside(string path, string folder) =>
        path == folder || folder == "/" || (path.StartsWith(folder, StringComparison.Ordinal) && path[folder.Length] == '/');

    /// <summary>The whole of a small file (state, /proc).</summary>
    public static Errno ReadAll(string path, out byte[] content)
    {
        content = [];
        var error = Open(path, Fcntl.O_RDONLY, 0, out var fd);
        if (error != Errno.None)
        {
            return error;
        }

        using var owned = new OwnedFd(fd);
        var buffer = new byte[4096];
        var length = 0;
        while (true)
        {
            if (length == buffer.Length)
            {
                Array.Resize(ref buffer, buffer.Length * 2);
            }

            fixed (byte* at = &buffer[length])
            {
                error = FileIo.Read(fd, at, (nuint)(buffer.Length - length), out var got);
                if (error != Errno.None)
                {
                    return error;
                }

                if (got == 0)
                {
                    break;
                }

                length += (int)got;
            }
        }

        content = buffer[..length];
        return Errno.None;
    }

    /// <summary>Replaces the content of a file, making it when it is missing.</summary>
    public static Errno WriteAll(string path, ReadOnlySpan<byte> content, uint mode)
    {
        var error = Open(path, Fcntl.O_WRONLY | Fcntl.O_CREAT | Fcntl.O_TRUNC, mode, out var fd);
        if (error != Errno.None)
        {
            return error;
        }

        using var owned = new OwnedFd(fd);
        return Write(fd, content);
    }

    /// <summary>Writes all bytes to a file, pipe or socket at its own place.</summary>
    public static Errno Write(int fd, ReadOnlySpan<byte> content)
    {
        fixed (byte* start = content)
        {
            for (nuint done = 0; done < (nuint)content.Length;)
            {
                var error = FileIo.Write(fd, start + done, (nuint)content.Length - done, out var put);
                if (error != Errno.None)
                {
                    return error;
                }

                done += put;
            }
        }

        return Errno.None;
    }

    public static Errno SetMode(string path, uint mode)
    {
        fixed (byte* name = Bytes(path))
        {
            return Attributes.Fchmodat(Fcntl.AT_FDCWD, name, mode, 0);
        }
    }

    /// <summary>The names in an open folder, without "." and "..", lossily decoded: for checks and messages, not for use as paths.</summary>
    /// <param name="folder">A descriptor opened for reading; its place in the listing moves.</param>
    /// <param name="most">Stop after so many names.</param>
    /// <param name="names">Receives the names.</param>
    public static Errno List(int folder, int most, out List<string> names)
    {
        const int Room = 4096;
        names = [];
        var buffer = stackalloc byte[Room];
        while (true)
        {
            var error = Directories.Getdents64(folder, buffer, Room, out var length);
            if (error != Errno.None || length == 0)
            {
                return error;
            }

            for (var entry = new DirentCursor(buffer, length); entry.MoveNext();)
            {
                if (names.Count == most)
                {
                    return Errno.None;
                }

                names.Add(Encoding.UTF8.GetString(entry.Name));
            }
        }
    }
}

/// <summary>Walks a buffer filled by getdents64, leaving out "." and "..".</summary>
internal unsafe ref struct DirentCursor(byte* buffer, int length)
{
    // struct linux_dirent64 (getdents64(2)): d_ino 8, d_off 8, d_reclen 2, d_type 1, d_name to its NUL.
    private const int ReclenOffset = 16;
    private const int TypeOffset = 18;
    private const int NameOffset = 19;
    private int _next;

    /// <summary>First byte of the name; a NUL follows the last.</summary>
    public byte* NamePointer { get; private set; }

    public byte Type { get; private set; }

    public readonly ReadOnlySpan<byte> Name =>
        System.Runtime.InteropServices.MemoryMarshal.CreateReadOnlySpanFromNullTerminated(NamePointer);

    public bool MoveNext()
    {
        while (_next < length)
        {
            var entry = buffer + _next;
            _next += *(ushort*)(entry + ReclenOffset);
            NamePointer = entry + NameOffset;
            Type = entry[TypeOffset];
            if (!Name.SequenceEqual("."u8) && !Name.SequenceEqual(".."u8))
            {
                return true;
            }
        }

        return false;
    }
}
