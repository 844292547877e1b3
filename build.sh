#!/bin/sh
# build.sh: the only place that knows compilers, flags, targets and stamps.
#
#   ./build.sh              the release binary of this machine: build/mlxk
#   ./build.sh help         every verb; the Makefile only gives them short names
#
# Rules it keeps: everything made goes below build/ (fetched archives are kept in build/vendor-cache);
# paths given to compilers are relative, so bytes do not depend on where the tree lies; a generated
# file is rewritten only when its content changes; nothing is installed.
set -eu
export LC_ALL=C
root=$(cd "$(dirname "$0")" && pwd)
cd "$root"

CC=${CC:-gcc}
JOBS=${JOBS:-2}
TLS=${TLS:-mbedtls}

warnings='-Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
 -Wmissing-prototypes -Wundef -Wvla -Wdouble-promotion -Wimplicit-fallthrough -Wdate-time
 -Wunused -Werror'
language='-std=gnu11 -ffp-contract=off'
includes='-I src -I . -I build/gen -I vendor -I vendor/linenoise -isystem build/vendor
 -isystem build/vendor/mbedtls/include -isystem build/vendor/cjson -isystem build/vendor/zlib
 -isystem build/vendor/linenoise -isystem build/vendor/bearssl/inc'

die() { printf 'build.sh: %s\n' "$*" >&2; exit 1; }

# ---- layers: which rooms a room may see, closed ------------------------------------------------

# closure ROOM: the room and every room below it that it may include, lowest level first.
closure() {
    awk -v want="$1" '
        /^#/ || NF < 2 { next }
        { order[++n] = $1; level[$1] = $2; deps[$1] = ""; for (i = 3; i <= NF; i++) deps[$1] = deps[$1] " " $i }
        function visit(room,   part, k, i) {
            if (room in seen) return
            seen[room] = 1
            k = split(deps[room], part, " ")
            for (i = 1; i <= k; i++) visit(part[i])
        }
        END {
            if (!(want in level)) exit 1
            visit(want)
            for (i = 1; i <= n; i++) if (order[i] in seen) printf "%s ", order[i]
        }' src/tools/layers.txt
}

# put_if_changed FILE: stdin becomes FILE, left untouched when equal (so that nothing is rebuilt).
put_if_changed() {
    cat > "$1.new"
    if cmp -s "$1.new" "$1"; then rm "$1.new"; else mv "$1.new" "$1"; fi
}

has_word() { case " $1 " in *" $2 "*) return 0 ;; esac; return 1; }

# ---- vendored objects (development builds; releases compile them inside the one unit) ----------

vendor_objects() {      # names of the objects that the rooms in $1 need
    if has_word "$1" json; then echo build/vendor-obj/cjson_unit.o; fi
    if has_word "$1" net; then echo build/vendor-obj/zlib_unit.o "build/vendor-obj/${TLS}_unit.o"; fi
    if has_word "$1" cli; then echo build/vendor-obj/linenoise_unit.o; fi
}

build_vendor_objects() {
    mkdir -p build/vendor-obj
    for object in $1; do
        unit=vendor/$(basename "$object" .o).c
        if [ -f "$object" ] && [ -z "$(find "$unit" vendor/*.h vendor/mbedtls vendor/lock -newer "$object" 2>/dev/null)" ]; then
            continue
        fi
        # shellcheck disable=SC2086
        $CC $language -O2 -g -w $includes -c "$unit" -o "$object.$$" && mv "$object.$$" "$object"
    done
}

# ---- room: one room's tests over the rooms below it --------------------------------------------

# ./build.sh room NAME [--only TEST]: separate objects, address and undefined sanitizers, O=dir.
verb_room() {
    [ $# -ge 1 ] || die "usage: ./build.sh room NAME [--only TEST]"
    room=$1; shift
    rooms=$(closure "$room") || die "no room '$room' in src/tools/layers.txt"
    for f in "tests/unit/test_$room.c" tests/unit/test_main.c; do [ -f "$f" ] || die "$f does not exist yet"; done
    out=${O:-build/room-$room}
    mkdir -p "$out"
    prepare "$rooms"
    vendored=$(vendor_objects "$rooms")
    build_vendor_objects "$vendored"
    # shellcheck disable=SC2086
    room_rules "$out" "$room" $rooms | put_if_changed "$out/rules.mk"
    make -s -O -j "$JOBS" -f "$out/rules.mk"
    "$out/test" "$@"
}

# wanted FILE: false for the TLS adapter that this build does without, and for the program's main.
wanted() {
    case $1 in
    src/net/tls_bear.c) [ "$TLS" = bearssl ] ;;
    src/net/tls_mbed.c) [ "$TLS" = mbedtls ] ;;
    */main.c) false ;;
    esac
}

# fuzz_targets ROOM: names of the fuzz targets that include a contract of the room ('' = all).
fuzz_targets() {
    for f in tests/fuzz/fuzz_*.c; do
        if [ -f "$f" ] && grep -q "^#include \"$1" "$f"; then basename "$f" .c | cut -c6-; fi
    done
}

# test_lists DIR "ROOM..." "TARGET...": what test_main.c runs.
test_lists() {
    { echo "#define TEST_LISTS(X) $(for r in $2; do printf 'X(%s) ' "$r"; done)"
      echo "#define FUZZ_TARGETS(X) $(for f in $3; do printf 'X(%s) ' "$f"; done)"; } |
        put_if_changed "$1/test_lists.h"
}

