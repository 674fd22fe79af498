#!/usr/bin/env bash
# upper-elsewhere.sh: the upper on tmpfs, then on kernel overlayfs (as in many containers): writes, renames, removals, git, SQLite, remount.
. "$(dirname "$0")/lib.sh"
mkdir "$scratch/lower" "$scratch/base"
(cd "$scratch/lower" && mkdir -p a/b/c gone/x && for i in $(seq 300); do echo "file $i" > a/f$i; done && echo deep > a/b/c/f && ln -s f1 a/l && echo x > gone/x/y && mkdir keep && echo k > keep/k)
export HOME="$scratch" GIT_CONFIG_NOSYSTEM=1
work_in() {
    (
        set -e
        cd "$mnt"
        echo + >> a/f1
        rm a/f2
        mv a/f3 a/g3
        rm -r gone && mkdir gone && [ -z "$(ls -A gone)" ] && echo new > gone/new
        mv keep kept && [ "$(cat kept/k)" = k ] && echo + >> kept/k
        mv a/b moved && [ "$(cat moved/c/f)" = deep ]
        chmod 700 a && touch -d '2001-02-03 04:05:06.123456789' a/f9
        ln a/f10 a/hard && echo + >> a/hard && [ "$(stat -c %h a/f10)" = 2 ]
        git init -q . && git config user.email a@b && git config user.name n && git add -A && git commit -q -m m && git gc -q && git fsck --full > /dev/null
        sqlite3 db "PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES(1);" > /dev/null
        for _ in $(seq 50); do sqlite3 db "INSERT INTO t VALUES(2)"; done
        [ "$(sqlite3 db 'SELECT count(*) FROM t; PRAGMA integrity_check')" = "51
ok" ]
    ) || fail "work in the mount with its upper on $1"
}
check_after() {
    (
        set -e
        cd "$mnt"
        [ "$(cat a/f1)" = "file 1
+" ]
        [ ! -e a/f2 ] && [ ! -e a/f3 ] && [ "$(cat a/g3)" = "file 3" ] && [ "$(ls -A gone)" = new ] && [ ! -e keep ] && [ "$(wc -l < kept/k)" = 2 ]
        [ ! -e a/b ] && [ "$(cat moved/c/f)" = deep ] && [ "$(stat -c '%y' a/f9 | cut -c1-29)" = '2001-02-03 04:05:06.123456789' ]
        [ -z "$(git status --porcelain --untracked-files=no)" ]
    ) || fail "after a remount with the upper on $1"
}
for source in "dir:$scratch/lower" "$scratch/lower"; do
    for kind in tmpfs overlayfs; do
        case $kind in
            tmpfs) mount -t tmpfs none "$scratch/base" ;;
            overlayfs)
                rm -rf "$scratch"/o-*; mkdir "$scratch"/o-{lower,upper,work}
                mount -t overlay none -o "lowerdir=$scratch/o-lower,upperdir=$scratch/o-upper,workdir=$scratch/o-work" "$scratch/base" ;;
        esac
        upper=$scratch/base/upper work=$scratch/base/work
        mkdir "$upper" "$work"
        "$ANTARES_BIN" mount --engine "$engine" "$source" "$mnt" --upper "$upper" --work "$work" || fail "mount with the upper on $kind"
        work_in "$kind"
        tree "$mnt" > "$scratch/before"
        unmount
        "$ANTARES_BIN" mount --engine "$engine" "$source" "$mnt" --upper "$upper" --work "$work"
        tree "$mnt" | diff "$scratch/before" - | head -5 > "$scratch/difference"
        [ ! -s "$scratch/difference" ] || { cat "$scratch/difference" >&2; fail "the tree differs after a remount, upper on $kind"; }
        check_after "$kind"
        unmount
        umount "$scratch/base"
        echo "$source with its upper on $kind: ok"
    done
done
echo "OK upper on tmpfs and on overlayfs"
