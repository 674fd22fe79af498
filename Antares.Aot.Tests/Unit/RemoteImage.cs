using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Image.Remote;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Dicfuse.Web;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>An image on a server as a layer, without a mount.</summary>
internal sealed class RemoteImage : IDisposable
{
    public RemoteImage(string url, string store, Func<RemoteOptions, RemoteOptions>? change = null)
    {
        Assert.True(ImageAddress.TryParse(url, out ImageAddress? address, out string problem), problem);
        var web = new WebOptions { Base = address!.Base, LeavesServer = true, Attempts = 3 };
        var options = new RemoteOptions { Address = address, Web = web, RequestMs = 10_000 };
        Directory.CreateDirectory(store);
        Assert.Equal((Errno.None, ""), (ObjectStore.Open(store, out ObjectStore? opened, out string trouble), trouble));
        PinnedImage pinned = RemoteOpening.Open(change?.Invoke(options) ?? options, opened!, Log.Off, static () => { });
        IsWhole = pinned.IsWhole;
        if (IsWhole)
            pinned.Dispose();
        Layer = ImageLayer.Open(pinned.File.Detach(), IdMap.Identity, IdMap.Identity, 0, new RemoteParts(IsWhole ? null : pinned, null, null, null, Log.Off));
    }

    public ImageLayer Layer { get; }

    public bool IsWhole { get; }

    public RemoteFrames Frames => Layer.Remote!;

    public byte[] Read(string path) => Layer.Read(Layer.Find(path), 0, (int)Layer.Getattr(Layer.Find(path)).st_size);

    /// <summary>The error of a read, and its reason.</summary>
    public (Errno Error, string Reason) TryRead(string path)
    {
        Failure.Clear();
        Errno error = Layer.TryRead(Layer.Find(path), 0, new byte[(int)Layer.Getattr(Layer.Find(path)).st_size], out uint got);
        if (error != Errno.None)
            Assert.Equal(0u, got);
        return (error, Failure.Call ?? "");
    }

    public void Dispose() => Layer.Dispose();
}
