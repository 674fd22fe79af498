using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>Attributes, links of both kinds, extended attributes.</summary>
public sealed unsafe class DicfuseAttributesTests
{
    [Fact]
    public void Attributes_are_those_of_the_source()
    {
        using DicfuseFolder folder = new();
        Directory.CreateDirectory(folder.At("directory/sub"));
        folder.Write("file", 12_345);
        fixed (byte* file = "file\0"u8)
        {
            DicfuseFolder.Check(Attributes.Fchmodat(folder.Fd, file, StatMode.S_ISUID | StatMode.S_IRWXU | StatMode.S_IXOTH, 0));
        }

        DicfuseAsk.SetMtime(folder.At("file"), -5, 123_456_789);
        File.CreateSymbolicLink(folder.At("link"), "some/target");
        fixed (byte* fifo = "fifo\0"u8, socket = "socket\0"u8)
        {
            DicfuseFolder.Check(PathOps.Mknodat(folder.Fd, fifo, StatMode.S_IFIFO | 0x180, 0));
            DicfuseFolder.Check(PathOps.Mknodat(folder.Fd, socket, StatMode.S_IFSOCK | 0x180, 0));
        }

        using DicfuseLayer layer = folder.Open();
        foreach (string name in (string[])["directory", "directory/sub", "file", "link", "fifo", "socket"])
        {
            Compare(DicfuseAsk.Lstat(folder.At(name)), layer.Getattr(layer.Find(name)));
        }

        Compare(DicfuseAsk.Lstat(folder.Path), layer.Getattr(ILayer.RootNode));
        Assert.Equal(1UL, layer.Getattr(ILayer.RootNode).st_ino);
        Assert.Equal(-5, layer.Getattr(layer.Find("file")).st_mtim.tv_sec);
        Assert.Equal(FileType.Fifo, layer.TypeOf(layer.Find("fifo")));
        Assert.Equal(FileType.Socket, layer.TypeOf(layer.Find("socket")));
        stat attributes;
        Assert.Equal(Errno.ESTALE, layer.GetattrWithMapping(0, true, &attributes));
        Assert.Equal(Errno.ESTALE, layer.GetattrWithMapping(99_999, true, &attributes));
    }

    [DicfuseRootFact]
    public void Devices_have_their_number_and_a_zero_one_is_a_whiteout()
    {
        using DicfuseFolder folder = new();
        fixed (byte* zero = "zero\0"u8, block = "block\0"u8, whiteout = "whiteout\0"u8)
        {
            DicfuseFolder.Check(PathOps.Mknodat(folder.Fd, zero, StatMode.S_IFCHR | 0x1B6, (1 << 8) | 5));
            DicfuseFolder.Check(PathOps.Mknodat(folder.Fd, block, StatMode.S_IFBLK | 0x1B6, (7 << 8) | 3));
            DicfuseFolder.Check(PathOps.Mknodat(folder.Fd, whiteout, StatMode.S_IFCHR, 0));
        }

        using DicfuseLayer layer = folder.Open();
        Assert.Equal(FileType.CharDevice, layer.TypeOf(layer.Find("zero")));
        Assert.Equal(FileType.BlockDevice, layer.TypeOf(layer.Find("block")));
        Assert.Equal(FileType.Whiteout, layer.TypeOf(layer.Find("whiteout")));
        Compare(DicfuseAsk.Lstat(folder.At("zero")), layer.Getattr(layer.Find("zero")));
        Compare(DicfuseAsk.Lstat(folder.At("block")), layer.Getattr(layer.Find("block")));
        Assert.Equal(
            [FileType.BlockDevice, FileType.Whiteout, FileType.CharDevice],
            layer.List(ILayer.RootNode).Select(entry => entry.Entry.Type));
        Assert.Equal(Errno.EINVAL, layer.TryRead(layer.Find("zero"), 0, new byte[1], out _));
    }

