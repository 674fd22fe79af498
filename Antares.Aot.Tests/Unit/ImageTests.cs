using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>Images say what their source said, are the same each time, and notice damage.</summary>
public sealed unsafe class ImageTests
{
    [Fact]
    public void An_image_holds_what_the_folder_holds()
    {
        using DicfuseFolder folder = Sample();
        byte[] bytes = PackedImage.Pack(folder);
        Assert.Equal("", PackedImage.Verify(bytes));
        using DicfuseLayer source = folder.Open();
        using ImageLayer image = PackedImage.Open(bytes);
        int compared = 0;
        Compare(source, ILayer.RootNode, image, ILayer.RootNode, ref compared);
        Assert.Equal(image.NodeCount, compared);
    }

    [Fact]
    public void Hard_links_are_one_node()
    {
        using DicfuseFolder folder = Sample();
        using ImageLayer image = PackedImage.Open(PackedImage.Pack(folder));
        uint file = image.Find("one");
        Assert.Equal(file, image.Find("sub/other"));
        Assert.Equal(3ul, image.Getattr(file).st_nlink);
        Assert.Equal(file, image.Getattr(file).st_ino);
        Assert.Equal(["1/one", $"{image.Find("sub")}/other", $"{image.Find("sub")}/third"], image.Names(file));
    }

    [Fact]
    public void Equal_contents_are_stored_once()
    {
        using DicfuseFolder folder = new();
        folder.Write("a", 700_000, seed: 3);
        folder.Write("b", 700_000, seed: 3);
        folder.Write("c", 5_000, seed: 4);
        folder.Write("d", 5_000, seed: 4);
        folder.Write("e", 5_000, seed: 5);
        using ImageLayer image = PackedImage.Open(PackedImage.Pack(folder));
        Assert.Equal(710_000ul, image.Image.Header.StreamBytes);
        Assert.Equal(1_415_000ul, image.Image.Header.FileSizes);
        Assert.Equal(image.Read(image.Find("a"), 0, 700_000), image.Read(image.Find("b"), 0, 700_000));
    }

    [Fact]
    public void The_bytes_depend_on_the_tree_alone()
    {
        using DicfuseFolder folder = Sample();
        byte[] first = PackedImage.Pack(folder, new PackOptions { Threads = 1 });
        foreach (int threads in new[] { 1, 2, 5 })
        {
            Assert.Equal(first, PackedImage.Pack(folder, new PackOptions { Threads = threads }));
        }

        using ImageLayer image = PackedImage.Open(first);
        byte[] again = PackedImage.Pack(image);
        Assert.Equal(first, again);
    }

    [Fact]
    public unsafe void The_blocks_of_a_large_sparse_file_are_counted_once()
    {
        using DicfuseFolder folder = new();
        using (FileStream file = File.Create(folder.At("sparse")))
        {
            file.SetLength(80L << 20);
            for (long at = 0; at < 80; at++)
            {
                file.Position = at << 20;
                file.WriteByte(1);
            }
        }

        using ImageLayer image = PackedImage.Open(PackedImage.Pack(folder));
        uint sparse = image.Find("sparse");
        Assert.Equal(80 * (ImageFormat.FrameBytes / 512), image.Getattr(sparse).st_blocks);

        // Without a table of frames it could not be counted again.
        SectionPlace frames = image.Image.Header[ImageSection.Frames];
        byte[] nothing = new byte[frames.Length];
        fixed (byte* bytes = nothing)
        {
            Assert.Equal(Errno.None, FileIo.WriteFull(image.Image.Fd, bytes, (nuint)frames.Length, (long)frames.Offset));
        }

        Assert.Equal(Errno.EIO, image.Content.Frames.Get(0, out _));
        Assert.Equal(80 * (ImageFormat.FrameBytes / 512), image.Getattr(sparse).st_blocks);
    }

