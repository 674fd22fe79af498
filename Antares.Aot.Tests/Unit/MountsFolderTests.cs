using System.Text;
using System.Runtime.Versioning;
using Antares.Aot.Diagnostics;
using Antares.Aot.Fuse;
using Antares.Aot.Mounts;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>Workspaces and the rules between folders; nothing here is mounted.</summary>
[SupportedOSPlatform("linux")]
public sealed class MountsFolderTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("antares-folders-").FullName;
    private readonly Log _log = new(LogLevel.Error);

    public void Dispose()
    {
        Assert.Equal(Errno.None, TreeRemover.Remove(_folder));
        _log.Dispose();
    }

    [Fact]
    public void AWorkspaceHasItsPartsAndGoesWhole()
    {
        var workspace = Made(_folder, Workspace.NewId(), forOthers: true);
        Assert.Equal($"{_folder}/antares_build_{workspace.Id}", workspace.FolderPath);
        Assert.Equal(["cl", "mnt", "store", "upper"], Directory.GetDirectories(workspace.FolderPath).Select(Path.GetFileName).Where(name => name![0] != '.').Order());
        Assert.Equal((UnixFileMode)0x1ED, File.GetUnixFileMode(workspace.FolderPath));
        Assert.Equal(workspace.Id, Workspace.IdOf(workspace.FolderPath));
        Assert.Null(Workspace.IdOf("/tmp/other"));
        File.WriteAllText(Path.Combine(workspace.Upper, "x"), "y");
        Assert.Equal(Errno.None, workspace.Remove());
        Assert.False(Directory.Exists(workspace.FolderPath));
        Assert.Equal((UnixFileMode)0x1C0, File.GetUnixFileMode(Made(_folder, Workspace.NewId(), forOthers: false).FolderPath));
    }

    [Fact]
    public void AWorkspaceIsNeverTakenOver()
    {
        var id = Workspace.NewId();
        _ = Made(_folder, id, forOthers: false);
        Assert.Contains(id, Assert.Throws<MountProblem>(() => Made(_folder, id, forOthers: false)).Message);
        Assert.Contains("--workspace-root", Assert.Throws<MountProblem>(() => Made(_folder + "/none", id, forOthers: false)).Message);
    }

    [Fact]
    public unsafe void RemovingTakesEverythingAndFollowsNothing()
    {
        var outside = Make("outside");
        File.WriteAllText(Path.Combine(outside, "kept"), "");
        var tree = Make("tree");
        File.CreateSymbolicLink(Path.Combine(tree, "link"), outside);
        var deep = Directory.CreateDirectory(Path.Combine(tree, string.Join('/', Enumerable.Repeat("d", 60)))).FullName;
        File.WriteAllText(Path.Combine(deep, "f"), "");
        for (var i = 0; i < 3000; i++)
        {
            File.WriteAllText(Path.Combine(tree, $"file-with-a-name-of-some-length-{i}"), "");
        }

        var shut = Make("tree/shut/inner");
        File.SetUnixFileMode(shut, UnixFileMode.None);
        File.SetUnixFileMode(Path.GetDirectoryName(shut)!, UnixFileMode.None);
        fixed (byte* name = (byte[])[.. HostPath.Bytes(tree)[..^1], (byte)'/', 0xFF, 0xC0, 0])
        {
            Assert.Equal(Errno.None, PathOps.Mkdirat(Fcntl.AT_FDCWD, name, 0x1C0));
        }

        Assert.Equal(Errno.None, TreeRemover.Remove(tree));
        Assert.False(Directory.Exists(tree));
        Assert.True(File.Exists(Path.Combine(outside, "kept")));
        Assert.Equal(Errno.None, TreeRemover.Remove(tree));
    }

    [Fact]
    public void WithoutMountPointAndUpperBothAreInAWorkspaceThatLooksLikeTheSource()
    {
        var source = Make("source");
        File.SetUnixFileMode(source, (UnixFileMode)0x1E8);
        Directory.SetLastWriteTimeUtc(source, new DateTime(2001, 2, 3, 4, 5, 6, DateTimeKind.Utc));
        string workspace;
        using (var plan = MountPlan.Make(Request() with { MountPoint = null }, _log))
        {
            workspace = plan.Workspace!.FolderPath;
            Assert.Equal((plan.Workspace.MountPoint, plan.Workspace.Upper), (plan.MountPoint, plan.UpperPath));
            Assert.Equal((UnixFileMode)0x1E8, File.GetUnixFileMode(plan.UpperPath!));
            Assert.Equal(Directory.GetLastWriteTimeUtc(source), Directory.GetLastWriteTimeUtc(plan.UpperPath!));
        }

        Assert.False(Directory.Exists(workspace), "a plan that was not kept leaves its workspace");
    }

    [Fact]
    public void WorkIsMadeBesideTheUpper()
    {
        _ = Make("source");
        var upper = Make("upper");
        string work;
        using (var plan = MountPlan.Make(Request() with { Upper = upper, MountPoint = Make("mnt") }, _log))
        {
            work = plan.WorkPath!;
            Assert.Equal(_folder, Path.GetDirectoryName(work));
            Assert.True(Directory.Exists(work));
            Assert.Null(plan.Workspace);
        }

        Assert.False(Directory.Exists(work));
    }

    [Fact]
    public void AReadOnlyMountHasTheUpperAsItsTopLayer()
    {
        _ = Make("source");
        using var plan = MountPlan.Make(Request() with { Upper = Make("upper"), MountPoint = Make("mnt"), ReadOnly = true }, _log);
        Assert.Null(plan.Upper);
        Assert.Equal([$"{_folder}/upper", $"{_folder}/source"], plan.Lowers.Select(lower => lower.RealPath));
    }

    public static TheoryData<string, string, string?, string?, string> Refusals => new()
    {
        // source, mount point, upper, work (all below the test's folder), what the message must name
        { "none", "mnt", null, null, "none" },
        { "file", "mnt", null, null, "file" },
        { "source", "none", null, null, "none" },
        { "source", "file", null, null, "file" },
        { "source", "full", null, null, "'x'" },
        { "source", "source/in", null, null, "source/in" },
        { "empty", "empty", null, null, "empty" },
        { "mnt/../full", "full/x", null, null, "full/x" },
        { "link", "source/in", null, null, "source/in" },
        { "source", "mnt", "source", "work", "source" },
        { "source", "mnt", "source/in", "work", "source/in" },
        { "full/x", "mnt", "full", "work", "full/x" },
        { "source", "mnt", "mnt", "work", "mnt" },
        { "source", "upper/in", "upper", "work", "upper/in" },
        { "source", "mnt", "upper", "upper", "upper" },
        { "source", "mnt", "upper", "upper/in", "upper/in" },
        { "source", "mnt", "work/deep", "work", "work/deep" },
        { "source", "mnt", "upper", "full", "'x'" },
        { "source", "mnt", "none", "work", "none" },
        { "source", "mnt", "file", "work", "file" },
        { "source", "mnt", "upper", "none", "none" },
        { "source", "mnt", "upper", "/dev/shm", "/dev/shm" },
    };

    [Theory]
    [MemberData(nameof(Refusals))]
    public void FoldersThatDoNotGoTogetherAreRefusedByName(string source, string mountPoint, string? upper, string? work, string named)
    {
        foreach (var folder in new[] { "source/in", "mnt", "full/x", "empty", "upper/in", "work/deep" })
        {
            _ = Make(folder);
        }

        File.WriteAllText(Path.Combine(_folder, "file"), "");
        File.CreateSymbolicLink(Path.Combine(_folder, "link"), Path.Combine(_folder, "source"));
        var request = Request() with
        {
            Lowers = [new SourceSpec(SourceKind.Folder, Path.Combine(_folder, source))],
            MountPoint = Path.Combine(_folder, mountPoint),
            Upper = upper is null ? null : Path.Combine(_folder, upper),
            Work = work is null ? null : Path.Combine(_folder, work),
        };
        var before = Names();
        var problem = Assert.Throws<MountProblem>(() => MountPlan.Make(request, _log));
        Assert.Equal(ProblemKind.Mount, problem.Kind);
        Assert.Contains(named, problem.Message);
        Assert.Equal(before, Names());
    }

    [Fact]
    public void AWorkspaceInsideTheSourceIsRefused()
    {
        var source = Make("source");
        var request = Request() with { MountPoint = null, WorkspaceRoot = source };
        Assert.Contains("--workspace-root", Assert.Throws<MountProblem>(() => MountPlan.Make(request, _log)).Message);
        Assert.Empty(Directory.GetFileSystemEntries(source));
    }

    [Fact]
    public void MountinfoIsRead()
    {
        const string Text = """
            21 26 0:20 / /proc rw,relatime - proc proc rw
            90 26 0:45 / /tmp/a\040b\134c rw shared:1 master:2 - fuse.antares-aot dir:/x\011y rw,user_id=0
            91 26 0:46 / /tmp/a rw - ext4 /dev/vda rw

            """;
        var entries = MountTable.Parse(Text);
        Assert.Equal(["/proc", "/tmp/a b\\c", "/tmp/a"], entries.Select(entry => entry.MountPoint));
        Assert.Equal([false, true, false], entries.Select(entry => entry.IsOurs));
        Assert.Equal("dir:/x\ty", entries[1].Source);
        Assert.Equal("0:45", $"{entries[1].Device}");
    }

    /// <summary>However the table comes in pieces; numbers elsewhere in a line are none.</summary>
    [Theory]
    [InlineData(0, 45, true), InlineData(0, 46, true), InlineData(0, 4, false), InlineData(0, 21, false), InlineData(45, 0, false), InlineData(1, 45, false), InlineData(9, 1, false)]
    public void ADeviceIsFoundInTheTable(uint major, uint minor, bool isThere)
    {
        byte[] text = Encoding.ASCII.GetBytes("21 26 0:20 / /proc/9:1 rw - proc proc rw\n90 26 0:45 / /9:1 rw shared:1 - x 9:1 rw\n91 26 0:46 / /tmp/a rw - ext4 /dev/vda rw\n");
        for (int cut = 0; cut <= text.Length; cut++)
        {
            var search = new MountSearch(new DeviceNumber(major, minor));
            Assert.Equal(isThere, search.Add(text.AsSpan(0, cut)) || search.Add(text.AsSpan(cut)));
        }
    }

    [Fact]
    public void LookingForADeviceAllocatesNothing()
    {
        var real = MountTable.Read()[^1].Device;
        Assert.True(MountTable.Holds(real));
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.False(MountTable.Holds(new DeviceNumber(4095, 7)));
        Assert.True(MountTable.Holds(real));
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Theory]
    [InlineData("/a/b", "/a", true)]
    [InlineData("/a", "/a", true)]
    [InlineData("/ab", "/a", false)]
    [InlineData("/a", "/", true)]
    [InlineData("/", "/a", false)]
    public void InsideMeansByWholeNames(string path, string folder, bool inside) => Assert.Equal(inside, HostPath.IsSameOrInside(path, folder));

    [Fact]
    public void RootsCommandsGetWhatTheyNeed()
    {
        Assert.Equal(["BUCK2_ALLOW_ROOT=1", "HOME=", "PWD=/m"], Environment(true, "PWD=/x").Select(line => line.StartsWith("HOME=/", StringComparison.Ordinal) ? "HOME=" : line));
        Assert.Equal(["HOME=/h", "BUCK2_ALLOW_ROOT=0", "PWD=/m"], Environment(true, "HOME=/h", "PWD=/x", "BUCK2_ALLOW_ROOT=0"));
        Assert.Equal(["PWDX=y", "odd", "V=\xFF\xC3", "PWD=/m"], Environment(false, "PWDX=y", "odd", "V=\xFF\xC3"));
        // What lets us in at a server is not the job's.
        Assert.Equal(["ANTARES_STORE=s", "PWD=/m"], Environment(false, "ANTARES_TOKEN=secret", "ANTARES_STORE=s", "ANTARES_HEADERS=secret"));

        // Latin-1, so that each character is one byte.
        static IEnumerable<string> Environment(bool isRoot, params string[] lines) =>
            JobCommand.EnvironmentOf([.. lines.Select(Encoding.Latin1.GetBytes)], isRoot, "/m").Select(Encoding.Latin1.GetString);
    }

    private static Workspace Made(string root, string id, bool forOthers)
    {
        var workspace = Workspace.In(root, id);
        workspace.Make(forOthers);
        return workspace;
    }

    private MountRequest Request() => new()
    {
        Lowers = [new SourceSpec(SourceKind.Folder, Path.Combine(_folder, "source"))],
        MountPoint = Path.Combine(_folder, "mnt"),
        WorkspaceRoot = Path.GetDirectoryName(Make("spaces/x"))!,
    };

    private string Make(string name) => Directory.CreateDirectory(Path.Combine(_folder, name)).FullName;

    private List<string> Names() => [.. Directory.GetFileSystemEntries(_folder, "*", SearchOption.AllDirectories).Order()];
}
