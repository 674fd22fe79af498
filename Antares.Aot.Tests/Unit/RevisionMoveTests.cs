using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Mega.Changes;
using Antares.Aot.Dicfuse.Tree;
using Antares.Aot.Layers;
using Antares.Aot.Tests.Support;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>A tree of a server moves to another revision: what it shows then, what stays, and what it asks for.</summary>
public sealed class RevisionMoveTests : IDisposable
{
    private const string Everything =
        """
        printf 'changed\n' > README
        chmod 644 src/run.sh
        rm src/main.c
        mv src/deep/er/empty src/empty-moved
        mkdir -p src/new/below
        printf 'new file\n' > src/new/below/file
        git rm -q -r 'odd + names'; mkdir -p 'odd + names'; printf 'z' > 'odd + names/ü&%#'
        rm src/link; mkdir src/link; printf 'in a directory now\n' > src/link/file
        rm src/deep/big; rmdir src/deep/er src/deep; printf 'a file now\n' > src/deep
        """;

    private readonly ScratchFolder _scratch = new();
    private readonly GitRepository _repository;
    private readonly string _base;
    private readonly string _topic;

    public RevisionMoveTests()
    {
        _repository = new GitRepository(_scratch.Join("repo"));
        _base = _repository.CommitSample();
        _topic = _repository.CommitAside(_base, Everything);
    }

    public void Dispose() => _scratch.Dispose();

    [Theory]
    [InlineData("")]
    [InlineData("README")]
    [InlineData("src")]
    [InlineData("src/deep/er")]
    [InlineData("third-party/foo/lib/foo.c")]
    [InlineData("*")]
    public void TheTreeIsACheckoutOfEachRevision(string touched)
    {
        string third = _repository.CommitAside(_topic, "rm -r src/new src/link; ln -s x src/link; mkdir -p src/main.c; echo m > src/main.c/m; echo t > third-party/foo/lib/foo.c; chmod 755 third-party/foo/FOO");
        using var origin = new OriginHost(_repository.Path);
        using MegaTree tree = Mount(origin, "/", out ClTree view);
        foreach (string commit in (string[])[_topic, _base, third, third, _topic, third, _base])
        {
            Touch(tree, touched);
            Move(view, commit);
            if (commit != third)
                continue;
            Assert.Equal(Checkout(commit), tree.Walk());
        }
        Assert.Equal(Checkout(_base), tree.Walk());
    }

    [Fact]
    public void RandomTreesTouchedAtRandom()
    {
        const int Revisions = 10;
        var random = new Random(20);
        string[] commits = [.. Enumerable.Range(0, Revisions).Select(_ => RandomCommit(random))];
        string[] changelists = [.. Enumerable.Range(0, 4).Select(i => $"C{i}={commits[i]}..{commits[i + 1]}")];
        _repository.Git($"checkout -q --detach {commits[0]}");
        SortedDictionary<string, string>[] checkouts = [.. commits.Select(Checkout)];
        using var origin = new OriginHost(_repository.Path, changelists, []);
        using MegaTree tree = Mount(origin, "/", out ClTree view);
        for (int round = 0; round < 150; round++)
        {
            for (int i = random.Next(4); i > 0; i--)
                Touch(tree, string.Join('/', Enumerable.Range(0, random.Next(1, 4)).Select(_ => $"{(char)('a' + random.Next(4))}")));
            int next = random.Next(Revisions);
            if (view.Current.Link is null)
            {
                Move(view, commits[next]);
            }
            else if (random.Next(3) == 0)
            {
                // It does not apply to any other revision but by chance.
                try
                {
                    Move(view, commits[next]);
                }
                catch (ClConflict)
                {
                }
                continue;
            }
            int now = Array.IndexOf(commits, view.Address.Revision);
            if (now < changelists.Length && random.Next(3) == 0)
            {
                Set(view, $"C{now}");
                Assert.Equal(checkouts[now + 1], tree.Walk());
            }
            else if (view.Current.Link is not null)
            {
                Set(view, null);
                Assert.Equal(checkouts[now], tree.Walk());
            }
            else if (random.Next(3) == 0)
            {
                Assert.Equal(checkouts[now], tree.Walk());
            }
        }
    }

