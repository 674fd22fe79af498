using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Whoever watches or holds on to what is in the mount: inotify, fanotify, leases, O_PATH, file handles, a root of its own.</summary>
public sealed class WatchMountTests
{
    private const string Lower = "put f low\nput gone low\nmkdirp d/sub\nput d/h low\nmkdir e\nput e/x low\nput p low\nput q low\n";

    private const string Changes = """
        app f +
        put new z
        rename new d/moved
        mkdir made
        rename made d/made
        chmod d/moved 600
        unlink gone
        app d/h +
        rename d/h h
        rmtree e
        link f d/link
        setxattr f user.a b
        truncate f 2
        rename f p
        rename d/sub sub
        """;

    [MountTheory, Mounts]
    public void Inotify(MountKind kind) => Parity.Check(kind, Lower, $"""
        watch root .
        watch dir d
        watch file f
        watch empty e
        {Changes}
        events root
        events dir
        events file
        events empty
        """);

    /// <summary>Events of the older kind, which bring a descriptor of the object.</summary>
    [MountTheory, Mounts]
    public void Fanotify(MountKind kind) => Parity.Check(kind, Lower, """
        fanwatch root .
        fanwatch dir d
        fanwatch file q
        cat f
        app f +
        put d/n x
        cat q
        fanevents root
        fanevents dir
        fanevents file
        """);

    /// <summary>Events that name the directory by its handle, and the entry.</summary>
    [MountTheory, Mounts]
    public void FanotifyWithNames(MountKind kind) => Parity.Check(kind, Lower, $"""
        fanwatch root . NAMES
        fanwatch dir d NAMES
        {Changes}
        fanevents root NAMES
        fanevents dir NAMES
        """);

    /// <summary>
    /// Without handles a whole mount or file system is watched like an object. With them an object or a directory is; a file system whose f_fsid says
    /// nothing is not (ENODEV), as kernel overlayfs, of whose handles nothing can be opened, is not (EOPNOTSUPP).
    /// </summary>
    [MountTheory, Mounts]
    public void FanotifyOfObjectsAndFileSystems(MountKind kind) => Parity.Check(kind, Lower, $"""
        fanrange f inode => ok
        fanrange . mount => ok
        fanrange . filesystem => ok
        fanrange f inode FID => ok
        fanrange d inode FID => ok
        fanrange . filesystem FID => {(kind == MountKind.Plain ? "ok" : kind.IsFuseEngine() ? "ENODEV" : "EOPNOTSUPP")}
        """);

    /// <summary>What uuid= of kernel overlayfs sets there and nothing sets here.</summary>
    [MountTheory, InlineData(""), InlineData("uuid=on"), InlineData("uuid=null")]
    public void TheFileSystemsIdIsZero(string option)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresFolder);
        _ = mount.Try("mount", "--engine", "fuse", "-o", $"lowerdir={mount.Lower},upperdir={mount.Upper},workdir={mount.Work}{(option.Length > 0 ? "," : "")}{option}", mount.Root).Must();
        Assert.Equal("0\n", Shell.Run("stat", ["-f", "-c", "%i", mount.Root]).Must());
    }

    [MountTheory, Mounts]
    public void Leases(MountKind kind) => Parity.Check(kind, Lower, """
        open r f RDONLY
        lease r r
        @w open o f RDONLY
        @w close o
        lease r u
        open w q RDWR
        lease w r
        """);

    [MountTheory, Mounts]
    public void PathDescriptors(MountKind kind) => Parity.Check(kind, Lower, """
        open p f PATH
        read p 3
        write p x
        fstat p => *
        app f +
        reopen r p RDONLY
        read r 10
        rename f g
        reopen r2 p RDWR
        write r2 new
        cat g
        unlink g
        reopen r3 p RDONLY
        read r3 10
        open d d PATH|DIRECTORY
        rename d d2
        openat h d h RDONLY
        read h 10
        openat n d fresh CREAT|RDWR
        ls d2
        symlink x l
        open l l PATH|NOFOLLOW
        """);

    /// <summary>A handle opens as long as the kernel has the object; afterwards it is stale, never another object.</summary>
    [MountTheory, Mounts(NotKernel = "without nfs_export it makes no handles")]
    public void Handles(MountKind kind) => Parity.Check(kind, Lower, """
        openhandle a f
        read a 10
        app f +
        openhandle b f
        read b 10
        openhandle c d
        rename d d2
        openhandle e d2/h
        read e 10
        """);

    /// <summary>The mount as the root of a job: pivot_root into it, with /proc and a bind mount inside, and changes made there.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void TheMountAsRoot(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        _ = Probe.Check(mount.Lower, "mkdirp bin\nmkdir proc\nmkdir old\nmkdir data\nput data/f low\n");
        foreach (string word in new[] { "sh", "cat", "umount", "mount", "mkdir", "mv", "rm", "ls" })
            File.CreateSymbolicLink(Path.Combine(mount.Lower, "bin", word), "busybox");
        File.Copy("/bin/busybox", Path.Combine(mount.Lower, "bin/busybox"));
        mount.Mount();
        ShellResult result = Shell.Run("unshare", ["--mount", "--pid", "--fork", "--propagation", "private", "/bin/bash", "-c", """
            set -e
            cd "$ROOT"
            pivot_root . old
            exec /bin/sh -ec 'PATH=/bin; cd /; mount -t proc p /proc; mount -o bind /data /old/mnt; umount /proc; mount -t proc p /proc
                umount -l /old; echo more >> /data/f; mv /data /data2; mkdir /data; cat /data2/f; rm -r /data2; ls /; umount /proc'
            """], 60, environment: ("ROOT", mount.Root));
        Assert.Equal("lowmore\nbin\ndata\nold\nproc\n", result.Must());
        _ = Probe.Check(mount.Root, "ls . => [4] 'bin:d' 'data:d' 'old:d' 'proc:d'\nls data => [0]\n");
        mount.Unmount();
    }
}
