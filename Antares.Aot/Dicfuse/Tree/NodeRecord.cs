using System.Runtime.InteropServices;
using Antares.Aot.Base;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>
/// What is known about a node. Bits are only ever set, each by one atomic store that publishes what it stands for; but for the last
/// two, which <see cref="LoadGate"/> sets and takes away.
/// </summary>
[Flags]
internal enum NodeFlags : byte
{
    None = 0,

    /// <summary>Directory: <see cref="NodeRecord.Body"/> and <see cref="NodeRecord.Extra"/> are the block of its children.</summary>
    ChildrenLoaded = 1 << 0,

    /// <summary>Size, time, permission bits, owner and nlink are those of the source.</summary>
    AttributesLoaded = 1 << 1,

    /// <summary>A further name of a hard-linked object: <see cref="NodeRecord.Body"/> is the node that stands for the object.</summary>
    Alias = 1 << 2,

    /// <summary>The source was asked and showed no extended attribute.</summary>
    NoXattrs = 1 << 3,

    /// <summary>Regular file: <see cref="NodeRecord.Body"/> is st_blocks and not a blob index.</summary>
    BodyIsBlocks = 1 << 4,

    /// <summary>Directory: a hash index of the names follows the block of its children.</summary>
    Indexed = 1 << 5,

    /// <summary>Directory: a thread is at work on its children.</summary>
    ChildrenLoading = 1 << 6,

    /// <summary>A thread is at work on its attributes.</summary>
    AttributesLoading = 1 << 7,
}

/// <summary>
/// One node of the tree: 48 bytes of native memory that never move. A node is written by one thread before its directory is
/// published; what changes later changes as told here.
/// </summary>
/// <remarks>
/// <code>
/// offset  size  field       meaning
///  0      4     Parent      node index of the directory; 0 for the root
///  4      4     Name        place in the name heap; 0 for the root
///  8      4     Body        directory: first child (ChildrenLoaded) · symlink: place of the target in the name heap, 0 until read ·
///                           regular file: blob index, or st_blocks (BodyIsBlocks) · alias: the node that stands for the object
/// 12      4     Extra       directory: number of children (ChildrenLoaded) · else: next name of a hard-linked object, circular, 0 if alone
/// 16      8     Size        bytes; devices: rdev. Until AttributesLoaded: the source's inode number as the listing gave it
/// 24      8     Time        modification time (PackedTime). Until AttributesLoaded: device of the directory in the source
/// 32      8     StIno       stable number of the object, 2 to 2^60-1 (StInoSet); the root's is 1
/// 40      2     Mode        st_mode; before AttributesLoaded the type bits only, which never change
/// 42      2     Owner       index in the table of (uid, gid) pairs
/// 44      1     NameLength  1 to 255; 0 for the root
/// 45      1     Flags       NodeFlags
/// 46      2     Nlink       files: saturates at 65,535 · directories: above 65,534 it is 1, "not counted"
/// </code>
/// </remarks>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct NodeRecord
{
    public const int Bytes = 48;

    public uint Parent;
    public uint Name;
    public uint Body;
    public uint Extra;
    public ulong Size;
    public ulong Time;
    public ulong StIno;
    public ushort Mode;
    public ushort Owner;
    public byte NameLength;
    private byte _flags;
    public ushort Nlink;

    /// <summary>Type in the mode; a 0:0 character device is not yet told as a whiteout.</summary>
    public readonly FileType Type => FileTypes.FromMode(Mode);

    public readonly bool IsDirectory => Type == FileType.Directory;

    /// <summary>Acquires: what a bit that is seen set stands for can be read after this.</summary>
    public NodeFlags LoadFlags() => (NodeFlags)Volatile.Read(ref _flags);

    public bool Has(NodeFlags flags) => (LoadFlags() & flags) == flags;

    /// <summary>Sets bits and releases all that was written before.</summary>
    public void Publish(NodeFlags more)
    {
        byte seen = Volatile.Read(ref _flags);
        while (!TryReplace(ref seen, (byte)(seen | (byte)more)))
        {
        }
    }

    /// <summary>Sets <paramref name="loading"/> unless it or <paramref name="loaded"/> is set.</summary>
    /// <returns>The flags as they were: with neither of the two, the caller has set the bit.</returns>
    public NodeFlags TryBegin(NodeFlags loading, NodeFlags loaded)
    {
        byte seen = Volatile.Read(ref _flags);
        while ((seen & (byte)(loading | loaded)) == 0 && !TryReplace(ref seen, (byte)(seen | (byte)loading)))
        {
        }

        return (NodeFlags)seen;
    }

    /// <summary>Takes a bit away that <see cref="TryBegin"/> set.</summary>
    public void End(NodeFlags loading)
    {
        byte seen = Volatile.Read(ref _flags);
        while (!TryReplace(ref seen, (byte)(seen & ~(byte)loading)))
        {
        }
    }

    private bool TryReplace(ref byte seen, byte wanted)
    {
        byte before = Interlocked.CompareExchange(ref _flags, wanted, seen);
        bool replaced = before == seen;
        seen = before;
        return replaced;
    }
}
