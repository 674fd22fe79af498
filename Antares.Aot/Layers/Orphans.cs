using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>How an object is kept that is about to lose its last name.</summary>
/// <param name="Fd">Descriptor that keeps it, or -1.</param>
/// <param name="WorkNumber">Its name in the work directory, when kept there.</param>
/// <param name="InWork">True: kept (or, for a directory, to be kept) in the work directory.</param>
public readonly record struct OrphanHold(int Fd, uint WorkNumber, bool InWork)
{
    /// <summary>True when something keeps the object.</summary>
    public bool Keeps => InWork || Fd > 0;
}

/// <summary>
/// Objects that lost their last name but are still in use (open, mapped, somebody's working directory): each is kept by a descriptor,
/// and beyond a bound under a name in the work directory, until the kernel forgets it.
/// </summary>
/// <remarks>All members are called with the layer's gate held.</remarks>
public sealed unsafe class Orphans : IDisposable
{
    private readonly DirectoryLayer _layer;
    private readonly DirectoryTable _table;
    private readonly FolderAccess _access;
    private readonly FdCache _fds;
    private readonly WorkDirectory _work;
    private readonly int _bound;
    private int _heldByFd;
    private int _inWork;
    private long _kept;
    private long _ended;

    public Orphans(DirectoryLayer layer, WorkDirectory work)
    {
        _layer = layer;
        _table = layer.Table;
        _access = layer.Access;
        _fds = layer.Access.Cache;
        _work = work;
        _bound = _fds.Capacity / 2;
    }

    /// <summary>Objects kept by a descriptor.</summary>
    public int HeldByFd => Volatile.Read(ref _heldByFd);

    /// <summary>Objects kept in the work directory.</summary>
    public int InWork => Volatile.Read(ref _inWork);

    /// <summary>How many objects were kept ever: another number tells of one more.</summary>
    public long Kept => Volatile.Read(ref _kept);

    /// <summary>How many of them have ended, and given back their room.</summary>
    public long Ended => Volatile.Read(ref _ended);

    /// <summary>A file without a name was made in the work directory (1), or got a name (-1).</summary>
    public void CountInWork(int change)
    {
        _inWork += change;
        if (change > 0)
        {
            Volatile.Write(ref _kept, _kept + change);
        }
    }

    /// <summary>Prepares a non-directory for losing its last name.</summary>
    /// <param name="node">The object.</param>
    /// <param name="directoryFd">Directory of its last name.</param>
    /// <param name="name">The name.</param>
    /// <param name="hold">To be given to <see cref="LostLastName"/> or <see cref="Cancel"/>.</param>
    public Errno Hold(uint node, int directoryFd, ByteName name, out OrphanHold hold)
    {
        FolderNode* record = _table.Node(node);
        hold = default;
        if (_heldByFd < _bound && (record->Flags & FolderNodeFlags.NamesMissing) == 0)
        {
            Errno error = Errno.None;
            int fd = -1;
            if (record->Type != FileType.Regular)
            {
                error = FolderAccess.OpenBeneath(directoryFd, name, Fcntl.O_PATH, out fd);
            }
            else if (!_fds.TryTake(&record->FdSlot, true, out fd))
            {
                error = _access.OpenFile(node, true, out fd);
            }

            if (error == Errno.None)
            {
                stat attributes;
                hold = new OrphanHold(fd, 0, false);
                if (Antares.Interop.Attributes.Fstat(fd, &attributes) != Errno.None || attributes.st_nlink <= record->Names)
                {
                    return Errno.None;
                }

                // It has a further name in a directory that is not loaded: it must stay one that can be linked, if the kernel lets us.
                if (HoldInWork(directoryFd, name, out OrphanHold inWork) == Errno.None)
                {
                    Cancel(node, hold);
                    hold = inWork;
                }

                return Errno.None;
            }

            if (error is not (Errno.EMFILE or Errno.ENFILE or Errno.EACCES or Errno.EPERM or Errno.ETXTBSY))
            {
                return Failure.Note("upper", "openat2 (unlink)", error);
            }
        }

        return Failure.Note("work", "linkat (unlink)", HoldInWork(directoryFd, name, out hold));
    }

