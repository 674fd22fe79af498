#!/usr/bin/env bash
# memory.sh TREE: bytes per node and idle memory of the server for a large tree; and the same tree read whole, with 20,000 files written, by a
# server in a memory cgroup of 512 MiB.
. "$(dirname "$0")/lib.sh"
tree=$(realpath "${1:?usage: memory.sh TREE}")
rss() { awk '/^(RssAnon|RssShmem):/ { sum += $2 } END { print sum }' "/proc/$1/status"; }
for source in "dir:$tree" "$tree"; do
    mount_source "$source"
    pid=$(server_pid)
    start=$(rss "$pid")
    nodes=$(find "$mnt" -printf '%s\n' | wc -l)
    sleep 2
    loaded=$(rss "$pid")
    echo "$source: RssAnon+RssShmem $start KiB after mounting, $loaded KiB after a find over $nodes nodes: $(((loaded - start) * 1024 / nodes)) bytes per node"
    [ "$loaded" -le $((30 * 1024)) ] || fail "idle memory $loaded KiB, 30 MiB allowed"
    unmount
done

if [ -w /sys/fs/cgroup/cgroup.procs ] && grep -qw memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null; then
    group=/sys/fs/cgroup/antares-acceptance-$$
    mkdir "$group"
    echo $((512 << 20)) > "$group/memory.max"
    peak() { cat "$group/memory.peak" 2>/dev/null || echo 0; }
    killed() { awk '$1 == "oom_kill" { print $2 }' "$group/memory.events"; }
elif [ -d /sys/fs/cgroup/memory ]; then
    group=/sys/fs/cgroup/memory/antares-acceptance-$$
    mkdir "$group"
    echo $((512 << 20)) > "$group/memory.limit_in_bytes"
    peak() { cat "$group/memory.max_usage_in_bytes"; }
    killed() { awk '$1 == "oom_kill" { print $2 }' "$group/memory.oom_control"; }
else
    fail "no memory cgroup to be had on this host"
fi
remove_group() { for _ in 1 2 3 4 5 6 7 8 9 10; do rmdir "$group" 2>/dev/null && return; sleep 0.3; done; }
mkdir -p "$upper" "$work"
bash -c "echo \$\$ > '$group/cgroup.procs' && exec \"\$@\"" - "$ANTARES_BIN" mount --engine "$engine" "dir:$tree" "$mnt" --upper "$upper" --work "$work"
pid=$(server_pid)
(cd "$mnt" && find . -type f -print0 | xargs -0 cat | sha256sum) > "$scratch/a"
(cd "$tree" && find . -type f -print0 | xargs -0 cat | wc -c) > "$scratch/bytes"
mkdir "$mnt/written"
for d in $(seq 20); do mkdir "$mnt/written/$d"; (cd "$mnt/written/$d" && seq 1000 | split -l 1 -a 3 - f); done
[ "$(find "$mnt/written" -type f | wc -l)" -eq 20000 ] || fail "not all files were written"
cat $(find "$mnt" -name '*.c' | head -2000) | wc -c > "$scratch/again"
[ -d "/proc/$pid" ] || fail "the server was killed"
echo "512 MiB cgroup: $(cat "$scratch/bytes") bytes read, 20,000 files written; peak $(($(peak) >> 20)) MiB of group memory with page cache, server $(rss "$pid") KiB, oom kills $(killed)"
[ "$(killed)" -eq 0 ] || fail "the server's group was out of memory"
unmount
remove_group
echo "OK memory"
