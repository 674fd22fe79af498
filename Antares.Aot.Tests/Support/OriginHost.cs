using System.Net;
using Antares.Aot.Diagnostics;
using Antares.Aot.Origin;
using Antares.Aot.Server;

namespace Antares.Aot.Tests.Support;

/// <summary>The origin of this program in the test's own process, on loopback.</summary>
internal sealed class OriginHost : IDisposable
{
    private readonly OriginApi _api;
    private readonly HttpServer _server;
    private readonly List<string> _seen = [];
    private int _underWay;
    private int _mostUnderWay;

    public OriginHost(string repository, params string[] quirks)
        : this(repository, 0, [], quirks)
    {
    }

    /// <param name="repository">What is served.</param>
    /// <param name="port">0 takes a free one; that of an earlier origin makes this the same server for those who know it.</param>
    /// <param name="quirks">How to be difficult.</param>
    public OriginHost(string repository, int port, params string[] quirks)
        : this(repository, port, [], quirks)
    {
    }

    /// <param name="repository">What is served.</param>
    /// <param name="changelists">LINK=FROM..TO[:/PATH].</param>
    /// <param name="quirks">How to be difficult.</param>
    public OriginHost(string repository, IEnumerable<string> changelists, string[] quirks)
        : this(repository, 0, changelists, quirks)
    {
    }

    private OriginHost(string repository, int port, IEnumerable<string> changelists, string[] quirks)
    {
        _api = new OriginApi(
            new GitObjects(repository),
            new OriginQuirks(quirks.Select(text => OriginQuirks.Parse(text) ?? throw new ArgumentException(text))),
            exchange =>
            {
                lock (_seen)
                    _seen.Add($"{exchange.Method} {exchange.Target}");
            },
            changelists.Select(text => OriginChangelist.Parse(text) ?? throw new ArgumentException(text)));
        _server = new HttpServer(new IPEndPoint(IPAddress.Loopback, port), Answer, Log.Off);
        _server.Start();
    }

    public string Url => $"http://{_server.Address}";

    /// <summary>Requests being answered.</summary>
    public int UnderWay => Volatile.Read(ref _underWay);

    /// <summary>Requests that were being answered at a time at most.</summary>
    public int MostUnderWay => Volatile.Read(ref _mostUnderWay);

    public int Port => _server.Address.Port;

    /// <summary>Requests answered so far. One whose answer is on its way is waited for: the client may have it before it is noted here.</summary>
    public List<string> Seen
    {
        get
        {
            Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref _underWay) == 0, 10_000), "the origin is at work");
            lock (_seen)
                return [.. _seen];
        }
    }

    public int Count(string part) => Seen.Count(request => request.Contains(part, StringComparison.Ordinal));

    private void Answer(HttpExchange exchange)
    {
        int now = Interlocked.Increment(ref _underWay);
        lock (_seen)
            _mostUnderWay = Math.Max(_mostUnderWay, now);
        try
        {
            _api.Answer(exchange);
        }
        finally
        {
            Interlocked.Decrement(ref _underWay);
        }
    }

    public void Dispose()
    {
        _server.Dispose();
        _api.Dispose();
    }
}
