using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>
/// Without root: in a user namespace (<c>unshare -Urm</c>), where kernel overlayfs with <c>userxattr</c> is the oracle, and as an ordinary user
/// through fusermount3.
/// </summary>
public sealed class NamespaceMountTests
{
    private const string Lower = """
        mkdirp a/b/c
        put a/f low
        put a/g low
        put a/b/c/y low-y
        mkdirp e/in
        put e/in/f low
        put h low
        mkdir keep
        put keep/x low
        setxattr h user.n v
        chmod a/g 444
        copyself prog
        """;

    // Lower directories are made anew instead of renamed, which kernel overlayfs does not do with userxattr.
    private const string Work = """
        app a/f +
        unlink a/g
        rmtree a/b
        mkdirp a/b/c
        put a/b/c/new n
        rmtree e
        mkdirp e/in
        unlink h
        mkdir h
        put h/x y
        setxattr a user.dir v
        symlink x l
        link a/f a/hard
        mkfifo p
        mknod s s 600
        mknod cdev c 600 1 3
        chown a/f 0 0
        chown keep/x 5 5
        chmod keep/x 4755
        app keep/x z
        rename keep/x keep/y
        putx big {t*3000}
        setacl keep access u::rwx,u:0:r-x,g::r-x,m::rwx,o::---
        getacl keep access
        setxattr keep trusted.t v
        getxattr keep trusted.t
        run prog exit 3
        stat a/hard
        stat keep/y
        ls a
        ls a/b/c
        ls e
        """;

    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void InAUserNamespace(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        File.WriteAllText(scratch.Join("lower"), string.Join('\n', Probe.Lines(Lower)) + "\n");
        File.WriteAllText(scratch.Join("work"), string.Join('\n', Probe.Lines(Work)) + "\n");
        ShellResult result = Shell.Run("unshare", ["--mount", "--propagation", "private", "/bin/bash", "-c", """
            set -euo pipefail
            mknod "$S/fuse" c 10 229 && chmod 666 "$S/fuse" && mount --bind "$S/fuse" /dev/fuse
            cd "$S"; mkdir l ku kw km u w m state home; chown 1000:1000 l ku kw km u w m state home .; chmod 755 .
            cp "$BIN" antares-aot; cp "$PROBE" fsprobe; chmod 755 antares-aot fsprobe
            export HOME=$PWD/home ANTARES_STATE_DIR=$PWD/state
            setpriv --reuid=1000 --regid=1000 --clear-groups unshare -Urm /bin/bash -ec '
                ./fsprobe run l < lower > lower.out
                mount -t overlay o -o "userxattr,lowerdir=l,upperdir=ku,workdir=kw" km
                ./fsprobe run km < work > kernel.out
                ./fsprobe digest km t > kernel.tree
                ./antares-aot mount "$SOURCE$PWD/l" m --upper "$PWD/u" --work "$PWD/w"
                ./fsprobe run m < work > ours.out
                ./fsprobe digest m t > ours.tree
                ./antares-aot umount "$PWD/m"
                ./antares-aot mount "$SOURCE$PWD/l" m --upper "$PWD/u" --work "$PWD/w"
                ./fsprobe digest m t > again.tree
                ./antares-aot umount "$PWD/m"
                umount km
                # Each takes up what the other left.
                ./antares-aot mount "$SOURCE$PWD/l" m --upper "$PWD/ku" --work "$PWD/kw"
                ./fsprobe digest m t > taken.tree
                ./antares-aot umount "$PWD/m"
                mount -t overlay o -o "userxattr,lowerdir=l,upperdir=u,workdir=w" km
                ./fsprobe digest km t > given.tree
                umount km
                find w -mindepth 2
                getfattr -R -d -m user.overlay u | grep -c user.overlay.opaque
            ' 2> errors || { cat errors; exit 1; }
            """], 120, environment: [("S", scratch.Path), ("BIN", TestEnvironment.Binary), ("PROBE", Probe.Path), ("SOURCE", kind == MountKind.AntaresDir ? "dir:" : "")]);
        Assert.NotEqual("0", result.Must().Trim());
        Assert.DoesNotContain(File.ReadAllLines(scratch.Join("lower.out")), answer => answer != "ok");
        string Read(string name) => File.ReadAllText(scratch.Join(name));
        Assert.Equal(Answers(Read("kernel.out")), Answers(Read("ours.out")));
        Parity.AssertSameTree("kernel overlayfs", Read("kernel.tree"), "ours", Read("ours.tree"));
        Parity.AssertSameTree("ours", Read("ours.tree"), "after a remount", Read("again.tree"));
        Parity.AssertSameTree("kernel overlayfs", Read("kernel.tree"), "its upper in ours", Read("taken.tree"));
        Parity.AssertSameTree("ours", Read("ours.tree"), "our upper in kernel overlayfs", Read("given.tree"));
    }

