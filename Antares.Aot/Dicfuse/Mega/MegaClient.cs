using System.Buffers;
using System.Globalization;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Dicfuse.Web;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Mega;

/// <summary>What is asked of a monorepo server, over <see cref="WebClient"/>.</summary>
/// <remarks>Redirects are followed within the server only.</remarks>
internal sealed class MegaClient : IDisposable
{
    private const int BufferBytes = 64 << 10;
    private const int NotFound = 404;

    /// <summary>Longest content that is taken when nobody has told its length.</summary>
    private const int MostUntold = 64 << 20;

    private readonly MegaOptions _options;
    private readonly WebClient _web;

    public MegaClient(MegaOptions options)
    {
        _options = options;
        _web = new WebClient(new WebOptions
        {
            Base = options.Address.Base,
            Token = options.Token,
            Headers = options.Headers,
            CaFile = options.CaFile,
            Concurrency = options.Concurrency,
            Attempts = options.Attempts,
            AnswerMs = options.AnswerMs,
            StallMs = options.StallMs,
            Refusal = RefusalText,
        });
    }

    /// <summary>HTTP.</summary>
    public WebClient Web => _web;

    /// <inheritdoc cref="WebClient.Requests"/>
    public long Requests => _web.Requests;

    /// <inheritdoc cref="WebClient.Retries"/>
    public long Retries => _web.Retries;

    /// <inheritdoc cref="WebClient.ReceivedBytes"/>
    public long ReceivedBytes => _web.ReceivedBytes;

    /// <summary>Called with the length that the server tells before the content of a blob comes; it is not verified yet.</summary>
    public delegate Task BlobStarted(long length);

    /// <summary>Gets an answer of bounded length.</summary>
    /// <param name="path">Path and query, encoded.</param>
    /// <param name="most">Bytes; a longer answer is refused.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="MegaProblem">Whatever went wrong.</exception>
    public Task<MegaAnswer> Get(string path, int most, CancellationToken stop) => Get(path, most, _options.Attempts, stop);

    /// <inheritdoc cref="Get(string, int, CancellationToken)"/>
    /// <param name="path">As above.</param>
    /// <param name="most">As above.</param>
    /// <param name="attempts">Tries, the first included.</param>
    /// <param name="stop">As above.</param>
    public Task<MegaAnswer> Get(string path, int most, int attempts, CancellationToken stop) =>
        _web.Ask(new WebQuestion(HttpMethod.Get, path) { Attempts = attempts }, async (response, _, token) =>
        {
            NativeBody body = await _web.ReadBody(path, response, most, token).ConfigureAwait(false);
            return new MegaAnswer(body, response.Content.Headers.ContentType?.MediaType ?? "");
        }, stop);

    /// <summary>Length of a blob as the server tells it: nothing proves it before the content is here.</summary>
    /// <exception cref="MegaProblem">Whatever went wrong.</exception>
    public Task<long> Head(ObjectId id, CancellationToken stop) =>
        _web.Ask(new WebQuestion(HttpMethod.Head, BlobPath(id)), (response, _, _) =>
        {
            string what = $"HEAD {BlobPath(id)}";
            CheckIsContent(what, response);
            return response.Content.Headers.ContentLength switch
            {
                null or < 0 => throw MegaProblem.Damaged($"{what}: the server tells no Content-Length"),
                0 when id != EmptyBlob => throw MegaProblem.Damaged($"{what}: the server tells 0 bytes, and the id is not that of an empty file"),
                { } length => Task.FromResult(length),
            };
        }, stop);

