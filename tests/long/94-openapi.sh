#!/bin/sh
# 94-openapi.sh: the OpenAPI descriptions in clients and packages, by a validator of others (PyPI: openapi-spec-validator): those of a model
# that chats and of one that embeds, as releases have them and as `mlxk install` puts them in place; a bent one is refused.
. tests/tap.sh
export HF_HOME="$T/hf"
if ! python3 -m venv "$T/venv" > /dev/null 2>&1 || ! "$T/venv/bin/pip" -q install openapi-spec-validator==0.9.0 > /dev/null 2>&1; then
    echo "ok openapi/valid # SKIP openapi-spec-validator cannot be had"; exit 0
fi
cat > "$T/judge.py" <<'PY'
import copy, json, sys
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError
d = json.load(open(sys.argv[1]))
faults = [str(e.message) for e in OpenAPIV31SpecValidator(d).iter_errors()]
for bend in (lambda x: x["info"].pop("version"), lambda x: x["paths"].update({"/v1/x": {"get": {"responses": {"200": {}}}}}),
             lambda x: x["paths"]["/v1/models"]["get"].update(responses={"200": {"$ref": "#/components/responses/None"}}), lambda x: x.update(openapi="3.1")):
    bent = copy.deepcopy(d)
    bend(bent)
    try:
        if not list(OpenAPIV31SpecValidator(bent).iter_errors()): faults.append("a bent one is taken, too")
    except Exception: pass
# What clients send and servers answer are the schemas' own examples of themselves: every reference leads somewhere.
def refs(x):
    if isinstance(x, dict):
        if "$ref" in x: yield x["$ref"]
        for v in x.values(): yield from refs(v)
    elif isinstance(x, list):
        for v in x: yield from refs(v)
for r in refs(d):
    at = d
    for part in r.removeprefix("#/").split("/"): at = at.get(part, {}) if isinstance(at, dict) else {}
    if not at: faults.append(r + " leads nowhere")
print(d["info"]["title"], d["info"]["version"], sorted(d["paths"]))
sys.exit("; ".join(faults) if faults else 0)
PY
judge() { run "$T/venv/bin/python" "$T/judge.py" "$2"; exits 0 "$1"; }
tiny "$T/ham"; "$MLXK" release "$T/ham" "oci:$T/layout" --name ham --version v1.2.1 > /dev/null
tiny "$T/emb"; python3 - "$T/emb" <<'PY'
import json, sys
p = sys.argv[1] + "/config.json"; d = json.load(open(p)); d["architectures"] = ["BertModel"]; d["model_type"] = "bert"; json.dump(d, open(p, "w"))
json.dump([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}], open(sys.argv[1] + "/modules.json", "w"))
PY
"$MLXK" release "$T/emb" "oci:$T/layout" --name emb > /dev/null
for tag in ham-client-v1 ham-pkg-v1.2.1 emb-client-v0 emb-pkg-v0; do
    run "$MLXK" install "oci:$T/layout:$tag" --target "$T/lib" --json; exits 0 "openapi/$tag"
    path=$(python3 -c "import json; print(json.load(open('$T/out'))['data']['path'])")
    judge "openapi/valid_$tag" "$path/openapi.json"
done
run cat "$T/lib/emb/client/v0/openapi.json"; says openapi/embeds out '/v1/embeddings'
