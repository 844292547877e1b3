#!/bin/sh
# convert: documents, words, paths and refusals. What the bytes are is judged in golden/60-quantizer.sh and 62-convert-models.sh,
# what a stop leaves in 61-convert-stops.sh.
. tests/tap.sh
export HF_HOME="$T/hf"
mkdir -p "$T/hf/hub"
tiny "$T/src" llama-bfloat16
tiny "$T/q4" llama-q4-g64
mkdir "$T/shards"; cp tests/golden/tiny-a/llama-sharded-bf16/*.safetensors tests/golden/tiny-a/llama-sharded-bf16/config.json "$T/shards"
chmod -R u+w "$T/shards"

# left NAME: no target and no work folder.
left() { [ ! -e "$T/dst" ] && [ ! -e "$T/.dst.mlxk-convert" ]; ok $? "convert/$1"; }
# refused NAME TYPE PATTERN ARGUMENTS...: status 1, told in both forms, nothing left.
refused() {
    name=$1 type=$2 pattern=$3; shift 3
    run "$MLXK" convert "$@"; exits 1 "convert/$name"; says "convert/${name}_told" err "^convert: Error: .*$pattern"
    run "$MLXK" convert "$@" --json; json "convert/${name}_json" "e['type'] == '$type' and d['command'] == 'convert'"
    left "${name}_leaves_nothing"
}

# ---- what comes out ----
run "$MLXK" convert "$T/src" "$T/dst" --quantize 4 --json
json convert/quantize_document "list(x) == ['source', 'target', 'mode', 'health_check', 'message', 'bits', 'group_size', 'health_status', 'health_reason', 'content_hash'] and x['mode'] == 'quantize' and x['bits'] == 4 and x['group_size'] == 64 and x['health_status'] == 'healthy'"
python3 - "$T/dst" > "$T/why" 2>&1 <<'PYTHON'
import json, os, sys
d = sys.argv[1]
c = json.load(open(d + "/config.json"))
assert c["quantization"] == c["quantization_config"] == {"group_size": 64, "bits": 4, "mode": "affine"}, c
s = json.load(open(d + "/.mlxk_workspace.json"))
assert s["managed"] is True and s["operation"] == "convert" and s["mode"] == "quantize" and s["quantization"] == {"bits": 4, "group_size": 64}, s
assert s["source_repo"] == os.path.realpath(d + "/../src") and s["hash_algorithm"] == "v2" and len(s["content_hash"]) == 71, s
i = json.load(open(d + "/model.safetensors.index.json"))
assert set(i["weight_map"].values()) == {"model.safetensors"} and "lm_head.scales" in i["weight_map"], i
assert os.path.exists(d + "/tokenizer.json") and not os.path.exists(d + "/../.dst.mlxk-convert")
PYTHON
ok $? convert/quantize_files; sed 's/^/# /' "$T/why" | tail -n 1
run "$MLXK" show "$T/dst" --json; json convert/result_is_clean 'x["model"]["clean"] is True and x["model"]["runtime_compatible"] is True'
run "$MLXK" convert "$T/src" "$T/dst" --quantize 4 --json
json convert/target_exists 'e["type"] == "ValueError" and "Quantize requires target to NOT exist" in e["message"]'
rm -rf "$T/dst"
run "$MLXK" convert "$T/src" "$T/dst" --quantize 8
says convert/human_1 out "^convert: .*/src → .*/dst\$"; says convert/human_2 out '^  Mode: quantize$'
says convert/human_3 out '^  Quantized to 8-bit successfully$'; says convert/human_4 out '^  ✓ Health check: passed$'
rm -rf "$T/dst"
run "$MLXK" convert "$T/q4" "$T/dst" --dequantize --json; json convert/dequantize_document 'x["mode"] == "dequantize" and x["message"] == "Dequantized to bfloat16 successfully"'
! grep -q quantization "$T/dst/config.json"; ok $? convert/dequantized_config
rm -rf "$T/dst"
run "$MLXK" convert "$T/src" "$T/dst" --quantize 4 --skip-health --json; json convert/skip_health 'x["health_check"] is False and "health_status" not in x and "content_hash" in x'
rm -rf "$T/dst"
run "$MLXK" convert "$T/src" "$T/dst" --quantize 4 --q-mode mxfp4 --json; json convert/mode_document 'x["q_mode"] == "mxfp4" and x["group_size"] == 32'
rm -rf "$T/dst"
run "$MLXK" convert "$T/src" "$T/dst" --quantize 4 --q-group-size 32 --recipe '*.down_proj=6,*.o_proj=mxfp8' --recipe lm_head=keep
exits 0 convert/recipe
python3 -c 'import json, sys
q = json.load(open(sys.argv[1]))["quantization"]
assert q["bits"] == 4 and q["group_size"] == 32 and "lm_head" not in q
assert q["model.layers.0.mlp.down_proj"] == {"group_size": 32, "bits": 6, "mode": "affine"}
assert q["model.layers.1.self_attn.o_proj"] == {"group_size": 32, "bits": 8, "mode": "mxfp8"}' "$T/dst/config.json"; ok $? convert/recipe_config
rm -rf "$T/dst"
printf '# more bits where it counts\n*.down_proj=6\nlm_head=8 # and here\n' > "$T/recipe"
run "$MLXK" convert "$T/src" "$T/dst" --quantize 4 --recipe "@$T/recipe"; exits 0 convert/recipe_file
rm -rf "$T/dst"

