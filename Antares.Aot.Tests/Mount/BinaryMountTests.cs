using System.Text.Json;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>The published file itself: static, small, quick to start, enough by itself; and what it tells about a running mount.</summary>
[Collection("Alone")]
public sealed class BinaryMountTests
{
    [MountFact]
    public void TheBinaryIsStaticAndSmall()
    {
        string file = Shell.Bash("file -b \"$BIN\" 2>/dev/null; ldd \"$BIN\" 2>&1; true", environment: ("BIN", TestEnvironment.Binary)).Output;
        Assert.True(file.Contains("not a dynamic executable", StringComparison.Ordinal) || file.Contains("statically linked", StringComparison.Ordinal), file);
        long size = new FileInfo(TestEnvironment.Binary).Length;
        Assert.True(size <= 20 * 1024 * 1024, $"{size} bytes; 20 MiB are allowed, HTTP and TLS included");
    }

    /// <summary>At most 5 ms by the acceptance; here against the machine's own time for an empty program, since others may be at work.</summary>
    [MountFact]
    public void VersionIsQuick()
    {
        long empty = long.Parse(Shell.Run(Probe.Path, ["spawntime", "40", Probe.Path, "exit", "0"]).Must());
        long version = long.Parse(Shell.Run(Probe.Path, ["spawntime", "40", TestEnvironment.Binary, "--version"]).Must());
        Assert.True(version <= 5000 + (4 * empty), $"--version took {version} µs, an empty program {empty} µs");
    }

    /// <summary>Nothing but the binary, the device, /proc, the layers, the mount point and a writable folder for state.</summary>
    [MountFact]
    public void WorksInAChrootThatHoldsNothingElse()
    {
        using var scratch = new ScratchFolder();
        string root = scratch.Make("root");
        foreach (string folder in new[] { "dev", "proc", "src", "mnt", "upper", "work", "state" })
            _ = Directory.CreateDirectory(Path.Combine(root, folder));
        File.Copy(TestEnvironment.Binary, Path.Combine(root, "antares-aot"));
        _ = Probe.Check(Path.Combine(root, "src"), "put f lower\nmkdir d\nput d/g deep\n");
        ShellResult result = Shell.Run("unshare", ["--mount", "--pid", "--fork", "/bin/bash", "-c", $$"""
            set -e
            cd "$R"
            mknod dev/fuse c 10 229
            mount -t proc proc proc
            inside() { env -i PATH="$PATH" ANTARES_STATE_DIR=/state chroot "$R" /antares-aot "$@"; }
            inside --version
            for source in dir:/src /src; do
                inside mount $source /mnt --upper /upper --work /work
                "{{Probe.Path}}" run mnt <<'EOF' > answers
            cat f
            app f +more
            cat f
            mkdir new
            put new/x y
            rename d moved
            cat moved/g
            rename moved d
            rmtree new
            truncate f 5
            EOF
                cat answers
                inside stats /mnt --json | head -c 100
                inside list
                inside umount /mnt
                ! grep -q "$R/mnt" /proc/self/mountinfo
            done
            find work -mindepth 2
            ls upper
            """], 60, environment: [("R", root)]);
        string output = result.Must();
        Assert.Contains("'lower+more'", output);
        Assert.Contains("'deep'", output);
        Assert.DoesNotMatch("(?m)^E[A-Z]+$", output);
    }

