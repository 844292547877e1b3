#!/usr/bin/env python3
"""fake_hub.py: a Hugging Face hub on loopback for tests, with switchable faults. Standard library only.

  fake_hub.py serve DIR [--tls] [--big BYTES]   listeners on free ports; DIR/ready (shell variables) appears when
                                                they answer; ends with SIGTERM or when its parent is gone
  fake_hub.py verify CACHE REPO [REVISION] [--only GLOB]... [--url URL]
                                                is the cache of REPO exactly what a complete pull leaves?
  fake_hub.py workspace DIR REPO [REVISION]     is DIR exactly what a clone of REPO leaves?
  fake_hub.py commit REPO [REVISION]            prints the commit
  fake_hub.py remote URL REPO [REVISION]        prints "sha256  path" of every file that the running hub has

Behind one set of repositories stand a hub and a CDN on a port of its own (absolute 302 for LFS files), each plain
and, with --tls, behind certificates of a CA made at start by the openssl command.

Every request appends a line to DIR/log:  WHERE METHOD TARGET range=R auth=A status=S sent=N conn=C
Faults are read from DIR/faults at every request, one per line:  WHERE REGEX KIND[=ARG] [FROM[-TO]]
WHERE is hub, cdn or any; REGEX is searched in the target; FROM-TO counts the requests that match (default all).
Kinds: see class Faults below."""
import fnmatch
import gzip
import hashlib
import json
import os
import random
import re
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from urllib.parse import parse_qs, quote, unquote, urlsplit

from fake_push import READ_TOKEN, Push

GOOD_TOKEN = "hf_goodgoodgoodgoodgood"


MORE_LISTENERS = ()                  # of fake_xet.py


# ------------------------------------------------------------------ repositories
def noise(seed, n):
    return random.Random(seed).randbytes(n)


def weights(seed, n):
    """A safetensors file of one tensor with n bytes of noise."""
    head = b'{"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (n, n)
    return len(head).to_bytes(8, "little") + head + noise(seed, n)


def git_sha1(b):
    return hashlib.sha1(b"blob %d\0" % len(b) + b).hexdigest()


class File:
    def __init__(self, path, data, lfs=False):
        self.path, self.data, self.lfs = path, data, lfs
        self.sha256 = hashlib.sha256(data).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(data)}\n".encode()
        self.oid = git_sha1(pointer if lfs else data)
        self.etag = self.sha256 if lfs else self.oid

    def entry(self):
        e = {"type": "file", "oid": self.oid, "size": len(self.data), "path": self.path}
        if self.lfs:
            e["lfs"] = {"oid": self.sha256, "size": len(self.data), "pointerSize": 134}
            e["xetHash"] = hashlib.sha256(b"xet" + self.data[:64]).hexdigest()
        return e


class Repo:
    def __init__(self, name, revisions, gated=False, private=False, disabled=False):
        """revisions: name -> files; the commit follows from name and content."""
        self.name, self.gated, self.private, self.disabled = name, gated, private, disabled
        self.refs, self.commits = {}, {}
        for rev, files in revisions.items():
            commit = hashlib.sha1((name + "".join(f.path + f.etag for f in files)).encode()).hexdigest()
            self.refs[rev] = commit
            self.commits[commit] = files
        self.moves = None            # commit that main gets after the next question for it

    def resolve(self, rev):
        if rev in self.commits:
            return rev
        commit = self.refs.get(rev)
        if commit is None and re.fullmatch("[0-9a-f]{7,39}", rev):
            commit = next((c for c in self.commits if c.startswith(rev)), None)
        return commit


