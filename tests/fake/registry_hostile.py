"""registry_hostile.py PROGRAM FOLDER [NAME...]: registries that mean harm, as TAP lines.

Whatever comes, a command ends with an error that says what is wrong, in bounded time and memory, and nothing is
written that would be taken for a model. Registries are those of fake_registry.py, with answers of their own."""
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time

import registry_cases
from fake_registry import INDEX, MANIFEST, sha
from registry_cases import FILES, PROGRAM, Wrong, check, pulled, secret

CASES = []
MOST_MB = 64                                            # of any command here


def case(f):
    CASES.append(f)
    return f


class World(registry_cases.World):
    """One that looks at memory, time and words of every command."""
    most_mb = MOST_MB

    def run(self, *args, status=0, seconds=60):
        p = self.start(*args)
        peak, done = [0], threading.Event()

        def watch():
            while not done.is_set():
                try:
                    with open("/proc/%d/status" % p.pid) as f:
                        peak[0] = max([int(x.split()[1]) for x in f if x.startswith("VmHWM")] + [peak[0]])
                except OSError:
                    pass
                done.wait(0.003)
        t = threading.Thread(target=watch)
        t.start()
        try:
            out, diag = p.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            p.kill()
            p.communicate()
            raise Wrong("%s did not end in %d s" % (args, seconds)) from None
        finally:
            done.set()
            t.join()
        self.out, self.diag, self.mb = out.decode(errors="replace"), diag.decode(errors="replace"), peak[0] / 1024
        check(p.returncode == status, args, "ended with", p.returncode, "not", status, "|", self.out[-300:], self.diag[-300:])
        check(self.mb <= self.most_mb, args, "took", self.mb, "MB")
        check(b"\x1b" not in out + diag and b"\xc2\x9b" not in out + diag, "controls of a terminal went through", out, diag)
        return self.out

    def fails(self, *args, kinds=(), words="", seconds=60):
        e = self.json(*args, status=1, seconds=seconds)
        check(not kinds or e["type"] in kinds, args, e)
        check(words in e["message"] + str(e.get("detail") or ""), args, e)
        return e

    def untouched(self):
        self.nothing_shown()
        self.nothing_odd()


class Raw:
    """A server that answers every request with what a function writes into the connection."""
    def __init__(self, answer):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.n, self.answer, self.faults = 0, answer, []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(c,), daemon=True).start()

    def one(self, c):
        try:
            head = c.recv(65536)
            if head[:1] == b"\x16":                     # TLS is not spoken here
                return
            self.n += 1
            if head.startswith(b"GET /v2/ HTTP"):       # http is spoken here
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            else:
                self.answer(c, head)
        except OSError:
            pass
        finally:
            c.close()

    def close(self):
        self.listener.close()


def raw(w, answer):
    r = Raw(answer)
    w.registries.append(r)
    return r


def index_of(r, items, tag=None, name="org/m"):
    doc = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"mediaType": k, "digest": d, "size": n} for k, d, n in items]}
    data = json.dumps(doc).encode()
    return r.put(name, data, tag, INDEX), len(data)


def commands(r, name="org/m", tag="v1"):
    """What reads an artifact."""
    ref = "%s/%s:%s" % (r.host, name, tag)
    return (("pull", "oci://" + ref), ("copy", ref, "oci:copied"), ("copy", ref, "oci-archive:copied.tar"), ("inspect", ref), ("run", "oci://" + ref, "Hi"))


# ---- manifests ----

@case
def manifest_of_100_mb(w):
    r = w.registry()
    r.model("org/m", FILES)
    body = b'{"schemaVersion":2,"x":"' + b"y" * (100 << 20) + b'"}'
    r.fault("GET .*/manifests/", times=99, status=200, headers={"Content-Type": MANIFEST}, body=body)
    for args in commands(r):
        w.fails(*args, words="4 MiB", seconds=20)
    w.untouched()
    check(not os.path.exists(w.dir + "/copied.tar") and len(r.requests("GET .*/manifests/")) == 5, r.log)


@case
def manifest_that_is_dense(w):
    """As many members as 4 MiB hold: layers, annotations, lists in lists, one number after the other."""
    r = w.registry()
    config = {"mediaType": "x/y", "digest": sha(b"{}"), "size": 2}
    layer = {"mediaType": "a/b", "digest": sha(b"a"), "size": 1}
    docs = [dict(layers=[layer] * 20001), dict(layers=[dict(layer, annotations={str(i): "" for i in range(2001)})]),
            dict(layers=[], annotations={str(i): "" for i in range(200000)}), dict(layers=[], x=[0] * 2000000)]
    for d in docs:
        r.put("org/m", json.dumps(dict(d, schemaVersion=2, config=config), separators=(",", ":")).encode(), "v1")
        w.fails("pull", "oci://%s/org/m:v1" % r.host, kinds=("limit_exceeded", "invalid_format"))
    for body in (b"[" * 2000000, b'{"a":' * 500000, b'{"schemaVersion":2,"layers":' + b"[" * 1000000):
        r.put("org/m", body, "v1")
        w.fails("pull", "oci://%s/org/m:v1" % r.host, kinds=("limit_exceeded", "invalid_format"))
    w.untouched()


