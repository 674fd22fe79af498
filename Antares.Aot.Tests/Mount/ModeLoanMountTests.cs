using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>
/// Modes that a server without privilege lends: what a killed one left noted is made good by the next, and a work directory prepared by
/// somebody else makes nobody change a mode.
/// </summary>
public sealed class ModeLoanMountTests
{
    /// <summary>Each line: what a note says, and what the object's mode is before and after the mount.</summary>
    private const string Objects = """
        cd "$S/upper"
        user mkdir a a/b nested deep deep/dark deep/dark/f setid group inode moved other changed sticky
        user touch file deep/dark/f/g
        user chmod 700 a nested
        user chmod 755 a/b; user chmod 644 file; user chmod 755 deep/dark/f
        note() { user ln -s "$2 $3 $(stat -c %i "$4") $5" "$W/lent-$1"; }
        # mode, lent mode: 320 is 0500, 448 0700, 365 0555, 493 0755, 292 0444, 420 0644, 192 0300
        note 1 320 448 a a
        note 2 365 493 a/b a/b
        note 3 0 192 nested nested
        note 4 192 448 nested nested
        note 5 292 420 file file
        note 6 365 493 deep/dark/f deep/dark/f
        # Not what a loan does: set-id bits, rights of others, fewer rights.
        user chmod 755 setid group sticky
        note 7 2541 493 setid setid
        note 8 448 493 group group
        note 9 493 448 sticky sticky
        # About something else, or out of date.
        note 10 365 493 inode moved
        note 11 365 493 inode ../upper/inode
        user chmod 711 changed
        note 12 365 493 changed changed
        user ln -s nonsense "$W/lent-13"
        # Another user's note, and another user's object.
        ln -s "365 493 $(stat -c %i other) other" "$W/lent-14"
        mkdir roots; chmod 755 roots
        note 15 365 493 roots roots
        user chmod 0 deep/dark
        modes() { stat -c '%n=%a' a a/b nested file deep/dark deep/dark/f setid group sticky inode moved changed other roots | paste -sd ' '; }
        modes > "$S/before"

        """;

    [MountFact]
    public void AModeThatWasLentIsGivenBack()
    {
        using ScratchFolder scratch = Run("""
            cat_log() { sed 's/^[^ ]* //' "$S/log"; }
            mount_it; umount_it
            modes > "$S/after"; cat_log > "$S/first"; ls -A "$W" > "$S/left"
            """);
        Assert.Equal("a=500 a/b=555 nested=0 file=444 deep/dark=0 deep/dark/f=555 setid=755 group=755 sticky=755 inode=755 moved=755 changed=711 other=755 roots=755\n",
            Text(scratch, "after"));
        Assert.Contains("6 modes that a server had lent", Text(scratch, "first"));
        Assert.Contains("6 notes", Text(scratch, "first"));
        Assert.Contains("removed unheeded", Text(scratch, "first"));
        Assert.Equal("", Text(scratch, "left"));
    }

    /// <summary>Root does not lend, so no note is its own: it obeys none, says so, and leaves them for the server that they are of.</summary>
    [MountFact]
    public void RootLeavesNotesAlone()
    {
        using ScratchFolder scratch = Run("""
            as() { "$@"; }
            "$S/antares-aot" mount "$S/lower" "$S/mnt" --upper "$S/upper" --work "$S/work" --engine kernel 2> "$S/refused" && exit 9
            mount_it; umount_it
            modes > "$S/after"; cp "$S/log" "$S/first"; ls -A "$W" | grep -c lent- > "$S/left"
            """);
        Assert.Equal(Text(scratch, "before"), Text(scratch, "after"));
        Assert.Contains("15 notes of modes lent", Text(scratch, "first"));
        Assert.Contains("left alone", Text(scratch, "first"));
        Assert.Equal("15\n", Text(scratch, "left"));
        Assert.Contains("notes of modes lent", Text(scratch, "refused"));
    }

    /// <summary>A note whose object cannot be reached now is kept, also beyond mounts of which it is not the matter, until it can.</summary>
    [MountFact]
    public void ANoteThatCannotBeFollowedIsKept()
    {
        using ScratchFolder scratch = Run("""
            rm "$W"/lent-*
            mkdir closed; chown root:root closed; user mkdir moved/sub; mv moved/sub closed/sub; chmod 700 closed
            ln -s "365 493 $(stat -c %i closed/sub) closed/sub" "$W/lent-3"; chown -h 1000:1000 "$W/lent-3"
            mount_it
            user chmod 311 "$S/mnt/moved"; user stat "$S/mnt/moved/none" 2> /dev/null || true
            umount_it
            cp "$S/log" "$S/first"; ls -A "$W" > "$S/left"
            chmod 711 closed
            mount_it; umount_it
            ls -A "$W" > "$S/left2"; stat -c %a closed/sub > "$S/after"
            """);
        Assert.Contains("kept for the next mount", Text(scratch, "first"));
        Assert.Equal("lent-3\n", Text(scratch, "left"));
        Assert.Equal("", Text(scratch, "left2"));
        Assert.Equal("555\n", Text(scratch, "after"));
    }

