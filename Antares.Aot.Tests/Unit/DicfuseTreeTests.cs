using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse;
using Antares.Aot.Dicfuse.Tree;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>Names: finding and listing them, loading directories.</summary>
public sealed unsafe class DicfuseTreeTests
{
    [Fact]
    public void Names_are_found_and_listed_as_the_folder_has_them()
    {
        using DicfuseFolder folder = new();
        Directory.CreateDirectory(folder.At("sub/empty"));
        folder.Write("sub/b", 3);
        folder.Write("sub/a", 0);
        File.CreateSymbolicLink(folder.At("sub/link"), "a");
        using DicfuseLayer layer = folder.Open();

        Assert.True(layer.IsReadOnly);
        uint sub = layer.Find("sub");
        Assert.Equal(FileType.Directory, layer.TypeOf(sub));
        var entries = layer.List(sub);
        Assert.Equal(["a", "b", "empty", "link"], entries.Select(entry => Encoding.UTF8.GetString(entry.Name)));
        Assert.Equal([1UL, 2, 3, 4], entries.Select(entry => entry.Entry.Cookie));
        Assert.Equal(
            [FileType.Regular, FileType.Regular, FileType.Directory, FileType.Symlink], entries.Select(entry => entry.Entry.Type));
        foreach (var (name, entry) in entries)
        {
            DicfuseFolder.Check(layer.TryFind(sub, name, out uint node));
            Assert.Equal(entry.Node, node);
            Assert.Equal(entry.StIno, layer.Getattr(node).st_ino);
        }

        Assert.Empty(layer.List(layer.Find("sub/empty")));
        Assert.Equal(Errno.ENOENT, layer.TryFind(sub, "c"u8, out uint none));
        Assert.Equal(0u, none);
        Assert.Equal(Errno.ENOENT, layer.TryFind(layer.Find("sub/empty"), "a"u8, out _));
        Assert.Equal(Errno.ENOTDIR, layer.TryFind(layer.Find("sub/a"), "a"u8, out _));
        Assert.Equal(Errno.ESTALE, layer.TryFind(1_000_000, "a"u8, out _));
        Assert.Equal(Errno.ENOTDIR, layer.Next(layer.Find("sub/a"), 0, out _));
        DicfuseFolder.Check(layer.Merging(sub, out bool opaque, null, 0, out int redirect));
        Assert.False(opaque);
        Assert.Equal(0, redirect);
    }

    [Fact]
    public void Any_byte_but_nul_and_slash_makes_a_name()
    {
        using DicfuseFolder folder = new();
        List<byte[]> names = [];
        for (int value = 1; value < 256; value++)
        {
            if (value != '/')
            {
                names.Add([(byte)value, (byte)'x']);
            }
        }

        names.Add([0xFF, 0xFE, 0xC0, 0x80]);
        names.Add([.. Enumerable.Repeat((byte)0xE9, 255)]);
        names.Add([.. Enumerable.Repeat((byte)'n', 255)]);
        names.Add([.. Enumerable.Repeat((byte)'n', 254)]);
        foreach (byte[] name in names)
        {
            fixed (byte* pointer = (byte[])[.. name, 0])
            {
                DicfuseFolder.Check(PathOps.Mknodat(folder.Fd, pointer, StatMode.S_IFREG | 0x1A4, 0));
            }
        }

        using DicfuseLayer layer = folder.Open();
        names.Sort((a, b) => a.AsSpan().SequenceCompareTo(b));
        Assert.Equal(names, layer.List(ILayer.RootNode).Select(entry => entry.Name));
        foreach (byte[] name in names)
        {
            DicfuseFolder.Check(layer.TryFind(ILayer.RootNode, name, out uint node));
            Assert.Equal(0, layer.Getattr(node).st_size);
            uint cursor = 0;
            Assert.True(layer.NextName(node, ref cursor, out uint directory, out ByteName back));
            Assert.Equal(ILayer.RootNode, directory);
            Assert.Equal(name, back.Span.ToArray());
            Assert.False(layer.NextName(node, ref cursor, out _, out _));
        }
    }

