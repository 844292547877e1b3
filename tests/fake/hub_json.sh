# shellcheck shell=sh
# hub_json.sh: one word more for scripts that source hub.sh.
#
#   check_json NAME EXPRESSION     stdout of the last run is one JSON document d; x its data, e its error; the expression holds
check_json() {
    if python3 tests/json_holds.py "$T/out" "$2" 2> "$T/json"; then ok "$1"; else bad "$1" "$(tail -n 1 "$T/json")"; fi
}