    [DicfuseRootFact]
    public void Owners_are_kept_and_mapped_for_the_kernel_only()
    {
        using DicfuseFolder folder = new();
        folder.Write("file", 1);
        fixed (byte* name = "file\0"u8)
        {
            DicfuseFolder.Check(Attributes.Fchownat(folder.Fd, name, 1234, 70_000, 0));
        }

        using DicfuseLayer layer = folder.Open(new DicfuseOptions { Uids = new IdMap([new(5, 1200, 100)]), Gids = new IdMap([new(0, 70_000, 1)]) });
        uint file = layer.Find("file");
        stat shown = layer.Getattr(file, mapping: true);
        stat kept = layer.Getattr(file, mapping: false);
        Assert.Equal((39u, 0u), (shown.st_uid, shown.st_gid));
        Assert.Equal((1234u, 70_000u), (kept.st_uid, kept.st_gid));
    }

    [Fact]
    public void A_sparse_file_above_4_gib_keeps_size_and_blocks()
    {
        using DicfuseFolder folder = new();
        const long Size = (5L << 30) + 17;
        using (FileStream file = File.Create(folder.At("sparse")))
        {
            file.SetLength(Size);
            file.Position = Size - 4;
            file.Write("tail"u8);
        }

        using DicfuseLayer layer = folder.Open();
        uint node = layer.Find("sparse");
        stat attributes = layer.Getattr(node);
        Assert.Equal(Size, attributes.st_size);
        Assert.Equal(DicfuseAsk.Lstat(folder.At("sparse")).st_blocks, attributes.st_blocks);
        Assert.Equal("\0\0tail"u8.ToArray(), layer.Read(node, Size - 6, 100));
        Assert.Equal(new byte[1000], layer.Read(node, (4UL << 30) - 500, 1000));
        Assert.Empty(layer.Read(node, Size, 10));
        Assert.Empty(layer.Read(node, ulong.MaxValue, 10));
    }

    [Fact]
    public void Link_targets_are_read_once_and_may_be_4095_bytes()
    {
        using DicfuseFolder folder = new();
        string longest = string.Concat(Enumerable.Repeat("t/", 2047)) + "é"[..0] + "e";
        Assert.Equal(4095, longest.Length);
        File.CreateSymbolicLink(folder.At("longest"), longest);
        File.CreateSymbolicLink(folder.At("short"), "x");
        folder.Write("file", 1);
        using DicfuseLayer layer = folder.Open();
        uint link = layer.Find("longest");
        Assert.Equal(longest, layer.Readlink(link));
        Assert.Equal("x", layer.Readlink(layer.Find("short")));
        File.Delete(folder.At("longest"));
        Assert.Equal(longest, layer.Readlink(link));
        byte* buffer = stackalloc byte[16];
        Assert.Equal(Errno.EINVAL, layer.Readlink(layer.Find("file"), buffer, 16, out _));
        Assert.Equal(Errno.ERANGE, layer.Readlink(link, buffer, 16, out _));
    }

    [Fact]
    public void A_link_that_was_replaced_before_it_was_read_is_eio()
    {
        using DicfuseFolder folder = new();
        File.CreateSymbolicLink(folder.At("link"), "first");
        using DicfuseLayer layer = folder.Open();
        uint link = layer.Find("link");
        layer.Getattr(link);
        File.Delete(folder.At("link"));
        File.CreateSymbolicLink(folder.At("link"), "other");
        DicfuseAsk.SetMtime(folder.At("link"), 1_000_000, 0);
        byte* buffer = stackalloc byte[4096];
        Assert.Equal(Errno.EIO, layer.Readlink(link, buffer, 4096, out _));
        Assert.Equal("source changed: link", Diagnostics.Failure.Call);
    }

