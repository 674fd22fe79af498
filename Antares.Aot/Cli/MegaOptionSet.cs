using System.CommandLine;
using System.Globalization;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Mega.Changes;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary>The options of sources on servers (<c>mega:</c>, <c>https:</c>), and how they become a <see cref="MegaRequest"/>.</summary>
internal sealed class MegaOptionSet
{
    private readonly Option<string?> _baseUrl = new("--base-url") { Description = "Server of mega:/PATH, which names none (default: $SCORPIO_BASE_URL)", HelpName = "URL" };
    private readonly Option<string?> _path = new("--path") { Description = "Directory of a mega: source, instead of one in its address", HelpName = "PATH" };
    private readonly Option<string?> _revision = new("--revision") { Description = "Commit or tag of a mega: source (default: the server's head)", HelpName = "REV" };
    private readonly Option<string?> _cl = new("--cl") { Description = "Changelist of the server to show over a mega: source", HelpName = "LINK" };
    private readonly Option<string?> _clPath = ClPathOption();
    private readonly Option<string?> _store = new("--store") { Description = "Folder of what servers sent and git: and tar: became, shared by all mounts (default: one of this user)", HelpName = "DIR" };
    private readonly Option<string?> _storeLimit = new("--store-limit") { Description = "Most bytes in it, as 512M or 20G; the least used go first (default: 20G)", HelpName = "SIZE" };
    private readonly Option<bool> _offline = new("--offline") { Description = "Ask no server: show what the store holds" };
    private readonly Option<string?> _onDrift = new("--on-drift") { Description = "fail or warn: a server that shows another revision than the pinned one (default: fail)", HelpName = "WHAT" };
    private readonly Option<string?> _tokenFile = new("--token-file") { Description = "File with the server's bearer token (default: $ANTARES_TOKEN)", HelpName = "FILE" };
    private readonly Option<string?> _headerFile = new("--header-file") { Description = "File with further headers, NAME: VALUE on each line (default: $ANTARES_HEADERS)", HelpName = "FILE" };
    private readonly Option<string[]> _prefetch = new("--prefetch")
    {
        Description = "What to fetch of a mega: or https: source before it is asked for, with all below it: names below MNT with *, ? and **, or a file of such, its path beginning with / or ./; repeatable",
        HelpName = "GLOB|FILE",
        Arity = ArgumentArity.OneOrMore,
        AllowMultipleArgumentsPerToken = false,
    };

    private readonly Option<string?> _record = new("--record") { Description = "Write at the end what was looked up and read of a mega: or https: source", HelpName = "FILE" };
    private readonly Option<string?> _replay = new("--replay") { Description = "Fetch what such a list names, in its order; may be the file of --record", HelpName = "FILE" };
    private readonly Option<string?> _caFile = new("--ca-file") { Description = "Certificates to trust instead of the system's, as PEM", HelpName = "FILE" };

    private readonly Option<bool> _download = new("--download") { Description = "Fetch an https: image whole before it is mounted, also from a server that sends no parts of files" };

    private Option[] All => [_baseUrl, _path, _revision, _cl, _clPath, _store, _storeLimit, _offline, _onDrift, _tokenFile, _headerFile, _caFile, _download, _prefetch, _record, _replay];

    /// <summary>Those that an image on a server has.</summary>
    private Option[] OfImages => [_store, _storeLimit, _offline, _tokenFile, _headerFile, _caFile, _download, _prefetch, _record, _replay];

    /// <summary><c>--cl-path</c>, which <c>cl set</c> has too.</summary>
    public static Option<string?> ClPathOption() =>
        new("--cl-path") { Description = "Directory of the monorepo that the changelist's paths begin at (default: as the server tells, else /)", HelpName = "PATH" };

    /// <exception cref="MountProblem">Usage: no name of a changelist.</exception>
    public static string CheckedLink(string link) => Changelist.IsLink(link)
        ? link
        : throw MountProblem.Usage($"changelist '{Changelist.Shown(link)}': give its link, letters, digits, '.', '_' and '-'");

    /// <summary>What <see cref="ClPathOption"/> says, as "/" or "/a/b".</summary>
    /// <exception cref="MountProblem">Usage.</exception>
    public static string? ClPath(ParseResult result, Option<string?> option)
    {
        if (result.GetValue(option) is not { } path)
        {
            return null;
        }

        var clean = path.Trim('/');
        var problem = !path.StartsWith('/') ? "a path that does not begin with '/'" : clean.Length == 0 ? null : Changelist.DamageOf(clean);
        return problem is null ? "/" + clean : throw MountProblem.Usage($"--cl-path '{Changelist.Shown(path)}': {problem}; give a directory of the monorepo, as /third-party/foo");
    }

    /// <summary>Those of mounts alone: fetching what nobody has asked for yet, and changelists.</summary>
    private Option[] Ahead => [_cl, _clPath, _download, _prefetch, _record, _replay];

