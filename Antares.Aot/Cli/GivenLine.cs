using System.CommandLine;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary>
/// The words of one verb, sorted before they are parsed: its options with their values first, then "--", then the rest. So a word that
/// begins with '-' is an option or an error, never a folder or a command; a value may be glued to a letter (<c>-oLIST</c>); and from the
/// command of <c>run</c> on all words are the command's.
/// </summary>
internal sealed class GivenLine
{
    private const string EndOfOptions = "--";

    private static readonly string[] s_helpWords = ["--help", "-h", "-?"];

    private readonly List<string> _options = [];
    private readonly List<string> _rest = [];
    private readonly Command _command;
    private readonly string _name;
    private readonly bool _isRun;

    private GivenLine(Command command, string name, bool isRun)
    {
        _command = command;
        _name = name;
        _isRun = isRun;
    }

    /// <summary>The words as the parser gets them.</summary>
    public IReadOnlyList<string> Words { get; private set; } = [];

    /// <summary>Whether one of our words asks for the help.</summary>
    public bool AsksForHelp { get; private set; }

    /// <summary>How many words at the end of the line are those of the command of <c>run</c>.</summary>
    public int CommandWords => _isRun ? Math.Max(0, _rest.Count - 1) : 0;

    /// <summary>True for a word that asks for the help.</summary>
    public static bool IsHelp(string word) => Array.IndexOf(s_helpWords, word) >= 0;

    /// <summary>Sorts a line.</summary>
    /// <param name="words">All words; the first is the verb.</param>
    /// <param name="verb">That verb, with its options.</param>
    /// <exception cref="MountProblem">Usage: an option or a part of the verb that is not known.</exception>
    public static GivenLine Read(IReadOnlyList<string> words, Command verb)
    {
        var command = verb;
        var at = 1;
        while (at < words.Count && command.Subcommands.FirstOrDefault(part => part.Name == words[at]) is { } part)
        {
            command = part;
            at++;
        }

        var name = string.Join(' ', words.Take(at));
        if (at < words.Count && command.Subcommands.Count > 0 && !words[at].StartsWith('-'))
        {
            throw UnknownCommand($"{name} ", words[at], command.Subcommands.Select(part => part.Name));
        }

        var line = new GivenLine(command, name, verb.Name == RunVerb.Name);
        line.Sort(words, at);
        line.Words = [.. words.Take(at), .. line._options, .. line._rest.Count > 0 ? [EndOfOptions] : Array.Empty<string>(), .. line._rest];
        return line;
    }

    /// <summary>The complaint about a verb, or a part of one, that is not there.</summary>
    /// <param name="before">What stands before it, with a space at its end; "" for a verb.</param>
    /// <param name="word">As it was given.</param>
    /// <param name="known">What could have been meant.</param>
    public static MountProblem UnknownCommand(string before, string word, IEnumerable<string> known) =>
        MountProblem.Usage($"unknown command '{before}{word}'; {Advice(word, known, $"{CommandLine.ProgramName} {before}--help shows what there is")}");

    /// <summary>The complaint about an option that is not there.</summary>
    /// <param name="name">The verb; "" when there is none.</param>
    /// <param name="word">As it was given.</param>
    /// <param name="known">What could have been meant.</param>
    public static MountProblem UnknownOption(string name, string word, IEnumerable<string> known)
    {
        var help = $"{CommandLine.ProgramName} {(name.Length > 0 ? name + " " : "")}--help shows the options";
        var otherwise = name.Length > 0 ? $"{help} (a name that begins with '-' is written ./{word})" : help;
        return MountProblem.Usage($"{(name.Length > 0 ? name + ": " : "")}unknown option '{word}'; {Advice(word, known, otherwise)}");
    }

    /// <summary>The known word that is a few letters from one that is not, dashes before it and a value behind it left aside; null: none is near.</summary>
    internal static string? Nearest(string word, IEnumerable<string> known)
    {
        var end = word.StartsWith('-') ? word.AsSpan().IndexOfAny('=', ':') : -1;
        var letters = (end < 0 ? word : word[..end]).TrimStart('-');
        var least = letters.Length < 3 ? 0 : Math.Clamp(letters.Length / 3, 1, 3) + 1; // what is shorter is near to anything
        string? nearest = null;
        foreach (var name in known)
        {
            var distance = Distance(letters, name.TrimStart('-'));
            if (distance < least)
            {
                (least, nearest) = (distance, name);
            }
        }

        return nearest;
    }

    private static string Advice(string word, IEnumerable<string> known, string otherwise) =>
        Nearest(word, known) is { } meant ? $"did you mean {meant}?" : otherwise;

    /// <summary>Letters to add, remove, replace or exchange with the next one to get from one word to the other.</summary>
    private static int Distance(string from, string to)
    {
        var rows = new int[from.Length + 1, to.Length + 1];
        for (var i = 0; i <= from.Length; i++)
        {
            for (var j = 0; j <= to.Length; j++)
            {
                if (i == 0 || j == 0)
                {
                    rows[i, j] = i + j;
                    continue;
                }

                var same = from[i - 1] == to[j - 1];
                rows[i, j] = Math.Min(Math.Min(rows[i - 1, j], rows[i, j - 1]) + 1, rows[i - 1, j - 1] + (same ? 0 : 1));
                if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1])
                {
                    rows[i, j] = Math.Min(rows[i, j], rows[i - 2, j - 2] + 1);
                }
            }
        }

        return rows[from.Length, to.Length];
    }

    private void Sort(IReadOnlyList<string> words, int start)
    {
        for (var i = start; i < words.Count; i++)
        {
            var word = words[i];
            if (word == EndOfOptions)
            {
                _rest.AddRange(words.Skip(i + 1));
                return;
            }

            if (word.Length < 2 || word[0] != '-')
            {
                _rest.Add(word);
                if (_isRun && _rest.Count == 2)
                {
                    _rest.AddRange(words.Skip(i + 1));
                    return;
                }
            }
            else if (IsHelp(word))
            {
                AsksForHelp = true;
                _options.Add(word);
            }
            else if (Find(word) is { } option)
            {
                _options.Add(word);
                if (TakesValue(option) && i + 1 < words.Count && words[i + 1] != EndOfOptions && Find(words[i + 1]) is null && !IsHelp(words[i + 1]))
                {
                    _options.Add(words[++i]);
                }
            }
            else if (!TakeGlued(word))
            {
                throw UnknownOption(_name, word, Names());
            }
        }
    }

    /// <summary><c>--name=VALUE</c> and <c>-xVALUE</c>.</summary>
    private bool TakeGlued(string word)
    {
        var end = word.AsSpan().IndexOfAny('=', ':');
        if (end > 0 && Find(word[..end]) is not null)
        {
            _options.Add(word);
            return true;
        }

        if (word[1] != '-' && Find(word[..2]) is { } letter && TakesValue(letter))
        {
            _options.AddRange([word[..2], word[2..]]);
            return true;
        }

        return false;
    }

    private Option? Find(string name)
    {
        foreach (var option in _command.Options)
        {
            if (option.Name == name || option.Aliases.Contains(name))
            {
                return option;
            }
        }

        return null;
    }

    private static bool TakesValue(Option option) => option.Arity.MinimumNumberOfValues > 0;

    private IEnumerable<string> Names() => _command.Options.Where(option => !option.Hidden).SelectMany(option => option.Aliases.Append(option.Name)).Append("--help");
}