    [Fact]
    public void Names_of_one_object_share_a_node_wherever_they_are()
    {
        using DicfuseFolder folder = new();
        Directory.CreateDirectory(folder.At("a"));
        Directory.CreateDirectory(folder.At("b"));
        folder.Write("a/one", 100);
        folder.Write("a/alone", 100);
        Link(folder, "a/one", "a/two");
        Link(folder, "a/one", "b/three");
        DicfuseWatchedSource? source = null;
        using DicfuseLayer layer = folder.Open((inner, _) => source = new DicfuseWatchedSource(inner));

        uint one = layer.Find("a/one");
        uint a = layer.Find("a");
        Assert.Equal(one, layer.Find("a/two"));
        Assert.Equal([$"{a}/one", $"{a}/two"], layer.Names(one));
        // The listing told that the two are one; only these were asked for their attributes.
        Assert.Equal(2, source!.Stats);
        Assert.Equal(one, layer.Find("b/three"));
        uint b = layer.Find("b");
        Assert.Equal(new[] { $"{a}/one", $"{a}/two", $"{b}/three" }.Order(StringComparer.Ordinal), layer.Names(one));
        Assert.Equal(3UL, layer.Getattr(one).st_nlink);
        Assert.NotEqual(one, layer.Find("a/alone"));
        Assert.Equal([$"{a}/alone"], layer.Names(layer.Find("a/alone")));
        foreach (var (name, entry) in layer.List(a).Concat(layer.List(b)))
        {
            Assert.Equal(layer.Getattr(entry.Node).st_ino, entry.StIno);
            Assert.Equal(Encoding.UTF8.GetString(name) != "alone", entry.Node == one);
        }
    }

    /// <summary>
    /// While one directory asks for the attributes of names that it suspects, another one finds a name of the first, not yet published,
    /// to be one of its own: the ring of that object's names must stay.
    /// </summary>
    [Fact]
    public void Names_joined_by_another_directory_while_the_first_is_loading_stay_joined()
    {
        using DicfuseFolder folder = new();
        Directory.CreateDirectory(folder.At("a"));
        Directory.CreateDirectory(folder.At("b"));
        folder.Write("a/0", 1);
        Link(folder, "a/0", "a/1");
        folder.Write("a/x", 2);
        Link(folder, "a/x", "b/z");
        DicfuseWatchedSource? source = null;
        using DicfuseLayer layer = folder.Open((inner, _) => source = new DicfuseWatchedSource(inner));
        uint a = layer.Find("a");
        uint b = layer.Find("b");
        using ManualResetEventSlim reached = new(), goOn = new();
        source!.OnStat = _ =>
        {
            source.OnStat = null;
            reached.Set();
            Assert.True(goOn.Wait(60_000));
        };
        Thread first = new(() => layer.Find("a/0"));
        first.Start();
        Assert.True(reached.Wait(60_000));
        uint z = layer.Find("b/z");
        goOn.Set();
        first.Join();
        Assert.Equal(layer.Find("a/x"), z);
        Assert.Equal([$"{a}/x", $"{b}/z"], layer.Names(z));
        Assert.Equal([$"{a}/0", $"{a}/1"], layer.Names(layer.Find("a/1")));
    }

    [Fact]
    public void A_wrong_suspicion_of_the_listing_joins_nothing()
    {
        using DicfuseFolder folder = new();
        folder.Write("a", 1);
        folder.Write("b", 2);
        using DicfuseLayer layer = folder.Open((inner, _) => new DicfuseWatchedSource(inner) { Edit = item => item.Inode = 42 });
        Assert.NotEqual(layer.Find("a"), layer.Find("b"));
        Assert.Equal(1, layer.Getattr(layer.Find("a")).st_size);
        Assert.Equal(2, layer.Getattr(layer.Find("b")).st_size);
        Assert.Single(layer.Names(layer.Find("a")));
    }

