# Sourced by run.sh: the places that are compared, each over the same lower folder with an upper of its own on the same disk.
#   native              a plain folder, the yardstick
#   overlayfs           the kernel's, with its defaults
#   fuse-overlayfs, unionfs-fuse    Debian's
#   antares-fuse        our FUSE engine over the folder as it lies
#   antares-dir         the same over a Dicfuse tree (dir:)
#   antares-kernel      our kernel engine over a Dicfuse tree
# Each keeps what it promises by default; BENCH_VOLATILE=1 takes the promise to sync from those that can be asked to.

all_targets=(native overlayfs fuse-overlayfs unionfs-fuse antares-fuse antares-dir antares-kernel)

# Is a target to be had here? The reason goes to standard error if not.
have_target() {
    case $1 in
        native | antares-*) return 0 ;;
        overlayfs) mount_target overlayfs && unmount_target ;;
        fuse-overlayfs) command -v fuse-overlayfs > /dev/null ;;
        unionfs-fuse) command -v unionfs > /dev/null ;;
        *) echo "bench: no target named $1; there are: ${all_targets[*]}" >&2; exit 2 ;;
    esac
}

fresh_upper() {
    rm -rf "$scratch/upper" "$scratch/work"
    mkdir "$scratch/upper" "$scratch/work"
}

# mount_target NAME: mounts over what is in the upper already; $root is then the root of the merged tree.
mount_target() {
    local u=$scratch/upper w=$scratch/work volatile= flag=()
    root=$mnt
    if [ "${BENCH_VOLATILE:-0}" = 1 ]; then volatile=,volatile flag=(--volatile); fi
    case $1 in
        native) root=$native ;;
        overlayfs) mount -t overlay overlay -o "redirect_dir=on$volatile,lowerdir=$lower,upperdir=$u,workdir=$w" "$mnt" ;;
        fuse-overlayfs) fuse-overlayfs -o "lowerdir=$lower,upperdir=$u,workdir=$w${volatile:+$volatile}" "$mnt" ;;
        unionfs-fuse) unionfs -o cow,allow_other,use_ino "$u=RW:$lower=RO" "$mnt" ;;
        antares-fuse) "$antares" mount "$lower" "$mnt" --upper "$u" --work "$w" --engine fuse "${flag[@]}" > /dev/null ;;
        antares-dir) "$antares" mount "dir:$lower" "$mnt" --upper "$u" --work "$w" --engine fuse --workspace-root "$scratch" "${flag[@]}" > /dev/null ;;
        antares-kernel) "$antares" mount "dir:$lower" "$mnt" --upper "$u" --work "$w" --engine kernel --workspace-root "$scratch" "${flag[@]}" > /dev/null ;;
    esac
}

unmount_target() {
    mountpoint -q "$mnt" || return 0
    umount "$mnt" 2> /dev/null || { sleep 1; umount "$mnt"; }
    # The server of a FUSE mount ends a moment after it; what it still writes belongs to its own target.
    local i
    for i in $(seq 100); do [ -n "$(server_of_mount)" ] || return 0; sleep 0.05; done
    echo "bench: a server of $mnt does not end" >&2
    return 1
}

# Pids that serve $mnt, found by their command lines.
server_of_mount() {
    local p
    for p in /proc/[0-9]*; do
        case "$(readlink "$p/exe" 2> /dev/null)" in
            */fuse-overlayfs | */unionfs | "$antares") ! tr '\0' '\n' < "$p/cmdline" 2> /dev/null | grep -qxF -- "$mnt" || echo "${p#/proc/}" ;;
        esac
    done
}
