using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Image.Remote;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Tests.Support;
using Antares.Interop;

namespace Antares.Aot.Tests.Mount;

/// <summary>Commits and archives as sources: packed into the store once, by whoever comes first, and mounted from there.</summary>
public sealed class PackedSourceMountTests : IDisposable
{
    private const int Usage = 2, Refused = 3;

    private readonly ScratchFolder _scratch = new();
    private readonly string _store;
    private readonly string _state;
    private readonly string _mnt;

    public PackedSourceMountTests()
    {
        _store = _scratch.Join("store");
        _state = _scratch.Make("state");
        _mnt = _scratch.Make("mnt");
    }

    public void Dispose() => _scratch.Dispose();

    [MountTheory]
    [InlineData("fuse")]
    [InlineData("kernel")]
    public void ACommitIsMountedAndTakesWrites(string engine)
    {
        GitRepository repository = Sample();
        string first = repository.Head();
        string second = repository.Commit("echo second > README");
        _ = Try("mount", $"git:{repository.Path}@HEAD^", _mnt, "--engine", engine).Must();
        Assert.Contains($"git:{repository.Path}@{first}", Try("list").Must());
        _ = Shell.Bash($"git -C {repository.Path} worktree add -q {_scratch.Join("out")} {first} && diff -r -x .git --no-dereference {_scratch.Join("out")} {_mnt}").Must();
        Assert.Equal("1700000000\n", Shell.Bash($"find {_mnt} -printf '%T@\\n' | cut -d. -f1 | sort -u").Must());
        _ = Probe.Check(_mnt, "app README more => ok\ncat README => 'hello\\x0amore'\nput src/new x => ok\nunlink src/main.c => ok\ncat src/main.c => ENOENT\n");
        _ = Shell.Bash($"cd {_mnt} && src/run.sh && mv src moved && test -e moved/deep/big && test $(readlink moved/link) = ../README").Must();
        _ = Try("umount", _mnt).Must();
        Assert.Equal("second\n", Try("run", $"git:{repository.Path}", "--", "cat", "README").Must());
        Assert.Equal(2, Images());
        Assert.Equal(second, repository.Head());
    }

    [MountFact]
    public void TheNextMountPacksNothingAndAChangedArchiveIsAnother()
    {
        string tar = Archive("echo one > f");
        string stamp = "stat -c %Y.%i.%z $(find '" + _store + "/images' -type f) | cut -d' ' -f1 | cut -d. -f2";
        Assert.Equal("one\n", Try("run", $"tar:{tar}", "--", "cat", "f").Must());
        string packed = Shell.Bash(stamp).Must();
        Assert.Equal("one\n", Try("run", $"tar:{tar}", "--", "cat", "f").Must());
        Assert.Equal(packed, Shell.Bash(stamp).Must());
        Assert.Equal(1, Images());
        // Of the same length, and with the times set back.
        _ = Shell.Bash($"cp -p {tar} kept; mkdir other; echo two > other/f; tar -C other -cf new.tar .; cat new.tar > {tar}; touch -r kept {tar}", directory: _scratch.Path).Must();
        Assert.Equal("two\n", Try("run", $"tar:{tar}", "--", "cat", "f").Must());
        Assert.Equal(2, Images());
    }

    [MountFact]
    public void TwoAtOncePackOnce()
    {
        string tar = Archive("for i in $(seq 40); do head -c 2000000 /dev/urandom > f$i; done");
        Task<ShellResult>[] runs = [.. Enumerable.Range(0, 3).Select(_ => Task.Run(() => Try("run", $"tar:{tar}", "--log-level", "info", "--", "cksum", "f40")))];
        string[] sums = [.. runs.Select(run => run.Result.Must())];
        Assert.Single(sums.Distinct());
        string said = string.Join("", runs.Select(run => run.Result.Error));
        Assert.True(runs.Count(run => run.Result.Error.Contains("packing it", StringComparison.Ordinal) && !run.Result.Error.Contains("waiting for it", StringComparison.Ordinal)) == 1, said);
        Assert.Equal(1, Images());
    }

    [MountFact]
    public void KilledWhilePackingNothingIsLeftThatIsBelieved()
    {
        string tar = Archive("for i in $(seq 60); do head -c 3000000 /dev/urandom > f$i; done");
        for (int i = 0; i < 4; i++)
        {
            using System.Diagnostics.Process run = Start("run", $"tar:{tar}", "--", "true");
            Thread.Sleep(20 + (i * 60));
            run.Kill();
            run.WaitForExit();
            Assert.Equal(137, run.ExitCode);
        }
        Assert.Equal(0, Images());
        Assert.Equal("", Shell.Bash($"find {_store}/tmp -type f").Must());
        Assert.Equal("60\n", Try("run", $"tar:{tar}", "--", "sh", "-c", "ls | wc -l").Must());
        Assert.Equal(1, Images());
    }

