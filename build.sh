#!/bin/sh
# build.sh: the only place that knows compilers, flags, targets and stamps.
#
#   ./build.sh              the release binary of this machine: build/mlxk
#   ./build.sh help         every verb; the Makefile only gives them short names
#
# Rules it keeps:
# 1. Everything made goes below build/ (fetched archives stay in build/vendor-cache); nothing is installed.
# 2. Paths given to compilers are relative, so bytes do not depend on where the tree lies.
# 3. A generated file is rewritten only when its content changes.
# 4. Instruction set, optimisation and compiler of a release are fixed here and in vendor/lock.
# Flags and lists of files are words on purpose, so they stand unquoted.
# shellcheck disable=SC2086,SC2046,SC2048,SC2116,SC2120,SC2119,SC2016,SC2317
set -eu
export LC_ALL=C
# Folders that compilers take from the surroundings hold other headers and libraries than the pinned ones.
unset CPATH C_INCLUDE_PATH LIBRARY_PATH COMPILER_PATH GCC_EXEC_PREFIX
root=$(cd "$(dirname "$0")" && pwd)
cd "$root"

CC=${CC:-gcc}
JOBS=${JOBS:-2}
part=whole
TLS=${TLS:-mbedtls}
BACKEND=${BACKEND:-cpu}

die() { printf 'build.sh: %s\n' "$*" >&2; exit 1; }
say() { printf 'build.sh: %s\n' "$*" >&2; }

[ "$BACKEND" = cpu ] || die "BACKEND=$BACKEND: this source has the cpu backend only"
case $TLS in mbedtls | bearssl) ;; *) die "TLS=$TLS: mbedtls or bearssl" ;; esac

warnings='-Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
 -Wmissing-prototypes -Wundef -Wvla -Wdouble-promotion -Wimplicit-fallthrough -Wdate-time
 -Wunused -Werror'
language='-std=gnu11 -ffp-contract=off'
includes='-I src -I . -I build/gen -I vendor -I vendor/linenoise -isystem build/vendor
 -isystem build/vendor/mbedtls/include -isystem build/vendor/cjson -isystem build/vendor/zlib
 -isystem build/vendor/linenoise -isystem build/vendor/bearssl/inc
 -isystem build/vendor/libsodium/src/libsodium/include/sodium'
if [ "$TLS" = bearssl ]; then language="$language -DMLXK_TLS_BEARSSL"; fi
sanitized='-O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=undefined -DMLXK_DEBUG'

# ---- small words -------------------------------------------------------------------------------

# put_if_changed FILE: stdin becomes FILE, left untouched when equal (so that nothing is rebuilt).
put_if_changed() {
    cat > "$1.new.$$"
    if cmp -s "$1.new.$$" "$1"; then rm "$1.new.$$"; else mv "$1.new.$$" "$1"; fi
}

# newer FILE SOURCE...: true when FILE exists and no source is newer.
newer() {
    made=$1; shift
    [ -f "$made" ] || return 1
    for source in "$@"; do
        if [ -n "$(find "$source" -newer "$made")" ]; then return 1; fi
    done
}

has_word() { case " $1 " in *" $2 "*) return 0 ;; esac; return 1; }

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
            if (want == "all") { for (i = 1; i <= n; i++) printf "%s ", order[i]; exit }
            if (!(want in level)) exit 1
            visit(want)
            for (i = 1; i <= n; i++) if (order[i] in seen) printf "%s ", order[i]
        }' src/tools/layers.txt
}

# ---- preparation: fetched sources and generated files ------------------------------------------

# prepare ROOMS: what these rooms need besides the tree.
prepare() {
    mkdir -p build/gen
    libraries=
    if has_word "$1" json; then libraries="$libraries cjson"; fi
    if has_word "$1" net; then libraries="$libraries mbedtls zlib libsodium certifi"; fi
    if has_word "$1" tokenizer; then libraries="$libraries unicode"; fi
    if has_word "$1" cli; then libraries="$libraries linenoise"; fi
    if has_word "$1" net && [ "$TLS" = bearssl ]; then libraries="$libraries bearssl"; fi
    if [ -n "$libraries" ]; then sh vendor/fetch.sh $libraries; fi
    for library in $libraries; do generate "$library"; done
    if has_word "$1" release; then embed_files; fi
    write_build_info development "$(uname -m)-$(uname -s)" "$CC $($CC -dumpversion)" development
    echo $language -D_GNU_SOURCE $includes -I build/gen/development | put_if_changed build/flags
}

# generate LIBRARY: the files below build/gen that are made from its sources.
generate() {
    case $1 in
    cjson)     undef_list cjson '^(cJSON|CJSON)_' ;;
    mbedtls)   undef_list mbedtls '^(MBEDTLS|PSA)_' ;;
    zlib)      undef_list zlib '^(Z_|ZLIB_|SEEK_|deflateInit2?$|inflateInit2?$)' ;;
    linenoise) undef_list linenoise '^linenoise' ;;
    libsodium) undef_list libsodium '^(crypto_|sodium_|SODIUM_)' ;;
    certifi)
        if newer build/gen/net_roots.h src/tools/roots.awk build/vendor/certifi/.stamp; then return; fi
        awk -v version="$(sh vendor/fetch.sh version certifi)" -f src/tools/roots.awk \
            build/vendor/certifi/certifi/cacert.pem > build/gen/net_roots.h.$$
        mv build/gen/net_roots.h.$$ build/gen/net_roots.h ;;
    unicode)
        if [ ! -f src/tools/unicode.awk ]; then return; fi
        tables=build/gen/tok_unicode_tables.h
        if newer $tables src/tools/unicode.awk build/vendor/unicode/.stamp; then return; fi
        awk -v version="$(sh vendor/fetch.sh version unicode)" -v dir=build/vendor/unicode \
            -f src/tools/unicode.awk > $tables.$$
        mv $tables.$$ $tables ;;
    esac
}

