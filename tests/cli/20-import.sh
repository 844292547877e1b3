#!/bin/sh
# import of a directory and of a GGUF file; list, show, health and rm of what it made.
. tests/tap.sh
export HF_HOME="$T/hf"
hub=$T/hf/hub
tiny "$T/m"

run "$MLXK" import "$T/m" --name Org/Tiny --json
exits 0 import/directory
json import/directory_document 'x["model"] == "Org/Tiny" and len(x["commit"]) == 40 and x["import_status"] == "success" and x["n_files"] == 4 and x["size_bytes"] > 200000'
commit=$(sed -n 's/.*"commit": "\(.*\)".*/\1/p' "$T/out")
repo=$hub/models--Org--Tiny
same import/ref_names_the_commit "$commit" "$(cat "$repo/refs/main")"
for file in config.json model.safetensors tokenizer.json tokenizer_config.json; do
    cmp -s "$T/m/$file" "$repo/snapshots/$commit/$file"; ok $? "import/bytes_of_$file"
    blob=$(readlink "$repo/snapshots/$commit/$file")
    same "import/blob_is_named_by_hash_$file" "../../blobs/$(sha256sum "$T/m/$file" | cut -d' ' -f1)" "$blob"
done
[ -z "$(find "$hub" -name '*.incomplete' -o -name '*.tmp' -o -name '*.part')" ]; ok $? import/nothing_unfinished
# The commit is the hash of the sorted lines "path NUL sha256 LF".
want=$(python3 -c 'import hashlib, os, sys
h = hashlib.sha256()
for f in sorted(os.listdir(sys.argv[1])):
    h.update(f.encode() + b"\0" + hashlib.sha256(open(os.path.join(sys.argv[1], f), "rb").read()).hexdigest().encode() + b"\n")
print(h.hexdigest()[:40])' "$T/m")
same import/commit_follows_from_content "$want" "$commit"

state() { (cd "$hub" && find . ! -path './.locks*' -printf '%p %s %T@ %l\n' | sort); }
before=$(state)
run "$MLXK" import "$T/m" --name Org/Tiny --json
json import/again_changes_nothing 'x["import_status"] == "unchanged"'
same import/again_touches_nothing "$before" "$(state)"
run "$MLXK" import "$T/m" --quiet
exits 0 import/default_name; says import/default_name_is_local out 'local/m@'
run "$MLXK" import "$T/m" --name solo; exits 0 import/name_without_organisation

for name in a/b/c /abs ../up 'a b' 'org/na..me' 'org/x--y' -x org/ /name "$(printf '%097d' 1)" 'org/nä'; do
    run "$MLXK" import "$T/m" "--name=$name"
    exits 1 "import/refuses_name_$(printf '%s' "$name" | cut -c1-12 | tr -c 'a-zA-Z0-9' _)"
done
run "$MLXK" import "$T/m" --name=; [ "$status" != 0 ]; ok $? import/refuses_empty_name
[ ! -e "$T/up" ] && [ "$(find "$hub" -maxdepth 1 -name 'models--*' | wc -l)" = 3 ]; ok $? import/bad_names_leave_nothing

# A GGUF file of our own: one that cannot become a model says what is missing.
python3 -c 'import struct, sys
s = lambda t: struct.pack("<Q", len(t)) + t
meta = s(b"general.architecture") + struct.pack("<I", 8) + s(b"llama")
open(sys.argv[1], "wb").write(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + meta)' "$T/empty.gguf"
run "$MLXK" import "$T/empty.gguf" --json
exits 1 import/gguf_without_anything; json import/gguf_without_anything_document 'e["message"] and e["type"]'
if [ -f build/testdata/smollm2/model.gguf ]; then
    run "$MLXK" import build/testdata/smollm2/model.gguf --json
    exits 0 import/gguf
    json import/gguf_default_name 'x["model"].startswith("local/") and x["n_files"] == 5'
    gguf=$(sed -n 's/.*"model": "\(.*\)".*/\1/p' "$T/out")
    run "$MLXK" import build/testdata/smollm2/model.gguf --json
    json import/gguf_again 'x["import_status"] == "unchanged"'
    run "$MLXK" show "$gguf"; says import/gguf_shown out 'Quantization: '
    run "$MLXK" rm "$gguf" --force; exits 0 import/gguf_removed
fi

# What list, show, health and rm make of it.
run "$MLXK" list --json
json import/list 'sorted(m["name"] for m in x["models"]) == ["Org/Tiny", "local/m", "solo"] and all(m["health"] == "healthy" and m["runtime_compatible"] for m in x["models"])'
run "$MLXK" list TINY; says import/list_pattern_ignores_case out '^(Org/)?Tiny'
run "$MLXK" show Org/Tiny; says import/show out '^Health: healthy'
run "$MLXK" show Org/Tiny --files; says import/show_files out 'model\.safetensors'
run "$MLXK" show "Org/Tiny@$(echo "$commit" | cut -c1-7)" --json; json import/show_by_short_commit 'x["model"]["hash"].startswith("'"$(echo "$commit" | cut -c1-7)"'")'
run "$MLXK" health --json; json import/health 'x["summary"]["healthy_count"] == 3 and x["summary"]["unhealthy_count"] == 0'
run "$MLXK" list nothing-like-this --json; json import/list_of_nothing 'x["models"] == []'
rm "$hub/models--solo/blobs/$(sha256sum "$T/m/model.safetensors" | cut -d' ' -f1)"
run "$MLXK" health solo --json; json import/health_sees_a_missing_blob 'x["summary"]["unhealthy_count"] == 1'
run "$MLXK" import "$T/m" --name solo --json; json import/import_repairs 'x["import_status"] in ("success", "unchanged")'
run "$MLXK" health solo --json; json import/healthy_after_repair 'x["summary"]["healthy_count"] == 1'
run "$MLXK" rm Org/Tiny --force; exits 0 import/rm
[ ! -e "$repo" ]; ok $? import/rm_leaves_nothing
run "$MLXK" rm Org/Tiny --force; exits 1 import/rm_twice
