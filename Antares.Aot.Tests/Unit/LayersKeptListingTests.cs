using Antares.Aot.Layers;

namespace Antares.Aot.Tests.Unit;

/// <summary>What is known of the listing that the kernel keeps: rounds, and how an end is told.</summary>
public sealed class LayersKeptListingTests
{
    private KeptListing _kept;

    [Fact]
    public void ReadersWithoutAChangeShareARound()
    {
        Assert.Equal(ListingEnd.Plain, Read(5, "a", "b"));
        Assert.Equal(ListingEnd.Plain, Read(6, "a", "b"));
        Assert.Equal(5, _kept.Round);
    }

    [Fact]
    public void AChangeAfterAnEndBeginsARound()
    {
        _ = Read(5, "a", "b");
        _kept.Changed = true;
        Assert.Equal(ListingEnd.Plain, Read(6, "a", "b", "c"));
        Assert.Equal(6, _kept.Round);
        Assert.Equal(ListingEnd.KeepNothing, _kept.End(5, 2));
    }

    /// <summary>A reader stopped half-way: those after the change complete what it left, which is dropped; then a new round begins.</summary>
    [Fact]
    public void ARoundThatNobodyEndedGoesOnOnce()
    {
        _kept.Begin(5);
        _kept.Gave(5, 0, 1, 1);
        _kept.Changed = true;
        Assert.Equal(ListingEnd.DropKept, Read(6, "a", "b", "c"));
        Assert.Equal(5, _kept.Round);
        Assert.Equal(ListingEnd.Plain, Read(7, "a", "b", "c"));
        Assert.Equal(7, _kept.Round);
    }

    /// <summary>After small reads the kernel may be behind what is known, and come to another end: the next listing ends the round.</summary>
    [Fact]
    public void AnotherEndThanTheKnownOneLeavesTheRoundOpen()
    {
        _kept.Begin(5);
        _kept.Gave(5, 0, 1, 1);
        _kept.Gave(5, 1, 2, 1);
        _kept.Changed = true;
        Assert.Equal(ListingEnd.DropKept, _kept.End(5, 1));
        Assert.False(_kept.WantsRound);
        Assert.Equal(ListingEnd.DropKept, Read(6, "a"));
        Assert.Equal(5, _kept.Round);
        Assert.True(_kept.WantsRound);
    }

    /// <summary>Somebody who went to a place in the middle ends no round; what is kept is not known to be what was counted.</summary>
    [Fact]
    public void AReaderFromTheMiddleEndsNoRound()
    {
        _kept.Begin(5);
        _kept.Gave(5, 0, 1, 1);
        _kept.Gave(5, 7, 8, 1);
        Assert.Equal(ListingEnd.DropKept, _kept.End(5, 8));
        _kept.Changed = true;
        Assert.False(_kept.WantsRound);
    }

    /// <summary>The kernel drops what it kept without our knowing (a touch), and somebody stops half-way: those after the change complete that.</summary>
    [Fact]
    public void ARoundThatIsBegunAgainGoesOnToo()
    {
        _ = Read(5, "a", "b");
        _kept.Begin(6);
        _kept.Gave(5, 0, 1, 1);
        _kept.Changed = true;
        Assert.Equal(ListingEnd.DropKept, Read(7, "a", "b", "c"));
        Assert.Equal(5, _kept.Round);
        Assert.Equal(ListingEnd.Plain, Read(8, "a", "b", "c"));
        Assert.Equal(8, _kept.Round);
    }

    /// <summary>Two readers with a change between their beginnings and their ends: the second to end must not open the round that the first ended.</summary>
    [Fact]
    public void ARoundThatWasEndedStaysEnded()
    {
        _kept.Begin(5);
        _kept.Begin(6);
        _kept.Gave(5, 0, 1, 1);
        _kept.Changed = true;
        Assert.Equal(ListingEnd.DropKept, _kept.End(5, 1));
        Assert.Equal(ListingEnd.DropKept, _kept.End(5, 1));
        Assert.True(_kept.WantsRound);
    }

    /// <summary>A reader that began before the directory came to the upper: what it was given is not known.</summary>
    [Fact]
    public void AnEndWithoutABeginningIsNotTrusted() => Assert.Equal(ListingEnd.DropKept, _kept.End(0, 4));

    [Fact]
    public void EntriesThatFillPagesAreDropped()
    {
        int entries = Environment.SystemPageSize / 32;
        foreach (int count in new[] { entries - 1, entries, entries + 1, 2 * entries })
        {
            _kept = default;
            Assert.Equal(count % entries == 0 ? ListingEnd.DropKept : ListingEnd.Plain, Read(1, [.. Enumerable.Range(0, count).Select(i => $"n{i}")]));
        }
    }

    /// <summary>As the kernel does: an entry that does not fit leaves the rest of a page empty.</summary>
    [Fact]
    public void AnEntryThatDoesNotFitBeginsAPage()
    {
        ulong page = (ulong)Environment.SystemPageSize;
        Assert.Equal(32UL, KeptListing.After(0, 1));
        Assert.Equal(32UL, KeptListing.After(0, 8));
        Assert.Equal(40UL, KeptListing.After(0, 9));
        Assert.Equal(page, KeptListing.After(page - 32, 8));
        Assert.Equal(page + 40, KeptListing.After(page - 32, 9));
        Assert.Equal(page + 32, KeptListing.After(page, 2));
    }

    [Fact]
    public void ARoundAndAPlaceShareACookie()
    {
        ulong place = (2000UL << 52) | 0xF_FFFF_FFFF;
        Assert.Equal(place, ListingRound.PlaceOf(place | ListingRound.Bits(ListingRound.Last)));
        Assert.Equal(ListingRound.Last, ListingRound.Of(place | ListingRound.Bits(ListingRound.Last)));
        Assert.Equal(0u, ListingRound.Of(place));
    }

    private ListingEnd Read(ushort next, params string[] names)
    {
        _kept.Begin(next);
        ulong place = 0;
        foreach (string name in names)
            _kept.Gave(_kept.Round, place, ++place, name.Length);
        return _kept.End(_kept.Round, place);
    }
}
