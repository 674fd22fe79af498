using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Mega.Changes;
using Antares.Aot.Dicfuse.Tree;
using Antares.Aot.Layers;
using Antares.Aot.Tests.Support;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>A changelist over a tree of a server: what it shows, when it is refused, and what stays when another takes its place.</summary>
public sealed class ChangelistTreeTests : IDisposable
{
    /// <summary>Everything a changelist can do, at once.</summary>
    private const string Everything =
        """
        printf 'changed\n' > README
        printf '#!/bin/sh\necho changed\n' > src/run.sh
        rm src/main.c
        mv src/deep/er/empty src/empty-moved
        mkdir -p src/new/below third-party/foo/lib
        printf 'new file\n' > src/new/below/file
        printf 'also new\n' > src/another
        mv third-party/foo/lib/foo.c third-party/foo/bar.c
        git rm -q -r 'odd + names'; mkdir -p 'odd + names'; printf 'z' > 'odd + names/ü&%#'
        rm src/link; mkdir src/link; printf 'in a directory now\n' > src/link/file
        rm src/deep/big; rmdir src/deep/er src/deep; printf 'a file now\n' > src/deep
        """;

    private readonly ScratchFolder _scratch = new();
    private readonly GitRepository _repository;
    private readonly string _base;
    private readonly string _topic;

    public ChangelistTreeTests()
    {
        _repository = new GitRepository(_scratch.Join("repo"));
        _base = _repository.CommitSample();
        _topic = _repository.CommitAside(_base, Everything);
    }

    public void Dispose() => _scratch.Dispose();

    [Fact]
    public void TheTreeIsACheckoutOfTheChange()
    {
        using OriginHost origin = Origin();
        using MegaTree tree = Mount(origin, "/", out ClTree changes);
        Assert.Equal(Checkout(_base), tree.Walk());
        Set(changes, "C1");
        Assert.Equal(Checkout(_topic), tree.Walk());
        Assert.DoesNotContain(changes.Current.Outcomes, outcome => outcome.IsAlready);
        Assert.Empty(changes.Current.Outside);
        Set(changes, null);
        Assert.Equal(Checkout(_base), tree.Walk());
        Assert.Null(changes.Current.Link);
    }

    [Theory]
    [InlineData("/src", "/")]
    [InlineData("/src", "/src")]
    [InlineData("/src/deep", "/src")]
    [InlineData("/", "/src")]
    [InlineData("/", "/third-party/foo")]
    [InlineData("/third-party", "/third-party/foo")]
    public void PathsAreMappedAboveAndBelowTheMountedOne(string mounted, string origin)
    {
        string script = "echo c > src/deep/er/empty; echo n > src/deep/new; mv src/deep/big src/big; mv third-party/foo/FOO third-party/foo/lib/FOO; echo x > README";
        string topic = _repository.CommitAside(_base, script);
        using var server = new OriginHost(_repository.Path, [$"C1={_base}..{topic}:{origin}"], []);
        using MegaTree tree = Mount(server, mounted, out ClTree changes);
        Set(changes, "C1", origin);
        SortedDictionary<string, string> whole = Checkout(topic);
        SortedDictionary<string, string> before = Checkout(_base);
        var expected = new SortedDictionary<string, string>(StringComparer.Ordinal);
        string prefix = mounted == "/" ? "" : mounted;
        foreach (string path in whole.Keys.Union(before.Keys).Where(path => path.StartsWith(prefix + "/", StringComparison.Ordinal)))
        {
            // What the changelist does not know stays as it was.
            bool known = origin == "/" || path.StartsWith(origin + "/", StringComparison.Ordinal);
            if ((known ? whole : before).TryGetValue(path, out string? what))
                expected[path[prefix.Length..]] = what;
        }
        // Of what came from elsewhere nobody tells the mode.
        Assert.Equal(expected, tree.Walk());
    }

    [Fact]
    public void WhatLiesOutsideIsTold()
    {
        using OriginHost origin = Origin();
        using MegaTree tree = Mount(origin, "/third-party/foo", out ClTree changes);
        Set(changes, "C1", "/");
        Assert.Equal(["bar.c"], changes.Current.Outcomes.Select(outcome => outcome.Path));
        Assert.Contains((ClAction.Modified, "/README"), changes.Current.Outside);
        Assert.Equal(_repository.Git($"diff-tree -r -M --name-only {_base} {_topic} | wc -l"), $"{changes.Current.Outside.Count + 1}");
    }

