using System.Buffers;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Dicfuse.Web;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Image.Remote;

/// <summary>
/// Brings frames of an image from its server into the file in the store that is mapped: each once, however many want it, in this process and
/// (by locks of the store) in others; neighbours in one request.
/// </summary>
/// <remarks>
/// A request waits no longer than it may; what is under way goes on. No lock is held over a fetch.
/// </remarks>
internal sealed class RemoteFrames : IDisposable
{
    /// <summary>Most raw bytes that are fetched ahead.</summary>
    private const ulong MostAheadBytes = 8 << 20;

    /// <summary>Most packed bytes of one request: what comes behind has its own, so that several are under way.</summary>
    private const long RunBytes = 2 << 20;

    private const int BufferBytes = 64 << 10;
    private const int FirstPauseMs = 2;
    private const int LongestPauseMs = 50;

    private static readonly TimeSpan s_longestRun = TimeSpan.FromMinutes(30);

    private readonly PinnedImage _pinned;
    private readonly ImageFile _image;
    private readonly FrameKeeper _keeper;
    private readonly FrameReader _frames;
    private readonly RequestPlaces? _places;
    private readonly Lock _lock = new();
    private readonly Dictionary<uint, TaskCompletionSource> _flights = [];
    private readonly List<Task> _runs = [];
    private readonly ReadAhead _ahead = new();
    private readonly CancellationTokenSource _closing = new();
    private bool _closed;

    /// <param name="pinned">The server and the store; disposed with this.</param>
    /// <param name="image">The part that is here; outlives this.</param>
    /// <param name="places">How many requests may wait for the server; null: as many as want to.</param>
    public RemoteFrames(PinnedImage pinned, ImageFile image, RequestPlaces? places)
    {
        _pinned = pinned;
        _image = image;
        _places = places;
        _keeper = new FrameKeeper(image, pinned.Store, pinned.Id, pinned.Options.StoreLimit);
        _frames = _keeper.Frames;
    }

    public WebClient Client => _pinned.Client;

    public ObjectStore Store => _pinned.Store;

    /// <summary>Frames brought from the server.</summary>
    public long Fetched => _keeper.Kept;

    /// <summary>The frames that are here.</summary>
    public FrameKeeper Keeper => _keeper;

    /// <summary>Requests that wait for the server without a thread.</summary>
    public int RequestsWaiting => _places?.Waiting ?? 0;

    /// <summary>To be called before somebody is waited for who may be asking the server: as <see cref="RequestWait.Enter"/>.</summary>
    public Errno Enter() => RequestWait.Enter(_places);

    /// <summary>Makes sure that a part of the stream of contents is in the file, and guesses what will be wanted next.</summary>
    /// <param name="position">Place in the stream.</param>
    /// <param name="size">At least 1.</param>
    /// <param name="end">Where the file ends that is read.</param>
    /// <param name="isStart">It is read from its beginning.</param>
    /// <returns>None; EIO, ETIMEDOUT, EACCES: it did not come, noted with the reason; <see cref="RequestWait.NoPlace"/>.</returns>
    public Errno Need(ulong position, uint size, ulong end, bool isStart)
    {
        Errno error = _frames.Find(position, out FramePlace first);
        if (error != Errno.None)
        {
            return error;
        }

        // Mostly one frame, of which the next part is read.
        FramePlace last = first;
        if (position + size > first.End)
        {
            error = _frames.Find(position + size - 1, out last);
        }

        FramePlace fileLast = last;
        if (error == Errno.None && end > last.End)
        {
            error = _frames.Find(end - 1, out fileLast);
        }

        if (error != Errno.None)
        {
            return error;
        }

        uint ahead;
        lock (_lock)
        {
            ahead = _ahead.Note(first.Index, last.Index, fileLast.Index, isStart, (uint)(MostAheadBytes / _image.Header.FrameBytes));
        }

        ahead = Math.Min(ahead, _frames.Count - 1);
        return ahead == last.Index && _keeper.AreHere(first.Index, last.Index)
            ? Errno.None
            : Bring(first.Index, last.Index, ahead, isKnownBad: false, _pinned.Options.RequestMs);
    }

    /// <summary>Makes sure that a frame is in the file.</summary>
    /// <param name="frame">Not all zeros.</param>
    /// <param name="isKnownBad">What the file has there has not its checksum.</param>
    /// <returns>As <see cref="Need(ulong, uint, ulong, bool)"/>.</returns>
    public Errno Need(in FramePlace frame, bool isKnownBad)
    {
        if (isKnownBad)
        {
            _keeper.NoteGone(frame.Index);
        }

        return !isKnownBad && _keeper.AreHere(frame.Index, frame.Index)
            ? Errno.None
            : Bring(frame.Index, frame.Index, frame.Index, isKnownBad, _pinned.Options.RequestMs);
    }

