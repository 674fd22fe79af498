using System.Text.Json;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>
/// What is particular to the kernel engine: its life (one unmount, a killed server, each step's failure), the choice between the engines, and
/// what it tells. What it shows is the matter of the parity tests on <see cref="MountKind.AntaresKernel"/>.
/// </summary>
public sealed class KernelEngineMountTests
{
    [MountTheory, InlineData(MountKind.AntaresKernel), InlineData(MountKind.AntaresKernelFolder)]
    public void OneUnmountEndsAll(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        _ = Probe.Check(mount.Lower, "mkdir d\nput d/f low\n");
        string before = Probe.Digest(mount.Lower, "i");
        mount.Mount();
        Assert.Equal(mount.Root, Assert.Single(MountTable.Below(scratch.Path)).Point); // the lower one is nowhere to be seen
        _ = Probe.Check(mount.Root, "app d/f + => ok\nrename d e => ok\nput new x => ok\n");
        int pid = mount.ServerPid();
        _ = Shell.Run("umount", [mount.Root]).Must();
        Assert.True(AntaresMount.WaitGone(pid, 20), "the server does not end");
        Assert.Empty(MountTable.Below(scratch.Path));
        Assert.DoesNotContain(mount.Root, mount.Try("list").Must());
        Parity.AssertWorkIsClean(mount.Work!);
        Parity.AssertSameTree("the lower before", before, "the lower after", Probe.Digest(mount.Lower, "i"));
        mount.Mount();
        _ = Probe.Check(mount.Root, "cat e/f => 'low+'\ncat new => 'x'\nstat d => ENOENT\n");
        mount.Unmount();
    }

    [MountTheory, InlineData(MountKind.AntaresKernel), InlineData(MountKind.AntaresKernelFolder)]
    public void AWorkspaceIsRemoved(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        _ = Probe.Check(mount.Lower, "put f x\n");
        string spaces = scratch.Make("spaces");
        ShellResult run = mount.Try("run", mount.Source, "--engine", "kernel", "--workspace-root", spaces, "--", "sh", "-c", "echo y >> f; mkdir -p a/b; cat f; exit 5");
        Assert.True(run.ExitCode == 5 && run.Error.Length == 0, run.ToString());
        Assert.Equal("xy\n", run.Output);
        Assert.Empty(Directory.GetFileSystemEntries(spaces));
        Assert.Empty(MountTable.Below(scratch.Path));
        Assert.Equal("[]", mount.Try("list", "--json").Must().Trim());
    }

    /// <summary>The kernel's overlay outlives its maker: it is told as stale, taken away, and its mount point is free for the next mount.</summary>
    [MountTheory]
    [InlineData(MountKind.AntaresKernel, true), InlineData(MountKind.AntaresKernel, false)]
    [InlineData(MountKind.AntaresKernelFolder, true), InlineData(MountKind.AntaresKernelFolder, false)]
    public void AKilledServerIsCleanedUp(MountKind kind, bool byUmount)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        _ = Probe.Check(mount.Lower, "put f x\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, "put new y => ok\n");
        mount.KillServer();
        Assert.Contains("stale", mount.Try("list").Must());
        if (byUmount)
        {
            _ = mount.Try("umount", "--stale").Must();
            Assert.Empty(MountTable.Below(scratch.Path));
            Assert.DoesNotContain(mount.Root, mount.Try("list").Must());
        }
        mount.Mount();
        Assert.Single(MountTable.Below(scratch.Path));
        _ = Probe.Check(mount.Root, "cat f => 'x'\ncat new => 'y'\n");
        mount.Unmount();
    }

