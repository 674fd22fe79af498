#!/usr/bin/env bash
# report.sh RESULTS FAILURES MACHINE FOLDER [--strict]: makes FOLDER/bench.json (every figure, the ratios to native, kernel overlayfs and
# fuse-overlayfs, the verdicts by limits.txt), bench.txt (the same as tables) and bench.svg (the ratios on a logarithmic scale) of the lines "workload,
# place, value, unit" in RESULTS and "workload, place, message" in FAILURES; MACHINE is a JSON object about the run, with the places and workloads that
# were asked for. Prints the tables. Exit code 1 with --strict when a limit is exceeded by more than noise or could not be judged, or something failed on a place of ours.
# shellcheck disable=SC2016 # variables of jq
set -euo pipefail
usage="usage: report.sh RESULTS FAILURES MACHINE FOLDER [--strict]"
results=${1:?$usage} failures=${2:?$usage} machine=${3:?$usage} folder=${4:?$usage}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"
jq -n --rawfile results "$results" --rawfile failures "$failures" --rawfile limits "$here/limits.txt" --slurpfile m "$machine" '$m[0] as $machine | '"$(cat "$here/report.jq")" > "$folder/bench.json"

shown='def shown($unit): if $unit == "KiB" then "\(. / 1024 * 10 | round / 10)M" elif $unit == "B" or $unit == "count" then "\(. * 10 | round / 10)"
        elif . >= 1e6 then "\(. / 1e4 | round / 100)s" else "\(. / 10 | round / 100)ms" end;
    def plain: .workloads | map(select((.name | startswith("clients-") or startswith("rss-after:") or startswith("group:")) | not));
    def cell($all; f): . as $w | [$w.name, ($all.places[] as $p | ($w.results | map(select(.place == $p)) | .[0]) as $r
        | if $r != null then ($r | f) elif any($all.failures[]; (.workload == $w.name or .workload == "mount") and .place == $p) then "failed" else "–" end)] | @tsv;
    def ratio: if . == null then "–" else "\(. * 100 | round / 100)" end;'
