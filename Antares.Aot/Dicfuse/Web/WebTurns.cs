namespace Antares.Aot.Dicfuse.Web;

/// <summary>
/// How many may ask a server at a time, and that at most half of them carry long content: listings, lengths and short files get their
/// turn beside any number of long ones.
/// </summary>
internal sealed class WebTurns
{
    /// <summary>Content beyond this is long.</summary>
    public const long LongBytes = 1 << 20;

    private readonly SemaphoreSlim _all;
    private readonly SemaphoreSlim _long;

    /// <param name="all">Turns at a time, at least 1.</param>
    public WebTurns(int all)
    {
        _all = new SemaphoreSlim(all);
        _long = new SemaphoreSlim(Math.Max(1, all / 2));
    }

    /// <summary>Waits for a turn.</summary>
    /// <param name="isLong">The content is known to be long.</param>
    /// <param name="stop">Gives up.</param>
    /// <returns>To be disposed when the answer is here.</returns>
    public async Task<Turn> Enter(bool isLong, CancellationToken stop)
    {
        // Whoever waits for the second has the first and nothing else that anybody waits for.
        if (isLong)
        {
            await _long.WaitAsync(stop).ConfigureAwait(false);
        }

        try
        {
            await _all.WaitAsync(stop).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            if (isLong)
            {
                _ = _long.Release(); // the count before is of no interest
            }

            throw;
        }

        return new Turn(this, isLong);
    }

    /// <summary>A turn; for one thread at a time.</summary>
    public sealed class Turn(WebTurns turns, bool isLong) : IDisposable
    {
        private bool _isLong = isLong;

        /// <summary>The content turns out to be long.</summary>
        /// <returns>False: enough long ones are under way.</returns>
        public bool TryBecomeLong() => _isLong || (_isLong = turns._long.Wait(0));

        public void Dispose()
        {
            _ = turns._all.Release(); // the count before is of no interest
            if (_isLong)
            {
                _ = turns._long.Release(); // as above
            }
        }
    }
}
