using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Layers with marks that the kernel's overlay would not read where it is mounted, though our overlay does: what it would show is not what was written.</summary>
public sealed class ForeignMarksMountTests
{
    /// <summary>A folder with marks above another one: the kernel gets both merged by us, whether it was asked for or not.</summary>
    [MountTheory]
    [InlineData("d", "user.overlay.opaque", "y"), InlineData("d", "user.fuseoverlayfs.opaque", "y"), InlineData(".", "user.overlay.opaque", "x")]
    public void InALayer(string folder, string mark, string value)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "mkdir d\nput d/below x\nput deleted x\n");
        string layer = scratch.Make("layer");
        _ = Probe.Check(layer, "mkdir d\nput d/above y\n");
        _ = Shell.Run("setfattr", ["-n", mark, "-v", value, Path.Combine(layer, folder)]).Must();
        if (value == "x")
        {
            _ = Probe.Check(layer, "put deleted .\n");
            _ = Shell.Bash("cd \"$L\" && : > deleted && setfattr -n user.overlay.whiteout -v y deleted", environment: ("L", layer)).Must();
        }
        foreach (string engine in new[] { "auto", "kernel" })
        {
            ShellResult result = mount.Try("mount", mount.Lower, mount.Root, "--layer", layer, "--upper", mount.Upper!, "--work", mount.Work!, "--log-level", "info", "--engine", engine);
            Assert.True(result.ExitCode == 0, result.ToString());
            Assert.Equal("overlay", Assert.Single(MountTable.Below(scratch.Path)).Type);
            _ = Probe.Check(mount.Root, $"cat d/above => 'y'\ncat {(value == "x" ? "deleted" : "d/below")} => ENOENT\n");
            mount.Unmount();
        }
    }

    /// <summary>An upper that a plain user wrote: FUSE goes on with it; the kernel engine refuses, since it would show what was deleted.</summary>
    [MountTheory, InlineData(false), InlineData(true)]
    public void AnUpperOfAPlainUser(bool onlyDeep)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "mkdirp a/b/d\nput a/b/d/low x\nmkdir e\nput e/low x\n");
        string[] arguments = ["mount", mount.Lower, mount.Root, "--upper", mount.Upper!, "--work", mount.Work!];
        _ = mount.Try([.. arguments, "-o", "userxattr"]).Must();
        Assert.Equal("fuse.antares-aot", MountTable.Find(mount.Root)!.Type);
        string folder = onlyDeep ? "a/b/d" : "e";
        _ = Shell.Bash($"cd \"$R\" && rm -r {folder} && mkdir {folder}", environment: ("R", mount.Root)).Must();
        mount.Unmount();
        ShellResult refused = mount.Try([.. arguments, "--engine", "kernel"]);
        Assert.True(refused.ExitCode == 3, refused.ToString());
        Assert.Contains($"upper {mount.Upper} has marks under user.overlay.*", refused.Error);
        Assert.Contains("fuse", refused.Error);
        _ = mount.Try(arguments).Must();
        Assert.Equal("fuse.antares-aot", MountTable.Find(mount.Root)!.Type);
        _ = Probe.Check(mount.Root, $"cat {folder}/low => ENOENT\n");
        mount.Unmount();
    }

    /// <summary>Unasked the kernel never gets several folders as they are: marks may lie anywhere in them.</summary>
    [MountFact]
    public void DeepInALayer()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresAuto);
        string layer = scratch.Make("layer");
        for (int i = 0; i < 40; i++)
            _ = Probe.Check(mount.Lower, $"mkdirp d{i}/a/b\nput d{i}/a/b/below x\n");
        _ = Probe.Check(layer, "mkdirp d33/a/b\n");
        _ = Shell.Run("setfattr", ["-n", "user.overlay.opaque", "-v", "y", Path.Combine(layer, "d33/a/b")]).Must();
        _ = mount.Try([.. mount.MountArguments, "--layer", layer]).Must();
        Assert.Equal("overlay", MountTable.Find(mount.Root)!.Type);
        _ = Probe.Check(mount.Root, "cat d32/a/b/below => 'x'\ncat d33/a/b/below => ENOENT\n");
        mount.Unmount();
    }

    /// <summary>A mount under user.* that was never there leaves no sign, or the kernel's overlay could not have the upper for nothing.</summary>
    [MountFact]
    public void AMountThatFailedLeavesNoSign()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string[] arguments = ["mount", mount.Lower, mount.Root, "--upper", mount.Upper!, "--work", mount.Work!];
        ShellResult failed = mount.Inject("mount:error=EPERM", [.. arguments, "-o", "userxattr"]);
        Assert.True(failed.ExitCode == 3, failed.ToString());
        Assert.Empty(Shell.Run("getfattr", ["-dm-", "--absolute-names", mount.Upper!]).Must());
        _ = mount.Try(arguments).Must();
        Assert.Equal("overlay", MountTable.Find(mount.Root)!.Type);
        mount.Unmount();
    }

    /// <summary>The kernel's own marks under user.* are told by a sign at the root too, whoever made them.</summary>
    [MountFact]
    public void TheKernelUnderUserMarksLeavesASign()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string[] arguments = ["mount", mount.Lower, mount.Root, "--upper", mount.Upper!, "--work", mount.Work!];
        _ = mount.Try([.. arguments, "--engine", "kernel", "-o", "userxattr"]).Must();
        Assert.Equal("overlay", MountTable.Find(mount.Root)!.Type);
        mount.Unmount();
        _ = Shell.Run("getfattr", ["-n", "user.overlay.antares.used", "--absolute-names", mount.Upper!]).Must();
        _ = mount.Try(arguments).Must();
        Assert.Equal("fuse.antares-aot", MountTable.Find(mount.Root)!.Type);
        mount.Unmount();
    }

    /// <summary>In the lowest layer such a mark hides nothing, and marks of an overlay inside of a mount are data.</summary>
    [MountTheory, InlineData("d", "user.overlay.opaque"), InlineData(".", "user.overlay.overlay.opaque"), InlineData(".", "user.other")]
    public void MarksWithoutAMeaning(string folder, string mark)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresAuto);
        _ = Probe.Check(mount.Lower, "mkdir d\nput d/f x\n");
        _ = Shell.Run("setfattr", ["-n", mark, "-v", "y", Path.Combine(mount.Lower, folder)]).Must();
        mount.Mount();
        _ = Probe.Check(mount.Root, "cat d/f => 'x'\n");
        mount.Unmount();
    }
}
