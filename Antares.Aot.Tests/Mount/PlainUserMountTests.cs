using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>
/// A server without privilege, for which modes are in the way: the same commands of the same user on a plain folder and on the mount
/// must answer the same, and leave the same tree, also in the next mount.
/// </summary>
public sealed class PlainUserMountTests
{
    [MountTheory, InlineData(MountKind.AntaresFolder)]
    public void DirectoriesThatMayBeSearchedButNotRead(MountKind kind) => Check(kind, """
        mkdir -p search/sub dark/sub/deep
        echo one > search/f; echo two > search/sub/g; echo three > dark/sub/deep/h; ln dark/sub/deep/h dark/sub/deep/i
        chmod 711 search; chmod 311 dark dark/sub
        """, """
        t cat search/f
        t cat search/sub/g
        t cat search/none
        t ls search
        t cat dark/sub/deep/h
        t cat dark/sub/deep/i
        t stat -c '%n %a %h %F' dark dark/sub dark/sub/deep dark/sub/deep/h
        t ls dark
        t ls dark/sub
        t ls dark/sub/deep
        t cat dark/f
        t sh -c 'echo x > dark/f'
        t rm -f search/f
        t rm -rf search
        t mv search/f search/g
        t cat search/f
        """, "chown -R root:root search dark");

    [MountTheory, InlineData(MountKind.AntaresFolder, 64), InlineData(MountKind.AntaresDir, 64), InlineData(MountKind.AntaresDir, 1)]
    public void ReadOnlyDirectories(MountKind kind, int descriptors) => Check(kind, """
        mkdir -p ro/sub/deep d e/f/g swap1/x swap2/y gone/in nest/a/b hidden red/sub acl2 over1 over2 mover gonedir
        for f in ro/f ro/w ro/sub/g e/f/g/h nest/a/b/f hidden/f gone/in/f acl2/f gonedir/f; do echo $f > $f; done
        ln ro/w ro/sub/link
        chmod 444 ro/f ro/sub/g; chmod 555 ro/sub/deep ro/sub ro swap1 swap2 nest/a/b nest/a nest e/f/g e/f
        """, """
        t sh -c 'echo more >> ro/w'
        t cat ro/sub/link
        t chmod 644 ro/f
        t sh -c 'echo more >> ro/f'
        t rm -f ro/f
        t sh -c ': > ro/new'
        t mv ro/f ro/g
        t chmod 755 ro/sub
        t rm -f ro/sub/g
        t rm -rf ro/sub
        t mv ro ro2
        t mv ro2 d/ro3
        t mv ro2 ro
        t setfattr -n user.x -v y ro/w
        t setfattr -n user.x -v y ro
        t mkdir -m 555 d/new
        t mv d/new d/new2
        t rmdir d/new2
        t sh -c 'chmod 444 e/f/g/h; echo x > e/f/g/h'
        t rm -rf e
        t chmod -R u+w e
        t rm -rf e
        t mkdir -m 555 e
        t mkdir e/f
        t rm -rf gone
        t mkdir -m 111 gone
        t chmod 755 gone
        t ls gone
        t mv nest nest2
        t sh -c 'echo more >> nest2/a/b/f'
        t chmod -R u+w nest2
        t rm -rf nest2/a
        t mkdir -m 500 nest2/a
        t chmod 555 nest2
        t mv nest2 d
        t mv nest2 nest
        t mkdir acl
        t setfacl -d -m u::rx,g::rx,o::- acl
        t mkdir acl/one
        t rmdir acl/one
        t mkdir acl/one
        t chmod 000 hidden
        t cat hidden/f
        t mv hidden hidden2
        t chmod 755 hidden2
        t cat hidden2/f
        exec 5<>hidden2/f 6>hidden2/new
        chmod 000 hidden2
        t sh -c 'echo changed >&5; echo new >&6; stat -Lc %s /proc/self/fd/5 /proc/self/fd/6; chmod 600 /proc/self/fd/5'
        exec 5>&- 6>&-
        t ls hidden2
        t rm -rf hidden2
        t rmdir hidden2
        t chmod 755 hidden2
        t mv red red2
        t chmod 311 red2
        t stat -c '%n %a %h' red2/sub
        t mkdir -m 600 listed
        t setfacl -m u::rwx,g::rx,o::- listed
        t getfacl -c listed
        t chmod 400 listed
        t setfacl -m u::rw,u:1001:rwx listed
        t getfacl -c listed
        t setfacl -m u::rx,u:1001:r,g::w,o::r acl2
        t chmod 600 acl2/f
        t rm -f acl2/f
        t mkdir fresh over3
        exec 6<over1 8<over2 9<over3
        t mv -T fresh over1
        t mv -T mover over2
        t mkdir -m 500 fresh
        t mv -T fresh over3
        for fd in 6 8 9; do
        t stat -Lc '%a %h' /proc/self/fd/$fd
        t chmod 711 /proc/self/fd/$fd
        t touch -d @5 /proc/self/fd/$fd
        t touch /proc/self/fd/$fd/none
        t ls /proc/self/fd/$fd
        t stat -Lc '%a %h %Y' /proc/self/fd/$fd
        done
        exec 6<&- 8<&- 9<&-
        exec 6<gonedir/f
        t rm -rf gonedir
        t chmod 640 /proc/self/fd/6
        t touch -d @5 /proc/self/fd/6
        t stat -Lc '%a %h %Y' /proc/self/fd/6
        t cat /proc/self/fd/6
        exec 6<&-
        t mkfifo -m 600 pipe
        exec 7<>pipe
        t rm -f pipe
        t chmod 640 /proc/self/fd/7
        t touch -d @1000000000 /proc/self/fd/7
        t stat -Lc '%a %Y %h' /proc/self/fd/7
        exec 7>&-
        t mkdir -m 0 zero
        t rmdir zero
        t mkdir -m 0 zero
        t chmod 555 .
        t rm -f d/none
        t mkdir more
        t rmdir d
        t sh -c 'echo more >> ro/w'
        """, descriptors: descriptors);

