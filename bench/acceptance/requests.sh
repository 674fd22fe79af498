#!/usr/bin/env bash
# requests.sh TREE: requests of find, stat, readlink, grep -r and open/read/close over a large tree, by the mount's counters and, for the first
# find, by strace of the server's reads of /dev/fuse. First find at most 4·D + N/100; second pass at most one GETATTR per object; third pass 0.
# FORGET is the kernel's own housekeeping and not counted. STATFS and LSEEK stand apart, since the kernel keeps no answer of either: find and grep
# ask for the file system's type once in each walk, and grep for holes (SEEK_HOLE) once in each file longer than its first read.
. "$(dirname "$0")/lib.sh"
tree=$(realpath "${1:?usage: requests.sh TREE}")
directories=$(find "$tree" -type d | wc -l) files=$(find "$tree" ! -type d | wc -l)
limit=$((4 * directories + files / 100))
echo "$directories directories, $files files: at most $limit requests for the first find"
# All requests but those.
asked() { "$ANTARES_BIN" stats "$mnt" --json | jq '[.ops | to_entries[] | select(.key != "statfs" and .key != "lseek" and .key != "forget" and .key != "batch_forget") | .value.count] | add'; }
# The kernel may reclaim pages of the mount whenever it likes (memory pressure, a DAMON pageout scheme) and then asks again for what it took; its
# own tracepoint, filtered by the mount's device, tells how many. A try with reclaimed pages is repeated on a fresh mount.
tracing=/sys/kernel/tracing trace=
[ -d $tracing/instances ] || mount -t tracefs tracefs $tracing
trace_start() {
    trace=$tracing/instances/antares-acceptance-$$
    mkdir "$trace"
    echo "s_dev == $(awk -v m="$mnt" '$5 == m { split($3, d, ":"); print d[2] }' /proc/self/mountinfo)" > "$trace/events/filemap/mm_filemap_delete_from_page_cache/filter"
    echo 1 > "$trace/events/filemap/mm_filemap_delete_from_page_cache/enable"
}
trace_stop() {
    reclaimed=$(grep -vc '^#' "$trace/trace" || true)
    echo 0 > "$trace/events/enable"
    rmdir "$trace" 2> /dev/null || { sleep 1; rmdir "$trace"; }
}
changes() { diff <(tr , '\n' < "$scratch/ops-$1") <(tr , '\n' < "$scratch/ops-$2") || true; }
# passes NAME OBJECTS COMMAND: on a fresh mount; the first pass is not judged
passes() {
    local name=$1 objects=$2 try pass getattr lseek all other wrong reclaimed
    for try in $(seq 40); do
        unmount
        mount_source "$source"
        trace_start
        wrong=
        for pass in 1 2 3; do
            all=$(asked) getattr=$(requests getattr) lseek=$(requests lseek)
            (cd "$mnt" && eval "$3") > /dev/null
            getattr=$(($(requests getattr) - getattr))
            all=$(($(asked) - all))
            other=$((all - getattr)) lseek=$(($(requests lseek) - lseek))
            "$ANTARES_BIN" stats "$mnt" --json | jq -c '.ops | map_values(.count)' > "$scratch/ops-$pass"
            echo "  $name, pass $pass: $all requests, $getattr of them getattr; $lseek lseek beside them"
            case $pass in
                2) [ $other -eq 0 ] && [ $getattr -le "$objects" ] || wrong="second pass"$'\n'"$(changes 1 2)" ;;
                3) [ "$all" -eq 0 ] || wrong="${wrong:-third pass}"$'\n'"$(changes 2 3)" ;;
            esac
        done
        trace_stop
        [ -z "$wrong" ] && return 0
        [ "$reclaimed" -gt 0 ] || fail "$name: $wrong"
        echo "  $name: the kernel reclaimed $reclaimed pages of the mount meanwhile; again"
    done
    fail "$name: the kernel reclaimed pages in each try: $wrong"
}
for source in "dir:$tree" "$tree"; do
    mount_source "$source"
    if command -v strace > /dev/null; then
        strace -f -y -e trace=read -o "$scratch/strace" -p "$(server_pid)" 2> /dev/null & tracer=$!
        for _ in $(seq 300); do grep -qE 'TracerPid:[[:space:]]+0$' "/proc/$(server_pid)"/task/*/status || break; sleep 0.1; done
    fi
    before=$(requests)
    find "$mnt" > /dev/null
    first=$(($(requests) - before))
    if [ -n "${tracer:-}" ]; then
        kill -INT $tracer
        wait $tracer || true
        seen=$(grep -cE 'fuse>.*= [1-9][0-9]*$|resumed.*= ([4-9][0-9]|[0-9]{3,})$' "$scratch/strace" || true)
        echo "$source: first find: $first requests by the counters, $seen by strace"
        [ $((seen - first)) -le $((first / 50 + 10)) ] && [ $((first - seen)) -le $((first / 50 + 10)) ] || fail "the counters and strace disagree"
    fi
    [ $first -le $limit ] || fail "$source: the first find sent $first requests, $limit allowed"
    passes find $((directories + files)) 'find .'
    passes stat $((directories + files)) "find . -printf '%s %m %T@\n'"
    passes readlink $((directories + files)) "find . -type l -printf '%l\n'"
    passes 'grep -r' $((directories + files)) 'grep -r needle-that-is-not-there . || [ $? -eq 1 ]'
    passes 'open, read, close of 10,000' $((directories + files)) "find . -type f -size -64k | awk 'NR <= 10000' | xargs cat"
    unmount
done
echo "OK requests"
