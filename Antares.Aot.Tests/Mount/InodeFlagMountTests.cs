using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>What lsattr and chattr show and set: flags of an object, what they forbid, its project.</summary>
public sealed class InodeFlagMountTests
{
    private const string Lower = "put f low\nmkdir d\nput d/x low\nmkdir e\n";

    /// <summary>Of a file and a directory made here, and of those of a lower, which the change copies up.</summary>
    [MountTheory, Mounts(KernelEngineToo = true, NotOnErofs = "flags and project of a lower file that was not copied up are ENOTTY")]
    public void FlagsAreSetAndStay(MountKind kind) => Parity.Check(kind, Lower, """
        put up x => ok
        open u up RDWR => ok
        getflags u => 0
        setflags u 40 => ok
        getflags u => 40
        setflags u 0 => ok
        getflags u => 0
        ioctl u 0x5401 => ENOTTY
        open f f RDONLY => ok
        getflags f => 0
        setflags f 40 => ok
        getflags f => 40
        cat f => 'low'
        open d d RDONLY|DIRECTORY => ok
        getflags d => 0
        setflags d 40 => ok
        getflags d => 40
        !remount
        open f f RDONLY => ok
        getflags f => 40
        open d d RDONLY|DIRECTORY => ok
        getflags d => 40
        ls d => [1] 'x:f'
        """);

    /// <summary>chattr +i and -i. On a disk an open for writing is refused, here the write: both are EPERM.</summary>
    [MountTheory, Mounts(KernelEngineToo = true, NotOnErofs = "flags and project of a lower file that was not copied up are ENOTTY")]
    public void AnImmutableFile(MountKind kind) => Parity.Check(kind, Lower, OnEachFile("""
        open o FILE RDONLY => ok
        setflags o 10 => ok
        getflags o => 10
        FORBIDDEN
        app FILE x => EPERM
        utimens FILE now now => EPERM
        cat FILE => 'low'
        """) + "!remount\n" + OnEachFile("""
        open o FILE RDONLY => ok
        getflags o => 10
        FORBIDDEN
        app FILE x => EPERM
        cat FILE => 'low'
        setflags o 0 => ok
        getflags o => 0
        ALLOWED
        """));

    /// <summary>A descriptor that was opened for writing before writes no longer.</summary>
    [MountTheory, Mounts(NotKernel = "it keeps the flag as a mark, and such a descriptor writes on")]
    public void ADescriptorOfAFileThatBecameImmutable(MountKind kind) => Parity.Check(kind, Lower, OnEachFile("""
        open o FILE RDWR => ok
        pwrite o L 0 => ok
        setflags o 10 => ok
        pwrite o x 0 => EPERM
        ftruncate o 1 => EPERM
        cat FILE => 'Low'
        setflags o 0 => ok
        pwrite o l 0 => ok
        """));

    /// <summary>chattr +a and -a.</summary>
    [MountTheory, Mounts(KernelEngineToo = true, NotOnErofs = "flags and project of a lower file that was not copied up are ENOTTY")]
    public void AFileForAppendsAlone(MountKind kind) => Parity.Check(kind, Lower, OnEachFile("""
        open o FILE RDONLY => ok
        setflags o 20 => ok
        getflags o => 20
        FORBIDDEN
        app FILE + => ok
        utimens FILE now now => ok
        cat FILE => 'low+'
        """) + "!remount\n" + OnEachFile("""
        open o FILE RDONLY => ok
        getflags o => 20
        FORBIDDEN
        cat FILE => 'low+'
        setflags o 0 => ok
        getflags o => 0
        ALLOWED
        """));

    /// <summary>The upper's file can be opened for appends alone then, and the server writes where it is told: it appends as long as it had it open before.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir), InlineData(MountKind.Kernel)]
    public void AFileForAppendsAloneInTheNextMount(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using IMountUnderTest mount = Parity.Create(kind, scratch);
        string answer = kind == MountKind.Kernel ? "ok" : "EPERM";
        Parity.Play(mount, $"""
            put up low => ok
            open o up RDONLY => ok
            setflags o 20 => ok
            app up + => ok
            !remount
            app up + => {answer}
            open o up RDONLY => ok
            setflags o 0 => ok
            app up + => ok
            """);
    }

