using System.Runtime.InteropServices;

namespace Antares.Aot.Dicfuse.Image;

/// <summary>The sections of an image, in the order in which they lie in the file and in the header's table.</summary>
internal enum ImageSection
{
    Nodes,
    Names,
    NameIndex,
    Owners,
    XattrNodes,
    XattrSets,
    Blobs,
    Frames,
    Provenance,
    Checksums,
    Contents,
}

/// <summary>Place of one section. <see cref="Offset"/> is a multiple of the page size, <see cref="Length"/> is without the zeros behind it.</summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct SectionPlace
{
    public const int Bytes = 16;

    public ulong Offset;
    public ulong Length;
}

/// <summary>The first page of an image. docs/IMAGE-FORMAT.md is the contract; all numbers are little-endian.</summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal unsafe struct ImageHeader
{
    public const int Bytes = 4096;

    /// <summary>Checksums of the checksum section's own blocks that the header has room for.</summary>
    public const int MostRoots = 384;

    /// <summary>Bytes that <see cref="HeaderChecksum"/> stands for.</summary>
    public const int CheckedBytes = Bytes - sizeof(ulong);

    private const int SectionBytes = ImageFormat.SectionCount * SectionPlace.Bytes;
    private const int ReservedBytes = CheckedBytes - (10 * sizeof(ulong)) - SectionBytes - (MostRoots * sizeof(ulong));

    public ulong Magic;
    public uint Version;
    public uint HeaderBytes;

    /// <summary>Bits that a reader must know to read the image (<see cref="ImageFormat.KnownFeatures"/>).</summary>
    public ulong Features;

    /// <summary>Length of the whole file.</summary>
    public ulong FileBytes;

    /// <summary>Where the contents begin; everything before them is metadata.</summary>
    public ulong MetadataBytes;

    /// <summary>Nodes with the unused one of index 0.</summary>
    public ulong NodeCount;

    /// <summary>Most raw bytes of a frame.</summary>
    public ulong FrameBytes;

    /// <summary>Length of the stream of contents, unpacked.</summary>
    public ulong StreamBytes;

    /// <summary>Sum of the sizes of all regular files, one with several names counted once, equal ones counted each.</summary>
    public ulong FileSizes;

    private readonly ulong _reservedWord;
    private fixed byte _sections[SectionBytes];
    private fixed ulong _roots[MostRoots];
    private fixed byte _reserved[ReservedBytes];

    /// <summary>XXH64 of all bytes of the header before it.</summary>
    public ulong HeaderChecksum;

    public SectionPlace this[ImageSection section]
    {
        get
        {
            fixed (byte* table = _sections)
            {
                return ((SectionPlace*)table)[(int)section];
            }
        }

        set
        {
            fixed (byte* table = _sections)
            {
                ((SectionPlace*)table)[(int)section] = value;
            }
        }
    }

    /// <summary>Checksum of block <paramref name="index"/> of the checksum section.</summary>
    public ulong GetRoot(int index) => _roots[index];

    public void SetRoot(int index, ulong checksum) => _roots[index] = checksum;

    /// <summary>True when the bytes that no field uses are zero.</summary>
    public readonly bool ReservedIsZero()
    {
        fixed (byte* rest = _reserved)
        {
            return _reservedWord == 0 && !new ReadOnlySpan<byte>(rest, ReservedBytes).ContainsAnyExcept((byte)0);
        }
    }
}