    [Fact]
    public void WhatIsTheSameKeepsItsNodeAndWhatChangedHasAnother()
    {
        using var origin = new OriginHost(_repository.Path);
        using MegaTree tree = Mount(origin, "/", out ClTree view);
        _ = tree.Walk();
        string[] paths = ["src", "odd + names", "third-party", "third-party/foo/FOO", "README", "src/run.sh"];
        Dictionary<string, (uint Node, ulong StIno)> before = paths.ToDictionary(path => path, path => (tree.Layer.Find(path), tree.Layer.Getattr(tree.Layer.Find(path)).st_ino));
        uint readme = tree.Layer.Find("README");
        uint main = tree.Layer.Find("src/main.c");
        uint deep = tree.Layer.Find("src/deep");
        Move(view, _topic);
        foreach (string path in paths)
        {
            uint node = tree.Layer.Find(path);
            bool isSame = path is not ("README" or "src/run.sh");
            Assert.Equal(isSame, before[path] == (node, tree.Layer.Getattr(node).st_ino));
        }
        // Who has one open reads on in what it was, also what was not read before; who is in a directory that went finds it empty.
        Assert.Equal("hello\n"u8.ToArray(), tree.Layer.Read(readme, 0, 100));
        Assert.Equal("int main;\n"u8.ToArray(), tree.Layer.Read(main, 0, 100));
        Assert.Empty(tree.Layer.List(deep));
        stat changed = tree.Layer.Getattr(tree.Layer.Find("README"));
        Assert.True(PackedTime.Pack(changed.st_mtim) > PackedTime.Pack(tree.Layer.Getattr(readme).st_mtim));
        Move(view, _base);
        Assert.Equal(deep, tree.Layer.Find("src/deep"));
        Assert.True(PackedTime.Pack(tree.Layer.Getattr(tree.Layer.Find("README")).st_mtim) > PackedTime.Pack(changed.st_mtim));
        Assert.Equal(Checkout(_base), tree.Walk());
        Assert.Equal(_base, view.Address.Revision);
        // Nothing to do is nothing done.
        uint last = tree.Layer.Find("README");
        long nodes = tree.Layer.NodeCount;
        Move(view, _base);
        Assert.Equal(last, tree.Layer.Find("README"));
        Assert.Equal(nodes, tree.Layer.NodeCount);
    }

    [Fact]
    public void OnlyWhatWasListedIsAskedFor()
    {
        string wide = _repository.Commit("for d in $(seq 40); do mkdir -p wide/$d/below; echo $d > wide/$d/below/file; done");
        string next = _repository.CommitAside(wide, "for d in $(seq 40); do echo changed > wide/$d/below/file; done; echo c > src/deep/big");
        using var origin = new OriginHost(_repository.Path);
        using MegaTree tree = Mount(origin, "/", out ClTree view);
        _ = tree.Layer.Find("wide/7/below/file");
        Assert.Equal("hello\n"u8.ToArray(), tree.Layer.Read(tree.Layer.Find("README"), 0, 10));
        _repository.Git($"checkout -q --detach {next}");
        int before = origin.Seen.Count;
        Move(view, null);
        // The commit and the mounted directory, with what proves that they are those; wide, wide/7 and wide/7/below.
        Assert.Equal(4 + 3, origin.Seen.Count - before);
        Assert.Equal(0, origin.Seen.Skip(before).Count(line => line.Contains("/blob/", StringComparison.Ordinal)));
        Assert.Equal("changed\n"u8.ToArray(), tree.Layer.Read(tree.Layer.Find("wide/7/below/file"), 0, 10));
        Assert.Equal("changed\n"u8.ToArray(), tree.Layer.Read(tree.Layer.Find("wide/8/below/file"), 0, 10));
        Assert.Equal(Checkout(next), tree.Walk());
    }

