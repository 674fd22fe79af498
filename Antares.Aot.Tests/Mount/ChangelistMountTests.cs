using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>A changelist of a monorepo server in a real mount.</summary>
public sealed class ChangelistMountTests : IDisposable
{
    private readonly ScratchFolder _scratch = new();
    private readonly GitRepository _repository;
    private readonly string _base;
    private readonly string _store;
    private readonly string _state;
    private readonly string _mnt;

    public ChangelistMountTests()
    {
        _repository = new GitRepository(_scratch.Join("repo"));
        _base = _repository.CommitSample();
        _store = _scratch.Join("store");
        _state = _scratch.Make("state");
        _mnt = _scratch.Make("mnt");
    }

    public void Dispose()
    {
        _ = Try("umount", "--all", "--lazy"); // nothing is mounted after most tests
        _scratch.Dispose();
    }

    [MountTheory]
    [InlineData("fuse")]
    [InlineData("kernel")]
    public void AMountShowsTheChangelist(string engine)
    {
        string topic = Everything();
        using OriginProcess origin = Origin($"C1={_base}..{topic}");
        Mount($"mega:{origin.Url}/", "--cl", "C1", "--cl-path", "/", "--engine", engine).Must();
        SameAs(topic);
        _ = Probe.Check(_mnt, "cat README => 'changed\\x0a'\napp README more => ok\ncat README => 'changed\\x0amore'\nput src/new/below/other x => ok\nunlink src/another => ok\ncat src/another => ENOENT\ncat src/main.c => ENOENT\n");
        Assert.Contains("\"cl\":\"C1\"", Try("list", "--json").Must());
        Try("umount", _mnt).Must();
    }

    [MountTheory]
    [InlineData("/src", "/")]
    [InlineData("/", "/src")]
    public void AMountAboveOrBelowThePathsOfTheChangelist(string mounted, string path)
    {
        string topic = Everything();
        using OriginProcess origin = Origin($"C1={_base}..{topic}:{path}");
        ShellResult result = Mount($"mega:{origin.Url}{mounted}", "--cl", "C1", "--cl-path", path);
        result.Must();
        string checkout = _repository.Checkout(topic, _scratch.Join("checkout"));
        _ = Shell.Bash($"diff -r --no-dereference --exclude=.git {checkout}/src {_mnt}{(mounted == "/" ? "/src" : "")}").Must();
        if (mounted == "/")
            Assert.Equal("hello\n", File.ReadAllText($"{_mnt}/README"));
        else
            Assert.Contains("of its changes: /README", result.Error);
        Try("umount", _mnt).Must();
    }

    [MountFact]
    public void OneThatDoesNotApplyLeavesNothing()
    {
        string topic = _repository.CommitAside(_base, "echo c > src/run.sh; rm README");
        _repository.Commit("git rm -q src/run.sh; echo other > README");
        using OriginProcess origin = Origin($"C1={_base}..{topic}");
        ShellResult result = Mount($"mega:{origin.Url}/", "--cl", "C1", "--cl-path", "/");
        Refused(result, "changelist C1 does not apply to / at ");
        Assert.Contains("\n  src/run.sh: is to be modified, but is not there\n", result.Error);
        Assert.Contains("\n  README: is to be deleted, but has another content", result.Error);
        Refused(Mount($"mega:{origin.Url}/", "--cl", "C2", "--cl-path", "/"), "404");
    }

    [MountTheory]
    [InlineData("fail@files-list", "500")]
    [InlineData("wrong", "does not match its id")]
    [InlineData("change=..%2fescape", "'..'")]
    public void ADifficultServerLeavesNothing(string quirk, string reason)
    {
        string topic = Everything();
        using var origin = new OriginProcess(_scratch, _repository.Path, [$"C1={_base}..{topic}"], [quirk]);
        Refused(Mount($"mega:{origin.Url}/", "--cl", "C1", "--cl-path", "/"), reason);
    }

    [MountTheory]
    [InlineData("--cl", "C1")]
    [InlineData("--cl-path", "/")]
    public void AChangelistNeedsAServer(params string[] options)
    {
        ShellResult result = Mount([_scratch.Make("folder"), .. options]);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains($"{options[0]}, --store: only for mega: sources", result.Error);
    }

    [MountTheory]
    [InlineData("needs --cl", "--cl-path", "/")]
    [InlineData("letters, digits", "--cl", "../x")]
    [InlineData("does not begin with '/'", "--cl", "C1", "--cl-path", "a")]
    [InlineData("'..'", "--cl", "C1", "--cl-path", "/a/../b")]
    [InlineData("exclude each other", "--cl", "C1", "--offline")]
    public void WhatIsNoChangelistIsRefused(string reason, params string[] options)
    {
        ShellResult result = Mount(["mega:http://127.0.0.1:1/", .. options]);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(reason, result.Error);
    }

    private string Everything() => _repository.CommitAside(
        _base,
        """
        printf 'changed\n' > README
        printf '#!/bin/sh\necho changed\n' > src/run.sh
        rm src/main.c
        mv src/deep/er/empty src/empty-moved
        mkdir -p src/new/below
        printf 'new file\n' > src/new/below/file
        printf 'also new\n' > src/another
        mv third-party/foo/lib/foo.c third-party/foo/bar.c
        rm src/link; mkdir src/link; printf 'in a directory now\n' > src/link/file
        rm src/deep/big; rmdir src/deep/er src/deep; printf 'a file now\n' > src/deep
        """);

    private OriginProcess Origin(params string[] changelists) => new(_scratch, _repository.Path, changelists, []);

    private void SameAs(string commit)
    {
        string checkout = _scratch.Join($"checkout-{commit}");
        if (!Directory.Exists(checkout))
            _ = _repository.Checkout(commit, checkout);
        _ = Shell.Bash($"diff -r --no-dereference --exclude=.git {checkout} {_mnt}", 120).Must();
        string list = "find . -name .git -prune -o \\( -type f -o -type l -o -type d -mindepth 1 \\) -printf '%P %m %l\\n' 2>/dev/null | sort";
        Assert.Equal(Shell.Bash(list, directory: checkout).Must(), Shell.Bash(list, directory: _mnt).Must());
    }

    private void Refused(ShellResult result, string reason)
    {
        Assert.Equal(3, result.ExitCode);
        Assert.Contains(reason, result.Error);
        Assert.Null(MountTable.Find(_mnt));
        Assert.DoesNotContain(_mnt, Try("list").Must());
        Assert.Empty(Directory.GetDirectories(_scratch.Path, "antares_build_*"));
    }

    private ShellResult Mount(params string[] words) =>
        Try(["mount", words[0], _mnt, "--store", _store, "--workspace-root", _scratch.Path, .. words[1..]]);

    private ShellResult Try(params string[] words) => Shell.Run(TestEnvironment.Binary, words, 60, environment: ("ANTARES_STATE_DIR", _state));
}
