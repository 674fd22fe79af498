using System.Globalization;
using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Archives;
using Antares.Aot.Dicfuse.Tree;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Image.Pack;

/// <summary>
/// What a tree has that another has not, as a layer over that other one: what is new or changed, a whiteout for what is gone, and the
/// directories on the way to them. Laid over the other tree it is the tree itself.
/// </summary>
/// <remarks>
/// Files are the same when their attributes and their bytes are; an object with several names only when all of them are. A source without times of
/// its own (a commit has one for everything) keeps those of the base for what is otherwise the same.
/// A directory of the patch is opaque only where nothing of the base's is to be seen in it: then all that the tree has in it is put down. One that is
/// opaque in the base as well is merged with that one, which hides what lies below both. What the base alone hides from layers below it stays
/// hidden, which the user is told.
/// Two walks: the first finds files whose attributes agree, whose contents are then compared in that order; the second puts down what differs.
/// </remarks>
internal sealed unsafe class PatchSource : IPackSource
{
    private const int PieceBytes = 256 << 10;

    /// <summary>Two trees at the same place; the iterators over a directory of each.</summary>
    private struct Level
    {
        public uint Now;
        public uint Old;

        /// <summary>The directory in the patch; 0: nothing in it differs so far.</summary>
        public uint Built;

        /// <summary>The directory's name; none for the root.</summary>
        public ByteName Name;

        /// <summary>The directory of the patch hides the base's.</summary>
        public bool IsOpaque;
        public LayerEntry NowEntry;
        public LayerEntry OldEntry;
        public bool HasNow;
        public bool HasOld;
        public bool NowIsDone;
        public bool OldIsDone;
    }

    /// <summary>What is known of an object of the tree with several names.</summary>
    private struct Linked
    {
        /// <summary>Stands for the object: a layer may tell another node for each name.</summary>
        public uint Node;

        /// <summary>The base's object that its names have led to; 0: none, or not always the same.</summary>
        public uint Old;
        public uint Names;
        public uint Built;
    }

    private readonly IPackSource _now;
    private readonly IPackSource _old;
    private readonly PackOptions _options;
    private readonly PathPatterns _excludes;
    private readonly BuiltTree _tree = new();
    private readonly NativeList<uint> _sources = new();
    private readonly List<Level> _levels = [];
    private readonly NativeMap _verdicts = new();
    private readonly NativeMap _links = new();
    private readonly NativeList<Linked> _linked = new();
    private readonly NativeList<ulong> _candidates = new();
    private readonly byte* _one = (byte*)NativeMemory.Alloc(PieceBytes);
    private readonly byte* _other = (byte*)NativeMemory.Alloc(PieceBytes);
    private bool _emits;
    private long _staysHidden;

    private PatchSource(IPackSource now, IPackSource old, PackOptions options)
    {
        _now = now;
        _old = old;
        _options = options;
        _excludes = new PathPatterns(options.Excludes);
        _sources.Add(0);
        _sources.Add(ILayer.RootNode);
        _linked.Add(default);
    }

    public string Kind => _now.Kind;

    public string? Revision => _now.Revision;

    public IReadOnlyList<string> Notes => _staysHidden == 0 ? _now.Notes : [
        .. _now.Notes,
        string.Create(CultureInfo.InvariantCulture, $"{_staysHidden} names are hidden from the layers below by the base and not by the new tree, which a patch cannot take back: where the base is mounted over further layers, what these have there stays hidden; pack the whole tree for that"),
    ];

    public bool HasOwnTimes => _now.HasOwnTimes;

    /// <summary>Compares a tree with a base.</summary>
    /// <param name="now">The tree; disposed with the patch.</param>
    /// <param name="old">The base; disposed with the patch.</param>
    /// <param name="options">What is left out of the tree, and replaced in it.</param>
    /// <exception cref="ImageException">One of them cannot be read.</exception>
    public static PatchSource Make(IPackSource now, IPackSource old, PackOptions options)
    {
        PatchSource patch = new(now, old, options);
        bool isWhole = false;
        try
        {
            patch.Walk(emits: false);
            patch.CompareContents();
            patch.Walk(emits: true);
            patch._tree.Seal();
            isWhole = true;
            return patch;
        }
        finally
        {
            if (!isWhole)
            {
                patch.Dispose();
            }
        }
    }

