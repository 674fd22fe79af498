using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>Renames within the upper: one renameat2 that moves, replaces and leaves a whiteout in a single atomic step.</summary>
/// <remarks>Called with the layer's gate held; redirect and opaque marks are set by the overlay before.</remarks>
public sealed unsafe class UpperRename
{
    private readonly DirectoryLayer _layer;
    private readonly DirectoryTable _table;
    private readonly UpperWriter _writer;

    public UpperRename(DirectoryLayer layer)
    {
        _layer = layer;
        _table = layer.Table;
        _writer = layer.Writer;
    }

    /// <summary>Swaps two names that the upper has.</summary>
    public Errno Exchange(uint directory, ByteName name, uint newDirectory, ByteName newName)
    {
        uint first = _table.Find(directory, name);
        uint second = _table.Find(newDirectory, newName);
        if (first == 0 || second == 0)
        {
            return Failure.Note("upper", "exchange of a name that it lacks", Errno.EIO);
        }

        Errno error = Pin(directory, newDirectory, out DirectoryLease from, out DirectoryLease to);
        if (error != Errno.None)
        {
            return error;
        }

        uint firstNode = _table.Name(first)->Node;
        uint secondNode = _table.Name(second)->Node;
        error = _layer.OwnMarks.RequireContent(firstNode);
        error = error == Errno.None ? _layer.OwnMarks.RequireContent(secondNode) : error;
        if (error != Errno.None)
        {
            Unpin(from, to);
            return error;
        }

        LendToMove(firstNode, directory != newDirectory, from.Fd, name, newDirectory, newName, out DirectoryLease moved);
        LendToMove(secondNode, directory != newDirectory, to.Fd, newName, directory, name, out DirectoryLease movedBack);
        error = PathOps.Renameat2(from.Fd, name.Pointer, to.Fd, newName.Pointer, Fcntl.RENAME_EXCHANGE);
        Unpin(moved, movedBack);
        Unpin(from, to);
        if (error == Errno.None)
        {
            _table.Repoint(first, secondNode);
            _table.Repoint(second, firstNode);
        }

        return Failure.Note("upper", "renameat2 (exchange)", error);
    }

    /// <summary>Moves a name of the upper.</summary>
    /// <param name="directory">Loaded directory of the old name.</param>
    /// <param name="name">Old name; the upper has it.</param>
    /// <param name="newDirectory">Loaded directory of the new name.</param>
    /// <param name="newName">New name: free, a whiteout, or an object that is replaced (a directory must hold nothing).</param>
    /// <param name="whiteout">True to leave a whiteout at the old name, since a layer below has it.</param>
    /// <param name="keepTarget">True when the replaced object may be in use.</param>
    public Errno Move(uint directory, ByteName name, uint newDirectory, ByteName newName, bool whiteout, bool keepTarget)
    {
        uint source = _table.Find(directory, name);
        if (source == 0)
        {
            return Failure.Note("upper", "rename of a name that it lacks", Errno.EIO);
        }

        uint node = _table.Name(source)->Node;
        Errno error = _layer.OwnMarks.RequireContent(node);
        if (error != Errno.None)
        {
            return error;
        }

        uint target = _table.Find(newDirectory, newName);
        uint replaced = target == 0 ? 0 : _table.Name(target)->Node;
        error = Pin(directory, newDirectory, out DirectoryLease from, out DirectoryLease to);
        if (error != Errno.None)
        {
            return error;
        }

        bool last = replaced > DirectoryTable.WhiteoutNode && _table.Node(replaced)->Names == 1;
        OrphanHold hold = default;
        if (last && keepTarget)
        {
            error = _table.Node(replaced)->Type == FileType.Directory
                ? _writer.Orphans.HoldDirectory(replaced, to.Fd, newName, out hold)
                : _writer.Orphans.Hold(replaced, to.Fd, newName, out hold);
        }

        if (error == Errno.None)
        {
            LendToMove(node, directory != newDirectory, from.Fd, name, newDirectory, newName, out DirectoryLease moved);
            bool displaces = hold.InWork && _table.Node(replaced)->Type == FileType.Directory;
            LendToMove(replaced, displaces || (whiteout && directory != newDirectory), to.Fd, newName, directory, name, out DirectoryLease movedBack);
            error = displaces
                ? Displace(from.Fd, name, to.Fd, newName, replaced, whiteout, out hold)
                : MoveOnDisk(from.Fd, name, to.Fd, newName, node, replaced, whiteout);
            Unpin(moved, movedBack);
            if (error != Errno.None)
            {
                _writer.Orphans.Cancel(replaced, hold);
            }
        }

        Unpin(from, to);
        if (error != Errno.None)
        {
            return Failure.Note("upper", "renameat2", error);
        }

        if (target == 0)
        {
            _ = _table.Add(newDirectory, newName, node);
        }
        else
        {
            _table.Repoint(target, node);
        }

        if (whiteout)
        {
            _table.Repoint(source, DirectoryTable.WhiteoutNode);
        }
        else
        {
            _table.Remove(source);
        }

        if (last)
        {
            _writer.Orphans.LostLastName(replaced, hold);
        }

        return Errno.None;
    }