@case
def manifest_types_that_lie(w):
    r = w.registry()
    digest = r.model("org/m", FILES)
    whole = r.document(digest)
    bad = [dict(whole, schemaVersion=1), dict(whole, mediaType=INDEX), dict(whole, mediaType="text/html"), dict(whole, layers={}),
           dict(whole, layers=None, config=None), dict(whole, manifests=[]), dict(whole, config=[]), [], "x", 7, None, dict(whole, artifactType="a b\n")]
    for change in ({"size": -1}, {"size": 1.5}, {"size": 1 << 62}, {"size": "9"}, {"digest": "sha256:zz"}, {"digest": "md5:" + "0" * 32}, {"digest": sha(b"x").upper()},
                   {"digest": "sha256:../../" + "0" * 58}, {"mediaType": "a\nb"}, {"mediaType": 7}, {"annotations": []}, {"annotations": {"a": 1}}):
        bad.append(dict(whole, layers=[dict(whole["layers"][0], **change)]))
    for doc in bad:
        r.put("org/m", json.dumps(doc).encode(), "v1")
        w.fails("pull", "oci://%s/org/m:v1" % r.host, kinds=("invalid_format", "not_implemented", "ValidationError", "limit_exceeded"))
        w.fails("copy", r.host + "/org/m:v1", "oci:copied") if doc not in bad[-1:] else None
        check(not r.requests("GET .*/blobs/"), "blobs were asked for", doc)
    for header in (INDEX, "application/vnd.docker.distribution.manifest.v2+json"):
        r.put("org/m", json.dumps(whole).encode(), "v1", header)
        w.fails("pull", "oci://%s/org/m:v1" % r.host, kinds=("invalid_format",), words="sent as")
    w.untouched()


@case
def index_in_itself(w):
    """Digests forbid it, so the registry lies about one; and indexes in indexes, without lies, too deep or too many."""
    r = w.registry()
    inner = sha(b"the index itself")
    outer, n = index_of(r, [(INDEX, inner, 200)], "v1")
    r.fault("GET .*/manifests/" + inner, times=99, status=200, headers={"Content-Type": INDEX}, body=r.repos["org/m"]["manifests"][outer][1])
    w.fails("copy", r.host + "/org/m:v1", "oci:copied", kinds=("integrity_error",))
    w.fails("pull", "oci://%s/org/m:v1" % r.host, kinds=("integrity_error",))
    check(len(r.log) < 20, len(r.log))
    at = (MANIFEST, r.model("org/m", {"a": b"1"}, None), 400)
    for _ in range(30):
        at = (INDEX, *index_of(r, [at]))
    r.repos["org/m"]["tags"]["deep"] = at[1]
    r.log.clear()
    w.fails("copy", r.host + "/org/m:deep", "oci:copied", kinds=("limit_exceeded",))
    check(len(r.log) < 30, len(r.log))
    w.fails("pull", "oci://%s/org/m:deep" % r.host, kinds=("not_implemented",))
    w.untouched()


@case
def index_of_large_manifests(w):
    r = w.registry()
    config = {"mediaType": "x/y", "digest": r.blob("org/m", b"{}"), "size": 2}
    items = []
    for i in range(60):
        data = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [], "annotations": {"a": "%d" % i + "x" * (3 << 20)}}).encode()
        items.append((MANIFEST, r.put("org/m", data), len(data)))
    index_of(r, items, "v1")
    w.most_mb = 128
    w.fails("copy", r.host + "/org/m:v1", "oci:copied", kinds=("limit_exceeded",))
    check(not os.path.exists(w.dir + "/copied/blobs") or not os.listdir(w.dir + "/copied/blobs/sha256"))


@case
def sizes_that_add_up_to_too_much(w):
    r = w.registry()
    whole = r.document(r.model("org/m", {"a": b"1", "b": b"2"}))
    for size in (1 << 50, 1 << 40):
        whole["layers"] = [dict(x, size=size, digest=sha(b"%d" % i)) for i, x in enumerate(whole["layers"])]
        r.put("org/m", json.dumps(whole).encode(), "v1")
        w.fails("pull", "oci://%s/org/m:v1" % r.host, kinds=("disk_full",))
    check(not r.requests("GET .*/blobs/"))
    w.untouched()


# ---- names ----

@case
def titles(w):
    r = w.registry()
    secrets = w.dir + "/victim"
    with open(secrets, "w") as f:
        f.write("as it was")
    bad = ["../" * 12 + "victim", secrets, "a/" * 600 + "x", "x" * 256, "a/./b", "./a", "a/", "C:x", "C:\\x", "\\\\host\\x", "a\u0000b", "a\u001b[31m", "a\u007f", ".", "a/.."]
    for path in bad:
        for keys in (("org.cncf.model.filepath", "org.opencontainers.image.title"), ("org.opencontainers.image.title",), ("org.cncf.model.filepath",)):
            doc = r.document(r.model("org/m", {"config.json": b"{}", "b": b"2"}))
            doc["layers"][1]["annotations"] = {k: path for k in keys}
            r.put("org/m", json.dumps(doc).encode(), "v1")
            w.fails("pull", "oci://%s/org/m:v1" % r.host, kinds=("ValidationError", "invalid_format"))
    good = r.document(r.model("org/m", {"config.json": b"{}", "b": b"2"}))
    good["layers"][1]["annotations"]["org.opencontainers.image.title"] = "../../victim"     # the first of the two names counts
    r.put("org/m", json.dumps(good).encode(), "v1")
    check(not r.requests("GET .*/blobs/") and open(secrets).read() == "as it was")
    w.untouched()
    pulled(w, r)
    check(w.snapshot() == {"config.json": b"{}", "b": b"2"} and open(secrets).read() == "as it was")


@case
def folder_and_file_of_one_name(w):
    r = w.registry()
    for names in (("a", "a/b"), ("a/b", "a"), ("x/y/z", "x/y")):
        r.model("org/m", {n: n.encode() for n in names})
        w.fails("pull", "oci://%s/org/m:v1" % r.host)
        check(not r.requests("GET .*/blobs/"), names)
        w.untouched()


