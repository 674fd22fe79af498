using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>Names taken from the upper, with a whiteout in their place where a layer below has the name.</summary>
/// <remarks>All members are called with the layer's gate held.</remarks>
public sealed unsafe class UpperRemoval
{
    private readonly DirectoryLayer _layer;
    private readonly DirectoryTable _table;
    private readonly FolderAccess _access;
    private readonly UpperWriter _writer;
    private readonly Orphans _orphans;

    internal UpperRemoval(DirectoryLayer layer, UpperWriter writer)
    {
        _layer = layer;
        _table = layer.Table;
        _access = layer.Access;
        _writer = writer;
        _orphans = writer.Orphans;
    }

    /// <summary>Hides a name that only layers below have.</summary>
    public Errno AddWhiteout(uint directory, ByteName name)
    {
        Errno error = _layer.Load(directory);
        if (error != Errno.None)
        {
            return error;
        }

        error = _access.PinDirectory(directory, ModeLoans.Change, out DirectoryLease at);
        if (error != Errno.None)
        {
            return error;
        }

        error = _writer.Work.PlaceWhiteout(at.Fd, name, replace: false);
        _access.Release(at);
        if (error == Errno.None)
        {
            _ = _table.Add(directory, name, DirectoryTable.WhiteoutNode);
        }

        return error;
    }

    /// <summary>Removes the name of a non-directory, leaving a whiteout where a layer below has the name.</summary>
    /// <param name="directory">Loaded directory.</param>
    /// <param name="name">A name of the upper, no whiteout.</param>
    /// <param name="whiteout">True to leave a whiteout.</param>
    /// <param name="keep">True when the object may still be in use and must live on without a name.</param>
    public Errno Unlink(uint directory, ByteName name, bool whiteout, bool keep)
    {
        uint dentry = _table.Find(directory, name);
        uint node = _table.Name(dentry)->Node;
        bool last = _table.Node(node)->Names == 1;
        Errno error = _access.PinDirectory(directory, ModeLoans.Change, out DirectoryLease at);
        if (error != Errno.None)
        {
            return error;
        }

        OrphanHold hold = default;
        if (keep && last)
        {
            error = _orphans.Hold(node, at.Fd, name, out hold);
        }

        if (error == Errno.None)
        {
            error = whiteout
                ? _writer.Work.PlaceWhiteout(at.Fd, name, replace: true)
                : Failure.Note("upper", "unlinkat", PathOps.Unlinkat(at.Fd, name.Pointer, 0));
            if (error != Errno.None)
            {
                _orphans.Cancel(node, hold);
            }
        }

        _access.Release(at);
        if (error != Errno.None)
        {
            return error;
        }

        if (whiteout)
        {
            _table.Repoint(dentry, DirectoryTable.WhiteoutNode);
        }
        else
        {
            _table.Remove(dentry);
        }

        if (last)
        {
            _orphans.LostLastName(node, hold);
        }

        return Errno.None;
    }

    /// <summary>Removes a directory whose merged view is empty (it may hold whiteouts), leaving a whiteout where one is needed.</summary>
    public Errno Rmdir(uint directory, ByteName name, bool whiteout, bool keep)
    {
        uint dentry = _table.Find(directory, name);
        uint node = _table.Name(dentry)->Node;
        Errno error = _layer.Load(node);
        if (error == Errno.None)
        {
            error = _access.PinDirectory(directory, ModeLoans.Change, out DirectoryLease at);
            if (error == Errno.None)
            {
                error = RemoveDirectory(at.Fd, name, node, whiteout, keep, out OrphanHold hold);
                _access.Release(at);
                if (error == Errno.None)
                {
                    ForgetWhiteouts(node);
                    if (whiteout)
                    {
                        _table.Repoint(dentry, DirectoryTable.WhiteoutNode);
                    }
                    else
                    {
                        _table.Remove(dentry);
                    }

                    _orphans.LostLastName(node, hold);
                }
            }
        }

        return error;
    }

    /// <summary>Removes the whiteouts of a directory whose merged view is empty, marking it opaque first so that nothing shows through.</summary>
    /// <param name="directory">It.</param>
    /// <param name="isOpaque">It has the mark, so that nothing of a layer below belongs to it any more, also after a failure.</param>
    public Errno ClearWhiteouts(uint directory, out bool isOpaque)
    {
        isOpaque = false;
        Errno error = _layer.Load(directory);
        if (error != Errno.None || _table.Listing(directory)->Order.Count == 0)
        {
            return error;
        }

        error = _writer.SetOpaque(directory);
        if (error != Errno.None)
        {
            return error;
        }

        isOpaque = true;
        error = _access.PinDirectory(directory, ModeLoans.Change, out DirectoryLease at);
        ulong cookie = 0;
        while (error == Errno.None && _table.Next(directory, cookie, out uint dentry))
        {
            Dentry* entry = _table.Name(dentry);
            cookie = entry->Cookie;
            error = Failure.Note("upper", "unlinkat (whiteout)", PathOps.Unlinkat(at.Fd, entry->Name, 0));
            if (error == Errno.None)
            {
                _table.Remove(dentry);
            }
        }

        _access.Release(at);
        return error;
    }

    private Errno RemoveDirectory(int atFd, ByteName name, uint node, bool whiteout, bool keep, out OrphanHold hold)
    {
        hold = default;
        bool holdsWhiteouts = _table.Listing(node)->Order.Count > 0;
        Errno error = keep ? _orphans.HoldDirectory(node, atFd, name, out hold) : Errno.None;
        if (error != Errno.None)
        {
            return error;
        }

        if (!whiteout && !holdsWhiteouts && !hold.InWork)
        {
            error = Failure.Note("upper", "unlinkat (directory)", PathOps.Unlinkat(atFd, name.Pointer, Fcntl.AT_REMOVEDIR));
        }
        else
        {
            byte* workName = stackalloc byte[16];
            uint number;
            _access.LendToMove(node, atFd, name, 0, default, out DirectoryLease moved);
            if (whiteout)
            {
                error = _writer.Work.MakeWhiteout(out number);
                if (error == Errno.None)
                {
                    error = _writer.Work.MarkDirectory(atFd);
                    if (error == Errno.None)
                    {
                        error = PathOps.Renameat2(
                            _writer.Work.Fd, FolderAccess.WorkName(number, workName).Pointer, atFd, name.Pointer, Fcntl.RENAME_EXCHANGE);
                    }

                    if (error != Errno.None)
                    {
                        _writer.Work.Remove(number);
                    }
                }
            }
            else
            {
                number = _writer.Work.Take();
                error = PathOps.Renameat2(atFd, name.Pointer, _writer.Work.Fd, FolderAccess.WorkName(number, workName).Pointer, 0);
            }

            _access.Release(moved);
            error = Failure.Note("upper", "renameat2 (rmdir)", error);
            if (error == Errno.None)
            {
                if (hold.InWork)
                {
                    hold = new OrphanHold(-1, number, true);
                }
                else
                {
                    // What is left of it is whiteouts in the work directory; the next mount removes what stays.
                    _ = _writer.Work.RemoveTree(number);
                }
            }
        }

        if (error != Errno.None)
        {
            _orphans.Cancel(node, hold);
        }

        return error;
    }

    private void ForgetWhiteouts(uint directory)
    {
        ulong cookie = 0;
        while (_table.Next(directory, cookie, out uint dentry))
        {
            cookie = _table.Name(dentry)->Cookie;
            _table.Remove(dentry);
        }
    }
}
