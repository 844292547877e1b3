#!/bin/sh
# What `list --json` remembers of a large cache: the answer is the one it gives without, after every change.
. tests/tap.sh
export HF_HOME="$T/hf" HOME="$T/home"
mkdir -p "$HOME"
python3 - "$T/hf/hub" <<'PY'
import hashlib, os, sys
header = b'{"t":{"dtype":"F16","shape":[200],"data_offsets":[0,400]}}'
weights = len(header).to_bytes(8, "little") + header + bytes(400)
for i in range(300):
    repo = os.path.join(sys.argv[1], "models--org--m%03d" % i)
    commit = hashlib.sha1(b"%d" % i).hexdigest()
    snapshot = os.path.join(repo, "snapshots", commit)
    for d in ("blobs", "refs", "snapshots/" + commit): os.makedirs(os.path.join(repo, d))
    files = {"config.json": b'{"model_type":"llama","quantization":{"bits":4},"n":%d}' % i, "model.safetensors": weights}
    if i == 7: files["1_Pooling/config.json"] = b"{}"
    if i == 8: del files["model.safetensors"]
    for name, data in files.items():
        blob = hashlib.sha256(data).hexdigest()
        open(os.path.join(repo, "blobs", blob), "wb").write(data)
        os.makedirs(os.path.dirname(os.path.join(snapshot, name)), exist_ok=True)
        os.symlink(os.path.join("../" * name.count("/") + "../../blobs", blob), os.path.join(snapshot, name))
    open(os.path.join(repo, "refs/main"), "w").write(commit)
PY
repo() { echo "$T/hf/hub/models--org--m$1"; }
snapshot() { find "$(repo "$1")/snapshots" -mindepth 1 -maxdepth 1 | head -n 1; }
# agrees NAME: with what is remembered, what is written, and what is found without either.
agrees() {
    sleep 0.05
    HOME=/dev/null "$MLXK" list --json > "$T/plain.json"
    "$MLXK" list --json > "$T/first.json"; "$MLXK" list --json > "$T/second.json"
    cmp -s "$T/plain.json" "$T/first.json" && cmp -s "$T/plain.json" "$T/second.json"
    ok $? "list-index/$1"
}
# differs NAME: and the answer is another than before.
differs() { cp "$T/plain.json" "$T/before.json"; agrees "$1"; ! cmp -s "$T/before.json" "$T/plain.json"; ok $? "list-index/$1_shows"; }

agrees new
index=$(ls "$HOME"/.cache/mlxk/list-*)
[ "$(wc -c < "$index")" -gt 100000 ]; ok $? "list-index/is_written"
"$MLXK" list --json > /dev/null
if command -v strace > /dev/null 2>&1; then
    n=$(strace -f -e trace=openat,open "$MLXK" list --json 2>&1 >/dev/null | grep -c snapshots)
    [ "$n" -lt 20 ]; ok $? "list-index/saves_looking"
else echo "ok list-index/saves_looking # SKIP no strace"; fi
printf '{"model_type":"llama","quantization":{"bits":8},"longer":1}' > "$(snapshot 001)/config.json"; differs config_written_in_place
rm "$(repo 002)"/blobs/*; differs blob_removed
rm "$(snapshot 003)/model.safetensors"; differs link_removed
cp -r "$(snapshot 004)" "$(repo 004)/snapshots/ffffffffffffffffffffffffffffffffffffffff"
printf ffffffffffffffffffffffffffffffffffffffff > "$(repo 004)/refs/main"; differs ref_moved
rm -r "$(repo 005)"; differs repo_removed
cp -a "$(repo 006)" "$(repo 600)"; differs repo_added
rm "$(snapshot 007)/1_Pooling/config.json"; differs folder_inside
cp "$(snapshot 009)/model.safetensors" "$(snapshot 008)/model.safetensors"; differs repaired
touch -d "2001-01-01" "$(snapshot 010)"; differs times_set_back
cp "$index" "$T/good"
python3 - "$T/good" "$T" <<'PY'
import sys
good = open(sys.argv[1], "rb").read()
def put(name, data): open("%s/bad-%s" % (sys.argv[2], name), "wb").write(data)
put("empty", b""); put("short", good[:20]); put("cut", good[:len(good) // 2]); put("key", good[:8] + bytes(8) + good[16:])
put("size", good[:40] + b"\xff" * 12 + good[52:]); put("text", good[:300] + b"}" + good[301:])
put("huge", good[:48] + b"\xff" * 8 + good[56:]); put("names", good[:44] + b"\xff\xff\xff\xff" + good[48:])
PY
for bad in "$T"/bad-*; do cp "$bad" "$index"; agrees "damaged_${bad##*bad-}"; done
rm -r "$HOME/.cache"; printf x > "$HOME/.cache"; agrees no_place_for_it
