#!/usr/bin/env python3
"""files.py FOLDER PORTFILE: a file server on loopback. The first part of a path is what goes wrong:
/ok/..., /nosums/... (404 for SHA256SUMS), /empty/... (empty), /cut/... (half of a binary), /swap/... (the other machine's)."""
import http.server
import os
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a):
        pass

    def do_GET(self):
        mode, _, path = self.path.lstrip("/").partition("/")
        name = os.path.basename(path)
        if mode == "swap" and "-linux" in name:
            path = path.replace("x86_64", "?").replace("aarch64", "x86_64").replace("?", "aarch64")
        file = os.path.join(sys.argv[1], path)
        if not os.path.isfile(file) or mode == "nosums" and name == "SHA256SUMS" or ".." in path:
            return self.send_error(404)
        with open(file, "rb") as f:
            data = f.read()
        if mode == "empty" and name == "SHA256SUMS":
            data = b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:len(data) // 2] if mode == "cut" and "-linux" in name else data)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[2] + ".new", "w") as f:
    f.write(str(server.server_port))
os.rename(sys.argv[2] + ".new", sys.argv[2])
server.serve_forever()