    [Fact]
    public void Names_are_joined_by_their_attributes_where_the_listing_tells_wrong_numbers()
    {
        using DicfuseFolder folder = new();
        folder.Write("a", 1);
        Link(folder, "a", "b");
        Link(folder, "a", "c");
        ulong next = 1_000_000;
        using DicfuseLayer layer = folder.Open((inner, _) => new DicfuseWatchedSource(inner) { Edit = item => item.Inode = next++ });
        uint first = layer.Find("a");
        uint late = layer.Find("b");
        Assert.NotEqual(first, late);
        ulong number = layer.Getattr(first).st_ino;
        // Asked for its attributes, the second name's node is known for the same object.
        Assert.Equal(number, layer.Getattr(late).st_ino);
        Assert.Equal((first, first), (layer.ObjectOf(late), layer.Find("b")));
        // No listing is believed any more: it tells no number for a name that was not asked.
        Assert.Equal([number, number, 0UL], layer.List(ILayer.RootNode).Select(entry => entry.Entry.StIno));
        uint third = layer.Find("c");
        Assert.False(layer.IsLoaded(third, LayerPart.Attributes));
        DicfuseFolder.Check(layer.Load(third, LayerPart.Attributes));
        Assert.True(layer.IsLoaded(third, LayerPart.Attributes));
        Assert.Equal((first, first), (layer.ObjectOf(third), layer.Find("c")));
        Assert.Equal(["1/a", "1/b", "1/c"], layer.Names(late));
        Assert.Equal(layer.Read(first, 0, 9), layer.Read(late, 0, 9));
        Assert.All(layer.List(ILayer.RootNode), entry => Assert.Equal((first, number), (entry.Entry.Node, entry.Entry.StIno)));
    }

    [Fact]
    public void Eight_threads_agree_on_the_node_of_many_names()
    {
        using DicfuseFolder folder = new();
        folder.Write("n000", 1);
        for (int i = 1; i < 64; i++)
        {
            Link(folder, "n000", $"n{i:000}");
        }

        ulong next = 1_000_000;
        using DicfuseLayer layer = folder.Open((inner, _) => new DicfuseWatchedSource(inner) { Edit = item => item.Inode = next++ });
        Assert.Equal(64, layer.List(ILayer.RootNode).Count);
        using Barrier together = new(8);
        Thread[] threads = [.. Enumerable.Range(0, 8).Select(index => new Thread(() =>
        {
            together.SignalAndWait();
            for (int i = 0; i < 64; i++)
            {
                layer.Getattr(layer.Find($"n{((i * 7) + (index * 8)) % 64:000}"));
            }
        }))];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        Assert.Single(layer.List(ILayer.RootNode).Select(entry => entry.Entry.Node).Distinct());
        Assert.Equal(64, layer.Names(layer.Find("n000")).Count);
    }

    /// <summary>The first name is known for the object a moment before its own attributes are there: nobody may see what stands in their place.</summary>
    [Fact]
    public void A_further_name_shows_no_attributes_before_the_first_has_them()
    {
        using DicfuseFolder folder = new();
        int pairs = Support.TestEnvironment.Short ? 500 : 2000;
        Directory.CreateDirectory(folder.At("a"));
        Directory.CreateDirectory(folder.At("b"));
        for (int i = 0; i < pairs; i++)
        {
            folder.Write($"a/{i}", 3);
            Link(folder, $"a/{i}", $"b/{i}");
        }

        ulong next = 1_000_000;
        using DicfuseLayer layer = folder.Open((inner, _) => new DicfuseWatchedSource(inner) { Edit = item => item.Inode = next++ });
        uint[][] nodes = [.. ((string[])["a", "b"]).Select(name => Enumerable.Range(0, pairs).Select(i => layer.Find($"{name}/{i}")).ToArray())];
        int turn = 0;
        long wrong = 0;
        Thread[] threads = [.. nodes.Select(names => new Thread(() =>
        {
            for (int i = 0; i < pairs; i++)
            {
                // Both ask for names of one object at the same moment.
                Interlocked.Increment(ref turn);
                for (int spins = 0; Volatile.Read(ref turn) < (i + 1) * 2; spins++)
                {
                    if (spins > 1000)
                    {
                        Thread.Yield();
                    }
                }

                if (layer.Getattr(names[i]).st_size != 3)
                {
                    Interlocked.Increment(ref wrong);
                }
            }
        }))];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        Assert.Equal(0, wrong);
    }

