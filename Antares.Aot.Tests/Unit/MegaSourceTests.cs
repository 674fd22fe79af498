using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Images;
using Antares.Aot.Layers;
using Antares.Aot.Mounts;
using Antares.Aot.Tests.Support;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>What a tree over an obliging server shows, and what it asks for that.</summary>
public sealed class MegaSourceTests : IDisposable
{
    private readonly ScratchFolder _scratch = new();
    private readonly GitRepository _repository;
    private readonly string _store;

    public MegaSourceTests()
    {
        _repository = new GitRepository(_scratch.Join("repo"));
        _store = _scratch.Join("store");
    }

    public void Dispose() => _scratch.Dispose();

    private static ObjectStore OpenStore(string folder)
    {
        Directory.CreateDirectory(folder);
        Assert.Equal((Errno.None, ""), (ObjectStore.Open(folder, out ObjectStore? store, out string problem), problem));
        return store!;
    }

    [Fact]
    public void TheTreeIsTheCheckout()
    {
        _repository.CommitSample();
        using var origin = new OriginHost(_repository.Path);
        using var tree = new MegaTree(origin.Url + "/", _store);
        Assert.Equal(MegaTree.Checkout(_repository.Path), tree.Walk());
        stat root = tree.Layer.Getattr(ILayer.RootNode);
        Assert.Equal(1_700_000_000, root.st_mtim.tv_sec);
        Assert.Equal(1_700_000_000, tree.Layer.Getattr(tree.Layer.Find("README")).st_mtim.tv_sec);
    }

    [Fact]
    public void ASubdirectoryIsMountedByItsPath()
    {
        _repository.CommitSample();
        using var origin = new OriginHost(_repository.Path);
        using var tree = new MegaTree(origin.Url + "/src/", _store);
        Assert.Equal(MegaTree.Checkout(System.IO.Path.Combine(_repository.Path, "src")), tree.Walk());
        using var odd = new MegaTree(origin.Url + "/odd%20%2B%20names", _store);
        Assert.Equal(["/a&b=c%20?d#e", "/ümläut"], odd.Walk().Keys);
    }

    [Fact]
    public void EachDirectoryIsListedOnceAndEachBlobFetchedOnce()
    {
        _repository.CommitSample();
        _repository.Commit("cp README src/copy; cp README src/deep/copy");
        using var origin = new OriginHost(_repository.Path);
        using var tree = new MegaTree(origin.Url + "/", _store);
        tree.Walk();
        int directories = int.Parse(_repository.Git("ls-tree -r -t HEAD | grep -c ' tree '")) + 1;
        int blobs = int.Parse(_repository.Git("ls-tree -r HEAD | grep ' blob ' | awk '{print $3}' | sort -u | wc -l"));
        Assert.Equal(0, origin.Count("HEAD "));
        Assert.Equal(blobs, origin.Count("/file/blob/"));
        Assert.Equal(1, origin.Count("content-hash"));
        Assert.Equal(directories, origin.Count("/file/tree"));
        // The head before and after the top was listed: nothing else proves that the top is of the pinned revision.
        Assert.Equal(2, origin.Count("latest-commit"));
        Assert.Equal(directories + blobs + 3, origin.Seen.Count);
    }

    [Fact]
    public void NamesAloneAskForNoSizeAndManySizesForNoContent()
    {
        _repository.Commit("mkdir many; for i in $(seq 100); do head -c $((i * 10)) /dev/zero > many/$i; done");
        using var origin = new OriginHost(_repository.Path);
        using var tree = new MegaTree(origin.Url + "/", _store);
        List<(byte[], LayerEntry Entry)> entries = tree.Layer.List(tree.Layer.Find("many"));
        Assert.Equal(0, origin.Count("blob"));
        Assert.All(entries, entry => Assert.False(tree.Layer.AttributesAreAtHand(entry.Entry.Node)));
        foreach ((_, LayerEntry entry) in entries)
        {
            Assert.InRange(tree.Layer.Getattr(entry.Node).st_size, 10, 1000);
        }
        Assert.Equal(100, origin.Count("blob"));
        Assert.Equal(92, origin.Count("HEAD "));

        using var again = new MegaTree(origin.Url + "/", _store);
        foreach ((_, LayerEntry entry) in again.Layer.List(again.Layer.Find("many")))
        {
            Assert.True(again.Layer.AttributesAreAtHand(entry.Node));
            again.Layer.Getattr(entry.Node);
        }
        Assert.Equal(100, origin.Count("blob"));
    }

