using System.IO.MemoryMappedFiles;
using System.Text.Json;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>A mount in use moves to another revision of its server's directory.</summary>
public sealed class RefreshMountTests : IDisposable
{
    private const int DataBytes = 400_000;

    private readonly ScratchFolder _scratch = new();
    private readonly GitRepository _repository;
    private readonly string _base;
    private readonly string _one;
    private readonly string _two;
    private readonly string _state;
    private readonly string _mnt;
    private OriginProcess? _origin;

    public RefreshMountTests()
    {
        _repository = new GitRepository(_scratch.Join("repo"));
        _ = _repository.CommitSample();
        _base = _repository.Commit(
            "head -c 400000 /dev/zero | tr '\\0' 0 > src/data; mkdir -p src/gone/deep src/many; echo g > src/gone/deep/file; for i in $(seq 1000 2999); do echo $i > src/many/$i; done; "
            + "printf 'out/%%: src/%%\\n\\tmkdir -p out; cp $< $@\\nall: out/data out/run.sh\\n' > Makefile");
        _one = _repository.CommitAside(_base, "tr 0 1 < src/data > d; mv d src/data; echo one > README; mkdir src/new; echo one > src/new/file; mv src/deep/big src/new/big; echo one > src/run.sh; rm src/main.c; rm -r src/gone; rm src/many/1*; echo n > src/many/9999");
        _two = _repository.CommitAside(_one, "tr 1 2 < src/data > d; mv d src/data; echo two > README; mkdir -p src/new/more; echo two > src/new/more/file; rm src/link; mkdir src/link; echo two > src/link/x; rm src/run.sh");
        _repository.Git($"checkout -q --detach {_base}");
        _state = _scratch.Make("state");
        _mnt = _scratch.Make("mnt");
    }

    public void Dispose()
    {
        _ = Try("umount", "--all", "--lazy"); // nothing is mounted after most tests
        _origin?.Dispose();
        _scratch.Dispose();
    }

    [MountTheory]
    [InlineData("")]
    [InlineData("--read-only")]
    public void EachRevisionIsShownWhole(string option)
    {
        Mount([.. option.Split(' ', StringSplitOptions.RemoveEmptyEntries)]);
        foreach (string commit in (string[])[_base, _one, _two, _base, _two, _one, _base])
        {
            Move(commit);
            SameAs(commit);
            // What the kernel knows by now must not be what it shows next.
            _ = Shell.Bash($"cd {_mnt} && ls -lR . > /dev/null; stat src/new/file src/new/more/file src/link/x src/gone/deep/file > /dev/null 2>&1; cat src/* > /dev/null 2>&1; true").Must();
        }
        Try("umount", _mnt).Must();
    }

    [MountFact]
    public void TheHeadIsFollowedAndTold()
    {
        Mount();
        Assert.Equal("hello\n", File.ReadAllText($"{_mnt}/README"));
        Assert.Equal($"/ is at {_base} already\n", Try("refresh", _mnt).Must());
        _repository.Git($"checkout -q --detach {_one}");
        Assert.Equal("hello\n", File.ReadAllText($"{_mnt}/README"));
        Assert.Equal($"/: from {_base} to {_one}: 1 name changed of those that were in use\n", Try("refresh", _mnt).Must());
        Assert.Equal("one\n", File.ReadAllText($"{_mnt}/README"));
        Assert.Contains($"mega:{_origin!.Url}/@{_one}", Try("list").Must());
        _repository.Git($"tag v2 {_two}");
        using JsonDocument told = JsonDocument.Parse(Try("refresh", _mnt, "--revision", "v2", "--json").Must());
        Assert.Equal((_one, _two, "/"), (told.RootElement.GetProperty("from").GetString(), told.RootElement.GetProperty("to").GetString(), told.RootElement.GetProperty("mounted").GetString()));
        Assert.Equal(0, told.RootElement.GetProperty("conflicts").GetArrayLength());
        Assert.Contains($"/@{_two}\"", Try("list", "--json").Must());
        Assert.Contains("\"views_exchanged\":3", Try("stats", _mnt, "--json").Must());
        SameAs(_two);
    }

