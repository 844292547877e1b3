#!/bin/sh
# 80-mirror.sh: the mirror's contract, question by question, and pull through it. Hostile requests: 81; who may pass: 82.
# shellcheck disable=SC2119
set -u
. tests/fake/mirror.sh
command -v curl > /dev/null || { echo "ok mirror # SKIP curl is not installed"; exit 0; }
hub_start
succeeds "a model in the cache" pull o/model
succeeds "another revision of it" pull o/model@refs/pr/1
succeeds "a name without a slash" pull bare
commit=$(python3 tests/fake/fake_hub.py commit o/model)
commit_pr=$(python3 tests/fake/fake_hub.py commit o/model refs/pr/1)
sha=$(python3 tests/fake/fake_hub.py etag o/model model-00001-of-00002.safetensors)
chmod -R a-w "$HF_HOME"                      # a mirror only reads
find "$HF_HOME" > "$T/before"
mirror_start || exit 0
check "stdout is one line to copy" test "$(cat "$T/mirror.out")" = "export HF_ENDPOINT=$mirror"

# ---- files ---------------------------------------------------------------------------------------------------
answers "a file" 200 /o/model/resolve/main/config.json
body_has "its bytes" '"model_type": "llama"'
head_has "its commit" "^X-Repo-Commit: $commit$"
head_has "its hash" '^ETag: "[0-9a-f]{40}"$'
head_has "its length" '^Content-Length: 38$'
head_has "ranges are offered" '^Accept-Ranges: bytes$'
head_has "a type is named" '^Content-Type: '
answers "an LFS file" 200 /o/model/resolve/main/model-00001-of-00002.safetensors
same_file() { test "$(sha256sum < "$T/body" | cut -d' ' -f1)" = "$1"; }
check "its bytes have its hash" same_file "$sha"
head_has "its hash is its tag" "^ETag: \"$sha\"$"
head_has "linked tag for old clients" "^X-Linked-Etag: \"$sha\"$"
head_has "linked size" '^X-Linked-Size: 300000$'
head_lacks "nothing of Xet" 'xet'
answers "HEAD" 200 /o/model/resolve/main/model-00001-of-00002.safetensors -I
head_has "HEAD tells the length" '^Content-Length: 300000$'
answers "an empty file" 200 /o/model/resolve/main/empty.txt
head_has "its length is 0" '^Content-Length: 0$'
answers "a file in a folder" 200 /o/model/resolve/main/sub/dir/nested.json
answers "an escaped slash in a path" 200 /o/model/resolve/main/sub%2Fdir%2Fnested.json
answers "a name with a space" 200 /o/model/resolve/main/with%20space.txt
answers "a name in Unicode" 200 "/o/model/resolve/main/w%C3%A4re%20%C3%BCn%C3%AF%20%E6%97%A5%E6%9C%AC.txt"
answers "a name with signs" 200 "/o/model/resolve/main/odd%23%25%2B%26%3D%3F%3B%40.txt"
answers "a name with %25" 200 /o/model/resolve/main/100%2525.txt
answers "by commit" 200 "/o/model/resolve/$commit/config.json"
answers "by the beginning of a commit" 200 "/o/model/resolve/$(echo "$commit" | cut -c1-9)/config.json"
answers "a nested revision, escaped" 200 /o/model/resolve/refs%2Fpr%2F1/config.json
head_has "its commit is another" "^X-Repo-Commit: $commit_pr$"
answers "a nested revision, plain" 200 /o/model/resolve/refs/pr/1/config.json
answers "a name without a slash" 200 /bare/resolve/main/config.json
tag=$(python3 tests/fake/fake_hub.py etag o/model config.json)
answers "unchanged" 304 /o/model/resolve/main/config.json -H "If-None-Match: \"$tag\""

