#!/bin/sh
# docs_check.sh [release]: the pages that a release stands on are there and say what the tree says; before a release there is
# also something to say of it. Exit status 3 otherwise.
set -eu
cd "$(dirname "$0")/../../.."
bad=0
no() { bad=1; echo "missing: $*"; }
head -n 5 docs/VERSIONING.md | grep -qF "Checked against VERSION $(head -n 1 VERSION)." ||
    no "docs/VERSIONING.md: its first lines do not say 'Checked against VERSION $(head -n 1 VERSION).'"
sh src/tools/release/support.sh docs/releases.tsv md | cmp -s - docs/SUPPORT.md || no "docs/SUPPORT.md is not what ./release.sh support makes"
sh src/tools/release/support.sh docs/releases.tsv tsv | cmp -s - docs/SUPPORT.tsv || no "docs/SUPPORT.tsv is not what ./release.sh support makes"
[ "${1:-}" != release ] || awk '/^## / { inside = ($0 == "## Unreleased") } inside && /^- / { n++ } END { exit n == 0 }' CHANGELOG.md ||
    no "CHANGELOG.md: nothing under Unreleased"
for page in README.md docs/RELEASING.md docs/MIGRATION.md docs/GOVERNANCE.md docs/CODEOWNERS; do
    [ -s "$page" ] || no "$page"
done
[ "$bad" = 0 ] || exit 3
echo "ok: pages"
