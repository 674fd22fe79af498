# shellcheck shell=bash disable=SC2034,SC2154 # one script in several files
# Sourced by the scripts that measure: a scratch folder that is gone at the end however it comes, results and failures as lines of text, and groups
# of work that may fail, hang or be interrupted without ending the rest.

# begin ANTARES-AOT GIB: makes the scratch folder (in BENCH_SCRATCH, default /var/tmp), where so many GiB must be free, and a copy of the binary, so
# that a new build does not change the run.
begin() {
    local program folder=${BENCH_SCRATCH:-/var/tmp} free
    [ "$(id -u)" = 0 ] || { echo "bench: needs root, to mount kernel overlayfs and to drop caches" >&2; exit 2; }
    for program in jq git sqlite3 gcc make; do command -v $program > /dev/null || { echo "bench: $program is missing" >&2; exit 2; }; done
    [ -d "$folder" ] || { echo "bench: there is no folder $folder; name one on a local disk by BENCH_SCRATCH" >&2; exit 2; }
    file_system=$(findmnt -n -o FSTYPE -T "$folder" | tail -1) || true
    case $file_system in
        ext4) ;;
        xfs | btrfs) note "$folder lies on $file_system, which may share the blocks of a copy: the limits are those of ext4" ;;
        *)
            [ -n "${BENCH_ANY_DISK:-}" ] || {
                echo "bench: $folder lies on ${file_system:-an unknown file system}; a disk's figures want ext4, xfs or btrfs: name a folder there by BENCH_SCRATCH, or set BENCH_ANY_DISK=1 for figures that are marked" >&2
                exit 2
            }
            note "$folder lies on ${file_system:-an unknown file system}: the figures are not those of a local disk" ;;
    esac
    free=$(df --output=avail -B1 "$folder" | tail -1)
    [ "$free" -ge $(($2 << 30)) ] || { echo "bench: $2 GiB must be free in $folder, $((free >> 20)) MiB are; name another folder by BENCH_SCRATCH" >&2; exit 2; }
    scratch=$(realpath "$(mktemp -d "$folder/antares-bench.XXXXXX")")
    group='' timer=''
    trap cleanup EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    mnt=$scratch/mnt lower=$scratch/lower upper=$scratch/upper work=$scratch/work native=$scratch/native root=''
    results=$scratch/results failures=$scratch/failures left_out=$scratch/left-out
    mkdir "$mnt" "$lower" "$native" "$scratch/state" "$scratch/tmp" "$scratch/home"
    : > "$results"
    : > "$failures"
    : > "$left_out"
    hold_memory
    cp "$1" "$scratch/antares-aot"
    antares=$scratch/antares-aot
    export ANTARES_STATE_DIR=$scratch/state TMPDIR=$scratch/tmp HOME=$scratch/home LC_ALL=C
}

# A guest that gives free memory back to its host (free page reporting) pays a fault of the host for each page that it takes anew, wherever that happens:
# the same 1 GiB took 0.25 and 1.2 seconds to write, by chance. So it gives none back while the run lasts: only blocks larger than the largest there are, or
# where the kernel refuses that, only those. $memory_held says what came of it: yes, partly, no (it cannot be told to), or none where nothing is given back.
reporting=/sys/module/page_reporting/parameters/page_reporting_order
memory_held=none reporting_before=
hold_memory() {
    local order largest
    [ -e "$reporting" ] || return 0
    reporting_before=$(cat "$reporting")
    # Nobody reports, or the default that is none.
    case $reporting_before in -1 | 0) reporting_before=; return 0 ;; esac
    memory_held=no
    # A line of it is "Node 0, zone Normal" and a count for each order from 0.
    largest=$(awk 'NF > most { most = NF } END { print most - 5 }' /proc/buddyinfo)
    for order in $((largest + 1)) "$largest"; do
        if { echo "$order" > "$reporting"; } 2> /dev/null && [ "$(cat "$reporting")" = "$order" ]; then
            if [ "$order" -gt "$largest" ]; then memory_held=yes; else memory_held=partly; fi
            return 0
        fi
    done
    note "this machine gives free memory back to its host and cannot be told to keep it: expect figures that wander"
}
release_memory() { [ -z "$reporting_before" ] || { echo "$reporting_before" > "$reporting"; } 2> /dev/null || echo "bench: $reporting could not be set back to $reporting_before" >&2; }

