using System.Net;
using System.Net.Sockets;
using System.Text;
using Antares.Aot.Diagnostics;

namespace Antares.Aot.Server;

/// <summary>
/// A small HTTP/1.1 server: a thread for each connection, kept alive between requests; heads, bodies, connections and pauses have
/// bounds. GET and HEAD, and short bodies.
/// </summary>
public sealed class HttpServer : IDisposable
{
    private const int MostConnections = 256;
    private const int HeadBytes = 16 << 10;
    private const int IdleMs = 60_000;
    private const int StackBytes = 512 << 10;
    private const int MostHeaders = 100;

    private readonly Socket _listener;
    private readonly Action<HttpExchange> _answer;
    private readonly Log _log;
    private readonly SemaphoreSlim _places = new(MostConnections);
    private readonly Lock _lock = new();
    private readonly HashSet<Socket> _open = [];
    private bool _ending;

    /// <param name="address">Where to listen; port 0 takes a free one.</param>
    /// <param name="answer">Answers one request; called on many threads at once.</param>
    /// <param name="log">Hears of connections that end in an error.</param>
    /// <exception cref="SocketException">The address cannot be used.</exception>
    public HttpServer(IPEndPoint address, Action<HttpExchange> answer, Log log)
    {
        _answer = answer;
        _log = log;
        _listener = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            // Not ReuseAddress, which .NET takes for SO_REUSEPORT too: two servers would share the address. What it sets by itself gets over TIME_WAIT.
            _listener.Bind(address);
            _listener.Listen(MostConnections);
        }
        catch
        {
            _listener.Dispose();
            throw;
        }

        Address = (IPEndPoint)_listener.LocalEndPoint!;
    }

    /// <summary>Where it listens.</summary>
    public IPEndPoint Address { get; }

    /// <summary>Serves until <see cref="Dispose"/>.</summary>
    public void Start() => new Thread(Accept) { IsBackground = true, Name = "http" }.Start();

    public void Dispose()
    {
        lock (_lock)
        {
            if (_ending)
            {
                return;
            }

            _ending = true;
            foreach (Socket socket in _open)
            {
                socket.Dispose();
            }
        }

        _listener.Dispose();
    }

    private void Accept()
    {
        while (true)
        {
            _places.Wait();
            Socket connection;
            try
            {
                connection = _listener.Accept();
            }
            catch (Exception error) when (error is SocketException or ObjectDisposedException)
            {
                if (_ending)
                {
                    return;
                }

                // Out of descriptors: some connection will end.
                _log.Warn($"a connection was not accepted: {error.Message}");
                _ = _places.Release(); // the count before is of no interest
                Thread.Sleep(100);
                continue;
            }

            lock (_lock)
            {
                if (_ending)
                {
                    connection.Dispose();
                    return;
                }

                _ = _open.Add(connection); // new
            }

            try
            {
                new Thread(() => Serve(connection), StackBytes) { IsBackground = true, Name = "http connection" }.Start();
            }
            catch (Exception error) when (error is OutOfMemoryException or ThreadStartException)
            {
                _log.Warn("a connection was closed, no thread is to be had for it (a limit of processes or of memory)");
                Close(connection);
            }
        }
    }

    private void Serve(Socket connection)
    {
        try
        {
            connection.NoDelay = true;
            connection.ReceiveTimeout = IdleMs;
            connection.SendTimeout = IdleMs;
            var buffer = new byte[HeadBytes];
            int used = 0;
            while (ReadHead(connection, buffer, ref used, out int headLength))
            {
                HttpExchange exchange = Parse(connection, buffer.AsSpan(0, headLength), out long bodyBytes);
                buffer.AsSpan(headLength, used - headLength).CopyTo(buffer);
                used -= headLength;
                if (exchange.Status != 0 || !SkipBody(connection, buffer, ref used, bodyBytes))
                {
                    return;
                }

                _answer(exchange);
                if (!exchange.KeepAlive || !exchange.IsComplete)
                {
                    return;
                }
            }
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            _log.Debug($"a connection ended: {error.Message}");
        }
        catch (Exception error)
        {
            _log.Error($"a request failed: {error.GetType().Name}: {error.Message}");
        }
        finally
        {
            Close(connection);
        }
    }

    private void Close(Socket connection)
    {
        lock (_lock)
        {
            _ = _open.Remove(connection); // may be gone when the server ends
        }

        connection.Dispose();
        _ = _places.Release(); // the count before is of no interest
    }

    // False: the client has ended the connection, or sends too much.
    private static bool ReadHead(Socket connection, byte[] buffer, ref int used, out int headLength)
    {
        headLength = 0;
        while (true)
        {
            int end = buffer.AsSpan(0, used).IndexOf("\r\n\r\n"u8);
            if (end >= 0)
            {
                headLength = end + 4;
                return true;
            }

            if (used == buffer.Length)
            {
                Refuse(connection, 431);
                return false;
            }

            int got = connection.Receive(buffer.AsSpan(used));
            if (got == 0)
            {
                return false;
            }

            used += got;
        }
    }

    private static HttpExchange Parse(Socket connection, ReadOnlySpan<byte> head, out long bodyBytes)
    {
        string[] lines = Encoding.Latin1.GetString(head).Split("\r\n", StringSplitOptions.RemoveEmptyEntries);
        string[] words = lines.Length > 0 ? lines[0].Split(' ') : [];
        var headers = new Dictionary<string, string>(StringComparer.Ordinal);
        bool sound = words.Length == 3 && words[1].StartsWith('/') && words[2] is "HTTP/1.1" or "HTTP/1.0" && lines.Length <= MostHeaders;
        foreach (string line in lines.Skip(1))
        {
            int colon = line.IndexOf(':', StringComparison.Ordinal);
            sound &= colon > 0;
            if (colon > 0)
            {
                headers[line[..colon].ToLowerInvariant()] = line[(colon + 1)..].Trim();
            }
        }

        bodyBytes = 0;
        sound &= !headers.ContainsKey("transfer-encoding")
            && (!headers.TryGetValue("content-length", out string? length) || (long.TryParse(length, out bodyBytes) && bodyBytes >= 0));
        bool keep = sound && words[2] == "HTTP/1.1" && !string.Equals(headers.GetValueOrDefault("connection"), "close", StringComparison.OrdinalIgnoreCase);
        var exchange = new HttpExchange(connection, sound ? words[0] : "GET", sound ? words[1] : "/", keep, headers);
        if (!sound)
        {
            exchange.Send(400, "text/plain", "bad request\n"u8);
        }

        return exchange;
    }

    // Bodies are of no use to what is served here; they are passed over so that the connection can go on.
    private static bool SkipBody(Socket connection, byte[] buffer, ref int used, long bytes)
    {
        const long MostBody = 1 << 20;
        if (bytes > MostBody)
        {
            Refuse(connection, 413);
            return false;
        }

        int here = (int)Math.Min(used, bytes);
        buffer.AsSpan(here, used - here).CopyTo(buffer);
        used -= here;
        for (long left = bytes - here; left > 0;)
        {
            int got = connection.Receive(buffer.AsSpan(0, (int)Math.Min(left, buffer.Length)));
            if (got == 0)
            {
                return false;
            }

            left -= got;
        }

        return true;
    }

    private static void Refuse(Socket connection, int status) =>
        new HttpExchange(connection, "GET", "/", keepAlive: false, new Dictionary<string, string>()).Send(status, "text/plain", "refused\n"u8);
}
