#!/bin/sh
# 32-pull-tls.sh: pull over TLS: which certificates are taken, which are refused and why; redirects, cuts, proxies.
# With BearSSL the cases named in tests/fake/BEARSSL are expected to fail.
# shellcheck disable=SC2153      # hub_start sets them
set -u
. tests/fake/hub.sh
command -v openssl > /dev/null || { echo "ok pull over TLS # SKIP openssl is not installed"; exit 0; }
hub_start --tls
port() { echo "${1##*:}"; }
tls=$("$MLXK" version --build --json 2>/dev/null | sed -n 's/.*"tls": "\([a-z]*\)".*/\1/p')

# reach NAME URL: pulls o/small from there, with the test's root trusted, and looks at the cache.
reach() {
    fresh
    HF_ENDPOINT="$2" SSL_CERT_FILE="${3-$HUB_CA}" run pull o/small
    if [ "$tls" = bearssl ] && grep -qx "$1" tests/fake/BEARSSL; then
        if [ $status = 1 ]; then ok "$1 (not with BearSSL)"; else bad "$1" "listed in tests/fake/BEARSSL, but works"; fi
    elif [ $status = 0 ]; then cache_is "$1" o/small
    else bad "$1" "status $status"; fi
}
# refuse NAME ERE URL
refuse() {
    fresh
    HF_ENDPOINT="$3" SSL_CERT_FILE="${4-$HUB_CA}" MLXK_RETRY_BASE_MS=1 fails "$1" "$2" pull o/small
    nothing "$1: nothing written"
    check "$1: nothing was asked" not grep -q "GET" "$hub/log"
}

reach "chain with an intermediate" "$HUB_HTTPS"
reach "EC certificate" "$HUB_DIRECT"
reach "IP address in the certificate" "https://127.0.0.1:$(port "$HUB_HTTPS")"
reach "server with TLS 1.2 only" "$HUB_TLS12"
reach "server with ChaCha20 only" "$HUB_CHACHA"
reach "server with TLS 1.3 only" "$HUB_TLS13"
refuse "wrong name" "it is for another name" "$HUB_WRONG"
refuse "wrong IP address" "it is for another name" "https://127.0.0.1:$(port "$HUB_WRONG")"
refuse "an address that is given as a name" "it is for another name" "https://127.0.0.1:$(port "$HUB_DNSIP")"
refuse "unknown authority, by address" "no trusted authority" "https://127.0.0.1:$(port "$HUB_STRANGER")"
[ "$tls" = bearssl ] ||     # which does not look at what a key may be used for
    refuse "certificate of a client" "may not be used by a server|may not be used for this" "$HUB_CLIENT"
refuse "extension that nobody knows" "critical and unknown|cannot be" "$HUB_CRITICAL"
refuse "key of 1024 bits" "key is too weak" "$HUB_WEAKKEY"
refuse "signature with SHA-1" "too weak" "$HUB_SHA1"
refuse "expired certificate" "has expired" "$HUB_EXPIRED"
refuse "certificate of the future" "not valid yet" "$HUB_FUTURE"
refuse "unknown authority" "no trusted authority" "$HUB_STRANGER"
refuse "self-signed certificate" "no trusted authority" "$HUB_SELF"
refuse "old ciphers only" "TLS with|refused" "$HUB_CBC"
if [ "$tls" = mbedtls ]; then refuse "nothing of TLS there" "does not speak TLS" "https://127.0.0.1:$(port "$HUB_HTTP")"; fi
refuse "authority not named" "SSL_CERT_FILE" "$HUB_HTTPS" ""
refuse "authority's file is missing" "nowhere" "$HUB_HTTPS" /nowhere.pem
: > "$T/empty.pem"
refuse "authority's file is empty" "no usable certificate" "$HUB_HTTPS" "$T/empty.pem"

# ---- ways to name an authority --------------------------------------------------------------------------
mkdir "$T/certs"; cp "$HUB_CA" "$T/certs/a.pem"; echo text > "$T/certs/readme"
openssl x509 -in "$HUB_CA" -outform der -out "$T/ca.der"
cat "$hub/other.pem" "$HUB_CA" > "$T/two.pem"
export HF_ENDPOINT="$HUB_HTTPS"
fresh; SSL_CERT_DIR="$T/certs" succeeds "SSL_CERT_DIR" pull o/small
fresh; REQUESTS_CA_BUNDLE="$HUB_CA" succeeds "REQUESTS_CA_BUNDLE" pull o/small
fresh; REQUESTS_CA_BUNDLE="$T/certs" succeeds "REQUESTS_CA_BUNDLE, a folder" pull o/small
fresh; CURL_CA_BUNDLE="$HUB_CA" succeeds "CURL_CA_BUNDLE" pull o/small
fresh; SSL_CERT_FILE="$T/ca.der" succeeds "authority in DER" pull o/small
fresh; SSL_CERT_FILE="$T/two.pem" succeeds "several authorities in a file" pull o/small