    [Fact]
    public void A_directory_of_very_many_names_is_indexed_and_whole()
    {
        using DicfuseFolder folder = new();
        int count = Support.TestEnvironment.Short ? 20_000 : 100_000;
        for (int i = 0; i < count; i++)
        {
            fixed (byte* pointer = Encoding.UTF8.GetBytes($"entry-{i}\0"))
            {
                DicfuseFolder.Check(PathOps.Mknodat(folder.Fd, pointer, StatMode.S_IFREG | 0x1A4, 0));
            }
        }

        using DicfuseLayer layer = folder.Open();
        var all = layer.List(ILayer.RootNode);
        Assert.Equal(count, all.Count);
        Assert.Equal(count, all.Select(entry => entry.Entry.StIno).Distinct().Count());
        Assert.Equal(count + 1, layer.NodeCount);
        NodeRecord* root = layer.Tree.Store[ILayer.RootNode];
        Assert.True(root->Has(NodeFlags.Indexed));
        int agreed = 0;
        for (int i = 0; i < count; i++)
        {
            byte[] name = Encoding.UTF8.GetBytes($"entry-{i}\0");
            fixed (byte* pointer = name)
            {
                ByteName byteName = new(pointer, name.Length - 1);
                // The index and the binary search agree.
                bool found = layer.Find(ILayer.RootNode, byteName, out uint node) == Errno.None;
                long position = NameIndex.Search(layer.Tree.Store, layer.Tree.Store[root->Body], (uint)count, byteName);
                agreed += found && position == node - root->Body ? 1 : 0;
            }
        }

        Assert.Equal(count, agreed);

        Assert.Equal(Errno.ENOENT, layer.TryFind(ILayer.RootNode, "entry-"u8, out _));
        Assert.Equal(Errno.ENOENT, layer.TryFind(ILayer.RootNode, "entry-x"u8, out _));
        Assert.Equal(1, layer.DirectoryLoads);
        Assert.Equal(0, layer.AttributeLoads);
    }

    [Theory]
    [InlineData(64)]
    [InlineData(1)]
    public void A_path_longer_than_4096_bytes_is_reached(int fdCapacity)
    {
        using DicfuseFolder folder = new();
        const int Depth = 700;
        byte[] component = [.. Encoding.UTF8.GetBytes("level-of-a-deep-path"), 0];
        DicfuseFolder.Check(Fd.DupCloexec(folder.Fd, out int at));
        fixed (byte* name = component)
        {
            for (int i = 0; i < Depth; i++)
            {
                DicfuseFolder.Check(PathOps.Mkdirat(at, name, 0x1ED));
                DicfuseFolder.Check(Fd.Openat(at, name, Fcntl.O_PATH | Fcntl.O_DIRECTORY | Fcntl.O_CLOEXEC, 0, out int next));
                Fd.Close(at);
                at = next;
            }

            fixed (byte* file = "file\0"u8)
            {
                DicfuseFolder.Check(Fd.Openat(at, file, Fcntl.O_CREAT | Fcntl.O_WRONLY | Fcntl.O_CLOEXEC, 0x1A4, out int fd));
                DicfuseFolder.Check(FileIo.WriteFull(fd, name, 5, 0));
                Fd.Close(fd);
            }
        }

        Fd.Close(at);
        using DicfuseLayer layer = folder.Open(new DicfuseOptions { FdCapacity = fdCapacity });
        uint node = ILayer.RootNode;
        for (int i = 0; i < Depth; i++)
        {
            DicfuseFolder.Check(layer.TryFind(node, "level-of-a-deep-path"u8, out node));
            Assert.InRange(layer.OpenFds, 0, fdCapacity);
        }

        DicfuseFolder.Check(layer.TryFind(node, "file"u8, out uint deepest));
        Assert.Equal(5, layer.Getattr(deepest).st_size);
        Assert.Equal("level"u8.ToArray(), layer.Read(deepest, 0, 10));
        // From the top again: everything in between was given up, at least with one descriptor.
        Assert.Equal(Depth, CountDown(layer));
        Assert.InRange(layer.OpenFds, 0, fdCapacity);
    }

    [Fact]
    public void Looking_one_name_up_stats_no_sibling_and_a_listing_stats_nobody()
    {
        using DicfuseFolder folder = new();
        for (int i = 0; i < 50; i++)
        {
            folder.Write($"file{i}", 10);
        }

        DicfuseWatchedSource? source = null;
        using DicfuseLayer layer = folder.Open((inner, _) => source = new DicfuseWatchedSource(inner));
        uint node = layer.Find("file7");
        Assert.Equal((1, 0), (source!.Lists, source.Stats));
        Assert.Equal(50, layer.List(ILayer.RootNode).Count);
        Assert.Equal((1, 0), (source.Lists, source.Stats));
        layer.Getattr(node);
        layer.Getattr(node);
        // The root's own attributes came with its listing.
        layer.Getattr(ILayer.RootNode);
        Assert.Equal((1, 1), (source.Lists, source.Stats));
        Assert.Equal(1, layer.AttributeLoads);
    }

