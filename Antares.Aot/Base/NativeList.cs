using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Antares.Aot.Base;

/// <summary>A growing array of unmanaged items in native memory, for what would be too much for the managed heap.</summary>
/// <remarks>Not synchronised. References to items end with the next growth.</remarks>
public sealed unsafe class NativeList<T> : IDisposable
    where T : unmanaged
{
    private T* _items;
    private long _room;

    public long Count { get; private set; }

    /// <summary>First item; null while there is none.</summary>
    public T* Pointer => _items;

    public ref T this[long index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ref _items[index];
    }

    /// <exception cref="OutOfMemoryException">No memory.</exception>
    public void Add(in T item)
    {
        Reserve(1);
        _items[Count++] = item;
    }

    /// <summary>Adds zeroed items and gives the place of the first.</summary>
    /// <exception cref="OutOfMemoryException">No memory.</exception>
    public long AddZeroed(long count)
    {
        Reserve(count);
        NativeMemory.Clear(_items + Count, (nuint)count * (nuint)sizeof(T));
        long first = Count;
        Count += count;
        return first;
    }

    /// <exception cref="OutOfMemoryException">No memory.</exception>
    public void AddRange(ReadOnlySpan<T> items)
    {
        Reserve(items.Length);
        items.CopyTo(new Span<T>(_items + Count, items.Length));
        Count += items.Length;
    }

    /// <summary>Takes the last item off; there must be one.</summary>
    public T Pop() => _items[--Count];

    public void Dispose()
    {
        NativeMemory.Free(_items);
        _items = null;
        _room = 0;
        Count = 0;
    }

    private void Reserve(long more)
    {
        if (Count + more > _room)
        {
            long room = Math.Max(Count + more, Math.Max(64, _room + (_room / 2)));
            _items = (T*)NativeMemory.Realloc(_items, (nuint)room * (nuint)sizeof(T));
            _room = room;
        }
    }
}