    [Fact]
    public void AModeComesFromWhatTheFileWas()
    {
        string topic = _repository.CommitAside(_base, "echo more >> src/run.sh; git mv src/run.sh moved.sh; git mv src/link moved-link; echo y > plain; echo z > script; chmod +x script");
        using var origin = new OriginHost(_repository.Path, [$"C1={_base}..{topic}"], []);
        using MegaTree tree = Mount(origin, "/", out ClTree changes);
        Set(changes, "C1");
        Assert.Equal("100755", Mode(tree, "moved.sh"));
        Assert.Equal("120777", Mode(tree, "moved-link"));
        Assert.Equal("100644", Mode(tree, "script"));
        Assert.Equal(["plain", "script"], changes.Current.Outcomes.Where(outcome => outcome.IsModeUnsure).Select(outcome => outcome.Path));
        // Once it is in the head, the server tells.
        _repository.Git($"checkout -q --detach {topic}");
        using var store = new MegaTree($"{origin.Url}/@{_base}", _scratch.Join("store"));
        var after = new ClTree(store.Layer.Tree, store.Source, Log.Off);
        Set(after, "C1");
        Assert.Equal("100755", Mode(store, "script"));
        Assert.DoesNotContain(after.Current.Outcomes, outcome => outcome.IsModeUnsure);
    }

    [Fact]
    public void AChangelistThatIsInTheRevisionChangesNothing()
    {
        using OriginHost origin = Origin();
        _repository.Git($"checkout -q --detach {_topic}");
        using MegaTree tree = Mount(origin, "/", out ClTree changes);
        Set(changes, "C1");
        Assert.Equal(Checkout(_topic), tree.Walk());
        Assert.All(changes.Current.Outcomes, outcome => Assert.True(outcome.IsAlready, outcome.Path));
        Assert.Null(tree.Layer.Tree.Edits);
    }

    [Fact]
    public void OneThatDoesNotApplyIsRefusedWithEachPath()
    {
        string elsewhere = _repository.CommitAside(
            _base,
            "echo mine > src/another; rm src/main.c; mkdir src/main.c; echo x > src/main.c/x; echo q > src/deep/big; git rm -q src/run.sh third-party/foo/lib/foo.c; rm -r src/link; rm src/deep/er/empty; mkdir src/link; echo l > src/link/x; mkdir src/new; echo k > src/new/below");
        using OriginHost origin = Origin();
        _repository.Git($"checkout -q --detach {elsewhere}");
        using MegaTree tree = Mount(origin, "/", out ClTree changes);
        SortedDictionary<string, string> before = tree.Walk();
        string told = Assert.Throws<ClConflict>(() => Set(changes, "C1")).Message;
        string[] lines = told.Split("\n  ");
        Assert.StartsWith("changelist C1 does not apply to / at ", lines[0]);
        Assert.Contains("src/another: is new, but there is a file of another content already", lines);
        Assert.Contains(lines, line => line.StartsWith("src/deep/big: is to be deleted, but has another content", StringComparison.Ordinal));
        Assert.Contains("src/run.sh: is to be modified, but is not there", lines);
        Assert.Contains("third-party/foo/bar.c: was third-party/foo/lib/foo.c, but that is not there", lines);
        Assert.Contains("src/main.c: is to be deleted as a file, but is a directory", lines);
        Assert.Contains("src/deep: is to become a file, but is a directory of which something stays", lines);
        Assert.Contains("src/empty-moved: was src/deep/er/empty, but that is not there", lines);
        Assert.Contains("src/new/below: is to become a directory, but is a file", lines);
        Assert.Equal(before, tree.Walk());
        Assert.Null(changes.Current.Link);
    }

    [Theory]
    [InlineData("fail@files-list")]
    [InlineData("fail@BLOB")]
    [InlineData("wrong@BLOB")]
    [InlineData("drop@BLOB")]
    [InlineData("truncate@files-list")]
    [InlineData("html@files-list")]
    [InlineData("change=..%2fescape@files-list")]
    [InlineData("change=a%00b@files-list")]
    [InlineData("change=%2fetc@files-list")]
    [InlineData("change=README@files-list")]
    [InlineData("change=src%2frun.sh%2fx@files-list")]
    public void AFailureLeavesWhatIsShown(string quirk)
    {
        string other = _repository.CommitAside(_base, "echo other > README; echo o > other");
        string blob = _repository.Git($"rev-parse {_topic}:README");
        using var origin = new OriginHost(_repository.Path, [$"C0={_base}..{other}", $"C1={_base}..{_topic}"], [quirk.Replace("BLOB", blob).Replace("files-list", "C1/files-list")]);
        using MegaTree tree = Mount(origin, "/", out ClTree changes);
        Set(changes, "C0");
        SortedDictionary<string, string> before = tree.Walk();
        Assert.Equal(Checkout(other), before);
        string told = Assert.ThrowsAny<MegaProblem>(() => Set(changes, "C1")).Message;
        Assert.NotEqual("", told);
        Assert.Equal(before, tree.Walk());
        Assert.Equal("C0", changes.Current.Link);
    }

