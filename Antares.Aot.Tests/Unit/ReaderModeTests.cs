using System.Diagnostics;
using Antares.Aot.Base;
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

    /// <summary>Who was fetched and what held up nobody decide nothing.</summary>
    [Fact]
    public void WhatTellsNothingIsNotCounted()
    {
        ReaderMode mode = Mode();
        RequestContext context = default;
        for (int i = 0; i < 100; i++)
        {
            Assert.False(mode.Note(&context, Ticks(Late), -1, 80));
            Assert.False(mode.Note(&context, -1, Ticks(Short), 80));
        }

        Assert.Equal(0, context.Credit);
        Note(mode, &context, 16, Soon, Short);
        Assert.True(mode.IsLooking);
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
    [InlineData(2, false, true)]
    [InlineData(1, true, true)]
    [InlineData(2, true, false)]
    public void ItNeverLooksWhereThatIsNotWantedOrTakesTheOnlyProcessor(int processors, bool mayLook, bool quota)
    {
        ReaderMode mode = Mode(processors: processors, mayLook: mayLook, quota: quota);
        RequestContext context = default;
        Note(mode, &context, 320, Soon, Short);
        Assert.False(mode.IsLooking || NonBlocking);
    }

    /// <summary>Bytes take time to copy: what was there before the thread came back is told from what came later all the same.</summary>
    [Fact]
    public void LargeRequestsPileUpToo()
    {
        ReaderMode mode = Mode(processors: 8);
        RequestContext context = default;
        for (int i = 0; i < ReaderMode.RequestsOfALook; i++)
        {
            _ = mode.Note(&context, Ticks(34), Ticks(Short), 256 << 10);
        }

        Assert.Equal(2, mode.Readers);
    }

    [Theory]
    [InlineData("", true), InlineData("max 100000", true), InlineData("200000 100000", true), InlineData("150000 100000", false), InlineData("50000 100000", false), InlineData("x", true)]
    public void AQuotaIsRead(string text, bool allows) => Assert.Equal(allows, ProcessorQuota.Allows(text, 2));

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
        mode.Await(&looking, Stopwatch.GetTimestamp() + Stopwatch.Frequency);
        Assert.Equal(Errno.EAGAIN, FileIo.Read(_device.Value, &received, 1, out _));
        using var again = new Timer(_ => Send(), null, 100, Timeout.Infinite);
        mode.Await(&looking, Stopwatch.GetTimestamp() - Stopwatch.Frequency);
        Assert.Equal(Errno.None, FileIo.Read(_device.Value, &received, 1, out _));
    }

    private static int Note(ReaderMode mode, RequestContext* context, int requests, int waitedUs, int servedUs)
    {
        int told = 0;
        for (int i = 0; i < requests; i++)
        {
            told += mode.Note(context, Ticks(waitedUs), Ticks(servedUs), 80) ? 1 : 0;
        }

        return told;
    }

    private static long Ticks(int microseconds) => microseconds * Stopwatch.Frequency / 1_000_000;

    private ReaderMode Mode(int wanted = 2, int processors = 2, bool mayLook = true, bool quota = true) =>
        new(_device.Value, wanted, processors, mayLook, () => quota, Log.Off);

    private void Send()
    {
        byte one = 1;
        Assert.Equal(Errno.None, FileIo.Write(_other.Value, &one, 1, out _));
    }
}
