using System.Runtime.InteropServices;
using K4os.Hash.xxHash;

namespace Antares.Aot.Dicfuse.Store;

/// <summary>What an object of the store is. The value is part of the file format.</summary>
internal enum ObjectKind : byte
{
    None = 0,

    /// <summary>A file's content, named by its git id.</summary>
    Blob = 1,

    /// <summary>A raw git tree, named by its git id.</summary>
    Tree = 2,

    /// <summary>What a server said about a revision and a path, named by a hash of that question.</summary>
    View = 3,

    /// <summary>An image, in a form of its own, named by a hash of what it was made of.</summary>
    Image = 4,

    /// <summary>An image of a server, as much of it as was read; in a form of its own, named by a hash of its address and its header.</summary>
    Remote = 5,
}

/// <summary>Head of an object file, 72 bytes, little-endian. The frames follow, then the table.</summary>
/// <remarks>
/// <code>
/// offset size  field
///  0      8    Magic        "antobj2\n"; "antobj1\n" was a head without an id. Another digit, another folder (ObjectStore)
///  8      4    Kind         ObjectKind
/// 12      4    FrameBytes   unpacked length of each frame but the last
/// 16      8    RawBytes     length of the content
/// 24      4    Frames       number of frames
/// 28      4    zero
/// 32      8    TableOffset  where the table begins; it ends with the file
/// 40     20    Id           of the object: a file that was given another name is not taken for it
/// 60      4    zero
/// 64      8    Checksum     XXH64 of the 64 bytes before
/// </code>
/// </remarks>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal unsafe struct ObjectHeader
{
    public const int Bytes = 72;
    public const ulong MagicValue = 0x0A326A626F746E61; // "antobj2\n"

    // Where the digit of the format is in the magic.
    private const int FormatShift = 6 * 8;

    public ulong Magic;
    public uint Kind;
    public uint FrameBytes;
    public ulong RawBytes;
    public uint Frames;
    private uint _zero;
    public ulong TableOffset;
    private fixed byte _id[ObjectId.Bytes];
    private uint _zeroToo;
    public ulong Checksum;

    public ObjectId Id
    {
        readonly get
        {
            fixed (byte* bytes = _id)
            {
                return new ObjectId(new ReadOnlySpan<byte>(bytes, ObjectId.Bytes));
            }
        }

        set
        {
            fixed (byte* bytes = _id)
            {
                value.CopyTo(new Span<byte>(bytes, ObjectId.Bytes));
            }
        }
    }

    /// <summary>True for the magic of another format of ours, former or later: nothing else of such a file is known here.</summary>
    public static bool IsForeign(ulong magic)
    {
        ulong digit = (magic >> FormatShift) & 0xFF;
        return magic != MagicValue && (magic & ~(0xFFUL << FormatShift)) == (MagicValue & ~(0xFFUL << FormatShift)) && digit is >= '1' and <= '9';
    }

    public static ulong ChecksumOf(ObjectHeader* header) => XXH64.DigestOf(header, Bytes - sizeof(ulong));

    /// <summary>Nothing of it may be used before this said yes.</summary>
    /// <param name="header">As read.</param>
    /// <param name="fileBytes">Length of the whole file.</param>
    public static bool IsSound(ObjectHeader* header, ulong fileBytes) =>
        header->Magic == MagicValue
        && header->Checksum == ChecksumOf(header)
        && header->FrameBytes == ObjectWriter.FrameBytes
        && header->Frames == (header->RawBytes + ObjectWriter.FrameBytes - 1) / ObjectWriter.FrameBytes
        && header->TableOffset >= Bytes
        && header->TableOffset <= fileBytes
        && fileBytes - header->TableOffset == (ulong)header->Frames * ObjectFrame.Bytes;
}

/// <summary>One entry of an object's table, 24 bytes.</summary>
/// <remarks>
/// <code>
/// offset size  field
///  0      8    Offset    where the packed bytes begin
///  8      4    Packed    their number
/// 12      4    Stored    1: they are the raw bytes; 0: one zstd frame
/// 16      8    Checksum  XXH64 of the raw bytes
/// </code>
/// </remarks>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct ObjectFrame
{
    public const int Bytes = 24;

    public ulong Offset;
    public uint Packed;
    public uint Stored;
    public ulong Checksum;

    /// <summary>The bytes lie between the header and the table.</summary>
    public readonly bool IsSound(ulong tableOffset) =>
        Stored <= 1 && Packed <= ObjectWriter.FrameBytes && Offset >= ObjectHeader.Bytes && Offset <= tableOffset && Packed <= tableOffset - Offset;
}
