namespace Antares.Aot.Tests.Support;

/// <summary>A folder of the host's file system; "mounting" it is nothing.</summary>
internal sealed class PlainDirectory(ScratchFolder scratch) : IMountUnderTest
{
    public MountKind Kind => MountKind.Plain;
    public string Root { get; } = scratch.Make("plain");
    public string Lower => Root;
    public string? Upper => null;
    public string? Work => null;

    public void Mount()
    {
    }

    public void Unmount()
    {
    }

    public void Dispose()
    {
    }
}

/// <summary>Kernel overlayfs over the layers of a folder.</summary>
internal sealed class KernelOverlay(ScratchFolder scratch) : IMountUnderTest
{
    public MountKind Kind => MountKind.Kernel;
    public string Root { get; } = scratch.Make("kernel-mnt");
    public string Lower { get; } = scratch.Make("lower");
    public string? Upper { get; } = scratch.Make("upper");
    public string? Work { get; } = scratch.Make("work");

    /// <summary>Further lower layers above <see cref="Lower"/>, topmost first.</summary>
    public string[] Layers { get; init; } = [];

    /// <summary>With "volatile", since each unmount would otherwise sync the whole disk.</summary>
    public void Mount() =>
        _ = Shell.Run("mount", ["-t", "overlay", "overlay", "-o", $"volatile,redirect_dir=on,lowerdir={string.Join(':', [.. Layers, Lower])},upperdir={Upper},workdir={Work}", Root]).Must();

    /// <summary>The mark of a volatile mount stays after a clean unmount too; it is taken away, since nothing crashed here.</summary>
    public void Unmount()
    {
        if (MountTable.Find(Root) is not null)
            _ = Shell.Run("umount", [Root]).Must();
        string mark = Path.Combine(Work!, "work/incompat");
        if (Directory.Exists(mark))
            Directory.Delete(mark, recursive: true);
    }

    public void Dispose()
    {
        if (MountTable.Find(Root) is { } entry)
            MountTable.Tear(entry);
    }
}

/// <summary>fuse-overlayfs over the same layers: a control for the tests themselves.</summary>
internal sealed class FuseOverlayfs(ScratchFolder scratch) : IMountUnderTest
{
    public MountKind Kind => MountKind.FuseOverlayfs;
    public string Root { get; } = scratch.Make("fo-mnt");
    public string Lower { get; } = scratch.Make("lower");
    public string? Upper { get; } = scratch.Make("upper");
    public string? Work { get; } = scratch.Make("work");

    public void Mount() => _ = Shell.Run("fuse-overlayfs", ["-o", $"lowerdir={Lower},upperdir={Upper},workdir={Work}", Root]).Must();

    public void Unmount()
    {
        if (MountTable.Find(Root) is not null)
            _ = Shell.Run("umount", [Root]).Must();
    }

    public void Dispose()
    {
        if (MountTable.Find(Root) is { } entry)
            MountTable.Tear(entry);
    }
}
