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

    /// <param name="kind">Our mount over a plain folder, or over dir:.</param>
    /// <param name="lower">Fills the lower folder, as the user.</param>
    /// <param name="calls">The commands; "t COMMAND" prints what it answers.</param>
    /// <param name="foreign">What root does to the lower folder after that.</param>
    /// <param name="descriptors">Most descriptors that the server keeps open.</param>
    private static void Check(MountKind kind, string lower, string calls, string foreign = "", int descriptors = 64)
    {
        using var scratch = new ScratchFolder();
        File.WriteAllText(scratch.Join("lower.sh"), lower);
        File.WriteAllText(scratch.Join("foreign.sh"), foreign);
        File.WriteAllText(scratch.Join("calls.sh"), Words + calls);
        ShellResult result = Shell.Run("unshare", ["--mount", "/bin/bash", "-c", Script], 120,
            environment: [("S", scratch.Path), ("BIN", TestEnvironment.Binary), ("SOURCE", kind == MountKind.AntaresDir ? "dir:" : ""), ("FDS", $"{descriptors}")]);
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
        tree() { (cd "$1" && find . -printf '%p %y %m %u %s\n' | sed 's/\( d .*\) [0-9]*$/\1/' | sort && find . -type f -exec md5sum {} + | sort) 2>&1 || true; }
        export -f tree
        for folder in plain lower; do (cd $folder && umask 022 && user bash -e ../lower.sh && bash -e ../foreign.sh); done
        tree lower > before
        user bash -c 'cd plain && exec bash ../calls.sh' > plain.out 2>&1
        user bash -c 'tree plain' > plain.tree
        mount_it() { user ./antares-aot mount "$SOURCE$PWD/lower" "$PWD/mnt" --upper "$PWD/upper" --work "$PWD/work" --fd-cache "$FDS"; }
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