@case
def words_for_the_terminal(w):
    """What a registry says is shown, but does nothing to the terminal and never in two lines."""
    evil = "\u001b[2Jgone\u009b31m\r\nmlxk: all is well"
    r = w.registry()
    r.model("org/m", FILES)
    body = json.dumps({"errors": [{"code": evil, "message": evil}]}).encode()
    for status in (400, 403, 404, 500):
        r.faults.clear()
        r.fault("", times=99, status=status, body=body)
        for args in (("pull", "oci://%s/org/m:v1" % r.host), ("tags", r.host + "/org/m")):
            w.run(*args, status=1)
            check("\nmlxk: all is well" not in w.diag, w.diag)
    r.faults.clear()
    doc = r.document(r.model("org/m", {"a": b"1"}))
    for at, key in ((doc, "artifactType"), (doc["layers"][0], "mediaType"), (doc["layers"][0]["annotations"], "org.cncf.model.filepath")):
        before, at[key] = at[key], evil
        r.put("org/m", json.dumps(doc).encode(), "v1")
        w.run("pull", "oci://%s/org/m:v1" % r.host, status=1)
        at[key] = before
    doc["annotations"] = {"note": evil, evil: "x"}
    r.put("org/m", json.dumps(doc).encode(), "v1")
    w.run("inspect", r.host + "/org/m:v1")


# ---- lists ----

@case
def lists_without_end(w):
    r = w.registry()
    r.model("org/m", {"a": b"1"})
    n = [0]

    def one_by_one(c, head):
        n[0] += 1
        body = b'{"name":"org/m","tags":["t%d"]}' % n[0]
        c.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nLink: </v2/org/m/tags/list?n=1&last=t%d>; rel=\"next\"\r\nContent-Length: %d\r\n\r\n%s" % (n[0], len(body), body))
    w.fails("tags", raw(w, one_by_one).host + "/org/m", kinds=("limit_exceeded",), words="pages")
    check(n[0] <= 5000, n[0], "pages")

    pages = [0]

    def large(c, head):
        pages[0] += 1
        body = b'{"name":"org/m","tags":["t%d"],"x":"' % pages[0] + b"x" * (20 << 20) + b'"}'
        c.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nLink: </v2/org/m/tags/list?n=1&last=t%d>; rel=\"next\"\r\nContent-Length: %d\r\n\r\n" % (pages[0], len(body)))
        c.sendall(body)
    w.most_mb = 128
    w.fails("tags", raw(w, large).host + "/org/m", kinds=("limit_exceeded",))
    check(pages[0] <= 20, pages[0], "pages")


@case
def lists_that_are_dense(w):
    r = w.registry()
    r.model("org/m", {"a": b"1"})
    w.most_mb = 128
    for body in (b'{"name":"org/m","tags":[' + b"1," * (12 << 20) + b"1]}", b'{"tags":' + b"[" * (8 << 20), b'{"tags":["' + b"x" * (30 << 20) + b'"]}',
                 b'{"tags":[' + b'{"a":1},' * (3 << 20) + b'"v1"]}'):
        r.faults.clear()
        r.fault("/tags/list", times=99, status=200, body=body)
        w.start("tags", r.host + "/org/m").communicate()
        p = w.json("tags", r.host + "/org/m", status=1) if body[-4:] != b'x"]}' else w.json("tags", r.host + "/org/m")
        check(p.get("type") in ("limit_exceeded", "invalid_format", "out_of_memory") or p["tags"] == [], p)


