#!/usr/bin/env bash
# podman with antares-aot as its mount program: containers run, images of several layers are built, committed, saved and loaded, as root and
# as a plain user; every tree must be the one that podman's vfs driver has, which copies whole directories and knows no overlay.
# Needs: podman crun (or runc) uidmap busybox-static. No registry is asked: the image is made of busybox.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[ "$(id -u)" = 0 ] || fail "run it as root; it becomes a plain user for the second half itself"
user=${PODMAN_TEST_UID:-1000}
name=$(getent passwd "$user" | cut -d: -f1) || fail "no user with the id $user: name another in PODMAN_TEST_UID"

# A mount namespace of its own: with a device for everybody, one kind of cgroups, and ids for the user.
if [ "${PODMAN_TEST_INSIDE:-}" != 1 ]; then
    export PODMAN_TEST_INSIDE=1
    exec unshare --mount --propagation private "$0" "$@"
fi
mountpoint -q /sys/fs/cgroup && umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup /sys/fs/cgroup
mknod "$scratch/fuse" c 10 229 && chmod 666 "$scratch/fuse" && mount --bind "$scratch/fuse" /dev/fuse
echo "$name:100000:65536" > "$scratch/subid"
for file in /etc/subuid /etc/subgid; do [ -e $file ] || touch $file; mount --bind "$scratch/subid" $file; done

# podman wants short paths.
folder=$(mktemp -d /tmp/ap.XXXX)
mkdir -p "$folder"/rootfs/{bin,tmp,etc,proc,dev,sys,run,usr,var/lib,data/sub} "$folder"/context/extra/d
cp "$(command -v busybox)" "$folder/rootfs/bin/"
for word in sh ls cat mkdir rm cp mv ln chmod chown touch echo stat find id sha256sum sort seq grep; do ln -s busybox "$folder/rootfs/bin/$word"; done
echo 'root:x:0:0::/:/bin/sh' > "$folder/rootfs/etc/passwd"
for i in 1 2 3; do echo $i | tee "$folder/rootfs/data/f$i" > "$folder/rootfs/data/sub/g$i"; done
tar -C "$folder/rootfs" -cf "$folder/rootfs.tar" .
echo e > "$folder/context/extra/e"; echo d > "$folder/context/extra/d/x"
cat > "$folder/context/Containerfile" <<'E'
FROM localhost/base
RUN mkdir -p /app/a/b && for i in $(seq 1 50); do echo $i > /app/a/b/f$i; done && chown 12:34 /app/a/b/f1 && chmod 4755 /app/a/b/f2 && ln /app/a/b/f3 /app/a/b/hard3 && ln -s f4 /app/a/b/soft4
RUN rm /data/f1 /app/a/b/f10 && rm -rf /data/sub && mkdir /data/sub && echo fresh > /data/sub/n
RUN mv /app/a /app/moved && echo more >> /app/moved/b/f5 && rm -rf /app/moved/b/f2 && mkdir /app/moved/b/f2
COPY extra /extra
RUN rm -rf /extra/d && touch -d '2001-02-03 04:05:06' /extra/e && rm -rf /app/moved/b/f2 && echo again > /data/f1
RUN rm -rf /app/moved/b && mkdir -p /app/moved/b/f7/f8 && mv /data /data2
E
cp "$ANTARES_BIN" "$folder/antares-aot"
chmod 711 "$scratch" && chmod -R a+rX "$folder" && chmod 755 "$folder/antares-aot"

