using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Differential;

/// <summary>What a trial found.</summary>
/// <param name="Step">The step after which it showed.</param>
/// <param name="Text">Call and answers, or the lines of the trees.</param>
internal sealed record Difference(int Step, string Text);

/// <summary>Runs scenarios on a local disk, on kernel overlayfs and on our mount, and compares after each step.</summary>
internal sealed class Trial(Disk disk, string binary, params (string Name, string Value)[] variables)
{
    /// <summary>Calls made on our mount so far.</summary>
    public long Calls { get; private set; }

    /// <summary>Answers in which the two oracles differed.</summary>
    public long KernelDiffers { get; private set; }

    /// <summary>The first difference; null when there is none.</summary>
    public async Task<Difference?> Run(Scenario scenario)
    {
        using var scratch = new ScratchFolder(disk.Folder);
        var lowers = new List<string>();
        for (int i = 0; i < scenario.Lowers.Count; i++)
        {
            lowers.Add(scratch.Make($"lower{i + 1}"));
            _ = Probe.Run(lowers[i], string.Join('\n', scenario.Lowers[i]));
        }
        string options = string.Join(' ', lowers.Take(lowers.Count - 1).Select(l => $"--layer {l}"));
        var ours = new AntaresMount(scratch, scenario.Source, options.Split(' ', StringSplitOptions.RemoveEmptyEntries)) { Binary = binary, Variables = variables };
        ours.Lower = lowers[^1];
        var kernel = new KernelSide(scratch, lowers, "redirect_dir=on,index=on,xino=on");
        Directory.CreateDirectory(kernel.Upper!);
        if (scenario.Upper.Count > 0)
        {
            _ = Probe.Run(ours.Upper!, string.Join('\n', scenario.Upper));
            _ = Probe.Run(kernel.Upper!, string.Join('\n', scenario.Upper));
        }
        kernel.Mount();
        var plain = new PlainDirectory(scratch);
        _ = Shell.Run("cp", ["-a", kernel.Root + "/.", plain.Root]).Must();
        using var sides = new Sides(new Side(plain), new Side(kernel), new Side(ours));
        if (Problem(ours.Mount) is { } failed)
            return new Difference(0, failed);
        var judge = new Judge(scenario);
        try
        {
            return await Compare(scenario, sides, judge) ?? await ReadByKernel(scenario, scratch, lowers, sides);
        }
        finally
        {
            KernelDiffers += judge.KernelDiffers;
        }
    }

    private async Task<Difference?> Compare(Scenario scenario, Sides sides, Judge judge)
    {
        if (await CompareTrees(null, sides, judge) is { } atFirst)
            return new Difference(0, atFirst);
        for (int at = 0; at < scenario.Steps.Count;)
        {
            string step = scenario.Steps[at];
            if (step == Scenario.Snapshot || step == Scenario.Remount)
            {
                if (step == Scenario.Remount)
                {
                    if (sides.Remount() is { } failed)
                        return new Difference(at, failed);
                    judge.Remounted();
                }
                if (await CompareTrees(step == Scenario.Remount ? "after a new mount" : "here", sides, judge) is { } trees)
                    return new Difference(at, trees);
                at++;
                continue;
            }
            int count = scenario.Steps.Skip(at).Take(60).TakeWhile(s => s[0] != '!').Count();
            string[] calls = [.. scenario.Steps.Skip(at).Take(count)];
            Calls += count;
            List<string>[] answers = await Task.WhenAll(sides.Plain.Run(calls), sides.Kernel.Run(calls), sides.Ours.Run(calls));
            for (int i = 0; i < count; i++)
            {
                string Of(int side) => i < answers[side].Count ? answers[side][i] : "NO-ANSWER";
                if (Of(0) is "PROBE-ENDED" or "NO-ANSWER" || Of(0).StartsWith("HANGS", StringComparison.Ordinal))
                    throw new InvalidOperationException($"the local disk cannot do this, so it tells nothing: {calls[i]}: {Of(0)}");
                if (judge.Answer(calls[i], Of(0), Of(1), Of(2)) is { } wrong)
                    return new Difference(at + i, $"{calls[i]}\n{wrong}");
            }
            at += count;
        }
        return null;
    }

    // Our mount failing to come up or to go down is a difference too.
    private static string? Problem(Action action)
    {
        try
        {
            action();
            return null;
        }
        catch (Exception e) when (e is Xunit.Sdk.XunitException or TimeoutException)
        {
            return $"our mount failed: {e.Message}";
        }
    }

    private static async Task<string?> CompareTrees(string? when, Sides sides, Judge judge)
    {
        Dictionary<string, string>[] trees = await Task.WhenAll(sides.Plain.Tree(), sides.Kernel.Tree(), sides.Ours.Tree());
        return when == null ? judge.FirstTrees(trees[0], trees[1], trees[2]) : judge.Trees(when, trees[0], trees[1], trees[2]);
    }

    // What we leave behind must be the same tree for kernel overlayfs.
    private static async Task<Difference?> ReadByKernel(Scenario scenario, ScratchFolder scratch, IReadOnlyList<string> lowers, Sides sides)
    {
        Dictionary<string, string> ours = await sides.Ours.Tree();
        sides.EndProcesses();
        if (Problem(sides.Ours.Mount.Unmount) is { } failed)
            return new Difference(scenario.Steps.Count - 1, failed);
        var reader = new KernelSide(scratch, lowers, "redirect_dir=on,index=off,xino=on") { Upper = sides.Ours.Mount.Upper, Work = scratch.Join("reader-work") };
        reader.Mount();
        using var reading = new Side(reader);
        string? wrong = new Judge(scenario).Read(ours, await reading.Tree());
        return wrong == null ? null : new Difference(scenario.Steps.Count - 1, wrong);
    }

    private sealed record Sides(Side Plain, Side Kernel, Side Ours) : IDisposable
    {
        /// <summary>Ends all processes and mounts ours anew: what the oracles keep over a new mount is not the question.</summary>
        public string? Remount()
        {
            EndProcesses();
            return Problem(Ours.Mount.Unmount) ?? Problem(Ours.Mount.Mount);
        }

        public void EndProcesses()
        {
            Plain.EndProcesses();
            Kernel.EndProcesses();
            Ours.EndProcesses();
        }

        public void Dispose()
        {
            Ours.Dispose();
            Kernel.Dispose();
            Plain.Dispose();
        }
    }
}
