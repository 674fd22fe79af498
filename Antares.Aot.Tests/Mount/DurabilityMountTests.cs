using System.Diagnostics;
using System.Globalization;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Full disks, quotas, few descriptors, layers that fail or go: the right errno, nothing torn, nothing left, and all works again afterwards.</summary>
public sealed class DurabilityMountTests
{
    public static TheoryData<MountKind, string> Disks()
    {
        var data = new TheoryData<MountKind, string>();
        // An image would lie on the small disk too; what writes meet there is the upper's matter, the same for every source.
        foreach (MountKind kind in TestEnvironment.Kinds.Where(k => k is not (MountKind.Plain or MountKind.AntaresImage)))
        {
            data.Add(kind, "tmpfs");
            data.Add(kind, "ext4");
        }
        return data;
    }

    /// <summary>A disk that takes long to sync keeps only who asked for it, from the first time on: the thread that waits for it is replaced.</summary>
    [MountTheory, InlineData(""), InlineData("--writeback")]
    public void ASlowSyncKeepsNobodyElse(string option)
    {
        const int SyncMs = 1500, SeenMs = 700;
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder, option.Length > 0 ? [option] : []);
        for (int i = 0; i < 3; i++)
        {
            File.WriteAllText(Path.Join(mount.Lower, $"lower{i}"), "a");
        }

        mount.Mount();
        using Process tracer = Shell.Start("strace", ["-f", "-p", $"{mount.ServerPid()}", "-o", scratch.Join("trace"), "-e", "trace=fsync,fdatasync", "-e", $"inject=fsync,fdatasync:delay_exit={SyncMs}000"]);
        Assert.Contains("attached", tracer.StandardError.ReadLine());
        for (int round = 0; round < 3; round++)
        {
            string path = Path.Join(mount.Root, $"lower{round}");
            var all = Stopwatch.StartNew();
            var slow = Task.Run(() => File.AppendAllText(path, "b")); // its copy is synced
            Thread.Sleep(300);
            var other = Stopwatch.StartNew();
            File.WriteAllText(Path.Join(mount.Root, $"other{round}"), "c");
            Assert.True(other.ElapsedMilliseconds < SeenMs, $"round {round}: {other.ElapsedMilliseconds} ms");
            Assert.False(slow.IsCompleted, "nothing was synced");
            slow.Wait();
            Assert.True(all.ElapsedMilliseconds >= SyncMs, $"round {round}: nothing was synced in {all.ElapsedMilliseconds} ms");
            Assert.Equal("ab", File.ReadAllText(path));
        }