# The make rules of a room's test program: one object per file, rebuilt when any header it read changed.
room_rules() {
    rules_out=$1; rules_room=$2; shift 2
    set -f; flags=$(echo $language $warnings -O1 -g -fno-omit-frame-pointer \
        -fsanitize=address,undefined -fno-sanitize-recover=undefined $includes -I tests/unit -I "$rules_out"); set +f
    sources="tests/unit/test_main.c tests/unit/test_$rules_room.c"
    for r in "$@"; do
        for c in src/"$r"/*.c; do
            if [ -f "$c" ] && wanted "$c"; then sources="$sources $c"; fi
        done
    done
    fuzz=$(fuzz_targets "$rules_room")
    for f in $fuzz; do sources="$sources tests/fuzz/fuzz_$f.c"; done
    test_lists "$rules_out" "$rules_room" "$fuzz"
    echo "FLAGS = $flags"
    objects=
    for c in $sources; do
        o=$rules_out/$(echo "$c" | tr / _); o=${o%.c}.o
        objects="$objects $o"
        extra=; case $c in tests/unit/*) extra="-DTEST_ROOM=$rules_room" ;; esac
        printf '%s: %s %s\n\t%s $(FLAGS) %s -MMD -MP -c $< -o $@\n' "$o" "$c" "$rules_out/rules.mk" "$CC" "$extra"
    done
    printf '%s/test:%s %s\n\t%s $(FLAGS) $^ -o $@ -lm -lpthread\n' "$rules_out" "$objects" \
        "$(echo $vendored)" "$CC"
    echo "-include $rules_out/*.d"
    echo ".DEFAULT_GOAL := $rules_out/test"
}

# ---- preparation: fetched sources and generated files ------------------------------------------

# prepare ROOMS: what these rooms need besides the tree.
prepare() {
    mkdir -p build/gen
    libraries=
    if has_word "$1" json; then libraries="$libraries cjson"; fi
    if has_word "$1" net; then libraries="$libraries mbedtls zlib certifi"; fi
    if has_word "$1" tokenizer; then libraries="$libraries unicode"; fi
    if has_word "$1" cli; then libraries="$libraries linenoise"; fi
    if has_word "$1" net && [ "$TLS" = bearssl ]; then libraries="$libraries bearssl"; fi
    # shellcheck disable=SC2086
    if [ -n "$libraries" ]; then sh vendor/fetch.sh $libraries; fi
    for library in $libraries; do generate "$library"; done
}

# newer FILE SOURCE...: true when FILE exists and no source is newer.
newer() {
    made=$1; shift
    [ -f "$made" ] || return 1
    for source in "$@"; do
        if [ -n "$(find "$source" -newer "$made")" ]; then return 1; fi
    done
}

# generate LIBRARY: the files below build/gen that are made from its sources.
generate() {
    case $1 in
    cjson)     undef_list cjson '^(cJSON|CJSON)_' ;;
    mbedtls)   undef_list mbedtls '^(MBEDTLS|PSA)_' ;;
    zlib)      undef_list zlib '^(Z_|ZLIB_|deflateInit2?$|inflateInit2?$)' ;;
    linenoise) undef_list linenoise '^linenoise' ;;
    certifi)
        if newer build/gen/net_roots.h src/tools/roots.awk build/vendor/certifi/.stamp; then return; fi
        awk -v version="$(sh vendor/fetch.sh version certifi)" -f src/tools/roots.awk \
            build/vendor/certifi/certifi/cacert.pem | put_if_changed build/gen/net_roots.h
        touch build/gen/net_roots.h ;;
    unicode)
        if [ ! -f src/tools/unicode.awk ] || newer build/gen/tok_unicode_tables.h src/tools/unicode.awk build/vendor/unicode/.stamp; then return; fi
        awk -v version="$(sh vendor/fetch.sh version unicode)" -v dir=build/vendor/unicode -f src/tools/unicode.awk \
            | put_if_changed build/gen/tok_unicode_tables.h
        touch build/gen/tok_unicode_tables.h ;;
    esac
}

undef_list() {      # LIBRARY PATTERN-OF-KEPT-NAMES
    if newer "build/gen/$1_undef.h" src/tools/undef.awk "build/vendor/$1/.stamp"; then return; fi
    # shellcheck disable=SC2046
    awk -v keep="$2" -f src/tools/undef.awk $(awk -v n="$1/" \
        'index($2, n) == 1 && $2 ~ /\.[ch]$/ { print "build/vendor/" $2 }' vendor/files.sha256) |
        put_if_changed "build/gen/$1_undef.h"
    touch "build/gen/$1_undef.h"
}

# ---- dev: the whole program, quickly -------------------------------------------------------------

verb_dev() {
    mkdir -p build/dev
    prepare "$(closure cli)"
    # shellcheck disable=SC2086
    $CC $language $warnings -O2 -g $includes mlxk.c -o build/dev/mlxk.$$ -lm -lpthread
    mv build/dev/mlxk.$$ build/dev/mlxk
    echo build/dev/mlxk
}

verb=${1:-release}
[ $# -gt 0 ] && shift
case $verb in
    room) verb_room "$@" ;;
    dev) verb_dev "$@" ;;
    *) die "no verb '$verb'" ;;
esac
