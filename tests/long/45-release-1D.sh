#!/bin/sh
# Releases in a throw-away repository (rows 1D): numbers, streams, candidates and their weeks, branches, backports,
# yanked rows, tags made again, signatures, and a run that was stopped.
. tests/tap.sh
. tests/release/scratch
scratch "$T/r"; cd "$T/r" || exit 1
. "$OLDPWD/tests/tap.sh"
head1() { git show "$1:VERSION" | head -n 1; }

# ---- numbers --------------------------------------------------------------------------------------
rel_work=$T
. src/tools/release/lib.sh
same D3/rc1_is_rc.1 2.0.0-rc.1 "$(rel_canonical v2.0.0rc1)"
same D3/order '1.9.0 1.10.0-dev 1.10.0-alpha.1 1.10.0-beta.2 1.10.0-rc.1 1.10.0-rc.10 1.10.0 2.0.0-rc.1' \
    "$(printf '%s\n' 2.0.0-rc.1 1.10.0 1.10.0-rc.10 1.10.0-beta.2 1.9.0 1.10.0-alpha.1 1.10.0-dev 1.10.0-rc.1 | rel_order | tr '\n' ' ' | sed 's/ $//')"
bad=0; for v in 01.0.0 1.0 1.0.0-rc 1.0.0-rc.0 1.0.0-dev.1 1.0.0+x v1.0.0 1.0.0-gamma.1; do ! rel_valid $v || bad=1; done
ok $bad D2/what_is_no_version

# ---- a dry run, a candidate, its week ----------------------------------------------------------------
before=$(git rev-parse HEAD)
run at 1 ./release.sh minor --dry-run
exits 3 D10/no_candidate_no_release; says D10/says_so out 'has 0 release candidates'
run at 1 ./release.sh rc --dry-run
exits 0 B4/dry_run
same B15/four_gates 4 "$(grep -c '^gate .* ok' "$T/out")"
same B5/dry_run_writes_nothing "$before:" "$(git rev-parse HEAD):$(git tag)"
run at 1 ./release.sh patch --dry-run
exits 3 D4/no_patch_from_main; says D4/no_patch_says_why out 'a patch comes from a branch release-X.Y.x'
run at 1 ./release.sh rc
exits 0 D3/candidate
same D3/candidate_tag "tag 0.1.0-rc.1" "$(git cat-file -t v0.1.0-rc.1) $(head1 v0.1.0-rc.1)"
same D22/dev_again 0.1.0-dev "$(head1 main)"
run at 4 ./release.sh minor
exits 3 D10/three_days_are_no_week; says D10/age_and_rule out 'is 3 days old; a minor release waits 7 days'
printf 'by: Test Er\nreason: short\n' > "$T/waiver"
run at 4 ./release.sh minor --waive "$T/waiver" --dry-run; exits 2 D10/waiver_needs_a_reason
printf 'by: Nobody Known\nreason: because it is needed today by everyone\n' > "$T/waiver"
run at 4 ./release.sh minor --waive "$T/waiver" --dry-run; exits 3 D10/waiver_needs_an_owner
printf 'by: Test Er\nreason: the first release of all, nobody waits for it\n' > "$T/waiver"
run at 4 ./release.sh minor --waive "$T/waiver" --dry-run; exits 0 D10/waiver; says D10/waiver_is_told out 'waived: the newest candidate'
echo 'open work	started' >> docs/milestones/0.1.0.tsv; git commit -qam "A milestone that is not done"
run at 9 ./release.sh minor; exits 3 D6/open_work; says D6/open_work_named out '"open work" is started'
sed -i 's/started/moved\t0.2.0\t/' docs/milestones/0.1.0.tsv; git commit -qam "Moved without a reason"
run at 9 ./release.sh minor; exits 3 D6/moved_without_reason
sed -i 's/\t$/\tneeds the server/' docs/milestones/0.1.0.tsv; git commit -qam "Moved"
MLXK_RELEASE_OWNER=Somebody run at 9 ./release.sh minor; exits 3 D8/owner_must_be_known

# ---- a minor release -------------------------------------------------------------------------------------
run at 9 ./release.sh minor
exits 0 D14/minor
same D14/branch_opened '0.1.1-dev 0.2.0-dev' "$(head1 release-0.1.x) $(head1 main)"
same D22/two_commits_and_nothing_left 'Open 0.2.0-dev; v0.1.0 in the witness|mlxk 0.1.0||0' \
    "$(git log -2 --format=%s | tr '\n' '|')$(git status --porcelain)|$([ -e .git/mlxk-release ]; echo $((1 - $?)))"
