#!/usr/bin/env python3
"""interop.py: what this program writes, huggingface_hub reads, and the other way round.

  interop.py --mlxk PROGRAM --work DIR --python NAME=PYTHON...     PYTHON has huggingface_hub

After every command, each of these versions looks at the cache: scan_cache_dir without a warning, the same repositories, revisions and
refs, `cache ls` (or scan), snapshot_download(local_files_only=True) of each revision, and where there is one `cache verify`. Then each
version downloads, and this program must find it whole; then they meet in the store that newer versions share between repositories.
Prints TAP lines."""
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

# Runs in the other client's Python. argv: the cache, what must be in it: {repo: {"refs": {ref: commit}, "commits": [...], "only": [...]}}
LOOK = r'''
import contextlib, io, json, os, sys
import huggingface_hub
from huggingface_hub import scan_cache_dir, snapshot_download
cache, want = sys.argv[1], json.loads(sys.argv[2])
bad = []
info = scan_cache_dir(cache)
bad += [f"warning: {w}" for w in info.warnings]
have = {r.repo_id: r for r in info.repos}
if set(have) != set(want):
    bad.append(f"repositories {sorted(have)}, expected {sorted(want)}")
for repo in set(have) & set(want):
    w = want[repo]
    commits = {v.commit_hash for v in have[repo].revisions}
    refs = {ref: v.commit_hash for v in have[repo].revisions for ref in v.refs}
    if commits != set(w["commits"]) or refs != w["refs"]:
        bad.append(f"{repo}: {sorted(commits)} {refs}, expected {w}")
    for revision in [*w["refs"], *w["commits"]]:
        try:
            path = snapshot_download(repo, revision=revision, cache_dir=cache, local_files_only=True, allow_patterns=w.get("only"))
            if os.path.basename(path) != w["refs"].get(revision, revision):
                bad.append(f"{repo}@{revision}: {path}")
        except Exception as e:
            bad.append(f"{repo}@{revision}: offline {e!r}"[:300])
os.environ["HF_HUB_CACHE"] = cache
major = int(huggingface_hub.__version__.split(".")[0])
if major >= 1:
    from huggingface_hub.cli.hf import main
else:
    from huggingface_hub.commands.huggingface_cli import main
def run(*argv):
    """The client's own command line, in this process."""
    sys.argv, out, code = list(argv), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            main()
        except SystemExit as e:
            code = e.code or 0
    if code != 0 or "orrupt" in out.getvalue():
        bad.append(f"{' '.join(argv)}: {code} {out.getvalue()[-300:]}")
    return out.getvalue()
if major >= 1:
    out = run("hf", "cache", "ls", "--cache-dir", cache)
    for repo in want:
        if want[repo].get("verify", True):
            for commit in want[repo]["commits"]:
                run("hf", "cache", "verify", repo, "--revision", commit, "--cache-dir", cache)
else:
    out = run("huggingface-cli", "scan-cache", "--dir", cache)
bad += [f"the list does not name {repo}" for repo in want if repo not in out]
print("\n".join(bad))
sys.exit(bool(bad))
'''
FETCH = "import sys; from huggingface_hub import snapshot_download as s; s(sys.argv[1], revision=sys.argv[2], cache_dir=sys.argv[3])"
SHARE = r'''
import os, sys
from huggingface_hub.utils import _shared_blobs as s
cache, repos = sys.argv[1], sys.argv[2:]
for repo in repos:
    d = os.path.join(cache, "models--" + repo.replace("/", "--"), "blobs")
    for etag in sorted(os.listdir(d)):
        path = os.path.join(d, etag)
        if len(etag) == 64 and not os.path.islink(path):
            assert s.publish_blob_to_shared_store(blob_path=path, xet_hash=etag[32:] + etag[:32], cache_dir=cache, expected_size=os.path.getsize(path)), path
'''
UNUSED = "import sys; from huggingface_hub.utils import _shared_blobs as s; print(len(s.shared_store_blob_paths(sys.argv[1])), len(s.unreferenced_shared_blobs(sys.argv[1])))"


