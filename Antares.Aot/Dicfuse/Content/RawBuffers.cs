using System.Runtime.InteropServices;
using Antares.Aot.Dicfuse.Tree;

namespace Antares.Aot.Dicfuse.Content;

/// <summary>
/// The few unpacked frames in memory: those just read from the source, which wait to be packed, and those just unpacked, which serve
/// small reads that follow each other. A fixed number of buffers of one frame each; the least recently used is taken first.
/// </summary>
/// <remarks>Every member is called under the frame table's gate. A pinned buffer, or one whose frame is queued, stays.</remarks>
internal sealed unsafe class RawBuffers : IDisposable
{
    private readonly Buffer[] _buffers;
    private readonly FrameTable _table;
    private long _clock;

    public RawBuffers(FrameTable table, int count)
    {
        _table = table;
        _buffers = new Buffer[count];
    }

    public byte* this[int buffer] => _buffers[buffer].Bytes;

    /// <summary>Pins a buffer that belongs to no frame; taken from a frame that can do without, if need be.</summary>
    /// <returns>Its index; -1 when all are in use or there is no memory.</returns>
    public int TryTake()
    {
        int best = -1;
        for (int i = 0; i < _buffers.Length; i++)
        {
            ref Buffer buffer = ref _buffers[i];
            if (buffer.Pins == 0 && !IsQueued(buffer.Slot) && (best < 0 || buffer.LastUse < _buffers[best].LastUse))
            {
                best = i;
            }
        }

        if (best < 0)
        {
            return -1;
        }

        ref Buffer taken = ref _buffers[best];
        if (taken.Bytes == null && !NativeBlock.TryAlloc(FrameStore.FrameBytes, out taken.Bytes))
        {
            return -1;
        }

        if (taken.Slot != 0)
        {
            Detach(taken.Slot);
        }

        Pin(best);
        return best;
    }

    public void Pin(int buffer)
    {
        _buffers[buffer].Pins++;
        _buffers[buffer].LastUse = ++_clock;
    }

    public void Unpin(int buffer)
    {
        _buffers[buffer].Pins--;
        if (_buffers[buffer].Slot == 0)
        {
            // Holds nothing: the first to be taken.
            _buffers[buffer].LastUse = 0;
        }
    }

    /// <summary>Says whose bytes a pinned buffer holds.</summary>
    public void Attach(int buffer, int slot)
    {
        _buffers[buffer].Slot = slot;
        _table[slot]->RawBuffer = (short)buffer;
    }

    /// <summary>Takes the buffer from a frame that has one; a frame that has no packed form then leaves the table.</summary>
    public void Detach(int slot)
    {
        FrameSlot* frame = _table[slot];
        _buffers[frame->RawBuffer].Slot = 0;
        frame->RawBuffer = -1;
        if (frame->Packed == null && frame->SpillOffset < 0)
        {
            _table.Remove(slot);
        }
    }

    /// <summary>Lets go of every unpacked copy that nobody uses.</summary>
    public void DropIdle()
    {
        for (int i = 0; i < _buffers.Length; i++)
        {
            if (_buffers[i] is { Pins: 0, Slot: not 0 } && !IsQueued(_buffers[i].Slot))
            {
                Detach(_buffers[i].Slot);
                _buffers[i].LastUse = 0;
            }
        }
    }

    public void Dispose()
    {
        foreach (ref Buffer buffer in _buffers.AsSpan())
        {
            NativeMemory.Free(buffer.Bytes);
            buffer = default;
        }
    }

    private bool IsQueued(int slot) => slot != 0 && (_table[slot]->State & FrameState.Queued) != 0;

    private struct Buffer
    {
        public byte* Bytes;
        public int Slot;
        public int Pins;
        public long LastUse;
    }
}
