using System.Diagnostics;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>An image on a web server through a real mount, over loopback.</summary>
public sealed class HttpImageMountTests : IDisposable
{
    private const int Usage = 2, Refused = 3;

    private readonly ScratchFolder _scratch = new();
    private readonly string _store;
    private readonly string _state;
    private readonly string _mnt;
    private readonly string _tree;
    private readonly string _image;

    public HttpImageMountTests()
    {
        _store = _scratch.Join("store");
        _state = _scratch.Make("state");
        _mnt = _scratch.Make("mnt");
        _tree = _scratch.Make("tree");
        _image = _scratch.Join("tree.image");
        _ = Shell.Bash("mkdir -p src/deep; echo hello > README; ln -s ../README src/link; head -c 3000000 /dev/urandom > src/big; head -c 900000 /dev/urandom > src/deep/other; echo 'int main;' > src/main.c", directory: _tree).Must();
    }

    public void Dispose() => _scratch.Dispose();

    [MountTheory]
    [InlineData("fuse")]
    [InlineData("kernel")]
    [InlineData("auto")]
    public void TheMountIsTheTreeAndTakesWrites(string engine)
    {
        using var host = new RangeHost(Pack());
        Mount(host.Url, "--engine", engine).Must();
        Assert.Contains(host.Url, Try("list").Must());
        Assert.Equal("hello\n", Shell.Bash($"cat {_mnt}/src/link").Must());
        _ = Shell.Bash($"diff -r --no-dereference {_tree} {_mnt}").Must();
        _ = Probe.Check(_mnt, "app README more => ok\ncat README => 'hello\\x0amore'\nput src/new x => ok\nunlink src/main.c => ok\ncat src/main.c => ENOENT\n");
        _ = Shell.Bash($"cmp {_mnt}/src/big {_tree}/src/big && echo x >> {_mnt}/src/big && head -c 3000000 {_mnt}/src/big | cmp - {_tree}/src/big").Must();
        Assert.Contains("image_frames_fetched", Try("stats", _mnt).Must());
        Try("umount", _mnt).Must();
        host.Forget();
        // All of it is in the store.
        Mount(host.Url).Must();
        _ = Shell.Bash($"diff -r --no-dereference {_tree} {_mnt}").Must();
        Assert.Equal([(0L, 4095L, 206)], host.Seen);
        Try("umount", _mnt).Must();
        Assert.Equal(0, Try("store", "verify", "--store", _store).ExitCode);
    }

    [MountFact]
    public void WhatWasReplacedIsAnErrorWithItsReason()
    {
        using var host = new RangeHost(Pack());
        Mount(host.Url).Must();
        _ = Shell.Bash($"cmp {_mnt}/src/deep/other {_tree}/src/deep/other").Must();
        _ = Shell.Bash("head -c 3000000 /dev/urandom > src/big", directory: _tree).Must();
        host.Content = Pack();
        host.ETag = "\"v2\"";
        Assert.Contains("Input/output error", Shell.Bash($"cat {_mnt}/src/big").Error);
        Assert.Contains("was replaced on the server", Try("errors", _mnt).Must());
        _ = Shell.Bash($"cmp {_mnt}/src/deep/other {_tree}/src/deep/other").Must();
        Try("umount", _mnt).Must();
        Mount(host.Url).Must();
        _ = Shell.Bash($"diff -r --no-dereference {_tree} {_mnt}").Must();
    }

    [MountFact]
    public void HangingReadsHoldUpNothingElse()
    {
        byte[] image = Pack();
        using var host = new RangeHost(image);
        Mount(host.Url).Must();
        Assert.Equal("hello\n", Shell.Bash($"cat {_mnt}/README").Must());
        host.QuirkFrom = 1;
        host.DelayMs = 4000;
        using Process reader = Process.Start("cat", $"{_mnt}/src/deep/other");
        var clock = Stopwatch.StartNew();
        _ = Shell.Bash($"find {_mnt} -ls > /dev/null; cat {_mnt}/README; echo new > {_mnt}/new; mv {_mnt}/src {_mnt}/moved").Must();
        Assert.True(clock.ElapsedMilliseconds < 3500, $"{clock.ElapsedMilliseconds} ms");
        reader.WaitForExit();
        Assert.Equal(0, reader.ExitCode);
    }

