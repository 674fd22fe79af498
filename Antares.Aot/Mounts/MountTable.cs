using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Fuse;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>One line of /proc/self/mountinfo.</summary>
/// <param name="MountPoint">Path without links.</param>
/// <param name="Type">File system type, "fuse.antares-aot" for ours.</param>
/// <param name="Source">What it says it was mounted from.</param>
/// <param name="Device">Of the file system.</param>
public sealed record MountEntry(string MountPoint, string Type, string Source, DeviceNumber Device)
{
    /// <summary>The type under which mounts of the FUSE engine show.</summary>
    public const string OurType = "fuse.antares-aot";

    private const string KernelType = "overlay";
    private const string KernelPrefix = "antares-aot:";

    public bool IsOurs => Type == OurType || IsKernelEngine;

    /// <summary>A mount of the kernel engine: the kernel's overlay, mounted by this program.</summary>
    public bool IsKernelEngine => Type == KernelType && Source.StartsWith(KernelPrefix, StringComparison.Ordinal);

    /// <summary>What a mount of the kernel engine says it was mounted from: it tells the mounts of one record from all others.</summary>
    public static string SourceOf(string id, string source) => $"{KernelPrefix}{id}:{source}";

    /// <summary>True for a mount of the kernel engine that a record of this id is about.</summary>
    public bool IsOf(string id) => IsKernelEngine && Source.StartsWith(SourceOf(id, ""), StringComparison.Ordinal);
}

/// <summary>What is mounted, as this process sees it.</summary>
public static class MountTable
{
    /// <summary>All mounts in the order of mounting; empty where /proc is missing.</summary>
    public static List<MountEntry> Read() => ReadFile("/proc/self/mountinfo");

    /// <summary>What another process sees; empty where that is not for us to know.</summary>
    public static List<MountEntry> ReadOf(int pid) => ReadFile($"/proc/{pid}/mountinfo");

    /// <summary>The mount that is uppermost at a mount point, or null.</summary>
    public static MountEntry? Find(string mountPoint) => Read().FindLast(entry => entry.MountPoint == mountPoint);

    /// <summary>
    /// True when a file system is to be seen at some place, or the table cannot be read. Allocates nothing: a server looks whenever
    /// anybody on the machine has mounted something.
    /// </summary>
    public static unsafe bool Holds(DeviceNumber device)
    {
        if (Fd.Openat(Fcntl.AT_FDCWD, Literal.Pointer("/proc/self/mountinfo"u8), Fcntl.O_RDONLY | Fcntl.O_CLOEXEC, 0, out var fd) != Errno.None)
        {
            return true;
        }

        const int Most = 4096;
        var buffer = stackalloc byte[Most];
        var search = new MountSearch(device);
        Errno error;
        nuint got;
        bool isThere;
        do
        {
            error = FileIo.Read(fd, buffer, Most, out got);
            isThere = error != Errno.None || search.Add(new ReadOnlySpan<byte>(buffer, (int)got));
        }
        while (!isThere && got != 0);

        _ = Fd.Close(fd); // only read
        return isThere;
    }

    /// <summary>True for a path at which something is mounted. Asks no server.</summary>
    public static unsafe bool IsMountPoint(string path)
    {
        statx place;
        fixed (byte* name = HostPath.Bytes(path))
        {
            const int Flags = Fcntl.AT_STATX_DONT_SYNC | Fcntl.AT_NO_AUTOMOUNT;
            return Attributes.Statx(Fcntl.AT_FDCWD, name, Flags, 0, &place) == Errno.None && (place.stx_attributes & StatMode.STATX_ATTR_MOUNT_ROOT) != 0;
        }
    }

    /// <summary>False when an open folder is certainly not in a mount of this program.</summary>
    public static unsafe bool MayBeOurs(int fd)
    {
        statfs result;
        return Attributes.Fstatfs(fd, &result) == Errno.None
            && (long)result.f_type is FileSystemMagic.FUSE_SUPER_MAGIC or FileSystemMagic.OVERLAYFS_SUPER_MAGIC;
    }

    /// <summary>Parses mountinfo (proc_pid_mountinfo(5)).</summary>
    public static List<MountEntry> Parse(string text)
    {
        var entries = new List<MountEntry>();
        foreach (var line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            // 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
            var fields = line.Split(' ');
            var dash = Array.IndexOf(fields, "-");
            if (dash >= 6 && fields.Length > dash + 2 && DeviceNumber.TryParse(fields[2], out var device))
            {
                entries.Add(new MountEntry(Unescape(fields[4]), fields[dash + 1], Unescape(fields[dash + 2]), device));
            }
        }

        return entries;
    }

    private static List<MountEntry> ReadFile(string path) =>
        HostPath.ReadAll(path, out var content) == Errno.None ? Parse(Encoding.UTF8.GetString(content)) : [];

    /// <summary>Space, tab, newline and backslash stand as three octal digits.</summary>
    private static string Unescape(string field)
    {
        if (!field.Contains('\\'))
        {
            return field;
        }

        var plain = new StringBuilder(field.Length);
        for (var i = 0; i < field.Length; i++)
        {
            if (field[i] == '\\' && i + 3 < field.Length && IsOctal(field[i + 1]) && IsOctal(field[i + 2]) && IsOctal(field[i + 3]))
            {
                _ = plain.Append((char)(((field[i + 1] - '0') << 6) | ((field[i + 2] - '0') << 3) | (field[i + 3] - '0'))); // fluent
                i += 3;
            }
            else
            {
                _ = plain.Append(field[i]); // fluent
            }
        }

        return plain.ToString();
    }

    private static bool IsOctal(char c) => c is >= '0' and <= '7';
}
