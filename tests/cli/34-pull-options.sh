#!/bin/sh
# 34-pull-options.sh: what pull can be told: plans, paces, free space, lock files, events, several endpoints; many processes
# on one cache, also where locks lie.
set -u
. tests/fake/hub.sh
# shellcheck disable=SC2119      # the faults it can be given are for other tests
hub_start
doc() { python3 -c "import json,sys; d=json.load(open('$T/out')); x=d['data']; sys.exit(not ($1))"; }
commit=$(python3 tests/fake/fake_hub.py commit o/model)

# ---- a plan ------------------------------------------------------------------------------------
fresh
succeeds "dry run" pull o/model --dry-run
nothing "dry run: nothing written"
check "dry run: a table" grep -Eq "^model-00001-of-00002.safetensors +\| +300.0KB +\| missing" "$T/out"
check "dry run: a sum" grep -q "420.*KB of .* in 14 files would be fetched" "$T/out"
check "dry run: no file is asked for" not grep -q resolve "$hub/log"
run pull o/model --dry-run --json --include '*.safetensors'
check "dry run as JSON" doc "x['download_status']=='dry_run' and x['commit_hash']=='$commit' and len(x['files'])==2 and x['need_bytes']==400000 \
    and {f['state'] for f in x['files']}=={'missing'} and x['files'][0]['size_bytes']==300000"
nothing "dry run as JSON: nothing written"
run pull o/model --include '*00002*' --quiet
run pull o/model --dry-run --json
check "dry run knows what is there" doc "[f['state'] for f in x['files'] if 'model-00002' in f['path']]==['cached']"

# ---- pace, space ----------------------------------------------------------------------------------
fresh
before=$(date +%s%N)
fault "hub resolve stall=0.2"
succeeds "one worker" pull o/model --max-workers 1
check "one worker waits for each of the files" test $((($(date +%s%N) - before) / 1000000)) -ge 2400
fault; fresh
run pull o/small --max-workers 0
check "no worker at all is refused" test $status = 2
before=$(date +%s%N)
succeeds "a limited rate" pull o/model --include '*.safetensors' --limit-rate 200K
after=$(date +%s%N)
check "takes its time" test $(((after - before) / 1000000)) -ge 1500
check "and not longer" test $(((after - before) / 1000000)) -le 8000
fresh
fails "space that must stay free" "must stay free" pull o/model --require-free 900000T
nothing "space that must stay free: nothing written"
succeeds "space that may stay free" pull o/small --require-free 1K
run pull o/small --limit-rate fast
check "a rate that is none is a usage error" test $status = 2

# ---- events -----------------------------------------------------------------------------------------
fresh; fault "cdn . cut=50000 1"
run pull o/model --json --progress json
check "stdout holds one document" doc "x['download_status']=='success'"
check "stderr holds events" python3 -c "
import json
ev = [json.loads(x) for x in open('$T/err')]
kinds = [e['event'] for e in ev]
assert kinds[0] == 'plan' and kinds[-1] == 'end' and kinds.count('file_done') == 13, kinds
assert 'note' in kinds and 'bytes' in kinds, kinds
assert ev[0]['total_files'] == 14 and ev[0]['total_bytes'] > 400000
done = [e['done_bytes'] for e in ev if 'done_bytes' in e]
assert done[-1] == ev[0]['total_bytes'], done
assert ev[-1]['status'] == 'success'"
run pull o/model --progress loud
check "progress of another kind is a usage error" test $status = 2
fault

