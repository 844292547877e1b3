#!/bin/sh
# 36-datasets.sh: datasets and spaces are fetched, kept, judged, handed on and mirrored as models are, under names that say
# what they are; nothing takes one for a model of the same name, and no command looks for a model in one.
# shellcheck disable=SC2119
set -u
. tests/fake/mirror.sh
hub_start
data=$cache/datasets--o--model
commit=$(python3 tests/fake/fake_hub.py commit datasets/o/model)
train=$(python3 tests/fake/fake_hub.py etag datasets/o/model data/train-00000-of-00002.parquet)
says() { if grep -Eq -- "$2" "$T/out"; then ok "$1"; else bad "$1" "$(head -n 3 "$T/out")"; fi; }
usage() { name=$1; shift; run "$@"; check "$name" test "$status" = 2; }
n_logged() { sleep 0.2; grep -Ec -- "$1" "$hub/log"; }

# ---- pull -------------------------------------------------------------------------------------------------------
succeeds "a dataset by --repo-type" pull o/model --repo-type dataset
cache_is "its cache is what the hub's other tools leave" datasets/o/model
check "no request spoke of a model" not grep -q '/api/models\| /o/model' "$hub/log"
: > "$hub/log"
succeeds "the same by its name" pull datasets/o/model
says "is there already" '^pull: datasets/o/model — datasets/o/model already exists in cache$'
check "and nothing of it is fetched" not logged '^cdn|/resolve/'
succeeds "as an address" pull hf://datasets/o/model --json
succeeds "both ways at once" pull datasets/o/model --repo-type dataset
succeeds "the model of the same name" pull o/model
cache_is "is another repository" o/model
cache_is "and the dataset is what it was" datasets/o/model
succeeds "a space" pull o/app --repo-type space --json
cache_is "its cache" spaces/o/app
succeeds "a name of one part, which the hub has renamed" pull squad --repo-type dataset
check "is kept as it was asked for" test -s "$cache/datasets--squad/refs/main"
check "with all its files" test "$(find "$cache/datasets--squad/snapshots" -type l | wc -l)" = 5
succeeds "of one part in the name" pull datasets/squad --json
succeeds "a model that says so" pull models/o/small
cache_is "is a model" o/small
succeeds "a revision" pull datasets/o/model@v1
check "has its ref" test "$(cat "$data/refs/v1")" = "$(python3 tests/fake/fake_hub.py commit datasets/o/model v1)"
fresh
succeeds "what would come" pull datasets/o/model --dry-run --json
check "nothing is written" test ! -e "$data"
succeeds "some files" pull datasets/o/model --include 'data/*.csv'
cache_is "only these" datasets/o/model --only 'data/*.csv'
fault "cdn $train cut=100000 1" "cdn $train close 2-99999"
run pull datasets/o/model --max-workers 1
check "a download that breaks off fails" test "$status" = 1
fault; : > "$hub/log"
succeeds "and goes on" pull datasets/o/model --json
check "where it was" python3 -c 'import json, sys; d = json.load(open(sys.argv[1]))["data"]; sys.exit(not (d["resumed_bytes"] >= 100000 and d["fetched_bytes"] < 400000))' "$T/out"
cache_is "to the whole" datasets/o/model
fault "cdn $train wrongbytes"
succeeds "again from the first byte" pull datasets/o/model --max-workers 1
fails "wrong bytes are refused" 'sha256|hash' pull datasets/o/model --redownload
fault
cache_is "and what was there stays" datasets/o/model
fails "terms to be accepted" "open $HUB_HTTP/datasets/o/gated," pull o/gated --repo-type dataset
HF_TOKEN=hf_goodgoodgoodgoodgood succeeds "with a token" pull o/gated --repo-type dataset
fails "no space is called so" 'the repository spaces/o/model does not exist' pull o/model --repo-type space
fails "no such revision" "$HUB_HTTP/datasets/o/model/tree/main" pull datasets/o/model@none
HF_ENDPOINT=http://127.0.0.1:1,$HUB_HTTP succeeds "another endpoint helps" pull datasets/o/model --redownload
HF_ENDPOINT=http://127.0.0.1:1 succeeds "without the hub, all of it is there" pull datasets/o/model
rm "$data/snapshots/$commit/empty.csv"
HF_ENDPOINT=http://127.0.0.1:1 fails "and not when a file is missing" 'could not be reached|refused|connect' pull datasets/o/model
succeeds "which is linked again" pull datasets/o/model

