using System.Globalization;
using Antares.Interop;

namespace Antares.Aot.Fuse;

/// <summary>
/// A file system's device number. Of those that are alive no two have the same, and it is the same in every mount namespace: it tells a
/// mount from a newer one at the same path. Once a file system is gone its number is given to the next one.
/// </summary>
public readonly record struct DeviceNumber(uint Major, uint Minor)
{
    // statx(2): answer from what the kernel knows, without a request to the server (that may be us).
    private const int DontSync = 0x4000;

    /// <summary>The number of what is uppermost at a path; a link there is not followed. Asks no server, also answers for a dead mount.</summary>
    /// <returns>None; ENOENT, ENOTDIR, EACCES, ELOOP: the path leads nowhere.</returns>
    public static Errno At(string path, out DeviceNumber device) => Look(path, DontSync | Fcntl.AT_SYMLINK_NOFOLLOW | Fcntl.AT_NO_AUTOMOUNT, out device);

    /// <summary>The number of the file system of what a path, at last a link, leads to. Asks no server.</summary>
    /// <returns>As <see cref="At"/>.</returns>
    public static Errno Behind(string link, out DeviceNumber device) => Look(link, DontSync | Fcntl.AT_NO_AUTOMOUNT, out device);

    /// <summary>The number of the file system of an open file. Asks no server.</summary>
    /// <returns>None; EBADF.</returns>
    public static unsafe Errno Of(int fd, out DeviceNumber device)
    {
        byte nothing = 0;
        statx place;
        Errno error = Attributes.Statx(fd, &nothing, DontSync | Fcntl.AT_EMPTY_PATH, 0, &place);
        device = error == Errno.None ? new DeviceNumber(place.stx_dev_major, place.stx_dev_minor) : default;
        return error;
    }

    /// <summary>True when this is what is uppermost at a path.</summary>
    public bool IsAt(string path) => At(path, out DeviceNumber there) == Errno.None && there == this;

    /// <summary>Reads "0:53".</summary>
    public static bool TryParse(string text, out DeviceNumber device)
    {
        device = default;
        int colon = text.IndexOf(':');
        if (colon < 0
            || !uint.TryParse(text.AsSpan(0, colon), NumberStyles.None, CultureInfo.InvariantCulture, out uint major)
            || !uint.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out uint minor))
        {
            return false;
        }

        device = new DeviceNumber(major, minor);
        return true;
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Major}:{Minor}");

    private static unsafe Errno Look(string path, int flags, out DeviceNumber device)
    {
        using CString name = Utf8.Native(path);
        statx place;
        Errno error = Attributes.Statx(Fcntl.AT_FDCWD, name, flags, 0, &place);
        device = error == Errno.None ? new DeviceNumber(place.stx_dev_major, place.stx_dev_minor) : default;
        return error;
    }
}
