using System.Diagnostics;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>A monorepo server through a real mount, over loopback.</summary>
public sealed class MegaMountTests : IDisposable
{
    private readonly ScratchFolder _scratch = new();
    private readonly GitRepository _repository;
    private readonly string _store;
    private readonly string _state;
    private readonly string _mnt;

    public MegaMountTests()
    {
        _repository = new GitRepository(_scratch.Join("repo"));
        _repository.CommitSample();
        _store = _scratch.Join("store");
        _state = _scratch.Make("state");
        _mnt = _scratch.Make("mnt");
    }

    public void Dispose() => _scratch.Dispose();

    [MountFact]
    public void TheMountIsTheCheckoutAndTakesWrites()
    {
        using var origin = new OriginProcess(_scratch, _repository.Path);
        Mount($"mega:{origin.Url}/").Must();
        SameAsCheckout();
        Assert.Equal(0, origin.Count("HEAD "));
        int asked = origin.Seen.Length;
        SameAsCheckout();
        Assert.Equal(asked, origin.Seen.Length);
        _ = Probe.Check(_mnt, "cat README => 'hello\\x0a'\napp README more => ok\ncat README => 'hello\\x0amore'\nput src/new x => ok\nunlink src/main.c => ok\ncat src/main.c => ENOENT\n");
        _ = Shell.Bash($"cd {_mnt} && src/run.sh && mv src moved && rm -r third-party && test -e moved/deep/big && test $(readlink moved/link) = ../README").Must();
        Try("umount", _mnt).Must();
        Assert.Equal(0, origin.Stop());
    }

    [MountFact]
    public void PackedItIsTheImageOfTheCommit()
    {
        using var origin = new OriginProcess(_scratch, _repository.Path);
        string fromServer = _scratch.Join("server.image"), fromGit = _scratch.Join("git.image");
        Try("pack", $"mega:{origin.Url}/", "-o", fromServer, "--store", _store).Must();
        Try("pack", $"git:{_repository.Path}", "-o", fromGit).Must();
        Assert.Equal("", Try("diff", fromGit, fromServer).Must());
        Assert.Contains($"revision  {_repository.Head()}", Try("inspect", fromServer).Must());
        Assert.Equal(0, origin.Stop());
        Assert.Equal(3, Try("pack", $"mega:{origin.Url}/src", "-o", _scratch.Join("none"), "--store", _store).ExitCode);
        Assert.False(File.Exists(_scratch.Join("none")));
    }

    [MountFact]
    public void WhatWasTouchedNeedsNoServer()
    {
        string revision = _repository.Head();
        string url;
        using (var origin = new OriginProcess(_scratch, _repository.Path))
        {
            url = origin.Url;
            Mount($"mega:{url}/@{revision}").Must();
            _ = Shell.Bash($"cat {_mnt}/README {_mnt}/src/main.c; ls {_mnt}/src/deep").Must();
            Try("umount", _mnt).Must();
            int asked = origin.Seen.Length;
            Mount($"mega:{url}/@{revision}").Must();
            Assert.Equal("hello\nint main;\n", Shell.Bash($"cat {_mnt}/README {_mnt}/src/main.c").Must());
            Assert.Equal(asked, origin.Seen.Length);
            Try("umount", _mnt).Must();
        }
        foreach (string[] options in new[] { new[] { "--offline" }, [] })
        {
            Mount([$"mega:{url}/@{revision}", .. options]).Must();
            Assert.Equal("hello\nint main;\n", Shell.Bash($"cat {_mnt}/README {_mnt}/src/main.c").Must());
            Assert.Contains("Input/output error", Shell.Bash($"cat {_mnt}/src/deep/big").Error);
            Assert.Contains("Input/output error", Shell.Bash($"ls {_mnt}/third-party/foo").Error);
            Assert.Contains("No such file", Shell.Bash($"cat {_mnt}/src/absent").Error);
            string errors = Try("errors", _mnt).Must();
            Assert.Contains(options.Length > 0 ? "--offline" : "cannot connect", errors);
            Try("umount", _mnt).Must();
        }
    }