# ---- names that are none ------------------------------------------------------------------------------------------
find "$HF_HOME" | sort > "$T/before"
for name in datasets/ spaces/ datasets/o/ datasets//x datasets/a/b/c datasets/../x datasets/o/.. 'datasets/o/m\x' datasets/o--x spaces/.x datasets/a.git models/../x; do
    fails "the name $name" 'is no repository name|Invalid model name' pull "$name"
done
for name in ../x /x x/../../y a/b/c '' . x/; do fails "the name '$name' of a dataset" 'is no repository name|Invalid model name' pull "$name" --repo-type dataset; done
for type in datasets Dataset kernel ''; do usage "--repo-type '$type'" pull o/model --repo-type "$type"; done
usage "a dataset that is said to be a model" pull datasets/o/model --repo-type model
usage "a model that is said to be a dataset" pull models/o/model --repo-type dataset
fails "a dataset of a user called datasets" 'the repository datasets/datasets/x does not exist' pull datasets/datasets/x
find "$HF_HOME" | sort > "$T/after"
check "nothing was written for any of them" cmp -s "$T/before" "$T/after"

# ---- what is here -------------------------------------------------------------------------------------------------
succeeds "a model beside it" pull o/small
succeeds "list" list --all --json
check "tells of models" not grep -q 'datasets/' "$T/out"
succeeds "list of datasets" list datasets/
says "has them, without --all" '^datasets/o/model +\| [0-9a-f]{7} .*\| dataset$'
succeeds "as a document" list datasets/o --json
check "with their kind" python3 -c 'import json, sys; m = json.load(open(sys.argv[1]))["data"]["models"]; sys.exit([(x["name"], x["model_type"], x["health"], x["runtime_compatible"]) for x in m] != [("datasets/o/gated", "dataset", "healthy", False), ("datasets/o/model", "dataset", "healthy", False)])' "$T/out"
succeeds "show" show datasets/o/model --files
says "names it" "^Name: datasets/o/model@$(echo "$commit" | cut -c1-7)$"
says "and its files, with their folders" '^  - data/train-00001-of-00002.parquet [(]other'
succeeds "show as a document" show datasets/o/model --json
fails "show what is not there" 'did you mean datasets/o/model' show datasets/o/modle
fails "a model is no dataset" "No model found matching 'datasets/o/small'" show datasets/o/small
succeeds "health" health datasets/o/model
says "is good" '^healthy +datasets/o/model'
succeeds "health of all is of models" health --json
check "as it was" not grep -q 'datasets/' "$T/out"
succeeds "verify" verify datasets/o/model
says "hashes it" '^5 files .* 5 right, 0 wrong'
printf x | dd of="$data/blobs/$train" bs=1 seek=5000 conv=notrunc 2> /dev/null
fails "verify finds a wrong byte" '1 thing is wrong' verify datasets/o/model
succeeds "and mends it" verify datasets/o/model --repair
cache_is "from the hub" datasets/o/model
mv "$data/blobs/$train" "$T/kept"
succeeds "health of a link that leads nowhere" health datasets/o/model
says "is bad" '^unhealthy +datasets/o/model.*train-00000'
mv "$T/kept" "$data/blobs/$train"
succeeds "du" du datasets/o/model --json
succeeds "gc" gc datasets/o/model --json
for command in 'run X hi' 'serve --model X' 'tokenize X hi' 'template X' 'diff X o/small' 'bench X' 'embed X hi'; do
    # shellcheck disable=SC2046,SC2086
    MLXK_EXPERIMENTAL=1 fails "no model: $command" 'needs a model, and datasets/o/model is a dataset' $(echo "$command" | sed 's,X,datasets/o/model,')
