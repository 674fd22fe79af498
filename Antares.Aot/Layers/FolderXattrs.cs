using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>
/// Extended attributes of the objects of a folder layer, whatever their type: through a descriptor where one can be had, otherwise
/// (symbolic links, devices, sockets) through <c>/proc/self/fd</c> of the directory. Neither way follows a symbolic link.
/// </summary>
public sealed unsafe class FolderXattrs
{
    private const int PathRoom = 320;

    private readonly DirectoryTable _table;
    private readonly FolderAccess _access;

    /// <summary>How the calls of the kernel reach an object.</summary>
    private enum Way
    {
        /// <summary>By the descriptor lent.</summary>
        Descriptor,

        /// <summary>By the path, whose last name is not followed.</summary>
        Name,

        /// <summary>By the path, a magic link that is followed to the object itself, be that a symbolic link.</summary>
        MagicLink,
    }

    public FolderXattrs(DirectoryTable table, FolderAccess access)
    {
        _table = table;
        _access = access;
    }

    public Errno Get(uint node, byte* name, byte* value, nuint size, out int length)
    {
        byte* path = stackalloc byte[PathRoom];
        length = 0;
        Errno error = Reach(node, path, out DirectoryLease lease, out Way way);
        if (error == Errno.None)
        {
            error = way switch
            {
                Way.Descriptor => Xattrs.Fgetxattr(lease.Fd, name, value, size, out length),
                Way.Name => Xattrs.Lgetxattr(path, name, value, size, out length),
                _ => Xattrs.Getxattr(path, name, value, size, out length),
            };
            _access.Release(lease);
        }

        return error;
    }

    public Errno Set(uint node, byte* name, byte* value, nuint size, int flags)
    {
        byte* path = stackalloc byte[PathRoom];
        Errno error = Reach(node, path, out DirectoryLease lease, out Way way);
        if (error == Errno.None)
        {
            error = way switch
            {
                Way.Descriptor => Xattrs.Fsetxattr(lease.Fd, name, value, size, flags),
                Way.Name => Xattrs.Lsetxattr(path, name, value, size, flags),
                _ => Xattrs.Setxattr(path, name, value, size, flags),
            };
            _access.Release(lease);
        }

        return error;
    }

    public Errno List(uint node, byte* list, nuint size, out int length)
    {
        byte* path = stackalloc byte[PathRoom];
        length = 0;
        Errno error = Reach(node, path, out DirectoryLease lease, out Way way);
        if (error == Errno.None)
        {
            error = way switch
            {
                Way.Descriptor => Xattrs.Flistxattr(lease.Fd, list, size, out length),
                Way.Name => Xattrs.Llistxattr(path, list, size, out length),
                _ => Xattrs.Listxattr(path, list, size, out length),
            };
            _access.Release(lease);
        }

        return error;
    }

    public Errno Remove(uint node, byte* name)
    {
        byte* path = stackalloc byte[PathRoom];
        Errno error = Reach(node, path, out DirectoryLease lease, out Way way);
        if (error == Errno.None)
        {
            error = way switch
            {
                Way.Descriptor => Xattrs.Fremovexattr(lease.Fd, name),
                Way.Name => Xattrs.Lremovexattr(path, name),
                _ => Xattrs.Removexattr(path, name),
            };
            _access.Release(lease);
        }

        return error;
    }

    /// <summary>"/proc/self/fd/N/name" (or without the name), NUL-terminated.</summary>
    /// <param name="fd">A descriptor of the directory (or of the object itself).</param>
    /// <param name="name">Name in it; default for the descriptor's own object.</param>
    /// <param name="path">At least 320 bytes.</param>
    public static void ProcPath(int fd, ByteName name, byte* path)
    {
        var target = new Span<byte>(path, PathRoom);
        "/proc/self/fd/"u8.CopyTo(target);
        int at = 14;
        _ = System.Buffers.Text.Utf8Formatter.TryFormat(fd, target[at..], out int digits);
        at += digits;
        if (name.Length > 0)
        {
            target[at++] = (byte)'/';
            name.Span.CopyTo(target[at..]);
            at += name.Length;
        }

        target[at] = 0;
    }

    private Errno Reach(uint node, byte* path, out DirectoryLease lease, out Way way)
    {
        FolderNode* record = _table.Node(node);
        way = Way.Descriptor;
        if (record->Type == FileType.Directory)
        {
            Errno error = _access.PinDirectory(node, out FdLease directory);
            lease = new DirectoryLease(directory, default);
            if (error != Errno.None || !IsPathOnly(directory.Fd))
            {
                return error;
            }

            _access.Release(lease);
            if (record->Place == NodePlace.HeldByFd)
            {
                // The magic link itself carries no attributes: "/." goes through it.
                way = Way.Name;
                error = _access.PinDirectory(node, ModeLoans.Search, out lease);
                byte* dot = stackalloc byte[] { (byte)'.', 0 };
                ProcPath(lease.Fd, new ByteName(dot, 1), path);
                return error;
            }

            // One that may not be read goes by its name, as below: nothing must be lent to it, since an ACL shows its mode.
        }

        if (record->Type == FileType.Regular)
        {
            Errno error = _access.PinFile(node, false, out FdLease file);
            lease = new DirectoryLease(file, default);
            if (error is not (Errno.EACCES or Errno.EPERM))
            {
                return error;
            }
        }

        if (record->Place == NodePlace.HeldByFd)
        {
            // A device, socket or symbolic link without a name, which somebody holds open (a device) or reaches through /proc/self/fd.
            way = Way.MagicLink;
            lease = new DirectoryLease(FdLease.Borrow(record->OrphanFd), default);
            ProcPath(record->OrphanFd, default, path);
            return Errno.None;
        }

        way = Way.Name;
        byte* workName = stackalloc byte[16];
        Errno located = _access.Locate(node, workName, out lease, out ByteName name);
        if (located == Errno.None)
        {
            ProcPath(lease.Fd, name, path);
        }

        return located;
    }

    /// <summary>True for an O_PATH descriptor, which fgetxattr and getdents64 refuse (EBADF).</summary>
    public static bool IsPathOnly(int fd) => Fd.Getfl(fd, out int flags) == Errno.None && (flags & Fcntl.O_PATH) != 0;
}
