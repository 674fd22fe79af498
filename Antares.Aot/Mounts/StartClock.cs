using System.Diagnostics;
using Antares.Aot.Diagnostics;

namespace Antares.Aot.Mounts;

/// <summary>Tells at level debug where the start of a mount spends its time.</summary>
public sealed class StartClock(Log log)
{
    private readonly long _begin = Stopwatch.GetTimestamp();

    /// <summary>A step is done.</summary>
    public void Step(string what) => log.Debug($"start {Stopwatch.GetElapsedTime(_begin).TotalMilliseconds:F3} ms: {what}");
}
