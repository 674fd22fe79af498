using System.Text.Json;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Without <c>--engine</c>: each way of mounting takes the kernel's overlay where that is to be had, each verb knows such a mount, and nobody is told unasked.</summary>
public sealed class EngineDefaultMountTests
{
    [MountTheory, InlineData("mount"), InlineData("workspace"), InlineData("-o"), InlineData("-o, as fuse-overlayfs"), InlineData("mount -o"), InlineData("helper")]
    public void EachFormOfMount(string form)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresAuto);
        _ = Probe.Check(mount.Lower, "put f x\n");
        string spaces = scratch.Make("spaces"), folders = $"lowerdir={mount.Lower},upperdir={mount.Upper},workdir={mount.Work}";
        string helper = scratch.Join("mount.fuse.antares-aot");
        _ = File.CreateSymbolicLink(helper, TestEnvironment.Binary);
        ShellResult result = form switch
        {
            "mount" => mount.Try("mount", mount.Lower, mount.Root, "--upper", mount.Upper!, "--work", mount.Work!),
            "workspace" => mount.Try("mount", mount.Lower, mount.Root, "--workspace-root", spaces),
            "-o" => mount.Try("-o", folders + ",whiteouts=overlay", mount.Root),
            "-o, as fuse-overlayfs" => mount.Try("-o", folders, mount.Root),
            "mount -o" => mount.Try("mount", "-o", folders, mount.Root),
            _ => Shell.Run(helper, ["overlay", mount.Root, "-o", folders], environment: ("ANTARES_STATE_DIR", mount.State)),
        };
        Assert.True(result.ExitCode == 0 && result.Error.Length == 0, result.ToString());
        // fuse-overlayfs reads whiteouts by name (.wh.), which the kernel does not, so in that form it is FUSE unless the list says otherwise.
        bool byKernel = form != "-o, as fuse-overlayfs";
        Assert.Equal(byKernel ? "overlay" : "fuse.antares-aot", Assert.Single(MountTable.Below(scratch.Path)).Type);
        _ = Probe.Check(mount.Root, "cat f => 'x'\napp f + => ok\ncat f => 'x+'\n");
        Assert.Equal(byKernel ? "kernel" : "fuse", mount.Records().Single().GetProperty("engine").GetString());
        mount.Unmount();
        Assert.Empty(mount.Records());
        Assert.Empty(Directory.GetFileSystemEntries(spaces));
    }

    [MountFact]
    public void Run()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresAuto);
        _ = Probe.Check(mount.Lower, "put f x\n");
        string spaces = scratch.Make("spaces");
        ShellResult run = mount.Try("run", mount.Lower, "--workspace-root", spaces, "--", "sh", "-c", "stat -fc %T . && echo y >> f && cat f; exit 5");
        Assert.True(run.ExitCode == 5 && run.Error.Length == 0, run.ToString());
        Assert.Equal("overlayfs\nxy\n", run.Output);
        Assert.Empty(Directory.GetFileSystemEntries(spaces));
        Assert.Empty(MountTable.Below(scratch.Path));
    }

    /// <summary>What the kernel refuses late, with its marks in the work folder already: run goes over to FUSE, and says so, since that is slower.</summary>
    [MountTheory, InlineData("fsmount:error=EPERM"), InlineData("move_mount:error=EACCES"), InlineData("inotify_init1:error=EMFILE")]
    public void RunWhereTheKernelRefuses(string failure)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresAuto);
        _ = Probe.Check(mount.Lower, "put f x\n");
        string spaces = scratch.Make("spaces");
        ShellResult run = mount.Inject(failure, "run", mount.Lower, "--workspace-root", spaces, "--", "sh", "-c", "stat -fc %T . && echo y >> f && cat f; exit 5");
        Assert.True(run.ExitCode == 5, run.ToString());
        string[] lines = run.Output.Split('\n');
        Assert.NotEqual("overlayfs", lines[0]);
        Assert.Equal(["xy", ""], lines[1..]);
        Assert.Single(run.Error.TrimEnd('\n').Split('\n'), line => line.Contains("engine fuse: ", StringComparison.Ordinal));
        Assert.Empty(Directory.GetFileSystemEntries(spaces));
        Assert.Empty(MountTable.Below(scratch.Path));
    }

    [MountFact]
    public void EachVerbKnowsTheMount()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresAuto, "--job", "job1");
        _ = Probe.Check(mount.Lower, "put f x\n");
        mount.Mount();
        Assert.Contains(" kernel ", mount.Try("list").Must());
        Assert.Equal("kernel", mount.Stats().GetProperty("engine").GetString());
        Assert.Contains("engine kernel: the host allows it", mount.Try("stats", "job1").Must());
        Assert.Contains("not seen here", mount.Try("errors", "job1").Must());
        using (JsonDocument errors = JsonDocument.Parse(mount.Try("errors", mount.Root, "--json").Must()))
            Assert.Contains("upper", errors.RootElement.GetProperty("not_seen").GetString());
        ShellResult moved = mount.Try("refresh", mount.Root);
        Assert.True(moved.ExitCode == 2, moved.ToString());
        using (File.OpenRead(Path.Combine(mount.Root, "f")))
        {
            ShellResult busy = mount.Try("umount", mount.Root);
            Assert.True(busy.ExitCode == 3 && busy.Error.Contains("in use by", StringComparison.Ordinal), busy.ToString());
        }
        _ = mount.Try("umount", "job1").Must();
        Assert.Empty(MountTable.Below(scratch.Path));
        Assert.Empty(mount.Records());
    }

    /// <summary>What the kernel takes for no upper is known before anything is mounted: FUSE serves, and nothing is said of it at the usual level.</summary>
    [MountTheory, InlineData(false), InlineData(true)]
    public void AnUpperThatTheKernelRefuses(bool onFuse)
    {
        using var scratch = new ScratchFolder();
        using var inner = new ScratchFolder(scratch.Path);
        using IMountUnderTest below = onFuse ? new AntaresMount(inner) : new KernelOverlay(inner);
        below.Mount();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder)
        {
            Upper = Directory.CreateDirectory(Path.Combine(below.Root, "u")).FullName,
            Work = Directory.CreateDirectory(Path.Combine(below.Root, "w")).FullName,
        };
        ShellResult refused = mount.Try("mount", mount.Lower, mount.Root, "--upper", mount.Upper!, "--work", mount.Work!, "--engine", "kernel");
        Assert.True(refused.ExitCode == 3 && refused.Error.Contains($"upper {mount.Upper} lies on", StringComparison.Ordinal), refused.ToString());
        string log = scratch.Join("log");
        ShellResult result = mount.Inject("trace=fsopen", "mount", $"dir:{mount.Lower}", mount.Root, "--upper", mount.Upper!, "--work", mount.Work!, "--log-level", "info", "--log-file", log);
        Assert.True(result.ExitCode == 0 && result.Error.Length == 0, result.ToString());
        Assert.Single(File.ReadAllLines(log), line => line.Contains("engine fuse: upper", StringComparison.Ordinal) && line.Contains(onFuse ? "lies on FUSE" : "lies on an overlay", StringComparison.Ordinal));
        Assert.DoesNotContain("\"overlay\"", File.ReadAllText(scratch.Join("trace")));
        _ = Probe.Check(mount.Root, "put new x => ok\ncat new => 'x'\n");
        mount.Unmount();
    }

    /// <summary>A file system that nothing is known of is tried; it fails before the lower layer is mounted.</summary>
    [MountTheory, InlineData("auto"), InlineData("kernel")]
    public void AnUpperWithoutWhiteoutRenames(string engine)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        ShellResult result = mount.Inject("fstatfs:error=ENOSYS renameat2:error=EINVAL trace=mount,fsopen,fstatfs,renameat2",
            "mount", mount.Source, mount.Root, "--upper", mount.Upper!, "--work", mount.Work!, "--log-level", "info", "--engine", engine);
        Assert.Contains("no renames that leave a whiteout", result.Error);
        Assert.DoesNotContain("fsopen(\"overlay\"", File.ReadAllText(scratch.Join("trace")));
        Assert.Equal(engine == "auto" ? 0 : 3, result.ExitCode);
        Assert.Equal(engine == "auto" ? 1 : 0, MountTable.Below(scratch.Path).Count);
        Assert.Empty(Directory.GetFileSystemEntries(Path.Combine(mount.Work!, "work")));
        mount.Unmount();
    }

    /// <summary>The kernel's overlay has the propagation that a mount of FUSE has at the same place.</summary>
    [MountTheory, InlineData("private"), InlineData("shared")]
    public void Propagation(string parent)
    {
        using var scratch = new ScratchFolder();
        string place = scratch.Make("place");
        ShellResult result = Shell.Bash("""
            unshare -m --propagation private bash -ec '
            mount -t tmpfs t "$P"; mkdir "$P"/l "$P"/u "$P"/w "$P"/m; mount --make-"$K" "$P"
            for source in "$P"/l dir:"$P"/l; do for engine in fuse auto; do
            "$BIN" mount "$source" "$P"/m --upper "$P"/u --work "$P"/w --engine $engine
            findmnt -no FSTYPE,PROPAGATION "$P"/m
            "$BIN" umount "$P"/m
            done; done'
            """, environment: [("BIN", TestEnvironment.Binary), ("ANTARES_STATE_DIR", scratch.Make("state")), ("P", place), ("K", parent)]);
        string[][] lines = [.. result.Must().Trim().Split('\n').Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))];
        Assert.Equal(["fuse.antares-aot", "overlay", "fuse.antares-aot", "overlay"], lines.Select(line => line[0]));
        Assert.Equal([parent == "shared" ? "shared" : "private"], lines.Select(line => line[1]).Distinct());
    }

    /// <summary>A server's directory stays one that can be changed live; under further layers it could not be, so the kernel may have it.</summary>
    [MountTheory, InlineData("fuse"), InlineData("kernel", "--layer")]
    public void AServersDirectory(string engine, params string[] options)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        var repository = new GitRepository(scratch.Join("repo"));
        repository.CommitSample();
        using var origin = new OriginProcess(scratch, repository.Path);
        string[] layer = options.Length > 0 ? [.. options, scratch.Make("layer")] : [];
        _ = mount.Try(["mount", $"mega:{origin.Url}/", mount.Root, "--upper", mount.Upper!, "--work", mount.Work!, "--store", scratch.Join("store"), .. layer]).Must();
        Assert.Equal(engine, mount.Records().Single().GetProperty("engine").GetString());
        Assert.Contains(engine == "fuse" ? "by FUSE only" : "the host allows it", mount.Stats().GetProperty("engine_reason").GetString());
        mount.Unmount();
    }
}
