using Antares.Aot.Dicfuse.Tree;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Content;

/// <summary>
/// Contents in frames: what was read from the source once is held packed in memory, within a limit, and beyond it in the store file.
/// A reader gets exactly the bytes that the node describes, or an error.
/// </summary>
/// <remarks>
/// A frame is read from the source by one thread at a time (32 locks by frame) and served before it is packed. Each unpacked frame is
/// compared with its XXH64; a damaged one is dropped, counted, and read from the source again. A read allocates no managed memory.
/// </remarks>
internal sealed unsafe class FrameStore : IDisposable
{
    /// <summary>Unit of packing and of random access.</summary>
    public const int FrameBytes = 128 << 10;

    private const int MostRawBuffers = 16;
    private const int ZstdLevel = 1;

    private readonly SourceContent _content;
    private readonly bool _holds;
    private readonly FrameTable _table = new();
    private readonly RawBuffers _raws;
    private readonly SpillFile? _spill;
    private readonly FramePacker _packer;
    private readonly FrameUnpackers _unpackers = new();
    private readonly StripedLocks _loading = new(32);
    private long _hits;
    private long _loads;
    private long _damaged;

    /// <param name="content">Where frames come from.</param>
    /// <param name="memoryLimit">Native bytes for frames; below 512 KiB none is held.</param>
    /// <param name="storePath">Folder for the store file, or null.</param>
    /// <param name="storeLimit">Most bytes of that file.</param>
    public FrameStore(SourceContent content, long memoryLimit, string? storePath, long storeLimit)
    {
        _content = content;
        _holds = memoryLimit >= 4 * FrameBytes;
        int rawCount = (int)Math.Clamp(memoryLimit / 8 / FrameBytes, 2, MostRawBuffers);
        _raws = new RawBuffers(_table, rawCount);
        _spill = storePath == null ? null : new SpillFile(storePath, storeLimit);
        _packer = new FramePacker(
            _table, _raws, _spill, memoryLimit - ((long)rawCount * FrameBytes), Math.Max(1, rawCount / 2), ZstdLevel);
    }

    /// <summary>Frames held in any form.</summary>
    public long FramesHeld => _table.Count;

    /// <summary>Unpacked length of the frames held.</summary>
    public long RawBytes => _table.RawBytes;

    /// <summary>Packed bytes in memory.</summary>
    public long PackedBytes => _table.PackedBytes;

    /// <summary>Packed bytes in the store file.</summary>
    public long SpilledBytes => _table.SpilledBytes;

    /// <summary>Packed bytes in memory with the slots of the table: what the memory limit bounds, together with the raw buffers.</summary>
    public long MemoryBytes => _table.MemoryBytes;

    /// <summary>Frames, or parts of one, served from what is held.</summary>
    public long Hits => Volatile.Read(ref _hits);

    /// <summary>Frames, or parts of one, read from the source.</summary>
    public long Loads => Volatile.Read(ref _loads);

    /// <summary>Held frames whose checksum was wrong.</summary>
    public long Damaged => Volatile.Read(ref _damaged);

    /// <summary>Frames given up for lack of memory.</summary>
    public long Evicted => _packer.Evicted;

    /// <summary>Frames moved to the store file.</summary>
    public long Spilled => _packer.Spilled;

    internal FrameTable Table => _table;

    internal RawBuffers Raws => _raws;

    internal SpillFile? Spill => _spill;

    internal bool PackingIdle => _packer.Idle;

    /// <summary>Reads a part that lies within the file.</summary>
    /// <param name="node">Regular file with its attributes loaded, no alias.</param>
    /// <param name="fileBytes">Its size.</param>
    /// <param name="offset">Byte offset.</param>
    /// <param name="buffer">Receives exactly <paramref name="size"/> bytes.</param>
    /// <param name="size">offset + size is not past the end.</param>
    /// <returns>None; EIO: source gone or changed; ENOMEM; EACCES.</returns>
    public Errno Read(uint node, ulong fileBytes, ulong offset, byte* buffer, uint size)
    {
        if (!_holds)
        {
            return size == 0 ? Errno.None : LoadPart(node, offset, buffer, size);
        }

        while (size != 0)
        {
            ulong frame = offset / FrameBytes;
            uint within = (uint)(offset % FrameBytes);
            uint frameLength = (uint)Math.Min(FrameBytes, fileBytes - (frame * FrameBytes));
            uint take = Math.Min(size, frameLength - within);
            Errno error = frame <= uint.MaxValue
                ? ReadFrame(node, (uint)frame, frameLength, within, buffer, take)
                // Beyond 512 TiB a frame has no number in the table; such a file is mostly a hole.
                : LoadPart(node, offset, buffer, take);
            if (error != Errno.None)
            {
                return error;
            }

            offset += take;
            buffer += take;
            size -= take;
        }

        return Errno.None;
    }

    public void Dispose()
    {
        _packer.Dispose();
        _unpackers.Dispose();
        _raws.Dispose();
        _table.Dispose();
        _spill?.Dispose();
    }

    private Errno ReadFrame(uint node, uint frame, uint length, uint within, byte* buffer, uint size)
    {
        ulong key = ((ulong)node << 32) | frame;
        if (TryReadHeld(key, length, within, buffer, size))
        {
            return Errno.None;
        }

        Errno entered = _content.Enter();
        if (entered != Errno.None)
        {
            return entered;
        }

        lock (_loading[node ^ frame])
        {
            return TryReadHeld(key, length, within, buffer, size)
                ? Errno.None
                : Load(node, frame, length, within, buffer, size);
        }
    }

