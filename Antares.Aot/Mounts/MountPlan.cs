using System.Globalization;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Image.Remote;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Layers;
using Antares.Aot.Overlay;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>A lower layer with its root opened.</summary>
/// <param name="Spec">As asked for, with its kind as found.</param>
/// <param name="RealPath">A folder or file without links; of a server the address, with the revision that is mounted or without what may be a secret.</param>
/// <param name="Root">Descriptor of the folder, or of the image file, of which layers have duplicates; null: the source is a server, or not packed or fetched yet.</param>
public sealed record PlannedLower(SourceSpec Spec, string RealPath, OwnedFd? Root)
{
    /// <summary>The server, once it was asked; the layer takes it over.</summary>
    internal PinnedMega? Mega { get; set; }

    /// <summary>The server of an image, once it was asked; the layer takes it over.</summary>
    internal PinnedImage? Remote { get; set; }

    /// <summary>A part of the image only is here: it is of no use without its server.</summary>
    internal bool IsPart { get; init; }

    /// <summary>What becomes an image before it is mounted; null: nothing.</summary>
    internal PackedSource? Packed { get; set; }

    /// <summary>The root is, or will be, an image file.</summary>
    public bool IsImage => Spec.Kind is SourceKind.Image or SourceKind.Git or SourceKind.Tar or SourceKind.Remote;
}

/// <summary>
/// A <see cref="MountRequest"/> held against the host: every folder opened, every rule checked, what was missing made. Disposing it
/// without <see cref="Keep"/> takes back what was made.
/// </summary>
public sealed class MountPlan : IDisposable
{
    private const string WorkSuffix = ".antares-work";

    private readonly List<PlannedLower> _lowers = [];
    private bool _kept;
    private bool _madeWork;

    private MountPlan(MountRequest request, string id)
    {
        Request = request;
        Id = id;
        IsRoot = Process.Geteuid() == 0;
        AllowOther = request.AllowOther ?? IsRoot;
        UserXattrs = request.UserXattrs ?? !MayUseTrustedXattrs();
        Uids = MapOf(request.Behaviour, request.Behaviour.Uids, request.Behaviour.SquashToUid, "/proc/sys/kernel/overflowuid");
        Gids = MapOf(request.Behaviour, request.Behaviour.Gids, request.Behaviour.SquashToGid, "/proc/sys/kernel/overflowgid");
    }

    public MountRequest Request { get; }

    public string Id { get; }

    public bool IsRoot { get; }

    public bool AllowOther { get; }

    public bool UserXattrs { get; }

    /// <summary>Owners as the mount shows them.</summary>
    public IdMap Uids { get; }

    /// <summary>Groups, likewise.</summary>
    public IdMap Gids { get; }

    /// <summary>Top first.</summary>
    public IReadOnlyList<PlannedLower> Lowers => _lowers;

    /// <summary>Path without links.</summary>
    public string MountPoint { get; private set; } = "";

    /// <summary>Null: nothing is written.</summary>
    public OwnedFd? Upper { get; private set; }

    public string? UpperPath { get; private set; }

    public OwnedFd? Work { get; private set; }

    public string? WorkPath { get; private set; }

    /// <summary>The work folder was made beside the upper and goes with the mount.</summary>
    public bool WorkIsOurs { get; private set; }

    public Workspace? Workspace { get; private set; }

    /// <summary>The upper lies in a workspace that goes with the mount, so closing it need not make it durable.</summary>
    public bool DiscardsUpper => Request.Upper is null && !Request.Keep;

    /// <summary>Folder for what Dicfuse cannot hold in memory; null: memory only.</summary>
    public string? StorePath => Workspace?.Store;

    private bool NeedsUpper => Request.Upper is null && !Request.ReadOnly;

    private bool NeedsWorkspace => NeedsUpper || Request.MountPoint is null;

    /// <summary>What was asked for, with its paths checked and opened.</summary>
    /// <param name="request">From the command line.</param>
    /// <param name="log">Hears of what is done without.</param>
    /// <param name="announce">Told of the plan when its paths are known and nothing is made yet.</param>
    /// <param name="report">Who waits for the mount, or null: packing a source ends when nobody does.</param>
    /// <exception cref="MountProblem">Usage or Host; nothing is left behind.</exception>
    public static MountPlan Make(MountRequest request, Log log, Action<MountPlan>? announce = null, ReadyReport? report = null)
    {
        var plan = new MountPlan(request, Workspace.NewId());
        try
        {
            plan.OpenLowers();
            plan.OpenMountPoint();
            plan.OpenUpper();
            plan.PlaceWorkspace(log);
            announce?.Invoke(plan);
            plan.MakeWorkspace(log);
            plan.AskServers(log, report);
            plan.PackSources(log, report);
            plan.CopyRootAttributes(log);
            plan.OpenWork();
            OverlapRules.Check(plan);
            return plan;
        }
        catch (MountProblem)
        {
            plan.Dispose();
            throw;
        }
    }