# all DRIVER OPTIONS…: one round with a storage of its own; prints every tree that it comes to.
cat > "$folder/round.sh" <<'E'
set -euo pipefail
home=$1
shift
mkdir -p "$home/r"
export HOME=$home XDG_RUNTIME_DIR=$home/r
cd "$home"
podman() { command podman --root "$home/$store" --runroot "$home/r/$store" --cgroup-manager=cgroupfs --events-backend=file "${driver[@]}" "$@"; }
driver=("$@") store=1 limits=(--ulimit nofile=1024:1024 --ulimit nproc=1024:1024)
run() { podman run --network=none --cgroups=disabled "${limits[@]}" "$@"; }
show='cd /; find bin data* extra tmp usr var work 2>/dev/null ! -type d -exec stat -c "%n %F %a %u %g %s %h" {} + | sort
    find bin data* extra usr var app 2>/dev/null -type d -exec stat -c "%n %a %u %g" {} + | sort
    find data* extra app 2>/dev/null -type f -exec sha256sum {} + | sort; stat -c "%n %Y" extra/e 2>/dev/null || true'
podman import -q ../rootfs.tar base > log
echo "== run"; run --rm base sh -c "rm -rf /data/sub; mkdir /data/sub; echo x > /data/sub/y; chown 5:6 /data/f1; ln /data/f2 /data/h; $show"
echo "== build"; podman build --network=host --isolation=chroot "${limits[@]}" -q --layers -t built ../context > log 2>&1 || { cat log; exit 1; }
run --rm built sh -c "$show"
echo "== commit"; run --name c built sh -c 'rm -rf /bin/seq /data2/sub; mkdir /data2/sub; mv /extra /extra2; echo + >> /app/moved/plus'
podman commit -q c committed > log 2>&1
run --rm committed sh -c "$show; ls /extra2 /bin"
podman diff c | grep -v -e ' /etc' -e ' /run' | sort > diff
echo "== save and load"; podman save -q -o saved.tar committed > log 2>&1
store=2
podman load -q -i saved.tar > log 2>&1
run --rm committed sh -c "$show; ls /extra2 /bin"
podman system reset --force > log 2>&1 || true
store=1
podman rm -fa > log 2>&1; podman rmi -fa > log 2>&1
E
changes=$(printf '%s\n' 'A /app/moved/plus' 'A /extra2' 'A /extra2/e' 'C /app' 'C /app/moved' 'C /bin' 'C /data2' 'C /data2/sub' 'D /bin/seq' 'D /data2/sub/n' 'D /extra')
for who in root user; do
    for driver in vfs antares; do
        home=$folder/${who:0:1}${driver:0:1}
        mkdir -p "$home"
        options=(--storage-driver vfs)
        [ $driver = vfs ] || options=(--storage-driver overlay --storage-opt "overlay.mount_program=$folder/antares-aot")
        as=()
        [ $who = root ] || { chown "$user:$user" "$home"; as=(setpriv "--reuid=$user" "--regid=$user" --clear-groups); }
        env -u ANTARES_STATE_DIR "${as[@]}" bash "$folder/round.sh" "$home" "${options[@]}" > "$folder/$who-$driver.txt" 2> "$folder/$who-$driver.err" ||
            { cat "$folder/$who-$driver.err" "$folder/$who-$driver.txt" | tail -20 >&2; fail "$who, $driver"; }
    done
    cmp -s "$folder/$who-vfs.txt" "$folder/$who-antares.txt" || { diff "$folder/$who-vfs.txt" "$folder/$who-antares.txt" | head -20 >&2; fail "$who: the trees differ"; }
    [ "$(cat "$home/diff")" = "$changes" ] || { cat "$home/diff" >&2; fail "$who: podman diff does not name what was changed"; }
    left=$(grep -c "$folder/${who:0:1}a/" /proc/self/mountinfo || true)
    [ "$left" = 0 ] || echo "$who: $left mounts left"
    echo "$who: $(grep -c . "$folder/$who-antares.txt") lines in $(grep -c '^==' "$folder/$who-antares.txt") trees, the same as with vfs"
done
chmod -R u+rwX "$folder" 2> /dev/null || true
rm -rf "$folder" "$scratch" 2> /dev/null || true
echo "OK podman: run, build, commit, diff, save and load as root and as uid $user"
