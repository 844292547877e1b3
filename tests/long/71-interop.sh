#!/bin/sh
# 71-interop.sh: huggingface_hub of four ages beside this program, on one cache (tests/fake/interop.py, tests/fake/beside.py).
# The environments are made by name with pip below build/venv and kept.
set -u
. tests/tap.sh

venvs=${VENVS:-build/venv}
set --
for version in 0.23.5 0.36.0 1.9.0 latest; do
    venv=$venvs/hf-$version
    if ! "$venv/bin/python" -c 'import huggingface_hub' 2> /dev/null; then
        case $version in
        latest) wanted=huggingface_hub ;;
        1.9.0) wanted="huggingface_hub==$version click<8.2" ;;       # its command line needs click without asking for it
        *) wanted="huggingface_hub==$version" ;;
        esac
        # shellcheck disable=SC2086      # words on purpose
        if ! { python3 -m venv "$venv" && "$venv/bin/pip" -q install $wanted; } > "$T/pip" 2>&1; then
            echo "not ok $wanted installs"
            tail -n 3 "$T/pip" | sed 's/^/# /'
            rm -rf "$venv"
            continue
        fi
    fi
    set -- "$@" --python "${version%.*}=$venv/bin/python"
done
python3 tests/fake/interop.py --mlxk "$MLXK" --work "$T/interop" "$@"
python3 tests/fake/beside.py --mlxk "$MLXK" --work "$T/beside" --rounds 5 --python "$venvs/hf-latest/bin/python"
