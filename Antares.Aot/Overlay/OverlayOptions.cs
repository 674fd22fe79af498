using Antares.Aot.Base;
using Antares.Aot.Layers;

namespace Antares.Aot.Overlay;

/// <summary>What an overlay is made of.</summary>
public sealed record OverlayOptions
{
    /// <summary>Read-only layers, the topmost first; at least one, at most <see cref="MaxLowers"/>. The place in the list is the tree slot less one.</summary>
    public required IReadOnlyList<ILayer> Lowers { get; init; }

    /// <summary>Where writes go; null for a read-only mount.</summary>
    public DirectoryLayer? Upper { get; init; }

    /// <summary>Owners as the mount shows them; the same that the layers were opened with.</summary>
    public IdMap Uids { get; init; } = IdMap.Identity;

    /// <summary>Groups, likewise.</summary>
    public IdMap Gids { get; init; } = IdMap.Identity;

    /// <summary>Each directory shows one link.</summary>
    public bool StaticLinks { get; init; }

    /// <summary>False: ACLs are answered EOPNOTSUPP.</summary>
    public bool Acls { get; init; } = true;

    /// <summary>False: extended attributes are answered ENOSYS, so that the kernel asks for none any more.</summary>
    public bool Xattrs { get; init; } = true;

    /// <summary>False: directories that have a lower part are not renamed (EXDEV).</summary>
    public bool RenamesLowerDirectories { get; init; } = true;

    /// <summary>True: names that begin with <c>.wh.</c> stand for whiteouts, and cannot be made (EPERM).</summary>
    public bool ReservesAufsNames { get; init; }

    /// <summary>Most layers below the upper, as kernel overlayfs.</summary>
    public const int MaxLowers = 500;
}
