#!/usr/bin/env bash
# long-run.sh ANTARES-AOT [--seconds N] [--tree FOLDER] [--places "A B …"] [--out FOLDER]: mixed work on several mounts at once for an hour, in turns, with
# an eye on the memory and the descriptors of their servers: samples every ten seconds, the slope of the last three quarters by least squares.
#   --seconds  default 3600
#   --tree     sources for the lower (default: 5,000 small files)
#   --places   default antares-fuse antares-writeback antares-dir antares-kernel
#   --out      default out/bench-long-run; samples.tsv there: second, place, KiB of RssAnon and RssShmem, open descriptors, rounds of work
# BENCH_SCRATCH: a folder on the disk to work on (default /var/tmp), with 2 GiB free.
# As root. Exit code 1 when a place of ours grows by more than its limit in an hour, cannot be mounted, fails or hangs, or a server ended.
# shellcheck disable=SC2317 # functions are called by attempt
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
usage="long-run.sh ANTARES-AOT [--seconds N] [--tree FOLDER] [--places LIST] [--out FOLDER]"
binary=$(realpath "${1:?usage: $usage}")
shift
seconds=3600 tree='' places="antares-fuse antares-writeback antares-dir antares-kernel" out=$here/../out/bench-long-run
while [ $# -gt 0 ]; do
    [ $# -gt 1 ] || { echo "bench: $1 wants a value; usage: $usage" >&2; exit 2; }
    case $1 in
        --seconds) seconds=$2 ;;
        --tree) tree=$(realpath "$2") ;;
        --places) places=$2 ;;
        --out) out=$(realpath -m "$2") ;;
        *) echo "bench: no option $1; usage: $usage" >&2; exit 2 ;;
    esac
    shift 2
done
. "$here/common.sh"
. "$here/targets.sh"
begin "$binary" 2
workloads_wanted=(long-run-growth)
compile files clients
if [ -n "$tree" ]; then cp -a "$tree" "$lower/tree"
else for i in $(seq 50); do mkdir -p "$lower/tree/d$i" && "$scratch/files" create "$lower/tree/d$i" 100; done; fi
(cd "$lower" && find tree -type f -size -64k | sort | awk 'NR <= 2000') > "$scratch/small-files"
files=$(wc -l < "$scratch/small-files")
{ echo 'PRAGMA journal_mode=WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);'; for i in $(seq 500); do echo "INSERT INTO t(b) VALUES('row $i');"; done; } > "$scratch/inserts.sql"
choose "$places"
declare -A servers_of_place worked
status=0 gone='' target_group=long-run
# Each of these functions is for one place, $target, in folders of its own.
folders() { mnt=$scratch/mnt-$target upper=$scratch/upper-$target work=$scratch/work-$target; }
mount_one() { must mount_target "$target"; }
unmount_one() { must unmount_target; }
for target in "${chosen[@]}"; do
    folders
    mkdir "$mnt" "$upper" "$work"
    attempt 60 mount_one
    [ "$ended_with" = 0 ] || { gone=$target status=1; break; }
    server=$(servers "$mnt")
    server=${server%%$'\n'*}
    servers_of_place[$target]=$server worked[$target]=0
done

# What a job does: looks, reads, makes, moves and removes, changes lower files, a database; each time with new names.
work_round() {
    local root=$1 i=$2 w=$1/work-$2 some
    mapfile -t some < <(sed -n "$((i * 50 % files + 1)),$((i * 50 % files + 50))p" "$scratch/small-files" | sed "s|^|$root/|")
    find "$root/tree" > /dev/null \
        && "$scratch/clients" read 2 "$files" "$root" "$scratch/small-files" > /dev/null \
        && mkdir "$w" "$w/a" "$w/b" && "$scratch/files" create "$w/a" 300 && "$scratch/files" rename "$w/a" "$w/b" 300 && "$scratch/files" unlink "$w/b" 300 \
        && cp -a "$(find "$root/tree" -mindepth 1 -maxdepth 1 -type d | sort | sed -n "$((i % 7 + 1))p")" "$w/copy" \
        && "$scratch/files" append 50 "${some[@]}" \
        && ln -s a "$w/link" && sqlite3 -bail "$w/rows.db" < "$scratch/inserts.sql" > /dev/null && dd if=/dev/zero of="$w/large" bs=1M count=8 status=none \
        && rm -rf "$w"
}
work_one() { must work_round "$scratch/mnt-$target" "${worked[$target]}"; }
mkdir -p "$out"
samples=$out/samples.tsv
: > "$samples"
began=$SECONDS next=0
sample() {
    local p
    for p in "${chosen[@]}"; do
        [ -n "${servers_of_place[$p]}" ] || continue
        printf '%d\t%s\t%d\t%d\t%d\n' $((SECONDS - began)) "$p" "$(awk '/^Rss(Anon|Shmem):/ { s += $2 } END { print s + 0 }' "/proc/${servers_of_place[$p]}/status" 2> /dev/null || echo 0)" \
            "$(find "/proc/${servers_of_place[$p]}/fd" -mindepth 1 2> /dev/null | wc -l)" "${worked[$p]}" >> "$samples"
    done
}
while [ $((SECONDS - began)) -lt "$seconds" ] && [ -z "$gone" ]; do
    for target in "${chosen[@]}"; do
        [ $((SECONDS - began)) -lt "$seconds" ] || break
        if [ -t 2 ]; then printf '\r\033[Kbench: %d of %d s, %s' $((SECONDS - began)) "$seconds" "$target" >&2; shown=1; fi
        attempt 900 work_one
        # The others' mounts have ended too then.
        [ "$ended_with" = 0 ] || { gone=$target status=1; break; }
        worked[$target]=$((worked[$target] + 1))
        if [ $((SECONDS - began)) -ge $next ]; then sample; next=$((SECONDS - began + 10)); fi
    done
done
if [ -z "$gone" ]; then
    sample
    for target in "${chosen[@]}"; do
        server=${servers_of_place[$target]}
        [ -z "$server" ] || [ -d "/proc/$server" ] || { failed long-run "its server has ended"; gone=$target status=1; }
    done
fi
show_end
# Growth: by least squares over what comes after the first quarter. A run that ended early tells none.
for target in "${chosen[@]}"; do
    if [ -n "$gone" ] || [ -z "${servers_of_place[$target]}" ]; then continue; fi
    read -r slope least most descriptors < <(awk -F '\t' -v p="$target" -v from=$((seconds / 4)) '
        $2 == p && $1 >= from { n++; x += $1; y += $3; xx += $1 * $1; xy += $1 * $3; if (n == 1 || $3 < least) least = $3; if ($3 > most) most = $3; fds = $4 }
        END { d = n * xx - x * x; printf "%s %d %d %d\n", (d > 0 ? sprintf("%d", (n * xy - x * y) / d * 3600) : "-"), least, most, fds }' "$samples")
    [ "$slope" = - ] || put long-run-growth "$slope" KiB
    put memory-least "$least" KiB
    put memory-most "$most" KiB
    put descriptors-at-end "$descriptors" count
    put rounds-of-work "${worked[$target]}" count
done
for target in "${chosen[@]}"; do
    folders
    attempt 60 unmount_one
    [ "$ended_with" = 0 ] || status=1
done
machine --arg tree "${tree:-5,000 small files}" --argjson seconds $((SECONDS - began)) > "$scratch/machine.json"
"$here/report.sh" "$results" "$failures" "$scratch/machine.json" "$out" --strict || status=1
echo "bench: growth is KiB an hour, of the last three quarters; samples in $(realpath "$samples")"
exit $status
