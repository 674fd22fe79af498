#!/usr/bin/env bash
# Builds this project in a writable mount over its own folder, writes a SQLite database from two processes beside it, and shows that
# the folder is untouched and where the writes went.
#   demo.sh ANTARES-AOT
set -euo pipefail
antares=$(realpath "${1:?usage: demo.sh PATH-OF-ANTARES-AOT}")
source=$(cd "$(dirname "$0")" && pwd)
job=demo-$$
scratch=$(mktemp -d)
export ANTARES_STATE_DIR=$scratch/state
mount=

step() { printf '\n== %s\n' "$*"; }
fail() { printf 'demo: FAILED: %s\n' "$*" >&2; exit 1; }
# Names, types, modes, sizes, times and contents of all that is in a folder.
fingerprint() { (cd "$1" && find . -printf '%y %m %s %T@ %l %p\n' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum) | sha256sum | cut -d' ' -f1; }
finish() {
    [ -z "$mount" ] || "$antares" umount "$job" || "$antares" umount --lazy "$job" || true
    rm -rf "$scratch"
}
trap finish EXIT

step "the source: $source"
before=$(fingerprint "$source")
(cd "$source" && find . -type f | sort)

step "antares-aot mount dir:… --job $job"
start=$(date +%s%N)
mount=$("$antares" mount "dir:$source" --job "$job" --workspace-root "$scratch")
printf 'mounted at %s after %d.%d ms, command and answer of the root included\n' "$mount" \
    $((($(date +%s%N) - start) / 1000000)) $((($(date +%s%N) - start) / 100000 % 10))

step "make, in the mount"
make -C "$mount" --no-print-directory all test
"$mount/build/hello" antares
make -C "$mount" --no-print-directory -q all || fail "make would build again: times are not kept"

if command -v sqlite3 >/dev/null; then
    step "SQLite in WAL mode, two processes at once"
    database=$mount/build/log.db
    [ "$(sqlite3 "$database" 'PRAGMA journal_mode=WAL; CREATE TABLE entry(writer, number);')" = wal ] || fail "no WAL mode"
    write() {
        { echo '.timeout 20000'; for i in $(seq 300); do echo "INSERT INTO entry VALUES('$1', $i);"; done; } | sqlite3 "$database"
    }
    write first & first=$!
    write second & second=$!
    wait $first || fail "the first writer"
    wait $second || fail "the second writer"
    [ "$(sqlite3 "$database" 'PRAGMA integrity_check;')" = ok ] || fail "the database is damaged"
    [ "$(sqlite3 "$database" 'SELECT count(*) FROM entry;')" = 600 ] || fail "entries are lost"
    sqlite3 "$database" "SELECT writer, count(*) || ' entries' FROM entry GROUP BY writer;"
else
    step "sqlite3 is not installed: that part is left out"
fi

step "an edit of a source file, in the mount"
sed -i 's/Hello/Good day/' "$mount/src/greeting.c"
make -C "$mount" --no-print-directory all
"$mount/build/hello" antares | grep -q 'Good day' || fail "the edit was not built"
"$mount/build/hello" antares

step "where the writes are: the upper"
upper=$(dirname "$mount")/upper
(cd "$upper" && find . -type f | sort)

step "the source is as it was"
[ "$(fingerprint "$source")" = "$before" ] || fail "the source has changed"
[ ! -e "$source/build" ] || fail "the source has a build folder"
echo "unchanged: names, modes, times and contents of all files"

step "antares-aot umount $job"
"$antares" umount "$job"
mount=
[ ! -e "$upper" ] || fail "the workspace is still there"
[ -z "$("$antares" list)" ] || fail "the mount is still listed"
printf 'unmounted; the workspace is gone\n\ndemo: OK\n'