    /// <summary>Brings a part of the stream of contents, however long it takes.</summary>
    /// <param name="position">Place in the stream.</param>
    /// <param name="size">Bytes.</param>
    /// <param name="fetched">Packed bytes of what was not here; -1: all was.</param>
    /// <returns>As <see cref="Need(ulong, uint, ulong, bool)"/>.</returns>
    public Errno Prefetch(ulong position, ulong size, out long fetched)
    {
        fetched = -1;
        Errno error = _frames.Find(position, out FramePlace first);
        FramePlace last = first;
        error = error == Errno.None ? _frames.Find(position + size - 1, out last) : error;
        for (uint frame = first.Index; error == Errno.None && frame <= last.Index; frame++)
        {
            error = _frames.Get(frame, out FramePlace place);
            if (error == Errno.None && !_keeper.IsHere(place))
            {
                fetched = Math.Max(fetched, 0) + place.PackedBytes;
            }
        }

        return error == Errno.None && fetched >= 0 ? Bring(first.Index, last.Index, last.Index, isKnownBad: false, Timeout.Infinite) : error;
    }

    /// <summary>Breaks off what is under way and waits until it has ended: after this nothing of it touches the image.</summary>
    public void BreakOff()
    {
        Task[] all;
        lock (_lock)
        {
            _closed = true;
            all = [.. _runs];
        }

        _closing.Cancel();
        Task.WhenAll(all).ContinueWith(ended => _ = ended.Exception, TaskScheduler.Default).Wait(); // how they ended is told to who waits for them
    }

    /// <summary>Lets go of server and store, after <see cref="BreakOff"/> and when nobody reads any more.</summary>
    public void Dispose()
    {
        BreakOff();
        _pinned.Dispose();
        _keeper.Dispose();
    }

    /// <summary>Has frames fetched that are not here, and waits for those that are wanted.</summary>
    private Errno Bring(uint first, uint last, uint ahead, bool isKnownBad, int waitMs)
    {
        bool isOffline = _pinned.Options.Offline;
        if (isOffline && !isKnownBad && _keeper.AreHere(first, last))
        {
            return Errno.None;
        }

        if (isOffline)
        {
            return Failure.Note(
                ImageFile.LayerName, $"a part of the file is not in the store {Store.Folder} (frame {first} of {_pinned.Options.Address}), and --offline asks no server", Errno.EIO);
        }

        bool isWaiting = isKnownBad || !_keeper.AreHere(first, last);
        Errno error = isWaiting ? RequestWait.Enter(_places) : Errno.None;
        if (error != Errno.None)
        {
            return error;
        }

        List<Task> wanted = [];
        lock (_lock)
        {
            error = Collect(first, last, ahead, isKnownBad, wanted);
        }

        foreach (Task flight in wanted)
        {
            if (error == Errno.None)
            {
                error = FlightWait.For(ImageFile.LayerName, flight, $"frame of {_pinned.Options.Address}", waitMs);
            }
        }

        return error;
    }

    /// <summary>Begins what is not under way yet. With the lock held.</summary>
    private Errno Collect(uint first, uint last, uint ahead, bool isKnownBad, List<Task> wanted)
    {
        uint start = 0;
        uint count = 0;
        long bytes = 0;
        Errno result = Errno.None;
        for (uint frame = first; frame <= ahead; frame++)
        {
            bool isFlying = _flights.TryGetValue(frame, out TaskCompletionSource? flight);
            FramePlace place = default;
            Errno error = isFlying ? Errno.None : _frames.Get(frame, out place);
            bool fetches = !isFlying && error == Errno.None && !place.IsZeros && (isKnownBad || !_keeper.IsHere(place));
            if (count > 0 && (!fetches || bytes + place.PackedBytes > RunBytes))
            {
                BeginRun(start, count);
                count = 0;
            }

            if (fetches)
            {
                start = count == 0 ? frame : start;
                bytes = (count == 0 ? 0 : bytes) + place.PackedBytes;
                count++;
                flight = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                _flights.Add(frame, flight);
            }

            if (frame <= last)
            {
                result = result == Errno.None ? error : result;
                if (flight is not null)
                {
                    wanted.Add(flight.Task);
                }
            }
        }

        if (count > 0)
        {
            BeginRun(start, count);
        }

        return result;
    }

