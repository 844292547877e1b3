# shellcheck shell=sh disable=SC2154
# part.sh: a release of one part of the program; sourced by release-client.sh and release-engine.sh, which set family.
rel_program=release-$family.sh
. src/tools/release/lib.sh
. src/tools/release/cut.sh

usage() { sed -n '/^# release/,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2; exit 2; }
verb='' for_kind='' local_only=0 dry=0 push=0 waive='' key=${MLXK_SIGNING_KEY:-}
while [ $# -gt 0 ]; do
    case $1 in
    patch | minor | major) [ -z "$verb" ] || usage; verb=$1 ;;
    --dry-run) dry=1 ;;
    --push) push=1 ;;
    *) usage ;;
    esac
    shift
done
[ -n "$verb" ] || usage
[ -z "$key" ] || [ -f "$key" ] || rel_die 2 "MLXK_SIGNING_KEY names $key, which is no file"
rel_begin
if [ "$dry" = 0 ] && rel_resume; then exit 0; fi
rel_clean
cut_run
