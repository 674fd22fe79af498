using Antares.Interop;

namespace Antares.Aot.Dicfuse.Store;

/// <summary>
/// Who fetches an object, among all processes that share a store: a lock on one byte of a file, at a place that the id gives. The kernel
/// takes it away from a process that ends.
/// </summary>
/// <remarks>Locks of one store object do not keep each other out: within a process something else must.</remarks>
internal sealed class StoreLocks(OwnedFd file) : IDisposable
{
    /// <summary>Place of the lock that a collection holds, behind those of all ids.</summary>
    private const long CollectionPlace = long.MaxValue - 1;

    private readonly OwnedFd _file = file;

    /// <returns>None; EAGAIN: another process has it; ENOLCK, EINVAL: the file system knows no such locks.</returns>
    public Errno TryLock(in ObjectId id) => Fd.TryLockRange(_file.Value, id.Place, 1);

    public void Unlock(in ObjectId id)
    {
        // Only a range that was locked; the kernel refuses none of those.
        _ = Fd.UnlockRange(_file.Value, id.Place, 1);
    }

    /// <summary>Locks parts of an object, each of which another process may fetch.</summary>
    /// <param name="id">The object.</param>
    /// <param name="first">First part.</param>
    /// <param name="count">At least 1.</param>
    /// <returns>As <see cref="TryLock"/>; EAGAIN: another process has one of them.</returns>
    public Errno TryLockPart(in ObjectId id, uint first, uint count) => Fd.TryLockRange(_file.Value, id.Place + 1 + first, count);

    public void UnlockPart(in ObjectId id, uint first, uint count)
    {
        // As above.
        _ = Fd.UnlockRange(_file.Value, id.Place + 1 + first, count);
    }

    public Errno TryLockCollection() => Fd.TryLockRange(_file.Value, CollectionPlace, 1);

    public void UnlockCollection()
    {
        // As above.
        _ = Fd.UnlockRange(_file.Value, CollectionPlace, 1);
    }

    public void Dispose() => _file.Dispose();
}
