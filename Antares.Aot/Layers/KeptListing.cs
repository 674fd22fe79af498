namespace Antares.Aot.Layers;

/// <summary>How a reader is told that a listing has no further entry.</summary>
public enum ListingEnd : byte
{
    /// <summary>It is not at its end, or nothing is to be seen to.</summary>
    Plain,

    /// <summary>What the kernel kept of it must be dropped before it is told, since it may be complete then and is not what is there.</summary>
    DropKept,

    /// <summary>Told so that the kernel does not take what it kept for complete.</summary>
    KeepNothing,
}

/// <summary>
/// What the kernel may have kept of the listing of one directory, as far as it can be known here. A first reader's entries are kept in the order in
/// which they came, and by whoever goes on where it stopped; the reader who is told the end of them makes them complete, and from then on they
/// answer all who read. Whether the directory changed meanwhile the kernel asks at a reader's beginning only (fs/fuse/readdir.c of
/// Linux 4.20 to 6.18), so that who is in the middle of the directory could be led astray in two ways:
/// <list type="bullet">
/// <item>entries that were kept before a name was made are made complete after that reader began: it would miss the name. So readers go in rounds,
/// and the places of one round are not found in the entries of another (the kernel asks then). Only a round that nobody has ended goes on after a
/// change, since the kernel keeps nothing else until then; what it kept is dropped at that end.</item>
/// <item>entries that fill whole pages are taken for read to the end by whoever does not find his place in them
/// (fuse_readdir_cached tells the end before it tells that nothing was found). So such entries are dropped.</item>
/// </list>
/// </summary>
/// <remarks>
/// <code>
/// a kept entry: 24 bytes and its name, rounded up to 8; none crosses the end of a page
/// a round begins: first reader | a reader after a change, once the round before was ended
/// </code>
/// Names come and go with the directory's lock held alone, which readers share until the kernel has read the answer (iterate_dir): no change
/// falls between an answer and what the kernel makes of it. Held for directories of the upper; those that lower layers alone have share round 0. The
/// layer's lock protects it.
/// </remarks>
public struct KeptListing
{
    private const int EntryHead = 24;
    private const ulong EntryAlignment = 8;

    // The entries up to this place, which take so many bytes, may be kept; exact as long as nothing changed in the round.
    private ulong _place;
    private ulong _bytes;

    // A reader of the round began, and none was told the end of what may be kept.
    private bool _isOpen;

    /// <summary>Marks the places that readers are given, 1 to <see cref="ListingRound.Last"/>; 0: there was no reader yet.</summary>
    public ushort Round { get; private set; }

    /// <summary>Names may have come or gone since the round began; a copy-up counts too.</summary>
    public bool Changed { get; set; }

    /// <summary>True when a reader that begins now needs a new round.</summary>
    public readonly bool WantsRound => Round == 0 || (Changed && !_isOpen);

    /// <summary>A reader begins.</summary>
    /// <param name="next">The number of a new round; used with <see cref="WantsRound"/> alone.</param>
    public void Begin(ushort next)
    {
        if (WantsRound)
        {
            Round = next;
            Changed = false;
            _isOpen = false;
        }

        if (!_isOpen)
        {
            _place = 0;
            _bytes = 0;
        }

        _isOpen = true;
    }

    /// <summary>A reader was given an entry.</summary>
    /// <param name="round">The reader's round.</param>
    /// <param name="before">Place after which it stands.</param>
    /// <param name="place">Its own.</param>
    /// <param name="nameLength">Bytes of its name.</param>
    public void Gave(uint round, ulong before, ulong place, int nameLength)
    {
        if (before == _place && round == Round)
        {
            _bytes = After(_bytes, nameLength);
            _place = place;
        }
    }

    /// <summary>A reader is about to be told that no entry is left.</summary>
    /// <param name="round">The reader's round.</param>
    /// <param name="place">Place of the last entry that it was given.</param>
    public ListingEnd End(uint round, ulong place)
    {
        if (round != Round)
        {
            return ListingEnd.KeepNothing;
        }

        // After small reads the kernel may have kept less than is known here, and have come to another place: the next listing shows.
        bool isKnown = place == _place;
        _isOpen = _isOpen && !isKnown;
        if (isKnown && !Changed && Round != 0 && !FillsPages(_bytes))
        {
            return ListingEnd.Plain;
        }

        _place = 0;
        _bytes = 0;
        return ListingEnd.DropKept;
    }

    /// <summary>Bytes of the kept entries with one more.</summary>
    public static ulong After(ulong bytes, int nameLength)
    {
        ulong page = (ulong)Environment.SystemPageSize;
        ulong entry = ((ulong)(EntryHead + nameLength) + EntryAlignment - 1) & ~(EntryAlignment - 1);
        ulong used = bytes & (page - 1);
        return used + entry > page ? bytes - used + page + entry : bytes + entry;
    }

    /// <summary>True when kept entries of so many bytes end with a page.</summary>
    public static bool FillsPages(ulong bytes) => (bytes & ((ulong)Environment.SystemPageSize - 1)) == 0;
}
