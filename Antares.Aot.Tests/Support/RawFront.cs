using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Antares.Aot.Tests.Support;

/// <summary>Stands before a server on loopback: counts connections and requests, serves as an HTTP proxy, and may answer by itself, in whatever form.</summary>
internal sealed class RawFront : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly int _port;
    private readonly Func<string, Stream, bool>? _answer;
    private int _connections;
    private int _requests;

    /// <param name="port">Of the server.</param>
    /// <param name="answer">Told the first line of a request; true: it has written an answer, after which the connection ends.</param>
    public RawFront(int port, Func<string, Stream, bool>? answer = null)
    {
        _port = port;
        _answer = answer;
        _listener.Start();
        new Thread(Accept) { IsBackground = true }.Start();
    }

    public string Url => $"http://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}";

    public int Connections => Volatile.Read(ref _connections);

    public int Requests => Volatile.Read(ref _requests);

    public void Dispose()
    {
        _listener.Stop();
        _listener.Dispose();
    }

    private void Accept()
    {
        while (true)
        {
            TcpClient client;
            try
            {
                client = _listener.AcceptTcpClient();
            }
            catch (Exception error) when (error is SocketException or ObjectDisposedException or InvalidOperationException)
            {
                return; // the end
            }
            Interlocked.Increment(ref _connections);
            new Thread(() => Serve(client)) { IsBackground = true }.Start();
        }
    }

    private void Serve(TcpClient client)
    {
        try
        {
            using (client)
            using (var server = new TcpClient("127.0.0.1", _port) { NoDelay = true })
            {
                client.NoDelay = true;
                NetworkStream from = client.GetStream(), to = server.GetStream();
                while (ReadHead(from) is { Length: > 0 } head)
                {
                    Interlocked.Increment(ref _requests);
                    string[] words = head[..head.IndexOf('\r', StringComparison.Ordinal)].Split(' ');
                    // A proxy is asked for whole addresses.
                    string target = words[1].StartsWith("http://", StringComparison.Ordinal) ? new Uri(words[1]).PathAndQuery : words[1];
                    string line = $"{words[0]} {target} {words[2]}";
                    if (_answer?.Invoke(line, from) == true)
                        return;
                    to.Write(Encoding.Latin1.GetBytes(line + head[head.IndexOf('\r', StringComparison.Ordinal)..]));
                    string answer = ReadHead(to);
                    from.Write(Encoding.Latin1.GetBytes(answer));
                    string? length = answer.Split("\r\n").FirstOrDefault(header => header.StartsWith("Content-Length:", StringComparison.OrdinalIgnoreCase));
                    long left = words[0] == "HEAD" || length is null ? 0 : long.Parse(length[15..]);
                    byte[] buffer = new byte[64 << 10];
                    while (left > 0)
                    {
                        int got = to.Read(buffer, 0, (int)Math.Min(left, buffer.Length));
                        if (got == 0)
                            return;
                        from.Write(buffer, 0, got);
                        left -= got;
                    }
                }
            }
        }
        catch (Exception error) when (error is IOException or SocketException or ObjectDisposedException)
        {
            // One of the two has gone, which the other one sees by the end of the connection.
        }
    }

    private static string ReadHead(NetworkStream stream)
    {
        var head = new StringBuilder();
        while (!(head.Length >= 4 && head[^1] == '\n' && head[^2] == '\r' && head[^3] == '\n'))
        {
            int next = stream.ReadByte();
            if (next < 0)
                return "";
            head.Append((char)next);
        }
        return head.ToString();
    }
}
