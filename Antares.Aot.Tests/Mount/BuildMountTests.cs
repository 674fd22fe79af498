using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Tools as users run them: make, git, SQLite, Buck2's start, whatever copies trees.</summary>
public sealed class BuildMountTests
{
    /// <summary>After a copy-up of one source make builds exactly what depends on it, and nothing when nothing changed.</summary>
    [MountTheory, Mounts(KernelEngineToo = true)]
    public void MakeRebuildsNothingItNeedNot(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using IMountUnderTest mount = Parity.Create(kind, scratch);
        _ = Shell.Bash("""
            cd "$L" && mkdir -p src/a src/b
            for i in $(seq 10); do echo "int f$i(void) { return $i; }" > src/a/f$i.c; done
            echo 'int main(void) { return 0; }' > src/b/main.c
            cat > Makefile <<'EOF'
            SOURCES := $(wildcard src/a/*.c src/b/*.c)
            prog: $(SOURCES:.c=.o) listing
            	cc -o $@ $(SOURCES:.c=.o)
            %.o: %.c
            	cc -c -o $@ $<
            # depends on the folder itself: its time must not move when a file in it is copied up
            listing: src/a src/b
            	ls src/a src/b > $@
            EOF
            make -s prog && touch -d '2001-01-01' src/a src/b && make -s prog
            """, environment: ("L", mount.Lower)).Must();
        mount.Mount();
        string again = Make(mount);
        Assert.Equal("", again);
        _ = Shell.Bash("cd \"$R\" && stat -c %y src/a > before && echo '/* changed */' >> src/a/f3.c && chmod 600 src/b/main.c && stat -c %y src/a > after && cmp before after",
            environment: ("R", mount.Root)).Must();
        string partial = Make(mount);
        Assert.Contains("src/a/f3.o", partial);
        Assert.DoesNotContain("src/a/f4.o src/a/f4.c", partial);
        Assert.Equal("", Make(mount));
        mount.Unmount();
        mount.Mount();
        Assert.Equal("", Make(mount));
    }

    private static string Make(IMountUnderTest mount) =>
        string.Join('\n', Shell.Bash("cd \"$R\" && make prog", 120, environment: ("R", mount.Root)).Must().Split('\n').Where(l => l.Length > 0 && !l.StartsWith("make", StringComparison.Ordinal)));

    [MountTheory, Mounts(KernelEngineToo = true)]
    public void GitOverALowerTree(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using IMountUnderTest mount = Parity.Create(kind, scratch);
        int files = TestEnvironment.Long ? 5000 : 600;
        _ = Shell.Bash($"cd \"$L\" && for i in $(seq {files}); do d=d$((i % 50)); [ -d $d ] || mkdir $d; echo \"file $i\" > $d/f$i; done", 120, environment: ("L", mount.Lower)).Must();
        mount.Mount();
        _ = Shell.Bash("""
            set -e
            export HOME="$S" GIT_CONFIG_NOSYSTEM=1
            cd "$R"
            git init -q . && git config user.email a@b && git config user.name n && git config gc.auto 0
            git add -A && git commit -q -m first
            [ -z "$(git status --porcelain)" ]
            git mv d1 renamed && echo more >> d2/f2 && rm -r d3 && git add -A && git commit -q -m second
            git gc -q && git fsck --full --strict
            git checkout -q HEAD~1 && [ -d d1 ] && [ -d d3 ] && [ ! -e renamed ]
            git checkout -q - && [ -d renamed ] && [ ! -e d3 ]
            git stash -q 2>/dev/null || true
            git worktree add -q ../wt-inside-"$$" HEAD 2>/dev/null && git worktree remove ../wt-inside-"$$" || true
            [ -z "$(git status --porcelain)" ]
            git rev-list --count HEAD
            """, 300, environment: [("R", mount.Root), ("S", scratch.Path)]).Must();
        mount.Unmount();
        mount.Mount();
        Assert.Equal("", Shell.Bash("cd \"$R\" && git fsck --full 2>&1 && git status --porcelain", 120, environment: [("R", mount.Root), ("HOME", scratch.Path)]).Must());
    }

