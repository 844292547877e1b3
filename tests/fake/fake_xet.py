#!/usr/bin/env python3
"""fake_xet.py: the fake hub with content-addressed storage (Xet) behind it, for tests. Standard library only.

  fake_xet.py serve DIR            as fake_hub.py serve, with the repositories below and two more listeners: HUB_CAS, the
                                   storage's API, and HUB_STORE, where xorbs lie
  fake_xet.py verify CACHE REPO    as fake_hub.py verify

What goes over the wire is as the real client hf_xet writes and reads it (tests/long/39-xet.sh lets it do both here): xorbs of
packed chunks, shards, reconstructions of version 1 and 2, addresses that are good for the ranges they were made for.
The hub's token may come to the hub only, the storage's to HUB_CAS only, none to HUB_STORE: else the log says LEAK.
Faults besides those of fake_hub.py (WHERE: cas, store):
  ttl=S uses=N    a token is good for S seconds, for N questions (at the hub's token route)
  token=WHAT      only headers, only body: where the token is told
  downgrade       a token, or an address, that leaves https
  route=WHAT      of the hub's hints: none, header (X-Xet-Refresh-Route instead of Link), away (at another origin)
  mangle=NAME     a reconstruction that cannot be, or a xorb: see MANGLED, SPOILED"""
import hashlib
import json
import random
import re
import sys
import threading
import time

import fake_hub
from fake_hub import File, GOOD_TOKEN, Hub, noise

FOOTER = b"XETBLOB"


