using System.CommandLine;
using System.Globalization;
using Antares.Aot.Diagnostics;
using Antares.Aot.Fuse;
using Antares.Aot.Mounts;
using Antares.Interop;

namespace Antares.Aot.Cli;

/// <summary>The options that <c>mount</c> and <c>run</c> share, and how they become a <see cref="MountRequest"/>.</summary>
internal sealed class MountOptionSet
{
    private readonly Option<string?> _upper = Path("--upper", "Folder that receives the writes (default: one in a workspace)");
    private readonly Option<string?> _work = Path("--work", "Working folder of the overlay, on the upper's file system (default: beside the upper)");
    private readonly Option<string[]> _layers = new("--layer")
    {
        Description = "Folder or image stacked over SOURCE, read-only; repeatable, the first is on top",
        HelpName = "DIR",
        Arity = ArgumentArity.OneOrMore,
        AllowMultipleArgumentsPerToken = false,
    };

    private readonly Option<string[]> _images = new("--image")
    {
        Description = "Image, https://… of one, git:REPO[@REV] or tar:FILE stacked over SOURCE, below every --layer; repeatable, the first is on top",
        HelpName = "IMAGE",
        Arity = ArgumentArity.OneOrMore,
        AllowMultipleArgumentsPerToken = false,
    };

    private readonly Option<bool> _readOnly = new("--read-only") { Description = "Mount read-only" };
    private readonly Option<bool> _keep = new("--keep") { Description = "Keep the workspace after the unmount" };
    private readonly Option<string> _engine = new("--engine")
    {
        Description = "auto (kernel if possible), fuse, or kernel (the kernel's overlay)",
        HelpName = "ENGINE",
        DefaultValueFactory = _ => "auto",
    };

    private readonly Option<bool> _volatile = new("--volatile") { Description = "Skip syncs; after a crash the upper needs --recover" };
    private readonly Option<bool> _fsync = new("--fsync") { Description = "Sync each copied-up file before it shows" };
    private readonly Option<bool> _writeback = new("--writeback") { Description = "Let the kernel collect writes: faster small writes, errors (disk full) at close" };
    private readonly Option<bool> _recover = new("--recover") { Description = "Take up an upper that a crashed --volatile mount left behind" };
    private readonly Option<bool?> _erofs = new("--erofs")
    {
        Description = "Kernel engine over one image: the kernel's EROFS reads it below the overlay (on from Linux 6.15 unless =false; given, it must)",
    };

    private readonly Option<string> _workspaceRoot = new("--workspace-root")
    {
        Description = "Folder in which workspaces are made",
        HelpName = "DIR",
        DefaultValueFactory = _ => "/tmp",
    };

    private readonly Option<string?> _job = new("--job") { Description = "Name of the job, by which the other verbs find the mount", HelpName = "ID" };
    private readonly Option<bool?> _allowOther = new("--allow-other") { Description = "Let other users in (as root: on unless =false)" };
    private readonly Option<string?> _uidMap = Map("--uid-map", "Owners: INSIDE the mount, OUTSIDE in the layers; others show as nobody");
    private readonly Option<string?> _gidMap = Map("--gid-map", "Groups, likewise");
    private readonly Option<string> _whiteouts = new("--whiteouts")
    {
        Description = "Marks of deleted files in the layers: overlay, or aufs for files named .wh.NAME too",
        HelpName = "FORM",
        DefaultValueFactory = _ => "overlay",
    };

    private readonly Option<int> _threads = new("--threads")
    {
        Description = "Threads that take requests while these are long; one does while they are short",
        HelpName = "N",
        DefaultValueFactory = _ => 2,
    };

    private readonly Option<bool?> _quickWakeUps = new("--quick-wakeups")
    {
        Description = "Keep processors from sleeping, and look for the next request before sleeping, while requests follow each other (the former as root: on unless =false; with over 16 processors: off unless given)",
    };

    private readonly Option<string> _logLevel = new("--log-level")
    {
        Description = "error, warn, info or debug",
        HelpName = "LEVEL",
        DefaultValueFactory = _ => "warn",
    };

    private readonly Option<string?> _logFile = Path("--log-file", "Append the log to a file, not to stderr (without it: stderr until the mount is ready)", "FILE");
    private readonly MegaOptionSet _mega = new();
    private readonly Option<int?> _fdCache = new("--fd-cache") { Hidden = true };
    private readonly Option<string?> _initMask = new("--init-mask") { Hidden = true };