    [Fact]
    public void AListingUnderWayShowsEachNameThatStaysOnce()
    {
        string one = _repository.Commit("mkdir many; for i in $(seq 100 299); do echo $i > many/$i; done");
        string two = _repository.CommitAside(one, "cd many; rm 1[0-4]*; for i in $(seq 200 240); do echo c > $i; done; for i in $(seq 500 540) 0; do echo n > $i; done");
        using var origin = new OriginHost(_repository.Path);
        using MegaTree tree = Mount(origin, "/", out ClTree view);
        string[] stay = [.. Enumerable.Range(150, 150).Select(i => $"{i}")];
        uint directory = tree.Layer.Find("many");
        for (int pause = 0; pause < 200; pause += 23)
        {
            List<string> seen = [];
            ulong cookie = 0;
            Move(view, one);
            while (tree.Layer.Next(directory, cookie, out LayerEntry entry) == Errno.None)
            {
                Assert.True(entry.Cookie > cookie);
                Assert.Equal(entry.Cookie, ListingRound.PlaceOf(entry.Cookie));
                cookie = entry.Cookie;
                seen.Add(System.Text.Encoding.UTF8.GetString(entry.Name.Span));
                if (seen.Count == pause)
                    Move(view, two);
            }
            Assert.Equal(seen.Count, seen.Distinct().Count());
            Assert.Equal([], stay.Except(seen));
        }
    }

    [Fact]
    public async Task AListingThatWasAskedForBeforeIsOfTheRevisionAfter()
    {
        string other = _repository.CommitAside(_base, "echo other > src/other; echo o > third-party/foo/lib/foo.c");
        using var origin = new OriginHost(_repository.Path, "slow=1500@path=%2Fsrc&");
        using MegaTree tree = Mount(origin, "/", out ClTree view);
        uint source = tree.Layer.Find("src");
        var listing = Task.Run(() => tree.Layer.List(source).Select(entry => System.Text.Encoding.UTF8.GetString(entry.Name)).ToList());
        Assert.True(SpinWait.SpinUntil(() => origin.UnderWay > 0, 10_000));
        Move(view, other);
        Assert.False(listing.IsCompleted);
        Assert.Contains("other", await listing);
        Assert.Equal(Checkout(other), tree.Walk());
    }

    [Fact]
    public async Task WhatIsListedWhileItIsPreparedIsPreparedAnew()
    {
        string other = _repository.CommitAside(_base, "echo other > src/other");
        using var origin = new OriginHost(_repository.Path);
        using MegaTree tree = Mount(origin, "/", out ClTree view);
        uint source = tree.Layer.Find("src");
        ClPrepared prepared = await view.PrepareMove(other, default);
        Assert.Equal([source], prepared.Change.NotLoaded);
        _ = tree.Layer.List(source);
        Assert.False(view.Show(prepared));
        Assert.Equal(_base, view.Address.Revision);
        Assert.Equal(Checkout(_base), tree.Walk());
        Assert.True(view.Show(await view.PrepareAgain(prepared, default)));
        Assert.Equal(Checkout(other), tree.Walk());
    }

    [Fact]
    public void WhileListingsAreHeldNobodyElsePublishesOne()
    {
        using var origin = new OriginHost(_repository.Path);
        using MegaTree tree = Mount(origin, "/", out ClTree view);
        uint source = tree.Layer.Find("src");
        view.HoldListings();
        var listing = new Thread(() => Assert.NotEmpty(tree.Layer.List(source)));
        listing.Start();
        Assert.False(listing.Join(300));
        // Who holds them goes on.
        Assert.Equal(Errno.None, tree.Layer.Load(tree.Layer.Find("third-party"), LayerPart.Names));
        view.ReleaseListings();
        Assert.True(listing.Join(10_000));
        Assert.Equal(Checkout(_base), tree.Walk());
    }

