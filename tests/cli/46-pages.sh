#!/bin/sh
# Pages do what they say: their console blocks are run; every code of ERR_TABLE has advice; every page is in the index.
# shellcheck disable=SC2016
. tests/tap.sh
export T
if ! command -v jq > /dev/null || ! command -v curl > /dev/null; then echo "ok pages/run # SKIP no jq or no curl"; exit 0; fi
python3 tests/cli/pages.py "$MLXK" docs/QUICKSTART.md docs/CLUSTER.md docs/AIRGAP.md docs/JSON.md docs/HTTP.md
# The runner sees another output, and a page without a block.
printf '```console\n$ mlxk list --json | head -n 1\n[\n```\n' > "$T/wrong.md"
run python3 tests/cli/pages.py "$MLXK" "$T/wrong.md"; exits 1 pages/another_output_is_seen
: > "$T/empty.md"; run python3 tests/cli/pages.py "$MLXK" "$T/empty.md"; exits 1 pages/a_page_without_blocks_is_seen
# Every type of error has its row, and no row is of a type that there is not.
sed -n 's/^| [A-Z_]* | [0-9]* | [0-9]* | [a-z]* | `\([A-Za-z_]*\)` .*/\1/p' docs/ERRORS.md | grep -vx ok | sort > "$T/types"
sed -n 's/^| `\([A-Za-z_]*\)` | .*/\1/p' docs/TROUBLESHOOTING.md | sort > "$T/rows"
[ "$(wc -l < "$T/types")" -gt 20 ] && diff "$T/types" "$T/rows" > "$T/diff"; ok $? pages/advice_for_every_error
sed 's/^/# /' "$T/diff"
for page in docs/*.md docs/protocols/*.md docs/models/*.md; do
    case $page in docs/README.md) continue ;; esac
    grep -qF "(${page#docs/})" docs/README.md || echo "$page"
done > "$T/none"
[ ! -s "$T/none" ]; ok $? pages/all_in_the_index; sed 's/^/# /' "$T/none"
grep -qF '(docs/README.md)' README.md; ok $? pages/index_in_the_readme
# The codes that the mirror answers with are those of its page.
grep -ohE '"(RepoNotFound|[A-Z][A-Za-z]*Found|EntryNotCached|MethodNotAllowed|RangeNotSatisfiable|TooManyRequests|WrongHost|GatedRepo|UpstreamFailed)"' src/serve/*.c |
    tr -d '"' | sort -u | grep -vx NotFound | while read -r code; do grep -q "\`$code\`" docs/HTTP.md || echo "$code"; done > "$T/none"
[ ! -s "$T/none" ]; ok $? pages/codes_of_the_mirror; sed 's/^/# /' "$T/none"
