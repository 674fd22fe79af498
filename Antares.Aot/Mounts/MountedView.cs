using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Mega.Changes;
using Antares.Aot.Dicfuse.Tree;
using Antares.Aot.Fuse;
using Antares.Aot.Overlay;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>A path of the mount where the workspace keeps something in front of what changes.</summary>
/// <param name="Path">In the mount.</param>
/// <param name="IsRemoved">The workspace has removed it; otherwise it has something of its own there.</param>
internal readonly record struct ViewConflict(string Path, bool IsRemoved);

/// <summary>What became of a move to another revision.</summary>
/// <param name="From">Commit that was shown.</param>
/// <param name="To">Commit that is shown.</param>
/// <param name="Changed">Names that lead elsewhere now, as far as somebody had asked for them.</param>
/// <param name="Changelist">Over it still; its link null: none.</param>
/// <param name="Conflicts">Where the workspace hides what changed.</param>
/// <param name="Unread">Directories of which this could not be found out.</param>
internal sealed record ViewMoved(string From, string To, int Changed, ClApplied Changelist, IReadOnlyList<ViewConflict> Conflicts, IReadOnlyList<string> Unread);

/// <summary>What a running mount shows of a server's directory, a revision and a changelist over it, and how each is exchanged for another one.</summary>
internal sealed class MountedView
{
    /// <summary>Why, and what to do instead.</summary>
    public const string NotOnKernelEngine =
        "the kernel's overlay cannot have its lower layer changed under it: unmount, and mount with --cl or another revision (--upper takes the writes along), or mount with --engine fuse to change it live";

    /// <inheritdoc cref="NotOnKernelEngine"/>
    public const string NotUnderLayers =
        "it has further layers (--layer) over its server's directory, whose directories are not merged anew: unmount, and mount with --cl or another revision";

    /// <inheritdoc cref="NotOnKernelEngine"/>
    public const string NotOfServer = "its source is no server (mega:), which alone has other revisions to show: unmount, and mount what is to be shown";

    private const int LongestPath = 4096;

    /// <summary>After so many tries nobody may list a directory during the next one.</summary>
    private const int FreeTries = 3;

    private readonly ClTree _tree;
    private readonly uint _slot;
    private readonly OverlayFs _overlay;
    private readonly Notifier? _notifier;
    private readonly string? _whyFixed;
    private readonly string? _given;
    private readonly CancellationTokenSource _ending = new();
    private readonly object _turns = new();
    private int _users;
    private bool _isChanging;

    /// <param name="tree">The server's directory.</param>
    /// <param name="slot">Its layer.</param>
    /// <param name="overlay">What is mounted over it.</param>
    /// <param name="notifier">Tells the kernel; null: it cannot be exchanged.</param>
    /// <param name="whyFixed">Why it cannot be exchanged, and what to do instead; null: it can.</param>
    /// <param name="given">The revision that the mount was asked for; null: the server's head.</param>
    public MountedView(ClTree tree, uint slot, OverlayFs overlay, Notifier? notifier, string? whyFixed, string? given)
    {
        _given = given;
        _tree = tree;
        tree.IsClaimed = node => overlay.Exchange.IsClaimedElsewhere(slot, node);
        _slot = slot;
        _overlay = overlay;
        _notifier = notifier;
        _whyFixed = whyFixed;
    }

    /// <summary>Told that another changelist or revision is shown from now on.</summary>
    public Action? Changed { get; set; }

    /// <summary>Slot of the layer, 1 = topmost.</summary>
    public uint Slot => _slot;

    /// <summary>Link of the changelist that is shown; null: none.</summary>
    public string? Link => _tree.Current.Link;

    /// <summary>Server, directory and commit that are shown, as SOURCE is written, without its prefix.</summary>
    public string Address => _tree.Address.ToString();

    /// <summary>The mounted directory of the monorepo.</summary>
    public string Mounted => _tree.Mounted;

    /// <summary>What the changelist does, and where the workspace hides it.</summary>
    public (ClApplied Applied, List<ViewConflict> Conflicts) Show()
    {
        using var turn = Begin(isChange: false);
        ClApplied applied = _tree.Current;
        Check(Exchange(_tree.CurrentNames, null, out ShownName[] shown));
        return (applied, ConflictsOf(_tree.CurrentNames, shown));
    }

    /// <summary>Shows another changelist, or none.</summary>
    /// <param name="link">Its name; null: the revision as it is.</param>
    /// <param name="origin">Where its paths begin; null: the server is asked.</param>
    /// <returns>What it does, and where the workspace hides what changed.</returns>
    /// <exception cref="MountProblem">Usage: it cannot be exchanged here; Host: why this one cannot be shown. What was shown still is.</exception>
    public (ClApplied Applied, List<ViewConflict> Conflicts) Set(string? link, string? origin)
    {
        CheckChangeable();
        using var turn = Begin(isChange: true);
        try
        {
            ClPrepared prepared = Show(_tree.Prepare(link, origin, _ending.Token), change => [.. change.Names, .. change.OfChangelist.Where(name => name.Before == name.After)], [], out List<ViewConflict> conflicts);
            return (prepared.Applied, conflicts);
        }
        catch (MegaProblem problem)
        {
            throw MountProblem.Host($"{problem.Message}{(_tree.Current.Link is { } kept ? $"\n{kept} is still shown" : "")}");
        }
    }

