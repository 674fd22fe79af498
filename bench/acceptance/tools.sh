#!/usr/bin/env bash
# tools.sh [BAZEL]: Buck2's start-up sequence, and with the path of a Bazel 2.x binary a real build, inside the mount (workspace and output root).
. "$(dirname "$0")/lib.sh"
for kind in dir folder; do
    prefix=; [ $kind = folder ] || prefix=dir:
    mkdir -p "$scratch/empty"
    mount_source "$prefix$scratch/empty"
    "$repository/examples/buck2-startup/startup.sh" "$mnt" || fail "Buck2's start-up sequence"
    unmount
    if [ -n "${1:-}" ]; then
        cp "$1" "$scratch/bazel" && chmod 755 "$scratch/bazel"
        mount_source "$prefix$repository/examples/bazel"
        "$repository/examples/bazel/run-bazel.sh" "$scratch/bazel" "$mnt" || fail "Bazel"
        unmount
        [ -z "$(cd "$repository" && git status --porcelain examples/bazel 2>/dev/null)" ] || fail "the lower changed"
    fi
done
echo "OK tools"
