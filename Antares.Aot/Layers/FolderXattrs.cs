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

    public FolderXattrs(DirectoryTable table, FolderAccess access)
    {
        _table = table;
        _access = access;
    }

    public Errno Get(uint node, byte* name, byte* value, nuint size, out int length)
    {
        byte* path = stackalloc byte[PathRoom];
        length = 0;
        Errno error = Reach(node, path, out DirectoryLease lease, out bool byPath);
        if (error == Errno.None)
        {
            error = byPath
                ? Xattrs.Lgetxattr(path, name, value, size, out length)
                : Xattrs.Fgetxattr(lease.Fd, name, value, size, out length);
            _access.Release(lease);
        }

        return error;
    }

    public Errno Set(uint node, byte* name, byte* value, nuint size, int flags)
    {
        byte* path = stackalloc byte[PathRoom];
        Errno error = Reach(node, path, out DirectoryLease lease, out bool byPath);
        if (error == Errno.None)
        {
            error = byPath ? Xattrs.Lsetxattr(path, name, value, size, flags) : Xattrs.Fsetxattr(lease.Fd, name, value, size, flags);
            _access.Release(lease);
        }

        return error;
    }

    public Errno List(uint node, byte* list, nuint size, out int length)
    {
        byte* path = stackalloc byte[PathRoom];
        length = 0;
        Errno error = Reach(node, path, out DirectoryLease lease, out bool byPath);
        if (error == Errno.None)
        {
            error = byPath
                ? Xattrs.Llistxattr(path, list, size, out length)
                : Xattrs.Flistxattr(lease.Fd, list, size, out length);
            _access.Release(lease);
        }

        return error;
    }

    public Errno Remove(uint node, byte* name)
    {
        byte* path = stackalloc byte[PathRoom];
        Errno error = Reach(node, path, out DirectoryLease lease, out bool byPath);
        if (error == Errno.None)
        {
            error = byPath ? Xattrs.Lremovexattr(path, name) : Xattrs.Fremovexattr(lease.Fd, name);
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

    private Errno Reach(uint node, byte* path, out DirectoryLease lease, out bool byPath)
    {
        FolderNode* record = _table.Node(node);
        byPath = false;
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
                byPath = true;
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

        byPath = true;
        if (record->Place == NodePlace.HeldByFd)
        {
            // A device or symbolic link without a name: nobody can ask for its attributes but through an O_PATH descriptor.
            lease = new DirectoryLease(FdLease.Borrow(-1), default);
            return Errno.EOPNOTSUPP;
        }

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
