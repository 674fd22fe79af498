using System.Buffers;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Antares.Aot.Dicfuse.Store;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Mega;

/// <summary>
/// HTTP to one server: a bounded number of requests at a time over connections that are kept, each tried a few times with growing
/// pauses, no answer longer than its bound, no wait without an end.
/// </summary>
/// <remarks>
/// Nothing of HTTP is touched before the first request. Redirects are followed within the server only, so that neither token nor headers go
/// elsewhere. Every failure is a <see cref="MegaProblem"/> whose message names the request without its headers.
/// </remarks>
internal sealed class MegaClient : IDisposable
{
    private const int MostRedirects = 5;
    private const int FirstPauseMs = 100;
    private const int LongestPauseMs = 5_000;
    private const int ConnectMs = 5_000;
    private const int BufferBytes = 64 << 10;
    private const int ErrorTextBytes = 64 << 10;

    /// <summary>Longest content that is taken when nobody has told its length.</summary>
    private const int MostUntold = 64 << 20;

    /// <summary>A server that is away for longer is not waited for by each request any more.</summary>
    private const int OutageMs = 10_000;

    private readonly MegaOptions _options;
    private readonly MegaTurns _turns;
    private readonly Lazy<HttpClient> _http;
    private readonly CancellationTokenSource _closing = new();
    private long _requests;
    private long _retries;
    private long _received;
    private long _awaySince;

    public MegaClient(MegaOptions options)
    {
        _options = options;
        _turns = new MegaTurns(options.Concurrency);
        _http = new Lazy<HttpClient>(MakeHttp);
    }

    /// <summary>Requests sent, each try counted.</summary>
    public long Requests => Volatile.Read(ref _requests);

    /// <summary>Tries beyond the first.</summary>
    public long Retries => Volatile.Read(ref _retries);

    /// <summary>Bytes of answers, without heads.</summary>
    public long ReceivedBytes => Volatile.Read(ref _received);

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
        Try(HttpMethod.Get, path, isLong: false, attempts, async (response, _, token) =>
        {
            NativeBody body = await ReadBody(path, response, most, token).ConfigureAwait(false);
            return new MegaAnswer(body, response.Content.Headers.ContentType?.MediaType ?? "");
        }, stop);

    /// <summary>Length of a blob as the server tells it: nothing proves it before the content is here.</summary>
    /// <exception cref="MegaProblem">Whatever went wrong.</exception>
    public Task<long> Head(ObjectId id, CancellationToken stop) =>
        Try(HttpMethod.Head, BlobPath(id), isLong: false, _options.Attempts, (response, _, _) =>
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
        while (true)
        {
            try
            {
                return await Try(HttpMethod.Get, BlobPath(id), expected > MegaTurns.LongBytes, _options.Attempts, (response, turn, token) => inMemory
                    ? ReceiveWhole(id, store, response, started, token)
                    : Receive(id, expected, store, response, started, turn, token), stop).ConfigureAwait(false);
            }
            catch (StoreFullProblem full) when (!inMemory)
            {
                inMemory = madeRoom || !store.Room.Make();
                madeRoom = true;
                if (inMemory && full.Length > MemoryObjects.LargestBytes)
                {
                    store.Room.TellFull(store.Folder);
                    throw;
                }
            }
        }
    }

    /// <summary>True for a header that goes with a question: not one that describes content or the connection.</summary>
    public static bool CanSend(string name, string value)
    {
        using var request = new HttpRequestMessage();
        return !value.Any(c => c is < ' ' or > '~') && !string.Equals(name, "Transfer-Encoding", StringComparison.OrdinalIgnoreCase)
            && request.Headers.TryAddWithoutValidation(name, value);
    }

    public void Dispose()
    {
        _closing.Cancel();
        if (_http.IsValueCreated)
        {
            _http.Value.Dispose();
        }
    }

    /// <summary>The one blob of no bytes.</summary>
    public static ObjectId EmptyBlob { get; } = GitHash.Of(ObjectKind.Blob, default);

    private static string BlobPath(ObjectId id) => $"/api/v1/file/blob/{id}";

