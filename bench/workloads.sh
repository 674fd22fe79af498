# shellcheck shell=bash disable=SC2034,SC2154 # one script in several files
# Sourced by run.sh: what is timed, in groups that share a mount. $root is the root of the merged tree, $target the place; each figure is one call of
# `timed NAME COMMAND …`, or of `put NAME VALUE UNIT` for what measures itself. Everything is "less is better".

walk_names=(find-cold find-second find-warm stat-cold stat-warm grep-cold grep-second grep-warm git-status-cold git-status-second git-status-warm memory-idle memory-after-find bytes-per-node memory-after-read)
write_names=(untar remove-untarred create-10000 rename-10000 unlink-10000 append-2000-unread append-2000-lower make-j2 npm-install sqlite-wal-20000 remove-lower memory-after-writes)
large_names=(copy-up-1GiB-unread copy-up-1GiB write-1GiB write-1GiB-fsync read-1GiB-cold read-1GiB-warm mmap-read-1GiB mmap-write-1GiB randread-4k randwrite-4k randwrite-fsync-4k mmap-randread-4k mmap-randwrite-4k)
client_kinds=(lookup stat read write write-shared)
client_counts=(1 2 4 16 64)
client_names=()
for kind in "${client_kinds[@]}"; do for count in "${client_counts[@]}"; do client_names+=("clients-$kind-$count"); done; done

# What there is no program for is left out, and stays wanted.
missing_programs() {
    local name
    if ! command -v npm > /dev/null; then
        ! any npm-install || printf '%s\t%s\n' npm-install "npm is not installed" >> "$left_out"
        mapfile -t write_names < <(printf '%s\n' "${write_names[@]}" | grep -vx npm-install)
    fi
    if ! command -v fio > /dev/null; then
        for name in "${large_names[@]:2}"; do ! wanted "$name" || printf '%s\t%s\n' "$name" "fio is not installed" >> "$left_out"; done
        large_names=("${large_names[@]:0:2}")
    fi
}

# A mount of its own with cold caches.
remount_cold() {
    must unmount_target
    must cold
    must mount_target "$target"
}

no_match() { local status=0; grep -r nothing-like-this "$@" || status=$?; [ $status = 1 ]; }
in_tree() { local f; for f in "${some_folders[@]}"; do printf '%s\0' "$root/tree/$f"; done; }

find_warm() { timed find-warm find "$root/tree"; }
see_attributes() { find "$root/tree" -printf '%s %T@ %m\n'; }
stat_warm() { timed stat-warm see_attributes; }
read_tree() { find "$root/tree" -path "$root/tree/.git" -prune -o -type f -exec cat {} + > /dev/null; }
grep_warm() { timed grep-warm no_match "${parts_of_tree[@]}"; }
git_warm() { timed git-status-warm git -C "$root/tree" status; }

# Cold, second and warm: the second walk pays for what the first one left behind (over FUSE the kernel drops the access time of what was read, and asks
# for it), the ones after it do not.
walk_group() {
    local idle after
    # Walks of the plain folder are walks of the lower itself.
    native=$lower
    must fresh_upper
    remount_cold
    mapfile -d '' parts_of_tree < <(in_tree)
    if any find-cold find-second find-warm stat-warm memory-idle memory-after-find bytes-per-node memory-after-read; then
        ls "$root" > /dev/null
        memory memory-idle
        idle=$(held)
        timed find-cold find "$root/tree"
        timed find-second find "$root/tree"
        times 2 find_warm
        # What is warm has been seen once: the names by the finds, the attributes by this.
        must see_attributes
        times 2 stat_warm
        memory memory-after-find
        after=$(held)
        [ -z "$idle" ] || put bytes-per-node "$(per_name $((after - idle)) "$nodes")" B
    fi
    if any stat-cold; then
        remount_cold
        timed stat-cold see_attributes
    fi
    if any grep-cold grep-second grep-warm; then
        remount_cold
        timed grep-cold no_match "${parts_of_tree[@]}"
        timed grep-second no_match "${parts_of_tree[@]}"
        times 2 grep_warm
    fi
    if any git-status-cold git-status-second git-status-warm; then
        # Should the index not fit this place, it is made to; it lands in the upper then.
        must git -C "$root/tree" status
        remount_cold
        timed git-status-cold git -C "$root/tree" status
        timed git-status-second git -C "$root/tree" status
        times 2 git_warm
    fi
    # Memory is not noisy: the first round tells it.
    if [ -n "$server" ] && any memory-after-read && [ "$round" = 1 ]; then
        show "$target: memory-after-read"
        must read_tree
        memory memory-after-read
    fi
    must unmount_target
}

