using System.Globalization;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Archives;

/// <summary>
/// A tar archive that becomes an image, plain or packed by gzip or zstd. Contents are read where they lie in a plain archive; those of a packed
/// one are unpacked into a file without a name first.
/// </summary>
/// <remarks>
/// Names of the form <c>.wh.NAME</c> are marks, as the layers of container images have them: NAME is hidden in the layers below,
/// and <c>.wh..wh..opq</c> makes its directory hide all that is below it.
/// </remarks>
internal sealed unsafe class TarSource : IPackSource
{
    private const string Layer = "tar";

    /// <summary>Longest path: sixteen times what a system call takes, so that what a tree of real files can hold is within it, and what only makes directories without end is not.</summary>
    private const int LongestPath = 64 << 10;

    /// <summary>A piece of a file and where its bytes are.</summary>
    private struct Piece
    {
        public ulong At;
        public ulong Length;
        public ulong Place;
    }

    private readonly OwnedFd _archive;
    private readonly int _contents;
    private readonly stat _before;
    private readonly BuiltTree _tree = new();
    private readonly NativeList<Piece> _pieces = new();
    private readonly List<string> _notes = [];
    private ulong _spooled;
    private bool _hasRoot;

    private TarSource(OwnedFd archive, int contents, in stat before)
    {
        _archive = archive;
        _contents = contents;
        _before = before;
    }

    public string Kind => Layer;

    public string? Revision => null;

    public bool HasOwnTimes => true;

    public IReadOnlyList<string> Notes => _notes;

    /// <summary>Reads an archive from its start to its end.</summary>
    /// <param name="archive">A regular file open for reading; taken over.</param>
    /// <param name="scratch">An empty file, open for reading and writing: for the contents of a packed archive. Stays the caller's.</param>
    /// <param name="progress">Told now and then.</param>
    /// <exception cref="ImageException">What is wrong with it, as the end of a sentence that begins with its name.</exception>
    public static TarSource Open(OwnedFd archive, int scratch, Action<PackProgress> progress)
    {
        TarSource? source = null;
        bool isWhole = false;
        try
        {
            using ArchiveStream stream = new(archive.Value);
            source = new TarSource(archive, stream.IsPlain ? archive.Value : scratch, StatOf(archive.Value));
            source.Build(stream, progress);
            isWhole = true;
            return source;
        }
        finally
        {
            if (!isWhole)
            {
                source?.Dispose();
                archive.Dispose();
            }
        }
    }

    public Errno Next(uint directory, ulong cookie, out LayerEntry entry) => _tree.Next(directory, cookie, out entry);

    public Errno Attributes(uint node, stat* attributes) => _tree.Attributes(node, attributes);

    public Errno IsOpaque(uint directory, out bool opaque)
    {
        opaque = _tree[directory].IsOpaque;
        return Errno.None;
    }

    public Errno Readlink(uint node, byte* buffer, int capacity, out int length) => _tree.Readlink(node, buffer, capacity, out length);

    public Errno Xattrs(uint node, List<(byte[] Name, byte[] Value)> xattrs) => _tree.Xattrs(node, xattrs);

    public ulong ContentId(uint node) => 0;

    public void Announce(ReadOnlySpan<uint> nodes)
    {
        // Any file can be read at any time.
    }

    public Errno Read(uint node, ulong offset, byte* buffer, uint size, out uint got)
    {
        got = 0;
        BuiltObject file = _tree[node];
        ulong end = Math.Min(file.Size, offset + size);
        uint piece = FirstPiece(file, offset);
        for (ulong at = offset; at < end;)
        {
            while (piece < file.Count && _pieces[file.Body + piece] is var passed && passed.At + passed.Length <= at)
            {
                piece++;
            }

            Piece next = piece < file.Count ? _pieces[file.Body + piece] : new Piece { At = file.Size };
            ulong stop = Math.Min(end, next.At > at ? next.At : next.At + next.Length);
            if (next.At > at)
            {
                new Span<byte>(buffer + (at - offset), (int)(stop - at)).Clear();
            }
            else
            {
                Errno error = FileIo.ReadFull(_contents, buffer + (at - offset), (nuint)(stop - at), (long)(next.Place + (at - next.At)), out nuint read);
                if (error != Errno.None || read != stop - at)
                {
                    return Failure.Note(Layer, error == Errno.None ? "source changed" : "pread", Errno.EIO);
                }
            }

            at = stop;
        }

        got = offset < end ? (uint)(end - offset) : 0;
        return Errno.None;
    }

