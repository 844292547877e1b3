"""tls_records.py: see 38-tls-records.sh. Prints TAP."""
import json
import os
import re
import socket
import subprocess
import threading

T, MLXK = os.environ["T"], os.environ["MLXK"]
BEAR = '"bearssl"' in subprocess.run([MLXK, "version", "--build", "--json"], capture_output=True, text=True, timeout=60).stdout
COMMIT = "c" * 40
INFO = json.dumps({"id": "o/x", "sha": COMMIT, "private": False, "gated": False, "siblings": [{"rfilename": f"f{i}"} for i in range(30)]})
PAGES = [json.dumps([{"type": "file", "path": f"f{i}", "size": i + 1, "oid": "%040x" % i} for i in part]) for part in (range(15), range(15, 30))]


def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def pipe(source, sink, change=None):
    try:
        while data := source.recv(65536):
            sink.sendall(change(data) if change else data)
    except OSError:
        pass
    for s in (source, sink):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Damage:
    """Flips one bit of the first record of application data with more than `least` bytes."""

    def __init__(self, least):
        self.least, self.done, self.rest = least, False, b""

    def __call__(self, data):
        self.rest += data
        out = b""
        while len(self.rest) >= 5 and len(self.rest) >= 5 + int.from_bytes(self.rest[3:5], "big"):
            n = 5 + int.from_bytes(self.rest[3:5], "big")
            record, self.rest = bytearray(self.rest[:n]), self.rest[n:]
            if record[0] == 23 and n > self.least and not self.done:
                record[n // 2] ^= 1
                self.done = True
            out += record
        return out


def proxy(to, change):
    """Listens; every connection is passed on to port `to`, what comes back through change()."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                client = listener.accept()[0]
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", to))
            threading.Thread(target=pipe, args=(client, server), daemon=True).start()
            threading.Thread(target=pipe, args=(server, client, change), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return listener


class Server:
    """s_server on a free port; before(n) gives what is typed in front of the n-th answer."""

    def __init__(self, options, before=lambda n: []):
        self.port, self.before, self.n_asked, self.seen, self.at = port(), before, 0, "", 0
        argv = ["stdbuf", "-oL", "openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-cert", f"{T}/c.pem", "-key", f"{T}/k.pem", *options]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
        while b"ACCEPT" not in self.process.stdout.readline():
            pass
        threading.Thread(target=self.answer, daemon=True).start()

    def type(self, data):
        assert len(data) <= 4096             # in one piece, or the first letter of the next would be a command
        try:
            self.process.stdin.write(data)
        except BrokenPipeError:
            pass                             # the test is over

    def answer(self):
        for line in self.process.stdout:
            self.seen += "A" if line.startswith(b"CONNECTION CLOSED") else ""
            if not line.startswith(b"GET "):
                continue
            self.n_asked += 1
            self.seen += "G"
            last, tree = b"cursor=" in line, b"/tree/" in line
            body = (PAGES[last] if tree else INFO).encode()
            more = f'Link: <https://localhost:{self.at or self.port}/api/models/o/x/tree/{COMMIT}?cursor=2>; rel="next"\r\n' if tree and not last else ""
            for command in self.before(self.n_asked):
                self.type(command)
                while b"SSL_do_handshake" not in self.process.stdout.readline():
                    pass
            self.type(b"HTTP/1.1 200 OK\r\nX-Repo-Commit: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n" %
                      (COMMIT.encode(), len(body), more.encode()) + body)

    def close(self):
        self.process.kill()
        self.process.wait()


def pull(to):
    env = {**os.environ, "HF_HOME": f"{T}/hf", "HF_ENDPOINT": f"https://localhost:{to}", "SSL_CERT_FILE": f"{T}/c.pem", "MLXK_RETRY_BASE_MS": "1", "HF_DEBUG": "1"}
    env.pop("SSL_CERT_DIR", None)
    return subprocess.run([MLXK, "pull", "o/x", "--dry-run", "--json"], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)


n_tests = 0


def check(name, good, why=""):
    global n_tests
    n_tests += 1
    print(("ok " if good else "not ok ") + name)
    if not good:
        print("# " + str(why).replace("\n", "\n# "))


def around(r):
    """Records that went around the library, or as many as wanted where the other one is built in, which has no such way."""
    return sum(map(int, re.findall(r": (\d+) records of data went around", r.stderr))) if "records of data" in r.stderr else BEAR * 2


def whole(r):
    return r.returncode == 0 and str(sum(range(1, 31))) in r.stdout


subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{T}/k.pem", "-out", f"{T}/c.pem", "-days", "9", "-subj",
                "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:true"],
               check=True, stderr=subprocess.DEVNULL)

for suite in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
    server = Server(["-tls1_3", "-ciphersuites", suite])
    r = pull(server.port)
    check(f"plain records, {suite}", whole(r), r)
    check("they are opened where they are wanted", around(r) >= 2, r.stderr)
    server.close()
for suite in ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"):
    server = Server(["-tls1_2", "-cipher", suite])
    r = pull(server.port)
    check(f"plain records, {suite}", whole(r), r)
    check("they are opened where they are wanted", around(r) >= 2, r.stderr)
    server.close()

for version, options in (("1.3", ["-tls1_3", "-record_padding", "512", "-num_tickets", "4"]), ("1.2", ["-tls1_2"])):
    server = Server(options)
    r = pull(server.port)
    check(f"TLS {version}: records " + ("with padding" if version == "1.3" else "without"), whole(r), r)
    check("and nothing behind the answer kept the connection from being used again", server.seen.startswith("GGG"), server.seen)
    listener = proxy(server.port, Damage(1200))
    server.at = listener.getsockname()[1]
    r = pull(server.at)
    server.at = 0
    check("a damaged record ends it, with the reason", r.returncode != 0 and "a record was damaged on its way" in r.stdout + r.stderr, r)
    listener.close()
    r = pull(server.port)
    check("and the next one finds the server as before", whole(r) and server.n_asked == 3 + 2 + 3, (r, server.n_asked))
    server.close()

server = Server(["-tls1_2"], lambda n: [b"r\n"] if n == 2 else [])
r = pull(server.port)
check("a wish for another handshake between two answers is no data", whole(r) or "the server refused it with an alert" in r.stdout + r.stderr, r)
server.close()
server = Server(["-tls1_3"], lambda n: [b"K\n"] if n == 2 else [])
r = pull(server.port)
check("a key update between two answers is no data", r.returncode == 0 and whole(r) or "does not belong there" in r.stdout + r.stderr, r)
server.close()
print(f"1..{n_tests}")
