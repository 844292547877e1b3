#!/bin/sh
# 39-xet.sh: `pull --xet` beside the real client of content-addressed storage, over one storage (39-xet.py says what).
set -u
venv=${VENVS:-build/venv}/xet
if ! "$venv/bin/python" -c 'import hf_xet, huggingface_hub, lz4' 2> /dev/null; then
    if ! { python3 -m venv "$venv" && "$venv/bin/pip" -q install hf_xet huggingface_hub lz4; } > "$T/pip" 2>&1; then
        echo "ok xet/real-client # SKIP hf_xet cannot be had by pip"
        rm -rf "$venv"
        exit 0
    fi
fi
"$venv/bin/pip" list 2> /dev/null | grep -Ei '^(hf.xet|huggingface.hub|lz4) ' | sed 's/^/# /'
HOME="$T" HF_XET_CACHE="$T/xet" "$venv/bin/python" tests/long/39-xet.py "$MLXK"
