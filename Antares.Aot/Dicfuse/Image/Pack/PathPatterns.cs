using System.Text;

namespace Antares.Aot.Dicfuse.Image.Pack;

/// <summary>
/// The patterns of <c>--exclude</c>, on bytes. Without a slash a pattern is held against each name; with one against the path below the root.
/// <c>*</c> is any bytes but a slash, <c>**</c> any bytes, <c>?</c> one byte but a slash; a slash at the end is left away.
/// </summary>
internal sealed class PathPatterns
{
    private readonly List<byte[]> _names = [];
    private readonly List<byte[]> _paths = [];

    public PathPatterns(IEnumerable<string> patterns)
    {
        foreach (string pattern in patterns)
        {
            string bare = pattern.TrimEnd('/');
            (bare.Contains('/', StringComparison.Ordinal) ? _paths : _names).Add(Encoding.UTF8.GetBytes(bare.TrimStart('/')));
        }
    }

    /// <summary>True when <see cref="Match"/> needs the path.</summary>
    public bool NeedsPath => _paths.Count != 0;

    public bool IsEmpty => _names.Count == 0 && _paths.Count == 0;

    /// <param name="name">The last part of the path.</param>
    /// <param name="path">The path below the root; may be empty unless <see cref="NeedsPath"/>.</param>
    public bool Match(ReadOnlySpan<byte> name, ReadOnlySpan<byte> path)
    {
        foreach (byte[] pattern in _names)
        {
            if (Fits(pattern, name))
            {
                return true;
            }
        }

        foreach (byte[] pattern in _paths)
        {
            if (Fits(pattern, path))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Goes back to the last star only, and to the last double star when that fails too: linear in all but odd patterns.</summary>
    internal static bool Fits(ReadOnlySpan<byte> pattern, ReadOnlySpan<byte> text)
    {
        int p = 0;
        int t = 0;
        (int Pattern, int Text) star = (-1, 0);
        (int Pattern, int Text) deep = (-1, 0);
        while (t < text.Length)
        {
            if (p + 1 < pattern.Length && pattern[p] == '*' && pattern[p + 1] == '*')
            {
                p += 2;
                deep = (p, t);
                star = (-1, 0);
            }
            else if (p < pattern.Length && pattern[p] == '*')
            {
                star = (++p, t);
            }
            else if (p < pattern.Length && (pattern[p] == text[t] || (pattern[p] == '?' && text[t] != '/')))
            {
                p++;
                t++;
            }
            else if (star.Pattern >= 0 && text[star.Text] != '/')
            {
                star.Text++;
                (p, t) = star;
            }
            else if (deep.Pattern >= 0)
            {
                deep.Text++;
                star = (-1, 0);
                (p, t) = deep;
            }
            else
            {
                return false;
            }
        }

        return !pattern[p..].ContainsAnyExcept((byte)'*');
    }
}
