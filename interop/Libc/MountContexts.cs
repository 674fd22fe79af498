using System.Runtime.InteropServices;

namespace Antares.Interop;

/// <summary>
/// Mounting in steps (Linux 5.2): a context takes the options one by one, becomes a mount that nobody sees, and that is moved to its
/// place. Options may name folders by descriptor where the file system takes that.
/// </summary>
public static unsafe partial class MountContexts
{
    public const uint FSOPEN_CLOEXEC = 1;
    public const uint FSMOUNT_CLOEXEC = 1;
    public const uint FSCONFIG_SET_FLAG = 0;
    public const uint FSCONFIG_SET_STRING = 1;
    public const uint FSCONFIG_SET_FD = 5;
    public const uint FSCONFIG_CMD_CREATE = 6;
    public const uint MOVE_MOUNT_F_EMPTY_PATH = 4;

    public const uint MOUNT_ATTR_NOSUID = 0x2;
    public const uint MOUNT_ATTR_NODEV = 0x4;
    public const uint MOUNT_ATTR_NOEXEC = 0x8;
    public const uint MOUNT_ATTR_NOATIME = 0x10;

    /// <summary>A context for a file system by its name.</summary>
    /// <returns>ENODEV: the kernel has no such file system; EPERM: no CAP_SYS_ADMIN here.</returns>
    public static Errno Open(byte* type, out int fd) => Returned.Of(fsopen(type, FSOPEN_CLOEXEC), out fd);

    /// <summary>Sets an option to a text of at most 255 bytes.</summary>
    /// <returns>EINVAL: no such option, or not this value; what the file system says is read from the context.</returns>
    public static Errno SetString(int context, byte* key, byte* value) => Returned.Of(fsconfig(context, FSCONFIG_SET_STRING, key, value, 0));

    /// <summary>Sets an option that has no value.</summary>
    public static Errno SetFlag(int context, byte* key) => Returned.Of(fsconfig(context, FSCONFIG_SET_FLAG, key, null, 0));

    /// <summary>Sets an option to an open file or folder.</summary>
    /// <returns>EINVAL: it takes no descriptor (on this kernel).</returns>
    public static Errno SetFd(int context, byte* key, int fd) => Returned.Of(fsconfig(context, FSCONFIG_SET_FD, key, null, fd));

    /// <summary>Makes the file system. Asks the servers of the folders that the options name.</summary>
    /// <returns>EINVAL, EBUSY, EPERM, ELOOP …: of the file system.</returns>
    public static Errno Create(int context) => Returned.Of(fsconfig(context, FSCONFIG_CMD_CREATE, null, null, 0));

    /// <summary>A mount of the made file system that is nowhere in the tree; it goes with its descriptor.</summary>
    /// <param name="context">After <see cref="Create"/>.</param>
    /// <param name="attributes">MOUNT_ATTR_*.</param>
    /// <param name="fd">Its root.</param>
    public static Errno Mount(int context, uint attributes, out int fd) => Returned.Of(fsmount(context, FSMOUNT_CLOEXEC, attributes), out fd);

    /// <summary>Puts a mount at a path.</summary>
    public static Errno Move(int mount, byte* target)
    {
        byte nothing = 0;
        return Returned.Of(move_mount(mount, &nothing, Fcntl.AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH));
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fsopen(byte* type, uint flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fsconfig(int fd, uint command, byte* key, void* value, int aux);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fsmount(int fd, uint flags, uint attributes);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int move_mount(int fromFd, byte* fromPath, int toFd, byte* toPath, uint flags);
}
