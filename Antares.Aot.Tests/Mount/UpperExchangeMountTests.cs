using System.Globalization;
using System.Text;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>
/// Random calls on one overlay, then the same upper in another, and back: after each change of hands the tree is the same. What one writer left
/// the next one goes on with.
/// </summary>
public sealed class UpperExchangeMountTests
{
    private static readonly int[] Seeds = TestEnvironment.Long ? [.. Enumerable.Range(1, 60)] : [1, 2, 3, 4, 5, 6];

    /// <summary>Kernel overlayfs, ours, kernel overlayfs, ours.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void WithKernelOverlayfs(MountKind kind)
    {
        foreach (int seed in Seeds)
            Exchange(seed, kind, scratch => new KernelOverlay(scratch), wholeDirectories: true, "");
    }

    /// <summary>
    /// fuse-overlayfs renames no lower directories, so no redirect is left for it, and it shows times of its own. Its whiteouts of directories that
    /// are made again are .wh. files too.
    /// </summary>
    [MountFact]
    public void WithFuseOverlayfs()
    {
        foreach (int seed in Seeds)
            Exchange(seed, MountKind.AntaresFolder, scratch => new FuseOverlayfs(scratch), wholeDirectories: false, "tn");
    }

    private static void Exchange(int seed, MountKind kind, Func<ScratchFolder, IMountUnderTest> other, bool wholeDirectories, string digest)
    {
        using var scratch = new ScratchFolder();
        using IMountUnderTest theirs = other(scratch);
        using var ours = new AntaresMount(scratch, kind, [.. wholeDirectories ? Array.Empty<string>() : ["--whiteouts", "aufs", "-o", "redirect_dir=off"]]);
        var random = new Random(seed);
        _ = Probe.Run(ours.Lower, Calls(random, 60, linksOfLower: wholeDirectories));
        var script = new StringBuilder();
        string before = "";
        for (int turn = 0; turn < 4; turn++)
        {
            IMountUnderTest mount = turn % 2 == 0 ? theirs : ours;
            string calls = Calls(random, 40, wholeDirectories);
            mount.Mount();
            if (turn > 0)
                Same(seed, script, before, Probe.Digest(mount.Root, digest));
            _ = Probe.Run(mount.Root, calls);
            _ = script.Append(CultureInfo.InvariantCulture, $"--- {mount.Kind}\n{calls}\n");
            before = Probe.Digest(mount.Root, digest);
            mount.Unmount();
        }
        theirs.Mount();
        Same(seed, script, before, Probe.Digest(theirs.Root, digest));
        theirs.Unmount();
    }

    private static void Same(int seed, StringBuilder script, string before, string after)
    {
        if (before == after)
            return;
        string[] a = before.Split('\n'), b = after.Split('\n');
        Assert.Fail($"seed {seed}: left {string.Join(" | ", a.Except(b).Take(5))}; found {string.Join(" | ", b.Except(a).Take(5))}; after:\n{script}");
    }

    private static string Calls(Random random, int count, bool linksOfLower)
    {
        var script = new StringBuilder();
        for (int i = 0; i < count; i++)
        {
            string path = Name(random), second = Name(random);
            string line = random.Next(16) switch
            {
                0 or 1 => $"mkdirp {path}",
                2 or 3 => $"put {path} {i}-{random.Next(1000)}",
                4 => $"app {path} +{i}",
                5 => $"unlink {path}",
                6 => $"rmtree {path}",
                7 => $"rmdir {path}",
                8 or 9 or 10 => $"rename {path} {second}",
                11 => $"symlink {second} {path}",
                12 => linksOfLower ? $"chmod {path} 7{random.Next(8)}{random.Next(8)}" : $"putx {path} {i}",
                13 => linksOfLower ? $"rename {path} {second} EXCHANGE" : $"mkdir {path}",
                14 => $"setxattr {path} user.n{random.Next(3)} v{i}",
                _ => $"mknod {path} s 600", // not a FIFO, which would make later calls wait
            };
            _ = script.Append(line).Append('\n');
        }
        return script.ToString();
    }

    private static string Name(Random random)
    {
        int depth = 1 + random.Next(3);
        return string.Join('/', Enumerable.Range(0, depth).Select(_ => "abcd"[random.Next(4)]));
    }
}