    /// <summary>What a build does: it looks at many files before it reads them, here and there. None needs a request for its size and another one for its content.</summary>
    [Fact]
    public void WhatIsLookedAtHereAndThereComesWithItsContent()
    {
        const int Files = 60;
        _repository.Commit($"mkdir many; for i in $(seq {Files}); do head -c $((i * 10)) /dev/zero > many/$i; done");
        using var origin = new OriginHost(_repository.Path);
        using var tree = new MegaTree(origin.Url + "/", _store);
        LayerEntry[] entries = [.. tree.Layer.List(tree.Layer.Find("many")).Select(entry => entry.Entry)];
        int[] order = [.. Enumerable.Range(0, Files).Select(i => i * 23 % Files)];
        foreach (int i in order)
            Assert.InRange(tree.Layer.Getattr(entries[i].Node).st_size, 10, 10 * Files);
        foreach (int i in order)
            Assert.NotEmpty(tree.Layer.Read(entries[i].Node, 0, 1000));
        Assert.Equal(0, origin.Count("HEAD "));
        Assert.Equal(Files, origin.Count("/file/blob/"));
    }

    /// <summary>
    /// Who reads whatever can be read asks for no size on its own, also after a row of names that cannot: the kernel asks for no content of an empty file, and
    /// the target of a link comes with its size.
    /// </summary>
    [Theory]
    [InlineData(": > many/a$i")]
    [InlineData("ln -s nowhere-$i many/a$i")]
    public void WhatHasNothingToReadIsNoSignOfAListing(string make)
    {
        const int Files = 20;
        _repository.Commit($"mkdir many; for i in $(seq -w {Files}); do {make}; echo $i > many/b$i; done");
        using var origin = new OriginHost(_repository.Path);
        using var tree = new MegaTree(origin.Url + "/", _store);
        int read = 0;
        foreach ((_, LayerEntry entry) in tree.Layer.List(tree.Layer.Find("many")))
        {
            stat attributes = tree.Layer.Getattr(entry.Node);
            if ((attributes.st_mode & StatMode.S_IFMT) == StatMode.S_IFREG && attributes.st_size > 0)
            {
                Assert.Equal(attributes.st_size, tree.Layer.Read(entry.Node, 0, 1000).Length);
                read++;
            }
        }
        Assert.Equal(Files, read);
        Assert.Equal(0, origin.Count("HEAD "));
    }

    /// <summary>Nor does it hide one: the sizes of those between which it lies are asked for without their contents.</summary>
    [Theory]
    [InlineData(": > many/$i-$j")]
    [InlineData("ln -s nowhere many/$i-$j")]
    public void AListingGoesOnBeyondWhatHasNothingToRead(string make)
    {
        const int Files = 20, Before = 8;
        _repository.Commit($"mkdir many; for i in $(seq -w {Files}); do echo $i > many/$i; for j in 1 2 3 4 5; do {make}; done; done");
        using var origin = new OriginHost(_repository.Path);
        using var tree = new MegaTree(origin.Url + "/", _store);
        foreach ((_, LayerEntry entry) in tree.Layer.List(tree.Layer.Find("many")))
            tree.Layer.Getattr(entry.Node);
        Assert.Equal(Files - Before, origin.Count("HEAD "));
    }

    /// <summary>Also without a row: what comes along and is not read has a bound.</summary>
    [Fact]
    public void MuchThatIsNotReadIsNotTakenAlong()
    {
        const int Files = 40, Bytes = 500_000;
        _repository.Commit($"mkdir many; for i in $(seq {Files}); do head -c {Bytes} /dev/urandom > many/$i; done");
        using var origin = new OriginHost(_repository.Path);
        using var tree = new MegaTree(origin.Url + "/", _store);
        LayerEntry[] entries = [.. tree.Layer.List(tree.Layer.Find("many")).Select(entry => entry.Entry)];
        for (int i = 0; i < Files; i++)
            Assert.Equal(Bytes, tree.Layer.Getattr(entries[i * 23 % Files].Node).st_size);
        Assert.Equal(Files, origin.Count("/file/blob/"));
        int contents = origin.Count("GET /api/v1/file/blob/");
        Assert.InRange(contents, 1, (int)(AccessPattern.MostUnreadBytes / Bytes) + 2);
        // Somebody reads: those who look next may be about to read again.
        Assert.Equal(100, tree.Layer.Read(entries[0].Node, 0, 100).Length);
        Assert.InRange(origin.Count("GET /api/v1/file/blob/"), contents, contents + 1);
    }