    [MountFact]
    public void AListingByNameAsksForNoSizeAndALongOneForEachOnce()
    {
        _repository.Commit("mkdir many; for i in $(seq 1000); do echo $i$i > many/$i; done");
        using var origin = new OriginProcess(_scratch, _repository.Path);
        Mount($"mega:{origin.Url}/").Must();
        Assert.Equal("1001\n", Shell.Bash($"find {_mnt}/many | wc -l").Must());
        Assert.Equal(0, origin.Count("/file/blob/"));
        Assert.Equal("1000\n", Shell.Bash($"find {_mnt}/many -type f -size -2 | wc -l").Must());
        Assert.Equal(1000, origin.CountAtRest("/file/blob/"));
        Try("umount", _mnt).Must();
        Mount($"mega:{origin.Url}/").Must();
        Assert.Equal("1000\n", Shell.Bash($"find {_mnt}/many -type f -size -2 | wc -l").Must());
        Assert.Equal(1000, origin.CountAtRest("/file/blob/"));
    }

    [MountFact]
    public void ASizeThatWasToldWrongIsMendedInTheKernelToo()
    {
        _repository.Commit("mkdir many; for i in $(seq -w 40); do echo content-$i > many/$i; done");
        string id = _repository.Git("rev-parse HEAD:many/40");
        using var origin = new OriginProcess(_scratch, _repository.Path, $"head-length=3@{id}");
        Mount($"mega:{origin.Url}/").Must();
        Assert.Equal("3\n", Shell.Bash($"find {_mnt}/many -type f -printf '%f %s\n' | sort | tail -1 | cut -d' ' -f2").Must());
        Assert.Equal(1, origin.Count($"HEAD /api/v1/file/blob/{id}"));
        Assert.Contains("Input/output error", Shell.Bash($"cat {_mnt}/many/40").Error);
        Assert.Contains("told 3 bytes before, and it has 11", Try("errors", _mnt).Must());
        Assert.Equal("11 content-40\n", Shell.Bash($"stat -c %s {_mnt}/many/40 | tr '\n' ' '; cat {_mnt}/many/40").Must());
        Assert.Contains("sizes_corrected", Try("stats", _mnt).Must());
        Try("umount", _mnt).Must();
        Mount($"mega:{origin.Url}/").Must();
        Assert.Equal("11 content-40\n", Shell.Bash($"stat -c %s {_mnt}/many/40 | tr '\n' ' '; cat {_mnt}/many/40").Must());
    }

    [MountFact]
    public void WhatAnEarlierRunTouchedIsFetchedAhead()
    {
        string list = _scratch.Join("list");
        string url;
        using (var origin = new OriginProcess(_scratch, _repository.Path))
        {
            url = origin.Url;
            // No list yet: nothing to replay, and one is written.
            Mount($"mega:{url}/", "--record", list, "--replay", list).Must();
            _ = Shell.Bash($"cat {_mnt}/src/main.c {_mnt}/third-party/foo/FOO && ! test -e {_mnt}/src/deep/absent").Must();
            Try("umount", _mnt).Must();
            Assert.StartsWith("antares-access 1\nD /\n", File.ReadAllText(list));
            Assert.Contains("F /third-party/foo/FOO\n", File.ReadAllText(list));
            Assert.Single(Directory.GetFiles(_scratch.Path, "list*"));

            string patterns = _scratch.Join("patterns");
            File.WriteAllText(patterns, "# of the test\n\nodd*/ü*\n");
            Directory.Delete(_store, recursive: true);
            Mount($"mega:{url}/", "--record", list, "--replay", list, "--prefetch", patterns, "--prefetch", "src/deep/e*").Must();
            Assert.True(Eventually(() => Try("stats", _mnt, "--json").Must().Contains("\"prefetch_waiting\":0", StringComparison.Ordinal)));
            Assert.Contains("\"prefetched_files\":4", Try("stats", _mnt, "--json").Must());
        }
        Assert.Equal("int main;\ntop\ny\n", Shell.Bash($"cat {_mnt}/src/main.c {_mnt}/third-party/foo/FOO {_mnt}/odd*/ü*; cat {_mnt}/src/deep/er/empty").Must());
        Assert.Contains("No such file", Shell.Bash($"cat {_mnt}/src/deep/absent").Error);
        Assert.Contains("Input/output error", Shell.Bash($"cat {_mnt}/src/deep/big").Error);
        Try("umount", _mnt).Must();
    }

