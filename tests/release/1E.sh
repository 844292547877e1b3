#!/bin/sh
# 1E.sh: versions of models as their description has them, row by row (E1-E22): each row a few named checks over layouts, registries of
# our own (tests/fake/fake_registry.py) and the Python module, by table_1e.py. Alone: `sh tests/release/1E.sh [E7 ...]`.
# The last line counts: N passed, N failed, N skipped.
cd "$(dirname "$0")/../.." || exit 2
MLXK=${MLXK:-$PWD/build/mlxk}
if [ -z "${T:-}" ]; then
    T=$(mktemp -d "${TMPDIR:-/tmp}/mlxk-1E.XXXXXX")
    trap 'rm -rf "$T"' EXIT
    trap 'exit 1' INT TERM HUP
fi
python3 tests/release/table_1e.py "$MLXK" "$T" "$@"
