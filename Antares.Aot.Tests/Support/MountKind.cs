namespace Antares.Aot.Tests.Support;

/// <summary>What a parity test runs on.</summary>
public enum MountKind
{
    /// <summary>A folder on the host's file system: says what the calls mean. It also tests the tests.</summary>
    Plain,

    /// <summary>Kernel overlayfs with redirect_dir=on: the oracle for layers.</summary>
    Kernel,

    /// <summary>Our mount over a plain folder.</summary>
    AntaresFolder,

    /// <summary>Our mount over a folder loaded into Dicfuse (dir:).</summary>
    AntaresDir,

    /// <summary>Our mount over an image that is packed from the folder at each mount.</summary>
    AntaresImage,

    /// <summary>Our mount with the kernel engine, over a folder loaded into Dicfuse: kernel overlayfs on our read-only FUSE tree.</summary>
    AntaresKernel,

    /// <summary>Our mount with the kernel engine over a plain folder, which kernel overlayfs gets as it is.</summary>
    AntaresKernelFolder,

    /// <summary>Our mount with the kernel engine over an image: kernel overlayfs on EROFS on our file.</summary>
    AntaresKernelImage,

    /// <summary>Our mount over a plain folder with the engine that it chooses itself: the kernel's, as these tests are run by root.</summary>
    AntaresAuto,

    /// <summary>fuse-overlayfs: not in the default set; a control, since it is known to fail some of these tests.</summary>
    FuseOverlayfs,
}

/// <summary>What the kinds have in common.</summary>
internal static class MountKinds
{
    /// <summary>The overlay is ours.</summary>
    public static bool IsFuseEngine(this MountKind kind) => kind is MountKind.AntaresFolder or MountKind.AntaresDir or MountKind.AntaresImage;

    /// <summary>The overlay is the kernel's, the mount ours.</summary>
    public static bool IsKernelEngine(this MountKind kind) => kind is MountKind.AntaresKernel or MountKind.AntaresKernelFolder or MountKind.AntaresKernelImage or MountKind.AntaresAuto;

    /// <summary>The source is loaded into Dicfuse.</summary>
    public static bool IsDir(this MountKind kind) => kind is MountKind.AntaresDir or MountKind.AntaresKernel;
}

/// <summary>A file system to test: its layers, its merged view, and the ways to take it down and up again.</summary>
internal interface IMountUnderTest : IDisposable
{
    MountKind Kind { get; }

    /// <summary>The folder in which the calls are made.</summary>
    string Root { get; }

    /// <summary>The read-only layer; for a plain folder the same as <see cref="Root"/>.</summary>
    string Lower { get; }

    /// <summary>The writable layer; null for a plain folder.</summary>
    string? Upper { get; }

    string? Work { get; }

    void Mount();

    /// <summary>Unmounts and waits until nothing of it is left; does nothing when it is not mounted.</summary>
    void Unmount();
}
