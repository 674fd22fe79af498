#!/usr/bin/env bash
# monorepo-server.sh REPOSITORY: a git repository served by the origin on loopback: start, requests, a whole comparison with a checkout, sizes of a
# long directory, a second mount without the server, and the build of lib/ when it is a kernel tree; beside them a shallow clone over loopback, from
# git's own server. As root, and where the kernel has a limit for requests, also a blob that takes longer than that. Needs git with git-daemon.
. "$(dirname "$0")/lib.sh"
repository_given=$(realpath "${1:?usage: monorepo-server.sh REPOSITORY}")
store=$scratch/store
log=$scratch/access.log
server=""
daemon=""
stop_servers() {
    local pid
    for pid in $server $daemon; do kill "$pid" 2>/dev/null || true; done
    daemon=""
}
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
first=$(git -C "$repository_given" ls-tree -r --name-only HEAD | awk -F/ 'NF >= 4 && !seen++')
seen() { grep -c "$1" "$log" || true; }

# On a machine that has other work too, MOUNT_LIMIT_MS allows more.
limit_ms=${MOUNT_LIMIT_MS:-50}
best=999999
for _ in 1 2 3 4 5 6 7; do
    rm -rf "$store"
    start=$(now_us)
    mount_source "mega:$url/" --store "$store"
    took=$((($(now_us) - start) / 1000))
    [ $took -ge $best ] || best=$took
    unmount
done
echo "mount ready, nothing in the store: $best ms (least of 7; limit $limit_ms)"
[ $best -le "$limit_ms" ] || fail "the mount takes longer than $limit_ms ms"

rm -rf "$store"
: > "$log"
start=$(now_us)
mount_source "mega:$url/@$revision" --store "$store"
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

# The longest directory, sizes of all of its files: each once, and none after a remount, of which only the sizes and trees are left.
long=$(git -C "$repository_given" ls-tree -r --name-only HEAD | sed 's|/[^/]*$||' | sort | uniq -c | sort -rn | awk 'NR == 1 { print $2 }')
rm -rf "$store"
mount_source "mega:$url/@$revision" --store "$store"
: > "$log"
of_long=$(find "$mnt/$long" -maxdepth 1 -type f -size +0 | wc -l)
sleep 1
asked=$(seen '/file/blob/')
files_of_long=$(find "$mnt/$long" -maxdepth 1 -type f | wc -l)
unmount
mount_source "mega:$url/@$revision" --store "$store"
: > "$log"
[ "$(find "$mnt/$long" -maxdepth 1 -type f -size +0 | wc -l)" -eq "$of_long" ] || fail "other sizes after a remount"
sleep 1
echo "find -size of $files_of_long files in $long: $asked requests for sizes, $(seen '/file/blob/') after a remount"
[ "$asked" -le "$files_of_long" ] || fail "a size was asked for twice"
[ "$(seen '/file/blob/')" -eq 0 ] || fail "sizes were asked for again after a remount"
diff -r --no-dereference "$scratch/checkout" "$mnt" > "$scratch/diff" || { head -5 "$scratch/diff" >&2; fail "the mount differs from the checkout"; }
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

# git's own server on loopback; the port is asked for by trying.
mkdir "$scratch/served"
ln -s "$repository_given" "$scratch/served/repository"
for port in 9419 9420 9421 9422; do
    "$(git --exec-path)/git-daemon" --listen=127.0.0.1 --port=$port --export-all --base-path="$scratch/served" "$scratch/served" > "$scratch/daemon.log" 2>&1 &
    daemon=$!
    sleep 0.5
    ! kill -0 $daemon 2>/dev/null || break
    daemon=""
