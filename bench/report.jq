# All figures of a run, from lines "workload, place, value, unit": what each place needed, how it compares, and what of the limits holds.
def median: sort | if length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def in_order: reduce .[] as $x ([]; if index([$x]) then . else . + [$x] end);
def matches($globs): . as $name | any($globs | split(",")[]; . as $g | $name | test("^" + ($g | gsub("\\*"; ".*")) + "$"));
def known_order: ["native", "overlayfs", "fuse-overlayfs", "unionfs-fuse", "antares-fuse", "antares-writeback", "antares-dir", "antares-kernel", "antares-kernel-folder", "antares-kernel-image", "antares-image"];
def lines($text): $text | split("\n") | map(select(length > 0));
# How sure it is that the times $ours are more than $bound times the times $others: the rank-sum test (Mann and Whitney), one-sided, by its normal
# approximation, in standard deviations.
def sureness($ours; $others; $bound): ($ours | length) as $n | ($others | length) as $m
    | ([$ours[] as $a | $others[] as $b | if $a > $bound * $b then 1 elif $a == $bound * $b then 0.5 else 0 end] | add) as $above
    | ($above - $n * $m / 2) / (($n * $m * ($n + $m + 1) / 12) | sqrt);
# One time in twenty it is said of what only the noise made so.
def sure: 1.645;
# What is beside the workloads: the server's memory after each, and how long the parts of the run took.
def aside: startswith("rss-after:") or startswith("group:");

(lines($results) | map(split("\t") | {workload: .[0], place: .[1], value: (.[2] | tonumber), unit: .[3]})) as $all
| (lines($failures) | map(split("\t") | {workload: .[0], place: .[1], message: .[2]})) as $failed
| (($all + $failed) | map(.place)) as $seen
| ((known_order | map(select(. as $p | $seen | index([$p])))) + ($seen | in_order | map(select(. as $p | known_order | index([$p]) | not)))) as $places
| ($all | map(.workload) | unique) as $names
# The order in which a round comes to them.
| ($all | map(.workload) | in_order | . as $given | sort_by(. as $w
    | if startswith("clients-") then [4, (sub("-[0-9]+$"; "") | . as $kind | $given | map(sub("-[0-9]+$"; "")) | index($kind)), ($w | sub(".*-"; "") | tonumber)]
      elif aside then [5] elif startswith("memory") or startswith("bytes") then [3] else [1] end + [$given | index($w)])) as $workloads
