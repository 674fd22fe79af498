using System.Text.Json;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>The changelist of a mount in use is exchanged for another.</summary>
public sealed class ChangelistSwapMountTests : IDisposable
{
    private readonly ScratchFolder _scratch = new();
    private readonly GitRepository _repository;
    private readonly string _base;
    private readonly string _one;
    private readonly string _two;
    private readonly string _state;
    private readonly string _mnt;
    private OriginProcess? _origin;

    public ChangelistSwapMountTests()
    {
        _repository = new GitRepository(_scratch.Join("repo"));
        _ = _repository.CommitSample();
        _base = _repository.Commit("head -c 400000 /dev/zero | tr '\\0' 0 > src/data; mkdir -p src/gone/deep; echo g > src/gone/deep/file; printf 'out/%%: src/%%\\n\\tmkdir -p out; cp $< $@\\nall: out/data out/run.sh\\n' > Makefile");
        _one = _repository.CommitAside(_base, "tr 0 1 < src/data > d; mv d src/data; echo one > README; mkdir src/new; echo one > src/new/file; mv src/deep/big src/new/big; echo one > src/run.sh; rm src/main.c; rm -r src/gone");
        _two = _repository.CommitAside(_base, "tr 0 2 < src/data > d; mv d src/data; echo two > README; mkdir -p src/new/more; echo two > src/new/more/file; rm src/link; mkdir src/link; echo two > src/link/x; rm src/run.sh");
        _state = _scratch.Make("state");
        _mnt = _scratch.Make("mnt");
    }

    public void Dispose()
    {
        _ = Try("umount", "--all", "--lazy"); // nothing is mounted after most tests
        _origin?.Dispose();
        _scratch.Dispose();
    }

    [MountFact]
    public void EachIsShownWhole()
    {
        Mount();
        foreach (string commit in (string[])[_base, _one, _two, _base, _two, _one, _base])
        {
            Show(commit);
            SameAs(commit);
            // What the kernel knows by now must not be what it shows next.
            _ = Shell.Bash($"cd {_mnt} && ls -lR . > /dev/null; stat src/new/file src/new/more/file src/link/x src/gone/deep/file > /dev/null 2>&1; cat src/* > /dev/null 2>&1; true").Must();
        }
        Try("umount", _mnt).Must();
    }

    [MountFact]
    public void TenSwapsUnderReadersAndABuild()
    {
        Mount();
        using var stop = new CancellationTokenSource();
        using FileStream held = File.OpenRead($"{_mnt}/src/data");
        List<string> problems = [];
        Thread[] readers = [.. Enumerable.Range(0, 3).Select(_ => new Thread(() => Read(stop.Token, problems)))];
        foreach (Thread reader in readers)
            reader.Start();
        using System.Diagnostics.Process build = Shell.Start("bash", ["-c", $"cd {_mnt}; mkdir -p out; while [ ! -e stop ]; do make -s all 2> /dev/null; done; echo ended"]);
        for (int round = 1; round <= 10; round++)
        {
            Show(round % 3 == 0 ? _base : round % 3 == 1 ? _one : _two);
            Assert.Equal('0', WholeOf(held));
            _ = Shell.Bash($"cd {_mnt} && echo {round} >> kept && mkdir -p made/{round} && echo {round} > src/mine-{round}").Must();
        }
        Show(_two);
        File.WriteAllText($"{_mnt}/stop", "");
        Assert.True(build.WaitForExit(60_000), "the build hangs");
        stop.Cancel();
        foreach (Thread reader in readers)
            reader.Join();
        lock (problems)
            Assert.Empty(problems);
        Assert.Equal(string.Concat(Enumerable.Range(1, 10).Select(i => $"{i}\n")), File.ReadAllText($"{_mnt}/kept"));
        Assert.Equal(10, Directory.GetDirectories($"{_mnt}/made").Length);
        Assert.Equal(10, Directory.GetFiles($"{_mnt}/src", "mine-*").Length);
        // A build afterwards sees by the times that everything is to be made anew.
        _ = Shell.Bash($"cd {_mnt} && rm -f out/run.sh && make -s out/data && cmp src/data out/data").Must();
        Show(_one);
        _ = Shell.Bash($"cd {_mnt} && make -s all && cmp src/data out/data && cmp src/run.sh out/run.sh").Must();
        Show(_base);
        _ = Shell.Bash($"cd {_mnt} && make -s all && cmp src/data out/data && cmp src/run.sh out/run.sh").Must();
        Assert.Equal('0', WholeOf(held));
        Shell.Bash($"cd {_mnt} && rm -r out kept made stop src/mine-*").Must();
        SameAs(_base);
        held.Close();
        Try("umount", _mnt).Must();
    }

