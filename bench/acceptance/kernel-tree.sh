#!/usr/bin/env bash
# kernel-tree.sh TREE: a large tree (linux-source-6.1 unpacked: 78,579 files) as dir: source and as a bare folder. Ready within 20 ms; diff -r
# empty; types, modes, owners, mtimes and symlinks equal.
. "$(dirname "$0")/lib.sh"
tree=$(realpath "${1:?usage: kernel-tree.sh TREE}")
gcc -O2 -Wall -o "$scratch/start-time" "$repository/bench/start-time.c"
for source in "dir:$tree" "$tree"; do
    # Timed by a small C program from exec to the answer of the root: a shell's own forks cost more than what is measured.
    read -r least median < <("$scratch/start-time" 20 "$mnt" -- "$ANTARES_BIN" mount --engine "$engine" "$source" "$mnt" --upper "$upper" --work "$work")
    echo "$source: ready within $least ms at best, $median ms in the median of 20 mounts"
    awk -v t="$median" 'BEGIN { exit !(t > 0 && t <= 20) }' || fail "ready after $median ms, 20 allowed"
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
