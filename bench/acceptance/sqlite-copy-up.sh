#!/usr/bin/env bash
# sqlite-copy-up.sh [ROUNDS] [MEGABYTES]: a 90 MB database lies in the lower; in each round WAL writes copy it up while a reader works on it; the
# result is compared row by row with the same statements on a plain folder (an integrity check alone passes on lost commits).
. "$(dirname "$0")/lib.sh"
rounds=${1:-50} megabytes=${2:-90}
mkdir "$scratch/lower" "$scratch/plain"
rows=$((megabytes * 1000))
sqlite3 "$scratch/lower/db" "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; CREATE TABLE t(k INTEGER PRIMARY KEY, v TEXT, n INTEGER); CREATE INDEX i ON t(n);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<$rows) INSERT INTO t SELECT i, printf('%0940d', i * 7919), i % 1000 FROM c; PRAGMA wal_checkpoint(TRUNCATE);" > /dev/null
rm -f "$scratch/lower/db-wal" "$scratch/lower/db-shm"
echo "database in the lower: $(stat -c %s "$scratch/lower/db") bytes, $rows rows"
before=$(sha256sum < "$scratch/lower/db")
dump() { sqlite3 "$1" 'SELECT k, n, v FROM t ORDER BY k'; }
statements() { # ROUND PART
    local i k
    echo ".timeout 120000"
    for i in $(seq 30); do
        k=$(( ( $1 * 104729 + $2 * 15485863 + i * 32452843 ) % rows + 1 ))
        echo "BEGIN IMMEDIATE; UPDATE t SET v = printf('%0${i}50d', $1 + $2 + $i), n = n + 1 WHERE k = $k; UPDATE t SET n = n + 1 WHERE k BETWEEN $k AND $k + 40;
              DELETE FROM t WHERE k = $((k + 50)); INSERT OR REPLACE INTO t VALUES($((rows + $1 * 1000 + $2 * 100 + i)), 'new $1 $2 $i', $i); COMMIT;"
        [ $((i % 12)) -eq 0 ] && echo "PRAGMA wal_checkpoint(PASSIVE);"
    done
    return 0
}
for round in $(seq "$rounds"); do
    source=$scratch/lower
    [ $((round % 2)) -eq 0 ] || source=dir:$scratch/lower
    statements "$round" 1 > "$scratch/part1.sql"
    statements "$round" 2 > "$scratch/part2.sql"
    mount_source "$source" --volatile
    # The reader opens before the first write and goes on through the copy-up and the checkpoints.
    mkfifo "$scratch/go-$round"
    (
        { echo ".timeout 120000"; echo "SELECT count(*) FROM t;"; cat "$scratch/go-$round"
          for _ in $(seq 12); do echo "SELECT sum(n), count(*), max(length(v)) FROM t WHERE k % 7 = 3; SELECT count(*) FROM t INDEXED BY i WHERE n BETWEEN 10 AND 20;"; done; } \
            | sqlite3 -bail "$mnt/db" > "$scratch/reader.out" 2> "$scratch/reader.err" || echo "reader failed" >> "$scratch/reader.err"
    ) & reader=$!
    : > "$scratch/go-$round"
    rm -f "$scratch/go-$round"
    sqlite3 -bail "$mnt/db" < "$scratch/part1.sql" > /dev/null || fail "round $round: writes"
    sqlite3 -bail "$mnt/db" < "$scratch/part2.sql" > /dev/null || fail "round $round: more writes"
    wait $reader
    [ ! -s "$scratch/reader.err" ] || { cat "$scratch/reader.err" >&2; fail "round $round: the reader"; }
    rm -f "$scratch"/plain/*
    cp "$scratch/lower/db" "$scratch/plain/db"
    sqlite3 -bail "$scratch/plain/db" < "$scratch/part1.sql" > /dev/null
    sqlite3 -bail "$scratch/plain/db" < "$scratch/part2.sql" > /dev/null
    a=$(dump "$mnt/db" | sha256sum) b=$(dump "$scratch/plain/db" | sha256sum)
    [ "$a" = "$b" ] || { dump "$mnt/db" > "$scratch/d1"; dump "$scratch/plain/db" > "$scratch/d2"; cmp "$scratch/d1" "$scratch/d2" >&2 || true; fail "round $round ($source): rows differ"; }
    [ "$(sqlite3 "$mnt/db" 'PRAGMA integrity_check')" = ok ] || fail "round $round: integrity_check"
    unmount
    [ "$(dump "$upper/db" | sha256sum)" = "$b" ] || fail "round $round: the upper after unmount differs"
    [ $((round % 10)) -ne 0 ] || echo "round $round: rows equal"
done
[ "$(sha256sum < "$scratch/lower/db")" = "$before" ] || fail "the lower changed"
echo "OK SQLite copy-up, $rounds rounds"
