using System.Diagnostics;
using Antares.Aot.Tests.Support;
using Xunit.Abstractions;

namespace Antares.Aot.Tests.Differential;

/// <summary>Does the differential test find anything? Each mutant of the server must be found, and the same executable without one must pass.</summary>
[Collection("Alone")]
public sealed class MutantTests(ITestOutputHelper output)
{
    private const int MostSeconds = 60;
    private const int ControlSeconds = 12;

    [MountFact]
    public async Task EachMutantIsFound()
    {
        string binary = MutatedBinary.Build();
        using var disk = new Disk();
        (string? found, _, double seconds) = await Search(disk, binary, "none", ControlSeconds);
        Assert.True(found == null, $"without any mutant the executable differs, after {seconds:F1} s: {found}");

        var missed = new List<string>();
        string only = Environment.GetEnvironmentVariable("ANTARES_DIFFERENTIAL_MUTANT") ?? "";
        foreach (Mutant mutant in Mutants.All.Where(m => m.Name.Contains(only)))
        {
            (found, int seeds, seconds) = await Search(disk, binary, mutant.Name, MostSeconds);
            string line = found == null ? $"{mutant.Name}: not found in {seconds:F0} s, {seeds} seeds" : $"{mutant.Name}: {seconds:F1} s, seed {seeds}: {Short(found)}";
            output.WriteLine(line);
            if (Environment.GetEnvironmentVariable("ANTARES_DIFFERENTIAL_LOG") is { Length: > 0 } file)
                File.AppendAllText(file, line + "\n");
            if (found == null)
                missed.Add(line);
        }
        Assert.True(missed.Count == 0, string.Join('\n', missed));
    }

    private static async Task<(string? Found, int Seeds, double Seconds)> Search(Disk disk, string binary, string mutant, int mostSeconds)
    {
        var trial = new Trial(disk, binary, ("ANTARES_MUTANT", mutant));
        var clock = Stopwatch.StartNew();
        for (int seed = 1; ; seed++)
        {
            Difference? difference = await trial.Run(Scenario.Of((ulong)seed));
            if (difference != null || clock.Elapsed.TotalSeconds > mostSeconds)
                return (difference?.Text, seed, clock.Elapsed.TotalSeconds);
        }
    }

    private static string Short(string text)
    {
        string line = text.Replace('\n', ' ');
        return line.Length > 160 ? line[..160] + "…" : line;
    }
}
