using System.Diagnostics;
using System.Text;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Differential;

/// <summary>The probe as a running process: it takes calls in lines and answers each with a line, and keeps what it has open.</summary>
internal sealed class Executor : IDisposable
{
    private const int TimeoutSeconds = 40;

    private readonly Process _process;
    private readonly StreamReader _answers;

    public Executor(string root)
    {
        _process = Shell.Start(Probe.Path, ["run", root]);
        _process.StandardInput.AutoFlush = false;
        _answers = new StreamReader(_process.StandardOutput.BaseStream, Encoding.Latin1, false, 1 << 16);
        _process.ErrorDataReceived += (_, _) => { };
        _process.BeginErrorReadLine();
    }

    /// <summary>Makes the calls and returns their answers; fewer when the process ended or hung, which is then its last answer.</summary>
    public async Task<List<string>> Run(IReadOnlyList<string> calls)
    {
        var answers = new List<string>(calls.Count);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(TimeoutSeconds));
        Task writing = Write(calls);
        try
        {
            while (answers.Count < calls.Count)
            {
                if (await _answers.ReadLineAsync(limit.Token) is not { } line)
                {
                    answers.Add("PROBE-ENDED");
                    break;
                }
                answers.Add(line);
            }
        }
        catch (OperationCanceledException)
        {
            answers.Add($"HANGS (no answer in {TimeoutSeconds} s)");
        }
        if (answers.Count == calls.Count)
            await writing;
        return answers;
    }

    /// <summary>The tree below the root, one object a line (native/digest.c); its last line tells when the process ended or hung.</summary>
    public async Task<List<string>> Tree(string options)
    {
        var lines = new List<string>();
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(TimeoutSeconds));
        await Write([$"digest {options}"]);
        try
        {
            while (await _answers.ReadLineAsync(limit.Token) is { } line)
            {
                if (line == "END")
                    return lines;
                lines.Add(line);
            }
            lines.Add("PROBE-ENDED .");
        }
        catch (OperationCanceledException)
        {
            lines.Add($"HANGS (no answer in {TimeoutSeconds} s)");
        }
        return lines;
    }

    private async Task Write(IReadOnlyList<string> calls)
    {
        try
        {
            foreach (string call in calls)
                await _process.StandardInput.WriteAsync(call + "\n");
            await _process.StandardInput.FlushAsync();
        }
        catch (IOException)
        {
            // It ended: the missing answers tell.
        }
    }

    /// <summary>Ends the process and its workers.</summary>
    public void Dispose()
    {
        try
        {
            _process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It ended before it had read all.
        }
        if (!_process.WaitForExit(5000))
            _process.Kill(entireProcessTree: true);
        _process.WaitForExit();
        _process.Dispose();
    }
}
