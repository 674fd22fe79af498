using Antares.Aot.Dicfuse.Tree;

namespace Antares.Aot.Dicfuse.Mega.Changes;

/// <summary>A name that leads elsewhere from now on, or whose directory is another one from now on.</summary>
/// <param name="Directory">Node of its directory.</param>
/// <param name="NamePlace">The name in the heap.</param>
/// <param name="NameLength">Its length.</param>
/// <param name="Before">Where it led; 0: nowhere.</param>
/// <param name="After">Where it leads; 0: nowhere.</param>
internal readonly record struct NameChange(uint Directory, uint NamePlace, byte NameLength, uint Before, uint After);

/// <summary>What makes of the tree that is shown the one that is to be shown. Made by <see cref="ViewEditor"/>; nothing is changed yet.</summary>
internal sealed class ViewChange
{
    /// <summary>What the tree is to show otherwise than its listings; null: nothing.</summary>
    public TreeEdits? Edits { get; set; }

    /// <summary>Names that lead elsewhere then; those of a directory together, and after its own.</summary>
    public List<NameChange> Names { get; } = [];

    /// <summary>Names of directories that stay, in which something is another then; in the same order.</summary>
    public List<NameChange> Directories { get; } = [];

    /// <summary>Names that the changelist makes lead elsewhere than the revision, whether they did so before or not.</summary>
    public List<NameChange> OfChangelist { get; } = [];

    /// <summary>What directories are listed as then, as far as that changes.</summary>
    public List<ShownDirectory> Listed { get; } = [];

    /// <summary>Directories whose names nobody had asked for. Should somebody have done so since, the change is to be made anew.</summary>
    public List<uint> NotLoaded { get; } = [];

    /// <summary>New nodes, whose time of modification is that of the exchange.</summary>
    public List<uint> Grown { get; } = [];

    /// <summary>What is kept of it while it is shown.</summary>
    public ViewChange OfChangelistOnly()
    {
        var kept = new ViewChange();
        kept.OfChangelist.AddRange(OfChangelist);
        return kept;
    }
}