# The texts that `release` puts into the packages it makes.
embed_files() { awk -f src/tools/embed.awk src/release/python/*.* | put_if_changed build/gen/rel_client_files.h; }

undef_list() {      # LIBRARY PATTERN-OF-KEPT-NAMES
    if newer "build/gen/$1_undef.h" src/tools/undef.awk "build/vendor/$1/.stamp"; then return; fi
    awk -v keep="$2" -f src/tools/undef.awk $(awk -v n="$1/" \
        'index($2, n) == 1 && $2 ~ /\.[ch]$/ { print "build/vendor/" $2 }' vendor/files.sha256) \
        > "build/gen/$1_undef.h.$$"
    mv "build/gen/$1_undef.h.$$" "build/gen/$1_undef.h"
}

# our_git ARGUMENTS: git in this tree, whoever owns it.
our_git() { git -c "safe.directory=$root" "$@"; }

# source_identity: prints "commit tree time dirty" of this tree, from git or from an archive's stamp.
source_identity() {
    stamp=$(cat src/tools/archive.txt)
    case $stamp in
    *Format:*)
        if [ -e .git ] && command -v git >/dev/null 2>&1; then
            dirty=0
            if [ -n "$(our_git status --porcelain 2>/dev/null)" ]; then dirty=1; fi
            echo "$(our_git log -1 --format='%H %T %ct') $dirty"
        else echo "unknown unknown 0 0"; fi ;;
    *) echo "$stamp 0" ;;
    esac
}

# build_number: X.Y.Z of a release; X.Y.Z.devYYYYMMDD of a nightly build (MLXK_NIGHTLY); between releases
# X.Y.Z.devN+g<commit>, for packages, whose numbers must grow: N counts the commits since VERSION began to say X.Y.Z-dev,
# and is 0 where no history is (an archive, a shallow clone). A program says -dev+g<commit> instead, a function of its tree.
build_number() {
    line=$(head -n 1 VERSION)
    case $line in *-dev) ;; *) echo "$line"; return ;; esac
    if [ -n "${MLXK_NIGHTLY:-}" ]; then echo "${line%-dev}.dev$MLXK_NIGHTLY"; return; fi
    set -- $(source_identity)
    number=0
    if [ -e .git ] && [ "$(our_git rev-parse --is-shallow-repository 2>/dev/null)" = false ]; then
        first=$(our_git log --reverse --format=%H -G"^$(echo "$line" | sed 's/\./\\./g')\$" -- VERSION | head -n 1)
        if [ -n "$first" ]; then number=$(($(our_git rev-list --count "$first..HEAD") + 1)); fi
    fi
    echo "${line%-dev}.dev$number+g$(echo "$1" | cut -c1-12)$(if [ "$4" = 1 ]; then echo .dirty; fi)"
}

# ./build.sh version [LINE]: the number of this tree; of client, engine, min-engine, ...: their lines in VERSION.
verb_version() {
    case ${1:-product} in
    product) build_number ;;
    *) awk -v key="$1" 'NR > 1 && $1 == key { print $2; found = 1 } END { exit !found }' VERSION || die "VERSION has no line $1" ;;
    esac
}

# version_said: line 1 of VERSION; in the release commit of one half alone that half's number: its notes are there,
# and its row in the witness comes with the commit after it.
version_said() {
    for half in client engine; do
        number=$(awk -v key=$half 'NR > 1 && $1 == key { print $2 }' VERSION)
        if [ -f "docs/releases/$half-v$number.md" ] && ! grep -q "^release	$half-v$number	" docs/releases.tsv; then
            echo "$number"; return
        fi
    done
    head -n 1 VERSION
}

# write_build_info CONFIG TARGET COMPILER FLAGS: build/gen/CONFIG/build_info.h, what a binary says of itself.
write_build_info() {
    mkdir -p "build/gen/$1"
    set -- "$@" $(source_identity)
    time=$(date -u -d "@$7" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r "$7" +%Y-%m-%dT%H:%M:%SZ)
    version=$(version_said)
    full=$version
    case $version in *-dev) full="$version+g$(echo "$5" | cut -c1-12)" ;; esac
    if [ "$8" = 1 ]; then full="$full.dirty"; case $version in *-dev) ;; *) full="$version+dirty" ;; esac; fi
    if [ -n "${MLXK_NIGHTLY:-}" ]; then full=$(build_number); fi
    { echo "/* build_info.h: generated by build.sh; do not edit. */"
      echo "#define MLXK_VERSION \"$version\""
      echo "#define MLXK_VERSION_FULL \"$full\""
      echo "#define MLXK_COMMIT \"$5\""
      echo "#define MLXK_TREE \"$6\""
      echo "#define MLXK_COMMIT_TIME \"$time\""
      echo "#define MLXK_DIRTY $8"
      awk 'NR > 1 && NF == 2 {
          name["client"] = "CLIENT_VERSION"; name["engine"] = "ENGINE_VERSION"; name["min-engine"] = "MIN_ENGINE"
          name["min-client"] = "MIN_CLIENT"; name["json-api"] = "JSON_API"; name["http-api"] = "HTTP_API"
          if ($1 in name) printf "#define MLXK_%s \"%s\"\n", name[$1], $2 }' VERSION
      echo "#define MLXK_PART \"$part\""
      echo "#define MLXK_TARGET \"$2\""
      echo "#define MLXK_COMPILER \"$3\""
      echo "#define MLXK_FLAGS \"$(echo $4)\""
      echo "#define MLXK_TLS \"$TLS\""
      echo "#define MLXK_BACKEND \"$BACKEND\""
      release_keys
      release_history
      awk -v tls="$TLS" '
          $1 == "library" { version[$2] = $3; licence[$2] = $4; order[++n] = $2 }
          $1 == "way" && !($2 in hash) { hash[$2] = $5 }
          END { printf "#define MLXK_VENDOR_TABLE(X)"
                for (i = 1; i <= n; i++) { k = order[i]; if (k == (tls == "mbedtls" ? "bearssl" : "mbedtls")) continue
                    printf " \\\n    X(\"%s\", \"%s\", \"%s\", \"%s\")", k, version[k], licence[k], hash[k] }
                print "" }' vendor/lock
    } | put_if_changed "build/gen/$1/build_info.h"
}

