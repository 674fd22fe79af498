using Antares.Aot.Dicfuse;
using Antares.Aot.Dicfuse.Content;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>Contents: exact bytes or EIO, within their memory.</summary>
public sealed unsafe class DicfuseContentTests
{
    private const int Frame = FrameStore.FrameBytes;
    private const long SmallMemory = 1 << 20;

    [Theory]
    [InlineData(0L)]
    [InlineData(SmallMemory)]
    [InlineData(64L << 20)]
    public void Reads_give_exactly_the_bytes_at_every_place(long memory)
    {
        using DicfuseFolder folder = new();
        byte[] content = folder.Write("file", (5 * Frame) + 1234);
        using DicfuseLayer layer = folder.Open(new DicfuseOptions { MemoryLimitBytes = memory });
        uint node = layer.Find("file");
        (int Offset, int Size)[] places =
        [
            (0, 1), (0, Frame), (0, Frame + 1), (Frame - 1, 2), (Frame, Frame), (100, 3 * Frame), (0, content.Length),
            (0, content.Length + 100), (content.Length - 1, 1), (content.Length - 1, 2), (5 * Frame, 5000), (content.Length, 1),
            (content.Length + 1, 5), ((2 * Frame) + 7, 0),
        ];
        for (int round = 0; round < 3; round++)
        {
            foreach ((int offset, int size) in places)
            {
                Expect(content, layer, node, offset, size);
            }

            Settle(layer);
        }

        Random random = new(5);
        for (int i = 0; i < 300; i++)
        {
            Expect(content, layer, node, random.Next(content.Length), random.Next(2 * Frame));
        }

        // A frame that found the packer busy was dropped; it is packed when it is read again.
        for (int attempt = 0; memory != 0 && layer.FramesHeld < 6 && attempt < 100; attempt++)
        {
            Expect(content, layer, node, 0, content.Length);
            Settle(layer);
        }

        Assert.Equal(0, layer.FramesDamaged);
        Assert.Equal(memory == 0 ? 0 : 6, layer.FramesHeld);
    }

    [Fact]
    public void Only_regular_files_are_read()
    {
        using DicfuseFolder folder = new();
        Directory.CreateDirectory(folder.At("directory"));
        File.CreateSymbolicLink(folder.At("link"), "directory");
        folder.Write("empty", 0);
        using DicfuseLayer layer = folder.Open();
        Assert.Equal(Errno.EISDIR, layer.TryRead(layer.Find("directory"), 0, new byte[1], out _));
        Assert.Equal(Errno.EINVAL, layer.TryRead(layer.Find("link"), 0, new byte[1], out _));
        Assert.Equal(Errno.ESTALE, layer.TryRead(77_777, 0, new byte[1], out _));
        Assert.Equal(Errno.EISDIR, layer.OpenContent(layer.Find("directory"), out int fd));
        Assert.Equal(-1, fd);
        Assert.Empty(layer.Read(layer.Find("empty"), 0, 10));
    }

    [Fact]
    public void What_was_read_is_held_packed_and_served_without_the_source()
    {
        using DicfuseFolder folder = new();
        byte[] content = folder.Write("file", 4 * Frame);
        byte[] random = new byte[Frame];
        new Random(3).NextBytes(random);
        File.WriteAllBytes(folder.At("random"), random);
        using DicfuseLayer layer = folder.Open();
        uint node = layer.Find("file");
        uint noise = layer.Find("random");
        Expect(content, layer, node, 0, content.Length);
        Expect(random, layer, noise, 0, random.Length);
        Settle(layer);
        Assert.Equal((5L, 5L, 5L * Frame), (layer.FrameLoads, layer.FramesHeld, layer.FrameRawBytes));
        // Half of the file's bytes are runs; the noise is stored as it is.
        Assert.InRange(layer.FramePackedBytes, 3 * Frame, 4 * Frame);

        File.Delete(folder.At("file"));
        File.Delete(folder.At("random"));
        Expect(content, layer, node, 0, content.Length);
        Expect(random, layer, noise, 0, random.Length);
        Expect(content, layer, node, Frame + 5, 10);
        Assert.Equal(5, layer.FrameLoads);
        Assert.Equal(6, layer.FrameHits);
    }

