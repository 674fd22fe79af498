using System.Runtime.InteropServices;

namespace Antares.Interop;

/// <summary>
/// Keeps a mapped file that is cut short from ending the process: what is gone reads as zeros, and <see cref="Faulted"/> tells. Without the C
/// main (tests in the runtime) there is none.
/// </summary>
public sealed unsafe partial class MappingGuard : IDisposable
{
    private static readonly Lock s_one = new();

    private readonly void* _start;
    private readonly int* _mark;

    private MappingGuard(void* start, int* mark)
    {
        _start = start;
        _mark = mark;
    }

    /// <summary>True once something in the range was read that the file does not have any more.</summary>
    public bool Faulted => Volatile.Read(ref *_mark) != 0;

    /// <summary>Guards a mapping until disposed, which must come before it is unmapped.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="length">Its length.</param>
    /// <param name="guard">The guard; null without the C main.</param>
    /// <returns>False: too many are guarded (512), or no handler of SIGBUS is to be had. The mapping must not be read then.</returns>
    public static bool TryAdd(void* start, nuint length, out MappingGuard? guard)
    {
        guard = null;
        try
        {
            lock (s_one)
            {
                int* mark = antares_guard(start, length);
                guard = mark == null ? null : new MappingGuard(start, mark);
                return guard != null;
            }
        }
        catch (DllNotFoundException)
        {
            return true;
        }
    }

    public void Dispose()
    {
        lock (s_one)
        {
            antares_unguard(_start);
        }
    }

    [LibraryImport("antares-main")]
    private static partial int* antares_guard(void* start, nuint length);

    [LibraryImport("antares-main")]
    private static partial void antares_unguard(void* start);
}
