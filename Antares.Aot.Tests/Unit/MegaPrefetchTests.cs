using System.Text;
using Antares.Aot.Dicfuse;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Layers;
using Antares.Aot.Tests.Support;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>What is fetched before somebody asks: what was named, or what an earlier mount touched, and nothing else.</summary>
public sealed class MegaPrefetchTests : IDisposable
{
    private readonly ScratchFolder _scratch = new();
    private readonly GitRepository _repository;
    private int _stores;

    public MegaPrefetchTests()
    {
        _repository = new GitRepository(_scratch.Join("repo"));
        _repository.CommitSample();
        _repository.Commit("mkdir -p lib/a/deep lib/b; for i in 1 2 3; do echo a$i > lib/a/x$i.c; echo b$i > lib/b/y$i.h; echo d$i > lib/a/deep/z$i.c; done");
    }

    public void Dispose() => _scratch.Dispose();

    [Theory]
    [InlineData("lib/a", "lib/a/deep/z1.c lib/a/deep/z2.c lib/a/deep/z3.c lib/a/x1.c lib/a/x2.c lib/a/x3.c")]
    [InlineData("lib/*/x?.c", "lib/a/x1.c lib/a/x2.c lib/a/x3.c")]
    [InlineData("lib/**/*2.c", "lib/a/deep/z2.c lib/a/x2.c")]
    [InlineData("**/y1.h", "lib/b/y1.h")]
    [InlineData("lib/**/deep", "lib/a/deep/z1.c lib/a/deep/z2.c lib/a/deep/z3.c")]
    [InlineData("lib/b/**", "lib/b/y1.h lib/b/y2.h lib/b/y3.h")]
    [InlineData("/lib/b/y1.h/", "lib/b/y1.h")]
    [InlineData("lib/b/y1.h/more", "")]
    [InlineData("absent/*", "")]
    [InlineData("src/l*", "src/link")]
    [InlineData("odd + names/*", "odd + names/a&b=c%20?d#e|odd + names/ümläut")]
    public void WhatAPatternNamesIsInTheStore(string pattern, string expected)
    {
        using var origin = new OriginHost(_repository.Path);
        using MegaTree tree = Open(origin.Url, Patterns(pattern));
        Finish(tree);
        string[] paths = expected.Split(expected.Contains('|', StringComparison.Ordinal) ? '|' : expected.Contains('+', StringComparison.Ordinal) ? '|' : ' ', StringSplitOptions.RemoveEmptyEntries);
        string[] wanted = [.. paths.Select(path => _repository.Git($"rev-parse 'HEAD:{path}'")).Order()];
        Assert.Equal(wanted, origin.Seen.Where(request => request.Contains("/blob/", StringComparison.Ordinal)).Select(request => request[^40..]).Order());
        Assert.Equal((wanted.Length, 0), (tree.Source.Prefetcher!.Files, tree.Source.Prefetcher.Failed));
        // Nobody has to wait for them any more.
        int asked = origin.Seen.Count;
        foreach (string path in paths.Where(path => path != "src/link"))
            Assert.Equal(File.ReadAllBytes(_scratch.Join($"repo/{path}")), tree.Layer.Read(Find(tree, path), 0, 1000));
        Assert.Equal(asked, origin.Seen.Count);
    }

    [Theory]
    [InlineData("")]
    [InlineData("/")]
    [InlineData("a/../b")]
    [InlineData("./a")]
    [InlineData("a\0b")]
    public void APatternThatLeadsElsewhereIsNone(string text) => Assert.Null(PathPattern.Parse(text));

    [Fact]
    public void WhatWasTouchedIsFetchedAheadTheNextTime()
    {
        byte[] list = [];
        using var origin = new OriginHost(_repository.Path);
        using (var tree = new MegaTree(origin.Url + "/", NewStore(), recorded: text => list = text.Span.ToArray()))
        {
            tree.Layer.StartOthers();
            Assert.Equal(3, tree.Layer.Read(Find(tree, "lib/a/x2.c"), 0, 100).Length);
            Assert.Equal("x"u8.ToArray(), tree.Layer.Read(Find(tree, "odd + names/a&b=c%20?d#e"), 0, 100));
            Assert.Equal("../README", tree.Layer.Readlink(tree.Layer.Find("src/link")));
            Assert.Equal(Errno.ENOENT, tree.Layer.TryFind(tree.Layer.Find("lib/b"), "absent.h"u8, out _));
        }
        Assert.Equal("antares-access 1\nD /\nD /lib\nD /lib/a\nF /lib/a/x2.c\nD /odd + names\nF /odd + names/a&b=c%2520?d#e\nD /src\nF /src/link\nD /lib/b\n", Encoding.UTF8.GetString(list));

        string store = NewStore();
        int before = origin.Seen.Count;
        var again = new byte[0];
        using (var tree = new MegaTree(origin.Url + "/", store, ahead: new PrefetchPlan([], () => list, long.MaxValue), recorded: text => again = text.Span.ToArray()))
        {
            Finish(tree);
            Assert.Equal(3, origin.Seen.Skip(before).Count(request => request.Contains("/blob/", StringComparison.Ordinal)));
            int asked = origin.Seen.Count;
            Assert.Equal("a2\n"u8.ToArray(), tree.Layer.Read(Find(tree, "lib/a/x2.c"), 0, 100));
            Assert.Equal(Errno.ENOENT, tree.Layer.TryFind(tree.Layer.Find("lib/b"), "absent.h"u8, out _));
            Assert.Equal(asked, origin.Seen.Count);
        }
        // What was fetched ahead and not touched falls out of the list.
        Assert.Equal("antares-access 1\nD /\nD /lib\nD /lib/a\nF /lib/a/x2.c\nD /lib/b\n", Encoding.UTF8.GetString(again));
    }