    [MountTheory]
    [InlineData(2, "--prefetch: only for", "SOURCE", "--prefetch", "a")]
    [InlineData(2, "without '.' and '..'", "mega:http://127.0.0.1:1/", "--prefetch", "a/../b")]
    [InlineData(3, "cannot be read", "mega:http://127.0.0.1:1/", "--prefetch", "/no/such/file")]
    [InlineData(3, "nothing can be written", "mega:http://127.0.0.1:1/", "--record", "/no/such/folder/list")]
    public void WhatCannotBeFetchedAheadIsToldAtOnce(int code, string reason, string source, string option, string value)
    {
        ShellResult result = Mount(source == "SOURCE" ? _scratch.Make("plain") : source, option, value);
        Assert.Equal(code, result.ExitCode);
        Assert.Contains(reason, result.Error);
    }

    private static bool Eventually(Func<bool> holds)
    {
        for (int i = 0; i < 200; i++)
        {
            if (holds())
                return true;
            Thread.Sleep(100);
        }
        return false;
    }

    [MountFact]
    public void SecretsOverAnOpenNetworkAreWarnedOf()
    {
        using var origin = new OriginProcess(_scratch, _repository.Path);
        string token = _scratch.Join("token");
        File.WriteAllText(token, "s3cret-of-the-test\n");
        foreach (string scheme in new[] { "http", "https" })
        {
            ShellResult open = Mount($"mega:{scheme}://no-such-host.invalid/", "--token-file", token);
            Assert.Equal(3, open.ExitCode);
            Assert.Equal(scheme == "http" ? 1 : 0, open.Error.Split("sent unencrypted").Length - 1);
            Assert.DoesNotContain("s3cret", open.Error);
        }
        ShellResult loopback = Mount($"mega:{origin.Url}/", "--token-file", token);
        Assert.Equal((0, ""), (loopback.ExitCode, loopback.Error));
        Try("umount", _mnt).Must();
    }

    [MountFact]
    public void AnOriginForOthersSaysSo()
    {
        using System.Diagnostics.Process origin = Shell.Start(TestEnvironment.Binary, ["origin", "--git", _repository.Path, "--listen", "0.0.0.0:0"]);
        try
        {
            Assert.Contains("http://0.0.0.0:", origin.StandardOutput.ReadLine());
            Assert.Contains("can read all of", origin.StandardError.ReadLine());
        }
        finally
        {
            origin.Kill();
        }
    }

    [MountFact]
    public void AnAddressThatIsTakenIsAnExitCodeOfItsOwn()
    {
        using var origin = new OriginProcess(_scratch, _repository.Path);
        ShellResult second = Try("origin", "--git", _repository.Path, "--listen", origin.Url["http://".Length..]);
        Assert.True(second.ExitCode == 4 && second.Error.Contains("another program listens there", StringComparison.Ordinal), second.ToString());
    }

    [MountFact]
    public void ManyReadersOfOneColdFileAreOneRequest()
    {
        string id = _repository.Git("rev-parse HEAD:src/deep/big");
        using var origin = new OriginProcess(_scratch, _repository.Path, $"slow=300@{id}");
        Mount($"mega:{origin.Url}/").Must();
        string other = _scratch.Make("other");
        Try("mount", $"mega:{origin.Url}/", other, "--store", _store).Must();
        string sums = Shell.Bash($"for i in $(seq 32); do sha1sum {_mnt}/src/deep/big & sha1sum {other}/src/deep/big & done; wait").Must();
        Assert.Single(sums.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(' ')[0]).Distinct());
        Assert.Equal(64, sums.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        Assert.Equal(1, origin.Count(id));
        Try("umount", other).Must();
    }