    [Fact]
    public void Eight_threads_that_touch_one_directory_load_it_once()
    {
        using DicfuseFolder folder = new();
        for (int i = 0; i < 300; i++)
        {
            folder.Write($"file{i:000}", 1);
        }

        DicfuseWatchedSource? source = null;
        using DicfuseLayer layer = folder.Open((inner, _) => source = new DicfuseWatchedSource(inner) { ListDelayMs = 50 });
        uint[] found = new uint[8];
        using Barrier together = new(8);
        Thread[] threads = [.. Enumerable.Range(0, 8).Select(index => new Thread(() =>
        {
            together.SignalAndWait();
            found[index] = layer.Find("file123");
            layer.Getattr(found[index]);
        }))];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        Assert.Equal((1, 1), (source!.Lists, source.Stats));
        Assert.Single(found.Distinct());
        Assert.Equal(301, layer.NodeCount);
    }

    [Fact]
    public void A_directory_that_loads_slowly_is_waited_for_by_nobody_else()
    {
        const int Directories = 70;
        using DicfuseFolder folder = new();
        for (int i = 0; i < Directories; i++)
        {
            Directory.CreateDirectory(folder.At($"d{i:00}"));
            folder.Write($"d{i:00}/file", 1);
        }

        DicfuseWatchedSource? source = null;
        using DicfuseLayer layer = folder.Open((inner, _) => source = new DicfuseWatchedSource(inner));
        uint slow = layer.Find("d00");
        using ManualResetEventSlim reached = new(), goOn = new();
        source!.OnList = node =>
        {
            if (node == slow)
            {
                reached.Set();
                Assert.True(goOn.Wait(60_000));
            }
        };
        uint[] found = new uint[3];
        Thread[] waiting = [.. Enumerable.Range(0, 3).Select(index => new Thread(() => found[index] = layer.Find("d00/file")))];
        Array.ForEach(waiting, thread => thread.Start());
        Assert.True(reached.Wait(60_000));
        Thread others = new(() =>
        {
            for (int i = 1; i < Directories; i++)
            {
                layer.Getattr(layer.Find($"d{i:00}/file"));
            }
        });
        others.Start();
        bool done = others.Join(20_000);
        Assert.All(found, node => Assert.Equal(0U, node));
        goOn.Set();
        others.Join();
        Array.ForEach(waiting, thread => thread.Join());
        Assert.True(done, "another directory waited for the slow one");
        Assert.Equal(1 + Directories, source.Lists);
        Assert.NotEqual(0U, Assert.Single(found.Distinct()));
    }

    [Fact]
    public void A_failed_load_is_tried_again_and_never_taken_for_an_empty_directory()
    {
        using DicfuseFolder folder = new();
        folder.Write("file", 1);
        DicfuseWatchedSource? source = null;
        using DicfuseLayer layer =
            folder.Open((inner, _) => source = new DicfuseWatchedSource(inner) { FailingLists = 2, FailingStats = 1 });
        Assert.Equal(Errno.EIO, layer.TryFind(ILayer.RootNode, "file"u8, out _));
        Assert.Equal(Errno.EIO, layer.Next(ILayer.RootNode, 0, out _));
        DicfuseFolder.Check(layer.TryFind(ILayer.RootNode, "file"u8, out uint node));
        stat attributes;
        Assert.Equal(Errno.EIO, layer.GetattrWithMapping(node, true, &attributes));
        Assert.Equal(1, layer.Getattr(node).st_size);
    }

    [Fact]
    public void A_directory_that_is_gone_is_eio_with_the_call_that_failed()
    {
        using DicfuseFolder folder = new();
        Directory.CreateDirectory(folder.At("gone"));
        using DicfuseLayer layer = folder.Open();
        uint gone = layer.Find("gone");
        Directory.Delete(folder.At("gone"));
        Diagnostics.Failure.Clear();
        Assert.Equal(Errno.EIO, layer.TryFind(gone, "x"u8, out _));
        Assert.Equal("dicfuse", Diagnostics.Failure.Layer);
        Assert.Equal("openat2: ENOENT", Diagnostics.Failure.Call);
        // And it is no ENOENT of a name when it was replaced by a symlink that leads out.
        File.CreateSymbolicLink(folder.At("gone"), "/");
        Assert.Equal(Errno.EIO, layer.TryFind(gone, "etc"u8, out _));
    }

