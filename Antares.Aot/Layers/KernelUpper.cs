using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>Which folders the kernel's overlay takes for an upper, found out before anything is mounted.</summary>
/// <remarks>Source: fs/overlayfs/super.c of Linux (ovl_mount_dir_check, ovl_make_workdir).</remarks>
internal static unsafe class KernelUpper
{
    private const byte UnknownType = 0; // DT_UNKNOWN

    /// <summary>The kind of file system that an upper lies on, if the kernel's overlay takes no upper there.</summary>
    /// <param name="fd">The upper.</param>
    /// <returns>Null: it takes one, or that is not known.</returns>
    public static string? Refusal(int fd) => TypeOf(fd) switch
    {
        FileSystemMagic.OVERLAYFS_SUPER_MAGIC => "an overlay (a container's own root, perhaps)",
        FileSystemMagic.ECRYPTFS_SUPER_MAGIC => "eCryptfs",
        FileSystemMagic.MSDOS_SUPER_MAGIC => "FAT",
        FileSystemMagic.EXFAT_SUPER_MAGIC => "exFAT",
        var type => NetworkKinds.Of((ulong)type),
    };

    /// <summary>Tries what the kernel's overlay needs of an upper's file system and only warns of in its log: types in listings, and renames that leave a whiteout.</summary>
    /// <param name="workFd">The work folder, which holds one directory at least.</param>
    /// <param name="work">The directory in it.</param>
    /// <param name="problem">What is wrong, for the user, when the result is not None.</param>
    /// <returns>None; EOPNOTSUPP: it is not there; another errno of the calls.</returns>
    public static Errno Try(int workFd, WorkDirectory work, out string? problem)
    {
        problem = null;
        if (IsKnown(TypeOf(workFd)))
        {
            return Errno.None;
        }

        if (!TellsTypes(workFd))
        {
            problem = "the upper's file system does not tell the types of files in listings (d_type), which the kernel's overlay needs; choose an upper on another file system, or --engine fuse";
            return Errno.EOPNOTSUPP;
        }

        Errno error = work.TryRenameWhiteout();
        if (error != Errno.None)
        {
            problem = $"the upper's file system has no renames that leave a whiteout ({error}), which the kernel's overlay needs; choose an upper on another file system, or --engine fuse";
        }

        return error == Errno.EINVAL ? Errno.EOPNOTSUPP : error;
    }

    /// <summary>File systems that have all of it on every kernel that has fsopen. XFS has forms without types in listings.</summary>
    private static bool IsKnown(long type) =>
        type is FileSystemMagic.EXT4_SUPER_MAGIC or FileSystemMagic.TMPFS_MAGIC or FileSystemMagic.BTRFS_SUPER_MAGIC or FileSystemMagic.F2FS_SUPER_MAGIC;

    private static long TypeOf(int fd)
    {
        statfs result;
        return Antares.Interop.Attributes.Fstatfs(fd, &result) == Errno.None ? result.f_type : 0;
    }

    private static bool TellsTypes(int fd)
    {
        const int Room = 1024;
        byte* buffer = stackalloc byte[Room];
        if (FileIo.Lseek(fd, 0, Fcntl.SEEK_SET, out _) != Errno.None || Directories.Getdents64(fd, buffer, Room, out int length) != Errno.None)
        {
            return true; // other calls tell what is wrong
        }

        for (int at = 0; at + 19 < length; at += Math.Max((int)*(ushort*)(buffer + at + 16), 20))
        {
            // "." and ".." have their types on some file systems that tell no others.
            if (buffer[at + 19] != (byte)'.')
            {
                return buffer[at + 18] != UnknownType;
            }
        }

        return true;
    }
}
