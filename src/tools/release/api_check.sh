#!/bin/sh
# api_check.sh [FAMILY VERSION]: what changed in docs/schema since the last release before HEAD, and whether
# VERSION says so. A breaking change needs a higher major of `json-api` (a higher minor while it is 0.x), or a higher
# `http-api` for docs/schema/http, and a product version of that rank; an addition needs any higher `json-api`.
# No flag, variable or commit message changes the answer. Exit status 3 when the answer is no.
set -eu
cd "$(dirname "$0")/../../.."
rel_program=api_check
. src/tools/release/lib.sh
api_family=${1:-product}
api_new=${2:-$(rel_line product < VERSION)}; api_new=${api_new%-dev}
api_base=$(rel_rows | awk -F '\t' '$1 == "release" { print $4 }' | while read -r c; do
    if git merge-base --is-ancestor "$c" HEAD 2>/dev/null; then echo "$c"; fi
done | tail -n 1)
if [ -z "$api_base" ]; then rel_say "no release before this: nothing to compare with"; exit 0; fi

api_work=$(mktemp -d "${TMPDIR:-/tmp}/mlxk-api.XXXXXX")
trap 'rm -rf "$api_work"' EXIT
git archive "$api_base" VERSION docs/schema | tar -xm -C "$api_work"
api_bad=0

# bumped OLD NEW RANK: NEW is above OLD by a bump of at least RANK (breaking: major, or minor below 1.0).
bumped() {
    [ "$1" != "$2" ] && rel_less "${1%%-*}" "${2%%-*}" || return 1
    [ "$3" = breaking ] || return 0
    if [ "$(rel_part 1 "$1")" = 0 ]; then
        [ "$(rel_part 1 "$2")" != 0 ] || [ "$(rel_part 2 "$2")" -gt "$(rel_part 2 "$1")" ]
    else [ "$(rel_part 1 "$2")" -gt "$(rel_part 1 "$1")" ]; fi
}

# judge NAME FOLDER: prints the changes; sets rank to breaking, feature or none.
judge() {
    rank=none
    set +e
    python3 src/tools/release/api_diff.py "$api_work/$2" "$2" > "$api_work/changes"; api_status=$?
    set -e
    case $api_status in 0) ;; 10) rank=feature ;; 20) rank=breaking ;; *) rel_die 1 "api_diff.py failed on $2" ;; esac
    sed "s/^/$1: /" "$api_work/changes"
}

judge json-api docs/schema
api_old=$(rel_line json < "$api_work/VERSION"); api_now=$(rel_line json < VERSION)
if [ "$rank" != none ] && ! bumped "$api_old" "$api_now" "$rank"; then
    api_bad=1; rel_say "refused: the JSON documents have a $rank change since $api_old; the line json-api in VERSION says $api_now"
fi
api_rank=$rank
if [ -d docs/schema/http ] || [ -d "$api_work/docs/schema/http" ]; then
    judge http-api docs/schema/http
    api_old=$(awk '$1 == "http-api" { print $2 }' "$api_work/VERSION"); api_now=$(awk '$1 == "http-api" { print $2 }' VERSION)
    if [ "$rank" = breaking ] && [ "${api_now:-0}" -le "${api_old:-0}" ]; then
        api_bad=1; rel_say "refused: the HTTP documents have a breaking change; the line http-api in VERSION says $api_now as before"
    fi
    if [ "$rank" = breaking ]; then api_rank=breaking; fi
fi
if [ "$api_family" = product ] && [ "$api_rank" = breaking ]; then
    api_old=$(rel_line product < "$api_work/VERSION")
    bumped "${api_old%%-*}" "$api_new" breaking ||
        { api_bad=1; rel_say "refused: a breaking change since $api_old cannot come out as $api_new"; }
fi
[ "$api_bad" = 0 ] || exit 3
rel_say "ok: $api_rank since $(git rev-parse --short=12 "$api_base")"
