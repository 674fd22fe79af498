# Shared by the acceptance scripts: each is run with ANTARES_BIN=path of the published binary, checks itself, prints what it measured and
# ends with one line "OK …"; any other end is a failure. Scratch goes to ACCEPTANCE_SCRATCH (default /tmp), which should be a real disk.
# They are about the FUSE engine, unless ENGINE names another one.
set -euo pipefail
: "${ANTARES_BIN:?set ANTARES_BIN to the path of the published binary}"
ANTARES_BIN=$(realpath "$ANTARES_BIN")
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d "${ACCEPTANCE_SCRATCH:-/tmp}/antares-acceptance.XXXXXX")
export ANTARES_STATE_DIR="$scratch/state"
mkdir -p "$scratch"/{state,mnt,upper,work}
mnt=$scratch/mnt upper=$scratch/upper work=$scratch/work engine=${ENGINE:-fuse}

fail() { echo "FAILED: $*" >&2; exit 1; }

# Microseconds since the epoch.
now_us() { echo "${EPOCHREALTIME/[.,]/}"; }

# mount_source SOURCE [OPTIONS]: mounts over a fresh upper
mount_source() {
    local source=$1
    shift
    rm -rf "$upper" "$work"
    mkdir -p "$upper" "$work" "$mnt"
    "$ANTARES_BIN" mount --engine "$engine" "$source" "$mnt" --upper "$upper" --work "$work" "$@"
}

# The tests' native helper (Antares.Aot.Tests/Support/native), compiled; its path is in $probe.
build_probe() {
    probe=$scratch/fsprobe
    cc -O2 -Wall -Wextra -Werror -o "$probe" "$repository"/Antares.Aot.Tests/Support/native/*.c
}

# What the server of $mnt holds: memory of its own in KiB, open descriptors.
server_memory() { awk '/^(RssAnon|RssShmem):/ { sum += $2 } END { print sum }' "/proc/$(server_pid)/status"; }
server_fds() { find "/proc/$(server_pid)/fd" -mindepth 1 | wc -l; }

unmount() { "$ANTARES_BIN" umount "$mnt"; }

# Pid of the process that serves $mnt.
server_pid() {
    local exe
    for exe in /proc/[0-9]*/exe; do
        [ "$(readlink "$exe" 2>/dev/null)" = "$ANTARES_BIN" ] || continue
        tr '\0' '\n' < "${exe%exe}cmdline" 2>/dev/null | grep -qxF "$mnt" && basename "${exe%/exe}" && return 0
    done
    return 1
}

# Requests of the running mount: total, or of one operation.
requests() {
    if [ $# -eq 0 ]; then "$ANTARES_BIN" stats "$mnt" --json | jq '[.ops[].count] | add'
    else "$ANTARES_BIN" stats "$mnt" --json | jq ".ops[\"$1\"].count"; fi
}

# What the mount remembers of its failures, less rmdir of directories that are not empty, which git and dpkg try all day; then fails when any
# request ever answered EIO.
look_at_errors() {
    "$ANTARES_BIN" errors "$mnt" | grep -v 'rmdir *ENOTEMPTY' | sed -n '1,20p' # to its end: nobody is left writing to nobody
    local eio
    eio=$("$ANTARES_BIN" stats "$mnt" --json | jq '[.ops[].errors.EIO // 0] | add')
    [ "$eio" -eq 0 ] || fail "$eio requests answered EIO"
}

# A whole tree as text: path, type, mode, owner, mtime to the nanosecond, size (not of directories), symlink target. Without
# the root, which shows the attributes of the upper's folder, as in kernel overlayfs.
tree() { (cd "$1" && find . -mindepth 1 \( -type d -printf '%P|%y|%m|%U:%G|%T@||\n' \) -o -printf '%P|%y|%m|%U:%G|%T@|%s|%l\n' | LC_ALL=C sort); }

same_tree() {
    tree "$1" > "$scratch/tree1"
    tree "$2" > "$scratch/tree2"
    cmp -s "$scratch/tree1" "$scratch/tree2" || { diff "$scratch/tree1" "$scratch/tree2" | head -10 >&2; fail "trees differ: $1 $2"; }
}

# Made or changed since the mark file: must be nothing in a lower.
unchanged_since() {
    local changed
    changed=$(find "$2" \( -newer "$1" -o -cnewer "$1" \) | head -3)
    [ -z "$changed" ] || fail "changed in the lower: $changed"
}

cleanup() {
    local status=$?
    cd /
    if mountpoint -q "$mnt"; then "$ANTARES_BIN" umount "$mnt" > /dev/null 2>&1 || umount -l "$mnt" || true; fi
    while read -r point; do umount -l "$point" || true; done < <(awk -v s="$scratch/" 'index($5, s) == 1 { print $5 }' /proc/self/mountinfo | tac)
    rm -rf --one-file-system "$scratch"
    exit $status
}
trap cleanup EXIT
