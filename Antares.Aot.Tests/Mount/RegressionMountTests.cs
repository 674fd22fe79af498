using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>What has gone wrong in overlays elsewhere, told in public threads: each as the calls that showed it, on a plain folder and on the mounts.</summary>
public sealed class RegressionMountTests
{
    /// <summary>A lower tree removed and made again, nested: lower names came back, and the removal ended in ENOTEMPTY.</summary>
    [MountTheory, Mounts]
    public void ATreeMadeAgainIsEmpty(MountKind kind) => Parity.Check(kind, "mkdirp a/b/c\nput a/f x\nput a/b/f x\nput a/b/c/f x\n", """
        rmtree a
        mkdirp a/b/c
        ls a
        ls a/b
        ls a/b/c
        rmdir a/b/c
        rmdir a/b
        mkdir a/b
        ls a/b
        put a/b/f new
        !remount
        ls a/b
        cat a/b/f
        rmtree a
        mkdir a
        rmdir a
        put a file
        !remount
        cat a
        """);

    /// <summary>Whiteouts within a directory that was made opaque are refused by other readers of the upper.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void NoWhiteoutsInOpaqueDirectories(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        _ = Probe.Check(mount.Lower, "mkdirp a/b\nput a/f x\nput a/g x\nput a/b/f x\nmkdir c\nput c/x y\nmkdir e\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, """
            unlink a/f => ok
            rmtree a/b => ok
            unlink a/g => ok
            rmdir a => ok
            mkdir a => ok
            put a/f new => ok
            unlink a/f => ok
            unlink c/x => ok
            rename e c => ok
            put c/x z => ok
            unlink c/x => ok
            """);
        mount.Unmount();
        string left = Shell.Bash("""
            for d in $(find . -type d); do
                getfattr --absolute-names -n trusted.overlay.opaque "$d" >/dev/null 2>&1 && find "$d" -mindepth 1 -maxdepth 1 -type c
            done; true
            """, directory: mount.Upper).Must();
        Assert.Equal("", left);
    }

    /// <summary>Names that were removed, or moved away, and come back as something else: "File exists", or the wrong one of two.</summary>
    [MountTheory, Mounts]
    public void NamesComeBack(MountKind kind) => Parity.Check(kind, "mkdirp d/in\nput d/in/f low\nput f low\nput g low\nmkdir e\nput e/x low\nsymlink f l\n", """
        unlink f
        rename g f
        put g new
        cat f
        cat g
        rename d moved
        mkdir d
        put d/in other
        rename moved d EXCHANGE
        cat d/in/f
        cat moved/in
        rmtree e
        rename moved e
        cat e/in
        unlink l
        mkdir l
        rmdir l
        symlink elsewhere-and-longer l
        readlink l
        unlink l
        symlink s l
        readlink l
        putx moved file
        unlink moved
        mkdir moved
        ls .
        """);

    /// <summary>A write by another user takes the set-id bits away at once: the changed program must not be run with them once more.</summary>
    [MountTheory, Mounts]
    public void AChangedProgramIsNotSetId(MountKind kind) => Parity.Check(kind, "copyself s\nchmod s 6777\ncopyself low\nchmod low 4777\n", """
        copyself a
        chmod a 4777
        copyself b
        chmod b 6777
        copyself c
        chmod c 4777
        copyself r
        chmod r 4777
        copyself from
        @u ids 1000 1000 => ok
        @u run s setid => exit 1
        @u run a setid => exit 1
        @u run b setid => exit 1
        @u run c setid => exit 1
        @u open s s RDWR
        @u pwrite s \x7f 0
        @u close s
        @u run s setid => exit 0
        @u open a a RDWR
        @u fallocate a KEEP 0 10
        @u close a
        @u run a setid => exit 0
        @u open b b RDWR
        @u open x from RDONLY
        @u copyrange x 0 b 0 1 => 1
        @u close b
        @u run b setid => exit 0
        @u open c c WRONLY|APPEND
        @u write c more
        @u close c
        @u run c setid => exit 0
        open r r RDWR
        pwrite r \x7f 0
        close r
        @u run r setid => exit 1
        stat s m
        stat a m
        stat b m
        stat c m
        stat r m
        """.Replace("open x from", kind is MountKind.AntaresKernel or MountKind.AntaresKernelImage ? "open x from" : "open x low", StringComparison.Ordinal)); // from a served lower it is EXDEV there

    /// <summary>A here-document is a file that its shell unlinks before it is read.</summary>
    [MountTheory, Mounts]
    public void HereDocuments(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using IMountUnderTest mount = Parity.Create(kind, scratch);
        _ = Probe.Check(mount.Lower, "mkdir tmp\nput f low\n");
        mount.Mount();
        // Longer than a pipe holds, or bash makes no file.
        ShellResult result = Shell.Bash("text=$(head -c 200000 /dev/zero | tr '\\0' x); cat <<EOF | wc -c\n$text\nEOF\nread -r line <<< \"$text\"; echo ${#line}", directory: mount.Root,
            environment: ("TMPDIR", Path.Combine(mount.Root, "tmp")));
        Assert.Equal("200001\n200000\n", result.Must());
        Assert.Empty(Directory.GetFileSystemEntries(Path.Combine(mount.Root, "tmp")));
    }

    /// <summary>Open files that lose or change their names while data are copied between them.</summary>
    [MountTheory, Mounts]
    public void CopyingBetweenOpenFilesThatMove(MountKind kind) => Parity.Check(kind, "gen a 100000 1\ngen b 50000 2\nput log start\n", """
        open a a RDWR
        open b b RDWR
        rename a c
        unlink b
        put b another
        copyrange a 0 b 50000 100000
        fstat b s
        hash c
        cat b
        open l log WRONLY|APPEND
        rename log log.1
        write l +one
        put log new
        write l +two
        cat log.1
        cat log
        unlink log.1
        write l +three
        fstat l n
        """);

    /// <summary>A lower file that is open is copied up by another, then gets a second name: the object must be the same.</summary>
    [MountTheory, Mounts]
    public void AnOpenLowerFileIsCopiedUpAndLinked(MountKind kind) => Parity.Check(kind, "put f low\nput g low\n", """
        open r f RDONLY
        mark k f
        app f +
        cmp k f id
        link f h
        cmp k h id
        read r 10
        stat h n
        linkfd r i
        cat i
        rename h g
        stat f n
        read r 10
        """);

    /// <summary>A mapping beyond the end of a file that became shorter: SIGBUS there, and only there.</summary>
    [MountTheory, Mounts]
    public void MappingsOfAFileThatShrinks(MountKind kind) => Parity.Check(kind, "gen f 20000 1\n", """
        open f f RDWR
        mmap m f 20000 r shared
        mget m 0 4
        truncate f 5000
        mget m 0 4
        mget m 4996 4
        mget m 12288 4
        truncate f 20000
        mget m 12288 4
        """);

    /// <summary>Reading changes neither content times nor what a build would look at.</summary>
    [MountTheory, Mounts]
    public void ReadingChangesNothing(MountKind kind) => Parity.Check(kind, "put f low\nmkdirp d/e\nput d/e/g low\nsymlink f l\nutimens f 100.5 200.5\nutimens d 100.5 200.5\n", """
        mark kf f
        mark kd d
        cat f
        hash d/e/g
        ls d
        ls d/e
        readlink l
        getxattr f user.none
        access f r
        cmp kf f Mcis
        cmp kd d Mci
        """);

    /// <summary>Attributes that nothing has are asked for once in each object, and not again with each write (but after the kernel has looked at the attributes anew).</summary>
    [MountFact]
    public void NoFloodOfRequestsForAttributes()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "gen f 100000 1\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, "open f f RDWR => ok\nwrite f x => ok\nopen n new CREAT|RDWR => ok\nwrite n x => ok\n");
        long before = mount.Requests()["getxattr"];
        string writes = string.Concat(Enumerable.Range(0, 200).Select(_ => "write f xxxx => ok\nwrite n yyyy => ok\n"));
        _ = Probe.Check(mount.Root, "open f f RDWR => ok\nopen n new RDWR => ok\n" + writes);
        Assert.InRange(mount.Requests()["getxattr"] - before, 0, 4);
    }

    /// <summary>Thousands of mapped files, as a linker has them, need no descriptor each.</summary>
    [MountFact]
    public void MappedFilesNeedNoDescriptors()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder, "--fd-cache", "16") { Wrapper = ["prlimit", "--nofile=128:128"] };
        _ = Probe.Check(mount.Lower, "mkdir d\nmany d f 3000\n");
        mount.Mount();
        string script = string.Concat(Enumerable.Range(0, 32).Select(i => $"app d/f{i} {i} => ok\nopen f{i} d/f{i} RDWR => ok\nmmap m{i} f{i} 4096 rw shared => ok\nclose f{i} => ok\n"));
        _ = Probe.Check(mount.Root, script + "mput m3 0 Z => ok\nmget m3 0 1 => 'Z'\n");
        Assert.Equal("3000\n", Shell.Bash("cat d/* > /dev/null && ls d | wc -l", directory: mount.Root).Must());
        Assert.InRange(Directory.GetFiles($"/proc/{mount.ServerPid()}/fd").Length, 1, 127);
    }
}
