#!/bin/sh
# 30-pull.sh: pull against a well-behaved hub: what is fetched, what is asked, what the cache looks like afterwards.
set -u
. tests/fake/hub.sh
# shellcheck disable=SC2119      # the faults it can be given are for other tests
hub_start

# ---- a whole repository -------------------------------------------------------------------------------
succeeds "pull a repository" pull o/model
cache_is "cache tree of a repository" o/model
check "one line says where it is" grep -q "^pull: o/model — .*/snapshots/" "$T/out"
check "nothing on stderr" not test -s "$T/err"
check "connections are reused" test "$(sed -n 's/^hub .*conn=//p' "$hub/log" | sort -u | wc -l)" -le 4
check "names are encoded" logged 'GET /o/model/resolve/[0-9a-f]{40}/odd%23%25%2B%26%3D%3F%3B%40\.txt '
check "the same bytes are fetched once" test "$(grep -c '^cdn GET' "$hub/log")" = 3
check "no partial files stay" test -z "$(find "$cache" -name '*.incomplete')"
check "links are relative" test -z "$(find "$cache" -type l -lname '/*')"
: > "$hub/log"
succeeds "pull again" pull o/model
check "again: already there" grep -q "already exists" "$T/out"
check "again: nothing is fetched" not grep -q resolve "$hub/log"

# ---- JSON ------------------------------------------------------------------------------------------------
commit=$(python3 tests/fake/fake_hub.py commit o/model)
json() { python3 -c "import json,sys; d=json.load(open('$T/out')); sys.exit(not ($1))"; }
run pull o/model --json
check "JSON of an existing model" json "d['status']=='success' and d['command']=='pull' and d['error'] is None and d['data']['model']=='o/model' \
    and d['data']['download_status']=='already_exists' and d['data']['expanded_name'] is None and d['data']['commit_hash']=='$commit'"
fresh
run pull o/model --json
check "JSON of a download" json "d['data']['download_status']=='success' and d['data']['n_fetched']==13 and d['data']['snapshot'].endswith('$commit')"
check "JSON: nothing on stderr" not test -s "$T/err"

# ---- revisions -----------------------------------------------------------------------------------------------
fresh
succeeds "pull a tag" pull o/model --revision v1
cache_is "cache tree of a tag" o/model v1
fresh
succeeds "pull a nested revision with @" pull o/model@refs/pr/1
cache_is "cache tree of a nested revision" o/model refs/pr/1
check "the revision is one segment" logged 'GET /api/models/o/model/revision/refs%2Fpr%2F1 '
fresh
commit_v1=$(python3 tests/fake/fake_hub.py commit o/model v1)
succeeds "pull a commit" pull "o/model@$commit_v1"
cache_is "a commit leaves no ref" o/model "$commit_v1"
short=$(echo "$commit_v1" | cut -c1-9)
: > "$hub/log"
succeeds "pull a beginning of a commit" pull "o/model@$short"
check "it is the same snapshot" grep -q "already exists" "$T/out"
cache_is "and leaves no ref either" o/model "$commit_v1"
fresh
fails "unknown revision" "has no revision 'nope'" pull o/model@nope
nothing "unknown revision: nothing written"
run pull o/model@v1 --revision main
check "two revisions are a usage error" test $status = 2

# ---- renamed, moved, gated, private --------------------------------------------------------------------------
fresh
succeeds "pull a renamed repository" pull o/old
check "it keeps the name that was asked for" test -d "$cache/models--o--old/snapshots"
fresh
succeeds "pull while main moves" pull o/moved
check "the commit of the first answer is kept" test "$(cat "$cache/models--o--moved/refs/main")" = "$(basename "$(find "$cache"/models--o--moved/snapshots -mindepth 1 -maxdepth 1)")"
check "one snapshot only" test "$(find "$cache/models--o--moved/snapshots" -mindepth 1 -maxdepth 1 | wc -l)" = 1
succeeds "pull again after main moved" pull o/moved
check "now there are two snapshots" test "$(find "$cache/models--o--moved/snapshots" -mindepth 1 -maxdepth 1 | wc -l)" = 2
fresh
fails "gated without a token" "$HF_ENDPOINT/o/gated" pull o/gated
nothing "gated: nothing written"
fails "private without a token" "mlxk login, or HF_TOKEN" pull o/private
fails "unknown repository" "does not exist" pull o/unknown
fails "disabled repository" "disabled" pull o/disabled
fails "empty repository" "has no files" pull o/empty
run pull o/gated --json
check "JSON of a refusal" json "d['status']=='error' and d['error']['type']=='access_denied' and d['data']['download_status']=='access_denied' and d['data']['model']=='o/gated'"
nothing "refusals: nothing written"
HF_TOKEN=hf_goodgoodgoodgoodgood succeeds "gated with a token" pull o/gated
HF_TOKEN=hf_goodgoodgoodgoodgood succeeds "private with a token" pull o/private
check "the token reached the hub" logged '^hub GET .*auth=yes'
check "and never the CDN" not grep -q '^cdn .*auth=yes' "$hub/log"
fresh
HF_TOKEN=hf_wrongwrongwrongwrong fails "a token that is not accepted" "does not accept the token from HF_TOKEN" pull o/small
check "no message shows it" not grep -rq hf_wrong "$T/out" "$T/err"
mkdir -p "$HF_HOME"; echo hf_goodgoodgoodgoodgood > "$HF_HOME/token"
succeeds "token file" pull o/private
check "the token file is used" logged '^hub GET .*auth=yes'