# ---- lock files ---------------------------------------------------------------------------------------
fresh
succeeds "write a lock" pull o/model --lock "$T/mlxk.lock"
check "the lock names commit and digests" python3 -c "
import json
d = json.load(open('$T/mlxk.lock'))
r = d['repos'][0]
assert d['format_version'] == 1 and r['repo'] == 'o/model' and r['commit'] == '$commit' and r['revision'] == 'main'
assert len(r['files']) == 14 and [f['path'] for f in r['files']] == sorted(f['path'] for f in r['files'])
assert all(f['digest'].startswith(('sha256:', 'git-sha1:')) for f in r['files'])"
cp "$T/mlxk.lock" "$T/first.lock"
succeeds "write it again" pull o/model --lock "$T/mlxk.lock"
check "the same bytes" cmp -s "$T/mlxk.lock" "$T/first.lock"
succeeds "a second repository" pull o/small --lock "$T/mlxk.lock"
check "stands beside the first" test "$(grep -c '"repo":' "$T/mlxk.lock")" = 2
succeeds "a tag is locked too" pull o/model@v1 --lock "$T/v1.lock"
fresh
succeeds "from a lock" pull o/model --frozen "$T/mlxk.lock"
cache_is "cache tree from a lock" o/model
: > "$hub/log"
HF_HUB_OFFLINE=1 succeeds "from a lock, offline, complete" pull o/model --frozen "$T/mlxk.lock"
check "nobody was asked" not test -s "$hub/log"
fresh
run pull o/moved --lock "$T/moved.lock"
run pull o/moved
rm -rf "$HF_HOME"
succeeds "from a lock, when main has moved" pull o/moved --frozen "$T/moved.lock"
check "it is the locked commit" test -d "$cache/models--o--moved/snapshots/$(sed -n 's/.*"commit": "\(.*\)",/\1/p' "$T/moved.lock")"
fresh
sed 's/"size": 300000/"size": 300001/' "$T/first.lock" > "$T/other.lock"
fails "a lock that says something else" "not the file of the lock" pull o/model --frozen "$T/other.lock"
nothing "a lock that says something else: nothing written"
fails "a lock without the repository" "nowhere" pull o/huge --frozen "$T/first.lock"
echo '{"format_version": 2}' > "$T/bad.lock"
fails "a lock of another format" "cannot be used" pull o/model --frozen "$T/bad.lock"
sed 's|"path": "config.json"|"path": "../config.json"|' "$T/first.lock" > "$T/evil.lock"
fails "a lock with a hostile name" "cannot be used" pull o/model --frozen "$T/evil.lock"
fails "a lock that is not there" "No such file|cannot" pull o/model --frozen "$T/none.lock"
rm -rf "$HF_HOME"; run pull o/small --lock "$T/small.lock"; rm -rf "$HF_HOME"
python3 - "$T" > "$T/kinds" <<'EOF'
import copy, json, sys
T = sys.argv[1]
first = json.load(open(T + "/small.lock"))
def bad(name, change):
    d = copy.deepcopy(first)
    change(d, d["repos"][0], d["repos"][0]["files"][0])
    open(T + "/hostile." + name, "w").write(json.dumps(d))
    print(name)
