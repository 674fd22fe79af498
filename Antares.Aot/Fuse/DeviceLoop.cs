using System.Diagnostics;
using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Interop;
using Log = Antares.Aot.Diagnostics.Log;

namespace Antares.Aot.Fuse;

/// <summary>
/// Our threads on /dev/fuse: a read, the request, the next read. One while requests are short, a few otherwise (<see cref="ReaderMode"/>), since idle
/// readers are woken in turn and each one more makes a single client slower; more only while some are stuck.
/// </summary>
/// <remarks>
/// At most <see cref="ReaderMode.Readers"/> threads wait for a request at a time; a thread that comes back and finds the places taken parks, and ends
/// when nobody needs it for a while, unless it is the only spare one. When no thread reads, a watching thread looks every few milliseconds whether requests are stuck (a big
/// copy-up, an fsync, a fetch); for each that is, it wakes a parked thread or starts one, up to the bound. It sleeps when it has
/// seen readers for a while, so that an idle mount has no timer. A thread that knows that it will wait says so (<see cref="RequestWait"/>) and is
/// replaced at once.
/// </remarks>
internal sealed unsafe partial class DeviceLoop
{
    private const int TickMs = 4;
    private const int QuietTicks = 10;

    // More than a thread waits for a processor on a busy machine: those that only wait for their turn are not helped by one more.
    private const int StuckMs = 10;
    private const int ParkMs = 10_000;

    // Threads that stay however long nobody needs them: one that reads, and one for when that one is stuck, since a new one may not be had then.
    private const int Staying = 2;
    private const int ThreadStack = 1 << 20;

    // Reads in a row that find no memory, and the time between them.
    private const int MostFailedReads = 100;
    private const int FailedReadMs = 10;

    // Contexts are apart by pairs of cache lines, which the prefetcher takes together.
    private const int ContextStride = 256;

    private readonly int _device;
    private readonly ReaderMode _mode;
    private readonly int _most;
    private readonly Dispatcher _dispatcher;
    private readonly OwnThreads _ownThreads;
    private readonly Log _log;
    private readonly WakeUps? _wakeUps;
    private readonly Func<bool> _onWaiting;
    private readonly Func<bool> _isRequestLeft;
    private readonly Lock _lock = new();
    private readonly byte* _contexts;
    private readonly bool[] _used;
    private readonly Semaphore _parked = new(0, int.MaxValue); // unlike SemaphoreSlim it does not spin
    private readonly AutoResetEvent _watch = new(false);
    private readonly ManualResetEventSlim _running = new();
    private readonly ManualResetEventSlim _ended = new();
    private int _alive;
    private int _started;
    private int _readers;
    private int _parkedCount;
    private int _retiring;
    private int _watching;
    private bool _watcherStarted;
    private volatile bool _lacksWatcher;
    private bool _lacksThreads;
    private volatile bool _ending;

