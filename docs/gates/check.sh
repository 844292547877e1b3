#!/bin/sh
# check.sh STAGE: runs and looks at every row of docs/gates.tsv up to STAGE (alpha, beta, rc, stable; dev is alpha),
# or the rows of `patch` alone. Names each row that is missing; last line N passed, N failed. Exit status 3 if any is.
#
# A row's kind says how it is judged; each is a function here, and there is no other way to pass.
set -u
cd "$(dirname "$0")/../.." || exit 2
root=$(pwd)
case ${1:-} in
dev | alpha) stages=" alpha " ;;
beta) stages=" alpha beta " ;;
rc) stages=" alpha beta rc " ;;
stable) stages=" alpha beta rc stable " ;;
patch) stages=" patch " ;;
*) echo "usage: check.sh alpha|beta|rc|stable|patch" >&2; exit 2 ;;
esac
# What is judged is built from this tree, unless the caller names a program.
if [ -z "${MLXK:-}" ]; then
    MLXK=$root/build/mlxk
    ./build.sh > /dev/null 2>&1 || { echo "missing: a build of this tree"; exit 3; }
fi
# As tests/run.sh: nothing of the user's settings.
for variable in $(env | sed -n 's/^\(HF_[A-Z0-9_]*\|HUGGING_FACE_[A-Z_]*\|MLXK2\{0,1\}_[A-Z0-9_]*\|XDG_[A-Z_]*\)=.*/\1/p'); do
    case $variable in MLXK_VENDOR_* | MLXK_TEST_*) ;; *) unset "$variable" ;; esac
done
export MLXK LC_ALL=C.UTF-8 TZ=UTC
work=$(mktemp -d "${TMPDIR:-/tmp}/mlxk-gate.XXXXXX")
trap 'chmod -R u+rwX "$work"; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
passed=0; failed=0

# ---- kinds: each prints why not, and fails --------------------------------------------------------

