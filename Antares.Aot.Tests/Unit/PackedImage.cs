using Antares.Aot.Base;
using Antares.Aot.Dicfuse;
using Antares.Aot.Dicfuse.Archives;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Aot.Images;
using Antares.Aot.Layers;
using Antares.Interop;
using K4os.Hash.xxHash;

namespace Antares.Aot.Tests.Unit;

/// <summary>Images in memory: packed from folders, changed byte by byte, opened.</summary>
internal static unsafe class PackedImage
{
    public static byte[] Pack(DicfuseFolder folder, PackOptions? options = null)
    {
        using DicfuseLayer source = folder.Open(new DicfuseOptions { MemoryLimitBytes = 0 });
        return Pack(source, options);
    }

    public static byte[] Pack(ILayer source, PackOptions? options = null) => Pack(new LayerSource(source, "folder"), options); // the layer stays the caller's

    public static byte[] Pack(IPackSource source, PackOptions? options = null)
    {
        using OwnedFd image = NewFile();
        using OwnedFd contents = NewFile();
        ImagePacker.Pack(source, options ?? new PackOptions { Threads = 2 }, image.Value, contents.Value, static _ => { });
        stat attributes;
        DicfuseFolder.Check(Attributes.Fstat(image.Value, &attributes));
        byte[] bytes = new byte[attributes.st_size];
        fixed (byte* start = bytes)
        {
            DicfuseFolder.Check(FileIo.ReadFull(image.Value, start, (nuint)bytes.Length, 0, out nuint got));
            Assert.Equal((nuint)bytes.Length, got);
        }

        return bytes;
    }

    /// <summary>Packs a tar archive.</summary>
    /// <exception cref="ImageException">What is wrong with it.</exception>
    public static byte[] PackTar(ReadOnlySpan<byte> archive, out IReadOnlyList<string> notes, int threads = 2)
    {
        using OwnedFd scratch = NewFile();
        using TarSource source = OpenTar(archive, scratch);
        byte[] image = Pack(source, new PackOptions { Threads = threads });
        notes = source.Notes;
        return image;
    }

    public static byte[] PackTar(ReadOnlySpan<byte> archive) => PackTar(archive, out _);

    /// <summary>Reads a tar archive.</summary>
    /// <param name="archive">Its bytes.</param>
    /// <param name="scratch">For the contents of a packed one; stays the caller's.</param>
    /// <exception cref="ImageException">What is wrong with it.</exception>
    public static TarSource OpenTar(ReadOnlySpan<byte> archive, OwnedFd scratch)
    {
        OwnedFd file = NewFile();
        fixed (byte* start = archive)
        {
            DicfuseFolder.Check(FileIo.WriteFull(file.Value, start, (nuint)archive.Length, 0));
        }

        return TarSource.Open(file, scratch.Value, static _ => { });
    }

    /// <summary>What differs between two images, a path each; "" for none.</summary>
    public static string Compare(ReadOnlySpan<byte> old, ReadOnlySpan<byte> now)
    {
        using ImageLayer first = Open(old);
        using ImageLayer second = Open(now);
        return string.Join('\n', new ImageComparison(first, second).Run().Select(difference => $"{difference.Kind} {difference.Path} {difference.What}"));
    }

    /// <exception cref="ImageException">It is none.</exception>
    public static ImageLayer Open(ReadOnlySpan<byte> bytes)
    {
        using OwnedFd file = NewFile();
        return Open(bytes, file);
    }

    /// <summary>Opens an image in a file of the caller's, which may hold another one once the layer is closed.</summary>
    /// <exception cref="ImageException">It is none.</exception>
    public static ImageLayer Open(ReadOnlySpan<byte> bytes, OwnedFd file)
    {
        DicfuseFolder.Check(FileIo.Ftruncate(file.Value, bytes.Length));
        fixed (byte* start = bytes)
        {
            DicfuseFolder.Check(FileIo.WriteFull(file.Value, start, (nuint)bytes.Length, 0));
        }

        DicfuseFolder.Check(Fd.DupCloexec(file.Value, out int own));
        OwnedFd taken = new(own);
        try
        {
            ImageLayer layer = ImageLayer.Open(own, IdMap.Identity, IdMap.Identity);
            taken.Detach();
            return layer;
        }
        finally
        {
            taken.Dispose();
        }
    }

    /// <summary>What verify says of it, one problem a line; "" for a whole image.</summary>
    public static string Verify(ReadOnlySpan<byte> bytes)
    {
        try
        {
            using ImageLayer layer = Open(bytes);
            using ImageVerifier verifier = new(layer.Image, layer.Tree, layer.Content, layer.Xattrs);
            return string.Join('\n', verifier.Run());
        }
        catch (ImageException problem)
        {
            return problem.Message;
        }
    }

    /// <summary>Makes all checksums right again after bytes were changed, so that only what the image says is wrong.</summary>
    /// <param name="bytes">The changed image.</param>
    /// <param name="good">The same image unchanged: tells where the sections are, whatever the changed header says.</param>
    public static void Seal(byte[] bytes, byte[] good)
    {
        fixed (byte* start = bytes, layout = good)
        {
            ImageHeader changed = *(ImageHeader*)start;
            ImageHeader header = *(ImageHeader*)layout;
            ImageWriter.Seal(ref header, start);
            for (int root = 0; root < ImageHeader.MostRoots; root++)
            {
                changed.SetRoot(root, header.GetRoot(root));
            }

            *(ImageHeader*)start = changed;
            ((ImageHeader*)start)->HeaderChecksum = XXH64.DigestOf(start, ImageHeader.CheckedBytes);
        }
    }

    /// <summary>An empty file in memory.</summary>
    public static OwnedFd NewFile()
    {
        DicfuseFolder.Check(Fd.Memfd((byte*)Literal.Pointer("image"u8), 1, out int fd));
        return new OwnedFd(fd);
    }
}
