using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>
/// The limit of open files: a server of many files raises the soft limit to the hard one, a job's command gets back what its caller
/// had.
/// </summary>
internal static unsafe class FileLimit
{
    /// <summary>More is of no use: caches are bounded.</summary>
    private const ulong Enough = 65536;

    /// <summary>Raises the soft limit of this process.</summary>
    /// <param name="before">What it was.</param>
    /// <returns>Descriptors that this process may have open.</returns>
    public static int Raise(out rlimit before)
    {
        const int LeastEverywhere = 256;
        if (Process.Getrlimit(Process.RLIMIT_NOFILE, out before) != Errno.None)
        {
            return LeastEverywhere;
        }

        var wanted = before with { rlim_cur = Math.Min(before.rlim_max, Math.Max(Enough, before.rlim_cur)) };
        var error = Process.Setrlimit(Process.RLIMIT_NOFILE, wanted);
        return (int)Math.Min(error == Errno.None ? wanted.rlim_cur : before.rlim_cur, Enough);
    }

    /// <summary>Sets the limit of this process.</summary>
    /// <returns>None; EPERM: above the hard limit.</returns>
    public static Errno Set(rlimit limit) => Process.Setrlimit(Process.RLIMIT_NOFILE, limit);
}