# table TITLE JQ: head and rows, columns as wide as they must be.
table() {
    jq -r "$shown . as \$all | ([\"\", .places[]] | @tsv), ($2)" "$folder/bench.json" | awk -F '\t' -v title="$1" '
        NR == 1 { columns = NF; for (i = 2; i <= NF; i++) { parts[i] = split($i, p, "-"); for (k = 1; k <= parts[i]; k++) head[i, k] = p[k] (k < parts[i] ? "-" : ""); if (parts[i] > tall) tall = parts[i] } next }
        { rows++; for (i = 1; i <= NF; i++) cell[rows, i] = $i }
        function pad(text, w, left,    n, t) { t = text; gsub(/[\200-\277]/, "", t); n = w - length(t); while (n-- > 0) text = left ? text " " : " " text; return text }
        END {
            if (!rows) exit
            print "\n" title
            for (r = 1; r <= rows; r++) for (i = 1; i <= columns; i++) { t = cell[r, i]; gsub(/[\200-\277]/, "", t); if (length(t) > wide[i]) wide[i] = length(t) }
            for (i = 2; i <= columns; i++) for (k = 1; k <= parts[i]; k++) if (length(head[i, k]) > wide[i]) wide[i] = length(head[i, k])
            for (k = 1; k <= tall; k++) { line = pad("", wide[1], 1); for (i = 2; i <= columns; i++) line = line "  " pad(head[i, k], wide[i]); print line }
            for (r = 1; r <= rows; r++) { line = pad(cell[r, 1], wide[1], 1); for (i = 2; i <= columns; i++) line = line "  " pad(cell[r, i], wide[i]); print line }
        }'
}
export LC_ALL=C
{
    jq -r '.machine | "\(.version // "antares-aot") on \(.processors) processors (\(.cpu)), kernel \(.kernel), \(.memory_kib / 1048576 | round) GiB, scratch on \(.file_system)",
        "\(.rounds // 1) rounds over \(.names // 0) names of \(.tree // "no tree")\(if .volatile then ", volatile mounts" else "" end), in \((.seconds // 0) / 60 | round) minutes",
        (if .call_ns == null then empty else "A system call takes \(.call_ns) ns, a round trip between two processes \(.round_trip_ns / 1000 | round) µs: what each request over FUSE pays and kernel overlayfs does not." end),
        (if .file_system | IN("ext4", "xfs", "btrfs") then empty else "The scratch folder lay on \(.file_system), which is no local disk: these figures tell nothing of one." end),
        ({ partly: "The guest gave large blocks of free memory back to its host while it ran, which makes figures wander.",
           no: "The guest gave free memory back to its host while it ran, which makes figures wander." }[.memory_held // ""] // empty),
        (.left_out[] | "Left out: \(.what), \(.why)")' "$folder/bench.json"
    jq -r 'if any(.workloads[]; .name | startswith("copy-up-1GiB")) then "copy-up-1GiB is the first write to a file of the lower and, on the plain folder, cp"
        + (if .machine.volatile then "; neither is synced" else ", on either side until the copy is on the disk" end) else empty end,
        if any(.workloads[]; .name | endswith("-unread")) then "-unread: to files that were never read through the mount; without it each was read once before" else empty end' "$folder/bench.json"
    table "Medians; ~ marks figures whose samples lie further apart than a quarter of the median." 'plain[] | .unit as $u | cell($all; (.median | shown($u)) + (if .noisy then "~" else "" end))'
    table "Least of the samples" 'plain[] | .unit as $u | cell($all; .least | shown($u))'
    table "Most of the samples" 'plain[] | .unit as $u | cell($all; .most | shown($u))'
    table "Number of samples" 'plain[] | cell($all; .samples | tostring)'
    for other in native overlayfs fuse-overlayfs; do
        table "Times as a ratio to $other (of the medians)" "plain[] | select(.unit == \"us\" and any(.results[]; .to[\"$other\"])) | cell(\$all; (.to[\"$other\"] | ratio) + (if .noisy then \"~\" else \"\" end))"
    done
    table "Clients: time of the same work as a ratio to that of one client" '.workloads[] | select(.name | startswith("clients-")) | .unit as $u
        | cell($all; (if .to_one_client == null or .to_one_client == 1 then (.median | shown($u)) else (.to_one_client | ratio) end) + (if .noisy then "~" else "" end))'
    table "Memory of the server after each, MiB (RssAnon + RssShmem)" '.workloads[] | select(.name | startswith("rss-after:")) | .name |= ltrimstr("rss-after:") | cell($all; .median / 1024 * 10 | round / 10)'
    table "Seconds that each part of a round took, untimed work included" '.workloads[] | select(.name | startswith("group:")) | .name |= ltrimstr("group:") | cell($all; .median | tostring)'
    jq -r 'if (.failures | length) > 0 then "\nFailed", (.failures | group_by([.place, .message])[]
        | (group_by(.workload) | map(length) | max) as $often | "  \(map(.workload) | unique | join(", ")) on \(.[0].place)\(if $often > 1 then ", \($often) times" else "" end): \(.[0].message)") else empty end' "$folder/bench.json"
    echo
    echo "Limits (bench/limits.txt); in brackets the ratio of the least samples, which noise touches less. Undecided: above the limit by the medians, but the"
    echo "samples of both sides overlap so much that noise may have made it so (rank-sum test of each limit by itself, one time in twenty, were all samples"
    echo "independent). What holds does so by the medians."
    jq -r 'def r: . * 1000 | round / 1000; .verdicts[] | "\({ holds: "holds", undecided: "undecided", exceeds: "EXCEEDS", "not judged": "not judged" }[.verdict])\t\(.workload)\t\(.place)\tagainst \(.against)\t\(
        if .measured == null then "–" else "\(.measured | r)\(if .of_least then " [\(.of_least | r)]" else "" end)\(if .noisy then " ~" else "" end)" end)\tlimit \(.limit)\(
        if .limit == "64+NAME" and .bound then " = \(.bound)" else "" end)\(if .not_judged then "; \(.not_judged)" else "" end)"' "$folder/bench.json" \
        | awk -F '\t' '{ gsub(/–/, "-", $5); printf "  %-10s  %-25s %-22s %-24s %-20s %s\n", $1, $2, $3, $4, $5, $6 }'
    jq -r 'def count(f): map(select(f)) | length; .verdicts as $v | "\($v | count(.verdict == "holds")) of \($v | length) limits hold, \($v | count(.verdict == "undecided")) are undecided, \($v | count(.verdict == "exceeds")) are exceeded (\(
        $v | count(.verdict == "exceeds" and .noisy)) of them by noisy figures), \($v | count(.verdict == "not judged")) not judged; \(.failures | length) failures"' "$folder/bench.json"
    jq -r 'def r: . * 100 | round / 100; if .summary == [] then empty else "\nWhich settings hold what (~ by a noisy figure)", (.summary[] | .line as $line
        | "  \($line)",
          (if .judged | not then "      not judged" else
          (if .held_by != [] then "      held by \(.held_by | join(", "))" else "      held by no setting as a whole\(
              if .held_by_none + .judged_on_none + .undecided_on_all == [] then ", but each workload by one" else "" end)\(
              if .undecided_on_all != [] then "; undecided at best: \(.undecided_on_all | join(", "))" else "" end)\(
              if .held_by_none != [] then "; by none: \(.held_by_none | join(", "))" else "" end)\(
              if .judged_on_none != [] then "; judged on none: \(.judged_on_none | join(", "))" else "" end)" end),
          (select(.held_but_for_noise != []) | "      held but for noise by \(.held_but_for_noise | join(", "))"),
          (.settings[] | select(.undecided != []) | "      undecided on \(.place): \(.undecided | map("\(.workload) \(.measured | r)") | join(", "))"),
          (.settings[] | select(.exceed != []) | "      not by \(.place), \(.hold) of \(.limits): \(.exceed | map("\(.workload) \(.measured | r)\(if .noisy then "~" else "" end)") | join(", "))"),
          (.settings[] | select(.not_judged != []) | "      not judged on \(.place)\(if .hold + (.exceed | length) + (.undecided | length) > 0 then ": \(.not_judged | join(", "))" else "" end)") end)) end' "$folder/bench.json"
} > "$folder/bench.txt"
jq -r '.workloads[] | select(.unit == "us" and ((.name | startswith("clients-")) | not)) | .name as $n | .results[] | .place as $p
    | .to | to_entries[] | select(.key != $p) | [.key, $n, $p, .value] | @tsv' "$folder/bench.json" | awk -F '\t' -f "$here/plot.awk" > "$folder/bench.svg"
cat "$folder/bench.txt"
[ "${5:-}" != --strict ] || jq -e '(.verdicts | all(.verdict == "holds" or .verdict == "undecided")) and ([.failures[] | select(.place | startswith("antares"))] | length == 0)' "$folder/bench.json" > /dev/null
