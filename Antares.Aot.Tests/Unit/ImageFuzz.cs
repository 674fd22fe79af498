using System.Diagnostics;
using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Erofs;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Aot.Layers;
using Antares.Interop;
using Xunit.Abstractions;

namespace Antares.Aot.Tests.Unit;

/// <summary>
/// Changes images field by field, makes the checksums right again, and uses what opens: every member of the layer must answer, in bounded
/// time, with an errno or with what is within the image.
/// </summary>
/// <remarks>
/// The mapping ends where the metadata end, in a file that ends there too, so that a read behind it is a fault that ends the process.
/// All images of one instance lie in one file in memory, one after another, so that a round costs little but its answers.
/// </remarks>
internal sealed unsafe class ImageFuzz : IDisposable
{
    /// <summary>Members called on one image; a walk that would not end stops there and fails.</summary>
    private const int MostSteps = 20_000;

    private const int BufferBytes = 4096;

    private static readonly ulong[] s_edges =
    [
        0, 1, 2, 7, 8, 31, 32, 39, 40, 127, 255, 256, 4095, 4096, 65_535, 65_536, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF,
        0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, ulong.MaxValue - 1, ulong.MaxValue,
    ];

    private readonly byte[] _good;
    private readonly byte[] _bytes;
    private readonly OwnedFd _file = PackedImage.NewFile();
    private readonly Random _random;
    private readonly byte* _buffer = (byte*)NativeMemory.Alloc(BufferBytes);

    public ImageFuzz(byte[] good, int seed)
    {
        _good = good;
        _bytes = new byte[good.Length];
        _random = new Random(seed);
    }

    /// <summary>Images that opened.</summary>
    public long Opened { get; private set; }

    /// <summary>Answers that were no error.</summary>
    public long Answers { get; private set; }

    /// <summary>Answers EIO.</summary>
    public long Refusals { get; private set; }

    /// <summary>Changes and uses one image.</summary>
    /// <exception cref="InvalidOperationException">A walk did not end, or an answer was out of bounds.</exception>
    public void Round()
    {
        byte[] bytes = _bytes;
        _good.CopyTo(bytes, 0);
        for (int change = _random.Next(1, 5); change > 0; change--)
        {
            Change(bytes);
        }

        if (_random.Next(20) != 0)
        {
            PackedImage.Seal(bytes, _good);
        }

        try
        {
            using ImageLayer layer = PackedImage.Open(bytes, _file);
            Opened++;
            Use(layer);
            using ImageVerifier verifier = new(layer.Image, layer.Tree, layer.Content, layer.Xattrs);
            _ = verifier.Run();
        }
        catch (ImageException)
        {
            // Refused with a reason.
        }
    }

    public void Dispose()
    {
        _file.Dispose();
        NativeMemory.Free(_buffer);
    }

    private void Change(byte[] bytes)
    {
        ImageHeader header = Header(_good);
        ImageSection section = (ImageSection)_random.Next((int)ImageSection.Checksums);
        SectionPlace place = header[section];
        int kind = _random.Next(10);
        if (kind == 0)
        {
            // The header: numbers and places, not the roots, which are made right anyway.
            Put(bytes, _random.Next(2, 32) * 8, 8);
            return;
        }

        if (kind == 1)
        {
            place = header[ImageSection.Contents];
        }

        if (place.Length == 0)
        {
            return;
        }

        int within = _random.Next((int)place.Length);
        int size = section switch
        {
            ImageSection.Nodes => s_nodeFields[_random.Next(s_nodeFields.Length)] is var (offset, fieldBytes) ? Align(ref within, ImageNode.Bytes, offset, fieldBytes) : 0,
            ImageSection.Blobs or ImageSection.Frames => Align(ref within, 8, 0, 8),
            ImageSection.Owners or ImageSection.XattrNodes => Align(ref within, 4, 0, 4),
            _ => 1 << _random.Next(3),
        };
        int at = (int)place.Offset + within;
        if (at + size <= bytes.Length)
        {
            Put(bytes, at, size);
        }
    }

    private static readonly (int Offset, int Bytes)[] s_nodeFields =
    [
        (0, 4), (4, 4), (8, 4), (12, 4), (16, 8), (24, 8), (32, 2), (34, 2), (36, 1), (37, 1), (38, 2),
    ];

