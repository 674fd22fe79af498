#!/usr/bin/env bash
# One script for everything: ./build.sh demo|check|test|publish|install|uninstall|bench
set -euo pipefail
cd "$(dirname "$0")"
ROOT=$PWD
OUT=$ROOT/out
RID=linux-x64
MOST_BYTES=$((20 * 1024 * 1024))
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 MSBUILDDISABLENODEREUSE=1

say() { printf '%s\n' "$*" >&2; }
die() { say "build.sh: $*"; exit 1; }

# Debian packages by the file that shows they are there.
BUILD_PACKAGES=(
    "/usr/bin/gcc:gcc" "/usr/include/stdio.h:libc6-dev" "/usr/bin/ld.lld:lld"
    "/usr/include/fuse3/fuse_lowlevel.h:libfuse3-dev" "/usr/include/zlib.h:zlib1g-dev"
    "/usr/include/openssl/ssl.h:libssl-dev" "/usr/bin/cmake:cmake" "/usr/bin/make:make")
DEMO_PACKAGES=("/usr/bin/make:make" "/usr/bin/sqlite3:sqlite3")
TEST_PACKAGES=(
    "/usr/bin/make:make" "/usr/bin/sqlite3:sqlite3" "/usr/bin/fusermount3:fuse3" "/usr/bin/setfattr:attr" "/usr/bin/setfacl:acl"
    "/usr/bin/strace:strace" "/usr/bin/git:git" "/usr/include/sqlite3.h:libsqlite3-dev" "/usr/bin/flock:util-linux" "/usr/bin/script:bsdutils"
    "/bin/busybox:busybox-static" "/usr/bin/fuse-overlayfs:fuse-overlayfs" "/usr/bin/unshare:util-linux")
BENCH_PACKAGES=(
    "/usr/bin/fio:fio" "/usr/bin/jq:jq" "/usr/bin/fuse-overlayfs:fuse-overlayfs" "/usr/bin/unionfs:unionfs-fuse" "/usr/bin/sqlite3:sqlite3"
    "/usr/bin/git:git" "/usr/bin/make:make" "/usr/bin/xz:xz-utils" "/usr/bin/findmnt:util-linux")

install_missing() {
    local missing=() entry
    for entry in "$@"; do
        [ -e "${entry%%:*}" ] || missing+=("${entry##*:}")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    [ "$(id -u)" = 0 ] || die "missing Debian packages: ${missing[*]}; install them as root: apt-get install ${missing[*]}"
    command -v apt-get >/dev/null || die "missing packages: ${missing[*]} (no apt-get here; install them by your own means)"
    say "installing ${missing[*]}"
    local log
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get install -y --no-install-recommends "${missing[@]}" ||
        { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; }; } >"$log" 2>&1; then
        tail -20 "$log" >&2
        die "could not install ${missing[*]}"
    fi
    rm -f "$log"
}

# What the bench can do without, and then says so: a kernel's sources as its tree, and npm.
install_for_bench() {
    case " $* " in *" --scaling "* | *" --long-run "*) return 0 ;; esac
    if ! compgen -G '/usr/src/linux-source-*.tar.*' >/dev/null && [[ " $* " != *" --tree "* ]]; then
        (install_missing "/usr/src/linux-source:linux-source") || say "no kernel's sources to be had: the bench makes a tree of small files instead"
    fi
    command -v npm >/dev/null || (install_missing "/usr/bin/npm:npm") || say "npm is not to be had: the limits of npm-install will not be judged"
}

need_sdk() {
    command -v dotnet >/dev/null || die "the .NET 10 SDK is needed: https://dotnet.microsoft.com/download"
}

# A restore asks the package registry once; a second try gets over a hiccup.
restore() {
    local log
    log=$(mktemp)
    dotnet restore "$1" ${2:+-r "$2"} -v q >"$log" 2>&1 || { sleep 3; dotnet restore "$1" ${2:+-r "$2"} -v q >"$log" 2>&1; } ||
        { tail -20 "$log" >&2; die "dotnet restore failed"; }
    rm -f "$log"
}

