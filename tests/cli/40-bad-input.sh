#!/bin/sh
# Broken and hostile files, a full disk, a cache that may not be written: each is told in a sentence that names the
# object, with status 1, one document with --json, no crash, and nothing half-written.
# Commands are words on purpose.
# shellcheck disable=SC2046,SC2086
. tests/tap.sh
export HF_HOME="$T/hf"
mkdir -p "$T/hf/hub"

# refused NAME PATTERN COMMAND...: status 1, stderr "COMMAND: Error: ..." that matches and a line that says what to do,
# stdout empty; --json: one document. A template's error shows its line of source and a mark below it instead.
refused() {
    name=$1 pattern=$2; shift 2
    run timeout 20 "$@"
    exits 1 "bad/$name"
    says "bad/${name}_told" err "^[a-z]+: Error: .*($pattern)"
    [ ! -s "$T/out" ] && [ "$(grep -c '^[a-z]*: Error: ' "$T/err")" = 1 ] && [ "$(wc -l < "$T/err")" -ge 2 ] && [ "$(wc -l < "$T/err")" -le 4 ]; ok $? "bad/${name}_once"
    run timeout 20 "$@" --json
    json "bad/${name}_json" 'x is None and len(e["message"]) > 10 and e["type"]'
}
# broken NAME: a fresh model directory to break.
broken() { rm -rf "$T/b"; tiny "$T/b" "${1:-llama-q4-g64}"; }
ask() { echo "$MLXK" run "$T/b" hello --max-tokens 2; }

# ---- safetensors ----
broken; : > "$T/b/model.safetensors"; refused weights_empty 'model\.safetensors' $(ask)
broken; head -c 5 "$T/b/model.safetensors" > "$T/x"; mv "$T/x" "$T/b/model.safetensors"; refused weights_five_bytes 'model\.safetensors' $(ask)
broken; head -c 1000 "$T/b/model.safetensors" > "$T/x"; mv "$T/x" "$T/b/model.safetensors"; refused weights_cut_in_header 'model\.safetensors' $(ask)
broken; size=$(wc -c < "$T/b/model.safetensors"); head -c $((size - 1)) "$T/b/model.safetensors" > "$T/x"; mv "$T/x" "$T/b/model.safetensors"
refused weights_one_byte_short 'model\.safetensors' $(ask)
broken; echo more >> "$T/b/model.safetensors"; refused weights_with_more_behind 'model\.safetensors' $(ask)
# header NAME PYTHON: the header h (a dict) of the weights is changed by the statement.
header() {
    broken
    python3 - "$T/b/model.safetensors" "$2" <<'PYTHON'
import json, struct, sys
b = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", b[:8])[0]
h = json.loads(b[8:8 + n])
first = sorted(k for k in h if k != "__metadata__")[0]
size = len(b) - 8 - n
exec(sys.argv[2])
t = json.dumps(h).encode()
open(sys.argv[1], "wb").write(struct.pack("<Q", len(t)) + t + b[8 + n:])
PYTHON
    refused "header_$1" 'model\.safetensors|weight|tensor|shape|embed|layers' $(ask)
}
header outside 'h[first]["data_offsets"][1] = size + 64'
header negative 'h[first]["data_offsets"] = [-8, 8]'
header backwards 'h[first]["data_offsets"].reverse()'
header huge_shape 'h[first]["shape"] = [4294967296, 4294967296, 4294967296]'
header wrong_shape 'h[first]["shape"][0] += 1'
header unknown_type 'h[first]["dtype"] = "Q77"'
header no_type 'del h[first]["dtype"]'
header overlap 'k = sorted(h)[3]; h[first]["data_offsets"] = h[k]["data_offsets"]; h[first]["shape"] = h[k]["shape"]; h[first]["dtype"] = h[k]["dtype"]'
header tensor_missing 'del h["model.layers.1.mlp.up_proj.weight"]'
header not_an_object 'h = [1, 2]'
broken; python3 -c 'import struct, sys; open(sys.argv[1], "wb").write(struct.pack("<Q", 1 << 62) + b"{}")' "$T/b/model.safetensors"
refused header_of_four_exabytes 'model\.safetensors' $(ask)
broken; python3 -c 'import struct, sys
t = b"[" * 100000; open(sys.argv[1], "wb").write(struct.pack("<Q", len(t)) + t)' "$T/b/model.safetensors"
refused header_nested_deeply 'model\.safetensors' $(ask)