    /// <summary>What is shown in the table of mounts: the name asked for, or SOURCE without links.</summary>
    public string SourceName => Request.FsName ?? (_lowers[^1].Spec with { Path = _lowers[^1].RealPath }).ToString();

    /// <summary>The mount is up: what was made stays until the mount ends. Its layers have their own descriptors.</summary>
    public void Keep()
    {
        _kept = true;
        CloseLowers();
    }

    public void Dispose()
    {
        CloseLowers();
        Upper?.Dispose();
        Work?.Dispose();
        if (!_kept)
        {
            _ = Workspace?.Remove(); // the failure that brought us here is what the user hears of
            if (_madeWork && WorkPath is not null)
            {
                // Only what this very plan made: a folder that was there may be marked by a crash, or somebody's own.
                _ = OwnWork.Remove(WorkPath, whatItHolds: true); // as far as it can be
            }
        }
    }

    /// <summary>
    /// Removes the work folder beside the upper, after a mount that used it has ended cleanly; not when it still holds what the next mount must
    /// see: the mark of a volatile mount that could not be synced, or notes of modes lent.
    /// </summary>
    public void RemoveOwnWork()
    {
        if (WorkIsOurs && WorkPath is not null)
        {
            _ = OwnWork.Remove(WorkPath, whatItHolds: false); // leftovers there are taken up by the next mount of the upper
        }
    }

    private void CloseLowers()
    {
        foreach (var lower in _lowers)
        {
            lower.Root?.Dispose();
            lower.Mega?.Dispose();
            lower.Mega = null; // a layer may have it instead
            lower.Remote?.Dispose();
            lower.Remote = null; // as above
            lower.Packed?.Dispose();
        }
    }

    private static IdMap MapOf(MountBehaviour behaviour, IReadOnlyList<IdRange>? ranges, uint? squash, string overflowFile)
    {
        if (ranges is null && squash is null)
        {
            return IdMap.Identity;
        }

        const uint Usual = 65534;
        var overflow = HostPath.ReadAll(overflowFile, out var content) == Errno.None
            && uint.TryParse(System.Text.Encoding.ASCII.GetString(content).Trim(), CultureInfo.InvariantCulture, out var id) ? id : Usual;
        return new IdMap(ranges ?? [], squash ?? IdMap.None, overflow, behaviour.TakesUnmappedCallers);
    }

    /// <summary>The kernel keeps trusted.* to CAP_SYS_ADMIN in the first user namespace.</summary>
    private static bool MayUseTrustedXattrs()
    {
        const string FirstUserNamespace = "user:[4026531837]"; // PROC_USER_INIT_INO, the same on every kernel
        return Process.HasCapability(Process.CAP_SYS_ADMIN)
            && (HostPath.ReadLink("/proc/self/ns/user", out var space) != Errno.None || space == FirstUserNamespace);
    }

    private void OpenLowers()
    {
        if (Request.Lowers.Count > OverlayOptions.MaxLowers)
        {
            throw MountProblem.Usage($"{Request.Lowers.Count} lower folders: at most {OverlayOptions.MaxLowers} are possible; merge some of them first");
        }

        foreach (var spec in Request.Lowers)
        {
            if (spec.Kind == SourceKind.Mega)
            {
                _lowers.Add(new PlannedLower(spec, MegaSetup.Address(spec, Request.Mega).ToString(), null));
                continue;
            }

            if (spec.Kind == SourceKind.Remote)
            {
                _lowers.Add(new PlannedLower(spec, ImageSetup.Address(spec).Shown, null));
                continue;
            }

            if (spec.Kind is SourceKind.Git or SourceKind.Tar)
            {
                var packed = PackedSource.Find(spec);
                _lowers.Add(new PlannedLower(spec, packed.ShownPath, null) { Packed = packed });
                continue;
            }

            if (spec.Kind is SourceKind.Folder or SourceKind.Image && OpenImage(spec) is { } image)
            {
                _lowers.Add(image);
                continue;
            }

            var fd = OpenFolder("source", spec.Path, "give an existing folder or an image");
            _lowers.Add(new PlannedLower(spec, HostPath.RealPathOf(fd, spec.Path), new OwnedFd(fd)));
        }

        if (Request.Mega.LooksAhead && !_lowers.Exists(lower => lower.Spec.Kind is SourceKind.Mega or SourceKind.Remote))
        {
            throw MountProblem.Usage("--prefetch, --record and --replay need a mega: or https: source: others are at hand as they are");
        }
    }

