using Antares.Aot.Cli;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Options and ways of being called that come from fuse-overlayfs, mount(8) and kernel overlayfs, in real mounts.</summary>
public sealed class MountOptionMountTests
{
    private static AntaresMount Make(ScratchFolder scratch, string lower)
    {
        var mount = new AntaresMount(scratch, MountKind.AntaresFolder);
        _ = Probe.Check(mount.Lower, lower);
        return mount;
    }

    private static ShellResult TryList(AntaresMount mount, string more) =>
        mount.Try("mount", "-o", $"lowerdir={mount.Lower},upperdir={mount.Upper},workdir={mount.Work}{(more.Length > 0 ? "," : "")}{more}", mount.Root);

    private static void MountList(AntaresMount mount, string more) => _ = TryList(mount, more).Must();

    /// <summary>What the parser takes, the host takes too: each option of the mount itself alone, then everything without effect at once.</summary>
    [MountFact]
    public void EveryOptionThatIsTakenMounts()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Make(scratch, "put f x\n");
        foreach (string option in ForeignOptions.OfTheMount)
        {
            MountList(mount, option);
            _ = Probe.Check(mount.Root, "cat f => 'x'\n");
            mount.Unmount();
        }
        IEnumerable<string> idle = ForeignOptions.Idle.Select(o => o.Values is null ? o.Name : o.Values == "*" ? o.Name + "=1" : $"{o.Name}={o.Values.Split('|')[0]}");
        ShellResult result = mount.Try("mount", "--log-level", "info", "-o", $"lowerdir={mount.Lower},upperdir={mount.Upper},workdir={mount.Work},{string.Join(',', idle)}",
            mount.Root);
        _ = result.Must();
        Assert.All(ForeignOptions.Idle, option => Assert.Contains(option.Name, result.Error));
        _ = Probe.Check(mount.Root, "cat f => 'x'\nput g y => ok\n");
    }

    [MountTheory, InlineData("noexec"), InlineData("nodev"), InlineData("nosuid"), InlineData("noatime"), InlineData("sync"), InlineData("dirsync")]
    public void OptionsOfTheMountAreTheMounts(string option)
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Make(scratch, "put f x\n");
        MountList(mount, option);
        string line = File.ReadLines("/proc/mounts").Single(l => l.Split(' ')[1] == mount.Root);
        Assert.Contains(option, line.Split(' ')[3].Split(','));
    }

    /// <summary>As podman and a shell call fuse-overlayfs; layers of images hold .wh. files, which count then.</summary>
    [MountTheory, InlineData("-o LIST MNT"), InlineData("-oLIST MNT"), InlineData("MNT -o LIST"), InlineData("-s -o LIST MNT"), InlineData("-o LIST -o noatime MNT")]
    public void CalledAsFuseOverlayfs(string form)
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Make(scratch, "put f x\nput gone y\n");
        string top = scratch.Make("top");
        _ = Probe.Check(top, "put .wh.gone x\n");
        string list = $"lowerdir={top}:{mount.Lower},upperdir={mount.Upper},workdir={mount.Work}";
        _ = mount.Try([.. form.Split(' ').Select(word => word.Replace("LIST", list).Replace("MNT", mount.Root))]).Must();
        Assert.NotNull(MountTable.Find(mount.Root));
        _ = Probe.Check(mount.Root, "ls . => [1] 'f:f'\nput g z => ok\n");
    }

    [MountTheory, InlineData("-f"), InlineData("-d")]
    public void CalledAsFuseOverlayfsInTheForeground(string word)
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Make(scratch, "put f x\n");
        using System.Diagnostics.Process server = Shell.Start(TestEnvironment.Binary, [word, "-o", $"lowerdir={mount.Lower}", mount.Root], null, ("ANTARES_STATE_DIR", mount.State));
        for (int i = 0; i < 500 && MountTable.Find(mount.Root) is null; i++)
            Thread.Sleep(10);
        _ = Probe.Check(mount.Root, "cat f => 'x'\n");
        Assert.False(server.HasExited);
        mount.Unmount();
        Assert.True(server.WaitForExit(10_000));
        Assert.Equal(0, server.ExitCode);
    }

    /// <summary>Installed for real, in a mount namespace where /usr/local/bin and /sbin are copies.</summary>
    [MountFact]
    public void InstalledItIsATypeOfMount()
    {
        using var scratch = new ScratchFolder();
        ShellResult result = Shell.Run("unshare", ["--mount", "--propagation", "private", "/bin/bash", "-c", """
            set -euo pipefail
            cd "$S"
            mkdir -p l1 'l:2' u w mnt state sbin.u sbin.w bin.u bin.w
            echo one > l1/f; echo two > 'l:2/g'; echo odd > 'l1/.wh.g'
            sbin=$(readlink -f /sbin)
            mount -t overlay o -o "lowerdir=$sbin,upperdir=$PWD/sbin.u,workdir=$PWD/sbin.w" "$sbin"
            mount -t overlay o -o "lowerdir=/usr/local/bin,upperdir=$PWD/bin.u,workdir=$PWD/bin.w" /usr/local/bin
            export ANTARES_STATE_DIR=$PWD/state
            (cd "$REPO" && ANTARES_BIN="$BIN" ./build.sh install)
            list="lowerdir=$PWD/l1:$PWD/l\\:2,upperdir=$PWD/u,workdir=$PWD/w"
            echo "== mount"; mount -t fuse.antares-aot none mnt -o "$list,nodev,x-test=1"
            grep " $PWD/mnt " /proc/mounts | cut -d' ' -f3; ls -A mnt; echo new > mnt/new; umount mnt
            for i in $(seq 100); do [ -z "$(antares-aot list)" ] && break; sleep 0.1; done
            echo "== fstab"; echo "none $PWD/mnt fuse.antares-aot ${list//\\:/\\134:},noauto,ro 0 0" > fstab
            mount -T fstab mnt; cat mnt/new; touch mnt/x 2>/dev/null || echo read-only; antares-aot umount "$PWD/mnt"
            echo "== a source"; mount -t fuse.antares-aot "$PWD/l1" mnt -o ro; ls -A mnt; antares-aot umount "$PWD/mnt"
            echo "== not done"
            mount -f -t fuse.antares-aot none mnt -o "$list"; echo "fake $?"
            mount -t fuse.antares-aot none mnt -o "$list,unheard" && echo mounted || echo "unknown $?"
            mount -t fuse.antares-aot none mnt -o lowerdir=/no/such && echo mounted || echo "missing $?"
            mount -s -t fuse.antares-aot none mnt -o "$list,unheard"; echo "sloppy $?"; antares-aot umount "$PWD/mnt"
            grep -c " $PWD/mnt " /proc/mounts || true
            echo "== uninstall"; (cd "$REPO" && ./build.sh uninstall); ls bin.u sbin.u
            umount -l "$sbin" /usr/local/bin
            """], 60, environment: [("S", scratch.Path), ("BIN", TestEnvironment.Binary), ("REPO", TestEnvironment.Repository)]);
        Assert.Equal("""
            == mount
            overlay
            .wh.g
            f
            g
            == fstab
            new
            read-only
            == a source
            .wh.g
            f
            == not done
            fake 0
            unknown 1
            missing 32
            sloppy 0
            0
            == uninstall
            bin.u:

            sbin.u:

            """, result.Must());
        Assert.Contains("unknown option 'unheard'", result.Error);
    }

    /// <summary>Under a PREFIX, and below DESTDIR as for a package: what it says is what is there, and uninstall leaves no file of it.</summary>
    [MountTheory, InlineData(false), InlineData(true)]
    public void InstalledUnderAPrefix(bool staged)
    {
        using var scratch = new ScratchFolder();
        ShellResult result = Shell.Run("unshare", ["--mount", "--propagation", "private", "/bin/bash", "-c", """
            set -euo pipefail
            cd "$S"
            sbin=$(readlink -f /sbin)
            if [ -z "${DESTDIR:-}" ]; then
                mkdir sbin.u sbin.w
                mount -t overlay o -o "lowerdir=$sbin,upperdir=$PWD/sbin.u,workdir=$PWD/sbin.w" "$sbin"
            fi
            export ANTARES_BIN=$BIN
            cd "$REPO"
            ./build.sh install "$S/a prefix"
            to="${DESTDIR:-}$S/a prefix/bin/antares-aot"
            cmp "$to" "$BIN"; stat -c '%a %F' "$to"; "$to" --version >/dev/null
            readlink "${DESTDIR:-}$sbin/mount.fuse.antares-aot"
            ./build.sh install "$S/a prefix/" 2>/dev/null
            ./build.sh uninstall "$S/other" 2>/dev/null || echo "not there"
            ls "${DESTDIR:-}$sbin/mount.fuse.antares-aot"
            ./build.sh uninstall "$S/a prefix"
            ./build.sh uninstall "$S/a prefix" && echo again || echo "gone"
            [ -n "${DESTDIR:-}" ] || [ ! -e "$sbin/mount.fuse.antares-aot" ]
            find "${DESTDIR:-$S/a prefix}" ! -type d
            """], 60, environment: [("S", scratch.Path), ("BIN", TestEnvironment.Binary), ("REPO", TestEnvironment.Repository), ("DESTDIR", staged ? scratch.Join("stage") : "")]);
        string bin = $"{scratch.Path}/a prefix/bin/antares-aot", helper = $"{(staged ? scratch.Join("stage") : "")}{Shell.Run("readlink", ["-f", "/sbin"]).Must().Trim()}/mount.fuse.antares-aot";
        Assert.Equal($"755 regular file\n{bin}\nnot there\n{helper}\ngone\n", result.Must());
        string target = (staged ? scratch.Join("stage") : "") + bin;
        Assert.Equal($"""
            installed {target}
            installed {helper}, for mount -t fuse.antares-aot
            ./build.sh uninstall {scratch.Path}/a prefix takes both away
            removed {helper}
            removed {target}
            build.sh: there is no {target}; give the PREFIX that it was installed with

            """, result.Error);
    }

    [MountFact]
    public void StaticLinksShowOne()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Make(scratch, "mkdirp low/a\nmkdirp low/b\n");
        MountList(mount, "static_nlink");
        _ = Probe.Check(mount.Root, "mkdirp low/c => ok\nmkdirp new/x => ok\nlink none n => ENOENT\nput f y => ok\nlink f g => ok\n");
        Assert.Equal("1 low\n1 new\n1 new/x\n2 f\n", Shell.Bash("stat -c '%h %n' low new new/x f", directory: mount.Root).Must());
        Assert.Equal("", Shell.Bash("find . -type d ! -links 1", directory: mount.Root).Must());
    }

    [MountFact]
    public void WithoutAcls()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Make(scratch, "put f x\nsetacl f access u::rw-,u:1234:rw-,g::---,m::rw-,o::---\nsetxattr f user.x y\n");
        MountList(mount, "noacl");
        _ = Probe.Check(mount.Root, """
            getacl f access => EOPNOTSUPP
            setacl f access u::rw-,u:1235:rw-,g::---,m::rw-,o::--- => EOPNOTSUPP
            listxattr f => [1] user.x || ['user.x'] || [1] 'user.x'
            getxattr f user.x => 'y'
            setxattr f user.z w => ok
            """);
        Assert.NotEqual(0, Shell.Bash("setpriv --reuid=1234 --regid=1234 --clear-groups cat f", directory: mount.Root).ExitCode);
    }

    [MountFact]
    public void WithoutXattrs()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Make(scratch, "put f x\nsetxattr f user.x y\n");
        MountList(mount, "noxattrs=1");
        _ = Probe.Check(mount.Root, "getxattr f user.x => EOPNOTSUPP\nsetxattr f user.z w => EOPNOTSUPP\nremovexattr f user.x => EOPNOTSUPP\nput g z => ok\napp f + => ok\n");
        long before = mount.Requests()["getxattr"];
        _ = Probe.Check(mount.Root, "getxattr g user.x => EOPNOTSUPP\nmkdir d => ok\nlistxattr d => EOPNOTSUPP\n");
        Assert.Equal(before, mount.Requests()["getxattr"]);
        mount.Unmount();
        Assert.Equal("y", Shell.Bash("getfattr --only-values -n user.x f", directory: mount.Upper).Must().Trim());
    }

    /// <summary>The same answers as kernel overlayfs with the same option, redirects that are there already included.</summary>
    [MountTheory, InlineData("off"), InlineData("follow"), InlineData("nofollow")]
    public void DirectoriesStayWhereTheyAre(string value)
    {
        const string Lower = "mkdirp low/sub\nput low/sub/f x\nmkdirp old/in\nput old/in/f y\nput file z\n";
        const string Calls = """
            rename low low2
            rename low/sub low/sub2
            mkdir new
            rename new new2
            rename new2 low EXCHANGE
            rename file file2
            cat low/sub/f
            rename low/sub/f low/sub/g
            stat low2
            """;
        using var scratch = new ScratchFolder();
        using AntaresMount ours = Make(scratch, Lower);
        MountList(ours, "");
        _ = Probe.Check(ours.Root, "rename old moved => ok\ncat moved/in/f => 'y'\n");
        ours.Unmount();
        using var kernelScratch = new ScratchFolder();
        _ = Shell.Bash("cp -a \"$A\"/. \"$B\"", environment: [("A", scratch.Path), ("B", kernelScratch.Path)]).Must();
        using var kernel = new KernelOverlay(kernelScratch);
        _ = Shell.Run("mount", ["-t", "overlay", "o", "-o", $"lowerdir={kernel.Lower},upperdir={kernel.Upper},workdir={kernel.Work},redirect_dir={value}", kernel.Root]).Must();
        MountList(ours, $"redirect_dir={value}");
        string[] expected = [.. Probe.Run(kernel.Root, Calls).Select(a => a.ToString())], seen = [.. Probe.Run(ours.Root, Calls).Select(a => a.ToString())];
        Assert.Equal(expected, seen);
        Assert.Contains("rename low low2 => EXDEV", seen);
        _ = Probe.Check(ours.Root, value == "nofollow" ? "cat moved/in/f => EPERM\n" : "cat moved/in/f => 'y'\nrename moved back => EXDEV\n");
    }

    [MountFact]
    public void OneOwnerForEverything()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Make(scratch, "put f x\nchown f 5 6\nmkdir d\nchmod d 777\nchmod . 777\n");
        MountList(mount, "squash_to_root,squash_to_uid=1234");
        Assert.Equal("1234 0 f\n1234 0 d\n1234 0 .\n", Shell.Bash("stat -c '%u %g %n' f d .", directory: mount.Root).Must());
        // Made with the ids of its maker, shown with the one for all; that one may do what an owner may.
        _ = Shell.Bash("setpriv --reuid=1234 --regid=77 --clear-groups sh -c 'chmod 600 f && echo + >> f && touch d/new && mkdir d/dir'", directory: mount.Root).Must();
        _ = Probe.Check(mount.Root, "chown d/dir 8 9 => ok\n");
        Assert.Equal("1234 0 600 f\n1234 0 644 d/new\n1234 0 755 d/dir\n", Shell.Bash("stat -c '%u %g %a %n' f d/new d/dir", directory: mount.Root).Must());
        mount.Unmount();
        Assert.Equal("5 6 f\n1234 77 d/new\n8 9 d/dir\n", Shell.Bash("stat -c '%u %g %n' f d/new d/dir", directory: mount.Upper).Must());
    }

    [MountFact]
    public void AKilledServerIsUnmountedWhereThatIsAskedFor()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Make(scratch, "put f x\n");
        MountList(mount, "auto_unmount");
        _ = Probe.Check(mount.Root, "cat f => 'x'\n");
        _ = Shell.Run("kill", ["-9", $"{mount.ServerPid()}"]).Must();
        for (int i = 0; i < 500 && MountTable.Find(mount.Root) is not null; i++)
            Thread.Sleep(20);
        Assert.Null(MountTable.Find(mount.Root));
    }

    [MountFact]
    public void TheNameInTheTableIsTheOneGiven()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Make(scratch, "put f x\n");
        MountList(mount, @"fsname=a\,b c");
        Assert.Contains(File.ReadLines("/proc/mounts"), line => line.StartsWith($@"a,b\040c {mount.Root} fuse.antares-aot ", StringComparison.Ordinal));
    }

    /// <summary>As many as kernel overlayfs takes, with long paths and odd names.</summary>
    [MountFact]
    public void ManyLowers()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Make(scratch, "put last x\n");
        var folders = new List<string>();
        for (int i = 0; i < 499; i++)
        {
            string folder = scratch.Make($"l:{i},\\x");
            folders.Add(folder.Replace(@"\", @"\\").Replace(":", @"\:").Replace(",", @"\,"));
            _ = Directory.CreateDirectory(Path.Combine(folder, "d"));
            File.WriteAllText(Path.Combine(folder, "d", $"f{i}"), $"{i}");
            File.WriteAllText(Path.Combine(folder, "top"), $"{i}");
        }
        folders.Add(mount.Lower);
        _ = mount.Try("mount", "-o", $"lowerdir={string.Join(':', folders)},upperdir={mount.Upper},workdir={mount.Work}", mount.Root).Must();
        Assert.Equal(499, Directory.GetFiles(Path.Combine(mount.Root, "d")).Length);
        _ = Probe.Check(mount.Root, "cat top => '0'\ncat d/f498 => '498'\ncat last => 'x'\nput d/f3 new => ok\nunlink top => ok\nstat top => ENOENT\n");
        ShellResult tooMany = mount.Try("mount", "-o", $"lowerdir={string.Join(':', folders)}:{mount.Lower}", scratch.Make("other"));
        Assert.NotEqual(0, tooMany.ExitCode);
        Assert.Contains("500", tooMany.Error);
    }
}
