#!/bin/sh
# 83-mirror-through.sh: the mirror fetches what it does not have: once, verified, passed on while it arrives.
# shellcheck disable=SC2119
set -u
. tests/fake/mirror.sh
command -v curl > /dev/null || { echo "ok mirror: pull-through # SKIP curl is not installed"; exit 0; }
hub_start
export HF_ENDPOINT_UPSTREAM="$HUB_HTTP"
etag=$(python3 tests/fake/fake_hub.py etag o/huge model.safetensors)
commit=$(python3 tests/fake/fake_hub.py commit o/model)
whole() { test "$(sha256sum < "$1" | cut -d' ' -f1)" = "$etag"; }
huge=/o/huge/resolve/main/model.safetensors
n_logged() { sleep 0.2; grep -Ec -- "$1" "$hub/log"; }

# ---- refs before any file, as llama.cpp asks --------------------------------------------------------------------
mirror_start --pull-through
answers "refs of a repository of which nothing is there" 200 /api/models/o/model/refs
doc "its main branch" "d['branches'][0] == {'name': 'main', 'ref': 'refs/heads/main', 'targetCommit': '$commit'}"
doc "and what else upstream lists" "[b['name'] for b in d['branches'][1:]] == ['feature/x'] and [(t['name'], t['ref']) for t in d['tags']] == [('v1', 'refs/tags/v1')] and d['converts'] == [] and 'pullRequests' not in d"
answers "with pull requests" 200 "/api/models/o/model/refs?include_prs=1"
doc "these, too" "[p['ref'] for p in d['pullRequests']] == ['refs/pr/1'] and d['pullRequests'][0]['targetCommit'] == '$(python3 tests/fake/fake_hub.py commit o/model refs/pr/1)'"
check "both by one question" test "$(n_logged '/refs')" = 1
answers "a file of a tag by its short name" 200 /o/model/resolve/v1/config.json
answers "refs once more" 200 /api/models/o/model/refs
doc "the cached tag is no second branch" "[b['name'] for b in d['branches']] == ['main', 'feature/x'] and len(d['tags']) == 1"
answers "refs of a repository that does not exist" 404 /api/models/o/none/refs
answers "its list" 200 "/api/models/o/model/tree/$commit?recursive=true"
doc "every entry" "len([e for e in d if e['type'] == 'file']) == 14"
mirror_stop
for list in truncated object deep scalar; do        # upstream's list cannot be used: what the cache knows
    fault "hub /refs json=$list"
    mirror_start --pull-through
    answers "upstream's refs are $list" 200 /api/models/o/model/refs
    doc "then those of the cache ($list)" "sorted(b['name'] for b in d['branches']) == ['main', 'v1'] and d['tags'] == []"
    mirror_stop
done
fault; fresh

