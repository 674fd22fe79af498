using System.Runtime.InteropServices;

namespace Antares.Interop;

/// <summary>
/// Signals taken by waiting, never by a handler: managed code must not run in one. A signal sent to the process goes to any
/// thread that does not block it, and the runtime has a finalizer thread before Main runs, which would take SIGTERM with its
/// default action and end the process. So the set is blocked in the C main before the runtime starts (every thread inherits
/// it, <see cref="Spawn"/> gives children an empty mask); <see cref="Block"/> here serves single threads and tests.
/// </summary>
public static unsafe partial class Signals
{
    public const int SIGHUP = 1;
    public const int SIGINT = 2;
    public const int SIGQUIT = 3;
    public const int SIGABRT = 6;
    public const int SIGKILL = 9;
    public const int SIGUSR1 = 10;
    public const int SIGSEGV = 11;
    public const int SIGUSR2 = 12;
    public const int SIGPIPE = 13;
    public const int SIGALRM = 14;
    public const int SIGTERM = 15;
    public const int SIGCHLD = 17;
    public const int SIGCONT = 18;
    public const int SIGSTOP = 19;
    public const int SIGTSTP = 20;
    public const int SIGXFSZ = 25;
    public const int SIGWINCH = 28;

    public const int SIG_BLOCK = 0;
    public const int SIG_UNBLOCK = 1;
    public const int SIG_SETMASK = 2;

    public const int SFD_CLOEXEC = 0x80000;
    public const int SFD_NONBLOCK = 0x800;

    public const short POLLIN = 1;
    public const short POLLPRI = 2;
    public const short POLLOUT = 4;
    public const short POLLERR = 8;
    public const short POLLHUP = 16;
    public const short POLLNVAL = 32;

    /// <summary>The set of these signals (1–64 each).</summary>
    public static sigset_t SetOf(params ReadOnlySpan<int> signals)
    {
        sigset_t set = default;
        foreach (int signal in signals)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(signal, 1, nameof(signals));
            ArgumentOutOfRangeException.ThrowIfGreaterThan(signal, 64, nameof(signals));
            set.__val[0] |= 1UL << (signal - 1);
        }

        return set;
    }

    /// <summary>The set of all signals, without the two that libc keeps for itself.</summary>
    public static sigset_t All()
    {
        sigset_t set = default;
        // The kernel knows 64; 32 and 33 belong to the threads library.
        set.__val[0] = ~(3UL << 31);
        return set;
    }

    /// <summary>Blocks the set in the calling thread and in every thread that it starts from now on.</summary>
    public static Errno Block(in sigset_t set)
    {
        fixed (sigset_t* pointer = &set)
        {
            return (Errno)pthread_sigmask(SIG_BLOCK, pointer, null);
        }
    }

    /// <summary>Unblocks the set in the calling thread.</summary>
    public static Errno Unblock(in sigset_t set)
    {
        fixed (sigset_t* pointer = &set)
        {
            return (Errno)pthread_sigmask(SIG_UNBLOCK, pointer, null);
        }
    }

    /// <summary>What the calling thread blocks.</summary>
    public static Errno Blocked(out sigset_t set)
    {
        fixed (sigset_t* pointer = &set)
        {
            *pointer = default;
            return (Errno)pthread_sigmask(SIG_BLOCK, null, pointer);
        }
    }

    /// <summary>Is <paramref name="signal"/> in the set?</summary>
    public static bool Contains(in sigset_t set, int signal) => (set.__val[0] & (1UL << (signal - 1))) != 0;

    /// <summary>Waits until one of the set (blocked in all threads) comes and takes it. EINTR is retried inside.</summary>
    public static Errno WaitSignal(in sigset_t set, out int signal)
    {
        fixed (sigset_t* pointer = &set)
        {
            long result;
            do
            {
                result = sigwaitinfo(pointer, null);
            }
            while (Returned.Interrupted(result));

            return Returned.Of(result, out signal);
        }
    }

    /// <summary>A descriptor that is readable (<see cref="signalfd_siginfo"/>) when one of the set (blocked in all threads) has come.</summary>
    public static Errno SignalFd(in sigset_t set, int flags, out int fd)
    {
        fixed (sigset_t* pointer = &set)
        {
            return Returned.Descriptor(signalfd(-1, pointer, flags), out fd);
        }
    }

    /// <summary>
    /// Waits for descriptors (POLL*) up to <paramref name="timeoutMs"/> (negative: without end); <paramref name="ready"/> is 0
    /// when the time is over. EINTR is retried with what is left of the time.
    /// </summary>
    public static Errno Poll(pollfd* fds, int count, int timeoutMs, out int ready)
    {
        long deadline = timeoutMs < 0 ? long.MaxValue : Environment.TickCount64 + timeoutMs;
        long result;
        while (true)
        {
            result = poll(fds, (nuint)count, timeoutMs);
            if (!Returned.Interrupted(result))
            {
                return Returned.Of(result, out ready);
            }

            if (timeoutMs >= 0)
            {
                timeoutMs = (int)Math.Max(0, deadline - Environment.TickCount64);
            }
        }
    }

    /// <summary>
    /// As poll, with the signal mask exchanged meanwhile (unless null). The one call here that answers EINTR: a caller who
    /// passes a mask wants to hear of the signal.
    /// </summary>
    public static Errno Ppoll(pollfd* fds, int count, timespec* timeout, sigset_t* mask, out int ready) =>
        Returned.Of(ppoll(fds, (nuint)count, timeout, mask), out ready);

    [LibraryImport("libc")]
    private static partial int pthread_sigmask(int how, sigset_t* set, sigset_t* old);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int sigwaitinfo(sigset_t* set, void* info);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int signalfd(int fd, sigset_t* set, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int poll(pollfd* fds, nuint count, int timeoutMs);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int ppoll(pollfd* fds, nuint count, timespec* timeout, sigset_t* mask);
}
