using System.Buffers;
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
/// they are asked for one by one, when somebody wants to know.
/// </remarks>
internal sealed unsafe class MegaSource : ITreeSource
{
    private const byte PayloadBytes = 1 + ObjectId.Bytes;
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
    private readonly MegaView _root;
    private readonly timespec _time;

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
        Trees = pinned.Trees;
        _root = pinned.Root;
        _fetcher = new MegaFetcher(layer, _options, _client, Trees, _store);
        _time = new timespec { tv_sec = Trees.Commit.Seconds };
    }

    public MegaClient Client => _client;

    public MegaTrees Trees { get; }

    public ObjectStore Store => _store;

    public Errno List(uint directory, ref DirectoryListing listing)
    {
        listing.PayloadBytes = PayloadBytes;
        listing.NamesAreUnique = true;
        listing.InodesReliable = true;
        MegaView view = _root;
        if (directory != ILayer.RootNode)
        {
            byte* payload = _nodes.PayloadOf(_nodes[directory]);
            if (*payload == (byte)GitMode.Submodule)
            {
                // Another repository would be here; it is not part of this one.
                return Errno.None;
            }

            Errno error = _fetcher.Listing(PathOf(directory), IdOf(payload), out view);
            if (error != Errno.None)
            {
                return error;
            }
        }

        return Fill(view, ref listing);
    }

    public Errno Attributes(uint node, stat* attributes)
    {
        GitMode mode = ModeOf(node);
        *attributes = default;
        attributes->st_nlink = 1;
        attributes->st_uid = _options.Uid;
        attributes->st_gid = _options.Gid;
        attributes->st_mtim = _time;
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
        if (_fetcher.AsksLengthsOnly)
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
        _fetcher.NoteRead();
        Errno error = _store.Read(id, ObjectKind.Blob, offset, buffer, size, out got, out long bytes);
        for (int tries = 0; error == Errno.ENOENT && tries < 2; tries++)
        {
            // The attributes have been asked for before, so the size is known.
            long shown = _nodes[node]->Has(NodeFlags.AttributesLoaded) ? (long)_nodes[node]->Size : -1;
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
                Errno.ENOMEM or Errno.EACCES or Errno.ETIMEDOUT => error,
                _ => Errno.EIO,
            };
        }

        *after = default;
        after->st_mode = _nodes[node]->Mode;
        after->st_size = bytes;
        after->st_mtim = _time;
        return Errno.None;
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
        _fetcher.Dispose();
        _client.Dispose();
        _store.Dispose();
    }

    private static ObjectId IdOf(byte* payload) => new(new ReadOnlySpan<byte>(payload + 1, ObjectId.Bytes));

    private GitMode ModeOf(uint node) =>
        node == ILayer.RootNode ? GitMode.Directory : (GitMode)(*_nodes.PayloadOf(_nodes[node]));

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

    private Errno Fill(in MegaView view, ref DirectoryListing listing)
    {
        Errno error = _store.ReadAll(view.Tree, ObjectKind.Tree, MostTreeBytes, out NativeBody? raw);
        if (error != Errno.None)
        {
            return error == Errno.ENOENT ? Failure.Note(_layer, "the tree has left the store; try again", Errno.EIO) : error;
        }

        using (raw)
        {
            byte* payload = stackalloc byte[PayloadBytes];
            byte* name = stackalloc byte[ByteName.MaxLength + 1];
            var entries = new GitTreeReader(raw!.Span);
            while (entries.MoveNext())
            {
                *payload = (byte)entries.Mode;
                entries.Id.CopyTo(new Span<byte>(payload + 1, ObjectId.Bytes));
                entries.Name.CopyTo(new Span<byte>(name, ByteName.MaxLength));
                FileType type = entries.Mode switch
                {
                    GitMode.Directory or GitMode.Submodule => FileType.Directory,
                    GitMode.Symlink => FileType.Symlink,
                    _ => FileType.Regular,
                };
                error = listing.Add(new ByteName(name, entries.Name.Length), type, 0, new ReadOnlySpan<byte>(payload, PayloadBytes));
                if (error != Errno.None)
                {
                    return error;
                }
            }

            return entries.Damage is { } damage ? Failure.Note(_layer, damage, Errno.EIO) : Errno.None;
        }
    }

    /// <summary>Path on the server. Bytes that are no UTF-8 cannot be asked for, and come out as another name, which the hash tells.</summary>
    private string PathOf(uint node)
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
