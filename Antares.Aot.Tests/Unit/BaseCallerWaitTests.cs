using System.Diagnostics;
using Antares.Aot.Base;

namespace Antares.Aot.Tests.Unit;

/// <summary>Who waits for a server and is killed waits no more; all others wait to the end.</summary>
public sealed class BaseCallerWaitTests
{
    private static ulong s_unique = 1_000_000;

    private readonly ulong _unique = Interlocked.Add(ref s_unique, 2);
    private readonly TaskCompletionSource _task = new();

    [Fact]
    public void WhoIsKilledIsLetGo()
    {
        Thread waiting = Start(out Func<CallerWait.End> end);
        Thread.Sleep(200);
        CallerWait.Tell(_unique, sender => sender == 7);
        Join(waiting);
        Assert.Equal(CallerWait.End.Killed, end());
    }

    /// <summary>The kernel tells of one signal alone, and that one may end nothing.</summary>
    [Fact]
    public void WhoIsKilledAfterAnotherSignalIsLetGoToo()
    {
        bool isKilled = false;
        Thread waiting = Start(out Func<CallerWait.End> end);
        Thread.Sleep(100);
        CallerWait.Tell(_unique, _ => Volatile.Read(ref isKilled));
        Thread.Sleep(400);
        Assert.True(waiting.IsAlive, "a signal that ends nothing ended the wait");
        Volatile.Write(ref isKilled, true);
        Join(waiting);
        Assert.Equal(CallerWait.End.Killed, end());
    }

    [Fact]
    public void WhatIsToldBeforeTheWaitIsHeard()
    {
        CallerWait.Tell(_unique, _ => true);
        Thread waiting = Start(out Func<CallerWait.End> end);
        Join(waiting);
        Assert.Equal(CallerWait.End.Killed, end());
    }

    /// <summary>A request may wait for one that works on the same, and then for the server itself: it is told once.</summary>
    [Fact]
    public void WhatAnEarlierWaitOfTheRequestHeardHoldsForTheNext()
    {
        CallerWait.End first = CallerWait.End.Done, second = default;
        var thread = new Thread(() =>
        {
            CallerWait.Start(_unique, 7);
            CallerWait.Tell(_unique, _ => first == CallerWait.End.TimeUp);
            first = CallerWait.For(_task.Task, 200);
            second = CallerWait.For(_task.Task, 20_000);
        });
        thread.Start();
        Join(thread);
        Assert.Equal((CallerWait.End.TimeUp, CallerWait.End.Killed), (first, second));
        // Another request of the same thread has heard nothing.
        CallerWait.End other = CallerWait.End.Killed;
        var next = new Thread(() =>
        {
            CallerWait.Start(_unique, 7);
            CallerWait.Tell(_unique, _ => true);
            _ = CallerWait.For(_task.Task, 20_000);
            CallerWait.Start(_unique + 1, 7);
            other = CallerWait.For(_task.Task, 300);
        });
        next.Start();
        Join(next);
        Assert.Equal(CallerWait.End.TimeUp, other);
    }

    [Fact]
    public void OthersWaitForTheEnd()
    {
        CallerWait.Tell(_unique + 1, _ => true);
        Thread waiting = Start(out Func<CallerWait.End> end);
        CallerWait.Tell(_unique, _ => false);
        Thread.Sleep(300);
        Assert.True(waiting.IsAlive);
        _task.SetResult();
        Join(waiting);
        Assert.Equal(CallerWait.End.Done, end());
    }

    [Fact]
    public void ThereIsAnEndToPatience()
    {
        var watch = Stopwatch.StartNew();
        Assert.Equal(CallerWait.End.TimeUp, CallerWait.For(_task.Task, 300));
        Assert.InRange(watch.ElapsedMilliseconds, 290, 5_000);
        _task.SetException(new IOException());
        Assert.Equal(CallerWait.End.Done, CallerWait.For(_task.Task, 0));
    }

    [Fact]
    public void AThreadThatServesNoRequestIsNobodys() => Assert.Null(CallerWait.Begin());

    private Thread Start(out Func<CallerWait.End> end)
    {
        CallerWait.End result = default;
        var thread = new Thread(() =>
        {
            CallerWait.Start(_unique, 7);
            result = CallerWait.For(_task.Task, 20_000);
        });
        thread.Start();
        end = () => result;
        return thread;
    }

    private static void Join(Thread thread) => Assert.True(thread.Join(5_000), "it waits on");
}
