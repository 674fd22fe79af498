#!/usr/bin/env bash
# report.sh RESULTS FOLDER: makes FOLDER/bench.json (every figure and the medians), bench.txt (the table) and bench.svg (ratios to kernel overlayfs,
# on a logarithmic scale) of the lines "workload, place, value, unit" in RESULTS. Prints the table.
set -euo pipefail
results=$(realpath "${1:?usage: report.sh RESULTS FOLDER}") folder=${2:?usage: report.sh RESULTS FOLDER}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"
jq -Rn '
    def median: sort | if length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
    [inputs | split("\t") | {workload: .[0], place: .[1], value: (.[2] | tonumber), unit: .[3]}] as $all
    | ($all | map(.workload) | reduce .[] as $w ([]; if index($w) then . else . + [$w] end)) as $workloads
    | ($all | map(.place) | reduce .[] as $p ([]; if index($p) then . else . + [$p] end)) as $places
    | {places: $places, workloads: [$workloads[] as $w | ($all | map(select(.workload == $w))) as $rows | {name: $w, unit: $rows[0].unit, results: [
        $places[] as $p | ($rows | map(select(.place == $p) | .value)) as $values | select($values | length > 0)
        | {place: $p, median: ($values | median), least: ($values | min), most: ($values | max), noisy: (($values | max) - ($values | min) > ($values | median) / 4), values: $values}]}
      | (.results | map(select(.place == "native")) | .[0].median) as $native | (.results | map(select(.place == "overlayfs")) | .[0].median) as $overlayfs
      | .results |= map(. + {to_native: (if $native then .median / $native else null end), to_overlayfs: (if $overlayfs then .median / $overlayfs else null end)})]}
' "$results" > "$folder/bench.json"
jq -r '
    def shown($unit): if $unit == "KiB" then "\(. / 1024 * 10 | round / 10) MiB" elif . >= 1e6 then "\(. / 1e4 | round / 100) s" else "\(. / 10 | round / 100) ms" end;
    def ratio: if . == null then "" else " ×\(. * 100 | round / 100)" end;
    (["", .places[]]),
    (. as $all | .workloads[] | . as $w | [.name, ($all.places[] as $p | ($w.results | map(select(.place == $p)) | .[0]) as $r
        | if $r == null then "–" else ($r.median | shown($w.unit)) + (if $w.unit == "us" then ($r.to_overlayfs | ratio) else "" end) + (if $r.noisy then " ~" else "" end) end)])
    | @tsv' "$folder/bench.json" | awk -F '\t' '{ for (i = 1; i <= NF; i++) { pad = (i == 1 ? 22 : 24) - length($i); line = $i; while (pad-- > 0) line = line " "; printf "%s ", line } print "" }' > "$folder/bench.txt"
cat >> "$folder/bench.txt" << 'END'
Medians; × is the ratio to kernel overlayfs; ~ marks figures whose rounds lie further apart than a quarter of the median.
END
jq -r '.places as $places | .workloads[] | select(.unit == "us") | .name as $n | .results[] | select(.to_overlayfs != null) | [$n, .place, .to_overlayfs] | @tsv' "$folder/bench.json" \
    | awk -F '\t' -f "$here/plot.awk" > "$folder/bench.svg"
cat "$folder/bench.txt"
