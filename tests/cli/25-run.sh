#!/bin/sh
# run: answers, their JSON form, pipes, limits, refusals, a conversation through a pipe and one on a terminal.
. tests/tap.sh
export HF_HOME="$T/hf"
tiny "$T/m"
m=$T/m
# ask ARGUMENT...: a greedy answer of 12 tokens without penalty, so that it can be compared.
ask() { "$MLXK" run "$m" --temperature 0 --repetition-penalty 1 --max-tokens 12 "$@" < /dev/null 2> "$T/err"; }

base=$(ask hello)
[ -n "$base" ]; ok $? run/answers
[ ! -s "$T/err" ]; ok $? run/quiet_on_a_pipe
same run/same_answer_twice "$base" "$(ask hello)"
for threads in 1 2 3; do same "run/threads_$threads" "$base" "$(ask hello --threads $threads)"; done
same run/no_stream "$base" "$(ask hello --no-stream)"
same run/prompt_option "$base" "$(ask --prompt hello)"
same run/pipe_with_dash "$base" "$(printf hello | "$MLXK" run "$m" --temperature 0 --repetition-penalty 1 --max-tokens 12 -)"
both=$(ask "$(printf 'some notes\n\n\nSummarise')")
same run/pipe_and_words "$both" "$(echo 'some notes' | "$MLXK" run "$m" --temperature 0 --repetition-penalty 1 --max-tokens 12 - Summarise)"
other=$(ask hello --no-chat-template); [ "$other" != "$base" ]; ok $? run/no_chat_template_differs
other=$(ask hello --system "Be brief."); [ "$other" != "$base" ]; ok $? run/system_message_differs
ask hello --verbose > /dev/null; says run/verbose_counts err '^prompt [0-9]+ tokens, .* tok/s'
[ "$(ask hello --max-tokens 3 | wc -c)" -lt "$(ask hello | wc -c)" ]; ok $? run/max_tokens
ask hello > "$T/out"; [ "$(tail -c 1 "$T/out" | od -An -c | tr -d ' ')" = '\n' ]; ok $? run/ends_with_a_newline

