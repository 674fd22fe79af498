using System.Diagnostics;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Reading and writing: appends, O_TRUNC, holes, allocation, copies, and files over 4 GiB.</summary>
public sealed class DataMountTests
{
    [MountTheory, Mounts(KernelEngineToo = true)]
    public void WritesOfEachShape(MountKind kind) => Parity.Check(kind, "gen f 300000 1\ngen big 3000000 2\nput e \"\"\n", """
        open f f RDWR => ok
        check f 0 300000 1 => ok
        pwrite f HERE 150000 => ok
        check f 0 150000 1 => ok
        check f 150004 149996 1 => ok
        pread f 4 150000 => 'HERE'
        pread f 10 299995
        pread f 10 300000 => ''
        pread f 10 999999 => ''
        fill f 300000 200000 1 => ok
        check f 150004 349996 1 => ok
        fill f 1000000 10 1 => ok
        fstat f s => 1000010
        pread f 4 700000 => '\x00\x00\x00\x00'
        open b big RDWR => ok
        fill b 1 131071 9 => ok
        check b 1 131071 9 => ok
        check b 131072 2868928 2 => ok
        fill b 2999999 1048576 3 => ok
        fstat b s => 4048575
        app e first => ok
        cat e => 'first'
        open w e WRONLY => ok
        read w 5 => EBADF
        open r e RDONLY => ok
        write r x => EBADF
        hash f
        hash big
        !remount
        hash f
        hash big
        """);

    /// <summary>O_TRUNC must empty the file and what is written then must be all that it holds (with stateless opens it is easily lost).</summary>
    [MountTheory, Mounts(KernelEngineToo = true)]
    public void OpenWithTruncate(MountKind kind) => Parity.Check(kind, "gen low 100000 1\ngen low2 100000 1\nput ro keep\nchmod ro 444\n", """
        cat low => 100000:*  ||  *
        open f low WRONLY|TRUNC => ok
        fstat f s => 0
        stat low s => 0
        cat low => ''
        write f new => ok
        cat low => 'new'
        put low x => ok
        cat low => 'x'
        put up {y*5000} => ok
        open t up RDWR|CREAT|TRUNC => ok
        fstat t s => 0
        pread t 10 0 => ''
        put up z => ok
        pread t 10 0 => 'z'
        open r low2 RDONLY => ok
        check r 0 100000 1 => ok
        open t low2 RDWR|TRUNC => ok
        pread r 10 0 => ''
        fstat r s => 0
        write t abc => ok
        pread r 10 0 => 'abc'
        !remount
        cat low => 'x'
        cat up => 'z'
        cat low2 => 'abc'
        """.Replace("cat low => 100000:*  ||  *\n", "hash low\n"), otherTree: null);

    [MountTheory, Mounts]
    public void AppendsOfTwoProcesses(MountKind kind) => Parity.Check(kind, "put low start\\n\ngen big 200000 1\n", """
        appendrace low 2000 64 => ok
        put up "" => ok
        appendrace up 2000 100 => ok
        appendrace big 500 5000 => ok
        @a open f log CREAT|WRONLY|APPEND => ok
        @b open f log WRONLY|APPEND => ok
        @a write f one. => ok
        @b write f two. => ok
        @a write f three. => ok
        truncate log 3 => ok
        @b write f four. => ok
        cat log => 'onefour.'
        @a seek f 0 SET => 0
        @a write f five. => ok
        cat log => 'onefour.five.'
        """.Replace("cat log => 'onefour.five.'", "cat log => 'onefour.five.'"), otherTree: "the order of the two writers is chance");

    /// <summary>What was stored through a mapping and not synced yet is data, on a disk as here; a copy that skips holes must not lose it.</summary>
    [MountTheory, Mounts]
    public void WhatAMappingHoldsIsNoHole(MountKind kind) => Parity.Check(kind, "put low x\ntruncate low 1048576\n", """
        open f new CREAT|RDWR => ok
        ftruncate f 1048576 => ok
        mmap m f 1048576 rw shared => ok
        seek f 0 DATA => ENXIO
        mput m 524288 mapped => ok
        seek f 0 DATA => 524288
        seek f 524288 HOLE => 528384
        mput m 262144 before => ok
        seek f 0 DATA => 262144
        seek f 262144 HOLE => 266240
        seek f 266240 DATA => 524288
        mput m 266240 more => ok
        mput m 270336 more => ok
        seek f 262144 HOLE => 274432
        seek f 274432 DATA => 524288
        seek f 524288 HOLE => 528384
        mget m 524288 6 => 'mapped'
        mput m 1044480 end => ok
        seek f 528384 DATA => 1044480
        seek f 1044480 HOLE => 1048576
        munmap m => ok
        pread f 6 524288 => 'mapped'
        open l low RDWR => ok
        mmap n l 1048576 rw shared => ok
        mput n 524288 mapped => ok
        seek l 524288 DATA => 524288
        munmap n => ok
        hash new
        hash low
        """);

