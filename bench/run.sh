#!/usr/bin/env bash
# run.sh ANTARES-AOT [--rounds N] [--tree FOLDER] [--places "A B …"] [--only REGEX] [--volatile] [--strict] [--out FOLDER]: a builder's day, on a plain
# folder, kernel overlayfs, fuse-overlayfs, unionfs-fuse and both our engines, in one run, the places in another order each round. As root. What is
# not installed is left out; what fails is marked and the rest goes on.
#   --rounds    rounds, of which the medians are taken (default 5); what is short is measured twice or more in each. Of fewer than five samples no limit is
#               judged
#   --tree      a large source tree for the lower (default: the sources of linux-source-*, if installed, else 80,000 files made for it)
#   --places    which to compare (default: all of native overlayfs fuse-overlayfs unionfs-fuse antares-fuse antares-writeback antares-dir antares-kernel
#               antares-kernel-folder antares-kernel-image; antares-image, an image of the lower on
#               the FUSE engine, only when it is named; its limits are those of memory and clients)
#   --only      workloads to time; the others run untimed where later ones need them
#   --volatile  take the promise to sync from the places that can be asked to
#   --strict    exit code 1 when a limit of bench/limits.txt is exceeded by more than noise or cannot be judged, or a workload failed on a place of ours
#   --out       where bench.txt, bench.json and bench.svg go (default: out/bench)
# run.sh ANTARES-AOT --scaling …    trees of a thousand to five million names, and a large upper: see scaling.sh
# run.sh ANTARES-AOT --long-run …   an hour of mixed work with an eye on memory: see long-run.sh
# Figures of a shared machine wander: compare within one run, and read them as ratios. A guest gives no memory back to its host while it runs.
# BENCH_SCRATCH: a folder on the disk to measure (default
# /var/tmp), on ext4, xfs or btrfs (BENCH_ANY_DISK=1: on any, and marked), with 8 GiB free. BENCH_GROUP_LIMIT: seconds after which a group of workloads
# on one place is ended as hung (default 900).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
usage="run.sh ANTARES-AOT [--rounds N] [--tree FOLDER] [--places LIST] [--only REGEX] [--volatile] [--strict] [--out FOLDER] | --scaling … | --long-run …"
binary=$(realpath "${1:?usage: $usage}")
shift
case ${1:-} in
    --scaling) exec "$here/scaling.sh" "$binary" "${@:2}" ;;
    --long-run) exec "$here/long-run.sh" "$binary" "${@:2}" ;;
esac
rounds=5 tree='' places='' only='' out=$here/../out/bench strict=() volatile_mounts=0
while [ $# -gt 0 ]; do
    case $1 in
        --strict) strict=(--strict); shift; continue ;;
        --volatile) volatile_mounts=1; shift; continue ;;
        --rounds | --tree | --places | --only | --out) [ $# -gt 1 ] || { echo "bench: $1 wants a value" >&2; exit 2; } ;;
        *) echo "bench: no option $1; usage: $usage" >&2; exit 2 ;;
    esac
    case $1 in
        --rounds) rounds=$2 ;;
        --tree) tree=$(realpath "$2") ;;
        --places) places=$2 ;;
        --only) only=$2 ;;
        --out) out=$(realpath -m "$2") ;;
    esac
    shift 2
done
[[ $rounds =~ ^[1-9][0-9]*$ ]] || { echo "bench: $rounds is no number of rounds" >&2; exit 2; }
. "$here/common.sh"
. "$here/targets.sh"
. "$here/prepare.sh"
. "$here/workloads.sh"
all_names=(mount-to-ls "${walk_names[@]}" "${write_names[@]}" "${large_names[@]}" "${client_names[@]}") workloads_wanted=()
for name in "${all_names[@]}"; do ! wanted "$name" || workloads_wanted+=("$name"); done
[ ${#workloads_wanted[@]} -gt 0 ] || { echo "bench: no workload matches $only; there are: ${all_names[*]}" >&2; exit 2; }

begin "$binary" 8
need_cold
missing_programs
declare -A names_of=([start]=mount-to-ls [walk]="${walk_names[*]}" [write]="${write_names[*]}" [large]="${large_names[*]}" [client]="${client_names[*]}")
groups=()
for g in start walk write large client; do
    # shellcheck disable=SC2086 # words
    ! any ${names_of[$g]} || groups+=("$g")
done
show "preparing in $scratch" group
compile files start-time clients
began=$SECONDS
make_lower "$tree"
make_jobs
sync
touch_memory
choose "$places"
note "prepared in $((SECONDS - began)) s: $tree_name, $nodes names; places: ${chosen[*]}"

# report ROUNDS [--strict]: of what there is so far.
report() {
    machine --arg tree "$tree_name" --argjson names "$nodes" --argjson name_bytes "$name_bytes" --argjson rounds "$1" --argjson seconds $((SECONDS - began)) \
        --argjson volatile "$([ "$volatile_mounts" = 1 ] && echo true || echo false)" > "$scratch/machine.json"
    "$here/report.sh" "$results" "$failures" "$scratch/machine.json" "$out" "${@:2}"
}
mkdir -p "$out"
parts=$((rounds * ${#chosen[@]} * ${#groups[@]})) began=$SECONDS
for round in $(seq "$rounds"); do
    for target in $(in_turn "$round" "${chosen[@]}"); do
        for g in "${groups[@]}"; do
            part=$((part + 1)) target_group=${g}_group
            show "round $round of $rounds, $target: $g" group
            # shellcheck disable=SC2086 # words
            attempt "${BENCH_GROUP_LIMIT:-900}" "$target_group" ${names_of[$g]}
            ! mountpoint -q "$mnt" || end_mounts
        done
    done
    # A run that is ended leaves the rounds that it had.
    [ "$round" = "$rounds" ] || report "$round" > /dev/null
done
show_end
status=0
report "$rounds" "${strict[@]}" || status=$?
echo "bench: table, figures and plot in $(realpath "$out")"
exit $status