    [Theory]
    [InlineData("something else\n", 0)]
    [InlineData("antares-access 1\nF /gone\nF /lib/a/x1.c\nF /README/below\nD /lib/a/x1.c\n", 1)]
    [InlineData("antares-access 1\nF /lib/a/x1.c\nF lib/a/x2.c\nF /lib/a/x3.c\n", 1)]
    [InlineData("antares-access 1\nF /lib/a/x1.c\nF /lib/a/x2", 1)]
    [InlineData("antares-access 1\nF /../../etc/passwd\nF /%zz\nF /lib/./a/x1.c\n", 0)]
    public void AListThatDoesNotFitDoesNoHarm(string list, int files)
    {
        using var origin = new OriginHost(_repository.Path);
        using MegaTree tree = Open(origin.Url, new PrefetchPlan([], () => Encoding.UTF8.GetBytes(list), long.MaxValue));
        Finish(tree);
        Assert.Equal((files, 0), (tree.Source.Prefetcher!.Files, tree.Source.Prefetcher.Failed));
    }

    [Fact]
    public void NamesInAListComeBackAsTheyWere()
    {
        var random = new Random(5);
        byte[] room = new byte[256];
        for (int round = 0; round < 2000; round++)
        {
            byte[] name = [.. Enumerable.Range(0, random.Next(1, 256)).Select(_ => (byte)(random.Next(4) == 0 ? "%\n25A0"[random.Next(6)] : random.Next(1, 256))).Select(b => b == '/' ? (byte)'.' : b)];
            using var text = new NativeBody();
            Assert.True(AccessList.TryAppendName(text, name));
            Assert.Equal(-1, text.Span.IndexOf((byte)'\n'));
            Assert.Equal(name.Length, AccessList.NameOf(text.Span, room));
            Assert.Equal(name, room[..name.Length]);
        }
    }

    [Fact]
    public void WhatFailsIsLeftToWhoeverAsks()
    {
        string id = _repository.Git("rev-parse HEAD:lib/a/x2.c");
        using var origin = new OriginHost(_repository.Path, $"wrong@{id}", "fail@path=%2Flib%2Fb");
        using MegaTree tree = Open(origin.Url, Patterns("lib"));
        Finish(tree);
        Assert.Equal((5, 2), (tree.Source.Prefetcher!.Files, tree.Source.Prefetcher.Failed));
        Assert.Equal("a1\n"u8.ToArray(), tree.Layer.Read(Find(tree, "lib/a/x1.c"), 0, 100));
        Assert.Equal(Errno.EIO, tree.Layer.TryFind(tree.Layer.Find("lib/b"), "y1.h"u8, out _));
    }

    [Fact]
    public void MoreThanTheBoundIsNotFetched()
    {
        _repository.Commit("mkdir big; for i in $(seq 20); do head -c 100000 /dev/urandom > big/$i; done");
        using var origin = new OriginHost(_repository.Path);
        using MegaTree tree = Open(origin.Url, new PrefetchPlan([PathPattern.Parse("big")!], null, 500_000));
        Finish(tree);
        Assert.InRange(tree.Source.Prefetcher!.Files, 5, 10);
    }

    [Fact]
    public void MostTurnsAreLeftToRequestsAndTheEndWaitsForNothing()
    {
        const int Many = 60;
        _repository.Commit($"mkdir many; for i in $(seq {Many}); do echo $i > many/$i; done");
        using var origin = new OriginHost(_repository.Path, "slow=1000@/file/blob/");
        int most = 0;
        using (MegaTree tree = Open(origin.Url, Patterns("many")))
        {
            tree.Layer.StartOthers();
            uint readme = tree.Layer.Find("README");
            Assert.True(SpinWait.SpinUntil(() => origin.UnderWay > 0, 10_000));
            var clock = System.Diagnostics.Stopwatch.StartNew();
            while (clock.ElapsedMilliseconds < 1500)
            {
                most = Math.Max(most, origin.UnderWay);
                Thread.Sleep(5);
            }
            Assert.InRange(most, 2, 4);
            clock.Restart();
            Assert.Equal("hello\n"u8.ToArray(), tree.Layer.Read(readme, 0, 100));
            Assert.True(clock.ElapsedMilliseconds < 4_000, $"a request waited {clock.ElapsedMilliseconds} ms");
            clock.Restart();
            tree.Dispose();
            Assert.True(clock.ElapsedMilliseconds < 4_000, $"the end took {clock.ElapsedMilliseconds} ms");
        }
        Assert.True(origin.Count("/file/blob/") < Many / 2);
    }

    private static PrefetchPlan Patterns(params string[] patterns) => new([.. patterns.Select(text => PathPattern.Parse(text)!)], null, long.MaxValue);

    private static uint Find(MegaTree tree, string path)
    {
        uint node = ILayer.RootNode;
        foreach (string part in path.Split('/'))
            Assert.Equal(Errno.None, tree.Layer.TryFind(node, Encoding.UTF8.GetBytes(part), out node));
        return node;
    }

    private static void Finish(MegaTree tree)
    {
        tree.Layer.StartOthers();
        Assert.True(SpinWait.SpinUntil(() => tree.Source.Prefetcher!.Waiting == 0, 30_000), "prefetch does not end");
    }

    private string NewStore() => _scratch.Join($"store{_stores++}");

    private MegaTree Open(string url, PrefetchPlan ahead) => new(url + "/", NewStore(), options => options with { Attempts = 2 }, ahead);
}
