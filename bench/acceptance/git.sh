#!/usr/bin/env bash
# git.sh TREE [FILES]: git init, add, commit, status, gc, fsck over 5,000 files of a tree that lies in the lower; and the small writes of a shell.
. "$(dirname "$0")/lib.sh"
tree=$(realpath "${1:?usage: git.sh TREE [FILES]}")
files=${2:-5000}
export HOME="$scratch" GIT_CONFIG_NOSYSTEM=1
mkdir "$scratch/lower"
# Spread over the whole tree, sources among them.
(cd "$tree" && find . -type f -size -200k | LC_ALL=C sort > "$scratch/all" && awk -v n="$files" -v total="$(wc -l < "$scratch/all")" 'NR * n / total >= made + 1 { made++; print }' "$scratch/all" \
    | tar -c -f - -T - | tar -x -p -f - -C "$scratch/lower")
made=$(find "$scratch/lower" -type f | wc -l)
[ "$made" -ge $((files * 99 / 100)) ] || fail "only $made files in the lower"
tree "$scratch/lower" > "$scratch/lower-before"
for source in "dir:$scratch/lower" "$scratch/lower"; do
    mount_source "$source"
    start=$(now_us)
    (
        cd "$mnt"
        touch touched
        mkdir made
        echo text > made/file
        first=$(find . -name '*.[ch]' -print -quit)
        echo '/* appended */' >> "$first"
        tail -1 "$first" | grep -q appended
        git init -q . && git config user.email a@b && git config user.name n
        git add -A && git commit -q -m first
        [ -z "$(git status --porcelain)" ]
        git gc -q
        git fsck --full --strict
        [ -z "$(git status --porcelain)" ]
        [ "$(git ls-files | wc -l)" -ge "$made" ]
        git rm -q --cached touched && git reset -q --hard && [ -z "$(git status --porcelain)" ]
    ) > "$scratch/git.log" 2>&1 || { tail -10 "$scratch/git.log" >&2; fail "git in $source"; }
    echo "$source: $((($(now_us) - start) / 1000)) ms"
    unmount
    mount_source_keep() { "$ANTARES_BIN" mount --engine "$engine" "$source" "$mnt" --upper "$upper" --work "$work"; }
    mount_source_keep
    (cd "$mnt" && git fsck --full && [ -z "$(git status --porcelain)" ]) > "$scratch/git.log" 2>&1 || { tail -5 "$scratch/git.log" >&2; fail "git after a remount"; }
    unmount
    tree "$scratch/lower" | cmp -s - "$scratch/lower-before" || fail "the lower changed"
done
echo "OK git over $made files"
