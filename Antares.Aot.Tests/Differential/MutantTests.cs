using System.Diagnostics;
using Antares.Aot.Tests.Mount;
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

    /// <summary>Kills of the server find a rename that is not one step; without the mutant they find nothing (CrashMountTests).</summary>
    [MountFact]
    public void ARenameInTwoStepsIsFoundByKills()
    {
        string binary = MutatedBinary.Build();
        var random = new Random(7);
        var clock = Stopwatch.StartNew();
        for (int round = 0; clock.Elapsed.TotalSeconds < MostSeconds; round++)
        {
            using var scratch = new ScratchFolder();
            using var mount = new AntaresMount(scratch, MountKind.AntaresFolder) { Binary = binary, Variables = [("ANTARES_MUTANT", Mutants.FoundByKills[0].Name)] };
            var load = new CrashLoad(scratch, mount, round);
            load.FillLower();
            mount.Mount();
            load.RunAndKill(random.Next(20, 400));
            mount.Mount();
            if (load.Check().FirstOrDefault(r => r.ExitCode != 0) is { } found)
            {
                output.WriteLine($"{Mutants.FoundByKills[0].Name}: {clock.Elapsed.TotalSeconds:F1} s, kill {round + 1}: {Short(found.Error)}");
                return;
            }
        }
        Assert.Fail($"{Mutants.FoundByKills[0].Name}: not found in {MostSeconds} s");
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
