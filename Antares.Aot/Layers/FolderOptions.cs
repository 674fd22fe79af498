using Antares.Aot.Base;

namespace Antares.Aot.Layers;

/// <summary>How a folder is read as a layer, upper or lower.</summary>
public sealed record FolderOptions
{
    /// <summary>Owners as the mount shows them.</summary>
    public IdMap Uids { get; init; } = IdMap.Identity;

    /// <summary>Groups as the mount shows them.</summary>
    public IdMap Gids { get; init; } = IdMap.Identity;

    /// <summary>True: files named <c>.wh.NAME</c> are whiteouts too (<see cref="AufsMarks"/>).</summary>
    public bool ReadsAufsWhiteouts { get; init; }

    /// <summary>False: a directory that says that its lower part lies elsewhere gives EPERM.</summary>
    public bool FollowsRedirects { get; init; } = true;
}
