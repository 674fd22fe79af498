using System.Text.Json;

namespace Antares.Aot.Tests.Support;

/// <summary>A mount made by the binary under test, with a state folder of its own.</summary>
internal sealed class AntaresMount : IMountUnderTest
{
    private readonly ScratchFolder _scratch;
    private readonly string[] _options;

    /// <param name="scratch">Folder that holds the layers (lower, upper, work), the mount point and the state.</param>
    /// <param name="kind">One of ours: it says which source and which engine.</param>
    /// <param name="options">Further options of the mount verb.</param>
    public AntaresMount(ScratchFolder scratch, MountKind kind = MountKind.AntaresDir, params string[] options)
    {
        _scratch = scratch;
        _options = options;
        Kind = kind;
        Root = scratch.Make("mnt");
        Lower = scratch.Make("lower");
        Upper = scratch.Make("upper");
        Work = scratch.Make("work");
        State = scratch.Make("state");
    }

    public MountKind Kind { get; }
    public string Root { get; }
    public string Lower { get; set; }
    public string? Upper { get; set; }
    public string? Work { get; set; }
    public string State { get; }

    /// <summary>Started before the mount's server, for example ["prlimit", "--nofile=1024"].</summary>
    public string[] Wrapper { get; init; } = [];

    /// <summary>The binary; by default the one under test.</summary>
    public string Binary { get; init; } = TestEnvironment.Binary;

    /// <summary>Further environment variables of the binary.</summary>
    public (string Name, string Value)[] Variables { get; init; } = [];

    public string Source => Kind is MountKind.AntaresImage or MountKind.AntaresKernelImage ? _scratch.Join("lower.image") : Kind.IsDir() ? $"dir:{Lower}" : Lower;

    public string[] MountArguments
    {
        get
        {
            var arguments = new List<string> { "mount", Source, Root };
            if (Upper != null)
                arguments.AddRange(["--upper", Upper, "--work", Work!]);
            if (Kind != MountKind.AntaresAuto && !_options.Contains("--engine"))
                arguments.AddRange(["--engine", Kind.IsKernelEngine() ? "kernel" : "fuse"]);
            if (Kind == MountKind.AntaresKernelImage)
                arguments.Add("--erofs");
            // A test's own options win over those of the whole run.
            if (!_options.Intersect(TestEnvironment.MountOptions).Any())
                arguments.AddRange(TestEnvironment.MountOptions);
            arguments.AddRange(_options);
            return [.. arguments];
        }
    }

    public void Mount()
    {
        if (Kind is MountKind.AntaresImage or MountKind.AntaresKernelImage)
            _ = Try("pack", Lower, "-o", Source).Must();
        _ = Try(MountArguments).Must();
        MountTable.Entry? entry = MountTable.Find(Root);
        Assert.True(entry != null, $"mount said it succeeded, but {Root} is no mount point");
        Assert.Equal(Kind.IsKernelEngine() ? "overlay" : "fuse.antares-aot", entry.Type);
    }

    /// <summary>Runs the binary with this mount's state folder.</summary>
    public ShellResult Try(params string[] arguments)
    {
        string[] command = [.. Wrapper, Binary, .. arguments];
        return Shell.Run(command[0], command[1..], 60, environment: [("ANTARES_STATE_DIR", State), .. Variables]);
    }

    public void Unmount()
    {
        if (MountTable.Find(Root) is null)
            return;
        int[] servers = [.. ServerPids()];
        _ = Try("umount", Root).Must();
        Assert.True(MountTable.Find(Root) is null, $"umount said it succeeded, but {Root} is still mounted");
        foreach (int pid in servers)
            Assert.True(WaitGone(pid, 20), $"the server of {Root} (pid {pid}) is still there 20 s after umount");
    }

    /// <summary>Counters and gauges of the running mount.</summary>
    public JsonElement Stats()
    {
        ShellResult result = Try("stats", Root, "--json");
        using JsonDocument document = JsonDocument.Parse(result.Must());
        return document.RootElement.Clone();
    }

    /// <summary>Requests handled so far, by operation.</summary>
    public Dictionary<string, long> Requests() =>
        Stats().GetProperty("ops").EnumerateObject().ToDictionary(op => op.Name, op => op.Value.GetProperty("count").GetInt64());