# ---- a whole repository, twice --------------------------------------------------------------------------------
mirror_start --pull-through
HF_HOME="$T/client" HF_ENDPOINT="$mirror" HF_TOKEN=hf_secretofaclient succeeds "pull through an empty mirror" pull o/model
cache_is "the mirror's cache is what a pull leaves" o/model
cache_kept=$cache; cache="$T/client/hub"
check "the client has the same blobs" sh -c "cd '$cache_kept/models--o--model/blobs' && for f in *; do cmp -s \"\$f\" '$cache/models--o--model/blobs/'\"\$f\" || exit 1; done"
cache=$cache_kept
check "the client's token went nowhere" not grep -q 'auth=yes' "$hub/log"
check "each payload was fetched once" test "$(n_logged '^cdn GET')" = 3
check "the commit was looked up once" test "$(n_logged '/revision/')" = 1
: > "$hub/log"
HF_HOME="$T/client2" HF_ENDPOINT="$mirror" succeeds "a second client" pull o/model
check "upstream was not asked at all" test "$(n_logged .)" = 0
answers "a nested revision" 200 /api/models/o/model/revision/refs%2Fpr%2F1
answers "a file of it" 200 /o/model/resolve/refs%2Fpr%2F1/config.json
answers "a file without a byte" 200 /o/model/resolve/v1/empty.txt
head_has "its length is 0" '^Content-Length: 0$'
check "its ref is kept" test -s "$cache/models--o--model/refs/refs/pr/1"
answers "HEAD" 200 $huge -I
head_has "HEAD tells the length" '^Content-Length: 24000000$'
check "and fetches nothing" test "$(n_logged "^cdn")" = 0
n_before=$(n_logged .)
answers "all repositories" 200 /api/models
doc "of the cache" "[m['id'] for m in d] == ['o/model']"
check "upstream is not asked for them" test "$(n_logged .)" = "$n_before"
answers "no such file" 404 /o/model/resolve/main/nope
head_has "no such file: EntryNotFound" '^X-Error-Code: EntryNotFound'
answers "no such revision" 404 /api/models/o/model/revision/nope
head_has "no such revision: RevisionNotFound" '^X-Error-Code: RevisionNotFound'
answers "no such repository" 404 /api/models/o/none
head_has "no such repository: RepoNotFound" '^X-Error-Code: RepoNotFound'
answers "gated: its list" 200 /api/models/o/gated
answers "gated: its files" 403 /o/gated/resolve/main/model.safetensors
head_has "gated: GatedRepo" '^X-Error-Code: GatedRepo'
answers "a dataset that upstream does not have" 404 /api/datasets/o/none
: > "$hub/log"
answers "what upstream does not know is not asked at once again" 404 /api/models/o/none
check "indeed" test "$(n_logged .)" = 0

# ---- fifty at once ---------------------------------------------------------------------------------------------
fault "cdn $etag slow=8000000"
cat > "$T/fifty.py" <<'P'
import hashlib, sys, threading, time, urllib.request
url, etag, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
right, first, last = [], [], []
def one():
    t = time.time()
    try:
        r = urllib.request.urlopen(url, timeout=60); h = hashlib.sha256(r.read(65536)); first.append(time.time() - t)
        while True:
            b = r.read(1 << 16)
            if not b: break
            h.update(b)
        right.append(h.hexdigest() == etag)
    except Exception as e:
        right.append(repr(e))
    last.append(time.time() - t)
ts = [threading.Thread(target=one) for _ in range(n)]
[t.start() for t in ts]; [t.join() for t in ts]
print(right.count(True), "right", round(max(first or [99]), 2), "s to the first bytes,", round(max(last), 2), "s in all", set(right) - {True})
sys.exit(not (right.count(True) == n and max(first) < max(last) / 2))
P
: > "$hub/log"
check "50 clients at once are served while it arrives: $(python3 "$T/fifty.py" "$mirror$huge" "$etag" 50 > "$T/fifty"; echo $? > "$T/fifty.rc"; cat "$T/fifty")" test "$(cat "$T/fifty.rc")" = 0
check "with one upstream fetch" test "$(n_logged "^cdn GET .*$etag")" = 1
check "and one look-up at most" test "$(n_logged '/revision/')" -le 1
answers "counted" 200 /metrics
joined=$(sed -n 's/^mlxk_mirror_cache_joined_total //p' "$T/body")
check "most of them joined a fetch in hand ($joined)" test "${joined:-0}" -ge 20
peak=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$mirror_pid/status" 2>/dev/null)
check "in at most 60 MB (${peak:-unknown} kB)" test "${peak:-0}" -lt 60000
mirror_stop; check "told to stop, it ends with 0" test "$mirror_status" = 0

# ---- while it arrives: upstream holds back the rest, and all have what it gave ----------------------------------
fresh; fault "cdn $etag stallafter=3000000 1"
mirror_start --pull-through --drain-timeout 1
python3 tests/fake/fake_hub.py cat o/huge model.safetensors > "$T/whole"
cat > "$T/early.py" <<'P'
import socket, sys, threading
port, path, whole, log, etag = int(sys.argv[1]), sys.argv[2], open(sys.argv[3], "rb").read(2000000), sys.argv[4], sys.argv[5]
got = []
def one():
    s = socket.create_connection(("127.0.0.1", port), 30)
    s.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
    data = b""
    while b"\r\n\r\n" not in data: data += s.recv(65536)
    body = bytearray(data.partition(b"\r\n\r\n")[2])
    while len(body) < len(whole):
        more = s.recv(1 << 20)
        if not more: break
        body += more
    got.append(bytes(body[:len(whole)]) == whole)
    held.append(s)
