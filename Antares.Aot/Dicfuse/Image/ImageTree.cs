using System.Runtime.CompilerServices;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Tree;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Image;

/// <summary>
/// Nodes, names and attributes of an image, read where they lie in the mapping. A record is copied once and then checked, so that what
/// was checked is what is used, whatever happens to the file.
/// </summary>
/// <remarks>
/// Every walk ends, whatever the image says, and visits no node twice: children have greater indices than their directory and name it, a
/// directory has a smaller one than what is in it, and the further names of an object follow each other in rising order. No member takes a
/// lock or allocates.
/// </remarks>
internal sealed unsafe class ImageTree : INamedTree
{
    private const uint MostNanoseconds = 999_999_999;

    private readonly ImageFile _image;
    private readonly SectionPlace _nodes;
    private readonly SectionPlace _names;
    private readonly SectionPlace _index;
    private readonly SectionPlace _owners;
    private readonly uint _count;

    public ImageTree(ImageFile image)
    {
        _image = image;
        _nodes = image.Header[ImageSection.Nodes];
        _names = image.Header[ImageSection.Names];
        _index = image.Header[ImageSection.NameIndex];
        _owners = image.Header[ImageSection.Owners];
        _count = (uint)image.Header.NodeCount;
    }

    /// <summary>Bound of the node indices.</summary>
    public uint Count => _count;

    /// <summary>True for the index of a node.</summary>
    public bool Contains(uint node) => node - 1 < _count - 1;

    /// <summary>Copies the record of a node and checks what can be checked of it alone.</summary>
    /// <param name="node">An index that <see cref="Contains"/> knows.</param>
    /// <param name="record">The record.</param>
    /// <returns>None; EIO: damaged.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Errno Get(uint node, out ImageNode record)
    {
        ulong at = _nodes.Offset + ((ulong)node * ImageNode.Bytes);
        Errno error = _image.Need(at, ImageNode.Bytes);
        record = error == Errno.None ? *(ImageNode*)(_image.Base + at) : default;
        return error;
    }

    /// <summary>Copies the record of a child of a directory, which must say the same: so each node is in one directory, and a walk is no longer than the image.</summary>
    /// <param name="directory">A directory.</param>
    /// <param name="child">An index among its children.</param>
    /// <param name="record">The child's record.</param>
    /// <returns>None; EIO: damaged.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Errno GetChild(uint directory, uint child, out ImageNode record)
    {
        Errno error = Get(child, out record);
        return error != Errno.None || record.Parent == directory ? error : ImageFile.Note("nodes: directory");
    }

    /// <summary>The record of the node that stands for the object of <paramref name="node"/>.</summary>
    /// <returns>None; ESTALE: no such node; EIO.</returns>
    public Errno GetObject(uint node, out uint found, out ImageNode record)
    {
        found = node;
        record = default;
        if (!Contains(node))
        {
            return Errno.ESTALE;
        }

        Errno error = Get(node, out record);
        if (error != Errno.None || (record.Flags & ImageNode.Alias) == 0)
        {
            return error;
        }

        found = record.Body;
        if (found <= ImageFormat.RootNode || found >= node)
        {
            return ImageFile.Note("nodes: hard link");
        }

        error = Get(found, out ImageNode standing);
        if (error == Errno.None && ((standing.Flags & ImageNode.Alias) != 0 || TypeOf(standing) == FileType.Directory || standing.Mode != record.Mode))
        {
            error = ImageFile.Note("nodes: hard link");
        }

        record = standing;
        return error;
    }

    /// <summary>
    /// The name of a record: in place, checked to be one. Whoever gives it to a system call copies it and checks the copy
    /// (<see cref="ByteName.TryCopy"/>).
    /// </summary>
    /// <returns>None; EIO: outside of the names, or no name that a directory may hold.</returns>
    public Errno NameOf(in ImageNode record, out ByteName name)
    {
        name = default;
        Errno error = Text(record.Name, record.NameLength, out byte* text);
        if (error != Errno.None)
        {
            return error;
        }

        name = new ByteName(text, record.NameLength);
        return name.IsEntry ? Errno.None : ImageFile.Note("names: not a name");
    }