        tracer.Kill();
    }

    /// <summary>The same answers as kernel overlayfs, but that opening never fails: the write that follows does.</summary>
    [MountTheory, MemberData(nameof(Disks))]
    public void ADiskThatIsFull(MountKind kind, string type)
    {
        using var outer = new ScratchFolder();
        using var disk = new SmallDisk(outer, type, 16);
        using var scratch = new ScratchFolder(disk.Path);
        using IMountUnderTest mount = Parity.Create(kind, scratch);
        _ = Probe.Check(mount.Lower, "gen big 9000000 1\nput small low\nmkdir d\ngen d/f 5000 2\nput d/gone x\n");
        string lower = Probe.Digest(mount.Lower, "iD");
        mount.Mount();
        _ = Probe.Check(mount.Root, "put mine x => ok\nopen ro big RDONLY => ok\n");
        string before = Probe.Digest(mount.Root);
        _ = Probe.Check(mount.Root, "app big more => ENOSPC\n"); // the copy finds no room
        Parity.AssertSameTree("before", before, "after a copy-up that found no room", Probe.Digest(mount.Root));
        string full = Shell.Bash("cd \"$R\"; for b in 65536 4096 1; do dd if=/dev/zero bs=$b oflag=append conv=notrunc of=fill 2>&1 | grep -o 'No space left' || exit 9; done; sync", environment: ("R", mount.Root)).Must();
        Assert.Equal(3, full.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        // Kernel overlayfs copies all of a file that is about to be cut.
        string cut = kind == MountKind.Kernel ? "*" : "ok";
        _ = Probe.Check(mount.Root, $"""
            app d/f more => ENOSPC
            hash d/f
            cat small => 'low'
            unlink fill => ok
            unlink d/gone => ok
            app d/f more => ok
            truncate big 100 => {cut}
            app big more => {cut}
            rename d e => *
            open r big RDONLY => ok
            check r 0 100 1 => ok
            """);
        Parity.CheckAfterwards(mount, scratch, lower, kernelSeesTheSame: true);
    }

    /// <summary>While a call waits for the room of a removed file, another thread answers the others.</summary>
    [MountFact]
    public void WhoWaitsForRoomKeepsNobody()
    {
        using var outer = new ScratchFolder();
        using var disk = new SmallDisk(outer, "tmpfs", 16);
        using var scratch = new ScratchFolder(disk.Path);
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder, "--threads", "1");
        mount.Mount();
        const string FullWhileOthersLook = """
            exec 9> held; dd if=/dev/zero bs=65536 >&9 2> /dev/null; rm held # it stays open: the wait is in vain
            (while :; do i=$((i + 1)); [ ! -e "none$i" ] && echo "$EPOCHREALTIME"; done > "$T/looks") & looks=$!
            until [ -s "$T/looks" ]; do sleep 0.01; done
            began=$EPOCHREALTIME
            dd if=/dev/zero of=more bs=1M count=1 2>&1 | grep -o 'No space left'
            ended=$EPOCHREALTIME
            sleep 0.05; kill $looks; wait $looks 2> /dev/null
            rm more; exec 9>&-
            awk -v a="$began" -v b="$ended" 'last && $1 > a && last < b { if ($1 - last > gap) gap = $1 - last } { last = $1 } END { printf "%d %d\n", (b - a) * 1000, gap * 1000 }' "$T/looks"
            """;
        // Whoever is kept waits as long as the write does, each time. On a busy machine the one that looks may have to wait for a processor.
        string told = "";
        for (int attempt = 0; attempt < 3; attempt++)
        {
            told = Shell.Bash(FullWhileOthersLook, directory: mount.Root, environment: ("T", outer.Path)).Must();
            string[] lines = told.Split('\n');
            Assert.Equal("No space left", lines[0]);
            string[] times = lines[1].Split(' ');
            int took = int.Parse(times[0], CultureInfo.InvariantCulture);
            Assert.InRange(took, 100, 5000);
            if (int.Parse(times[1], CultureInfo.InvariantCulture) < took / 2)
            {
                return;
            }
        }

        Assert.Fail($"others waited as long as the write (milliseconds of the write, of the longest look): {told}");
    }

    /// <summary>Any call of a copy-up may fail: that errno is the answer, the file stays as it was, and the next try does it.</summary>
    [MountTheory]
    [InlineData("openat,openat2", "EDQUOT"), InlineData("copy_file_range,pwrite64", "EDQUOT"), InlineData("copy_file_range,pwrite64", "EIO"), InlineData("fsync", "EIO")]
    [InlineData("fchown,fchownat", "EDQUOT"), InlineData("fchmod,fchmodat", "EIO"), InlineData("utimensat", "EIO"), InlineData("renameat,renameat2,linkat", "EDQUOT")]
    [InlineData("fsetxattr,setxattr,lsetxattr", "EDQUOT"), InlineData("mkdirat", "EDQUOT")]
    public void EachCallOfACopyUpFails(string calls, string errno)
    {
        foreach (MountKind kind in new[] { MountKind.AntaresFolder, MountKind.AntaresDir })
        {
            using var scratch = new ScratchFolder();
            using var mount = new AntaresMount(scratch, kind);
            _ = Probe.Check(mount.Lower, "mkdirp a/b\ngen a/b/f 200000 1\nchmod a/b/f 640\nchown a/b/f 12 34\nsetxattr a/b/f user.k v\nutimens a/b/f 1.1 2.2\n");
            string lower = Probe.Digest(mount.Lower, "iD");
            mount.Mount();
            string before = Probe.Digest(mount.Root);
            using (new Fault(mount.ServerPid(), calls, errno))
                _ = Probe.Check(mount.Root, $"app a/b/f more => {errno}\n");
            Parity.AssertSameTree("before", before, $"after a copy-up in which {calls} failed", Probe.Digest(mount.Root));
            Assert.Contains(errno, mount.Try("errors", mount.Root).Must());
            _ = Probe.Check(mount.Root, "app a/b/f more => ok\nstat a/b/f mugs => 640 12 34 200004\ngetxattr a/b/f user.k => 'v'\n");
            Parity.CheckAfterwards(mount, scratch, lower, kernelSeesTheSame: true);
        }
    }

    /// <summary>What fails below is told, and what was there before still is.</summary>
    [MountTheory]
    [InlineData("pwrite64", "EDQUOT", "app up more"), InlineData("pwrite64", "EIO", "app up more"), InlineData("ftruncate", "EIO", "truncate up 1"), InlineData("fsync", "EIO", "fsync f")]
    [InlineData("fdatasync", "EIO", "fdatasync f"), InlineData("fallocate", "EDQUOT", "fallocate f 0 0 100000"), InlineData("renameat,renameat2", "EDQUOT", "rename up other")]
    [InlineData("linkat,renameat,renameat2", "EDQUOT", "unlink low"), InlineData("mkdirat", "EDQUOT", "mkdir new"), InlineData("symlinkat", "EDQUOT", "symlink x new")]
    [InlineData("linkat", "EDQUOT", "link up new"), InlineData("unlinkat,renameat,renameat2", "EIO", "unlink up"), InlineData("setxattr,lsetxattr,fsetxattr", "EDQUOT", "setxattr up user.x y")]
    [InlineData("openat,openat2", "EDQUOT", "put new x"), InlineData("mknodat", "EDQUOT", "mkfifo new"), InlineData("pread64", "EIO", "cat cold")]
    public void ACallOfTheUpperFails(string calls, string errno, string line)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder);
        _ = Probe.Check(mount.Lower, "put low x\nmkdir d\n");
        string lower = Probe.Digest(mount.Lower, "iD");
        mount.Mount();
        _ = Probe.Check(mount.Root, "put up content => ok\nput cold content => ok\n");
        // "cold" must be asked for: a new mount's kernel has no page of it.
        mount.Unmount();
        mount.Mount();
        string[] before = Names(mount.Root);
        using (new Fault(mount.ServerPid(), calls, errno))
            _ = Probe.Check(mount.Root, $"open f up RDWR => ok\n{line} => {errno}\n");
        Assert.Equal(before, Names(mount.Root));
        Assert.Contains(errno, mount.Try("errors", mount.Root).Must());
        _ = Probe.Check(mount.Root, $"cat up => 'content'\ncat low => 'x'\nopen f up RDWR => ok\n{line}\nput after x => ok\n");
        Parity.CheckAfterwards(mount, scratch, lower, kernelSeesTheSame: true);
    }

    /// <summary>A source that cannot be read gives EIO to the reader and to the writer that needs its content, and is seen again when it works again.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void ALowerThatCannotBeRead(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        _ = Probe.Check(mount.Lower, "gen f 200000 1\ngen g 200000 2\nput h x\n");
        string lower = Probe.Digest(mount.Lower, "iD");
        mount.Mount();
        _ = Probe.Check(mount.Root, "stat f s => 200000\nstat g s => 200000\n");
        using (new Fault(mount.ServerPid(), "pread64,preadv,copy_file_range", "EIO"))
            _ = Probe.Check(mount.Root, "open r f RDONLY => ok\npread r 10 0 => EIO\napp g more => EIO\ntruncate g 5 => EIO\ntruncate h 0 => ok\nstat f s => 200000\n");
        _ = Probe.Check(mount.Root, "open f f RDONLY => ok\ncheck f 0 200000 1 => ok\napp g more => ok\nstat g s => 200004\n");
        Parity.CheckAfterwards(mount, scratch, lower, kernelSeesTheSame: true);
    }

    /// <summary>With few descriptors a server does all that others do.</summary>
    [MountTheory]
    [InlineData(MountKind.AntaresFolder, 64), InlineData(MountKind.AntaresDir, 64), InlineData(MountKind.AntaresFolder, 40), InlineData(MountKind.AntaresDir, 40)]
    public void FewDescriptors(MountKind kind, int descriptors)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind) { Wrapper = ["prlimit", $"--nofile={descriptors}:{descriptors}"] };
        _ = Probe.Check(mount.Lower, "mkdirp a/b/c/d/e/f/g\nmany a/b low 500\nmany a/b/c/d/e/f/g low 500\n");
        string lower = Probe.Digest(mount.Lower, "iD");
        mount.Mount();
        Assert.Matches($@"Max open files\s+{descriptors}\s+{descriptors}", File.ReadAllText($"/proc/{mount.ServerPid()}/limits"));
        _ = Shell.Bash("""
            set -e
            for i in 1 2 3 4; do mkdir "$R/w$i"; "$PROBE" mixed "$R/w$i" 500 $i > /dev/null & pids="$pids $!"; done
            for p in $pids; do wait $p; done
            "$PROBE" unlinked "$R" held 300 < /dev/null > /dev/null
            cd "$R/a/b"; for f in low*; do echo more >> $f; done; cd c/d/e/f/g; for f in low*; do echo more >> $f; done
            find "$R" -type f -print0 | xargs -0 cat | wc -c
            """, 120, environment: [("R", mount.Root), ("PROBE", Probe.Path)]).Must();
        Assert.DoesNotContain("EMFILE", mount.Try("errors", mount.Root).Must());
        Parity.CheckAfterwards(mount, scratch, lower, kernelSeesTheSame: true);
    }

    /// <summary>A server that finds no free descriptor gives up idle ones: everything is found, read and written, and it answers and can be unmounted.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void NoDescriptorIsFree(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind, "--fd-cache", "4096");
        _ = Shell.Bash("for d in {1..40}; do mkdir $d; for f in {1..5}; do echo $d $f > $d/$f; done; done", directory: mount.Lower).Must();
        string lower = Probe.Digest(mount.Lower, "iD");
        mount.Mount();
        KeepToDescriptorsInUse(mount, 10);
        _ = Shell.Bash("""
            set -e
            for d in {1..40}; do ls $d > /dev/null; cat $d/* > /dev/null; for f in {1..3}; do echo more >> $d/$f; done; mkdir $d/new; done
            [ "$(cat */* 2> /dev/null | grep -c more)" = 120 ]
            """, directory: mount.Root).Must();
        Assert.InRange(mount.Gauge("descriptors_cached"), 1, 100);
        Assert.DoesNotContain("EMFILE", mount.Try("errors", mount.Root).Must());
        Parity.CheckAfterwards(mount, scratch, lower, kernelSeesTheSame: true);
    }

    /// <summary>A server all of whose descriptors are in use answers nevertheless, and can be unmounted when they are not.</summary>
    [MountFact]
    public void AllDescriptorsAreInUse()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder, "--fd-cache", "4096");
        mount.Mount();
        KeepToDescriptorsInUse(mount, 10);
        var held = new List<FileStream>();
        IOException? failed = null;
        for (int i = 0; failed is null; i++)
        {
            Assert.True(i < 100, "a hundred files are held by descriptors, though there are not so many");
            string path = Path.Combine(mount.Root, $"held{i}");
            try
            {
                held.Add(new FileStream(path, FileMode.CreateNew));
                File.Delete(path);
            }
            catch (IOException e)
            {
                failed = e;
            }
        }
        Assert.Contains("Too many open files", failed.Message);
        for (int i = 0; i < 3; i++)
            Assert.Contains("EMFILE", mount.Try("errors", mount.Root).Must());
        held.ForEach(file => file.Dispose());
        _ = Probe.Check(mount.Root, "put new x => ok\nmkdir d => ok\nput d/new x => ok\n");
        mount.Unmount();
        Parity.AssertWorkIsClean(mount.Work!);
    }

    /// <summary>From now on the server may have no descriptors beyond the highest that it has, and a few more.</summary>
    private static void KeepToDescriptorsInUse(AntaresMount mount, int more)
    {
        int pid = mount.ServerPid();
        int highest = Directory.GetFileSystemEntries($"/proc/{pid}/fd").Max(entry => int.Parse(Path.GetFileName(entry)));
        _ = Shell.Run("prlimit", ["--pid", $"{pid}", $"--nofile={highest + 1 + more}:"]).Must();
    }

    /// <summary>A copy that was made for a truncation which then did not come about has another time than the lower file: it has another content.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void ACopyCutShortHasAnotherTime(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        _ = Probe.Check(mount.Lower, "put f content\nput g content\nutimens f 1.1 2.2\nutimens g 1.1 2.2\n");
        string lower = Probe.Digest(mount.Lower, "iD");
        mount.Mount();
        using (new Fault(mount.ServerPid(), "ftruncate", "EIO"))
            _ = Probe.Check(mount.Root, "truncate f 0 => EIO\n");
        _ = Probe.Check(mount.Root, "app g more => ok\nutimens g 3.3 4.4 => ok\n");
        string upper = Shell.Run("stat", ["-c", "%n %s %Y", "f", "g"], directory: mount.Upper).Must();
        Assert.Matches(@"^f 0 \d{9,}\ng 11 4\n$", upper);
        Parity.CheckAfterwards(mount, scratch, lower, kernelSeesTheSame: true);
    }

    /// <summary>A read-only file system under the upper is refused with its name; one that becomes so later gives EROFS to writers only.</summary>
    [MountFact]
    public void AnUpperThatIsReadOnly()
    {
        using var scratch = new ScratchFolder();
        using var disk = new SmallDisk(scratch, "ext4", 16);
        using var mount = new AntaresMount(scratch);
        mount.Upper = Path.Combine(disk.Path, "upper");
        mount.Work = Path.Combine(disk.Path, "work");
        _ = Directory.CreateDirectory(mount.Upper);
        _ = Directory.CreateDirectory(mount.Work);
        _ = Probe.Check(mount.Lower, "put f x\nput g y\n");
        disk.Remount("ro");
        ShellResult refused = mount.Try(mount.MountArguments);
        Assert.True(refused.ExitCode == 3, refused.ToString());
        Assert.Contains(disk.Path, refused.Error);
        Assert.Contains("ead-only", refused.Error);
        Assert.Null(MountTable.Find(mount.Root));

        disk.Remount("rw");
        mount.Mount();
        _ = Probe.Check(mount.Root, "put up x => ok\n");
        // A file open for writing would keep the file system from becoming read-only.
        mount.Unmount();
        mount.Mount();
        disk.Remount("ro");
        _ = Probe.Check(mount.Root, "cat f => 'x'\ncat up => 'x'\nput new x => EROFS\napp g more => EROFS\napp up more => EROFS\nmkdir d => EROFS\nunlink f => EROFS\nrename f h => EROFS\nchmod g 600 => EROFS\n");
        Assert.Contains("EROFS", mount.Try("errors", mount.Root).Must());
        disk.Remount("rw");
        _ = Probe.Check(mount.Root, "put new x => ok\napp g more => ok\nunlink f => ok\n");
        mount.Unmount();
        Parity.AssertWorkIsClean(mount.Work!);
    }

    /// <summary>An upper that is deleted under a mount: errors, no hang, no crash, the lower readable, and an unmount that works.</summary>
    [MountFact]
    public void AnUpperThatIsGone()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "put f x\nmkdir d\nput d/g y\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, "put up x => ok\nmkdir made => ok\nput made/in x => ok\n");
        int pid = mount.ServerPid();
        _ = Shell.Bash("rm -rf \"$U\" \"$W\"", environment: [("U", mount.Upper!), ("W", mount.Work!)]).Must();
        List<ProbeAnswer> answers = Probe.Run(mount.Root, "cat f\ncat d/g\nput new x\napp f more\nmkdir e\nunlink d/g\nrename f h\nput made/more x\ncat made/in\nls .\n");
        Assert.Equal("'x'", answers[0].Answer);
        Assert.Equal("'y'", answers[1].Answer);
        foreach (ProbeAnswer answer in answers.Skip(2).Take(6))
            Assert.StartsWith("E", answer.Answer);
        Assert.Equal(pid, mount.ServerPid());
        _ = Probe.Check(mount.Root, "cat f => 'x'\n");
        Assert.Contains("upper", mount.Try("errors", mount.Root).Must());
        mount.Unmount();
        Assert.Empty(mount.ServerPids());
    }

    private static string[] Names(string root) => [.. Directory.GetFileSystemEntries(root).Order(StringComparer.Ordinal)];

    /// <summary>What fsync was asked for, of a file or of a directory, outlives a power cut; on a volatile mount, and without fsync, it need not.</summary>
    [MountTheory]
    [InlineData(MountKind.AntaresDir, "put new data => ok\nopen f new RDWR => ok\nfsync f => ok\nclose f => ok", "new: data")]
    [InlineData(MountKind.AntaresFolder, "open f d/low RDWR|APPEND => ok\nwrite f more => ok\nfsync f => ok\nclose f => ok", "d/low: lowmore")]
    [InlineData(MountKind.AntaresDir, "unlink d/low => ok\nopen f d RDONLY|DIRECTORY => ok\nfsync f => ok\nclose f => ok", "d/low: gone")]
    [InlineData(MountKind.AntaresFolder, "rename d e => ok\nopen f . RDONLY|DIRECTORY => ok\nfsync f => ok\nclose f => ok", "e/low: low\nd: gone")]
    [InlineData(MountKind.AntaresDir, "mkdir n => ok\nrename d/low n/moved => ok\nopen f n RDONLY|DIRECTORY => ok\nfsync f => ok\nclose f => ok", "n/moved: low\nd/low: gone")]
    [InlineData(MountKind.AntaresDir, "rmtree d => ok\nmkdir d => ok\nopen f d RDONLY|DIRECTORY => ok\nfsync f => ok\nclose f => ok", "d/low: gone")]
    public void WhatWasSyncedOutlivesAPowerCut(MountKind kind, string script, string expected)
    {
        Assert.Equal(expected, AfterAPowerCut(kind, script));
        Assert.NotEqual(expected, AfterAPowerCut(kind, script, "--volatile"));
        Assert.NotEqual(expected, AfterAPowerCut(kind, string.Join('\n', script.Split('\n').Where(l => !l.StartsWith("fsync", StringComparison.Ordinal)))));

        // The state of each path that is expected about, in a new mount over the disk's copy.
        string AfterAPowerCut(MountKind kind, string script, params string[] options)
        {
            using var outer = new ScratchFolder();
            using var disk = new SmallDisk(outer, "ext4", 32);
            disk.Remount("commit=600");
            using var scratch = new ScratchFolder(disk.Path);
            using var mount = new AntaresMount(scratch, kind, options);
            _ = Probe.Check(mount.Lower, "mkdir d\nput d/low low\n");
            mount.Mount();
            _ = Shell.Run("sync", ["-f", disk.Path]).Must();
            _ = Probe.Check(mount.Root, script + "\n");
            using SmallDisk copy = disk.AfterAPowerCut(outer, "copy");
            string Copied(string path) => copy.Path + path[disk.Path.Length..];
            using var other = new ScratchFolder();
            using var again = new AntaresMount(other, kind, options.Length > 0 ? ["--recover"] : []) { Lower = Copied(mount.Lower), Upper = Copied(mount.Upper!), Work = Copied(mount.Work!) };
            again.Mount();
            return string.Join('\n', expected.Split('\n').Select(line => line.Split(": ")[0]).Select(name =>
                $"{name}: {(Path.Exists($"{again.Root}/{name}") ? Directory.Exists($"{again.Root}/{name}") ? "directory" : File.ReadAllText($"{again.Root}/{name}") : "gone")}"));
        }
    }
}
