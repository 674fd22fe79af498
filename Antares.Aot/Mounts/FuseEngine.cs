using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Fuse;
using Antares.Aot.Overlay;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>The engine whose overlay is ours: everything that the kernel has not cached is asked of this process.</summary>
internal sealed class FuseEngine : IMountEngine
{
    private const int ShortJobMs = 20;

    private readonly FuseServer _server;
    private readonly OwnedFd _ended;

    private FuseEngine(FuseServer server, OwnedFd ended, MountedView? view)
    {
        View = view;
        _server = server;
        _ended = ended;
    }

    public string Name => "fuse";

    public DeviceNumber Device => _server.Device;

    public int EndedDescriptor => _ended.Value;

    public int ServedDescriptor => _server.Descriptor;

    public MountedView? View { get; }

    /// <summary>Mounts a plan and serves it. The plan's descriptors of upper and work are taken over.</summary>
    /// <exception cref="MountProblem">Host: with what is wrong; nothing stays mounted or open.</exception>
    public static FuseEngine Mount(MountPlan plan, LayerFactory layers, MountDiagnostics diagnostics, StartClock clock)
    {
        var overlay = layers.OpenOverlay(withUpper: true);
        var server = Serve(plan, overlay, isLower: false, diagnostics, clock);
        overlay.SignUpper();
        try
        {
            return new FuseEngine(server, EndOfMount.NewEvent(), ViewOf(plan, layers, overlay, server));
        }
        catch (MountProblem)
        {
            _ = server.Unmount(lazy: true); // why it is of no use is told
            throw;
        }
    }

    private static MountedView? ViewOf(MountPlan plan, LayerFactory layers, OverlayFs overlay, FuseServer server)
    {
        if (layers.Changes is not { } changes)
        {
            return null;
        }

        var whyFixed = plan.Lowers.Count > 1 ? MountedView.NotUnderLayers : null;
        return new MountedView(changes, layers.ChangesSlot, overlay, server.Notifier, whyFixed, layers.GivenRevision);
    }

    /// <summary>Mounts an overlay at the plan's mount point and serves it. The overlay is taken over.</summary>
    /// <param name="plan">Where and how.</param>
    /// <param name="overlay">What is shown.</param>
    /// <param name="isLower">It is to be the lower layer of the kernel's overlay.</param>
    /// <param name="diagnostics">Counts the requests.</param>
    /// <param name="clock">Told of the steps.</param>
    /// <param name="describePath">Names what a request was about, where that is not what it asked for.</param>
    /// <exception cref="MountProblem">Host: with what is wrong; nothing stays mounted or open.</exception>
    public static FuseServer Serve(MountPlan plan, OverlayFs overlay, bool isLower, MountDiagnostics diagnostics, StartClock clock, PathDescriber? describePath = null)
    {
        const int PatienceMs = 10_000;

        // Requests that may be stuck at a time: in a long copy, and at each source.
        const int ThreadsOfTheUpper = 8;
        var options = new FuseOptions
        {
            MountPoint = plan.MountPoint,
            FsName = plan.SourceName,
            AllowOther = plan.AllowOther && !isLower,
            ReadOnly = plan.Request.ReadOnly || isLower,
            Threads = plan.Request.Threads,
            QuickWakeUps = plan.Request.QuickWakeUps,
            InitMask = plan.Request.InitMask,
            Writeback = plan.Request.Writeback && !plan.Request.ReadOnly && !isLower,
            Acls = plan.Request.Behaviour is { Acls: true, Xattrs: true },
            MaxThreads = ThreadsOfTheUpper + plan.Lowers.Sum(lower => lower.Spec.Kind switch
            {
                SourceKind.Mega or SourceKind.Remote => RequestPlaces.OfServer,
                SourceKind.Dicfuse => RequestPlaces.OfFolder,
                _ => 0,
            }),
            DescribePath = describePath,
            ExtraMountOptions = isLower ? [] : [.. plan.Request.MountOptions],
        };
        var error = FuseServer.Mount(overlay, options, diagnostics, out var server, out var problem);
        if (error != Errno.None || server is null)
        {
            overlay.Dispose();
            throw FuseAdvice.Explain(plan, error, problem);
        }

        if (!isLower && FuseAdvice.TakenFromUser(plan.IsRoot, plan.Request.MountOptions) is { } taken)
        {
            diagnostics.Log.Warn(taken);
        }

        clock.Step(isLower ? "lower mounted" : "mounted");
        server.Start();
        clock.Step("threads started");
        if (!server.WaitReady(PatienceMs))
        {
            _ = server.Unmount(lazy: true); // why it is of no use is told
            throw MountProblem.Host($"the kernel did not begin to talk to the mount at {plan.MountPoint} within {PatienceMs / 1000} s; see the kernel log (dmesg)");
        }

        clock.Step("kernel has shaken hands");
        return server;
    }

    public void Complete()
    {
        _server.StartOthers();
        EndOfMount.TellBy(_ended, () =>
        {
            // A job that is as short as this needs no room, and should not wait for it at its end.
            if (!_server.WaitEnd(ShortJobMs))
            {
                _server.FileSystem.ReserveDescriptors();
                _server.WaitEnd();
            }
        });
    }

    public Errno Unmount(bool lazy) => _server.Unmount(lazy);

    public bool Close()
    {
        _server.FileSystem.Dispose();
        _ended.Dispose();
        return true;
    }

    public Errno Abandon()
    {
        var error = _server.Unmount(lazy: true);
        _ended.Dispose();
        return error;
    }
}
