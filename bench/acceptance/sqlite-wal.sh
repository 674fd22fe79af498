#!/usr/bin/env bash
# sqlite-wal.sh [TRANSACTIONS]: two processes on one database in WAL mode, 10,000 transactions, every one of them there, integrity_check ok.
. "$(dirname "$0")/lib.sh"
transactions=${1:-10000}
mkdir "$scratch/lower"
for source in "dir:$scratch/lower" "$scratch/lower"; do
    mount_source "$source"
    db=$mnt/db.sqlite
    [ "$(sqlite3 "$db" 'PRAGMA journal_mode=WAL; CREATE TABLE t(who TEXT, n INTEGER, v BLOB, PRIMARY KEY(who, n));')" = wal ] || fail "no WAL"
    writer() {
        { echo ".timeout 120000"; echo "PRAGMA synchronous=NORMAL;"
          for i in $(seq $((transactions / 2))); do echo "INSERT INTO t VALUES('$1', $i, randomblob(100));"; done; } | sqlite3 -bail "$db"
    }
    start=$(now_us)
    writer a & a=$!
    writer b & b=$!
    mapped=0
    for _ in $(seq 200); do
        mapped=$({ grep -l "$scratch/.*db.sqlite-shm" /proc/[0-9]*/maps 2>/dev/null || true; } | wc -l)
        [ "$mapped" -ge 2 ] && break
        sleep 0.02
    done
    wait $a || fail "writer a"
    wait $b || fail "writer b"
    echo "$source: $transactions transactions in $((($(now_us) - start) / 1000)) ms, -shm mapped by $mapped processes at once"
    [ "$mapped" -ge 2 ] || fail "the -shm file was not mapped by two processes"
    [ "$(sqlite3 "$db" 'SELECT count(*), count(DISTINCT who), max(n) FROM t')" = "$((transactions / 2 * 2))|2|$((transactions / 2))" ] || fail "rows are missing"
    [ "$(sqlite3 "$db" 'PRAGMA integrity_check')" = ok ] || fail "integrity_check"
    unmount
    [ "$(sqlite3 "$upper/db.sqlite" 'PRAGMA integrity_check')" = ok ] || fail "integrity_check in the upper"
done
echo "OK SQLite WAL"