    [MountFact]
    public void WhatIsOpenGoesOn()
    {
        Mount();
        Show(_one);
        string script = $$"""
            set -e
            cd {{_mnt}}/src/new
            exec 3< file 4< ../data 5< ../run.sh
            echo ready
            read -r _
            test "$(cat <&3)" = one
            test "$(head -c 10 <&4)" = 1111111111
            test "$(cat <&5)" = one
            test ! -e file
            cd more
            cat file
            read -r _
            ls
            cd {{_mnt}}/src/gone/deep
            cat file
            read -r _
            ls -la > /dev/null
            test ! -e file
            echo checked
            read -r _
            cat file
            """;
        using System.Diagnostics.Process user = Shell.Start("bash", ["-c", script]);
        Assert.Equal("ready", user.StandardOutput.ReadLine());
        Show(_two);
        user.StandardInput.WriteLine();
        Assert.Equal("two", user.StandardOutput.ReadLine());
        Show(_base);
        user.StandardInput.WriteLine();
        Assert.Equal("g", user.StandardOutput.ReadLine());
        Show(_one);
        user.StandardInput.WriteLine();
        Assert.Equal("checked", user.StandardOutput.ReadLine());
        Show(_base);
        user.StandardInput.WriteLine();
        Assert.Equal("g", user.StandardOutput.ReadLine());
        Assert.True(user.WaitForExit(10_000));
        Assert.Equal("", user.StandardError.ReadToEnd());
        Assert.Equal(0, user.ExitCode);
    }

