#!/usr/bin/env bash
# big-directories.sh: 25,000, 50,000 and 100,000 entries in one directory: create, list, stat, take the first away, remove: the time of one entry
# must not grow with their number, and the server's memory must come back. Then the rename of a lower directory with 50,000 files below: under 5 ms,
# nothing copied, the same after a remount and in kernel overlayfs.
. "$(dirname "$0")/lib.sh"
build_probe
mkdir -p "$scratch/lower" "$scratch/native"
"$probe" create "$scratch/lower" f 50 > /dev/null
echo "microseconds of processor time for one entry, then by the clock: create list stat take-first remove"
echo "ext4, 100,000: $("$probe" entries "$scratch/native/d" 100000)"
for source in "dir:$scratch/lower" "$scratch/lower"; do
    mount_source "$source"
    "$probe" entries "$mnt/warm" 1000 > /dev/null
    before=$(server_memory)
    for count in 25000 50000 100000; do
        # The better of two: the machine has other work.
        for _ in 1 2; do "$probe" entries "$mnt/d" $count "$(server_pid)"; done | awk '{ for (i = 1; i <= 11; i++) if (NR == 1 || $i < best[i]) best[i] = $i }
            END { print best[1], best[2], best[3], best[4], best[5], "wall", best[7], best[8], best[9], best[10], best[11] }' > "$scratch/$count"
        echo "$source, $count: $(cat "$scratch/$count"); server $(server_memory) KiB"
    done
    paste -d ' ' "$scratch/25000" "$scratch/100000" | awk '{ for (i = 1; i <= 5; i++) if ($(i + 11) > 2 * $i + 1) { print "column " i " grows: " $i " to " $(i + 11); exit 1 } }' \
        || fail "the time of an entry grows with their number"
    sync; echo 2 > /proc/sys/vm/drop_caches; sleep 1
    after=$(server_memory)
    echo "$source: the server's memory: $before KiB before, $after KiB after"
    [ $((after - before)) -le 4096 ] || fail "$((after - before)) KiB did not come back"
    unmount
    [ -z "$(find "$upper" -mindepth 1 | head -3)" ] || fail "left in the upper: $(find "$upper" -mindepth 1 | head -3)"
done

rm -rf "$scratch/lower" && mkdir -p "$scratch/lower/parent/big/deep" "$scratch/lower/elsewhere" "$scratch/kernel"
"$probe" create "$scratch/lower/parent/big" f 50000 > /dev/null
for source in "dir:$scratch/lower" "$scratch/lower"; do
    # The first rename over a fresh upper, with the tree as the kernel and the server know it when a build renames it: looked at. The best of three
    # such mounts: the machine has other work.
    best=1000000
    for _ in 1 2 3; do
        ! mountpoint -q "$mnt" || unmount
        mount_source "$source"
        tree "$mnt/parent/big" > "$scratch/tree-before"
        took=$("$probe" renametime "$mnt/parent/big" "$mnt/elsewhere/moved")
        [ "$took" -ge $best ] || best=$took
    done
    echo "$source: the first rename of a directory with 50,000 files below: $best us"
    [ "$best" -lt 5000 ] || fail "the rename took $best us, 5,000 allowed"
    for _ in 1 2; do "$probe" renametime "$mnt/elsewhere/moved" "$mnt/parent/big" > /dev/null; "$probe" renametime "$mnt/parent/big" "$mnt/elsewhere/moved" > /dev/null; done
    [ ! -e "$mnt/parent/big" ] || fail "the old name is still there"
    echo new > "$mnt/elsewhere/moved/new" && rm "$mnt/elsewhere/moved/new"
    tree "$mnt/elsewhere/moved" | cmp -s - "$scratch/tree-before" || fail "the renamed tree differs"
    unmount
    [ "$(find "$upper" -type f | wc -l)" -eq 0 ] || fail "files were copied"
    "$ANTARES_BIN" mount --engine "$engine" "$source" "$mnt" --upper "$upper" --work "$work"
    [ ! -e "$mnt/parent/big" ] || fail "the old name is there after a remount"
    tree "$mnt/elsewhere/moved" | cmp -s - "$scratch/tree-before" || fail "the renamed tree differs after a remount"
    unmount
    mount -t overlay none -o "redirect_dir=on,lowerdir=$scratch/lower,upperdir=$upper,workdir=$work" "$scratch/kernel"
    [ ! -e "$scratch/kernel/parent/big" ] || fail "the old name is there in kernel overlayfs"
    tree "$scratch/kernel/elsewhere/moved" | cmp -s - "$scratch/tree-before" || fail "the renamed tree differs in kernel overlayfs"
    umount "$scratch/kernel"
done
echo "OK big directories"