    /// <summary>Adds the options to a verb, in the order of the help.</summary>
    public void AddTo(Command command)
    {
        Option[] all =
        [
            _upper, _work, _layers, _images, _readOnly, _keep, _volatile, _fsync, _writeback, _recover, _engine, _erofs, _workspaceRoot, _job, _allowOther, _uidMap, _gidMap, _whiteouts, _threads, _quickWakeUps,
            _logLevel, _logFile, _fdCache, _initMask,
        ];
        foreach (var option in all)
        {
            command.Options.Add(option);
        }

        _mega.AddTo(command);
    }

    /// <summary>The log that was asked for.</summary>
    /// <exception cref="MountProblem">Usage: no such level; Host: the file cannot be opened.</exception>
    public Log OpenLog(ParseResult result)
    {
        var word = result.GetValue(_logLevel) ?? "";
        if (!Log.TryParse(word, out var level))
        {
            throw MountProblem.Usage($"--log-level '{word}': give error, warn, info or debug");
        }

        if (result.GetValue(_logFile) is not { } file)
        {
            return new Log(level);
        }

        var error = Log.Open(level, toStandardError: false, file, out var log);
        return error == Errno.None && log is not null ? log : throw MountProblem.Host($"cannot open the log file {file}", error);
    }

    /// <summary>What stands after -o.</summary>
    /// <exception cref="MountProblem">Usage.</exception>
    public static OverlayOptionList List(ParseResult result, Option<string[]> option, Log log)
    {
        var list = OverlayOptionList.Parse(result.GetValue(option) ?? []);
        if (list.Idle.Count > 0)
        {
            log.Info($"-o: without effect here: {string.Join("; ", list.Idle)}");
        }

        return list;
    }

    /// <summary>True with --read-only.</summary>
    public bool AsksForReadOnly(ParseResult result) => result.GetValue(_readOnly);

    /// <summary>The request of <c>SOURCE [MNT]</c> with the options given.</summary>
    /// <param name="result">The parsed command line.</param>
    /// <param name="source">SOURCE.</param>
    /// <param name="mountPoint">MNT or null.</param>
    /// <param name="otherwise">Durability when nothing is given.</param>
    /// <param name="list">What stands after -o, or null.</param>
    /// <exception cref="MountProblem">Usage.</exception>
    public MountRequest ToRequest(ParseResult result, string source, string? mountPoint, Durability otherwise, OverlayOptionList? list = null)
    {
        var lowers = new List<SourceSpec>();
        foreach (var layer in result.GetValue(_layers) ?? [])
        {
            SourceSpec.CheckPath("--layer", layer);
            lowers.Add(new SourceSpec(SourceKind.Folder, layer));
        }

        lowers.AddRange((result.GetValue(_images) ?? []).Select(ImageOf));
        lowers.Add(SourceSpec.Parse(source));
        var request = new MountRequest { Lowers = lowers, MountPoint = mountPoint };
        return Complete(result, list?.AddTo(request) ?? request, otherwise, list);
    }

    /// <summary>Adds the options given to a request that already has its layers.</summary>
    /// <exception cref="MountProblem">Usage.</exception>
    public MountRequest Complete(ParseResult result, MountRequest request, Durability otherwise, OverlayOptionList? list = null)
    {
        if (list is { Lowers.Count: > 0 } && IsGiven(result, _layers))
        {
            throw MountProblem.Usage("--layer and -o lowerdir=… exclude each other: name the folder in lowerdir, the first is on top");
        }

        var upper = result.GetValue(_upper) ?? request.Upper;
        var work = result.GetValue(_work) ?? request.Work;
        CheckFolders(result, request, upper, work);
        _mega.Check(result, request.Lowers);
        var isVolatile = result.GetValue(_volatile);
        var fsync = result.GetValue(_fsync);
        if (isVolatile && fsync)
        {
            throw MountProblem.Usage("--volatile and --fsync exclude each other: give one");
        }

        var mega = _mega.Request(result);
        CheckChangelist(mega, request.Lowers);
        return request with
        {
            Upper = upper,
            Work = work,
            ReadOnly = request.ReadOnly || result.GetValue(_readOnly),
            Keep = result.GetValue(_keep),
            Durability = isVolatile ? Durability.Volatile : fsync ? Durability.Fsync : list?.Durability ?? otherwise,
            Engine = EngineOf(result.GetValue(_engine)),
            Erofs = result.GetValue(_erofs),
            Writeback = request.Writeback || result.GetValue(_writeback),
            Recover = result.GetValue(_recover),
            WorkspaceRoot = result.GetValue(_workspaceRoot) ?? "/tmp",
            Job = JobId.Check(result.GetValue(_job)),
            AllowOther = result.GetValue(_allowOther) ?? request.AllowOther,
            Behaviour = Behaviour(result, request.Behaviour),
            Threads = InRange("--threads", Threads(result, list), 1, 64),
            QuickWakeUps = result.GetValue(_quickWakeUps),
            FdCache = result.GetValue(_fdCache) is { } files ? InRange("--fd-cache", files, 1, 1 << 20) : null,
            InitMask = InitMaskOf(result.GetValue(_initMask)),
            Mega = mega,
        };
    }

