using System.Globalization;
using Antares.Aot.Base;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary>Owner maps as users write them.</summary>
internal static class IdMapText
{
    /// <summary>As many ranges as the kernel takes in /proc/PID/uid_map.</summary>
    private const int MostRanges = 340;

    /// <summary><c>inside:outside:count[,…]</c>: inside the mount it is one id, outside, in the layers, the other.</summary>
    /// <param name="option">Name for messages.</param>
    /// <param name="text">The option's value; null: not given.</param>
    /// <returns>The ranges; null without a value.</returns>
    /// <exception cref="MountProblem">Usage: no such form, a count of 0, ids beyond 4294967294, ranges that overlap.</exception>
    public static IReadOnlyList<IdRange>? Parse(string option, string? text)
    {
        if (text is null)
        {
            return null;
        }

        var ranges = new List<IdRange>();
        foreach (var part in text.Split(','))
        {
            var numbers = part.Split(':');
            ranges.Add(numbers.Length == 3
                ? new IdRange(Number(option, text, numbers[0]), Number(option, text, numbers[1]), Number(option, text, numbers[2]))
                : throw Malformed(option, text, "inside:outside:count[,inside:outside:count…]"));
        }

        return Checked(option, text, ranges);
    }

    /// <summary>
    /// fuse-overlayfs' <c>uidmapping=STORED:SHOWN:COUNT[:…]</c>; empty parts mean nothing (podman writes one at the start), and a ',' as in its manual
    /// ends the option like any other.
    /// </summary>
    /// <exception cref="MountProblem">Usage: as for <see cref="Parse"/>.</exception>
    public static IReadOnlyList<IdRange> ParseTriples(string option, string text)
    {
        var numbers = text.Split(':', StringSplitOptions.RemoveEmptyEntries);
        if (numbers.Length == 0 || numbers.Length % 3 != 0)
        {
            throw Malformed(option, text, "stored:shown:count[:stored:shown:count…]");
        }

        var ranges = new List<IdRange>();
        for (var i = 0; i < numbers.Length; i += 3)
        {
            ranges.Add(new IdRange(Number(option, text, numbers[i + 1]), Number(option, text, numbers[i]), Number(option, text, numbers[i + 2])));
        }

        return Checked(option, text, ranges);
    }

    /// <summary>One id.</summary>
    /// <exception cref="MountProblem">Usage: no number below 4294967295.</exception>
    public static uint ParseId(string option, string text) => Number(option, text, text);

    private static uint Number(string option, string all, string text) =>
        uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number != uint.MaxValue
            ? number
            : throw MountProblem.Usage($"{option} '{all}': '{text}' is no id (0 to 4294967294)");

    private static List<IdRange> Checked(string option, string text, List<IdRange> ranges)
    {
        if (ranges.Count > MostRanges)
        {
            throw MountProblem.Usage($"{option}: {ranges.Count} ranges; at most {MostRanges} are possible");
        }

        for (var i = 0; i < ranges.Count; i++)
        {
            var range = ranges[i];
            if (range.Count == 0 || range.Inside > uint.MaxValue - range.Count || range.Outside > uint.MaxValue - range.Count)
            {
                throw MountProblem.Usage($"{option} '{text}': the range {range.Inside}:{range.Outside}:{range.Count} is empty or goes beyond 4294967294");
            }

            if (ranges.Take(i).Any(other => Overlap(range.Inside, other.Inside, range.Count, other.Count) || Overlap(range.Outside, other.Outside, range.Count, other.Count)))
            {
                throw MountProblem.Usage($"{option} '{text}': the range {range.Inside}:{range.Outside}:{range.Count} overlaps one before it");
            }
        }

        return ranges;
    }

    private static bool Overlap(uint a, uint b, uint countA, uint countB) => a < (ulong)b + countB && b < (ulong)a + countA;

    private static MountProblem Malformed(string option, string text, string form) => MountProblem.Usage($"{option} '{text}': give {form}");
}