# ---- parts ---------------------------------------------------------------------------------------------------
weights=/o/model/resolve/main/model-00001-of-00002.safetensors
"$MLXK" show o/model > /dev/null 2>&1
cp "$cache/models--o--model/blobs/$sha" "$T/whole"
part() {    # NAME RANGE FROM LENGTH
    answers "$1" 206 $weights -H "Range: bytes=$2"
    dd if="$T/whole" bs=1 skip="$3" count="$4" 2>/dev/null | cmp -s - "$T/body" && ok "$1: bytes" || echo "not ok $1: bytes"
}
part "a part" 10-19 10 10
head_has "says which" '^Content-Range: bytes 10-19/300000$'
part "from a byte on" 299990- 299990 10
part "the last bytes" -5 299995 5
part "past the end" 299999-400000 299999 1
part "one byte" 0-0 0 1
answers "none of it" 416 $weights -H "Range: bytes=300000-"
head_has "416 says the size" '^Content-Range: bytes \*/300000$'
answers "two parts at once" 416 $weights -H "Range: bytes=0-1,5-6"
answers "a malformed range is none" 200 $weights -H "Range: bytes=x"
answers "backwards is none" 200 $weights -H "Range: bytes=5-2"
answers "another unit is none" 200 $weights -H "Range: lines=1-2"
answers "If-Range with the tag" 206 $weights -H "Range: bytes=0-1" -H "If-Range: \"$sha\""
answers "If-Range with another tag" 200 $weights -H "Range: bytes=0-1" -H 'If-Range: "other"'

# ---- what is not there ---------------------------------------------------------------------------------------
answers "no such file" 404 /o/model/resolve/main/nope.json
head_has "EntryNotFound" '^X-Error-Code: EntryNotFound$'
head_has "with the commit, for .no_exist" "^X-Repo-Commit: $commit$"
answers "no such file, HEAD" 404 /o/model/resolve/main/nope.json -I
head_has "HEAD: EntryNotFound" '^X-Error-Code: EntryNotFound$'
answers "no such revision" 404 /o/model/resolve/nope/config.json
head_has "RevisionNotFound" '^X-Error-Code: RevisionNotFound$'
answers "no such repository" 404 /o/none/resolve/main/config.json
head_has "RepoNotFound" '^X-Error-Code: RepoNotFound$'
answers "no such repository, API" 404 /api/models/o/none
doc "errors are JSON" '"error" in d'
answers "no such page" 404 /api/agent-harnesses
head_has "an error code there too" '^X-Error-Code: '
answers "no token for Xet" 404 "/api/models/o/model/xet-read-token/$commit"
answers "writing is refused" 405 /api/models/o/model -X DELETE
head_has "405 says what is allowed" '^Allow: GET, HEAD$'
answers "an unknown method" 405 /o/model/resolve/main/config.json -X BREW