    /// <summary>What --image names; that a file is an image shows when it is opened.</summary>
    private static SourceSpec ImageOf(string text)
    {
        var spec = SourceSpec.Parse(text);
        return spec.Kind is SourceKind.Folder or SourceKind.Git or SourceKind.Tar or SourceKind.Remote
            ? spec with { Kind = spec.Kind == SourceKind.Folder ? SourceKind.Image : spec.Kind }
            : throw MountProblem.Usage($"--image {text}: give an image file or its https: address, git:REPO or tar:FILE; a folder goes on top with --layer");
    }

    private static void CheckChangelist(MegaRequest mega, IReadOnlyList<SourceSpec> lowers)
    {
        if (mega.ChangelistPath is not null && mega.Changelist is null)
        {
            throw MountProblem.Usage("--cl-path needs --cl: it says where a changelist's paths begin");
        }

        if (mega.Changelist is not null && lowers.Count(lower => lower.Kind == SourceKind.Mega) != 1)
        {
            throw MountProblem.Usage("--cl needs a mega: source, whose server has the changelist");
        }

        if (mega is { Changelist: not null, Offline: true })
        {
            throw MountProblem.Usage("--cl and --offline exclude each other: the changelist is asked of the server");
        }
    }

    private int Threads(ParseResult result, OverlayOptionList? list) =>
        IsGiven(result, _threads) ? result.GetValue(_threads) : list?.Threads ?? result.GetValue(_threads);

    private MountBehaviour Behaviour(ParseResult result, MountBehaviour list) => list with
    {
        Uids = IdMapText.Parse("--uid-map", result.GetValue(_uidMap)) ?? list.Uids,
        Gids = IdMapText.Parse("--gid-map", result.GetValue(_gidMap)) ?? list.Gids,
        ReadsAufsWhiteouts = IsGiven(result, _whiteouts)
            ? WhiteoutsText.Parse("--whiteouts", result.GetValue(_whiteouts) ?? "")
            : list.ReadsAufsWhiteouts,
    };

    private static bool IsGiven(ParseResult result, Option option) => result.GetResult(option) is { Implicit: false };

    private void CheckFolders(ParseResult result, MountRequest request, string? upper, string? work)
    {
        (string What, string? Path)[] paths =
        [
            ("mount point", request.MountPoint), ("--upper", upper), ("--work", work), ("--workspace-root", result.GetValue(_workspaceRoot)),
        ];
        foreach (var (what, path) in paths)
        {
            if (path is not null)
            {
                SourceSpec.CheckPath(what, path);
            }
        }

        if (work is not null && upper is null)
        {
            throw MountProblem.Usage("--work needs --upper: a workspace brings its own work folder");
        }
    }

    private static EngineWish EngineOf(string? word) => word switch
    {
        "auto" => EngineWish.Auto,
        "fuse" => EngineWish.Fuse,
        "kernel" => EngineWish.Kernel,
        _ => throw MountProblem.Usage($"--engine '{word}': give auto, fuse or kernel"),
    };

    private static ulong? InitMaskOf(string? text) => text switch
    {
        null => null,
        "5.15" => InitFlags.Linux515,
        _ when text.StartsWith("0x", StringComparison.Ordinal)
            && ulong.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var mask) => mask,
        _ => throw MountProblem.Usage($"--init-mask '{text}': give 5.15 or 0xHEX"),
    };

    private static int InRange(string option, int value, int least, int most) =>
        value >= least && value <= most
            ? value
            : throw MountProblem.Usage(string.Create(CultureInfo.InvariantCulture, $"{option} {value}: give {least} to {most}"));

    private static Option<string?> Map(string name, string description) =>
        new(name) { Description = description, HelpName = "INSIDE:OUTSIDE:COUNT[,…]" };

    private static Option<string?> Path(string name, string description, string helpName = "DIR") =>
        new(name) { Description = description, HelpName = helpName };
}