# release_keys: the public keys of docs/keys as a table of texts.
release_keys() {
    printf '#define MLXK_RELEASE_KEYS(X)'
    for key in docs/keys/*.pub docs/keys/allowed_signers docs/keys/*.pub.pem; do
        [ -f "$key" ] || continue
        printf ' \\\n    X("%s")' "$(awk '{ gsub(/["\\]/, "\\\\&"); printf "%s\\n", $0 }' "$key")"
    done
    echo
}

# release_history: the rows of docs/releases.tsv (event, tag, date, commit, signed or not, note) as a table of texts.
release_history() {
    awk -F '\t' 'BEGIN { printf "#define MLXK_HISTORY(X)" }
        /^#/ || NF != 9 { next }
        { gsub(/[\\"]/, "\\\\&"); printf " \\\n    X(\"%s\", \"%s\", \"%s\", \"%s\", \"%s\", \"%s\")", $1, $2, $6, $4, $7, $9 }
        END { print "" }' docs/releases.tsv
}

# ---- objects: one file each --------------------------------------------------------------------

# sources ROOM...: their .c files, without the alternatives that this build does not use.
sources() {
    other=os_darwin.c; if [ "$(uname -s)" = Darwin ]; then other=os_linux.c; fi
    tls=_bear.c; if [ "$TLS" = bearssl ]; then tls=_mbed.c; fi
    for room in "$@"; do
        for c in src/"$room"/*.c; do
            case $c in */main.c | */"$other" | *"$tls" | *'*.c') continue ;; esac
            echo "$c"
        done
    done
}

# vendor_objects ROOMS: names of the library objects that these rooms need.
vendor_objects() {
    if has_word "$1" json; then echo build/vendor-obj/cjson_unit.o; fi
    if has_word "$1" net; then echo build/vendor-obj/zlib_unit.o; fi
    if has_word "$1" net && [ "$TLS" = mbedtls ]; then echo build/vendor-obj/mbedtls_unit.o; fi
    if has_word "$1" net && [ "$TLS" = bearssl ]; then echo build/vendor-obj/libbearssl.a; fi
    if has_word "$1" net; then echo build/vendor-obj/libsodium_unit.o; fi
    if has_word "$1" cli; then echo build/vendor-obj/linenoise_unit.o; fi
}

build_vendor_objects() {
    mkdir -p build/vendor-obj
    for object in $1; do
        case $object in *.a) bearssl_library "$CC -O2" ar "$object"; continue ;; esac
        unit=vendor/$(basename "$object" .o).c
        if newer "$object" "$unit" vendor/lock vendor/mbedtls vendor/linenoise; then continue; fi
        $CC $language -O2 -g -w $includes -c "$unit" -o "$object.$$" && mv "$object.$$" "$object"
    done
}