    /// <summary>Trees as tools leave them: objects of git, and outputs of Bazel, which makes their directories read-only.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void ReadOnlyTreesOfTools(MountKind kind) => Check(kind, """
        export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE='2001-01-01 00:00' GIT_COMMITTER_DATE='2001-01-01 00:00'
        git init -q repo; cd repo; git config user.email a@b; git config user.name n; git config gc.auto 0
        for i in 1 2 3; do echo $i > f$i; git add f$i; git commit -q -m $i; done
        cd ..
        mkdir -p out/bin/pkg out/bin/other; for i in 1 2 3; do echo $i > out/bin/pkg/o$i; done; ln -s o1 out/bin/pkg/l
        find out -type f -exec chmod 555 {} + ; find out -type d -exec chmod 555 {} +
        """, """
        export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE='2001-01-01 00:00' GIT_COMMITTER_DATE='2001-01-01 00:00'
        t git -C repo status --porcelain
        t sh -c 'cd repo && echo 4 > f1 && git commit -q -a -m four && git rev-parse HEAD'
        t git -C repo gc -q
        t git -C repo fsck --full
        t chmod -R a-w repo
        t git -C repo log --oneline
        t sh -c 'cd repo && git add -A 2>/dev/null && echo 5 > new'
        t rm -rf repo/.git
        t chmod -R u+w repo
        t rm -rf repo/.git
        t rm -rf out
        t sh -c 'echo x > out/bin/pkg/o9'
        t chmod u+w out/bin/pkg
        t rm -f out/bin/pkg/o1
        t sh -c 'echo x > out/bin/pkg/o1; chmod 555 out/bin/pkg/o1 out/bin/pkg'
        t cat out/bin/pkg/l out/bin/pkg/o2
        t chmod -R u+w out/bin
        t rm -rf out/bin
        t sh -c 'chmod u+w out; rm -rf out/bin out'
        """);

    /// <summary>A directory that may be searched but not read tells its whiteouts by name alone.</summary>
    [MountFact]
    public void WhiteoutsInDirectoriesThatMayNotBeRead()
    {
        using var scratch = new ScratchFolder();
        ShellResult result = Shell.Run("unshare", ["--mount", "/bin/bash", "-c", """
            set -euo pipefail
            mknod "$S/fuse" c 10 229 && chmod 666 "$S/fuse" && mount --bind "$S/fuse" /dev/fuse
            cd "$S"
            chmod 755 . && mkdir -p mnt state home a/dark/sub b/dark/sub && chown 1000:1000 mnt state home
            install -m 755 "$BIN" antares-aot
            export HOME=$PWD/home ANTARES_STATE_DIR=$PWD/state
            user() { setpriv --reuid=1000 --regid=1000 --clear-groups "$@"; }
            touch a/dark/sub/above a/dark/.wh.sub a/dark/.wh.gone b/dark/sub/below b/dark/gone b/dark/stays
            chmod 711 a/dark b/dark
            trap 'umount -l mnt' EXIT
            user ./antares-aot mount -o "lowerdir=$PWD/a:$PWD/b" --whiteouts aufs "$PWD/mnt"
            for name in sub/above sub/below gone stays .wh.sub; do user stat -c %n mnt/dark/$name 2>&1 | sed 's/.*: //' || true; done
            user ls mnt/dark/sub
            """], 60, environment: [("S", scratch.Path), ("BIN", TestEnvironment.Binary)]);
        Assert.Equal("mnt/dark/sub/above\nNo such file or directory\nNo such file or directory\nmnt/dark/stays\nNo such file or directory\nabove\n", result.Must());
    }

    /// <summary>Root's tree, all shown as the user's own: a workspace like one over a tree of the user's.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder), InlineData(MountKind.AntaresDir)]
    public void ATreeOfRootShownAsOnesOwn(MountKind kind) => Check(kind, """
        mkdir -p d/sub tree/a/b team; chmod 2775 team
        for f in f d/f d/sub/g tree/a/f tree/a/b/g team/f run; do echo $f > $f; done
        ln d/f d/link; ln -s f link; mkfifo pipe; chmod 755 run; chmod 4755 d/sub/g
        """, """
        t sh -c 'echo more >> f'
        t sh -c 'echo more >> d/f'
        t cat d/link
        t rm tree/a/f
        t mv d/sub d/moved
        t sh -c 'echo new > d/moved/new'
        t chmod 600 run
        t touch -d @1000000000 team/f
        t sh -c 'echo new > team/new'
        t mv link other
        t rm pipe
        t rm -r tree
        t stat -c '%n %U %G %a' . f d d/f d/moved d/moved/g d/moved/new run team team/f team/new other
        t chown 1000:1000 f
        t ln team/f team/again
        """, "case $PWD in */lower) chown -R root:root . && chmod 4755 d/sub/g && chmod 2775 team ;; esac", options: "-o squash_to_uid=1000,squash_to_gid=1000");

    [MountFact]
    public void ATreeOfOthersInANamespaceShownAsRoots()
    {
        using var scratch = new ScratchFolder();
        ShellResult result = Shell.Run("unshare", ["--mount", "/bin/bash", "-c", """
            set -euo pipefail
            mknod "$S/fuse" c 10 229 && chmod 666 "$S/fuse" && mount --bind "$S/fuse" /dev/fuse
            cd "$S"
            chmod 755 . && mkdir -p mnt state home lower/d && chown 1000:1000 mnt state home
            install -m 755 "$BIN" antares-aot
            echo f > lower/f && echo g > lower/d/g
            export HOME=$PWD/home ANTARES_STATE_DIR=$PWD/state
            setpriv --reuid=1000 --regid=1000 --clear-groups unshare -Urm bash -euc '
                ./antares-aot mount "$PWD/lower" "$PWD/mnt" -o squash_to_root
                echo more >> mnt/f; mv mnt/d mnt/e; rm mnt/e/g
                cat mnt/f; find mnt -printf "%P %U %G\n" | sort
                ./antares-aot umount "$PWD/mnt"'
            """], 60, environment: [("S", scratch.Path), ("BIN", TestEnvironment.Binary)]);
        Assert.Equal("f\nmore\n 0 0\ne 0 0\nf 0 0\n", result.Must());
    }

    /// <param name="kind">Our mount over a plain folder, or over dir:.</param>
    /// <param name="lower">Fills the lower folder, as the user.</param>
    /// <param name="calls">The commands; "t COMMAND" prints what it answers.</param>
    /// <param name="foreign">What root does to the lower folder after that.</param>
    /// <param name="descriptors">Most descriptors that the server keeps open.</param>
    /// <param name="options">Further options of the mount.</param>
    private static void Check(MountKind kind, string lower, string calls, string foreign = "", int descriptors = 64, string options = "")
    {
        using var scratch = new ScratchFolder();
        File.WriteAllText(scratch.Join("lower.sh"), lower);
        File.WriteAllText(scratch.Join("foreign.sh"), foreign);
        File.WriteAllText(scratch.Join("calls.sh"), Words + calls);
        ShellResult result = Shell.Run("unshare", ["--mount", "/bin/bash", "-c", Script], 120,
            environment: [("S", scratch.Path), ("BIN", TestEnvironment.Binary), ("SOURCE", kind == MountKind.AntaresDir ? "dir:" : ""), ("FDS", $"{descriptors}"), ("OPTIONS", options)]);
        Assert.True(result.ExitCode == 0, result.ToString());
        string plain = File.ReadAllText(scratch.Join("plain.out"));
        Assert.DoesNotContain("command not found", plain);
        Parity.AssertSameTree("a plain folder", plain, "the mount", File.ReadAllText(scratch.Join("mount.out")));
        Parity.AssertSameTree("a plain folder", File.ReadAllText(scratch.Join("plain.tree")), "the mount", File.ReadAllText(scratch.Join("mount.tree")));
        Parity.AssertSameTree("a plain folder", File.ReadAllText(scratch.Join("plain.tree")), "the next mount", File.ReadAllText(scratch.Join("next.tree")));
        Assert.Equal("", File.ReadAllText(scratch.Join("lower.diff")));
    }

    private const string Words = """
        n=0
        t() { n=$((n + 1)); "$@" > ../out.$$ 2>&1 && r=ok || r=failed; echo "$n $*: $r: $(sed 's/.*: //' ../out.$$ | paste -sd '|')"; }

