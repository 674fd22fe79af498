using System.Runtime.InteropServices;
using Antares.Aot.Dicfuse.Tree;

namespace Antares.Aot.Dicfuse.Content;

/// <summary>
/// The frames that are held, by node and frame number, with two lists: those packed in memory from the least to the most recently
/// used, and those in the store file from the oldest to the newest place.
/// </summary>
/// <remarks>
/// Every member is called under <see cref="Gate"/>, which is held for memory accesses only. Slots are known by index (0: none):
/// their memory moves when the table grows, so no pointer to a slot outlives the lock.
/// </remarks>
internal sealed unsafe class FrameTable : IDisposable
{
    private const int FirstSlots = 64;

    private byte* _slots;
    private byte* _buckets;
    private int _room;
    private int _used = 1;
    private int _free;
    private int _live;
    private uint _bucketMask;
    private SlotList _packed;
    private SlotList _spilled;

    /// <summary>The lock of the table, its slots, its lists and the raw buffers.</summary>
    public Lock Gate { get; } = new();

    /// <summary>Frames held in any form.</summary>
    public int Count => Volatile.Read(ref _live);

    /// <summary>Packed bytes in memory.</summary>
    public long PackedBytes { get; private set; }

    /// <summary>Length of all frames held, unpacked.</summary>
    public long RawBytes { get; private set; }

    /// <summary>Packed bytes in the store file.</summary>
    public long SpilledBytes { get; private set; }

    /// <summary>Native memory of packed frames and of the slots in use.</summary>
    public long MemoryBytes => PackedBytes + (_live * (FrameSlot.Bytes + (2L * sizeof(int))));

    public int OldestPacked => _packed.Oldest;

    public int OldestSpilled => _spilled.Oldest;

    public FrameSlot* this[int slot] => (FrameSlot*)_slots + slot;

    private int* Buckets => (int*)_buckets;

    public int Find(ulong key)
    {
        if (_room == 0)
        {
            return 0;
        }

        int slot = Buckets[Bucket(key)];
        while (slot != 0 && this[slot]->Key != key)
        {
            slot = this[slot]->HashNext;
        }

        return slot;
    }

    /// <summary>A new slot for a key that is not here; 0 when there is no memory for it.</summary>
    public int Add(ulong key, int rawBytes)
    {
        int slot = _free;
        if (slot != 0)
        {
            _free = this[slot]->HashNext;
        }
        else
        {
            if (_used >= _room && !Grow())
            {
                return 0;
            }

            slot = _used++;
        }

        uint bucket = Bucket(key);
        *this[slot] = new FrameSlot
        {
            Key = key,
            SpillOffset = -1,
            RawBytes = rawBytes,
            RawBuffer = -1,
            HashNext = Buckets[bucket],
        };
        Buckets[bucket] = slot;
        _live++;
        RawBytes += rawBytes;
        return slot;
    }

    /// <summary>Gives a slot its packed form; it becomes the most recently used.</summary>
    public void SetPacked(int slot, byte* packed, int bytes, ulong checksum, bool stored)
    {
        FrameSlot* frame = this[slot];
        frame->Packed = packed;
        frame->PackedBytes = bytes;
        frame->Checksum = checksum;
        frame->State |= stored ? FrameState.Stored : FrameState.None;
        PackedBytes += bytes;
        _packed.AddNewest(this, slot);
    }

    /// <summary>Marks a frame as used just now.</summary>
    public void Touch(int slot)
    {
        if (this[slot]->Packed != null && _packed.Newest != slot)
        {
            _packed.Remove(this, slot);
            _packed.AddNewest(this, slot);
        }
    }

    /// <summary>Moves an unpinned frame from memory to a place in the store file, where its bytes are already.</summary>
    public void SetSpilled(int slot, long offset)
    {
        DropPacked(slot);
        this[slot]->SpillOffset = offset;
        SpilledBytes += this[slot]->PackedBytes;
        _spilled.AddNewest(this, slot);
    }