# ---- endpoint with a path, names, filters ----------------------------------------------------------------------
fresh
HF_ENDPOINT="$HUB_HTTP/prefix/" succeeds "endpoint with a path" pull o/small
check "the path is kept" logged '^hub GET /prefix/api/models/o/small'
cache_is "cache tree behind a path" o/small
fresh
succeeds "a name without organisation" pull bare
cache_is "cache tree of it" bare
fails "a name that is none" "Invalid model name" pull o//m
fails "a name with .." "no repository name" pull ../o
fresh
succeeds "include" pull o/model --include '*.json' --include README.md
cache_is "cache tree with include" o/model --only '*.json' --only README.md
succeeds "include more later" pull o/model --include '*.safetensors'
cache_is "cache tree with both" o/model --only '*.json' --only README.md --only '*.safetensors'
fresh
succeeds "exclude" pull o/model --exclude '*.safetensors' --exclude 'sub/'
check "excluded files are absent" test -z "$(find "$cache" \( -name '*.safetensors' -o -name nested.json \))"
check "others are there" test -e "$cache/models--o--model/snapshots/$commit/config.json"
fails "nothing fits" "none of the 14 files" pull o/model --include '*.gguf'

# ---- damage, redownload, offline, plain caches -------------------------------------------------------------------
fresh
run pull o/small
blob=$(find "$cache" -path '*blobs*' -size +40k)
printf X | dd of="$blob" bs=1 seek=100 conv=notrunc 2>/dev/null
succeeds "redownload" pull o/small --redownload
cache_is "redownload mends" o/small
rm "$cache"/models--o--small/refs/main
succeeds "a lost ref" pull o/small
cache_is "is written again" o/small
rm -r "$cache"/models--o--small/snapshots
succeeds "lost links" pull o/small
cache_is "are made again" o/small
: > "$hub/log"
HF_HUB_OFFLINE=1 succeeds "offline with a model" pull o/small
check "offline: nobody is asked" not test -s "$hub/log"
HF_HUB_OFFLINE=1 succeeds "offline with a commit" pull "o/small@$(python3 tests/fake/fake_hub.py commit o/small | cut -c1-8)"
HF_HUB_OFFLINE=1 fails "offline without it" "HF_HUB_OFFLINE" pull o/model
HF_ENDPOINT=http://127.0.0.1:9 succeeds "hub down, model there" pull o/small
HF_ENDPOINT=http://127.0.0.1:9 fails "hub down, model absent" "no connection to 127.0.0.1" pull o/other
fault "cdn . cut=4000"; HF_HUB_DOWNLOAD_TIMEOUT=1 run pull o/huge; fault
check "interrupted: something is there" test -n "$(find "$cache/models--o--huge" -name '*.incomplete')"
HF_ENDPOINT=http://127.0.0.1:9 fails "interrupted, hub down: nothing to ask about" "no connection to 127.0.0.1" pull o/huge
HF_ENDPOINT=http://127.0.0.1:9 run pull o/huge --json
check "interrupted, hub down: a failure" json "d['status']=='error' and d['data']['download_status']=='failed' and '127.0.0.1' in d['error']['message']"
run pull small --json
check "a short name finds the cached model" json "d['data']['expanded_name']=='o/small' and d['data']['model']=='o/small'"
fresh
HF_HUB_DISABLE_SYMLINKS=1 succeeds "without links" pull o/small
check "files instead of links" test -z "$(find "$cache" -type l)"
: > "$hub/log"
HF_HUB_DISABLE_SYMLINKS=1 succeeds "again without links" pull o/small
check "nothing is fetched again" not grep -q resolve "$hub/log"
fresh
HF_HUB_CACHE="$T/elsewhere" succeeds "HF_HUB_CACHE" pull o/small
check "HF_HUB_CACHE holds it" test -d "$T/elsewhere/models--o--small/snapshots"

# ---- many files -------------------------------------------------------------------------------------------------------
fresh
succeeds "1,500 files" pull o/many --quiet
HF_HUB_OFFLINE=1 succeeds "offline: complete though no model" pull o/many
cache_is "cache tree of 1,500 files" o/many
check "in two pages" test "$(grep -c '/tree/' "$hub/log")" = 2

# ---- proxies ---------------------------------------------------------------------------------------------------------------
fresh
HF_ENDPOINT="http://hub.test:${HUB_HTTP##*:}" http_proxy="$HUB_PROXY" fails "through a proxy, unknown host" "." pull o/unknown
check "the proxy was asked for the whole address" logged '^hub GET /api/models/o/unknown'
HTTP_PROXY=http://127.0.0.1:9 fails "a proxy that is down is told apart from the hub" "the proxy: no connection to 127.0.0.1 port 9" pull o/unknown
HF_ENDPOINT=$HUB_HTTP http_proxy=http://127.0.0.1:9 NO_PROXY=127.0.0.1 succeeds "no_proxy" pull o/small
