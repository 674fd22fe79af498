using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>
/// The upper is kernel overlayfs' own format, both ways: what it wrote is read by us and can be gone on with, and the other way round
/// (that one is part of each parity test, see <see cref="Parity.CheckAfterwards"/>).
/// </summary>
public sealed class UpperFormatMountTests
{
    private const string Lower = """
        mkdirp a/b/c
        put a/f low
        put a/g low-g
        put a/b/x low-x
        put a/b/c/y low-y
        mkdir e
        put e/f low
        mkdirp m/n
        put m/n/f low
        symlink a/f l
        mkfifo p
        put h1 linked
        utimens a 1.1 2.2
        chown a/g 5 6
        setxattr a/f user.x y
        """;

    private const string Work = """
        app a/f +
        unlink a/g
        rmtree a/b
        mkdir a/b
        put a/b/new n
        rename m moved
        app moved/n/f +
        rename e a/e
        unlink l
        mkdir l
        put l/x y
        link h1 h2
        chmod p 600
        setxattr a user.dir v
        symlink {t*3000} longlink
        mkdirp deep/er
        mknod dev c 600 1 3
        rename a/e/f top
        mkdir m
        put m/fresh f
        """;

    private const string MoreWork = """
        app a/f ++
        ls a/b => [1] 'new:f'
        rmtree moved
        mkdirp moved/n
        ls moved/n => [0]
        rename a again
        putx again/g back
        ls again
        rename again/e e
        put e/f new
        unlink l/x
        rmdir l
        stat l => ENOENT
        cat top => 'low'
        cat h2 => 'linked'
        rmtree m
        """;

    /// <summary>The scripts, for the engines among themselves.</summary>
    internal static string Layers => AllOk(Lower);

    internal static string Changes => AllOk(Work);

    internal static string FurtherChanges => MoreWork;

    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void AnUpperOfKernelOverlayfsIsTakenUp(MountKind kind) => TakeUp(s => new KernelOverlay(s), kind);

    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void AnUpperOfFuseOverlayfsIsTakenUp(MountKind kind)
    {
        // It cannot rename lower directories, and chmod of a lower FIFO is EIO there.
        TakeUp(s => new FuseOverlayfs(s), kind, Work.Replace("rename m moved\napp moved/n/f +\nrename e a/e\n", "mkdirp moved/n\nmkdir a/e\nput a/e/f low\nrmtree e\n")
            .Replace("chmod p 600\n", "").Replace("mkdir m\n", ""));
    }

    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void KernelOverlayfsGoesOnWithOurs(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var ours = new AntaresMount(scratch, kind);
        _ = Probe.Check(ours.Lower, Lower);
        ours.Mount();
        _ = Probe.Check(ours.Root, AllOk(Work));
        ours.Unmount();
        using var kernel = new KernelOverlay(scratch);
        kernel.Mount();
        _ = Probe.Check(kernel.Root, MoreWork);
        string tree = Probe.Digest(kernel.Root);
        kernel.Unmount();
        ours.Mount();
        Parity.AssertSameTree("kernel overlayfs", tree, "our mount", Probe.Digest(ours.Root));
    }

    private static void TakeUp(Func<ScratchFolder, IMountUnderTest> writer, MountKind kind, string work = Work)
    {
        using var scratch = new ScratchFolder();
        using IMountUnderTest first = writer(scratch);
        _ = Probe.Check(first.Lower, AllOk(Lower));
        first.Mount();
        _ = Probe.Check(first.Root, AllOk(work));
        // fuse-overlayfs shows times of its own until it is mounted anew.
        string options = first.Kind == MountKind.Kernel ? "" : "t";
        string tree = Probe.Digest(first.Root, options);
        first.Unmount();
        using var ours = new AntaresMount(scratch, kind);
        string lower = Probe.Digest(ours.Lower, "iD");
        ours.Mount();
        // Besides the mark that we read it leaves .wh..wh..opq files, which to us are files like others.
        string seen = string.Join('\n', Probe.Digest(ours.Root, options).Split('\n').Where(l => !l.Contains("/.wh..wh..opq ", StringComparison.Ordinal)));
        Parity.AssertSameTree("what wrote the upper", tree, "our mount", seen);
        if (first.Kind != MountKind.Kernel)
            return;
        _ = Probe.Check(ours.Root, MoreWork);
        Parity.CheckAfterwards(ours, scratch, lower, kernelSeesTheSame: true);
    }

