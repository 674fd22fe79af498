using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Remote;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Dicfuse.Web;

namespace Antares.Aot.Mounts;

/// <summary>Makes of an <c>https:</c> source what a mount needs: address, secrets, store, and the image's metadata.</summary>
internal static class ImageSetup
{
    /// <summary>Reads the address; asks nobody.</summary>
    /// <exception cref="MountProblem">Usage.</exception>
    public static ImageAddress Address(SourceSpec spec) => ImageAddress.TryParse(spec.Path, out var address, out var problem) && address is not null
        ? address
        : throw MountProblem.Usage($"source '{spec}' {problem}");

    /// <summary>Opens the store and asks the server for the image.</summary>
    /// <param name="spec">Its address.</param>
    /// <param name="request">What else was asked for.</param>
    /// <param name="workspaceStore">Store that goes with the mount, for want of a lasting one.</param>
    /// <param name="log">The log.</param>
    /// <param name="look">Called now and then while it takes long; what it throws ends it.</param>
    /// <exception cref="MountProblem">Usage or Host.</exception>
    public static PinnedImage Pin(SourceSpec spec, MegaRequest request, string? workspaceStore, Log log, Action look)
    {
        var address = Address(spec);
        var web = new WebOptions
        {
            Base = address.Base,
            Token = MegaSetup.Token(request.TokenFile),
            Headers = MegaSetup.Headers(request.HeaderFile),
            CaFile = request.CaFile is { } file ? MegaSetup.CheckedCaFile(file) : null,
            LeavesServer = true,
            AnswerMs = MegaSetup.PatienceMs(),
        };
        if (!request.Offline)
        {
            MegaSetup.WarnOfOpenSecrets(address.Base, web.Token is not null || web.Headers.Count > 0, log);
        }

        var options = new RemoteOptions
        {
            Address = address,
            Web = web,
            Offline = request.Offline,
            Download = request.Download,
            RequestMs = MegaSetup.PatienceMs(),
            StoreLimit = request.StoreLimit,
        };
        try
        {
            var store = StoreFolder.Open(request.Store, workspaceStore, log);
            store.Room.Full = log.Warn;
            _ = new StoreCollector(store, request.StoreLimit, log); // lives as long as the store that tells it what was added
            return RemoteOpening.Open(options, store, log, look);
        }
        catch (WebProblem problem)
        {
            throw MountProblem.Host($"source {spec}: {problem.Message}");
        }
        catch (ImageException problem)
        {
            throw MountProblem.Host($"source {spec} {problem.Message}");
        }
    }
}
