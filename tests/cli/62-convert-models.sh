#!/bin/sh
# What convert writes is a model: dequantised models of every mode give the reference's logits, quantised ones stay near those of
# the float model, checkpoints in Hugging Face layout and GGUF files run as they do when imported.
. tests/tap.sh
export HF_HOME="$T/hf"
golden=tests/golden/tiny-a

# ---- dequantised to float32 every golden model of every mode has the reference's logits ----
mkdir -p "$T/root/tiny-a"; n=0
for dir in "$golden"/*-q[0-9]* "$golden"/*-mxfp* "$golden"/*-nvfp4 "$golden"/*-mixed-overrides "$golden"/*-untied-head-float; do
    name=$(basename "$dir")
    run "$MLXK" convert "./$dir" "$T/root/tiny-a/$name" --dequantize --dtype float32 --skip-health
    [ "$status" = 0 ] || { echo "not ok convert-models/dequantize_$name"; told; }
    n=$((n + 1))
done
echo "# $n models"
python3 tests/golden/check.py --mlxk "$MLXK" --root "$T/root" --what tiny > "$T/log" 2>&1
ok $? convert-models/dequantized_logits; tail -n 3 "$T/log" | sed 's/^/# /'
[ $n -ge 30 ]; ok $? convert-models/dequantized_all

# ---- quantised: near the float model, nearer with more bits ----
# far MODEL: the largest difference of the logits to those of $T/exact, in their standard deviations.
ids=$(python3 -c 'import json, sys; print(",".join(map(str, json.load(open(sys.argv[1]))["prompt_ids"])))' $golden/llama-bfloat16/golden.json)
"$MLXK" logits "./$golden/llama-bfloat16" --ids "$ids" --exact --out "$T/exact" > /dev/null
far() {
    "$MLXK" logits "$1" --ids "$ids" --exact --out "$T/logits" > /dev/null && python3 - "$T/exact" "$T/logits" <<'PYTHON'
import array, math, sys
a, b = (array.array("f", open(f, "rb").read()) for f in sys.argv[1:])
m = sum(a) / len(a)
print("%.4f" % (max(abs(x - y) for x, y in zip(a, b)) / math.sqrt(sum((x - m) ** 2 for x in a) / len(a))))
PYTHON
}
under() { python3 -c 'import sys; sys.exit(not float(sys.argv[1]) < float(sys.argv[2]))' "$2" "$3"; ok $? "convert-models/$1"; echo "# $1: $2"; }
near() { name=$1 limit=$2; shift 2
    run "$MLXK" convert "./$golden/llama-bfloat16" "$T/$name" --skip-health "$@"; exits 0 "convert-models/${name}_made"
    under "${name}_near" "$(far "$T/$name")" "$limit"; }
near q8 0.3 --quantize 8
near q6 0.9 --quantize 6
near q5 1.5 --quantize 5 --q-group-size 32
near q4 2.2 --quantize 4
near mxfp8 1.2 --quantize 8 --q-mode mxfp8
near nvfp4 2.4 --quantize 4 --q-mode nvfp4
near mxfp4 3 --quantize 4 --q-mode mxfp4
near mixed 0.3 --quantize 4 --recipe '*=8'
near float 0.0001 --to mlx --dtype float32
run "$MLXK" convert "$T/q8" "$T/back" --dequantize --skip-health
under dequantized_near "$(far "$T/back")" 0.3

# ---- Hugging Face layout: no mark of an MLX tool, shards of any name, frequencies and a tied head that nobody reads ----
python3 - "$golden/llama-bfloat16" "$T/hf1" "$T/hf2" <<'PYTHON'
import json, os, shutil, struct, sys
src, plain, wrapped = sys.argv[1:]
b = open(src + "/model.safetensors", "rb").read()
n = struct.unpack("<Q", b[:8])[0]
t = {k: (v["dtype"], v["shape"], b[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]]) for k, v in json.loads(b[8:8 + n]).items() if k != "__metadata__"}
t["model.layers.0.self_attn.rotary_emb.inv_freq"] = ("F32", [8], b"\0" * 32)
def write(path, tensors, meta):
    h, at = {"__metadata__": meta}, 0
    for k, (d, s, raw) in tensors.items():
        h[k] = {"dtype": d, "shape": s, "data_offsets": [at, at + len(raw)]}; at += len(raw)
    head = json.dumps(h).encode()
    open(path, "wb").write(struct.pack("<Q", len(head)) + head + b"".join(x[2] for x in tensors.values()))
def model(d, tensors, config):
    os.mkdir(d)
    names = sorted(tensors)
    parts = [names[0::2], names[1::2]]
    for i, p in enumerate(parts):
        write("%s/model-%05d-of-00002.safetensors" % (d, i + 1), {k: tensors[k] for k in p}, {"format": "pt"})
    json.dump({"metadata": {}, "weight_map": {k: "model-%05d-of-00002.safetensors" % (i + 1) for i, p in enumerate(parts) for k in p}}, open(d + "/model.safetensors.index.json", "w"))
    json.dump(config, open(d + "/config.json", "w"))
    open(d + "/consolidated.safetensors", "wb").write(b"not read")
c = json.load(open(src + "/config.json"))
model(plain, t, c)
w = {("lm_head.weight" if k == "lm_head.weight" else k.replace("model.", "model.language_model.", 1)): v for k, v in t.items()}
w["model.visual.patch_embed.weight"] = ("BF16", [2, 3, 4, 4], b"\0" * 192)
model(wrapped, w, {"model_type": "mistral3", "text_config": c, "vision_config": {"hidden_size": 8}})
PYTHON
run "$MLXK" convert "$T/hf1" "$T/mlx1" --to mlx --skip-health; exits 0 convert-models/hf_plain
under hf_plain_same "$(far "$T/mlx1")" 0.000001
! grep -q inv_freq "$T/mlx1/model.safetensors.index.json"; ok $? convert-models/hf_frequencies_left_out
[ ! -e "$T/mlx1/consolidated.safetensors" ] && [ ! -e "$T/mlx1/model-00002-of-00002.safetensors" ]; ok $? convert-models/hf_no_other_weights
run "$MLXK" convert "$T/hf2" "$T/mlx2" --to mlx --skip-health; exits 0 convert-models/hf_wrapped
says convert-models/hf_wrapped_told out 'vision, audio. were left out'
under hf_wrapped_same "$(far "$T/mlx2")" 0.000001
! grep -q vision_config "$T/mlx2/config.json"; ok $? convert-models/hf_wrapped_config
run "$MLXK" convert "$T/hf1" "$T/hfq" --quantize 8 --skip-health; exits 0 convert-models/hf_quantized
cmp -s "$T/hfq/model.safetensors" "$T/q8/model.safetensors"; ok $? convert-models/hf_quantized_same_bytes
sed 's/"llama"/"somebody"/' "$T/hf1/config.json" > "$T/x"; mv "$T/x" "$T/hf1/config.json"
run "$MLXK" convert "$T/hf1" "$T/mlx3" --to mlx; exits 1 convert-models/hf_unknown; says convert-models/hf_unknown_told err "model type 'somebody'"

# ---- a GGUF file: what import makes, as a folder ----
gguf=build/testdata/smollm2/model.gguf
if [ -f $gguf ]; then
    run "$MLXK" import $gguf --name x/smollm2 --json
    dir=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["data"]["snapshot"])' "$T/out")
    run "$MLXK" convert $gguf "$T/smollm2" --to mlx; exits 0 convert-models/gguf
    diff -rq -x .mlxk_workspace.json "$dir" "$T/smollm2" > "$T/diff"; ok $? convert-models/gguf_as_imported; sed 's/^/# /' "$T/diff"
    run "$MLXK" convert $gguf "$T/g4" --quantize 4; exits 1 convert-models/gguf_not_quantized
else
    echo "ok convert-models/gguf # SKIP $(cat build/testdata/smollm2.why 2>/dev/null || echo 'not fetched (tests/data/fetch.sh)')"
fi
printf 'GGUF\003\000\000\000' > "$T/cut.gguf"
run "$MLXK" convert "$T/cut.gguf" "$T/cut" --to mlx --json; json convert-models/gguf_cut 'e["type"] == "invalid_format"'
[ ! -e "$T/cut" ] && [ ! -e "$T/.cut.mlxk-convert" ]; ok $? convert-models/gguf_cut_leaves_nothing
run "$MLXK" convert "$golden/llama-bfloat16/config.json" "$T/cut" --to mlx; exits 1 convert-models/no_gguf