    [Theory]
    [InlineData("grown")]
    [InlineData("shrunk")]
    [InlineData("touched")]
    [InlineData("replaced")]
    [InlineData("removed")]
    [InlineData("a directory")]
    [InlineData("a fifo")]
    [InlineData("untouched")]
    public void A_source_that_changed_is_eio_and_never_other_bytes(string change)
    {
        using DicfuseFolder folder = new();
        string path = folder.At("file");
        byte[] content = folder.Write("file", 3 * Frame);
        DicfuseAsk.SetMtime(path, 1_000_000_000, 5);
        using DicfuseLayer layer = folder.Open();
        uint node = layer.Find("file");
        layer.Getattr(node);
        switch (change)
        {
            case "grown":
                File.AppendAllText(path, "x");
                DicfuseAsk.SetMtime(path, 1_000_000_000, 5);
                break;
            case "shrunk":
                File.WriteAllBytes(path, content[..(2 * Frame)]);
                DicfuseAsk.SetMtime(path, 1_000_000_000, 5);
                break;
            case "touched":
                DicfuseAsk.SetMtime(path, 1_000_000_000, 6);
                break;
            case "replaced":
                File.WriteAllBytes(path + "2", DicfuseFolder.Bytes(3 * Frame, 2));
                File.Move(path + "2", path, true);
                break;
            case "removed":
                File.Delete(path);
                break;
            case "a directory":
                File.Delete(path);
                Directory.CreateDirectory(path);
                break;
            case "a fifo":
                File.Delete(path);
                fixed (byte* name = "file\0"u8)
                {
                    DicfuseFolder.Check(PathOps.Mknodat(folder.Fd, name, StatMode.S_IFIFO | 0x1B6, 0));
                }

                break;
        }

        if (change == "untouched")
        {
            // The control: the detector does not cry for nothing.
            Expect(content, layer, node, 0, 3 * Frame);
            DicfuseFolder.Check(layer.OpenContent(node, out int open));
            Fd.Close(open);
            Assert.Equal(0, layer.SourceChanges);
            return;
        }

        Diagnostics.Failure.Clear();
        Assert.Equal(Errno.EIO, layer.TryRead(node, Frame, new byte[100], out uint got));
        Assert.Equal(0u, got);
        Assert.Equal("dicfuse", Diagnostics.Failure.Layer);
        Assert.NotNull(Diagnostics.Failure.Call);
        Assert.Equal(Errno.EIO, layer.OpenContent(node, out int fd));
        Assert.Equal(-1, fd);
        // What cannot be opened or read as a file any more is told by the call that failed.
        Assert.InRange(layer.SourceChanges, change == "removed" ? 0 : 1, 2);
        Assert.Equal(0, layer.FramesHeld);
    }

    [Fact]
    public void Open_content_gives_a_descriptor_of_the_source()
    {
        using DicfuseFolder folder = new();
        byte[] content = folder.Write("file", 1000);
        using DicfuseLayer layer = folder.Open();
        uint node = layer.Find("file");
        DicfuseFolder.Check(layer.OpenContent(node, out int fd));
        stat opened;
        DicfuseFolder.Check(Attributes.Fstat(fd, &opened));
        Assert.Equal(DicfuseAsk.Lstat(folder.At("file")).st_ino, opened.st_ino);
        DicfuseFolder.Check(Fd.Getfl(fd, out int flags));
        Assert.Equal(Fcntl.O_RDONLY, flags & Fcntl.O_ACCMODE);
        byte[] read = new byte[2000];
        fixed (byte* buffer = read)
        {
            DicfuseFolder.Check(FileIo.ReadFull(fd, buffer, 2000, 0, out nuint got));
            Assert.Equal(content, read[..(int)got]);
        }

        DicfuseFolder.Check(Fd.Close(fd));
    }