    /// <summary>A directory that the workspace moved or removed while the revision had it not comes back as another one: nothing of the two is mixed.</summary>
    [MountTheory]
    [InlineData("mv src/gone/deep moved")]
    [InlineData("exec 7< src/gone/deep; rm -rf src/gone/deep; sleep 1000 & echo $! > held")]
    public void ADirectoryThatWentItsOwnWayComesBackAsAnother(string change)
    {
        string upper = _scratch.Make("upper");
        string[] options = ["--upper", upper, "--work", _scratch.Make("work")];
        Mount(options);
        _ = Shell.Bash($"cd {_mnt} && ls -R src/gone && touch src/gone/deep/own").Must();
        Move(_one);
        // The file that "held" names is written where the holder's own output cannot keep this call waiting.
        _ = Shell.Bash($"cd {_mnt} && [ \"$(ls src/gone/deep)\" = own ] && {{ {change}; }} > /dev/null 2>&1").Must();
        Move(_base);
        const string Check = "[ \"$(ls src/gone/deep)\" = file ] && [ \"$(cat src/gone/deep/file)\" = g ]";
        try
        {
            _ = Shell.Bash($"cd {_mnt} && {Check} && if [ -d moved ]; then [ \"$(ls moved)\" = own ] && echo x > moved/x && rm moved/own; fi && {Check} && echo new > src/gone/deep/new").Must();
        }
        finally
        {
            _ = Shell.Bash($"cd {_mnt} && [ ! -e held ] || {{ kill $(cat held); rm held; }}").Must();
        }

        Assert.Equal("no failed request", Try("errors", _mnt).Must().Trim());
        Try("umount", _mnt).Must();
        Try(["mount", $"mega:{_origin!.Url}/@{_base}", _mnt, "--store", _scratch.Join("store"), "--workspace-root", _scratch.Path, .. options]).Must();
        _ = Shell.Bash($"cd {_mnt} && [ \"$(cat src/gone/deep/new)\" = new ] && if [ -d moved ]; then [ \"$(ls moved)\" = x ]; fi").Must();
    }

    [MountFact]
    public void TenMovesUnderReadersAndABuild()
    {
        Mount();
        using var stop = new CancellationTokenSource();
        using FileStream held = File.OpenRead($"{_mnt}/src/data");
        List<string> problems = [];
        Thread[] readers =
        [
            .. Enumerable.Range(0, 3).Select(_ => new Thread(() => Read(stop.Token, problems))),
            new(() => List(stop.Token, problems)),
        ];
        foreach (Thread reader in readers)
            reader.Start();
        using System.Diagnostics.Process build = Shell.Start("bash", ["-c", $"cd {_mnt}; mkdir -p out; while [ ! -e stop ]; do make -s all 2> /dev/null; done; echo ended"]);
        for (int round = 1; round <= 10; round++)
        {
            Move(round % 3 == 0 ? _base : round % 3 == 1 ? _one : _two);
            Assert.Equal('0', WholeOf(held));
            _ = Shell.Bash($"cd {_mnt} && echo {round} >> kept && mkdir -p made/{round} && echo {round} > src/mine-{round}").Must();
        }
        File.WriteAllText($"{_mnt}/stop", "");
        Assert.True(build.WaitForExit(60_000), "the build hangs");
        Move(_two);
        stop.Cancel();
        foreach (Thread reader in readers)
            reader.Join();
        lock (problems)
            Assert.Empty(problems);
        Assert.Equal(string.Concat(Enumerable.Range(1, 10).Select(i => $"{i}\n")), File.ReadAllText($"{_mnt}/kept"));
        Assert.Equal(10, Directory.GetDirectories($"{_mnt}/made").Length);
        // A build afterwards sees by the times what is to be made anew.
        _ = Shell.Bash($"cd {_mnt} && rm -f out/run.sh && make -s out/data && cmp src/data out/data").Must();
        Move(_one);
        _ = Shell.Bash($"cd {_mnt} && make -s all && cmp src/data out/data && cmp src/run.sh out/run.sh").Must();
        Assert.Equal('0', WholeOf(held));
        Shell.Bash($"cd {_mnt} && rm -r out kept made stop src/mine-*").Must();
        SameAs(_one);
        held.Close();
        Try("umount", _mnt).Must();
    }

