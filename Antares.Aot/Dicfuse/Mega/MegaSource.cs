using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Sources;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Dicfuse.Tree;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Mega;

/// <summary>
/// A directory of a monorepo server at one revision (<c>mega:</c>). What is asked for comes from the store, and from the server when it
/// is not there yet; nothing is shown before its hash was compared.
/// </summary>
/// <remarks>
/// With each name the tree keeps 21 bytes: the mode (<see cref="GitMode"/>) and the git id of what it leads to. Sizes are in no listing:
/// they are asked for one by one, when somebody wants to know. A name that has another time than the first revision has <see cref="DatedMode"/>
/// set in the mode and 8 bytes more: its time of modification as a node keeps it (<see cref="PackedTime"/>). Mode and id of a directory, and they
/// alone, change when the source moves to another revision (<see cref="MoveTo"/>).
/// </remarks>
internal sealed unsafe class MegaSource : ITreeSource
{
    private const byte PayloadBytes = 1 + ObjectId.Bytes;
    private const byte DatedMode = 0x80;
    private const int DatedPayloadBytes = PayloadBytes + sizeof(ulong);
    private const uint DirectoryMode = StatMode.S_IFDIR | 0x1ED; // 0755
    private const uint FileMode = StatMode.S_IFREG | 0x1A4; // 0644
    private const uint ExecutableMode = StatMode.S_IFREG | 0x1ED;
    private const uint LinkMode = StatMode.S_IFLNK | 0x1FF;
    private const int LargestTarget = 4095;
    private const int DirectorySize = 4096;
    private const long MostTreeBytes = 1 << 30;

    private readonly string _layer;
    private readonly NodeStore _nodes;
    private readonly MegaOptions _options;
    private readonly MegaClient _client;
    private readonly ObjectStore _store;
    private readonly MegaFetcher _fetcher;
    private readonly timespec _time;
    private MegaRevision _revision;
    private readonly HashSet<uint> _unshown = [];
    private int _unshownCount;
    private long _corrected;
    private uint _aheadOf;
    private long _aheadFlights;

    /// <param name="layer">Name of the layer for failure notes.</param>
    /// <param name="nodes">The nodes that will be asked for.</param>
    /// <param name="pinned">Server, revision and root; the source disposes what is in it.</param>
    public MegaSource(string layer, NodeStore nodes, PinnedMega pinned)
    {
        _layer = layer;
        _nodes = nodes;
        _options = pinned.Options;
        _client = pinned.Client;
        _store = pinned.Store;
        _revision = new MegaRevision(pinned.Trees, pinned.Root);
        _fetcher = new MegaFetcher(layer, _options, _client, pinned.Trees, _store);
        _time = new timespec { tv_sec = pinned.Trees.Commit.Seconds };
    }

    /// <summary>Told the node of a file whose size turned out to be another than was shown; the new one is in the node.</summary>
    public Action<uint>? SizeCorrected { get; set; }

    /// <summary>Sizes that a server had told wrong.</summary>
    public long SizesCorrected => Volatile.Read(ref _corrected);

    /// <summary>Fetches beside the requests; ended with the source.</summary>
    public Prefetcher? Prefetcher { get; set; }

    public MegaClient Client => _client;

    /// <summary>What directories are listed as from now on.</summary>
    public MegaRevision Revision => Volatile.Read(ref _revision);

    public MegaTrees Trees => Revision.Trees;

    /// <summary>Between listings of one revision and those of the next.</summary>
    public RevisionGate Moves { get; } = new();

    public ObjectStore Store => _store;

    public MegaFetcher Fetcher => _fetcher;

    public MegaOptions Options => _options;

    /// <summary>What the tree keeps with a name that is not from a listing; <see cref="Date"/> tells its time of modification.</summary>
    /// <param name="mode">Its mode.</param>
    /// <param name="id">What it leads to.</param>
    public static byte[] DatedPayload(GitMode mode, in ObjectId id)
    {
        byte[] payload = new byte[DatedPayloadBytes];
        payload[0] = (byte)((byte)mode | DatedMode);
        id.CopyTo(payload.AsSpan(1));
        return payload;
    }