    [MountFact]
    public void ADeadMountWithoutARecordIsFound()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernel);
        mount.Mount();
        mount.KillServer();
        File.Delete(Path.Combine(mount.State, "mounts.json"));
        _ = mount.Try("umount", "--stale").Must();
        Assert.Empty(MountTable.Below(scratch.Path));
    }

    /// <summary>A killed server leaves what <c>list</c> shows and <c>umount --stale</c> removes, at whatever step it died.</summary>
    [MountTheory]
    [InlineData("fsopen:when=1"), InlineData("fsconfig:when=9"), InlineData("umount2:when=1"), InlineData("move_mount:when=1"), InlineData("eventfd2:when=2"), InlineData("flock:when=4")]
    public void AKillDuringTheStartIsCleanedUp(string step)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string spaces = scratch.Make("spaces");
        ShellResult result = mount.Inject($"{step[..step.IndexOf(':')]}:signal=KILL{step[step.IndexOf(':')..]}", "mount", mount.Source, "--workspace-root", spaces, "--engine", "kernel");
        Assert.True(result.ExitCode != 0, result.ToString());
        string workspace = Assert.Single(Directory.GetDirectories(spaces));
        Assert.Contains(workspace, mount.Try("list").Must());
        _ = mount.Try("umount", "--stale").Must();
        Assert.Empty(MountTable.Below(spaces));
        Assert.Empty(Directory.GetFileSystemEntries(spaces));
        Assert.Equal("[]", mount.Try("list", "--json").Must().Trim());
    }

    /// <summary>Each step of the way to the kernel's overlay fails: who insists on it gets the reason and nothing is left, auto goes over to FUSE.</summary>
    [MountTheory]
    [InlineData("fsopen:error=ENODEV", "no overlay file system")]
    [InlineData("fsopen:error=EPERM", "CAP_SYS_ADMIN")]
    [InlineData("fsopen:error=ENOSYS", "fsopen")]
    [InlineData("fsconfig:error=EINVAL:when=3", "workdir")]
    [InlineData("fsconfig:error=ELOOP:when=9", "ELOOP")]
    [InlineData("fsconfig:error=ENOMEM:when=9", "ENOMEM")]
    [InlineData("fsmount:error=EPERM", "EPERM")]
    [InlineData("move_mount:error=EINVAL", "EINVAL")]
    [InlineData("umount2:error=EPERM:when=1", "out of sight", false)]
    [InlineData("inotify_init1:error=EMFILE", "max_user_instances", true, true)]
    [InlineData("inotify_add_watch:error=ENOSPC", "max_user_watches", true, true)]
    public void EachStepsFailureLeavesNothing(string failure, string said, bool alsoFolder = true, bool onlyFolder = false)
    {
        MountKind[] kinds = [.. onlyFolder ? [] : new[] { MountKind.AntaresKernel }, .. alsoFolder ? new[] { MountKind.AntaresKernelFolder } : []];
        foreach (MountKind kind in kinds)
        {
            using var scratch = new ScratchFolder();
            using var mount = new AntaresMount(scratch, kind);
            string[] arguments = ["mount", mount.Source, mount.Root, "--upper", mount.Upper!, "--work", mount.Work!, "--volatile", "--log-level", "info", "--engine"];
            ShellResult refused = mount.Inject(failure, [.. arguments, "kernel"]);
            Assert.True(refused.ExitCode == 3, refused.ToString());
            Assert.Contains(said, refused.Error);
            Assert.Empty(MountTable.Below(scratch.Path));
            Assert.Equal("[]", mount.Try("list", "--json").Must().Trim());
            Assert.Empty(Directory.GetFiles(mount.State, "*.sock"));
            Parity.AssertWorkIsClean(mount.Work!);

            ShellResult other = mount.Inject(failure, [.. arguments, "auto"]);
            Assert.True(other.ExitCode == 0, other.ToString());
            string line = Assert.Single(other.Error.Split('\n'), text => text.Contains("engine fuse: ", StringComparison.Ordinal));
            Assert.Contains(said, line);
            Assert.StartsWith("fuse.", Assert.Single(MountTable.Below(scratch.Path)).Type);
            mount.Unmount();
            Parity.AssertWorkIsClean(mount.Work!);
        }
    }

    /// <summary>Kernels before 6.13 take no folders by descriptor (FSCONFIG_SET_FD is EINVAL there): they get names.</summary>
    [MountTheory, InlineData(MountKind.AntaresKernel), InlineData(MountKind.AntaresKernelFolder)]
    public void OlderKernelsGetNames(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        _ = Probe.Check(mount.Lower, "put f x\n");
        string layer = scratch.Make("a:b,c\\d");
        File.WriteAllText(Path.Combine(layer, "top"), "t");
        _ = mount.Inject("fsconfig:error=EINVAL:when=1", [.. mount.MountArguments, "--layer", layer]).Must();
        Assert.Equal("overlay", Assert.Single(MountTable.Below(scratch.Path)).Type);
        _ = Probe.Check(mount.Root, "cat f => 'x'\ncat top => 't'\napp f + => ok\ncat f => 'x+'\n");
        mount.Unmount();
        Assert.Equal("x+", File.ReadAllText(Path.Combine(mount.Upper!, "f")));
    }

    [MountFact]
    public void AutoTakesTheKernelAndSaysSo()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresDir, "--engine", "auto", "--log-level", "info");
        ShellResult result = mount.Try(mount.MountArguments);
        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Contains("engine kernel: ", result.Error);
        Assert.Equal("kernel", mount.Records().Single().GetProperty("engine").GetString());
        mount.Unmount();
    }

    [MountTheory]
    [InlineData("the kernel's overlay is open to all users", "--allow-other=false")]
    [InlineData("nothing for the kernel's overlay to do", "--read-only")]
    [InlineData("owner maps", "--uid-map", "0:1000:10"), InlineData("owner maps", "-o", "gidmapping=1000:0:10")]
    [InlineData("squash_to_root", "-o", "squash_to_root"), InlineData("squash_to_gid", "-o", "squash_to_gid=5")]
    [InlineData("static_nlink", "-o", "static_nlink"), InlineData("noacl", "-o", "noacl"), InlineData("noxattrs=1", "-o", "noxattrs=1")]
    [InlineData("aufs whiteouts", "--whiteouts", "aufs"), InlineData("redirect_dir", "-o", "redirect_dir=off"), InlineData("fsname=me", "-o", "fsname=me")]
    [InlineData("index=on", "-o", "index=on"), InlineData("uuid=null", "-o", "uuid=null"), InlineData("--writeback", "--writeback"), InlineData("user.*", "-o", "userxattr")]
    public void AutoKnowsWhatNeedsFuse(string reason, params string[] option)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresDir, ["--engine", "auto", "--log-level", "info", .. option]);
        ShellResult result = mount.Try(mount.MountArguments);
        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Contains(reason, result.Error);
        Assert.Equal("fuse", mount.Records().Single().GetProperty("engine").GetString());
        mount.Unmount();
    }

    [MountTheory]
    [InlineData("--allow-other=false", "--allow-other=false")]
    [InlineData("owner maps", "--gid-map", "0:1000:10"), InlineData("owner maps", "-o", "uidmapping=1000:0:10")]
    [InlineData("squash_to_root", "-o", "squash_to_root"), InlineData("squash_to_uid", "-o", "squash_to_uid=5")]
    [InlineData("static_nlink", "-o", "static_nlink"), InlineData("noacl", "-o", "noacl"), InlineData("noxattrs=1", "-o", "noxattrs=1")]
    [InlineData("aufs whiteouts", "-o", "whiteouts=aufs"), InlineData("redirect_dir", "-o", "redirect_dir=nofollow"), InlineData("fsname=me", "-o", "source=me")]
    [InlineData("index=on", "-o", "index=on"), InlineData("uuid=off", "-o", "uuid=off"), InlineData("auto_unmount", "-o", "auto_unmount")]
    public void WhatTheKernelEngineLacksIsRefusedWhenAskedFor(string said, params string[] options)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernel, options);
        ShellResult refused = mount.Try(mount.MountArguments);
        Assert.True(refused.ExitCode == 2, refused.ToString());
        Assert.Contains(said, refused.Error);
        Assert.Contains("--engine kernel", refused.Error);
        Assert.Empty(MountTable.Below(scratch.Path));
    }

    /// <summary>What the kernel's overlay keeps or need not keep is no reason to refuse.</summary>
    [MountFact]
    public void OptionsThatEitherEngineKeeps()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernelFolder, "-o", "nosuid,noatime,index=off,metacopy=off,xino=on,uuid=auto,redirect_dir=on,whiteouts=overlay,volatile,timeout=1");
        mount.Mount();
        string options = MountTable.Find(mount.Root)!.Options;
        Assert.Contains("nosuid", options);
        Assert.Contains("volatile", options);
        mount.Unmount();
    }

    /// <summary>An image is served below the kernel's overlay; its root is what the mount's root looks like, on either engine.</summary>
    [MountTheory, InlineData("kernel", "overlay"), InlineData("auto", "overlay"), InlineData("fuse", "fuse.antares-aot")]
    public void AnImageBelow(string engine, string type)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresImage, "--engine", engine) { Upper = null, Work = null };
        _ = Probe.Check(mount.Lower, "mkdir d\nput d/f low\nchmod . 0751\n");
        _ = mount.Try("pack", mount.Lower, "-o", mount.Source).Must();
        _ = mount.Try([.. mount.MountArguments, "--workspace-root", scratch.Make("spaces")]).Must();
        Assert.Equal(type, MountTable.Find(mount.Root)!.Type);
        Assert.Equal("751\n", Shell.Run("stat", ["-c", "%a", mount.Root]).Must());
        _ = Probe.Check(mount.Root, "cat d/f => 'low'\napp d/f + => ok\ncat d/f => 'low+'\nrename d e => ok\ncat e/f => 'low+'\n");
        mount.Unmount();
    }

    /// <summary>A server's tree below the kernel's overlay; where that fails, the FUSE engine gets the same revision although the first layer has gone.</summary>
    [MountTheory, InlineData(false), InlineData(true)]
    public void AServerBelow(bool overlayFails)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        var repository = new GitRepository(scratch.Join("repo"));
        repository.CommitSample();
        using var origin = new OriginProcess(scratch, repository.Path);
        string[] arguments = ["mount", $"mega:{origin.Url}/", mount.Root, "--upper", mount.Upper!, "--work", mount.Work!, "--store", scratch.Join("store"), "--layer", scratch.Make("layer"), "--log-level", "info"];
        ShellResult result = overlayFails ? mount.Inject("fsmount:error=EPERM", arguments) : mount.Try(arguments);
        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Contains(overlayFails ? "engine fuse: " : "engine kernel: ", result.Error);
        Assert.Equal(overlayFails ? "fuse.antares-aot" : "overlay", Assert.Single(MountTable.Below(scratch.Path)).Type);
        _ = Probe.Check(mount.Root, "cat README => 'hello\\x0a'\napp README more => ok\ncat README => 'hello\\x0amore'\nput src/new x => ok\nunlink src/main.c => ok\ncat src/main.c => ENOENT\n");
        mount.Unmount();
    }

    [MountFact]
    public void WhatItTells()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernel);
        _ = Probe.Check(mount.Lower, "mkdir d\nput d/f x\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, "cat d/f => 'x'\n");
        JsonElement stats = mount.Stats();
        Assert.Equal("kernel", stats.GetProperty("engine").GetString());
        Assert.Equal("as asked", stats.GetProperty("engine_reason").GetString());
        Assert.True(stats.GetProperty("ops").GetProperty("read").GetProperty("count").GetInt64() > 0, "the reads of the lower are not counted");
        Assert.Contains("not seen here", mount.Try("errors", mount.Root).Must());
        using JsonDocument errors = JsonDocument.Parse(mount.Try("errors", mount.Root, "--json").Must());
        Assert.Contains("upper", errors.RootElement.GetProperty("not_seen").GetString());
        Assert.Equal("kernel", mount.Records().Single().GetProperty("engine").GetString());
        Assert.Contains(" kernel ", mount.Try("list").Must());
        mount.Unmount();
    }

    [MountFact]
    public void RunTellsThatTheUpperIsFull()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernel);
        string small = scratch.Make("small");
        _ = Shell.Run("mount", ["-t", "tmpfs", "-o", "size=2m", "t", small]).Must();
        string upper = Directory.CreateDirectory(Path.Combine(small, "u")).FullName, work = Directory.CreateDirectory(Path.Combine(small, "w")).FullName;
        string[] run = ["run", mount.Source, "--engine", "kernel", "--upper", upper, "--work", work, "--workspace-root", scratch.Make("spaces"), "--", "sh", "-c"];
        ShellResult failed = mount.Try([.. run, "exit 4"]);
        Assert.True(failed.ExitCode == 4 && failed.Error.Length == 0, failed.ToString());
        ShellResult full = mount.Try([.. run, "head -c 5000000 /dev/zero > big"]);
        Assert.True(full.ExitCode != 0, full.ToString());
        Assert.Contains($"the file system of the upper {upper} is full", full.Error);
    }

    /// <summary>The kernel leaves its mark for good; we take it away after a clean end, and see it after any other.</summary>
    [MountFact]
    public void TheMarkOfAVolatileMount()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernel, "--volatile");
        mount.Mount();
        Assert.Contains("volatile", MountTable.Find(mount.Root)!.Options);
        Assert.True(Directory.Exists(Path.Combine(mount.Work!, "work/incompat/volatile")));
        mount.Unmount();
        Parity.AssertWorkIsClean(mount.Work!);
        mount.Mount();
        mount.KillServer();
        _ = mount.Try("umount", "--stale").Must();
        // As after a restart of the machine. Without one nothing is lost with the process: LeftOverlayMountTests.
        foreach (string folder in new[] { mount.Upper!, mount.Work! })
            _ = Shell.Run("setfattr", ["-n", "trusted.overlay.antares.kernel", "-v", "another-start 0:99 /gone", folder]).Must();
        ShellResult refused = mount.Try(mount.MountArguments);
        Assert.True(refused.ExitCode == 3, refused.ToString());
        Assert.Contains("--recover", refused.Error);
        _ = mount.Try([.. mount.MountArguments, "--recover"]).Must();
        mount.Unmount();
        Parity.AssertWorkIsClean(mount.Work!);
    }

    /// <summary>The lock on an upper is one for both engines.</summary>
    [MountTheory, InlineData("kernel", "fuse"), InlineData("fuse", "kernel"), InlineData("kernel", "kernel")]
    public void AnUpperInUseIsRefused(string first, string second)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string[] options = ["--upper", mount.Upper!, "--work", mount.Work!, "--engine"];
        _ = mount.Try(["mount", mount.Source, mount.Root, .. options, first]).Must();
        string other = scratch.Make("other");
        ShellResult refused = mount.Try(["mount", mount.Source, other, .. options, second]);
        Assert.True(refused.ExitCode == 3, refused.ToString());
        Assert.Contains("in use", refused.Error);
        Assert.Null(MountTable.Find(other));
        mount.Unmount();
    }

    [MountFact]
    public void ACutOffLowerTakesTheMountAway()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernel);
        mount.Mount();
        int pid = mount.ServerPid();
        File.WriteAllText($"/sys/fs/fuse/connections/{mount.Gauge("lower_device_minor")}/abort", "1");
        Assert.True(AntaresMount.WaitGone(pid, 20), "the server does not end");
        Assert.Empty(MountTable.Below(scratch.Path));
        Assert.DoesNotContain(mount.Root, mount.Try("list").Must());
    }

    /// <summary>What is mounted inside a source is a part of it for both engines, so such a folder is not given to the kernel as it is.</summary>
    [MountFact]
    public void MountsInsideASourceAreShown()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernelFolder);
        _ = Probe.Check(mount.Lower, "mkdir in\n");
        _ = Shell.Run("mount", ["-t", "tmpfs", "t", Path.Combine(mount.Lower, "in")]).Must();
        File.WriteAllText(Path.Combine(mount.Lower, "in/seen"), "x");
        mount.Mount();
        _ = Probe.Check(mount.Root, "cat in/seen => 'x'\napp in/seen + => ok\ncat in/seen => 'x+'\n");
        mount.Unmount();
    }

    /// <summary>What one engine wrote the other takes up, whole, and goes on with it.</summary>
    [MountTheory]
    [InlineData(MountKind.AntaresDir, MountKind.AntaresKernel), InlineData(MountKind.AntaresKernel, MountKind.AntaresDir)]
    [InlineData(MountKind.AntaresFolder, MountKind.AntaresKernelFolder), InlineData(MountKind.AntaresKernelFolder, MountKind.AntaresDir)]
    public void EnginesTakeUpEachOthersUppers(MountKind first, MountKind second)
    {
        using var scratch = new ScratchFolder();
        using var before = new AntaresMount(scratch, first);
        _ = Probe.Check(before.Lower, UpperFormatMountTests.Layers);
        before.Mount();
        _ = Probe.Check(before.Root, UpperFormatMountTests.Changes);
        string tree = Probe.Digest(before.Root);
        before.Unmount();
        using var after = new AntaresMount(scratch, second);
        string lower = Probe.Digest(after.Lower, "iD");
        after.Mount();
        Parity.AssertSameTree($"{first}", tree, $"{second}", Probe.Digest(after.Root));
        _ = Probe.Check(after.Root, UpperFormatMountTests.FurtherChanges);
        tree = Probe.Digest(after.Root);
        after.Unmount();
        before.Mount();
        Parity.AssertSameTree($"{second}", tree, $"{first}", Probe.Digest(before.Root));
        Parity.CheckAfterwards(before, scratch, lower, kernelSeesTheSame: true);
    }

    /// <summary>st_ino: what was not changed shows one number on both engines and in each mount; a copied-up file keeps its number as long as it is in use.</summary>
    [MountFact]
    public void NumbersOfObjects()
    {
        using var scratch = new ScratchFolder();
        using var fuse = new AntaresMount(scratch, MountKind.AntaresDir);
        _ = Probe.Check(fuse.Lower, "mkdir d\nput d/f x\nput d/g y\n");
        fuse.Mount();
        string lower = Numbers(fuse);
        fuse.Unmount();
        using var kernel = new AntaresMount(scratch, MountKind.AntaresKernel);
        for (int round = 0; round < 2; round++)
        {
            kernel.Mount();
            string now = Numbers(kernel);
            // xino puts the layer's place into the upper bits: the lower 60 are ours.
            Assert.Equal(Low(lower), Low(now));
            kernel.Unmount();
        }
        kernel.Mount();
        string before = Numbers(kernel);
        using (FileStream held = File.OpenRead(Path.Combine(kernel.Root, "d/f")))
        {
            _ = Probe.Check(kernel.Root, "app d/f + => ok\n");
            Assert.Equal(before, Numbers(kernel));
        }
        // One device for everything, and no number twice.
        Assert.Single(Shell.Bash("cd \"$R\" && find . -printf '%D\\n' | sort -u", environment: ("R", kernel.Root)).Must().Trim().Split('\n'));
        Assert.Empty(Shell.Bash("cd \"$R\" && find . -printf '%i\\n' | sort | uniq -d", environment: ("R", kernel.Root)).Must().Trim());
        kernel.Unmount();
    }

    /// <summary>
    /// The kernel keeps file handles of the lower layer in the upper. Ids of the lower begin anew in each mount; without something that tells the
    /// mounts apart an old handle finds another file, and its owner answers ESTALE.
    /// </summary>
    [MountFact]
    public void HandlesOfAnEarlierMountFindNothing()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernel);
        _ = Probe.Check(mount.Lower, string.Join('\n', Enumerable.Range(0, 60).Select(i => $"mkdirp d{i}/e\nput d{i}/f low{i}\nput d{i}/e/g low{i}")));
        mount.Mount();
        _ = Probe.Check(mount.Root, string.Join('\n', Enumerable.Range(0, 60).Select(i => $"app d{i}/f + => ok\napp d{i}/e/g + => ok")));
        mount.Unmount();
        mount.Mount();
        // Looked at in another order, so that the ids go to other objects.
        _ = Probe.Check(mount.Root, string.Join('\n', Enumerable.Range(0, 60).Reverse().Select(i => $"cat d{i}/e/g => 'low{i}+'\ncat d{i}/f => 'low{i}+'")));
        Assert.Empty(Shell.Bash("cd \"$R\" && find . -type f -printf '%i\\n' | sort | uniq -d", environment: ("R", mount.Root)).Must().Trim());
        mount.Unmount();
    }

    /// <summary>In a user namespace the marks are user.*, and the kernel renames no lower directories: auto takes FUSE, who insists gets EXDEV.</summary>
    [MountFact]
    public void InAUserNamespace()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernel);
        _ = Probe.Check(mount.Lower, "mkdir d\nput d/f x\nput g y\n");
        string arguments = $"mount {mount.Source} {mount.Root} --upper {mount.Upper} --work {mount.Work} --log-level info --engine";
        ShellResult result = Shell.Bash($$"""
            unshare -Urm bash -ec '
            "$BIN" {{arguments}} kernel 2>&1
            cd {{mount.Root}}; echo + >> d/f; rm g; cat d/f; mv -T d e 2>&1 || true; ls; cd /
            "$BIN" umount {{mount.Root}}
            "$BIN" {{arguments}} auto 2>&1
            ls {{mount.Root}}; cat {{mount.Root}}/e/f
            "$BIN" umount {{mount.Root}}'
            """, environment: [("BIN", TestEnvironment.Binary), ("ANTARES_STATE_DIR", scratch.Make("space-state"))]);
        Assert.Equal("x+", result.Must().Split('\n')[0]);
        Assert.Contains("engine fuse: marks under user.*", result.Output);
        Assert.EndsWith("e\nx+\n", result.Output);
    }

    private static string Numbers(AntaresMount mount) =>
        Shell.Bash("cd \"$R\" && stat -c '%n %i' d d/f d/g", environment: ("R", mount.Root)).Must();

    private static string Low(string numbers) => string.Join('\n', numbers.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line =>
    {
        string[] words = line.Split(' ');
        return $"{words[0]} {ulong.Parse(words[1]) & ((1UL << 60) - 1)}";
    }));
}
