using Tmds.Linux;

namespace Antares.Interop;

/// <summary>Mounting and unmounting by the system call itself (fusermount3 is the caller's matter).</summary>
public static unsafe class Mounting
{
    /// <summary>Mounts; source, fstype and data may be null where the kernel needs none (MS_*).</summary>
    /// <returns>EPERM: no CAP_SYS_ADMIN here; ENODEV: unknown fstype; EBUSY; EINVAL: bad option, see the kernel log.</returns>
    public static Errno Mount(byte* source, byte* target, byte* fstype, ulong flags, byte* data) =>
        Returned.Of(LibC.mount(source, target, fstype, (ulong_t)flags, data));

    /// <summary>Unmounts (MNT_*, UMOUNT_NOFOLLOW). EBUSY: in use, and no MNT_DETACH; EINVAL: not a mount point; EPERM.</summary>
    public static Errno Umount2(byte* target, int flags)
    {
        long result;
        do
        {
            result = LibC.umount2(target, flags);
        }
        while (Returned.Interrupted(result));

        return Returned.Of(result);
    }
}