    [MountFact]
    public void WhatIsOpenGoesOn()
    {
        Mount();
        using FileStream held = File.OpenRead($"{_mnt}/src/data");
        using var mapped = MemoryMappedFile.CreateFromFile($"{_mnt}/src/data", FileMode.Open, null, 0, MemoryMappedFileAccess.Read);
        using MemoryMappedViewAccessor view = mapped.CreateViewAccessor(0, DataBytes, MemoryMappedFileAccess.Read);
        Assert.Equal((byte)'0', view.ReadByte(0));
        using IEnumerator<string> listing = Directory.EnumerateFiles($"{_mnt}/src/many").GetEnumerator();
        var seen = new List<string>();
        for (int i = 0; i < 100 && listing.MoveNext(); i++)
            seen.Add(Path.GetFileName(listing.Current));
        string script = $$"""
            set -e
            cd {{_mnt}}/src/gone/deep
            exec 3< file 4< ../../run.sh 5< ../../many
            echo ready
            read -r _
            test "$(cat <&3)" = g
            test "$(head -c 9 <&4)" = '#!/bin/sh'
            test ! -e file
            test -z "$(ls -A)"
            ! (: > made) 2> /dev/null
            ! mkdir made 2> /dev/null
            ls /proc/self/fd/5/ | wc -l
            read -r _
            cat file
            ls /proc/self/fd/5/ | wc -l
            """;
        using System.Diagnostics.Process user = Shell.Start("bash", ["-c", script]);
        Assert.Equal("ready", user.StandardOutput.ReadLine());
        Move(_one);
        user.StandardInput.WriteLine();
        Assert.Equal("1001", user.StandardOutput.ReadLine());
        while (listing.MoveNext())
            seen.Add(Path.GetFileName(listing.Current));
        Assert.Equal(seen.Count, seen.Distinct().Count());
        Assert.Equal([], Enumerable.Range(2000, 1000).Select(i => $"{i}").Except(seen));
        Assert.Equal('0', WholeOf(held));
        for (int at = 0; at < DataBytes; at += 999)
            Assert.Equal((byte)'0', view.ReadByte(at));
        Assert.Equal('1', (char)File.ReadAllBytes($"{_mnt}/src/data")[DataBytes - 1]);
        Move(_base);
        user.StandardInput.WriteLine();
        Assert.Equal("g", user.StandardOutput.ReadLine());
        Assert.Equal("2000", user.StandardOutput.ReadLine());
        Assert.True(user.WaitForExit(10_000));
        Assert.Equal("", user.StandardError.ReadToEnd());
        Assert.Equal(0, user.ExitCode);
    }

