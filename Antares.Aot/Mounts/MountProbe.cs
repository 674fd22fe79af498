using Antares.Aot.Fuse;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>What came of asking a mount something that only its server knows.</summary>
internal enum MountAnswer
{
    /// <summary>Somebody serves it.</summary>
    Served,

    /// <summary>Its server is gone, and the kernel says so.</summary>
    Dead,

    /// <summary>No answer in time: its server is stopped or stuck, or gone while another process still has its device open.</summary>
    Silent,
}

/// <summary>
/// Questions to mounts whose server may be gone. A question may never be answered, so each is asked by a thread that is left behind when it
/// takes too long.
/// </summary>
internal static unsafe class MountProbe
{
    private const int PatienceMs = 2_000;
    private const string Connections = "/sys/fs/fuse/connections";

    /// <summary>Asks for the size of the file system, which no kernel caches: attributes and listings may still be, and directories open without a request.</summary>
    public static MountAnswer Ask(string mountPoint) => Bounded(() =>
    {
        var error = HostPath.Open(mountPoint, Fcntl.O_PATH | Fcntl.O_DIRECTORY, 0, out var fd);
        if (error == Errno.None)
        {
            using var owned = new OwnedFd(fd);
            statfs any;
            error = Attributes.Fstatfs(fd, &any);
        }

        return error;
    });

    /// <summary>
    /// Asks a mount of the kernel engine for what only its lower layer knows: a name that nobody asked for before. That there is none the kernel's EROFS
    /// may know without its server.
    /// </summary>
    public static MountAnswer AskLower(string mountPoint) => Bounded(() => HostPath.Stat($"{mountPoint}/.antares-{Workspace.NewId()}", out _));

    /// <summary>Cuts a FUSE connection off: who waits for an answer gets an error.</summary>
    /// <param name="device">Of a mount whose server is certainly gone.</param>
    /// <returns>None; ENOENT: no such connection; EACCES, EPERM: another user's.</returns>
    public static Errno CutOff(DeviceNumber device)
    {
        var error = Write($"{Connections}/{device.Minor}/abort");
        if (error != Errno.ENOENT || HostPath.Exists($"{Connections}/{device.Minor}"))
        {
            return error;
        }

        // The folder of connections is a file system of its own, which nobody may have mounted here.
        using var type = new CString("fusectl");
        error = MountContexts.Open(type, out var context);
        if (error != Errno.None)
        {
            return error;
        }

        using var made = new OwnedFd(context);
        error = MountContexts.Create(context);
        if (error != Errno.None)
        {
            return error;
        }

        error = MountContexts.Mount(context, 0, out var root);
        if (error != Errno.None)
        {
            return error;
        }

        using var owned = new OwnedFd(root);
        return Write($"/proc/self/fd/{root}/{device.Minor}/abort");
    }

    /// <summary>
    /// True when a living server has the connection, or one that cannot be looked at might: a server of another state folder may have got the
    /// number and the place of a mount that is gone, and be slow. It is told by its threads; who merely inherited the device has none.
    /// </summary>
    public static bool MayBeServed(DeviceNumber device)
    {
        foreach (var process in Directory.EnumerateDirectories("/proc"))
        {
            if (!char.IsAsciiDigit(process[^1]))
            {
                continue;
            }

            try
            {
                if (Directory.EnumerateDirectories(process + "/task").Any(IsFirstThread)
                    && Directory.EnumerateFiles(process + "/fd").Any(fd => HasConnection(process, fd, device)))
                {
                    return true;
                }
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                // It ended meanwhile, or may not be looked at.
                if (HostPath.Exists(process))
                {
                    return Directory.EnumerateDirectories(process + "/task").Any(IsFirstThread);
                }
            }
        }

        return false;
    }

    private static ReadOnlySpan<byte> FirstThread => "fuse-0"u8;

    private static bool IsFirstThread(string task) =>
        HostPath.ReadAll(task + "/comm", out var name) == Errno.None && name.AsSpan().TrimEnd((byte)'\n').SequenceEqual(FirstThread);

    private static bool HasConnection(string process, string descriptor, DeviceNumber device)
    {
        const string Line = "fuse_connection:\t";
        if (HostPath.ReadLink(descriptor, out var target) != Errno.None || target != "/dev/fuse")
        {
            return false;
        }

        // Linux 6.15 and later tell which; with an older one it may be this.
        if (HostPath.ReadAll($"{process}/fdinfo/{Path.GetFileName(descriptor)}", out var content) != Errno.None)
        {
            return HostPath.Exists(descriptor); // closed meanwhile, or not to be seen
        }

        var told = System.Text.Encoding.ASCII.GetString(content).Split('\n').FirstOrDefault(line => line.StartsWith(Line, StringComparison.Ordinal));
        return told is null || told[Line.Length..] == device.Minor.ToString(System.Globalization.CultureInfo.InvariantCulture);
    }

    private static Errno Write(string path)
    {
        var error = HostPath.Open(path, Fcntl.O_WRONLY, 0, out var fd);
        if (error != Errno.None)
        {
            return error;
        }

        using var owned = new OwnedFd(fd);
        return HostPath.Write(fd, "1"u8);
    }

    private static MountAnswer Bounded(Func<Errno> question)
    {
        var result = Errno.None;
        var thread = new Thread(() => result = question()) { IsBackground = true, Name = "mount probe" };
        thread.Start();
        if (!thread.Join(PatienceMs))
        {
            return MountAnswer.Silent;
        }

        // The second: it died while it was asked.
        return result is Errno.ENOTCONN or Errno.ECONNABORTED ? MountAnswer.Dead : MountAnswer.Served;
    }
}