    private static int Align(ref int within, int item, int offset, int size)
    {
        within = (within / item * item) + offset;
        return size;
    }

    private void Put(byte[] bytes, int at, int size)
    {
        ulong value = _random.Next(5) switch
        {
            0 => (ulong)_random.NextInt64(),
            1 => s_edges[_random.Next(s_edges.Length)],
            2 => Old(bytes, at, size) + 1,
            3 => Old(bytes, at, size) - 1,
            _ => Old(bytes, at, size) ^ (1UL << _random.Next(size * 8)),
        };
        for (int i = 0; i < size; i++)
        {
            bytes[at + i] = (byte)(value >> (8 * i));
        }
    }

    private static ulong Old(byte[] bytes, int at, int size)
    {
        ulong value = 0;
        for (int i = 0; i < size; i++)
        {
            value |= (ulong)bytes[at + i] << (8 * i);
        }

        return value;
    }

    /// <summary>Walks the tree as the kernel would, and asks for everything on the way; then for nodes by chance.</summary>
    private void Use(ImageLayer layer)
    {
        int steps = 0;
        Stack<uint> directories = new([ILayer.RootNode]);
        while (directories.TryPop(out uint directory) && steps < MostSteps)
        {
            ulong cookie = 0;
            Errno error;
            while ((error = Note(layer.Next(directory, cookie, out LayerEntry entry))) == Errno.None && ++steps < MostSteps)
            {
                if (entry.Cookie <= cookie || entry.Name.Length is < 1 or > 255 || entry.Name.Pointer[entry.Name.Length] != 0)
                {
                    throw new InvalidOperationException("an entry that no directory may have");
                }

                cookie = entry.Cookie;
                if (Note(layer.Find(directory, entry.Name, out uint node)) == Errno.None)
                {
                    Ask(layer, node, ref steps);
                }

                if (entry.Node != node)
                {
                    Ask(layer, entry.Node, ref steps);
                }

                if (entry.Type == FileType.Directory)
                {
                    // A node is a directory of one parent only, and greater than it: this ends.
                    if (entry.Node <= directory)
                    {
                        throw new InvalidOperationException("a walk that does not go down");
                    }

                    directories.Push(entry.Node);
                }
            }

            _ = layer.Find(directory, ByteName.FromNulTerminated(Literal.Pointer("no such name"u8)), out _);
        }

        // As EROFS finds it: all places of a small image that are not contents, and some of those.
        if (ErofsView.Of(layer) is { } view)
        {
            const int Blocks = 1100;
            const int MoreBlocks = 50;
            byte* block = stackalloc byte[ErofsView.BlockBytes];
            for (int i = 0; i < Blocks + MoreBlocks; i++)
            {
                ulong at = (ulong)(i < Blocks ? i : _random.Next(Blocks, 32 * Blocks));
                _ = Note(view.Read(at * ErofsView.BlockBytes, block, ErofsView.BlockBytes));
            }
        }

        for (int i = 0; i < 10; i++)
        {
            Ask(layer, (uint)_random.Next((int)Math.Min(layer.NodeCount + 3, int.MaxValue)), ref steps);
        }
    }

    private void Ask(ImageLayer layer, uint node, ref int steps)
    {
        stat attributes;
        Errno error = Note(layer.GetattrWithMapping(node, mapping: true, &attributes));
        if (error == Errno.None && attributes.st_size < 0)
        {
            throw new InvalidOperationException("a negative size");
        }

        _ = layer.TypeOf(node);
        _ = Note(layer.Readlink(node, _buffer, BufferBytes, out int length));
        ulong size = error == Errno.None ? (ulong)attributes.st_size : 100;
        foreach (ulong offset in (ReadOnlySpan<ulong>)[0, size / 2, size == 0 ? 0 : size - 1, size, ulong.MaxValue])
        {
            if (Note(layer.Read(node, offset, _buffer, BufferBytes, out uint got)) == Errno.None && got > BufferBytes)
            {
                throw new InvalidOperationException("more was read than asked for");
            }
        }

        if (Note(layer.Listxattr(node, _buffer, BufferBytes, out length)) == Errno.None && length > BufferBytes)
        {
            throw new InvalidOperationException("a list longer than its room");
        }

        _ = Note(layer.Getxattr(node, Literal.Pointer("user.note"u8), _buffer, BufferBytes, out length));
        uint cursor = 0;
        while (layer.NextName(node, ref cursor, out uint directory, out _) && ++steps < MostSteps)
        {
            if (directory >= cursor)
            {
                throw new InvalidOperationException("a directory behind what is in it");
            }
        }
    }