    /// <summary>An unpacker that throws must not leave those waiting who want the same frame.</summary>
    [Fact]
    public unsafe void A_frame_that_could_not_be_unpacked_can_be_asked_for_again()
    {
        using DicfuseFolder folder = new();
        File.WriteAllText(folder.At("file"), string.Concat(Enumerable.Repeat("packed well ", 10_000)));
        using ImageLayer image = PackedImage.Open(PackedImage.Pack(folder));
        uint file = image.Find("file");
        const System.Reflection.BindingFlags Private = System.Reflection.BindingFlags.Instance | System.Reflection.BindingFlags.NonPublic;
        FrameDecoder broken = FrameDecoder.TryMake(image.Image.Header.FrameBytes)!;
        System.Reflection.FieldInfo context = typeof(FrameDecoder).GetField("_context", Private)!;
        object working = context.GetValue(broken)!;
        context.SetValue(broken, System.Reflection.Pointer.Box(null, context.FieldType));
        var idle = (FrameDecoder?[])typeof(ImageContent).GetField("_decoders", Private)!.GetValue(image.Content)!;
        idle[0] = broken;
        typeof(ImageContent).GetField("_idleDecoders", Private)!.SetValue(image.Content, 1);
        Assert.ThrowsAny<Exception>(() => image.Read(file, 0, 10));
        context.SetValue(broken, working);
        byte[] read = [];
        Thread reader = new(() => read = image.Read(file, 0, 10)) { IsBackground = true };
        reader.Start();
        Assert.True(reader.Join(10_000), "still waiting for the frame");
        Assert.Equal("packed wel"u8.ToArray(), read);
    }

    [Fact]
    public void Holes_take_no_room_and_no_blocks()
    {
        using DicfuseFolder folder = new();
        using (FileStream file = File.Create(folder.At("sparse")))
        {
            file.SetLength(5L << 30);
            file.Position = 3L << 30;
            file.Write("middle"u8);
        }

        folder.Write("zeros", 0);
        File.WriteAllBytes(folder.At("zeros"), new byte[3 << 20]);
        byte[] bytes = PackedImage.Pack(folder);
        Assert.InRange(bytes.Length, 0, 100_000);
        Assert.Equal("", PackedImage.Verify(bytes));
        using ImageLayer image = PackedImage.Open(bytes);
        uint sparse = image.Find("sparse");
        Assert.Equal(5L << 30, image.Getattr(sparse).st_size);
        Assert.Equal(ImageFormat.FrameBytes / 512, image.Getattr(sparse).st_blocks);
        Assert.Equal(0, image.Getattr(image.Find("zeros")).st_blocks);
        Assert.Equal("\0middle\0"u8.ToArray(), image.Read(sparse, (3UL << 30) - 1, 8));
        Assert.Equal(new byte[100], image.Read(sparse, (5UL << 30) - 100, 4096));
        Assert.Empty(image.Read(sparse, 5UL << 30, 10));
    }

    [Fact]
    public void Excluded_names_and_paths_are_left_out()
    {
        using DicfuseFolder folder = Sample();
        PackOptions options = new() { Excludes = ["*.o", "sub/deep*", "/big"], Mtime = new timespec { tv_sec = 77 }, Owner = (3, 4) };
        folder.Write("x.o", 3);
        folder.Write("sub/y.o", 3);
        using ImageLayer image = PackedImage.Open(PackedImage.Pack(folder, options));
        foreach (string gone in new[] { "x.o", "sub/y.o", "sub/deep", "big" })
        {
            Assert.Equal(Errno.ENOENT, Lookup(image, gone));
        }

        stat attributes = image.Getattr(image.Find("sub/other"));
        Assert.Equal((77L, 0L, 3u, 4u), (attributes.st_mtim.tv_sec, attributes.st_mtim.tv_nsec, attributes.st_uid, attributes.st_gid));
    }

    [Theory]
    [InlineData("a", "a", true)]
    [InlineData("a*", "abc", true)]
    [InlineData("*c", "abc", true)]
    [InlineData("*b*", "abc", true)]
    [InlineData("a?c", "abc", true)]
    [InlineData("a?c", "a/c", false)]
    [InlineData("a*", "a/b", false)]
    [InlineData("a**", "a/b", true)]
    [InlineData("**/c", "a/b/c", true)]
    [InlineData("**/*.o", "a/b/c.o", true)]
    [InlineData("a/*/c", "a/b/c", true)]
    [InlineData("a/*/c", "a/b/d/c", false)]
    [InlineData("", "a", false)]
    [InlineData("*", "", true)]
    public void Patterns(string pattern, string text, bool fits) =>
        Assert.Equal(fits, PathPatterns.Fits(Encoding.UTF8.GetBytes(pattern), Encoding.UTF8.GetBytes(text)));

