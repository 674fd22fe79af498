# shellcheck shell=bash disable=SC2034,SC2154 # one script in several files
# Sourced by run.sh: what the lower is made of, once for all rounds.

# make_lower [TREE]: a copy of TREE, else of the sources of linux-source-*, else 80,000 files made for it, as lower/tree with its git repository; and
# what the other workloads want.
make_lower() {
    local package d
    if [ -n "${1:-}" ]; then
        tree_name=$1
        cp -a "$1" "$lower/tree"
    elif package=$(find /usr/src -maxdepth 1 -name 'linux-source-*.tar.*' | sort -V | tail -1) && [ -n "$package" ]; then
        tree_name=$package
        mkdir "$lower/tree"
        tar -C "$lower/tree" --strip-components=1 -xf "$package"
    else
        tree_name="80,000 files made for it"
        note "no tree was named and no linux-source is installed: 80,000 files of 100 bytes stand for one"
        for d in $(seq 800); do
            mkdir -p "$lower/tree/d$((d % 40))/e$d"
            "$scratch/files" create "$lower/tree/d$((d % 40))/e$d" 100
        done
    fi
    rm -rf "$lower/tree/.git"
    # Folders of about a sixth of the tree: what is unpacked, searched and removed.
    if [ -d "$lower/tree/include" ] && [ -d "$lower/tree/fs" ]; then some_folders=(fs kernel include)
    else mapfile -t some_folders < <(cd "$lower/tree" && find . -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort | awk 'NR % 6 == 1'); fi
    [ ${#some_folders[@]} -gt 0 ] || { echo "bench: $tree_name has no folders to unpack and to search" >&2; exit 2; }
    tar -C "$lower/tree" -cf "$scratch/part.tar" "${some_folders[@]}"
    # What the clients look at: 20,000 files of at most 64 KiB that lie together.
    (cd "$lower" && find tree -type f -size -64k | sort | awk 'NR <= 20000') > "$scratch/small-files"
    git -C "$lower/tree" init -q
    git -C "$lower/tree" add -A --force . > /dev/null 2>&1
    git -C "$lower/tree" -c user.name=bench -c user.email=bench@localhost -c gc.auto=0 commit -qm all > "$scratch/output" || { cat "$scratch/output" >&2; exit 1; }
    # One pack, as a clone has it, instead of a file for each object; without deltas, which take minutes.
    git -C "$lower/tree" -c pack.compression=1 repack -adq --window=0
    git -C "$lower/tree" prune-packed -q
    # The index fits every place: where inode numbers are others git would read the whole tree once more.
    git -C "$lower/tree" config core.checkStat minimal
    git -C "$lower/tree" config core.trustctime false
    nodes=$(find "$lower/tree" | wc -l)
    name_bytes=$(find "$lower/tree" -printf '%f\n' | awk '{ sum += length($0) } END { printf "%.1f", sum / NR }')
    head -c 1073741824 /dev/urandom > "$lower/big"
}

# new_project FOLDER UNITS: a C project of so many files.
new_project() {
    local i f
    mkdir "$1"
    for i in $(seq "$2"); do
        { echo '#include <stdio.h>'; echo '#include <stdlib.h>'; for f in $(seq 40); do echo "int unit${i}_$f(int a) { int s = 0; for (int i = 0; i < a; i++) s += i * $f; return s; }"; done; } > "$1/unit$i.c"
    done
    # shellcheck disable=SC2016 # make's variables
    { echo 'all: program'; echo "program: $(seq -f unit%g.o -s ' ' "$2") main.o"; printf '\tcc -o $@ $^\n'; printf '%%.o: %%.c\n\tcc -O1 -c -o $@ $<\n'; } > "$1/Makefile"
    echo 'int main(void) { return 0; }' > "$1/main.c"
}

make_jobs() {
    local i k
    for k in 1 2 3 4; do mkdir "$lower/many$k" && (cd "$lower/many$k" && for i in $(seq 2000); do echo "line $i" > "f$i"; done); done
    new_project "$lower/project" 60
    new_project "$scratch/warm-project" 2
    mkdir "$lower/npm"
    echo '{"name":"job","version":"1.0.0"}' > "$lower/npm/package.json"
    if command -v npm > /dev/null; then
        mkdir -p "$scratch/package/lib"
        echo '{"name":"package","version":"1.0.0"}' > "$scratch/package/package.json"
        for i in $(seq 4000); do [ "$i" -gt 200 ] || mkdir "$scratch/package/lib/d$((i % 200))"; echo "module.exports = $i;" > "$scratch/package/lib/d$((i % 200))/m$i.js"; done
        tar -C "$scratch" -czf "$scratch/package.tgz" package
        rm -rf "$scratch/package"
    fi
    { echo 'PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);'
      for i in $(seq 20000); do echo "INSERT INTO t(b) VALUES('some text of a row $i');"; done; } > "$scratch/inserts.sql"
}

# What the write group changes of the lower, as a plain folder. The 1 GiB is only read there: cp takes it from the lower.
fresh_native() {
    rm -rf "$native" && mkdir -p "$native/tree" && (cd "$lower/tree" && cp -a "${some_folders[@]}" "$native/tree/") \
        && cp -a "$lower"/many? "$lower/project" "$lower/npm" "$native/"
}

# What the write group reads, programs and packages and what it changes of the lower, so that no place pays for caches that another one dropped, and
# the disk is as warm for a mount as for the plain folder, which has just been copied. A new mount's own caches are empty: they are its own affair.
warm_tools() {
    local f
    cat "$scratch/part.tar" > /dev/null || return 1
    warm_image || return 1
    if any append-2000-unread append-2000-lower; then cat "$lower"/many?/* > /dev/null || return 1; fi
    if any make-j2; then make -B -j2 -C "$scratch/warm-project" && cat "$lower"/project/* > /dev/null || return 1; fi
    if any npm-install; then
        rm -rf "$scratch/warm-npm" && mkdir "$scratch/warm-npm" && cp "$lower/npm/package.json" "$scratch/warm-npm/" || return 1
        # Without a store of its own npm may refuse; what it is made of is warm then.
        (cd "$scratch/warm-npm" && npm install --dry-run --offline --no-audit --no-fund --loglevel=error "$scratch/package.tgz") || true
    fi
    if any remove-lower; then for f in "${some_folders[@]}"; do find "$lower/tree/$f" -printf '%s\n' > /dev/null || return 1; done; fi
    echo 'SELECT 1;' | sqlite3 > /dev/null
}
