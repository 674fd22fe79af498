using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Aot.Layers;

namespace Antares.Aot.Tests.Unit;

/// <summary>Where contents lie in an image: what is read together together, and in frames as large as was asked for.</summary>
public sealed class ImageLayoutTests : IDisposable
{
    private readonly DicfuseFolder _folder = new();

    public ImageLayoutTests()
    {
        for (int i = 0; i < 20; i++)
        {
            Directory.CreateDirectory(_folder.At($"d{i:D2}"));
            _folder.Write($"d{i:D2}/Makefile", 1000 + i, seed: 1 + i);
            _folder.Write($"d{i:D2}/code", 90_000, seed: 100 + i);
            if (i < 15)
                _folder.Write($"d{i:D2}/rare", 500, seed: 200 + i);
        }
        Directory.CreateDirectory(_folder.At("large"));
        _folder.Write("large/Makefile", 100_000, seed: 300);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ShortFilesOfOneNameLieTogetherAndFirst()
    {
        byte[] bytes = PackedImage.Pack(_folder);
        Assert.Equal("", PackedImage.Verify(bytes));
        using ImageLayer image = PackedImage.Open(bytes);
        ulong at = 0;
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal(at, StartOf(image, $"d{i:D2}/Makefile"));
            at += 1000 + (ulong)i;
        }
        // All others as the tree lies: of fewer directories, or longer.
        Assert.Equal(at, StartOf(image, "d00/code"));
        Assert.True(StartOf(image, "d00/rare") < StartOf(image, "d01/code"));
        Assert.True(StartOf(image, "large/Makefile") > StartOf(image, "d19/code"));
        foreach (string path in new[] { "d07/Makefile", "d07/code", "d07/rare", "large/Makefile" })
            Assert.Equal(File.ReadAllBytes(_folder.At(path)), image.Read(image.Find(path), 0, 200_000));
        Assert.Equal(bytes, PackedImage.Pack(image));
    }

    [Theory]
    [InlineData(16 << 10)]
    [InlineData(64 << 10)]
    [InlineData(1 << 20)]
    public void FramesAreAsLargeAsWasAskedFor(int frameBytes)
    {
        _folder.Write("big", 3_000_000, seed: 7);
        File.WriteAllBytes(_folder.At("zeros"), new byte[2_500_000]);
        File.WriteAllBytes(_folder.At("same"), File.ReadAllBytes(_folder.At("big")));
        byte[] bytes = PackedImage.Pack(_folder, new PackOptions { FrameBytes = frameBytes, Threads = 3 });
        Assert.Equal("", PackedImage.Verify(bytes));
        Assert.Equal(bytes, PackedImage.Pack(_folder, new PackOptions { FrameBytes = frameBytes, Threads = 1 }));
        using ImageLayer image = PackedImage.Open(bytes);
        Assert.Equal((ulong)frameBytes, image.Image.Header.FrameBytes);
        Assert.Equal(StartOf(image, "big"), StartOf(image, "same"));
        uint most = 0;
        for (uint frame = 0; frame < image.Content.Frames.Count; frame++)
        {
            DicfuseFolder.Check(image.Content.Frames.Get(frame, out FramePlace place));
            most = place.IsZeros ? most : Math.Max(most, (uint)place.RawBytes);
        }
        Assert.Equal((uint)frameBytes, most);
        foreach (string file in Directory.GetFiles(_folder.Path, "*", SearchOption.AllDirectories))
            Assert.Equal(File.ReadAllBytes(file), image.Read(image.Find(Path.GetRelativePath(_folder.Path, file)), 0, 4_000_000));
        Assert.Contains(ImageProvenance.Read(image.Image), line => line == ("frame", frameBytes.ToString(System.Globalization.CultureInfo.InvariantCulture)));
    }

    private static ulong StartOf(ImageLayer image, string path)
    {
        DicfuseFolder.Check(image.Tree.Get(image.Find(path), out ImageNode record));
        DicfuseFolder.Check(image.Content.StartOf(record, out ulong start));
        return start;
    }
}
