using System.Diagnostics;
using Antares.Interop;
using Log = Antares.Aot.Diagnostics.Log;

namespace Antares.Aot.Fuse;

/// <summary>
/// How many threads read the device, and whether the one that does looks for the next request for a moment before it sleeps. Decided by what the requests
/// take, a few dozen at a time.
/// </summary>
/// <remarks>
/// While requests are short, one thread for all of them is the quickest: the processor that it leaves is the client's, and it is never woken beside
/// another. When they are long (contents that are unpacked, a slow disk), or on larger machines when they pile up, more threads read.
/// Between two requests of one client there are some microseconds in which a thread that goes to sleep costs two wake-ups; one that looks again costs none.
/// It does so only while the next request mostly comes in time, and never where the process has less than two processors.
/// For looking the device is set to O_NONBLOCK. A thread that does not look and finds nothing waits in poll(2) then; since poll wakes all who wait there,
/// the flag is set only while one thread reads. <see cref="Note"/> is called by threads side by side: what changes the state takes a lock, which is rare.
/// </remarks>
internal sealed unsafe class ReaderMode
{
    /// <summary>A thread decides about the number of readers this often.</summary>
    public const int RequestsOfALook = 32;

    // On average: with longer ones more threads read, with shorter ones one. Waking a thread takes from 3 to 20.
    private const int LongUs = 100;
    private const int ShortUs = 50;

    // A thread looks so long for the next request. Compilers and archivers ask again within 5 to 20.
    private const int LookUs = 40;

    // The same where the wait is one asleep: the thread's own wake-up is in it.
    private const int LookUsAsleep = 70;

    // A request that is there after less than this, and what it took to copy its bytes, was there before the thread came back.
    private const int AtOnceUs = 3;
    private const int BytesOfMicrosecond = 8192;
    private const int ManyAtOnce = RequestsOfALook * 3 / 4;
    private const int FewAtOnce = RequestsOfALook / 4;

    // A processor or two are kept busy by one thread and its clients.
    private const int FewProcessors = 2;

    // Each request in time counts one, each other takes some of them: looking pays when at least four of five come in time.
    private const int MostCredit = 32;
    private const int CreditToLook = 16;
    private const int CreditOfAMiss = 4;

    private static readonly long s_perMicrosecond = Math.Max(1, Stopwatch.Frequency / 1_000_000);

    private readonly int _device;
    private readonly int _wanted;
    private readonly int _processors;
    private readonly Log _log;
    private readonly Lock _lock = new();
    private readonly Func<bool> _hasProcessors;
    private bool _mayLook;
    private bool _counted;
    private volatile bool _one = true;
    private volatile bool _looks;
    private long _times;

    /// <param name="device">Descriptor of the mount.</param>
    /// <param name="wanted">Threads that read while requests are long, at least 1.</param>
    /// <param name="processors">Those that the process may use.</param>
    /// <param name="mayLook">Whether a thread may look for requests at all.</param>
    /// <param name="hasProcessors">Asked before the first look: false where the process may not use two whole processors.</param>
    /// <param name="log">Told when the device cannot be set up for it.</param>
    public ReaderMode(int device, int wanted, int processors, bool mayLook, Func<bool> hasProcessors, Log log)
    {
        _device = device;
        _wanted = wanted;
        _processors = processors;
        _mayLook = mayLook && processors > 1;
        _hasProcessors = hasProcessors;
        _log = log;
    }

    /// <summary>Threads that may read at a time.</summary>
    public int Readers => _one ? 1 : _wanted;

    /// <summary>True while the one that reads looks for the next request before it sleeps.</summary>
    public bool IsLooking => _looks;

    /// <summary>How often that began.</summary>
    public long Times => Volatile.Read(ref _times);