    public Errno OpenContent(uint node, out int fd)
    {
        fd = -1;
        return Errno.EOPNOTSUPP;
    }

    public ulong NextData(uint node, ulong offset)
    {
        BuiltObject file = _tree[node];
        uint piece = FirstPiece(file, offset);
        return piece == file.Count ? file.Size : Math.Max(offset, _pieces[file.Body + piece].At);
    }

    public Errno Finish()
    {
        stat now;
        Errno error = Interop.Attributes.Fstat(_archive.Value, &now);
        return error == Errno.None && now.st_size == _before.st_size && Same(now.st_mtim, _before.st_mtim) && Same(now.st_ctim, _before.st_ctim) ? Errno.None : Errno.EIO;
    }

    public void Dispose()
    {
        _tree.Dispose();
        _pieces.Dispose();
        _archive.Dispose();
    }

    private static stat StatOf(int fd)
    {
        stat attributes;
        Errno error = Interop.Attributes.Fstat(fd, &attributes);
        return error == Errno.None ? attributes : throw new ImageException($"cannot be looked at: {error}");
    }

    private static bool Same(timespec a, timespec b) => a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;

    private void Build(ArchiveStream stream, Action<PackProgress> progress)
    {
        TarReader reader = new(stream);
        while (reader.Next() is { } entry)
        {
            Add(entry, stream);
            progress(new PackProgress(_tree.Count, 0, 0));
        }

        _tree.Seal();
        if (reader.UnknownAcls > 0)
        {
            _notes.Add(string.Create(CultureInfo.InvariantCulture, $"{reader.UnknownAcls} access control lists were left out: they name users or groups by name, not by number"));
        }

        if (reader.TrailingBytes > 0)
        {
            _notes.Add(string.Create(CultureInfo.InvariantCulture, $"{reader.TrailingBytes} bytes behind the archive's end were passed over"));
        }
    }

    private void Add(TarEntry entry, ArchiveStream stream)
    {
        List<byte[]> names = PathNames(entry);
        if (!_hasRoot)
        {
            // An archive need not say what its root is like; then it is like what comes first.
            _hasRoot = true;
            Describe(BuiltTree.Root, Implied(entry));
        }

        if (names.Count == 0)
        {
            AddRoot(entry);
            return;
        }

        uint directory = BuiltTree.Root;
        foreach (byte[] name in names.SkipLast(1))
        {
            directory = DirectoryIn(directory, name, entry);
        }

        ReadOnlySpan<byte> last = names[^1];
        if (last.StartsWith(".wh."u8))
        {
            AddMark(directory, last, entry);
            stream.Skip(entry.Stored);
            return;
        }

        AddObject(directory, last, entry, stream);
    }

    /// <summary>The names of a path. As every tar does, a slash at its start is passed over: nothing leads out of the tree.</summary>
    private static List<byte[]> PathNames(TarEntry entry) => PathNames(entry, entry.Path);

    private static List<byte[]> PathNames(TarEntry entry, byte[] path)
    {
        List<byte[]> names = [];
        if (path.Length > LongestPath)
        {
            throw new ImageException($"holds a path of {path.Length} bytes ({Utf8.Print(path.AsSpan(0, 60))}…), and no more than {LongestPath} are read");
        }

        if (path.Contains((byte)0))
        {
            throw new ImageException($"holds a path with a NUL in it ({entry.Printed})");
        }

        ReadOnlySpan<byte> rest = path;
        foreach (Range range in rest.Split((byte)'/'))
        {
            ReadOnlySpan<byte> name = rest[range];
            if (name.SequenceEqual(".."u8))
            {
                throw new ImageException($"holds a path that leads out of it ({Utf8.Print(path)}): it is not to be trusted");
            }

            if (name.Length > ByteName.MaxLength)
            {
                throw new ImageException($"holds a name of {name.Length} bytes ({entry.Printed}), and no file system takes more than {ByteName.MaxLength}");
            }

            if (!name.IsEmpty && !name.SequenceEqual("."u8))
            {
                names.Add(name.ToArray());
            }
        }

        return names;
    }

