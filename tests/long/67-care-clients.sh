#!/bin/sh
# 67-care-clients.sh: after verify --repair and gc the real huggingface_hub, old and newest, finds a cache without a fault, offline
# too. Installs packages with pip into $T.
set -u
. tests/fake/hub.sh
# shellcheck disable=SC2119      # the faults it can be given are for other tests
hub_start
cat > "$T/client.py" <<'P'
import sys
import huggingface_hub as h
from huggingface_hub import scan_cache_dir, snapshot_download
def ok(good, name, more=""):
    print(("ok " if good else "not ok ") + f"{name} ({h.__version__}, {sys.argv[1]})")
    if not good: print("#", str(more)[:300])
info = scan_cache_dir()
warnings = [w for w in info.warnings if "CACHEDIR.TAG" not in str(w)]     # older ones do not know the tag that newer ones write
ok(not warnings, "scan_cache_dir warns of nothing", warnings)
ok({r.repo_id: len(r.revisions) for r in info.repos} == {"o/model": 1, "o/small": 1}, "and finds the models", info.repos)
for repo in ("o/model", "o/small"):
    try: ok(bool(snapshot_download(repo, local_files_only=True)), f"{repo} is complete offline")
    except Exception as e: ok(False, f"{repo} is complete offline", repr(e))
P
asked() { for v in $versions; do HF_HUB_OFFLINE=1 PYTHONPATH="$T/hub-$v" python3 "$T/client.py" "$1" 2> "$T/err" || bad "client $v, $1" "$(tail -n 1 "$T/err")"; done; }
versions=
for v in 0.23.5 0.36.0 newest; do
    want=huggingface_hub; [ $v = newest ] || want=huggingface_hub==$v
    if pip install -q --target "$T/hub-$v" "$want" > "$T/pip.log" 2>&1; then versions="$versions $v"
    else echo "ok client $v # SKIP pip cannot install it"; fi
done
run pull o/model@v1; run pull o/model; run pull o/small
touch -d '9 days ago' "$cache/models--o--model/snapshots/$(cat "$cache/models--o--model/refs/v1")"
small=$(readlink -f "$cache"/models--o--small/snapshots/*/model.safetensors)
printf X | dd of="$small" bs=1 seek=7 conv=notrunc 2> /dev/null
rm "$(readlink -f "$cache/models--o--model/snapshots/$(cat "$cache/models--o--model/refs/main")/README.md")" "$cache/models--o--small/refs/main" "$cache"/models--o--small/trees/*
fails "faults are found" "things are wrong" verify
succeeds "and mended" verify --repair
succeeds "and what is old goes" gc --keep-last 1 --older-than 0s --yes
asked "after repair and gc"
printf half > "$cache/models--o--small/blobs/0123456789abcdef0123456789abcdef01234567.incomplete"
succeeds "leftovers go" gc --older-than 0s --yes
asked "after gc"
