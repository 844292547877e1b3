#!/bin/sh
# 65-push-faults.sh: push against a hub and a storage that misbehave: what is overcome, what is told, what is never sent twice or lost.
set -u
. tests/fake/hub.sh
. tests/fake/hub_json.sh
# shellcheck disable=SC2119
hub_start
export HF_TOKEN=hf_goodgoodgoodgoodgood
W=$T/w
mkdir "$W"
make() { head -c "$2" /dev/urandom; }
i=0
# change: other content everywhere, so that everything has to be sent.
change() {
    i=$((i + 1))
    printf '{"model_type": "llama", "n": %d}' $i > "$W/config.json"
    make "p$i" 2300000 > "$W/model.safetensors"
    make "s$i" 5000 > "$W/small.gguf"
    echo "text $i" > "$W/read.txt"
    : > "$hub/log"
}
same() {
    (cd "$W" && for f in *; do printf '%s  %s\n' "$(sha256sum < "$f" | cut -c1-64)" "$f"; done) | LC_ALL=C sort -k2 > "$T/want"
    python3 tests/fake/fake_hub.py remote "$HF_ENDPOINT" o/f 2> /dev/null | grep -v '  .gitattributes$\|  race.txt$' | LC_ALL=C sort -k2 > "$T/have"
    cmp -s "$T/want" "$T/have"
}
head_of() { python3 -c 'import json, sys, urllib.request as u; print(json.load(u.urlopen(u.Request(sys.argv[1] + "/api/models/o/f", headers={"Authorization": "Bearer hf_goodgoodgoodgoodgood"})))["sha"])' "$HF_ENDPOINT"; }
commits() { grep -c '^COMMIT' "$hub/log"; }
# overcome NAME FAULT...: the push succeeds in spite of them, the hub has every file, in one commit.
overcome() {
    name=$1; shift
    change; fault "$@"
    run push "$W" o/f --private --json
    fault
    n=$(commits)
    if [ $status != 0 ]; then bad "$name" "status $status $(grep message "$T/out")"
    elif ! same; then bad "$name" "$(diff "$T/want" "$T/have" | head -n 4)"
    elif [ "$n" != 1 ]; then bad "$name" "$n commits"
    elif [ "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["data"]["commit_sha"])' "$T/out")" != "$(head_of)" ]; then bad "$name" "another commit is told"
    elif grep -q WRONG "$hub/log"; then bad "$name" "$(grep WRONG "$hub/log")"
    else ok "$name"; fi
}
# refused NAME ERE FAULT...: the push fails with that message, and the branch stays where it was.
refused() {
    name=$1; pattern=$2; shift 2
    change; before=$(head_of); fault "$@"
    fails "$name" "$pattern" push "$W" o/f --private
    fault
    check "$name: the branch is as it was" test "$(head_of)" = "$before"
}
change
succeeds "at first" push "$W" o/f --private --create

# ---- what passes ------------------------------------------------------------------------------------------------------
overcome "a busy hub" "hub /api/models/o/f status=503 1-2" "hub preupload status=500 1" "hub batch status=502 1" "hub verify status=504 1" "hub complete status=503 1"
overcome "a hub that asks to wait" "hub preupload status=429,Retry-After:1 1" "hub commit status=429,Retry-After:0 1-2"
overcome "a busy storage" "cdn upload|part status=503 1-2" "cdn upload status=429,Retry-After:0 1"
overcome "closed without an answer" "hub preupload close 1" "hub batch close 1" "cdn upload close 1" "cdn /part/ close 2" "hub complete close 1" "hub verify close 1"
overcome "reset in the middle of a file" "cdn /part/ dropbody=300000 1" "cdn upload dropbody=1000 1"
overcome "refused in the middle of a file" "cdn /part/ early=503 1" "cdn upload early=500 1"
overcome "an address that has expired" "cdn upload status=403 1"
check "is asked for anew" test "$(grep -c 'POST .*/batch' "$hub/log")" = 2
overcome "expired between the parts" "cdn /part/ status=403 2"
overcome "the answer to the last part is lost" "hub complete lost 1"
overcome "addresses of the official hub" "hub batch official"
overcome "redirects" "hub preupload away=$HUB_HTTP/prefix/api/models/o/f/preupload/main 1"
check "keep the question" logged '^hub POST /prefix/api/models/o/f/preupload/main.* status=200'
overcome "bytes behind an answer" "hub . leftover" "cdn . leftover"
overcome "interim answers, chunks" "any . interim=2" "hub . chunked"
overcome "answers that are encoded" "hub . gzip"

# ---- the answer to the commit --------------------------------------------------------------------------------------------
overcome "the answer to the commit is lost" "hub /commit/main lost 1"
check "the commit is not sent twice" test "$(grep -c '^hub POST .*/commit/main' "$hub/log")" = 1
overcome "an error instead of the answer" "hub /commit/main lost5xx 1"
overcome "an answer that cannot be read" "hub /commit/main badreply 1"
overcome "the commit does not arrive" "hub /commit/main close 1-2"
overcome "the hub fails before it commits" "hub /commit/main status=500 1"
change; fault "hub /commit/main unapplied 1"
run push "$W" o/f --private
fault
check "taken and forgotten is sent again" test $status = 0
check "and arrives" same
refused "the commit is refused for ever" "status 500" "hub /commit/main status=500"
change; fault "hub /commit/main race 1"
fails "somebody was faster" "main has moved from [0-9a-f]{7} to [0-9a-f]{7}" push "$W" o/f --private
check "their file is there" grep -q race.txt "$(python3 tests/fake/fake_hub.py remote "$HF_ENDPOINT" o/f > "$T/race"; echo "$T/race")"
fault; : > "$hub/log"
succeeds "once more" push "$W" o/f --private
check "nothing is uploaded again" not grep -q '^cdn PUT' "$hub/log"
check "ours is there" same
check "and theirs, too" grep -q race.txt "$(python3 tests/fake/fake_hub.py remote "$HF_ENDPOINT" o/f > "$T/race"; echo "$T/race")"
change; fault "hub /commit/main spoil 1"
fails "a hub that keeps something else" "does not have .* as it is here" push "$W" o/f --private
fault
succeeds "is noticed, and put right" push "$W" o/f --private

