#!/usr/bin/env bash
# run.sh ANTARES-AOT [--rounds N] [--tree FOLDER] [--places "A B …"] [--only REGEX] [--out FOLDER]: a builder's day, on a plain folder, kernel
# overlayfs, fuse-overlayfs, unionfs-fuse and both our engines, in one run, places in turns. As root. What is not installed is left out.
#   --rounds   rounds, of which the medians are taken (default 5)
#   --tree     a large source tree for the lower (default: the sources of linux-source-*, if installed, else 80,000 files made for it)
#   --places   which to compare (default: all of native overlayfs fuse-overlayfs unionfs-fuse antares-fuse antares-dir antares-kernel)
#   --only     workloads to time; the others run untimed where later ones need them
#   --out      where bench.txt, bench.json and bench.svg go (default: out/bench)
# Figures of a shared machine wander: compare within one run, and read them as ratios. BENCH_SCRATCH: a folder on the disk to measure (default /tmp).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
antares=$(realpath "${1:?usage: run.sh PATH-OF-ANTARES-AOT [--rounds N] [--tree FOLDER] [--places LIST] [--only REGEX] [--out FOLDER]}")
shift
rounds=5 tree='' places='' only='' out=$here/../out/bench
while [ $# -gt 0 ]; do
    [ $# -gt 1 ] || { echo "bench: $1 wants a value" >&2; exit 2; }
    case $1 in
        --rounds) rounds=$2 ;;
        --tree) tree=$(realpath "$2") ;;
        --places) places=$2 ;;
        --only) only=$2 ;;
        --out) out=$2 ;;
        *) echo "bench: no option $1" >&2; exit 2 ;;
    esac
    shift 2
done
[ "$(id -u)" = 0 ] || { echo "bench: needs root, to mount kernel overlayfs and to drop caches" >&2; exit 2; }
for program in jq git sqlite3 gcc make; do command -v $program > /dev/null || { echo "bench: $program is missing" >&2; exit 2; }; done
. "$here/targets.sh"
. "$here/workloads.sh"

scratch=$(mktemp -d "${BENCH_SCRATCH:-/tmp}/antares-bench.XXXXXX")
export ANTARES_STATE_DIR=$scratch/state
lower=$scratch/lower mnt=$scratch/mnt native=$scratch/native results=$scratch/results files=$scratch/files root=
mkdir -p "$lower" "$mnt"
cleanup() {
    unmount_target || umount -l "$mnt" || true
    rm -rf "$scratch"
}
trap cleanup EXIT
wanted() { [ -z "$only" ] || [[ $1 =~ $only ]]; }

prepare() {
    gcc -O2 -Wall -o "$files" "$here/files.c"
    gcc -O2 -Wall -o "$scratch/start-time" "$here/start-time.c"
    if [ -n "$tree" ]; then
        cp -a "$tree" "$lower/tree"
    elif package=$(find /usr/src -maxdepth 1 -name 'linux-source-*.tar.xz' | head -1) && [ -n "$package" ]; then
        mkdir "$lower/tree"
        tar -C "$lower/tree" --strip-components=1 -xf "$package"
    else
        for d in $(seq 800); do
            mkdir -p "$lower/tree/d$((d % 40))/e$d"
            "$files" create "$lower/tree/d$((d % 40))/e$d" 100
        done
    fi
    rm -rf "$lower/tree/.git"
    # Folders of about a sixth of the tree: what is unpacked, searched and removed.
    if [ -d "$lower/tree/include" ] && [ -d "$lower/tree/fs" ]; then some_folders="fs kernel include"
    else some_folders=$(cd "$lower/tree" && find . -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort | awk 'NR % 6 == 1'); fi
    # shellcheck disable=SC2086
    tar -C "$lower/tree" -cf "$scratch/part.tar" $some_folders
    git -C "$lower/tree" init -q
    git -C "$lower/tree" add -A . > /dev/null 2>&1
    git -C "$lower/tree" -c user.name=bench -c user.email=bench@localhost -c gc.auto=0 commit -qm all
    head -c 1073741824 /dev/urandom > "$lower/big"
    mkdir "$lower/many" "$lower/project" "$lower/npm"
    for i in $(seq 2000); do echo "line $i" > "$lower/many/f$i"; done
    for i in $(seq 60); do
        { echo '#include <stdio.h>'; echo '#include <stdlib.h>'; for f in $(seq 40); do echo "int unit${i}_$f(int a) { int s = 0; for (int i = 0; i < a; i++) s += i * $f; return s; }"; done; } > "$lower/project/unit$i.c"
    done
    { echo 'all: program'; echo "program: $(seq -f unit%g.o -s ' ' 60) main.o"; printf '\tcc -o $@ $^\n'; printf '%%.o: %%.c\n\tcc -O1 -c -o $@ $<\n'; } > "$lower/project/Makefile"
    echo 'int main(void) { return 0; }' > "$lower/project/main.c"
    echo '{"name":"job","version":"1.0.0"}' > "$lower/npm/package.json"
    if command -v npm > /dev/null; then
        mkdir -p "$scratch/package/lib"
        echo '{"name":"package","version":"1.0.0"}' > "$scratch/package/package.json"
        for i in $(seq 4000); do mkdir -p "$scratch/package/lib/d$((i % 200))"; echo "module.exports = $i;" > "$scratch/package/lib/d$((i % 200))/m$i.js"; done
        tar -C "$scratch" -czf "$scratch/package.tgz" package
    fi
    { echo 'PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);'
      for i in $(seq 20000); do echo "INSERT INTO t(b) VALUES('some text of a row $i');"; done; } > "$scratch/inserts.sql"
}

