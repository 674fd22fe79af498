using System.Buffers.Binary;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Archives;

/// <summary>An object of a <see cref="BuiltTree"/>; a directory has one name, others any number.</summary>
internal struct BuiltObject
{
    public ulong Size;
    public ulong Device;
    public timespec Time;

    /// <summary>st_mode; a character device 0:0 is a whiteout.</summary>
    public uint Mode;
    public uint Uid;
    public uint Gid;

    /// <summary>Names that lead to it.</summary>
    public uint Links;

    /// <summary>Directory: its first name in the order, once sealed · symlink: place of the target · file: the source's own.</summary>
    public uint Body;

    /// <summary>Directory: names in it · symlink: length of the target · file: the source's own.</summary>
    public uint Count;

    /// <summary>Place of its extended attributes + 1; 0: none.</summary>
    public uint Xattrs;

    /// <summary>Directory: the layers below are not merged in.</summary>
    public bool IsOpaque;

    public readonly FileType Type => FileTypes.FromMode(Mode);
}

/// <summary>
/// A tree that is put together name by name, in any order, as archives tell it; a name given twice leads to what came last. Sealed, it
/// lists its names sorted. All of it is native memory.
/// </summary>
internal sealed unsafe class BuiltTree : IDisposable
{
    public const uint Root = ILayer.RootNode;

    private const uint EndOfSet = uint.MaxValue;

    private struct BuiltName
    {
        public uint Directory;
        public uint Object;
        public uint Text;

        /// <summary>The next name whose hash is the same; 0: none.</summary>
        public uint NextAlike;
        public int Length;
    }

    private readonly NativeList<BuiltObject> _objects = new();
    private readonly NativeList<BuiltName> _names = new();
    private readonly NativeMap _places = new();
    private readonly TextHeap _texts = new();
    private readonly NativeList<byte> _sets = new();
    private readonly NativeList<uint> _order = new();

    public BuiltTree()
    {
        _objects.Add(default);
        _names.Add(default);
        _ = Add(new BuiltObject { Mode = FileTypes.ToMode(FileType.Directory) | 0x1ED, Links = 1 }); // index 1, the root: rwxr-xr-x
    }

    /// <summary>Names, the root's included.</summary>
    public long Count => _names.Count;

    /// <summary>An object by its index. The reference ends with the next one that is added.</summary>
    public ref BuiltObject this[uint index] => ref _objects[index];

    /// <summary>Adds an object that no name leads to yet.</summary>
    /// <exception cref="ImageException">More than an image can hold.</exception>
    public uint Add(in BuiltObject what)
    {
        if (_objects.Count == uint.MaxValue)
        {
            throw new ImageException("there are more than 4 billion files, which is more than an image can hold");
        }

        _objects.Add(what);
        return (uint)(_objects.Count - 1);
    }

    /// <summary>The object of a name; 0: there is none.</summary>
    public uint Find(uint directory, ReadOnlySpan<byte> name)
    {
        uint at = FindName(directory, name, out _);
        return at == 0 ? 0 : _names[at].Object;
    }

    /// <summary>Lets a name lead to an object, and no more to what it led to.</summary>
    /// <param name="directory">A directory.</param>
    /// <param name="name">1 to 255 bytes.</param>
    /// <param name="what">The object.</param>
    public void Put(uint directory, ReadOnlySpan<byte> name, uint what)
    {
        uint at = FindName(directory, name, out ulong key);
        _objects[what].Links++;
        if (at != 0)
        {
            _objects[_names[at].Object].Links--;
            _names[at].Object = what;
            return;
        }

        _objects[directory].Count++;
        _ = _places.TryGet(key, out ulong first); // 0 when it is the first
        uint text;
        fixed (byte* bytes = name)
        {
            text = _texts.Intern(new ByteName(bytes, name.Length));
        }

        _places.Set(key, (ulong)_names.Count);
        _names.Add(new BuiltName { Directory = directory, Object = what, Text = text, Length = name.Length, NextAlike = (uint)first });
    }

    /// <summary>Gives a symlink its target: 1 to 4,095 bytes.</summary>
    public void SetTarget(uint symlink, ReadOnlySpan<byte> target)
    {
        fixed (byte* bytes = target)
        {
            _objects[symlink].Body = _texts.Intern(new ByteName(bytes, target.Length));
        }

        _objects[symlink].Count = (uint)target.Length;
        _objects[symlink].Size = (ulong)target.Length;
    }

    /// <summary>Gives an object its extended attributes, in place of those that it has.</summary>
    /// <param name="what">The object.</param>
    /// <param name="xattrs">Names of at most 255 bytes, without a NUL.</param>
    /// <exception cref="ImageException">More than an image can hold.</exception>
    public void SetXattrs(uint what, IReadOnlyList<(byte[] Name, byte[] Value)> xattrs)
    {
        _objects[what].Xattrs = 0;
        if (xattrs.Count == 0)
        {
            return;
        }

        long place = _sets.Count;
        foreach ((byte[] name, byte[] value) in xattrs)
        {
            AddNumber((uint)value.Length);
            _sets.Add((byte)name.Length);
            _sets.AddRange(name);
            _sets.AddRange(value);
        }

        AddNumber(EndOfSet);
        if (_sets.Count >= uint.MaxValue)
        {
            throw new ImageException("the extended attributes take more than 4 GiB, which is more than an image can hold");
        }

        _objects[what].Xattrs = (uint)place + 1;
    }

