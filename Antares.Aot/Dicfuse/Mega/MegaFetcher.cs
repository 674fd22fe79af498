using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Store;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Mega;

/// <summary>
/// What threads of requests ask for: an object is fetched once, however many want it, in this process and (by locks of the store) in
/// others. A request waits no longer than it may; what is under way goes on, and the next one finds it there.
/// </summary>
internal sealed class MegaFetcher : IDisposable
{
    /// <summary>Up to this length content is fetched with the length, without anybody wanting it yet.</summary>
    public const long TakenAlongBytes = 1 << 20;

    private const int FewLengths = 8;
    private const int WantedMs = 1_000;
    private const int FirstLookMs = 2;
    private const int LongestLookMs = 50;

    private static readonly TimeSpan s_longestBlob = TimeSpan.FromMinutes(30);
    private static readonly TimeSpan s_longestListing = TimeSpan.FromMinutes(3);

    private readonly string _layer;
    private readonly MegaOptions _options;
    private readonly MegaClient _client;
    private readonly MegaTrees _trees;
    private readonly ObjectStore _store;
    private readonly Lock _lock = new();
    private readonly Dictionary<ObjectId, BlobFlight> _blobs = [];
    private readonly Dictionary<ObjectId, Task<long>> _sizes = [];
    private readonly Dictionary<string, Task<MegaView>> _listings = new(StringComparer.Ordinal);
    private readonly CancellationTokenSource _closing = new();
    private int _lengthsOnly;

    public MegaFetcher(string layer, MegaOptions options, MegaClient client, MegaTrees trees, ObjectStore store)
    {
        _layer = layer;
        _options = options;
        _client = client;
        _trees = trees;
        _store = store;
    }

    /// <summary>Gets the tree of a directory.</summary>
    /// <param name="path">The directory.</param>
    /// <param name="expected">The tree that its parent names.</param>
    /// <param name="view">The tree, which is in the store.</param>
    /// <returns>None; EIO, ETIMEDOUT, EACCES, ENOMEM, noted with what the server did.</returns>
    public Errno Listing(string path, ObjectId expected, out MegaView view)
    {
        if (_trees.TryLocal(path, expected, out view))
        {
            return Errno.None;
        }

        Task<MegaView>? flight;
        lock (_lock)
        {
            if (!_listings.TryGetValue(path, out flight))
            {
                flight = Task.Run(() => FetchListing(path, expected));
                _listings.Add(path, flight);
                Forget(flight, () => _listings.Remove(path));
            }
        }

        Errno error = Wait(flight, $"listing of {path}");
        view = error == Errno.None ? flight.Result : default;
        return error;
    }

    /// <summary>Tells a size if that takes no server.</summary>
    public bool TryKnownSize(in ObjectId id, out long size)
    {
        if (_store.Sizes.TryFind(id, out size))
        {
            return true;
        }

        if (!_store.TryStat(id, ObjectKind.Blob, out size))
        {
            return false;
        }

        _store.Sizes.Add(id, size);
        return true;
    }

    /// <summary>Sizes are asked for and nothing is read.</summary>
    public bool AsksLengthsOnly => Volatile.Read(ref _lengthsOnly) > FewLengths;

    /// <summary>The size of a blob; waits for this one only.</summary>
    /// <param name="id">The blob.</param>
    /// <param name="isLink">A link's target, which is read whenever its size is.</param>
    /// <param name="size">The size.</param>
    /// <returns>As <see cref="Listing"/>.</returns>
    /// <remarks>
    /// Who asks for the size of a file mostly reads it next, so its content is fetched at once where it is short. When many sizes are asked
    /// for and nothing is read (a long listing), only lengths are asked for from then on.
    /// </remarks>
    public Errno Size(in ObjectId id, bool isLink, out long size)
    {
        if (TryKnownSize(id, out size))
        {
            return Errno.None;
        }

        Errno error = RefuseOffline(id);
        if (error != Errno.None)
        {
            return error;
        }

        Task<long> flight = !isLink && Interlocked.Increment(ref _lengthsOnly) > FewLengths ? SizeFlight(id) : Flight(id, -1).Length;
        error = Wait(flight, $"size of {id}");
        size = error == Errno.None ? flight.Result : 0;
        return error;
    }

    /// <summary>Asks for a size that will be wanted soon, without waiting for it.</summary>
    public void StartSize(in ObjectId id)
    {
        if (!_options.Offline && !TryKnownSize(id, out _))
        {
            _ = SizeFlight(id); // who wants it finds it
        }
    }

    /// <summary>Content is being read: sizes are asked for by those who read next, not by a long listing.</summary>
    public void NoteRead()
    {
        if (Volatile.Read(ref _lengthsOnly) != 0)
        {
            Volatile.Write(ref _lengthsOnly, 0);
        }
    }

    /// <summary>Makes sure that a blob is in the store.</summary>
    /// <param name="id">The blob.</param>
    /// <param name="size">Its size as shown; other content is refused.</param>
    /// <returns>As <see cref="Listing"/>.</returns>
    public Errno Blob(in ObjectId id, long size)
    {
        Errno error = RefuseOffline(id);
        if (error != Errno.None)
        {
            return error;
        }

        while (true)
        {
            BlobFlight flight = Flight(id, size);
            flight.Want();
            error = Wait(flight.Whole, $"blob {id}");
            if (error == Errno.None || flight.Whole.Exception?.InnerException is not NobodyWantsIt)
            {
                return error;
            }

            // Given up by its length alone just before we came.
            Failure.Clear();
        }
    }

    public void Dispose() => _closing.Cancel();

