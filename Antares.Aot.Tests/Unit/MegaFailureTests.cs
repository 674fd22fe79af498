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
        using MegaTree tree = Open(origin.Url, options => options with { Attempts = 4 });
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
    public void ALengthThatWasToldWrongIsAnErrorOnceAndThenMended()
    {
        string id = _repository.Git("rev-parse HEAD:README");
        string store = _scratch.Join("shared");
        using var origin = new OriginHost(_repository.Path);
        using var tree = new MegaTree(origin.Url + "/", store);
        uint file = tree.Layer.Find("README");
        var corrected = new List<uint>();
        tree.Layer.AttributesCorrected = corrected.Add;
        tree.Source.Store.Sizes.AddTold(ObjectId.TryParse(id, out ObjectId parsed) ? parsed : default, 4);
        Assert.Equal(4, tree.Layer.Getattr(file).st_size);
        Assert.Equal(Errno.EIO, tree.Layer.TryRead(file, 0, new byte[4], out _));
        Assert.Contains("told 4 bytes before, and it has 6", Failure.Call);
        // Until it was shown the right one: the kernel reads again at once what its read-ahead did not get.
        Assert.Equal(Errno.EIO, tree.Layer.TryRead(file, 0, new byte[4], out _));
        Assert.Equal([file], corrected);
        Assert.Equal(6, tree.Layer.Getattr(file).st_size);
        Assert.Equal("hello\n"u8.ToArray(), tree.Layer.Read(file, 0, 100));
        Assert.Equal(1, tree.Source.SizesCorrected);
        // A size that was seen is not replaced by one that is told.
        tree.Source.Store.Sizes.AddTold(parsed, 4);
        using var again = new MegaTree(origin.Url + "/", store);
        Assert.Equal(6, again.Layer.Getattr(again.Layer.Find("README")).st_size);
    }

    /// <summary>Of an answer without a length more than 64 MiB are only taken when a length was told before; HEAD is asked once more when that was wrong.</summary>
    [Theory]
    [InlineData(6, (64 << 20) + 1)]
    [InlineData((64 << 20) + 1000, (64 << 20) + 1)]
    [InlineData((64 << 20) + 1000, 80 << 20)]
    [InlineData((64 << 20) + 1000, 5)]
    public void ALengthThatWasToldWrongOnceIsMendedWithoutOneInTheAnswerToo(int length, int told)
    {
        _repository.Commit($"head -c {length} /dev/zero > content");
        string id = _repository.Git("rev-parse HEAD:content");
        byte[] content = new byte[length];
        using var origin = new OriginHost(_repository.Path);
        using var front = new RawFront(origin.Port, (line, stream) =>
        {
            if (!line.StartsWith("GET", StringComparison.Ordinal) || !line.Contains(id, StringComparison.Ordinal))
                return false;
            stream.Write("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n\r\n"u8);
            stream.Write(content);
            return true;
        });
        using MegaTree tree = Open(front.Url);
        Assert.True(ObjectId.TryParse(id, out ObjectId blob));
        tree.Source.Store.Sizes.AddTold(blob, told);
        uint file = tree.Layer.Find("content");
        Assert.Equal(told, tree.Layer.Getattr(file).st_size);
        Assert.Equal(Errno.EIO, tree.Layer.TryRead(file, 0, new byte[4], out _));
        Assert.Contains($"told {told} bytes before, and it has {length}", Failure.Call);
        Assert.Equal(length, tree.Layer.Getattr(file).st_size);
        Assert.Equal(content[^6..], tree.Layer.Read(file, (ulong)length - 6, 100));
        Assert.Equal(1, origin.Count("HEAD "));
    }

    [Theory]
    [InlineData("text/html", 34, "no content of a file but text/html")]
    [InlineData("application/octet-stream", 0, "not that of an empty file")]
    public async Task TheLengthOfAPageIsNoSize(string type, long length, string reason)
    {
        using var server = Lying(exchange =>
        {
            exchange.Begin(200, type, length);
            return true;
        });
        Assert.True(MegaAddress.TryParse($"http://{server.Address}/", null, out MegaAddress? address, out _));
        using var client = new MegaClient(new MegaOptions { Address = address! });
        MegaProblem problem = await Assert.ThrowsAsync<MegaProblem>(() => client.Head(GitHash.OfKey("some blob"), CancellationToken.None));
        Assert.Contains(reason, problem.Message);
        if (length == 0)
            Assert.Equal(0, await client.Head(GitHash.Of(ObjectKind.Blob, default), CancellationToken.None));
    }

    [Fact]
    public void AnotherRevisionIsNeverTakenForThePinnedOne()
    {
        string first = _repository.Head();
        _repository.Commit("echo other > src/main.c; echo new > src/new.c");
        string store = _scratch.Join("shared");
        int port;
        // No mode can be made out: what the listing shows cannot be compared with the tree's hash as it is.
        using (var origin = new OriginHost(_repository.Path, "ignore-refs@path=%2Fsrc", "html@file/tree?path=%2Fsrc"))
        {
            port = origin.Port;
            foreach (OnDrift onDrift in new[] { OnDrift.Fail, OnDrift.Warn })
            {
                using var tree = new MegaTree($"{origin.Url}/@{first}", store, options => options with { Attempts = 2, OnDrift = onDrift });
                Errno error = tree.Layer.TryFind(tree.Layer.Find("src"), "new.c"u8, out _);
                Assert.Equal(onDrift == OnDrift.Fail ? Errno.EIO : Errno.None, error);
                if (onDrift == OnDrift.Fail)
                    Assert.Contains("another tree than that of the pinned revision", Failure.Call);
                Assert.Equal(1, tree.Source.Trees.Drifts);
            }
        }
        // Nothing of it is believed later.
        using var honest = new OriginHost(_repository.Path, port);
        using var later = new MegaTree($"{honest.Url}/@{first}", store);
        Assert.Equal(Errno.ENOENT, later.Layer.TryFind(later.Layer.Find("src"), "new.c"u8, out _));
        Assert.Equal("int main;\n"u8.ToArray(), later.Layer.Read(later.Layer.Find("src/main.c"), 0, 100));
    }

    [Fact]
    public void ModesThatCannotBeMadeOutAreShownAndNotKept()
    {
        string first = _repository.Commit("mkdir many; for i in $(seq 40); do echo $i > many/$i; [ $((i % 2)) = 0 ] || chmod 755 many/$i; done");
        _repository.Commit("rm -r many; mkdir many; echo x > many/x");
        string store = _scratch.Join("shared");
        string url;
        using (var origin = new OriginHost(_repository.Path))
        {
            url = $"{origin.Url}/@{first}";
            using var tree = new MegaTree(url, store);
            Assert.Equal(40, tree.Layer.List(tree.Layer.Find("many")).Count);
            Assert.Equal(0, tree.Source.Trees.Drifts);
            Assert.Equal("7\n"u8.ToArray(), tree.Layer.Read(tree.Layer.Find("many/7"), 0, 10));
        }
        using var later = new MegaTree(url, store, options => options with { Offline = true });
        Assert.Equal(Errno.EIO, later.Layer.TryFind(later.Layer.Find("many"), "7"u8, out _));
    }

    /// <summary>No hash proves them, and a mode may have changed alone.</summary>
    [Fact]
    public void ModesOfTheTopOfAnotherRevisionAreGuessesAndAskedForAgain()
    {
        string first = _repository.Head();
        _repository.Commit("chmod 755 README");
        using var origin = new OriginHost(_repository.Path);
        string url = $"{origin.Url}/@{first}", store = _scratch.Join("shared");
        foreach (bool offline in new[] { false, false, true })
        {
            using var tree = new MegaTree(url, store, options => options with { Offline = offline });
            Assert.Equal(ViewFlags.ModesUnsure, tree.Source.Revision.Root.Flags);
            Assert.Equal(0x1EDu, tree.Layer.Getattr(tree.Layer.Find("README")).st_mode & 0xFFF);
        }
        // As soon as the server tells them, they are exact, also when it does so no more.
        _repository.Git($"checkout -q --detach {first}");
        for (int i = 0; i < 2; i++)
        {
            using var tree = new MegaTree(url, store);
            Assert.Equal(ViewFlags.None, tree.Source.Revision.Root.Flags);
            Assert.Equal(0x1A4u, tree.Layer.Getattr(tree.Layer.Find("README")).st_mode & 0xFFF);
            _repository.Git("checkout -q -");
        }
    }

    [Fact]
    public void ModesThatAreGuessesAreShownWhileTheServerIsAway()
    {
        string first = _repository.Head(), store = _scratch.Join("shared"), url;
        _repository.Commit("chmod 755 README");
        using (var origin = new OriginHost(_repository.Path))
        {
            url = $"{origin.Url}/@{first}";
            using var tree = new MegaTree(url, store);
            Assert.Equal(ViewFlags.ModesUnsure, tree.Source.Revision.Root.Flags);
        }

        using var again = new MegaTree(url, store);
        Assert.Equal(ViewFlags.ModesUnsure, again.Source.Revision.Root.Flags);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task ModesOfTheTopAreGuessesWhenTheHeadMovesMeanwhile(bool isNamed)
    {
        string first = _repository.Head();
        using var origin = new OriginHost(_repository.Path, "slow=3000@/file/tree?path=%2F");
        string url = $"{origin.Url}/{(isNamed ? "@" + first : "")}", store = _scratch.Join("shared");
        var mounting = Task.Run(() => new MegaTree(url, store));
        Assert.True(SpinWait.SpinUntil(() => origin.UnderWay > 0, 10_000));
        await Task.Delay(1_000); // what is asked before takes no such time
        _repository.Commit("chmod 755 README");
        using MegaTree tree = await mounting;
        Assert.Equal(first, tree.Source.Trees.Commit.Id.ToString());
        Assert.Equal(ViewFlags.ModesUnsure, tree.Source.Revision.Root.Flags);
        Assert.Equal(0x1EDu, tree.Layer.Getattr(tree.Layer.Find("README")).st_mode & 0xFFF);
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/src")]
    public void AServerThatHeedsNoRevisionIsTold(string path)
    {
        string first = _repository.Head();
        _repository.Commit("echo other > src/main.c");
        using var origin = new OriginHost(_repository.Path, "ignore-refs");
        MegaProblem problem = Assert.Throws<MegaProblem>(() => Open($"{origin.Url}{path}@{first}"));
        Assert.Contains("heeds none", problem.Message);
        using MegaTree tree = Open($"{origin.Url}{path}@{first}", options => options with { OnDrift = OnDrift.Warn });
        Assert.Equal(1, tree.Source.Trees.Drifts);
        Assert.Equal("other\n"u8.ToArray(), tree.Layer.Read(tree.Layer.Find(path == "/" ? "src/main.c" : "main.c"), 0, 100));
        using var honest = new OriginHost(_repository.Path);
        using MegaTree pinned = Open($"{honest.Url}{path}@{first}");
        Assert.Equal("int main;\n"u8.ToArray(), pinned.Layer.Read(pinned.Layer.Find(path == "/" ? "src/main.c" : "main.c"), 0, 100));
        Assert.Equal(0, pinned.Source.Trees.Drifts);
    }

    [Theory]
    [InlineData("/third-party/foo")]
    [InlineData("/third-party/foo/lib")]
    public void AnImportRepositoryIsMountedAsItIs(string path)
    {
        string first = _repository.Head();
        _repository.Commit("echo more > third-party/foo/lib/more.c");
        using var origin = new OriginHost(_repository.Path, "import=/third-party/foo");
        using MegaTree tree = Open($"{origin.Url}{path}@{first}");
        Assert.Equal(MegaTree.Checkout(System.IO.Path.Combine(_repository.Path, path[1..])), tree.Walk());
    }

    [Fact]
    public async Task LongContentLeavesTurnsForShortQuestions()
    {
        const int Long = 10_000_000;
        using var release = new ManualResetEventSlim();
        int began = 0;
        using var server = Lying(exchange =>
        {
            if (!exchange.Path.Contains("/blob/", StringComparison.Ordinal))
                return false;
            exchange.Begin(200, "application/octet-stream", Long);
            Interlocked.Increment(ref began);
            release.Wait(30_000);
            exchange.Abort();
            return true;
        });
        Assert.True(MegaAddress.TryParse($"http://{server.Address}/", null, out MegaAddress? address, out _));
        using var client = new MegaClient(new MegaOptions { Address = address!, Attempts = 1 });
        Directory.CreateDirectory(_scratch.Join("turns"));
        Assert.Equal(Errno.None, ObjectStore.Open(_scratch.Join("turns"), out ObjectStore? store, out _));
        using (store)
        {
            // Half of them are known to be long, the others turn out to be.
            List<Task<long>> all = [.. Enumerable.Range(0, 40).Select(i => client.FetchBlob(GitHash.OfKey($"{i}"), i % 2 == 0 ? Long : -1, store!, _ => Task.CompletedTask, CancellationToken.None))];
            Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref began) >= 8, 10_000));
            Task<MegaAnswer> small = client.Get("/api/v1/latest-commit", 1000, CancellationToken.None);
            Assert.Same(small, await Task.WhenAny(small, Task.Delay(5_000)));
            (await small).Dispose();
            release.Set();
            foreach (Task<long> one in all)
                await Assert.ThrowsAsync<MegaProblem>(() => one);
        }
    }

    [Fact]
    public void TheEndWaitsForWhatIsUnderWay()
    {
        string id = _repository.Git("rev-parse HEAD:src/deep/big");
        using var origin = new OriginHost(_repository.Path);
        MegaTree tree = Open(origin.Url);
        uint file = tree.Layer.Find("src/deep/big");
        using var adding = new ManualResetEventSlim();
        bool added = false;
        tree.Source.Store.Added = _ =>
        {
            adding.Set();
            Thread.Sleep(500);
            Volatile.Write(ref added, true);
        };
        var reader = new Thread(() => Getattr(tree, file));
        reader.Start();
        Assert.True(adding.Wait(10_000));
        tree.Source.Dispose();
        Assert.True(Volatile.Read(ref added), "the store was closed under a fetch");
        reader.Join();
        tree.Dispose();
    }

    [DicfuseMountFact]
    public void AFullDiskIsNotTheEndOfTheTree()
    {
        _repository.Commit("mkdir much; for i in $(seq 30); do head -c 400000 /dev/urandom > much/$i; done; head -c 20000000 /dev/urandom > long");
        using var disk = new SmallDisk(_scratch, "tmpfs", 4);
        using var origin = new OriginHost(_repository.Path);
        Directory.CreateDirectory(System.IO.Path.Combine(disk.Path, "store"));
        using var tree = new MegaTree(origin.Url + "/", System.IO.Path.Combine(disk.Path, "store"));
        var told = new List<string>();
        tree.Source.Store.Room.Full = told.Add;
        _ = new StoreCollector(tree.Source.Store, 1L << 30, Log.Off);
        uint longFile = tree.Layer.Find("long");
        SortedDictionary<string, string> checkout = MegaTree.Checkout(_repository.Path);
        checkout.Remove("/long");
        var shown = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach ((byte[] name, LayerEntry entry) in tree.Layer.List(ILayer.RootNode).Where(entry => entry.Entry.Node != longFile))
        {
            string path = "/" + Encoding.UTF8.GetString(name);
            if (entry.Type == Base.FileType.Directory)
            {
                shown[path] = checkout[path];
                foreach ((string below, string what) in tree.Walk(entry.Node, path))
                    shown[below] = what;
            }
            else
            {
                shown[path] = checkout[path];
            }
        }
        Assert.Equal(checkout, shown);
        Assert.Single(told);
        Assert.Contains("full", told[0]);
        Assert.InRange(tree.Source.Store.Room.Memory.Bytes, 1_000_000, MemoryObjects.MostBytes);
        Assert.Equal(20_000_000, tree.Layer.Getattr(longFile).st_size);
        Assert.Equal(Errno.EIO, tree.Layer.TryRead(longFile, 0, new byte[4], out _));
        Assert.Contains("has no room for 20000000 bytes", Failure.Call);
    }

    /// <summary>Whatever is wrong with the folder: what the server sends is shown, and asked for once.</summary>
    [Fact]
    public void AStoreThatCannotBeWrittenFailsNoRead()
    {
        _repository.Commit("head -c 2000000 /dev/urandom > src/long; head -c 20000000 /dev/urandom > longer");
        using var origin = new OriginHost(_repository.Path);
        string store = _scratch.Join("gone");
        using var tree = new MegaTree(origin.Url + "/", store);
        var told = new List<string>();
        tree.Source.Store.Room.Full = told.Add;
        Directory.Delete(store, recursive: true);
        SortedDictionary<string, string> checkout = MegaTree.Checkout(System.IO.Path.Combine(_repository.Path, "src"));
        Assert.Equal(checkout, tree.Walk(tree.Layer.Find("src")));
        int blobs = origin.Count("GET /api/v1/file/blob/");
        Assert.Equal(checkout, tree.Walk(tree.Layer.Find("src")));
        Assert.Equal(blobs, origin.Count("GET /api/v1/file/blob/"));
        Assert.Equal(int.Parse(_repository.Git("ls-tree -r HEAD src | wc -l")), blobs);
        Assert.Single(told);
        Assert.Contains("cannot be written (ENOENT)", told[0]);
        // More than is held in memory.
        Assert.Equal(Errno.EIO, tree.Layer.TryRead(tree.Layer.Find("longer"), 0, new byte[4], out _));
        Assert.Contains("20000000 bytes cannot be kept", Failure.Call);
    }

    /// <summary>Without a length, and without an end.</summary>
    [Theory]
    [InlineData("Connection: close", "an answer of more than 67108864 bytes")]
    [InlineData("Content-Length: 10737418240", "more than the 1073741824 that a file may have")]
    [InlineData("Content-Length: 18446744073709551616", "")]
    [InlineData("Transfer-Encoding: chunked", "")]
    public void AnAnswerOfTenGigabytesIsRefused(string header, string reason)
    {
        const long TenGigabytes = 10L << 30;
        long sent = 0;
        string id = _repository.Git("rev-parse HEAD:README");
        using var origin = new OriginHost(_repository.Path);
        using var front = new RawFront(origin.Port, (line, stream) =>
        {
            if (!line.Contains(id, StringComparison.Ordinal))
                return false;
            stream.Write(Encoding.ASCII.GetBytes($"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n{header}\r\n\r\n"));
            byte[] zeros = new byte[1 << 20];
            for (; sent < TenGigabytes; sent += zeros.Length)
                stream.Write(zeros);
            return true;
        });
        using MegaTree tree = Open(front.Url, options => options with { Attempts = 1, LargestBlob = 1 << 30 });
        uint file = tree.Layer.Find("README");
        long before = GC.GetTotalMemory(forceFullCollection: true);
        (Errno error, string said) = Getattr(tree, file);
        Assert.Equal(Errno.EIO, error);
        Assert.Contains(reason, said);
        Assert.InRange(Volatile.Read(ref sent), 0, 1L << 30);
        Assert.True(GC.GetTotalMemory(forceFullCollection: true) - before < 16 << 20);
        Assert.Equal("int main;\n"u8.ToArray(), tree.Layer.Read(tree.Layer.Find("src/main.c"), 0, 100));
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
        new(new Uri(url).AbsolutePath.Length > 1 ? url : url + "/", _scratch.Join($"store{_stores++}"),
            options => change is null ? options with { Attempts = 2 } : change(options with { Attempts = 2 }));
}
