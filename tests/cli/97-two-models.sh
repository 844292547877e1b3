#!/bin/sh
# Two models in one repository: the first keeps its plain tags, the second's carry its name; neither is the other's base, moves its
# tags or hides its client. In a repository of named models alone the name must be said.
. tests/tap.sh
export HF_HOME="$T/hf"
r=oci:$T/models
tiny "$T/ham"; tiny "$T/eggs"
python3 - "$T/eggs/config.json" <<'PY'
import json, sys
d = json.load(open(sys.argv[1])); d["rms_norm_eps"] = 0.5; json.dump(d, open(sys.argv[1], "w"))
PY
tags() { "$MLXK" versions "$r" --json | python3 -c "import json,sys; print(json.dumps({t['tag']: v['digest'] for v in json.load(sys.stdin)['data']['versions'] for t in v['tags']}))"; }
tag() { tags | python3 -c "import json,sys; print(json.load(sys.stdin).get('$1'))"; }

run "$MLXK" release "$T/ham" "$r" --name ham --json; json two/first_is_plain "(x['tag'], x['version'], x['name']) == ('v0.1.0', 'v0.1.0', 'ham')"
ham=$(tag v0.1.0); client=$(tag client-v0.1.0)
run "$MLXK" release "$T/eggs" "$r" --name eggs --json --explain
json two/second_carries_its_name "(x['tag'], x['version'], x['base'], x['client']['tag'], x['aliases']) == ('eggs-v0.1.0', 'v0.1.0', None, 'eggs-client-v0.1.0', ['eggs-latest', 'eggs-v0', 'eggs-v0.1']) and x['adhoc'].startswith('eggs-nogit-')"
same two/the_first_stays "$ham $client $ham" "$(tag v0.1.0) $(tag client-v0.1.0) $(tag latest)"
[ "$(tag eggs-v0.1.0)" != "$ham" ]; ok $? two/other_contents
tags | python3 -c "
import json, sys
t = json.load(sys.stdin)
assert not [x for x in t if x.startswith(('pkg-', 'client-')) and t[x] in (t['eggs-client-v0.1.0'], t['eggs-pkg-v0.1.0'])], t"; ok $? two/plain_clients_are_the_first_ones
echo 1 > "$T/ham/a.py"; echo 2 > "$T/eggs/a.py"
run "$MLXK" release "$T/eggs" "$r" --name eggs --json; json two/eggs_go_on "(x['tag'], x['base'], x['bump']) == ('eggs-v0.2.0', 'v0.1.0', 'minor')"
run "$MLXK" release "$T/ham" "$r" --json; json two/without_a_name_it_is_the_first "(x['tag'], x['base'], x['name']) == ('v0.2.0', 'v0.1.0', 'ham')"
run "$MLXK" release "$T/ham" "$r" --name ham; exits 1 two/ham_has_nothing_new; says two/and_says_so err 'this is v0.2.0'
run "$MLXK" release "$T/eggs" "$r" --name eggs; exits 1 two/eggs_have_nothing_new
run "$MLXK" release "$T/ham" "$r" --name ham --named; exits 1 two/no_other_form; says two/no_other_form_says_why err 'carry no name here'

run "$MLXK" releases "$r" --json; json two/releases_of_all "[(v['name'], v['version']) for v in x['versions']] == [(None, 'v0.2.0'), (None, 'v0.1.0'), ('eggs', 'v0.2.0'), ('eggs', 'v0.1.0')]"
run "$MLXK" releases "$r"; says two/people_see_the_name out '^eggs-v0.2.0 '
run "$MLXK" releases "$r" --name eggs --json; json two/releases_of_one "[v['version'] for v in x['versions']] == ['v0.2.0', 'v0.1.0'] and {v['name'] for v in x['versions']} == {'eggs'}"
run "$MLXK" releases "$r" --name ham --json; json two/releases_of_the_first "[v['name'] for v in x['versions']] == [None, None]"
run "$MLXK" versions "$r" --name ham --json; json two/versions_of_the_first "not [t for v in x['versions'] for t in v['tags'] if t['tag'].startswith('eggs-')] and any(t['tag'] == 'ham-client-v0' for v in x['versions'] for t in v['tags'])"

