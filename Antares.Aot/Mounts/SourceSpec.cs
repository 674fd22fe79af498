using Antares.Aot.Dicfuse.Image.Remote;

namespace Antares.Aot.Mounts;

/// <summary>How a source becomes a layer.</summary>
public enum SourceKind
{
    /// <summary>A bare path: the folder itself is a lower layer; nothing is scanned or copied.</summary>
    Folder,

    /// <summary><c>dir:PATH</c>: the folder is loaded lazily into Dicfuse.</summary>
    Dicfuse,

    /// <summary><c>mega:URL/path[@REV]</c>: a directory of a monorepo server, loaded lazily into Dicfuse.</summary>
    Mega,

    /// <summary>A bare path of a file with an image's magic: the image is mapped and used in place.</summary>
    Image,

    /// <summary><c>git:REPO[@REV]</c>: a commit of a repository on this machine, packed into an image.</summary>
    Git,

    /// <summary><c>tar:FILE</c>: an archive, packed into an image.</summary>
    Tar,

    /// <summary><c>https://…</c> or <c>http://…</c>: an image on a server, of which parts are fetched when they are touched.</summary>
    Remote,
}

/// <summary>SOURCE of the command line: where the tree of a mount comes from.</summary>
/// <param name="Kind">What the prefix said; that a bare path is an image shows when it is opened.</param>
/// <param name="Path">The folder, file or address as given, without the prefix.</param>
public sealed record SourceSpec(SourceKind Kind, string Path)
{
    private const string DirectoryPrefix = "dir:";
    private const string MegaPrefix = "mega:";
    private const string GitPrefix = "git:";
    private const string TarPrefix = "tar:";

    /// <summary>Reads SOURCE. Only the known prefixes mean anything: a bare path may have colons. A folder of such a name is written with "./" before it.</summary>
    /// <exception cref="MountProblem">Usage: empty, or not a file name.</exception>
    public static SourceSpec Parse(string text)
    {
        var spec = text switch
        {
            _ when text.StartsWith(DirectoryPrefix, StringComparison.Ordinal) => new SourceSpec(SourceKind.Dicfuse, text[DirectoryPrefix.Length..]),
            _ when text.StartsWith(MegaPrefix, StringComparison.Ordinal) => new SourceSpec(SourceKind.Mega, text[MegaPrefix.Length..]),
            _ when text.StartsWith(GitPrefix, StringComparison.Ordinal) => new SourceSpec(SourceKind.Git, text[GitPrefix.Length..]),
            _ when text.StartsWith(TarPrefix, StringComparison.Ordinal) => new SourceSpec(SourceKind.Tar, text[TarPrefix.Length..]),
            _ when text.StartsWith("https:", StringComparison.Ordinal) || text.StartsWith("http:", StringComparison.Ordinal) => new SourceSpec(SourceKind.Remote, text),
            _ => new SourceSpec(SourceKind.Folder, text),
        };

        if (spec.Path.Length == 0 && spec.Kind != SourceKind.Mega)
        {
            throw MountProblem.Usage($"source '{text}' names nothing");
        }

        if (spec.Path.Length > 0)
        {
            CheckPath("source", spec.Path);
        }

        return spec;
    }

    /// <summary>Refuses what cannot be the path that the user meant.</summary>
    /// <param name="what">Name of the option or argument, for the message.</param>
    /// <param name="path">The path.</param>
    /// <exception cref="MountProblem">Usage: empty, or bytes in it that are not UTF-8.</exception>
    public static void CheckPath(string what, string path)
    {
        if (path.Length == 0)
        {
            throw MountProblem.Usage($"{what} is empty");
        }

        if (!HostPath.IsFaithful(path))
        {
            throw MountProblem.Usage($"{what} '{path}' is not UTF-8: paths on the command line must be (names inside the trees may be any bytes)");
        }
    }

    public override string ToString() => Kind switch
    {
        SourceKind.Dicfuse => DirectoryPrefix + Path,
        SourceKind.Mega => MegaPrefix + Path,
        SourceKind.Git => GitPrefix + Path,
        SourceKind.Tar => TarPrefix + Path,
        SourceKind.Remote => ImageAddress.WithoutSecrets(Path),
        _ => Path,
    };
}
