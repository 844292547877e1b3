#!/bin/sh
# 37-proxies.sh: pull through squid (plain, CONNECT, with a password), and over links that are slow, far or break.
set -u
. tests/fake/hub.sh
command -v squid > /dev/null || apt-get install -y --no-install-recommends squid > /dev/null 2>&1
hub_start --tls
export SSL_CERT_FILE="$HUB_CA"
port() { echo "${1##*:}"; }

# ---- a link of our own: bytes a second, delay, and where it breaks -----------------------------
cat > "$T/link.py" << 'PYTHON'
import socket, sys, threading, time
target, rate, delay, cut = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(64)
print(s.getsockname()[1], flush=True)
def pump(a, b, limit):
    n = 0
    try:
        while data := a.recv(8192):
            time.sleep(delay / 50 + len(data) / rate)
            b.sendall(data); n += len(data)
            if limit and n > limit: break
    except OSError: pass
    for x in (a, b):
        try: x.shutdown(socket.SHUT_RDWR)
        except OSError: pass
while True:
    a, _ = s.accept()
    b = socket.create_connection(("127.0.0.1", target))
    time.sleep(delay)
    threading.Thread(target=pump, args=(a, b, 0), daemon=True).start()
    threading.Thread(target=pump, args=(b, a, cut), daemon=True).start()
PYTHON
link() {        # NAME RATE DELAY CUT: pulls o/model through such a link, as a proxy, so that the storage is behind it too
    rm -f "$T/link.port"
    python3 "$T/link.py" "$(port "$HUB_PROXY")" "$2" "$3" "$4" > "$T/link.port" & link_pid=$!
    for _ in 1 2 3 4 5 6 7 8 9 10; do test -s "$T/link.port" && break; sleep 0.2; done
    fresh
    HF_ENDPOINT="$HUB_HTTPS" https_proxy="http://127.0.0.1:$(cat "$T/link.port")" succeeds "$1" pull o/model
    cache_is "$1: the cache is right" o/model
    kill $link_pid
}
link "a slow link" 200000 0 0
link "a far link" 5000000 0.3 0
link "a link that breaks every 90 KB" 3000000 0 90000

# ---- squid ------------------------------------------------------------------------------------------
if ! command -v squid > /dev/null; then echo "ok squid # SKIP squid is not installed"; exit 0; fi
auth=$(find /usr/lib/squid* -name basic_ncsa_auth | head -n 1)
squid_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'user:%s\n' "$(openssl passwd -apr1 'p@ss:word')" > "$T/users"
mkdir "$T/squid"; chmod 777 "$T" "$T/squid"; chmod 644 "$T/users"
cat > "$T/squid.conf" << CONF
http_port 127.0.0.1:$squid_port
auth_param basic program $auth $T/users
acl known proxy_auth REQUIRED
acl local dst 127.0.0.0/8 ::1
http_access allow known local
http_access deny all
cache deny all
pid_filename $T/squid/pid
access_log none
cache_log $T/squid/cache.log
coredump_dir $T/squid
shutdown_lifetime 1 seconds
CONF
squid -N -f "$T/squid.conf" > /dev/null 2>&1 & squid_pid=$!
trap 'kill $squid_pid $hub_pid 2>/dev/null' EXIT
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do python3 -c "import socket; socket.create_connection(('127.0.0.1', $squid_port))" 2>/dev/null && break; sleep 0.4; done
fresh
https_proxy="http://user:p%40ss%3Aword@127.0.0.1:$squid_port" HF_ENDPOINT="$HUB_HTTPS" succeeds "squid, CONNECT, with a password" pull o/model
cache_is "squid: the cache is right" o/model
fresh
http_proxy="http://user:p%40ss%3Aword@127.0.0.1:$squid_port" HF_ENDPOINT="$HUB_HTTP" succeeds "squid, plain" pull o/model
fresh
https_proxy="http://127.0.0.1:$squid_port" HF_ENDPOINT="$HUB_HTTPS" fails "squid without a password" "407" pull o/model
nothing "squid without a password: nothing written"
https_proxy="http://127.0.0.1:$squid_port" NO_PROXY="localhost,127.0.0.0/8" HF_ENDPOINT="$HUB_HTTPS" succeeds "squid, passed by" pull o/model
