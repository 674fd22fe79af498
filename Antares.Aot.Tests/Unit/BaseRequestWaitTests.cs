using System.Diagnostics;
using Antares.Aot.Base;
using Antares.Aot.Tests.Support;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Tests.Unit;

/// <summary>What the thread of a request knows about its waiting. Each test has a thread of its own, as all of it belongs to the thread.</summary>
public sealed unsafe class BaseRequestWaitTests
{
    private const int Capacity = 4096;

    [Fact]
    public void AThreadThatServesNoRequestsNeedsNoPlaceAndHasAllTheTime() => OwnThread.Run(() =>
    {
        var places = new RequestPlaces(1);
        Assert.True(places.TryTake());
        Assert.Equal(Errno.None, RequestWait.Enter(places));
        Assert.Equal(500, RequestWait.LeftOf(500));
        _ = RequestWait.Announce();
        Assert.False(TryNext(out _));
        Assert.Null(GiveBack(places)); // Enter took none: this one was ours
        Assert.True(places.TryTake());
        Assert.False(places.TryTake());
    });

    [Fact]
    public void WhoIsAboutToWaitIsHeardUntilItNoLongerServes() => OwnThread.Run(() =>
    {
        int heard = 0;
        RequestWait.Attach(() => ++heard > 0);
        _ = RequestWait.Announce();
        _ = RequestWait.Announce();
        Assert.Equal(2, heard);
        RequestWait.Attach(null);
        _ = RequestWait.Announce();
        Assert.Equal(2, heard);
    });

    [Fact]
    public void ATurnHasANumberThatNoOtherHasOnAnyThread()
    {
        var turns = new HashSet<ulong>();
        for (int thread = 0; thread < 3; thread++)
        {
            Serving(() =>
            {
                for (int turn = 0; turn < 3; turn++)
                {
                    RequestWait.Start(Stopwatch.GetTimestamp());
                    Assert.True(turns.Add(RequestWait.Turn));
                    Assert.Contains(RequestWait.Turn, turns); // and keeps it
                }
            });
        }

        Assert.DoesNotContain(0UL, turns);
        OwnThread.Run(() =>
        {
            RequestWait.Start(Stopwatch.GetTimestamp());
            Assert.Equal(0UL, RequestWait.Turn);
        });
    }

    [Fact]
    public void ARequestTakesOnePlaceAtEachSourceAndGivesAllBackAtItsEnd() => Serving(() =>
    {
        var first = new RequestPlaces(2);
        var second = new RequestPlaces(1);
        for (int again = 0; again < 3; again++)
        {
            Assert.Equal(Errno.None, RequestWait.Enter(first));
            Assert.Equal(Errno.None, RequestWait.Enter(second));
            Assert.Equal(Errno.None, RequestWait.Enter(null));
        }

        Assert.False(second.TryTake());
        Assert.True(first.TryTake());
        Assert.False(first.TryTake(), "asking again took another place");
        Assert.False(TryNext(out _));
        Assert.True(second.TryTake());
        Assert.True(first.TryTake());
        Assert.False(first.TryTake());
        Assert.False(TryNext(out _)); // nothing is given back twice
        Assert.False(first.TryTake());
    });

    [Fact]
    public void OneThatFindsNoPlaceIsToWaitAndGetsItsTurn() => Serving(() =>
    {
        var places = new RequestPlaces(1);
        Assert.True(places.TryTake());
        Assert.False(RequestWait.IsToWait(RequestWait.NoPlace), "nothing was refused yet");
        Assert.Equal(RequestWait.NoPlace, RequestWait.Enter(places));
        Assert.True(RequestWait.IsToWait(RequestWait.NoPlace));
        Assert.False(RequestWait.IsToWait(Errno.EIO));
        byte[] request = FuseRequests.Make(fuse_opcode.FUSE_LOOKUP, "name\0"u8, unique: 0xBEE5_0001);
        Assert.Equal(RequestPlaces.Putting.Aside, PutAside(request));
        Assert.False(TryNext(out _)); // this one took no place

        // Whoever had the place goes on with it.
        Assert.Equal(request, GiveBack(places));
    });

    [Fact]
    public void WhatWasRefusedIsForgottenWhenTheNextRequestStarts() => Serving(() =>
    {
        var places = new RequestPlaces(1);
        Assert.True(places.TryTake());
        Assert.Equal(RequestWait.NoPlace, RequestWait.Enter(places));
        RequestWait.Start(Stopwatch.GetTimestamp());
        Assert.False(RequestWait.IsToWait(RequestWait.NoPlace), "an errno of this value that a source gave would make it wait");
        Assert.Equal(RequestPlaces.Putting.Full, PutAside([1, 2, 3]));
    });

