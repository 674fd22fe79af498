using System.Globalization;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>Tells whether the file system of an upper is full: the failure of the kernel's overlay that a build hides best.</summary>
internal static unsafe class UpperSpace
{
    /// <summary>Less than this counts as full: what failed may have wanted more than is left.</summary>
    private const ulong LeastBytes = 1 << 20;
    private const ulong LeastFiles = 16;

    /// <summary>A line for the user, or null when there is room (or it cannot be asked).</summary>
    /// <param name="upper">The folder.</param>
    /// <param name="path">Its name.</param>
    public static string? Shortage(OwnedFd upper, string path)
    {
        statfs space;
        if (Attributes.Fstatfs(upper.Value, &space) != Errno.None)
        {
            return null;
        }

        var free = space.f_bavail * (ulong)space.f_bsize;
        if (free < LeastBytes)
        {
            return string.Create(CultureInfo.InvariantCulture, $"the file system of the upper {path} is full: {free} bytes of {space.f_blocks * (ulong)space.f_bsize} are free; what the command wrote last may be missing");
        }

        // Some file systems make inodes as they are needed, and say that there are none.
        return space.f_files > 0 && space.f_ffree < LeastFiles
            ? string.Create(CultureInfo.InvariantCulture, $"the file system of the upper {path} is full: {space.f_ffree} inodes of {space.f_files} are free")
            : null;
    }
}
