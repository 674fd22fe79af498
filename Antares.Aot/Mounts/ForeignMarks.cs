using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>
/// Marks that the kernel's overlay would not read in a mount, though our own does: those under user.* where it keeps to trusted.* (a plain user's mount made them,
/// or fuse-overlayfs), and the other way round.
/// </summary>
/// <remarks>Looked at are roots, and below them the first directories only: each further one would be a system call at each mount.</remarks>
internal static unsafe class ForeignMarks
{
    private const int MostDirectories = 16;
    private const int Room = 4096;

    /// <summary>What an upper was used with, if the kernel's overlay would not read it: any mark of such a use, for deeper ones may be more than that.</summary>
    /// <returns>Null: nothing is to be seen.</returns>
    public static string? OfUpper(MountPlan plan) =>
        plan.Upper is not { } upper ? null
        : OfRoot(upper.Value, plan.UserXattrs) ?? OfDirectories(upper.Value, plan.UserXattrs);

    /// <summary>Which of the layers has such marks, where all of them are plain folders, which the kernel would get as they are.</summary>
    /// <returns>Null: none to be seen.</returns>
    public static string? OfLowers(MountPlan plan)
    {
        if (plan.Lowers.Any(lower => lower.Spec.Kind != SourceKind.Folder))
        {
            return null; // they are merged here
        }

        for (var i = 0; i < plan.Lowers.Count; i++)
        {
            if (plan.Lowers[i] is not { Root: { } root } lower)
            {
                continue;
            }

            // In the lowest one a mark on a directory hides nothing: there is nothing below.
            var mark = OfRoot(root.Value, plan.UserXattrs) ?? (i < plan.Lowers.Count - 1 ? OfDirectories(root.Value, plan.UserXattrs) : null);
            if (mark is not null)
            {
                return $"source {lower.Spec} has {mark}";
            }
        }

        return null;
    }

    private static string? OfRoot(int fd, bool userXattrs)
    {
        var names = stackalloc byte[Room];
        var error = Xattrs.Flistxattr(fd, names, Room, out var length);
        return error == Errno.ERANGE ? TooMany : error == Errno.None ? Find(new ReadOnlySpan<byte>(names, length), userXattrs) : null;
    }

    private const string TooMany = "more attributes than are looked through for an overlay's marks";

    private static string? OfDirectories(int fd, bool userXattrs)
    {
        if (Fd.Openat(fd, Literal.Pointer("."u8), Fcntl.O_RDONLY | Fcntl.O_DIRECTORY | Fcntl.O_CLOEXEC, 0, out var listing) != Errno.None)
        {
            return null; // what is wrong with it is told by who needs it
        }

        using var owned = new OwnedFd(listing);
        var buffer = stackalloc byte[Room];
        if (Directories.Getdents64(listing, buffer, Room, out var length) != Errno.None)
        {
            return null;
        }

        var looked = 0;
        for (var entry = new DirentCursor(buffer, length); looked < MostDirectories && entry.MoveNext();)
        {
            if (entry.Type == (byte)FileType.Directory)
            {
                looked++;
                if (Fd.Openat(listing, entry.NamePointer, Fcntl.O_RDONLY | Fcntl.O_DIRECTORY | Fcntl.O_NOFOLLOW | Fcntl.O_NONBLOCK | Fcntl.O_CLOEXEC, 0, out var directory) == Errno.None)
                {
                    var found = OfRoot(directory, userXattrs);
                    _ = Fd.Close(directory); // only looked at
                    if (found is not null)
                    {
                        return found;
                    }
                }
            }
        }

        return null;
    }

    private static string? Find(ReadOnlySpan<byte> names, bool userXattrs)
    {
        while (!names.IsEmpty)
        {
            var end = names.IndexOf((byte)0);
            var name = end < 0 ? names : names[..end];
            if (name.StartsWith("user.fuseoverlayfs."u8))
            {
                return "fuse-overlayfs' marks (user.fuseoverlayfs.*)";
            }

            // An escaped one is a mark of an overlay inside of the mount, and shown there.
            var other = userXattrs ? "trusted.overlay."u8 : "user.overlay."u8;
            if (name.StartsWith(other) && !name[other.Length..].StartsWith("overlay."u8))
            {
                return userXattrs ? "marks under trusted.overlay.*" : "marks under user.overlay.*";
            }

            names = end < 0 ? default : names[(end + 1)..];
        }

        return null;
    }
}
