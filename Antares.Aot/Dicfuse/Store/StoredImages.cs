using Antares.Interop;

namespace Antares.Aot.Dicfuse.Store;

/// <summary>
/// Images that were packed of sources which mounts cannot use as they are: archives, commits of a repository. Named by a hash of what they
/// were made of; whole, or not there. With <see cref="ObjectKind.Remote"/> those of servers of which only a part is here.
/// </summary>
/// <param name="store">Where they are.</param>
/// <param name="kind">Which.</param>
internal sealed unsafe class StoredImages(ObjectStore store, ObjectKind kind = ObjectKind.Image)
{
    /// <summary>Opens an image, and notes that it was used.</summary>
    /// <param name="id">Its name.</param>
    /// <param name="fd">Open for reading, of a part for writing too; the caller closes it, and may use it also when the image is removed meanwhile.</param>
    /// <returns>None; ENOENT: not here; others: as openat(2).</returns>
    public Errno Open(in ObjectId id, out int fd)
    {
        byte* path = stackalloc byte[ObjectStore.PathBytes];
        ObjectStore.WritePath(path, id, kind);
        int access = kind == ObjectKind.Remote ? Fcntl.O_RDWR : Fcntl.O_RDONLY;
        Errno error = Fd.Openat(store.Root, path, access | Fcntl.O_NOFOLLOW | Fcntl.O_CLOEXEC, 0, out fd);
        if (error == Errno.None)
        {
            _ = Attributes.Futimens(fd, null); // somebody else's stays as old as it looks
        }

        return error;
    }

    /// <summary>Gives a finished file its name.</summary>
    /// <param name="path">Where it is, in the store's folder for what is in the making.</param>
    /// <param name="id">Its name from now on.</param>
    /// <param name="bytes">Its length.</param>
    /// <returns>None; otherwise as renameat2(2).</returns>
    public Errno Publish(string path, in ObjectId id, long bytes)
    {
        using CString name = new(path);
        Errno error = store.Rename(name, id, kind);
        if (error == Errno.None)
        {
            store.CountWritten(bytes);
        }

        return error;
    }

    /// <summary>A path for a file in the making.</summary>
    public string NewPath() => $"{store.Folder}/{System.Text.Encoding.ASCII.GetString(ObjectStore.NewTemporaryName()[..^1])}";
}
