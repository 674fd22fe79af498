using System.Text;
using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Store;

/// <summary>One file of a store as a walk finds it.</summary>
/// <param name="Folder">Descriptor of the folder it is in, open during the call.</param>
/// <param name="Name">Its name in there.</param>
/// <param name="Id">The object's id; none in tmp/.</param>
/// <param name="Kind">View for views2/, Image for images/, Remote for remote/, Blob for objects2/ (which hold trees as well), None for tmp/.</param>
/// <param name="Bytes">Space that it takes on the disk.</param>
/// <param name="Used">When it was last used, in seconds since 1970.</param>
internal readonly record struct StoredFile(int Folder, string Name, ObjectId Id, ObjectKind Kind, long Bytes, long Used);

/// <summary>Goes through the files of a store. Files that come and go meanwhile are seen or not.</summary>
internal static unsafe class StoreWalk
{
    /// <summary>Visits every object, view, image, part of an image, and temporary file.</summary>
    /// <param name="root">Descriptor of the store's folder.</param>
    /// <param name="visit">False ends the walk.</param>
    /// <param name="former">Also what a former version of this program keeps in folders of its own.</param>
    /// <returns>None; otherwise as the system call that failed.</returns>
    public static Errno Files(int root, Func<StoredFile, bool> visit, bool former = false)
    {
        Errno error = Errno.None;
        bool more = true;
        foreach ((string name, ObjectKind kind) in (ReadOnlySpan<(string, ObjectKind)>)[(ObjectStore.ObjectsName, ObjectKind.Blob), (ObjectStore.ViewsName, ObjectKind.View), (ObjectStore.ImagesName, ObjectKind.Image), (ObjectStore.RemoteName, ObjectKind.Remote)])
        {
            if (error == Errno.None && more)
            {
                error = Folder(root, name, ref more, (folder, prefix) => prefix.Length != 2 || Entries(folder, (at, entry) => Visit(at, entry, prefix, kind, visit)));
            }
        }

        foreach ((string name, ObjectKind kind) in former ? (ReadOnlySpan<(string, ObjectKind)>)[(ObjectStore.FormerObjectsName, ObjectKind.Blob), (ObjectStore.FormerViewsName, ObjectKind.View)] : [])
        {
            if (error == Errno.None && more)
            {
                error = Folder(root, name, ref more, (folder, prefix) => prefix.Length != 2 || Entries(folder, (at, entry) => Visit(at, entry, prefix, kind, visit)));
                error = error == Errno.ENOENT ? Errno.None : error; // no such version was here
            }
        }

        if (error == Errno.None && more)
        {
            error = Open(root, ObjectStore.TemporaryName, out OwnedFd? folder);
            using (folder)
            {
                if (error == Errno.None)
                {
                    _ = Entries(folder!.Value, (at, entry) => Visit(at, entry, "", ObjectKind.None, visit)); // the last: it does not matter who ended it
                }
            }
        }

        return error;
    }

    private static Errno Folder(int root, string name, ref bool more, Func<int, string, bool> visit)
    {
        Errno error = Open(root, name, out OwnedFd? folder);
        using (folder)
        {
            if (error != Errno.None)
            {
                return error;
            }

            more = Entries(folder!.Value, (at, entry) =>
            {
                if (Open(at, entry, out OwnedFd? below) != Errno.None)
                {
                    return true; // no folder of ours
                }

                using (below)
                {
                    return visit(below!.Value, entry);
                }
            });
            return Errno.None;
        }
    }

    private static bool Visit(int folder, string name, string prefix, ObjectKind kind, Func<StoredFile, bool> visit)
    {
        stat attributes;
        using CString path = new(name);
        if (Attributes.Fstatat(folder, path, &attributes, Fcntl.AT_SYMLINK_NOFOLLOW) != Errno.None)
        {
            return true; // gone
        }

        bool named = ObjectId.TryParse(prefix + name, out ObjectId id);
        return (kind != ObjectKind.None && !named) || visit(new StoredFile(folder, name, id, kind, attributes.st_blocks * 512, attributes.st_mtim.tv_sec));
    }

    private static Errno Open(int at, string name, out OwnedFd? folder)
    {
        using CString path = new(name);
        Errno error = Fd.Openat(at, path, Fcntl.O_RDONLY | Fcntl.O_DIRECTORY | Fcntl.O_NOFOLLOW | Fcntl.O_CLOEXEC, 0, out int fd);
        folder = error == Errno.None ? new OwnedFd(fd) : null;
        return error;
    }

    // True: to the end.
    private static bool Entries(int folder, Func<int, string, bool> visit)
    {
        const int Room = 32 << 10;
        var buffer = new byte[Room];
        fixed (byte* bytes = buffer)
        {
            while (Directories.Getdents64(folder, bytes, Room, out int length) == Errno.None && length > 0)
            {
                for (int at = 0; at < length;)
                {
                    var entry = (dirent64*)(bytes + at);
                    at += entry->d_reclen;
                    ByteName name = ByteName.FromNulTerminated(entry->d_name);
                    if (!name.IsDotOrDotDot && !visit(folder, Encoding.UTF8.GetString(name.Span)))
                    {
                        return false;
                    }
                }
            }
        }

        return true;
    }
}
