using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Mega.Changes;
using Antares.Aot.Dicfuse.Tree;
using Antares.Aot.Fuse;
using Antares.Aot.Overlay;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>A path of the mount where the workspace keeps something in front of what a changelist changes.</summary>
/// <param name="Path">In the mount.</param>
/// <param name="IsRemoved">The workspace has removed it; otherwise it has something of its own there.</param>
internal readonly record struct ChangelistConflict(string Path, bool IsRemoved);

/// <summary>The changelist of a running mount, and how it is exchanged for another one.</summary>
internal sealed class MountedChangelist
{
    /// <summary>Why, and what to do instead.</summary>
    public const string NotOnKernelEngine =
        "the kernel's overlay cannot have its lower layer changed under it: unmount, and mount with --cl (--upper takes the writes along), or mount with --engine fuse to change it live";

    /// <inheritdoc cref="NotOnKernelEngine"/>
    public const string NotUnderLayers =
        "it has further layers (--layer) over its server's directory, whose directories are not merged anew: unmount, and mount with --cl";

    private const int LongestPath = 4096;

    private readonly ClTree _tree;
    private readonly uint _slot;
    private readonly OverlayFs _overlay;
    private readonly Notifier? _notifier;
    private readonly string? _whyFixed;
    private readonly CancellationTokenSource _ending = new();
    private readonly object _turns = new();
    private int _users;
    private bool _isChanging;

    /// <param name="tree">The server's directory.</param>
    /// <param name="slot">Its layer.</param>
    /// <param name="overlay">What is mounted over it.</param>
    /// <param name="notifier">Tells the kernel; null: it cannot be exchanged.</param>
    /// <param name="whyFixed">Why it cannot be exchanged, and what to do instead; null: it can.</param>
    public MountedChangelist(ClTree tree, uint slot, OverlayFs overlay, Notifier? notifier, string? whyFixed)
    {
        _tree = tree;
        _slot = slot;
        _overlay = overlay;
        _notifier = notifier;
        _whyFixed = whyFixed;
    }

    /// <summary>Told of the link that is shown from now on, or null.</summary>
    public Action<string?>? Changed { get; set; }

    /// <summary>The mounted directory of the monorepo.</summary>
    public string Mounted => _tree.Mounted;

    /// <summary>What is shown, and where the workspace hides it.</summary>
    public (ClApplied Applied, List<ChangelistConflict> Conflicts) Show()
    {
        using var turn = Begin(isChange: false);
        ClApplied applied = _tree.Current;
        return (applied, applied.Link is null ? [] : Exchange([], null, out _));
    }

    /// <summary>Shows another changelist, or none.</summary>
    /// <param name="link">Its name; null: the revision as it is.</param>
    /// <param name="origin">Where its paths begin; null: the server is asked.</param>
    /// <returns>What it does, and where the workspace hides what changed.</returns>
    /// <exception cref="MountProblem">Usage: it cannot be exchanged here; Host: why this one cannot be shown. What was shown still is.</exception>
    public (ClApplied Applied, List<ChangelistConflict> Conflicts) Set(string? link, string? origin)
    {
        if (_whyFixed is not null || _notifier is null)
        {
            throw MountProblem.Usage(_whyFixed ?? "the changelist of this mount cannot be changed");
        }

        using var turn = Begin(isChange: true);
        try
        {
            ClPrepared prepared = _tree.Prepare(link, origin, _ending.Token).GetAwaiter().GetResult();
            List<ChangelistConflict> conflicts = Exchange(prepared.Changes, prepared, out ShownName[] shown);
            Tell(prepared.Changes, shown);
            Changed?.Invoke(link);
            return (prepared.Applied, conflicts);
        }
        catch (MegaProblem problem)
        {
            throw MountProblem.Host($"{problem.Message}{(_tree.Current.Link is { } kept ? $"\n{kept} is still shown" : "")}");
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
                throw MountProblem.Host("another changelist is just being fetched; try again when that is done");
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

    /// <summary>Exchanges what is shown, or only looks.</summary>
    /// <param name="changes">Names that change.</param>
    /// <param name="prepared">What is to be shown; null: only look.</param>
    /// <param name="shown">For each change where it is to be seen.</param>
    /// <returns>Where the workspace hides a name that changes, or that the changelist has.</returns>
    private List<ChangelistConflict> Exchange(IReadOnlyList<ClNameChange> changes, ClPrepared? prepared, out ShownName[] shown)
    {
        TreeEdits? edits = prepared is null ? _tree.Tree.Edits : prepared.Edits;
        var names = new List<LowerName>(changes.Count);
        var known = new HashSet<(uint, uint)>();
        foreach (ClNameChange change in changes)
        {
            names.Add(NameOf(change.Directory, change.NamePlace, change.NameLength, change.After));
            _ = known.Add((change.Directory, change.NamePlace)); // names are unique
        }

        foreach (TreeEdit edit in edits is null ? [] : edits.All)
        {
            if (!known.Contains((edit.Directory, edit.Name)))
            {
                names.Add(NameOf(edit.Directory, edit.Name, edit.NameLength, edit.Node));
            }
        }

        var all = new ShownName[names.Count];
        Errno error = _overlay.Exchange.Exchange(
            _slot, System.Runtime.InteropServices.CollectionsMarshal.AsSpan(names), prepared is null ? null : () => _tree.Show(prepared), all);
        if (error != Errno.None)
        {
            throw MountProblem.Host($"the workspace cannot be looked at ({Failure.Layer}: {Failure.Call}): {ErrnoText.Of(error)}; nothing was changed");
        }

        var conflicts = new List<ChangelistConflict>();
        for (int i = 0; i < all.Length; i++)
        {
            // Gone on both sides: nothing to choose between.
            if (all[i].InUpper == InUpper.Changed || (all[i].InUpper == InUpper.Removed && names[i].IsThere))
            {
                conflicts.Add(new ChangelistConflict(PathOf(all[i].Directory, names[i].Name), all[i].InUpper == InUpper.Removed));
            }
        }

        conflicts.Sort((left, right) => string.CompareOrdinal(left.Path, right.Path));
        shown = all[..changes.Count];
        return conflicts;
    }

    private unsafe LowerName NameOf(uint directory, uint place, byte length, uint leadsTo)
    {
        NodeStore store = _tree.Tree.Store;
        return new LowerName(directory, new ByteName(store.Names.At(place), length), leadsTo != 0, leadsTo != 0 && store[leadsTo]->IsDirectory);
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
    private unsafe void Tell(IReadOnlyList<ClNameChange> changes, ShownName[] shown)
    {
        NodeStore store = _tree.Tree.Store;
        for (int start = 0; start < changes.Count;)
        {
            int end = start;
            for (; end < changes.Count && changes[end].Directory == changes[start].Directory; end++)
            {
                ClNameChange change = changes[end];
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
    private readonly struct Turn(MountedChangelist owner, bool isChange) : IDisposable
    {
        public void Dispose() => owner.End(isChange);
    }
}
