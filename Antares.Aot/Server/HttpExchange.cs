using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Antares.Aot.Server;

/// <summary>One request and the answer to it, on the connection's thread. What cannot be sent ends the connection.</summary>
public sealed class HttpExchange
{
    private readonly Socket _socket;
    private long _left;

    internal HttpExchange(Socket socket, string method, string target, bool keepAlive, IReadOnlyDictionary<string, string> headers)
    {
        _socket = socket;
        Method = method;
        Target = target;
        Headers = headers;
        KeepAlive = keepAlive;
        int question = target.IndexOf('?', StringComparison.Ordinal);
        Path = Uri.UnescapeDataString(question < 0 ? target : target[..question]);
        Query = ParseQuery(question < 0 ? "" : target[(question + 1)..]);
    }

    public string Method { get; }

    /// <summary>Path and query as they came.</summary>
    public string Target { get; }

    /// <summary>Decoded path.</summary>
    public string Path { get; }

    /// <summary>Decoded values; the last of a name counts.</summary>
    public IReadOnlyDictionary<string, string> Query { get; }

    /// <summary>Names in lower case.</summary>
    public IReadOnlyDictionary<string, string> Headers { get; }

    public bool IsHead => Method == "HEAD";

    /// <summary>Status of the answer; 0 before there is one.</summary>
    public int Status { get; private set; }

    /// <summary>Bytes of content sent.</summary>
    public long Sent { get; private set; }

    /// <summary>The connection can take another request after this one.</summary>
    public bool KeepAlive { get; private set; }

    /// <summary>A whole answer.</summary>
    public void Send(int status, string type, ReadOnlySpan<byte> content, params ReadOnlySpan<(string Name, string Value)> headers)
    {
        Begin(status, type, content.Length, headers);
        if (!IsHead)
        {
            Write(content);
        }
    }

    /// <summary>The head of an answer; <see cref="Write"/> follows until <paramref name="length"/> bytes are sent (not after HEAD).</summary>
    public void Begin(int status, string type, long length, params ReadOnlySpan<(string Name, string Value)> headers)
    {
        Status = status;
        _left = IsHead ? 0 : length;
        var head = new StringBuilder();
        _ = head.Append(CultureInfo.InvariantCulture, $"HTTP/1.1 {status} {Reason(status)}\r\nContent-Type: {type}\r\nContent-Length: {length}\r\n");
        foreach ((string name, string value) in headers)
        {
            _ = head.Append(CultureInfo.InvariantCulture, $"{name}: {value}\r\n");
        }

        _ = head.Append(KeepAlive ? "\r\n" : "Connection: close\r\n\r\n");
        SendAll(Encoding.ASCII.GetBytes(head.ToString()));
    }

    /// <summary>Content of the answer begun.</summary>
    public void Write(ReadOnlySpan<byte> content)
    {
        if (content.Length > _left)
        {
            throw new InvalidOperationException("more content than was announced");
        }

        _left -= content.Length;
        Sent += content.Length;
        SendAll(content);
    }

    /// <summary>Ends the connection without the rest of the answer.</summary>
    public void Abort() => KeepAlive = false;

    internal bool IsComplete => Status != 0 && _left == 0;

    private static Dictionary<string, string> ParseQuery(string text)
    {
        var result = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string pair in text.Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            int equals = pair.IndexOf('=', StringComparison.Ordinal);
            string name = equals < 0 ? pair : pair[..equals];
            string value = equals < 0 ? "" : pair[(equals + 1)..].Replace('+', ' ');
            result[Uri.UnescapeDataString(name)] = Uri.UnescapeDataString(value);
        }

        return result;
    }

    private static string Reason(int status) => status switch
    {
        200 => "OK",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    };

    private void SendAll(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[_socket.Send(bytes)..];
        }
    }
}
