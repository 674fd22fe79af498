using System.Diagnostics;
using System.Net;
using System.Text;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Layers;
using Antares.Aot.Server;
using Antares.Aot.Tests.Support;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>Servers that lie, break off, hang or are away: an error with its reason, in bounded time, and never "no such file".</summary>
public sealed class MegaFailureTests : IDisposable
{
    private readonly ScratchFolder _scratch = new();
    private readonly GitRepository _repository;
    private int _stores;

    public MegaFailureTests()
    {
        _repository = new GitRepository(_scratch.Join("repo"));
        _repository.CommitSample();
    }

    public void Dispose() => _scratch.Dispose();

    [Theory]
    [InlineData("fail=2")]
    [InlineData("drop=2")]
    [InlineData("truncate=3")]
    [InlineData("wrong=2")]
    [InlineData("slow=30")]
    public void WhatPassesIsTriedAgain(string quirk)
    {
        using var origin = new OriginHost(_repository.Path, quirk);
        using MegaTree tree = Open(origin.Url);
        Assert.Equal(MegaTree.Checkout(_repository.Path), tree.Walk());
        // A connection that ends before any answer may be tried again below the client.
        if (!quirk.StartsWith("slow", StringComparison.Ordinal) && !quirk.StartsWith("drop", StringComparison.Ordinal))
            Assert.True(tree.Source.Client.Retries > 0);
    }

    [Theory]
    [InlineData("fail@/file/blob/", Errno.EIO, "500 Internal server error (2 tries)")]
    [InlineData("drop@/file/blob/", Errno.EIO, "broke off")]
    [InlineData("truncate@/file/blob/", Errno.EIO, "cut off")]
    [InlineData("wrong@/file/blob/", Errno.EIO, "does not match its id")]
    [InlineData("length=5@/file/blob/", Errno.EIO, "does not match its id")]
    [InlineData("length=7000@/file/blob/", Errno.EIO, "cut off")]
    [InlineData("length=100000000000@/file/blob/", Errno.EIO, "more than the")]
    [InlineData("html@/file/blob/", Errno.EIO, "does not match its id")]
    [InlineData("redirect@/file/blob/", Errno.EIO, "redirects")]
    public void ABlobThatIsNotWhatItsIdSaysIsNeverShown(string quirk, Errno expected, string reason)
    {
        using var origin = new OriginHost(_repository.Path, quirk);
        using MegaTree tree = Open(origin.Url);
        uint file = tree.Layer.Find("README");
        (Errno error, string said) = Getattr(tree, file);
        Assert.Equal(expected, error);
        Assert.Contains(reason, said);
        Assert.Equal(Errno.ENOENT, tree.Layer.TryFind(ILayer.RootNode, "absent"u8, out _));
    }

    [Theory]
    [InlineData("fail@/file/tree?path=%2Fsrc", "500")]
    [InlineData("html@/file/tree?path=%2Fsrc", "")]
    [InlineData("drop@path=%2Fsrc", "broke off")]
    [InlineData("redirect@path=%2Fsrc", "redirects")]
    public void ADirectoryThatCannotBeListedIsAnError(string quirk, string reason)
    {
        using var origin = new OriginHost(_repository.Path, quirk);
        using MegaTree tree = Open(origin.Url);
        Errno error = tree.Layer.TryFind(tree.Layer.Find("src"), "main.c"u8, out _);
        if (reason.Length == 0)
        {
            // A page instead of a raw tree is no raw tree; the listing serves.
            Assert.Equal(Errno.None, error);
            return;
        }
        Assert.Equal(Errno.EIO, error);
        Assert.Contains(reason, Failure.Call);
        Assert.Equal(Errno.None, tree.Layer.TryFind(ILayer.RootNode, "README"u8, out _));
    }

    [Theory]
    [InlineData("..")]
    [InlineData(".")]
    [InlineData("a%2Fb")]
    [InlineData("a%00b")]
    [InlineData("%2E%2E")]
    [InlineData("README")]
    [InlineData("src")]
    [InlineData("")]
    public void NamesThatAreNoneAreRefused(string name)
    {
        using var origin = new OriginHost(_repository.Path, $"name={name}");
        MegaProblem? problem = null;
        try
        {
            using MegaTree tree = Open(origin.Url);
            Errno error = tree.Layer.TryFind(ILayer.RootNode, "README"u8, out _);
            Assert.Equal(Errno.EIO, error);
        }
        catch (MegaProblem told)
        {
            problem = told;
        }
        if (problem is not null)
            Assert.Contains("name", problem.Message);
    }