# bearssl_library COMPILER AR FILE: BearSSL's files do not fit into one unit, so it is a library.
bearssl_library() {
    if newer "$3" vendor/lock; then return; fi
    objects=build/vendor-obj/bearssl-$(echo "$3" | cksum | cut -d' ' -f1)
    rm -rf "$objects"; mkdir -p "$objects" "$(dirname "$3")"
    find build/vendor/bearssl/src -name '*.c' | sort | while read -r c; do
        echo "$1 -w -I build/vendor/bearssl/inc -I build/vendor/bearssl/src -c $c -o $objects/$(basename "$c" .c).o"
    done | tr '\n' '\0' | xargs -0 -P "$JOBS" -n 1 sh -c
    rm -f "$3"
    $2 rcsD "$3" "$objects"/*.o
    rm -rf "$objects"
}

# object_rules DIR PROGRAM "FLAGS" "EXTRA OBJECTS" SOURCE...: make rules, an object is rebuilt when any
# header that it read has changed.
object_rules() {
    rules_dir=$1; program=$2; flags=$3; extra=$4; shift 4
    echo "FLAGS =" $flags
    objects=
    for c in "$@"; do
        o=$rules_dir/$(echo "${c%.c}" | tr / _).o
        objects="$objects $o"
        printf '%s: %s %s/rules.mk\n\t%s $(FLAGS) -MMD -MP -c $< -o $@\n' "$o" "$c" "$rules_dir" "$CC"
    done
    printf '%s/%s:%s %s\n\t%s $(FLAGS) $^ -o $@ -lm -lpthread\n' "$rules_dir" "$program" "$objects" "$extra" "$CC"
    echo "-include $rules_dir/*.d"
    echo ".DEFAULT_GOAL := $rules_dir/$program"
}

# ./build.sh room NAME [--only TEST]: the room and those below it as objects, sanitized, its tests run.
verb_room() {
    [ $# -ge 1 ] || die "usage: ./build.sh room NAME [--only TEST]"
    room=$1; shift
    rooms=$(closure "$room") || die "no room '$room' in src/tools/layers.txt"
    test=tests/unit/test_$room.c
    [ -f "$test" ] || die "$test does not exist yet"
    out=${O:-build/room-$room}
    mkdir -p "$out"
    prepare "$rooms"
    libraries=$(vendor_objects "$rooms")
    build_vendor_objects "$libraries"
    fuzz=$(fuzz_targets "$room/")
    test_lists "$out" "$room" "$fuzz"
    object_rules "$out" test "$language $warnings $sanitized -fsanitize=address,undefined $includes
        -I build/gen/development -I tests/unit -I $out -DTEST_ROOM=$room" "$(echo $libraries)" \
        tests/unit/test_main.c "$test" $(for f in $fuzz; do echo "tests/fuzz/fuzz_$f.c"; done) $(sources $rooms) |
        put_if_changed "$out/rules.mk"
    make -s -O -j "$JOBS" -f "$out/rules.mk"
    "$out/test" "$@"
}

# fuzz_targets PREFIX: names of the fuzz targets that include a contract below PREFIX ('' = all).
fuzz_targets() {
    for f in tests/fuzz/fuzz_*.c; do
        if [ -f "$f" ] && grep -q "^#include \"$1" "$f"; then basename "$f" .c | cut -c6-; fi
    done
}

# test_lists DIR "ROOM..." "TARGET...": what test_main.c runs, and the files it includes.
test_lists() {
    { echo "#define TEST_LISTS(X) $(for r in $2; do printf 'X(%s) ' "$r"; done)"
      echo "#define FUZZ_TARGETS(X) $(for f in $3; do printf 'X(%s) ' "$f"; done)"; } |
        put_if_changed "$1/test_lists.h"
    { for r in $2; do       # names of tests need only be unique in their room
          printf '#undef TEST\n#define TEST(name) static void test_%s__##name(void)\n' "$r"
          printf '#undef T\n#define T(name) { #name, test_%s__##name }\n' "$r"
          echo "#include \"tests/unit/test_$r.c\""
      done
      for f in $3; do echo "#include \"tests/fuzz/fuzz_$f.c\""; done; } | put_if_changed "$1/test_files.h"
}

# ./build.sh objects: every file alone, linked; finds what only the one unit hides.
verb_objects() {
    out=build/objects
    mkdir -p $out
    rooms=$(closure all)
    prepare "$rooms"
    libraries=$(vendor_objects "$rooms")
    build_vendor_objects "$libraries"
    object_rules $out mlxk "$language $warnings -O1 -g $includes -I build/gen/development" \
        "$(echo $libraries)" $(sources $rooms) src/cli/main.c | put_if_changed $out/rules.mk
    make -s -O -j "$JOBS" -f $out/rules.mk
    echo $out/mlxk
}

# ---- the one unit, with the system's compiler ----------------------------------------------------

# Inlined across all files, gcc guesses at out-parameters that are set exactly when true is returned, and at
# lengths of texts that are cut on purpose.
case $CC in *gcc*) guesses='-Wno-maybe-uninitialized -Wno-format-truncation' ;; *) guesses= ;; esac

# unit NAME FLAGS...: build/NAME/mlxk.
unit() {
    name=$1; shift
    mkdir -p "build/$name"
    prepare "$(closure all)"
    libraries=; if [ "$TLS" = bearssl ]; then libraries=build/vendor-obj/libbearssl.a; fi
    build_vendor_objects "$libraries"
    $CC $language $warnings $guesses "$@" $includes -I build/gen/development mlxk.c $libraries \
        -o "build/$name/mlxk.$$" -lm -lpthread
    mv "build/$name/mlxk.$$" "build/$name/mlxk"
    echo "build/$name/mlxk"
}

# write_test_lists DIR: all rooms that have tests, all fuzz targets.
write_test_lists() {
    mkdir -p "$1"
    rooms=$(for f in tests/unit/test_*.c; do basename "$f" .c | cut -c6-; done | grep -vx main | tr '\n' ' ')
    test_lists "$1" "$rooms" "$(fuzz_targets '' | tr '\n' ' ')"
}

# tests NAME FLAGS...: build/NAME/unit, every unit test and fuzz corpus over the one unit.
tests() {
    name=$1; shift
    mkdir -p "build/$name"
    prepare "$(closure all)"
    libraries=; if [ "$TLS" = bearssl ]; then libraries=build/vendor-obj/libbearssl.a; fi
    build_vendor_objects "$libraries"
    write_test_lists "build/$name"
    $CC $language $warnings $guesses -Wno-unused-function "$@" $includes -I build/gen/development -I tests/unit -I "build/$name" \
        tests/unit/test_main.c $libraries -o "build/$name/unit.$$" -lm -lpthread
    mv "build/$name/unit.$$" "build/$name/unit"
    echo "build/$name/unit"
}

verb_dev() { unit dev -O2 -g -Wno-unused-function; }
# Without optimisation the compiler's own intrinsics are macros that trip over -Wsign-conversion.
verb_debug() { unit debug -O0 -g -DMLXK_DEBUG -Wno-unused-function -Wno-sign-conversion; }

# sanitizer NAME FLAG: the unit tests and fuzz corpora, built so and run.
sanitizer() {
    tests "$1" $sanitized "-fsanitize=$2"
    "build/$1/unit"
}
verb_asan() { sanitizer asan address,undefined; }
verb_ubsan() { sanitizer ubsan undefined; }
verb_tsan() { sanitizer tsan thread; }

# ./build.sh asan-cli: the sanitized program through the tests of the command line.
verb_asan_cli() {
    unit asan $sanitized -Wno-unused-function -fsanitize=address,undefined
    [ -x build/test/unit ] || tests test -O1 -g
    MLXK=$root/build/asan/mlxk sh tests/run.sh tests/cli/
}

# ---- releases -------------------------------------------------------------------------------------

# Clang's own bound for inlining (225) makes the file a quarter larger and nothing measurable faster.
release_flags='-O2 -mllvm -inline-threshold=50 -g0 -s -ffunction-sections -fdata-sections -fno-sanitize=undefined'

# Small before fast: the network is slower than any of it. Nobody unwinds a client's stack. -Oz alone still inlines what
# is a little larger than a call: with a bound of 0 the file is a twentieth smaller and a pull takes no more time.
client_flags='-DMLXK_CLIENT -Oz -mllvm -inline-threshold=0 -g0 -s -ffunction-sections -fdata-sections -fno-sanitize=undefined
 -fno-asynchronous-unwind-tables -fno-unwind-tables -mllvm -enable-machine-outliner=always'
# A client is promised to be smaller than this.
client_limit=1000000

# full_target NAME: the compiler's own name of a target.
full_target() {
    case $1 in
    x86_64-linux | x86_64-linux-musl) echo x86_64-linux-musl ;;
    aarch64-linux | arm64-linux | aarch64-linux-musl) echo aarch64-linux-musl ;;
    x86_64-macos | x86_64-darwin | x86_64-macos.11.0) echo x86_64-macos.11.0 ;;
    aarch64-macos | arm64-macos | arm64-darwin | aarch64-macos.11.0) echo aarch64-macos.11.0 ;;
    *) die "no target '$1'; there are x86_64-linux aarch64-linux x86_64-macos aarch64-macos" ;;
    esac
}
host_target() { full_target "$(uname -m)-$(uname -s | tr '[:upper:]' '[:lower:]')"; }

target_flags() {
    case $1 in
    x86_64-linux-musl) echo "-mcpu=x86_64 -static-pie -fPIE -Wl,--gc-sections" ;;
    aarch64-linux-musl) echo "-mcpu=generic -static-pie -fPIE -Wl,--gc-sections" ;;
    x86_64-macos.11.0) echo "-mcpu=x86_64 -Wl,-dead_strip" ;;
    aarch64-macos.11.0) echo "-mcpu=apple_m1 -Wl,-dead_strip" ;;
    esac
}

# set_compiler: sets zig (command) and compiler (its name); false where it cannot be had.
set_compiler() {
    zig=build/toolchain/ziglang-$(sh vendor/fetch.sh version ziglang)/ziglang/zig
    if [ ! -x "$zig" ]; then
        command -v python3 >/dev/null 2>&1 || return 1
        sh vendor/fetch.sh ziglang || return 1
    fi
    export ZIG_GLOBAL_CACHE_DIR="${ZIG_GLOBAL_CACHE_DIR:-$root/build/zig-global-cache}"
    export ZIG_LOCAL_CACHE_DIR="${ZIG_LOCAL_CACHE_DIR:-$root/build/zig-local-cache}"
    compiler="zig $(sh vendor/fetch.sh version ziglang)"
}

# compile_release TARGET INPUT OUTPUT FLAGS: one unit to one binary; the same command for mlxk.c and the paste.
compile_release() {
    mkdir -p "$(dirname "$3")"
    # Without the linker's flags: with --gc-sections this compiler's objects come out empty.
    compile="$zig cc -target $1 $(target_flags "$1" | sed 's/-Wl,[^ ]*//g') $release_flags $language -Wno-unused-command-line-argument"
    libraries=
    if [ "$TLS" = bearssl ]; then
        libraries=build/vendor-obj/$1/libbearssl.a
        bearssl_library "$compile" "$zig ar" "$libraries"
    fi
    case $1 in
    *-linux-musl)
        $compile $4 -c "$2" -o "$3.o"
        link_packed "$1" "$3" $libraries
        rm "$3.o" ;;
    *) $compile $(target_flags "$1") $4 "$2" $libraries -o "$3.new" -lm -lpthread ;;
    esac
    mv "$3.new" "$3"
}