    private static string AllOk(string script) => string.Join('\n', Probe.Lines(script).Select(l => l.Contains(" => ", StringComparison.Ordinal) ? l : l + " => ok"));

    /// <summary>Whiteouts, opaque marks and redirects that the layers hold are obeyed in lower layers too.</summary>
    [MountFact]
    public void AnUpperAsFirstLowerKeepsItsMarks()
    {
        using var scratch = new ScratchFolder();
        using var kernel = new KernelOverlay(scratch);
        _ = Probe.Check(kernel.Lower, AllOk(Lower));
        kernel.Mount();
        _ = Probe.Check(kernel.Root, AllOk(Work));
        string tree = Probe.Digest(kernel.Root, "T");
        kernel.Unmount();

        using var inner = new ScratchFolder(scratch.Path);
        using var ours = new AntaresMount(inner, MountKind.AntaresFolder);
        _ = ours.Try("mount", "-o", $"lowerdir={kernel.Upper}:{kernel.Lower},upperdir={ours.Upper},workdir={ours.Work}", ours.Root).Must();
        Parity.AssertSameTree("kernel overlayfs", tree, "its upper as our first lower", Probe.Digest(ours.Root, "T"));
        _ = Probe.Check(ours.Root, MoreWork);
    }

    /// <summary>
    /// Renames below directories that a layer in the middle shows elsewhere by its redirects: what the upper notes must lead there
    /// through that layer, in this mount, in the next and in kernel overlayfs.
    /// </summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void RenamesBelowTheRedirectsOfAMiddleLayer(MountKind kind)
    {
        const string Base = """
            mkdirp old/sub/deep/er
            put old/sub/f low-f
            put old/sub/deep/g low-g
            put old/sub/deep/er/h low-h
            mkdirp two/x/y
            put two/x/y/z low-z
            mkdirp three/k
            put three/k/f low-k
            """;
        const string Middle = """
            rename old new => ok
            mkdir old => ok
            put old/fresh fresh => ok
            rename two/x crossed => ok
            put crossed/mid m => ok
            rename three/k three/l => ok
            mkdir three/k => ok
            """;
        const string Calls = """
            rename new/sub moved => ok
            cat moved/f => 'low-f'
            rename moved/deep old/deep => ok
            cat old/deep/er/h => 'low-h'
            rename old/deep/er er => ok
            app er/h + => ok
            rename crossed/y new/y => ok
            cat new/y/z => 'low-z'
            rename new newer => ok
            rename newer/y three/l/y => ok
            rename three/l three/k EXCHANGE => ok
            cat three/k/y/z => 'low-z'
            rename three quatre => ok
            !remount
            cat moved/f => 'low-f'
            cat old/deep/g => 'low-g'
            cat er/h => 'low-h+'
            cat quatre/k/y/z => 'low-z'
            cat quatre/k/f => 'low-k'
            ls newer => [0]
            rename quatre/k/y y => ok
            rename moved newer/moved => ok
            rename newer moved => ok
            rename moved/moved/f f => ok
            rename old/deep moved/deep => ok
            !remount
            cat y/z => 'low-z'
            cat f => 'low-f'
            cat moved/deep/g => 'low-g'
            ls moved/moved => [0]
            ls old => [1] 'fresh:f'
            """;
        using var layers = new ScratchFolder();
        using var first = new KernelOverlay(layers);
        _ = Probe.Check(first.Lower, AllOk(Base));
        first.Mount();
        _ = Probe.Check(first.Root, Middle);
        first.Unmount();

        using var expectedScratch = new ScratchFolder(layers.Path);
        using var expected = new KernelOverlay(expectedScratch) { Layers = [first.Upper!, first.Lower] };
        Parity.Play(expected, Calls);
        string tree = Probe.Digest(expected.Root, "t");
        expected.Unmount();

        using var scratch = new ScratchFolder(layers.Path);
        using var ours = new AntaresMount(scratch, kind, "--layer", first.Upper!) { Lower = first.Lower };
        Parity.Play(ours, Calls);
        Parity.AssertSameTree("kernel overlayfs", tree, "our mount", Probe.Digest(ours.Root, "t"));
        ours.Unmount();
        using var kernel = new KernelOverlay(scratch) { Layers = [first.Upper!, first.Lower] };
        kernel.Mount();
        Parity.AssertSameTree("our mount", tree, "kernel overlayfs on our upper", Probe.Digest(kernel.Root, "t"));
    }

