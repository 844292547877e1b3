#!/usr/bin/env python3
"""kill_release.py: `store` and `release` are killed at every step, and their second run finishes.

  kill_release.py --mlxk PROGRAM --work DIR [--tool KILL_AT] [--every N] [--only NAME]

Into a layout: before every system call that changes the file system (--tool, see kill_at.c), writes also in their middle.
Into a registry: at every request, before the registry does what is asked and after it did, but before its answer arrives.
After each kill a judge that asks no program of ours looks: whatever a tag names is whole, to the last byte; a version never
stands without the adhoc tag of its state; what was released before is the same. Then the same command runs again, and
everything is as if nothing had happened. With --every only each N-th step.
Prints TAP lines. Standard library only."""
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fake_registry     # noqa: E402

RELEASE = re.compile(r"((client|pkg)-)?v\d+\.\d+\.\d+(-.*)?|(.+-)?(client|pkg)-v\d.*")
ALIAS = re.compile(r"latest|v\d+(\.\d+)?|(.+-)?(client-v\d+|pkg-v\d+(\.\d+)?)")
ADHOC = re.compile(r"([0-9a-f]{12}|nogit)-([0-9a-f]{12}|clean)-[0-9a-f]{12}")


def sha(b):
    return "sha256:" + hashlib.sha256(b).hexdigest()


def judge(tags, manifest, blob, kept):
    """What is wrong. tags: name -> digest; manifest, blob: digest -> bytes or None; kept: tags that must stand as they were."""
    faults = []
    for tag, digest in tags.items():
        text = manifest(digest)
        if text is None or sha(text) != digest:
            faults.append(f"{tag} names {digest[:19]}, which is not there or not that")
            continue
        document = json.loads(text)
        for d in [document["config"], *document["layers"]]:
            data = blob(d["digest"])
            if data is None or sha(data) != d["digest"] or len(data) != d["size"]:
                faults.append(f"{tag} is not whole: {d['digest'][:19]} of {d['size']} bytes")
        if (RELEASE.fullmatch(tag) or ALIAS.fullmatch(tag)) and "model" in document.get("artifactType", "") and \
                not any(ADHOC.fullmatch(t) and d == digest for t, d in tags.items()):
            faults.append(f"{tag} stands without the adhoc tag of its state")
    for alias in filter(ALIAS.fullmatch, tags):
        kind = re.search(r"(client-|pkg-)?(?:latest|v[\d.]+)$", alias).group(1) or ""
        if not any(re.fullmatch(kind + r"v\d+\.\d+\.\d+", t) and d == tags[alias] and t[len(kind):] in tags for t, d in tags.items()):
            faults.append(f"{alias} stands without a release")
    return faults + [f"{t} has moved" for t, d in kept.items() if tags.get(t) != d]


class Bench:
    def __init__(self, mlxk, work, tool, every=1, only=""):
        self.mlxk, self.work, self.tool, self.every, self.only = mlxk, work, tool, every, only
        self.report = os.path.join(work, "report")
        self.env = {**{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "MLXK_", "GIT_"))}, "HOME": work, "MLXK_RETRY_BASE_MS": "1",
                    "HF_HOME": os.path.join(work, "hf"), "XDG_STATE_HOME": os.path.join(work, "state"), "DOCKER_CONFIG": work,
                    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
                    **{f"GIT_{w}_{k}": v for w in ("AUTHOR", "COMMITTER") for k, v in (("NAME", "a"), ("EMAIL", "a@b"))}}
        self.model = os.path.join(work, "ham")
        os.makedirs(self.model)
        with open(os.path.join(self.model, "config.json"), "w") as f:
            f.write('{"model_type": "llama"}')
        for i in range(2):
            with open(os.path.join(self.model, f"part-{i}.bin"), "wb") as f:
                f.write(hashlib.shake_128(b"%d" % i).digest(20_000))
        self.shell("git init -q -b main && git add . && git commit -qm one")

    def shell(self, script):
        return subprocess.run(script, shell=True, cwd=self.model, env=self.env, check=True, capture_output=True, text=True).stdout

    def run(self, argv, *disturb):
        front = [self.tool, self.report, disturb[0], str(disturb[1])] if disturb else []
        return subprocess.run([*front, self.mlxk, *argv], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)

    def must(self, argv):
        r = self.run(argv)
        if r.returncode:
            raise SystemExit(f"not ok mlxk {' '.join(argv)}\n# {r.stdout}{r.stderr}")

    def change(self):
        with open(os.path.join(self.model, "part-1.bin"), "ab") as f:
            f.write(b"more")
        self.shell("git commit -qam two")


