#!/usr/bin/env bash
# where-time-goes.sh TREE [OPTIONS OF mount]: for each workload the time, the processor time of the client and of the server, the requests for each unit of
# work (by the mount's counters) and the server's system calls for each request (strace, in a pass of its own, which is not timed), as a table for
# docs/PERFORMANCE.md. TREE: a source tree of some thousand files. The engine is FUSE, unless ENGINE names the other one.
. "$(dirname "$0")/lib.sh"
tree=$(realpath "${1:?usage: where-time-goes.sh TREE [OPTIONS OF mount]}")
shift
source=$scratch/lower
mkdir "$source"
cp -a "$tree" "$source/tree"
mkdir "$source/small"
cc -O2 -Wall -o "$scratch/files" "$repository/bench/files.c"
"$scratch/files" create "$source/small" 2000
git -C "$source/tree" init -q
git -C "$source/tree" add -A
git -C "$source/tree" -c user.name=a -c user.email=a@localhost -c gc.auto=0 commit -qm all
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' GIT_OPTIONAL_LOCKS=0
tar -C "$tree" -cf "$scratch/tree.tar" .
files=$(find "$tree" ! -type d | wc -l)
cat > "$scratch/inserts.sql" <<'SQL'
PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);
SQL
for i in $(seq 5000); do echo "INSERT INTO t VALUES($i, 'some text of a row, $i');"; done >> "$scratch/inserts.sql"
names=(find-first find-again grep-first grep-again git-status-first git-status-again untar create rename unlink append-to-lower sqlite-insert)
declare -A units=([find-first]=$files [find-again]=$files [grep-first]=$files [grep-again]=$files [git-status-first]=$files [git-status-again]=$files [untar]=$files
    [create]=5000 [rename]=5000 [unlink]=5000 [append-to-lower]=2000 [sqlite-insert]=5000)
work_of() {
    case $1 in
        find-*) find "$mnt/tree" -name .git -prune -o -size +0 ;;
        grep-*) grep -rc --exclude-dir=.git 'no such words' "$mnt/tree" ;;
        git-*) git -C "$mnt/tree" status ;;
        untar) mkdir "$mnt/untarred" && tar -C "$mnt/untarred" -xf "$scratch/tree.tar" ;;
        create) mkdir "$mnt/new" "$mnt/other" && "$scratch/files" create "$mnt/new" 5000 ;;
        rename) "$scratch/files" rename "$mnt/new" "$mnt/other" 5000 ;;
        unlink) "$scratch/files" unlink "$mnt/other" 5000 ;;
        append-to-lower) "$scratch/files" append 2000 "$mnt"/small/f* ;;
        sqlite-insert) sqlite3 "$mnt/db" < "$scratch/inserts.sql" ;;
    esac > "$scratch/output" 2>&1 || [ "${1%%-*}" = grep ]
}
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$server/stat"; }
counts() { "$ANTARES_BIN" stats "$mnt" --json | jq -c '.ops | map_values(.count)'; }

mount_source "$source" "$@"
server=$(server_pid)
declare -A told calls
TIMEFORMAT='%R %U %S'
for name in "${names[@]}"; do
    before=$(counts) used=$(ticks)
    { time work_of "$name"; } 2> "$scratch/times"
    used=$((($(ticks) - used) * 10))
    read -r real user system < "$scratch/times"
    told[$name]=$(jq -rn --argjson a "$before" --argjson b "$(counts)" --argjson n "${units[$name]}" --arg real "$real" --arg user "$user" --arg system "$system" --arg used "$used" '
        ($b | to_entries | map({key, value: (.value - ($a[.key] // 0))}) | map(select(.value * 50 >= $n)) | sort_by(-.value)) as $more
        | "\(($real | tonumber) * 1000 | round) | \((($user | tonumber) + ($system | tonumber)) * 1000 | round) | \($used) | "
          + (if $more == [] then "none" else ($more | map("\(.key) \((.value / $n * 100 | round) / 100)") | join(", ")) end)')
done
unmount

# Once more, with the server's calls counted; reads of requests and their answers are two of them.
mount_source "$source" "$@"
server=$(server_pid)
for name in "${names[@]}"; do
    strace -f -qq -c -o "$scratch/strace" -p "$server" 2> /dev/null &
    tracer=$!
    sleep 0.5
    before=$(requests)
    work_of "$name"
    asked=$(($(requests) - before))
    kill -INT $tracer
    wait $tracer || true
    calls[$name]=$(awk -v n="$asked" 'NR > 2 && $NF != "total" && $NF != "futex" && $NF != "restart_syscall" { sum += $4 } END { if (n < 100) print "–"; else printf "%.1f", sum / n }' "$scratch/strace")
done
unmount
echo "| work | units | time, ms | client's processor time | server's | requests for a unit | calls for a request |"
echo "|---|---|---|---|---|---|---|"
for name in "${names[@]}"; do echo "| $name | ${units[$name]} | ${told[$name]} | ${calls[$name]} |"; done
echo "OK where time goes"