# link_packed TARGET OUTPUT LIBRARY...: OUTPUT.o to OUTPUT.new as the compiler itself would, but with the addresses that a
# loaded program corrects packed into bits (RELR) in place of 24 bytes each, a flag that the compiler does not pass on.
# Its own link (the last one: a cold cache makes the start-up code first) says where it keeps that and the libraries.
link_packed() {
    case $1 in x86_64*) machine=elf_x86_64 ;; *) machine=aarch64linux ;; esac
    flags=$(target_flags "$1") out=$2; shift 2
    if ! $compile $flags -v "$out.o" "$@" -o "$out.new" -lm -lpthread > "$out.link" 2>&1; then cat "$out.link" >&2; return 1; fi
    found=$(sed -n 's/^ld\.lld //p' "$out.link" | tail -n 1 | grep -oE '/o/[0-9a-f]{32}/[A-Za-z0-9_]+\.[oa]')
    case $(echo "$found" | sed 's#.*/##' | tr '\n' ' ') in
    'rcrt1.o libc.a libzigc.a libcompiler_rt.a ') ;;
    *) die "$out: the compiler links other things than it did: $found" ;;
    esac
    set -- "$ZIG_GLOBAL_CACHE_DIR$(echo "$found" | head -n 1)" "$out.o" "$@"
    for library in $(echo "$found" | tail -n +2); do set -- "$@" "$ZIG_GLOBAL_CACHE_DIR$library"; done
    "$zig" ld.lld -m $machine -static -pie --entry _start --image-base=0 --gc-sections -s --build-id=none -O3 \
        -z now -z stack-size=16777216 --eh-frame-hdr --pack-dyn-relocs=relr -o "$out.new" "$@"
    rm "$out.link"
}

