using System.Diagnostics;

namespace Antares.Aot.Tests.Support;

/// <summary>The binary under test as origin of a repository, on a free port of loopback.</summary>
internal sealed class OriginProcess : IDisposable
{
    private readonly Process _process;
    private readonly string _log;

    public OriginProcess(ScratchFolder scratch, string repository, params string[] quirks)
        : this(scratch, repository, [], quirks)
    {
    }

    /// <param name="scratch">For the log.</param>
    /// <param name="repository">What is served.</param>
    /// <param name="changelists">LINK=FROM..TO[:/PATH].</param>
    /// <param name="quirks">As the option has them.</param>
    public OriginProcess(ScratchFolder scratch, string repository, IEnumerable<string> changelists, string[] quirks)
    {
        _log = scratch.Join($"access-{Guid.NewGuid():n}");
        string[] arguments = ["origin", "--git", repository, "--listen", "127.0.0.1:0", "--access-log", _log, .. changelists.SelectMany(text => new[] { "--cl", text }), .. quirks.SelectMany(quirk => new[] { "--quirk", quirk })];
        _process = Shell.Start(TestEnvironment.Binary, arguments);
        Url = _process.StandardOutput.ReadLine() ?? throw new InvalidOperationException(_process.StandardError.ReadToEnd());
    }

    /// <summary>"http://127.0.0.1:PORT".</summary>
    public string Url { get; }

    /// <summary>Lines "METHOD TARGET STATUS BYTES".</summary>
    public string[] Seen => File.Exists(_log) ? File.ReadAllLines(_log) : [];

    public int Count(string part) => Seen.Count(line => line.Contains(part, StringComparison.Ordinal));

    /// <summary>As <see cref="Count"/>, when no request has been noted for a while: a client may have its answer before it is noted.</summary>
    public int CountAtRest(string part)
    {
        int before = -1;
        while (Seen.Length is var now && now != before)
        {
            before = now;
            Thread.Sleep(200);
        }
        return Count(part);
    }

    /// <summary>Ends as a user ends it.</summary>
    public int Stop()
    {
        if (!_process.HasExited)
        {
            _ = Shell.Run("kill", [$"{_process.Id}"]);
            Assert.True(_process.WaitForExit(10_000), "origin goes on after SIGTERM");
        }
        return _process.ExitCode;
    }

    public void Dispose()
    {
        if (!_process.HasExited)
            _process.Kill();
        _process.Dispose();
    }
}