done
[ -n "$daemon" ] || { cat "$scratch/daemon.log" >&2; fail "git daemon"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", a / b }'; }

start=$(now_us)
git clone -q --depth 1 "git://127.0.0.1:$port/repository" "$scratch/clone" 2> "$scratch/clone.log" || { cat "$scratch/clone.log" >&2; fail "clone"; }
cat "$scratch/clone/$first" > /dev/null
clone_us=$(($(now_us) - start))
clone_bytes=$(du -s --block-size=1 "$scratch/clone/.git/objects/pack" | cut -f1)
echo "first byte of a file: mount $((mount_first_us / 1000)) ms, shallow clone $((clone_us / 1000)) ms: $(ratio $mount_first_us $clone_us) of the time"
if [ -e "$scratch/checkout/lib/Kconfig.debug" ]; then
    rm -rf "$store"
    : > "$log"
    start=$(now_us)
    mount_source "mega:$url/" --store "$store" --record "$scratch/touched"
    build "$mnt"
    mount_us=$(($(now_us) - start))
    mount_bytes=$(awk '{ sum += 500 + $4 } END { printf "%d", sum }' "$log") # with the heads of question and answer
    unmount
    start=$(now_us)
    build "$scratch/clone"
    clone_us=$((clone_us + $(now_us) - start))

    # Of the contents that were fetched, those of files that nobody read: looked at only (make does), or fetched ahead.
    grep '^GET /api/v1/file/blob/' "$log" | sed 's|.*/blob/\([0-9a-f]*\) .*|\1|' | sort -u > "$scratch/fetched"
    grep '^F ' "$scratch/touched" | sed 's|^F /||' | sort > "$scratch/read"
    git -C "$repository_given" ls-tree -r HEAD | awk -F'\t' '{ split($1, part, " "); print $2 "\t" part[3] }' | LC_ALL=C sort > "$scratch/ids"
    LC_ALL=C join -t "$(printf '\t')" <(LC_ALL=C sort "$scratch/read") "$scratch/ids" | cut -f2 | sort -u > "$scratch/opened"
    fetched=$(wc -l < "$scratch/fetched")
    unread=$(comm -23 "$scratch/fetched" "$scratch/opened" | wc -l)
    [ "$(comm -13 "$scratch/fetched" "$scratch/opened" | wc -l)" -eq 0 ] || fail "files were read that nobody fetched"
    echo "lib/ built: mount and build $((mount_us / 1000)) ms, clone and build $((clone_us / 1000)) ms: $(ratio $mount_us $clone_us) of the time;" \
        "$((mount_bytes >> 20)) MiB moved instead of $((clone_bytes >> 20)): $(ratio $mount_bytes $clone_bytes)"
    echo "fetched: $fetched of $blobs blobs, $(wc -l < "$scratch/opened") of them opened, $unread not; $(seen '^HEAD') sizes"
    [ $((unread * 20)) -le "$fetched" ] || fail "of $fetched contents $unread were not opened"
    [ "$(seen '^HEAD')" -le $((fetched / 20)) ] || fail "$(seen '^HEAD') sizes were asked for on their own"
fi
stop_servers
wait "$server" 2>/dev/null || true

# A kernel that gives a mount up after 20 s, and a server that takes 60 s for one blob. The setting counts for mounts made while it is so.
setting=/proc/sys/fs/fuse/default_request_timeout
if [ -w "$setting" ]; then
    slow=$(git -C "$repository_given" rev-parse "HEAD:$first")
    "$ANTARES_BIN" origin --git "$repository_given" --listen 127.0.0.1:0 --quirk "slow=60000@$slow" > "$scratch/url" &
    server=$!
    for _ in $(seq 100); do grep -q . "$scratch/url" && break; sleep 0.1; done
    rm -rf "$store"
    before=$(cat "$setting")
    echo 20 > "$setting"
    mount_source "mega:$(cat "$scratch/url")/" --store "$store" || { echo "$before" > "$setting"; fail "mount with a limit for requests"; }
    echo "$before" > "$setting"
    late=0
    until cmp -s "$mnt/$first" "$scratch/checkout/$first"; do
        late=$((late + 1))
        [ $late -lt 10 ] || fail "the slow blob never came"
        ls "$mnt" > /dev/null || fail "the mount is gone"
    done
    [ $late -ge 2 ] || fail "a blob of 60 s came too early"
    unmount
    echo "a blob of 60 s under a limit of 20 s for requests: there at try $((late + 1)), the mount lives"
fi
echo "OK monorepo server: $files files in $directories directories"