    /// <summary>Tells the time of modification of a node that nobody has seen yet.</summary>
    /// <param name="node">With a <see cref="DatedPayload"/>.</param>
    /// <param name="time">Its time.</param>
    public void Date(uint node, timespec time) =>
        BinaryPrimitives.WriteUInt64LittleEndian(new Span<byte>(_nodes.PayloadOf(_nodes[node]) + PayloadBytes, sizeof(ulong)), PackedTime.Pack(time));

    /// <summary>What a node other than the root leads to.</summary>
    public GitContent ContentOf(uint node) => new(ModeOf(node), IdOf(_nodes.PayloadOf(_nodes[node])));

    /// <summary>Lists directories as another revision has them. Called with the lock of <see cref="Moves"/> held.</summary>
    /// <param name="revision">That revision.</param>
    /// <param name="directories">Those that are another tree in it.</param>
    /// <remarks>Who reads one of these ids meanwhile may get a mixture; what it lists is then thrown away by <see cref="Moves"/>.</remarks>
    public void MoveTo(MegaRevision revision, IReadOnlyList<ShownDirectory> directories)
    {
        foreach (ShownDirectory directory in directories)
        {
            byte* payload = _nodes.PayloadOf(_nodes[directory.Node]);
            *payload = (byte)((byte)directory.Content.Mode | (*payload & DatedMode));
            directory.Content.Id.CopyTo(new Span<byte>(payload + 1, ObjectId.Bytes));
        }

        _fetcher.Trees = revision.Trees;
        Volatile.Write(ref _revision, revision);
    }

    public Errno List(uint directory, ref DirectoryListing listing)
    {
        MegaRevision revision = Revision;
        listing.PayloadBytes = (byte)(revision.Trees.Commit.Seconds == _time.tv_sec ? PayloadBytes : DatedPayloadBytes);
        listing.NamesAreUnique = true;
        listing.InodesReliable = true;
        if (ModeOf(directory) == GitMode.Submodule)
        {
            // Another repository would be here; it is not part of this one.
            return Errno.None;
        }

        // The root's tree was fetched when the mount was made; a collection may have taken it since.
        const int Tries = 3;
        ObjectId expected = directory == ILayer.RootNode ? revision.Root.Tree : IdOf(_nodes.PayloadOf(_nodes[directory]));
        Errno error = expected == MegaTrees.EmptyTree ? Errno.None : CheckPlace(revision, directory, expected);
        error = error == Errno.None && expected != MegaTrees.EmptyTree ? Errno.ENOENT : error;
        for (int i = 0; i < Tries && error == Errno.ENOENT; i++)
        {
            MegaView view = revision.Root;
            if (directory != ILayer.RootNode || i > 0)
            {
                error = _fetcher.Listing(PathOf(directory), expected, out view);
                if (error != Errno.None)
                {
                    return error;
                }
            }

            error = Fill(revision, view, ref listing);
        }

        return error == Errno.ENOENT ? Failure.Note(_layer, "the store gives objects up as fast as they come; raise --store-limit", Errno.EIO) : error;
    }

    public Errno Attributes(uint node, stat* attributes)
    {
        GitMode mode = ModeOf(node);
        *attributes = default;
        attributes->st_nlink = 1;
        attributes->st_uid = _options.Uid;
        attributes->st_gid = _options.Gid;
        attributes->st_mtim = TimeOf(node);
        attributes->st_mode = mode switch
        {
            GitMode.File => FileMode,
            GitMode.Executable => ExecutableMode,
            GitMode.Symlink => LinkMode,
            _ => DirectoryMode,
        };
        attributes->st_blocks = -1;
        if (mode is GitMode.Directory or GitMode.Submodule)
        {
            attributes->st_size = DirectorySize;
            return Errno.None;
        }

        ObjectId id = IdOf(_nodes.PayloadOf(_nodes[node]));
        bool isReadable = mode != GitMode.Symlink && id != MegaClient.EmptyBlob;
        _fetcher.Pattern.NoteSize(node, isReadable);
        if (isReadable && _fetcher.Pattern.IsListing && !_options.TakesAll)
        {
            AskAhead(node);
        }

        Errno error = _fetcher.Size(id, mode == GitMode.Symlink, out long size);
        if (error == Errno.None && mode == GitMode.Symlink && size is < 1 or > LargestTarget)
        {
            return Failure.Note(_layer, "link target of an impossible length", Errno.EIO);
        }

        attributes->st_size = size;
        return error;
    }

