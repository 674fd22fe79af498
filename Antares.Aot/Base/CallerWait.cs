namespace Antares.Aot.Base;

/// <summary>
/// A wait of a request for what may take long, such as a server. The process that waits for the answer may be killed meanwhile: whoever hears of
/// that tells the wait, which then ends, so that nobody has to look at a process that cannot end.
/// </summary>
/// <remarks>
/// The kernel tells of a signal once, and of a signal that ends nothing too: from then on the wait looks by itself whether the sender was killed. A
/// message that comes just before the wait begins is kept for it. Costs nothing but for those who wait.
/// </remarks>
public sealed class CallerWait : IDisposable
{
    private const int LookMs = 100;
    private const int Kept = 64;

    private static readonly Lock s_lock = new();
    private static readonly List<CallerWait> s_waiting = [];
    private static readonly (ulong Unique, Func<uint, bool>? IsKilled)[] s_early = new (ulong, Func<uint, bool>?)[Kept];
    private static int s_nextEarly;

    [ThreadStatic]
    private static ulong t_unique;

    [ThreadStatic]
    private static uint t_sender;

    // What an earlier wait of the same request heard.
    [ThreadStatic]
    private static Func<uint, bool>? t_isKilled;

    private readonly ulong _unique;
    private readonly uint _sender;
    private readonly TaskCompletionSource _told = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Func<uint, bool>? _isKilled;

    private CallerWait(ulong unique, uint sender)
    {
        _unique = unique;
        _sender = sender;
    }

    /// <summary>How a wait ended.</summary>
    public enum End
    {
        /// <summary>What was waited for is there, or has failed.</summary>
        Done,

        /// <summary>The time is up.</summary>
        TimeUp,

        /// <summary>Nobody waits for the answer any more.</summary>
        Killed,
    }

    /// <summary>True when the sender of the request was killed. Asks the kernel, but only after a message about this request.</summary>
    public bool IsKilled => Volatile.Read(ref _isKilled) is { } look && look(_sender);

    /// <summary>A request begins on the calling thread.</summary>
    /// <param name="unique">Its number; 0: none.</param>
    /// <param name="sender">The thread that sent it.</param>
    public static void Start(ulong unique, uint sender)
    {
        t_unique = unique;
        t_sender = sender;
        t_isKilled = null;
    }

    /// <summary>The request of the calling thread is about to wait; to be disposed by the same thread when it has.</summary>
    /// <returns>Null: the thread serves no request.</returns>
    public static CallerWait? Begin()
    {
        if (t_unique == 0)
        {
            return null;
        }

        var wait = new CallerWait(t_unique, t_sender);
        if (t_isKilled is { } heard)
        {
            wait.Hear(heard);
        }

        lock (s_lock)
        {
            int early = Array.FindIndex(s_early, told => told.Unique == wait._unique);
            if (early >= 0)
            {
                wait.Hear(s_early[early].IsKilled!);
                s_early[early] = default;
            }

            s_waiting.Add(wait);
        }

        return wait;
    }

    /// <summary>Somebody sent a signal to the process that waits for the answer of a request.</summary>
    /// <param name="unique">The request.</param>
    /// <param name="isKilled">Tells whether a thread is about to end by a signal.</param>
    public static void Tell(ulong unique, Func<uint, bool> isKilled)
    {
        lock (s_lock)
        {
            if (s_waiting.Find(wait => wait._unique == unique) is { } found)
            {
                found.Hear(isKilled);
            }
            else
            {
                s_early[s_nextEarly] = (unique, isKilled);
                s_nextEarly = (s_nextEarly + 1) % Kept;
            }
        }
    }

    /// <summary>Waits for a task, however it ends.</summary>
    /// <param name="task">The task.</param>
    /// <param name="milliseconds">How long; <see cref="Timeout.Infinite"/>: to its end.</param>
    public static End For(Task task, int milliseconds)
    {
        using CallerWait? wait = Begin();
        long start = Environment.TickCount64;
        while (true)
        {
            int left = milliseconds < 0 ? Timeout.Infinite : (int)Math.Max(0, milliseconds - (Environment.TickCount64 - start));
            bool looks = wait is not null && wait._told.Task.IsCompleted;
            int part = looks && (left < 0 || left > LookMs) ? LookMs : left;
            Task[] both = wait is null || looks ? [task] : [task, wait._told.Task];
            _ = Task.WaitAny(both, part); // what has ended is looked at below
            if (task.IsCompleted)
            {
                return End.Done;
            }

            if (wait is { IsKilled: true })
            {
                return End.Killed;
            }

            if (left == 0)
            {
                return End.TimeUp;
            }
        }
    }

    /// <summary>Waits on a monitor that the caller holds until it is pulsed, or until it is time to look at <see cref="IsKilled"/>.</summary>
    public static void ForPulse(object monitor, CallerWait? wait) =>
        _ = wait is null ? Monitor.Wait(monitor) : Monitor.Wait(monitor, LookMs); // what it was pulsed for is looked at by the caller

    public void Dispose()
    {
        lock (s_lock)
        {
            _ = s_waiting.Remove(this); // it is there
        }

        t_isKilled = Volatile.Read(ref _isKilled) ?? t_isKilled;
    }

    private void Hear(Func<uint, bool> isKilled)
    {
        Volatile.Write(ref _isKilled, isKilled);
        _ = _told.TrySetResult(); // may have heard before
    }
}