    [Fact]
    public void A_big_directory_is_indexed()
    {
        using DicfuseFolder folder = new();
        for (int i = 0; i < 5000; i++)
        {
            folder.Write($"name-{i}", 0);
        }

        byte[] bytes = PackedImage.Pack(folder);
        Assert.Equal("", PackedImage.Verify(bytes));
        using ImageLayer image = PackedImage.Open(bytes);
        for (int i = 0; i < 5000; i++)
        {
            DicfuseFolder.Check(Lookup(image, $"name-{i}"));
        }

        Assert.Equal(Errno.ENOENT, Lookup(image, "name-5000"));
        Assert.Equal(5000, image.List(ILayer.RootNode).Count);
    }

    [Fact]
    public void Every_flipped_bit_is_found()
    {
        using DicfuseFolder folder = new();
        folder.Write("file", 700);
        Link(folder, "file", "link");
        File.CreateSymbolicLink(folder.At("to"), "file");
        Directory.CreateDirectory(folder.At("d/e"));
        for (int i = 0; i < 40; i++)
        {
            folder.Write($"d/{i}", i);
        }

        byte[] bytes = PackedImage.Pack(folder);
        Assert.Equal("", PackedImage.Verify(bytes));
        bool all = Environment.GetEnvironmentVariable("ANTARES_ALL_BITS") == "1";
        for (int at = 0; at < bytes.Length; at++)
        {
            // One bit of each byte that means something, of few of those that fill a page; all of all for bench/acceptance/image-fuzz.sh.
            int first = all ? 0 : at % 8;
            int last = all ? 7 : bytes[at] != 0 || at % 16 == 0 ? first : -1;
            for (int bit = first; bit <= last; bit++)
            {
                bytes[at] ^= (byte)(1 << bit);
                if (PackedImage.Verify(bytes).Length == 0)
                {
                    Assert.Fail($"bit {bit} of byte {at} of {bytes.Length} was flipped, and verify finds nothing");
                }

                bytes[at] ^= (byte)(1 << bit);
            }
        }
    }

    [Fact]
    public void Each_other_length_is_refused()
    {
        using DicfuseFolder folder = new();
        folder.Write("file", 3000);
        byte[] bytes = PackedImage.Pack(folder);
        for (int length = 0; length < bytes.Length; length++)
        {
            _ = Assert.Throws<ImageException>(() => PackedImage.Open(bytes.AsSpan(0, length)));
        }

        _ = Assert.Throws<ImageException>(() => PackedImage.Open([.. bytes, 0]));
    }

    [Fact]
    public void Another_version_or_feature_is_named()
    {
        using DicfuseFolder folder = new();
        byte[] good = PackedImage.Pack(folder);
        byte[] bytes = [.. good];
        bytes[8] = 2;
        PackedImage.Seal(bytes, good);
        Assert.Contains("version 2", PackedImage.Verify(bytes));
        bytes[8] = 1;
        bytes[16] = 4;
        PackedImage.Seal(bytes, good);
        Assert.Contains("0x4", PackedImage.Verify(bytes));
        Assert.Contains("does not begin as one", PackedImage.Verify("#!/bin/sh\necho\n"u8));
    }

    [Fact]
    public void Damage_is_an_error_where_it_is_touched_and_names_the_section()
    {
        using DicfuseFolder folder = Sample();
        byte[] good = PackedImage.Pack(folder);
        ImageHeader header;
        fixed (byte* start = good)
        {
            header = *(ImageHeader*)start;
        }

        byte[] bytes = [.. good];
        bytes[header[ImageSection.Contents].Offset + 10] ^= 1;
        using (ImageLayer image = PackedImage.Open(bytes))
        {
            uint big = image.Find("big");
            Assert.Equal(Errno.EIO, image.TryRead(big, 0, new byte[100], out _));
            Assert.Equal("contents: checksum", Diagnostics.Failure.Call);
            Assert.Equal("image", Diagnostics.Failure.Layer);
            Assert.Equal(1, image.FrameFailures);
        }

        bytes = [.. good];
        bytes[header[ImageSection.Nodes].Offset + 60] ^= 1;
        using (ImageLayer image = PackedImage.Open(bytes))
        {
            Assert.Equal(Errno.EIO, Lookup(image, "one"));
            Assert.Equal("nodes: checksum", Diagnostics.Failure.Call);
        }
    }

