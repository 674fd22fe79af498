using Antares.Interop;

namespace Antares.Aot.Dicfuse.Image;

/// <summary>What an image says of its making: lines of "key=value".</summary>
internal static unsafe class ImageProvenance
{
    /// <summary>Key of the line that names the image which a patch belongs to.</summary>
    public const string BaseKey = "base";

    /// <summary>All lines, in their order.</summary>
    /// <exception cref="ImageException">Damaged.</exception>
    public static List<(string Key, string Value)> Read(ImageFile image)
    {
        SectionPlace place = image.Header[ImageSection.Provenance];
        List<(string Key, string Value)> lines = [];
        if (place.Length == 0)
        {
            return lines;
        }

        if (place.Length > int.MaxValue || image.Need(place.Offset, place.Length) != Errno.None)
        {
            throw new ImageException("section provenance is damaged");
        }

        ReadOnlySpan<byte> text = new(image.Base + place.Offset, (int)place.Length);
        foreach (Range range in text.Split((byte)'\n'))
        {
            string line = Utf8.Print(text[range]);
            if (line.Length > 0)
            {
                string[] parts = line.Split('=', 2);
                lines.Add((parts[0], parts.Length == 2 ? parts[1] : ""));
            }
        }

        return lines;
    }

    /// <summary>How a patch names the image that it belongs to: the checksum of its header, which stands for all of it.</summary>
    public static string NameOf(in ImageHeader header) => header.HeaderChecksum.ToString("x16", System.Globalization.CultureInfo.InvariantCulture);
}
