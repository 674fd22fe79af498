using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Tree;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Erofs;

/// <summary>
/// An image as the kernel's EROFS would find it on a disk: a file system image that exists block by block, when a block is asked for. Nothing is kept but a byte
/// for each node, and where the long files lie that were asked for.
/// </summary>
/// <remarks>
/// A damaged node is one that the kernel refuses (EUCLEAN); its neighbours in the block are as they are.
/// Room on the imagined disk costs nothing, so each place is a matter of arithmetic, and the way back from a block to what is in it too. In blocks, one after the other:
/// the superblock; inodes, 64 bytes for each node; inodes of nodes with extended attributes, <see cref="XattrBlocks"/> for each node; directories, one for each
/// child at the place of its index (a directory's children follow each other, and it needs fewer blocks than it has children); empty directories and link targets, one
/// for each node; contents of up to 2^c blocks, 2^c for each node, c from 0 to <see cref="MostClass"/>; last the longer contents, as they are asked for.
/// See the kernel's Documentation/filesystems/erofs.rst for the format.
/// </remarks>
internal sealed unsafe partial class ErofsView
{
    public const int BlockBytes = 4096;
    private const int InodeBytes = 64;
    private const uint XattrBlocks = 16;
    private const int MostClass = 8;
    private const ulong MostBlocks = uint.MaxValue;
    private const uint MostZeros = 1 << 20;
    private const uint RootBlock = 1;
    private const uint FirstInodes = RootBlock + XattrBlocks;

    // The number that the superblock has for the root has 16 bits, and 0 is none.
    private const uint RootNid = 2;
    private const uint RootBytes = RootNid * 32;
    private const uint XattrHeadBytes = 12;

    private readonly ImageLayer _layer;
    private readonly ImageTree _tree;
    private readonly uint _count;
    private readonly ulong _xattrs, _directories, _empties, _targets, _contents, _large;
    private readonly byte[] _longest; // name of each directory's children; 0: not known yet
    private readonly Lock _gate = new();
    private readonly SortedList<ulong, (uint Node, ulong Blocks)> _largeFiles = [];
    private readonly Dictionary<uint, ulong> _largePlaces = [];
    private ulong _largeEnd;

    [ThreadStatic]
    private static uint s_asked;

    private ErofsView(ImageLayer layer)
    {
        _layer = layer;
        _tree = layer.Tree;
        _count = _tree.Count;
        _xattrs = FirstInodes + (((ulong)_count * InodeBytes) + BlockBytes - 1) / BlockBytes;
        _directories = _xattrs + ((ulong)_count * XattrBlocks);
        _empties = _directories + _count;
        _targets = _empties + _count;
        _contents = _targets + _count;
        _large = _contents + ((ulong)_count * ((2UL << MostClass) - 1));
        _largeEnd = _large;
        _longest = new byte[_count];
    }

    /// <summary>Called with a node that turns out to be damaged while a block is made for its neighbours, before the kernel is given one that it refuses (EUCLEAN).</summary>
    public Action<uint>? Damaged { get; set; }

    /// <summary>The node that the last call of <see cref="Read"/> on this thread was about, for messages; 0: none.</summary>
    public static uint Asked => s_asked;

    /// <summary>Bytes of the imagined disk.</summary>
    public ulong Bytes => MostBlocks * BlockBytes;

    /// <summary>What of an image EROFS would show otherwise than we do, or perhaps not at all; null: nothing. Looks at the number of its frames, not of its nodes.</summary>
    public static string? Differs(ImageLayer layer)
    {
        // Kernels may be built without them, and then show files without capabilities and ACLs; more than 60 KiB of one object have no room.
        if (layer.Image.Header[ImageSection.XattrNodes].Length != 0)
        {
            return "extended attributes";
        }

        // Of a file that has holes st_blocks counts the whole, so that cp and tar write them out.
        var frames = new FrameReader(layer.Image);
        ulong zeros = 0;
        for (uint i = 0; i < frames.Count && zeros < MostZeros; i++)
        {
            zeros += frames.Get(i, out FramePlace place) == Errno.None && place.IsZeros ? place.RawBytes : 0;
        }

        return zeros >= MostZeros ? "holes" : null;
    }