    [MountFact]
    public void ASignalEndsThePacking()
    {
        string tar = Archive("for i in $(seq 60); do head -c 3000000 /dev/urandom > f$i; done");
        using System.Diagnostics.Process run = Start("run", $"tar:{tar}", "--log-level", "info", "--", "true");
        WaitForThePacking(run);
        _ = Shell.Bash($"kill -TERM {run.Id}").Must();
        Assert.True(run.WaitForExit(5000));
        Assert.Equal(Refused, run.ExitCode);
        Assert.Contains("interrupted", run.StandardError.ReadToEnd());
        Assert.Equal(0, Images());
    }

    [MountFact]
    public void AnInterruptedCommandPacksNoFurther()
    {
        string tar = Archive("for i in $(seq 60); do head -c 3000000 /dev/urandom > f$i; done");
        using System.Diagnostics.Process mount = Start("mount", $"tar:{tar}", _mnt, "--log-level", "info");
        WaitForThePacking(mount);
        mount.Kill(); // the half that waits; the other is to notice
        mount.WaitForExit();
        for (int i = 0; i < 100 && Shell.Bash($"pgrep -f '{_mnt}$'").Output.Length > 0; i++)
            Thread.Sleep(50);
        Assert.Equal("", Shell.Bash($"pgrep -f '{_mnt}$'").Output);
        Assert.Null(MountTable.Find(_mnt));
        Assert.Equal(0, Images());
    }

    [MountFact]
    public void DamageInTheStoreIsPackedAnew()
    {
        string tar = Archive("echo one > f");
        _ = Try("run", $"tar:{tar}", "--", "true").Must();
        _ = Shell.Bash($"f=$(find {_store}/images -type f); truncate -s 5000 $f").Must();
        Assert.Equal("one\n", Try("run", $"tar:{tar}", "--", "cat", "f").Must());
        Assert.Contains("images of archives and commits: 1", Try("store", "stat", "--store", _store).Must());
        Assert.Contains("0 damaged", Try("store", "verify", "--store", _store).Must());
        _ = Shell.Bash($"f=$(find {_store}/images -type f); printf x | dd of=$f bs=1 seek=$(($(stat -c %s $f) - 3)) conv=notrunc status=none").Must();
        Assert.Contains("1 damaged", Try("store", "verify", "--store", _store).Output);
        Assert.Equal(0, Images());
    }

    [MountFact]
    public void AnImageInUseMayBeCollected()
    {
        string tar = Archive("head -c 20000000 /dev/urandom > f");
        _ = Try("mount", $"tar:{tar}", _mnt).Must();
        _ = Shell.Bash($"find {_store}/images -type f -exec touch -d '10 days ago' {{}} +").Must();
        Assert.Contains("1 of 1 objects removed", Try("store", "gc", "--store", _store, "--store-limit", "16M").Must());
        Assert.Equal(Shell.Bash($"tar -xOf {tar} ./f | cksum").Must(), Shell.Bash($"cksum < {_mnt}/f").Must());
        _ = Try("umount", _mnt).Must();
        _ = Try("run", $"tar:{tar}", "--", "true").Must();
        Assert.Equal(1, Images());
    }

    /// <summary>Where files cannot be made without a name, a collection sees those of a packing that takes hours.</summary>
    [MountFact]
    public void ACollectionDoesNotEndALongPacking()
    {
        string tar = Archive("for i in $(seq 6); do head -c 3000000 /dev/urandom > f$i; done");
        using var scratch = new ScratchFolder(_scratch.Make("disk"));
        using var disk = new AntaresMount(scratch, MountKind.AntaresDir, "--init-mask", "5.15");
        disk.Mount();
        string store = Path.Combine(disk.Root, "store");
        _ = Shell.Bash($"mkdir -m 700 {store}").Must();
        Assert.Equal((Errno.None, ""), (ObjectStore.Open(store, out ObjectStore? other, out string problem), problem));
        using (other)
        {
            var collector = new StoreCollector(other!, 1 << 30, Log.Off);
            int seen = 0;
            using Mounts.PackedSource source = Mounts.PackedSource.Find(Mounts.SourceSpec.Parse($"tar:{tar}"));
            using OwnedFd image = source.OpenImage(store, null, 1 << 30, Log.Off, _ =>
            {
                foreach (string file in Directory.GetFiles(Path.Combine(store, ObjectStore.TemporaryName)))
                {
                    // As if nothing had been written to it for two hours.
                    File.SetLastWriteTimeUtc(file, DateTime.UtcNow.AddHours(-2));
                    seen++;
                }

                Assert.Equal(Errno.None, collector.Collect(1 << 30, out CollectionResult _));
            });
            Assert.True(seen > 0, "no file in the making has a name here");
            Assert.Equal([], Directory.GetFiles(Path.Combine(store, ObjectStore.TemporaryName)));
            Assert.True(RemoteFiles.IsSound(image.Value, out string damage), damage);
        }
    }

