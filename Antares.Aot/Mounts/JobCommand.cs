using System.Text;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>The command of <c>run</c>: started in the mount, given our signals, its end waited for.</summary>
public static unsafe class JobCommand
{
    /// <summary>Exit codes of a shell for a command that cannot be started.</summary>
    private const int NotExecutable = 126;
    private const int NotFound = 127;
    private const int EndedBySignal = 128;
    private const string OwnProgram = "/proc/self/exe";

    /// <summary>Users left behind by the command: it is over, so they are not waited for.</summary>
    private const int UsersPatienceMs = 0;

    /// <summary>Runs the command in the mount, then takes the mount down and disposes it, whatever happened.</summary>
    /// <param name="mount">Just started.</param>
    /// <param name="folder">Working folder, relative to the mount point; "" for its root.</param>
    /// <param name="words">The command and its arguments, any bytes but NUL.</param>
    /// <param name="log">The log.</param>
    /// <returns>The command's exit code; 128 + n when signal n ended it, or came before it was started; 126 or 127 when it could not be started.</returns>
    public static int Run(ServedMount mount, string folder, IReadOnlyList<byte[]> words, Log log)
    {
        using var owned = mount;
        using var events = new MountEvents(
            mount, Signals.SIGTERM, Signals.SIGINT, Signals.SIGQUIT, Signals.SIGHUP, Signals.SIGUSR1, Signals.SIGUSR2, Signals.SIGCHLD);
        if (SignalSoFar(events) is { } signal)
        {
            mount.Complete();
            _ = MountEnd.TakeDown(mount, events, log, UsersPatienceMs); // what went wrong is in the log
            return EndedBySignal + signal;
        }

        var workingFolder = folder.Length == 0 ? mount.MountPoint : $"{mount.MountPoint}/{folder}";
        var error = Start(mount, workingFolder, words, out var pid);
        mount.Complete();
        var code = error switch
        {
            Errno.None => WaitFor(pid, mount, events, log),
            Errno.ENOENT or Errno.ENOTDIR => NotFound,
            _ => NotExecutable,
        };
        if (error != Errno.None)
        {
            log.Fail(Explain(error, workingFolder, folder, Utf8.Print(words[0]), mount.ServedDescriptor));
        }

        if (code != 0 && mount.Shortage() is { } shortage)
        {
            log.Warn(shortage);
        }

        _ = MountEnd.TakeDown(mount, events, log, UsersPatienceMs); // what went wrong is in the log; the job's own code counts
        return code;
    }

    /// <summary>The environment of the command: ours, and what builds as root in a container need.</summary>
    /// <param name="ours">Lines NAME=VALUE, any bytes but NUL: they are handed on as they are.</param>
    /// <param name="isRoot">Add what root lacks: Buck2 refuses to run as root unless told, and some tools stop without HOME.</param>
    /// <param name="workingFolder">PWD of the command; ours names another folder.</param>
    public static List<byte[]> EnvironmentOf(IReadOnlyList<byte[]> ours, bool isRoot, string workingFolder)
    {
        // What lets us in at a server is not the job's.
        var result = ours.Where(line => !line.AsSpan().StartsWith("PWD="u8)
            && !line.AsSpan().StartsWith("ANTARES_TOKEN="u8) && !line.AsSpan().StartsWith("ANTARES_HEADERS="u8)).ToList();
        if (isRoot)
        {
            // What the user set stays.
            AddIfMissing(result, "BUCK2_ALLOW_ROOT="u8, "1"u8);
            AddIfMissing(result, "HOME="u8, HomeOfRoot());
        }

        AddIfMissing(result, "PWD="u8, Encoding.UTF8.GetBytes(workingFolder));
        return result;
    }

    private static void AddIfMissing(List<byte[]> lines, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        foreach (var line in lines)
        {
            if (line.AsSpan().StartsWith(name))
            {
                return;
            }
        }

        lines.Add([.. name, .. value]);
    }

    /// <summary>The sixth field of root's line in /etc/passwd.</summary>
    private static byte[] HomeOfRoot()
    {
        var usual = "/root"u8.ToArray();
        if (HostPath.ReadAll("/etc/passwd", out var content) != Errno.None)
        {
            return usual;
        }

        var fields = Encoding.Latin1.GetString(content).Split('\n') // each byte comes back as it was
            .Select(line => line.Split(':'))
            .FirstOrDefault(parts => parts.Length > 5 && parts[2] == "0");
        return fields is { } root && root[5].Length > 0 ? Encoding.Latin1.GetBytes(root[5]) : usual;
    }

