using System.Diagnostics;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>
/// How many requests reach the server, by its own counters and by an independent count (strace of its reads of /dev/fuse): the
/// kernel's caches serve what was seen before.
/// </summary>
[Collection("Alone")]
public sealed class RequestMountTests
{
    private const int Directories = 220, Files = 4400, Links = 220;

    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void FirstFindAsksLittleAndTheThirdNothing(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Tree(scratch, kind);
        WhileCachesAreKept(mount, () =>
        {
            long first = Count(mount, () => Bash(mount, "find . | wc -l")).Values.Sum();
            long limit = (4 * Directories) + ((Files + Links) / 100);
            return first > limit
                ? $"the first find sent {first} requests; at most {limit} are allowed for {Directories} directories and {Files + Links} files"
                : Second(mount, "find . | wc -l", Directories + 1) ?? Third(mount, "find . | wc -l");
        });
    }

    public static TheoryData<MountKind, string, string> Walks()
    {
        var data = new TheoryData<MountKind, string, string>();
        foreach (MountKind kind in new[] { MountKind.AntaresFolder, MountKind.AntaresDir })
        {
            data.Add(kind, "stat", "find . -printf '%s %m %n %T@ %u\\n' | md5sum");
            data.Add(kind, "readlink", "find . -type l -printf '%l\\n' | md5sum");
            data.Add(kind, "grep", "grep -r needle-that-is-not-there . ; [ $? -eq 1 ]");
            data.Add(kind, "open-read-close", "\"$PROBE\" walk . read");
        }
        return data;
    }