    /// <summary>Shows another revision, under the same changelist.</summary>
    /// <param name="revision">A commit or a tag; null: the server's head.</param>
    /// <exception cref="MountProblem">
    /// Usage: it cannot be exchanged here, or only for a revision that is named; Host: why this one cannot be shown. What was shown still is.
    /// </exception>
    public ViewMoved Move(string? revision)
    {
        CheckChangeable();
        if (revision is null && _given is not null)
        {
            throw MountProblem.Usage($"it was mounted at {_given}, and follows no head: say where to with --revision REV");
        }

        if (revision is not null && !MegaAddress.TryParse($"{_tree.Address.Base}/@{revision}", null, out _, out _))
        {
            throw MountProblem.Usage($"--revision '{revision}': give a commit (40 hexadecimal digits) or a tag");
        }

        using var turn = Begin(isChange: true);
        string from = _tree.Address.Revision ?? "";
        try
        {
            var unread = new List<ulong>();
            _overlay.Merged.LoadAll(() => _ending.IsCancellationRequested, unread.Add);
            ClPrepared prepared = Show(_tree.PrepareMove(revision, _ending.Token), change => [.. change.Names, .. change.Directories], unread, out List<ViewConflict> conflicts);
            return new ViewMoved(
                from, prepared.Revision.Trees.Commit.Id.ToString(), prepared.Change.Names.Count, prepared.Applied, conflicts,
                [.. unread.Select(id => PathOf(id, default)).Order(StringComparer.Ordinal)]);
        }
        catch (MegaProblem problem)
        {
            throw MountProblem.Host($"{problem.Message}\n{from} is still shown");
        }
    }

    /// <summary>The mount has ended: what is under way is given up. Returns when nothing here uses the layers any more.</summary>
    public void Stop()
    {
        _ending.Cancel();
        _tree.StopWaiting();
        lock (_turns)
        {
            while (_users > 0)
            {
                _ = Monitor.Wait(_turns); // without a timeout it comes back signalled
            }
        }
    }

    private Turn Begin(bool isChange)
    {
        lock (_turns)
        {
            if (_ending.IsCancellationRequested)
            {
                throw MountProblem.Host("the mount is ending");
            }

            if (isChange && _isChanging)
            {
                throw MountProblem.Host("another changelist or revision is just being fetched; try again when that is done");
            }

            _users++;
            _isChanging |= isChange;
            return new Turn(this, isChange);
        }
    }

    private void End(bool isChange)
    {
        lock (_turns)
        {
            _users--;
            _isChanging &= !isChange;
            Monitor.PulseAll(_turns);
        }
    }

    private void CheckChangeable()
    {
        if (_whyFixed is not null || _notifier is null)
        {
            throw MountProblem.Usage(_whyFixed ?? "what this mount shows cannot be changed");
        }

        // What is exchanged must be told: better known before.
        if (!_notifier.TryStart())
        {
            throw MountProblem.Host("no thread is to be had for it (a limit of processes or of memory); nothing was changed");
        }
    }

    /// <summary>Puts what is prepared in place of what is shown, and tells the kernel.</summary>
    /// <param name="preparing">It.</param>
    /// <param name="concerned">Names where the workspace may hide something; those that lead elsewhere come first.</param>
    /// <param name="unread">Receives directories of which that could not be found out; of a changelist there are none, since all of it is here.</param>
    /// <param name="conflicts">Where it does.</param>
    private ClPrepared Show(Task<ClPrepared> preparing, Func<ViewChange, List<NameChange>> concerned, List<ulong> unread, out List<ViewConflict> conflicts)
    {
        ClPrepared prepared = preparing.GetAwaiter().GetResult();
        try
        {
            for (int tries = 1; ; tries++)
            {
                List<NameChange> names = concerned(prepared.Change);
                FetchCollectedWrites(prepared.Change.Names);
                Errno error = Exchange(names, prepared, out ShownName[] shown);
                if (error == Errno.EAGAIN)
                {
                    if (tries == FreeTries)
                    {
                        _tree.HoldListings();
                    }

                    prepared = _tree.PrepareAgain(prepared, _ending.Token).GetAwaiter().GetResult();
                    continue;
                }

                Check(error);

                // Before the kernel is told: it takes the lock of each directory for that, which a rmdir has that waits for a listing.
                _tree.ReleaseListings();
                conflicts = ConflictsOf(names, shown);
                AddMerged(names, shown, conflicts, unread);
                Tell(prepared.Change.Names, shown);
                Changed?.Invoke();
                return prepared;
            }
        }
        finally
        {
            _tree.ReleaseListings(); // once more does no harm: nobody else changes what is shown meanwhile
        }
    }

