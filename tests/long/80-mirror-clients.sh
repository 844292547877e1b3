#!/bin/sh
# 80-mirror-clients.sh: the real huggingface_hub, old to newest, downloads models, datasets and spaces through the mirror, plain and
# pull-through, and finds nothing missing; it reads a cache that mlxk filled, and mlxk one that it filled; the Kubernetes example is
# valid. Installs packages with pip into $T.
# shellcheck disable=SC2119
set -u
. tests/fake/mirror.sh
hub_start
succeeds "a model in the cache" pull o/model
succeeds "another revision" pull o/model@refs/pr/1
succeeds "many files" pull o/many
succeeds "a dataset" pull o/model --repo-type dataset
succeeds "a dataset of one part" pull squad --repo-type dataset
succeeds "a space" pull o/app --repo-type space
commit=$(python3 tests/fake/fake_hub.py commit o/model)
cat > "$T/client.py" <<'P'
import hashlib, os, sys
import huggingface_hub as h
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
def ok(good, name, more=""):
    print(("ok " if good else "not ok ") + name + " (" + h.__version__ + ", " + sys.argv[1] + ")")
    if not good: print("#", str(more)[:300])
def attempt(name, f):
    try: ok(bool(f()), name)
    except Exception as e: ok(False, name, repr(e))
def git_or_sha(path):
    name = os.path.basename(os.path.realpath(path)); data = open(path, "rb").read()
    return name in (hashlib.sha256(data).hexdigest(), hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest())
def whole(repo, n, **kw):
    d = snapshot_download(repo, **kw)
    files = [os.path.join(p, f) for p, _, fs in os.walk(d) for f in fs]
    return len(files) == n and all(git_or_sha(f) for f in files) and d
attempt("snapshot_download", lambda: whole("o/model", 14))
attempt("a nested revision", lambda: whole("o/model", 14, revision="refs/pr/1"))
attempt("1500 files", lambda: whole("o/many", 1500))
attempt("offline afterwards", lambda: whole("o/model", 14, local_files_only=True))
attempt("one file", lambda: open(hf_hub_download("o/model", "sub/dir/nested.json")).read() == "[1, 2, 3]")
attempt("a name in Unicode", lambda: open(hf_hub_download("o/model", "w\u00e4re \u00fcn\u00ef \u65e5\u672c.txt")).read() == "unicode")
for kind, repo, n in (("dataset", "o/model", 5), ("dataset", "squad", 5), ("space", "o/app", 3)):
    attempt("snapshot of the " + kind + " " + repo, lambda: whole(repo, n, repo_type=kind))
    attempt("offline afterwards: " + repo, lambda: whole(repo, n, repo_type=kind, local_files_only=True))
attempt("a file of a dataset", lambda: open(hf_hub_download("o/model", "data/names \u65e5\u672c.csv", repo_type="dataset")).read() == "a,b\n1,2\n")
api = HfApi()
attempt("dataset_info", lambda: api.dataset_info("o/model").sha == os.environ["DATASET"])
attempt("space_info", lambda: api.space_info("o/app").id == "o/app")
attempt("list_repo_files of a dataset", lambda: len(api.list_repo_files("o/model", repo_type="dataset")) == 5)
attempt("list_datasets", lambda: "o/model" in [d.id for d in api.list_datasets(search="model")])
attempt("model_info", lambda: api.model_info("o/model", files_metadata=True).sha == os.environ["COMMIT"])
attempt("list_repo_files", lambda: len(api.list_repo_files("o/model")) == 14)
attempt("list_repo_tree", lambda: len(list(api.list_repo_tree("o/model", recursive=True))) == 17)
attempt("get_paths_info", lambda: [p.path for p in api.get_paths_info("o/model", ["config.json", "nope"])] == ["config.json"])
attempt("list_repo_refs", lambda: "main" in [b.name for b in api.list_repo_refs("o/model").branches])
attempt("list_repo_refs knows a tag from a branch", lambda: sys.argv[1] == "plain" or [t.ref for t in api.list_repo_refs("o/model").tags] == ["refs/tags/v1"])
attempt("list_models", lambda: "o/model" in [m.id for m in api.list_models(search="model")])
attempt("file_exists", lambda: api.file_exists("o/model", "config.json") and not api.file_exists("o/model", "nope"))
attempt("repo_exists", lambda: api.repo_exists("o/model") and not api.repo_exists("o/none"))
def refused(kind, f):
    try: f()
    except Exception as e: return type(e).__name__ in kind or repr(e) and False