# What the host has taken before is asked for once.
touch_memory() {
    [ "$memory_held" = yes ] || [ "$memory_held" = partly ] || return 0
    cold
    compile touch-memory
    "$scratch/touch-memory" || true # without it the first figures pay for it
}

# compile NAME…: the C programs of this folder, each to be called as "$scratch/NAME".
compile() {
    local name flags
    for name in "$@"; do
        flags=
        [ "$name" != invented-tree ] || flags="-I/usr/include/fuse3 -lfuse3"
        # shellcheck disable=SC2086 # words
        gcc -O2 -Wall -Wextra -o "$scratch/$name" "$here/$name.c" $flags
    done
}

# need_cold: what measures cold must be able to drop the caches; in a container it often may not.
need_cold() {
    cold 2> /dev/null || { echo "bench: /proc/sys/vm/drop_caches cannot be written here, so nothing cold can be measured; run it where root may, outside of a container" >&2; exit 2; }
}

# Ends what was started, unmounts what is mounted below the scratch folder, and removes it.
cleanup() {
    local status=$?
    trap '' HUP INT TERM
    [ -z "$timer" ] || kill -KILL -- "-$timer" 2> /dev/null || true
    [ -z "$group" ] || kill -KILL -- "-$group" 2> /dev/null || true
    cd /
    show_end
    release_memory
    end_mounts || true
    rm -rf --one-file-system "$scratch" || echo "bench: $scratch could not be removed" >&2
    exit $status
}

mounts_of_scratch() { awk -v s="$scratch/" 'index($5, s) == 1 { print $5 }' /proc/self/mountinfo | tac; }

# Whatever is mounted below the scratch folder, however ill it is, and the servers of it: first as it should be, then by the end of the servers, which
# ends what waits for them (a server that hangs would hold umount for ever).
end_mounts() {
    local point pid i
    for point in $(mounts_of_scratch); do timeout -k 1 20 umount "$point" 2> /dev/null || break; done
    for i in $(seq 40); do [ -n "$(servers "$scratch/")" ] || break; sleep 0.05; done
    for pid in $(servers "$scratch/"); do kill -KILL "$pid" 2> /dev/null || true; done
    for point in $(mounts_of_scratch); do timeout -k 1 20 umount -f "$point" 2> /dev/null || umount -l "$point" || true; done
}

# servers POINT: pids of what serves a mount at POINT, or if that ends in a slash at any place below, found by their programs and command lines. To be
# waited for: what goes on looking beside a measurement takes a processor from it.
servers() {
    local p line
    # shellcheck disable=SC2044 # no name of a process has a space
    for p in $(find /proc/[0-9]* -maxdepth 1 -name exe \( -lname '*/fuse-overlayfs' -o -lname '*/unionfs' -o -lname "${scratch//[/\\[}/*" \) -printf '%h\n' 2> /dev/null); do
        line=$(tr '\0' '\n' < "$p/cmdline" 2> /dev/null) || continue
        case $1 in
            */) grep -qF -- "$1" <<< "$line" || continue ;;
            *) grep -qxF -- "$1" <<< "$line" || continue ;;
        esac
        echo "${p#/proc/}"
    done
}

# Progress: one line that changes on a terminal, otherwise a line for each group. $part and $parts say how far the run is.
part=0 parts=1 began=0 shown=
show() {
    local left='' seconds=$((SECONDS - began))
    [ "$part" -lt 2 ] || left=", about $(((seconds * (parts - part + 1) / (part - 1) + 59) / 60)) min left"
    if [ -t 2 ]; then printf '\r\033[K%.*s' "$(($(tput cols 2> /dev/null || echo 80) - 1))" "bench: $((part * 100 / (parts + 1))) %$left: $1" >&2; shown=1
    elif [ "${2:-}" = group ]; then echo "bench: $part of $parts$left: $1" >&2; fi
}
show_end() { [ -z "$shown" ] || printf '\r\033[K' >&2; shown=; }
note() { show_end; echo "bench: $*" >&2; }

