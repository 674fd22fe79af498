using System.Diagnostics;
using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Tests.Unit;

/// <summary>Places at a source, and the requests that wait for one.</summary>
public sealed unsafe class BaseRequestPlacesTests
{
    private const int Capacity = 64 << 10;

    // Requests are looked for at all sources of the process, and other tests have some too.
    private static long s_unique = 0x5EED_0000_0000;

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    public void NoPlaceAtAllIsRefused(int limit) => Assert.Throws<ArgumentOutOfRangeException>(() => new RequestPlaces(limit));

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void SoManyArePlacesAndNoMore(int limit)
    {
        var places = new RequestPlaces(limit);
        for (int i = 0; i < limit; i++)
            Assert.True(places.TryTake());
        Assert.False(places.TryTake());
        Assert.Null(GiveBack(places));
        Assert.True(places.TryTake());
        Assert.False(places.TryTake());
    }

    [Fact]
    public void WhoWaitsGetsThePlacesInTurnAndItsRequestAsItWas()
    {
        RequestPlaces places = Full();
        byte[][] requests = [.. Enumerable.Range(0, 5).Select(i => Request(Next(), bodyBytes: i * 1000))];
        for (int i = 0; i < requests.Length; i++)
        {
            Assert.Equal(RequestPlaces.Putting.Aside, PutAside(places, requests[i]));
            Assert.Equal(i + 1, places.Waiting);
        }

        for (int i = 0; i < requests.Length; i++)
        {
            Assert.Equal(requests[i], GiveBack(places));
            Assert.Equal(requests.Length - i - 1, places.Waiting);
            Assert.False(places.TryTake(), "the place went to the one that waited and to another one");
        }

        Assert.Null(GiveBack(places));
        Assert.True(places.TryTake());
    }

    [Fact]
    public void APlaceThatCameFreeMeanwhileIsSaid()
    {
        RequestPlaces places = Full();
        Assert.Null(GiveBack(places));
        Assert.Equal(RequestPlaces.Putting.Free, PutAside(places, Request(Next())));
        Assert.Equal(0, places.Waiting);
    }

    [Fact]
    public void WhatWaitsIsBoundedAndWhatWentMakesRoom()
    {
        RequestPlaces places = Full();
        const int Large = 16 << 20, MostLarge = 4;
        byte[] request = new byte[Large];
        for (int i = 0; i < MostLarge; i++)
            Assert.Equal(RequestPlaces.Putting.Aside, PutAside(places, request));
        Assert.Equal(RequestPlaces.Putting.Full, PutAside(places, Request(Next())));
        Assert.Equal(MostLarge, places.Waiting);
        Assert.Equal(Large, GiveBack(places, Large)!.Length);
        Assert.Equal(RequestPlaces.Putting.Aside, PutAside(places, Request(Next())));
        places.DropAll();
        Assert.Equal(RequestPlaces.Putting.Aside, PutAside(places, request)); // what was dropped takes no room
        places.DropAll();
    }

    [Fact]
    public void TheTimeOfWhoWaitedBeginsWithItsTurnUnlessItRunsOn()
    {
        long began = Stopwatch.GetTimestamp() - Stopwatch.Frequency;
        Assert.True(Started(new RequestPlaces(1)) > began + (Stopwatch.Frequency / 2), "the time it waited was counted");
        Assert.Equal(began, Started(new RequestPlaces(1) { TimeRunsOn = true }));

        long Started(RequestPlaces places)
        {
            Assert.True(places.TryTake());
            Assert.Equal(RequestPlaces.Putting.Aside, PutAside(places, Request(Next()), began));
            byte[] room = new byte[Capacity];
            fixed (byte* buffer = room)
            {
                Assert.True(places.GiveBack(buffer, Capacity, out _, out long started));
                return started;
            }
        }
    }

