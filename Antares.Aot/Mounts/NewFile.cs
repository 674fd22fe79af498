using System.Globalization;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>
/// A file that gets its name when it is complete. Until then it has none where the file system can do that (O_TMPFILE), so that nothing
/// is left behind however the process ends; elsewhere it has a name of its own beside its place.
/// </summary>
internal sealed unsafe class NewFile : IDisposable
{
    private const uint Mode = 0x1B6; // rw-rw-rw-, less the umask
    private const int Attempts = 100;

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

    /// <exception cref="MountProblem">Host: it cannot be made there.</exception>
    public static NewFile Make(string path)
    {
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
