using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Differential;

/// <summary>All that one trial does: the layers it starts from and the calls made. Wholly determined by its seed, before anything is run.</summary>
/// <param name="Seed">The seed.</param>
/// <param name="Source">Our mount's bottom layer: a plain folder, or the folder loaded into Dicfuse.</param>
/// <param name="Lowers">Scripts that fill the lower layers, topmost first.</param>
/// <param name="Upper">Script that fills the upper as an earlier mount may have left it; empty for a fresh one.</param>
/// <param name="Steps">Calls, each a line for the probe, and <see cref="Snapshot"/> and <see cref="Remount"/>.</param>
internal sealed record Scenario(ulong Seed, MountKind Source, IReadOnlyList<IReadOnlyList<string>> Lowers, IReadOnlyList<string> Upper, IReadOnlyList<string> Steps)
{
    /// <summary>Compares the whole trees.</summary>
    public const string Snapshot = "!snapshot";

    /// <summary>Ends all processes, unmounts, mounts again, compares the whole trees.</summary>
    public const string Remount = "!remount";

    public static Scenario Of(ulong seed)
    {
        var random = new SeededRandom(seed);
        var model = new TreeModel();
        var layers = new LayerGenerator(random, model);
        int lowers = random.Weighted([0, 5, 3, 2]);
        var scripts = new List<IReadOnlyList<string>>();
        for (int i = 0; i < lowers; i++)
            scripts.Insert(0, layers.Next(bottom: i == 0));
        IReadOnlyList<string> upper = random.Chance(35) ? layers.Next(bottom: false) : [];
        MountKind source = random.Chance(50) ? MountKind.AntaresFolder : MountKind.AntaresDir;
        return new Scenario(seed, source, scripts, upper, new OperationGenerator(random, model).Steps());
    }

    public override string ToString() =>
        $"seed {Seed}: {Lowers.Count} lower {(Lowers.Count == 1 ? "layer" : "layers")}{(Upper.Count > 0 ? ", an upper with content" : "")}, "
        + $"{(Source == MountKind.AntaresDir ? "dir: source" : "folder source")}, {Steps.Count} steps";
}
