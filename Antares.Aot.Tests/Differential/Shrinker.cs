using System.Diagnostics;

namespace Antares.Aot.Tests.Differential;

/// <summary>Takes away from a failing scenario whatever the failure does not need (delta debugging).</summary>
internal sealed class Shrinker(Trial trial, TimeSpan limit)
{
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private string _kind = "";
    private Difference _last = new(0, "");

    /// <summary>The smallest scenario found that still shows a difference of the same kind, and that difference.</summary>
    public async Task<(Scenario Scenario, Difference Difference)> Shrink(Scenario scenario, Difference difference)
    {
        _kind = KindOf(difference);
        _last = difference;
        Scenario best = scenario with { Steps = [.. scenario.Steps.Take(difference.Step + 1)] };
        if (!await Fails(best))
            return (scenario, difference);
        int before;
        do
        {
            before = Size(best);
            best = await Reduce(best, best.Steps, (s, lines) => s with { Steps = lines });
            for (int i = 0; i < best.Lowers.Count; i++)
            {
                int layer = i;
                best = await Reduce(best, best.Lowers[i], (s, lines) => s with { Lowers = [.. s.Lowers.Select((l, k) => k == layer ? lines : l)] });
            }
            best = await Reduce(best, best.Upper, (s, lines) => s with { Upper = lines });
        }
        while (Size(best) < before && _clock.Elapsed < limit);
        return (best, _last);
    }

    private static int Size(Scenario scenario) => scenario.Steps.Count + scenario.Upper.Count + scenario.Lowers.Sum(l => l.Count);

    private async Task<Scenario> Reduce(Scenario best, IReadOnlyList<string> lines, Func<Scenario, IReadOnlyList<string>, Scenario> with)
    {
        for (int size = Math.Max(1, lines.Count / 2); ; size /= 2)
        {
            // From the end, since what comes late depends on what comes early.
            for (int at = lines.Count - size; at > -size && _clock.Elapsed < limit; at -= size)
            {
                int from = Math.Max(0, at);
                IReadOnlyList<string> fewer = [.. lines.Take(from), .. lines.Skip(at + size)];
                if (await Fails(with(best, fewer)))
                {
                    best = with(best, fewer);
                    lines = fewer;
                }
            }
            if (size <= 1 || _clock.Elapsed >= limit)
                return best;
        }
    }

    private async Task<bool> Fails(Scenario scenario)
    {
        try
        {
            if (await trial.Run(scenario) is not { } difference || KindOf(difference) != _kind)
                return false;
            _last = difference;
            return true;
        }
        catch (Exception e) when (e is InvalidOperationException or Xunit.Sdk.XunitException)
        {
            // Without what was taken away the scenario cannot be run at all.
            return false;
        }
    }

    private static string KindOf(Difference difference)
    {
        string[] words = difference.Text.Split(' ', '\n');
        return words[0] is "the" or "kernel" ? words[0] : words[0].StartsWith('@') ? words[1] : words[0];
    }
}
