"""registry_cases.py PROGRAM FOLDER [NAME...]: registries of every temper, as TAP lines.

Each case has registries of its own (fake_registry.py) and a fresh cache; what a case says it expects is
compared with exit status, document, requests and files."""
import base64
import gzip
import hashlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import schema
from fake_registry import INDEX, MANIFEST, Handler, Registry, sha

PROGRAM, FOLDER = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
CASES = []


def case(f):
    CASES.append(f)
    return f


class Wrong(Exception):
    pass


def check(ok, *what):
    if not ok:
        raise Wrong(" ".join(str(w) for w in what))


class World:
    def __init__(self, name):
        self.dir = os.path.join(FOLDER, name)
        os.makedirs(self.dir + "/home")
        self.registries = []
        self.env = {"PATH": os.environ["PATH"], "HOME": self.dir + "/home", "HF_HOME": self.dir + "/hf", "MLXK_RETRY_BASE_MS": "1",
                    "LC_ALL": "C.UTF-8", "no_proxy": "*"}

    def registry(self, *a, **k):
        r = Registry(*a, **k)
        self.registries.append(r)
        return r

    def start(self, *args):
        return subprocess.Popen([PROGRAM, *args], env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, *args, status=0, seconds=60):
        p = self.start(*args)
        try:
            out, diag = p.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            p.kill()
            p.communicate()
            raise Wrong("%s did not end in %d s" % (args, seconds))
        self.out, self.diag = out.decode(errors="replace"), diag.decode(errors="replace")
        check(p.returncode == status, args, "ended with", p.returncode, "not", status, "|", self.out[-300:], self.diag[-300:])
        return self.out

    def json(self, *args, status=0, **k):
        doc = json.loads(self.run(*args, "--json", status=status, **k))
        check(not schema.check(doc), args, schema.check(doc)[:2])
        return doc["data"] if status == 0 else doc["error"]

    def snapshot(self, repo="*"):
        found = {}
        for root, _, files in os.walk(self.dir + "/hf/hub"):
            if "/snapshots/" in root:
                for f in files:
                    with open(os.path.join(root, f), "rb") as h:
                        found[os.path.join(root, f).split("/snapshots/")[1].split("/", 1)[1]] = h.read()
        return found

    def nothing_shown(self):
        check(not self.snapshot(), "something is shown:", sorted(self.snapshot()))
        for root, _, files in os.walk(self.dir + "/hf"):
            for f in files:
                whole = "/blobs/" in root + "/" and len(f) == 64
                if whole:
                    with open(os.path.join(root, f), "rb") as h:
                        check(hashlib.sha256(h.read()).hexdigest() == f, "a blob that is not what its name says", f)

    def nothing_odd(self):
        """No file beside whole blobs: nothing half-way, nothing under a name of its own."""
        for root, _, files in os.walk(self.dir + "/hf"):
            for f in files:
                check("/blobs" not in root or len(f) == 64, "left behind:", f)

    def layout(self, files, tag="v1", name="layout"):
        """A layout in a folder, made here; returns its path and digest."""
        path = os.path.join(self.dir, name)
        r = self.registry()
        r.model("m", files, tag)
        (digest, (kind, data)), = r.repos["m"]["manifests"].items()
        os.makedirs(path + "/blobs/sha256")
        for d, b in list(r.blobs.items()) + [(digest, data)]:
            with open(path + "/blobs/sha256/" + d[7:], "wb") as f:
                f.write(b)
        with open(path + "/oci-layout", "w") as f:
            f.write('{"imageLayoutVersion":"1.0.0"}')
        with open(path + "/index.json", "w") as f:
            json.dump({"schemaVersion": 2, "manifests": [{"mediaType": MANIFEST, "digest": digest, "size": len(data),
                                                          "annotations": {"org.opencontainers.image.ref.name": tag}}]}, f)
        return path, digest


FILES = {"config.json": b"{}", "sub/a.bin": bytes(range(256)) * 300, "README.md": b"hello\n", "again/README.md": b"hello\n"}


def pulled(w, r, name="org/m", tag="v1", **k):
    return w.json("pull", "oci://%s/%s:%s" % (r.host, name, tag), **k)


# ---- pulling ----

@case
def pull_whole(w):
    r = w.registry()
    digest = r.model("org/m", FILES)
    d = pulled(w, r)
    check(d["digest"] == digest and d["commit_hash"] == digest[7:47] and d["n_files"] == 4 and d["n_fetched"] == 3, d)
    check(w.snapshot() == FILES, w.snapshot().keys())
    n = len(r.requests("GET .*/blobs/"))
    d = pulled(w, r)
    check(d["download_status"] == "already_exists" and len(r.requests("GET .*/blobs/")) == n, d)
    check(w.json("list", "--all")["models"][0]["name"] == d["model"])
    w.run("rm", d["model"], "--force")
    w.nothing_shown()


@case
def pull_lying_digest(w):
    r = w.registry()
    r.model("org/m", FILES)
    r.fault("GET .*/blobs/" + sha(FILES["sub/a.bin"]), times=99, flip=500)
    check(pulled(w, r, status=1)["type"] == "integrity_error")
    w.nothing_shown()


@case
def pull_lying_manifest(w):
    r = w.registry()
    digest = r.model("org/m", FILES)
    r.fault("GET .*/manifests/sha256", times=99, flip=3)
    check(w.json("pull", "oci://%s/org/m@%s" % (r.host, digest), status=1)["type"] in ("integrity_error", "invalid_format"))
    r.faults.clear()
    r.fault("GET .*/manifests/v1", times=99, digest="sha256:" + "0" * 64)
    check(pulled(w, r, status=1)["type"] == "integrity_error")
    w.nothing_shown()


@case
def pull_too_much(w):
    for what in ({"extra": 100}, {"endless": True}):
        r = w.registry()
        r.model("org/m", FILES)
        r.fault("GET .*/blobs/" + sha(FILES["sub/a.bin"]), times=99, **what)
        check(pulled(w, r, status=1, seconds=20)["type"] == "integrity_error")
        r.fault("GET .*/manifests/", times=99, endless=True)
        check(pulled(w, r, status=1, seconds=20)["type"] == "limit_exceeded")
    w.nothing_shown()


@case
def pull_traversal(w):
    for path in ("../../x", "/etc/x", "a/../../b", "a\\b", "", "a//b", "..", "a\nb", "config.json"):
        r = w.registry()
        doc = r.document(r.model("org/m", {"config.json": b"{}", "b": b"2"}))
        for key in ("org.cncf.model.filepath", "org.opencontainers.image.title"):
            doc["layers"][1]["annotations"][key] = path
        r.put("org/m", json.dumps(doc).encode(), "v1")
        pulled(w, r, status=1)
        check(not r.requests("GET .*/blobs/"), "blobs were fetched for", repr(path))
    w.nothing_shown()


def packed(entries, how="tar"):
    """A tar archive of (name, content or None for a folder or a TarInfo), gzipped or not."""
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w", format=tarfile.PAX_FORMAT) as t:
        for name, data in entries:
            x = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(data, bytes):
                x.size = len(data)
            elif data is None:
                x.type = tarfile.DIRTYPE
            t.addfile(x, io.BytesIO(data) if isinstance(data, bytes) else None)
    return gzip.compress(b.getvalue(), mtime=0) if how.endswith("gzip") else b.getvalue()


def with_layers(r, layers, tag="v1"):
    """org/m:TAG of layers (media type, bytes, annotations)."""
    doc = r.document(r.model("org/m", {"x": b"x"}))
    doc["layers"] = []
    for kind, data, annotations in layers:
        r.blob("org/m", data)
        doc["layers"].append({"mediaType": kind, "digest": sha(data), "size": len(data), "annotations": annotations})
    return r.put("org/m", json.dumps(doc).encode(), tag)


def tree(files):
    return [("sub", None)] + [("./" + n if n == "README.md" else n, d) for n, d in files.items()]


MODEL_TYPE = "application/vnd.cncf.model.weight.v1."


@case
def pull_packed(w):
    big = dict(FILES, **{"empty.txt": b"", "deep/" + "n" * 150 + "/w.bin": os.urandom(700000)})
    for i, (kind, how) in enumerate(((MODEL_TYPE + "tar", "tar"), (MODEL_TYPE + "tar+gzip", "gzip"), ("application/vnd.kitops.modelkit.model.v1.tar+gzip", "gzip"),
                                     ("application/vnd.oci.image.layer.v1.tar+gzip", "gzip"), ("application/vnd.cnai.model.weight.v1.tar", "gzip"))):
        r = w.registry()
        notes = {"io.deis.oras.content.unpack": "true", "org.opencontainers.image.title": "sub"} if "image.layer" in kind else {"org.cncf.model.filepath": "x"}
        layer = packed(tree(big), how)
        with_layers(r, [(kind, layer, notes), (kind, layer, notes), (MODEL_TYPE + "raw", b"plain", {"org.cncf.model.filepath": "plain.txt"})])
        d = pulled(w, r)
        check(w.snapshot() == dict(big, **{"plain.txt": b"plain"}) and d["n_files"] == len(big) + 1, kind, d)
        n = len(r.requests("GET .*/blobs/"))
        d = pulled(w, r)
        check(d["download_status"] == "already_exists" and len(r.requests("GET .*/blobs/")) == n and d["n_files"] == len(big) + 1, kind, d)
        check(not [f for root, _, fs in os.walk(w.dir + "/hf") for f in fs if f.startswith("oci-")], "the archive, or its lock, stays")
        w.nothing_odd()
        w.run("rm", d["model"], "--force")