same D13/one_version_file 'VERSION' "$(git diff --name-only v0.1.0-rc.1 v0.1.0 | grep -v -e '^docs/' -e '^CHANGELOG')"
(cd build/dist/v0.1.0 && sha256sum -c --quiet SHA256SUMS); ok $? B10/sums_hold
same B10/witness_has_the_hashes "$(sha256sum < build/dist/v0.1.0/mlxk-x86_64-linux | cut -d' ' -f1)" \
    "$(sed -n 's/^release	v0\.1\.0	.*mlxk-x86_64-linux=\([0-9a-f]*\).*/\1/p' docs/releases.tsv)"
sh src/tools/release/notes_lint.sh docs/releases/v0.1.0.md; ok $? B11/notes_have_every_head
sed 's/^None\.$//' docs/releases/v0.1.0.md > "$T/notes"; run sh src/tools/release/notes_lint.sh "$T/notes"; exits 3 B11/empty_head_is_seen
git cat-file tag v0.1.0 | grep -q '^Release-Owner: Test Er$'; ok $? D8/owner_in_the_tag
awk '/^## 0\.1\.0$/ { found = NR } END { exit !found }' CHANGELOG.md; ok $? B8/changelog_has_its_head
run ./release.sh lint; exits 0 B2/lint
run at 9 ./release.sh v0.1.0; exits 3 B1/a_tag_never_moves
same D16/support 'current' "$(awk -F '\t' '$1 == "0.1" { print $2 }' docs/SUPPORT.tsv)"

# ---- the bundle, verified as a stranger would ---------------------------------------------------------------
run ./release.sh verify-release build/dist/v0.1.0; exits 3 B10/unsigned_is_said
run ./release.sh verify-release build/dist/v0.1.0 --unsigned; exits 0 B10/verified; says B10/verified_says out '^v0\.1\.0: [0-9]+ files, unsigned'
# tampered NAME STATUS PATTERN COMMAND...: a copy of the bundle after the command.
tampered() {
    name=$1 want=$2 pattern=$3; shift 3
    rm -rf "$T/b"; cp -a build/dist/v0.1.0 "$T/b"
    (cd "$T/b" && "$@")
    run ./release.sh verify-release "$T/b" --unsigned
    exits "$want" "B10/$name"; says "B10/${name}_says" err "$pattern"
}
sums() { find . -type f ! -name 'SHA256SUMS*' | sed 's|^\./||' | sort | xargs sha256sum > SHA256SUMS; }
another() { echo x >> mlxk-x86_64-linux; sums; }
without() { echo a program > mlxk-x86_64-linux; sums; }
tampered changed 1 'mlxk-x86_64-linux: FAILED' sh -c 'echo x >> mlxk-x86_64-linux'
tampered missing 1 'mlxk-aarch64-linux is missing' rm mlxk-aarch64-linux
tampered more 1 'extra is not listed' touch extra
tampered twice 1 'names twice' sh -c 'head -n 1 SHA256SUMS >> SHA256SUMS'
tampered other_lines 1 'none of its form' sh -c 'echo hello >> SHA256SUMS'
tampered other_sums 4 'the witness has other hashes: mlxk-x86_64-linux' another
tampered other_commit 4 'other hashes' without
tampered other_release 4 'knows no release' sh -c 'sed -i "1s/.*/# mlxk 9.9.9/" RELEASE_NOTES.md; sha256sum RELEASE_NOTES.md mlxk-* UNSIGNED > SHA256SUMS'

