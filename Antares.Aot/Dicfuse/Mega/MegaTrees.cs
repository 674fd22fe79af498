using Antares.Aot.Dicfuse.Store;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Mega;

/// <summary>
/// Finds the tree of a directory at the pinned revision: in the store, or from the server in one request where the raw tree has the
/// hash that the parent names, else from the listing, with the modes made out as well as they can be.
/// </summary>
internal sealed class MegaTrees(MegaOptions options, MegaClient client, ObjectStore store, Diagnostics.Log log)
{
    /// <summary>Bytes of a listing or raw tree; more is refused.</summary>
    private const int MostListingBytes = 64 << 20;

    /// <summary>Entries of a directory; more is refused.</summary>
    public const int MostEntries = 500_000;

    /// <summary>A directory without a name in it.</summary>
    public static readonly ObjectId EmptyTree = GitHash.Of(ObjectKind.Tree, default);

    /// <summary>The usual tree in place of an import repository: ".gitkeep", empty.</summary>
    private static readonly ObjectId s_placeholder =
        GitHash.Of(ObjectKind.Tree, GitTreeWriter.Write([new TreeEntry { Name = ".gitkeep"u8.ToArray(), Id = MegaClient.EmptyBlob, Mode = GitMode.File }]));

    /// <summary>An id that no commit has.</summary>
    private static readonly ObjectId s_nowhere = GitHash.OfKey("no such commit");

    private readonly MegaOptions _options = options;
    private readonly MegaClient _client = client;
    private readonly ObjectStore _store = store;
    private readonly Diagnostics.Log _log = log;
    private readonly MegaViews _views = new(store, options.Address.Base);
    private readonly Dictionary<string, MegaView> _seen = new(StringComparer.Ordinal);
    private long _drifts;

    /// <summary>What everything is pinned to.</summary>
    public MegaCommit Commit { get; private set; }

    /// <summary>Directories found to be of another revision than the pinned one.</summary>
    public long Drifts => Volatile.Read(ref _drifts);

    /// <summary>Directories that are shown otherwise than their parents' trees tell, by their paths on the server.</summary>
    public List<string> SeenPaths()
    {
        lock (_seen)
        {
            return [.. _seen.Keys];
        }
    }

    /// <summary>Pins the revision and finds the root directory of the mount.</summary>
    /// <exception cref="MegaProblem">The server, the revision or the path is not there.</exception>
    public async Task<MegaView> Pin(CancellationToken stop)
    {
        Commit = await FindCommit(stop).ConfigureAwait(false);
        string path = _options.Address.Path;
        if (TryKept(path, out MegaView known) && (_options.Offline || known.Flags == ViewFlags.None))
        {
            return Again(path, known);
        }

        RefuseOffline($"{path} at {Commit.Id}");
        ObjectId expected = path == "/" ? default : await FindDirectory(path, stop).ConfigureAwait(false);
        MegaView view = await Fetch(path, expected, stop).ConfigureAwait(false);
        if (!expected.IsNone && !await ShowsThePinned(path, stop).ConfigureAwait(false))
        {
            view = Seen(path, view with { Flags = view.Flags | RefuseOrTell(path, view.Flags.HasFlag(ViewFlags.Boundary)) });
        }

        if (view.Flags.HasFlag(ViewFlags.Boundary) || (view.Tree == expected && !view.Flags.HasFlag(ViewFlags.Drifted)))
        {
            Keep(_views.Add(Commit.Id, path, view), path);
        }

        return view;
    }

    /// <summary>Begins the question for a revision's commit, the first that a server is asked.</summary>
    public const string CommitQuery = "/api/v1/latest-commit";

    /// <summary>The tree of a directory if the store has it.</summary>
    /// <param name="path">The directory.</param>
    /// <param name="expected">The tree that its parent names.</param>
    /// <param name="view">The tree.</param>
    public bool TryLocal(string path, in ObjectId expected, out MegaView view)
    {
        view = new MegaView(expected, ViewFlags.None);
        if (_store.TryStat(expected, ObjectKind.Tree, out long bytes) && !MayBePlaceholder(expected, bytes))
        {
            return true;
        }

        lock (_seen)
        {
            if (_seen.TryGetValue(path, out view) && _store.TryStat(view.Tree, ObjectKind.Tree, out _))
            {
                return true;
            }
        }

        // What an import repository showed to an earlier mount is not shown to this one before its server was asked.
        return _options.Offline && TryKept(path, out view) && Again(path, view) == view;
    }

