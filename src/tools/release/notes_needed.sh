#!/bin/sh
# notes_needed.sh BASE: commits since BASE that change src/ without a line in CHANGELOG.md, and say no reason in a
# trailer "No-Notes: ...". Exit status 3 when there is one.
set -eu
cd "$(dirname "$0")/../../.."
[ $# = 1 ] || { echo "usage: notes_needed.sh BASE" >&2; exit 2; }
bad=0
for commit in $(git rev-list --no-merges "$1..HEAD"); do
    git diff-tree --no-commit-id -r --name-only "$commit" | awk '
        /^src\/tools\// { next } /^src\// { code = 1 } $0 == "CHANGELOG.md" { note = 1 } END { exit !(code && !note) }' || continue
    git log -1 --format=%B "$commit" | grep -qE '^No-Notes: .{5}' && continue
    bad=1
    echo "missing: $(git log -1 --format='%h %s' "$commit"): changes src/ and says nothing in CHANGELOG.md (or No-Notes: why)"
done
[ "$bad" = 0 ] || exit 3