    [Fact]
    public void Memory_stays_below_its_limit_and_the_least_used_frames_go()
    {
        using DicfuseFolder folder = new();
        byte[] content = folder.Write("file", 60 * Frame);
        using DicfuseLayer layer = folder.Open(new DicfuseOptions { MemoryLimitBytes = SmallMemory });
        uint node = layer.Find("file");
        for (int frame = 0; frame < 60; frame++)
        {
            Expect(content, layer, node, frame * Frame, Frame);
            // The first frame is used all the time.
            Expect(content, layer, node, 0, Frame);
            Settle(layer);
            Assert.InRange(layer.FrameMemoryBytes, 0, SmallMemory - (2 * Frame));
        }

        Assert.InRange(layer.FramesEvicted, 40, 60);
        Assert.InRange(layer.FramesHeld, 5, 20);
        Assert.True(layer.Frames.Table.Find((ulong)node << 32) != 0);
        Assert.True(layer.Frames.Table.Find(((ulong)node << 32) | 1) == 0);
        // What was dropped is read from the source again.
        long loads = layer.FrameLoads;
        Expect(content, layer, node, Frame, Frame);
        Assert.Equal(loads + 1, layer.FrameLoads);
    }

    [Fact]
    public void Frames_beyond_memory_go_to_the_store_and_come_back()
    {
        using DicfuseFolder folder = new();
        using DicfuseFolder store = new();
        byte[] content = folder.Write("file", 40 * Frame);
        using DicfuseLayer layer = folder.Open(new DicfuseOptions { MemoryLimitBytes = SmallMemory, StorePath = store.Path });
        uint node = layer.Find("file");
        ReadFrames(content, layer, node, 40);
        Assert.InRange(layer.FramesSpilled, 25, 40);
        Assert.Equal(40, layer.FramesHeld);
        Assert.Empty(Directory.GetFileSystemEntries(store.Path));

        File.Delete(folder.At("file"));
        ReadFrames(content, layer, node, 40);
        Expect(content, layer, node, 0, content.Length);
        Expect(content, layer, node, 50, 60);
        Assert.Equal(40, layer.FrameLoads);
        Assert.Equal(0, layer.FramesDamaged);
    }

    [Fact]
    public void The_store_keeps_its_bound_and_gives_up_what_was_written_first()
    {
        using DicfuseFolder folder = new();
        using DicfuseFolder store = new();
        const long StoreLimit = 10 * Frame;
        byte[] content = folder.Write("file", 80 * Frame);
        using DicfuseLayer layer = folder.Open(
            new DicfuseOptions { MemoryLimitBytes = SmallMemory, StorePath = store.Path, StoreLimitBytes = StoreLimit });
        uint node = layer.Find("file");
        for (int round = 0; round < 3; round++)
        {
            ReadFrames(content, layer, node, 80);
            stat file;
            DicfuseFolder.Check(Attributes.Fstat(layer.Frames.Spill!.Descriptor, &file));
            Assert.InRange(file.st_size, 8 * Frame, StoreLimit);
            Assert.InRange(layer.FrameSpilledBytes, 1, StoreLimit);
            Assert.InRange(layer.FramesHeld, 10, 40);
        }

        Expect(content, layer, node, 0, content.Length);
        Assert.Equal(0, layer.FramesDamaged);
    }

