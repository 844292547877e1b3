#!/bin/sh
# 24-people.sh: questions at a terminal, suggestions, experimental commands, flags of version 1 (people.py).
set -u
python3 tests/cli/people.py "$MLXK" "$T"
