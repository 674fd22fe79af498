using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Aot.Overlay;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>An overlay without a mount, over a dir: tree whose source is watched, and below a plain folder if wanted.</summary>
internal sealed unsafe class OverlayInProcess : IDisposable
{
    private static readonly Caller s_root = new(0, 0, 1, 0x12);

    private readonly DicfuseFolder _upper = new();
    private readonly FdCache _fds = new(64);
    private readonly DirectoryLayer? _changes;

    /// <param name="source">The folder of the tree.</param>
    /// <param name="between">A plain folder between the tree and the upper, or null.</param>
    /// <param name="edit">Changes what listings of the tree's source say.</param>
    public OverlayInProcess(DicfuseFolder source, DicfuseFolder? between = null, Action<DicfuseWatchedSource.ListedNameEdit>? edit = null)
    {
        List<ILayer> lowers = [];
        DicfuseWatchedSource? watched = null;
        if (between != null)
        {
            Check(DirectoryLayer.OpenLower("lower0", Open(between.Path), 1, _fds, new FolderOptions(), out DirectoryLayer? folder));
            lowers.Add(folder!);
        }

        Tree = source.Open((inner, _) => watched = new DicfuseWatchedSource(inner) { Edit = edit });
        lowers.Add(Tree);
        Source = watched!;
        Directory.CreateDirectory(_upper.At("upper"));
        Directory.CreateDirectory(_upper.At("work"));
        Check(DirectoryLayer.OpenUpper(
            Open(_upper.At("upper")),
            Open(_upper.At("work")),
            new UpperOptions { Volatile = true, UserXattrs = Interop.Process.Geteuid() != 0 },
            _fds,
            new FolderOptions(),
            out _changes,
            out string? problem));
        Assert.Null(problem);
        Check(OverlayFs.Open(new OverlayOptions { Lowers = lowers, Upper = _changes }, out OverlayFs? fs));
        Fs = fs!;
    }

    public OverlayFs Fs { get; }

    public DicfuseWatchedSource Source { get; }

    /// <summary>The lowest layer.</summary>
    public DicfuseLayer Tree { get; }

    /// <summary>The lock of the merged tree.</summary>
    public object Gate => _changes!.Gate;

    public string UpperPath => _upper.At("upper");

    public static void Check(Errno error) => DicfuseFolder.Check(error);

    public Errno TryLookup(ulong parent, string name, out ulong id, out stat attributes)
    {
        EntryReply reply = default;
        Errno error = Fs.Lookups.Lookup(s_root, parent, Name(name), ref reply);
        id = reply.NodeId;
        attributes = reply.Attributes;
        return error == Errno.None && id == NodeId.None ? Errno.ENOENT : error;
    }

    public ulong Lookup(string path)
    {
        ulong id = NodeId.Root;
        foreach (string name in path.Split('/'))
        {
            Check(TryLookup(id, name, out id, out _));
        }

        return id;
    }

