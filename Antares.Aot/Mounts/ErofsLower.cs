using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>Mounts the kernel's EROFS on the file of a FUSE mount (Linux 6.12): a lower layer whose names and attributes are the kernel's own.</summary>
internal static unsafe class ErofsLower
{
    /// <summary>Makes the mount, which is nowhere in the tree; the overlay takes such a lower layer from Linux 6.15 on.</summary>
    /// <param name="root">Root of the mount that has the file (<see cref="Layers.ErofsFileLayer"/>).</param>
    /// <returns>Its root; the mount goes with the last who holds it.</returns>
    /// <exception cref="MountProblem">Host: the kernel refuses.</exception>
    public static OwnedFd Make(OwnedFd root)
    {
        using var type = new CString("erofs");
        Check(MountContexts.Open(type, out int opened), "is not there");
        using var context = new OwnedFd(opened);
        using var key = new CString("source");
        using var source = new CString($"/proc/self/fd/{root.Value}/{Layers.ErofsFileLayer.FileName}");
        using var readOnly = new CString("ro");
        using var direct = new CString("directio");
        Check(MountContexts.SetString(opened, key, source), "takes no file");
        Check(MountContexts.SetFlag(opened, readOnly), "is not read-only");
        _ = MountContexts.SetFlag(opened, direct); // before Linux 6.15 content is cached twice
        Check(MountContexts.Create(opened), "does not take the image");
        Check(MountContexts.Mount(opened, 0, out int mount), "cannot be mounted");
        return new OwnedFd(mount);
    }

    private static void Check(Errno error, string what)
    {
        if (error != Errno.None)
        {
            throw MountProblem.Host($"the kernel's EROFS {what}: {ErrnoText.Of(error)}; --erofs needs Linux 6.15 and CAP_SYS_ADMIN on the host: leave it out");
        }
    }
}
