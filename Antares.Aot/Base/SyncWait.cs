using System.Diagnostics;

namespace Antares.Aot.Base;

/// <summary>
/// Waits for one disk to make something durable. They take 0.2 ms or 200, and fetching another thread for the other requests meanwhile
/// (<see cref="RequestWait.Announce"/>) costs the next request of the same client some 0.14 ms: so that is done when the last one was long, or
/// when a request is there already. What turns out to be long nevertheless is seen by the watching thread of the loop.
/// </summary>
/// <remarks>For any number of threads: what they note is an estimate, and one that is lost does no harm.</remarks>
public sealed class SyncWait
{
    // Several times of what fetching a thread takes.
    private const int LongUs = 500;

    // What is remembered at most, so that a few short ones outweigh it.
    private const int MostUs = 8 * LongUs;

    // There was nothing to sync, which tells nothing of the disk.
    private const int NothingUs = 50;

    private static readonly long s_perMicrosecond = Math.Max(1, Stopwatch.Frequency / 1_000_000);

    private long _expected;
    private long _open;

    /// <summary>True while the next one is expected to be long: the last ones were, or one that is under way is.</summary>
    public bool IsLong
    {
        get
        {
            long open = Volatile.Read(ref _open);
            return Volatile.Read(ref _expected) > LongUs * s_perMicrosecond
                || (open != 0 && Stopwatch.GetTimestamp() - open > LongUs * s_perMicrosecond);
        }
    }

    /// <summary>Before the wait.</summary>
    /// <returns>For <see cref="End"/>.</returns>
    public long Begin()
    {
        if (IsLong || RequestWait.IsAnotherThere)
        {
            _ = RequestWait.Announce(); // waits in any case
        }

        long now = Stopwatch.GetTimestamp();
        _ = Interlocked.CompareExchange(ref _open, now, 0); // the first of several that are under way is watched
        return now;
    }

    /// <summary>After the wait: a long one is believed at once, shorter ones after a few.</summary>
    /// <param name="began">What <see cref="Begin"/> gave.</param>
    public void End(long began)
    {
        _ = Interlocked.CompareExchange(ref _open, 0, began); // another one may be watched
        Note(Stopwatch.GetTimestamp() - began);
    }

    internal void Note(long ticks)
    {
        long expected = Volatile.Read(ref _expected);
        if (ticks > expected)
        {
            Volatile.Write(ref _expected, Math.Min(ticks, MostUs * s_perMicrosecond));
        }
        else if (ticks > NothingUs * s_perMicrosecond)
        {
            Volatile.Write(ref _expected, expected - ((expected - ticks) / 2));
        }
    }
}
