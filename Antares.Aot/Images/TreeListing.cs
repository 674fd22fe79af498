using System.Globalization;
using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Images;

/// <summary>Lists what is below a path of an image, a line each: mode, links, owner, size, time, path. Mode and times as ls shows them.</summary>
internal static unsafe class TreeListing
{
    private const string Permissions = "rwxrwxrwx";

    /// <param name="image">The image.</param>
    /// <param name="start">A directory, or something else, which then makes the only line.</param>
    /// <param name="prefix">Path of <paramref name="start"/>, put before each path.</param>
    /// <exception cref="ImageException">The image is damaged.</exception>
    public static string Of(ImageLayer image, uint start, string prefix)
    {
        var text = new StringBuilder();
        if (image.TypeOf(start) != FileType.Directory)
        {
            Line(text, image, start, prefix);
            return text.ToString();
        }

        var walk = new ImageWalk(image.Tree, start);
        while (walk.MoveNext())
        {
            Line(text, image, walk.Node, prefix.Length == 0 ? walk.PrintedPath : $"{prefix}/{walk.PrintedPath}");
        }

        return text.ToString();
    }

    private static void Line(StringBuilder text, ImageLayer image, uint node, string path)
    {
        stat attributes;
        var error = image.GetattrWithMapping(node, mapping: false, &attributes);
        if (error != Errno.None)
        {
            throw ImageWalk.Damaged(path, error);
        }

        var type = FileTypes.FromMode(attributes.st_mode);
        var size = type is FileType.CharDevice or FileType.BlockDevice
            ? string.Create(CultureInfo.InvariantCulture, $"{DeviceNumbers.Major(attributes.st_rdev)},{DeviceNumbers.Minor(attributes.st_rdev)}")
            : attributes.st_size.ToString(CultureInfo.InvariantCulture);
        _ = text.Append(ModeText(attributes.st_mode, type)).Append(CultureInfo.InvariantCulture,
            $" {attributes.st_nlink,3} {attributes.st_uid,5} {attributes.st_gid,5} {size,12} {TimeText(attributes.st_mtim)} {path}");
        if (type == FileType.Symlink)
        {
            var target = stackalloc byte[ImageFormat.LongestTarget];
            error = image.Readlink(node, target, ImageFormat.LongestTarget, out var length);
            if (error != Errno.None)
            {
                throw ImageWalk.Damaged(path, error);
            }

            _ = text.Append(" -> ").Append(Utf8.Print(new ReadOnlySpan<byte>(target, length)));
        }

        _ = text.Append('\n');
    }

    private static string TimeText(timespec time) =>
        DateTimeOffset.FromUnixTimeSeconds(time.tv_sec).ToString("yyyy-MM-ddTHH:mm:ss", CultureInfo.InvariantCulture)
        + string.Create(CultureInfo.InvariantCulture, $".{time.tv_nsec:D9}Z");

    private static string ModeText(uint mode, FileType type)
    {
        const uint SetUid = 0x800;
        const uint SetGid = 0x400;
        const uint Sticky = 0x200;
        var letters = new char[10];
        letters[0] = type switch
        {
            FileType.Directory => 'd',
            FileType.Symlink => 'l',
            FileType.CharDevice => 'c',
            FileType.BlockDevice => 'b',
            FileType.Fifo => 'p',
            FileType.Socket => 's',
            _ => '-',
        };
        for (var bit = 0; bit < Permissions.Length; bit++)
        {
            letters[bit + 1] = (mode & (0x100u >> bit)) != 0 ? Permissions[bit] : '-';
        }

        Special(ref letters[3], mode, SetUid, 's');
        Special(ref letters[6], mode, SetGid, 's');
        Special(ref letters[9], mode, Sticky, 't');
        return new string(letters);
    }

    private static void Special(ref char letter, uint mode, uint bit, char mark)
    {
        if ((mode & bit) != 0)
        {
            letter = letter == 'x' ? mark : char.ToUpperInvariant(mark);
        }
    }
}
