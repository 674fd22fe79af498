using System.Diagnostics;
using System.Globalization;
using Antares.Aot.Base;
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
/// open the device (it is root's), where processors have one way to idle only, and unasked on a machine with many processors, nothing is done.
/// </remarks>
internal sealed unsafe class WakeUps : IDisposable
{
    /// <summary>A thread tells of its requests when they have this weight.</summary>
    public const int WeightOfABurst = 32;

    /// <summary>Requests with as much data come less often, and the wake-ups are as large a part of what they take: each counts <see cref="WeightOfALarge"/> times.</summary>
    public const int LargeBytes = 64 << 10;

    public const int WeightOfALarge = 4;

    private const string Device = "/dev/cpu_dma_latency";

    // All processors keep awake: on a large machine that costs more than one job's requests are worth.
    private const int MostProcessors = 16;

    // Requests of one thread with that weight within this time are a burst; a compiler that reads its headers now and then sends fewer.
    private const int BurstMs = 8;

    // Weight of the requests within one tick that keeps the bound; with less the processors may sleep again.
    private const int TickMs = 4;
    private const int WeightOfATick = 16;

    // Ticks with less after which the bound is given back.
    private const int QuietTicks = 3;

    // PM_QOS_CPU_LATENCY_DEFAULT_VALUE: no bound.
    private const int NoBound = 2_000_000_000;

    private readonly Func<long> _weight;
    private readonly bool _asked;
    private readonly Log _log;
    private readonly AutoResetEvent _burst = new(false);
    private int _state;
    private int _fd = -1;
    private long _times;
    private volatile bool _ending;

    /// <param name="weight">Weight of all requests that came so far.</param>
    /// <param name="asked">The user wants it: also with many processors.</param>
    /// <param name="log">Told once why nothing is done.</param>
    public WakeUps(Func<long> weight, bool asked, Log log)
    {
        _asked = asked;
        _weight = weight;
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

    /// <summary>A thread has got requests of <see cref="WeightOfABurst"/> more. Allocates once, at the first burst.</summary>
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
        if (!_asked && CountOf(SmallFile.Read("/sys/devices/system/cpu/online"u8)) is var processors and > MostProcessors)
        {
            Give($"{processors} processors would have to keep awake");
            return;
        }

        int bound = BoundOf(SmallFile.Read("/sys/devices/system/cpu/cpuidle/current_driver"u8));
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
            _ = _burst.Reset(); // of the burst that was held; cannot fail
            Volatile.Write(ref _state, (int)State.Waiting);
            if (!Ask(NoBound))
            {
                return;
            }
        }
    }

    private void HoldWhileBusy()
    {
        long seen = _weight();
        for (int quiet = 0; quiet < QuietTicks && !_ending;)
        {
            Thread.Sleep(TickMs);
            long now = _weight();
            quiet = now - seen >= WeightOfATick ? 0 : quiet + 1;
            seen = now;
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

    /// <summary>Processors in a list as the kernel writes them ("0-3,8"); 0: that is none.</summary>
    internal static int CountOf(string list)
    {
        int count = 0;
        foreach (string part in list.Split(','))
        {
            string[] ends = part.Split('-');
            if (ends.Length > 2
                || !int.TryParse(ends[0], NumberStyles.None, CultureInfo.InvariantCulture, out int first)
                || !int.TryParse(ends[^1], NumberStyles.None, CultureInfo.InvariantCulture, out int last)
                || last < first)
            {
                return 0;
            }

            count += last - first + 1;
        }

        return count;
    }
}