    public Errno Next(uint directory, ulong cookie, out LayerEntry entry) => _tree.Next(directory, cookie, out entry);

    public Errno Attributes(uint node, stat* attributes)
    {
        Errno error = _sources[node] == 0 ? _tree.Attributes(node, attributes) : _now.Attributes(_sources[node], attributes);
        attributes->st_ino = node;
        attributes->st_nlink = _tree[node].Type == FileType.Directory ? 1 : _tree[node].Links;
        return error;
    }

    public Errno IsOpaque(uint directory, out bool opaque)
    {
        opaque = _tree[directory].IsOpaque;
        return Errno.None;
    }

    public Errno Readlink(uint node, byte* buffer, int capacity, out int length) => _now.Readlink(_sources[node], buffer, capacity, out length);

    public Errno Xattrs(uint node, List<(byte[] Name, byte[] Value)> xattrs) => _sources[node] == 0 ? Errno.None : _now.Xattrs(_sources[node], xattrs);

    public ulong ContentId(uint node) => _now.ContentId(_sources[node]);

    public void Announce(ReadOnlySpan<uint> nodes)
    {
        uint[] sources = new uint[nodes.Length];
        for (int i = 0; i < nodes.Length; i++)
        {
            sources[i] = _sources[nodes[i]];
        }

        _now.Announce(sources);
    }

    public Errno Read(uint node, ulong offset, byte* buffer, uint size, out uint got) => _now.Read(_sources[node], offset, buffer, size, out got);

    public Errno OpenContent(uint node, out int fd) => _now.OpenContent(_sources[node], out fd);

    public ulong NextData(uint node, ulong offset) => _now.NextData(_sources[node], offset);

    public Errno Finish() => _now.Finish();

    public void Dispose()
    {
        _tree.Dispose();
        _sources.Dispose();
        _verdicts.Dispose();
        _links.Dispose();
        _linked.Dispose();
        _candidates.Dispose();
        NativeMemory.Free(_one);
        NativeMemory.Free(_other);
        _now.Dispose();
        _old.Dispose();
    }

    private static ulong Pair(uint now, uint old) => ((ulong)now << 32) | old;

    private void Walk(bool emits)
    {
        _emits = emits;
        _levels.Add(new Level { Now = ILayer.RootNode, Old = ILayer.RootNode, Built = BuiltTree.Root });
        while (_levels.Count > 0)
        {
            ref Level level = ref CollectionsMarshal.AsSpan(_levels)[^1];
            FillNow(ref level);
            FillOld(ref level);
            if (!level.HasNow && !level.HasOld)
            {
                _levels.RemoveAt(_levels.Count - 1);
                continue;
            }

            int order = !level.HasNow ? 1 : !level.HasOld ? -1 : level.NowEntry.Name.CompareBytes(level.OldEntry.Name);
            LayerEntry now = level.NowEntry;
            LayerEntry old = level.OldEntry;
            level.HasNow = level.HasNow && order > 0;
            level.HasOld = level.HasOld && order < 0;
            if (order > 0)
            {
                HideOld(old);
            }
            else
            {
                Visit(now, order == 0 ? old.Node : 0, order == 0 ? old.Type : FileType.Unknown);
            }
        }
    }

    private void FillNow(ref Level level)
    {
        while (!level.HasNow && !level.NowIsDone)
        {
            Errno error = _now.Next(level.Now, level.NowEntry.Cookie, out LayerEntry entry);
            if (error is not (Errno.None or Errno.ENOENT))
            {
                throw Unreadable(default, error);
            }

            level.NowIsDone = error == Errno.ENOENT;
            level.HasNow = error == Errno.None && !IsExcluded(entry.Name);
            level.NowEntry = level.NowIsDone ? default : entry;
        }
    }

