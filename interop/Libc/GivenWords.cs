using System.Runtime.InteropServices;

namespace Antares.Interop;

/// <summary>
/// The command line and the environment as bytes. The runtime's strings have U+FFFD where they were not UTF-8, and then name another file.
/// The C main hands them over, since /proc need not be there; in a process without that main there are none.
/// </summary>
public static unsafe partial class GivenWords
{
    /// <summary>The words after the program's name; null without the C main.</summary>
    public static IReadOnlyList<byte[]>? Arguments() => Find(&antares_argv) is { } words ? words.GetRange(Math.Min(1, words.Count), Math.Max(0, words.Count - 1)) : null;

    /// <summary>The program's name as it was called; null without the C main, or without a name.</summary>
    public static byte[]? Program() => Find(&antares_argv) is [var name, ..] ? name : null;

    /// <summary>Lines NAME=VALUE; null without the C main.</summary>
    public static IReadOnlyList<byte[]>? Environment() => Find(&antares_environ);

    private static List<byte[]>? Find(delegate*<byte**> source)
    {
        byte** at;
        try
        {
            at = source();
        }
        catch (DllNotFoundException)
        {
            return null;
        }

        var words = new List<byte[]>();
        for (; at != null && *at != null; at++)
        {
            words.Add(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(*at).ToArray());
        }

        return words;
    }

    [LibraryImport("antares-main")]
    private static partial byte** antares_argv();

    [LibraryImport("antares-main")]
    private static partial byte** antares_environ();
}
