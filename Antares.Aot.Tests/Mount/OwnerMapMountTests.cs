using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>--uid-map and --gid-map: the oracle is a bind mount of a folder on disk whose owners the kernel maps.</summary>
public sealed class OwnerMapMountTests
{
    // Stored 0 to 99 are shown as 1000 to 1099; stored 7777 is not mapped.
    private const string Lower = """
        umask 022
        mkdir -p d/sub open; chmod 777 open; chmod 2775 d; echo a > d/a; echo b > b; echo c > c; ln -s b link; mkfifo fifo
        chown 5:6 d d/a; chown 7:8 b; chown 7777:7777 c; chown -h 9:10 link; chown 11:12 fifo; chown 20:21 .
        setfacl -m u:30:rw,g:31:r b; setfacl -d -m u:32:rwx,g:33:rx d; chmod 755 .
        """;

    private const string Calls = """
        as() { setpriv --reuid="$1" --regid="$2" --clear-groups "${@:3}"; }
        t stat -c '%u %g %a %n' . d d/a b c link fifo open
        t getfacl -n -p b d
        t as 1007 1008 sh -c 'echo + >> b'
        t as 1008 1008 sh -c 'echo + >> b'
        t as 1030 1030 sh -c 'echo + >> b; cat b'
        t as 1031 1031 sh -c 'echo + >> b'
        t as 1040 1041 sh -c 'cd open; echo x > f; mkdir dir; ln -s f l; mkfifo p; ln f h'
        t stat -c '%u %g %a %n' open/f open/dir open/l open/p open/h
        t as 1005 1099 sh -c 'echo x > d/new; mkdir d/dir'
        t stat -c '%u %g %a %n' d/new d/dir
        t getfacl -n -p d/new d/dir
        t as 1040 1041 rm open/p
        t as 1040 1041 mv open/f open/g
        t as 1040 1041 mv b open/b
        t chown 1050:1051 b
        t chown -h 1052:1053 link
        t chown 1000 d/sub
        t chown 1099:1099 d/a
        t chown 1100 b
        t chown 999 b
        t chown 0:0 b
        t chgrp 5 b
        t chown -h 8888 link
        t stat -c '%u %g %a %n' b link d/sub d/a
        t setfacl -m u:1060:rwx,g:1061:r b
        t setfacl -m u:60:rwx b
        t setfacl -x u:1030 b
        t getfacl -n -p b
        t touch open/root
        t mkdir open/rootdir
        t ln -s x open/rootlink
        t as 2000 1041 touch open/foreign
        t as 1041 2000 touch open/foreign
        t ls open
        t as 1007 1008 chmod 600 b
        t as 1050 1051 chmod 640 b
        t chmod 4755 open/g
        t as 1040 1041 sh -c 'echo + >> open/g'
        t stat -c '%u %g %a %n' open/g b
        t sh -c 'echo + >> d/a; cat d/a'
        t as 1099 1099 rm d/a
        t stat -c '%u %g %n' c
        t cat c
        """;

    /// <summary>With our own maps, and without them but seen through a bind mount whose ids the kernel maps (Linux 6.12).</summary>
    [MountTheory]
    [InlineData(MountKind.AntaresFolder, "ours"), InlineData(MountKind.AntaresDir, "ours")]
    [InlineData(MountKind.AntaresFolder, "kernel"), InlineData(MountKind.AntaresDir, "kernel")]
    public void AsAMountThatTheKernelMaps(MountKind kind, string maps)
    {
        bool kernelCan = Environment.OSVersion.Version >= new Version(6, 12) && !TestEnvironment.MountOptions.Contains("--init-mask");
        using var scratch = new ScratchFolder();
        File.WriteAllText(scratch.Join("lower.sh"), Lower);
        File.WriteAllText(scratch.Join("calls.sh"), Words + Calls);
        ShellResult result = Shell.Run("unshare", ["--mount", "--propagation", "private", "/bin/bash", "-c", """
            set -euo pipefail
            cd "$S"; chmod 711 .
            mkdir plain plain-shown lower upper work mnt shown state
            for f in plain lower; do (cd $f && bash -e ../lower.sh); done
            chown 20:21 upper; chmod 755 upper
            "$PROBE" idmap plain plain-shown 0 1000 100
            export ANTARES_STATE_DIR=$PWD/state
            (cd plain-shown && bash ../calls.sh) > plain.out 2>&1
            if [ "$MAPS" = ours ]; then
                "$BIN" mount "$SOURCE$PWD/lower" "$PWD/shown" --upper "$PWD/upper" --work "$PWD/work" --uid-map 1000:0:100 --gid-map 1000:0:50,1050:50:50 $OPTIONS
            else
                "$BIN" mount "$SOURCE$PWD/lower" "$PWD/mnt" --engine fuse --upper "$PWD/upper" --work "$PWD/work" $OPTIONS
                "$PROBE" idmap mnt shown 0 1000 100 || { umount mnt; exit 7; }
            fi
            trap 'umount -l shown mnt' EXIT
            (cd shown && bash ../calls.sh) > mount.out 2>&1
            [ "$MAPS" = ours ] || umount shown
            "$BIN" umount "$([ "$MAPS" = ours ] && echo "$PWD/shown" || echo "$PWD/mnt")"; trap - EXIT
            tree() { (cd $1 && find . ! -name c -printf '%p %y %m %U %G\n' | sort; getfacl -n -R -p -s . | grep -v '^#' | sort); }
            tree plain > plain.tree
            # The same ids are stored: a mount without maps over the same layers shows what is in the plain folder.
            "$BIN" mount "$SOURCE$PWD/lower" "$PWD/mnt" --upper "$PWD/upper" --work "$PWD/work"
            tree mnt > mount.tree
            "$BIN" umount "$PWD/mnt"
            """], 60, environment: [("S", scratch.Path), ("BIN", TestEnvironment.Binary), ("PROBE", Probe.Path), ("SOURCE", kind == MountKind.AntaresDir ? "dir:" : ""), ("MAPS", maps),
            ("OPTIONS", string.Join(' ', TestEnvironment.MountOptions))]);
        if (maps == "kernel" && !kernelCan)
        {
            Assert.Equal(7, result.ExitCode);
            Assert.Contains("mount_setattr", result.Error);
            return;
        }
        _ = result.Must();
        string plain = File.ReadAllText(scratch.Join("plain.out"));
        Assert.Contains("1005 1006 2775 d|1005 1006 644 d/a|1007 1008 664 b|65534 65534 644 c", plain);
        Assert.Contains("touch open/root: failed: Value too large", plain);
        Assert.Contains("chown 1100 b: failed: Value too large", plain);
        Parity.AssertSameTree("a mount that the kernel maps", plain, "ours", File.ReadAllText(scratch.Join("mount.out")));
        Parity.AssertSameTree("stored on disk", File.ReadAllText(scratch.Join("plain.tree")), "stored by us", File.ReadAllText(scratch.Join("mount.tree")));
    }