    [MountFact]
    public void LayersOfAContainerAreStacked()
    {
        string bottom = Archive("mkdir -p etc usr/lib var/cache; echo base > etc/conf; echo a > usr/lib/a; echo b > usr/lib/b; echo c > var/cache/c; ln -s usr/lib lib", "bottom.tar");
        string top = Archive("mkdir -p etc usr/lib var/cache; echo top > etc/conf; touch usr/lib/.wh.a; touch var/cache/.wh..wh..opq; echo d > var/cache/d; touch .wh.lib", "top.tar.gz", "-z");
        _ = Try("mount", $"tar:{bottom}", _mnt, "--image", $"tar:{top}").Must();
        Assert.Equal("top\n", Shell.Bash($"cat {_mnt}/etc/conf").Must());
        Assert.Equal(".\n./etc\n./etc/conf\n./usr\n./usr/lib\n./usr/lib/b\n./var\n./var/cache\n./var/cache/d\n", Shell.Bash($"cd {_mnt} && find . | sort").Must());
        _ = Try("umount", _mnt).Must();
    }

    [MountFact]
    public void ALayerOfAContainerIsTheSameUnpackedAndPackedAgain()
    {
        string tar = Archive("mkdir -p usr/lib var/cache; touch usr/lib/.wh.a; touch var/cache/.wh..wh..opq; echo d > var/cache/d");
        string image = _scratch.Join("image"), again = _scratch.Join("again.tar"), second = _scratch.Join("second"), folder = _scratch.Join("folder");
        _ = Try("pack", $"tar:{tar}", "-o", image).Must();
        _ = Try("unpack", image, "--tar", again).Must();
        _ = Try("pack", $"tar:{again}", "-o", second).Must();
        Assert.Equal("", Try("diff", image, second).Must());
        Assert.Equal(File.ReadAllBytes(image), File.ReadAllBytes(second));
        _ = Try("unpack", image, folder).Must();
        string bottom = _scratch.Make("bottom"), merged = _scratch.Make("merged");
        _ = Shell.Bash("mkdir -p usr/lib var/cache; touch usr/lib/a usr/lib/b var/cache/c", directory: bottom).Must();
        _ = Shell.Bash($"mount -t overlay overlay -o lowerdir={folder}:{bottom} {merged}").Must();
        string kernel = Shell.Bash("find . | sort", directory: merged).Must();
        _ = Shell.Bash($"umount {merged}").Must();
        _ = Try("mount", bottom, _mnt, "--image", image).Must();
        Assert.Equal(kernel, Shell.Bash("find . | sort", directory: _mnt).Must());
        Assert.Equal(".\n./usr\n./usr/lib\n./usr/lib/b\n./var\n./var/cache\n./var/cache/d\n", kernel);
        _ = Try("umount", _mnt).Must();
    }

