#!/usr/bin/env bash
# fsx.sh [CALLS [SEED]]: CALLS (1,000,000) random reads, writes, truncations, mappings, holes, copies and renames on files, judged by an image in
# memory: half of them in one long run for each source, the rest in short runs that each start at a lower file, so that copy-up happens again and
# again; also on files that lose their name on the way. After a remount each file is the image.
. "$(dirname "$0")/lib.sh"
calls=${1:-1000000} seed=${2:-1} most=1000000 short=2000
build_probe
run() { "$probe" fsx "$@" > "$scratch/log" 2>&1 || { tail -40 "$scratch/log" >&2; fail "fsx $*"; }; }
made=0
for source in dir folder; do
    rm -rf "$scratch/lower" && mkdir "$scratch/lower"
    rounds=$((calls / 4 / short))
    # Lower files: dense ones of many sizes, and what is copied from.
    {
        echo "gen long 700000 1"; echo "gen long.copy 300000 2"
        for i in $(seq $rounds); do echo "gen f$i $((i * 7919 % 900000)) 1"; [ $((i % 4)) -ne 0 ] || echo "gen f$i.copy 300000 2"; done
    } | "$probe" run "$scratch/lower" > /dev/null
    case $source in dir) argument=dir:$scratch/lower ;; folder) argument=$scratch/lower ;; esac
    (cd "$scratch/lower" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) > "$scratch/lower-before"
    rm -rf "$scratch/images" && mkdir "$scratch/images"
    mount_source "$argument" ${OPTIONS:-}
    start=$(now_us)
    run "$mnt/long" "$seed" $((calls / 4)) $most "$scratch/images/long"
    for i in $(seq $rounds); do
        # Every fifth loses its name, every seventh is a new file.
        name=f$i
        [ $((i % 7)) -ne 0 ] || name=new$i
        if [ $((i % 5)) -eq 0 ]; then run "$mnt/$name" $((seed * 1000003 + i)) $short $most "$scratch/image" unlink; [ ! -e "$mnt/$name" ] || fail "$name is there again"
        else run "$mnt/$name" $((seed * 1000003 + i)) $short $most "$scratch/images/$name"; fi
    done
    made=$((made + calls / 4 + rounds * short))
    echo "$argument: $((calls / 4 + rounds * short)) calls in $((($(now_us) - start) / 1000)) ms; server $(server_memory) KiB, $(server_fds) descriptors"
    unmount
    [ -z "$(find "$work" -mindepth 2 | head -3)" ] || fail "left in work: $(find "$work" -mindepth 2 | head -3)"
    "$ANTARES_BIN" mount --engine "$engine" "$argument" "$mnt" --upper "$upper" --work "$work" ${OPTIONS:-}
    for image in "$scratch"/images/*; do cmp "$image" "$mnt/$(basename "$image")" || fail "$(basename "$image") differs after a remount"; done
    unmount
    (cd "$scratch/lower" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) | cmp -s - "$scratch/lower-before" || fail "the lower changed"
done
echo "OK fsx: $made calls, seed $seed"