    private const string Words = """
        n=0
        t() { n=$((n + 1)); "$@" > ../out.$$ 2>&1 && r=ok || r=failed; echo "$n $*: $r: $(sed 's/.*: //' ../out.$$ | paste -sd '|')"; }

        """;

    /// <summary>fuse-overlayfs' option maps the same ids, and takes what is made by a caller that is not mapped.</summary>
    [MountFact]
    public void AsFuseOverlayfsMaps()
    {
        using var scratch = new ScratchFolder();
        using var ours = new AntaresMount(scratch, MountKind.AntaresFolder);
        _ = Probe.Check(ours.Lower, "put a x\nput b x\nput c x\nchown b 1 1\nchown c 70000 70000\nchmod . 777\n");
        string list = $"lowerdir={ours.Lower},upperdir={ours.Upper},workdir={ours.Work},uidmapping=0:1000:1:1:110000:65536,gidmapping=:0:1000:1:1:110000:65536";
        _ = ours.Try("-o", list, ours.Root).Must();
        Assert.Equal("1000 1000 a\n110000 110000 b\n65534 65534 c\n", Shell.Bash("stat -c '%u %g %n' a b c", directory: ours.Root).Must());
        _ = Probe.Check(ours.Root, "put root x => ok\nmkdir dir => ok\nchown a 110004 110005 => ok\nchown b 7 -1 => EOVERFLOW\nchown b 0 0 => EOVERFLOW\n");
        Assert.Equal("110004 110005 a\n175533 175533 root\n", Shell.Bash("stat -c '%u %g %n' a root", directory: ours.Root).Must());
        ours.Unmount();
        Assert.Equal("5 6 a\n65534 65534 root\n65534 65534 dir\n", Shell.Bash("stat -c '%u %g %n' a root dir", directory: ours.Upper).Must());
    }

    /// <summary>An ACL whose copy-up finds no room at first, and then the room of a file that is being closed, is mapped once.</summary>
    [MountFact]
    public void AnAclThatIsSetAtTheSecondTry()
    {
        using var outer = new ScratchFolder();
        using var disk = new SmallDisk(outer, "tmpfs", 16);
        using var scratch = new ScratchFolder(disk.Path);
        using var ours = new AntaresMount(scratch, MountKind.AntaresFolder);
        _ = Probe.Check(ours.Lower, "gen f 2000000 1\n");
        _ = ours.Try("mount", ours.Lower, ours.Root, "--upper", ours.Upper!, "--work", ours.Work!, "--uid-map", "0:1000:3000", "--gid-map", "0:1000:3000").Must();
        _ = Shell.Bash("""
            for attempt in {1..10}; do
                exec 9> held; dd if=/dev/zero bs=65536 >&9 2> /dev/null; rm held
                sleep 0.03 & exec 9>&- # closes the file too, and gives back its room
                setfacl -m u:1060:rwx f && break
                wait
            done
            """, directory: ours.Root).Must();
        Assert.Contains("user:1060:rwx", Shell.Bash("getfacl -n f", directory: ours.Root).Must());
        ours.Unmount();
        Assert.Contains("user:2060:rwx", Shell.Bash("getfacl -n f", directory: ours.Upper).Must());
    }

    /// <summary>Objects of owners that are not mapped keep them through copy-up, whatever is shown.</summary>
    [MountFact]
    public void CopyUpKeepsWhatIsNotShown()
    {
        using var scratch = new ScratchFolder();
        using var ours = new AntaresMount(scratch, MountKind.AntaresFolder, "--uid-map", "0:100000:10", "--gid-map", "0:100000:10");
        _ = Probe.Check(ours.Lower, "put f x\nchown f 7 8\nmkdir d\nchown d 9 10\nput d/in y\nchown d/in 100003 100004\n");
        ours.Mount();
        Assert.Equal("65534 65534 f\n65534 65534 d\n3 4 d/in\n", Shell.Bash("stat -c '%u %g %n' f d d/in", directory: ours.Root).Must());
        _ = Probe.Check(ours.Root, "app f + => ok\nchmod d 700 => ok\nchmod d/in 600 => ok\nchown d/in -1 9 => ok\nput new z => ok\n");
        ours.Unmount();
        Assert.Equal("7 8 f\n9 10 d\n100003 100009 d/in\n100000 100000 new\n", Shell.Bash("stat -c '%u %g %n' f d d/in new", directory: ours.Upper).Must());
    }
}
