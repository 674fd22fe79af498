#!/usr/bin/env bash
# Images: packing beside tar with zstd, squashfs and erofs; reading the whole tree with empty caches, beside images of those two; and from exec to the
# first byte of a file six levels deep, for a small and a large tree, beside fuse-overlayfs and kernel overlayfs on the unpacked large one.
#   image.sh ANTARES-AOT REFERENCE [NODES] [ROUNDS]     as root; REFERENCE: a source tree, such as the kernel's
# Figures of a shared machine wander: compare within one run, trust the least ones, and read them as ratios. BENCH_SCRATCH: a folder on the disk to
# measure (default /var/tmp).
set -euo pipefail
antares=$(realpath "${1:?usage: image.sh PATH-OF-ANTARES-AOT REFERENCE [NODES] [ROUNDS]}")
reference=$(realpath "${2:?usage: image.sh PATH-OF-ANTARES-AOT REFERENCE [NODES] [ROUNDS]}")
nodes=${3:-1000000}
rounds=${4:-30}
cold_rounds=3
here=$(cd "$(dirname "$0")" && pwd)
[ "$(id -u)" = 0 ] || { echo "bench: needs root, to mount kernel overlayfs" >&2; exit 2; }

scratch=$(mktemp -d -p "${BENCH_SCRATCH:-/var/tmp}")
export ANTARES_STATE_DIR=$scratch/state
mnt=$scratch/mnt
mkdir -p "$mnt"
cleanup() {
    ! mountpoint -q "$mnt" || umount "$mnt" || umount -l "$mnt"
    rm -rf "$scratch"
}
trap cleanup EXIT
gcc -O2 -Wall -o "$scratch/start-time" "$here/start-time.c"
gcc -O2 -Wall -o "$scratch/make-tree" "$here/make-tree.c"

echo "pack: $reference"
bytes=$(find "$reference" -type f -printf '%s\n' | awk '{s += $1} END {printf "%d", s}')
timed() { # NAME FILE COMMAND…: megabytes of input a second, size of the result
    local name=$1 file=$2 start
    shift 2
    start=$(date +%s%N)
    "$@"
    awk -v n="$name" -v ns=$(($(date +%s%N) - start)) -v b="$bytes" -v s="$(stat -c %s "$file")" \
        'BEGIN {printf "  %-20s %7.1f MB/s %12d bytes\n", n, b * 1000 / ns, s}'
}
timed "antares-aot pack" "$scratch/a" "$antares" pack "$reference" -o "$scratch/a"
timed "tar | zstd -3 -T2" "$scratch/b" bash -c "tar -C '$reference' -cf - . | zstd -3 -T2 -q -o '$scratch/b'"
! command -v mksquashfs >/dev/null || timed "mksquashfs zstd" "$scratch/c" mksquashfs "$reference" "$scratch/c" -comp zstd -Xcompression-level 6 -quiet -no-progress
! command -v mkfs.erofs >/dev/null || timed "mkfs.erofs lz4" "$scratch/d" mkfs.erofs -zlz4 --quiet "$scratch/d" "$reference"
rm -f "$scratch/b"

# read_cold NAME COMMAND…: mounts, drops all caches, and reads every file as tar does; seconds
read_cold() {
    local name=$1 start
    shift
    "$@" 2>/dev/null || { echo "  $name: cannot be mounted here"; return 0; }
    sync
    echo 3 > /proc/sys/vm/drop_caches
    start=$(date +%s%N)
    tar -C "$mnt" -cf - . | cat > /dev/null
    echo "$name|$(($(date +%s%N) - start))" >> "$scratch/cold"
    umount "$mnt"
    sleep 0.2 # the server ends meanwhile
}
echo "cold read: the whole tree by tar with caches dropped, $cold_rounds rounds in turns, s (least, median)"
: > "$scratch/cold"
for _ in $(seq "$cold_rounds"); do
    read_cold "antares-aot" "$antares" mount "$scratch/a" "$mnt" --read-only
    if [ -e "$scratch/c" ]; then
        ! command -v squashfuse >/dev/null || read_cold "squashfuse, zstd" squashfuse "$scratch/c" "$mnt"
        read_cold "squashfs of the kernel, zstd" mount -t squashfs -o loop,ro "$scratch/c" "$mnt"
    fi
    [ ! -e "$scratch/d" ] || read_cold "erofs of the kernel, lz4" mount -t erofs -o loop,ro "$scratch/d" "$mnt"
done
cut -d'|' -f1 "$scratch/cold" | awk '!seen[$0]++' | while read -r name; do
    grep -F "$name|" "$scratch/cold" | cut -d'|' -f2 | sort -n | awk -v n="$name" '{a[NR] = $1 / 1e9} END {printf "  %-32s %6.2f %6.2f\n", n, a[1], a[int((NR + 1) / 2)]}'
done
rm -f "$scratch"/[cd]

echo "start: exec to the first byte of a file six levels deep, $rounds rounds in turns, ms (least, median)"
"$scratch/make-tree" "$reference" "$scratch/large" "$nodes" >/dev/null
"$scratch/make-tree" "$reference" "$scratch/small" 1000 >/dev/null
"$antares" pack "$scratch/small" -o "$scratch/small.image"
"$antares" pack "$scratch/large" -o "$scratch/large.image"
deep() { (cd "$1" && find . -mindepth 6 -maxdepth 6 -type f -size +0 -printf '%P\n' -quit); }
names=() arguments=()
# add NAME TREE COMMAND…: mounts the tree, of which the first file six levels deep is read
add() {
    local name=$1 tree=$2
    shift 2
    names+=("$name, $(find "$tree" | wc -l) names")
    arguments+=(-- "@$(deep "$tree")" "$@")
}
add "image" "$scratch/small" "$antares" mount "$scratch/small.image" "$mnt" --read-only
add "image of the reference" "$reference" "$antares" mount "$scratch/a" "$mnt" --read-only
add "image" "$scratch/large" "$antares" mount "$scratch/large.image" "$mnt" --read-only
for layer in fuse kernel; do mkdir -p "$scratch/$layer/upper" "$scratch/$layer/work"; done
for tree in "$reference" "$scratch/large"; do
    if command -v fuse-overlayfs >/dev/null; then
        add "fuse-overlayfs, unpacked" "$tree" fuse-overlayfs -o "lowerdir=$tree,upperdir=$scratch/fuse/upper,workdir=$scratch/fuse/work" "$mnt"
    fi
    options=lowerdir=$tree,upperdir=$scratch/kernel/upper,workdir=$scratch/kernel/work
    if mount -t overlay overlay -o "$options" "$mnt" 2>/dev/null; then
        umount "$mnt"
        add "kernel overlayfs, unpacked" "$tree" mount -t overlay overlay -o "$options" "$mnt"
    fi
done
i=0
"$scratch/start-time" "$rounds" "$mnt" "${arguments[@]}" | while read -r least median; do
    printf '  %-48s %6s %6s\n' "${names[$i]}" "$least" "$median"
    i=$((i + 1))
done
