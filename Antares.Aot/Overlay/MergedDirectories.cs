using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay;

/// <summary>
/// Walks through the directories of the upper that are merged with lower ones, and has the names of both loaded: an upper of an earlier mount
/// may have something in front of what nobody has looked at in this one.
/// </summary>
/// <remarks>Not through directories that only the upper has, and what was moved into those. Not on threads that serve requests.</remarks>
public sealed unsafe class MergedDirectories(MergedTree tree)
{
    private readonly MergedTree _tree = tree;

    /// <summary>Walks through all of them.</summary>
    /// <param name="isOver">True: stop.</param>
    /// <param name="unread">Told the id of a directory that could not be read; it is passed over.</param>
    public void LoadAll(Func<bool> isOver, Action<ulong> unread)
    {
        if (!_tree.HasUpper)
        {
            return;
        }

        var waiting = new Queue<ulong>([NodeId.Root]);
        var below = new List<ulong>();
        while (!isOver() && waiting.TryDequeue(out ulong directory))
        {
            Errno error;
            Failure.Clear();
            lock (_tree.Gate)
            {
                do
                {
                    below.Clear();
                    error = Load(directory, below);
                }
                while (_tree.Lowers.LoadLacking(ref error));
            }

            if (error is not (Errno.None or Errno.ESTALE))
            {
                unread(directory);
            }

            below.ForEach(waiting.Enqueue);
        }

        Failure.Clear();
    }

    /// <summary>Finds what the upper has in front of a lower directory, and below it.</summary>
    /// <param name="parent">Directory of <paramref name="name"/>.</param>
    /// <param name="name">A directory that is merged.</param>
    /// <param name="hidden">Told each name where the upper hides something, with the id of its directory; true: by a whiteout. Called with the gate held.</param>
    /// <param name="unread">Told the id of a directory that could not be read; it is passed over.</param>
    public void FindHidden(ulong parent, ByteName name, Action<ulong, ByteName, bool> hidden, Action<ulong> unread)
    {
        var waiting = new Queue<ulong>();
        Errno error;
        lock (_tree.Gate)
        {
            do
            {
                error = _tree.Resolve(parent, out Target directory);
                Target child = default;
                error = error == Errno.None ? _tree.FindChild(in directory, name, out child) : error;
                if (error == Errno.None)
                {
                    waiting.Enqueue(child.NodeId);
                }
            }
            while (_tree.Lowers.LoadLacking(ref error));
        }

        var below = new List<ulong>();
        while (waiting.TryDequeue(out ulong id))
        {
            lock (_tree.Gate)
            {
                do
                {
                    below.Clear();
                    error = Load(id, below);
                }
                while (_tree.Lowers.LoadLacking(ref error));

                // Everything is loaded, and the gate was not released since.
                error = error == Errno.None ? Compare(id, hidden) : error;
            }

            if (error is not (Errno.None or Errno.ESTALE))
            {
                unread(id);
            }

            below.ForEach(waiting.Enqueue);
        }

        Failure.Clear();
    }

    private Errno Compare(ulong id, Action<ulong, ByteName, bool> hidden)
    {
        Errno error = _tree.Resolve(id, out Target directory);
        ReadOnlySpan<LowerRef> parts = error == Errno.None && directory.HasUpper ? _tree.LowersOf(in directory) : default;
        for (ulong cookie = 0; parts.Length > 0 && _tree.Upper.Next(directory.Upper, cookie, out LayerEntry entry) == Errno.None; cookie = entry.Cookie)
        {
            if (_tree.Lowers.Find(parts[0], entry.Name, out LowerRef lower, out _) != Errno.None)
            {
                continue;
            }

            bool isRemoved = entry.Type == FileType.Whiteout;
            bool isMerged = entry.Type == FileType.Directory && _tree.FindChild(in directory, entry.Name, out Target child) == Errno.None
                && _tree.LowersOf(in child).Contains(lower);
            if (isRemoved || !isMerged)
            {
                hidden(id, entry.Name, isRemoved);
            }
        }

        return error;
    }

    private Errno Load(ulong id, List<ulong> below)
    {
        Errno error = _tree.Resolve(id, out Target directory);
        if (error != Errno.None || !directory.HasUpper)
        {
            return error;
        }

        foreach (LowerRef part in _tree.LowersOf(in directory))
        {
            error = _tree.Lowers.Require(part, LayerPart.Names);
            if (error != Errno.None)
            {
                return error;
            }
        }

        ulong cookie = 0;
        while ((error = _tree.Upper.Next(directory.Upper, cookie, out LayerEntry entry)) == Errno.None)
        {
            cookie = entry.Cookie;
            if (entry.Type != FileType.Directory)
            {
                continue;
            }

            error = _tree.FindChild(in directory, entry.Name, out Target child);
            if (error == Errno.ERESTART)
            {
                return error;
            }

            if (error == Errno.None && child.HasUpper && _tree.LowersOf(in child).Length > 0)
            {
                below.Add(child.NodeId);
            }
        }

        return error == Errno.ENOENT ? Errno.None : error;
    }
}
