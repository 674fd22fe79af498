using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>Makes one object in a directory with the owner and mode it must have; on failure nothing stays behind.</summary>
internal static unsafe class NodeMaker
{
    private const uint TypeMask = 0xF000;
    private const uint SetGid = 0x400;
    private const uint SpecialBits = 0xE00;
    private const uint PermissionMask = 0xFFF;

    /// <param name="directoryFd">Where to make it.</param>
    /// <param name="name">Its name there.</param>
    /// <param name="what">What to make.</param>
    /// <param name="parentFd">The directory that it belongs to (set-group-id is inherited from it).</param>
    /// <param name="inheritsAcl">True: the file system derives the mode from a default ACL; the umask does not apply.</param>
    /// <param name="fd">Descriptor (O_RDWR) of a new regular file, owned by the caller; otherwise -1.</param>
    /// <param name="attributes">Attributes as the file system has them.</param>
    public static Errno Make(
        int directoryFd, ByteName name, in NewNode what, int parentFd, bool inheritsAcl, out int fd, stat* attributes)
    {
        fd = -1;
        uint type = what.Mode & TypeMask;
        uint mode = what.Mode & PermissionMask;
        if (!inheritsAcl)
        {
            mode &= ~what.Umask;
        }

        Errno error = type switch
        {
            0x8000 => Fd.Openat(
                directoryFd,
                name.Pointer,
                Fcntl.O_CREAT | Fcntl.O_EXCL | Fcntl.O_RDWR | Fcntl.O_NOFOLLOW | Fcntl.O_CLOEXEC,
                mode,
                out fd),
            0x4000 => PathOps.Mkdirat(directoryFd, name.Pointer, mode),
            0xA000 => PathOps.Symlinkat(what.Target, directoryFd, name.Pointer),
            _ => PathOps.Mknodat(directoryFd, name.Pointer, type | mode, what.Rdev),
        };
        if (error != Errno.None)
        {
            fd = -1;
            return Failure.Note("upper", CallOf(type), error);
        }

        error = Stat(directoryFd, name, fd, attributes);
        if (error == Errno.None)
        {
            error = FixOwner(directoryFd, name, fd, in what, parentFd, mode, inheritsAcl, attributes);
        }

        if (error != Errno.None)
        {
            if (fd >= 0)
            {
                _ = Fd.Close(fd);
                fd = -1;
            }

            _ = PathOps.Unlinkat(directoryFd, name.Pointer, type == 0x4000 ? Fcntl.AT_REMOVEDIR : 0);
        }

        return error;
    }

    private static Errno FixOwner(
        int directoryFd, ByteName name, int fd, in NewNode what, int parentFd, uint mode, bool inheritsAcl, stat* attributes)
    {
        uint type = what.Mode & TypeMask;
        stat parent = default;

        // In its place (not in the work directory) the file system has followed the parent's bit: what has the caller's owner and group is as it must be,
        // be it by the parent or not.
        if (type == 0x4000 || directoryFd != parentFd || attributes->st_uid != what.Uid || attributes->st_gid != what.Gid)
        {
            Errno error = Failure.Note("upper", "fstat", Antares.Interop.Attributes.Fstat(parentFd, &parent));
            if (error != Errno.None)
            {
                return error;
            }
        }

        bool groupFromParent = (parent.st_mode & SetGid) != 0;
        uint gid = groupFromParent ? parent.st_gid : what.Gid;
        bool changed = false;
        if (attributes->st_uid != what.Uid || attributes->st_gid != gid)
        {
            Errno error = fd >= 0
                ? Antares.Interop.Attributes.Fchown(fd, what.Uid, gid)
                : Antares.Interop.Attributes.Fchownat(directoryFd, name.Pointer, what.Uid, gid, Fcntl.AT_SYMLINK_NOFOLLOW);
            if (error != Errno.None)
            {
                return Failure.Note("upper", "fchownat", error);
            }

            changed = true;
        }

        if (type != 0xA000)
        {
            uint inherited = type == 0x4000 && groupFromParent ? SetGid : 0;
            uint wanted = inheritsAcl
                ? (attributes->st_mode & 0x1FF) | (mode & SpecialBits) | inherited
                : mode | inherited;

            // chown drops the set-id bits, so they are put back after it.
            if ((attributes->st_mode & PermissionMask) != wanted || (changed && (wanted & 0xC00) != 0))
            {
                Errno error = fd >= 0
                    ? Antares.Interop.Attributes.Fchmod(fd, wanted)
                    : Antares.Interop.Attributes.Fchmodat(directoryFd, name.Pointer, wanted, Fcntl.AT_SYMLINK_NOFOLLOW);
                if (error != Errno.None)
                {
                    return Failure.Note("upper", "fchmodat", error);
                }

                changed = true;
            }
        }

        return changed ? Stat(directoryFd, name, fd, attributes) : Errno.None;
    }

    private static Errno Stat(int directoryFd, ByteName name, int fd, stat* attributes) => Failure.Note(
        "upper",
        "fstatat",
        fd >= 0
            ? Antares.Interop.Attributes.Fstat(fd, attributes)
            : Antares.Interop.Attributes.Fstatat(directoryFd, name.Pointer, attributes, Fcntl.AT_SYMLINK_NOFOLLOW));

    private static string CallOf(uint type) => type switch
    {
        0x8000 => "openat (create)",
        0x4000 => "mkdirat",
        0xA000 => "symlinkat",
        _ => "mknodat",
    };
}
