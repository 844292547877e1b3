#!/bin/sh
# 33-fault-table.sh: every fault a hub, a storage, a line or a person can have, each with its expected outcome (the rows
# are in tests/fake/fault_table.py); and disks that are full.
set -u
. tests/fake/hub.sh
# shellcheck disable=SC2119      # the faults it can be given are for other tests
hub_start
mkdir "$T/work"
python3 tests/fake/fault_table.py "$MLXK" "$hub" "$T/work" "$@"

# ---- disks --------------------------------------------------------------------------------------
# shellcheck disable=SC2119
fault
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
    mkdir "$T/small"
    # shellcheck disable=SC2016
    HF_HOME="$T/small" unshare -m sh -c 'mount -t tmpfs -o size=30m none "$HF_HOME"
        "$MLXK" pull o/large > "$T/out" 2> "$T/err"; echo $? > "$T/full1"
        head -c 20000000 /dev/zero > "$HF_HOME/fill"
        "$MLXK" pull o/huge > "$T/out2" 2> "$T/err2"; echo $? > "$T/full2"
        find "$HF_HOME" -path "*blobs/*" ! -name "*.incomplete" > "$T/left"
        rm "$HF_HOME/fill"; "$MLXK" pull o/huge > "$T/out3" 2> "$T/err3"; echo $? > "$T/full3"'
    check "a disk that is too small is found first" grep -q "are still to come" "$T/err"
    check "and is a failure" test "$(cat "$T/full1")$(cat "$T/full2")" = 11
    check "a full disk leaves no blob" test ! -s "$T/left"
    check "with room again it succeeds" test "$(cat "$T/full3")" = 0
    # shellcheck disable=SC2016
    HF_HOME="$T/small" unshare -m sh -c 'mount -t tmpfs -o size=60m none "$HF_HOME"
        (sleep 0.4; head -c 60000000 /dev/zero > "$HF_HOME/fill" 2>/dev/null) &
        "$MLXK" pull o/large > "$T/out" 2> "$T/err"; echo $? > "$T/full1"
        wait; rm -f "$HF_HOME/fill"; "$MLXK" pull o/large > "$T/out2" 2> "$T/err2"; echo $? > "$T/full2"
        find "$HF_HOME" -name "*.incomplete" > "$T/left"'
    check "a disk that fills meanwhile is no lasting trouble" test "$(cat "$T/full2")" = 0
    check "and nothing unfinished stays" test ! -s "$T/left"
else
    echo "ok full disks # SKIP not root"
fi