    private void AddRoot(TarEntry entry)
    {
        if (entry.Type != '5')
        {
            throw new ImageException($"holds a member '{entry.Printed}' of type '{entry.Type}' that would be its root");
        }

        Describe(BuiltTree.Root, entry);
    }

    /// <summary>A directory on the way to a member; made like the member where the archive does not tell of it.</summary>
    private uint DirectoryIn(uint directory, ReadOnlySpan<byte> name, TarEntry entry)
    {
        uint found = _tree.Find(directory, name);
        if (found == 0 || IsWhiteout(found))
        {
            return NewDirectory(directory, name, Implied(entry));
        }

        return _tree[found].Type == FileType.Directory
            ? found
            : throw new ImageException($"holds {entry.Printed}, but {Utf8.Print(name)} on the way to it is {(_tree[found].Type == FileType.Symlink ? "a symbolic link" : "no directory")}");
    }

    private uint NewDirectory(uint directory, ReadOnlySpan<byte> name, TarEntry entry)
    {
        bool hides = _tree.Find(directory, name) is var old and not 0 && IsWhiteout(old);
        uint made = _tree.Add(new BuiltObject { Mode = FileTypes.ToMode(FileType.Directory), IsOpaque = hides });
        _tree.Put(directory, name, made);
        Describe(made, entry);
        return made;
    }

    private static TarEntry Implied(TarEntry entry) => new()
    {
        Path = entry.Path,
        Type = '5',
        Target = [],
        Mode = 0x1ED, // rwxr-xr-x
        Uid = entry.Uid,
        Gid = entry.Gid,
        Time = entry.Time,
    };

    /// <summary>A name that is not one but says what is hidden.</summary>
    private void AddMark(uint directory, ReadOnlySpan<byte> name, TarEntry entry)
    {
        ReadOnlySpan<byte> hidden = name[".wh."u8.Length..];
        if (hidden.SequenceEqual(".wh..opq"u8))
        {
            _tree[directory].IsOpaque = true;
            return;
        }

        if (hidden.StartsWith(".wh."u8))
        {
            return; // what aufs keeps for itself
        }

        if (hidden.IsEmpty || hidden.SequenceEqual("."u8))
        {
            throw new ImageException($"holds a mark that hides nothing ({entry.Printed})");
        }

        uint found = _tree.Find(directory, hidden);
        if (found == 0)
        {
            _tree.Put(directory, hidden, _tree.Add(new BuiltObject { Mode = FileTypes.ToMode(FileType.CharDevice), Uid = entry.Uid, Gid = entry.Gid, Time = entry.Time }));
        }
        else if (_tree[found].Type == FileType.Directory)
        {
            // What is below is hidden, and what is here is new.
            _tree[found].IsOpaque = true;
        }
    }

    private void AddObject(uint directory, ReadOnlySpan<byte> name, TarEntry entry, ArchiveStream stream)
    {
        uint old = _tree.Find(directory, name);
        bool isDirectory = entry.Type == '5';
        if (old != 0 && _tree[old].Type == FileType.Directory)
        {
            if (isDirectory)
            {
                Describe(old, entry);
                return;
            }

            if (_tree[old].Count > 0)
            {
                throw new ImageException($"holds {entry.Printed} twice: as a directory with something in it, and as something else");
            }
        }

        if (isDirectory)
        {
            _ = NewDirectory(directory, name, entry);
            return;
        }

        if (entry.Type == '1')
        {
            _tree.Put(directory, name, LinkTarget(entry, old));
            return;
        }

        uint made = _tree.Add(new BuiltObject { Mode = FileTypes.ToMode(TypeOf(entry)), Device = entry.Device });
        Describe(made, entry);
        if (entry.Type == '2')
        {
            if (entry.Target.Length is 0 or > ImageFormat.LongestTarget || entry.Target.Contains((byte)0))
            {
                throw new ImageException($"holds a symbolic link {entry.Printed} with a target of {entry.Target.Length} bytes that no file system takes");
            }

            _tree.SetTarget(made, entry.Target);
        }

        if (entry.Type == '0')
        {
            AddContent(made, entry, stream);
        }

        _tree.Put(directory, name, made);
    }