    [Fact]
    public void A_store_that_cannot_be_written_only_costs_the_frames()
    {
        using DicfuseFolder folder = new();
        byte[] content = folder.Write("file", 30 * Frame);
        using DicfuseLayer layer = folder.Open(
            new DicfuseOptions { MemoryLimitBytes = SmallMemory, StorePath = folder.At("not-there") });
        uint node = layer.Find("file");
        ReadFrames(content, layer, node, 30);
        ReadFrames(content, layer, node, 30);
        Assert.Equal(0, layer.FramesSpilled);
        Assert.InRange(layer.FramesEvicted, 20, 60);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_damaged_frame_is_noticed_and_replaced_from_the_source(bool random)
    {
        using DicfuseFolder folder = new();
        byte[] content = folder.Write("file", 2 * Frame);
        if (random)
        {
            new Random(1).NextBytes(content);
            File.WriteAllBytes(folder.At("file"), content);
        }

        using DicfuseLayer layer = folder.Open();
        uint node = layer.Find("file");
        ReadFrames(content, layer, node, 2);
        DropRawBuffers(layer);
        lock (layer.Frames.Table.Gate)
        {
            FrameSlot* frame = layer.Frames.Table[layer.Frames.Table.Find((ulong)node << 32)];
            Assert.Equal(random, (frame->State & FrameState.Stored) != 0);
            frame->Packed[frame->PackedBytes / 2] ^= 1;
        }

        Expect(content, layer, node, 0, 2 * Frame);
        Assert.Equal(1, layer.FramesDamaged);
        Settle(layer);

        // And again with a small read, while the source is gone: no bytes rather than wrong ones.
        DropRawBuffers(layer);
        lock (layer.Frames.Table.Gate)
        {
            FrameSlot* frame = layer.Frames.Table[layer.Frames.Table.Find(((ulong)node << 32) | 1)];
            frame->Packed[frame->PackedBytes / 2] ^= 1;
        }

        File.AppendAllText(folder.At("file"), "x");
        Assert.Equal(Errno.EIO, layer.TryRead(node, Frame + 10, new byte[10], out _));
        Assert.Equal(2, layer.FramesDamaged);
        Expect(content, layer, node, 0, Frame);
    }

    [Fact]
    public void Damage_in_the_store_is_noticed()
    {
        using DicfuseFolder folder = new();
        using DicfuseFolder store = new();
        byte[] content = folder.Write("file", 40 * Frame);
        using DicfuseLayer layer = folder.Open(new DicfuseOptions { MemoryLimitBytes = SmallMemory, StorePath = store.Path });
        uint node = layer.Find("file");
        ReadFrames(content, layer, node, 40);
        byte[] zeros = new byte[1 << 20];
        fixed (byte* pointer = zeros)
        {
            DicfuseFolder.Check(FileIo.WriteFull(layer.Frames.Spill!.Descriptor, pointer, (nuint)zeros.Length, 0));
        }

        Expect(content, layer, node, 0, content.Length);
        Assert.InRange(layer.FramesDamaged, 5, 40);
    }

    [Theory]
    [InlineData(0L)]
    [InlineData(SmallMemory)]
    [InlineData(64L << 20)]
    public void A_read_in_steady_state_allocates_nothing(long memory)
    {
        using DicfuseFolder folder = new();
        byte[] content = folder.Write("file", 20 * Frame);
        using DicfuseLayer layer = folder.Open(new DicfuseOptions { MemoryLimitBytes = memory });
        uint node = layer.Find("file");
        byte[] whole = new byte[Frame];
        byte[] part = new byte[1000];
        ReadFrames(content, layer, node, 20);
        fixed (byte* buffer = whole, small = part, name = "file\0"u8)
        {
            for (int warm = 0; warm < 2; warm++)
            {
                Round(layer, node, buffer, small, name);
            }

            // A collection that another test causes counts the rest of this thread's allocation buffer as allocated; a read that
            // allocates does so in every round.
            long least = long.MaxValue;
            for (int i = 0; i < 20; i++)
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                Round(layer, node, buffer, small, name);
                least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
            }

            Assert.Equal(0, least);
            // The control: the counter does see an allocation.
            long control = GC.GetAllocatedBytesForCurrentThread();
            GC.KeepAlive(new byte[100]);
            Assert.True(GC.GetAllocatedBytesForCurrentThread() - control >= 100);
        }

        // With much memory all is unpacked from what is held, with little it is read from the source again, with none always.
        Assert.Equal(memory > SmallMemory, layer.FrameLoads == 20);
        Assert.Equal(memory > 0, layer.FrameHits > 300);
    }

