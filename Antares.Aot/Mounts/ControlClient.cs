using System.Globalization;
using System.Text;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>What can be asked of a running mount.</summary>
public static class ControlQuestion
{
    public const string Ping = "ping";

    /// <summary>Unmount, unless in use: answered when that is done. The process ends afterwards.</summary>
    public const string Unmount = "unmount";

    /// <summary>Take the mount out of sight, although it is in use.</summary>
    public const string Detach = "detach";
    public const string StatsJson = "stats json";
    public const string StatsText = "stats text";
    public const string ErrorsJson = "errors json";
    public const string ErrorsText = "errors text";

    /// <summary>Begins a question about the changelist: see <see cref="ChangelistQuestion"/>.</summary>
    public const string Changelist = "cl ";

    /// <summary>Begins the wish for another revision: see <see cref="RefreshQuestion"/>.</summary>
    public const string Refresh = "refresh ";
}

/// <summary>The path of a control socket as an address.</summary>
internal static class ControlAddress
{
    private const int LongestAddress = 107;

    /// <summary>An address has room for 107 bytes; a longer path is named through a descriptor of its folder, which stays open.</summary>
    /// <exception cref="MountProblem">Host: the folder of a long path cannot be opened.</exception>
    public static Held Of(string path)
    {
        if (Encoding.UTF8.GetByteCount(path) <= LongestAddress)
        {
            return new Held(new CString(path), null);
        }

        var folder = Path.GetDirectoryName(path) ?? "/";
        var error = HostPath.Open(folder, Fcntl.O_PATH | Fcntl.O_DIRECTORY, 0, out var fd);
        return error == Errno.None
            ? new Held(new CString($"/proc/self/fd/{fd}/{Path.GetFileName(path)}"), new OwnedFd(fd))
            : throw MountProblem.Host($"cannot open {folder}", error);
    }

    /// <summary>The address and what it needs to stay valid.</summary>
    internal sealed unsafe class Held(CString address, OwnedFd? folder) : IDisposable
    {
        public byte* Pointer => address.Pointer;

        public void Dispose()
        {
            address.Dispose();
            folder?.Dispose();
        }
    }
}

/// <summary>Asks a running mount over its control socket.</summary>
public static unsafe class ControlClient
{
    /// <summary>A running mount answers at once; one that is stopped, never.</summary>
    private const int PatienceMs = 10_000;

    /// <summary>Asks one <see cref="ControlQuestion"/>.</summary>
    /// <param name="mount">Whom.</param>
    /// <param name="question">What.</param>
    /// <param name="patienceMs">How long each wait for an answer may take.</param>
    /// <returns>The answer's bytes.</returns>
    /// <exception cref="MountProblem">Host: nobody answers, or the mount refused; Usage: the mount can do no such thing.</exception>
    public static byte[] Ask(MountRecord mount, string question, int patienceMs = PatienceMs)
    {
        using var name = ControlAddress.Of(mount.Socket);
        var error = Sockets.Connect(name.Pointer, out var fd);
        if (error is Errno.ENOENT or Errno.ECONNREFUSED)
        {
            throw MountProblem.Host($"the process of {mount.MountPoint} does not answer (it ended?): antares-aot umount --stale cleans up after dead ones");
        }

        if (error != Errno.None)
        {
            throw MountProblem.Host($"cannot ask the process of {mount.MountPoint} over {mount.Socket}", error);
        }

        using var owned = new OwnedFd(fd);
        error = HostPath.Write(fd, Encoding.UTF8.GetBytes(question + "\n"));
        var answer = new MemoryStream();
        var buffer = stackalloc byte[16 * 1024];
        while (error == Errno.None)
        {
            var wait = new pollfd { fd = fd, events = Signals.POLLIN };
            error = Signals.Poll(&wait, 1, patienceMs, out var ready);
            if (error == Errno.None && ready == 0)
            {
                throw MountProblem.Host($"the process of {mount.MountPoint} ({mount.Process.Pid}) has not answered for {patienceMs / 1000} s: is it stopped?");
            }

            nuint got = 0;
            if (error == Errno.None)
            {
                error = FileIo.Read(fd, buffer, 16 * 1024, out got);
            }

            if (got == 0)
            {
                break;
            }

            answer.Write(new ReadOnlySpan<byte>(buffer, (int)got));
        }

        return Unwrap(mount, answer.ToArray());
    }

    /// <summary>Who listens on the control socket. Waits for nobody.</summary>
    /// <returns>
    /// The id, as seen from here, of the process that began to listen: it may be gone, while a child of it has the socket open. 0: a process of
    /// another pid namespace. Null: nobody.
    /// </returns>
    public static int? Listener(MountRecord mount)
    {
        using var name = ControlAddress.Of(mount.Socket);
        var error = Sockets.Connect(name.Pointer, out var fd, waits: false);
        if (error != Errno.None)
        {
            return error == Errno.EAGAIN ? 0 : null; // open, though nobody has accepted for long
        }

        using var owned = new OwnedFd(fd);
        return Sockets.PeerCredentials(fd, out var peer) == Errno.None ? peer.pid : 0;
    }

    private static byte[] Unwrap(MountRecord mount, byte[] answer)
    {
        var end = Array.IndexOf(answer, (byte)'\n');
        var head = end < 0 ? "" : Encoding.UTF8.GetString(answer, 0, end);
        if (head.StartsWith("error ", StringComparison.Ordinal))
        {
            throw MountProblem.Host($"{mount.MountPoint}: {head["error ".Length..]}");
        }

        var space = head.IndexOf(' ');
        var isWhole = space > 0 && head[..space] is "ok" or "refused" or "usage"
            && int.TryParse(head.AsSpan(space + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var length)
            && length == answer.Length - end - 1;
        if (isWhole && head[0] != 'o')
        {
            var kind = head[0] == 'u' ? ProblemKind.Usage : ProblemKind.Mount;
            throw new MountProblem(kind, $"{mount.MountPoint}: {Encoding.UTF8.GetString(answer.AsSpan(end + 1))}");
        }

        return isWhole ? answer[(end + 1)..] : throw MountProblem.Host($"the answer of the process of {mount.MountPoint} is cut off; ask again");
    }
}