bad("no-digest", lambda d, r, f: f.pop("digest"))
bad("empty-digest", lambda d, r, f: f.update(digest=""))
bad("short-digest", lambda d, r, f: f.update(digest=f["digest"][:-1]))
bad("long-digest", lambda d, r, f: f.update(digest=f["digest"] + "0"))
bad("other-algorithm", lambda d, r, f: f.update(digest="md5:" + "0" * 32))
bad("upper-digest", lambda d, r, f: f.update(digest=f["digest"].upper()))
bad("digest-path", lambda d, r, f: f.update(digest="sha256:../../" + "0" * 58))
bad("no-size", lambda d, r, f: f.pop("size"))
bad("negative-size", lambda d, r, f: f.update(size=-1))
bad("float-size", lambda d, r, f: f.update(size=1.5))
bad("text-size", lambda d, r, f: f.update(size="1"))
bad("huge-size", lambda d, r, f: f.update(size=2 ** 63))
bad("no-path", lambda d, r, f: f.pop("path"))
bad("absolute-path", lambda d, r, f: f.update(path="/etc/passwd"))
bad("up-path", lambda d, r, f: f.update(path="a/../../b"))
bad("nul-path", lambda d, r, f: f.update(path="a\0b"))
bad("escape-path", lambda d, r, f: f.update(path="a\x1b[31m"))
bad("twice", lambda d, r, f: r["files"].insert(0, dict(f)))
bad("unsorted", lambda d, r, f: r["files"].reverse())
bad("no-files", lambda d, r, f: r.pop("files"))
bad("nothing", lambda d, r, f: r.update(files=[]))
bad("files-no-list", lambda d, r, f: r.update(files={"config.json": f}))
bad("short-commit", lambda d, r, f: r.update(commit=r["commit"][:7]))
bad("branch-commit", lambda d, r, f: r.update(commit="main"))
bad("up-commit", lambda d, r, f: r.update(commit="../../../../x"))
bad("no-commit", lambda d, r, f: r.pop("commit"))
bad("up-repo", lambda d, r, f: r.update(repo="../../x"))
bad("url-repo", lambda d, r, f: r.update(repo="http://127.0.0.1:9/o/small"))
bad("up-revision", lambda d, r, f: r.update(revision="../../x"))
bad("other-commit", lambda d, r, f: r.update(commit="0" * 40))
bad("other-content", lambda d, r, f: f.update(digest="git-sha1:" + "0" * 40))
bad("repo-twice", lambda d, r, f: d["repos"].append(copy.deepcopy(r)))
bad("version", lambda d, r, f: d.update(format_version=2))
bad("no-version", lambda d, r, f: d.pop("format_version"))
bad("repos-no-list", lambda d, r, f: d.update(repos=1))
open(T + "/hostile.deep", "w").write("[" * 100000); print("deep")
open(T + "/hostile.array", "w").write("[]"); print("array")
open(T + "/hostile.cut", "w").write(json.dumps(first)[:-20]); print("cut")
open(T + "/hostile.keys", "w").write(json.dumps(first).replace('"commit"', '"commit": "%s", "commit"' % ("1" * 40), 1)); print("keys")
EOF
while read -r kind; do fails "hostile lock: $kind" "cannot be used|not the file of the lock|no revision|at several revisions" pull o/small --frozen "$T/hostile.$kind"; done < "$T/kinds"
check "none was left out" test "$(wc -l < "$T/kinds")" = 39
nothing "hostile locks: nothing written"
run pull o/small
HF_HUB_OFFLINE=1 fails "nor is a lock believed that names other content than the cache has" "HF_HUB_OFFLINE" pull o/small --frozen "$T/hostile.other-content"
HF_HUB_OFFLINE=1 fails "nor one that names nothing" "no list of files" pull o/small --frozen "$T/hostile.nothing"

# ---- several endpoints, one token -------------------------------------------------------------------
fresh
HF_ENDPOINT="http://127.0.0.1:9, $HUB_HTTP/" HF_TOKEN=hf_goodgoodgoodgoodgood succeeds "the first endpoint is down" pull o/small
check "the token stays with the first" not grep -q 'auth=yes' "$hub/log"
fresh
HF_ENDPOINT="$HUB_HTTP http://127.0.0.1:9" HF_TOKEN=hf_goodgoodgoodgoodgood succeeds "the second endpoint is down" pull o/private
HF_ENDPOINT="$HUB_HTTP http://127.0.0.1:9" fails "no endpoint has it" "none of 2 endpoints" pull o/unknown

