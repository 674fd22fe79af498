using Antares.Aot.Dicfuse.Store;

namespace Antares.Aot.Dicfuse.Mega;

/// <summary>What a name leads to: in a tree of git, or as a node keeps it.</summary>
/// <param name="Mode">Mode.</param>
/// <param name="Id">The blob or tree; of a submodule a commit of another repository.</param>
internal readonly record struct GitContent(GitMode Mode, ObjectId Id);

/// <summary>What a directory of the mount is listed as.</summary>
/// <param name="Node">Its node, not the root's.</param>
/// <param name="Content">A directory or a submodule.</param>
internal readonly record struct ShownDirectory(uint Node, GitContent Content);

/// <summary>A revision of the mounted directory.</summary>
/// <param name="Trees">Finds its directories; knows the commit.</param>
/// <param name="Root">The mounted directory itself.</param>
internal sealed record MegaRevision(MegaTrees Trees, MegaView Root);
