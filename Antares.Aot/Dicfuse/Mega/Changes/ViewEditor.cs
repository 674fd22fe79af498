using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Tree;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Mega.Changes;

/// <summary>
/// Finds what has to change in the tree that a mount shows, so that it shows a certain revision with a certain changelist. For one at a time.
/// </summary>
/// <remarks>
/// Directories are compared by the ids of their trees: what is equal is not walked through, and of what is not, only what somebody has asked
/// for. A directory that nobody has listed gets another id, and is listed as that later.
/// <para>
/// The node of a directory stays, so that a working directory is not lost; one that goes becomes empty, and comes back as the same unless the workspace
/// moved or removed it meanwhile. A file whose content or mode changes
/// gets a new node: who has the old one open reads on in the old one. It also gets the time of the change as its time of modification, as after
/// a checkout, so that a build sees it; also when it becomes again what it was.
/// </para>
/// </remarks>
internal sealed class ViewEditor(DicfuseTree tree, MegaSource source)
{
    /// <summary>A directory of which the revision has nothing.</summary>
    private static readonly GitContent s_nothing = new(GitMode.Directory, MegaTrees.EmptyTree);

    private readonly DicfuseTree _tree = tree;
    private readonly MegaSource _source = source;
    private readonly Dictionary<(uint Directory, string Name), uint> _serials = [];
    private readonly Dictionary<(uint Directory, string Name), uint> _directories = [];

    /// <summary>
    /// Tells whether a directory that was shown once is somebody else's now (<see cref="Overlay.LowerExchange.IsClaimedElsewhere"/>), so that another node
    /// must take its place when it comes back.
    /// </summary>
    public Func<uint, bool> IsClaimed { get; set; } = _ => false;

    /// <summary>Finds the change.</summary>
    /// <param name="over">Reads the revision.</param>
    /// <param name="changes">The changelist, judged; null: none.</param>
    /// <param name="before">The one that is shown; null: none.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="MegaProblem">A directory cannot be had, or no memory.</exception>
    public async Task<ViewChange> Find(RevisionReader over, ClFolder? changes, ClFolder? before, CancellationToken stop)
    {
        var walk = new Walk(this, over);
        var level = new List<Step> { new(ILayer.RootNode, "", default) { Changes = changes, Before = before } };
        if (!_tree.IsLoaded(ILayer.RootNode, LayerPart.Names))
        {
            if (changes is null)
            {
                walk.Change.NotLoaded.Add(ILayer.RootNode);
                level.Clear();
            }
            else
            {
                level[0].IsToBeLoaded = true;
            }
        }

        while (level.Count > 0)
        {
            await Task.WhenAll(LoadAll(level.FindAll(step => step.IsToBeLoaded), stop), ReadAll(level, over, stop)).ConfigureAwait(false);
            walk.Next.Clear();
            foreach (Step step in level)
            {
                walk.Take(step);
            }

            level = [.. walk.Next];
        }

        walk.KeepOthers();
        return walk.Change;
    }

    private Task ReadAll(List<Step> level, RevisionReader over, CancellationToken stop) =>
        Parallel.ForEachAsync(
            level,
            new ParallelOptions { MaxDegreeOfParallelism = _source.Options.Concurrency, CancellationToken = stop },
            async (step, token) => step.Entries = step.Changes?.Entries
                ?? await (step.Path.Length == 0 ? over.ReadRoot(token) : over.Read(step.Path, step.Content, token)).ConfigureAwait(false));

    // Threads of their own: a load waits for tasks of the pool.
    private Task LoadAll(List<Step> steps, CancellationToken stop)
    {
        int last = -1;
        int threads = Math.Min(steps.Count, _source.Options.Concurrency);
        return Task.WhenAll(Enumerable.Range(0, threads).Select(_ => Task.Factory.StartNew(() =>
        {
            for (int i = Interlocked.Increment(ref last); i < steps.Count; i = Interlocked.Increment(ref last))
            {
                LoadNames(steps[i], stop);
            }
        }, stop, TaskCreationOptions.LongRunning, TaskScheduler.Default)));
    }