# ---- config, tokenizer, template, shards ----
broken; rm "$T/b/config.json"; run $(ask); exits 1 bad/no_config; says bad/no_config_told err 'holds no config\.json'
broken; echo '{"model_type": "llama",' > "$T/b/config.json"; refused config_cut "$T/b: config\.json" $(ask)
broken; echo '[]' > "$T/b/config.json"; refused config_is_a_list 'config\.json' $(ask)
# setting NAME PATTERN SED: config.json with one value replaced.
setting() { broken; sed "$3" "$T/b/config.json" > "$T/x"; mv "$T/x" "$T/b/config.json"; refused "config_$1" "$2" $(ask); }
setting unknown_architecture 'perceiver' 's/"llama"/"perceiver"/'
setting zero_heads 'num_attention_heads|heads' 's/"num_attention_heads": 4/"num_attention_heads": 0/'
setting huge_hidden 'hidden_size|[Ss]hape|embed' 's/"hidden_size": 128/"hidden_size": 1000000000000/'
setting negative_layers 'num_hidden_layers|layers' 's/"num_hidden_layers": 2/"num_hidden_layers": -2/'
setting text_as_number 'hidden_size' 's/"hidden_size": 128/"hidden_size": "wide"/'
setting too_many_layers 'layers|not|miss' 's/"num_hidden_layers": 2/"num_hidden_layers": 3/'
setting odd_bits 'bits|quant' 's/"bits": 4/"bits": 7/g'
broken; rm "$T/b/tokenizer.json"; refused tokenizer_missing 'tokenizer\.json' $(ask)
broken; head -c 3000 "$T/b/tokenizer.json" > "$T/x"; mv "$T/x" "$T/b/tokenizer.json"; refused tokenizer_cut 'tokenizer\.json' $(ask)
broken; echo '{}' > "$T/b/tokenizer.json"; refused tokenizer_empty 'tokenizer|model' $(ask)
broken; echo '{"chat_template": "{% if %}"}' > "$T/b/tokenizer_config.json"; refused template_broken 'the chat template of .*--no-chat-template.*line 1' $(ask)
broken; echo '{"chat_template": "{% for a in range(99999999) %}{% for b in range(99999999) %}x{% endfor %}{% endfor %}"}' > "$T/b/tokenizer_config.json"
refused template_that_loops 'chat template \(--no-chat-template.*MAX_RANGE' $(ask)
broken; echo "{\"chat_template\": \"{{ raise_exception('no system role here') }}\"}" > "$T/b/tokenizer_config.json"
refused template_that_raises 'no system role here' $(ask)
broken llama-sharded; shard=$(find "$T/b" -name '*.safetensors' | sort | tail -n 1); rm "$shard"
refused shard_missing "$(basename "$shard" | sed 's/\./\\./g')" $(ask)
broken llama-sharded; python3 -c 'import json, sys
p = sys.argv[1]; d = json.load(open(p)); k = sorted(d["weight_map"])[0]; d["weight_map"][k] = "../../../etc/passwd"; json.dump(d, open(p, "w"))' "$T/b/model.safetensors.index.json"
refused shard_outside_the_folder 'passwd|index|name' $(ask)

