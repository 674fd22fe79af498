using System.Globalization;
using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>
/// A file that gets its name when it is complete. Until then it has none where the file system can do that (O_TMPFILE), so that nothing
/// is left behind however the process ends; elsewhere it has a name of its own beside its place. It takes the place of a file, never of a
/// device or a pipe; where a symbolic link stands, that of what the link leads to.
/// </summary>
internal sealed unsafe class NewFile : IDisposable
{
    private const uint Mode = 0x1B6; // rw-rw-rw-, less the umask
    private const int Attempts = 100;
    private const int MostLinks = 40; // as the kernel follows

    private readonly string _path;
    private readonly string _folder;
    private readonly OwnedFd _fd;
    private string? _temporary;

    private NewFile(string path, string folder, int fd, string? temporary)
    {
        _path = path;
        _folder = folder;
        _fd = new OwnedFd(fd);
        _temporary = temporary;
    }

    /// <summary>Open for reading and writing.</summary>
    public int Fd => _fd.Value;

    /// <param name="given">Where it is to be.</param>
    /// <exception cref="MountProblem">Usage: something else than a file is there; Host: it cannot be made there.</exception>
    public static NewFile Make(string given)
    {
        var path = Place(given);
        var folder = Path.GetDirectoryName(HostPath.Absolute(path)) ?? "/";
        var error = HostPath.Open(folder, Fcntl.O_TMPFILE | Fcntl.O_RDWR, Mode, out var fd);
        if (error == Errno.None)
        {
            return new NewFile(path, folder, fd, temporary: null);
        }

        for (var attempt = 0; error is Errno.EOPNOTSUPP or Errno.EISDIR or Errno.EEXIST && attempt < Attempts; attempt++)
        {
            var temporary = TemporaryName(folder, path, attempt);
            error = HostPath.Open(temporary, Fcntl.O_RDWR | Fcntl.O_CREAT | Fcntl.O_EXCL, Mode, out fd);
            if (error == Errno.None)
            {
                return new NewFile(path, folder, fd, temporary);
            }
        }

        throw MountProblem.Host($"{path} cannot be made", error);
    }

    /// <summary>Makes the content durable and gives the file its name, over a file that has it.</summary>
    /// <exception cref="MountProblem">Host: disk full, no permission.</exception>
    public void Publish()
    {
        var error = FileIo.Fsync(Fd);
        for (var attempt = 0; error == Errno.None && _temporary is null && attempt < Attempts; attempt++)
        {
            var temporary = TemporaryName(_folder, _path, attempt);
            error = Link(temporary);
            if (error == Errno.None)
            {
                _temporary = temporary;
            }
            else if (error == Errno.EEXIST)
            {
                error = Errno.None;
            }
        }

        if (error == Errno.None && _temporary is not null)
        {
            error = HostPath.Rename(_temporary, _path);
        }

        if (error != Errno.None)
        {
            throw MountProblem.Host($"{_path} cannot be written", error);
        }

        _temporary = null;
    }

    public void Dispose()
    {
        _fd.Dispose();
        if (_temporary is not null)
        {
            _ = HostPath.RemoveFile(_temporary); // what went wrong before is what the user hears of
        }
    }

    /// <summary>The path without links at its end; what is there, if anything, is a file.</summary>
    /// <exception cref="MountProblem">Usage: it is not; Host: links in a circle.</exception>
    private static string Place(string given)
    {
        var path = given;
        for (var links = 0; HostPath.Stat(path, out var attributes, follow: false) == Errno.None; links++)
        {
            var kind = FileTypes.FromMode(attributes.st_mode);
            if (kind == FileType.Regular)
            {
                return path;
            }

            if (kind != FileType.Symlink)
            {
                throw MountProblem.Usage($"{given} is {Named(kind)}, no file, and would be replaced by one; give a new name or that of a file");
            }

            RefusePlanted(given, path, attributes.st_uid);
            path = links < MostLinks ? Target(given, path) : throw MountProblem.Host($"{given} cannot be made", Errno.ELOOP);
        }

        return path; // nothing is there; or it cannot be looked at, and making it will tell
    }

    /// <summary>
    /// Refuses a link in a folder where all may make names (/tmp) that neither we nor the folder's owner made, as the kernel does when it
    /// follows one (fs.protected_symlinks): it could name any file of ours.
    /// </summary>
    private static void RefusePlanted(string given, string link, uint owner)
    {
        const uint StickyForAll = 0x202; // S_ISVTX, S_IWOTH
        if (owner != Interop.Process.Geteuid()
            && HostPath.Stat(Parent(link), out var folder) == Errno.None
            && (folder.st_mode & StickyForAll) == StickyForAll && folder.st_uid != owner)
        {
            throw MountProblem.Host($"{given} is a link that another user made in {Parent(link)}, where all may; give the name that is meant");
        }
    }

    /// <summary>Where a link leads, as far as folders without links.</summary>
    private static string Target(string given, string link)
    {
        var error = HostPath.ReadLink(link, out var target);
        var next = target.StartsWith('/') ? target : $"{Parent(link)}/{target}";
        var real = "";
        error = error == Errno.None ? HostPath.RealPath(Parent(next), out real) : error;
        return error == Errno.None
            ? $"{real.TrimEnd('/')}/{next[(next.LastIndexOf('/') + 1)..]}"
            : throw MountProblem.Host($"{given} is a link to {target}, which cannot be made", error);
    }

    /// <summary>Of "/a", "/"; of "a", ".".</summary>
    private static string Parent(string path) => path.LastIndexOf('/') switch
    {
        < 0 => ".",
        0 => "/",
        var slash => path[..slash],
    };

    private static string Named(FileType kind) => kind switch
    {
        FileType.Directory => "a folder",
        FileType.CharDevice or FileType.BlockDevice => "a device",
        FileType.Fifo => "a pipe",
        FileType.Socket => "a socket",
        _ => "something else",
    };

    private Errno Link(string name)
    {
        fixed (byte* old = HostPath.Bytes($"/proc/self/fd/{Fd}"), now = HostPath.Bytes(name))
        {
            return PathOps.Linkat(Fcntl.AT_FDCWD, old, Fcntl.AT_FDCWD, now, Fcntl.AT_SYMLINK_FOLLOW);
        }
    }

    private static string TemporaryName(string folder, string path, int attempt) =>
        Path.Join(folder, string.Create(CultureInfo.InvariantCulture, $".{Path.GetFileName(path)}.{Process.Getpid()}-{attempt}"));
}
