#!/usr/bin/env bash
# binary.sh: the published file: static, at most 20 MiB (with HTTP and TLS), --version within 5 ms (best of 100 starts).
. "$(dirname "$0")/lib.sh"
size=$(stat -c %s "$ANTARES_BIN")
ldd "$ANTARES_BIN" 2>&1 | grep -q 'not a dynamic executable\|statically linked' || fail "not static: $(ldd "$ANTARES_BIN")"
[ "$size" -le $((20 << 20)) ] || fail "$size bytes"
cc -O2 -o "$scratch/fsprobe" "$repository"/Antares.Aot.Tests/Support/native/*.c
"$ANTARES_BIN" --version > "$scratch/version"
best=$("$scratch/fsprobe" spawntime 100 "$ANTARES_BIN" --version)
[ "$best" -le 5000 ] || fail "--version took $best µs"
echo "OK $(cat "$scratch/version"): static, $size bytes, --version best $best µs"
