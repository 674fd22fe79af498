using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Image.Pack;

/// <summary>A layer that becomes an image: a folder as a lazy tree, another image, a server's directory. Its names come sorted.</summary>
/// <param name="layer">Disposed with the source.</param>
/// <param name="kind">For the provenance.</param>
/// <param name="revision">For the provenance, or null.</param>
internal sealed unsafe class LayerSource(ILayer layer, string kind, string? revision = null) : IPackSource
{
    private readonly byte[] _names = new byte[Xattr.XATTR_LIST_MAX];
    private readonly byte[] _value = new byte[Xattr.XATTR_SIZE_MAX];

    public string Kind => kind;

    public string? Revision => revision;

    public bool HasOwnTimes => kind != "mega";

    public IReadOnlyList<string> Notes => [];

    public Errno Next(uint directory, ulong cookie, out LayerEntry entry) => layer.Next(directory, cookie, out entry);

    public Errno Attributes(uint node, stat* attributes) => layer.GetattrWithMapping(node, mapping: false, attributes);

    public Errno IsOpaque(uint directory, out bool opaque)
    {
        const int Room = 4096;
        byte* redirect = stackalloc byte[Room];
        return layer.Merging(directory, out opaque, redirect, Room, out _);
    }

    public Errno Readlink(uint node, byte* buffer, int capacity, out int length) => layer.Readlink(node, buffer, capacity, out length);

    public Errno Xattrs(uint node, List<(byte[] Name, byte[] Value)> xattrs)
    {
        int listed;
        Errno error;
        fixed (byte* list = _names)
        {
            error = layer.Listxattr(node, list, (nuint)_names.Length, out listed);
        }

        if (error != Errno.None)
        {
            return error == Errno.EOPNOTSUPP ? Errno.None : error;
        }

        for (int at = 0; at < listed && error == Errno.None;)
        {
            int length = _names.AsSpan(at, listed - at).IndexOf((byte)0);
            error = Add(node, _names.AsSpan(at, length + 1), xattrs);
            at += length + 1;
        }

        return error;
    }

    /// <remarks>An image has each content once.</remarks>
    public ulong ContentId(uint node)
    {
        ImageNode record = default;
        bool known = layer is ImageLayer image && image.Tree.GetObject(node, out _, out record) == Errno.None
            && ImageTree.TypeOf(record) == FileType.Regular && record.Size <= uint.MaxValue && record.Body != 0;
        return known ? (record.Size << 32) | record.Body : 0; // with the size, since nobody has checked that a content has one
    }

    public void Announce(ReadOnlySpan<uint> nodes)
    {
        // A layer reads any file at any time.
    }

    public Errno Read(uint node, ulong offset, byte* buffer, uint size, out uint got) => layer.Read(node, offset, buffer, size, out got);

    public Errno OpenContent(uint node, out int fd) => layer.OpenContent(node, out fd);

    /// <remarks>An image has frames of zeros.</remarks>
    public ulong NextData(uint node, ulong offset)
    {
        FramePlace place = default;
        ulong start = 0;
        bool hole = layer is ImageLayer image && image.Tree.GetObject(node, out _, out ImageNode record) == Errno.None
            && (record.Flags & ImageNode.Sparse) != 0 && offset < record.Size
            && image.Content.StartOf(record, out start) == Errno.None && image.Content.Frames.Find(start + offset, out place) == Errno.None;
        return hole && place.IsZeros ? place.End - start : offset;
    }

    public Errno Finish() => Errno.None;

    public void Dispose() => layer.Dispose();

    /// <param name="node">The node.</param>
    /// <param name="name">With its NUL.</param>
    /// <param name="xattrs">Receives it, unless it is gone.</param>
    private Errno Add(uint node, ReadOnlySpan<byte> name, List<(byte[] Name, byte[] Value)> xattrs)
    {
        int length;
        Errno error;
        fixed (byte* key = name, value = _value)
        {
            error = layer.Getxattr(node, key, value, (nuint)_value.Length, out length);
        }

        if (error == Errno.None)
        {
            xattrs.Add((name[..^1].ToArray(), _value.AsSpan(0, length).ToArray()));
        }

        return error == Errno.ENODATA ? Errno.None : error;
    }
}
