#!/bin/sh
# 64-push.sh: push: what is looked at, what is sent, what stays at home, what the hub has afterwards, and who is refused.
set -u
. tests/fake/hub.sh
. tests/fake/hub_json.sh
# shellcheck disable=SC2119
hub_start
export HF_TOKEN=hf_goodgoodgoodgoodgood
W=$T/w/ws
mkdir -p "$W/sub/deep"
make() { python3 -c 'import random, sys; sys.stdout.buffer.write(random.Random(sys.argv[1]).randbytes(int(sys.argv[2])))' "$1" "$2"; }
printf '{"model_type": "llama"}' > "$W/config.json"
make a 2500000 > "$W/model.safetensors"
make b 3000 > "$W/small.gguf"
cp "$W/small.gguf" "$W/sub/twin.gguf"
echo hello > "$W/sub/deep/a b.txt"
printf 'x' > "$W/sub/wäre #1%.txt"
: > "$W/empty.bin"
make c 100001 > "$W/vocab.txt"
: > "$hub/log"

# remote_is NAME REPO [REV]: the hub has exactly the files of $W that may leave it, and its own .gitattributes.
remote_is() {
    name=$1; repo=$2; rev=${3:-main}
    (cd "$W" && find -L . -type f ! -name .mlxk_workspace.json ! -path './.git/*' ! -path './.cache/*' ! -path './.hf_cache/*' ! -name '*.pyc' ! -name .hfignore \
        ! -name .gitignore ! -path './venv/*' ! -path './__pycache__/*' ! -name .DS_Store ! -name '*.log' ! -path './out/*' -print | sed 's|^\./||' | LC_ALL=C sort |
        while read -r f; do printf '%s  %s\n' "$(sha256sum < "$f" | cut -c1-64)" "$f"; done) > "$T/want"
    python3 tests/fake/fake_hub.py remote "$HF_ENDPOINT" "$repo" "$rev" 2> "$T/remote.err" | grep -v '  .gitattributes$' | LC_ALL=C sort -k2 > "$T/have"
    LC_ALL=C sort -k2 "$T/want" -o "$T/want"
    if cmp -s "$T/want" "$T/have"; then ok "$name"; else bad "$name" "$(diff "$T/want" "$T/have" | head -n 6)"; fi
}
asked() { grep -c "$1" "$hub/log"; }
proper() { check "$1: every question was right" not grep -q WRONG "$hub/log"; }

# ---- into a new repository --------------------------------------------------------------------------------------
run push "$W" o/new --private --json
check_json "no such repository" "e['type'] == 'repo_not_found' and e['message'] == 'Repository not found: o/new (use --create)' and x['created_repo'] is False"
run push "$W" o/new --private --json --dry-run
check_json "a dry run would make it" "x['dry_run'] is True and x['would_create_repo'] is True and x['change_summary'] == {'added': 8, 'modified': 0, 'deleted': 0} and x['commit_sha'] is None"
check "and makes nothing" not grep -q POST "$hub/log"
run push "$W" o/new --private --create --commit 'first "words"' --json
check_json "a new repository" "d['status'] == 'success' and d['command'] == 'push' and x['created_repo'] is True and len(x['commit_sha']) == 40 and x['no_changes'] is False \
    and x['uploaded_files_count'] == 8 and x['local_files_count'] == 8 and x['change_summary'] == {'added': 8, 'modified': 0, 'deleted': 0} and x['experimental'] is True \
    and x['commit_url'].endswith(x['commit_sha']) and x['repo_id'] == 'o/new' and x['branch'] == 'main' and x['message'] == 'Committed 8 files (+8 ~0 -0).'"
check "nothing on stderr" test ! -s "$T/err"
check "the token goes to the hub" test "$(asked '^hub .*auth=no')" = 0
check "and never to the storage" not grep -q '^cdn .*auth=yes' "$hub/log"
remote_is "the hub has every file" o/new
proper "a new repository"
check "the large file went in parts" test "$(asked '^cdn PUT /part/')" = 3
check "equal content went once" test "$(asked '^cdn PUT /upload/')" = 1
check "one commit" test "$(asked '^COMMIT')" = 1
check "with the message" grep -qF 'COMMIT o/new@main "first \"words\"" operations=8' "$hub/log"
check "the repository is private" sh -c "! HF_TOKEN= '$MLXK' pull o/new > /dev/null 2>&1"
succeeds "pull it back" pull o/new
check "as it was" cmp -s "$W/model.safetensors" "$(find "$cache" -path '*snapshots*' -name model.safetensors)"