    // With the lock held.
    private void BeginRun(uint first, uint count)
    {
        Task run = _closed ? Task.CompletedTask : Task.Run(() => Run(first, count));
        if (_closed)
        {
            EndFlights(first, count, new WebProblem(Errno.EIO, "the mount is being taken away"));
            return;
        }

        _runs.Add(run);
        _ = run.ContinueWith(
            ended =>
            {
                lock (_lock)
                {
                    _ = _runs.Remove(run); // it is there
                }
            },
            CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
    }

    private void EndFlights(uint first, uint count, Exception? reason)
    {
        for (uint frame = first; frame < first + count; frame++)
        {
            TaskCompletionSource? flight;
            lock (_lock)
            {
                _ = _flights.Remove(frame, out flight); // one that ended before is not there
            }

            if (reason is null)
            {
                flight?.SetResult();
            }
            else if (flight is not null)
            {
                flight.SetException(reason);
                _ = flight.Task.Exception; // looked at: nobody may be waiting
            }
        }
    }

    private async Task Run(uint first, uint count)
    {
        using var time = CancellationTokenSource.CreateLinkedTokenSource(_closing.Token);
        time.CancelAfter(s_longestRun);
        bool locked = false;
        try
        {
            locked = await LockAmongProcesses(first, count, time.Token).ConfigureAwait(false);
            await Fetch(first, count, time.Token).ConfigureAwait(false);
            EndFlights(first, count, null);
        }
        catch (OperationCanceledException)
        {
            EndFlights(first, count, new WebProblem(Errno.ETIMEDOUT, $"a part of {_pinned.Options.Address}: given up"));
        }
        catch (Exception error)
        {
            EndFlights(first, count, error);
        }
        finally
        {
            if (locked)
            {
                Store.Locks.UnlockPart(_pinned.Id, first, count);
            }
        }
    }

    /// <summary>Waits while another process fetches one of the frames.</summary>
    /// <returns>False: locks do not work here.</returns>
    private async Task<bool> LockAmongProcesses(uint first, uint count, CancellationToken stop)
    {
        for (int pause = FirstPauseMs; ; pause = Math.Min(pause * 2, LongestPauseMs))
        {
            Errno error = Store.Locks.TryLockPart(_pinned.Id, first, count);
            if (error != Errno.EAGAIN)
            {
                return error == Errno.None;
            }

            await Task.Delay(pause, stop).ConfigureAwait(false);
        }
    }

    /// <summary>Fetches what of a run is still lacking, each stretch with one request.</summary>
    private async Task Fetch(uint first, uint count, CancellationToken stop)
    {
        uint end = first + count;
        for (uint from = first; from < end;)
        {
            if (_keeper.IsSound(from))
            {
                EndFlights(from, 1, null);
                from++;
                continue;
            }

            uint to = from + 1;
            while (to < end && !_keeper.IsSound(to))
            {
                to++;
            }

            await FetchStretch(from, to, stop).ConfigureAwait(false);
            from = to;
        }
    }

    private async Task FetchStretch(uint first, uint end, CancellationToken stop)
    {
        FramePlace last = PlaceOf(end - 1);
        long to = (long)last.Offset + last.PackedBytes - 1;
        uint next = first;
        WebQuestion question = RangeAnswer.Question(_pinned.Options.Address, _pinned.Version, () => ((long)PlaceOf(next).Offset, to)) with
        {
            IsLong = to - (long)PlaceOf(first).Offset >= WebTurns.LongBytes,
        };
        _ = await Client.Ask(question, async (response, _, token) =>
        {
            RangeAnswer.Check(question, response, _pinned.Version, (long)PlaceOf(next).Offset, to);
            byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
            try
            {
                using var time = CancellationTokenSource.CreateLinkedTokenSource(token);
                using Stream stream = await response.Content.ReadAsStreamAsync(token).ConfigureAwait(false);
                for (; next < end; next++)
                {
                    FramePlace place = PlaceOf(next);
                    if (!place.IsZeros)
                    {
                        using NativeBody packed = await Receive(question, stream, place, buffer, time, token).ConfigureAwait(false);
                        _keeper.Keep(place, packed);
                    }

                    EndFlights(next, 1, null);
                }

                return true;
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(buffer);
            }
        }, stop).ConfigureAwait(false);
    }

    private FramePlace PlaceOf(uint frame)
    {
        Errno error = _frames.Get(frame, out FramePlace place);
        string? note = Failure.Call;
        Failure.Clear(); // told by the exception
        return error == Errno.None ? place : throw WebProblem.Damaged($"{_pinned.Options.Address}: {note}");
    }

    /// <summary>The packed bytes of a frame, compared with their checksum.</summary>
    private async Task<NativeBody> Receive(WebQuestion question, Stream stream, FramePlace place, byte[] buffer, CancellationTokenSource time, CancellationToken stop)
    {
        NativeBody body = NativeBody.OfLength((int)place.PackedBytes) ?? throw new WebProblem(Errno.ENOMEM, $"{question}: no memory for the answer");
        try
        {
            for (int at = 0; at < body.Length;)
            {
                int most = Math.Min(buffer.Length, body.Length - at);
                int got = await Client.ReadSome(question.Shown, stream, buffer.AsMemory(0, most), time, stop).ConfigureAwait(false);
                if (got == 0)
                {
                    throw new WebProblem(Errno.EIO, $"{question}: the answer is cut off within frame {place.Index}", isTransient: true);
                }

                FrameKeeper.Copy(buffer.AsSpan(0, got), body, at);
                at += got;
            }

            if (!FrameKeeper.Matches(body, place))
            {
                // Tried again: it may have been a proxy in between; then it is the server.
                throw new WebProblem(Errno.EIO, $"{question}: frame {place.Index} does not match its checksum", isTransient: true);
            }

            return body;
        }
        catch
        {
            body.Dispose();
            throw;
        }
    }
}
