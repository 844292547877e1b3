#!/bin/sh
# 65-push-real-client.sh: the fake hub takes what the real huggingface_hub uploads, and both clients see in each other's repositories what was
# sent: so what push is tested against is right. Installed with pip below build/ before this takes part.
set -u
venv=build/long/hub-client
if [ ! -x $venv/bin/hf ]; then
    rm -rf $venv
    { python3 -m venv $venv && $venv/bin/python -m pip -q --disable-pip-version-check install huggingface_hub==2.4.0; } || { echo "not ok push/real_client_can_be_installed"; exit 1; }
fi
. tests/fake/hub.sh
. tests/fake/hub_json.sh
# shellcheck disable=SC2119
hub_start
export HF_TOKEN=hf_goodgoodgoodgoodgood HF_HUB_DISABLE_XET=1 HF_HUB_DISABLE_TELEMETRY=1
W=$T/w
mkdir -p "$W/sub"
head -c 2500000 /dev/urandom > "$W/model.safetensors"
head -c 4000 /dev/urandom > "$W/small.gguf"
printf '{"model_type": "llama"}' > "$W/config.json"
printf -- '---\nlibrary_name: mlx\n---\n# x\n' > "$W/README.md"
: > "$W/empty"
echo text > "$W/sub/wäre #1%.txt"
upload() { $venv/bin/python -c 'import sys
from huggingface_hub import HfApi
api = HfApi()
api.create_repo(sys.argv[1], private=True, exist_ok=True)
print(api.upload_folder(repo_id=sys.argv[1], folder_path=sys.argv[2], commit_message="real").oid)' "$@" > "$T/out" 2> "$T/err"; }
upload o/real "$W"
check "the real client pushes to the fake hub" grep -Eqx '[0-9a-f]{40}' "$T/out"
check "and every question was right" not grep -q WRONG "$hub/log"
run push "$W" o/real --private --json
check_json "push sees no change in what it has sent" "x['no_changes'] is True"
succeeds "push makes another" push "$W" o/ours --private --create
: > "$hub/log"
upload o/ours "$W"
check "the real client has nothing to upload there" not grep -q '^cdn PUT' "$hub/log"
check "and asks to change no file" test -z "$(grep '^COMMIT' "$hub/log" | grep -v 'operations=[012]$')"
$venv/bin/python -c 'import sys
from huggingface_hub import snapshot_download
print(snapshot_download("o/ours", local_dir=sys.argv[1]))' "$T/back" > "$T/out" 2> "$T/err"
rm -rf "$T/back/.cache"
check "it downloads what push has sent" sh -c "rm -f '$T/back/.gitattributes'; diff -r '$W' '$T/back'"