    /// <summary>Gets the tree of a directory from the server, into the store.</summary>
    /// <param name="path">The directory.</param>
    /// <param name="expected">The tree that its parent names; none: nobody names it.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="MegaProblem">Whatever went wrong.</exception>
    public async Task<MegaView> Fetch(string path, ObjectId expected, CancellationToken stop)
    {
        RefuseOffline(path);
        try
        {
            return await Ask(path, expected, stop).ConfigureAwait(false);
        }
        catch (MegaProblem problem) when (problem.IsTransient && TryKept(path, out MegaView kept) && (kept.Flags & (ViewFlags.Boundary | ViewFlags.ModesUnsure)) != 0)
        {
            string what = kept.Flags.HasFlag(ViewFlags.Boundary) ? "the import repository" : "the directory";
            _log.Warn($"{path}: {what} is shown as an earlier mount saw it: {problem.Message}");
            return Again(path, kept);
        }
    }

    private async Task<MegaView> Ask(string path, ObjectId expected, CancellationToken stop)
    {
        if (expected == EmptyTree)
        {
            Keep(_store.Add(expected, ObjectKind.Tree, default), path);
            return new MegaView(expected, ViewFlags.None);
        }

        bool isPlaceholder = expected == s_placeholder;
        if (!expected.IsNone && !isPlaceholder)
        {
            using MegaAnswer raw = await _client.Get($"/api/v1/file/tree?path={Escape(path)}&oid={expected}", MostListingBytes, stop).ConfigureAwait(false);
            if (raw.Body.Length > 0 && GitHash.Of(ObjectKind.Tree, raw.Body.Span) == expected)
            {
                Keep(_store.Add(expected, ObjectKind.Tree, raw.Body.Span), path);
                isPlaceholder = MayBePlaceholder(expected, raw.Body.Length);
                if (!isPlaceholder)
                {
                    return new MegaView(expected, ViewFlags.None);
                }
            }
        }

        return await FromListing(path, expected, isPlaceholder, stop).ConfigureAwait(false);
    }

    private static string Escape(string path) => Uri.EscapeDataString(path);

    private static void Keep(Errno error, string what)
    {
        if (error != Errno.None)
        {
            throw new MegaProblem(error == Errno.ENOMEM ? error : Errno.EIO, $"{what}: cannot be kept in the store ({error})");
        }
    }

    private async Task<MegaCommit> FindCommit(CancellationToken stop)
    {
        string revision = _options.Address.Revision ?? "";
        bool isCommit = ObjectId.TryParse(revision, out ObjectId given);
        bool known = _views.TryFindRevision(revision, out MegaCommit commit);
        if (known && (isCommit || _options.Offline))
        {
            return commit;
        }

        RefuseOffline(revision.Length > 0 ? $"revision {revision}" : "the head");
        string query = $"{CommitQuery}?path=%2F{(revision.Length > 0 ? "&refs=" + Escape(revision) : "")}";
        using MegaAnswer answer = await _client.Get(query, 1 << 20, stop).ConfigureAwait(false);
        commit = MegaJson.CommitOf("GET " + query, answer);
        if (isCommit && commit.Id != given)
        {
            // The last commit that touched the root, or a server that knows no such revision: listings are asked for with what was given.
            commit = commit with { Id = given };
        }

        Keep(_views.AddRevision(revision, commit), query);
        Keep(_views.AddRevision(commit.Id.ToString(), commit), query);
        return commit;
    }

    /// <summary>The tree that the parent of the mounted path names.</summary>
    private async Task<ObjectId> FindDirectory(string path, CancellationToken stop)
    {
        string query = $"/api/v1/tree/dir-hash?path={Escape(path)}&refs={Commit.Id}";
        using MegaAnswer answer = await _client.Get(query, 1 << 20, stop).ConfigureAwait(false);
        TreeEntry[] entries = MegaJson.ListingOf("GET " + query, answer, 1);
        if (entries.Length == 0)
        {
            throw MegaProblem.Damaged($"{path}: no such directory at {_options.Address.Revision ?? Commit.Id.ToString()} of {_options.Address.Base}");
        }

        return entries[0].Mode == GitMode.Directory ? entries[0].Id : throw MegaProblem.Damaged($"{path} is a file: give a directory");
    }

