using Antares.Aot.Dicfuse.Mega.Changes;

namespace Antares.Aot.Origin;

/// <summary>The difference of two revisions, shown as a changelist.</summary>
/// <param name="Link">Its name.</param>
/// <param name="From">Revision that it changes.</param>
/// <param name="To">Revision that comes of it.</param>
/// <param name="Path">Directory that its paths begin at; what it changes elsewhere is not shown.</param>
internal sealed record OriginChangelist(string Link, string From, string To, string Path)
{
    /// <summary>Reads LINK=FROM..TO[:/PATH].</summary>
    /// <returns>Null: it is not so.</returns>
    public static OriginChangelist? Parse(string text)
    {
        int equals = text.IndexOf('=', StringComparison.Ordinal);
        int dots = text.IndexOf("..", StringComparison.Ordinal);
        if (equals <= 0 || dots < equals)
        {
            return null;
        }

        string link = text[..equals];
        string from = text[(equals + 1)..dots];
        string to = text[(dots + 2)..];
        int colon = to.IndexOf(':', StringComparison.Ordinal);
        string path = colon < 0 ? "/" : to[(colon + 1)..];
        to = colon < 0 ? to : to[..colon];
        string clean = path.Trim('/');
        bool isPath = path.StartsWith('/') && (clean.Length == 0 || Changelist.DamageOf(clean) is null);
        return Changelist.IsLink(link) && isPath && IsRevision(from) && IsRevision(to) ? new OriginChangelist(link, from, to, "/" + clean) : null;
    }

    private static bool IsRevision(string text) => text.Length > 0 && text[0] != '-';
}
