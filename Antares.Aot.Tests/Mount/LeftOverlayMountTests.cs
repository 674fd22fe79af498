using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>An upper never gets a second writer: the kernel's overlay goes on without the process that made it, and what it still has is refused, whichever engine asks.</summary>
/// <remarks>Alone: another test that makes itself a mount namespace takes a copy of the overlay with it, which then is in use there indeed.</remarks>
[Collection("Alone")]
public sealed class LeftOverlayMountTests
{
    private const string Mark = "trusted.overlay.antares.kernel";

    /// <summary>The mark is there while the kernel has the folders, and gone after a clean end.</summary>
    [MountTheory, InlineData(MountKind.AntaresAuto), InlineData(MountKind.AntaresKernel)]
    public void TheFoldersAreMarked(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        mount.Mount();
        string value = $"{File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim()} 0:{MountTable.Find(mount.Root)!.Minor} {mount.Root}";
        Assert.Equal([value, value], Marks(mount));
        Assert.Empty(Shell.Run("getfattr", ["-dm-", "--absolute-names", mount.Root]).Must()); // and not to be seen in the mount
        mount.Unmount();
        Assert.Equal(["", ""], Marks(mount));
    }

    [MountTheory, InlineData("auto"), InlineData("fuse"), InlineData("kernel")]
    public void AfterAKillTheUpperAndTheWorkFolderAreRefused(string engine)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresAuto);
        mount.Mount();
        mount.KillServer();
        _ = Probe.Check(mount.Root, "put written later => ok\n"); // the kernel's overlay goes on
        string other = scratch.Make("other");
        (string Upper, string Work)[] shared = [(mount.Upper!, scratch.Make("work2")), (scratch.Make("upper2"), mount.Work!), (mount.Upper!, mount.Work!)];
        foreach ((string upper, string work) in shared)
        {
            foreach (string[] more in new string[][] { [], ["--recover"] })
            {
                ShellResult refused = mount.Try(["mount", mount.Lower, other, "--upper", upper, "--work", work, "--engine", engine, .. more]);
                Assert.True(refused.ExitCode == 3, refused.ToString());
                Assert.Contains($"still mounted at {mount.Root}; antares-aot umount {mount.Root} first", refused.Error);
                Assert.Single(refused.Error.TrimEnd('\n').Split('\n'));
            }
        }
        Assert.Equal(mount.Root, Assert.Single(MountTable.Below(scratch.Path)).Point);
        _ = mount.Try("umount", mount.Root).Must();
        _ = mount.Try("mount", mount.Lower, other, "--upper", mount.Upper!, "--work", mount.Work!, "--engine", engine).Must();
        _ = Probe.Check(other, "cat written => 'later'\n");
        _ = mount.Try("umount", other).Must();
        Assert.Equal(["", ""], Marks(mount));
    }

    /// <summary>An overlay that was detached while in use goes on after its server: who uses it is told, and its end frees the upper.</summary>
    [MountTheory, InlineData("TERM"), InlineData("umount --stale")]
    public void ADetachedOverlayThatIsInUseIsRefused(string end)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresAuto);
        mount.Mount();
        int server = mount.ServerPid();
        using System.Diagnostics.Process user = Shell.Start("sleep", ["100"], mount.Root);
        if (end == "TERM")
        {
            _ = Shell.Run("kill", [$"{server}"]).Must();
            Assert.True(SpinWait.SpinUntil(() => MountTable.Find(mount.Root) is null, 10_000));
            _ = Shell.Run("kill", [$"{server}"]); // waits no longer for its users
            Assert.True(AntaresMount.WaitGone(server, 20));
        }
        else
        {
            mount.KillServer();
            // In use it is not torn away unasked, nor by the next mount there.
            foreach (string[] arguments in new string[][] { ["umount", "--stale"], ["umount", mount.Root], ["umount", "--all"], mount.MountArguments })
            {
                ShellResult busy = mount.Try(arguments);
                Assert.True(busy.ExitCode == 3, busy.ToString());
                Assert.Contains($"goes on without its process, and is in use by {user.Id} (sleep: working folder)", busy.Error);
                Assert.NotNull(MountTable.Find(mount.Root));
            }
            _ = mount.Try("umount", "--stale", "--lazy").Must();
        }
        Assert.Empty(mount.Records());
        foreach (string engine in new[] { "auto", "fuse", "kernel" })
        {
            ShellResult refused = mount.Try("mount", mount.Lower, mount.Root, "--upper", mount.Upper!, "--work", mount.Work!, "--engine", engine);
            Assert.True(refused.ExitCode == 3, refused.ToString());
            Assert.Contains($"out of sight (its mount point was {mount.Root}), but in use by {user.Id} (sleep: working folder); end them first", refused.Error);
        }
        user.Kill();
        user.WaitForExit();
        mount.Mount();
        mount.Unmount();
        Assert.Equal(["", ""], Marks(mount));
    }

    [MountFact]
    public void ARunThatLeftADaemonBehind()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresAuto);
        ShellResult run = mount.Try("run", mount.Lower, "--upper", mount.Upper!, "--work", mount.Work!, "--workspace-root", scratch.Make("spaces"), "--", "sh", "-c", "sleep 100 > /dev/null 2>&1 & echo $!");
        Assert.Equal(0, run.ExitCode);
        Assert.Contains($"the upper {mount.Upper} is in use until the last of them ends", run.Error);
        string pid = run.Output.Trim();
        ShellResult refused = mount.Try(mount.MountArguments);
        Assert.True(refused.ExitCode == 3 && refused.Error.Contains($"in use by {pid} (sleep: working folder)", StringComparison.Ordinal), refused.ToString());
        _ = Shell.Run("kill", [pid]).Must();
        Assert.True(AntaresMount.WaitGone(int.Parse(pid), 10));
        // run is volatile, but nothing was lost: the overlay ended as it should, in the time of this start of the machine.
        mount.Mount();
        mount.Unmount();
    }

    /// <summary>
    /// The connection to a lower that is served is cut off: its server ends, the overlay does not while somebody writes in it. The upper is his, and nothing
    /// of it was touched, until he ends.
    /// </summary>
    [MountTheory, InlineData(""), InlineData("inotify_init1:error=EMFILE")]
    public void ACutOffLowerDoesNotFreeTheUpper(string failure)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernel, "--volatile");
        if (failure.Length == 0)
            mount.Mount();
        else
            _ = mount.Inject(failure, mount.MountArguments).Must();
        string value = Marks(mount)[0];
        Assert.NotEmpty(value);
        using (var writer = new FileStream(Path.Combine(mount.Root, "log"), FileMode.CreateNew, FileAccess.Write, FileShare.ReadWrite, 0))
        {
            writer.Write("a"u8);
            int server = mount.ServerPid();
            File.WriteAllText($"/sys/fs/fuse/connections/{mount.Gauge("lower_device_minor")}/abort", "1");
            Assert.True(AntaresMount.WaitGone(server, 20), "the server does not end");
            Assert.Equal([value, value], Marks(mount));
            Assert.True(Directory.Exists(Path.Combine(mount.Work!, "work/incompat/volatile")));
            foreach (string engine in new[] { "auto", "fuse", "kernel" })
            {
                ShellResult refused = mount.Try("mount", mount.Lower, mount.Root, "--upper", mount.Upper!, "--work", mount.Work!, "--engine", engine);
                Assert.True(refused.ExitCode == 3, refused.ToString());
                Assert.Contains($"in use by {Environment.ProcessId} (", refused.Error);
            }
            writer.Write("b"u8);
        }
        mount.Mount();
        _ = Probe.Check(mount.Root, "cat log => 'ab'\n");
        mount.Unmount();
        Assert.Equal(["", ""], Marks(mount));
    }

    /// <summary>Who does not see root's attributes sees that the work folder is taken, and that he cannot find out more.</summary>
    [MountFact]
    public void InAnotherUserNamespace()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresAuto);
        mount.Mount();
        mount.KillServer();
        ShellResult result = Shell.Bash($$"""
            unshare -Urm "$BIN" mount {{mount.Lower}} {{scratch.Make("other")}} --upper {{mount.Upper}} --work {{mount.Work}} --engine fuse 2>&1; echo "exit $?"
            """, environment: [("BIN", TestEnvironment.Binary), ("ANTARES_STATE_DIR", scratch.Make("space-state"))]);
        Assert.Contains("in use by the kernel's overlay of an earlier mount", result.Must());
        Assert.EndsWith("exit 3\n", result.Output);
        _ = mount.Try("umount", mount.Root).Must();
        mount.Mount();
        mount.Unmount();
        Assert.DoesNotContain("antares.kernel", Shell.Run("getfattr", ["-dm-", "--absolute-names", mount.Upper!, mount.Work!]).Must());
    }

    /// <summary>An overlay of before the machine was started anew is gone: that needs nobody's right to ask.</summary>
    [MountFact]
    public void AfterARestartNobodyNeedsToAsk()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder);
        foreach (string folder in new[] { mount.Upper!, mount.Work! })
            _ = Shell.Run("setfattr", ["-n", Mark, "-v", $"{Guid.Empty} 0:99 /gone", folder]).Must();
        _ = mount.Inject("fsopen:error=EPERM", mount.MountArguments).Must();
        _ = Shell.Run("umount", [mount.Root]).Must();
        Assert.Equal(["", ""], Marks(mount));
    }

    /// <summary>A workspace is not removed under somebody who still works in its upper, and is not forgotten.</summary>
    [MountFact]
    public void ACutOffWorkspaceStays()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernel);
        string spaces = scratch.Make("spaces");
        _ = mount.Try("mount", mount.Source, mount.Root, "--workspace-root", spaces, "--engine", "kernel").Must();
        using (var writer = new FileStream(Path.Combine(mount.Root, "log"), FileMode.CreateNew, FileAccess.Write, FileShare.ReadWrite, 0))
        {
            int server = mount.ServerPid();
            File.WriteAllText($"/sys/fs/fuse/connections/{mount.Gauge("lower_device_minor")}/abort", "1");
            Assert.True(AntaresMount.WaitGone(server, 20), "the server does not end");
            writer.Write("x"u8);
            string workspace = Assert.Single(Directory.GetDirectories(spaces));
            Assert.Equal("x", File.ReadAllText(Path.Combine(workspace, "upper/log")));
            Assert.Contains("stale", mount.Try("list").Must());
        }
        _ = mount.Try("umount", "--stale").Must();
        Assert.Empty(Directory.GetFileSystemEntries(spaces));
        Assert.Empty(mount.Records());
    }

    /// <summary>A mark that cannot be read whole is one.</summary>
    [MountTheory, InlineData(1), InlineData(600)]
    public void AMarkOfAnyLength(int length)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder);
        foreach (string folder in new[] { mount.Upper!, mount.Work! })
            _ = Shell.Run("setfattr", ["-n", Mark, "-v", new string('x', length), folder]).Must();
        ShellResult refused = mount.Inject("fsopen:error=EPERM", mount.MountArguments);
        Assert.True(refused.ExitCode == 3, refused.ToString());
        mount.Mount();
        Assert.Equal(["", ""], Marks(mount));
        mount.Unmount();
    }

    /// <summary>Of a volatile overlay that was there before the machine was started anew, writes may be missing.</summary>
    [MountTheory, InlineData("00000000-0000-0000-0000-000000000000 0:99 /gone", 3), InlineData("0:99 /gone", 3), InlineData("- 0:99 /gone", 3), InlineData("BOOT 0:99 /gone", 0)]
    public void AVolatileMarkCountsAfterARestart(string mark, int code)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresAuto);
        foreach (string folder in new[] { mount.Upper!, mount.Work! })
            _ = Shell.Run("setfattr", ["-n", Mark, "-v", mark.Replace("BOOT", File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim()), folder]).Must();
        _ = Directory.CreateDirectory(Path.Combine(mount.Work!, "work", "incompat", "volatile"));
        ShellResult result = mount.Try(mount.MountArguments);
        Assert.True(result.ExitCode == code, result.ToString());
        if (code != 0)
            Assert.Contains("left by a volatile mount that did not end cleanly", result.Error);
        mount.Unmount();
    }

    /// <summary>Only the kernel knows; who may not ask it is told so, and how to go on.</summary>
    [MountTheory, InlineData("auto"), InlineData("fuse")]
    public void WithoutTheRightToAskItIsRefused(string engine)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresAuto);
        mount.Mount();
        mount.KillServer();
        _ = mount.Try("umount", "--stale").Must();
        string[] arguments = ["mount", mount.Lower, mount.Root, "--upper", mount.Upper!, "--work", mount.Work!, "--engine", engine];
        ShellResult refused = mount.Inject("fsopen:error=EPERM", arguments);
        Assert.True(refused.ExitCode == 3, refused.ToString());
        Assert.Contains("accept it with --recover", refused.Error);
        Assert.NotEqual(["", ""], Marks(mount));
        _ = mount.Inject("fsopen:error=EPERM", [.. arguments, "--recover"]).Must();
        _ = Shell.Run("umount", [mount.Root]).Must();
        Assert.Equal(["", ""], Marks(mount));
    }

    /// <summary>A mark of before a restart of the machine, or one that was copied with an upper, means nothing.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresAuto)]
    public void AMarkWithoutAnOverlayIsTakenAway(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        foreach (string folder in new[] { mount.Upper!, mount.Work! })
            _ = Shell.Run("setfattr", ["-n", Mark, "-v", "0:99 /gone", folder]).Must();
        mount.Mount();
        if (kind == MountKind.AntaresFolder)
            Assert.Equal(["", ""], Marks(mount));
        mount.Unmount();
        Assert.Equal(["", ""], Marks(mount));
        // Where the kernel has no overlay at all, none of it can be in use.
        _ = Shell.Run("setfattr", ["-n", Mark, "-v", "0:99 /gone", mount.Upper!]).Must();
        _ = mount.Inject("fsopen:error=ENODEV:when=1", mount.MountArguments).Must();
        _ = Shell.Run("umount", [mount.Root]).Must();
    }

    /// <summary>In a user namespace the mark is under user.*, and whoever is root there may ask.</summary>
    [MountFact]
    public void InAUserNamespace()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string arguments = $"--upper {mount.Upper} --work {mount.Work} --engine";
        ShellResult result = Shell.Bash($$"""
            unshare -Urm bash -c '
            "$BIN" mount {{mount.Lower}} {{mount.Root}} {{arguments}} kernel || exit 1
            getfattr --only-values -n user.overlay.antares.kernel --absolute-names {{mount.Upper}}; echo
            set -- $("$BIN" list | tail -n 1); kill -9 $5; sleep 0.5
            "$BIN" mount {{mount.Lower}} {{scratch.Make("other")}} {{arguments}} fuse; echo "exit $?"
            umount {{mount.Root}}
            "$BIN" mount {{mount.Lower}} {{scratch.Join("other")}} {{arguments}} fuse; echo "exit $?"
            umount {{scratch.Join("other")}}' 2>&1
            """, environment: [("BIN", TestEnvironment.Binary), ("ANTARES_STATE_DIR", scratch.Make("space-state"))]);
        string[] lines = result.Must().Trim().Split('\n');
        Assert.EndsWith(mount.Root, lines[0]);
        Assert.Contains("still mounted at", lines[1]);
        Assert.Equal(["exit 3", "exit 0"], lines[2..]);
    }

    private static string[] Marks(AntaresMount mount) =>
        [.. new[] { mount.Upper!, mount.Work! }.Select(folder => Shell.Run("getfattr", ["--only-values", "--absolute-names", "-n", Mark, folder]).Output.TrimEnd('\n'))];
}
