#!/usr/bin/env bash
# pjdfstest.sh SUITE: the public pjdfstest suite (SUITE is its folder, already built: autoreconf -ifs && ./configure && make pjdfstest) as root, on
# a plain folder, on kernel overlayfs and on the mount with both kinds of source, side by side. Every assertion that fails on the mount must fail on
# kernel overlayfs too. The suite asks more of ext4 than of file systems that it does not know; here it takes all four for ext4.
. "$(dirname "$0")/lib.sh"
suite=$(realpath "${1:?usage: pjdfstest.sh SUITE}")
[ -x "$suite/pjdfstest" ] || fail "$suite/pjdfstest is not there: build the suite first"
[ "$(id -u)" = 0 ] || fail "the suite wants root"
mkdir "$scratch"/{suite,native,lower,kernel,k-upper,k-work,logs,dir-mnt,dir-upper,dir-work,folder-mnt,folder-upper,folder-work}
cp -a "$suite/pjdfstest" "$suite/tests" "$scratch/suite/"
echo 'fs=EXT4' >> "$scratch/suite/tests/conf"
# The suite works as other users below the mount's root and changes what it finds in the layers: give it a directory that lies in them.
chmod 755 "$scratch"
mkdir -m 755 "$scratch/native/t" "$scratch/lower/t"
mount -t overlay none -o "lowerdir=$scratch/lower,upperdir=$scratch/k-upper,workdir=$scratch/k-work" "$scratch/kernel"
"$ANTARES_BIN" mount --engine "$engine" "dir:$scratch/lower" "$scratch/dir-mnt" --upper "$scratch/dir-upper" --work "$scratch/dir-work"
"$ANTARES_BIN" mount --engine "$engine" -o "lowerdir=$scratch/lower,upperdir=$scratch/folder-upper,workdir=$scratch/folder-work" "$scratch/folder-mnt"
declare -A place=([native]=$scratch/native [kernel]=$scratch/kernel [dir]=$scratch/dir-mnt [folder]=$scratch/folder-mnt)

# Each test file in a directory of its own, so that what one leaves behind cannot change another.
suite_on() {
    local name=$1 file log
    (cd "$scratch/suite/tests" && find . -name '*.t' | sort) | while read -r file; do
        log=$scratch/logs/$name.$(echo "${file#./}" | tr / _)
        mkdir "${place[$name]}/t/run" && cd "${place[$name]}/t/run"
        sh "$scratch/suite/tests/$file" > "$log" 2>&1 || echo "not ok - $file ended with $?" >> "$log"
        cd / && rm -rf "${place[$name]}/t/run"
        # The plan against what was said: a file that stops in the middle has failed.
        awk -v f="${file#./}" '/^1\.\./ { plan = substr($0, 4) } /^(not )?ok / { said++ } /^not ok/ && !/# TODO/ { sub(/ - .*/, ""); print f " " $3 } /^ok / { good++ }
            END { if (plan + 0 != said + 0) print f " plan"; print f, good + 0 > "/dev/stderr" }' "$log" 2>> "$scratch/$name.good" >> "$scratch/$name.failed"
    done
}
touch "$scratch"/{native,kernel,dir,folder}.failed
mark=$scratch/mark && touch "$mark"
for name in native kernel dir folder; do suite_on "$name" & done
wait
for name in native kernel dir folder; do
    echo "$name: $(awk '{ n += $2 } END { print n + 0 }' "$scratch/$name.good") assertions hold, $(wc -l < "$scratch/$name.failed") fail"
    sort -o "$scratch/$name.failed" "$scratch/$name.failed"
done
[ "$(awk '{ n += $2 } END { print n + 0 }' "$scratch/native.good")" -gt 8000 ] || fail "the suite hardly ran"
# A file may ask for more where it finds another file system; what it asked for is said.
for name in kernel dir folder; do diff "$scratch/native.good" "$scratch/$name.good" | grep '^[<>]' | sed "s/^</native:/; s/^>/$name:/" || true; done
bad=0
for name in dir folder; do
    while read -r file number; do
        bad=1
        echo "$name: $file $number: $(grep -E "^not ok $number( |$)" "$scratch/logs/$name.$(echo "$file" | tr / _)" | head -1)" >&2
    done < <(comm -23 "$scratch/$name.failed" "$scratch/kernel.failed")
done
[ -z "$(find "$scratch/lower" -newer "$mark")" ] || fail "the lower was changed"
for name in dir folder; do
    "$ANTARES_BIN" umount "${place[$name]}"
    [ -z "$(ls -A "$scratch/$name-upper/t" 2>/dev/null)" ] || fail "left in the upper: $(ls -A "$scratch/$name-upper/t" | head -3)"
    [ -z "$(find "$scratch/$name-work" -mindepth 2 | head -3)" ] || fail "left in work: $(find "$scratch/$name-work" -mindepth 2 | head -3)"
done
[ $bad = 0 ] || fail "the lines above fail on the mount and not on kernel overlayfs"
echo "OK pjdfstest: nothing fails that holds on kernel overlayfs"