done
fails "convert takes folders" 'Source path does not exist: datasets/o/model' convert datasets/o/model out --quantize 4
HF_TOKEN=hf_goodgoodgoodgoodgood fails "push to a dataset" 'datasets/o/x is the name of a dataset, not of a model' push "$data/snapshots/$commit" datasets/o/x --private
fails "import a model as a dataset" 'datasets/o/x is the name of a dataset, not of a model' import "$cache/models--o--small/snapshots/$(cat "$cache/models--o--small/refs/main")" --name datasets/o/x
succeeds "clone" clone datasets/o/model "$T/folder" --json
check "has its files as files" python3 tests/fake/fake_hub.py workspace "$T/folder" datasets/o/model

# ---- a model's folder that is called like one --------------------------------------------------------------------
mkdir -p "$cache/models--datasets--x/snapshots/$commit" "$cache/models--datasets--x/refs"
echo '{}' > "$cache/models--datasets--x/snapshots/$commit/config.json"
succeeds "is listed by its folder" list --all
says "not as a dataset" '^models--datasets--x '
succeeds "can be shown" show models--datasets--x
fails "is no dataset" "No model found matching 'datasets/x'" show datasets/x
succeeds "and removed" rm models--datasets--x --force
check "alone" test -d "$data"

# ---- the lock file ------------------------------------------------------------------------------------------------
succeeds "a lock file" pull datasets/o/model --lock "$T/mlxk.lock"
succeeds "with a model in it" pull o/small --lock "$T/mlxk.lock"
check "says which is which" python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); sys.exit(not (d["format_version"] == 1 and [(r["repo"], r.get("type")) for r in d["repos"]] == [("datasets/o/model", "dataset"), ("o/small", None)]))' "$T/mlxk.lock"
rm -rf "$cache"
succeeds "exactly that" pull datasets/o/model --frozen "$T/mlxk.lock"
cache_is "is fetched" datasets/o/model
succeeds "by --repo-type" pull o/model --repo-type dataset --frozen "$T/mlxk.lock"
fails "not as a model" 'names o/model nowhere' pull o/model --frozen "$T/mlxk.lock"
sed 's/"type": "dataset"/"type": "space"/' "$T/mlxk.lock" > "$T/wrong.lock"
fails "a type that does not fit" 'the type of a repository does not fit its name' pull datasets/o/model --frozen "$T/wrong.lock"

# ---- bundles ------------------------------------------------------------------------------------------------------
succeeds "all three again" pull datasets/o/model
succeeds "a space again" pull spaces/o/app
succeeds "a model again" pull o/model
succeeds "a bundle" export datasets/o/model spaces/o/app o/model -o "$T/b.tar"
HF_HOME=$T/there succeeds "read elsewhere" import "$T/b.tar" --json
kept=$cache; cache=$T/there/hub
for name in datasets/o/model spaces/o/app o/model; do cache_is "holds $name" "$name"; done
cache=$kept
mkdir -p "$T/hand/hub"; tar xf "$T/b.tar" -C "$T/hand/hub"; cache=$T/hand/hub
for name in datasets/o/model spaces/o/app o/model; do cache_is "unpacked by hand: $name" "$name"; done
HF_HOME=$T/hand HF_HUB_OFFLINE=1 succeeds "is a working cache" verify datasets/o/model
cache=$kept
python3 - "$T/b.tar" "$T/wrong.tar" <<'P'
import io, sys, tarfile
with tarfile.open(sys.argv[1]) as old, tarfile.open(sys.argv[2], "w") as new:      # the manifest says of a dataset that it is a model
    for x in old:
        data = old.extractfile(x).read() if x.isreg() else b""
        if "mlxk-bundle-" in x.name:
            data = data.replace(b'"type": "dataset"', b'"type": "model"'); x.size = len(data)
        new.addfile(x, io.BytesIO(data) if x.isreg() else None)
