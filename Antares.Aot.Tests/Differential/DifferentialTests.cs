using System.Diagnostics;
using System.Text;
using Antares.Aot.Tests.Support;
using Xunit.Abstractions;

namespace Antares.Aot.Tests.Differential;

/// <summary>
/// Random calls on a local disk, on kernel overlayfs and on our mount: every answer and, now and then, the whole trees must agree
/// (<see cref="Judge"/>, <see cref="DifferenceRules"/>). A seed that fails is shrunk and printed as a script.
/// </summary>
/// <remarks>
/// ANTARES_DIFFERENTIAL_SECONDS: how long (30). ANTARES_DIFFERENTIAL_FIRST: the first seed (1: a run of all tests is the same each time).
/// ANTARES_DIFFERENTIAL_FAILURES: failing seeds after which to stop (1). ANTARES_DIFFERENTIAL_LOG: a file for what was run.
/// bench/acceptance/differential.sh runs it for hours.
/// </remarks>
[Collection("Alone")]
public sealed class DifferentialTests(ITestOutputHelper output)
{
    [MountFact]
    public async Task RandomCallsAnswerAsOnALocalDisk()
    {
        int seconds = int.Parse(Environment.GetEnvironmentVariable("ANTARES_DIFFERENTIAL_SECONDS") ?? "30");
        int mostFailures = int.Parse(Environment.GetEnvironmentVariable("ANTARES_DIFFERENTIAL_FAILURES") ?? "1");
        ulong first = ulong.Parse(Environment.GetEnvironmentVariable("ANTARES_DIFFERENTIAL_FIRST") ?? "1");
        using var disk = new Disk();
        var trial = new Trial(disk, TestEnvironment.Binary);
        var failures = new List<string>();
        var clock = Stopwatch.StartNew();
        TimeSpan shrinking = TimeSpan.Zero;
        long calls = 0;
        ulong run = 0;
        for (; (clock.Elapsed - shrinking).TotalSeconds < seconds && failures.Count < mostFailures; run++)
        {
            Scenario scenario = Scenario.Of(first + run);
            long callsBefore = trial.Calls;
            Difference? difference = await trial.Run(scenario);
            calls += trial.Calls - callsBefore;
            if (difference == null)
                continue;
            TimeSpan before = clock.Elapsed;
            failures.Add(await Describe(trial, scenario, difference));
            shrinking += clock.Elapsed - before;
            Log(failures[^1]);
        }
        double running = (clock.Elapsed - shrinking).TotalSeconds;
        string summary = $"{run} seeds, {calls} calls on our mount ({calls / running:F0} a second), {running:F0} s, "
            + $"{failures.Count} differences; the two oracles differed in {trial.KernelDiffers} answers";
        Log(summary);
        output.WriteLine(summary);
        Assert.True(failures.Count == 0, $"{summary}\n{string.Join('\n', failures)}");
    }

    private static async Task<string> Describe(Trial trial, Scenario scenario, Difference difference)
    {
        (Scenario smallest, Difference last) = await new Shrinker(trial, TimeSpan.FromSeconds(60)).Shrink(scenario, difference);
        var text = new StringBuilder();
        text.AppendLine($"=== {scenario}");
        text.AppendLine($"again: ANTARES_BIN=… bench/acceptance/differential.sh 1 {scenario.Seed}");
        text.AppendLine($"at step {difference.Step}: {difference.Text}");
        text.AppendLine($"--- the smallest that shows it: {last.Text}");
        text.AppendLine(ScriptText.Of(smallest, Probe.Path));
        return text.ToString();
    }

    private static void Log(string text)
    {
        if (Environment.GetEnvironmentVariable("ANTARES_DIFFERENTIAL_LOG") is { Length: > 0 } file)
            File.AppendAllText(file, text + "\n");
    }
}
