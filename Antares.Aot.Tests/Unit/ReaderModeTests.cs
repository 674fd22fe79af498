using System.Diagnostics;
using Antares.Aot.Fuse;
using Antares.Interop;
using Log = Antares.Aot.Diagnostics.Log;

namespace Antares.Aot.Tests.Unit;

/// <summary>When one thread reads and when more do, and when the one looks for requests instead of sleeping.</summary>
public sealed unsafe class ReaderModeTests : IDisposable
{
    private const int Soon = 10;
    private const int Late = 500;
    private const int Short = 10;
    private const int Long = 200;

    private readonly OwnedFd _device;
    private readonly OwnedFd _other;

    public ReaderModeTests()
    {
        int* two = stackalloc int[2];
        Assert.Equal(Errno.None, Sockets.Socketpair(two));
        _device = new OwnedFd(two[0]);
        _other = new OwnedFd(two[1]);
    }

    private bool NonBlocking
    {
        get
        {
            Assert.Equal(Errno.None, Fd.Getfl(_device.Value, out int flags));
            return (flags & Fcntl.O_NONBLOCK) != 0;
        }
    }

    public void Dispose()
    {
        _device.Dispose();
        _other.Dispose();
    }

    [Fact]
    public void ItLooksWhileRequestsComeInTime()
    {
        ReaderMode mode = Mode();
        RequestContext context = default;
        Assert.False(mode.IsLooking);
        Note(mode, &context, 15, Soon, Short);
        Assert.False(mode.IsLooking || NonBlocking);
        Note(mode, &context, 20, Soon, Short);
        Assert.True(mode.IsLooking && NonBlocking);
        Assert.Equal(1, mode.Readers);

        // One of five may be late; with more of them looking costs more than it saves.
        for (int i = 0; i < 20; i++)
        {
            Note(mode, &context, 5, Soon, Short);
            Note(mode, &context, 1, Late, Short);
        }

        Assert.True(mode.IsLooking);
        for (int i = 0; i < 20; i++)
        {
            Note(mode, &context, 1, Soon, Short);
            Note(mode, &context, 1, Late, Short);
        }

        Assert.False(mode.IsLooking || NonBlocking);
        Assert.Equal(1, mode.Times);
    }

    [Fact]
    public void LongRequestsHaveMoreReaders()
    {
        ReaderMode mode = Mode(wanted: 3);
        RequestContext context = default;
        Note(mode, &context, 32, Soon, Short);
        Assert.True(mode.IsLooking);
        Assert.Equal(1, Note(mode, &context, 32, Soon, Long)); // the caller is told once
        Assert.Equal(3, mode.Readers);
        Assert.False(mode.IsLooking || NonBlocking);
        Assert.Equal(0, Note(mode, &context, 64, Soon, Long));
        Assert.False(mode.IsLooking);
        Assert.Equal(0, Note(mode, &context, 64, Soon, Short));
        Assert.Equal(1, mode.Readers);
        Assert.True(mode.IsLooking);
    }

    [Theory]
    [InlineData(2, 1)]
    [InlineData(8, 2)]
    public void RequestsThatPileUpHaveMoreReadersOnLargerMachines(int processors, int readers)
    {
        ReaderMode mode = Mode(processors: processors);
        RequestContext context = default;
        Assert.Equal(readers - 1, Note(mode, &context, 64, 0, Short));
        Assert.Equal(readers, mode.Readers);
        Note(mode, &context, 64, Soon, Short);
        Assert.Equal(1, mode.Readers);
    }

    [Fact]
    public void AThreadOfOneNeedsNoOther()
    {
        ReaderMode mode = Mode(wanted: 1, processors: 8);
        RequestContext context = default;
        Assert.Equal(0, Note(mode, &context, 320, 0, Long));
        Assert.Equal(1, mode.Readers);
    }

    [Theory]
    [InlineData(2, false)]
    [InlineData(1, true)]
    public void ItNeverLooksWhereThatIsNotWantedOrTakesTheOnlyProcessor(int processors, bool mayLook)
    {
        ReaderMode mode = Mode(processors: processors, mayLook: mayLook);
        RequestContext context = default;
        Note(mode, &context, 320, Soon, Short);
        Assert.False(mode.IsLooking || NonBlocking);
    }

    [Fact]
    public void AThreadThatIsNotToLookSleepsUntilThereIsARequest()
    {
        ReaderMode mode = Mode();
        RequestContext looking = default, other = default;
        Note(mode, &looking, 32, Soon, Short);
        Assert.True(NonBlocking);
        long before = Stopwatch.GetTimestamp();
        using var sent = new Timer(_ => Send(), null, 100, Timeout.Infinite);
        mode.Await(&other, before);
        Assert.InRange(Stopwatch.GetElapsedTime(before).TotalMilliseconds, 90, 5000);

        // Who looks comes back at once, to try again, and sleeps when its time is over.
        byte received;
        Assert.Equal(Errno.None, FileIo.Read(_device.Value, &received, 1, out _));
        before = Stopwatch.GetTimestamp();
        mode.Await(&looking, before);
        Assert.Equal(Errno.EAGAIN, FileIo.Read(_device.Value, &received, 1, out _));
        using var again = new Timer(_ => Send(), null, 100, Timeout.Infinite);
        mode.Await(&looking, before - Stopwatch.Frequency);
        Assert.Equal(Errno.None, FileIo.Read(_device.Value, &received, 1, out _));
    }

    private static int Note(ReaderMode mode, RequestContext* context, int requests, int waitedUs, int servedUs)
    {
        int told = 0;
        for (int i = 0; i < requests; i++)
        {
            told += mode.Note(context, Ticks(waitedUs), Ticks(servedUs)) ? 1 : 0;
        }

        return told;
    }

    private static long Ticks(int microseconds) => microseconds * Stopwatch.Frequency / 1_000_000;

    private ReaderMode Mode(int wanted = 2, int processors = 2, bool mayLook = true) => new(_device.Value, wanted, processors, mayLook, Log.Off);

    private void Send()
    {
        byte one = 1;
        Assert.Equal(Errno.None, FileIo.Write(_other.Value, &one, 1, out _));
    }
}
