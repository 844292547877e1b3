#!/bin/sh
# Of one tag GIT-DIRTY-CLIENT there is one content, also where git itself does not look: submodules, repositories inside, files that the
# index is told to pass over, ignored files. And git runs no program that the tree names.
. tests/tap.sh
export HF_HOME="$T/hf" GIT_CONFIG_GLOBAL="$T/gitconfig" GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git config --file "$T/gitconfig" protocol.file.allow always; git config --file "$T/gitconfig" init.defaultBranch main
g=$T/g
# state: "DIRTY DIGEST" of the folder as it is.
state() { "$MLXK" store "$g" "oci:$T/none" --dry-run --json | python3 -c "import json,sys; d = json.load(sys.stdin)['data']; print(d['origin']['dirty'], d['digest'])"; }
# apart NAME: content and tag differ from the clean one's; together NAME: both are the clean one's again.
clean=
apart() { now=$(state); [ "${now% *}" != clean ] && [ "${now#* }" != "${clean#* }" ]; ok $? "$1"; }
together() { same "$1" "$clean" "$(state)"; }

tiny "$g"; echo 1 > "$g/a.py"; git init -q "$g"
git init -q "$T/inner"; (cd "$T/inner" && echo i > i.py && git add -A && git commit -qm i)
git init -q "$T/sub"; (cd "$T/sub" && echo s > s.py && git add -A && git commit -qm s && git submodule -q add "$T/inner" deep && git commit -qm d)
cd "$g" && git submodule -q add "$T/sub" sub && git submodule -q update --init --recursive && git add -A && git commit -qm g && cd - > /dev/null || exit 1
clean=$(state)
same one_tag/clean clean "${clean% *}"

echo more >> "$g/sub/s.py"; apart one_tag/submodule_changed; one=$(state)
echo less >> "$g/sub/s.py"; [ "$(state)" != "$one" ] && [ "${one% *}" != "$(state | cut -d' ' -f1)" ]; ok $? one_tag/each_change_its_tag
git -C "$g/sub" checkout -q s.py; together one_tag/submodule_restored
echo x > "$g/sub/deep/x.py"; apart one_tag/submodule_in_a_submodule; rm "$g/sub/deep/x.py"; together one_tag/restored_within
(cd "$g/sub" && echo t > t.py && git add -A && git commit -qm t); apart one_tag/submodule_at_another_commit; git -C "$g" submodule -q update; together one_tag/submodule_back
git -C "$g" submodule -q deinit -f sub > /dev/null; apart one_tag/submodule_not_checked_out; git -C "$g" submodule -q update --init --recursive; together one_tag/submodule_checked_out
mkdir "$g/own"; git init -q "$g/own"; echo o > "$g/own/o.py"; apart one_tag/repository_inside; one=$(state); echo p > "$g/own/o.py"; [ "${one% *}" != "$(state | cut -d' ' -f1)" ]; ok $? one_tag/repository_inside_changed; rm -rf "$g/own"; together one_tag/repository_gone

git -C "$g" update-index --assume-unchanged a.py; together one_tag/assumed_and_unchanged
echo 2 > "$g/a.py"; apart one_tag/assumed_but_changed; echo 1 > "$g/a.py"; together one_tag/assumed_restored
git -C "$g" update-index --no-assume-unchanged a.py; git -C "$g" update-index --skip-worktree a.py
rm "$g/a.py"; apart one_tag/skipped_and_gone; echo 3 > "$g/a.py"; apart one_tag/skipped_and_changed; echo 1 > "$g/a.py"; together one_tag/skipped_restored
git -C "$g" update-index --no-skip-worktree a.py

echo '*.log' > "$g/.git/info/exclude"; echo x > "$g/run.log"; apart one_tag/ignored_by_git_but_part_of_it; rm "$g/run.log"; together one_tag/ignored_gone
echo x > "$g/x.lock"; together one_tag/no_part_of_a_model; rm "$g/x.lock"

# A link inside the folder is what it leads to (one that leads out is refused: 99-links-out.sh).
(cd "$g" && ln -s a.py in.py && git add -A && git commit -qm links); clean=$(state); same one_tag/link_inside_is_clean clean "${clean% *}"

# Programs that a tree names.
printf '#!/bin/sh\ntouch "%s/ran"\n' "$T" > "$T/trap"; chmod +x "$T/trap"
for hook in reference-transaction post-index-change pre-commit; do cp "$T/trap" "$g/.git/hooks/$hook"; done
git -C "$g" config core.fsmonitor "$T/trap"; git -C "$g" config diff.external "$T/trap"; git -C "$g" config core.pager "$T/trap"; git -C "$g" config color.ui always
state > /dev/null; run "$MLXK" release "$g" "oci:$T/layout" --git-tag --json; json programs/released "x['git_tag'] == 'mdl-layout-v0.1.0'"
[ ! -e "$T/ran" ]; ok $? programs/none_ran

# git refuses the tag: nothing is published.
git -C "$g" config tag.gpgSign true; git -C "$g" config gpg.program false; echo 5 > "$g/a.py"; git -C "$g" -c core.fsmonitor=false -c core.hooksPath=/dev/null commit -qam five
run "$MLXK" release "$g" "oci:$T/layout" --git-tag; exits 1 refused/by_git; says refused/in_its_words err 'gpg failed'
run "$MLXK" releases "oci:$T/layout" --json; json refused/nothing_is_published "[v['version'] for v in x['versions']] == ['v0.1.0']"
git -C "$g" config tag.gpgSign false; run "$MLXK" release "$g" "oci:$T/layout" --git-tag --json; json refused/then_the_same_number "x['version'] == 'v0.2.0'"
run "$MLXK" release "$g" "oci:$T/layout" --name ''; exits 2 refused/an_empty_name
run "$MLXK" releases "oci:$T/layout" --name ''; exits 2 refused/an_empty_name_of_a_list

# A script's unset variable is refused, wherever something else would be done than was meant.
t="$T/none-at-all"
for words in "clean-versions oci:$T/layout --yes --older-than" "clean-versions oci:$T/layout --yes --branch" "release $g oci:$T/layout --version" \
    "release $g oci:$T/layout --branch" "install oci:$T/layout:client-v0 --target $t --frozen" "install oci:$T/layout:client-v0 --target" \
    "pull oci:$T/layout:v0 --frozen" "store $g oci:$T/layout --branch-name" "from oci:$T/layout v0 --name" "from oci:$T/layout"; do
    # shellcheck disable=SC2086
    run "$MLXK" $words ''; exits 2 "unset/$(echo "$words" | sed "s,[^ ]*${T}[^ ]* *,,g; s/ /_/g")"
done
[ ! -e "$t" ]; ok $? unset/nothing_was_done