    [Fact]
    public void AnAbsentChangelistIsTold()
    {
        using OriginHost origin = Origin();
        using MegaTree tree = Mount(origin, "/", out ClTree changes);
        Assert.Contains("404", Assert.Throws<MegaProblem>(() => Set(changes, "C9")).Message);
    }

    [Fact]
    public void TheServerTellsTheOriginToWhoIsLoggedIn()
    {
        string topic = _repository.CommitAside(_base, "echo c > src/deep/er/empty");
        using var origin = new OriginHost(_repository.Path, [$"C1={_base}..{topic}:/src/deep"], []);
        using var tree = new MegaTree($"{origin.Url}/", _scratch.Join("store"), options => options with { Token = "t" });
        var changes = new ClTree(tree.Layer.Tree, tree.Source, Log.Off);
        Set(changes, "C1", null);
        Assert.Equal("/src/deep", changes.Current.Origin);
        Assert.Equal(Checkout(topic), tree.Walk());
    }

    [Fact]
    public void NodesOfDirectoriesStayAndThoseOfFilesAreNotUsedAgain()
    {
        string other = _repository.CommitAside(_base, "echo other > README; mkdir -p src/new/below; echo o > src/new/below/file; rm src/main.c; echo k > src/keep");
        string third = _repository.CommitAside(_base, "echo k > src/keep; echo t > README");
        using var origin = new OriginHost(_repository.Path, [$"C1={_base}..{_topic}", $"C2={_base}..{other}", $"C3={_base}..{third}"], []);
        using MegaTree tree = Mount(origin, "/", out ClTree changes);
        Set(changes, "C1");
        uint directory = tree.Layer.Find("src/new/below");
        uint source = tree.Layer.Find("src");
        uint readme = tree.Layer.Find("README");
        uint file = tree.Layer.Find("src/new/below/file");
        stat before = tree.Layer.Getattr(readme);
        Set(changes, "C2");
        uint kept = tree.Layer.Find("src/keep");
        Assert.Equal(directory, tree.Layer.Find("src/new/below"));
        Assert.Equal(source, tree.Layer.Find("src"));
        uint now = tree.Layer.Find("README");
        Assert.NotEqual(readme, now);
        Assert.NotEqual(tree.Layer.Getattr(readme).st_ino, tree.Layer.Getattr(now).st_ino);
        Assert.True(PackedTime.Pack(tree.Layer.Getattr(now).st_mtim) > PackedTime.Pack(before.st_mtim));
        // Whoever has the old one open reads the old one, also what was not read before.
        Assert.Equal("changed\n"u8.ToArray(), tree.Layer.Read(readme, 0, 100));
        Assert.Equal("new file\n"u8.ToArray(), tree.Layer.Read(file, 0, 100));
        Set(changes, "C3");
        Assert.Equal(kept, tree.Layer.Find("src/keep"));
        Assert.Equal(Errno.ENOENT, tree.Layer.TryFind(tree.Layer.Find("src"), "new"u8, out _));
        Assert.Empty(tree.Layer.List(directory));
        Set(changes, "C1");
        Assert.Equal(directory, tree.Layer.Find("src/new/below"));
        Assert.Equal(Checkout(_topic), tree.Walk());
        // What is again as the revision has it was changed now, for those who go by times.
        stat changed = tree.Layer.Getattr(tree.Layer.Find("README"));
        Set(changes, null);
        stat again = tree.Layer.Getattr(tree.Layer.Find("README"));
        Assert.True(PackedTime.Pack(again.st_mtim) > PackedTime.Pack(changed.st_mtim));
        Assert.Equal(Checkout(_base), tree.Walk());
        uint last = tree.Layer.Find("README");
        Set(changes, null);
        Assert.Equal(last, tree.Layer.Find("README"));
    }

