#!/usr/bin/env bash
# scaling.sh ANTARES-AOT [--sizes "N …"] [--rounds N] [--places "A B …"] [--upper-files N] [--out FOLDER]: how time and memory grow. As root.
#   --sizes        names in trees that exist in memory only (invented-tree.c): time of a find and of its repetition, and bytes of the server for each
#                  name (default 1000 10000 100000 1000000 5000000; empty: none)
#   --upper-files  files in an upper that is found at the mount: time to the listed root, of a find and of its repetition, memory (default 200000; 0: none)
#   --rounds       default 3; of trees from a million names on one
#   --places       default: all but native (unionfs-fuse and fuse-overlayfs keep out of trees of more than a million names)
#   --out          default out/bench-scaling
# BENCH_SCRATCH: a folder on the disk to measure (default /var/tmp), with 4 GiB free.
# How clients scale is part of every run of run.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
usage="scaling.sh ANTARES-AOT [--sizes LIST] [--rounds N] [--places LIST] [--upper-files N] [--out FOLDER]"
binary=$(realpath "${1:?usage: $usage}")
shift
sizes="1000 10000 100000 1000000 5000000" rounds=3 places='' upper_files=200000 out=$here/../out/bench-scaling
while [ $# -gt 0 ]; do
    [ $# -gt 1 ] || { echo "bench: $1 wants a value; usage: $usage" >&2; exit 2; }
    case $1 in
        --sizes) sizes=$2 ;;
        --rounds) rounds=$2 ;;
        --places) places=$2 ;;
        --upper-files) upper_files=$2 ;;
        --out) out=$(realpath -m "$2") ;;
        *) echo "bench: no option $1; usage: $usage" >&2; exit 2 ;;
    esac
    shift 2
done
case " $places " in *-image\ *) echo "bench: an image is a place of run.sh alone: here the lower is another one each time" >&2; exit 2 ;; esac
. "$here/common.sh"
. "$here/targets.sh"

# One size on one place: the source is new each time, so that the kernel knows none of its names.
size_group() {
    local idle found names
    must fresh_upper
    must "$scratch/invented-tree" "$size" "$lower"
    must mount_target "$target"
    ls "$root" > /dev/null
    idle=$(held)
    show "$target: $size names"
    timed "tree-$size-find" find "$root"
    timed "tree-$size-find-again" find "$root"
    if [ -n "$server" ]; then
        # Attributes of every name too.
        names=$(find "$root" -printf '%m %s %T@\n' | wc -l)
        found=$(held)
        put "tree-$size-memory" "$found" KiB
        [ "$size" -lt 10000 ] || put "tree-$size-bytes-per-node" "$(per_name $((found - idle)) "$names")" B
    fi
    [ "$target" = native ] || must unmount_target
    must umount "$lower"
}

names_of_size() {
    printf "tree-$1-%s\n" find find-again memory
    [ "$1" -lt 10000 ] || echo "tree-$1-bytes-per-node"
}

upper_group() {
    local command=() took
    command_of "$target" "$upper" "$work"
    rm -rf "$work"
    mkdir "$work"
    must cold
    must "$scratch/start-time" --each --list 1 "$mnt" -- "${command[@]}"
    took=$(cat "$scratch/output")
    put large-upper-mount-to-ls "$took" us
    must cold
    must mount_target "$target"
    timed large-upper-find find "$root" -printf '%s\n'
    timed large-upper-find-again find "$root" -printf '%s\n'
    memory large-upper-memory
    must unmount_target
}

begin "$binary" 4
need_cold
compile files start-time
touch_memory
if [ -n "$sizes" ]; then compile invented-tree; fi
began=$SECONDS
if [ -n "$places" ]; then choose "$places"
else choose "$(printf '%s\n' "${all_targets[@]:1}" | grep -v -- -image)"; fi
upper_names=(large-upper-mount-to-ls large-upper-find large-upper-find-again large-upper-memory)
mapfile -t workloads_wanted < <(for size in $sizes; do names_of_size "$size"; done; [ "$upper_files" = 0 ] || printf '%s\n' "${upper_names[@]}")
# The memory of the machine bounds what the kernel can keep of the names, twice: of the source and of what lies over it.
parts=0
for size in $sizes; do for target in "${chosen[@]}"; do parts=$((parts + (size < 1000000 ? rounds : 1))); done; done
[ "$upper_files" = 0 ] || parts=$((parts + rounds * ${#chosen[@]}))
native=$lower
for size in $sizes; do
    for round in $(seq $((size < 1000000 ? rounds : 1))); do
        for target in $(in_turn "$round" "${chosen[@]}"); do
            part=$((part + 1))
            case $target in fuse-overlayfs | unionfs-fuse) [ "$size" -le 1000000 ] || continue ;; esac
            show "$target: $size names" group
            target_group=tree-$size
            mapfile -t names < <(names_of_size "$size")
            attempt 1800 size_group "${names[@]}"
        done
    done
done
if [ "$upper_files" != 0 ]; then
    mkdir "$lower/below"
    echo text > "$lower/below/file"
    for round in $(seq "$rounds"); do
        for target in $(in_turn "$round" "${chosen[@]}"); do
            [ "$target" != native ] || continue
            part=$((part + 1)) target_group=large-upper
            show "$target: an upper of $upper_files files" group
            if [ ! -e "$upper/many" ]; then
                fresh_upper
                for i in $(seq $(((upper_files + 999) / 1000))); do
                    mkdir -p "$upper/many/d$i"
                    "$scratch/files" create "$upper/many/d$i" $((i * 1000 <= upper_files ? 1000 : upper_files % 1000))
                done
            fi
            attempt 1800 upper_group "${upper_names[@]}"
        done
    done
fi
show_end
mkdir -p "$out"
machine --arg tree "invented names: $sizes; an upper of $upper_files files" --argjson rounds "$rounds" --argjson seconds $((SECONDS - began)) --argjson name_bytes 10 > "$scratch/machine.json"
"$here/report.sh" "$results" "$failures" "$scratch/machine.json" "$out"
echo "bench: table, figures and plot in $(realpath "$out")"