    private Errno MoveOnDisk(int fromFd, ByteName name, int toFd, ByteName newName, uint node, uint replaced, bool whiteout)
    {
        bool overWhiteout = replaced == DirectoryTable.WhiteoutNode;
        bool isDirectory = _table.Node(node)->Type == FileType.Directory;
        if (overWhiteout && isDirectory)
        {
            // A directory cannot replace a whiteout; trading places with it leaves the whiteout where it is wanted, or for a moment where it is not.
            Errno swapped = _writer.Work.MarkDirectory(fromFd);
            if (swapped == Errno.None)
            {
                swapped = PathOps.Renameat2(fromFd, name.Pointer, toFd, newName.Pointer, Fcntl.RENAME_EXCHANGE);
            }

            if (swapped == Errno.None && !whiteout)
            {
                swapped = PathOps.Unlinkat(fromFd, name.Pointer, 0);
                if (swapped != Errno.None)
                {
                    // Back to how it was: what is on disk must be what the table says.
                    _ = PathOps.Renameat2(fromFd, name.Pointer, toFd, newName.Pointer, Fcntl.RENAME_EXCHANGE);
                }
            }

            return swapped;
        }

        if (!whiteout)
        {
            return PathOps.Renameat2(fromFd, name.Pointer, toFd, newName.Pointer, 0);
        }

        if (!_writer.Work.MarkedWhiteouts)
        {
            Errno moved = PathOps.Renameat2(fromFd, name.Pointer, toFd, newName.Pointer, Fcntl.RENAME_WHITEOUT);
            if (moved is not (Errno.EINVAL or Errno.EPERM or Errno.EOPNOTSUPP))
            {
                return moved;
            }
        }

        if (OnlyTakesNames(fromFd))
        {
            return Errno.EPERM; // the first of the calls below would succeed there, and not the next
        }

        // No RENAME_WHITEOUT here (overlayfs, some network file systems). Where the new name may show a file of a layer below, a whiteout there would hide it before
        // the other one has come: the object has both names for a moment.
        if (replaced == 0 && !isDirectory)
        {
            Errno linked = PathOps.Linkat(fromFd, name.Pointer, toFd, newName.Pointer, 0);
            if (linked == Errno.None)
            {
                linked = _writer.Work.PlaceWhiteout(fromFd, name, replace: true);
                if (linked != Errno.None)
                {
                    _ = PathOps.Unlinkat(toFd, newName.Pointer, 0);
                }

                return linked;
            }

            if (linked is not (Errno.EMLINK or Errno.EPERM or Errno.EOPNOTSUPP))
            {
                return linked;
            }
        }

        // Else the new name is given to a whiteout or the replaced object first, and the two are swapped, so that the object never has both names or none.
        if (replaced == 0)
        {
            Errno placed = _writer.Work.PlaceWhiteout(toFd, newName, replace: false);
            if (placed != Errno.None)
            {
                return placed;
            }
        }

        Errno error = _writer.Work.MarkDirectory(fromFd);
        if (error == Errno.None)
        {
            error = PathOps.Renameat2(fromFd, name.Pointer, toFd, newName.Pointer, Fcntl.RENAME_EXCHANGE);
        }

        if (error != Errno.None)
        {
            if (replaced == 0)
            {
                _ = PathOps.Unlinkat(toFd, newName.Pointer, 0);
            }

            return error;
        }

        if (replaced == 0 || overWhiteout)
        {
            return Errno.None;
        }

        if (_table.Node(replaced)->Type != FileType.Directory)
        {
            error = _writer.Work.PlaceWhiteout(fromFd, name, replace: true);
        }
        else
        {
            error = _writer.Work.MakeWhiteout(out uint number);
            if (error == Errno.None)
            {
                byte* workName = stackalloc byte[16];
                error = PathOps.Renameat2(
                    _writer.Work.Fd, FolderAccess.WorkName(number, workName).Pointer, fromFd, name.Pointer, Fcntl.RENAME_EXCHANGE);
                _ = _writer.Work.RemoveTree(number);
            }
        }

        if (error != Errno.None)
        {
            // Back to how it was: what is on disk must be what the table says.
            _ = PathOps.Renameat2(fromFd, name.Pointer, toFd, newName.Pointer, Fcntl.RENAME_EXCHANGE);
        }

        return error;
    }