    public bool AttributesAreAtHand(uint node) =>
        ModeOf(node) is GitMode.Directory or GitMode.Submodule || _fetcher.TryKnownSize(IdOf(_nodes.PayloadOf(_nodes[node])), out _);

    public Errno Readlink(uint node, byte* buffer, int capacity, out int length)
    {
        length = 0;
        stat after;
        Errno error = ReadContent(node, 0, buffer, (uint)capacity, out uint got, &after);
        if (error == Errno.None && (got is 0 or > LargestTarget || new ReadOnlySpan<byte>(buffer, (int)got).Contains((byte)0)))
        {
            error = Failure.Note(_layer, "link target with NUL, or of an impossible length", Errno.EIO);
        }

        length = error == Errno.None ? (int)got : 0;
        return error;
    }

    public Errno ReadContent(uint node, ulong offset, byte* buffer, uint size, out uint got, stat* after)
    {
        ObjectId id = IdOf(_nodes.PayloadOf(_nodes[node]));
        long shown = _nodes[node]->Has(NodeFlags.AttributesLoaded) ? (long)Volatile.Read(ref _nodes[node]->Size) : -1;
        if (offset == 0 && ModeOf(node) != GitMode.Symlink && _fetcher.Pattern.NoteRead(node))
        {
            FetchAhead(node);
        }

        Errno error = _store.Read(id, ObjectKind.Blob, offset, buffer, size, out got, out long bytes);
        for (int tries = 0; error == Errno.ENOENT && tries < 2; tries++)
        {
            error = _fetcher.Blob(id, shown);
            if (error == Errno.None)
            {
                error = _store.Read(id, ObjectKind.Blob, offset, buffer, size, out got, out bytes);
            }
        }

        if (error != Errno.None)
        {
            got = 0;
            return error switch
            {
                Errno.ENOENT => Failure.Note(_layer, "the store gives objects up as fast as they come; raise --store-limit", Errno.EIO),
                Errno.ENOMEM or Errno.EACCES or Errno.ETIMEDOUT or Errno.EINTR => error,
                _ => Errno.EIO,
            };
        }

        if ((shown >= 0 && bytes != shown) || IsUnshown(node))
        {
            got = 0;
            return Correct(node, id, shown, bytes);
        }

        *after = default;
        after->st_mode = _nodes[node]->Mode;
        after->st_size = bytes;
        after->st_mtim = TimeOf(node);
        return Errno.None;
    }

    /// <summary>Makes sure that a content is in the store, however long it takes.</summary>
    /// <param name="node">A file or a link.</param>
    /// <param name="fetched">Its length; -1: it was there.</param>
    public Errno Prefetch(uint node, out long fetched)
    {
        ObjectId id = IdOf(_nodes.PayloadOf(_nodes[node]));
        fetched = -1;
        if (_store.TryStat(id, ObjectKind.Blob, out _))
        {
            return Errno.None;
        }

        Errno error = _fetcher.Blob(id, -1, Timeout.Infinite);
        if (error == Errno.None && !_fetcher.TryKnownSize(id, out fetched))
        {
            fetched = 0; // given up again already
        }

        return error;
    }

    public Errno OpenContent(uint node, out int fd, stat* attributes)
    {
        fd = -1;
        return Errno.EOPNOTSUPP;
    }

    public Errno Getxattr(uint node, byte* name, byte* value, nuint size, out int length)
    {
        length = 0;
        return Errno.EOPNOTSUPP;
    }

    public Errno Listxattr(uint node, byte* list, nuint size, out int length)
    {
        length = 0;
        return Errno.EOPNOTSUPP;
    }

    public void Dispose()
    {
        Prefetcher?.Stop();
        _fetcher.Dispose();
        Prefetcher?.Join();
        _client.Dispose();
        _store.Dispose();
    }

