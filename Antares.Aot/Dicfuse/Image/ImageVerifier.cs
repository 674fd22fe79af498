using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Tree;
using Antares.Interop;
using K4os.Hash.xxHash;

namespace Antares.Aot.Dicfuse.Image;

/// <summary>
/// Checks an image whole: every checksum, and every rule of docs/IMAGE-FORMAT.md that a reader does not check by itself. The header was
/// checked when the image was opened.
/// </summary>
internal sealed unsafe class ImageVerifier : IDisposable
{
    /// <summary>After so many problems the others are only counted.</summary>
    private const int MostProblems = 20;

    private const ulong UnknownSize = ulong.MaxValue;

    private readonly ImageFile _image;
    private readonly ImageTree _tree;
    private readonly ImageContent _content;
    private readonly ImageXattrs _xattrs;
    private readonly List<string> _problems = [];
    private readonly NativeList<ulong> _blobSizes = new();
    private long _further;
    private ulong _children;
    private ulong _aliases;
    private ulong _linked;
    private ulong _withXattrs;
    private ulong _fileSizes;
    private bool _opaque;

    public ImageVerifier(ImageFile image, ImageTree tree, ImageContent content, ImageXattrs xattrs)
    {
        _image = image;
        _tree = tree;
        _content = content;
        _xattrs = xattrs;
    }

    /// <summary>Checks everything and tells what is wrong; nothing: the image is whole.</summary>
    public IReadOnlyList<string> Run()
    {
        if (Blocks() && Padding())
        {
            Nodes();
            XattrTable();
            Frames();
            Contents();
        }

        return _further == 0 ? _problems : [.. _problems, $"and {_further} more"];
    }

    public void Dispose() => _blobSizes.Dispose();

    private bool IsFull => _problems.Count >= MostProblems;

    private void Problem(string text)
    {
        if (IsFull)
        {
            _further++;
        }
        else
        {
            _problems.Add(text);
        }
    }

    private void Check(bool good, string problem)
    {
        if (!good)
        {
            Problem(problem);
        }
    }

    /// <returns>True when there was no error.</returns>
    private bool Check(Errno error, string where)
    {
        Check(error == Errno.None, $"{where}: {Reason(error)}");
        return error == Errno.None;
    }

    private static string Reason(Errno error) => (error == Errno.EIO ? Failure.Call : null) ?? error.ToString();

    /// <summary>A problem of a content, with a file that has it.</summary>
    private void ContentProblem(ulong blob, string what) => Problem(IsFull ? what : $"content {blob}{PathOfContent(blob)}: {what}");

    /// <summary>" (PATH)" of the first file with a content, as far as names can be read; "" when no file has it.</summary>
    private string PathOfContent(ulong blob)
    {
        for (uint node = ImageFormat.RootNode; node < _tree.Count; node++)
        {
            if (_tree.Get(node, out ImageNode record) == Errno.None && (record.Flags & ImageNode.Alias) == 0
                && ImageTree.TypeOf(record) == FileType.Regular && record.Size != 0 && record.Body == blob)
            {
                return $" ({PathOf(node)})";
            }
        }

        return "";
    }

    private string PathOf(uint node)
    {
        string path = "";
        while (node != ImageFormat.RootNode && _tree.Get(node, out ImageNode record) == Errno.None)
        {
            string name = _tree.NameOf(record, out ByteName bytes) == Errno.None ? Utf8.Print(bytes.Span) : "?";
            path = path.Length == 0 ? name : $"{name}/{path}";
            if (record.Parent >= node)
            {
                break; // damaged; was told
            }

            node = record.Parent;
        }

        return path;
    }

    private bool Blocks()
    {
        ulong end = _image.Header[ImageSection.Checksums].Offset;
        for (ulong at = ImageHeader.Bytes; at < end; at += ImageFormat.BlockBytes)
        {
            _ = Check(_image.Need(at, Math.Min(ImageFormat.BlockBytes, end - at)), $"metadata at {at}"); // told; the others are looked at too
        }

        return _problems.Count == 0;
    }

    private bool Padding()
    {
        for (ImageSection section = ImageSection.Nodes; section < ImageSection.Contents; section++)
        {
            SectionPlace place = _image.Header[section];
            ulong end = place.Offset + place.Length;
            ReadOnlySpan<byte> rest = new(_image.Base + end, (int)(ImageFormat.PageUp(end) - end));
            Check(!rest.ContainsAnyExcept((byte)0), $"section {section}: bytes behind its end are not zero");
        }

        ulong blocks = (_image.Header[ImageSection.Checksums].Length + ImageFormat.BlockBytes - 1) / ImageFormat.BlockBytes;
        ImageHeader header = _image.Header;
        for (int root = (int)blocks; root < ImageHeader.MostRoots; root++)
        {
            Check(header.GetRoot(root) == 0, "header: a checksum of a block that is not there");
        }

        SectionPlace names = _image.Header[ImageSection.Names];
        Check(*(_image.Base + names.Offset) == 0 && *(_image.Base + names.Offset + names.Length - 1) == 0, "section Names: does not begin and end with NUL");
        return _problems.Count == 0;
    }