    private BlobFlight Flight(ObjectId id, long expected)
    {
        lock (_lock)
        {
            if (!_blobs.TryGetValue(id, out BlobFlight? flight))
            {
                BlobFlight made = new();
                made.Whole = Task.Run(() => FetchBlob(made, id, expected));
                flight = made;
                _blobs.Add(id, flight);
                Forget(made.Whole, () => _blobs.Remove(id));
            }

            return flight;
        }
    }

    private Task<long> SizeFlight(ObjectId id)
    {
        lock (_lock)
        {
            // A blob on its way tells its length too.
            if (_blobs.TryGetValue(id, out BlobFlight? blob))
            {
                return blob.Length;
            }

            if (!_sizes.TryGetValue(id, out Task<long>? flight))
            {
                flight = Task.Run(() => FetchSize(id));
                _sizes.Add(id, flight);
                Forget(flight, () => _sizes.Remove(id));
            }

            return flight;
        }
    }

    // Called with the lock held, so that an end that is faster than the entry comes after it.
    private void Forget(Task flight, Func<bool> remove) => _ = flight.ContinueWith(
        ended =>
        {
            _ = ended.Exception; // looked at: nobody may be waiting any more
            lock (_lock)
            {
                _ = remove(); // it is there
            }
        },
        CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);

    private async Task<MegaView> FetchListing(string path, ObjectId expected)
    {
        using var time = CancellationTokenSource.CreateLinkedTokenSource(_closing.Token);
        time.CancelAfter(s_longestListing);
        bool locked = false;
        try
        {
            locked = !expected.IsNone && await LockAmongProcesses(expected, () => _trees.TryLocal(path, expected, out _), time.Token).ConfigureAwait(false);
            return _trees.TryLocal(path, expected, out MegaView view) ? view : await _trees.Fetch(path, expected, time.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            throw TookTooLong($"listing of {path}");
        }
        finally
        {
            Unlock(locked, expected);
        }
    }

    private async Task<long> FetchSize(ObjectId id)
    {
        using var time = CancellationTokenSource.CreateLinkedTokenSource(_closing.Token);
        time.CancelAfter(s_longestListing);
        try
        {
            long size = await _client.Head(id, time.Token).ConfigureAwait(false);
            _store.Sizes.Add(id, size);
            return size;
        }
        catch (OperationCanceledException)
        {
            throw TookTooLong($"size of {id}");
        }
    }

    private async Task<long> FetchBlob(BlobFlight flight, ObjectId id, long expected)
    {
        using var time = CancellationTokenSource.CreateLinkedTokenSource(_closing.Token);
        time.CancelAfter(s_longestBlob);
        bool locked = false;
        try
        {
            locked = await LockAmongProcesses(id, () => _store.TryStat(id, ObjectKind.Blob, out _), time.Token).ConfigureAwait(false);
            if (!_store.TryStat(id, ObjectKind.Blob, out long size))
            {
                size = await _client.FetchBlob(id, expected, _store, length => Started(flight, id, length, time.Token), time.Token).ConfigureAwait(false);
            }

            flight.TellLength(size);
            return size;
        }
        catch (Exception error)
        {
            Exception told = error is OperationCanceledException ? TookTooLong($"blob {id}") : error;
            flight.Fail(told);
            throw told;
        }
        finally
        {
            Unlock(locked, id);
        }
    }

    private async Task Started(BlobFlight flight, ObjectId id, long length, CancellationToken stop)
    {
        if (length <= TakenAlongBytes)
        {
            return;
        }

        // As good as what HEAD tells: content of another length is refused.
        _store.Sizes.Add(id, length);
        flight.TellLength(length);
        if (!flight.IsWanted)
        {
            await flight.WaitWanted(WantedMs, stop).ConfigureAwait(false);
            if (!flight.IsWanted)
            {
                throw new NobodyWantsIt();
            }
        }
    }

    /// <summary>Waits while another process fetches an object.</summary>
    /// <returns>True: the lock is ours. False: the object is there, or locks do not work here.</returns>
    private async Task<bool> LockAmongProcesses(ObjectId id, Func<bool> isThere, CancellationToken stop)
    {
        for (int pause = FirstLookMs; ; pause = Math.Min(pause * 2, LongestLookMs))
        {
            Errno error = _store.Locks.TryLock(id);
            if (error != Errno.EAGAIN)
            {
                return error == Errno.None;
            }

            await Task.Delay(pause, stop).ConfigureAwait(false);
            if (isThere())
            {
                return false;
            }
        }
    }

    private void Unlock(bool locked, in ObjectId id)
    {
        if (locked)
        {
            _store.Locks.Unlock(id);
        }
    }

    private static MegaProblem TookTooLong(string what) => new(Errno.ETIMEDOUT, $"{what}: given up");

    private Errno RefuseOffline(in ObjectId id) => _options.Offline
        ? Failure.Note(_layer, $"blob {id} is not in the store {_store.Folder}, and --offline asks no server", Errno.EIO)
        : Errno.None;

    private Errno Wait(Task flight, string what)
    {
        if (!flight.IsCompleted)
        {
            RequestWait.Announce();
            if (Task.WaitAny([flight], RequestWait.LeftOf(_options.RequestMs)) < 0)
            {
                return Failure.Note(_layer, $"{what}: not here within {_options.RequestMs / 1000} s; it is still being fetched", Errno.ETIMEDOUT);
            }
        }

        return flight.Exception?.InnerException switch
        {
            null when flight.IsCanceled => Failure.Note(_layer, $"{what}: given up", Errno.EIO),
            null => Errno.None,
            MegaProblem problem => Failure.Note(_layer, problem.Message, problem.Error),
            NobodyWantsIt => Errno.EIO,
            Exception other => Failure.Note(_layer, $"{what}: {other.GetType().Name}", Errno.EIO),
        };
    }

    /// <summary>A long blob of which only the length was wanted.</summary>
    private sealed class NobodyWantsIt : Exception;
}
