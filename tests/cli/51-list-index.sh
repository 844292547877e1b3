#!/bin/sh
# What `list --json` and `health` remember of a large cache: the answers are those they give without, after every change.
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
    if i in (20, 21): files["model.safetensors.index.json"] = b'{"weight_map": {"t": "model.safetensors"}}'
    if i == 22: files["notes.txt"] = b"notes"
    for name, data in files.items():
        blob = hashlib.sha256(data).hexdigest()
        open(os.path.join(repo, "blobs", blob), "wb").write(data)
        os.makedirs(os.path.dirname(os.path.join(snapshot, name)), exist_ok=True)
        os.symlink(os.path.join("../" * name.count("/") + "../../blobs", blob), os.path.join(snapshot, name))
    open(os.path.join(repo, "refs/main"), "w").write(commit)
PY
repo() { echo "$T/hf/hub/models--org--m$1"; }
snapshot() { find "$(repo "$1")/snapshots" -mindepth 1 -maxdepth 1 | head -n 1; }
# The table, without how long ago what was written.
rows() { HOME=$1 "$MLXK" list "$2" | awk -F'|' '{ $4 = ""; print }'; }
# agrees NAME [COMMAND]: both commands, or that one, with what is remembered, what is written, and what is found without either.
agrees() {
    sleep 0.05
    for c in ${2:-list health}; do
        HOME=/dev/null "$MLXK" "$c" --json > "$T/plain-$c.json"
        "$MLXK" "$c" --json > "$T/first.json"; "$MLXK" "$c" --json > "$T/second.json"
        cmp -s "$T/plain-$c.json" "$T/first.json" && cmp -s "$T/plain-$c.json" "$T/second.json"
        ok $? "$c-index/$1"
    done
    o=--all; [ -z "$2" ] || o=--health
    rows /dev/null $o > "$T/plain-rows"; rows "$HOME" $o > "$T/first-rows"; rows "$HOME" $o > "$T/second-rows"
    cmp -s "$T/plain-rows" "$T/first-rows" && cmp -s "$T/plain-rows" "$T/second-rows"
    ok $? "rows-index/$1"
}
# differs NAME [COMMAND]: and the answer of list, or of that command, is another than before.
differs() {
    cp "$T/plain-${2:-list}.json" "$T/before.json"; agrees "$1" ${2:+"$2"}
    ! cmp -s "$T/before.json" "$T/plain-${2:-list}.json"; ok $? "${2:-list}-index/$1_shows"
}

agrees new
index=$(ls "$HOME"/.cache/mlxk/list-*)
[ "$(wc -c < "$index")" -gt 100000 ]; ok $? "list-index/is_written"
"$MLXK" list --json > /dev/null
ls "$HOME"/.cache/mlxk/rows-all-* > /dev/null 2>&1; ok $? rows-index/is_written
if command -v strace > /dev/null 2>&1; then
    for c in list health; do
        n=$(strace -f -e trace=openat,open "$MLXK" "$c" --json 2>&1 >/dev/null | grep -c snapshots)
        [ "$n" -lt 20 ]; ok $? "$c-index/saves_looking"
    done
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
blob_of() { readlink -f "$(snapshot "$1")/$2"; }
: > "$(blob_of 020 model.safetensors)"; differs weights_emptied_in_place health
printf '{' > "$(blob_of 021 model.safetensors.index.json)"; differs index_written_in_place health
printf 'version https://git-lfs.github.com/spec/v1\n' > "$(blob_of 022 notes.txt)"; differs pointer_written_in_place health
for i in 020 021 022; do rm -r "$(repo $i)"; done
mv "$(blob_of 023 model.safetensors)" "$T/elsewhere"; ln -sf "$T/elsewhere" "$(snapshot 023)/model.safetensors"; agrees link_leads_out
rm "$T/elsewhere"; differs end_of_link_removed
cp -a "$(snapshot 024)" "$(repo 024)/snapshots/eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"; rm "$(repo 024)/refs/main"
touch -d 2020-01-01 "$(repo 024)"/snapshots/e*; agrees two_snapshots
touch "$(repo 024)"/snapshots/e*; differs another_is_the_newest
cp -rL "$(snapshot 025)" "$T/s025"; rm -r "$(snapshot 025)"; ln -s "$T/s025" "$(repo 025)/snapshots/ffffffffffffffffffffffffffffffffffffffff"; agrees snapshot_is_a_link
rm "$T/s025/model.safetensors"; differs snapshot_behind_link
cp "$index" "$T/good"
python3 - "$T/good" "$T" <<'PY'
import sys
good = open(sys.argv[1], "rb").read()
def put(name, data): open("%s/bad-%s" % (sys.argv[2], name), "wb").write(data)
put("empty", b""); put("short", good[:20]); put("cut", good[:len(good) // 2]); put("key", good[:8] + bytes(8) + good[16:])
put("size", good[:40] + b"\xff" * 4 + good[44:]); put("text", good[:300] + b"}" + good[301:])
put("paths", good[:44] + b"\xff" * 4 + good[48:]); put("huge", good[:48] + b"\xff" * 4 + good[52:])
put("names", good[:52] + b"\xff\xff" + good[54:]); put("looks", good[:54] + b"\xff\xff" + good[56:])
put("twice", good[:16] + (2 * (len(good) - 32)).to_bytes(8, "little") + good[24:] + good[32:])
PY
for bad in "$T"/bad-*; do cp "$bad" "$index"; agrees "damaged_${bad##*bad-}"; done
rm -r "$HOME/.cache"; printf x > "$HOME/.cache"; agrees no_place_for_it
