using System.Globalization;
using System.Text;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Image.Pack;

/// <summary>Makes an image of a layer's tree.</summary>
internal static unsafe class ImagePacker
{
    /// <summary>Bytes that one call copies from the packed contents to the image.</summary>
    private const int CopyBytes = 64 << 20;

    /// <summary>Packs a tree into an open file.</summary>
    /// <param name="source">The tree.</param>
    /// <param name="options">How.</param>
    /// <param name="target">An empty file, open for reading and writing; holds the image at the end.</param>
    /// <param name="scratch">Another empty file, best on the same file system; holds the packed contents meanwhile.</param>
    /// <param name="progress">Told now and then.</param>
    /// <exception cref="ImageException">What could not be read or written.</exception>
    public static void Pack(IPackSource source, PackOptions options, int target, int scratch, Action<PackProgress> progress)
    {
        using PackedTree tree = PackContents(source, options, scratch, progress);
        Write(tree, source, options, target, scratch);
    }

    /// <summary>The first part of <see cref="Pack"/>, which takes nearly all of the time: reads the tree and packs its contents.</summary>
    /// <param name="source">The tree.</param>
    /// <param name="options">How.</param>
    /// <param name="scratch">An empty file; holds the packed contents at the end.</param>
    /// <param name="progress">Told now and then.</param>
    /// <returns>For <see cref="Write"/>; the caller disposes of it.</returns>
    /// <exception cref="ImageException">What could not be read or written.</exception>
    public static PackedTree PackContents(IPackSource source, PackOptions options, int scratch, Action<PackProgress> progress)
    {
        PackedTree tree = new() { Features = options.Base is null ? 0 : ImageFormat.PatchFeature };
        try
        {
            // A patch has left them out already, and its whiteouts may have such names.
            using (TreeWalk walk = new(source, source is PatchSource ? options with { Excludes = [] } : options, tree, progress))
            {
                walk.Run();
            }

            using (FrameCompressor frames = new(scratch, options.Level, options.FrameBytes, options.Threads, tree.Frames))
            {
                using ContentFeed feed = new(source, tree, new StreamCutter(frames, options.FrameBytes), options.FrameBytes, progress);
                feed.Run();
                tree.StreamBytes = frames.Finish();
                tree.PackedBytes = frames.PackedBytes;
            }

            return source.Finish() == Errno.None
                ? tree
                : throw new ImageException("the source changed while it was being packed; try again when nothing writes to it");
        }
        catch
        {
            tree.Dispose();
            throw;
        }
    }

    /// <summary>The second part of <see cref="Pack"/>: writes the image.</summary>
    /// <param name="tree">Of the first part, as the others.</param>
    /// <param name="source">As above.</param>
    /// <param name="options">As above.</param>
    /// <param name="target">An empty file, open for reading and writing; holds the image at the end.</param>
    /// <param name="scratch">Holds the packed contents.</param>
    /// <exception cref="ImageException">What could not be written.</exception>
    public static void Write(PackedTree tree, IPackSource source, PackOptions options, int target, int scratch)
    {
        using ImageWriter writer = new(tree, Encoding.UTF8.GetBytes(Provenance(source, options)), options.FrameBytes, tree.PackedBytes);
        Errno error = writer.Write(target);
        if (error == Errno.None)
        {
            error = CopyContents(scratch, target, (long)writer.ContentsOffset, (long)tree.PackedBytes);
        }

        if (error != Errno.None)
        {
            throw new ImageException($"the image cannot be written: {error}");
        }
    }

    /// <summary>What the image was made of and how: no path and no time, so that equal trees give equal images.</summary>
    private static string Provenance(IPackSource source, PackOptions options)
    {
        StringBuilder text = new();
        _ = text.Append(CultureInfo.InvariantCulture, $"tool={ProgramVersion.Line}\n")
            .Append(CultureInfo.InvariantCulture, $"source={source.Kind}\n");
        if (source.Revision is { } revision)
        {
            _ = text.Append(CultureInfo.InvariantCulture, $"revision={revision}\n");
        }

        if (options.Base is { } name)
        {
            _ = text.Append(CultureInfo.InvariantCulture, $"{ImageProvenance.BaseKey}={name}\n");
        }

        _ = text.Append(CultureInfo.InvariantCulture, $"level={options.Level}\n");
        if (options.FrameBytes != ImageFormat.FrameBytes)
        {
            _ = text.Append(CultureInfo.InvariantCulture, $"frame={options.FrameBytes}\n");
        }

        foreach (string pattern in options.Excludes)
        {
            _ = text.Append(CultureInfo.InvariantCulture, $"exclude={pattern.Replace('\n', '?')}\n");
        }

        if (options.Mtime is { } time)
        {
            _ = text.Append(CultureInfo.InvariantCulture, $"mtime={time.tv_sec}\n");
        }

        if (options.Owner is { } owner)
        {
            _ = text.Append(CultureInfo.InvariantCulture, $"owner={owner.Uid}:{owner.Gid}\n");
        }

        return text.ToString();
    }

    private static Errno CopyContents(int from, int to, long offset, long length)
    {
        long at = 0;
        while (at < length)
        {
            long read = at;
            long write = offset + at;
            Errno error = FileIo.CopyFileRange(from, &read, to, &write, (nuint)Math.Min(CopyBytes, length - at), 0, out nuint copied);
            if (error is Errno.EXDEV or Errno.EOPNOTSUPP or Errno.EINVAL or Errno.ENOSYS)
            {
                return CopyByHand(from, to, offset, at, length);
            }

            if (error != Errno.None)
            {
                return error;
            }

            if (copied == 0)
            {
                return Errno.EIO;
            }

            at += (long)copied;
        }

        return Errno.None;
    }

    private static Errno CopyByHand(int from, int to, long offset, long at, long length)
    {
        byte[] buffer = new byte[256 << 10];
        fixed (byte* bytes = buffer)
        {
            while (at < length)
            {
                Errno error = FileIo.ReadFull(from, bytes, (nuint)Math.Min(buffer.Length, length - at), at, out nuint got);
                if (error == Errno.None)
                {
                    error = got == 0 ? Errno.EIO : FileIo.WriteFull(to, bytes, got, offset + at);
                }

                if (error != Errno.None)
                {
                    return error;
                }

                at += (long)got;
            }
        }

        return Errno.None;
    }
}
