#!/bin/sh
# 81-mirror-hostile.sh: requests that no honest client sends; limits; memory afterwards. The requests are in tests/fake/hostile.py.
# shellcheck disable=SC2119
set -u
. tests/fake/mirror.sh
command -v curl > /dev/null || { echo "ok mirror: hostile requests # SKIP curl is not installed"; exit 0; }
hub_start
succeeds "a model in the cache" pull o/model
mirror_start --max-per-client 400
python3 tests/fake/hostile.py 127.0.0.1 "${mirror##*:}" /o/model/resolve/main/config.json
check "the mirror is still there" kill -0 "$mirror_pid"
peak=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$mirror_pid/status" 2>/dev/null)
check "with at most 40 MB of memory (${peak:-unknown} kB)" test "${peak:-0}" -lt 40000
answers "counted" 200 /metrics
body_has "refusals" '^mlxk_http_parse_failures_total [1-9]'
check "no secrets and no queries in the log" not grep -Eq 'Bearer|expand=' "$T/mirror.err"
check "no control characters in the log" not grep -q "$(printf '[\001-\010\013-\037]')" "$T/mirror.err"

# ---- limits ------------------------------------------------------------------------------------------------------
mirror_stop
mirror_start --max-connections 4 --max-per-client 3
cat > "$T/crowd.py" <<'P'
import socket, sys
port = int(sys.argv[1])
held = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
for s in held:
    s.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"); s.recv(1000)
s = socket.create_connection(("127.0.0.1", port)); s.settimeout(5)
print(s.recv(1000).split(b"\r\n")[0].decode())
held.pop().close()
import time; time.sleep(0.5)
s = socket.create_connection(("127.0.0.1", port)); s.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
print(s.recv(1000).split(b"\r\n")[0].decode())
P
python3 "$T/crowd.py" "${mirror##*:}" > "$T/crowd"
check "one address has so many connections" grep -q "^HTTP/1.1 429" "$T/crowd"
check "and another when one is gone" grep -q "^HTTP/1.1 200" "$T/crowd"
mirror_stop

# ---- thousands of connections --------------------------------------------------------------------------------------
mirror_start --max-connections 2000 --max-per-client 4000
cat > "$T/thousands.py" <<'P'
import resource, socket, sys
port, pid = int(sys.argv[1]), sys.argv[2]
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
if hard != resource.RLIM_INFINITY and hard < 4000:
    print("ok thousands of connections # SKIP fewer than 4000 descriptors")
    sys.exit()
resource.setrlimit(resource.RLIMIT_NOFILE, (4000, hard))
ASK = b"HEAD /o/model/resolve/main/config.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
def answer(s):
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(65536)
        if not more: break
        data += more
    return data[9:12].decode()
def ok(good, name, more=""):
    print(("ok " if good else "not ok ") + name)
    if not good: print("#", more)
held = []
for i in range(1999):            # each has sent half a request
    s = socket.create_connection(("127.0.0.1", port), 60)
    s.sendall(b"GET / HTTP/1.1\r\nX: ")
    held.append(s)
last = socket.create_connection(("127.0.0.1", port), 60)
last.sendall(ASK)
ok(answer(last) == "200", "beside 1999 connections one more is served")
turned = [socket.create_connection(("127.0.0.1", port), 60) for _ in range(500)]
said = {answer(s) for s in turned}
ok(said == {"503"}, "what is beyond the limit is told so", said)
last.sendall(ASK)
ok(answer(last) == "200", "and those that are in stay in")
peak = int(next(l.split()[1] for l in open("/proc/" + pid + "/status") if l.startswith("VmHWM")))
ok(peak < 60000, "in less than 60 MB (%d kB)" % peak)
for s in held: s.close()
for i in range(600):             # room again, as soon as the server has seen them go
    s = socket.create_connection(("127.0.0.1", port), 60)
    s.sendall(ASK)
    got = answer(s)
    s.close()
    if got == "200": break
ok(got == "200", "and when they have gone others come in")
P
python3 "$T/thousands.py" "${mirror##*:}" "$mirror_pid"
check "the mirror is still there after them" kill -0 "$mirror_pid"
mirror_stop

