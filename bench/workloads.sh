# Sourced by run.sh: what is timed, in groups that share a mount. $root is the root of the merged tree, $target the place; each line of a result
# is one call of `timed NAME COMMAND …`, or of `put NAME VALUE UNIT` for what measures itself. Everything is "less is better".

cold() { sync; echo 3 > /proc/sys/vm/drop_caches; }

# A mount of its own with cold caches.
remount_cold() { unmount_target; cold; mount_target "$target"; }

timed() {
    local name=$1 start end
    wanted "$name" || { shift; "$@" > /dev/null 2>&1 || true; return 0; }
    shift
    start=$EPOCHREALTIME
    "$@" > "$scratch/output" 2>&1 || { echo "bench: $name on $target failed: $(tail -3 "$scratch/output")" >&2; exit 1; }
    end=$EPOCHREALTIME
    put "$name" $((${end/[.,]/} - ${start/[.,]/})) us
}

put() { ! wanted "$1" || printf '%s\t%s\t%s\t%s\n' "$1" "$target" "$2" "$3" >> "$results"; }

no_match() { grep -r nothing-like-this "$@"; [ $? = 1 ]; }

server_memory() {
    local pid
    for pid in $(server_of_mount); do
        put "$1" "$(awk '/^Rss(Anon|Shmem):/ { sum += $2 } END { print sum }' "/proc/$pid/status")" KiB
        return 0
    done
}

walk_group() {
    fresh_upper
    remount_cold
    timed find-cold find "$root/tree"
    timed find-warm find "$root/tree"
    timed stat-warm find "$root/tree" -printf '%s %T@ %m\n'
    server_memory memory-after-find
    remount_cold
    # shellcheck disable=SC2086
    timed grep-cold no_match $(printf "$root/tree/%s " $some_folders)
    # shellcheck disable=SC2086
    timed grep-warm no_match $(printf "$root/tree/%s " $some_folders)
    # The index is made to fit this place first: it lands in the upper.
    git -C "$root/tree" status > /dev/null
    remount_cold
    timed git-status-cold git -C "$root/tree" status
    timed git-status-warm git -C "$root/tree" status
    find "$root/tree" -type f -exec cat {} + > /dev/null
    server_memory memory-after-read
    unmount_target
}

# fio's own clock, so that its start is not measured.
fio_time() {
    local name=$1
    shift
    wanted "$name" || return 0
    fio --name=x --filename="$root/fio" --size=256M --randseed=7 --output-format=json --output="$scratch/fio.json" "$@" > /dev/null
    put "$name" "$(jq '[.jobs[0].read.runtime, .jobs[0].write.runtime, .jobs[0].sync.runtime // 0] | max * 1000' "$scratch/fio.json")" us
}

sqlite_inserts() { sqlite3 -bail "$root/rows.db" < "$scratch/inserts.sql"; }
git_files() { "$files" append 2000 "$root"/many/*; }
make_project() { make -j2 -C "$root/project"; }
npm_install() { (cd "$root/npm" && HOME=$scratch npm install --offline --no-audit --no-fund --loglevel=error "$scratch/package.tgz"); }
copy_up() { if [ "$target" = native ]; then cp --reflink=never "$root/big" "$root/big.copied"; else echo x >> "$root/big"; fi; }

write_group() {
    fresh_upper
    [ "$target" != native ] || fresh_native
    unmount_target
    mount_target "$target"
    timed untar tar -C "$root" -xf "$scratch/part.tar"
    mkdir "$root/new" "$root/moved"
    timed create-10000 "$files" create "$root/new" 10000
    timed rename-10000 "$files" rename "$root/new" "$root/moved" 10000
    timed unlink-10000 "$files" unlink "$root/moved" 10000
    timed append-2000-lower git_files
    timed make-j2 make_project
    ! command -v npm > /dev/null || timed npm-install npm_install
    timed sqlite-wal-20000 sqlite_inserts
    # shellcheck disable=SC2086
    timed remove-lower rm -rf $(printf "$root/tree/%s " $some_folders)
    sync
    timed copy-up-1GiB copy_up
    rm -f "$root/big" "$root/big.copied"
    sync
    timed write-1GiB dd if=/dev/zero of="$root/seq" bs=1M count=1024
    rm "$root/seq"
    sync
    timed write-1GiB-fsync dd if=/dev/zero of="$root/seq" bs=1M count=1024 conv=fsync
    sync
    if [ -z "$only" ] || [[ read-1GiB-cold =~ $only ]]; then echo 1 > /proc/sys/vm/drop_caches; fi
    timed read-1GiB-cold dd if="$root/seq" of=/dev/null bs=1M
    timed read-1GiB-warm dd if="$root/seq" of=/dev/null bs=1M
    rm "$root/seq"
    sync
    if command -v fio > /dev/null; then
        fio_time fio-randwrite-4k --rw=randwrite --bs=4k --io_size=128M --ioengine=psync --end_fsync=0
        fio_time fio-randread-4k --rw=randread --bs=4k --io_size=128M --ioengine=psync
        fio_time fio-randwrite-fsync-4k --rw=randwrite --bs=4k --io_size=4M --ioengine=psync --fsync=16
        fio_time fio-mmap-4k --rw=randrw --bs=4k --io_size=64M --ioengine=mmap
        rm -f "$root/fio"
    fi
    server_memory memory-after-writes
    unmount_target
}