    [MountFact]
    public void AKilledServerLeavesNothingToBeBelieved()
    {
        using var host = new RangeHost(Pack());
        for (int round = 0; round < 4; round++)
        {
            Mount(host.Url).Must();
            host.Quirk = RangeQuirk.CutsOff;
            host.QuirkFrom = 5000;
            using Process reader = Process.Start("bash", ["-c", $"cat {_mnt}/src/big {_mnt}/src/deep/other > /dev/null 2>&1"]);
            Thread.Sleep(30 * round);
            foreach (int pid in Servers())
                _ = Shell.Bash($"kill -9 {pid}; for i in $(seq 1000); do [ -d /proc/{pid} ] || break; sleep 0.01; done").Must();
            reader.WaitForExit();
            _ = Try("umount", "--stale").Must();
            host.Quirk = RangeQuirk.None;
        }
        Mount(host.Url).Must();
        _ = Shell.Bash($"diff -r --no-dereference {_tree} {_mnt}").Must();
    }

    [MountFact]
    public void WhatAnEarlierRunTouchedIsFetchedAhead()
    {
        string list = _scratch.Join("list");
        using (var host = new RangeHost(Pack()))
        {
            Mount(host.Url, "--record", list, "--replay", list).Must();
            _ = Shell.Bash($"cmp {_mnt}/src/deep/other {_tree}/src/deep/other && ! test -e {_mnt}/absent").Must();
            Try("umount", _mnt).Must();
            Assert.StartsWith("antares-access 1\nD /\n", File.ReadAllText(list));
            Assert.Contains("F /src/deep/other\n", File.ReadAllText(list));
            Directory.Delete(_store, recursive: true);
            Mount(host.Url, "--record", list, "--replay", list, "--prefetch", "READ*").Must();
            Assert.True(Eventually(() => Try("stats", _mnt, "--json").Must().Contains("\"prefetch_waiting\":0", StringComparison.Ordinal)));
        }
        // The server is gone.
        _ = Shell.Bash($"cmp {_mnt}/src/deep/other {_tree}/src/deep/other && cmp {_mnt}/README {_tree}/README").Must();
        Assert.Contains("Input/output error", Shell.Bash($"cat {_mnt}/src/big").Error);
        Assert.Contains("cannot connect", Try("errors", _mnt).Must());
        Try("umount", _mnt).Must();
    }

    [MountFact]
    public void AServerWithoutRangesIsDownloadedFrom()
    {
        using var host = new RangeHost(Pack()) { Quirk = RangeQuirk.Whole };
        ShellResult refused = Mount(host.Url);
        Assert.Equal(Refused, refused.ExitCode);
        Assert.Contains("--download", refused.Error);
        Mount(host.Url, "--download").Must();
        _ = Shell.Bash($"diff -r --no-dereference {_tree} {_mnt}").Must();
        Try("umount", _mnt).Must();
        host.Forget();
        Assert.Equal("hello\n", Try("run", "--store", _store, "--download", host.Url, "--", "cat", "README").Must());
        Assert.Equal([(-1L, -1L, 304)], host.Seen);
    }

    [MountFact]
    public void ImagesAreStacked()
    {
        byte[] below = Pack();
        string patch = _scratch.Join("patch.image");
        string kept = _scratch.Join("base.image");
        File.WriteAllBytes(kept, below);
        _ = Shell.Bash("echo changed > README; rm src/main.c", directory: _tree).Must();
        Try("pack", _tree, "-o", patch, "--base", kept).Must();
        using var host = new RangeHost(below);
        using var other = new RangeHost(File.ReadAllBytes(patch));
        Mount(host.Url, "--image", other.Url).Must();
        _ = Shell.Bash($"diff -r --no-dereference {_tree} {_mnt}").Must();
        Try("umount", _mnt).Must();
        Assert.Contains("is a patch", Mount(other.Url).Error);
    }