    [MountTheory, Mounts(KernelEngineToo = true)]
    public void ADirectoryInWhichNothingChanges(MountKind kind) => Parity.Check(kind, Lower, OnEachDirectory("""
        app PLACE/x + => ok
        open o PLACE RDONLY|DIRECTORY => ok
        setflags o 10 => ok
        getflags o => 10
        put PLACE/n x => EPERM
        mkdir PLACE/n => EPERM
        symlink x PLACE/n => EPERM
        link PLACE/x PLACE/n => EPERM
        rename PLACE/x PLACE/n => EPERM
        rename PLACE/x out => EPERM
        rename e PLACE/e => EPERM
        unlink PLACE/x => EPERM
        rename PLACE other => EPERM
        chmod PLACE 711 => EPERM
        setxattr PLACE user.a b => EPERM
        app PLACE/x + => ok
        """) + "!remount\n" + OnEachDirectory("""
        open o PLACE RDONLY|DIRECTORY => ok
        getflags o => 10
        unlink PLACE/x => EPERM
        put PLACE/n x => EPERM
        setflags o 0 => ok
        getflags o => 0
        put PLACE/n x => ok
        rename PLACE/n PLACE/m => ok
        unlink PLACE/m => ok
        cat PLACE/x => 'low++'
        """));

    [MountTheory, Mounts(KernelEngineToo = true, NotOnErofs = "flags and project of a lower file that was not copied up are ENOTTY")]
    public void ADirectoryInWhichNamesAreOnlyAdded(MountKind kind) => Parity.Check(kind, Lower, OnEachDirectory("""
        open o PLACE RDONLY|DIRECTORY => ok
        setflags o 20 => ok
        getflags o => 20
        put PLACE/n x => ok
        mkdir PLACE/k => ok
        app PLACE/x + => ok
        rename PLACE/x PLACE/y => EPERM
        rename PLACE/n out => EPERM
        unlink PLACE/n => EPERM
        unlink PLACE/x => EPERM
        rmdir PLACE/k => EPERM
        rename PLACE other => EPERM
        chmod PLACE 711 => EPERM
        """) + "!remount\n" + OnEachDirectory("""
        open o PLACE RDONLY|DIRECTORY => ok
        getflags o => 20
        unlink PLACE/x => EPERM
        put PLACE/n2 x => ok
        setflags o 0 => ok
        unlink PLACE/x => ok
        rename PLACE/n PLACE/m => ok
        """));

    /// <summary>lsattr -p and chattr -p: as the upper's file system has it, which need not know of projects.</summary>
    [MountTheory, Mounts(NotOnErofs = "flags and project of a lower file that was not copied up are ENOTTY")]
    public void Projects(MountKind kind) => Parity.Check(kind, Lower, """
        put up x => ok
        open u up RDONLY => ok
        getproject u => 0
        setproject u 0 nodump => ok
        getproject u => 0 nodump
        setproject u 77
        getproject u
        open f f RDONLY => ok
        getproject f => 0
        setproject f 77
        getproject f
        open d d RDONLY|DIRECTORY => ok
        getproject d => 0
        setproject d 78
        getproject d
        put d/new x => ok
        open n d/new RDONLY => ok
        getproject n
        """);

    /// <summary>What only a file system could answer of itself, and a read that must not wait, which no request can promise.</summary>
    [MountTheory, Mounts(NotPlain = "ext4 answers these")]
    public void WhatOnlyADiskAnswers(MountKind kind) => Parity.Check(kind, Lower, """
        open f f RDONLY => ok
        ioctl f 0x80087601 => ENOTTY
        ioctl f 0x81009431 => ENOTTY
        readnow f => EOPNOTSUPP
        read f 3 => 'low'
        app f + => ok
        ioctl f 0x80087601 => ENOTTY
        ioctl f 0x81009431 => ENOTTY
        readnow f => EOPNOTSUPP
        """);

    /// <summary>Flags that a layer's objects had before: kernel overlayfs obeys them, we neither show nor copy them.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir), InlineData(MountKind.Kernel)]
    public void FlagsOfALowerObjectDoNotBind(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using IMountUnderTest mount = Parity.Create(kind, scratch);
        _ = Probe.Check(mount.Lower, """
            put i low => ok
            put a low => ok
            mkdir d => ok
            open i i RDONLY => ok
            open a a RDONLY => ok
            open d d RDONLY|DIRECTORY => ok
            setflags i 10 => ok
            setflags a 20 => ok
            setflags d 10 => ok
            """);
        bool ours = kind != MountKind.Kernel;
        Parity.Play(mount, $"""
            open i i RDONLY => ok
            getflags i => {(ours ? "0" : "10")}
            app i + => {(ours ? "ok" : "EPERM")}
            open a a RDONLY => ok
            getflags a => {(ours ? "0" : "20")}
            put a new => {(ours ? "ok" : "EPERM")}
            put d/new x => {(ours ? "ok" : "EPERM")}
            getflags i => {(ours ? "0" : "10")}
            getflags a => {(ours ? "0" : "20")}
            unlink i => {(ours ? "ok" : "EPERM")}
            """);
        mount.Unmount();
        _ = Probe.Check(mount.Lower, "cat i => 'low'\ncat a => 'low'\nls d => [0]\nopen i i RDONLY => ok\ngetflags i => 10\n");
    }