# A writable copy of what the write group changes of the lower.
fresh_native() {
    rm -rf "$native"
    mkdir -p "$native/tree"
    # shellcheck disable=SC2086
    (cd "$lower/tree" && cp -a $some_folders "$native/tree/")
    cp -a "$lower/many" "$lower/project" "$lower/npm" "$lower/big" "$native/"
    sync
}

start_lines() {
    local name command arguments=() named=()
    for name in "${chosen[@]}"; do
        mkdir -p "$scratch/start-$name/upper" "$scratch/start-$name/work"
        command="lowerdir=$lower,upperdir=$scratch/start-$name/upper,workdir=$scratch/start-$name/work"
        case $name in
            overlayfs) arguments+=(-- mount -t overlay overlay -o "$command" "$mnt") ;;
            fuse-overlayfs) arguments+=(-- fuse-overlayfs -o "$command" "$mnt") ;;
            unionfs-fuse) arguments+=(-- unionfs -o cow,allow_other "$scratch/start-$name/upper=RW:$lower=RO" "$mnt") ;;
            antares-fuse) arguments+=(-- "$antares" mount "$lower" "$mnt" --upper "$scratch/start-$name/upper" --work "$scratch/start-$name/work" --engine fuse) ;;
            antares-*) arguments+=(-- "$antares" mount "dir:$lower" "$mnt" --upper "$scratch/start-$name/upper" --work "$scratch/start-$name/work" --workspace-root "$scratch" --engine "$([ "$name" = antares-kernel ] && echo kernel || echo fuse)") ;;
            *) continue ;;
        esac
        named+=("$name")
    done
    local i=0 median
    "$scratch/start-time" $((rounds * 4)) "$mnt" "${arguments[@]}" | while read -r _ median; do
        target=${named[$i]}
        put start "$(awk -v m="$median" 'BEGIN { printf "%d", m * 1000 }')" us
        i=$((i + 1))
    done
}

echo "bench: preparing in $scratch" >&2
prepare
# shellcheck disable=SC2206 # words
chosen=(${places:-${all_targets[*]}})
had=()
fresh_upper
for target in "${chosen[@]}"; do
    if have_target "$target"; then had+=("$target"); else echo "bench: $target is not to be had here and left out" >&2; fi
done
chosen=("${had[@]}")
: > "$results"
wanted start && start_lines
walk=1 writes=1
if [ -n "$only" ]; then
    walk=$(printf '%s\n' find-cold find-warm stat-warm grep-cold grep-warm git-status-cold git-status-warm memory-after-find memory-after-read | grep -cE "$only" || true)
    writes=$(printf '%s\n' untar create-10000 rename-10000 unlink-10000 append-2000-lower make-j2 npm-install sqlite-wal-20000 remove-lower copy-up-1GiB write-1GiB write-1GiB-fsync read-1GiB-cold read-1GiB-warm fio-randwrite-4k fio-randread-4k fio-randwrite-fsync-4k fio-mmap-4k memory-after-writes | grep -cE "$only" || true)
fi
for round in $(seq "$rounds"); do
    for turn in $(seq 0 $((${#chosen[@]} - 1))); do
        target=${chosen[$(((turn + round - 1) % ${#chosen[@]}))]}
        echo "bench: round $round of $rounds, $target" >&2
        if [ "$target" = native ]; then
            # Walks of the plain folder are walks of the lower itself.
            native=$lower
            [ "$walk" = 0 ] || walk_group
            native=$scratch/native
        else
            [ "$walk" = 0 ] || walk_group
        fi
        [ "$writes" = 0 ] || write_group
    done
done
[ -s "$results" ] || { echo "bench: no workload matches $only" >&2; exit 2; }
"$here/report.sh" "$results" "$out"
echo "bench: $(nproc) processors, kernel $(uname -r), $rounds rounds; table, figures and plot in $(realpath "$out")"
