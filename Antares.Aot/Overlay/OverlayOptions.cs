using Antares.Aot.Layers;

namespace Antares.Aot.Overlay;

/// <summary>What an overlay is made of.</summary>
public sealed record OverlayOptions
{
    /// <summary>Read-only layers, the topmost first; at least one, at most <see cref="MaxLowers"/>. The place in the list is the tree slot less one.</summary>
    public required IReadOnlyList<ILayer> Lowers { get; init; }

    /// <summary>Where writes go; null for a read-only mount.</summary>
    public DirectoryLayer? Upper { get; init; }

    /// <summary>Most layers below the upper, as kernel overlayfs.</summary>
    public const int MaxLowers = 500;
}
