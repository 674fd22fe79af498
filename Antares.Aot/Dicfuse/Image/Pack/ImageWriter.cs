using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Interop;
using K4os.Hash.xxHash;

namespace Antares.Aot.Dicfuse.Image.Pack;

/// <summary>Lays the sections of a packed tree out, with their checksums and the header, and writes them before the contents.</summary>
internal sealed unsafe class ImageWriter : IDisposable
{
    private ImageHeader _header;
    private byte* _metadata;
    private ulong _end = ImageHeader.Bytes;

    /// <summary>Builds the metadata in memory.</summary>
    /// <param name="tree">Complete.</param>
    /// <param name="provenance">Text: "key=value" lines.</param>
    /// <param name="frameBytes">Most raw bytes of a frame.</param>
    /// <param name="contentBytes">Packed bytes of the contents.</param>
    /// <exception cref="ImageException">More metadata than an image can hold.</exception>
    public ImageWriter(PackedTree tree, ReadOnlySpan<byte> provenance, int frameBytes, ulong contentBytes)
    {
        _header = new ImageHeader
        {
            Magic = ImageFormat.Magic,
            Version = ImageFormat.Version,
            HeaderBytes = ImageHeader.Bytes,
            Features = tree.Features,
            NodeCount = (ulong)tree.Nodes.Count,
            FrameBytes = (ulong)frameBytes,
            StreamBytes = tree.StreamBytes,
            FileSizes = tree.FileSizes,
        };
        Place(ImageSection.Nodes, Bytes(tree.Nodes));
        Place(ImageSection.Names, Bytes(tree.Names.Bytes));
        Place(ImageSection.NameIndex, Bytes(tree.NameIndex));
        Place(ImageSection.Owners, Bytes(tree.Owners));
        Place(ImageSection.XattrNodes, Bytes(tree.XattrNodes));
        Place(ImageSection.XattrSets, Bytes(tree.XattrSets));
        Place(ImageSection.Blobs, Bytes(tree.Blobs));
        Place(ImageSection.Frames, Bytes(tree.Frames));
        Place(ImageSection.Provenance, (ulong)provenance.Length);
        ulong blocks = (_end - ImageHeader.Bytes + ImageFormat.BlockBytes - 1) / ImageFormat.BlockBytes;
        if (blocks * sizeof(ulong) > (ulong)ImageHeader.MostRoots * ImageFormat.BlockBytes)
        {
            throw new ImageException("the names and attributes take more than 12 GiB, which is more than an image can hold");
        }

        Place(ImageSection.Checksums, blocks * sizeof(ulong));
        _header.MetadataBytes = _end;
        _header[ImageSection.Contents] = new SectionPlace { Offset = _end, Length = contentBytes };
        _header.FileBytes = _end + contentBytes;
        _metadata = (byte*)NativeMemory.AllocZeroed((nuint)_end);
        Fill(ImageSection.Nodes, tree.Nodes);
        Fill(ImageSection.Names, tree.Names.Bytes);
        Fill(ImageSection.NameIndex, tree.NameIndex);
        Fill(ImageSection.Owners, tree.Owners);
        Fill(ImageSection.XattrNodes, tree.XattrNodes);
        Fill(ImageSection.XattrSets, tree.XattrSets);
        Fill(ImageSection.Blobs, tree.Blobs);
        Fill(ImageSection.Frames, tree.Frames);
        provenance.CopyTo(new Span<byte>(_metadata + _header[ImageSection.Provenance].Offset, provenance.Length));
        Seal(ref _header, _metadata);
    }

    /// <summary>Where the contents begin in the file.</summary>
    public ulong ContentsOffset => _header.MetadataBytes;

    /// <summary>Computes all checksums of an image's metadata, and puts the header into its page.</summary>
    /// <param name="header">Complete but for its checksums.</param>
    /// <param name="metadata">All metadata; receives the checksum section and the header.</param>
    internal static void Seal(ref ImageHeader header, byte* metadata)
    {
        SectionPlace checksums = header[ImageSection.Checksums];
        ulong* hashes = (ulong*)(metadata + checksums.Offset);
        for (ulong at = ImageHeader.Bytes; at < checksums.Offset; at += ImageFormat.BlockBytes)
        {
            *hashes++ = XXH64.DigestOf(metadata + at, (int)Math.Min(ImageFormat.BlockBytes, checksums.Offset - at));
        }

        int root = 0;
        for (ulong at = 0; at < checksums.Length; at += ImageFormat.BlockBytes)
        {
            int length = (int)Math.Min(ImageFormat.BlockBytes, checksums.Length - at);
            header.SetRoot(root++, XXH64.DigestOf(metadata + checksums.Offset + at, length));
        }

        *(ImageHeader*)metadata = header;
        header.HeaderChecksum = XXH64.DigestOf(metadata, ImageHeader.CheckedBytes);
        *(ImageHeader*)metadata = header;
    }

    /// <summary>Writes header and metadata to the start of a file.</summary>
    /// <returns>As pwrite(2).</returns>
    public Errno Write(int fd) => FileIo.WriteFull(fd, _metadata, (nuint)_header.MetadataBytes, 0);

    public void Dispose()
    {
        NativeMemory.Free(_metadata);
        _metadata = null;
    }

    private static ulong Bytes<T>(NativeList<T> items)
        where T : unmanaged => (ulong)items.Count * (ulong)sizeof(T);

    private void Place(ImageSection section, ulong length)
    {
        _header[section] = new SectionPlace { Offset = _end, Length = length };
        _end = ImageFormat.PageUp(_end + length);
    }

    private void Fill<T>(ImageSection section, NativeList<T> items)
        where T : unmanaged => Buffer.MemoryCopy(items.Pointer, _metadata + _header[section].Offset, Bytes(items), Bytes(items));
}
