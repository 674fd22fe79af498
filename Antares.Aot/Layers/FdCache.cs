using Antares.Aot.Base;

namespace Antares.Aot.Layers;

/// <summary>A descriptor lent out by <see cref="FdCache"/>; give it back with <see cref="FdCache.Release"/>.</summary>
public readonly struct FdLease
{
    internal const int Uncached = -1;
    internal const int Borrowed = -2;

    internal FdLease(int fd, int slot)
    {
        Fd = fd;
        Slot = slot;
    }

    public int Fd { get; }

    internal int Slot { get; }

    /// <summary>A lease on a descriptor that somebody else owns for longer than the lease lasts (a layer's root).</summary>
    public static FdLease Borrow(int fd) => new(fd, Borrowed);
}

/// <summary>
/// A bounded, least-recently-used cache of open descriptors, shared by the layers of a mount. Its bound is what keeps a mount below
/// <c>ulimit -n</c> whatever the number of inodes in use. A descriptor that is lent out (pinned) is never closed under its user.
/// </summary>
/// <remarks>
/// The owner of a descriptor is an <c>int</c> in native memory that never moves (a field of a table record): 0 means "no descriptor
/// cached", n &gt; 0 the slot n - 1. The cache sets it back to 0 when it evicts. One lock of its own, held for a few instructions,
/// never over a system call. When the process runs out of descriptors, <see cref="Antares.Interop.DescriptorRelief"/> has it give up idle ones.
/// </remarks>
public sealed unsafe class FdCache : IDisposable
{
    private struct Slot
    {
        public int* Owner;
        public int Fd;
        public int Pins;
        public int Previous;
        public int Next;
        public bool Writable;
        public bool Doomed;
    }

    /// <summary>Few enough that the rest stays of use, more than the one that is wanted: other threads want some too.</summary>
    private const int GivenUpAtOnce = 8;

    private readonly Lock _lock = new();
    private readonly Func<bool> _giveUp;
    private readonly int _capacity;
    private readonly Slot* _slots;
    private int _newest = -1;
    private int _oldest = -1;
    private int _freeSlot = -1;
    private int _neverUsed;
    private int _used;

    /// <param name="capacity">Most descriptors held at once, at least 1; those lent out beyond it are closed when they come back.</param>
    public FdCache(int capacity)
    {
        _capacity = Math.Max(1, capacity);
        _slots = (Slot*)ZeroPages.Allocate((nuint)_capacity * (nuint)sizeof(Slot));
        _giveUp = GiveUpIdle;
        Antares.Interop.DescriptorRelief.Add(_giveUp);
    }

    /// <summary>Descriptors held now.</summary>
    public int Used => Volatile.Read(ref _used);

    public int Capacity => _capacity;

    /// <summary>Lends the descriptor of an owner when it is cached and good for the purpose.</summary>
    public bool TryPin(int* owner, bool writable, out FdLease lease)
    {
        lock (_lock)
        {
            int slot = *owner - 1;
            if (slot >= 0 && (!writable || _slots[slot].Writable))
            {
                _slots[slot].Pins++;
                Unlink(slot);
                LinkNewest(slot);
                lease = new FdLease(_slots[slot].Fd, slot);
                return true;
            }
        }

        lease = default;
        return false;
    }

    /// <summary>Takes over <paramref name="fd"/> for an owner, replacing what the owner had, and lends it at once.</summary>
    public FdLease Insert(int* owner, int fd, bool writable)
    {
        int toClose = -1;
        int replaced = -1;
        FdLease lease;
        lock (_lock)
        {
            if (*owner != 0)
            {
                replaced = Detach(*owner - 1);
            }

            if (_freeSlot < 0 && _neverUsed < _capacity)
            {
                _freeSlot = _neverUsed++;
                _slots[_freeSlot].Next = -1;
            }

            int slot = _freeSlot;
            if (_used == _capacity)
            {
                slot = OldestIdle();
                toClose = slot >= 0 ? Detach(slot) : -1;
            }

            if (slot >= 0)
            {
                _freeSlot = _slots[slot].Next;
                _slots[slot] = new Slot { Owner = owner, Fd = fd, Pins = 1, Writable = writable };
                *owner = slot + 1;
                _used++;
                LinkNewest(slot);
                lease = new FdLease(fd, slot);
            }
            else
            {
                lease = new FdLease(fd, FdLease.Uncached);
            }
        }

        CloseQuietly(toClose);
        CloseQuietly(replaced);
        return lease;
    }