run "$MLXK" from "$r" eggs-v0 --json; json two/from_line "(x['tag'], x['digest']) == ('eggs-v0.2.0', '$(tag eggs-v0.2.0)')"
run "$MLXK" from "$r" '~0.1.0' --name eggs --json; json two/from_range "x['tag'] == 'eggs-v0.1.0'"
run "$MLXK" from "$r" v0 --name ham --json; json two/from_the_first "x['tag'] == 'v0.2.0'"
run "$MLXK" from "$r" eggs-latest --json; json two/from_latest "x['tag'] == 'eggs-v0.2.0'"
run "$MLXK" from "$r" spam-v0; exits 1 two/from_nobody
run "$MLXK" pull "$r:eggs-v0.1" --json; json two/pull_line "x['digest'] == '$(tag eggs-v0.1.0)'"
run "$MLXK" install "$r:eggs-pkg-v0" --target "$T/lib" --json; json two/install "(x['tag'], x['module'], x['version']) == ('eggs-pkg-v0.2.0', 'eggs.v0_2_0', 'v0.2.0')"
run "$MLXK" install "$r:eggs-client-v0" --target "$T/lib"; exits 0 two/install_client
run "$MLXK" install "$r:client-v0" --target "$T/lib" --json; json two/install_the_first "x['name'] == 'ham' and x['version'] == 'v0.2.0'"
cat > "$T/use.py" <<'PY'
import os, sys
from eggs.client.v0 import EggsClient
from ham.client.v0 import HamClient
from eggs.v0_2_0 import Eggs
def inside(path): return open(os.path.join(path, "a.py")).read().strip()
assert inside(EggsClient().path()) == "2" and inside(HamClient().path()) == "1", (EggsClient().path(), HamClient().path())
assert inside(Eggs.path()) == "2" and EggsClient().reference().endswith(":eggs-v0.2.0") and HamClient().reference().endswith(":v0.2.0")
EggsClient.version = "v0.1.0"
assert not os.path.exists(os.path.join(EggsClient().path(), "a.py"))
PY
run env MLXK_PROGRAM="$MLXK" PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$T/lib" python3 "$T/use.py"; exits 0 two/each_client_its_model

# States: two models of one commit and one interface would have one tag.
run "$MLXK" store "$T/ham" "$r" --json; json two/state_without_a_name "x['tags'][0].startswith('nogit-')"
run "$MLXK" store "$T/eggs" "$r" --name eggs --branch --branch-name dev --json; json two/state_with_its_name "x['tags'][0].startswith('eggs-nogit-') and x['tags'][1].startswith('eggs-dev-')"
echo 3 > "$T/eggs/a.py"; "$MLXK" store "$T/eggs" "$r" --name eggs > /dev/null
echo 3 > "$T/ham/a.py"; "$MLXK" store "$T/ham" "$r" --name ham > /dev/null
run "$MLXK" clean-versions "$r" --yes --json; json two/clean_takes_states_of_both "sorted(t.split('-')[0] for d in x['digests'] if d['action'] == 'delete' for t in d['tags']) == ['eggs', 'nogit']"
run "$MLXK" releases "$r" --json; json two/clean_keeps_releases_of_both "len(x['versions']) == 4"

