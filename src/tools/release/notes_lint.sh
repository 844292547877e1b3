#!/bin/sh
# notes_lint.sh FILE...: release notes have every head of the template, and no head is empty. Exit status 3 otherwise.
set -eu
bad=0
for notes in "$@"; do
    awk -v file="$notes" '
        NR == 1 && !/^# ./ { print file ": the first line is no title"; bad = 1 }
        /^##+ / { if (head != "" && !said && !(head == "## Breaking" && /^###/)) { print file ": nothing under " head; bad = 1 }
                  head = $0; seen[$0] = 1; said = 0; next }
        NF { said = 1 }
        END {
            if (head != "" && !said) { print file ": nothing under " head; bad = 1 }
            n = split("## What is new|## Features|## Documentation|## Technical improvements|## Ready for production|## Breaking|" \
                      "### Hard|### Deprecated|### Behaviour|## Upgrade|## Known issues|## Checksums|## Record", want, "|")
            for (i = 1; i <= n; i++) if (!(want[i] in seen)) { print file ": no head " want[i]; bad = 1 }
            exit bad }' "$notes" || bad=1
done
[ "$bad" = 0 ] || exit 3