    private static FileType TypeOf(TarEntry entry) => entry.Type switch
    {
        '0' => FileType.Regular,
        '2' => FileType.Symlink,
        '3' => FileType.CharDevice,
        '4' => FileType.BlockDevice,
        _ => FileType.Fifo, // the reader lets no other pass
    };

    /// <summary>The object that a hard link is a further name of: what its target leads to by now.</summary>
    private uint LinkTarget(TarEntry entry, uint old)
    {
        uint at = BuiltTree.Root;
        foreach (byte[] name in PathNames(entry, entry.Target))
        {
            at = at != 0 && _tree[at].Type == FileType.Directory ? _tree.Find(at, name) : 0;
        }

        if (at == 0 || _tree[at].Type == FileType.Directory || (IsWhiteout(at) && at != old))
        {
            throw new ImageException($"holds a hard link {entry.Printed} to {Utf8.Print(entry.Target)}, which is no file before it in the archive");
        }

        return at;
    }

    private void AddContent(uint file, TarEntry entry, ArchiveStream stream)
    {
        ulong place = stream.Position;
        if (stream.IsPlain)
        {
            stream.Skip(entry.Stored);
        }
        else
        {
            place = _spooled;
            stream.Copy(entry.Stored, _contents, place);
            _spooled += entry.Stored;
        }

        ref BuiltObject record = ref _tree[file];
        record.Size = entry.Size;
        record.Body = checked((uint)_pieces.Count);
        foreach (SparsePiece piece in entry.Pieces ?? [new SparsePiece(0, entry.Stored)])
        {
            _pieces.Add(new Piece { At = piece.At, Length = piece.Length, Place = place });
            place += piece.Length;
        }

        record.Count = checked((uint)(_pieces.Count - record.Body));
    }

    private void Describe(uint what, TarEntry entry)
    {
        List<(byte[] Name, byte[] Value)> xattrs = [];
        bool isOpaque = false;
        foreach ((byte[] name, byte[] value) in entry.Xattrs)
        {
            if (name.AsSpan().StartsWith("trusted.overlay."u8) || name.AsSpan().StartsWith("user.overlay."u8))
            {
                isOpaque |= IsOpaqueMark(entry, name, value);
            }
            else
            {
                xattrs.Add((name, value));
            }
        }

        ref BuiltObject record = ref _tree[what];
        record.Mode = (record.Mode & FileTypes.FormatMask) | entry.Mode;
        record.Uid = entry.Uid;
        record.Gid = entry.Gid;
        record.Time = entry.Time;
        record.IsOpaque |= isOpaque && record.Type == FileType.Directory;
        _tree.SetXattrs(what, xattrs);
    }

    /// <summary>Marks of an overlay: what they mean is kept where an image can say it, and refused where it would be another tree without them.</summary>
    private static bool IsOpaqueMark(TarEntry entry, byte[] name, byte[] value)
    {
        string mark = Utf8.Print(name);
        return mark.EndsWith(".redirect", StringComparison.Ordinal) || mark.EndsWith(".metacopy", StringComparison.Ordinal)
            ? throw new ImageException($"holds {entry.Printed} with {mark}: an upper folder whose renamed directories lie in the layers below; pack the merged tree instead")
            : mark.EndsWith(".opaque", StringComparison.Ordinal) && value.AsSpan().SequenceEqual("y"u8);
    }

    private bool IsWhiteout(uint node) => _tree[node] is { Type: FileType.CharDevice, Device: 0 };

    /// <summary>Index among a file's pieces of the first that does not end before a place.</summary>
    private uint FirstPiece(in BuiltObject file, ulong offset)
    {
        uint low = 0;
        uint high = file.Count;
        while (low < high)
        {
            uint middle = low + ((high - low) / 2);
            Piece piece = _pieces[file.Body + middle];
            if (piece.At + piece.Length <= offset)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }
}