    /// <summary>Marks of a layer's root say nothing: kernel overlayfs merges the roots of all layers.</summary>
    [MountFact]
    public void AnOpaqueRootHidesNothing()
    {
        using var scratch = new ScratchFolder();
        string top = scratch.Make("top");
        _ = Probe.Check(top, "put a top\nsetxattr . trusted.overlay.opaque y\n");
        using var kernel = new KernelOverlay(scratch) { Layers = [top] };
        _ = Probe.Check(kernel.Lower, "put b low\n");
        _ = Probe.Check(kernel.Upper!, "setxattr . trusted.overlay.opaque y\n");
        kernel.Mount();
        const string Both = "ls . => [2] 'a:f' 'b:f'\n";
        _ = Probe.Check(kernel.Root, Both);
        kernel.Unmount();
        using var ours = new AntaresMount(scratch, MountKind.AntaresFolder, "--layer", top);
        ours.Mount();
        _ = Probe.Check(ours.Root, Both);
    }

    /// <summary>Opaque marks in the user. namespace and of fuse-overlayfs hide what lies below; .wh. names are legal names and stay.</summary>
    [MountFact]
    public void OtherMarksAreRead()
    {
        using var scratch = new ScratchFolder();
        using var ours = new AntaresMount(scratch, MountKind.AntaresFolder);
        _ = Probe.Check(ours.Lower, "put f x\nput g y\nmkdirp o/sub\nmkdirp q/sub\n");
        string top = scratch.Make("top");
        _ = Probe.Check(top, "put .wh.f x\nmkdir o\nsetxattr o user.overlay.opaque y\nmkdir q\nsetxattr q user.fuseoverlayfs.opaque y\nmknod g c 0 0 0\n");
        _ = ours.Try("mount", "-o", $"lowerdir={top}:{ours.Lower},upperdir={ours.Upper},workdir={ours.Work}", ours.Root).Must();
        _ = Probe.Check(ours.Root, """
            cat f => 'x'
            cat .wh.f => 'x'
            put .wh.new y => ok
            unlink .wh.f => ok
            stat g => ENOENT
            ls . => [4] '.wh.new:f' 'f:f' 'o:d' 'q:d'
            ls o => [0]
            ls q => [0]
            putx g again => ok
            cat g => 'again'
            """);
    }