    [MountTheory, Mounts]
    public void SeekHoleAndData(MountKind kind) => Parity.Check(kind, "gen low 10000 1\n", """
        open l low RDWR => ok
        seek l 0 DATA => 0
        seek l 5000 DATA => 5000
        seek l 0 HOLE => 10000
        seek l 10000 DATA => ENXIO
        seek l 10000 HOLE => ENXIO
        seek l -5 END => 9995
        seek l 3 CUR => 9998
        seek l -1 SET => EINVAL
        pwrite l x 0 => ok
        seek l 0 HOLE => 10000
        open f sparse CREAT|RDWR => ok
        ftruncate f 1048576 => ok
        fill f 524288 4096 1 => ok
        seek f 0 DATA => 524288
        seek f 0 HOLE => 0
        seek f 524288 HOLE => 528384
        seek f 528384 DATA => ENXIO
        seek f 528384 HOLE => 528384
        """);

    [MountTheory, Mounts]
    public void FallocateModes(MountKind kind) => Parity.Check(kind, "gen low 65536 1\ngen low2 65536 1\ngen low3 65536 1\n", """
        open f low RDWR => ok
        fallocate f 0 0 100000 => ok
        fstat f s => 100000
        check f 0 65536 1 => ok
        fallocate f KEEP 200000 4096 => ok
        fstat f s => 100000
        fallocate f PUNCH|KEEP 4096 8192 => ok
        fstat f s => 100000
        pread f 4 4096 => '\x00\x00\x00\x00'
        check f 0 4096 1 => ok
        check f 12288 53248 1 => ok
        seek f 0 HOLE => 4096
        seek f 4096 DATA => 12288
        open g low2 RDWR => ok
        fallocate g ZERO 8192 4096 => ok
        pread g 2 8192 => '\x00\x00'
        check g 12288 53248 1 => ok
        fallocate g ZERO|KEEP 65536 4096 => ok
        fstat g s => 65536
        fallocate g ZERO 65536 4096 => ok
        fstat g s => 69632
        open h low3 RDWR => ok
        fallocate h COLLAPSE 4096 4096 => *
        fallocate h INSERT 4096 4096 => *
        fallocate h 0 -1 5 => EINVAL
        fallocate h 0 0 0 => EINVAL
        open n new CREAT|RDWR => ok
        fallocate n 0 0 1048576 => ok
        stat new s => 1048576
        stat new 5 => *
        fallocate n 0 0 99999999999999 => EFBIG || ENOSPC
        open r low RDONLY => ok
        fallocate r 0 0 10 => EBADF
        """, otherTree: "COLLAPSE and INSERT are not of FUSE: EOPNOTSUPP there");

    [MountTheory, Mounts(NotOnServedLower = "copy_file_range from a lower file that was not copied up is EXDEV")]
    public void CopyFileRange(MountKind kind) => Parity.Check(kind, "gen low 500000 1\nput low2 lower\n", """
        open a low RDONLY => ok
        open b new CREAT|RDWR => ok
        copyrange a 0 b 0 500000 => 500000
        check b 0 500000 1 => ok
        copyrange a 400000 b 500000 200000 => 100000
        fstat b s => 600000
        copyrange a 500000 b 0 10 => 0
        open c low2 RDWR => ok
        copyrange a 1 c 1 3 => 3
        copyrange b 0 c 100 1000 => 1000
        fstat c s => 1100
        copyrange c 0 c 2000 100 => 100
        open d up CREAT|RDWR => ok
        write d 0123456789 => ok
        copyrange d 2 d 20 5 => 5
        pread d 30 0
        unlink up => ok
        copyrange d 0 b 0 10 => 10
        pread b 10 0 => '0123456789'
        hash low
        hash low2
        hash new
        open ro low RDONLY => ok
        copyrange d 0 ro 0 5 => EBADF
        """);

    [MountTheory, Mounts]
    public void FilesOverFourGigabytes(MountKind kind) => Parity.Check(kind, """
        open f low CREAT|RDWR
        ftruncate f 5368709120
        pwrite f tail 5368709116
        pwrite f mid 4294967294
        """, """
        stat low s => 5368709120
        open r low RDONLY => ok
        pread r 4 5368709116 => 'tail'
        pread r 5 4294967294 => 'mid\x00\x00'
        open n new CREAT|RDWR => ok
        pwrite n far 6000000000 => ok
        pread n 5 5999999998 => '\x00\x00far'
        ftruncate n 4294967297 => ok
        fstat n s => 4294967297
        seek n 0 END => 4294967297
        """, otherTree: "not read: 5 GiB of holes", otherKernelTree: "not read");

