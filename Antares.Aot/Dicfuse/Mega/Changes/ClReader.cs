using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Store;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Mega.Changes;

/// <summary>A changelist does not fit the mounted revision: the message has a line for each path that does not.</summary>
internal sealed class ClConflict(string message) : MegaProblem(Errno.EIO, message);

/// <summary>Gets everything about a changelist that a server has to be asked for: its lines, the directories it touches, its contents.</summary>
/// <remarks>Bounded by the token of each call; nothing that is shown changes here.</remarks>
internal sealed class ClReader(MegaSource source, Log log)
{
    private const int MostAnswerBytes = 64 << 20;
    private const int MostTargetBytes = 4095;
    private const int MostConflictsTold = 50;

    private readonly MegaSource _source = source;
    private readonly Log _log = log;

    /// <summary>Reads a changelist and holds it against a revision.</summary>
    /// <param name="link">Its name.</param>
    /// <param name="origin">Where its paths begin; null: the server is asked, "/" if it does not tell.</param>
    /// <param name="over">Reads the revision.</param>
    /// <param name="stop">Gives up.</param>
    /// <returns>What became of its lines, and the directories with what is to be shown in them. All contents are in the store.</returns>
    /// <exception cref="ClConflict">It does not apply.</exception>
    /// <exception cref="MegaProblem">The server, or what it says.</exception>
    public async Task<(ClApplied Applied, ClFolder Root)> Read(string link, string? origin, RevisionReader over, CancellationToken stop)
    {
        if (_source.Options.Offline)
        {
            throw MegaProblem.Damaged($"changelist {link}: --offline asks no server");
        }

        string? told = origin ?? await FindOrigin(link, stop).ConfigureAwait(false);
        string begins = told ?? "/";
        List<ClEntry> entries;
        using (MegaAnswer answer = await _source.Client.Get(Changelist.FilesPath(link), MostAnswerBytes, stop).ConfigureAwait(false))
        {
            entries = Changelist.EntriesOf("GET " + Changelist.FilesPath(link), answer);
        }

        ClPlacement placed = ClPlacement.Of(entries, begins, _source.Options.Address.Path);
        (ClApplied applied, ClFolder root) = await Apply(new ClApplied(link, begins) { IsOriginUnsure = told is null, Placed = placed }, over, stop).ConfigureAwait(false);
        Tell(link, applied.Outcomes, placed);
        return (applied, root);
    }

    /// <summary>Holds a changelist that was read before against a revision.</summary>
    /// <param name="read">The changelist, as it was applied to another revision.</param>
    /// <param name="over">Reads the revision.</param>
    /// <param name="stop">Gives up.</param>
    /// <returns>As <see cref="Read"/>.</returns>
    /// <exception cref="ClConflict">It does not apply.</exception>
    /// <exception cref="MegaProblem">The server.</exception>
    public async Task<(ClApplied Applied, ClFolder Root)> Apply(ClApplied read, RevisionReader over, CancellationToken stop)
    {
        string mounted = _source.Options.Address.Path;
        ClFolder root = ClFolder.TreeOf(read.Placed);
        root.Entries = await over.ReadRoot(stop).ConfigureAwait(false);
        await ReadBelow(root, over, stop).ConfigureAwait(false);
        var judge = new ClJudge(root);
        judge.Judge();
        if (judge.Conflicts.Count > 0)
        {
            throw new ClConflict(
                $"changelist {read.Link} does not apply to {mounted} at {over.Revision.Trees.Commit.Id}:\n  " + string.Join("\n  ", judge.Conflicts.Take(MostConflictsTold).Select(Changelist.Shown))
                + (judge.Conflicts.Count > MostConflictsTold ? $"\n  and {judge.Conflicts.Count - MostConflictsTold} more" : ""));
        }

        TakeModes(judge.Unsure, read.Outcomes);
        await FindModes(mounted, judge.Unsure, stop).ConfigureAwait(false);
        await FetchContents(root, stop).ConfigureAwait(false);
        return (read with { Outcomes = judge.Outcomes, Outside = read.Placed.Outside }, root);
    }

    private void Tell(string link, IReadOnlyList<ClOutcome> outcomes, ClPlacement placed)
    {
        const int Told = 5;
        List<string> unsure = [.. outcomes.Where(outcome => outcome.IsModeUnsure).Select(outcome => outcome.Path)];
        if (unsure.Count > 0)
        {
            _log.Warn($"changelist {link}: the server does not tell the mode of {unsure.Count} file{(unsure.Count == 1 ? "" : "s")}, taken as 0644: {Some(unsure, Told)}");
        }

        if (placed.Outside.Count > 0)
        {
            _log.Warn($"changelist {link}: outside of the mounted directory lie {placed.Outside.Count} of its changes: {Some([.. placed.Outside.Select(change => change.Path)], Told)}");
        }

        if (outcomes.Count == 0)
        {
            _log.Warn($"changelist {link} changes nothing in the mounted directory");
        }
    }

    private static string Some(List<string> paths, int most) =>
        string.Join(", ", paths.Take(most).Select(Changelist.Shown)) + (paths.Count > most ? $" and {paths.Count - most} more" : "");

    private async Task<string?> FindOrigin(string link, CancellationToken stop)
    {
        string path = Changelist.DetailPath(link);
        try
        {
            using MegaAnswer answer = await _source.Client.Get(path, MostAnswerBytes, stop).ConfigureAwait(false);
            if (Changelist.BaseOf("GET " + path, answer) is { } origin)
            {
                return origin;
            }
        }
        catch (MegaProblem problem) when (problem.Error == Errno.EACCES)
        {
            // It takes a login; the paths alone do not need one.
        }

        _log.Warn($"changelist {link}: the server does not tell which directory its paths begin at; taken as /: name another with --cl-path");
        return null;
    }

