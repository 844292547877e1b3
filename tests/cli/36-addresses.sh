#!/bin/sh
# 36-addresses.sh: a name with several addresses of which some are dead: refused, or silent. Names come from a /etc/hosts of our
# own, in a mount namespace, so this needs root on Linux.
# A silent address is a listener whose queue is full: the system drops what asks to connect.
# shellcheck disable=SC2016
set -u
. tests/fake/hub.sh
# shellcheck disable=SC2119
hub_start
port=${HUB_HTTP##*:}
cat > "$T/silent.py" << 'PYTHON'
import socket, sys, time
port, held = int(sys.argv[1]), []
for host in sys.argv[2:]:
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    s.bind((host, port)); s.listen(0); held.append(s)
    for _ in range(4):
        c = socket.socket(s.family); c.setblocking(False); c.connect_ex((host, port)); held.append(c)
print("ready", flush=True)
time.sleep(600)
PYTHON
# at ADDRESS... -- ARGS...: mlxk ARGS where "two.hub.test" has these addresses.
at() {
    : > "$T/hosts"
    while [ "$1" != -- ]; do echo "$1 two.hub.test" >> "$T/hosts"; shift; done
    shift
    started=$(date +%s%N)
    unshare -m sh -c 'mount --bind "$0/hosts" /etc/hosts && exec "$@"' "$T" "$MLXK" "$@" > "$T/out" 2> "$T/err" < /dev/null
    status=$?
    took_ms=$((($(date +%s%N) - started) / 1000000))
}
cp /etc/hosts "$T/hosts"
if ! unshare -m mount --bind "$T/hosts" /etc/hosts 2> "$T/err"; then echo "ok addresses/namespaces # SKIP no mount namespaces here"; exit 0; fi
export HF_ENDPOINT="http://two.hub.test:$port"
whole() { if [ $status = 0 ]; then cache_is "$1" o/small; else bad "$1" "status $status after $took_ms ms"; fi; }
at 127.0.0.1 -- pull o/small
whole "one address"
fresh; at 127.0.0.9 127.0.0.1 127.0.0.8 -- pull o/small
whole "refused ones are passed over"
fresh; at ::1 127.0.0.1 -- pull o/small
whole "a refused IPv6 address, then IPv4"
fresh; at 127.0.0.9 127.0.0.8 -- pull o/small
check "all refused: told at once" sh -c "test $status = 1 && test $took_ms -lt 5000 && grep -q 'no connection to two.hub.test' '$T/err'"
nothing "all refused: nothing written"

python3 "$T/silent.py" "$port" 127.0.0.7 ::1 > "$T/silent" 2>&1 & silent_pid=$!
trap 'kill $silent_pid $hub_pid 2>/dev/null' EXIT
for _ in 1 2 3 4 5 6 7 8 9 10; do grep -q ready "$T/silent" && break; sleep 0.2; done
fresh; at 127.0.0.7 127.0.0.1 -- pull o/small
whole "a silent address beside a good one"
check "which costs a moment, not a time-out" test "$took_ms" -lt 6000
if grep -q ready "$T/silent"; then
    fresh; at ::1 127.0.0.1 -- pull o/small
    whole "silent IPv6, good IPv4"
    check "which costs a moment, too" test "$took_ms" -lt 6000
    check "and was tried first" test "$took_ms" -ge 240
fi
export HF_HUB_DOWNLOAD_TIMEOUT=1
fresh; at 127.0.0.7 -- pull o/small --json
check "a silent address alone is given up in time" sh -c "test $status = 1 && test $took_ms -lt 20000 && grep -q 'no answer in time' '$T/out'"
nothing "given up: nothing written"

# Nothing but a name server that no way leads to, in a namespace without a network.
echo "nameserver 10.9.9.9" > "$T/resolv"
fresh
if unshare -m -n mount --bind "$T/resolv" /etc/resolv.conf 2> "$T/err"; then
    started=$(date +%s%N)
    unshare -m -n sh -c 'mount --bind "$0/resolv" /etc/resolv.conf && exec "$@"' "$T" "$MLXK" pull o/small > "$T/out" 2> "$T/err" < /dev/null
    status=$?
    took_ms=$((($(date +%s%N) - started) / 1000000))
    check "no way to a server of names: told at once" sh -c "test $status = 1 && test $took_ms -lt 8000 && grep -q 'name two.hub.test could not be resolved' '$T/err'"
    nothing "no way to a server of names: nothing written"
fi
