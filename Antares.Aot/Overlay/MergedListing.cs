using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay;

/// <summary>One name of a merged directory.</summary>
public struct MergedName
{
    /// <summary>Place in the listing; a listing goes on after it.</summary>
    public ulong Cookie;

    /// <summary>Name; valid while the gate is held (for a lower name: as long as the layer).</summary>
    public ByteName Name;

    /// <summary>Node of the upper that the name leads to, 0 for a name that only a lower layer has.</summary>
    public uint Upper;

    /// <summary>Lower node, for a name without an upper one.</summary>
    public LowerRef Lower;
    public FileType Type;
    public ulong StIno;
}

/// <summary>
/// The names of a merged directory in a stable order: those that a lower layer has come at their place in the topmost layer that has
/// them, whether copied up since or not; then those that only the upper has, each at the place that its name gives it
/// (<see cref="ListingOrder"/>). So a name that stays is seen exactly once, whatever is created, removed or copied up while a reader
/// goes through the directory, and a reader that renames what it lists comes to its end.
/// </summary>
/// <remarks>
/// <code>
/// cookie bits 62..52: section: 0 "." and "..", 1..n the n-th lower part, 2000 the upper; bits 51..36: the reader's round, not to be seen
/// here (ListingRound); bits 35..0: the layer's own cookie
/// </code>
/// </remarks>
public sealed unsafe class MergedListing
{
    private const int SectionShift = 52;
    private const ulong PlaceMask = (1UL << SectionShift) - 1;
    private const ulong UpperSection = 2000;

    private readonly MergedTree _tree;

    public MergedListing(MergedTree tree) => _tree = tree;

    /// <summary>The next visible name after a cookie ("." and ".." excluded).</summary>
    /// <param name="directory">A directory.</param>
    /// <param name="cookie">Cookie of the name before; 0 from the start.</param>
    /// <param name="name">The name.</param>
    /// <returns>None; ENOENT: no further name; ERESTART (<see cref="LowerLayers"/>); EIO and others: a layer could not be read.</returns>
    public Errno Next(ref readonly Target directory, ulong cookie, out MergedName name)
    {
        ReadOnlySpan<LowerRef> lowers = _tree.LowersOf(in directory);
        ulong section = cookie >> SectionShift;
        ulong place = cookie & PlaceMask;
        if (section == 0)
        {
            section = 1;
            place = 0;
        }

        for (; section <= (ulong)lowers.Length; section++, place = 0)
        {
            Errno error = NextInLower(in directory, lowers, (int)section - 1, place, out name);
            if (error != Errno.ENOENT)
            {
                return error;
            }
        }

        if (section != UpperSection)
        {
            place = 0;
        }

        if (directory.HasUpper)
        {
            return NextInUpper(in directory, lowers, place, out name);
        }

        name = default;
        return Errno.ENOENT;
    }

    private Errno NextInLower(ref readonly Target directory, ReadOnlySpan<LowerRef> lowers, int part, ulong place, out MergedName name)
    {
        LowerRef lower = lowers[part];
        name = default;
        while (true)
        {
            Errno error = _tree.Lowers.Next(lower, place, out LayerEntry entry);
            if (error != Errno.None)
            {
                return error;
            }

            place = entry.Cookie;
            bool above = false;
            for (int i = 0; i < part && !above; i++)
            {
                error = _tree.Lowers.Find(lowers[i], entry.Name, out _, out _);
                if (error != Errno.None && error != Errno.ENOENT)
                {
                    return error;
                }

                above = error == Errno.None;
            }

            if (above)
            {
                continue;
            }

            name.Cookie = ((ulong)(part + 1) << SectionShift) | entry.Cookie;
            name.Name = entry.Name;
            if (directory.HasUpper)
            {
                error = _tree.Upper.Find(directory.Upper, entry.Name, out uint node);
                if (error == Errno.None)
                {
                    if (node == DirectoryTable.WhiteoutNode)
                    {
                        continue;
                    }

                    name.Upper = node;
                    name.Type = _tree.Upper.TypeOf(node);
                    return Errno.None;
                }

                if (error != Errno.ENOENT)
                {
                    return error;
                }
            }

            if (entry.Type == FileType.Whiteout)
            {
                continue;
            }

            name.Lower = new LowerRef(lower.Slot, entry.Node);
            name.Type = entry.Type;
            name.StIno = entry.StIno;
            return Errno.None;
        }
    }

    private Errno NextInUpper(ref readonly Target directory, ReadOnlySpan<LowerRef> lowers, ulong place, out MergedName name)
    {
        name = default;
        while (true)
        {
            Errno error = _tree.Upper.Next(directory.Upper, place, out LayerEntry entry);
            if (error != Errno.None)
            {
                return error;
            }

            place = entry.Cookie;
            bool listedBelow = entry.Type == FileType.Whiteout;
            for (int i = 0; i < lowers.Length && !listedBelow; i++)
            {
                error = _tree.Lowers.Find(lowers[i], entry.Name, out _, out _);
                if (error != Errno.None && error != Errno.ENOENT)
                {
                    return error;
                }

                listedBelow = error == Errno.None;
            }

            if (listedBelow)
            {
                continue;
            }

            name.Cookie = (UpperSection << SectionShift) | entry.Cookie;
            name.Name = entry.Name;
            name.Upper = entry.Node;
            name.Type = entry.Type;
            return Errno.None;
        }
    }
}