    [MountTheory]
    [InlineData(2, "--download: only for https: images", "mount", "SOURCE", "MNT", "--download")]
    [InlineData(2, "exclude each other", "mount", "http://127.0.0.1:1/x", "MNT", "--download", "--offline")]
    [InlineData(2, "--on-drift: only for", "mount", "http://127.0.0.1:1/x", "MNT", "--on-drift", "warn")]
    [InlineData(2, "is no address", "mount", "https:x", "MNT")]
    [InlineData(2, "password", "mount", "https://me:secret@host/x", "MNT")]
    [InlineData(3, "cannot connect", "mount", "http://127.0.0.1:1/x?sig=secret", "MNT")]
    [InlineData(3, "--offline", "mount", "http://127.0.0.1:1/x?sig=secret", "MNT", "--offline")]
    [InlineData(2, "curl", "pack", "http://127.0.0.1:1/x?sig=secret", "-o", "OUT")]
    [InlineData(2, "--frame '15K'", "pack", "SOURCE", "-o", "OUT", "--frame", "15K")]
    [InlineData(2, "--frame '2M'", "pack", "SOURCE", "-o", "OUT", "--frame", "2M")]
    [InlineData(2, "--frame '64KK'", "pack", "SOURCE", "-o", "OUT", "--frame", "64KK")]
    [InlineData(2, "curl", "inspect", "http://127.0.0.1:1/x?sig=secret")]
    [InlineData(2, "curl", "verify", "http://127.0.0.1:1/x?sig=secret")]
    [InlineData(2, "curl", "unpack", "http://127.0.0.1:1/x?sig=secret", "OUT")]
    [InlineData(2, "curl", "diff", "http://127.0.0.1:1/x?sig=secret", "http://127.0.0.1:1/x?sig=secret")]
    public void WhatCannotBeIsToldSoAndOtherVerbsTakeFiles(int code, string reason, params string[] words)
    {
        words = [.. words.Select(word => word switch { "SOURCE" => _tree, "MNT" => _mnt, "OUT" => _scratch.Join("out"), _ => word })];
        ShellResult result = Try([.. words, .. words[0] == "mount" && code != Usage ? ["--store", _store] : Array.Empty<string>()]);
        Assert.Equal(code, result.ExitCode);
        Assert.Contains(reason, result.Error);
        Assert.DoesNotContain("secret", result.Error);
        Assert.Null(MountTable.Find(_mnt));
    }

    private byte[] Pack()
    {
        Try("pack", _tree, "-o", _image).Must();
        return File.ReadAllBytes(_image);
    }

    private ShellResult Mount(params string[] arguments) => Try(["mount", .. arguments, _mnt, "--store", _store]);

    private ShellResult Try(params string[] arguments) => Shell.Run(TestEnvironment.Binary, arguments, 60, environment: [("ANTARES_STATE_DIR", _state)]);

    private IEnumerable<int> Servers()
    {
        string binary = Path.GetFullPath(TestEnvironment.Binary);
        foreach (string folder in Directory.GetDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), out int pid))
                continue;
            bool ours;
            try
            {
                ours = File.ResolveLinkTarget(Path.Combine(folder, "exe"), false)?.FullName == binary
                    && File.ReadAllText(Path.Combine(folder, "cmdline")).Split('\0').Contains(_mnt);
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                continue; // ended meanwhile
            }
            if (ours)
                yield return pid;
        }
    }

    private static bool Eventually(Func<bool> condition) => SpinWait.SpinUntil(() =>
    {
        Thread.Sleep(50);
        return condition();
    }, 20_000);
}