# attempt SECONDS GROUP [NAME…]: runs a function, guarded. However it ends but well, that is recorded, and for each of its workloads NAME that is wanted
# and has no figure of this call; the run goes on. $ended_with is its exit code. To be called plainly: before || and in an if nothing in it would end at
# what fails.
attempt() {
    local limit=$1 what=$2 name began_at=$SECONDS figures troubles
    shift 2
    figures=$(wc -l < "$results") troubles=$(wc -l < "$failures")
    set +e
    guarded "$limit" "$what"
    ended_with=$?
    set -e
    [ $# = 0 ] || printf 'group:%s\t%s\t%d\ts\n' "${target_group%_group}" "$target" $((SECONDS - began_at)) >> "$results"
    case $ended_with in
        0) return 0 ;;
        "$recorded" | 124) ;;
        *) failed "$target_group" "ended with exit code $ended_with" ;;
    esac
    for name in "$@"; do
        if ! wanted "$name" || ! expected "$name" || { tail -n +$((figures + 1)) "$results"; tail -n +$((troubles + 1)) "$failures"; } \
            | awk -F '\t' -v n="$name" -v t="$target" '$1 == n && $2 == t { found = 1 } END { exit !found }'; then continue; fi
        printf '%s\t%s\t%s\n' "$name" "$target" "not reached: ${target_group%_group} ended early" >> "$failures"
    done
}

# expected NAME: could the place have a figure of it? What has no server has no memory of one, and the plain folder is not mounted.
expected() {
    case $target:$1 in
        native:mount-to-ls | native:memory-* | native:*-memory | native:*bytes-per-node | overlayfs:memory-* | overlayfs:*-memory | overlayfs:*bytes-per-node) return 1 ;;
    esac
}

# The exit code of a group that has said itself why it ends.
recorded=3

# For the trap on ERR: STATUS COMMAND of what failed in a group. Of a subshell the group itself hears.
broken() {
    [ "$BASH_SUBSHELL" = "$group_level" ] || exit "$1"
    failed "${target_group:-group}" "$2: exit code $1"
    exit $recorded
}

# guarded SECONDS COMMAND…: runs a function in a process group of its own, which ends at the first command that fails. What takes longer is killed, its
# mounts too. What it puts into the files stays, what it sets does not.
guarded() {
    local limit=$1 status=0
    shift
    rm -f "$scratch/late"
    set -m
    (set +m; trap - EXIT HUP INT TERM; group_level=$BASH_SUBSHELL; set -eE; trap 'broken $? "$BASH_COMMAND"' ERR; "$@") < /dev/null &
    group=$!
    # What hangs in a mount ends when the mount's server does, so that the wait below comes to an end. (wait -n would miss a group that is gone already.)
    (set +m; trap - EXIT HUP INT TERM; sleep "$limit"; : > "$scratch/late"; kill -KILL -- "-$group"; end_mounts) < /dev/null > /dev/null 2>&1 &
    timer=$!
    set +m
    wait "$group" 2> /dev/null || status=$?
    # What the group left running goes with it.
    { kill -KILL -- "-$timer"; kill -KILL -- "-$group"; } 2> /dev/null || true
    if [ $status != 0 ] && [ -e "$scratch/late" ]; then
        failed "${target_group:-$1}" "took longer than $limit s and was ended"
        status=124
    fi
    [ $status = 0 ] || end_mounts 2> /dev/null || true
    wait "$timer" 2> /dev/null || true
    group='' timer=''
    return $status
}

# failed NAME MESSAGE: the run goes on; the report names it.
failed() {
    printf '%s\t%s\t%s\n' "$1" "$target" "$(tr '\n\t' '  ' <<< "$2" | cut -c1-300)" >> "$failures"
    note "$1 on $target failed: $2"
}

# must COMMAND…: what a group cannot go on without. The parts of a function must be joined by &&.
must() { "$@" > "$scratch/output" 2>&1 || { failed "${target_group:-group}" "$1: $(tail -3 "$scratch/output")"; exit $recorded; }; }

# Leaves the group when the place no longer answers.
alive() { timeout 20 stat "$root/." > /dev/null 2>&1 || { failed "${target_group:-group}" "$mnt answers no more"; exit $recorded; }; }

