#!/bin/sh
# A real model from a GGUF file: every byte of the import, then prompts against reference logits and tokens.
. tests/tap.sh
gguf=build/testdata/smollm2/model.gguf
if [ ! -f $gguf ]; then
    echo "ok golden/smollm2 # SKIP $(cat build/testdata/smollm2.why 2>/dev/null || echo 'not fetched (tests/data/fetch.sh)')"
    exit 0
fi
export HF_HOME="$T/hf"
run "$MLXK" import $gguf --name HuggingFaceTB/SmolLM2-135M-Instruct --json
exits 0 golden/smollm2_imports
dir=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["data"]["snapshot"])' "$T/out")

# Files byte for byte; every tensor by itself, so that a difference has a name.
(cd "$dir" && sha256sum -- *) > "$T/files"
diff tests/golden/smollm2/files.sha256 "$T/files" > "$T/diff"
ok $? golden/smollm2_five_files
sed 's/^/# /' "$T/diff"
python3 - "$dir/model.safetensors" > "$T/tensors" <<'PYTHON'
import hashlib, json, struct, sys
with open(sys.argv[1], "rb") as f:
    n = struct.unpack("<Q", f.read(8))[0]
    header = json.loads(f.read(n))
    for name in sorted(header):
        if name != "__metadata__":
            t = header[name]
            f.seek(8 + n + t["data_offsets"][0])
            data = f.read(t["data_offsets"][1] - t["data_offsets"][0])
            print(hashlib.sha256(data).hexdigest(), t["dtype"], "x".join(map(str, t["shape"])), name)
PYTHON
diff tests/golden/smollm2/tensors.sha256 "$T/tensors" > "$T/diff"
ok $? golden/smollm2_every_tensor
head -n 5 "$T/diff" | sed 's/^/# /'

python3 tests/golden/check.py --mlxk "$MLXK" --what smollm2 --smollm2 "$dir" --verbose > "$T/log" 2>&1
status=$?
awk -f tests/golden/tap.awk "$T/log"
ok $status golden/smollm2_checked