# ---- names that go into the log, and upstream ------------------------------------------------------------------------
HF_HOME="$T/through" mirror_start --pull-through --upstream "$HUB_HTTP"
: > "$hub/log"
for path in "/api/models/o/model/revision/a%0aGET%20/fake" "/api/models/o%0d%0aX:%20y/model" "/o/model/resolve/x%1b%5b31m/config.json" "/o/model/resolve/main/a%0ab" \
    "/api/models/o/model/revision/..%2F..%2Fwhoami-v2" "/api/models/..%2Fwhoami-v2" "/api/models/o/model%3Fx" "/api/models/o/model%23x" "/o/model/resolve/%2e%2e/config.json" \
    "/api/models/o%2Fmodel%2Frevision/main" "/api/models/o/model%2F..%2F..%2Fx"; do
    answers "fetching, a name that is none: $path" 404 "$path"
done
check "no control characters in the log of a mirror that fetches" not grep -q "$(printf '[\001-\010\013-\037]')" "$T/mirror.err"
check "no line of the log is a client's" not grep -q '^GET /fake' "$T/mirror.err"
check "upstream was asked for nothing but models" not grep -Evq '^hub (GET|HEAD) /(api/models/o/model/|o/model/resolve/)' "$hub/log"
check "and no name leads up" not grep -Eq '\.\.|%2[eE]%2[eE]' "$hub/log"
mirror_stop

# ---- a reader that does not read ---------------------------------------------------------------------------------
hub_big() { python3 - "$cache" <<'P'
import os, sys, hashlib, json
root = sys.argv[1] + "/models--o--large"
data = b"x" * 30_000_000
sha = hashlib.sha256(data).hexdigest(); commit = "1" * 40
for d in ("blobs", "refs", "trees", "snapshots/" + commit): os.makedirs(root + "/" + d)
open(root + "/blobs/" + sha, "wb").write(data)
os.symlink("../../blobs/" + sha, root + "/snapshots/" + commit + "/model.safetensors")
open(root + "/refs/main", "w").write(commit)
json.dump({"files": {"model.safetensors": {"blob_id": "2" * 40, "lfs_sha256": sha, "lfs_size": len(data), "size": len(data)}}, "format_version": 1},
          open(root + "/trees/" + commit + ".json", "w"))
P
}
hub_big
mirror_start --max-busy 4 --drain-timeout 1
cat > "$T/stuck.py" <<'P'
import socket, sys, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
s.connect(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"GET /o/large/resolve/main/model.safetensors HTTP/1.1\r\nHost: localhost\r\n\r\n")
s.recv(10); print("reading", flush=True); time.sleep(600)
P
python3 "$T/stuck.py" "${mirror##*:}" > "$T/stuck" & stuck=$!
while ! grep -q reading "$T/stuck"; do kill -0 $stuck 2>/dev/null || break; sleep 0.05; done
answers "others are served beside a reader that does not read" 200 /health
get /o/large/resolve/main/model.safetensors
check "and get large files" test "$(wc -c < "$T/body")" = 30000000
mirror_stop
kill $stuck 2>/dev/null
check "drain ends although an answer is stuck, and says so" test $mirror_status = 1
check "with a message" grep -q "were cut" "$T/mirror.err"

# ---- readers that sip and keep their threads -------------------------------------------------------------------------
cat > "$T/sip.py" <<'P'
import socket, sys, time
held = []
for address in sys.argv[2:]:
    for _ in range(12):
        s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.bind((address, 0)); s.connect(("127.0.0.1", int(sys.argv[1])))
        s.sendall(b"GET /o/large/resolve/main/model.safetensors HTTP/1.1\r\nHost: localhost\r\n\r\n"); held.append(s)
print("sipping", flush=True)
while True:
    for s in held:
        try: s.settimeout(0.01); s.recv(1000)
        except OSError: pass