    private async Task<T> Try<T>(
        HttpMethod method, string path, bool isLong, int attempts, Func<HttpResponseMessage, MegaTurns.Turn, CancellationToken, Task<T>> use, CancellationToken stop)
    {
        using var both = CancellationTokenSource.CreateLinkedTokenSource(stop, _closing.Token);
        for (int attempt = 1; ; attempt++)
        {
            MegaProblem problem;
            int pauseMs = 0;
            MegaTurns.Turn turn = await _turns.Enter(isLong, both.Token).ConfigureAwait(false);
            try
            {
                return await Once(method, path, (response, token) => use(response, turn, token), both.Token).ConfigureAwait(false);
            }
            catch (BecameLong)
            {
                // Asked again when it is the turn of a long one; nothing has failed.
                isLong = true;
                attempt--;
                continue;
            }
            catch (MegaProblem told)
            {
                problem = told;
                pauseMs = told is MegaRetryLater later ? later.PauseMs : 0;
            }
            finally
            {
                turn.Dispose();
            }

            if (!problem.IsTransient || attempt >= attempts || (problem.IsUnreachable && IsAwayForLong()))
            {
                throw attempt > 1 && problem.IsTransient
                    ? new MegaProblem(problem.Error, $"{problem.Message} ({attempt} tries)", isTransient: true) { IsUnreachable = problem.IsUnreachable }
                    : problem;
            }

            // Only a counter for people.
            _ = Interlocked.Increment(ref _retries);
            int growing = Math.Min(FirstPauseMs << (2 * (attempt - 1)), LongestPauseMs);
            await Task.Delay(Math.Min(LongestPauseMs, Math.Max(pauseMs, (growing / 2) + Random.Shared.Next(growing))), both.Token).ConfigureAwait(false);
        }
    }

    private bool IsAwayForLong()
    {
        long now = Environment.TickCount64;
        long since = Interlocked.CompareExchange(ref _awaySince, now, 0);
        return since != 0 && now - since > OutageMs;
    }

    private async Task<T> Once<T>(
        HttpMethod method, string path, Func<HttpResponseMessage, CancellationToken, Task<T>> use, CancellationToken stop)
    {
        // Only a counter for people.
        _ = Interlocked.Increment(ref _requests);
        using var time = CancellationTokenSource.CreateLinkedTokenSource(stop);
        time.CancelAfter(_options.AnswerMs);
        try
        {
            using HttpResponseMessage response = await Ask(method, path, time.Token).ConfigureAwait(false);
            time.CancelAfter(Timeout.Infinite);
            Volatile.Write(ref _awaySince, 0);
            if (response.StatusCode != HttpStatusCode.OK)
            {
                throw await Refused(method, path, response, stop).ConfigureAwait(false);
            }

            return await use(response, stop).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            throw new MegaProblem(Errno.ETIMEDOUT, $"{method} {path}: no answer within {_options.AnswerMs / 1000} s", isTransient: true);
        }
        catch (HttpRequestException error)
        {
            throw Explain(method, path, error);
        }
        catch (Exception error) when (error is IOException or SocketException)
        {
            throw new MegaProblem(Errno.EIO, $"{method} {path}: the connection broke off", isTransient: true);
        }
    }

