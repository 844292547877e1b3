#!/bin/sh
# Nothing that a registry, a hub or a file says steers the terminal: escapes, returns, C1 controls, directions of writing and bytes that are no
# characters are shown as text in messages, tables, notes, progress and logs.
. tests/tap.sh
export HF_HOME="$T/hf" MLXK_RETRY_BASE_MS=1 MLXK_EXPERIMENTAL=1 HF_TOKEN=hf_none DOCKER_CONFIG="$T/docker" XDG_STATE_HOME="$T/state" HF_DEBUG=1
cat > "$T/hostile.py" <<'PY'
import hashlib
import http.server
import json
import os
import pty
import re
import subprocess
import sys
import threading

EVIL = "\x1b[2J\x1b]0;title\x07\r\x7f\u009b31m\u202egnp.\u2066 \u2028 A\nError: forged \x08"
program, work = sys.argv[1], sys.argv[2]


def sha(b):
    return "sha256:" + hashlib.sha256(b).hexdigest()


blob = b"x"
config = json.dumps({"descriptor": {"name": EVIL, "title": EVIL, "licenses": [EVIL]}, "config": {"architecture": EVIL, "format": EVIL, "quantization": EVIL},
                     "modelfs": {"type": "layers", "diffIds": [sha(blob)]}}).encode()