def verdict(name, faults, n):
    for fault in faults[:8]:
        print(f"#   {fault}")
    print(f"{'not ' if faults or not n else ''}ok kill/{name}: a kill at any of {n} steps, and the next run finishes")
    sys.stdout.flush()


# ---- a layout ----------------------------------------------------------------------------------------------------------

def layout_tags(top):
    try:
        with open(os.path.join(top, "index.json"), "rb") as f:
            document = json.loads(f.read())
    except FileNotFoundError:
        return {}
    return {m["annotations"]["org.opencontainers.image.ref.name"]: m["digest"] for m in document["manifests"]
            if "org.opencontainers.image.ref.name" in m.get("annotations", {})}


def layout_blob(top):
    def read(digest):
        try:
            with open(os.path.join(top, "blobs", *digest.split(":")), "rb") as f:
                return f.read()
        except FileNotFoundError:
            return None
    return read


def listing(top):
    return sorted(os.path.relpath(os.path.join(at, n), top) for at, _, names in os.walk(top) for n in names
                  if not re.fullmatch(r"oci-layout\.[0-9a-f]{8}\.tmp", n))       # two that make one layout at once need theirs


def layout(b, name, argv, before):
    """Kills argv at each of its calls; `before` is the layout it meets, or None."""
    top = os.path.join(b.work, "layout")
    if b.only not in f"{name} into a layout":
        return

    def restore():
        shutil.rmtree(top, ignore_errors=True)
        if before:
            shutil.copytree(before, top)

    restore()
    kept = {t: d for t, d in layout_tags(top).items() if not ALIAS.fullmatch(t)}
    b.must(argv)
    want, files = layout_tags(top), listing(top)
    faults = judge(want, layout_blob(top), layout_blob(top), kept)
    n, how = 0, "kill"
    while len(faults) < 20:
        restore()
        r = b.run(argv, how, n + 1)
        with open(b.report) as f:
            hit = re.search(r"^hit (\S+) (.*)", f.read())
        if not hit:
            break
        where = f"{how} at {n + 1} ({hit.group(1)} {hit.group(2).replace(b.work, '')}): "
        if r.returncode != 137:
            faults.append(f"{where}ended with {r.returncode}")
        faults += [where + f for f in judge(layout_tags(top), layout_blob(top), layout_blob(top), kept)]
        done = layout_tags(top) == want
        r = b.run(argv)
        if r.returncode and not (done and "nothing to release" in r.stderr):
            faults.append(f"{where}the second run ends with {r.returncode}: {r.stderr.strip()}")
        if layout_tags(top) != want:
            faults.append(f"{where}after the second run the tags are {sorted(layout_tags(top))}")
        if listing(top) != files:
            faults.append(f"{where}after the second run there are also {sorted(set(listing(top)) ^ set(files))}")
        faults += [where + "then: " + f for f in judge(layout_tags(top), layout_blob(top), layout_blob(top), kept)]
        if how == "kill" and hit.group(1) in ("write", "pwrite64") and b.every == 1:
            how = "tear"
            continue
        n, how = n + b.every, "kill"
    verdict(name + " into a layout", faults, n // b.every)


# ---- a registry ----------------------------------------------------------------------------------------------------------

class Deadly(fake_registry.Registry):
    """Kills the client at its n-th request: at once, or when the request was carried out."""
    victim, seen, at, late = None, 0, 0, False


class DeadlyHandler(fake_registry.Handler):
    def serve(self, r):
        with r.lock:
            r.seen += 1
            mine = r.seen == r.at
        if mine and not r.late:
            r.victim.send_signal(signal.SIGKILL)
            raise ConnectionResetError
        self.doomed = mine
        super().serve(r)

    def answer(self, *a, **k):
        if getattr(self, "doomed", False):
            self.doomed = False
            self.server.registry.victim.send_signal(signal.SIGKILL)
            raise ConnectionResetError
        super().answer(*a, **k)


def registry(b, name, profile, argv, before, git_tag=None, sparse=1):
    """before(host): commands that fill the registry first. sparse: where not every step is taken, so many times fewer."""
    every = b.every * sparse if b.every > 1 else 1
    if b.only not in f"{name} into {profile}":
        return

    def one(at, late):
        r = Deadly(profile)
        r.server.RequestHandlerClass = DeadlyHandler
        r.ready = threading.Event()
        where = [w.replace("HOST", r.host) for w in argv]
        if git_tag:
            b.shell(f"git tag -d {git_tag} 2>/dev/null || true")
        for words in before:
            b.must([w.replace("HOST", r.host) for w in words])
        r.seen, r.at, r.late = 0, at, late
        return r, where

    def tags(r):
        return dict(r.repos["org/ham"]["tags"]) if "org/ham" in r.repos else {}

    def judged(r, kept):
        manifests = r.repos.get("org/ham", {"manifests": {}})["manifests"]
        return judge(tags(r), lambda d: manifests[d][1] if d in manifests else None,
                     lambda d: r.blobs.get(d) if ("org/ham", d) in r.links else None, kept)

    r, where = one(0, False)
    kept = {t: d for t, d in tags(r).items() if not ALIAS.fullmatch(t)}
    b.must(where)
    want, total = tags(r), r.seen
    faults = judged(r, kept)
    r.close()
    for at in range(1, total + 1):
        for late in (False, True):
            if (2 * at + late) % every:
                continue
            r, where = one(at, late)
            r.victim = subprocess.Popen([b.mlxk, *where], env=b.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            status = r.victim.wait(120)
            step = f"{'after' if late else 'before'} {r.log[-1]['line'].split('?')[0][:60]}: "
            r.at = 0
            if status != -signal.SIGKILL and status != 0:
                faults.append(f"{step}ended with {status}")
            faults += [step + f for f in judged(r, kept)]
            whole = tags(r) == want
            if whole and "--force-major" in where:               # once more is one more
                if git_tag and b.shell(f"git tag -l {git_tag}").strip() != git_tag:
                    faults.append(f"{step}all is there but the tag of git")
                r.close()
                continue
            again = b.run(where)
            if again.returncode and not (whole and "nothing to release" in again.stderr):
                faults.append(f"{step}the second run ends with {again.returncode}: {again.stderr.strip()}")
            if tags(r) != want:
                faults.append(f"{step}after the second run the tags are {sorted(tags(r))}")
            faults += [step + "then: " + f for f in judged(r, kept)]
            if git_tag and b.shell(f"git tag -l {git_tag}").strip() != git_tag:
                faults.append(f"{step}after the second run there is no tag of git")
            r.close()
        if len(faults) > 20:
            break
    verdict(f"{name} into {profile}", faults, 2 * total // every)


def main(argv):
    options = dict(zip(argv[::2], argv[1::2]))
    work = os.path.abspath(options["--work"])
    b = Bench(os.path.abspath(options["--mlxk"]), work, options.get("--tool"), int(options.get("--every", 1)), options.get("--only", ""))
    top, first, second = (os.path.join(work, n) for n in ("layout", "first", "second"))
    b.must(["release", b.model, "oci:" + first, "--name", "ham"])
    if b.tool:
        layout(b, "store", ["store", b.model, "oci:" + top, "--branch"], None)
    registry(b, "store", "dist2", ["store", b.model, "HOST/org/ham", "--branch"], [])
    released = ["release", b.model, "HOST/org/ham"]
    b.change()
    shutil.copytree(first, second)
    if b.tool:
        layout(b, "release", ["release", b.model, "oci:" + top, "--name", "ham"], second)
    old = os.path.join(work, "old")
    b.shell(f"git worktree add -q {old} HEAD~1")
    registry(b, "release", "dist3", [*released, "--git-tag"], [["release", old, "HOST/org/ham", "--branch", "main"]], git_tag="mdl-ham-v0.2.0")
    registry(b, "major release", "zot", [*released, "--git-tag", "--force-major"], [["release", old, "HOST/org/ham", "--branch", "main"]], git_tag="mdl-ham-v1.0.0", sparse=3)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