    /// <summary>
    /// Whiteouts in xattr form, as in layers that were made where no device can be: kernel overlayfs shows the same over the same layers, with
    /// <c>userxattr</c> those of the user. namespace. The other namespace's marks are attributes to it; we obey both.
    /// </summary>
    [MountTheory, InlineData("trusted", false), InlineData("trusted", true), InlineData("user", false), InlineData("user", true)]
    public void WhiteoutsInXattrForm(string prefix, bool userXattr)
    {
        using var scratch = new ScratchFolder();
        using var kernel = new KernelOverlay(scratch);
        _ = Probe.Check(kernel.Lower, AllOk("""
            put rootw low
            put keep low
            mkdirp m/dir/in
            put m/a low
            put m/content low
            put m/emptyvalue low
            mkdirp m/sub/deep
            put m/sub/s low
            mkdir o
            put o/a low
            mkdir plain
            put plain/f low
            """));
        string top = scratch.Make("top");
        _ = Probe.Check(top, AllOk("""
            setxattr . PREFIX.overlay.opaque x
            put rootw ""
            setxattr rootw PREFIX.overlay.whiteout y
            mkdir m
            setxattr m PREFIX.overlay.opaque x
            put m/a ""
            setxattr m/a PREFIX.overlay.whiteout y
            put m/new new
            put m/content full
            setxattr m/content PREFIX.overlay.whiteout y
            put m/dir ""
            setxattr m/dir PREFIX.overlay.whiteout y
            put m/emptyvalue ""
            setxattr m/emptyvalue PREFIX.overlay.whiteout ""
            mkdir m/sub
            setxattr m/sub PREFIX.overlay.opaque x
            put m/sub/s ""
            setxattr m/sub/s PREFIX.overlay.whiteout y
            put m/sub/empty ""
            mkdir o
            setxattr o PREFIX.overlay.opaque y
            put o/b top
            """.Replace("PREFIX", prefix)));
        _ = Shell.Run("mount", ["-t", "overlay", "o", "-o", $"ro,lowerdir={top}:{kernel.Lower}{(userXattr ? ",userxattr" : "")}", kernel.Root]).Must();
        string tree = Probe.Digest(kernel.Root, "T");
        _ = Shell.Run("umount", [kernel.Root]).Must();
        using var ours = new AntaresMount(scratch, MountKind.AntaresFolder, "--layer", top);
        ours.Mount();
        string seen = Probe.Digest(ours.Root, "T");
        _ = Probe.Check(ours.Root, """
            stat rootw => ENOENT
            stat m/a => ENOENT
            stat m/dir => ENOENT
            stat m/emptyvalue => ENOENT
            cat m/content => 'full'
            cat m/new => 'new'
            cat keep => 'low'
            ls m/sub => [2] 'deep:d' 'empty:f'
            ls o => [1] 'b:f'
            listxattr m/content => [0]
            """);
        if (prefix == "user" == userXattr)
            Parity.AssertSameTree("kernel overlayfs", tree, "our mount", seen);
        else
            Assert.Contains("./m/a f ", tree);
    }

