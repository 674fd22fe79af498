using System.Globalization;
using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Layers;

namespace Antares.Aot.Images;

/// <summary>What <c>inspect</c> tells of an image: what is in it, and where its bytes are.</summary>
internal sealed class ImageSummary
{
    private const int LargestCount = 10;

    private readonly ImageHeader _header;
    private readonly PriorityQueue<string, (ulong Size, int Order)> _largest = new();
    private readonly List<(string Key, string Value)> _provenance;
    private readonly long _frames;
    private readonly long _blobs;
    private int _order;
    private long _files;
    private long _directories = 1;
    private long _links;
    private long _others;
    private long _furtherNames;

    /// <exception cref="ImageException">The image is damaged.</exception>
    public ImageSummary(ImageLayer image)
    {
        _header = image.Image.Header;
        _frames = image.Content.Frames.Count;
        _blobs = (long)(_header[ImageSection.Blobs].Length / ImageBlob.Bytes) - 1;
        _provenance = ImageProvenance.Read(image.Image);
        var walk = new ImageWalk(image.Tree, ILayer.RootNode);
        while (walk.MoveNext())
        {
            Count(walk);
        }
    }

    private ulong MetadataBytes => _header.MetadataBytes;

    private ulong PackedBytes => _header[ImageSection.Contents].Length;

    /// <summary>For people.</summary>
    public string Text()
    {
        var text = new StringBuilder();
        Line(text, "format", $"version {_header.Version}");
        Line(text, "size", $"{_header.FileBytes} bytes: metadata {MetadataBytes}, contents {PackedBytes}");
        Line(text, "names", $"{_header.NodeCount - 1}: {_files} files, {_directories} directories, {_links} links, {_others} others, {_furtherNames} further names of hard links");
        Line(text, "contents", $"{_header.FileSizes} bytes in files, {_header.StreamBytes} in {_blobs} different contents, {_frames} frames");
        if (PackedBytes > 0)
        {
            Line(text, "ratio", $"{(double)_header.FileSizes / _header.FileBytes:F2} whole, {(double)_header.StreamBytes / PackedBytes:F2} of the frames");
        }

        foreach (var (key, value) in _provenance)
        {
            Line(text, key, $"{value}");
        }

        _ = text.Append("sections\n");
        for (var section = ImageSection.Nodes; section <= ImageSection.Contents; section++)
        {
            _ = text.Append(CultureInfo.InvariantCulture, $"  {section,-12}{_header[section].Length,14}\n");
        }

        _ = text.Append("largest files\n");
        foreach (var (path, size) in Largest())
        {
            _ = text.Append(CultureInfo.InvariantCulture, $"  {size,14}  {path}\n");
        }

        return text.ToString();
    }

    /// <summary>For programs: one line.</summary>
    public string Json() => JsonLine.Of(writer =>
    {
        writer.WriteStartObject();
        writer.WriteNumber("version"u8, _header.Version);
        writer.WriteNumber("bytes"u8, _header.FileBytes);
        writer.WriteNumber("metadata_bytes"u8, MetadataBytes);
        writer.WriteNumber("content_bytes"u8, PackedBytes);
        writer.WriteNumber("names"u8, _header.NodeCount - 1);
        writer.WriteNumber("files"u8, _files);
        writer.WriteNumber("directories"u8, _directories);
        writer.WriteNumber("symlinks"u8, _links);
        writer.WriteNumber("others"u8, _others);
        writer.WriteNumber("further_names"u8, _furtherNames);
        writer.WriteNumber("file_sizes"u8, _header.FileSizes);
        writer.WriteNumber("stream_bytes"u8, _header.StreamBytes);
        writer.WriteNumber("different_contents"u8, _blobs);
        writer.WriteNumber("frames"u8, _frames);
        writer.WriteStartObject("sections"u8);
        for (var section = ImageSection.Nodes; section <= ImageSection.Contents; section++)
        {
            writer.WriteNumber(section.ToString(), _header[section].Length);
        }

        writer.WriteEndObject();
        writer.WriteStartArray("provenance"u8);
        foreach (var (key, value) in _provenance)
        {
            writer.WriteStringValue($"{key}={value}");
        }

        writer.WriteEndArray();
        writer.WriteStartArray("largest"u8);
        foreach (var (path, size) in Largest())
        {
            writer.WriteStartObject();
            writer.WriteString("path"u8, path);
            writer.WriteNumber("bytes"u8, size);
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        writer.WriteEndObject();
    });

    private void Count(ImageWalk walk)
    {
        if ((walk.Record.Flags & ImageNode.Alias) != 0)
        {
            _furtherNames++;
            return;
        }

        switch (ImageTree.TypeOf(walk.Record))
        {
            case FileType.Regular:
                _files++;
                KeepLargest(walk);
                break;
            case FileType.Directory:
                _directories++;
                break;
            case FileType.Symlink:
                _links++;
                break;
            default:
                _others++;
                break;
        }
    }

    private void KeepLargest(ImageWalk walk)
    {
        var size = walk.Record.Size;
        if (_largest.Count == LargestCount)
        {
            _ = _largest.TryPeek(out _, out var smallest); // there are as many as are kept
            if (size <= smallest.Size)
            {
                return;
            }

            _ = _largest.Dequeue();
        }

        // Of equal sizes the first found stays longest.
        _largest.Enqueue(walk.PrintedPath, (size, -_order++));
    }

    private List<(string Path, ulong Size)> Largest() =>
        [.. _largest.UnorderedItems.OrderByDescending(item => item.Priority).Select(item => (item.Element, item.Priority.Size))];

    private static void Line(StringBuilder text, string key, FormattableString value) =>
        _ = text.Append(CultureInfo.InvariantCulture, $"{key,-10}").Append(value.ToString(CultureInfo.InvariantCulture)).Append('\n');
}
