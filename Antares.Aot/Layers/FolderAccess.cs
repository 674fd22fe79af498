using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>A directory's descriptor together with the rights that were lent for its use; give it back with <see cref="FolderAccess.Release"/>.</summary>
/// <param name="Lease">The descriptor.</param>
/// <param name="Loan">The rights.</param>
public readonly record struct DirectoryLease(FdLease Lease, ModeLoan Loan)
{
    public int Fd => Lease.Fd;
}

/// <summary>
/// From a node of a folder layer to a descriptor of it. Every way leads down from the layer's root descriptor, one component at a
/// time by openat2 beneath it and through no symbolic link, so that nothing in a layer leads out of it and no path is ever too long.
/// </summary>
/// <remarks>Called with the layer's lock held. Directories are opened for reading where allowed (else O_PATH) and cached.</remarks>
public sealed unsafe class FolderAccess : IDisposable
{
    private readonly string _layer;
    private readonly int _rootFd;
    private readonly int _workFd;
    private readonly DirectoryTable _table;
    private readonly FdCache _fds;

    /// <param name="layer">Name of the layer for messages.</param>
    /// <param name="rootFd">The folder, open for reading; owned from now on.</param>
    /// <param name="workFd">The work directory of an upper, or -1; owned from now on.</param>
    /// <param name="table">Nodes of the layer.</param>
    /// <param name="fds">Cache that all layers of the mount share.</param>
    /// <param name="mayOverride">True when file modes do not bind this process (CAP_DAC_OVERRIDE).</param>
    public FolderAccess(string layer, int rootFd, int workFd, DirectoryTable table, FdCache fds, bool mayOverride)
    {
        _layer = layer;
        _rootFd = rootFd;
        _workFd = workFd;
        _table = table;
        _fds = fds;
        Loans = workFd >= 0 && !mayOverride ? new ModeLoans(table, workFd) : null;
        LeaveUntouched(rootFd);
    }

    public int RootFd => _rootFd;

    public int WorkFd => _workFd;

    public FdCache Cache => _fds;

    /// <summary>
    /// Has the kernel make room for all descriptors that the cache may keep, in one step. Its table grows by doubling, and in a process of several threads
    /// each growth waits for all processors (synchronize_rcu in fs/file.c, some 10 ms), which the request that opens a file would do.
    /// </summary>
    public void ReserveDescriptors()
    {
        const int Others = 256;
        if (Fd.DupFrom(_rootFd, _fds.Capacity + Others, out int fd) == Errno.None)
        {
            _ = Fd.Close(fd); // a folder: nothing to lose
        }
    }

    /// <summary>Lends rights on objects of an upper whose server is bound by modes; otherwise null.</summary>
    public ModeLoans? Loans { get; }

    /// <summary>Opens one component for an *at call or for reading it; never follows a symbolic link, never leaves the directory.</summary>
    public static Errno OpenBeneath(int directoryFd, ByteName name, int flags, out int fd)
    {
        var how = new open_how
        {
            flags = (ulong)(uint)(flags | Fcntl.O_CLOEXEC | Fcntl.O_NOFOLLOW),
            resolve = Fcntl.RESOLVE_BENEATH | Fcntl.RESOLVE_NO_SYMLINKS | Fcntl.RESOLVE_NO_MAGICLINKS,
        };
        return Fd.Openat2(directoryFd, name.Pointer, in how, out fd);
    }

    /// <summary>Name of an object in the work directory: '#' and the number in hexadecimal.</summary>
    /// <param name="number">Number given by the work directory.</param>
    /// <param name="buffer">At least 16 bytes.</param>
    public static ByteName WorkName(uint number, byte* buffer)
    {
        int length = 0;
        buffer[length++] = (byte)'#';
        int shift = 28;
        while (shift > 0 && (number >> shift) == 0)
        {
            shift -= 4;
        }

        for (; shift >= 0; shift -= 4)
        {
            buffer[length++] = "0123456789abcdef"u8[(int)(number >> shift) & 15];
        }

        buffer[length] = 0;
        return new ByteName(buffer, length);
    }

