#!/bin/sh
# 21-named-cases.sh: the numbered cases of mlx-knife's description, one line each (named_cases.py).
set -u
python3 tests/cli/named_cases.py "$MLXK" "$T"