    private static Errno Start(ServedMount mount, string workingFolder, IReadOnlyList<byte[]> words, out int pid)
    {
        using var file = new CString(words[0].AsSpan());
        using var folder = new CString(workingFolder);
        using var arguments = CStringArray.OfBytes(words);
        using var environment = CStringArray.OfBytes(EnvironmentOf(GivenWords.Environment() ?? [], Process.Geteuid() == 0, workingFolder));
        var options = SpawnOptions.Inherit;
        options.WorkingDirectory = folder.Pointer;
        options.CloseFirst = mount.ServedDescriptor;

        // The command gets the caller's limit of open files, not the server's. Nothing else uses the mount yet, so the server can
        // do with that limit for the moment.
        var raised = Process.Getrlimit(Process.RLIMIT_NOFILE, out var ours);
        _ = FileLimit.Set(mount.CallersFileLimit); // lowering is always allowed
        var error = Spawn.PosixSpawn(file.Pointer, arguments.Pointer, environment.Pointer, options, out pid);
        if (raised == Errno.None)
        {
            _ = FileLimit.Set(ours); // up to the unchanged hard limit: always allowed
        }

        return error;
    }

    /// <summary>Why the command was not started: the kernel does not say whether the folder or the program is missing.</summary>
    private static string Explain(Errno error, string workingFolder, string folder, string word, int served)
    {
        var inFolder = folder.Length == 0 ? Errno.None : ErrorOfFolder(workingFolder, served);
        if (inFolder != Errno.None)
        {
            return $"--cd {folder}: {ErrnoText.Of(inFolder)}; name a folder that is in the mount";
        }

        var advice = error switch
        {
            Errno.ENOENT when word.Contains('/') => "; there is no such file, or the interpreter after its #! is missing",
            Errno.ENOENT => "; no such command in $PATH",
            _ => "",
        };
        return $"cannot run {word}{(folder.Length == 0 ? "" : $" in {folder}")}: {ErrnoText.Of(error)}{advice}";
    }

    /// <summary>Why nothing can be started in a folder of the mount: this process must not look itself, so it starts what is sure to be there.</summary>
    /// <returns>None: something can be started there, or this cannot be found out.</returns>
    private static Errno ErrorOfFolder(string workingFolder, int served)
    {
        if (HostPath.Open("/dev/null", Fcntl.O_WRONLY, 0, out var silence) != Errno.None || !HostPath.Exists(OwnProgram))
        {
            return Errno.None;
        }

        using var owned = new OwnedFd(silence);
        using var file = new CString(OwnProgram);
        using var folder = new CString(workingFolder);
        using var arguments = new CStringArray([OwnProgram, "--version"]);
        using var environment = new CStringArray([]);
        var options = SpawnOptions.Inherit;
        options.WorkingDirectory = folder.Pointer;
        options.Stdout = silence;
        options.CloseFirst = served;
        var error = Spawn.PosixSpawn(file.Pointer, arguments.Pointer, environment.Pointer, options, out var pid);
        if (error == Errno.None)
        {
            _ = Process.Waitpid(pid, out _, 0); // what it says is of no interest
        }

        return error;
    }

    /// <summary>A signal that came while the mount was made, when there was no command that could have had it.</summary>
    private static int? SignalSoFar(MountEvents events)
    {
        while (true)
        {
            var next = events.Wait(timeoutMs: 0);
            if (next.Kind != MountEventKind.Signal)
            {
                return null;
            }

            if (next.Signal != Signals.SIGCHLD)
            {
                return next.Signal;
            }
        }
    }

    private static int WaitFor(int pid, ServedMount mount, MountEvents events, Log log)
    {
        // What is here already came while the command was being started: the terminal may not have reached it.
        var isEarly = true;
        while (true)
        {
            var next = events.Wait(isEarly ? 0 : -1);
            switch (next.Kind)
            {
                case MountEventKind.Timeout:
                    isEarly = false;
                    break;
                case MountEventKind.Signal when next.Signal == Signals.SIGCHLD:
                    // All that ended: as the first process of a container we inherit orphans too.
                    while (Process.Waitpid(-1, out var status, Process.WNOHANG, out var reaped) == Errno.None && reaped > 0)
                    {
                        if (reaped == pid)
                        {
                            return Process.ExitCode(status);
                        }
                    }

                    break;
                case MountEventKind.Signal when isEarly || !next.FromTerminal:
                    _ = Process.Kill(pid, next.Signal); // gone already: its SIGCHLD is on the way
                    break;
                case MountEventKind.Detached:
                    log.Warn(MountEnd.DetachedText(mount.MountPoint));
                    break;
                case MountEventKind.Ended when mount.TakeAwayDead():
                    break;
                case MountEventKind.Ended:
                    log.Warn($"{mount.MountPoint} was unmounted while the command runs");
                    break;
                default:
                    break;
            }
        }
    }
}