# ---- what has changed ---------------------------------------------------------------------------------------------
: > "$hub/log"
run push "$W" o/new --private --json
check_json "no changes" "x['no_changes'] is True and x['commit_sha'] is None and x['uploaded_files_count'] == 0"
check "nothing is asked to change" not grep -q POST "$hub/log"
run push "$W" o/new --private
check "no changes, for people" grep -q '^push (experimental): o/new@main — no changes$' "$T/out"
printf '{"model_type": "llamb"}' > "$W/config.json"
make d 2500000 > "$W/model.safetensors"
echo new > "$W/new.txt"
rm "$W/vocab.txt"
run push "$W" o/new --private --dry-run --json
check_json "a dry run compares by hash" "x['dry_run_summary'] == {'added': 1, 'modified': 2, 'deleted': 2} and x['added_files'] == ['new.txt'] \
    and x['deleted_files'] == ['.gitattributes', 'vocab.txt'] and x['no_changes'] is False and x['uploaded_files_count'] == 0 and x['would_create_repo'] is False"
run push "$W" o/new --private --dry-run
check "the same for people" grep -q '^push (experimental): o/new@main — dry-run: +1 ~2 -2$' "$T/out"
check "and sends nothing" not grep -q POST "$hub/log"
succeeds "a second push" push "$W" o/new --private
check "tells what changed" grep -Eq '^push \(experimental\): o/new@main — commit [0-9a-f]{7} \(\+1 ~2 -0\)$' "$T/out"
check "three operations" grep -q '^COMMIT .*operations=3' "$hub/log"
make c 100001 > "$W/vocab.txt"
remote_is "what is only at the hub stays there" o/new
proper "a second push"
run push "$W" o/new --private --verbose
check "verbose" grep -q 'no changes (No files changed; skipped empty commit.)$' "$T/out"

# ---- what stays at home -----------------------------------------------------------------------------------------------
mkdir -p "$W/.git" "$W/.cache/x" "$W/.hf_cache/hub" "$W/venv/lib" "$W/__pycache__" "$W/out" "$W/sub/__pycache__"
for f in .git/config .cache/x/y .hf_cache/hub/z venv/lib/v __pycache__/p.pyc a.pyc sub/b.pyc .DS_Store .gitignore out/o noise.log sub/noise.log sub/__pycache__/q \
    .mlxk_workspace.json sub/.mlxk_workspace.json; do echo secret > "$W/$f"; done
# shellcheck disable=SC2016
printf '# no logs\n*.log\n  out/  \n\n' > "$W/.hfignore"
: > "$hub/log"
run push "$W" o/new --private --json
check_json "what does not belong is no change" "x['no_changes'] is True and x['local_files_count'] > 20"
echo more > "$W/more.txt"
succeeds "with one file more" push "$W" o/new --private
check "one operation" grep -q '^COMMIT .*operations=1' "$hub/log"
rm -r "$W/sub/__pycache__"
remote_is "nothing private has left" o/new
ln -s config.json "$W/linked.txt"; ln -s sub "$W/dirlink"; ln -s nowhere "$W/dead"
succeeds "links" push "$W" o/new --private
rm "$W/dirlink" "$W/dead"
remote_is "links to files are files, others are left" o/new
succeeds "the folder of a snapshot" push "$(dirname "$(find "$cache" -path '*snapshots*' -name config.json)")" o/snapshot --private --create
check "is a folder" test "$(python3 tests/fake/fake_hub.py remote "$HF_ENDPOINT" o/snapshot | wc -l)" = 9

# ---- branches -------------------------------------------------------------------------------------------------------------
run push "$W" o/new --private --branch dev --json
check_json "no such branch" "e['type'] == 'upload_failed' and 'dev' in e['message'] and '--create' in e['detail']"
run push "$W" o/new --private --branch dev --dry-run --json
check_json "a dry run would make it" "x['would_create_branch'] is True and x['would_create_repo'] is False"
echo branch > "$W/branch.txt"
succeeds "make a branch" push "$W" o/new --private --branch feature/x --create
remote_is "it has the files" o/new feature/x
check "main has not" not grep -q branch.txt "$(python3 tests/fake/fake_hub.py remote "$HF_ENDPOINT" o/new > "$T/main"; echo "$T/main")"
proper "branches"

