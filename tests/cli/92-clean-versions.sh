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

# ---- ages ----
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
run "$MLXK" clean-versions "$r" --yes --dry-run; exits 2 clean/yes_or_dry_run
g=$T/g; tiny "$g"; git init -q -b main "$g"
commit() { (cd "$g" && git add -A && GIT_COMMITTER_DATE="@$(($(date +%s) - $1 * 86400)) +0000" git commit -qm x --allow-empty); }
python3 - "$MLXK" "$T" <<'PY' > "$T/registry" 2> /dev/null &
import sys, time
sys.path.insert(0, "tests/fake")
import fake_registry
r = fake_registry.Registry("dist3")
print(r.host, flush=True)
while True: time.sleep(1)
PY
server=$!; trap 'kill $server 2>/dev/null' EXIT
while [ ! -s "$T/registry" ]; do sleep 0.05; done
h=$(cat "$T/registry")/org/ham
# Five states of the branch main, 50, 40, 30, 20, 10 days old; two of dev, 35 and 25; one of no known age.
for day in 50 40 30 20 10; do echo $day > "$g/a.py"; commit $day; "$MLXK" store "$g" "$h" --branch > /dev/null; done
(cd "$g" && git checkout -qb dev); for day in 35 25; do echo dev $day > "$g/a.py"; commit $day; "$MLXK" store "$g" "$h" --branch > /dev/null; done
tiny "$T/no"; echo no > "$T/no/a.py"; "$MLXK" store "$T/no" "$h" > /dev/null
gone() { python3 -c "
import json, sys, time
d = json.load(open('$T/out'))['data']['digests']
print(*sorted(round((time.time() - x['time']) / 86400) if x['time'] else 0 for x in d if x['action'] == 'delete'))"; }
run "$MLXK" clean-versions "$h" --git "$g" --older-than 28d --json; same clean/older_than "30 35 40 50" "$(gone)"
json clean/unknown_age_stays "[x['kept_by'] for x in x['digests'] if x['time'] is None] == ['nobody knows how old it is']"
run "$MLXK" clean-versions "$h" --git "$g" --keep 2 --json; same clean/keep_newest "35 40 50" "$(gone)"   # a branch tag names the newest of its branch alone
run "$MLXK" clean-versions "$h" --git "$g" --keep 1 --older-than 22d --json; same clean/both "30 35 40 50" "$(gone)"
run "$MLXK" clean-versions "$h" --git "$g" --keep 1 --branch main --json; same clean/keep_of_one_branch "" "$(gone)"
run "$MLXK" clean-versions "$h" --git "$T/no" --older-than 1d --json; same clean/no_work_tree_no_age "" "$(gone)"
run "$MLXK" clean-versions "$h" --git "$T/nowhere" --older-than 1d --json; same clean/nowhere_no_age "" "$(gone)"
run "$MLXK" clean-versions "$h" --older-than soon; exits 1 clean/no_age
# What a lock file names stays.
first=$("$MLXK" versions "$h" --json | python3 -c "import json,sys; print([t['tag'] for v in json.load(sys.stdin)['data']['versions'] for t in v['tags'] if t['tag'].startswith('main-')][0])")
run "$MLXK" pull "oci://$h:$first" --lock "$T/lock" --json; json clean/locked "x['digest'].startswith('sha256:')"
run "$MLXK" clean-versions "$h" --lock "$T/lock" --json; json clean/a_lock_keeps "[x['kept_by'] for x in x['digests'] if x['action'] == 'keep'] == ['a lock file']"
run "$MLXK" clean-versions "$h" --lock "$T/none"; exits 1 clean/no_lock_no_plan
run "$MLXK" clean-versions "$h" --git "$g" --keep 1 --older-than 22d --yes --json; same clean/done "30 35 40 50" "$(gone)"
run "$MLXK" clean-versions "$h" --git "$g" --keep 1 --older-than 22d --json; same clean/nothing_left "" "$(gone)"
# A layout knows when it got a state.
l=oci:$T/aged
echo 1 > "$T/no/a.py"; "$MLXK" store "$T/no" "$l" > /dev/null; digest=$("$MLXK" versions "$l" --json | python3 -c "import json,sys; print(json.load(sys.stdin)['data']['versions'][0]['digest'])")
touch -d '9 days ago' "$T/aged/blobs/sha256/${digest#sha256:}"; echo 2 > "$T/no/a.py"; "$MLXK" store "$T/no" "$l" > /dev/null
run "$MLXK" clean-versions "$l" --older-than 7d --json; same clean/layout_age 9 "$(gone)"
