"""hostile_hub.py MLXK FOLDER [TEXT...]: pulls from a hub whose one answer, by case, is hostile. Prints TAP lines.

A case names the answer that is replaced (info, tree, small, large: the questions for the commit, the list and two files), what
is sent instead, and the outcome: "ok", or a pattern that the one error must fit, or None where both are right. Of every case is
checked: the exit status; bytes under every name of the cache; nothing outside of it; peak memory; time; one error of one sentence.
"""
import hashlib
import json
import os
import re
import resource
import socket
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

MLXK, FOLDER, ONLY = sys.argv[1], sys.argv[2], sys.argv[3:]
MEMORY_MB, SECONDS, FILE_LIMIT = 100, 100, 1 << 28
COMMIT = "c" * 40
SMALL, LARGE = b'{"model_type":"llama"}', os.urandom(3 << 20)
SHA = hashlib.sha256(LARGE).hexdigest()
GIT = hashlib.sha1(b"blob %d\0" % len(SMALL) + SMALL).hexdigest()
FILES = {"config.json": (SMALL, GIT), "model.safetensors": (LARGE, SHA)}
INFO = json.dumps({"id": "o/m", "sha": COMMIT, "private": False, "gated": False, "siblings": [{"rfilename": p} for p in FILES]}).encode()
TREE = json.dumps([{"type": "file", "path": "config.json", "size": len(SMALL), "oid": GIT},
                   {"type": "file", "path": "model.safetensors", "size": len(LARGE), "oid": "0" * 40,
                    "lfs": {"oid": SHA, "size": len(LARGE), "pointerSize": 134}}]).encode()


def head(n, extra="", status="200 OK"):
    return f"HTTP/1.1 {status}\r\nContent-Length: {n}\r\nX-Repo-Commit: {COMMIT}\r\nAccept-Ranges: bytes\r\n{extra}\r\n".encode()


TAG = f'ETag: "{SHA}"\r\n'
CHUNKED = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Repo-Commit: {COMMIT}\r\n\r\n".encode()


PACKED = []             # a gigabyte of zeros, made before the first case that wants it


def packed():
    if not PACKED:
        packer = zlib.compressobj(9, wbits=31)
        PACKED.append(b"".join(packer.compress(bytes(1 << 20)) for _ in range(1024)) + packer.flush())
    return PACKED[0]


def send(*pieces):
    return lambda s, wanted: [s.sendall(p) for p in pieces]


def endless(first, piece, pause=0.0):
    def answer(s, wanted):
        s.sendall(first)
        until = time.time() + SECONDS
        while time.time() < until:
            s.sendall(piece)
            time.sleep(pause)
    return answer


def part(first, last, total, body=LARGE):
    return send(head(len(body), TAG + f"Content-Range: bytes {first}-{last}/{total}\r\n", "206 Partial Content") + body)


def redirect(to):
    return send(head(0, f'Location: {to}\r\n{TAG}X-Linked-Etag: "{SHA}"\r\nX-Linked-Size: {len(LARGE)}\r\n', "302 Found"))


def bomb(s, wanted):
    s.sendall(head(len(packed()), "Content-Encoding: gzip\r\n") + packed())


def pages(s, wanted):
    s.sendall(head(len(TREE), f'Link: </api/models/o/m/tree/{COMMIT}?cursor={time.time_ns()}>; rel="next"\r\n') + TREE)


pages.goes_on = True


def split(s, wanted):
    s.sendall(head(len(SMALL)) + SMALL + head(len(LARGE)) + b"E" * 1000)


