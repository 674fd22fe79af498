namespace Antares.Aot.Dicfuse.Image.Remote;

/// <summary>
/// Which frames will be wanted next: of a file that is read from its beginning the following ones, and of neighbouring frames that are wanted one
/// after another those behind. The number grows with what was wanted already, and never exceeds that.
/// </summary>
/// <remarks>For one thread at a time. A guess that is wrong costs at most as much as was read before it.</remarks>
internal sealed class ReadAhead
{
    private const int Streaks = 16;

    private readonly Streak[] _streaks = new Streak[Streaks];
    private long _clock;

    /// <summary>Notes that frames are wanted.</summary>
    /// <param name="first">First of them.</param>
    /// <param name="last">Last of them, at least <paramref name="first"/>.</param>
    /// <param name="fileLast">Last frame of the file that is read.</param>
    /// <param name="isStart">The file is read from its beginning.</param>
    /// <param name="most">Frames beyond which nothing is fetched ahead.</param>
    /// <returns>The last frame to fetch: <paramref name="last"/> where nothing is to be fetched ahead.</returns>
    public uint Note(uint first, uint last, uint fileLast, bool isStart, uint most)
    {
        ref Streak streak = ref Find(first);
        _clock++;
        if (streak.Used == 0 || first > streak.Next)
        {
            streak = new Streak { Start = first };
        }

        streak.Used = _clock;
        if (last < streak.Next)
        {
            return last; // of what was wanted before
        }

        streak.Next = last + 1;
        uint wanted = streak.Next - streak.Start;

        // Who reads a file goes on with it; who reads neighbouring files may be through with them.
        uint inFile = isStart || wanted > 1 ? Math.Min(wanted, fileLast - last) : 0;
        uint ahead = Math.Min(most, Math.Max(inFile, wanted / 2));

        // What is ahead already is enough until half of it is read.
        if (streak.Ahead > last && streak.Ahead - last > ahead / 2)
        {
            return last;
        }

        streak.Ahead = last + ahead;
        return streak.Ahead;
    }

    private ref Streak Find(uint first)
    {
        int found = 0;
        for (int i = 0; i < Streaks; i++)
        {
            ref Streak streak = ref _streaks[i];
            if (streak.Used != 0 && first >= streak.Start && first <= streak.Next)
            {
                return ref _streaks[i];
            }

            found = streak.Used < _streaks[found].Used ? i : found;
        }

        // The one that was left longest ago begins anew.
        _streaks[found].Used = 0;
        return ref _streaks[found];
    }

    private struct Streak
    {
        /// <summary>First frame of it.</summary>
        public uint Start;

        /// <summary>The frame that goes on with it.</summary>
        public uint Next;

        /// <summary>Last frame that was asked for.</summary>
        public uint Ahead;

        public long Used;
    }
}
