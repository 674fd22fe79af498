using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Fuse;
using Antares.Aot.Layers;
using Antares.Aot.Overlay;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>Puts the rooms together: folders become layers, layers the overlay, the overlay a FUSE mount.</summary>
internal static class MountAssembly
{
    /// <summary>Content held in memory; what is beyond goes to the store.</summary>
    private const long ContentMemoryBytes = 32L << 20;

    /// <summary>Requests that may be stuck at a time: in a long copy, and in waiting for a server.</summary>
    private const int ThreadsAtMost = 8;
    private const int ThreadsWithServer = 128;

    /// <summary>Mounts a plan. The plan's descriptors are taken over.</summary>
    /// <param name="plan">Checked folders.</param>
    /// <param name="descriptors">Open files that the process may have.</param>
    /// <param name="diagnostics">Counts the requests.</param>
    /// <exception cref="MountProblem">Host: with what is wrong; nothing stays mounted or open.</exception>
    public static FuseServer Mount(MountPlan plan, int descriptors, MountDiagnostics diagnostics)
    {
        var overlay = OpenOverlay(plan, descriptors, diagnostics);
        var options = new FuseOptions
        {
            MountPoint = plan.MountPoint,
            FsName = plan.Request.FsName ?? (plan.Lowers[^1].Spec with { Path = plan.Lowers[^1].RealPath }).ToString(),
            AllowOther = plan.AllowOther,
            ReadOnly = plan.Request.ReadOnly,
            Threads = plan.Request.Threads,
            InitMask = plan.Request.InitMask,
            Acls = plan.Request.Behaviour is { Acls: true, Xattrs: true },
            MaxThreads = plan.Lowers.Any(lower => lower.Mega is not null) ? ThreadsWithServer : ThreadsAtMost,
            ExtraMountOptions = [.. plan.Request.MountOptions],
        };
        var error = FuseServer.Mount(overlay, options, diagnostics, out var server, out var problem);
        if (error == Errno.None && server is not null)
        {
            return server;
        }

        overlay.Dispose();
        throw FuseAdvice.Explain(plan, error, problem);
    }

    private static OverlayFs OpenOverlay(MountPlan plan, int descriptors, MountDiagnostics diagnostics)
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
                layers.Add(OpenLower(plan, i, files, descriptors));
            }

            upper = OpenUpper(plan, files, diagnostics.Log);
            diagnostics.AddGauge("descriptors_cached", () => files.Used);
            var behaviour = plan.Request.Behaviour;
            var options = new OverlayOptions
            {
                Lowers = layers,
                Upper = upper,
                Uids = plan.Uids,
                Gids = plan.Gids,
                StaticLinks = behaviour.StaticLinks,
                Acls = behaviour.Acls,
                Xattrs = behaviour.Xattrs,
                RenamesLowerDirectories = behaviour.RenamesLowerDirectories,
                ReservesAufsNames = behaviour.ReadsAufsWhiteouts,
            };
            var error = OverlayFs.Open(options, out overlay);
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

    private static ILayer OpenLower(MountPlan plan, int index, FdCache files, int descriptors)
    {
        var lower = plan.Lowers[index];
        if (lower.Mega is { } pinned)
        {
            return OpenServer(lower, index, pinned);
        }

        if (lower.Root is not { } opened)
        {
            throw MountProblem.Host($"source {lower.Spec} was not opened");
        }

        var root = opened.Detach();
        if (lower.Spec.Kind == SourceKind.Image)
        {
            return OpenImage(plan, index, root);
        }

        Errno error;
        ILayer? layer;
        if (lower.Spec.Kind == SourceKind.Dicfuse)
        {
            var options = new DicfuseOptions
            {
                Slot = (uint)index + 1,
                MemoryLimitBytes = ContentMemoryBytes,
                StorePath = plan.StorePath,
                Uids = plan.Uids,
                Gids = plan.Gids,
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
            error = DirectoryLayer.OpenLower($"lower{index}", root, (uint)index + 1, files, Reading(plan), out var folder);
            layer = folder;
        }

        return error == Errno.None && layer is not null ? layer : throw MountProblem.Host($"source {lower.Spec} cannot be opened as a layer", error);
    }

    private static FolderOptions Reading(MountPlan plan) => new()
    {
        Uids = plan.Uids,
        Gids = plan.Gids,
        ReadsAufsWhiteouts = plan.Request.Behaviour.ReadsAufsWhiteouts,
        FollowsRedirects = plan.Request.Behaviour.FollowsRedirects,
    };

    private static DicfuseLayer OpenServer(PlannedLower lower, int index, PinnedMega pinned)
    {
        // Contents are in the store, and what was read is in the kernel's cache: a third copy in memory gains nothing.
        var options = new DicfuseOptions { Slot = (uint)index + 1, MemoryLimitBytes = 0 };
        var error = DicfuseLayer.OpenServer("mega", pinned, options, out var layer);
        if (error != Errno.None || layer is null)
        {
            throw MountProblem.Host($"source {lower.Spec} cannot be opened as a layer", error);
        }

        lower.Mega = null; // the layer's from here on
        return layer;
    }

    /// <summary>Opens an image; where it is topmost, an upper that is ours gets its root's attributes.</summary>
    private static ImageLayer OpenImage(MountPlan plan, int index, int file)
    {
        ImageLayer image;
        try
        {
            image = ImageLayer.Open(file, plan.Uids, plan.Gids, index == plan.Lowers.Count - 1 ? 0 : (uint)index + 1);
        }
        catch (ImageException problem)
        {
            _ = Fd.Close(file); // still ours after a failure, and nothing was written to it
            throw MountProblem.Host($"source {plan.Lowers[index].Spec} {problem.Message}");
        }

        if (index == 0 && plan.Workspace is not null && plan.Upper is { } upper && plan.Request.Upper is null)
        {
            var error = RootAttributes.Copy(image, upper.Value);
            if (error != Errno.None)
            {
                image.Dispose();
                throw MountProblem.Host($"source {plan.Lowers[index].Spec}: its root's attributes cannot be taken over ({Failure.Call})", error);
            }
        }

        return image;
    }

    private static DirectoryLayer? OpenUpper(MountPlan plan, FdCache files, Log log)
    {
        if (plan is not { Upper: { } upper, Work: { } work })
        {
            return null;
        }

        var options = new UpperOptions
        {
            Volatile = plan.Request.Durability == Durability.Volatile,
            Recover = plan.Request.Recover,
            UserXattrs = plan.UserXattrs,
            Log = log,
        };
        var error = DirectoryLayer.OpenUpper(
            upper.Detach(), work.Detach(), options, files, Reading(plan), out var layer, out var problem);
        if (error == Errno.None && layer is not null)
        {
            layer.Writer.DiscardOnClose = plan.DiscardsUpper;
            return layer;
        }

        throw MountProblem.Host($"upper {plan.UpperPath} (work {plan.WorkPath}): {problem ?? ErrnoText.Of(error)}");
    }
}