    /// <summary>The seed's own case: SQLite in WAL mode, the -shm file mapped shared by two processes.</summary>
    [MountTheory, Mounts]
    public void Buck2StartUpSequence(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using IMountUnderTest mount = Parity.Create(kind, scratch);
        _ = Probe.Check(mount.Lower, "mkdir src\nput src/BUCK x\n");
        mount.Mount();
        Assert.Contains("OK", Shell.Run(Path.Combine(TestEnvironment.Repository, "examples/buck2-startup/startup.sh"), [mount.Root], 120).Must());
        Assert.Contains("ok", Shell.Run(Probe.Path, ["mapheld", Path.Combine(mount.Root, "shared")], 60).Must());
    }

    [MountTheory, Mounts(KernelEngineToo = true)]
    public void TwoProcessesOnOneWalDatabase(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using IMountUnderTest mount = Parity.Create(kind, scratch);
        // The database itself lies in the lower: the first commit copies it up while the other process reads.
        _ = Shell.Bash("cd \"$L\" && sqlite3 db 'PRAGMA journal_mode=WAL; CREATE TABLE t(k INTEGER PRIMARY KEY, who TEXT, v BLOB); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000) INSERT INTO t SELECT i, \"seed\", randomblob(300) FROM n;' && rm -f db-wal db-shm",
            environment: ("L", mount.Lower)).Must();
        mount.Mount();
        int each = TestEnvironment.Long ? 5000 : 300;
        _ = Shell.Bash($$"""
            cd "$R"
            writer() {
                { echo ".timeout 60000"; for i in $(seq {{each}}); do echo "INSERT INTO t(who, v) VALUES('$1', randomblob(100)); UPDATE t SET v = randomblob(200) WHERE k = 1 + ($i * 7919) % 3000;"; done; } | sqlite3 -bail db
            }
            writer a & a=$!
            writer b & b=$!
            wait $a && wait $b || exit 1
            [ "$(sqlite3 db "SELECT count(*) FROM t WHERE who = 'a'")" = {{each}} ] || exit 2
            [ "$(sqlite3 db "SELECT count(*) FROM t WHERE who = 'b'")" = {{each}} ] || exit 3
            [ "$(sqlite3 db 'PRAGMA integrity_check')" = ok ] || exit 4
            """, 300, environment: ("R", mount.Root)).Must();
        mount.Unmount();
        mount.Mount();
        Assert.Equal("ok", Shell.Run("sqlite3", [Path.Combine(mount.Root, "db"), "PRAGMA integrity_check"]).Must().Trim());
    }

    /// <summary>tar, cp -a, rsync-like copies in and out keep everything.</summary>
    [MountTheory, Mounts]
    public void CopiesInAndOutAreExact(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using IMountUnderTest mount = Parity.Create(kind, scratch);
        string source = scratch.Make("source"), back = scratch.Make("back");
        _ = Probe.Check(source, """
            mkdirp a/b/c
            gen a/f 100000 1
            link a/f a/b/hard
            symlink ../f a/b/l
            mkfifo a/p
            put a/ro x
            chmod a/ro 400
            setxattr a/f user.x y
            utimens a/f 1.1 2.2
            utimens a 3.3 4.4
            mkdir empty
            put \xff\xfe bytes
            """);
        mount.Mount();
        _ = Shell.Bash("cp -a \"$S/.\" \"$R/copy\" && tar -C \"$S\" -c . | { mkdir \"$R/tar\" && tar -C \"$R/tar\" -xp; } && cp -a \"$R/copy/.\" \"$B/\"",
            environment: [("S", source), ("R", mount.Root), ("B", back)]).Must();
        Parity.AssertSameTree("the source", Probe.Digest(source), "copied in", Probe.Digest(Path.Combine(mount.Root, "copy")));
        Parity.AssertSameTree("the source", Probe.Digest(source), "copied out", Probe.Digest(back));
        Parity.AssertSameTree("the source", Probe.Digest(source, "xt"), "unpacked", Probe.Digest(Path.Combine(mount.Root, "tar"), "xt"));
    }
}