    private static ObjectId IdOf(byte* payload) => new(new ReadOnlySpan<byte>(payload + 1, ObjectId.Bytes));

    private GitMode ModeOf(uint node) =>
        node == ILayer.RootNode ? GitMode.Directory : (GitMode)(*_nodes.PayloadOf(_nodes[node]) & ~DatedMode);

    private timespec TimeOf(uint node)
    {
        byte* payload = node == ILayer.RootNode ? null : _nodes.PayloadOf(_nodes[node]);
        return payload != null && (*payload & DatedMode) != 0
            ? PackedTime.Unpack(BinaryPrimitives.ReadUInt64LittleEndian(new ReadOnlySpan<byte>(payload + PayloadBytes, sizeof(ulong))))
            : _time;
    }

    /// <summary>The attributes of a file are being shown.</summary>
    public void NoteShown(uint node)
    {
        if (Volatile.Read(ref _unshownCount) == 0)
        {
            return;
        }

        lock (_unshown)
        {
            _ = _unshown.Remove(node); // mostly another one
            Volatile.Write(ref _unshownCount, _unshown.Count);
        }
    }

    private bool IsUnshown(uint node)
    {
        if (Volatile.Read(ref _unshownCount) == 0)
        {
            return false;
        }

        lock (_unshown)
        {
            return _unshown.Contains(node);
        }
    }

    /// <summary>
    /// Content proves that the server had told a wrong size. Who reads now has been shown that one, and gets an error; so does everybody until
    /// the right one was shown, since the kernel tries again at once what its read-ahead did not get, and would cut it off at the wrong size.
    /// </summary>
    private Errno Correct(uint node, in ObjectId id, long shown, long bytes)
    {
        if (bytes == shown)
        {
            return Failure.Note(_layer, $"blob {id}: its size was mended to {bytes} bytes; look at it and read it again", Errno.EIO);
        }

        lock (_unshown)
        {
            _ = _unshown.Add(node); // another reader may have been faster
            Volatile.Write(ref _unshownCount, _unshown.Count);
        }

        // Only a counter for people.
        _ = Interlocked.Increment(ref _corrected);
        _store.Sizes.Add(id, bytes);
        Volatile.Write(ref _nodes[node]->Size, (ulong)bytes);
        SizeCorrected?.Invoke(node);
        return Failure.Note(_layer, $"blob {id}: the server told {shown} bytes before, and it has {bytes}; the size is mended, read it again", Errno.EIO);
    }

    /// <summary>In a long listing the sizes of the next names are asked for while this one is waited for.</summary>
    private void AskAhead(uint node)
    {
        const uint Ahead = 32;
        const uint Step = 8;
        if (node % Step != 0)
        {
            return;
        }

        NodeRecord* directory = _nodes[_nodes[node]->Parent];
        uint end = directory->Body + directory->Extra;
        for (uint next = node + 1; next < end && next <= node + Ahead; next++)
        {
            if (ModeOf(next) is GitMode.File or GitMode.Executable && !_nodes[next]->Has(NodeFlags.AttributesLoaded))
            {
                _fetcher.StartSize(IdOf(_nodes.PayloadOf(_nodes[next])));
            }
        }
    }

    /// <summary>
    /// In a walk that reads file after file the contents of the next ones are asked for while this one is read: few, so that little is in vain when it
    /// ends. When nothing was fetched since the last look, all of it is here, and it is not looked for.
    /// </summary>
    private void FetchAhead(uint node)
    {
        const uint Ahead = 8;
        long flights = _fetcher.BlobFlights;
        uint before = Volatile.Read(ref _aheadOf);
        bool goesOn = node > before && node - before <= Ahead;
        Volatile.Write(ref _aheadOf, node);
        if (goesOn && Interlocked.Exchange(ref _aheadFlights, flights) == flights)
        {
            return;
        }

        NodeRecord* directory = _nodes[_nodes[node]->Parent];
        uint end = Math.Min(directory->Body + directory->Extra, node + 1 + Ahead);
        for (uint next = Math.Max(node + 1, directory->Body); next < end; next++)
        {
            if (ModeOf(next) is GitMode.File or GitMode.Executable)
            {
                _ = _fetcher.StartBlob(IdOf(_nodes.PayloadOf(_nodes[next]))); // here or on its way
            }
        }
    }