    /// <summary>The image that a bare path leads to; null where it is no regular file.</summary>
    /// <exception cref="MountProblem">Host: a file that cannot be read, or is no image.</exception>
    private static PlannedLower? OpenImage(SourceSpec spec)
    {
        var isThere = HostPath.Stat(spec.Path, out var attributes);
        if (isThere != Errno.None || !StatMode.IsRegular(attributes.st_mode))
        {
            return spec.Kind == SourceKind.Folder ? null
                : isThere == Errno.None ? throw MountProblem.Host($"image {spec.Path} is no regular file; a folder goes on top with --layer")
                : throw MountProblem.Host($"image {spec.Path}", isThere);
        }

        // Not blocking: what was a file may be a FIFO by now.
        var error = HostPath.Open(spec.Path, Fcntl.O_RDONLY | Fcntl.O_NONBLOCK, 0, out var fd);
        if (error != Errno.None)
        {
            throw MountProblem.Host($"source {spec.Path}", error);
        }

        var root = new OwnedFd(fd);
        if (ImageLayer.IsImage(fd))
        {
            return new PlannedLower(spec with { Kind = SourceKind.Image }, HostPath.RealPathOf(fd, spec.Path), root);
        }

        root.Dispose();
        throw MountProblem.Host($"source {spec.Path} is a file, but no image (antares-aot pack makes one); give a folder or an image");
    }

    private void OpenMountPoint()
    {
        if (Request.MountPoint is not { } path)
        {
            return;
        }

        var fd = OpenFolder("mount point", path, $"make it first: mkdir -p {path}");
        using var owned = new OwnedFd(fd);
        MountPoint = RealPath("mount point", fd, path);
        if (MountTable.MayBeOurs(fd) && MountTable.Find(MountPoint) is { IsOurs: true })
        {
            throw MountProblem.Host($"mount point {path}: already a mount of antares-aot; antares-aot umount {path} first, or choose another folder");
        }

        if (_lowers.Exists(lower => lower.RealPath == MountPoint))
        {
            throw MountProblem.Host($"mount point {path} is the source itself; choose another, empty folder");
        }

        var error = HostPath.List(fd, 1, out var names);
        if (error != Errno.None)
        {
            throw MountProblem.Host($"mount point {path} cannot be listed", error);
        }

        if (names.Count > 0)
        {
            throw MountProblem.Host($"mount point {path} is not empty (it holds '{names[0]}'): choose an empty folder");
        }
    }

    private void OpenUpper()
    {
        if (Request.Upper is not { } path)
        {
            return;
        }

        var fd = OpenFolder("upper", path, $"make it first: mkdir -p {path}");
        if (Request.ReadOnly)
        {
            // Nothing will be written, so it is one more lower layer, the uppermost.
            _lowers.Insert(0, new PlannedLower(new SourceSpec(SourceKind.Folder, path), HostPath.RealPathOf(fd, path), new OwnedFd(fd)));
            return;
        }

        Upper = new OwnedFd(fd);
        UpperPath = RealPath("upper", fd, path);
        MustBeWritable("upper", path);
    }

    private void PlaceWorkspace(Log log)
    {
        if (!NeedsWorkspace && !_lowers.Exists(lower => lower.Spec.Kind == SourceKind.Dicfuse))
        {
            return;
        }

        try
        {
            Workspace = Workspace.In(Request.WorkspaceRoot, Id);
        }
        catch (MountProblem problem) when (!NeedsWorkspace)
        {
            WarnOfMemory(log, problem);
            return;
        }

        if (Request.MountPoint is null)
        {
            MountPoint = Workspace.MountPoint;
        }

        if (NeedsUpper)
        {
            UpperPath = Workspace.Upper;
            WorkPath = Workspace.Work;
        }
    }

    private void MakeWorkspace(Log log)
    {
        try
        {
            Workspace?.Make(AllowOther);
        }
        catch (MountProblem problem) when (!NeedsWorkspace)
        {
            WarnOfMemory(log, problem);
            Workspace = null;
        }

        if (NeedsUpper && UpperPath is not null && WorkPath is not null)
        {
            Upper = new OwnedFd(OpenFolder("upper", UpperPath, "it was just made"));
            Work = new OwnedFd(OpenFolder("work", WorkPath, "it was just made"));
        }
    }

    /// <summary>Servers are asked when all that can be checked here has been, and before anything is mounted.</summary>
    private void AskServers(Log log, ReadyReport? report)
    {
        for (var i = 0; i < _lowers.Count; i++)
        {
            if (_lowers[i].Spec.Kind == SourceKind.Mega)
            {
                var pinned = MegaSetup.Pin(MegaSetup.Address(_lowers[i].Spec, Request.Mega), Request.Mega, StorePath, log);
                var address = pinned.Options.Address with { Revision = pinned.Trees.Commit.Id.ToString() };
                _lowers[i] = _lowers[i] with { RealPath = address.ToString(), Mega = pinned };
            }

            if (_lowers[i].Spec.Kind == SourceKind.Remote)
            {
                using var interruption = new Interruption(report, progress: null);
                AskForImage(_lowers[i].Spec, i, log, interruption);
            }
        }
    }

