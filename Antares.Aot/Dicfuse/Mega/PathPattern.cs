using System.IO.Enumeration;
using System.Text;

namespace Antares.Aot.Dicfuse.Mega;

/// <summary>
/// Names objects of a tree: parts between slashes, in which * stands for any bytes of a name and ? for one character; ** as a part
/// stands for any number of directories. What it leads to is meant with everything below.
/// </summary>
public sealed class PathPattern
{
    private readonly string _text;
    private readonly Part[] _parts;

    private PathPattern(string text, Part[] parts)
    {
        _text = text;
        _parts = parts;
    }

    /// <summary>Number of parts; 0: the whole tree.</summary>
    internal int Length => _parts.Length;

    internal Part this[int index] => _parts[index];

    /// <summary>Reads a pattern.</summary>
    /// <param name="text">Relative to the mounted directory; slashes at both ends do not matter.</param>
    /// <returns>Null: "." or ".." is in it, or nothing.</returns>
    public static PathPattern? Parse(string text)
    {
        string[] words = text.Split('/', StringSplitOptions.RemoveEmptyEntries);
        if (words.Length == 0 || words.Any(word => word is "." or ".." || word.Contains('\0')))
        {
            return null;
        }

        var parts = new List<Part>();
        foreach (string word in words)
        {
            if (word != "**" || parts.Count == 0 || !parts[^1].IsAnyDepth)
            {
                parts.Add(new Part(word));
            }
        }

        if (parts[^1].IsAnyDepth)
        {
            // Everything below is meant anyway.
            parts.RemoveAt(parts.Count - 1);
        }

        return new PathPattern(text, [.. parts]);
    }

    public override string ToString() => _text;

    /// <summary>What stands between two slashes.</summary>
    internal sealed class Part(string text)
    {
        private readonly string _text = text;

        /// <summary>Any number of directories.</summary>
        public bool IsAnyDepth { get; } = text == "**";

        /// <summary>A name without * and ?, as bytes; null: names have to be compared.</summary>
        public byte[]? Name { get; } = text.AsSpan().ContainsAny('*', '?') ? null : Encoding.UTF8.GetBytes(text);

        /// <summary>Compares a name.</summary>
        public bool Matches(ReadOnlySpan<byte> name) => Name is { } plain
            ? name.SequenceEqual(plain)
            : FileSystemName.MatchesSimpleExpression(_text.Replace(@"\", @"\\", StringComparison.Ordinal), Encoding.UTF8.GetString(name), ignoreCase: false);
    }
}