# ---- GGUF ----
gguf() { python3 -c 'import struct, sys
s = lambda t: struct.pack("<Q", len(t)) + t
open(sys.argv[1], "wb").write(eval(sys.argv[2]))' "$T/x.gguf" "$2"; refused "gguf_$1" 'x\.gguf' "$MLXK" import "$T/x.gguf" --name x/y; }
gguf only_magic 'b"GGUF"'
gguf version_1 'b"GGUF" + struct.pack("<IQQ", 1, 0, 0)'
gguf big_endian 'b"GGUF" + struct.pack(">IQQ", 3, 0, 0)'
gguf billions_of_tensors 'b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0)'
gguf billions_of_keys 'b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60)'
gguf long_string 'b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 63) + b"x"'
gguf deep_array 'b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + s(b"a") + struct.pack("<I", 9) + (struct.pack("<IQ", 9, 1) * 5000)'
gguf unknown_value 'b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + s(b"a") + struct.pack("<I", 99)'
gguf tensor_outside 'b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + s(b"general.architecture") + struct.pack("<I", 8) + s(b"llama") + s(b"w") + struct.pack("<IQIQ", 1, 1 << 40, 0, 0)'
refused import_of_text 'neither|GGUF' "$MLXK" import tests/run.sh
refused import_of_nothing 'does not exist' "$MLXK" import "$T/nothing"
mkdir "$T/folder"; refused import_of_empty_folder 'config\.json' "$MLXK" import "$T/folder"
broken; size=$(wc -c < "$T/b/model.safetensors"); head -c $((size - 1)) "$T/b/model.safetensors" > "$T/x"; mv "$T/x" "$T/b/model.safetensors"
refused import_of_cut_weights 'model\.safetensors' "$MLXK" import "$T/b" --name x/cut
broken llama-sharded; rm "$(find "$T/b" -name '*.safetensors' | sort | tail -n 1)"
refused import_without_a_shard 'model\.safetensors\.index\.json: it names .* not there' "$MLXK" import "$T/b" --name x/part
[ -z "$(find "$T/hf/hub" -mindepth 1 -name 'models--*')" ]; ok $? bad/nothing_came_into_the_cache

# ---- the machine ----
tiny "$T/m"
if [ "$(id -u)" = 0 ] && mkdir "$T/small" && mount -t tmpfs -o size=120k none "$T/small" 2>/dev/null; then
    trap 'umount "$T/small"' EXIT
    HF_HOME=$T/small refused disk_full 'has .* free' "$MLXK" import "$T/m" --name x/full
    [ -z "$(find "$T/small" -name main)" ] && [ -z "$(find "$T/small" -path '*snapshots/*' -type l)" ]; ok $? bad/disk_full_publishes_nothing
    rm -rf "$T/small/hub/models--x--full"
    mount -o remount,size=2m "$T/small"
    HF_HOME=$T/small run "$MLXK" import "$T/m" --name x/full; exits 0 bad/import_after_the_disk_has_room
    HF_HOME=$T/small run "$MLXK" health x/full; says bad/healthy_after_the_disk_has_room out 'healthy'
    umount "$T/small"; trap - EXIT
else echo "ok bad/disk_full # SKIP needs root and tmpfs"; fi

cp "$MLXK" "$T/mlxk"
mkdir -p "$T/ro/hub"; chmod 555 "$T/ro/hub" "$T/ro"; chmod 755 "$T"
as_user() { "$@"; }
if [ "$(id -u)" = 0 ]; then as_user() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }; fi
if as_user test -x "$T/mlxk" 2>/dev/null; then
    for form in '' --json; do
        HF_HOME=$T/ro as_user "$T/mlxk" import "$T/m" --name x/ro $form > "$T/out" 2> "$T/err" < /dev/null; status=$?
        exits 1 "bad/read_only_cache$form"
        [ -n "$form" ] || says bad/read_only_told err "^import: Error: .*$T/ro/hub.*denied"
    done
    json bad/read_only_document 'e["type"] == "permission_denied" and "hub" in e["message"]'
    HF_HOME=$T/ro as_user "$T/mlxk" list > "$T/out" 2> "$T/err" < /dev/null; status=$?; exits 0 bad/read_only_list
    HF_HOME=$T/ro as_user "$T/mlxk" run "$T/m" hello --max-tokens 2 > "$T/out" 2> "$T/err" < /dev/null; status=$?; exits 0 bad/read_only_run
    HF_HOME=$T/none "$MLXK" import "$T/m" --name x/there > /dev/null; chmod -R a+rX,a-w "$T/none"
    HF_HOME=$T/none as_user "$T/mlxk" rm x/there --force > "$T/out" 2> "$T/err" < /dev/null; status=$?; exits 1 bad/read_only_rm
    HF_HOME=$T/none run "$MLXK" health x/there; says bad/read_only_rm_broke_nothing out '^healthy'
else echo "ok bad/read_only_cache # SKIP needs setpriv"; fi
HF_HOME=$T/not-there run "$MLXK" list; exits 0 bad/list_without_a_cache
[ ! -e "$T/not-there" ]; ok $? bad/list_makes_no_cache
