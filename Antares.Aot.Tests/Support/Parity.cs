namespace Antares.Aot.Tests.Support;

/// <summary>
/// The parity check: the same calls on a plain folder and on the mount must answer the same; afterwards the merged tree is the plain
/// one, the lower is untouched, nothing is left in the work folder, and both a new mount and kernel overlayfs see the same tree.
/// </summary>
internal static class Parity
{
    /// <summary>Makes the mount of a kind over the layers in <paramref name="scratch"/>.</summary>
    public static IMountUnderTest Create(MountKind kind, ScratchFolder scratch, params string[] options) => kind switch
    {
        MountKind.Plain => new PlainDirectory(scratch),
        MountKind.Kernel => new KernelOverlay(scratch),
        MountKind.FuseOverlayfs => new FuseOverlayfs(scratch),
        _ => new AntaresMount(scratch, kind, options),
    };

    /// <param name="kind">What to run on.</param>
    /// <param name="lower">Script that fills the lower layer.</param>
    /// <param name="script">Calls on the mount; a line "!remount" takes the mount down and up in between.</param>
    /// <param name="otherTree">Set where the tree that is left differs from a plain folder's; says why.</param>
    /// <param name="otherKernelTree">Set where kernel overlayfs shows our layers otherwise; says why.</param>
    /// <param name="timeoutSeconds">For each part of the script.</param>
    /// <param name="options">Further options of our mount.</param>
    public static void Check(MountKind kind, string lower, string script, string? otherTree = null, string? otherKernelTree = null, int timeoutSeconds = 60,
        params string[] options)
    {
        using var scratch = new ScratchFolder();
        List<ProbeAnswer> expected = [];
        string plainTree = "";
        if (kind != MountKind.Plain)
        {
            using var plainScratch = new ScratchFolder();
            using var plain = new PlainDirectory(plainScratch);
            _ = Probe.Check(plain.Root, lower, timeoutSeconds);
            expected = RunParts(plain, script, timeoutSeconds);
            plainTree = Probe.Digest(plain.Root, TreeOptions(kind));
        }

        using IMountUnderTest mount = Create(kind, scratch, options);
        _ = Probe.Check(mount.Lower, lower, timeoutSeconds);
        string lowerBefore = kind == MountKind.Plain ? "" : Probe.Digest(mount.Lower, "iD");
        mount.Mount();
        List<ProbeAnswer> answers = RunParts(mount, script, timeoutSeconds);
        string? problem = Probe.Unexpected(answers) ?? Differences(expected, answers);
        Assert.True(problem == null, problem);
        if (kind == MountKind.Plain)
            return;

        if (otherTree == null)
            AssertSameTree("a plain folder after the same calls", plainTree, "the mount", Probe.Digest(mount.Root, TreeOptions(kind)));
        CheckAfterwards(mount, scratch, lowerBefore, otherKernelTree == null);
    }

    /// <summary>What must hold after any calls on any mount: see the type's summary.</summary>
    public static void CheckAfterwards(IMountUnderTest mount, ScratchFolder scratch, string lowerBefore, bool kernelSeesTheSame)
    {
        string merged = Probe.Digest(mount.Root);
        mount.Unmount();
        AssertSameTree("the lower before", lowerBefore, "the lower after", Probe.Digest(mount.Lower, "iD"));
        // Kernel overlayfs keeps one whiteout in its work folder to link from.
        if (mount.Kind != MountKind.Kernel)
            AssertWorkIsClean(mount.Work!);
        mount.Mount();
        AssertSameTree("the mount before", merged, "a second mount of the same layers", Probe.Digest(mount.Root));
        mount.Unmount();
        if (!(mount.Kind.IsFuseEngine() || mount.Kind.IsKernelEngine()) || !kernelSeesTheSame)
            return;
        using var kernel = new KernelOverlay(scratch);
        kernel.Mount();
        AssertSameTree("the mount before", merged, "kernel overlayfs on the same layers", Probe.Digest(kernel.Root));
    }

    /// <summary>Mounts and runs a script; each line must answer what it says. The mount stays.</summary>
    public static void Play(IMountUnderTest mount, string script)
    {
        mount.Mount();
        string? problem = Probe.Unexpected(RunParts(mount, script, 60));
        Assert.True(problem == null, $"{mount.Kind}: {problem}");
    }

    public static void AssertWorkIsClean(string work)
    {
        string left = Shell.Bash("find \"$W\" -mindepth 2 | head -5", environment: ("W", work)).Must();
        Assert.True(left.Length == 0, $"left in the work folder after unmount: {left}");
    }

    public static void AssertSameTree(string firstName, string first, string secondName, string second)
    {
        if (first == second)
            return;
        string[] a = first.Split('\n'), b = second.Split('\n');
        IEnumerable<string> only = a.Except(b).Take(8).Select(l => $"  {firstName}: {Cut(l)}").Concat(b.Except(a).Take(8).Select(l => $"  {secondName}: {Cut(l)}"));
        Assert.Fail($"the trees differ:\n{string.Join('\n', only)}");
    }

    private static string Cut(string text) => text.Length <= 300 ? text : text[..120] + "…" + text[^170..];

    /// <summary>Times differ between two runs; kernel overlayfs shows directories without a real link count.</summary>
    private static string TreeOptions(MountKind kind) => kind.IsFuseEngine() ? "tD" : "t";

    private static List<ProbeAnswer> RunParts(IMountUnderTest mount, string script, int timeoutSeconds)
    {
        var answers = new List<ProbeAnswer>();
        string[] parts = script.Split("!remount");
        for (int i = 0; i < parts.Length; i++)
        {
            if (i > 0)
            {
                mount.Unmount();
                mount.Mount();
            }
            if (Probe.Lines(parts[i]).Any())
                answers.AddRange(Probe.Run(mount.Root, parts[i], timeoutSeconds));
        }
        return answers;
    }

    /// <summary>Lines without an expected answer of their own must answer as on the plain folder.</summary>
    private static string? Differences(List<ProbeAnswer> expected, List<ProbeAnswer> answers)
    {
        var different = new List<string>();
        for (int i = 0; i < expected.Count; i++)
            if (expected[i].Answer != answers[i].Answer && !expected[i].Command.Contains(" => ", StringComparison.Ordinal))
                different.Add($"{expected[i].Command}   plain folder: {expected[i].Answer}   here: {answers[i].Answer}");
        return different.Count == 0 ? null : string.Join('\n', different.Take(12));
    }
}