    /// <summary>
    /// Files named .wh.NAME, as the layers of container images have them, count where that is asked for: kernel overlayfs shows the same over the
    /// same layers with its own marks.
    /// </summary>
    [MountTheory, InlineData(false), InlineData(true)]
    public void AufsWhiteoutsAreReadOnRequest(bool inUpper)
    {
        const string Base = """
            put f base
            put g base
            put gone base
            mkdirp o/low
            put o/h base
            mkdirp again/sub
            put again/sub/x base
            mkdirp d/e
            put d/e/f base
            put d/e/g base
            put both base
            mkdirp longer
            put longer/{n*251} base
            """;
        const string Marked = """
            put .wh.gone x
            mkdir o
            put o/.wh..wh..opq x
            put o/new top
            put .wh.again x
            mkdirp again/sub
            put again/sub/y top
            mkdirp d/e
            put d/e/.wh.f x
            put .wh.both x
            put both top
            put .wh..wh.plnk x
            mkdir longer
            put longer/.wh.{n*251} x
            put .wh.none x
            """;
        const string Native = """
            mknod gone c 0 0 0
            mkdir o
            setxattr o trusted.overlay.opaque y
            put o/new top
            mkdirp again/sub
            setxattr again trusted.overlay.opaque y
            put again/sub/y top
            mkdirp d/e
            mknod d/e/f c 0 0 0
            put both top
            mkdir longer
            mknod longer/{n*251} c 0 0 0
            """;
        using var scratch = new ScratchFolder();
        string top = scratch.Make("top"), native = scratch.Make("native");
        using var ours = new AntaresMount(scratch, MountKind.AntaresFolder);
        _ = Probe.Check(ours.Lower, AllOk(Base));
        _ = Probe.Check(inUpper ? ours.Upper! : top, AllOk(Marked));
        _ = Probe.Check(native, AllOk(Native));
        using var kernel = new KernelOverlay(scratch);
        _ = Shell.Run("mount", ["-t", "overlay", "o", "-o", $"lowerdir={native}:{kernel.Lower}", kernel.Root]).Must();
        string expected = Probe.Digest(kernel.Root, "tT");
        string list = $"lowerdir={(inUpper ? "" : top + ":")}{ours.Lower},upperdir={ours.Upper},workdir={ours.Work},whiteouts=aufs";
        _ = ours.Try("mount", "-o", list, ours.Root).Must();
        Parity.AssertSameTree("kernel overlayfs", expected, "our mount", Probe.Digest(ours.Root, "tT"));
        _ = Probe.Check(ours.Root, """
            ls . => [8] 'again:d' 'both:f' 'd:d' 'f:f' 'g:f' 'longer:d' 'o:d' 'x:f' || *
            stat gone => ENOENT
            stat .wh.gone => ENOENT
            stat again/sub/x => ENOENT
            put .wh.f x => EPERM
            mkdir .wh.d => EPERM
            symlink x .wh.s => EPERM
            mkfifo .wh.p => EPERM
            link f .wh.l => EPERM
            rename f .wh.f => EPERM
            rename g f EXCHANGE => ok
            putx gone new => ok
            unlink both => ok
            mkdir both => ok
            rmtree o => ok
            mkdir o => ok
            ls o => [0]
            put d/e/f back => ok
            rename d d2 => ok
            cat d2/e/f => 'back'
            unlink d2/e/g => ok
            rmtree longer => ok
            """);
        string worked = Probe.Digest(ours.Root);
        ours.Unmount();
        _ = ours.Try("mount", "-o", list, ours.Root).Must();
        Parity.AssertSameTree("before the remount", worked, "after it", Probe.Digest(ours.Root));
        ours.Unmount();
        if (!inUpper)
            return;
        // What was looked at has one kind of marks now, which kernel overlayfs reads too.
        Assert.Equal("./.wh..wh.plnk\n", Shell.Bash("find . -name '.wh.*'", directory: ours.Upper).Must());
        _ = Shell.Bash("touch -r . stamp.$$ && rm .wh..wh.plnk && touch -r stamp.$$ . && mv stamp.$$ .. && touch -r ../stamp.$$ .", directory: ours.Upper).Must();
        _ = Shell.Run("umount", [kernel.Root]).Must();
        kernel.Mount();
        Parity.AssertSameTree("our mount", worked, "kernel overlayfs", Probe.Digest(kernel.Root));
    }

    /// <summary>Not asked for, they are files like others.</summary>
    [MountFact]
    public void AufsWhiteoutsAreFilesOtherwise()
    {
        using var scratch = new ScratchFolder();
        using var ours = new AntaresMount(scratch, MountKind.AntaresFolder, "--whiteouts", "overlay");
        _ = Probe.Check(ours.Lower, "put f x\nput .wh.f y\n");
        ours.Mount();
        _ = Probe.Check(ours.Root, "ls . => [2] '.wh.f:f' 'f:f'\nunlink .wh.f => ok\nput .wh.g z => ok\nstat .wh.f => ENOENT\n");
    }

