#!/usr/bin/env bash
# monorepo-server.sh REPOSITORY: a git repository served by the origin on loopback: start, requests, a whole comparison with a checkout, a second
# mount without the server, and the build of lib/ when it is a kernel tree; beside them a shallow clone over loopback. Needs git.
. "$(dirname "$0")/lib.sh"
repository_given=$(realpath "${1:?usage: monorepo-server.sh REPOSITORY}")
store=$scratch/store
log=$scratch/access.log
server=""
stop_servers() { [ -z "$server" ] || kill "$server" 2>/dev/null || true; }
finish() { local status=$?; stop_servers; set +e; (exit $status); cleanup; }
trap finish EXIT

"$ANTARES_BIN" origin --git "$repository_given" --listen 127.0.0.1:0 --access-log "$log" > "$scratch/url" &
server=$!
for _ in $(seq 100); do [ ! -s "$scratch/url" ] || break; sleep 0.1; done
url=$(cat "$scratch/url")
revision=$(git -C "$repository_given" rev-parse HEAD)
files=$(git -C "$repository_given" ls-tree -r HEAD | wc -l)
directories=$(($(git -C "$repository_given" ls-tree -r -t HEAD | grep -c ' tree ') + 1))
blobs=$(git -C "$repository_given" ls-tree -r HEAD | grep ' blob ' | cut -d' ' -f3 | cut -f1 | sort -u | wc -l)
seen() { grep -c "$1" "$log" || true; }

best=999999
for _ in 1 2 3 4 5 6 7; do
    rm -rf "$store"
    start=$(now_us)
    mount_source "mega:$url/" --store "$store"
    took=$((($(now_us) - start) / 1000))
    [ $took -ge $best ] || best=$took
    unmount
done
echo "mount ready, nothing in the store: $best ms (least of 7; limit 50)"

rm -rf "$store"
: > "$log"
start=$(now_us)
mount_source "mega:$url/@$revision" --store "$store"
first=$(git -C "$repository_given" ls-tree -r --name-only HEAD | awk -F/ 'NF >= 4 && !seen++')
cat "$mnt/$first" > /dev/null
mount_first_us=$(($(now_us) - start))
start=$(now_us)
find "$mnt" > "$scratch/names"
echo "find of $(wc -l < "$scratch/names") names: $((($(now_us) - start) / 1000)) ms, $(seen .) requests for $directories directories"
[ "$(seen '/file/blob/')" -le 1 ] || fail "find by name asked for sizes or contents"
[ "$(seen .)" -le $((2 * directories + 4)) ] || fail "more than a listing and a raw tree for each directory"

mkdir "$scratch/checkout"
git -C "$repository_given" -c tar.umask=0022 archive HEAD | tar -x -C "$scratch/checkout"
start=$(now_us)
diff -r --no-dereference "$scratch/checkout" "$mnt" > "$scratch/diff" || { head -5 "$scratch/diff" >&2; fail "the mount differs from the checkout"; }
echo "diff -r of $files files: $((($(now_us) - start) / 1000)) ms, $(seen '^GET /api/v1/file/blob/') GET and $(seen '^HEAD') HEAD for $blobs blobs"
[ "$(seen '^GET /api/v1/file/blob/')" -le "$blobs" ] || fail "a blob was fetched twice"
[ "$(seen '^HEAD')" -eq 0 ] || fail "sizes of files that were read were asked for on their own"
list() { (cd "$1" && find . -mindepth 1 \( -type d -printf '%P %y\n' \) -o -printf '%P %y %m %s %l\n' | LC_ALL=C sort); }
list "$scratch/checkout" > "$scratch/list1"
list "$mnt" > "$scratch/list2"
cmp -s "$scratch/list1" "$scratch/list2" || { diff "$scratch/list1" "$scratch/list2" | head -5 >&2; fail "types, modes, sizes or links differ"; }
grep -E 'RssAnon|RssShmem' "/proc/$(server_pid)/status" | tr '\n' ' '
echo "after all of it; store: $(du -s --block-size=1M "$store" | cut -f1) MiB"
unmount

stop_servers
wait "$server" 2>/dev/null || true
server=""
mount_source "mega:$url/@$revision" --store "$store"
diff -r --no-dereference "$scratch/checkout" "$mnt" > "$scratch/diff" || { head -5 "$scratch/diff" >&2; fail "without the server the mount differs"; }
unmount
echo "a second mount with the server stopped: equal"

"$ANTARES_BIN" origin --git "$repository_given" --listen 127.0.0.1:0 --access-log "$log" > "$scratch/url" &
server=$!
sleep 0.5
url=$(cat "$scratch/url")
build() { (cd "$1" && make -s tinyconfig && make -s -j2 lib/) > "$scratch/build.log" 2>&1 || { tail -20 "$scratch/build.log" >&2; fail "build in $1"; }; }
start=$(now_us)
git clone -q --depth 1 "file://$repository_given" "$scratch/clone" 2> "$scratch/clone.log" || { cat "$scratch/clone.log" >&2; fail "clone"; }
cat "$scratch/clone/$first" > /dev/null
clone_us=$(($(now_us) - start))
echo "first byte of a file: mount $((mount_first_us / 1000)) ms, shallow clone $((clone_us / 1000)) ms"
if [ -e "$scratch/checkout/lib/Kconfig.debug" ]; then
    rm -rf "$store"
    : > "$log"
    start=$(now_us)
    mount_source "mega:$url/" --store "$store"
    build "$mnt"
    mount_us=$(($(now_us) - start))
    fetched=$(seen '/file/blob/')
    bytes=$(awk '{ sum += $4 } END { printf "%d", sum / 1048576 }' "$log")
    unmount
    start=$(now_us)
    build "$scratch/clone"
    echo "lib/ built: mount and build $((mount_us / 1000)) ms, $fetched of $blobs blobs, $bytes MiB moved; clone and build $(((clone_us + $(now_us) - start) / 1000)) ms, $(du -sm "$scratch/clone/.git" | cut -f1) MiB moved"
    [ "$fetched" -lt $((blobs / 4)) ] || fail "the build fetched $fetched blobs"
fi
echo "OK monorepo server: $files files in $directories directories"