    private void FillOld(ref Level level)
    {
        while (!level.HasOld && !level.OldIsDone)
        {
            Errno error = level.Old == 0 ? Errno.ENOENT : _old.Next(level.Old, level.OldEntry.Cookie, out level.OldEntry);
            if (error is not (Errno.None or Errno.ENOENT))
            {
                throw Unreadable(default, error);
            }

            level.OldIsDone = error == Errno.ENOENT;
            level.HasOld = error == Errno.None;
        }
    }

    private void Visit(in LayerEntry now, uint old, FileType oldType)
    {
        if (oldType == FileType.Whiteout && IsWhiteout(now))
        {
            return; // what is hidden already need not be hidden
        }

        if (now.Type != FileType.Directory)
        {
            VisitFile(now, oldType == FileType.Whiteout ? 0 : old);
            return;
        }

        Must(_now.IsOpaque(now.Node, out bool isOpaque), now.Name);
        uint below = oldType == FileType.Directory ? old : 0;
        bool wasOpaque = oldType == FileType.Whiteout;
        if (below != 0)
        {
            Must(_old.IsOpaque(below, out wasOpaque), now.Name);
        }

        if (isOpaque && !wasOpaque)
        {
            below = 0; // nothing of the base's is to be seen in it
        }

        CountHidden(wasOpaque && !isOpaque);
        bool differs = below == 0 || (_emits && !SameAttributes(now, below, out _));
        _levels.Add(new Level { Now = now.Node, Old = below, Name = now.Name, IsOpaque = isOpaque && below == 0 });
        if (_emits && differs)
        {
            _ = Ensure(_levels.Count - 1);
        }
    }

    /// <summary>Some sources tell a whiteout by its device only.</summary>
    private bool IsWhiteout(in LayerEntry now)
    {
        if (now.Type != FileType.CharDevice)
        {
            return now.Type == FileType.Whiteout;
        }

        stat attributes;
        Must(_now.Attributes(now.Node, &attributes), now.Name);
        return attributes.st_rdev == 0;
    }

    /// <summary>What only the base has.</summary>
    private void HideOld(in LayerEntry old)
    {
        if (old.Type == FileType.Whiteout)
        {
            CountHidden(true);
        }
        else
        {
            Hide(old.Name);
        }
    }

    /// <summary>Counts, in one of the walks, what the base hides and the tree does not.</summary>
    private void CountHidden(bool staysHidden) => _staysHidden += staysHidden && _emits ? 1 : 0;

    private void VisitFile(in LayerEntry now, uint old)
    {
        stat attributes;
        Must(_now.Attributes(now.Node, &attributes), now.Name);
        uint linked = attributes.st_nlink > 1 ? LinkedOf(attributes.st_ino, now.Node) : 0;
        uint node = linked == 0 ? now.Node : _linked[linked].Node;
        if (!_emits)
        {
            Note(now, node, old, linked);
            return;
        }

        if (old != 0 && IsSame(node, old, linked, now.Name))
        {
            return;
        }

        uint built = linked == 0 ? 0 : _linked[linked].Built;
        if (built == 0)
        {
            built = AddObject(node, FileTypes.FromMode(attributes.st_mode));
            if (linked != 0)
            {
                _linked[linked].Built = built;
            }
        }

        _tree.Put(Ensure(_levels.Count - 1), now.Name.Span, built);
    }

    /// <summary>The first walk: looks at attributes, and keeps files whose contents must be compared.</summary>
    private void Note(in LayerEntry now, uint node, uint old, uint linked)
    {
        if (linked != 0)
        {
            ref Linked names = ref _linked[linked];
            names.Old = names.Names == 0 || names.Old == old ? old : 0;
            names.Names++;
        }

        ulong pair = Pair(node, old);
        if (old == 0 || _verdicts.TryGet(pair, out _))
        {
            return;
        }

        bool same = SameAttributes(now, old, out ulong contentBytes);
        _verdicts.Set(pair, same ? 1u : 0);
        if (same && contentBytes > 0)
        {
            _candidates.Add(pair);
        }
    }