    /// <summary>Gives back a directory's descriptor, and before it the rights that were lent.</summary>
    public void Release(in DirectoryLease directory)
    {
        Loans?.Return(directory.Loan);
        _fds.Release(directory.Lease);
    }

    /// <summary>As <see cref="PinDirectory(uint, out FdLease)"/>, with the owner's rights that are lacking lent.</summary>
    /// <param name="directory">A directory.</param>
    /// <param name="rights">What is needed, as in <see cref="ModeLoans"/>.</param>
    /// <param name="lease">To be given back by <see cref="Release"/>.</param>
    public Errno PinDirectory(uint directory, uint rights, out DirectoryLease lease)
    {
        Errno error = PinDirectory(directory, out FdLease pinned);
        ModeLoan loan = default;
        if (error == Errno.None)
        {
            Loans?.Lend(directory, pinned.Fd, rights, out loan);
        }

        lease = new DirectoryLease(pinned, loan);
        return error;
    }

    /// <summary>
    /// Lends a directory the right to be moved to another parent, which needs write permission on the directory itself. The caller need
    /// not have it when the directory goes into the work directory.
    /// </summary>
    /// <param name="directory">The directory.</param>
    /// <param name="parentFd">Where it is.</param>
    /// <param name="name">Its name there.</param>
    /// <param name="newParent">Directory that it is moved to, or 0 for the work directory.</param>
    /// <param name="newName">Its name there, in the upper.</param>
    /// <param name="lease">To be given back by <see cref="Release"/>, also when nothing was lent.</param>
    public void LendToMove(uint directory, int parentFd, ByteName name, uint newParent, ByteName newName, out DirectoryLease lease)
    {
        lease = new DirectoryLease(FdLease.Borrow(-1), default);
        if (Loans != null && (_table.Node(directory)->Flags & FolderNodeFlags.OwnerUnbound) == 0
            && OpenBeneath(parentFd, name, Fcntl.O_PATH | Fcntl.O_DIRECTORY, out int fd) == Errno.None)
        {
            Loans.Lend(directory, fd, ModeLoans.Write, newParent, newName, out ModeLoan loan);
            lease = new DirectoryLease(new FdLease(fd, FdLease.Uncached), loan);
        }
    }

    /// <summary>Lends a descriptor of a directory.</summary>
    /// <returns>None; ESTALE: the directory has no name any more and is not held; EIO and what openat2 says otherwise.</returns>
    public Errno PinDirectory(uint directory, out FdLease lease)
    {
        if (directory == ILayer.RootNode)
        {
            lease = FdLease.Borrow(_rootFd);
            return Errno.None;
        }

        FolderNode* node = _table.Node(directory);
        if (_fds.TryPin(&node->FdSlot, false, out lease))
        {
            return Errno.None;
        }

        if (node->Place == NodePlace.HeldByFd)
        {
            lease = FdLease.Borrow(node->OrphanFd);
            return Errno.None;
        }

        // Climb to the nearest directory with an open descriptor, then come down opening one component after the other. The way is
        // kept in a buffer that grows: a tree may be deeper than any path, and deeper than a recursion would bear.
        uint* way = stackalloc uint[64];
        uint* grown = null;
        int depth = 0;
        int capacity = 64;
        uint current = directory;
        uint parentNode = 0;
        while (true)
        {
            if (depth == capacity)
            {
                uint* larger = (uint*)NativeMemory.Alloc((nuint)capacity * 2 * sizeof(uint));
                new ReadOnlySpan<uint>(way, depth).CopyTo(new Span<uint>(larger, depth));
                NativeMemory.Free(grown);
                grown = way = larger;
                capacity *= 2;
            }

            way[depth++] = current;
            FolderNode* record = _table.Node(current);
            if (record->Place == NodePlace.InWork)
            {
                parentNode = 0;
                lease = FdLease.Borrow(_workFd);
                break;
            }

            if (record->FirstName == 0)
            {
                NativeMemory.Free(grown);
                lease = default;
                return Failure.Note(_layer, "lost directory", Errno.ESTALE);
            }

            current = _table.Name(record->FirstName)->Parent;
            parentNode = current;
            if (current == ILayer.RootNode)
            {
                lease = FdLease.Borrow(_rootFd);
                break;
            }

            FolderNode* parent = _table.Node(current);
            if (_fds.TryPin(&parent->FdSlot, false, out lease))
            {
                break;
            }

            if (parent->Place == NodePlace.HeldByFd)
            {
                lease = FdLease.Borrow(parent->OrphanFd);
                break;
            }
        }

        byte* workName = stackalloc byte[16];
        Errno error = Errno.None;
        while (depth > 0)
        {
            uint next = way[--depth];
            FolderNode* record = _table.Node(next);
            ByteName name = record->Place == NodePlace.InWork
                ? WorkName(record->WorkName, workName)
                : _table.Name(record->FirstName)->ByteName;
            ModeLoan loan = default;
            if (parentNode != 0)
            {
                Loans?.Lend(parentNode, lease.Fd, ModeLoans.Search, out loan);
            }

            error = OpenDirectory(lease.Fd, name, out int fd);
            Loans?.Return(loan);
            _fds.Release(lease);
            parentNode = next;
            lease = default;
            if (error != Errno.None)
            {
                break;
            }

            lease = _fds.Insert(&record->FdSlot, fd, false);
        }

        NativeMemory.Free(grown);
        return error;
    }

