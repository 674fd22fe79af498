#!/usr/bin/env bash
# binary.sh: the published file: static, at most 8 MiB, --version within 5 ms (best of 50 starts; the median is printed too).
. "$(dirname "$0")/lib.sh"
size=$(stat -c %s "$ANTARES_BIN")
ldd "$ANTARES_BIN" 2>&1 | grep -q 'not a dynamic executable\|statically linked' || fail "not static: $(ldd "$ANTARES_BIN")"
[ "$size" -le $((8 << 20)) ] || fail "$size bytes"
for _ in $(seq 50); do
    start=$(now_us)
    "$ANTARES_BIN" --version > "$scratch/version"
    echo $(($(now_us) - start))
done | sort -n > "$scratch/times"
best=$(head -1 "$scratch/times") median=$(sed -n 25p "$scratch/times")
[ "$best" -le 5000 ] || fail "--version took $best µs"
echo "OK $(cat "$scratch/version"): static, $size bytes, --version best $best µs, median $median µs (with bash's fork)"
