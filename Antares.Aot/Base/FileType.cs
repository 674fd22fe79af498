namespace Antares.Aot.Base;

/// <summary>Type of a directory entry, with the numbers of <c>d_type</c> (dirent.h); <see cref="Whiteout"/> is DT_WHT.</summary>
public enum FileType : byte
{
    Unknown = 0,
    Fifo = 1,
    CharDevice = 2,
    Directory = 4,
    BlockDevice = 6,
    Regular = 8,
    Symlink = 10,
    Socket = 12,

    /// <summary>Hides the name in the layers below. Never shown to the kernel.</summary>
    Whiteout = 14,
}

/// <summary>Conversions between <see cref="FileType"/> and the S_IFMT bits of a mode.</summary>
public static class FileTypes
{
    /// <summary>S_IFMT: the type bits of st_mode.</summary>
    public const uint FormatMask = 0xF000;

    /// <summary>The type in the S_IFMT bits of <paramref name="mode"/>; by definition d_type = (mode &amp; S_IFMT) >> 12.</summary>
    public static FileType FromMode(uint mode) => (FileType)((mode & FormatMask) >> 12);

    /// <summary>The S_IFMT bits of a type; 0 for <see cref="FileType.Unknown"/>.</summary>
    public static uint ToMode(FileType type) => (uint)type << 12;
}
