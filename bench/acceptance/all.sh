#!/usr/bin/env bash
# all.sh TREE [BAZEL]: every acceptance script, one line of result each, its output in acceptance-*.log of the current folder. Some run for hours
# or want what is not here and are called by hand: load.sh, differential.sh, pjdfstest.sh SUITE, monorepo-server.sh REPOSITORY.
set -uo pipefail
tree=${1:?usage: all.sh TREE [BAZEL]}
here=$(cd "$(dirname "$0")" && pwd)
failed=0
run() {
    local name=$1
    shift
    if "$here/$name.sh" "$@" > "acceptance-$name.log" 2>&1; then tail -1 "acceptance-$name.log"
    else failed=$((failed + 1)); echo "FAILED $name: $(tail -1 "acceptance-$name.log")"; fi
}
run binary
run kernel-tree "$tree"
run requests "$tree"
run kernel-build "$tree" dir
run kernel-build "$tree" folder
run git "$tree"
run sqlite-wal
run sqlite-copy-up
run memory "$tree"
run upper-elsewhere
run tools ${2:+"$2"}
run big-directories
run fsx
run crash-loop
run workloads "$tree"
run suites
! command -v nginx > /dev/null || run image-http "$tree"
! command -v podman > /dev/null || run podman
[ $failed -eq 0 ] || { echo "$failed failed"; exit 1; }
