using Antares.Aot.Diagnostics;
using Antares.Aot.Fuse;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>
/// The engine whose overlay is the kernel's. Plain folders are its lower layers as they are; where a tree is to be served, all layers
/// together become one read-only FUSE file system, which is taken out of sight as soon as the overlay has it: the overlay keeps it alive,
/// and its end is the end of both.
/// </summary>
internal sealed class KernelEngine : IMountEngine
{
    /// <summary>What diagnostics cannot tell of such a mount.</summary>
    public const string NotSeen = "what the kernel's overlay does is not seen here: failures in the upper are told to the programs alone";

    private const int SoonMs = 5_000;
    private const int LastMomentMs = 500;

    private readonly MountPlan _plan;
    private readonly Log _log;
    private readonly FuseServer? _lower;
    private readonly UpperClaim _claim;
    private readonly OwnedFd _ended;
    private readonly OwnedFd? _watch;
    private readonly bool _asErofs;

    private KernelEngine(MountPlan plan, Log log, FuseServer? lower, UpperClaim claim, OwnedFd ended, OwnedFd? watch, DeviceNumber device, MountedView? view, bool asErofs)
    {
        _asErofs = asErofs;
        _watch = watch;
        View = view;
        _plan = plan;
        _log = log;
        _lower = lower;
        _claim = claim;
        _ended = ended;
        Device = device;
    }

    public string Name => "kernel";

    public DeviceNumber Device { get; }

    public int EndedDescriptor => _ended.Value;

    public int ServedDescriptor => _lower?.Descriptor ?? -1;

    public MountedView? View { get; }

    /// <summary>Mounts a plan that has an upper.</summary>
    /// <param name="plan">Checked folders.</param>
    /// <param name="asErofs">Its one layer, an image, is read by the kernel's EROFS (<see cref="ErofsLower"/>).</param>
    /// <param name="upper">The upper.</param>
    /// <param name="work">Its work folder.</param>
    /// <param name="layers">Opens the others.</param>
    /// <param name="diagnostics">Counts the requests.</param>
    /// <param name="clock">Told of the steps.</param>
    /// <exception cref="MountProblem">Host: with what is wrong; nothing stays mounted or open, and the plan is as it was.</exception>
    public static KernelEngine Mount(MountPlan plan, bool asErofs, OwnedFd upper, OwnedFd work, LayerFactory layers, MountDiagnostics diagnostics, StartClock clock)
    {
        var claim = Claim(plan, upper, work, diagnostics.Log);
        FuseServer? lower = null;
        OwnedFd? overlay = null;
        OwnedFd? ended = null;
        OwnedFd? watch = null;
        try
        {
            clock.Step("upper claimed");
            using var unmade = asErofs ? ErofsLower.Open(plan) : null;
            var shown = ServesLayers(plan) ? layers.OpenOverlay(withUpper: false, asErofs) : null;
            lower = shown is null ? null : FuseEngine.Serve(plan, shown, isLower: true, diagnostics, clock, layers.DescribePath);
            using var served = lower is null ? null : OpenRoot(plan.MountPoint);
            using var erofs = served is null ? null : unmade?.Make(served, diagnostics.Log);
            var root = erofs ?? served;
            overlay = KernelOverlay.Make(new KernelOverlayOptions
            {
                Source = MountEntry.SourceOf(plan.Id, plan.SourceName),
                Lowers = root is null ? [.. plan.Lowers.Select(layer => layer.Root).OfType<OwnedFd>()] : [root],
                Upper = upper,
                Work = work,
                Volatile = plan.Request.Durability == Durability.Volatile,
                UserXattrs = plan.UserXattrs,
                MountOptions = plan.Request.MountOptions,
            });
            clock.Step("overlay made");
            if (lower is not null)
            {
                // The name of its connection in /sys/fs/fuse/connections, and 0: of its bdi.
                diagnostics.AddGauge("lower_device_minor", () => lower.Device.Minor);
            }

            // The end of a lower that is served is the end of the overlay, unless its connection was cut off: only then the watch tells more, and there may be none.
            if (lower is null)
            {
                ended = watch = EndOfMount.Watch(overlay);
            }
            else
            {
                ended = EndOfMount.NewEvent();
                _ = EndOfMount.TryWatch(overlay, out watch); // without it the kernel is asked at the end
            }

            // From its place on the overlay may outlive this process: nothing may fail after that.
            var device = DeviceOf(overlay);
            var error = claim.Mark(LeftOverlay.MarkOf(device, plan.MountPoint));
            if (error != Errno.None)
            {
                throw MountProblem.Host($"upper {plan.UpperPath} (work {plan.WorkPath}) cannot be marked as the kernel's", error);
            }

            Hide(lower, plan.MountPoint);
            KernelOverlay.Place(overlay, plan.MountPoint);
            claim.SignUserMarks();
            clock.Step("overlay in its place");
            var view = layers.Changes is { } changes && lower is not null
                ? new MountedView(changes, layers.ChangesSlot, lower.FileSystem, null, MountedView.NotOnKernelEngine, layers.GivenRevision)
                : null;
            var engine = new KernelEngine(plan, diagnostics.Log, lower, claim, ended, watch, device, view, asErofs);
            ended = watch = null;
            return engine;
        }
        catch (MountProblem)
        {
            TakeBack(plan, claim, lower, overlay);
            throw;
        }
        finally
        {
            ended?.Dispose();
            watch?.Dispose();
            overlay?.Dispose(); // in its place by now, or gone with this
        }
    }

    public void Complete()
    {
        if (_lower is { } lower)
        {
            lower.StartOthers();
            EndOfMount.TellBy(_ended, lower.WaitEnd);
        }
    }

