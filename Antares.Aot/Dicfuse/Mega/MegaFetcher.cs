using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Dicfuse.Web;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Mega;

/// <summary>
/// What threads of requests ask for: an object is fetched once, however many want it, in this process and (by locks of the store) in
/// others. A request waits no longer than it may; what is under way goes on, and the next one finds it there.
/// </summary>
internal sealed class MegaFetcher : IDisposable
{
    /// <summary>Up to this length content is fetched with the length, without anybody wanting it yet.</summary>
    public const long TakenAlongBytes = WebTurns.LongBytes;

    private const int WantedMs = 1_000;
    private const int FirstLookMs = 2;
    private const int LongestLookMs = 50;

    private static readonly TimeSpan s_longestBlob = TimeSpan.FromMinutes(30);
    private static readonly TimeSpan s_longestListing = TimeSpan.FromMinutes(3);

    private readonly string _layer;
    private readonly MegaOptions _options;
    private readonly MegaClient _client;
    private readonly ObjectStore _store;
    private readonly Lock _lock = new();
    private readonly Dictionary<ObjectId, BlobFlight> _blobs = [];
    private readonly Dictionary<ObjectId, Task<long>> _sizes = [];
    private readonly Dictionary<(string Path, ObjectId Tree), Task<MegaView>> _listings = [];
    private readonly CancellationTokenSource _closing = new();
    private bool _closed;
    private long _blobFlights;
    private MegaTrees _trees;

    public MegaFetcher(string layer, MegaOptions options, MegaClient client, MegaTrees trees, ObjectStore store)
    {
        _layer = layer;
        _options = options;
        _client = client;
        _trees = trees;
        _store = store;
    }

    /// <summary>Of the revision that is shown.</summary>
    public MegaTrees Trees
    {
        private get => Volatile.Read(ref _trees);
        set => Volatile.Write(ref _trees, value);
    }

    /// <summary>Gets the tree of a directory.</summary>
    /// <param name="path">The directory.</param>
    /// <param name="expected">The tree that its parent names.</param>
    /// <param name="view">The tree, which is in the store.</param>
    /// <returns>None; EIO, ETIMEDOUT, EACCES, ENOMEM, noted with what the server did.</returns>
    public Errno Listing(string path, ObjectId expected, out MegaView view)
    {
        MegaTrees trees = Trees;
        if (trees.TryLocal(path, expected, out view))
        {
            return Errno.None;
        }

        Task<MegaView>? flight;
        lock (_lock)
        {
            if (!_listings.TryGetValue((path, expected), out flight))
            {
                flight = Begin(() => FetchListing(trees, path, expected));
                _listings.Add((path, expected), flight);
                Forget(flight, () => _listings.Remove((path, expected)));
            }
        }

        Errno error = Wait(flight, $"listing of {path}");
        view = error == Errno.None ? flight.Result : default;
        return error;
    }

    /// <inheritdoc cref="TryKnownSize(in ObjectId, out long, out bool)"/>
    public bool TryKnownSize(in ObjectId id, out long size) => TryKnownSize(id, out size, out _);

    /// <summary>Tells a size if that takes no server.</summary>
    /// <param name="id">The blob.</param>
    /// <param name="size">Its size.</param>
    /// <param name="isSure">False: a server told it, and the content may prove it wrong.</param>
    public bool TryKnownSize(in ObjectId id, out long size, out bool isSure)
    {
        bool told = _store.Sizes.TryFind(id, out size, out isSure);
        if (told && isSure)
        {
            return true;
        }

        if (_store.TryStat(id, ObjectKind.Blob, out long seen))
        {
            _store.Sizes.Add(id, seen);
            size = seen;
            isSure = true;
            return true;
        }

        return told && (size > 0 || id == MegaClient.EmptyBlob);
    }

    /// <summary>What those who ask are about.</summary>
    public AccessPattern Pattern { get; } = new();

    /// <summary>How often the content of a blob was asked for.</summary>
    public long BlobFlights => Volatile.Read(ref _blobFlights);

