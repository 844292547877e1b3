#!/bin/sh
# run and what a model thinks: headings, --no-reasoning, JSON, streams, a conversation; models whose answers are known.
. tests/tap.sh
export HF_HOME="$T/hf"
ask() { model=$1; shift; "$MLXK" run "$T/$model" --temperature 0 --repetition-penalty 1 "$@" < /dev/null 2> "$T/err"; }
nl='
'
both() { printf '[Reasoning]\n%s\n\n[Answer]\n%s' "$1" "$2"; }

# The model writes the tags itself.
python3 tests/cli/parrot.py "$T/tags" '<|go|>' '<think>' "$nl" 'sec' 'ret' "$nl$nl" '</think>' "$nl " 'an' 'swer' ' <think>'
same reasoning/tags "$(both secret 'answer <think>')" "$(ask tags hi)"
same reasoning/tags_without_stream "$(ask tags hi)" "$(ask tags hi --no-stream)"
same reasoning/no_reasoning 'answer <think>' "$(ask tags hi --no-reasoning)"
same reasoning/no_reasoning_without_stream 'answer <think>' "$(ask tags hi --no-reasoning --no-stream)"
same reasoning/nothing_else_is_told '' "$(cat "$T/err")"
run "$MLXK" run "$T/tags" hi --temperature 0 --repetition-penalty 1 --json
exits 0 reasoning/json
json reasoning/json_parts 'x["response"] == "answer <think>" and x["reasoning"] == "secret" and x["finish_reason"] == "stop"'
run "$MLXK" run "$T/tags" hi --temperature 0 --repetition-penalty 1 --json --no-reasoning
json reasoning/json_no_reasoning 'x["response"] == "answer <think>" and "reasoning" not in x'
same reasoning/cut_while_thinking "[Reasoning]${nl}sec" "$(ask tags hi --max-tokens 3)"
same reasoning/cut_while_thinking_hidden '' "$(ask tags hi --max-tokens 3 --no-reasoning)"
raw="<think>${nl}secret$nl$nl</think>$nl answer <think>"
same reasoning/raw_prompt_is_not_split "$raw" "$(ask tags '<|go|>' --no-chat-template)"

# The template opens the reasoning; a stop string ends the answer.
python3 tests/cli/parrot.py "$T/opened" '<think>' 'hm' '</think>' 'well' ' done'
same reasoning/opened_by_the_template "$(both hm 'well done')" "$(ask opened hi)"
same reasoning/stop_string "$(both hm 'well')" "$(ask opened hi --stop ' do')"

# Channels, whose marks are special tokens.
python3 tests/cli/parrot.py "$T/channels" '<|start|>assistant' '<|channel|>' 'analysis' '<|message|>' 'Hm' ' ..' '<|end|>' \
    '<|start|>assistant<|channel|>final<|message|>' 'Hi' ' there'
same reasoning/channels "$(both "Hm .." 'Hi there')" "$(ask channels hi)"
same reasoning/channels_hidden 'Hi there' "$(ask channels hi --no-reasoning)"

# A model that does not reason has no headings.
python3 tests/cli/parrot.py "$T/plain" '<|go|>' ' plain' "$nl" ' text'
same reasoning/none " plain$nl text" "$(ask plain hi)"
run "$MLXK" run "$T/plain" hi --temperature 0 --repetition-penalty 1 --json
json reasoning/none_json '"reasoning" not in x and x["response"] == " plain\n text"'

# A conversation: every answer has its headings, and the template gets earlier reasoning apart from the answer.
printf 'one\ntwo\n' | "$MLXK" run "$T/opened" --temperature 0 --repetition-penalty 1 --verbose > "$T/talk" 2> "$T/err"; ok $? reasoning/conversation
same reasoning/conversation_answers "$(both hm 'well done'; echo; both hm 'well done')" "$(cat "$T/talk")"
# "assistant: (thought: hm)well done", "user: two" and the opening tag are new to the session: 37 tokens.
says reasoning/conversation_tells_the_template err '^prompt 37 tokens'
