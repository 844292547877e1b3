# mirror.sh: words for the tests of the mirror (sourced: . tests/fake/mirror.sh). Needs what hub.sh gives.
# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
#
#   mirror_start ARG...     `mlxk mirror ARG...` on a free port; $mirror is its address, $mirror_pid its process; its
#                           stderr goes to $T/mirror.err, its stdout to $T/mirror.out
#   mirror_stop [SIGNAL]    ends it; $mirror_status is its exit status
#   get PATH [CURL ARG...]  curl; $T/head and $T/body, $code
#   answers NAME CODE PATH [CURL ARG...]
#   head_has NAME ERE / head_lacks NAME ERE / body_has NAME ERE
#   doc NAME EXPRESSION     $T/body is JSON d and the Python expression holds
. tests/fake/hub.sh

mirror_start() {
    rm -f "$T/mirror.out"
    "$MLXK" mirror --port 0 "$@" > "$T/mirror.out" 2> "$T/mirror.err" < /dev/null &
    mirror_pid=$!
    # shellcheck disable=SC2064
    trap "kill -9 $mirror_pid ${hub_pid:-} 2>/dev/null" EXIT
    n=0
    while ! grep -q 'HF_ENDPOINT=\|"url"' "$T/mirror.out" 2>/dev/null; do
        n=$((n + 1))
        if [ $n -gt 100 ] || ! kill -0 $mirror_pid 2>/dev/null; then
            echo "not ok the mirror starts ($*)"; sed 's/^/# /' "$T/mirror.err"; return 1
        fi
        sleep 0.05
    done
    mirror=$(sed -n 's/^export HF_ENDPOINT=//p; s/.*"url": "\(.*\)",/\1/p' "$T/mirror.out")
}
mirror_stop() {
    kill "-${1:-TERM}" "$mirror_pid" 2>/dev/null
    wait "$mirror_pid"
    mirror_status=$?
}
get() {
    path=$1; shift
    code=$(curl -s --path-as-is -m 20 -D "$T/head" -o "$T/body" -w '%{http_code}' "$@" "$mirror$path")
    tr -d '\r' < "$T/head" > "$T/head.new"; mv "$T/head.new" "$T/head"
}
shown() { sed 's/^/# head: /' "$T/head" | head -n 12; head -c 300 "$T/body" 2>/dev/null | sed 's/^/# body: /'; echo; }
answers() {
    name=$1; want=$2; shift 2
    : > "$T/body"
    get "$@"
    if [ "$code" = "$want" ]; then ok "$name"; else echo "not ok $name"; echo "# status $code, expected $want"; shown; fi
}
head_has() { if grep -Eiq -- "$2" "$T/head"; then ok "$1"; else echo "not ok $1"; shown; fi; }
head_lacks() { if grep -Eiq -- "$2" "$T/head"; then echo "not ok $1"; shown; else ok "$1"; fi; }
body_has() { if grep -Eq -- "$2" "$T/body"; then ok "$1"; else echo "not ok $1"; shown; fi; }
doc() {
    if python3 -c 'import json, sys
def files(tree):     # without what the fake hub makes up: Xet, and one size for all pointers
    return sorted((e["path"], e["oid"], e["size"], (e.get("lfs") or {}).get("oid")) for e in tree if e["type"] == "file")
d = json.load(open(sys.argv[1]))
assert eval(sys.argv[2]), d' "$T/body" "$2" 2> "$T/json"; then ok "$1"
    else echo "not ok $1"; tail -n 1 "$T/json" | cut -c1-400 | sed 's/^/# /'; fi
}