    /// <summary>Directory descriptor and name under which an object can be reached.</summary>
    /// <param name="node">A node with a name, or one in the work directory.</param>
    /// <param name="workName">At least 16 bytes, used for an object in the work directory.</param>
    /// <param name="directory">Lent descriptor of the directory, which may be searched meanwhile.</param>
    /// <param name="name">Name in it.</param>
    public Errno Locate(uint node, byte* workName, out DirectoryLease directory, out ByteName name)
    {
        FolderNode* record = _table.Node(node);
        if (record->Place == NodePlace.InWork)
        {
            directory = new DirectoryLease(FdLease.Borrow(_workFd), default);
            name = WorkName(record->WorkName, workName);
            return Errno.None;
        }

        if (record->FirstName == 0)
        {
            directory = default;
            name = default;
            return Failure.Note(_layer, "lost file", Errno.ESTALE);
        }

        Dentry* dentry = _table.Name(record->FirstName);
        name = dentry->ByteName;
        return PinDirectory(dentry->Parent, ModeLoans.Search, out directory);
    }

    /// <summary>Lends a descriptor of a regular file. A file whose mode forbids it is opened nevertheless when it is ours.</summary>
    public Errno PinFile(uint node, bool writable, out FdLease lease)
    {
        FolderNode* record = _table.Node(node);
        if (record->Place == NodePlace.HeldByFd)
        {
            lease = FdLease.Borrow(record->OrphanFd);
            return Errno.None;
        }

        if (_fds.TryPin(&record->FdSlot, writable, out lease))
        {
            return Errno.None;
        }

        Errno error = OpenFile(node, writable, out int fd);
        if (error != Errno.None)
        {
            return error;
        }

        lease = _fds.Insert(&record->FdSlot, fd, writable);
        return Errno.None;
    }

    /// <summary>A descriptor of a regular file to read by, a copy of the cached one if there is one; the caller owns it. Its position may be shared.</summary>
    public Errno OpenContent(uint node, out int fd)
    {
        if (!_fds.TryPin(&_table.Node(node)->FdSlot, false, out FdLease lease))
        {
            return OpenFile(node, false, out fd);
        }

        Errno error = Fd.DupCloexec(lease.Fd, out fd);
        _fds.Release(lease);
        return Failure.Note(_layer, "dup", error);
    }

    /// <summary>Opens a regular file anew; the caller owns the descriptor.</summary>
    public Errno OpenFile(uint node, bool writable, out int fd)
    {
        byte* workName = stackalloc byte[16];
        fd = -1;
        Errno error = Locate(node, workName, out DirectoryLease directory, out ByteName name);
        if (error != Errno.None)
        {
            return error;
        }

        int flags = (writable ? Fcntl.O_RDWR : Fcntl.O_RDONLY) | Fcntl.O_NONBLOCK;
        error = OpenBeneath(directory.Fd, name, flags, out fd);
        if (error == Errno.EACCES && Loans != null)
        {
            error = OpenAgainstMode(node, directory.Fd, name, flags, out fd);
        }

        Release(directory);
        LeaveUntouched(fd);
        return Failure.Note(_layer, "openat2", error);
    }

