using Antares.Aot.Base;

namespace Antares.Aot.Dicfuse.Image.Pack;

/// <summary>The metadata of an image while it is made: the sections as they will be written, in native memory.</summary>
internal sealed unsafe class PackedTree : IDisposable
{
    private readonly Dictionary<ulong, ushort> _ownerPlaces = [];
    private readonly NativeMap _setPlaces = new();

    /// <summary>Records by index; 0 is none.</summary>
    public NativeList<ImageNode> Nodes { get; } = new();

    /// <summary>For each record the node of the source.</summary>
    public NativeList<uint> Sources { get; } = new();

    public TextHeap Names { get; } = new();

    public NativeList<byte> NameIndex { get; } = new();

    public NativeList<ulong> Owners { get; } = new();

    public NativeList<ImageXattrNode> XattrNodes { get; } = new();

    public NativeList<byte> XattrSets { get; } = new();

    public NativeList<ImageBlob> Blobs { get; } = new();

    public NativeList<ImageFrame> Frames { get; } = new();

    /// <summary>Length of the stream of contents.</summary>
    public ulong StreamBytes { get; set; }

    /// <summary>Length of the packed contents.</summary>
    public ulong PackedBytes { get; set; }

    /// <summary>Feature bits that a reader must know.</summary>
    public ulong Features { get; set; }

    /// <summary>Sum of the sizes of all files.</summary>
    public ulong FileSizes { get; set; }

    /// <summary>Index of a pair of owners.</summary>
    /// <exception cref="ImageException">More than 65,536 of them.</exception>
    public ushort OwnerOf(uint uid, uint gid)
    {
        ulong pair = ((ulong)gid << 32) | uid;
        if (!_ownerPlaces.TryGetValue(pair, out ushort place))
        {
            if (Owners.Count > ushort.MaxValue)
            {
                throw new ImageException("there are more than 65,536 different owners, which is more than an image can hold; --owner gives all files one");
            }

            place = (ushort)Owners.Count;
            Owners.Add(pair);
            _ownerPlaces.Add(pair, place);
        }

        return place;
    }

    /// <summary>Gives the last node a set of extended attributes; equal sets are kept once.</summary>
    public void AddXattrs(uint node, ReadOnlySpan<byte> set)
    {
        ulong key;
        fixed (byte* bytes = set)
        {
            key = new ByteName(bytes, set.Length).Hash(0) | 1;
        }

        bool known = _setPlaces.TryGet(key, out ulong place)
            && (long)place + set.Length <= XattrSets.Count
            && new ReadOnlySpan<byte>(XattrSets.Pointer + place, set.Length).SequenceEqual(set);
        if (!known)
        {
            place = (ulong)XattrSets.Count;
            if (place + (ulong)set.Length > uint.MaxValue)
            {
                throw new ImageException("the extended attributes take more than 4 GiB, which is more than an image can hold");
            }

            XattrSets.AddRange(set);
            _setPlaces.Set(key, place);
        }

        Nodes[node].Flags |= ImageNode.HasXattrs;
        XattrNodes.Add(new ImageXattrNode { Node = node, Set = (uint)place });
    }

    /// <summary>The path of a node below the root, for messages: bytes that are no text are replaced.</summary>
    public string PathOf(uint node)
    {
        List<string> parts = [];
        for (uint at = node; at > ImageFormat.RootNode; at = Nodes[at].Parent)
        {
            parts.Add(Interop.Utf8.Print(new ReadOnlySpan<byte>(Names.Bytes.Pointer + Nodes[at].Name, Nodes[at].NameLength)));
        }

        parts.Reverse();
        return parts.Count == 0 ? "." : string.Join('/', parts);
    }

    public void Dispose()
    {
        Nodes.Dispose();
        Sources.Dispose();
        Names.Dispose();
        NameIndex.Dispose();
        Owners.Dispose();
        XattrNodes.Dispose();
        XattrSets.Dispose();
        Blobs.Dispose();
        Frames.Dispose();
        _setPlaces.Dispose();
    }
}