@case
def list_of_100000_tags(w):
    r = w.registry("dist2")
    digest = r.model("org/m", {"a": b"1"}, "v1")
    r.repos["org/m"]["tags"] = {"%0128d" % i: digest for i in range(100000)}
    w.most_mb = 128
    check(len(w.json("tags", r.host + "/org/m")["tags"]) == 100000)
    r.repos["org/m"]["tags"] = {"v1.%d.%d" % (i // 300, i % 300): digest for i in range(100000)}
    check(w.json("pull", "oci://%s/org/m:v1" % r.host)["digest"] == digest)


@case
def links_that_lead_away(w):
    r, other = w.registry(auth="basic"), w.registry()
    r.model("org/m", {"a": b"1"}, "v1")
    secret(w, r.host)
    body = b'{"name":"org/m","tags":["v1"]}'
    for link in (other.url + "/v2/org/m/tags/list", "//%s/v2/org/m/tags/list" % other.host, "file:///etc/passwd", "http://[", "http://ada:secret@%s/x" % r.host, "\\\\x",
                 "https://%s/v2/org/m/tags/list" % r.host, "http://localhost:%s/v2/x" % r.host.split(":")[1], "/" + "x" * 100000):
        r.faults.clear()
        r.fault("/tags/list", times=99, status=200, headers={"Link": "<%s>; rel=next" % link}, body=body)
        w.start("tags", r.host + "/org/m").communicate(timeout=30)
        e = w.json("tags", r.host + "/org/m", status=1)
        check(e["type"] in ("access_denied", "invalid_format", "ValidationError", "limit_exceeded", "http_error", "network_error"), link, e)
    check(not other.log, other.log)
    zot, other = w.registry("zot"), w.registry("zot")
    digest = zot.model("org/m", {"a": b"1"}, "v1")
    empty = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()
    zot.fault("/referrers/", times=99, status=200, headers={"Content-Type": INDEX, "Link": "<%s/v2/org/m/referrers/%s>; rel=next" % (other.url, digest)}, body=empty)
    w.fails("inspect", zot.host + "/org/m:v1", "--referrers", kinds=("access_denied",))
    check(not other.log, other.log)


@case
def referrers_that_lie(w):
    r = w.registry("zot")
    digest = r.model("org/m", {"a": b"1"}, "v1")
    me = {"mediaType": MANIFEST, "digest": digest, "size": len(r.repos["org/m"]["manifests"][digest][1])}

    def says(items, type_=INDEX):
        r.faults.clear()
        r.fault("/referrers/", times=9999, status=200, headers={"Content-Type": type_}, body=json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": items}).encode())
    says([me])                                          # it refers to itself
    w.run("copy", r.host + "/org/m:v1", "oci:copied", "--referrers")
    says([dict(me, digest=sha(b"nothing"))])            # there is no such manifest
    w.fails("copy", r.host + "/org/m:v1", "oci:copied-2", "--referrers")
    says([me], "text/html")                             # a page for people: then the fallback tag tells
    check(w.json("inspect", r.host + "/org/m:v1", "--referrers")["referrers"] == [])
    says([dict(me, digest=sha(b"%d" % i)) for i in range(20001)])
    w.fails("inspect", r.host + "/org/m:v1", "--referrers", kinds=("limit_exceeded",))
    r.faults.clear()
    r.fault("/referrers/", times=99, endless=True)
    w.fails("inspect", r.host + "/org/m:v1", "--referrers", seconds=30)
    n = len(r.log)
    check(n < 30, n)


# ---- who asks ----

@case
def challenges(w):
    r, thief = w.registry(), w.registry(auth="token")
    r.model("org/m", FILES)
    secret(w, r.host)
    for value in ("", "Negotiate", "Bearer", 'Bearer realm=""', 'Bearer realm="/token"', 'Bearer realm="ftp://x/"', 'Bearer realm="file:///etc/passwd"', 'Bearer realm="' + "x" * 60000 + '"',
                  'Bearer realm="http://u:p@%s/token"' % thief.host, "Bearer realm=\"\u009b31m\"", 'Basic realm="' + "a," * 5000 + '"', "Bearer " + "a=b," * 20000,
                  'Bearer realm="%s/token",service="a%%0d%%0aX: y",scope="x"' % "http://127.0.0.1:1", ["Bearer realm=x"] * 80):
        r.faults.clear()
        r.log.clear()
        r.fault("", times=99, status=401, headers={"WWW-Authenticate": value.encode().decode("latin-1") if isinstance(value, str) else value})
        w.json("pull", "oci://%s/org/m:v1" % r.host, status=1, seconds=20)
        check(len(r.log) < 8, len(r.log), value)
    w.untouched()


@case
def authorities(w):
    """What answers as an authority: loops, endless bodies, tokens with line breaks, hundreds of them."""
    r = w.registry(auth="token")
    r.model("org/m", FILES)
    secret(w, r.host)
    for what in ({"to": r.url + "/token"}, {"endless": True}, {"status": 200, "body": b"x" * (3 << 20)}, {"status": 200, "body": b'{"token":"a\\r\\nX-Evil: 1"}'}, {"status": 200, "body": b"{}"},
                 {"status": 200, "body": b'{"token":"' + b"t" * 70000 + b'"}'}, {"status": 200, "body": b"[" * 500000}, {"status": 204}, {"status": 500}, {"status": 429, "headers": {"Retry-After": "99999999"}},
                 {"status": 401}, {"status": 200, "body": b'{"token":"refused"}'}):
        r.faults.clear()
        r.log.clear()
        r.fault("/token", times=999, **what)
        w.fails("pull", "oci://%s/org/m:v1" % r.host, kinds=("access_denied", "http_error", "limit_exceeded", "rate_limited", "network_error", "invalid_format"), seconds=30)
        check(len(r.log) < 40, len(r.log), what)
        check(not any("evil" in str(e).lower() for e in r.log))
    w.untouched()


@case
def refused_in_the_middle(w):
    """Every token is good for one answer: pull and push go on; then for none: they end, after as many questions."""
    path, digest = w.layout(FILES)
    r = w.registry(auth="token")
    r.token_uses = 1
    secret(w, r.host)
    w.run("copy", "oci:%s:v1" % path, r.host + "/org/m")
    pulled(w, r)
    r.log.clear()
    r.token_uses = 0
    w.fails("copy", r.host + "/org/m:v1", "oci:copied", kinds=("access_denied",))
    w.fails("copy", "oci:%s:v1" % path, r.host + "/org/other", kinds=("access_denied",))
    check(len(r.log) < 60, len(r.log))


# ---- redirects ----

@case
def redirects(w):
    r, other = w.registry(auth="token"), w.registry(auth="token")
    r.model("org/m", FILES)
    other.model("org/m", FILES)
    secret(w, r.host)
    blob = "/v2/org/m/blobs/" + sha(FILES["sub/a.bin"])
    for to in (r.url + blob, "file:///etc/passwd", "gopher://%s/" % other.host, "http://ada:secret@%s%s" % (other.host, blob), "", "//", "http://", "http://%s:99999/" % other.host, "x" * 70000, other.url + blob,
               other.url + "/token?service=x&scope=y"):
        r.faults.clear()
        r.fault("GET " + blob, times=999, to=to)
        w.fails("pull", "oci://%s/org/m:v1" % r.host, seconds=30)
        w.nothing_shown()
        r.faults.clear()
        r.fault("GET .*/manifests/", times=999, to=to.replace(blob, "/v2/org/m/manifests/v1"))
        w.fails("inspect", r.host + "/org/m:v1", seconds=30)
    check(other.log and not any(e["auth"] for e in other.log), other.log)


# ---- bodies ----

@case
def blobs_that_lie(w):
    big = os.urandom(3 << 20)
    files = {"config.json": b"{}", "big.bin": big}
    for what in ({"flip": 2000000}, {"extra": 1 << 20}, {"endless": True}, {"whole": True}, {"after": 1000}, {"digest": sha(b"other")}):
        r = w.registry()
        r.model("org/m", files)
        r.fault("GET .*/blobs/" + sha(big), times=999, **what)
        if "whole" in what or "digest" in what:         # neither harms: what comes has the digest that was asked for
            w.run("rm", pulled(w, r)["model"], "--force")
            continue
        if "after" in what:                             # a thousand bytes a time: it goes on, as long as it moves
            r.faults[-1]["times"] = 40
            d = pulled(w, r)
            check(w.snapshot() == files)
            w.run("rm", d["model"], "--force")
            continue
        w.fails("pull", "oci://%s/org/m:v1" % r.host, kinds=("integrity_error",), seconds=30)
        w.nothing_shown()
    for head in (b"Content-Length: 18446744073709551616", b"Content-Length: -1", b"Content-Length: 5\r\nContent-Length: 6", b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: xyz",
                 b"Content-Length: 9223372036854775807", b"Content-Encoding: gzip\r\nContent-Length: 30"):
        r = w.registry()
        r.model("org/m", files)
        liar = raw(w, lambda c, _, head=head: c.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + b"z" * 3000))
        r.fault("GET .*/blobs/" + sha(big), times=999, to="http://%s/" % liar.host)
        w.fails("pull", "oci://%s/org/m:v1" % r.host, seconds=30)
        w.nothing_shown()


@case
def only_the_bad_blob_comes_again(w):
    files = {"%d.bin" % i: bytes([i]) * (1 << 20) for i in range(4)}
    r = w.registry()
    r.model("org/m", files)
    r.fault("GET .*/blobs/" + sha(files["2.bin"]), flip=500000)
    w.fails("pull", "oci://%s/org/m:v1" % r.host, kinds=("integrity_error",), words="2.bin")
    w.fails("show", "oci://%s/org/m:v1" % r.host)
    r.log.clear()
    d = w.json("pull", "oci://%s/org/m:v1" % r.host)
    again = r.requests("GET .*/blobs/")
    check(w.snapshot() == files and d["fetched_bytes"] <= 2 << 20 and len(again) <= 2, d, again)


@case
def heads_without_end(w):
    def bomb(c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\n")
        for i in range(200000):
            c.sendall(b"X-%d: %s\r\n" % (i, b"y" * 1000))

    def line(c, head):
        c.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(2000):
            c.sendall(b"y" * 65536)

    def interim(c, head):
        while True:
            c.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")

    def noise(c, head):
        c.sendall(os.urandom(200000))

    def shut(c, head):
        c.shutdown(2)
    for f in (bomb, line, interim, noise, shut):
        r = raw(w, f)
        w.fails("pull", "oci://%s/org/m:v1" % r.host, seconds=40)
        w.fails("tags", r.host + "/org/m", seconds=40)
    w.untouched()


# ---- asking for patience ----

@case
def patience(w):
    path, _ = w.layout(FILES)
    for after in ("99999999", "9" * 30, "-5", "soon", "Fri, 31 Dec 9999 23:59:59 GMT", "", "1e9"):
        r = w.registry()
        r.model("org/m", FILES)
        r.fault("", times=99, status=429, headers={"Retry-After": after})
        began = time.time()
        w.fails("pull", "oci://%s/org/m:v1" % r.host, kinds=("rate_limited",), seconds=20)
        w.fails("copy", "oci:%s:v1" % path, r.host + "/org/m", kinds=("rate_limited",), seconds=20)
        check(time.time() - began < 20 and len(r.log) < 30, after, len(r.log))
    w.untouched()


# ---- uploads ----

@case
def uploads_that_lead_nowhere(w):
    path, _ = w.layout({"config.json": b"{}", "a.bin": os.urandom(300000)})
    r, other = w.registry(auth="basic"), w.registry()
    secret(w, r.host)
    for headers in ({}, {"Location": ""}, {"Location": "file:///etc/passwd"}, {"Location": "http://ada:secret@%s/x" % other.host}, {"Location": "ftp://x/"}, {"Location": "/" + "x" * 100000}, {"Location": "http://"},
                    {"Location": "\u00ff\u0001".encode().decode("latin-1")}):
        r.faults.clear()
        r.log.clear()
        r.fault("^POST", times=999, status=202, headers=headers)
        w.fails("copy", "oci:%s:v1" % path, r.host + "/org/m", seconds=20)
        check(len(r.log) < 60 and "org/m" not in r.repos, headers, len(r.log))
    check(not other.log, other.log)
    for status in (200, 201, 204, 301, 418):
        r.faults.clear()
        r.fault("^POST", times=999, status=status)
        w.fails("copy", "oci:%s:v1" % path, r.host + "/org/m", seconds=20)
    check("org/m" not in r.repos)


@case
def uploads_that_wander(w):
    """Each piece's answer names another host: bytes may go there, secrets may not; and the session is not resumed there."""
    path, digest = registry_cases.large(w, None, 130 << 20)
    r, a, b = w.registry("zot", auth="token"), w.registry("zot"), w.registry("zot")
    secret(w, r.host)
    turn = [0]

    def place(_, registry, name, key):
        turn[0] += 1
        return "%s/v2/%s/blobs/uploads/%s?_state=%d" % ((r, a, b)[turn[0] % 3].url, name, key, registry.uploads[key]["state"])
    handler = r.server.RequestHandlerClass

    class Wandering(handler):
        pass
    Wandering.place = place
    for x in (r, a, b):
        x.server.RequestHandlerClass = Wandering
        x.uploads, x.blobs, x.links, x.repos = r.uploads, r.blobs, r.links, r.repos
    w.run("copy", "oci:%s:v1" % path, r.host + "/org/m", seconds=120)
    check(r.repos["org/m"]["tags"]["v1"] == digest)
    check(a.log and b.log and not any(e["auth"] for e in a.log + b.log), a.log, b.log)


@case
def uploads_that_take_all_and_keep_nothing(w):
    path, _ = w.layout({"config.json": b"{}", "a.bin": os.urandom(300000)})
    r = w.registry()
    r.fault("^PUT .*/uploads/", times=999, status=201)
    w.fails("copy", "oci:%s:v1" % path, r.host + "/org/m", seconds=20)      # the manifest is refused then
    check(not r.repos.get("org/m", {"tags": {}})["tags"])
    big, _ = registry_cases.large(w, None, 70 << 20)
    for what in ({"status": 202, "headers": {"Range": "0-0"}}, {"status": 202, "headers": {"Range": "0-99999999999"}}, {"status": 202, "headers": {"Range": "x"}}, {"status": 404}, {"status": 409}, {"status": 503}):
        r = w.registry()
        r.fault("^(PATCH|PUT) .*/uploads/", times=999, **what)
        w.fails("copy", "oci:%s:v1" % big, r.host + "/org/m", seconds=60)
        check("org/m" not in r.repos and len(r.log) < 60, what, len(r.log))


@case
def uploads_whose_session_ends(w):
    """In the middle the registry knows nothing of the session any more: another one begins."""
    big, digest = registry_cases.large(w, None, 66 << 20)
    r = w.registry()
    for what in ("PATCH .*state=1", "PUT .*/uploads/.*state=2"):
        r.fault("^" + what, status=404, body=b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"upload unknown"}]}')
    w.run("copy", "oci:%s:v1" % big, r.host + "/org/m", seconds=120)
    begun = [e["content_range"] for e in r.requests("^PATCH") if e["content_range"].startswith("0-")]
    check(r.repos["org/m"]["tags"]["v1"] == digest and len(begun) == 3, begun)


@case
def sessions_that_outlive_an_outage(w):
    """In the middle the registry is gone, for longer than is waited for: the next run goes on from where it stood, and so does this one where it comes back."""
    big, digest = registry_cases.large(w, None, 66 << 20)
    for times in (999, 3):
        for what in ({"status": 503}, {"lost": True}):
            r = w.registry("zot")
            r.fault("^PATCH", take=1 << 20)
            r.fault("^(GET|POST) .*/uploads/.", times=times, **what)
            if times == 999:
                w.fails("copy", "oci:%s:v1" % big, r.host + "/org/m", seconds=60)
                r.faults.clear()
            d = w.json("copy", "oci:%s:v1" % big, r.host + "/org/m", seconds=60)
            starts = [e["content_range"].split("-")[0] for e in r.requests("^PATCH")]
            check(d["digest"] == digest and starts[:2] == ["0", str(1 << 20)] and starts.count("0") == 1, times, what, starts)


# ---- time ----

def in_time(w, cases, seconds):
    """Commands at once; each must end with an error that says what did not come, before `seconds` have passed."""
    began = time.time()
    running = [(p, r, args, w.start(*args, "--json")) for p, r, args in cases]
    for name, r, args, p in running:
        try:
            out, diag = p.communicate(timeout=max(1, began + seconds - time.time()))
        except subprocess.TimeoutExpired:
            for x in running:
                x[3].kill()
                x[3].communicate()
            raise Wrong("%s did not end in %d s; %d requests" % (name, seconds, len(r.log))) from None
        e = (json.loads(out) or {}).get("error") or {}
        check(p.returncode == 1 and e.get("type") == "gateway_timeout" and ("in time" in e["message"] or "bytes came in" in e["message"]), name, p.returncode, e, diag)
        check(r.host in e["message"], name, e)
        check(len(r.log) < 30, name, len(r.log), r.log)


POINTS = (("manifest", "GET .*/manifests/", "pull"), ("blob", "GET .*/blobs/", "pull"), ("tags", "/tags/list", "tags"), ("token", "/token", "pull"), ("asked_for_blob", "HEAD .*/blobs/", "copy"),
          ("session", "^POST", "copy"), ("blob_put", "^PUT .*/uploads/", "copy"), ("manifest_put", "^PUT .*/manifests/", "copy"), ("referrers", "/referrers/", "verify"))


def patient(w, r, command, path):
    if command == "copy":
        return ("copy", "oci:%s:v1" % path, r.host + "/org/new")
    if command == "tags":
        return ("tags", r.host + "/org/m")
    return ("pull", "oci://%s/org/m:v1" % r.host) if command == "pull" else ("inspect", r.host + "/org/m:v1", "--referrers")


def slow_registries(w, points, **what):
    path, _ = w.layout(FILES)
    w.env.update(MLXK_REGISTRY_TIMEOUT="1", MLXK_SLOW_WINDOW_MS="1000")
    cases = []
    for name, pattern, command in points:
        r = w.registry("zot", auth="token" if name == "token" else None)
        r.model("org/m", FILES)
        secret(w, r.host) if name == "token" else None
        r.fault(pattern, times=999, **what)
        cases.append((name, r, patient(w, r, command, path)))
    in_time(w, cases, 40)
    w.nothing_shown()


@case
def silence(w):
    """Nothing comes, wherever: a few tries of a second each, and an error, not a try for each level of those who ask."""
    slow_registries(w, POINTS, silent=True)


@case
def drop_by_drop(w):
    """A byte now and then, for ever. (A blob that is there by then counts as stored.)"""
    slow_registries(w, [p for p in POINTS if p[0] != "blob_put"], trickle=0.1)


@case
def bodies_that_are_not_taken(w):
    """A registry reads nothing of what it is sent: given up after a few tries, and never begun anew from byte 0 for ever."""
    big, _ = registry_cases.large(w, None, 66 << 20)
    w.env["MLXK_REGISTRY_TIMEOUT"] = "1"
    for pattern in ("^PATCH", "(uploads|blobs)/"):
        r = w.registry()
        r.fault(pattern, times=999, silent=True)
        w.fails("copy", "oci:%s:v1" % big, r.host + "/org/m", kinds=("gateway_timeout",), words="in time", seconds=30)
        check(len(r.log) < 20, len(r.log), r.log)


@case
def slow_but_wanted(w):
    """What the message names for slow lines is obeyed by registries, too."""
    r = w.registry()
    r.model("org/m", {"config.json": b"{}", "a.txt": bytes(200)})
    r.fault("GET .*/blobs/", times=99, trickle=0.005)
    w.env["MLXK_SLOW_WINDOW_MS"] = "500"
    w.fails("pull", "oci://%s/org/m:v1" % r.host, kinds=("gateway_timeout",), words="MLXK_MIN_SPEED")
    w.env["MLXK_MIN_SPEED"] = "1"
    pulled(w, r)


@case
def asked_to_wait(w):
    """Who is asked to come later comes later, with the session and the bytes it had."""
    small, _ = w.layout(FILES)
    for pattern in ("^PUT .*/uploads/", "^PUT .*/manifests/", "^HEAD", "^POST", "/token"):
        r = w.registry("zot", auth="token" if "token" in pattern else None)
        secret(w, r.host)
        r.fault(pattern, status=503 if "uploads" in pattern else 429, headers={"Retry-After": "1"})
        began = time.time()
        w.run("copy", "oci:%s:v1" % small, r.host + "/org/m")
        check(time.time() - began >= 1, pattern, "was not waited for")
    big, digest = registry_cases.large(w, None, 66 << 20)
    r = w.registry()
    r.fault("^PATCH .*state=1", status=429, headers={"Retry-After": "1"})
    w.run("copy", "oci:%s:v1" % big, r.host + "/org/m", seconds=120)
    sent = [e["content_range"] for e in r.requests("^PATCH")]
    check(r.repos["org/m"]["tags"]["v1"] == digest and sent == ["0-67108863", "67108864-69206015"] and len(r.requests("^POST")) == 2, r.log)
    r.fault("^PUT .*/uploads/", times=99, status=429, headers={"Retry-After": "99999"})
    w.fails("copy", "oci:%s:v1" % small, r.host + "/org/m", kinds=("rate_limited",), words="99999 seconds", seconds=20)


@case
def answers_that_are_lost(w):
    """The registry has the blob, only its word for that did not come: it is asked, and nothing is sent twice."""
    big, digest = registry_cases.large(w, None, 66 << 20)
    small, other = w.layout(FILES)
    for path, want in ((small, other), (big, digest)):
        r = w.registry("dist3")
        r.fault("^PUT .*/uploads/", times=2, lost=True)
        d = w.json("copy", "oci:%s:v1" % path, r.host + "/org/m", seconds=60)
        check(r.repos["org/m"]["tags"]["v1"] == want, d)
        check(len(r.requests("^PUT .*/uploads/")) == d["n_sent"], d, r.requests("^PUT"))


# ---- parts ----

@case
def parts_that_are_refused(w):
    """To a question for the rest a registry answers 416, or with all of it: what has come is kept, and nothing is taken twice."""
    data = os.urandom(3 << 20)
    for what in ({"status": 416, "headers": {"Content-Length": "0"}}, {"whole": True}):
        r = w.registry()
        r.model("org/m", {"config.json": b"{}", "big.bin": data})
        r.fault("GET .*/blobs/" + sha(data), after=2 << 20)
        r.fault("GET .*/blobs/" + sha(data), times=1 if "status" in what else 99, **what)
        pulled(w, r)
        check(w.snapshot() == {"config.json": b"{}", "big.bin": data}, what)
        asked = [e["range"] for e in r.requests("GET .*/blobs/" + sha(data))]
        check(asked == (["", "bytes=%d-" % (2 << 20), ""] if "status" in what else ["", "bytes=%d-" % (2 << 20)]), what, asked)
        w.run("rm", w.json("list", "--all")["models"][0]["name"], "--force")
    r = w.registry()
    r.model("org/m", {"big.bin": data})
    r.fault("GET .*/blobs/" + sha(data), times=99, status=416)
    e = w.fails("pull", "oci://%s/org/m:v1" % r.host, words="416", seconds=20)
    check(len(r.log) < 10, e, len(r.log))
    r = w.registry()                                    # and where a blob is asked for in several parts
    wide = os.urandom(70 << 20)
    r.model("org/m", {"wide.bin": wide})

    def refuse(handler, *a):
        if "Range" in handler.headers and handler.command == "GET":
            return handler.answer(416)
        return r.blobs_of(handler, *a)

    class Whole(r.server.RequestHandlerClass):
        blobs = refuse
    r.blobs_of = r.server.RequestHandlerClass.blobs
    r.server.RequestHandlerClass = Whole
    w.most_mb = 128
    pulled(w, r)
    check(w.snapshot() == {"wide.bin": wide})


@case
def blobs_of_another_length(w):
    data = os.urandom(1 << 20)
    for what in ({"short": 1000}, {"short": 1000, "chunked": True}, {"short": 0}, {"short": 0, "chunked": True}, {"short": (1 << 20) - 1, "chunked": True}, {"extra": 1}, {"extra": 10 << 20}):
        r = w.registry()
        r.model("org/m", {"config.json": b"{}", "big.bin": data})
        r.fault("GET .*/blobs/" + sha(data), times=999, whole=True, **what)
        e = w.fails("pull", "oci://%s/org/m:v1" % r.host, kinds=("integrity_error", "network_error"), seconds=30)
        check(len(r.log) < 20 and r.host in e["message"], what, e, len(r.log))
        w.fails("copy", r.host + "/org/m:v1", "oci:copied-%d" % len(w.registries), seconds=30)
        w.nothing_shown()


# ---- what changes while it is looked at ----

@case
def digests_of_what_was_sent(w):
    """The registry says it has stored another manifest; of a blob the manifest's digest tells, whatever is said."""
    path, digest = w.layout(FILES)
    r = w.registry()
    r.fault("^PUT .*/manifests/", times=99, digest=sha(b"other"))
    w.fails("copy", "oci:%s:v1" % path, r.host + "/org/m", kinds=("integrity_error",), words="was sent a manifest")
    r.faults.clear()
    r.fault("^PUT .*/uploads/", times=99, digest=sha(b"other"))
    check(w.json("copy", "oci:%s:v1" % path, r.host + "/org/n")["digest"] == digest)


@case
def tags_that_move(w):
    """Between the question for a tag's digest and the one for its content the tag moves: one of the two is taken whole, never a mixture."""
    r = w.registry()
    one, two = r.model("org/m", {"config.json": b"{}", "a": b"1"}, "v1"), r.model("org/m", {"config.json": b"{}", "a": b"2"}, None)
    handler = r.server.RequestHandlerClass

    class Moving(handler):
        def manifests(self, r, name, repo, what, query):
            handler.manifests(self, r, name, repo, what, query)
            if not what.startswith("sha256:"):
                repo["tags"]["v1"] = two if repo["tags"]["v1"] == one else one
    r.server.RequestHandlerClass = Moving
    for _ in range(2):
        d = pulled(w, r)
        check(d["digest"] in (one, two) and w.snapshot()["a"] == (b"1" if d["digest"] == one else b"2"), d)
        w.run("rm", d["model"], "--force")
        d = w.json("copy", r.host + "/org/m:v1", "oci:copied", seconds=20)
        check(d["digest"] in (one, two), d)
        check(w.json("inspect", r.host + "/org/m:v1")["digest"] in (one, two))
        w.run("index", "update", r.host + "/org/m")
    r.fault("HEAD .*/manifests/", times=99, digest=sha(b"nothing"))     # a head that tells of what there is not
    w.run("index", "update", "--all", r.host + "/org/m")
    check("1 versions cannot be read" in w.diag + w.out and [v["about"] for v in w.json("index", "show", r.host + "/org/m")["versions"]] == [{}], w.out, w.diag)


# ---- https that is left ----

def by_tls(w, **k):
    """A registry with a certificate for 127.0.0.1 that this world trusts."""
    key, pem = w.dir + "/key.pem", w.dir + "/cert.pem"
    if not os.path.exists(pem):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", pem, "-subj", "/CN=test",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"], check=True, capture_output=True)
        w.env["SSL_CERT_FILE"] = pem
    r = w.registry(**k)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    r.server.socket = context.wrap_socket(r.server.socket, server_side=True, do_handshake_on_connect=False)
    r.url = "https://" + r.host
    return r


