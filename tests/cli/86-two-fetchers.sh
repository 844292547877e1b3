#!/bin/sh
# 86-two-fetchers.sh: processes of different kinds (pull, mirror, import of a bundle) that want the same blob of one cache at the same
# time, or one after another: it is fetched once, each goes on from what the other has, and a mirror's clients get the bytes meanwhile.
# shellcheck disable=SC2119
# shellcheck disable=SC2016
set -u
. tests/fake/mirror.sh
command -v curl > /dev/null || { echo "ok mirror: two fetchers # SKIP curl is not installed"; exit 0; }
hub_start
etag=$(python3 tests/fake/fake_hub.py etag o/huge model.safetensors)
huge=/o/huge/resolve/main/model.safetensors
size=24000000
whole() { test "$(sha256sum < "$1" | cut -d' ' -f1)" = "$etag"; }
# By the storage, on connections younger than the N-th of the hub: those of one that was killed end, and are told, at any time.
sent() {
    sleep 0.3
    sed -n 's/^cdn GET .*sent=\([0-9]*\) conn=\([0-9]*\).*/\1 \2/p' "$hub/log" | awk -v old="${1-0}" '$2 > old { s += $1 } END { print s + 0 }'
}
youngest() { curl -s -o /dev/null "$HUB_HTTP/youngest"; sed -n 's,.* /youngest .*conn=,,p' "$hub/log" | tail -n 1; }
begun() {           # until a download is on its way
    for _ in $(seq 1 100); do test -e "$partial" && break; sleep 0.05; done
    sleep 1
}
partial=$cache/models--o--huge/blobs/$etag.mlxk.incomplete

# ---- the pull is first: the mirror's client reads along ------------------------------------------------
fault "cdn $etag slow=2000000"
"$MLXK" pull o/huge > "$T/pull.out" 2> "$T/pull.err" & pull_pid=$!
begun
mirror_start --pull-through --upstream "$HUB_HTTP"
curl -s -m 60 -o "$T/one" -w '%{time_starttransfer} %{time_total}\n' "$mirror$huge" > "$T/times"
check "a client of the mirror gets what a pull fetches" whole "$T/one"
check "while it arrives: $(cat "$T/times")" awk '{ exit !($1 < 2 && $2 > $1) }' "$T/times"
wait $pull_pid; check "the pull ends well" test $? = 0
cache_is "and leaves a whole repository" o/huge
check "each byte was sent once ($(sent))" test "$(sent)" = $size
mirror_stop

# ---- the mirror is first: the pull waits for it ----------------------------------------------------------
fresh
mirror_start --pull-through --upstream "$HUB_HTTP"
curl -s -m 60 -o "$T/one" "$mirror$huge" & curl_pid=$!
begun
succeeds "a pull of what a mirror fetches" pull o/huge
wait $curl_pid
check "the mirror's client has all of it" whole "$T/one"
cache_is "the repository is whole" o/huge
check "each byte was sent once, again ($(sent))" test "$(sent)" = $size
mirror_stop

# ---- the pull is killed: the mirror goes on where it was, and its client sees nothing of that ------------
fresh
fault "cdn $etag slow=4000000"
"$MLXK" pull o/huge > "$T/pull.out" 2> "$T/pull.err" & pull_pid=$!
begun
mirror_start --pull-through --upstream "$HUB_HTTP"
curl -s -m 60 -o "$T/one" "$mirror$huge" & curl_pid=$!
sleep 1
kill -9 $pull_pid; wait $pull_pid 2>/dev/null
fault
wait $curl_pid
check "the client of the mirror has all of it although the pull was killed" whole "$T/one"
check "what the pull had was not fetched again ($(sent))" test "$(sent)" -le $((size + 8000000))
check "nothing unfinished stays" test -z "$(find "$cache" -name '*.incomplete' -o -name .mlxk)"
mirror_stop
succeeds "a pull afterwards" pull o/huge
cache_is "finds it all there" o/huge

# ---- the mirror is killed: a pull goes on ----------------------------------------------------------------
fresh
fault "cdn $etag slow=4000000"
mirror_start --pull-through --upstream "$HUB_HTTP"
curl -s -m 60 -o "$T/one" "$mirror$huge" & curl_pid=$!
begun; sleep 1
mirror_stop KILL
wait $curl_pid 2>/dev/null
check "its client does not take what came for the whole" not whole "$T/one"
fault
sleep 0.5; : > "$hub/log"
succeeds "a pull after a mirror was killed" pull o/huge
cache_is "makes it whole" o/huge
check "and goes on where that was ($(sent))" test "$(sent)" -lt $size

