#!/bin/sh
# arm.sh [CPU]: the ARM program (build/aarch64-linux-musl) proves itself on one processor: unit tests, every kernel
# against the scalar truth, the small golden models, a real model's answer. CPU is a name of the emulator's (max,
# cortex-a72); on an ARM machine it runs by itself and CPU is left out. Prints TAP lines.
set -u
cd "$(dirname "$0")/../.." || exit 2
cpu=${1:-}
out=build/aarch64-linux-musl
name=${cpu:-native}
work=$(mktemp -d "${TMPDIR:-/tmp}/mlxk-arm.XXXXXX")
trap 'rm -rf "$work"' EXIT
ok() { if [ "$1" = 0 ]; then echo "ok arm/$name/$2"; else echo "not ok arm/$name/$2"; fi; }

# A program that is this command line; the emulator wants an absolute path.
emulator=
if [ -n "$cpu" ]; then
    emulator=$(command -v qemu-aarch64-static || command -v qemu-aarch64) || { echo "not ok arm/$name/emulator"; exit 1; }
    emulator="$emulator -cpu $cpu"
fi
for program in mlxk unit; do
    printf '#!/bin/sh\nexec %s %s/%s/%s "$@"\n' "$emulator" "$PWD" "$out" "$program" > "$work/$program"
    chmod +x "$work/$program"
done

# Which kernels: the best that this processor has, and none that it has not.
"$work/mlxk" version --cpu --json > "$work/cpu.json"
python3 - "$work/cpu.json" "$cpu" <<'PYTHON'
import json, sys
cpu = json.load(open(sys.argv[1]))["data"]["cpu"]
have = cpu["kernels_available"]
print("#", sys.argv[2], "features", *cpu["features"], "- kernels", *have)
want = {"max": ["i8mm", "dotprod", "neon", "scalar"], "cortex-a72": ["neon", "scalar"]}.get(sys.argv[2])
assert want is None or have == want, have
PYTHON
ok $? kernels_of_this_cpu

# Rooms that compute: everything; of the engine the served path near the exact one, with every kernel set.
"$work/unit" --only kernels/ --only platform/sha --only platform/cpu --only base/utf8 --only base/num --only json/ --only format/ \
    --only tokenizer/ --only chat/ --only engine/eng_integers_are_near --only engine/eng_feed_takes_no_memory > "$work/log" 2>&1
ok $? unit
tail -n 1 "$work/log" | sed 's/^/# /'
grep '^not ok' "$work/log" | sed 's/^/# /'

# Small golden models: all of them with the richest set of kernels, else the largest family.
only=; if [ "$cpu" != max ] && [ -n "$cpu" ]; then only='--only llama'; fi
# shellcheck disable=SC2086
python3 tests/golden/check.py --mlxk "$work/mlxk" --what tiny $only > "$work/log" 2>&1
ok $? golden_tiny
tail -n 1 "$work/log" | sed 's/^/# /'
grep '^FAIL' "$work/log" | head -n 5 | sed 's/^/# /'

# A real model, the path that people get: the reference's tokens where every margin is at least 0.5.
if [ ! -f build/testdata/smollm2/model.gguf ]; then
    echo "ok arm/$name/smollm2 # SKIP not fetched (tests/data/fetch.sh)"
    exit 0
fi
export HF_HOME="$work/hf"
"$work/mlxk" import build/testdata/smollm2/model.gguf --name x/smollm2 > "$work/log" 2>&1; ok $? smollm2_imports
dir=$(echo "$work"/hf/hub/models--x--smollm2/snapshots/*)
awk '/safetensors/' tests/golden/smollm2/files.sha256 | (cd "$dir" && sha256sum -c --quiet - > "$work/sums" 2>&1); ok $? smollm2_same_bytes
python3 - "$work/mlxk" "$dir" > "$work/log" 2>&1 <<'PYTHON'
import json, subprocess, sys
g = json.load(open("tests/golden/smollm2/raw-count.json"))
n = 8
got = subprocess.run([sys.argv[1], "logits", sys.argv[2], "--ids", ",".join(map(str, g["prompt_ids"])), "--greedy", str(n), "--json"],
                     stdout=subprocess.PIPE, check=True).stdout
got = json.loads(got)["data"]["greedy"]
assert min(g["greedy_margins"][:n]) >= 0.5 and got == g["greedy_ids"][:n], (got, g["greedy_ids"][:n])
PYTHON
ok $? smollm2_reference_tokens
tail -n 1 "$work/log" | sed 's/^/# /'
answer=$("$work/mlxk" run x/smollm2 "What is the capital of France? Answer in one short sentence." --temperature 0 --max-tokens 8 < /dev/null)
echo "# $answer"
case $answer in *Paris*) ok 0 smollm2_answers ;; *) ok 1 smollm2_answers ;; esac