    [MountTheory, MemberData(nameof(Walks))]
    public void TheSecondWalkAsksOneGetattrPerObjectAndTheThirdNothing(MountKind kind, string name, string command)
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Tree(scratch, kind);
        WhileCachesAreKept(mount, () =>
        {
            string output = Bash(mount, command);
            string? wrong = Second(mount, command, Directories + Files + Links + 1) ?? Third(mount, command);
            Assert.True(output == Bash(mount, command), $"{name} answered differently");
            return wrong;
        });
    }

    /// <summary>Looking for what is not there (include paths, node_modules) is answered from the cache too.</summary>
    [MountFact]
    public void AbsentNamesAreAskedForOnce()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Tree(scratch, MountKind.AntaresDir);
        WhileCachesAreKept(mount, () =>
        {
            const string probe = "for i in $(seq 500); do [ -e d3/absent$i ] && exit 1; done; true";
            long first = Count(mount, () => Bash(mount, probe)).Values.Sum();
            Assert.InRange(first, 1, 510);
            return Third(mount, probe);
        });
        // A name made in the mount replaces the negative entry at once.
        _ = Probe.Check(mount.Root, "stat d3/absent7 => ENOENT\nput d3/absent7 x => ok\ncat d3/absent7 => 'x'\nunlink d3/absent7 => ok\nstat d3/absent7 => ENOENT\n");
    }

    /// <summary>A file that was written is read back, stat-ed and listed without asking more than its attributes once.</summary>
    [MountFact]
    public void WrittenFilesAreCached()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Tree(scratch, MountKind.AntaresDir);
        _ = Shell.Run(Probe.Path, ["create", mount.Root, "new", "1000"]).Must();
        WhileCachesAreKept(mount, () =>
        {
            const string command = "cat new0/* | md5sum; stat -c '%s %Y %i' new0/* | md5sum; ls new0 | md5sum";
            _ = Bash(mount, command);
            _ = Bash(mount, command);
            return Third(mount, command);
        });
    }

    /// <summary>
    /// What the kernel keeps of a listing that nobody reads to its end must not be in the way of the next ones (<see cref="Layers.KeptListing"/>):
    /// the first after a change completes it, the second is kept.
    /// </summary>
    [MountFact]
    public void AListingThatWasLeftIsKeptAgainAfterAChange()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Tree(scratch, MountKind.AntaresDir);
        _ = Shell.Run(Probe.Path, ["create", mount.Root, "new", "300"]).Must();
        WhileCachesAreKept(mount, () =>
        {
            _ = Probe.Check(mount.Root, "open d new0 RDONLY|DIRECTORY => ok\ndents d => *\nclose d => ok\nput new0/another x => ok\n");
            _ = Bash(mount, "for i in 1 2 3; do ls new0; done | md5sum; rm new0/another; for i in 1 2 3; do ls new0; done | md5sum");
            return Third(mount, "ls new0 | md5sum");
        });
    }

    /// <summary>The counters agree with what strace sees the server read from the device.</summary>
    [MountFact]
    public void CountersAgreeWithStrace()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Tree(scratch, MountKind.AntaresDir);
        int pid = mount.ServerPid();
        string trace = scratch.Join("trace");
        Dictionary<string, long> before = mount.Requests();
        using Process strace = Shell.Start("strace", ["-f", "-y", "-e", "trace=read,readv,splice", "-o", trace, "-p", pid.ToString()]);
        try
        {
            for (int i = 0; i < 200 && !(Shell.Bash($"grep -h TracerPid /proc/{pid}/task/*/status").Must().Split('\n', StringSplitOptions.RemoveEmptyEntries) is { } states && states.All(s => !s.EndsWith("\t0", StringComparison.Ordinal))); i++)
                Thread.Sleep(20);
            _ = Bash(mount, "find . | wc -l; grep -r needle . ; \"$PROBE\" mixed \"$PWD\" 300 1");
        }
        finally
        {
            _ = Shell.Run("kill", ["-INT", strace.Id.ToString()]);
            strace.WaitForExit(10000);
        }
        long counted = mount.Requests().Sum(r => r.Value - before.GetValueOrDefault(r.Key));
        // One read of the device is one request (a batch of forgets too); reads that ended in an error or were still waiting carry none.
        long seen = File.ReadLines(trace).Count(l => l.Contains("fuse", StringComparison.Ordinal) && System.Text.RegularExpressions.Regex.IsMatch(l, @"= [1-9]\d*$"))
            + File.ReadLines(trace).Count(l => l.Contains("resumed", StringComparison.Ordinal) && System.Text.RegularExpressions.Regex.IsMatch(l, @"= [4-9]\d$|= \d{3,}$"));
        Assert.True(Math.Abs(seen - counted) <= 5 + (counted / 200), $"strace saw {seen} requests, the counters {counted}");
    }

    private static AntaresMount Tree(ScratchFolder scratch, MountKind kind)
    {
        var mount = new AntaresMount(scratch, kind);
        _ = Shell.Bash("""
            cd "$L"
            for d in $(seq 0 19); do
                mkdir d$d
                for s in $(seq 0 9); do
                    mkdir d$d/s$s
                    for f in $(seq 0 19); do echo "file $d $s $f" > d$d/s$s/f$f; done
                    ln -s f1 d$d/s$s/link
                done
                for f in $(seq 0 19); do echo "file $d $f" > d$d/f$f; done
                ln -s f1 d$d/link
            done
            """, environment: ("L", mount.Lower)).Must();
        mount.Mount();
        return mount;
    }

    private static string Bash(AntaresMount mount, string command) =>
        Shell.Bash($"cd \"$R\" && {{ {command}\n}}", 120, environment: [("R", mount.Root), ("PROBE", Probe.Path)]).Output;

    private static Dictionary<string, long> Count(AntaresMount mount, Action action)
    {
        Dictionary<string, long> before = mount.Requests();
        action();
        return mount.Requests().ToDictionary(r => r.Key, r => r.Value - before.GetValueOrDefault(r.Key)).Where(r => r.Value != 0).ToDictionary();
    }

    /// <summary>
    /// The passes are judged as they are, on a fresh mount each time. They are tried again only when the kernel's own trace shows that it
    /// took pages or inodes of this mount out of its caches meanwhile; what it took away it has to ask for.
    /// </summary>
    private static void WhileCachesAreKept(AntaresMount mount, Func<string?> passes)
    {
        const int tries = 12;
        for (int attempt = 1; ; attempt++)
        {
            using var evictions = new CacheEvictions(MountTable.Find(mount.Root)!.Minor);
            if (passes() is not { } wrong)
                return;
            Dictionary<string, long> requests = mount.Requests();
            long forgotten = requests.GetValueOrDefault("forget") + requests.GetValueOrDefault("batch_forget");
            int? pages = evictions.Count;
            string kernel = $"the kernel took {(pages is null ? "an unknown number of" : pages)} pages of this mount from its cache meanwhile and forgot {forgotten} times";
            Assert.True((pages != 0 || forgotten > 0) && attempt < (pages is null ? 3 : tries), $"{wrong}; {kernel}; try {attempt}");
            mount.Unmount();
            mount.Mount();
        }
    }

    private static string? Second(AntaresMount mount, string command, int objects)
    {
        Dictionary<string, long> counts = Count(mount, () => Bash(mount, command));
        DropWalkStatfs(counts);
        return counts.Keys.All(op => op == "getattr") && counts.GetValueOrDefault("getattr") <= objects
            ? null
            : $"the second pass sent {Text(counts)}; only getattr is allowed, at most once for each of {objects} objects";
    }

    private static string? Third(AntaresMount mount, string command)
    {
        Dictionary<string, long> counts = Count(mount, () => Bash(mount, command));
        DropWalkStatfs(counts);
        return counts.Count == 0 ? null : $"a pass over what is cached sent {Text(counts)}";
    }

    /// <summary>find and grep ask for the file system's type once in each walk, and the kernel keeps no answer of STATFS.</summary>
    private static void DropWalkStatfs(Dictionary<string, long> counts)
    {
        if (counts.GetValueOrDefault("statfs") <= 2)
            _ = counts.Remove("statfs");
    }

    private static string Text(Dictionary<string, long> counts) => string.Join(", ", counts.Select(c => $"{c.Value} {c.Key}"));
}
