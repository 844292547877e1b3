# shellcheck shell=sh
# hub_json.sh: one word more for scripts that source hub.sh.
#
#   check_json NAME EXPRESSION     stdout of the last run is one JSON document d; x its data, e its error; the expression holds
check_json() {
    if python3 -c 'import json, sys
sys.path.insert(0, "tests")
import schema
d = json.load(open(sys.argv[1], encoding="utf-8"))
assert sorted(d) == ["command", "data", "error", "status"], sorted(d)
assert not schema.check(d), schema.check(d)
x = d["data"]; e = d["error"]
assert (d["status"] == "success") == (e is None), d["status"]
assert eval(sys.argv[2]), d' "$T/out" "$2" 2> "$T/json"; then ok "$1"; else bad "$1" "$(tail -n 1 "$T/json")"; fi
}
