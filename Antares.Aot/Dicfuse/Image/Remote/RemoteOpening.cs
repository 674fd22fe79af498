using System.Buffers;
using System.Globalization;
using System.Text;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Dicfuse.Web;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Image.Remote;

/// <summary>
/// Makes an image on a server ready to be mounted: a small question brings its header, which names it in the store; what of its metadata is
/// not there yet comes with a second one.
/// </summary>
internal sealed class RemoteOpening
{
    private const int BufferBytes = 256 << 10;
    private const int LookMs = 100;
    private const int FirstPauseMs = 2;
    private const int LongestPauseMs = 50;
    private const int LargestView = 4096;
    private const int NotModified = 304;

    private readonly RemoteOptions _options;
    private readonly ObjectStore _store;
    private readonly WebClient _client;
    private readonly RemoteFiles _files;
    private readonly Log _log;
    private readonly ObjectId _viewId;

    private RemoteOpening(RemoteOptions options, ObjectStore store, WebClient client, Log log)
    {
        _options = options;
        _store = store;
        _client = client;
        _log = log;
        _files = new RemoteFiles(store);
        _viewId = GitHash.OfKey($"image at {options.Address.Base}{options.Address.Path}");
    }

    /// <summary>Asks the server, or with <see cref="RemoteOptions.Offline"/> the store alone.</summary>
    /// <param name="options">What and how.</param>
    /// <param name="store">An open store; disposed with the result, and on failure.</param>
    /// <param name="log">Hears of what is not as it should be.</param>
    /// <param name="look">Called now and then while it takes long; what it throws ends it.</param>
    /// <exception cref="WebProblem">The server or the file is not there, or it sends no parts of files.</exception>
    /// <exception cref="ImageException">What is there is no image.</exception>
    public static PinnedImage Open(RemoteOptions options, ObjectStore store, Log log, Action look)
    {
        var client = new WebClient(options.Web);
        using var stop = new CancellationTokenSource();
        Task<PinnedImage>? opening = null;
        try
        {
            var opener = new RemoteOpening(options, store, client, log);
            opening = Task.Run(() => opener.Run(stop.Token));
            while (Task.WaitAny([opening], LookMs) < 0)
            {
                look();
            }

            return opening.GetAwaiter().GetResult();
        }
        catch
        {
            stop.Cancel();
            opening?.ContinueWith(ended => ended.IsCompletedSuccessfully ? ended.Result.File : null, TaskScheduler.Default).Result?.Dispose(); // nobody wants it any more
            client.Dispose();
            store.Dispose();
            throw;
        }
    }

    private Task<PinnedImage> Run(CancellationToken stop) =>
        _options.Offline ? Task.FromResult(OpenKnown()) : _options.Download ? Download(stop) : OpenParts(stop);

    private PinnedImage OpenKnown()
    {
        if (TryReadView(out ObjectId id, out RemoteVersion? version) && TryOpen(id, version!, wholeOnly: false) is { } known)
        {
            return known;
        }

        throw WebProblem.Damaged($"nothing of it is in the store {_store.Folder}, and --offline asks no server");
    }

    private async Task<PinnedImage> OpenParts(CancellationToken stop)
    {
        byte[] header = new byte[ImageHeader.Bytes];
        (RemoteVersion version, int got) = await AskHeader(header, stop).ConfigureAwait(false);
        ImageHeader checkedHeader = RemoteFiles.CheckedHeader(header.AsSpan(0, got), ref version);
        CheckFits((long)checkedHeader.MetadataBytes);
        if (version.IsUntold)
        {
            _log.Info($"{_options.Address}: the server tells neither ETag nor Last-Modified; another version is told by its length and its checksums alone");
        }

        ObjectId id = IdOf(header);
        KeepView(id, version);
        if (TryOpen(id, version, wholeOnly: false) is { } known)
        {
            return known;
        }

        PinnedImage? made = null;
        bool locked = await LockAmongProcesses(id, () => (made = TryOpen(id, version, wholeOnly: false)) is not null, stop).ConfigureAwait(false);
        try
        {
            made ??= TryOpen(id, version, wholeOnly: false);
            if (made is null)
            {
                OwnedFd file = await FetchMetadata(header, checkedHeader, version, id, stop).ConfigureAwait(false);
                made = new PinnedImage(_options, _store, _client, id, version, file, IsWhole: false);
            }

            return made;
        }
        finally
        {
            Unlock(locked, id);
        }
    }

