using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>
/// Random reads, writes, truncations, mappings, holes, copies and renames on one file through several descriptors, each judged by an image
/// in memory (native/fsx.c). bench/acceptance/fsx.sh does the same a million times.
/// </summary>
public sealed class RandomDataMountTests
{
    private const string Calls = "1500", Most = "400000";

    [MountTheory, Mounts]
    public void ALowerFileCopiedUpOnTheWay(MountKind kind) => Run(kind, "gen f 150001 1\ngen f.copy 300000 2\n", unlink: false, seeds: [1, 2, 3]);

    [MountTheory, Mounts]
    public void ANewFile(MountKind kind) => Run(kind, "gen f.copy 300000 2\n", unlink: false, seeds: [4]);

    [MountTheory, Mounts]
    public void AFileThatLosesItsName(MountKind kind) => Run(kind, "gen f 99999 1\ngen f.copy 300000 2\n", unlink: true, seeds: [5, 6]);

    /// <summary>The judge itself: a byte that changes behind its back is found.</summary>
    [Fact]
    public void AWrongByteIsFound()
    {
        using var scratch = new ScratchFolder();
        // The content that the judge takes for granted is another one.
        _ = Probe.Check(scratch.Path, "gen f 150000 7\n");
        ShellResult result = Shell.Run(Probe.Path, ["fsx", scratch.Join("f"), "1", Calls, Most]);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("differs from byte", result.Error);
    }

    private static void Run(MountKind kind, string lower, bool unlink, int[] seeds)
    {
        foreach (int seed in seeds)
        {
            using var scratch = new ScratchFolder();
            using IMountUnderTest mount = Parity.Create(kind, scratch);
            _ = Probe.Check(mount.Lower, lower);
            string lowerBefore = kind == MountKind.Plain ? "" : Probe.Digest(mount.Lower, "iD");
            mount.Mount();
            string image = scratch.Join("image"), file = Path.Combine(mount.Root, "f");
            string[] last = unlink ? [image, "unlink"] : [image];
            (string Name, string Value)[] allowed = kind is MountKind.AntaresKernel or MountKind.AntaresKernelImage ? [("FSX_COPY_MAY_BE_REFUSED", "1")] : [];
            string said = Shell.Run(Probe.Path, ["fsx", file, seed.ToString(), Calls, Most, .. last], 120, environment: allowed).Must();
            Assert.StartsWith($"ok {Calls}", said);
            Assert.Equal(!unlink, File.Exists(file));
            if (kind == MountKind.Plain)
                continue;
            mount.Unmount();
            mount.Mount();
            if (!unlink)
                Assert.Equal(File.ReadAllBytes(image), File.ReadAllBytes(file));
            Parity.CheckAfterwards(mount, scratch, lowerBefore, kernelSeesTheSame: true);
        }
    }
}
