# Lines "other, workload, place, ratio to other" to an SVG: a row for each workload, a panel for each of the others, a mark for each place, the ratio on a
# logarithmic scale.
function colour(p) { return p == "antares-kernel-folder" ? "#6fbf73" : p == "antares-kernel-image" ? "#8a9a5b" : p ~ /^antares-kernel/ ? "#0b6e4f" : p == "antares-image" ? "#b07aa1" : p == "antares-dir" ? "#1f8fff" : p == "antares-writeback" ? "#00b5d8" : p ~ /^antares/ ? "#7a5cff" : p == "native" ? "#999999" : p == "overlayfs" ? "#222222" : p == "fuse-overlayfs" ? "#d1495b" : "#e8a33d" }
function x(panel, r) { r = r < least ? least : r > most ? most : r; return left + (panel - 1) * (width + gap) + (log(r) - log(least)) / (log(most) - log(least)) * width }
BEGIN { least = 0.05; most = 32; left = 170; width = 330; gap = 36; row = 22; top = 92 }
{
    if (!($1 in panel)) { panel[$1] = ++panels; title[panels] = $1 }
    if (!($2 in at)) { at[$2] = ++rows; names[rows] = $2 }
    if (!($3 in seen)) { seen[$3] = 1; places[++count] = $3 }
    ratio[$1, $2, $3] = $4
}
END {
    height = top + rows * row + 40
    all = left + panels * (width + gap) + 10
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n", all, height, all, height
    at_x = 20
    at_y = 16
    for (i = 1; i <= count; i++) {
        wide = 30 + 7 * length(places[i])
        if (at_x + wide > all && at_x > 20) { at_x = 20; at_y += 18 }
        printf "<circle cx=\"%d\" cy=\"%d\" r=\"5\" fill=\"%s\"/><text x=\"%d\" y=\"%d\">%s</text>\n", at_x, at_y, colour(places[i]), at_x + 9, at_y + 4, places[i]
        at_x += wide
    }
    for (r = 1; r <= rows; r++) printf "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", left - 10, top + (r - 0.5) * row + 4, names[r]
    split("0.1 0.25 0.5 1 2 4 8 16 32", marks, " ")
    for (p = 1; p <= panels; p++) {
        printf "<text x=\"%.1f\" y=\"60\" font-size=\"14\">Time as a ratio to %s (left is faster)</text>\n", x(p, least), title[p]
        for (i = 1; i in marks; i++)
            printf "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"%s\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\" fill=\"#666\">%s</text>\n", x(p, marks[i]), x(p, marks[i]), top - 8, top + rows * row, marks[i] == 1 ? "#222" : "#ddd", x(p, marks[i]), top - 14, marks[i]
        for (r = 1; r <= rows; r++) {
            y = top + (r - 0.5) * row
            printf "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#f0f0f0\"/>\n", x(p, least), x(p, most), y, y
            for (i = 1; i <= count; i++) if ((title[p], names[r], places[i]) in ratio) printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\" fill=\"%s\" fill-opacity=\"0.8\"><title>%s, %s: %.2f of %s</title></circle>\n", x(p, ratio[title[p], names[r], places[i]]), y, colour(places[i]), names[r], places[i], ratio[title[p], names[r], places[i]], title[p]
        }
    }
    print "</svg>"
}
