using System.Diagnostics;
using System.Globalization;
using Antares.Aot.Base;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary><c>--writeback</c>: the kernel collects writes. Contents, sizes and times are the same; what is asked of the server, and when errors show, is not.</summary>
public sealed class WritebackMountTests
{
    private static readonly string[] s_option = ["--writeback"];

    public static TheoryData<MountKind> Kinds() => [.. TestEnvironment.Kinds.Where(k => k is MountKind.AntaresDir or MountKind.AntaresFolder or MountKind.AntaresImage)];

    [MountTheory, MemberData(nameof(Kinds))]
    public void AnswersAreThoseOfALocalDisk(MountKind kind) => Parity.Check(kind, "put low lower\ngen big 300000 1\nmkdir d\nput d/f x\n", """
        open a new CREAT|RDWR => ok
        write a one => ok
        write a two => ok
        st new => *
        cat new => 'onetwo'
        open b low RDWR => ok
        open c low RDWR|APPEND => ok
        pwrite b X 0 => ok
        write c tail => ok
        cat low => 'Xowertail'
        truncate low 3 => ok
        write c more => ok
        cat low => 'Xowmore'
        close b => ok
        close c => ok
        utimens low 1000000000 1000000000 => ok
        app low z => ok
        pwrite a far 100000 => ok
        ftruncate a 50000 => ok
        fsync a => ok
        close a => ok
        open m big RDWR => ok
        copyrange m 0 m 200000 50000 => *
        rename d e => ok
        app e/f y => ok
        utimens e/f 1200000000 1200000000 => ok
        !remount
        cat low => 'Xowmorez'
        """, options: s_option);

