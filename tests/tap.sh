# tap.sh: words for test scripts (sourced: . tests/tap.sh). A script says what it expects and these print TAP lines.
# shellcheck shell=sh
# shellcheck disable=SC2034

# ok STATUS NAME: a test that passed when STATUS is 0.
ok() { if [ "$1" = 0 ]; then echo "ok $2"; else echo "not ok $2"; fi; }

# run COMMAND...: runs it without input; leaves $status, $T/out and $T/err.
run() { "$@" > "$T/out" 2> "$T/err" < /dev/null; status=$?; }

# told: shows what the last run said, as comments; for failures.
told() { sed 's/^/# out: /' "$T/out" | head -n 5; sed 's/^/# err: /' "$T/err" | head -n 5; }

# exits STATUS NAME: the last run ended with STATUS.
exits() { if [ "$status" = "$1" ]; then echo "ok $2"; else echo "not ok $2"; echo "# exit status $status, expected $1"; told; fi; }

# says NAME out|err PATTERN: the last run's output has a line that matches.
says() { if grep -Eq -- "$3" "$T/$2"; then echo "ok $1"; else echo "not ok $1"; echo "# no line matches $3"; told; fi; }

# json NAME EXPRESSION: the last run's stdout is exactly one JSON document d of its schema and the Python expression holds.
json() {
    if python3 tests/json_holds.py "$T/out" "$2" 2> "$T/json"; then echo "ok $1"; else echo "not ok $1"; tail -n 1 "$T/json" | sed 's/^/# /'; fi
}

# same NAME A B: two texts are equal.
same() { if [ "$2" = "$3" ]; then echo "ok $1"; else echo "not ok $1"; printf '# %s\n# %s\n' "$2" "$3" | head -n 4; fi; }

# tiny DIR [MODEL]: a whole model directory with random weights, tokenizer and chat template.
tiny() {
    mkdir -p "$1"
    cp "tests/golden/tiny-a/${2:-llama-q4-g64}"/config.json "tests/golden/tiny-a/${2:-llama-q4-g64}"/*.safetensors \
        tests/golden/tiny-a/_tokenizer/*.json "$1"
    cp "tests/golden/tiny-a/${2:-llama-q4-g64}"/*.index.json "$1" 2>/dev/null
    chmod -R u+w "$1"
}
