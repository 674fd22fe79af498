using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Layers;

namespace Antares.Aot.Images;

/// <summary>One path that two images do not have alike.</summary>
/// <param name="Kind">A: only in the second; D: only in the first; M: in both, but different.</param>
/// <param name="Path">Path below the root, bytes that are no text replaced.</param>
/// <param name="What">For M: what differs, such as "content, mode".</param>
internal sealed record ImageDifference(char Kind, string Path, string What);

/// <summary>
/// Compares two images path by path, both walked in the order of their names. Contents are compared by size and checksum, and not read. An
/// added or removed directory is told with everything in it.
/// </summary>
internal sealed class ImageComparison(ImageLayer first, ImageLayer second)
{
    /// <exception cref="ImageException">One of them is damaged.</exception>
    public IEnumerable<ImageDifference> Run()
    {
        if (Changes(ILayer.RootNode, ILayer.RootNode, ".") is { Length: > 0 } changes)
        {
            yield return new ImageDifference('M', ".", changes);
        }

        var old = new ImageWalk(first.Tree, ILayer.RootNode);
        var now = new ImageWalk(second.Tree, ILayer.RootNode);
        var hasOld = old.MoveNext();
        var hasNow = now.MoveNext();
        while (hasOld || hasNow)
        {
            var order = !hasOld ? 1 : !hasNow ? -1 : Order(old.Path, now.Path);
            if (order < 0)
            {
                yield return new ImageDifference('D', old.PrintedPath, "");
                hasOld = old.MoveNext();
            }
            else if (order > 0)
            {
                yield return new ImageDifference('A', now.PrintedPath, "");
                hasNow = now.MoveNext();
            }
            else
            {
                if (Changes(old.Node, now.Node, old.PrintedPath) is { Length: > 0 } what)
                {
                    yield return new ImageDifference('M', old.PrintedPath, what);
                }

                hasOld = old.MoveNext();
                hasNow = now.MoveNext();
            }
        }
    }

    /// <summary>
    /// The order of a walk that goes into a directory right after its name is that of the paths, with the slash before every other byte.
    /// </summary>
    private static int Order(ReadOnlySpan<byte> a, ReadOnlySpan<byte> b)
    {
        var common = a.CommonPrefixLength(b);
        if (common == a.Length || common == b.Length)
        {
            return a.Length - b.Length;
        }

        return a[common] == (byte)'/' ? -1 : b[common] == (byte)'/' ? 1 : a[common] - b[common];
    }

    private string Changes(uint a, uint b, string path)
    {
        var old = ImageReads.Attributes(first, a, path);
        var now = ImageReads.Attributes(second, b, path);
        var type = FileTypes.FromMode(old.st_mode);
        if (type != FileTypes.FromMode(now.st_mode))
        {
            return "type";
        }

        List<string> changes = [];
        if (type == FileType.Regular && (old.st_size != now.st_size || Checksum(first, a, path) != Checksum(second, b, path)))
        {
            changes.Add("content");
        }

        if (type == FileType.Symlink && !ImageReads.Target(first, a, path).AsSpan().SequenceEqual(ImageReads.Target(second, b, path)))
        {
            changes.Add("target");
        }

        if (old.st_rdev != now.st_rdev)
        {
            changes.Add("device");
        }

        if (old.st_mode != now.st_mode)
        {
            changes.Add("mode");
        }

        if ((old.st_uid, old.st_gid) != (now.st_uid, now.st_gid))
        {
            changes.Add("owner");
        }

        if ((old.st_mtim.tv_sec, old.st_mtim.tv_nsec) != (now.st_mtim.tv_sec, now.st_mtim.tv_nsec))
        {
            changes.Add("time");
        }

        if (type != FileType.Directory && old.st_nlink != now.st_nlink)
        {
            changes.Add("links");
        }

        var oldXattrs = ImageReads.Xattrs(first, a, path);
        var newXattrs = ImageReads.Xattrs(second, b, path);
        if (oldXattrs.Count != newXattrs.Count || oldXattrs.Zip(newXattrs).Any(pair => !Same(pair.First, pair.Second)))
        {
            changes.Add("xattrs");
        }

        return string.Join(", ", changes);
    }

    private static bool Same((byte[] Name, byte[] Value) a, (byte[] Name, byte[] Value) b) =>
        a.Name.AsSpan().SequenceEqual(b.Name) && a.Value.AsSpan().SequenceEqual(b.Value);

    private static ulong Checksum(ImageLayer image, uint node, string path)
    {
        ImageReads.Must(image.Tree.GetObject(node, out _, out var record), path);
        if (record.Size == 0)
        {
            return 0;
        }

        ImageReads.Must(image.Content.Blob(record.Body, out var blob), path);
        return blob.Checksum;
    }
}