    [MountFact]
    public void StatsHaveAKeyForEachOperation()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "put f x\nmkdir d\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, "app f y\nstat none => ENOENT\nrmdir d\nput g z\nrename g h\nunlink h\nls .\n");
        JsonElement stats = mount.Stats();
        JsonElement ops = stats.GetProperty("ops");
        foreach (string op in new[] { "lookup", "forget", "getattr", "setattr", "readlink", "symlink", "mknod", "mkdir", "unlink", "rmdir", "rename", "link", "read", "write",
            "statfs", "fsync", "setxattr", "getxattr", "listxattr", "removexattr", "create", "batch_forget", "fallocate", "readdirplus", "readdir", "rename2", "lseek",
            "copy_file_range", "tmpfile", "fsyncdir" })
        {
            Assert.True(ops.TryGetProperty(op, out JsonElement value), $"no counter for {op}");
            Assert.True(value.GetProperty("count").GetInt64() >= 0);
        }
        Assert.True(ops.GetProperty("lookup").GetProperty("count").GetInt64() > 0);
        Assert.True(ops.GetProperty("write").GetProperty("count").GetInt64() > 0);
        Assert.True(ops.GetProperty("unlink").GetProperty("count").GetInt64() > 0);
        Assert.Contains("lookup", mount.Try("stats", mount.Root).Must());
        foreach (string gauge in new[] { "inodes_looked_up", "gc_collections" })
            _ = mount.Gauge(gauge);
        Assert.InRange(mount.Gauge("inodes_looked_up"), 1, 100);
    }

    /// <summary>Each failing operation can be named with its path and errno within seconds.</summary>
    [MountFact]
    public void ErrorsNameTheOperationThePathAndTheErrno()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "mkdirp deep/in\nput deep/in/f x\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, "rmdir deep/in => ENOTEMPTY\nsetxattr deep/in/f bogus.x y => EOPNOTSUPP\n");
        string text = mount.Try("errors", mount.Root).Must();
        Assert.Contains("setxattr", text);
        Assert.Contains("EOPNOTSUPP", text);
        Assert.Contains("deep/in/f", text);
        using JsonDocument document = JsonDocument.Parse(mount.Try("errors", mount.Root, "--json").Must());
        Assert.Contains("EOPNOTSUPP", document.RootElement.GetRawText());

        // Asked all day by those who look whether a directory is empty: counted only.
        Assert.DoesNotContain("ENOTEMPTY", text);
        JsonElement rmdir = mount.Stats().GetProperty("ops").GetProperty("rmdir");
        Assert.Equal(1, rmdir.GetProperty("errors").GetProperty("ENOTEMPTY").GetInt64());
    }

    /// <summary>No operation that works on a disk may answer "Function not implemented".</summary>
    [MountFact]
    public void NothingAnswersEnosys()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "gen f 10000 1\nmkdir d\n");
        mount.Mount();
        List<ProbeAnswer> answers = Probe.Run(mount.Root, """
            open f f RDWR
            fallocate f 0 0 20000
            fallocate f PUNCH|KEEP 0 4096
            seek f 0 DATA
            seek f 0 HOLE
            open g g CREAT|RDWR
            copyrange f 0 g 0 1000
            open t . TMPFILE|RDWR
            linkfd t linked
            fsync f
            fdatasync f
            syncfs f
            open d d RDONLY|DIRECTORY
            fsync d
            flock f e
            lock g w 0 10
            ofdlock t w 0 10
            mkfifo p
            mknod n c 600 1 3
            mknod s s 600
            symlink x l
            link f h
            setxattr f user.a b
            getxattr f user.a
            listxattr f
            removexattr f user.a
            setacl d default u::rwx,g::r-x,o::r-x
            rename f d/f
            rename d e
            rename e g EXCHANGE
            rename g x NOREPLACE
            truncate x/f 5
            utimens x 1.0 2.0
            chmod x 700
            chown x 1 1
            namemax .
            getflags t
            """);
        Assert.DoesNotContain(answers, a => a.Answer.Contains("ENOSYS", StringComparison.Ordinal));
        // CREATE, OPEN, OPENDIR and FLUSH are answered so on purpose: the kernel then asks no more.
        foreach (JsonProperty op in mount.Stats().GetProperty("ops").EnumerateObject())
            if (op.Name is not ("create" or "open" or "opendir" or "flush" or "statx" or "access" or "ioctl" or "poll" or "syncfs") && op.Value.TryGetProperty("errors", out JsonElement errors))
                Assert.False(errors.TryGetProperty("ENOSYS", out _), $"{op.Name} answered ENOSYS");
    }
}
