#!/bin/sh
# support.sh ROWS tsv|md: which minor lines are maintained, out of the rows of docs/releases.tsv: the last two with a
# stable release (fixes and security), older ones end on the day when the second next came.
set -eu
export LC_ALL=C
awk -F '\t' '$1 == "release" && $2 ~ /^v[0-9]+\.[0-9]+\.[0-9]+$/ {
        split(substr($2, 2), p, "."); line = p[1] "." p[2]
        printf "%06d.%06d %s %s %d\n", p[1], p[2], line, substr($6, 1, 10), p[3] }' "$1" |
    sort -r | awk -v form="$2" '
        !($2 in seen) { order[++n] = $2; seen[$2] = 1; first[$2] = $3; newest[$2] = $4 }
        { if ($3 < first[$2]) first[$2] = $3; if ($4 > newest[$2]) newest[$2] = $4 }
        END {
            if (form == "tsv") print "# minor\tstatus\tsince\tuntil\tnewest"
            else {
                print "# Support\n\nMade by `./release.sh support` out of [releases.tsv](releases.tsv); do not edit.\n"
                print "The last two minor lines with a stable release are maintained: fixes and security patches are brought over to their"
                print "branches `release-X.Y.x` and come out as patch releases, a security patch within seven days. A stable major (1.0 and"
                print "later) keeps its last minor line maintained for twelve months after the next major. Pre-releases and versions below"
                print "1.0 are maintained as well as we can.\n"
                print "| line | status | since | until | newest |\n|---|---|---|---|---|"
            }
            for (i = 1; i <= n; i++) {
                line = order[i]
                status = i == 1 ? "current" : i == 2 ? "fixes only" : "ended"
                until = i > 2 ? first[order[i - 2]] : "-"
                if (form == "tsv") printf "%s\t%s\t%s\t%s\t%s.%s\n", line, status, first[line], until, line, newest[line]
                else printf "| %s | %s | %s | %s | %s.%s |\n", line, status, first[line], until, line, newest[line]
            }
            if (form != "tsv" && n == 0) print "| none yet | - | - | - | - |"
        }'