    [Fact]
    public void Numbers_are_the_same_in_two_instances_whatever_was_touched_first()
    {
        using DicfuseFolder folder = new();
        foreach (string path in (string[])["a/x", "a/y", "b/x", "b/deep/x"])
        {
            Directory.CreateDirectory(folder.At(path));
            folder.Write($"{path}/file", 1);
        }

        Dictionary<string, ulong> first = Numbers(folder, reverse: false);
        Assert.Equal(first, Numbers(folder, reverse: true));
        Assert.Equal(1UL, first[""]);
        Assert.Equal(first.Count, first.Values.Distinct().Count());
        Assert.DoesNotContain(first, entry => entry.Value == 0 || (entry.Value == 1 && entry.Key.Length != 0) || entry.Value >> 60 != 0);
    }

    [Fact]
    public void Colliding_numbers_of_a_tree_are_told_apart()
    {
        using DicfuseFolder folder = new();
        for (int i = 0; i < 200; i++)
        {
            Directory.CreateDirectory(folder.At($"directory{i}"));
            folder.Write($"file{i}", 1);
        }

        using DicfuseLayer layer = folder.Open((inner, _) => inner, numberMask: 255);
        var entries = layer.List(ILayer.RootNode);
        Assert.Equal(400, entries.Select(entry => entry.Entry.StIno).Distinct().Count());
        Assert.All(
            entries.Where(entry => entry.Entry.Type == FileType.Directory), entry => Assert.InRange(entry.Entry.StIno, 2UL, 255UL));
    }

    /// <summary>The names of one object show one number, before and after it is asked for, in each mount, whichever was touched first.</summary>
    [Fact]
    public void Numbers_of_hard_links_do_not_depend_on_what_was_touched_first()
    {
        using DicfuseFolder folder = new();
        string[] paths = ["a/one", "a/two", "b/three", "c/four"];
        foreach (string path in paths)
        {
            Directory.CreateDirectory(folder.At(path[..1]));
            folder.Write(path, 1);
        }

        foreach (string path in paths[1..])
        {
            File.Delete(folder.At(path));
            DicfuseFolder.Check(PathOps.Linkat(
                Fcntl.AT_FDCWD, (byte*)DicfuseFolder.Text(folder.At(paths[0])), Fcntl.AT_FDCWD, (byte*)DicfuseFolder.Text(folder.At(path)), 0));
        }

        folder.Write("b/alone", 1);
        HashSet<ulong> numbers = [];
        for (int shift = 0; shift < paths.Length; shift++)
        {
            using DicfuseLayer layer = folder.Open();
            for (int i = 0; i < paths.Length; i++)
            {
                string path = paths[(i + shift) % paths.Length];
                var listed = layer.List(layer.Find(path[..1])).Single(entry => Encoding.UTF8.GetString(entry.Name) == path[2..]);
                numbers.Add(listed.Entry.StIno);
                numbers.Add(layer.Getattr(layer.Find(path)).st_ino);
            }

            Assert.NotEqual(numbers.First(), layer.Getattr(layer.Find("b/alone")).st_ino);
        }

        Assert.Single(numbers);
    }

    [Fact]
    public void The_folder_must_be_a_folder_and_stays_the_callers_when_it_is_not()
    {
        using DicfuseFolder folder = new();
        folder.Write("file", 1);
        DicfuseFolder.Check(Fd.Open((byte*)DicfuseFolder.Text(folder.At("file")), Fcntl.O_PATH | Fcntl.O_CLOEXEC, 0, out int fd));
        Assert.Equal(Errno.ENOTDIR, DicfuseLayer.OpenFolder("dicfuse", fd, new DicfuseOptions(), out DicfuseLayer? layer));
        Assert.Null(layer);
        DicfuseFolder.Check(Fd.Close(fd));
    }