# ---- what is not overcome ---------------------------------------------------------------------------------------------------
refused "errors without end" "status 503" "hub preupload status=503"
refused "the storage is closed" "answered with status 503" "cdn upload|part status=503"
change; fault "cdn . status=403"
fails "the storage refuses" "answered with status 403" push "$W" o/f --private
refused "a quota" "does not take .*quota is used up" "hub batch refuse"
refused "a web page" "web page" "hub preupload html"
refused "no JSON" "byte|JSON|cannot be used" "hub preupload json=truncated"
refused "a scalar" "'files' is missing|cannot be used" "hub preupload json=scalar"
refused "a file is left out" "answers for 3 of 4" "hub preupload unlisted"
refused "an object that nobody asked for" "not asked for" "hub batch stranger"
refused "too few places for parts" "places for the 3 parts" "hub batch fewparts"
refused "an address of another kind" "cannot be used" "hub batch badhref"
refused "parts without tags" "no tag for part" "cdn /part/ noetag"
refused "a storage that forgets" "could not be verified" "cdn upload forget"
refused "hostile JSON" "deep|nested|byte" "hub batch json=deep"
refused "no HTTP" "not HTTP" "hub batch junk"
check "no control characters reach the terminal" not grep -q "$(printf '\033')" "$T/err"
check "no token in any message" not grep -rq hf_good "$T/out" "$T/err"

# ---- it goes on where it was -----------------------------------------------------------------------------------------------
change; fault "hub /commit/main status=400"
run push "$W" o/f --private
check "refused at the end" test $status = 1
fault; : > "$hub/log"
succeeds "run again" push "$W" o/f --private --json
check_json "the storage has it already" "x['uploaded_bytes'] == 0 and x['n_stored_before'] == 2"
check "nothing is uploaded again" not grep -q '^cdn PUT' "$hub/log"
check "and all is there" same
change; fault "cdn /part/ stall=1"
"$MLXK" push "$W" o/f --private > "$T/out" 2> "$T/err" &
pid=$!
n=0; while ! grep -q batch "$hub/log" && [ $n -lt 50 ]; do n=$((n + 1)); sleep 0.1; done
sleep 0.3
kill -9 $pid; wait $pid 2>/dev/null
fault
succeeds "after a kill" push "$W" o/f --private
check "all is there after a kill" same
change; fault "cdn /part/ stall=1"
"$MLXK" push "$W" o/f --private > "$T/out" 2> "$T/err" &
pid=$!
n=0; while ! grep -q batch "$hub/log" && [ $n -lt 50 ]; do n=$((n + 1)); sleep 0.1; done
kill -INT $pid; kill -TERM $pid; wait $pid; status=$?
check "an interrupt is a failure" test $status = 1
check "that says so" grep -q stopped "$T/err"
fault

# ---- files that change, silence, size ------------------------------------------------------------------------------------------
change; fault "hub preupload stall=1 1"
(sleep 0.4; echo other >> "$W/read.txt"; make "x" 2300000 > "$W/model.safetensors") &
pid=$!
fails "files that change meanwhile" "has changed since the push began" push "$W" o/f --private
wait $pid
fault
succeeds "are pushed later" push "$W" o/f --private
export HF_HUB_DOWNLOAD_TIMEOUT=1
overcome "an answer to the commit that comes too late" "hub /commit/main late=3 1"
overcome "silence before an answer" "hub batch stall=3 1" "cdn upload stall=3 1"
overcome "a storage that takes nothing" "cdn /part/ stuck 1"
unset HF_HUB_DOWNLOAD_TIMEOUT
change
python3 -c 'import sys
for i in range(600):
    open(f"{sys.argv[1]}/f{i:03}.gguf", "w").write(f"weights {i}")
    open(f"{sys.argv[1]}/t{i:03}.txt", "w").write("x" * i)' "$W"
succeeds "1,200 files more" push "$W" o/f --private
check "in questions of at most 256" test "$(grep -c 'POST .*preupload' "$hub/log")" -ge 5
check "and batches, too" test "$(grep -c 'POST .*batch' "$hub/log")" -ge 3
check "every question was right" not grep -q WRONG "$hub/log"
check "all are there" same
make big 60000000 > "$W/model.safetensors"
if [ -x /usr/bin/time ]; then
    /usr/bin/time -f %M -o "$T/rss" "$MLXK" push "$W" o/f --private > "$T/out" 2> "$T/err"
    check "60 MB without memory for them" test "$(tail -n 1 "$T/rss")" -lt 30000
else
    succeeds "60 MB" push "$W" o/f --private
fi
check "as it was" same