    /// <summary>What was written to a file that changes, and is with the kernel still, belongs to the workspace: afterwards it would have no name.</summary>
    private unsafe void FetchCollectedWrites(List<NameChange> changes)
    {
        if (!_overlay.HasCollectedWrites)
        {
            return;
        }

        foreach (NameChange change in changes)
        {
            if (change.Before != 0 && !_tree.Tree.Store[change.Before]->IsDirectory)
            {
                _notifier!.InvalInode(new LowerRef(_slot, change.Before).NodeId);
            }
        }

        _notifier!.Flush();
    }

    private static void Check(Errno error)
    {
        if (error != Errno.None)
        {
            throw MountProblem.Host($"the workspace cannot be looked at ({Failure.Layer}: {Failure.Call}): {ErrnoText.Of(error)}; nothing was changed");
        }
    }

    /// <summary>Exchanges what is shown, or only looks.</summary>
    /// <param name="changes">Names that change, or are to be looked at.</param>
    /// <param name="prepared">What is to be shown; null: only look.</param>
    /// <param name="shown">For each name where it is to be seen.</param>
    private Errno Exchange(IReadOnlyList<NameChange> changes, ClPrepared? prepared, out ShownName[] shown)
    {
        LowerName[] names = [.. changes.Select(NameOf)];
        shown = new ShownName[names.Length];
        return _overlay.Exchange.Exchange(_slot, names, prepared is null ? null : () => _tree.Show(prepared), shown);
    }

    /// <summary>Where the workspace hides a name.</summary>
    private List<ViewConflict> ConflictsOf(IReadOnlyList<NameChange> names, ShownName[] shown)
    {
        var conflicts = new List<ViewConflict>();
        for (int i = 0; i < shown.Length; i++)
        {
            // Gone on both sides: nothing to choose between.
            if (shown[i].InUpper == InUpper.Changed || (shown[i].InUpper == InUpper.Removed && names[i].After != 0))
            {
                conflicts.Add(new ViewConflict(PathOf(shown[i].Directory, NameOf(names[i]).Name), shown[i].InUpper == InUpper.Removed));
            }
        }

        conflicts.Sort((left, right) => string.CompareOrdinal(left.Path, right.Path));
        return conflicts;
    }

    /// <summary>In directories of the workspace that are merged from now on more may be hidden than names that were in use.</summary>
    private void AddMerged(List<NameChange> names, ShownName[] shown, List<ViewConflict> conflicts, List<ulong> unread)
    {
        var known = conflicts.Select(conflict => conflict.Path).ToHashSet(StringComparer.Ordinal);
        for (int i = 0; i < shown.Length; i++)
        {
            if (shown[i] is not { IsNewObject: true, InUpper: InUpper.Merged })
            {
                continue;
            }

            _overlay.Merged.FindHidden(
                shown[i].Directory,
                NameOf(names[i]).Name,
                (directory, name, isRemoved) =>
                {
                    string path = PathOf(directory, name);
                    if (known.Add(path))
                    {
                        conflicts.Add(new ViewConflict(path, isRemoved));
                    }
                },
                unread.Add);
        }

        conflicts.Sort((left, right) => string.CompareOrdinal(left.Path, right.Path));
    }

    private unsafe LowerName NameOf(NameChange change)
    {
        NodeStore store = _tree.Tree.Store;
        return new LowerName(
            change.Directory, new ByteName(store.Names.At(change.NamePlace), change.NameLength), change.After != 0, change.After != 0 && store[change.After]->IsDirectory);
    }

    private unsafe string PathOf(ulong directory, ByteName name)
    {
        byte* path = stackalloc byte[LongestPath];
        return System.Text.Encoding.UTF8.GetString(path, _overlay.DescribePath(directory, name, path, LongestPath));
    }

    /// <summary>
    /// Names first: the kernel takes the directory's lock for each, so that listings and lookups that began before have ended when the
    /// listing is dropped at last.
    /// </summary>
    private unsafe void Tell(IReadOnlyList<NameChange> changes, ShownName[] shown)
    {
        NodeStore store = _tree.Tree.Store;
        for (int start = 0; start < changes.Count;)
        {
            int end = start;
            for (; end < changes.Count && changes[end].Directory == changes[start].Directory; end++)
            {
                NameChange change = changes[end];
                if (shown[end].InUpper == InUpper.None || shown[end].IsNewObject)
                {
                    _notifier!.InvalEntry(shown[end].Directory, new ByteName(store.Names.At(change.NamePlace), change.NameLength));
                }
            }

            _notifier!.InvalInode(shown[start].Directory);
            start = end;
        }

        _notifier!.Flush();
    }

    /// <summary>Keeps the layers while something uses them.</summary>
    private readonly struct Turn(MountedView owner, bool isChange) : IDisposable
    {
        public void Dispose() => owner.End(isChange);
    }
}
