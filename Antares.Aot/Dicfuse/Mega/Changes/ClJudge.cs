using Antares.Aot.Dicfuse.Store;

namespace Antares.Aot.Dicfuse.Mega.Changes;

/// <summary>
/// Holds a changelist against the revision: decides for each name what is to be shown, or why the changelist does not apply. Asks
/// nobody; the directories concerned were read.
/// </summary>
internal sealed class ClJudge(ClFolder root)
{
    private readonly ClFolder _root = root;

    /// <summary>Why it does not apply, a line for each path; empty: it applies.</summary>
    public List<string> Conflicts { get; } = [];

    public List<ClOutcome> Outcomes { get; } = [];

    /// <summary>Puts whose mode nobody has told yet, with the directory that they are in.</summary>
    public List<(ClFolder Folder, ClPut Put, ClOutcome Outcome)> Unsure { get; } = [];

    /// <summary>Fills in the targets of all directories.</summary>
    public void Judge()
    {
        _ = Judge(_root); // the mounted directory itself stays, even when it becomes empty
        Outcomes.Sort((left, right) => string.CompareOrdinal(left.Path, right.Path));
    }

    /// <returns>True: nothing is shown in the directory any more, so git would not have it.</returns>
    private bool Judge(ClFolder folder)
    {
        foreach ((string name, ClRemoval removal) in folder.Removals)
        {
            JudgeRemoval(folder, name, removal);
        }

        bool hasOwn = false;
        foreach ((string name, ClFolder below) in folder.Folders)
        {
            hasOwn |= JudgeFolder(folder, name, below);
        }

        foreach ((string name, ClPut put) in folder.Puts)
        {
            JudgePut(folder, name, put);
            hasOwn = true;
        }

        long hidden = folder.Targets.Values.Count(target => target.Kind == ClTargetKind.Hidden);
        return !hasOwn && hidden > 0 && hidden == folder.Entries?.Count;
    }

    /// <returns>True: the directory is new.</returns>
    private bool JudgeFolder(ClFolder folder, string name, ClFolder below)
    {
        bool empty = Judge(below);
        GitMode there = folder.FindHere(name).Mode;
        if (below.Entries is not null)
        {
            if (empty)
            {
                folder.Targets[name] = default;
            }

            return false;
        }

        if (below.Targets.Count == 0)
        {
            return false;
        }

        if (there != GitMode.None && !folder.Removals.ContainsKey(name))
        {
            Conflicts.Add($"{below.Path}: is to become a directory, but is a {(there == GitMode.Submodule ? "submodule" : "file")}");
            return false;
        }

        folder.Targets[name] = new ClTarget(ClTargetKind.Directory, GitMode.Directory, default);
        return true;
    }

    private void JudgeRemoval(ClFolder folder, string name, ClRemoval removal)
    {
        (GitMode mode, ObjectId id) = folder.FindHere(name);
        string path = folder.PathOf(name);
        bool replaced = folder.Puts.ContainsKey(name);
        if (mode == GitMode.None)
        {
            if (removal.IsDeletion && !replaced)
            {
                Outcomes.Add(new ClOutcome(ClAction.Deleted, path) { IsAlready = true });
            }

            return;
        }

        if (mode == GitMode.Directory)
        {
            if (folder.Folders.TryGetValue(name, out ClFolder? below) && below.HasPuts)
            {
                // The changelist makes a directory of the file, and that is so already.
                return;
            }

            Conflicts.Add($"{path}: is to be {(removal.IsDeletion ? "deleted" : "renamed")} as a file, but is a directory");
            return;
        }

        if (removal.IsDeletion && removal.Id != id)
        {
            Conflicts.Add($"{path}: is to be deleted, but has another content ({id}) than the changelist knows ({removal.Id})");
            return;
        }

        folder.Targets[name] = default;
        if (removal.IsDeletion && !replaced)
        {
            Outcomes.Add(new ClOutcome(ClAction.Deleted, path));
        }
    }

    private void JudgePut(ClFolder folder, string name, ClPut put)
    {
        (GitMode mode, ObjectId id) = folder.FindHere(name);
        bool isThere = mode != GitMode.None;
        bool isFile = mode is GitMode.File or GitMode.Executable or GitMode.Symlink;
        bool isFree = !isThere || folder.Targets.ContainsKey(name);
        GitMode fromMode = put.From is { } old ? _root.Find(old).Mode : GitMode.None;
        string? conflict = put.Action switch
        {
            ClAction.Modified when !isThere => "is to be modified, but is not there",
            ClAction.Modified when !isFile => $"is to be modified, but is a {(mode == GitMode.Submodule ? "submodule" : "directory")}",
            ClAction.Modified => null,
            _ when isFile && id == put.Id && !folder.Removals.ContainsKey(name) => null,
            _ when !isFree && mode == GitMode.Directory => "is to become a file, but is a directory of which something stays",
            _ when !isFree => $"is {(put.Action == ClAction.New ? "new" : "the new name of a file")}, but there is {(isFile ? "a file of another content" : "a submodule")} already",
            ClAction.Renamed when put.From is not null && fromMode == GitMode.None => $"was {put.From}, but that is not there",
            ClAction.Renamed when put.From is not null && fromMode is GitMode.Directory or GitMode.Submodule => $"was {put.From}, but that is no file",
            _ => null,
        };
        if (conflict is not null)
        {
            Conflicts.Add($"{put.Path}: {conflict}");
            return;
        }

        bool already = isFile && id == put.Id && (put.Action == ClAction.Modified || !folder.Removals.ContainsKey(name));
        var outcome = new ClOutcome(put.Action, put.Path)
        {
            From = put.From,
            IsAlready = already,
            Mode = already || put.Action == ClAction.Modified ? mode : fromMode == GitMode.None ? GitMode.File : fromMode,
            IsModeUnsure = !already && put.Action != ClAction.Modified && fromMode == GitMode.None,
        };
        Outcomes.Add(outcome);
        if (already)
        {
            _ = folder.Targets.Remove(name); // of an origin that goes, and comes again
            return;
        }

        folder.Targets[name] = new ClTarget(ClTargetKind.File, outcome.Mode, put.Id);
        if (outcome.IsModeUnsure)
        {
            Unsure.Add((folder, put, outcome));
        }
    }
}
