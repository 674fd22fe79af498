using System.Diagnostics;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>kill -9 of the server while files are being copied up: each file is whole afterwards, old or new.</summary>
public sealed class CrashMountTests
{
    private const int Files = 100;
    private const string Tail = "+appended+";

    [MountTheory]
    [InlineData(MountKind.AntaresDir, 3), InlineData(MountKind.AntaresDir, 40), InlineData(MountKind.AntaresDir, 77), InlineData(MountKind.AntaresFolder, 20)]
    public void EachFileIsWholeAfterAKill(MountKind kind, int after)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        FillLower(mount.Lower);
        string lower = Probe.Digest(mount.Lower, "i");
        mount.Mount();
        KillDuringCopyUps(mount, after);

        // What is in the upper now is exactly what a later mount would take for the file.
        mount.Mount();
        int changed = CheckFiles(mount.Root, mount.Lower);
        Assert.True(changed >= after, $"{changed} files were changed, {after} had been acknowledged");
        _ = Probe.Check(mount.Root, "app f0 more => ok\nput new x => ok\nunlink f99 => ok\n");
        mount.Unmount();
        Parity.AssertWorkIsClean(mount.Work!);
        Parity.AssertSameTree("the lower before", lower, "the lower after", Probe.Digest(mount.Lower, "i"));
    }

    /// <summary>
    /// Four clients of all kinds of calls, a kill at some moment, again and again: every acknowledged call is there, the one on its way wholly or
    /// not at all. bench/acceptance/crash-loop.sh does the same 200 times.
    /// </summary>
    [MountTheory, InlineData(MountKind.AntaresDir), InlineData(MountKind.AntaresFolder)]
    public void EveryAcknowledgedCallIsThereAfterAKill(MountKind kind)
    {
        int kills = TestEnvironment.Long ? 50 : 4;
        var random = new Random(kind == MountKind.AntaresDir ? 1 : 2);
        for (int round = 0; round < kills; round++)
        {
            using var scratch = new ScratchFolder();
            using var mount = new AntaresMount(scratch, kind);
            var load = new CrashLoad(scratch, mount, round);
            load.FillLower();
            string lower = Probe.Digest(mount.Lower, "iD");
            mount.Mount();
            load.RunAndKill(random.Next(20, 400));
            // A new mount takes the dead one's place.
            mount.Mount();
            foreach (ShellResult result in load.Check())
                Assert.StartsWith("ok ", result.Must());
            Parity.CheckAfterwards(mount, scratch, lower, kernelSeesTheSame: true);
        }
    }

    /// <summary>The check itself: a call that was acknowledged and is not there is found.</summary>
    [Fact]
    public void ALostCallIsFound()
    {
        using var scratch = new ScratchFolder();
        string folder = scratch.Make("w");
        _ = Shell.Run(Probe.Path, ["crashlower", folder]).Must();
        string[] check = ["crashcheck", folder, "1", scratch.Join("counter")];
        Assert.StartsWith("ok 0", Shell.Run(Probe.Path, check).Must());
        File.AppendAllText(Path.Combine(folder, "D1/f2"), "x");
        ShellResult result = Shell.Run(Probe.Path, check);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("D1/f2", result.Error);
    }

    /// <summary>A volatile upper whose server died may lack what was written: it is refused until the user says --recover.</summary>
    [MountFact]
    public void AVolatileUpperIsRefusedAfterACrash()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresDir, "--volatile");
        FillLower(mount.Lower);
        mount.Mount();
        KillDuringCopyUps(mount, 10);

        ShellResult refused = mount.Try(mount.MountArguments);
        Assert.True(refused.ExitCode == 3, refused.ToString());
        Assert.Contains("--recover", refused.Error);
        Assert.Null(MountTable.Find(mount.Root));

        _ = mount.Try([.. mount.MountArguments, "--recover"]).Must();
        _ = CheckFiles(mount.Root, mount.Lower);
        mount.Unmount();
        Parity.AssertWorkIsClean(mount.Work!);
        // A clean unmount takes the mark away again.
        mount.Mount();
        mount.Unmount();
    }

    /// <summary>Clients of a dead server get an error at once, nobody hangs, and the mount point can be cleaned up.</summary>
    [MountFact]
    public void ClientsOfADeadServerGetAnError()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "put f x\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, "app f y => ok\n");
        int pid = mount.ServerPid();
        _ = Shell.Run("kill", ["-9", pid.ToString()]).Must();
        Assert.True(AntaresMount.WaitGone(pid, 10));
        ShellResult stat = Shell.Run("stat", [mount.Root], 20);
        Assert.Contains("Transport endpoint is not connected", stat.Error);
        Assert.Contains(mount.Root, mount.Try("list").Must());
        _ = mount.Try("umount", "--stale").Must();
        Assert.Null(MountTable.Find(mount.Root));
        Assert.DoesNotContain(mount.Root, mount.Try("list").Must());
        mount.Mount();
        _ = Probe.Check(mount.Root, "cat f => 'xy'\n");
        mount.Unmount();
    }

    /// <summary>A mount that was listed goes on opening and listing from the kernel's caches when its server is dead: it is found dead all the same.</summary>
    [MountTheory, InlineData(true), InlineData(false)]
    public void ADeadMountThatWasListedIsCleanedUp(bool byUmount)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "put f x\n");
        mount.Mount();
        _ = Shell.Bash("ls \"$R\"; ls -l \"$R\"", environment: ("R", mount.Root)).Must();
        int pid = mount.ServerPid();
        _ = Shell.Run("kill", ["-9", pid.ToString()]).Must();
        Assert.True(AntaresMount.WaitGone(pid, 10));
        // The first thread is gone; the last one to go closes the control socket and the FUSE device.
        for (int i = 0; i < 100 && !mount.Try("list").Must().Contains("stale", StringComparison.Ordinal); i++)
            Thread.Sleep(20);
        if (byUmount)
        {
            _ = mount.Try("umount", "--stale").Must();
            Assert.Empty(MountTable.Below(scratch.Path));
            Assert.DoesNotContain(mount.Root, mount.Try("list").Must());
        }
        mount.Mount();
        Assert.Single(MountTable.Below(scratch.Path));
        _ = Probe.Check(mount.Root, "cat f => 'x'\n");
        mount.Unmount();
    }

    /// <summary>Whoever mounts again after a crash has not asked for the end of what was written: it stays until umount --stale, and both say so.</summary>
    [MountTheory, InlineData("fuse"), InlineData("kernel")]
    public void WhatWasWrittenIsNotThrownAwayByTheNextMount(string engine)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "put f x\n");
        string spaces = scratch.Make("spaces");
        string[] arguments = ["mount", mount.Lower, mount.Root, "--engine", engine, "--workspace-root", spaces, "--job", "job1"];
        _ = mount.Try(arguments).Must();
        _ = Probe.Check(mount.Root, "put new precious => ok\n");
        Kill();
        ShellResult again = mount.Try(arguments);
        Assert.True(again.ExitCode == 0, again.ToString());
        string[] left = Directory.GetFiles(spaces, "new", SearchOption.AllDirectories).Where(path => path.Contains("/upper/", StringComparison.Ordinal)).ToArray();
        Assert.Equal("precious", File.ReadAllText(Assert.Single(left)));
        Assert.Contains($"what was written there is in {Path.GetDirectoryName(left[0])} until antares-aot umount --stale", again.Error);
        _ = Probe.Check(mount.Root, "cat f => 'x'\ncat new => ENOENT\n");
        Assert.Equal(1, mount.Try("list").Must().Split('\n').Count(line => line.Contains(" stale ", StringComparison.Ordinal)));

        // Of the two the path means the mount that lives. What nobody wrote in is no reason to stay.
        _ = mount.Try("stats", mount.Root).Must();
        _ = mount.Try("stats", "job1").Must();
        Kill();
        again = mount.Try(arguments);
        Assert.True(again.ExitCode == 0 && !again.Error.Contains("what was written", StringComparison.Ordinal), again.ToString());
        Assert.Equal(2, Directory.GetFileSystemEntries(spaces).Length);
        _ = mount.Try("umount", "job1").Must();
        Assert.True(File.Exists(left[0]), "an unmount of another mount took it away");
        Assert.Single(Directory.GetFileSystemEntries(spaces));

        // Whoever goes on with it has it.
        string upper = Path.GetDirectoryName(left[0])!;
        _ = mount.Try("mount", mount.Lower, mount.Root, "--engine", engine, "--upper", upper, "--work", Path.Combine(Path.GetDirectoryName(upper)!, ".work")).Must();
        _ = Probe.Check(mount.Root, "cat new => 'precious'\n");
        ShellResult refused = mount.Try("umount", "--stale");
        Assert.True(refused.ExitCode == 3 && refused.Error.Contains($"the mount at {mount.Root} has its upper or work folder there", StringComparison.Ordinal), refused.ToString());
        _ = Probe.Check(mount.Root, "cat new => 'precious'\n");
        _ = mount.Try("umount", mount.Root).Must();

        // Unmounted by hand: the next mount there may get the same device, and is another one.
        Assert.Equal("precious", File.ReadAllText(left[0]));
        _ = mount.Try(arguments).Must();
        _ = Probe.Check(mount.Root, "put other y => ok\n");
        Kill();
        _ = Shell.Run("umount", [mount.Root]).Must();
        again = mount.Try(arguments);
        Assert.True(again.ExitCode == 0 && again.Error.Contains("what was written", StringComparison.Ordinal), again.ToString());
        _ = mount.Try("umount", mount.Root).Must();
        Assert.Equal(2, Directory.GetFileSystemEntries(spaces).Length);
        ShellResult cleaned = mount.Try("umount", "--stale");
        Assert.True(cleaned.ExitCode == 0 && cleaned.Error.Contains("with what was written in it", StringComparison.Ordinal), cleaned.ToString());
        Assert.Empty(Directory.GetFileSystemEntries(spaces));
        Assert.Empty(MountTable.Below(scratch.Path));
        Assert.Equal("[]", mount.Try("list", "--json").Must().Trim());

        void Kill()
        {
            mount.KillServer();
            bool IsStale() => mount.Records().Exists(record => record.GetProperty("mount_point").GetString() == mount.Root && record.GetProperty("state").GetString() == "stale");
            for (int i = 0; i < 100 && !IsStale(); i++)
                Thread.Sleep(20);
            Assert.True(IsStale(), "the killed mount does not show as stale");
        }
    }

    /// <summary>One of a job's mounts was killed: the job's unmount takes it away with the others.</summary>
    [MountFact]
    public void AJobWithAKilledMountIsUnmountedWhole()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string other = scratch.Make("other"), spaces = scratch.Make("spaces");
        _ = mount.Try("mount", mount.Lower, mount.Root, "--engine", "fuse", "--workspace-root", spaces, "--job", "job1").Must();
        _ = mount.Try("mount", mount.Lower, other, "--engine", "fuse", "--workspace-root", spaces, "--job", "job1").Must();
        mount.KillServer();
        _ = mount.Try("stats", "job1").Must(); // of the one that lives
        _ = mount.Try("umount", "job1").Must();
        Assert.Empty(MountTable.Below(scratch.Path));
        Assert.Empty(Directory.GetFileSystemEntries(spaces));
        Assert.Equal("[]", mount.Try("list", "--json").Must().Trim());
    }

    /// <summary>A server killed while it starts, at whatever step, leaves what list shows and umount --stale removes.</summary>
    /// <param name="step">The system call before which it dies; the first mkdirat is for the state's folder.</param>
    [MountTheory]
    [InlineData("mkdirat:when=3"), InlineData("mkdirat:when=5"), InlineData("mount"), InlineData("eventfd2:when=2"), InlineData("flock:when=2")]
    public void AKillDuringTheStartIsCleanedUp(string step)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string spaces = scratch.Make("spaces");
        int colon = step.IndexOf(':');
        string inject = colon < 0 ? $"{step}:signal=KILL:when=1" : $"{step[..colon]}:signal=KILL{step[colon..]}";
        ShellResult result = Shell.Run("strace", ["-f", "-o", scratch.Join("trace"), "-e", $"inject={inject}", TestEnvironment.Binary, "mount", mount.Source, "--workspace-root", spaces],
            60, environment: ("ANTARES_STATE_DIR", mount.State));
        Assert.True(result.ExitCode != 0, result.ToString());
        string workspace = Assert.Single(Directory.GetDirectories(spaces));
        string list = mount.Try("list").Must();
        Assert.Contains(workspace, list);
        Assert.Contains("stale", list);
        _ = mount.Try("umount", "--stale").Must();
        Assert.Empty(MountTable.Below(spaces));
        Assert.Empty(Directory.GetFileSystemEntries(spaces));
        Assert.Equal("[]", mount.Try("list", "--json").Must().Trim());
        Assert.Empty(Directory.GetFiles(mount.State, "*.sock"));
    }

    private static void FillLower(string lower) =>
        _ = Probe.Check(lower, string.Join('\n', Enumerable.Range(0, Files).Select(i => $"gen f{i} {200_000 + (i * 3001)} {i + 1} => ok")));

    private static void KillDuringCopyUps(AntaresMount mount, int after)
    {
        int pid = mount.ServerPid();
        using Process client = Shell.Start(Probe.Path, ["appendall", mount.Root, Files.ToString(), Tail]);
        for (int i = 0; i < after; i++)
            Assert.True(client.StandardOutput.ReadLine() == i.ToString(), $"the client stopped early: {(client.HasExited ? client.StandardError.ReadToEnd() : "")}");
        _ = Shell.Run("kill", ["-9", pid.ToString()]).Must();
        Assert.True(client.WaitForExit(20_000), "the client hangs after its server was killed");
        Assert.True(AntaresMount.WaitGone(pid, 10));
        MountTable.Tear(MountTable.Find(mount.Root)!);
        _ = mount.Try("umount", "--stale").Must(); // its workspace too, which the next mount would leave
    }

    /// <summary>Each file holds the old content, or the old content and the text appended; never a part.</summary>
    private static int CheckFiles(string root, string lower)
    {
        int changed = 0;
        for (int i = 0; i < Files; i++)
        {
            byte[] before = File.ReadAllBytes(Path.Combine(lower, $"f{i}")), now = File.ReadAllBytes(Path.Combine(root, $"f{i}"));
            bool old = now.AsSpan().SequenceEqual(before);
            bool appended = now.Length == before.Length + Tail.Length && now.AsSpan(0, before.Length).SequenceEqual(before)
                && now.AsSpan(before.Length).SequenceEqual(System.Text.Encoding.ASCII.GetBytes(Tail));
            Assert.True(old || appended, $"f{i} is neither old nor new: {now.Length} bytes, {before.Length} in the lower");
            changed += appended ? 1 : 0;
        }
        return changed;
    }
}
