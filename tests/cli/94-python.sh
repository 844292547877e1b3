#!/bin/sh
# The Python module over a layout, from the sources: every call, what fails, words that look like options.
. tests/tap.sh
export HF_HOME="$T/hf" GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
tiny "$T/ham"
git -C "$T/ham" init -q -b main; git -C "$T/ham" add .; git -C "$T/ham" commit -qm one
cat > "$T/use.py" <<'PY'
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.environ["ROOT"], "src", "python"))
import mlxk
from mlxk import Error, Model

def ok(name, fine, *more):
    print(f"{'' if fine else 'not '}ok python/{name}")
    if not fine:
        print("#", *more)

def refused(name, type, call):
    try:
        ok(name, False, call())
    except Error as e:
        ok(name, e.type == type and e.message and str(e).startswith(e.message), repr(e.type), e)
        return e

def commit(text, *names):
    for n in names:
        with open(os.path.join("ham", n), "a") as f:
            f.write(text)
    subprocess.run("git add . && git commit -qm x", shell=True, cwd="ham", check=True)

ham = Model("ham", "oci:layout")
plan = ham.store(dry_run=True)
ok("dry_run_makes_nothing", not os.path.exists("layout"))
s = ham.store(branch=True)
ok("store", s.digest == plan.digest and s.tags[0].split("-")[1] == "clean" and s.tags[1].startswith("main-clean-") and s.n_sent > 3, s)
ok("store_uri", s.uri == f"{s.repository}:{s.tags[0]}" and s.hashes["interface"][:12] == s.tags[0].split("-")[2], s.uri)
ok("store_branch_only", ham.store(branch_only=True, branch_name="Fix/X").tags == ("fix-x-clean-" + s.hashes["interface"][:12],))
r = ham.release()
ok("release", (r.version, r.bump, r.base, r.digest, r.adhoc) == ("v0.1.0", "none", None, s.digest, s.tags[0]) and r.aliases == ("latest", "v0", "v0.1"), r)
refused("unchanged", "unchanged", ham.release)
commit("more", "README.md")
refused("docs_only", "docs_only", ham.release)
ok("patch", ham.release(patch=True).version == "v0.1.1")
commit("pass", "a.py")
refused("no_patch", "ValidationError", lambda: ham.release(patch=True))
r = ham.release(git_tag=True)
ok("git_tag", r.version == "v0.2.0" and r.git_tag == "mdl-layout-v0.2.0" and any("logic" in x for x in r.reasons), r)
subprocess.run("git checkout -qb side", shell=True, cwd="ham", check=True)
commit("pass", "b.py")
ok("branch", ham.release(dry_run=True).version == "v0.3.0-side")
ok("force_main", ham.release(force_main=True).version == "v0.3.0")
ok("force_major", ham.release(force_major=True, force_main=True, dry_run=True).version == "v1.0.0")
ok("version", ham.release(version="v4.0.0").version == "v4.0.0")
v = ham.versions()
ok("versions", v[0].version == "v4.0.0" and "adhoc" in v[0].kinds and v[0].size_bytes > 0 and v[0].uri.endswith(v[0].digest), v[0])
states = lambda: [x for x in ham.versions() if not {"client", "pkg"} & set(x.kinds)]       # not their clients and packages
ok("compatible", len(ham.versions(compatible=True)) == len(states()) == len(ham.versions(compatible="semver")))
ok("releases", [x.version for x in ham.releases()] == ["v4.0.0", "v0.2.0", "v0.1.1", "v0.1.0"], ham.releases())
commit("pass", "c.py")
state = ham.store()
p = ham.clean_versions()
ok("clean_plans", [c.digest for c in p if c.action == "delete"] == [state.digest] and len(states()) == 5, p)
ham.clean_versions(yes=True)
ok("clean_does", len(states()) == 4 and all(x.version for x in states()))
old = ham.from_version("v0.1")
ok("from_version", old.version == "v0.1.1" and os.path.isfile(os.path.join(old.path, "config.json")) and old.repository == "oci:layout", old)
same = Model.from_uri("oci:layout:v0.1.0")
ok("from_uri", same.digest == s.digest and same.repository == "oci:layout" and same.version == "v0.1.0", same)
ok("from_digest", ham.from_uri(f"oci:layout@{s.digest}").path == same.path)
ok("diff", ham.diff(same)["bump"] == "minor" and os.fspath(same) == same.path)
ok("inspect", same.inspect()["digest"] == s.digest and ham.inspect("v0.2")["digest"] == r.digest)
e = refused("no_such_version", "model_not_found", lambda: ham.from_version("v9"))
ok("hint_and_status", e.hint and "releases" in e.hint and e.status == 1 and e.command == "from", vars(e))
refused("no_repository", "ValidationError", lambda: Model("ham").store())
refused("usage", "CommandError", lambda: mlxk.call("store"))
refused("name_is_a_word", "model_not_found", lambda: Model("--force-major", "oci:layout").release())
ok("call", mlxk.call("list")["models"] is not None and mlxk.__version__ == "0+source")
os.environ["MLXK_PROGRAM"] = "/nonexistent/mlxk"
refused("no_program", "not_found", lambda: mlxk.call("list"))
os.environ["MLXK_PROGRAM"] = "/bin/false"
refused("no_answer", "unknown", lambda: mlxk.call("list"))
PY
(cd "$T" && ROOT=$OLDPWD MLXK_PROGRAM=$MLXK python3 use.py)
PYTHONPATH=src/python python3 -c 'import ast, pathlib
for p in pathlib.Path("src/python/mlxk").glob("*.py"): ast.parse(p.read_text(), feature_version=(3, 8))'
ok $? python/words_of_3.8
