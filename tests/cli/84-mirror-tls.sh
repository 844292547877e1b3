#!/bin/sh
# 84-mirror-tls.sh: the mirror over TLS: versions, certificates, slow handshakes, large files; pull through it.
# shellcheck disable=SC2119
set -u
. tests/fake/mirror.sh
command -v openssl > /dev/null || { echo "ok mirror over TLS # SKIP openssl is not installed"; exit 0; }
command -v curl > /dev/null || { echo "ok mirror over TLS # SKIP curl is not installed"; exit 0; }
hub_start --tls
tls=$("$MLXK" version --build --json 2>/dev/null | sed -n 's/.*"tls": "\([a-z]*\)".*/\1/p')
succeeds "a model in the cache" pull o/model
succeeds "a large one" pull o/huge
etag=$(python3 tests/fake/fake_hub.py etag o/huge model.safetensors)
fails "no certificate in the file" "no usable certificate" mirror --port 0 --tls-cert "$hub/good.key" --tls-key "$hub/good.key"
fails "no key in the file" "no usable private key" mirror --port 0 --tls-cert "$hub/good.pem" --tls-key "$hub/good.pem"
fails "the key of another certificate" "does not belong" mirror --port 0 --tls-cert "$hub/good.pem" --tls-key "$hub/direct.key"
fails "a missing file" "nowhere" mirror --port 0 --tls-cert "$hub/nowhere.pem" --tls-key "$hub/good.key"

mirror_start --tls-cert "$hub/good.pem" --tls-key "$hub/good.key"
check "its address says https" test "${mirror%%:*}" = https
export CURL_CA_BUNDLE="$HUB_CA"
answers "TLS, whatever version both like" 200 /health
answers "TLS 1.2" 200 /health --tls-max 1.2
if [ "$tls" = bearssl ]; then
    get /health --tlsv1.3; check "TLS 1.3 (not with BearSSL)" test "$code" = 000
else answers "TLS 1.3" 200 /health --tlsv1.3; fi
get /health --tls-max 1.1 --tlsv1.0; check "nothing older" test "$code" = 000
get /health --no-alpn; check "without ALPN" test "$code" = 200
answers "a large file" 200 /o/huge/resolve/main/model.safetensors
check "its bytes" test "$(sha256sum < "$T/body" | cut -d' ' -f1)" = "$etag"
answers "a part of it" 206 /o/huge/resolve/main/model.safetensors -H "Range: bytes=100-199"
check "100 bytes" test "$(wc -c < "$T/body")" = 100
HF_HOME="$T/client" HF_ENDPOINT="https://localhost:${mirror##*:}" SSL_CERT_FILE="$HUB_CA" succeeds "pull through it" pull o/model
cache_kept=$cache; cache="$T/client/hub"
check "the same blobs" sh -c "cd '$cache_kept/models--o--model/blobs' && for f in *; do cmp -s \"\$f\" '$cache/models--o--model/blobs/'\"\$f\" || exit 1; done"
cache=$cache_kept
CURL_CA_BUNDLE="" HF_HOME="$T/client2" HF_ENDPOINT="https://localhost:${mirror##*:}" fails "without its authority" "no trusted authority" pull o/model

cat > "$T/tls.py" <<'P'
import socket, ssl, sys, threading, time
port, ca = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context(cafile=ca)
def connect():
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 20), server_hostname="localhost")
def ok(good, name, more=""):
    print(("ok " if good else "not ok ") + name)
    if not good: print("#", more)
REQUEST = b"GET /o/model/resolve/main/config.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
s = connect()
for _ in range(3):
    s.sendall(REQUEST); a = s.recv(4096)
    while b'"tag"' not in a: a += s.recv(4096)
ok(a.startswith(b"HTTP/1.1 200"), "a connection is kept")
s.sendall(REQUEST * 5); a = b""
while a.count(b'"tag"') < 5:
    more = s.recv(65536)
    if not more: break
    a += more
ok(a.count(b"HTTP/1.1 200") == 5, "five requests in one record", a[:200])
s.close()
s = connect()
for i in range(len(REQUEST)): s.sendall(REQUEST[i:i + 1])
ok(s.recv(4096).startswith(b"HTTP/1.1 200"), "a record for each byte")
s.close()
# handshakes that stop half-way, a plain request at the TLS port, records of nothing
stuck = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(100)]
for i, s in enumerate(stuck): s.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[:i % 12])
plain = socket.create_connection(("127.0.0.1", port), 20); plain.sendall(REQUEST)
try: a = plain.recv(4096)
except OSError: a = b""
ok(b"HTTP/1.1 200" not in a, "plain text is no TLS", a[:100])
t = time.time(); s = connect(); s.sendall(REQUEST); a = s.recv(4096)
ok(a.startswith(b"HTTP/1.1 200") and time.time() - t < 3, "100 stuck handshakes do not hold up others", time.time() - t)
t = time.time(); stuck[50].settimeout(20)
try: stuck[50].recv(100)
except OSError: pass
ok(time.time() - t < 16, "they are ended", time.time() - t)
right = []
def one():
    try:
        s = connect()
        for _ in range(5):
            s.sendall(REQUEST); a = s.recv(4096)
            while b'"tag"' not in a: a += s.recv(4096)
            right.append(a.startswith(b"HTTP/1.1 200"))
        s.close()
    except OSError as e: right.append(repr(e))
ts = [threading.Thread(target=one) for _ in range(30)]
[t.start() for t in ts]; [t.join() for t in ts]
ok(right == [True] * 150, "30 clients at once", set(right))
P
python3 "$T/tls.py" "${mirror##*:}" "$HUB_CA"
check "the mirror is still there" kill -0 "$mirror_pid"
mirror_stop; check "told to stop, it ends with 0" test "$mirror_status" = 0

mirror_start --tls-cert "$hub/direct.pem" --tls-key "$hub/direct.key" --pull-through --upstream "$HUB_HTTP"
answers "with an EC key" 200 /health
rm -rf "$cache/models--o--huge"
answers "pull-through over TLS" 200 /o/huge/resolve/main/model.safetensors
check "right bytes" test "$(sha256sum < "$T/body" | cut -d' ' -f1)" = "$etag"
mirror_stop
fresh
SSL_CERT_FILE="$HUB_CA" mirror_start --pull-through --upstream "$HUB_HTTPS"
answers "from an upstream over TLS" 200 /o/huge/resolve/main/model.safetensors
check "right bytes from there" test "$(sha256sum < "$T/body" | cut -d' ' -f1)" = "$etag"
mirror_stop
