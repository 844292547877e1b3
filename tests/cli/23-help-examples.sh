#!/bin/sh
# 23-help-examples.sh: what the help of the commands shows can be typed (help_examples.py).
set -u
python3 tests/cli/help_examples.py "$MLXK" "$T"
