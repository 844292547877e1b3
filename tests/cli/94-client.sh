#!/bin/sh
# Client and package of a release, `install`: names, digests, a real Python here and against a server, hostile artifacts, kills.
. tests/tap.sh
export HF_HOME="$T/hf" XDG_STATE_HOME="$T/state" PYTHONDONTWRITEBYTECODE=1
mkdir "$T/bin"; ln -s "$MLXK" "$T/bin/mlxk"; PATH=$T/bin:$PATH; export PATH
w=$T/w; r=oci:$T/ham; lib=$T/lib
tiny "$w"
value() { python3 -c "import json,sys; d=json.load(open(sys.argv[1]))['data']; print(eval(sys.argv[2], {'x': d}))" "$T/out" "$1"; }

run "$MLXK" release "$w" "$r" --json; client=$(value "x['client']['digest']"); package=$(value "x['package']['digest']")
json client/told "x['client'] == {'tag': 'client-v0.1.0', 'digest': '$client', 'module': 'ham.client.v0'} and x['package']['tag'] == 'pkg-v0.1.0' and x['package']['module'] == 'ham.v0_1_0'"
run "$MLXK" tags "$r" --json
json client/tags "{'client-v0.1.0', 'client-v0', 'ham-client-v0', 'ham-client-v0.1.0', 'pkg-v0.1.0', 'pkg-v0.1', 'pkg-v0', 'ham-pkg-v0.1.0'} <= set(t if isinstance(t, str) else t['tag'] for t in x['tags'])"
# Elsewhere, at another time, without git, in a registry of another name: the same digests.
cp -r "$w" "$T/else"; touch -d 2001-01-01 "$T/else"/*; chmod 600 "$T/else/config.json"
run "$MLXK" release "$T/else" "oci:$T/other" --name ham --json; json client/same_release_same_digest "x['client']['digest'] == '$client' and x['package']['digest'] == '$package'"
run "$MLXK" inspect "$r:ham-pkg-v0.1.0" --json; json client/package_holds_the_blobs "x['digest'] == '$package' and {'model.safetensors', 'ham/v0_1_0/manifest.json'} <= {l['path'] for l in x['layers']}"
run "$MLXK" release "$w" "$r" --version v0.1.0 --json; json client/again "x['already_there'] and x['client']['digest'] == '$client'"

run "$MLXK" install "$r:client-v0" --target "$lib" --json
json install/client "x['kind'] == 'client' and x['module'] == 'ham.client.v0' and x['tag'] == 'client-v0.1.0' and x['class'] == 'HamClient' and not x['already'] and x['model'] is None"
before=$(find "$lib" -type f -printf '%p %T@ %i\n' | sort)
run "$MLXK" install "$r:ham-client-v0.1.0" --target "$lib" --json; json install/again "x['already']"
same install/again_changes_nothing "$before" "$(find "$lib" -type f -printf '%p %T@ %i\n' | sort)"
echo "# changed" >> "$lib/ham/client/v0/_client.py"
run "$MLXK" install "$r:client-v0" --target "$lib" --json; json install/changed_file_is_mended "not x['already']"
if grep -q '# changed' "$lib/ham/client/v0/_client.py"; then ok 1 install/mended; else ok 0 install/mended; fi
run "$MLXK" install "$r:pkg-v0" --target "$lib"; exits 0 install/package; says install/import_is_told out '^  from ham.v0_1_0 import Ham$'
run "$MLXK" install "$r:ham-pkg-v0.1.0" --target "$lib" --json; json install/package_again "x['kind'] == 'package' and x['already'] and x['model_path']"
run "$MLXK" install "$r:v0" --json; json install/model "x['kind'] == 'model' and x['already'] and x['tag'] == 'v0.1.0'"
# A copy of the package alone is enough.
run "$MLXK" copy "$r:pkg-v0.1.0" "oci:$T/air/ham:pkg-v0.1.0"
run env HF_HOME="$T/hf2" "$MLXK" install "oci:$T/air/ham:pkg-v0.1.0" --target "$T/lib2" --json; exits 0 install/package_alone
[ -f "$(value "x['model_path']")/model.safetensors" ]; ok $? install/package_alone_brings_the_model

# Another line, and the repository's name in front as the source of the idea writes it.
python3 - "$w" <<'PY'
import json, sys
p = sys.argv[1] + "/config.json"; d = json.load(open(p)); d["max_position_embeddings"] = 1024; json.dump(d, open(p, "w"))
PY
run "$MLXK" release "$w" "$r" --json; json client/next_line "x['version'] == 'v1.0.0' and x['client']['module'] == 'ham.client.v1'"
run "$MLXK" install "$r:client-v1" --target "$lib"; exits 0 install/lines_side_by_side
echo '{"temperature": 1}' > "$w/generation_config.json"; run "$MLXK" release "$w" "$r" --json; json client/minor "x['version'] == 'v1.1.0'"
run "$MLXK" install "$r:client-v1" --target "$lib" --json; json install/highest_of_the_line "x['version'] == 'v1.1.0' and not x['already']"
same install/one_record "$(cd "$lib" && ls -d ham_client_v1-*)" ham_client_v1-1.1.0.dist-info
run "$MLXK" release "$w" "oci:$T/ml-project" --name ham --json; run "$MLXK" install "oci:$T/ml-project:ham-client-v0" --target "$T/lib3" --json
json install/under_the_repository "x['module'] == 'ham.client.v0' and x['alias'] == 'ml_project.ham.client.v0'"
run "$MLXK" install "oci:$T/ml-project:ham-client-v0" --target "$lib"; exits 1 install/from_elsewhere; says install/from_elsewhere_is_told err 'came from somewhere else'
run "$MLXK" install "oci:$T/ml-project:ham-client-v0" --target "$lib" --replace; exits 0 install/replace
run "$MLXK" install "$r:client-v0" --target "$lib" --replace; exits 0 install/replaced_back
mkdir "$T/lib4"; echo > "$T/lib4/ham.py"
run "$MLXK" install "$r:client-v0" --target "$T/lib4"; exits 1 install/hidden; says install/hidden_is_told err 'ham.py already'
[ "$(find "$T/lib4" -name '*.json')" = "" ]; ok $? install/hidden_writes_nothing
run "$MLXK" install "$r:client-v9" --target "$lib" --json; exits 1 install/none; json install/none_is_told "e['type'] == 'model_not_found'"
run "$MLXK" install "$r:client-v0" --target /proc/nowhere; exits 1 install/no_such_place
# The environment's own place, and pip knows it.
if python3 -m venv --without-pip "$T/venv" 2> "$T/err"; then
    run env VIRTUAL_ENV="$T/venv" "$MLXK" install "$r:client-v0" --json; json install/venv "x['target'].startswith('$T/venv/lib/python3')"
    "$T/venv/bin/python" -c "import importlib.metadata as m; from ham.client.v0 import Client; d = m.distribution('ham-client-v0'); assert d.version == '0.1.0' and all(f.locate().is_file() for f in d.files)"; ok $? install/venv_lists_it
fi
run "$MLXK" install "$r:client-v0" --python "$T/nowhere/python"; exits 1 install/no_python; says install/no_python_is_told err '--target DIR'

python3 tests/cli/client.py "$T" "$lib" || ok 1 client/python
