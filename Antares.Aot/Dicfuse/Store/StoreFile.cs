using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Store;

/// <summary>A file of the store in the making, which gets its name by one rename. What is not published leaves nothing.</summary>
internal sealed unsafe class StoreFile : IDisposable
{
    private const uint Mode = 0x180; // rw-------

    private readonly ObjectStore _store;
    private readonly byte[] _name;
    private readonly OwnedFd _fd;
    private bool _published;

    private StoreFile(ObjectStore store, int fd, byte[] name)
    {
        _store = store;
        _name = name;
        _fd = new OwnedFd(fd);
    }

    /// <summary>Open for reading and writing.</summary>
    public int Fd => _fd.Value;

    /// <returns>None; ENOSPC, EDQUOT, EROFS, EACCES, EMFILE: the store's file system.</returns>
    public static Errno Make(ObjectStore store, out StoreFile? file)
    {
        file = null;
        byte[] name = ObjectStore.NewTemporaryName();
        int fd;
        Errno error;
        fixed (byte* path = name)
        {
            const int Flags = Fcntl.O_RDWR | Fcntl.O_CREAT | Fcntl.O_EXCL | Fcntl.O_CLOEXEC;
            error = Failure.Note("store", "openat (temporary)", Interop.Fd.Openat(store.Root, path, Flags, Mode, out fd));
        }

        file = error == Errno.None ? new StoreFile(store, fd, name) : null;
        return error;
    }

    /// <summary>Writes at a place.</summary>
    /// <returns>As pwrite(2).</returns>
    public Errno Write(ReadOnlySpan<byte> bytes, long offset)
    {
        fixed (byte* start = bytes)
        {
            return FileIo.WriteFull(Fd, start, (nuint)bytes.Length, offset);
        }
    }

    /// <summary>Gives the file its name, over one that has it.</summary>
    /// <param name="id">The name.</param>
    /// <param name="kind">The folder.</param>
    /// <param name="bytes">Space that it takes.</param>
    /// <returns>As renameat2(2).</returns>
    public Errno Publish(in ObjectId id, ObjectKind kind, long bytes)
    {
        fixed (byte* path = _name)
        {
            Errno error = _store.Rename(path, id, kind);
            if (error == Errno.None)
            {
                _published = true;
                _store.CountWritten(bytes);
            }

            return error;
        }
    }

    public void Dispose()
    {
        _fd.Dispose();
        if (!_published)
        {
            fixed (byte* path = _name)
            {
                _ = PathOps.Unlinkat(_store.Root, path, 0); // a collection removes what stays
            }
        }
    }
}
