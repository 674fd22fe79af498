using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>
/// Gives an upper that we made the attributes of the source's root: the merged root shows the upper's, and the mount shall look like
/// the source.
/// </summary>
internal static unsafe class RootAttributes
{
    private const int Room = 4096;

    /// <summary>Copies owner, mode, POSIX ACLs and times.</summary>
    /// <param name="source">Root folder of the uppermost lower layer.</param>
    /// <param name="upper">The new, empty upper.</param>
    /// <returns>None; another errno: the mode or the times could not be set.</returns>
    public static Errno Copy(int source, int upper)
    {
        stat attributes;
        var error = Attributes.Fstat(source, &attributes);
        if (error != Errno.None)
        {
            return error;
        }

        if (Process.Geteuid() == 0)
        {
            _ = Attributes.Fchown(upper, attributes.st_uid, attributes.st_gid); // not possible for every id in a user namespace
        }

        CopyAttribute(source, upper, "system.posix_acl_access\0"u8);
        CopyAttribute(source, upper, "system.posix_acl_default\0"u8);
        return SetModeAndTimes(attributes, upper);
    }

    /// <summary>Copies owner, mode, POSIX ACLs and times of a layer's root.</summary>
    /// <param name="source">The uppermost lower layer.</param>
    /// <param name="upper">The new, empty upper.</param>
    /// <returns>None; EIO: the layer is damaged; another errno: the mode or the times could not be set.</returns>
    public static Errno Copy(ILayer source, int upper)
    {
        stat attributes;
        var error = source.GetattrWithMapping(ILayer.RootNode, mapping: false, &attributes);
        if (error != Errno.None)
        {
            return error;
        }

        if (Process.Geteuid() == 0)
        {
            _ = Attributes.Fchown(upper, attributes.st_uid, attributes.st_gid); // not possible for every id in a user namespace
        }

        CopyAttribute(source, upper, "system.posix_acl_access\0"u8);
        CopyAttribute(source, upper, "system.posix_acl_default\0"u8);
        return SetModeAndTimes(attributes, upper);
    }

    private static Errno SetModeAndTimes(in stat attributes, int upper)
    {
        var error = Attributes.Fchmod(upper, attributes.st_mode & 0xFFF);
        if (error != Errno.None)
        {
            return error;
        }

        var times = stackalloc timespec[2] { attributes.st_atim, attributes.st_mtim };
        return Attributes.Futimens(upper, times);
    }

    /// <summary>Sets what a source that is no folder shows of its root: everybody may look, and a time in seconds since 1970.</summary>
    public static Errno Set(int upper, long seconds)
    {
        const uint RootMode = 0x1ED; // 0755
        var error = Attributes.Fchmod(upper, RootMode);
        if (error != Errno.None)
        {
            return error;
        }

        var time = new timespec { tv_sec = seconds };
        var times = stackalloc timespec[2] { time, time };
        return Attributes.Futimens(upper, times);
    }

    private static void CopyAttribute(ILayer source, int upper, ReadOnlySpan<byte> name)
    {
        var value = stackalloc byte[Room];
        fixed (byte* key = name)
        {
            if (source.Getxattr(ILayer.RootNode, key, value, Room, out var length) == Errno.None)
            {
                _ = Xattrs.Fsetxattr(upper, key, value, (nuint)length, 0); // as below
            }
        }
    }

    private static void CopyAttribute(int source, int upper, ReadOnlySpan<byte> name)
    {
        var value = stackalloc byte[Room];
        fixed (byte* key = name)
        {
            if (Xattrs.Fgetxattr(source, key, value, Room, out var length) == Errno.None)
            {
                _ = Xattrs.Fsetxattr(upper, key, value, (nuint)length, 0); // the upper's file system may know no ACLs; the mode is set all the same
            }
        }
    }
}
