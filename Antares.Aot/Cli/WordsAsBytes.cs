using System.Text;
using Antares.Aot.Mounts;
using Antares.Interop;

namespace Antares.Aot.Cli;

/// <summary>
/// The command line as it was given. What is for us must be UTF-8, so that it names what the user meant; the command of <c>run</c> may be
/// any bytes.
/// </summary>
/// <param name="words">The words after the program's name.</param>
public sealed class WordsAsBytes(IReadOnlyList<byte[]> words)
{
    /// <param name="args">For a start without the C main: the words as the runtime has them.</param>
    public static WordsAsBytes Given(IReadOnlyList<string> args) => new(GivenWords.Arguments() ?? [.. args.Select(Encoding.UTF8.GetBytes)]);

    /// <exception cref="MountProblem">Usage: a word of ours is not UTF-8.</exception>
    public void Check()
    {
        var isRun = words.Count > 0 && words[0].AsSpan().SequenceEqual("run"u8);
        foreach (var word in words.Take(isRun ? End() : words.Count))
        {
            if (!System.Text.Unicode.Utf8.IsValid(word))
            {
                var way = isRun ? "; the command after -- may be any bytes" : " (names inside the trees may be any bytes)";
                throw MountProblem.Usage($"'{Utf8.Print(word)}' is not UTF-8: what is given on the command line must be{way}");
            }
        }
    }

    /// <summary>The bytes of the last words of the line.</summary>
    /// <param name="parsed">The words as they were parsed; those before "--" are UTF-8.</param>
    public IReadOnlyList<byte[]> Restore(IReadOnlyList<string> parsed)
    {
        var result = parsed.Select(Encoding.UTF8.GetBytes).ToArray();
        var literal = words.Count - Math.Min(End() + 1, words.Count);
        for (var i = 1; i <= Math.Min(literal, result.Length); i++)
        {
            result[^i] = words[^i];
        }

        return result;
    }

    /// <summary>The place of the first "--".</summary>
    private int End()
    {
        for (var i = 0; i < words.Count; i++)
        {
            if (words[i].AsSpan().SequenceEqual("--"u8))
            {
                return i;
            }
        }

        return words.Count;
    }
}