    [Fact]
    public void AListingUnderWayShowsEachNameThatStaysOnce()
    {
        string many = _repository.Commit("mkdir many; for i in $(seq 100 299); do echo $i > many/$i; done");
        string one = _repository.CommitAside(many, "cd many; rm 1[0-4]*; for i in $(seq 200 240); do echo c > $i; done; for i in $(seq 500 540); do echo n > $i; done");
        string two = _repository.CommitAside(many, "cd many; rm 29*; for i in $(seq 230 250); do echo d > $i; done; for i in $(seq 520 560) 0; do echo n > $i; done");
        using var origin = new OriginHost(_repository.Path, [$"C1={many}..{one}", $"C2={many}..{two}"], []);
        using MegaTree tree = Mount(origin, "/", out ClTree changes);
        string[] stay = [.. Enumerable.Range(150, 140).Concat(Enumerable.Range(520, 21)).Select(i => $"{i}")];
        Set(changes, "C1");
        uint directory = tree.Layer.Find("many");
        for (int pause = 0; pause < 230; pause += 7)
        {
            List<string> seen = [];
            ulong cookie = 0;
            Set(changes, "C1");
            while (tree.Layer.Next(directory, cookie, out LayerEntry entry) == Errno.None)
            {
                Assert.True(entry.Cookie > cookie);
                cookie = entry.Cookie;
                seen.Add(System.Text.Encoding.UTF8.GetString(entry.Name.Span));
                if (seen.Count == pause)
                    Set(changes, "C2");
            }
            Assert.Equal(seen.Count, seen.Distinct().Count());
            Assert.Equal([], stay.Except(seen));
        }
    }

    [Fact]
    public void ADeepPathIsAPathLikeOthers()
    {
        string deep = string.Concat(Enumerable.Repeat("a/", 1500));
        string topic = _repository.CommitAside(_base, $"mkdir -p {deep}; echo d > {deep}file");
        using var origin = new OriginHost(_repository.Path, [$"C1={_base}..{topic}"], []);
        using MegaTree tree = Mount(origin, "/", out ClTree changes);
        Set(changes, "C1");
        Assert.Equal("d\n"u8.ToArray(), tree.Layer.Read(tree.Layer.Find($"{deep}file"), 0, 10));
        Set(changes, null);
        Assert.Equal(Checkout(_base), tree.Walk());
    }

    [Fact]
    public void AnImportRepositoryHasItsOwnPaths()
    {
        string topic = _repository.CommitAside(_base, "echo c > third-party/foo/FOO; rm third-party/foo/lib/foo.c; echo n > third-party/foo/lib/n");
        using var origin = new OriginHost(_repository.Path, [$"C1={_base}..{topic}:/third-party/foo"], ["import=/third-party/foo"]);
        using MegaTree tree = Mount(origin, "/", out ClTree changes);
        Set(changes, "C1", "/third-party/foo");
        Assert.Equal(Checkout(topic), tree.Walk());
    }

    [Fact]
    public void BlobsComeTogether()
    {
        string many = _repository.CommitAside(_base, "mkdir many; for i in $(seq 60); do echo $i$i > many/$i; done");
        using var origin = new OriginHost(_repository.Path, [$"C1={_base}..{many}"], ["slow=50@/blob/"]);
        using MegaTree tree = Mount(origin, "/", out ClTree changes);
        Set(changes, "C1");
        Assert.InRange(origin.MostUnderWay, 4, 16);
        int asked = origin.Seen.Count;
        Assert.Equal(Checkout(many)["/many/7"], tree.Walk(tree.Layer.Find("many"), "/many")["/many/7"]);
        Assert.Equal(asked, origin.Seen.Count);
    }

    private static void Set(ClTree changes, string? link, string? origin = "/") =>
        changes.Show(changes.Prepare(link, origin, default).GetAwaiter().GetResult());

    private static string Mode(MegaTree tree, string path) => Convert.ToString(tree.Layer.Getattr(tree.Layer.Find(path)).st_mode, 8);

    private OriginHost Origin() => new(_repository.Path, [$"C1={_base}..{_topic}"], []);

    private MegaTree Mount(OriginHost origin, string path, out ClTree changes)
    {
        var tree = new MegaTree(origin.Url + path, _scratch.Join("store"), options => options with { Attempts = 2 });
        changes = new ClTree(tree.Layer.Tree, tree.Source, Log.Off);
        return tree;
    }

    private SortedDictionary<string, string> Checkout(string commit)
    {
        string folder = _scratch.Join($"checkout-{commit}");
        return MegaTree.Checkout(Directory.Exists(folder) ? folder : _repository.Checkout(commit, folder));
    }
}