    private void Nodes()
    {
        _ = _blobSizes.AddZeroed((long)(_image.Header[ImageSection.Blobs].Length / ImageBlob.Bytes)); // by index
        for (long i = 0; i < _blobSizes.Count; i++)
        {
            _blobSizes[i] = UnknownSize;
        }

        _ = _tree.Get(0, out ImageNode none); // the blocks were checked
        Check(IsZero(none), "node 0 is not zero");
        for (uint node = ImageFormat.RootNode; node < _tree.Count; node++)
        {
            if (Check(_tree.Get(node, out ImageNode record), $"node {node}"))
            {
                Node(node, record);
            }
        }

        Check(IsFull || _children == _tree.Count - 2UL, "the directories do not hold each node once");
        Check(IsFull || _aliases == _linked, "a further name of a hard link belongs to no object");
        Check(IsFull || _opaque == ((_image.Header.Features & ImageFormat.OpaqueFeature) != 0), "whether directories are opaque is not what the header says");
        Check(IsFull || _fileSizes == _image.Header.FileSizes, "the header's sum of file sizes is wrong");
    }

    private void Node(uint node, in ImageNode record)
    {
        stat attributes;
        string where = $"node {node}";
        _ = Check(_tree.Attributes(node, &attributes, out _), where); // told; the rest is looked at too
        Check((record.Flags & ~ImageNode.KnownFlags) == 0, $"{where}: unknown flags");
        if ((record.Flags & ImageNode.Opaque) != 0)
        {
            _opaque = true;
            Check(IsDirectory(record), $"{where}: opaque, but no directory");
        }

        if (node == ImageFormat.RootNode)
        {
            Check(record.Parent == 0 && record.Name == 0 && record.NameLength == 0 && IsDirectory(record), "the root is none");
        }
        else
        {
            _ = Check(_tree.NameOf(record, out _), where); // as above
            Check(record.Parent != 0 && record.Parent < node, $"{where}: its directory");
        }

        if ((record.Flags & ImageNode.HasXattrs) != 0)
        {
            _withXattrs++;
        }

        if ((record.Flags & ImageNode.Alias) != 0)
        {
            _aliases++;
            Alias(node, record, where);
            return;
        }

        switch (ImageTree.TypeOf(record))
        {
            case FileType.Directory:
                Directory(node, record, where);
                return;
            case FileType.Regular:
                _fileSizes += record.Size;
                File(record, where);
                break;
            case FileType.Symlink:
                byte* target = stackalloc byte[ImageFormat.LongestTarget];
                _ = Check(_tree.Readlink(node, target, ImageFormat.LongestTarget, out _), where); // as above
                break;
            case FileType.CharDevice or FileType.BlockDevice or FileType.Whiteout:
                Check(record.Body == 0, $"{where}: fields that it does not use");
                break;
            default:
                Check(record is { Body: 0, Size: 0 }, $"{where}: fields that it does not use");
                break;
        }

        Links(node, record, where);
    }

    private void Alias(uint node, in ImageNode record, string where)
    {
        if (Check(_tree.GetObject(node, out _, out ImageNode standing), where))
        {
            bool same = record.Size == standing.Size && record.Time == standing.Time && record.Owner == standing.Owner;
            Check(same && record.Nlink == 0 && record.Flags == ImageNode.Alias, $"{where}: differs from the object that it is a name of");
        }
    }

    /// <summary>The names of an object: as many as its link count says, each a further name of it, in rising order.</summary>
    private void Links(uint node, in ImageNode record, string where)
    {
        ulong names = 1;
        uint last = node;
        for (uint next = record.Extra; next != 0;)
        {
            bool good = next > last && next < _tree.Count;
            ImageNode name = default;
            good = good && _tree.Get(next, out name) == Errno.None && (name.Flags & ImageNode.Alias) != 0 && name.Body == node;
            if (!good)
            {
                Problem($"{where}: its names");
                return;
            }

            names++;
            last = next;
            next = name.Extra;
        }

        _linked += names - 1;
        Check(record.Nlink == Math.Min(names, ushort.MaxValue), $"{where}: link count");
    }

    private void Directory(uint node, in ImageNode record, string where)
    {
        if (!Check(_tree.Directory(node, out _), where))
        {
            return;
        }

        Check(record.Extra != 0 || record.Body == 0, $"{where}: fields that it does not use");
        Check((record.Size != 0) == NameIndex.Wanted(record.Extra), $"{where}: name index");
        _children += record.Extra;
        ulong subdirectories = 0;
        ByteName last = default;
        for (uint child = record.Body; child < record.Body + record.Extra; child++)
        {
            if (_tree.Get(child, out ImageNode named) != Errno.None || _tree.NameOf(named, out ByteName name) != Errno.None)
            {
                Problem($"{where}: a name in it");
                return;
            }

            bool good = named.Parent == node
                && (last.Length == 0 || last.CompareBytes(name) < 0)
                && _tree.Find(node, name, out uint found) == Errno.None && found == child;
            if (!good)
            {
                Problem($"{where}: a name in it is out of order, or is not found");
                return;
            }

            subdirectories += IsDirectory(named) ? 1u : 0;
            last = name;
        }

        ulong links = subdirectories > ushort.MaxValue - 3 ? 1 : 2 + subdirectories;
        Check(record.Nlink == links, $"{where}: link count");
    }

