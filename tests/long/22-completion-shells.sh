#!/bin/sh
# 22-completion-shells.sh: the scripts of `completion` in zsh and fish themselves, which are installed with apt
# where they are missing (before this test takes part in a run without network).
set -u
. tests/tap.sh
for shell in zsh fish; do
    command -v $shell > /dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -q $shell > "$T/apt" 2>&1
done
export HF_HOME="$T/hf"
mkdir -p "$T/workspace" "$T/bin" "$T/hf/hub/models--mlx-community--Phi-3-mini" "$T/hf/hub/models--o--gamma"
ln -s "$MLXK" "$T/bin/mlxk"
PATH=$T/bin:$PATH

if command -v zsh > /dev/null; then
    "$MLXK" completion zsh > "$T/zsh" < /dev/null
    zsh -n "$T/zsh"; ok $? completion/zsh_syntax
    python3 tests/long/zsh_completes.py "$T/zsh" "$T/bin" 'mlxk detok' 'mlxk list --hea' 'mlxk show mlx' 'mlxk serve --model o' \
        'mlxk serve --log-level w' 'mlxk completion f' 'mlxk help hea' \
        "mlxk show $T/wo" > "$T/lines"
    expect() { same "completion/zsh_$1" "$2" "$(sed -n "$3p" "$T/lines")"; }
    expect commands 'mlxk detokenize' 1
    expect options 'mlxk list --health' 2
    expect models 'mlxk show mlx-community/Phi-3-mini' 3
    expect models_of_an_option 'mlxk serve --model o/gamma' 4
    expect choices 'mlxk serve --log-level warning' 5
    expect shells 'mlxk completion fish' 6
    expect help_names_commands 'mlxk help health' 7
    expect paths_where_models_are_wanted "mlxk show $T/workspace/" 8
else echo "ok completion/zsh # SKIP no zsh here, and none could be installed"; fi

if command -v fish > /dev/null; then
    "$MLXK" completion fish > "$T/fish" < /dev/null
    fish -n "$T/fish"; ok $? completion/fish_syntax
    fish --no-config -c "source $T/fish" > "$T/said" 2>&1 < /dev/null; [ ! -s "$T/said" ]; ok $? completion/fish_is_content
    # words LINE: what fish offers, without the descriptions.
    # shellcheck disable=SC2016
    words() { fish --no-config -c 'source $argv[1]; complete -C $argv[2]' "$T/fish" "$1" < /dev/null | cut -f 1 | tr '\n' ' ' | sed 's/ $//'; }
    same completion/fish_commands "detokenize" "$(words 'mlxk detok')"
    same completion/fish_options "--health" "$(words 'mlxk list --hea')"
    same completion/fish_models "mlx-community/Phi-3-mini" "$(words 'mlxk show mlx')"
    same completion/fish_models_of_an_option "o/gamma" "$(words 'mlxk serve --model o')"
    same completion/fish_choices "warning" "$(words 'mlxk serve --log-level w')"
    same completion/fish_shells "fish" "$(words 'mlxk completion fi')"
else echo "ok completion/fish # SKIP no fish here, and none could be installed"; fi
