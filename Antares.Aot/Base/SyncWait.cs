using System.Diagnostics;

namespace Antares.Aot.Base;

/// <summary>
/// Waits for one disk to make something durable. They take 0.2 ms or 200, and fetching another thread for the other requests meanwhile
/// (<see cref="RequestWait.Announce"/>) costs the next request of the same client some 0.15 ms: so that is done when the last one was long, or
/// when a request is there already. What turns out to be long nevertheless is seen by the watching thread of the loop.
/// </summary>
/// <remarks>For any number of threads: what they note is an estimate, and one that is lost does no harm.</remarks>
public sealed class SyncWait
{
    // Several times of what fetching a thread takes.
    private const int LongUs = 500;

    private static readonly long s_long = LongUs * Stopwatch.Frequency / 1_000_000;

    private long _expected;

    /// <summary>True while the next one is expected to be long.</summary>
    public bool IsLong => Volatile.Read(ref _expected) > s_long;

    /// <summary>Before the wait.</summary>
    /// <returns>For <see cref="End"/>.</returns>
    public long Begin()
    {
        if (IsLong || RequestWait.IsAnotherThere)
        {
            RequestWait.Announce();
        }

        return Stopwatch.GetTimestamp();
    }

    /// <summary>After the wait: a long one is believed at once, shorter ones after a few.</summary>
    /// <param name="began">What <see cref="Begin"/> gave.</param>
    public void End(long began) => Note(Stopwatch.GetTimestamp() - began);

    internal void Note(long ticks)
    {
        long expected = Volatile.Read(ref _expected);
        Volatile.Write(ref _expected, ticks > expected ? ticks : expected - ((expected - ticks) / 2));
    }
}