    /// <summary>With more readers than the mount has threads at rest, and then more than it has threads at all.</summary>
    [MountTheory]
    [InlineData(12, "true", "cat README src/main.c && ls third-party/foo")]
    [InlineData(200, "cat MNT/README", "cat README && mkdir made && echo new > made/file && mv made/file moved && cat moved && rm moved")]
    public void HangingFilesHoldUpNothingElse(int files, string before, string others)
    {
        _repository.Commit($"mkdir hang; for i in $(seq {files}); do echo $i > hang/$i; done");
        string[] ids = _repository.Git("ls-tree -r '--format=%(objectname)' HEAD hang").Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Process readers;
        using (var origin = new OriginProcess(_scratch, _repository.Path, [.. ids.Select(id => $"slow=60000@{id}")]))
        {
            Mount($"mega:{origin.Url}/").Must();
            _ = Shell.Bash($"ls {_mnt}/hang; {before.Replace("MNT", _mnt)}").Must();
            readers = Shell.Start("bash", ["-c", $"for i in $(seq {files}); do cat hang/$i 2>&1 > /dev/null & done; wait"], _mnt);
            Thread.Sleep(1500);
            var watch = Stopwatch.StartNew();
            _ = Shell.Bash(others, directory: _mnt).Must();
            Assert.InRange(watch.ElapsedMilliseconds, 0, 4000);
            Assert.Equal($"{files}", Shell.Bash($"pgrep -c -P {readers.Id} cat").Must().Trim());
        }

        // Without a server nobody waits on.
        Assert.True(readers.WaitForExit(50_000));
        readers.Dispose();
    }

    [MountTheory]
    [InlineData("/absent", "", "no such directory")]
    [InlineData("/README", "", "is a file")]
    [InlineData("/@no-such-tag", "", "404")]
    [InlineData("/", "html", "not what a Mega server says")]
    [InlineData("/", "redirect", "redirects")]
    [InlineData("/", "fail", "500")]
    public void AMountThatCannotBeLeavesNothing(string path, string quirk, string reason)
    {
        using var origin = new OriginProcess(_scratch, _repository.Path, quirk.Length > 0 ? [quirk] : []);
        ShellResult result = Mount($"mega:{origin.Url}{path}");
        Refused(result, reason);
    }

    [MountFact]
    public void ADeadServerEndsTheMount()
    {
        string url;
        using (var origin = new OriginProcess(_scratch, _repository.Path))
            url = origin.Url;
        Refused(Mount($"mega:{url}/"), "cannot connect");
        Refused(Mount("mega:http://no-such-host.invalid/"), "cannot be resolved");
    }

