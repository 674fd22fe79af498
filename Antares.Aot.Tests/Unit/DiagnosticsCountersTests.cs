using System.Diagnostics;
using Antares.Aot.Diagnostics;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Tests.Unit;

public class DiagnosticsCountersTests
{
    private const int Getattr = (int)fuse_opcode.FUSE_GETATTR;

    [Theory]
    [InlineData(0, 0)]
    [InlineData(0.9, 0)]
    [InlineData(1, 1)]
    [InlineData(1.9, 1)]
    [InlineData(2, 2)]
    [InlineData(3.9, 2)]
    [InlineData(4, 3)]
    [InlineData(1023, 10)]
    [InlineData(1024, 11)]
    [InlineData(4_200_000, OpCounters.Buckets - 1)]
    [InlineData(1e12, OpCounters.Buckets - 1)]
    public void BucketsArePowersOfTwo(double microseconds, int bucket) =>
        Assert.Equal(bucket, OpCounters.BucketOf(Ticks(microseconds)));

    [Fact]
    public void CountsByOperationAndErrno()
    {
        var counters = new OpCounters();
        counters.Record(Getattr, Errno.None, Ticks(3));
        counters.Record(Getattr, Errno.ENOENT, Ticks(3));
        counters.Record(Getattr, Errno.ENOENT, Ticks(3));
        counters.Record((uint)fuse_opcode.FUSE_LOOKUP, Errno.EIO, Ticks(3));
        Assert.Equal(3, counters.Count(Getattr));
        Assert.Equal(2, counters.ErrorCount(Getattr, (int)Errno.ENOENT));
        Assert.Equal(0, counters.ErrorCount(Getattr, (int)Errno.EIO));
        Assert.Equal(1, counters.ErrorCount((int)fuse_opcode.FUSE_LOOKUP, (int)Errno.EIO));
    }

    [Fact]
    public void UnknownNumbersShareASlot()
    {
        var counters = new OpCounters();
        counters.Record(7, Errno.None, 1);
        counters.Record(4096, Errno.None, 1);
        counters.Record(uint.MaxValue, (Errno)5000, 1);
        Assert.Equal(3, counters.Count(OpNames.Other));
        Assert.Equal(1, counters.ErrorCount(OpNames.Other, OpCounters.MaxErrno));
    }

    [Fact]
    public void PercentilesAreUpperEndsWithinTheLongest()
    {
        var counters = new OpCounters();
        for (int i = 0; i < 99; i++)
        {
            counters.Record(Getattr, Errno.None, Ticks(5));
        }

        counters.Record(Getattr, Errno.None, Ticks(300));
        Assert.Equal(8, counters.Percentile(Getattr, 0.5));
        Assert.Equal(8, counters.Percentile(Getattr, 0.99));
        Assert.Equal(300, counters.Percentile(Getattr, 1));
        Assert.Equal(300, counters.MaxMicroseconds(Getattr));
        Assert.Equal(0, counters.Percentile((int)fuse_opcode.FUSE_READ, 0.5));
    }

    [Fact]
    public void NothingIsLostBetweenThreads()
    {
        var counters = new OpCounters();
        const int Times = 100_000;
        var threads = new Thread[4];
        for (int i = 0; i < threads.Length; i++)
        {
            int mine = i;
            threads[i] = new Thread(() =>
            {
                for (int j = 0; j < Times; j++)
                {
                    counters.Record(Getattr, (j & 1) == 0 ? Errno.None : Errno.ENOENT, Ticks(1 << mine));
                }
            });
            threads[i].Start();
        }

        foreach (Thread thread in threads)
        {
            thread.Join();
        }

        Assert.Equal(threads.Length * Times, counters.Count(Getattr));
        Assert.Equal(threads.Length * Times / 2, counters.ErrorCount(Getattr, (int)Errno.ENOENT));
        Assert.Equal(8, counters.MaxMicroseconds(Getattr));
    }

    [Fact]
    public void EachOperationOfTheProtocolHasItsName()
    {
        foreach (fuse_opcode opcode in Enum.GetValues<fuse_opcode>())
        {
            if (opcode != fuse_opcode.None)
            {
                Assert.Equal(opcode.ToString()["FUSE_".Length..].ToLowerInvariant(), OpNames.NameOf(OpNames.SlotOf((uint)opcode)));
            }
        }
    }

    // Rounded up, so that the whole microsecond is reached.
    private static long Ticks(double microseconds) => (long)Math.Ceiling(microseconds * Stopwatch.Frequency / 1_000_000);
}