    public Errno Write(ulong id, string text, ulong offset = 0)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        fixed (byte* data = bytes)
        {
            return Fs.Data.Write(s_root, id, offset, data, (uint)bytes.Length, null, false, false, out _);
        }
    }

    public string Read(ulong id)
    {
        byte* buffer = stackalloc byte[1000];
        Check(Fs.Data.Read(id, 0, buffer, 1000, out uint got));
        return Encoding.UTF8.GetString(buffer, (int)got);
    }

    public Errno Create(ulong parent, string name)
    {
        EntryReply reply = default;
        return Fs.Creation.Mknod(s_root, parent, Name(name), 0x1A4, 0, ref reply);
    }

    public Errno Mkdir(ulong parent, string name)
    {
        EntryReply reply = default;
        return Fs.Creation.Mkdir(s_root, parent, Name(name), 0x1ED, ref reply);
    }

    public Errno Tmpfile(ulong parent)
    {
        EntryReply reply = default;
        return Fs.Creation.Tmpfile(s_root, parent, 0x1A4, 0, ref reply);
    }

    public Errno Link(ulong id, ulong parent, string name)
    {
        EntryReply reply = default;
        return Fs.Creation.Link(s_root, id, parent, Name(name), ref reply);
    }

    public Errno Unlink(ulong parent, string name) => Fs.Removal.Unlink(parent, Name(name));

    public Errno Rmdir(ulong parent, string name) => Fs.Removal.Rmdir(parent, Name(name));

    public Errno Rename(ulong parent, string name, ulong newParent, string newName, uint flags = 0) =>
        Fs.Renames.Rename(s_root, parent, Name(name), newParent, Name(newName), flags);

    public Errno Chmod(ulong id, uint mode, out stat attributes)
    {
        stat result;
        Errno error = Fs.Attributes.Setattr(s_root, id, new SetattrRequest { Fields = SetattrFields.Mode, Mode = mode }, &result);
        attributes = result;
        return error;
    }

    public Errno Getattr(ulong id, out stat attributes)
    {
        stat result;
        Errno error = Fs.Attributes.Getattr(id, &result);
        attributes = result;
        return error;
    }

    public Errno Setxattr(ulong id, string name, string value)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(value + "\0");
        fixed (byte* data = bytes)
        {
            return Fs.Xattrs.Setxattr(s_root, id, (byte*)DicfuseFolder.Text(name), data, (nuint)bytes.Length - 1, 0);
        }
    }

    public Errno Removexattr(ulong id, string name) => Fs.Xattrs.Removexattr(id, (byte*)DicfuseFolder.Text(name));

    public Errno Getxattr(ulong id, string name, out string value)
    {
        byte* buffer = stackalloc byte[300];
        Errno error = Fs.Xattrs.Getxattr(id, (byte*)DicfuseFolder.Text(name), buffer, 300, out int length);
        value = error == Errno.None ? Encoding.UTF8.GetString(buffer, length) : "";
        return error;
    }

    public Errno Readlink(ulong id, out string target)
    {
        byte* buffer = stackalloc byte[4096];
        Errno error = Fs.Attributes.Readlink(id, buffer, 4096, out int length);
        target = Encoding.UTF8.GetString(buffer, length);
        return error;
    }

    /// <summary>The first request of a listing that goes no further.</summary>
    public Errno Begin(ulong id)
    {
        Taken taken = new() { Room = 3 };
        return Fs.Directories.Readdir(id, 0, false, &Taken.Add, &taken, out _);
    }

    /// <summary>How the end of the last listing was to be told.</summary>
    public ListingEnd LastEnd { get; private set; }

    /// <summary>Lists a directory, a few entries a request.</summary>
    public Errno List(ulong id, bool plus, out List<(string Name, ulong Id, stat Attributes)> entries, int each = 3)
    {
        List<(string, ulong, stat)> all = [];
        entries = all;
        ulong cookie = 0;
        while (true)
        {
            Taken taken = new() { Room = each };
            Errno error = Fs.Directories.Readdir(id, cookie, plus, &Taken.Add, &taken, out ListingEnd end);
            for (int i = 0; i < taken.Count; i++)
            {
                DirectoryItem item = taken[i];
                cookie = item.NextCookie;
                all.Add((Encoding.UTF8.GetString(item.Name.Span), item.NodeId, item.Attributes));
            }

            if (taken.Count == 0)
            {
                LastEnd = end;
                return error;
            }
        }
    }

    public void Dispose()
    {
        // The cache writes into the layers' nodes when it ends.
        _fds.Dispose();
        Fs.Dispose();
        _upper.Dispose();
    }

    /// <summary>A name; its bytes live as long as the test process.</summary>
    public static ByteName Name(string name) => ByteName.FromNulTerminated((byte*)DicfuseFolder.Text(name));

    private static int Open(string path)
    {
        Check(Interop.Fd.Open((byte*)DicfuseFolder.Text(path), Fcntl.O_RDONLY | Fcntl.O_DIRECTORY | Fcntl.O_CLOEXEC, 0, out int fd));
        return fd;
    }

    private struct Taken
    {
        public int Room;
        public int Count;
        private DirectoryItem _first;
        private DirectoryItem _second;
        private DirectoryItem _third;

        public readonly DirectoryItem this[int index] => index switch { 0 => _first, 1 => _second, _ => _third };

        public static bool Add(void* context, DirectoryItem* item)
        {
            var taken = (Taken*)context;
            if (taken->Count == taken->Room)
            {
                return false;
            }

            switch (taken->Count++)
            {
                case 0:
                    taken->_first = *item;
                    break;
                case 1:
                    taken->_second = *item;
                    break;
                default:
                    taken->_third = *item;
                    break;
            }

            return true;
        }
    }
}
