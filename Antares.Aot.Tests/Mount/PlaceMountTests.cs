using System.Diagnostics;
using System.Text.Json;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Which mount is meant by a path or a name, when mounts are detached, in other mount namespaces, or made at the same moment.</summary>
public sealed class PlaceMountTests
{
    /// <summary>A path means what is mounted here: the mount of another namespace stays, and the way to it is told. It is not torn from its users by name either.</summary>
    [MountFact]
    public void AMountOfAnotherNamespaceIsNotTornAway()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        using Process other = Shell.Start("unshare", ["--mount", "--propagation", "private", "/bin/bash", "-c",
            "\"$B\" \"$@\" --job inner && echo inner > \"$M/p\" && cd \"$M\" && echo ready && read x && cd / && echo left && read x", "sh", .. mount.MountArguments],
            environment: [("B", TestEnvironment.Binary), ("M", mount.Root), ("ANTARES_STATE_DIR", mount.State)]);
        Assert.Equal("ready", other.StandardOutput.ReadLine());
        int server = mount.ServerPid();
        string way = $"nsenter -t {server} -m -- antares-aot umount {mount.Root}";
        Refused(mount.Try("umount", mount.Root), way);

        // One made here by the same path is what the path means then; after it, the other one is not.
        string upper = scratch.Make("upper2"), work = scratch.Make("work2");
        _ = mount.Try("mount", mount.Source, mount.Root, "--upper", upper, "--work", work).Must();
        _ = mount.Try("umount", mount.Root).Must();
        Assert.Null(MountTable.Find(mount.Root));
        Refused(mount.Try("umount", mount.Root), way);
        Refused(mount.Try("umount", "inner"), $"in use by {other.Id} (bash: working folder)");
        Refused(mount.Try("umount", "--all"), $"in use by {other.Id} (bash: working folder)");
        Assert.Contains("  mounted  ", mount.Try("list").Must());
        Assert.Equal("inner", Shell.Run("nsenter", ["-t", $"{other.Id}", "-m", "cat", $"{mount.Root}/p"]).Must().Trim());

