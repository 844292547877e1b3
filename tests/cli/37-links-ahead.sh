#!/bin/sh
# 37-links-ahead.sh: the links of a new snapshot are made while its blobs arrive: nobody sees them before all of it is
# there, and what a kill leaves of them is nobody's model and goes with the next pull or gc.
set -u
. tests/fake/hub.sh
# shellcheck disable=SC2119
hub_start
repo=$cache/models--o--model
ahead() { find "$repo/.mlxk" -path '*.links/*' -type l 2> /dev/null | wc -l; }
# A pull that would take minutes, with its links made; killed by $1.
killed_by() {
    "$MLXK" pull o/model --limit-rate 20K > "$T/out" 2> "$T/err" < /dev/null &
    pid=$!
    n=0
    while [ "$(ahead)" = 0 ]; do
        n=$((n + 1))
        if [ $n -gt 600 ]; then bad "a pull makes links ahead"; break; fi
        sleep 0.1
    done
    check "$1: while it goes on there is no snapshot" test -z "$(ls "$repo/snapshots")"
    kill "-$1" $pid
    wait $pid 2> /dev/null
}
fresh
killed_by KILL
check "a kill leaves links and no snapshot" test "$(ahead)" -gt 0 -a -z "$(ls "$repo/snapshots")"
run doctor
check "doctor has nothing to say of them" not grep -q '\.links' "$T/out"
succeeds "gc" gc --yes
check "gc takes them away" test "$(ahead)" = 0
killed_by KILL
succeeds "the next pull" pull o/model
cache_is "brings all of it" o/model
check "and takes them away" test ! -e "$repo/.mlxk"
rm -rf "$HF_HOME"
killed_by TERM
check "a pull that is stopped takes its own away" test "$(ahead)" = 0
fresh
HF_HUB_DISABLE_SYMLINKS=1 succeeds "without links" pull o/model
check "there are files in their place" test -z "$(find "$repo/snapshots" -type l)"
fresh
mkdir -p "$repo/snapshots" "$repo/blobs"; : > "$repo/.mlxk"
succeeds "where they cannot be made" pull o/model --include '*.json'
check "they are made in the end" test -n "$(find "$repo/snapshots" -name config.json -type l)"