    [Theory]
    [InlineData("fail", "500")]
    [InlineData("html", "not what a Mega server says")]
    [InlineData("redirect", "redirects")]
    [InlineData("drop", "broke off")]
    [InlineData("truncate", "cut off")]
    public void AServerThatIsNoneEndsTheMount(string quirk, string reason)
    {
        using var origin = new OriginHost(_repository.Path, quirk);
        MegaProblem problem = Assert.Throws<MegaProblem>(() => Open(origin.Url));
        Assert.Contains(reason, problem.Message);
    }

    [Fact]
    public void AnAddressWhereNobodyListensIsToldSo()
    {
        string url;
        using (var origin = new OriginHost(_repository.Path))
            url = origin.Url;
        MegaProblem problem = Assert.Throws<MegaProblem>(() => Open(url));
        Assert.Contains($"cannot connect to {url}", problem.Message);
        problem = Assert.Throws<MegaProblem>(() => Open("http://no-such-host.invalid"));
        Assert.Contains("cannot be resolved", problem.Message);
    }

    [Fact]
    public void WrongPathsAndRevisionsAreToldSo()
    {
        using var origin = new OriginHost(_repository.Path);
        Assert.Contains("no such directory", Assert.Throws<MegaProblem>(() => Open(origin.Url + "/absent")).Message);
        Assert.Contains("is a file", Assert.Throws<MegaProblem>(() => Open(origin.Url + "/README")).Message);
        string message = Assert.Throws<MegaProblem>(() => Open(origin.Url + "/@no-such-tag")).Message;
        Assert.Contains("404", message);
        Assert.DoesNotContain("is it a", message);
        _repository.Git("tag v1");
        using MegaTree tree = Open(origin.Url + "/src@v1");
        tree.Layer.Find("main.c");
    }

    [Fact]
    public void AHangingBlobHoldsUpNothingElse()
    {
        string id = _repository.Git("rev-parse HEAD:README");
        using var origin = new OriginHost(_repository.Path, $"slow=3000@{id}");
        using MegaTree tree = Open(origin.Url, options => options with { RequestMs = 500 });
        uint slow = tree.Layer.Find("README");
        var clock = Stopwatch.StartNew();
        (Errno error, string said) = Getattr(tree, slow);
        Assert.Equal(Errno.ETIMEDOUT, error);
        Assert.Contains("still being fetched", said);
        tree.Layer.Read(tree.Layer.Find("src/main.c"), 0, 10);
        Assert.True(clock.ElapsedMilliseconds < 2500, $"{clock.ElapsedMilliseconds} ms");
        // What is under way goes on: asked again it is there, after one request in all.
        while (Getattr(tree, slow).Error == Errno.ETIMEDOUT)
            Assert.True(clock.ElapsedMilliseconds < 20_000);
        Assert.Equal("hello\n"u8.ToArray(), tree.Layer.Read(slow, 0, 100));
        Assert.Equal(1, origin.Count(id));
    }

    [Fact]
    public void ALengthThatChangesIsAnError()
    {
        string id = _repository.Git("rev-parse HEAD:README");
        using var origin = new OriginHost(_repository.Path);
        using MegaTree tree = Open(origin.Url);
        uint file = tree.Layer.Find("README");
        tree.Source.Store.Sizes.Add(ObjectId.TryParse(id, out ObjectId parsed) ? parsed : default, 4);
        Assert.Equal(4, tree.Layer.Getattr(file).st_size);
        Assert.Equal(Errno.EIO, tree.Layer.TryRead(file, 0, new byte[4], out _));
        Assert.Contains("told 4 before", Failure.Call);
    }

