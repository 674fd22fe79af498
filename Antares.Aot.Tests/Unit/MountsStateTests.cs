using System.Text;
using System.Text.Json;
using Antares.Aot.Diagnostics;
using Antares.Aot.Fuse;
using Antares.Aot.Mounts;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

public sealed class MountsStateTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("antares-state-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void ARecordComesBackAsItWas()
    {
        var full = Record("1") with
        {
            Job = "job",
            Device = new DeviceNumber(0, 53),
            Lowers = ["/layer", "dir:/söurce \"x\"\n"],
            Upper = "/u",
            Work = "/w",
            Workspace = "/s",
            Keep = true,
        };
        List<MountRecord> back = StateCodec.Decode(StateCodec.Encode([full, Record("2")]), out var version);
        Assert.Equal(StateCodec.Version, version);
        Assert.Equal(2, back.Count);
        Assert.Equal(full.Lowers, back[0].Lowers);
        Assert.Equal(full with { Lowers = back[0].Lowers }, back[0]);
        Assert.Equal(Record("2") with { Lowers = back[1].Lowers }, back[1]);
    }

    [Fact]
    public void AnUnknownFieldIsPassedOver()
    {
        var text = Encoding.UTF8.GetString(StateCodec.Encode([Record("1")])).Replace("\"keep\"", "\"new\":{\"a\":[1,{}]},\"keep\"", StringComparison.Ordinal);
        Assert.Equal("1", Assert.Single(StateCodec.Decode(Encoding.UTF8.GetBytes(text), out _)).Id);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("{\"version\":1,\"mounts\":[{}]}")]
    [InlineData("{\"version\":1,\"mounts\":[{\"id\":5}]}")]
    [InlineData("{\"version\":1,\"mounts\":[{\"id\":\"a\",\"pid\":1e99}]}")]
    public void DamageIsTold(string content)
    {
        _ = Assert.ThrowsAny<JsonException>(() => StateCodec.Decode(Encoding.UTF8.GetBytes(content), out _));
        File.WriteAllText(Path.Combine(_folder, "mounts.json"), content);
        var problem = Assert.Throws<MountProblem>(() => new StateFile(_folder).Read());
        Assert.Contains("damaged", problem.Message);
        _ = Assert.Throws<MountProblem>(() => new StateFile(_folder).Add(Record("1")));
        Assert.Equal(content, File.ReadAllText(Path.Combine(_folder, "mounts.json")));
    }

    [Fact]
    public void AnotherVersionIsRefusedAndLeftAlone()
    {
        var content = "{\"version\":2,\"mounts\":\"of another form\"}";
        File.WriteAllText(Path.Combine(_folder, "mounts.json"), content);
        Assert.Contains("version 2", Assert.Throws<MountProblem>(() => new StateFile(_folder).Read()).Message);
        _ = Assert.Throws<MountProblem>(() => new StateFile(_folder).Add(Record("1")));
        Assert.Equal(content, File.ReadAllText(Path.Combine(_folder, "mounts.json")));
    }

    [Fact]
    public async Task ManyWritersLoseNothingAndReadersSeeWholeFiles()
    {
        const int Writers = 8, Rounds = 25;
        using var done = new CancellationTokenSource();
        var reader = Task.Run(() =>
        {
            while (!done.IsCancellationRequested)
            {
                _ = new StateFile(_folder).Read();
            }
        });
        Parallel.For(0, Writers, new ParallelOptions { MaxDegreeOfParallelism = Writers }, writer =>
        {
            var state = new StateFile(_folder);
            for (var i = 0; i < Rounds; i++)
            {
                state.Add(Record($"{writer}-{i}"));
                if (i % 2 == 1)
                {
                    state.Remove($"{writer}-{i - 1}");
                }
            }
        });
        await done.CancelAsync();
        await reader;
        var left = new StateFile(_folder).Read().Select(record => record.Id).Order();
        var expected = from writer in Enumerable.Range(0, Writers)
                       from i in Enumerable.Range(0, Rounds)
                       where i % 2 == 1 || i == Rounds - 1
                       select $"{writer}-{i}";
        Assert.Equal(expected.Order(), left);
        Assert.Equal(["mounts.json", "mounts.lock"], Directory.GetFiles(_folder).Select(Path.GetFileName).Order());
    }

    [Fact]
    public void AMountOfADeadProcessIsStaleAndCanBeCleaned()
    {
        var workspace = Workspace.In(_folder, Workspace.NewId());
        workspace.Make(forOthers: false);
        var state = new StateFile(_folder);
        state.Add(Record("live") with { Process = ProcessIdentity.Self() });
        state.Add(Record("gone") with { Process = ProcessIdentity.Self() with { StartTicks = 1 }, Workspace = workspace.FolderPath, Job = "j" });
        var mounts = new MountDirectory(state);
        Assert.Equal([("live", false), ("gone", true)], mounts.All().Select(mount => (mount.Record.Id, mount.IsStale)));
        Assert.Equal("gone", Assert.Single(mounts.Find("j")).Record.Id);
        Assert.Equal("gone", Assert.Single(mounts.Find(workspace.FolderPath)).Record.Id);
        Assert.Equal("gone", Assert.Single(mounts.Find("antares_build_gone")).Record.Id);
        Assert.Equal(UnmountOutcome.Cleaned, Unmounter.Unmount(mounts, mounts.Single("gone"), lazy: false));
        Assert.Equal("live", Assert.Single(state.Read()).Id);
        Assert.False(Directory.Exists(workspace.FolderPath));
    }

    [Fact]
    public void AMountThatStillListensIsNotStaleThoughItsProcessIsNotSeen()
    {
        var state = new StateFile(_folder);
        // As a server of another pid namespace is recorded: by an id that means nobody here.
        var record = Record("elsewhere") with { Process = ProcessIdentity.Self() with { Pid = int.MaxValue }, Socket = state.SocketPath("elsewhere") };
        state.Add(record);
        using (var control = ControlServer.Listen(record.Socket, new MountDiagnostics()))
        {
            var mount = Assert.Single(new MountDirectory(state).All());
            Assert.Equal((false, Environment.ProcessId), (mount.IsStale, mount.ServerPid));
        }

        // A process that another test is just starting has the socket open until it runs its program.
        Assert.True(SpinWait.SpinUntil(() => Assert.Single(new MountDirectory(state).All()).IsStale, 10_000));
    }

    /// <summary>A process that got the id of a dead server, whose socket a child of it still has open, is neither the server nor ended in its place.</summary>
    [Fact]
    public void AProcessThatGotTheIdOfADeadServerIsNotTheServer()
    {
        using var other = System.Diagnostics.Process.Start("sleep", ["100"]);
        try
        {
            var identity = new ProcessIdentity(other.Id, StartOf(other.Id));
            Assert.True(identity.IsAlive());
            Assert.Equal(Errno.ESRCH, (identity with { StartTicks = identity.StartTicks - 1 }).Signal(Signals.SIGKILL));
            Assert.Equal(Errno.ESRCH, (identity with { Pid = int.MaxValue }).Signal(Signals.SIGKILL));
            Assert.False(other.WaitForExit(100), "another process was ended");

            // The one that listens has the id on record, but began at another time: the record is that of a process that is gone.
            var state = new StateFile(_folder);
            var record = Record("dead") with { Process = ProcessIdentity.Self() with { StartTicks = 1 }, Socket = state.SocketPath("dead") };
            state.Add(record);
            using (ControlServer.Listen(record.Socket, new MountDiagnostics()))
            {
                Assert.True(Assert.Single(new MountDirectory(state).All()).IsStale);
            }

            // Whatever the list said a moment ago, who is still mounting is asked to end only if it is who is on record.
            var starting = new KnownMount(Record("starting") with { Process = identity with { StartTicks = 1 } }, IsStale: false) { ServerPid = other.Id };
            Assert.Contains("has ended", Assert.Throws<MountProblem>(() => Unmounter.Unmount(new MountDirectory(state), starting, lazy: true)).Message);
            Assert.False(other.WaitForExit(100), "another process was ended");

            Assert.Equal(Errno.None, identity.Signal(Signals.SIGTERM));
            Assert.True(other.WaitForExit(10_000));
            Assert.Equal(Errno.ESRCH, identity.Signal(Signals.SIGTERM));
        }
        finally
        {
            other.Kill();
        }

        static long StartOf(int pid) => long.Parse(File.ReadAllText($"/proc/{pid}/stat").Split(") ")[1].Split(' ')[19], System.Globalization.CultureInfo.InvariantCulture);
    }

    [Fact]
    public void AQuestionIsAnsweredOverASocketWhosePathIsTooLongForAnAddress()
    {
        var deep = Directory.CreateDirectory(Path.Combine(_folder, new string('x', 120))).FullName;
        var record = Record("1") with { Socket = Path.Combine(deep, "1.sock") };
        using var server = new Answering(ControlServer.Listen(record.Socket, new MountDiagnostics()));
        using var stats = JsonDocument.Parse(ControlClient.Ask(record, ControlQuestion.StatsJson));
        Assert.True(stats.RootElement.TryGetProperty("ops", out _));
        Assert.Contains("another version", Assert.Throws<MountProblem>(() => ControlClient.Ask(record, "no such question")).Message);
    }

    /// <summary>Clients that say nothing, ask a byte at a time or read nothing of a long answer are given up, and hold up nobody meanwhile.</summary>
    [Fact]
    public void ASlowClientHoldsUpNobody()
    {
        const int Gauges = 1000, NameBytes = 1000; // an answer that no socket buffers
        var diagnostics = new MountDiagnostics();
        for (var i = 0; i < Gauges; i++)
        {
            diagnostics.AddGauge($"gauge_{i}".PadRight(NameBytes, '_'), () => 1);
        }

        var record = Record("1") with { Socket = Path.Combine(_folder, "1.sock") };
        using var server = new Answering(ControlServer.Listen(record.Socket, diagnostics));
        using var silent = Client(record.Socket);
        using var slow = Client(record.Socket);
        using var deaf = Client(record.Socket);
        Assert.Equal(1, slow.Send("p"u8));
        Assert.Equal(11, deaf.Send("stats json\n"u8));
        Assert.Equal(11, Client(record.Socket).Send("stats json\n"u8)); // gone before its answer
        var clock = System.Diagnostics.Stopwatch.StartNew();
        for (var i = 0; i < 20; i++)
        {
            Assert.Empty(ControlClient.Ask(record, ControlQuestion.Ping));
        }

        using var stats = JsonDocument.Parse(ControlClient.Ask(record, ControlQuestion.StatsJson));
        Assert.Equal(Gauges, stats.RootElement.GetProperty("gauges").EnumerateObject().Count());
        Assert.True(clock.ElapsedMilliseconds < 1500, $"{clock.ElapsedMilliseconds} ms beside slow clients");

        // More silent ones than are served at a time only delay the next.
        var many = Enumerable.Range(0, 12).Select(_ => Client(record.Socket)).ToList();
        Assert.Empty(ControlClient.Ask(record, ControlQuestion.Ping));
        many.ForEach(client => client.Dispose());
        Assert.Equal(0, silent.Receive(new byte[1]));
        Assert.Equal(0, slow.Receive(new byte[1]));
    }

    [Fact]
    public void AJobWithTwoMountsMustBeNamedBetter()
    {
        var state = new StateFile(_folder);
        state.Add(Record("1") with { Job = "j", MountPoint = "/m1" });
        state.Add(Record("2") with { Job = "j", MountPoint = "/m2" });
        var mounts = new MountDirectory(state);
        Assert.Equal(2, mounts.Find("j").Count);
        var problem = Assert.Throws<MountProblem>(() => mounts.Single("j"));
        Assert.Equal(ProblemKind.Usage, problem.Kind);
        Assert.Contains("/m2", problem.Message);
        Assert.Equal("2", mounts.Single("/m2").Record.Id);
    }

    [Fact]
    public void TheStateFolderIsTheFirstThatCanBeMade()
    {
        var chosen = Path.Combine(_folder, "a/b");
        Assert.Equal(chosen, StateDirectory.Find(0, name => name == StateDirectory.Variable ? chosen : null));
        Assert.True(Directory.Exists(chosen));
        File.WriteAllText(Path.Combine(_folder, "file"), "");
        var problem = Assert.Throws<MountProblem>(() => StateDirectory.Find(0, name => name == StateDirectory.Variable ? Path.Combine(_folder, "file/x") : null));
        Assert.Contains("file/x", problem.Message);
    }

    private static System.Net.Sockets.Socket Client(string path)
    {
        var client = new System.Net.Sockets.Socket(System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, 0) { ReceiveTimeout = 5000 };
        client.Connect(new System.Net.Sockets.UnixDomainSocketEndPoint(path));
        return client;
    }

    private static MountRecord Record(string id) => new()
    {
        Id = id,
        Process = new ProcessIdentity(1, 2),
        MountPoint = $"/mnt/{id}",
        Lowers = ["/src"],
        Socket = $"/s/{id}.sock",
        Created = "2025-01-01T00:00:00Z",
    };

    /// <summary>Serves a control socket by a thread until disposed.</summary>
    private sealed unsafe class Answering : IDisposable
    {
        private readonly ControlServer _control;
        private readonly Thread _thread;
        private volatile bool _isOver;

        public Answering(ControlServer control)
        {
            _control = control;
            _thread = new Thread(Run);
            _thread.Start();
        }

        public void Dispose()
        {
            _isOver = true;
            _thread.Join();
            _control.Dispose();
        }

        private void Run()
        {
            var waits = stackalloc pollfd[ControlServer.Places];
            while (!_isOver)
            {
                _control.Prepare(waits);
                Assert.Equal(Errno.None, Signals.Poll(waits, ControlServer.Places, 10, out _));
                _control.Serve(waits);
            }
        }
    }
}
