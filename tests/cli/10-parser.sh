#!/bin/sh
# The command line itself: usage errors, the JSON form of them, abbreviations, names of the program, help.
. tests/tap.sh
export HF_HOME="$T/hf"
ln -s "$MLXK" "$T/mlxk2"; ln -s "$MLXK" "$T/mlxk-json"; ln -s "$MLXK" "$T/mlx-run"

# usage NAME ARGUMENT...: refused with status 2, usage and one error line on stderr, nothing on stdout; the same
# with --json is one CommandError document without a command, and nothing on stderr.
usage() {
    name=$1; shift
    run "$MLXK" "$@"
    exits 2 "parser/$name"
    [ ! -s "$T/out" ] && head -n 1 "$T/err" | grep -q '^usage: mlxk' && [ "$(grep -c ': error: ' "$T/err")" = 1 ]
    ok $? "parser/${name}_usage_on_stderr"
    run "$MLXK" "$@" --json
    [ "$status" = 2 ] && [ ! -s "$T/err" ]
    ok $? "parser/${name}_json_status"
    json "parser/${name}_json" 'd["command"] is None and x is None and e["type"] == "CommandError" and e["message"]'
}
usage unknown_command frobnicate
usage unknown_option list --frobnicate
usage missing_model run
usage missing_import import
usage missing_rm rm
usage not_a_number run m --max-tokens many
usage out_of_range run m --top-p 7
usage negative_size run m --max-tokens -1
usage option_without_value run m --max-tokens
usage flag_with_value list --all=yes
usage ambiguous run m --t 3
usage too_many_words list one two
usage empty_abbreviation bench m -q
run "$MLXK" frobnicate; says parser/unknown_names_the_commands err 'list, show, health, .*rm, .*pull, .*run'
run "$MLXK" run m --t 3; says parser/ambiguous_names_candidates err '--temperature.*--top-p'
run "$MLXK" --json frobnicate; json parser/json_in_front 'd["command"] is None'
exits 2 parser/json_in_front_status
run "$MLXK" list one two -- --json; json parser/literal_json_anywhere 'e'

run "$MLXK"; exits 2 parser/no_command
says parser/no_command_lists_commands out '^  import '
run "$MLXK" --json; exits 1 parser/no_command_json
json parser/no_command_document 'd["command"] is None and e["message"] == "No command specified"'

# Abbreviations, --opt=value, --, and options after positionals mean what argparse makes of them.
tiny "$T/m"
base=$("$MLXK" run "$T/m" hi --temperature 0 --max-tokens 6 --repetition-penalty 1 < /dev/null)
[ -n "$base" ]; ok $? parser/baseline
same parser/abbreviations "$base" "$("$MLXK" run "$T/m" --temp 0 --max 6 --rep 1 hi < /dev/null)"
same parser/equals_sign "$base" "$("$MLXK" run --temperature=0 --max-tokens=6 --repetition-penalty=1 "$T/m" hi < /dev/null)"
same parser/own_option_may_be_short "$base" "$("$MLXK" run "$T/m" hi --temp 0 --max 6 --rep 1 --thr 1 < /dev/null)"
dashed=$("$MLXK" run --temp 0 --max 6 --rep 1 "$T/m" -- --hi < /dev/null)
same parser/double_dash "$("$MLXK" run --temp 0 --max 6 --rep 1 "$T/m" --prompt=--hi < /dev/null)" "$dashed"
[ "$dashed" != "$base" ]; ok $? parser/double_dash_keeps_the_word
same parser/words_are_joined "$("$MLXK" run --temp 0 --max 6 "$T/m" "a b c" < /dev/null)" "$("$MLXK" run --temp 0 --max 6 "$T/m" a b c < /dev/null)"
same parser/negative_number_is_a_word "$("$MLXK" run --temp 0 --max 6 "$T/m" --prompt "-3" < /dev/null)" "$("$MLXK" run --temp 0 --max 6 "$T/m" -3 < /dev/null)"
run "$MLXK" bench "$T/m" -p4 -n2 -r1 --json; json parser/short_option_with_value 'x["prompt_tokens"] == 4 and x["decode_tokens"] == 2'