| ($all | group_by(.workload) | map({key: .[0].workload, value: (. as $rows | {unit: .[0].unit, places: (group_by(.place) | map({key: .[0].place, value: map(.value)}) | from_entries)})}) | from_entries) as $table
| (def middle($w; $p): ($table[$w].places[$p] // null) | if . == null then null else median end; # of one workload on one place
  [$workloads[] as $w | {name: $w, unit: $table[$w].unit, results: [
    $places[] as $p | ($table[$w].places[$p] // null) | select(. != null) as $values
    | {place: $p, least: ($values | min), median: ($values | median), most: ($values | max), samples: ($values | length),
       noisy: (($values | length) > 1 and (($values | max) - ($values | min)) > ($values | median) / 4), values: $values}
    | .to = ([("native", "overlayfs", "fuse-overlayfs") as $other | middle($w; $other) as $m | select($m != null and $m > 0) | {key: $other, value: (.median / $m)}] | from_entries)
    | if $w | test("^clients-.*-[0-9]+$") then middle($w | sub("-[0-9]+$"; "-1"); $p) as $one | .to_one_client = (if $one then .median / $one else null end) else . end]}]) as $rows
| ($rows | map({key: .name, value: (.results | map({key: .place, value: .}) | from_entries)}) | from_entries) as $at
# Each limit under its line of what is to be reached.
| (reduce lines($limits)[] as $text ({line: "", all: []};
    if $text | startswith("#") then . elif $text | startswith("= ") then .line = $text[2:]
    else .line as $line | .all += [$text | gsub("\\s+"; " ") | split(" ") | {line: $line, workloads: .[0], places: .[1], against: .[2], most: .[3]}] end) | .all) as $limits_list
# Each limit for each workload and place that was asked for, had it figures or not.
| [$limits_list[] as $limit | $machine.workloads_wanted[] | select(matches($limit.workloads)) as $w | $machine.places_wanted[] | select(matches($limit.places)) as $p
    | ($at[$w][$p] // null) as $r
    | (if $limit.against == "one-client" then ($w | sub("-[0-9]+$"; "-1")) else $w end) as $other_w
    | (if $limit.against == "one-client" then $p else $limit.against end) as $other_p
    | (if $limit.against == "fixed" then null else ($at[$other_w][$other_p] // null) end) as $other
    | {line: $limit.line, workload: $w, place: $p, against: $limit.against, limit: $limit.most, noisy: (($r.noisy // false) or ($other.noisy // false)),
       not_judged: (if $r == null then "no figure of \($p)"
           elif $limit.against == "fixed" then null
           elif $other == null then (if $limit.against == "one-client" then "no figure of one client" else "no figure of \($other_p)" end)
           elif $r.samples < 5 then "\($r.samples) of 5 samples of \($p)"
           elif $other.samples < 5 then "\($other.samples) of 5 samples of \($other_p)"
           else null end)}
    | if $r == null or ($limit.against != "fixed" and $other == null) then .
      elif $limit.against == "fixed" then
        .measured = (if ($table[$w].unit) == "KiB" then $r.median / 1024 else $r.median end)
        | .bound = (if $limit.most == "64+NAME" then 64 + ($machine.name_bytes // 0) else ($limit.most | sub("MiB$"; "") | tonumber) end)
        | .within = (.measured <= .bound)
      elif $limit.most | startswith("+") then
        .measured = ($r.median - $other.median) / 1000 | .bound = ($limit.most[1:] | sub("ms$"; "") | tonumber) | .within = (.measured <= .bound)
        | .bound as $bound | .sureness = sureness($r.values; [$other.values[] | . + $bound * 1000]; 1)
      else
        .measured = $r.median / $other.median | .of_least = (if $other.least > 0 then $r.least / $other.least else null end)
        | .bound = ($limit.most | ltrimstr("<") | rtrimstr("x") | tonumber) | .within = (if $limit.most | startswith("<") then .measured < .bound else .measured <= .bound end)
        | .sureness = sureness($r.values; $other.values; .bound) end
    | .verdict = (if .not_judged then "not judged" elif .within then "holds" elif .sureness and .sureness < sure then "undecided" else "exceeds" end) | del(.within)] as $verdicts
# Which settings hold each line. Where none holds all of it, every workload may still be held by one.
| [$verdicts | map(.line) | in_order[] as $line | ($verdicts | map(select(.line == $line))) as $here
    | {line: $line, settings: [$here | map(.place) | in_order[] as $p | ($here | map(select(.place == $p))) as $of
        | {place: $p, limits: ($of | length), hold: ($of | map(select(.verdict == "holds")) | length),
           undecided: ($of | map(select(.verdict == "undecided") | {workload, against, measured, limit, noisy})),
           exceed: ($of | map(select(.verdict == "exceeds") | {workload, against, measured, limit, noisy})), not_judged: ($of | map(select(.verdict == "not judged") | .workload) | in_order)}]}
    | .held_by = (.settings | map(select(.hold == .limits) | .place))
    | .held_but_for_noise = (.settings | map(select(.hold < .limits and .hold + (.undecided | length) == .limits) | .place))
    | ([$here | group_by([.workload, .against, .limit])[] | select(all(.verdict != "holds"))]) as $open
    | .undecided_on_all = ([$open[] | select(any(.verdict == "undecided")) | .[0].workload] | in_order)
    | .held_by_none = ([$open[] | select(any(.verdict == "exceeds") and all(.verdict != "undecided")) | .[0].workload] | in_order)
    | .judged_on_none = ([$open[] | select(all(.verdict == "not judged")) | .[0].workload] | in_order)
    | .judged = ($here | any(.verdict != "not judged"))] as $summary
| {machine: $machine, places: $places, workloads: $rows, failures: $failed, verdicts: $verdicts, summary: $summary}
