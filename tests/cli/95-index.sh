#!/bin/sh
# `index`: repositories once asked are searched without a network; only what changed is asked again; nothing is lost by kills, races and damage.
. tests/tap.sh
python3 tests/fake/index_cases.py "$MLXK" "$T"