    [Fact]
    public void Extended_attributes_kept_for_copy_up_are_the_sources()
    {
        using DicfuseFolder folder = new();
        Directory.CreateDirectory(folder.At("with"));
        Directory.CreateDirectory(folder.At("private"));
        Directory.CreateDirectory(folder.At("without"));
        SetXattr(folder, "with", "user.a", "one");
        SetXattr(folder, "with", "user.overlay.opaque", "y");
        SetXattr(folder, "with", "user.empty", "");
        SetXattr(folder, "with", "user.long", new string('x', 3000));
        SetXattr(folder, "private", "user.overlay.opaque", "y");
        DicfuseWatchedSource? source = null;
        using DicfuseLayer layer = folder.Open((inner, _) => source = new DicfuseWatchedSource(inner));
        string[] names = ["with", "private", "without"];
        uint[] nodes = [.. names.Select(layer.Find)];
        string before = ListXattr(layer, nodes[0], 100).Names;
        Assert.All(nodes, node => Assert.Equal(Errno.None, layer.Load(node, LayerPart.Xattrs)));
        Assert.All(nodes, node => Assert.True(layer.IsLoaded(node, LayerPart.Xattrs)));
        int asked = source!.XattrCalls;
        Assert.Equal((Errno.None, before), ListXattr(layer, nodes[0], 100));
        Assert.Equal((Errno.None, before.Length.ToString()), ListXattr(layer, nodes[0], 0));
        Assert.Equal(Errno.ERANGE, ListXattr(layer, nodes[0], 5).Error);
        Assert.Equal((Errno.None, "one"), GetXattr(layer, nodes[0], "user.a", 100));
        Assert.Equal((Errno.None, "3"), GetXattr(layer, nodes[0], "user.a", 0));
        Assert.Equal(Errno.ERANGE, GetXattr(layer, nodes[0], "user.a", 2).Error);
        Assert.Equal((Errno.None, ""), GetXattr(layer, nodes[0], "user.empty", 100));
        Assert.Equal((Errno.None, new string('x', 3000)), GetXattr(layer, nodes[0], "user.long", 4000));
        Assert.Equal(Errno.ENODATA, GetXattr(layer, nodes[0], "user.overlay.opaque", 100).Error);
        Assert.Equal(Errno.ENODATA, GetXattr(layer, nodes[0], "user.none", 100).Error);
        foreach (uint node in nodes[1..])
        {
            Assert.Equal((Errno.None, ""), ListXattr(layer, node, 100));
            Assert.Equal(Errno.ENODATA, GetXattr(layer, node, "user.a", 100).Error);
        }

        Assert.Equal(asked, source.XattrCalls);
    }

    [Fact]
    public void Extended_attributes_pass_without_the_overlays_own_and_none_is_remembered()
    {
        using DicfuseFolder folder = new();
        folder.Write("with", 1);
        folder.Write("without", 1);
        Directory.CreateDirectory(folder.At("directory"));
        SetXattr(folder, "with", "user.note", "hello");
        SetXattr(folder, "with", "user.overlay.opaque", "y");
        SetXattr(folder, "directory", "user.d", "");
        DicfuseWatchedSource? source = null;
        using DicfuseLayer layer = folder.Open((inner, _) => source = new DicfuseWatchedSource(inner));

        uint with = layer.Find("with");
        Assert.Equal((Errno.None, "hello"), GetXattr(layer, with, "user.note", 100));
        Assert.Equal((Errno.None, "5"), GetXattr(layer, with, "user.note", 0));
        Assert.Equal(Errno.ERANGE, GetXattr(layer, with, "user.note", 3).Error);
        Assert.Equal(Errno.ENODATA, GetXattr(layer, with, "user.none", 3).Error);
        Assert.Equal(Errno.ENODATA, GetXattr(layer, with, "user.overlay.opaque", 9).Error);
        Assert.Equal(Errno.ENODATA, GetXattr(layer, with, "trusted.overlay.opaque", 9).Error);
        Assert.Equal((Errno.None, "user.note\0"), ListXattr(layer, with, 100));
        Assert.Equal((Errno.None, "10"), ListXattr(layer, with, 0));
        Assert.Equal(Errno.ERANGE, ListXattr(layer, with, 5).Error);
        Assert.Equal((Errno.None, ""), GetXattr(layer, layer.Find("directory"), "user.d", 10));

        uint without = layer.Find("without");
        Assert.Equal(Errno.ENODATA, GetXattr(layer, without, "user.a", 3).Error);
        int asked = source!.XattrCalls;
        Assert.Equal(Errno.ENODATA, GetXattr(layer, without, "user.b", 3).Error);
        Assert.Equal((Errno.None, ""), ListXattr(layer, without, 10));
        Assert.Equal(asked, source.XattrCalls);
    }