    /// <summary>Gives a lease back.</summary>
    public void Release(FdLease lease)
    {
        if (lease.Slot == FdLease.Borrowed)
        {
            return;
        }

        int toClose = -1;
        if (lease.Slot == FdLease.Uncached)
        {
            toClose = lease.Fd;
        }
        else
        {
            lock (_lock)
            {
                Slot* slot = &_slots[lease.Slot];
                if (--slot->Pins == 0 && slot->Doomed)
                {
                    toClose = slot->Fd;
                    Recycle(lease.Slot);
                }
            }
        }

        CloseQuietly(toClose);
    }

    /// <summary>Closes the descriptor of an owner that goes away (as soon as nobody uses it).</summary>
    public void Drop(int* owner)
    {
        int toClose = -1;
        lock (_lock)
        {
            if (*owner != 0)
            {
                toClose = Detach(*owner - 1);
            }
        }

        CloseQuietly(toClose);
    }

    /// <summary>Takes the descriptor out of the cache and hands it over; false when none is cached or it is lent out right now.</summary>
    public bool TryTake(int* owner, bool writable, out int fd)
    {
        lock (_lock)
        {
            int slot = *owner - 1;
            if (slot >= 0 && _slots[slot].Pins == 0 && (!writable || _slots[slot].Writable))
            {
                fd = Detach(slot);
                return true;
            }
        }

        fd = -1;
        return false;
    }

    /// <summary>Gives up nothing on demand any more: the memory of owners is about to go, and with it the mount.</summary>
    public void Retire() => Antares.Interop.DescriptorRelief.Remove(_giveUp);

    public void Dispose()
    {
        Retire();
        lock (_lock)
        {
            for (int slot = _newest; slot >= 0; slot = _slots[slot].Next)
            {
                *_slots[slot].Owner = 0;
                CloseQuietly(_slots[slot].Fd);
            }

            _newest = _oldest = -1;
            _used = 0;
        }

        ZeroPages.Free(_slots, (nuint)_capacity * (nuint)sizeof(Slot));
    }

    // Closes the descriptors that were not used for longest; true when there were any.
    private bool GiveUpIdle()
    {
        int closed = 0;
        while (closed < GivenUpAtOnce)
        {
            int fd;
            lock (_lock)
            {
                int slot = OldestIdle();
                if (slot < 0)
                {
                    break;
                }

                fd = Detach(slot);
            }

            CloseQuietly(fd);
            closed++;
        }

        return closed > 0;
    }

    private int OldestIdle()
    {
        int slot = _oldest;
        while (slot >= 0 && _slots[slot].Pins > 0)
        {
            slot = _slots[slot].Previous;
        }

        return slot;
    }

    // Takes a slot away from its owner. Returns the descriptor to close, or -1 when a user still has it (then Release closes it).
    private int Detach(int slot)
    {
        *_slots[slot].Owner = 0;
        Unlink(slot);
        if (_slots[slot].Pins > 0)
        {
            _slots[slot].Doomed = true;
            _slots[slot].Owner = null;
            return -1;
        }

        int fd = _slots[slot].Fd;
        Recycle(slot);
        return fd;
    }

    private void Recycle(int slot)
    {
        _slots[slot] = new Slot { Fd = -1, Next = _freeSlot };
        _freeSlot = slot;
        _used--;
    }

    private void LinkNewest(int slot)
    {
        _slots[slot].Previous = -1;
        _slots[slot].Next = _newest;
        if (_newest >= 0)
        {
            _slots[_newest].Previous = slot;
        }

        _newest = slot;
        if (_oldest < 0)
        {
            _oldest = slot;
        }
    }

    private void Unlink(int slot)
    {
        if (_slots[slot].Doomed)
        {
            return;
        }

        int previous = _slots[slot].Previous;
        int next = _slots[slot].Next;
        if (previous >= 0)
        {
            _slots[previous].Next = next;
        }
        else
        {
            _newest = next;
        }

        if (next >= 0)
        {
            _slots[next].Previous = previous;
        }
        else
        {
            _oldest = previous;
        }
    }

    private static void CloseQuietly(int fd)
    {
        if (fd >= 0)
        {
            // Nothing can be done about a failing close: data errors were reported by write and fsync.
            _ = Antares.Interop.Fd.Close(fd);
        }
    }
}
