#!/bin/sh
# `diff`: which class of a model's files moved, and what that does to its version.
. tests/tap.sh
export HF_HOME="$T/hf"
tiny "$T/a"; tiny "$T/b"; echo words > "$T/a/README.md"; cp "$T/a/README.md" "$T/b"
bump() { run "$MLXK" diff "$T/a" "$T/b" --json; json "diff/$1" "x['bump'] == '$2' and [k for k, v in x['changed'].items() if v] == $3 and [f['path'] for f in x['files']] == $4"; }
bump same none '[]' '[]'
echo more >> "$T/b/README.md"; bump docs patch "['docs']" "['README.md']"
echo '{"temperature": 1}' > "$T/b/generation_config.json"; bump logic minor "['logic', 'docs']" "['README.md', 'generation_config.json']"
run "$MLXK" diff "$T/a" "$T/b"; exits 0 diff/people; says diff/says_which_file out '^  added    logic      generation_config.json$'; says diff/says_which_bump out 'is a minor one'
rm "$T/b/generation_config.json"; cp "$T/a/README.md" "$T/b"
python3 - "$T/b" <<'PY'
import sys
with open(sys.argv[1] + "/model.safetensors", "r+b") as f:
    f.seek(-1, 2); x = f.read(1); f.seek(-1, 2); f.write(bytes([x[0] ^ 1]))
PY
bump weights minor "['weights']" "['model.safetensors']"
python3 - "$T/b" <<'PY'
import json, sys
p = sys.argv[1] + "/config.json"; d = json.load(open(p)); d["max_position_embeddings"] = 1024; json.dump(d, open(p, "w"))
PY
bump interface major "['interface', 'weights']" "['config.json', 'model.safetensors']"
json diff/member "[(m['name'], m['before'], m['after']) for m in x['members']] == [('context', 2048, 1024)]"
# Written anew with the same values: nothing moved but bytes.
tiny "$T/c"; python3 -c "
import json, sys
for n in ('config.json', 'tokenizer.json', 'tokenizer_config.json'):
    p = sys.argv[1] + '/' + n; d = json.load(open(p)); json.dump(d, open(p, 'w'), indent=1, sort_keys=True)" "$T/c"
tiny "$T/d"; run "$MLXK" diff "$T/c" "$T/d" --json
json diff/spelling "not any(x['changed'].values()) and len(x['files']) == 3 and x['bump'] == 'patch'"
"$MLXK" import "$T/a" --name o/m --quiet > /dev/null
run "$MLXK" diff m "$T/a" --json; json diff/model_of_the_cache "not any(x['changed'].values())"
run "$MLXK" diff "$T/none" "$T/a" --json; exits 1 diff/missing; json diff/missing_is_told "e['type'] == 'model_not_found'"
mkdir "$T/e"; run "$MLXK" diff "$T/e" "$T/a"; exits 1 diff/empty; says diff/empty_is_told err 'holds no files'