/// <summary>One node in an image, 40 bytes; nodes before index 2 are none (0) and the root (1).</summary>
/// <remarks>
/// <code>
/// offset  size  field       meaning
///  0      4     Parent      directory, a smaller index; 0 for the root
///  4      4     Name        place in the names; 0 for the root
///  8      4     Body        directory: first child, a greater index · symlink: place of the target in the names · file: blob, 0 when empty ·
///                           further name of a hard link: the node that stands for the object, a smaller index
/// 12      4     Extra       directory: number of children · else: the object's next name, a greater index, 0 after the last
/// 16      8     Size        file: bytes · symlink: length of the target · device: rdev · directory: place in the name index + 1, 0 for none
/// 24      8     Time        modification time (PackedTime)
/// 32      2     Mode        st_mode
/// 34      2     Owner       index in the owners
/// 36      1     NameLength  1 to 255; 0 for the root
/// 37      1     Flags       bit 0: a further name of a hard link · bit 1: has extended attributes · bit 2: file with frames of zeros ·
///                           bit 3: a directory that hides what lies below
/// 38      2     Nlink       names in the image, or 2 + sub-directories; 65,535: at least as many (a directory: 1, "not counted")
/// </code>
/// </remarks>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct ImageNode
{
    public const int Bytes = 40;
    public const byte Alias = 1;
    public const byte HasXattrs = 2;

    /// <summary>Regular file: frames of zeros are in its content, so its blocks are fewer than its size says.</summary>
    public const byte Sparse = 4;

    /// <summary>Directory: the layers below are not merged in. Only with <see cref="ImageFormat.OpaqueFeature"/>.</summary>
    public const byte Opaque = 8;

    public const byte KnownFlags = Alias | HasXattrs | Sparse | Opaque;

    public uint Parent;
    public uint Name;
    public uint Body;
    public uint Extra;
    public ulong Size;
    public ulong Time;
    public ushort Mode;
    public ushort Owner;
    public byte NameLength;
    public byte Flags;
    public ushort Nlink;
}

/// <summary>The content of one or more files: where it begins in the stream of contents, and its XXH64. Blob 0 is none.</summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct ImageBlob
{
    public const int Bytes = 16;

    public ulong Start;
    public ulong Checksum;
}

/// <summary>
/// One piece of the stream of contents; the next entry's fields tell where it ends, and a last entry without a piece ends the table.
/// Packed bytes as many as raw ones: stored as they are. No packed bytes: all zeros, of any length.
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct ImageFrame
{
    public const int Bytes = 24;

    /// <summary>Place in the stream of contents.</summary>
    public ulong Start;

    /// <summary>Place of the packed bytes in the contents section.</summary>
    public ulong Packed;

    /// <summary>XXH64 of the packed bytes.</summary>
    public ulong Checksum;
}

/// <summary>Which set of extended attributes a node has; sorted by node.</summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct ImageXattrNode
{
    public const int Bytes = 8;

    public uint Node;

    /// <summary>Place in the sets.</summary>
    public uint Set;
}

/// <summary>Numbers that writer and reader share.</summary>
internal static class ImageFormat
{
    /// <summary>0x89 "AntImg" 0x0A, which no text begins with and no transfer as text leaves whole.</summary>
    public const ulong Magic = 0x0A67_6D49_746E_4189;

    public const uint Version = 1;

    /// <summary>Feature bit: directories may be opaque.</summary>
    public const ulong OpaqueFeature = 1;

    /// <summary>Feature bit: the image is what another, named by its provenance, lacks, and is of no use without it.</summary>
    public const ulong PatchFeature = 2;

    public const ulong KnownFeatures = OpaqueFeature | PatchFeature;
    public const int SectionCount = 11;
    public const int PageBytes = 4096;

    /// <summary>Unit in which metadata are checked: at the first touch of each.</summary>
    public const int BlockBytes = 16 << 10;

    /// <summary>Raw bytes of a frame as this version writes it.</summary>
    public const int FrameBytes = 512 << 10;

    /// <summary>Most raw bytes of a frame that a reader accepts.</summary>
    public const int LargestFrameBytes = 1 << 20;

    public const uint RootNode = 1;
    public const int LongestTarget = 4095;

    /// <summary>Bytes of an owner: uid, gid.</summary>
    public const int OwnerBytes = 8;

    public static ulong PageUp(ulong bytes) => (bytes + PageBytes - 1) & ~(ulong)(PageBytes - 1);
}
