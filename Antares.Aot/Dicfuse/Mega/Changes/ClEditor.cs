using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Dicfuse.Tree;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Mega.Changes;

/// <summary>A name that leads elsewhere from now on.</summary>
/// <param name="Directory">Node of its directory.</param>
/// <param name="NamePlace">The name in the heap.</param>
/// <param name="NameLength">Its length.</param>
/// <param name="Before">Where it led; 0: nowhere.</param>
/// <param name="After">Where it leads; 0: nowhere.</param>
internal readonly record struct ClNameChange(uint Directory, uint NamePlace, byte NameLength, uint Before, uint After);

/// <summary>
/// Makes the edits of a tree from what a changelist wants to be shown, and tells which names that changes. For one thread at a time.
/// </summary>
/// <remarks>
/// Nodes of directories stay the same from one changelist to the next, so that a working directory is not lost. A file whose content or
/// mode changes gets a new node: who has the old one open reads on in the old one. It also gets the time of the change as its time of
/// modification, as after a checkout, so that a build sees it; also when it becomes again what the revision has.
/// </remarks>
internal sealed unsafe class ClEditor(DicfuseTree tree, MegaSource source)
{
    private readonly DicfuseTree _tree = tree;
    private readonly MegaSource _source = source;
    private readonly Dictionary<(uint Directory, string Name), uint> _serials = [];
    private readonly Dictionary<(uint Directory, string Name), uint> _directories = [];

    /// <summary>Makes the edits; nothing is shown before they are set in the tree.</summary>
    /// <param name="root">What is to be shown; null: the revision as it is.</param>
    /// <param name="now">Time of modification of what changes.</param>
    /// <param name="changes">Names that will lead elsewhere; those of a directory after its own.</param>
    /// <exception cref="MegaProblem">No memory.</exception>
    public TreeEdits? Make(ClFolder? root, timespec now, out List<ClNameChange> changes)
    {
        var edits = new List<TreeEdit>();
        changes = [];
        var done = new HashSet<(uint, string)>();
        if (root is not null)
        {
            Add(root, root.Node, now, edits, changes, done);
        }

        TreeEdits? before = _tree.Edits;
        foreach (TreeEdit old in before is null ? [] : before.All)
        {
            string name = Encoding.UTF8.GetString(before!.NameOf(old).Span);
            if (!done.Contains((old.Directory, name)))
            {
                Restore(old, now, edits, changes);
            }
        }

        return edits.Count == 0 ? null : new TreeEdits(_tree.Store, [.. edits]);
    }

    private void Add(ClFolder folder, uint directory, timespec now, List<TreeEdit> edits, List<ClNameChange> changes, HashSet<(uint, string)> done)
    {
        foreach ((string name, ClTarget target) in folder.Targets)
        {
            _ = done.Add((directory, name)); // names are unique
            uint listed = folder.FindHere(_tree, name);
            uint before = ShownNow(directory, name, listed);
            uint after = target.Kind switch
            {
                ClTargetKind.Hidden => 0,
                ClTargetKind.Directory => DirectoryAt(directory, name, now),
                _ => IsFile(before, target) ? before : NewFile(directory, name, target.Mode, target.Id, now),
            };
            Enter(directory, name, listed, before, after, edits, changes);
        }

        foreach ((string name, ClFolder below) in folder.Folders)
        {
            if (below.Node != 0)
            {
                Add(below, below.Node, now, edits, changes, done);
            }
            else if (folder.Targets.TryGetValue(name, out ClTarget target) && target.Kind == ClTargetKind.Directory)
            {
                Add(below, _directories[(directory, name)], now, edits, changes, done);
            }
        }
    }

    /// <summary>A name of the edits in force that is again what the revision has.</summary>
    private void Restore(in TreeEdit old, timespec now, List<TreeEdit> edits, List<ClNameChange> changes)
    {
        ByteName bytes = new(_tree.Store.Names.At(old.Name), old.NameLength);
        Errno error = _tree.FindInSource(old.Directory, bytes, out uint listed);
        if (error is not (Errno.None or Errno.ENOENT))
        {
            throw new MegaProblem(error, $"a directory cannot be listed: {Failure.Call ?? error.ToString()}");
        }

        uint after = listed;
        if (listed != 0 && !_tree.Store[listed]->IsDirectory)
        {
            (GitMode mode, ObjectId id) = _source.ContentOf(listed);
            after = IsFile(old.Node, new ClTarget(ClTargetKind.File, mode, id))
                ? old.Node
                : NewFile(old.Directory, Encoding.UTF8.GetString(bytes.Span), mode, id, now);
        }

        if (after != listed)
        {
            edits.Add(new TreeEdit(old.Directory, old.Name, old.NameLength, after, IsListed: true, Serial: 0));
        }

        if (after != old.Node)
        {
            changes.Add(new ClNameChange(old.Directory, old.Name, old.NameLength, old.Node, after));
        }
    }

    private void Enter(uint directory, string name, uint listed, uint before, uint after, List<TreeEdit> edits, List<ClNameChange> changes)
    {
        // Something is listed, or shown before or after: a name in the heap is there.
        uint named = after != 0 ? after : listed != 0 ? listed : before;
        if (named == 0)
        {
            return;
        }

        NodeRecord* record = _tree.Store[named];
        if (after != listed)
        {
            uint serial = listed != 0 ? 0 : SerialOf(directory, name);
            edits.Add(new TreeEdit(directory, record->Name, record->NameLength, after, listed != 0, serial));
        }

        if (after != before)
        {
            changes.Add(new ClNameChange(directory, record->Name, record->NameLength, before, after));
        }
    }

    private uint ShownNow(uint directory, string name, uint listed)
    {
        byte[] bytes = [.. Encoding.UTF8.GetBytes(name), 0];
        fixed (byte* pointer = bytes)
        {
            return _tree.Edits is { } edits && edits.TryFind(directory, new ByteName(pointer, bytes.Length - 1), out TreeEdit edit) ? edit.Node : listed;
        }
    }

    private bool IsFile(uint node, in ClTarget target)
    {
        if (node == 0 || _tree.Store[node]->IsDirectory)
        {
            return false;
        }

        (GitMode mode, ObjectId id) = _source.ContentOf(node);
        return mode == target.Mode && id == target.Id;
    }

    private uint NewFile(uint directory, string name, GitMode mode, in ObjectId id, timespec now) =>
        Grow(directory, name, mode == GitMode.Symlink ? FileType.Symlink : FileType.Regular, MegaSource.DatedPayload(mode, id, now));

    private uint DirectoryAt(uint directory, string name, timespec now)
    {
        if (!_directories.TryGetValue((directory, name), out uint node))
        {
            node = Grow(directory, name, FileType.Directory, MegaSource.DatedPayload(GitMode.Directory, default, now));
            _directories.Add((directory, name), node);
        }

        return node;
    }

    private uint Grow(uint directory, string name, FileType type, byte[] payload)
    {
        Failure.Clear();
        Errno error = _tree.Growth.Add(directory, Encoding.UTF8.GetBytes(name), type, payload, out uint node);
        return error == Errno.None ? node : throw new MegaProblem(error, $"{Changelist.Shown(name)}: {Failure.Call ?? error.ToString()}");
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
}
