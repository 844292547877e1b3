#!/bin/sh
# The path that people get (int8 activations), not only the exact one: with each kernel set that this CPU can run, on the
# tiny models and on a text of about a thousand tokens, against the exact path. Top-1 at least 97 %, mean KL below 0.01.
. tests/tap.sh
export HF_HOME="$T/hf"
cc -O2 -std=gnu11 -o "$T/served" tests/golden/served.c -lm || { echo "not ok served/compiles"; exit 1; }
sets=$("$MLXK" version --cpu --json | python3 -c 'import json, sys; print(" ".join(json.load(sys.stdin)["data"]["cpu"]["kernels_available"]))')
echo "# kernel sets of this machine: $sets"

# judge NAME FILE VOCAB TOP1: FILE against $T/exact.
judge() {
    figures=$("$T/served" "$T/exact" "$2" "$3" 2>&1)
    echo "# $1: $figures"
    echo "$figures" | awk -v top1="$4" '{ exit !($1 == "positions" && $4 >= top1 && $6 < 0.01) }'
    ok $? "served/$1"
}

# All tiny models together: 24 positions each, so one number over all of them.
: > "$T/exact"
for set in $sets; do : > "$T/$set"; done
for config in tests/golden/tiny-a/*/golden.json; do
    folder=$(dirname "$config")
    ids=$(python3 -c 'import json, sys; print(",".join(map(str, json.load(open(sys.argv[1]))["prompt_ids"])))' "$config")
    "$MLXK" logits "./$folder" --ids "$ids" --exact --out "$T/one" > /dev/null && cat "$T/one" >> "$T/exact"
    for set in $sets; do
        MLXK_KERNELS=$set "$MLXK" logits "./$folder" --ids "$ids" --out "$T/one" > /dev/null && cat "$T/one" >> "$T/$set"
    done
done
for set in $sets; do judge "tiny_$set" "$T/$set" 320 97; done

if [ ! -f build/testdata/smollm2/model.gguf ]; then
    echo "ok served/smollm2 # SKIP $(cat build/testdata/smollm2.why 2>/dev/null || echo 'not fetched (tests/data/fetch.sh)')"
    exit 0
fi
run "$MLXK" import build/testdata/smollm2/model.gguf --name x/smollm2
exits 0 served/import
ids=$(python3 -c 'import json; print(json.dumps(open("tests/golden/text.txt").read()))' | "$MLXK" tokenize x/smollm2 --jsonl --no-special | tr -d '[] ')
vocab=49152
run "$MLXK" logits x/smollm2 --ids "$ids" --exact --out "$T/exact"; exits 0 served/smollm2_exact
for set in $sets; do
    MLXK_KERNELS=$set run "$MLXK" logits x/smollm2 --ids "$ids" --out "$T/served.f32"
    judge "smollm2_$set" "$T/served.f32" $vocab 97
done
rm -f "$T/exact" "$T/served.f32"

# Threads change nothing; and where every margin is at least 0.5 all kernel sets give the reference's tokens.
golden=tests/golden/smollm2/raw-count.json
prompt=$(python3 -c 'import json, sys; print(",".join(map(str, json.load(open(sys.argv[1]))["prompt_ids"])))' $golden)
want=$(python3 -c 'import json, sys
g = json.load(open(sys.argv[1])); assert min(g["greedy_margins"]) >= 0.5; print(*g["greedy_ids"])' $golden)
greedy() { "$MLXK" logits x/smollm2 --ids "$prompt" --greedy 64 --json "$@" | python3 -c 'import json, sys; print(*json.load(sys.stdin)["data"]["greedy"])'; }
for threads in 1 2 3; do same "served/tokens_threads_$threads" "$want" "$(greedy --threads $threads)"; done
for set in $sets; do same "served/tokens_$set" "$want" "$(MLXK_KERNELS=$set greedy)"; done
# On another prompt with small margins threads still change nothing, bit by bit.
prompt=$(python3 -c 'import json; print(",".join(map(str, json.load(open("tests/golden/smollm2/chat-json.json"))["prompt_ids"])))')
base=$(greedy --threads 1)
for threads in 2 3; do same "served/threads_$threads" "$base" "$(greedy --threads $threads)"; done
