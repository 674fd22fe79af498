using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>
/// Makes the kernel hand over what it has collected of writes (by <c>--writeback</c>, or through mappings) and not sent yet, while there is somebody to take it: it would be lost
/// with the users who are about to be cut off. What is closed was handed over then.
/// </summary>
internal static unsafe class CollectedWrites
{
    private const string OwnProgram = "/proc/self/exe";

    /// <summary>As main.c has it.</summary>
    private const string Verb = "--write-out";
    private const int PatienceMs = 5_000;
    private const int LookAgainMs = 10;

    /// <summary>Looks in a row without a further write that tell that all have come.</summary>
    private const int QuietLooks = 5;

    /// <summary>Asks for it and waits until it has come, for a few seconds at most.</summary>
    /// <param name="mount">In its place, and served.</param>
    /// <param name="log">Told when it did not come.</param>
    public static void Fetch(ServedMount mount, Log log)
    {
        var deadline = Environment.TickCount64 + PatienceMs;
        if (!Ask(mount, deadline))
        {
            log.Warn($"{mount.MountPoint}: what its users wrote and did not close may not all have come to the upper");
            return;
        }

        // Kernels that do not wait for the answers have sent all by now.
        var seen = mount.Writes;
        for (var quiet = 0; quiet < QuietLooks && Environment.TickCount64 < deadline;)
        {
            Thread.Sleep(LookAgainMs);
            var now = mount.Writes;
            quiet = now == seen ? quiet + 1 : 0;
            seen = now;
        }
    }

    // By another process (syncfs(2)): a thread of this one that waits for its own mount could not be ended.
    private static bool Ask(ServedMount mount, long deadline)
    {
        using var file = new CString(OwnProgram);
        using var arguments = new CStringArray([OwnProgram, Verb, mount.MountPoint]);
        using var environment = new CStringArray([]);
        var options = SpawnOptions.Inherit;
        options.CloseFirst = mount.ServedDescriptor;
        options.NewProcessGroup = true;
        if (Spawn.PosixSpawn(file.Pointer, arguments.Pointer, environment.Pointer, options, out var pid) != Errno.None)
        {
            return false;
        }

        while (Environment.TickCount64 < deadline)
        {
            var error = Process.Waitpid(pid, out var status, Process.WNOHANG, out var reaped);
            if (error != Errno.None || reaped == pid)
            {
                return error == Errno.None && Process.ExitCode(status) == 0;
            }

            Thread.Sleep(LookAgainMs);
        }

        _ = Process.Kill(pid, Signals.SIGKILL); // ends with the connection at the latest
        return false;
    }
}
