using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Interop;
using K4os.Hash.xxHash;

namespace Antares.Aot.Dicfuse.Image.Pack;

/// <summary>
/// Reads the contents of all files in the order of <see cref="ContentOrder"/> and gives them to the cutter; equal contents once. Equal means
/// compared: the hash only tells which to compare.
/// </summary>
internal sealed unsafe class ContentFeed : IDisposable
{
    private const int CompareBytes = 128 << 10;
    private const int PieceBytes = ImageFormat.LargestFrameBytes;

    private readonly IPackSource _source;
    private readonly PackedTree _tree;
    private readonly StreamCutter _cutter;
    private readonly Action<PackProgress> _progress;
    private readonly NativeList<Content> _contents = new();
    private readonly NativeMap _byChecksum = new();
    private readonly NativeMap _largeSizes = new();
    private readonly NativeMap _byId = new();
    private readonly int _frameBytes;
    private readonly byte* _small = (byte*)NativeMemory.Alloc(PieceBytes);
    private readonly byte* _other = (byte*)NativeMemory.Alloc(CompareBytes);

    /// <summary>What a hole reads as, for its checksum; never written to, so that it takes no memory.</summary>
    private readonly byte* _hole = (byte*)NativeMemory.AllocZeroed(PieceBytes);
    private ulong _read;

    public ContentFeed(IPackSource source, PackedTree tree, StreamCutter cutter, int frameBytes, Action<PackProgress> progress)
    {
        _frameBytes = frameBytes;
        _source = source;
        _tree = tree;
        _cutter = cutter;
        _progress = progress;
        _contents.Add(default);
    }

    /// <exception cref="ImageException">A file cannot be read, or changed meanwhile.</exception>
    public void Run()
    {
        uint count = (uint)_tree.Nodes.Count;
        using NativeList<uint> order = ContentOrder.Of(_tree);
        Announce(order);
        for (long i = 0; i < order.Count; i++)
        {
            uint node = order[i];
            ulong size = _tree.Nodes[node].Size;
            uint blob = Add(node, size);
            _tree.Nodes[node].Body = blob;
            _tree.Nodes[node].Flags |= _contents[blob].IsSparse ? ImageNode.Sparse : (byte)0;
            _read += size;
            _progress(new PackProgress(count - 1, (long)_read, (long)_tree.FileSizes));
        }

        _cutter.Flush();
    }

    public void Dispose()
    {
        _contents.Dispose();
        _byChecksum.Dispose();
        _largeSizes.Dispose();
        _byId.Dispose();
        NativeMemory.Free(_small);
        NativeMemory.Free(_other);
        NativeMemory.Free(_hole);
    }

    /// <summary>Tells the source what it will be asked for; of files that it knows to be equal the first.</summary>
    private void Announce(NativeList<uint> order)
    {
        using NativeList<uint> nodes = new();
        using NativeMap seen = new();
        for (long i = 0; i < order.Count; i++)
        {
            uint node = order[i];
            ulong id = _source.ContentId(_tree.Sources[node]);
            if (id == 0 || !seen.TryGet(id, out _))
            {
                nodes.Add(_tree.Sources[node]);
            }

            if (id != 0)
            {
                seen.Set(id, 1);
            }
        }

        _source.Announce(new ReadOnlySpan<uint>(nodes.Pointer, checked((int)nodes.Count)));
    }

    private uint Add(uint node, ulong size)
    {
        ulong id = _source.ContentId(_tree.Sources[node]);
        if (id != 0 && _byId.TryGet(id, out ulong known))
        {
            return (uint)known;
        }

        uint blob = size <= (ulong)_frameBytes ? AddSmall(node, size, isNew: id != 0) : AddLarge(node, size, isNew: id != 0);
        if (id != 0)
        {
            _byId.Set(id, blob);
        }

        return blob;
    }

    private uint AddSmall(uint node, ulong size, bool isNew)
    {
        Read(node, 0, _small, (uint)size);
        ulong checksum = XXH64.DigestOf(_small, (int)size);
        uint known = isNew ? 0 : Find(checksum, node, size, isSmall: true);
        if (known != 0)
        {
            return known;
        }

        // Frames follow each other in the stream, so the place is the same whether or not the content still fits into the one at hand.
        uint blob = Enter(node, size, checksum, _cutter.Position, isSparse: false);
        _cutter.AddSmall(_small, (int)size);
        return blob;
    }

