#!/usr/bin/env bash
# load.sh [FIO_SECONDS STRESS_SECONDS DBENCH_SECONDS [SOURCE_KIND]]: fio with verification (buffered, direct, mapped; mixed sizes; 30 minutes in total by
# default), every stressor of stress-ng's filesystem class with --verify and 4 workers (60 s each; a stressor that fails on a plain folder too is put
# aside), dbench with 8 clients (10 minutes). Afterwards the server's memory and descriptors, and what the mount says of its own failures.
# 0 leaves a part out; STRESSORS names some of the class. SOURCE_KIND: dir (default) or folder.
. "$(dirname "$0")/lib.sh"
fio_seconds=${1:-1800} stress_seconds=${2:-60} dbench_seconds=${3:-600} kind=${4:-dir}
mkdir -p "$scratch/lower/d" "$scratch/native" "$scratch/logs"
for i in $(seq 200); do echo "file $i" > "$scratch/lower/d/f$i"; done
# fio finds its files in the lower: each job begins with a copy-up.
for job in buffered direct mmap; do head -c 48M /dev/urandom > "$scratch/lower/$job.0.0"; done
source=$scratch/lower
[ "$kind" = folder ] || source=dir:$source
mount_source "$source"
memory_before=$(server_memory) fds_before=$(server_fds) pid=$(server_pid)
bad=0

if [ "$fio_seconds" -gt 0 ]; then
    # Rounds, each with its own seed; what one job wrote it reads and verifies.
    end=$((SECONDS + fio_seconds)) round=0
    while [ $SECONDS -lt $end ]; do
        round=$((round + 1))
        for job in "buffered --ioengine=psync --fsync=64" "direct --ioengine=libaio --direct=1 --iodepth=8 --bsrange=4k-256k --blockalign=4k" "mmap --ioengine=mmap"; do
            # shellcheck disable=SC2086
            set -- $job
            name=$1
            shift
            if ! fio --aux-path="$scratch" --name="$name" --directory="$mnt" --size=48M --rw=randwrite --bsrange=512-256k --verify=crc32c --verify_fatal=1 --do_verify=1 --randseed=$((round * 7919)) \
                --file_service_type=random --nrfiles=1 --allow_file_create=1 --overwrite=1 --verify_backlog=512 --output="$scratch/logs/fio-$name" "$@" > "$scratch/logs/fio-$name.out" 2>&1; then
                bad=1; echo "fio $name, round $round:" >&2; tail -5 "$scratch/logs/fio-$name" "$scratch/logs/fio-$name.out" >&2; break 2
            fi
        done
    done
    echo "fio: $round rounds of buffered, direct and mapped writes, verified"
fi

if [ "$stress_seconds" -gt 0 ]; then
    stress-ng --class 'filesystem?' > "$scratch/stressors" 2>&1 || true
    stressors=$(sed -n "s/^class '*filesystem'* stressors: //p" "$scratch/stressors")
    stressors=${STRESSORS:-$stressors}
    [ "$(echo "$stressors" | wc -w)" -gt 0 ] || fail "no list of stressors: $(head -2 "$scratch/stressors")"
    passed=0 aside=
    stress() { timeout -k 10 $((stress_seconds + 120)) stress-ng --"$2" 4 --verify --timeout "$stress_seconds" --temp-path "$1" --hdd-bytes 64M --iomix-bytes 64M --fiemap-bytes 64M --fallocate-bytes 64M --copy-file-bytes 128M --sync-file-bytes 64M --readahead-bytes 64M; }
    for stressor in $stressors; do
        mkdir -p "$mnt/stress"
        if stress "$mnt/stress" "$stressor" > "$scratch/logs/$stressor" 2>&1; then passed=$((passed + 1))
        elif ! stress "$scratch/native" "$stressor" > "$scratch/logs/$stressor.native" 2>&1; then aside="$aside $stressor"
        else bad=1; echo "stress-ng $stressor:" >&2; { grep -E 'fail|error' "$scratch/logs/$stressor" || tail -2 "$scratch/logs/$stressor"; } | head -6 >&2; fi
        [ -d "/proc/$pid" ] || fail "the server died during stress-ng $stressor"
        rm -rf "$mnt/stress" || { bad=1; echo "stress-ng $stressor left what cannot be removed" >&2; }
    done
    [ $passed -gt 30 ] || [ -n "${STRESSORS:-}" ] || { bad=1; echo "hardly any stressor passed on either side: $(head -3 "$scratch/logs/dir.native")" >&2; }
    echo "stress-ng: $passed stressors passed; aside, since a plain folder fails them too:${aside:- none}"
fi

if [ "$dbench_seconds" -gt 0 ]; then
    mkdir "$mnt/dbench"
    dbench -D "$mnt/dbench" -t "$dbench_seconds" -c "$(find /usr/share/dbench -name client.txt | head -1)" 8 > "$scratch/logs/dbench" 2>&1 || { bad=1; tail -5 "$scratch/logs/dbench" >&2; }
    ! grep -iE 'failed|error' "$scratch/logs/dbench" | grep -v 'barrier semaphore' | head -5 >&2 || bad=1
    echo "dbench: $(grep Throughput "$scratch/logs/dbench")"
    rm -rf "$mnt/dbench"
fi

sync; echo 2 > /proc/sys/vm/drop_caches; sleep 1
echo "server: $memory_before KiB and $fds_before descriptors before, $(server_memory) KiB and $(server_fds) descriptors after"
look_at_errors
unmount
[ -z "$(find "$work" -mindepth 2 | head -3)" ] || fail "left in work: $(find "$work" -mindepth 2 | head -3)"
[ $bad = 0 ] || fail "the failures above"
echo "OK load"