    /// <summary>Blocks that were checked are not checked again, so the new table of frames would be believed.</summary>
    [Fact]
    public void A_file_that_is_written_over_is_an_error_and_never_two_images()
    {
        using DicfuseFolder folder = new();
        byte[] old = Noise(folder, 1);
        byte[] first = File.ReadAllBytes(folder.At("a"));
        byte[] now = Noise(folder, 2);
        Assert.Equal(old.Length, now.Length);
        using OwnedFd file = PackedImage.NewFile();
        using ImageLayer image = PackedImage.Open(old, file);
        uint a = image.Find("a");
        uint b = image.Find("b");
        byte[] part = new byte[1000];
        Assert.Equal(first[..1000], image.Read(a, 0, 1000));
        Thread.Sleep(30); // time stamps are as coarse as the kernel's clock
        Overwrite(file, now);
        Assert.Equal(Errno.EIO, image.TryRead(b, 0, part, out _));
        Assert.Equal("the file was written over; mount it anew", Diagnostics.Failure.Call);
        Assert.Equal(Errno.EIO, image.TryRead(a, 0, part, out _));
        Assert.Equal(Errno.EIO, Lookup(image, "a"));
    }

    [Fact]
    public void What_changes_no_byte_of_the_file_changes_nothing()
    {
        using DicfuseFolder folder = Sample();
        using OwnedFd file = PackedImage.NewFile();
        using ImageLayer image = PackedImage.Open(PackedImage.Pack(folder), file);
        Thread.Sleep(30); // as above
        DicfuseFolder.Check(Attributes.Fchmod(file.Value, 0x180));
        DicfuseFolder.Check(Attributes.Futimens(file.Value, null));
        Assert.Equal(File.ReadAllBytes(folder.At("big")), image.Read(image.Find("big"), 0, 1_300_000));
        Assert.Equal(File.ReadAllBytes(folder.At("sub/deep/99")), image.Read(image.Find("sub/deep/99"), 0, 10_000));
    }

    [Fact]
    public void A_read_allocates_nothing()
    {
        using DicfuseFolder folder = Sample();
        using ImageLayer image = PackedImage.Open(PackedImage.Pack(folder));
        byte[] buffer = new byte[100_000];
        uint big = image.Find("big");
        uint one = image.Find("one");
        void Round()
        {
            fixed (byte* start = buffer)
            {
                stat attributes;
                DicfuseFolder.Check(image.Read(big, 600_000, start, 100_000, out _));
                DicfuseFolder.Check(image.Read(one, 0, start, 100, out _));
                DicfuseFolder.Check(image.Find(ILayer.RootNode, ByteName.FromNulTerminated(Literal.Pointer("sub"u8)), out uint sub));
                DicfuseFolder.Check(image.Next(sub, 0, out _));
                DicfuseFolder.Check(image.GetattrWithMapping(one, true, &attributes));
            }
        }

        // A collection that another test causes counts what this thread had left of its room as allocated: once, not each time.
        long least = long.MaxValue;
        for (int attempt = 0; attempt < 10 && least != 0; attempt++)
        {
            Round();
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 1000; i++)
            {
                Round();
            }

            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
    }

    [Fact]
    public void Many_readers_get_the_right_bytes()
    {
        using DicfuseFolder folder = new();
        const int Files = 40;
        byte[][] contents = [.. Enumerable.Range(0, Files).Select(i => folder.Write($"f{i}", 100_000 + (i * 30_011), seed: i + 1))];
        using ImageLayer image = PackedImage.Open(PackedImage.Pack(folder));
        _ = Parallel.For(0, 16, thread =>
        {
            Random random = new(thread);
            byte[] buffer = new byte[60_000];
            for (int i = 0; i < 100; i++)
            {
                int file = random.Next(Files);
                int offset = random.Next(contents[file].Length);
                uint node;
                lock (folder)
                {
                    node = image.Find($"f{file}");
                }

                DicfuseFolder.Check(image.TryRead(node, (ulong)offset, buffer, out uint got));
                Assert.True(contents[file].AsSpan(offset, (int)got).SequenceEqual(buffer.AsSpan(0, (int)got)));
                Assert.Equal(Math.Min(buffer.Length, contents[file].Length - offset), (int)got);
            }
        });
    }