    /// <inheritdoc/>
    /// <remarks>A walk up ends, since a directory has a smaller index than what is in it.</remarks>
    public bool TryGetName(uint node, out uint directory, out ByteName name)
    {
        name = default;
        directory = 0;
        bool told = Contains(node) && Get(node, out ImageNode record) == Errno.None && NameOf(record, out name) == Errno.None
            && (directory = record.Parent) != 0 && directory < node;
        return told;
    }

    public bool IsDirectory(uint node) => GetObject(node, out _, out ImageNode record) == Errno.None && TypeOf(record) == FileType.Directory;

    /// <summary>Finds a name among the children of a directory.</summary>
    /// <param name="node">The directory's index.</param>
    /// <param name="name">1 to 255 bytes.</param>
    /// <param name="child">Index of the child itself, which may be a further name.</param>
    /// <returns>None; ENOENT; ENOTDIR; ESTALE; EIO.</returns>
    public Errno Find(uint node, ByteName name, out uint child)
    {
        child = 0;
        Errno error = Directory(node, out ImageNode directory);
        if (error != Errno.None)
        {
            return error;
        }

        return directory.Size != 0 ? Probe(node, directory, name, out child) : Search(node, directory, name, out child);
    }

    /// <summary>The record of a directory whose children are within the nodes.</summary>
    /// <returns>None; ENOTDIR; ESTALE; EIO.</returns>
    public Errno Directory(uint node, out ImageNode directory)
    {
        directory = default;
        if (!Contains(node))
        {
            return Errno.ESTALE;
        }

        Errno error = Get(node, out directory);
        if (error != Errno.None)
        {
            return error;
        }

        if (TypeOf(directory) != FileType.Directory)
        {
            return Errno.ENOTDIR;
        }

        bool good = directory.Extra == 0 || (directory.Body > node && (ulong)directory.Body + directory.Extra <= _count);
        return good ? Errno.None : ImageFile.Note("nodes: children");
    }

    /// <summary>Fills attributes; owner ids as stored, holes not taken off the blocks.</summary>
    /// <returns>None; ESTALE; EIO.</returns>
    public Errno Attributes(uint node, stat* attributes, out ImageNode record)
    {
        Errno error = GetObject(node, out uint found, out record);
        if (error != Errno.None)
        {
            return error;
        }

        FileType type = TypeOf(record);
        timespec time = PackedTime.Unpack(record.Time);
        bool device = type is FileType.CharDevice or FileType.BlockDevice;
        ulong size = type switch
        {
            FileType.Directory => ImageFormat.PageBytes,
            FileType.Regular or FileType.Symlink => record.Size,
            _ => 0,
        };
        if (type == FileType.Unknown || record.Nlink == 0 || size > long.MaxValue || time.tv_nsec > MostNanoseconds
            || (record.Owner + 1UL) * ImageFormat.OwnerBytes > _owners.Length)
        {
            return ImageFile.Note("nodes: attributes");
        }

        ulong owner = _owners.Offset + ((ulong)record.Owner * ImageFormat.OwnerBytes);
        error = _image.Need(owner, ImageFormat.OwnerBytes);
        if (error != Errno.None)
        {
            return error;
        }

        *attributes = default;
        attributes->st_ino = found;
        attributes->st_nlink = record.Nlink;
        attributes->st_mode = record.Mode;
        attributes->st_uid = *(uint*)(_image.Base + owner);
        attributes->st_gid = *(uint*)(_image.Base + owner + sizeof(uint));
        attributes->st_rdev = device ? record.Size : 0;
        attributes->st_size = (long)size;
        attributes->st_blksize = ImageFormat.PageBytes;
        attributes->st_blocks = (long)((size + 511) / 512);
        attributes->st_atim = time;
        attributes->st_mtim = time;
        attributes->st_ctim = time;
        return Errno.None;
    }

