using Antares.Interop;

namespace Antares.Aot.Dicfuse.Sources;

/// <summary>A descriptor that stays open until it is released.</summary>
/// <param name="Fd">The descriptor.</param>
/// <param name="Entry">Its place in the cache; or one of the two marks below.</param>
internal readonly record struct FdPin(int Fd, int Entry)
{
    /// <summary>Not in the cache: closed when it is released.</summary>
    public const int Passing = -1;

    /// <summary>Owned elsewhere (the root): releasing does nothing.</summary>
    public const int Lent = -2;
}

/// <summary>
/// Open descriptors of a source by node: a fixed number, the least recently used given up first, none while someone uses it.
/// </summary>
/// <remarks>One lock, held for a few memory accesses; descriptors are closed outside it. Allocates nothing once made.</remarks>
internal sealed class SourceFds : IDisposable
{
    private const int None = -1;

    private readonly Entry[] _entries;
    private readonly Dictionary<uint, int> _byNode;
    private readonly Lock _lock = new();
    private readonly Func<bool> _giveUp;
    private int _used;
    private int _free = None;
    private int _newest = None;
    private int _oldest = None;
    private int _open;

    /// <param name="capacity">Most descriptors kept; taken as 1 when less.</param>
    public SourceFds(int capacity)
    {
        capacity = Math.Max(capacity, 1);
        _entries = new Entry[capacity];
        _byNode = new Dictionary<uint, int>(capacity);
        _giveUp = Shed;
        DescriptorRelief.Add(_giveUp);
    }

    /// <summary>Descriptors in the cache, used or idle.</summary>
    public int Open => Volatile.Read(ref _open);

    /// <summary>Pins the descriptor of a node if it is here.</summary>
    public bool TryPin(uint node, out FdPin pin)
    {
        lock (_lock)
        {
            if (!_byNode.TryGetValue(node, out int index))
            {
                pin = default;
                return false;
            }

            pin = Pin(index);
            return true;
        }
    }

    /// <summary>
    /// Takes over a descriptor that was just opened and pins it: in the cache if there is room, or an idle one to give up; else
    /// it passes through and is closed at its release.
    /// </summary>
    public FdPin Adopt(uint node, int fd)
    {
        int close = None;
        FdPin pin;
        lock (_lock)
        {
            if (_byNode.TryGetValue(node, out int index))
            {
                // Another thread was faster: its descriptor is as good.
                close = fd;
                pin = Pin(index);
            }
            else
            {
                index = TakeEntry(out close);
                if (index == None)
                {
                    return new FdPin(fd, FdPin.Passing);
                }

                _entries[index] = new Entry { Node = node, Fd = fd, Newer = None, Older = None };
                _byNode.Add(node, index);
                LinkNewest(index);
                _open++;
                pin = Pin(index);
            }
        }

        Close(close);
        return pin;
    }

    public void Release(FdPin pin)
    {
        if (pin.Entry == FdPin.Passing)
        {
            Close(pin.Fd);
        }
        else if (pin.Entry >= 0)
        {
            lock (_lock)
            {
                _entries[pin.Entry].Pins--;
            }
        }
    }

    /// <summary>Gives up every idle descriptor: <see cref="DescriptorRelief"/> asks for it when no number is free.</summary>
    /// <returns>True when at least one was closed.</returns>
    public bool Shed()
    {
        bool any = false;
        while (true)
        {
            int fd;
            lock (_lock)
            {
                int index = OldestIdle();
                if (index == None)
                {
                    return any;
                }

                fd = GiveUp(index);
                _entries[index].Older = _free;
                _free = index;
            }

            Close(fd);
            any = true;
        }
    }

    public void Dispose()
    {
        DescriptorRelief.Remove(_giveUp);
        _ = Shed(); // Nobody may use the source any more, so all are idle.
    }

    private FdPin Pin(int index)
    {
        if (index != _newest)
        {
            Unlink(index);
            LinkNewest(index);
        }

        _entries[index].Pins++;
        return new FdPin(_entries[index].Fd, index);
    }

    private int TakeEntry(out int close)
    {
        close = None;
        if (_free != None)
        {
            int index = _free;
            _free = _entries[index].Older;
            return index;
        }

        if (_used < _entries.Length)
        {
            return _used++;
        }

        int idle = OldestIdle();
        if (idle != None)
        {
            close = GiveUp(idle);
        }

        return idle;
    }

    private int OldestIdle()
    {
        int index = _oldest;
        while (index != None && _entries[index].Pins != 0)
        {
            index = _entries[index].Newer;
        }

        return index;
    }

    private int GiveUp(int index)
    {
        Unlink(index);
        // The entry is there: it was found in the list.
        _ = _byNode.Remove(_entries[index].Node);
        _open--;
        return _entries[index].Fd;
    }

    private void LinkNewest(int index)
    {
        _entries[index].Older = _newest;
        _entries[index].Newer = None;
        if (_newest != None)
        {
            _entries[_newest].Newer = index;
        }

        _newest = index;
        if (_oldest == None)
        {
            _oldest = index;
        }
    }

    private void Unlink(int index)
    {
        ref Entry entry = ref _entries[index];
        if (entry.Older != None)
        {
            _entries[entry.Older].Newer = entry.Newer;
        }
        else
        {
            _oldest = entry.Newer;
        }

        if (entry.Newer != None)
        {
            _entries[entry.Newer].Older = entry.Older;
        }
        else
        {
            _newest = entry.Older;
        }
    }

    private static void Close(int fd)
    {
        if (fd >= 0)
        {
            // Open for reading only: closing can lose nothing.
            _ = Fd.Close(fd);
        }
    }

    private struct Entry
    {
        public uint Node;
        public int Fd;
        public int Pins;
        public int Newer;
        public int Older;
    }
}