    /// <summary>
    /// What kernel overlayfs leaves in an upper besides its content (origins, an index, link counts, its UUID) does no harm, and what nested
    /// overlays keep there is theirs.
    /// </summary>
    [MountTheory]
    [InlineData("index=on,redirect_dir=on")]
    [InlineData("index=on,nfs_export=on,redirect_dir=nofollow")]
    [InlineData("xino=on,redirect_dir=on,uuid=on")]
    [InlineData("redirect_dir=off")]
    [InlineData("userxattr")]
    public void UppersOfEachKindOfKernelOverlayfs(string options)
    {
        using var scratch = new ScratchFolder();
        using var kernel = new KernelOverlay(scratch);
        _ = Probe.Check(kernel.Lower, AllOk(Lower));
        _ = Shell.Run("mount", ["-t", "overlay", "o", "-o", $"lowerdir={kernel.Lower},upperdir={kernel.Upper},workdir={kernel.Work},{options}", kernel.Root]).Must();
        _ = Probe.Run(kernel.Root, Work);
        _ = Probe.Run(kernel.Root, "link h2 h3\nsetxattr a trusted.overlay.opaque y\nsetxattr a trusted.overlay.overlay.opaque y\n");
        // The index has a link of its own to each file, which shows to everybody who does not use the index, kernel overlayfs included.
        string digest = options.Contains("index=on", StringComparison.Ordinal) ? "n" : "";
        string tree = Probe.Digest(kernel.Root, digest);
        _ = Shell.Run("umount", [kernel.Root]).Must();
        using var ours = new AntaresMount(scratch, MountKind.AntaresFolder);
        ours.Mount();
        Parity.AssertSameTree("kernel overlayfs", tree, "our mount", Probe.Digest(ours.Root, digest));
        _ = Probe.Run(ours.Root, MoreWork);
        string worked = Probe.Digest(ours.Root);
        ours.Unmount();
        Assert.Equal("", Shell.Bash("find work -mindepth 1", directory: ours.Work).Must());
        ours.Mount();
        Parity.AssertSameTree("before the remount", worked, "after it", Probe.Digest(ours.Root));
    }

    /// <summary>A file whose content kernel overlayfs left in the layer below must never be shown as zeros.</summary>
    [MountTheory, InlineData(true), InlineData(false)]
    public void FilesWithoutContentAreRefused(bool asUpper)
    {
        using var scratch = new ScratchFolder();
        using var kernel = new KernelOverlay(scratch);
        _ = Probe.Check(kernel.Lower, "put f content\nput g content\nput h content\nmkdir d\nput d/i content\n");
        _ = Shell.Run("mount", ["-t", "overlay", "o", "-o", $"lowerdir={kernel.Lower},upperdir={kernel.Upper},workdir={kernel.Work},metacopy=on,redirect_dir=on", kernel.Root]).Must();
        _ = Probe.Check(kernel.Root, "chmod f 600 => ok\nchmod d/i 600 => ok\nchmod g 600 => ok\napp g + => ok\nput new x => ok\n");
        _ = Shell.Run("umount", [kernel.Root]).Must();
        Assert.Contains("metacopy", Shell.Bash("getfattr -m- -d f", directory: kernel.Upper).Must());
        using var inner = new ScratchFolder(scratch.Path);
        using var ours = new AntaresMount(inner, MountKind.AntaresFolder);
        string layers = asUpper ? $"lowerdir={kernel.Lower},upperdir={kernel.Upper},workdir={kernel.Work}"
            : $"lowerdir={kernel.Upper}:{kernel.Lower},upperdir={ours.Upper},workdir={ours.Work}";
        _ = ours.Try("mount", "--engine", "fuse", "-o", layers, ours.Root).Must();
        _ = Probe.Check(ours.Root, """
            cat f => EIO
            app f + => EIO
            truncate f 3 => EIO
            rename f f2 => EIO
            link f f2 => EIO
            cat d/i => EIO
            cat g => 'content+'
            cat h => 'content'
            cat new => 'x'
            unlink d/i => ok
            rename d e => ok
            ls e => [0]
            """);
        Assert.Equal("7 600 f\n", Shell.Bash("stat -c '%s %a %n' f", directory: ours.Root).Must());
        Assert.Contains("metacopy", ours.Try("errors", ours.Root).Must());
        ours.Unmount();
        _ = ours.Try("mount", "--engine", "kernel", "-o", layers, ours.Root).Must();
        _ = Probe.Check(ours.Root, "cat f => EPERM\ncat e/i => ENOENT\ncat g => 'content+'\ncat new => 'x'\n");
        ours.Unmount();
        if (!asUpper)
            return;
        // It is still whole for kernel overlayfs, and once that has copied the content, for us.
        _ = Shell.Run("mount", ["-t", "overlay", "o", "-o", $"lowerdir={kernel.Lower},upperdir={kernel.Upper},workdir={kernel.Work},metacopy=on,redirect_dir=on", kernel.Root]).Must();
        _ = Probe.Check(kernel.Root, "cat f => 'content'\napp f + => ok\n");
        _ = Shell.Run("umount", [kernel.Root]).Must();
        _ = ours.Try("mount", "-o", layers, ours.Root).Must();
        _ = Probe.Check(ours.Root, "cat f => 'content+'\nrename f f2 => ok\n");
    }

