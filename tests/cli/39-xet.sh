#!/bin/sh
# 39-xet.sh: pull by way of content-addressed storage (--xet), against tests/fake/fake_xet.py: the right bytes whatever is
# wrong with token, reconstruction, address or chunk, by plain ranges where Xet cannot bring them; no token where it does not
# belong. That the fake speaks as the real storage is what tests/long/39-xet.sh sees.
set -u
FAKE=fake_xet.py
export FAKE
. tests/fake/hub.sh
hub_start --tls
unset MLXK_XET
etag=$(python3 "$here/$FAKE" etag o/xet model.safetensors) second=$(python3 "$here/$FAKE" etag o/xet second.safetensors)

by_xet() { check "$1: chunks were asked for" logged '^store GET .*status=206'; }
plain() { check "$1: the rest came by plain ranges" logged "^cdn GET /blob/$etag.*status=20"; }
warned() {
    if [ "$(grep -c 'Xet is given up' "$T/err")" = 1 ] && grep -Eq -- "$2" "$T/err"; then ok "$1: said so, once"
    else bad "$1: said so, once" "$(grep -c 'Xet is given up' "$T/err") times, or without: $2"; fi
}
# right NAME: the large files, whole (that all of the cache is as it must be, cache_is has seen).
right() {
    if (cd "$cache/models--o--xet/blobs" && for f in "$etag" "$second"; do echo "$f  $f"; done | sha256sum -c --quiet --strict) > "$T/sums" 2>&1
    then ok "$1: the right bytes"; else bad "$1: the right bytes" "$(cat "$T/sums")"; fi
}
silent() { if grep -q Xet "$T/err"; then bad "$1: no warning" "$(cat "$T/err")"; else ok "$1: no warning"; fi; }
safe() { check "$1: every token where it belongs" not grep -q LEAK "$hub/log"; }

# falls NAME ERE FAULT...: with these faults the pull ends well, with a warning that fits, and partly by plain ranges.
falls() {
    what=$1 pattern=$2; shift 2
    fault "$@"
    fresh
    succeeds "$what" pull o/xet --xet
    right "$what"
    warned "$what" "$pattern"
    plain "$what"
    safe "$what"
}
# stays NAME FAULT...: with these faults the pull ends well, by Xet alone.
workers=8
stays() {
    what=$1; shift
    fault "$@"
    fresh
    succeeds "$what" pull o/xet --xet --max-workers $workers
    right "$what"
    silent "$what"
    by_xet "$what"
    check "$what: nothing large by plain ranges" not grep -q "^cdn GET /blob/$etag" "$hub/log"
    safe "$what"
}

# ---- off unless asked for ----
fresh
succeeds "without --xet" pull o/xet
cache_is "without --xet: the right bytes" o/xet
check "without --xet: nobody is asked about Xet" not grep -Eq '^(cas|store)|xet-read-token' "$hub/log"

# ---- on ----
stays "--xet"
cache_is "--xet: the whole cache" o/xet
fault
fresh
MLXK_XET=1 succeeds "MLXK_XET=1" pull o/xet --json
by_xet "MLXK_XET=1"
fresh
MLXK_XET=1 HF_HUB_DISABLE_XET=1 succeeds "HF_HUB_DISABLE_XET=1" pull o/xet
check "HF_HUB_DISABLE_XET=1: nobody is asked about Xet" not grep -Eq '^(cas|store)|xet-read-token' "$hub/log"
fresh
MLXK_XET=1 succeeds "clone with MLXK_XET=1" clone o/xet "$T/clone"
by_xet "clone with MLXK_XET=1"
check "clone with MLXK_XET=1: the right bytes" python3 "$here/$FAKE" workspace "$T/clone" o/xet
fresh
HF_TOKEN=hf_goodgoodgoodgoodgood succeeds "--xet of a private repository" pull o/closed --xet
by_xet "--xet of a private repository"
check "the hub's token went along to the route" logged '^hub GET /api/models/o/closed/xet-read-token/.*auth=yes'
safe "--xet of a private repository"
stays "the route in a header of its own" 'hub /resolve/ route=header'
stays "a storage of version 1" 'cas /v2/ status=404'
check "version 2 was asked for first, then no more" test "$(grep -c '^cas GET /v2/' "$hub/log")" -le 2
stays "a storage that has not implemented version 2" 'cas /v2/ status=501'
stays "a token in headers alone" 'hub xet-read-token token=headers'
stays "a token in the body alone" 'hub xet-read-token token=body'
workers=1                # or several streams use up the next one, too, before the first has asked again
stays "a token that soon expires" 'hub xet-read-token uses=2'
workers=8
stays "a token refused once" 'cas /v2/ status=401 2'
stays "addresses that expire" 'store . status=403 3-4' 'store . status=403 20-21'
stays "the storage fails once" 'cas . status=503 1'
stays "a xorb's place fails once" 'store . status=500 4'
stays "a cut" 'store . cut=100000 2'
stays "a reset" 'store . rst=150000 3'
stays "the storage asks to slow down" 'cas . status=429,Retry-After:1 2'
fault 'hub /resolve/ route=none'
fresh
succeeds "a hub without Xet" pull o/xet --xet
cache_is "a hub without Xet: the right bytes" o/xet
silent "a hub without Xet"