    /// <summary>True when nothing of a file differs, nor which names it has.</summary>
    private bool IsSame(uint now, uint old, uint linked, ByteName name)
    {
        if (!_verdicts.TryGet(Pair(now, old), out ulong verdict) || verdict == 0)
        {
            return false;
        }

        stat attributes;
        Must(_old.Attributes(old, &attributes), name);
        return linked == 0 ? attributes.st_nlink == 1 : _linked[linked].Old == old && _linked[linked].Names == attributes.st_nlink;
    }

    /// <param name="number">st_ino, which tells objects apart.</param>
    /// <param name="node">The node at hand.</param>
    private uint LinkedOf(ulong number, uint node)
    {
        if (_links.TryGet(number, out ulong known))
        {
            return (uint)known;
        }

        _linked.Add(new Linked { Node = node });
        uint linked = (uint)(_linked.Count - 1);
        _links.Set(number, linked);
        return linked;
    }

    private bool SameAttributes(in LayerEntry entry, uint oldNode, out ulong contentBytes)
    {
        stat now;
        stat old;
        contentBytes = 0;
        Must(_now.Attributes(entry.Node, &now), entry.Name);
        Must(_old.Attributes(oldNode, &old), entry.Name);
        (uint uid, uint gid) = _options.Owner ?? (now.st_uid, now.st_gid);
        FileType type = FileTypes.FromMode(now.st_mode);
        bool same = now.st_mode == old.st_mode && uid == old.st_uid && gid == old.st_gid
            && (!_now.HasOwnTimes || PackedTime.Pack(_options.Mtime ?? now.st_mtim) == PackedTime.Pack(old.st_mtim))
            && (type is not (FileType.CharDevice or FileType.BlockDevice) || now.st_rdev == old.st_rdev)
            && (type != FileType.Regular || now.st_size == old.st_size)
            && (type != FileType.Symlink || SameTargets(entry, oldNode))
            && SameXattrs(entry, oldNode);
        contentBytes = same && type == FileType.Regular ? (ulong)now.st_size : 0;
        return same;
    }

    private bool SameTargets(in LayerEntry entry, uint old)
    {
        Must(_now.Readlink(entry.Node, _one, PieceBytes, out int nowLength), entry.Name);
        Must(_old.Readlink(old, _other, PieceBytes, out int oldLength), entry.Name);
        return new ReadOnlySpan<byte>(_one, nowLength).SequenceEqual(new ReadOnlySpan<byte>(_other, oldLength));
    }

    private bool SameXattrs(in LayerEntry entry, uint old)
    {
        List<(byte[] Name, byte[] Value)> nowAll = [];
        List<(byte[] Name, byte[] Value)> oldAll = [];
        Must(_now.Xattrs(entry.Node, nowAll), entry.Name);
        Must(_old.Xattrs(old, oldAll), entry.Name);
        return nowAll.Count == oldAll.Count && nowAll.TrueForAll(
            one => oldAll.Exists(other => one.Name.AsSpan().SequenceEqual(other.Name) && one.Value.AsSpan().SequenceEqual(other.Value)));
    }

    /// <summary>Compares the contents that may be equal. What a source knows to be one content is read once, and held against the first only.</summary>
    private void CompareContents()
    {
        using NativeMap first = new();
        using NativeList<uint> order = new();
        using NativeList<ulong> pairs = new();
        for (long i = 0; i < _candidates.Count; i++)
        {
            ulong pair = _candidates[i];
            ulong id = _now.ContentId((uint)(pair >> 32));
            if (id != 0 && first.TryGet(id, out _))
            {
                continue;
            }

            if (id != 0)
            {
                first.Set(id, pair);
            }

            order.Add((uint)(pair >> 32));
            pairs.Add(pair);
        }

        _now.Announce(new ReadOnlySpan<uint>(order.Pointer, checked((int)order.Count)));
        for (long i = 0; i < pairs.Count; i++)
        {
            _verdicts.Set(pairs[i], SameContents((uint)(pairs[i] >> 32), (uint)pairs[i]) ? 1u : 0);
        }

        for (long i = 0; i < _candidates.Count; i++)
        {
            ulong pair = _candidates[i];
            ulong id = _now.ContentId((uint)(pair >> 32));
            if (id != 0 && first.TryGet(id, out ulong compared) && compared != pair)
            {
                bool same = _old.ContentId((uint)pair) != 0 && _old.ContentId((uint)pair) == _old.ContentId((uint)compared);
                _ = _verdicts.TryGet(compared, out ulong verdict); // it was set just now
                _verdicts.Set(pair, same ? verdict : 0);
            }
        }
    }