    private uint AddLarge(uint node, ulong size, bool isNew)
    {
        // Hashed before it is added only where another of this size is known.
        if (!isNew && _largeSizes.TryGet(size, out _))
        {
            uint known = Find(Hash(node, size), node, size, isSmall: false);
            if (known != 0)
            {
                return known;
            }
        }

        _largeSizes.Set(size, 1);
        _cutter.Flush();
        ulong start = _cutter.Position;
        ulong zeros = _cutter.Zeros;
        XXH64 hash = new();
        using HoleFinder holes = HolesOf(node, size);
        for (ulong at = 0; at < size;)
        {
            uint part = (uint)Math.Min((ulong)_frameBytes, size - at);
            if (holes.Covers(at, part))
            {
                hash.Update((void*)_hole, (int)part);
                _cutter.AddZeros(part);
            }
            else
            {
                byte* room = _cutter.PartRoom();
                Read(node, at, room, part);
                hash.Update((void*)room, (int)part);
                _cutter.AddPart((int)part);
            }

            at += part;
            _progress(new PackProgress(_tree.Nodes.Count - 1, (long)(_read + at), (long)_tree.FileSizes));
        }

        _cutter.EndLarge();
        return Enter(node, size, hash.Digest(), start, _cutter.Zeros != zeros);
    }

    private uint Enter(uint node, ulong size, ulong checksum, ulong start, bool isSparse)
    {
        uint blob = (uint)_tree.Blobs.Count;
        ulong key = Key(checksum, size);
        _ = _byChecksum.TryGet(key, out ulong next); // 0 when it is the first
        _contents.Add(new Content { Size = size, Node = node, Next = (uint)next, IsSparse = isSparse });
        _byChecksum.Set(key, blob);
        _tree.Blobs.Add(new ImageBlob { Start = start, Checksum = checksum });
        return blob;
    }

    private uint Find(ulong checksum, uint node, ulong size, bool isSmall)
    {
        _ = _byChecksum.TryGet(Key(checksum, size), out ulong found); // 0 when there is none
        for (uint blob = (uint)found; blob != 0; blob = _contents[blob].Next)
        {
            if (_contents[blob].Size == size && _tree.Blobs[blob].Checksum == checksum && IsSame(_contents[blob].Node, node, size, isSmall))
            {
                return blob;
            }
        }

        return 0;
    }

    private bool IsSame(uint known, uint node, ulong size, bool isSmall)
    {
        using HoleFinder knownHoles = HolesOf(known, size);
        using HoleFinder holes = HolesOf(node, size);
        for (ulong at = 0; at < size;)
        {
            uint part = (uint)Math.Min(CompareBytes, size - at);
            if (knownHoles.Covers(at, part) && holes.Covers(at, part))
            {
                at += part;
                continue;
            }

            Read(known, at, _other, part);
            byte* mine = _small;
            if (isSmall)
            {
                mine += at;
            }
            else
            {
                Read(node, at, mine, part);
            }

            if (!new ReadOnlySpan<byte>(mine, (int)part).SequenceEqual(new ReadOnlySpan<byte>(_other, (int)part)))
            {
                return false;
            }

            at += part;
        }

        return true;
    }

    private ulong Hash(uint node, ulong size)
    {
        XXH64 hash = new();
        using HoleFinder holes = HolesOf(node, size);
        for (ulong at = 0; at < size;)
        {
            uint part = (uint)Math.Min(PieceBytes, size - at);
            byte* bytes = _hole;
            if (!holes.Covers(at, part))
            {
                bytes = _small;
                Read(node, at, bytes, part);
            }

            hash.Update((void*)bytes, (int)part);
            at += part;
        }

        return hash.Digest();
    }

    private void Read(uint node, ulong offset, byte* buffer, uint size)
    {
        Errno error = _source.Read(_tree.Sources[node], offset, buffer, size, out uint got);
        if (error == Errno.None && got != size)
        {
            error = Errno.EIO;
        }

        if (error != Errno.None)
        {
            throw PackErrors.Unreadable(_tree, node, error);
        }
    }

    private HoleFinder HolesOf(uint node, ulong size) => new(_source, _tree.Sources[node], size);

    // Never 0, which a map cannot hold as a key.
    private static ulong Key(ulong checksum, ulong size) => (checksum ^ (size * 0x9E37_79B9_7F4A_7C15)) | 1;

    private struct Content
    {
        public ulong Size;
        public uint Node;
        public uint Next;
        public bool IsSparse;
    }
}