# ---- case 111: repairing an index ----
run "$MLXK" convert "$T/shards" "$T/dst" --repair-index --json
json convert/repair_document 'x["mode"] == "repair-index" and x["message"] == "Index rebuilt successfully" and x["health_reason"] == "Multi-file model complete"'
cmp -s "$T/shards/model-00001-of-00003.safetensors" "$T/dst/model-00001-of-00003.safetensors" 2>/dev/null || cmp -s "$T"/shards/model-00001-*.safetensors "$T"/dst/model-00001-*.safetensors; ok $? convert/repair_copies
python3 - "$T/dst" <<'PYTHON'
import glob, json, os, struct, sys
d = sys.argv[1]
i = json.load(open(d + "/model.safetensors.index.json"))
want = {}
for f in sorted(glob.glob(d + "/*.safetensors")):
    b = open(f, "rb").read()
    for k in json.loads(b[8:8 + struct.unpack("<Q", b[:8])[0]]):
        if k != "__metadata__": want[k] = os.path.basename(f)
assert i["weight_map"] == want and len(set(want.values())) > 1
assert i["metadata"]["total_size"] == sum(os.path.getsize(f) for f in glob.glob(d + "/*.safetensors"))
PYTHON
ok $? convert/repair_map
[ -z "$(find "$T/dst" -name '*tmp')" ]; ok $? convert/repair_no_tmp
rm -rf "$T/dst"
cp "$T"/shards/model-00001-*.safetensors "$T/shards/model-zzz.safetensors"
refused repair_duplicates ValueError 'Duplicate tensor key' "$T/shards" "$T/dst" --repair-index
rm "$T/shards/model-zzz.safetensors"
run "$MLXK" convert "$T/src" "$T/dst" --repair-index --json; json convert/repair_single 'x["message"] == "No index to rebuild (single-file model or no safetensors found)"'
rm -rf "$T/dst"
# A stale index: of two shards of three, and with a tensor that is nowhere.
mv "$T/shards/model.safetensors.index.json" "$T/index" 2>/dev/null
cp tests/golden/tiny-a/llama-sharded-bf16/model.safetensors.index.json "$T/index"
python3 - "$T/index" "$T/shards/model.safetensors.index.json" <<'PYTHON'
import json, sys
i = json.load(open(sys.argv[1]))
last = max(i["weight_map"].values())
i["weight_map"] = {k: v for k, v in i["weight_map"].items() if v != last}
json.dump(i, open(sys.argv[2], "w"))
PYTHON
refused index_too_small ValueError 'does not name model-' "$T/shards" "$T/dst" --quantize 4
says convert/index_hint out '"detail": .*--repair-index'
sed 's/"model.norm.weight"/"model.old.weight"/' "$T/index" > "$T/shards/model.safetensors.index.json"
refused index_too_large ValueError 'model.old.weight.*is in no file' "$T/shards" "$T/dst" --quantize 4
run "$MLXK" convert "$T/shards" "$T/dst" --repair-index; exits 0 convert/index_stale_repaired
run "$MLXK" convert "$T/dst" "$T/dst2" --quantize 4; exits 0 convert/index_repaired_converts
rm -rf "$T/dst" "$T/dst2" "$T/shards/model.safetensors.index.json"