@case
def pull_packed_hostile(w):
    def link(kind, to):
        x = tarfile.TarInfo("weights.bin")
        x.type, x.linkname = kind, to
        return x
    good = ("config.json", b"{}")
    for bad in (("../../x", b"x"), ("/etc/x", b"x"), ("a/../b", b"x"), ("a\\b", b"x"), ("config.json", b"twice"), ("a\nb", b"x"), ("../up", None),
                ("", link(tarfile.SYMTYPE, "/etc/passwd")), ("", link(tarfile.LNKTYPE, "config.json")), ("", link(tarfile.CHRTYPE, "")), ("", link(tarfile.FIFOTYPE, ""))):
        r = w.registry()
        with_layers(r, [(MODEL_TYPE + "tar", packed([good, bad]), {})])
        check(pulled(w, r, status=1)["type"] in ("invalid_format", "ValidationError"), bad, w.out)
        w.nothing_shown()
        w.nothing_odd()
    whole = packed([good, ("a.bin", bytes(100000))])
    for data, kind in ((whole[:1000], "tar"), (whole[:70000], "tar"), (b"no archive", "tar"), (gzip.compress(whole)[:-20], "tar+gzip"), (b"\x1f\x8b" + bytes(3000), "tar+gzip"),
                       (packed([]), "tar"), (gzip.compress(whole[:50000]), "tar+gzip"), (b"", "tar")):
        r = w.registry()
        with_layers(r, [(MODEL_TYPE + kind, data, {})])
        pulled(w, r, status=1)
        w.nothing_shown()
        w.nothing_odd()
    for kind in (MODEL_TYPE + "tar+zstd", "application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar.gzip"):
        r = w.registry()
        with_layers(r, [(kind, whole, {})])
        check(pulled(w, r, status=1)["type"] == "not_implemented", kind)
    r = w.registry()
    with_layers(r, [(MODEL_TYPE + "tar", whole, {})])
    r.fault("GET .*/blobs/", times=99, flip=700)
    check(pulled(w, r, status=1)["type"] == "integrity_error")
    w.nothing_shown()
    w.nothing_odd()
    r.faults.clear()
    pulled(w, r)


@case
def pull_sha512(w):
    r = w.registry()
    data, small = os.urandom(600000), b"small"
    doc = r.document(r.model("org/m", {"config.json": b"{}", "a.bin": data, "b": small}))
    for i, x in ((1, data), (2, small)):
        doc["layers"][i]["digest"] = "sha512:" + hashlib.sha512(x).hexdigest()
        r.blobs[doc["layers"][i]["digest"]] = x
        r.links.add(("org/m", doc["layers"][i]["digest"]))
    doc["layers"].append(dict(doc["layers"][1], annotations={"org.cncf.model.filepath": "again.bin"}))
    r.put("org/m", json.dumps(doc).encode(), "v1")
    d = pulled(w, r)
    check(w.snapshot() == {"config.json": b"{}", "a.bin": data, "b": small, "again.bin": data}, d)
    w.nothing_odd()
    check(pulled(w, r)["download_status"] == "already_exists")
    w.run("rm", d["model"], "--force")
    r.fault("GET .*/blobs/sha512", times=99, flip=7)
    check(pulled(w, r, status=1)["type"] == "integrity_error")
    w.nothing_shown()


@case
def limited_rate(w):
    r, to = w.registry(), w.registry()
    data = os.urandom(1500000)
    r.model("org/m", {"a": data})
    for args in (("pull", "oci://%s/org/m:v1" % r.host), ("copy", r.host + "/org/m:v1", "oci:l"), ("copy", "oci:l:v1", to.host + "/org/m")):
        began = time.time()
        w.run(*args, "--limit-rate", "1M")
        check(time.time() - began > 0.9, args, "took", time.time() - began)
    check(w.snapshot() == {"a": data})


@case
def pull_others(w):
    r = w.registry()
    doc = r.document(r.model("org/m", {"a": b"1"}))
    doc["layers"][0] = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": sha(b"1"), "size": 1}
    r.put("org/m", json.dumps(doc).encode(), "v1")
    pulled(w, r, status=1)
    r.put("org/m", json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode(), "v1", INDEX)
    check(pulled(w, r, status=1)["type"] == "not_implemented")
    w.nothing_shown()


@case
def pull_broken_and_resumed(w):
    r = w.registry()
    r.model("org/m", FILES)
    for n in (1000, 5000, 0, 70000):
        r.fault("GET .*/blobs/" + sha(FILES["sub/a.bin"]), after=n)
    pulled(w, r)
    check(w.snapshot() == FILES)
    ranges = [e["range"] for e in r.requests("GET .*/blobs/" + sha(FILES["sub/a.bin"]))]
    check(ranges[:3] == ["", "bytes=1000-", "bytes=6000-"], ranges)


@case
def pull_resumed_without_ranges(w):
    r = w.registry()
    r.model("org/m", FILES)
    r.no_ranges = True
    r.fault("GET .*/blobs/" + sha(FILES["sub/a.bin"]), after=40000)
    pulled(w, r)
    check(w.snapshot() == FILES)


@case
def pull_wrong_part(w):
    r = w.registry()
    r.model("org/m", FILES)
    r.fault("GET .*/blobs/" + sha(FILES["sub/a.bin"]), after=40000)
    r.fault("GET .*/blobs/" + sha(FILES["sub/a.bin"]), times=99, start=50000)
    check(pulled(w, r, status=1)["type"] == "integrity_error")
    w.nothing_shown()


@case
def pull_killed_goes_on(w):
    r = w.registry()
    data = os.urandom(3000000)
    r.model("org/m", {"big.bin": data})
    r.fault("GET .*/blobs/" + sha(data), after=1500000)
    r.fault("GET .*/blobs/" + sha(data), times=99, status=503)
    pulled(w, r, status=1)
    r.faults.clear()
    d = pulled(w, r)
    check(d["resumed_bytes"] >= 1000000 and d["fetched_bytes"] + d["resumed_bytes"] == len(data), d)
    check(w.snapshot() == {"big.bin": data})


@case
def pull_busy(w):
    r = w.registry()
    r.model("org/m", FILES)
    r.fault("GET .*/manifests/", times=2, status=429, headers={"Retry-After": "0"})
    r.fault("GET .*/blobs/", times=2, status=503)
    pulled(w, r)
    check(w.snapshot() == FILES)
    r.fault("GET .*/manifests/", times=99, status=429, headers={"Retry-After": "0"})
    check(pulled(w, r, status=1)["type"] == "rate_limited")


@case
def pull_latest_and_refs(w):
    r = w.registry()
    one, two = r.model("org/m", {"a": b"1"}, "v1"), r.model("org/m", {"a": b"2"}, "latest")
    d = w.json("pull", "oci://%s/org/m:v1" % r.host)
    refs = w.dir + "/hf/hub/models--" + d["model"].replace("/", "--") + "/refs/"
    check(open(refs + "v1").read() == open(refs + "main").read() == one[7:47])
    w.json("pull", "oci://%s/org/m" % r.host)
    check(open(refs + "latest").read() == open(refs + "main").read() == two[7:47])
    check(w.json("show", "oci://%s/org/m:v1" % r.host)["model"]["hash"] == one[7:47])
    check("is not in the cache" in w.json("show", "oci://%s/org/m:v9" % r.host, status=1)["message"])