# ---- backports and a patch --------------------------------------------------------------------------------
edit src/cli/a.c 'int fixed;' "A fix"; fix=$(git rev-parse HEAD)
printf '# Changes\n\n## Unreleased\n\n### Fixed\n- It.\n' > CHANGELOG.md; git commit -qam "Notes"
run at 10 ./release.sh backport "$fix"
exits 0 D4/backport; says D4/backport_told out '^release-0\.1\.x: applied'
git log -1 --format=%B release-0.1.x | grep -q "cherry picked from commit $fix"; ok $? D4/cherry_picked_x
run ./release.sh backport "$fix"; exits 0 D4/again; says D4/again_told out 'is there already'
edit src/serve/new.c one "New file"; git rm -q src/serve/b.c; git commit -qm "Gone"; edit src/serve/new.c two "On top of it"
was=$(git rev-parse release-0.1.x)
run ./release.sh backport HEAD
exits 1 D4/conflict; says D4/conflict_names_commit_and_file out 'CONFLICT .*On top of it'; says D4/conflict_file out 'src/serve/new\.c'
same D4/conflict_leaves_the_branch "$was:" "$(git rev-parse release-0.1.x):$(git status --porcelain)"
git switch -q release-0.1.x
printf '# Changes\n\n## Unreleased\n\n### Fixed\n- It.\n' > CHANGELOG.md; git commit -qam "Notes"
run at 11 ./release.sh minor --dry-run; exits 3 D4/no_minor_from_a_release_branch
run at 11 ./release.sh patch
exits 0 D13/patch
same D13/patch_numbers '0.1.1 0.1.2-dev 0.2.0-dev' "$(head1 v0.1.1) $(head1 release-0.1.x) $(head1 main)"
git show main:docs/releases.tsv | grep -q '^release	v0\.1\.1	'; ok $? D24/main_knows_the_patch
git switch -q main
run ./release.sh lint; exits 0 D24/lint_over_both_branches
git clone -q . "$T/lost" 2> /dev/null && cd "$T/lost" && git config user.name "Test Er" && git config user.email t@example.org
run ./release.sh reopen 0.1; exits 3 D4/reopen_not_what_origin_has
git remote remove origin
run ./release.sh backport "$fix"; exits 1 D4/backport_without_a_branch; says D4/backport_says_what_to_do out 'release\.sh reopen 0\.1 '
run ./release.sh reopen 0.7; exits 2 D4/reopen_no_such_line
run at 12 ./release.sh reopen 0.1; exits 0 D4/reopened
same D4/reopened_at "$(git rev-parse 'v0.1.1^{commit}') 0.1.2-dev" "$(git rev-parse release-0.1.x^) $(head1 release-0.1.x)"
run ./release.sh reopen 0.1; exits 3 D4/reopened_once; run ./release.sh lint; exits 0 D4/lint_after_it
run ./release.sh backport --help; exits 2 D4/no_commit; same D4/no_commit_and_nothing_else '' "$(cat "$T/out")"
cd "$T/r" || exit 1

# ---- signed, yanked, made again -----------------------------------------------------------------------------
ssh-keygen -q -t ed25519 -N '' -C '' -f "$T/key"
mkdir -p docs/keys; echo "t@example.org namespaces=\"git,file\" $(cut -d' ' -f1,2 "$T/key.pub")" > docs/keys/allowed_signers
git add -A; git commit -qm "A key"
MLXK_SIGNING_KEY=$T/key run at 12 ./release.sh rc
exits 0 B2/signed
git -c gpg.format=ssh -c gpg.ssh.allowedSignersFile=docs/keys/allowed_signers verify-tag v0.2.0-rc.1 2>/dev/null; ok $? B2/signature_verifies
run ./release.sh verify-release build/dist/v0.2.0-rc.1; exits 0 B10/signed_bundle; says B10/signer_is_told out 'signed by t@example.org'
ssh-keygen -q -t ed25519 -N '' -C '' -f "$T/wrong"; echo "w $(cut -d' ' -f1,2 "$T/wrong.pub")" > "$T/wrong.signers"
run ./release.sh verify-release build/dist/v0.2.0-rc.1 --key "$T/wrong.signers"; exits 2 B10/wrong_key
ssh-keygen -Y verify -f docs/keys/allowed_signers -I t@example.org -n file -s build/dist/v0.2.0-rc.1/SHA256SUMS.sshsig \
    < build/dist/v0.2.0-rc.1/SHA256SUMS >/dev/null 2>&1; ok $? B2/bundle_signature_verifies
run at 13 ./release.sh yank v0.1.0 "loses the last line of a file"
exits 0 B7/yank
run ./release.sh lint; exits 0 B7/lint_after_yank
run at 13 ./release.sh yank v0.1.0 "loses the last line of a file"; exits 4 B7/only_once
git clone -q --no-tags . "$T/clone" 2>/dev/null
cd "$T/clone" || exit 1
run ./release.sh lint; exits 4 B1/clone_without_tags_is_seen
run ./release.sh retag; exits 0 B1/retag
same B1/the_same_objects "$(git -C "$T/r" for-each-ref --format='%(refname) %(objectname)' refs/tags)" "$(git for-each-ref --format='%(refname) %(objectname)' refs/tags)"
run ./release.sh lint; exits 0 B1/lint_after_retag
git tag -d v0.1.1 > /dev/null; git -c user.name=x -c user.email=x@y tag -a v0.1.1 HEAD -m x
run ./release.sh retag; exits 4 B1/a_moved_tag_is_not_overwritten
cd "$T/r" || exit 1

