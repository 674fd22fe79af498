using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Mappings, locks, programs, and descriptors that outlive their names or their layer.</summary>
public sealed class SharingMountTests
{
    [MountTheory, Mounts(KernelEngineToo = true)]
    public void SharedMappings(MountKind kind) => Parity.Check(kind, "gen low 20000 1\ngen low2 20000 1\n", """
        open f low RDWR => ok
        mmap m f 20480 rw shared => ok
        mput m 100 MAPPED => ok
        pread f 6 100 => 'MAPPED'
        pwrite f WRITTEN 5000 => ok
        mget m 5000 7 => 'WRITTEN'
        msync m => ok
        @o open g low RDWR => ok
        @o mmap n g 20480 rw shared => ok
        @o mget n 100 6 => 'MAPPED'
        @o mput n 200 OTHER => ok
        mget m 200 5 => 'OTHER'
        mput m 300 MINE => ok
        @o mget n 300 4 => 'MINE'
        truncate low 4096 => ok
        mget m 8192 1 => SIGBUS
        mget m 100 6 => 'MAPPED'
        munmap m => ok
        put new "" => ok
        open h new RDWR => ok
        ftruncate h 32768 => ok
        mmap k h 32768 rw shared => ok
        mput k 0 header => ok
        mput k 32000 footer => ok
        pread h 6 32000 => 'footer'
        munmap k => ok
        open r low2 RDONLY => ok
        mmap bad r 4096 rw shared => EACCES
        mmap ro r 4096 r shared => ok
        mget ro 0 8
        !remount
        hash low
        hash new
        """);

    /// <summary>SQLite's -shm, the git index, linkers: stores through a mapping whose descriptor is closed must reach the file.</summary>
    [MountTheory, Mounts]
    public void StoresAfterClose(MountKind kind) => Parity.Check(kind, "gen low 20000 1\n", """
        open f low RDWR => ok
        mmap m f 20000 rw shared => ok
        close f => ok
        mput m 5 LATE => ok
        cat none => ENOENT
        munmap m => ok
        open r low RDONLY => ok
        pread r 4 5 => 'LATE'
        open g low RDWR => ok
        mmap m g 20000 rw shared => ok
        close g => ok
        mput m 10000 KEPT => ok
        rename low moved => ok
        mput m 10010 TOO => ok
        munmap m => ok
        !remount
        open r moved RDONLY => ok
        pread r 4 5 => 'LATE'
        pread r 4 10000 => 'KEPT'
        pread r 3 10010 => 'TOO'
        """);

    [MountTheory, Mounts]
    public void PrivateMappingsStayPrivate(MountKind kind) => Parity.Check(kind, "gen low 8192 1\n", """
        open f low RDWR => ok
        mmap p f 8192 rw private => ok
        mget p 0 4
        mput p 0 MINE => ok
        mget p 0 4 => 'MINE'
        check f 0 8192 1 => ok
        hash low
        """);

    /// <summary>A file's data are one, whichever descriptor or mapping shows them; kernel overlayfs leaves older ones at the lower file.</summary>
    [MountTheory, Mounts(NotKernel = "a descriptor or mapping made before copy-up keeps showing the lower file")]
    public void OlderDescriptorsSeeNewData(MountKind kind) => Parity.Check(kind, "gen low 20000 1\nput small lower\n", """
        open old low RDONLY => ok
        mmap m old 20000 r shared => ok
        mget m 0 4
        open w low RDWR => ok
        pwrite w NEWDATA 0 => ok
        pread old 7 0 => 'NEWDATA'
        mget m 0 7 => 'NEWDATA'
        fill w 20000 5000 4 => ok
        fstat old s => 25000
        check old 20000 5000 4 => ok
        ftruncate w 100 => ok
        fstat old s => 100
        pread old 50 90
        @o open r small RDONLY => ok
        @o cat small => 'lower'
        app small +up => ok
        @o pread r 20 0 => 'lower+up'
        """);

