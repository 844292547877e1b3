#!/bin/sh
# `clean-versions`: states that were not released go, releases and what shares a digest with them stay.
. tests/tap.sh
export HF_HOME="$T/hf"
w=$T/w; r=oci:$T/ham
tiny "$w"
run "$MLXK" release "$w" "$r" --json; json clean/first "x['version'] == 'v0.1.0'"
echo 1 > "$w/a.py"; "$MLXK" store "$w" "$r" --branch --branch-name one > /dev/null
echo 2 > "$w/a.py"; "$MLXK" store "$w" "$r" --branch --branch-name two > /dev/null
echo 3 > "$w/a.py"; "$MLXK" store "$w" "$r" --branch-only --branch-name one > /dev/null; "$MLXK" store "$w" "$r" --branch-only --branch-name two > /dev/null
echo 4 > "$w/a.py"; "$MLXK" release "$w" "$r" > /dev/null
tags() { "$MLXK" versions "$r" --json | python3 -c "import json,sys; print(' '.join(sorted(t['kind'] for v in json.load(sys.stdin)['data']['versions'] for t in v['tags'])))"; }
before=$(tags)
run "$MLXK" clean-versions "$r" --json
json clean/plan "x['dry_run'] and sorted(d['action'] for d in x['digests']) == ['delete'] * 3 + ['keep'] * 6"
same clean/plan_changes_nothing "$before" "$(tags)"
run "$MLXK" clean-versions "$r" --branch one --json
json clean/branch_plan "sorted(d['action'] for d in x['digests']) == ['delete'] + ['keep'] * 7 + ['untag']"
run "$MLXK" clean-versions "$r" --branch one --yes; exits 0 clean/branch
run "$MLXK" versions "$r" --json
json clean/branch_is_gone "not any(t['tag'].startswith('one-') for v in x['versions'] for t in v['tags']) and sum(t['tag'].startswith('two-') for v in x['versions'] for t in v['tags']) == 2"
"$MLXK" copy "$r:v0.1.0" "$r:foreign" > /dev/null
run "$MLXK" clean-versions "$r" --yes; exits 0 clean/all; says clean/people out 'removed, 6 kept'
run "$MLXK" versions "$r" --json
json clean/only_releases_are_left "[v['version'] for v in x['versions']] == ['v0.2.0', 'v0.1.0'] + [None] * 4 and all(any(t['kind'] in ('adhoc', 'client', 'pkg') for t in v['tags']) for v in x['versions'])"
run "$MLXK" copy "$r:v0.1.0" "oci:$T/copy:v0.1.0"; exits 0 clean/first_release_is_whole
run "$MLXK" copy "$r:v0.2.0" "oci:$T/copy:v0.2.0"; exits 0 clean/second_release_is_whole
run "$MLXK" clean-versions "$r" --yes --json; json clean/again_nothing "all(d['action'] == 'keep' for d in x['digests'])"
