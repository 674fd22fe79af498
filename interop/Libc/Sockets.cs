using Tmds.Linux;

namespace Antares.Interop;

/// <summary>Unix stream sockets, all close-on-exec. A path has at most 107 bytes (longer: ENAMETOOLONG).</summary>
public static unsafe class Sockets
{
    public const int AF_UNIX = 1;
    public const int SOCK_STREAM = 1;
    public const int SOCK_CLOEXEC = 0x80000;
    public const int SOCK_NONBLOCK = 0x800;
    public const int SOL_SOCKET = 1;
    public const int SO_PEERCRED = 17;
    public const int SHUT_RD = 0;
    public const int SHUT_WR = 1;
    public const int SHUT_RDWR = 2;

    private const int Backlog = 16;

    /// <summary>
    /// Binds a socket at <paramref name="path"/> with exactly <paramref name="mode"/> and listens; nobody can connect before
    /// the mode is set. An existing path is not replaced.
    /// </summary>
    /// <returns>EADDRINUSE: the path exists; ENAMETOOLONG; ENOENT, EACCES, EROFS: its folder.</returns>
    public static Errno Listen(byte* path, uint mode, out int fd)
    {
        Errno error = Address(path, out Antares.Interop.sockaddr_un address);
        if (error != Errno.None)
        {
            fd = -1;
            return error;
        }

        error = Returned.Descriptor(LibC.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), out fd);
        if (error != Errno.None)
        {
            return error;
        }

        error = Returned.Of(LibC.bind(fd, (sockaddr*)&address, sizeof(Antares.Interop.sockaddr_un)));
        if (error == Errno.None)
        {
            // Between bind and listen a connect is refused, so the umask's mode is never open to anyone.
            error = Attributes.Fchmodat(Fcntl.AT_FDCWD, path, mode, 0);
            if (error == Errno.None)
            {
                error = Returned.Of(LibC.listen(fd, Backlog));
            }

            if (error != Errno.None)
            {
                // The name was ours a moment ago; the error told is the first one.
                _ = PathOps.Unlinkat(Fcntl.AT_FDCWD, path, 0);
            }
        }

        return error == Errno.None ? error : CloseAfter(error, ref fd);
    }

    /// <summary>Connects.</summary>
    /// <param name="path">Of the socket.</param>
    /// <param name="fd">The connection; the caller closes it.</param>
    /// <param name="waits">Wait while as many connections as there is room for are not accepted yet.</param>
    /// <returns>ENOENT: no such path; ECONNREFUSED: nobody listens any more; EACCES; EAGAIN: no room, when it does not wait.</returns>
    public static Errno Connect(byte* path, out int fd, bool waits = true)
    {
        Errno error = Address(path, out Antares.Interop.sockaddr_un address);
        if (error != Errno.None)
        {
            fd = -1;
            return error;
        }

        error = Returned.Descriptor(LibC.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (waits ? 0 : SOCK_NONBLOCK), 0), out fd);
        if (error != Errno.None)
        {
            return error;
        }

        long result;
        do
        {
            result = LibC.connect(fd, (sockaddr*)&address, sizeof(Antares.Interop.sockaddr_un));
        }
        while (Returned.Interrupted(result));

        error = Returned.Of(result);
        return error == Errno.None ? error : CloseAfter(error, ref fd);
    }

    /// <summary>Waits for the next connection. EINVAL: the socket was shut down, which is how another thread ends the wait.</summary>
    /// <returns>EMFILE, ENFILE: no free descriptor, nor an idle one to give up; the connection still waits.</returns>
    public static Errno Accept(int fd, out int connection)
    {
        bool relieved = false;
        long result;
        do
        {
            result = LibC.accept4(fd, null, null, SOCK_CLOEXEC);
        }
        while (Returned.Interrupted(result) || DescriptorRelief.Helps(result, ref relieved));

        return Returned.Descriptor(result, out connection);
    }

    /// <summary>Ends one or both directions (SHUT_*); a thread that waits in read or accept wakes.</summary>
    public static Errno Shutdown(int fd, int how) => Returned.Of(LibC.shutdown(fd, how));

    /// <summary>Two connected sockets; both -1 on failure.</summary>
    public static Errno Socketpair(int* two)
    {
        Errno error = Returned.Of(LibC.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, two));
        if (error != Errno.None)
        {
            two[0] = -1;
            two[1] = -1;
        }

        return error;
    }

    /// <summary>Who is at the other end (SO_PEERCRED).</summary>
    public static Errno PeerCredentials(int fd, out Antares.Interop.ucred credentials)
    {
        fixed (Antares.Interop.ucred* pointer = &credentials)
        {
            *pointer = default;
            socklen_t size = sizeof(Antares.Interop.ucred);
            return Returned.Of(LibC.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, pointer, &size));
        }
    }

    private static Errno Address(byte* path, out Antares.Interop.sockaddr_un address)
    {
        address = default;
        address.sun_family = AF_UNIX;
        for (int i = 0; path[i] != 0; i++)
        {
            if (i == 107)
            {
                return Errno.ENAMETOOLONG;
            }

            address.sun_path[i] = path[i];
        }

        return Errno.None;
    }

    private static Errno CloseAfter(Errno error, ref int fd)
    {
        // What went wrong before is the answer; nothing was written that a failing close could lose.
        _ = Fd.Close(fd);
        fd = -1;
        return error;
    }
}
