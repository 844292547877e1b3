#!/bin/sh
# 82-mirror-guard.sh: who may pass the mirror: addresses, keys, host names, allow-lists, rates; how it may be started.
# shellcheck disable=SC2119
set -u
. tests/fake/mirror.sh
command -v curl > /dev/null || { echo "ok mirror: who may pass # SKIP curl is not installed"; exit 0; }
hub_start
succeeds "a model in the cache" pull o/model
succeeds "another" pull o/small

# ---- closed by default ---------------------------------------------------------------------------------------------
fails "every address without a key" "there is no key" mirror --host 0.0.0.0 --port 0
fails "an address of the network without a key" "there is no key" mirror --host 192.0.2.1 --port 0
printf '# for the nodes\n\nnodekey-1234567\nsecond-key-abcdefg\n' > "$T/keys"
fails "a key file that is not there" "nowhere" mirror --host 0.0.0.0 --port 0 --key-file "$T/nowhere"
: > "$T/none"; fails "a key file without keys" "holds no key" mirror --port 0 --key-file "$T/none"
echo short > "$T/short"; fails "a key that is too short" "line 1" mirror --port 0 --key-file "$T/short"
fails "a port that is taken" "has that port" mirror --port "${HUB_HTTP##*:}"
fails "no address of this machine" "cannot listen" mirror --host 192.0.2.1 --port 0 --insecure-no-auth
run mirror --port 70000; check "a port that is none is a usage error" test $status = 2
run mirror --log xml --port 0; check "an unknown form of the log too" test $status = 2
run mirror --tls-cert x --port 0; check "a certificate without a key too" test $status = 2
mirror_start --host 0.0.0.0 --insecure-no-auth
check "open to all only by its word, and it says so" grep -q "everybody who can reach" "$T/mirror.err"
port=${mirror##*:}; mirror=http://127.0.0.1:$port
answers "then everybody may" 200 /api/models/o/model
answers "by any name" 200 /api/models/o/model -H "Host: whatever.example:$port"
mirror_stop

# ---- keys: every route without, with a wrong, with a right one --------------------------------------------------------
mirror_start --key-file "$T/keys"
for path in /api/models /api/models/o/model /api/models/o/model/revision/main /api/models/o/model/tree/main /api/models/o/model/refs \
    /api/models/o/model/commits/main /api/models/o/model/auth-check /o/model/resolve/main/config.json /api/whoami-v2 /metrics; do
    answers "no key: $path" 401 "$path"
    head_has "says how: $path" '^WWW-Authenticate: Bearer'
    answers "a wrong key: $path" 401 "$path" -H "Authorization: Bearer nodekey-1234568"
    answers "a right key: $path" 200 "$path" -H "Authorization: Bearer second-key-abcdefg"
done
answers "paths-info without a key" 401 /api/models/o/model/paths-info/main -d paths=config.json
answers "a page that is not there, without a key" 401 /nope
answers "another method, without a key" 401 /api/models/o/model -X DELETE
answers "a key as X-Api-Key" 200 /api/models/o/model -H "X-Api-Key: nodekey-1234567"
answers "a beginning of a key" 401 /api/models/o/model -H "Authorization: Bearer nodekey-123456"
answers "a comment is no key" 401 /api/models/o/model -H "Authorization: Bearer # for the nodes"
answers "another scheme" 401 /api/models/o/model -H "Authorization: Basic nodekey-1234567"
answers "a wrong key and a right one" 401 /api/models/o/model -H "Authorization: Bearer wrongwrong" -H "X-Api-Key: nodekey-1234567"
answers "health is for all" 200 /health
answers "ready too" 200 /ready
HF_HOME="$T/client" HF_ENDPOINT="$mirror" HF_TOKEN=nodekey-1234567 succeeds "pull with a key" pull o/model
HF_HOME="$T/client2" HF_ENDPOINT="$mirror" HF_TOKEN=nodekey-7654321 fails "pull with a wrong one" "token" pull o/model
check "no key in the log" not grep -q 'key-' "$T/mirror.err"
mirror_stop

# ---- names -------------------------------------------------------------------------------------------------------------
mirror_start --allowed-host login1
port=${mirror##*:}
answers "by address" 200 /health
answers "as localhost" 200 /health -H "Host: localhost:$port"
answers "below localhost" 200 /health -H "Host: mirror.localhost:$port"
answers "by an allowed name" 200 /health -H "Host: LOGIN1:$port"
answers "by a name that a web page made" 403 /health -H "Host: evil.example:$port"
head_has "wrong name: a code" '^X-Error-Code: WrongHost$'
answers "a name that looks like an address" 403 /o/model/resolve/main/config.json -H "Host: 127.0.0.1.evil.example"
answers "localhost as a beginning" 403 /api/models -H "Host: localhost.evil.example"
mirror_stop

# ---- what may be seen -----------------------------------------------------------------------------------------------------
mirror_start --allow 'x/*' --allow 'o/sm*'
answers "allowed" 200 /api/models/o/small
answers "not allowed" 404 /api/models/o/model
cp "$T/body" "$T/hidden"
answers "not there" 404 /api/models/o/nodel
sed 's/nodel/model/' "$T/body" | cmp -s - "$T/hidden" && ok "the same answer for both" || echo "not ok the same answer for both"
answers "its files neither" 404 /o/model/resolve/main/config.json
answers "nor in the list" 200 /api/models
doc "of what may be seen" "[m['id'] for m in d]==['o/small']"
mirror_stop

# ---- rates -----------------------------------------------------------------------------------------------------------------
mirror_start --rate 5
n=0; while [ $n -lt 40 ]; do get /api/models/o/model; [ "$code" = 429 ] && break; n=$((n + 1)); done
check "too many requests are told so (after $n)" test "$code" = 429
head_has "and when to come back" '^Retry-After: 1$'
answers "health does not count" 200 /health
sleep 1.2
answers "later it goes on" 200 /api/models/o/model
mirror_stop

# ---- the start document, and a list that grows -----------------------------------------------------------------------------
mirror_start --json --log json
json() { python3 -c "import json; d = json.load(open('$T/mirror.out')); assert $1, d" 2> /dev/null; }
check "--json prints one document" json "d['status'] == 'success' and d['command'] == 'mirror' and d['data']['url'] == '$mirror' and d['data']['n_repositories'] == 2 and d['error'] is None"
answers "and serves" 200 /api/models
HF_ENDPOINT="$HUB_HTTP" succeeds "what is pulled meanwhile" pull bare
answers "is served at once" 200 /bare/resolve/main/config.json
mirror_stop
check "the log is JSON lines" python3 -c "import json; assert all(json.loads(l)['status'] for l in open('$T/mirror.err')) and open('$T/mirror.err').read()"
HF_HOME="$T/empty" mirror_start
answers "without a cache there is nothing" 200 /api/models
doc "nothing" "d == []"
check "and none is made" not test -e "$T/empty"
mirror_stop
