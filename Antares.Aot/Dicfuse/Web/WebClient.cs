using System.Buffers;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Antares.Aot.Dicfuse.Store;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Web;

/// <summary>
/// HTTP to one server: a bounded number of requests at a time over connections that are kept, each tried a few times with growing
/// pauses, no answer longer than its bound, no wait without an end.
/// </summary>
/// <remarks>
/// Nothing of HTTP is touched before the first request. Token and headers go to this server only. Every failure is a
/// <see cref="WebProblem"/> whose message names the request without its headers.
/// </remarks>
internal sealed class WebClient : IDisposable
{
    private const int MostRedirects = 5;
    private const int FirstPauseMs = 100;
    private const int LongestPauseMs = 5_000;
    private const int ConnectMs = 5_000;
    private const int BufferBytes = 64 << 10;
    private const int ErrorTextBytes = 64 << 10;

    /// <summary>A server that is away for longer is not waited for by each request any more.</summary>
    private const int OutageMs = 10_000;

    private readonly WebOptions _options;
    private readonly WebTurns _turns;
    private readonly Lazy<HttpClient> _http;
    private readonly CancellationTokenSource _closing = new();
    private long _requests;
    private long _retries;
    private long _received;
    private long _awaySince;

    public WebClient(WebOptions options)
    {
        _options = options;
        _turns = new WebTurns(options.Concurrency);
        _http = new Lazy<HttpClient>(MakeHttp);
    }

    /// <summary>Makes use of an answer that is taken.</summary>
    /// <param name="response">Its content has not been read.</param>
    /// <param name="turn">The turn at the server.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="WebProblem">It is of no use; asked again when that is transient.</exception>
    public delegate Task<T> Use<T>(HttpResponseMessage response, WebTurns.Turn turn, CancellationToken stop);

    public WebOptions Options => _options;

    /// <summary>Requests sent, each try counted.</summary>
    public long Requests => Volatile.Read(ref _requests);

    /// <summary>Tries beyond the first.</summary>
    public long Retries => Volatile.Read(ref _retries);

    /// <summary>Bytes of answers, without heads.</summary>
    public long ReceivedBytes => Volatile.Read(ref _received);

    /// <summary>True for a header that goes with a question: not one that describes content or the connection.</summary>
    public static bool CanSend(string name, string value)
    {
        using var request = new HttpRequestMessage();
        return !value.Any(c => c is < ' ' or > '~') && !string.Equals(name, "Transfer-Encoding", StringComparison.OrdinalIgnoreCase)
            && request.Headers.TryAddWithoutValidation(name, value);
    }

    /// <summary>Asks, and asks again when what went wrong may pass.</summary>
    /// <param name="question">What is asked.</param>
    /// <param name="use">Takes the answer; called once for each try that got so far.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="WebProblem">Whatever went wrong.</exception>
    public async Task<T> Ask<T>(WebQuestion question, Use<T> use, CancellationToken stop)
    {
        int attempts = question.Attempts > 0 ? question.Attempts : _options.Attempts;
        bool isLong = question.IsLong;
        using var both = CancellationTokenSource.CreateLinkedTokenSource(stop, _closing.Token);
        for (int attempt = 1; ; attempt++)
        {
            WebProblem problem;
            int pauseMs = 0;
            WebTurns.Turn turn = await _turns.Enter(isLong, both.Token).ConfigureAwait(false);
            try
            {
                return await Once(question, (response, token) => use(response, turn, token), both.Token).ConfigureAwait(false);
            }
            catch (BecameLong)
            {
                // Asked again when it is the turn of a long one; nothing has failed.
                isLong = true;
                attempt--;
                continue;
            }
            catch (WebProblem told)
            {
                problem = told;
                pauseMs = told is WebRetryLater later ? later.PauseMs : 0;
            }
            finally
            {
                turn.Dispose();
            }

            if (!problem.IsTransient || attempt >= attempts || (problem.IsUnreachable && IsAwayForLong()))
            {
                throw attempt > 1 && problem.IsTransient
                    ? new WebProblem(problem.Error, $"{problem.Message} ({attempt} tries)", isTransient: true) { IsUnreachable = problem.IsUnreachable }
                    : problem;
            }

            // Only a counter for people.
            _ = Interlocked.Increment(ref _retries);
            int growing = Math.Min(FirstPauseMs << (2 * (attempt - 1)), LongestPauseMs);
            await Task.Delay(Math.Min(LongestPauseMs, Math.Max(pauseMs, (growing / 2) + Random.Shared.Next(growing))), both.Token).ConfigureAwait(false);
        }
    }