# ---- hashing while records are decrypted ---------------------------------------------------------------------------
# one_cpu ARGS...: mlxk as on a machine with one processor
one_cpu() { python3 -c 'import os, sys; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1]); os.execv(sys.argv[1], sys.argv[1:])' "$MLXK" "$@"; }
export HF_ENDPOINT="$HUB_HTTPS" SSL_CERT_FILE="$HUB_CA"
beside() { [ "$(sed -n 's/.* \([0-9]*\) bytes were hashed while others were decrypted.*/\1/p' "$T/err" | sort -n | tail -1)" -gt 1000000 ]; }
units=$("$MLXK" version --cpu --json | tr -d ' \n')
fresh
check "a large file by one processor" one_cpu pull o/large --quiet
cache_is "its bytes are right" o/large
fresh; HF_DEBUG=1 one_cpu pull o/large > "$T/out" 2> "$T/err"
case "$tls $units" in
mbedtls*'"sha256":"sha-ni","aes_gcm":"vaes"'*) check "most of them were hashed beside" beside ;;
*) check "without such instructions none of them is hashed beside" not beside ;;
esac
fresh; fault "cdn . wrongbytes"
if one_cpu pull o/large > "$T/out" 2> "$T/err"; then bad "a wrong byte is seen beside, too" "it was believed"; else ok "a wrong byte is seen beside, too"; fi
check "with its reason" grep -q "have the hash" "$T/err"
fault

# ---- redirects and tokens --------------------------------------------------------------------------------------
export SSL_CERT_FILE="$HUB_CA"
fresh
HF_TOKEN=hf_goodgoodgoodgoodgood succeeds "gated over TLS" pull o/gated
check "the token reached the hub" logged '^hub GET .*auth=yes'
check "and never the CDN" not grep -q '^cdn .*auth=yes' "$hub/log"
check "connections are reused over TLS" test "$(sed -n 's/^hub .*conn=//p' "$hub/log" | sort -u | wc -l)" -le 4
fresh; fault "hub resolve tohttp"
fails "https never becomes http" "https to http" pull o/small
check "and nothing went there" not grep -q '^cdn' "$hub/log"
fault "hub /revision/ tohttp"
fails "nor for the API" "https to http" pull o/small

# ---- broken connections ----------------------------------------------------------------------------------------------
etag=$(python3 tests/fake/fake_hub.py etag o/model model-00001-of-00002.safetensors)
for kind in cut=100000 rst=100000 close nonotify wrongtls; do
    case $kind in wrongtls) fresh; fault "cdn $etag stallafter=100000 1"; export HF_HUB_DOWNLOAD_TIMEOUT=1 ;; *) fresh; fault "cdn $etag $kind 1" ;; esac
    run pull o/model
    if [ $status = 0 ]; then cache_is "overcome over TLS: $kind" o/model; else bad "overcome over TLS: $kind" "status $status"; fi
done
unset HF_HUB_DOWNLOAD_TIMEOUT
fresh; fault "hub /revision/ nonotify"
succeeds "an answer without end and farewell is believed when its JSON is whole" pull o/small
cache_is "without farewell: the cache is right" o/small
for n in 0 1 60; do
    fresh; fault "hub /revision/ nonotify" "hub /revision/ cut=$n"
    fails "$n bytes of it are not" "closed the connection" pull o/small
    nothing "$n bytes: nothing written"
done
fault "any . nolength"
succeeds "an answer without end, with farewell" pull o/small
fault
fresh
HF_ENDPOINT="https://localhost:$(port "$HUB_HTTP")" HF_HUB_DOWNLOAD_TIMEOUT=1 fails "no TLS behind the port" "TLS|in time|closed" pull o/small
fresh
HF_ENDPOINT="http://localhost:$(port "$HUB_HTTPS")" HF_HUB_DOWNLOAD_TIMEOUT=1 fails "TLS behind a plain address" "." pull o/small

# ---- through a proxy --------------------------------------------------------------------------------------------------------
fresh
https_proxy="http://user:pass@127.0.0.1:$(port "$HUB_PROXY")" succeeds "TLS through a proxy" pull o/small
check "the proxy was asked to connect" logged "^proxy CONNECT localhost:$(port "$HUB_HTTPS") .*auth=yes"
cache_is "cache tree through a proxy" o/small
fresh
HF_ENDPOINT="https://a.hub.test:$(port "$HUB_HTTPS")" https_proxy="$HUB_PROXY" succeeds "a name that only the proxy knows" pull o/small
fresh
https_proxy=http://127.0.0.1:9 fails "a proxy that is down" "no connection to 127.0.0.1" pull o/small
https_proxy=socks5://127.0.0.1:9 fails "a proxy of another kind" "proxy setting cannot be used" pull o/small
https_proxy=http://127.0.0.1:9 no_proxy=localhost succeeds "no_proxy over TLS" pull o/small
check "the server's name is told in the open, as it must be" logged "^tls HTTPS .*name=localhost "

