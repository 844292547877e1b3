#!/bin/sh
# 92 strings through real tokenizers: ids, ids with special tokens, and both ways of decoding.
. tests/tap.sh
python3 tests/golden/check.py --mlxk "$MLXK" --what tokenizers --only tiny > "$T/log" 2>&1
ok $? "golden/tokenizers_tiny"
sed 's/^/# /' "$T/log"
export HF_HOME="$T/hf"
smollm2=
if [ -f build/testdata/smollm2/model.gguf ]; then
    run "$MLXK" import build/testdata/smollm2/model.gguf --name x/smollm2 --json
    smollm2=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["data"]["snapshot"])' "$T/out")
fi
for file in tests/golden/tokenizers/a/*.json; do
    family=$(basename "$file" .json)
    group=tokenizers; there=build/testdata/tokenizers/$family
    case $family in
    strings | tiny) continue ;;
    smollm2) group=smollm2; there=$smollm2 ;;
    minilm) group=minilm; there=build/testdata/minilm ;;
    esac
    if [ ! -f "$there/tokenizer.json" ]; then
        echo "ok golden/tokenizers_$family # SKIP $(cat build/testdata/$group.why 2>/dev/null || echo 'not fetched (tests/data/fetch.sh)')"
        continue
    fi
    python3 tests/golden/check.py --mlxk "$MLXK" --what tokenizers --only "$family" --smollm2 "$smollm2" \
        --tokenizer-files "$(dirname "$there")" > "$T/log" 2>&1
    ok $? "golden/tokenizers_$family"
    sed 's/^/# /' "$T/log" | head -n 20
done
