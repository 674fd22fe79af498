using System.Runtime.InteropServices;
using System.Text;
using Antares.Aot.Tests.Support;
using Antares.Interop;
using static Antares.Interop.Fcntl;

namespace Antares.Aot.Tests.Abi;

/// <summary>Children, signals, waiting calls and sockets.</summary>
public sealed unsafe partial class ProcessTests
{
    [Fact]
    public void GroupsOfThisProcess()
    {
        uint[] groups = [.. File.ReadLines("/proc/self/status").First(l => l.StartsWith("Groups:", StringComparison.Ordinal))[7..]
            .Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries).Select(uint.Parse), Process.Getegid()];
        Assert.All(groups, group => Assert.True(Process.IsInGroup(group)));
        Assert.False(Process.IsInGroup(Enumerable.Range(60_000, 1000).Select(i => (uint)i).First(i => !groups.Contains(i))));
    }

    [Fact]
    public void AChildGetsArgumentsEnvironmentAndFolder()
    {
        string output = Shell("echo \"$0 $1 $ANTARES $(pwd)\"; exit 7", ["zero", "one two"], ["ANTARES=set", "PATH=/usr/bin:/bin"], "/usr", out int status);
        Assert.Equal("zero one two set /usr\n", output);
        Assert.True(Process.Exited(status));
        Assert.Equal(7, Process.ExitCode(status));
    }

    [Fact]
    public void AChildThatDiesOfASignalShowsIt()
    {
        _ = Shell("kill -9 $$", [], [], null, out int status);
        Assert.False(Process.Exited(status));
        Assert.Equal(128 + Signals.SIGKILL, Process.ExitCode(status));
    }

    [Fact]
    public void AChildHasAnEmptySignalMaskAndDefaultHandlers()
    {
        string text = "";
        OwnThread.Run(() =>
        {
            sigset_t set = Signals.SetOf(Signals.SIGUSR1, Signals.SIGTERM);
            Assert.Equal(Errno.None, Signals.Block(set));
            text = Shell("exec grep -E '^Sig(Blk|Ign)' /proc/self/status", [], ["PATH=/usr/bin:/bin"], null, out _);
        });
        ulong[] sets = [.. text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => Convert.ToUInt64(line.Split('\t')[1], 16))];
        // glibc lets a child ignore 32 and 33, which are its own.
        Assert.Equal([0UL, 0UL], [sets[0], sets[1] & ~(3UL << 31)]);
        // The control: we do ignore SIGPIPE, as every .NET process does.
        ulong ours = Convert.ToUInt64(File.ReadLines("/proc/self/status").First(l => l.StartsWith("SigIgn:", StringComparison.Ordinal)).Split('\t')[1], 16);
        Assert.NotEqual(0UL, ours & (1UL << (Signals.SIGPIPE - 1)));
    }

    [Theory]
    [InlineData("/nowhere/program", null, Errno.ENOENT)]
    [InlineData("/bin/sh", "/nowhere", Errno.ENOENT)]
    [InlineData("/etc/passwd", null, Errno.EACCES)]
    public void SpawnTellsWhyNot(string program, string? folder, Errno expected)
    {
        using CString file = new(program), cwd = new(folder ?? "/");
        using CStringArray argv = new([program]), envp = new([]);
        SpawnOptions options = SpawnOptions.Inherit;
        options.WorkingDirectory = folder is null ? null : cwd.Pointer;
        Assert.Equal(expected, Spawn.PosixSpawn(file, argv.Pointer, envp.Pointer, options, out int pid));
        Assert.Equal(-1, pid);
    }

    [Fact]
    public void WaitingForNoChildIsEchild()
    {
        Assert.Equal(Errno.ECHILD, Process.Waitpid(1, out _, 0));
        Assert.Equal(Errno.ESRCH, Process.Kill(0x3FFFFFFF, 0));
    }

    [Fact]
    public void ABlockedSignalIsWaitedFor() => OwnThread.Run(() =>
    {
        sigset_t set = Signals.SetOf(Signals.SIGUSR1, Signals.SIGTERM);
        Assert.Equal(Errno.None, Signals.Block(set));
        Assert.Equal(Errno.None, Signals.Blocked(out sigset_t blocked));
        Assert.True(Signals.Contains(blocked, Signals.SIGUSR1) && !Signals.Contains(blocked, Signals.SIGUSR2));
        Raise(Process.Gettid(), Signals.SIGUSR1);
        Assert.Equal(Errno.None, Signals.WaitSignal(set, out int signal));
        Assert.Equal(Signals.SIGUSR1, signal);

        Assert.Equal(Errno.None, Signals.SignalFd(set, Signals.SFD_CLOEXEC, out int fd));
        using OwnedFd owner = new(fd);
        pollfd wait = new() { fd = fd, events = Signals.POLLIN };
        Assert.Equal(Errno.None, Signals.Poll(&wait, 1, 20, out int ready));
        Assert.Equal(0, ready);
        Raise(Process.Gettid(), Signals.SIGTERM);
        Assert.Equal(Errno.None, Signals.Poll(&wait, 1, -1, out ready));
        Assert.Equal((1, Signals.POLLIN), (ready, wait.revents));
        signalfd_siginfo info;
        Assert.Equal(Errno.None, FileIo.Read(fd, &info, (nuint)sizeof(signalfd_siginfo), out nuint got));
        Assert.Equal(((nuint)sizeof(signalfd_siginfo), (uint)Signals.SIGTERM), (got, info.ssi_signo));
    });

    [Fact]
    public void AnInterruptedReadIsMadeAgain()
    {
        // A handler without SA_RESTART: libc's abs, which takes an int and harms nobody. Its struct is 152 bytes on x64.
        byte* action = stackalloc byte[152], old = stackalloc byte[152];
        new Span<byte>(action, 152).Clear();
        *(nint*)action = NativeLibrary.GetExport(NativeLibrary.Load("libc.so.6"), "abs");
        Assert.Equal(0, sigaction(Signals.SIGUSR2, action, old));
        try
        {
            // The control: a bare read really is interrupted, so that the wrapped one has something to survive.
            Assert.Equal((-1, Errno.EINTR), ReadWhileSignalled((fd, buffer) => ((int)read(fd, (void*)buffer, 1), (Errno)Marshal.GetLastPInvokeError()), sendByte: false));
            Assert.Equal((1, Errno.None), ReadWhileSignalled(
                (fd, buffer) =>
                {
                    Errno error = FileIo.Read(fd, (void*)buffer, 1, out nuint got);
                    return ((int)got, error);
                },
                sendByte: true));
        }
        finally
        {
            Assert.Equal(0, sigaction(Signals.SIGUSR2, old, null));
        }
    }

    [Fact]
    public void ACollectionDoesNotWaitForABlockedCall()
    {
        int* pipe = stackalloc int[2];
        Assert.Equal(Errno.None, Fd.Pipe2(pipe, O_CLOEXEC));
        using OwnedFd readEnd = new(pipe[0]), writeEnd = new(pipe[1]);
        int tid = 0;
        Thread reader = new(() =>
        {
            Volatile.Write(ref tid, Process.Gettid());
            byte value;
            Assert.Equal(Errno.None, FileIo.Read(readEnd.Value, &value, 1, out _));
        });
        reader.Start();
        AwaitSleep(ref tid);
        Thread collection = new(() => GC.Collect(2, GCCollectionMode.Forced, blocking: true)) { IsBackground = true };
        collection.Start();
        Assert.True(collection.Join(TimeSpan.FromSeconds(30)), "a collection waited for a thread that is blocked in read");
        byte one = 1;
        Assert.Equal(Errno.None, FileIo.Write(writeEnd.Value, &one, 1, out _));
        reader.Join();
    }

    [Fact]
    public void SocketsConnectAndTellWhoIsThere()
    {
        string folder = Directory.CreateTempSubdirectory("antares-socket-").FullName;
        try
        {
            using CString path = new(Path.Combine(folder, "s")), tooLong = new(folder + "/" + new string('s', 108)), missing = new(folder + "/none");
            Assert.Equal(Errno.None, Sockets.Listen(path, 0x180, out int server));
            using OwnedFd serverOwner = new(server);
            stat attributes;
            Assert.Equal(Errno.None, Attributes.Fstatat(AT_FDCWD, path, &attributes, 0));
            Assert.Equal(StatMode.S_IFSOCK | 0x180, attributes.st_mode);
            Assert.Equal(Errno.EADDRINUSE, Sockets.Listen(path, 0x180, out _));
            Assert.Equal(Errno.ENAMETOOLONG, Sockets.Listen(tooLong, 0x180, out _));
            Assert.Equal(Errno.ENOENT, Sockets.Connect(missing, out _));
            Assert.Equal(Errno.None, Sockets.Connect(path, out int client));
            using OwnedFd clientOwner = new(client);
            Assert.Equal(Errno.None, Sockets.Accept(server, out int connection));
            using OwnedFd connectionOwner = new(connection);
            Assert.Equal(Errno.None, Sockets.PeerCredentials(connection, out ucred peer));
            Assert.Equal((Process.Getpid(), Process.Geteuid()), (peer.pid, peer.uid));
            Assert.Equal(Errno.None, Sockets.Shutdown(client, Sockets.SHUT_RDWR));
            byte value;
            Assert.Equal(Errno.None, FileIo.Read(connection, &value, 1, out nuint got));
            Assert.Equal((nuint)0, got);
            serverOwner.Dispose();

            // A process that another test is just starting holds a copy of the listening socket until its exec.
            Errno refused = Sockets.Connect(path, out int late);
            for (int attempt = 0; refused == Errno.None && attempt < 500; attempt++)
            {
                Assert.Equal(Errno.None, Fd.Close(late));
                Thread.Sleep(10);
                refused = Sockets.Connect(path, out late);
            }

            Assert.Equal(Errno.ECONNREFUSED, refused);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void LimitsAndRights()
    {
        Assert.Equal(Errno.None, Process.Getrlimit(Process.RLIMIT_NOFILE, out rlimit limit));
        Assert.InRange(limit.rlim_cur, 1UL, limit.rlim_max);
        Assert.Equal(Errno.None, Process.Setrlimit(Process.RLIMIT_NOFILE, limit));
        Assert.Equal(Errno.EINVAL, Process.Getrlimit(1000, out _));
        ulong effective = Convert.ToUInt64(
            File.ReadLines("/proc/thread-self/status").First(l => l.StartsWith("CapEff:", StringComparison.Ordinal)).Split('\t')[1], 16);
        for (int capability = 0; capability < 41; capability++)
        {
            Assert.Equal((effective & (1UL << capability)) != 0, Process.HasCapability(capability));
        }

        Assert.Equal(Errno.None, Process.Getpgid(0, out int group));
        Assert.True(group > 0);
        Assert.Equal(Errno.None, Process.Prctl(Process.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0, out int noNewPrivs));
        Assert.InRange(noNewPrivs, 0, 1);
        Assert.Equal(Environment.ProcessId, Process.Getpid());
    }

    [Theory]
    [InlineData("plain", "plain")]
    [InlineData("tab\there", "tab\uFFFDhere")]
    [InlineData("esc\u001b[2J", "esc\uFFFD[2J")]
    public void BytesPrintAsOneHarmlessLine(string bytes, string expected) =>
        Assert.Equal(expected, Utf8.Print(Encoding.UTF8.GetBytes(bytes)));

    [Fact]
    public void BytesThatAreNotUtf8PrintToo()
    {
        Assert.Equal("a\uFFFDb", Utf8.Print([(byte)'a', 0xFF, (byte)'b']));
        Assert.Throws<ArgumentException>(() => new CString("with\0nul"));
    }

    private static (int Got, Errno Error) ReadWhileSignalled(Func<int, nint, (int, Errno)> readOnce, bool sendByte)
    {
        int* pipe = stackalloc int[2];
        Assert.Equal(Errno.None, Fd.Pipe2(pipe, O_CLOEXEC));
        using OwnedFd readEnd = new(pipe[0]), writeEnd = new(pipe[1]);
        (int, Errno) answer = default;
        int tid = 0;
        Thread reader = new(() =>
        {
            byte value = 0;
            Volatile.Write(ref tid, Process.Gettid());
            answer = readOnce(readEnd.Value, (nint)(&value));
        });
        reader.Start();
        AwaitSleep(ref tid);
        Raise(tid, Signals.SIGUSR2);
        if (sendByte)
        {
            Thread.Sleep(50);
            AwaitSleep(ref tid);
            byte one = 1;
            Assert.Equal(Errno.None, FileIo.Write(writeEnd.Value, &one, 1, out _));
        }

        Assert.True(reader.Join(TimeSpan.FromSeconds(30)), "the read never returned");
        return answer;
    }

    /// <summary>Until the thread is blocked in a system call on a pipe.</summary>
    private static void AwaitSleep(ref int tid)
    {
        for (int i = 0; i < 3000; i++)
        {
            int thread = Volatile.Read(ref tid);
            if (thread != 0 && File.ReadAllText($"/proc/self/task/{thread}/wchan") is string where && where.Contains("pipe_read", StringComparison.Ordinal))
            {
                return;
            }

            // Without wchan (it may be hidden) the state must do: S, and again S a while later.
            if (thread != 0 && i > 200 && File.ReadAllText($"/proc/self/task/{thread}/stat").Split(") ")[^1].StartsWith('S'))
            {
                return;
            }

            Thread.Sleep(5);
        }

        Assert.Fail("the thread did not get to its read");
    }

    private static string Shell(string script, string[] arguments, string[] environment, string? folder, out int status)
    {
        using CString file = new("sh"), cwd = new(folder ?? "/");
        using CStringArray argv = new(["sh", "-c", script, .. arguments]), envp = new(environment);
        int* pipe = stackalloc int[2];
        Assert.Equal(Errno.None, Fd.Pipe2(pipe, O_CLOEXEC));
        using OwnedFd readEnd = new(pipe[0]), writeEnd = new(pipe[1]);
        SpawnOptions options = SpawnOptions.Inherit;
        options.Stdout = writeEnd.Value;
        options.WorkingDirectory = folder is null ? null : cwd.Pointer;
        Assert.Equal(Errno.None, Spawn.PosixSpawn(file, argv.Pointer, envp.Pointer, options, out int pid));
        writeEnd.Dispose();
        byte* buffer = stackalloc byte[4096];
        StringBuilder output = new();
        while (true)
        {
            Assert.Equal(Errno.None, FileIo.Read(readEnd.Value, buffer, 4096, out nuint got));
            if (got == 0)
            {
                break;
            }

            output.Append(Encoding.UTF8.GetString(buffer, (int)got));
        }

        Assert.Equal(Errno.None, Process.Waitpid(pid, out status, 0));
        return output.ToString();
    }

    // To one thread: a signal to the process would take any thread that does not block it.
    private static void Raise(int tid, int signal) => Assert.Equal(0, tgkill(Process.Getpid(), tid, signal));

    [LibraryImport("libc")]
    private static partial int tgkill(int pid, int tid, int signal);

    [LibraryImport("libc")]
    private static partial int sigaction(int signal, byte* action, byte* old);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint read(int fd, void* buffer, nuint count);
}