# ---- what cannot be had by Xet comes by plain ranges ----
falls "no token" 'status 403 when asked for a token' 'hub xet-read-token status=403'
falls "a token without an end" 'something is missing' 'hub xet-read-token json=set:exp:0'
falls "a token that is none" 'token' 'hub xet-read-token json=set:accessToken:"a\u000d\u000ab"'
falls "a token elsewhere" 'not to be had at the hub itself' 'hub /resolve/ route=away'
falls "a storage that is no address" 'address|scheme|URL' 'hub xet-read-token json=set:casUrl:"ftp://127.0.0.1/"'
falls "a storage that nobody is at" 'connect|refused' 'hub xet-read-token json=set:casUrl:"http://127.0.0.1:1"'
falls "tokens refused for ever" 'status 401' 'cas . status=401'
falls "a storage that fails for ever" 'status 502' 'cas . status=502'
falls "a storage that wants to be left alone" 'status 429' 'cas . status=429,Retry-After:3000'
falls "a file that the storage does not know" 'status 404' 'cas . status=404'
falls "a range that the storage does not know" 'status 416' 'cas . status=416'
falls "addresses that are refused for ever" 'status 403 when asked for a part of a xorb' 'store . status=403 5-9999'
falls "xorbs without parts" 'another part of a xorb' 'store . norange'
falls "another part of a xorb" 'another part of a xorb' 'store . badstart'
falls "a part that is shorter" 'Xet is given up' 'store . shorter=5000'
falls "no JSON" '.' 'cas . html'
for kind in truncated deep scalar empty; do falls "reconstruction: $kind" '.' "cas . json=$kind 2-99"; done
for kind in noterms fewer more many offset negative large longer shorter overflow backwards chunks strange nowhere nourl file newline beyond \
    thin string deep; do
    falls "reconstruction: $kind" '.' "cas . mangle=$kind 2-99"
done
for kind in version scheme unpacked packed beyond zero less footer bomb damaged; do
    falls "xorb: $kind" '.' "store . mangle=$kind 3-999"
done
falls "wrong bytes in the right form" 'sha256|hash' 'store . mangle=bytes 3-999'

# ---- https is not left ----
HF_ENDPOINT=$HUB_HTTPS SSL_CERT_FILE=$HUB_CA
export HF_ENDPOINT SSL_CERT_FILE
stays "https"
falls "https: a storage without encryption" 'storage without encryption, which is refused' 'hub xet-read-token downgrade'
check "https: the storage without encryption was not asked" not grep -q '^cas' "$hub/log"
falls "https: xorbs without encryption" 'without encryption, which is refused' 'cas . downgrade 2-99'
unset SSL_CERT_FILE
HF_ENDPOINT=$HUB_HTTP

# ---- plain ranges have their own faults ----
fault 'cas . status=500 3-99' "cdn /blob/$etag cut=3000000 1" "cdn /blob/$etag status=503 2"
fresh
succeeds "neither Xet nor plain ranges are at their best" pull o/xet --xet
cache_is "neither: the right bytes" o/xet

# ---- stopped and gone on with ----
fault 'store . slow=400000 12-9999'
fresh
"$MLXK" pull o/xet --xet > "$T/out" 2> "$T/err" &
pid=$!
n=0
until [ "$(grep -c '^store' "$hub/log")" -ge 14 ] || [ $n -gt 600 ]; do n=$((n + 1)); sleep 0.05; done
kill -9 $pid
wait $pid 2>/dev/null
fault
: > "$hub/log"
run pull o/xet --xet --json
if [ $status = 0 ] && python3 -c "import json,sys; d=json.load(open(sys.argv[1]))['data']; sys.exit(d['resumed_bytes'] < 1)" "$T/out"
then ok "killed and gone on with"; else bad "killed and gone on with" "$(cat "$T/out")"; fi
cache_is "killed: the right bytes" o/xet
by_xet "killed"

# ---- as slow as wanted, and told ----
fresh
run pull o/xet --xet --include second.safetensors --limit-rate 200K --progress json
check "--limit-rate: progress is told" grep -q '"event": *"bytes"' "$T/err"
cache_is "--limit-rate: the right bytes" o/xet --only second.safetensors
