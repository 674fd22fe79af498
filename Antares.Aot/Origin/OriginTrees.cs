using System.Text;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Store;

namespace Antares.Aot.Origin;

/// <summary>
/// Directories of a repository as the server shows them: as they are, but where an import repository is said to be, its parent (and so
/// every directory above) names a placeholder.
/// </summary>
internal sealed class OriginTrees(GitObjects git, OriginQuirks quirks)
{
    private static readonly byte[] s_placeholder = MakePlaceholder();

    private readonly GitObjects _git = git;
    private readonly OriginQuirks _quirks = quirks;

    /// <summary>Id of the tree that stands for an import repository in its parent.</summary>
    public static ObjectId Placeholder { get; } = GitHash.Of(ObjectKind.Tree, s_placeholder);

    /// <summary>The commit that a revision leads to.</summary>
    /// <param name="revision">Commit or tag; empty: the head.</param>
    /// <returns>Null: there is none.</returns>
    public string? Commit(string revision)
    {
        bool plain = revision.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-' or '+' or '/') && !revision.StartsWith('-');
        string name = revision.Length == 0 ? "HEAD" : revision;
        return plain && _git.TryStat($"{name}^{{commit}}", out string id, out _, out _) ? id : null;
    }

    /// <summary>The commit that counts for a path: revisions are ignored in an import repository.</summary>
    public string? CommitFor(string path, string revision) => Commit(IsInImport(path) ? "" : revision);

    /// <summary>The raw tree of a directory.</summary>
    /// <param name="commit">From <see cref="CommitFor"/>.</param>
    /// <param name="path">"/" or "/a/b".</param>
    /// <returns>Null: no such directory.</returns>
    public byte[]? Tree(string commit, string path)
    {
        byte[]? raw = _git.Read($"{commit}:{path.Trim('/')}", "tree");
        return raw is null || IsInImport(path) || !_quirks.Imports.Any(import => IsInside(import, path)) ? raw : Rewrite(commit, path, raw);
    }

    public bool IsInImport(string path) => _quirks.Imports.Any(import => path == import || IsInside(path, import));

    private static bool IsInside(string path, string folder) => path.StartsWith(folder.TrimEnd('/') + "/", StringComparison.Ordinal);

    private static byte[] MakePlaceholder()
    {
        ObjectId empty = GitHash.Of(ObjectKind.Blob, default);
        return GitTreeWriter.Write([new TreeEntry { Name = ".gitkeep"u8.ToArray(), Id = empty, Mode = GitMode.File }]);
    }

    private byte[] Rewrite(string commit, string path, byte[] raw)
    {
        var entries = new List<TreeEntry>();
        var reader = new GitTreeReader(raw);
        while (reader.MoveNext())
        {
            var entry = new TreeEntry { Name = reader.Name.ToArray(), Id = reader.Id, Mode = reader.Mode };
            string place = $"{path.TrimEnd('/')}/{Encoding.UTF8.GetString(reader.Name)}";
            if (_quirks.Imports.Contains(place))
            {
                entry.Id = Placeholder;
            }
            else if (_quirks.Imports.Any(import => IsInside(import, place)) && Tree(commit, place) is { } below)
            {
                entry.Id = GitHash.Of(ObjectKind.Tree, below);
            }

            entries.Add(entry);
        }

        return GitTreeWriter.Write([.. entries]);
    }
}
