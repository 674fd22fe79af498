using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Dicfuse.Web;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Image.Remote;

/// <summary>How an image on a server is got.</summary>
internal sealed record RemoteOptions
{
    public required ImageAddress Address { get; init; }

    public required WebOptions Web { get; init; }

    /// <summary>Nothing is asked of the server: what the store holds is there, the rest is EIO.</summary>
    public bool Offline { get; init; }

    /// <summary>The whole image is fetched before it is mounted.</summary>
    public bool Download { get; init; }

    /// <summary>How long one request of the kernel is kept waiting; what is fetched goes on behind it.</summary>
    public int RequestMs { get; init; } = 20_000;

    /// <summary>Most bytes that the store keeps.</summary>
    public long StoreLimit { get; init; } = long.MaxValue;
}

/// <summary>An image on a server, its metadata here: from now on a mount can be made.</summary>
/// <param name="Options">How it is got.</param>
/// <param name="Store">Where it is kept.</param>
/// <param name="Client">HTTP.</param>
/// <param name="Id">Its name in the store.</param>
/// <param name="Version">What the server has; of no meaning for what is whole or offline.</param>
/// <param name="File">In the store: of a part open for writing too. The caller's.</param>
/// <param name="IsWhole">All of it is here.</param>
internal sealed record PinnedImage(RemoteOptions Options, ObjectStore Store, WebClient Client, ObjectId Id, RemoteVersion Version, OwnedFd File, bool IsWhole) : IDisposable
{
    /// <summary>Ends everything but the file.</summary>
    public void Dispose()
    {
        Client.Dispose();
        Store.Dispose();
    }
}
