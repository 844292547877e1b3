#!/bin/sh
# run.sh: runs everything that proves the program, two jobs at a time, and sums up.
#
#   sh tests/run.sh [TEXT...]       only jobs whose name contains one of the TEXTs
#
# A job is one room's unit tests (build/test/unit), the fuzz corpora, or one script below tests/cli, house,
# kernels, golden, release or fake. A script sees $MLXK (the program, absolute), $T (an empty folder of its own, also
# its HOME) and the tree's root as its working folder, and prints TAP lines: "ok NAME", "not ok NAME",
# "ok NAME # SKIP why". A job that ends with an error but named none, or that tested nothing, has failed.
# As root on Linux everything runs in a network namespace of its own, with loopback only.
# A skip must be listed in tests/SKIPS, or it counts as a failure. Last line: N passed, N failed, N skipped.
set -u
cd "$(dirname "$0")/.." || exit 2
root=$(pwd)
out=$root/build/test
export MLXK="${MLXK:-$root/build/mlxk}" UNIT="${UNIT:-$out/unit}"

# ---- one job (called by xargs below) ---------------------------------------------------------------

if [ "${1:-}" = --job ]; then
    job=$2
    name=$(echo "$job" | tr '/:' '__')
    log=$out/logs/$name.log
    T=$(mktemp -d "${TMPDIR:-/tmp}/mlxk-$name.XXXXXX")
    export T HOME="$T" TMPDIR="$T"
    case $job in
    unit:*) set -- "$UNIT" --only "${job#unit:}/" ;;
    *.sh) set -- sh "$job" ;;
    *.py) set -- python3 "$job" --mlxk "$MLXK" ;;
    esac
    started=$(date +%s)
    timeout "${JOB_SECONDS:-900}" "$@" > "$log" 2>&1 < /dev/null
    status=$?
    chmod -R u+rwX "$T" 2>/dev/null
    rm -rf "$T"
    # One line for the summary: job passed failed skipped seconds
    awk -v job="$job" -v status="$status" -v seconds="$(($(date +%s) - started))" -v failures="$out/logs/$name.failed" '
        /^ok .*# SKIP/ { skipped++; next }
        /^ok / { passed++; next }
        /^not ok / { failed++; print substr($0, 8) > failures; next }
        /^FAIL / { print substr($0, 6) > failures }
        /^[0-9]+ passed, [0-9]+ failed/ { tail_passed = $1; tail_failed = $3; tail_skipped = $5 + 0; tail = 1 }
        END {
            if (passed + failed + skipped == 0 && tail) { passed = tail_passed; failed = tail_failed; skipped = tail_skipped }
            if (status != 0 && failed == 0) { failed = 1; print "ended with status " status > failures }
            if (passed + failed + skipped == 0) { failed = 1; print "tested nothing" > failures }
            printf "%s %d %d %d %d\n", job, passed, failed, skipped, seconds
        }' "$log" > "$out/logs/$name.sum"
    read -r _ passed failed skipped seconds < "$out/logs/$name.sum"
    echo "$job: $passed passed, $failed failed, $skipped skipped ($seconds s)"
    if [ "$failed" != 0 ]; then sed "s|^|not ok $job: |" "$out/logs/$name.failed" | head -n 20; echo "    log: ${log#"$root"/}"; fi
    exit 0
fi

case ${1:-} in -*) sed -n '2,/^set/p' tests/run.sh | grep '^#' | sed 's/^# \{0,1\}//'; exit 2 ;; esac
# One run at a time in this tree: they share the folder of logs.
mkdir -p "$out"
if [ -z "${MLXK_TEST_LOCKED:-}" ] && command -v flock >/dev/null 2>&1; then
    MLXK_TEST_LOCKED=1 exec flock "$out/.lock" sh tests/run.sh "$@"
fi

# ---- without a network --------------------------------------------------------------------------------

if [ -z "${MLXK_TEST_ISOLATED:-}" ]; then
    export MLXK_TEST_ISOLATED=1
    if [ "$(id -u)" = 0 ] && unshare -n true 2>/dev/null; then
        # shellcheck disable=SC2016
        exec unshare -n sh -c '
            ip link set lo up 2>/dev/null || python3 -c "
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack(\"16sH14s\", b\"lo\", 0x41, b\"\"))"
            exec sh "$0" "$@"' tests/run.sh "$@"
    fi
    echo "note: not root, so the network is not taken away while testing"
fi

# Nothing of the user's settings, and never the user's model cache.
for variable in $(env | sed -n 's/^\(HF_[A-Z0-9_]*\|HUGGING_FACE_[A-Z_]*\|MLXK2\{0,1\}_[A-Z0-9_]*\|XDG_[A-Z_]*\|HTTPS\{0,1\}_PROXY\|https\{0,1\}_proxy\|NO_COLOR\|COLUMNS\)=.*/\1/p'); do
    case $variable in MLXK_TEST_* | MLXK_VENDOR_* | MLXK_KERNELS) ;; *) unset "$variable" ;; esac
done
export LC_ALL=C.UTF-8 TZ=UTC

# ---- all jobs -------------------------------------------------------------------------------------------

rm -rf "$out/logs"
mkdir -p "$out/logs"
{
    "$UNIT" --list | sed 's|/.*||' | sort -u | sed 's/^/unit:/'
    for job in tests/cli/*.sh tests/fake/test_*.sh tests/kernels/*.sh tests/golden/*.sh tests/house/*.sh tests/release/*.sh; do
        case $job in tests/release/all.sh) continue ;; esac      # runs other jobs
        [ -f "$job" ] && echo "$job"
    done
} > "$out/jobs.all"
for job in tests/long/*.sh; do       # only when asked for
    case "$*" in *tests/long*) [ -f "$job" ] && echo "$job" >> "$out/jobs.all" ;; esac
done
if [ $# -gt 0 ]; then
    for text in "$@"; do grep -F -e "$text" "$out/jobs.all"; done | sort -u > "$out/jobs"
else cp "$out/jobs.all" "$out/jobs"; fi
[ -s "$out/jobs" ] || { echo "no job has such a name; see build/test/jobs.all"; exit 2; }

xargs -P "${JOBS:-2}" -I '{}' sh tests/run.sh --job '{}' < "$out/jobs"

# ---- the sum, and skips that nobody expected ---------------------------------------------------------------

grep -h '^ok .*# SKIP' "$out"/logs/*.log 2>/dev/null | sed 's/^ok //' > "$out/skipped"
unexpected=$(awk 'FNR == NR { if ($0 !~ /^#/ && NF) expected[$1] = 1; next } !($1 in expected)' tests/SKIPS "$out/skipped")
n_unexpected=$(printf '%s' "$unexpected" | grep -c .)
sort "$out/skipped" | sed 's/^/skipped: /'
if [ "$n_unexpected" != 0 ]; then printf '%s\n' "$unexpected" | sed 's|^|not ok unexpected skip: |'; fi
cat "$out"/logs/*.sum | awk -v extra="$n_unexpected" '
    { passed += $2; failed += $3; skipped += $4 }
    END { printf "%d passed, %d failed, %d skipped\n", passed, failed + extra, skipped; exit failed + extra > 0 }'