publish() {
    need_sdk
    install_missing "${BUILD_PACKAGES[@]}"
    local log stage
    log=$(mktemp)
    stage=$(mktemp -d)
    restore Antares.Aot/Antares.Aot.csproj "$RID"
    if ! dotnet publish Antares.Aot/Antares.Aot.csproj -c Release -r "$RID" --no-restore -o "$stage" -v q -nologo >"$log" 2>&1; then
        grep -E 'error|warning' "$log" | sort -u | head -20 >&2 || tail -20 "$log" >&2
        die "publish failed"
    fi
    mkdir -p "$OUT"
    mv -f "$stage/antares-aot" "$OUT/antares-aot"
    rm -rf "$stage" "$log"
    # Whatever a dynamic program needs would be missing in the container it is dropped into.
    if { readelf -d "$OUT/antares-aot"; readelf -lW "$OUT/antares-aot"; } 2>/dev/null | grep -qE 'NEEDED|INTERP'; then
        die "out/antares-aot is not static"
    fi
    [ "$(stat -c %s "$OUT/antares-aot")" -le $MOST_BYTES ] || die "out/antares-aot is larger than $MOST_BYTES bytes"
    "$OUT/antares-aot" --version >/dev/null || die "out/antares-aot does not start"
    say "published out/antares-aot: static, $(stat -c %s "$OUT/antares-aot") bytes"
}

build_tests() {
    need_sdk
    install_missing "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
    local log
    log=$(mktemp)
    restore Antares.Aot.Tests/Antares.Aot.Tests.csproj
    if ! dotnet build Antares.Aot.Tests/Antares.Aot.Tests.csproj --no-restore -v q -nologo >"$log" 2>&1; then
        grep -E 'error|warning' "$log" | sort -u | head -30 >&2 || tail -20 "$log" >&2
        die "build failed"
    fi
    rm -f "$log"
}

PASSED=0
FAILED=0
SKIPPED=0

# Runs the tests that a filter selects and adds up their results; at least $3 of them must have run.
run_tests() {
    local title=$1 filter=$2 least=$3 log status=0 line
    log=$(mktemp)
    say "== $title"
    dotnet test Antares.Aot.Tests/Antares.Aot.Tests.csproj --no-build --filter "$filter" \
        --logger "console;verbosity=minimal" -nologo -- "xUnit.MaxParallelThreads=${4:-2}" >"$log" 2>&1 </dev/null || status=$?
    line=$(grep -E 'Failed: +[0-9]+, Passed: +[0-9]+, Skipped: +[0-9]+' "$log" | tail -1 || true)
    local failed passed skipped
    failed=$(sed -nE 's/.*Failed: +([0-9]+).*/\1/p' <<<"$line")
    passed=$(sed -nE 's/.*Passed: +([0-9]+).*/\1/p' <<<"$line")
    skipped=$(sed -nE 's/.*Skipped: +([0-9]+).*/\1/p' <<<"$line")
    if [ "${failed:-0}" -gt 0 ] && [ "${failed:-0}" -le 8 ]; then
        # A few failures are tried once more, alone: one that passes then is named as unsteady, one that does not is a failure.
        local names again=0 log2
        log2=$(mktemp)
        names=$(sed -nE 's/^  Failed ([A-Za-z0-9_.]+).*/\1/p' "$log" | sort -u | sed 's/^/FullyQualifiedName~/' | paste -sd '|')
        grep -vE '^\s*at (System|Xunit|Microsoft)\.' "$log" | head -80 >&2
        dotnet test Antares.Aot.Tests/Antares.Aot.Tests.csproj --no-build --filter "$names" \
            --logger "console;verbosity=minimal" -nologo >"$log2" 2>&1 </dev/null || again=$?
        if [ -n "$names" ] && [ $again -eq 0 ]; then
            say "$title: $failed unsteady, passed when run alone: ${names//FullyQualifiedName~/}"
            passed=$((passed + failed))
            failed=0
            status=0
        else
            cat "$log2" >>"$log"
        fi
        rm -f "$log2"
    fi
    PASSED=$((PASSED + ${passed:-0}))
    FAILED=$((FAILED + ${failed:-0}))
    SKIPPED=$((SKIPPED + ${skipped:-0}))
    if [ $status -ne 0 ] || [ "${failed:-1}" != 0 ]; then
        grep -vE '^\s*at (System|Xunit|Microsoft)\.' "$log" | head -150 >&2
        [ "${failed:-0}" != 0 ] || FAILED=$((FAILED + 1))
    elif [ "${passed:-0}" -lt "$least" ]; then
        say "$title: only ${passed:-0} tests ran, at least $least must"
        FAILED=$((FAILED + 1))
    else
        say "   ${passed} passed, ${skipped:-0} skipped"
    fi
    grep -E '\[SKIP\]' "$log" >&2 || true
    rm -f "$log"
}

finish() {
    echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
    [ "$FAILED" -eq 0 ]
}

check() {
    build_tests
    local log
    log=$(mktemp)
    # The layout only: the build has held the code against the rules of style already.
    dotnet format whitespace Antares.sln --no-restore --verify-no-changes >"$log" 2>&1 || { head -20 "$log" >&2; die "dotnet format would change files: run 'dotnet format'"; }
    rm -f "$log"
    export ANTARES_TEST_SHORT=1
    run_tests "unit and ABI tests" "FullyQualifiedName~.Unit.|FullyQualifiedName~.Abi." 50 4 # many of them wait rather than work
    finish
}