    private bool TryReadHeld(ulong key, uint length, uint within, byte* buffer, uint size)
    {
        int slot;
        int raw;
        bool queued = false;
        HeldFrame held = default;
        lock (_table.Gate)
        {
            slot = _table.Find(key);
            if (slot == 0)
            {
                return false;
            }

            _table.Touch(slot);
            FrameSlot* frame = _table[slot];
            raw = frame->RawBuffer;
            if (raw >= 0)
            {
                _raws.Pin(raw);
                bool unpacked = frame->Packed == null && frame->SpillOffset < 0 && (frame->State & FrameState.Queued) == 0;
                queued = unpacked && _packer.TryQueue(slot);
                held.Raw = _raws[raw];
            }
            else
            {
                _table.Pin(slot);
                held.Take(frame);
                if (size < length)
                {
                    // More small reads of this frame are likely: it is unpacked to where they find it.
                    raw = _raws.TryTake();
                    held.Raw = raw < 0 ? null : _raws[raw];
                }
            }

            _hits++;
        }

        if (held.IsPacked)
        {
            return Unpack(slot, raw, held, length, within, buffer, size);
        }

        Buffer.MemoryCopy(held.Raw + within, buffer, size, size);
        lock (_table.Gate)
        {
            _raws.Unpin(raw);
        }

        if (queued)
        {
            _packer.Wake();
        }

        return true;
    }

    /// <summary>Serves a pinned frame from its packed form; a damaged one leaves the table, and false sends the reader to the source.</summary>
    private bool Unpack(int slot, int raw, in HeldFrame held, uint length, uint within, byte* buffer, uint size)
    {
        FrameUnpacker? unpacker = _unpackers.Rent();
        byte* target = size == length ? buffer : held.Raw;
        bool whole = false;
        bool damaged = false;
        if (unpacker != null)
        {
            byte* packed = held.Packed;
            if (packed == null)
            {
                packed = unpacker.Scratch;
                damaged = !_spill!.TryRead(packed, held.PackedBytes, held.SpillOffset);
            }

            // Without a raw buffer for a small read the source serves it.
            if (!damaged && target != null)
            {
                whole = unpacker.TryUnpack(packed, held.PackedBytes, held.Stored, target, (int)length, held.Checksum);
                damaged = !whole;
            }

            _unpackers.Return(unpacker);
        }

        if (whole && target != buffer)
        {
            Buffer.MemoryCopy(target + within, buffer, size, size);
        }

        lock (_table.Gate)
        {
            if (raw >= 0)
            {
                FrameSlot* frame = _table[slot];
                if (whole && frame->RawBuffer < 0 && (frame->State & FrameState.Orphan) == 0)
                {
                    _raws.Attach(raw, slot);
                }

                _raws.Unpin(raw);
            }

            if (damaged)
            {
                _damaged++;
                if ((_table[slot]->State & FrameState.Orphan) == 0)
                {
                    Forget(slot);
                }
            }

            _table.Unpin(slot);
        }

        return whole;
    }

    private void Forget(int slot)
    {
        _table.Remove(slot);
        if (_table[slot]->RawBuffer >= 0)
        {
            _raws.Detach(slot);
        }
    }

    /// <summary>Reads a whole frame from the source, serves it and leaves it to be packed. The caller holds the frame's load lock.</summary>
    private Errno Load(uint node, uint frame, uint length, uint within, byte* buffer, uint size)
    {
        ulong start = (ulong)frame * FrameBytes;
        int raw;
        byte* bytes = null;
        lock (_table.Gate)
        {
            raw = _raws.TryTake();
            if (raw >= 0)
            {
                bytes = _raws[raw];
            }
        }

        if (bytes == null)
        {
            return LoadPart(node, start + within, buffer, size);
        }

        Errno error = LoadPart(node, start, bytes, length);
        if (error == Errno.None)
        {
            Buffer.MemoryCopy(bytes + within, buffer, size, size);
        }

        bool queued = false;
        lock (_table.Gate)
        {
            ulong key = ((ulong)node << 32) | frame;
            // It may be held already: a packed frame that could not be unpacked for lack of memory.
            bool add = error == Errno.None && _table.Find(key) == 0;
            int slot = add ? _table.Add(key, (int)length) : 0;
            if (slot != 0)
            {
                _raws.Attach(raw, slot);
                queued = _packer.TryQueue(slot);
            }

            _raws.Unpin(raw);
        }

        if (queued)
        {
            _packer.Wake();
        }

        return error;
    }

    private Errno LoadPart(uint node, ulong offset, byte* buffer, uint size)
    {
        // Only a counter for people.
        _ = Interlocked.Increment(ref _loads);
        return _content.Read(node, offset, buffer, size);
    }

    /// <summary>What a reader takes along of a slot when it leaves the lock.</summary>
    private struct HeldFrame
    {
        public byte* Raw;
        public byte* Packed;
        public long SpillOffset;
        public int PackedBytes;
        public bool Stored;
        public bool IsPacked;
        public ulong Checksum;

        public void Take(FrameSlot* frame)
        {
            IsPacked = true;
            Packed = frame->Packed;
            SpillOffset = frame->SpillOffset;
            PackedBytes = frame->PackedBytes;
            Stored = (frame->State & FrameState.Stored) != 0;
            Checksum = frame->Checksum;
        }
    }
}