    /// <summary>chmod by somebody who is not in the group clears the set-group-id bit: where that would happen nothing is lent.</summary>
    [MountFact]
    public void ASetGroupIdBitIsNotLost()
    {
        using ScratchFolder scratch = Run("""
            rm "$W"/lent-*
            mkdir sg own; touch sg/f own/f; chown -R 1000:3000 sg; chown -R 1000:2000 own; chmod 2311 sg own
            mount_it
            user bash -c 'cd "$S/mnt"; stat -c "%n %a" sg sg/f own own/f; cat sg/f own/f; ls sg own; touch sg/new own/new; rm -f sg/f own/f; stat sg/f own/f' > "$S/after" 2>&1 || true
            cd "$S"; umount_it
            stat -c '%n %a' upper/sg upper/own >> "$S/after"
            """);
        Assert.Equal("""
            sg 2311
            sg/f 644
            own 2311
            own/f 644
            ls: cannot open directory 'own': Permission denied
            ls: cannot open directory 'sg': Permission denied
            stat: cannot statx 'sg/f': No such file or directory
            stat: cannot statx 'own/f': No such file or directory
            upper/sg 2311
            upper/own 2311

            """, Text(scratch, "after"));
    }

    /// <summary>
    /// A server killed while it makes or drops a note, or at what it lends for, leaves each object with the mode that it had or was given, once
    /// the next mount has looked.
    /// </summary>
    /// <param name="call">System call at whose n-th time the server dies.</param>
    [MountTheory, InlineData("openat2"), InlineData("renameat2"), InlineData("symlinkat"), InlineData("unlinkat")]
    public void AServerKilledAnywhereLeavesNoModeLent(string call)
    {
        using ScratchFolder scratch = Run("""
            rm "$W"/lent-*
            all() { (cd "$1" && find . -type d -printf '%p %m\n' | LC_ALL=C sort); }
            for at in 1 2 3 4 5 6 7 8 9 10 11 12; do
                cd "$S"; chmod -R u+rwx lower; rm -rf lower upper work; user mkdir lower upper work
                user bash -c 'mkdir -p lower/ro/sub/deep lower/d lower/e; touch lower/ro/sub/deep/f lower/ro/f; chmod 555 lower/ro/sub/deep lower/ro/sub lower/ro; chmod 511 lower/e'
                mount_it
                pid=$(pgrep -f "antares-aot mount $S/lower")
                strace -f -p $pid -o "$S/trace" -e inject=$CALL:signal=KILL:when=$at 2> "$S/strace.err" & tracer=$!
                for i in $(seq 100); do grep -q attached "$S/strace.err" && break; sleep 0.02; done
                user bash -c 'cd mnt && exec 5<> ro/f; echo x >&5; mv ro/sub/deep/f d/f; mv ro ro2; chmod 755 ro2; mv ro2/sub d/s; mv d/s ro2/t; chmod 300 e; mkdir -m 500 d/new; mv d/new e/new; rmdir e/new; mkdir -m 311 e/new; mv d/none x' > /dev/null 2>&1 || true
                dead=0; kill -0 $pid 2> /dev/null && [ "$(cut -d' ' -f3 /proc/$pid/stat)" != Z ] || dead=1
                kill -9 $pid 2> /dev/null || true; wait $tracer || true; umount -l mnt || true
                mount_it; umount_it
                # Whatever was done so far: a directory has the mode that it was made with, or that it was given.
                all upper | grep -vE '^(\.|\./d|\./x) [0-9]+$|^\./(ro|ro2) (555|755)$|(sub|deep|s|t) 555$|^\./e (511|300)$|^\./(d|e)/new (500|311)$' | sed "s/^/$at $dead /" >> "$S/wrong" || true
                ls -A work/work 2> /dev/null | sed "s/^/$at left in work: /" >> "$S/wrong"
                echo $dead >> "$S/dead"
            done
            """, ("CALL", call), 240);
        Assert.Equal("", Text(scratch, "wrong"));
        Assert.Contains("1", Text(scratch, "dead"));
    }

    private static string Text(ScratchFolder scratch, string name) => File.ReadAllText(scratch.Join(name));

    private static ScratchFolder Run(string script, (string, string)? variable = null, int timeoutSeconds = 60)
    {
        var scratch = new ScratchFolder();
        (string, string)[] environment = [("S", scratch.Path), ("BIN", TestEnvironment.Binary), .. variable is { } one ? [one] : Array.Empty<(string, string)>()];
        ShellResult result = Shell.Run("unshare", ["--mount", "/bin/bash", "-c", Start + Objects + script], timeoutSeconds, environment: environment);
        Assert.True(result.ExitCode == 0, result.ToString());
        return scratch;
    }

    /// <summary>In a mount namespace of its own, since many hosts keep /dev/fuse to root. The user is in group 2000, but not in 3000.</summary>
    private const string Start = """
        set -euo pipefail
        mknod "$S/fuse" c 10 229 && chmod 666 "$S/fuse" && mount --bind "$S/fuse" /dev/fuse
        cd "$S"
        mkdir lower mnt upper work work/work state home
        chown 1000:1000 . lower mnt upper work work/work state home
        cp "$BIN" antares-aot && chmod 755 antares-aot
        export HOME=$S/home ANTARES_STATE_DIR=$S/state W=$S/work; W=$W/work
        user() { setpriv --reuid=1000 --regid=1000 --groups=1000,2000 "$@"; }
        as() { user "$@"; }
        mount_it() { as "$S/antares-aot" mount "$S/lower" "$S/mnt" --upper "$S/upper" --work "$S/work" --fd-cache 1 --log-level info --log-file "$S/log"; }
        umount_it() { as "$S/antares-aot" umount "$S/mnt"; }
        trap 'umount -l "$S/mnt" 2> /dev/null || true' EXIT

        """;
}
