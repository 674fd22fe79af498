using System.Buffers.Binary;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Tree;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Image.Pack;

/// <summary>
/// Puts the names and attributes of a layer into a <see cref="PackedTree"/>: directory after directory, a directory's sub-directories right
/// after it in the order of their names, so that what lies together in the tree lies together in the image.
/// </summary>
internal sealed unsafe class TreeWalk : IDisposable
{
    private readonly IPackSource _source;
    private readonly PackOptions _options;
    private readonly PackedTree _tree;
    private readonly Action<PackProgress> _progress;
    private readonly PathPatterns _excludes;
    private readonly NativeList<uint> _directories = new();
    private readonly NativeMap _firstNames = new();
    private readonly NativeMap _lastNames = new();
    private readonly NativeList<byte> _path = new();
    private readonly NativeList<byte> _set = new();
    private readonly byte[] _target = new byte[ImageFormat.LongestTarget + 1];
    private readonly List<(byte[] Name, byte[] Value)> _xattrs = [];

    /// <param name="source">Lists names in the order of their bytes.</param>
    /// <param name="options">What is left out or replaced.</param>
    /// <param name="tree">Empty.</param>
    /// <param name="progress">Told now and then.</param>
    public TreeWalk(IPackSource source, PackOptions options, PackedTree tree, Action<PackProgress> progress)
    {
        _source = source;
        _options = options;
        _tree = tree;
        _progress = progress;
        _excludes = new PathPatterns(options.Excludes);
    }

    /// <exception cref="ImageException">The source cannot be read, with the path; or it is more than an image can hold.</exception>
    public void Run()
    {
        // A reader can then take index 0 of each table for none.
        _tree.Nodes.Add(default);
        _tree.Sources.Add(0);
        _tree.Blobs.Add(default);
        _ = Add(0, ILayer.RootNode, default);
        _directories.Add(ImageFormat.RootNode);
        while (_directories.Count > 0)
        {
            AddChildren(_directories.Pop());
        }
    }

    public void Dispose()
    {
        _directories.Dispose();
        _firstNames.Dispose();
        _lastNames.Dispose();
        _path.Dispose();
        _set.Dispose();
    }

    private void AddChildren(uint directory)
    {
        uint first = (uint)_tree.Nodes.Count;
        uint source = _tree.Sources[directory];
        ByteName last = default;
        ulong cookie = 0;
        Errno error;
        while ((error = _source.Next(source, cookie, out LayerEntry entry)) == Errno.None)
        {
            if (cookie != 0 && last.CompareBytes(entry.Name) >= 0)
            {
                throw new ImageException($"{_tree.PathOf(directory)}: the source lists its names out of order");
            }

            cookie = entry.Cookie;
            last = entry.Name;
            if (!IsExcluded(directory, entry.Name))
            {
                _ = Add(directory, entry.Node, entry.Name);
            }
        }

        if (error != Errno.ENOENT)
        {
            throw Unreadable(directory, error);
        }

        Finish(directory, first, (uint)(_tree.Nodes.Count - first));
        _progress(new PackProgress(_tree.Nodes.Count - 1, 0, 0));
    }

    /// <summary>Enters what is known of a directory when all its names are.</summary>
    private void Finish(uint directory, uint first, uint count)
    {
        uint subdirectories = 0;
        for (uint child = first + count; child-- > first;)
        {
            // Last first, so that the first comes off the stack first.
            if (IsDirectory(_tree.Nodes[child]))
            {
                subdirectories++;
                _directories.Add(child);
            }
        }

        ref ImageNode record = ref _tree.Nodes[directory];
        record.Nlink = subdirectories > ushort.MaxValue - 3 ? (ushort)1 : (ushort)(2 + subdirectories);
        record.Extra = count;
        record.Body = count == 0 ? 0 : first;
        if (!Tree.NameIndex.Wanted(count))
        {
            return;
        }

        NameIndexShape shape = new(count);
        long place = _tree.NameIndex.AddZeroed((long)shape.Bytes);
        if (place + (long)shape.Bytes > uint.MaxValue)
        {
            throw new ImageException("the directories hold more names than an image can index");
        }

        record.Size = (ulong)place + 1;
        for (uint i = 0; i < count; i++)
        {
            ImageNode* child = _tree.Nodes.Pointer + first + i;
            ByteName name = new(_tree.Names.Bytes.Pointer + child->Name, child->NameLength);
            shape.Enter(_tree.NameIndex.Pointer + place, i, StInoSet.HashOf(directory, name));
        }
    }

    private uint Add(uint directory, uint source, ByteName name)
    {
        if (_tree.Nodes.Count == uint.MaxValue)
        {
            throw new ImageException("there are more than 4 billion names, which is more than an image can hold");
        }

        uint node = (uint)_tree.Nodes.Count;
        _tree.Nodes.Add(new ImageNode
        {
            Parent = directory,
            Name = name.Length == 0 ? 0 : _tree.Names.Intern(name),
            NameLength = (byte)name.Length,
        });
        _tree.Sources.Add(source);
        stat attributes;
        Errno error = _source.Attributes(source, &attributes);
        if (error != Errno.None)
        {
            throw Unreadable(node, error);
        }

        Describe(node, source, attributes);
        return node;
    }

