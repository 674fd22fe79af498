using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay;

/// <summary>Gives an object in the work directory the owner, extended attributes, mode and times of the lower object it stands for.</summary>
internal static unsafe class StagedAttributes
{
    private const int ListRoom = 64 * 1024;
    private const int ValueRoom = 64 * 1024;

    /// <param name="layer">Layer of the lower object.</param>
    /// <param name="node">Its node.</param>
    /// <param name="fd">Descriptor of the staged file or directory, or -1 for other types.</param>
    /// <param name="workFd">The work directory.</param>
    /// <param name="name">Work name of the staged object.</param>
    /// <param name="attributes">Attributes to give it, as stored.</param>
    /// <param name="marks">Names of the overlay's own attributes.</param>
    /// <param name="options">How the upper is used.</param>
    public static Errno Apply(
        ILayer layer, uint node, int fd, int workFd, ByteName name, in stat attributes, OverlayMarks marks, UpperOptions options)
    {
        // Order matters: chown drops set-id bits and capabilities, ACLs change the mode (and with it the right to set attributes), and
        // everything changes the times.
        Errno error = Own(fd, workFd, name, in attributes, options);
        FileType type = FileTypes.FromMode(attributes.st_mode);
        if (error == Errno.None && type != FileType.Directory && attributes.st_nlink == 1)
        {
            error = KeepStIno(fd, workFd, name, attributes.st_ino, marks);
        }

        if (error == Errno.None)
        {
            error = CopyXattrs(layer, node, fd, workFd, name);
        }

        if (error == Errno.None && type != FileType.Symlink)
        {
            error = Failure.Note(
                "work",
                "fchmod (copy-up)",
                fd >= 0
                    ? Antares.Interop.Attributes.Fchmod(fd, attributes.st_mode & 0xFFF)
                    : Antares.Interop.Attributes.Fchmodat(workFd, name.Pointer, attributes.st_mode & 0xFFF, Fcntl.AT_SYMLINK_NOFOLLOW));
        }

        if (error == Errno.None)
        {
            timespec* times = stackalloc timespec[2];
            times[0] = attributes.st_atim;
            times[1] = attributes.st_mtim;
            error = Failure.Note(
                "work", "utimensat (copy-up)", Antares.Interop.Attributes.Utimensat(workFd, name.Pointer, times, Fcntl.AT_SYMLINK_NOFOLLOW));
        }

        return error;
    }

    private static Errno Own(int fd, int workFd, ByteName name, in stat attributes, UpperOptions options)
    {
        stat made;
        Errno error = fd >= 0
            ? Antares.Interop.Attributes.Fstat(fd, &made)
            : Antares.Interop.Attributes.Fstatat(workFd, name.Pointer, &made, Fcntl.AT_SYMLINK_NOFOLLOW);
        if (error != Errno.None)
        {
            return Failure.Note("work", "fstat (copy-up)", error);
        }

        if (made.st_uid == attributes.st_uid && made.st_gid == attributes.st_gid)
        {
            return Errno.None;
        }

        error = Chown(fd, workFd, name, attributes.st_uid, attributes.st_gid);
        if (error is Errno.EPERM or Errno.EINVAL && (options.OneUid || options.OneGid))
        {
            // Not ours to give away, or unknown in this user namespace: what is not shown may stay as it was made.
            uint uid = options.OneUid ? IdMap.None : attributes.st_uid;
            uint gid = options.OneGid ? IdMap.None : attributes.st_gid;
            error = uid == IdMap.None && gid == IdMap.None ? Errno.None : Chown(fd, workFd, name, uid, gid);
        }

        return Failure.Note("work", "fchown (copy-up)", error);
    }

    private static Errno Chown(int fd, int workFd, ByteName name, uint uid, uint gid) => fd >= 0
        ? Antares.Interop.Attributes.Fchown(fd, uid, gid)
        : Antares.Interop.Attributes.Fchownat(workFd, name.Pointer, uid, gid, Fcntl.AT_SYMLINK_NOFOLLOW);

    private static Errno CopyXattrs(ILayer layer, uint node, int fd, int workFd, ByteName name)
    {
        int length = 0;
        byte first;
        Errno error = layer.Listxattr(node, &first, 0, out length);
        if (error == Errno.EOPNOTSUPP || (error == Errno.None && length == 0))
        {
            return Errno.None;
        }

        byte* list = (byte*)NativeMemory.Alloc(ListRoom);
        byte* value = (byte*)NativeMemory.Alloc(ValueRoom);
        byte* escaped = stackalloc byte[272];
        error = layer.Listxattr(node, list, ListRoom, out length);
        for (int pass = 0, at = 0; error == Errno.None && pass < 2;)
        {
            if (at >= length)
            {
                pass++;
                at = 0;
                continue;
            }

            byte* attribute = list + at;
            at += ByteName.FromNulTerminated(attribute).Length + 1;
            if (Literal.StartsWith(attribute, "system.posix_acl_"u8) != (pass == 1))
            {
                continue;
            }

            error = layer.Getxattr(node, attribute, value, ValueRoom, out int size);
            if (error == Errno.ENODATA)
            {
                error = Errno.None;
                continue;
            }

            if (error == Errno.None)
            {
                error = Set(fd, workFd, name, OverlayMarks.Escape(attribute, escaped), value, (nuint)size);
                if (IsDispensable(attribute, error))
                {
                    error = Errno.None;
                }
            }
        }

        NativeMemory.Free(list);
        NativeMemory.Free(value);
        return Failure.Note("work", "setxattr (copy-up)", error == Errno.EOPNOTSUPP ? Errno.None : error);
    }

    // An ordinary user may not set these two kinds anywhere; no copy could have them.
    private static bool IsDispensable(byte* attribute, Errno error) =>
        (error == Errno.EPERM && (Literal.StartsWith(attribute, "trusted."u8) || Literal.StartsWith(attribute, "security."u8)))
        || error == Errno.EOPNOTSUPP;

    private static Errno KeepStIno(int fd, int workFd, ByteName name, ulong stIno, OverlayMarks marks)
    {
        Errno error = Set(fd, workFd, name, marks.StIno, (byte*)&stIno, sizeof(ulong));

        // user.* is refused on anything but files and directories: such an object has another st_ino after the next mount.
        return error is Errno.EPERM or Errno.EOPNOTSUPP or Errno.EACCES ? Errno.None : Failure.Note("work", "setxattr (st_ino)", error);
    }

    private static Errno Set(int fd, int workFd, ByteName name, byte* attribute, byte* value, nuint size)
    {
        if (fd >= 0)
        {
            return Xattrs.Fsetxattr(fd, attribute, value, size, 0);
        }

        byte* path = stackalloc byte[320];
        FolderXattrs.ProcPath(workFd, name, path);
        return Xattrs.Lsetxattr(path, attribute, value, size, 0);
    }
}
