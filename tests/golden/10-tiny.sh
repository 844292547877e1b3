#!/bin/sh
# Small random checkpoints of every family and quantisation: logits of all positions and greedy tokens, exact path.
python3 tests/golden/check.py --mlxk "$MLXK" --what tiny --verbose > "$T/log" 2>&1
status=$?
awk -f tests/golden/tap.awk "$T/log"
if [ $status = 0 ]; then echo "ok golden/tiny_checked"; else echo "not ok golden/tiny_checked"; fi