    private Errno Note(Errno error)
    {
        Answers += error == Errno.None ? 1 : 0;
        Refusals += error == Errno.EIO ? 1 : 0;
        return error is Errno.None or Errno.EIO or Errno.ENOENT or Errno.ENOTDIR or Errno.EISDIR or Errno.EINVAL or Errno.ESTALE or Errno.ENODATA or Errno.ERANGE
            ? error
            : throw new InvalidOperationException($"an answer that no image gives: {error}");
    }

    private static ImageHeader Header(byte[] bytes)
    {
        fixed (byte* start = bytes)
        {
            return *(ImageHeader*)start;
        }
    }
}

/// <summary>A short run of the fuzz in each test run; bench/acceptance/image-fuzz.sh makes it as long as one likes.</summary>
public sealed class ImageFuzzTests(ITestOutputHelper output)
{
    /// <summary>As small as frames may be: a large file and holes take several of them, and few bytes.</summary>
    private const int FrameBytes = 4096;

    [Fact]
    public void Changed_images_are_refused_or_answer()
    {
        long rounds = long.Parse(Environment.GetEnvironmentVariable("ANTARES_FUZZ_ROUNDS") ?? "1500");
        int seed = int.Parse(Environment.GetEnvironmentVariable("ANTARES_FUZZ_SEED") ?? "1");
        using DicfuseFolder folder = Small();
        byte[] good = PackedImage.Pack(folder, new PackOptions { FrameBytes = FrameBytes });
        long opened = 0;
        long answers = 0;
        long refusals = 0;
        Lock sum = new();
        long start = Stopwatch.GetTimestamp();
        _ = Parallel.For(0, Environment.ProcessorCount, part =>
        {
            using ImageFuzz fuzz = new(good, (seed * 1000) + part);
            for (long i = part; i < rounds; i += Environment.ProcessorCount)
            {
                fuzz.Round();
            }

            lock (sum)
            {
                opened += fuzz.Opened;
                answers += fuzz.Answers;
                refusals += fuzz.Refusals;
            }
        });
        output.WriteLine($"{rounds} images of {good.Length} bytes in {Stopwatch.GetElapsedTime(start).TotalSeconds:F1} s: {opened} opened, {answers} answers, {refusals} refusals");
        // The fuzz would prove nothing if all images were refused, or none.
        Assert.True(opened > rounds / 4, $"only {opened} of {rounds} images opened");
        Assert.True(answers > refusals && refusals > rounds / 10, $"{answers} answers, {refusals} refusals");
    }

    /// <summary>Something of everything that an image can hold, and as few bytes as that takes, so that a round is short.</summary>
    private static unsafe DicfuseFolder Small()
    {
        DicfuseFolder folder = new();
        Directory.CreateDirectory(folder.At("d/e"));
        folder.Write("file", 300);
        folder.Write("noise", 900, seed: 5);
        folder.Write("large", FrameBytes + 1500, seed: 6);
        File.WriteAllBytes(folder.At("zeros"), new byte[(2 * FrameBytes) + 100]);
        File.CreateSymbolicLink(folder.At("d/link"), "../file");
        DicfuseFolder.Check(PathOps.Linkat(
            Fcntl.AT_FDCWD, (byte*)DicfuseFolder.Text(folder.At("file")), Fcntl.AT_FDCWD, (byte*)DicfuseFolder.Text(folder.At("d/second")), 0));
        DicfuseFolder.Check(PathOps.Mknodat(folder.Fd, Literal.Pointer("fifo"u8), StatMode.S_IFIFO | 0x1A4, 0));
        for (int i = 0; i < 33; i++)
        {
            folder.Write($"d/e/{i}", i % 3);
        }

        fixed (byte* value = "kept"u8)
        {
            DicfuseFolder.Check(Xattrs.Setxattr((byte*)DicfuseFolder.Text(folder.At("d")), Literal.Pointer("user.note"u8), value, 4, 0));
        }

        return folder;
    }
}
