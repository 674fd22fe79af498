using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>chmod, chown, times: exact to the nanosecond, on each state of a file, and kept by copy-up.</summary>
public sealed class AttributeMountTests
{
    private const string Lower = """
        put f lower
        chmod f 640
        chown f 12 34
        utimens f 1000000000.123456789 1111111111.987654321
        mkdir d
        put d/g lower
        utimens d 5.000000001 6.000000002
        symlink target l
        utimens l 77.000000007 88.000000008
        put s suid
        chown s 12 34
        chmod s 6755
        """;

    [MountTheory, Mounts]
    public void LowerAttributesShowThrough(MountKind kind) => Parity.Check(kind, Lower, """
        stat f => f 640 1 12 34 5
        stat f M => 1111111111987654321
        stat d M => 6000000002
        lstat l M => 88000000008
        stat s m => 6755
        """);

    [MountTheory, Mounts(KernelEngineToo = true)]
    public void ChangesOfEachKind(MountKind kind) => Parity.Check(kind, Lower, """
        chmod f 4711 => ok
        stat f mug => 4711 12 34
        stat f M => 1111111111987654321
        cat f => 'lower'
        chown f 100 200 => ok
        stat f mug => 711 100 200
        chown d/g 1 -1 => ok
        stat d/g ug => 1 0
        chown d 7 8 => ok
        stat d mug => 755 7 8
        stat d M => 6000000002
        chmod d 2775 => ok
        stat d m => 2775
        lchown l 9 10 => ok
        lstat l ug => 9 10
        lstat l M => 88000000008
        readlink l => 'target'
        utimens f 123.000000001 456.000000002 => ok
        stat f aM => 123000000001 456000000002
        utimens f omit 789.5 => ok
        stat f M => 789000000005
        utimens d 1.1 2.2 => ok
        stat d M => 2000000002
        utimens l 3.3 4.4 => ok
        lstat l M => 4000000004
        !remount
        stat f => f 711 1 100 200 5
        stat f M => 789000000005
        stat d M => 2000000002
        lstat l M => 4000000004
        """);

    [MountTheory, Mounts]
    public void TimesOutsideTheUsualRange(MountKind kind) => Parity.Check(kind, "put f x\nput g y\nutimens g -5.5 -100.25\n", """
        utimens f -1000.999999999 -86400.000000001 => ok
        stat f aM
        utimens f 4102444800.1 4294967296.2 => ok
        stat f aM => 4102444800000000001 4294967296000000002
        stat g M
        app g z => ok
        !remount
        stat f M => 4294967296000000002
        """);

    [MountTheory, Mounts]
    public void NowAndOmit(MountKind kind) => Parity.Check(kind, Lower, """
        mark a f => ok
        utimens f omit now => ok
        cmp a f M => M+
        mark b f => ok
        utimens f omit omit => ok
        cmp b f aM => a= M=
        utimens f now now => ok
        open h f RDWR => ok
        futimens h 10.5 20.5 => ok
        fstat h aM => 10000000005 20000000005
        """);

    /// <summary>Copy-up keeps mtime, mode, owner; a chmod of a lower file changes neither content nor mtime.</summary>
    [MountTheory, Mounts(KernelEngineToo = true)]
    public void CopyUpKeepsTimes(MountKind kind) => Parity.Check(kind, Lower, """
        chmod f 600 => ok
        stat f M => 1111111111987654321
        setxattr f user.a b => ok
        stat f M => 1111111111987654321
        link f h => ok
        stat h M => 1111111111987654321
        rename f r => ok
        stat r M => 1111111111987654321
        rename d e => ok
        stat e/g s => 5
        """);

    /// <summary>As kernel overlayfs: the layers below are left as they are, access times too.</summary>
    [MountTheory, Mounts(NotPlain = "nothing is below it")]
    public void ReadingMovesNoTimeBelow(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using IMountUnderTest mount = Parity.Create(kind, scratch);
        _ = Probe.Check(mount.Lower, "put f x\nmkdirp d/e\nput d/e/g y\nput c z\n");
        const string Objects = ". c d d/e d/e/g f";
        _ = Shell.Bash($"touch -d @1000000000 {Objects}", directory: mount.Lower).Must();
        mount.Mount();
        _ = Shell.Bash("cat f d/e/g; ls . d d/e; grep -r y .; echo more >> c; mv d d2; ls d2/e", directory: mount.Root).Must();
        string expected = string.Concat(Objects.Split(' ').Select(name => $"{name} 1000000000\n"));
        Assert.Equal(expected, Shell.Bash($"stat -c '%n %X' {Objects}", directory: mount.Lower).Must());
    }

    [MountTheory, Mounts]
    public void CtimeAndMtimeMove(MountKind kind) => Parity.Check(kind, Lower, """
        mark f f => ok
        sleep 20 => ok
        chmod f 600 => ok
        cmp f f cM => c+ M=
        mark f f => ok
        sleep 20 => ok
        app f x => ok
        cmp f f cMs => c+ M+ s+
        mark f f => ok
        sleep 20 => ok
        truncate f 3 => ok
        cmp f f cMs => c+ M+ s-
        mark f f => ok
        sleep 20 => ok
        link f f2 => ok
        cmp f f cM => c+ M=
        mark f f => ok
        sleep 20 => ok
        unlink f2 => ok
        cmp f f cM => c+ M=
        mark f f => ok
        sleep 20 => ok
        rename f f3 => ok
        cmp f f3 c => c+
        """);

