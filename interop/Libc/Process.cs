using System.Runtime.InteropServices;
using Tmds.Linux;

namespace Antares.Interop;

/// <summary>This process, its limits and rights, and its children.</summary>
public static unsafe partial class Process
{
    public const int RLIMIT_NOFILE = 7;
    public const int RLIMIT_CORE = 4;
    public const ulong RLIM_INFINITY = ulong.MaxValue;

    public const int WNOHANG = 1;
    public const int WUNTRACED = 2;

    public const int PR_SET_PDEATHSIG = 1;
    public const int PR_SET_DUMPABLE = 4;
    public const int PR_SET_NAME = 15;
    public const int PR_SET_CHILD_SUBREAPER = 36;
    public const int PR_SET_NO_NEW_PRIVS = 38;
    public const int PR_GET_NO_NEW_PRIVS = 39;
    public const int PR_SET_IO_FLUSHER = 57;

    public const int CAP_CHOWN = 0;
    public const int CAP_DAC_OVERRIDE = 1;
    public const int CAP_DAC_READ_SEARCH = 2;
    public const int CAP_FOWNER = 3;
    public const int CAP_FSETID = 4;
    public const int CAP_SETGID = 6;
    public const int CAP_SETUID = 7;
    public const int CAP_SYS_ADMIN = 21;
    public const int CAP_SYS_RESOURCE = 24;
    public const int CAP_MKNOD = 27;

    private const uint _LINUX_CAPABILITY_VERSION_3 = 0x20080522;

    private const long SYS_pidfd_send_signal = 424;
    private const long SYS_pidfd_open = 434;

    /// <summary>The kernel's id of the calling thread, as /proc/self/task and FUSE requests of our own name it.</summary>
    public static int Gettid() => gettid_native();

    public static int Getpid() => LibC.getpid();

    public static int Getppid() => LibC.getppid();

    public static uint Getuid() => LibC.getuid();

    public static uint Geteuid() => LibC.geteuid();

    public static uint Getgid() => LibC.getgid();

    public static uint Getegid() => LibC.getegid();

    /// <summary>Process group of <paramref name="pid"/> (0: of this process). ESRCH: no such process.</summary>
    public static Errno Getpgid(int pid, out int group) => Returned.Of((int)LibC.getpgid(pid), out group);

    /// <summary>Session of <paramref name="pid"/> (0: of this process). ESRCH: no such process.</summary>
    public static Errno Getsid(int pid, out int session) => Returned.Of((int)LibC.getsid(pid), out session);

    /// <summary>Makes this process leader of a session of its own. EPERM: it leads a process group already.</summary>
    public static Errno Setsid() => Returned.Of((int)LibC.setsid());

    /// <summary>Changes the working directory of the whole process.</summary>
    public static Errno Chdir(byte* path) => Returned.Of(LibC.chdir(path));

    /// <summary>Changes the working directory of the whole process.</summary>
    public static Errno Fchdir(int fd) => Returned.Of(LibC.fchdir(fd));

    public static Errno Getrlimit(int resource, out rlimit limit)
    {
        fixed (rlimit* old = &limit)
        {
            *old = default;
            return Returned.Of(prlimit_native(0, (uint)resource, null, old));
        }
    }

    /// <summary>EPERM: above the hard limit without CAP_SYS_RESOURCE.</summary>
    public static Errno Setrlimit(int resource, in rlimit limit)
    {
        fixed (rlimit* wanted = &limit)
        {
            return Returned.Of(prlimit_native(0, (uint)resource, wanted, null));
        }
    }

    /// <summary>Sets (unless null) and answers (unless null) a limit of <paramref name="pid"/> (0: of this process).</summary>
    public static Errno Prlimit(int pid, int resource, rlimit* wanted, rlimit* old) =>
        Returned.Of(prlimit_native(pid, (uint)resource, wanted, old));

    /// <summary>Sends a signal (0: only asks). ESRCH: no such process; EPERM: another user's.</summary>
    public static Errno Kill(int pid, int signal) => Returned.Of(LibC.kill(pid, signal));

