#!/bin/sh
# 37-small-files.sh: the small files of a commit have one lock together: processes that want the same fetch them once, who
# waits for it goes on with large ones, and neither a large file nor another client's lock of one blob holds small ones up.
set -u
. tests/fake/hub.sh
# shellcheck disable=SC2119
hub_start
locks=$cache/.locks/models--o--model
mkfifo "$T/fifo"
# hold LOCK: another process has it until let_go.
hold() {
    : > "$T/held"
    python3 -c '
import fcntl, sys
f = open(sys.argv[1], "a")
fcntl.flock(f, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()' "$1" < "$T/fifo" > "$T/held" & holder=$!
    exec 9> "$T/fifo"
    soon test -s "$T/held"
}
let_go() { exec 9>&-; wait $holder; }
soon() { n=0; until "$@"; do n=$((n + 1)); if [ $n -gt 600 ]; then return 1; fi; sleep 0.05; done; }
blob() { test -e "$cache/models--$1/blobs/$(python3 tests/fake/fake_hub.py etag "$(echo "$1" | sed 's,--,/,')" "$2")"; }
gets() { grep -c "^hub GET /o/many/resolve" "$hub/log"; }

succeeds "a pull" pull o/model
commit=$(cat "$cache/models--o--model/refs/main")
large=$(python3 tests/fake/fake_hub.py etag o/model model-00001-of-00002.safetensors)
check "leaves the lock of its large file and one of all others" test "$(find "$locks" -name '*.lock' | sort | sed 's,.*/,,' | tr '\n' ' ')" = \
    "$(printf '%s\n' "$commit.lock" "$large.lock" | sort | tr '\n' ' ')"
cache_is "and a whole repository" o/model

# ---- another process is at the small files -------------------------------------------------------------------------
rm -rf "$cache/models--o--model"
hold "$locks/$commit.lock"
"$MLXK" pull o/model --progress json > "$T/out" 2> "$T/err" < /dev/null 9>&- & pid=$!
check "a pull says for whom it waits" soon grep -q 'another process is fetching this file' "$T/out" "$T/err"
check "and fetches the large file meanwhile" soon blob o--model model-00001-of-00002.safetensors
check "but no small one" not blob o--model config.json
let_go
wait $pid; check "then it goes on" test $? = 0
cache_is "to the end" o/model

# ---- another client is at one of them --------------------------------------------------------------------------------
rm -rf "$cache/models--o--model"
hold "$locks/$(python3 tests/fake/fake_hub.py etag o/model config.json).lock"
succeeds "the lock of a small blob keeps nobody" pull o/model
let_go
cache_is "all is there" o/model

# ---- a few small files beside a pull that is at a large one ------------------------------------------------------------
fresh
fault "cdn . slow=1000000"
"$MLXK" pull o/large > "$T/first" 2>&1 < /dev/null & pid=$!
check "a pull has its small file" soon blob o--large config.json
rm -f "$cache/models--o--large/blobs/"*[0-9a-f]
succeeds "another one gets it beside" pull o/large --include '*.json'
check "while the first is still at the large one" kill -0 $pid
kill -9 $pid; wait $pid 2> /dev/null
fault

# ---- several at once ---------------------------------------------------------------------------------------------------
fresh
all=0
for i in 1 2 3; do "$MLXK" pull o/many > "$T/many$i" 2>&1 < /dev/null & eval "pid$i=\$!"; done
for i in 1 2 3; do eval "wait \$pid$i" || all=1; done
check "three pulls of many small files" test $all = 0
check "fetch each of them once ($(gets))" test "$(gets)" = 1500
cache_is "and leave one right cache" o/many