    /// <summary>
    /// Where no hash proves what a server shows, it may show a directory within itself, or one below the other without an end: whoever walks through
    /// it would never come back. A tree's id is a hash over those within it, so that none holds itself.
    /// </summary>
    /// <returns>None; EIO: noted.</returns>
    private Errno CheckPlace(MegaRevision revision, uint directory, in ObjectId tree)
    {
        const int MostDepth = 2048; // git takes no deeper trees
        int depth = 0;
        for (uint at = directory; at != ILayer.RootNode; depth++)
        {
            at = _nodes[at]->Parent;
            ObjectId above = at == ILayer.RootNode ? revision.Root.Tree : IdOf(_nodes.PayloadOf(_nodes[at]));
            if (above == tree && !revision.Trees.IsPlaceholder(tree) && !revision.Trees.IsBoundary(PathOf(at)))
            {
                return Failure.Note(_layer, $"{PathOf(directory)}: the server shows a directory within itself", Errno.EIO);
            }
        }

        return depth <= MostDepth ? Errno.None : Failure.Note(_layer, $"more than {MostDepth} directories within each other", Errno.EIO);
    }

    /// <returns>ENOENT: the tree has left the store, and nothing was listed.</returns>
    private Errno Fill(MegaRevision revision, in MegaView view, ref DirectoryListing listing)
    {
        Errno error = _store.ReadAll(view.Tree, ObjectKind.Tree, MostTreeBytes, out NativeBody? raw);
        if (error != Errno.None)
        {
            return error;
        }

        using (raw)
        {
            byte* payload = stackalloc byte[DatedPayloadBytes];
            bool isDated = listing.PayloadBytes == DatedPayloadBytes;
            BinaryPrimitives.WriteUInt64LittleEndian(new Span<byte>(payload + PayloadBytes, sizeof(ulong)), PackedTime.Pack(new timespec { tv_sec = revision.Trees.Commit.Seconds }));
            byte* name = stackalloc byte[ByteName.MaxLength + 1];
            var entries = new GitTreeReader(raw!.Span);
            while (entries.MoveNext())
            {
                *payload = (byte)((byte)entries.Mode | (isDated ? DatedMode : 0));
                entries.Id.CopyTo(new Span<byte>(payload + 1, ObjectId.Bytes));
                entries.Name.CopyTo(new Span<byte>(name, ByteName.MaxLength));
                FileType type = entries.Mode switch
                {
                    GitMode.Directory or GitMode.Submodule => FileType.Directory,
                    GitMode.Symlink => FileType.Symlink,
                    _ => FileType.Regular,
                };
                error = listing.Add(new ByteName(name, entries.Name.Length), type, 0, new ReadOnlySpan<byte>(payload, listing.PayloadBytes));
                if (error != Errno.None)
                {
                    return error;
                }

                if (listing.Count > MegaTrees.MostEntries)
                {
                    return Failure.Note(_layer, $"a directory of more than {MegaTrees.MostEntries} entries", Errno.EIO);
                }
            }

            return entries.Damage is { } damage ? Failure.Note(_layer, damage, Errno.EIO) : Errno.None;
        }
    }

    /// <summary>Path on the server. Bytes that are no UTF-8 cannot be asked for, and come out as another name, which the hash tells.</summary>
    public string PathOf(uint node)
    {
        var parts = new List<uint>();
        for (uint at = node; at != ILayer.RootNode; at = _nodes[at]->Parent)
        {
            parts.Add(at);
        }

        var path = new ArrayBufferWriter<byte>();
        if (_options.Address.Path != "/")
        {
            path.Write(Encoding.UTF8.GetBytes(_options.Address.Path));
        }

        for (int i = parts.Count - 1; i >= 0; i--)
        {
            path.Write("/"u8);
            path.Write(_nodes.NameOf(_nodes[parts[i]]).Span);
        }

        return Encoding.UTF8.GetString(path.WrittenSpan);
    }
}
