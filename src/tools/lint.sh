#!/bin/sh
# lint.sh: every check that reads sources and runs nothing (./build.sh lint). Needs only a compiler; clang,
# clang-tidy, cppcheck and shellcheck join when they are installed, and are counted as skipped otherwise.
set -u
cd "$(dirname "$0")/../.." || exit 2
mkdir -p build/lint
flags="$(cat build/flags)"
warnings=$(sed -n "/^warnings='/,/'\$/p" build.sh | tr -d "'" | sed 's/^warnings=//')
n_passed=0; n_failed=0; n_skipped=0

# report NAME STATUS LOG: one line, and on failure the first lines of the log.
report() {
    if [ "$2" = 0 ]; then n_passed=$((n_passed + 1)); echo "ok lint/$1"
    else n_failed=$((n_failed + 1)); echo "not ok lint/$1"; head -n 40 "$3" | sed 's/^/# /'; fi
}
run() {     # NAME COMMAND...
    name=$1; shift
    log=build/lint/$name.log
    if "$@" > "$log" 2>&1; then report "$name" 0 "$log"; else report "$name" 1 "$log"; fi
}
run_with() {    # TOOL NAME COMMAND...
    tool=$1; shift
    if command -v "$tool" >/dev/null 2>&1; then run "$@"
    else n_skipped=$((n_skipped + 1)); echo "ok lint/$1 # SKIP $tool is not installed"; fi
}

house() { awk -f src/tools/lint.awk src/tools/layers.txt src/*/*.c src/*/*.h; }

# Text files without tabs in C, trailing space or a missing final newline.
plain_text() {
    bad=0
    for f in build.sh Makefile VERSION .ci/run vendor/*.sh vendor/*.c vendor/lock src/tools/* tests/*.sh tests/*/*.sh tests/*/*.c; do
        [ -f "$f" ] || continue
        if grep -n ' $' "$f" /dev/null; then bad=1; fi
        if [ -s "$f" ] && [ -n "$(tail -c 1 "$f")" ]; then echo "$f: no newline at the end"; bad=1; fi
    done
    return $bad
}

# The whole unit with every warning.
# shellcheck disable=SC2086
unit() { "$1" $flags $warnings ${2:-} -Wno-unused-function -O1 -c -o build/lint/mlxk.o mlxk.c; }   # at -O0 intrinsics are macros and warn

# All functions are static in the one unit, so the compiler knows which ones nobody calls.
# shellcheck disable=SC2086
dead_code() { ! "${CC:-gcc}" $flags -Wunused-function -O0 -c -o build/lint/mlxk.o mlxk.c 2>&1 | grep -E 'Wunused-function'; }

# Each contract header stands alone.
headers() {
    bad=0
    for h in src/*/*.h; do
        case $h in *_body.h | */k_neon*_int.h) continue ;; esac      # bodies that a file includes once per variant
        # shellcheck disable=SC2086
        echo "#include \"${h#src/}\"" | "${CC:-gcc}" $flags -Werror -fsyntax-only -x c - || { echo "$h does not stand alone"; bad=1; }
    done
    return $bad
}

tidy() {
    # shellcheck disable=SC2016
    find src -name '*.c' ! -name "$(if [ -d build/vendor/bearssl ]; then echo none; else echo '*_bear.c'; fi)" | sort | xargs -P 2 -n 4 sh -c 'clang-tidy --quiet --warnings-as-errors="*" \
        --checks="-*,bugprone-*,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier,-bugprone-narrowing-conversions,-bugprone-assignment-in-if-condition,-bugprone-branch-clone,-bugprone-implicit-widening-of-multiplication-result,-bugprone-not-null-terminated-result,-bugprone-misplaced-widening-cast,-bugprone-integer-division,-bugprone-sizeof-expression,-bugprone-signed-char-misuse,cert-err34-c,readability-misleading-indentation" \
        "$@" -- $(cat build/flags) -Wno-unknown-warning-option' sh > build/lint/tidy.log 2>&1
    status=$?
    grep -Ev 'warnings? generated' build/lint/tidy.log
    return $status
}

# One configuration (a Linux machine), or it tries every combination of every #if. Suppressed: what it gets
# wrong here (arrays filled in a loop, addresses handed down, hexadecimal floats) and advice we do not follow.
cpp_check() {
    # shellcheck disable=SC2046
    cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr --enable=warning,portability -j 2 --max-configs=1 \
        -D__x86_64__=1 -D__linux__=1 -D__GNUC__=12 -D__CHAR_BIT__=8 -D__BYTE_ORDER__=1234 -D__ORDER_LITTLE_ENDIAN__=1234 \
        $(printf -- '--suppress=%s ' missingIncludeSystem unknownMacro uninitvar autoVariables incorrectLogicOperator \
            readdirCalled invalidFunctionArg returnDanglingLifetime zerodivcond) --library=posix -I src $(find src -name '*.c' | sort)
}

shells() { find . -path ./build -prune -o \( -name '*.sh' -o -path ./.ci/run \) -type f -print | sort | xargs shellcheck -x; }

run house house
run plain-text plain_text
run headers headers
run unit-gcc unit "${CC:-gcc}"
run dead-code dead_code
run_with clang unit-clang unit clang -Wno-unknown-warning-option
run_with shellcheck shellcheck shells
run_with cppcheck cppcheck cpp_check
run_with clang-tidy clang-tidy tidy
echo "$n_passed passed, $n_failed failed, $n_skipped skipped"
[ "$n_failed" = 0 ]
