using System.Text;
using System.Text.Json;
using Antares.Interop;

namespace Antares.Aot.Diagnostics;

/// <summary>
/// What a running mount can tell of itself: counters per operation, the ring of recent failures, operations it was asked for and does
/// not have, and gauges that the rooms add. Made before the mount, read at any time, outlives it.
/// </summary>
/// <remarks>The Write members may be called from any thread; they are cold and allocate.</remarks>
public sealed class MountDiagnostics
{
    /// <summary>What fits in its column; what a server did takes a line of its own.</summary>
    private const int LongestCall = 24;

    private readonly Lock _lock = new();
    private readonly List<(string Name, Func<long> Read)> _gauges = [];
    private readonly int[] _missing = new int[OpNames.Slots];
    private string _engine = "fuse";
    private string _reason = "";
    private string? _notSeen;

    public MountDiagnostics(Log? log = null) => Log = log ?? Log.Off;

    public Log Log { get; }

    public OpCounters Counters { get; } = new();

    public FailureRing Failures { get; } = new();

    /// <summary>Adds a number that is read when somebody asks: bytes held, entries cached, descriptors open.</summary>
    /// <param name="name">Lower case with underscores; a name used before is replaced.</param>
    /// <param name="read">Called from any thread; must neither block nor throw.</param>
    public void AddGauge(string name, Func<long> read)
    {
        lock (_lock)
        {
            _ = _gauges.RemoveAll(gauge => gauge.Name == name); // how many went is of no interest
            _gauges.Add((name, read));
        }
    }

    /// <summary>Says whose diagnostics these are. Before anybody asks.</summary>
    /// <param name="engine">As <c>--engine</c> spells it.</param>
    /// <param name="reason">Why it is this one, as a line for the user.</param>
    /// <param name="notSeen">What they cannot tell, as a line for the user; null: they tell all.</param>
    public void SetEngine(string engine, string reason, string? notSeen)
    {
        _engine = engine;
        _reason = reason;
        _notSeen = notSeen;
    }

    /// <summary>Notes that the kernel asked for an operation that this mount does not have; logged once per operation.</summary>
    /// <param name="opcode">Number of the operation.</param>
    public void NoteMissing(uint opcode)
    {
        int op = OpNames.SlotOf(opcode);
        if (Interlocked.Increment(ref _missing[op]) == 1)
        {
            Log.Warn($"operation {OpNames.NameOf(op)} ({opcode}) is not implemented: answered ENOSYS (said once)");
        }
    }

    /// <summary>Writes <c>{"engine":…,"engine_reason":…,"ops":{…},"gauges":{…}}</c>.</summary>
    public void WriteStatsJson(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteString("engine"u8, _engine);
        json.WriteString("engine_reason"u8, _reason);
        json.WriteStartObject("ops"u8);
        for (int op = 0; op < OpNames.Slots; op++)
        {
            if (OpNames.NameOf(op) is { } name)
            {
                WriteOp(json, op, name);
            }
        }

        json.WriteEndObject();
        json.WriteStartObject("gauges"u8);
        foreach ((string name, Func<long> read) in Gauges())
        {
            json.WriteNumber(name, read());
        }

        json.WriteEndObject();
        json.WriteEndObject();
    }

    /// <summary>Writes a table of the operations that occurred, and the gauges.</summary>
    public void WriteStatsText(TextWriter text)
    {
        text.WriteLine(_reason.Length > 0 ? $"engine {_engine}: {_reason}" : $"engine {_engine}");
        text.WriteLine($"{"operation",-20} {"count",12} {"errors",10} {"p50 us",9} {"p99 us",9} {"max us",10}  errno");
        for (int op = 0; op < OpNames.Slots; op++)
        {
            long count = Counters.Count(op);
            if (count == 0)
            {
                continue;
            }

            var errors = new StringBuilder();
            long failed = 0;
            foreach ((string name, long times) in ErrorsOf(op))
            {
                failed += times;
                _ = errors.Append(errors.Length == 0 ? "" : " ").Append(name).Append('=').Append(times); // the builder itself
            }

            text.WriteLine($"{OpNames.NameOf(op),-20} {count,12} {failed,10} {Counters.Percentile(op, 0.5),9} {Counters.Percentile(op, 0.99),9} {Counters.MaxMicroseconds(op),10}  {errors}");
        }

        List<(string Name, Func<long> Read)> gauges = Gauges();
        if (gauges.Count > 0)
        {
            text.WriteLine();
            foreach ((string name, Func<long> read) in gauges)
            {
                text.WriteLine($"{name,-32} {read(),16}");
            }
        }
    }

