#!/bin/sh
# 81-mirror-loaders.sh: what loads models, by name, through the mirror over HTTP and TLS, plain and pull-through: `hf download` and
# `hf cache verify`, transformers, mlx-lm, what vLLM asks; llama.cpp's -hf where $LLAMA_BENCH names a llama-bench. Installs with pip into $T.
# shellcheck disable=SC2119
set -u
. tests/tap.sh
tiny "$T/tiny"
. tests/fake/mirror.sh
hub_start --tls
succeeds "a model that loads" import "$T/tiny" --name o/tiny
commit=$(cat "$cache/models--o--tiny/refs/main")
n_files=$(find "$cache/models--o--tiny/snapshots/$commit/" ! -type d | wc -l)
python3 -m venv "$T/venv"
if ! "$T/venv/bin/pip" -q install huggingface_hub transformers jinja2 > "$T/pip" 2>&1; then
    echo "not ok huggingface_hub and transformers are installed"; tail -n 3 "$T/pip" | sed 's/^/# /'; exit 0
fi
"$T/venv/bin/pip" -q install 'mlx[cpu]' mlx-lm > "$T/pip" 2>&1 || echo "ok mlx-lm # SKIP it cannot be installed here"
cat > "$T/loads.py" <<'P'
import os, sys
import huggingface_hub as h
where = sys.argv[1]
def ok(good, name, more=""):
    print(("ok " if good else "not ok ") + name + " (" + where + ")")
    if not good: print("#", str(more)[:400])
def attempt(name, f):
    try: r = f(); ok(r, name, r)
    except Exception as e: ok(False, name, repr(e))
import transformers
transformers.logging.set_verbosity_error()
attempt("transformers " + transformers.__version__ + ": AutoConfig", lambda: transformers.AutoConfig.from_pretrained("o/tiny").model_type == "llama")
attempt("transformers: AutoTokenizer", lambda: len(transformers.AutoTokenizer.from_pretrained("o/tiny")("ab")["input_ids"]) > 0)
from transformers.utils.hub import cached_file
attempt("transformers: the weights", lambda: os.path.getsize(cached_file("o/tiny", "model.safetensors")) > 1000)
attempt("transformers: an optional file that is not there", lambda: cached_file("o/tiny", "adapter_config.json", _raise_exceptions_for_missing_entries=False) is None)
try:
    import mlx_lm.utils as u
    attempt("mlx-lm: its download", lambda: {"config.json", "model.safetensors", "tokenizer.json"} <= set(os.listdir(u._download("o/tiny"))))
except ImportError:
    pass
# vLLM: which files, which format, the index or the header of the weights, then a snapshot by patterns
api = h.HfApi()
attempt("as vLLM: the list", lambda: "model.safetensors" in api.list_repo_files("o/tiny"))
fs = h.HfFileSystem()
attempt("as vLLM: glob", lambda: [os.path.basename(p) for p in fs.glob("o/tiny/*.safetensors")] == ["model.safetensors"])
attempt("as vLLM: a file that exists, one that does not", lambda: fs.exists("o/tiny/config.json") and not fs.exists("o/tiny/params.json") and not api.file_exists("o/tiny", "consolidated.safetensors.index.json"))
attempt("as vLLM: the header of the weights by ranges", lambda: len(api.get_safetensors_metadata("o/tiny").files_metadata["model.safetensors"].tensors) > 3)
attempt("as vLLM: a snapshot by patterns", lambda: set(os.listdir(h.snapshot_download("o/tiny", allow_patterns=["*.safetensors"], local_dir=sys.argv[2]))) - {".cache"} == {"model.safetensors"})
P
hf() { "$T/venv/bin/hf" "$@" > "$T/out" 2> "$T/err"; status=$?; }
loads() {    # NAME: everything, through $mirror
    export HF_HOME="$T/client-$1" HF_ENDPOINT="$mirror" HF_HUB_DISABLE_TELEMETRY=1
    hf download o/tiny; check "hf download ($1)" test $status = 0
    check "brings all files ($1)" test "$(find "$HF_HOME/hub/models--o--tiny/snapshots/$commit/" ! -type d | wc -l)" = "$n_files"
    check "with the right bytes ($1)" sh -c "cd '$HF_HOME/hub/models--o--tiny/blobs' && for f in *; do cmp -s \"\$f\" '$cache/models--o--tiny/blobs/'\"\$f\" || exit 1; done"
    hf download o/tiny config.json --local-dir "$T/local-$1"; check "hf download of one file into a folder ($1)" cmp -s "$T/tiny/config.json" "$T/local-$1/config.json"
    hf cache verify o/tiny; check "hf cache verify ($1)" test $status = 0
    hf download o/none; check "hf download of what is not there ($1)" test $status != 0
    "$T/venv/bin/python" "$T/loads.py" "$1" "$T/patterns-$1" 2> "$T/client.err" || { echo "not ok the loaders ran to their end ($1)"; tail -n 3 "$T/client.err" | sed 's/^/# /'; }
    check "every answer was one ($1)" not grep -Eq '" 5[0-9][0-9] ' "$T/mirror.err"
    export HF_HOME="$T/hf"
}
mirror_start; plain=$mirror; plain_pid=$mirror_pid
loads http
HF_HOME="$T/second" mirror_start --pull-through --upstream "$plain"
loads through
if [ -n "${LLAMA_BENCH:-}" ]; then
    echo "# llama.cpp asks as its -hf does: refs, the tree of the commit, HEAD, GET"
    echo "# $("$LLAMA_BENCH" -hf o/none 2>&1 | tail -n 1)"
    HF_HOME="$T/third" mirror_stop
    HF_HOME="$T/third" mirror_start --pull-through --upstream "$plain"
    gguf=$(python3 - "$cache" <<'P'
import hashlib, json, os, struct, sys
def text(s): return struct.pack("<Q", len(s)) + s.encode()
data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("general.architecture") + struct.pack("<I", 8) + text("llama")
root = sys.argv[1] + "/models--o--gguf"; sha = hashlib.sha256(data).hexdigest(); commit = "1" * 40
for d in ("blobs", "refs", "trees", "snapshots/" + commit): os.makedirs(root + "/" + d)
open(root + "/blobs/" + sha, "wb").write(data)
os.symlink("../../blobs/" + sha, root + "/snapshots/" + commit + "/m-Q4_0.gguf")
open(root + "/refs/main", "w").write(commit)
json.dump({"files": {"m-Q4_0.gguf": {"blob_id": "2" * 40, "lfs_sha256": sha, "lfs_size": len(data), "size": len(data)}}, "format_version": 1}, open(root + "/trees/" + commit + ".json", "w"))
print(sha)
P
)
    HF_HUB_CACHE="$T/llama" HF_ENDPOINT="$mirror/" "$LLAMA_BENCH" -hf o/gguf:Q4_0 -p 1 -n 1 > "$T/out" 2> "$T/err"
    check "llama.cpp -hf brings the file (it holds no model)" cmp -s "$cache/models--o--gguf/blobs/$gguf" "$T/llama/models--o--gguf/blobs/$gguf"
else echo "ok llama.cpp -hf # SKIP \$LLAMA_BENCH names no llama-bench"; fi
mirror_stop
mirror_pid=$plain_pid; mirror_stop
mirror_start --tls-cert "$hub/direct.pem" --tls-key "$hub/direct.key"
mirror="https://localhost:${mirror##*:}"
export SSL_CERT_FILE="$HUB_CA" REQUESTS_CA_BUNDLE="$HUB_CA"
loads https
mirror_stop
