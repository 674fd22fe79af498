using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>Images that are made to mislead, and files that somebody writes to while they are read as images.</summary>
public sealed unsafe class ImageHostileTests
{
    /// <summary>What a search saw of the table of frames is read once more, and may be another by then.</summary>
    [Fact]
    public void A_table_that_changes_under_a_search_leads_to_no_place_outside_of_its_frame()
    {
        using DicfuseFolder folder = new();
        _ = folder.Write("file", 40_000, seed: 1);
        using OwnedFd file = PackedImage.NewFile();
        using ImageLayer image = PackedImage.Open(PackedImage.Pack(folder, new PackOptions { FrameBytes = 4096 }), file);
        FrameReader frames = image.Content.Frames;
        DicfuseFolder.Check(frames.Get(3, out FramePlace third));
        nuint length = (nuint)image.Image.Header.MetadataBytes;
        DicfuseFolder.Check(Memory.Mmap(null, length, Memory.PROT_READ | Memory.PROT_WRITE, Memory.MAP_SHARED, file.Value, 0, out void* mapped));
        ulong* start = (ulong*)((byte*)mapped + image.Image.Header[ImageSection.Frames].Offset + (3 * ImageFrame.Bytes));
        Assert.Equal(third.Start, *start);
        bool isOver = false;
        Thread writer = new(() =>
        {
            while (!Volatile.Read(ref isOver))
            {
                Volatile.Write(ref *start, third.Start + 100);
                Volatile.Write(ref *start, third.Start);
            }
        });
        writer.Start();
        int found = 0;
        int outside = 0;
        ulong position = third.Start + 10;
        for (int i = 0; i < 2_000_000; i++)
        {
            if (frames.Find(position, out FramePlace place) == Errno.None)
            {
                found++;
                outside += position < place.Start || position >= place.End ? 1 : 0;
            }
        }

        Volatile.Write(ref isOver, true);
        writer.Join();
        DicfuseFolder.Check(Memory.Munmap(mapped, length));
        Assert.NotEqual(0, found);
        Assert.Equal(0, outside);
    }

    [Fact]
    public void The_name_in_a_walk_is_a_copy()
    {
        using DicfuseFolder folder = new();
        _ = folder.Write("first", 10);
        using OwnedFd file = PackedImage.NewFile();
        using ImageLayer image = PackedImage.Open(PackedImage.Pack(folder), file);
        var walk = new ImageWalk(image.Tree, ILayer.RootNode);
        Assert.True(walk.MoveNext());
        fixed (byte* other = "../xx"u8)
        {
            long place = (long)(image.Image.Header[ImageSection.Names].Offset + walk.Record.Name);
            DicfuseFolder.Check(FileIo.WriteFull(file.Value, other, 5, place));
        }

        Assert.Equal("first", Encoding.UTF8.GetString(walk.Name.Span));
    }

    /// <summary>Directory i has i + 1 and i + 2 in it, so a walk of 60 levels would come to a million million million names.</summary>
    [Fact]
    public void No_node_is_in_two_directories()
    {
        const int Levels = 60;
        using DicfuseFolder folder = new();
        string deepest = string.Join('/', Enumerable.Repeat("d", Levels));
        Directory.CreateDirectory(folder.At(deepest));
        _ = folder.Write(deepest + "/x", 1);
        _ = folder.Write(deepest + "/y", 1);
        byte[] good = PackedImage.Pack(folder);
        byte[] bytes = [.. good];
        fixed (byte* start = bytes)
        {
            ImageNode* nodes = (ImageNode*)(start + (*(ImageHeader*)start)[ImageSection.Nodes].Offset);
            for (uint node = ImageFormat.RootNode; node <= Levels; node++)
            {
                Assert.Equal((node + 1, 1u), (nodes[node].Body, nodes[node].Extra));
                nodes[node].Extra = 2;
            }
        }

        PackedImage.Seal(bytes, good);
        Assert.NotEqual("", PackedImage.Verify(bytes));
        using ImageLayer image = PackedImage.Open(bytes);
        var walk = new ImageWalk(image.Tree, ILayer.RootNode);
        ImageException problem = Assert.Throws<ImageException>(() =>
        {
            for (int steps = 0; steps < 100_000 && walk.MoveNext(); steps++)
            {
                // Until it is refused.
            }
        });
        Assert.Contains("nodes: directory", problem.Message);
        DicfuseFolder.Check(image.Next(ILayer.RootNode, 0, out LayerEntry first));
        Assert.Equal(Errno.EIO, image.Next(ILayer.RootNode, first.Cookie, out _));
        Assert.Equal(Errno.EIO, image.TryFind(ILayer.RootNode, "d"u8, out _));
    }

    [Theory]
    [InlineData("name", true)]
    [InlineData("..x", true)]
    [InlineData("", false)]
    [InlineData(".", false)]
    [InlineData("..", false)]
    [InlineData("a/b", false)]
    [InlineData("a\0b", false)]
    public void Only_names_are_copied(string text, bool isName)
    {
        byte[] bytes = [.. Encoding.UTF8.GetBytes(text), 0];
        byte* room = stackalloc byte[ByteName.MaxLength + 1];
        fixed (byte* pointer = bytes)
        {
            Assert.Equal(isName, new ByteName(pointer, bytes.Length - 1).TryCopy(room, out ByteName copy));
            Assert.True(copy.Pointer == room && room[copy.Length] == 0);
        }

        byte[] tooLong = new byte[ByteName.MaxLength + 2];
        tooLong.AsSpan(0, ByteName.MaxLength + 1).Fill((byte)'n');
        fixed (byte* pointer = tooLong)
        {
            Assert.False(new ByteName(pointer, ByteName.MaxLength + 1).TryCopy(room, out _));
        }
    }
}