    [MountFact]
    public void WhatCannotBePackedIsRefusedAndNothingIsLeft()
    {
        GitRepository repository = Sample();
        string tar = Archive("echo x > f");
        string cut = _scratch.Join("cut.tar");
        _ = Shell.Bash($"head -c 700 {tar} > {cut}; echo text > {_scratch.Join("text")}").Must();
        foreach ((int code, string source, string said) in new[]
        {
            (Refused, $"git:{repository.Path}@nowhere", "no revision"), (Refused, $"git:{_scratch.Join("missing")}", "no such folder"), (Usage, "git:", "names nothing"),
            (Refused, $"git:{_scratch.Make("empty")}", "not a git repository"), (Refused, $"tar:{cut}", "cut short"), (Refused, $"tar:{_scratch.Join("text")}", "cut short"),
            (Refused, $"tar:{_scratch.Join("missing")}", "No such file"), (Refused, $"tar:{_scratch.Path}", "no regular file"), (Usage, "tar:", "names nothing"),
        })
        {
            ShellResult result = Try("mount", source, _mnt);
            Assert.Equal(code, result.ExitCode);
            Assert.Contains(said, result.Error);
            Assert.Equal(code, Try("pack", source, "-o", _scratch.Join("image")).ExitCode);
        }
        Assert.Null(MountTable.Find(_mnt));
        Assert.Equal(0, Images());
        Assert.False(File.Exists(_scratch.Join("image")));
        ShellResult noGit = Shell.Run(TestEnvironment.Binary, ["mount", $"git:{repository.Path}", _mnt], environment: [("PATH", "/nowhere"), ("ANTARES_STATE_DIR", _state), ("ANTARES_STORE", _store)]);
        Assert.Equal(Refused, noGit.ExitCode);
        Assert.Contains("needs git", noGit.Error);
    }

    [MountFact]
    public void GitIsAskedForTheRepositoryThatIsNamed()
    {
        GitRepository repository = Sample();
        var other = new GitRepository(_scratch.Join("other"));
        _ = other.Commit("echo other > README");
        ShellResult result = Shell.Run(TestEnvironment.Binary, ["run", $"git:{repository.Path}", "--", "cat", "README"],
            environment: [("GIT_DIR", Path.Combine(other.Path, ".git")), ("ANTARES_STATE_DIR", _state), ("ANTARES_STORE", _store)]);
        Assert.Equal("hello\n", result.Must());
    }

    [MountFact]
    public void APlainUserOwnsWhatHeMounts()
    {
        string tar = Archive("echo one > f; mkdir d; echo two > d/g; chown -R 12:13 .");
        string store = _scratch.Make("user-store"), state = _scratch.Make("user-state"), mnt = _scratch.Make("user-mnt");
        _ = Shell.Bash($"chmod 755 {_scratch.Path}; chmod 644 {tar}; chown 1000:1000 {store} {state} {mnt}").Must();
        // In a mount namespace of its own, since many hosts keep /dev/fuse to root.
        string script = """
            set -euo pipefail
            mknod fuse c 10 229 && chmod 666 fuse && mount --bind fuse /dev/fuse
            cp "$BIN" antares-aot && chmod 755 antares-aot
            user() { setpriv --reuid=1000 --regid=1000 --clear-groups env HOME=/nonexistent ANTARES_STORE="$PWD/user-store" ANTARES_STATE_DIR="$PWD/user-state" "$@"; }
            trap 'umount -l user-mnt' EXIT
            user ./antares-aot mount tar:archive.tar user-mnt --workspace-root "$PWD/user-state"
            user sh -c 'cd user-mnt && echo more >> f && rm d/g && stat -c %u:%g . f d'
            user ./antares-aot umount user-mnt
            trap - EXIT
            """;
        ShellResult result = Shell.Run("unshare", ["-m", "/bin/bash", "-c", script], 60, _scratch.Path, environment: ("BIN", TestEnvironment.Binary));
        Assert.Equal("1000:1000\n1000:1000\n1000:1000\n", result.Must());
    }

    private GitRepository Sample()
    {
        var repository = new GitRepository(_scratch.Join("repo"));
        _ = repository.CommitSample();
        return repository;
    }

    private string Archive(string fill, string name = "archive.tar", string options = "")
    {
        string folder = _scratch.Make("content of " + name), tar = _scratch.Join(name);
        _ = Shell.Bash($"{fill}\ntar {options} -cf '{tar}' .", directory: folder).Must();
        return tar;
    }

    private int Images() => int.Parse(Shell.Bash($"find {_store}/images -type f 2>/dev/null | wc -l").Must());

    private ShellResult Try(params string[] arguments) =>
        Shell.Run(TestEnvironment.Binary, arguments, 120, environment: [("ANTARES_STATE_DIR", _state), ("ANTARES_STORE", _store)]);

    private static void WaitForThePacking(System.Diagnostics.Process command)
    {
        string? line;
        do
        {
            line = command.StandardError.ReadLine();
            Assert.NotNull(line);
        }
        while (!line.Contains("packing it", StringComparison.Ordinal));
    }

    private System.Diagnostics.Process Start(params string[] arguments) =>
        Shell.Start(TestEnvironment.Binary, arguments, environment: [("ANTARES_STATE_DIR", _state), ("ANTARES_STORE", _store)]);
}
