using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Layers with marks that the kernel's overlay would not read where it is mounted, though our overlay does: what it would show is not what was written.</summary>
public sealed class ForeignMarksMountTests
{
    /// <summary>A folder with marks above another one: read by FUSE, unasked; the kernel engine gets it merged by us.</summary>
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
        foreach ((string engine, string type) in new[] { ("auto", "fuse.antares-aot"), ("kernel", "overlay") })
        {
            ShellResult result = mount.Try("mount", mount.Lower, mount.Root, "--layer", layer, "--upper", mount.Upper!, "--work", mount.Work!, "--log-level", "info", "--engine", engine);
            Assert.True(result.ExitCode == 0, result.ToString());
            Assert.Equal(type, Assert.Single(MountTable.Below(scratch.Path)).Type);
            if (engine == "auto")
                Assert.Contains($"source {layer} has ", result.Error);
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
