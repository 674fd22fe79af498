using System.Text;

namespace Antares.Aot.Dicfuse.Mega;

/// <summary>
/// What <c>mega:URL/path[@REV]</c> names: a server, a directory of its tree and a revision.
/// </summary>
/// <param name="Base">Scheme and authority, without a slash at the end.</param>
/// <param name="Path">"/" or "/a/b": no slash at the end, no empty, "." or ".." part.</param>
/// <param name="Revision">A commit (40 hexadecimal digits) or a tag; null: what the server's head is when the mount is made.</param>
public sealed record MegaAddress(string Base, string Path, string? Revision)
{
    /// <summary>Reads what follows <c>mega:</c>.</summary>
    /// <param name="text">The text.</param>
    /// <param name="otherwise">The server when the text begins with '/'; null: none is known.</param>
    /// <param name="address">The address.</param>
    /// <param name="problem">What is wrong with it, for the user; empty on success.</param>
    public static bool TryParse(string text, string? otherwise, out MegaAddress? address, out string problem)
    {
        address = null;
        string given = text;
        if (text.StartsWith('/') || text.Length == 0)
        {
            if (string.IsNullOrEmpty(otherwise))
            {
                problem = "names no server: write mega:http://HOST:PORT/path, or give --base-url";
                return false;
            }

            given = otherwise.TrimEnd('/') + text;
        }

        problem = "is no address of a server: write mega:http://HOST:PORT/path[@REV]";
        int authority = given.IndexOf("://", StringComparison.Ordinal);
        if (authority < 0 || given[..authority] is not ("http" or "https"))
        {
            return false;
        }

        authority += 3;
        int slash = given.IndexOf('/', authority);
        string host = slash < 0 ? given : given[..slash];
        string rest = slash < 0 ? "" : given[slash..];
        string? revision = null;
        int at = rest.LastIndexOf('@');
        if (at >= 0 && !rest[at..].Contains('/'))
        {
            revision = rest[(at + 1)..];
            rest = rest[..at];
        }

        if (host.Contains('@'))
        {
            problem = "has a user name or password in it, which everybody on this machine could read: give a token by a file or the environment";
            return false;
        }

        if (rest.Contains('?') || rest.Contains('#') || !Uri.TryCreate(host, UriKind.Absolute, out Uri? uri) || uri.Host.Length == 0)
        {
            return false;
        }

        if (revision is { Length: 0 } || (revision is not null && !IsRevision(revision)))
        {
            problem = "has no revision after '@': give a commit (40 hexadecimal digits) or a tag; an '@' of the path itself is written %40";
            return false;
        }

        return TryPath(rest, out string path, out problem) && (address = new MegaAddress(host, path, revision)) is not null;
    }

    /// <summary>Cleans a path: "" and "/" are the root.</summary>
    private static bool TryPath(string text, out string path, out string problem)
    {
        var clean = new StringBuilder();
        path = "/";
        problem = "";
        foreach (string part in Uri.UnescapeDataString(text).Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            if (part is "." or ".." || part.Contains('\0'))
            {
                problem = "has '.' or '..' in its path";
                return false;
            }

            _ = clean.Append('/').Append(part);
        }

        path = clean.Length == 0 ? "/" : clean.ToString();
        return true;
    }

    // What git allows in the name of a reference, and nothing that would mean something else in a query.
    private static bool IsRevision(string text)
    {
        const int LongestRevision = 200;
        return text.Length <= LongestRevision && !text.StartsWith('-') && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-' or '+');
    }

    public override string ToString() => $"{Base}{(Path == "/" ? "/" : Path)}{(Revision is null ? "" : "@" + Revision)}";
}
