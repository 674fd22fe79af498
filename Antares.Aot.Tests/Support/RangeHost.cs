using System.Globalization;
using System.Net;
using Antares.Aot.Diagnostics;
using Antares.Aot.Server;

namespace Antares.Aot.Tests.Support;

/// <summary>How a <see cref="RangeHost"/> answers.</summary>
public enum RangeQuirk
{
    None,

    /// <summary>The whole file, whatever was asked for.</summary>
    Whole,

    /// <summary>500.</summary>
    Fails,

    /// <summary>The connection ends before an answer.</summary>
    Drops,

    /// <summary>It ends within the content.</summary>
    CutsOff,

    /// <summary>Content-Range says another place.</summary>
    OtherPlace,

    /// <summary>The content is of another place than Content-Range says.</summary>
    OtherBytes,

    /// <summary>One bit of the content is another.</summary>
    Flips,

    /// <summary>Content as short as half of it, and told so.</summary>
    Short,

    /// <summary>401.</summary>
    Refuses,

    /// <summary>No Content-Range.</summary>
    NoPlace,
}

/// <summary>One file on a web server with ranges, in the test's own process; as difficult as is wanted.</summary>
internal sealed class RangeHost : IDisposable
{
    private readonly HttpServer _server;
    private readonly List<(long From, long To, int Status)> _seen = [];
    private readonly Lock _lock = new();
    private int _underWay;

    public RangeHost(byte[] content, int port = 0)
    {
        Content = content;
        _server = new HttpServer(new IPEndPoint(IPAddress.Loopback, port), Count, Log.Off);
        _server.Start();
    }

    public byte[] Content { get; set; }

    /// <summary>Null: none is sent.</summary>
    public string? ETag { get; set; } = "\"v1\"";

    /// <summary>Null: none is sent.</summary>
    public DateTimeOffset? Modified { get; set; }

    /// <summary>If-Match, If-Range and If-Unmodified-Since are passed over.</summary>
    public bool HeedsNoCondition { get; set; }

    public RangeQuirk Quirk { get; set; }

    /// <summary>For so many answers the quirk counts; then the server is well.</summary>
    public int QuirkLeft { get; set; } = int.MaxValue;

    /// <summary>Applies from this byte of the file on.</summary>
    public long QuirkFrom { get; set; }

    /// <summary>Before the answer to a part that begins at or behind <see cref="QuirkFrom"/>.</summary>
    public int DelayMs { get; set; }

    /// <summary>Where everything is redirected to; null: nowhere.</summary>
    public string? Elsewhere { get; set; }

    /// <summary>What was sent as Authorization, last.</summary>
    public string? Authorization { get; private set; }

    public int Port => _server.Address.Port;

    public string Url => $"http://{_server.Address}/trees/linux.dic";

    /// <summary>First and last byte of each answer, and its status; without a range -1.</summary>
    public List<(long From, long To, int Status)> Seen
    {
        get
        {
            Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref _underWay) == 0, 10_000), "the server is at work");
            lock (_lock)
                return [.. _seen];
        }
    }

    public void Forget()
    {
        _ = Seen;
        lock (_lock)
            _seen.Clear();
    }

    public void Dispose() => _server.Dispose();

    private void Count(HttpExchange exchange)
    {
        Interlocked.Increment(ref _underWay);
        try
        {
            Answer(exchange);
        }
        finally
        {
            Interlocked.Decrement(ref _underWay);
        }
    }

    private void Answer(HttpExchange exchange)
    {
        Authorization = exchange.Headers.GetValueOrDefault("authorization");
        if (Elsewhere is { } place)
        {
            exchange.Send(302, "text/plain", default, ("Location", place));
            return;
        }
        byte[] content = Content;
        long from = -1, to = -1;
        if (exchange.Headers.TryGetValue("range", out string? range))
        {
            string[] ends = range["bytes=".Length..].Split('-');
            from = long.Parse(ends[0], CultureInfo.InvariantCulture);
            to = Math.Min(long.Parse(ends[1], CultureInfo.InvariantCulture), content.Length - 1);
        }
        RangeQuirk quirk = Take(from);
        if (from >= QuirkFrom)
            Thread.Sleep(DelayMs);
        int status = quirk switch
        {
            RangeQuirk.Fails => 500,
            RangeQuirk.Refuses => 401,
            _ when IsUnchanged(exchange) => 304,
            _ when IsChanged(exchange) => 412,
            RangeQuirk.Whole => 200,
            _ when from < 0 => 200,
            _ when from >= content.Length => 416,
            _ => 206,
        };
        lock (_lock)
            _seen.Add((from, to, status));
        if (quirk == RangeQuirk.Drops)
            exchange.Abort();
        else if (status is 200 or 206)
            Send(exchange, status, status == 200 ? 0 : from, status == 200 ? content.Length - 1 : to, content, quirk);
        else
            exchange.Send(status, "text/plain", default, Version());
    }

    private RangeQuirk Take(long from)
    {
        lock (_lock)
        {
            if (Quirk == RangeQuirk.None || QuirkLeft == 0 || Math.Max(from, 0) < QuirkFrom)
                return RangeQuirk.None;
            QuirkLeft--;
            return Quirk;
        }
    }

    private bool IsUnchanged(HttpExchange exchange) =>
        (ETag is not null && exchange.Headers.GetValueOrDefault("if-none-match") == ETag)
        || (ETag is null && Modified is { } time && exchange.Headers.GetValueOrDefault("if-modified-since") == time.ToString("R"));

    private bool IsChanged(HttpExchange exchange) => !HeedsNoCondition
        && ((exchange.Headers.TryGetValue("if-match", out string? tag) && tag != ETag)
            || (exchange.Headers.TryGetValue("if-unmodified-since", out string? time) && Modified > DateTimeOffset.Parse(time, CultureInfo.InvariantCulture)));

    private (string, string)[] Version()
    {
        var headers = new List<(string, string)>();
        if (ETag is not null)
            headers.Add(("ETag", ETag));
        if (Modified is { } time)
            headers.Add(("Last-Modified", time.ToString("R")));
        return [.. headers];
    }

    private void Send(HttpExchange exchange, int status, long from, long to, byte[] content, RangeQuirk quirk)
    {
        byte[] part = content[(int)from..(int)(to + 1)];
        long shift = quirk == RangeQuirk.OtherPlace ? -1 : 0;
        switch (quirk)
        {
            case RangeQuirk.OtherBytes:
                int other = from == 0 ? 1 : 0;
                part = content[other..(other + part.Length)];
                break;
            case RangeQuirk.Flips:
                part[part.Length / 2] ^= 4;
                break;
            case RangeQuirk.Short:
                part = part[..(part.Length / 2)];
                break;
        }
        (string, string)[] headers = [.. Version()];
        if (status == 206 && quirk != RangeQuirk.NoPlace)
            headers = [.. headers, ("Content-Range", string.Create(CultureInfo.InvariantCulture, $"bytes {from + shift}-{to + shift}/{content.Length}"))];
        exchange.Begin(status, "application/octet-stream", part.Length, headers);
        if (quirk == RangeQuirk.CutsOff)
        {
            exchange.Write(part.AsSpan(0, part.Length / 3));
            exchange.Abort();
            return;
        }
        exchange.Write(part);
    }
}
