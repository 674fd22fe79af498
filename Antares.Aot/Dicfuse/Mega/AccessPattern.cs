namespace Antares.Aot.Dicfuse.Mega;

/// <summary>
/// What the order of questions tells of those who ask: a listing with sizes (ls -l, du), which reads nothing; a walk that reads file after file
/// (cp -r, grep -r); or a build, which goes to and fro and reads what it looks at.
/// </summary>
/// <remarks>
/// Guesses: nothing depends on them but what is fetched and when. Several who ask at once break each other's rows. All members may be called from several
/// threads; what they lose to each other does not matter.
/// </remarks>
internal sealed class AccessPattern
{
    /// <summary>Bytes that came with sizes and that nobody has read since: beyond that only lengths are asked for.</summary>
    public const long MostUnreadBytes = 8 << 20;

    /// <summary>Sizes of so many names of a directory one after another, and none of them read, are a listing.</summary>
    private const int ListingSizes = 8;

    /// <summary>Reads of so many files of a directory one after another are a walk.</summary>
    private const int WalkReads = 4;

    /// <summary>A name or two between them may be directories or links.</summary>
    private const uint NextWithin = 3;

    private uint _sized;
    private int _sizes;
    private long _unread;
    private uint _read;
    private int _reads;

    /// <summary>Sizes are asked for along a directory, and nothing is read.</summary>
    public bool IsListing => Volatile.Read(ref _sizes) > ListingSizes;

    /// <summary>Who asks for a size now is not likely to read.</summary>
    public bool WantsLengthsOnly => IsListing || Volatile.Read(ref _unread) > MostUnreadBytes;

    /// <summary>The size of a node is asked for. Names of a directory have successive nodes.</summary>
    /// <param name="node">The node.</param>
    /// <param name="isReadable">
    /// False: a link, or a file without content. Nobody reads it, however many others he reads (the kernel asks for no content of a file of size 0), so that
    /// it is no sign of a listing; it does not break one either.
    /// </param>
    public void NoteSize(uint node, bool isReadable)
    {
        uint before = Volatile.Read(ref _sized);
        bool follows = node > before && node - before <= NextWithin;
        if (node == before || (!isReadable && !follows))
        {
            return;
        }

        if (isReadable)
        {
            Volatile.Write(ref _sizes, follows ? Volatile.Read(ref _sizes) + 1 : 1);
        }

        Volatile.Write(ref _sized, node);
    }

    /// <summary>Content has come that nobody has asked for yet.</summary>
    public void NoteTakenAlong(long bytes) => _ = Interlocked.Add(ref _unread, bytes); // looked at elsewhere

    /// <summary>A file is being read from its start. (Targets of links tell nothing: a listing shows them.)</summary>
    /// <returns>True: it is another one of a walk, and those after it are likely to be read next.</returns>
    public bool NoteRead(uint node)
    {
        if (Volatile.Read(ref _sizes) != 0)
        {
            Volatile.Write(ref _sizes, 0);
        }

        if (Volatile.Read(ref _unread) != 0)
        {
            Volatile.Write(ref _unread, 0);
        }

        uint before = Volatile.Read(ref _read);
        if (node == before)
        {
            return false;
        }

        bool follows = node > before && node - before <= NextWithin;
        int reads = follows ? Volatile.Read(ref _reads) + 1 : 1;
        Volatile.Write(ref _reads, reads);
        Volatile.Write(ref _read, node);
        return reads >= WalkReads;
    }
}