    [Theory]
    [InlineData(2_000_000, "bytes")]
    [InlineData(600_000, "more than 500000 entries")]
    public void AnEndlessListingIsRefused(int entries, string reason)
    {
        byte[] one = Encoding.UTF8.GetBytes("""{"name":"n","content_type":"file","oid":"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"},""");
        using var server = Lying(exchange =>
        {
            if (exchange.Path.EndsWith("content-hash", StringComparison.Ordinal))
            {
                byte[] start = Encoding.UTF8.GetBytes("""{"req_result":true,"data":[""");
                exchange.Begin(200, "application/json", start.Length + ((long)one.Length * entries));
                exchange.Write(start);
                for (int i = 0; i < entries; i++)
                    exchange.Write(one);
                return true;
            }
            return false;
        });
        long before = GC.GetTotalMemory(forceFullCollection: true);
        MegaProblem problem = Assert.Throws<MegaProblem>(() => Open($"http://{server.Address}"));
        Assert.Contains(reason, problem.Message);
        Assert.True(GC.GetTotalMemory(forceFullCollection: true) - before < 64 << 20);
    }

    [Fact]
    public void ARefusalIsEacces()
    {
        using var server = Lying(exchange =>
        {
            if (exchange.Headers.GetValueOrDefault("authorization") == "Bearer secret" && exchange.Headers.GetValueOrDefault("x-team") == "blue")
                return false;
            exchange.Send(401, "application/json", """{"req_result":false,"data":null,"err_message":"log in first"}"""u8);
            return true;
        });
        MegaProblem problem = Assert.Throws<MegaProblem>(() => Open($"http://{server.Address}", options => options with { Token = "other" }));
        Assert.Equal(Errno.EACCES, problem.Error);
        Assert.Contains("401 log in first", problem.Message);
        Assert.DoesNotContain("other", problem.Message);
        problem = Assert.Throws<MegaProblem>(() => Open($"http://{server.Address}", options => options with { Token = "secret", Headers = [new("X-Team", "blue")] }));
        Assert.Contains("404 nothing; is it a monorepo (Mega) server?", problem.Message);
    }

    [Fact]
    public void APlainServerThatIsAskedByHttpsIsExplained()
    {
        using var origin = new OriginHost(_repository.Path);
        MegaProblem problem = Assert.Throws<MegaProblem>(() => Open(origin.Url.Replace("http:", "https:", StringComparison.Ordinal), options => options with { RequestMs = 2000 }));
        Assert.Contains("address begins with http:", problem.Message);
        Assert.Contains("TLS", problem.Message);
    }

    [Fact]
    public void SecretsDoNotFollowARedirectElsewhere()
    {
        var seen = new List<string?>();
        using var other = Lying(exchange =>
        {
            seen.Add(exchange.Headers.GetValueOrDefault("authorization"));
            return false;
        });
        using var server = Lying(exchange =>
        {
            exchange.Send(302, "text/plain", "there"u8, ("Location", $"http://{other.Address}/"));
            return true;
        });
        MegaProblem problem = Assert.Throws<MegaProblem>(() => Open($"http://{server.Address}", options => options with { Token = "secret" }));
        Assert.Contains("redirected to another server", problem.Message);
        Assert.Empty(seen);
    }

    /// <summary>A server that says what the test wants, and 404 otherwise.</summary>
    private static HttpServer Lying(Func<HttpExchange, bool> answer)
    {
        var server = new HttpServer(new IPEndPoint(IPAddress.Loopback, 0), exchange =>
        {
            if (answer(exchange))
                return;
            if (exchange.Path.EndsWith("latest-commit", StringComparison.Ordinal) && exchange.Headers.GetValueOrDefault("authorization") is null)
                exchange.Send(200, "application/json", """{"oid":"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391","date":"1700000000"}"""u8);
            else
                exchange.Send(404, "text/plain", "nothing\n"u8);
        }, Log.Off);
        server.Start();
        return server;
    }

    private static unsafe (Errno Error, string Said) Getattr(MegaTree tree, uint node)
    {
        stat attributes;
        Errno error = tree.Layer.GetattrWithMapping(node, true, &attributes);
        return (error, Failure.Call ?? "");
    }

    private MegaTree Open(string url, Func<MegaOptions, MegaOptions>? change = null) =>
        new(url.Contains('/', StringComparison.Ordinal) && new Uri(url).AbsolutePath.Length > 1 ? url : url + "/", _scratch.Join($"store{_stores++}"),
            options => change is null ? options with { Attempts = 2 } : change(options with { Attempts = 2 }));
}
