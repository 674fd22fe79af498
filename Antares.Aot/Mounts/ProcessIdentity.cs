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
    /// Sends a signal to this very process, never to one that has got its id since: the process that has the id is held by a descriptor before
    /// it is compared.
    /// </summary>
    /// <returns>None; ESRCH: it has ended, whoever has the id now; EPERM: another user's; EMFILE, ENFILE: it could not be held.</returns>
    public Errno Signal(int signal)
    {
        var error = Process.PidfdOpen(Pid, out var fd);
        if (error is Errno.ENOSYS or Errno.EPERM)
        {
            // Without such descriptors a moment is left between the comparison and the signal.
            return IsIdOfThis() ? Process.Kill(Pid, signal) : Errno.ESRCH;
        }

        if (error != Errno.None)
        {
            return error == Errno.EINVAL ? Errno.ESRCH : error; // EINVAL: an id that no process can have
        }

        using var held = new OwnedFd(fd);
        if (!IsIdOfThis())
        {
            return Errno.ESRCH;
        }

        error = Process.PidfdSendSignal(fd, signal);

        // A filter lets through the one and not the other; kill would say EPERM as well if it is another user's.
        return error is Errno.ENOSYS or Errno.EPERM ? Process.Kill(Pid, signal) : error;
    }

    /// <summary>The process that has the id now began when this one did; also where nothing can tell.</summary>
    private bool IsIdOfThis()
    {
        var now = StartTicksOf(Pid);
        return StartTicks == 0 || now == StartTicks || (now == 0 && !HostPath.Exists("/proc/self"));
    }

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
