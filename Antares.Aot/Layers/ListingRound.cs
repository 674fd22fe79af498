namespace Antares.Aot.Layers;

/// <summary>The round of a reader (<see cref="KeptListing"/>) in the cookies that it is given.</summary>
/// <remarks>
/// <code>
/// cookie bits 51..36: the round, 0 for a directory that is in no upper; a reader keeps the round that it began with
/// </code>
/// All directories of an upper draw their rounds from one count, so that a listing that was forgotten and loaded again goes on with others. Two readers
/// of one directory have the same round by chance once in 65,535 times where they should not.
/// </remarks>
public static class ListingRound
{
    /// <summary>The greatest round.</summary>
    public const uint Last = ushort.MaxValue;

    private const ulong Mask = (ulong)Last << ListingOrder.CookieBits;

    /// <summary>The bits of a round in a cookie.</summary>
    public static ulong Bits(uint round) => (ulong)round << ListingOrder.CookieBits;

    /// <summary>The round of a cookie.</summary>
    public static uint Of(ulong cookie) => (uint)(cookie >> ListingOrder.CookieBits) & Last;

    /// <summary>A cookie without its round: a place.</summary>
    public static ulong PlaceOf(ulong cookie) => cookie & ~Mask;
}