    public long Gauge(string name)
    {
        JsonElement gauges = Stats().GetProperty("gauges");
        Assert.True(gauges.TryGetProperty(name, out JsonElement value), $"stats has no gauge {name}; it has {string.Join(", ", gauges.EnumerateObject().Select(g => g.Name))}");
        return value.GetInt64();
    }

    /// <summary>Processes of the binary under test that serve this mount point.</summary>
    public IEnumerable<int> ServerPids()
    {
        string binary = Path.GetFullPath(Binary);
        foreach (string folder in Directory.GetDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), out int pid))
                continue;
            bool ours;
            try
            {
                ours = File.ResolveLinkTarget(Path.Combine(folder, "exe"), false)?.FullName == binary
                    && File.ReadAllText(Path.Combine(folder, "cmdline")).Split('\0').Contains(Root);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // The process ended while it was being looked at, or is another user's.
                continue;
            }
            if (ours)
                yield return pid;
        }
    }

    /// <summary>Kills the server, and waits until it shows as gone.</summary>
    public void KillServer()
    {
        int pid = ServerPid();
        _ = Shell.Run("kill", ["-9", $"{pid}"]).Must();
        Assert.True(WaitGone(pid, 10));
        // The first thread is gone; the last one to go closes the control socket.
        for (int i = 0; i < 100 && Try("list").Must() is var list && list.Contains(Root, StringComparison.Ordinal) && !list.Contains("stale", StringComparison.Ordinal); i++)
            Thread.Sleep(20);
    }

    /// <summary>What <c>list --json</c> tells of this mount's state folder.</summary>
    public List<JsonElement> Records()
    {
        using JsonDocument document = JsonDocument.Parse(Try("list", "--json").Must());
        return [.. document.RootElement.Clone().EnumerateArray()];
    }

    /// <summary>As <see cref="Try"/>, with system calls that fail or are watched (strace's inject=… or trace=…).</summary>
    /// <remarks>With -D strace is not waited for as long as the server lives; it keeps the command's output open, so that goes to files.</remarks>
    public ShellResult Inject(string what, params string[] arguments)
    {
        string output = _scratch.Join("out"), error = _scratch.Join("err");
        ShellResult result = Shell.Run("bash", ["-c", "out=$1 err=$2; shift 2; exec \"$@\" >\"$out\" 2>\"$err\" </dev/null", "-", output, error,
            "strace", "-D", "-f", "-qq", "-o", _scratch.Join("trace"), .. what.Split(' ').SelectMany(part => new[] { "-e", part.Contains('=') && part.StartsWith("trace", StringComparison.Ordinal) ? part : $"inject={part}" }),
            TestEnvironment.Binary, .. arguments], 60, environment: ("ANTARES_STATE_DIR", State));
        return result with { Output = File.ReadAllText(output), Error = File.ReadAllText(error) };
    }

    public int ServerPid()
    {
        int[] pids = [.. ServerPids()];
        Assert.True(pids.Length == 1, $"{pids.Length} processes serve {Root}");
        return pids[0];
    }

    public static bool WaitGone(int pid, int seconds)
    {
        for (int i = 0; i < seconds * 50; i++)
        {
            if (IsGone(pid))
                return true;
            Thread.Sleep(20);
        }
        return false;
    }

    /// <summary>
    /// Ended, with all of its threads, of which the last one closes what it had open; whether its parent (a container's first process, perhaps a lazy
    /// one) has collected it is not our matter.
    /// </summary>
    private static bool IsGone(int pid)
    {
        try
        {
            string status = File.ReadAllText($"/proc/{pid}/stat");
            // Its first thread may have ended while others still hold what it has open.
            return status[(status.LastIndexOf(')') + 2)..].StartsWith('Z') && Directory.GetDirectories($"/proc/{pid}/task").Length <= 1;
        }
        catch (IOException)
        {
            return true;
        }
    }

    public void Dispose()
    {
        int[] servers = [.. ServerPids()];
        if (MountTable.Find(Root) is { } entry)
            MountTable.Tear(entry);
        foreach (int pid in servers)
            if (!WaitGone(pid, 2))
                _ = Shell.Run("kill", ["-9", pid.ToString()]);
    }
}