    [Fact]
    public void Eight_readers_of_a_store_under_pressure_see_only_right_bytes()
    {
        using DicfuseFolder folder = new();
        using DicfuseFolder store = new();
        byte[][] contents = [.. Enumerable.Range(0, 4).Select(i => folder.Write($"file{i}", (16 * Frame) + (i * 999), i + 1))];
        using DicfuseLayer layer = folder.Open(
            new DicfuseOptions
            {
                MemoryLimitBytes = SmallMemory,
                StorePath = store.Path,
                StoreLimitBytes = 12 * Frame,
                FdCapacity = 1,
            });
        uint[] nodes = [.. Enumerable.Range(0, 4).Select(i => layer.Find($"file{i}"))];
        List<string> wrong = [];
        Thread[] threads = [.. Enumerable.Range(0, 8).Select(index => new Thread(() =>
        {
            Random random = new(index);
            byte[] buffer = new byte[3 * Frame];
            for (int i = 0; i < 400; i++)
            {
                int file = random.Next(4);
                int offset = random.Next(contents[file].Length);
                int size = random.Next(4) == 0 ? random.Next(3 * Frame) : random.Next(5000);
                int expected = Math.Min(size, contents[file].Length - offset);
                fixed (byte* pointer = buffer)
                {
                    Errno error = layer.Read(nodes[file], (ulong)offset, pointer, (uint)size, out uint got);
                    bool same = error == Errno.None && got == expected
                        && buffer.AsSpan(0, expected).SequenceEqual(contents[file].AsSpan(offset, expected));
                    if (!same)
                    {
                        lock (wrong)
                        {
                            wrong.Add($"file{file} {offset}+{size}: {error} {got}");
                        }
                    }
                }
            }
        }))];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        Assert.Empty(wrong);
        Assert.Equal(0, layer.FramesDamaged);
        Assert.InRange(layer.OpenFds, 0, 1);
        Settle(layer);
        Assert.InRange(layer.FrameMemoryBytes, 0, SmallMemory);
        lock (layer.Frames.Table.Gate)
        {
            // Nobody is at work: nothing may be pinned or queued any more.
            for (int slot = layer.Frames.Table.OldestPacked; slot != 0; slot = layer.Frames.Table[slot]->Newer)
            {
                Assert.Equal((0, FrameState.None), (layer.Frames.Table[slot]->Pins, layer.Frames.Table[slot]->State & FrameState.Queued));
            }
        }
    }

    [Fact]
    public void Hundreds_of_files_are_read_with_one_descriptor()
    {
        using DicfuseFolder folder = new();
        for (int i = 0; i < 300; i++)
        {
            Directory.CreateDirectory(folder.At($"d{i % 10}"));
            folder.Write($"d{i % 10}/f{i}", 500, i + 1);
        }

        using DicfuseLayer layer = folder.Open(new DicfuseOptions { FdCapacity = 1, MemoryLimitBytes = 0 });
        for (int i = 0; i < 300; i++)
        {
            Assert.Equal(DicfuseFolder.Bytes(500, i + 1), layer.Read(layer.Find($"d{i % 10}/f{i}"), 0, 600));
            Assert.InRange(layer.OpenFds, 0, 1);
        }
    }

    private static void Round(DicfuseLayer layer, uint node, byte* buffer, byte* small, byte* name)
    {
        // Ignoring what is found: the bytes are another test's matter.
        layer.Find(ILayer.RootNode, new Base.ByteName(name, 4), out _);
        layer.Next(ILayer.RootNode, 0, out _);
        stat attributes;
        layer.GetattrWithMapping(node, true, &attributes);
        for (uint frame = 0; frame < 20; frame++)
        {
            layer.Read(node, frame * Frame, buffer, Frame, out _);
            layer.Read(node, (frame * Frame) + 5000, small, 1000, out _);
        }
    }

    private static void ReadFrames(byte[] content, DicfuseLayer layer, uint node, int frames)
    {
        for (int frame = 0; frame < frames; frame++)
        {
            Expect(content, layer, node, frame * Frame, Frame);
            Settle(layer);
        }
    }

    /// <summary>Lets go of the unpacked copies, so that the packed ones are used.</summary>
    private static void DropRawBuffers(DicfuseLayer layer)
    {
        lock (layer.Frames.Table.Gate)
        {
            layer.Frames.Raws.DropIdle();
        }
    }

    private static void Settle(DicfuseLayer layer)
    {
        for (int wait = 0; !layer.Frames.PackingIdle; wait++)
        {
            Assert.True(wait < 10_000, "the packer does not come to an end");
            Thread.Sleep(1);
        }
    }

    private static void Expect(byte[] content, DicfuseLayer layer, uint node, int offset, int size)
    {
        byte[] read = layer.Read(node, (ulong)offset, size);
        int expected = Math.Clamp(content.Length - offset, 0, size);
        Assert.Equal(expected, read.Length);
        Assert.True(read.AsSpan().SequenceEqual(content.AsSpan(Math.Min(offset, content.Length), expected)), $"{offset}+{size}");
    }
}