    private void LoadNames(Step step, CancellationToken stop)
    {
        Errno error;
        do
        {
            stop.ThrowIfCancellationRequested();
            Failure.Clear();
            error = _tree.Load(step.Node, LayerPart.Names); // waits no longer than a request may, and goes on then
        }
        while (error == Errno.ETIMEDOUT);

        if (error != Errno.None)
        {
            throw new MegaProblem(error, $"/{Changelist.Shown(step.Path)} cannot be listed: {Failure.Call ?? error.ToString()}");
        }
    }

    private uint SerialOf(uint directory, string name)
    {
        if (!_serials.TryGetValue((directory, name), out uint serial))
        {
            serial = (uint)_serials.Count + 1;
            _serials.Add((directory, name), serial);
        }

        return serial;
    }

    /// <summary>A directory to be compared.</summary>
    /// <param name="Node">Its node.</param>
    /// <param name="Path">Relative to the mounted one.</param>
    /// <param name="Content">What the revision has there.</param>
    private sealed record Step(uint Node, string Path, GitContent Content)
    {
        public ClFolder? Changes { get; init; }

        public ClFolder? Before { get; init; }

        /// <summary>Nobody has asked for its names, and they are needed.</summary>
        public bool IsToBeLoaded { get; set; }

        /// <summary>What the revision has in it.</summary>
        public Dictionary<string, GitContent> Entries { get; set; } = [];
    }

    /// <summary>What is to be under a name.</summary>
    private readonly record struct Wanted(GitContent Content, bool IsOfChangelist)
    {
        public bool IsDirectory => Content.Mode is GitMode.Directory or GitMode.Submodule;
    }

    /// <summary>One comparison, from the mounted directory downwards.</summary>
    private sealed unsafe class Walk
    {
        private readonly ViewEditor _editor;
        private readonly DicfuseTree _tree;
        private readonly TreeEdits? _shown;
        private readonly List<TreeEdit> _edits = [];
        private readonly HashSet<uint> _seen = [];
        private readonly HashSet<string> _special = new(StringComparer.Ordinal);

        public Walk(ViewEditor editor, RevisionReader over)
        {
            _editor = editor;
            _tree = editor._tree;
            _shown = editor._tree.Edits;
            Change = new ViewChange();
            if (over.Revision != editor._source.Revision)
            {
                FindSpecial();
            }
        }

        public ViewChange Change { get; }

        /// <summary>What <see cref="Take"/> found to be looked at next.</summary>
        public List<Step> Next { get; } = [];

        /// <summary>Compares the names of one directory, which are loaded.</summary>
        public void Take(Step step)
        {
            _ = _seen.Add(step.Node); // no node is in two directories
            Dictionary<string, Wanted> wanted = WantedIn(step);
            HashSet<string>? named = step.Changes is null ? null : [.. step.Changes.Targets.Keys.Select(NameKey.Of)];
            NodeRecord* directory = _tree.Store[step.Node];
            uint end = directory->Body + directory->Extra;
            for (uint listed = directory->Body; listed < end; listed++)
            {
                NodeRecord* record = _tree.Store[listed];
                ByteName name = _tree.Store.NameOf(record);
                uint before = _shown != null && _shown.TryFind(step.Node, name, out TreeEdit edit) ? edit.Node : listed;
                var slot = new Slot(step, record->Name, record->NameLength, NameKey.Of(name.Span), listed, before);
                uint after = Choose(slot, wanted);
                if (after != listed)
                {
                    _edits.Add(new TreeEdit(step.Node, slot.Place, slot.Length, after, IsListed: true, Serial: 0));
                }

                Note(slot, after, named);
            }

            foreach (TreeEdit edit in _shown == null ? default : _shown.Of(step.Node))
            {
                if (!edit.IsListed)
                {
                    var slot = new Slot(step, edit.Name, edit.NameLength, NameKey.Of(_shown!.NameOf(edit).Span), 0, edit.Node);
                    Add(slot, Choose(slot, wanted), named);
                }
            }

            foreach (string key in wanted.Keys.Order(StringComparer.Ordinal).ToList())
            {
                var slot = new Slot(step, 0, 0, key, 0, 0);
                uint after = Choose(slot, wanted);
                NodeRecord* record = _tree.Store[after];
                Add(slot with { Place = record->Name, Length = record->NameLength }, after, named);
            }
        }

