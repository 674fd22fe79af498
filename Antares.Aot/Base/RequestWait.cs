using System.Diagnostics;

namespace Antares.Aot.Base;

/// <summary>
/// What the thread of a request and whatever makes it wait have to tell each other: how long the request may still take, and that the
/// thread is about to be of no use to others.
/// </summary>
public static class RequestWait
{
    [ThreadStatic]
    private static long t_started;

    [ThreadStatic]
    private static Action? t_waiting;

    /// <summary>The calling thread serves requests; <paramref name="waiting"/> hears when it is about to wait.</summary>
    public static void Attach(Action? waiting) => t_waiting = waiting;

    /// <summary>A request begins on the calling thread.</summary>
    /// <param name="timestamp">Now, in ticks of <see cref="Stopwatch"/>.</param>
    public static void Start(long timestamp) => t_started = timestamp;

    /// <summary>To be called before a wait for a server, or for a thread that may wait for one: another thread takes over the device.</summary>
    public static void Announce() => t_waiting?.Invoke();

    /// <summary>Milliseconds that are left of a limit counted from the start of the request; the whole limit outside of one.</summary>
    /// <returns>0 when the time is up.</returns>
    public static int LeftOf(int limitMs)
    {
        if (t_started == 0)
        {
            return limitMs;
        }

        long spent = (long)Stopwatch.GetElapsedTime(t_started).TotalMilliseconds;
        return (int)Math.Clamp(limitMs - spent, 0, limitMs);
    }
}