run "$MLXK" run "$m" hello --temperature 0 --repetition-penalty 1 --max-tokens 12 --json
exits 0 run/json
json run/json_keys 'd["command"] == "run" and sorted(x) == ["finish_reason", "generation_time_s", "model", "prompt", "prompt_tokens", "response", "tokens_generated"]'
json run/json_values 'x["prompt"] == "hello" and x["finish_reason"] == "length" and x["tokens_generated"] == 12 and x["prompt_tokens"] > 5'
python3 -c 'import json, sys; sys.stdout.buffer.write(json.load(open(sys.argv[1]))["data"]["response"].encode())' "$T/out" > "$T/response"
same run/json_has_the_same_answer "$base" "$(cat "$T/response")"
# A stop string out of the middle of the answer ends it there and is not shown.
stop=$(python3 -c 'import sys
t = open(sys.argv[1], encoding="utf-8").read(); i = len(t) // 2
while t.index(t[i:i+1]) != i: i += 1
print(t[i:i+1], end="")' "$T/response")
run "$MLXK" run "$m" hello --temperature 0 --repetition-penalty 1 --max-tokens 12 --stop "$stop" --json
json run/stop_string 'x["finish_reason"] == "stop" and 0 < len(x["response"]) and x["response"] == open("'"$T/response"'", encoding="utf-8").read().split("'"$stop"'")[0]'

seeded() { "$MLXK" run "$m" hello --temperature 1.5 --max-tokens 16 --seed "$1" < /dev/null; }
one=$(seeded 1); same run/seed_repeats "$one" "$(seeded 1)"
[ "$one" != "$(seeded 2)" ] || [ "$one" != "$(seeded 3)" ]; ok $? run/seeds_differ
free() { "$MLXK" run "$m" hello --temperature 1.5 --max-tokens 16 < /dev/null; }
[ "$(free)" != "$(free)" ] || [ "$(free)" != "$(free)" ]; ok $? run/without_seed_answers_vary

for kernels in scalar avx2 avxvnni avx512vnni neon dotprod i8mm; do
    "$MLXK" version --cpu --json | grep -q "\"$kernels\"" || continue
    same "run/exact_is_the_same_with_$kernels" "$(ask hello --exact)" "$(MLXK_KERNELS=$kernels ask hello --exact)"
done

# Refusals: status 1, a sentence and a hint, nothing on stdout; with --json one document.
refused() {
    name=$1; shift
    run "$@"; exits 1 "run/$name"
    [ ! -s "$T/out" ] && [ "$(grep -c . "$T/err")" -ge 1 ] && head -n 1 "$T/err" | grep -q '^run: Error: '; ok $? "run/${name}_told"
    run "$@" --json; json "run/${name}_json" 'd["command"] == "run" and e["message"] and x is None'
}
refused empty_prompt "$MLXK" run "$m" ""
refused empty_pipe "$MLXK" run "$m" -
refused no_such_model "$MLXK" run no/such-model hello
refused image "$MLXK" run "$m" hello --image x.png
refused audio "$MLXK" run "$m" hello --audio x.wav
refused translate "$MLXK" run "$m" hello --translate
run "$MLXK" run "$m" hello --max-tokens 2 --language en --chunk 2; exits 0 run/settings_of_media_alone_change_nothing
refused prompt_beyond_context "$MLXK" run "$m" --context 8 "a prompt that is longer than eight positions can hold"
run "$MLXK" run "$m" --json; exits 1 run/conversation_has_no_json

# A conversation through a pipe: an answer a line; what /clear forgets; end of input and /exit end it.
talk() { "$MLXK" run "$m" --temperature 0 --repetition-penalty 1 --max-tokens 5 2> "$T/err"; }
printf 'hello\nagain\n' | talk > "$T/two"; ok $? run/conversation_ends_with_input
printf 'hello\n/clear\nagain\n' | talk > "$T/cleared"
printf 'again\n' | talk > "$T/again"
[ -s "$T/two" ] && [ -s "$T/again" ] && ! cmp -s "$T/two" "$T/cleared"; ok $? run/conversation_remembers
tail -c "$(wc -c < "$T/again")" "$T/cleared" | cmp -s - "$T/again"; ok $? run/clear_forgets
printf 'hello\n/exit\nagain\n' | talk > "$T/exit"
printf 'hello\n' | talk | cmp -s - "$T/exit"; ok $? run/exit_leaves
printf 'hello' | talk | cmp -s - "$T/exit"; ok $? run/last_line_needs_no_newline
printf '\n\n  \nhello\n' | talk | cmp -s - "$T/exit"; ok $? run/empty_lines_are_passed_over
printf '/help\n' | talk | grep -q '/clear'; ok $? run/conversation_help
"$MLXK" run "$m" hello --max-tokens 2000 --temperature 0 < /dev/null 2>/dev/null | head -c 1 > /dev/null; ok $? run/reader_may_leave
if [ -e /dev/full ]; then "$MLXK" run "$m" hello --max-tokens 3 < /dev/null > /dev/full 2> "$T/err"; status=$?; exits 1 run/full_output_is_a_failure; fi

# For Ctrl-C a model that goes on and on: no end token, a long context.
tiny "$T/endless"
sed '/"eos_token_id"/d; s/"max_position_embeddings": 2048/"max_position_embeddings": 262144/' "$m/config.json" > "$T/endless/config.json"
sed '/"eos_token"/d' "$m/tokenizer_config.json" > "$T/endless/tokenizer_config.json"
"$MLXK" run "$T/endless" hello --max-tokens 200000 --json < /dev/null > "$T/out" 2> "$T/err" & pid=$!
until grep -q '^SigCgt:.*[4-7c-f]...$' /proc/$pid/status 2>/dev/null || ! kill -0 $pid 2>/dev/null; do sleep 0.1; done
kill -TERM $pid; wait $pid; status=$?
exits 1 run/told_to_stop; json run/told_to_stop_says_so "e['type'] == 'interrupted' and x['finish_reason'] == 'interrupted'"
python3 tests/cli/terminal.py "$MLXK" "$m" "$T/endless" "$T"