        /// <summary>What directories show otherwise that were not looked at stays so.</summary>
        public void KeepOthers()
        {
            foreach (TreeEdit edit in _shown == null ? default : _shown.All)
            {
                if (!_seen.Contains(edit.Directory))
                {
                    _edits.Add(edit);
                }
            }

            Change.Edits = _edits.Count == 0 ? null : new TreeEdits(_tree.Store, [.. _edits]);
        }

        private static Dictionary<string, Wanted> WantedIn(Step step)
        {
            var wanted = new Dictionary<string, Wanted>(step.Entries.Count, StringComparer.Ordinal);
            foreach ((string key, GitContent content) in step.Entries)
            {
                wanted.Add(key, new Wanted(content, false));
            }

            foreach ((string name, ClTarget target) in step.Changes?.Targets ?? [])
            {
                string key = NameKey.Of(name);
                if (target.Kind == ClTargetKind.Hidden)
                {
                    _ = wanted.Remove(key); // mostly there
                }
                else
                {
                    wanted[key] = new Wanted(target.Kind == ClTargetKind.Directory ? s_nothing : new GitContent(target.Mode, target.Id), true);
                }
            }

            return wanted;
        }

        /// <summary>The node for a name; 0: nothing is to be there. Takes the name out of what is wanted.</summary>
        private uint Choose(Slot slot, Dictionary<string, Wanted> wanted)
        {
            bool isWanted = wanted.Remove(slot.Key, out Wanted what);
            uint after = !isWanted ? 0 : what.IsDirectory ? DirectoryFor(slot, what) : FileFor(slot, what.Content);
            if (slot.Before != 0 && slot.Before != after && _tree.Store[slot.Before]->IsDirectory)
            {
                Empty(slot);
            }

            return after;
        }

        private uint FileFor(Slot slot, in GitContent content)
        {
            bool isThere = slot.Before != 0 && !_tree.Store[slot.Before]->IsDirectory && _editor._source.ContentOf(slot.Before) == content;
            FileType type = content.Mode == GitMode.Symlink ? FileType.Symlink : FileType.Regular;
            return isThere ? slot.Before : Grow(slot, type, content, isListed: false);
        }

        private uint DirectoryFor(Slot slot, in Wanted what)
        {
            string path = Join(slot.Step.Path, NameKey.Text(slot.Key));
            string name = NameKey.Text(slot.Key);
            var next = new Step(0, path, what.Content)
            {
                Changes = slot.Step.Changes?.Folders.GetValueOrDefault(name),
                Before = slot.Step.Before?.Folders.GetValueOrDefault(name),
            };
            uint known = IsDirectory(slot.Listed) ? slot.Listed : _editor._directories.GetValueOrDefault((slot.Step.Node, slot.Key));
            uint node = IsDirectory(slot.Before) ? slot.Before : known != 0 && !_editor.IsClaimed(known) ? known : 0;
            if (node == 0)
            {
                // One in which the changelist has something shows all its names as edits, since nobody can list it before it is shown.
                bool isListed = next.Changes is null;
                node = Grow(slot, FileType.Directory, isListed ? what.Content : s_nothing, isListed);
                _editor._directories[(slot.Step.Node, slot.Key)] = node;
                if (isListed)
                {
                    return node;
                }
            }

            bool differs = _editor._source.ContentOf(node) != what.Content;
            if (differs)
            {
                Change.Listed.Add(new ShownDirectory(node, what.Content));
                if (node == slot.Before)
                {
                    Change.Directories.Add(new NameChange(slot.Step.Node, slot.Place, slot.Length, node, node));
                }
            }

            if (differs || next.Changes is not null || next.Before is not null || (!what.IsOfChangelist && _special.Contains(path)))
            {
                Visit(next with { Node = node });
            }

            return node;
        }

