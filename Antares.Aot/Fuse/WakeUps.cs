using System.Diagnostics;
using System.Text;
using Antares.Interop;
using Log = Antares.Aot.Diagnostics.Log;

namespace Antares.Aot.Fuse;

/// <summary>
/// Keeps the processors from sleeping deeply while requests come in one after the other. Each request is two wake-ups, ours and that of who waits
/// for the answer; where an idle processor is halted, a wake-up takes longer than most requests.
/// </summary>
/// <remarks>
/// What is asked for is the kernel's bound for the time that a processor takes to wake (PM QoS, /dev/cpu_dma_latency; Linux
/// Documentation/power/pm_qos_interface.rst). It holds for all processors while the descriptor is open and says so, and ends with the
/// process at the latest. Asked for only while requests are dense, and given back some milliseconds after the last of them. Without the right to
/// open the device (it is root's), or where processors have one way to idle only, nothing is done.
/// </remarks>
internal sealed unsafe class WakeUps : IDisposable
{
    /// <summary>A thread tells of its requests this often.</summary>
    public const int RequestsOfABurst = 32;

    private const string Device = "/dev/cpu_dma_latency";
    private const string DriverFile = "/sys/devices/system/cpu/cpuidle/current_driver";

    // So many requests of one thread within this time are a burst; a compiler that reads its headers now and then sends fewer.
    private const int BurstMs = 8;

    // Requests within one tick that keep the bound; with fewer the processors may sleep again.
    private const int TickMs = 4;
    private const int LeastOfATick = 4;

    // Ticks without enough requests after which the bound is given back.
    private const int QuietTicks = 3;

    // PM_QOS_CPU_LATENCY_DEFAULT_VALUE: no bound.
    private const int NoBound = 2_000_000_000;

    private readonly Func<long> _served;
    private readonly Log _log;
    private readonly AutoResetEvent _burst = new(false);
    private int _state;
    private int _fd = -1;
    private long _times;
    private volatile bool _ending;

    /// <param name="served">Requests that were answered so far.</param>
    /// <param name="log">Told once why nothing is done.</param>
    public WakeUps(Func<long> served, Log log)
    {
        _served = served;
        _log = log;
    }

    private enum State
    {
        /// <summary>No burst so far: there is no thread yet.</summary>
        New,

        /// <summary>The thread waits for a burst.</summary>
        Waiting,

        /// <summary>The bound is asked for.</summary>
        Held,

        /// <summary>It cannot be had here.</summary>
        Never,
    }

    /// <summary>True while the kernel is asked for quick wake-ups.</summary>
    public bool IsHeld => Volatile.Read(ref _state) == (int)State.Held;

    /// <summary>How often it was asked.</summary>
    public long Times => Volatile.Read(ref _times);

    /// <summary>A thread has answered <see cref="RequestsOfABurst"/> more requests. Allocates once, at the first burst.</summary>
    /// <param name="before">When it told so last, in ticks of <see cref="Stopwatch"/>; becomes the present time.</param>
    public void Tell(ref long before)
    {
        long now = Stopwatch.GetTimestamp();
        bool isBurst = now - before < BurstMs * Stopwatch.Frequency / 1000;
        before = now;
        if (!isBurst)
        {
            return;
        }

        switch ((State)Volatile.Read(ref _state))
        {
            case State.New:
                if (Interlocked.CompareExchange(ref _state, (int)State.Waiting, (int)State.New) == (int)State.New)
                {
                    StartThread();
                    _ = _burst.Set(); // cannot fail
                }

                break;
            case State.Waiting:
                _ = _burst.Set(); // cannot fail
                break;
        }
    }

    /// <summary>The mount is gone.</summary>
    public void Dispose()
    {
        _ending = true;
        _ = _burst.Set(); // cannot fail
    }

    private void StartThread()
    {
        const int Stack = 128 * 1024;
        try
        {
            new Thread(Run, Stack) { IsBackground = true, Name = "fuse-wakeups" }.Start();
        }
        catch (Exception exception) when (exception is OutOfMemoryException or ThreadStartException)
        {
            Give(exception.Message);
        }
    }

    private void Run()
    {
        int bound = BoundOf(CpuIdleDriver());
        if (bound == NoBound)
        {
            Give("processors here have one way to idle only");
            return;
        }

        using CString path = Utf8.Native(Device);
        Errno error = Fd.Openat(Fcntl.AT_FDCWD, path, Fcntl.O_WRONLY | Fcntl.O_CLOEXEC, 0, out _fd);
        if (error != Errno.None)
        {
            Give($"{Device}: {error}");
            return;
        }

        using var owner = new OwnedFd(_fd);
        while (!_ending)
        {
            _ = _burst.WaitOne(); // without a timeout it comes back signalled
            if (_ending)
            {
                return;
            }

            if (!Ask(bound))
            {
                return;
            }

            Volatile.Write(ref _state, (int)State.Held);
            _ = Interlocked.Increment(ref _times); // a gauge
            HoldWhileBusy();
            Volatile.Write(ref _state, (int)State.Waiting);
            if (!Ask(NoBound))
            {
                return;
            }
        }
    }

    private void HoldWhileBusy()
    {
        long seen = _served();
        for (int quiet = 0; quiet < QuietTicks && !_ending;)
        {
            Thread.Sleep(TickMs);
            long served = _served();
            quiet = served - seen >= LeastOfATick ? 0 : quiet + 1;
            seen = served;
        }
    }

    // False: the kernel does not take it, which ends all further tries (and what was asked for, with the descriptor).
    private bool Ask(int microseconds)
    {
        Errno error = FileIo.Write(_fd, &microseconds, sizeof(int), out nuint written);
        if (error == Errno.None && written == sizeof(int))
        {
            return true;
        }

        Give($"{Device}: {error}");
        return false;
    }

    private void Give(string reason)
    {
        Volatile.Write(ref _state, (int)State.Never);
        _log.Debug($"wake-ups take as long as the processors sleep: {reason}");
    }

    /// <summary>
    /// The bound in microseconds for a cpuidle driver. A guest's (haltpoll) has polling and the halt, which only a bound of 0 rules out; others have a light
    /// sleep that wakes within two and saves what polling would burn. <see cref="NoBound"/>: there is nothing to choose between.
    /// </summary>
    internal static int BoundOf(string driver) => driver switch
    {
        "haltpoll" => 0,
        "" or "none" => NoBound,
        _ => 2,
    };

    private static string CpuIdleDriver()
    {
        try
        {
            return File.ReadAllText(DriverFile, Encoding.ASCII).Trim();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return ""; // no such directory: no cpuidle
        }
    }
}
