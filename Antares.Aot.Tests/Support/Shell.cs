using System.Diagnostics;
using System.Text;

namespace Antares.Aot.Tests.Support;

/// <summary>What a command left: exit code (128 + signal for one that was killed) and all that it printed.</summary>
internal sealed record ShellResult(string Command, int ExitCode, string Output, string Error)
{
    /// <summary>The output of a command that must have succeeded.</summary>
    public string Must()
    {
        Assert.True(ExitCode == 0, $"exit {ExitCode}: {Command}\n{Output}\n{Error}");
        return Output;
    }

    public override string ToString() => $"exit {ExitCode}: {Command}\n{Output}\n{Error}";
}

/// <summary>Runs commands with a time limit; nothing that hangs in a mount may hang the run.</summary>
internal static class Shell
{
    /// <summary>Runs a script of bash.</summary>
    public static ShellResult Bash(string script, int timeoutSeconds = 60, string? directory = null, string? input = null, params (string Name, string Value)[] environment) =>
        Run("/bin/bash", ["-c", script], timeoutSeconds, directory, input, environment);

    public static ShellResult Run(string program, IEnumerable<string> arguments, int timeoutSeconds = 60, string? directory = null, string? input = null,
        params (string Name, string Value)[] environment)
    {
        using Process process = Start(program, arguments, directory, environment);
        string command = $"{program} {string.Join(' ', process.StartInfo.ArgumentList)}";
        var output = new StringBuilder();
        var error = new StringBuilder();
        process.OutputDataReceived += (_, e) => { lock (output) { if (e.Data != null) output.Append(e.Data).Append('\n'); } };
        process.ErrorDataReceived += (_, e) => { lock (error) { if (e.Data != null) error.Append(e.Data).Append('\n'); } };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        try
        {
            if (input != null)
                process.StandardInput.Write(input);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // The command ended without reading its input: its exit code tells why.
        }
        bool ended = process.WaitForExit(timeoutSeconds * 1000);
        if (!ended)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"after {timeoutSeconds} s: {command}\n{Text(output)}\n{Text(error)}");
        }
        // Whoever captures a command's output waits for the end of the pipe: a server that keeps it open would hang $(antares-aot mount …).
        if (!Task.Run(process.WaitForExit).Wait(TimeSpan.FromSeconds(timeoutSeconds)))
            throw new TimeoutException($"the command ended, but something that it left behind still holds its output: {command}\n{Text(output)}\n{Text(error)}");
        return new ShellResult(command, process.ExitCode, Text(output), Text(error));
    }

    public static Process Start(string program, IEnumerable<string> arguments, string? directory = null, params (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo(program)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardInputEncoding = new UTF8Encoding(false),
            UseShellExecute = false,
        };
        foreach (string argument in arguments)
            start.ArgumentList.Add(argument);
        if (directory != null)
            start.WorkingDirectory = directory;
        foreach ((string name, string value) in environment)
            start.Environment[name] = value;
        return Process.Start(start) ?? throw new InvalidOperationException($"{program} could not be started");
    }

    private static string Text(StringBuilder builder)
    {
        lock (builder)
            return builder.ToString();
    }
}