    /// <summary>fstat of an object wherever it lies. st_nlink is 0 for one without a name.</summary>
    public Errno Stat(uint node, stat* attributes)
    {
        FolderNode* record = _table.Node(node);
        Errno error;
        if (node == ILayer.RootNode)
        {
            return Failure.Note(_layer, "fstat", Antares.Interop.Attributes.Fstat(_rootFd, attributes));
        }

        if (record->Place == NodePlace.HeldByFd)
        {
            error = Antares.Interop.Attributes.Fstat(record->OrphanFd, attributes);
        }
        else if (_fds.TryPin(&record->FdSlot, false, out FdLease lease))
        {
            error = Antares.Interop.Attributes.Fstat(lease.Fd, attributes);
            _fds.Release(lease);
        }
        else
        {
            byte* workName = stackalloc byte[16];
            error = Locate(node, workName, out DirectoryLease directory, out ByteName name);
            if (error != Errno.None)
            {
                return error;
            }

            error = Antares.Interop.Attributes.Fstatat(directory.Fd, name.Pointer, attributes, Fcntl.AT_SYMLINK_NOFOLLOW);
            Release(directory);
        }

        if (record->Place == NodePlace.InWork)
        {
            // Its name in the work directory is not one that anybody sees.
            attributes->st_nlink = record->Type == FileType.Directory || attributes->st_nlink == 0 ? 0 : attributes->st_nlink - 1;
        }
        else if (record->Place == NodePlace.HeldByFd && record->Type == FileType.Directory)
        {
            attributes->st_nlink = 0;
        }

        return Failure.Note(_layer, "fstatat", error);
    }

    public void Dispose()
    {
        // The folders were only read or are already synced where asked for: a failing close tells nothing new.
        _ = Fd.Close(_rootFd);
        if (_workFd >= 0)
        {
            _ = Fd.Close(_workFd);
        }
    }

    private Errno OpenDirectory(int parentFd, ByteName name, out int fd)
    {
        Errno error = OpenBeneath(parentFd, name, Fcntl.O_RDONLY | Fcntl.O_DIRECTORY, out fd);
        if (error == Errno.EACCES)
        {
            error = OpenBeneath(parentFd, name, Fcntl.O_PATH | Fcntl.O_DIRECTORY, out fd);
        }

        LeaveUntouched(fd);
        return Failure.Note(_layer, "openat2", error);
    }

    // Reading a lower layer moves no access time in it, as with kernel overlayfs. By F_SETFL and not at open, so that the objects of other
    // owners, for whom a plain user's server may not ask that (EPERM), need no second open.
    private void LeaveUntouched(int fd)
    {
        if (_workFd < 0 && fd >= 0)
        {
            _ = Fd.Setfl(fd, Fcntl.O_NOATIME); // not ours to ask: read all the same
        }
    }

    // A plain user's server must reopen a file that was created 0444 (git objects) or made 000: the right to write was checked by
    // the kernel when the caller opened it. The mode is lent for the length of one open; mtime is not touched by it.
    private Errno OpenAgainstMode(uint node, int directoryFd, ByteName name, int flags, out int fd)
    {
        fd = -1;
        Errno error = OpenBeneath(directoryFd, name, Fcntl.O_PATH, out int path);
        if (error != Errno.None)
        {
            return error;
        }

        Loans!.Lend(node, path, ModeLoans.Read | ModeLoans.Write, out ModeLoan loan);
        error = loan.Active && _table.Node(node)->Type == FileType.Regular ? OpenBeneath(directoryFd, name, flags, out fd) : Errno.EACCES;
        Loans.Return(loan);
        _ = Fd.Close(path);
        return error;
    }
}
