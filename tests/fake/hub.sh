# shellcheck shell=sh
# hub.sh: what the tests of pull share; sourced by tests/cli/3*-pull*.sh. Starts the fake hub, counts nothing itself.
#
#   hub_start [--tls] ...      $HUB_HTTP, $HUB_CDN, ... as in its "ready" file; ended when the script ends
#   ok NAME / bad NAME WHY     TAP lines
#   run ARGS...                $MLXK ARGS; output in $T/out and $T/err, exit status in $status; --json: the document fits its schema
#   succeeds NAME ARGS... / fails NAME ERE ARGS...     a run and what is expected of it (ERE: in stderr or stdout)
#   cache_is NAME REPO [REV]   the cache holds exactly that snapshot
#   nothing NAME               the cache was not touched
#   fault LINE...              the faults from now on (none: all off); logged ERE: some line of the log fits
: "${MLXK:?}" "${T:?}"
here=tests/fake
export HOME="$T" HF_HOME="$T/hf" MLXK_RETRY_BASE_MS=1 HF_HUB_DISABLE_PROGRESS_BARS=1
unset HF_TOKEN HF_ENDPOINT HF_HUB_CACHE HF_TOKEN_PATH HF_HUB_OFFLINE TRANSFORMERS_OFFLINE SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE \
    CURL_CA_BUNDLE HTTP_PROXY http_proxy HTTPS_PROXY https_proxy ALL_PROXY all_proxy NO_PROXY no_proxy 2>/dev/null
cache=$HF_HOME/hub
hub=$T/hub

ok() { echo "ok $1"; }
bad() { echo "not ok $1"; shift; printf '# %s\n' "$*"; sed 's/^/# err: /' "$T/err" 2>/dev/null | head -n 5; }

hub_start() {
    python3 "$here/${FAKE:-fake_hub.py}" serve "$hub" "$@" > "$T/hub.log" 2>&1 &
    hub_pid=$!
    trap 'kill $hub_pid 2>/dev/null' EXIT
    trap 'exit 1' INT TERM HUP
    n=0
    while [ ! -f "$hub/ready" ]; do
        n=$((n + 1))
        if [ $n -gt 300 ] || ! kill -0 $hub_pid 2>/dev/null; then echo "not ok the fake hub starts"; sed 's/^/# /' "$T/hub.log"; exit 1; fi
        sleep 0.1
    done
    # shellcheck disable=SC1091
    . "$hub/ready"
    export HF_ENDPOINT="$HUB_HTTP"
}

run() {
    "$MLXK" "$@" > "$T/out" 2> "$T/err" < /dev/null; status=$?
    case " $* " in *' --json '*) python3 tests/schema.py "$T/out" > "$T/fits" 2>&1 || bad "$1 --json fits its schema" "$(tail -n 2 "$T/fits")" ;; esac
}
fresh() { rm -rf "$HF_HOME"; : > "$hub/log"; }
fault() {
    : > "$hub/faults.new"
    for line in "$@"; do echo "$line" >> "$hub/faults.new"; done
    mv "$hub/faults.new" "$hub/faults"
}
logged() {      # the line of a request is written when its answer is done: maybe a little after us
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        if grep -Eq -- "$1" "$hub/log"; then return 0; fi
        sleep 0.1
    done
    return 1
}
succeeds() { name=$1; shift; run "$@"; if [ $status = 0 ]; then ok "$name"; else bad "$name" "status $status"; fi; }
fails() {
    name=$1; pattern=$2; shift 2
    run "$@"
    if [ $status != 1 ]; then bad "$name" "status $status, expected 1"
    elif ! cat "$T/err" "$T/out" | grep -Eq -- "$pattern"; then bad "$name" "no message fits: $pattern"
    else ok "$name"; fi
}
cache_is() {
    name=$1; shift
    if python3 "$here/${FAKE:-fake_hub.py}" verify "$cache" "$@" > "$T/verify" 2>&1; then ok "$name"; else bad "$name" "$(head -n 5 "$T/verify")"; fi
}
nothing() { if [ -e "$HF_HOME" ]; then bad "$1" "$(find "$HF_HOME" | head -n 5)"; else ok "$1"; fi; }
check() { name=$1; shift; if "$@"; then ok "$name"; else bad "$name" "$*"; fi; }
not() { ! "$@"; }