P
HF_HOME=$T/none fails "a type that does not fit, in a bundle" 'does not fit|is damaged|sha256' import "$T/wrong.tar"
check "brings nothing" test ! -e "$T/none/hub/datasets--o--model/snapshots"

# ---- the mirror ---------------------------------------------------------------------------------------------------
if ! command -v curl > /dev/null; then echo "ok datasets: mirror # SKIP curl is not installed"; exit 0; fi
mirror_start
HF_HOME=$T/c1 HF_ENDPOINT=$mirror succeeds "a dataset of the mirror's cache" pull datasets/o/model
check "comes whole" test "$(find "$T/c1/hub/datasets--o--model/snapshots/" -type l | wc -l)" = 5
check "with the same blobs" diff -r "$T/c1/hub/datasets--o--model/blobs" "$data/blobs"
answers "what the cache does not have" 404 /api/datasets/o/gated
answers "the datasets" 200 /api/datasets
doc "that it has" "[x['id'] for x in d] == ['o/model']"
mirror_stop
rm -rf "$cache"; export HF_ENDPOINT_UPSTREAM="$HUB_HTTP"
mirror_start --pull-through --allow 'datasets/o/*' --allow 'spaces/o/app' --allow 'o/small'
: > "$hub/log"
HF_HOME=$T/c2 HF_ENDPOINT=$mirror succeeds "a dataset through an empty mirror" pull datasets/o/model
cache_is "the mirror's cache is what a pull leaves" datasets/o/model
check "each payload came once" test "$(n_logged '^cdn GET')" = 2
HF_HOME=$T/c2 HF_ENDPOINT=$mirror succeeds "a space through it" pull o/app --repo-type space
cache_is "is kept, too" spaces/o/app
HF_HOME=$T/c2 HF_ENDPOINT=$mirror fails "a dataset that is not allowed" 'does not exist' pull datasets/squad
HF_HOME=$T/c2 HF_ENDPOINT=$mirror fails "a model of the dataset's name" 'does not exist' pull o/model
check "upstream was not asked for them" not grep -Eq 'squad|/api/models' "$hub/log"
answers "refs of a dataset" 200 /api/datasets/o/model/refs
doc "as upstream has them" "[t['name'] for t in d['tags']] == ['v1']"
answers "no model is called so" 404 /api/models/datasets/o
answers "nor so" 404 /api/models/datasets%2Fo%2Fmodel
answers "a dataset is no space" 404 /api/spaces/o/model
answers "gated: its list" 200 /api/datasets/o/gated
answers "gated: its files" 403 /datasets/o/gated/resolve/main/README.md
answers "a path out of it" 404 /datasets/../o/model/resolve/main/README.md
answers "and encoded" 404 /datasets/%2e%2e/model/resolve/main/README.md
large=$(python3 tests/fake/fake_hub.py etag datasets/o/large train.parquet)
: > "$hub/log"
clients=
for i in 1 2 3 4 5 6; do
    curl -s -m 60 -o "$T/part$i" "$mirror/datasets/o/large/resolve/main/train.parquet" & clients="$clients $!"
done
# shellcheck disable=SC2086
wait $clients
check "six clients at once get the right bytes" test "$(sha256sum "$T"/part? | cut -d' ' -f1 | sort -u)" = "$large"
check "by one fetch" test "$(n_logged '^cdn GET')" = 1
mirror_stop; check "it ends" test "$mirror_status" = 0
mirror_start --pull-through
HF_HOME=$T/c3 HF_ENDPOINT=$mirror succeeds "a dataset of one part, renamed upstream" pull squad --repo-type dataset
mirror_stop