# Names.
run "$T/mlxk2" --version; says parser/mlxk2 out '^mlxk2 [0-9]+\.[0-9]+\.[0-9]+'
run "$T/mlxk-json" version; json parser/mlxk_json 'd["command"] == "version"'
run "$T/mlxk-json" frobnicate; json parser/mlxk_json_error 'd["command"] is None'
same parser/mlx_run "$base" "$("$T/mlx-run" "$T/m" hi --temp 0 --max 6 --rep 1 < /dev/null)"

# Help of every command; version.
run "$MLXK" help; exits 0 parser/help
run "$MLXK" --help; exits 0 parser/help_option
run "$MLXK" help --json; json parser/help_json 'len(x["commands"]) >= 14'
commands=$(python3 -c 'import json, sys; print(" ".join(c["name"] for c in json.load(open(sys.argv[1]))["data"]["commands"]))' "$T/out")
for command in $commands; do
    run "$MLXK" help "$command"; exits 0 "parser/help_$command"
    says "parser/help_${command}_examples" out '^examples:'
    cp "$T/out" "$T/help"
    run "$MLXK" "$command" --help
    cmp -s "$T/help" "$T/out"; ok $? "parser/help_${command}_both_ways"
    awk 'length > 80 { bad = 1; print "# " $0 } END { exit bad }' "$T/help"; ok $? "parser/help_${command}_width"
done
run "$MLXK" help nothing; exits 1 parser/help_of_nothing
run "$MLXK" --version; exits 0 parser/version
says parser/version_line out '^mlxk [0-9]+\.[0-9]+\.[0-9]+'
[ "$(wc -l < "$T/out")" = 1 ]; ok $? parser/version_is_one_line
run "$MLXK" version --json
json parser/version_lines '[x[k] for k in ("client_version", "engine_version", "min_engine_version", "min_client_version", "json_api_spec_version", "http_api")] == [dict(l.split() for l in open("VERSION").read().split("\n")[1:-1])[k] for k in ("client", "engine", "min-engine", "min-client", "json-api", "http-api")]'
case $(head -n 1 VERSION) in *-*) stage=$(head -n 1 VERSION | sed 's/^[^-]*-//; s/\..*//') ;; *) stage=stable ;; esac
json parser/version_stage_document "x[\"stage\"] == \"$stage\""
same parser/version_stage "$stage" "$("$MLXK" version --stage)"
run "$MLXK" --version --json
json parser/version_document 'sorted(x) == ["cli_version", "json_api_spec_version", "system"] and x["system"]["memory_total_bytes"] > 0'
run "$MLXK" version --build --cpu --json
json parser/version_build 'x["build"]["commit"] and x["build"]["compiler"] and all(len(v["sha256"]) == 64 for v in x["build"]["vendored"])'
json parser/version_cpu 'x["cpu"]["kernels"] in x["cpu"]["kernels_available"] and "scalar" in x["cpu"]["kernels_available"] and x["cpu"]["cores"] >= 1'
run "$MLXK" version --build --cpu; says parser/version_text out '^compiler +[^ ]'
MLXK_KERNELS=nonsense run "$MLXK" version --cpu; exits 1 parser/unknown_kernels
says parser/unknown_kernels_named err 'nonsense'

# An empty value is an error of every option of every command, but of those that take a person's words (TEXT, MESSAGE); so is one word too few.
"$MLXK" help --json > "$T/grammar"
cat > "$T/empty.py" <<'PY'
import json
import subprocess
import sys

commands = json.load(open(sys.argv[2], encoding="utf-8"))["data"]["commands"]
n, faults = 0, []
for c in commands:
    for o in c["options"]:
        if not o["name"].startswith("--") or not o["value"]:
            continue
        n += 1
        for words in ([o["name"], ""], [o["name"] + "="]):
            r = subprocess.run([sys.argv[1], c["name"], *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            told = r.returncode == 2 and f"argument {o['name']}: " in r.stderr
            words_of_a_person = o["value"] in ("TEXT", "MESSAGE")
            if told == words_of_a_person:
                faults.append((c["name"], words, r.returncode, r.stderr[-200:]))
print(f"{'not ' if faults or n < 100 else ''}ok parser/empty_values_are_errors_everywhere")
print(f"# {n} options", *faults[:5], sep="\n# ")
PY
python3 "$T/empty.py" "$MLXK" "$T/grammar"
run "$MLXK" pull o/m --frozen ''; exits 2 parser/frozen_empty; says parser/frozen_empty_told err 'argument --frozen: it is empty'; [ ! -e "$HF_HOME/hub" ]; ok $? parser/frozen_empty_nothing_done