    /// <summary>A process that the command of <c>run</c> left behind is cut off, but what it wrote until then is in the upper.</summary>
    [MountFact]
    public void WhatIsLeftBehindHasWritten()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder);
        string lines = scratch.Join("lines");
        _ = Shell.Run("mkfifo", [lines]).Must();
        using Process writer = Shell.Start("bash", ["-c", "exec > \"$0\"; printf 'open f f CREAT|RDWR\\npwrite f precious 0\\nput ready x\\n'; exec sleep 60", lines]);
        string script = """
            setsid "$0" run "$PWD" < "$1" > /dev/null 2>&1 &
            for i in {1..1000}; do [ -e ready ] && exit 3; sleep 0.02; done
            """;
        ShellResult result = mount.Try("run", mount.Lower, "--engine", "fuse", "--writeback", "--upper", mount.Upper!, "--work", mount.Work!, "--", "bash", "-c", script, Probe.Path, lines);
        writer.Kill();
        Assert.True(result.ExitCode == 3 && result.Error.Contains("is taken out of sight", StringComparison.Ordinal), result.ToString());
        Assert.Equal("precious", File.ReadAllText(Path.Join(mount.Upper, "f")));
    }

    /// <summary>Many pages are collected before a writer is held up, but no more than the memory allows.</summary>
    [MountTheory, InlineData(false, 64), InlineData(true, 128)]
    public void TheShareOfDirtyPagesIsRaised(bool collects, long most)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder, collects ? s_option : []);
        mount.Mount();
        string knob = $"/sys/class/bdi/{Shell.Bash("mountpoint -d .", directory: mount.Root).Must().Trim()}/max_bytes";
        if (Environment.OSVersion.Version < new Version(6, 2))
        {
            Assert.False(File.Exists(knob));
            return;
        }

        // Raised once requests are served. The kernel keeps a part of what the machine allows at the moment, so that it gives back another number. A machine that
        // allows more by itself keeps that.
        long memory = MemoryLimit.Bytes() / 8;
        long wanted = Math.Min(most << 20, memory);
        Assert.True(SpinWait.SpinUntil(() => Share() > wanted / 10 * 8, 10_000), $"{knob}: {Share()}, not about {wanted}");
        Assert.InRange(Share(), 1, memory * 2);

        long Share() => long.Parse(File.ReadAllText(knob), CultureInfo.InvariantCulture);
    }

    /// <summary>
    /// A write that makes a file longer keeps its bytes while the page it ends in is changed through a mapping and written out. Without the option
    /// Linux 6.18 loses some of them (docs/SEMANTICS.md), so that only the mount that collects writes is held to it here.
    /// </summary>
    [MountTheory, MemberData(nameof(Kinds))]
    public void AnAppendBesideAMappingIsNotLost(MountKind kind) => Parity.Check(kind, "gen f 9000 1\n", """
        tail new 3000 => 0 wrong
        tail f 3000 => 0 wrong
        """, options: s_option);

    /// <summary>Writes that are collected are handed over once, and none is lost when the file is closed, synced or unlinked.</summary>
    [MountFact]
    public void ManyWritesAreFewRequests()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresDir, s_option);
        mount.Mount();
        _ = Probe.Check(mount.Root, "open f f CREAT|RDWR => ok\n" + string.Concat(Enumerable.Repeat("write f abcd => ok\n", 1000)) + "close f => ok\n");
        Assert.InRange(mount.Requests()["write"], 1, 10);
        Assert.Equal(string.Concat(Enumerable.Repeat("abcd", 1000)), File.ReadAllText(Path.Combine(mount.Upper!, "f")));
    }

    /// <summary>What was closed outlives the server.</summary>
    [MountFact]
    public void WhatWasClosedOutlivesTheServer()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresDir, s_option);
        _ = Probe.Check(mount.Lower, "put low lower\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, "put new data => ok\napp low more => ok\n");
        foreach (int pid in mount.ServerPids())
            _ = Shell.Run("kill", ["-9", $"{pid}"]).Must();
        Assert.Equal("data", File.ReadAllText(Path.Combine(mount.Upper!, "new")));
        Assert.Equal("lowermore", File.ReadAllText(Path.Combine(mount.Upper!, "low")));
    }

    /// <summary>A write that finds no room fails when the file is synced or closed, is named by <c>errors</c>, and what had room is there.</summary>
    [MountFact]
    public void AFullDiskShowsAtCloseAndInErrors()
    {
        using var outer = new ScratchFolder();
        using var disk = new SmallDisk(outer, "tmpfs", 4);
        using var scratch = new ScratchFolder(disk.Path);
        using var mount = new AntaresMount(scratch, MountKind.AntaresDir, s_option);
        mount.Mount();
        _ = Probe.Check(mount.Root, """
            put kept data => ok
            open f f CREAT|RDWR => ok
            fill f 0 8000000 1 => ok
            fsync f => ENOSPC
            close f => *
            unlink f => ok
            put after room => ok
            """);
        Assert.Contains("ENOSPC", mount.Try("errors", mount.Root).Must());
        Assert.Equal("room", File.ReadAllText(Path.Combine(mount.Upper!, "after")));
        Assert.Equal("data", File.ReadAllText(Path.Combine(mount.Upper!, "kept")));
    }

    /// <summary>The times that were shown are the times that are kept, however late and in whichever order data and times are handed over.</summary>
    [MountFact]
    public void TheTimesShownAreTheTimesKept()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresDir, s_option);
        _ = Probe.Check(mount.Lower, "gen low 100000 1\n");
        mount.Mount();
        string shown = Shell.Bash("""
            (while :; do sync -f .; done) & syncer=$!
            for i in $(seq 200); do echo $i > f$i; echo more >> low; printf x >> f$i; done
            kill $syncer; wait $syncer 2> /dev/null
            stat -c '%n %s %y' low f*
            """, directory: mount.Root).Must();
        mount.Unmount();
        Assert.Equal(shown, Shell.Bash("stat -c '%n %s %y' low f*", directory: mount.Upper!).Must());
    }

    /// <summary>The kernel hands over the times of what was removed or linked too: nothing is copied for that.</summary>
    [MountTheory, MemberData(nameof(Kinds))]
    public void WhatIsRemovedIsNotCopied(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind, s_option);
        _ = Probe.Check(mount.Lower, "gen a 1000000 1\ngen b 1000000 2\nlink b b2\ngen c 1000000 3\nmkdir d\ngen d/e 1000000 4\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, """
            cat a => *
            stat b => *
            unlink a => ok
            unlink b => ok
            put new x => ok
            rename new c => ok
            rmtree d => ok
            st b2 => *
            """);
        Assert.Equal(0, mount.Stats().GetProperty("gauges").GetProperty("copied_up_bytes").GetInt64());
        mount.Unmount();
        Assert.Equal(["c"], Directory.GetFiles(mount.Upper!).Select(Path.GetFileName).Where(n => new FileInfo(Path.Combine(mount.Upper!, n!)).Length > 0));
    }

    /// <summary>Whoever may write somebody else's file gets no error for its time, which it may not choose.</summary>
    [MountFact]
    public void AFileOfSomebodyElseCanBeWritten()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresDir, s_option)
        {
            Wrapper = ["setpriv", "--bounding-set=-fowner", "--inh-caps=-fowner"],
        };
        _ = Shell.Bash("echo -n old > theirs; chmod 666 theirs; chown 1234 theirs", directory: mount.Upper!).Must();
        mount.Mount();
        _ = Probe.Check(mount.Root, "open f theirs RDWR => ok\nwrite f new => ok\nfsync f => ok\nclose f => ok\ntruncate theirs 2 => ok\n");
        mount.Unmount();
        Assert.Equal("ne", File.ReadAllText(Path.Combine(mount.Upper!, "theirs")));
    }
}
