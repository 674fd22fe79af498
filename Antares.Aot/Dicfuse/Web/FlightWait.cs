using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Web;

/// <summary>How the thread of a request waits for something that is being fetched.</summary>
internal static class FlightWait
{
    /// <summary>Waits as long as the request may take; what is under way goes on behind it.</summary>
    /// <param name="layer">Name for failure notes.</param>
    /// <param name="flight">What is waited for.</param>
    /// <param name="what">Names it in messages.</param>
    /// <param name="waitMs">From the start of the request; <see cref="Timeout.Infinite"/> for a thread that serves none.</param>
    /// <returns>None; ETIMEDOUT: not yet; EINTR: the process that asked was killed; EIO, EACCES and others as the fetch ended, noted with its reason.</returns>
    public static Errno For(string layer, Task flight, string what, int waitMs)
    {
        if (!flight.IsCompleted)
        {
            _ = RequestWait.Announce(); // waits in any case
            switch (CallerWait.For(flight, waitMs < 0 ? waitMs : RequestWait.LeftOf(waitMs)))
            {
                case CallerWait.End.TimeUp:
                    return Failure.Note(layer, $"{what}: not here within {waitMs / 1000} s; it is still being fetched", Errno.ETIMEDOUT);
                case CallerWait.End.Killed:
                    return Failure.Note(layer, $"{what}: who wanted it was killed", Errno.EINTR);
                default:
                    break;
            }
        }

        return flight.Exception?.InnerException switch
        {
            null when flight.IsCanceled => Failure.Note(layer, $"{what}: given up", Errno.EIO),
            null => Errno.None,
            WebProblem problem => Failure.Note(layer, problem.Message, problem.Error),
            Exception other => Failure.Note(layer, $"{what}: {other.GetType().Name}", Errno.EIO),
        };
    }
}