# ---- the API -------------------------------------------------------------------------------------------------
answers "information" 200 /api/models/o/model
doc "its keys" "d['id']=='o/model' and d['modelId']=='o/model' and d['sha']=='$commit' and d['private'] is False and d['gated'] is False and d['disabled'] is False and d['tags']==[]"
doc "siblings" "len(d['siblings'])==14 and {'rfilename':'sub/dir/nested.json'} in d['siblings']"
head_has "commit of the information" "^X-Repo-Commit: $commit$"
answers "information of a revision" 200 "/api/models/o/model/revision/refs%2Fpr%2F1?expand=xetEnabled&securityStatus=true"
doc "another commit" "d['sha']=='$commit_pr'"
answers "with blobs" 200 "/api/models/o/model/revision/main?blobs=True"
doc "sizes and hashes" "[s for s in d['siblings'] if s['rfilename']=='model-00001-of-00002.safetensors'][0]['lfs']=={'sha256':'$sha','size':300000,'pointerSize':131} and all('size' in s and len(s['blobId'])==40 for s in d['siblings'])"
answers "a dataset of that name" 404 /api/datasets/o/model
answers "tree" 200 "/api/models/o/model/tree/main"
doc "direct entries" "{e['path'] for e in d if e['type']=='directory'}=={'copy','sub'} and len([e for e in d if e['type']=='file'])==12"
answers "whole tree" 200 "/api/models/o/model/tree/main?recursive=true&expand=false"
doc "every entry" "{e['path'] for e in d if e['type']=='directory'}=={'copy','sub','sub/dir'} and len([e for e in d if e['type']=='file'])==14"
doc "no Xet in it" "'xet' not in str(d).lower()"
curl -s "$HUB_HTTP/api/models/o/model/tree/main?recursive=true" > "$T/hub.json"
doc "as the hub itself says" "files(json.load(open('$T/hub.json')))==files(d)"
head_lacks "a single page" '^Link:'
answers "a folder" 200 "/api/models/o/model/tree/main/sub%2Fdir?recursive=true"
doc "its files" "[e['path'] for e in d]==['sub/dir/nested.json']"
answers "a folder, plain slash" 200 "/api/models/o/model/tree/main/sub"
doc "its folders" "[(e['type'],e['path']) for e in d]==[('directory','sub/dir')]"
answers "no such folder" 404 /api/models/o/model/tree/main/additional_chat_templates
head_has "EntryNotFound for it" '^X-Error-Code: EntryNotFound$'
answers "with the last commit" 200 "/api/models/o/model/tree/main?expand=true"
doc "lastCommit" "d[0]['lastCommit']['id']=='$commit'"
answers "paths by form" 200 /api/models/o/model/paths-info/main -d 'paths=config.json&paths=sub%2Fdir&paths=nope&expand=false'
doc "those that exist" "[(e['type'],e['path']) for e in d]==[('file','config.json'),('directory','sub/dir')]"
answers "paths by JSON" 200 /api/models/o/model/paths-info/main -H 'Content-Type: application/json' -d '{"paths":["config.json","with space.txt"],"expand":true}'
doc "both" "[e['path'] for e in d]==['config.json','with space.txt'] and 'lastCommit' in d[0]"
answers "paths: no JSON" 400 /api/models/o/model/paths-info/main -H 'Content-Type: application/json' -d '{"paths":'
answers "paths: GET is not for it" 405 /api/models/o/model/paths-info/main
answers "refs" 200 "/api/models/o/model/refs?include_prs=1"
doc "branches and pull requests" "d['branches']==[{'name':'main','ref':'refs/heads/main','targetCommit':'$commit'}] and [p['name'] for p in d['pullRequests']]==['refs/pr/1'] and d['tags']==[] and d['converts']==[]"
mkdir -p "$HF_HOME/hub/models--o--model/refs/refs/tags" "$HF_HOME/hub/models--o--model/refs/refs/convert"
for ref in refs/tags/v9 refs/convert/parquet dev; do printf %s "$commit" > "$HF_HOME/hub/models--o--model/refs/$ref"; done
printf %s 0000000000000000000000000000000000000000 > "$HF_HOME/hub/models--o--model/refs/gone"
answers "refs of every kind" 200 "/api/models/o/model/refs"
doc "by their kinds" "[[(r['name'], r['ref']) for r in d[k]] for k in ('branches', 'tags', 'converts')]==[[('dev', 'refs/heads/dev'), ('main', 'refs/heads/main')], [('v9', 'refs/tags/v9')], [('parquet', 'refs/convert/parquet')]]"
mv "$HF_HOME/hub/models--o--model/refs/main" "$T/main.ref"
answers "refs without a main branch" 200 "/api/models/o/model/refs"
doc "are those there are" "[r['name'] for r in d['branches']]==['dev']"
mv "$T/main.ref" "$HF_HOME/hub/models--o--model/refs/main"
rm -r "$HF_HOME/hub/models--o--model/refs/dev" "$HF_HOME/hub/models--o--model/refs/gone" "$HF_HOME/hub/models--o--model/refs/refs/tags" "$HF_HOME/hub/models--o--model/refs/refs/convert"
answers "commits" 200 /api/models/o/model/commits/main
doc "one" "[c['id'] for c in d]==['$commit']"
answers "all repositories" 200 /api/models
doc "both" "[m['id'] for m in d]==['bare','o/model']"
answers "searched" 200 "/api/models?search=MOD&limit=5"
doc "one of them" "[m['id'] for m in d]==['o/model']"
answers "by author" 200 "/api/models?author=x"
doc "none" "d==[]"
answers "who am I" 401 /api/whoami-v2
answers "health" 200 /health
answers "ready" 200 /ready
answers "metrics" 200 /metrics
body_has "a counter" '^mlxk_http_requests_total\{route="resolve",code="206"\} [0-9]+$'
if command -v promtool > /dev/null; then check "promtool likes them" promtool check metrics < "$T/body"; fi

