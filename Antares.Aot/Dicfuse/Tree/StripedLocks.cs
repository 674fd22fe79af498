namespace Antares.Aot.Dicfuse.Tree;

/// <summary>A fixed number of locks shared by many objects: an object's lock is found by its number.</summary>
internal static class StripedLocks
{
    public static Lock[] Make(int count)
    {
        Lock[] locks = new Lock[count];
        for (int i = 0; i < count; i++)
        {
            locks[i] = new Lock();
        }

        return locks;
    }
}