    /// <summary>Finds the directories in the revision, and reads them: those of one depth together.</summary>
    private async Task ReadBelow(ClFolder root, RevisionReader over, CancellationToken stop)
    {
        for (List<ClFolder> level = [root]; level.Count > 0;)
        {
            var next = new List<(ClFolder Folder, GitContent Content)>();
            foreach (ClFolder folder in level)
            {
                next.AddRange(folder.Folders.Values.Select(below => (below, folder.FindHere(below.Name))).Where(below => below.Item2.Mode == GitMode.Directory));
            }

            await Parallel.ForEachAsync(next, Several(stop), async (below, token) =>
                below.Folder.Entries = await over.Read(below.Folder.Path, below.Content, token).ConfigureAwait(false)).ConfigureAwait(false);
            level = [.. next.Select(below => below.Folder)];
        }
    }

    /// <summary>What was found out before about modes is true still.</summary>
    private static void TakeModes(List<(ClFolder Folder, ClPut Put, ClOutcome Outcome)> unsure, IReadOnlyList<ClOutcome> before)
    {
        var known = new Dictionary<string, GitMode>(StringComparer.Ordinal);
        foreach (ClOutcome outcome in before.Where(outcome => !outcome.IsModeUnsure && outcome.Mode != GitMode.None))
        {
            known[outcome.Path] = outcome.Mode;
        }

        foreach ((ClFolder folder, ClPut put, ClOutcome outcome) in unsure)
        {
            if (known.TryGetValue(outcome.Path, out GitMode mode))
            {
                SetMode(folder, put, outcome, mode);
            }
        }

        _ = unsure.RemoveAll(put => !put.Outcome.IsModeUnsure);
    }

    private static void SetMode(ClFolder folder, ClPut put, ClOutcome outcome, GitMode mode)
    {
        outcome.Mode = mode;
        outcome.IsModeUnsure = false;
        folder.Targets[put.Path[(put.Path.LastIndexOf('/') + 1)..]] = new ClTarget(ClTargetKind.File, mode, put.Id);
    }

    /// <summary>A changelist that is in the head already: the raw trees there have the modes.</summary>
    private async Task FindModes(string mounted, List<(ClFolder Folder, ClPut Put, ClOutcome Outcome)> unsure, CancellationToken stop)
    {
        var folders = unsure.GroupBy(put => put.Folder);
        await Parallel.ForEachAsync(folders, Several(stop), async (group, token) =>
        {
            string path = group.Key.Path.Length == 0 ? mounted : ClPlacement.Join(mounted, group.Key.Path);
            try
            {
                using MegaAnswer raw = await _source.Client.Get($"/api/v1/file/tree?path={Uri.EscapeDataString(path)}", MostAnswerBytes, token).ConfigureAwait(false);
                Take(group.Key, group, raw);
            }
            catch (MegaProblem)
            {
                // They stay unsure, which is told.
            }
        }).ConfigureAwait(false);
    }

    private static void Take(ClFolder folder, IEnumerable<(ClFolder Folder, ClPut Put, ClOutcome Outcome)> puts, MegaAnswer raw)
    {
        var known = new Dictionary<(string, ObjectId), GitMode>();
        var entries = new GitTreeReader(raw.Body.Span);
        while (entries.MoveNext())
        {
            known[(System.Text.Encoding.UTF8.GetString(entries.Name), entries.Id)] = entries.Mode;
        }

        foreach ((_, ClPut put, ClOutcome outcome) in puts)
        {
            string name = put.Path[(put.Path.LastIndexOf('/') + 1)..];
            if (known.TryGetValue((name, put.Id), out GitMode mode) && mode is GitMode.File or GitMode.Executable or GitMode.Symlink)
            {
                SetMode(folder, put, outcome, mode);
            }
        }
    }

    private async Task FetchContents(ClFolder root, CancellationToken stop)
    {
        var wanted = new Dictionary<ObjectId, (string Path, bool IsLink)>();
        Collect(root, wanted);
        await Parallel.ForEachAsync(wanted, Several(stop), async (blob, token) =>
        {
            try
            {
                long length = await _source.Fetcher.Take(blob.Key, token).ConfigureAwait(false);
                if (blob.Value.IsLink && length is < 1 or > MostTargetBytes)
                {
                    throw MegaProblem.Damaged("a link target of an impossible length");
                }
            }
            catch (MegaProblem problem)
            {
                throw new MegaProblem(problem.Error, $"{Changelist.Shown(blob.Value.Path)}: {problem.Message}");
            }
        }).ConfigureAwait(false);
    }

    private static void Collect(ClFolder folder, Dictionary<ObjectId, (string Path, bool IsLink)> wanted)
    {
        foreach ((string name, ClTarget target) in folder.Targets)
        {
            if (target.Kind == ClTargetKind.File)
            {
                bool isLink = target.Mode == GitMode.Symlink || (wanted.TryGetValue(target.Id, out (string Path, bool IsLink) known) && known.IsLink);
                wanted[target.Id] = (folder.PathOf(name), isLink);
            }
        }

        foreach (ClFolder below in folder.Folders.Values)
        {
            Collect(below, wanted);
        }
    }

    private ParallelOptions Several(CancellationToken stop) =>
        new() { MaxDegreeOfParallelism = _source.Options.Concurrency, CancellationToken = stop };
}
