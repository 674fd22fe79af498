#!/usr/bin/env bash
# kernel-tree.sh TREE: a large tree (linux-source-6.1 unpacked: 78,579 files) as dir: source and as a bare folder. Ready within 20 ms; diff -r
# empty; types, modes, owners, mtimes and symlinks equal.
. "$(dirname "$0")/lib.sh"
tree=$(realpath "${1:?usage: kernel-tree.sh TREE}")
for source in "dir:$tree" "$tree"; do
    best=999999999
    for _ in 1 2 3 4 5; do
        mount_source "$source"
        unmount
        rm -rf "$upper" "$work"; mkdir "$upper" "$work"
        start=$(now_us)
        "$ANTARES_BIN" mount "$source" "$mnt" --upper "$upper" --work "$work"
        ls "$mnt" > /dev/null
        took=$(($(now_us) - start))
        [ $took -lt $best ] && best=$took
        unmount
    done
    echo "$source: ready and its root listed in $best µs (best of 5)"
    [ $best -le 20000 ] || fail "ready after $best µs, 20,000 allowed"
    mount_source "$source"
    start=$(now_us)
    same_tree "$tree" "$mnt"
    echo "$source: $(wc -l < "$scratch/tree1") objects: types, modes, owners, mtimes, sizes, symlinks equal ($((($(now_us) - start) / 1000)) ms for both trees)"
    start=$(now_us)
    diff -r --no-dereference "$tree" "$mnt" > "$scratch/diff" || { head -5 "$scratch/diff" >&2; fail "diff -r"; }
    [ ! -s "$scratch/diff" ] || fail "diff -r printed something"
    echo "$source: diff -r is empty ($((($(now_us) - start) / 1000)) ms)"
    [ -z "$(find "$upper" -mindepth 1 | head -1)" ] || fail "reading wrote to the upper"
    unmount
done
echo "OK kernel tree"
