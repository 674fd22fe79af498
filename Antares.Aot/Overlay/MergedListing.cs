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
/// them, whether copied up since or not; then those that only the upper has, in the order of their creation. So a name that stays is
/// seen exactly once, whatever is created, removed or copied up while a reader goes through the directory.
/// </summary>
/// <remarks>
/// A reader that comes to the upper's own names takes note, in its cookies, of the last one there: it is not shown what is created after
/// that. Otherwise one who renames or makes anew what it sees would meet its own names again and again, and never come to an end.
/// <code>
/// bit 62 clear: bits 61..52 section: 0 "." and "..", 1..n the n-th lower part; bits 51..0 the layer's own cookie
/// bit 62 set, the upper: bits 59..30 the last cookie to show, bits 29..0 the upper's own cookie;
///   bit 61 set too, in a directory that has seen a thousand million names: bits 60..0 the upper's own cookie, and no end
/// </code>
/// </remarks>
public sealed unsafe class MergedListing
{
    private const int SectionShift = 52;
    private const ulong PlaceMask = (1UL << SectionShift) - 1;
    private const ulong UpperBit = 1UL << 62;
    private const ulong EndlessBit = 1UL << 61;
    private const int LastShift = 30;
    private const ulong MostNumbered = (1UL << LastShift) - 1;

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
        if ((cookie & UpperBit) != 0)
        {
            return NextInUpper(in directory, lowers, cookie, out name);
        }

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

        return NextInUpper(in directory, lowers, UpperBit, out name);
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

    private Errno NextInUpper(ref readonly Target directory, ReadOnlySpan<LowerRef> lowers, ulong cookie, out MergedName name)
    {
        name = default;
        if (!directory.HasUpper)
        {
            return Errno.ENOENT;
        }

        bool endless = (cookie & EndlessBit) != 0;
        ulong place = cookie & (endless ? EndlessBit - 1 : MostNumbered);
        ulong last = endless ? ulong.MaxValue : (cookie >> LastShift) & MostNumbered;
        while (true)
        {
            Errno error = _tree.Upper.Next(directory.Upper, place, out LayerEntry entry);
            if (error != Errno.None)
            {
                return error;
            }

            if (last == 0)
            {
                // The first name of the upper's own: what is there now is what this reader sees.
                last = _tree.Upper.Table.Listing(directory.Upper)->LastCookie;
                last = last <= MostNumbered ? last : ulong.MaxValue;
            }

            if (entry.Cookie > last)
            {
                return Errno.ENOENT;
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

            name.Cookie = UpperBit | (last == ulong.MaxValue ? EndlessBit | entry.Cookie : (last << LastShift) | entry.Cookie);
            name.Name = entry.Name;
            name.Upper = entry.Node;
            name.Type = entry.Type;
            return Errno.None;
        }
    }
}