@case
def floating_tags_and_locks(w):
    r = w.registry()
    made = {t: r.model("org/m", {"config.json": b"{}", "a": t.encode()}, t) for t in ("v1.2.0", "v1.10.0", "v1.9.3", "v2.0.0", "v1.11.0-topic", "v1.x", "v3")}
    for tag, best in (("v1", "v1.10.0"), ("v1.9", "v1.9.3"), ("v1.10.0", "v1.10.0"), ("v3", "v3"), ("v2", "v2.0.0"), ("v1.11.0-topic", "v1.11.0-topic")):
        d = pulled(w, r, tag=tag)
        check(d["digest"] == made[best], tag, d)
        check(w.json("show", "oci://%s/org/m:%s" % (r.host, tag))["model"]["hash"] == made[best][7:47])
    check("v9" in pulled(w, r, tag="v9", status=1)["message"])
    pulled_lock = w.json("pull", "oci://%s/org/m:v1" % r.host, "--lock", "l.json")
    with open(w.dir + "/l.json") as f:
        text = f.read()
    entry = json.loads(text)["repos"][0]
    check(entry["digest"] == made["v1.10.0"] and entry["revision"] == "v1" and entry["commit"] == pulled_lock["commit_hash"], entry)
    check([(f["path"], f["digest"]) for f in entry["files"]] == [("a", sha(b"v1.10.0")), ("config.json", sha(b"{}"))], entry)
    r.model("org/m", {"config.json": b"{}", "a": b"newer"}, "v1.12.0")
    w.run("rm", pulled_lock["model"], "--force")
    d = w.json("pull", "oci://%s/org/m:v1" % r.host, "--frozen", "l.json")
    check(d["digest"] == made["v1.10.0"] and w.snapshot()["a"] == b"v1.10.0", d)
    check(w.json("show", "oci://%s/org/m:v1" % r.host)["model"]["hash"] == made["v1.10.0"][7:47])
    check(pulled(w, r, tag="v1")["digest"] != made["v1.10.0"])
    w.json("pull", "oci://%s/org/m:v2" % r.host, "--frozen", "l.json", status=1)
    w.json("pull", "oci://%s/org/m:v1" % r.host, "--frozen", "l.json", "--lock", "m.json", status=1)
    for bad in (text.replace(made["v1.10.0"], "sha256:" + "0" * 64), text.replace('"digest": "%s",' % made["v1.10.0"], "")):
        with open(w.dir + "/bad.json", "w") as f:
            f.write(bad)
        w.json("pull", "oci://%s/org/m:v1" % r.host, "--frozen", "bad.json", status=1)
    before = text
    w.json("pull", "oci://%s/org/m:v2" % r.host, "--lock", "l.json")
    w.json("pull", "oci://%s/org/m@%s" % (r.host, made["v1.10.0"]), "--lock", "l.json")
    check(len(json.load(open(w.dir + "/l.json"))["repos"]) == 3 and before != open(w.dir + "/l.json").read())


