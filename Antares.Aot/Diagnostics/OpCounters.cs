using System.Diagnostics;
using System.Numerics;
using System.Runtime.CompilerServices;
using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Diagnostics;

/// <summary>
/// Counts per operation: how often, how long (a histogram over powers of two), which errno. Native memory, written with one
/// interlocked add per request, read at any time without stopping anybody.
/// </summary>
/// <remarks>
/// <code>
/// one slot per operation, 256 bytes, so that two operations never share a cache line
/// 0..23  latency buckets: bucket b counts requests of less than 2^b µs (and at least 2^(b-1)); the last one takes the rest
/// 24     longest latency in ticks of Stopwatch
/// 25..31 free
/// beside it, errors: 4 bytes per operation and errno
/// </code>
/// The count of an operation is the sum of its buckets. A reader may see a request counted and its errno not yet.
/// </remarks>
public sealed unsafe class OpCounters
{
    /// <summary>Buckets of the histogram; the last one starts at 2^22 µs, four seconds.</summary>
    public const int Buckets = 24;

    /// <summary>Highest errno that is counted by itself; what lies above is counted as this one (133 is EHWPOISON, the last of Linux).</summary>
    public const int MaxErrno = 134;

    private const int SlotLongs = 32;
    private const int MaxLatency = 24;
    private const nuint SlotBytes = OpNames.Slots * SlotLongs * sizeof(long);
    private const nuint ErrorBytes = OpNames.Slots * (MaxErrno + 1) * sizeof(int);

    private static readonly double s_microsecondsPerTick = 1_000_000.0 / Stopwatch.Frequency;

    private readonly long* _slots;
    private readonly int* _errors;

    public OpCounters()
    {
        _slots = (long*)ZeroPages.Allocate(SlotBytes); // pages are aligned more than enough
        _errors = (int*)ZeroPages.Allocate(ErrorBytes);
    }

    /// <summary>Counts one request. Allocates nothing, takes no lock.</summary>
    /// <param name="opcode">Number of the operation as the kernel gave it.</param>
    /// <param name="error">What was answered.</param>
    /// <param name="ticks">Time from having read the request to having answered it, in ticks of <see cref="Stopwatch"/>.</param>
    public void Record(uint opcode, Errno error, long ticks)
    {
        int op = OpNames.SlotOf(opcode);
        long* slot = _slots + (op * SlotLongs);
        _ = Interlocked.Increment(ref slot[BucketOf(ticks)]);
        if (ticks > slot[MaxLatency])
        {
            RaiseMax(ref slot[MaxLatency], ticks);
        }

        if (error != Errno.None)
        {
            uint number = Math.Min((uint)error, MaxErrno);
            _ = Interlocked.Increment(ref _errors[(op * (MaxErrno + 1)) + (int)number]);
        }
    }

    /// <summary>How many requests of an operation were answered.</summary>
    public long Count(int op)
    {
        long sum = 0;
        for (int bucket = 0; bucket < Buckets; bucket++)
        {
            sum += Volatile.Read(ref _slots[(op * SlotLongs) + bucket]);
        }

        return sum;
    }

    /// <summary>How many requests of an operation were answered with an errno.</summary>
    public long ErrorCount(int op, int errno) => Volatile.Read(ref _errors[(op * (MaxErrno + 1)) + errno]);

    /// <summary>Longest request of an operation, in whole microseconds.</summary>
    public long MaxMicroseconds(int op) => ToMicroseconds(Volatile.Read(ref _slots[(op * SlotLongs) + MaxLatency]));

    /// <summary>
    /// The latency that <paramref name="share"/> of the requests did not exceed, in microseconds: the upper end of the bucket, thus at
    /// most twice the truth, and never more than the longest request. 0 when there was none.
    /// </summary>
    /// <param name="op">Slot of the operation.</param>
    /// <param name="share">0.5 for the median, 0.99 for the ninety-ninth percentile.</param>
    public long Percentile(int op, double share)
    {
        long wanted = (long)Math.Ceiling(Count(op) * share);
        if (wanted == 0)
        {
            return 0;
        }

        long seen = 0;
        for (int bucket = 0; bucket < Buckets - 1; bucket++)
        {
            seen += Volatile.Read(ref _slots[(op * SlotLongs) + bucket]);
            if (seen >= wanted)
            {
                return Math.Min(1L << bucket, Math.Max(1, MaxMicroseconds(op)));
            }
        }

        return MaxMicroseconds(op);
    }

    // Freed when nobody can reach it any more, and not before: a thread that still answers a request counts it.
    ~OpCounters()
    {
        ZeroPages.Free(_slots, SlotBytes);
        ZeroPages.Free(_errors, ErrorBytes);
    }

    /// <summary>Bucket of a latency: 0 below 1 µs, then one per power of two.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static int BucketOf(long ticks) =>
        Math.Min(64 - BitOperations.LeadingZeroCount((ulong)ToMicroseconds(ticks)), Buckets - 1);

    private static long ToMicroseconds(long ticks) => (long)(ticks * s_microsecondsPerTick);

    private static void RaiseMax(ref long max, long value)
    {
        long seen = Volatile.Read(ref max);
        while (value > seen)
        {
            long before = Interlocked.CompareExchange(ref max, value, seen);
            if (before == seen)
            {
                return;
            }

            seen = before;
        }
    }
}
