#!/bin/sh
# 37-proxies.sh: pull through squid (plain, CONNECT, TLS in TLS, with a password), nginx and mitmproxy (an interception that was agreed
# to or not, bytes that were changed), and over links that are slow, far or break. Installs them with apt.
set -u
. tests/fake/hub.sh
missing=
for tool in squid nginx mitmdump; do
    command -v $tool > /dev/null || case $tool in
    squid) missing="$missing squid-openssl" ;;
    nginx) missing="$missing nginx-light" ;;
    mitmdump) missing="$missing mitmproxy" ;;
    esac
done
# shellcheck disable=SC2086      # several words
test -z "$missing" || apt-get install -y --no-install-recommends $missing > /dev/null 2>&1
hub_start --tls
export SSL_CERT_FILE="$HUB_CA"
port() { echo "${1##*:}"; }
helpers=
trap 'kill $helpers $hub_pid 2>/dev/null' EXIT
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
listens() {     # PORT: until somebody does
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        python3 -c "import socket; socket.create_connection(('127.0.0.1', $1))" 2>/dev/null && return 0
        sleep 0.5
    done
    return 1
}

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

# ---- squid: plain, by CONNECT, and itself spoken to by TLS ---------------------------------------
if command -v squid > /dev/null; then
    auth=$(find /usr/lib/squid* -name basic_ncsa_auth | head -n 1)
    squid_port=$(free_port); squids_port=$(free_port)
    printf 'user:%s\n' "$(openssl passwd -apr1 'p@ss:word')" > "$T/users"
    mkdir "$T/squid"; chmod 777 "$T" "$T/squid"; chmod 644 "$T/users"
    cp "$hub/direct.pem" "$hub/direct.key" "$T/squid"; chmod 644 "$T/squid"/direct.*
    tls_port="https_port 127.0.0.1:$squids_port tls-cert=$T/squid/direct.pem tls-key=$T/squid/direct.key"
    squid -v | grep -q -e with-openssl -e with-gnutls || tls_port=
    cat > "$T/squid.conf" << CONF
http_port 127.0.0.1:$squid_port
$tls_port
auth_param basic program $auth $T/users
acl known proxy_auth REQUIRED
acl local dst 127.0.0.0/8 ::1
http_access allow known local
http_access deny all
cache deny all
pid_filename $T/squid/pid
access_log stdio:$T/squid/access
cache_log $T/squid/cache.log
coredump_dir $T/squid
shutdown_lifetime 1 seconds
CONF
    squid -N -f "$T/squid.conf" > "$T/squid/out" 2>&1 & helpers="$helpers $!"
    check "squid starts" listens "$squid_port"
    who="user:p%40ss%3Aword@"
    fresh
    https_proxy="http://${who}127.0.0.1:$squid_port" HF_ENDPOINT="$HUB_HTTPS" succeeds "squid, CONNECT, with a password" pull o/model
    cache_is "squid: the cache is right" o/model
    fresh
    http_proxy="http://${who}127.0.0.1:$squid_port" HF_ENDPOINT="$HUB_HTTP" succeeds "squid, plain" pull o/model
    fresh
    https_proxy="http://127.0.0.1:$squid_port" HF_ENDPOINT="$HUB_HTTPS" fails "squid without a password" "407" pull o/small
    https_proxy="http://user:wrong@127.0.0.1:$squid_port" HF_ENDPOINT="$HUB_HTTPS" fails "squid with a wrong password" "407" pull o/small
    nothing "squid refuses: nothing written"
    https_proxy="http://127.0.0.1:$squid_port" NO_PROXY="localhost,127.0.0.0/8" HF_ENDPOINT="$HUB_HTTPS" succeeds "squid, passed by" pull o/model
    if [ -n "$tls_port" ]; then
        check "squid listens for TLS" listens "$squids_port"
        : > "$T/squid/access"
        fresh
        https_proxy="https://${who}localhost:$squids_port" HF_ENDPOINT="$HUB_HTTPS" succeeds "squid by TLS, TLS inside" pull o/model
        cache_is "squid by TLS: the cache is right" o/model
        check "squid was asked to connect" grep -q "CONNECT localhost:$(port "$HUB_HTTPS")" "$T/squid/access"
        fresh
        http_proxy="https://${who}127.0.0.1:$squids_port" HF_ENDPOINT="$HUB_HTTP" succeeds "squid by TLS, plain inside" pull o/model
        fresh
        https_proxy="https://localhost:$squids_port" HF_ENDPOINT="$HUB_HTTPS" fails "squid by TLS without a password" "407" pull o/small
        SSL_CERT_FILE="$hub/other.pem" https_proxy="https://${who}localhost:$squids_port" HF_ENDPOINT="$HUB_HTTPS" MLXK_RETRY_BASE_MS=1 \
            fails "squid by TLS, authority not known" "the proxy: .*no trusted authority" pull o/small
        nothing "squid by TLS refused: nothing written"
    else
        echo "ok squid by TLS # SKIP this squid has no TLS"
    fi
else
    echo "ok squid # SKIP squid is not installed"
fi

# ---- nginx in front of the hub: TLS 1.2 and 1.3, sessions, an upstream that is gone ------------------
if command -v nginx > /dev/null; then
    nginx_port=$(free_port); old_port=$(free_port); bad_port=$(free_port)
    mkdir "$T/nginx"
    cat > "$T/nginx/nginx.conf" << CONF