        // Nobody uses it any more: by its name it can be unmounted from here.
        other.StandardInput.Write("\n");
        other.StandardInput.Flush();
        Assert.Equal("left", other.StandardOutput.ReadLine());
        _ = mount.Try("umount", "inner").Must();
        Assert.True(AntaresMount.WaitGone(server, 1), "umount came back before the server had ended");
        Assert.DoesNotContain(mount.Root, Shell.Run("nsenter", ["-t", $"{other.Id}", "-m", "cat", "/proc/self/mountinfo"]).Must());
        other.StandardInput.Close();
        Assert.True(other.WaitForExit(10_000));
        Assert.Equal("inner\n", File.ReadAllText(Path.Combine(mount.Upper!, "p")));
    }

    /// <summary>A namespace that keeps the mount, as a container does that was started after it, is named and waited for, but not for long.</summary>
    [MountFact]
    public void AMountThatAnotherNamespaceKeepsIsGoneFromHere()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        mount.Mount();
        int server = mount.ServerPid();
        using Process keeper = Shell.Start("unshare", ["--mount", "--propagation", "private", "/bin/bash", "-c", "echo ready; read x; cat \"$0/kept\"; read x", mount.Root]);
        Assert.Equal("ready", keeper.StandardOutput.ReadLine());
        File.WriteAllText(Path.Combine(mount.Root, "kept"), "text\n");
        var clock = Stopwatch.StartNew();
        ShellResult result = mount.Try("umount", "--json", mount.Root);
        string said = result.Error;
        using (JsonDocument done = JsonDocument.Parse(result.Must()))
            Assert.Equal("detached", done.RootElement[0].GetProperty("outcome").GetString());
        Assert.InRange(clock.Elapsed.TotalSeconds, 10, 40);
        Assert.Contains($"the mount namespace of {keeper.Id} (bash) still has it: waiting up to 10 s", said);
        Assert.Contains($"served on for the mount namespace of {keeper.Id} (bash)", said);
        Assert.Contains($"kill {server}", said);
        Assert.Null(MountTable.Find(mount.Root));
        Assert.Contains("  detached  ", mount.Try("list").Must());

        // It goes on there, and ends with the last who has it.
        keeper.StandardInput.Write("\n");
        keeper.StandardInput.Flush();
        Assert.Equal("text", keeper.StandardOutput.ReadLine());
        keeper.StandardInput.Close();
        Assert.True(keeper.WaitForExit(10_000));
        Assert.True(AntaresMount.WaitGone(server, 20), "the server does not end with its last user");
    }

    /// <summary>Who lets go meanwhile is waited for.</summary>
    [MountFact]
    public void AMountThatAnotherNamespaceKeepsForAMomentIsWaitedFor()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        mount.Mount();
        int server = mount.ServerPid();
        using Process keeper = Shell.Start("unshare", ["--mount", "--propagation", "private", "/bin/bash", "-c", "echo ready; sleep 4"]);
        Assert.Equal("ready", keeper.StandardOutput.ReadLine());
        Assert.Equal("unmounted", JsonDocument.Parse(mount.Try("umount", "--json", mount.Root).Must()).RootElement[0].GetProperty("outcome").GetString());
        Assert.True(AntaresMount.WaitGone(server, 1), "umount came back before the server had ended");
    }

    /// <summary>A mount that was detached while in use shows as such, is not torn from its users by another umount, and ends with the last of them.</summary>
    [MountTheory, InlineData(MountKind.AntaresDir), InlineData(MountKind.AntaresKernelFolder)]
    public void ADetachedMountEndsWithItsLastUser(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind, "--job", "z");
        mount.Mount();
        int server = mount.ServerPid();
        using Process user = Shell.Start("/bin/bash", ["-c", "exec 5> held; echo ready; while read x; do echo late >&5 && echo wrote; done"], mount.Root);
        Assert.Equal("ready", user.StandardOutput.ReadLine());
        _ = mount.Try("umount", "--lazy", mount.Root).Must();
        Assert.Contains("  detached  ", mount.Try("list").Must());
        using (JsonDocument list = JsonDocument.Parse(mount.Try("list", "--json").Must()))
            Assert.Equal("detached", list.RootElement[0].GetProperty("state").GetString());
        foreach (string[] words in new[] { new[] { "z" }, [mount.Root], ["--all"] })
        {
            ShellResult result = mount.Try(["umount", .. words]);
            Refused(result, "is detached", $"in use by {user.Id} (bash: ", $"kill {server}");
        }
        Thread.Sleep(6000); // as long as users have after a signal to end
        user.StandardInput.Write("\n");
        user.StandardInput.Flush();
        Assert.Equal("wrote", user.StandardOutput.ReadLine());
        user.StandardInput.Close();
        Assert.True(user.WaitForExit(10_000));
        Assert.True(AntaresMount.WaitGone(server, 20), "the server does not end with its last user");
        Assert.Equal("late\n", File.ReadAllText(Path.Combine(mount.Upper!, "held")));
    }

    /// <summary>A name that is a job and the mount point of another mount is not guessed at.</summary>
    [MountFact]
    public void AJobThatIsAlsoAMountPointIsAmbiguous()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresDir, "--job", "job1");
        mount.Mount();
        string point = scratch.Make("job1"), state = mount.State;
        _ = mount.Try("mount", mount.Source, point, "--upper", scratch.Make("upper2"), "--work", scratch.Make("work2")).Must();
        ShellResult In(params string[] words) => Shell.Run(TestEnvironment.Binary, words, 60, scratch.Path, environment: ("ANTARES_STATE_DIR", state));
        foreach (string verb in new[] { "umount", "stats" })
        {
            ShellResult result = In(verb, "job1");
            Assert.True(result.ExitCode == 2, result.ToString());
            Assert.Contains(point, result.Error);
            Assert.Contains(mount.Root, result.Error);
        }
        Assert.NotNull(MountTable.Find(mount.Root));
        _ = In("umount", "./job1").Must();
        Assert.Null(MountTable.Find(point));
        _ = In("umount", "job1").Must();
        Assert.Null(MountTable.Find(mount.Root));
    }

    /// <summary>Of two mounts that start at one mount point at the same moment one is refused; they are not stacked.</summary>
    [MountFact]
    public void TwoMountsAtOnceDoNotStack()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch) { Upper = null, Work = null };
        string spaces = scratch.Make("spaces");
        for (int round = 0; round < 6; round++)
        {
            ShellResult result = Shell.Bash("""
                for i in 1 2 3; do { "$B" mount "$L" "$M" --workspace-root "$W" 2> err.$i; echo $? > code.$i; } & done
                wait; sort code.* | tr '\n' ' '; cat err.*
                """, 60, scratch.Path, environment: [("B", TestEnvironment.Binary), ("L", mount.Source), ("M", mount.Root), ("W", spaces), ("ANTARES_STATE_DIR", mount.State)]);
            Assert.StartsWith("0 3 3 ", result.Output);
            Assert.Contains("already a mount of antares-aot", result.Output);
            _ = Assert.Single(MountTable.Below(mount.Root));
            _ = mount.Try("umount", "--all").Must();
            Assert.Empty(MountTable.Below(mount.Root));
        }
        Assert.Empty(Directory.GetFileSystemEntries(spaces));
    }

    /// <summary>A plain umount returns before the server has let the upper go: the next mount waits for that moment.</summary>
    [MountTheory, InlineData(true), InlineData(false)]
    public void MountingAgainWaitsForAServerThatEnds(bool givenWork)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string[] words = ["mount", mount.Source, mount.Root, "--upper", mount.Upper!, .. givenWork ? new[] { "--work", mount.Work! } : []];
        for (int round = 0; round < 20; round++)
        {
            _ = mount.Try(words).Must();
            File.WriteAllText(Path.Combine(mount.Root, $"f{round}"), "x");
            _ = Shell.Bash($"umount {mount.Root}").Must();
        }
        _ = mount.Try(words).Must();
        Assert.Equal(20, Directory.GetFiles(mount.Root).Length);

        // One that is mounted is refused at once.
        var clock = Stopwatch.StartNew();
        ShellResult result = mount.Try(["mount", mount.Source, scratch.Make("mnt2"), .. words[3..]]);
        Refused(result, "in use by another live mount");
        Assert.True(clock.ElapsedMilliseconds < 1800, $"refused after {clock.ElapsedMilliseconds} ms");
    }

    /// <summary>A mount that is in use by another mount inside of it names that one.</summary>
    [MountFact]
    public void AMountInsideIsNamed()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        mount.Mount();
        string inside = Directory.CreateDirectory(Path.Combine(mount.Root, "in")).FullName;
        _ = Shell.Run("mount", ["-t", "tmpfs", "none", inside]).Must();
        Refused(mount.Try("umount", mount.Root), $"the mount inside of it at {inside} (tmpfs)");
        _ = Shell.Run("umount", [inside]).Must();
        mount.Unmount();
    }

    /// <summary>The command that is ended in the moment of its answer tells by its exit code whether the mount is there.</summary>
    [MountFact]
    public void AnEndedCommandLeavesNoMount()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        // Only the command itself is traced, not the server: its answer to that is the one write.
        ShellResult result = Shell.Bash("""
            strace -o trace -e trace=write -e inject=write:delay_exit=1000000 "$@" & tracer=$!
            until grep -q write trace 2>/dev/null; do sleep 0.02; done
            kill -TERM $(pgrep -P $tracer)
            wait $tracer; echo $?
            """.Replace("\"$@\"", $"{TestEnvironment.Binary} {string.Join(' ', mount.MountArguments)}"), 60, scratch.Path, environment: ("ANTARES_STATE_DIR", mount.State));
        for (int i = 0; i < 100 && result.Output.Trim() != "0" && MountTable.Find(mount.Root) is not null; i++)
            Thread.Sleep(50);
        Assert.Equal(result.Output.Trim() == "0", MountTable.Find(mount.Root) is not null);
    }

    /// <summary>A source that holds everything is refused for what it is: no other choice of folders would help.</summary>
    [MountFact]
    public void TheWholeTreeIsNoSource()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        ShellResult result = mount.Try("run", "/", "--", "ls");
        Refused(result, "source / holds every folder");
        Assert.DoesNotContain("--workspace-root", result.Error);
    }

    /// <summary>Two users are both root in user namespaces of their own: the second one's state goes elsewhere.</summary>
    [MountFact]
    public void TwoUserNamespacesHaveStatesOfTheirOwn()
    {
        using var scratch = new ScratchFolder();
        ShellResult result = Shell.Run("unshare", ["--mount", "--propagation", "private", "/bin/bash", "-c", """
            set -euo pipefail
            exec 3< "$BIN"; mount -t tmpfs none /tmp; chmod 1777 /tmp; cd /tmp
            mknod fuse c 10 229; chmod 666 fuse; mount --bind fuse /dev/fuse
            cat <&3 > antares-aot; exec 3<&-; chmod 755 antares-aot; mkdir src; echo x > src/f; chmod 755 src
            unset ANTARES_STATE_DIR XDG_RUNTIME_DIR
            for id in 1000 1001; do setpriv --reuid=$id --regid=$id --clear-groups unshare -Urm /tmp/antares-aot run /tmp/src -- cat f; done
            ls -d antares-aot-0* | sed 's/-[0-9]\{5,\}/-N/'
            mount -o remount,ro /tmp
            setpriv --reuid=1002 --regid=1002 --clear-groups unshare -Urm /tmp/antares-aot list 2>&1 | sed 's/-[0-9]\{5,\}/-N/' || true
            """], 60, environment: ("BIN", TestEnvironment.Binary));
        string[] lines = result.Must().TrimEnd().Split('\n');
        Assert.Equal(["x", "x", "antares-aot-0", "antares-aot-0-N"], lines[..4]);
        Assert.Contains("/run/antares-aot: ", lines[4]);
        Assert.Contains("/tmp/antares-aot-0: another user's", lines[4]);
        Assert.Contains("/tmp/antares-aot-0-N: Read-only file system (EROFS)", lines[4]);
    }

    private static void Refused(ShellResult result, params string[] said)
    {
        Assert.True(result.ExitCode == 3, result.ToString());
        foreach (string part in said)
            Assert.Contains(part, result.Error);
    }
}