    [Fact]
    public void TheEndOfARequestGoesOnWithWhatWaitsAtAnyOfItsSources() => Serving(() =>
    {
        var first = new RequestPlaces(1);
        var second = new RequestPlaces(1);
        Assert.Equal(Errno.None, RequestWait.Enter(first));
        Assert.Equal(Errno.None, RequestWait.Enter(second));
        byte[] atFirst = Aside(first, 0xBEE5_0011), atSecond = Aside(second, 0xBEE5_0012);
        Assert.True(TryNext(out byte[] next));
        Assert.Equal(atSecond, next);
        Assert.False(second.TryTake(), "the request that goes on has the place");
        Assert.Equal(Errno.None, RequestWait.Enter(second));
        Assert.True(TryNext(out next));
        Assert.Equal(atFirst, next);
        Assert.False(TryNext(out _));
        Assert.True(first.TryTake());
        Assert.True(second.TryTake());
    });

    [Fact]
    public void WithTheMountGoneWhatWaitsIsDropped() => Serving(() =>
    {
        var places = new RequestPlaces(1);
        Assert.Equal(Errno.None, RequestWait.Enter(places));
        _ = Aside(places, 0xBEE5_0021);
        _ = Aside(places, 0xBEE5_0022);
        Assert.False(TryNext(out _, ended: true));
        Assert.Equal(0, places.Waiting);
        Assert.True(places.TryTake());
    });

    [Fact]
    public void MoreSourcesThanARequestCanMeetAreRefusedAndGivenBack() => Serving(() =>
    {
        RequestPlaces[] all = [.. Enumerable.Range(0, 17).Select(_ => new RequestPlaces(1))];
        Assert.All(all[..16], places => Assert.Equal(Errno.None, RequestWait.Enter(places)));
        Assert.Equal(RequestWait.NoPlace, RequestWait.Enter(all[16]));
        Assert.True(all[16].TryTake(), "the one that was refused was taken");
        Assert.False(TryNext(out _));
        Assert.All(all[..16], places => Assert.True(places.TryTake()));
    });

    [Fact]
    public void WhatIsLeftOfALimitCountsFromTheStart() => Serving(() =>
    {
        RequestWait.Start(Stopwatch.GetTimestamp() - (2 * Stopwatch.Frequency));
        Assert.InRange(RequestWait.LeftOf(60_000), 1, 58_000);
        Assert.Equal(0, RequestWait.LeftOf(2000));
        Assert.Equal(0, RequestWait.LeftOf(0));
        RequestWait.Start(Stopwatch.GetTimestamp() + (3600 * Stopwatch.Frequency)); // never more than the limit
        Assert.Equal(1000, RequestWait.LeftOf(1000));
    });

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void TheTimeOfATurnIsThatOfTheSource(bool runsOn) => Serving(() =>
    {
        long began = Stopwatch.GetTimestamp() - Stopwatch.Frequency;
        var places = new RequestPlaces(1) { TimeRunsOn = runsOn };
        Assert.True(places.TryTake());
        Assert.Equal(RequestWait.NoPlace, RequestWait.Enter(places));
        long turn = RequestWait.TurnOf(began);
        Assert.True(runsOn ? turn == began : turn >= began + Stopwatch.Frequency, $"{turn - began} ticks after it was read");
    });

    private static void Serving(Action test) => OwnThread.Run(() =>
    {
        RequestWait.Attach(static () => true);
        RequestWait.Start(Stopwatch.GetTimestamp());
        test();
    });

    /// <summary>A request of another thread that waits for a place.</summary>
    private static byte[] Aside(RequestPlaces places, ulong unique)
    {
        byte[] request = FuseRequests.Make(fuse_opcode.FUSE_LOOKUP, "name\0"u8, unique);
        OwnThread.Run(() =>
        {
            RequestWait.Attach(static () => true);
            RequestWait.Start(Stopwatch.GetTimestamp());
            Assert.Equal(RequestWait.NoPlace, RequestWait.Enter(places));
            Assert.Equal(RequestPlaces.Putting.Aside, PutAside(request));
        });
        return request;
    }

    private static RequestPlaces.Putting PutAside(byte[] request)
    {
        fixed (byte* bytes = request)
            return RequestWait.PutAside(bytes, (nuint)request.Length);
    }

    private static bool TryNext(out byte[] request, bool ended = false)
    {
        byte[] room = new byte[Capacity];
        fixed (byte* buffer = room)
        {
            bool found = RequestWait.TryNext(buffer, Capacity, ended, out nuint bytes, out _);
            request = room[..(int)bytes];
            return found;
        }
    }

    private static byte[]? GiveBack(RequestPlaces places)
    {
        byte[] room = new byte[Capacity];
        fixed (byte* buffer = room)
            return places.GiveBack(buffer, Capacity, out nuint bytes, out _) ? room[..(int)bytes] : null;
    }
}