    [MountFact]
    public void AWriteToWhatWasOpenGoesNowhereElse()
    {
        Mount();
        using FileStream held = File.Open($"{_mnt}/README", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        Move(_one);
        held.Write("mine"u8);
        held.Flush();
        byte[] content = new byte[10];
        held.Position = 0;
        Assert.Equal("mineo\n", System.Text.Encoding.ASCII.GetString(content, 0, held.ReadAtLeast(content, 10, throwOnEndOfStream: false)));
        Assert.Equal("one\n", File.ReadAllText($"{_mnt}/README"));
        held.Close();
        Try("umount", _mnt).Must();
    }

    [MountFact]
    public void WhatTheKernelHoldsOfWritesIsTheWorkspaces()
    {
        Mount("--writeback");
        using FileStream written = File.Open($"{_mnt}/README", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        written.Write("mine"u8);
        written.Flush(flushToDisk: false);
        Assert.Equal(["/README  (changed"], ConflictsOf(Try("refresh", _mnt, "--revision", _one).Must()));
        Assert.Equal("mineo\n", File.ReadAllText($"{_mnt}/README"));
        written.Close();
        Assert.Equal("mineo\n", File.ReadAllText($"{_mnt}/README"));
        Try("umount", _mnt).Must();
    }

    [MountFact]
    public void WhatIsTheSameKeepsItsNumber()
    {
        string upper = _scratch.Make("upper");
        Mount("--upper", upper);
        string numbers = $"cd {_mnt} && stat -c '%n %i' . src src/main.c third-party/foo/FOO src/deep Makefile README 'odd + names' src/data";
        _ = Shell.Bash($"cd {_mnt} && echo x >> Makefile && echo x >> README && echo x >> third-party/foo/FOO").Must();
        string before = Shell.Bash(numbers).Must();
        Move(_two);
        string after = Shell.Bash($"{numbers} 2> /dev/null; true").Must();
        Assert.Equal(before.Split('\n').Where(line => !line.StartsWith("src/main.c", StringComparison.Ordinal) && !line.StartsWith("src/data", StringComparison.Ordinal)), after.Split('\n').Where(line => !line.StartsWith("src/data", StringComparison.Ordinal)));
        Move(_base);
        Assert.Equal(before.Split('\n').Where(line => !line.StartsWith("src/main.c", StringComparison.Ordinal) && !line.StartsWith("src/data", StringComparison.Ordinal)),
            Shell.Bash(numbers).Must().Split('\n').Where(line => !line.StartsWith("src/main.c", StringComparison.Ordinal) && !line.StartsWith("src/data", StringComparison.Ordinal)));
        Try("umount", _mnt).Must();
        Mount("--upper", upper);
        Assert.Equal(before, Shell.Bash(numbers).Must());
    }

    [MountTheory]
    [InlineData(false)]
    [InlineData(true)]
    public void WhatTheWorkspaceWroteStaysInFrontAndIsListed(bool isOfEarlierMount)
    {
        string upper = _scratch.Make("upper");
        Mount("--upper", upper);
        _ = Shell.Bash(
            $"cd {_mnt} && echo mine > README && rm src/run.sh && echo mine > src/main.c && echo mine >> src/gone/deep/file && mkdir -p src/new/more && echo mine > src/new/file && echo mine > src/new/more/mine && echo mine > src/new/own "
            + "&& rm -r src/many && mkdir src/many && echo mine > src/many/1234 && mv src/deep moved && echo mine >> moved/er/empty && echo mine >> third-party/foo/FOO && rm Makefile").Must();
        if (isOfEarlierMount)
        {
            Try("umount", _mnt).Must();
            Mount("--upper", upper);
        }
        string told = Try("refresh", _mnt, "--revision", _one).Must();
        string[] expected =
        [
            "/README  (changed", "/src/deep  (removed", "/src/gone/deep/file  (changed", "/src/main.c  (changed", "/src/many  (changed", "/src/new/file  (changed", "/src/run.sh  (removed",
        ];
        Assert.Equal(expected, ConflictsOf(told));
        const string Kept =
            """
            test "$(cat README)" = mine
            test ! -e src/run.sh
            test "$(cat src/main.c)" = mine
            test "$(tail -n 1 src/gone/deep/file)" = mine
            test "$(cat src/new/file)" = mine
            test "$(cat src/new/own)" = mine
            test "$(cat src/new/more/mine)" = mine
            test "$(ls src/many)" = 1234
            test "$(cat moved/er/empty)" = mine
            test "$(tail -n 1 third-party/foo/FOO)" = mine
            test ! -e Makefile
            """;
        _ = Shell.Bash($"set -e; cd {_mnt}; {Kept}; test -s src/new/big; test ! -e moved/big; test \"$(ls src/gone/deep)\" = file; test \"$(ls -A src/gone)\" = deep").Must();
        using JsonDocument shown = JsonDocument.Parse(Try("refresh", _mnt, "--revision", _two, "--json").Must());
        Assert.Equal(
            ["/README changed"],
            shown.RootElement.GetProperty("conflicts").EnumerateArray().Select(conflict => $"{conflict.GetProperty("path").GetString()} {conflict.GetProperty("workspace").GetString()}").Where(line => !line.StartsWith("/src/new", StringComparison.Ordinal)));
        _ = Shell.Bash($"set -e; cd {_mnt}; {Kept}; test \"$(cat src/new/more/file)\" = two; test \"$(cat src/link/x)\" = two").Must();
        string before = Shell.Bash($"cd {_mnt}; find . -type f -exec cksum {{}} + | sort -k 3; find . | sort").Must();
        Try("umount", _mnt).Must();
        // The next mount of the upper at that revision shows the same.
        Try("mount", $"mega:{_origin!.Url}/@{_two}", _mnt, "--store", _scratch.Join("store"), "--workspace-root", _scratch.Path, "--upper", upper).Must();
        Assert.Equal(before, Shell.Bash($"cd {_mnt}; find . -type f -exec cksum {{}} + | sort -k 3; find . | sort").Must());
        Assert.Equal(2, Try("refresh", _mnt).ExitCode);
        // And back, with everything that the workspace did.
        Try("refresh", _mnt, "--revision", _base).Must();
        _ = Shell.Bash($"set -e; cd {_mnt}; {Kept}; test -s moved/big; test -L src/link; ls src/gone/deep/file").Must();
    }

    [MountFact]
    public void TheChangelistStaysOnTopOrTheMoveIsRefused()
    {
        string change = _repository.CommitAside(_base, "echo mine > src/main.c; mkdir src/mine; echo mine > src/mine/file; git rm -q third-party/foo/FOO");
        string next = _repository.CommitAside(_base, "echo n > README; echo n > src/deep/n; echo n > third-party/foo/n");
        string both = _repository.CommitAside(next, "echo mine > src/main.c; mkdir src/mine; echo mine > src/mine/file; git rm -q third-party/foo/FOO");
        _repository.Git($"checkout -q --detach {_base}");
        Start([$"C7={_base}..{change}"], []);
        Mount("--cl", "C7", "--cl-path", "/");
        SameAs(change);
        Assert.Contains($" to {next}, under changelist C7: ", Try("refresh", _mnt, "--revision", next).Must());
        SameAs(both);
        Assert.Contains("with changelist C7", Try("list").Must());
        ShellResult result = Try("refresh", _mnt, "--revision", _one);
        Assert.Equal(3, result.ExitCode);
        Assert.Contains($"changelist C7 does not apply to / at {_one}:\n  src/main.c: is to be modified, but is not there", result.Error);
        Assert.Contains($"{next} is still shown", result.Error);
        SameAs(both);
        Assert.StartsWith("changelist C7, ", Try("cl", "show", _mnt).Must());
        Try("cl", "clear", _mnt).Must();
        SameAs(next);
        Move(_one);
        SameAs(_one);
    }

    [MountTheory]
    [InlineData("fail@TREE", "500")]
    [InlineData("fail@latest-commit?path=%2F&refs=", "500")]
    [InlineData("html@latest-commit?path=%2F&refs=", "not what a Mega server says")]
    public void AFailureLeavesWhatWasShown(string quirk, string reason)
    {
        Start([], [quirk.Replace("TREE", _repository.Git($"rev-parse {_one}:src"))]);
        Mount();
        SameAs(_base);
        using FileStream held = File.OpenRead($"{_mnt}/src/data");
        ShellResult result = Try("refresh", _mnt, "--revision", _one);
        Assert.Equal(3, result.ExitCode);
        Assert.Contains(reason, result.Error);
        Assert.Contains($"{_base} is still shown", result.Error);
        SameAs(_base);
        Assert.Equal('0', WholeOf(held));
        Assert.Contains($"/@{_base}\"", Try("list", "--json").Must());
        Assert.Equal(0, _origin!.Stop());
        result = Try("refresh", _mnt);
        Assert.Equal(3, result.ExitCode);
        Assert.Contains("cannot connect", result.Error);
        SameAs(_base);
    }

    [MountFact]
    public void OneAtATimeAndWhoeverAskedNeedNotWait()
    {
        Start([$"C7={_base}..{_one}"], [$"slow=2500@latest-commit?path=%2F&refs={_one}"]);
        Mount();
        Assert.Equal("hello\n", File.ReadAllText($"{_mnt}/README"));
        string[] words = ["refresh", _mnt, "--revision", _one];
        using System.Diagnostics.Process moving = Shell.Start(TestEnvironment.Binary, words, environment: ("ANTARES_STATE_DIR", _state));
        Assert.True(SpinWait.SpinUntil(() => Try("refresh", _mnt, "--revision", "x y").ExitCode == 2, 1000)); // what is wrong by itself needs no turn
        Thread.Sleep(300);
        foreach (string[] other in (string[][])[words, ["cl", "set", _mnt, "C7", "--cl-path", "/"], ["cl", "clear", _mnt]])
        {
            ShellResult result = Try(other);
            Assert.Equal(3, result.ExitCode);
            Assert.Contains("just being fetched", result.Error);
        }
        Assert.Equal("hello\n", File.ReadAllText($"{_mnt}/README"));
        // Whoever asked may go; it is done all the same.
        moving.Kill();
        Assert.True(SpinWait.SpinUntil(() => Try("list").Must().Contains($"@{_one}", StringComparison.Ordinal), 20_000));
        SameAs(_one);
    }

    [MountFact]
    public void AnUnmountEndsWhatIsUnderWay()
    {
        Start([], [$"slow=15000@latest-commit?path=%2F&refs={_one}"]);
        Mount();
        using System.Diagnostics.Process moving = Shell.Start(TestEnvironment.Binary, ["refresh", _mnt, "--revision", _one], environment: ("ANTARES_STATE_DIR", _state));
        Thread.Sleep(500);
        long start = Environment.TickCount64;
        Try("umount", _mnt).Must();
        Assert.True(Environment.TickCount64 - start < 10_000, $"{Environment.TickCount64 - start} ms");
        Assert.True(moving.WaitForExit(20_000));
        Assert.Equal(3, moving.ExitCode);
        Assert.Equal("", Try("list").Must());
    }

    [MountFact]
    public void WhereItCannotBeDoneItIsRefusedWithTheWayOut()
    {
        Try("mount", _scratch.Make("folder"), _mnt, "--workspace-root", _scratch.Path).Must();
        Refused("mega:");
        Try("umount", _mnt).Must();
        Mount("--engine", "kernel");
        Refused("--engine fuse", "--revision", _one);
        SameAs(_base);
        Try("umount", _mnt).Must();
        Mount("--layer", _scratch.Make("layer"));
        Refused("--layer");
        Try("umount", _mnt).Must();
        Try("mount", $"mega:{_origin!.Url}/@{_base}", _mnt, "--store", _scratch.Join("store"), "--workspace-root", _scratch.Path).Must();
        Refused("--revision REV");
        Refused("tag", "--revision", "a b");
        Move(_one);
        SameAs(_one);
        Refused("--revision REV");
    }

    private void Refused(string wayOut, params string[] options)
    {
        ShellResult result = Try(["refresh", _mnt, .. options]);
        Assert.Equal((2, ""), (result.ExitCode, result.Output));
        Assert.Contains(wayOut, result.Error);
    }

    private static IEnumerable<string> ConflictsOf(string told) =>
        told.Split('\n').Where(line => line.StartsWith("  conflict  ", StringComparison.Ordinal)).Select(line => line["  conflict  ".Length..].Split(" in the")[0]);

    // Each whole reading of a file is of one revision, however many moves fall into it.
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
                        throw new IOException("a mixture of two revisions");
                    Thread.Sleep(5);
                }
                if (total != DataBytes)
                    throw new IOException($"{total} bytes");
            }
            catch (IOException error)
            {
                lock (problems)
                    problems.Add(error.Message);
            }
        }
    }

    // Each listing has what all revisions have, once.
    private void List(CancellationToken stop, List<string> problems)
    {
        while (!stop.IsCancellationRequested)
        {
            try
            {
                string[] names = Directory.GetFiles($"{_mnt}/src/many");
                if (names.Length != names.Distinct().Count() || names.Count(name => Path.GetFileName(name)[0] == '2') != 1000)
                    throw new IOException($"{names.Length} names, {names.Distinct().Count()} different ones");
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
        byte[] all = new byte[DataBytes + 1];
        stream.Position = 0;
        Assert.Equal(DataBytes, stream.ReadAtLeast(all, all.Length, throwOnEndOfStream: false));
        Assert.False(all.AsSpan(0, DataBytes).ContainsAnyExcept(all[0]));
        return (char)all[0];
    }

    private void Move(string commit) => Try("refresh", _mnt, "--revision", commit).Must();

    private void SameAs(string commit)
    {
        string checkout = _scratch.Join($"checkout-{commit}");
        if (!Directory.Exists(checkout))
            _ = _repository.Checkout(commit, checkout);
        _ = Shell.Bash($"diff -r --no-dereference --exclude=.git {checkout} {_mnt}", 120).Must();
        string list = "find . -mindepth 1 -name .git -prune -o -printf '%P %M %l\\n' | grep -v '^[^ ]* d' | sort; find . -name .git -prune -o -type d -print | sort";
        Assert.Equal(Shell.Bash(list, directory: checkout).Must(), Shell.Bash(list, directory: _mnt).Must());
    }

    private void Start(IEnumerable<string> changelists, string[] quirks) => _origin ??= new OriginProcess(_scratch, _repository.Path, changelists, quirks);

    private void Mount(params string[] options)
    {
        Start([], []);
        Try(["mount", $"mega:{_origin!.Url}/", _mnt, "--store", _scratch.Join("store"), "--workspace-root", _scratch.Path, .. options]).Must();
    }

    private ShellResult Try(params string[] words) => Shell.Run(TestEnvironment.Binary, words, 60, environment: ("ANTARES_STATE_DIR", _state));
}
