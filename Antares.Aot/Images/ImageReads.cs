using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Images;

/// <summary>What unpacking and comparing ask of an image, with an exception that names the place where it is damaged.</summary>
internal static unsafe class ImageReads
{
    /// <summary>Attributes of a node, owners as stored.</summary>
    /// <exception cref="ImageException">Damaged.</exception>
    public static stat Attributes(ImageLayer image, uint node, string path)
    {
        stat attributes;
        Must(image.GetattrWithMapping(node, mapping: false, &attributes), path);
        return attributes;
    }

    /// <exception cref="ImageException">Damaged.</exception>
    public static byte[] Target(ImageLayer image, uint node, string path)
    {
        var target = new byte[ImageFormat.LongestTarget + 1];
        fixed (byte* room = target)
        {
            Must(image.Readlink(node, room, ImageFormat.LongestTarget, out var length), path);
            return target[..length];
        }
    }

    /// <summary>Extended attributes, and the mark of an opaque directory; names end with a NUL.</summary>
    /// <exception cref="ImageException">Damaged.</exception>
    public static List<(byte[] Name, byte[] Value)> Xattrs(ImageLayer image, uint node, string path)
    {
        List<(byte[], byte[])> all = [];
        Must(image.Tree.GetObject(node, out var standing, out var record), path);
        if ((record.Flags & ImageNode.Opaque) != 0)
        {
            // As a folder and an archive say it.
            all.Add(("trusted.overlay.opaque\0"u8.ToArray(), "y"u8.ToArray()));
        }

        if ((record.Flags & ImageNode.HasXattrs) == 0)
        {
            return all;
        }

        Must(image.Xattrs.Open(standing, out var cursor), path);
        Errno error;
        while ((error = image.Xattrs.Next(ref cursor)) == Errno.None)
        {
            all.Add(([.. cursor.Name, 0], cursor.Value.ToArray()));
        }

        Must(error == Errno.ENODATA ? Errno.None : error, path);
        return all;
    }

    /// <summary>The path of a node's first name below the root.</summary>
    /// <exception cref="ImageException">Damaged.</exception>
    public static byte[] PathOf(ImageLayer image, uint node)
    {
        List<byte[]> parts = [];
        for (var at = node; at > ILayer.RootNode;)
        {
            Must(image.Tree.Get(at, out var record), "a directory");
            Must(image.Tree.NameOf(record, out var name), "a directory");
            parts.Add(name.Span.ToArray());
            if (record.Parent >= at)
            {
                throw new ImageException("damaged (section nodes: directory)");
            }

            at = record.Parent;
        }

        parts.Reverse();
        var path = new List<byte>();
        foreach (var part in parts)
        {
            if (path.Count > 0)
            {
                path.Add((byte)'/');
            }

            path.AddRange(part);
        }

        return [.. path];
    }

    /// <summary>Reads a part of a file.</summary>
    /// <exception cref="ImageException">Damaged.</exception>
    public static int Content(ImageLayer image, uint node, ulong offset, byte* buffer, int size, string path)
    {
        Must(image.Read(node, offset, buffer, (uint)size, out var got), path);
        return (int)got;
    }

    /// <exception cref="ImageException">For any error.</exception>
    public static void Must(Errno error, string path)
    {
        if (error != Errno.None)
        {
            throw ImageWalk.Damaged(path, error);
        }
    }
}