    private async Task<MegaView> FromListing(string path, ObjectId expected, bool isPlaceholder, CancellationToken stop)
    {
        string query = $"/api/v1/tree/content-hash?path={Escape(path)}&refs={Commit.Id}";
        using MegaAnswer answer = await _client.Get(query, MostListingBytes, stop).ConfigureAwait(false);
        TreeEntry[] entries = MegaJson.ListingOf("GET " + query, answer, MostEntries);
        if (entries.Length == 0)
        {
            throw MegaProblem.Damaged($"GET {query}: the server shows nothing for a directory that {(expected.IsNone ? "it must have" : "its parent lists")}");
        }

        // Modes are always the head's. No hash proves those of the top, so the head has to be the pinned revision before they are asked for and afterwards;
        // where no revision was named it was asked for a moment ago.
        bool isHead = expected.IsNone && (_options.Address.Revision is null || await IsHead(stop).ConfigureAwait(false));
        using MegaAnswer head = await _client.Get($"/api/v1/file/tree?path={Escape(path)}", MostListingBytes, stop).ConfigureAwait(false);
        int unsure = ModeGuess.FromHead(entries, head.Body.Span);
        bool isExpected = !expected.IsNone && ModeGuess.TryMatch(entries, expected);
        byte[] raw = GitTreeWriter.Write(entries);
        ObjectId tree = GitHash.Of(ObjectKind.Tree, raw);
        ViewFlags flags = ViewFlags.None;
        if (expected.IsNone)
        {
            // Nobody names the top's tree: that it is of the pinned revision has to be asked, after it was listed; on the same connection, since
            // another one would take longer to make.
            isHead = isHead && await IsHead(stop).ConfigureAwait(false);
            flags = isHead || await HeedsRevisions(path, stop).ConfigureAwait(false) ? flags : RefuseOrTell(path, isBoundary: false);
            unsure = isHead ? unsure : entries.Count(entry => entry.Mode != GitMode.Directory);
        }
        else if (!isExpected)
        {
            flags = await Judge(path, query, expected, isPlaceholder, unsure, stop).ConfigureAwait(false);
        }

        if (!isExpected && unsure > 0)
        {
            flags |= ViewFlags.ModesUnsure;
            _log.Warn($"{path}: the server does not tell the modes of {unsure} entries at {Commit.Id}; taken as at its head, or as plain files");
        }

        Keep(_store.Add(tree, ObjectKind.Tree, raw), path);
        var view = new MegaView(tree, flags);
        bool isBoundary = flags.HasFlag(ViewFlags.Boundary);
        if (isBoundary || (expected.IsNone && !flags.HasFlag(ViewFlags.Drifted)))
        {
            // A tree with the hash that its parent names is found by that; one of which nothing proves that it is the pinned one is not kept. Guessed modes
            // are kept for those who can ask no server.
            Keep(_views.Add(Commit.Id, path, view), path);
        }

        return isExpected ? view : Seen(path, view);
    }

    /// <summary>The listing is not the tree that the parent names: an import repository begins here, or the server shows another revision.</summary>
    private async Task<ViewFlags> Judge(string path, string query, ObjectId expected, bool isPlaceholder, int unsure, CancellationToken stop)
    {
        bool inImport = IsBelowBoundary(path);
        if (!inImport && (isPlaceholder || IsImportPlace(path)))
        {
            _log.Info($"{path}: an import repository begins here, shown as it is now");
            return ViewFlags.Boundary;
        }

        // Where modes could not be made out the hash tells nothing; the server's own word about this directory does.
        if (!inImport && unsure > 0 && await NamesTree(path, expected, stop).ConfigureAwait(false))
        {
            return ViewFlags.None;
        }

        return Drift($"GET {query}: the server shows another tree than that of the pinned revision", path);
    }

    /// <summary>Refuses a directory of another revision, or shows it with a warning.</summary>
    private ViewFlags Drift(string what, string path)
    {
        // Only a counter for people.
        _ = Interlocked.Increment(ref _drifts);
        if (_options.OnDrift == OnDrift.Fail)
        {
            throw MegaProblem.Damaged($"{what}; go to the head (antares-aot refresh, or a mount without a revision), or accept it with --on-drift warn");
        }

        _log.Warn($"{what}: {path} is shown as it is now");
        return ViewFlags.Drifted;
    }

    /// <summary>The mounted directory is not pinned.</summary>
    private ViewFlags RefuseOrTell(string path, bool isBoundary)
    {
        if (!isBoundary && !IsImportPlace(path))
        {
            return Drift($"{_options.Address.Base} shows another revision than {Commit.Id}, and heeds none that is asked for", path);
        }

        _log.Warn($"{path} belongs to an import repository, which revisions of the monorepo do not pin: it is shown as it is now");
        return ViewFlags.Boundary;
    }