# ---- pull through it -----------------------------------------------------------------------------------------
HF_HOME="$T/second" HF_ENDPOINT="$mirror" succeeds "pull from the mirror" pull o/model
(cd "$HF_HOME/hub/models--o--model" && find . ! -name "*$commit_pr*" ! -path "*$commit_pr/*" ! -path './refs/refs*' -type l -printf '%P %l\n' | sort) > "$T/links1"
(cd "$T/second/hub/models--o--model" && find . -type l -printf '%P %l\n' | sort) > "$T/links2"
check "the same links" cmp "$T/links1" "$T/links2"
check "the same blobs" sh -c "cd '$T/second/hub/models--o--model/blobs' && for f in *; do cmp -s \"\$f\" '$HF_HOME/hub/models--o--model/blobs/'\"\$f\" || exit 1; done"
HF_HOME="$T/second" HF_ENDPOINT="$mirror" succeeds "and a nested revision" pull o/model@refs/pr/1
HF_HOME="$T/third" HF_ENDPOINT="$mirror" fails "what it does not have" "does not exist|not on this mirror" pull o/small
find "$HF_HOME" | cmp -s - "$T/before" && ok "nothing was written" || echo "not ok nothing was written"
mirror_stop
check "told to stop, it ends with 0" test $mirror_status = 0

# ---- commits whose list is not known ---------------------------------------------------------------------------
chmod -R u+w "$HF_HOME"
rm -r "$cache/models--o--model/trees"
mirror_start
check "it says so at the start" grep -q "1 more are not served" "$T/mirror.err"
answers "a commit without its file list" 404 /api/models/o/model
head_has "is not there" '^X-Error-Code: RevisionNotFound$'
body_has "and it says why" 'serve-partial'
mirror_stop
mirror_start --serve-partial
answers "with --serve-partial" 200 "/api/models/o/model/tree/main?recursive=true"
doc "computed as the hub says" "files(json.load(open('$T/hub.json')))==files(d)"
answers "its files too" 200 $weights
check "with their hash" same_file "$sha"
mirror_stop
rm -rf "$HF_HOME"
HF_HUB_DISABLE_SYMLINKS=1 succeeds "a cache without links" pull o/model
rm -rf "$cache/models--o--model/trees" "$cache/models--o--model/blobs"
mirror_start --serve-partial
answers "without links, hashed" 200 "/api/models/o/model/tree/main?recursive=true"
doc "small files as the hub says" "{e['path']:e['oid'] for e in json.load(open('$T/hub.json')) if e['type']=='file' and not e.get('lfs')}=={e['path']:e['oid'] for e in d if e['type']=='file' and e['path'] in {h['path'] for h in json.load(open('$T/hub.json')) if not h.get('lfs')}}"
answers "and served" 200 $weights
check "without links: right bytes" same_file "$sha"
mirror_stop

# ---- damage ----------------------------------------------------------------------------------------------------
rm -rf "$HF_HOME"
succeeds "once more" pull o/model
rm "$cache/models--o--model/snapshots/$commit/config.json" "$cache/models--o--model/blobs/$tag"
printf x > "$cache/models--o--model/blobs/$sha"
printf 'SECRET!' > "$T/outside"             # as long as the file it stands for
rm "$cache/models--o--model/snapshots/$commit/README.md" "$cache/models--o--model/blobs/$(python3 tests/fake/fake_hub.py etag o/model README.md)"
ln -s "$T/outside" "$cache/models--o--model/snapshots/$commit/README.md"
mirror_start
answers "a file that is listed and not there" 503 /o/model/resolve/main/config.json
head_has "is not said not to exist" '^X-Error-Code: EntryNotCached$'
answers "a file of another size" 503 $weights
answers "a link out of the cache" 503 /o/model/resolve/main/README.md
mirror_stop