held = []
ts = [threading.Thread(target=one) for _ in range(50)]
[t.start() for t in ts]; [t.join() for t in ts]
finished = sum(line.startswith("cdn GET") and etag in line for line in open(log))
print(got.count(True), "have the first 2000000 bytes,", finished, "answers of upstream are finished")
sys.exit(not (got == [True] * 50 and finished == 0))
P
check "50 clients have the beginning before upstream sent the end: $(python3 "$T/early.py" "${mirror##*:}" "$huge" "$T/whole" "$hub/log" "$etag" > "$T/early"; echo $? > "$T/early.rc"; cat "$T/early")" test "$(cat "$T/early.rc")" = 0
answers "counted" 200 /metrics
check "with one fetch" grep -q '^mlxk_mirror_cache_misses_total 1$' "$T/body"
mirror_stop; fault

# ---- wrong bytes -------------------------------------------------------------------------------------------------
fresh; fault "cdn $etag wrongbytes"
mirror_start --pull-through
rm -f "$T/got"; curl -s -m 60 -o "$T/got" "$mirror$huge"; got=$?
check "wrong bytes: the client sees a broken connection" test $got = 18
check "and has no whole file" test "$(wc -c < "$T/got")" -lt 24000000
check "and the cache no blob" not test -e "$cache/models--o--huge/blobs/$etag"
answers "a small file with wrong bytes" 200 /o/small/resolve/main/config.json
fault "cdn . wrongbytes"
answers "is an error of upstream" 502 /o/small/resolve/main/model.safetensors
head_has "with a code" '^X-Error-Code: UpstreamFailed$'
fault
curl -s -m 60 -o "$T/got" "$mirror$huge"
check "right bytes later" whole "$T/got"
mirror_stop

# ---- breaks ------------------------------------------------------------------------------------------------------
for kind in cut=5000000 rst=7000000 norange; do
    fresh
    case $kind in norange) fault "cdn $etag cut=9000000 1" "cdn $etag norange" ;; *) fault "cdn $etag $kind 1" ;; esac
    mirror_start --pull-through
    curl -s -m 60 -o "$T/got" "$mirror$huge"; got=$?
    case $kind in
    norange) check "started anew after a break: cut or whole" sh -c "test $got != 0 || test \$(sha256sum < '$T/got' | cut -d' ' -f1) = $etag" ;;
    *) most=24500000
       case $kind in rst=*) most=30300000 ;; esac     # a reset takes along what the kernel holds for the reader (tcp_rmem: 6 MB)
       check "a break upstream ($kind) is not the client's" whole "$T/got"
       check "and costs no more than what was in flight ($kind)" test "$(sed -n "s/^cdn GET .*$etag.* sent=\([0-9]*\).*/\1/p" "$hub/log" | awk '{ n += $1 } END { print n + 0 }')" -le $most ;;
    esac
    curl -s -m 60 -o "$T/got" "$mirror$huge"; check "and then it is whole ($kind)" whole "$T/got"
    mirror_stop
done

# ---- a part of what is not there yet ------------------------------------------------------------------------------
fresh; fault "cdn $etag slow=8000000"
mirror_start --pull-through
python3 tests/fake/fake_hub.py cat o/huge model.safetensors > "$T/whole"
answers "the head of a file" 206 $huge -H "Range: bytes=0-99999"
head -c 100000 "$T/whole" | cmp -s - "$T/body" && ok "its bytes" || echo "not ok its bytes"
check "before the whole is there" not test -e "$cache/models--o--huge/blobs/$etag"
answers "the end of a file" 206 $huge -H "Range: bytes=23999990-"
tail -c 10 "$T/whole" | cmp -s - "$T/body" && ok "the end's bytes" || echo "not ok the end's bytes"
check "only when the whole is there" test -e "$cache/models--o--huge/blobs/$etag"
mirror_stop

