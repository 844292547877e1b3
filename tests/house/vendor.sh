#!/bin/sh
# Vendored sources: the files that are compiled are the locked ones, nothing of them is committed, and no
# macro of theirs stays behind in the one unit except those with the library's own prefix.
ok() { if [ "$1" = 0 ]; then echo "ok vendor/$2"; else echo "not ok vendor/$2"; fi; }

for folder in build/vendor/*/; do
    library=$(basename "$folder")
    awk -v n="$library/" 'index($2, n) == 1 { print $1 "  build/vendor/" $2 }' vendor/files.sha256 > "$T/sums"
    [ -s "$T/sums" ] && sha256sum --quiet -c "$T/sums"
    ok $? "hashes_of_$library"
    find "build/vendor/$library" -type f ! -name .stamp | sed 's|^build/vendor/||' | sort > "$T/present"
    awk -v n="$library/" 'index($2, n) == 1 { print $2 }' vendor/files.sha256 | sort | cmp -s - "$T/present"
    ok $? "nothing_else_of_$library"
done

# A file whose bytes differ from the lock must stop the fetch with a sentence, and leave nothing behind.
mkdir -p "$T/cache"
archive=$(sh vendor/fetch.sh archive cjson 2>/dev/null)
cp "$archive" "$T/cache/" && printf x >> "$T/cache/$(basename "$archive")"
MLXK_VENDOR_CACHE=$T/cache sh vendor/fetch.sh archive cjson > "$T/log" 2>&1
[ $? = 1 ] && grep -q 'has sha256 .* but vendor/lock says' "$T/log"
ok $? damaged_archive_is_refused
MLXK_VENDOR_CACHE=$T/none MLXK_VENDOR_WAYS=upstream PATH=/usr/bin:/bin sh vendor/fetch.sh archive certifi > "$T/log" 2>&1
[ $? = 1 ] && grep -q "could not get 'certifi'" "$T/log"
ok $? missing_way_is_told

flags=$(cat build/flags)
cat > "$T/unit.c" <<'UNIT'
#include "platform/platform.h"
int region_begin;
#include "vendor/cjson_unit.c"
#include "vendor/zlib_unit.c"
#include "vendor/libsodium_unit.c"
#include "vendor/mbedtls_unit.c"
#include "vendor/linenoise_unit.c"
int region_end;
UNIT
sed '/region_begin/q' "$T/unit.c" > "$T/head.c"
# shellcheck disable=SC2086
macros() { "${CC:-gcc}" $flags -E "$1" "$2" 2>/dev/null; }
macros -dM "$T/head.c" > "$T/before"
macros -dM "$T/unit.c" > "$T/after"
macros -dD "$T/unit.c" > "$T/flow"
left() { awk -v begin=region_begin -v end=region_end -f src/tools/macros.awk "$T/before" "$T/after" "$1"; }
allowed='^left (MBEDTLS_|PSA_|Z_|ZLIB_|cJSON_|CJSON_|deflateInit2?$|inflateInit2?$|crypto_|sodium_|SODIUM_|__STDC_WANT_LIB_EXT1__$)'
left "$T/flow" > "$T/left"
grep -q '^left MBEDTLS_' "$T/left"
ok $? macros_are_followed
grep -Ev "$allowed" "$T/left" > "$T/foreign"
[ ! -s "$T/foreign" ] || { cat "$T/foreign"; false; }
ok $? no_foreign_macro_stays

# The check itself: a planted macro is seen.
sed 's/^int region_end;/#include "planted.c"\n&/' "$T/unit.c" > "$T/planted_unit.c"
mkdir -p "$T/build/vendor"
printf '#define PLANTED 1\n#undef EOF\n' > "$T/build/vendor/planted.c"
flags="$flags -I $T/build/vendor"
macros -dM "$T/planted_unit.c" > "$T/after"
macros -dD "$T/planted_unit.c" > "$T/flow"
left "$T/flow" > "$T/left"
grep -qx 'left PLANTED' "$T/left" && grep -qx 'lost EOF' "$T/left"
ok $? planted_macro_is_seen
