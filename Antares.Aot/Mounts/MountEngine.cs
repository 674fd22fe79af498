using Antares.Aot.Fuse;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>Which engine the user asks for.</summary>
public enum EngineWish
{
    /// <summary>Kernel where that is to be had and enough, else FUSE.</summary>
    Auto,

    /// <summary>The overlay is ours (<see cref="FuseEngine"/>).</summary>
    Fuse,

    /// <summary>The overlay is the kernel's (<see cref="KernelEngine"/>).</summary>
    Kernel,
}

/// <summary>
/// What makes the merged tree of a mount: served by this process, or by the kernel over layers of which this process serves some. Up and
/// answering when it is made; ended by <see cref="Unmount"/> or by anybody else's unmount; closed at last.
/// </summary>
internal interface IMountEngine
{
    /// <summary>As <c>--engine</c> spells it.</summary>
    string Name { get; }

    /// <summary>Tells the mount from others at the same path.</summary>
    DeviceNumber Device { get; }

    /// <summary>Readable once the mount is gone, after <see cref="Complete"/>. After a lazy unmount that is when its last user is gone.</summary>
    int EndedDescriptor { get; }

    /// <summary>The device by which this process serves, or -1. No other process may have it open when it looks into the mount.</summary>
    int ServedDescriptor { get; }

    /// <summary>What is shown of a server's directory; null: none of the layers is one.</summary>
    MountedView? View { get; }

    /// <summary>Starts what need not be there for the root to answer. Once.</summary>
    void Complete();

    /// <summary>Takes the mount away.</summary>
    /// <param name="lazy">Out of sight, although it is in use.</param>
    /// <returns>None (also when it was gone already); EBUSY: in use; EINVAL, ENOENT: it lives, but not at its mount point; EPERM.</returns>
    Errno Unmount(bool lazy);

    /// <summary>Closes the layers of a mount that has ended, and leaves the upper in order. Once.</summary>
    /// <returns>False: only what this process serves has ended; the upper is still written to, and nothing of it was touched.</returns>
    bool Close();

    /// <summary>Takes back a mount that nobody uses yet. Once, instead of everything else.</summary>
    /// <returns>As <see cref="Unmount"/>.</returns>
    Errno Abandon();
}