    /// <summary>Fetches a blob into the store: verified against its id before it is there for anybody.</summary>
    /// <param name="id">The blob.</param>
    /// <param name="expected">Length that was told before, or -1; not believed against what the content shows.</param>
    /// <param name="store">Where it goes.</param>
    /// <param name="started">See <see cref="BlobStarted"/>; may take its time, and may throw to break off.</param>
    /// <param name="stop">Gives up.</param>
    /// <returns>Its length.</returns>
    /// <exception cref="MegaProblem">Whatever went wrong; the store has nothing of it then.</exception>
    public async Task<long> FetchBlob(ObjectId id, long expected, ObjectStore store, BlobStarted started, CancellationToken stop)
    {
        bool madeRoom = false;
        bool inMemory = false;
        bool isAskedAgain = false;
        while (true)
        {
            try
            {
                var question = new WebQuestion(HttpMethod.Get, BlobPath(id)) { IsLong = expected > WebTurns.LongBytes };
                return await _web.Ask(question, (response, turn, token) => inMemory
                    ? ReceiveWhole(id, store, response, started, token)
                    : Receive(id, new Expected(expected, isAskedAgain), store, response, started, turn, token), stop).ConfigureAwait(false);
            }
            catch (MegaProblem doubtful) when (doubtful is (WrongLength or WebTooLong) && !isAskedAgain && !inMemory)
            {
                // The answer tells no length, and the one told before may have been wrong.
                isAskedAgain = true;
                long told = await HeadAgain(id, doubtful, stop).ConfigureAwait(false);
                if (doubtful is WebTooLong && told <= MostUntold)
                {
                    throw;
                }

                store.Sizes.AddTold(id, told);
                expected = told;
            }
            catch (StoreRefusal refused) when (!inMemory)
            {
                inMemory = madeRoom || !StoreRoom.IsFull(refused.Reason) || !store.Room.Make();
                madeRoom = true;
                if (inMemory && refused.Length > MemoryObjects.LargestBytes)
                {
                    store.Room.TellRefused(store.Folder, refused.Reason);
                    throw;
                }
            }
        }
    }

    public void Dispose() => _web.Dispose();

    /// <param name="id">The blob.</param>
    /// <param name="doubtful">What is told if the server says nothing of use.</param>
    /// <param name="stop">Gives up.</param>
    private async Task<long> HeadAgain(ObjectId id, MegaProblem doubtful, CancellationToken stop)
    {
        try
        {
            return await Head(id, stop).ConfigureAwait(false);
        }
        catch (MegaProblem)
        {
            throw doubtful;
        }
    }

    /// <summary>The one blob of no bytes.</summary>
    public static ObjectId EmptyBlob { get; } = GitHash.Of(ObjectKind.Blob, default);

    private static string BlobPath(ObjectId id) => $"/api/v1/file/blob/{id}";

    private static string RefusalText(string path, int status, ReadOnlySpan<byte> content)
    {
        string said = MegaJson.ErrorOf(content);

        // The first question: a monorepo server has a head, and says by itself which revision it does not find.
        bool isForeign = status == NotFound && path.StartsWith(MegaTrees.CommitQuery, StringComparison.Ordinal)
            && (said.Length == 0 || !path.Contains("&refs=", StringComparison.Ordinal));
        return $"{(said.Length > 0 ? " " + said : "")}{(isForeign ? "; is it a monorepo (Mega) server?" : "")}";
    }