wanted() { [ -z "${only:-}" ] || [[ $1 =~ $only ]]; }

# any NAME…: is one of them wanted?
any() { local name; for name in "$@"; do ! wanted "$name" || return 0; done; return 1; }

put() { ! wanted "$1" || printf '%s\t%s\t%s\t%s\n' "$1" "$target" "$2" "$3" >> "$results"; }

now() { now=${EPOCHREALTIME/[.,]/}; }

# timed NAME COMMAND…: one figure, in microseconds, and what the server holds after it. The command's parts must be joined by && where it is a function.
timed() {
    local name=$1 start took
    shift
    show "$target: $name"
    now
    start=$now
    if ! "$@" > "$scratch/output" 2>&1; then
        failed "$name" "$(tail -3 "$scratch/output")"
        alive
        return 0
    fi
    now
    took=$((now - start))
    put "$name" $took us
    ! wanted "$name" || memory "rss-after:$name"
}

# times COUNT COMMAND…: that often, with the number as last word. The same count for every place: a second sample is another than a first.
times() {
    local count=$1 i
    shift
    for ((i = 1; i <= count; i++)); do "$@" "$i"; done
}

# in_turn ROUND NAME…: in an order of its own for each round, always the same for the same round. It zigzags through the ring of the names and starts
# further on in each round, so that each name comes early and late and after ever another one; when it has been all around, it goes back.
in_turn() {
    local round=$1
    shift
    printf '%s\n' "$@" | awk -v round="$round" '
        function common(a, b) { return b ? common(b, a % b) : a }
        { name[NR - 1] = $0 }
        END {
            for (step = NR > 3 ? 2 : 1; common(step, NR) != 1; step++) ;
            for (i = 0; i < NR; i++) turn[i] = name[((i % 2 ? (i + 1) / 2 : NR - i / 2) + (round - 1) * step) % NR]
            for (i = 0; i < NR; i++) print turn[int((round - 1) / NR) % 2 ? NR - 1 - i : i]
        }'
}

# What the server of the mount holds for itself: RssAnon and RssShmem, in KiB. Without a server nothing.
held() { [ -z "${server:-}" ] || awk '/^Rss(Anon|Shmem):/ { sum += $2 } END { print sum }' "/proc/$server/status"; }
memory() {
    local kib
    kib=$(held 2> /dev/null) || return 0
    [ -z "$kib" ] || put "$1" "$kib" KiB
}

# per_name KIB NAMES: bytes for each.
per_name() { awk -v kib="$1" -v names="$2" 'BEGIN { printf "%.1f\n", kib * 1024 / names }'; }

settle() { sync -f "$scratch"; }
cold() { sync -f "$scratch" && echo 3 > /proc/sys/vm/drop_caches; }

words() { jq -n '$ARGS.positional' --args "$@"; }

# What FUSE pays for each request and kernel overlayfs for none: a system call took 0.2 µs on one guest and 1.1 on another.
call_ns='' round_trip_ns=''
measure_transitions() {
    [ -z "$call_ns" ] || return 0
    if ! { compile transitions && read -r call_ns round_trip_ns < <(timeout 60 "$scratch/transitions"); }; then call_ns='' round_trip_ns=''; fi
}

# About the machine and the run, for the report: a JSON object; the places and workloads that were asked for, what of them was left out and why. More
# --arg and --argjson may be given.
machine() {
    measure_transitions
    # shellcheck disable=SC2016 # a variable of jq
    jq -n --arg cpu "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)" --argjson processors "$(nproc)" --arg kernel "$(uname -r)" \
        --argjson memory_kib "$(awk '/^MemTotal/ { print $2 }' /proc/meminfo)" --arg file_system "$file_system" --arg memory_held "$memory_held" \
        --argjson call_ns "${call_ns:-null}" --argjson round_trip_ns "${round_trip_ns:-null}" \
        --arg version "$("$antares" --version)" --argjson places_wanted "$(words "${places_wanted[@]}")" --argjson workloads_wanted "$(words "${workloads_wanted[@]}")" \
        --argjson left_out "$(jq -R 'split("\t") | { what: .[0], why: .[1] }' "$left_out" | jq -s .)" "$@" '$ARGS.named'
}
