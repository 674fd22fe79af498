using System.Security.Cryptography;

namespace Antares.Aot.Tests.Support;

/// <summary>One line of a probe script and what came back.</summary>
internal sealed record ProbeAnswer(string Command, string Answer)
{
    public override string ToString() => $"{(Command.Length > 100 ? Command[..100] + "…" : Command)} => {Answer}";
}

/// <summary>The C program that makes the calls (native/fsprobe.h tells the language). It is compiled once, at first use.</summary>
internal static class Probe
{
    private static readonly Lazy<string> CompiledPath = new(Compile);

    public static string Path => CompiledPath.Value;

    /// <summary>Runs a script with ROOT as current folder. Text after " => " on a line is the answer that must come.</summary>
    public static List<ProbeAnswer> Run(string root, string script, int timeoutSeconds = 60)
    {
        string[] commands = [.. Lines(script)];
        ShellResult result = Shell.Run(Path, ["run", root], timeoutSeconds, input: string.Join('\n', commands.Select(CommandOf)) + "\n");
        string[] answers = result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.True(result.ExitCode == 0 && answers.Length == commands.Length,
            $"the probe stopped (exit {result.ExitCode}) after {answers.Length} of {commands.Length} lines, at: {commands.ElementAtOrDefault(answers.Length)}\n{result.Error}");
        return [.. commands.Select((c, i) => new ProbeAnswer(c, answers[i]))];
    }

    /// <summary>Runs a script and checks the answers it names.</summary>
    public static List<ProbeAnswer> Check(string root, string script, int timeoutSeconds = 60)
    {
        List<ProbeAnswer> answers = Run(root, script, timeoutSeconds);
        string? problem = Unexpected(answers);
        Assert.True(problem == null, problem);
        return answers;
    }

    /// <summary>A whole tree as text, one object a line; see native/digest.c for the options.</summary>
    public static string Digest(string root, string options = "", int timeoutSeconds = 300) => Shell.Run(Path, ["digest", root, options], timeoutSeconds).Must();

    public static IEnumerable<string> Lines(string script) =>
        script.Split('\n').Select(l => l.Trim()).Where(l => l.Length > 0 && l[0] != '#');

    public static string CommandOf(string line) => line.IndexOf(" => ", StringComparison.Ordinal) is >= 0 and int at ? line[..at].TrimEnd() : line;

    /// <summary>The first answers that differ from what their lines ask for; null when there is none.</summary>
    public static string? Unexpected(IEnumerable<ProbeAnswer> answers)
    {
        var wrong = new List<string>();
        foreach (ProbeAnswer answer in answers)
        {
            int at = answer.Command.IndexOf(" => ", StringComparison.Ordinal);
            if (at < 0)
                continue;
            string[] wanted = answer.Command[(at + 4)..].Split("||", StringSplitOptions.TrimEntries);
            if (!wanted.Contains("*") && !wanted.Contains(answer.Answer))
                wrong.Add($"{answer.Command}   but got: {answer.Answer}");
        }
        return wrong.Count == 0 ? null : string.Join('\n', wrong.Take(12));
    }

    private static string Compile()
    {
        string[] sources = [.. Directory.GetFiles(TestEnvironment.NativeSources, "*.c").Order()];
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string source in sources.Append(System.IO.Path.Combine(TestEnvironment.NativeSources, "fsprobe.h")))
            hash.AppendData(File.ReadAllBytes(source));
        string folder = System.IO.Path.Combine(TestEnvironment.Scratch, $"antares-fsprobe-{Convert.ToHexStringLower(hash.GetHashAndReset())[..16]}");
        string path = System.IO.Path.Combine(folder, "fsprobe");
        if (File.Exists(path))
            return path;
        _ = Directory.CreateDirectory(folder);
        string temp = $"{path}.{Environment.ProcessId}";
        // Static, so that it also runs inside a chroot that has nothing else.
        _ = Shell.Run("cc", ["-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o", temp, .. sources], 120).Must();
        File.Move(temp, path, overwrite: true);
        return path;
    }
}