    [DicfuseMountFact]
    public void Mount_points_in_the_folder_are_crossed()
    {
        using DicfuseFolder folder = new();
        Directory.CreateDirectory(folder.At("mnt/hidden"));
        folder.Write("covered", 5);
        nint mountPoint = DicfuseFolder.Text(folder.At("mnt"));
        nint file = DicfuseFolder.Text(folder.At("covered"));
        DicfuseFolder.Check(Mounting.Mount(
            (byte*)DicfuseFolder.Text("none"), (byte*)mountPoint, (byte*)DicfuseFolder.Text("tmpfs"), 0, null));
        try
        {
            byte[] content = folder.Write("mnt/inside", 1234);
            DicfuseFolder.Check(PathOps.Linkat(
                Fcntl.AT_FDCWD, (byte*)DicfuseFolder.Text(folder.At("mnt/inside")),
                Fcntl.AT_FDCWD, (byte*)DicfuseFolder.Text(folder.At("mnt/second")), 0));
            DicfuseFolder.Check(Mounting.Mount(
                (byte*)DicfuseFolder.Text(folder.At("mnt/inside")), (byte*)file, null, MountFlags.MS_BIND, null));
            try
            {
                using DicfuseLayer layer = folder.Open();
                Assert.Equal(ILayer.RootNode + 1, layer.Find("covered"));
                Assert.Equal(["inside", "second"], layer.List(layer.Find("mnt")).Select(entry => Encoding.UTF8.GetString(entry.Name)));
                Assert.Equal(Errno.ENOENT, layer.TryFind(layer.Find("mnt"), "hidden"u8, out _));
                uint inside = layer.Find("mnt/inside");
                Assert.Equal(inside, layer.Find("mnt/second"));
                Assert.Equal(content, layer.Read(inside, 0, 2000));
                // The file that is mounted on another name is the same object, which its attributes tell.
                Assert.Equal(layer.Getattr(inside).st_ino, layer.Getattr(layer.Find("covered")).st_ino);
                Assert.Equal(3, layer.Names(inside).Count);
            }
            finally
            {
                DicfuseFolder.Check(Mounting.Umount2((byte*)file, MountFlags.MNT_DETACH));
            }
        }
        finally
        {
            DicfuseFolder.Check(Mounting.Umount2((byte*)mountPoint, MountFlags.MNT_DETACH));
        }
    }

    [Theory]
    [InlineData(1000, 100)]
    [InlineData(20_000, 4)]
    [InlineData(10, 10_000)]
    [InlineData(1, 100_000)]
    public void A_node_costs_at_most_64_bytes_and_its_name(int directories, int filesEach)
    {
        DicfuseFolder.Check(NodeStore.Create(TreeArena.DefaultReservation, NameHeap.DefaultReservation, out NodeStore? store));
        DicfuseInventedSource source = new(store!, directories, filesEach);
        using DicfuseLayer layer = new("dicfuse", new DicfuseTree("dicfuse", store!, source), new DicfuseOptions());
        long nameBytes = 0;
        foreach (var (directoryName, entry) in layer.List(ILayer.RootNode))
        {
            nameBytes += directoryName.Length;
            foreach (var (name, file) in layer.List(entry.Node))
            {
                nameBytes += name.Length;
                layer.Getattr(file.Node);
            }
        }

        Assert.Equal((directories * (filesEach + 1)) + 1, layer.NodeCount);
        double perNode = ((double)layer.ArenaBytes + layer.NameBytes + layer.TableBytes - nameBytes) / layer.NodeCount;
        Assert.InRange(perNode, 48, 64);
    }

    private static int CountDown(DicfuseLayer layer)
    {
        int depth = 0;
        uint node = ILayer.RootNode;
        while (layer.TryFind(node, "level-of-a-deep-path"u8, out uint child) == Errno.None)
        {
            layer.Getattr(child);
            node = child;
            depth++;
        }

        return depth;
    }

    private static Dictionary<string, ulong> Numbers(DicfuseFolder folder, bool reverse)
    {
        using DicfuseLayer layer = folder.Open();
        Dictionary<string, ulong> numbers = new() { [""] = layer.Getattr(ILayer.RootNode).st_ino };
        Walk("", ILayer.RootNode);
        return numbers;

        void Walk(string path, uint directory)
        {
            var entries = layer.List(directory);
            if (reverse)
            {
                entries.Reverse();
            }

            foreach (var (name, entry) in entries)
            {
                string child = $"{path}/{Encoding.UTF8.GetString(name)}";
                numbers[child] = layer.Getattr(entry.Node).st_ino;
                Assert.Equal(numbers[child], entry.StIno);
                if (entry.Type == FileType.Directory)
                {
                    Walk(child, entry.Node);
                }
            }
        }
    }
}