    /// <summary>Reads both to the end whatever comes, since a source may only be read in order; but not what is a hole in both.</summary>
    private bool SameContents(uint now, uint old)
    {
        stat attributes;
        Must(_now.Attributes(now, &attributes), default);
        ulong size = (ulong)attributes.st_size;
        bool same = true;
        using HoleFinder nowHoles = new(_now, now, size);
        using HoleFinder oldHoles = new(_old, old, size);
        for (ulong at = 0; at < size;)
        {
            uint part = (uint)Math.Min(PieceBytes, size - at);
            if (nowHoles.Covers(at, part) && oldHoles.Covers(at, part))
            {
                at += part;
                continue;
            }

            Must(_now.Read(now, at, _one, part, out uint got), default);
            Must(got == part ? Errno.None : Errno.EIO, default);
            if (same)
            {
                Must(_old.Read(old, at, _other, part, out got), default);
                same = got == part && new ReadOnlySpan<byte>(_one, (int)part).SequenceEqual(new ReadOnlySpan<byte>(_other, (int)part));
            }

            at += part;
        }

        return same;
    }

    private void Hide(ByteName name)
    {
        if (_emits)
        {
            uint directory = Ensure(_levels.Count - 1);
            uint whiteout = _tree.Add(new BuiltObject { Mode = FileTypes.ToMode(FileType.CharDevice), Time = TimeOf(_levels[^1].Now) });
            _sources.Add(0);
            _tree.Put(directory, name.Span, whiteout);
        }
    }

    private timespec TimeOf(uint directory)
    {
        stat attributes;
        Must(_now.Attributes(directory, &attributes), default);
        return attributes.st_mtim;
    }

    /// <summary>The directory of a level in the patch, made with those above it. No recursion, a tree may be deep.</summary>
    private uint Ensure(int level)
    {
        Span<Level> levels = CollectionsMarshal.AsSpan(_levels);
        int lacking = level;
        while (levels[lacking].Built == 0)
        {
            lacking--; // ends at the root, which is there from the start
        }

        while (++lacking <= level)
        {
            uint built = AddObject(levels[lacking].Now, FileType.Directory);
            _tree[built].IsOpaque = levels[lacking].IsOpaque;
            _tree.Put(levels[lacking - 1].Built, levels[lacking].Name.Span, built);
            levels[lacking].Built = built;
        }

        return levels[level].Built;
    }

    private uint AddObject(uint source, FileType type)
    {
        uint built = _tree.Add(new BuiltObject { Mode = FileTypes.ToMode(type) });
        _sources.Add(source);
        return built;
    }

    private bool IsExcluded(ByteName name) => !_excludes.IsEmpty && _excludes.Match(name.Span, _excludes.NeedsPath ? PathOf(name) : default);

    private byte[] PathOf(ByteName name)
    {
        List<byte> path = [];
        foreach (Level level in _levels.Skip(1))
        {
            path.AddRange(level.Name.Span);
            path.Add((byte)'/');
        }

        path.AddRange(name.Span);
        return [.. path];
    }

    private void Must(Errno error, ByteName name)
    {
        if (error != Errno.None)
        {
            throw Unreadable(name, error);
        }
    }

    private ImageException Unreadable(ByteName name, Errno error) =>
        new($"{(_levels.Count == 0 ? "a file's content" : Utf8.Print(PathOf(name)))} cannot be read ({(Failure.Call is { } call ? $"{call}, {error}" : $"{error}")})");
}
