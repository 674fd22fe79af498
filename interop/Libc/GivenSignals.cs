using System.Runtime.InteropServices;

namespace Antares.Interop;

/// <summary>Signals that were ignored when this process was started (by nohup, or a shell's "&amp;"): they are to stay so.</summary>
public static unsafe partial class GivenSignals
{
    /// <summary>The set; empty in a process without the C main.</summary>
    public static sigset_t Ignored()
    {
        sigset_t set = default;
        try
        {
            set.__val[0] = antares_ignored_signals();
        }
        catch (DllNotFoundException)
        {
            // Under a test runner: the runtime's own start took what was there.
        }

        return set;
    }

    /// <summary>A set without the signals that are to stay ignored.</summary>
    public static sigset_t Without(sigset_t set)
    {
        sigset_t ignored = Ignored();
        set.__val[0] &= ~ignored.__val[0];
        return set;
    }

    [LibraryImport("antares-main")]
    private static partial ulong antares_ignored_signals();
}
