# shellcheck shell=bash disable=SC2034,SC2154 # one script in several files
# Sourced after common.sh: the places that are compared, each over the same lower folder with an upper of its own on the same disk.
#   native                  a plain folder, the yardstick
#   overlayfs               the kernel's, with its defaults: each copied-up file is synced
#   fuse-overlayfs, unionfs-fuse    Debian's
#   antares-fuse            our FUSE engine over the folder as it lies
#   antares-writeback       the same with --writeback
#   antares-dir             our FUSE engine over a Dicfuse tree (dir:)
#   antares-kernel          our kernel engine over a Dicfuse tree
#   antares-kernel-folder   our kernel engine over the folder as it lies
#   antares-kernel-image    our kernel engine over an image of the folder, packed before, which the kernel's EROFS reads (Linux 6.15)
#   antares-image           our FUSE engine over that image; only where --places names it
# Each keeps what it promises by default; with volatile=1 those that can be asked to promise no syncs.

all_targets=(native overlayfs fuse-overlayfs unionfs-fuse antares-fuse antares-writeback antares-dir antares-kernel antares-kernel-folder antares-kernel-image)

# command_of NAME UPPER WORK: what mounts the place, in the array $command; empty for native.
command_of() {
    local u=$2 w=$3 volatile='' flags=()
    if [ "${volatile_mounts:-0}" = 1 ]; then volatile=,volatile flags=(--volatile); fi
    flags+=(--upper "$u" --work "$w" --workspace-root "$scratch")
    case $1 in
        native) command=() ;;
        overlayfs) command=(mount -t overlay overlay -o "redirect_dir=on$volatile,lowerdir=$lower,upperdir=$u,workdir=$w" "$mnt") ;;
        fuse-overlayfs) command=(fuse-overlayfs -o "lowerdir=$lower,upperdir=$u,workdir=$w$volatile" "$mnt") ;;
        unionfs-fuse) command=(unionfs -o "cow,allow_other,use_ino" "$u=RW:$lower=RO" "$mnt") ;;
        antares-fuse) command=("$antares" mount "$lower" "$mnt" --engine fuse "${flags[@]}") ;;
        antares-writeback) command=("$antares" mount "$lower" "$mnt" --engine fuse --writeback "${flags[@]}") ;;
        antares-dir) command=("$antares" mount "dir:$lower" "$mnt" --engine fuse "${flags[@]}") ;;
        antares-kernel) command=("$antares" mount "dir:$lower" "$mnt" --engine kernel "${flags[@]}") ;;
        antares-kernel-folder) command=("$antares" mount "$lower" "$mnt" --engine kernel "${flags[@]}") ;;
        antares-kernel-image) command=("$antares" mount "$scratch/lower.image" "$mnt" --engine kernel --erofs "${flags[@]}") ;;
        antares-image) command=("$antares" mount "$scratch/lower.image" "$mnt" --engine fuse "${flags[@]}") ;;
        *) echo "bench: no place named $1; there are: ${all_targets[*]} antares-image" >&2; exit 2 ;;
    esac
}

fresh_upper() { rm -rf "$upper" "$work" && mkdir "$upper" "$work"; }

# mount_target NAME: mounts over what is in the upper already. $root is then the root of the merged tree, $server the pid of who serves it, if any.
mount_target() {
    local command
    server=
    if [ "$1" = native ]; then root=$native; return 0; fi
    root=$mnt
    command_of "$1" "$upper" "$work"
    "${command[@]}" > "$scratch/mount-output" 2>&1 || { cat "$scratch/mount-output" >&2; return 1; }
    mountpoint -q "$mnt" || { echo "${command[0]} ended well, but $mnt is no mount" >&2; return 1; }
    server=$(servers "$mnt")
    server=${server%%$'\n'*}
}

# The server of a FUSE mount ends a moment after it; what it still writes belongs to its own place.
unmount_target() {
    local i
    ! mountpoint -q "$mnt" || umount "$mnt" 2> /dev/null || { sleep 1; umount "$mnt"; }
    for i in $(seq 400); do [ -n "$(servers "$mnt")" ] || return 0; sleep 0.05; done
    echo "bench: a server of $mnt does not end" >&2
    return 1
}

try_group() {
    must mount_target "$target"
    must ls "$root"
    must unmount_target
}

pack_lower() {
    [ ! -e "$scratch/lower.image" ] || return 0
    note "packing the lower"
    timeout "${BENCH_GROUP_LIMIT:-900}" "$antares" pack "$lower" -o "$scratch/packed.image" > "$scratch/output" 2>&1 && mv "$scratch/packed.image" "$scratch/lower.image"
}

# What these two read is the image, so that is what must be as warm as the lower of the others.
reads_image() { [ "$target" = antares-image ] || [ "$target" = antares-kernel-image ]; }
warm_image() { ! reads_image || cat "$scratch/lower.image" > /dev/null; }

# choose "NAME…": those of the places that are to be had here, in the array $chosen; the others are named, and that one of ours cannot be mounted is
# a failure. All that are wanted are in $places_wanted.
choose() {
    local command why
    chosen=() places_wanted=()
    mkdir -p "$upper" "$work"
    # shellcheck disable=SC2086 # words
    for target in ${1:-${all_targets[*]}}; do
        command_of "$target" "$upper" "$work"
        places_wanted+=("$target") why=''
        if [ "$target" != native ] && ! command -v "${command[0]}" > /dev/null; then why="${command[0]} is not installed"
        elif reads_image && ! pack_lower; then why="cannot be packed: $(tail -1 "$scratch/output")"
        elif [ "$target" != native ]; then
            target_group=mount
            attempt 60 try_group
            [ "$ended_with" = 0 ] || why="cannot be mounted"
        fi
        if [ -z "$why" ]; then chosen+=("$target")
        else
            note "$target is left out: $why"
            printf '%s\t%s\n' "$target" "$why" >> "$left_out"
        fi
    done
    [ ${#chosen[@]} -gt 0 ] || { echo "bench: none of the places is to be had" >&2; exit 2; }
}
