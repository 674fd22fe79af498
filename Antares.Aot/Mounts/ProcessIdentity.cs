using System.Globalization;
using System.Text;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>
/// A process by id and start time: the id alone may have been given to another process since.
/// </summary>
/// <param name="Pid">Process id.</param>
/// <param name="StartTicks">Field 22 of /proc/PID/stat, clock ticks since boot; 0 where /proc could not tell.</param>
public readonly record struct ProcessIdentity(int Pid, long StartTicks)
{
    public static ProcessIdentity Self()
    {
        var pid = Process.Getpid();
        return new ProcessIdentity(pid, StartTicksOf(pid));
    }

    /// <summary>True while this very process lives. A zombie does not, nor one that was killed and hangs in the kernel on the way to its end.</summary>
    public bool IsAlive()
    {
        if (Process.Kill(Pid, 0) is not (Errno.None or Errno.EPERM))
        {
            return false;
        }

        if (StartTicks == 0)
        {
            return true;
        }

        var now = StartTicksOf(Pid);
        return (now == StartTicks && !IsKilled(Pid)) || (now == 0 && !HostPath.Exists("/proc/self"));
    }

    /// <summary>As <see cref="IsAlive()"/>, for whatever process has an id now.</summary>
    public static bool IsAlive(int pid) => new ProcessIdentity(pid, StartTicksOf(pid)) is { StartTicks: not 0 } now
        ? now.IsAlive()
        : !HostPath.Exists("/proc/self") && Process.Kill(pid, 0) is Errno.None or Errno.EPERM;

    /// <summary>
    /// True for a process that SIGKILL cannot end since its first thread waits for an answer, from a mount of its own above all: it runs no
    /// instruction any more.
    /// </summary>
    private static bool IsKilled(int pid)
    {
        if (HostPath.ReadAll($"/proc/{pid}/status", out var content) != Errno.None)
        {
            return false;
        }

        const ulong Kill = 1UL << (Signals.SIGKILL - 1);
        var waits = false;
        foreach (var line in Encoding.UTF8.GetString(content).Split('\n'))
        {
            waits |= line.StartsWith("State:\tD", StringComparison.Ordinal);
            if (waits && line.StartsWith("SigPnd:\t", StringComparison.Ordinal))
            {
                return ulong.TryParse(line.AsSpan(8), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out var pending) && (pending & Kill) != 0;
            }
        }

        return false;
    }

    /// <summary>Start time of a process; 0 when it is gone, a zombie, or /proc is missing.</summary>
    private static long StartTicksOf(int pid)
    {
        if (HostPath.ReadAll($"/proc/{pid}/stat", out var content) != Errno.None)
        {
            return 0;
        }

        // pid (comm) state ppid …: comm may hold spaces and parentheses, so count from the last one.
        var text = Encoding.UTF8.GetString(content);
        var fields = text[(text.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        const int State = 0;
        const int Threads = 20 - 3;
        const int StartTime = 22 - 3;

        // The first thread may have ended while others still hold what the process has open.
        return fields.Length > StartTime && fields[State] != "X" && (fields[State] != "Z" || fields[Threads] != "1") && long.TryParse(fields[StartTime], out var ticks) ? ticks : 0;
    }
}
