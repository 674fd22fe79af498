#!/usr/bin/env bash
# kernel-build.sh TREE [dir|folder]: make defconfig and make -j2 lib/ inside the mount and on a plain copy; the same object files, outputs
# only in the upper, the lower untouched. Needs what a kernel build needs (gcc, make, flex, bison, bc, libelf-dev, libssl-dev).
. "$(dirname "$0")/lib.sh"
tree=$(realpath "${1:?usage: kernel-build.sh TREE [dir|folder]}")
source=$tree
[ "${2:-dir}" = folder ] || source=dir:$tree
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 2026' KBUILD_BUILD_USER=u KBUILD_BUILD_HOST=h KBUILD_BUILD_VERSION=1 LC_ALL=C
build() {
    (cd "$1" && make -s defconfig && make -s -j2 lib/) > "$scratch/build.log" 2>&1 || { tail -20 "$scratch/build.log" >&2; fail "build in $1"; }
}
hashes() { (cd "$1" && find . \( -name '*.o' -o -name '*.a' -o -name .config -o -name '*.lds' \) -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum); }
touch "$scratch/mark"
sleep 0.1
mount_source "$source"
start=$(now_us)
build "$mnt"
echo "in the mount: $((($(now_us) - start) / 1000)) ms"
hashes "$mnt" > "$scratch/in-mount"
outputs=$(find "$upper" -type f | wc -l)
objects=$(grep -c '\.o$' "$scratch/in-mount")
# A second make finds nothing to do.
(cd "$mnt" && make -j2 lib/ 2>&1) > "$scratch/again.log"
! grep -qE '^ +(CC|AS|LD|AR) ' "$scratch/again.log" || { head -5 "$scratch/again.log" >&2; fail "a second make built something"; }
unmount
unchanged_since "$scratch/mark" "$tree"
[ "$objects" -gt 100 ] || fail "only $objects object files"

# The plain copy is built at the same path, since the kernel's own tools are compiled with their path in them.
mkdir "$scratch/plain"
cp -a "$tree/." "$scratch/plain/"
mount --bind "$scratch/plain" "$mnt"
start=$(now_us)
build "$mnt"
echo "on the plain copy: $((($(now_us) - start) / 1000)) ms"
hashes "$mnt" > "$scratch/in-plain"
umount "$mnt"
cmp -s "$scratch/in-mount" "$scratch/in-plain" || { diff "$scratch/in-mount" "$scratch/in-plain" | head -10 >&2; fail "object files differ"; }
echo "OK kernel build ($source): $objects object files equal, $outputs files in the upper, the lower untouched"
