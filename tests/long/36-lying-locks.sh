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
sent() { grep "^cdn GET /blob/$etag" "$hub/log" | sed 's/.* sent=\([0-9]*\).*/\1/' | python3 -c "import sys; print(sum(map(int, sys.stdin)))"; }
mkdir -p "$T/real" "$T/m1" "$T/m2"
if ! bindfs "$T/real" "$T/m1" || ! bindfs "$T/real" "$T/m2"; then echo "ok lying locks # SKIP bindfs does not mount here"; exit 0; fi
trap 'umount "$T/m1" "$T/m2"; kill $hub_pid 2>/dev/null' EXIT
cache=$T/real/hub
fault "cdn . slow=20000000"
HF_HOME="$T/m1" "$MLXK" pull o/large > "$T/many1" 2>&1 & pid1=$!
HF_HOME="$T/m2" "$MLXK" pull o/large > "$T/many2" 2>&1; second=$?
wait $pid1; first=$?
check "two mounts whose locks lie: both succeed" test "$first$second" = 00
check "one download" test "$(sent)" = 48000000
cache_is "one right cache" o/large
rm -rf "$T/real/hub"; : > "$hub/log"
HF_HOME="$T/m1" "$MLXK" pull o/large > "$T/many1" 2>&1 & pid1=$!
sleep 0.7
HF_HOME="$T/m2" "$MLXK" pull o/large > "$T/many2" 2>&1 & pid2=$!
sleep 0.5
kill -9 $pid1; wait $pid1 2>/dev/null
wait $pid2; check "one of two is killed: the other goes on" test $? = 0
check "and fetches little again" test "$(sent)" -lt 57000000
cache_is "and leaves one right cache" o/large
