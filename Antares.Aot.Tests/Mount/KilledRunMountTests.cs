using System.Diagnostics;
using System.Globalization;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>The server of a <c>run</c> is killed while its command is about to look into the mount for the first time.</summary>
public sealed class KilledRunMountTests
{
    /// <summary>
    /// The command does not keep the connection alive by the device that it inherited: nothing hangs. It fails, or goes on where somebody (whoever asks every
    /// mount, as df does) had the attributes of the root into the kernel's cache before.
    /// </summary>
    [MountFact]
    public void TheCommandDoesNotHoldTheDevice()
    {
        using var scratch = new ScratchFolder();
        using KilledRun killed = KilledRun.Start(scratch);
        Assert.True(killed.CommandEndsOrRuns(killed.DelaySeconds + 30), $"the command waits for ever for the mount of which it has the device open: {killed.Command}");
        Assert.Contains("stale", killed.Try("list").Must());
        _ = killed.Try("umount", "--stale").Must();
        Assert.Empty(MountTable.Below(killed.Point));
        Assert.Empty(Directory.GetFileSystemEntries(killed.Spaces));
    }

    /// <summary>
    /// Whoever holds the device: no verb waits for such a mount, and cleaning up cuts its connection off, so that who waits for it comes free.
    /// The close of the device is left out here, which is what makes such a mount.
    /// </summary>
    [MountTheory, InlineData("umount"), InlineData("mount")]
    public void AMountThatNobodyWillAnswerIsCutOff(string verb)
    {
        using var scratch = new ScratchFolder();
        using KilledRun killed = KilledRun.StartWaiting(scratch, "-e", "inject=close:retval=0:when=1");
        Assert.Contains("stale", killed.Try("list").Must());
        string point = Assert.Single(MountTable.Below(killed.Point)).Point;
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
        Assert.Empty(MountTable.Below(killed.Point));
        Assert.True(killed.CommandEnds(10), "the command still waits for the mount");
    }

    private sealed class KilledRun : IDisposable
    {
        private const int Chdir = 80;

        private readonly Process _tracer;
        private readonly int _command;
        private readonly string _state;

        private KilledRun(ScratchFolder scratch, int delaySeconds, string[] tracing)
        {
            DelaySeconds = delaySeconds;
            string name = $"{delaySeconds}";
            Source = scratch.Make(name + "/base");
            File.WriteAllText(Path.Combine(Source, "f"), "x");
            Point = scratch.Make(name + "/mnt");
            Spaces = scratch.Make(name + "/spaces");
            _state = scratch.Make(name + "/state");
            _tracer = Shell.Start("strace",
                ["-f", "-e", "trace=chdir,close", "-e", $"inject=chdir:delay_enter={delaySeconds}000000", .. tracing, "-o", scratch.Join(name + "/trace"),
                    TestEnvironment.Binary, "run", Source, "--engine", "fuse", "--mount-point", Point, "--workspace-root", Spaces, "--", "sleep", "100"],
                environment: ("ANTARES_STATE_DIR", _state));
            // The tracer has children of its own at first, by which it finds out what the kernel can do.
            int server = Child(_tracer.Id, mustRun: new FileInfo(TestEnvironment.Binary).ResolveLinkTarget(true)?.FullName ?? TestEnvironment.Binary);
            _command = Child(server, mustRun: null);
            Shell.Run("kill", ["-9", $"{server}"]).Must();
            Assert.True(AntaresMount.WaitGone(server, 30), "the server does not end");
        }

        /// <summary>How long the command is held at most.</summary>
        public int DelaySeconds { get; }
        public string Source { get; }
        public string Point { get; }
        public string Spaces { get; }

        /// <summary>What the command is doing, for whoever reads of a failure.</summary>
        public string Command => $"{Read("comm").Trim()} {Read("status").Split('\n').FirstOrDefault(line => line.StartsWith("State:", StringComparison.Ordinal))}, in {Read("syscall").Trim()}, {Read("wchan")}";

