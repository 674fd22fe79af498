using System.Globalization;
using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Archives;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Git;

/// <summary>
/// A commit of a git repository that becomes an image: what git keeps, without a working tree, so no filter, line end or attribute of
/// a checkout applies. Submodules are empty directories, and a file that Git LFS keeps elsewhere is its pointer; both are told.
/// </summary>
/// <remarks>Every time is the commit's, every owner 0:0, every mode one of git's few.</remarks>
internal sealed unsafe class GitSource : IPackSource
{
    private const string Layer = "git";
    private const int LongestPointer = 1024;

    private readonly GitRevision _revision;
    private readonly BuiltTree _tree = new();
    private readonly GitIds _ids = new();
    private readonly List<(uint Object, uint Id)> _symlinks = [];
    private GitContents? _contents;
    private timespec _time;
    private long _submodules;
    private long _pointers;
    private uint _firstPointer;

    private GitSource(GitRevision revision) => _revision = revision;

    public string Kind => Layer;

    public string? Revision => _revision.Commit;

    public bool HasOwnTimes => false;

    public IReadOnlyList<string> Notes
    {
        get
        {
            List<string> notes = [];
            if (_submodules > 0)
            {
                notes.Add(string.Create(CultureInfo.InvariantCulture, $"{_submodules} submodules are empty directories"));
            }

            if (_pointers > 0)
            {
                notes.Add(string.Create(
                    CultureInfo.InvariantCulture, $"{_pointers} contents are pointers of Git LFS, not what they point to (the first: {_tree.PathOf(_firstPointer)})"));
            }

            return notes;
        }
    }

    /// <summary>Reads the tree of a commit; contents follow when they are asked for.</summary>
    /// <param name="revision">The commit.</param>
    /// <param name="progress">Told now and then.</param>
    /// <exception cref="ImageException">What is wrong with it, as the end of a sentence that begins with the source's name.</exception>
    public static GitSource Open(GitRevision revision, Action<PackProgress> progress)
    {
        GitSource source = new(revision);
        bool isWhole = false;
        try
        {
            source.Build(progress);
            isWhole = true;
            return source;
        }
        catch (IOException problem)
        {
            throw new ImageException($"cannot be read by git: {problem.Message}");
        }
        finally
        {
            if (!isWhole)
            {
                source.Dispose();
            }
        }
    }

    public Errno Next(uint directory, ulong cookie, out LayerEntry entry) => _tree.Next(directory, cookie, out entry);

    public Errno Attributes(uint node, stat* attributes) => _tree.Attributes(node, attributes);

    public Errno IsOpaque(uint directory, out bool opaque)
    {
        opaque = false;
        return Errno.None;
    }

    public Errno Readlink(uint node, byte* buffer, int capacity, out int length) => _tree.Readlink(node, buffer, capacity, out length);

    public Errno Xattrs(uint node, List<(byte[] Name, byte[] Value)> xattrs) => Errno.None;

    public ulong ContentId(uint node) => _tree[node].Body;

    public void Announce(ReadOnlySpan<uint> nodes)
    {
        NativeList<uint> ids = new();
        foreach (uint node in nodes)
        {
            ids.Add(_tree[node].Body);
        }

        _contents?.Dispose();
        _contents = new GitContents(_revision.Repository, _ids, ids);
    }

    public Errno Read(uint node, ulong offset, byte* buffer, uint size, out uint got)
    {
        BuiltObject file = _tree[node];
        got = 0;
        uint wanted = (uint)Math.Min(size, file.Size - Math.Min(file.Size, offset));
        Errno error = _contents is { } contents ? contents.Read(file.Body, file.Size, offset, new Span<byte>(buffer, (int)wanted)) : Errno.EINVAL;
        if (error == Errno.None)
        {
            got = wanted;
            if (offset == 0 && file.Size <= LongestPointer && new ReadOnlySpan<byte>(buffer, (int)wanted).StartsWith("version https://git-lfs.github.com/spec/v1\n"u8))
            {
                _firstPointer = _pointers++ == 0 ? node : _firstPointer;
            }
        }

        return error;
    }

    public Errno OpenContent(uint node, out int fd)
    {
        fd = -1;
        return Errno.EOPNOTSUPP;
    }

    public ulong NextData(uint node, ulong offset) => offset;

    public Errno Finish() => Errno.None; // objects never change

    public void Dispose()
    {
        _contents?.Dispose();
        _tree.Dispose();
        _ids.Dispose();
    }

    private void Build(Action<PackProgress> progress)
    {
        using GitProcess objects = GitRevision.Start(_revision.Repository, ["cat-file", "--batch"]);
        _time.tv_sec = GitRevision.TimeOf(Content(objects, _revision.Commit, "commit"));
        _tree[BuiltTree.Root].Time = _time;
        using (GitProcess listing = GitRevision.Start(_revision.Repository, ["ls-tree", "-r", "-t", "-z", "-l", "--full-tree", _revision.Commit]))
        {
            while (listing.ReadTo(0) is { } line)
            {
                Add(line);
                progress(new PackProgress(_tree.Count, 0, 0));
            }

            int code = listing.Wait(out string said);
            if (code != 0)
            {
                throw new ImageException($"cannot be read by git: {(said.Length > 0 ? said : $"it ended with {code}")}");
            }
        }

        foreach ((uint symlink, uint id) in _symlinks)
        {
            byte[] target = Content(objects, Convert.ToHexStringLower(_ids[id]), "blob");
            if (target.Length is 0 or > ImageFormat.LongestTarget || target.Contains((byte)0))
            {
                throw new ImageException($"holds a symbolic link {_tree.PathOf(symlink)} with a target of {target.Length} bytes that no file system takes");
            }

            _tree.SetTarget(symlink, target);
        }

        _tree.Seal();
    }

