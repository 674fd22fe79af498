using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Making objects of each type, in each kind of directory, and over each kind of name.</summary>
public sealed class CreateMountTests
{
    private const string Lower = """
        mkdir d
        mkdir d/sub
        put d/f lower
        put d/g lower-g
        symlink f d/l
        symlink nowhere d/dangling
        mkdir e
        chmod d/f 640
        """;

    [MountTheory, Mounts(KernelEngineToo = true)]
    public void EachTypeInEachDirectory(MountKind kind) => Parity.Check(kind, Lower, """
        put new hello => ok
        cat new => 'hello'
        put d/new hello => ok
        mkdir d/newdir 700 => ok
        mkdir d/newdir/deep => ok
        put d/newdir/deep/f x => ok
        symlink ../f d/sub/link => ok
        readlink d/sub/link => '../f'
        cat d/sub/link => 'lower'
        symlink "" d/empty => ENOENT
        stat d tm => d 755
        stat d/newdir tm => d 700
        stat d/new => f 644 1 0 0 5
        lstat d/sub/link tms => l 777 4
        ls d
        ls d/sub
        dino d => ok
        dino d/newdir => ok
        dino . => ok
        !remount
        ls d
        cat d/new => 'hello'
        cat d/newdir/deep/f => 'x'
        dino d => ok
        """);

    [MountTheory, Mounts]
    public void ExistingNamesAreRefused(MountKind kind) => Parity.Check(kind, Lower, """
        putx d/f x => EEXIST
        mkdir d/f => EEXIST
        mkdir d/sub => EEXIST
        mkdir d => EEXIST
        symlink x d/f => EEXIST
        symlink x d/l => EEXIST
        mkfifo d/f => EEXIST
        mknod d/g r 644 => EEXIST
        link d/f d/g => EEXIST
        putx d/dangling x => EEXIST
        open f d/f RDWR|CREAT|EXCL => EEXIST
        mkdir d/f/x => ENOTDIR
        put d/f/x y => ENOTDIR
        put d/none/x y => ENOENT
        mkdir d/none/x => ENOENT
        open f d RDWR => EISDIR
        open f d WRONLY|CREAT => EISDIR
        open f d/f RDONLY|DIRECTORY => ENOTDIR
        open f d/l RDONLY|NOFOLLOW => ELOOP
        open f d/f/ RDONLY => ENOTDIR
        cat d/f => 'lower'
        ls d
        """);

    [MountTheory, Mounts]
    public void CreatingThroughASymlinkMakesItsTarget(MountKind kind) => Parity.Check(kind, Lower, """
        put d/dangling made => ok
        cat d/nowhere => 'made'
        lstat d/dangling t => l
        put d/l replaced => ok
        cat d/f => 'replaced'
        stat d/f m => 640
        ls d
        """);

    [MountTheory, Mounts]
    public void RemovedNamesAreMadeAgainAsEachType(MountKind kind) => Parity.Check(kind, Lower, """
        unlink d/f => ok
        mkdir d/f => ok
        ls d/f => [0]
        put d/f/in x => ok
        unlink d/g => ok
        symlink target d/g => ok
        readlink d/g => 'target'
        rmdir d/sub => ok
        put d/sub file => ok
        cat d/sub => 'file'
        unlink d/l => ok
        put d/l plain => ok
        lstat d/l ts => f 5
        unlink d/dangling => ok
        mkfifo d/dangling => ok
        ls d
        !remount
        ls d
        cat d/f/in => 'x'
        readlink d/g => 'target'
        lstat d/l ts => f 5
        rmtree d/f => ok
        unlink d/g => ok
        unlink d/sub => ok
        ls d
        putx d/f again => ok
        mkdir d/sub => ok
        ls d/sub => [0]
        """);