    /// <summary>The same in a tree of Dicfuse: an upper of kernel overlayfs given as a source alone.</summary>
    [MountTheory]
    [InlineData("trusted", "")]
    [InlineData("user", ",userxattr")]
    public void FilesWithoutContentAreRefusedInASource(string prefix, string options)
    {
        using var scratch = new ScratchFolder();
        using var kernel = new KernelOverlay(scratch);
        using var inner = new ScratchFolder(scratch.Path);
        using var ours = new AntaresMount(inner, MountKind.AntaresDir);
        if (prefix == "trusted")
        {
            _ = Probe.Check(kernel.Lower, "put f content\nput new x\n");
            _ = Shell.Run("mount", ["-t", "overlay", "o", "-o", $"lowerdir={kernel.Lower},upperdir={ours.Lower},workdir={kernel.Work},metacopy=on{options}", kernel.Root]).Must();
            _ = Probe.Check(kernel.Root, "chmod f 600 => ok\napp new y => ok\n");
            _ = Shell.Run("umount", [kernel.Root]).Must();
        }
        else
        {
            // Kernel overlayfs makes none with user marks; one that a container of a newer kernel left looks so.
            _ = Shell.Bash("truncate -s 7 f; setfattr -n user.overlay.metacopy f; echo -n xy > new", directory: ours.Lower).Must();
        }

        // A hole of one's own is data.
        _ = Shell.Bash("truncate -s 5000 hole", directory: ours.Lower).Must();
        Assert.Contains($"{prefix}.overlay.metacopy", Shell.Bash("getfattr -m- -d f", directory: ours.Lower).Must());
        ours.Mount();
        _ = Probe.Check(ours.Root, "cat f => EIO\napp f + => EIO\ncat new => 'xy'\n");
        Assert.Equal("5000\n", Shell.Bash("cat hole | wc -c; echo + >> hole", directory: ours.Root).Must());
        Assert.Contains("metacopy", ours.Try("errors", ours.Root).Must());
        ours.Unmount();
        Assert.Equal(3, ours.Try("pack", ours.Lower, "-o", inner.Join("image")).ExitCode);
    }