    /// <summary>A server that is none at all.</summary>
    [MountFact]
    public void AServerThatKnowsNoSuchCallsEndsTheMount()
    {
        using var server = new Antares.Aot.Server.HttpServer(
            new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 0), exchange => exchange.Send(404, "text/html", "<html>nothing</html>"u8), Antares.Aot.Diagnostics.Log.Off);
        server.Start();
        Refused(Mount($"mega:http://{server.Address}/"), "is it a monorepo (Mega) server?");
    }

    /// <summary>Ctrl-C, or any other end, of a process that waits for a server: for a size, for who asks for the same one already, for a content, for a listing.</summary>
    [MountFact]
    public void WhoIsKilledWaitsForNoServer()
    {
        _repository.Commit("mkdir listing; echo x > listing/x; head -c 3000000 /dev/urandom > long");
        string[] ids = ["src/main.c", "long", "listing"];
        using var origin = new OriginProcess(_scratch, _repository.Path, [.. ids.Select(path => $"slow=60000@{_repository.Git($"rev-parse HEAD:{path}")}")]);
        Mount($"mega:{origin.Url}/").Must();
        _ = Shell.Bash($"ls {_mnt} {_mnt}/src").Must();
        string[] waiting = ["stat src/main.c", "cat src/main.c", "stat src/main.c", "cat long", "ls listing", "cat listing/x", "cp long copy"];
        foreach (string signal in new[] { "INT", "TERM", "KILL" })
        {
            Process[] processes = [.. waiting.Select(command => Shell.Start("env", ["--default-signal", .. command.Split(' ')], _mnt))];
            Thread.Sleep(1000);
            Assert.All(processes, process => Assert.False(process.HasExited));
            var watch = Stopwatch.StartNew();
            _ = Shell.Run("kill", [$"-{signal}", .. processes.Select(process => $"{process.Id}")]).Must();
            Assert.All(processes, process => Assert.True(process.WaitForExit(3_000), $"{string.Join(' ', process.StartInfo.ArgumentList)} waits on after SIG{signal}"));
            Assert.InRange(watch.ElapsedMilliseconds, 0, 3_000);
        }
        Assert.Equal("hello\n", Shell.Bash("cat README && touch made && mv made moved && rm moved", directory: _mnt).Must());
        Assert.DoesNotContain("EINTR", Try("errors", _mnt).Must());
        Try("umount", _mnt).Must();
    }

    [MountFact]
    public void AProxyOfTheEnvironmentIsUsedAndItsConnectionsAreKept()
    {
        _repository.Commit("mkdir many; for i in $(seq 200); do echo $i > many/$i; done");
        using var origin = new OriginProcess(_scratch, _repository.Path);
        using var proxy = new RawFront(new Uri(origin.Url).Port);
        foreach (string source in new[] { "mega:http://no-such-host.invalid/", "mega:http://no-such-host.invalid/@" + _repository.Head() })
        {
            Shell.Run(TestEnvironment.Binary, ["mount", source, _mnt, "--store", _store, "--workspace-root", _scratch.Path], 60, environment: [("ANTARES_STATE_DIR", _state), ("http_proxy", proxy.Url)]).Must();
            SameAsCheckout();
            Try("umount", _mnt).Must();
        }
        Assert.True(proxy.Requests > 200, $"{proxy.Requests} requests");
        Assert.InRange(proxy.Connections, 1, 17 + 2);
    }

    /// <summary>The parts of the address one by one, as options and in the environment.</summary>
    [MountFact]
    public void TheAddressMayComeInParts()
    {
        string first = _repository.Head();
        _repository.Commit("echo other > src/main.c");
        using var origin = new OriginProcess(_scratch, _repository.Path);
        foreach ((string[] words, string? variable) in new (string[], string?)[]
        {
            (["mega:", "--base-url", origin.Url, "--path", "/src", "--revision", first], null),
            (["mega:", "--base-url", origin.Url, "--path", "/src", "--revision", first], "http://127.0.0.1:1"),
            (["mega:/src", "--revision", first], origin.Url),
            ([$"mega:/src@{first}"], origin.Url + "/"),
        })
        {
            (string, string)[] environment = variable is null ? [("ANTARES_STATE_DIR", _state)] : [("ANTARES_STATE_DIR", _state), ("SCORPIO_BASE_URL", variable)];
            Shell.Run(TestEnvironment.Binary, ["mount", words[0], _mnt, "--store", _store, "--workspace-root", _scratch.Path, .. words[1..]], 60, environment: environment).Must();
            Assert.Equal("int main;\n", File.ReadAllText($"{_mnt}/main.c"));
            Try("umount", _mnt).Must();
        }
    }

    [MountFact]
    public void OverTlsWithACertificateThatIsNamed()
    {
        using var origin = new OriginProcess(_scratch, _repository.Path);
        using var front = new TlsFront(new Uri(origin.Url).Port);
        string pem = _scratch.Join("ca.pem");
        File.WriteAllText(pem, front.Pem);
        Refused(Mount($"mega:{front.Url}/"), "not trusted");
        Mount($"mega:{front.Url}/", "--ca-file", pem).Must();
        SameAsCheckout();
        Try("umount", _mnt).Must();
    }

    [MountFact]
    public void ATokenIsSentAndNotShown()
    {
        using var origin = new OriginProcess(_scratch, _repository.Path);
        string token = _scratch.Join("token");
        File.WriteAllText(token, "s3cret-of-the-test\n");
        Mount($"mega:{origin.Url}/src", "--token-file", token, "--log-level", "debug", "--log-file", _scratch.Join("log")).Must();
        _ = Shell.Bash($"cat {_mnt}/main.c").Must();
        string shown = Shell.Bash($"ps axww; cat {_scratch.Join("log")}").Must() + Try("list", "--json").Must() + Try("stats", _mnt).Must() + Try("errors", _mnt).Must();
        Assert.DoesNotContain("s3cret", shown);
        Try("umount", _mnt).Must();
    }

    [MountFact]
    public void AKilledServerLeavesNoPartOfAnObject()
    {
        _repository.Commit("mkdir big; for i in $(seq 40); do head -c 3000000 /dev/urandom > big/$i; done");
        using var origin = new OriginProcess(_scratch, _repository.Path);
        for (int round = 0; round < 4; round++)
        {
            Mount($"mega:{origin.Url}/").Must();
            string pid = Shell.Bash($"pgrep -f '[m]ount mega:{origin.Url}/ {_mnt}'").Must().Split('\n')[0];
            // Killed once something is in the making: at once in the first round, a little later in the others.
            _ = Shell.Bash($"cat {_mnt}/big/* > /dev/null 2>&1 & cat {_mnt}/big/[2468] > /dev/null 2>&1 & sleep 0.0{round * 3}; "
                + $"for i in $(seq 2000); do set -- {_store}/tmp/*; [ ! -e \"$1\" ] || break; done; kill -9 {pid}; wait");
            Assert.True(AntaresMount.WaitGone(int.Parse(pid), 10));
            Try("umount", "--stale").Must();
        }
        // Some of it was in the middle of a fetch; what was in the making is no object, and the collection takes it when it is old.
        string[] left = Directory.GetFiles(System.IO.Path.Combine(_store, "tmp"));
        Assert.NotEmpty(left);
        string told = Try("store", "verify", "--store", _store).Must();
        Assert.Contains(" 0 damaged", told);
        Mount($"mega:{origin.Url}/").Must();
        SameAsCheckout();
        _ = Shell.Bash($"touch -d '2 hours ago' {_store}/tmp/*").Must();
        Try("store", "gc", "--store", _store).Must();
        Assert.DoesNotContain(Directory.GetFiles(System.IO.Path.Combine(_store, "tmp")), file => left.Contains(file));
    }

    [MountFact]
    public void ASmallStoreServesATreeLargerThanItself()
    {
        _repository.Commit("mkdir big; for i in $(seq 20); do head -c 3000000 /dev/urandom > big/$i; done");
        using var origin = new OriginProcess(_scratch, _repository.Path);
        Mount($"mega:{origin.Url}/", "--store-limit", "16M").Must();
        SameAsCheckout();
        string told = Try("store", "stat", "--store", _store).Must();
        Assert.Contains(" objects, ", told);
        // What was used in the last minutes stays, so the limit shows later.
        _ = Shell.Bash($"find {_store}/objects2 -type f -exec touch -d '1 hour ago' {{}} +").Must();
        Try("store", "gc", "--store", _store, "--store-limit", "16M").Must();
        long left = long.Parse(Shell.Bash($"du -s --block-size=1 {_store}/objects2 | cut -f1").Must());
        Assert.True(left < 17 << 20, $"{left} bytes left");
        SameAsCheckout();
    }

    /// <summary>Collections go on one after the other while two mounts read, and take whatever was not used in the last seconds.</summary>
    [MountFact]
    public void TwoMountsAndCollectionsTakeNothingAway()
    {
        _repository.Commit("mkdir big; for i in $(seq -w 30); do head -c 1000000 /dev/urandom > big/$i; done; mkdir small; for i in $(seq -w 30); do echo $i > small/$i; done");
        using var origin = new OriginProcess(_scratch, _repository.Path);
        string other = _scratch.Make("other");
        Mount($"mega:{origin.Url}/", "--store-limit", "16M").Must();
        Try("mount", $"mega:{origin.Url}/", other, "--store", _store, "--workspace-root", _scratch.Path, "--store-limit", "16M").Must();
        string sums = Shell.Bash("find . -name .git -prune -o -type f -print0 | sort -z | xargs -0 sha1sum", directory: _repository.Path).Must();
        string wanted = _scratch.Join("sums");
        File.WriteAllText(wanted, sums);
        string stop = _scratch.Join("stop"), enough = _scratch.Join("enough");
        string age = $"find {_store}/objects2 {_store}/views2 -type f ! -newermt '-3 seconds' -exec touch -d '1 hour ago' {{}} + 2> /dev/null";
        // A mount that cleans the store just then makes the command refuse.
        string collect = $"said=$({TestEnvironment.Binary} store gc --store {_store} --store-limit 16M 2>&1) || case $said in *'another process cleans it'*) ;; *) echo \"$said\" >&2; exit 1 ;; esac";
        using Process collector = Shell.Start("bash", ["-c", $"n=0; while [ ! -e {stop} ]; do {age}; {collect}; n=$((n + 1)); sleep 0.1; done; echo $n"]);
        // Past the kernel's cache, so that the mounts are asked each time; until much was taken and fetched again.
        string read = "round=0; until [ $round -ge 2 ] && [ -e ENOUGH ]; do round=$((round + 1)); while read -r sum path; do [ \"$(dd if=\"$path\" bs=1M iflag=direct status=none | sha1sum | cut -d' ' -f1)\" = $sum ] || { echo \"$path\"; exit 1; }; done < SUMS; done"
            .Replace("SUMS", wanted).Replace("ENOUGH", enough);
        Process[] readers = [.. new[] { _mnt, other, _mnt, other }.Select(folder => Shell.Start("bash", ["-c", $"cd {folder} && {read}"]))];
        int blobs = int.Parse(_repository.Git("ls-tree -r HEAD | grep ' blob ' | awk '{print $3}' | sort -u | wc -l"));
        for (int i = 0; i < 900 && origin.Count("GET /api/v1/file/blob/") <= blobs + 10 && !readers.Any(reader => reader.HasExited); i++)
            Thread.Sleep(100);
        File.WriteAllText(enough, "");
        foreach (Process reader in readers)
        {
            string said = reader.StandardOutput.ReadToEnd() + reader.StandardError.ReadToEnd();
            Assert.True(reader.WaitForExit(100_000));
            Assert.True(reader.ExitCode == 0, said);
        }
        File.WriteAllText(stop, "");
        Assert.True(collector.WaitForExit(20_000));
        Assert.True(collector.ExitCode == 0, collector.StandardError.ReadToEnd());
        Assert.True(int.Parse(collector.StandardOutput.ReadToEnd()) >= 3);
        Assert.True(origin.Count("GET /api/v1/file/blob/") > blobs, "nothing was collected");
        foreach (string mount in new[] { _mnt, other })
        {
            Assert.DoesNotContain("EIO", Try("errors", mount).Must());
            Try("umount", mount).Must();
        }
        Assert.Contains(" 0 damaged", Try("store", "verify", "--store", _store).Must());
    }

    private void Refused(ShellResult result, string reason)
    {
        Assert.Equal(3, result.ExitCode);
        Assert.Contains(reason, result.Error);
        Assert.Single(result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Null(MountTable.Find(_mnt));
        Assert.DoesNotContain(_mnt, Try("list").Must());
        Assert.Empty(Directory.GetDirectories(_scratch.Path, "antares_build_*"));
    }

    private void SameAsCheckout()
    {
        _ = Shell.Bash($"diff -r --no-dereference --exclude=.git {_repository.Path} {_mnt}", 120).Must();
        string list = "find . -name .git -prune -o \\( -type f -o -type l \\) -printf '%P %m %s %l\\n' | sort";
        Assert.Equal(Shell.Bash(list, directory: _repository.Path).Must(), Shell.Bash(list, directory: _mnt).Must());
    }

    private ShellResult Mount(params string[] words) =>
        Try(["mount", words[0], _mnt, "--store", _store, "--workspace-root", _scratch.Path, .. words[1..]]);

    private ShellResult Try(params string[] words) => Shell.Run(TestEnvironment.Binary, words, 60, environment: ("ANTARES_STATE_DIR", _state));
}