    private void Describe(uint node, uint source, in stat attributes)
    {
        ref ImageNode record = ref _tree.Nodes[node];
        FileType type = FileTypes.FromMode(attributes.st_mode);
        record.Mode = (ushort)attributes.st_mode;
        record.Owner = _options.Owner is { } owner ? _tree.OwnerOf(owner.Uid, owner.Gid) : _tree.OwnerOf(attributes.st_uid, attributes.st_gid);
        record.Time = PackedTime.Pack(_options.Mtime ?? attributes.st_mtim);
        record.Size = type switch
        {
            FileType.Regular => (ulong)attributes.st_size,
            FileType.CharDevice or FileType.BlockDevice => attributes.st_rdev,
            _ => 0,
        };
        record.Nlink = 1;
        if (type != FileType.Directory && attributes.st_nlink > 1 && !IsFirstName(node, attributes.st_ino))
        {
            return;
        }

        if (type == FileType.Regular)
        {
            _tree.FileSizes += record.Size;
        }

        if (type == FileType.Symlink)
        {
            AddTarget(node, source);
        }

        if (type == FileType.Directory)
        {
            AddOpaque(node, source);
        }

        AddXattrs(node, source);
    }

    /// <summary>Of an object with several names the first stands for it; a further one is entered as such.</summary>
    private bool IsFirstName(uint node, ulong number)
    {
        if (!_firstNames.TryGet(number, out ulong first))
        {
            _firstNames.Set(number, node);
            _lastNames.Set(number, node);
            return true;
        }

        _ = _lastNames.TryGet(number, out ulong last); // entered together with the first
        _lastNames.Set(number, node);
        _tree.Nodes[(long)last].Extra = node;
        ref ImageNode standing = ref _tree.Nodes[(long)first];
        standing.Nlink = (ushort)Math.Min(standing.Nlink + 1, ushort.MaxValue);
        ref ImageNode record = ref _tree.Nodes[node];
        record.Flags = ImageNode.Alias;
        record.Size = standing.Size;
        record.Body = (uint)first;
        record.Nlink = 0;
        return false;
    }

    private void AddOpaque(uint node, uint source)
    {
        Errno error = _source.IsOpaque(source, out bool opaque);
        if (error != Errno.None)
        {
            throw Unreadable(node, error);
        }

        if (opaque)
        {
            _tree.Nodes[node].Flags |= ImageNode.Opaque;
            _tree.Features |= ImageFormat.OpaqueFeature;
        }
    }

    private void AddTarget(uint node, uint source)
    {
        int length;
        Errno error;
        fixed (byte* target = _target)
        {
            error = _source.Readlink(source, target, ImageFormat.LongestTarget + 1, out length);
            if (error == Errno.None && length is >= 1 and <= ImageFormat.LongestTarget)
            {
                uint place = _tree.Names.Intern(new ByteName(target, length));
                _tree.Nodes[node].Body = place;
                _tree.Nodes[node].Size = (ulong)length;
                return;
            }
        }

        throw Unreadable(node, error == Errno.None ? Errno.EIO : error);
    }

    private void AddXattrs(uint node, uint source)
    {
        _xattrs.Clear();
        Errno error = _source.Xattrs(source, _xattrs);
        if (error != Errno.None)
        {
            throw Unreadable(node, error);
        }

        if (_xattrs.Count == 0)
        {
            return;
        }

        _xattrs.Sort(static (a, b) => a.Name.AsSpan().SequenceCompareTo(b.Name));
        while (_set.Count > 0)
        {
            _ = _set.Pop(); // emptied for the next set
        }

        foreach ((byte[] name, byte[] value) in _xattrs)
        {
            AddNumber((uint)value.Length);
            _set.Add((byte)name.Length);
            _set.AddRange(name);
            _set.Add(0);
            _set.AddRange(value);
        }

        AddNumber(ImageXattrs.EndOfSet);
        _tree.AddXattrs(node, new ReadOnlySpan<byte>(_set.Pointer, (int)_set.Count));
    }

    private void AddNumber(uint number)
    {
        Span<byte> bytes = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, number);
        _set.AddRange(bytes);
    }

    private bool IsExcluded(uint directory, ByteName name)
    {
        if (_excludes.IsEmpty)
        {
            return false;
        }

        return _excludes.Match(name.Span, _excludes.NeedsPath ? PathOf(directory, name) : default);
    }

    private ReadOnlySpan<byte> PathOf(uint directory, ByteName name)
    {
        int length = name.Length;
        for (uint at = directory; at != ImageFormat.RootNode; at = _tree.Nodes[at].Parent)
        {
            length += _tree.Nodes[at].NameLength + 1;
        }

        if (_path.Count < length)
        {
            _ = _path.AddZeroed(length - _path.Count); // only the room is wanted
        }

        Span<byte> path = new(_path.Pointer, length);
        int end = length - name.Length;
        name.Span.CopyTo(path[end..]);
        for (uint at = directory; at != ImageFormat.RootNode; at = _tree.Nodes[at].Parent)
        {
            path[--end] = (byte)'/';
            int part = _tree.Nodes[at].NameLength;
            end -= part;
            new ReadOnlySpan<byte>(_tree.Names.Bytes.Pointer + _tree.Nodes[at].Name, part).CopyTo(path[end..]);
        }

        return path;
    }

    private static bool IsDirectory(in ImageNode node) => FileTypes.FromMode(node.Mode) == FileType.Directory;

    private ImageException Unreadable(uint node, Errno error) => PackErrors.Unreadable(_tree, node, error);
}
