#!/bin/sh
# The rules of releases (rows 1A to 1C), each broken once: the tag lint, breaking changes of documents, releases of one
# half, and the gates.
# shellcheck disable=SC2016
. tests/tap.sh
. tests/release/scratch
root=$PWD
scratch "$T/base"; cd "$T/base" || exit 1
at 1 ./release.sh rc > /dev/null; at 9 ./release.sh minor > /dev/null; git tag note-of-mine > /dev/null
./release.sh lint > /dev/null; ok $? B2/whole_history_is_right

# broken NAME PATTERN COMMAND...: the lint sees what the command did to a copy.
broken() {
    name=$1 pattern=$2; shift 2
    rm -rf "$T/r"; cp -a "$T/base" "$T/r"; cd "$T/r" || exit 1
    "$@" > /dev/null 2>&1
    run ./release.sh lint
    if [ "$status" = 4 ] && grep -Eq "^not ok .*$pattern" "$T/out"; then echo "ok $name"; else echo "not ok $name"; told; fi
}
annotated() { git tag -a "$1" "$2" -m "$3" -m "$4"; }
moved() { git tag -f -a v0.1.0 HEAD -m x -m y; }
broken B2/lightweight 'v0\.0\.9: lightweight' git tag v0.0.9 HEAD~1
broken B2/no_body 'needs a summary' git tag -a v0.0.9 HEAD~1 -m short
broken B2/not_in_the_witness 'v0\.0\.9: no row' annotated v0.0.9 HEAD~1 a b
broken B1/moved 'v0\.1\.0: moved' moved
broken B7/deleted 'v0\.1\.0: in the witness, and no tag' git tag -d v0.1.0
broken B2/other_version_inside 'VERSION says 0\.1\.0 there' annotated v0.3.0 'v0.1.0^{commit}' a b
broken B2/two_on_a_commit 'on the same commit as' annotated v0.1.1 'v0.1.0^{commit}' a b
broken B2/no_v 'a version without its v' annotated 0.1.0 HEAD a b
broken B2/spelled_twice 'the same version as' annotated v0.1.0rc1 HEAD~1 a b
broken D8/no_owner "Release-Owner ''" annotated v0.0.9 HEAD~1 a b
old_tagger() { git tag -d v0.1.0; git cat-file tag "$(sed -n 's/^release	v0\.1\.0	\([0-9a-f]*\).*/\1/p' docs/releases.tsv)" | sed 's/> [0-9]* +0000/> 1000 +0000/' | git mktag > o; git update-ref refs/tags/v0.1.0 "$(cat o)"; }
broken B2/dated_before_its_commit 'dated before its commit' old_tagger
bare() { sed -i '1s/-dev//' VERSION; git commit -qam "A VERSION of its own"; }
broken D1/bare_version_without_release 'VERSION without -dev' bare
rewritten() { sed -i 's/unsigned/signed/' docs/releases.tsv; git commit -qam "Rewritten"; }
broken B1/rewritten_witness 'were changed or taken away' rewritten
shorter() { sed -i '2d' docs/releases.tsv; git commit -qam "Shorter"; }
broken B1/shorter_witness 'were changed or taken away' shorter
twice() { row=$(sed -n '$p' docs/releases.tsv | sed 's/[0-9a-f]\{4\}	/0000	/'); echo "$row" >> docs/releases.tsv; git commit -qam "Twice"; }
broken B1/two_rows_for_a_tag 'two rows tell different things' twice

