#!/usr/bin/env bash
# What Buck2 does to a workspace when its daemon starts and a first build runs, step by step and checked: the state folder, its SQLite
# databases in WAL mode with the -shm file mapped by two processes at once, the flock on the lifecycle file, the daemon's socket, the symlink
# forest and the renames in buck-out, clean. Prints OK at the end; any other end names the step that failed.
#   startup.sh [WORKSPACE]      needs bash, coreutils, util-linux (flock) and sqlite3; runs as any user
set -euo pipefail
workspace=${1:-$PWD}
step="start"
trap 'status=$?; [ $status -eq 0 ] || echo "buck2-startup: FAILED at step: $step (status $status)" >&2' EXIT
must() { "$@" || { echo "buck2-startup: $*" >&2; exit 1; }; }
same() { [ "$1" = "$2" ] || { echo "buck2-startup: expected '$2', got '$1'" >&2; exit 1; }; }
cd "$workspace"

step="mkdir .buck2 (the daemon's own folder)"
rm -rf .buck2 buck-out
mkdir .buck2
mkdir -p .buck2/daemon/v2 buck-out/v2/{log,forkserver,gen,tmp}

step="flock on the lifecycle file"
exec 7>.buck2/daemon/buckd.lifecycle
must flock -n -x 7
same "$(flock -n -x .buck2/daemon/buckd.lifecycle true && echo free || echo held)" held
echo "$$" >&7
same "$(cat .buck2/daemon/buckd.lifecycle)" "$$"

step="the daemon's info file: written beside, then renamed over"
for i in 1 2 3; do
    echo "{\"endpoint\":\"unix:buckd.uds\",\"pid\":$$,\"round\":$i}" > .buck2/daemon/buckd.info.tmp
    mv .buck2/daemon/buckd.info.tmp .buck2/daemon/buckd.info
done
must grep -q '"round":3' .buck2/daemon/buckd.info

step="SQLite state databases in WAL mode"
for db in materializer_state incremental_state; do
    mkdir -p ".buck2/cache/$db"
    file=".buck2/cache/$db/db.sqlite"
    same "$(sqlite3 "$file" 'PRAGMA journal_mode=WAL;')" wal
    sqlite3 "$file" 'CREATE TABLE state(path TEXT PRIMARY KEY, digest BLOB, size INTEGER, time INTEGER); CREATE TABLE versions(key TEXT, value TEXT);'
done

step="a second process on the same database: both map the -shm file"
file=.buck2/cache/materializer_state/db.sqlite
coproc daemon { exec sqlite3 -batch "$file" 2>&1; }
daemon_pid=$daemon_PID
ask() { echo "$1" >&"${daemon[1]}"; read -r -t 20 reply <&"${daemon[0]}" || reply="no answer"; }
ask "SELECT count(*) FROM state;"
same "$reply" 0
must grep -q 'db.sqlite-shm' "/proc/$daemon_pid/maps"
sqlite3 "$file" "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1000) INSERT INTO state SELECT 'p/'||i, randomblob(20), i, i FROM n;"
ask "SELECT count(*), sum(size) FROM state;"
same "$reply" "1000|500500"
ask "BEGIN IMMEDIATE; UPDATE state SET size = size + 1; COMMIT; SELECT sum(size) FROM state;"
same "$reply" 501500
same "$(sqlite3 "$file" 'SELECT sum(size) FROM state;')" 501500

step="writers of both processes in turn, 200 transactions"
for i in $(seq 100); do
    ask "INSERT INTO versions VALUES('d', '$i'); SELECT changes();"
    same "$reply" 1
    sqlite3 "$file" "PRAGMA busy_timeout=10000; INSERT INTO versions VALUES('c', '$i');" > .buck2/out
done
ask "SELECT count(*) FROM versions;"
same "$reply" 200
echo ".quit" >&"${daemon[1]}"
wait "$daemon_pid" || true
same "$(sqlite3 "$file" 'PRAGMA integrity_check;')" ok
same "$(sqlite3 "$file" 'PRAGMA wal_checkpoint(TRUNCATE);' | cut -d'|' -f1)" 0

step="symlink forest in buck-out"
mkdir -p src/lib
for i in $(seq 100); do echo "int f$i(void) { return $i; }" > "src/lib/f$i.c"; done
forest=buck-out/v2/gen/root/lib/__lib__/buck-headers
mkdir -p "$forest"
for i in $(seq 100); do ln -s "../../../../../../../src/lib/f$i.c" "$forest/f$i.c"; done
for i in 1 50 100; do same "$(cat "$forest/f$i.c")" "int f$i(void) { return $i; }"; done
same "$(find -L "$forest" -type f | wc -l)" 100
same "$(find "$forest" -type l | wc -l)" 100

step="outputs are made in tmp and renamed into gen, folders too"
for i in $(seq 50); do
    mkdir -p "buck-out/v2/tmp/action$i/out"
    cat "$forest/f$i.c" > "buck-out/v2/tmp/action$i/out/o.txt"
    mkdir -p "buck-out/v2/gen/root/act"
    mv "buck-out/v2/tmp/action$i" "buck-out/v2/gen/root/act/action$i"
done
same "$(ls buck-out/v2/gen/root/act | wc -l)" 50
same "$(cat buck-out/v2/gen/root/act/action7/out/o.txt)" "int f7(void) { return 7; }"
mv buck-out/v2/gen/root/act buck-out/v2/gen/root/act-renamed
same "$(cat buck-out/v2/gen/root/act-renamed/action50/out/o.txt)" "int f50(void) { return 50; }"
[ ! -e buck-out/v2/gen/root/act ]

step="an output that ran before is replaced while it is read"
printf '#!/bin/sh\necho one\n' > buck-out/v2/gen/tool && chmod 755 buck-out/v2/gen/tool
same "$(buck-out/v2/gen/tool)" one
printf '#!/bin/sh\necho two\n' > buck-out/v2/tmp/tool && chmod 755 buck-out/v2/tmp/tool
exec 8<buck-out/v2/gen/tool
mv -f buck-out/v2/tmp/tool buck-out/v2/gen/tool
same "$(buck-out/v2/gen/tool)" two
same "$(tail -1 <&8)" "echo one"
exec 8<&-

step="the event log grows by appends of two processes"
( for i in $(seq 200); do echo "a $i" >> buck-out/v2/log/events; done ) &
for i in $(seq 200); do echo "b $i" >> buck-out/v2/log/events; done
wait
same "$(wc -l < buck-out/v2/log/events)" 400
same "$(grep -c '^a ' buck-out/v2/log/events)" 200

step="clean"
rm -rf buck-out src/lib
[ ! -e buck-out ]
mkdir buck-out
same "$(find buck-out | wc -l)" 1
exec 7>&-
must flock -n -x .buck2/daemon/buckd.lifecycle true
rm -rf .buck2 buck-out
rmdir --ignore-fail-on-non-empty src 2>/dev/null || true

echo "OK buck2 start-up sequence"
