using Antares.Aot.Base;
using Antares.Aot.Layers;

namespace Antares.Aot.Tests.Unit;

public sealed unsafe class LayersListingOrderTests
{
    private const ulong Last = (1UL << ListingOrder.CookieBits) - 1;

    /// <summary>The listing is the sorted set of its cookies, whatever was added and removed, and goes on after a cookie that is gone.</summary>
    [Theory]
    [InlineData(1, Last)]
    [InlineData(2, 5000UL)]
    [InlineData(3, 0UL)]
    [InlineData(4, 1UL)]
    public void ItIsTheSortedSetOfItsCookies(int seed, ulong span)
    {
        Random random = new(seed);
        using NativeTable<Dentry> names = new();
        ListingOrder order = default;
        SortedDictionary<ulong, uint> expected = [];
        for (int step = 0; step < 8_000; step++)
        {
            // It grows, shrinks to nothing and grows again.
            bool grows = step / 2000 % 2 == 0;
            if (random.Next(10) < (grows ? 7 : 3))
            {
                uint dentry = names.Allocate();

                // A narrow span makes names that want the same place, at the front, or at the very end: 0 the last few cookies, 1 thousands of them.
                names[dentry]->Cookie = span <= 1 ? Last - (ulong)random.Next(span == 0 ? 3 : 3000) : 1 + (ulong)random.NextInt64((long)span - 1);
                order.Add(names, dentry);
                Assert.InRange(names[dentry]->Cookie, 1UL, Last);
                Assert.True(expected.TryAdd(names[dentry]->Cookie, dentry), "two names with one cookie");
            }
            else if (expected.Count > 0)
            {
                KeyValuePair<ulong, uint> removed = expected.ElementAt(random.Next(expected.Count));
                expected.Remove(removed.Key);
                order.Remove(names, removed.Value);
                names.Free(removed.Value);
                ulong after = expected.Keys.FirstOrDefault(cookie => cookie > removed.Key);
                Assert.Equal(after == 0 ? 0 : expected[after], order.After(names, removed.Key));
            }

            Assert.Equal((uint)expected.Count, order.Count);
            if (step % 500 == 0 || expected.Count < 3)
            {
                List<uint> listed = [];
                for (uint at = order.After(names, 0); at != 0; at = order.After(names, names[at]->Cookie))
                {
                    listed.Add(at);
                }

                Assert.Equal(expected.Values, listed);
            }
        }

        Assert.Equal(0u, order.After(names, Last));
        Assert.Equal(0u, order.After(names, 2000UL << ListingOrder.CookieBits));
        order.Free();
    }

    /// <summary>Names that all want the last place take room for their number, no more.</summary>
    [Fact]
    public void NamesThatAllWantTheLastPlace()
    {
        using NativeTable<Dentry> names = new();
        ListingOrder order = default;
        for (ulong i = 0; i < 5000; i++)
        {
            uint dentry = names.Allocate();
            names[dentry]->Cookie = Last - i;
            order.Add(names, dentry);
        }

        Assert.Equal(5000u, order.Count);
        ulong seen = 0;
        for (uint at = order.After(names, 0); at != 0; at = order.After(names, names[at]->Cookie))
        {
            Assert.Equal(Last - 4999 + seen++, names[at]->Cookie);
        }

        Assert.Equal(5000UL, seen);
        order.Free();
    }

    [Fact]
    public void ACookieIsNeverNothing()
    {
        Assert.Equal(1UL, ListingOrder.CookieOf(0));
        Assert.Equal(Last, ListingOrder.CookieOf(ulong.MaxValue));
    }
}
