#!/usr/bin/env python3
"""beside.py: readers beside writers, and writers beside each other, on one cache.

  beside.py --mlxk PROGRAM --work DIR [--rounds N] [--python PYTHON]

Eight readers (list, show, health, each --json, and one that follows refs by itself) run in loops while a writer pulls,
imports and removes: none of them may fail, and what a ref names must be whole. Then several processes pull the same repository
at once, a removal meets a pull, and with --python (one that has huggingface_hub) that client pulls beside them.
Prints TAP lines. Standard library only."""
import json
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fake_hub          # noqa: E402
import judge_cache       # noqa: E402

READS = [["list", "--json"], ["list", "--all", "--json"], ["show", "bare", "--json"], ["show", "o/model", "--json"], ["health", "--json"],
         ["health", "bare", "--json"], ["health", "o/model", "--json"]]
PULL = "from huggingface_hub import snapshot_download; import sys; snapshot_download(sys.argv[1], max_workers=2)"


class Stage:
    def __init__(self, options):
        self.mlxk, self.work = os.path.abspath(options["--mlxk"]), os.path.abspath(options["--work"])
        self.rounds, self.python = int(options.get("--rounds", 3)), options.get("--python")
        self.home = os.path.join(self.work, "home")
        self.cache = os.path.join(self.home, "hub")
        for name in [n for n in fake_hub.RECIPES if n not in ("o/model", "bare", "o/huge")]:
            del fake_hub.RECIPES[name]
        os.makedirs(os.path.join(self.work, "hub"), exist_ok=True)
        self.hub = fake_hub.Hub(os.path.join(self.work, "hub"))
        self.hub.log = lambda line: None
        self.hub.listen("HTTP", "hub")
        self.hub.listen("CDN", "cdn")
        self.env = {**{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "MLXK_"))}, "HF_HOME": self.home, "HOME": self.work,
                    "HF_ENDPOINT": self.hub.urls["HTTP"], "MLXK_RETRY_BASE_MS": "1", "XDG_CACHE_HOME": os.path.join(self.work, "xdg"),
                    "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        self.stop, self.faults, self.reads = False, [], [0] * 8
        self.plain = os.path.join(self.work, "plain")
        os.makedirs(self.plain, exist_ok=True)
        for name, data in (("config.json", b'{"model_type": "llama"}'), ("model.safetensors", fake_hub.weights("plain", 30_000))):
            with open(os.path.join(self.plain, name), "wb") as f:
                f.write(data)

    def start(self, argv):
        return subprocess.Popen(argv, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *argv):
        p = self.start([self.mlxk, *argv])
        p.out, p.err = p.communicate(timeout=120)
        return p

    # ---- readers
    def read(self, argv):
        p = self.run(*argv)
        try:
            d = json.loads(p.out)
            if argv[0] == "show" and argv[1] == "o/model" and p.returncode == 1:
                assert d["status"] == "error" and d["error"]["type"] in ("model_not_found", "not_found"), d
                return
            if argv[0] == "health" and argv[1] == "o/model":
                assert d["status"] in ("success", "error"), d
                return
            assert p.returncode == 0 and d["status"] == "success" and not p.err, d
            if argv[0] == "list":
                names = [m["name"] for m in d["data"]["models"]]
                assert "bare" in names and len(names) == len(set(names)), names
            if argv[0] == "health":
                assert [m for m in d["data"]["healthy"] if m["name"] == "bare"], d["data"]
        except (ValueError, AssertionError, KeyError, TypeError) as e:
            self.faults.append(f"{' '.join(argv)}: status {p.returncode} {e!r} {p.out[-300:]} {p.err[-300:]}")

    def follow(self):
        """What a program does that knows the layout: ref -> snapshot -> every file of the commit."""
        repo = os.path.join(self.cache, "models--o--model")
        for ref in ("main", "v1"):
            try:
                with open(os.path.join(repo, "refs", ref)) as f:
                    commit = f.read()
            except OSError:
                continue
            wrong = None
            for f in self.hub.repos["o/model"].commits.get(commit, []):
                try:
                    with open(os.path.join(repo, "snapshots", commit, f.path), "rb") as g:
                        wrong = wrong or (f"{f.path} has other bytes" if g.read() != f.data else None)
                except OSError as e:
                    wrong = wrong or str(e)
            if commit not in self.hub.repos["o/model"].commits:
                wrong = f"holds {commit!r}"
            try:
                with open(os.path.join(repo, "refs", ref)) as f:
                    still = f.read() == commit
            except OSError:
                still = False            # removed meanwhile: then files may be gone, too
            if wrong and still:
                self.faults.append(f"refs/{ref}: {wrong}")

    def loop(self, number):
        while not self.stop:
            if number == 7:
                self.follow()
                time.sleep(0.002)
            else:
                self.read(READS[number])
            self.reads[number] += 1

    # ---- the plays
    def readers_beside_a_writer(self):
        self.must(self.run("pull", "bare"))
        before = judge_cache.fingerprint(os.path.join(self.cache, "models--bare"))
        readers = [threading.Thread(target=self.loop, args=(i,)) for i in range(8)]
        for r in readers:
            r.start()
        writes = 0
        for _ in range(self.rounds):
            for argv in (["pull", "o/model"], ["pull", "o/model@v1"], ["import", self.plain, "--name", "local/plain"], ["rm", "o/model@v1"],
                         ["pull", "o/model", "--redownload"], ["rm", "local/plain"], ["rm", "o/model", "--force"]):
                p = self.run(*argv)
                writes += 1
                if p.returncode != 0:
                    self.faults.append(f"{' '.join(argv)}: {p.out}{p.err}")
        self.stop = True
        for r in readers:
            r.join()
        self.faults += judge_cache.judge(self.cache, strict=True, has=["bare"], not_has=["o/model", "local/plain"])
        if judge_cache.fingerprint(os.path.join(self.cache, "models--bare")) != before:
            self.faults.append("another model is not what it was")
        self.tell(f"8 readers beside a writer: {sum(self.reads)} reads, {writes} writes")
        if min(self.reads) < 3:
            print(f"not ok each reader had its turn\n# {self.reads}")

    def writers_at_once(self, repo, n, others=()):
        writers = [self.start([self.mlxk, "pull", repo]) for _ in range(n)] + [self.start(argv) for argv in others]
        for w in writers:
            out, err = w.communicate(timeout=120)
            if w.returncode != 0:
                self.faults.append(f"status {w.returncode}: {out[-300:]}{err[-300:]}")
        self.faults += judge_cache.judge(self.cache, strict=True, has=[repo, "bare"])

    def removal_meets_pull(self):
        """Whoever is first: each ends with 0 or one sentence, and the cache is whole."""
        for i in range(6 * self.rounds):
            pull = self.start([self.mlxk, "pull", "o/model"])
            time.sleep(0.004 * (i % 12))
            rm = self.run("rm", "o/model", "--force")
            out, err = pull.communicate(timeout=120)
            if pull.returncode not in (0, 1) or rm.returncode not in (0, 1):
                self.faults.append(f"pull {pull.returncode} {out}{err}, rm {rm.returncode} {rm.out}{rm.err}")
            self.faults += [f"round {i}: {f}" for f in judge_cache.judge(self.cache, has=["bare"], partial=["o/model"])]
        self.must(self.run("pull", "o/model"))
        self.faults += judge_cache.judge(self.cache, finished=True, has=["o/model", "bare"])
        self.tell("a removal meets a pull")

    def must(self, p):
        if p.returncode != 0:
            raise SystemExit(f"not ok {p.args}\n# {p.out}{p.err}")

    def tell(self, name):
        for fault in self.faults[:8]:
            print("# " + fault.replace(self.work, "").replace("\n", " "))
        print(("not ok " if self.faults else "ok ") + name)
        sys.stdout.flush()
        self.faults = []

    def play(self):
        self.readers_beside_a_writer()
        for repo in ("o/model", "o/huge"):
            for _ in range(self.rounds):
                self.run("rm", repo, "--force")
                self.writers_at_once(repo, 4)
        self.tell("four pulls of one repository at once")
        self.removal_meets_pull()
        if self.python:
            for repo in ("o/model", "o/huge"):
                for _ in range(self.rounds):
                    self.run("rm", repo, "--force")
                    self.writers_at_once(repo, 2, [[self.python, "-c", PULL, repo]] * 2)
            self.tell("two pulls beside two of another client")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    Stage(dict(zip(arguments[::2], arguments[1::2]))).play()
