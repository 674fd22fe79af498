using Antares.Interop;

namespace Antares.Aot.Dicfuse.Sources;

/// <summary>
/// Extended attributes of files in a folder: through a descriptor where the file can be opened for reading, else through
/// /proc/self/fd/DIRECTORY/NAME without following NAME. No other path form reaches a symlink's or a FIFO's before Linux 6.13; where
/// /proc is not mounted such a file is taken to have none.
/// </summary>
internal sealed unsafe class FolderXattrs
{
    private const int PathBytes = ProcFd.Capacity + Base.ByteName.MaxLength + 2;

    private readonly SourceErrors _get;
    private readonly SourceErrors _list;

    public FolderXattrs(string layer)
    {
        _get = new SourceErrors(layer, "getxattr");
        _list = new SourceErrors(layer, "listxattr");
    }

    /// <param name="fd">The file itself, or its directory when <paramref name="entry"/> is not null.</param>
    /// <param name="entry">Name within the directory, NUL-terminated.</param>
    /// <returns>None; ENODATA; ERANGE; EOPNOTSUPP; else as <see cref="SourceErrors.Map"/>.</returns>
    public Errno Get(int fd, byte* entry, byte* name, byte* value, nuint size, out int length)
    {
        Errno error;
        if (entry == null)
        {
            error = Xattrs.Fgetxattr(fd, name, value, size, out length);
            if (error == Errno.EBADF)
            {
                // A directory that may be searched but not read: O_PATH.
                byte* path = stackalloc byte[ProcFd.Capacity];
                ProcFd.Write(path, fd);
                error = Xattrs.Getxattr(path, name, value, size, out length);
            }
        }
        else
        {
            byte* path = stackalloc byte[PathBytes];
            WritePath(path, fd, entry);
            error = WithoutProc(Xattrs.Lgetxattr(path, name, value, size, out length), fd, entry);
        }

        return error is Errno.ENODATA or Errno.ERANGE or Errno.EOPNOTSUPP ? error : _get.Map(error);
    }

    /// <inheritdoc cref="Get"/>
    public Errno List(int fd, byte* entry, byte* list, nuint size, out int length)
    {
        Errno error;
        if (entry == null)
        {
            error = Xattrs.Flistxattr(fd, list, size, out length);
            if (error == Errno.EBADF)
            {
                byte* path = stackalloc byte[ProcFd.Capacity];
                ProcFd.Write(path, fd);
                error = Xattrs.Listxattr(path, list, size, out length);
            }
        }
        else
        {
            byte* path = stackalloc byte[PathBytes];
            WritePath(path, fd, entry);
            error = WithoutProc(Xattrs.Llistxattr(path, list, size, out length), fd, entry);
        }

        return error is Errno.ERANGE or Errno.EOPNOTSUPP ? error : _list.Map(error);
    }

    /// <summary>A path through /proc that does not exist although the file does: there is no /proc.</summary>
    private static Errno WithoutProc(Errno error, int directory, byte* entry)
    {
        if (error is not (Errno.ENOENT or Errno.ENOTDIR))
        {
            return error;
        }

        stat attributes;
        return Attributes.Fstatat(directory, entry, &attributes, Fcntl.AT_SYMLINK_NOFOLLOW) == Errno.None
            ? Errno.EOPNOTSUPP
            : error;
    }

    private static void WritePath(byte* path, int directory, byte* entry)
    {
        ProcFd.Write(path, directory);
        byte* end = path;
        while (*end != 0)
        {
            end++;
        }

        *end++ = (byte)'/';
        do
        {
            *end++ = *entry;
        }
        while (*entry++ != 0);
    }
}
