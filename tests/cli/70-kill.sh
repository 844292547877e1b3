#!/bin/sh
# 70-kill.sh: each command that writes is killed, and made to fail, at every system call that changes the file system
# (tests/fake/kill_points.py). Small models here; tests/long/70-kill.sh takes larger ones.
set -u
. tests/tap.sh

work=$T
if [ -d /dev/shm ] && [ -w /dev/shm ]; then      # a disk that need not be waited for
    work=$(mktemp -d /dev/shm/mlxk-kill.XXXXXX)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP
fi
if ! ${CC:-cc} -O1 -Wall -Wextra -o "$T/kill_at" tests/fake/kill_at.c 2> "$T/err"; then
    echo "not ok the injector compiles"
    sed 's/^/# /' "$T/err"
    exit 1
fi
"$T/kill_at" "$T/report" count 0 true
status=$?
if [ $status = 77 ] || [ $status = 125 ]; then
    echo "ok kill/every-call # SKIP system calls cannot be stopped on this machine (status $status)"
    exit 0
fi
python3 tests/fake/kill_points.py --mlxk "$MLXK" --tool "$T/kill_at" --work "$work" ${KILL_POINTS_LONG:+--long}