# ---- documents ----------------------------------------------------------------------------------------
# api NAME STATUS PATTERN JSON [VERSION-EDIT]: the schema becomes JSON.
api() {
    rm -rf "$T/r"; cp -a "$T/base" "$T/r"; cd "$T/r" || exit 1
    echo "$4" > docs/schema/list.json; if [ -n "${5:-}" ]; then sed -i "$5" VERSION; fi
    git commit -qam "Another document"
    run sh src/tools/release/api_check.sh
    if [ "$status" = "$2" ] && grep -Eq "$3" "$T/out"; then echo "ok $1"; else echo "not ok $1"; echo "# status $status"; told; fi
}
old='"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]'
api A29/nothing_changed 0 'ok: none' "{ $old }" 's/^client.*/&/'
api A29/wording_is_nothing 0 'ok: none' "{\"title\": \"Words\", $old}"
api A29/addition_needs_a_number 3 'feature list\.json \$\.b: is new' '{"type": "object", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"]}'
api A29/addition_with_a_number 0 'ok: feature' '{"type": "object", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"]}' 's/^json-api.*/json-api 0.2.5/'
api A29/removal 3 'breaking list\.json \$\.a: is gone' '{"type": "object", "properties": {}, "required": []}'
api A29/removal_as_a_patch 3 'have a breaking change' '{"type": "object", "properties": {}}' 's/^json-api.*/json-api 0.2.5/'
api A29/removal_with_its_rank 0 'ok: breaking' '{"type": "object", "properties": {}}' 's/^json-api.*/json-api 0.3.0/'
api A29/may_be_absent 3 'breaking .*may now be absent' '{"type": "object", "properties": {"a": {"type": "string"}}}'
api A29/another_kind 3 'breaking .*may now be null' '{"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]}'
api A29/unknown_word_is_breaking 3 'breaking .*pattern is another' '{"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}, "required": ["a"]}'
gone() { git rm -q docs/schema/list.json; git commit -qm Gone; }
rm -rf "$T/r"; cp -a "$T/base" "$T/r"; cd "$T/r" || exit 1; gone; run sh src/tools/release/api_check.sh; exits 3 A29/a_document_that_is_gone
sed -i 's/^json-api.*/json-api 0.3.0/' VERSION; git commit -qam "Its number"
git switch -q release-0.1.x; git rm -q docs/schema/list.json; sed -i '1s/.*/0.1.1-dev/; s/^json-api.*/json-api 0.3.0/' VERSION
run sh src/tools/release/api_check.sh product 0.1.1; exits 3 A28/breaking_is_no_patch; says A28/says_so out 'cannot come out as 0\.1\.1'
cd "$T/base" && echo '{}' > docs/schema/list.json && git commit -qam "Looser"
run at 12 ./release.sh rc; exits 3 A29/release_is_refused; says A29/by_the_docs_gate out '^gate docs refused'
git reset -q --hard HEAD~1

# ---- one half -----------------------------------------------------------------------------------------
rm -rf "$T/r"; cp -a "$T/base" "$T/r"; cd "$T/r" || exit 1
note() { printf '# Changes\n\n## Unreleased\n\n### Fixed\n- It.\n' > CHANGELOG.md; git commit -qam "Notes"; }
edit src/cli/a.c 'int more;' "The client"
run at 12 ./release-client.sh patch --dry-run; exits 3 C3/no_release_without_notes; note
run at 12 ./release-client.sh patch --dry-run; exits 0 C3/client_dry_run
run at 12 ./release-client.sh patch; exits 0 C5/client_alone
same C4/client_tag 'tag 0.1.1 0.1.0' "$(git cat-file -t client-v0.1.1) $(git show client-v0.1.1:VERSION | sed -n 's/^client //p') $(git show client-v0.1.1:VERSION | sed -n 's/^engine //p')"
ls build/dist/client-v0.1.1/SHA256SUMS > /dev/null; ok $? C11/a_bundle_of_its_own
run ./release.sh lint; exits 0 C4/lint
edit src/serve/b.c 'int more;' "The engine"; edit src/cli/a.c 'int yet;' "The client"
run at 13 ./release-client.sh patch; exits 4 C5/engine_changes_are_not_carried; says C5/and_says_what_to_do err 'release-engine\.sh first'
run at 13 ./release-engine.sh patch; exits 4 C5/nor_the_other_way
git reset -q --hard HEAD~1
run at 13 ./release-engine.sh patch; exits 0 C5/engine_alone
edit src/cli/a.c 'int yet;' "The client"; run at 14 ./release-client.sh patch; exits 0 C5/then_the_client
run at 14 ./release-client.sh major; exits 3 C2/no_line_above_the_product
run ./release.sh lint; exits 0 C4/lint_of_three_families
run ./release.sh json minor; exits 0 A29/json_tag; same A29/json_line 'json-api 0.3.0' "$(git show json-v0.3.0:VERSION | grep json-api)"
run ./release.sh lint; exits 0 A29/lint_of_four_families

