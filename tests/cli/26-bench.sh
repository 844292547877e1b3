#!/bin/sh
# bench: the document's keys, what it measured, and what it refuses.
. tests/tap.sh
export HF_HOME="$T/hf"
tiny "$T/m"
run "$MLXK" bench "$T/m" -p 8 -n 4 -r 3 -t 1 --json
exits 0 bench/runs
json bench/keys '{"model", "prompt_tokens", "decode_tokens", "depth", "threads", "repetitions", "prompt_tok_s", "decode_tok_s", "kernels", "load_s", "weight_bytes", "peak_memory_bytes"} <= set(x)'
json bench/counts 'x["prompt_tokens"] == 8 and x["decode_tokens"] == 4 and x["threads"] == 1 and x["repetitions"] == 3 and len(x["prompt_tok_s_all"]) == 3'
json bench/median 'x["prompt_tok_s"] == sorted(x["prompt_tok_s_all"])[1] and x["decode_tok_s"] > 0'
run "$MLXK" bench "$T/m" -p 8 -n 0 -r 1 --json; exits 0 bench/prefill_only
run "$MLXK" bench "$T/m" -p 0 -n 2 -d 8 -r 1 --json; json bench/at_depth 'x["depth"] == 8 and x["decode_tok_s"] > 0'
run "$MLXK" bench "$T/m" -p 8 -n 4 -r 1; exits 0 bench/table; says bench/table_units out 'tok/s'
run "$MLXK" bench "$T/m" -p 0 -n 0; exits 1 bench/nothing_to_measure
run "$MLXK" bench "$T/none" --json; exits 1 bench/no_model; json bench/no_model_document 'e["message"]'
for kernels in scalar avx2 avx512vnni avxvnni neon dotprod i8mm; do
    "$MLXK" version --cpu --json | grep -q "\"$kernels\"" || continue
    MLXK_KERNELS=$kernels run "$MLXK" bench "$T/m" -p 8 -n 4 -r 1 --json
    json "bench/kernels_$kernels" "x['kernels'] == '$kernels'"
done
