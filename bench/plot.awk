# Lines "workload, place, ratio" to an SVG: one row for each workload, one mark for each place, the ratio on a logarithmic scale.
function colour(p) { return p ~ /^antares-kernel/ ? "#0b6e4f" : p ~ /^antares-dir/ ? "#1f8fff" : p ~ /^antares/ ? "#7a5cff" : p == "native" ? "#888888" : p == "overlayfs" ? "#222222" : p == "fuse-overlayfs" ? "#d1495b" : "#e8a33d" }
function x(r) { r = r < least ? least : r > most ? most : r; return left + (log(r) - log(least)) / (log(most) - log(least)) * width }
BEGIN { least = 0.1; most = 32; left = 190; width = 620; row = 24; top = 64 }
{
    if (!($1 in at)) { at[$1] = ++rows; names[rows] = $1 }
    if (!($2 in seen)) { seen[$2] = 1; places[++count] = $2 }
    ratio[$1, $2] = $3
}
END {
    height = top + rows * row + 40
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n", left + width + 40, height
    printf "<text x=\"%d\" y=\"20\" font-size=\"14\">Time as a ratio to kernel overlayfs (left is faster)</text>\n", left
    for (i = 1; i <= count; i++) {
        printf "<circle cx=\"%d\" cy=\"38\" r=\"5\" fill=\"%s\"/><text x=\"%d\" y=\"42\">%s</text>\n", 20 + (i - 1) * 118, colour(places[i]), 29 + (i - 1) * 118, places[i]
    }
    split("0.1 0.25 0.5 1 2 4 8 16 32", marks, " ")
    for (i = 1; i in marks; i++) {
        printf "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"%s\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\" fill=\"#666\">%s</text>\n", x(marks[i]), x(marks[i]), top - 8, top + rows * row, marks[i] == 1 ? "#222" : "#ddd", x(marks[i]), top + rows * row + 18, marks[i]
    }
    for (r = 1; r <= rows; r++) {
        y = top + (r - 0.5) * row
        printf "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#f0f0f0\"/>\n", left - 10, y + 4, names[r], left, left + width, y, y
        for (i = 1; i <= count; i++) if ((names[r], places[i]) in ratio) printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"%s\" fill-opacity=\"0.8\"><title>%s, %s: %.2f</title></circle>\n", x(ratio[names[r], places[i]]), y, colour(places[i]), names[r], places[i], ratio[names[r], places[i]]
    }
    print "</svg>"
}