    /// <summary>Copies the target of a symlink.</summary>
    /// <returns>None; EINVAL: not a symlink; ERANGE: too little room; ESTALE; EIO.</returns>
    public Errno Readlink(uint node, byte* buffer, int capacity, out int length)
    {
        length = 0;
        Errno error = GetObject(node, out _, out ImageNode record);
        if (error != Errno.None)
        {
            return error;
        }

        if (TypeOf(record) != FileType.Symlink)
        {
            return Errno.EINVAL;
        }

        if (record.Size is < 1 or > ImageFormat.LongestTarget)
        {
            return ImageFile.Note("nodes: link");
        }

        error = Text(record.Body, (uint)record.Size, out byte* text);
        if (error != Errno.None)
        {
            return error;
        }

        ReadOnlySpan<byte> target = new(text, (int)record.Size);
        if (target.Length > capacity)
        {
            return Errno.ERANGE;
        }

        target.CopyTo(new Span<byte>(buffer, capacity));
        if (new ReadOnlySpan<byte>(buffer, target.Length).Contains((byte)0))
        {
            return ImageFile.Note("names: link");
        }

        length = target.Length;
        return Errno.None;
    }

    public static bool IsDirectory(in ImageNode record) => FileTypes.FromMode(record.Mode) == FileType.Directory;

    /// <summary>Type in the mode; Unknown for one that is none.</summary>
    public static FileType TypeOf(in ImageNode record) => FileTypes.FromMode(record.Mode) switch
    {
        FileType.CharDevice when record.Size == 0 => FileType.Whiteout,
        var type and (FileType.Fifo or FileType.CharDevice or FileType.Directory or FileType.BlockDevice or FileType.Regular
            or FileType.Symlink or FileType.Socket) => type,
        _ => FileType.Unknown,
    };

    /// <summary>Bytes of the names, with the NUL behind them.</summary>
    private Errno Text(uint place, uint length, out byte* text)
    {
        text = null;
        if (place == 0 || (ulong)place + length + 1 > _names.Length)
        {
            return ImageFile.Note("nodes: name");
        }

        ulong at = _names.Offset + place;
        Errno error = _image.Need(at, length + 1UL);
        if (error == Errno.None)
        {
            text = _image.Base + at;
            error = text[length] == 0 ? Errno.None : ImageFile.Note("names: not a name");
        }

        return error;
    }

    private Errno Search(uint node, in ImageNode directory, ByteName name, out uint child)
    {
        child = 0;
        uint low = 0;
        uint high = directory.Extra;
        while (low < high)
        {
            uint middle = low + ((high - low) / 2);
            Errno error = NameAt(node, directory.Body + middle, out ByteName there);
            if (error != Errno.None)
            {
                return error;
            }

            int order = there.CompareBytes(name);
            if (order == 0)
            {
                child = directory.Body + middle;
                return Errno.None;
            }

            if (order < 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return Errno.ENOENT;
    }

    private Errno Probe(uint node, in ImageNode directory, ByteName name, out uint child)
    {
        child = 0;
        NameIndexShape shape = new(directory.Extra);
        ulong place = directory.Size - 1;
        if (!NameIndex.Wanted(directory.Extra) || place > _index.Length || shape.Bytes > _index.Length - place)
        {
            return ImageFile.Note("nodes: name index");
        }

        byte* index = _image.Base + _index.Offset + place;
        ulong hash = StInoSet.HashOf(node, name);
        uint tag = shape.Tag(hash);
        uint at = shape.Home(hash);
        for (uint probes = 0; probes < shape.Room; probes++)
        {
            Errno error = _image.Need(_index.Offset + place + ((ulong)at * shape.SlotBytes), shape.SlotBytes);
            if (error != Errno.None)
            {
                return error;
            }

            uint slot = shape.Get(index, at);
            if (slot == 0)
            {
                return Errno.ENOENT;
            }

            if (slot >> shape.PositionBits == tag)
            {
                uint position = shape.Position(slot);
                if (position >= directory.Extra)
                {
                    return ImageFile.Note("name index: position");
                }

                error = NameAt(node, directory.Body + position, out ByteName there);
                if (error != Errno.None)
                {
                    return error;
                }

                if (there.SameBytes(name))
                {
                    child = directory.Body + position;
                    return Errno.None;
                }
            }

            at = shape.After(at);
        }

        return ImageFile.Note("name index: full");
    }

    private Errno NameAt(uint directory, uint child, out ByteName name)
    {
        name = default;
        Errno error = GetChild(directory, child, out ImageNode record);
        if (error == Errno.None)
        {
            error = Text(record.Name, record.NameLength, out byte* text);
            name = new ByteName(text, record.NameLength);
        }

        return error;
    }
}