# ---- a mirror goes on where a pull of several streams was: with holes ---------------------------------------
fresh
fault "cdn $etag slow=3000000"
"$MLXK" pull o/huge > "$T/pull.out" 2> "$T/pull.err" & pull_pid=$!
begun; sleep 1
kill -9 $pull_pid; wait $pull_pid 2>/dev/null
fault
sleep 0.5; : > "$hub/log"
mirror_start --pull-through --upstream "$HUB_HTTP"
curl -s -m 60 -o "$T/one" "$mirror$huge"
check "a mirror finishes what a killed pull left" whole "$T/one"
check "without what was there ($(sent))" test "$(sent)" -lt $size
mirror_stop

# ---- a bundle brings what a pull has begun ----------------------------------------------------------------------
HF_HOME="$T/other" succeeds "elsewhere: a whole repository" pull o/huge
HF_HOME="$T/other" succeeds "and a bundle of it" export o/huge -o "$T/bundle.tar"
for damage in none hole; do
    fresh
    fault "cdn $etag slow=4000000"
    "$MLXK" pull o/huge > "$T/pull.out" 2> "$T/pull.err" & pull_pid=$!
    begun
    if [ $damage = none ]; then run import "$T/bundle.tar" & import_pid=$!; sleep 0.5; fi
    kill -9 $pull_pid; wait $pull_pid 2>/dev/null
    fault
    if [ $damage = none ]; then wait "$import_pid"
    else
        printf XXXX | dd of="$partial" bs=1 seek=1000 conv=notrunc 2>/dev/null
        run import "$T/bundle.tar"
    fi
    check "a bundle finishes what a pull has begun ($damage)" test -f "$cache/models--o--huge/blobs/$etag"
    check "with the right bytes ($damage)" whole "$cache/models--o--huge/blobs/$etag"
    check "and leaves nothing unfinished ($damage)" test -z "$(find "$cache" -name '*.incomplete' -o -name .mlxk)"
done
head -c 12000000 "$T/bundle.tar" > "$T/cut.tar"
fresh
fails "a bundle that is cut short" "." import "$T/cut.tar"
youngest=$(youngest)
succeeds "a pull after it" pull o/huge
check "goes on where the bundle ended ($(sent "$youngest"))" test "$(sent "$youngest")" -gt 8000000 -a "$(sent "$youngest")" -lt 16000000
cache_is "and is whole" o/huge

# ---- no room for all of it: told before the first byte ------------------------------------------------------------
mkdir "$T/small"
if unshare -m mount -t tmpfs -o size=20m none "$T/small" 2> "$T/err"; then
    unshare -m sh -c 'mount -t tmpfs -o size=20m none "$0/small" && HF_HOME="$0/small/hf" "$1" import "$0/bundle.tar"; s=$?; find "$0/small" -type f > "$0/left"; exit $s' \
        "$T" "$MLXK" > "$T/out" 2> "$T/err" < /dev/null
    status=$?
    check "a bundle for which there is no room fails" test $status = 1
    check "and says how much is missing" grep -Eq "are still to come, and .* free" "$T/err"
    check "before the first byte" not test -s "$T/left"
    cat > "$T/on-a-small-disk" <<E
#!/bin/sh
exec unshare -m sh -c 'mount -t tmpfs -o size=20m none "\$0" && exec "\$@"' "$T/small" env HF_HOME="$T/small/hf" "$MLXK" "\$@"
E
    chmod +x "$T/on-a-small-disk"
    program=$MLXK; MLXK=$T/on-a-small-disk
    mirror_start --pull-through --upstream "$HUB_HTTP"
    MLXK=$program
    answers "a mirror without room for a file says so" 507 "$huge"
    answers "and serves what there is room for" 200 /o/model/resolve/main/config.json
    answers "it counts it" 200 /metrics
    body_has "by its status" '^mlxk_http_requests_total.route="resolve",code="507". 1$'
    mirror_stop
else
    echo "ok places/bundle-room # SKIP no mounts here"
fi