    private static string[] Answers(string output) => [.. Probe.Lines(Work).Zip(output.Split('\n'), (call, answer) => $"{call} => {answer}")];

    /// <summary>A plain user through fusermount3: set-id bits and devices do not count, others stay out, and the server has no privilege.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void ThroughFusermount(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        ShellResult result = Shell.Run("unshare", ["--mount", "--propagation", "private", "/bin/bash", "-c", """
            set -euo pipefail
            mknod "$S/fuse" c 10 229 && chmod 666 "$S/fuse" && mount --bind "$S/fuse" /dev/fuse
            cd "$S"; chmod 755 .; mkdir l u w m state home; cp "$(command -v id)" l/id; chmod 4755 l/id; echo x > l/root-only; chmod 600 l/root-only
            echo low > l/f; mkdir l/d; echo low > l/d/g; mknod l/null c 1 3; chmod 666 l/null
            chown 1000:1000 u w m state home l l/f l/d l/d/g
            cp "$BIN" antares-aot; chmod 755 antares-aot
            export HOME=$PWD/home ANTARES_STATE_DIR=$PWD/state
            user() { setpriv --reuid=1000 --regid=1000 --clear-groups "$@"; }
            user ./antares-aot mount "$SOURCE$PWD/l" "$PWD/m" --upper "$PWD/u" --work "$PWD/w"
            grep " $PWD/m " /proc/mounts | cut -d' ' -f4 | tr , '\n' | grep -x -e nosuid -e nodev -e default_permissions -e user_id=1000
            echo "== user"
            user bash -c 'cd m; echo + >> f; cat f; rm d/g; mkdir d/sub; mv d d2; ls d2; ./id -u; cat root-only 2>&1 | sed "s/.*: //"; echo x > null 2>/dev/null || echo nodev
                mknod dev c 1 3 2>/dev/null || echo no devices; mkfifo fifo; chown 0 f 2>/dev/null || echo no chown; setfattr -n user.a -v b f; stat -c "%u %a %n" f d2 fifo'
            echo "== others"; { cat m/f; setpriv --reuid=1001 --regid=1001 --clear-groups ls m; } 2>&1 | sed 's/.*: //' || true
            user ./antares-aot umount "$PWD/m"
            echo "== the upper"; getfattr -m- -d --absolute-names u/d2 u/f | grep -o 'user[^=]*' | sort -u
            find u -name g -printf '%y %s\n'
            echo "== allow_other"
            grep -v '^user_allow_other' /etc/fuse.conf > conf || true; mount --bind conf /etc/fuse.conf
            user ./antares-aot mount "$SOURCE$PWD/l" "$PWD/m" --upper "$PWD/u" --work "$PWD/w" --allow-other 2>&1 | sed "s#$PWD#.#g" || true
            echo user_allow_other >> conf
            user ./antares-aot mount -o "lowerdir=$PWD/l,upperdir=$PWD/u,workdir=$PWD/w,allow_other" "$PWD/m"
            cat m/f; setpriv --reuid=1001 --regid=1001 --clear-groups cat m/f; setpriv --reuid=1001 --regid=1001 --clear-groups sh -c 'echo no >> m/f' 2>&1 | sed 's/.*: //' || true
            user ./antares-aot umount "$PWD/m"
            """], 120, environment: [("S", scratch.Path), ("BIN", TestEnvironment.Binary), ("SOURCE", kind == MountKind.AntaresDir ? "dir:" : "")]);
        Assert.Equal("""
            nosuid
            nodev
            user_id=1000
            default_permissions
            == user
            low
            +
            sub
            1000
            Permission denied
            nodev
            no devices
            no chown
            1000 644 f
            1000 755 d2
            1000 644 fifo
            == others
            Permission denied
            Permission denied
            == the upper
            user.a
            user.overlay.antares.ino
            user.overlay.redirect
            c 0
            == allow_other
            antares-aot: cannot mount at ./m: --allow-other as a plain user needs the line user_allow_other in /etc/fuse.conf
            low
            +
            low
            +
            Permission denied

            """, result.Must());
    }
}
