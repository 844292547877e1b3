#!/bin/sh
# How long list, health, show and --version take beside mlx-knife 2.0.8, in one run. On a quiet machine, please.
venv=build/long/mlx-knife
[ -x $venv/bin/mlxk ] || sh tests/long/24-migration-before.sh > /dev/null
exec python3 tests/long/50-speed-beside.py "$MLXK" "$PWD/$venv/bin/mlxk" "$T"
