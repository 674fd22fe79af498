namespace Antares.Aot.Dicfuse.Store;

/// <summary>Objects for which the disk has no room: held in memory within a bound, what was used longest ago goes first.</summary>
/// <remarks>For this process alone, and gone with it. All members may be called from several threads.</remarks>
internal sealed unsafe class MemoryObjects : IDisposable
{
    /// <summary>Bytes of all of them.</summary>
    public const int MostBytes = 64 << 20;

    /// <summary>Bytes of one.</summary>
    public const int LargestBytes = 16 << 20;

    private readonly Lock _lock = new();
    private readonly Dictionary<(ObjectId Id, ObjectKind Kind), LinkedListNode<Held>> _held = [];
    private readonly LinkedList<Held> _byUse = new();
    private long _bytes;
    private int _count;

    /// <summary>Bytes held.</summary>
    public long Bytes => Volatile.Read(ref _bytes);

    /// <summary>Holds a copy.</summary>
    /// <returns>False: too large, or no memory.</returns>
    public bool TryAdd(in ObjectId id, ObjectKind kind, ReadOnlySpan<byte> content)
    {
        if (content.Length > LargestBytes || NativeBody.OfLength(content.Length) is not { } body)
        {
            return false;
        }

        content.CopyTo(new Span<byte>(body.Pointer, content.Length));
        lock (_lock)
        {
            if (_held.TryGetValue((id, kind), out LinkedListNode<Held>? known))
            {
                Drop(known);
            }

            while (_byUse.Last is { } oldest && _bytes + content.Length > MostBytes)
            {
                Drop(oldest);
            }

            _held.Add((id, kind), _byUse.AddFirst(new Held(id, kind, body)));
            _bytes += content.Length;
            Volatile.Write(ref _count, _held.Count);
        }

        return true;
    }

    public bool TryStat(in ObjectId id, ObjectKind kind, out long bytes)
    {
        bytes = 0;
        if (Volatile.Read(ref _count) == 0)
        {
            return false;
        }

        lock (_lock)
        {
            bool found = _held.TryGetValue((id, kind), out LinkedListNode<Held>? node);
            bytes = found ? node!.Value.Body.Length : 0;
            return found;
        }
    }

    /// <summary>Copies a part of an object.</summary>
    /// <returns>False: not here.</returns>
    public bool TryRead(in ObjectId id, ObjectKind kind, ulong offset, byte* buffer, uint size, out uint got, out long bytes)
    {
        got = 0;
        bytes = 0;
        if (Volatile.Read(ref _count) == 0)
        {
            return false;
        }

        lock (_lock)
        {
            if (!_held.TryGetValue((id, kind), out LinkedListNode<Held>? node))
            {
                return false;
            }

            NativeBody body = node.Value.Body;
            bytes = body.Length;
            got = offset >= (ulong)bytes ? 0 : (uint)Math.Min(size, (ulong)bytes - offset);
            Buffer.MemoryCopy(body.Pointer + offset, buffer, size, got);
            _byUse.Remove(node);
            _byUse.AddFirst(node);
            return true;
        }
    }

    public void Remove(in ObjectId id, ObjectKind kind)
    {
        lock (_lock)
        {
            if (_held.TryGetValue((id, kind), out LinkedListNode<Held>? node))
            {
                Drop(node);
            }
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            while (_byUse.First is { } node)
            {
                Drop(node);
            }
        }
    }

    // With the lock held.
    private void Drop(LinkedListNode<Held> node)
    {
        Held held = node.Value;
        _byUse.Remove(node);
        _ = _held.Remove((held.Id, held.Kind)); // it is there
        _bytes -= held.Body.Length;
        held.Body.Dispose();
        Volatile.Write(ref _count, _held.Count);
    }

    private sealed record Held(ObjectId Id, ObjectKind Kind, NativeBody Body);
}
