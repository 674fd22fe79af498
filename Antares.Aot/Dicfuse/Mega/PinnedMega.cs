using Antares.Aot.Dicfuse.Store;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Mega;

/// <summary>A server that was asked for its revision and the mounted directory: from here on a mount can be made.</summary>
/// <param name="Options">How it is asked.</param>
/// <param name="Client">HTTP.</param>
/// <param name="Trees">Directories; knows the commit.</param>
/// <param name="Store">Where everything is kept.</param>
/// <param name="Root">The mounted directory.</param>
internal sealed record PinnedMega(MegaOptions Options, MegaClient Client, MegaTrees Trees, ObjectStore Store, MegaView Root) : IDisposable
{
    /// <summary>Asks the server.</summary>
    /// <param name="options">Where and how.</param>
    /// <param name="store">An open store; disposed with the result, and on failure.</param>
    /// <param name="log">Hears of what is not as it should be.</param>
    /// <exception cref="MegaProblem">The server, the revision or the path is not there.</exception>
    public static PinnedMega Make(MegaOptions options, ObjectStore store, Diagnostics.Log log)
    {
        var client = new MegaClient(options);
        try
        {
            var trees = new MegaTrees(options, client, store, log);
            using var time = new CancellationTokenSource(options.RequestMs);
            try
            {
                MegaView root = Task.Run(() => trees.Pin(time.Token)).GetAwaiter().GetResult();
                return new PinnedMega(options, client, trees, store, root);
            }
            catch (OperationCanceledException)
            {
                var advice = options.Address.Base.StartsWith("https:", StringComparison.Ordinal) ? "; does it speak TLS there? If not, its address begins with http:" : "";
                throw new MegaProblem(Errno.ETIMEDOUT, $"{options.Address.Base} does not answer within {options.RequestMs / 1000} s{advice}");
            }
        }
        catch
        {
            client.Dispose();
            store.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        Client.Dispose();
        Store.Dispose();
    }
}