        private uint Grow(Slot slot, FileType type, in GitContent content, bool isListed)
        {
            Failure.Clear();
            Errno error = _tree.Growth.Add(slot.Step.Node, NameKey.Bytes(slot.Key), type, MegaSource.DatedPayload(content.Mode, content.Id), isListed, out uint node);
            if (error != Errno.None)
            {
                throw new MegaProblem(error, $"{Changelist.Shown(NameKey.Text(slot.Key))}: {Failure.Call ?? error.ToString()}");
            }

            Change.Grown.Add(node);
            return node;
        }

        private void Visit(Step step)
        {
            bool isLoaded = _tree.IsLoaded(step.Node, LayerPart.Names);
            if (isLoaded || step.Changes is not null)
            {
                step.IsToBeLoaded = !isLoaded;
                Next.Add(step);
            }
            else
            {
                Change.NotLoaded.Add(step.Node);
            }
        }

        /// <summary>A directory that is shown no more. Who is in it, or has moved it elsewhere in the workspace, finds nothing in it.</summary>
        private void Empty(Slot slot)
        {
            string name = NameKey.Text(slot.Key);
            ClFolder? before = slot.Step.Before?.Folders.GetValueOrDefault(name);
            if (_editor._source.ContentOf(slot.Before) != s_nothing)
            {
                Change.Listed.Add(new ShownDirectory(slot.Before, s_nothing));
            }
            else if (before is null)
            {
                return;
            }

            Visit(new Step(slot.Before, Join(slot.Step.Path, name), s_nothing) { Before = before });
        }

        private void Add(Slot slot, uint after, HashSet<string>? named)
        {
            if (after != 0)
            {
                _edits.Add(new TreeEdit(slot.Step.Node, slot.Place, slot.Length, after, IsListed: false, _editor.SerialOf(slot.Step.Node, slot.Key)));
            }

            Note(slot, after, named);
        }

        private void Note(Slot slot, uint after, HashSet<string>? named)
        {
            var change = new NameChange(slot.Step.Node, slot.Place, slot.Length, slot.Before, after);
            if (after != slot.Before)
            {
                Change.Names.Add(change);
            }

            if (named != null && named.Contains(slot.Key))
            {
                Change.OfChangelist.Add(change);
            }
        }

        private bool IsDirectory(uint node) => node != 0 && _tree.Store[node]->IsDirectory;

        /// <summary>What is shown otherwise than its parent's tree tells (import repositories) may change though that tree does not.</summary>
        private void FindSpecial()
        {
            string mounted = _editor._source.Options.Address.Path;
            int skip = mounted == "/" ? 1 : mounted.Length + 1;
            foreach (string path in _editor._source.Trees.SeenPaths().Where(path => path.Length > skip))
            {
                string below = path[skip..];
                for (int slash = below.IndexOf('/'); slash >= 0; slash = below.IndexOf('/', slash + 1))
                {
                    _ = _special.Add(below[..slash]); // several may lie below it
                }

                _ = _special.Add(below); // as above
            }
        }

        private static string Join(string path, string name) => path.Length == 0 ? name : $"{path}/{name}";

        /// <summary>A name of a directory.</summary>
        /// <param name="Step">The directory.</param>
        /// <param name="Place">The name in the heap; 0: not there yet.</param>
        /// <param name="Length">Its length.</param>
        /// <param name="Key">The name.</param>
        /// <param name="Listed">The node that the listing has; 0: none.</param>
        /// <param name="Before">The node that is shown; 0: none.</param>
        private readonly record struct Slot(Step Step, uint Place, byte Length, string Key, uint Listed, uint Before);
    }
}
