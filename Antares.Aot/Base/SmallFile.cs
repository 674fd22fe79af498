using System.Text;
using Antares.Interop;

namespace Antares.Aot.Base;

/// <summary>Files of the kernel (/proc, /sys) that hold a word or two.</summary>
internal static unsafe class SmallFile
{
    private const int Room = 256;

    /// <summary>Another one after each start of the machine; empty: not to be had.</summary>
    public static string BootId() => Read("/proc/sys/kernel/random/boot_id"u8);

    /// <summary>The text of such a file, without the white space around it.</summary>
    /// <param name="path">Ends with NUL, as literals do.</param>
    /// <returns>At most 256 bytes of it; empty: it is not to be had.</returns>
    public static string Read(ReadOnlySpan<byte> path) => Read(Literal.Pointer(path));

    /// <summary>As the other, of a path that is made up.</summary>
    public static string Read(string path)
    {
        using CString name = Utf8.Native(path);
        return Read(name.Pointer);
    }

    private static string Read(byte* path)
    {
        if (Fd.Openat(Fcntl.AT_FDCWD, path, Fcntl.O_RDONLY | Fcntl.O_CLOEXEC, 0, out int fd) != Errno.None)
        {
            return "";
        }

        using var owned = new OwnedFd(fd);
        byte* text = stackalloc byte[Room];
        return FileIo.Read(fd, text, Room, out nuint got) == Errno.None ? Encoding.ASCII.GetString(text, (int)got).Trim() : "";
    }
}