    [Fact]
    public void AWalkThatReadsIsFetchedAheadALittle()
    {
        const int Files = 60, Read = 10, Ahead = 8;
        _repository.Commit($"mkdir many; for i in $(seq -w {Files}); do echo $i > many/$i; done");
        using var origin = new OriginHost(_repository.Path);
        using var tree = new MegaTree(origin.Url + "/", _store);
        LayerEntry[] entries = [.. tree.Layer.List(tree.Layer.Find("many")).Select(entry => entry.Entry)];
        foreach (LayerEntry entry in entries[..Read])
            ReadOne(tree, entry.Node);
        Assert.True(SpinWait.SpinUntil(() => origin.Count("/file/blob/") == Read + Ahead, 5_000), $"{origin.Count("/file/blob/")} contents");
        foreach (LayerEntry entry in entries)
            ReadOne(tree, entry.Node);
        Assert.Equal(Files, origin.Count("GET /api/v1/file/blob/"));
        Assert.Equal(0, origin.Count("HEAD "));
    }

    [Fact]
    public void ReadsHereAndThereFetchNothingElse()
    {
        const int Files = 60;
        _repository.Commit($"mkdir many; for i in $(seq -w {Files}); do echo $i > many/$i; done");
        using var origin = new OriginHost(_repository.Path);
        using var tree = new MegaTree(origin.Url + "/", _store);
        LayerEntry[] entries = [.. tree.Layer.List(tree.Layer.Find("many")).Select(entry => entry.Entry)];
        int[] some = [0, 1, 2, 40, 41, 42, 20, 30, 10, 50, 51, 52];
        foreach (int i in some)
            ReadOne(tree, entries[i].Node);
        Thread.Sleep(300);
        Assert.Equal(some.Length, origin.Count("/file/blob/"));
    }

    [Fact]
    public void ThereAreNoMoreRequestsAtATimeThanAllowed()
    {
        const int Files = 80;
        _repository.Commit($"mkdir many; for i in $(seq -w {Files}); do echo $i > many/$i; done");
        using var origin = new OriginHost(_repository.Path, "slow=20@/file/blob/");
        using var tree = new MegaTree(origin.Url + "/", _store, options => options with { Concurrency = 5 });
        LayerEntry[] entries = [.. tree.Layer.List(tree.Layer.Find("many")).Select(entry => entry.Entry)];
        Thread[] readers = [.. entries.Chunk(4).Select(part => new Thread(() => Array.ForEach(part, entry => ReadOne(tree, entry.Node))))];
        Array.ForEach(readers, reader => reader.Start());
        Array.ForEach(readers, reader => reader.Join());
        Assert.InRange(origin.MostUnderWay, 2, 5);
        Assert.Equal(Files, origin.Count("/file/blob/"));
    }

    /// <summary>One who packs reads everything: side by side, each content once, and no size on its own.</summary>
    [Fact]
    public void PackingFetchesSideBySide()
    {
        _repository.CommitSample();
        _repository.Commit("for d in $(seq 6); do mkdir -p lib/$d; for i in $(seq 12); do echo $d-$i > lib/$d/$i; done; done; head -c 3000000 /dev/urandom > lib/long");
        int blobs = int.Parse(_repository.Git("ls-tree -r HEAD | grep ' blob ' | awk '{print $3}' | sort -u | wc -l"));
        using var origin = new OriginHost(_repository.Path, "slow=20@/file/blob/");
        string image = _scratch.Join("image"), local = _scratch.Join("local");
        Assert.Empty(PackJob.Run(SourceSpec.Parse($"mega:{origin.Url}/"), image, null, new MegaRequest { Store = _store }, new PackOptions(), _ => { }));
        Assert.Equal(blobs, origin.Count("GET /api/v1/file/blob/"));
        Assert.Equal(0, origin.Count("HEAD "));
        Assert.InRange(origin.MostUnderWay, 6, 16);
        Assert.Empty(PackJob.Run(SourceSpec.Parse($"mega:{origin.Url}/@{_repository.Head()}"), local, null, new MegaRequest { Store = _store, Offline = true }, new PackOptions(), _ => { }));
        Assert.Equal(File.ReadAllBytes(image), File.ReadAllBytes(local));
    }

    private static void ReadOne(MegaTree tree, uint node)
    {
        long size = tree.Layer.Getattr(node).st_size;
        Assert.Equal(size, tree.Layer.Read(node, 0, 1000).Length);
    }

