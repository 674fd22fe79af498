using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse;
using Antares.Aot.Layers;
using Antares.Aot.Overlay;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>Makes the layers of a plan: each folder or tree becomes an <see cref="ILayer"/>, all of them an overlay.</summary>
/// <param name="plan">Checked folders. Lower roots stay the plan's; upper and work are taken over when an upper is opened.</param>
/// <param name="descriptors">Open files that the process may have.</param>
/// <param name="diagnostics">Gets gauges of what is held.</param>
internal sealed class LayerFactory(MountPlan plan, int descriptors, MountDiagnostics diagnostics)
{
    /// <summary>Content held in memory; what is beyond goes to the store.</summary>
    private const long ContentMemoryBytes = 32L << 20;

    /// <summary>How the plan's upper is used.</summary>
    public static UpperOptions UpperOptionsOf(MountPlan plan, Log log) => new()
    {
        Volatile = plan.Request.Durability == Durability.Volatile,
        Recover = plan.Request.Recover,
        UserXattrs = plan.UserXattrs,
        Log = log,
    };

    /// <summary>Opens the layers and puts them together.</summary>
    /// <param name="withUpper">False: the lower ones only, a read-only tree.</param>
    /// <exception cref="MountProblem">Host: with what is wrong; nothing stays open.</exception>
    public OverlayFs OpenOverlay(bool withUpper)
    {
        // Half for the cache of files in use; the rest for unlinked files, the sources' own and what a copy-up needs.
        var files = new FdCache(plan.Request.FdCache ?? Math.Clamp(descriptors / 2, 16, 8192));
        var layers = new List<ILayer>();
        DirectoryLayer? upper = null;
        OverlayFs? overlay = null;
        try
        {
            for (var i = 0; i < plan.Lowers.Count; i++)
            {
                layers.Add(OpenLower(i, files));
            }

            upper = withUpper ? OpenUpper(files) : null;
            diagnostics.AddGauge("descriptors_cached", () => files.Used);
            var error = OverlayFs.Open(new OverlayOptions { Lowers = layers, Upper = upper }, out overlay);
            if (error == Errno.None && overlay is not null)
            {
                MountGauges.Add(diagnostics, overlay, layers);
                return overlay;
            }

            throw MountProblem.Host("cannot put the layers together", error);
        }
        finally
        {
            if (overlay is null)
            {
                upper?.Dispose();
                layers.ForEach(layer => layer.Dispose());
            }
        }
    }

    private ILayer OpenLower(int index, FdCache files)
    {
        var lower = plan.Lowers[index];
        var error = Fd.DupCloexec(lower.Root.Value, out var root); // another engine may have to begin anew
        if (error != Errno.None)
        {
            throw MountProblem.Host($"source {lower.Spec} cannot be opened once more", error);
        }

        ILayer? layer;
        if (lower.Spec.Kind == SourceKind.Dicfuse)
        {
            var options = new DicfuseOptions
            {
                Slot = (uint)index + 1,
                MemoryLimitBytes = ContentMemoryBytes,
                StorePath = plan.StorePath,
                Uids = IdMap.Identity,
                Gids = IdMap.Identity,
                FdCapacity = Math.Clamp(descriptors / 8, 4, 256),
            };
            error = DicfuseLayer.OpenFolder("dicfuse", root, options, out var dicfuse);
            layer = dicfuse;
            if (error != Errno.None)
            {
                _ = Fd.Close(root); // still ours after a failure, and nothing was written to it
            }
        }
        else
        {
            error = DirectoryLayer.OpenLower($"lower{index}", root, (uint)index + 1, files, IdMap.Identity, IdMap.Identity, out var folder);
            layer = folder;
        }

        return error == Errno.None && layer is not null ? layer : throw MountProblem.Host($"source {lower.Spec} cannot be opened as a layer", error);
    }

    private DirectoryLayer? OpenUpper(FdCache files)
    {
        if (plan is not { Upper: { } upper, Work: { } work })
        {
            return null;
        }

        var error = DirectoryLayer.OpenUpper(
            upper.Detach(), work.Detach(), UpperOptionsOf(plan, diagnostics.Log), files, IdMap.Identity, IdMap.Identity, out var layer, out var problem);
        if (error == Errno.None && layer is not null)
        {
            layer.Writer.DiscardOnClose = plan.DiscardsUpper;
            return layer;
        }

        throw MountProblem.Host($"upper {plan.UpperPath} (work {plan.WorkPath}): {problem ?? ErrnoText.Of(error)}");
    }
}
