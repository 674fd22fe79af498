using Antares.Aot.Layers;

namespace Antares.Aot.Tests.Unit;

/// <summary>How the end of a listing is told (<see cref="KeptListing"/>), by the overlay as a whole.</summary>
public sealed class OverlayListingEndTests : IDisposable
{
    // Entries of 32 bytes; with "." and ".." they fill pages.
    private static readonly int Full = (Environment.SystemPageSize / 32) - 2;

    private readonly DicfuseFolder _folder = new();

    [Theory]
    [InlineData(-1, ListingEnd.Plain)]
    [InlineData(0, ListingEnd.DropKept)]
    [InlineData(1, ListingEnd.Plain)]
    public void OfADirectoryThatOnlyTheLowerHasOnceALayerWasExchanged(int more, ListingEnd expected)
    {
        Fill("d", Full + more);
        using OverlayInProcess overlay = new(_folder);
        Assert.Equal(ListingEnd.Plain, EndOf(overlay, overlay.Lookup("d"), Full + more));
        OverlayInProcess.Check(overlay.Fs.Exchange.Exchange(1, [], () => true, []));
        Assert.Equal(expected, EndOf(overlay, overlay.Lookup("d"), Full + more));
    }

    [Theory]
    [InlineData(-1, ListingEnd.DropKept)]
    [InlineData(0, ListingEnd.Plain)]
    public void OfADirectoryThatCameToTheUpper(int more, ListingEnd expected)
    {
        Fill("d", Full + more);
        using OverlayInProcess overlay = new(_folder);
        ulong directory = overlay.Lookup("d");
        OverlayInProcess.Check(overlay.Mkdir(directory, "new"));
        Assert.Equal(expected, EndOf(overlay, directory, Full + more + 1));
    }

    [Fact]
    public void AfterAChangeBetweenBeginningAndEnd()
    {
        Fill("d", 5);
        using OverlayInProcess overlay = new(_folder);
        ulong directory = overlay.Lookup("d");
        OverlayInProcess.Check(overlay.Mkdir(directory, "one"));
        OverlayInProcess.Check(overlay.Begin(directory));
        OverlayInProcess.Check(overlay.Mkdir(directory, "two"));
        Assert.Equal(ListingEnd.DropKept, EndOf(overlay, directory, 7));
        Assert.Equal(ListingEnd.Plain, EndOf(overlay, directory, 7));
    }

    public void Dispose() => _folder.Dispose();

    private static ListingEnd EndOf(OverlayInProcess overlay, ulong directory, int names)
    {
        OverlayInProcess.Check(overlay.List(directory, plus: false, out var entries));
        Assert.Equal(names + 2, entries.Count);
        return overlay.LastEnd;
    }

    private void Fill(string directory, int names)
    {
        Directory.CreateDirectory(_folder.At(directory));
        for (int i = 0; i < names; i++)
            File.WriteAllBytes(_folder.At($"{directory}/n{i}"), []);
    }
}