    [Fact]
    public void ASizeThatManyAskForAtOnceIsAskedOnce()
    {
        const int Files = 400;
        _repository.Commit($"mkdir many; for i in $(seq {Files}); do echo $i > many/$i; done");
        string[] ids = _repository.Git("ls-tree HEAD:many | cut -c13-52").Split('\n');
        using var origin = new OriginHost(_repository.Path);
        Assert.True(MegaAddress.TryParse(origin.Url + "/", null, out MegaAddress? address, out _));
        MegaOptions options = new() { Address = address! };
        using PinnedMega pinned = PinnedMega.Make(options, OpenStore(_store), Diagnostics.Log.Off);
        using var fetcher = new MegaFetcher("mega", options, pinned.Client, pinned.Trees, pinned.Store);
        Assert.Equal(Files, ids.Length);
        var threads = Enumerable.Range(0, 6).Select(_ => new Thread(() =>
        {
            foreach (string text in ids)
            {
                Assert.True(ObjectId.TryParse(text, out ObjectId id));
                fetcher.StartSize(id);
                Assert.Equal(Errno.None, fetcher.Size(id, isLink: false, out long size));
                Assert.InRange(size, 2, 4);
            }
        })).ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());
        Assert.Equal(Files, origin.Count("/file/blob/"));
    }

    [Fact]
    public void TheLengthOfALongFileDoesNotFetchIt()
    {
        _repository.Commit("head -c 20000000 /dev/urandom > long; head -c 3000000 /dev/urandom > read");
        using var origin = new OriginHost(_repository.Path);
        using var tree = new MegaTree(origin.Url + "/", _store);
        uint file = tree.Layer.Find("long");
        Assert.Equal(20_000_000, tree.Layer.Getattr(file).st_size);
        Thread.Sleep(2000);
        Assert.True(tree.Source.Client.ReceivedBytes < 1_000_000, $"{tree.Source.Client.ReceivedBytes} bytes");
        // Who reads at once after the length is served by the same answer.
        uint read = tree.Layer.Find("read");
        Assert.Equal(3_000_000, tree.Layer.Getattr(read).st_size);
        Assert.Equal(File.ReadAllBytes(_scratch.Join("repo/read")), tree.Layer.Read(read, 0, 3_000_000));
        Assert.Equal(1, origin.Count(_repository.Git("rev-parse HEAD:read")));
        Assert.Equal(File.ReadAllBytes(_scratch.Join("repo/long"))[10_000_000..10_000_100], tree.Layer.Read(file, 10_000_000, 100));
    }

    [Fact]
    public void ThePinnedRevisionStaysWhenTheHeadMoves()
    {
        string first = _repository.CommitSample();
        SortedDictionary<string, string> before = MegaTree.Checkout(_repository.Path);
        using var origin = new OriginHost(_repository.Path);
        using var tree = new MegaTree(origin.Url + "/", _store);
        _repository.Commit("echo changed > README; chmod 644 src/run.sh; rm src/link; echo new > src/new; echo c > src/deep/er/empty");
        Assert.Equal(before, tree.Walk());
        // Another store, so that nothing is known from before: the pin is behind the head from the start.
        using var late = new MegaTree($"{origin.Url}/@{first}", _scratch.Join("store2"));
        SortedDictionary<string, string> shown = late.Walk();
        Assert.Equal(before.Keys, shown.Keys);
        // Below the root each tree's hash is known, so that modes are made out exactly.
        Assert.Equal(before, shown);
        using var head = new MegaTree(origin.Url + "/", _store);
        Assert.Equal(MegaTree.Checkout(_repository.Path), head.Walk());
    }

    [Fact]
    public void ASecondMountOfTheSameRevisionAsksNothing()
    {
        string first = _repository.CommitSample();
        SortedDictionary<string, string> before = MegaTree.Checkout(_repository.Path);
        string url;
        using (var origin = new OriginHost(_repository.Path))
        {
            url = origin.Url;
            using (var tree = new MegaTree($"{url}/@{first}", _store))
                Assert.Equal(before, tree.Walk());
            int asked = origin.Seen.Count;
            using (var again = new MegaTree($"{url}/@{first}", _store))
                Assert.Equal(before, again.Walk());
            Assert.Equal(asked, origin.Seen.Count);
        }
        using (var again = new MegaTree($"{url}/@{first}", _store))
            Assert.Equal(before, again.Walk());
        using var offline = new MegaTree($"{url}/@{first}", _store, options => options with { Offline = true });
        Assert.Equal(before, offline.Walk());
    }

    [Fact]
    public void WhatTheStoreLacksIsAnErrorAndNotAbsent()
    {
        string first = _repository.CommitSample();
        string url;
        using (var origin = new OriginHost(_repository.Path))
        {
            url = origin.Url;
            using var tree = new MegaTree($"{url}/@{first}", _store);
            tree.Layer.Find("src/main.c");
        }
        foreach (bool offline in new[] { true, false })
        {
            using var tree = new MegaTree($"{url}/@{first}", _store, options => options with { Offline = offline, Attempts = 2 });
            uint src = tree.Layer.Find("src");
            Assert.Equal(Errno.ENOENT, tree.Layer.TryFind(src, "absent"u8, out _));
            Assert.Equal(Errno.EIO, tree.Layer.TryFind(tree.Layer.Find("src/deep"), "absent"u8, out _));
            unsafe
            {
                stat attributes;
                Assert.Equal(Errno.EIO, tree.Layer.GetattrWithMapping(tree.Layer.Find("src/main.c"), true, &attributes));
            }
            Assert.Contains(offline ? "--offline" : "cannot connect", Diagnostics.Failure.Call);
        }
    }

    [Fact]
    public void AnImportRepositoryIsARootOfItsOwn()
    {
        string first = _repository.CommitSample();
        using var origin = new OriginHost(_repository.Path, "import=/third-party/foo");
        SortedDictionary<string, string> before = MegaTree.Checkout(_repository.Path);
        using (var tree = new MegaTree(origin.Url + "/", _store))
            Assert.Equal(before, tree.Walk());
        // The import repository moves, which refs= cannot keep it from. What an earlier mount saw of it is no proof: each mount asks.
        _repository.Commit("echo more > third-party/foo/lib/more.c");
        SortedDictionary<string, string> after = MegaTree.Checkout(_repository.Path);
        using (var tree = new MegaTree($"{origin.Url}/@{first}", _store))
            Assert.Equal(after, tree.Walk());
        // Without a server it is shown as it was seen last.
        using (var tree = new MegaTree($"{origin.Url}/@{first}", _store, options => options with { Offline = true }))
            Assert.Equal(after, tree.Walk());
        origin.Dispose();
        using (var tree = new MegaTree($"{origin.Url}/@{first}", _store, options => options with { Attempts = 2 }))
            Assert.Equal(after, tree.Walk());
    }

    [Fact]
    public void ATreeThatTheStoreGaveUpIsFetchedAgain()
    {
        _repository.CommitSample();
        using var origin = new OriginHost(_repository.Path);
        using var tree = new MegaTree(origin.Url + "/", _store);
        foreach (string file in Directory.GetFiles(System.IO.Path.Combine(_store, ObjectStore.ObjectsName), "*", SearchOption.AllDirectories))
            File.Delete(file);
        Assert.Equal(MegaTree.Checkout(_repository.Path), tree.Walk());
    }

    [Fact]
    public void DriftIsRefusedOrTold()
    {
        string first = _repository.CommitSample();
        using var origin = new OriginHost(_repository.Path, "import=/third-party/foo");
        foreach (OnDrift onDrift in new[] { OnDrift.Fail, OnDrift.Warn })
        {
            string store = _scratch.Join($"store-{onDrift}");
            using var tree = new MegaTree($"{origin.Url}/@{first}", store, options => options with { OnDrift = onDrift });
            uint foo = tree.Layer.Find("third-party/foo");
            tree.Layer.List(foo);
            _repository.Commit($"echo {onDrift} > third-party/foo/lib/more.c");
            uint lib = tree.Layer.Find("third-party/foo/lib");
            Errno error = tree.Layer.TryFind(lib, "more.c"u8, out _);
            Assert.Equal(onDrift == OnDrift.Fail ? Errno.EIO : Errno.None, error);
            Assert.Equal(1, tree.Source.Trees.Drifts);
        }
    }

    [Fact]
    public void ASubmoduleIsAnEmptyDirectory()
    {
        _repository.CommitSample();
        string head = _repository.Head();
        _repository.Git($"update-index --add --cacheinfo 160000,{head},module");
        _repository.Git("commit -q -m module");
        using var origin = new OriginHost(_repository.Path);
        using var tree = new MegaTree(origin.Url + "/", _store);
        uint module = tree.Layer.Find("module");
        Assert.Equal(StatMode.S_IFDIR, tree.Layer.Getattr(module).st_mode & StatMode.S_IFMT);
        Assert.Empty(tree.Layer.List(module));
    }
}
