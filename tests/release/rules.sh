#!/bin/sh
# The rules of releases on this tree, and one release in a throw-away repository. All of them, each broken once, are in
# tests/long/45-release-1D.sh, 46-release-killed.sh and 47-release-rules.sh; `sh tests/release/all.sh` runs everything.
. tests/tap.sh
. tests/release/scratch
root=$PWD
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0="$root"
run sh src/tools/release/docs_check.sh; exits 0 rules/pages_say_what_the_tree_says
run sh src/tools/release/notes_lint.sh docs/releases/TEMPLATE.md; exits 0 rules/template_has_every_head
if git rev-parse --git-dir > /dev/null 2>&1; then
    # A clone need not have the tags. In a copy that has them all, made from the witness, every rule holds; a moved one fails here.
    mkdir "$T/tags" && cp -R "$(git rev-parse --git-common-dir)" "$T/tags/.git"
    head=$(git rev-parse HEAD); cd "$T/tags" && git checkout -q -f --detach "$head"
    run ./release.sh retag; exits 0 rules/tags_from_the_witness
    run ./release.sh lint; exits 0 rules/tags_and_witness_agree
    cd "$root" || exit 1
    run sh src/tools/release/api_check.sh; exits 0 rules/documents_break_nothing_unsaid
fi
awk -F '\t' '/^#/ { next } NF != 5 || $4 == "" || $5 == "" || seen[$1 $2]++ { print; bad = 1 } END { exit bad }' docs/gates.tsv
ok $? rules/gates_have_whole_rows
grep -v '^#' docs/gates.tsv | awk -F '\t' '$3 == "test" { print $4 }' | while read -r script; do [ -f "$script" ] || echo "$script"; done > "$T/none"
[ ! -s "$T/none" ]; ok $? rules/gates_name_tests_that_exist
# Every room belongs to one part.
for room in src/*/; do grep -q "^$room	" src/tools/release/components.tsv || echo "$room"; done > "$T/none"
grep -vxE 'src/(base|cache|format|json|net|platform|version)/' "$T/none" > "$T/rooms"
[ ! -s "$T/rooms" ]; ok $? rules/rooms_have_a_part; sed 's/^/# /' "$T/rooms"

scratch "$T/r"; cd "$T/r" || exit 1
run at 1 ./release.sh minor --dry-run; exits 3 rules/no_release_without_a_candidate
run at 1 ./release.sh rc; exits 0 rules/candidate
run at 9 ./release.sh minor; exits 0 rules/release
run sh src/tools/release/docs_check.sh; exits 0 rules/the_tree_after_it_is_right
same rules/branches '0.1.1-dev 0.2.0-dev' "$(git show release-0.1.x:VERSION | head -n 1) $(head -n 1 VERSION)"
same rules/nothing_is_left '' "$(git status --porcelain; ls .git/mlxk-release 2>/dev/null)"
run ./release.sh lint; exits 0 rules/lint
git tag -f -a v0.1.0 HEAD -m x -m y > /dev/null 2>&1
run ./release.sh lint; exits 4 rules/a_moved_tag_is_seen