    [Fact]
    public void TheChangelistStaysOnTop()
    {
        string change = _repository.CommitAside(_base, "echo mine > README; mkdir src/mine; echo mine > src/mine/file; rm third-party/foo/lib/foo.c");
        string next = _repository.CommitAside(_base, "echo n > src/deep/big; echo n > third-party/foo/lib/next; echo n > src/next; mkdir -p src/mine; echo theirs > src/mine/theirs");
        string both = _repository.CommitAside(next, "echo mine > README; mkdir -p src/mine; echo mine > src/mine/file; rm third-party/foo/lib/foo.c");
        string against = _repository.CommitAside(_base, "rm README; echo x > third-party/foo/lib/foo.c");
        using var origin = new OriginHost(_repository.Path, [$"C1={_base}..{change}"], []);
        using MegaTree tree = Mount(origin, "/", out ClTree view);
        Set(view, "C1");
        Assert.Equal(Checkout(change), tree.Walk());
        uint mine = tree.Layer.Find("src/mine");
        int asked = origin.Count("/cl/");
        Move(view, next);
        Assert.Equal(asked, origin.Count("/cl/"));
        Assert.Equal(mine, tree.Layer.Find("src/mine"));
        Assert.Equal(Checkout(both), tree.Walk());
        SortedDictionary<string, string> before = tree.Walk();
        string told = Assert.Throws<ClConflict>(() => Move(view, against)).Message;
        Assert.Contains($"changelist C1 does not apply to / at {against}:", told);
        Assert.Contains("\n  README: is to be modified, but is not there", told);
        Assert.Equal(before, tree.Walk());
        Assert.Equal((next, "C1"), (view.Address.Revision, view.Current.Link));
        Set(view, null);
        Assert.Equal(Checkout(next), tree.Walk());
        Move(view, _base);
        Assert.Equal(Checkout(_base), tree.Walk());
    }

    [Theory]
    [InlineData("fail@TREE")]
    [InlineData("drop@TREE")]
    [InlineData("fail@latest-commit?path=%2F&refs=")]
    [InlineData("html@latest-commit?path=%2F&refs=")]
    public void AFailureLeavesWhatIsShown(string quirk)
    {
        string next = _repository.CommitAside(_base, "echo n > src/deep/next; echo n > README");
        using var origin = new OriginHost(_repository.Path, quirk.Replace("TREE", _repository.Git($"rev-parse {next}:src/deep")));
        using MegaTree tree = Mount(origin, "/", out ClTree view);
        SortedDictionary<string, string> before = tree.Walk();
        uint readme = tree.Layer.Find("README");
        Assert.NotEqual("", Assert.Throws<MegaProblem>(() => Move(view, next)).Message);
        Assert.Equal(before, tree.Walk());
        Assert.Equal(readme, tree.Layer.Find("README"));
        Assert.Equal(_base, view.Address.Revision);
    }

    [Fact]
    public void ARevisionOrDirectoryThatIsNotThere()
    {
        string without = _repository.CommitAside(_base, "git rm -q -r third-party");
        using var origin = new OriginHost(_repository.Path);
        using MegaTree tree = Mount(origin, "/third-party/foo", out ClTree view);
        SortedDictionary<string, string> before = tree.Walk();
        Assert.Contains("404", Assert.Throws<MegaProblem>(() => Move(view, "v9")).Message);
        Assert.Contains("no such directory", Assert.Throws<MegaProblem>(() => Move(view, without)).Message);
        Assert.Equal(before, tree.Walk());
        _repository.Git($"tag v1 {_repository.CommitAside(_base, "echo v1 > third-party/foo/lib/foo.c")}");
        Move(view, "v1");
        Assert.Equal("v1\n"u8.ToArray(), tree.Layer.Read(tree.Layer.Find("lib/foo.c"), 0, 10));
        Move(view, null);
        Assert.Equal(before, tree.Walk());
    }

