using Antares.Aot.Dicfuse.Store;

namespace Antares.Aot.Dicfuse.Mega.Changes;

/// <summary>
/// Holds a changelist against the revision: decides for each name what is to be shown, or why the changelist does not apply. Asks
/// nobody; the directories concerned are loaded.
/// </summary>
internal sealed class ClJudge(DicfuseTree tree, MegaSource source, ClFolder root)
{
    private readonly DicfuseTree _tree = tree;
    private readonly MegaSource _source = source;
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
        unsafe
        {
            return !hasOwn && hidden > 0 && folder.Node != 0 && hidden == _tree.Store[folder.Node]->Extra;
        }
    }

    /// <returns>True: the directory is new.</returns>
    private bool JudgeFolder(ClFolder folder, string name, ClFolder below)
    {
        bool empty = Judge(below);
        uint there = folder.FindHere(_tree, name);
        if (below.Node != 0)
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

        if (there != 0 && !folder.Removals.ContainsKey(name))
        {
            Conflicts.Add($"{below.Path}: is to become a directory, but is a {(ModeOf(there) == GitMode.Submodule ? "submodule" : "file")}");
            return false;
        }

        folder.Targets[name] = new ClTarget(ClTargetKind.Directory, GitMode.Directory, default);
        return true;
    }

    private void JudgeRemoval(ClFolder folder, string name, ClRemoval removal)
    {
        uint there = folder.FindHere(_tree, name);
        string path = folder.PathOf(name);
        bool replaced = folder.Puts.ContainsKey(name);
        if (there == 0)
        {
            if (removal.IsDeletion && !replaced)
            {
                Outcomes.Add(new ClOutcome(ClAction.Deleted, path) { IsAlready = true });
            }

            return;
        }

        (GitMode mode, ObjectId id) = _source.ContentOf(there);
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
        uint there = folder.FindHere(_tree, name);
        (GitMode mode, ObjectId id) = there == 0 ? default : _source.ContentOf(there);
        bool isFile = mode is GitMode.File or GitMode.Executable or GitMode.Symlink;
        bool isFree = there == 0 || folder.Targets.ContainsKey(name);
        uint from = put.From is { } old ? _root.Find(_tree, old) : 0;
        GitMode fromMode = from == 0 ? GitMode.None : _source.ContentOf(from).Mode;
        string? conflict = put.Action switch
        {
            ClAction.Modified when there == 0 => "is to be modified, but is not there",
            ClAction.Modified when !isFile => $"is to be modified, but is a {(mode == GitMode.Submodule ? "submodule" : "directory")}",
            ClAction.Modified => null,
            _ when isFile && id == put.Id && !folder.Removals.ContainsKey(name) => null,
            _ when !isFree && mode == GitMode.Directory => "is to become a file, but is a directory of which something stays",
            _ when !isFree => $"is {(put.Action == ClAction.New ? "new" : "the new name of a file")}, but there is {(isFile ? "a file of another content" : "a submodule")} already",
            ClAction.Renamed when put.From is not null && from == 0 => $"was {put.From}, but that is not there",
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

    private GitMode ModeOf(uint node) => _source.ContentOf(node).Mode;
}
