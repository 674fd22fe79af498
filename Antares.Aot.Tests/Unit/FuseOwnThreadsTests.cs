using Antares.Aot.Fuse;

namespace Antares.Aot.Tests.Unit;

public class FuseOwnThreadsTests
{
    [Fact]
    public void KnowsWhoEntered()
    {
        var threads = new OwnThreads();
        Assert.False(threads.Contains(0));
        threads.Add(4711);
        Assert.True(threads.Contains(4711));
        Assert.False(threads.Contains(4712));
        threads.Remove(4711);
        Assert.False(threads.Contains(4711));
    }

    [Fact]
    public void IdsThatShareAPlaceDoNotHideEachOther()
    {
        var threads = new OwnThreads();
        int[] ids = [5, 5 + 256, 5 + 512, 6, 261];
        foreach (int id in ids.Distinct())
        {
            threads.Add(id);
        }

        threads.Remove(5 + 256);
        Assert.True(threads.Contains(5));
        Assert.True(threads.Contains(5 + 512));
        Assert.True(threads.Contains(6));
        threads.Remove(5);
        Assert.True(threads.Contains(5 + 512));
    }

    [Fact]
    public void AFullTableStillEndsItsSearch()
    {
        var threads = new OwnThreads();
        for (int id = 1; id <= 1000; id++)
        {
            threads.Add(id);
        }

        Assert.True(threads.Contains(1));
        Assert.False(threads.Contains(100_000));
        for (int id = 1; id <= 1000; id++)
        {
            threads.Remove(id);
        }

        Assert.False(threads.Contains(1));
        threads.Add(12);
        Assert.True(threads.Contains(12));
    }
}
