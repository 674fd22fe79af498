using Antares.Aot.Base;

namespace Antares.Aot.Mounts;

/// <summary>How a mount shows its objects and which marks its layers have, where that is not the default.</summary>
public sealed record MountBehaviour
{
    /// <summary>Owners inside the mount and outside, in the layers; null: the same.</summary>
    public IReadOnlyList<IdRange>? Uids { get; init; }

    /// <summary>Groups, likewise.</summary>
    public IReadOnlyList<IdRange>? Gids { get; init; }

    /// <summary>
    /// What a caller makes whose ids are not mapped gets the overflow id (as fuse-overlayfs has it, and podman needs it, which makes files in a
    /// container's tree as the host's root); otherwise it is refused (EOVERFLOW).
    /// </summary>
    public bool TakesUnmappedCallers { get; init; }

    /// <summary>Owner shown for every object; null: its own.</summary>
    public uint? SquashToUid { get; init; }

    /// <summary>Group shown for every object; null: its own.</summary>
    public uint? SquashToGid { get; init; }

    /// <summary>Each directory shows one link, which costs no look at its sub-directories.</summary>
    public bool StaticLinks { get; init; }

    /// <summary>False: ACLs are neither shown nor set nor checked.</summary>
    public bool Acls { get; init; } = true;

    /// <summary>False: no extended attributes at all.</summary>
    public bool Xattrs { get; init; } = true;

    /// <summary>False: renaming a directory that has a lower part gives EXDEV, and no redirect is written.</summary>
    public bool RenamesLowerDirectories { get; init; } = true;

    /// <summary>False: a directory that a layer says lies elsewhere below gives EPERM.</summary>
    public bool FollowsRedirects { get; init; } = true;

    /// <summary>Files named <c>.wh.NAME</c> are whiteouts too.</summary>
    public bool ReadsAufsWhiteouts { get; init; }
}
