#!/usr/bin/env bash
# workloads.sh [TREE]: what people do in a workspace, inside the mount and on a plain folder at the same path; what comes out is equal by hash:
# npm install, dotnet new and build, git clone of 10,000 files, git worktree, debootstrap, and with TREE (Linux sources) a parallel make.
# A part whose program is not there is a failure; needs the registries that npm, dotnet and apt are configured for.
. "$(dirname "$0")/lib.sh"
export HOME="$scratch/home" GIT_CONFIG_NOSYSTEM=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_GENERATE_ASPNET_CERTIFICATE=false MSBUILDDISABLENODEREUSE=1 LC_ALL=C
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 2026' KBUILD_BUILD_USER=u KBUILD_BUILD_HOST=h KBUILD_BUILD_VERSION=1 DEBIAN_FRONTEND=noninteractive
mkdir -p "$HOME" "$scratch"/{lower,origin,plain}
git config --global user.email a@b && git config --global user.name n && git config --global init.defaultBranch main && git config --global safe.directory '*'
for program in npm dotnet git debootstrap make; do command -v $program > /dev/null || fail "$program is not there"; done
[ $# -eq 0 ] || tree=$(realpath "$1")

# 10,000 files in a repository; the commit is made with fixed dates, so that hashes are the same in each run.
(
    cd "$scratch/origin" && git init -q .
    for d in $(seq 100); do mkdir -p "dir$d" && (cd "dir$d" && for f in $(seq 100); do echo "content $d $f" > "file$f.txt"; done); done
    git add -A && GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' GIT_COMMITTER_DATE='2026-01-01T00:00:00Z' git commit -q -m all
)
# The mount's lower has something of its own: sources that are built in place.
mkdir -p "$scratch/lower/app" "$scratch/lower/npm"
echo '{"name":"w","version":"1.0.0","private":true,"dependencies":{"webpack":"5.90.3","eslint":"8.57.0","typescript":"5.4.5"}}' > "$scratch/lower/npm/package.json"
mirror=$({ sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources; awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) { print $i; exit } }' /etc/apt/sources.list; } 2>/dev/null | head -1 | awk '{ print $1 }' || true)
[ -n "$mirror" ] || fail "apt has no mirror that debootstrap could use"
export scratch mirror

npm_install() { (cd "$1/npm" && npm install --no-audit --no-fund --no-update-notifier --cache "$scratch/npm-cache" && node node_modules/typescript/bin/tsc --version && node -e 'require("webpack"); require("eslint")'); }
dotnet_build() { (mkdir "$1/app/hello" && cd "$1/app/hello" && dotnet new console --force && dotnet build -c Release -p:Deterministic=true -p:ContinuousIntegrationBuild=true && dotnet bin/Release/*/hello.dll | grep -q 'Hello, World!'); }
git_work() {
    (
        cd "$1" && git clone -q "$scratch/origin" clone && cd clone && [ -z "$(git status --porcelain)" ] && [ "$(git ls-files | wc -l)" -eq 10000 ]
        git worktree add -q ../tree2 -b second && cd ../tree2
        for f in dir1/*.txt; do echo more >> "$f"; done
        git mv dir2 renamed && git rm -q -r dir3
        GIT_AUTHOR_DATE='2026-01-02T00:00:00Z' GIT_COMMITTER_DATE='2026-01-02T00:00:00Z' git commit -q -a -m second
        [ -z "$(git status --porcelain)" ] && git rev-parse HEAD > ../head && cd ../clone && git merge -q second && git gc -q && git fsck --full && [ -z "$(git status --porcelain)" ]
    )
}
bootstrap() { debootstrap --variant=minbase "$(. /etc/os-release; echo "${VERSION_CODENAME:-bookworm}")" "$1/root" "$mirror" && chroot "$1/root" dpkg --audit && chroot "$1/root" perl -e 'print "ok\n"'; }
kernel_make() { (cd "$1/linux" && make -s tinyconfig && make -s -j2 lib/ kernel/); }

export -f npm_install dotnet_build git_work bootstrap kernel_make

# What must be equal: files by hash, links by target. Out of it: what holds a time or a random number in each run.
hashes() {
    (
        cd "$1"
        case $2 in
            npm_install) find npm -type f ! -name '.package-lock.json' -print0 | sort -z | xargs -0 sha256sum; find npm -type l -printf '%p %l\n' | sort; find npm -printf '%p %m\n' | sort ;;
            dotnet_build) find app \( -name '*.dll' -o -name '*.pdb' -o -name '*.cs' -o -name '*.csproj' \) -path '*hello*' -type f -print0 | sort -z | xargs -0 sha256sum ;;
            git_work) cat head; find clone tree2 -type f ! -path '*/.git/*' ! -name .git -print0 | sort -z | xargs -0 sha256sum; git -C clone rev-parse 'HEAD^{tree}' ;;
            bootstrap) find root -xdev -type f ! -path 'root/var/log/*' ! -path 'root/var/cache/*' ! -path 'root/var/lib/apt/*' ! -name machine-id ! -path 'root/etc/ld.so.cache' -print0 | sort -z | xargs -0 sha256sum
                find root -xdev -printf '%p %y %m %U:%G %l\n' | sort ;;
            kernel_make) find linux \( -name '*.o' -o -name '*.a' -o -name .config \) -type f -print0 | sort -z | xargs -0 sha256sum ;;
        esac
    )
}
parts="npm_install dotnet_build git_work bootstrap"
if [ -n "${tree:-}" ]; then
    parts="$parts kernel_make"
    cp -a "$tree" "$scratch/lower/linux"
fi
[ -z "${PARTS:-}" ] || parts=$PARTS
cp -a "$scratch/lower/." "$scratch/plain/"
touch "$scratch/mark"
run() {
    local start
    for part in $parts; do
        start=$(now_us)
        # In a shell of its own: -e counts for nothing to the left of ||.
        bash -euo pipefail -c "$part \"\$1\"" - "$mnt" > "$scratch/$1.$part.log" 2>&1 || { tail -20 "$scratch/$1.$part.log" >&2; fail "$part $1"; }
        echo "$part $1: $((($(now_us) - start) / 1000)) ms"
        hashes "$mnt" "$part" > "$scratch/$1.$part"
    done
}
mount --bind "$scratch/plain" "$mnt"
run "on a plain folder"
umount "$mnt"
for source in "dir:$scratch/lower" "$scratch/lower"; do
    mount_source "$source"
    run "in the mount"
    for part in $parts; do
        cmp -s "$scratch/on a plain folder.$part" "$scratch/in the mount.$part" || { diff "$scratch/on a plain folder.$part" "$scratch/in the mount.$part" | head -10 >&2; fail "$part differs: $source"; }
        echo "$part: $(wc -l < "$scratch/in the mount.$part") lines of hashes equal"
    done
    look_at_errors
    unmount
    unchanged_since "$scratch/mark" "$scratch/lower"
    "$ANTARES_BIN" mount --engine "$engine" "$source" "$mnt" --upper "$upper" --work "$work"
    for part in $parts; do hashes "$mnt" "$part" | cmp -s - "$scratch/in the mount.$part" || fail "$part differs after a remount: $source"; done
    unmount
done
echo "OK workloads"
