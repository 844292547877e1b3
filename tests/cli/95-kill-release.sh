#!/bin/sh
# 95-kill-release.sh: `store` and `release` are killed on their way into layouts and registries (tests/fake/kill_release.py): here at
# every seventh step, in tests/long/95-kill-release.sh at each.
set -u
. tests/tap.sh

work=$T/work
mkdir "$work"
if [ -d /dev/shm ] && [ -w /dev/shm ]; then      # a disk that need not be waited for
    work=$(mktemp -d /dev/shm/mlxk-kill.XXXXXX)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP
fi
set -- --mlxk "$MLXK" --work "$work" --every "${KILL_EVERY:-7}"
if ${CC:-cc} -O1 -o "$T/kill_at" tests/fake/kill_at.c 2> "$T/err" && "$T/kill_at" "$T/report" count 0 true; then
    set -- "$@" --tool "$T/kill_at"
else
    echo "ok kill/every-call # SKIP system calls cannot be stopped on this machine"
fi
python3 tests/fake/kill_release.py "$@"