    public Errno Unmount(bool lazy)
    {
        var error = _asErofs ? UnmountErofs(lazy) : MountPoints.Unmount(_plan.MountPoint, Device, lazy, ServedDescriptor);

        // Not mounted there: somebody else was faster, or it lives on out of sight.
        const int SoMuchFasterMs = 500;
        return error is Errno.EINVAL or Errno.ENOENT && WaitEnd(SoMuchFasterMs) ? Errno.None : error;
    }

    public bool Close()
    {
        _lower?.FileSystem.Dispose();
        var hasEnded = OverlayHasEnded();
        if (hasEnded)
        {
            Release(_plan, _claim, _log, isThrownAway: _plan.DiscardsUpper);
        }
        else
        {
            _log.Warn($"the kernel's overlay that was mounted at {_plan.MountPoint} is still in use without the tree below it: the upper {_plan.UpperPath} is taken until the last of its users ends");
        }

        _ended.Dispose();
        _watch?.Dispose();
        return hasEnded;
    }

    public Errno Abandon()
    {
        var error = Unmount(lazy: true);
        if (error == Errno.None && WaitEnd(SoonMs))
        {
            _ = Close(); // what it says of the upper is logged
        }

        return error;
    }

    /// <summary>
    /// True when a layer is no plain folder (an image, a server, a dir: tree), or the kernel's overlay would not show what is mounted inside of one, or
    /// not read its marks. Whether a layer above another one has such marks somewhere nobody can see at a mount, so unasked several folders are merged here.
    /// </summary>
    private static bool ServesLayers(MountPlan plan) =>
        plan.Lowers.Any(lower => lower.Spec.Kind != SourceKind.Folder)
        || (plan.Request.Engine == EngineWish.Kernel ? ForeignMarks.OfLowers(plan) is not null : plan.Lowers.Count > 1)
        || MountTable.Read().Exists(entry => plan.Lowers.Any(
            lower => entry.MountPoint != lower.RealPath && HostPath.IsSameOrInside(entry.MountPoint, lower.RealPath)));

    /// <summary>
    /// EROFS waits, not to be killed, until all is answered that was asked of us. If this process is killed meanwhile, the thread that waits must
    /// not be what keeps the device open, or nobody would ever answer.
    /// </summary>
    private Errno UnmountErofs(bool lazy)
    {
        var error = Errno.None;
        var thread = new Thread(() =>
        {
            _ = Fd.LeaveAll(); // without it only a kill in this moment is worse
            error = MountPoints.Unmount(_plan.MountPoint, Device, lazy, served: -1);
        })
        { IsBackground = true, Name = "unmount" };
        thread.Start();
        thread.Join();
        return error;
    }

    private static UpperClaim Claim(MountPlan plan, OwnedFd upper, OwnedFd work, Log log)
    {
        var error = UpperClaim.Take(upper.Value, work.Value, LayerFactory.UpperOptionsOf(plan, log), out var claim, out var problem);
        return error == Errno.None && claim is not null
            ? claim
            : throw MountProblem.Host($"upper {plan.UpperPath} (work {plan.WorkPath}): {problem ?? ErrnoText.Of(error)}", isFinal: error == Errno.EBUSY, isForeseen: true);
    }

    private static OwnedFd OpenRoot(string path)
    {
        var error = HostPath.OpenFolder(path, out var fd);
        return error == Errno.None ? new OwnedFd(fd) : throw MountProblem.Host($"the lower layer at {path} does not answer", error);
    }

    private static DeviceNumber DeviceOf(OwnedFd overlay)
    {
        var error = DeviceNumber.Of(overlay.Value, out var device);
        return error == Errno.None ? device : throw MountProblem.Host("cannot look at the kernel's overlay", error);
    }

    private static void Hide(FuseServer? lower, string mountPoint)
    {
        if (lower is not null && MountPoints.Unmount(mountPoint, lower.Device, lazy: true, lower.Descriptor) is var error and not Errno.None)
        {
            throw MountProblem.Host($"cannot take the lower layer at {mountPoint} out of sight", error);
        }
    }

    /// <summary>Of a mount that did not get to its place: the overlay goes with its descriptor.</summary>
    private static void TakeBack(MountPlan plan, UpperClaim claim, FuseServer? lower, OwnedFd? overlay)
    {
        overlay?.Dispose();
        if (lower is not null)
        {
            _ = lower.Unmount(lazy: true); // if it was hidden already, it went with the overlay
            if (lower.WaitEnd(SoonMs))
            {
                lower.FileSystem.Dispose();
            }
        }

        // Also of an upper that will be thrown away: the other engine may take it up now.
        Release(plan, claim, Log.Off, isThrownAway: false); // the failure that brought us here is what the user hears of
    }

    private static void Release(MountPlan plan, UpperClaim claim, Log log, bool isThrownAway)
    {
        var error = isThrownAway ? Errno.None : claim.Release(sync: !plan.DiscardsUpper);
        if (error != Errno.None)
        {
            log.Warn($"the work folder {plan.WorkPath} could not be put in order: {ErrnoText.Of(error)}");
        }
    }

    /// <summary>False: this process serves nothing any more, but the overlay lives (its connection to the lower was cut off), or nobody can tell.</summary>
    private bool OverlayHasEnded() => _watch is { } watch ? EndOfMount.WaitFor(watch, LastMomentMs) : !_claim.IsInUse();

    private bool WaitEnd(int timeoutMs) => _lower is { } lower ? lower.WaitEnd(timeoutMs) : EndOfMount.WaitFor(_ended, timeoutMs);
}