    /// <summary>Reads with a bound for each pause.</summary>
    /// <param name="shown">Names the answer in messages.</param>
    /// <param name="stream">Content of an answer.</param>
    /// <param name="buffer">Receives the bytes.</param>
    /// <param name="time">Of this answer alone; linked to <paramref name="stop"/>.</param>
    /// <param name="stop">Gives up.</param>
    /// <returns>0 at the end.</returns>
    /// <exception cref="WebProblem">It stopped, or is cut off.</exception>
    public async ValueTask<int> ReadSome(string shown, Stream stream, Memory<byte> buffer, CancellationTokenSource time, CancellationToken stop)
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
            throw new WebProblem(Errno.ETIMEDOUT, $"GET {shown}: the answer stopped for {_options.StallMs / 1000} s", isTransient: true);
        }
        catch (Exception error) when (error is HttpIOException or IOException)
        {
            throw new WebProblem(Errno.EIO, $"GET {shown}: the answer is cut off", isTransient: true);
        }
    }

    /// <summary>Reads the content of an answer.</summary>
    /// <param name="shown">Names the answer in messages.</param>
    /// <param name="response">The answer.</param>
    /// <param name="most">Bytes; a longer answer is refused.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="WebProblem">Whatever went wrong; <see cref="WebTooLong"/>.</exception>
    public async Task<NativeBody> ReadBody(string shown, HttpResponseMessage response, int most, CancellationToken stop)
    {
        if (response.Content.Headers.ContentLength > most)
        {
            throw WebProblem.Damaged($"GET {shown}: an answer of {response.Content.Headers.ContentLength} bytes, more than {most}");
        }

        var body = new NativeBody();
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
        try
        {
            using var time = CancellationTokenSource.CreateLinkedTokenSource(stop);
            using Stream stream = await response.Content.ReadAsStreamAsync(stop).ConfigureAwait(false);
            while (await ReadSome(shown, stream, buffer, time, stop).ConfigureAwait(false) is var got and > 0)
            {
                if (got > most - body.Length)
                {
                    throw new WebTooLong($"GET {shown}: an answer of more than {most} bytes");
                }

                if (!body.TryAppend(buffer.AsSpan(0, got)))
                {
                    throw new WebProblem(Errno.ENOMEM, $"GET {shown}: no memory for the answer");
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

    public void Dispose()
    {
        _closing.Cancel();
        if (_http.IsValueCreated)
        {
            _http.Value.Dispose();
        }
    }

    private bool IsAwayForLong()
    {
        long now = Environment.TickCount64;
        long since = Interlocked.CompareExchange(ref _awaySince, now, 0);
        return since != 0 && now - since > OutageMs;
    }

    private async Task<T> Once<T>(WebQuestion question, Func<HttpResponseMessage, CancellationToken, Task<T>> use, CancellationToken stop)
    {
        // Only a counter for people.
        _ = Interlocked.Increment(ref _requests);
        using var time = CancellationTokenSource.CreateLinkedTokenSource(stop);
        time.CancelAfter(_options.AnswerMs);
        try
        {
            using HttpResponseMessage response = await Send(question, time.Token).ConfigureAwait(false);
            time.CancelAfter(Timeout.Infinite);
            Volatile.Write(ref _awaySince, 0);
            if (response.StatusCode != HttpStatusCode.OK && question.Takes?.Invoke((int)response.StatusCode) != true)
            {
                throw await Refused(question, response, stop).ConfigureAwait(false);
            }

            return await use(response, stop).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            throw new WebProblem(Errno.ETIMEDOUT, $"{question}: no answer within {_options.AnswerMs / 1000} s", isTransient: true);
        }
        catch (HttpRequestException error)
        {
            throw Explain(question, error);
        }
        catch (Exception error) when (error is IOException or SocketException)
        {
            throw new WebProblem(Errno.EIO, $"{question}: the connection broke off", isTransient: true);
        }
    }

    private async Task<HttpResponseMessage> Send(WebQuestion question, CancellationToken stop)
    {
        var first = new Uri(_options.Base + question.Path);
        Uri target = first;
        for (int hops = 0; ; hops++)
        {
            using var request = new HttpRequestMessage(question.Method, target) { Version = HttpVersion.Version11, VersionPolicy = HttpVersionPolicy.RequestVersionExact };
            if (IsSameServer(first, target))
            {
                AddSecrets(request);
            }

            question.Prepare?.Invoke(request);
            HttpResponseMessage response = await _http.Value.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop).ConfigureAwait(false);
            if ((int)response.StatusCode is not (301 or 302 or 303 or 307 or 308) || response.Headers.Location is not { } place)
            {
                return response;
            }

            response.Dispose();
            var next = new Uri(target, place);
            if (!IsSameServer(target, next))
            {
                CheckLeaving(question, target, next);
            }

            if (hops == MostRedirects)
            {
                throw WebProblem.Damaged($"{question}: more than {MostRedirects} redirects");
            }

            target = next;
        }
    }

    private static bool IsSameServer(Uri one, Uri other) => one.Scheme == other.Scheme && one.Authority == other.Authority;

    private void CheckLeaving(WebQuestion question, Uri from, Uri to)
    {
        string server = to.GetLeftPart(UriPartial.Authority);
        if (!_options.LeavesServer || (to.Scheme != Uri.UriSchemeHttp && to.Scheme != Uri.UriSchemeHttps))
        {
            throw WebProblem.Damaged($"{question}: redirected to another server, {server}; mount that one if it is meant");
        }

        if (from.Scheme == Uri.UriSchemeHttps && to.Scheme != Uri.UriSchemeHttps)
        {
            throw WebProblem.Damaged($"{question}: redirected from https: to {server}, which anybody on the way can change; mount that one if it is meant");
        }
    }

    private void AddSecrets(HttpRequestMessage request)
    {
        if (_options.Token is { } token)
        {
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        }

        foreach ((string name, string value) in _options.Headers)
        {
            _ = request.Headers.TryAddWithoutValidation(name, value); // CanSend was asked when they were read
        }
    }

    /// <summary>The error of an answer that is not taken, with what the server says.</summary>
    private async Task<WebProblem> Refused(WebQuestion question, HttpResponseMessage response, CancellationToken stop)
    {
        int status = (int)response.StatusCode;
        string said = "";
        if (_options.Refusal is { } text)
        {
            try
            {
                using NativeBody body = await ReadBody(question.Shown, response, ErrorTextBytes, stop).ConfigureAwait(false);
                said = text(question.Path, status, body.Span);
            }
            catch (WebProblem)
            {
                // What it says is a help, no more.
                said = text(question.Path, status, default);
            }
        }

        string message = $"{question}: {status}{said}";
        return response.StatusCode switch
        {
            HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden => new WebProblem(Errno.EACCES, message),
            HttpStatusCode.TooManyRequests or HttpStatusCode.ServiceUnavailable =>
                new WebRetryLater(message, (int)Math.Clamp(response.Headers.RetryAfter?.Delta?.TotalMilliseconds ?? 0, 0, LongestPauseMs)),
            HttpStatusCode.RequestTimeout => new WebProblem(Errno.EIO, message, isTransient: true),
            _ => new WebProblem(Errno.EIO, message, isTransient: status >= 500) { IsMissing = status is 400 or 404 },
        };
    }

    private WebProblem Explain(WebQuestion question, HttpRequestException error)
    {
        string server = _options.Base;
        for (Exception? inner = error; inner is not null; inner = inner.InnerException)
        {
            switch (inner)
            {
                case SocketException socket when error.HttpRequestError == HttpRequestError.NameResolutionError:
                    return new WebProblem(Errno.EIO, $"{question}: the name of {server} cannot be resolved ({socket.SocketErrorCode})", isTransient: true) { IsUnreachable = true };
                case SocketException socket when error.HttpRequestError == HttpRequestError.ConnectionError:
                    return new WebProblem(Errno.EIO, $"{question}: cannot connect to {server} ({socket.SocketErrorCode})", isTransient: true) { IsUnreachable = true };
                case AuthenticationException:
                    return WebProblem.Damaged($"{question}: the certificate of {server} is not trusted (--ca-file names those to trust), or it speaks no TLS there (then its address begins with http:)");
                default:
                    break;
            }
        }

        return error.HttpRequestError switch
        {
            HttpRequestError.InvalidResponse => WebProblem.Damaged($"{question}: the answer is no HTTP"),
            HttpRequestError.ConnectionError => new WebProblem(Errno.ETIMEDOUT, $"{question}: cannot connect to {server} within {ConnectMs / 1000} s", isTransient: true) { IsUnreachable = true },
            HttpRequestError.SecureConnectionError => WebProblem.Damaged($"{question}: no TLS with {server}; if it speaks none there, its address begins with http:"),
            HttpRequestError.ProxyTunnelError => WebProblem.Damaged($"{question}: the proxy refuses to connect to {server}"),
            _ => new WebProblem(Errno.EIO, $"{question}: the connection broke off ({error.HttpRequestError})", isTransient: true),
        };
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
    internal sealed class BecameLong : Exception;
}