    /// <summary>Notes a request of the calling thread.</summary>
    /// <param name="context">Of the calling thread; what is summed up is kept there.</param>
    /// <param name="waited">Ticks of <see cref="Stopwatch"/> from the end of the one before to this one's arrival; negative: it tells nothing.</param>
    /// <param name="served">Ticks from its arrival to its end; negative: another thread was fetched to read meanwhile, so it held up nobody.</param>
    /// <param name="bytes">How many of it were copied.</param>
    /// <returns>True: from now on more threads are to read, and the caller fetches them.</returns>
    public bool Note(RequestContext* context, long waited, long served, nuint bytes)
    {
        bool looks = _looks;
        int before = context->Credit;
        if (waited >= 0)
        {
            // Who has no credit waits asleep, also while another looks.
            bool looked = looks && before >= CreditToLook;
            waited -= (long)(bytes / BytesOfMicrosecond) * s_perMicrosecond;
            context->Credit = waited < (looked ? LookUs : LookUsAsleep) * s_perMicrosecond
                ? Math.Min(before + 1, MostCredit)
                : Math.Max(before - CreditOfAMiss, 0);
            if (waited < AtOnceUs * s_perMicrosecond)
            {
                context->AtOnce++;
            }
        }

        bool decides = false;
        if (served >= 0)
        {
            context->ServedTicks += served;
            decides = ++context->Noted == RequestsOfALook;
        }

        // Of threads that take turns only the one whose requests came in time so far, or that has seen many, says that they no longer do.
        if (looks ? context->Credit == 0 && (before > 0 || decides) : _mayLook && _one && context->Credit >= CreditToLook)
        {
            Look(!looks);
        }

        if (!decides)
        {
            return false;
        }

        long average = context->ServedTicks / RequestsOfALook;
        int atOnce = _processors > FewProcessors ? context->AtOnce : 0;
        context->Noted = 0;
        context->AtOnce = 0;
        context->ServedTicks = 0;
        return Decide(average, atOnce);
    }

    /// <summary>Waits for a request, O_NONBLOCK being set and none there.</summary>
    /// <param name="context">Of the calling thread.</param>
    /// <param name="since">When its last request ended, in ticks of <see cref="Stopwatch"/>.</param>
    /// <remarks>Comes back when it is worth to read again, which may find nothing still.</remarks>
    public void Await(RequestContext* context, long since)
    {
        // Some 0.2 us, as long as the read(2) that follows takes.
        const int SpinsOfALook = 6;
        if (_looks && context->Credit >= CreditToLook && Stopwatch.GetTimestamp() - since < LookUs * s_perMicrosecond)
        {
            Thread.SpinWait(SpinsOfALook);
            return;
        }

        var device = new pollfd { fd = _device, events = Signals.POLLIN };
        Errno error = Signals.Poll(&device, 1, -1, out _);
        if (error != Errno.None)
        {
            GiveUpLooking($"poll: {error}");
        }
    }

    private bool Decide(long average, int atOnce)
    {
        if (_wanted == 1)
        {
            return false;
        }

        lock (_lock)
        {
            bool one = _one ? average <= LongUs * s_perMicrosecond && atOnce < ManyAtOnce : average < ShortUs * s_perMicrosecond && atOnce <= FewAtOnce;
            bool many = _one && !one;
            if (many)
            {
                SetLooking(false);
            }

            _one = one;
            return many;
        }
    }

    private void Look(bool on)
    {
        lock (_lock)
        {
            if (on && !_counted)
            {
                _counted = true;
                _mayLook = _mayLook && _hasProcessors();
            }

            SetLooking(on && _one);
        }
    }

    private void GiveUpLooking(string reason)
    {
        lock (_lock)
        {
            _mayLook = false;
            SetLooking(false);
        }

        _log.Debug($"requests are waited for asleep: {reason}");
    }

    private void SetLooking(bool on)
    {
        if (_looks == on || (on && !_mayLook))
        {
            return;
        }

        Errno error = Fd.Setfl(_device, on ? Fcntl.O_NONBLOCK : 0);
        if (error != Errno.None)
        {
            _mayLook = false;
            _log.Debug($"requests are waited for asleep: F_SETFL: {error}");
            return;
        }

        _looks = on;
        if (on)
        {
            _ = Interlocked.Increment(ref _times); // a gauge
        }
    }
}