    [MountTheory, Mounts]
    public void SyncCallsSucceed(MountKind kind) => Parity.Check(kind, "put f x\nmkdir d\n", """
        open f f RDWR => ok
        fsync f => ok
        write f y => ok
        fsync f => ok
        fdatasync f => ok
        open d d RDONLY|DIRECTORY => ok
        fsync d => ok
        put d/new x => ok
        fsync d => ok
        fdatasync d => ok
        syncfs d => ok
        open s f RDWR|SYNC => ok
        write s zz => ok
        cat f => 'zz'
        unlink f => ok
        fsync f => ok
        """);

    [MountTheory, Mounts]
    public void DirectAndBufferedMix(MountKind kind) => Parity.Check(kind, "gen low 65536 1\n", """
        open b low RDWR => ok
        open d low RDWR|DIRECT => ok
        pread d 4096 4096
        fill d 4096 4096 7 => ok
        check b 4096 4096 7 => ok
        fill b 8192 4096 8 => ok
        check d 8192 4096 8 => ok
        check b 0 4096 1 => ok
        check b 12288 53248 1 => ok
        """);

    [MountTheory, Mounts]
    public void StatfsSaysSo(MountKind kind) => Parity.Check(kind, "mkdir d\n", """
        namemax . => 255
        namemax d => 255
        space . => ok
        space d => ok
        """);

    /// <summary>The file size limit of a process binds writes in the mount too.</summary>
    [MountTheory, Mounts]
    public void FileSizeLimit(MountKind kind) => Parity.Check(kind, "gen low 5000 1\n", """
        @a fsize 10000 => ok
        @a open f low RDWR => ok
        @a pwrite f x 9999 => ok
        @a pwrite f x 10000 => EFBIG
        @a ftruncate f 20000 => EFBIG
        stat low s => 10000
        """);

    /// <summary>A file that gets larger than the limit under which the server was started (ulimit -f) is an error for whoever writes it, not the end of the mount.</summary>
    [MountFact]
    public void FileSizeLimitOfTheServer()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder) { Wrapper = ["bash", "-c", "ulimit -f 1024; exec \"$@\"", "-"] };
        _ = Probe.Check(mount.Lower, "gen low 3000000 1\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, """
            open f low RDWR => ok
            pwrite f x 5 => EFBIG
            close f => ok
            put f x => ok
            open g f RDWR => ok
            pwrite g x 2000000 => EFBIG
            ftruncate g 2000000 => EFBIG
            stat f s => 1
            open l low RDONLY => ok
            check l 0 3000000 1 => ok
            """);
    }

    /// <summary>A lower file cut off while it is copied up ends the copy with EIO, though its missing part looks like a hole; nothing of the copy stays.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void ALowerFileThatBecomesShorterIsNoCopyOfZeros(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        string lower = Path.Combine(mount.Lower, "sparse");
        _ = Shell.Bash("head -c 4096 /dev/urandom > \"$F\" && truncate -s 8M \"$F\" && printf end >> \"$F\"", environment: ("F", lower)).Must();
        mount.Mount();
        // The first extent is copied, then the copy stands still for a while.
        using Process tracer = Shell.Start("strace", ["-f", "-p", $"{mount.ServerPid()}", "-o", scratch.Join("trace"), "-e", "inject=copy_file_range:delay_exit=2000000:when=1"]);
        Assert.Contains("attached", tracer.StandardError.ReadLine());
        using Process writer = Shell.Start("/bin/bash", ["-c", "exec 5>> sparse && printf x >&5"], mount.Root);
        for (int i = 0; i < 200 && !Directory.GetFiles(Path.Combine(mount.Work!, "work")).Any(f => new FileInfo(f).Length >= 4096); i++)
            Thread.Sleep(20);
        using (FileStream file = File.OpenWrite(lower))
            file.SetLength(4096);
        string error = writer.StandardError.ReadToEnd();
        Assert.True(writer.WaitForExit(20_000) && writer.ExitCode != 0 && error.Contains("Input/output error", StringComparison.Ordinal), error);
        tracer.Kill();
        Assert.Empty(Directory.GetFileSystemEntries(mount.Upper!));
        mount.Unmount();
        Parity.AssertWorkIsClean(mount.Work!);
    }
}
