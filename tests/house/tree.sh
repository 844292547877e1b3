#!/bin/sh
# The tree: mlxk.c names every file of src/ once, the top level holds the agreed names only, documents link
# to what exists, build.sh explains every verb, and nobody's workplace is mentioned.
ok() { if [ "$1" = 0 ]; then echo "ok tree/$2"; else echo "not ok tree/$2"; fi; }

sed -n 's/^#include "\(src\/[^"]*\.c\)".*/\1/p' mlxk.c | sort > "$T/named"
find src -name '*.c' | sort > "$T/there"
diff "$T/named" "$T/there" > "$T/log"
ok $? every_source_is_in_the_table_of_contents
sed 's/^/# /' "$T/log"

sed -n 's/^#include "src.*\/\* \(.*\) \*\/$/\1/p' mlxk.c | awk 'NF > 8 { print; bad = 1 } END { exit bad }'
ok $? glosses_have_at_most_eight_words
[ "$(grep -c '^#include "src/' mlxk.c)" = "$(($(grep -c '^#include "src/.*/\* .* \*/$' mlxk.c) + 1))" ]
ok $? every_line_has_a_gloss

# Rooms appear in the order of their levels.
sed -n 's/^#include "src\/\([a-z]*\)\/.*/\1/p' mlxk.c | uniq > "$T/rooms"
awk 'FNR == NR { if ($0 !~ /^#/ && NF > 1) level[$1] = $2; next } { if (seen[$1]++ && $1 != "cli") bad = 1; if (level[$1] < last) bad = 1; last = level[$1] } END { exit bad }' \
    src/tools/layers.txt "$T/rooms"
ok $? rooms_stand_in_level_order

find . -mindepth 1 -maxdepth 1 | sed 's|^\./||' | sort > "$T/top"
grep -Evx '\.git|\.ci|\.gitignore|CHANGELOG\.md|LICENSE|Makefile|README\.md|VERSION|build|build\.sh|docs|mlxk\.c|src|tests|vendor|install\.sh|release(-client|-engine)?\.sh' "$T/top"
[ $? = 1 ]
ok $? top_level_is_the_agreed_set

find . -path ./build -prune -o -path ./.git -prune -o -name '*.md' -print | while read -r page; do
    grep -o '](\([^)#: ]*\)[)#]' "$page" | sed 's/^](//; s/[)#]$//' | grep . | while read -r link; do
        [ -e "$(dirname "$page")/$link" ] || echo "$page: $link"
    done
done > "$T/dead"
[ ! -s "$T/dead" ] || { sed 's/^/# dead link /' "$T/dead"; false; }
ok $? no_dead_links

head -n 1 VERSION | grep -Eqx '[0-9]+\.[0-9]+\.[0-9]+(-dev|-[a-z]+\.[0-9]+(-local)?)?'
ok $? version_line

./build.sh help > "$T/help"
missing=$(sed -n 's/^VERBS = //p' Makefile | tr ' ' '\n' | grep -vx help | while read -r verb; do grep -qw -- "$verb" "$T/help" || echo "$verb"; done)
[ -z "$missing" ] || { echo "# not in help: $missing"; false; }
ok $? help_names_every_verb

git -c safe.directory="$(pwd)" ls-files 2>/dev/null | grep -Ev '^(tests/house/tree\.sh|LICENSE)$' | tr '\n' '\0' |
    xargs -0 grep -lE '(^|[^a-z.])/work/|/tmp/mlxk/|deb\.debian\.org|pypi\.org|files\.pythonhosted|registry\.npmjs|crates\.io' > "$T/words" 2>/dev/null
[ ! -s "$T/words" ] || { sed 's/^/# /' "$T/words"; false; }
ok $? no_place_of_the_authors

# Promised: 3 MB. Only the stripped one counts; builds for looking into are larger.
if "$MLXK" version --build --json | grep -q '"flags": *"[^"]* -s '; then
    [ "$(wc -c < "$MLXK")" -le 3000000 ]
    ok $? binary_is_at_most_3_megabytes
fi