# ---- who is refused ----------------------------------------------------------------------------------------------------------
: > "$hub/log"
run push "$W" o/public --private --json
check_json "a public repository" "e['type'] == 'repo_is_public' and 'public' in e['message'] and '--allow-public' in e['detail']"
run push "$W" o/public --private --dry-run --json
check_json "a dry run tells" "x['repo_is_public'] is True"
check "nothing is sent" not grep -q POST "$hub/log"
succeeds "unless it is meant" push "$W" o/public --private --allow-public
remote_is "then it has the files" o/public > "$T/public"
check "beside its own" grep -q '^# .*\|ok' "$T/public"
fault "hub /api/models/o/new\$ status=404"
succeeds "a hub that answers for revisions only" push "$W" o/new --private
fault "hub /repos/create makepublic"
run push "$W" o/trick --private --create --json
check_json "a repository that does not become private" "e['type'] == 'repo_is_public'"
check "gets nothing" not grep -q 'POST .*o/trick' "$hub/log"
fault
HF_TOKEN=hf_readreadreadreadread run push "$W" o/target --private --json
check_json "a token that may read only" "e['type'] in ('upload_failed', 'auth_error') and '403' in e['message']"
HF_TOKEN=hf_wrongwrongwrongwrong run push "$W" o/target --private --json
check_json "a token that is not accepted" "e['type'] == 'auth_error' and 'does not accept the token' in e['message']"
HF_TOKEN='' run push "$W" o/target --private --json
check_json "no token" "e['type'] == 'auth_error' and e['message'] == 'HF_TOKEN not set' and x['local_files_count'] is None"
run push "$W" o/target --json
check "without --private" test $status = 2
HF_HUB_OFFLINE=1 fails "offline" "HF_HUB_OFFLINE is set" push "$W" o/target --private
HF_ENDPOINT=http://127.0.0.1:9 fails "no hub" "no connection" push "$W" o/target --private
HF_ENDPOINT="http://127.0.0.1:9 $HUB_HTTP" fails "a mirror in front is no way around" "no connection" push "$W" o/target --private
fails "a name that is none" "repository name" push "$W" o//x --private --create
fails "a folder that is none" "Workspace not found" push nothere o/target --private
fails "an empty name" "empty" push '' o/target --private
HF_ENDPOINT="$HUB_HTTP/prefix" succeeds "an endpoint with a path" push "$W" o/target --private
check "keeps the path" logged '^hub POST /prefix/api/models/o/target/commit/main'
proper "refusals"

# ---- folders as patterns, and what is in them ------------------------------------------------------------------------------------
at() { dir=$1; shift; (cd "$dir" && "$MLXK" "$@" > "$T/out" 2> "$T/err" < /dev/null); status=$?; }
for d in gemma-a gemma-b other; do mkdir "$T/w/$d"; printf '{"a": 1}' > "$T/w/$d/config.json"; printf 'x' > "$T/w/$d/model.safetensors"; done
other=$T/w/other
at "$T/w" push ./gemma- o/m --private --check-only --json
check_json "several" "e['type'] == 'ambiguous_workspace' and e['matches'] == ['$T/w/gemma-a', '$T/w/gemma-b'] and 'matches 2 workspaces: gemma-a, gemma-b.' in e['message']"
at "$T/w" push ./oth o/m --private --check-only --json
check_json "one" "x['workspace_health']['healthy'] is True and x['workspace_health']['config']['path'] == '$T/w/other/config.json'"
at "$other" push . o/m --private --check-only --json
check_json "the working folder" "x['workspace_health']['config']['path'] == 'config.json' and x['local_files_count'] == 2"
printf '{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}' > "$other/model.safetensors.index.json"
mv "$other/model.safetensors" "$other/model-00001-of-00002.safetensors"
at "$other" push . o/m --private --check-only --json
check_json "a missing shard" "x['workspace_health']['healthy'] is False and x['workspace_health']['weights']['index']['missing'] == ['model-00002-of-00002.safetensors'] \
    and x['workspace_health']['weights']['pattern_complete'] is False and x['workspace_health']['anomalies'][0]['code'] == 'index_missing_shard'"
at "$other" push . o/m --private --check-only
check "for people" grep -q 'Check-only: no upload performed.' "$T/out"