    /// <summary>Sorts the names; nothing may be added after that.</summary>
    public void Seal()
    {
        for (uint name = 1; name < _names.Count; name++)
        {
            _order.Add(name);
        }

        new Span<uint>(_order.Pointer, checked((int)_order.Count)).Sort(new NameOrder(_names.Pointer, _texts.Bytes.Pointer));
        for (uint i = 0; i < _order.Count; i++)
        {
            uint directory = _names[_order[i]].Directory;
            if (i == 0 || _names[_order[i - 1]].Directory != directory)
            {
                _objects[directory].Body = i;
            }
        }
    }

    /// <inheritdoc cref="IPackSource.Next"/>
    public Errno Next(uint directory, ulong cookie, out LayerEntry entry)
    {
        entry = default;
        ref BuiltObject record = ref _objects[directory];
        if (cookie >= record.Count)
        {
            return Errno.ENOENT;
        }

        ref BuiltName name = ref _names[_order[record.Body + (long)cookie]];
        entry.Cookie = cookie + 1;
        entry.Node = name.Object;
        entry.StIno = name.Object;
        entry.Type = _objects[name.Object].Type;
        entry.Name = new ByteName(_texts.Bytes.Pointer + name.Text, name.Length);
        return Errno.None;
    }

    /// <inheritdoc cref="IPackSource.Attributes"/>
    public Errno Attributes(uint node, stat* attributes)
    {
        ref BuiltObject record = ref _objects[node];
        *attributes = default;
        attributes->st_ino = node;
        attributes->st_mode = record.Mode;
        attributes->st_nlink = record.Type == FileType.Directory ? 1 : record.Links;
        attributes->st_uid = record.Uid;
        attributes->st_gid = record.Gid;
        attributes->st_rdev = record.Device;
        attributes->st_size = (long)record.Size;
        attributes->st_blocks = (long)((record.Size + 511) / 512);
        attributes->st_mtim = record.Time;
        return Errno.None;
    }

    /// <inheritdoc cref="IPackSource.Readlink"/>
    public Errno Readlink(uint node, byte* buffer, int capacity, out int length)
    {
        ref BuiltObject record = ref _objects[node];
        length = (int)record.Count;
        new ReadOnlySpan<byte>(_texts.Bytes.Pointer + record.Body, length).CopyTo(new Span<byte>(buffer, capacity));
        return Errno.None;
    }

    /// <inheritdoc cref="IPackSource.Xattrs"/>
    public Errno Xattrs(uint node, List<(byte[] Name, byte[] Value)> xattrs)
    {
        if (_objects[node].Xattrs == 0)
        {
            return Errno.None;
        }

        byte* at = _sets.Pointer + _objects[node].Xattrs - 1;
        for (uint length; (length = *(uint*)at) != EndOfSet;)
        {
            byte nameLength = at[sizeof(uint)];
            byte* name = at + sizeof(uint) + 1;
            xattrs.Add((new ReadOnlySpan<byte>(name, nameLength).ToArray(), new ReadOnlySpan<byte>(name + nameLength, (int)length).ToArray()));
            at = name + nameLength + length;
        }

        return Errno.None;
    }

    /// <summary>The path of an object's first name, for a message: looks at all names.</summary>
    public string PathOf(uint what)
    {
        List<string> parts = [];
        for (uint at = what; at > Root;)
        {
            uint name = 1;
            while (name < _names.Count && _names[name].Object != at)
            {
                name++;
            }

            if (name == _names.Count)
            {
                break;
            }

            parts.Add(Utf8.Print(TextOf(name)));
            at = _names[name].Directory;
        }

        parts.Reverse();
        return string.Join('/', parts);
    }

    public void Dispose()
    {
        _objects.Dispose();
        _names.Dispose();
        _places.Dispose();
        _texts.Dispose();
        _sets.Dispose();
        _order.Dispose();
    }

    private uint FindName(uint directory, ReadOnlySpan<byte> name, out ulong key)
    {
        fixed (byte* bytes = name)
        {
            key = new ByteName(bytes, name.Length).Hash(directory) | 1; // 0 is no key
        }

        _ = _places.TryGet(key, out ulong first); // 0: none
        uint at = (uint)first;
        while (at != 0 && !(_names[at].Directory == directory && TextOf(at).SequenceEqual(name)))
        {
            at = _names[at].NextAlike;
        }

        return at;
    }

    private ReadOnlySpan<byte> TextOf(uint name) => new(_texts.Bytes.Pointer + _names[name].Text, _names[name].Length);

    private void AddNumber(uint number)
    {
        Span<byte> bytes = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, number);
        _sets.AddRange(bytes);
    }

    private readonly struct NameOrder(BuiltName* names, byte* texts) : IComparer<uint>
    {
        private readonly BuiltName* _names = names;
        private readonly byte* _texts = texts;

        public int Compare(uint x, uint y)
        {
            BuiltName* a = _names + x;
            BuiltName* b = _names + y;
            return a->Directory != b->Directory
                ? a->Directory.CompareTo(b->Directory)
                : new ReadOnlySpan<byte>(_texts + a->Text, a->Length).SequenceCompareTo(new ReadOnlySpan<byte>(_texts + b->Text, b->Length));
        }
    }
}