# ---- through a proxy that is itself spoken to by TLS: TLS inside TLS -----------------------------------------------------
fresh
https_proxy="$HUB_PROXYS" succeeds "TLS through a proxy with TLS" pull o/model
cache_is "cache tree through a proxy with TLS" o/model
check "the proxy was spoken to by TLS, under its own name" logged "^tls PROXYS .*name=localhost "
check "and asked to connect" logged "^proxy CONNECT localhost:$(port "$HUB_HTTPS") "
check "the server inside was spoken to by TLS" logged "^tls HTTPS .*name=localhost "
fresh
https_proxy="https://user:p%40ss@127.0.0.1:$(port "$HUB_PROXYS")" succeeds "with a password, the proxy by its address" pull o/small
check "the password reached the proxy" logged "^proxy CONNECT localhost:$(port "$HUB_HTTPS") .*auth=yes"
check "an address is no name to tell" logged "^tls PROXYS .*name=None "
fresh
HF_ENDPOINT="https://a.hub.test:$(port "$HUB_HTTPS")" ALL_PROXY="$HUB_PROXYS" succeeds "a name that only the proxy with TLS knows" pull o/small
check "the name inside is the server's" logged "^tls HTTPS .*name=a.hub.test "
fresh
HF_ENDPOINT="https://a.hub.test.:$(port "$HUB_HTTPS")" ALL_PROXY="$HUB_PROXYS" succeeds "a name with a dot at its end" pull o/small
check "which is no part of the name that is checked" logged "^tls HTTPS .*name=a.hub.test "
fresh
HF_ENDPOINT="$HUB_HTTP" http_proxy="$HUB_PROXYS" succeeds "a plain server through a proxy with TLS" pull o/small
check "asked inside TLS" logged "^tls PROXYS "
fresh
https_proxy="$HUB_PROXYWRONG" MLXK_RETRY_BASE_MS=1 fails "a proxy with another's certificate" "the proxy: the certificate of localhost is refused: it is for another name" pull o/small
https_proxy="$HUB_PROXYSTRANGER" MLXK_RETRY_BASE_MS=1 fails "a proxy with an unknown authority" "the proxy: the certificate of localhost is refused: no trusted authority" pull o/small
check "no proxy was asked before its certificate was right" not grep -q "^proxy CONNECT" "$hub/log"
https_proxy="https://localhost:$(port "$HUB_PROXY")" HF_HUB_DOWNLOAD_TIMEOUT=1 fails "a plain proxy that is said to have TLS" "the proxy: .*(TLS|closed)" pull o/small
HF_ENDPOINT="$HUB_WRONG" https_proxy="$HUB_PROXYS" fails "a wrong name behind a right proxy" "of localhost is refused: it is for another name" pull o/small
nothing "refused proxies: nothing written"
fresh
fault "cdn $etag rst=100000 1"
https_proxy="$HUB_PROXYS" succeeds "a break inside both" pull o/model
cache_is "and the cache is right" o/model
fault

# ---- sessions: the second connection goes on with the first one's -----------------------------------------------------------
for where in HTTPS TLS12; do
    case $where in HTTPS) url=$HUB_HTTPS ;; *) url=$HUB_TLS12 ;; esac
    fresh
    HF_ENDPOINT="$url" succeeds "several connections, $where" pull o/many --include 'd1*/*'
    check "the first begins a session, $where" sh -c "grep '^tls $where ' '$hub/log' | head -n 1 | grep -q session=new"
    check "later ones resume it, $where" logged "^tls $where session=resumed "
done

# ---- IPv6 -------------------------------------------------------------------------------------------------------------------------
if [ -n "${HUB_HTTPS6:-}" ]; then
    reach "an IPv6 address in the certificate" "$HUB_HTTPS6"
    check "no name is told for it" logged "^tls HTTPS6 .*name=None "
    refuse "wrong IPv6 address" "it is for another name" "$HUB_WRONG6"
    fresh; HF_ENDPOINT="$HUB_HTTP6" succeeds "a plain server by its IPv6 address" pull o/small
    fresh; HF_ENDPOINT="$HUB_HTTPS6" https_proxy="$HUB_PROXYS" succeeds "an IPv6 address through a proxy with TLS" pull o/small
    check "with brackets" logged "^proxy CONNECT \[::1\]:$(port "$HUB_HTTPS6") "
    fresh; HF_ENDPOINT="$HUB_HTTPS6" https_proxy=http://127.0.0.1:9 no_proxy="fe80::/10,[::]/64,localhost" succeeds "no_proxy with a network of IPv6" pull o/small
else
    echo "ok tls/ipv6 # SKIP no IPv6 here"
fi