@case
def https_is_not_left(w):
    """A registry by https names http: for its authority, by a redirect of it, of a blob, for an upload, for the next page. No byte and no secret goes there."""
    path, _ = w.layout(FILES)
    r, clear = by_tls(w, auth="token"), w.registry(auth="token")
    r.model("org/m", FILES)
    clear.model("org/m", FILES)
    secret(w, r.host)
    w.run("pull", "oci://%s/org/m:v1" % r.host)
    w.run("rm", w.json("list", "--all")["models"][0]["name"], "--force")
    blob = "/v2/org/m/blobs/" + sha(FILES["sub/a.bin"])

    def refused(*args, words="", **k):
        r.tokens.clear()
        w.fails(*args, words=words, seconds=20)
        check(not clear.log, clear.log)
        r.faults.clear()
        r.realm = None
    r.realm = clear.url + "/token"
    refused("tags", r.host + "/org/m", words="without encryption")
    r.fault("/token", times=99, to=clear.url + "/token?service=x&scope=y")
    refused("tags", r.host + "/org/m", words="from https to http")
    r.fault("GET " + blob, times=99, to=clear.url + blob)
    refused("pull", "oci://%s/org/m:v1" % r.host, words="from https to http")
    r.fault("^POST", times=99, status=202, headers={"Location": clear.url + "/v2/org/m/blobs/uploads/1"})
    refused("copy", "oci:%s:v1" % path, r.host + "/org/new", words="without encryption")
    r.fault("/tags/list", times=99, status=200, headers={"Link": "<%s/v2/org/m/tags/list?n=1>; rel=next" % clear.url}, body=b'{"name":"org/m","tags":["v1"]}')
    refused("tags", r.host + "/org/m", words="which is refused")
    for status in (301, 307):
        r.fault("^PUT .*/manifests/", times=99, status=status, to=clear.url + "/v2/org/new/manifests/v1")
        refused("copy", "oci:%s:v1" % path, r.host + "/org/new", words="from https to http")
    w.nothing_shown()


