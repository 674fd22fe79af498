using System.Diagnostics;
using Antares.Aot.Cli;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Few descriptors, many files, no garbage collection, and nothing kept that the kernel has forgotten.</summary>
[Collection("Alone")]
public sealed class LimitMountTests
{
    private const int FewDescriptors = 1024;

    /// <summary>The runtime hands out memory to threads in pieces of 8 KiB, of which a thread leaves the rest of one or two.</summary>
    private const int BytesOfThread = 16 << 10;

    [MountFact]
    public void FiftyThousandFilesAndFiveThousandUnlinkedWithFewDescriptors()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch) { Wrapper = ["prlimit", $"--nofile={FewDescriptors}"] };
        _ = Probe.Check(mount.Lower, "mkdir d\nmany d low 2000\n");
        mount.Mount();
        string limits = File.ReadAllText($"/proc/{mount.ServerPid()}/limits");
        Assert.Matches(@"Max open files\s+1024\s+1024", limits);

        int files = TestEnvironment.Long ? 50_000 : 10_000;
        _ = Shell.Run(Probe.Path, ["create", mount.Root, "new", files.ToString()], 300).Must();
        Assert.Equal(files, CountFiles(mount.Root, "new"));

        // Each client holds 500: the clients have a limit of their own.
        int clients = TestEnvironment.Long ? 10 : 4;
        Process[] holders = [.. Enumerable.Range(0, clients).Select(i => Shell.Start(Probe.Path, ["unlinked", mount.Root, $"held{i}-", "500"]))];
        try
        {
            foreach (Process holder in holders)
            {
                string? line = holder.StandardOutput.ReadLine();
                Assert.True(line == "held", $"{line} {(line == null ? holder.StandardError.ReadToEnd() : "")}");
            }
            Assert.Equal(0, CountFiles(mount.Root, "held"));
            // All of them at once are written and read back a second time, then closed.
            foreach (Process holder in holders)
                holder.StandardInput.Close();
            foreach (Process holder in holders)
            {
                string output = holder.StandardOutput.ReadToEnd() + holder.StandardError.ReadToEnd();
                Assert.True(holder.WaitForExit(60_000) && holder.ExitCode == 0, output);
            }
        }
        finally
        {
            foreach (Process holder in holders)
            {
                if (!holder.HasExited)
                    holder.Kill();
                holder.Dispose();
            }
        }

        AssertForgotten(mount);
        mount.Unmount();
        Parity.AssertWorkIsClean(mount.Work!);
        Assert.Equal(files, CountFiles(mount.Upper!, "new"));
    }

    /// <summary>Where no thread is to be had, what would need one is refused, and the mount goes on.</summary>
    [MountFact]
    public void WithoutFurtherThreadsTheMountGoesOn()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder);
        mount.Mount();
        using (new Fault(mount.ServerPid(), "clone,clone3", "EAGAIN"))
        {
            ShellResult refused = mount.Try("cl", "show", mount.Root);
            Assert.True(refused.ExitCode == ExitCode.Mount && refused.Error.Contains("no thread is to be had", StringComparison.Ordinal), refused.ToString());
            _ = Probe.Check(mount.Root, "put f x => ok\ncat f => 'x'\n");
        }

        _ = Probe.Check(mount.Root, "put g y => ok\ncat g => 'y'\n");
        Assert.Contains("its source is no server", mount.Try("cl", "show", mount.Root).Error, StringComparison.Ordinal);
    }

    /// <summary>A read of the device that finds no memory is not the end of the mount.</summary>
    [MountFact]
    public void AReadWithoutMemoryIsNotTheEnd()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder);
        mount.Mount();
        using (Process tracer = Shell.Start("strace", ["-f", "-p", $"{mount.ServerPid()}", "-o", scratch.Join("trace"), "-e", "trace=read", "-e", "inject=read:error=ENOMEM:when=1..5"]))
        {
            Assert.Contains("attached", tracer.StandardError.ReadLine());
            _ = Probe.Check(mount.Root, "put f x => ok\ncat f => 'x'\nput g y => ok\n");
            _ = Shell.Run("kill", ["-INT", $"{tracer.Id}"]);
            Assert.True(tracer.WaitForExit(20_000));
        }

        Assert.Contains("ENOMEM (Cannot allocate memory) (INJECTED)", File.ReadAllText(scratch.Join("trace")), StringComparison.Ordinal);
        _ = Probe.Check(mount.Root, "cat g => 'y'\nput h z => ok\n");
        mount.Unmount();
    }

    /// <summary>After the kernel dropped its caches nothing is held for it but the root.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void DroppedCachesAreForgotten(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        _ = Probe.Check(mount.Lower, "mkdirp d/e/f\nmany d low 1000\nmany d/e low 1000\nput d/e/f/x y\nput d/e/f/z y\nlink d/e/f/x d/e/hard\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, """
            open keep d/low5 RDWR => ok
            open gone d/low6 RDWR => ok
            write gone x => ok
            unlink d/low6 => ok
            rename d/e e => ok
            app e/low7 x => ok
            unlink e/f/x => ok
            unlink e/f/z => ok
            many e up 500 => ok
            rmtree d => ok
            ls e
            telldir e => ok
            churn e 0 => ok
            open tmp e TMPFILE|RDWR => ok
            write tmp x => ok
            """);
        _ = Shell.Bash("ls -lR \"$R\" > /dev/null; find \"$R\" -name '*5*' > /dev/null", environment: ("R", mount.Root)).Must();
        Assert.True(mount.Gauge("inodes_looked_up") > 100);
        AssertForgotten(mount);
    }

    /// <summary>What many entries took of the server's memory comes back when they are deleted and forgotten.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void MemoryOfDeletedEntriesComesBack(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind, "--volatile");
        mount.Mount();
        _ = Shell.Run(Probe.Path, ["entries", Path.Combine(mount.Root, "warm"), "1000"], 60).Must();
        AssertForgotten(mount);
        long before = OwnMemory(mount.ServerPid());
        int entries = TestEnvironment.Long ? 100_000 : 40_000;
        _ = Shell.Run(Probe.Path, ["entries", Path.Combine(mount.Root, "d"), entries.ToString()], 300).Must();
        AssertForgotten(mount);
        long after = OwnMemory(mount.ServerPid());
        // 40,000 entries took more than 7 MiB.
        Assert.True(after - before < 2 * 1024, $"{before} KiB before, {after} KiB after {entries} entries were made and deleted");
        mount.Unmount();
        Assert.Empty(Directory.GetFileSystemEntries(mount.Upper!));
    }

    /// <summary>RssAnon and RssShmem of a process, in KiB.</summary>
    private static long OwnMemory(int pid) =>
        File.ReadLines($"/proc/{pid}/status").Where(l => l.StartsWith("RssAnon:", StringComparison.Ordinal) || l.StartsWith("RssShmem:", StringComparison.Ordinal))
            .Sum(l => long.Parse(l.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]));

    /// <summary>
    /// No request allocates managed memory: what the server allocates meanwhile is what its answers to this test's own questions take, and the threads that it
    /// starts on a machine where requests wait.
    /// </summary>
    [MountFact]
    public void NoGarbageCollectionOverManyRequests()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "mkdir d\nmany d low 2000\ngen big 3000000 1\n");
        mount.Mount();
        // What is loaded once is loaded before the count starts.
        _ = Shell.Run(Probe.Path, ["mixed", mount.Root, "2000", "9"], 120).Must();
        long target = TestEnvironment.Long ? 1_000_000 : 100_000;
        long collections = mount.Gauge("gc_collections"), start = mount.Requests().Values.Sum(), done = 0;
        long first = mount.Gauge("gc_allocated_bytes"), allocated = mount.Gauge("gc_allocated_bytes");
        long answer = allocated - first, threads = mount.Gauge("fuse_threads_started");
        int round = 1;
        for (; done < target; round++)
        {
            _ = Shell.Bash($"\"$PROBE\" mixed \"$R\" 5000 {round} & one=$!; \"$PROBE\" mixed \"$R/d\" 5000 {round} & two=$!; wait $one && wait $two", 300,
                environment: [("PROBE", Probe.Path), ("R", mount.Root)]).Must();
            done = mount.Requests().Values.Sum() - start;
            Assert.True(round < 1000, $"only {done} requests after {round} rounds");
        }

        threads = mount.Gauge("fuse_threads_started") - threads;
        int answers = round + 2;
        allocated = mount.Gauge("gc_allocated_bytes") - allocated - (answers * answer) - (threads * BytesOfThread);
        string told = $"{done} requests: {allocated} bytes allocated beside {answers} answers of {answer} bytes and the start of {threads} threads";
        // One object for each request would be 24 bytes.
        Assert.True(allocated < 16 * done, told);
        Assert.True(mount.Gauge("gc_collections") == collections, $"{told}; {mount.Gauge("gc_collections") - collections} collections");
    }

    /// <summary>With one cached descriptor and no privilege, files created 0444 or made 000 are still written by those that hold them open.</summary>
    [MountFact]
    public void APlainUserAddsReadOnlyObjectsToGit()
    {
        using var scratch = new ScratchFolder();
        string script = Path.Combine(AppContext.BaseDirectory, "plain-user.sh");
        File.WriteAllText(script, PlainUserScript);
        ShellResult result = Shell.Run("unshare", ["--mount", "/bin/bash", script], 120,
            environment: [("S", scratch.Path), ("BIN", TestEnvironment.Binary), ("PROBE", Probe.Path)]);
        Assert.Contains("plain user OK", result.Must());
    }

    /// <summary>Runs in a mount namespace of its own, since many hosts keep /dev/fuse to root.</summary>
    private const string PlainUserScript = """
        set -euo pipefail
        mknod "$S/fuse" c 10 229 && chmod 666 "$S/fuse" && mount --bind "$S/fuse" /dev/fuse
        cd "$S"
        mkdir -p lower/src upper work mnt state home
        for i in $(seq 300); do echo "int f$i;" > lower/src/f$i.c; done
        chown -R 1000:1000 .
        cp "$PROBE" probe && cp "$BIN" antares-aot && chmod 755 probe antares-aot
        cat > user.sh <<'EOS'
        set -euo pipefail
        export HOME=$PWD/home ANTARES_STATE_DIR=$PWD/state GIT_CONFIG_NOSYSTEM=1
        ./antares-aot mount "dir:$PWD/lower" "$PWD/mnt" --upper "$PWD/upper" --work "$PWD/work" --fd-cache 1
        trap './antares-aot umount "$PWD/mnt" || fusermount3 -uz "$PWD/mnt"' EXIT
        (
            cd mnt
            git init -q . && git config user.email a@b && git config user.name n
            git add -A && git commit -q -m first && git status --porcelain | wc -l | grep -qx 0 && git gc -q && git fsck --full
            ../probe run . > ../answers <<'EOP'
        open a ro CREAT|RDWR 444
        open b ro2 CREAT|RDWR 0
        open c plain CREAT|RDWR 644
        fchmod c 0
        open d src/f1.c RDWR
        fchmod d 0
        put other x
        put other2 x
        cat src/f2.c
        write a hello
        write b hello
        write c hello
        pwrite d HELLO 0
        pread a 5 0
        pread b 5 0
        pread c 5 0
        pread d 5 0
        fsync a
        ftruncate b 3
        unlink ro
        write a again
        pread a 10 0
        unlink src/f3.c
        rename src moved
        put moved/f3.c again
        app moved/f5.c more
        setxattr moved/f5.c user.x y
        EOP
            if grep -nE '^E[A-Z]+' ../answers; then echo "a call failed"; exit 1; fi
            [ "$(grep -cx "'hello'" ../answers)" = 3 ] && [ "$(grep -cx "'HELLO'" ../answers)" = 1 ] && [ "$(grep -cx "'helloagain'" ../answers)" = 1 ]
        )
        ./antares-aot umount "$PWD/mnt"
        trap - EXIT
        ./antares-aot mount "dir:$PWD/lower" "$PWD/mnt" --upper "$PWD/upper" --work "$PWD/work" --fd-cache 1
        trap './antares-aot umount "$PWD/mnt" || fusermount3 -uz "$PWD/mnt"' EXIT
        [ ! -e mnt/src ] && [ "$(cat mnt/moved/f3.c)" = again ] && [ "$(ls mnt/moved | wc -l)" = 300 ]
        ./antares-aot umount "$PWD/mnt"
        trap - EXIT
        EOS
        setpriv --reuid=1000 --regid=1000 --clear-groups bash user.sh
        [ "$(ls lower/src | wc -l)" = 300 ] && [ -z "$(find work -mindepth 2)" ]
        echo plain user OK
        """;

    private static void AssertForgotten(AntaresMount mount)
    {
        long left = 0;
        for (int i = 0; i < 50; i++)
        {
            _ = Shell.Bash("sync; echo 2 > /proc/sys/vm/drop_caches").Must();
            left = mount.Gauge("inodes_looked_up");
            if (left <= 1)
                return;
            Thread.Sleep(100);
        }
        Assert.Fail($"{left} inodes are still looked up after the kernel dropped its caches; only the root should be");
    }

    private static int CountFiles(string root, string prefix) =>
        int.Parse(Shell.Bash($"find \"$R\" -type f -path '*/{prefix}*' | wc -l", 120, environment: ("R", root)).Must());
}
