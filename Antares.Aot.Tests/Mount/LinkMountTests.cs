using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Hard links: of files of the upper and the lower, their counts, and one content behind all names.</summary>
public sealed class LinkMountTests
{
    [MountTheory, Mounts]
    public void LinksOfUpperFiles(MountKind kind) => Parity.Check(kind, "mkdir d\n", """
        put f one => ok
        link f g => ok
        link g d/h => ok
        stat f n => 3
        stat d/h n => 3
        mark i f => ok
        cmp i d/h id => i= d=
        app g +two => ok
        cat f => 'one+two'
        cat d/h => 'one+two'
        chmod d/h 600 => ok
        stat f m => 600
        unlink f => ok
        stat g n => 2
        cmp i g i => i=
        rename g d/g => ok
        stat d/g n => 2
        open h d/h RDWR => ok
        unlink d/g => ok
        fstat h n => 1
        unlink d/h => ok
        fstat h n => 0
        read h 20 => 'one+two'
        ls . => [1] 'd:d'
        """);

    [MountTheory, Mounts]
    public void ALinkOfALowerFileCopiesItUp(MountKind kind) => Parity.Check(kind, "put f low\nmkdir d\nput d/g low-g\nsymlink f l\nutimens f 1000.5 2000.7\n", """
        mark i f => ok
        link f d/h => ok
        stat f n => 2
        stat d/h n => 2
        cmp i f iM => i= M=
        cmp i d/h i => i=
        app d/h +x => ok
        cat f => 'low+x'
        link l l2 => ok
        lstat l2 t => l
        readlink l2 => 'f'
        lstat l n => 2
        linkfollow l viaf => ok
        stat f n => 3
        link d d2 => EPERM
        link f d/h => EEXIST
        link none x => ENOENT
        link f none/x => ENOENT
        rename f d/moved => ok
        stat d/moved n => 3
        unlink d/h => ok
        !remount
        stat d/moved n => 2
        cat viaf => 'low+x'
        lstat l2 tn => l 2
        """);

    [MountTheory, Mounts]
    public void LinkOfAnUnlinkedFileIsRefused(MountKind kind) => Parity.Check(kind, "put f low\n", """
        open a f RDWR => ok
        unlink f => ok
        linkfd a x => ENOENT
        put g up => ok
        open b g RDWR => ok
        unlink g => ok
        linkfd b x => ENOENT
        ls . => [0]
        """);

