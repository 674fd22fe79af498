using System.Globalization;
using K4os.Hash.xxHash;

namespace Antares.Aot.Dicfuse.Image;

/// <summary>Holds a header against the file that it came from: after this, every section lies within the file.</summary>
internal static unsafe class ImageHeaderCheck
{
    /// <param name="header">The first page of the file.</param>
    /// <param name="got">Bytes of it that the file has.</param>
    /// <param name="fileBytes">Size of the file when it was opened.</param>
    /// <exception cref="ImageException">The first thing that is wrong.</exception>
    public static void Check(in ImageHeader header, long got, long fileBytes)
    {
        if (got < sizeof(ulong) || header.Magic != ImageFormat.Magic)
        {
            throw new ImageException("is no image: it does not begin as one");
        }

        if (got < ImageHeader.Bytes)
        {
            throw new ImageException($"is an image cut short within its header, at {fileBytes} bytes");
        }

        if (header.Version != ImageFormat.Version)
        {
            throw new ImageException(string.Create(
                CultureInfo.InvariantCulture,
                $"is an image of format version {header.Version}; this program reads version {ImageFormat.Version}: pack it anew, or use the program that made it"));
        }

        fixed (ImageHeader* bytes = &header)
        {
            if (XXH64.DigestOf(bytes, ImageHeader.CheckedBytes) != header.HeaderChecksum)
            {
                throw new ImageException("is a damaged image: the header's checksum is wrong");
            }
        }

        ulong unknown = header.Features & ~ImageFormat.KnownFeatures;
        if (unknown != 0)
        {
            throw new ImageException($"is an image with features that this program does not know (0x{unknown:x}): use a newer one");
        }

        if (header.FileBytes != (ulong)fileBytes)
        {
            throw new ImageException(string.Create(
                CultureInfo.InvariantCulture, $"is an image of {header.FileBytes} bytes, but the file has {fileBytes}: it was cut short or added to; fetch it anew"));
        }

        CheckPlaces(header);
    }

    private static void CheckPlaces(ImageHeader header)
    {
        bool good = header.HeaderBytes == ImageHeader.Bytes
            && header.ReservedIsZero()
            && header.NodeCount is > ImageFormat.RootNode and <= uint.MaxValue
            && header.FrameBytes is > 0 and <= ImageFormat.LargestFrameBytes
            && header.StreamBytes <= long.MaxValue
            && header.MetadataBytes <= header.FileBytes;

        // Each section begins on a page, where the one before it ends.
        ulong end = ImageHeader.Bytes;
        for (ImageSection section = ImageSection.Nodes; section <= ImageSection.Contents; section++)
        {
            SectionPlace place = header[section];
            good = good && place.Offset == end && place.Length <= header.FileBytes - end;
            if (!good)
            {
                throw new ImageException($"is a damaged image: the header contradicts itself (section {(int)section})");
            }

            end = section == ImageSection.Contents ? end + place.Length : ImageFormat.PageUp(end + place.Length);
            good = end <= header.FileBytes;
        }

        ulong protectedBytes = header[ImageSection.Checksums].Offset - ImageHeader.Bytes;
        ulong blocks = (protectedBytes + ImageFormat.BlockBytes - 1) / ImageFormat.BlockBytes;
        ulong roots = ((blocks * sizeof(ulong)) + ImageFormat.BlockBytes - 1) / ImageFormat.BlockBytes;
        good = good
            && end == header.FileBytes
            && header[ImageSection.Contents].Offset == header.MetadataBytes
            && header[ImageSection.Nodes].Length == header.NodeCount * ImageNode.Bytes
            && header[ImageSection.Names].Length is > 0 and <= uint.MaxValue
            && header[ImageSection.NameIndex].Length <= uint.MaxValue
            && header[ImageSection.XattrSets].Length <= uint.MaxValue
            && IsTable(header[ImageSection.Owners], ImageFormat.OwnerBytes, 1, ushort.MaxValue + 1UL)
            && IsTable(header[ImageSection.XattrNodes], ImageXattrNode.Bytes, 0, header.NodeCount)
            && IsTable(header[ImageSection.Blobs], ImageBlob.Bytes, 1, header.NodeCount)
            && IsTable(header[ImageSection.Frames], ImageFrame.Bytes, 1, uint.MaxValue)
            && header[ImageSection.Checksums].Length == blocks * sizeof(ulong)
            && roots <= ImageHeader.MostRoots;
        if (!good)
        {
            throw new ImageException("is a damaged image: the header contradicts itself");
        }
    }

    private static bool IsTable(SectionPlace place, ulong itemBytes, ulong least, ulong most) =>
        place.Length % itemBytes == 0 && place.Length / itemBytes >= least && place.Length / itemBytes <= most;
}
