using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Erofs;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>A layer of one file, "tree": an image as the kernel's EROFS reads it (<see cref="ErofsView"/>). Each write is EROFS.</summary>
/// <param name="image">Disposed with the layer.</param>
/// <param name="view">What the file holds.</param>
internal sealed unsafe class ErofsFileLayer(ImageLayer image, ErofsView view) : ILayer
{
    private const uint FileNode = 2;

    /// <summary>The file's name.</summary>
    public const string FileName = "tree";

    /// <summary>Path, in the image, of what a request of this thread was about (as OverlayFs.DescribePath, which knows the one file alone).</summary>
    public int DescribeAsked(ulong nodeId, ByteName child, byte* buffer, int capacity) => Describe(ErofsView.Asked, buffer, capacity);

    /// <summary>Path of a node of the image, cut off at the front where it does not fit; 0 bytes for none.</summary>
    public int Describe(uint node, byte* buffer, int capacity)
    {
        int at = capacity;
        while (node > ILayer.RootNode && at > 0 && image.Tree.TryGetName(node, out uint directory, out ByteName name))
        {
            PathBuffer.Prepend(name, buffer, ref at);
            node = directory;
        }

        if (at == capacity && node == ILayer.RootNode && capacity > 0)
        {
            buffer[--at] = (byte)'/';
        }

        return PathBuffer.Finish(buffer, capacity, at);
    }

    public string Name => image.Name;

    public bool IsReadOnly => true;

    /// <summary>What the file is made of.</summary>
    public ImageLayer Image => image;

    public Errno Find(uint directory, ByteName name, out uint node)
    {
        bool found = directory == ILayer.RootNode && name.Span.SequenceEqual("tree"u8);
        node = found ? FileNode : 0;
        return found ? Errno.None : Errno.ENOENT;
    }

    public Errno Next(uint directory, ulong cookie, out LayerEntry entry)
    {
        entry = default;
        return Errno.ENOENT;
    }

    public FileType TypeOf(uint node) => node switch { ILayer.RootNode => FileType.Directory, FileNode => FileType.Regular, _ => FileType.Unknown };

    public uint ObjectOf(uint node) => node;

    public bool IsLoaded(uint node, LayerPart part) => true;

    public Errno Load(uint node, LayerPart part) => Errno.None;

    public bool AttributesAreAtHand(uint node) => true;

    public Errno Merging(uint directory, out bool opaque, byte* redirect, int capacity, out int length)
    {
        opaque = false;
        length = 0;
        return Errno.None;
    }

    public bool NextName(uint node, ref uint cursor, out uint directory, out ByteName name)
    {
        directory = 0;
        name = default;
        return false;
    }

    public Errno GetattrWithMapping(uint node, bool mapping, stat* attributes)
    {
        *attributes = default;
        attributes->st_ino = node;
        attributes->st_nlink = 1;
        attributes->st_mode = node == ILayer.RootNode ? 0x41C0u : 0x8100u;
        attributes->st_size = node == ILayer.RootNode ? 0 : (long)view.Bytes;
        attributes->st_blksize = ErofsView.BlockBytes;
        return Errno.None;
    }

    public Errno Readlink(uint node, byte* buffer, int capacity, out int length)
    {
        length = 0;
        return Errno.EINVAL;
    }

    public Errno Read(uint node, ulong offset, byte* buffer, uint size, out uint got)
    {
        got = 0;
        if (node != FileNode)
        {
            return Errno.EISDIR;
        }

        if (offset >= view.Bytes)
        {
            return Errno.None;
        }

        uint wanted = (uint)Math.Min(size, view.Bytes - offset);
        Errno error = view.Read(offset, buffer, wanted);
        got = error == Errno.None ? wanted : 0;
        return error;
    }

    public Errno OpenContent(uint node, out int fd)
    {
        fd = -1;
        return Errno.EOPNOTSUPP;
    }

    public Errno Getxattr(uint node, byte* name, byte* value, nuint size, out int length)
    {
        length = 0;
        return Errno.ENODATA;
    }

    public Errno Listxattr(uint node, byte* list, nuint size, out int length)
    {
        length = 0;
        return Errno.None;
    }

    public Errno Create(uint directory, ByteName name, in NewNode what, out uint node, stat* attributes)
    {
        node = 0;
        return Errno.EROFS;
    }

    public Errno Link(uint node, uint directory, ByteName name, bool keepTimes) => Errno.EROFS;

    public Errno Unlink(uint directory, ByteName name, bool whiteout, bool keep) => Errno.EROFS;

    public Errno Rmdir(uint directory, ByteName name, bool whiteout, bool keep) => Errno.EROFS;

    public Errno Write(uint node, ulong offset, byte* data, uint size, bool killSetId, out uint written)
    {
        written = 0;
        return Errno.EROFS;
    }

    public Errno Truncate(uint node, long size) => Errno.EROFS;

    public Errno Chmod(uint node, uint mode) => Errno.EROFS;

    public Errno Chown(uint node, uint uid, uint gid) => Errno.EROFS;

    public Errno Utimens(uint node, timespec* times) => Errno.EROFS;

    public Errno Setxattr(uint node, byte* name, byte* value, nuint size, int flags) => Errno.EROFS;

    public Errno Removexattr(uint node, byte* name) => Errno.EROFS;

    public void Dispose() => image.Dispose();
}
