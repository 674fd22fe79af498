using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Antares.Aot.Base;

/// <summary>
/// A table of unmanaged records in chunks of native memory that never move: a pointer to a record stays valid while the record is
/// allocated. Index 0 is never given out. Freed slots are used again; the record keeps its bytes (generations live there).
/// </summary>
/// <remarks>Not synchronised: the owner's lock protects it. Memory is returned when the table is disposed.</remarks>
public sealed unsafe class NativeTable<T> : IDisposable
    where T : unmanaged
{
    private const int ChunkBits = 10;
    private const uint ChunkSize = 1u << ChunkBits;

    private readonly List<nint> _outgrown = [];
    private T** _chunks;
    private int _chunkCapacity;
    private int _chunkCount;
    private uint _next = 1;
    private uint* _free;
    private int _freeCount;
    private int _freeCapacity;

    private static nuint ChunkBytes => (nuint)ChunkSize * (nuint)sizeof(T);

    /// <summary>Records in use.</summary>
    public long Count => _next - 1 - _freeCount;

    /// <summary>Highest index ever given out.</summary>
    public uint HighWater => _next - 1;

    public T* this[uint index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => &_chunks[index >> ChunkBits][index & (ChunkSize - 1)];
    }

    /// <summary>True when the index was ever given out, so that an id from outside can be looked at safely.</summary>
    public bool Contains(uint index) => index != 0 && index < _next;

    /// <summary>Gives a slot, a used one first; a slot never used before is zeroed.</summary>
    public uint Allocate()
    {
        if (_freeCount > 0)
        {
            return _free[--_freeCount];
        }

        uint index = _next;
        if ((index >> ChunkBits) >= (uint)_chunkCount)
        {
            if (_chunkCount == _chunkCapacity)
            {
                Grow();
            }

            _chunks[_chunkCount++] = (T*)ZeroPages.Allocate(ChunkBytes);
        }

        _next++;
        return index;
    }

    public void Free(uint index)
    {
        if (_freeCount == _freeCapacity)
        {
            _freeCapacity = _freeCapacity == 0 ? 256 : _freeCapacity * 2;
            _free = (uint*)NativeMemory.Realloc(_free, (nuint)_freeCapacity * sizeof(uint));
        }

        _free[_freeCount++] = index;
    }

    // A reader without the lock may be looking through the old array of chunks, so it stays until the table goes; together the old
    // ones are smaller than the present one.
    private void Grow()
    {
        int capacity = _chunkCapacity == 0 ? 16 : _chunkCapacity * 2;
        T** chunks = (T**)NativeMemory.AllocZeroed((nuint)capacity, (nuint)sizeof(T*));
        for (int i = 0; i < _chunkCount; i++)
        {
            chunks[i] = _chunks[i];
        }

        if (_chunks != null)
        {
            _outgrown.Add((nint)_chunks);
        }

        Thread.MemoryBarrier();
        _chunks = chunks;
        _chunkCapacity = capacity;
    }

    public void Dispose()
    {
        for (int i = 0; i < _chunkCount; i++)
        {
            ZeroPages.Free(_chunks[i], ChunkBytes);
        }

        foreach (nint old in _outgrown)
        {
            NativeMemory.Free((void*)old);
        }

        _outgrown.Clear();
        NativeMemory.Free(_chunks);
        NativeMemory.Free(_free);
        _chunks = null;
        _free = null;
        _chunkCount = _chunkCapacity = _freeCount = _freeCapacity = 0;
        _next = 1;
    }
}