    /// <summary>Opens the process that has an id now: the descriptor, close-on-exec, never means another one. It is readable once the process ended.</summary>
    /// <returns>ESRCH: no such process; EMFILE, ENFILE; ENOSYS, EPERM: older than Linux 5.3, or a filter of a container.</returns>
    public static Errno PidfdOpen(int pid, out int fd) => Returned.Descriptor(pidfd_open_syscall(SYS_pidfd_open, pid, 0), out fd);

    /// <summary>Sends a signal (0: only asks) to the process of a descriptor from <see cref="PidfdOpen"/>.</summary>
    /// <returns>ESRCH: it has ended; EPERM: another user's, or a filter of a container; ENOSYS: older than Linux 5.1.</returns>
    public static Errno PidfdSendSignal(int fd, int signal) =>
        Returned.Of(pidfd_send_signal_syscall(SYS_pidfd_send_signal, fd, signal, null, 0));

    /// <summary>Waits for a child; <paramref name="reaped"/> is 0 with WNOHANG while it runs. ECHILD: not a child, or reaped already.</summary>
    public static Errno Waitpid(int pid, out int status, int flags, out int reaped)
    {
        int word = 0;
        long result;
        do
        {
            result = waitpid_native(pid, &word, flags);
        }
        while (Returned.Interrupted(result));

        status = word;
        return Returned.Of(result, out reaped);
    }

    /// <summary>As the longer form, for a caller who waits for the end of one child.</summary>
    public static Errno Waitpid(int pid, out int status, int flags) => Waitpid(pid, out status, flags, out _);

    /// <summary>A wait status as a shell shows it: the exit code, or 128 plus the signal that ended the child.</summary>
    public static int ExitCode(int status) => (status & 0x7F) == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F);

    /// <summary>The child ended by itself (not by a signal).</summary>
    public static bool Exited(int status) => (status & 0x7F) == 0;

    public static Errno Prctl(int option, nuint a, nuint b, nuint c, nuint d, out int result) =>
        Returned.Of(prctl_native(option, a, b, c, d), out result);

    /// <summary>Is <paramref name="capability"/> (CAP_*) in the effective set of the calling thread? False also when it cannot be asked.</summary>
    public static bool HasCapability(int capability)
    {
        __user_cap_header_struct header = new() { version = _LINUX_CAPABILITY_VERSION_3 };
        __user_cap_data_struct* data = stackalloc __user_cap_data_struct[2];
        if (Returned.Of(capget_native(&header, data)) != Errno.None)
        {
            return false;
        }

        return (data[capability >> 5].effective & (1u << (capability & 31))) != 0;
    }

    /// <summary>Is <paramref name="group"/> the effective or a supplementary group of this process?</summary>
    public static bool IsInGroup(uint group)
    {
        if (group == Getegid())
        {
            return true;
        }

        int count = getgroups_native(0, null);
        if (count <= 0)
        {
            return false;
        }

        uint[] groups = new uint[count];
        fixed (uint* list = groups)
        {
            count = getgroups_native(count, list);
        }

        return count > 0 && groups.AsSpan(0, count).Contains(group);
    }

    /// <summary>Ends the process at once, running nothing: for a child or a server that must not flush twice.</summary>
    public static void ExitNow(int code) => LibC._exit(code);

    // Reads one word and returns: shorter than the switch to preemptive mode would be.
    [LibraryImport("libc", EntryPoint = "gettid")]
    [SuppressGCTransition]
    private static partial int gettid_native();

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial long pidfd_open_syscall(long number, int pid, uint flags);

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial long pidfd_send_signal_syscall(long number, int fd, int signal, void* info, uint flags);

    [LibraryImport("libc", EntryPoint = "prlimit", SetLastError = true)]
    private static partial int prlimit_native(int pid, uint resource, rlimit* wanted, rlimit* old);

    [LibraryImport("libc", EntryPoint = "waitpid", SetLastError = true)]
    private static partial int waitpid_native(int pid, int* status, int flags);

    [LibraryImport("libc", EntryPoint = "prctl", SetLastError = true)]
    private static partial int prctl_native(int option, nuint a, nuint b, nuint c, nuint d);

    [LibraryImport("libc", EntryPoint = "getgroups", SetLastError = true)]
    private static partial int getgroups_native(int size, uint* list);

    [LibraryImport("libc", EntryPoint = "capget", SetLastError = true)]
    private static partial int capget_native(__user_cap_header_struct* header, __user_cap_data_struct* data);
}
