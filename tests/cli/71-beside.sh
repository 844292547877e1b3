#!/bin/sh
# 71-beside.sh: readers beside writers and writers beside each other on one cache (tests/fake/beside.py).
set -u
work=$T
if [ -d /dev/shm ] && [ -w /dev/shm ]; then
    work=$(mktemp -d /dev/shm/mlxk-beside.XXXXXX)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP
fi
python3 tests/fake/beside.py --mlxk "$MLXK" --work "$work" --rounds "${BESIDE_ROUNDS:-2}"
