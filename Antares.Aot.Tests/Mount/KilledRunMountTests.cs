using System.Diagnostics;
using System.Globalization;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>The server of a <c>run</c> is killed while its command is about to look into the mount for the first time.</summary>
public sealed class KilledRunMountTests
{
    private static readonly string[] s_delay = ["-f", "-e", "trace=chdir,close", "-e", "inject=chdir:delay_enter=2000000"];

    /// <summary>The command does not keep the connection alive by the device that it inherited: it fails, and nothing hangs.</summary>
    [MountFact]
    public void TheCommandDoesNotHoldTheDevice()
    {
        using var scratch = new ScratchFolder();
        using var killed = new KilledRun(scratch, s_delay);
        Assert.True(killed.CommandEnds(30), "the command waits for ever for the mount of which it has the device open");
        Assert.Contains("stale", killed.Try("list").Must());
        _ = killed.Try("umount", "--stale").Must();
        Assert.Empty(MountTable.Below(scratch.Path));
        Assert.Empty(Directory.GetFileSystemEntries(scratch.Join("spaces")));
    }

    /// <summary>
    /// Whoever holds the device: no verb waits for such a mount, and cleaning up cuts its connection off, so that who waits for it comes free.
    /// The close of the device is left out here, which is what makes such a mount.
    /// </summary>
    [MountTheory, InlineData("umount"), InlineData("mount")]
    public void AMountThatNobodyWillAnswerIsCutOff(string verb)
    {
        using var scratch = new ScratchFolder();
        using var killed = new KilledRun(scratch, [.. s_delay, "-e", "inject=close:retval=0:when=1"]);
        Thread.Sleep(3000); // the command is in its chdir by now
        Assert.False(killed.CommandEnds(0), "the device was closed: this test tests nothing");
        Assert.Contains("stale", killed.Try("list").Must());
        string point = Assert.Single(MountTable.Below(scratch.Path)).Point;
        Assert.Equal(killed.Point, point);
        var clock = Stopwatch.StartNew();
        if (verb == "mount")
        {
            _ = killed.Try("mount", killed.Source, point).Must();
            Assert.Equal("x", File.ReadAllText(Path.Combine(point, "f")));
            _ = killed.Try("umount", point).Must();
        }
        else
        {
            _ = killed.Try("umount", "--stale").Must();
        }
        Assert.True(clock.Elapsed.TotalSeconds < 30, $"{verb} took {clock.Elapsed.TotalSeconds:0} s");
        Assert.Empty(MountTable.Below(scratch.Path));
        Assert.True(killed.CommandEnds(10), "the command still waits for the mount");
    }

    private sealed class KilledRun : IDisposable
    {
        private readonly Process _tracer;
        private readonly int _command;
        private readonly string _state;

        public KilledRun(ScratchFolder scratch, string[] tracing)
        {
            Source = scratch.Make("base");
            File.WriteAllText(Path.Combine(Source, "f"), "x");
            Point = scratch.Make("mnt");
            string spaces = scratch.Make("spaces");
            _state = scratch.Make("state");
            _tracer = Shell.Start("strace", [.. tracing, "-o", scratch.Join("trace"), TestEnvironment.Binary, "run", Source, "--mount-point", Point, "--workspace-root", spaces, "--", "sleep", "100"],
                environment: ("ANTARES_STATE_DIR", _state));
            int server = Child(_tracer.Id);
            _command = Child(server);
            _ = Shell.Run("kill", ["-9", $"{server}"]).Must();
            Assert.True(AntaresMount.WaitGone(server, 10), "the server does not end");
        }

        public string Source { get; }
        public string Point { get; }

        public bool CommandEnds(int seconds) => AntaresMount.WaitGone(_command, seconds) || !Directory.Exists($"/proc/{_command}");

        public ShellResult Try(params string[] arguments) => Shell.Run(TestEnvironment.Binary, arguments, 45, environment: ("ANTARES_STATE_DIR", _state));

        public void Dispose()
        {
            _ = Shell.Bash($"kill -9 {_command} {_tracer.Id} 2>/dev/null");
            _tracer.Dispose();
        }

        private static int Child(int parent)
        {
            for (int i = 0; i < 300; i++)
            {
                if (int.TryParse(Shell.Run("pgrep", ["-P", $"{parent}"]).Output.Split('\n')[0], CultureInfo.InvariantCulture, out int pid))
                    return pid;
                Thread.Sleep(20);
            }
            throw new InvalidOperationException($"process {parent} starts none");
        }
    }
}
