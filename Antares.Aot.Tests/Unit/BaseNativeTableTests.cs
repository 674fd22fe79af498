using Antares.Aot.Base;

namespace Antares.Aot.Tests.Unit;

/// <summary>Records that never move, slots that are used again, and pages that go back.</summary>
public sealed unsafe class BaseNativeTableTests
{
    private const int Many = 100_000, ChunkRecords = 1024;

    private struct Record
    {
        public ulong Value;
        public fixed byte Rest[56];
    }

    [Fact]
    public void IndicesAreDistinctAndRecordsKeepTheirPlace()
    {
        using var table = new NativeTable<Record>();
        Assert.False(table.Contains(0));
        Assert.False(table.Contains(1));
        var places = new Dictionary<uint, nint>();
        var random = new Random(5);
        for (int round = 0; round < 3 * Many; round++)
        {
            if (places.Count > 0 && random.Next(5) < 2)
            {
                uint victim = places.Keys.First();
                Assert.Equal((nint)table[victim], places[victim]);
                Assert.Equal(victim, table[victim]->Value);
                _ = places.Remove(victim);
                *table[victim] = default;
                table.Free(victim);
            }
            else
            {
                uint index = table.Allocate();
                Assert.True(index != 0 && table.Contains(index) && index <= table.HighWater);
                Assert.Equal(0ul, table[index]->Value);
                table[index]->Value = index;
                places.Add(index, (nint)table[index]); // throws when the index is in use
            }
            Assert.Equal(places.Count, table.Count);
        }
        Assert.All(places, p => Assert.Equal(p.Key, table[p.Key]->Value));
    }

    [Fact]
    public void SlotsAreUsedAgainBeforeNewOnes()
    {
        using var table = new NativeTable<Record>();
        uint[] all = [.. Enumerable.Range(0, Many).Select(_ => table.Allocate())];
        uint high = table.HighWater;
        foreach (uint index in all)
            table.Free(index);
        Assert.Equal(0, table.Count);
        uint[] again = [.. Enumerable.Range(0, Many).Select(_ => table.Allocate())];
        Assert.Equal(high, table.HighWater);
        Assert.Equal(Many, again.Distinct().Count());
    }

    [Fact]
    public void PagesOfFreeRecordsGoBackAndReadAsZero()
    {
        using var table = new NativeTable<Record>();
        uint[] all = [.. Enumerable.Range(0, Many).Select(_ => table.Allocate())];
        foreach (uint index in all)
            table[index]->Value = ulong.MaxValue;
        Assert.Equal(0, table.ChunksReleased);
        foreach (uint index in all.Skip(1))
            table.Free(index);
        int chunks = (Many / ChunkRecords) + 1;
        Assert.InRange(table.ChunksReleased, chunks - NativeTable<Record>.IdleChunksKept - 2, chunks);
        Assert.Equal(ulong.MaxValue, table[all[0]]->Value);
        Assert.Equal(0ul, table[all[Many / 2]]->Value);
        foreach (uint index in Enumerable.Range(0, Many).Select(_ => table.Allocate()))
            table[index]->Value = index;
        Assert.Equal(0, table.ChunksReleased);
    }

    /// <summary>One record that comes and goes makes no chunk come and go.</summary>
    [Fact]
    public void ASingleRecordReleasesNothing()
    {
        using var table = new NativeTable<Record>();
        uint[] all = [.. Enumerable.Range(0, Many).Select(_ => table.Allocate())];
        foreach (uint index in all)
            table.Free(index);
        uint held = table.Allocate();
        int released = table.ChunksReleased;
        for (int i = 0; i < 10_000; i++)
        {
            uint index = table.Allocate();
            table.Free(index);
            Assert.Equal(released, table.ChunksReleased);
        }
        table.Free(held);
    }
}
