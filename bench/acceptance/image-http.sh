#!/usr/bin/env bash
# image-http.sh TREE: an image of a kernel tree on nginx on loopback: start, what a build of lib/ moves, a whole comparison, a second mount, and a
# server that is away, slow, or has another file. Needs nginx and zstd.
. "$(dirname "$0")/lib.sh"
tree_given=$(realpath "${1:?usage: image-http.sh TREE}")
store=$scratch/store
log=$scratch/access.log
port=$((20000 + $$ % 20000))
server=""
stop_server() { [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true; }; server=""; }
finish() { local status=$?; stop_server; set +e; (exit $status); cleanup; }
trap finish EXIT

# start_server [DIRECTIVE…]: nginx with what is said of the file
start_server() {
    mkdir -p "$scratch"/{www,nginx}
    cat > "$scratch/nginx.conf" <<CONF
worker_processes 1; daemon off; pid $scratch/nginx/pid; error_log $scratch/nginx/error.log;
events { worker_connections 256; }
http {
    log_format bytes '\$status \$body_bytes_sent "\$http_range"';
    access_log $log bytes; sendfile on; keepalive_requests 100000;
    client_body_temp_path $scratch/nginx; proxy_temp_path $scratch/nginx; fastcgi_temp_path $scratch/nginx;
    uwsgi_temp_path $scratch/nginx; scgi_temp_path $scratch/nginx;
    server { listen 127.0.0.1:$port; root $scratch/www; $* }
}
CONF
    chmod 755 "$scratch" "$scratch/www"
    nginx -c "$scratch/nginx.conf" 2> "$scratch/nginx/out" &
    server=$!
    for _ in $(seq 100); do [ ! -s "$scratch/nginx/pid" ] || return 0; sleep 0.05; done
    fail "nginx did not start: $(cat "$scratch/nginx/out")"
}
url=http://127.0.0.1:$port/tree.dic
requests_seen() { wc -l < "$log"; }
bytes_seen() { awk '{ sum += $2 } END { printf "%d", sum }' "$log"; }
# The median of lines of numbers.
median() { sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }

mkdir -p "$scratch/www"
"$ANTARES_BIN" pack "$tree_given" -o "$scratch/www/tree.dic" --exclude .git --frame 64K
image_bytes=$(stat -c %s "$scratch/www/tree.dic")
start_server

times() {
    for _ in $(seq 30); do
        [ "$1" = again ] || rm -rf "$store"
        start=$(now_us)
        "$ANTARES_BIN" mount --engine "$engine" "$url" "$mnt" --read-only --store "$store"
        echo $(($(now_us) - start))
        unmount
    done | median
}
times first > "$scratch/first"
cold=$(cat "$scratch/first")
times again > "$scratch/again"
again=$(cat "$scratch/again")
echo "mount ready: $cold us with nothing in the store, $again us with it there (medians of 30)"

rm -rf "$store"
: > "$log"
mount_source "$url" --store "$store" --record "$scratch/touched"
metadata=$(bytes_seen)
[ "$(requests_seen)" -eq 2 ] || fail "the mount sent $(requests_seen) requests"
if [ -e "$tree_given/lib/Kconfig.debug" ]; then
    start=$(now_us)
    (cd "$mnt" && make -s tinyconfig && make -s -j2 lib/) > "$scratch/build.log" 2>&1 || { tail -20 "$scratch/build.log" >&2; fail "build"; }
    took=$((($(now_us) - start) / 1000))
    look_at_errors
    "$ANTARES_BIN" stats "$mnt" | grep -E 'server_|image_frames'
    unmount
    moved=$(bytes_seen)
    # Each file that was read, packed alone as the image packs its frames. Names have % and line breaks escaped; these have none.
    opened=$(awk '/^F / { print substr($0, 4) }' "$scratch/touched" | while IFS= read -r file; do zstd -q -6 -c "$tree_given/$file" | wc -c; done | awk '{ sum += $1; n++ } END { printf "%d %d", sum, n }')
    files=${opened#* } opened=${opened% *}
    echo "lib/ built in $took ms: $files files read, $opened bytes of them packed; moved $moved bytes in $(requests_seen) requests, $metadata of them metadata"
    [ "$moved" -le $((metadata + 2 * opened)) ] || fail "moved more than the metadata and twice what was opened: $((moved - metadata)) bytes for $opened"
else
    unmount
fi

: > "$log"
mount_source "$url" --store "$store"
diff -r --no-dereference "$tree_given" "$mnt" -x .git > "$scratch/diff" || { head -5 "$scratch/diff" >&2; fail "the mount differs"; }
same=$(requests_seen)
unmount
[ "$(bytes_seen)" -le "$image_bytes" ] || fail "more moved than the image has"
: > "$log"
mount_source "$url" --store "$store"
diff -r --no-dereference "$tree_given" "$mnt" -x .git > "$scratch/diff" || fail "the second mount differs"
unmount
[ "$(requests_seen)" -eq 1 ] && [ "$(bytes_seen)" -eq 4096 ] || fail "a mount of what is there sent $(requests_seen) requests for $(bytes_seen) bytes"
echo "whole tree compared: $same requests; once more: one of 4096 bytes"

# What may go wrong on the way: an error or a second try, never wrong bytes.
some=$(cd "$tree_given" && find . -type f -size +20k | sort | awk 'NR % 97 == 0 && n++ < 40')
# check WHAT: each of some files is right, or an error
check() {
    local right=0 wrong=0
    for file in $some; do
        if timeout 60 cat "$mnt/$file" > "$scratch/got" 2>/dev/null; then
            cmp -s "$scratch/got" "$tree_given/$file" || fail "$1: wrong bytes of $file"
            right=$((right + 1))
        else
            wrong=$((wrong + 1))
        fi
    done
    echo "$1: $right right, $wrong errors"
}
rm -rf "$store"
mount_source "$url" --store "$store"
stop_server
check "server away"
start_server "limit_rate 200k;"
check "slow server"
unmount
rm -rf "$store"
mount_source "$url" --store "$store"
check "connections cut" > "$scratch/cut" &
checker=$!
for _ in 1 2 3 4 5 6; do
    sleep 0.2
    stop_server
    start_server "limit_rate 2000k;"
done
wait $checker || fail "connections cut: $(cat "$scratch/cut")"
cat "$scratch/cut"
unmount
rm -rf "$store"
mount_source "$url" --store "$store"
cp "$scratch/www/tree.dic" "$scratch/other.dic"
printf x | dd of="$scratch/other.dic" bs=1 seek=$((image_bytes / 2)) conv=notrunc status=none
mv "$scratch/other.dic" "$scratch/www/tree.dic"
check "file replaced"
"$ANTARES_BIN" errors "$mnt" | grep -q "was replaced on the server" || fail "errors does not tell that the file was replaced"
unmount
limit=20000
[ "$cold" -le $limit ] || fail "the mount took $cold us, limit $limit"
echo "OK image over HTTP: ready in $cold us, again in $again us"
