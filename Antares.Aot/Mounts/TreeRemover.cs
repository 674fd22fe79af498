using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>Removes a folder with all in it, as <c>rm -rf --one-file-system</c>: names are bytes, links are not followed.</summary>
public static unsafe class TreeRemover
{
    private const int BufferSize = 32 * 1024;

    /// <summary>Removes what <paramref name="path"/> leads to. Goes on after a failure and tells the first one.</summary>
    /// <param name="path">A folder; one that is not there is success.</param>
    /// <returns>None; EXDEV: something is mounted in it, which was left alone; EACCES, EPERM, EIO …: what stopped the removal.</returns>
    public static Errno Remove(string path)
    {
        fixed (byte* name = HostPath.Bytes(path))
        {
            stat attributes;
            var error = Attributes.Fstatat(Fcntl.AT_FDCWD, name, &attributes, Fcntl.AT_SYMLINK_NOFOLLOW);
            if (error == Errno.ENOENT)
            {
                return Errno.None;
            }

            return error == Errno.None ? RemoveFolder(Fcntl.AT_FDCWD, name, attributes.st_dev) : error;
        }
    }

    private static Errno RemoveFolder(int parent, byte* name, ulong device)
    {
        var first = Empty(parent, name, device);
        var error = PathOps.Unlinkat(parent, name, Fcntl.AT_REMOVEDIR);
        return first != Errno.None ? first : error;
    }

    private static Errno Empty(int parent, byte* name, ulong device)
    {
        const int Flags = Fcntl.O_RDONLY | Fcntl.O_DIRECTORY | Fcntl.O_NOFOLLOW | Fcntl.O_CLOEXEC;
        var error = Fd.Openat(parent, name, Flags, 0, out var fd);
        if (error == Errno.EACCES)
        {
            // A plain user's build may leave folders without permissions; their owner may still give them back.
            error = Attributes.Fchmodat(parent, name, 0x1C0 /* 0700 */, Fcntl.AT_SYMLINK_NOFOLLOW);
            if (error == Errno.None)
            {
                error = Fd.Openat(parent, name, Flags, 0, out fd);
            }
        }

        if (error != Errno.None)
        {
            return error;
        }

        using var owned = new OwnedFd(fd);
        stat attributes;
        error = Attributes.Fstat(fd, &attributes);
        if (error != Errno.None)
        {
            return error;
        }

        if (attributes.st_dev != device)
        {
            return Errno.EXDEV;
        }

        if ((attributes.st_mode & 0x1C0) != 0x1C0)
        {
            _ = Attributes.Fchmod(fd, 0x1C0); // if it fails, the removals below tell why
        }

        return EmptyOpened(fd, device);
    }

    private static Errno EmptyOpened(int fd, ulong device)
    {
        var first = Errno.None;
        var buffer = (byte*)System.Runtime.InteropServices.NativeMemory.Alloc(BufferSize);
        try
        {
            while (true)
            {
                var error = Directories.Getdents64(fd, buffer, BufferSize, out var length);
                if (error != Errno.None || length == 0)
                {
                    return first != Errno.None ? first : error;
                }

                for (var entry = new DirentCursor(buffer, length); entry.MoveNext();)
                {
                    error = entry.Type == DirentType.DT_DIR ? Errno.EISDIR : PathOps.Unlinkat(fd, entry.NamePointer, 0);
                    if (error == Errno.EISDIR)
                    {
                        error = RemoveFolder(fd, entry.NamePointer, device);
                    }

                    if (first == Errno.None && error != Errno.ENOENT)
                    {
                        first = error;
                    }
                }
            }
        }
        finally
        {
            System.Runtime.InteropServices.NativeMemory.Free(buffer);
        }
    }
}