def model_files(tag="main", weights=300_000):
    return [File(".gitattributes", b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"),
            File("README.md", f"# {tag}\n".encode()),
            File("config.json", json.dumps({"model_type": "llama", "tag": tag}).encode()),
            File("empty.txt", b""),
            File("model-00001-of-00002.safetensors", noise("w1" + tag, weights), lfs=True),
            File("model-00002-of-00002.safetensors", noise("w2" + tag, weights // 3), lfs=True),
            File("model.safetensors.index.json", b'{"weight_map": {}}'),
            File("sub/dir/nested.json", b"[1, 2, 3]"),
            File("tokenizer.json", noise("tok", 20_000), lfs=True),
            File("copy/tokenizer.json", noise("tok", 20_000), lfs=True),
            File("with space.txt", b"space"),
            File("w\u00e4re \u00fcn\u00ef \u65e5\u672c.txt", b"unicode"),
            File("odd#%+&=?;@.txt", b"odd"),
            File("100%25.txt", b"percent")]


def data_files(tag="main"):
    return [File("README.md", f"# {tag}\n".encode()),
            File("data/train-00000-of-00002.parquet", noise("d1" + tag, 400_000), lfs=True),
            File("data/train-00001-of-00002.parquet", noise("d2" + tag, 90_000), lfs=True),
            File("data/names \u65e5\u672c.csv", b"a,b\n1,2\n"),
            File("empty.csv", b"")]


EVIL = ["../evil.txt", "../../../evil.txt", "/evil.txt", "a/../../evil", "a//b", "a\\..\\b", "C:/evil", "nul\x00name", "new\nline", "x" * 300, ""]


def small():
    return [File("config.json", b'{"model_type": "llama"}'), File("model.safetensors", noise("small", 50_000), lfs=True)]


def good():
    """A model whose weights have a header."""
    header = json.dumps({"t": {"dtype": "F16", "shape": [8], "data_offsets": [0, 16]}}).encode()
    return [File("config.json", json.dumps({"model_type": "llama", "quantization": {"bits": 4, "group_size": 64}}).encode()),
            File("model.safetensors", struct.pack("<Q", len(header)) + header + bytes(16), lfs=True),
            File("1_Pooling/config.json", b"{}")]


def big_file(n):
    block = noise("big", 1 << 20)
    return [File("model.safetensors", (block * (n // len(block) + 1))[:n], lfs=True)]


RECIPES = {      # name -> revisions and properties; made when they are wanted
    "o/model": lambda: ({"main": model_files(), "refs/pr/1": model_files("pr"), "v1": model_files("v1"), "feature/x": model_files("feature")}, {}),
    "o/small": lambda: ({"main": small()}, {}),
    "o/good": lambda: ({"main": good()}, {}),
    "bare": lambda: ({"main": small()}, {}),
    "o/many": lambda: ({"main": [File(f"d{i % 40}/f{i:04}.json", b"[%d]" % i) for i in range(1500)]}, {}),
    "o/gated": lambda: ({"main": small()}, {"gated": True}),
    "o/private": lambda: ({"main": small()}, {"private": True}),
    "o/disabled": lambda: ({"main": small()}, {"disabled": True}),
    "o/empty": lambda: ({"main": []}, {}),
    "o/moved": lambda: ({"main": model_files("before"), "next": model_files("after")}, {}),
    "o/target": lambda: ({"main": small()}, {"private": True}),
    "o/public": lambda: ({"main": small()}, {}),
    "o/large": lambda: ({"main": [File("config.json", b'{"model_type": "llama"}'), File("model.safetensors", noise("large", 48_000_000), lfs=True)]}, {}),
    "o/huge": lambda: ({"main": [File("model.safetensors", noise("huge", 24_000_000), lfs=True)]}, {}),
    **{name: lambda name=name: ({"main": [File("config.json", b'{"model_type": "llama"}'),
                                          *(File(f"model-{i:05}.safetensors", noise(f"{name} {i}", 300_000), lfs=True) for i in range(30))]}, {})
       for name in ("o/shards", "o/others")},
    "o/plain": lambda: ({r: [File("config.json", b'{"model_type": "llama"}'), File("README.md", r.encode()),
                             File("sub/model.safetensors", noise("plain " + r, 200_000), lfs=True)] for r in ("main", "v1")}, {}),
    "datasets/o/model": lambda: ({"main": data_files(), "v1": data_files("v1")}, {}),      # and a model is called o/model
    "datasets/o/large": lambda: ({"main": [File("train.parquet", noise("large", 48_000_000), lfs=True)]}, {}),
    "datasets/o/gated": lambda: ({"main": data_files()}, {"gated": True}),
    "datasets/rajpurkar/squad": lambda: ({"main": data_files("squad")}, {}),
    "spaces/o/app": lambda: ({"main": [File("README.md", b"---\nsdk: static\n---\n"), File("app.py", b"print()\n"), File("empty.txt", b"")]}, {}),
    "o/cases": lambda: ({"main": [File("config.json", b"{}"), File("Readme.md", b"1"), File("README.md", b"2")]}, {}),
    "o/twins": lambda: ({"main": [File("a.txt", b"1"), File("a.txt", b"2")]}, {}),
    "o/fileisdir": lambda: ({"main": [File("a", b"1"), File("a/b", b"2")]}, {}),
    **{f"o/evil{i}": lambda path=path: ({"main": [File("config.json", b"{}"), File(path, b"evil")]}, {}) for i, path in enumerate(EVIL)},
}


def repository(name):
    revisions, properties = RECIPES[name]()
    return Repo(name, revisions, **properties)


# ------------------------------------------------------------------ faults
class Faults:
    """status=N[,Header:Value...]  error answer          close           connection closed without an answer
    cut=N    N body bytes, then FIN (or no close_notify)  rst=N           N body bytes, then RST
    wrongbytes  right size, one byte flipped              longer=N shorter=N   wrong Content-Length
    nolength    body until close (with close_notify)      nonotify        the same without close_notify
    chunked     chunked body                              gzip            Content-Encoding nobody asked for
    norange     200 for a range                           badstart badtotal   206 of another place or size
    r416        416 for a range                           slow=N          N bytes a second
    stall=S     S seconds before the header               stallafter=N    N body bytes, then nothing more
    loop        redirect to itself                        tohttp          redirect from https to http
    away=URL    redirect to URL                           html            200 and a web page
    hops=N      N redirects, each to an address of its own
    header=N:V  header set (V empty: removed)             bigheader=N     a header line of N bytes
    manyheaders=N   N header lines                        junk            no HTTP at all
    json=KIND   see broken_json                           extra=N         N bytes more than announced (chunked)
    interim=N   N answers 103 before the real one         leftover        bytes of a second answer behind the first
    dripheader  header byte by byte, four a second       retrydate=S     429 with a Retry-After date S seconds ahead"""

    def __init__(self, path):
        self.path, self.stamp, self.rules = path, None, []
        self.lock = threading.Lock()

    def find(self, where, target):
        out = {}
        with self.lock:
            try:
                st = os.stat(self.path)
                stamp = (st.st_mtime_ns, st.st_size, st.st_ino)
            except OSError:
                stamp = None
            if stamp != self.stamp:
                self.stamp, self.rules = stamp, []
                for line in open(self.path).read().splitlines() if stamp else []:
                    w = line.split()
                    if len(w) >= 3:
                        lo, _, hi = (w[3] if len(w) > 3 else "1-999999").partition("-")
                        self.rules.append([w[0], re.compile(w[1]), w[2], int(lo), int(hi or lo), 0])
            for rule in self.rules:
                if rule[0] not in ("any", where) or not rule[1].search(target):
                    continue
                rule[5] += 1
                if rule[3] <= rule[5] <= rule[4]:
                    kind, _, arg = rule[2].partition("=")
                    out[kind] = arg
        return out


def broken_json(kind, body):
    if kind == "truncated":
        return body[:len(body) // 2]
    if kind == "deep":
        return b"[" * 100_000
    if kind == "deepmember":
        return body.rstrip()[:-1] + b', "x": ' + b"[" * 60_000 + b"]" * 60_000 + body.rstrip()[-1:]
    if kind == "scalar":
        return b"42"
    if kind == "empty":
        return b""
    if kind == "object":
        return b'{"error": null}'
    if kind == "badutf8":
        return body.replace(b"config", b"conf\xff\xfeg")
    if kind.startswith(("first:", "last:")):     # first:KEY:JSON, last:KEY:JSON: the key once more, before or behind the right one
        where, key, value = kind.split(":", 2)
        right = re.compile(b'("%s": (?:"[^"]*"|[^,}]*))' % key.encode())
        wrong = b'"%s": %s' % (key.encode(), value.encode())
        return right.sub(lambda m: wrong + b", " + m[1] if where == "first" else m[1] + b", " + wrong, body)
    if kind.startswith("set:"):      # set:KEY:JSON in every object of the top level
        _, key, value = kind.split(":", 2)
        doc = json.loads(body)
        for o in doc if isinstance(doc, list) else [doc]:
            o[key] = json.loads(value)
            if value == '"DELETE"':
                del o[key]
        return json.dumps(doc).encode()
    raise ValueError(kind)


# ------------------------------------------------------------------ one connection
class Gone(Exception):
    """The connection was ended on purpose."""


class Done(Exception):
    """The answer is given."""


class Connection:
    def __init__(self, hub, where, raw, context, number):
        self.hub, self.where, self.raw, self.context, self.number = hub, where, raw, context, number
        self.tls = context is not None
        self.buffer = b""

    def run(self):
        self.sock = self.raw
        try:
            self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                self.sock = self.context.wrap_socket(self.raw, server_side=True)
                self.hub.log(f"tls {self.key} session={'resumed' if self.sock.session_reused else 'new'} "
                             f"name={getattr(self.sock, 'asked_name', None)} version={self.sock.version()} conn={self.number}")
            while self.one():
                pass
        except (Gone, OSError, ssl.SSLError, ValueError):
            pass
        finally:
            for s in (self.sock, self.raw):
                try:
                    s.close()
                except OSError:
                    pass

    def head(self):
        while b"\r\n\r\n" not in self.buffer:
            more = self.sock.recv(65536)
            if not more:
                raise Gone
            self.buffer += more
            if self.buffer[:1] == b"\x16" and not self.tls:      # TLS at a plain port
                self.sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                raise Gone
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = lines[0].split(" ", 2)
        self.headers = {k.strip().lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:])}

    def read_payload(self):
        """The body of the request; faults: dropbody=N read N bytes and reset, early=S answer without reading, stuck: never read."""
        f, n, pieces, have = self.fault, int(self.headers.get("content-length", 0)), [self.buffer], len(self.buffer)
        if "early" in f:
            self.keep = False
            self.answer(int(f["early"]), {}, b"too early")
            raise Gone
        if "stuck" in f:
            time.sleep(30)
            raise Gone
        while have < n:
            if "dropbody" in f and have >= int(f["dropbody"]):
                self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raise Gone
            piece = self.sock.recv(1 << 20)
            if not piece:
                raise Gone
            pieces.append(piece)
            have += len(piece)
        data = b"".join(pieces)
        self.payload, self.buffer = data[:n], data[n:]

    def one(self):
        self.head()
        if self.method == "CONNECT":
            return self.tunnel()
        self.target = re.sub("^http://[^/]*", "", self.target)      # as a proxy asks
        self.fault = self.hub.faults.find(self.where, self.target)
        self.status, self.sent, self.keep = 0, 0, True
        auth = self.headers.get("authorization")
        self.token = auth[7:] if auth and auth.startswith("Bearer ") else None
        self.gone = Gone
        try:
            self.read_payload()
            self.before()
            self.hub.route(self)
        except Done:
            pass
        finally:
            self.hub.log(f"{self.where} {self.method} {self.target} range={self.headers.get('range', '-')} "
                         f"auth={'yes' if auth else 'no'} status={self.status} sent={self.sent} conn={self.number}")
        return self.keep

    def before(self):
        f = self.fault
        if "stall" in f:
            time.sleep(float(f["stall"]))
        if "close" in f:
            raise Gone
        if "junk" in f:
            self.sock.sendall(b"220 smtp.example ESMTP\r\n\r\n")
            raise Gone
        if "status" in f:
            status, *more = f["status"].split(",")
            self.answer(int(status), dict(h.split(":", 1) for h in more), b'{"error": "injected \x1b[31m fault"}')
            raise Done
        if "retrydate" in f:
            when = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + int(f["retrydate"])))
            self.answer(429, {"Retry-After": when}, b"{}")
            raise Done
        if "html" in f:
            self.answer(200, {"Content-Type": "text/html; charset=utf-8"}, b"<!DOCTYPE html><html><body>Please log in</body></html>")
            raise Done
        if "loop" in f:
            self.answer(302, {"Location": self.target}, b"")
            raise Done
        hop = int((re.search(r"[?&]hop=(\d+)", self.target) or [0, 0])[1])
        if "hops" in f and hop < int(f["hops"]):
            self.answer(302, {"Location": f"{self.target.split('?')[0]}?hop={hop + 1}"}, b"")
            raise Done
        if "away" in f:
            self.answer(302, {"Location": f["away"]}, b"")
            raise Done
        if "tohttp" in f:
            self.answer(302, {"Location": self.hub.urls["HTTP"] + self.target}, b"")
            raise Done

    def answer(self, status, headers, body):
        """body: bytes of the whole answer; ranges are cut by the caller."""
        f = self.fault
        self.status = status
        lines = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        lines.update(headers)
        if "gzip" in f or ("gzip" in self.headers.get("accept-encoding", "") and lines["Content-Type"].startswith("application/json")
                           and len(body) > 200):
            body = gzip.compress(body, 1)
            lines.update({"Content-Encoding": "gzip", "Content-Length": str(len(body))})
        if "longer" in f:
            lines["Content-Length"] = str(len(body) + int(f["longer"]))
        if "shorter" in f:
            lines["Content-Length"] = str(len(body) - int(f["shorter"]))
            self.keep = False
        if "extra" in f:
            body += b"x" * int(f["extra"])
        chunked = "chunked" in f or "extra" in f
        if chunked:
            del lines["Content-Length"]
            lines["Transfer-Encoding"] = "chunked"
        if "nolength" in f or "nonotify" in f:
            del lines["Content-Length"]
            self.keep = False
        if "header" in f:
            name, _, value = f["header"].partition(":")
            lines.pop(name, None)
            if value:
                lines[name] = value
        text = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
        if "bigheader" in f:
            text += "X-Big: " + "b" * int(f["bigheader"]) + "\r\n"
        for i in range(int(f.get("manyheaders", 0))):
            text += f"X-{i}: {i}\r\n"
        if not self.keep:
            text += "Connection: close\r\n"
        head = (text + "\r\n").encode("utf-8", "surrogateescape")
        for i in range(int(f.get("interim", 0))):
            self.sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        if "dripheader" in f:
            for i in range(len(head)):
                self.sock.sendall(head[i:i + 1])
                time.sleep(0.25)
        elif self.method == "HEAD":
            self.sock.sendall(head)
            return
        if self.method == "HEAD":
            return
        if chunked:
            self.sock.sendall(head)
            self.chunks(body)
        elif "leftover" in f:            # in one piece, so that it is there when the answer has been read
            self.sock.sendall(head + body + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nEVIL!")
        else:
            self.body(head, body)
        if "longer" in f or "nonotify" in f:
            raise Gone
        if "nolength" in f and self.tls:
            try:
                self.sock.unwrap()           # close_notify
            except (OSError, ssl.SSLError):
                pass
        if not self.keep:
            raise Gone

    def chunks(self, body):
        for i in range(0, len(body), 30_000):
            part = body[i:i + 30_000]
            self.sock.sendall(b"%x;ext=1\r\n" % len(part) + part + b"\r\n")
            self.sent += len(part)
        self.sock.sendall(b"0\r\nX-Trailer: 1\r\n\r\n")

    def body(self, head, body):
        f = self.fault
        for kind in ("cut", "rst", "stallafter"):
            if kind in f and int(f[kind]) < len(body):
                self.sock.sendall(head + body[:int(f[kind])])
                self.sent = int(f[kind])
                if kind == "rst":
                    time.sleep(0.05)         # let the bytes arrive before the reset discards them
                    self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if kind == "stallafter":
                    select.select([self.raw], [], [], 30)     # until the client goes away
                raise Gone
        if "slow" in f:
            self.sock.sendall(head)
            rate = int(f["slow"])
            step = max(1, rate // 10)
            for i in range(0, len(body), step):
                self.sock.sendall(body[i:i + step])
                self.sent += len(body[i:i + step])
                time.sleep(step / rate)
            return
        self.sock.sendall(head)
        view = memoryview(body)
        for i in range(0, len(body), 1 << 20):
            self.sock.sendall(view[i:i + (1 << 20)])
            self.sent += len(view[i:i + (1 << 20)])

    def error(self, status, code, message="", headers=None):
        h = {"X-Error-Code": code, "X-Error-Message": message or code, "X-Request-Id": "req-1"}
        h.update(headers or {})
        self.answer(status, h, json.dumps({"error": message or code}).encode())

    def tunnel(self):
        """As a proxy: CONNECT host:port."""
        self.hub.log(f"proxy CONNECT {self.target} range=- auth={'yes' if 'proxy-authorization' in self.headers else 'no'} "
                     f"status=200 sent=0 conn={self.number}")
        if self.hub.proxy_auth and self.headers.get("proxy-authorization") != self.hub.proxy_auth:
            self.sock.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            raise Gone
        host, _, port = self.target.rpartition(":")
        host = "127.0.0.1" if host.rstrip(".").endswith("hub.test") else host.strip("[]")    # names that nobody else knows
        other = socket.create_connection((host, int(port)))
        self.sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")

        ends = {self.sock: other, other: self.sock}
        try:                                    # one thread: a TLS socket cannot be read and written at once
            while True:
                waiting = [s for s in ends if isinstance(s, ssl.SSLSocket) and s.pending()]
                for s in waiting or select.select(list(ends), [], [])[0]:
                    data = s.recv(65536)
                    if not data:
                        raise Gone
                    ends[s].sendall(data)
        except OSError:
            pass
        finally:
            for s in ends:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        raise Gone


# ------------------------------------------------------------------ the hub
class Hub:
    def __init__(self, directory, big=0):
        self.dir = directory
        if big:
            RECIPES["o/big"] = lambda: ({"main": big_file(big)}, {})
        self.repos = {name: repository(name) for name in RECIPES}
        self.renamed = {"o/old": "o/model", "datasets/squad": "datasets/rajpurkar/squad"}
        self.files = {f.sha256: f for r in self.repos.values() for files in r.commits.values() for f in files if f.lfs}
        self.faults = Faults(os.path.join(directory, "faults"))
        self.log_lock = threading.Lock()
        self.urls, self.n_connections = {}, 0
        self.proxy_auth = None
        self.page = 1000
        self.push = Push(self, File, Repo, GOOD_TOKEN, broken_json)

    def log(self, line):
        with self.log_lock:
            with open(os.path.join(self.dir, "log"), "a") as f:
                f.write(line + "\n")

    # ---- routes
    def route(self, c):
        path, _, query = c.target.partition("?")
        m = re.match("/(prefix|case/[^/]+)(?=/)", path)      # an endpoint with a path in front
        c.prefix = m.group(0) if m else ""
        path = path[len(c.prefix):]
        if self.push.route(c, path, query):
            return
        if c.where == "cdn":
            return self.cdn(c, path)
        if path == "/api/whoami-v2":
            return self.whoami(c)
        kinds = "/api/(?:models/(?!datasets/|spaces/)|(?=datasets/|spaces/))((?:datasets/|spaces/)?[^/]+(?:/[^/]+)?)"
        m = re.fullmatch(kinds + "(?:/(revision|tree)/([^/]+))?", path)
        if m:
            return self.api(c, unquote(m.group(1)), m.group(2) or "revision", unquote(m.group(3) or "main"), parse_qs(query))
        m = re.fullmatch(kinds + "/refs", path)
        if m:
            return self.list_refs(c, unquote(m.group(1)), parse_qs(query))
        m = re.fullmatch("/((?:datasets/|spaces/)?[^/]+(?:/[^/]+)?)/resolve/([^/]+)/(.+)", path)
        if m:
            return self.resolve(c, unquote(m.group(1)), unquote(m.group(2)), unquote(m.group(3)))
        return c.error(404, "", "Sorry, we can't find the page you are looking for.")

    def whoami(self, c):
        if c.token != GOOD_TOKEN:
            return c.error(401, "", "Invalid user token.")
        doc = {"type": "user", "name": "ada", "fullname": "Ada L.", "orgs": [{"name": "o"}, {"name": "p"}],
               "auth": {"type": "access_token", "accessToken": {"displayName": "laptop", "role": "read"}}}
        c.answer(200, {"Content-Type": "application/json"}, json.dumps(doc).encode())

    def repo(self, c, name, kind):
        if name in self.renamed:
            c.answer(307, {"Location": c.target.replace(name, self.renamed[name], 1)}, b"")
            raise Done
        if c.token and c.token not in (GOOD_TOKEN, READ_TOKEN):
            c.error(401, "", "Invalid credentials in Authorization header")
            raise Done
        r = self.repos.get(name)
        if r is None or (r.private and not c.token):
            if c.token:
                c.error(404, "RepoNotFound", "Repository not found")
            else:
                c.error(401, "RepoNotFound", "Invalid username or password.")
            raise Done
        if r.disabled:
            c.error(403, "", "Access to this resource is disabled.")
            raise Done
        if r.gated and kind == "resolve" and not c.token:
            c.error(401, "GatedRepo", "Access to model is restricted.")
            raise Done
        return r

    def commit(self, c, r, rev):
        commit = r.resolve(rev)
        if commit is None:
            c.error(404, "RevisionNotFound", f"Invalid rev id: {rev}")
            raise Done
        return commit

    def api(self, c, name, kind, rev, query):
        r = self.repo(c, name, "api")
        commit = self.commit(c, r, rev)
        files = r.commits[commit]
        headers = {"X-Repo-Commit": commit}
        if kind == "revision":
            doc = {"_id": "1", "id": re.sub("^(datasets|spaces)/", "", r.name), "modelId": r.name, "sha": commit, "private": r.private, "gated": "manual" if r.gated else False,
                   "disabled": False, "downloads": 3, "likes": 0, "tags": ["x"], "siblings": [{"rfilename": f.path} for f in files]}
            if r.name == "o/moved":
                r.refs["main"] = r.refs["next"]
        else:
            start = int(query.get("cursor", ["0"])[0])
            entries = [f.entry() for f in files]
            dirs = sorted({f.path.rsplit("/", 1)[0] for f in files if "/" in f.path})
            entries += [{"type": "directory", "oid": "0" * 40, "size": 0, "path": d} for d in dirs]
            doc = entries[start:start + self.page]
            if start + self.page < len(entries):
                base = {"linkother": "https://huggingface.invalid", "linkrelative": ""}.get(
                    next((k for k in c.fault if k.startswith("link")), ""), self.urls[c.scheme_key] + c.prefix)
                cursor = start if "linkself" in c.fault else start + self.page
                headers["Link"] = f'<{base}{c.target.partition("?")[0][len(c.prefix):]}?recursive=true&expand=false&cursor={cursor}>; rel="next"'
        body = json.dumps(doc, ensure_ascii=False).encode("utf-8", "surrogatepass")
        if "json" in c.fault:
            body = broken_json(c.fault["json"], body)
        c.answer(200, headers, body)

    def list_refs(self, c, name, query):
        r = self.repo(c, name, "api")
        doc = {"tags": [], "branches": [], "converts": [], "pullRequests": []}
        for ref, commit in r.refs.items():
            kind, full = (("pullRequests", ref) if ref.startswith("refs/") else ("tags", "refs/tags/" + ref) if re.match(r"v\d", ref)
                          else ("branches", "refs/heads/" + ref))
            doc[kind].append({"name": ref, "ref": full, "targetCommit": commit})
        if "include_prs" not in query:
            del doc["pullRequests"]
        body = json.dumps(doc).encode()
        c.answer(200, {}, broken_json(c.fault["json"], body) if "json" in c.fault else body)

    def resolve(self, c, name, rev, path):
        r = self.repo(c, name, "resolve")
        commit = self.commit(c, r, rev)
        f = next((f for f in r.commits[commit] if f.path == path), None)
        headers = {"X-Repo-Commit": commit}
        if f is None:
            return c.error(404, "EntryNotFound", "Entry not found", headers)
        if not f.lfs:
            headers["ETag"] = f'"{f.etag}"'
            return self.content(c, f, headers)
        headers.update({"X-Linked-Etag": f'"{f.sha256}"', "X-Linked-Size": str(len(f.data)), "Accept-Ranges": "bytes",
                        "X-Xet-Hash": "0" * 64, "ETag": '"cdn-tag:1"',
                        "Location": f"{self.urls[c.scheme_key.replace('HTTP', 'CDN')]}{c.prefix}/blob/{f.sha256}?Expires=1&Signature=s%2Bx/"})
        c.answer(302, headers, b"Found. Redirecting")

    def cdn(self, c, path):
        f = self.files.get(path.rsplit("/", 1)[-1])
        if f is None:
            return c.answer(404, {"Content-Type": "application/xml"}, b"<Error/>")
        self.content(c, f, {"ETag": '"multi-part-7"'})

    def content(self, c, f, headers):
        data, status = f.data, 200
        if "wrongbytes" in c.fault:
            data = bytearray(data)
            data[len(data) // 2] ^= 1
            data = bytes(data)
        headers.update({"Content-Type": "text/html" if f.path.endswith(".html") else "application/octet-stream", "Accept-Ranges": "bytes"})
        m = re.fullmatch(r"bytes=(\d+)-(\d*)", c.headers.get("range", ""))
        if m and "norange" not in c.fault:
            a = int(m.group(1))
            b = min(int(m.group(2) or len(data) - 1), len(data) - 1)
            if a >= len(data) or "r416" in c.fault:
                headers["Content-Range"] = f"bytes */{len(data)}"
                return c.answer(416, headers, b"")
            total = len(data) + (7 if "badtotal" in c.fault else 0)
            if "badstart" in c.fault:
                a = max(0, a - 5)
            headers["Content-Range"] = f"bytes {a}-{b}/{total}"
            data, status = data[a:b + 1], 206
        c.answer(status, headers, data)

    # ---- listeners
    def listen(self, key, where, context=None, host="127.0.0.1"):
        v6 = ":" in host
        s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((host, 0))
        s.listen(64)
        port = s.getsockname()[1]
        name = f"[{host}]" if v6 else "localhost" if context else host
        self.urls[key] = f"http{'s' if context else ''}://{name}:{port}"

        def loop():
            while True:
                raw, _ = s.accept()
                self.n_connections += 1
                c = Connection(self, where, raw, context, self.n_connections)
                c.scheme_key, c.key = "HTTPS" if context else "HTTP", key
                threading.Thread(target=c.run, daemon=True).start()
        threading.Thread(target=loop, daemon=True).start()
        return port


# ------------------------------------------------------------------ certificates
def certificates(d):
    """A root, an intermediate below it, and server certificates; everything EC except one RSA chain."""
    def run(*argv):
        subprocess.run(["openssl", *argv], cwd=d, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(os.path.join(d, "ca.cnf"), "w") as f:
        f.write("[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\nunique_subject=no\n"
                "copy_extensions=none\n[p]\ncommonName=supplied\n"
                "[req]\ndistinguished_name=n\n[n]\n"
                "[root]\nbasicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
                "[inter]\nbasicConstraints=critical,CA:true,pathlen:0\nkeyUsage=critical,keyCertSign\n"
                "[server]\nbasicConstraints=CA:false\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1,DNS:*.hub.test\n"
                "[wrong]\nbasicConstraints=CA:false\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:other.example,IP:127.0.0.2\n"
                "[dnsip]\nbasicConstraints=CA:false\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:127.0.0.1,DNS:*.0.0.1\n"
                "[client]\nbasicConstraints=CA:false\nextendedKeyUsage=clientAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n"
                "[critical]\nbasicConstraints=CA:false\nsubjectAltName=DNS:localhost\n1.2.3.4=critical,ASN1:NULL\n")
    open(os.path.join(d, "index.txt"), "w").close()
    with open(os.path.join(d, "serial"), "w") as f:
        f.write("1000\n")

    def key(name, rsa=0):
        algorithm = ["RSA", "-pkeyopt", f"rsa_keygen_bits:{rsa}"] if rsa else ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        run("genpkey", "-algorithm", *algorithm, "-out", name + ".key")

    def sign(name, ca, section, cn, start="20200101000000Z", end="20491231235959Z", rsa=0, md="sha256"):
        key(name, rsa)
        run("req", "-new", "-config", "ca.cnf", "-key", name + ".key", "-subj", "/CN=" + cn, "-out", name + ".csr")
        run("ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", ca + ".pem", "-keyfile", ca + ".key", "-extensions", section,
            "-md", md, "-startdate", start, "-enddate", end, "-in", name + ".csr", "-out", name + ".pem")

    for root in ("ca", "other"):
        key(root)
        run("req", "-x509", "-config", "ca.cnf", "-extensions", "root", "-key", root + ".key", "-subj", f"/CN=Fake root {root}", "-days", "3650",
            "-out", root + ".pem")
    sign("inter", "ca", "inter", "Fake intermediate", rsa=2048)
    sign("good", "inter", "server", "localhost", rsa=2048)
    sign("direct", "ca", "server", "localhost")
    sign("wrong", "ca", "wrong", "other.example")
    sign("expired", "ca", "server", "localhost", end="20210101000000Z")
    sign("future", "ca", "server", "localhost", start="20480101000000Z")
    sign("stranger", "other", "server", "localhost")
    for name in ("dnsip", "client", "critical"):
        sign(name, "ca", name, "localhost")
    sign("weakkey", "ca", "server", "localhost", rsa=1024)
    sign("sha1", "ca", "server", "localhost", md="sha1")
    key("self")
    run("req", "-x509", "-config", "ca.cnf", "-extensions", "server", "-key", "self.key", "-subj", "/CN=localhost", "-days", "30", "-out", "self.pem")
    with open(os.path.join(d, "good.pem"), "a") as f:
        f.write(open(os.path.join(d, "inter.pem")).read())


def context(d, name, lowest=ssl.TLSVersion.TLSv1_2, highest=ssl.TLSVersion.TLSv1_3, ciphers=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.minimum_version, c.maximum_version = lowest, highest
    c.set_alpn_protocols(["http/1.1"])
    if ciphers:
        c.set_ciphers(ciphers)
    c.load_cert_chain(os.path.join(d, name + ".pem"), os.path.join(d, name + ".key"))

    def note(sock, asked, _context):
        sock.asked_name = asked
    c.sni_callback = note
    return c


# ------------------------------------------------------------------ commands
def serve(argv):
    directory = argv[0]
    os.makedirs(directory, exist_ok=True)
    big = int(argv[argv.index("--big") + 1]) if "--big" in argv else 0
    hub = Hub(directory, big)
    if "--proxy-auth" in argv:
        hub.proxy_auth = argv[argv.index("--proxy-auth") + 1]
    parent = os.getppid()
    hub.listen("HTTP", "hub")
    hub.listen("CDN", "cdn")
    hub.listen("PROXY", "hub")
    for key, where in MORE_LISTENERS:
        hub.listen(key, where)
    try:
        hub.listen("HTTP6", "hub", host="::1")
    except OSError:
        pass                                    # a machine without IPv6
    if "--tls" in argv:
        certificates(directory)
        v = ssl.TLSVersion
        hub.listen("HTTPS", "hub", context(directory, "good"))
        hub.listen("CDNS", "cdn", context(directory, "good"))
        for key, where in MORE_LISTENERS:
            hub.listen(key + "S", where, context(directory, "good"))
        hub.listen("PROXYS", "hub", context(directory, "direct"))
        hub.listen("PROXYWRONG", "hub", context(directory, "wrong"))
        hub.listen("PROXYSTRANGER", "hub", context(directory, "stranger"))
        hub.listen("DIRECT", "hub", context(directory, "direct"))
        hub.listen("TLS12", "hub", context(directory, "good", highest=v.TLSv1_2))
        hub.listen("CHACHA", "hub", context(directory, "good", highest=v.TLSv1_2, ciphers="ECDHE+CHACHA20"))
        hub.listen("TLS13", "hub", context(directory, "good", lowest=v.TLSv1_3))
        hub.listen("CBC", "hub", context(directory, "good", highest=v.TLSv1_2, ciphers="ECDHE-RSA-AES128-SHA256"))
        if "HTTP6" in hub.urls:
            hub.listen("HTTPS6", "hub", context(directory, "good"), host="::1")
            hub.listen("WRONG6", "hub", context(directory, "wrong"), host="::1")
        for name in ("wrong", "expired", "future", "stranger", "self", "dnsip", "client", "critical"):
            hub.listen(name.upper(), "hub", context(directory, name))
        for name in ("weakkey", "sha1"):
            hub.listen(name.upper(), "hub", context(directory, name, ciphers="DEFAULT:@SECLEVEL=0"))
    ready = os.path.join(directory, "ready")
    with open(ready + ".new", "w") as f:
        f.writelines(f"HUB_{k}={v}\n" for k, v in hub.urls.items())
        f.write(f"HUB_CA={os.path.abspath(directory)}/ca.pem\n")
    open(os.path.join(directory, "log"), "a").close()
    os.rename(ready + ".new", ready)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while os.getppid() == parent:
        time.sleep(0.5)


def verify(argv):
    """Compares the folder of a repo in a cache with what a pull must leave, entry by entry."""
    only = [argv[i + 1] for i, a in enumerate(argv) if a == "--only"]
    plain = [a for i, a in enumerate(argv) if not a.startswith("--") and (i == 0 or argv[i - 1] != "--only")]
    cache, name, rev = plain[0], plain[1], plain[2] if len(plain) > 2 else "main"
    r = repository(name)
    commit = r.resolve(rev)
    files = r.commits[commit]
    wanted = [f for f in files if not only or any(fnmatch.fnmatchcase(f.path, g) for g in only)]
    root = os.path.join(cache, ("" if re.match("(datasets|spaces)/", name) else "models--") + name.replace("/", "--"))
    want = {f"trees/{commit}.json": "file", f"refs/{rev}": "file"}
    if rev == commit:
        del want[f"refs/{rev}"]
    for f in wanted:
        want["blobs/" + f.etag] = "file"
        want[f"snapshots/{commit}/{f.path}"] = "../" * (f.path.count("/") + 2) + "blobs/" + f.etag
    have = {}
    for dp, dn, fn in os.walk(root):
        for n in fn:
            p = os.path.join(dp, n)
            have[os.path.relpath(p, root)] = os.readlink(p) if os.path.islink(p) else "file"
    bad = [f"missing {k}" for k in want if k not in have] + [f"unexpected {k}" for k in have if k not in want]
    bad += [f"{k} is {have[k]}, expected {v}" for k, v in want.items() if k in have and have[k] != v]
    by_tag = {f.etag: f for f in wanted}
    for k in have:
        if k.startswith("blobs/") and k[6:] in by_tag and open(os.path.join(root, k), "rb").read() != by_tag[k[6:]].data:
            bad.append(f"{k} has other bytes")
        if k.startswith("refs/") and open(os.path.join(root, k), "rb").read() != commit.encode():
            bad.append(f"{k} is not exactly the commit")
    tree = {f.path: {"size": len(f.data), "blob_id": f.oid, **({"lfs_sha256": f.sha256, "lfs_size": len(f.data), "xet_hash": f.entry()["xetHash"]}
                                                              if f.lfs else {})} for f in files}
    try:
        doc = json.load(open(os.path.join(root, "trees", commit + ".json")))
        if doc != {"format_version": 1, "files": tree} or list(doc["files"]) != sorted(doc["files"], key=lambda p: p.encode()):
            bad.append("the tree file differs")
    except (OSError, ValueError, KeyError) as e:
        bad.append(f"tree file: {e}")
    stray = [n for n in os.listdir(cache) if not n.startswith(("models--", "datasets--", "spaces--")) and n not in (".locks", "CACHEDIR.TAG")]
    bad += [f"stray {n}" for n in stray]
    print("\n".join(bad))
    return 1 if bad else 0


def workspace(argv):
    """Compares a folder with what a clone must leave."""
    folder, name, rev = argv[0], argv[1], argv[2] if len(argv) > 2 else "main"
    r = repository(name)
    commit = r.resolve(rev)
    want = {f.path: f.data for f in r.commits[commit]}
    have, bad = {}, []
    for dp, dn, fn in os.walk(folder):
        for n in fn + [d for d in dn if os.path.islink(os.path.join(dp, d))]:
            p = os.path.join(dp, n)
            if os.path.islink(p):
                bad.append(f"{p} is a link")
            else:
                have[os.path.relpath(p, folder)] = open(p, "rb").read()
    try:
        doc = json.loads(have.pop(".mlxk_workspace.json"))
        for key, value in {"source_repo": name, "source_revision": commit, "managed": True, "operation": "clone"}.items():
            if doc.get(key) != value:
                bad.append(f"the sentinel's {key} is {doc.get(key)}, not {value}")
        if not doc.get("mlxk_version") or not doc.get("created_at"):
            bad.append("the sentinel lacks version or time")
    except (KeyError, ValueError) as e:
        bad.append(f"sentinel: {e!r}")
    bad += [f"missing {k}" for k in want if k not in have] + [f"unexpected {k}" for k in have if k not in want]
    bad += [f"{k} has other bytes" for k in have if k in want and have[k] != want[k]]
    print("\n".join(bad))
    return 1 if bad else 0


def remote(url, name, rev):
    from urllib.request import Request, urlopen
    headers = {"Authorization": "Bearer " + GOOD_TOKEN}

    def get(path):
        return urlopen(Request(url + path, headers=headers)).read()
    info = json.loads(get(f"/api/models/{name}/revision/{quote(rev, safe='')}"))
    for f in sorted(f["rfilename"] for f in info["siblings"]):
        print(hashlib.sha256(get(f"/{name}/resolve/{info['sha']}/{quote(f)}")).hexdigest() + "  " + f)


def main():
    argv = sys.argv[1:]
    if argv[:1] == ["remote"]:
        return remote(argv[1], argv[2], argv[3] if len(argv) > 3 else "main")
    if argv[:1] == ["workspace"]:
        return workspace(argv[1:])
    if argv[:1] == ["serve"]:
        return serve(argv[1:])
    if argv[:1] == ["verify"]:
        return verify(argv[1:])
    if argv[:1] == ["commit"]:
        print(repository(argv[1]).resolve(argv[2] if len(argv) > 2 else "main"))
        return 0
    if argv[:1] == ["etag"]:
        r = repository(argv[1])
        print(next(f.etag for f in r.commits[r.resolve("main")] if f.path == argv[2]))
        return 0
    if argv[:1] == ["cat"]:
        r = repository(argv[1])
        sys.stdout.buffer.write(next(f.data for f in r.commits[r.resolve("main")] if f.path == argv[2]))
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