# ------------------------------------------------------------------ packed chunks
def lz4_block(data):
    """One block, greedily: the nearest earlier place where the same four bytes stand."""
    def length(n):
        return b"" if n < 15 else b"\xff" * ((n - 15) // 255) + bytes([(n - 15) % 255])

    out, seen, at, begin, last = bytearray(), {}, 0, 0, len(data) - 12
    while at < last:
        key = data[at:at + 4]
        place = seen.get(key)
        seen[key] = at
        if place is None or at - place > 65535:
            at += 1
            continue
        n = 4
        while at + n < len(data) - 5 and data[place + n] == data[at + n]:
            n += 1
        literals = data[begin:at]
        out.append(min(len(literals), 15) << 4 | min(n - 4, 15))
        out += length(len(literals)) + literals + (at - place).to_bytes(2, "little") + length(n - 4)
        at += n
        begin = at
    literals = data[begin:]
    out.append(min(len(literals), 15) << 4)
    return bytes(out + length(len(literals)) + literals)


def xxh32(data):
    m, p1, p2, p3, p4, p5 = 0xFFFFFFFF, 2654435761, 2246822519, 3266489917, 668265263, 374761393

    def turn(x, n):
        return (x << n | x >> (32 - n)) & m
    assert len(data) < 16
    h = (p5 + len(data)) & m
    while len(data) >= 4:
        h = turn((h + int.from_bytes(data[:4], "little") * p3) & m, 17) * p4 & m
        data = data[4:]
    for b in data:
        h = turn((h + b * p5) & m, 11) * p1 & m
    h = (h ^ h >> 15) * p2 & m
    h = (h ^ h >> 13) * p3 & m
    return h ^ h >> 16


def lz4_frame(data):
    """Independent blocks of 64 KiB, no checksums but the head's."""
    head = bytes([0x60, 0x40])
    out = b"\x04\x22\x4d\x18" + head + bytes([xxh32(head) >> 8 & 0xFF])
    for i in range(0, len(data), 65536):
        piece = data[i:i + 65536]
        packed = lz4_block(piece)
        stored = len(packed) >= len(piece)
        out += ((len(piece) | 1 << 31) if stored else len(packed)).to_bytes(4, "little") + (piece if stored else packed)
    return out + bytes(4)


def planes(data):
    return b"".join(data[k::4] for k in range(4))


def chunk(data, scheme):
    body = data if scheme == 0 else lz4_frame(planes(data) if scheme == 2 else data)
    if len(body) >= len(data):
        scheme, body = 0, data
    return b"\0" + len(body).to_bytes(3, "little") + bytes([scheme]) + len(data).to_bytes(3, "little") + body


class Xorb:
    def __init__(self, body):
        """body: as it is uploaded; chunks: (offset, length unpacked), and the end of the last."""
        self.body, self.chunks, at = body, [], 0
        while at < len(body) and body[at:at + len(FOOTER)] != FOOTER:
            packed, unpacked = int.from_bytes(body[at + 1:at + 4], "little"), int.from_bytes(body[at + 5:at + 8], "little")
            self.chunks.append((at, unpacked))
            at += 8 + packed
        self.end = at

    def bytes_of(self, first, end):
        return self.chunks[first][0], self.chunks[end][0] if end < len(self.chunks) else self.end


# ------------------------------------------------------------------ the storage
class Storage:
    def __init__(self):
        self.xorbs, self.files, self.lock = {}, {}, threading.Lock()

    def take_shard(self, body):
        """The file section: header, then per file a head, its terms, and what we do not need."""
        def hexed(raw):
            return "".join(f"{int.from_bytes(raw[i:i + 8], 'little'):016x}" for i in range(0, 32, 8))
        at = 48
        while body[at:at + 32] != b"\xff" * 32:
            name, flags = hexed(body[at:at + 32]), int.from_bytes(body[at + 32:at + 36], "little")
            n = int.from_bytes(body[at + 36:at + 40], "little")
            at += 48
            terms = []
            for _ in range(n):
                e = body[at:at + 48]
                terms.append((hexed(e[:32]), *(int.from_bytes(e[i:i + 4], "little") for i in (40, 44, 36))))
                at += 48
            at += 48 * (n * (flags >> 31 & 1) + (flags >> 30 & 1))
            self.files[name] = terms

    def plan(self, name, a, b):
        """Terms of bytes [a, b), cut to chunks: (skip, [(xorb, first, end, bytes)])."""
        at, skip, out = 0, None, []
        for xorb, first, end, _ in self.files[name]:
            keep = []
            for i in range(first, end):
                n = self.xorbs[xorb].chunks[i][1]
                if at + n > a and at < b:
                    if skip is None:
                        skip = a - at
                    keep.append(i)
                at += n
            if keep:
                out.append((xorb, keep[0], keep[-1] + 1, sum(self.xorbs[xorb].chunks[i][1] for i in keep)))
        return skip, out

    def size(self, name):
        return sum(t[3] for t in self.files[name])

    def parts(self, terms):
        """Per xorb the chunks that are needed, those that touch taken together."""
        out = {}
        for xorb, first, end, _ in terms:
            out.setdefault(xorb, []).append([first, end])
        for ranges in out.values():
            ranges.sort()
            i = 0
            while i + 1 < len(ranges):
                if ranges[i][1] >= ranges[i + 1][0]:
                    ranges[i][1] = max(ranges[i][1], ranges.pop(i + 1)[1])
                else:
                    i += 1
        return out

    def reconstruct(self, name, a, b, version, base):
        skip, terms = self.plan(name, a, b)
        doc = {"offset_into_first_range": skip,
               "terms": [{"hash": x, "unpacked_length": n, "range": {"start": s, "end": e}} for x, s, e, n in terms]}
        places = {}
        for xorb, ranges in self.parts(terms).items():
            spans = [self.xorbs[xorb].bytes_of(s, e) for s, e in ranges]
            signed = ",".join(f"{s}-{e - 1}" for s, e in spans)
            url = f"{base}/xorb/{xorb}?X-Amz-Signature=s%2Bx&ranges={signed}"
            both = [({"start": c[0], "end": c[1]}, {"start": s[0], "end": s[1] - 1}) for c, s in zip(ranges, spans)]
            places[xorb] = ([{"range": c, "url": url, "url_range": s} for c, s in both] if version == 1
                            else [{"url": url, "ranges": [{"chunks": c, "bytes": s} for c, s in both]}])
        doc["fetch_info" if version == 1 else "xorbs"] = places
        return doc


# ------------------------------------------------------------------ what cannot be
def term(doc, **new):
    doc["terms"][0].update(new)
    return doc


def place(doc, **new):
    first = next(iter(doc["xorbs"].values()))[0]
    first.update(new)
    return doc


def ranges(doc, kind, **new):
    next(iter(doc["xorbs"].values()))[0]["ranges"][0][kind].update(new)
    return doc


MANGLED = {
    "noterms": lambda d: d | {"terms": []},
    "fewer": lambda d: d | {"terms": d["terms"][:-1]},
    "more": lambda d: d | {"terms": d["terms"] + d["terms"][-1:]},
    "many": lambda d: d | {"terms": d["terms"] * 6000},
    "offset": lambda d: d | {"offset_into_first_range": 1 << 29},
    "negative": lambda d: d | {"offset_into_first_range": -1},
    "large": lambda d: d | {"offset_into_first_range": 1 << 62},
    "longer": lambda d: term(d, unpacked_length=d["terms"][0]["unpacked_length"] + 1),
    "shorter": lambda d: term(d, unpacked_length=d["terms"][0]["unpacked_length"] - 1),
    "overflow": lambda d: term(d, unpacked_length=(1 << 63) - 1),
    "backwards": lambda d: term(d, range={"start": 5, "end": 2}),
    "chunks": lambda d: term(d, range={"start": 0, "end": 9000}),
    "strange": lambda d: term(d, hash="../../etc/passwd"),
    "nowhere": lambda d: term(d, hash="f" * 64),
    "nourl": lambda d: place(d, url=""),
    "file": lambda d: place(d, url="file:///etc/passwd"),
    "newline": lambda d: place(d, url="http://127.0.0.1:9/x\r\nX: y"),
    "beyond": lambda d: ranges(d, "bytes", end=1 << 40),
    "thin": lambda d: ranges(d, "bytes", end=next(iter(d["xorbs"].values()))[0]["ranges"][0]["bytes"]["start"] + 9),
    "string": lambda d: d | {"terms": "none"},
    "deep": lambda d: d | {"x": json.loads("[" * 60 + "]" * 60)},
}


def head(body, at, value):
    return body[:at] + value + body[at + len(value):]


BOMB = lz4_frame(bytes(1 << 19))
SPOILED = {
    "version": lambda b: head(b, 0, b"\1"),
    "scheme": lambda b: head(b, 4, b"\7"),
    "unpacked": lambda b: head(b, 5, b"\xff\xff\xff"),
    "packed": lambda b: head(b, 1, b"\xff\xff\xff"),
    "beyond": lambda b: head(b, 1, b"\xff\xff\3"),
    "zero": lambda b: head(b, 5, b"\0\0\0"),
    "less": lambda b: head(b, 5, b"\1\0\0"),
    "footer": lambda b: head(b, 0, FOOTER),
    "bomb": lambda b: b"\0" + len(BOMB).to_bytes(3, "little") + b"\1" + (1 << 17).to_bytes(3, "little") + BOMB + b[8 + len(BOMB):],
    "damaged": lambda b: b[:20] + bytes(x ^ 0x5A for x in b[20:4000]) + b[4000:],
    "bytes": None,                   # right in form, wrong in content: see spoil
}


def spoil(kind, body):
    if kind != "bytes":
        return SPOILED[kind](body)
    out, at = b"", 0
    while at < len(body):
        n = int.from_bytes(body[at + 1:at + 4], "little")
        stored = body[at + 4] == 0
        out += body[at:at + 8] + (bytes(n) if stored else body[at + 8:at + 8 + n])
        at += 8 + n
    return out


# ------------------------------------------------------------------ the hub
class XetFile(File):
    xet = None

    def entry(self):
        return super().entry() | {"xetHash": self.xet or hashlib.sha256(b"xet" + self.data).hexdigest()}


class XetHub(Hub):
    def __init__(self, directory):
        super().__init__(directory)
        self.storage, self.tokens, self.n_tokens = STORAGE, {}, 0

    def route(self, c):
        path = c.target.partition("?")[0]
        token = c.token or ""
        if (c.where in ("hub", "cdn") and token.startswith("cas-")) or (c.where == "cas" and token == GOOD_TOKEN) \
                or (c.where == "store" and c.headers.get("authorization")):
            self.log(f"LEAK {c.where} {c.target}")
        if c.where == "cas":
            return self.cas(c, path)
        if c.where == "store":
            return self.xorb(c, path)
        m = re.fullmatch("/api/models/([^/]+/[^/]+)/xet-(read|write)-token/([^/]+)", path)
        if m:
            return self.give_token(c, m.group(1), m.group(3))
        return super().route(c)

    def resolve(self, c, name, rev, path):
        plain = c.answer

        def answer(status, headers, body):
            if "X-Xet-Hash" in headers:
                r = self.repos[name]
                commit = headers["X-Repo-Commit"]
                f = next(f for f in r.commits[commit] if f.path == path)
                kind = c.fault.get("route", "link")
                base = self.urls["CDN" if kind == "away" else c.scheme_key]
                route = f"{base}/api/models/{name}/xet-read-token/{commit}"
                headers = {k: v for k, v in headers.items() if k != "X-Xet-Hash"}
                if kind != "none" and f.entry()["xetHash"] in self.storage.files:
                    headers["X-Xet-Hash"] = f.entry()["xetHash"]
                    headers["Link"] = (f'<{route}>; rel="xet-auth", <{self.urls["CAS"]}/v1/reconstructions/{f.entry()["xetHash"]}>; '
                                       'rel="xet-reconstruction-info"')
                    if kind == "header":
                        headers["X-Xet-Refresh-Route"] = route
                        headers["Link"] = f'<{route}>; rel="other"'
            plain(status, headers, body)
        c.answer = answer
        try:
            super().resolve(c, name, rev, path)
        finally:
            del c.answer

    def place(self, key, c):
        return self.urls[key + "S" if c.tls and "downgrade" not in c.fault else key]

    def give_token(self, c, name, rev):
        self.commit(c, self.repo(c, name, "resolve"), rev)
        self.n_tokens += 1
        token = f"cas-{self.n_tokens}-{hashlib.sha256(rev.encode()).hexdigest()}"
        until = time.time() + float(c.fault.get("ttl", 3600))
        self.tokens[token] = [until, int(c.fault.get("uses", 1 << 40))]
        doc = {"casUrl": self.place("CAS", c), "exp": int(until), "accessToken": token}
        body, headers = json.dumps(doc).encode(), {}
        if "json" in c.fault:
            body = fake_hub.broken_json(c.fault["json"], body)
        elif c.fault.get("token") != "body":
            headers = {"X-Xet-Cas-Url": doc["casUrl"], "X-Xet-Access-Token": token, "X-Xet-Token-Expiration": str(doc["exp"])}
        c.answer(200, headers, b"" if c.fault.get("token") == "headers" else body)

    def cas(self, c, path):
        with self.storage.lock:
            good = self.tokens.get(c.token)
            if not good or good[0] < time.time() or good[1] <= 0:
                return c.answer(401, {}, b'{"error": "token"}')
            good[1] -= 1
        m = re.fullmatch("/v([12])/reconstructions/([0-9a-f]{64})", path)
        if m:
            return self.reconstruction(c, int(m.group(1)), m.group(2))
        m = re.fullmatch("/v1/xorbs/default/([0-9a-f]{64})", path)
        if m and c.method == "POST":
            self.storage.xorbs[m.group(1)] = Xorb(c.payload)
            return c.answer(200, {}, b'{"was_inserted": true}')
        if path in ("/shards", "/v1/shards") and c.method == "POST":
            self.storage.take_shard(c.payload)
            return c.answer(200, {}, b'{"result": 1}')
        if path == "/v1/telemetry":
            return c.answer(200, {}, b"{}")
        return c.answer(404, {}, b'{"error": "nothing there"}')

    def reconstruction(self, c, version, name):
        if name not in self.storage.files:
            return c.answer(404, {}, b"{}")
        size = self.storage.size(name)
        m = re.fullmatch(r"bytes=(\d+)-(\d+)", c.headers.get("range", ""))
        a, b = (int(m.group(1)), min(int(m.group(2)) + 1, size)) if m else (0, size)
        if a >= size:
            return c.answer(416, {}, b"{}")
        doc = self.storage.reconstruct(name, a, b, version, self.place("STORE", c))
        if "mangle" in c.fault:
            doc = MANGLED[c.fault["mangle"]](doc)
        body = json.dumps(doc).encode()
        c.answer(200, {}, fake_hub.broken_json(c.fault["json"], body) if "json" in c.fault else body)

    def xorb(self, c, path):
        xorb = self.storage.xorbs.get(path.rsplit("/", 1)[-1])
        signed = re.search("ranges=([0-9,-]*)", c.target)
        m = re.fullmatch(r"bytes=(\d+-\d+)", c.headers.get("range", ""))
        if not xorb or not signed or not m or m.group(1) not in signed.group(1).split(","):
            return c.answer(403, {"Content-Type": "application/xml"}, b"<Error/>")
        a, b = (int(x) for x in m.group(1).split("-"))
        body, status = xorb.body[a:b + 1], 206
        if "mangle" in c.fault:
            body = spoil(c.fault["mangle"], body)
        if "wrongbytes" in c.fault:
            body = body[:len(body) // 2] + bytes([body[len(body) // 2] ^ 1]) + body[len(body) // 2 + 1:]
        if "norange" in c.fault:
            body, status = xorb.body, 200
        start = a + (5 if "badstart" in c.fault else 0)
        c.answer(status, {"Content-Type": "application/octet-stream", "Content-Range": f"bytes {start}-{start + len(body) - 1}/{len(xorb.body)}"},
                 body)


# ------------------------------------------------------------------ files of our own
def pieces(seed, n):
    """Contents of chunks: such as weights of two bytes, text, noise, nearly nothing."""
    r, out = random.Random(seed), []
    for i in range(n):
        size = r.choice((8192, 20_001, 40_002, 50_003, 65_536, 131_072)) if i else 131_072
        if i % 4 == 0:
            body = b"".join(bytes((r.randrange(256), r.choice((0x3c, 0xbc, 0x3d)))) for _ in range(size // 2 + 1))[:size]
        elif i % 4 == 1:
            body = (b"%d the quick brown fox jumps over the lazy dog, " % i * (size // 20))[:size]
        elif i % 4 == 2:
            body = r.randbytes(size)
        else:
            body = bytes(size)
        out.append(body)
    return out


def store(storage, path, contents, order, schemes=(1, 2, 0)):
    """A file out of contents in that order, its chunks in two xorbs."""
    where, half = {}, len(contents) // 2 + 1
    for k in range(2):
        mine = list(range(k * half, min((k + 1) * half, len(contents))))
        body = b"".join(chunk(contents[i], 2 if i % 4 == 0 else schemes[i % len(schemes)]) for i in mine)
        name = hashlib.sha256(body).hexdigest()
        storage.xorbs[name] = Xorb(body + FOOTER + bytes(60))
        where.update({i: (name, j) for j, i in enumerate(mine)})
    f = XetFile(path, b"".join(contents[i] for i in order), lfs=True)
    terms = []
    for i in order:
        name, j = where[i]
        n = len(contents[i])
        if terms and terms[-1][0] == name and terms[-1][2] == j:
            terms[-1] = (name, terms[-1][1], j + 1, terms[-1][3] + n)
        else:
            terms.append((name, j, j + 1, n))
    storage.files[f.entry()["xetHash"]] = terms
    return f


STORAGE = Storage()


def orders():
    r = random.Random("order")
    long = list(range(20))
    while len(long) < 440:                       # runs of chunks from anywhere, as after much was found again
        at = r.randrange(20)
        long += range(at, min(20, at + r.randrange(1, 12)))
    return long


def model():
    contents = pieces("xet", 20)
    return [File("config.json", b'{"model_type": "llama"}'),
            store(STORAGE, "model.safetensors", contents, orders()),
            store(STORAGE, "second.safetensors", contents, [3, 4, 5, 0, 19, 18, 2, 2, 7, 8, 9]),
            File("tokenizer.json", noise("tok", 20_000), lfs=True)]


fake_hub.RECIPES.clear()
fake_hub.RECIPES.update({"o/xet": lambda: ({"main": model()}, {}), "o/closed": lambda: ({"main": model()}, {"private": True})})


def main():
    if sys.argv[1:2] == ["serve"]:
        fake_hub.Hub = lambda directory, big=0: XetHub(directory)
        fake_hub.MORE_LISTENERS = (("CAS", "cas"), ("STORE", "store"))      # and CASS, STORES behind certificates
    return fake_hub.main()


if __name__ == "__main__":
    sys.exit(main())
