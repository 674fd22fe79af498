using System.Diagnostics;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Overlays upon overlays: each keeps its own marks, and sees nothing of the other's.</summary>
public sealed class NestedMountTests
{
    private const string Lower = """
        mkdirp a/b/c
        put a/f low
        put a/b/x low-x
        put a/b/c/y low-y
        mkdirp e/in
        put e/in/f low
        put g low
        put h low
        setxattr g user.n v
        """;

    private const string Work = """
        app a/f +
        unlink g
        rmtree a/b
        mkdir a/b
        put a/b/new n
        rename e moved
        app moved/in/f +
        mkdir e
        put e/fresh f
        unlink h
        mkdir h
        put h/x y
        setxattr a user.dir v
        setxattr a trusted.overlay.opaque y
        getxattr a trusted.overlay.opaque
        rename moved/in in
        rmtree moved
        symlink x l
        link a/f a/g
        chmod a/f 600
        """;

    /// <summary>The lower, or both upper and work, of one of our mounts lie in another.</summary>
    [MountTheory]
    [InlineData(MountKind.AntaresFolder, false), InlineData(MountKind.AntaresDir, false), InlineData(MountKind.AntaresFolder, true), InlineData(MountKind.AntaresDir, true)]
    public void OursUponOurs(MountKind kind, bool upperInside)
    {
        string expected = Plain();
        using var below = new ScratchFolder();
        using var inner = new AntaresMount(below, kind);
        string folder = Path.Combine(inner.Lower, "layers");
        foreach (string name in new[] { "lower", "upper", "work" })
            _ = Directory.CreateDirectory(Path.Combine(folder, name));
        _ = Probe.Check(Path.Combine(folder, "lower"), AllOk(Lower));
        inner.Mount();
        using var above = new ScratchFolder();
        using var outer = new AntaresMount(above, kind);
        string inside = Path.Combine(inner.Root, "layers");
        outer.Lower = Path.Combine(inside, "lower");
        if (upperInside)
        {
            outer.Upper = Path.Combine(inside, "upper");
            outer.Work = Path.Combine(inside, "work");
        }
        outer.Mount();
        _ = Probe.Check(outer.Root, AllOk(Work));
        Assert.Equal(expected, Probe.Digest(outer.Root, "tT"));
        outer.Unmount();
        inner.Unmount();
        inner.Mount();
        outer.Mount();
        Parity.AssertSameTree("a plain folder", expected, "after both were mounted anew", Probe.Digest(outer.Root, "tT"));
        _ = Probe.Check(outer.Root, "rename in again => ok\napp again/f more => ok\nrmtree a => ok\nmkdirp a/b => ok\nls a/b => [0]\n");
        outer.Unmount();
        // Seen from the mount below, the marks of the one above are attributes like others, under the names that it gave them.
        if (upperInside)
            Assert.Contains("trusted.overlay.opaque=\"y\"", Shell.Bash("getfattr -d -m - -R . 2>/dev/null; true", directory: outer.Upper).Must());
        inner.Unmount();
    }

    /// <summary>An upper on kernel overlayfs, where no whiteout can be made as a device.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void AnUpperOnKernelOverlayfs(MountKind kind)
    {
        string expected = Plain();
        using var below = new ScratchFolder();
        using var kernel = new KernelOverlay(below);
        kernel.Mount();
        using var above = new ScratchFolder(kernel.Root);
        using var ours = new AntaresMount(above, kind);
        _ = Probe.Check(ours.Lower, AllOk(Lower));
        ours.Mount();
        _ = Probe.Check(ours.Root, AllOk(Work));
        Parity.AssertSameTree("a plain folder", expected, "our mount", Probe.Digest(ours.Root, "tT"));
        ours.Unmount();
        ours.Mount();
        Parity.AssertSameTree("a plain folder", expected, "after the remount", Probe.Digest(ours.Root, "tT"));
        ours.Unmount();
        // Its whiteouts are files with attributes; kernel overlayfs reads them in a lower layer.
        Assert.Contains("trusted.overlay.whiteout", Shell.Bash("getfattr -d -m - -R . 2>/dev/null; true", directory: ours.Upper).Must());
        string reader = above.Make("reader");
        _ = Shell.Run("mount", ["-t", "overlay", "o", "-o", $"ro,redirect_dir=follow,lowerdir={ours.Upper}:{ours.Lower}", reader]).Must();
        Parity.AssertSameTree("a plain folder", expected, "kernel overlayfs with our upper as its first lower", Probe.Digest(reader, "tT"));
        _ = Shell.Run("umount", [reader]).Must();
    }

