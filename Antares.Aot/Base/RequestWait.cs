using System.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Base;

/// <summary>
/// What the thread of a request and whatever makes it wait have to tell each other: how long the request may still take, that the
/// thread is about to be of no use to others, and which sources it has a place at.
/// </summary>
public static unsafe class RequestWait
{
    /// <summary>
    /// Answer of <see cref="Enter"/> when the source has no place: handed up through everything, it ends in the request being put aside. No
    /// system call gives this errno.
    /// </summary>
    public const Errno NoPlace = Errno.EXFULL;

    // Of the number of a serving thread and a count of its turns: half a year of them at a million a second, and a million threads.
    private const int TurnBits = 44;

    // More sources than one request can meet.
    private const int MostPlaces = 16;

    private static long s_servers;

    [ThreadStatic]
    private static long t_started;

    [ThreadStatic]
    private static ulong t_turn;

    [ThreadStatic]
    private static Func<bool>? t_waiting;

    [ThreadStatic]
    private static Func<bool>? t_isAnotherThere;

    [ThreadStatic]
    private static RequestPlaces?[]? t_places;

    [ThreadStatic]
    private static int t_placeCount;

    [ThreadStatic]
    private static RequestPlaces? t_full;

    /// <summary>The calling thread serves requests; <paramref name="waiting"/> hears when it is about to wait. Null: it no longer serves.</summary>
    /// <param name="waiting">What <see cref="Announce"/> does.</param>
    /// <param name="isAnotherThere">What <see cref="IsAnotherThere"/> asks; null: nobody knows.</param>
    public static void Attach(Func<bool>? waiting, Func<bool>? isAnotherThere = null)
    {
        t_waiting = waiting;
        t_isAnotherThere = isAnotherThere;
        t_turn = waiting == null ? 0 : (ulong)Interlocked.Increment(ref s_servers) << TurnBits;
        t_places = waiting == null ? null : new RequestPlaces?[MostPlaces];
    }

    /// <summary>A request begins on the calling thread.</summary>
    /// <param name="timestamp">When it was read, in ticks of <see cref="Stopwatch"/>.</param>
    public static void Start(long timestamp)
    {
        t_started = timestamp;
        t_turn++;
        t_full = null;
    }

    /// <summary>
    /// The turn of the calling thread, a number that no other turn has: it begins each time that the thread begins to serve a request, be it for the first time
    /// or again. What one turn has seen is true for all of it. 0 on threads that serve none.
    /// </summary>
    public static ulong Turn => t_places == null ? 0 : t_turn;

    /// <summary>
    /// To be called before a wait for a server, for a thread that may wait for one, for a disk (see <see cref="SyncWait"/>), or for another request: another
    /// thread takes over the device.
    /// </summary>
    /// <returns>False: none is to be had, so that no further request is served until the wait is over.</returns>
    public static bool Announce() => t_waiting?.Invoke() ?? true;

    /// <summary>True when a further request is at the device now, and no thread waits for it. A system call.</summary>
    public static bool IsAnotherThere => t_isAnotherThere?.Invoke() ?? false;

    /// <summary>
    /// To be called before a source is asked, or somebody is waited for who may be asking it, and before any lock is taken for that.
    /// </summary>
    /// <param name="places">Of the source; null: as many as want to.</param>
    /// <returns>None, on threads that serve no requests always; <see cref="NoPlace"/>: the request must end with this errno, having changed nothing.</returns>
    public static Errno Enter(RequestPlaces? places)
    {
        RequestPlaces?[]? mine = t_places;
        if (places == null || mine == null || mine.AsSpan(0, t_placeCount).Contains(places))
        {
            return Errno.None;
        }

        if (t_placeCount == MostPlaces || !places.TryTake())
        {
            t_full = places;
            return NoPlace;
        }

        mine[t_placeCount++] = places;
        return Errno.None;
    }

    /// <summary>True when this errno of the request that is ending says that it is to be put aside.</summary>
    public static bool IsToWait(Errno error) => error == NoPlace && t_full != null;

    /// <summary>Puts the request aside that <see cref="IsToWait"/>.</summary>
    /// <inheritdoc cref="RequestPlaces.PutAside"/>
    public static RequestPlaces.Putting PutAside(void* request, nuint bytes)
    {
        RequestPlaces? full = t_full;
        return full == null ? RequestPlaces.Putting.Full : full.PutAside(request, bytes, t_started);
    }

    /// <summary>When the time of a request begins that waited in its thread for a place: see <see cref="RequestPlaces.TimeRunsOn"/>.</summary>
    public static long TurnOf(long started) => t_full is { TimeRunsOn: true } ? started : Stopwatch.GetTimestamp();

    /// <summary>The request of the calling thread has ended: its places are given back, or go to a request that waited for one.</summary>
    /// <param name="ended">The mount is gone: what waits is dropped.</param>
    /// <inheritdoc cref="RequestPlaces.GiveBack"/>
    public static bool TryNext(void* buffer, nuint capacity, bool ended, out nuint bytes, out long started)
    {
        while (t_placeCount > 0)
        {
            RequestPlaces?[] mine = t_places!;
            if (ended)
            {
                mine[t_placeCount - 1]!.DropAll();
            }

            if (mine[t_placeCount - 1]!.GiveBack(buffer, capacity, out bytes, out started))
            {
                return true;
            }

            mine[--t_placeCount] = null;
        }

        bytes = 0;
        started = 0;
        return false;
    }

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
