#!/bin/sh
# Documents say what the program does: the table of errors, the links, the commands and verbs that are named.
. tests/tap.sh
awk -f src/tools/errors.awk src/base/base.h | diff docs/ERRORS.md - > "$T/diff"
ok $? docs/errors_is_the_table
sed 's/^/# /' "$T/diff"
[ "$(grep -c '^| [A-Z_]* | [0-9]' docs/ERRORS.md)" = "$(awk '/define ERR_TABLE/ { on = 1 } on && /X\([A-Z_]+,/ { n++ } on && !/\\$/ { exit } END { print n }' src/base/base.h)" ]
ok $? docs/errors_has_every_code

for page in README.md docs/*.md docs/*/*.md tests/golden/README.md; do
    dead=$(grep -o '](\([^)#: ]*\)[)#]' "$page" | sed 's/^](//; s/[)#]$//' | while read -r link; do [ -e "$(dirname "$page")/$link" ] || echo "$link"; done)
    [ -z "$dead" ]; ok $? "docs/links_of_$page"
    [ -z "$dead" ] || echo "# $dead"
done

# Every `mlxk WORD` in the README is a command, every `make WORD` and `./build.sh WORD` in any page a verb.
"$MLXK" help --json < /dev/null | python3 -c 'import json, sys; print("\n".join(c["name"] for c in json.load(sys.stdin)["data"]["commands"]))' > "$T/commands"
grep -oE '(`|^\$ |\| )mlxk [a-z]+' README.md | sed 's/.*mlxk //' | sort -u > "$T/named"
unknown=$(grep -vxFf "$T/commands" "$T/named"); [ -s "$T/named" ] && [ -z "$unknown" ]; ok $? docs/readme_names_commands_that_exist
[ -z "$unknown" ] || echo "# $unknown"
while read -r command; do grep -qE "(mlxk |\`)$command" README.md; ok $? "docs/readme_tells_of_$command"; done < "$T/commands"
./build.sh help > "$T/verbs"
cat README.md docs/*.md docs/*/*.md | grep -oE '(`|^    )(make|\./build\.sh) [a-z0-9-]+' | awk '{ print $2 }' | grep -vx help | sort -u > "$T/named"
while read -r verb; do grep -qwE -- "$verb" "$T/verbs" || echo "$verb"; done < "$T/named" > "$T/unknown"
[ -s "$T/named" ] && [ ! -s "$T/unknown" ]; ok $? docs/verbs_exist
sed 's/^/# /' "$T/unknown"
# Every source file that a page names is there.
# shellcheck disable=SC2016
cat README.md docs/*.md docs/*/*.md | grep -oE '`(src/)?[a-z]+/[a-z_0-9]+\.[ch]`' | tr -d '`' | sed 's,^src/,,' | sort -u > "$T/named"
while read -r file; do [ -e "src/$file" ] || [ -e "$file" ] || echo "$file"; done < "$T/named" > "$T/unknown"
[ "$(wc -l < "$T/named")" -gt 25 ] && [ ! -s "$T/unknown" ]; ok $? docs/source_files_exist
sed 's/^/# /' "$T/unknown"
# The examples in help name options that exist.
while read -r command; do
    "$MLXK" help "$command" < /dev/null > "$T/help"
    sed -n '/^examples:/,$p' "$T/help" | grep -oE -- ' --[a-z-]+' | sort -u | while read -r option; do
        grep -q -- "^  .*$option" "$T/help" || echo "$option"
    done > "$T/unknown"
    [ ! -s "$T/unknown" ]; ok $? "docs/examples_of_$command"
done < "$T/commands"