worker_processes 1;
daemon off;
pid $T/nginx/pid;
error_log $T/nginx/error;
events { worker_connections 256; }
http {
    log_format tls '\$ssl_protocol \$ssl_session_reused \$ssl_server_name \$status';
    access_log $T/nginx/access tls;
    client_body_temp_path $T/nginx/1; proxy_temp_path $T/nginx/2; fastcgi_temp_path $T/nginx/3; uwsgi_temp_path $T/nginx/4; scgi_temp_path $T/nginx/5;
    ssl_certificate $hub/good.pem;
    ssl_certificate_key $hub/good.key;
    ssl_session_cache shared:s:1m;
    proxy_buffering off;
    proxy_set_header Host \$http_host;
    proxy_ssl_trusted_certificate $HUB_CA; proxy_ssl_verify on; proxy_ssl_verify_depth 2; proxy_ssl_server_name on; proxy_ssl_name localhost;
    server { listen 127.0.0.1:$nginx_port ssl; ssl_protocols TLSv1.2 TLSv1.3; location / { proxy_pass $HUB_HTTPS; } }
    server { listen 127.0.0.1:$old_port ssl; ssl_protocols TLSv1.2; location / { proxy_pass $HUB_HTTPS; } }
    server { listen 127.0.0.1:$bad_port ssl; location / { proxy_pass http://127.0.0.1:$bad_port; } }
}
CONF
    nginx -c "$T/nginx/nginx.conf" -e "$T/nginx/error" > "$T/nginx/out" 2>&1 & helpers="$helpers $!"
    check "nginx starts" listens "$nginx_port"
    for one in "1.3 $nginx_port" "1.2 $old_port"; do
        version=${one% *}; : > "$T/nginx/access"
        fresh
        HF_ENDPOINT="https://localhost:${one#* }" succeeds "nginx with TLS $version" pull o/many --include 'd1*/*'
        check "later connections resume the session, TLS $version" grep -q "^TLSv$version r localhost 200" "$T/nginx/access"
    done
    fresh
    HF_ENDPOINT="https://localhost:$nginx_port" succeeds "nginx, files of every kind" pull o/model
    cache_is "nginx: the cache is right" o/model
    HF_ENDPOINT="https://localhost:$bad_port" MLXK_RETRY_BASE_MS=1 fails "nginx whose upstream answers nonsense" "status (400|502)|(400|502)" pull o/small
else
    echo "ok nginx # SKIP nginx is not installed"
fi

# ---- mitmproxy: somebody in the middle, with an authority of its own ----------------------------------
if ! command -v mitmdump > /dev/null; then echo "ok mitmproxy # SKIP mitmproxy is not installed"; exit 0; fi
cat > "$T/flip.py" << 'PYTHON'
def response(flow):
    body = flow.response.raw_content
    if "safetensors" not in flow.request.path and len(body or b"") < 100000:
        return
    if body:                                    # the last byte of everything that could be a weight
        flow.response.raw_content = body[:-1] + bytes([body[-1] ^ 1])
PYTHON
mitm() {        # NAME ARGS...: starts one; leaves $mitm_port
    mitm_port=$(free_port); name=$1; shift
    mitmdump -q --mode regular --listen-host 127.0.0.1 -p "$mitm_port" --set confdir="$T/mitm" --set ssl_verify_upstream_trusted_ca="$HUB_CA" "$@" \
        > "$T/mitm.$name" 2>&1 & helpers="$helpers $!"
    check "mitmproxy starts, $name" listens "$mitm_port"
}
export HF_ENDPOINT="$HUB_HTTPS" MLXK_RETRY_BASE_MS=1
mitm plain
plain_port=$mitm_port
authority=$T/mitm/mitmproxy-ca-cert.pem
fresh
https_proxy="http://127.0.0.1:$plain_port" fails "an interception that was not agreed to" "the certificate of localhost is refused: no trusted authority signed it" pull o/small
check "and how to agree" grep -q "SSL_CERT_FILE" "$T/err"
nothing "intercepted: nothing written"
check "intercepted: nothing was asked" not grep -q " GET " "$hub/log"
https_proxy="http://127.0.0.1:$plain_port" SSL_CERT_FILE="$authority" succeeds "an interception that was agreed to" pull o/model
cache_is "agreed interception: the cache is right" o/model
fresh
cat "$authority" "$HUB_CA" > "$T/both.pem"
https_proxy="http://127.0.0.1:$plain_port" REQUESTS_CA_BUNDLE="$T/both.pem" SSL_CERT_FILE='' succeeds "both authorities in one file" pull o/small
fresh
https_proxy="http://127.0.0.1:$plain_port" SSL_CERT_FILE="$authority" HF_ENDPOINT="$HUB_EXPIRED" fails "what the middle refuses in its turn" "502|status 5|refused" pull o/small
mitm password --set proxyauth=user:secret
fresh
https_proxy="http://127.0.0.1:$mitm_port" SSL_CERT_FILE="$authority" fails "mitmproxy without a password" "407" pull o/small
https_proxy="http://user:secret@127.0.0.1:$mitm_port" SSL_CERT_FILE="$authority" succeeds "mitmproxy with a password" pull o/small
mitm flip -s "$T/flip.py"
fresh
https_proxy="http://127.0.0.1:$mitm_port" SSL_CERT_FILE="$authority" fails "bytes that were changed on the way" "have the hash" pull o/model
check "changed bytes have no name" test -z "$(find "$cache" -path '*/snapshots/*' -name '*.safetensors')"
fresh
https_proxy="https://localhost:$plain_port" SSL_CERT_FILE="$authority" succeeds "mitmproxy by TLS, intercepted TLS inside" pull o/small
cache_is "mitmproxy by TLS: the cache is right" o/small
https_proxy="https://localhost:$plain_port" fails "mitmproxy by TLS, not agreed to" "the proxy: .*no trusted authority" pull o/model
