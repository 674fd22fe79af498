using System.Globalization;
using Antares.Aot.Base;
using Antares.Aot.Fuse;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Processors are kept awake while requests follow each other, and no longer.</summary>
[Collection("Alone")]
public sealed class WakeUpMountTests
{
    private const string Device = "/dev/cpu_dma_latency";
    private const string DriverFile = "/sys/devices/system/cpu/cpuidle/current_driver";

    /// <summary>What the kernel is asked for shows in the device: it tells every reader the lowest of all bounds.</summary>
    [MountFact]
    public void TheBoundIsHeldDuringABurstOnly()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder);
        mount.Mount();
        int before = Bound();
        var lowest = new Lowest();
        using (lowest.Watch())
            _ = Shell.Run(Probe.Path, ["create", mount.Root, "new", "3000"]).Must();
        bool canBeHad = before != int.MaxValue && File.Exists(DriverFile) && File.ReadAllText(DriverFile).Trim() is not ("" or "none");
        if (!canBeHad)
        {
            // A machine without it: nothing is asked, and everything works.
            Assert.Equal(0, mount.Gauge("quick_wakeups_asked"));
            return;
        }
        Assert.True(mount.Gauge("quick_wakeups_asked") >= 1, "thousands of requests in a row, and quick wake-ups were not asked for");
        Assert.InRange(lowest.Seen, 0, 2);
        for (int i = 0; i < 100 && mount.Gauge("quick_wakeups_held") != 0; i++)
            Thread.Sleep(20);
        Assert.Equal(0, mount.Gauge("quick_wakeups_held"));
        AssertGone(before);
    }

    [MountFact]
    public void NothingIsAskedWhereItIsNotWanted()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder, "--quick-wakeups=false");
        mount.Mount();
        _ = Shell.Run(Probe.Path, ["create", mount.Root, "new", "1000"]).Must();
        Assert.Equal(0, mount.Gauge("fuse_looked_for_requests"));
        string[] open = [.. Directory.GetFiles($"/proc/{mount.ServerPid()}/fd").Select(name => File.ResolveLinkTarget(name, false)?.FullName ?? "")];
        Assert.Contains("/dev/fuse", open);
        Assert.DoesNotContain(Device, open);
        Assert.DoesNotContain(mount.Stats().GetProperty("gauges").EnumerateObject(), gauge => gauge.Name.StartsWith("quick_wakeups", StringComparison.Ordinal));
    }

    /// <summary>While requests follow each other one thread looks for the next; an idle mount takes no processor time, whatever was done before.</summary>
    [MountFact]
    public void RequestsAreLookedForDuringABurstOnly()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder);
        mount.Mount();
        _ = Shell.Run(Probe.Path, ["create", mount.Root, "new", "3000"]).Must();
        Assert.Equal(Environment.ProcessorCount > 1 && ProcessorQuota.AllowsTwo(), mount.Gauge("fuse_looked_for_requests") > 0);
        Thread.Sleep(500);
        long before = ProcessorTicks(mount.ServerPid());
        Thread.Sleep(1000);
        Assert.InRange(ProcessorTicks(mount.ServerPid()) - before, 0, 2);
        _ = Shell.Bash("echo a > \"$R/after\" && cat \"$R/after\"", environment: [("R", mount.Root)]).Must();
    }

    /// <summary>The kernel takes the bound back with the descriptor, however its owner ends.</summary>
    [MountFact]
    public void NothingIsLeftOfAKilledServer()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder);
        mount.Mount();
        int before = Bound();
        _ = Shell.Run(Probe.Path, ["create", mount.Root, "new", "1000"]).Must();
        int pid = mount.ServerPid();
        _ = Shell.Run("kill", ["-9", $"{pid}"]).Must();
        Assert.True(AntaresMount.WaitGone(pid, 20));
        AssertGone(before);
        _ = Shell.Run("umount", [mount.Root]).Must();
    }

    [Theory]
    [InlineData("haltpoll", 0)]
    [InlineData("intel_idle", 2)]
    [InlineData("acpi_idle", 2)]
    public void TheBoundDependsOnTheWaysToIdle(string driver, int bound) => Assert.Equal(bound, WakeUps.BoundOf(driver));

    [Theory]
    [InlineData("none")]
    [InlineData("")]
    public void WhereThereIsOneWayToIdleNothingIsAsked(string driver) => Assert.True(WakeUps.BoundOf(driver) >= 2_000_000_000);

    // Somebody else on the machine may ask now and then too: the device does not tell from whom a bound is, so it must be gone at some time.
    private static void AssertGone(int before)
    {
        for (int i = 0; i < 250 && Bound() < before; i++)
            Thread.Sleep(20);
        Assert.True(Bound() >= before, $"the kernel is still asked for wake-ups within {Bound()} us");
    }

    [Theory]
    [InlineData("0", 1), InlineData("0-1", 2), InlineData("0-3,8,10-11", 7), InlineData("", 0), InlineData("x", 0), InlineData("3-1", 0), InlineData("1-2-3", 0)]
    public void ProcessorsAreCounted(string list, int count) => Assert.Equal(count, WakeUps.CountOf(list));

    // User and system time of a process, in ticks of 10 ms: fields 14 and 15 of /proc/PID/stat.
    private static long ProcessorTicks(int pid)
    {
        string[] fields = File.ReadAllText($"/proc/{pid}/stat").Split(") ")[^1].Split(' ');
        return long.Parse(fields[11], CultureInfo.InvariantCulture) + long.Parse(fields[12], CultureInfo.InvariantCulture);
    }

    // int.MaxValue: the device is not there, or not ours to open.
    private static int Bound()
    {
        try
        {
            using FileStream file = File.OpenRead(Device);
            byte[] value = new byte[sizeof(int)];
            file.ReadExactly(value);
            return BitConverter.ToInt32(value);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return int.MaxValue;
        }
    }

    private sealed class Lowest
    {
        public int Seen { get; private set; } = int.MaxValue;

        public IDisposable Watch()
        {
            var stop = new CancellationTokenSource();
            var thread = new Thread(() =>
            {
                while (!stop.IsCancellationRequested)
                {
                    Seen = Math.Min(Seen, Bound());
                    Thread.Sleep(1);
                }
            });
            thread.Start();
            return new Ending(() =>
            {
                stop.Cancel();
                thread.Join();
                stop.Dispose();
            });
        }
    }

    private sealed class Ending(Action action) : IDisposable
    {
        public void Dispose() => action();
    }
}