    // A directory that is replaced and may be in use goes, beyond the bound of descriptors, into the work directory: it gives its place to
    // the one that is moved and is then taken away from the old name. Should the server be killed in between, an empty directory is there.
    private Errno Displace(int fromFd, ByteName name, int toFd, ByteName newName, uint replaced, bool whiteout, out OrphanHold hold)
    {
        hold = default;
        uint number = 0;
        Errno error = _writer.SetOpaque(replaced);
        if (error == Errno.None && whiteout)
        {
            error = _writer.Work.MarkDirectory(fromFd);
            if (error == Errno.None)
            {
                error = _writer.Work.MakeWhiteout(out number);
            }
        }
        else
        {
            number = _writer.Work.Take();
        }

        if (error != Errno.None)
        {
            return error;
        }

        byte* workName = stackalloc byte[16];
        ByteName kept = FolderAccess.WorkName(number, workName);
        error = PathOps.Renameat2(fromFd, name.Pointer, toFd, newName.Pointer, Fcntl.RENAME_EXCHANGE);
        if (error == Errno.None)
        {
            error = PathOps.Renameat2(fromFd, name.Pointer, _writer.Work.Fd, kept.Pointer, whiteout ? Fcntl.RENAME_EXCHANGE : 0);
            if (error == Errno.None)
            {
                hold = new OrphanHold(-1, number, true);
                return error;
            }

            // Back to how it was: what is on disk must be what the table says.
            _ = PathOps.Renameat2(fromFd, name.Pointer, toFd, newName.Pointer, Fcntl.RENAME_EXCHANGE);
        }

        if (whiteout)
        {
            _writer.Work.Remove(number);
        }

        return error;
    }

    // chattr +a
    private static bool OnlyTakesNames(int directoryFd)
    {
        ulong flags = 0;
        return FileIo.Ioctl(directoryFd, Ioctls.FS_IOC_GETFLAGS, &flags, out _) == Errno.None && (flags & Ioctls.FS_APPEND_FL) != 0;
    }

    // The kernel asked the caller for the right to give a directory another parent; a privileged caller may have it where we have not.
    private void LendToMove(
        uint node, bool moves, int directoryFd, ByteName name, uint newDirectory, ByteName newName, out DirectoryLease lease)
    {
        if (moves && node > DirectoryTable.WhiteoutNode && _table.Node(node)->Type == FileType.Directory)
        {
            _layer.Access.LendToMove(node, directoryFd, name, newDirectory, newName, out lease);
        }
        else
        {
            lease = new DirectoryLease(FdLease.Borrow(-1), default);
        }
    }

    private Errno Pin(uint directory, uint newDirectory, out DirectoryLease from, out DirectoryLease to)
    {
        to = default;
        Errno error = _layer.Access.PinDirectory(directory, ModeLoans.Change, out from);
        if (error == Errno.None)
        {
            error = _layer.Access.PinDirectory(newDirectory, ModeLoans.Change, out to);
            if (error != Errno.None)
            {
                _layer.Access.Release(from);
            }
        }

        return error;
    }

    private void Unpin(in DirectoryLease from, in DirectoryLease to)
    {
        _layer.Access.Release(to);
        _layer.Access.Release(from);
    }
}
