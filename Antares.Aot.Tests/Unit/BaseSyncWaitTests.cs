using System.Diagnostics;
using Antares.Aot.Base;

namespace Antares.Aot.Tests.Unit;

/// <summary>When another thread is fetched for what comes while a disk is waited for.</summary>
public sealed class BaseSyncWaitTests
{
    private static long Ms(double milliseconds) => (long)(milliseconds * Stopwatch.Frequency / 1000);

    [Fact]
    public void OneLongWaitIsBelievedAtOnceAndShortOnesAfterAFew()
    {
        var wait = new SyncWait();
        Assert.False(wait.IsLong);
        wait.Note(Ms(0.2));
        Assert.False(wait.IsLong);
        wait.Note(Ms(8));
        Assert.True(wait.IsLong);
        wait.Note(Ms(0.2));
        Assert.True(wait.IsLong);
        for (int i = 0; i < 4; i++)
        {
            wait.Note(Ms(0.2));
        }

        Assert.False(wait.IsLong);
    }

    [Fact]
    public void OneVeryLongWaitIsForgottenAsSoonAndNoWaitTellsNothing()
    {
        var wait = new SyncWait();
        wait.Note(Ms(30_000));
        for (int i = 0; i < 100; i++)
        {
            wait.Note(Ms(0.01));
        }

        Assert.True(wait.IsLong);
        for (int i = 0; i < 4; i++)
        {
            wait.Note(Ms(0.2));
        }

        Assert.False(wait.IsLong);
    }

    [Fact]
    public void OneThatIsUnderWayTellsToo()
    {
        var wait = new SyncWait();
        long first = wait.Begin();
        long second = wait.Begin();
        Assert.True(SpinWait.SpinUntil(() => wait.IsLong, 10_000));
        wait.End(second);
        Assert.True(wait.IsLong);
        wait.End(first);
        for (int i = 0; i < 5; i++)
        {
            wait.Note(Ms(0.2));
        }

        Assert.False(wait.IsLong);
    }

    [Theory, InlineData(false, false, 0), InlineData(true, false, 1), InlineData(false, true, 1), InlineData(true, true, 1)]
    public void AThreadIsFetchedForALongWaitOrForWhoIsThereAlready(bool isLong, bool isAnotherThere, int expected)
    {
        var wait = new SyncWait();
        wait.Note(isLong ? Ms(5) : 0);
        int fetched = 0;
        var thread = new Thread(() =>
        {
            RequestWait.Attach(() => ++fetched > 0, () => isAnotherThere);
            wait.End(wait.Begin());
            RequestWait.Attach(null);
            wait.End(wait.Begin());
        });
        thread.Start();
        thread.Join();
        Assert.Equal(expected, fetched);
    }
}
