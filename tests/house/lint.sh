#!/bin/sh
# The house's own linter: the tree is clean, and each kind of offence is found when it is planted.
ok() { if [ "$1" = 0 ]; then echo "ok lint/$2"; else echo "not ok lint/$2"; fi; }

awk -f src/tools/lint.awk src/tools/layers.txt src/*/*.c src/*/*.h > "$T/log" 2>&1
ok $? tree_is_clean
grep -v ' offences, ' "$T/log" | head -n 20 | sed 's/^/# /'

mkdir -p "$T/src/json"
# plant NAME RULE TEXT: a file of room json with TEXT in it must be refused by RULE.
plant() {
    printf '/* bad.c: planted */\n#include "json/json.h"\n%b\n' "$3" > "$T/src/json/bad.c"
    (cd "$T" && awk -f "$OLDPWD/src/tools/lint.awk" "$OLDPWD/src/tools/layers.txt" src/json/bad.c) > "$T/log" 2>/dev/null
    [ $? = 1 ] && grep -q ": $2: " "$T/log"
    ok $? "finds_$1"
}
plant upward_include layers '#include "cli/cli.h"'
plant private_header layers '#include "base/base_int.h"'
plant vendor_header vendor '#include <zlib.h>'
plant system_header system '#include <sys/socket.h>'
plant os_condition condition '#ifdef __linux__\n#endif'
plant cpu_condition condition '#if defined(__AVX2__)\n#endif'
plant bare_function prefix 'static int next(void) { return 1; }'
plant bare_type prefix 'struct stray { int x; };'
plant bare_object prefix 'static int counter;'
plant one_letter_macro macro '#define Q 1\n#undef Q'
plant leaking_macro macro '#define SOMETHING 1'
plant banned_call banned 'static void json_x(char *a) { strcpy(a, "b"); }'
plant malloc_elsewhere banned 'static void *json_x(void) { return malloc(3); }'
plant print_below_cli banned 'static void json_x(void) { printf("x"); }'
plant todo text '/* TODO: later */'
plant dead_code text '// json_x = 1;'
plant trailing_space text 'static int json_x; '
plant tab text '\tstatic int json_x;'
printf '#include "json/json.h"\n' > "$T/src/json/bad.c"
(cd "$T" && awk -f "$OLDPWD/src/tools/lint.awk" "$OLDPWD/src/tools/layers.txt" src/json/bad.c) 2>/dev/null | grep -q ': contract: '
ok $? finds_missing_header_comment
printf '/* bad.c: fine */\n#include "json/json.h"\n\nstatic int json_x(void) { return 1; }   /* TODO(#12) */\n' > "$T/src/json/bad.c"
(cd "$T" && awk -f "$OLDPWD/src/tools/lint.awk" "$OLDPWD/src/tools/layers.txt" src/json/bad.c) >/dev/null 2>&1
ok $? accepts_a_clean_file