# ---- the client goes, the mirror is killed ------------------------------------------------------------------------
fresh; fault "cdn $etag slow=8000000"
mirror_start --pull-through
curl -s -m 0.7 -o /dev/null "$mirror$huge"
sleep 3.5
check "a client that goes away does not stop the fetch" test -e "$cache/models--o--huge/blobs/$etag"
mirror_stop
fresh
mirror_start --pull-through
curl -s -m 20 -o "$T/got" "$mirror$huge" & reader=$!
sleep 1.2; kill -9 "$mirror_pid"; wait "$mirror_pid" 2>/dev/null; wait $reader
check "killed: the reader has no whole file" test "$(wc -c < "$T/got")" -lt 24000000
check "killed: no blob has its name" not test -e "$cache/models--o--huge/blobs/$etag"
: > "$hub/log"; fault
mirror_start --pull-through
curl -s -m 60 -o "$T/got" "$mirror$huge"; check "started again: right bytes" whole "$T/got"
check "it went on where it stopped" logged "^cdn GET .*$etag.* range=bytes=[1-9][0-9]*-"
HF_HOME="$T/client3" HF_ENDPOINT="$mirror" succeeds "and others pull it" pull o/huge
mirror_stop
fresh; fault "cdn $etag slow=2000000"
mirror_start --pull-through --drain-timeout 1
curl -s -m 20 -o "$T/got" "$mirror$huge" & reader=$!
sleep 1; started=$(date +%s); mirror_stop; wait $reader
check "stopped in the middle, it ends in time" test $(($(date +%s) - started)) -lt 8
check "and keeps what arrived" sh -c "ls '$cache/models--o--huge/blobs/' | grep -q incomplete"

# ---- a branch that moves, and a hub that is gone --------------------------------------------------------------------
fresh; fault
mirror_start --pull-through --recheck 2 --allow 'o/*'
answers "main before" 200 /api/models/o/moved
before=$(sed -n 's/^X-Repo-Commit: //p' "$T/head")
answers "believed for a while" 200 /api/models/o/moved
check "the same" test "$(sed -n 's/^X-Repo-Commit: //p' "$T/head")" = "$before"
answers "its file" 200 /o/moved/resolve/main/config.json
sleep 2.2
answers "then asked again" 200 /api/models/o/moved
cp "$T/head" "$T/head.moved"
answers "and its refs" 200 /api/models/o/moved/refs
doc "say where to" "[b['targetCommit'] for b in d['branches'] if b['name'] == 'main'] == ['$(sed -n 's/^X-Repo-Commit: //p' "$T/head.moved")']"
cp "$T/head.moved" "$T/head"
check "main has moved" test "$(sed -n 's/^X-Repo-Commit: //p' "$T/head")" != "$before"
answers "the old commit is still there" 200 "/o/moved/resolve/$before/config.json"
answers "a file of the new one" 200 /o/moved/resolve/main/config.json
check "the ref follows" test "$(cat "$cache/models--o--moved/refs/main")" = "$(sed -n 's/^X-Repo-Commit: //p' "$T/head")"
: > "$hub/log"
answers "not allowed" 404 /api/models/bare
check "is not even asked for" test "$(n_logged .)" = 0
kill "$hub_pid"; sleep 2.2
answers "upstream down: what is cached is served" 200 /o/moved/resolve/main/config.json
answers "its list too" 200 "/api/models/o/moved/tree/main?recursive=true"
answers "what is not cached is an error of upstream" 502 /api/models/o/small
head_has "that says when to come back" '^Retry-After: '
answers "a file that was not fetched" 502 /o/moved/resolve/main/tokenizer.json
mirror_stop

# ---- how it may be started -------------------------------------------------------------------------------------------
run mirror --upstream http://127.0.0.1:9 --port 0
check "--upstream alone is a usage error" test $status = 2
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
fails "a mirror of itself" "fetch from itself" mirror --pull-through --upstream "http://localhost:$port" --port "$port"
HF_HUB_OFFLINE=1 fails "offline" "HF_HUB_OFFLINE" mirror --pull-through --port 0
fails "no address" "HF_ENDPOINT|http" mirror --pull-through --upstream nonsense --port 0
check "commit is used" test -n "$commit"
