using System.Diagnostics;

namespace Antares.Aot.Fuse;

/// <summary>The thread that watches over those that read: where too many are stuck, others take their places.</summary>
internal sealed unsafe partial class DeviceLoop
{
    private void WakeWatcher()
    {
        if (_most == 1 || Interlocked.Exchange(ref _watching, 1) != 0)
        {
            return;
        }

        if (!_watcherStarted)
        {
            _watcherStarted = true;
            try
            {
                new Thread(Watch, ThreadStack) { IsBackground = true, Name = "fuse-watch" }.Start();
            }
            catch (Exception exception) when (exception is OutOfMemoryException or ThreadStartException)
            {
                // Left as if it watched, so that nobody tries again: the mount goes on with the threads it has.
                _lacksWatcher = true;
                _log.Warn($"no thread to watch over requests: {exception.Message}");
            }
        }

        _ = _watch.Set(); // cannot fail
    }

    private void Watch()
    {
        while (!_ending)
        {
            _ = _watch.WaitOne(); // without a timeout it comes back signalled
            for (int quiet = 0; quiet < QuietTicks && !_ending;)
            {
                Thread.Sleep(TickMs);
                quiet = LookOnce() ? 0 : quiet + 1;
            }

            // A full fence between the two, as in EndRead: either sees the other.
            _ = Interlocked.Exchange(ref _watching, 0); // it was 1
            if (Volatile.Read(ref _readers) == 0)
            {
                // Saturated again between the last look and the line before: nobody else would wake us.
                WakeWatcher();
            }
        }
    }

    // Adds a thread if too many are stuck. True: there was something to see.
    private bool LookOnce()
    {
        long now = Stopwatch.GetTimestamp();
        int stuck = 0;
        for (int slot = 0; slot < _most; slot++)
        {
            long started = Volatile.Read(ref Context(slot)->Started);
            if (started != 0 && now - started > StuckMs * Stopwatch.Frequency / 1000)
            {
                stuck++;
            }
        }

        int parked = Volatile.Read(ref _parkedCount);
        int free = Threads - parked - stuck;
        if (stuck > 0 && free < _mode.Readers)
        {
            _ = Fetch(1); // the next look tries again
        }

        return stuck > 0 || Volatile.Read(ref _readers) == 0;
    }
}
