using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>An upper that was written over one lower folder is mounted over others, as when a workspace moves to another revision and back.</summary>
public sealed class OtherLowerMountTests
{
    private const string Moved = "rename d e => ok\n";

    /// <summary>What is made where a whiteout hid a directory shows that directory nowhere, though the lower of the moment had none there.</summary>
    [MountTheory]
    [InlineData(MountKind.AntaresFolder, "mkdir d => ok\n")]
    [InlineData(MountKind.AntaresDir, "mkdir d => ok\n")]
    [InlineData(MountKind.AntaresFolder, "mkdir made => ok\nrename made d => ok\n")]
    [InlineData(MountKind.AntaresDir, "mkdir made => ok\nrename made d => ok\n")]
    public void ADirectoryMadeOverAWhiteoutStaysAlone(MountKind kind, string made)
    {
        using var scratch = new ScratchFolder();
        Set(scratch, kind, first: true, Moved);
        Set(scratch, kind, first: false, made + "put d/mine x => ok\n");
        Set(scratch, kind, first: true, """
            ls . => [3] 'd:d' 'e:d' 'other:f'
            ls d => [1] 'mine:f'
            ls e => [1] 'low:f'
            """);
    }

    /// <summary>Of two names for one lower directory the second is refused, as by kernel overlayfs, and does not hinder the listing.</summary>
    [MountTheory]
    [InlineData(MountKind.AntaresFolder)]
    [InlineData(MountKind.AntaresDir)]
    public void OneLowerDirectoryIsNotShownTwice(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        Set(scratch, kind, first: true, Moved);
        // The whiteout goes.
        Set(scratch, kind, first: false, "mkdir d => ok\nrmdir d => ok\n");
        Set(scratch, kind, first: true, """
            cat d/low => 'low'
            ls . => [3] 'd:d' 'e:d' 'other:f'
            ls e => ESTALE
            put d/new x => ok
            """);
        Set(scratch, kind, first: true, """
            ls e => [1] 'low:f'
            put e/more x => ok
            ls d => ESTALE
            ls . => [3] 'd:d' 'e:d' 'other:f'
            """);
        Set(scratch, kind, first: true, """
            ls d => [2] 'low:f' 'new:f'
            ls e => ESTALE
            """);
    }

    private static void Set(ScratchFolder scratch, MountKind kind, bool first, string calls)
    {
        using var mount = new AntaresMount(scratch, kind);
        _ = Shell.Bash($"cd '{mount.Lower}' && rm -rf ./* && echo > other && {(first ? "mkdir d && printf low > d/low" : "true")}").Must();
        mount.Mount();
        _ = Probe.Check(mount.Root, calls);
        mount.Unmount();
    }
}
