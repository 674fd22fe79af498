using System.Runtime.ExceptionServices;

namespace Antares.Aot.Tests.Support;

/// <summary>A thread for one test: what belongs to a thread then is nobody else's.</summary>
internal static class OwnThread
{
    /// <summary>Runs the test to its end; what it throws is thrown here.</summary>
    public static void Run(Action test)
    {
        Exception? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                test();
            }
            catch (Exception exception)
            {
                failure = exception;
            }
        });
        thread.Start();
        thread.Join();
        if (failure != null)
        {
            ExceptionDispatchInfo.Throw(failure);
        }
    }
}