def runs():
    """The files of a small model that runs."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "tiny-a")
    files = {}
    for folder in ("llama-q4-g64", "_tokenizer"):
        for name in os.listdir(os.path.join(here, folder)):
            if name.endswith((".json", ".safetensors")) and not name.startswith("golden"):
                with open(os.path.join(here, folder, name), "rb") as f:
                    files[name] = f.read()
    return files


@case
def use_fetches(w):
    """Commands that use a model fetch one that a reference names, once; those that look do not."""
    r = w.registry()
    r.model("org/m", runs(), "v0.1.0")
    ref = "oci://%s/org/m:v0.1" % r.host
    w.json("show", ref, status=1)
    check(not r.log)
    d = w.json("run", ref, "Hello", "--max-tokens", "3", "--temperature", "0")
    check("is fetched" in w.diag or d, w.diag)
    n = len(r.log)
    w.run("run", ref, "Hello", "--max-tokens", "3")
    check(n > 0 and len(r.log) == n, "the registry was asked again")
    check(w.json("run", "oci://%s/org/m:v8" % r.host, "Hello", status=1)["type"], w.out)


@case
def pulled_is_like_any_other(w):
    """list, show, health, verify, run know it by name; another machine gets it through the mirror, to the byte; damage is seen and mended."""
    r = w.registry()
    files = runs()
    digest = r.model("org/m", files, "v1.0.0")
    name, commit = pulled(w, r, tag="v1")["model"], digest[7:47]
    row, = w.json("list")["models"]
    check(row["name"] == name and row["hash"] == commit and row["runtime_compatible"] and row["health"] == "healthy", row)
    check(w.json("show", name)["model"]["hash"] == w.json("show", name + "@v1.0.0")["model"]["hash"] == commit)
    d = w.json("verify", name)
    check(d["good"] == len(files) and d["wrong"] == 0, d)
    words = [w.json("run", x, "Hello", "--max-tokens", "4", "--temperature", "0")["response"] for x in (name, "oci://%s/org/m:v1.0.0" % r.host)]
    check(words[0] and words[0] == words[1], words)
    p = w.start("mirror", "--port", "0")
    try:
        url = ""
        while "HF_ENDPOINT=" not in url and p.poll() is None:
            url += p.stdout.readline().decode()
        mine, w.env = w.env, dict(w.env, HF_HOME=w.dir + "/other", HF_ENDPOINT=url.split("HF_ENDPOINT=")[1].split()[0])
        d = w.json("pull", name + "@v1.0.0")
        found = {f: open(os.path.join(at, f), "rb").read() for at, _, fs in os.walk(w.dir + "/other/hub") if "/snapshots/" in at for f in fs}
        check(d["commit_hash"] == commit and found == files, d, sorted(found))
        w.env = mine
    finally:
        p.kill()
        p.communicate()
    blob = max((os.path.join(at, f) for at, _, fs in os.walk(w.dir + "/hf/hub") if at.endswith("/blobs") for f in fs), key=os.path.getsize)
    os.chmod(blob, 0o644)
    with open(blob, "r+b") as f:
        f.seek(1000)
        f.write(b"damage")
    w.json("verify", name, status=1)
    w.env["HF_ENDPOINT"] = "http://" + r.host        # whoever is there hears nothing of a name that is not the hub's
    n = len(r.log)
    check("is not of the hub" in w.run("verify", name, "--repair", status=1) and len(r.log) == n, w.out, r.log[n:])
    w.json("pull", "oci://%s/org/m:v1.0.0" % r.host, "--redownload")
    check(w.snapshot() == files and w.json("verify", name)["good"] == len(files))
    w.run("rm", name, "--force")
    check(w.json("list", "--all")["models"] == [])


@case
def pull_of_layouts(w):
    path, digest = w.layout(FILES)
    check(w.json("pull", "oci:%s:v1" % path)["digest"] == digest)
    check(w.snapshot() == FILES)
    w.run("copy", "oci:%s:v1" % path, "oci-archive:x.tar")
    with open(path + "/blobs/sha256/" + hashlib.sha256(FILES["sub/a.bin"]).hexdigest(), "r+b") as f:
        f.write(b"damage")
    w.run("rm", w.json("list", "--all")["models"][0]["name"], "--force")
    check(w.json("pull", "oci:%s:v1" % path, status=1)["type"] == "integrity_error")
    w.nothing_shown()
    check(w.json("pull", "oci-archive:x.tar:v1")["digest"] == digest)


# ---- who asks ----

def secret(w, host, user="ada", password="secret"):
    os.makedirs(w.dir + "/home/.docker", exist_ok=True)
    with open(w.dir + "/home/.docker/config.json", "w") as f:
        json.dump({"auths": {host: {"auth": base64.b64encode((user + ":" + password).encode()).decode()}}}, f)


@case
def auth_basic(w):
    r = w.registry(auth="basic")
    r.model("org/m", FILES)
    check(pulled(w, r, status=1)["type"] == "access_denied")
    secret(w, r.host, password="wrong")
    check(pulled(w, r, status=1)["type"] == "access_denied")
    check("wrong" not in w.out + w.diag)
    secret(w, r.host)
    pulled(w, r)
    check(w.snapshot() == FILES)


@case
def auth_token(w):
    r = w.registry(auth="token")
    r.model("org/m", FILES)
    check(pulled(w, r, status=1)["type"] == "access_denied")
    secret(w, "https://%s/v1/" % r.host)
    pulled(w, r)
    check(w.snapshot() == FILES and len(r.asked) == 1, r.asked)
    check(r.asked == [["repository:org/m:pull"]], r.asked)


@case
def auth_anonymous_token(w):
    r = w.registry(auth="token")
    r.anonymous = True
    r.model("org/m", FILES)
    pulled(w, r)
    check(w.snapshot() == FILES)


@case
def auth_identity_token(w):
    for no_form in (False, True):
        r = w.registry(auth="token")
        r.model("org/m", FILES)
        r.no_form = no_form
        os.makedirs(w.dir + "/home/.docker", exist_ok=True)
        with open(w.dir + "/home/.docker/config.json", "w") as f:
            json.dump({"auths": {r.host: {"identitytoken": "identity"}}}, f)
        if no_form:
            r.anonymous = True
        pulled(w, r)
        check(bool(r.requests("POST /token")), "no form")


@case
def auth_helper(w):
    r = w.registry(auth="basic")
    r.model("org/m", FILES)
    os.makedirs(w.dir + "/bin")
    with open(w.dir + "/bin/docker-credential-test", "w") as f:
        f.write('#!/bin/sh\nread -r key; echo "$1 $key $#" > "%s/asked"\n'
                '[ "$key" = "%s" ] && echo \'{"ServerURL":"x","Username":"ada","Secret":"secret"}\' && exit 0\n'
                'echo "credentials not found in native keychain"; exit 1\n' % (w.dir, r.host))
    os.chmod(w.dir + "/bin/docker-credential-test", 0o755)
    w.env["PATH"] = w.dir + "/bin:" + w.env["PATH"]
    os.makedirs(w.dir + "/home/.docker")
    with open(w.dir + "/home/.docker/config.json", "w") as f:
        json.dump({"credsStore": "test"}, f)
    pulled(w, r)
    check(open(w.dir + "/asked").read() == "get %s 1\n" % r.host)
    other = w.registry(auth="basic")
    other.model("org/m", FILES)
    check(pulled(w, other, status=1)["type"] == "access_denied")
    with open(w.dir + "/home/.docker/config.json", "w") as f:
        json.dump({"credsStore": "absent"}, f)
    check("docker-credential-absent" in pulled(w, r, tag="v2", status=1)["message"])


def feed(w, text, *args, status=0):
    """The program with this on its standard input."""
    p = subprocess.run([PROGRAM, *args], env=w.env, cwd=w.dir, input=text.encode(), capture_output=True, timeout=60)
    w.out, w.diag = p.stdout.decode(), p.stderr.decode()
    check(p.returncode == status, args, "ended with", p.returncode, "not", status, "|", w.out[-300:], w.diag[-300:])
    check("secret" not in w.out + w.diag, "the password was shown")
    return w.out


@case
def login_keeps_and_forgets(w):
    path = w.dir + "/home/.docker/config.json"
    for auth in ("basic", "token"):
        r = w.registry(auth=auth)
        r.model("org/m", FILES)
        feed(w, "wrong-secret", "login", r.host, "--username", "ada", status=1)
        check("does not accept" in w.diag and (auth == "token" or not os.path.exists(path)), w.diag)
        check("as ada" in feed(w, "secret\n", "login", r.host, "--username", "ada"))
        check(w.json("tags", r.host + "/org/m")["tags"] == ["v1"])
        with open(path) as f:
            doc = json.load(f)
        check(doc["auths"][r.host]["auth"] == base64.b64encode(b"ada:secret").decode() and os.stat(path).st_mode & 0o777 == 0o600, doc)
        doc.update(other={"a": [1, 2.5, None]}, currentContext="x")
        doc["auths"].setdefault("else.example", {"auth": "YTpi"})
        with open(path, "w") as f:
            json.dump(doc, f)
        d = json.loads(feed(w, "secret", "login", "https://%s/" % r.host, "--username", "ada", "--no-check", "--json"))["data"]
        check(d["file"] == path and d["checked"] is False and d["helper"] is None, d)
        with open(path) as f:
            check(json.load(f) == doc, "the rest of the file has changed")
        check(not [e for e in r.log if e["line"].startswith("GET /v2/_")])
    w.run("logout", r.host)
    with open(path) as f:
        check(r.host not in json.load(f)["auths"])
    w.json("tags", r.host + "/org/m", status=1)
    check(w.json("logout", r.host, status=1)["type"] == "model_not_found" or "no account" in w.out)
    feed(w, "secret", "login", w.registry().host, "--username", "ada")
    check("lets everybody in" in w.diag, w.diag)


@case
def login_files_and_links(w):
    r = w.registry(auth="basic")
    os.makedirs(w.dir + "/home/.docker")
    path = w.dir + "/home/.docker/config.json"
    with open(w.dir + "/real.json", "w") as f:
        f.write("{}")
    os.symlink(w.dir + "/real.json", path)
    feed(w, "secret", "login", r.host, "--username", "ada")
    check(os.path.islink(path) and r.host in open(w.dir + "/real.json").read())
    with open(w.dir + "/real.json", "w") as f:
        f.write('{"auths": {')
    feed(w, "secret", "login", r.host, "--username", "ada", status=1)
    check(open(w.dir + "/real.json").read() == '{"auths": {' and "stays as it is" in w.diag, w.diag)
    os.unlink(path)
    w.env["REGISTRY_AUTH_FILE"] = w.dir + "/new/auth.json"
    feed(w, "sec ret", "login", r.host, "--username", "ada", "--no-check")
    check(json.load(open(w.dir + "/new/auth.json"))["auths"][r.host]["auth"] == base64.b64encode(b"ada:sec ret").decode())
    check(not os.path.exists(path))
    for args, status in (([r.host], 1), (["ada-secret-token"], 2), ([r.host + "/org", "--username", "a"], 2), (["--username", "a"], 1),
                         ([r.host, "--username", "a:b"], 1), ([r.host, "--username", "a", "--name", "x"], 1)):
        feed(w, "secret" if args != [r.host, "--username", "a:b"] else "", "login", *args, status=status)
    feed(w, "", "login", r.host, "--username", "a", status=1)


@case
def login_helper(w):
    r = w.registry(auth="basic")
    r.model("org/m", FILES)
    os.makedirs(w.dir + "/bin")
    with open(w.dir + "/bin/docker-credential-test", "w") as f:
        f.write('#!/bin/sh\necho "$*" >> "%s/asked"\ncase $1 in store) cat > "%s/kept";; get) read -r key; [ -e "%s/kept" ] && cat "%s/kept" ||'
                ' { echo "credentials not found in native keychain"; exit 1; };; erase) rm "%s/kept" 2> /dev/null ||'
                ' { echo "credentials not found in native keychain"; exit 1; };; esac\n' % ((w.dir,) * 5))
    os.chmod(w.dir + "/bin/docker-credential-test", 0o755)
    w.env["PATH"] = w.dir + "/bin:" + w.env["PATH"]
    os.makedirs(w.dir + "/home/.docker")
    path = w.dir + "/home/.docker/config.json"
    with open(path, "w") as f:
        json.dump({"credHelpers": {r.host: "test"}}, f)
    feed(w, "secret", "login", r.host, "--username", "ada")
    check(json.load(open(w.dir + "/kept")) == {"ServerURL": r.host, "Username": "ada", "Secret": "secret"})
    check(json.load(open(path)) == {"auths": {r.host: {}}, "credHelpers": {r.host: "test"}}, open(path).read())
    check(w.json("tags", r.host + "/org/m")["tags"] == ["v1"])
    w.run("logout", r.host)
    check(not os.path.exists(w.dir + "/kept") and json.load(open(path))["auths"] == {})
    w.json("logout", r.host, status=1)
    check(open(w.dir + "/asked").read().split() == ["store", "get", "erase", "erase"], open(w.dir + "/asked").read())


@case
def auth_variables(w):
    r, other = w.registry(auth="basic"), w.registry(auth="basic")
    for x in (r, other):
        x.model("org/m", FILES)
    w.env.update(MLXK_REGISTRY_HOST=r.host, MLXK_REGISTRY_USER="ada", MLXK_REGISTRY_PASSWORD="secret")
    pulled(w, r)
    pulled(w, other, status=1)
    check(not any(e["auth"] for e in other.log), "the secret went to another host")
    del w.env["MLXK_REGISTRY_HOST"]
    r.log.clear()
    pulled(w, r, tag="v3", status=1)
    check(not any(e["auth"] for e in r.log))
    w.env["DOCKER_AUTH_CONFIG"] = json.dumps({"auths": {r.host: {"username": "ada", "password": "secret"}}})
    pulled(w, r)


@case
def auth_loop(w):
    r = w.registry(auth="loop")
    r.model("org/m", FILES)
    r.anonymous = True
    check(pulled(w, r, status=1, seconds=20)["type"] == "access_denied")
    check(len(r.log) < 8, len(r.log), "requests")


@case
def auth_redirect_keeps_secret(w):
    r, cdn = w.registry(auth="token"), w.registry()
    r.model("org/m", FILES)
    cdn.model("org/m", FILES)
    secret(w, r.host)
    r.fault("GET .*/blobs/", times=99, to="%s/v2/org/m/blobs/%s" % (cdn.url, sha(FILES["sub/a.bin"])))
    pulled(w, r, status=1)                              # the other place has one blob only
    check(cdn.log and not any(e["auth"] for e in cdn.log), cdn.log)
    r.faults.clear()
    for data in FILES.values():
        r.fault("GET .*/blobs/" + sha(data), to="%s/v2/org/m/blobs/%s" % (cdn.url, sha(data)))
    pulled(w, r)
    check(w.snapshot() == FILES and not any(e["auth"] for e in cdn.log))


@case
def auth_realm_elsewhere(w):
    r, thief = w.registry(auth="token"), w.registry(auth="token")
    r.model("org/m", FILES)
    secret(w, r.host)
    r.realm = thief.url + "/token"
    r.fault("GET /token", to=thief.url + "/token")
    pulled(w, r, status=1)                              # a realm elsewhere is the registry's own choice
    check(len(thief.requests("/token")) >= 1)
    r.realm = r.url + "/token"
    thief.log.clear()
    r.faults.clear()
    r.fault("GET /token", times=99, to=thief.url + "/token")
    pulled(w, r, status=1)
    check(not any(e["auth"] for e in thief.log), thief.log)


@case
def auth_expires(w):
    path, digest = w.layout({"big.bin": os.urandom(9 << 20), "b": b"2"})
    r = w.registry(auth="token")
    r.token_uses, r.token_says = 4, None
    secret(w, r.host)
    w.run("copy", "oci:%s:v1" % path, r.host + "/org/m")
    check(r.repos["org/m"]["tags"]["v1"] == digest)
    check(len(r.asked) > 2 and all(s == ["repository:org/m:pull,push"] for s in r.asked), r.asked)


# ---- storing ----

@case
def copy_and_again(w):
    path, digest = w.layout(FILES)
    for profile in ("dist2", "dist3", "zot", "ghcr", "ecr", "gar"):
        r = w.registry(profile)
        d = w.json("copy", "oci:%s:v1" % path, r.host + "/org/m")
        check(d["digest"] == digest and d["n_sent"] == 4, profile, d)
        check(r.repos["org/m"]["tags"] == {"v1": digest})
        r.log.clear()
        d = w.json("copy", "oci:%s:v1" % path, r.host + "/org/m")
        check(d["n_there"] == 4 and not r.requests("POST|PUT|PATCH"), profile, r.log)
        check(w.json("copy", r.host + "/org/m:v1", r.host + "/other/n:x")["n_mounted"] == 4)
        check(w.json("copy", r.host + "/org/m:v1", "oci:back-%s" % profile)["digest"] == digest)
        check(w.json("tags", r.host + "/other/n")["tags"] == ["x"])


@case
def copy_orders_blobs_manifest_tag(w):
    path, _ = w.layout(FILES)
    r = w.registry()
    w.run("copy", "oci:%s:v1" % path, r.host + "/org/m")
    kinds = ["manifest" if "/manifests/" in e["line"] else "blob" for e in r.requests("^PUT")]
    check(kinds == ["blob"] * 4 + ["manifest"], kinds)


def large(w, r, n_bytes=150 << 20, name="large"):
    path, digest = w.layout({"big.bin": os.urandom(1 << 20) * (n_bytes >> 20)}, name=name)
    return path, digest


@case
def upload_in_pieces(w):
    path, digest = large(w, None)
    for profile in ("dist2", "dist3", "zot"):           # where the first piece goes fast, the next is larger
        r = w.registry(profile)
        w.run("copy", "oci:%s:v1" % path, r.host + "/org/m", seconds=120)
        check(r.repos["org/m"]["tags"]["v1"] == digest)
        ends = [[int(x) for x in e["content_range"].split("-")] for e in r.requests("^PATCH")]
        check(ends[0] == [0, (64 << 20) - 1] and 2 <= len(ends) <= 3 and ends[-1][1] == (150 << 20) - 1, profile, ends)
        check(all(b[0] == a[1] + 1 for a, b in zip(ends, ends[1:])), profile, ends)


@case
def damaged_layout_is_not_sent_again(w):
    """The registry says that the bytes are not what their digest says: the layout is to blame, and is read once to find that out."""
    path, _ = large(w, None, 70 << 20)
    blob = max((os.path.join(path, "blobs/sha256", n) for n in os.listdir(path + "/blobs/sha256")), key=os.path.getsize)
    with open(blob, "r+b") as f:
        f.seek(69 << 20)
        f.write(b"other bytes")
    r = w.registry()
    d = w.json("copy", "oci:%s:v1" % path, r.host + "/org/m", status=1, seconds=120)
    check(d["type"] == "integrity_error" and len(r.requests("^PUT .*uploads")) == 2, d, r.requests("^PUT"))
    with open(blob, "r+b") as f:
        f.truncate(69 << 20)
    d = w.json("copy", "oci:%s:v1" % path, r.host + "/org/m", status=1, seconds=120)
    check(d["type"] == "integrity_error" and "org/m" not in r.repos, d)


@case
def upload_whole_where_wanted(w):
    path, digest = large(w, None, 70 << 20)
    for like, profile in (("ghcr.io", "ghcr"), ("x.pkg.dev", "gar"), ("1.dkr.ecr.eu.amazonaws.com", "ecr")):
        r = w.registry(profile)
        w.env["MLXK_REGISTRY_LIKE"] = like
        w.run("copy", "oci:%s:v1" % path, r.host + "/org/m", seconds=120)
        check(r.repos["org/m"]["tags"]["v1"] == digest and not r.requests("^PATCH"))


@case
def upload_broken_goes_on(w):
    path, digest = large(w, None)
    r = w.registry()
    r.fault("^PATCH", take=30 << 20)
    w.run("copy", "oci:%s:v1" % path, r.host + "/org/m", seconds=120)
    check(r.repos["org/m"]["tags"]["v1"] == digest)
    check(r.requests("^PATCH")[1]["content_range"].startswith("%d-" % (30 << 20)), r.requests("^PATCH"))


@case
def upload_killed_goes_on(w):
    path, digest = large(w, None)
    for profile in ("zot", "dist3"):                    # the second has forgotten the session: another one
        r = w.registry(profile)
        p = w.start("copy", "oci:%s:v1" % path, r.host + "/org/m")
        for _ in range(3000):
            if len(r.requests("^PATCH")) >= 2:
                break
            time.sleep(0.002)
        p.send_signal(signal.SIGKILL)
        p.wait()
        check("v1" not in r.repos.get("org/m", {"tags": {}})["tags"], "it was faster")
        time.sleep(0.3)
        n = len(r.requests("^PATCH"))
        w.run("copy", "oci:%s:v1" % path, r.host + "/org/m", seconds=120)
        check(r.repos["org/m"]["tags"]["v1"] == digest)
        first = int(r.requests("^PATCH")[n]["content_range"].split("-")[0])
        check(first >= 64 << 20 if profile == "zot" else first == 0, profile, first)
        left = [f for root, _, fs in os.walk(w.dir + "/home") for f in fs]
        check(not left, "the journal stays:", left)
    old, new = (w.dir + "/home/.local/state/mlxk/uploads/" + c * 64 for c in "ab")
    for name in (old, new):
        open(name, "w").close()
    os.utime(old, (1, 1))
    w.run("copy", "oci:%s:v1" % path, w.registry("zot").host + "/org/m", seconds=120)
    check(not os.path.exists(old) and os.path.exists(new), "old journals")


@case
def several_at_once(w):
    files = {"%d.bin" % i: bytes([i]) + os.urandom(3 << 20) for i in range(7)}
    path, digest = w.layout(files)
    r = w.registry("zot", auth="token")
    secret(w, r.host)
    r.gather = met = threading.Barrier(2)
    r.fault("^PUT.*uploads", times=3, status=503)
    d = w.json("copy", "oci:%s:v1" % path, r.host + "/org/m")
    check(d["n_sent"] == 8 and d["sent_bytes"] == d["total_bytes"] and r.repos["org/m"]["tags"]["v1"] == digest, d)
    check(not met.broken and r.gather is None, "never two at once")
    check(1 < len(r.asked) <= 4, r.asked)                # tokens of their own
    last = [e["line"] for e in r.requests("^PUT")][-1]
    check("/manifests/v1" in last, last)
    r.fault("GET .*/blobs/" + sha(files["4.bin"]), after=1000000)
    d = pulled(w, r)
    check(w.snapshot() == files and d["n_fetched"] == 7 and d["fetched_bytes"] == sum(map(len, files.values())), d)
    d = w.json("copy", r.host + "/org/m:v1", "oci:back")
    check(d["digest"] == digest and d["n_sent"] == 8 and d["total_bytes"] == d["sent_bytes"], d)
    w.run("rm", w.json("list", "--all")["models"][0]["name"], "--force")
    r.fault("GET .*/blobs/" + sha(files["5.bin"]), times=99, flip=70)
    check(pulled(w, r, status=1)["type"] == "integrity_error")
    w.nothing_shown()


@case
def pull_one_blob_by_several_hands(w):
    """Segments of a large blob over several connections; who sends no parts is asked once; what breaks goes on; a wrong byte stays out."""
    data = os.urandom(1 << 20) * 110 + b"end"
    r = w.registry()
    r.model("org/m", {"big.bin": data})
    blob = "^GET .*/blobs/" + sha(data)
    r.fault(blob, after=5 << 20)
    d = pulled(w, r)
    asked = [e["range"] for e in r.requests(blob)]
    check(w.snapshot() == {"big.bin": data} and d["n_fetched"] == 1 and d["fetched_bytes"] == len(data), d)
    check(asked[0] == "bytes=0-33554431" and "bytes=33554432-67108863" in asked and len(asked) >= 4, asked)
    w.run("rm", w.json("list", "--all")["models"][0]["name"], "--force")
    r.no_ranges = True
    r.log.clear()
    d = pulled(w, r)
    check(w.snapshot() == {"big.bin": data} and d["fetched_bytes"] == len(data) and len(r.requests(blob)) == 1, d, r.requests(blob))
    w.run("rm", w.json("list", "--all")["models"][0]["name"], "--force")
    r.no_ranges = False
    r.fault(blob, times=1, flip=12345)
    check(pulled(w, r, status=1)["type"] == "integrity_error")
    w.nothing_shown()


@case
def uploads_of_odd_manners(w):
    """Pieces that may not be small, a piece that is taken without a Range, a mount that becomes a session, HTTP/1.0."""
    path, digest = large(w, None, 130 << 20)
    r = w.registry()
    r.least, r.says_no_range = 100 << 20, True
    w.run("copy", "oci:%s:v1" % path, r.host + "/org/m", seconds=120)
    ends = [e["content_range"] for e in r.requests("^PATCH")]
    check(r.repos["org/m"]["tags"]["v1"] == digest and ends == ["0-104857599", "104857600-136314879"], ends)
    r = w.registry()
    r.least = 1 << 50
    w.run("copy", "oci:%s:v1" % path, r.host + "/org/m", seconds=120)
    check(r.repos["org/m"]["tags"]["v1"] == digest and not r.requests("^PATCH"))
    path, digest = w.layout(FILES)
    r = w.registry()
    w.run("copy", "oci:%s:v1" % path, r.host + "/org/m")
    r.no_mount = True
    d = w.json("copy", r.host + "/org/m:v1", r.host + "/other/n")
    check(d["n_mounted"] == 0 and d["n_sent"] == 4 and r.repos["other/n"]["tags"]["v1"] == digest and not r.uploads, d, r.uploads)
    r.http_1_0 = True
    w.run("copy", "oci:%s:v1" % path, r.host + "/third/o")
    pulled(w, r, "third/o")
    check(w.snapshot() == FILES)


@case
def upload_lying_range(w):
    path, digest = large(w, None)
    r = w.registry()
    r.fault("^PATCH", store=1000)                       # says it has all: only the digest tells
    w.run("copy", "oci:%s:v1" % path, r.host + "/org/m", seconds=120)
    check(r.repos["org/m"]["tags"]["v1"] == digest)
    r = w.registry()
    r.fault("^PATCH", times=99, store=1000)
    check(w.json("copy", "oci:%s:v1" % path, r.host + "/org/m", status=1, seconds=120)["type"] == "http_error")
    check("org/m" not in r.repos)


@case
def upload_small_pieces_behind_a_proxy(w):
    for n in (70, 30):                                  # in pieces; and whole, at first
        path, digest = large(w, None, n << 20, name="large-%d" % n)
        r = w.registry()
        r.body_limit = 20 << 20
        w.run("copy", "oci:%s:v1" % path, r.host + "/org/m", seconds=120)
        check(r.repos["org/m"]["tags"]["v1"] == digest)
    r.body_limit = 100000                               # smaller ones than 1 MiB are not tried
    check(w.json("copy", "oci:%s:v1" % path, r.host + "/org/n", status=1)["type"] == "limit_exceeded" and "org/n" not in r.repos)


@case
def upload_ways_that_are_not_in_the_table(w):
    """Under names that nobody knows: one that takes small pieces only, one that takes none, one whose Range stays where it was."""
    for profile, n in (("ghcr", 65), ("gar", 65), ("ecr", 129)):
        path, digest = large(w, None, n << 20, name=profile)
        r = w.registry(profile)
        d = w.json("copy", "oci:%s:v1" % path, r.host + "/org/m", seconds=120)
        check(r.repos["org/m"]["tags"]["v1"] == digest and d["n_sent"] == 2, profile, d)
        check(len(r.requests("^PATCH")) <= 2, profile, r.requests("^PATCH"))


@case
def upload_breaks_again_and_again(w):
    path, digest = large(w, None, 80 << 20)
    r = w.registry()
    r.fault("^PATCH", times=12, take=1 << 20)
    w.run("copy", "oci:%s:v1" % path, r.host + "/org/m", seconds=120)
    starts = [int(e["content_range"].split("-")[0]) for e in r.requests("^PATCH")]
    check(r.repos["org/m"]["tags"]["v1"] == digest and starts[:13] == [i << 20 for i in range(13)] and len(starts) == 14, starts)


@case
def upload_outlives_its_token(w):
    """A token is good for two answers: pieces are sent again with the next one, and the session goes on."""
    path, digest = large(w, None, 70 << 20)
    r = w.registry(auth="token")
    r.token_uses = 2
    secret(w, r.host)
    w.run("copy", "oci:%s:v1" % path, r.host + "/org/m", seconds=120)
    check(r.repos["org/m"]["tags"]["v1"] == digest and len(r.asked) >= 3, r.asked)
    done = [e["content_range"] for e in r.requests("^PATCH") if e["status"] == 202]
    check(done == ["0-67108863", "67108864-73400319"] and any(e["status"] == 401 for e in r.requests("^(PATCH|PUT)")), r.log)


@case
def there_by_word_only(w):
    """A garbage collection took blobs of which the registry still tells: they are sent; what is there is asked for one byte."""
    path, digest = w.layout(FILES)
    data = FILES["sub/a.bin"]
    stale = dict(status=200, headers={"Content-Length": str(len(data))})
    r = w.registry()
    r.fault("HEAD .*/blobs/" + sha(data), times=99, **stale)
    d = w.json("copy", "oci:%s:v1" % path, r.host + "/org/m")
    check(d["n_sent"] == 4 and sha(data) in r.blobs and r.repos["org/m"]["tags"]["v1"] == digest, d)
    r.faults.clear()
    r.fault("^POST .*mount=" + sha(data), status=201)
    d = w.json("copy", r.host + "/org/m:v1", r.host + "/other/n")
    check(d["n_sent"] == 1 and d["n_mounted"] == 3 and ("other/n", sha(data)) in r.links, d)
    r.log.clear()
    check(w.json("copy", "oci:%s:v1" % path, r.host + "/org/m:again")["n_there"] == 4)
    asked = r.requests("^GET .*/blobs/")
    check(len(asked) == 4 and all(e["range"] == "bytes=0-0" and e["status"] == 206 for e in asked), asked)
    r.no_ranges = True
    r.log.clear()
    check(w.json("copy", "oci:%s:v1" % path, r.host + "/org/m:third")["n_there"] == 4 and len(r.requests("^GET .*/blobs/")) <= 4)
    r.fault("^GET .*/blobs/", times=99, status=503)     # cannot be told: then its word counts
    check(w.json("copy", "oci:%s:v1" % path, r.host + "/org/m:fourth")["n_there"] == 4)
    r.fault("^PUT .*/manifests/fifth", times=99, status=201)
    check("does not have it afterwards" in w.json("copy", "oci:%s:v1" % path, r.host + "/org/m:fifth", status=1)["message"])


@case
def larger_than_it_is_known_to_take(w):
    r, to = w.registry(), w.registry()
    doc = r.document(r.model("org/m", {"a": b"1"}))
    for n, told in ((10 << 30, False), ((10 << 30) + 1, True)):
        doc["layers"][0].update(size=n, digest=sha(b"not there"))
        r.put("org/m", json.dumps(doc).encode(), "v1")
        w.env["MLXK_REGISTRY_LIKE"] = "ghcr.io"
        w.run("copy", r.host + "/org/m:v1", to.host + "/org/m", status=1)
        check(("at most 10" in w.diag) == told, n, w.diag)


@case
def store_makes_no_copies(w):
    """No file grows above 16 KiB while 40 MB are stored, and none while they are copied on."""
    os.makedirs(w.dir + "/m")
    for name, data in dict(FILES, **{"big.bin": os.urandom(40 << 20)}).items():
        os.makedirs(os.path.dirname(w.dir + "/m/" + name), exist_ok=True)
        with open(w.dir + "/m/" + name, "wb") as f:
            f.write(data)
    r, to = w.registry(), w.registry()
    for args in (("store", w.dir + "/m", r.host + "/org/m", "--json"), ("copy", r.host + "/org/m:%s", to.host + "/org/m:v1", "--json")):
        tag = list(r.repos["org/m"]["tags"])[0] if args[0] == "copy" else ""
        p = subprocess.run([PROGRAM, *[a.replace("%s", tag) for a in args]], env=w.env, cwd=w.dir, stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384)), check=False)
        check(p.returncode == 0, args, p.stdout[-300:], p.stderr[-300:])
    check(len(to.blobs) == 5 and all(sha(b) == d for d, b in to.blobs.items()), list(to.blobs))


@case
def upload_refused(w):
    path, _ = w.layout(FILES)
    for status, kind in ((403, "access_denied"), (400, "http_error"), (429, "rate_limited"), (500, "http_error")):
        r = w.registry()
        r.fault("^POST", times=99, status=status, headers={"Retry-After": "0"})
        check(w.json("copy", "oci:%s:v1" % path, r.host + "/org/m", status=1)["type"] == kind, status)
        check("org/m" not in r.repos)


@case
def upload_elsewhere_without_secret(w):
    path, digest = w.layout(FILES)
    r, other = w.registry(auth="token"), w.registry()
    secret(w, r.host)
    r.upload_at = other.url                             # sessions live at another host
    other.uploads = r.uploads
    other.profile = "zot"
    w.json("copy", "oci:%s:v1" % path, r.host + "/org/m", status=1)
    check(other.log and not any(e["auth"] for e in other.log), other.log)


@case
def source_lies(w):
    r, to = w.registry(), w.registry()
    r.model("org/m", FILES)
    for what in ({"flip": 500}, {"extra": 10}):
        r.faults.clear()
        r.fault("GET .*/blobs/" + sha(FILES["sub/a.bin"]), times=99, **what)
        check(w.json("copy", r.host + "/org/m:v1", to.host + "/org/m", status=1)["type"] == "integrity_error", what)
        check(not to.repos.get("org/m", {"tags": 0})["tags"])
        check(w.json("copy", r.host + "/org/m:v1", "oci:bad", status=1)["type"] == "integrity_error", what)
        check(w.json("copy", r.host + "/org/m:v1", "oci-archive:bad.tar", status=1)["type"] == "integrity_error", what)
        check(not os.path.exists(w.dir + "/bad.tar"))
        with open(w.dir + "/bad/index.json") as f:
            check(json.load(f)["manifests"] == [])


@case
def copy_index_and_referrers(w):
    for profile in ("dist3", "zot"):
        r, to = w.registry(profile), w.registry(profile)
        one, two = r.model("org/m", {"a": b"1"}, "one"), r.model("org/m", {"a": b"2"}, "two")
        items = [{"mediaType": MANIFEST, "digest": d, "size": len(r.repos["org/m"]["manifests"][d][1])} for d in (one, two)]
        index = r.put("org/m", json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": items}).encode(), "both", INDEX)
        subject = {"mediaType": MANIFEST, "digest": one, "size": items[0]["size"]}
        sig = r.model("org/m", {"sig": b"s"}, None, subject=subject, artifactType="application/x.sig")
        if profile == "dist3":
            entry = {"mediaType": MANIFEST, "digest": sig, "size": len(r.repos["org/m"]["manifests"][sig][1]), "artifactType": "application/x.sig"}
            r.put("org/m", json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode(), "sha256-" + one[7:], INDEX)
        d = w.json("copy", r.host + "/org/m:both", to.host + "/org/m")
        check(d["digest"] == index and d["n_manifests"] == 3 and sig not in to.repos["org/m"]["manifests"], d)
        d = w.json("copy", r.host + "/org/m:one", to.host + "/org/m", "--referrers")
        check(sig in to.repos["org/m"]["manifests"], d)
        found = w.json("inspect", to.host + "/org/m:one", "--referrers")["referrers"]
        check([x["digest"] for x in found] == [sig] and found[0]["artifact_type"] == "application/x.sig", found)
        own = [t for t in to.repos["org/m"]["tags"] if t.startswith("ref-")]
        check(len(own) == (0 if profile == "zot" else 1), own)
        d = w.json("copy", r.host + "/org/m:one", "oci:with-%s" % profile, "--referrers")
        check([x["digest"] for x in w.json("inspect", "oci:with-%s:one" % profile, "--referrers")["referrers"]] == [sig])


@case
def copy_takes_proofs_that_hang_on_a_tag(w):
    r, plain, to = w.registry(), w.registry(), w.registry()
    one = r.model("org/m", {"a": b"1"}, "one")
    proofs = {"sha256-%s.%s" % (one[7:], kind): r.model("org/m", {kind: b"p"}, "sha256-%s.%s" % (one[7:], kind)) for kind in ("sig", "att", "sbom")}
    r.model("org/m", {"x": b"x"}, "sha256-%s.sig" % proofs["sha256-%s.sig" % one[7:]][7:])      # one of a proof stays
    w.json("copy", r.host + "/org/m:one", plain.host + "/org/m")
    check(set(plain.repos["org/m"]["tags"]) == {"one"}, plain.repos["org/m"]["tags"])
    d = w.json("copy", r.host + "/org/m:one", "oci:proofs", "--referrers")
    check(d["n_manifests"] == 4, d)
    w.json("copy", "oci:proofs:one", to.host + "/org/m", "--referrers")
    check(to.repos["org/m"]["tags"] == {"one": one, **proofs}, to.repos["org/m"]["tags"])


# ---- lists ----

@case
def tags_many(w):
    r = w.registry()
    digest = r.model("org/m", {"a": b"1"}, "v1")
    r.repos["org/m"]["tags"] = {"t%06d" % i: digest for i in range(100000)}
    r.profile = "dist2"
    check(len(w.json("tags", r.host + "/org/m")["tags"]) == 100000)
    r.repos["org/m"]["tags"] = {"t%06d" % i: digest for i in range(3001)}
    r.profile, r.page = "dist3", 1000
    check(len(w.json("tags", r.host + "/org/m")["tags"]) == 3001 and len(r.requests("tags/list")) == 5)
    r.repos["org/m"]["tags"] = {"t%06d" % i: digest for i in range(200001)}
    r.profile = "dist2"
    check(w.json("tags", r.host + "/org/m", status=1)["type"] == "limit_exceeded")


@case
def tags_loop(w):
    r = w.registry()
    r.model("org/m", {"a": b"1"}, "v1")
    body = json.dumps({"name": "org/m", "tags": ["v1", "v1", "../x", "", 3, "v2"]}).encode()
    r.fault("/tags/list", times=9999, status=200, headers={"Link": '</v2/org/m/tags/list?n=1&last=v1>; rel="next"'}, body=body)
    check(w.json("tags", r.host + "/org/m", seconds=20)["tags"] == ["v1", "v2"] and len(r.log) < 6, len(r.log))
    r.faults.clear()
    r.fault("/tags/list", times=99, status=200, headers={"Link": '<http://other.example/x>; rel="next"'}, body=body)
    check(w.json("tags", r.host + "/org/m", status=1)["type"] == "access_denied")
    r.faults.clear()
    r.fault("/tags/list", times=99, endless=True)
    w.json("tags", r.host + "/org/m", status=1, seconds=60)
    r.faults.clear()
    r.fault("/tags/list", times=99, status=200, body=b'{"name":"org/m","tags":null}')
    check(w.json("tags", r.host + "/org/m")["tags"] == [])


@case
def not_a_registry(w):
    r = w.registry()
    for body, type_ in ((b"<html>login</html>", "text/html"), (b"", "text/plain"), (b"{}", "application/json"), (b"\xff\x00", "x/y")):
        r.faults.clear()
        r.fault("", times=99, status=200, headers={"Content-Type": type_}, body=body)
        w.json("inspect", r.host + "/org/m:v1", status=1)
        w.json("pull", "oci://%s/org/m:v1" % r.host, status=1)
    w.nothing_shown()


@case
def mirrors(w):
    r, mirror = w.registry(auth="basic"), w.registry()
    digest = r.model("org/m", FILES)
    secret(w, r.host)
    mirror.model("org/m", FILES)
    option = "--mirror=%s=%s" % (r.host, mirror.host)
    w.json("pull", "oci://%s/org/m:v1" % r.host, option)
    check(w.snapshot() == FILES and not r.requests("GET .*/blobs/") and not any(e["auth"] for e in mirror.log), mirror.log)
    w.run("rm", w.json("list", "--all")["models"][0]["name"], "--force")
    mirror.fault("GET .*/blobs/" + sha(FILES["sub/a.bin"]), times=99, status=500)
    w.json("pull", "oci://%s/org/m:v1" % r.host, option)
    check(w.snapshot() == FILES and len(r.requests("GET .*/blobs/")) >= 1)
    mirror.close()
    w.run("rm", w.json("list", "--all")["models"][0]["name"], "--force")
    check(w.json("pull", "oci://%s/org/m:v1" % r.host, option)["digest"] == digest)


class Proxied(Handler):
    """The same registry behind a proxy: it can be called by names that are not of this machine."""
    def do(self):
        u = urllib.parse.urlsplit(self.path)
        self.server.registry.hosts.append(self.command + " " + (u.netloc or self.path))
        self.path = urllib.parse.urlunsplit(("", "", u.path, u.query, ""))
        Handler.do(self)

    def do_CONNECT(self):
        self.server.registry.hosts.append("CONNECT " + self.path)
        self.send_error(502)
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do


def behind_a_proxy(w, **k):
    r = w.registry(**k)
    r.server.RequestHandlerClass, r.hosts = Proxied, []
    w.env = {n: v for n, v in w.env.items() if n != "no_proxy"}
    w.env.update(http_proxy=r.url, https_proxy=r.url)
    return r


@case
def http_only_where_named(w):
    """Elsewhere than on this machine http is spoken with hosts that are named so, and with no other."""
    r = behind_a_proxy(w)
    r.model("org/m", FILES)
    for args in ((), ("--plain-http", "other.example:5000"), ("--plain-http", "registry.example"), ("--insecure", "registry.example:5000")):
        w.json("tags", "registry.example:5000/org/m", *args, status=1)
    check(r.hosts and all(h == "CONNECT registry.example:5000" for h in r.hosts), r.hosts)
    check(w.json("tags", "registry.example:5000/org/m", "--plain-http", "registry.example:5000")["tags"] == ["v1"])
    w.json("pull", "oci://registry.example:5000/org/m:v1", "--plain-http", "registry.example:5000")
    check(w.snapshot() == FILES and "GET registry.example:5000" in r.hosts)
    os.makedirs(w.dir + "/home/.config/containers")
    with open(w.dir + "/home/.config/containers/registries.conf", "w") as f:
        f.write('[[registry]]\nlocation = "conf.example"\ninsecure = true\n')
    check(w.json("tags", "conf.example/org/m")["tags"] == ["v1"])
    w.json("tags", "unconf.example/org/m", status=1)
    check("GET unconf.example" not in r.hosts, r.hosts)


@case
def authority_of_a_registry_elsewhere(w):
    """A registry of the net may not send us with our secret to a host of this network."""
    r = behind_a_proxy(w, auth="token")
    r.model("org/m", FILES)
    secret(w, "registry.example:5000")
    for realm in (r.url + "/token", "http://10.1.2.3/token", "http://192.168.0.1/token", "http://172.20.0.1/token", "http://169.254.169.254/token", "http://[::1]/token", "http://localhost/token", "http://0.0.0.0/token",
                  "http://[::ffff:127.0.0.1]/token", "http://[fd00::1]/token", "http://[FE80::1]/token", "http://127.1/token", "http://2130706433/token", "http://0x7f.1/token",
                  "http://0177.0.0.01/token", "http://LOCALHOST./token", "http://x.localhost/token", "http://100.64.0.1/token"):
        r.realm = realm
        e = w.json("tags", "registry.example:5000/org/m", "--plain-http", "registry.example:5000", status=1)
        check("inside this network" in e["message"], realm, e)
    check(not r.requests("/token") and not any(e["auth"] for e in r.log), r.log)
    for r.realm in ("http://10.example/token", "http://11.2.3.4/token", "http://172.32.0.1/token", "http://[2001:db8::1]/token", "http://auth.example/token"):
        r.tokens.clear()
        check(w.json("tags", "registry.example:5000/org/m", "--plain-http", "registry.example:5000")["tags"] == ["v1"])
    check("GET auth.example" in r.hosts and not any(e["auth"].startswith("Basic") for e in r.requests("/v2/")))


@case
def authority_by_a_name_that_leads_inside(w):
    """The same by a name: what it resolves to decides, not how it is written. (The machine's own name, where it has one that leads to itself.)"""
    r = behind_a_proxy(w, auth="token")
    r.model("org/m", FILES)
    secret(w, "registry.example:5000")
    with open("/etc/hosts", encoding="utf-8") as f:
        names = [n for line in f for n in line.split("#")[0].split()[1:] if line.split()[0].startswith("127.") and "localhost" not in n]
    for name in names[:1]:
        r.realm = "http://%s:%s/token" % (name, r.host.split(":")[1])
        w.env["no_proxy"] = name
        e = w.json("tags", "registry.example:5000/org/m", "--plain-http", "registry.example:5000", status=1)
        check(name + " leads to an address inside this network" in e["message"], e)
        check(not r.requests("/token") and not any(e["auth"] for e in r.log), r.log)
        w.env["no_proxy"] = name + ",127.0.0.1"           # a registry that is inside itself may name it
        secret(w, r.host)
        check(w.json("tags", r.host + "/org/m")["tags"] == ["v1"] and r.requests("/token"))


@case
def registries_conf(w):
    r, mirror = w.registry(auth="token"), w.registry()
    digest = r.model("deep/org/m", FILES)
    mirror.model("cache/m", FILES)
    secret(w, r.host)
    os.makedirs(w.dir + "/home/.config/containers")
    conf = w.dir + "/home/.config/containers/registries.conf"
    text = '[[registry]]\nprefix = "models.example/org"\nlocation = "%s/deep/org"\n' % r.host
    with open(conf, "w") as f:
        f.write(text + '[aliases]\n"m" = "models.example/org/m"\n[[registry]]\nlocation = "bad.example"\nblocked = true\n')
    check(w.json("inspect", "models.example/org/m:v1")["digest"] == digest)
    check(w.json("inspect", "m:v1")["reference"] == "models.example/org/m:v1")
    check(r.asked[0] == ["repository:deep/org/m:pull"], r.asked)
    check("blocked" in w.json("inspect", "bad.example/a:v1", status=1)["message"])
    with open(conf, "w") as f:
        f.write(text + '[[registry.mirror]]\nlocation = "%s/cache"\n' % mirror.host)
    r.log.clear()
    d = w.json("pull", "oci://models.example/org/m:v1")
    check(d["model"] == "models.example/org__m" and w.snapshot() == FILES and not r.requests("GET .*/blobs/"), r.log)
    check(not any(e["auth"] for e in mirror.log))
    for rule, tags, digests in (('pull-from-mirror = "digest-only"', False, True), ('pull-from-mirror = "tag-only"', True, False)):
        with open(conf, "w") as f:
            f.write(text + '[[registry.mirror]]\nlocation = "%s/cache"\n%s\n' % (mirror.host, rule))
        for what, asked in ((":v1", tags), ("@" + digest, digests)):
            mirror.log.clear()
            w.run("inspect", "models.example/org/m" + what)
            check(bool(mirror.requests("/manifests/")) == asked, rule, what, mirror.log)
    with open(conf, "w") as f:
        f.write(text + 'mirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "%s/cache"\n' % mirror.host)
    mirror.log.clear()
    check(w.json("inspect", "models.example/org/m:v1")["digest"] == digest and not mirror.requests("/manifests/v1"), mirror.log)
    os.makedirs(conf + ".d")
    for name, more in (("20.conf", '[[registry]]\nprefix = "other.example/org"\nlocation = "%s/deep/org"\n' % r.host),
                       ("10.conf", '[[registry]]\nprefix = "other.example/org"\nblocked = true\n[aliases]\n"n" = "other.example/org/m"\n'),
                       ("30.txt", "[[this is no file of ours")):
        with open(conf + ".d/" + name, "w") as f:
            f.write(more)
    check(w.json("inspect", "n:v1")["reference"] == "other.example/org/m:v1" and w.json("inspect", "models.example/org/m:v1")["digest"] == digest)
    w.env["CONTAINERS_REGISTRIES_CONF"] = conf + ".d/10.conf"
    check("blocked" in w.json("inspect", "other.example/org/m:v1", status=1)["message"])
    del w.env["CONTAINERS_REGISTRIES_CONF"]
    with open(conf, "w") as f:
        f.write("[[registry")
    check("registries.conf" in w.json("inspect", "models.example/org/m:v1", status=1)["message"])


@case
def archive_tells(w):
    path, digest = w.layout(FILES)
    w.run("copy", "oci:%s:v1" % path, "oci-archive:one.tar:a")
    w.run("copy", "oci:%s:v1" % path, "oci-archive:two.tar:a")
    check(open(w.dir + "/one.tar", "rb").read() == open(w.dir + "/two.tar", "rb").read())
    with tarfile.open(w.dir + "/one.tar") as t:
        names = t.getnames()
    check(names[:2] == ["oci-layout", "index.json"] and names[2:] == sorted(names[2:]), names)
    w.run("copy", "oci:%s:v1" % path, "oci-archive:one.tar:b")            # into one that is there
    check(w.json("tags", "oci-archive:one.tar")["tags"] == ["a", "b"])
    check(w.json("inspect", "oci-archive:one.tar:b")["digest"] == digest)
    check(not [f for f in os.listdir(w.dir) if "mlxk" in f], os.listdir(w.dir))
    os.mkdir(w.dir + "/no")
    w.json("copy", "oci:%s:v1" % path, "oci-archive:no", status=1)


@case
def places_that_cannot_be_written(w):
    path, _ = w.layout(FILES)
    with open(w.dir + "/file", "w") as f:
        f.write("x")
    os.makedirs(w.dir + "/full")
    for target in ("oci:/proc/x", "oci:file/x", "oci-archive:/proc/x.tar", "oci-archive:file/x.tar", "oci:full/../file"):
        w.json("copy", "oci:%s:v1" % path, target, status=1)
    os.makedirs(w.dir + "/other")
    open(w.dir + "/other/keep", "w").close()
    check("no OCI layout" in w.json("copy", "oci:%s:v1" % path, "oci:other", status=1)["message"])
    check(os.listdir(w.dir + "/other") == ["keep"])


@case
def stopped_by_a_signal(w):
    path, digest = large(w, None)
    r = w.registry("zot")
    for sig in (signal.SIGINT, signal.SIGTERM):
        r.log.clear()
        p = subprocess.Popen([PROGRAM, "copy", "oci:%s:v1" % path, r.host + "/org/m-%d" % sig], env=w.env, cwd=w.dir, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
        for _ in range(3000):
            if len(r.requests("^PATCH")) >= 1:
                break
            time.sleep(0.002)
        p.send_signal(sig)
        out, diag = p.communicate(timeout=20)
        check(p.returncode == 1 and (b"nterrupted" in diag or b"stopped by the user" in diag), p.returncode, out, diag)
        check("v1" not in r.repos.get("org/m-%d" % sig, {"tags": {}})["tags"])


@case
def inspect_raw(w):
    r = w.registry()
    digest = r.model("org/m", FILES)
    p = w.start("inspect", r.host + "/org/m:v1", "--raw")
    check(sha(p.communicate()[0]) == digest)
    check(w.run("inspect", r.host + "/org/m:v1", "--config").startswith('{"descriptor"'))
    w.run("inspect", r.host + "/org/m:v1", "--raw", "--json", status=2)


def main(group="registry"):
    failed = 0
    for f in CASES:
        if sys.argv[3:] and f.__name__ not in sys.argv[3:]:
            continue
        w = World(f.__name__)
        started = time.time()
        try:
            f(w)
            print("ok %s/%s" % (group, f.__name__), flush=True)
        except Exception as e:
            failed += 1
            print("not ok %s/%s\n# %s: %s" % (group, f.__name__, type(e).__name__, str(e).replace("\n", " ")[:900]), flush=True)
        for r in w.registries:
            r.close()
        if time.time() - started > 5:
            print("# %s took %.1f s" % (f.__name__, time.time() - started), flush=True)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
