#!/bin/sh
# 73-told-to-stop.sh: commands get SIGINT or SIGTERM at any of their system calls: one document that tells the truth, and nothing half-written.
set -u
if ! command -v strace > /dev/null 2>&1; then echo "ok told_to_stop # SKIP no strace"; exit 0; fi
. tests/fake/hub.sh
# shellcheck disable=SC2119
hub_start
export HF_TOKEN=hf_goodgoodgoodgoodgood SOURCE_DATE_EPOCH=1700000000
W=$T/w
mkdir -p "$W"
run pull o/model || exit 1
run clone o/small "$W/ws"
run export o/small -o "$W/small.tar"
run store "$W/ws" "oci:$W/layout" --json
TAG=$(python3 -c "import json, sys; print(json.load(open(sys.argv[1]))['data']['tags'][0])" "$T/out")
export TAG
cp -a "$HF_HOME" "$T/hf.kept"
python3 tests/cli/told_to_stop.py "$MLXK" "$T"

# ---- while it waits for input that does not come ----
mkfifo "$T/pipe"
exec 9<> "$T/pipe"
for words in "import -" "login --no-check --name x"; do
    # shellcheck disable=SC2086      # two and more words
    "$MLXK" $words --json < "$T/pipe" > "$T/out" 2> "$T/err" & pid=$!
    n=0; while [ $n -lt 100 ] && ! grep -q pipe "/proc/$pid/wchan" 2>/dev/null; do n=$((n + 1)); sleep 0.1; done
    kill -TERM $pid; wait $pid; status=$?
    check "$words: told to stop while it waits for input" test $status = 1
    check "$words: one document says so" python3 -c "import json, sys; assert json.load(open(sys.argv[1]))['error']['type'] == 'interrupted'" "$T/out"
done