        /// <summary>
        /// A run whose server ended while its command was held before its chdir. On a busy machine that may take longer than the command is held:
        /// such a run shows nothing, and another one is held longer.
        /// </summary>
        public static KilledRun Start(ScratchFolder scratch, params string[] tracing)
        {
            foreach (int delaySeconds in new[] { 2, 10, 40 })
            {
                var killed = new KilledRun(scratch, delaySeconds, tracing);
                if (killed.IsHeld)
                    return killed;
                killed.Dispose();
                _ = killed.Try("umount", "--stale");
            }

            throw new InvalidOperationException("the command was in the mount before its server could be killed, though it was held for 40 s");
        }

        /// <summary>
        /// A run whose command waits for its dead mount. Where somebody who asks every mount, as df does, had the attributes of the root into the
        /// kernel's cache before, nothing waits: another run is made then.
        /// </summary>
        public static KilledRun StartWaiting(ScratchFolder scratch, params string[] tracing)
        {
            string command = "";
            for (int attempt = 0; attempt < 5; attempt++)
            {
                KilledRun killed = Start(scratch, tracing);
                if (killed.CommandWaits(killed.DelaySeconds + 30))
                    return killed;
                command = killed.Command;
                killed.Dispose();
                _ = killed.Try("umount", "--stale").Must();
            }

            throw new InvalidOperationException($"the device was closed: this test tests nothing: {command}");
        }

        public bool CommandEnds(int seconds) => AntaresMount.WaitGone(_command, seconds) || !Directory.Exists($"/proc/{_command}");

        /// <summary>True once the command has ended, or has the change into the mount behind it and runs.</summary>
        public bool CommandEndsOrRuns(int seconds) => SpinWait.SpinUntil(() => HasEndedOrRuns, seconds * 1000);

        /// <summary>True once the command waits in its chdir, let go by the tracer.</summary>
        public bool CommandWaits(int seconds)
        {
            return SpinWait.SpinUntil(() => HasEndedOrRuns || (Waits() && !IsAnsweredWithin(500)), seconds * 1000) && !HasEndedOrRuns;

            bool Waits() => InChdir && !IsStopped;
            bool IsAnsweredWithin(int ms) => SpinWait.SpinUntil(() => !Waits(), ms);
        }

        public ShellResult Try(params string[] arguments) => Shell.Run(TestEnvironment.Binary, arguments, 45, environment: ("ANTARES_STATE_DIR", _state));

        public void Dispose()
        {
            _ = Shell.Bash($"kill -9 {_command} {_tracer.Id} 2>/dev/null");
            _tracer.Dispose();
        }

        private bool IsHeld => IsStopped && InChdir;

        private bool HasEndedOrRuns => Read("comm") is "gone" or "sleep\n" || Read("status").Contains("State:\tZ", StringComparison.Ordinal);

        private bool IsStopped => Read("status").Contains("State:\tt", StringComparison.Ordinal);

        private bool InChdir => Read("syscall").StartsWith($"{Chdir} ", StringComparison.Ordinal);

        private string Read(string file)
        {
            try
            {
                return File.ReadAllText($"/proc/{_command}/{file}");
            }
            catch (IOException)
            {
                return "gone";
            }
        }

        /// <summary>Looks without starting anything, as the command is held for a while only.</summary>
        private static int Child(int parent, string? mustRun)
        {
            int found = 0;
            Assert.True(SpinWait.SpinUntil(() =>
            {
                Thread.Sleep(5);
                foreach (string process in Directory.EnumerateDirectories("/proc").Where(path => char.IsAsciiDigit(path[^1])))
                {
                    try
                    {
                        string stat = File.ReadAllText(process + "/stat");
                        bool isChild = int.Parse(stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[1], CultureInfo.InvariantCulture) == parent;
                        if (isChild && (mustRun == null || File.ResolveLinkTarget(process + "/exe", false)?.FullName == mustRun))
                        {
                            found = int.Parse(Path.GetFileName(process), CultureInfo.InvariantCulture);
                            return true;
                        }
                    }
                    catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
                    {
                        // It ended meanwhile.
                    }
                }

                return false;
            }, 60_000), $"process {parent} starts none");
            return found;
        }
    }
}