    private async Task<HttpResponseMessage> Ask(HttpMethod method, string path, CancellationToken stop)
    {
        var target = new Uri(_options.Address.Base + path);
        for (int hops = 0; ; hops++)
        {
            using var request = new HttpRequestMessage(method, target) { Version = HttpVersion.Version11, VersionPolicy = HttpVersionPolicy.RequestVersionExact };
            HttpResponseMessage response = await _http.Value.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop).ConfigureAwait(false);
            if ((int)response.StatusCode is not (301 or 302 or 303 or 307 or 308) || response.Headers.Location is not { } place)
            {
                return response;
            }

            response.Dispose();
            var next = new Uri(target, place);
            if (next.Scheme != target.Scheme || next.Authority != target.Authority)
            {
                throw MegaProblem.Damaged($"{method} {path}: redirected to another server, {next.GetLeftPart(UriPartial.Authority)}; mount that one if it is meant");
            }

            if (hops == MostRedirects)
            {
                throw MegaProblem.Damaged($"{method} {path}: more than {MostRedirects} redirects");
            }

            target = next;
        }
    }

    /// <summary>The error of an answer other than 200, with what the server says.</summary>
    private async Task<MegaProblem> Refused(HttpMethod method, string path, HttpResponseMessage response, CancellationToken stop)
    {
        int status = (int)response.StatusCode;
        string said = "";
        try
        {
            using NativeBody body = await ReadBody(path, response, ErrorTextBytes, stop).ConfigureAwait(false);
            said = MegaJson.ErrorOf(body.Span);
        }
        catch (MegaProblem)
        {
            // What it says is a help, no more.
        }

        // The first question: a monorepo server has a head, and says by itself which revision it does not find.
        bool isForeign = response.StatusCode == HttpStatusCode.NotFound && path.StartsWith(MegaTrees.CommitQuery, StringComparison.Ordinal)
            && (said.Length == 0 || !path.Contains("&refs=", StringComparison.Ordinal));
        string message = $"{method} {path}: {status}{(said.Length > 0 ? " " + said : "")}{(isForeign ? "; is it a monorepo (Mega) server?" : "")}";
        return response.StatusCode switch
        {
            HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden => new MegaProblem(Errno.EACCES, message),
            HttpStatusCode.TooManyRequests or HttpStatusCode.ServiceUnavailable =>
                new MegaRetryLater(message, (int)Math.Clamp(response.Headers.RetryAfter?.Delta?.TotalMilliseconds ?? 0, 0, LongestPauseMs)),
            HttpStatusCode.RequestTimeout => new MegaProblem(Errno.EIO, message, isTransient: true),
            _ => new MegaProblem(Errno.EIO, message, isTransient: status >= 500) { IsMissing = status is 400 or 404 },
        };
    }

    private MegaProblem Explain(HttpMethod method, string path, HttpRequestException error)
    {
        string what = $"{method} {path}";
        string server = _options.Address.Base;
        for (Exception? inner = error; inner is not null; inner = inner.InnerException)
        {
            switch (inner)
            {
                case SocketException socket when error.HttpRequestError == HttpRequestError.NameResolutionError:
                    return new MegaProblem(Errno.EIO, $"{what}: the name of {server} cannot be resolved ({socket.SocketErrorCode})", isTransient: true) { IsUnreachable = true };
                case SocketException socket when error.HttpRequestError == HttpRequestError.ConnectionError:
                    return new MegaProblem(Errno.EIO, $"{what}: cannot connect to {server} ({socket.SocketErrorCode})", isTransient: true) { IsUnreachable = true };
                case AuthenticationException:
                    return MegaProblem.Damaged($"{what}: the certificate of {server} is not trusted (--ca-file names those to trust), or it speaks no TLS there (then its address begins with http:)");
                default:
                    break;
            }
        }

        return error.HttpRequestError switch
        {
            HttpRequestError.InvalidResponse => MegaProblem.Damaged($"{what}: the answer is no HTTP"),
            HttpRequestError.ConnectionError => new MegaProblem(Errno.ETIMEDOUT, $"{what}: cannot connect to {server} within {ConnectMs / 1000} s", isTransient: true) { IsUnreachable = true },
            HttpRequestError.SecureConnectionError => MegaProblem.Damaged($"{what}: no TLS with {server}; if it speaks none there, its address begins with http:"),
            HttpRequestError.ProxyTunnelError => MegaProblem.Damaged($"{what}: the proxy refuses to connect to {server}"),
            _ => new MegaProblem(Errno.EIO, $"{what}: the connection broke off ({error.HttpRequestError})", isTransient: true),
        };
    }

    /// <summary>Reads with a bound for each pause.</summary>
    private async ValueTask<int> ReadSome(string path, Stream stream, Memory<byte> buffer, CancellationTokenSource time, CancellationToken stop)
    {
        time.CancelAfter(_options.StallMs);
        try
        {
            int got = await stream.ReadAsync(buffer, time.Token).ConfigureAwait(false);
            // Only a counter for people.
            _ = Interlocked.Add(ref _received, got);
            return got;
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            throw new MegaProblem(Errno.ETIMEDOUT, $"GET {path}: the answer stopped for {_options.StallMs / 1000} s", isTransient: true);
        }
        catch (Exception error) when (error is HttpIOException or IOException)
        {
            throw new MegaProblem(Errno.EIO, $"GET {path}: the answer is cut off", isTransient: true);
        }
    }

    private async Task<NativeBody> ReadBody(string path, HttpResponseMessage response, int most, CancellationToken stop)
    {
        if (response.Content.Headers.ContentLength > most)
        {
            throw MegaProblem.Damaged($"GET {path}: an answer of {response.Content.Headers.ContentLength} bytes, more than {most}");
        }

        var body = new NativeBody();
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
        try
        {
            using var time = CancellationTokenSource.CreateLinkedTokenSource(stop);
            using Stream stream = await response.Content.ReadAsStreamAsync(stop).ConfigureAwait(false);
            while (await ReadSome(path, stream, buffer, time, stop).ConfigureAwait(false) is var got and > 0)
            {
                if (got > most - body.Length)
                {
                    throw MegaProblem.Damaged($"GET {path}: an answer of more than {most} bytes");
                }

                if (!body.TryAppend(buffer.AsSpan(0, got)))
                {
                    throw new MegaProblem(Errno.ENOMEM, $"GET {path}: no memory for the answer");
                }
            }

            return body;
        }
        catch
        {
            body.Dispose();
            throw;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private async Task<long> Receive(
        ObjectId id, long expected, ObjectStore store, HttpResponseMessage response, BlobStarted started, MegaTurns.Turn turn, CancellationToken stop)
    {
        string path = BlobPath(id);
        if ((response.Content.Headers.ContentLength ?? (expected > MostUntold ? expected : -1)) is not (>= 0 and var told))
        {
            return await ReceiveWhole(id, store, response, started, stop).ConfigureAwait(false);
        }

        if (told > _options.LargestBlob)
        {
            throw MegaProblem.Damaged(string.Create(CultureInfo.InvariantCulture, $"GET {path}: {told} bytes, more than the {_options.LargestBlob} that a file may have here"));
        }

        if (told > MegaTurns.LongBytes)
        {
            CheckIsContent($"GET {path}", response);
        }

        await started(told).ConfigureAwait(false);
        if (told > MegaTurns.LongBytes && !turn.TryBecomeLong())
        {
            throw new BecameLong();
        }

        Check(store.Begin(ObjectKind.Blob, out ObjectWriter? writer), store, path, told);
        using ObjectWriter target = writer!;
        using var hash = new GitHash(ObjectKind.Blob, told);
        using var time = CancellationTokenSource.CreateLinkedTokenSource(stop);
        using Stream stream = await response.Content.ReadAsStreamAsync(stop).ConfigureAwait(false);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
        long got = 0;
        try
        {
            while (await ReadSome(path, stream, buffer, time, stop).ConfigureAwait(false) is var more and > 0)
            {
                got += more;
                if (got > told)
                {
                    throw MegaProblem.Damaged($"GET {path}: more content than the {told} bytes told");
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
            throw new MegaProblem(Errno.EIO, $"GET {path}: the answer is cut off after {got} of {told} bytes", isTransient: true);
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
        using NativeBody body = await ReadBody(path, response, MostUntold, stop).ConfigureAwait(false);
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
        if (StoreRoom.IsFull(error))
        {
            throw new StoreFullProblem(string.Create(CultureInfo.InvariantCulture, $"GET {path}: the disk of the store {store.Folder} has no room for {length} bytes"), length);
        }

        if (error != Errno.None)
        {
            throw new MegaProblem(error == Errno.ENOMEM ? error : Errno.EIO, $"GET {path}: cannot be kept in the store ({error})");
        }
    }

    private HttpClient MakeHttp()
    {
        var handler = new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseCookies = false,
            AutomaticDecompression = DecompressionMethods.None,
            ConnectTimeout = TimeSpan.FromMilliseconds(ConnectMs),
            MaxConnectionsPerServer = _options.Concurrency,
            PooledConnectionIdleTimeout = TimeSpan.FromSeconds(60),
            PooledConnectionLifetime = TimeSpan.FromMinutes(10),
            MaxResponseHeadersLength = 64,
            ResponseDrainTimeout = TimeSpan.FromSeconds(1),
        };
        if (_options.CaFile is { } file)
        {
            handler.SslOptions = Trusting(file);
        }

        var http = new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
        if (_options.Token is { } token)
        {
            http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        }

        foreach ((string name, string value) in _options.Headers)
        {
            _ = http.DefaultRequestHeaders.TryAddWithoutValidation(name, value); // CanSend was asked when they were read
        }

        _ = http.DefaultRequestHeaders.TryAddWithoutValidation("User-Agent", "antares-aot"); // a constant
        return http;
    }

    private static SslClientAuthenticationOptions Trusting(string file)
    {
        var roots = new X509Certificate2Collection();
        roots.ImportFromPemFile(file);
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.AddRange(roots);
        return new SslClientAuthenticationOptions { CertificateChainPolicy = policy };
    }

    /// <summary>Content turned out to be long when enough of those were under way.</summary>
    private sealed class BecameLong : Exception;

    private sealed class StoreFullProblem(string message, long length) : MegaProblem(Errno.EIO, message)
    {
        public long Length { get; } = length;
    }
}