    /// <summary>The copy has to be made in the upper's directory, which takes nothing new; kernel overlayfs keeps the flag as a mark, so that it can be.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir), InlineData(MountKind.Kernel)]
    public void NothingIsCopiedUpIntoAnImmutableDirectory(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using IMountUnderTest mount = Parity.Create(kind, scratch);
        _ = Probe.Check(mount.Lower, Lower);
        string answer = kind == MountKind.Kernel ? "ok" : "EPERM";
        Parity.Play(mount, $"""
            open d d RDONLY|DIRECTORY => ok
            setflags d 10 => ok
            app d/x + => {answer}
            chmod d/x 600 => {answer}
            setflags d 0 => ok
            app d/x - => ok
            cat d/x => '{(kind == MountKind.Kernel ? "low+-" : "low-")}'
            """);
        mount.Unmount();
        if (kind != MountKind.Kernel)
            Parity.AssertWorkIsClean(mount.Work!);
    }

    /// <summary>Our flags are those of the upper's objects, and bind whoever takes it up; kernel overlayfs keeps marks that only itself obeys.</summary>
    [MountFact]
    public void AnUpperWithFlagsThatChangesHands()
    {
        const string Flag = "put up low => ok\nopen o up RDONLY => ok\nsetflags o 10 => ok\nopen f f RDONLY => ok\nsetflags f 10 => ok\n";
        using var scratch = new ScratchFolder();
        using var kernel = new KernelOverlay(scratch);
        _ = Probe.Check(kernel.Lower, Lower);
        kernel.Mount();
        _ = Probe.Check(kernel.Root, Flag);
        kernel.Unmount();
        using var ours = new AntaresMount(scratch, MountKind.AntaresFolder);
        ours.Mount();
        _ = Probe.Check(ours.Root, """
            open o up RDONLY => ok
            getflags o => 0
            listxattr up => [0]
            app up + => ok
            listxattr f => [0]
            app f + => ok
            unlink f => ok
            unlink up => ok
            put f low => ok
            """ + "\n" + Flag);
        ours.Unmount();
        kernel.Mount();
        _ = Probe.Check(kernel.Root, """
            open o up RDONLY => ok
            getflags o => 10
            app up + => EPERM
            unlink f => EPERM
            setflags o 0 => EPERM
            """);
        kernel.Unmount();
        _ = Probe.Check(kernel.Upper!, "open o up RDONLY => ok\nsetflags o 0 => ok\nopen f f RDONLY => ok\nsetflags f 0 => ok\n");
        kernel.Mount();
        _ = Probe.Check(kernel.Root, "app up + => ok\nunlink f => ok\n");
    }

    private static string OnEachFile(string script) => string.Concat(new[] { "up", "f" }.Select(file =>
        (file == "up" && !script.Contains("ALLOWED", StringComparison.Ordinal) ? "put up low => ok\n" : "") + script.Replace("FORBIDDEN", """
            put FILE x => EPERM
            truncate FILE 1 => EPERM
            chmod FILE 600 => EPERM
            chown FILE 5 6 => EPERM
            link FILE FILE.l => EPERM
            rename FILE FILE.r => EPERM
            rename e FILE EXCHANGE => EPERM
            rename d/x FILE => EPERM
            setxattr FILE user.a b => EPERM
            utimens FILE 1.1 2.2 => EPERM
            unlink FILE => EPERM
            """).Replace("ALLOWED", """
            chmod FILE 600 => ok
            app FILE - => ok
            link FILE FILE.l => ok
            rename FILE FILE.r => ok
            unlink FILE.l => ok
            put FILE.r new => ok
            """).Replace("FILE", file) + "\n"));

    private static string OnEachDirectory(string script) => string.Concat(new[] { "nd", "d" }.Select(directory =>
        (directory == "nd" && script.Contains("mkdir PLACE/", StringComparison.Ordinal) ? "mkdir nd => ok\nput nd/x low => ok\n" : "") + script.Replace("PLACE", directory) + "\n"));
}