    [Fact]
    public void AServerThatKnowsItsHeadOnlyIsFollowed()
    {
        using var origin = new OriginHost(_repository.Path, "ignore-refs");
        using MegaTree tree = Mount(origin, "/", out ClTree view);
        uint source = tree.Layer.Find("src");
        _ = tree.Layer.List(source);
        string next = _repository.Commit("echo n > src/deep/next; echo n > third-party/foo/FOO; echo n > README");
        // What was not listed can be had no more.
        Assert.Equal(Errno.EIO, tree.Layer.TryFind(tree.Layer.Find("src/deep"), "next"u8, out _));
        Move(view, null);
        Assert.Equal(Checkout(next), tree.Walk());
        Assert.Equal(0, tree.Source.Trees.Drifts);
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/third-party")]
    [InlineData("/third-party/foo")]
    public void AnImportRepositoryIsShownAsItIsNow(string mounted)
    {
        using var origin = new OriginHost(_repository.Path, "import=/third-party/foo");
        using MegaTree tree = Mount(origin, mounted, out ClTree view);
        Assert.Equal(Below(Checkout(_base), mounted), tree.Walk());
        string next = _repository.Commit("echo n > third-party/foo/lib/foo.c; mkdir third-party/foo/new; echo n > third-party/foo/new/file");
        Assert.Equal(Below(Checkout(_base), mounted), tree.Walk());
        Move(view, null);
        Assert.Equal(Below(Checkout(next), mounted), tree.Walk());
        next = _repository.Commit("git rm -q -r third-party/foo/new; echo m > third-party/foo/lib/more");
        Move(view, null);
        Assert.Equal(Below(Checkout(next), mounted), tree.Walk());
    }

    [Fact]
    public void AServerThatIsAwayIsNeededForWhatTheStoreLacks()
    {
        using var origin = new OriginHost(_repository.Path);
        foreach (string commit in (string[])[_base, _topic])
        {
            using MegaTree first = Mount(origin, "/", out _, revision: commit);
            _ = first.Walk();
        }
        using MegaTree tree = Mount(origin, "/", out ClTree view, offline: true, revision: _base);
        Move(view, _topic);
        Assert.Equal(Checkout(_topic), tree.Walk());
        Move(view, _base);
        Assert.Equal("hello\n"u8.ToArray(), tree.Layer.Read(tree.Layer.Find("README"), 0, 10));
        string next = _repository.Commit("echo n > README");
        Assert.Contains("--offline", Assert.Throws<MegaProblem>(() => Move(view, next)).Message);
        Assert.Equal("hello\n"u8.ToArray(), tree.Layer.Read(tree.Layer.Find("README"), 0, 10));
    }

    private static SortedDictionary<string, string> Below(SortedDictionary<string, string> all, string mounted) => mounted == "/" ? all : new(
        all.Where(entry => entry.Key.StartsWith(mounted + "/", StringComparison.Ordinal)).ToDictionary(entry => entry.Key[mounted.Length..], entry => entry.Value),
        StringComparer.Ordinal);

    /// <summary>Few names, so that each is all there is to be in one revision or another.</summary>
    private string RandomCommit(Random random)
    {
        _ = Shell.Bash("git rm -q -r --ignore-unmatch . ; find . -mindepth 1 -not -path './.git*' -delete", directory: _repository.Path).Must();
        Fill(_repository.Path, 0);
        return _repository.Commit("true");

        void Fill(string folder, int depth)
        {
            for (char name = 'a'; name < 'e'; name++)
            {
                string path = $"{folder}/{name}";
                switch (random.Next(depth < 3 ? 6 : 3))
                {
                    case 0:
                        break;
                    case 1:
                        File.WriteAllText(path, $"{random.Next(3)}");
                        break;
                    case 2:
                        File.WriteAllText(path, $"{random.Next(3)}"); // a changelist tells no modes
                        break;
                    default:
                        Directory.CreateDirectory(path);
                        Fill(path, depth + 1);
                        break;
                }
            }
        }
    }

    private static void Touch(MegaTree tree, string path)
    {
        if (path == "*")
        {
            _ = tree.Walk();
            return;
        }
        uint node = ILayer.RootNode;
        foreach (string name in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            if (tree.Layer.TryFind(node, System.Text.Encoding.UTF8.GetBytes(name), out node) != Errno.None)
                return;
        }
        if (path.Length > 0 && tree.Layer.TypeOf(node) == Base.FileType.Directory)
            _ = tree.Layer.List(node);
    }

    private static void Set(ClTree view, string? link) => Assert.True(view.Show(view.Prepare(link, "/", default).GetAwaiter().GetResult()));

    private static void Move(ClTree view, string? revision) => Assert.True(view.Show(view.PrepareMove(revision, default).GetAwaiter().GetResult()));

    private MegaTree Mount(OriginHost origin, string path, out ClTree view, bool offline = false, string? revision = null)
    {
        var tree = new MegaTree($"{origin.Url}{path}{(revision is null ? "" : "@" + revision)}", _scratch.Join("store"), options => options with { Attempts = 2, Offline = offline });
        view = new ClTree(tree.Layer.Tree, tree.Source, Log.Off);
        return tree;
    }

    private SortedDictionary<string, string> Checkout(string commit)
    {
        string folder = _scratch.Join($"checkout-{commit}");
        return MegaTree.Checkout(Directory.Exists(folder) ? folder : _repository.Checkout(commit, folder));
    }
}