all_tests() {
    publish
    build_tests
    export ANTARES_BIN=$OUT/antares-aot
    run_tests "unit and ABI tests" "FullyQualifiedName~.Unit.|FullyQualifiedName~.Abi." 50 4 # many of them wait rather than work
    run_tests "tests in real mounts, on out/antares-aot" "FullyQualifiedName!~.Unit.&FullyQualifiedName!~.Abi." 50 3 # a third of the time they wait
    finish
}

# The folder in which mount(8) looks for its helpers; where /sbin is a link, what it leads to.
helper_folder() {
    local folder
    folder=$(readlink -f /sbin)
    echo "${folder:-/sbin}"
}

place() {
    case "${1:-/usr/local}" in
        /*) PREFIX=${1:-/usr/local} ;;
        *) PREFIX=$PWD/$1 ;;
    esac
    PREFIX=${PREFIX%/}
    TARGET=${DESTDIR:-}$PREFIX/bin/antares-aot
    HELPER=${DESTDIR:-}$(helper_folder)/mount.fuse.antares-aot
}

# install [PREFIX]: under PREFIX (/usr/local), or below DESTDIR for a package. ANTARES_BIN: a binary that is published already.
install_all() {
    place "${1:-}"
    local binary=${ANTARES_BIN:-$OUT/antares-aot}
    [ -n "${ANTARES_BIN:-}" ] || publish
    mkdir -p "$(dirname "$TARGET")" || die "cannot make $(dirname "$TARGET"): run it as root, or give a PREFIX of your own: ./build.sh install ~/.local"
    cp "$binary" "$TARGET.new" || die "cannot write to $(dirname "$TARGET"): run it as root, or give a PREFIX of your own: ./build.sh install ~/.local"
    chmod 755 "$TARGET.new"
    mv -f "$TARGET.new" "$TARGET" # a mount that runs keeps the file it was started from
    say "installed $TARGET"
    if [ -n "${DESTDIR:-}" ] || [ "$(id -u)" = 0 ]; then
        mkdir -p "$(dirname "$HELPER")"
        ln -sfn "$PREFIX/bin/antares-aot" "$HELPER"
        say "installed $HELPER, for mount -t fuse.antares-aot"
    else
        say "not root: for mount -t fuse.antares-aot, root makes the link $HELPER to $TARGET"
    fi
    say "./build.sh uninstall $PREFIX takes both away"
}

uninstall_all() {
    place "${1:-}"
    if [ -L "$HELPER" ] && [ "$(readlink "$HELPER")" = "$PREFIX/bin/antares-aot" ]; then
        rm -f "$HELPER" || die "cannot remove $HELPER: run it as root"
        say "removed $HELPER"
    fi
    [ -e "$TARGET" ] || die "there is no $TARGET; give the PREFIX that it was installed with"
    rm -f "$TARGET" || die "cannot remove $TARGET: run it as its owner"
    say "removed $TARGET"
}

case "${1:-}" in
    publish) publish ;;
    install) install_all "${2:-}" ;;
    uninstall) uninstall_all "${2:-}" ;;
    check) check ;;
    test) all_tests ;;
    demo)
        publish
        install_missing "${DEMO_PACKAGES[@]}"
        exec examples/hello-c/demo.sh "$OUT/antares-aot"
        ;;
    bench)
        publish
        install_missing "${TEST_PACKAGES[@]}" "${BENCH_PACKAGES[@]}"
        install_for_bench "${@:2}"
        exec bench/run.sh "$OUT/antares-aot" "${@:2}"
        ;;
    *)
        say "usage: ./build.sh demo|check|test|publish|install|uninstall|bench"
        say "  demo     publish, mount the sample workspace, build in it, show where the writes went"
        say "  check    the fast loop: format, build, unit and ABI tests"
        say "  test     everything, with the published binary"
        say "  publish  out/antares-aot, one static executable"
        say "  install [PREFIX]    publish, then PREFIX/bin/antares-aot (/usr/local) and, as root, the helper of mount -t fuse.antares-aot"
        say "  uninstall [PREFIX]  takes both away"
        say "  bench    a builder's day beside a plain folder, kernel overlayfs, fuse-overlayfs and unionfs-fuse, and which limits of speed hold (an hour)"
        say "           --scaling: trees of up to five million names, a large upper; --long-run: an hour with an eye on memory (bench/run.sh tells the options)"
        exit 2
        ;;
esac