    private void File(in ImageNode record, string where)
    {
        if (record.Size == 0)
        {
            Check(record.Body == 0, $"{where}: content of an empty file");
            return;
        }

        if (Check(_content.Blob(record.Body, out _), where))
        {
            ref ulong size = ref _blobSizes[record.Body];
            Check(size == UnknownSize || size == record.Size, $"{where}: its size is another than that of a file with the same content");
            size = record.Size;
            bool read = Check(_content.Zeros(record, out ulong zeros), where);
            Check(!read || (zeros != 0) == ((record.Flags & ImageNode.Sparse) != 0), $"{where}: whether it has holes");
        }
    }

    private void XattrTable()
    {
        SectionPlace place = _image.Header[ImageSection.XattrNodes];
        ulong count = place.Length / ImageXattrNode.Bytes;
        Check(count == _withXattrs, "section XattrNodes: other nodes have attributes than the nodes say");
        ImageXattrNode* entries = (ImageXattrNode*)(_image.Base + place.Offset);
        uint last = 0;
        for (ulong i = 0; i < count; i++)
        {
            uint node = entries[i].Node;
            bool good = node > last && _tree.Contains(node) && _tree.Get(node, out ImageNode record) == Errno.None
                && (record.Flags & ImageNode.HasXattrs) != 0;
            if (!good)
            {
                Problem("section XattrNodes: a node");
                return;
            }

            last = node;
            XattrSet(node);
        }
    }

    private void XattrSet(uint node)
    {
        string where = $"attributes of node {node}";
        if (!Check(_xattrs.Open(node, out ImageXattrs.Cursor cursor), where))
        {
            return;
        }

        ByteName last = default;
        Errno error;
        while ((error = _xattrs.Next(ref cursor)) == Errno.None)
        {
            ByteName name = new(cursor.NameAt, cursor.NameBytes);
            Check(last.Length == 0 || last.CompareBytes(name) < 0, $"{where}: out of order");
            Check(!name.Span.Contains((byte)0), $"{where}: a name");
            last = name;
        }

        if (error != Errno.ENODATA)
        {
            _ = Check(error, where); // told
        }
    }

    private void Frames()
    {
        FrameReader frames = _content.Frames;
        SectionPlace place = _image.Header[ImageSection.Frames];
        ImageFrame* entries = (ImageFrame*)(_image.Base + place.Offset);
        Check(entries[0].Start == 0 && entries[0].Packed == 0, "section Frames: does not begin at 0");
        ImageFrame end = entries[frames.Count];
        bool ends = end.Start == _image.Header.StreamBytes && end.Packed == _image.Header[ImageSection.Contents].Length && end.Checksum == 0;
        Check(ends, "section Frames: does not end where the contents do");
        for (uint i = 0; i < frames.Count; i++)
        {
            bool read = Check(frames.Get(i, out FramePlace frame), $"frame {i}");
            Check(!read || !frame.IsZeros || frame.Checksum == 0, $"frame {i}: checksum of zeros");
        }
    }

    /// <summary>Reads every content, and with them every frame: contents follow each other in the stream without gaps.</summary>
    private void Contents()
    {
        const int PartBytes = 128 << 10;
        byte* part = (byte*)NativeMemory.Alloc(PartBytes);
        ulong expected = 0;
        for (uint blob = 1; blob < _blobSizes.Count; blob++)
        {
            ulong size = _blobSizes[blob];
            if (size == UnknownSize)
            {
                Problem($"content {blob}: no file has it");
                continue;
            }

            Errno error = _content.Blob(blob, out ImageBlob place);
            if (error != Errno.None)
            {
                ContentProblem(blob, Reason(error));
                continue;
            }

            if (place.Start != expected || size > _image.Header.StreamBytes - place.Start)
            {
                ContentProblem(blob, "place in the stream");
                break;
            }

            expected += size;
            XXH64 hash = new();
            for (ulong at = 0; at < size && error == Errno.None;)
            {
                uint take = (uint)Math.Min(PartBytes, size - at);
                error = _content.ReadStream(place.Start + at, part, take);
                hash.Update((void*)part, (int)take);
                at += take;
            }

            if (error != Errno.None || hash.Digest() != place.Checksum)
            {
                ContentProblem(blob, error != Errno.None ? Reason(error) : "checksum");
            }
        }

        Check(IsFull || _problems.Count > 0 || expected == _image.Header.StreamBytes, "the contents do not fill the stream");
        NativeMemory.Free(part);
    }

    private static bool IsDirectory(in ImageNode node) => FileTypes.FromMode(node.Mode) == FileType.Directory;

    private static bool IsZero(in ImageNode node)
    {
        fixed (ImageNode* bytes = &node)
        {
            return !new ReadOnlySpan<byte>(bytes, ImageNode.Bytes).ContainsAnyExcept((byte)0);
        }
    }
}