    /// <summary>A view of an image, or null where EROFS has no room for it.</summary>
    public static ErofsView? Of(ImageLayer layer)
    {
        var header = layer.Image.Header;
        ulong nodes = header.NodeCount;
        ulong all = (nodes * (XattrBlocks + 3 + ((2UL << MostClass) - 1) + 1)) + (header.FileSizes / BlockBytes) + nodes;
        return all < MostBlocks ? new ErofsView(layer) : null;
    }

    /// <summary>Fills a buffer with what is at a place of the disk.</summary>
    /// <returns>None; EIO and others as of the image.</returns>
    public Errno Read(ulong offset, byte* buffer, uint size) => _layer.Image.Sound(ReadBlocks(offset, buffer, size));

    private Errno ReadBlocks(ulong offset, byte* buffer, uint size)
    {
        byte* block = stackalloc byte[BlockBytes];
        s_asked = 0;
        while (size != 0)
        {
            ulong at = offset / BlockBytes;
            uint within = (uint)(offset % BlockBytes);
            uint take = Math.Min(size, BlockBytes - within);
            Errno error;
            if (at >= _contents && within == 0)
            {
                error = Contents(at, buffer, size, out take);
            }
            else
            {
                NativeMemory.Clear(block, BlockBytes);
                error = Block(at, block);
                Buffer.MemoryCopy(block + within, buffer, take, take);
            }

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

    private Errno Block(ulong at, byte* block)
    {
        if (at < RootBlock)
        {
            Superblock(block + 1024);
            return Errno.None;
        }

        if (at < FirstInodes)
        {
            return WithXattrs(ImageFormat.RootNode, (uint)(at - RootBlock) * BlockBytes, RootBytes, block);
        }

        if (at < _xattrs)
        {
            return Inodes((uint)((at - FirstInodes) * (BlockBytes / InodeBytes)), block);
        }

        if (at < _directories)
        {
            return WithXattrs((uint)((at - _xattrs) / XattrBlocks), (uint)((at - _xattrs) % XattrBlocks) * BlockBytes, 0, block);
        }

        if (at < _empties)
        {
            uint child = (uint)(at - _directories);
            Errno error = _tree.Contains(child) ? _tree.Get(child, out ImageNode record) : Missing(out record);
            return error != Errno.None || record.Parent == 0 ? error : Entries(record.Parent, child, block);
        }

        if (at < _targets)
        {
            return Entries((uint)(at - _empties), 0, block);
        }

        return at < _contents ? Target((uint)(at - _targets), block) : Contents(at, block, BlockBytes, out _);
    }

    private static Errno Missing(out ImageNode record)
    {
        record = default;
        return Errno.None;
    }

    private void Superblock(byte* at)
    {
        *(uint*)at = 0xE0F5E1E2;
        at[12] = 12; // blocks of 4,096 bytes
        *(ushort*)(at + 14) = (ushort)RootNid;
        *(ulong*)(at + 16) = _count - 1;
        *(uint*)(at + 36) = uint.MaxValue;
        *(uint*)(at + 40) = RootBlock; // nids are counted from here
        ulong name = _layer.Image.Header.HeaderChecksum;
        *(ulong*)(at + 48) = name;
        *(ulong*)(at + 56) = ~name;
    }

    private ulong NidOf(uint node, in ImageNode record)
    {
        if (node == ImageFormat.RootNode)
        {
            return RootNid;
        }

        return (record.Flags & ImageNode.HasXattrs) == 0
            ? ((FirstInodes - RootBlock) * (BlockBytes / 32)) + ((ulong)node * (InodeBytes / 32))
            : (_xattrs + ((ulong)node * XattrBlocks) - RootBlock) * (BlockBytes / 32);
    }

    private Errno Inodes(uint first, byte* block)
    {
        for (uint i = 0; i < BlockBytes / InodeBytes; i++)
        {
            uint node = first + i;
            if (!_tree.Contains(node))
            {
                continue;
            }

            s_asked = node;
            Errno error = _tree.Get(node, out ImageNode record);
            if (error != Errno.None)
            {
                return error;
            }

            if ((record.Flags & (ImageNode.Alias | ImageNode.HasXattrs)) != 0 || node == ImageFormat.RootNode)
            {
                continue;
            }

            error = Inode(node, record, block + (i * InodeBytes), 0);
            if (error == Errno.EIO)
            {
                Damaged?.Invoke(node);

                // Without a mode it is none.
                NativeMemory.Clear(block + (i * InodeBytes), InodeBytes);
                block[i * InodeBytes] = 1;
            }
            else if (error != Errno.None)
            {
                return error;
            }
        }

        return Errno.None;
    }

    private Errno Inode(uint node, in ImageNode record, byte* at, uint xattrBytes)
    {
        stat attributes;
        Errno error = _tree.Attributes(node, &attributes, out _); // the kernel engine maps no owners
        if (error != Errno.None)
        {
            return error;
        }

        ulong size = (ulong)attributes.st_size;
        ulong place = 0;
        switch (ImageTree.TypeOf(record))
        {
            case FileType.Directory:
                error = _tree.Directory(node, out ImageNode directory);
                if (error == Errno.None && SizeOf(node, directory, out size) != Errno.None)
                {
                    // What is in it is damaged: it is there, and cannot be listed.
                    Damaged?.Invoke(node);
                    size = BlockBytes;
                }

                place = directory.Extra == 0 ? _empties + node : _directories + directory.Body;
                break;
            case FileType.Regular:
                place = size == 0 ? 0 : ContentPlace(node, size);
                error = place < MostBlocks ? Errno.None : ImageFile.Note("nodes: sizes"); // more than the header says
                break;
            case FileType.Symlink:
                place = _targets + node;
                break;
            case FileType.CharDevice or FileType.BlockDevice:
                place = (uint)attributes.st_rdev;
                break;
        }

        *(ushort*)at = 1; // extended, flat
        *(ushort*)(at + 2) = (ushort)(xattrBytes == 0 ? 0 : ((xattrBytes - 12) / 4) + 1);
        *(ushort*)(at + 4) = (ushort)attributes.st_mode;
        *(ulong*)(at + 8) = size;
        *(uint*)(at + 16) = (uint)place;
        *(uint*)(at + 20) = node;
        *(uint*)(at + 24) = attributes.st_uid;
        *(uint*)(at + 28) = attributes.st_gid;
        *(long*)(at + 32) = attributes.st_mtim.tv_sec;
        *(uint*)(at + 40) = (uint)attributes.st_mtim.tv_nsec;
        *(uint*)(at + 44) = (uint)attributes.st_nlink;
        return error;
    }

    // A node and its attributes behind it; which part of them, and where in the first of its blocks it begins.
    private Errno WithXattrs(uint node, uint from, uint begin, byte* block)
    {
        if (!_tree.Contains(node))
        {
            return Errno.None;
        }

        s_asked = node;
        Errno error = _tree.Get(node, out ImageNode record);
        if (error != Errno.None || (record.Flags & ImageNode.Alias) != 0 || ((record.Flags & ImageNode.HasXattrs) == 0 && node != ImageFormat.RootNode))
        {
            return error;
        }

        byte* all = stackalloc byte[(int)XattrBlocks * BlockBytes];
        NativeMemory.Clear(all, XattrBlocks * BlockBytes);
        error = Xattrs(node, record, all + begin + InodeBytes, (XattrBlocks * BlockBytes) - begin - InodeBytes, out uint bytes);
        if (error == Errno.None)
        {
            error = Inode(node, record, all + begin, bytes);
        }

        Buffer.MemoryCopy(all + from, block, BlockBytes, BlockBytes);
        return error;
    }

    private Errno Xattrs(uint node, in ImageNode record, byte* at, uint room, out uint bytes)
    {
        bytes = 0;
        if ((record.Flags & ImageNode.HasXattrs) == 0)
        {
            return Errno.None;
        }

        uint used = XattrHeadBytes;
        Errno error = _layer.Xattrs.Open(node, out ImageXattrs.Cursor cursor);
        while (error == Errno.None && (error = _layer.Xattrs.Next(ref cursor)) == Errno.None)
        {
            if (TreeXattrs.IsPrivate(cursor.Name))
            {
                continue;
            }

            (byte kind, int prefix) = KindOf(cursor.Name);
            ReadOnlySpan<byte> name = cursor.Name[prefix..];
            uint size = (uint)(4 + name.Length + cursor.ValueBytes + 3) & ~3u;
            if (kind == 0)
            {
                continue;
            }

            if (cursor.ValueBytes > ushort.MaxValue || used + size > room)
            {
                return ImageFile.Note("xattr sets: too large for erofs");
            }

            byte* entry = at + used;
            entry[0] = (byte)name.Length;
            entry[1] = kind;
            *(ushort*)(entry + 2) = (ushort)cursor.ValueBytes;
            name.CopyTo(new Span<byte>(entry + 4, name.Length));
            cursor.Value.CopyTo(new Span<byte>(entry + 4 + name.Length, cursor.ValueBytes));
            used += size;
        }

        bytes = used > XattrHeadBytes ? used : 0;
        return error == Errno.ENODATA ? Errno.None : error;
    }

    private static (byte Kind, int Prefix) KindOf(ReadOnlySpan<byte> name) =>
        name.StartsWith("user."u8) ? ((byte)1, 5)
        : name.SequenceEqual("system.posix_acl_access"u8) ? ((byte)2, name.Length)
        : name.SequenceEqual("system.posix_acl_default"u8) ? ((byte)3, name.Length)
        : name.StartsWith("trusted."u8) ? ((byte)4, 8)
        : name.StartsWith("security."u8) ? ((byte)6, 9)
        : ((byte)0, 0);

    // Contents.

    private static ulong BlocksOf(ulong size) => (size + BlockBytes - 1) / BlockBytes;

    private ulong ContentPlace(uint node, ulong size)
    {
        ulong blocks = BlocksOf(size);
        for (int c = 0; c <= MostClass; c++)
        {
            if (blocks <= 1UL << c)
            {
                return _contents + ((ulong)_count * ((1UL << c) - 1)) + ((ulong)node << c);
            }
        }

        lock (_gate)
        {
            if (!_largePlaces.TryGetValue(node, out ulong place))
            {
                if (blocks >= MostBlocks - _largeEnd)
                {
                    return MostBlocks;
                }

                place = _largeEnd;
                _largeEnd += blocks;
                _largePlaces.Add(node, place);
                _largeFiles.Add(place, (node, blocks));
            }

            return place;
        }
    }

    private Errno Contents(ulong at, byte* buffer, uint size, out uint done)
    {
        uint node;
        ulong first, room;
        if (at < _large)
        {
            ulong within = at - _contents;
            int c = 0;
            while (within >= (ulong)_count << c)
            {
                within -= (ulong)_count << c;
                c++;
            }

            node = (uint)(within >> c);
            first = within & ((1UL << c) - 1);
            room = (1UL << c) - first;
        }
        else
        {
            node = 0;
            first = 0;
            room = 1;
            lock (_gate)
            {
                int low = 0, high = _largeFiles.Count;
                while (low < high)
                {
                    int middle = (low + high) / 2;
                    if (_largeFiles.GetKeyAtIndex(middle) <= at) { low = middle + 1; } else { high = middle; }
                }

                if (low > 0)
                {
                    ulong place = _largeFiles.GetKeyAtIndex(low - 1);
                    var (found, blocks) = _largeFiles.GetValueAtIndex(low - 1);
                    if (at - place < blocks)
                    {
                        node = found;
                        first = at - place;
                        room = blocks - first;
                    }
                }
            }
        }

        s_asked = node;
        done = (uint)Math.Min(size, room * BlockBytes);
        uint got = 0;
        Errno error = Errno.None;
        if (_tree.Contains(node) && _layer.TypeOf(node) == FileType.Regular)
        {
            error = _layer.Read(node, first * BlockBytes, buffer, done, out got);
        }

        NativeMemory.Clear(buffer + got, done - got);
        return error;
    }

    private Errno Target(uint node, byte* block)
    {
        s_asked = node;
        Errno error = _tree.Contains(node) ? _tree.Get(node, out ImageNode record) : Missing(out record);
        return error == Errno.None && ImageTree.TypeOf(record) == FileType.Symlink ? _layer.Readlink(node, block, BlockBytes, out _) : error;
    }
}
