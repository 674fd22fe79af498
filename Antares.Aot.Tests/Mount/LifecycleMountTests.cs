using System.Diagnostics;
using System.Text.Json;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>From the command to the ready mount and back: nothing is left of an unmounted one, and a failed one leaves nothing.</summary>
public sealed class LifecycleMountTests
{
    [MountFact]
    public void TheMountOutlivesItsCommandAndIsReady()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "put f x\n");
        // A shell that ends at once, with nothing of it left to hold the server.
        _ = Shell.Bash($"setsid {TestEnvironment.Binary} {string.Join(' ', mount.MountArguments)} && cat {mount.Root}/f", environment: ("ANTARES_STATE_DIR", mount.State)).Must();
        Thread.Sleep(200);
        _ = Probe.Check(mount.Root, "cat f => 'x'\nput new y => ok\n");
        string status = File.ReadAllText($"/proc/{mount.ServerPid()}/stat");
        Assert.Equal("1", status[(status.LastIndexOf(')') + 2)..].Split(' ')[1]);
        mount.Unmount();
        Assert.Equal("y", File.ReadAllText(Path.Combine(mount.Upper!, "new")));
    }

    /// <summary>Memory for a request must not wait for dirty pages that only such a request can write (PF_MEMALLOC_NOIO, PF_LOCAL_THROTTLE).</summary>
    [MountFact]
    public void ThreadsOfRequestsDoNotWaitForDirtyPages()
    {
        const int CapSysResource = 24; // without it nobody may ask for that
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "put f x\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, "app f x => ok\n");
        int threads = 0;
        foreach (string task in Directory.GetDirectories($"/proc/{mount.ServerPid()}/task"))
        {
            string stat = File.ReadAllText(task + "/stat");
            if (!stat.Contains("(fuse-0)", StringComparison.Ordinal))
                continue;

            threads++;
            ulong flags = ulong.Parse(stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[6], System.Globalization.CultureInfo.InvariantCulture);
            Assert.Equal(Interop.Process.HasCapability(CapSysResource) ? 0x0018_0000ul : 0, flags & 0x0018_0000);
        }

        Assert.NotEqual(0, threads);
    }

    [MountFact]
    public void WithoutMountPointAWorkspaceIsMadeAndRemoved()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "put f x\n");
        string spaces = scratch.Make("spaces");
        string point = mount.Try("mount", mount.Source, "--workspace-root", spaces).Must().Trim();
        Assert.Matches("^" + spaces + "/antares_build_[^/]+/mnt$", point);
        _ = Probe.Check(point, "cat f => 'x'\napp f + => ok\n");
        string workspace = Path.GetDirectoryName(point)!;
        foreach (string folder in new[] { "mnt", "upper", "cl", "store" })
            Assert.True(Directory.Exists(Path.Combine(workspace, folder)), folder);
        Assert.Equal("x+", File.ReadAllText(Path.Combine(workspace, "upper/f")));
        _ = mount.Try("umount", point).Must();
        Assert.False(Directory.Exists(workspace), "the workspace is still there after umount");

        point = mount.Try("mount", mount.Source, "--workspace-root", spaces, "--keep", "--job", "job-7").Must().Trim();
        _ = Probe.Check(point, "put kept y => ok\n");
        _ = mount.Try("umount", "job-7").Must();
        Assert.Null(MountTable.Find(point));
        Assert.Equal("y", File.ReadAllText(Path.Combine(Path.GetDirectoryName(point)!, "upper/kept")));
    }

    [MountFact]
    public void ListShowsWhatIsMounted()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "put f x\n");
        Assert.DoesNotContain(mount.Root, mount.Try("list").Must());
        mount.Mount();
        Assert.Contains(mount.Root, mount.Try("list").Must());
        using JsonDocument document = JsonDocument.Parse(mount.Try("list", "--json").Must());
        Assert.Contains(mount.Root, document.RootElement.GetRawText());
        mount.Unmount();
        Assert.DoesNotContain(mount.Root, mount.Try("list").Must());
        using JsonDocument empty = JsonDocument.Parse(mount.Try("list", "--json").Must());
        Assert.DoesNotContain(mount.Root, empty.RootElement.GetRawText());
    }

    [MountFact]
    public void UmountOfAllAndOfNothing()
    {
        using var scratch = new ScratchFolder();
        using var first = new AntaresMount(scratch);
        using var inner = new ScratchFolder(scratch.Path);
        using var second = new AntaresMount(inner);
        _ = Probe.Check(first.Lower, "put f x\n");
        first.Mount();
        _ = first.Try("mount", second.Source, second.Root, "--upper", second.Upper!, "--work", second.Work!).Must();
        _ = first.Try("umount", "--all").Must();
        Assert.Null(MountTable.Find(first.Root));
        Assert.Null(MountTable.Find(second.Root));
        ShellResult nothing = first.Try("umount", first.Root);
        Assert.True(nothing.ExitCode == 3, nothing.ToString());
        Assert.Contains(first.Root, nothing.Error);
        // A name that leads nowhere keeps none of the others mounted.
        first.Mount();
        ShellResult partly = first.Try("umount", scratch.Join("no-mount"), first.Root);
        Assert.True(partly.ExitCode == 3, partly.ToString());
        Assert.Contains("no-mount", partly.Error);
        Assert.Null(MountTable.Find(first.Root));
        foreach (string verb in new[] { "stats", "errors" })
        {
            ShellResult result = first.Try(verb, first.Root);
            Assert.True(result.ExitCode is 2 or 3, result.ToString());
        }
    }

    /// <summary>A mount in use is not torn away silently: umount fails or detaches and says so; the data are safe either way.</summary>
    [MountFact]
    public void UmountOfABusyMountIsHonest()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        mount.Mount();
        using Process user = Shell.Start("/bin/bash", ["-c", "exec 5> held; echo ready; read x; echo late >&5 && echo wrote"], mount.Root);
        Assert.Equal("ready", user.StandardOutput.ReadLine());
        ShellResult result = mount.Try("umount", mount.Root);
        if (result.ExitCode == 0)
        {
            Assert.Null(MountTable.Find(mount.Root));
            Assert.True((result.Output + result.Error).Contains("lazy", StringComparison.OrdinalIgnoreCase) || (result.Output + result.Error).Contains("busy", StringComparison.OrdinalIgnoreCase),
                $"a busy mount was detached without a word: {result}");
        }
        else
        {
            Assert.Equal(3, result.ExitCode);
        }
        user.StandardInput.Write("\n");
        user.StandardInput.Close();
        Assert.Equal("wrote", user.StandardOutput.ReadLine());
        Assert.True(user.WaitForExit(10_000));
        if (MountTable.Find(mount.Root) != null)
            mount.Unmount();
        for (int i = 0; i < 100 && mount.ServerPids().Any(); i++)
            Thread.Sleep(50);
        Assert.Equal("late\n", File.ReadAllText(Path.Combine(mount.Upper!, "held")));
        Assert.Empty(mount.ServerPids());
    }

    [MountTheory, InlineData("TERM"), InlineData("INT")]
    public void SignalsUnmount(string signal)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        mount.Mount();
        _ = Probe.Check(mount.Root, "put f x => ok\n");
        int pid = mount.ServerPid();
        _ = Shell.Run("kill", [$"-{signal}", pid.ToString()]).Must();
        Assert.True(AntaresMount.WaitGone(pid, 20), "the server does not end");
        Assert.Null(MountTable.Find(mount.Root));
        Assert.DoesNotContain(mount.Root, mount.Try("list").Must());
        Parity.AssertWorkIsClean(mount.Work!);
        mount.Mount();
        _ = Probe.Check(mount.Root, "cat f => 'x'\n");
    }

    /// <summary>A server whose mount was detached while in use leaves a newer mount at the same path alone, and so does umount of the old one.</summary>
    [MountTheory, InlineData("signal"), InlineData("umount")]
    public void ADetachedMountDoesNotTakeItsSuccessor(string way)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        mount.Mount();
        int old = mount.ServerPid();
        string id = OnlyId(mount);
        using Process user = Shell.Start("/bin/bash", ["-c", "exec 5> held; echo ready; read x"], mount.Root);
        Assert.Equal("ready", user.StandardOutput.ReadLine());
        _ = Shell.Run("umount", ["-l", mount.Root]).Must();

        string upper = scratch.Make("upper2"), work = scratch.Make("work2");
        _ = mount.Try("mount", mount.Source, mount.Root, "--upper", upper, "--work", work).Must();
        if (way == "signal")
            _ = Shell.Run("kill", ["-TERM", old.ToString()]).Must();
        else
        {
            ShellResult refused = mount.Try("umount", id);
            Assert.True(refused.ExitCode == 3, refused.ToString());
            user.StandardInput.Close();
        }
        Assert.True(AntaresMount.WaitGone(old, 20), "the detached mount's server does not end");
        _ = Probe.Check(mount.Root, "put f new => ok\ncat f => 'new'\n");
        Assert.Equal("new", File.ReadAllText(Path.Combine(upper, "f")));
        if (way == "signal")
            user.StandardInput.Close();
        Assert.True(user.WaitForExit(10_000));
    }

    /// <summary>A server that goes on, or ends, otherwise than by an unmount says in one line of its log what happened.</summary>
    /// <param name="way">What is done to the mount.</param>
    /// <param name="said">What the line says.</param>
    [MountTheory]
    [InlineData("umount -l $M; sleep 1.5", "served until its last user lets go"), InlineData("umount $M; sleep 1.5", "served until its last user lets go")]
    [InlineData("kill -TERM $P; sleep 7", "another mount namespace"), InlineData("echo 1 > /sys/fs/fuse/connections/$C/abort; sleep 1", "cut off")]
    public void AMountThatIsCutOffIsTold(string way, string said)
    {
        using var scratch = new ScratchFolder();
        string log = scratch.Join("log");
        using var mount = new AntaresMount(scratch, MountKind.AntaresDir, "--log-file", log);
        mount.Mount();
        int pid = mount.ServerPid();
        // A mount namespace of its own that keeps the mount, as a container does.
        using Process user = Shell.Start("unshare", ["--mount", "--propagation", "private", "/bin/bash", "-c", "echo ready; read x"]);
        Assert.Equal("ready", user.StandardOutput.ReadLine());
        _ = Shell.Bash("mountpoint -q /sys/fs/fuse/connections || mount -t fusectl none /sys/fs/fuse/connections; " + way, 30,
            environment: [("M", mount.Root), ("P", $"{pid}"), ("C", $"{MountTable.Find(mount.Root)!.Minor}")]).Must();
        Assert.Null(MountTable.Find(mount.Root));
        string line = Assert.Single(File.ReadAllLines(log), l => l.Contains(" warn ", StringComparison.Ordinal));
        Assert.Contains(said, line);
        user.StandardInput.Close();
        Assert.True(user.WaitForExit(10_000));
        Assert.True(AntaresMount.WaitGone(pid, 20), "the server does not end with its last user");
    }

    /// <summary>By its path the mount is meant that is there, not one that was detached from it and is still in use.</summary>
    [MountFact]
    public void ThePathMeansTheMountThatIsThere()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        mount.Mount();
        int old = mount.ServerPid();
        using Process user = Shell.Start("/bin/bash", ["-c", "exec 5> held; echo ready; read x; echo late >&5 && echo wrote"], mount.Root);
        Assert.Equal("ready", user.StandardOutput.ReadLine());
        _ = Shell.Run("umount", ["-l", mount.Root]).Must();
        _ = mount.Try("mount", mount.Source, mount.Root, "--upper", scratch.Make("upper2"), "--work", scratch.Make("work2")).Must();
        _ = mount.Try("umount", mount.Root).Must();
        Assert.Null(MountTable.Find(mount.Root));
        Thread.Sleep(500);
        Assert.True(Directory.Exists($"/proc/{old}"), "the other server was ended too");
        user.StandardInput.Write("\n");
        user.StandardInput.Close();
        Assert.Equal("wrote", user.StandardOutput.ReadLine());
        Assert.True(AntaresMount.WaitGone(old, 20), "the server does not end with its last user");
    }

    /// <summary>A record of a dead mount, unmounted by hand since, does not take the mount that got its path, and mostly its device number.</summary>
    [MountFact]
    public void CleaningUpAfterADeadMountLeavesItsSuccessor()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        mount.Mount();
        int old = mount.ServerPid();
        _ = Shell.Run("kill", ["-9", old.ToString()]).Must();
        Assert.True(AntaresMount.WaitGone(old, 20));
        _ = Shell.Run("umount", [mount.Root]).Must();
        using var inner = new ScratchFolder(scratch.Path);
        using var other = new AntaresMount(inner);
        _ = other.Try("mount", other.Source, mount.Root, "--upper", other.Upper!, "--work", other.Work!).Must();
        _ = mount.Try("umount", "--stale").Must();
        Assert.DoesNotContain(mount.Root, mount.Try("list").Must());
        _ = Probe.Check(mount.Root, "put f x => ok\n");
        _ = other.Try("umount", mount.Root).Must();
    }

    /// <summary>A client of the control socket that never finishes its question does not keep the server from ending.</summary>
    [MountFact]
    public void ASlowQuestionDoesNotHoldUpTheEnd()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        mount.Mount();
        int pid = mount.ServerPid();
        string path = Assert.Single(Directory.GetFiles(mount.State, "*.sock"));
        using var client = new System.Net.Sockets.Socket(System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, 0);
        client.Connect(new System.Net.Sockets.UnixDomainSocketEndPoint(path));
        using var done = new CancellationTokenSource();
        var trickle = new Thread(() =>
        {
            try
            {
                while (!done.IsCancellationRequested)
                {
                    _ = client.Send("x"u8);
                    Thread.Sleep(300);
                }
            }
            catch (System.Net.Sockets.SocketException)
            {
                // It was given up, as it should be.
            }
        });
        trickle.Start();
        Thread.Sleep(500);
        _ = Shell.Run("kill", ["-TERM", pid.ToString()]).Must();
        bool gone = AntaresMount.WaitGone(pid, 5);
        done.Cancel();
        trickle.Join();
        Assert.True(gone, "the server is held up by a client that asks slowly");
        Assert.Null(MountTable.Find(mount.Root));
    }

    [MountFact]
    public void ForegroundStaysUntilUnmounted()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        using Process server = Shell.Start(TestEnvironment.Binary, [.. mount.MountArguments, "--foreground"], environment: ("ANTARES_STATE_DIR", mount.State));
        for (int i = 0; i < 250 && MountTable.Find(mount.Root) == null; i++)
            Thread.Sleep(20);
        _ = Probe.Check(mount.Root, "put f x => ok\ncat f => 'x'\n");
        Assert.False(server.HasExited);
        mount.Unmount();
        Assert.True(server.WaitForExit(10_000), "the foreground server does not end");
        Assert.Equal(0, server.ExitCode);
    }

    [MountFact]
    public void PlainUmountEndsTheServerToo()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        mount.Mount();
        _ = Probe.Check(mount.Root, "put f x => ok\n");
        int pid = mount.ServerPid();
        _ = Shell.Run("umount", [mount.Root]).Must();
        Assert.True(AntaresMount.WaitGone(pid, 20), "the server does not end");
        Assert.DoesNotContain(mount.Root, mount.Try("list").Must());
        Parity.AssertWorkIsClean(mount.Work!);
        mount.Mount();
        _ = Probe.Check(mount.Root, "cat f => 'x'\n");
    }

    [MountFact]
    public void ReadOnlyMountsRefuseAtOpen()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresDir, "--read-only") { Upper = null, Work = null };
        _ = Probe.Check(mount.Lower, "put f x\nmkdir d\n");
        string before = Probe.Digest(mount.Lower, "i");
        mount.Mount();
        Assert.Contains("ro", MountTable.Find(mount.Root)!.Options.Split(','));
        _ = Probe.Check(mount.Root, """
            cat f => 'x'
            open f f RDWR => EROFS
            open f f WRONLY => EROFS
            open f f RDONLY|TRUNC => EROFS
            put new x => EROFS
            mkdir e => EROFS
            unlink f => EROFS
            rmdir d => EROFS
            rename f g => EROFS
            link f g => EROFS
            symlink f g => EROFS
            chmod f 600 => EROFS
            chown f 1 1 => EROFS
            utimens f 1.0 1.0 => EROFS
            truncate f 0 => EROFS
            setxattr f user.x y => EROFS
            removexattr f user.x => EROFS
            mknod p f 600 => EROFS
            access f w => EROFS
            open t d TMPFILE|RDWR => EROFS
            cat f => 'x'
            """);
        mount.Unmount();
        Parity.AssertSameTree("the lower before", before, "the lower after", Probe.Digest(mount.Lower, "i"));
    }

    /// <summary>A live mount keeps others out of its upper; another mount of the same upper fails and harms nothing.</summary>
    [MountFact]
    public void AnUpperInUseIsRefused()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        mount.Mount();
        _ = Probe.Check(mount.Root, "put f x => ok\nopen t gone RDWR|CREAT => ok\nunlink gone => ok\n");
        string other = scratch.Make("other"), work = scratch.Make("work2");
        foreach (string w in new[] { mount.Work!, work })
        {
            ShellResult result = mount.Try("mount", mount.Source, other, "--upper", mount.Upper!, "--work", w);
            Assert.True(result.ExitCode == 3, result.ToString());
            Assert.Contains(mount.Upper!, result.Error);
            Assert.Null(MountTable.Find(other));
        }
        _ = Probe.Check(mount.Root, "cat f => 'x'\nput g y => ok\n");
    }

    /// <summary>What the lower's folder is changed to behind our back may be seen or not, but nothing breaks.</summary>
    [MountFact]
    public void TheMountCanBeUsedAsALayer()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "mkdir d\nput d/f x\nput g y\n");
        mount.Mount();
        using var inner = new ScratchFolder(scratch.Path);
        using var over = new KernelOverlay(inner);
        _ = Shell.Run("mount", ["-t", "overlay", "o", "-o", $"lowerdir={mount.Root},upperdir={over.Upper},workdir={over.Work}", over.Root]).Must();
        _ = Probe.Check(over.Root, "cat d/f => 'x'\napp d/f + => ok\ncat d/f => 'x+'\nunlink g => ok\nls . => [1] 'd:d'\n");
        over.Unmount();
        _ = Probe.Check(mount.Root, "cat d/f => 'x'\ncat g => 'y'\n");
    }

    /// <summary>
    /// The kernel gives a mount the device number of the one before it at the same place; the server of that one, on its way out, must not
    /// take the new mount for its own.
    /// </summary>
    [MountFact]
    public void AFreshMountAtTheSamePlaceIsLeftAlone()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder);
        _ = Probe.Check(mount.Lower, "put f x\n");
        string second = scratch.Make("upper2"), work = scratch.Make("work2");
        for (int round = 0; round < 20; round++)
        {
            // umount(8) does not wait for the server, so the two overlap.
            _ = Shell.Bash("""
                "$B" mount "$S" "$M" --upper "$U" --work "$W" > /dev/null && umount "$M" && "$B" mount "$S" "$M" --upper "$U2" --work "$W2" > /dev/null
                sleep 0.05
                [ "$(cat "$M/f")" = x ] && umount "$M"
                """, environment: [("B", mount.Binary), ("S", mount.Lower), ("M", mount.Root), ("U", mount.Upper!), ("W", mount.Work!), ("U2", second), ("W2", work), ("ANTARES_STATE_DIR", mount.State)]).Must();
            foreach (int pid in mount.ServerPids())
                Assert.True(AntaresMount.WaitGone(pid, 20), "a server stays");
        }
    }

    /// <summary>Bind mounts, and a mount inside the mount, keep working.</summary>
    [MountFact]
    public void BindsAndMountsInside()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "mkdirp d/inner\nput d/f x\n");
        mount.Mount();
        string bind = scratch.Make("bind");
        _ = Shell.Run("mount", ["--bind", Path.Combine(mount.Root, "d"), bind]).Must();
        _ = Probe.Check(bind, "cat f => 'x'\napp f + => ok\n");
        _ = Probe.Check(mount.Root, "cat d/f => 'x+'\nrename d/f f => ok\n");
        _ = Probe.Check(bind, "stat f => ENOENT\nput f again => ok\n");
        _ = Shell.Run("umount", [bind]).Must();
        string inner = Path.Combine(mount.Root, "d/inner");
        _ = Shell.Run("mount", ["-t", "tmpfs", "t", inner]).Must();
        _ = Probe.Check(inner, "put t x => ok\n");
        _ = Probe.Check(mount.Root, "cat d/inner/t => 'x'\nrmdir d/inner => EBUSY\n");
        _ = Shell.Run("umount", [inner]).Must();
        _ = Probe.Check(mount.Root, "rmdir d/inner => ok\n");
    }

    private static string OnlyId(AntaresMount mount)
    {
        using JsonDocument document = JsonDocument.Parse(mount.Try("list", "--json").Must());
        return document.RootElement.EnumerateArray().Single().GetProperty("id").GetString()!;
    }
}