P
sip() {         # ADDRESS...: twelve readers from each
    python3 "$T/sip.py" "${mirror##*:}" "$@" > "$T/sipping" 2> "$T/err" & sip=$!
    while ! grep -q sipping "$T/sipping"; do kill -0 $sip 2>/dev/null || break; sleep 0.05; done
    n=0
    while get /metrics && ! grep -Eq "^mlxk_http_in_flight $want_busy\$" "$T/body"; do
        n=$((n + 1)); { [ $n -gt 200 ] || [ "$code" = 000 ]; } && break
        sleep 0.05
    done
    check "readers from $# address(es) that sip have their threads" grep -Eq "^mlxk_http_in_flight $want_busy\$" "$T/body"
}
if python3 -c 'import socket; socket.socket().bind(("127.0.0.2", 0))' 2> /dev/null; then
    mirror_start --max-busy 8 --drain-timeout 1
    want_busy=5; sip 127.0.0.2
    answers "one address has half of the threads: others are served" 200 /health
    get /o/large/resolve/main/model.safetensors
    check "and get large files beside it" test "$(wc -c < "$T/body")" = 30000000
    kill $sip; wait $sip 2>/dev/null
    want_busy=9; sip 127.0.0.2 127.0.0.3
    answers "all threads are taken: health is answered" 200 /health
    answers "and what is small" 200 /o/model/resolve/main/config.json
    answers "and a part of what is large" 206 /o/large/resolve/main/model.safetensors -H "Range: bytes=0-99"
    answers "what is large is to be asked for later" 503 /o/large/resolve/main/model.safetensors
    head_has "when, too" '^Retry-After: 5$'
    kill $sip; wait $sip 2>/dev/null
    n=0
    while get /o/large/resolve/main/model.safetensors && test "$code" = 503; do n=$((n + 1)); [ $n -gt 200 ] && break; sleep 0.05; done
    check "when they have gone large files are sent again" test "$(wc -c < "$T/body")" = 30000000
    mirror_stop; check "after readers that sip it ends with 0" test $mirror_status = 0
    mirror_start --max-busy 8 --max-connections 200 --max-per-client 200
    want_busy=9; sip 127.0.0.2
    answers "an address that may have all connections (a proxy) may have all threads" 503 /o/large/resolve/main/model.safetensors
    kill $sip; wait $sip 2>/dev/null
    mirror_stop
fi

# ---- many paths of many files ------------------------------------------------------------------------------------------
python3 - "$cache" > "$T/paths" <<'P'
import json, os, sys
root = sys.argv[1] + "/models--o--wide"; commit = "3" * 40
for d in ("refs", "trees", "snapshots/" + commit): os.makedirs(root + "/" + d)
open(root + "/refs/main", "w").write(commit)
names = ["d%04d/f%05d" % (i // 100, i) for i in range(60000)]
json.dump({"files": {n: {"blob_id": "2" * 40, "size": 7} for n in names}, "format_version": 1}, open(root + "/trees/" + commit + ".json", "w"))
print("&".join("paths=" + n for n in names[-19000:]), end="")
P
mirror_start
answers "a wide list" 200 "/api/models/o/wide/tree/main/d0001"
doc "of one folder" "len(d) == 100"
spent() { awk '{ print $14 + $15 }' "/proc/$mirror_pid/stat" 2>/dev/null || echo 0; }
before=$(spent)
answers "19000 paths of 60000" 200 /api/models/o/wide/paths-info/main --data "@$T/paths"
doc "are all there" "len(d) == 19000"
took=$(($(spent) - before))
check "and cost little ($took ticks of 10 ms)" test $took -lt 60
mirror_stop

# ---- drain ---------------------------------------------------------------------------------------------------------
mirror_start --drain-delay 2
curl -s --limit-rate 8M -o "$T/slow" "$mirror/o/large/resolve/main/model.safetensors" & slow=$!
sleep 0.7
kill -TERM "$mirror_pid"; sleep 0.6
answers "while draining, not ready" 503 /ready
answers "but healthy" 200 /health
head_has "and connections are not kept" '^Connection: close'
wait $slow; check "an answer in hand is finished" test "$(wc -c < "$T/slow")" = 30000000
wait "$mirror_pid"; check "then it ends with 0" test $? = 0
mirror_start --drain-delay 30
started=$(date +%s)
kill -TERM "$mirror_pid"; sleep 0.3; kill -TERM "$mirror_pid"
wait "$mirror_pid"
check "a second signal ends at once" test $(($(date +%s) - started)) -lt 6