    /// <summary>The whole of a small object.</summary>
    private static byte[] Content(GitProcess objects, string name, string type)
    {
        const long MostBytes = 16 << 20;
        if (!objects.Ask(name, out _, out string found, out long size) || found != type || size > MostBytes)
        {
            throw Missing(type, name);
        }

        byte[] content = new byte[size];
        objects.ReadContent(content);
        objects.EndContent();
        return content;
    }

    private static ImageException Missing(string type, string id) => new($"has no {type} {id}: the repository is damaged or not whole (git fsck tells)");

    /// <summary>"MODE TYPE ID SIZE", a tab, and the path; directories come before what is in them.</summary>
    private void Add(ReadOnlySpan<byte> line)
    {
        int tab = line.IndexOf((byte)'\t');
        string[] words = tab < 0 ? [] : Encoding.ASCII.GetString(line[..tab]).Split(' ', StringSplitOptions.RemoveEmptyEntries);
        ReadOnlySpan<byte> path = line[(tab + 1)..];
        if (words.Length != 4 || !TryOctal(words[0], out uint mode))
        {
            throw new ImageException($"cannot be read: git ls-tree says '{Utf8.Print(line)}'");
        }

        uint directory = DirectoryOf(path, out ReadOnlySpan<byte> name);
        CheckName(name, path);
        if (_tree.Find(directory, name) != 0)
        {
            throw new ImageException($"holds {Utf8.Print(path)} twice: its tree is malformed (git fsck tells)");
        }

        const uint FileMask = 0xF000;
        const uint Submodule = 0xE000;
        FileType type = (mode & FileMask) == Submodule ? FileType.Directory : FileTypes.FromMode(mode);
        uint permissions = type switch
        {
            FileType.Directory => 0x1ED, // rwxr-xr-x
            FileType.Symlink => 0x1FF,
            FileType.Regular => (mode & 0x40) != 0 ? 0x1EDu : 0x1A4u, // rwxr-xr-x, rw-r--r--
            _ => throw new ImageException($"holds {Utf8.Print(path)} with the mode {words[0]}, which is none of git's"),
        };
        uint made = _tree.Add(new BuiltObject { Mode = FileTypes.ToMode(type) | permissions, Time = _time });
        _tree.Put(directory, name, made);
        _submodules += (mode & FileMask) == Submodule ? 1 : 0;
        if (type == FileType.Directory)
        {
            return;
        }

        if (words[3] == "BAD")
        {
            throw Missing("blob", words[2]);
        }

        uint id = _ids.NumberOf(Encoding.ASCII.GetBytes(words[2]));
        if (id == 0 || words[1] != "blob" || !ulong.TryParse(words[3], NumberStyles.None, CultureInfo.InvariantCulture, out ulong size))
        {
            throw new ImageException($"cannot be read: git ls-tree says '{Utf8.Print(line)}'");
        }

        if (type == FileType.Symlink)
        {
            _symlinks.Add((made, id));
            return;
        }

        _tree[made].Body = id;
        _tree[made].Size = size;
    }

    private uint DirectoryOf(ReadOnlySpan<byte> path, out ReadOnlySpan<byte> name)
    {
        uint directory = BuiltTree.Root;
        ReadOnlySpan<byte> rest = path;
        for (int slash; (slash = rest.IndexOf((byte)'/')) >= 0; rest = rest[(slash + 1)..])
        {
            directory = _tree.Find(directory, rest[..slash]);
            if (directory == 0 || _tree[directory].Type != FileType.Directory)
            {
                throw new ImageException($"holds {Utf8.Print(path)} in no directory: its tree is malformed (git fsck tells)");
            }
        }

        name = rest;
        return directory;
    }

    /// <summary>Names that git itself refuses to check out are refused here: a .git in a tree would be a repository of somebody else's making.</summary>
    private static void CheckName(ReadOnlySpan<byte> name, ReadOnlySpan<byte> path)
    {
        bool isDotGit = name.Length == 4 && name[0] == (byte)'.' && Ascii.EqualsIgnoreCase(name, ".git"u8);
        if (name.IsEmpty || isDotGit || name.SequenceEqual("."u8) || name.SequenceEqual(".."u8))
        {
            throw new ImageException($"holds '{Utf8.Print(path)}', a name that git forbids: it is not to be trusted");
        }

        if (name.Length > ByteName.MaxLength)
        {
            throw new ImageException($"holds a name of {name.Length} bytes ({Utf8.Print(path)}), and no file system takes more than {ByteName.MaxLength}");
        }
    }

    private static bool TryOctal(string text, out uint number)
    {
        number = 0;
        foreach (char digit in text)
        {
            number = (number << 3) | (uint)(digit - '0');
        }

        return text.Length is > 0 and <= 6 && text.All(digit => digit is >= '0' and <= '7');
    }
}