# compile_targets CONFIG-PREFIX TARGET...: build/PREFIXTARGET/mlxk of each, $JOBS at a time.
compile_targets() {
    prefix=$1; shift
    compiling=0
    for target in "$@"; do
        out=build/$prefix$target
        write_build_info "$prefix$target" "$target" "$compiler" "$language $release_flags $(target_flags "$target")"
        rm -f "$out/mlxk"
        compile_release "$target" mlxk.c "$out/mlxk" \
            "$(echo $warnings $includes) -Wno-unused-function -I build/gen/$prefix$target" &
        compiling=$((compiling + 1))
        if [ $((compiling % JOBS)) = 0 ]; then wait; fi
    done
    wait
    for target in "$@"; do
        [ -f "build/$prefix$target/mlxk" ] || die "build/$prefix$target/mlxk was not made"
        say "build/$prefix$target/mlxk $(wc -c < "build/$prefix$target/mlxk") bytes"
    done
}

# full_targets NAME...: their full names; without a name this machine's.
full_targets() { for name in ${*:-$(host_target)}; do full_target "$name"; done; }

# ./build.sh [TARGET...]: build/TARGET/mlxk, and build/mlxk for this machine.
verb_release() {
    prepare "$(closure all)"
    if ! set_compiler; then fallback_release; return; fi
    compile_targets '' $(full_targets "$@")
    if has_word "$(full_targets "$@" | tr '\n' ' ')" "$(host_target)"; then
        cp "build/$(host_target)/mlxk" build/mlxk.new; mv build/mlxk.new build/mlxk
    fi
}

# ./build.sh client [TARGET...]: build/client/TARGET/mlxk, the same unit without the commands that need an engine; the
# compiler leaves out what nobody calls any more.
verb_client() {
    prepare "$(closure all)"
    set_compiler || die "a client needs the pinned compiler (python3 with pip)"
    whole_flags=$release_flags
    part=client release_flags=$client_flags
    compile_targets client/ $(full_targets "$@")
    part=whole release_flags=$whole_flags
    for target in $(full_targets "$@"); do
        [ "$(wc -c < "build/client/$target/mlxk")" -lt $client_limit ] || die "the client of $target has to stay below $client_limit bytes"
    done
}

# Without the pinned compiler: a static binary all the same, honest about its bytes.
fallback_release() {
    command -v musl-gcc >/dev/null 2>&1 || die "the pinned compiler needs python3 with pip; without them install gcc and musl-tools"
    say "the pinned compiler could not be had: building with musl-gcc, THE BYTES WILL DIFFER from a release"
    write_build_info fallback "$(host_target)" "musl-gcc $(musl-gcc -dumpversion)" "$language $release_flags"
    musl-gcc $language $warnings -O2 -g0 -s -static $includes -I build/gen/fallback -o build/mlxk mlxk.c -lm -lpthread
}

# ./build.sh arm-tests: build/aarch64-linux-musl/unit, the unit tests for an ARM machine or an emulator.
verb_arm_tests() {
    target=aarch64-linux-musl
    prepare "$(closure all)"
    set_compiler || die "cross builds need the pinned compiler"
    write_test_lists "build/$target"
    write_build_info "$target" "$target" "$compiler" tests
    compile_release $target tests/unit/test_main.c "build/$target/unit" \
        "$(echo $includes) -w -I build/gen/$target -I tests/unit -I build/$target"
}

