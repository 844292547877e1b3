#!/usr/bin/env python3
"""hostile.py: requests that no honest client sends, against a server of ours. Standard library only.

  hostile.py HOST PORT PATH     PATH answers GET with 200 and a body

Prints TAP lines. Everything goes over raw sockets, so that each byte is what it says here."""
import re
import socket
import struct
import sys
import threading
import time

HOST, PORT, PATH = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()
HEAD = b"GET " + PATH + b" HTTP/1.1\r\nHost: localhost\r\n"


def ok(good, name, more=""):
    print(("ok " if good else "not ok ") + name)
    if not good and more:
        print("# " + str(more)[:300].replace("\n", "\\n"))
    sys.stdout.flush()


def connect(timeout=15):
    s = socket.create_connection((HOST, PORT), timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def read_all(s):
    out = b""
    try:
        while True:
            more = s.recv(65536)
            if not more:
                return out
            out += more
    except OSError:
        return out


def read_answer(s, head_only=False):
    """One answer: status, head, body; leaves what follows in s.rest."""
    data = getattr(s, "rest", b"") if not isinstance(s, socket.socket) else rests.pop(s, b"")
    while b"\r\n\r\n" not in data:
        more = s.recv(65536)
        if not more:
            return None, data, b""
        data += more
    head, _, data = data.partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    m = re.search(rb"(?im)^content-length: (\d+)\r?$", head)
    n = 0 if head_only or status in (204, 304) or not m else int(m.group(1))
    while len(data) < n:
        more = s.recv(65536)
        if not more:
            break
        data += more
    rests[s] = data[n:]
    return status, head, data[:n]


rests = {}


def status_of(raw):
    s = connect()
    try:
        s.sendall(raw)
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    answer = read_all(s)
    s.close()
    m = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return (int(m.group(1)) if m else None), answer


def refuses(name, raw, want):
    got, answer = status_of(raw)
    want = want if isinstance(want, tuple) else (want,)
    count = len(re.findall(rb"HTTP/1\.1 \d{3} ", answer))
    ok(got in want and count == 1, name, f"status {got}, {count} answers: {answer[:200]!r}")


# ---- ambiguous framing -------------------------------------------------------------------------------
POST = b"POST " + PATH + b" HTTP/1.1\r\nHost: localhost\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
refuses("both lengths", POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 400)
refuses("two lengths", POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n" + SMUGGLED, 400)
refuses("two equal lengths", POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400)
refuses("a list of lengths", POST + b"Content-Length: 5, 5\r\n\r\nhello", 400)
refuses("a signed length", POST + b"Content-Length: +5\r\n\r\nhello", 400)
refuses("a negative length", POST + b"Content-Length: -1\r\n\r\n", 400)
refuses("a hexadecimal length", POST + b"Content-Length: 0x5\r\n\r\nhello", 400)
refuses("a huge length", POST + b"Content-Length: 99999999999999999999\r\n\r\n", 400)
refuses("an empty length", POST + b"Content-Length:\r\n\r\n", 400)
refuses("two codings", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)
refuses("a list of codings", POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501)
refuses("an unknown coding", POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 501)
refuses("a coding with a tab", POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 400)
refuses("a coding in HTTP/1.0", b"POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 400)
refuses("a space before the colon", POST + b"Content-Length : 5\r\n\r\nhello", 400)
refuses("a folded line", HEAD + b"X-A: b\r\n c\r\n\r\n", 400)
refuses("a folded first line", HEAD[:HEAD.index(b"\r\n") + 2] + b" X: y\r\nHost: localhost\r\n\r\n", 400)
refuses("a bare LF", HEAD.replace(b"\r\n", b"\n") + b"\n", 400)
refuses("one bare LF", HEAD + b"X-A: b\n\r\n", 400)
refuses("a bare CR", HEAD + b"X-A: b\rX-B: c\r\n\r\n", 400)
refuses("NUL in a value", HEAD + b"X-A: b\0c\r\n\r\n", 400)
refuses("a header without a name", HEAD + b": b\r\n\r\n", 400)
refuses("a header without a colon", HEAD + b"bogus\r\n\r\n", 400)
refuses("no Host", b"GET / HTTP/1.1\r\n\r\n", 400)
refuses("an empty Host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400)
refuses("two Hosts", HEAD + b"Host: localhost\r\n\r\n", 400)
refuses("a Host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400)
refuses("a Host with user info", b"GET / HTTP/1.1\r\nHost: u@localhost\r\n\r\n", 400)
refuses("two Authorizations", HEAD + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400)
refuses("target and Host disagree", b"GET http://other/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400)
refuses("no version", b"GET /\r\n\r\n", 400)
refuses("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505))
refuses("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: localhost\r\n\r\n", 505)
refuses("a space in the target", b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400)
refuses("raw bytes in the target", b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400)
refuses("a fragment in the target", b"GET /#x HTTP/1.1\r\nHost: localhost\r\n\r\n", 400)
refuses("a target that is no path", b"GET foo HTTP/1.1\r\nHost: localhost\r\n\r\n", 400)
refuses("an empty line in front", b"\r\n" + HEAD + b"\r\n", 400)
refuses("TLS at a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 200, 400)
refuses("not HTTP at all", b"\x00\x01\x02\x03", 400)
refuses("a long request line", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414)
refuses("an endless request line", b"GET /" + b"a" * 100000, 414)
refuses("a long field", HEAD + b"X-A: " + b"b" * 40000 + b"\r\n\r\n", 431)
refuses("many fields", HEAD + b"".join(b"X-%d: y\r\n" % i for i in range(200)) + b"\r\n", 431)
refuses("another expectation", HEAD + b"Expect: 200-maybe\r\n\r\n", 417)

# ---- paths -------------------------------------------------------------------------------------------
for path in (b"/../../etc/passwd", b"/o/model/resolve/main/../../../../../../etc/passwd", b"/o/model/resolve/main/..%2f..%2f..%2fetc%2fpasswd",
             b"/o/model/resolve/main/%2e%2e/%2e%2e/etc/passwd", b"/o/model/resolve/..%2f..%2f/config.json", b"/%2e%2e%2f%2e%2e/resolve/main/x",
             b"/o/model/resolve/main//etc/passwd", b"/o/model/resolve/main/%2Fetc%2Fpasswd", b"/o/model/resolve/main/config.json%00.txt",
             b"/o/model/resolve/main/config.json%", b"/o/model/resolve/main/%zz", b"/o/model/resolve/main/%ff%fe", b"/o/model/resolve/main/..\x5c..\x5cx",
             b"/o/model/resolve/main/%5c..%5cetc", b"/api/models/..%2F..%2Fetc/tree/main", b"/api/models/o/model/tree/main/..%2F..%2F..",
             b"/api/models/o/model/tree/..%2F..%2Fblobs", b"/api/models/o%2Fmodel%2F..%2F../revision/main", b"/o/model/resolve/refs%2F..%2F..%2Fx/y",
             b"/o/model/resolve/main/" + b"a/" * 3000 + b"x", b"/models--o--model/blobs/x", b"/.locks/x/resolve/main/y"):
    got, answer = status_of(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    ok(got in (400, 404, 414) and b"root:" not in answer, "path " + path[:60].decode("latin-1"), f"{got} {answer[:200]!r}")

# ---- what must work ----------------------------------------------------------------------------------
s = connect()
s.sendall(HEAD + b"\r\n" + HEAD + b"\r\n" + b"GET /nope HTTP/1.1\r\nHost: localhost\r\n\r\n" + HEAD + b"Connection: close\r\n\r\n")
statuses = [read_answer(s)[0] for _ in range(4)]
ok(statuses == [200, 200, 404, 200], "four pipelined requests", statuses)
ok(read_all(s) == b"", "then the connection ends")
s = connect()
for i in range(len(HEAD) + 2):
    s.sendall((HEAD + b"\r\n")[i:i + 1])
ok(read_answer(s)[0] == 200, "a head byte by byte")
s.sendall(HEAD + b"\r\n")
ok(read_answer(s)[0] == 200, "the connection is kept")
s.close()
got, answer = status_of(b"GET " + PATH + b" HTTP/1.0\r\n\r\n")
ok(got == 200 and b"Connection: close" in answer, "HTTP/1.0 without Host", answer[:200])
got, answer = status_of(b"GET http://localhost" + PATH + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
ok(got == 200, "absolute form", answer[:200])
s = connect()
s.sendall(HEAD.replace(b"GET", b"HEAD") + b"\r\n" + HEAD + b"\r\n")
ok(read_answer(s, True)[0] == 200 and read_answer(s)[0] == 200, "HEAD has no body")
s.close()

BODY = b"paths=config.json"
API = b"POST /api/models/o/model/paths-info/main HTTP/1.1\r\nHost: localhost\r\n"
s = connect()
s.sendall(API + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
got = s.recv(100)
ok(got == b"HTTP/1.1 100 Continue\r\n\r\n", "100 Continue", got)
s.sendall(BODY)
status, head, body = read_answer(s)
ok(status == 200 and b"config.json" in body, "and the answer", (status, body))
s.close()
s = connect()
s.sendall(API.replace(b"o/model", b"o/none") + b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n")
status, head, body = read_answer(s)
ok(status == 404 and b"Connection: close" in head, "refused without reading the body", (status, head))
s.close()
s = connect()
s.sendall(API + b"Transfer-Encoding: chunked\r\n\r\n5\r\npaths\r\n1;x=y\r\n=\r\nB\r\nconfig.json\r\n0\r\nX-T: 1\r\n\r\n" + HEAD + b"\r\n")
status, head, body = read_answer(s)
ok(status == 200 and b"config.json" in body, "a chunked body", (status, body))
ok(read_answer(s)[0] == 200, "and the request behind it")
s.close()
for name, chunks in (("bare LF in chunks", b"5\npaths\n0\n\n"), ("a space in a chunk size", b"5 \r\npaths\r\n0\r\n\r\n"), ("a chunk size with a sign", b"+5\r\npaths\r\n0\r\n\r\n"),
                     ("a chunk longer than its size", b"5\r\npathsX\r\n0\r\n\r\n"), ("a huge chunk size", b"fffffffffffffffff\r\n"),
                     ("an endless extension", b"5;" + b"x" * 10000 + b"\r\npaths\r\n0\r\n\r\n")):
    s = connect()
    s.sendall(API + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + SMUGGLED)
    s.shutdown(socket.SHUT_WR)
    answer = read_all(s)
    count = len(re.findall(rb"HTTP/1\.1 \d{3} ", answer))
    ok(answer.startswith(b"HTTP/1.1 400 ") and count == 1, name, answer[:300])
    s.close()
s = connect()
s.sendall(API + b"Content-Length: 100000000\r\n\r\n")
status, head, body = read_answer(s)
ok(status == 413, "a body that is too large is not read", (status, head))
s.close()
s = connect()
s.sendall(API.replace(b"POST", b"GET") + b"Content-Length: 5\r\n\r\nhello" + HEAD + b"\r\n")
a, b = read_answer(s)[0], read_answer(s)[0]
ok((a, b) == (405, 200), "a body nobody wanted is passed over", (a, b))
s.close()

# ---- more ways to say a path, a range, a host --------------------------------------------------------
for path in (b"/o/model/resolve/main/%252e%252e%252f%252e%252e%252fetc%252fpasswd", b"/o/model/resolve/main/%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd",
             b"/o/model/resolve/main/%e0%80%ae%e0%80%ae%e0%80%afx", b"/o/model/resolve/main/.%2e/.%2e/config.json", b"/o/model/resolve/main/%2e",
             b"/o/model/resolve/main/./config.json", b"/o/model/resolve/main/sub/../config.json", b"/o/model/resolve/main/config.json/",
             b"/o/model/resolve/main/config.json%2f", b"/o/model/resolve/main/config.json%20", b"/o/model/resolve/main/config.json%0d%0aX-A:%20b",
             b"/o/model/resolve/main%00/config.json", b"/o%00/model/resolve/main/config.json", b"/%00", b"/o/model/resolve/main/sub%00/dir/nested.json",
             b"/o/model/resolve/main/;/config.json", b"/o/model/resolve//config.json", b"//o/model/resolve/main/config.json", b"/o//model/resolve/main/config.json",
             b"/o/model/resolve/main/..;/..;/x", b"/o/model/resolve/%2e%2e/config.json", b"/./o/model/resolve/main/config.json",
             b"/api/models/../../o/model", b"/api/models/o/model/tree/main/%2e%2e", b"/api/models/models--o--model", b"/api/models/.locks/x", b"/api/models/o",
             b"/datasets/../o/model/resolve/main/config.json", b"/api/models/o/model/revision/%252e%252e", b"/o/model/resolve/main/%F0%9F%92%A9%80"):
    got, answer = status_of(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    ok(got in (400, 404) and b"root:" not in answer and b"\nX-A: b" not in answer, "path " + path[:60].decode("latin-1"), f"{got} {answer[:200]!r}")
WEIGHTS = b"/o/model/resolve/main/model-00001-of-00002.safetensors"
SIZE = 300000
for name, value, want in (("a thousand ranges", b"bytes=" + b",".join([b"0-"] * 1000), 416), ("overlapping ranges", b"bytes=0-299999,1-299999,2-299999", 416),
                          ("tiny ranges", b"bytes=" + b",".join(b"%d-%d" % (i, i) for i in range(2000)), 416), ("the last no bytes", b"bytes=-0", 416),
                          ("more than 64 bits", b"bytes=18446744073709551616-", 200), ("64 bits", b"bytes=18446744073709551614-", 416),
                          ("an end beyond 64 bits", b"bytes=0-99999999999999999999", 200), ("the last 64 bits", b"bytes=-18446744073709551614", 206),
                          ("a signed range", b"bytes=+0-+5", 200), ("a negative one", b"bytes=--5", 200), ("only a dash", b"bytes=-", 200),
                          ("a range in hexadecimal", b"bytes=0x0-0x5", 200), ("a range with spaces", b"bytes= 0 - 5 ", (200, 206))):
    s = connect()
    s.sendall(b"GET " + WEIGHTS + b" HTTP/1.1\r\nHost: localhost\r\nRange: " + value + b"\r\n\r\n")
    status, head, body = read_answer(s)
    ok(status in (want if isinstance(want, tuple) else (want,)) and len(body) <= SIZE, "ranges: " + name, (status, len(body)))
    s.close()
for host in (b"evil.example", b"127.0.0.1.evil.example", b"localhost.evil.example", b"[evil.example]", b"[::1].evil.example", b"localhost:80:80", b"localhost:evil.example",
             b"evil.example:127.0.0.1", b"localhost,evil.example", b"localhost evil.example", b"localhost\tx", b"%6cocalhost", b"localhost%00.evil.example", b"a" * 300,
             b"localhost@evil.example", b"localhost#.evil.example", b"http://localhost", b"[::1", b"::1]", b"."):
    got, answer = status_of(b"GET " + PATH + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    ok(got in (400, 403), "Host " + host[:40].decode("latin-1"), (got, answer[:200]))
for host in (b"LOCALHOST", b"127.0.0.1:%d" % PORT, b"[::1]:%d" % PORT, b"a.b.localhost"):
    got, answer = status_of(b"GET " + PATH + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    ok(got == 200, "Host " + host.decode(), (got, answer[:200]))
for name, line, want in (("https in the absolute form", b"GET https://localhost" + PATH, 200), ("a scheme in capitals", b"GET HTTP://localhost" + PATH, 200), ("another scheme", b"GET file:///etc/passwd", 400),
                         ("user info in the absolute form", b"GET http://localhost@evil.example" + PATH, 400), ("no host in the absolute form", b"GET http://" + PATH, 400),
                         ("a port that the Host has not", b"GET http://localhost:1" + PATH, 400), ("no path in the absolute form", b"GET http://localhost", 200),
                         ("CONNECT", b"CONNECT evil.example:443", 400), ("an asterisk", b"OPTIONS *", (404, 405)), ("an asterisk for GET", b"GET *", 400),
                         ("a name to look up", b"GET //evil.example/x", 404), ("a query without a path", b"GET ?x", 400)):
    refuses(name, line + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", want)
for name, fields in (("another method by a header", b"X-HTTP-Method-Override: DELETE\r\nX-Method-Override: PUT\r\n"), ("another address by a header", b"X-Original-URL: /metrics\r\nX-Rewrite-URL: /metrics\r\n"),
                     ("another host by a header", b"X-Forwarded-Host: evil.example\r\nForwarded: host=evil.example;proto=https\r\nX-Forwarded-For: 10.0.0.1\r\n"),
                     ("an upgrade", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), ("a web socket", b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n"),
                     ("a length under another name", b"Content_Length: 5\r\nX-Content-Length: 5\r\n"), ("an origin of the web", b"Origin: https://evil.example\r\n")):
    s = connect()
    s.sendall(HEAD + fields + b"\r\n" + HEAD + b"\r\n")
    status, head, body = read_answer(s)
    ok(status == 200 and b"model_type" in body and b"evil" not in head and b"Access-Control" not in head and read_answer(s)[0] == 200, name + " changes nothing", (status, head))
    s.close()
refuses("a coding with a space before the colon", POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 400)
refuses("a folded coding", POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 400)
refuses("identity and a length", POST + b"Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc" + SMUGGLED, 400)
refuses("a length and a coding, the other way round", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED, 400)
refuses("a length with an underscore", POST + b"Content-Length: 1_0\r\n\r\n", 400)
refuses("a length with a space in it", POST + b"Content-Length: 1 0\r\n\r\n", 400)
refuses("a length in other digits", POST + "Content-Length: ٥\r\n\r\n".encode(), 400)

# ---- every route, every method -----------------------------------------------------------------------
ROUTES = (b"/", b"/health", b"/ready", b"/metrics", b"/nope", b"/api/whoami-v2", b"/api/models", b"/api/models/o/model", b"/api/models/o/model/revision/main", b"/api/models/o/model/tree/main",
          b"/api/models/o/model/tree/nope", b"/api/models/o/model/refs", b"/api/models/o/model/commits/main", b"/api/models/o/model/auth-check", b"/api/models/o/none", PATH, WEIGHTS,
          b"/o/model/resolve/main/nope", b"/o/model/resolve/main/empty.txt")
for path in ROUTES:
    s = connect()
    s.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    full = read_answer(s)
    s.sendall(b"HEAD " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n" + HEAD + b"\r\n")
    head = read_answer(s, True)
    after = read_answer(s)
    s.close()
    length = [re.search(rb"(?i)content-length: *(\d+)", a[1]) for a in (full, head)]
    same = path == b"/metrics" or (length[0] and length[1] and length[0].group(1) == length[1].group(1))
    ok(full[0] == head[0] and same and after[0] == 200, "HEAD of " + path.decode()[:50], (full[0], head[0], head[1], after[0]))
wrong = []
for path in ROUTES + (b"/api/models/o/model/paths-info/main",):
    for method in (b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"PROPFIND", b"get"):
        got, answer = status_of(method + b" " + path + b" HTTP/1.1\r\nHost: localhost\r\nX-Secret: s3cr3t\r\n\r\n")
        if got not in (404, 405) or b"s3cr3t" in answer or b"X-Error-Code" not in answer:
            wrong.append((method, path, got))
ok(not wrong, "no other method does anything, TRACE least of all", wrong)
for name, body, kind in (("deep JSON", b"[" * 100000, b"application/json"), ("deep objects", b'{"paths":' * 50000, b"application/json"), ("a million paths", b"paths=a&" * 120000, b"application/x-www-form-urlencoded"),
                         ("paths that are no text", b'{"paths":[1,null,{}]}', b"application/json"), ("no UTF-8", b"paths=%ff%fe", b"application/x-www-form-urlencoded"),
                         ("NUL in a path", b"paths=config.json%00", b"application/x-www-form-urlencoded"), ("a key twice", b'{"paths":["config.json"],"paths":["x"]}', b"application/json"),
                         ("an odd number", b'{"paths":["x"],"expand":1e999}', b"application/json")):
    s = connect()
    try:
        s.sendall(API + b"Content-Type: " + kind + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    except OSError:
        pass
    status, head, answer = read_answer(s)
    ok(status in (200, 400, 413), "paths-info: " + name, (status, answer[:200]))
    s.close()

# ---- half a connection, and far too many -------------------------------------------------------------
s = connect()
s.sendall(b"GET " + WEIGHTS + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
s.shutdown(socket.SHUT_WR)
answer = read_all(s)
ok(answer.startswith(b"HTTP/1.1 200 ") and len(answer) > SIZE, "a client that has closed its half gets the whole answer", len(answer))
s = connect()
t = time.time()
s.shutdown(socket.SHUT_WR)
ok(read_all(s) == b"" and time.time() - t < 5, "half a connection without a request is ended at once", time.time() - t)
s = connect()
s.sendall(HEAD)
t = time.time()
s.shutdown(socket.SHUT_WR)
answer = read_all(s)
ok(b"HTTP/1.1 200" not in answer and time.time() - t < 5, "half a request is ended at once", (answer[:100], time.time() - t))
s = connect()
n = 1000
threading.Thread(target=lambda: s.sendall((HEAD + b"\r\n") * n), daemon=True).start()
statuses = [read_answer(s)[0] for _ in range(n)]
ok(statuses == [200] * n, "a thousand pipelined requests", set(statuses))
s.close()

# ---- slow and rude clients ---------------------------------------------------------------------------
idle = [connect(40) for _ in range(200)]
drip = [connect(40) for _ in range(60)]
started = time.time()
done = threading.Event()


def dripping():
    i = 0
    while not done.is_set():
        for s in drip:
            try:
                s.sendall((HEAD + b"X-Slow: " + b"x" * 1000)[i:i + 1])
            except OSError:
                pass
        i += 1
        time.sleep(0.5)


threading.Thread(target=dripping, daemon=True).start()
took = []
for _ in range(20):
    t = time.time()
    s = connect()
    s.sendall(HEAD + b"\r\n")
    ok_status = read_answer(s)[0]
    s.close()
    took.append(time.time() - t)
ok(max(took) < 2, "200 idle and 60 dripping connections do not hold up others", max(took))
idle[0].settimeout(20)
answer = read_all(idle[0])
ok(answer.startswith(b"HTTP/1.1 408 ") and time.time() - started < 16, "a connection that says nothing is ended", (answer[:100], time.time() - started))
drip[0].settimeout(20)
answer = read_all(drip[0])
ok(time.time() - started < 18, "one that drips its head too", time.time() - started)
done.set()
for s in idle + drip:
    s.close()
for _ in range(50):        # gone in the middle of everything
    s = connect()
    s.sendall(HEAD + b"\r\n")
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
s = connect()
s.sendall(HEAD + b"\r\n")
ok(read_answer(s)[0] == 200, "resets do not hurt")
s.close()

# ---- many at once ------------------------------------------------------------------------------------
bodies = []


def client():
    try:
        s = connect(60)
        for _ in range(10):
            s.sendall(HEAD + b"\r\n")
            bodies.append(read_answer(s)[2])
        s.close()
    except OSError as e:
        bodies.append(repr(e).encode())


threads = [threading.Thread(target=client) for _ in range(50)]
for t in threads:
    t.start()
for t in threads:
    t.join()
ok(len(bodies) == 500 and len(set(bodies)) == 1, "50 clients at once, ten requests each", (len(bodies), len(set(bodies))))
