using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>
/// With the flags of newer kernels hidden (--init-mask 5.15) everything works as well. The whole suite runs so with
/// ANTARES_TEST_MOUNT_OPTIONS="--init-mask 5.15"; this is a cross-section.
/// </summary>
public sealed class InitMaskMountTests
{
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void ACrossSectionOfCalls(MountKind kind) => Parity.Check(kind, """
        put f lower
        gen big 100000 1
        mkdirp d/sub
        put d/g low-g
        put d/sub/h low-h
        put suid x
        chmod suid 6755
        symlink f l
        copyself prog
        """, """
        app f + => ok
        cat f => 'lower+'
        open t big WRONLY|TRUNC => ok
        write t new => ok
        cat big => 'new'
        rename d moved => ok
        cat moved/sub/h => 'low-h'
        rename moved/g f EXCHANGE => ok
        cat f => 'low-g'
        unlink moved/sub/h => ok
        mkdir d => ok
        ls d => [0]
        open u l RDWR => ok
        unlink f => ok
        fstat u n => 0
        pwrite u gone 0 => ok
        pread u 4 0 => 'gone'
        mmap m u 4096 rw shared => ok
        mput m 0 MAPP => ok
        pread u 4 0 => 'MAPP'
        @u ids 1000 1000 => ok
        chmod suid 6777 => ok
        @u app suid y => ok
        stat suid m => 777
        copyself prog => ok
        run ./prog exit 4 => exit 4
        appendrace moved/f 500 64 => *
        put log "" => ok
        appendrace log 500 64 => ok
        fallocate t 0 0 8192 => ok
        seek t 0 END => 8192
        copyrange t 0 u 0 3 => EBADF
        setxattr log user.a b => ok
        getxattr log user.a => 'b'
        many d f 500 => ok
        telldir d => ok
        dino d => ok
        unlinkscan d => 500 ok
        !remount
        ls .
        ls moved
        """, otherTree: "order of two writers", timeoutSeconds: 60, options: ["--init-mask", "5.15", "--allow-other"]);

    /// <summary>A kernel without the TMPFILE request answers EOPNOTSUPP, and programs fall back; it must not be another error.</summary>
    [MountFact]
    public void TmpfileIsRefusedOrWorks()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresDir, "--init-mask", "5.15");
        mount.Mount();
        _ = Probe.Check(mount.Root, "open t . TMPFILE|RDWR => ok || EOPNOTSUPP\n");
    }

    /// <summary>
    /// System calls that came after 5.15 answer ENOSYS to whatever the binary runs, so each of them has something to fall back on: an image is
    /// packed, verified, mounted, changed and unpacked, and a folder mounted and changed.
    /// </summary>
    [MountTheory, InlineData(MountKind.AntaresImage), InlineData(MountKind.AntaresDir), InlineData(MountKind.AntaresKernel), InlineData(MountKind.AntaresKernelFolder)]
    public void NoNewerSystemCallIsNeeded(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind, "--init-mask", "5.15") { Wrapper = [Probe.Path, "linux515"] };
        _ = Probe.Check(mount.Lower, "put f lower\ngen big 1500000 1\nmkdirp d/sub\nput d/sub/h low-h\nsymlink f l\nsetxattr f user.note kept\nmany d low 40\n");
        string packed = Probe.Digest(mount.Lower);
        mount.Mount();
        _ = Probe.Check(mount.Root, """
            cat d/sub/h => 'low-h'
            getxattr f user.note => 'kept'
            app f + => ok
            cat l => 'lower+'
            chmod big 600 => ok
            rename d moved => ok
            cat moved/sub/h => 'low-h'
            unlink moved/low7 => ok
            put new x => ok
            link new hard => ok
            """);
        mount.Unmount();
        if (kind == MountKind.AntaresImage)
        {
            string unpacked = scratch.Join("unpacked");
            Assert.Equal("", mount.Try("verify", mount.Source).Must());
            _ = mount.Try("unpack", mount.Source, unpacked).Must();
            Parity.AssertSameTree("packed", packed, "unpacked", Probe.Digest(unpacked));
        }
    }
}
