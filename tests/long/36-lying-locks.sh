#!/bin/sh
# 36-lying-locks.sh: one cache seen through two mounts whose locks know nothing of each other (bindfs), as on shared file
# systems that grant flock to everybody: one download, one right cache, also when one of the two is killed.
set -u
. tests/fake/hub.sh
command -v bindfs > /dev/null || apt-get install -y --no-install-recommends bindfs > /dev/null 2>&1
if [ "$(id -u)" != 0 ] || ! command -v bindfs > /dev/null || [ ! -e /dev/fuse ]; then
    echo "ok lying locks # SKIP bindfs cannot be used"; exit 0
fi
# shellcheck disable=SC2119
hub_start
etag=$(python3 tests/fake/fake_hub.py etag o/large model.safetensors)
# The hub writes its line of a request after the answer, and then sees the client gone: until no connection is left.
# Only what is sent of the file counts.
sent() {
    python3 - "$HUB_CDN" "$hub/log" "$etag" <<'EOF'
import re, sys, time
port, log, etag = int(sys.argv[1].rsplit(":", 1)[1].strip("/")), sys.argv[2], sys.argv[3]
def busy():
    rows = [line.split() for line in open("/proc/net/tcp")][1:]
    return any(int(r[1].split(":")[1], 16) == port and r[3] in ("01", "04", "05", "08", "09", "0B") for r in rows)
for _ in range(1200):
    if not busy():
        break
    time.sleep(0.05)
print(sum(int(n) for n in re.findall(rf"^cdn GET /blob/{etag}.* sent=(\d+)", open(log).read(), re.M)))
EOF
}
# until the file says so
told() { for _ in $(seq 1200); do if grep -q "$2" "$1"; then return 0; fi; sleep 0.05; done; return 1; }
# until so many bytes of the file are in their place, as a third process sees it
begun() {
    for _ in $(seq 600); do
        have=$("$MLXK" pull o/large --dry-run --json 2>/dev/null |
            python3 -c 'import json, sys; d = json.load(sys.stdin)["data"]; print(d["total_bytes"] - d["need_bytes"])')
        if [ "${have:-0}" -ge "$1" ]; then return 0; fi
        sleep 0.05
    done
    return 1
}
mkdir -p "$T/real" "$T/m1" "$T/m2"
if ! bindfs "$T/real" "$T/m1" || ! bindfs "$T/real" "$T/m2"; then echo "ok lying locks # SKIP bindfs does not mount here"; exit 0; fi
trap 'umount "$T/m1" "$T/m2"; kill $hub_pid 2>/dev/null' EXIT
cache=$T/real/hub
HF_HOME=$T/real
waits="another process is fetching this file"

fault "cdn . slow=2000000"
HF_HOME="$T/m1" "$MLXK" pull o/large > "$T/many1" 2>&1 & pid1=$!
check "the first has begun" begun 1000000
HF_HOME="$T/m2" "$MLXK" pull o/large --progress json > "$T/many2" 2>&1 & pid2=$!
check "the second waits" told "$T/many2" "$waits"
wait $pid1; first=$?
wait $pid2; second=$?
check "two mounts whose locks lie: both succeed" test "$first$second" = 00
sum=$(sent)
check "one download ($sum)" test "$sum" = 48000000
cache_is "one right cache" o/large

rm -rf "$T/real/hub"; : > "$hub/log"
fault "cdn . slow=1000000"
HF_HOME="$T/m1" "$MLXK" pull o/large > "$T/many1" 2>&1 & pid1=$!
check "the first has begun again" begun 4000000
HF_HOME="$T/m2" "$MLXK" pull o/large --progress json > "$T/many2" 2>&1 & pid2=$!
check "the second waits again" told "$T/many2" "$waits"
kill -9 $pid1; check "the first was at work" test $? = 0
wait $pid1 2>/dev/null
fault
wait $pid2; check "one of two is killed: the other goes on" test $? = 0
sum=$(sent)
check "and fetches little again ($sum)" test "$sum" -lt 57000000
cache_is "and leaves one right cache" o/large
