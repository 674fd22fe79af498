using System.Diagnostics;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary><c>run</c>: a command inside a mount of its own, with the command's exit code, its signals, and nothing left afterwards.</summary>
public sealed class RunMountTests
{
    [MountFact]
    public void TheCommandsExitCodeIsOurs()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "put f x\nmkdir d\nput d/g y\n");
        string spaces = scratch.Make("spaces");
        Assert.Equal("x", Run(mount, spaces, "cat", "f").Must().Trim());
        Assert.Equal(7, Run(mount, spaces, "sh", "-c", "exit 7").ExitCode);
        Assert.Equal(0, Run(mount, spaces, "true").ExitCode);
        Assert.Equal(127, Run(mount, spaces, "no-such-program-at-all").ExitCode);
        Assert.Equal(128 + 9, Run(mount, spaces, "sh", "-c", "kill -9 $$").ExitCode);
        Assert.Equal("y", mount.Try("run", mount.Source, "--workspace-root", spaces, "--cd", "d", "--", "cat", "g").Must().Trim());
        Assert.Equal("in", Shell.Run(TestEnvironment.Binary, ["run", mount.Source, "--workspace-root", spaces, "--", "cat"], input: "in", environment: ("ANTARES_STATE_DIR", mount.State)).Must().Trim());
        Assert.Equal("a b|c", Run(mount, spaces, "sh", "-c", "echo \"$1|$2\"", "-", "a b", "c").Must().Trim());
        AssertNothingLeft(mount, spaces);
    }

    [MountFact]
    public void WritesGoToTheUpperAndTheLowerStays()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "put f x\n");
        string before = Probe.Digest(mount.Lower, "i");
        _ = mount.Try("run", mount.Source, "--upper", mount.Upper!, "--work", mount.Work!, "--workspace-root", scratch.Make("spaces"), "--",
            "sh", "-c", "echo new > new && echo more >> f && mkdir -p a/b && cat f").Must();
        Assert.Equal("new\n", File.ReadAllText(Path.Combine(mount.Upper!, "new")));
        Assert.Equal("xmore\n", File.ReadAllText(Path.Combine(mount.Upper!, "f")));
        Parity.AssertSameTree("the lower before", before, "the lower after", Probe.Digest(mount.Lower, "i"));
        Parity.AssertWorkIsClean(mount.Work!);
        AssertNothingLeft(mount, scratch.Join("spaces"));
    }

    [MountFact]
    public void RootGetsWhatBuck2AndOthersNeed()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string spaces = scratch.Make("spaces");
        ShellResult result = Shell.Bash($"env -u HOME -u BUCK2_ALLOW_ROOT \"$BIN\" run {mount.Source} --workspace-root {spaces} -- sh -c 'echo $BUCK2_ALLOW_ROOT $HOME'",
            environment: [("BIN", TestEnvironment.Binary), ("ANTARES_STATE_DIR", mount.State)]);
        Assert.Matches(@"^1 /\S+", result.Must());
        result = Shell.Bash($"HOME=/some/home BUCK2_ALLOW_ROOT=0 \"$BIN\" run {mount.Source} --workspace-root {spaces} -- sh -c 'echo $BUCK2_ALLOW_ROOT $HOME'",
            environment: [("BIN", TestEnvironment.Binary), ("ANTARES_STATE_DIR", mount.State)]);
        Assert.Equal("0 /some/home", result.Must().Trim());
    }

    /// <summary>As under nohup: a signal ignored from the start ends neither run nor its command. An ignored SIGCHLD loses no exit code.</summary>
    [MountFact]
    public void WhatWasIgnoredStaysIgnored()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string spaces = scratch.Make("spaces");
        ShellResult result = Shell.Bash(
            $"trap '' HUP CHLD; grep SigIgn /proc/self/status; \"$BIN\" run {mount.Source} --workspace-root {spaces} -- bash -c 'grep SigIgn /proc/self/status; kill -HUP $PPID $$; sleep 0.3; exit 6'",
            environment: [("BIN", TestEnvironment.Binary), ("ANTARES_STATE_DIR", mount.State)]);
        Assert.True(result.ExitCode == 6, result.ToString());
        ulong[] ignored = [.. result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => Convert.ToUInt64(line.Split('\t')[1].Trim(), 16))];
        const ulong hup = 1, child = 1 << 16, usual = (1UL << 31) - 1; // above them are libc's own
        Assert.Equal(hup, ignored[1] & hup);
        Assert.Equal(ignored[0] & usual & ~child, ignored[1] & usual & ~child);
        AssertNothingLeft(mount, spaces);
    }

    [MountTheory, InlineData("TERM", 42), InlineData("INT", 43), InlineData("HUP", 44)]
    public void SignalsReachTheCommand(string signal, int code)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string spaces = scratch.Make("spaces");
        // Whoever started the tests may ignore some of them (nohup, a job in the background), and what is ignored from the start stays so.
        using Process run = Shell.Start("env",
            ["--default-signal=TERM,INT,HUP", TestEnvironment.Binary, "run", mount.Source, "--workspace-root", spaces, "--", "bash", "-c", "trap 'echo told; exit 42' TERM; trap 'echo told; exit 43' INT; trap 'echo told; exit 44' HUP; echo ready; while :; do sleep 0.05; done"],
            environment: ("ANTARES_STATE_DIR", mount.State));
        Assert.Equal("ready", run.StandardOutput.ReadLine());
        _ = Shell.Run("kill", [$"-{signal}", run.Id.ToString()]).Must();
        Assert.Equal("told", run.StandardOutput.ReadLine());
        Assert.True(run.WaitForExit(20_000), "run does not end");
        Assert.Equal(code, run.ExitCode);
        AssertNothingLeft(mount, spaces);
    }

    /// <summary>Arguments and environment are bytes: the command gets them as they were given.</summary>
    [MountFact]
    public void BytesReachTheCommandAsTheyAre()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string spaces = scratch.Make("spaces");
        ShellResult result = Shell.Bash($$"""
            export V=$'\x80\xc3' "ODD"=
            "$BIN" run {{mount.Source}} --workspace-root {{spaces}} -- sh -c 'printf "%s|%s|%s" "$1" "$2" "$V" | od -An -tx1; touch "$2"; ls | od -An -tx1' - ä $'\xff\xfe'
            """, environment: [("BIN", TestEnvironment.Binary), ("ANTARES_STATE_DIR", mount.State)]);
        Assert.Equal("c3a4" + "7c" + "fffe" + "7c" + "80c3\n" + "fffe0a\n", result.Must().Replace(" ", ""));
        // From the command on the words are its own, "--" among them.
        _ = Shell.Bash($$"""
            "$BIN" run {{mount.Source}} --workspace-root {{spaces}} echo -- $'\xff' | grep -q $'^-- \xff$'
            """, environment: [("BIN", TestEnvironment.Binary), ("ANTARES_STATE_DIR", mount.State), ("LC_ALL", "C")]).Must();
        AssertNothingLeft(mount, spaces);
    }

    /// <summary>No "--" is needed for a command with options, ours among them.</summary>
    [MountFact]
    public void TheCommandsOptionsAreItsOwn()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string spaces = scratch.Make("spaces");
        Assert.Equal("--volatile --json --help -o x\n", mount.Try("run", "--workspace-root", spaces, mount.Source, "echo", "--volatile", "--json", "--help", "-o", "x").Must());
        Assert.NotEqual(0, mount.Try("run", mount.Source, "-o", "ro", "--workspace-root", spaces, "touch", "f").ExitCode);
        Assert.Equal(0, mount.Try("run", mount.Source, "--workspace-root", spaces, "touch", "f").ExitCode);
        AssertNothingLeft(mount, spaces);
    }

    /// <summary>Ctrl-C while the mount is being made, before there is a command: run ends as if it had been the command.</summary>
    [MountFact]
    public void CtrlCBeforeTheCommandEndsRun()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string spaces = scratch.Make("spaces"), marker = scratch.Join("marker");
        string command = $"exec strace -f -o {scratch.Join("trace")} -e inject=mount:delay_enter=2000000 {TestEnvironment.Binary} run {mount.Source} --workspace-root {spaces} -- touch {marker}";
        using Process terminal = Shell.Start("script", ["-qec", command, "/dev/null"], environment: ("ANTARES_STATE_DIR", mount.State));
        for (int i = 0; i < 500 && Directory.GetDirectories(spaces).Length == 0; i++)
            Thread.Sleep(10);
        Thread.Sleep(300); // from the workspace to the delayed mount
        terminal.StandardInput.Write("\x03");
        terminal.StandardInput.Flush();
        Assert.True(terminal.WaitForExit(20_000), "run does not end");
        Assert.Equal(130, terminal.ExitCode);
        Assert.False(File.Exists(marker), "the command was run after Ctrl-C");
        AssertNothingLeft(mount, spaces);
    }

    /// <summary>A command that leaves a process behind (a build daemon) does not keep the mount or the workspace.</summary>
    [MountFact]
    public void DaemonsLeftBehindDoNotKeepTheMount()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string spaces = scratch.Make("spaces");
        ShellResult result = Run(mount, spaces, "bash", "-c", "setsid sleep 30 > /dev/null 2>&1 < /dev/null & echo $! > /proc/self/fd/1; exit 5");
        int daemon = int.Parse(result.Output.Trim());
        try
        {
            Assert.Equal(5, result.ExitCode);
            Assert.Empty(MountTable.Below(spaces));
        }
        finally
        {
            _ = Shell.Run("kill", ["-9", daemon.ToString()]);
        }
    }

    [MountFact]
    public void AMissingSourceIsOurOwnFailure()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        ShellResult result = mount.Try("run", $"dir:{scratch.Join("absent")}", "--workspace-root", scratch.Make("spaces"), "--", "true");
        Assert.True(result.ExitCode == 3, result.ToString());
        Assert.Contains("absent", result.Error);
        AssertNothingLeft(mount, scratch.Join("spaces"));
        ShellResult usage = mount.Try("run", mount.Source);
        Assert.True(usage.ExitCode == 2, usage.ToString());
    }

    /// <summary>The kernel does not say whether the folder or the program is missing; we do.</summary>
    [MountFact]
    public void WhatIsMissingIsNamed()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string script = Path.Combine(scratch.Make("lower/d"), "script");
        File.WriteAllText(script, "#!/no/such/shell\n");
        _ = Shell.Run("chmod", ["755", script]).Must();
        string spaces = scratch.Make("spaces");
        foreach ((string folder, string command, int code, string named) in new[]
        {
            ("absent", "true", 127, "antares-aot: --cd absent: "), ("d/script", "true", 127, "antares-aot: --cd d/script: "),
            ("d", "no-such-program", 127, "antares-aot: cannot run no-such-program in d: No such file or directory (ENOENT); no such command in $PATH\n"),
            ("d", "./script", 127, "interpreter"), ("", "d/absent", 127, "cannot run d/absent: "),
        })
        {
            ShellResult result = mount.Try("run", mount.Source, "--workspace-root", spaces, "--cd", folder, "--", command);
            Assert.True(result.ExitCode == code && result.Error.Contains(named), result.ToString());
            Assert.Equal("", result.Output);
        }

        AssertNothingLeft(mount, spaces);
    }

    [MountFact]
    public void AWorkspaceThatIsKeptIsNamed()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string spaces = scratch.Make("spaces");
        ShellResult result = mount.Try("run", mount.Source, "--workspace-root", spaces, "--keep", "--", "touch", "x");
        string kept = Assert.Single(Directory.GetDirectories(spaces));
        Assert.Equal((0, $"antares-aot: kept {kept}; what was written is in {kept}/upper\n"), (result.ExitCode, result.Error));
        Assert.True(File.Exists(Path.Combine(kept, "upper", "x")));
        Directory.Delete(kept, recursive: true);
    }

    /// <summary>A log file takes all of the log, and standard error only why the command failed.</summary>
    [MountFact]
    public void WithALogFileStandardErrorIsQuiet()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string spaces = scratch.Make("spaces"), log = scratch.Join("log");
        string[] words = ["run", mount.Source, "--workspace-root", spaces, "--log-level", "debug", "--log-file", log, "--"];
        Assert.Equal((0, ""), (mount.Try([.. words, "true"]).ExitCode, mount.Try([.. words, "true"]).Error));
        Assert.Contains(" debug ", File.ReadAllText(log));
        ShellResult failed = mount.Try([.. words, "no-such-program"]);
        Assert.StartsWith("antares-aot: cannot run no-such-program", Assert.Single(failed.Error.TrimEnd('\n').Split('\n')));
        Assert.Contains(" error cannot run no-such-program", File.ReadAllText(log));
        AssertNothingLeft(mount, spaces);
    }

    /// <summary>A command that failed on a full disk often says no more than that it failed.</summary>
    [MountFact]
    public void ACommandThatFailsIsToldOfTheMountsOwnFailures()
    {
        using var scratch = new ScratchFolder();
        using var disk = new SmallDisk(scratch, "tmpfs", 1);
        using var mount = new AntaresMount(scratch);
        string spaces = Directory.CreateDirectory(Path.Combine(disk.Path, "spaces")).FullName;
        ShellResult full = mount.Try("run", mount.Source, "--engine", "fuse", "--workspace-root", spaces, "--", "sh", "-c", "head -c 3000000 /dev/zero > big 2> /dev/null; exit 3");
        Assert.True(full.ExitCode == 3, full.ToString());
        Assert.Matches(@"the mount itself failed requests: ENOSPC (once|\d+ times); first write of /big with ENOSPC", full.Error);
        ShellResult plain = mount.Try("run", mount.Source, "--engine", "fuse", "--workspace-root", spaces, "--", "sh", "-c", "cat absent 2> /dev/null; rmdir / 2> /dev/null; exit 3");
        Assert.Equal((3, ""), (plain.ExitCode, plain.Error));
        AssertNothingLeft(mount, spaces);
    }

    [MountFact]
    public void TheRootOfTheMachineIsNoSource()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        ShellResult result = mount.Try("run", "/", "--workspace-root", scratch.Make("spaces"), "--", "true");
        Assert.True(result.ExitCode == 3 && result.Error.Contains("source / holds every folder"), result.ToString());
        Assert.DoesNotContain("--workspace-root", result.Error);
        AssertNothingLeft(mount, scratch.Join("spaces"));
    }

    private static ShellResult Run(AntaresMount mount, string spaces, params string[] command) =>
        mount.Try(["run", mount.Source, "--workspace-root", spaces, "--", .. command]);

    private static void AssertNothingLeft(AntaresMount mount, string spaces)
    {
        Assert.Empty(MountTable.Below(spaces));
        Assert.Empty(Directory.GetFileSystemEntries(spaces));
        using var list = System.Text.Json.JsonDocument.Parse(mount.Try("list", "--json").Must());
        Assert.DoesNotContain(spaces, list.RootElement.GetRawText());
    }
}
