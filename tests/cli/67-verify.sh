#!/bin/sh
# 67-verify.sh: verify and health --deep against faults made here: flipped bytes, short blobs, links to nowhere, lost refs and
# lists; repair through the fake hub.
set -u
. tests/fake/hub.sh
# shellcheck disable=SC2119      # the faults it can be given are for other tests
hub_start
doc() { name=$1; shift; if python3 -c 'import json, sys
d = json.load(open(sys.argv[1], encoding="utf-8")); x = d["data"]; e = d["error"]
f = {(i["code"], i.get("file") or i["path"].rsplit("/", 1)[-1]): i for i in x.get("findings", [])} if x else {}
codes = sorted(i["code"] for i in x.get("findings", [])) if x else []
assert eval("(" + sys.argv[2] + ")"), (codes, d)' "$T/out" "$1" 2> "$T/json"; then ok "$name"; else bad "$name" "$(tail -n 1 "$T/json")"; fi; }
blob_of() { readlink -f "$cache/models--o--$1/snapshots"/*/"$2"; }
flip() { python3 - "$1" "${2:-100}" <<'PY'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2])); b = f.read(1); f.seek(int(sys.argv[2])); f.write(bytes([b[0] ^ 1]))
PY
}

# ---- a cache without a fault ---------------------------------------------------------------------------------------
run verify --json
doc "an empty cache is right" 'd["status"] == "success" and x["files"] == 0'
run pull o/model; run pull o/small
succeeds "a good cache" verify
check "it says how many" grep -q '^15 files (.*) of 2 repositories verified: 15 right, 0 wrong$' "$T/out"
check "nothing on stderr" not test -s "$T/err"
run verify small --json
doc "one model by a part of its name" 'x["repositories"] == 1 and x["files"] == x["good"] == 2 and not codes'
run verify "o/model@$(python3 tests/fake/fake_hub.py commit o/model | cut -c1-8)" --json
doc "one snapshot" 'x["repositories"] == 1 and x["files"] == 13'
fails "no such model" "No model found" verify o/none
run verify oci://example.org/x --json
doc "a registry's signature needs a key" 'd["status"] == "error" and e["type"] == "CommandError"'

# ---- one flipped bit, one short blob, one lost blob ----------------------------------------------------------------
small=$(blob_of small model.safetensors); config=$(blob_of model config.json); readme=$(blob_of model README.md)
sum=$(sha256sum "$small" | cut -d' ' -f1)
flip "$small"; truncate -s 10 "$config"; rm "$readme"
fails "three faults" "3 things are wrong" verify
check "the table names expected and found" grep -Eq "error .*o/small .*model.safetensors.* $sum \| [0-9a-f]{64}" "$T/out"
run verify --json
doc "each fault in JSON" 'd["status"] == "error" and e["type"] == "integrity_error" and codes == ["dangling_link", "hash_mismatch", "hash_mismatch"]
    and x["wrong"] == 2 and x["good"] == 12 and x["errors"] == 3'
doc "the flipped bit" "f['hash_mismatch','model.safetensors']['expected'] == '$sum' and len(f['hash_mismatch','model.safetensors']['found']) == 64
    and f['hash_mismatch','model.safetensors']['model'] == 'o/small' and 'repair' in f['hash_mismatch','model.safetensors']['fix']"
doc "the short blob" '"10 of 38 bytes" in f["hash_mismatch","config.json"]["message"] and len(f["hash_mismatch","config.json"]["expected"]) == 40'
doc "the lost blob" 'f["dangling_link","README.md"]["path"].endswith("README.md")'
cp -a "$cache" "$T/hurt"
: > "$hub/log"
run verify --repair --json
check "repair: exit status 0" test $status = 0
doc "repair: all mended" 'd["status"] == "success" and x["errors"] == 0 and all(i["repaired"] for i in x["findings"]) and len(codes) == 3'
check "repair: three files were fetched, no more" test "$(grep -c ' GET .*/resolve/' "$hub/log")" = 3
check "repair: no copies stay" test -z "$(find "$cache" -name '*.incomplete')"
cache_is "repair: as pulled (model)" o/model
cache_is "repair: as pulled (small)" o/small
succeeds "and right again" verify

# ---- a repair that cannot succeed ------------------------------------------------------------------------------------
restore() { rm -rf "$cache"; cp -a "$T/hurt" "$cache"; }
restore
HF_ENDPOINT=http://127.0.0.1:9 MLXK_RETRY_BASE_MS=1 run verify o/small --repair --json
check "hub down: exit status 1" test $status = 1
doc "hub down: nothing was touched" 'not f["hash_mismatch","model.safetensors"]["repaired"] and "127.0.0.1" in f["hash_mismatch","model.safetensors"]["repair"]'
check "hub down: the blob keeps its name" test -f "$small"
HF_HUB_OFFLINE=1 run verify o/small --repair --json
doc "offline: nothing was touched" '"OFFLINE" in f["hash_mismatch","model.safetensors"]["repair"]'
fault 'any (model.safetensors|/lfs|cdn|[0-9a-f]{64}) status=404'
run verify o/small --repair
check "a fetch that fails: exit status 1" test $status = 1
check "a fetch that fails: nobody takes the blob for good" not test -e "$small"
check "a fetch that fails: the copy is named" test -f "$small.damaged.incomplete"
fault
succeeds "the next repair goes on" verify o/small --repair
cache_is "and ends as pulled" o/small
# ---- killed at every call that changes the file system: the next repair ends as if nothing had happened ---------------
fresh; run pull o/small; small=$(blob_of small model.safetensors)
cp -a "$cache" "$T/good"
flip "$small"; rm "$(blob_of small config.json)"
cp -a "$cache" "$T/hurt-small"
if ${CC:-cc} -O1 -o "$T/kill_at" tests/fake/kill_at.c 2> "$T/err" && "$T/kill_at" "$T/report" count 0 true; then
    n=0; faults=0
    while [ $n -lt 300 ]; do
        n=$((n + 1)); rm -rf "$cache"; cp -a "$T/hurt-small" "$cache"
        "$T/kill_at" "$T/report" kill $n "$MLXK" verify --repair > "$T/out" 2> "$T/err"
        [ $? = 137 ] || break
        [ ! -f "$small" ] || cmp -s "$small" "$T/good/${small#"$cache"/}" || cmp -s "$small" "$T/hurt-small/${small#"$cache"/}" || faults=$((faults + 1))
        run verify --repair; [ $status = 0 ] || faults=$((faults + 1))
        rm -rf "$cache/.locks" "$cache"/*/.mlxk; find "$cache" -name '????????????????.mlxk.incomplete' -delete      # what gc would take
        diff -r --no-dereference -x .locks "$T/good" "$cache" > "$T/differs" || { faults=$((faults + 1)); head -n 2 "$T/differs"; }
    done
    check "verify/repair-killed at each of $((n - 1)) file calls is ended by the next" test $faults = 0 -a $n -gt 20
else echo "ok verify/repair-killed at each of its file calls # SKIP system calls cannot be stopped on this machine"; fi
rm -rf "$cache"

# ---- links, lists, refs ------------------------------------------------------------------------------------------------
restore; succeeds "everything is mended first" verify --repair
snapshot=$(dirname "$(find "$cache/models--o--small/snapshots" -name config.json)"); commit=$(basename "$snapshot")
rm "$snapshot/config.json" "$cache/models--o--small/trees/$commit.json" "$cache/models--o--small/refs/main"
run verify o/small --json
doc "a lost list is a note" '"list_missing" in codes and "main_missing" in codes and d["status"] == "success"'
succeeds "list and ref come back" verify o/small --repair
check "the list is as pulled" test -f "$cache/models--o--small/trees/$commit.json"
check "the ref has 40 bytes" test "$(wc -c < "$cache/models--o--small/refs/main")" = 40
run verify o/small --json
doc "now the link is missed" 'codes == ["link_missing"] and d["status"] == "success"'
HF_HUB_OFFLINE=1 succeeds "a link is made without the hub" verify o/small --repair
cache_is "links, list and ref as pulled" o/small
ln -sfn "../../blobs/$(basename "$small")" "$snapshot/config.json"
fails "a link to another blob" "link leads to blob|is wrong" verify o/small
HF_HUB_OFFLINE=1 succeeds "is led back" verify o/small --repair
cache_is "led back" o/small
echo 0123456789abcdef0123456789abcdef01234567 > "$cache/models--o--small/refs/gone"
run verify o/small --json
doc "a ref to nowhere" 'codes == ["ref_dangling"] and d["status"] == "error"'
rm "$cache/models--o--small/refs/gone"
orphan="$cache/models--o--small/blobs/$(printf x | sha256sum | cut -c1-64)"
printf y > "$orphan"
fails "a wrong blob that nobody shows" "wrong content" verify o/small
succeeds "is removed" verify o/small --repair
check "is gone" not test -e "$orphan"

# ---- an import proves itself -----------------------------------------------------------------------------------------------
mkdir "$T/plain"; cp tests/golden/tiny-a/llama-q4-g64/config.json tests/golden/tiny-a/llama-q4-g64/*.safetensors tests/golden/tiny-a/_tokenizer/*.json "$T/plain"
run import "$T/plain" --name local/t
cp -a "$cache/models--local--t" "$T/imported"
rm "$cache"/models--local--t/refs/main "$cache"/models--local--t/trees/*
HF_HUB_OFFLINE=1 succeeds "an import's list and ref come back without the hub" verify local/t --repair
check "exactly as they were" diff -r --no-dereference "$T/imported" "$cache/models--local--t"

# ---- without links -----------------------------------------------------------------------------------------------------------
fresh
HF_HUB_DISABLE_SYMLINKS=1 run pull o/small
copy=$(find "$cache/models--o--small/snapshots" -name model.safetensors)
run verify --json
doc "files instead of links" 'd["status"] == "success" and x["good"] == x["files"] and x["files"] >= 2'
flip "$copy"
fails "a flipped bit in a copy" "wrong" verify
HF_HUB_DISABLE_SYMLINKS=1 succeeds "a copy is mended" verify --repair
succeeds "a copy is right again" verify
find "$cache/models--o--small/blobs" -type f -delete
flip "$copy"
fails "a copy alone is compared with the list" "wrong" verify
HF_HUB_DISABLE_SYMLINKS=1 succeeds "and mended" verify --repair
rm "$cache"/models--o--small/trees/*; find "$cache/models--o--small/blobs" -type f -delete
run verify --json
doc "without a list nothing is known" 'x["without_hash"] >= 2 and x["files"] == 0 and "no_hash" in codes'

# ---- the shared store --------------------------------------------------------------------------------------------------------------
fresh; run pull o/small
blob=$(blob_of small model.safetensors); key=$(printf store | sha256sum | cut -c1-64); two=$(printf %.2s "$key")
mkdir -p "$cache/blobs/$two"; echo 1 > "$cache/blobs/.huggingface-shared-blobs"
mv "$blob" "$cache/blobs/$two/$key"; ln -s "../../blobs/$two/$key" "$blob"
echo "models--o--small/blobs/$(basename "$blob")" > "$cache/blobs/$two/$key.refs"
succeeds "payload of the shared store" verify
flip "$cache/blobs/$two/$key"
fails "wrong payload of the shared store" "wrong content" verify
succeeds "is fetched into the repo" verify --repair
check "the store keeps its file" test -f "$cache/blobs/$two/$key"
check "the repo has its own" test -f "$blob" -a ! -L "$blob"
rm "$blob"; ln -s "../../blobs/$two/nothing" "$blob"
run verify --json
doc "payload that is gone" '"store_missing" in codes'
succeeds "comes back" verify --repair
rm -rf "$cache/blobs"
cache_is "as pulled" o/small

# ---- since, interrupt, pace ------------------------------------------------------------------------------------------------------------
fresh; rm -rf "$T/.local"; run pull o/model; run pull o/small
succeeds "a first run" verify
run verify --since last --json
doc "since last: all is passed over" 'x["skipped"] == 15 and x["files"] == 0'
run verify --since 1h --json
doc "since an hour: all is passed over" 'x["skipped"] == 15'
run verify --since 0s --json
doc "since now: nothing is" 'x["skipped"] == 0 and x["files"] == 15'
run verify --since 2100-01-01 --json
doc "since a date to come: nothing is" 'x["skipped"] == 0'
small=$(blob_of small model.safetensors)
touch -d '2020-01-01' "$small"
run verify --since last --json
doc "a touched file is hashed again" 'x["skipped"] == 14 and x["files"] == 1'
fails "a wrong span" "neither a span of time nor a date" verify --since yesterday
check "the journal lies in the state folder" test -f "$T/.local/state/mlxk/verified"
check "nothing of it in the cache" test -z "$(find "$cache" -name verified)"
rm -rf "$T/.local"; mkdir -p "$T/.local/state"; : > "$T/.local/state/mlxk"
succeeds "a state folder that cannot be" verify
rm -rf "$T/.local"
begin=$(date +%s%N)
run verify o/model --limit-rate 400K --json
took=$(( ($(date +%s%N) - begin) / 1000000 ))
check "400 KB at 400 KB/s take about a second ($took ms)" test "$took" -ge 800 -a "$took" -le 15000
rm -rf "$T/.local"
"$MLXK" verify --limit-rate 100K --json > "$T/out" 2> "$T/err" &
verifying=$!
sleep 1.5; kill -TERM $verifying; wait $verifying; status=$?
check "an interrupt: exit status 1" test $status = 1
doc "an interrupt: what was done is told" 'e["type"] == "interrupted" and x["interrupted"] and x["files"] < 15'
done_first=$(python3 -c "import json; print(json.load(open('$T/out'))['data']['files'])")
run verify --since last --json
doc "an interrupt: the next run goes on" "x['skipped'] == $done_first and x['skipped'] + x['files'] == 15"

# ---- health --deep -----------------------------------------------------------------------------------------------------------------------
fresh
mkdir -p "$cache"; cp -a "$T/imported" "$cache/models--local--t"
run health --json; cp "$T/out" "$T/plain.json"
run health --deep --json
doc "deep: a good model" 'codes == [] and x["summary"]["healthy_count"] == 1'
check "without --deep as ever" not grep -q findings "$T/plain.json"
weights=$(readlink -f "$(find "$cache/models--local--t/snapshots" -name model.safetensors)")
size=$(stat -c %s "$weights")
truncate -s $((size - 1)) "$weights"
run health local/t --json
doc "shallow: a byte less is not seen" 'x["summary"]["healthy_count"] == 1'
run health local/t --deep --json
doc "deep: a byte less is seen" '"header_invalid" in codes and "size_differs" in codes and x["summary"]["healthy_count"] == 0'
run health local/t --deep
check "deep: exit status 0 and a table" grep -q '^error .*model.safetensors' "$T/out"
check "deep: finding is its work" test $status = 0

mkdir -p "$T/shards"
python3 - "$T/shards" <<'PY'
import json, struct, sys
d = sys.argv[1]
def shard(name, tensors):
    header, at, data = {}, 0, b""
    for t, n in tensors:
        header[t] = {"dtype": "U8", "shape": [n], "data_offsets": [at, at + n]}
        at += n; data += bytes(n)
    h = json.dumps(header).encode()
    open(f"{d}/{name}", "wb").write(struct.pack("<Q", len(h)) + h + data)
shard("model-00001-of-00002.safetensors", [("a", 8), ("b", 8), ("extra", 8)])
shard("model-00002-of-00002.safetensors", [("c", 8), ("b", 8)])
json.dump({"metadata": {"total_size": 7}, "weight_map": {"a": "model-00001-of-00002.safetensors",
    "b": "model-00001-of-00002.safetensors", "c": "model-00002-of-00002.safetensors", "lost": "model-00002-of-00002.safetensors"}},
    open(f"{d}/model.safetensors.index.json", "w"))
open(f"{d}/x.gguf", "wb").write(b"GGML" + bytes(100))
open(f"{d}/config.json", "w").write('{"model_type": "llama"}')
PY
ln -s nowhere "$T/shards/dead.json"
run health "$T/shards" --deep --json
doc "deep: shards and index disagree" 'codes == ["dangling_link", "gguf_magic", "index_tensor_missing", "index_tensor_unlisted", "index_total_size", "tensor_duplicate"]'
doc "deep: names are told" '"lost" in f["index_tensor_missing","model.safetensors.index.json"]["message"] and "extra" in f["index_tensor_unlisted","model.safetensors.index.json"]["message"]'
