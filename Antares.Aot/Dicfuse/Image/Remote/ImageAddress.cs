namespace Antares.Aot.Dicfuse.Image.Remote;

/// <summary>Where an image lies on a server: <c>http://…</c> or <c>https://…</c>.</summary>
/// <param name="Base">Scheme and authority, without a slash at the end.</param>
/// <param name="Path">Path and query, encoded.</param>
/// <param name="Shown">For people and records: a query may hold a secret, and is left out.</param>
public sealed record ImageAddress(string Base, string Path, string Shown)
{
    /// <summary>True for a text that means an address of this kind, whether or not it is one.</summary>
    public static bool IsMeant(string text) =>
        text.StartsWith("https://", StringComparison.Ordinal) || text.StartsWith("http://", StringComparison.Ordinal);

    /// <summary>Reads an address.</summary>
    /// <param name="text">As given.</param>
    /// <param name="address">The address.</param>
    /// <param name="problem">What is wrong with it, for the user; empty on success.</param>
    public static bool TryParse(string text, out ImageAddress? address, out string problem)
    {
        address = null;
        problem = "is no address of a file: write https://HOST/PATH/TREE.dic";
        if (!IsMeant(text) || text.Any(char.IsControl) || !Uri.TryCreate(text, UriKind.Absolute, out Uri? uri) || uri.Host.Length == 0)
        {
            return false;
        }

        if (uri.UserInfo.Length > 0)
        {
            problem = "has a user name or password in it, which everybody on this machine could read: give a token by a file or the environment";
            return false;
        }

        if (uri.Fragment.Length > 0)
        {
            problem = "has a '#' in it, which no server is told of; one in a name is written %23";
            return false;
        }

        problem = "";
        string server = uri.GetLeftPart(UriPartial.Authority);
        address = new ImageAddress(server, uri.PathAndQuery, server + Visible(uri));
        return true;
    }

    /// <summary>An address as it may be shown, also one that is none: without what may be a secret.</summary>
    public static string WithoutSecrets(string text)
    {
        int query = text.IndexOfAny(['?', '#']);
        string plain = query < 0 ? text : text[..query] + "?…";
        int authority = plain.IndexOf("//", StringComparison.Ordinal) + 2;
        int end = authority < 2 ? -1 : plain.IndexOf('/', authority);
        int at = authority < 2 ? -1 : plain.LastIndexOf('@', (end < 0 ? plain.Length : end) - 1);
        return at >= authority ? $"{plain[..authority]}…{plain[at..]}" : plain;
    }

    /// <summary>The path as messages show it.</summary>
    public string ShownPath => Shown[Base.Length..];

    public override string ToString() => Shown;

    private static string Visible(Uri uri) => uri.Query.Length > 0 ? uri.AbsolutePath + "?…" : uri.AbsolutePath;
}
