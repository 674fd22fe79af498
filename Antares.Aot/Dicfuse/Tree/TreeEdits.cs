using System.Runtime.InteropServices;
using Antares.Aot.Base;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>A name of a directory that leads elsewhere than the source's listing says.</summary>
/// <param name="Directory">Node of the directory, whose names are loaded.</param>
/// <param name="Name">Place of the name in the heap.</param>
/// <param name="NameLength">1 to 255.</param>
/// <param name="Node">What it leads to; 0: nothing is shown under it.</param>
/// <param name="IsListed">The source lists the name too: it keeps that place in listings.</param>
/// <param name="Serial">For a name that is not listed: its place behind those that are. At least 1, its own in the tree for good.</param>
internal readonly record struct TreeEdit(uint Directory, uint Name, byte NameLength, uint Node, bool IsListed, uint Serial);

/// <summary>
/// What a tree shows otherwise than its source: names that lead to other nodes, that are new, or that lead nowhere. Made as a whole
/// beside the tree and put in force by one store (<see cref="DicfuseTree.Edits"/>); never changed after that, so readers take no lock.
/// </summary>
/// <remarks>Three arrays however many names there are; nothing is allocated by a question.</remarks>
internal sealed unsafe class TreeEdits
{
    private readonly NodeStore _store;
    private readonly TreeEdit[] _edits;
    private readonly int[] _added;
    private readonly DirectoryRange[] _directories;

    /// <param name="store">The names are in its heap.</param>
    /// <param name="edits">In any order, each name once; sorted in place and kept.</param>
    public TreeEdits(NodeStore store, TreeEdit[] edits)
    {
        _store = store;
        _edits = edits;
        Array.Sort(edits, (left, right) => left.Directory != right.Directory
            ? left.Directory.CompareTo(right.Directory)
            : NameOf(left).CompareBytes(NameOf(right)));
        var directories = new List<DirectoryRange>();
        var added = new List<int>();
        for (int start = 0; start < edits.Length;)
        {
            int end = start;
            int firstAdded = added.Count;
            for (; end < edits.Length && edits[end].Directory == edits[start].Directory; end++)
            {
                if (!edits[end].IsListed)
                {
                    added.Add(end);
                }
            }

            CollectionsMarshal.AsSpan(added)[firstAdded..].Sort((left, right) => edits[left].Serial.CompareTo(edits[right].Serial));
            directories.Add(new DirectoryRange(edits[start].Directory, start, end, firstAdded, added.Count));
            start = end;
        }

        _directories = [.. directories];
        _added = [.. added];
    }

    /// <summary>All of them, by directory and name.</summary>
    public ReadOnlySpan<TreeEdit> All => _edits;

    /// <summary>Finds a name of a directory.</summary>
    /// <returns>False: it leads where the source says.</returns>
    public bool TryFind(uint directory, ByteName name, out TreeEdit edit)
    {
        edit = default;
        int range = RangeOf(directory);
        if (range < 0)
        {
            return false;
        }

        int low = _directories[range].Start;
        int high = _directories[range].End;
        while (low < high)
        {
            int middle = low + ((high - low) / 2);
            int order = NameOf(_edits[middle]).CompareBytes(name);
            if (order == 0)
            {
                edit = _edits[middle];
                return true;
            }

            if (order < 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return false;
    }

    /// <summary>Those of one directory, by name.</summary>
    public ReadOnlySpan<TreeEdit> Of(uint directory) =>
        RangeOf(directory) is var range and >= 0 ? _edits.AsSpan(_directories[range].Start.._directories[range].End) : default;

    /// <summary>True when some name of a directory leads elsewhere.</summary>
    public bool Concern(uint directory) => RangeOf(directory) >= 0;

    /// <summary>The next name that the source does not list.</summary>
    /// <param name="directory">The directory.</param>
    /// <param name="after">Serial of the one before; 0 from the start.</param>
    /// <param name="edit">The name.</param>
    public bool TryNextAdded(uint directory, uint after, out TreeEdit edit)
    {
        edit = default;
        int range = RangeOf(directory);
        if (range < 0)
        {
            return false;
        }

        int low = _directories[range].AddedStart;
        int end = _directories[range].AddedEnd;
        int high = end;
        while (low < high)
        {
            int middle = low + ((high - low) / 2);
            if (_edits[_added[middle]].Serial <= after)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        if (low == end)
        {
            return false;
        }

        edit = _edits[_added[low]];
        return true;
    }

    /// <summary>The name of an edit.</summary>
    public ByteName NameOf(in TreeEdit edit) => new(_store.Names.At(edit.Name), edit.NameLength);

    private int RangeOf(uint directory)
    {
        int low = 0;
        int high = _directories.Length - 1;
        while (low <= high)
        {
            int middle = low + ((high - low) / 2);
            uint there = _directories[middle].Directory;
            if (there == directory)
            {
                return middle;
            }

            if (there < directory)
            {
                low = middle + 1;
            }
            else
            {
                high = middle - 1;
            }
        }

        return -1;
    }

    private readonly record struct DirectoryRange(uint Directory, int Start, int End, int AddedStart, int AddedEnd);
}