    private Errno HoldInWork(int directoryFd, ByteName name, out OrphanHold hold)
    {
        byte* workName = stackalloc byte[16];
        uint number = _work.Take();
        Errno error = PathOps.Linkat(directoryFd, name.Pointer, _work.Fd, FolderAccess.WorkName(number, workName).Pointer, 0);
        hold = error == Errno.None ? new OrphanHold(-1, number, true) : default;
        return error;
    }

    /// <summary>Prepares a directory for losing its name. Beyond the bound the caller must move it into the work directory.</summary>
    public Errno HoldDirectory(uint node, int directoryFd, ByteName name, out OrphanHold hold)
    {
        FolderNode* record = _table.Node(node);
        hold = new OrphanHold(-1, 0, true);
        if (_heldByFd >= _bound)
        {
            return Errno.None;
        }

        if (!_fds.TryTake(&record->FdSlot, false, out int fd))
        {
            Errno error = FolderAccess.OpenBeneath(directoryFd, name, Fcntl.O_RDONLY | Fcntl.O_DIRECTORY, out fd);
            if (error != Errno.None)
            {
                return error is Errno.EMFILE or Errno.ENFILE or Errno.EACCES ? Errno.None : Failure.Note("upper", "openat2 (rmdir)", error);
            }
        }

        hold = new OrphanHold(fd, 0, false);
        return Errno.None;
    }

    /// <summary>Undoes a hold: the name was not lost after all.</summary>
    public void Cancel(uint node, OrphanHold hold)
    {
        if (hold.Fd > 0)
        {
            FolderNode* record = _table.Node(node);
            if (record->Type is FileType.Regular or FileType.Directory)
            {
                _fds.Release(_fds.Insert(&record->FdSlot, hold.Fd, record->Type == FileType.Regular));
            }
            else
            {
                _ = Fd.Close(hold.Fd);
            }
        }
        else if (hold.InWork && hold.WorkNumber != 0)
        {
            _work.Remove(hold.WorkNumber);
        }
    }

    /// <summary>The last name is gone: the object lives on by its hold, or ends when it has none.</summary>
    public void LostLastName(uint node, OrphanHold hold)
    {
        FolderNode* record = _table.Node(node);
        if (!hold.Keeps)
        {
            _fds.Drop(&record->FdSlot);
            CloseOrphan(record);
            _layer.Numbers.DropLink(node);
            _table.FreeNode(node);
            return;
        }

        Volatile.Write(ref _kept, _kept + 1);
        if (hold.InWork)
        {
            // A cached descriptor still leads to the object and stays of use.
            record->Place = NodePlace.InWork;
            record->WorkName = hold.WorkNumber;
            _inWork++;
        }
        else
        {
            _fds.Drop(&record->FdSlot);
            record->Place = NodePlace.HeldByFd;
            CloseOrphan(record);
            record->OrphanFd = hold.Fd;
            _heldByFd++;
        }
    }

    /// <summary>Another name of the object was found after all (a hard link in a directory that was not loaded).</summary>
    public void Revive(uint node)
    {
        FolderNode* record = _table.Node(node);
        if (record->Place == NodePlace.HeldByFd)
        {
            // The descriptor may be lent out right now, so it stays open until the object ends.
            _heldByFd--;
        }
        else if (record->Place == NodePlace.InWork)
        {
            _inWork--;
            _work.Remove(record->WorkName);
        }

        record->Place = NodePlace.Linked;
    }

    /// <summary>Nobody refers to the object any more: its data go.</summary>
    public void Release(uint node)
    {
        FolderNode* record = _table.Node(node);
        _fds.Drop(&record->FdSlot);
        CloseOrphan(record);
        if (record->Place == NodePlace.HeldByFd)
        {
            _heldByFd--;
        }
        else if (record->Place == NodePlace.InWork)
        {
            if (record->Type == FileType.Directory)
            {
                _ = _work.RemoveTree(record->WorkName);
            }
            else
            {
                _work.Remove(record->WorkName);
            }

            _inWork--;
        }

        _layer.Numbers.DropLink(node);
        _table.FreeNode(node);
        Volatile.Write(ref _ended, _ended + 1);
    }

    private static void CloseOrphan(FolderNode* record)
    {
        if (record->OrphanFd >= 0)
        {
            _ = Fd.Close(record->OrphanFd);
            record->OrphanFd = -1;
        }
    }

    public void Dispose()
    {
        // Descriptors of objects without a name end with the process; what lies in work is removed by WorkDirectory.Clean.
        _heldByFd = 0;
        _inWork = 0;
    }
}