class Meeting:
    def __init__(self, mlxk, work, pythons):
        sys.path.insert(0, HERE)
        import fake_hub
        import judge_cache
        self.fake, self.judge = fake_hub, judge_cache
        self.mlxk, self.work, self.pythons = mlxk, work, pythons
        self.cache = os.path.join(work, "home", "hub")
        for name in [n for n in fake_hub.RECIPES if n not in ("o/model", "bare", "o/small")]:
            del fake_hub.RECIPES[name]
        fake_hub.RECIPES["o/other"] = fake_hub.RECIPES["o/small"]      # the same weights once more
        os.makedirs(os.path.join(work, "hub"), exist_ok=True)
        self.hub = fake_hub.Hub(os.path.join(work, "hub"))
        self.hub.log = lambda line: None
        self.hub.listen("HTTP", "hub")
        self.hub.listen("CDN", "cdn")
        self.env = {**{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "MLXK_"))}, "HF_HOME": os.path.join(work, "home"),
                    "HOME": work, "HF_ENDPOINT": self.hub.urls["HTTP"], "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
                    "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1", "MLXK_RETRY_BASE_MS": "1", "PYTHONWARNINGS": "ignore",
                    "NO_COLOR": "1", "COLUMNS": "300"}
        self.want, self.faults = {}, []

    def run(self, *argv, **env):
        return subprocess.run(argv, env={**self.env, **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)

    def commit(self, repo, revision="main"):
        return self.hub.repos[repo].resolve(revision)

    def tell(self, name):
        for fault in self.faults[:6]:
            print("# " + fault.replace(self.work, "").replace("\n", " ")[:600])
        print(("not ok " if self.faults else "ok ") + name)
        sys.stdout.flush()
        self.faults = []

    def look(self, name, python):
        r = self.run(python, "-c", LOOK, self.cache, json.dumps(self.want))
        if r.returncode != 0:
            self.faults += [f"{name}: {line}" for line in (r.stdout.strip() or r.stderr[-400:]).split("\n")]

    def does(self, *argv, want=None, strict=True, **env):
        """A command, and what every version then finds."""
        r = self.run(self.mlxk, *argv, **env)
        if r.returncode != 0:
            self.faults.append(f"status {r.returncode}: {r.stdout}{r.stderr}")
        self.want = want if want is not None else self.want
        partial = [repo for repo, w in self.want.items() if w.get("only")]
        self.faults += self.judge.judge(self.cache, strict=strict, partial=partial)
        for name, python in self.pythons.items():
            self.look(name, python)
        self.tell(" ".join([f"{k}={v}" for k, v in env.items()] + [a.replace(self.work, "") for a in argv]))

    def is_healthy(self, *repos):
        for argv in (["list", "--all", "--json"], ["health", "--json"], ["verify", "--json"], ["du", "--json"], *(["show", r, "--json"] for r in repos)):
            r = self.run(self.mlxk, *argv)
            text = r.stdout
            try:
                d = json.loads(text)
                if r.returncode != 0 or d["status"] != "success":
                    self.faults.append(f"{argv}: {text[:300]}")
                # o/model has an index without entries, which is not this test's business
                if argv[0] == "health" and [m for m in d["data"]["unhealthy"] if m["name"] != "o/model"]:
                    self.faults.append(f"unhealthy: {d['data']['unhealthy']}")
                if argv[0] == "list" and not set(repos) <= {m["name"] for m in d["data"]["models"]}:
                    self.faults.append(f"list: {text[:300]}")
            except (ValueError, KeyError) as e:
                self.faults.append(f"{argv}: {e!r} {text[:300]}")

    # ---- ours, read by them
    def ours(self):
        main, v1 = self.commit("o/model"), self.commit("o/model", "v1")
        whole = {"refs": {"main": main}, "commits": [main]}
        both = {"refs": {"main": main, "v1": v1}, "commits": [main, v1]}
        bare = {"refs": {"main": self.commit("bare")}, "commits": [self.commit("bare")]}
        some = {"refs": {"main": main}, "commits": [main], "only": ["*.json"], "verify": True}
        self.does("pull", "o/model", "--include", "*.json", want={"o/model": some})
        self.does("pull", "o/model", want={"o/model": whole})
        self.does("pull", "bare", want={"o/model": whole, "bare": bare})
        self.does("pull", "o/model@v1", want={"o/model": both, "bare": bare})
        self.does("verify", "--json")
        blob = os.path.join(self.cache, "models--o--model", "blobs", next(f.etag for f in self.hub.repos["o/model"].commits[main] if f.lfs))
        with open(blob, "r+b") as f:
            f.write(b"X")
        self.does("verify", "--repair", "--json")
        self.does("rm", "o/model@v1", want={"o/model": whole, "bare": bare})
        plain = os.path.join(self.work, "plain")
        os.makedirs(os.path.join(plain, "sub"), exist_ok=True)
        for name, data in (("config.json", b'{"model_type": "llama"}'), ("model.safetensors", self.fake.weights("p", 9000)), ("sub/x.json", b"{}")):
            with open(os.path.join(plain, name), "wb") as f:
                f.write(data)
        r = self.run(self.mlxk, "import", plain, "--name", "local/plain", "--json")
        commits = os.listdir(os.path.join(self.cache, "models--local--plain", "snapshots")) if r.returncode == 0 else ["none"]
        local = {"refs": {"main": commits[0]}, "commits": commits, "verify": False}
        three = {"o/model": whole, "bare": bare, "local/plain": local}
        self.does("import", plain, "--name", "local/plain", want=three)
        self.does("clone", "bare", os.path.join(self.work, "copy"))
        self.does("export", "local/plain", "-o", os.path.join(self.work, "bundle.tar"))
        self.does("gc", "--yes")
        self.does("rm", "local/plain", want={"o/model": whole, "bare": bare})
        self.does("import", os.path.join(self.work, "bundle.tar"), want=three)
        self.does("rm", "local/plain", want={"o/model": whole, "bare": bare})
        self.does("rm", "o/model", want={"bare": bare})
        self.does("pull", "o/model", want={"o/model": whole, "bare": bare}, HF_HUB_DISABLE_SYMLINKS="1")
        self.does("rm", "o/model", want={"bare": bare})
        self.made(bare)

    def only_commit(self, repo):
        folder = os.path.join(self.cache, "models--" + repo.replace("/", "--"), "snapshots")
        return os.listdir(folder)[0] if os.path.isdir(folder) else "none"

    def made(self, bare):
        """What convert made, imported; and pulled from a registry."""
        import fake_registry
        golden = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "tiny-a")
        tiny, made = os.path.join(self.work, "tiny"), os.path.join(self.work, "q4")
        shutil.copytree(os.path.join(golden, "llama-float16"), tiny, dirs_exist_ok=True, ignore=shutil.ignore_patterns("golden.*"))
        for name in os.listdir(os.path.join(golden, "_tokenizer")):
            shutil.copy(os.path.join(golden, "_tokenizer", name), tiny)
        self.does("convert", tiny, made, "--quantize", "4", want={"bare": bare})
        self.run(self.mlxk, "import", made, "--name", "local/q4")
        commit = self.only_commit("local/q4")
        converted = {"bare": bare, "local/q4": {"refs": {"main": commit}, "commits": [commit], "verify": False}}
        self.does("import", made, "--name", "local/q4", want=converted)
        registry = fake_registry.Registry()
        repo = registry.host + "/org/q4"
        r = self.run(self.mlxk, "store", made, repo, "--branch-only", "--branch-name", "main", "--json")
        tag = json.loads(r.stdout)["data"]["tags"][0] if r.returncode == 0 else "none: " + r.stdout + r.stderr
        r = self.run(self.mlxk, "pull", f"oci://{repo}:{tag}", "--json")
        names = [n[8:].replace("--", "/") for n in os.listdir(self.cache) if n.startswith("models--") and n.endswith("--org__q4")] or ["none"]
        commit = self.only_commit(names[0])
        pulled = {**converted, names[0]: {"refs": {tag: commit, "main": commit}, "commits": [commit], "verify": False}}
        self.does("pull", f"oci://{repo}:{tag}", want=pulled)
        self.does("verify", "--json")
        self.does("rm", names[0], want=converted)
        registry.close()
        self.does("rm", "local/q4", want={"bare": bare})

    # ---- theirs, read by us
    def theirs(self):
        for name, python in self.pythons.items():
            for links in ("0", "1"):
                shutil.rmtree(self.cache, ignore_errors=True)
                for repo, revision in (("o/model", "main"), ("o/model", "v1"), ("bare", "main")):
                    r = self.run(python, "-c", FETCH, repo, revision, self.cache, HF_HUB_DISABLE_SYMLINKS=links)
                    if r.returncode != 0:
                        self.faults.append(r.stderr[-400:])
                self.is_healthy("o/model", "bare")
                for argv in (["pull", "o/model"], ["pull", "bare"], ["rm", "o/model@v1"], ["rm", "bare"]):
                    r = self.run(self.mlxk, *argv)
                    if r.returncode != 0:
                        self.faults.append(f"{argv}: {r.stderr}")
                main = self.commit("o/model")
                self.want = {"o/model": {"refs": {"main": main}, "commits": [main]}}
                self.faults += self.judge.judge(self.cache, has=["o/model"], not_has=["bare", "o/model@v1"])
                self.look(name, python)
                self.tell(f"what {name} downloaded{' without links' if links == '1' else ''} is whole, and goes on being")

    # ---- the store that newer versions share
    def shared(self):
        name = next((n for n, p in self.pythons.items() if self.run(p, "-c", "from huggingface_hub.utils import _shared_blobs").returncode == 0), None)
        if not name:
            print("ok interop/shared-store # SKIP none of these versions has it")
            return
        python = self.pythons[name]
        shutil.rmtree(self.cache, ignore_errors=True)
        for repo in ("o/small", "o/other", "bare", "o/model"):
            self.run(self.mlxk, "pull", repo)
        r = self.run(python, "-c", SHARE, self.cache, "o/small", "o/other", "o/model")
        if r.returncode != 0:
            self.faults.append(r.stderr[-500:])

        def state(expected, wanted):
            out = self.run(python, "-c", UNUSED, self.cache).stdout.strip()
            if out != expected:
                self.faults.append(f"payloads and unused ones are {out}, expected {expected}")
            self.want = {repo: {"refs": {"main": self.commit(repo)}, "commits": [self.commit(repo)]} for repo in wanted}
            self.faults.extend(self.judge.judge(self.cache, finished=True, has=wanted))
            self.look(name, python)
            self.is_healthy(*wanted)

        state("4 0", ["o/small", "o/other", "bare", "o/model"])
        self.tell(f"a store shared by {name} is read")
        for argv, expected, wanted in ((["gc", "--yes"], "4 0", ["o/small", "o/other", "bare", "o/model"]), (["pull", "o/model"], "4 0", ["o/small", "o/other", "bare", "o/model"]),
                                       (["rm", "o/small"], "4 0", ["o/other", "bare", "o/model"]), (["rm", "o/model"], "1 0", ["o/other", "bare"]),
                                       (["verify"], "1 0", ["o/other", "bare"]), (["rm", "o/other"], "0 0", ["bare"])):
            r = self.run(self.mlxk, *argv)
            if r.returncode != 0:
                self.faults.append(f"{argv}: {r.stdout}{r.stderr}")
            state(expected, wanted)
            self.tell(f"{' '.join(argv)} with a shared store")


def main(argv):
    options = {"pythons": {}}
    for key, value in zip(argv[::2], argv[1::2]):
        if key == "--python":
            name, _, path = value.partition("=")
            options["pythons"][name] = os.path.abspath(path)
        else:
            options[key] = os.path.abspath(value)
    m = Meeting(options["--mlxk"], options["--work"], options["pythons"])
    m.ours()
    m.theirs()
    m.shared()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
