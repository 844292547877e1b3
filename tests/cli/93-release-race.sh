#!/bin/sh
# Two, or five, who release different contents at the same moment: one has the number, the others are told and take the next one when they come
# again; a version never moves, and its client and package are those of its content. Registries with and without deletes, and a layout.
. tests/tap.sh
export MLXK_RETRY_BASE_MS=1
cat > "$T/race.py" <<'PY'
import json
import os
import re
import subprocess
import sys
import threading

sys.path.insert(0, "tests/fake")
import fake_registry     # noqa: E402

mlxk, work = os.environ["MLXK"], os.environ["T"]
N = 5


def model(i):
    top = f"{work}/m{i}"
    os.makedirs(top, exist_ok=True)
    with open(top + "/config.json", "w", encoding="utf-8") as f:
        f.write('{"model_type": "llama"}')
    with open(top + "/weights.bin", "w", encoding="utf-8") as f:
        f.write(f"weights {i}")
    return top


def env(i):
    return {"PATH": os.environ["PATH"], "HOME": f"{work}/home{i}", "MLXK_RETRY_BASE_MS": "1", "DOCKER_CONFIG": f"{work}/none"}


def release(i, where):
    r = subprocess.run([mlxk, "release", model(i), where, "--name", "ham", "--json"], env=env(i), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    try:
        return i, r.returncode, json.loads(r.stdout), r.stderr
    except ValueError:
        return i, r.returncode, {"error": {"message": r.stdout + r.stderr}}, r.stderr


def at_once(who, where):
    out = []
    threads = [threading.Thread(target=lambda i=i: out.append(release(i, where))) for i in who]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return sorted(out, key=lambda x: x[0])


def ok(name, faults):
    print(f"{'not ' if faults else ''}ok race/{name}")
    for f in faults[:5]:
        print("#", str(f)[:300])


def play(name, where, tags_of, moved):
    """All at once, then those who lost again one by one."""
    faults, left, won = [], list(range(N)), {}
    for _ in range(3 * N):
        if not left:
            break
        said = at_once(left, where)
        for i, status, d, err in said:
            if status == 0:
                if d["data"]["tag"] in won:
                    faults.append(("one number for two", d["data"]["tag"], i, won))
                won[d["data"]["tag"]] = (i, d["data"]["digest"], d["data"]["client"]["digest"], d["data"]["package"]["digest"])
            elif not re.search("somebody else|names sha256:", d["error"]["message"]) or not d["error"].get("detail"):
                faults.append((i, status, d["error"], err[-200:]))
        left = [i for i, status, _, _ in said if status]
        if not any(status == 0 for _, status, _, _ in said):
            faults.append(("nobody got on", [d["error"]["message"] for _, _, d, _ in said]))
    tags = tags_of()
    if left or len(won) != N:
        faults.append(("left", left, sorted(won)))
    for tag, (i, digest, client, package) in won.items():
        if tags.get(tag) != digest or tags.get("client-" + tag) != client or tags.get("pkg-" + tag) != package:
            faults.append((tag, "is not what was told", i))
    faults += [("left behind", t) for t in tags if t.startswith("claim.")] + moved()
    ok(name, faults)


class Watch(fake_registry.Registry):
    """Remembers every version that was set to another content."""
    def __init__(self, *a, **k):
        self.first, self.moves = {}, []
        super().__init__(*a, **k)


class Watcher(fake_registry.Handler):
    def manifests(self, r, name, repo, what, query):
        super().manifests(r, name, repo, what, query)
        for tag, digest in list(repo["tags"].items()):
            if re.fullmatch(r"((client|pkg)-)?v\d+\.\d+\.\d+", tag) and r.first.setdefault(tag, digest) != digest:
                r.moves.append(("moved", tag))


for profile in ("dist2", "dist3", "zot"):
    r = Watch(profile)
    r.server.RequestHandlerClass = Watcher
    where = r.host + "/org/ham"
    play(profile, where, lambda: dict(r.repos["org/ham"]["tags"]), lambda: r.moves)
    r.close()

class Held(fake_registry.Registry):
    """The first who is about to move `latest` is held there until another one, who has more to release, claims the model."""
    def __init__(self, *a, **k):
        self.other, self.result, self.ahead = None, None, []
        super().__init__(*a, **k)

    def claims(self):
        return len(self.requests("PUT .*/manifests/claim"))

    def meanwhile(self):
        before = self.claims()
        self.other = threading.Thread(target=lambda: setattr(self, "result", release(1, self.host + "/org/ham")))
        self.other.start()
        while self.other.is_alive() and self.claims() == before:
            self.other.join(0.01)


class Holder(fake_registry.Handler):
    def manifests(self, r, name, repo, what, query):
        if self.command == "PUT" and what == "latest" and r.other is None:
            r.meanwhile()
        alias = re.fullmatch(r"latest|(?:ham-)?(?:(?:client|pkg)-)?v\d+(?:\.\d+)?", what)
        if self.command == "PUT" and alias and not any(re.fullmatch(r"v\d+\.\d+\.\d+", t) for t in repo["tags"]):
            r.ahead.append((what, "was set before any release stood"))
        super().manifests(r, name, repo, what, query)


# An alias follows the release that it names, and never goes back to a lower one.
for profile in ("dist2", "dist3", "zot"):
    r = Held(profile)
    r.server.RequestHandlerClass = Holder
    a = release(0, r.host + "/org/ham")
    r.other.join()
    b = r.result if r.result[1] == 0 else release(1, r.host + "/org/ham")
    t = dict(r.repos["org/ham"]["tags"])
    wrong = [(x, "is not", to) for x, to in {"latest": "v0.2.0", "v0": "v0.2.0", "v0.2": "v0.2.0", "client-v0": "client-v0.2.0", "ham-client-v0": "client-v0.2.0",
             "pkg-v0": "pkg-v0.2.0", "ham-pkg-v0": "pkg-v0.2.0", "pkg-v0.1": "pkg-v0.1.0", "v0.1": "v0.1.0"}.items() if t.get(x) != t.get(to, "none")]
    ok(f"{profile}/never_back", wrong + r.ahead + [x for x in (a, b) if x[1]] + [("left", x) for x in t if x.startswith("claim.")])
    r.close()

# Where nothing can be deleted nothing is claimed: a release is made, and only its tags stand there.
r = fake_registry.Registry("dist2")
r.deletes = False
_, status, d, err = release(0, r.host + "/org/ham")
ok("no_deletes", [(status, d, err)] if status or any(t.startswith("claim.") for t in r.repos["org/ham"]["tags"]) else [])
r.close()


def layout_tags(top):
    with open(top + "/index.json", encoding="utf-8") as f:
        return {m["annotations"]["org.opencontainers.image.ref.name"]: m["digest"] for m in json.load(f)["manifests"] if "annotations" in m}


play("layout", f"oci:{work}/layout", lambda: layout_tags(work + "/layout"),
     lambda: [("left behind", n) for n in os.listdir(work + "/layout") if n.endswith(".release")])
PY
python3 "$T/race.py"
