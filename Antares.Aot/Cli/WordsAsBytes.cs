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

    /// <param name="commandWords">So many at the end are the command of <c>run</c>.</param>
    /// <exception cref="MountProblem">Usage: a word of ours is not UTF-8.</exception>
    public void Check(int commandWords)
    {
        foreach (var word in words.Take(words.Count - commandWords))
        {
            if (!System.Text.Unicode.Utf8.IsValid(word))
            {
                var way = words[0].AsSpan().SequenceEqual("run"u8) ? "; the command of run may be any bytes" : " (names inside the trees may be any bytes)";
                throw MountProblem.Usage($"'{Utf8.Print(word)}' is not UTF-8: what is given on the command line must be{way}");
            }
        }
    }

    /// <summary>The bytes of the last words of the line.</summary>
    /// <param name="parsed">Those words as they were parsed.</param>
    public IReadOnlyList<byte[]> Restore(IReadOnlyList<string> parsed) => [.. words.Skip(words.Count - parsed.Count)];
}