    [MountFact]
    public void AWriteToWhatWasExchangedGoesNowhereElse()
    {
        Mount();
        using FileStream held = File.Open($"{_mnt}/README", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        using FileStream again = File.Open($"{_mnt}/src/run.sh", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        Show(_one);
        held.Write("mine"u8);
        held.Flush();
        byte[] content = new byte[10];
        held.Position = 0;
        Assert.Equal("mineo\n", System.Text.Encoding.ASCII.GetString(content, 0, held.ReadAtLeast(content, 10, throwOnEndOfStream: false)));
        Assert.Equal("one\n", File.ReadAllText($"{_mnt}/README"));
        // What was written while it had a name is the workspace's, and stays.
        using FileStream fresh = File.Open($"{_mnt}/src/run.sh", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        fresh.Write("mine"u8);
        fresh.Flush();
        Show(_two);
        fresh.Write("more"u8);
        fresh.Flush();
        Assert.Equal("minemore", File.ReadAllText($"{_mnt}/src/run.sh"));
        Assert.Equal("two\n", File.ReadAllText($"{_mnt}/README"));
        held.Close();
        fresh.Close();
        again.Close();
        Try("umount", _mnt).Must();
    }

    [MountFact]
    public void RunTakesOneToo()
    {
        Start([], []);
        ShellResult result = Try("run", $"mega:{_origin!.Url}/", "--cl", "C1", "--cl-path", "/", "--store", _scratch.Join("store"), "--workspace-root", _scratch.Path, "--", "cat", "README", "src/new/file");
        Assert.Equal("one\none\n", result.Must());
    }

    [MountFact]
    public void ALargeOneIsExchangedQuickly()
    {
        string many = _repository.CommitAside(_base, "for d in $(seq 50); do mkdir -p many/$d; for i in $(seq 100); do echo $d > many/$d/$i; done; done");
        Start([$"C3={_base}..{many}"], []);
        Mount([], start: false);
        Assert.StartsWith("changelist C3, paths from / (the server does not tell; --cl-path names another), over /: 5000 changes\n", Try("cl", "set", _mnt, "C3").Must());
        Assert.Equal("5000\n", Shell.Bash($"find {_mnt}/many -type f | wc -l; cat {_mnt}/many/*/* > /dev/null").Must());
        Show(_base);
        Assert.False(Directory.Exists($"{_mnt}/many"));
        long start = Environment.TickCount64;
        Try("cl", "set", _mnt, "C3", "--cl-path", "/").Must();
        Assert.True(Environment.TickCount64 - start < 10_000, $"{Environment.TickCount64 - start} ms");
        Assert.Equal("50\n", File.ReadAllText($"{_mnt}/many/50/100"));
        Assert.Contains("with changelist C3", Try("list").Must());
    }

    [MountFact]
    public void WhatTheWorkspaceWroteStaysInFront()
    {
        string upper = _scratch.Make("upper");
        Mount("--upper", upper);
        Show(_one);
        _ = Shell.Bash(
            $"cd {_mnt} && echo mine > README && echo mine >> src/new/file && rm src/run.sh && echo mine > src/main.c && mkdir -p src/gone/deep && echo mine > src/gone/deep/mine "
            + "&& mkdir src/new/more && echo mine > src/new/more/mine && mv third-party moved && echo mine > src/deep/er/mine").Must();
        string told = Try("cl", "set", _mnt, "C2", "--cl-path", "/").Must();
        Assert.Equal(
            ["/README  (changed", "/src/main.c  (changed", "/src/new/file  (changed"],
            told.Split('\n').Where(line => line.StartsWith("  conflict  ", StringComparison.Ordinal)).Select(line => line["  conflict  ".Length..].Split(" in the")[0]));
        const string Kept =
            """
            test "$(cat README)" = mine
            test "$(cat src/new/file)" = "one
            mine"
            test ! -e src/run.sh
            test "$(cat src/main.c)" = mine
            test "$(cat src/gone/deep/mine)" = mine
            test "$(cat moved/foo/FOO)" = top
            test "$(cat src/deep/er/mine)" = mine
            test "$(cat src/new/more/mine)" = mine
            """;
        _ = Shell.Bash($"set -e; cd {_mnt}; {Kept}; test \"$(cat src/new/more/file)\" = two; ls src/new/more | tr '\\n' ' ' | grep -qx 'file mine '; test \"$(cat src/link/x)\" = two").Must();
        Try("cl", "clear", _mnt).Must();
        _ = Shell.Bash($"set -e; cd {_mnt}; {Kept}; test ! -e src/new/more/file; test -L src/link").Must();
        Show(_two);
        string before = Shell.Bash($"cd {_mnt}; find . -type f -exec cksum {{}} + | sort -k 3; find . | sort").Must();
        Try("umount", _mnt).Must();
        // The next mount of the upper shows the same.
        Mount("--upper", upper, "--cl", "C2", "--cl-path", "/");
        Assert.Equal(before, Shell.Bash($"cd {_mnt}; find . -type f -exec cksum {{}} + | sort -k 3; find . | sort").Must());
        using JsonDocument shown = JsonDocument.Parse(Try("cl", "show", _mnt, "--json").Must());
        Assert.Equal("C2", shown.RootElement.GetProperty("cl").GetString());
        Assert.Contains("/README", shown.RootElement.GetProperty("conflicts").EnumerateArray().Select(conflict => conflict.GetProperty("path").GetString()));
        Try("umount", _mnt).Must();
    }

    [MountTheory]
    [InlineData("fail@C2/files-list", "500")]
    [InlineData("wrong@BLOB", "does not match its id")]
    [InlineData("html@C2/files-list", "not what a Mega server says")]
    [InlineData("change=a%2f..%2fb@C2/files-list", "'..'")]
    [InlineData("change=src%2fdata%2fx@C2/files-list", "as a file and as a directory")]
    public void AFailureLeavesWhatWasShown(string quirk, string reason)
    {
        Mount(quirks: [quirk.Replace("BLOB", _repository.Git($"rev-parse {_two}:README"))]);
        Show(_one);
        using FileStream held = File.OpenRead($"{_mnt}/src/data");
        ShellResult result = Try("cl", "set", _mnt, "C2", "--cl-path", "/");
        Assert.Equal(3, result.ExitCode);
        Assert.Contains(reason, result.Error);
        Assert.Contains("C1 is still shown", result.Error);
        SameAs(_one);
        Assert.Equal('1', WholeOf(held));
        Assert.StartsWith("changelist C1, ", Try("cl", "show", _mnt).Must());
        Assert.Contains("\"cl\":\"C1\"", Try("list", "--json").Must());
    }

    [MountFact]
    public void ADeadServerLeavesWhatWasShownAndClearingNeedsNone()
    {
        Mount();
        Assert.Equal("int main;\n", File.ReadAllText($"{_mnt}/src/main.c"));
        Show(_one);
        SameAs(_one);
        _ = Shell.Bash($"cd {_mnt}; cat src/run.sh src/main.c README; ls src/gone"); // some of them are not there
        Assert.Equal(0, _origin!.Stop());
        ShellResult result = Try("cl", "set", _mnt, "C2", "--cl-path", "/");
        Assert.Equal(3, result.ExitCode);
        Assert.Contains("cannot connect", result.Error);
        Assert.Equal("one\n", File.ReadAllText($"{_mnt}/README"));
        Assert.Equal("no changelist\n", Try("cl", "clear", _mnt).Must());
        Assert.True(File.Exists($"{_mnt}/src/main.c"));
        Assert.False(File.Exists($"{_mnt}/src/new/file"));
        Assert.DoesNotContain("\"cl\"", Try("list", "--json").Must());
    }

    [MountFact]
    public void OneThatDoesNotApplyIsRefusedWithTheList()
    {
        string other = _repository.CommitAside(_base, "rm Makefile; echo more >> src/data");
        _repository.Git($"checkout -q --detach {_base}");
        string head = _repository.Commit("rm src/data; echo x >> Makefile");
        Start([$"C3={_base}..{other}"], []);
        Mount([], start: false);
        ShellResult result = Try("cl", "set", _mnt, "C3", "--cl-path", "/");
        Assert.Equal(3, result.ExitCode);
        Assert.Contains($"changelist C3 does not apply to / at {head}:\n  Makefile: is to be deleted, but has another content", result.Error);
        Assert.Contains("\n  src/data: is to be modified, but is not there", result.Error);
        Assert.Equal("no changelist\n", Try("cl", "show", _mnt).Must());
    }

    [MountFact]
    public void OthersAreAnsweredMeanwhile()
    {
        Mount(quirks: ["slow=3000@C2/files-list"]);
        string[] words = ["cl", "set", _mnt, "C2", "--cl-path", "/"];
        using System.Diagnostics.Process setting = Shell.Start(TestEnvironment.Binary, words, environment: ("ANTARES_STATE_DIR", _state));
        Thread.Sleep(500);
        long start = Environment.TickCount64;
        _ = Try("stats", _mnt).Must();
        Assert.Equal("no changelist\n", Try("cl", "show", _mnt).Must());
        ShellResult second = Try(words);
        Assert.Equal("hello\n", File.ReadAllText($"{_mnt}/README"));
        Assert.True(Environment.TickCount64 - start < 2000, $"{Environment.TickCount64 - start} ms");
        Assert.Equal(3, second.ExitCode);
        Assert.Contains("just being fetched", second.Error);
        Assert.True(setting.WaitForExit(20_000));
        Assert.Equal(0, setting.ExitCode);
        Assert.Equal("two\n", File.ReadAllText($"{_mnt}/README"));
    }

    [MountFact]
    public void AnUnmountEndsWhatIsUnderWay()
    {
        Mount(quirks: ["slow=15000@C2/files-list"]);
        using System.Diagnostics.Process setting = Shell.Start(TestEnvironment.Binary, ["cl", "set", _mnt, "C2", "--cl-path", "/"], environment: ("ANTARES_STATE_DIR", _state));
        Thread.Sleep(500);
        long start = Environment.TickCount64;
        Try("umount", _mnt).Must();
        Assert.True(Environment.TickCount64 - start < 10_000, $"{Environment.TickCount64 - start} ms");
        Assert.True(setting.WaitForExit(20_000));
        Assert.Equal(3, setting.ExitCode);
        Assert.Equal("", Try("list").Must());
    }

    [MountTheory]
    [InlineData("/src", "/")]
    [InlineData("/", "/src")]
    public void PathsAboveAndBelowTheMountedOne(string mounted, string path)
    {
        _origin = new OriginProcess(_scratch, _repository.Path, [$"C1={_base}..{_one}:{path}", $"C2={_base}..{_two}:{path}"], []);
        Try("mount", $"mega:{_origin.Url}{mounted}", _mnt, "--store", _scratch.Join("store"), "--workspace-root", _scratch.Path).Must();
        string below = mounted == "/" ? "/src" : "", at = _mnt + below;
        File.WriteAllText($"{at}/build.mk", "out/%: %\n\tmkdir -p out; cp $< $@\nall: out/data out/run.sh\n");
        using FileStream held = File.OpenRead($"{at}/data");
        using System.Diagnostics.Process build = Shell.Start("bash", ["-c", $"cd {at}; while [ ! -e stop ]; do make -s -f build.mk all 2> /dev/null; done; echo ended"]);
        for (int round = 0; round < 10; round++)
        {
            string commit = round % 3 == 0 ? _one : round % 3 == 1 ? _two : _base;
            string[] words = commit == _base ? ["cl", "clear", _mnt] : ["cl", "set", _mnt, commit == _one ? "C1" : "C2", "--cl-path", path];
            string told = Try(words).Must();
            Assert.Equal(mounted != "/" && commit != _base, told.Contains("  outside   /README  (modified", StringComparison.Ordinal));
            string checkout = _scratch.Join($"checkout-{commit}");
            if (!Directory.Exists(checkout))
                _ = _repository.Checkout(commit, checkout);
            _ = Shell.Bash($"diff -r --no-dereference --exclude=out --exclude=build.mk --exclude=kept --exclude='mine-*' {checkout}/src {at}").Must();
            if (mounted == "/")
                Assert.Equal("hello\n", File.ReadAllText($"{_mnt}/README"));
            Assert.Equal('0', WholeOf(held));
            _ = Shell.Bash($"cd {at} && echo {round} >> kept && echo {round} > mine-{round}").Must();
        }
        File.WriteAllText($"{at}/stop", "");
        Assert.True(build.WaitForExit(60_000), "the build hangs");
        Assert.Equal("0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n", File.ReadAllText($"{at}/kept"));
        Assert.Equal(10, Directory.GetFiles(at, "mine-*").Length);
        _ = Shell.Bash($"cd {at} && make -s -f build.mk all && cmp data out/data && cmp run.sh out/run.sh").Must();
    }

    [MountFact]
    public void AFileThatIsMovedOutOfTheMountedDirectory()
    {
        string three = _repository.CommitAside(_one, "echo three > src/new/file; mv src/new/big src/big; mv README src/new/README");
        Start([$"C3={_one}..{three}:/src"], []);
        Try("mount", $"mega:{_origin!.Url}/src/new@{_one}", _mnt, "--store", _scratch.Join("store"), "--workspace-root", _scratch.Path).Must();
        Assert.Contains("  outside   /src/big  (renamed", Try("cl", "set", _mnt, "C3", "--cl-path", "/src").Must());
        Assert.Equal("README\nfile\n", Shell.Bash($"ls {_mnt}").Must());
        Assert.Equal("three\n", File.ReadAllText($"{_mnt}/file"));
        Try("cl", "clear", _mnt).Must();
        Assert.Equal("big\nfile\n", Shell.Bash($"ls {_mnt}").Must());
    }

    [MountFact]
    public void AReadOnlyMountAndOneWithLayers()
    {
        Mount("--read-only");
        Show(_one);
        SameAs(_one);
        Show(_two);
        SameAs(_two);
        Try("umount", _mnt).Must();
        string layer = _scratch.Make("layer");
        File.WriteAllText($"{layer}/README", "layer\n");
        Mount("--layer", layer, "--cl", "C1", "--cl-path", "/");
        Assert.Equal("layer\none\n", Shell.Bash($"cat {_mnt}/README {_mnt}/src/run.sh").Must());
        Assert.StartsWith("changelist C1, ", Try("cl", "show", _mnt).Must());
        ShellResult result = Try("cl", "set", _mnt, "C2", "--cl-path", "/");
        Assert.Equal(2, result.ExitCode);
        Assert.Contains("--layer", result.Error);
    }

    [MountFact]
    public void TheKernelEngineRefusesWithTheWayOut()
    {
        Mount("--engine", "kernel", "--cl", "C1", "--cl-path", "/");
        foreach (string[] words in (string[][])[["cl", "set", _mnt, "C2"], ["cl", "clear", _mnt]])
        {
            ShellResult result = Try(words);
            Assert.Equal(2, result.ExitCode);
            Assert.Contains("mount with --cl", result.Error);
        }
        Assert.StartsWith("changelist C1, paths from /, over /: ", Try("cl", "show", _mnt).Must());
        SameAs(_one);
    }

    [MountFact]
    public void OtherSourcesHaveNone()
    {
        Try("mount", _scratch.Make("folder"), _mnt, "--workspace-root", _scratch.Path).Must();
        foreach (string[] words in (string[][])[["cl", "set", _mnt, "C2"], ["cl", "clear", _mnt], ["cl", "show", _mnt]])
        {
            ShellResult result = Try(words);
            Assert.Equal(3, result.ExitCode);
            Assert.Contains("mega:", result.Error);
        }
        Assert.Equal(3, Try("cl", "show", _scratch.Path).ExitCode);
        Assert.Equal(2, Try("cl", "set", _mnt, "a/b").ExitCode);
        Assert.Equal(2, Try("cl", "set", _mnt).ExitCode);
    }

    // Each whole reading of a file is of one version, however many swaps fall into it.
    private void Read(CancellationToken stop, List<string> problems)
    {
        while (!stop.IsCancellationRequested)
        {
            try
            {
                using var stream = new FileStream($"{_mnt}/src/data", FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 1);
                byte[] piece = new byte[20_000];
                int first = -1;
                int total = 0;
                for (int got; (got = stream.Read(piece)) > 0; total += got)
                {
                    first = first < 0 ? piece[0] : first;
                    if (piece.AsSpan(0, got).ContainsAnyExcept((byte)first))
                        throw new IOException("a mixture of two versions");
                    Thread.Sleep(5);
                }
                if (total != 400_000)
                    throw new IOException($"{total} bytes");
            }
            catch (IOException error)
            {
                lock (problems)
                    problems.Add(error.Message);
            }
        }
    }

    private static char WholeOf(FileStream stream)
    {
        byte[] all = new byte[400_001];
        stream.Position = 0;
        Assert.Equal(400_000, stream.ReadAtLeast(all, all.Length, throwOnEndOfStream: false));
        Assert.False(all.AsSpan(0, 400_000).ContainsAnyExcept(all[0]));
        return (char)all[0];
    }

    private void Show(string commit)
    {
        string[] words = commit == _base ? ["cl", "clear", _mnt] : ["cl", "set", _mnt, commit == _one ? "C1" : "C2", "--cl-path", "/"];
        Try(words).Must();
    }

    private void SameAs(string commit)
    {
        string checkout = _scratch.Join($"checkout-{commit}");
        if (!Directory.Exists(checkout))
            _ = _repository.Checkout(commit, checkout);
        _ = Shell.Bash($"diff -r --no-dereference --exclude=.git {checkout} {_mnt}", 120).Must();
        string list = "find . -mindepth 1 -name .git -prune -o -printf '%P %M %l\\n' | grep -v '^[^ ]* d' | sort; find . -name .git -prune -o -type d -print | sort";
        Assert.Equal(Shell.Bash(list, directory: checkout).Must(), Shell.Bash(list, directory: _mnt).Must());
    }

    private void Start(IEnumerable<string> more, string[] quirks) =>
        _origin ??= new OriginProcess(_scratch, _repository.Path, [$"C1={_base}..{_one}", $"C2={_base}..{_two}", .. more], quirks);

    private void Mount(params string[] options) => Mount([], true, options);

    private void Mount(string[] quirks, bool start = true, params string[] options)
    {
        if (start)
            Start([], quirks);
        Try(["mount", $"mega:{_origin!.Url}/", _mnt, "--store", _scratch.Join("store"), "--workspace-root", _scratch.Path, .. options]).Must();
    }

    private ShellResult Try(params string[] words) => Shell.Run(TestEnvironment.Binary, words, 60, environment: ("ANTARES_STATE_DIR", _state));
}