    /// <summary>What make and ninja look at: a directory's mtime moves when an entry comes or goes, and not otherwise.</summary>
    /// <summary>chown of neither owner nor group changes nothing, but ctime moves, and set-id bits go.</summary>
    [MountTheory, Mounts]
    public void AChownOfNothingMovesCtime(MountKind kind) => Parity.Check(kind, Lower, """
        put up x
        chmod up 6755
        mark f f => ok
        mark d d => ok
        mark l l => ok
        mark u up => ok
        sleep 20 => ok
        chown f -1 -1 => ok
        chown d -1 -1 => ok
        lchown l -1 -1 => ok
        chown up -1 -1 => ok
        cmp f f c => c+
        cmp d d c => c+
        cmp l l c => c+
        cmp u up c => c+
        cmp f f Mmui
        stat f => f 640 1 12 34 5
        stat up m
        chown s -1 -1 => ok
        stat s m
        open g d/g RDONLY => ok
        fmark g g => ok
        sleep 20 => ok
        fchown g -1 -1 => ok
        fcmp g g c => c+
        """);

    [MountTheory, Mounts]
    public void DirectoryTimesFollowTheirEntries(MountKind kind) => Parity.Check(kind, Lower + "\nmkdir e\nutimens e 5.0 6.0\n", """
        mark d d => ok
        sleep 20 => ok
        put d/new x => ok
        cmp d d Mc => M+ c+
        mark d d => ok
        sleep 20 => ok
        app d/new y => ok
        cmp d d Mc => M= c=
        unlink d/g => ok
        cmp d d Mc => M+ c+
        mark d d => ok
        sleep 20 => ok
        rename d/new e/new => ok
        cmp d d Mc => M+ c+
        stat e M
        mark e e => ok
        sleep 20 => ok
        mkdir e/sub => ok
        cmp e e Mc => M+ c+
        mark e e => ok
        sleep 20 => ok
        rmdir e/sub => ok
        cmp e e Mc => M+ c+
        mark e e => ok
        sleep 20 => ok
        rename e/new e/new2 => ok
        cmp e e Mc => M+ c+
        mark e e => ok
        sleep 20 => ok
        link e/new2 e/new3 => ok
        cmp e e Mc => M+ c+
        mark e e => ok
        sleep 20 => ok
        symlink x e/l => ok
        cmp e e Mc => M+ c+
        """.Replace("stat e M\n", ""));

    /// <summary>Copy-up makes the file's parents in the upper; their times must not move, or make rebuilds all that depends on them.</summary>
    [MountTheory, Mounts]
    public void ParentTimesStayAtCopyUp(MountKind kind) => Parity.Check(kind, """
        mkdirp a/b/c
        put a/b/c/f low
        put a/b/c/g low
        put a/x low
        utimens a/b/c 10.000000001 20.000000002
        utimens a/b 11.000000001 21.000000002
        utimens a 12.000000001 22.000000002
        """, """
        app a/b/c/f +up => ok
        stat a/b/c M => 20000000002
        stat a/b M => 21000000002
        stat a M => 22000000002
        chmod a/b/c/g 600 => ok
        truncate a/x 1 => ok
        stat a/b/c M => 20000000002
        stat a M => 22000000002
        open r a/b/c/g RDWR => ok
        write r zz => ok
        close r => ok
        stat a/b/c M => 20000000002
        !remount
        stat a/b/c M => 20000000002
        stat a/b M => 21000000002
        stat a M => 22000000002
        """);

    [MountTheory, Mounts]
    public void TruncateOfEachState(MountKind kind) => Parity.Check(kind, "gen f 100000 1\nput g low\nmkdir d\n", """
        truncate f 50000 => ok
        stat f s => 50000
        open f f RDWR => ok
        check f 0 50000 1 => ok
        ftruncate f 60000 => ok
        pread f 4 59000 => '\x00\x00\x00\x00'
        check f 0 50000 1 => ok
        truncate f 0 => ok
        fstat f s => 0
        truncate g 10 => ok
        cat g => 'low\x00\x00\x00\x00\x00\x00\x00'
        truncate d 0 => EISDIR
        truncate none 0 => ENOENT
        truncate g -1 => EINVAL
        open r g RDONLY => ok
        ftruncate r 0 => EINVAL
        open t g RDWR|TRUNC => ok
        fstat t s => 0
        cat g => ''
        """);

    [MountTheory, Mounts(NotKernel = "a merged directory has nlink 1 there")]
    public void LinkCountsOfDirectories(MountKind kind) => Parity.Check(kind, "mkdirp d/a\nmkdir d/b\nput d/f x\nmkdir e\n", """
        stat . n => 4
        stat d n => 4
        stat e n => 2
        mkdir d/c => ok
        stat d n => 5
        rmdir d/a => ok
        stat d n => 4
        rename d/b e/b => ok
        stat d n => 3
        stat e n => 3
        put d/b file => ok
        stat d n => 3
        rename e/b d/c => ok
        stat e n => 2
        stat d n => 3
        rmtree d => ok
        mkdir d => ok
        stat d n => 2
        !remount
        stat d n => 2
        stat e n => 2
        stat . n => 4
        """);

    /// <summary>A folder source shows its own access times; a dir: source has one time for each node, which a copy keeps.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder, "1"), InlineData(MountKind.AntaresDir, "2")]
    public void AccessTimesOfEachSource(MountKind kind, string seconds)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        _ = Probe.Check(mount.Lower, "put f x => ok\nutimens f 1 2 => ok\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, $"stat f aM => {seconds}000000000 2000000000\nchmod f 600 => ok\nstat f aM => {seconds}000000000 2000000000\n");
        mount.Unmount();
        mount.Mount();
        _ = Probe.Check(mount.Root, $"stat f aM => {seconds}000000000 2000000000\n");
    }
}
