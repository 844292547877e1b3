#!/bin/sh
# The schemas are draft-07, and a complete validator judges documents as tests/schema.py does.
. tests/tap.sh
venv=build/long/jsonschema
[ -x $venv/bin/python ] || { python3 -m venv $venv && $venv/bin/python -m pip -q --disable-pip-version-check install jsonschema==4.25.1; } || { echo "not ok schema/validator_can_be_installed"; exit 1; }
export HF_HOME="$T/hf"
tiny "$T/m"; "$MLXK" import "$T/m" --name o/m --quiet > /dev/null
n=0
for arguments in "list" "health --deep" "show o/m" "version --build" "help" "verify" "du" "gc" "rm nope" "tokenize o/m hi" "show" "doctor" "export o/m --dry-run"; do
    n=$((n + 1))
    # shellcheck disable=SC2086
    "$MLXK" $arguments --json > "$T/d$n.json" 2> /dev/null
done
$venv/bin/python - "$T" <<'PY'
import glob, json, os, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, "tests")
import jsonschema, schema
from referencing import Registry, Resource
docs = {os.path.basename(p): json.load(open(p, encoding="utf-8")) for p in glob.glob("docs/schema/*.json")}
registry = Registry().with_resources([(name, Resource.from_contents(doc)) for name, doc in docs.items()])
def tell(good, name): print("%s schema/%s" % ("ok" if good else "not ok", name))
for name, doc in sorted(docs.items()):
    try: jsonschema.Draft7Validator.check_schema(doc); tell(True, "draft_07_" + name)
    except jsonschema.SchemaError as e: tell(False, "draft_07_" + name); print("# %s" % e.message)
for path in sorted(glob.glob(sys.argv[1] + "/d*.json")):
    d = json.load(open(path))
    name = (d["command"] or "version") + ".json"
    complete = jsonschema.Draft7Validator(docs[name], registry=registry)
    tell(complete.is_valid(d) and not schema.check(d), "agrees_on_" + name[:-5])
    broken = dict(d, status="fine")
    tell(not complete.is_valid(broken) and bool(schema.check(broken)), "agrees_against_" + name[:-5])
PY
