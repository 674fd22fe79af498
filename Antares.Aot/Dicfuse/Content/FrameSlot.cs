using System.Runtime.InteropServices;

namespace Antares.Aot.Dicfuse.Content;

/// <summary>What holds for a slot of the frame table.</summary>
[Flags]
internal enum FrameState : byte
{
    None = 0,

    /// <summary>Waits to be packed, or is just being packed: its raw buffer must stay.</summary>
    Queued = 1 << 0,

    /// <summary>The packed form is the raw bytes: zstd would not have made them shorter.</summary>
    Stored = 1 << 1,

    /// <summary>Taken out of the table while somebody still uses it; freed with its last pin.</summary>
    Orphan = 1 << 2,
}

/// <summary>One frame that is held in some form; guarded by the table's lock, except for what a pin keeps still.</summary>
/// <remarks>
/// <code>
/// offset size field
///  0     8    Key          node index &lt;&lt; 32 | number of the frame in the file
///  8     8    Checksum     XXH64 of the raw bytes (of a packed frame)
/// 16     8    Packed       packed bytes in memory, or null
/// 24     8    SpillOffset  place of the packed bytes in the store file, or -1
/// 32     4    PackedBytes  their length
/// 36     4    RawBytes     length of the frame when unpacked, 1 to the frame size
/// 40     4    HashNext     next slot of the same bucket, 0 at the end
/// 44     4    Newer        neighbours in the list it is in: of packed frames in memory by use,
/// 48     4    Older        or of frames in the store file by place; 0 at the ends
/// 52     4    Pins         users of Packed or SpillOffset outside the lock
/// 56     2    RawBuffer    index of the raw buffer that holds the frame, or -1
/// 58     1    State        FrameState
/// </code>
/// </remarks>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal unsafe struct FrameSlot
{
    public const int Bytes = 64;

    public ulong Key;
    public ulong Checksum;
    public byte* Packed;
    public long SpillOffset;
    public int PackedBytes;
    public int RawBytes;
    public int HashNext;
    public int Newer;
    public int Older;
    public int Pins;
    public short RawBuffer;
    public FrameState State;
}
