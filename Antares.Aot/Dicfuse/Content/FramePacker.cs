using System.Runtime.InteropServices;
using Antares.Aot.Dicfuse.Tree;
using Antares.Interop;
using K4os.Hash.xxHash;
using ZstdSharp.Unsafe;

namespace Antares.Aot.Dicfuse.Content;

/// <summary>
/// Packs frames after they were served, on one thread of low priority, and makes room for them: no reader ever waits for zstd or for the
/// store file. The queue is short; what finds it full is not held for long, and is read from the source again.
/// </summary>
internal sealed unsafe class FramePacker : IDisposable
{
    private const int Nice = 10;
    private const int StackBytes = 1 << 20;

    /// <summary>How many frames in use are passed over in search of one to give up.</summary>
    private const int SearchLimit = 64;

    private readonly FrameTable _table;
    private readonly RawBuffers _raws;
    private readonly SpillFile? _spill;
    private readonly long _budget;
    private readonly int _level;
    private readonly int[] _queue;
    private readonly Lock _start = new();
    private int _head;
    private int _queued;
    private bool _stop;
    private AutoResetEvent? _work;
    private Thread? _thread;
    private long _packed;
    private long _evicted;
    private long _spilled;

    /// <param name="table">Holds the frames; its gate guards the queue too.</param>
    /// <param name="raws">Hold the bytes to pack.</param>
    /// <param name="spill">Takes frames that memory has no room for; null: they are dropped.</param>
    /// <param name="budget">Most native bytes of packed frames and their slots.</param>
    /// <param name="queueLength">Most frames that wait.</param>
    /// <param name="level">zstd level.</param>
    public FramePacker(FrameTable table, RawBuffers raws, SpillFile? spill, long budget, int queueLength, int level)
    {
        _table = table;
        _raws = raws;
        _spill = spill;
        _budget = budget;
        _level = level;
        _queue = new int[queueLength];
    }

    /// <summary>Frames packed so far.</summary>
    public long Packed => Volatile.Read(ref _packed);

    /// <summary>Frames dropped from memory so far.</summary>
    public long Evicted => Volatile.Read(ref _evicted);

    /// <summary>Frames moved to the store file so far.</summary>
    public long Spilled => Volatile.Read(ref _spilled);

    /// <summary>True when no frame waits or is being packed.</summary>
    public bool Idle
    {
        get
        {
            lock (_table.Gate)
            {
                return _queued == 0;
            }
        }
    }

    /// <summary>Queues a frame that has a raw buffer; called under the gate, with <see cref="Wake"/> after it.</summary>
    /// <returns>False: the queue is full.</returns>
    public bool TryQueue(int slot)
    {
        if (_queued == _queue.Length || _stop)
        {
            return false;
        }

        _table[slot]->State |= FrameState.Queued;
        _queue[(_head + _queued) % _queue.Length] = slot;
        _queued++;
        return true;
    }

    /// <summary>Starts the thread when it is first needed, and tells it that there is work.</summary>
    public void Wake()
    {
        AutoResetEvent? work = Volatile.Read(ref _work) ?? Start();
        if (work != null)
        {
            // Setting an event cannot fail while it is not disposed, and that comes after the last reader.
            _ = work.Set();
        }
    }

    /// <summary>Ends the thread; frames that still wait are not packed.</summary>
    public void Dispose()
    {
        lock (_table.Gate)
        {
            _stop = true;
        }

        if (_work != null)
        {
            // As in Wake.
            _ = _work.Set();
            _thread!.Join();
            _work.Dispose();
        }
    }

    /// <summary>Null when the thread could not be made (a limit on processes): nothing is packed then, and reading goes on.</summary>
    private AutoResetEvent? Start()
    {
        lock (_start)
        {
            if (_work != null || _stop)
            {
                return _work;
            }

            AutoResetEvent work = new(false);
            Thread thread = new(() => Run(work), StackBytes) { IsBackground = true, Name = "frame packer" };
            try
            {
                thread.Start();
            }
            catch (Exception error) when (error is OutOfMemoryException or ThreadStartException)
            {
                work.Dispose();
                GiveUp();
                return null;
            }

            _thread = thread;
            Volatile.Write(ref _work, work);
            return work;
        }
    }

    private void GiveUp()
    {
        lock (_table.Gate)
        {
            _stop = true;
            for (; _queued != 0; _queued--)
            {
                _table[_queue[_head]]->State &= ~FrameState.Queued;
                _head = (_head + 1) % _queue.Length;
            }
        }
    }

