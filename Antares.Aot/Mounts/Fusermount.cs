using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>fusermount3, the set-uid program by which a plain user unmounts.</summary>
internal static unsafe class Fusermount
{
    private const string Program = "fusermount3";

    /// <summary>Its path by PATH, or null.</summary>
    public static string? FindProgram() =>
        $"{Environment.GetEnvironmentVariable("PATH")}:/usr/bin:/bin".Split(':')
            .Select(folder => $"{folder}/{Program}")
            .FirstOrDefault(path => path.StartsWith('/') && HostPath.Exists(path));

    /// <summary>Runs <c>fusermount3 -u [-z] -- MOUNTPOINT</c>, silently.</summary>
    /// <returns>None; EPERM: it is not installed; EBUSY: it failed, which is mostly that the mount is in use; what posix_spawn gave.</returns>
    public static Errno Unmount(string mountPoint, bool lazy)
    {
        if (FindProgram() is not { } program)
        {
            return Errno.EPERM;
        }

        string[] words = lazy ? [program, "-u", "-z", "--", mountPoint] : [program, "-u", "--", mountPoint];
        using var file = new CString(program);
        using var arguments = new CStringArray(words);
        using var environment = new CStringArray(["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
        var options = SpawnOptions.Inherit;
        if (HostPath.Open("/dev/null", Fcntl.O_RDWR, 0, out var silence) == Errno.None)
        {
            options.Stderr = silence;
        }

        var error = Spawn.PosixSpawn(file.Pointer, arguments.Pointer, environment.Pointer, options, out var pid);
        if (silence >= 0)
        {
            _ = Fd.Close(silence); // the child has its own
        }

        if (error != Errno.None)
        {
            return error;
        }

        error = Process.Waitpid(pid, out var status, 0);
        if (error != Errno.None)
        {
            return error;
        }

        return Process.ExitCode(status) == 0 ? Errno.None : Errno.EBUSY;
    }
}