# ./build.sh amalgamation: the whole program as one file, and the proof that it compiles to the same bytes.
verb_amalgamation() {
    verb_release ${*:-$(host_target)}
    target=$(host_target)
    paste=build/mlxk-$(version_said).c
    { echo "/* mlxk $(head -n 1 VERSION), the whole program in one file, made by ./build.sh amalgamation."
      set -- $(source_identity)
      echo " * Commit $1$(if [ "$4" = 1 ]; then echo ", with local changes in:"; fi)"
      if [ "$4" = 1 ]; then our_git status --porcelain | sed 's/^/ *   /'; fi
      echo " * Inside: mlxk (Apache-2.0)$(awk -v tls="$TLS" '$1 == "library" && $2 != "ziglang" && $2 != "bearssl" {
          printf ", %s %s (%s)", $2, $3, $4 }' vendor/lock)."
      echo " * Build: cc -std=gnu11 -O2 -ffp-contract=off -w -o mlxk $(basename "$paste") -lm -lpthread"
      echo " */"
      awk -v path="src . build/gen/$target build/gen vendor vendor/linenoise build/vendor build/vendor/mbedtls/include build/vendor/cjson build/vendor/zlib build/vendor/linenoise build/vendor/libsodium/src/libsodium/include/sodium" \
          -f src/tools/amalgamate.awk mlxk.c; } | put_if_changed "$paste"
    compile_release "$target" "$paste" build/amalgamation/mlxk -w
    cmp build/mlxk build/amalgamation/mlxk || die "the paste compiles to other bytes than mlxk.c"
    echo "$paste"
}

# ./build.sh repro [all]: build again as strangers would; every binary must have the same sha256.
verb_repro() { sh tests/repro/run.sh "$@"; }

# ---- what a release hands out ------------------------------------------------------------------------

# dist_programs NAME PREFIX TARGET...: build/PREFIXTARGET/mlxk as build/dist/NAME-VERSION-CPU-SYSTEM.
dist_programs() {
    name=$1 prefix=$2; shift 2
    for target in "$@"; do
        cp "build/$prefix$target/mlxk" "build/dist/$name-$version-$(echo "$target" | sed 's/-musl//; s/\.11\.0//')"
    done
}
# dist_image FLAVOUR PROGRAM...: its image into the one layout of the release, a line in image.digest.
dist_image() {
    flavour=$1; shift
    set -- $(for program in "$@"; do echo "--program $program"; done)
    image=$(build/mlxk image build "oci-archive:build/dist/mlxk-$version-images.tar" --flavour "$flavour" "$@") || die "the $flavour's image was not made"
    echo "$image" | awk 'NR == 1 { sub(/.*:/, ""); tag = $0 } NR == 2 { print tag, $0 }' >> build/dist/image.digest
}
dist_begin() {
    version=$(version_said)
    if [ -n "${MLXK_NIGHTLY:-}" ]; then version=$(build_number); fi
    rm -rf build/dist; mkdir -p build/dist
}
# dist_end: sources, papers and hashes; signed when MLXK_SIGNING_KEY names a key (docs/SIGNING.md).
dist_end() {
    our_git archive --format=tar --prefix="mlxk-$version/" HEAD | gzip -n > "build/dist/mlxk-$version.tar.gz"
    set -- $(source_identity)
    SOURCE_DATE_EPOCH=$3 sh src/tools/release/extras.sh build/dist build/mlxk "$version" "$(build_number)"
    sh src/tools/release/seal.sh build/dist build/mlxk "${MLXK_SIGNING_KEY:-}"
    ls -l build/dist
}
linux_both='x86_64-linux-musl aarch64-linux-musl'

# ./build.sh dist: all of it, in build/dist.
verb_dist() {
    dist_begin
    verb_amalgamation x86_64-linux aarch64-linux x86_64-macos aarch64-macos
    verb_client $linux_both
    dist_programs mlxk '' $linux_both x86_64-macos.11.0 aarch64-macos.11.0
    dist_programs mlxk-client client/ $linux_both
    cp "build/mlxk-$(version_said).c" "build/dist/mlxk-$version.c"
    dist_image client $(for t in $linux_both; do echo build/client/$t/mlxk; done)
    dist_image engine $(for t in $linux_both; do echo build/$t/mlxk; done)
    dist_end
}
# ./build.sh dist-client, dist-engine: one half alone.
verb_dist_client() {
    dist_begin
    verb_release
    verb_client $linux_both
    dist_programs mlxk-client client/ $linux_both
    dist_image client $(for t in $linux_both; do echo build/client/$t/mlxk; done)
    dist_end
}
verb_dist_engine() {
    dist_begin
    verb_release $linux_both
    dist_programs mlxk-engine '' $linux_both
    dist_image engine $(for t in $linux_both; do echo build/$t/mlxk; done)
    dist_end
}

# ---- tests and checks ---------------------------------------------------------------------------------

verb_quick() { tests quick -O1 -g >/dev/null; build/quick/unit "$@"; }

# ./build.sh test: fetches and builds what is missing, then runs everything without a network.
verb_test() {
    verb_release
    tests test -O1 -g
    sh tests/data/fetch.sh || say "without that test data the tests listed in tests/SKIPS are skipped"
    MLXK=$root/build/mlxk sh tests/run.sh "$@"
}

# ./build.sh long-tests [TEXT...]: the scripts of tests/long. They install packages by name, so the network stays.
verb_long_tests() {
    verb_release
    [ -x build/test/unit ] || tests test -O1 -g
    MLXK=$root/build/mlxk MLXK_TEST_ISOLATED=1 JOBS=${JOBS:-1} JOB_SECONDS=3600 sh tests/run.sh "${@:-tests/long/}"
}

verb_long() {
    verb_test
    verb_long_tests
    verb_asan
    verb_tsan
    for target in $(fuzz_targets ''); do T=$target verb_fuzz; done
}