weights=model-00001-of-00002
etag=$(python3 tests/fake/fake_hub.py etag o/model $weights.safetensors)
fresh; fault "hub ^/case/bad/.*resolve status=502"
HF_ENDPOINT="$HUB_HTTP/case/bad $HUB_HTTP" succeeds "an endpoint without files" pull o/model
check "is asked twice for each, not to the end of patience" test "$(grep -c "^hub GET /case/bad/.*$weights" "$hub/log")" = 2
cache_is "the other one has them" o/model
fresh; fault "cdn $etag stallafter=70000 1-3"
HF_HUB_DOWNLOAD_TIMEOUT=1 HF_ENDPOINT="$HUB_HTTP/case/bad $HUB_HTTP" succeeds "an endpoint that falls silent again and again" pull o/model
check "is left, though a little comes each time" logged "^hub GET /o/model/resolve/.*$weights"
cache_is "what it sent is kept" o/model
fresh; fault "hub ^/case/bad/.*resolve status=502" "hub ^/o/.*resolve.*$weights status=404"
HF_ENDPOINT="$HUB_HTTP/case/bad $HUB_HTTP" fails "two endpoints, both useless" "no file|status 502" pull o/model
fresh; fault "hub ^/case/bad/.*resolve.*$weights status=502 1-3" "hub ^/o/.*resolve.*$weights status=404"
HF_ENDPOINT="$HUB_HTTP/case/bad $HUB_HTTP" succeeds "a busy endpoint is asked again when the other one has not got the file" pull o/model
fault

# ---- many processes, one download ------------------------------------------------------------------------
etag=$(python3 tests/fake/fake_hub.py etag o/large model.safetensors)
sent() { grep "^cdn GET /blob/$etag" "$hub/log" | sed 's/.* sent=\([0-9]*\).*/\1/' | python3 -c "import sys; print(sum(map(int, sys.stdin)))"; }
fresh; fault "cdn . slow=30000000"
for i in 1 2 3 4; do "$MLXK" pull o/large > "$T/many$i" 2>&1 & eval "pid$i=\$!"; done
all=0; for i in 1 2 3 4; do eval "wait \$pid$i" || all=1; done
check "four pulls at once" test $all = 0
cache_is "leave one right cache" o/large
check "and fetch it once" test "$(sent)" = 48000000
# a lease of a process on another machine: heard of lately, and silent for long
fresh; fault
lease="$cache/models--o--large/.mlxk/$etag.lease"
mkdir -p "$(dirname "$lease")"
printf 'elsewhere boot pid\n77 0123456789abcdef\n' > "$lease"
"$MLXK" pull o/large > "$T/many1" 2>&1 & pid1=$!
sleep 1
check "waits for another machine" kill -0 $pid1
touch -d '1 minute ago' "$lease"
wait $pid1; check "goes on when it has been silent for long" test $? = 0
cache_is "another machine's lease: the cache is right" o/large
mkdir -p "$(dirname "$lease")"; rm "$cache/models--o--large/blobs/$etag"
python3 -c 'import os; print(os.uname().nodename, open("/proc/sys/kernel/random/boot_id").read().strip(), os.readlink("/proc/self/ns/pid"))' > "$lease"
echo "999999 0123456789abcdef" >> "$lease"
succeeds "a lease of a process that is gone" pull o/large
cache_is "a lease of a process that is gone: the cache is right" o/large

# ---- the line of progress is one line, however narrow the terminal is ----
cat > "$T/narrow.py" <<'PY'
import fcntl, os, pty, re, struct, subprocess, sys, termios
columns = int(sys.argv[1])
reader, writer = pty.openpty()
fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "HF_HUB_DISABLE_PROGRESS_BARS")}
p = subprocess.Popen(sys.argv[2:], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writer)
os.close(writer)
out = b""
while True:
    try:
        piece = os.read(reader, 65536)
    except OSError:
        break
    out += piece
frames = [f for f in re.split(rb"\r\x1b\[K", out) if f]
sys.exit(p.wait() or not (len(frames) > 2 and max(len(f.decode()) for f in frames) < columns and b"\n" not in out))
PY
for columns in 12 40 60 80 200; do
    fresh
    python3 "$T/narrow.py" $columns "$MLXK" pull o/shards --limit-rate 6M > "$T/out" 2> "$T/err"
    check "a terminal of $columns columns" test $? = 0
done
