using Antares.Interop;

namespace Antares.Aot.Dicfuse.Store;

/// <summary>What a collection found and did.</summary>
/// <param name="Objects">Objects and views found.</param>
/// <param name="Bytes">Space that they took.</param>
/// <param name="Removed">How many were removed.</param>
/// <param name="RemovedBytes">Space that they took.</param>
internal readonly record struct CollectionResult(long Objects, long Bytes, long Removed, long RemovedBytes);

/// <summary>
/// Keeps a store within its limit: what was used longest ago goes first. One process at a time collects; readers and writers go on.
/// </summary>
/// <remarks>
/// Who reads an object has it open, and goes on reading it after it was removed; who opens it next fetches it again. What was used within
/// the last minutes stays, so that what was just fetched is not gone before it was read, however small the limit.
/// </remarks>
internal sealed class StoreCollector
{
    private const long SecondsKept = 120;
    private const long TemporarySeconds = 3600;

    /// <summary>A disk that others keep full is not walked through for each object.</summary>
    private const long MsBetweenRooms = 2_000;

    /// <summary>Ages are told apart in steps of this ratio, so that one table of fixed size holds all of them.</summary>
    private const int StepsPerDoubling = 4;
    private const int Steps = 40 * StepsPerDoubling;

    private readonly ObjectStore _store;
    private readonly long _limit;
    private readonly Diagnostics.Log _log;
    private long _sinceLast;
    private long _madeRoom;
    private int _running;

    /// <param name="store">The store; its additions are watched.</param>
    /// <param name="limit">Most bytes.</param>
    /// <param name="log">Hears of what cannot be done.</param>
    public StoreCollector(ObjectStore store, long limit, Diagnostics.Log log)
    {
        _store = store;
        _limit = limit;
        _log = log;

        // Other processes add too; each looks after its own share of the limit, the first time soon.
        _sinceLast = limit / 16;
        store.Added = Added;
        store.Room.Maker = MakeRoom;
    }

    /// <summary>Collects now.</summary>
    /// <param name="limit">Most bytes to leave.</param>
    /// <param name="result">What was done; nothing if another process collects just now.</param>
    /// <returns>None; EAGAIN: another process collects; otherwise as the system call that failed.</returns>
    public Errno Collect(long limit, out CollectionResult result)
    {
        result = default;
        Errno error = _store.Locks.TryLockCollection();
        if (error == Errno.EAGAIN)
        {
            return error;
        }

        bool locked = error == Errno.None;
        try
        {
            return Sweep(limit, out result);
        }
        finally
        {
            if (locked)
            {
                _store.Locks.UnlockCollection();
            }
        }
    }

    private static int StepOf(long age) => age <= 0 ? 0 : Math.Min(Steps - 1, (int)(Math.Log2(age + 1) * StepsPerDoubling));

    private void Added(long bytes)
    {
        if (Interlocked.Add(ref _sinceLast, bytes) < _limit / 8 || Interlocked.Exchange(ref _running, 1) != 0)
        {
            return;
        }

        Volatile.Write(ref _sinceLast, 0);
        bool runs = _store.TryRun(() =>
        {
            try
            {
                Errno error = Collect(_limit, out CollectionResult result);
                if (error is not (Errno.None or Errno.EAGAIN))
                {
                    _log.Warn($"the store {_store.Folder} could not be kept within its limit: {error}");
                }
                else if (result.Removed > 0)
                {
                    _log.Info($"the store {_store.Folder} gave up {result.Removed} objects, {result.RemovedBytes} bytes");
                }
            }
            catch (Exception exception)
            {
                // Out of memory, or a mistake of ours: nobody looks at how this task ends.
                _log.Error($"the store {_store.Folder} could not be kept within its limit: {exception.GetType().Name}: {exception.Message}");
            }
            finally
            {
                Volatile.Write(ref _running, 0);
            }
        });
        if (!runs)
        {
            Volatile.Write(ref _running, 0);
        }
    }

    /// <summary>The disk is full before the store is: it gives up a part of what it holds.</summary>
    private bool MakeRoom()
    {
        long now = Environment.TickCount64;
        if (_madeRoom != 0 && now - _madeRoom < MsBetweenRooms)
        {
            return false;
        }

        _madeRoom = now;
        Errno error = Collect(long.MaxValue, out CollectionResult all);
        error = error == Errno.None ? Collect(all.Bytes / 8 * 7, out all) : error;
        if (all.Removed > 0)
        {
            _log.Info($"the disk of the store {_store.Folder} is full: it gave up {all.Removed} objects, {all.RemovedBytes} bytes");
        }

        // Another process that collects just now makes room for this one too.
        return all.Removed > 0 || error == Errno.EAGAIN;
    }

    private Errno Sweep(long limit, out CollectionResult result)
    {
        var bytesOfStep = new long[Steps];
        long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        long objects = 0;
        long bytes = 0;
        result = default;
        Errno error = StoreWalk.Files(_store.Root, file =>
        {
            if (file.Kind == ObjectKind.None)
            {
                RemoveIfOld(file, now);
                return true;
            }

            objects++;
            bytes += file.Bytes;
            bytesOfStep[StepOf(now - file.Used)] += file.Bytes;
            return !_store.IsClosing;
        }, former: true);
        result = new CollectionResult(objects, bytes, 0, 0);
        if (error != Errno.None || bytes <= limit)
        {
            return error;
        }

        // Down to nine tenths, so that it is not done again at once: the oldest steps whole, and of the last as much as is needed.
        long goal = bytes - (limit / 10 * 9);
        long older = 0;
        int step = Steps - 1;
        for (; step > 0 && older + bytesOfStep[step] < goal; step--)
        {
            older += bytesOfStep[step];
        }

        long removed = 0;
        long removedBytes = 0;
        long leftOfStep = goal - older;
        error = StoreWalk.Files(_store.Root, file =>
        {
            int own = StepOf(now - file.Used);
            bool goes = file.Kind != ObjectKind.None && now - file.Used > SecondsKept && (own > step || (own == step && leftOfStep > 0));
            if (goes && Remove(file) == Errno.None)
            {
                removed++;
                removedBytes += file.Bytes;
                leftOfStep -= own == step ? file.Bytes : 0;
            }

            return !_store.IsClosing;
        }, former: true);
        result = new CollectionResult(objects, bytes, removed, removedBytes);
        return error;
    }

    // Left behind by a process that was killed; one that still writes is never that slow.
    private static void RemoveIfOld(in StoredFile file, long now)
    {
        if (now - file.Used > TemporarySeconds)
        {
            _ = Remove(file); // the next collection tries again
        }
    }

    private static unsafe Errno Remove(in StoredFile file)
    {
        using CString name = new(file.Name);
        return PathOps.Unlinkat(file.Folder, name, 0);
    }
}