# ./build.sh fuzz, T=target, SECONDS_EACH=n: libFuzzer over the whole program with that entry.
verb_fuzz() {
    target=${T:-}
    [ -f "tests/fuzz/fuzz_$target.c" ] || die "T='$target': there are $(fuzz_targets '' | tr '\n' ' ')"
    command -v clang >/dev/null 2>&1 || die "fuzzing needs clang (its libFuzzer)"
    prepare "$(closure all)"
    mkdir -p "build/fuzz/$target/found"
    clang $language -w $sanitized -fsanitize=fuzzer,address,undefined $includes -I build/gen/development \
        -DFUZZ_FILE="\"fuzz_$target.c\"" -DFUZZ_TARGET="fuzz_$target" tests/fuzz/driver.c \
        -o "build/fuzz/$target/fuzz" -lm -lpthread
    mkdir -p "build/fuzz/$target/corpus"
    "build/fuzz/$target/fuzz" -max_total_time="${SECONDS_EACH:-60}" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="build/fuzz/$target/found/" "build/fuzz/$target/corpus" "tests/fuzz/corpus/$target"
}

# ./build.sh coverage: which lines of the parsers the fuzz corpora reach, a table by file (docs/TESTING.md).
verb_coverage() {
    tests coverage -O0 -g --coverage -w >/dev/null
    python3 src/tools/coverage.py build/coverage
}

verb_lint() { prepare "$(closure all)"; CC=$CC sh src/tools/lint.sh; }
verb_bench() { verb_release; sh src/tools/bench.sh "$@"; }
verb_demo() { verb_release; sh src/tools/demo.sh; }

# ./build.sh size: lines per room, bytes per room (from the separate objects), bytes of the binary.
verb_size() {
    verb_objects >/dev/null
    printf '%-10s %6s %6s %9s\n' room files lines bytes
    for room in $(closure all); do
        [ -n "$(sources "$room")" ] || continue
        printf '%-10s %6d %6d %9d\n' "$room" "$(sources "$room" | wc -l)" "$(cat src/"$room"/*.[ch] | wc -l)" \
            "$(size build/objects/src_"$room"_*.o | awk 'NR > 1 { n += $1 + $2 } END { print n + 0 }')"
    done
    size build/vendor-obj/*.o | awk 'NR > 1 { printf "%-24s %9d\n", $6, $1 + $2 }'
    if [ -f build/mlxk ]; then printf '%-24s %9d\n' build/mlxk "$(wc -c < build/mlxk)"; fi
}

verb_clean() {
    for f in build/* build/.[!.]*; do
        case $f in build/vendor-cache | build/testdata | build/zig-global-cache | build/toolchain) ;; *) rm -rf "$f" ;; esac
    done
}
verb_distclean() { rm -rf build; }
verb_fetch() { prepare "$(closure all)"; set_compiler || say "no pinned compiler"; }

verb_help() {
    cat <<'TEXT'
./build.sh [VERB]                     make VERB
  release [TARGET...]  (default)      build/mlxk; targets x86_64-linux aarch64-linux x86_64-macos aarch64-macos
  test                                everything, without network; last line N passed, N failed, N skipped
  quick [--only TEXT]                 unit tests only, seconds
  room NAME [--only TEXT]             one room's tests over the rooms below it, sanitized
  long                                test, tests/long, sanitizers, a minute of fuzzing per target
  long-tests [TEXT...]                tests/long alone: beside real clients, which it installs by name below build/
  dev | debug                         build/dev/mlxk (fast to make), build/debug/mlxk (for a debugger)
  asan | ubsan | tsan                 sanitized unit tests, run
  asan-cli                            the sanitized program through the tests of the command line
  fuzz        T=target                libFuzzer over one parser (SECONDS_EACH=60)
  coverage                            lines of the parsers that the fuzz corpora reach
  lint                                layers, names, banned calls, contracts; and the tools that are installed
  cross                               all four release targets, checked; ARM tests under an emulator
  objects                             every file compiled alone, linked
  amalgamation                        build/mlxk-VERSION.c, proved to give the same bytes
  repro [all]                         rebuild as a stranger would (all: in many environments): same sha256
  bench | size | demo                 speed; lines and bytes per room; from nothing to a model's answer
  version [LINE]                      the number of this tree, of a nightly build with MLXK_NIGHTLY=YYYYMMDD
  client [TARGET...]                  build/client/TARGET/mlxk: the commands that need no engine
  dist | dist-client | dist-engine    what a release hands out, whole or one half, in build/dist
  fetch | clean | distclean           sources and compiler; remove products; and all fetched
Settings: CC=gcc  JOBS=2  TLS=mbedtls|bearssl  BACKEND=cpu  O=dir (room)  MLXK_VENDOR_CACHE=dir
TEXT
}

# In braces, so that the shell has read all of it before it runs: the file may change meanwhile.
{
verb=${1:-release}
[ $# -gt 0 ] && shift
case $verb in
room | dev | debug | asan | ubsan | tsan | objects | release | client | amalgamation | repro | dist | quick | test | long | \
fuzz | coverage | lint | bench | demo | size | version | clean | distclean | fetch | help) "verb_$verb" "$@" ;;
arm-tests) verb_arm_tests ;;
dist-client) verb_dist_client ;;
dist-engine) verb_dist_engine ;;
asan-cli) verb_asan_cli ;;
long-tests) verb_long_tests "$@" ;;
cross) sh tests/repro/cross.sh ;;
*-linux* | *-macos*) verb_release "$verb" "$@" ;;
*) verb_help >&2; die "no verb '$verb'" ;;
esac
exit
}
