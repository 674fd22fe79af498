using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Antares.Aot.Base;

/// <summary>
/// A table of unmanaged records in chunks of native memory that never move: a pointer to a record stays valid while the record is
/// allocated. Index 0 is never given out. Freed slots are used again.
/// </summary>
/// <remarks>
/// Not synchronised: the owner's lock protects it. The pages of a chunk whose records are all free go back to the kernel, except those of
/// one such chunk, so that a single record which comes and goes costs no system call. The addresses stay, and read as zero.
/// </remarks>
public sealed unsafe class NativeTable<T> : IDisposable
    where T : unmanaged
{
    /// <summary>Chunks without a record in use that keep their pages.</summary>
    public const int IdleChunksKept = 1;

    private const int ChunkBits = 10;
    private const uint ChunkSize = 1u << ChunkBits;
    private const int WordsOfChunk = (int)(ChunkSize / 64);
    private const int None = -1;

    private readonly List<nint> _outgrown = [];
    private T** _chunks;
    private Chunk* _states;
    private int _chunkCapacity;
    private int _chunkCount;
    private int _firstFree = None;
    private int _lastFree = None;
    private int _idle;
    private uint _highWater;

    private static nuint ChunkBytes => (nuint)ChunkSize * (nuint)sizeof(T);

    /// <summary>Records in use.</summary>
    public long Count { get; private set; }

    /// <summary>Highest index ever given out.</summary>
    public uint HighWater => _highWater;

    /// <summary>Chunks whose pages were given back and not used since.</summary>
    public int ChunksReleased { get; private set; }

    public T* this[uint index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => &_chunks[index >> ChunkBits][index & (ChunkSize - 1)];
    }

    /// <summary>True when the index was ever given out, so that an id from outside can be looked at safely.</summary>
    public bool Contains(uint index) => index != 0 && index <= _highWater;

    /// <summary>Gives a slot, a used one first. Its bytes are zero, or what the record that was freed last left there.</summary>
    public uint Allocate()
    {
        if (_firstFree == None)
        {
            AddChunk();
        }

        int number = _firstFree;
        Chunk* chunk = &_states[number];
        if (chunk->Used == 0)
        {
            if (chunk->Released)
            {
                chunk->Released = false;
                ChunksReleased--;
            }
            else
            {
                _idle--;
            }
        }

        int word = 0;
        while (chunk->Free[word] == 0)
        {
            word++;
        }

        int bit = BitOperations.TrailingZeroCount(chunk->Free[word]);
        chunk->Free[word] &= ~(1UL << bit);
        if (++chunk->Used == ChunkSize)
        {
            Unlink(number);
        }

        uint index = ((uint)number << ChunkBits) + ((uint)word * 64) + (uint)bit;
        _highWater = Math.Max(_highWater, index);
        Count++;
        return index;
    }

    /// <summary>Takes a slot back, which must be in use.</summary>
    public void Free(uint index)
    {
        int number = (int)(index >> ChunkBits);
        uint at = index & (ChunkSize - 1);
        Chunk* chunk = &_states[number];
        chunk->Free[at / 64] |= 1UL << (int)(at % 64);
        if (chunk->Used-- == ChunkSize)
        {
            LinkFirst(number);
        }

        Count--;
        if (chunk->Used != 0)
        {
            return;
        }

        if (_idle < IdleChunksKept)
        {
            _idle++;
            return;
        }

        chunk->Released = true;
        ChunksReleased++;
        ZeroPages.Drop(_chunks[number], ChunkBytes);
        Unlink(number);
        LinkLast(number);
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
        NativeMemory.Free(_states);
        _chunks = null;
        _states = null;
        _chunkCount = _chunkCapacity = _idle = ChunksReleased = 0;
        _firstFree = _lastFree = None;
        Count = _highWater = 0;
    }

    private void AddChunk()
    {
        if (_chunkCount == _chunkCapacity)
        {
            Grow();
        }

        int number = _chunkCount;
        Chunk* chunk = &_states[number];
        *chunk = default;
        for (int i = 0; i < WordsOfChunk; i++)
        {
            chunk->Free[i] = ulong.MaxValue;
        }

        if (number == 0)
        {
            chunk->Free[0] &= ~1UL;
            chunk->Used = 1;
        }
        else
        {
            _idle++;
        }

        _chunks[number] = (T*)ZeroPages.Allocate(ChunkBytes);
        _chunkCount++;
        LinkFirst(number);
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

        _states = (Chunk*)NativeMemory.Realloc(_states, (nuint)capacity * (nuint)sizeof(Chunk));
        Thread.MemoryBarrier();
        _chunks = chunks;
        _chunkCapacity = capacity;
    }

    private void LinkFirst(int number)
    {
        _states[number].Previous = None;
        _states[number].Next = _firstFree;
        if (_firstFree == None)
        {
            _lastFree = number;
        }
        else
        {
            _states[_firstFree].Previous = number;
        }

        _firstFree = number;
    }

    private void LinkLast(int number)
    {
        _states[number].Next = None;
        _states[number].Previous = _lastFree;
        if (_lastFree == None)
        {
            _firstFree = number;
        }
        else
        {
            _states[_lastFree].Next = number;
        }

        _lastFree = number;
    }

    private void Unlink(int number)
    {
        int next = _states[number].Next;
        int previous = _states[number].Previous;
        if (previous == None)
        {
            _firstFree = next;
        }
        else
        {
            _states[previous].Next = next;
        }

        if (next == None)
        {
            _lastFree = previous;
        }
        else
        {
            _states[next].Previous = previous;
        }
    }

    // Which records of a chunk are free, and its place in the list of chunks that have a free one; the given-back ones are last there.
    private struct Chunk
    {
        public fixed ulong Free[WordsOfChunk];
        public uint Used;
        public int Next;
        public int Previous;
        public bool Released;
    }
}