@case
def authority_that_sends_on(w):
    """An authority redirects: on its own host it is followed, elsewhere the password does not go along; by a POST with a refresh token it is not followed."""
    r, thief = w.registry(auth="token"), w.registry(auth="token")
    r.model("org/m", FILES)
    secret(w, r.host)
    for status in (301, 302, 303, 307, 308):
        r.faults.clear()
        r.fault("/token", status=status, to=r.url + "/token?service=reg&scope=repository:org/m:pull")
        r.tokens.clear()
        check(w.json("tags", r.host + "/org/m")["tags"] == ["v1"])
        r.faults.clear()
        r.fault("/token", times=99, status=status, to=thief.url + "/token?service=reg&scope=repository:org/m:pull")
        r.tokens.clear()
        w.fails("tags", r.host + "/org/m", words="authority", seconds=20)
        check(not any(e["auth"] for e in thief.log), thief.log)
    with open(w.dir + "/home/.docker/config.json", "w") as f:
        json.dump({"auths": {r.host: {"identitytoken": "identity"}}}, f)
    for status in (301, 302, 303, 307, 308):
        r.faults.clear()
        thief.log.clear()
        r.fault("/token", times=99, status=status, to=thief.url + "/token")
        w.fails("tags", r.host + "/org/m", words="authority", seconds=20)
        check(not thief.log, thief.log)


def main():
    registry_cases.World, registry_cases.CASES[:] = World, CASES
    return registry_cases.main("hostile")


if __name__ == "__main__":
    sys.exit(main())
