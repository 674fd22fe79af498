namespace Antares.Aot.Dicfuse.Tree;

/// <summary>
/// A fixed number of locks shared by many objects: an object's lock is found by its number. Each is made when it is first taken, so
/// that a mount does not wait for locks that nobody needs yet.
/// </summary>
internal sealed class StripedLocks(int count)
{
    private readonly Lock?[] _locks = new Lock?[count];

    public Lock this[uint number]
    {
        get
        {
            ref Lock? place = ref _locks[number % (uint)_locks.Length];
            Lock? known = Volatile.Read(ref place);
            if (known != null)
            {
                return known;
            }

            Lock made = new();
            return Interlocked.CompareExchange(ref place, made, null) ?? made;
        }
    }
}