# ---- gates, in the real tree -------------------------------------------------------------------------------
cd "$root" || exit 1
run sh docs/gates/check.sh alpha; exits 0 A2/alpha_passes
mkdir "$T/gate"; cp -R docs "$T/gate/docs"; mkdir -p "$T/gate/src" "$T/gate/build"; cp -R src/model "$T/gate/src/"; cp -R tests "$T/gate/tests"
printf '#!/bin/sh\necho "  test  all"\n' > "$T/gate/build.sh"; chmod +x "$T/gate/build.sh"
# only LINE...: the rows that match, in the copy.
only() { { head -n 1 docs/gates.tsv; grep -E "$1" docs/gates.tsv; } > "$T/gate/docs/gates.tsv"; }
only '	(server|parity|reasoning_family|baseline|server_schema)	'
run sh "$T/gate/docs/gates/beta.sh"; exits 3 A6/beta_refuses
for row in server parity baseline server_schema; do says "A6/beta_names_$row" out "^missing beta/$row: "; done
only '	(list)	'; run sh "$T/gate/docs/gates/alpha.sh"; exits 0 A18/rows_are_data
printf 'alpha\tnone\tcommand\tfrobnicate\tit\n' >> "$T/gate/docs/gates.tsv"; run sh "$T/gate/docs/gates/alpha.sh"; exits 3 A18/missing_command
printf 'alpha\tnone\twish\tx\tit\n' >> "$T/gate/docs/gates.tsv"; run sh "$T/gate/docs/gates/alpha.sh"; says A18/unknown_kind out 'no kind of row'
only '	nothing	'; run sh "$T/gate/docs/gates/alpha.sh"; exits 3 A18/no_rows_is_no_pass
printf 'beta\tt\ttest\ttests/cli/none.sh\tit\n' >> "$T/gate/docs/gates.tsv"; run sh "$T/gate/docs/gates/beta.sh"; exits 3 A6/missing_test
echo 'echo "ok a"; echo "not ok b"' > "$T/gate/tests/cli/bad.sh"; printf 'beta\tt\ttest\ttests/cli/bad.sh\tit\n' > "$T/gate/docs/gates.tsv"
run sh "$T/gate/docs/gates/beta.sh"; exits 3 A6/failing_test; says A6/failing_test_named out 'not ok b'
# Each further kind of row, once so and once broken.
row() { printf 'beta\tt\t%s\t%s\tit\n' "$1" "$2" > "$T/gate/docs/gates.tsv"; run sh "$T/gate/docs/gates/beta.sh"; }
echo 'echo "ok a # SKIP not here"' > "$T/gate/tests/cli/bad.sh"; row test tests/cli/bad.sh; exits 3 A6/only_skips; says A6/only_skips_say_so out 'tested nothing'
echo 'exit 0' > "$T/gate/tests/cli/bad.sh"; row test tests/cli/bad.sh; exits 3 A6/silent_test
echo 'echo "ok a"; exit 7' > "$T/gate/tests/cli/bad.sh"; row test tests/cli/bad.sh; exits 3 A6/test_that_ends_badly
echo 'echo "ok a"; test -d "$T"' > "$T/gate/tests/cli/bad.sh"; row test tests/cli/bad.sh; exits 0 A6/passing_test
row file docs/VERSIONING.md; exits 0 A6/file; : > "$T/gate/docs/empty"; row file docs/empty; exits 3 A6/empty_file; row file docs/none; exits 3 A6/no_file
printf 'a\tb\tc\ttests/cli/bad.sh:test\n' > "$T/gate/docs/t.tsv"; row table docs/t.tsv; exits 0 A8/table
printf 'a\tb\tc\ttests/cli/bad.sh:nowhere\n' > "$T/gate/docs/t.tsv"; row table docs/t.tsv; exits 3 A8/test_that_is_not_there
printf 'a\tb\tc\t-\n' > "$T/gate/docs/t.tsv"; row table docs/t.tsv; exits 3 A8/open_cell; printf 'a\tb\tc\n' > "$T/gate/docs/t.tsv"; row table docs/t.tsv; exits 3 A8/short_row
printf 'speed\t0.98\n' > "$T/gate/docs/t.tsv"; row baseline docs/t.tsv; exits 0 A11/speed_as_before
printf 'speed\t1.01\n' > "$T/gate/docs/t.tsv"; row baseline docs/t.tsv; exits 3 A11/slower; row baseline docs/none.tsv; exits 3 A11/no_baseline
row verb test; exits 0 A10/verb; row verb client-nothing; exits 3 A10/no_such_verb
row family llama; exits 0 A6/family; row family no_such_family; exits 3 A6/no_such_family
row server 18232; exits 3 A6/no_server
# stub BODY: a build.sh that does just this.
stub() { printf '#!/bin/sh\n%s\n' "$1" > "$T/gate/build.sh"; chmod +x "$T/gate/build.sh"; }
stub 'echo "9 passed, 0 failed, 0 skipped"'; row suite -; exits 0 A20/suite; row lint -; exits 0 A20/lint
rm -rf "$T/gate/build/gates"; stub 'echo "9 passed, 1 failed, 0 skipped"; exit 1'; row suite -; exits 3 A20/a_failure_in_the_suite; row lint -; exits 3 A20/lint_that_complains
stub 'exit 0'; rm -rf "$T/gate/build/gates"; row suite -; exits 3 A20/a_suite_without_a_sum
# Labels: a command that says nowhere that it is experimental, and one that runs unasked.
labels() { # HELP-LINE EXIT
    printf '#!/bin/sh\ncase "$*" in "help --json") echo %s ;; help) echo "%s" ;; *) echo experimental; exit %s ;; esac\n' \
        "'{\"data\": {\"commands\": [{\"name\": \"dream\", \"experimental\": true}]}}'" "$1" "$2" > "$T/labelled"; chmod +x "$T/labelled"
    printf 'beta\tt\tlabels\t-\tit\n' > "$T/gate/docs/gates.tsv"; MLXK=$T/labelled run sh "$T/gate/docs/gates/beta.sh"
}
labels '  dream (experimental)' 1; exits 0 A4/labelled_and_refused
labels '  dream of something' 1; exits 3 A4/no_label; labels '  dream (experimental)' 0; exits 3 A4/runs_unasked
only '	image	|	embed	|	client_build	'; sed -i 's/^[a-z]*	\(embed\)	.*/rc	embed	command	no-such-command	it/; s/^[a-z]*	\(image\)	.*/stable	image	command	no-such-command	it/' "$T/gate/docs/gates.tsv"
run sh "$T/gate/docs/gates/rc.sh"; exits 3 A10/rc_refuses; says A10/rc_names_it out '^missing rc/embed'
run sh "$T/gate/docs/gates/stable.sh"; exits 3 A12/stable_refuses; says A12/stable_names_it out '^missing stable/image'; says A12/and_the_rows_before out '^missing rc/embed'

