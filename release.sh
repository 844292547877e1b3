#!/bin/sh
# release.sh: releases of mlxk, from the number to the tag (docs/RELEASING.md).
#
#   ./release.sh patch|minor|major|stable|rc|beta|alpha|vX.Y.Z... [--for major] [--local] [--waive FILE]
#                [--dry-run] [--push]
#   ./release.sh json patch|minor|major [--dry-run] [--push]      the JSON API's own tag
#   ./release.sh backport COMMIT...     onto the maintained branches; conflicts are told
#   ./release.sh reopen X.Y             the branch of a line that nobody has any more, from its newest release
#   ./release.sh yank TAG REASON...     a row that says so; nothing is deleted
#   ./release.sh retag                  tags that this clone lacks, from docs/releases.tsv
#   ./release.sh rebuild [TAG]          the release (the newest) built again: the hashes of the witness, or 4
#   ./release.sh compare TAG TAG        what changed between two releases
#   ./release.sh nightly [YYYYMMDD]     HEAD as X.Y.Z.devYYYYMMDD in build/dist/nightly; no tag, unsigned
#   ./release.sh verify-release FOLDER  a bundle against its hashes, signature and the witness, offline
#   ./release.sh lint | support | cadence
#
# Nothing leaves this machine without --push. MLXK_SIGNING_KEY names a file with the key that signs. Exit status:
# 0 done, 1 failed, 2 usage, 3 a rule refuses, 4 tree, tags and witness disagree. An interrupted run is
# finished by the next one, or has left nothing.
set -eu
cd "$(dirname "$0")"
rel_program=release.sh
. src/tools/release/lib.sh
. src/tools/release/cut.sh
. src/tools/release/keep.sh

usage() { sed -n '/^# release/,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2; exit 2; }

family=product verb='' for_kind='' local_only=0 dry=0 push=0 waive='' key=${MLXK_SIGNING_KEY:-}
case ${1:-} in
backport | reopen | yank | retag | rebuild | compare | nightly | lint | verify-release | support | cadence) command=$1; shift ;;
*)  command="cut"
    while [ $# -gt 0 ]; do
        case $1 in
        json) family=json ;;
        patch | minor | major | stable | rc | beta | alpha | v[0-9]*) [ -z "$verb" ] || usage; verb=$1 ;;
        --for) [ "${2:-}" = major ] || usage; for_kind=major; shift ;;
        --waive) [ $# -ge 2 ] || usage; waive=$2; shift ;;
        --local) local_only=1 ;;
        --dry-run) dry=1 ;;
        --push) push=1 ;;
        *) usage ;;
        esac
        shift
    done
    [ -n "$verb" ] || usage
    case $family:$verb in json:patch | json:minor | json:major | product:*) ;; *) usage ;; esac ;;
esac
[ -z "$key" ] || [ -f "$key" ] || rel_die 2 "MLXK_SIGNING_KEY names $key, which is no file"

case $command in
lint) exec sh src/tools/release/tag_lint.sh "$@" ;;
verify-release) exec sh src/tools/release/verify.sh "$@" ;;
support) keep_support; exit ;;
esac
rel_begin
case $command in
backport | reopen | yank | cut) if [ "$dry" = 0 ] && rel_resume; then exit 0; fi ;;
esac
case $command in
cut)
    if [ -f "$(rel_journal)" ]; then rel_die 1 "an interrupted run waits: $(sed -n 's/^tag //p' "$(rel_journal)"); the same without --dry-run finishes it"; fi
    rel_clean; cut_run ;;
*) "keep_$command" "$@" ;;
esac
