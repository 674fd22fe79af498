#!/usr/bin/env bash
# crash-loop.sh [KILLS]: kill -9 of the server at random moments (200 times) under four clients that create, write, sync, truncate, link, rename,
# exchange and remove files and directories, lower ones among them. After each: every acknowledged step is there, the one on its way wholly or not at
# all, no file is torn, the dead mount is taken over or cleaned up, and nothing stays in work. Each tenth time kernel overlayfs must see the same.
. "$(dirname "$0")/lib.sh"
kills=${1:-200}
build_probe
mkdir "$scratch/lower" "$scratch/kernel"
for w in 1 2 3 4; do mkdir "$scratch/lower/w$w" && "$probe" crashlower "$scratch/lower/w$w"; done
tree "$scratch/lower" > "$scratch/lower-before"
steps=0 seed=${SEED:-$RANDOM}
echo "seed $seed"
for round in $(seq "$kills"); do
    case $((round % 2)) in 0) source=dir:$scratch/lower ;; 1) source=$scratch/lower ;; esac
    mount_source "$source" ${OPTIONS:-}
    pid=$(server_pid)
    rm -f "$scratch"/counter*
    clients=()
    for w in 1 2 3 4; do "$probe" crashload "$mnt/w$w" $((seed * 1000 + round * 10 + w)) "$scratch/counter$w" > "$scratch/client$w" 2>&1 & clients+=($!); done
    sleep "0.$(printf %03d $((20 + RANDOM % 600)))"
    kill -9 "$pid"
    for client in "${clients[@]}"; do wait "$client" || { cat "$scratch"/client*; fail "a client of round $round"; }; done
    # Gone with all of its threads: the last one closes what the server had open.
    while grep -q '^State:.*[^Z] (' "/proc/$pid"/task/*/status 2> /dev/null; do sleep 0.01; done
    # A new mount takes the dead one's place; or the dead one is cleaned up first.
    if [ $((round % 3)) -eq 0 ]; then "$ANTARES_BIN" umount --stale > /dev/null || fail "umount --stale, round $round"; ! mountpoint -q "$mnt" || fail "the stale mount is still there"; fi
    "$ANTARES_BIN" mount --engine "$engine" "$source" "$mnt" --upper "$upper" --work "$work" ${OPTIONS:-} || fail "the mount after kill $round"
    # As the new mount shows it, and as a later one does.
    for again in 1 2; do
        for w in 1 2 3 4; do "$probe" crashcheck "$mnt/w$w" $((seed * 1000 + round * 10 + w)) "$scratch/counter$w" > "$scratch/check$w" || { cp -a "$upper" "$scratch/../crash-upper-$$"; fail "round $round, mount $again, worker $w (the upper is kept in $(realpath "$scratch/..")/crash-upper-$$)"; }; done
        unmount
        [ -z "$(find "$work" -mindepth 2 | head -3)" ] || fail "left in work, round $round: $(find "$work" -mindepth 2 | head -3)"
        [ $again -eq 2 ] || "$ANTARES_BIN" mount --engine "$engine" "$source" "$mnt" --upper "$upper" --work "$work" ${OPTIONS:-}
    done
    if [ $((round % 10)) -eq 0 ]; then
        mount -t overlay none -o "redirect_dir=on,lowerdir=$scratch/lower,upperdir=$upper,workdir=$work" "$scratch/kernel"
        for w in 1 2 3 4; do "$probe" crashcheck "$scratch/kernel/w$w" $((seed * 1000 + round * 10 + w)) "$scratch/counter$w" > /dev/null || fail "kernel overlayfs, round $round, worker $w"; done
        umount "$scratch/kernel"
    fi
    for w in 1 2 3 4; do steps=$((steps + $(awk '{ print $2 }' "$scratch/check$w"))); cat "$scratch/check$w" >> "$scratch/checks"; done
done
tree "$scratch/lower" | cmp -s - "$scratch/lower-before" || fail "the lower changed"
"$ANTARES_BIN" list --json | grep -q '^\[\]$' || fail "mounts are left in the list"
echo "$steps acknowledged steps; clients that died within a step which was there: $(grep -c and "$scratch/checks"), a part of a write: $(grep -c partly "$scratch/checks" || true)"
echo "OK crash loop: $kills kills, seed $seed"
