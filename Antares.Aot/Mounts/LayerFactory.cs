using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse;
using Antares.Aot.Dicfuse.Erofs;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Mega.Changes;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Fuse;
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
    /// <summary>Content of a folder on a server that is held in memory; what is beyond goes to the store.</summary>
    private const long ContentMemoryBytes = 32L << 20;

    /// <summary>What may lie over a server's directory, once the layers are open; null: none of them is one.</summary>
    public ClTree? Changes { get; private set; }

    /// <summary>Slot of the layer that <see cref="Changes"/> lies over.</summary>
    public uint ChangesSlot { get; private set; }

    /// <summary>Names what a request was about, once the layers are open, where all of them are for one file (<see cref="ErofsFileLayer"/>); null: the overlay does.</summary>
    public PathDescriber? DescribePath { get; private set; }

    /// <summary>The revision that was asked for there; null: the server's head.</summary>
    public string? GivenRevision { get; private set; }

    /// <summary>How the plan's upper is used.</summary>
    public static UpperOptions UpperOptionsOf(MountPlan plan, Log log) => new()
    {
        Volatile = plan.Request.Durability == Durability.Volatile,
        Recover = plan.Request.Recover,
        UserXattrs = plan.UserXattrs,
        OneUid = plan.Request.Behaviour.SquashToUid is not null,
        OneGid = plan.Request.Behaviour.SquashToGid is not null,
        UsersOf = LeftOverlay.Describe,
        Log = log,
    };

    /// <summary>Opens the layers and puts them together.</summary>
    /// <param name="withUpper">False: the lower ones only, a read-only tree.</param>
    /// <param name="asErofs">The one layer, an image, as a file that EROFS reads.</param>
    /// <exception cref="MountProblem">Host: with what is wrong; nothing stays open.</exception>
    public OverlayFs OpenOverlay(bool withUpper, bool asErofs = false)
    {
        // Half for the cache of files in use; the rest for unlinked files, the sources' own and what a copy-up needs.
        var files = new FdCache(plan.Request.FdCache ?? Math.Clamp(descriptors / 2, 16, 8192));
        var layers = new List<ILayer>();
        DirectoryLayer? upper = null;
        OverlayFs? overlay = null;
        DescribePath = null;
        try
        {
            for (var i = 0; i < plan.Lowers.Count; i++)
            {
                layers.Add(OpenLower(i, files));
            }

            PatchRules.Check(plan, layers);
            if (asErofs && layers is [ImageLayer image])
            {
                layers[0] = OpenErofs(image);
            }

            upper = withUpper ? OpenUpper(files) : null;
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

            throw error == Errno.EOVERFLOW ? TooManyNodes(layers) : MountProblem.Host("cannot put the layers together", error);
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

    private unsafe ErofsFileLayer OpenErofs(ImageLayer image)
    {
        var view = ErofsView.Of(image) ?? throw Unfit("more names or bytes than EROFS has room for (8 million, 16 TiB less what names take)");
        if (plan.Request.Erofs is null && ErofsView.Differs(image) is { } what)
        {
            throw Unfit($"{what}, which EROFS does not show alike");
        }

        var layer = new ErofsFileLayer(image, view);
        view.Damaged = node => NoteDamage(layer, node);
        DescribePath = layer.DescribeAsked;
        return layer;

        MountProblem Unfit(string has) => MountProblem.Host($"source {plan.Lowers[0].Spec} has {has}{ErofsLower.WayOut(plan)}", isFinal: false, isForeseen: true);
    }

    private unsafe void NoteDamage(ErofsFileLayer layer, uint node)
    {
        const int PathRoom = 4096;
        byte* path = stackalloc byte[PathRoom];
        var length = layer.Describe(node, path, PathRoom);
        diagnostics.Failures.Announce();
        diagnostics.Failures.Add(OpNames.SlotOf((uint)Antares.Interop.Fuse3.fuse_opcode.FUSE_READ), Errno.EUCLEAN, node, new ReadOnlySpan<byte>(path, length), Failure.Layer, Failure.Call);
    }

    private MountProblem TooManyNodes(List<ILayer> layers)
    {
        var (spec, nodes) = plan.Lowers.Select((lower, index) => (lower.Spec, Nodes: (layers[index] as ImageLayer)?.NodeCount ?? 0)).MaxBy(lower => lower.Nodes);
        return MountProblem.Host($"source {spec} is an image of {nodes} files, for which this process cannot reserve addresses (4 bytes for each, up to 268,435,455 files): raise its limit of address space (ulimit -v), or split the image");
    }

    private ILayer OpenLower(int index, FdCache files)
    {
        var lower = plan.Lowers[index];
        if (lower.Spec.Kind == SourceKind.Mega)
        {
            return OpenServer(lower, index);
        }

        if (lower is { IsPart: true, Remote: null })
        {
            // A layer took the server over and closed it; an engine that begins anew asks once more.
            lower.Remote = ImageSetup.Pin(lower.Spec, plan.Request.Mega, plan.StorePath, diagnostics.Log, static () => { });
        }

        if ((lower.Remote?.File ?? lower.Root) is not { } opened)
        {
            throw MountProblem.Host($"source {lower.Spec} was not opened");
        }

        var error = Fd.DupCloexec(opened.Value, out var root); // another engine may have to begin anew
        if (opened != lower.Root)
        {
            opened.Dispose();
        }

        if (error != Errno.None)
        {
            throw MountProblem.Host($"source {lower.Spec} cannot be opened once more", error);
        }

        if (lower.IsImage)
        {
            return OpenImage(index, root);
        }

        ILayer? layer;
        if (lower.Spec.Kind == SourceKind.Dicfuse)
        {
            var options = new DicfuseOptions
            {
                Slot = (uint)index + 1,
                MemoryLimitBytes = NetworkKinds.Of(root) is null ? 0 : ContentMemoryBytes, // a disk's pages are in the kernel's cache
                StorePath = plan.StorePath,
                Places = new RequestPlaces(RequestPlaces.OfFolder),
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
            if (NetworkKinds.Of(root) is { } kind)
            {
                diagnostics.Log.Warn($"{lower.Spec} lies on {kind}: while its server stands still, so does every change in this mount; given as dir:{lower.RealPath} it holds up only who needs something of it");
            }

            error = DirectoryLayer.OpenLower($"lower{index}", root, (uint)index + 1, files, Reading(), out var folder);
            layer = folder;
        }

        return error == Errno.None && layer is not null ? layer : throw MountProblem.Host($"source {lower.Spec} cannot be opened as a layer", error);
    }

    private FolderOptions Reading() => new()
    {
        Uids = plan.Uids,
        Gids = plan.Gids,
        ReadsAufsWhiteouts = plan.Request.Behaviour.ReadsAufsWhiteouts,
        FollowsRedirects = plan.Request.Behaviour.FollowsRedirects,
    };

    private DicfuseLayer OpenServer(PlannedLower lower, int index)
    {
        // A layer takes the server over and closes it; an engine that begins anew asks for the same revision once more.
        lower.Mega ??= MegaSetup.PinAgain(lower.RealPath, plan.Request.Mega, plan.StorePath, diagnostics.Log);

        // Contents are in the store, and what was read is in the kernel's cache: a third copy in memory gains nothing.
        var request = plan.Request.Mega;
        var options = new DicfuseOptions
        {
            Slot = (uint)index + 1,
            MemoryLimitBytes = 0,
            Places = PlacesOfServer(),
            Recorded = Recorded(index),
        };
        var error = DicfuseLayer.OpenServer("mega", lower.Mega, options, LookAhead.Plan(request, diagnostics.Log), diagnostics.Log, out var layer);
        if (error != Errno.None || layer is null)
        {
            throw MountProblem.Host($"source {lower.Spec} cannot be opened as a layer", error);
        }

        lower.Mega = null; // the layer's from here on
        ChangesSlot = (uint)index + 1;
        GivenRevision = MegaSetup.Address(lower.Spec, request).Revision;
        Changes = new ClTree(layer.Tree, (MegaSource)layer.Tree.Source, diagnostics.Log);
        if (plan.Request.Mega.Changelist is { } link)
        {
            try
            {
                var changes = Changes;
                var prepared = Task.Run(() => changes.Prepare(link, plan.Request.Mega.ChangelistPath, default)).GetAwaiter().GetResult();
                _ = changes.Show(prepared); // nobody lists anything yet
            }
            catch (MegaProblem problem)
            {
                layer.Dispose();
                throw MountProblem.Host($"source {lower.Spec}: {problem.Message}");
            }
        }

        return layer;
    }

    private static RequestPlaces PlacesOfServer() => new(RequestPlaces.OfServer) { TimeRunsOn = MegaSetup.KernelLimitSeconds() > 0 };

    /// <summary>Of several sources on servers the topmost is recorded.</summary>
    private Action<NativeBody>? Recorded(int index) =>
        plan.Request.Mega.Record is { } file && !plan.Lowers.Take(index).Any(above => above.Spec.Kind is SourceKind.Mega or SourceKind.Remote)
            ? text => LookAhead.Write(file, text, diagnostics.Log)
            : null;

    private RemoteParts? RemoteOf(int index) => plan.Lowers[index].Spec.Kind != SourceKind.Remote
        ? null
        : new RemoteParts(plan.Lowers[index].Remote, PlacesOfServer(), Recorded(index), LookAhead.Plan(plan.Request.Mega, diagnostics.Log), diagnostics.Log);

    /// <summary>Opens an image; where it is topmost, an upper that is ours gets its root's attributes.</summary>
    private ImageLayer OpenImage(int index, int file)
    {
        ImageLayer image;
        try
        {
            image = ImageLayer.Open(file, plan.Uids, plan.Gids, index == plan.Lowers.Count - 1 ? 0 : (uint)index + 1, RemoteOf(index));
            plan.Lowers[index].Remote = null; // the layer's from here on
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

    private DirectoryLayer? OpenUpper(FdCache files)
    {
        if (plan is not { Upper: { } upper, Work: { } work })
        {
            return null;
        }

        var error = DirectoryLayer.OpenUpper(
            upper.Detach(), work.Detach(), UpperOptionsOf(plan, diagnostics.Log), files, Reading(), out var layer, out var problem);
        if (error == Errno.None && layer is not null)
        {
            layer.Writer.DiscardOnClose = plan.DiscardsUpper;
            return layer;
        }

        throw MountProblem.Host($"upper {plan.UpperPath} (work {plan.WorkPath}): {problem ?? ErrnoText.Of(error)}");
    }
}
