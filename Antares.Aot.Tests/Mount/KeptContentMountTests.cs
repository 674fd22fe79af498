using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Contents are kept in memory where reading them again is dear.</summary>
public sealed class KeptContentMountTests
{
    /// <summary>A disk's pages are in the kernel's cache, so packing them would only take processor time; those of a folder that a process or a server serves are kept.</summary>
    [MountTheory, InlineData(false), InlineData(true)]
    public void ContentsOfAFolderAreKeptOnNetworkFileSystemsOnly(bool onFuse)
    {
        using var scratch = new ScratchFolder();
        using var inner = new ScratchFolder();
        using var below = new AntaresMount(inner, MountKind.AntaresFolder);
        string folder = scratch.Join("folder");
        if (onFuse)
        {
            below.Mount();
            folder = below.Root;
        }
        else
        {
            _ = Directory.CreateDirectory(folder);
        }
        _ = Probe.Check(folder, "gen big 300000 1\n");
        using var mount = new AntaresMount(scratch, MountKind.AntaresDir);
        _ = mount.Try("mount", "--engine", "fuse", $"dir:{folder}", mount.Root).Must();
        Assert.Equal(File.ReadAllBytes(Path.Combine(folder, "big")), File.ReadAllBytes(Path.Combine(mount.Root, "big")));
        Assert.Equal(onFuse ? 3 : 0, mount.Gauge("dicfuse_frames_held"));
        _ = mount.Try("umount", mount.Root).Must();
    }
}