    /// <summary>
    /// Writes <c>{"total":n,"errors":[{"time","times","op","errno","path","layer","call","nodeid"},…],"not_implemented":{…},"not_seen":…}</c>, the oldest first.
    /// </summary>
    public void WriteErrorsJson(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteNumber("total"u8, Failures.Total);
        json.WriteStartArray("errors"u8);
        foreach (FailureRecord failure in Failures.Snapshot())
        {
            json.WriteStartObject();
            json.WriteString("time"u8, new DateTime(failure.UtcTicks, DateTimeKind.Utc));
            json.WriteNumber("times"u8, failure.Times);
            json.WriteString("op"u8, OpNames.NameOf(failure.Op));
            json.WriteString("errno"u8, failure.Error.ToString());
            json.WriteString("path"u8, Utf8.Print(failure.Path));
            WriteOrNull(json, "layer"u8, failure.Layer);
            WriteOrNull(json, "call"u8, failure.Call);
            json.WriteNumber("nodeid"u8, failure.NodeId);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartObject("not_implemented"u8);
        foreach ((string name, int times) in Missing())
        {
            json.WriteNumber(name, times);
        }

        json.WriteEndObject();
        WriteOrNull(json, "not_seen"u8, _notSeen ?? "");
        json.WriteEndObject();
    }

    /// <summary>Writes one line per failure, the oldest first: time, operation, errno, layer, call, path.</summary>
    public void WriteErrorsText(TextWriter text)
    {
        FailureRecord[] failures = Failures.Snapshot();
        if (failures.Length == 0)
        {
            text.WriteLine("no failed request");
        }
        else
        {
            text.WriteLine($"{"time (UTC)",-24} {"operation",-16} {"errno",-14} {"layer",-12} {"call",-20} path");
        }

        foreach (FailureRecord failure in failures)
        {
            string time = new DateTime(failure.UtcTicks, DateTimeKind.Utc).ToString("yyyy-MM-ddTHH:mm:ss.fffZ", null);
            string call = failure.Call;
            bool isLong = call.Length > LongestCall;
            text.WriteLine($"{time,-24} {OpNames.NameOf(failure.Op),-16} {failure.Error,-14} {OrDash(failure.Layer),-12} {(isLong ? "(below)" : OrDash(call)),-20} {Utf8.Print(failure.Path)}{(failure.Times > 1 ? $" ({failure.Times} times)" : "")}");
            if (isLong)
            {
                text.WriteLine($"    {call}");
            }
        }

        long dropped = Failures.Total - failures.Sum(failure => (long)failure.Times);
        if (dropped > 0)
        {
            text.WriteLine($"({dropped} older ones are no longer kept)");
        }

        foreach ((string name, int times) in Missing())
        {
            text.WriteLine($"not implemented: {name}, asked for {times} times");
        }

        if (_notSeen is not null)
        {
            text.WriteLine(_notSeen);
        }
    }

    /// <summary>
    /// One sentence of what a command could not help: full disks and broken sources. Null: there was nothing of the kind.
    /// </summary>
    public string? Trouble()
    {
        ReadOnlySpan<Errno> troubles = [Errno.ENOSPC, Errno.EDQUOT, Errno.EIO, Errno.ETIMEDOUT];
        var counts = new List<string>();

        // A request is counted a moment after its failure was noted, and whoever asks may be quicker than that.
        FailureRecord[] failures = Failures.Snapshot();
        foreach (Errno error in troubles)
        {
            long times = 0;
            for (int op = 0; op < OpNames.Slots; op++)
            {
                times += Counters.ErrorCount(op, (int)error);
            }

            times = Math.Max(times, failures.Count(failure => failure.Error == error));
            if (times > 0)
            {
                counts.Add($"{error} {(times == 1 ? "once" : $"{times} times")}");
            }
        }

        foreach (FailureRecord failure in failures)
        {
            if (counts.Count > 0 && troubles.Contains(failure.Error))
            {
                string where = string.Join(", ", new[] { failure.Layer, failure.Call }.Where(text => text.Length > 0));
                return $"the mount itself failed requests: {string.Join(", ", counts)}; first {OpNames.NameOf(failure.Op)} of {Utf8.Print(failure.Path)} with {failure.Error}{(where.Length > 0 ? $" ({where})" : "")}";
            }
        }

        return counts.Count == 0 ? null : $"the mount itself failed requests: {string.Join(", ", counts)}";
    }

    private static string OrDash(string text) => text.Length == 0 ? "-" : text;

    private static void WriteOrNull(Utf8JsonWriter json, ReadOnlySpan<byte> name, string value)
    {
        if (value.Length == 0)
        {
            json.WriteNull(name);
        }
        else
        {
            json.WriteString(name, value);
        }
    }

    private void WriteOp(Utf8JsonWriter json, int op, string name)
    {
        json.WriteStartObject(name);
        json.WriteNumber("count"u8, Counters.Count(op));
        json.WriteStartObject("errors"u8);
        foreach ((string errno, long times) in ErrorsOf(op))
        {
            json.WriteNumber(errno, times);
        }

        json.WriteEndObject();
        json.WriteStartObject("latency_us"u8);
        json.WriteNumber("p50"u8, Counters.Percentile(op, 0.5));
        json.WriteNumber("p99"u8, Counters.Percentile(op, 0.99));
        json.WriteNumber("max"u8, Counters.MaxMicroseconds(op));
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private IEnumerable<(string Name, long Times)> ErrorsOf(int op)
    {
        for (int errno = 1; errno <= OpCounters.MaxErrno; errno++)
        {
            long times = Counters.ErrorCount(op, errno);
            if (times > 0)
            {
                yield return (errno == OpCounters.MaxErrno ? "other" : ((Errno)errno).ToString(), times);
            }
        }
    }

    private IEnumerable<(string Name, int Times)> Missing()
    {
        for (int op = 0; op < _missing.Length; op++)
        {
            int times = Volatile.Read(ref _missing[op]);
            if (times > 0)
            {
                yield return (OpNames.NameOf(op)!, times);
            }
        }
    }

    private List<(string Name, Func<long> Read)> Gauges()
    {
        lock (_lock)
        {
            return [.. _gauges];
        }
    }
}
