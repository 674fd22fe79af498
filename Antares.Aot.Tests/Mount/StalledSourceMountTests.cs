using System.Diagnostics;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>A source that stands still (here: a folder on a FUSE mount whose server is stopped) stops only who needs something of it.</summary>
public sealed class StalledSourceMountTests
{
    [MountFact]
    public void OthersWorkOnWhileTheSourceStandsStill()
    {
        using var below = new ScratchFolder();
        using var scratch = new ScratchFolder();
        using var source = new AntaresMount(below, MountKind.AntaresFolder) { Upper = null };
        _ = Probe.Check(source.Lower, "mkdir warm\nput warm/file low\nmkdir merged\nput merged/a 1\nmkdir cold\nput cold/a 1\nmkdir gone\nmkdir gone/sub\nmkdir from\nput from/a 1\n");
        source.Mount();
        using var mount = new AntaresMount(scratch, MountKind.AntaresDir) { Lower = source.Root };
        mount.Mount();
        // The names of "merged" are in the source alone; the directory itself is in the upper.
        _ = Probe.Check(mount.Root, "app warm/file +up => ok\nput warm/mine 1 => ok\nchmod merged 700 => ok\n");
        int server = source.ServerPid();
        _ = Shell.Run("kill", ["-STOP", $"{server}"]).Must();
        try
        {
            // Within one directory: a rename between two holds a lock of the kernel's for the whole file system while it waits.
            string[] needing = ["ls merged", "touch cold/new", "mv from/a from/moved", "mkdir gone/sub/x", "rmdir gone/sub"];
            Process[] waiting = [.. needing.Select(command => Shell.Start("bash", ["-c", command], mount.Root))];
            Thread.Sleep(500);
            _ = Shell.Run("timeout", ["20", "bash", "-c", "printf '!' >> warm/file && mkdir warm/d && mv warm/mine warm/d/ && touch top && rm top && ls warm && cat warm/file"], 30, mount.Root).Must();
            Assert.Contains(waiting, process => !process.HasExited);
            _ = Shell.Run("kill", ["-CONT", $"{server}"]).Must();
            Assert.All(waiting, process => Assert.True(process.WaitForExit(20_000)));
            Assert.All(waiting[..3], process => Assert.Equal(0, process.ExitCode));
        }
        finally
        {
            _ = Shell.Run("kill", ["-CONT", $"{server}"]);
        }

        _ = Probe.Check(mount.Root, "cat warm/file => 'low+up!'\nls merged => [1] 'a:f'\nls cold => [2] 'a:f' 'new:f'\nls from => [1] 'moved:f'\ncat from/moved => '1'\ncat warm/d/mine => '1'\n");
        mount.Unmount();
        source.Unmount();
    }