    private void Run(AutoResetEvent work)
    {
        // Where a sandbox forbids it the thread packs at ordinary priority.
        _ = Scheduling.SetNice(Process.Gettid(), Nice);
        nuint room = Methods.ZSTD_compressBound(FrameStore.FrameBytes);
        ZSTD_CCtx_s* context = MakeContext();
        bool ready = NativeBlock.TryAlloc(room, out byte* scratch) && context != null;
        while (TryTake(out int slot))
        {
            if (slot == 0)
            {
                // Sleeps until there is work; waking without any does no harm.
                _ = work.WaitOne();
                continue;
            }

            Pack(slot, ready ? context : null, scratch, room);
        }

        NativeMemory.Free(scratch);
        if (context != null)
        {
            // Cannot fail for a context that is not in use.
            _ = Methods.ZSTD_freeCCtx(context);
        }
    }

    private static ZSTD_CCtx_s* MakeContext()
    {
        try
        {
            return Methods.ZSTD_createCCtx();
        }
        catch (OutOfMemoryException)
        {
            // ZstdSharp allocates by the throwing wrapper. Frames are then stored as they are.
            return null;
        }
    }

    /// <summary>False when the thread is to end; slot 0 when nothing waits.</summary>
    private bool TryTake(out int slot)
    {
        lock (_table.Gate)
        {
            slot = _queued == 0 ? 0 : _queue[_head];
            return !_stop;
        }
    }

    private void Pack(int slot, ZSTD_CCtx_s* context, byte* scratch, nuint room)
    {
        byte* raw;
        int length;
        lock (_table.Gate)
        {
            // A queued frame keeps its raw buffer, so the bytes stand still without the lock.
            raw = _raws[_table[slot]->RawBuffer];
            length = _table[slot]->RawBytes;
        }

        ulong checksum = XXH64.DigestOf(raw, length);
        int bytes = context == null ? length : Compress(context, scratch, room, raw, length);
        bool stored = bytes == length;
        bool held = NativeBlock.TryAlloc((nuint)bytes, out byte* packed);
        if (held)
        {
            Buffer.MemoryCopy(stored ? raw : scratch, packed, bytes, bytes);
            held = MakeRoom(bytes);
        }

        lock (_table.Gate)
        {
            _head = (_head + 1) % _queue.Length;
            _queued--;
            _table[slot]->State &= ~FrameState.Queued;
            if (held)
            {
                _table.SetPacked(slot, packed, bytes, checksum, stored);
                _packed++;
            }
        }

        if (!held)
        {
            NativeMemory.Free(packed);
        }
    }

    /// <summary>Packed length; the raw one when zstd does not make it shorter.</summary>
    private int Compress(ZSTD_CCtx_s* context, byte* scratch, nuint room, byte* raw, int length)
    {
        try
        {
            nuint bytes = Methods.ZSTD_compressCCtx(context, scratch, room, raw, (nuint)length, _level);
            return Methods.ZSTD_isError(bytes) || bytes >= (nuint)length ? length : (int)bytes;
        }
        catch (OutOfMemoryException)
        {
            // ZstdSharp allocates its tables by the throwing wrapper.
            return length;
        }
    }

    /// <summary>Gives up frames, least recently used first, until <paramref name="bytes"/> more fit.</summary>
    private bool MakeRoom(int bytes)
    {
        while (true)
        {
            int victim;
            long place = -1;
            byte* packed = null;
            int packedBytes = 0;
            lock (_table.Gate)
            {
                if (_table.MemoryBytes + bytes <= _budget)
                {
                    return true;
                }

                victim = FindVictim();
                if (victim == 0)
                {
                    // What is left are the slots of frames in the store file.
                    if (_table.OldestSpilled == 0 || _table[_table.OldestSpilled]->Pins != 0)
                    {
                        return false;
                    }

                    Evict(_table.OldestSpilled);
                    continue;
                }

                packed = _table[victim]->Packed;
                packedBytes = _table[victim]->PackedBytes;
                if (_spill is { Usable: true })
                {
                    place = _spill.Reserve(_table, packedBytes);
                }

                if (place < 0)
                {
                    Evict(victim);
                    continue;
                }

                _table.Pin(victim);
            }

            bool written = _spill!.TryWrite(packed, packedBytes, place);
            lock (_table.Gate)
            {
                bool orphan = (_table[victim]->State & FrameState.Orphan) != 0;
                bool alone = _table[victim]->Pins == 1;
                _table.Unpin(victim);
                if (orphan)
                {
                    continue;
                }

                if (!alone)
                {
                    // Somebody is reading it right now, so it is not the least recently used any more.
                    _table.Touch(victim);
                }
                else if (written)
                {
                    _table.SetSpilled(victim, place);
                    _spilled++;
                }
                else
                {
                    Evict(victim);
                }
            }
        }
    }

    private int FindVictim()
    {
        int slot = _table.OldestPacked;
        for (int passed = 0; slot != 0 && _table[slot]->Pins != 0; passed++)
        {
            slot = passed < SearchLimit ? _table[slot]->Newer : 0;
        }

        return slot;
    }

    private void Evict(int slot)
    {
        _table.DropPacked(slot);
        _evicted++;
        if (_table[slot]->RawBuffer < 0)
        {
            _table.Remove(slot);
        }
    }
}