layer = {"mediaType": "application/vnd.cncf.model.weight.v1.raw", "digest": sha(blob), "size": 1, "annotations": {"org.cncf.model.filepath": "a" + EVIL}}
manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": "application/vnd.cncf.model.manifest.v1+json",
                       "config": {"mediaType": "application/vnd.cncf.model.config.v1+json", "digest": sha(config), "size": len(config)},
                       "layers": [layer], "annotations": {"k" + EVIL: EVIL, "dev.mlxk.interface": EVIL, "org.opencontainers.image.created": EVIL}}).encode()


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mode = "good"
    wbufsize = -1

    def do_GET(self):
        path, status, kind, body = self.path.split("?")[0], 200, "application/json", b"{}"
        if self.mode == "refuse":
            status, body = 418, json.dumps({"errors": [{"code": EVIL, "message": EVIL, "detail": EVIL}], "error": EVIL, "message": EVIL}).encode()
        elif path.endswith("/tags/list"):
            body = json.dumps({"name": EVIL, "tags": ["v1.0.0", "good"]}).encode()
        elif "/referrers/" in path:
            kind, body = "application/vnd.oci.image.index.v1+json", json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
                {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": sha(manifest), "size": len(manifest), "artifactType": EVIL, "annotations": {"a": EVIL}}]}).encode()
        elif "/manifests/" in path and not path.endswith(("/v1.0.0", "/good", sha(manifest))):
            status, body = 404, json.dumps({"errors": [{"code": EVIL, "message": EVIL}]}).encode()
        elif "/manifests/" in path:
            kind, body = "application/vnd.oci.image.manifest.v1+json", manifest
        elif path.endswith(sha(config)):
            body = config
        elif path.endswith(sha(blob)):
            body = blob
        elif path.startswith("/api/models"):
            body = json.dumps({"id": "o/m" + EVIL, "sha": "a" * 40 if self.mode != "odd" else EVIL, "private": False, "tags": [EVIL], "library_name": EVIL, "gated": EVIL,
                               "siblings": [{"rfilename": "a" + EVIL, "size": 1, "blobId": "0" * 40}]}).encode()
        self.send_response(status, "no\x1b[31m\u009b"[:4 if self.mode != "refuse" else 9].encode("latin-1", "replace").decode("latin-1"))
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Warning", '299 - "\x1b[31mwarned\u009b"'.encode("utf-8").decode("latin-1"))
        self.send_header("X-Error-Code", "Evil\x1b[31m")
        self.send_header("X-Error-Message", EVIL.replace("\n", " ").replace("\r", " ").encode("utf-8").decode("latin-1"))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, *a):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
host = "127.0.0.1:%d" % server.server_port
env = {**os.environ, "HF_ENDPOINT": "http://" + host}


def steers(text):
    """What in the bytes could steer a terminal."""
    try:
        s = text.decode()
    except UnicodeDecodeError as e:
        return [str(e)]
    return [repr(s[max(0, i - 30):i + 10]) for i, c in enumerate(s)
            if (c < " " and c not in "\n\t") or "\x7f" <= c < "\xa0" or c in "\u061c\u200e\u200f" or "\u2028" <= c <= "\u202e" or "\u2066" <= c <= "\u2069"
            or s.startswith("\nError: forged", i)]


def on_a_terminal(argv):
    """Its output as a terminal gets it, without what the program itself does there: colours, and the line of progress."""
    reader, writer = pty.openpty()
    p = subprocess.Popen(argv, env={**env, "TERM": "xterm"}, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer)
    os.close(writer)
    out = b""
    while True:
        try:
            piece = os.read(reader, 65536)
        except OSError:
            piece = b""
        if not piece:
            break
        out += piece
    p.wait()
    os.close(reader)
    out = re.sub(rb"\x1b\[(0|1|3[1-6])m", b"", out)
    out = out.replace(b"\r\n", b"\n").replace(b"\r\x1b[K", b"")
    return out


model = work + "/ham"
os.makedirs(model)
open(model + "/config.json", "w").write(json.dumps({"model_type": EVIL, "architectures": [EVIL]}))
open(model + "/weights.bin", "w").write("x")
bad = work + "/bad"
os.makedirs(bad)
open(bad + "/config.json", "w").write("{}")
open(bad.encode() + b"/bad\xff\x9b\x1b[2J.bin", "w").close()
commands = [["tags", host + "/o/m"], ["inspect", host + "/o/m:v1.0.0"], ["inspect", host + "/o/m:v1.0.0", "--config"], ["versions", host + "/o/m"], ["releases", host + "/o/m"],
            ["pull", "oci://%s/o/m:v1.0.0" % host], ["pull", "o/m"], ["pull", "o/m", "--dry-run"], ["pull", "o/m\x1b[31m"], ["verify", "oci://%s/o/m:good" % host, "--key", "/nowhere\u202e"],
            ["copy", host + "/o/m:v1.0.0", "oci:" + work + "/l"], ["index", "update", host + "/o/m"], ["index", "search", "m"], ["install", host + "/o/m:client-v1"],
            ["store", model, host + "/o/m"], ["release", model, host + "/o/m"], ["clean-versions", host + "/o/m"], ["push", model, "o/m", "--private"], ["list", "\x1b[31m"], ["show", "\u009bx"],
            ["frob\x1b[2J"], ["list", "--frob\x1b[2J\u202e"], ["run", "oci://%s/o/m:v1.0.0" % host, "x"], ["diff", model, model], ["show", model], ["health", model], ["store", bad, "oci:" + work + "/l2"], ["health", bad], ["list", bad], ["show", bad], ["import", bad, "--name", "o/\x1b[2J"], ["convert", model, work + "/\x1b[2J", "--quantize", "4"],
            ["inspect", host + "/o/m:v1.0.0", "--raw"], ["pull", "oci://evil\x1b[2J/o/m"], ["login", host, "--username", "\x1b[2J", "--token-file", "/nowhere\x1b[2J"]]
faults, n, shown = [], 0, 0
for Server.mode in ("good", "refuse", "odd"):
    for argv in commands:
        r = subprocess.run([program, *argv], env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
        raw = argv[-1] == "--raw"
        texts = [("err", r.stderr), ("out", b"" if raw else r.stdout), ("terminal", on_a_terminal([program, *argv]) if Server.mode == "good" else b"")]
        shown += sum(t.count(b"\\x1b") for _, t in texts)
        for where, text in texts:
            n += 1
            faults += [(Server.mode, argv[:3], where, f) for f in steers(text)[:1]]
print(f"{'not ' if faults or n < 200 or shown < 60 else ''}ok terminal/nothing_steers_it")
print(f"# {n} texts, {shown} escapes shown", *faults[:12], sep="\n# ")
PY
python3 "$T/hostile.py" "$MLXK" "$T"