    [DicfuseRootFact]
    public void Extended_attributes_of_links_and_fifos_are_theirs()
    {
        using DicfuseFolder folder = new();
        folder.Write("file", 1);
        File.CreateSymbolicLink(folder.At("link"), "file");
        fixed (byte* fifo = "fifo\0"u8)
        {
            DicfuseFolder.Check(PathOps.Mknodat(folder.Fd, fifo, StatMode.S_IFIFO | 0x180, 0));
        }

        SetXattr(folder, "file", "trusted.of", "file");
        SetXattr(folder, "link", "trusted.of", "link");
        SetXattr(folder, "fifo", "trusted.of", "fifo");
        SetXattr(folder, "fifo", "trusted.overlay.x", "private");
        using DicfuseLayer layer = folder.Open();
        foreach (string name in (string[])["file", "link", "fifo"])
        {
            Assert.Equal((Errno.None, name), GetXattr(layer, layer.Find(name), "trusted.of", 10));
            Assert.Equal((Errno.None, "trusted.of\0"), ListXattr(layer, layer.Find(name), 100));
        }
    }

    private static void Compare(stat source, stat shown)
    {
        bool device = FileTypes.FromMode(source.st_mode) is FileType.CharDevice or FileType.BlockDevice;
        Assert.Equal(source.st_mode, shown.st_mode);
        Assert.Equal(source.st_nlink, shown.st_nlink);
        Assert.Equal((source.st_uid, source.st_gid), (shown.st_uid, shown.st_gid));
        Assert.Equal(device ? source.st_rdev : 0, shown.st_rdev);
        Assert.Equal(source.st_size, shown.st_size);
        Assert.Equal(0UL, shown.st_dev);
        foreach (timespec time in (timespec[])[shown.st_mtim, shown.st_ctim, shown.st_atim])
        {
            Assert.Equal((source.st_mtim.tv_sec, source.st_mtim.tv_nsec), (time.tv_sec, time.tv_nsec));
        }
    }

    private static void Link(DicfuseFolder folder, string old, string added) =>
        DicfuseFolder.Check(PathOps.Linkat(
            folder.Fd, (byte*)DicfuseFolder.Text(old), folder.Fd, (byte*)DicfuseFolder.Text(added), 0));

    private static void SetXattr(DicfuseFolder folder, string path, string name, string value)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(value + "\0");
        fixed (byte* pointer = bytes)
        {
            DicfuseFolder.Check(Xattrs.Lsetxattr(
                (byte*)DicfuseFolder.Text(folder.At(path)), (byte*)DicfuseFolder.Text(name), pointer, (nuint)bytes.Length - 1, 0));
        }
    }

    private static (Errno Error, string Value) GetXattr(ILayer layer, uint node, string name, int size)
    {
        byte* value = stackalloc byte[size + 1];
        Errno error = layer.Getxattr(node, (byte*)DicfuseFolder.Text(name), value, (nuint)size, out int length);
        return (error, error != Errno.None ? "" : size == 0 ? length.ToString() : Encoding.UTF8.GetString(value, length));
    }

    private static (Errno Error, string Names) ListXattr(ILayer layer, uint node, int size)
    {
        byte* list = stackalloc byte[size + 1];
        Errno error = layer.Listxattr(node, list, (nuint)size, out int length);
        return (error, error != Errno.None ? "" : size == 0 ? length.ToString() : Encoding.UTF8.GetString(list, length));
    }
}