    /// <summary>The lower directory still tells the name of a file that is gone, but it is gone too.</summary>
    [MountTheory, Mounts]
    public void UnlinkedLowerFilesOfRemovedDirectories(MountKind kind) => Parity.Check(kind, "mkdir d\nmkdir f\ngen f/e 20000 1\nlink f/e f/e2\ngen f/g 100 2\n", """
        @o open e f/e RDWR => ok
        @o open g f/g RDWR => ok
        rename f d/m => ok
        rmtree d/m => ok
        @o ftruncate g 70000 => ok
        @o fill g 10 100 3 => ok
        @o check g 10 100 3 => ok
        @o fstat g ns => 0 70000
        @o fill e 10 100 3 => ok
        @o fstat e ns => 0 20000
        @o check e 110 19890 1 => ok
        ls .
        ls d
        """);

    [MountTheory, Mounts]
    public void UnlinkedFilesStayUsable(MountKind kind) => Parity.Check(kind, "gen low 20000 1\nput small lower\nchmod small 644\nput victim v\nput low3 third\nput low4 fourth\n", """
        open f low RDWR => ok
        unlink low => ok
        fstat f ns => 0 20000
        check f 0 20000 1 => ok
        pwrite f CHANGED 10 => ok
        pread f 7 10 => 'CHANGED'
        check f 17 19983 1 => ok
        ftruncate f 30000 => ok
        fstat f ns => 0 30000
        fchmod f 600 => ok
        fstat f m => 600
        fchown f 5 6 => ok
        futimens f 1.5 2.5 => ok
        fstat f ugM => 5 6 2000000005
        reopen f again RDWR => ok
        pread again 7 10 => 'CHANGED'
        pwrite again AGAIN 0 => ok
        pread f 5 0 => 'AGAIN'
        close f => ok
        pread again 5 0 => 'AGAIN'
        putx low new => ok
        pread again 5 0 => 'AGAIN'
        cat low => 'new'
        put up x => ok
        open u up RDWR => ok
        rename up victim => ok
        unlink victim => ok
        write u hello => ok
        pread u 9 0 => 'hello'
        fsetxattr u user.a b => ok
        fgetxattr u user.a => 'b'
        fallocate u 0 0 10000 => ok
        fstat u ns => 0 10000
        mmap m u 8192 rw shared => ok
        mput m 0 MAP => ok
        pread u 3 0 => 'MAP'
        open t low3 RDONLY => ok
        mmap k t 5 r shared => ok
        put over x => ok
        rename over low3 => ok
        mget k 0 5 => 'third'
        pread t 9 0 => 'third'
        unlink small => ok
        ls . => [3] 'low3:f' 'low4:f' 'low:f'
        !remount
        ls . => [3] 'low3:f' 'low4:f' 'low:f'
        """);

    /// <summary>Also a descriptor of a lower file that was opened for reading only: nlink 0, and writable through /proc/self/fd.</summary>
    [MountTheory, Mounts(NotKernel = "a read-only descriptor stays at the lower file: nlink 1, and a reopening for writing is EEXIST")]
    public void UnlinkedLowerFilesOpenedForReading(MountKind kind) => Parity.Check(kind, "put small lower\nput low3 third\ngen big 300000 1\n", """
        open r small RDONLY => ok
        unlink small => ok
        pread r 9 0 => 'lower'
        fstat r n => 0
        reopen r rw RDWR => ok
        pwrite rw WRITE 0 => ok
        pread r 9 0 => 'WRITE'
        fstat r n => 0
        open t low3 RDONLY => ok
        put over x => ok
        rename over low3 => ok
        fstat t n => 0
        pread t 9 0 => 'third'
        open b big RDONLY => ok
        unlink big => ok
        reopen b rw2 RDWR => ok
        pwrite rw2 HERE 200000 => ok
        check b 0 200000 1 => ok
        check b 200004 99996 1 => ok
        mkdir big => ok
        ls . => [2] 'big:d' 'low3:f'
        pread b 4 200000 => 'HERE'
        close rw2 => ok
        close b => ok
        !remount
        ls . => [2] 'big:d' 'low3:f'
        """);