    /// <exception cref="WebProblem">What must be kept is more than the store may hold.</exception>
    private void CheckFits(long bytes)
    {
        if (bytes > _options.StoreLimit)
        {
            throw WebProblem.Damaged(string.Create(CultureInfo.InvariantCulture, $"{bytes} bytes of it must be in the store, which may hold {_options.StoreLimit}; raise --store-limit"));
        }
    }

    private PinnedImage? TryOpen(in ObjectId id, RemoteVersion version, bool wholeOnly) =>
        _files.TryOpenWhole(id) is { } whole ? new PinnedImage(_options, _store, _client, id, version, whole, IsWhole: true)
        : !wholeOnly && _files.TryOpenPart(id) is { } part ? new PinnedImage(_options, _store, _client, id, version, part, IsWhole: false)
        : null;

    /// <summary>An image's name: its header stands for all of it, and its address for who is believed.</summary>
    private ObjectId IdOf(byte[] header) => GitHash.OfKey($"image at {_options.Address.Base}{_options.Address.Path}\n{Convert.ToHexString(header)}");

    private async Task<(RemoteVersion Version, int Bytes)> AskHeader(byte[] header, CancellationToken stop)
    {
        WebQuestion question = RangeAnswer.Question(_options.Address, null, () => (0, ImageHeader.Bytes - 1));
        using var time = CancellationTokenSource.CreateLinkedTokenSource(stop);
        time.CancelAfter(_options.RequestMs);
        try
        {
            return await _client.Ask(question, async (response, _, token) =>
            {
                if (RangeAnswer.IsBeyondEnd(response))
                {
                    throw new ImageException("is no image: it is empty");
                }

                bool whole = RangeAnswer.IsWholeFile(response);
                using Stream stream = await response.Content.ReadAsStreamAsync(token).ConfigureAwait(false);
                int got = await ReadUpTo(stream, header, whole ? sizeof(ulong) : ImageHeader.Bytes, token).ConfigureAwait(false);
                if (got < sizeof(ulong) || BitConverter.ToUInt64(header) != ImageFormat.Magic)
                {
                    throw new ImageException("is no image: it does not begin as one");
                }

                if (whole)
                {
                    throw WebProblem.Damaged($"{question}: the server sends no parts of files (it has no ranges); with --download the whole image is fetched into the store once and mounted from there");
                }

                long wanted = Math.Min(ImageHeader.Bytes, response.Content.Headers.ContentRange?.Length ?? ImageHeader.Bytes);
                RangeAnswer.CheckPlace(question, response, 0, wanted - 1);
                return got == wanted
                    ? (RemoteVersion.Of(response), got)
                    : throw new WebProblem(Errno.EIO, $"{question}: the answer is cut off after {got} bytes", isTransient: true);
            }, time.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            string advice = _options.Address.Base.StartsWith("https:", StringComparison.Ordinal) ? "; does it speak TLS there? If not, its address begins with http:" : "";
            throw new WebProblem(Errno.ETIMEDOUT, $"{_options.Address.Base} does not answer within {_options.RequestMs / 1000} s{advice}");
        }
    }

    private async Task<int> ReadUpTo(Stream stream, byte[] buffer, int length, CancellationToken stop)
    {
        using var time = CancellationTokenSource.CreateLinkedTokenSource(stop);
        int got = 0;
        while (got < length && await _client.ReadSome(_options.Address.ShownPath, stream, buffer.AsMemory(got, length - got), time, stop).ConfigureAwait(false) is var more and > 0)
        {
            got += more;
        }

        return got;
    }

    /// <summary>Brings the metadata into the store, checked block by block before anybody sees them.</summary>
    private async Task<OwnedFd> FetchMetadata(byte[] header, ImageHeader parsed, RemoteVersion version, ObjectId id, CancellationToken stop)
    {
        const int Tries = 3;
        for (int attempt = 1; ; attempt++)
        {
            RemoteFiles.Check(StoreFile.Make(_store, out StoreFile? made), _store);
            using StoreFile file = made!;
            RemoteFiles.Check(file.Write(header, 0), _store);
            long end = (long)parsed.MetadataBytes;
            long at = ImageHeader.Bytes;
            WebQuestion question = RangeAnswer.Question(_options.Address, version, () => (at, end - 1)) with { IsLong = end > WebTurns.LongBytes };
            if (at < end)
            {
                at = await _client.Ask(question, async (response, _, token) =>
                {
                    RangeAnswer.Check(question, response, version, at, end - 1);
                    using Stream stream = await response.Content.ReadAsStreamAsync(token).ConfigureAwait(false);
                    await Receive(stream, file, end, () => at, got => at = got, token).ConfigureAwait(false);
                    return at == end ? at : throw new WebProblem(Errno.EIO, $"{question}: the answer is cut off at byte {at} of {end}", isTransient: true);
                }, stop).ConfigureAwait(false);
            }

            RemoteFiles.Check(FileIo.Ftruncate(file.Fd, (long)parsed.FileBytes), _store);
            if (RemoteFiles.MetadataAreSound(file.Fd))
            {
                return _files.PublishPart(file, id, end);
            }

            if (attempt == Tries)
            {
                throw WebProblem.Damaged($"{question}: the metadata do not match their checksums; the file on the server is damaged, or something on the way changes it");
            }
        }
    }

    /// <summary>Writes what comes from a place on; more than up to the end is left.</summary>
    private async Task Receive(Stream stream, StoreFile file, long end, Func<long> at, Action<long> arrived, CancellationToken stop)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
        try
        {
            using var time = CancellationTokenSource.CreateLinkedTokenSource(stop);
            while (at() < end)
            {
                int most = (int)Math.Min(BufferBytes, end - at());
                int got = await _client.ReadSome(_options.Address.ShownPath, stream, buffer.AsMemory(0, most), time, stop).ConfigureAwait(false);
                if (got == 0)
                {
                    return;
                }

                RemoteFiles.Check(file.Write(buffer.AsSpan(0, got), at()), _store);
                arrived(at() + got);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>The whole image, unless the one that is here is the server's.</summary>
    private async Task<PinnedImage> Download(CancellationToken stop)
    {
        PinnedImage? known = null;
        RemoteVersion? version = null;
        bool isThere()
        {
            known ??= TryReadView(out ObjectId id, out version) ? TryOpen(id, version!, wholeOnly: true) : null;
            return false; // the server says whether it is the right one
        }

        bool locked = await LockAmongProcesses(_viewId, isThere, stop).ConfigureAwait(false);
        try
        {
            _ = isThere();
            var question = new WebQuestion(HttpMethod.Get, _options.Address.Path)
            {
                Shown = _options.Address.ShownPath,
                IsLong = true,
                Takes = status => status == NotModified && known is not null,
                Prepare = request =>
                {
                    RangeAnswer.AsItIs(request);
                    if (known is not null)
                    {
                        _ = version!.AskIfChanged(request.Headers); // otherwise the header tells
                    }
                },
            };
            return await _client.Ask(question, async (response, _, token) =>
            {
                PinnedImage image = (int)response.StatusCode == NotModified ? known! : await ReceiveWhole(question, response, token).ConfigureAwait(false);
                if (!ReferenceEquals(image, known))
                {
                    known?.File.Dispose();
                }

                return image;
            }, stop).ConfigureAwait(false);
        }
        catch
        {
            known?.File.Dispose();
            throw;
        }
        finally
        {
            Unlock(locked, _viewId);
        }
    }

    private async Task<PinnedImage> ReceiveWhole(WebQuestion question, HttpResponseMessage response, CancellationToken stop)
    {
        var version = RemoteVersion.Of(response);
        RemoteFiles.Check(StoreFile.Make(_store, out StoreFile? made), _store);
        using StoreFile file = made!;
        byte[] header = new byte[ImageHeader.Bytes];
        using Stream stream = await response.Content.ReadAsStreamAsync(stop).ConfigureAwait(false);
        int got = await ReadUpTo(stream, header, ImageHeader.Bytes, stop).ConfigureAwait(false);
        if (got < ImageHeader.Bytes && version.Length >= ImageHeader.Bytes)
        {
            throw new WebProblem(Errno.EIO, $"{question}: the answer is cut off after {got} bytes", isTransient: true);
        }

        ImageHeader parsed = RemoteFiles.CheckedHeader(header.AsSpan(0, got), ref version);
        ObjectId id = IdOf(header);
        KeepView(id, version);
        if (TryOpen(id, version, wholeOnly: true) is { } known)
        {
            return known; // the rest is not needed
        }

        CheckFits((long)parsed.FileBytes);
        _log.Info(string.Create(CultureInfo.InvariantCulture, $"{_options.Address} is not in the store yet: fetching {parsed.FileBytes} bytes"));
        RemoteFiles.Check(file.Write(header, 0), _store);
        long at = ImageHeader.Bytes;
        long end = (long)parsed.FileBytes;
        await Receive(stream, file, end, () => at, next => at = next, stop).ConfigureAwait(false);
        if (at != end)
        {
            throw new WebProblem(Errno.EIO, $"{question}: the answer is cut off at byte {at} of {end}", isTransient: true);
        }

        if (!RemoteFiles.IsSound(file.Fd, out string damage))
        {
            throw new WebProblem(Errno.EIO, $"{question}: {damage}; the file on the server is damaged, or something on the way changes it", isTransient: true);
        }

        OwnedFd image = _files.PublishWhole(file, id, end);
        return new PinnedImage(_options, _store, _client, id, version, image, IsWhole: true);
    }

    private async Task<bool> LockAmongProcesses(ObjectId id, Func<bool> isThere, CancellationToken stop)
    {
        for (int pause = FirstPauseMs; ; pause = Math.Min(pause * 2, LongestPauseMs))
        {
            Errno error = _store.Locks.TryLock(id);
            if (error != Errno.EAGAIN)
            {
                return error == Errno.None; // otherwise the file system knows no such locks
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

    private bool TryReadView(out ObjectId id, out RemoteVersion? version)
    {
        id = default;
        version = null;
        Errno error = _store.ReadAll(_viewId, ObjectKind.View, LargestView, out NativeBody? view);
        Failure.Clear(); // without it everything is found anew
        if (error != Errno.None)
        {
            return false;
        }

        using (view)
        {
            string[] lines = Encoding.UTF8.GetString(view!.Span).Split('\n');
            return lines.Length >= 2 && ObjectId.TryParse(lines[0], out id) && RemoteVersion.TryParse(lines[1], out version);
        }
    }

    /// <summary>Notes what an address leads to, for mounts that may not ask.</summary>
    private void KeepView(ObjectId id, RemoteVersion version)
    {
        _ = _store.TryRun(() =>
        {
            if (!TryReadView(out ObjectId known, out RemoteVersion? kept) || known != id || kept != version)
            {
                Errno error = _store.Add(_viewId, ObjectKind.View, Encoding.UTF8.GetBytes($"{id}\n{version}\n"));
                if (error != Errno.None)
                {
                    _log.Warn($"{_options.Address} cannot be mounted with --offline: the store {_store.Folder} takes nothing ({error})");
                }
            }
        }); // a store that is being closed: the next mount does it
    }
}
