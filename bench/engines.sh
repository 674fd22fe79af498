#!/usr/bin/env bash
# The two engines beside kernel overlayfs and fuse-overlayfs: a builder's day, in one run, medians of interleaved rounds.
#   engines.sh ANTARES-AOT TREE [ROUNDS]     as root; TREE is a source tree of some ten thousand files, taken as lower layer
# Set BENCH_COLD=1 to drop the caches of the whole machine before the cold lines; BENCH_SCRATCH is where uppers lie (default /tmp).
# Each figure is the median in milliseconds, with (least–most) where they are further apart than a quarter of it, and × kernel overlayfs.
set -euo pipefail
antares=$(realpath "${1:?usage: engines.sh ANTARES-AOT TREE [ROUNDS]}")
tree=$(realpath "${2:?usage: engines.sh ANTARES-AOT TREE [ROUNDS]}")
rounds=${3:-5}
[ "$(id -u)" = 0 ] || { echo "engines.sh: needs root" >&2; exit 2; }
scratch=$(mktemp -d "${BENCH_SCRATCH:-/tmp}/antares-bench.XXXXXX")
export ANTARES_STATE_DIR=$scratch/state
mnt=$scratch/mnt
mkdir -p "$mnt"
unmount() { if mountpoint -q "$mnt"; then umount "$mnt" || umount -l "$mnt"; fi; }
cleanup() { unmount; rm -rf "$scratch"; }
trap cleanup EXIT

echo "preparing in $scratch" >&2
lower=$scratch/lower
mkdir -p "$lower"
tar -C "$tree" -cf "$scratch/part.tar" Documentation include kernel fs 2>/dev/null || tar -C "$tree" -cf "$scratch/part.tar" .
cp -a "$tree" "$lower/tree"
rm -rf "$lower/tree/.git"
(cd "$lower/tree" && git init -q . && git add -A . >/dev/null 2>&1 && git -c user.name=b -c user.email=b@b commit -qm all && git status >/dev/null)
head -c 1073741824 /dev/urandom > "$lower/big"
mkdir "$lower/many"
for i in $(seq 2000); do echo "line $i" > "$lower/many/f$i"; done

names=(kernel-overlayfs antares-kernel-dir antares-kernel-folder antares-fuse-dir fuse-overlayfs)
command -v fuse-overlayfs >/dev/null || unset 'names[-1]'
upper() { rm -rf "$scratch/u" "$scratch/w"; mkdir "$scratch/u" "$scratch/w"; }
mount_it() {
    upper
    case $1 in
        kernel-overlayfs) mount -t overlay o -o "volatile,redirect_dir=on,lowerdir=$lower,upperdir=$scratch/u,workdir=$scratch/w" "$mnt" ;;
        antares-kernel-dir) "$antares" mount "dir:$lower" "$mnt" --upper "$scratch/u" --work "$scratch/w" --engine kernel --volatile --workspace-root "$scratch" ;;
        antares-kernel-folder) "$antares" mount "$lower" "$mnt" --upper "$scratch/u" --work "$scratch/w" --engine kernel --volatile ;;
        antares-fuse-dir) "$antares" mount "dir:$lower" "$mnt" --upper "$scratch/u" --work "$scratch/w" --engine fuse --volatile --workspace-root "$scratch" ;;
        fuse-overlayfs) fuse-overlayfs -o "lowerdir=$lower,upperdir=$scratch/u,workdir=$scratch/w" "$mnt" ;;
    esac
}

declare -A took
order=()
work() { # LINE COMMAND: adds the milliseconds that it took
    local line=$1 start=$EPOCHREALTIME
    shift
    "$@" >/dev/null 2>&1 || { echo "engines.sh: $line failed on $name" >&2; exit 1; }
    local end=$EPOCHREALTIME
    took[$line,$name]+="$(((${end/[.,]/} - ${start/[.,]/}) / 100)) "
    [[ " ${order[*]-} " == *" $line "* ]] || order+=("$line")
}
grep_it() { grep -r nothing-like-this "$mnt/tree/kernel" "$mnt/tree/fs" "$mnt/tree/include"; [ $? = 1 ]; }
create() { mkdir "$mnt/new" && (cd "$mnt/new" && for i in {1..10000}; do echo x > "f$i"; done); }
rename() { mkdir "$mnt/old" && (cd "$mnt/new" && find . -type f -name 'f*' -printf '%f\n' | perl -ne 'chomp; rename $_, "../old/$_" or die'); }
remove() { rm -rf "$mnt/old" "$mnt/new"; }
append() { for f in "$mnt"/many/*; do echo more >> "$f"; done; }
sqlite() { { echo "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);"
    for i in {1..20000}; do echo "INSERT INTO t(b) VALUES('some text of a row $i');"; done; } | sqlite3 -bail "$mnt/db"; }

for round in $(seq "$rounds"); do
    echo "round $round of $rounds" >&2
    for name in "${names[@]}"; do
        if [ "${BENCH_COLD:-0}" = 1 ]; then
            sync; echo 3 > /proc/sys/vm/drop_caches
            mount_it "$name"; work find-cold find "$mnt/tree" -size 1; unmount
            sync; echo 3 > /proc/sys/vm/drop_caches
            mount_it "$name"; work git-status-cold git -C "$mnt/tree" status; unmount
        fi
        mount_it "$name"
        work find-first find "$mnt/tree" -size 1
        work find-warm find "$mnt/tree" -size 1
        work grep-first grep_it
        work grep-warm grep_it
        git -C "$mnt/tree" status >/dev/null
        work git-status-warm git -C "$mnt/tree" status
        work untar tar -C "$mnt" -xf "$scratch/part.tar"
        work create-10000 create
        work rename-10000 rename
        work unlink-10000 remove
        work append-2000-lower append
        work copy-up-1-GiB sh -c "echo x >> '$mnt/big'"
        work sqlite-wal-20000 sqlite
        work rm-rf-lower rm -rf "$mnt/tree/fs" "$mnt/tree/include"
        unmount
    done
done

printf '%-18s' ms
printf '%26s' "${names[@]}"
echo
for line in "${order[@]}"; do
    printf '%-18s' "$line"
    base=
    for name in "${names[@]}"; do
        read -r median least most < <(tr ' ' '\n' <<<"${took[$line,$name]}" | grep . | sort -n | awk '{v[NR]=$1} END {print v[int((NR+1)/2)], v[1], v[NR]}')
        base=${base:-$median}
        awk -v m="$median" -v l="$least" -v h="$most" -v b="$base" 'BEGIN {
            noisy = (h - l > m / 4) ? sprintf(" (%.0f–%.0f)", l / 10, h / 10) : ""
            printf "%26s", sprintf("%.1f%s ×%.2f", m / 10, noisy, b ? m / b : 0) }'
    done
    echo
done
