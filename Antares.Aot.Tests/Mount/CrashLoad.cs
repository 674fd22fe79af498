using System.Diagnostics;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Four clients of all kinds of calls, whose server is killed at some moment; afterwards every acknowledged call must be there.</summary>
internal sealed class CrashLoad(ScratchFolder scratch, AntaresMount mount, int seed)
{
    private const int Clients = 4;

    /// <summary>Fills the lower.</summary>
    public void FillLower()
    {
        for (int c = 0; c < Clients; c++)
            _ = Shell.Run(Probe.Path, ["crashlower", Directory.CreateDirectory(Path.Combine(mount.Lower, $"w{c}")).FullName]).Must();
    }

    /// <summary>Runs the clients on the mount and ends its server after a while; waits until all are gone.</summary>
    public void RunAndKill(int afterMilliseconds)
    {
        Process[] clients = [.. Enumerable.Range(0, Clients).Select(c => Shell.Start(Probe.Path, Client("crashload", c)))];
        Thread.Sleep(afterMilliseconds);
        int pid = mount.ServerPid();
        _ = Shell.Run("kill", ["-9", pid.ToString()]).Must();
        foreach (Process client in clients)
        {
            string error = client.StandardError.ReadToEnd();
            Assert.True(client.WaitForExit(20_000), "a client hangs after its server was killed");
            Assert.True(client.ExitCode == 0, error);
            client.Dispose();
        }
        Assert.True(AntaresMount.WaitGone(pid, 10));
    }

    /// <summary>What each client finds of its acknowledged calls in a new mount; the one on its way is there wholly or not at all.</summary>
    public ShellResult[] Check() => [.. Enumerable.Range(0, Clients).Select(c => Shell.Run(Probe.Path, Client("crashcheck", c)))];

    private string[] Client(string verb, int c) => [verb, Path.Combine(mount.Root, $"w{c}"), $"{(seed * 10) + c}", scratch.Join($"counter{c}")];
}
