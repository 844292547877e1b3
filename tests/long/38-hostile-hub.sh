#!/bin/sh
# 38-hostile-hub.sh: a hub that means harm, answer by answer: endless heads, bodies, lists and chunks, sizes that overflow,
# redirects to other schemes, names that climb, compressed bombs. Each ends with the right bytes or one clear error, in
# bounded time and at most 100 MB of memory.   $MLXK: the program; default build/mlxk. Words: only these cases.
set -u
exec python3 tests/long/hostile_hub.py "${MLXK:-$PWD/build/mlxk}" "$T" "$@"