    private void AskForImage(SourceSpec spec, int index, Log log, Interruption interruption)
    {
        var pinned = ImageSetup.Pin(spec, Request.Mega, StorePath, log, () => interruption.Tell(default));
        if (pinned.IsWhole)
        {
            pinned.Dispose(); // nothing will be asked of it
        }

        _lowers[index] = _lowers[index] with { Root = pinned.File, Remote = pinned.IsWhole ? null : pinned, IsPart = !pinned.IsWhole };
    }

    /// <summary>Makes images of what is none, or finds those that were made before.</summary>
    private void PackSources(Log log, ReadyReport? report)
    {
        for (var i = 0; i < _lowers.Count; i++)
        {
            if (_lowers[i] is { Packed: { } packed } lower)
            {
                using var interruption = new Interruption(report, Request.Progress);
                _lowers[i] = lower with { Root = packed.OpenImage(Request.Mega.Store, StorePath, Request.Mega.StoreLimit, log, interruption.Tell) };
            }
        }
    }

    /// <summary>The upper of a workspace looks like the source's root, whose attributes it hides.</summary>
    private void CopyRootAttributes(Log log)
    {
        if (!NeedsUpper || Upper is null)
        {
            return;
        }

        var error = _lowers[0] switch
        {
            // An image's root is asked when it is open (LayerFactory).
            { IsImage: true } => Errno.None,
            { Root: { } root } => RootAttributes.Copy(root.Value, Upper.Value),
            { Mega: { } mega } => RootAttributes.Set(Upper.Value, mega.Trees.Commit.Seconds),
            _ => Errno.None,
        };
        if (error != Errno.None)
        {
            log.Warn($"the root of the mount could not be given all attributes of the source's root: {ErrnoText.Of(error)}");
        }
    }

    private static void WarnOfMemory(Log log, MountProblem problem) => log.Warn($"file contents are kept in memory only: {problem.Message}");

    private void OpenWork()
    {
        if (Upper is null || Work is not null)
        {
            return;
        }

        if (Request.Work is { } given)
        {
            var fd = OpenFolder("work", given, $"make it first, on the upper's file system: mkdir -p {given}");
            Work = new OwnedFd(fd);
            WorkPath = RealPath("work", fd, given);
            MustBeWritable("work", given);
            return;
        }

        var path = UpperPath == "/" ? "/" + WorkSuffix : $"{Path.GetDirectoryName(UpperPath)?.TrimEnd('/')}/.{Path.GetFileName(UpperPath)}{WorkSuffix}";
        WorkIsOurs = true;
        WorkPath = path;
        Work = new OwnedFd(OwnWork.Open(path, out _madeWork));
    }

    /// <summary>Opens a folder that the user named.</summary>
    /// <exception cref="MountProblem">Host: with what is wrong and <paramref name="advice"/>.</exception>
    private static int OpenFolder(string what, string path, string advice)
    {
        var error = HostPath.OpenFolder(path, out var fd);
        return error switch
        {
            Errno.None => fd,
            Errno.ENOENT => throw MountProblem.Host($"{what} {path}: no such folder; {advice}"),
            Errno.ENOTDIR => throw MountProblem.Host($"{what} {path} is not a folder"),
            Errno.ENOTCONN => throw MountProblem.Host($"{what} {path} is a dead mount (its process is gone); antares-aot umount --stale, or umount {path}, first"),
            Errno.EACCES or Errno.EPERM => throw MountProblem.Host($"{what} {path}: no permission to open it ({error}); give this user access or run as its owner"),
            _ => throw MountProblem.Host($"{what} {path}", error),
        };
    }

    /// <summary>The path without links of a folder that is used by its path later.</summary>
    /// <exception cref="MountProblem">Usage: it is not UTF-8.</exception>
    private static string RealPath(string what, int fd, string path)
    {
        var real = HostPath.RealPathOf(fd, path);
        return HostPath.IsFaithful(real)
            ? real
            : throw MountProblem.Usage($"{what} {path}: its path without links ({real}) is not UTF-8; give a folder whose path is");
    }

    private static void MustBeWritable(string what, string path)
    {
        var error = HostPath.MayWrite(path);
        if (error != Errno.None)
        {
            throw MountProblem.Host($"{what} {path}: cannot be written: {ErrnoText.Of(error)}; give this user access, or choose another folder");
        }
    }
}
