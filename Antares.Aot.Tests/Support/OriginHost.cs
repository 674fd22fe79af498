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

    public OriginHost(string repository, params string[] quirks)
    {
        _api = new OriginApi(
            new GitObjects(repository),
            new OriginQuirks(quirks.Select(text => OriginQuirks.Parse(text) ?? throw new ArgumentException(text))),
            exchange =>
            {
                lock (_seen)
                    _seen.Add($"{exchange.Method} {exchange.Target}");
            });
        _server = new HttpServer(new IPEndPoint(IPAddress.Loopback, 0), _api.Answer, Log.Off);
        _server.Start();
    }

    public string Url => $"http://{_server.Address}";

    /// <summary>Requests answered so far.</summary>
    public List<string> Seen
    {
        get
        {
            lock (_seen)
                return [.. _seen];
        }
    }

    public int Count(string part) => Seen.Count(request => request.Contains(part, StringComparison.Ordinal));

    public void Dispose()
    {
        _server.Dispose();
        _api.Dispose();
    }
}
