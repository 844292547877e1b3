#!/bin/sh
# 88-warnings.sh: what servers warn of reaches people once, and machines as JSON: pull, pull --progress json, and a mirror with
# --log json, whose stderr is one object a line, whatever happens.
# shellcheck disable=SC2119
set -u
. tests/fake/mirror.sh
hub_start
n_said() { grep -c -- "$1" "$2"; }
# every line of $1 is a JSON object, and the expression about all of them (l) holds
lines() {
    if python3 -c 'import json, sys
l = [json.loads(x) for x in open(sys.argv[1], encoding="utf-8", errors="strict").read().splitlines()]
assert all(type(x) is dict for x in l) and l
assert eval(sys.argv[2]), l' "$2" "$3" 2> "$T/json"; then ok "$1"
    else echo "not ok $1"; tail -n 1 "$T/json" | cut -c1-600 | sed 's/^/# /'; fi
}

# ---- pull
fault 'hub . header=X-HF-Warning:quota;you_use_\e[31m_too_much'
succeeds "a pull with a warning in every answer" pull o/model
check "it is shown once" test "$(n_said 'warning: 127.0.0.1:.* says: you_use_' "$T/err")" = 1
cache_is "and changes nothing" o/model
fault 'hub . header=Warning:"going_to_be_moved"' "cdn . header=Warning:299"
rm -rf "$HF_HOME"
succeeds "a warning of HTTP" pull o/model --json
check "it is shown, too" test "$(n_said 'says: going_to_be_moved$' "$T/err")" = 1
fault 'hub . header=X-HF-Warning:token=hf_abcdefghijklmnopqrstuvwxyz'
rm -rf "$HF_HOME"
succeeds "a warning with a token in it" pull o/small
check "which is not shown" not grep -q hf_abcdefgh "$T/err"
fault 'hub . header=RateLimit:"api";r=3;t=55'
rm -rf "$HF_HOME"
succeeds "a limit that is nearly used up" pull o/small --progress json
lines "every line on stderr is an event" "$T/err" "[x['message'].split(' ', 1)[1] for x in l if x['event'] == 'log' and x['level'] == 'warning'] == ['answers 3 more requests in the next 55 s']"
fault 'hub . header=RateLimit:"api";r=300;t=55'
rm -rf "$HF_HOME"
succeeds "a limit that is far" pull o/small
check "is nobody's concern" test ! -s "$T/err"

fault "hub /revision/ status=429,Retry-After:6 1" "hub /tree/ status=429,Retry-After:0 1"
rm -rf "$HF_HOME"
succeeds "a pull that is told to wait" pull o/small
check "says so where nobody watches, when it is for long" test "$(n_said 'slow down.*next try in' "$T/err")" = 1

# ---- mirror
command -v curl > /dev/null || { echo "ok mirror: log # SKIP curl is not installed"; exit 0; }
export HF_ENDPOINT_UPSTREAM="$HUB_HTTP"
fresh
fault 'hub /api/ header=X-HF-Warning:topic;old_"client"' "hub /tree/ status=429,Retry-After:0 1" "hub .*README.md status=500"
mirror_start --pull-through --log json --host 127.0.0.1
answers "a list through a limit" 200 /api/models/o/model/revision/main
answers "a file that upstream cannot give" 502 /o/model/resolve/main/README.md
answers "no such repository" 404 /api/models/o/none
answers "bytes that are no text" 404 "/%ff%fe$(printf '\377\376')"
printf 'GARBAGE\001\377\r\n\r\n' | timeout 5 python3 -c 'import socket, sys
a, p = sys.argv[1].rsplit("/", 1)[1].rsplit(":", 1)
s = socket.create_connection((a, int(p))); s.sendall(sys.stdin.buffer.read()); s.recv(99)' "$mirror"
mirror_stop
lines "every line of --log json is an object" "$T/mirror.err" "all('ts' in x for x in l)"
lines "requests" "$T/mirror.err" "[x['status'] for x in l if 'method' in x][:3] == [200, 502, 404]"
lines "what it says itself" "$T/mirror.err" "any(x.get('level') == 'info' and x['message'].startswith('serving') for x in l)"
lines "upstream's warning, once" "$T/mirror.err" "sum(x.get('level') == 'warning' and x['message'].endswith('says: old_\"client\"') for x in l) == 1"
lines "upstream's limit" "$T/mirror.err" "any(x.get('level') == 'warning' and 'slow down' in x['message'] for x in l)"
lines "upstream's failures" "$T/mirror.err" "any('README.md' in x.get('message', '') for x in l)"
run mirror --port 0 --log json --tls-cert "$T/none.pem" --tls-key "$T/none.key"
check "a failure to start" test "$status" = 1
lines "is a line, too" "$T/err" "len(l) == 1 and l[0]['level'] == 'error' and 'none.pem' in l[0]['message']"
