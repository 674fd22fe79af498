using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>File systems that may stand still because somebody else does: a server, or a process.</summary>
internal static unsafe class NetworkKinds
{
    /// <summary>Name of the kind of file system that a folder lies on, if it is such a one.</summary>
    /// <param name="fd">The folder, O_PATH or better.</param>
    /// <returns>Null: a disk, memory, or a kind that is not known.</returns>
    public static string? Of(int fd)
    {
        statfs result;
        return Antares.Interop.Attributes.Fstatfs(fd, &result) == Errno.None ? Of((ulong)result.f_type) : null;
    }

    /// <summary>As above, of a number of statfs(2), magic numbers of include/uapi/linux/magic.h and the file systems' own.</summary>
    public static string? Of(ulong type) => (uint)type switch
    {
        0x6969 => "NFS",
        0x517B or 0xFE534D42 or 0xFF534D42 => "SMB",
        0x01021997 => "9p",
        0x65735546 => "FUSE",
        0x00C36400 => "Ceph",
        0x5346414F or 0x6B414653 => "AFS",
        0x73757245 => "Coda",
        0x0BD00BD0 => "Lustre",
        0x47504653 => "GPFS",
        _ => null,
    };
}