    /// <summary>True when the server says that a directory of the pinned revision has a certain tree.</summary>
    private async Task<bool> NamesTree(string path, ObjectId tree, CancellationToken stop)
    {
        string query = $"/api/v1/tree/dir-hash?path={Escape(path)}&refs={Commit.Id}";
        using MegaAnswer answer = await _client.Get(query, 1 << 20, stop).ConfigureAwait(false);
        TreeEntry[] entries = MegaJson.ListingOf("GET " + query, answer, 1);
        return entries.Length == 1 && entries[0].Mode == GitMode.Directory && entries[0].Id == tree;
    }

    /// <summary>Whether what the server has just shown of a path is of the pinned revision though no hash proves it.</summary>
    /// <remarks>As long as the head is that revision, whatever is shown is of it.</remarks>
    private async Task<bool> ShowsThePinned(string path, CancellationToken stop) =>
        await IsHead(stop).ConfigureAwait(false) || await HeedsRevisions(path, stop).ConfigureAwait(false);

    /// <summary>Asks for a revision that does not exist: a server that shows something all the same heeds none.</summary>
    private async Task<bool> HeedsRevisions(string path, CancellationToken stop)
    {
        string query = $"/api/v1/tree/content-hash?path={Escape(path)}&refs={s_nowhere}";
        try
        {
            using MegaAnswer answer = await _client.Get(query, MostListingBytes, stop).ConfigureAwait(false);
            return MegaJson.ListingOf("GET " + query, answer, MostEntries).Length == 0;
        }
        catch (MegaProblem problem) when (!problem.IsUnreachable)
        {
            // Only "no such revision" says that it was looked for; a server in trouble may have looked for nothing.
            return problem.IsMissing;
        }
    }

    /// <summary>Whether the server's head is the pinned revision now.</summary>
    private async Task<bool> IsHead(CancellationToken stop)
    {
        const string Head = CommitQuery + "?path=%2F";
        using MegaAnswer answer = await _client.Get(Head, 1 << 20, stop).ConfigureAwait(false);
        return MegaJson.CommitOf("GET " + Head, answer).Id == Commit.Id;
    }

    /// <summary>A tree that stands for an import repository in its parent; several may be alike.</summary>
    public bool IsPlaceholder(in ObjectId tree) => tree == s_placeholder || (_store.TryStat(tree, ObjectKind.Tree, out long bytes) && MayBePlaceholder(tree, bytes));

    /// <summary>An import repository begins at this path: what it shows is not what its parent names.</summary>
    public bool IsBoundary(string path)
    {
        lock (_seen)
        {
            return _seen.TryGetValue(path, out MegaView view) && view.Flags.HasFlag(ViewFlags.Boundary);
        }
    }

    private bool IsImportPlace(string path) =>
        path.StartsWith(_options.ImportRoot + "/", StringComparison.Ordinal);

    private bool IsBelowBoundary(string path)
    {
        lock (_seen)
        {
            return _seen.Any(place => place.Value.Flags.HasFlag(ViewFlags.Boundary) && path.StartsWith(place.Key + "/", StringComparison.Ordinal));
        }
    }

    /// <summary>What an earlier mount of the same revision saw.</summary>
    private bool TryKept(string path, out MegaView view) =>
        _views.TryFind(Commit.Id, path, out view) && _store.TryStat(view.Tree, ObjectKind.Tree, out _);

    /// <summary>Shows what was kept.</summary>
    private MegaView Again(string path, in MegaView kept)
    {
        if (kept.Flags.HasFlag(ViewFlags.ModesUnsure))
        {
            _log.Warn($"{path}: modes of some entries at {Commit.Id} are guesses of an earlier mount");
        }

        return Seen(path, kept);
    }

    /// <summary>From here on this mount shows a path so, as long as the store has it.</summary>
    private MegaView Seen(string path, in MegaView view)
    {
        lock (_seen)
        {
            _seen[path] = view;
        }

        return view;
    }

    /// <summary>A tree that holds nothing but a ".gitkeep" is what a parent shows where an import repository is.</summary>
    private bool MayBePlaceholder(in ObjectId tree, long bytes)
    {
        ReadOnlySpan<byte> only = "100644 .gitkeep\0"u8;
        if (bytes != only.Length + ObjectId.Bytes || _store.ReadAll(tree, ObjectKind.Tree, bytes, out NativeBody? body) != Errno.None)
        {
            return false;
        }

        using (body)
        {
            return body!.Span.StartsWith(only);
        }
    }

    private void RefuseOffline(string what)
    {
        if (_options.Offline)
        {
            throw MegaProblem.Damaged($"{what} is not in the store {_store.Folder}, and --offline asks no server");
        }
    }
}
