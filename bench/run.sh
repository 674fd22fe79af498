#!/usr/bin/env bash
# Start and walk times of antares-aot beside fuse-overlayfs and kernel overlayfs, all in one run on one tree.
#   run.sh ANTARES-AOT [ROUNDS]      as root; what is not installed is left out
# Figures of a shared machine wander: compare within one run, trust the least ones, and read them as ratios.
set -euo pipefail
antares=$(realpath "${1:?usage: run.sh PATH-OF-ANTARES-AOT [ROUNDS]}")
rounds=${2:-40}
folders=500
files=40 # in each folder
here=$(cd "$(dirname "$0")" && pwd)
[ "$(id -u)" = 0 ] || { echo "bench: needs root, to mount kernel overlayfs and to drop caches" >&2; exit 2; }

scratch=$(mktemp -d)
export ANTARES_STATE_DIR=$scratch/state
lower=$scratch/lower mnt=$scratch/mnt
mkdir -p "$lower" "$mnt"
cleanup() {
    ! mountpoint -q "$mnt" || umount "$mnt" || umount -l "$mnt"
    rm -rf "$scratch"
}
trap cleanup EXIT
gcc -O2 -Wall -o "$scratch/start-time" "$here/start-time.c"

for d in $(seq $folders); do
    mkdir -p "$lower/d$((d % 25))/e$d"
    for f in $(seq $files); do echo "content $d $f" > "$lower/d$((d % 25))/e$d/file$f.c"; done
done

names=()
declare -A commands
candidate() { # NAME COMMAND…: with an upper and a work folder of its own in place of UPPER and WORK
    local name=$1 word line=()
    shift
    mkdir -p "$scratch/$name/upper" "$scratch/$name/work"
    for word in "$@"; do
        word=${word//UPPER/$scratch/$name/upper}
        line+=("${word//WORK/$scratch/$name/work}")
    done
    names+=("$name")
    commands[$name]=${line[*]}
}
candidate antares-folder "$antares" mount "$lower" "$mnt" --upper UPPER --work WORK
candidate antares-dir "$antares" mount "dir:$lower" "$mnt" --upper UPPER --work WORK --workspace-root "$scratch"
! command -v fuse-overlayfs >/dev/null || candidate fuse-overlayfs fuse-overlayfs -o "lowerdir=$lower,upperdir=UPPER,workdir=WORK" "$mnt"
candidate kernel mount -t overlay overlay -o "lowerdir=$lower,upperdir=UPPER,workdir=WORK" "$mnt"
# Where kernel overlayfs cannot have its upper (on another overlay, in most containers), it is left out.
if ! ${commands[kernel]} 2>/dev/null; then
    unset 'names[-1]' 'commands[kernel]'
else
    umount "$mnt"
fi

echo "start: exec to the answer of the mounted root, $rounds rounds in turns, ms (least, median)"
arguments=()
for name in "${names[@]}"; do
    # shellcheck disable=SC2206 # no path here has spaces: they all come from mktemp
    arguments+=(-- ${commands[$name]})
done
i=0
"$scratch/start-time" "$rounds" "$mnt" "${arguments[@]}" | while read -r least median; do
    printf '  %-16s %8s %8s\n' "${names[$i]}" "$least" "$median"
    i=$((i + 1))
done

seconds() { # the least of $1 runs of the rest, in seconds
    local runs=$1 best= start took
    shift
    for _ in $(seq "$runs"); do
        start=$(date +%s%N)
        "$@" >/dev/null
        took=$((($(date +%s%N) - start) / 1000))
        [ -n "$best" ] && [ "$best" -le "$took" ] || best=$took
    done
    printf '%d.%03d' $((best / 1000000)) $((best / 1000 % 1000))
}
warm_grep() { grep -r nothing-like-this "$mnt" || true; }
write_files() { for f in $(seq 500); do echo text > "$mnt/new$f"; done; }
append_files() { for f in "$mnt"/d1/e1/*.c "$mnt"/d2/e2/*.c "$mnt"/d3/e3/*.c; do echo more >> "$f"; done; }

echo "walk and write: $((folders * files)) files in $((folders + 25)) folders, seconds"
printf '  %-16s %10s %10s %10s %10s %10s\n' "" "find 1st" "find -size" "grep warm" "500 new" "120 append"
for name in "${names[@]}"; do
    sync
    echo 2 > /proc/sys/vm/drop_caches
    ${commands[$name]}
    first=$(seconds 1 find "$mnt")
    seconds 1 warm_grep >/dev/null
    printf '  %-16s %10s %10s %10s %10s %10s\n' "$name" "$first" "$(seconds 3 find "$mnt" -size 1)" "$(seconds 3 warm_grep)" \
        "$(seconds 1 write_files)" "$(seconds 1 append_files)"
    umount "$mnt"
done
