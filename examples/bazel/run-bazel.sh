#!/usr/bin/env bash
# Builds this workspace with a real Bazel, its output root inside the workspace, without network: first build, a build that does
# nothing, a build after an edit, clean. Prints OK at the end.
#   run-bazel.sh BAZEL [WORKSPACE]
# BAZEL: a Bazel 2.x binary (npm package @bazel/bazel-linux_x64 has one; its JDK is embedded). WORKSPACE: a copy of this folder,
# for example inside a mount; without it this folder.
set -euo pipefail
if [ $# -lt 1 ]; then sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; fi
if [ "${ANTARES_BAZEL_NETNS:-}" != 1 ]; then
    # A network namespace of its own: what Bazel does here needs no network, and Bazel's client talks to its server over loopback.
    here=$(cd "$(dirname "$0")" && pwd)
    export ANTARES_BAZEL_NETNS=1
    exec unshare --net "$here/$(basename "$0")" "$(realpath "$1")" "${2:-$here}"
fi
bazel=$1
cd "$2"
ip link set lo up 2>/dev/null || ifconfig lo up
export HOME="$PWD/.bazel-home"
mkdir -p "$HOME"

startup=(--output_user_root="$PWD/.bazel-root" --max_idle_secs=60 --nohome_rc --nosystem_rc)
build=(--override_repository=rules_cc="$PWD/stubs/rules_cc"
       --override_repository=rules_java="$PWD/stubs/rules_java"
       --override_repository=rules_proto="$PWD/stubs/rules_proto"
       --color=no --curses=no --show_progress=no)
finish() { "$bazel" "${startup[@]}" shutdown >/dev/null 2>&1 || true; }
trap finish EXIT

fail() { echo "run-bazel: $*" >&2; exit 1; }
run() { "$bazel" "${startup[@]}" "$@" > .bazel-log 2>&1 || { cat .bazel-log >&2; fail "bazel $1 failed"; }; }
# Several statements may stand in the log; the count is that of processes run for actions.
processes() { grep -oE '[0-9]+ process' .bazel-log | tail -1 | grep -oE '[0-9]+' || echo 0; }

echo 1.2.3 > VERSION
run build "${build[@]}" //:all
[ "$(cat bazel-bin/report.txt)" = "hello from bazel 1.2.3" ] || fail "first build: $(cat bazel-bin/report.txt)"
[ "$(bazel-bin/hello)" = "hello from bazel 1.2.3" ] || fail "the program built says $(bazel-bin/hello)"
first=$(processes)
[ "$first" -gt 0 ] || fail "first build ran no process"

run build "${build[@]}" //:all
[ "$(processes)" -eq 0 ] || fail "a build without a change ran $(processes) processes"

echo 1.2.4 > VERSION
run build "${build[@]}" //:all
[ "$(cat bazel-bin/report.txt)" = "hello from bazel 1.2.4" ] || fail "build after an edit: $(cat bazel-bin/report.txt)"
again=$(processes)
[ "$again" -gt 0 ] && [ "$again" -lt "$first" ] || fail "build after an edit ran $again processes, the first $first"

run clean "--color=no" "--curses=no"
[ ! -e bazel-bin ] || fail "clean left bazel-bin"
run build "${build[@]}" //:all
[ "$(cat bazel-bin/report.txt)" = "hello from bazel 1.2.4" ] || fail "build after clean"
echo 1.2.3 > VERSION
echo "OK bazel built $first, $again after an edit, 0 without one"
