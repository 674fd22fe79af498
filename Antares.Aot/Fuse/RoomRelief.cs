using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

/// <summary>
/// What to do when the upper has no room (ENOSPC, EDQUOT) while removed files are still kept. On a disk a file's room is free when the
/// call that removed it returns; here only once the kernel's FORGET has been read, which may be after the next request. Such a request
/// waits a moment, and is served once more.
/// </summary>
/// <remarks>
/// Only requests that fail whole: what a failed fsync tells is told once. Files that stay open keep their room on a disk too, so a wait in
/// vain is not repeated before another file was removed, or one of them has ended.
/// </remarks>
/// <param name="orphans">The removed files; null: nothing can be written.</param>
/// <param name="threads">
/// Most threads that serve requests. One of them is left to read what tells of the ends: what would take it as well waits without a thread, since with
/// collected writes there may be hundreds, none of which anybody hears of in time if it fails.
/// </param>
internal sealed class RoomRelief(Orphans? orphans, int threads)
{
    private const int StepMs = 2;

    // Without an end of any, and after the last of several.
    private const int FirstMs = 100, NextMs = 10, MostMs = 500;

    private readonly RequestPlaces? _places = threads > 1 ? new RequestPlaces(threads - 1) { TimeRunsOn = true } : null;

    private long _inVain;

    /// <summary>How many removed files have given back their room so far.</summary>
    public long Ended => orphans?.Ended ?? 0;

    /// <summary>Requests that wait for room without a thread.</summary>
    public int Waiting => _places?.Waiting ?? 0;

    /// <summary>True when room may come back by itself, or has since the request began.</summary>
    /// <param name="error">What the request ends with.</param>
    /// <param name="opcode">Its operation.</param>
    /// <param name="endedBefore"><see cref="Ended"/> when it began.</param>
    public bool MayHelp(Errno error, fuse_opcode opcode, long endedBefore) =>
        error is Errno.ENOSPC or Errno.EDQUOT
        && opcode is not (fuse_opcode.FUSE_FSYNC or fuse_opcode.FUSE_FSYNCDIR or fuse_opcode.FUSE_SYNCFS or fuse_opcode.FUSE_FLUSH)
        && orphans is { } kept
        && ((kept.HeldByFd + kept.InWork > 0 && kept.Kept != Volatile.Read(ref _inVain)) || kept.Ended != endedBefore);

    /// <summary>Waits for the ends that are under way. No lock is held. Another thread takes over the device, or nobody would read of the ends.</summary>
    /// <param name="endedBefore"><see cref="Ended"/> when the request began.</param>
    /// <returns>False: the calling thread cannot, and the request is to be put aside (<see cref="RequestWait.PutAside"/>).</returns>
    public bool TryWait(long endedBefore)
    {
        if (orphans is not { } kept || _places == null)
        {
            return true;
        }

        if (RequestWait.Enter(_places) != Errno.None)
        {
            return false;
        }

        _ = RequestWait.Announce(); // waits in any case
        WaitFor(kept, endedBefore);
        return true;
    }

    private void WaitFor(Orphans kept, long seen)
    {
        long atFirst = kept.Kept;
        bool helped = false;
        int quiet = 0;
        for (int waited = 0; waited < MostMs && quiet < (helped ? NextMs : FirstMs) && kept.HeldByFd + kept.InWork > 0; waited += StepMs)
        {
            Thread.Sleep(StepMs);
            long now = kept.Ended;
            helped |= now != seen;
            quiet = now == seen ? quiet + StepMs : 0;
            seen = now;
        }

        if (!helped)
        {
            Volatile.Write(ref _inVain, atFirst);
        }
    }
}
