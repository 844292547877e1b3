#!/bin/sh
# 22-completion.sh: the script for bash, in bash; what the scripts of all three shells name. The other shells
# themselves: tests/long/22-completion-shells.sh.
set -u
. tests/tap.sh
export HF_HOME="$T/hf" MLXK_DIR="$T/bin"
mkdir -p "$T/bin" "$T/hf/hub/models--mlx-community--Phi-3-mini" "$T/hf/hub/models--o--gamma"
ln -s "$MLXK" "$T/bin/mlxk"
PATH=$T/bin:$PATH
for shell in bash zsh fish; do "$MLXK" completion $shell > "$T/$shell" < /dev/null; ok $? "completion/$shell"; done
for command in $("$MLXK" help --json < /dev/null | python3 -c 'import json, sys; print(" ".join(c["name"] for c in json.load(sys.stdin)["data"]["commands"]))'); do
    for shell in bash zsh fish; do grep -qw -- "$command" "$T/$shell"; ok $? "completion/${shell}_knows_$command"; done
done
run "$MLXK" completion tcsh; exits 2 completion/unknown_shell
run "$MLXK" completion bash --json; json completion/json 'x["shell"] == "bash" and "_mlxk" in x["script"]'
run "$MLXK" completion models; exits 0 completion/models
same completion/models_names "$(printf 'mlx-community/Phi-3-mini\nPhi-3-mini\no/gamma')" "$(cat "$T/out")"

# words LINE...: what bash offers for the last of the words.
# shellcheck disable=SC2016
words() { bash --norc -c '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mlxk; printf "%s\n" "${COMPREPLY[@]}"' "$T/bash" "$@" < /dev/null | sort | tr '\n' ' ' | sed 's/ $//'; }
if ! command -v bash > /dev/null; then echo "ok completion/in_bash # SKIP no bash"; exit 0; fi
bash -n "$T/bash"; ok $? completion/bash_syntax
same completion/commands "list" "$(words mlxk lis)"
same completion/commands_two "tokenize" "$(words mlxk tok)"
same completion/options "--health" "$(words mlxk list --hea)"
same completion/options_of_the_root "--version" "$(words mlxk --v)"
same completion/models_of_show "mlx-community/Phi-3-mini" "$(words mlxk show mlx)"
same completion/models_short "Phi-3-mini" "$(words mlxk run --temperature 0 Phi)"
same completion/models_of_an_option "o/gamma" "$(words mlxk serve --model o)"
same completion/server_is_serve "--model" "$(words mlxk server --mod)"
same completion/choices "warning" "$(words mlxk serve --log-level w)"
same completion/shells "fish" "$(words mlxk completion f)"
same completion/help_names_commands "health" "$(words mlxk help hea)"
same completion/nothing_for_a_number "" "$(words mlxk run m --max-tokens '')"
touch "$T/model.gguf"
same completion/files "$T/model.gguf" "$(words mlxk import "$T/mod")"
mkdir "$T/ws"
same completion/paths_where_models_are_wanted "$T/ws" "$(words mlxk show "$T/w")"
"$MLXK" completion bash > /dev/full 2> "$T/err" < /dev/null; [ $? = 1 ]; ok $? completion/full_disk
