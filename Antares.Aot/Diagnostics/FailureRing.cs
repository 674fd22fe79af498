using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Diagnostics;

/// <summary>One failed request, as the ring keeps it, and how often it came again at once: the kernel asks twice for what it cannot read ahead. All fields are copies: nothing is borrowed from the request.</summary>
public unsafe struct FailureRecord
{
    public const int PathCapacity = 440;
    private const int LayerCapacity = 12;
    private const int CallCapacity = 300;

    /// <summary>UTC, in ticks of <see cref="DateTime"/>.</summary>
    public long UtcTicks;
    public ulong NodeId;
    public int Op;
    public Errno Error;

    /// <summary>How often this very failure was told in succession; the time is that of the last one.</summary>
    public int Times;
    private ushort _pathLength;
    private ushort _callLength;
    private byte _layerLength;
    private fixed byte _layer[LayerCapacity];
    private fixed byte _call[CallCapacity];
    private fixed byte _path[PathCapacity];

    /// <summary>Path in the merged view as bytes; begins with "…" when its front did not fit.</summary>
    public readonly ReadOnlySpan<byte> Path
    {
        get
        {
            fixed (byte* path = _path)
            {
                return new ReadOnlySpan<byte>(path, _pathLength);
            }
        }
    }

    /// <summary>Layer in which it failed, empty when nobody said.</summary>
    public readonly string Layer
    {
        get
        {
            fixed (byte* layer = _layer)
            {
                return System.Text.Encoding.ASCII.GetString(layer, _layerLength);
            }
        }
    }

    /// <summary>System call or check that failed, or what a server did; empty when nobody said, cut off when it was said at length.</summary>
    public readonly string Call
    {
        get
        {
            fixed (byte* call = _call)
            {
                return System.Text.Encoding.UTF8.GetString(call, _callLength);
            }
        }
    }

    /// <summary>True when another one tells the same, but for time and count.</summary>
    internal readonly bool TellsAs(in FailureRecord other)
    {
        fixed (byte* layer = _layer, call = _call, otherLayer = other._layer, otherCall = other._call)
        {
            return Op == other.Op && Error == other.Error && NodeId == other.NodeId && Path.SequenceEqual(other.Path)
                && new ReadOnlySpan<byte>(layer, _layerLength).SequenceEqual(new ReadOnlySpan<byte>(otherLayer, other._layerLength))
                && new ReadOnlySpan<byte>(call, _callLength).SequenceEqual(new ReadOnlySpan<byte>(otherCall, other._callLength));
        }
    }

    /// <summary>Copies the names in; the end of a path is worth more than its front, so that is what is kept.</summary>
    internal void SetNames(ReadOnlySpan<byte> path, string? layer, string? call)
    {
        fixed (byte* target = _path)
        {
            var room = new Span<byte>(target, PathCapacity);
            if (path.Length <= PathCapacity)
            {
                path.CopyTo(room);
                _pathLength = (ushort)path.Length;
            }
            else
            {
                ReadOnlySpan<byte> mark = "…"u8;
                mark.CopyTo(room);
                path[^(PathCapacity - mark.Length)..].CopyTo(room[mark.Length..]);
                _pathLength = PathCapacity;
            }
        }

        fixed (byte* target = _layer)
        {
            _layerLength = CopyAscii(layer, target, LayerCapacity);
        }

        fixed (byte* target = _call)
        {
            // What does not fit is left out, never half a character.
            _ = System.Text.Unicode.Utf8.FromUtf16(call, new Span<byte>(target, CallCapacity), out _, out int written);
            _callLength = (ushort)written;
        }
    }

    private static byte CopyAscii(string? text, byte* target, int capacity)
    {
        int length = Math.Min(text?.Length ?? 0, capacity);
        for (int i = 0; i < length; i++)
        {
            target[i] = (byte)text![i];
        }

        return (byte)length;
    }
}

/// <summary>
/// The last <see cref="Capacity"/> failures of a mount, so that "which operation on which file in which layer" is answered without a
/// log. Fixed slots in native memory; a failure costs a copy under a lock, a success costs nothing.
/// </summary>
public sealed unsafe class FailureRing
{
    public const int Capacity = 256;
    private const int LongestWaitMs = 200;

    private readonly Lock _lock = new();
    private readonly FailureRecord* _records;
    private long _total;
    private long _kept;
    private int _announced;

    public FailureRing()
    {
        // A mount in which nothing fails never touches these 200 KiB.
        _records = (FailureRecord*)ZeroPages.Allocate((nuint)(Capacity * sizeof(FailureRecord)));
    }

    // Freed when nobody can reach it any more, as the counters are.
    ~FailureRing() => ZeroPages.Free(_records, (nuint)(Capacity * sizeof(FailureRecord)));

    /// <summary>Failures ever put in, those included that have been overwritten since.</summary>
    public long Total => Volatile.Read(ref _total);

    /// <summary>A failure is being answered, and one <see cref="Add"/> follows: who has seen the answer finds it in the ring.</summary>
    public void Announce() => _ = Interlocked.Increment(ref _announced); // only counted

    /// <summary>Puts one announced failure in, over the oldest; one that tells the same as the last is counted there. Allocates nothing.</summary>
    /// <param name="op">Slot of the operation (<see cref="OpNames"/>).</param>
    /// <param name="error">What the kernel was told.</param>
    /// <param name="nodeId">The node that the request named.</param>
    /// <param name="path">Path of the node or name, bytes.</param>
    /// <param name="layer">Constant name of the layer, or null; ASCII.</param>
    /// <param name="call">Name of the call, or what happened; or null.</param>
    public void Add(int op, Errno error, ulong nodeId, ReadOnlySpan<byte> path, string? layer, string? call)
    {
        FailureRecord record = new() { UtcTicks = DateTime.UtcNow.Ticks, Op = op, Error = error, NodeId = nodeId, Times = 1 };
        record.SetNames(path, layer, call);
        lock (_lock)
        {
            _total++;
            FailureRecord* last = _records + ((_kept + Capacity - 1) % Capacity);
            if (_kept > 0 && last->TellsAs(record))
            {
                last->UtcTicks = record.UtcTicks;
                last->Times++;
            }
            else
            {
                _records[_kept % Capacity] = record;
                _kept++;
            }
        }

        _ = Interlocked.Decrement(ref _announced); // only counted
    }

    /// <summary>A copy of what is in the ring, oldest first; waits for what is announced, but no longer than a moment.</summary>
    public FailureRecord[] Snapshot()
    {
        for (int i = 0; i < LongestWaitMs && Volatile.Read(ref _announced) > 0; i++)
        {
            Thread.Sleep(1);
        }

        lock (_lock)
        {
            int count = (int)Math.Min(_kept, Capacity);
            var copy = new FailureRecord[count];
            for (int i = 0; i < count; i++)
            {
                copy[i] = _records[(_kept - count + i) % Capacity];
            }

            return copy;
        }
    }
}