    private async Task<long> Receive(
        ObjectId id, Expected expected, ObjectStore store, HttpResponseMessage response, BlobStarted started, WebTurns.Turn turn, CancellationToken stop)
    {
        string path = BlobPath(id);
        bool isDoubtful = response.Content.Headers.ContentLength is null && !expected.IsAskedAgain;
        if ((response.Content.Headers.ContentLength ?? (expected.Length > MostUntold ? expected.Length : -1)) is not (>= 0 and var told))
        {
            return await ReceiveWhole(id, store, response, started, stop).ConfigureAwait(false);
        }

        if (told > _options.LargestBlob)
        {
            throw MegaProblem.Damaged(string.Create(CultureInfo.InvariantCulture, $"GET {path}: {told} bytes, more than the {_options.LargestBlob} that a file may have here"));
        }

        if (told > WebTurns.LongBytes)
        {
            CheckIsContent($"GET {path}", response);
        }

        await started(told).ConfigureAwait(false);
        if (told > WebTurns.LongBytes && !turn.TryBecomeLong())
        {
            throw new WebClient.BecameLong();
        }

        Errno begun = store.Begin(ObjectKind.Blob, out ObjectWriter? writer);
        if (StoreRoom.IsRefusal(begun) && told <= MemoryObjects.LargestBytes)
        {
            // It is on its way: no reason to ask again.
            return await ReceiveWhole(id, store, response, started, stop).ConfigureAwait(false);
        }

        Check(begun, store, path, told);
        using ObjectWriter target = writer!;
        using var hash = new GitHash(ObjectKind.Blob, told);
        using var time = CancellationTokenSource.CreateLinkedTokenSource(stop);
        using Stream stream = await response.Content.ReadAsStreamAsync(stop).ConfigureAwait(false);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
        long got = 0;
        try
        {
            while (await _web.ReadSome(path, stream, buffer, time, stop).ConfigureAwait(false) is var more and > 0)
            {
                got += more;
                if (got > told)
                {
                    string problem = $"GET {path}: more content than the {told} bytes told";
                    throw isDoubtful ? new WrongLength(problem) : MegaProblem.Damaged(problem);
                }

                hash.Append(buffer.AsSpan(0, more));
                Check(target.Append(buffer.AsSpan(0, more)), store, path, told);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        if (got != told)
        {
            string problem = $"GET {path}: the answer is cut off after {got} of {told} bytes";
            throw isDoubtful ? new WrongLength(problem) : new MegaProblem(Errno.EIO, problem, isTransient: true);
        }

        // Tried again when it does not match: it may have been a proxy in between; then it is the server.
        Require(hash.Finish() == id, path);
        Check(target.Publish(id), store, path, told);
        store.Sizes.Add(id, got);
        return got;
    }

    /// <summary>Content of a length that nobody told: its hash begins with the length, so it is held until it is all here.</summary>
    private async Task<long> ReceiveWhole(
        ObjectId id, ObjectStore store, HttpResponseMessage response, BlobStarted started, CancellationToken stop)
    {
        string path = BlobPath(id);
        using NativeBody body = await _web.ReadBody(path, response, MostUntold, stop).ConfigureAwait(false);
        Require(GitHash.Of(ObjectKind.Blob, body.Span) == id, path);
        Check(store.Add(id, ObjectKind.Blob, body.Span), store, path, body.Length);
        store.Sizes.Add(id, body.Length);
        await started(body.Length).ConfigureAwait(false);
        return body.Length;
    }

    /// <summary>The page that says what went wrong has a length too.</summary>
    private static void CheckIsContent(string what, HttpResponseMessage response)
    {
        if (response.Content.Headers.ContentType?.MediaType is { } type && type != "application/octet-stream")
        {
            throw MegaProblem.Damaged($"{what}: the answer is no content of a file but {type}");
        }
    }

    private static void Require(bool matches, string path)
    {
        if (!matches)
        {
            throw new MegaProblem(Errno.EIO, $"GET {path}: the content does not match its id", isTransient: true);
        }
    }

    private static void Check(Errno error, ObjectStore store, string path, long length)
    {
        if (error == Errno.ENOMEM)
        {
            throw new MegaProblem(error, $"GET {path}: no memory to keep it in the store");
        }

        if (error != Errno.None)
        {
            throw new StoreRefusal(
                StoreRoom.IsFull(error)
                    ? string.Create(CultureInfo.InvariantCulture, $"GET {path}: the disk of the store {store.Folder} has no room for {length} bytes")
                    : string.Create(CultureInfo.InvariantCulture, $"GET {path}: {length} bytes cannot be kept in the store {store.Folder} ({error})"),
                error,
                length);
        }
    }

    /// <param name="Length">Told before; -1: nobody has.</param>
    /// <param name="IsAskedAgain">By HEAD, just now.</param>
    private readonly record struct Expected(long Length, bool IsAskedAgain);

    /// <summary>The answer tells no length, and is not as long as was told before.</summary>
    private sealed class WrongLength(string message) : MegaProblem(Errno.EIO, message);

    private sealed class StoreRefusal(string message, Errno reason, long length) : MegaProblem(Errno.EIO, message)
    {
        public Errno Reason { get; } = reason;

        public long Length { get; } = length;
    }
}