    /// <param name="device">Descriptor of the mount, INIT answered.</param>
    /// <param name="wanted">Threads that wait for requests while these are long, at least 1.</param>
    /// <param name="most">Bound for all threads.</param>
    /// <param name="dispatcher">Answers a request.</param>
    /// <param name="ownThreads">Where the threads enter themselves.</param>
    /// <param name="quickWakeUps">
    /// Keep processors from sleeping deeply while requests are dense, and look for the next one before sleeping; null: the former unless there are many.
    /// </param>
    /// <param name="log">For the end of the loop.</param>
    public DeviceLoop(int device, int wanted, int most, Dispatcher dispatcher, OwnThreads ownThreads, bool? quickWakeUps, Log log)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(wanted, 1);
        Debug.Assert(sizeof(RequestContext) <= ContextStride, "contexts must not overlap");
        _device = device;
        _mode = new ReaderMode(device, wanted, Environment.ProcessorCount, quickWakeUps != false, ProcessorQuota.AllowsTwo, log);
        _most = Math.Max(wanted, most);
        _dispatcher = dispatcher;
        _ownThreads = ownThreads;
        _log = log;
        _wakeUps = quickWakeUps == false ? null : new WakeUps(Weight, asked: quickWakeUps == true, log);
        _onWaiting = ReplaceMe;
        _isRequestLeft = IsRequestLeft;
        _used = new bool[_most];
        nuint size = (nuint)(_most * ContextStride);
        _contexts = (byte*)NativeMemory.AlignedAlloc(size, ContextStride);
        NativeMemory.Clear(_contexts, size);
    }

    ~DeviceLoop() => NativeMemory.AlignedFree(_contexts);

    /// <summary>Threads of the loop that live now.</summary>
    public int Threads => Volatile.Read(ref _alive);

    /// <summary>Threads that were started so far.</summary>
    public int Started => Volatile.Read(ref _started);

    /// <summary>Threads that are parked.</summary>
    public int Parked => Volatile.Read(ref _parkedCount);

    public bool HasEnded => _ended.IsSet;

    /// <summary>Requests that were read so far.</summary>
    public long Served => Counts().Served;

    /// <summary>Writes whose data were taken from the device into a pipe (<see cref="PipedRequests"/>) so far.</summary>
    public long Piped => Counts().Piped;

    /// <summary>What keeps wake-ups quick; null: not wanted.</summary>
    public WakeUps? WakeUps => _wakeUps;

    /// <summary>How many threads read, and how they wait.</summary>
    public ReaderMode Mode => _mode;

    /// <summary>Starts the first thread, which is enough to answer.</summary>
    public void Start() => _ = AddThread(); // WaitRunning tells

    /// <summary>Starts the one that is to be there when the first is stuck; others follow when they are needed. Costs the caller the time until it runs.</summary>
    public void StartOther()
    {
        if (_most > 1)
        {
            _ = AddThread(); // without it the mount is slower, and it is told
        }
    }

    /// <summary>Waits until a thread serves. False: not within <paramref name="timeoutMs"/>.</summary>
    public bool WaitRunning(int timeoutMs) => _running.Wait(timeoutMs);

    /// <summary>Waits until the mount is gone and all threads have ended.</summary>
    public void WaitEnd() => _ended.Wait();

    /// <summary>As <see cref="WaitEnd()"/>; false: not within <paramref name="timeoutMs"/>.</summary>
    public bool WaitEnd(int timeoutMs) => _ended.Wait(timeoutMs);

    private (long Served, long Piped) Counts()
    {
        long served = 0, piped = 0;
        for (int slot = 0; slot < _most; slot++)
        {
            served += Volatile.Read(ref Context(slot)->Served);
            piped += Volatile.Read(ref Context(slot)->Piped);
        }

        return (served, piped);
    }

    private long Weight()
    {
        long weight = 0;
        for (int slot = 0; slot < _most; slot++)
        {
            weight += Volatile.Read(ref Context(slot)->Weight);
        }

        return weight;
    }

    private RequestContext* Context(int slot) => (RequestContext*)(_contexts + (slot * ContextStride));

    // False: all are there that may be, or none was to be had.
    private bool AddThread()
    {
        int slot;
        lock (_lock)
        {
            slot = Array.IndexOf(_used, false);
            if (slot < 0 || _ending)
            {
                return false;
            }

            _used[slot] = true;
            _alive++;
            _started++;
        }

        LoopBuffer? buffer = null;
        try
        {
            buffer = new LoopBuffer();
            new Thread(() => Run(slot, buffer), ThreadStack) { IsBackground = true, Name = $"fuse-{slot}" }.Start();
            return true;
        }
        catch (Exception exception) when (exception is OutOfMemoryException or ThreadStartException)
        {
            buffer?.Dispose();
            if (!Interlocked.Exchange(ref _lacksThreads, true))
            {
                _log.Warn($"no further thread for requests: {exception.Message}; more are asked for when they are needed, without a further warning");
            }

            if (Leave(slot, retires: false) && _ending)
            {
                _ended.Set();
            }

            return false;
        }
    }

    private void Run(int slot, LoopBuffer given)
    {
        using LoopBuffer buffer = given;
        var piped = new PipedRequests(_device);
        RequestContext* context = Context(slot);
        context->Started = 0;
        context->Header = buffer.Request;
        context->ReplyBuffer = buffer.Reply;
        context->ReplyCapacity = LoopBuffer.ReplyCapacity;
        RequestContext.Current = context;
        LibfuseMessages.Route(_log);
        RequestWait.Attach(_onWaiting, _isRequestLeft);
        _dispatcher.Attach(serves: true);

        // Memory that this thread asks for must not wait until dirty pages are written, which may be those of this very mount. Without
        // CAP_SYS_RESOURCE (EPERM), or before Linux 5.6 (EINVAL), it goes without.
        _ = Interop.Process.Prctl(Interop.Process.PR_SET_IO_FLUSHER, 1, 0, 0, 0, out _);
        _ownThreads.Enter();
        _running.Set();

        bool retires = Serve(context, piped);
        piped.Dispose();

        _ownThreads.Leave();
        RequestContext.Current = null;
        RequestWait.Attach(null);
        _dispatcher.Attach(serves: false);
        if (Leave(slot, retires))
        {
            _ended.Set();
        }
    }

    // True: the thread was not needed for a while; false: the mount is gone.
    private bool Serve(RequestContext* context, PipedRequests piped)
    {
        long ended = Stopwatch.GetTimestamp();
        bool isFetched = true;
        int failed = 0;
        while (true)
        {
            if (!TryBeginRead())
            {
                piped.GiveUp();
                if (!Park(out bool retires))
                {
                    return retires;
                }

                ended = Stopwatch.GetTimestamp();
                isFetched = true;
                continue;
            }

            bool isFromPipe = piped.AreExpected;
            Errno error = ReadNext(context, piped, ended, out nuint got);
            long arrived = Stopwatch.GetTimestamp();
            EndRead();
            switch (error)
            {
                case Errno.None when got == 0:
                    // /dev/fuse has no end of file; what stands in for it may.
                    End(Errno.ENODEV);
                    return false;
                case Errno.None:
                    failed = 0;
                    CountRequest(context, got);
                    _dispatcher.Serve(context, got, arrived);
                    piped.Note(got);
                    // Who was fetched waited for somebody's long request, not for the client.
                    long waited = isFetched ? -1 : arrived - ended;
                    isFetched = false;
                    ended = context->Ended;
                    long served = context->Replaced ? -1 : ended - arrived;
                    context->Replaced = false;
                    if (_mode.Note(context, waited, served, isFromPipe ? 0 : got))
                    {
                        // All places at the device are to be taken; this thread takes one of them.
                        _ = Fetch(_mode.Readers - 1); // fewer serve too
                    }

                    break;
                case Errno.ENOENT:
                    // The request was taken back while we were about to read it.
                    break;
                case Errno.ENOMEM or Errno.EFAULT when ++failed <= MostFailedReads:
                    // No memory for the pages of our buffer (a limit of the group): the kernel has answered this one request with EIO, and may have the next.
                    if (failed == 1)
                    {
                        _log.Warn($"a request was lost to {error} while it was read; its program was told EIO");
                    }

                    Thread.Sleep(FailedReadMs);
                    break;
                default:
                    End(error);
                    return false;
            }
        }
    }

    private Errno ReadNext(RequestContext* context, PipedRequests piped, long since, out nuint got)
    {
        while (true)
        {
            Errno error = piped.AreExpected
                ? piped.Read(context, out got)
                : FileIo.Read(_device, context->Header, LoopBuffer.RequestCapacity, out got);
            if (error != Errno.EAGAIN)
            {
                return error;
            }

            _mode.Await(context, since);
        }
    }

    private void CountRequest(RequestContext* context, nuint got)
    {
        Volatile.Write(ref context->Served, context->Served + 1);
        long before = context->Weight;
        long weight = before + (got >= WakeUps.LargeBytes || context->ReadSize >= WakeUps.LargeBytes ? WakeUps.WeightOfALarge : 1);
        Volatile.Write(ref context->Weight, weight);
        if (weight / WakeUps.WeightOfABurst != before / WakeUps.WeightOfABurst)
        {
            _wakeUps?.Tell(ref context->Told);
        }
    }

    private bool TryBeginRead()
    {
        int seen = Volatile.Read(ref _readers);
        while (seen < _mode.Readers)
        {
            int before = Interlocked.CompareExchange(ref _readers, seen + 1, seen);
            if (before == seen)
            {
                return true;
            }

            seen = before;
        }

        return false;
    }

    private void EndRead()
    {
        if (Interlocked.Decrement(ref _readers) == 0 && Volatile.Read(ref _watching) == 0)
        {
            WakeWatcher();
        }
    }

    // The calling thread is about to wait for long (a fetch): another one reads in its place at once, not only when the watching thread
    // has seen it stuck. False: nobody was to be had, and nobody reads.
    private bool ReplaceMe()
    {
        RequestContext* context = RequestContext.Current;
        if (context != null)
        {
            context->Replaced = true;
        }

        return Volatile.Read(ref _readers) >= _mode.Readers || Fetch(1) || Volatile.Read(ref _readers) > 0;
    }

    private bool IsRequestLeft()
    {
        if (_lacksWatcher)
        {
            // Nobody would see that the wait is long.
            return true;
        }

        if (Volatile.Read(ref _readers) > 0)
        {
            return false;
        }

        var device = new pollfd { fd = _device, events = Signals.POLLIN };
        return Signals.Poll(&device, 1, 0, out int ready) == Errno.None && ready > 0;
    }

    // False: not all of them were to be had.
    private bool Fetch(int count)
    {
        int parked;
        lock (_lock)
        {
            parked = Math.Min(count, _parkedCount);
            _parkedCount -= parked;
            if (parked > 0)
            {
                _ = _parked.Release(parked); // the count before is of no interest
            }
        }

        for (; parked < count; parked++)
        {
            if (!AddThread())
            {
                return false;
            }
        }

        return true;
    }

    // False: the thread is to end, since the mount does or (retires) nobody needed it for a while. Those that wait are those in _parkedCount
    // and those that Fetch has taken out of it, for each of which there is a release.
    private bool Park(out bool retires)
    {
        retires = false;
        int time = ParkMs;
        lock (_lock)
        {
            _parkedCount++;
        }

        while (!_ending && !_parked.WaitOne(time))
        {
            lock (_lock)
            {
                // With nobody to be fetched, all who still wait have been.
                if (_parkedCount > 0 && _alive - _retiring > Staying)
                {
                    _parkedCount--;
                    _retiring++;
                    retires = true;
                    return false;
                }

                time = Timeout.Infinite;
            }
        }

        return !_ending;
    }

    // True for the last thread to go.
    private bool Leave(int slot, bool retires)
    {
        lock (_lock)
        {
            _used[slot] = false;
            _retiring -= retires ? 1 : 0;
            return --_alive == 0;
        }
    }

    private void End(Errno error)
    {
        // ENODEV is how the kernel says that the mount is gone.
        if (error != Errno.ENODEV)
        {
            _log.Error($"reading requests failed with {error}: the mount ends");
        }

        lock (_lock)
        {
            if (_ending)
            {
                return;
            }

            _ending = true;
        }

        _dispatcher.End();
        _wakeUps?.Dispose();
        _ = _parked.Release(_most); // the count before is of no interest
        _ = _watch.Set(); // cannot fail
    }
}