    /// <summary>Wherever it stands, one that is taken out leaves the others and their order.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void OneThatWasKilledIsFoundAndTakenOut(int which)
    {
        RequestPlaces places = Full();
        RequestPlaces other = Full();
        ulong[] uniques = [Next(), Next(), Next()];
        foreach (ulong unique in uniques)
            Assert.Equal(RequestPlaces.Putting.Aside, PutAside(places, Request(unique, pid: (uint)unique & 0xFFFF)));
        Assert.Equal(RequestPlaces.Putting.Aside, PutAside(other, Request(Next(), pid: 1)));

        Assert.True(RequestPlaces.TryFind(uniques[which], out uint thread));
        Assert.Equal((uint)uniques[which] & 0xFFFF, thread);
        Assert.Equal(3, places.Waiting);
        Assert.True(RequestPlaces.TryTakeOut(uniques[which]));
        Assert.False(RequestPlaces.TryTakeOut(uniques[which]));
        Assert.False(RequestPlaces.TryFind(uniques[which], out _));
        Assert.Equal((2, 1), (places.Waiting, other.Waiting));

        // At the end of the line there is still room for more.
        ulong late = Next();
        Assert.Equal(RequestPlaces.Putting.Aside, PutAside(places, Request(late)));
        ulong[] left = [.. uniques.Where((_, i) => i != which), late];
        Assert.Equal(left, left.Select(_ => UniqueOf(GiveBack(places)!)));
        Assert.Null(GiveBack(places));
        other.DropAll();
    }

    [Fact]
    public void TheEndOfAMountDropsWhatWaitsAndKeepsThePlaces()
    {
        RequestPlaces places = Full();
        ulong unique = Next();
        Assert.Equal(RequestPlaces.Putting.Aside, PutAside(places, Request(unique)));
        Assert.Equal(RequestPlaces.Putting.Aside, PutAside(places, Request(Next())));
        places.DropAll();
        Assert.Equal(0, places.Waiting);
        Assert.False(RequestPlaces.TryFind(unique, out _));
        Assert.False(places.TryTake());
        Assert.Null(GiveBack(places));
        Assert.True(places.TryTake());
    }

    /// <summary>However threads take, wait and give back: never more at the source than there are places, and each request is served once.</summary>
    [Fact]
    public void ManyThreadsNeverExceedThePlacesAndLoseNothing()
    {
        const int Limit = 3, Threads = 8, Each = 500;
        const ulong First = 0x5EED_F000_0000;
        var places = new RequestPlaces(Limit);
        int inside = 0, most = 0;
        int[] served = new int[Threads * Each];
        Thread[] threads = [.. Enumerable.Range(0, Threads).Select(thread => new Thread(() =>
        {
            for (int i = 0; i < Each; i++)
                Serve(Request(First + (ulong)((thread * Each) + i)));
        }))];
        foreach (Thread thread in threads)
            thread.Start();
        foreach (Thread thread in threads)
            Assert.True(thread.Join(30_000));
        Assert.All(served, times => Assert.Equal(1, times));
        Assert.InRange(most, 1, Limit);
        Assert.Equal(0, places.Waiting);
        for (int i = 0; i < Limit; i++)
            Assert.True(places.TryTake());
        Assert.False(places.TryTake());

        // As a thread of the device does: what finds no place is put aside, and who gives one back goes on with what waits.
        void Serve(byte[]? request)
        {
            while (!places.TryTake())
            {
                if (PutAside(places, request!) == RequestPlaces.Putting.Aside)
                    return;
            }

            while (request != null)
            {
                int now = Interlocked.Increment(ref inside);
                int seen = Volatile.Read(ref most);
                while (now > seen)
                    seen = Interlocked.CompareExchange(ref most, now, seen) is var before && before == seen ? now : before;
                Interlocked.Increment(ref served[UniqueOf(request) - First]);
                Thread.SpinWait(50);
                Interlocked.Decrement(ref inside);
                request = GiveBack(places);
            }
        }
    }

    private static ulong Next() => (ulong)Interlocked.Increment(ref s_unique);

    private static RequestPlaces Full()
    {
        var places = new RequestPlaces(1);
        Assert.True(places.TryTake());
        return places;
    }

    private static byte[] Request(ulong unique, uint pid = 0, int bodyBytes = 8)
    {
        byte[] body = new byte[bodyBytes];
        new Random((int)unique).NextBytes(body);
        return FuseRequests.Make(fuse_opcode.FUSE_LOOKUP, body, unique, pid: pid);
    }

    private static ulong UniqueOf(byte[] request) => MemoryMarshal.Read<fuse_in_header>(request).unique;

    private static RequestPlaces.Putting PutAside(RequestPlaces places, byte[] request, long started = 0)
    {
        fixed (byte* bytes = request)
            return places.PutAside(bytes, (nuint)request.Length, started);
    }

    /// <summary>The request that has the place now; null: it is free.</summary>
    private static byte[]? GiveBack(RequestPlaces places, int capacity = Capacity)
    {
        byte[] room = new byte[capacity];
        fixed (byte* buffer = room)
            return places.GiveBack(buffer, (nuint)capacity, out nuint bytes, out _) ? room[..(int)bytes] : null;
    }
}