# ---- built again, compared, nightly --------------------------------------------------------------------------
run ./release.sh rebuild v0.1.1; exits 0 B13/rebuilt; says B13/as_the_witness_says out '^v0\.1\.1 built again: ([0-9]+) of \1 files equal'
run ./release.sh rebuild; exits 0 B13/the_newest; run ./release.sh rebuild v9.9.9; exits 4 B13/no_such_release
git clone -q --no-tags . "$T/elsewhere" 2> /dev/null
(cd "$T/elsewhere" && run ./release.sh rebuild v0.1.0; exits 0 B13/rebuilt_in_another_clone)
cp -a "$T/r" "$T/liar"; (cd "$T/liar" && sed -i 's/mlxk-x86_64-linux=..../mlxk-x86_64-linux=0000/' docs/releases.tsv && git commit -qam "A witness that lies" &&
    git branch -D -q release-0.1.x && run ./release.sh rebuild v0.1.1; exits 4 B13/other_bytes_are_seen; says B13/and_named out 'mlxk-x86_64-linux differs')
run ./release.sh compare v0.1.0 v0.1.1; exits 0 B6/compared
says B6/commits_and_files out '^v0\.1\.0\.\.v0\.1\.1: [1-9][0-9]* commits, [1-9][0-9]* files'; says B6/whose_files out '^  client  1 files'
says B6/version_lines out '^  VERSION > 0\.1\.1'; says B6/notes out '^  - It\.'
run ./release.sh compare v0.1.0 v7.7.7; exits 4 B6/unknown
before=$(git for-each-ref)
run at 13 ./release.sh nightly 20270201; exits 0 D19/nightly
sums=$(cat build/dist/nightly/0.2.0.dev20270201/SHA256SUMS)
run at 40 ./release.sh nightly 20270201; exits 0 D19/again; same D19/same_day_same_bytes "$sums" "$(cat build/dist/nightly/0.2.0.dev20270201/SHA256SUMS)"
grep -q UNSIGNED build/dist/nightly/0.2.0.dev20270201/SHA256SUMS; ok $? D19/unsigned
same D19/no_ref_and_no_row "$before:" "$(git for-each-ref):$(git status --porcelain)"
MLXK_SIGNING_KEY=VERSION run ./release.sh nightly 20270201; exits 3 D19/never_signed
run ./release.sh nightly 20261301; exits 2 D19/no_such_day; run ./release.sh nightly 20200101; exits 3 D19/before_its_commit
git switch -q --detach v0.1.1; run ./release.sh nightly; exits 4 D19/a_release_is_none; git switch -q main

# ---- published, or not -----------------------------------------------------------------------------------------
git init -q --bare "$T/origin"; git remote add origin "$T/origin"
same B5/nothing_was_pushed '' "$(git -C "$T/origin" for-each-ref)"
run at 14 ./release.sh --dry-run v0.2.0-beta.1-local; exits 3 A7/local_is_never_published
run at 14 ./release.sh beta --local --push; exits 3 A7/local_is_never_pushed
run at 14 ./release.sh rc --push
exits 0 B5/push
same B5/what_arrived "$(git rev-parse main) $(git rev-parse v0.2.0-rc.2)" "$(git -C "$T/origin" rev-parse main) $(git -C "$T/origin" rev-parse v0.2.0-rc.2)"
run at 15 ./release.sh --dry-run v1.0.0
exits 3 A22/stable_needs_its_time; says A22/age_and_rule out 'a stable major waits 180 days'; says D11/two_candidates out 'a major release needs 2'
run at 16 ./release.sh rc --for major; exits 0 D11/candidate_of_a_major
same D11/opens_the_major '1.0.0-rc.1 1.0.0-dev' "$(head1 v1.0.0-rc.1) $(head1 main)"
run at 16 ./release.sh beta; exits 3 A7/no_beta_after_a_candidate

# ---- the tree, the build --------------------------------------------------------------------------------------------
touch stray; run at 17 ./release.sh rc; exits 4 D18/tree_must_be_clean; rm stray
sed -i 's/^mkdir/echo >> ..\/..\/CHANGELOG.md; mkdir/; s/^v=/echo >> ..\/..\/VERSION; v=/' build.sh; git commit -qam "A build that edits the tree"
before=$(git for-each-ref)
run at 17 ./release.sh rc; exits 4 D18/a_build_that_edits_is_refused
same D18/and_leaves_nothing "$before:" "$(git for-each-ref):$(git status --porcelain)"
git revert --no-edit HEAD > /dev/null 2>&1
printf '#!/bin/sh\nexit 1\n' > build.sh; git commit -qam "A build that fails"
before=$(git for-each-ref)
run at 17 ./release.sh rc; exits 1 D20/a_build_that_fails; same D20/leaves_nothing "$before:" "$(git for-each-ref):$(git status --porcelain)"
echo 'echo "missing: everything"; exit 3' > docs/gates/rc.sh; git commit -qam "A gate that refuses"
run at 17 ./release.sh rc; exits 3 B15/a_gate_that_refuses; says B15/gate_is_named out '^gate tests refused'