# The command is there, and not experimental.
gate_command() {
    "$MLXK" help --json > "$work/help" 2>/dev/null || { echo "help does not answer"; return 1; }
    python3 - "$work/help" "$1" <<'PY'
import json, sys
for c in json.load(open(sys.argv[1]))["data"]["commands"]:
    if c["name"] == sys.argv[2]:
        sys.exit("it is experimental" if c["experimental"] else 0)
sys.exit("no such command")
PY
}
# A script of the tests passes, and tests something.
gate_test() {
    [ -f "$1" ] || { echo "no $1"; return 1; }
    rm -rf "$work/t"; mkdir "$work/t"
    T=$work/t HOME=$work/t TMPDIR=$work/t UNIT=${UNIT:-$root/build/test/unit} timeout 1800 sh "$1" > "$work/log" 2>&1 < /dev/null
    status=$?
    chmod -R u+rwX "$work/t"
    if grep -q '^not ok' "$work/log"; then echo "$1: $(grep -c '^not ok' "$work/log") failed, $(grep '^not ok' "$work/log" | head -n 1)"; return 1; fi
    if [ $status != 0 ]; then echo "$1 ended with $status"; return 1; fi
    grep '^ok' "$work/log" | grep -qv '# SKIP' || { echo "$1 tested nothing"; return 1; }
}
# A file with something in it.
gate_file() { [ -s "$1" ] || { echo "no $1"; return 1; }; }
# A table whose rows have four filled cells, the last one a test that exists (script, or script:name in it).
gate_table() {
    [ -s "$1" ] || { echo "no $1"; return 1; }
    grep -v '^#' "$1" | awk -F '\t' 'NF != 4 || $1 == "" || $2 == "" || $3 == "" || $4 == "" || $3 == "-" || $4 == "-" { print "\"" $1 "\"" }' > "$work/open"
    [ ! -s "$work/open" ] || { echo "$1: nothing stands for $(tr '\n' ' ' < "$work/open")"; return 1; }
    grep -v '^#' "$1" | cut -f4 | sort -u | while IFS=: read -r script name; do
        [ -f "$script" ] && grep -qF "$name" "$script" || echo "$script:$name"
    done > "$work/open"
    [ ! -s "$work/open" ] || { echo "$1: no such test: $(tr '\n' ' ' < "$work/open")"; return 1; }
}
# A verb of build.sh.
gate_verb() { ./build.sh help | grep -qE "^  (.* \| )?$1( |\$)" || { echo "build.sh has no verb $1"; return 1; }; }
# A family of models, by the model_type in its configuration.
gate_family() { grep -qF "\"$1\"" src/model/arch_*.c || { echo "no architecture reads $1"; return 1; }; }
# Everything experimental is labelled where people and programs look, and refused unless it is asked for.
gate_labels() {
    "$MLXK" help --json > "$work/help" && "$MLXK" help > "$work/text" || return 1
    python3 - "$work/help" "$work/text" > "$work/names" <<'PY' || return 1
import json, sys
text = open(sys.argv[2]).read()
for c in json.load(open(sys.argv[1]))["data"]["commands"]:
    under = text.split("\nexperimental (")[1].split("\n\n")[0] if "\nexperimental (" in text else ""
    line = [l for l in text.split("\n") if l.startswith("  " + c["name"] + " ")]
    if c["experimental"] and not (line and ("experimental" in line[0] or line[0] in under)):
        sys.exit("help does not label " + c["name"])
    if c["experimental"]:
        print(c["name"])
PY
    [ -s "$work/names" ] || return 0
    while read -r name; do
        case $name in push) continue ;; esac       # refused by its own rule: --private
        for words in x "x y"; do
            # shellcheck disable=SC2086
            env -i HOME="$work" PATH="$PATH" "$MLXK" "$name" $words > "$work/out" 2>&1 && { echo "$name runs without being asked for"; return 1; }
            if grep -qi 'experimental\|MLXK2_ENABLE_ALPHA_FEATURES' "$work/out"; then break; fi
        done
        grep -qi 'experimental\|MLXK2_ENABLE_ALPHA_FEATURES' "$work/out" || { echo "$name does not say that it is experimental"; return 1; }
    done < "$work/names"
}
# The server starts and answers.
gate_server() {
    HF_HOME=$work/hf "$MLXK" serve --port "${1:-18231}" > "$work/log" 2>&1 & server=$!
    tries=0 answer=1
    while [ $tries -lt 100 ]; do
        if curl -fsS "http://127.0.0.1:${1:-18231}/v1/models" > "$work/models" 2>/dev/null; then answer=0; break; fi
        kill -0 $server 2>/dev/null || break
        tries=$((tries + 1)); sleep 0.1
    done
    kill $server 2>/dev/null; wait $server 2>/dev/null
    [ $answer = 0 ] || { echo "serve does not answer: $(tail -n 1 "$work/log")"; return 1; }
}
# The whole test suite of this tree, without a failure; a pass is remembered by the tree.
gate_suite() {
    seen=build/gates/$(git rev-parse 'HEAD^{tree}' 2>/dev/null || echo unknown)-suite
    mkdir -p build/gates
    if [ -f "$seen" ] && [ -z "$(git status --porcelain)" ]; then return 0; fi
    ./build.sh test > build/gates/suite.log 2>&1
    tail -n 1 build/gates/suite.log | grep -qE '^[0-9]+ passed, 0 failed' || { echo "$(tail -n 1 build/gates/suite.log) (build/gates/suite.log)"; return 1; }
    tail -n 1 build/gates/suite.log > "$seen"
}
gate_lint() { ./build.sh lint > build/gates/lint.log 2>&1 || { echo "$(tail -n 1 build/gates/lint.log) (build/gates/lint.log)"; return 1; }; }
# The speed of this build is no worse than the baseline, whose rows are name, ratio to what it is compared with.
gate_baseline() {
    [ -s "$1" ] || { echo "no $1"; return 1; }
    grep -v '^#' "$1" | awk -F '\t' 'NF < 2 || $2 + 0 > 1.00 { print $1; bad = 1 } END { exit bad }' || return 1
}

# ---- rows ------------------------------------------------------------------------------------------------

mkdir -p build/gates
grep -v '^#' docs/gates.tsv > "$work/rows"
while IFS='	' read -r stage id kind argument what; do
    case $stages in *" $stage "*) ;; *) continue ;; esac
    case $kind in
    command | test | file | table | verb | family | labels | server | suite | lint | baseline) ;;
    *) failed=$((failed + 1)); echo "missing $stage/$id: no kind of row is called $kind"; continue ;;
    esac
    if "gate_$kind" "$argument" > "$work/why" 2>&1; then passed=$((passed + 1)); echo "ok $stage/$id $what"
    else failed=$((failed + 1)); echo "missing $stage/$id: $what ($(head -n 1 "$work/why"))"; fi
done < "$work/rows"
[ $((passed + failed)) != 0 ] || { echo "missing: docs/gates.tsv has no row for ${1:-}"; failed=1; }
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] || exit 3