# ---- pages and notes ----------------------------------------------------------------------------------------
# page NAME PATTERN COMMAND: the docs gate after a change of a copy.
page() {
    name=$1 pattern=$2; shift 2
    rm -rf "$T/r"; cp -a "$T/base" "$T/r"; cd "$T/r" || exit 1
    printf '# Changes\n\n## Unreleased\n\n- A thing.\n' > CHANGELOG.md
    "$@"; run sh src/tools/release/docs_check.sh release; exits 3 "B15/$name"; says "B15/${name}_says" out "$pattern"
}
rm -rf "$T/r"; cp -a "$T/base" "$T/r"; cd "$T/r" || exit 1
printf '# Changes\n\n## Unreleased\n\n- A thing.\n' > CHANGELOG.md; run sh src/tools/release/docs_check.sh release; exits 0 B15/pages_are_right
page another_version_in_the_policy 'VERSIONING' sed -i '1s/.*/9.9.9-dev/' VERSION
page support_by_hand 'docs/SUPPORT\.md is not' sed -i 's/current/for ever/' docs/SUPPORT.md
page support_table_by_hand 'docs/SUPPORT\.tsv is not' sed -i 's/current/for ever/' docs/SUPPORT.tsv
page nothing_unreleased 'nothing under Unreleased' sed -i '/^- /d' CHANGELOG.md
page no_migration_page 'docs/MIGRATION\.md' rm docs/MIGRATION.md
cd "$root" || exit 1
sed 's/^# .*//' docs/releases/TEMPLATE.md > "$T/notes"; run sh src/tools/release/notes_lint.sh "$T/notes"; exits 3 B11/no_title
for head in 'What is new' Hard Checksums; do
    sed "s/^\(##*\) $head\$/\1 Another/" docs/releases/TEMPLATE.md > "$T/notes"; run sh src/tools/release/notes_lint.sh "$T/notes"; exits 3 "B11/no_head_$(echo "$head" | tr ' ' _)"
done
# The binary's size: one byte over is seen by the same line that the tree is judged with.
limit=$(sed -n 's/.*wc -c < "\$MLXK")" -le \([0-9]*\) \].*/\1/p' tests/house/tree.sh)
same A18/size_limit 3000000 "$limit"
printf '#!/bin/sh\n[ "$*" != "version --build --json" ] || echo "\"flags\": \"-g0 -s -x\""\n' > "$T/large"; chmod +x "$T/large"; head -c 3000001 /dev/zero >> "$T/large"
mkdir "$T/house"; env "T=$T/house" "MLXK=$T/large" sh tests/house/tree.sh 2> /dev/null | grep -q '^not ok .*binary_is_at_most_3_megabytes'; ok $? A18/a_large_binary_is_seen