split.goes_on = True
N = len(LARGE)
CASES = [
    ("no harm", None, None, "ok"),
    # heads
    ("a header line without end", "large", endless(b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 65536), "header"),
    ("header lines without end", "large", endless(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000), "header"),
    ("interim answers without end", "large", endless(b"", b"HTTP/1.1 103 Early\r\nLink: <x>\r\n\r\n" * 100), "interim answers"),
    ("a head by drops", "large", endless(b"H", b"X", 1), "came in|in time|not HTTP"),
    ("NUL in the status line", "large", send(b"HTTP/1.1 200 \0\0\r\n\r\n"), "X-Repo-Commit|not HTTP"),
    ("no head at all", "large", send(b"\x16\x03" + LARGE[:5000]), "not HTTP|without an answer|header"),
    ("two lengths", "large", send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"), "length"),
    ("a length of 23 digits", "large", endless(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n", b"x" * 65536), "length"),
    ("a negative length", "large", send(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc"), "length"),
    ("Retry-After of ages", "large", send(head(0, "Retry-After: 99999999999999\r\n", "503 No")), "503"),
    # bodies
    ("a body without end", "large", endless(b"HTTP/1.1 200 OK\r\nConnection: close\r\nX-Repo-Commit: " + COMMIT.encode() + b"\r\n\r\n", b"z" * 65536),
     "hash"),
    ("extensions of a chunk without end", "large", endless(CHUNKED + b"5;", b"a=b;" * 9000), "chunk"),
    ("zeros before a chunk's size without end", "large", endless(CHUNKED, b"0" * 65536), "chunk"),
    ("a chunk's size overflows", "large", send(CHUNKED + b"ffffffffffffffff0\r\n" + LARGE[:1000]), "chunk"),
    ("a chunk of negative size", "large", send(CHUNKED + b"-5\r\n" + LARGE[:1000]), "chunk"),
    ("a million chunks of one byte", "large",
     send(CHUNKED, b"".join(b"1\r\n%c\r\n" % c for c in LARGE[:1 << 20]), b"%x\r\n" % (N - (1 << 20)) + LARGE[1 << 20:] + b"\r\n0\r\n\r\n"), "ok"),
    ("trailers without end", "small", endless(CHUNKED + b"%x\r\n" % len(SMALL) + SMALL + b"\r\n0\r\n", b"X-T: y\r\n" * 1000), None),
    ("another answer behind the first", "small", split, None),
    ("wrong bytes", "large", send(head(N, TAG) + bytes(N)), "hash"),
    ("compressed gigabyte", "large", bomb, "announces|longer|encoded|hash"),
    ("compressed gigabyte for the commit", "info", bomb, "more than|limit"),
    ("compressed gigabyte for the list", "tree", bomb, "more than|limit"),
    # ranges
    ("a range of another place", "large", part(5, N + 4, N), "asked for the bytes|does not say which"),
    ("a range of a file of 2^64 bytes", "large", part(0, N - 1, 2 ** 64 - 1), "asked for the bytes|does not say which"),
    ("a range beyond 2^64", "large", part(2 ** 64 - 1, 2 ** 64, 9), "does not say which|asked for the bytes"),
    # redirects and names
    ("redirect to a file", "large", redirect("file:///etc/passwd"), "address"),
    ("redirect to another scheme", "large", redirect("gopher://127.0.0.1/x"), "address"),
    ("redirect with a password", "large", redirect("http://u:p@127.0.0.1:1/x"), "address|user"),
    ("redirect with control characters", "large", send(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\0\x0b\r\nContent-Length: 0\r\n\r\n"),
     "header|address|HTTP"),
    ("redirect of 60 KB", "large", redirect("http://127.0.0.1:1/" + "a" * 60000), "address|header"),
    ("a tag that climbs", "large", send(head(N, 'ETag: "../../../../../tmp/evil"\r\n') + LARGE), "evil"),
    ("a linked tag that climbs", "large", send(head(N, 'X-Linked-Etag: "../../evil"\r\n') + LARGE), "evil"),
    # lists
    ("a list without end", "tree", endless(head(1 << 40), b"[" * 65536), "more than|limit|deep|longer"),
    ("a list of strings without end", "tree", endless(head(1 << 40) + b"[", b'"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",' * 2000), "more than|limit|longer"),
    ("a list two million deep", "tree", send(head(2_000_000) + b"[" * 2_000_000), "cannot be used"),
    ("pages without end", "tree", pages, "twice|itself|pages"),
    ("a commit without end", "info", endless(head(1 << 40) + b'{"a":"', b"a" * 65536), "more than|limit|longer"),
]


# ------------------------------------------------------------------ the hub
def question(method, path):
    if "/revision/" in path:
        return "info"
    if "/tree/" in path:
        return "tree"
    return "large" if method == "GET" and path.endswith("safetensors") else "small" if method == "GET" else "head"


def right(s, kind, path, wanted):
    if kind in ("info", "tree"):
        body = INFO if kind == "info" else TREE
        s.sendall(head(len(body)) + body)
        return
    data, tag = FILES[path.rsplit("/", 1)[1]]
    tag = f'ETag: "{tag}"\r\n'
    if kind == "head":
        s.sendall(head(len(data), tag))
    elif wanted:
        a, z = wanted.split("-")
        a, z = int(a), min(int(z or len(data) - 1), len(data) - 1)
        s.sendall(head(z - a + 1, tag + f"Content-Range: bytes {a}-{z}/{len(data)}\r\n", "206 Partial Content") + data[a:z + 1])
    else:
        s.sendall(head(len(data), tag) + data)


def converse(s, where, answer):
    buffer = b""
    try:
        while True:
            while b"\r\n\r\n" not in buffer:
                more = s.recv(65536)
                if not more:
                    return
                buffer += more
            request, buffer = buffer.split(b"\r\n\r\n", 1)
            lines = request.decode("latin-1").split("\r\n")
            method, path, _ = lines[0].split(" ")
            path = path.split("?")[0]
            wanted = next((line.split("=")[1] for line in lines if line.lower().startswith("range:")), None)
            kind = question(method, path)
            if kind != where:
                right(s, kind, path, wanted)
                continue
            answer(s, wanted)
            if not getattr(answer, "goes_on", False):
                return
    except (OSError, ValueError):
        pass
    finally:
        s.close()


def serve(where, answer):
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def accept():
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=converse, args=(s, where, answer), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return listener


# ------------------------------------------------------------------ one case
def wrong_bytes(home):
    """Names of the cache that promise other bytes than they have; and what lies outside of it."""
    repo = os.path.join(home, "hf/hub/models--o--m")
    for path, (data, tag) in FILES.items():
        for name in (os.path.join(repo, "snapshots", COMMIT, path), os.path.join(repo, "blobs", tag)):
            if os.path.exists(name) and open(name, "rb").read() != data:
                yield "wrong bytes under " + name
    for d, _, files in os.walk(home):
        for f in files:
            name = os.path.relpath(os.path.join(d, f), home)
            if not re.match(r"hf/hub/(models--o--m/(blobs|snapshots|refs|trees|\.mlxk)/|\.locks/|CACHEDIR\.TAG$)|\.(cache|local)/", name):
                yield "outside the cache: " + name
    for name in os.listdir(os.path.join(repo, "blobs")) if os.path.isdir(os.path.join(repo, "blobs")) else []:
        if name not in (GIT, SHA) and not name.endswith(".incomplete"):
            yield "a blob named " + name


def peak_kb(pid):
    try:
        return int(re.search(r"^VmHWM:\s+(\d+) kB", open(f"/proc/{pid}/status").read(), re.M).group(1))
    except (OSError, AttributeError):
        return 0


def run(number, where, answer):
    home = os.path.join(FOLDER, "case%d" % number)
    os.makedirs(home)
    listener = serve(where, answer)
    env = {"PATH": os.environ["PATH"], "HOME": home, "HF_HOME": home + "/hf", "MLXK_RETRY_BASE_MS": "20", "HF_HUB_DOWNLOAD_TIMEOUT": "3",
           "MLXK_SLOW_WINDOW_MS": "2000", "HF_ENDPOINT": "http://127.0.0.1:%d" % listener.getsockname()[1]}
    with open(home + ".err", "w+b") as err:
        p = subprocess.Popen([MLXK, "pull", "o/m"], env=env, stdout=subprocess.DEVNULL, stderr=err, stdin=subprocess.DEVNULL,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT, FILE_LIMIT)))
        until, kb = time.time() + SECONDS, 0
        while p.poll() is None and time.time() < until:      # what wait4 tells would count this Python's memory, too
            kb = max(kb, peak_kb(p.pid))
            time.sleep(0.01)
        p.kill()
        p.wait()
        listener.close()
        err.seek(0)
        return home, p.returncode, err.read().decode("utf-8", "replace"), kb / 1024


def judge(number, name, where, answer, outcome):
    home, status, err, mb = run(number, where, answer)
    faults = list(wrong_bytes(home))
    errors = re.findall(r"^pull: Error: .*$", err, re.M)
    whole = all(os.path.exists(os.path.join(home, "hf/hub/models--o--m/snapshots", COMMIT, p)) for p in FILES)
    if status == -9:
        faults.append(f"no end within {SECONDS} s")
    elif status not in (0, 1):
        faults.append(f"status {status}")
    if status == 0 and not whole:
        faults.append("success without all files")
    if status == 1 and len(errors) != 1:
        faults.append(f"{len(errors)} errors")
    if outcome == "ok" and status != 0 or outcome not in ("ok", None) and status == 0:
        faults.append(f"status {status}")
    if outcome not in ("ok", None) and not re.search(outcome, err):
        faults.append("no word of: " + outcome)
    if re.search("[\0-\x08\x0b-\x1f\x7f]", err):
        faults.append("control characters")
    if mb > MEMORY_MB:
        faults.append(f"{mb:.0f} MB")
    said = errors[0][13:160] if errors else ""
    lines = [f"{'not ok' if faults else 'ok'} {name}"] + ["# " + f for f in faults] + [f"# {mb:.0f} MB: {said}"]
    print("\n".join(lines), flush=True)
    return not faults


def main():
    cases = [(i, *c) for i, c in enumerate(CASES) if not ONLY or any(text in c[0] for text in ONLY)]
    if any(c[3] is bomb for c in cases):
        packed()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda c: judge(*c), cases))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