# Named from the first release on.
r=oci:$T/named
run "$MLXK" release "$T/ham" "$r" --name ham --named --json; json named/first "(x['tag'], x['base']) == ('ham-v0.1.0', None)"
run "$MLXK" release "$T/eggs" "$r" --name eggs --json; json named/second_follows "x['tag'] == 'eggs-v0.1.0'"
echo 4 > "$T/ham/a.py"
run "$MLXK" release "$T/ham" "$r"; exits 1 named/which_one; says named/which_one_says_why err 'several models, such as'
run "$MLXK" release "$T/ham" "$r" --name ham --json; json named/goes_on "(x['tag'], x['base']) == ('ham-v0.2.0', 'v0.1.0')"
tags | python3 -c "import json, sys; assert all(t.startswith(('ham-', 'eggs-')) for t in json.load(sys.stdin))"; ok $? named/every_tag_has_a_name
# A name that begins like another one.
run "$MLXK" release "$T/eggs" "$r" --name ham-eggs --json; json named/prefix "(x['tag'], x['base']) == ('ham-eggs-v0.1.0', None)"
run "$MLXK" releases "$r" --name ham --json; json named/prefix_is_no_ham "[v['version'] for v in x['versions']] == ['v0.2.0', 'v0.1.0']"
# Off the main branch, with tags of git.
git init -q -b main "$T/ham" && cd "$T/ham" && git config user.name a && git config user.email a@b && git add -A && git commit -qm x && git checkout -qb fix/x && echo 5 > a.py && git commit -qam y && cd - > /dev/null || exit 1
run "$MLXK" release "$T/ham" "$r" --name ham --git-tag --json; json named/branch "(x['tag'], x['git_tag'], x['aliases']) == ('ham-v0.3.0-fix-x', 'mdl-ham-v0.3.0-fix-x', [])"

# ---- a number that somebody else has taken ----
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
tiny "$T/g"; git init -q -b main "$T/g"; (cd "$T/g" && git add -A && git commit -qm x)
run "$MLXK" release "$T/g" "oci:$T/taken" --git-tag --json; json taken/first "x['version'] == 'v0.1.0'"
rm -rf "$T/taken"; "$MLXK" release "$T/eggs" "oci:$T/taken" > /dev/null
run "$MLXK" release "$T/g" "oci:$T/taken" --git-tag --json; json taken/the_tag_of_git_is_no_release_there "(x['version'], x['base'], x['git_tag']) == ('v0.2.0', 'v0.1.0', 'mdl-taken-v0.2.0')"
# The tag of git was made and the run ended: the next one goes on, whatever number it would have derived.
(cd "$T/g" && git commit -qm y --allow-empty && git tag -a mdl-taken-v3.0.0 -m "$(git tag -l --format='%(contents)' mdl-taken-v0.2.0)")
run "$MLXK" release "$T/g" "oci:$T/taken" --git-tag --force-major --json; json taken/under_way_goes_on "(x['version'], x['git_tag']) == ('v3.0.0', 'mdl-taken-v3.0.0')"
run "$MLXK" release "$T/g" "oci:$T/taken" --git-tag --force-major --json; json taken/then_the_next_one "x['version'] == 'v4.0.0'"
python3 - "$MLXK" "$T" <<'PY'
import json, os, subprocess, sys
sys.path.insert(0, "tests/fake")
import fake_registry
mlxk, T = sys.argv[1:]
class Fast(fake_registry.Handler):
    def serve(self, r):
        super().serve(r)
        if self.command == "PUT" and self.path.split("?")[0].endswith("/manifests/client-v0.1.0"):   # somebody is faster
            r.repos["org/ham"]["tags"]["v0.1.0"] = r.repos["org/ham"]["tags"]["client-v0.1.0"]
r = fake_registry.Registry("dist3")
r.server.RequestHandlerClass = Fast
env = {**os.environ, "HOME": T, "DOCKER_CONFIG": T, "MLXK_RETRY_BASE_MS": "1"}
said = subprocess.run([mlxk, "release", f"{T}/eggs", f"{r.host}/org/ham", "--json"], env=env, capture_output=True, text=True)
tags = r.repos["org/ham"]["tags"]
fine = said.returncode == 1 and json.loads(said.stdout)["error"]["type"] == "already_exists" and tags["v0.1.0"] == tags["client-v0.1.0"] and "latest" not in tags
print(f"{'' if fine else 'not '}ok taken/a_release_never_moves", "" if fine else f"\n# {said.stdout} {said.stderr} {tags}")
r.server.RequestHandlerClass = fake_registry.Handler
said = subprocess.run([mlxk, "release", f"{T}/eggs", f"{r.host}/org/ham", "--json"], env=env, capture_output=True, text=True)
fine = said.returncode == 0 and r.repos["org/ham"]["tags"]["v0.1.0"] == tags["v0.1.0"]
print(f"{'' if fine else 'not '}ok taken/the_next_run_takes_another_number", "" if fine else f"\n# {said.stdout} {said.stderr}")
r.close()
PY