attempt("EntryNotFoundError", lambda: refused(("EntryNotFoundError", "RemoteEntryNotFoundError"), lambda: hf_hub_download("o/model", "nope")))
attempt("RevisionNotFoundError", lambda: refused(("RevisionNotFoundError",), lambda: hf_hub_download("o/model", "config.json", revision="nope")))
attempt("RepositoryNotFoundError", lambda: refused(("RepositoryNotFoundError",), lambda: hf_hub_download("o/none", "config.json")))
try:
    from huggingface_hub import HfFileSystem
    fs = HfFileSystem(endpoint=os.environ["HF_ENDPOINT"])
    attempt("HfFileSystem reads a part", lambda: fs.cat_file("o/model/config.json", start=2, end=12) == b'model_type')
    attempt("HfFileSystem lists", lambda: len(fs.glob("o/model/*.safetensors")) == 2)
    attempt("HfFileSystem of a dataset", lambda: len(fs.glob("datasets/o/model/data/*.parquet")) == 2)
except ImportError:
    pass
P
dataset=$(python3 tests/fake/fake_hub.py commit datasets/o/model)
cat > "$T/reads.py" <<'P'
import os
from huggingface_hub import scan_cache_dir, snapshot_download
found = {(r.repo_type, r.repo_id): r for r in scan_cache_dir().repos}
for kind, repo, n in (("dataset", "o/model", 5), ("dataset", "squad", 5), ("space", "o/app", 3), ("model", "o/model", 14)):
    d = snapshot_download(repo, repo_type=kind, local_files_only=True)
    assert sum(len(fs) for _, _, fs in os.walk(d)) == n, d
    assert "main" in found[kind, repo].refs, found
assert not scan_cache_dir().warnings, scan_cache_dir().warnings
P
for version in 0.23.5 0.36.0 1.9.0 newest; do
    case $version in newest) spec=huggingface_hub ;; *) spec=huggingface_hub==$version ;; esac
    python3 -m venv "$T/venv-$version"
    if ! "$T/venv-$version/bin/pip" -q install "$spec" > "$T/pip" 2>&1; then
        echo "not ok $spec is installed"; tail -n 3 "$T/pip" | sed 's/^/# /'; continue
    fi
    for mode in plain through; do
        client=$T/client-$version-$mode
        if [ $mode = plain ]; then mirror_start
        else HF_HOME="$T/mirror-$version" mirror_start --pull-through --upstream "$HUB_HTTP"; fi
        HF_HOME="$client" HF_ENDPOINT="$mirror" COMMIT="$commit" DATASET="$dataset" HF_HUB_DISABLE_TELEMETRY=1 "$T/venv-$version/bin/python" "$T/client.py" $mode 2> "$T/client.err" ||
            { echo "not ok $version $mode ran to its end"; tail -n 3 "$T/client.err" | sed 's/^/# /'; }
        sed -n 's/^warning/# mirror: &/p' "$T/mirror.err" | grep -v 'o/none\|nope'      # why, when a client saw an error of upstream
        check "no client asked for Xet ($version, $mode)" not grep -q 'xet-read-token' "$T/mirror.err"
        mirror_stop
        for name in datasets/o/model datasets/squad spaces/o/app o/model; do
            HF_HOME="$client" succeeds "mlxk takes over what it pulled: $name ($version, $mode)" pull "$name" --json
            check "and fetches nothing of it" grep -q '"n_fetched": 0' "$T/out"
        done
        HF_HOME="$client" HF_HUB_OFFLINE=1 succeeds "all of it is right ($version, $mode)" verify
    done
    HF_HUB_OFFLINE=1 "$T/venv-$version/bin/python" "$T/reads.py" > "$T/reads" 2>&1
    check "it reads what mlxk pulled ($version)" test $? = 0
    grep Error "$T/reads" | sed 's/^/# /'
done
python3 -m venv "$T/venv-k" && "$T/venv-k/bin/pip" -q install kubernetes-validate > "$T/pip" 2>&1
check "the Kubernetes example is valid" "$T/venv-k/bin/kubernetes-validate" --strict docs/packaging/image/kubernetes-mirror.yaml