    /// <summary>Files of every size class, links of both kinds, attributes, names of odd bytes.</summary>
    internal static DicfuseFolder Sample()
    {
        DicfuseFolder folder = new();
        Directory.CreateDirectory(folder.At("sub/deep/deeper"));
        Directory.CreateDirectory(folder.At("empty"));
        folder.Write("big", 1_300_000, seed: 9);
        folder.Write("one", 1000);
        folder.Write("none", 0);
        Link(folder, "one", "sub/other");
        Link(folder, "one", "sub/third");
        File.CreateSymbolicLink(folder.At("sub/link"), "../one");
        for (int i = 0; i < 100; i++)
        {
            folder.Write($"sub/deep/{i}", i * 37, seed: i);
        }

        File.WriteAllText(folder.At("sub/deep/deeper/ü \n"), "odd");
        DicfuseAsk.SetMtime(folder.At("one"), -5, 7);
        DicfuseFolder.Check(Attributes.Fchmodat(Fcntl.AT_FDCWD, (byte*)DicfuseFolder.Text(folder.At("none")), 0x900, 0));
        fixed (byte* name = "user.note\0"u8, value = "kept"u8)
        {
            DicfuseFolder.Check(Xattrs.Setxattr((byte*)DicfuseFolder.Text(folder.At("sub")), name, value, 4, 0));
        }

        return folder;
    }

    private static void Link(DicfuseFolder folder, string old, string now) => DicfuseFolder.Check(PathOps.Linkat(
        Fcntl.AT_FDCWD, (byte*)DicfuseFolder.Text(folder.At(old)), Fcntl.AT_FDCWD, (byte*)DicfuseFolder.Text(folder.At(now)), 0));

    /// <summary>Packs two files that nothing can make smaller.</summary>
    private static byte[] Noise(DicfuseFolder folder, int seed)
    {
        Random random = new(seed);
        byte[] noise = new byte[700_000];
        foreach (string name in new[] { "a", "b" })
        {
            random.NextBytes(noise);
            File.WriteAllBytes(folder.At(name), noise);
        }

        return PackedImage.Pack(folder);
    }

    private static void Overwrite(OwnedFd file, byte[] bytes, long offset = 0)
    {
        fixed (byte* start = bytes)
        {
            DicfuseFolder.Check(FileIo.WriteFull(file.Value, start, (nuint)bytes.Length, offset));
        }
    }

    private static Errno Lookup(ILayer layer, string path)
    {
        uint node = ILayer.RootNode;
        foreach (string part in path.Split('/'))
        {
            Errno error = layer.TryFind(node, Encoding.UTF8.GetBytes(part), out node);
            if (error != Errno.None)
            {
                return error;
            }
        }

        return Errno.None;
    }

    private static void Compare(ILayer source, uint a, ILayer image, uint b, ref int compared)
    {
        compared++;
        stat old = source.Getattr(a);
        stat now = image.Getattr(b);
        Assert.Equal(
            (old.st_mode, old.st_uid, old.st_gid, old.st_nlink, old.st_rdev, old.st_mtim.tv_sec, old.st_mtim.tv_nsec),
            (now.st_mode, now.st_uid, now.st_gid, now.st_nlink, now.st_rdev, now.st_mtim.tv_sec, now.st_mtim.tv_nsec));
        FileType type = FileTypes.FromMode(old.st_mode);
        switch (type)
        {
            case FileType.Directory:
                var names = source.List(a);
                Assert.Equal(names.Select(entry => entry.Name), image.List(b).Select(entry => entry.Name));
                foreach (var (name, entry) in names)
                {
                    DicfuseFolder.Check(image.TryFind(b, name, out uint child));
                    Compare(source, entry.Node, image, child, ref compared);
                }

                break;
            case FileType.Regular:
                Assert.Equal(old.st_size, now.st_size);
                Assert.Equal(source.Read(a, 0, (int)old.st_size + 1), image.Read(b, 0, (int)old.st_size + 1));
                break;
            case FileType.Symlink:
                Assert.Equal(source.Readlink(a), image.Readlink(b));
                break;
        }

        byte* list = stackalloc byte[4096];
        DicfuseFolder.Check(source.Listxattr(a, list, 4096, out int expected));
        string oldNames = Encoding.UTF8.GetString(list, expected);
        DicfuseFolder.Check(image.Listxattr(b, list, 4096, out int got));
        Assert.Equal(oldNames, Encoding.UTF8.GetString(list, got));
    }
}