sqlite_inserts() { rm -f "$root"/rows.db* && sqlite3 -bail "$root/rows.db" < "$scratch/inserts.sql"; }
make_project() { make -j2 -C "$root/project"; }
npm_install() { (cd "$root/npm" && npm install --offline --no-audit --no-fund --loglevel=error "$scratch/package.tgz"); }
small_files() {
    must mkdir "$root/new$1" "$root/moved$1"
    settle
    timed create-10000 "$scratch/files" create "$root/new$1" 10000
    settle
    timed rename-10000 "$scratch/files" rename "$root/new$1" "$root/moved$1" 10000
    settle
    timed unlink-10000 "$scratch/files" unlink "$root/moved$1" 10000
}
# Files that were never read through the mount (their names are listed, to be given to the program), and others that were: what the first touch of a content
# takes is in the former only. The lower's own cache has them all (warm_tools).
append_unread() { settle; timed append-2000-unread "$scratch/files" append 2000 "$root/many$1"/*; }
append_lower() { must cat "$root/many$(($1 + 2))"/*; settle; timed append-2000-lower "$scratch/files" append 2000 "$root/many$(($1 + 2))"/*; }
sqlite_some() { settle; timed sqlite-wal-20000 sqlite_inserts; }

write_group() {
    must fresh_upper
    [ "$target" != native ] || must fresh_native
    must warm_tools
    settle
    must mount_target "$target"
    if any untar remove-untarred; then
        must mkdir "$root/unpacked"
        timed untar tar -C "$root/unpacked" -xf "$scratch/part.tar"
        settle
        timed remove-untarred rm -rf "$root/unpacked"
    fi
    if any create-10000 rename-10000 unlink-10000; then times 1 small_files; fi
    if any append-2000-unread; then times 2 append_unread; fi
    if any append-2000-lower; then times 2 append_lower; fi
    if any make-j2; then settle; timed make-j2 make_project; fi
    if any npm-install && [[ " ${write_names[*]} " = *" npm-install "* ]]; then settle; timed npm-install npm_install; fi
    if any sqlite-wal-20000; then times 2 sqlite_some; fi
    if any remove-lower; then
        mapfile -d '' parts_of_tree < <(in_tree)
        # The names are known: what the first walk takes is find-cold's.
        must find "${parts_of_tree[@]}" -size +0
        settle
        timed remove-lower rm -rf "${parts_of_tree[@]}"
    fi
    memory memory-after-writes
    must unmount_target
}

# fio OPTIONS…: one job on the 1 GiB, by fio's own clock, so that its start is not measured. NAME first.
fio_time() {
    local name=$1
    shift
    wanted "$name" || return 0
    show "$target: $name"
    if fio --name=x --filename="$root/large" --size=1G --fallocate=none --invalidate=0 --randseed=7 --eta=never --output-format=json --output="$scratch/fio.json" "$@" > "$scratch/output" 2>&1 \
        && [ "$(jq '.jobs[0].error' "$scratch/fio.json")" = 0 ]; then
        put "$name" "$(jq '[.jobs[0].read.runtime, .jobs[0].write.runtime] | max * 1000' "$scratch/fio.json")" us
        memory "rss-after:$name"
    else
        failed "$name" "$(tail -3 "$scratch/output")"
        alive
    fi
}

# Until the copy is on the disk, whoever sees to that: kernel overlayfs and we sync a file that is copied up, others do not. With --volatile nobody does.
copy_up() {
    local copy=$root/big
    if [ "$target" = native ]; then copy=$root/copied && cp --reflink=never "$lower/big" "$copy"; else echo x >> "$copy"; fi \
        && { [ "$volatile_mounts" = 1 ] || sync "$copy"; }
}
read_file() { cat "$1" > /dev/null; }
warm_large() { read_file "$lower/big" && warm_image; }
forget_copy() { if [ "$target" = native ]; then rm -f "$root/copied"; else rm -f "$root/big"; fi; }
random_writes() { settle; fio_time randwrite-4k --rw=randwrite --bs=4k --io_size=128M --ioengine=psync; }
random_syncs() { settle; fio_time randwrite-fsync-4k --rw=randwrite --bs=4k --io_size=4M --ioengine=psync --fsync=16; }
fio_small() {
    fio_time randread-4k --rw=randread --bs=4k --io_size=256M --ioengine=psync
    fio_time mmap-randread-4k --rw=randread --bs=4k --io_size=256M --ioengine=mmap
    times 2 random_writes
    settle
    fio_time mmap-randwrite-4k --rw=randwrite --bs=4k --io_size=256M --ioengine=mmap
    settle
}

large_group() {
    must fresh_upper
    settle
    must mount_target "$target"
    # From the lower's cache on every side. A file that was never read through the mount has to get into the mount's own cache first where the kernel
    # copies it (EROFS, FUSE below kernel overlayfs); one that was read is there, as it is in kernel overlayfs.
    if any copy-up-1GiB-unread; then
        must warm_large
        timed copy-up-1GiB-unread copy_up
        must forget_copy
        if any "${large_names[@]:1}"; then
            must unmount_target
            must fresh_upper
            settle
            must mount_target "$target"
        fi
    fi
    if any copy-up-1GiB; then
        must warm_large
        [ "$target" = native ] || must read_file "$root/big"
        timed copy-up-1GiB copy_up
        must forget_copy
        settle
    fi
    if any "${large_names[@]:2}"; then
        fio_time write-1GiB --rw=write --bs=1M --ioengine=psync
        must rm -f "$root/large"
        settle
        # What the reads find.
        if wanted write-1GiB-fsync; then fio_time write-1GiB-fsync --rw=write --bs=1M --ioengine=psync --end_fsync=1
        else must dd if=/dev/zero of="$root/large" bs=1M count=1024; fi
        settle
        if any read-1GiB-cold; then
            must cold
            fio_time read-1GiB-cold --rw=read --bs=1M --ioengine=psync
        else
            must read_file "$root/large"
        fi
        fio_time read-1GiB-warm --rw=read --bs=1M --ioengine=psync
        fio_time mmap-read-1GiB --rw=read --bs=1M --ioengine=mmap
        fio_time mmap-write-1GiB --rw=write --bs=1M --ioengine=mmap
        settle
        fio_small
        times 3 random_syncs
        must rm -f "$root/large"
    fi
    memory memory-after-writes
    must unmount_target
}

# Clients that look, read and write together, in counts whose order changes: what the first run of a kind pays for is paid before.
clients_of() {
    local took
    show "$target: clients-$1-$2"
    if took=$("$scratch/clients" "${3:-$1}" "$2" "$4" "$5" "$scratch/small-files" 2> "$scratch/output"); then put "clients-$1-$2" "$took" us
    else failed "clients-$1-$2" "$(tail -3 "$scratch/output")"; alive; fi
}
client_group() {
    local counts files count
    mapfile -t counts < <(in_turn "$round" "${client_counts[@]}")
    files=$(wc -l < "$scratch/small-files")
    must fresh_upper
    rm -rf "$scratch/plain"
    mkdir "$scratch/plain"
    if any "${client_names[@]:0:5}"; then
        native=$lower
        # The folders' own caches are warm, those of the mount are new.
        (cd "$lower" && xargs -d '\n' stat < "$scratch/small-files") > /dev/null
        must warm_image
        for count in "${counts[@]}"; do
            must mount_target "$target"
            clients_of lookup "$count" stat "$files" "$root"
            must unmount_target
        done
    fi
    native=$lower
    must mount_target "$target"
    if any "${client_names[@]:5:10}"; then
        # As a user's shell does it: paths and contents are in the cache then.
        must "$scratch/clients" read 1 "$files" "$root" "$scratch/small-files"
        must "$scratch/clients" stat 1 "$files" "$root" "$scratch/small-files"
        # One kind after the other: with a writeback cache the kernel asks for the attributes again after each close.
        for count in "${counts[@]}" "${counts[@]}"; do clients_of stat "$count" stat $((files * 5)) "$root"; done
        for count in "${counts[@]}" "${counts[@]}"; do clients_of read "$count" read "$files" "$root"; done
    fi
    if any "${client_names[@]:15}"; then
        [ "$target" != native ] || root=$scratch/plain
        must mkdir "$root/clients"
        must "$scratch/clients" write 64 640 "$root/clients"
        for count in "${counts[@]}" "${counts[@]}"; do
            settle
            clients_of write "$count" write 2000 "$root/clients"
            settle
            clients_of write-shared "$count" write-shared 2000 "$root/clients"
        done
    fi
    root=$mnt
    must unmount_target
    rm -rf "$scratch/plain"
}

# From exec to the listed root, by a program that measures itself.
start_group() {
    local command=() took
    [ "$target" != native ] || return 0
    must fresh_upper
    root=$mnt
    command_of "$target" "$upper" "$work"
    must "$scratch/start-time" --each --list 8 "$mnt" -- "${command[@]}"
    while read -r took; do put mount-to-ls "$took" us; done < "$scratch/output"
}
