using Antares.Interop;

namespace Antares.Aot.Fuse;

/// <summary>
/// Ids of the threads on which requests depend: those of the loop, and those of pools that a request may wait for. When one of them uses
/// the mount itself, the request it sends could wait for the very thread that sent it; the answer EIO makes an error of the deadlock.
/// </summary>
/// <remarks>Asked for each request without a lock; adding and removing take one. An open-addressed table: 0 is free, -1 was used.</remarks>
public sealed class OwnThreads
{
    private const int Size = 256;

    private readonly Lock _lock = new();
    private readonly int[] _slots = new int[Size];

    /// <summary>Adds the calling thread; to be taken back by <see cref="Leave"/> on the same thread. Beyond 192 threads it does nothing.</summary>
    public void Enter() => Add(Process.Gettid());

    /// <summary>Takes the calling thread out.</summary>
    public void Leave() => Remove(Process.Gettid());

    /// <summary>Is <paramref name="pid"/>, the thread id of a request's header, one of ours? 0 (the kernel itself) is not.</summary>
    public bool Contains(uint pid)
    {
        int wanted = (int)pid;
        for (int i = wanted & (Size - 1), probes = 0; wanted > 0 && probes < Size; i = (i + 1) & (Size - 1), probes++)
        {
            int seen = Volatile.Read(ref _slots[i]);
            if (seen == wanted)
            {
                return true;
            }

            if (seen == 0)
            {
                return false;
            }
        }

        return false;
    }

    internal void Add(int tid)
    {
        lock (_lock)
        {
            int place = -1;
            int used = 0;
            for (int i = 0; i < Size; i++)
            {
                int at = (tid + i) & (Size - 1);
                used += _slots[at] > 0 ? 1 : 0;
                if (place < 0 && _slots[at] <= 0)
                {
                    place = at;
                }
            }

            if (used < Size * 3 / 4)
            {
                Volatile.Write(ref _slots[place], tid);
            }
        }
    }

    internal void Remove(int tid)
    {
        lock (_lock)
        {
            int at = Array.IndexOf(_slots, tid);
            if (at >= 0)
            {
                // Free again only where no chain of probes goes on behind it.
                Volatile.Write(ref _slots[at], _slots[(at + 1) & (Size - 1)] == 0 ? 0 : -1);
            }
        }
    }
}