    /// <summary>More data than the server keeps of those who wait for their turn: nobody is refused, the source being well.</summary>
    [MountFact]
    public void ManyLongWritesAtOnceAllSucceed()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresDir);
        _ = Shell.Bash("for i in $(seq 150); do head -c 3M /dev/zero > f$i; done", 60, mount.Lower).Must();
        mount.Mount();
        ShellResult result = Shell.Bash("head -c 1M /dev/urandom > ../block; for i in $(seq 150); do dd if=../block of=f$i bs=1M count=1 conv=notrunc status=none & done; wait; for i in $(seq 150); do head -c 1M f$i | cmp ../block - || echo f$i; done", 120, mount.Root);
        Assert.Equal("", result.Must());
        Assert.Equal("", result.Error);
    }

    /// <summary>Who waits for a turn at a source that stands still can be killed, and the end of the mount waits for nobody's turn.</summary>
    [MountFact]
    public void WhoWaitsForATurnCanBeKilled()
    {
        const int Many = 100;
        const int Places = 24;
        using var below = new ScratchFolder();
        using var scratch = new ScratchFolder();
        using var source = new AntaresMount(below, MountKind.AntaresFolder) { Upper = null };
        _ = Shell.Bash($"for i in $(seq {Many}); do mkdir d$i; printf x > d$i/f; done", 20, source.Lower).Must();
        source.Mount();
        using var mount = new AntaresMount(scratch, MountKind.AntaresDir) { Lower = source.Root };
        mount.Mount();
        _ = Shell.Bash("ls -l . > /dev/null", 20, mount.Root).Must();
        int server = source.ServerPid();
        _ = Shell.Run("kill", ["-STOP", $"{server}"]).Must();
        try
        {
            Process[] waiting = [.. Enumerable.Range(1, Many).Select(i => Shell.Start("stat", [$"d{i}/f"], mount.Root))];
            for (int i = 0; i < 100 && mount.Gauge("dicfuse_requests_waiting") < Many - Places; i++)
                Thread.Sleep(50);
            Assert.Equal(Many - Places, mount.Gauge("dicfuse_requests_waiting"));
            foreach (Process process in waiting)
                process.Kill();
            for (int i = 0; i < 100 && waiting.Count(process => !process.HasExited) > Places; i++)
                Thread.Sleep(50);
            Assert.InRange(waiting.Count(process => !process.HasExited), 0, Places);
            Assert.Equal(0, mount.Gauge("dicfuse_requests_waiting"));
            _ = Shell.Run("kill", ["-CONT", $"{server}"]).Must();
            Assert.All(waiting, process => Assert.True(process.WaitForExit(20_000)));
        }
        finally
        {
            _ = Shell.Run("kill", ["-CONT", $"{server}"]);
        }

        _ = Probe.Check(mount.Root, "cat d1/f => 'x'\ncat d100/f => 'x'\n");
        mount.Unmount();
        source.Unmount();
    }

    /// <summary>
    /// More requests than the mount has threads need a source that stands still: reads of files, lookups, listings, copies and waits for
    /// them. All others are answered, and those too once it goes on.
    /// </summary>
    [MountFact]
    public void HundredsOfRequestsAtAStalledSourceLeaveRoomForOthers()
    {
        const int Each = 60;
        using var below = new ScratchFolder();
        using var scratch = new ScratchFolder();
        using var source = new AntaresMount(below, MountKind.AntaresFolder) { Upper = null };
        string range = $"$(seq {Each})";
        _ = Shell.Bash($"for i in {range}; do mkdir -p cold/$i; echo $i > cold/$i/file; echo $i > read$i; echo $i > write$i; done; echo 0 > same; echo other > other", 20, source.Lower).Must();
        source.Mount();
        using var mount = new AntaresMount(scratch, MountKind.AntaresDir) { Lower = source.Root };
        mount.Mount();
        // Everything is known of the files but their content.
        _ = Shell.Bash("ls -l . > /dev/null; ls cold > /dev/null; for i in $(seq 100); do echo mine > mine$i; done", 20, mount.Root).Must();
        int server = source.ServerPid();
        _ = Shell.Run("kill", ["-STOP", $"{server}"]).Must();
        try
        {
            string script = $"for i in {range}; do cat read$i > /dev/null & echo more >> write$i & ls cold/$i/file & echo +$i >> same & done > /dev/null; wait";
            using Process waiting = Shell.Start("bash", ["-c", script], mount.Root);
            Thread.Sleep(2500);
            _ = Shell.Run("timeout", ["20", "bash", "-c", "for i in $(seq 100); do echo new > new$i && mv new$i mine$i && cat mine$i && truncate -s 100000 mine$i && cat mine$i > /dev/null && rm mine$i || exit 1; done"], 30, mount.Root).Must();
            Assert.False(waiting.HasExited);
            Assert.InRange(mount.Gauge("dicfuse_requests_waiting"), 100, 4 * Each);
            _ = Shell.Run("kill", ["-CONT", $"{server}"]).Must();
            Assert.True(waiting.WaitForExit(30_000));
            Assert.Equal(0, waiting.ExitCode);
        }
        finally
        {
            _ = Shell.Run("kill", ["-CONT", $"{server}"]);
        }

        Assert.Equal(0, mount.Gauge("dicfuse_requests_waiting"));
        _ = Shell.Bash($"for i in {range}; do test \"$(cat read$i)\" = $i && test \"$(cat write$i)\" = $i$'\\n'more && test \"$(ls cold/$i)\" = file && grep -qx +$i same || exit 1; done; test $(wc -l < same) = {Each + 1}", 20, mount.Root).Must();
        mount.Unmount();
        source.Unmount();
    }

    [MountTheory]
    [InlineData(MountKind.AntaresFolder, true)]
    [InlineData(MountKind.AntaresDir, false)]
    public void APlainFolderOnANetworkIsWarnedOf(MountKind kind, bool warned)
    {
        using var below = new ScratchFolder();
        using var scratch = new ScratchFolder();
        using var source = new AntaresMount(below, MountKind.AntaresFolder) { Upper = null };
        source.Mount();
        using var mount = new AntaresMount(scratch, kind) { Lower = source.Root };
        ShellResult result = mount.Try(mount.MountArguments);
        _ = result.Must();
        Assert.Equal(warned, result.Error.Contains($"lies on FUSE: while its server stands still", StringComparison.Ordinal));
        mount.Unmount();
        source.Unmount();
    }

    /// <summary>
    /// A file with several names, mounted over a further name of another number: only its attributes tell that it is the same file. What is
    /// written through any of the names is in all of them.
    /// </summary>
    [MountTheory]
    [InlineData("lookup")]
    [InlineData("list")]
    public void AFileMountedOverANameOfTheSourceIsOneFile(string way)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresDir);
        _ = Probe.Check(mount.Lower, "put a low\nlink a b\nmkdir d\nput d/c other\nput c other\n");
        _ = Shell.Bash("mount --bind a d/c && mount --bind a c", 20, mount.Lower).Must();
        mount.Mount();
        _ = Probe.Check(mount.Root, "cat a => 'low'\n");
        _ = Shell.Run(way == "list" ? "ls" : "stat", way == "list" ? ["-l", "d", "."] : ["d/c", "c"], 20, mount.Root).Must();
        _ = Probe.Check(mount.Root, "app d/c +one => ok\napp c +two => ok\napp b +three => ok\n");
        _ = Probe.Check(mount.Root, "mark i a => ok\ncmp i b i => i=\ncmp i c i => i=\ncmp i d/c i => i=\ncat a => 'low+one+two+three'\ncat b => 'low+one+two+three'\ncat c => 'low+one+two+three'\ncat d/c => 'low+one+two+three'\n");
        mount.Unmount();
        _ = Shell.Bash("umount d/c c", 20, mount.Lower).Must();
    }
}