    /// <summary>Nor is that of a lower file whose other names an earlier mount removed; one whose other name nobody has looked at yet has a name.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void LinkOfALowerFileThatLostItsNamesIsRefused(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        _ = Probe.Check(mount.Lower, "put a low\nlink a b\nput c low\nmkdir d\nlink c d/c\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, "unlink b => ok\n");
        mount.Unmount();
        mount.Mount();
        _ = Probe.Check(mount.Root, """
            open f a RDWR => ok
            unlink a => ok
            linkempty f x => ENOENT
            linkfd f x => ENOENT
            pread f 9 0 => 'low'
            open g c RDWR => ok
            unlink c => ok
            linkempty g y => ok
            app y + => ok
            cat d/c => 'low+'
            ls . => [2] 'd:d' 'y:f'
            """);
    }

    /// <summary>An open file that lost the name known so far still has the one in a directory of the upper that nobody has looked at in this mount.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void AFileWithANameNotSeenYetCanBeLinked(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        mount.Mount();
        _ = Probe.Check(mount.Root, "mkdir d\nput a up\nlink a d/b\n");
        mount.Unmount();
        mount.Mount();
        _ = Probe.Check(mount.Root, """
            open f a RDWR => ok
            unlink a => ok
            linkfd f c => ok
            write f UP => ok
            cat d/b => 'UP'
            cat c => 'UP'
            stat c n => 2
            unlink c => ok
            unlink d/b => ok
            pread f 9 0 => 'UP'
            linkfd f e => ENOENT
            """);
    }

    [MountTheory, Mounts]
    public void LinkByDescriptor(MountKind kind) => Parity.Check(kind, "put f low\n", """
        open a f RDONLY => ok
        linkempty a h => ok
        linkfd a i => ok
        stat f n => 3
        app h + => ok
        pread a 9 0 => 'low+'
        """);

    /// <summary>Names that share one file in the lower share one after copy-up too, as on a disk; kernel overlayfs breaks the link.</summary>
    [MountTheory, Mounts(NotKernel = "breaks lower hard links at copy-up without index=on")]
    public void LowerLinksStayLinked(MountKind kind) => Parity.Check(kind, "put a low\nlink a b\nmkdir d\nlink a d/c\n", """
        ls d => [1] 'c:f'
        stat a n => 3
        mark i a => ok
        cmp i b i => i=
        cmp i d/c i => i=
        app b +up => ok
        cat b => 'low+up'
        cat a => 'low+up'
        cat d/c => 'low+up'
        cmp i a i => i=
        cmp i d/c i => i=
        stat a n => 3
        unlink b => ok
        stat a n => 2
        cat d/c => 'low+up'
        """, otherKernelTree: "kernel overlayfs knows nothing of names that were not copied up");

    /// <summary>Names of one lower file show one st_ino in each mount, whichever name was looked at first, and a listing shows it too.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void NumbersOfLowerLinksAreTheSameInEachMount(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        _ = Probe.Check(mount.Lower, "mkdir d\nmkdir e\nmkdir f\nput d/x low\nlink d/x e/y\nlink d/x f/z\nput e/other low\n");
        var seen = new HashSet<string>();
        foreach (string order in (string[])["d/x e/y f/z", "f/z e/y d/x", "e/y f/z d/x"])
        {
            mount.Mount();
            string[] numbers = Shell.Bash("cd \"$R\" && stat -c %i $ORDER", environment: [("R", mount.Root), ("ORDER", order)]).Must()
                .Split('\n', StringSplitOptions.RemoveEmptyEntries);
            Assert.Equal(3, numbers.Length);
            _ = Probe.Check(mount.Root, "dino d => ok\ndino e => ok\ndino f => ok\n");
            seen.UnionWith(numbers);
            mount.Unmount();
        }
        Assert.True(seen.Count == 1, $"numbers seen: {string.Join(' ', seen)}");
    }

    /// <summary>What was written through one name of a lower file shows under a name first looked at after that one was deleted and forgotten.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void ALinkSeenLateHoldsWhatWasWritten(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        _ = Probe.Check(mount.Lower, "put a low\nmkdir d\nlink a d/b\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, "app a +up => ok\nunlink a => ok\n");
        // The kernel says that it forgot a file a moment after the close.
        for (int i = 0; i < 20 && mount.Gauge("unlinked_in_work") == 0; i++)
            Thread.Sleep(100);
        _ = Probe.Check(mount.Root, "cat d/b => 'low+up'\napp d/b ! => ok\ncat d/b => 'low+up!'\nunlink d/b => ok\nls d => [0]\n");
    }

    /// <summary>What is written through a descriptor after its name was removed is in the other name too, which nobody has looked at so far.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void ALinkSeenLateHoldsWhatWasWrittenAfterTheRemoval(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        _ = Probe.Check(mount.Lower, "mkdir a\nmkdir b\nput a/x low\nlink a/x b/x\nput a/y low\nlink a/y b/y\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, """
            open f a/x RDWR => ok
            unlink a/x => ok
            pwrite f NEW 0 => ok
            close f => ok
            open g a/y RDWR => ok
            unlink a/y => ok
            pwrite g NEW 0 => ok
            stat b/y n => 1
            rename b/y c => ok
            cat c => 'NEW'
            """);
        // The kernel says that it forgot a file a moment after the close.
        for (int i = 0; i < 20 && mount.Gauge("unlinked_in_work") == 0; i++)
            Thread.Sleep(100);
        _ = Probe.Check(mount.Root, "cat b/x => 'NEW'\napp b/x ! => ok\n");
        mount.Unmount();
        mount.Mount();
        _ = Probe.Check(mount.Root, "cat b/x => 'NEW!'\ncat c => 'NEW'\nls a => [0]\n");
    }

    /// <summary>A name that only a listing has shown since the copy-up is linked when it is used, and is the same file in the next mount.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void ALinkSeenInAListingStaysALink(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        _ = Probe.Check(mount.Lower, "put a low\nmkdir d\nlink a d/b\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, "app a +up => ok\n");
        _ = Shell.Run("ls", ["-l", Path.Combine(mount.Root, "d")]).Must();
        _ = Probe.Check(mount.Root, "cat d/b => 'low+up'\napp a ! => ok\n");
        mount.Unmount();
        mount.Mount();
        _ = Probe.Check(mount.Root, "cat d/b => 'low+up!'\nmark i a => ok\ncmp i d/b i => i=\n");
    }

    /// <summary>The layer's file is not touched by it, on kernel overlayfs as on ours.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir), InlineData(MountKind.Kernel)]
    public void RemovingANameMovesNoTimeOfTheOthers(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using IMountUnderTest mount = Parity.Create(kind, scratch);
        _ = Probe.Check(mount.Lower, "put a x => ok\nlink a b => ok\nmkdir d => ok\nlink a d/c => ok\n");
        mount.Mount();
        const string Times = "stat -c '%z %y' b d/c";
        string before = Shell.Bash(Times, directory: mount.Root).Must();
        _ = Probe.Check(mount.Root, "unlink a => ok\n");
        Assert.Equal(before, Shell.Bash(Times, directory: mount.Root).Must());
    }
}