    /// <param name="command">The verb.</param>
    /// <param name="looksAhead">False: it reads everything anyway.</param>
    public void AddTo(Command command, bool looksAhead = true)
    {
        foreach (var option in looksAhead ? All : All.Except(Ahead))
        {
            command.Options.Add(option);
        }
    }

    /// <summary>Refuses what would count for nothing: a user who says where a token is means a server.</summary>
    /// <param name="result">The parsed command line.</param>
    /// <param name="lowers">The sources.</param>
    /// <param name="keepsImages">True: commits and archives are packed into the store.</param>
    /// <exception cref="MountProblem">Usage: options of mega: sources, and no such source.</exception>
    public void Check(ParseResult result, IReadOnlyList<SourceSpec> lowers, bool keepsImages = true)
    {
        var hasImages = lowers.Any(lower => lower.Kind == SourceKind.Remote);
        IEnumerable<Option> fitting = lowers.Any(lower => lower.Kind == SourceKind.Mega) ? All.Except([_download]) : [];
        fitting = hasImages ? fitting.Concat(OfImages) : fitting;
        fitting = keepsImages && lowers.Any(lower => lower.Kind is SourceKind.Git or SourceKind.Tar) ? fitting.Concat([_store, _storeLimit]) : fitting;
        var given = All.Except(fitting).Where(option => result.GetResult(option) is { Implicit: false }).ToList();
        if (given.Count > 0)
        {
            var kind = given.Contains(_download) ? "https: images"
                : given.TrueForAll(option => option == _store || option == _storeLimit) ? (keepsImages ? "mega:, git:, tar: and https: sources" : "mega: and https: sources")
                : given.TrueForAll(option => OfImages.Contains(option)) ? "mega: and https: sources"
                : "mega: sources";
            var example = given.Contains(_download) ? "https://HOST/TREE.dic" : "mega:URL/PATH";
            throw MountProblem.Usage($"{string.Join(", ", given.Select(option => option.Name))}: only for {kind}, and there is none here; leave {(given.Count == 1 ? "it" : "them")} out, or give {example}");
        }

        if (result.GetValue(_download) && result.GetValue(_offline))
        {
            throw MountProblem.Usage("--download and --offline exclude each other: one asks the server for everything, the other for nothing");
        }
    }

    /// <exception cref="MountProblem">Usage.</exception>
    public MegaRequest Request(ParseResult result)
    {
        foreach (var (name, value) in (ReadOnlySpan<(string, string?)>)[("--store", result.GetValue(_store)), ("--token-file", result.GetValue(_tokenFile)), ("--header-file", result.GetValue(_headerFile)), ("--replay", result.GetValue(_replay))])
        {
            if (value is not null)
            {
                SourceSpec.CheckPath(name, value);
            }
        }

        return new MegaRequest
        {
            BaseUrl = result.GetValue(_baseUrl),
            Path = result.GetValue(_path),
            Revision = result.GetValue(_revision),
            Changelist = result.GetValue(_cl) is { } link ? CheckedLink(link) : null,
            ChangelistPath = ClPath(result, _clPath),
            Store = result.GetValue(_store),
            StoreLimit = result.GetValue(_storeLimit) is { } text ? Limit(text) : StoreFolder.DefaultLimit,
            Offline = result.GetValue(_offline),
            Download = result.GetValue(_download),
            OnDrift = result.GetValue(_onDrift) switch
            {
                null or "fail" => OnDrift.Fail,
                "warn" => OnDrift.Warn,
                var other => throw MountProblem.Usage($"--on-drift '{other}': give fail or warn"),
            },
            TokenFile = result.GetValue(_tokenFile),
            HeaderFile = result.GetValue(_headerFile),
            CaFile = result.GetValue(_caFile),
            Prefetch = [.. (result.GetValue(_prefetch) ?? []).SelectMany(LookAhead.Patterns)],
            Record = result.GetValue(_record) is { } record ? LookAhead.RecordPath(record) : null,
            Replay = result.GetValue(_replay) is { } replay ? HostPath.Absolute(replay) : null,
        };
    }

    /// <summary>A number of bytes with K, M, G or T behind it.</summary>
    /// <exception cref="MountProblem">Usage: not so, or too little to be of use.</exception>
    internal static long Limit(string text)
    {
        var unit = text.Length > 0 ? "KMGT".IndexOf(char.ToUpperInvariant(text[^1])) : -1;
        var digits = unit >= 0 ? text[..^1] : text;
        var shift = 10 * (unit + 1);
        return long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number <= (long.MaxValue >> shift)
            && number << shift >= StoreFolder.LeastLimit
            ? number << shift
            : throw MountProblem.Usage($"--store-limit '{text}': give at least {StoreFolder.LeastLimit >> 20}M, as 512M or 20G");
    }
}