    [MountTheory, Mounts]
    public void FifosSocketsAndDevices(MountKind kind) => Parity.Check(kind, "mkdir d\nmkfifo d/lowfifo 640\nmknod d/lownull c 666 1 3\nmknod d/lowblk b 600 7 0\n", """
        mkfifo d/p 640 => ok
        stat d/p tmn => p 640 1
        mkfifo p 666 => ok
        stat p m => 644
        mknod d/null c 666 1 3 => ok
        stat d/null tmr => c 644 1,3
        mknod d/blk b 600 7 1 => ok
        stat d/blk tmr => b 600 7,1
        mknod d/big c 600 300 70000 => ok
        stat d/big tmr => c 600 300,70000
        mknod d/reg r 640 => ok
        stat d/reg tms => f 640 0
        mknod d/s s 755 => ok
        stat d/s tm => s 755
        sockbind d/listening => ok
        stat d/listening t => s
        sockconnect d/listening => ok
        sockconnect d/s => ECONNREFUSED
        open n d/null RDWR => ok
        write n x => ok
        read n 5 => ''
        stat d/lowfifo tm => p 640
        stat d/lownull tmr => c 644 1,3
        chmod d/lownull 600 => ok
        stat d/lownull tmr => c 600 1,3
        chown d/lowblk 5 6 => ok
        stat d/lowblk tmurg
        rename d/lowfifo d/moved => ok
        stat d/moved tm => p 640
        link d/p d/p2 => ok
        stat d/p2 tn => p 2
        ls d
        dino d => ok
        !remount
        ls d
        stat d/moved tm => p 640
        stat d/big tmr => c 600 300,70000
        unlink d/lownull => ok
        unlink d/p => ok
        ls d
        """);

    [MountTheory, Mounts]
    public void DataGoesThroughAFifo(MountKind kind) => Parity.Check(kind, "mkfifo low\n", """
        mkfifo p => ok
        &A open r p RDONLY
        @B open w p WRONLY => ok
        wait A => ok
        @B write w through => ok
        @A read r 20 => 'through'
        @B close w => ok
        @A read r 20 => ''
        &A open r low RDONLY
        @B open w low WRONLY => ok
        wait A => ok
        @B write w lower => ok
        @A read r 20 => 'lower'
        """);

    [MountTheory, Mounts(KernelEngineToo = true, NeedsTmpfile = true)]
    public void TmpfileIsLinkedOrVanishes(MountKind kind) => Parity.Check(kind, Lower, """
        open t d TMPFILE|RDWR 640 => ok
        fstat t tmns => f 640 0 0
        write t hello => ok
        pread t 10 0 => 'hello'
        linkfd t d/named => ok
        stat d/named tmns => f 640 1 5
        cat d/named => 'hello'
        linkfd t d/second => ok
        fstat t n => 2
        linkfd t d/f => EEXIST
        write t more => ok
        cat d/second => 'hellomore'
        close t => ok
        open u d/sub TMPFILE|RDWR => ok
        write u gone => ok
        fchmod u 600 => ok
        ftruncate u 2 => ok
        pread u 9 0 => 'go'
        fstat u mns => 600 0 2
        ls d/sub => [0]
        open x d TMPFILE|RDWR|EXCL => ok
        linkfd x d/never => ENOENT
        umask 27 => ok
        open n d TMPFILE|RDWR 666 => ok
        fstat n m => 640
        umask 22 => ok
        open r . TMPFILE|WRONLY => ok
        write r root => ok
        linkfd r atroot => ok
        cat atroot => 'root'
        open bad d TMPFILE|RDONLY => EINVAL
        open bad d/f TMPFILE|RDWR => ENOTDIR
        ls d
        !remount
        ls d
        cat d/second => 'hellomore'
        stat d/second n => 2
        ls d/sub => [0]
        """);

    [MountTheory, Mounts]
    public void UmaskAndModeBits(MountKind kind) => Parity.Check(kind, Lower, """
        umask 0 => ok
        open a a CREAT|WRONLY 666 => ok
        stat a m => 666
        mkdir b 777 => ok
        stat b m => 777
        mkdir st 1777 => ok
        stat st m => 1777
        mkfifo p 666 => ok
        stat p m => 666
        umask 77 => ok
        open a d/a CREAT|WRONLY 666 => ok
        stat d/a m => 600
        mkdir d/b 777 => ok
        stat d/b m => 700
        mknod d/n c 666 1 3 => ok
        stat d/n m => 600
        symlink x d/s => ok
        lstat d/s m => 777
        umask 27 => ok
        open a d/suid CREAT|WRONLY 6755 => ok
        stat d/suid m
        """);

    /// <summary>What is made over a whiteout has the time of change at once that it has afterwards.</summary>
    [MountFact]
    public void TheTimeOfChangeOverAWhiteout()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder);
        _ = Probe.Check(mount.Lower, "put a low\nput b low\nmkdir c\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, "unlink a => ok\nunlink b => ok\nrmdir c => ok\nmkdir a => ok\nsymlink x b => ok\nmkdir c => ok\n");
        const string Times = "stat -c '%n %z' a b c";
        Assert.Equal(Shell.Bash(Times, directory: mount.Upper).Must(), Shell.Bash(Times, directory: mount.Root).Must());
    }
}