    [MountTheory, Mounts]
    public void UnlinkedDirectoriesStayUsable(MountKind kind) => Parity.Check(kind, "mkdirp low/sub\nmkdir plain\n", """
        open d plain RDONLY|DIRECTORY => ok
        rmdir plain => ok
        fstat d t => d
        statat d x => ENOENT
        openat d f x CREAT|WRONLY => ENOENT
        dents d => ENOENT || 0
        mkdir up => ok
        open u up RDONLY|DIRECTORY => ok
        rmdir up => ok
        openat u f x CREAT|WRONLY => ENOENT
        fstat u n => *
        open l low RDONLY|DIRECTORY => ok
        rename low moved => ok
        openat l f made CREAT|WRONLY => ok
        write f x => ok
        cat moved/made => 'x'
        @w chdir moved/sub => ok
        @w put here y => ok
        rename moved again => ok
        cat again/sub/here => 'y'
        @w cat here => 'y'
        rmtree again => ok
        @w put more z => ENOENT
        @w ls . => ENOENT || [0]
        """);

    [MountTheory, Mounts]
    public void LocksOfEachKind(MountKind kind) => Parity.Check(kind, "put low x\n", """
        open f low RDWR => ok
        flock f e => ok
        @o open g low RDWR => ok
        @o flock g e => EAGAIN
        @o flock g s => EAGAIN
        flock f u => ok
        @o flock g s => ok
        flock f s => ok
        flock f e => EAGAIN
        @o flock g u => ok
        flock f u => ok
        lock f w 0 10 => ok
        @o getlk g w 5 1 => write-locked
        @o getlk g w 10 1 => free
        @o lock g w 5 10 => EAGAIN || EACCES
        @o lock g w 10 10 => ok
        pwrite f copy-up 0 => ok
        @o getlk g w 5 1 => write-locked
        lock f u 0 10 => ok
        @o lock g r 0 5 => ok
        lock f r 0 5 => ok
        lock f w 0 5 => EAGAIN || EACCES
        @o stop-reading => *
        ofdlock f w 100 10 => ok
        open h low RDWR => ok
        ofdgetlk h w 100 1 => write-locked
        ofdlock h w 105 1 => EAGAIN
        close f => ok
        ofdlock h w 105 1 => ok
        """.Replace("@o stop-reading => *\n", ""));

    /// <summary>A program can run as soon as its writer has closed it, and is busy while it is open for writing or running.</summary>
    [MountTheory, Mounts]
    public void ExecRightAfterWrite(MountKind kind) => Parity.Check(kind, "copyself low\nmkdir d\n", """
        run ./low exit 3 => exit 3
        copyself new => ok
        run ./new exit 4 => exit 4
        copyself d/again => ok
        run ./d/again exit 5 => exit 5
        copyselfopen busy => ok
        run ./busy exit 1 => ETXTBSY
        close exe => ok
        run ./busy exit 6 => exit 6
        copyself low => ok
        run ./low exit 7 => exit 7
        put script #!/bin/sh\nexit\s9\n => ok
        run ./script => EACCES
        chmod script 755 => ok
        run ./script => exit 9
        app low trailing => ok
        run ./low exit 8 => exit 8
        rename low moved => ok
        run ./moved exit 2 => exit 2
        """.Replace("put script #", "put script \\x23"), otherTree: null);

    [MountTheory, Mounts(KernelEngineToo = true)]
    public void ConcurrentCopyUpHappensOnce(MountKind kind) => Parity.Check(kind,
        string.Join('\n', Enumerable.Range(0, 10).Select(i => $"gen f{i} 2000000 {i + 1}")),
        string.Join('\n', Enumerable.Range(0, 10).Select(i => $"copyuprace f{i} 8 => ok")) + "\nls .\n");

    [MountTheory, Mounts]
    public void ManyWritersInOneNewTree(MountKind kind) => Parity.Check(kind, "mkdirp low/a/b/c/d/e\nput low/a/b/c/d/e/f0 x\n", """
        @a app low/a/b/c/d/e/f0 a => ok
        &a many low/a/b/c/d/e a 300
        &b many low/a/b/c/d/e b 300
        &c many low/a/b c 300
        &d many low/a d 300
        wait a => ok
        wait b => ok
        wait c => ok
        wait d => ok
        ls low/a/b/c/d/e
        ls low/a/b
        ls low/a
        """);
}