    /// <summary>The size of a blob; waits for this one only.</summary>
    /// <param name="id">The blob.</param>
    /// <param name="isLink">A link's target, which is read whenever its size is.</param>
    /// <param name="size">The size.</param>
    /// <returns>As <see cref="Listing"/>.</returns>
    /// <remarks>
    /// Who asks for the size of a file mostly reads it next, so its content is fetched at once where it is short: to the server that is the same
    /// work. In a listing, and when much has come that way and was not read, only lengths are asked for (<see cref="AccessPattern"/>).
    /// </remarks>
    public Errno Size(in ObjectId id, bool isLink, out long size)
    {
        if (TryKnownSize(id, out size, out bool isSure) && (isSure || !isLink || _options.Offline))
        {
            return Errno.None;
        }

        Errno error = RefuseOffline(id);
        if (error != Errno.None)
        {
            return error;
        }

        Task<long> flight = isLink ? Flight(id, -1).Length
            : _options.TakesAll ? WantedFlight(id).Length
            : Pattern.WantsLengthsOnly ? SizeFlight(id)
            : LengthAndContent(id);
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

    /// <summary>Asks for a content that is likely to be read soon, without waiting for it; a long one is given up again unless somebody comes for it.</summary>
    /// <returns>True: it was not here.</returns>
    public bool StartBlob(in ObjectId id)
    {
        if (_options.Offline || (_store.Sizes.TryFind(id, out long size) && size > TakenAlongBytes) || _store.TryStat(id, ObjectKind.Blob, out _))
        {
            return false;
        }

        _ = Flight(id, -1); // who wants it finds it
        return true;
    }

    /// <summary>Makes sure that a blob is in the store.</summary>
    /// <param name="id">The blob.</param>
    /// <param name="size">Its size as far as it is known, or -1.</param>
    /// <returns>As <see cref="Listing"/>.</returns>
    public Errno Blob(in ObjectId id, long size) => Blob(id, size, WaitMs);

    /// <inheritdoc cref="Blob(in ObjectId, long)"/>
    /// <param name="id">As above.</param>
    /// <param name="size">As above.</param>
    /// <param name="waitMs">How long to wait; <see cref="Timeout.Infinite"/> for a thread that serves no requests.</param>
    public Errno Blob(in ObjectId id, long size, int waitMs)
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
            error = Wait(flight.Whole, $"blob {id}", waitMs);
            if (error == Errno.None || flight.Whole.Exception?.InnerException is not NobodyWantsIt)
            {
                return error;
            }

            // Given up by its length alone just before we came.
            Failure.Clear();
        }
    }

    /// <summary>Brings a blob into the store for one who is no request of the kernel: waits as long as that takes.</summary>
    /// <param name="id">The blob.</param>
    /// <param name="stop">Waits no longer; the fetch goes on.</param>
    /// <returns>Its length.</returns>
    /// <exception cref="MegaProblem">It does not come.</exception>
    public async Task<long> Take(ObjectId id, CancellationToken stop)
    {
        while (true)
        {
            if (_store.TryStat(id, ObjectKind.Blob, out long size))
            {
                return size;
            }

            if (_options.Offline)
            {
                throw MegaProblem.Damaged($"blob {id} is not in the store {_store.Folder}, and --offline asks no server");
            }

            BlobFlight flight = Flight(id, -1);
            flight.Want();
            try
            {
                return await flight.Whole.WaitAsync(stop).ConfigureAwait(false);
            }
            catch (NobodyWantsIt)
            {
                // Given up by its length alone just before we came.
            }
        }
    }

    /// <summary>Breaks off what is under way, and waits until it has ended: after this nothing of it touches client and store.</summary>
    public void Dispose()
    {
        Task[] all;
        lock (_lock)
        {
            _closed = true;
            all = [.. _blobs.Values.Select(blob => blob.Whole), .. _sizes.Values, .. _listings.Values];
        }

        _closing.Cancel();
        Task.WhenAll(all).ContinueWith(ended => _ = ended.Exception, TaskScheduler.Default).Wait(); // how they ended is told to who waits for them
    }

    private BlobFlight Flight(ObjectId id, long expected)
    {
        lock (_lock)
        {
            if (!_blobs.TryGetValue(id, out BlobFlight? flight))
            {
                _blobFlights++;
                BlobFlight made = new();
                made.Whole = Begin(() => FetchBlob(made, id, expected));
                flight = made;
                _blobs.Add(id, flight);
                Forget(made.Whole, () => _blobs.Remove(id));
            }

            return flight;
        }
    }

    private BlobFlight WantedFlight(ObjectId id)
    {
        BlobFlight flight = Flight(id, -1);
        flight.Want();
        return flight;
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

            if (_sizes.TryGetValue(id, out Task<long>? flight))
            {
                return flight;
            }

            // One that ended after the caller had looked has left its size before it went.
            if (TryKnownSize(id, out long size))
            {
                return Task.FromResult(size);
            }

            flight = Begin(() => FetchSize(id));
            _sizes.Add(id, flight);
            Forget(flight, () => _sizes.Remove(id));
            return flight;
        }
    }

    /// <summary>A length with its content, unless somebody asks for the length alone already.</summary>
    private Task<long> LengthAndContent(ObjectId id)
    {
        lock (_lock)
        {
            return _blobs.TryGetValue(id, out BlobFlight? blob) ? blob.Length
                : _sizes.TryGetValue(id, out Task<long>? flight) ? flight
                : TryKnownSize(id, out long size) ? Task.FromResult(size)
                : Flight(id, -1).Length;
        }
    }

    // With the lock held.
    private Task<T> Begin<T>(Func<Task<T>> fetch) => _closed
        ? Task.FromException<T>(new MegaProblem(Errno.EIO, "the mount is being taken away"))
        : Task.Run(fetch);

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

    private async Task<MegaView> FetchListing(MegaTrees trees, string path, ObjectId expected)
    {
        using var time = CancellationTokenSource.CreateLinkedTokenSource(_closing.Token);
        time.CancelAfter(s_longestListing);
        bool locked = false;
        try
        {
            locked = !expected.IsNone && await LockAmongProcesses(expected, () => trees.TryLocal(path, expected, out _), time.Token).ConfigureAwait(false);
            return trees.TryLocal(path, expected, out MegaView view) ? view : await trees.Fetch(path, expected, time.Token).ConfigureAwait(false);
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
            _store.Sizes.AddTold(id, size);
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
            if (!flight.IsWanted)
            {
                Pattern.NoteTakenAlong(size);
            }

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

        // As good as what HEAD tells.
        _store.Sizes.AddTold(id, length);
        flight.TellLength(length);
        if (!flight.IsWanted)
        {
            await flight.WaitWanted(WantedMs, stop).ConfigureAwait(false);
            if (!flight.IsWanted)
            {
                Pattern.NoteTakenAlong(TakenAlongBytes);
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

    // Who takes all is no request of the kernel, and has all the time.
    private int WaitMs => _options.TakesAll ? Timeout.Infinite : _options.RequestMs;

    private Errno Wait(Task flight, string what) => Wait(flight, what, WaitMs);

    private Errno Wait(Task flight, string what, int waitMs) => FlightWait.For(_layer, flight, what, waitMs);

    /// <summary>A long blob of which only the length was wanted.</summary>
    private sealed class NobodyWantsIt : Exception;
}
