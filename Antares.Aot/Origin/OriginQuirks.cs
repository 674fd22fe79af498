using System.Globalization;

namespace Antares.Aot.Origin;

/// <summary>One way in which a server can be difficult.</summary>
/// <param name="Name">Which.</param>
/// <param name="Argument">A path, milliseconds, or every how many requests; 1 where none is given.</param>
/// <param name="Match">Requests that it concerns: those with this text in path and query; "" for all.</param>
internal sealed record OriginQuirk(string Name, string Argument, string Match)
{
    private int _count;

    /// <summary>The argument as a number.</summary>
    public long Number => long.Parse(Argument, CultureInfo.InvariantCulture);

    /// <summary>Counts a request; true for each n-th that matches.</summary>
    public bool Strikes(string target) =>
        target.Contains(Match, StringComparison.Ordinal) && Interlocked.Increment(ref _count) % Number == 0;
}

/// <summary>How the origin differs from an obliging server, for those who test against it.</summary>
internal sealed class OriginQuirks
{
    /// <summary>The quirks with what they do, as the help shows them.</summary>
    public static readonly (string Name, bool IsNumber, string Help)[] Known =
    [
        ("import", false, "import=/PATH: an import repository: its parent names a placeholder, revisions are ignored in it"),
        ("ignore-refs", true, "ignore-refs: every listing is that of the head"),
        ("head-modes", true, "head-modes: raw trees are found by path alone, whatever id is asked for"),
        ("slow", true, "slow=MS: answers late"),
        ("fail", true, "fail=N: every N-th answer is 500"),
        ("drop", true, "drop=N: every N-th request ends the connection"),
        ("truncate", true, "truncate=N: every N-th answer breaks off in the middle"),
        ("wrong", true, "wrong=N: every N-th blob has a changed byte"),
        ("length", true, "length=BYTES: blobs announce that length"),
        ("head-length", true, "head-length=BYTES: HEAD alone announces that length"),
        ("html", true, "html=N: every N-th answer is a page"),
        ("redirect", true, "redirect=N: every N-th answer is a redirect to itself"),
        ("change", false, "change=PATH: each changelist has a new file of that path more (%-escapes for any byte)"),
        ("name", false, "name=NAME: each listing has an entry of that name more (%-escapes for any byte)"),
    ];

    private readonly List<OriginQuirk> _all;

    public OriginQuirks(IEnumerable<OriginQuirk> all)
    {
        _all = [.. all];
        Imports = [.. _all.Where(quirk => quirk.Name == "import").Select(quirk => quirk.Argument.TrimEnd('/'))];
    }

    /// <summary>Paths of import repositories.</summary>
    public IReadOnlyList<string> Imports { get; }

    /// <summary>Reads NAME[=ARGUMENT][@MATCH].</summary>
    /// <returns>Null: no such quirk, or not such an argument.</returns>
    public static OriginQuirk? Parse(string text)
    {
        int at = text.IndexOf('@', StringComparison.Ordinal);
        string match = at < 0 ? "" : text[(at + 1)..];
        string rest = at < 0 ? text : text[..at];
        int equals = rest.IndexOf('=', StringComparison.Ordinal);
        string name = equals < 0 ? rest : rest[..equals];
        string argument = equals < 0 ? "1" : rest[(equals + 1)..];
        foreach ((string known, bool isNumber, _) in Known)
        {
            bool fits = isNumber
                ? long.TryParse(argument, NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number > 0
                : equals >= 0 && (known != "import" || (argument.StartsWith('/') && argument.Length > 1));
            if (known == name)
            {
                return fits ? new OriginQuirk(name, argument, match) : null;
            }
        }

        return null;
    }

    /// <summary>The quirk of a name if it concerns this request, without counting it.</summary>
    public OriginQuirk? Find(string name, string target) =>
        _all.Find(quirk => quirk.Name == name && target.Contains(quirk.Match, StringComparison.Ordinal));

    /// <summary>True when a counted quirk strikes this request.</summary>
    public bool Strikes(string name, string target) => _all.Exists(quirk => quirk.Name == name && quirk.Strikes(target));
}