    /// <summary>Forgets the packed form, in memory or in the store file; the frame must not be pinned.</summary>
    public void DropPacked(int slot)
    {
        FrameSlot* frame = this[slot];
        if (frame->Packed != null)
        {
            _packed.Remove(this, slot);
            PackedBytes -= frame->PackedBytes;
            NativeMemory.Free(frame->Packed);
            frame->Packed = null;
        }
        else if (frame->SpillOffset >= 0)
        {
            _spilled.Remove(this, slot);
            SpilledBytes -= frame->PackedBytes;
            frame->SpillOffset = -1;
        }
    }

    /// <summary>Takes a frame out of the table; it is freed at once, or with its last pin.</summary>
    public void Remove(int slot)
    {
        FrameSlot* frame = this[slot];
        if ((frame->State & FrameState.Orphan) == 0)
        {
            int* link = &Buckets[Bucket(frame->Key)];
            while (*link != slot)
            {
                link = &this[*link]->HashNext;
            }

            *link = frame->HashNext;
            frame->State |= FrameState.Orphan;
            _live--;
            RawBytes -= frame->RawBytes;
        }

        FreeOrphan(slot);
    }

    public void Pin(int slot) => this[slot]->Pins++;

    public void Unpin(int slot)
    {
        this[slot]->Pins--;
        FreeOrphan(slot);
    }

    public void Dispose()
    {
        for (int slot = 1; slot < _used; slot++)
        {
            // A free slot has none.
            NativeMemory.Free(this[slot]->Packed);
        }

        NativeMemory.Free(_slots);
        NativeMemory.Free(_buckets);
        _slots = null;
        _buckets = null;
        _room = 0;
        _used = 1;
    }

    private void FreeOrphan(int slot)
    {
        FrameSlot* frame = this[slot];
        if ((frame->State & FrameState.Orphan) != 0 && frame->Pins == 0 && (frame->State & FrameState.Queued) == 0)
        {
            DropPacked(slot);
            *frame = new FrameSlot { SpillOffset = -1, RawBuffer = -1, HashNext = _free };
            _free = slot;
        }
    }

    private bool Grow()
    {
        int room = _room == 0 ? FirstSlots : _room * 2;
        if (!NativeBlock.TryAllocZeroed((nuint)room * sizeof(int), out byte* buckets))
        {
            return false;
        }

        if (!NativeBlock.TryGrow(ref _slots, (nuint)room * FrameSlot.Bytes))
        {
            NativeMemory.Free(buckets);
            return false;
        }

        NativeMemory.Free(_buckets);
        _buckets = buckets;
        _room = room;
        _bucketMask = (uint)room - 1;
        for (int slot = 1; slot < _used; slot++)
        {
            // The free list is empty when the table grows, so each slot is a frame; orphans are in no bucket.
            if ((this[slot]->State & FrameState.Orphan) == 0)
            {
                uint bucket = Bucket(this[slot]->Key);
                this[slot]->HashNext = Buckets[bucket];
                Buckets[bucket] = slot;
            }
        }

        return true;
    }

    private uint Bucket(ulong key)
    {
        ulong mixed = key * 0x9E3779B97F4A7C15;
        return (uint)(mixed >> 32) & _bucketMask;
    }

    private struct SlotList
    {
        public int Newest;
        public int Oldest;

        public void AddNewest(FrameTable table, int slot)
        {
            table[slot]->Older = Newest;
            table[slot]->Newer = 0;
            if (Newest != 0)
            {
                table[Newest]->Newer = slot;
            }

            Newest = slot;
            Oldest = Oldest == 0 ? slot : Oldest;
        }

        public void Remove(FrameTable table, int slot)
        {
            int newer = table[slot]->Newer;
            int older = table[slot]->Older;
            if (newer != 0)
            {
                table[newer]->Older = older;
            }
            else
            {
                Newest = older;
            }

            if (older != 0)
            {
                table[older]->Newer = newer;
            }
            else
            {
                Oldest = newer;
            }
        }
    }
}