# ---- cases 112, 113, 118, 119: arguments and paths ----
mkdir -p "$T/hf/hub/models--o--m/snapshots/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
refused source_in_cache ValueError 'Source path is in HF cache' "$T/hf/hub/models--o--m/snapshots/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" "$T/dst" --quantize 4
refused target_in_cache ValueError 'Target path is in HF cache' "$T/src" "$T/hf/x/y" --quantize 4
refused source_missing ValueError 'Source path does not exist' "$T/nowhere" "$T/dst" --quantize 4
refused source_empty ValidationError 'Invalid source path: empty' '' "$T/dst" --quantize 4
refused target_empty ValidationError 'Invalid target path: empty' "$T/src" ' ' --quantize 4
refused itself ValueError 'Target directory exists' "$T/src" "$T/src" --quantize 4
refused itself_repaired ValueError 'Target directory not empty' "$T/src" "$T/src" --repair-index
refused no_bits InvalidArgumentError 'Must specify conversion mode' "$T/src" "$T/dst" --quantize 0
mkdir "$T/outer"; cp "$T/src"/* "$T/outer/" 2>/dev/null
run "$MLXK" convert "$T/outer" "$T/outer/inner" --quantize 4 --skip-health; exits 0 convert/target_below_the_source
[ -f "$T/outer/inner/config.json" ] && [ ! -e "$T/outer/inner/inner" ]; ok $? convert/below_and_not_in_itself
mkdir "$T/broken"; cp "$T/src/config.json" "$T/broken/"; printf xx > "$T/broken/model.safetensors"
run "$MLXK" convert "$T/broken" "$T/mended" --repair-index; exits 0 convert/a_single_file_needs_no_index
says convert/but_what_is_wrong_with_it_is_told err 'note: .*model.safetensors'
cmp -s "$T/broken/model.safetensors" "$T/mended/model.safetensors"; ok $? convert/and_is_copied; rm -rf "$T/broken" "$T/mended" "$T/outer"
refused no_mode InvalidArgumentError 'Must specify conversion mode' "$T/src" "$T/dst"
refused two_modes InvalidArgumentError 'mutually exclusive' "$T/src" "$T/dst" --repair-index --quantize 4
refused two_own_modes InvalidArgumentError 'mutually exclusive' "$T/src" "$T/dst" --dequantize --to mlx
refused bits_7 InvalidArgumentError 'must be 2, 3, 4, 5, 6, or 8 \(got 7\)' "$T/src" "$T/dst" --quantize 7
refused group_48 InvalidArgumentError '4 bits in groups of 48' "$T/src" "$T/dst" --quantize 4 --q-group-size 48
refused mxfp4_8 InvalidArgumentError '8 bits in groups of 32' "$T/src" "$T/dst" --quantize 8 --q-mode mxfp4
refused mode_unknown InvalidArgumentError 'q-mode must be' "$T/src" "$T/dst" --quantize 4 --q-mode int4
refused recipe_bad InvalidArgumentError 'is not understood' "$T/src" "$T/dst" --quantize 4 --recipe nonsense
refused recipe_unused ValueError 'decides about no module' "$T/src" "$T/dst" --quantize 4 --recipe '*.experts=6'
refused recipe_alone InvalidArgumentError 'goes with --quantize only' "$T/src" "$T/dst" --dequantize --recipe '*=6'
refused dtype_bad InvalidArgumentError 'dtype must be' "$T/src" "$T/dst" --to mlx --dtype int8
refused to_bad InvalidArgumentError 'to must be mlx' "$T/src" "$T/dst" --to gguf
mkdir "$T/full"; echo 1 > "$T/full/x"
run "$MLXK" convert "$T/src" "$T/full" --repair-index --json; json convert/target_not_empty 'e["type"] == "ValueError" and "Target directory not empty" in e["message"]'
mkdir "$T/home"; cp -R "$T/src" "$T/home/small"
MLXK_WORKSPACE_HOME="$T/home" run "$MLXK" convert small smaller --quantize 4 --json; json convert/at_home 'x["target"].endswith("/home/smaller")'
[ -f "$T/home/smaller/config.json" ]; ok $? convert/at_home_made

# ---- case 114: the sentinel inherits where the source came from ----
python3 -c 'import json, sys
p = sys.argv[1] + "/.mlxk_workspace.json"
s = json.load(open(p)); s["source_repo"] = "o/m"; s["source_revision"] = "abc"; json.dump(s, open(p, "w"))' "$T/home/smaller"
run "$MLXK" convert "$T/home/smaller" "$T/dst" --dequantize
python3 -c 'import json, sys
s = json.load(open(sys.argv[1])); assert s["source_repo"] == "o/m" and s["source_revision"] == "abc" and s["mode"] == "dequantize"' "$T/dst/.mlxk_workspace.json"; ok $? convert/sentinel_inherits
rm -rf "$T/dst"

# ---- cases 115, 116: what kind of model ----
kind() { cp "$T/src/config.json" "$T/kept"; printf '%s' "$1" > "$T/src/config.json"; }
back() { mv "$T/kept" "$T/src/config.json"; }
kind '{"model_type": "whisper"}'; refused whisper not_implemented 'speech-to-text' "$T/src" "$T/dst" --quantize 4; back
kind '{"model_type": "gemma3n", "vision_config": {}}'; refused gemma3n unsupported_multimodal 'verified multimodal list' "$T/src" "$T/dst" --quantize 4
run "$MLXK" convert "$T/src" "$T/dst" --quantize 4 --json; json convert/gemma3n_detail 'e["detail"]["model_type"] == "gemma3n" and e["retryable"] is False'; back
kind '{"model_type": "llama", "model_file": "evil.py"}'; refused own_code UntrustedModelCodeError 'custom module' "$T/src" "$T/dst" --quantize 4; back
kind 'not json'; refused config_bad ValueError 'config.json' "$T/src" "$T/dst" --quantize 4; back
kind '{"model_type": "llama", "quantization_config": {"quant_method": "awq"}}'; refused awq ValueError 'awq' "$T/src" "$T/dst" --quantize 4; back
refused quantised_already ValueError 'already quantised' "$T/q4" "$T/dst" --quantize 8
run "$MLXK" convert "$T/q4" "$T/dst" --quantize 8 --json; json convert/warning 'x["warning"] == "Source already 4-bit. Quantizing to 8-bit does not increase precision."'
refused not_quantised ValidationError 'is not quantised' "$T/src" "$T/dst" --dequantize
mv "$T/src/model.safetensors" "$T/kept.st"; head -c 1000 "$T/kept.st" > "$T/src/model.safetensors"
refused weights_cut ValueError 'model.safetensors' "$T/src" "$T/dst" --quantize 4
rm "$T/src/model.safetensors"; echo x > "$T/src/pytorch_model.bin"
refused pickle ValueError 'pytorch_model.bin' "$T/src" "$T/dst" --quantize 4
rm "$T/src/pytorch_model.bin"; refused no_weights ValueError 'no \*.safetensors' "$T/src" "$T/dst" --quantize 4
mv "$T/kept.st" "$T/src/model.safetensors"

# ---- an unhealthy result is made and told ----
mkdir "$T/sick"; cp "$T/src/config.json" "$T/sick"
run "$MLXK" convert "$T/sick" "$T/dst" --repair-index --json; json convert/unhealthy 'e["type"] == "HealthCheckFailed" and x["health_status"] == "unhealthy"'
exits 1 convert/unhealthy_status; [ -f "$T/dst/.mlxk_workspace.json" ]; ok $? convert/unhealthy_kept