    /// <summary>The first of the lower layers hides the others, and directories of all are merged.</summary>
    [MountFact]
    public void SeveralLowersMerge()
    {
        using var scratch = new ScratchFolder();
        string a = scratch.Make("a"), b = scratch.Make("b"), c = scratch.Make("c");
        _ = Probe.Check(a, "put f from-a\nmkdir d\nput d/a a\nput x file\nmkdir y\nput y/a a\n");
        _ = Probe.Check(b, "put f from-b\nmkdir d\nput d/b b\nput d/a b\nmkdir x\nput x/hidden h\nput y file\nput only-b b\n");
        _ = Probe.Check(c, "put f from-c\nmkdir d\nput d/c c\nmkdir y\nput y/c hidden-by-b\n");
        using var kernel = new KernelOverlay(scratch);
        _ = Shell.Run("mount", ["-t", "overlay", "o", "-o", $"lowerdir={a}:{b}:{c}", kernel.Root]).Must();
        string expected = Probe.Digest(kernel.Root, "T");
        using var ours = new AntaresMount(scratch, MountKind.AntaresFolder);
        _ = ours.Try("mount", "-o", $"lowerdir={a}:{b}:{c},upperdir={ours.Upper},workdir={ours.Work}", ours.Root).Must();
        Parity.AssertSameTree("kernel overlayfs", expected, "our mount", Probe.Digest(ours.Root, "T"));
        _ = Probe.Check(ours.Root, """
            cat f => 'from-a'
            ls d => [3] 'a:f' 'b:f' 'c:f'
            cat d/a => 'a'
            cat x => 'file'
            ls y => [1] 'a:f'
            dino . => ok
            dino d => ok
            """);
        ours.Unmount();
        _ = ours.Try("mount", c, ours.Root, "--layer", a, "--layer", b, "--upper", ours.Upper!, "--work", ours.Work!).Must();
        Parity.AssertSameTree("kernel overlayfs", expected, "our mount with --layer", Probe.Digest(ours.Root, "T"));
    }

    /// <summary>Objects of layers on different file systems may have equal inode numbers below; in the mount they must not.</summary>
    [MountFact]
    public void LayersOfDifferentFileSystemsShareNoInode()
    {
        using var scratch = new ScratchFolder();
        string a = scratch.Make("a"), b = scratch.Make("b");
        using var ours = new AntaresMount(scratch, MountKind.AntaresFolder);
        try
        {
            _ = Shell.Bash("mount -t tmpfs a \"$A\" && mount -t tmpfs b \"$B\"", environment: [("A", a), ("B", b)]).Must();
            _ = Probe.Check(a, "many . a 200\nmkdir d\n");
            _ = Probe.Check(b, "many . b 200\nmkdir d\nmkdir e\n");
            _ = ours.Try("mount", "-o", $"lowerdir={a}:{b},upperdir={ours.Upper},workdir={ours.Work}", ours.Root).Must();
            _ = Probe.Check(ours.Root, "many . u 200 => ok\ndino . => ok\n");
            string pairs = Shell.Bash("find \"$R\" -printf '%D %i\\n' | sort | uniq -d | head", environment: ("R", ours.Root)).Must();
            Assert.Equal("", pairs);
            string devices = Shell.Bash("find \"$R\" -printf '%D\\n' | sort -u | wc -l", environment: ("R", ours.Root)).Must();
            Assert.Equal("1", devices.Trim());
            ours.Unmount();
        }
        finally
        {
            _ = Shell.Bash("umount \"$A\" \"$B\"", environment: [("A", a), ("B", b)]);
        }
    }

    /// <summary>Tools compare inode numbers across runs: they stay over remounts, also of copied-up, renamed and new files.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void InodeNumbersStayOverRemounts(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using var ours = new AntaresMount(scratch, kind);
        _ = Probe.Check(ours.Lower, AllOk(Lower));
        ours.Mount();
        string before = Probe.Digest(ours.Root, "i");
        ours.Unmount();
        ours.Mount();
        Parity.AssertSameTree("first mount", before, "second mount", Probe.Digest(ours.Root, "i"));
        _ = Probe.Check(ours.Root, AllOk(Work));
        string worked = Probe.Digest(ours.Root, "i");
        ours.Unmount();
        ours.Mount();
        Parity.AssertSameTree("before the remount", worked, "after it", Probe.Digest(ours.Root, "i"));
    }
}