    /// <summary>
    /// Where the file system leaves no whiteout in a rename, it takes some calls: whenever the server is killed among them, the file has a name, and the one that it was to
    /// replace is there or replaced.
    /// </summary>
    /// <param name="call">System call before which it is killed.</param>
    [MountTheory, InlineData("linkat"), InlineData("renameat,renameat2"), InlineData("unlinkat")]
    public void AKillInARenameOnKernelOverlayfs(string call)
    {
        using var below = new ScratchFolder();
        using var kernel = new KernelOverlay(below);
        kernel.Mount();
        int kills = 0;
        for (int when = 1; when <= 4; when++)
        {
            using var above = new ScratchFolder(kernel.Root);
            using var ours = new AntaresMount(above, MountKind.AntaresFolder);
            _ = Probe.Check(ours.Lower, "put s S\nput t T\nmkdir gone\nput gone/f x\nmkdir too\nmkdir o\n");
            ours.Mount();
            _ = Probe.Check(ours.Root, "unlink gone/f => ok\nrmdir gone => ok\nmkdir new => ok\nrmdir too => ok\nrmdir o => ok\nmkdir o => ok\nmkdir o/n => ok\n");
            using (Process tracer = Shell.Start("strace", ["-f", "-p", $"{ours.ServerPid()}", "-o", above.Join("trace"), "-e", $"inject={call}:signal=KILL:when={when}"]))
            {
                Assert.Contains("attached", tracer.StandardError.ReadLine());
                _ = Probe.Run(ours.Root, "rename o/n too\nrename s t\nrename new gone\n"); // may find nobody who answers
                if (!tracer.WaitForExit(1000))
                {
                    _ = Shell.Run("kill", ["-INT", $"{tracer.Id}"]);
                    Assert.True(tracer.WaitForExit(20_000));
                }
            }

            if (ours.ServerPids().Any())
                ours.KillServer();
            else
                kills++;
            _ = ours.Try("umount", "--stale").Must();
            ours.Mount();
            string[] names = [.. Directory.GetFileSystemEntries(ours.Root).Select(path => Path.GetFileName(path)!).Order()];
            string at = $"{call} {when}: {string.Join(' ', names)}";
            string target = File.ReadAllText(Path.Join(ours.Root, "t"));
            Assert.True(target is "S" or "T", at);
            Assert.True(target == "S" || File.ReadAllText(Path.Join(ours.Root, "s")) == "S", at);
            Assert.True(names.Except(["s", "t", "o", "too"]).ToArray() is ["new"] or ["gone"], at);
            string[] inOpaque = [.. Directory.GetFileSystemEntries(Path.Join(ours.Root, "o")).Select(path => Path.GetFileName(path)!)];
            Assert.True(inOpaque is [] || (inOpaque is ["n"] && Directory.Exists(Path.Join(ours.Root, "o/n"))), at);
        }

        Assert.True(kills > 0, $"no rename came to a {call}");
    }

    /// <summary>A directory that is made opaque while whiteouts in xattr form are in it shows none of them as files.</summary>
    [MountFact]
    public void WhiteoutsThatStayInAnOpaqueDirectory()
    {
        using var below = new ScratchFolder();
        using var kernel = new KernelOverlay(below);
        kernel.Mount();
        using var above = new ScratchFolder(kernel.Root);
        using var ours = new AntaresMount(above, MountKind.AntaresFolder);
        _ = Probe.Check(ours.Lower, "mkdir d\nput d/a low\nput d/b low\n");
        ours.Mount();
        _ = Probe.Check(ours.Root, "unlink d/a => ok\nunlink d/b => ok\nmkdir x => ok\n");
        using (new Fault(ours.ServerPid(), "unlinkat", "EIO"))
        {
            _ = Probe.Check(ours.Root, "rename x d => EIO\n");
        }

        ours.Unmount();
        ours.Mount();
        _ = Probe.Check(ours.Root, "ls d => [0]\nput d/a new => ok\nls d => [1] 'a:f'\n");
        ours.Unmount();
        ours.Mount();
        _ = Probe.Check(ours.Root, "cat d/a => 'new'\nls d => [1] 'a:f'\nunlink d/a => ok\nrename x d => ok\nls . => [1] 'd:d'\n");
    }

    /// <summary>Kernel overlayfs takes our mount as a lower layer, and refuses it as upper, as it refuses overlayfs: no whiteout can be made there.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void KernelOverlayfsUponOurs(MountKind kind)
    {
        string expected = Plain();
        using var below = new ScratchFolder();
        using var ours = new AntaresMount(below, kind);
        _ = Probe.Check(ours.Lower, AllOk(Lower));
        ours.Mount();
        using var above = new ScratchFolder();
        using var kernel = new KernelOverlay(above);
        string options = $"volatile,redirect_dir=on,lowerdir={ours.Root},upperdir={kernel.Upper},workdir={kernel.Work}";
        _ = Shell.Run("mount", ["-t", "overlay", "o", "-o", options, kernel.Root]).Must();
        _ = Probe.Check(kernel.Root, AllOk(Work));
        Parity.AssertSameTree("a plain folder", expected, "kernel overlayfs upon our mount", Probe.Digest(kernel.Root, "tT"));
        kernel.Unmount();
        _ = Probe.Check(ours.Root, "mkdir u => ok\nmkdir w => ok\n");
        ShellResult refused = Shell.Run("mount", ["-t", "overlay", "o", "-o", $"lowerdir={kernel.Lower},upperdir={ours.Root}/u,workdir={ours.Root}/w", kernel.Root]);
        Assert.NotEqual(0, refused.ExitCode);
    }

    private static string AllOk(string script) => string.Join('\n', Probe.Lines(script).Select(l => l.StartsWith("getxattr", StringComparison.Ordinal) ? l + " => 'y'" : l + " => ok"));

    // The marks of nested overlays are left out by the digest: a plain folder has none to compare.
    private static string Plain()
    {
        using var scratch = new ScratchFolder();
        using var plain = new PlainDirectory(scratch);
        _ = Probe.Check(plain.Root, AllOk(Lower));
        _ = Probe.Check(plain.Root, AllOk(Work));
        return Probe.Digest(plain.Root, "tT");
    }
}