        """;

    /// <summary>In a mount namespace of its own, since many hosts keep /dev/fuse to root.</summary>
    private const string Script = """
        set -euo pipefail
        mknod "$S/fuse" c 10 229 && chmod 666 "$S/fuse" && mount --bind "$S/fuse" /dev/fuse
        cd "$S"
        mkdir plain lower mnt upper work state home
        chown 1000:1000 . plain lower mnt upper work state home
        cp "$BIN" antares-aot && chmod 755 antares-aot
        export HOME=$PWD/home ANTARES_STATE_DIR=$PWD/state
        user() { setpriv --reuid=1000 --regid=1000 --clear-groups "$@"; }
        tree() { (cd "$1" && find . -printf '%p %y %m %u %s\n' 2>&1 | sed 's/\( d .*\) [0-9]*$/\1/' | sort && find . -type f -exec md5sum {} + 2>&1 | sort) 2>&1 || true; }
        export -f tree
        for folder in plain lower; do (cd $folder && umask 022 && user bash -e ../lower.sh && bash -e ../foreign.sh); done
        tree lower > before
        user bash -c 'cd plain && exec bash ../calls.sh' > plain.out 2>&1
        user bash -c 'tree plain' > plain.tree
        mount_it() { user ./antares-aot mount "$SOURCE$PWD/lower" "$PWD/mnt" --upper "$PWD/upper" --work "$PWD/work" --fd-cache "$FDS" $OPTIONS; }
        trap 'umount -l mnt' EXIT
        mount_it
        user bash -c 'cd mnt && exec bash ../calls.sh' > mount.out 2>&1
        user bash -c 'tree mnt' > mount.tree
        user ./antares-aot umount "$PWD/mnt"
        [ -z "$(find work -mindepth 2)" ]
        mount_it
        user bash -c 'tree mnt' > next.tree
        user ./antares-aot umount "$PWD/mnt"
        trap - EXIT
        tree lower > after
        diff before after > lower.diff
        """;
}
